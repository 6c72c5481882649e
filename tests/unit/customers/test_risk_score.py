"""The risk score in Python is the one of the policy's SQL."""

from __future__ import annotations

from dataclasses import astuple

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn_pipeline.core.errors import InputError
from churn_pipeline.core.settings import Settings
from churn_pipeline.customers.entities import COMPLIANCE_GAP, VENDOR_FLAGS, RiskSignals
from churn_pipeline.customers.risk_score import USAGE_DECAY, RiskWeights, compose, usage_decay
from churn_pipeline.policy import parameters

WEIGHTS = RiskWeights(0.50, 0.35, 0.15, 5)
COUNTS = st.integers(0, 10_000)


@pytest.mark.parametrize("home", ["tiny_home", "scored_home"])
def test_every_published_risk_score_is_composed_again_to_the_bit(home: str, request: pytest.FixtureRequest) -> None:
    # To the bit, because both add the same doubles in the same order: no sum over rows is in it, and every operation is one that IEEE 754
    # rounds alike everywhere.
    settings: Settings = request.getfixturevalue(home)
    with duckdb.connect(str(settings.published_database), read_only=True) as con:
        ((monday,),) = con.execute("select max(snapshot_date) from predictions").fetchall()
        weights = RiskWeights.of(parameters.of_monday(con, "predictions", monday))
        rows = con.execute(
            """
            select
                risk_score, risk_score_basis, events_last_7d, events_prior_21d, known_compliance_gap_score, known_vendor_risk_flags
            from predictions inner join customer_weeks using (snapshot_date, customer_id)
            """
        ).fetchall()
        assert con.execute("select count(*) from predictions").fetchall() == [(len(rows),)]
    assert len({score for score, *_ in rows}) > 300
    for score, basis, recent, prior, gap, flags in rows:
        missing = [name for name, value in ((COMPLIANCE_GAP, gap), (VENDOR_FLAGS, flags)) if value is None]
        decay = None if prior is None else usage_decay(recent, prior)
        again = compose(RiskSignals(gap or 0.0, flags or 0, tuple(missing)), decay, weights)
        assert (again.score.hex(), again.basis) == (score.hex(), basis)


def test_the_weights_are_those_of_the_policy_that_made_the_monday(tiny_home: Settings) -> None:
    with duckdb.connect(str(tiny_home.published_database), read_only=True) as con:
        ((monday,),) = con.execute("select max(snapshot_date) from predictions").fetchall()
        policy = parameters.of_monday(con, "predictions", monday)
    assert astuple(RiskWeights.of(policy)) == (0.50, 0.35, 0.15, 5)
    del policy["vendor_flags_cap"]
    with pytest.raises(InputError, match="not known: vendor_flags_cap$"):
        RiskWeights.of(policy)


@pytest.mark.parametrize(
    ("recent", "prior", "decay"),
    [(0, 0, 1.0), (5, 0, 0.0), (0, 21, 1.0), (7, 21, 0.0), (70, 21, 0.0), (1, 6, 0.5), (1, 21, 1 - 3 / 21)],
)
def test_usage_decay_compares_a_week_with_the_three_before_it(recent: int, prior: int, decay: float) -> None:
    assert usage_decay(recent, prior) == decay


@given(recent=COUNTS, prior=COUNTS)
def test_usage_decay_is_a_share_that_never_rises_with_use(recent: int, prior: int) -> None:
    assert 0 <= usage_decay(recent, prior) <= 1
    assert usage_decay(recent + 1, prior) <= usage_decay(recent, prior)


@given(gap=st.floats(0, 1), flags=st.integers(0, 50), decay=st.floats(0, 1), more=st.floats(0, 1))
def test_the_score_is_a_share_and_never_falls_when_a_part_grows(
    gap: float, flags: int, decay: float, more: float
) -> None:
    score = compose(RiskSignals(gap, flags), decay, WEIGHTS).score
    assert 0 <= score <= 1
    assert compose(RiskSignals(max(gap, more), flags), decay, WEIGHTS).score >= score
    assert compose(RiskSignals(gap, flags + 1), decay, WEIGHTS).score >= score
    assert compose(RiskSignals(gap, flags), max(decay, more), WEIGHTS).score >= score


def test_flags_above_the_cap_change_nothing() -> None:
    assert compose(RiskSignals(0, 5), 0.0, WEIGHTS).score == compose(RiskSignals(0, 50), 0.0, WEIGHTS).score == 0.15


def test_what_is_not_known_counts_0_and_is_said() -> None:
    nothing = compose(RiskSignals(missing=(COMPLIANCE_GAP, VENDOR_FLAGS)), None, WEIGHTS)
    assert (nothing.score, nothing.basis, nothing.usage_decay) == (0, "none", None)
    assert nothing.missing == (USAGE_DECAY, COMPLIANCE_GAP, VENDOR_FLAGS)
    part = compose(RiskSignals(0.4, 0, (VENDOR_FLAGS,)), 0.5, WEIGHTS)
    assert (part.score, part.basis, part.missing) == (
        0.5 * 0.5 + 0.35 * 0.4,
        "usage_decay + compliance_gap",
        (VENDOR_FLAGS,),
    )
    # Silence that is known is no missing part.
    assert compose(RiskSignals(), 0.0, WEIGHTS).basis == "usage_decay + compliance_gap + vendor_flags"


def test_numbers_outside_their_range_are_refused_by_name() -> None:
    with pytest.raises(InputError, match="^events are a count of 0 or more, not -1$"):
        usage_decay(3, -1)
    for decay in (1.01, -0.1, float("nan")):
        with pytest.raises(InputError, match=f"^a usage decay is a number from 0 to 1, not {decay}$"):
            compose(RiskSignals(), decay, WEIGHTS)
    with pytest.raises(InputError, match=r"^a weight of the risk score is a number from 0 to 1, not 1\.5$"):
        RiskWeights(1.5, 0, 0, 5)
    with pytest.raises(InputError, match=r"^the weights of the risk score make 1 at most, not 1\.2$"):
        RiskWeights(0.5, 0.5, 0.2, 5)
    with pytest.raises(InputError, match="^the cap of vendor flags is a number above 0, not 0$"):
        RiskWeights(0.5, 0.3, 0.2, 0)
