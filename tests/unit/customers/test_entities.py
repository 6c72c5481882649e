"""What holds of a customer, an event, an opportunity and risk signals, whatever they are made of."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from churn_pipeline.core.errors import InputError
from churn_pipeline.core.settings import Settings
from churn_pipeline.customers.entities import (
    COMPLIANCE_GAP,
    EARLY_STAGE,
    MONTHS_A_YEAR,
    VENDOR_FLAGS,
    Customer,
    Opportunity,
    RiskSignals,
    UsageEvent,
)
from churn_pipeline.customers.values import ChurnProbability, EventType, Mrr, SalesStage
from tests.support.homes import query

DAYS = st.dates(date(2015, 1, 1), date(2035, 12, 31))
SIGNUP = date(2026, 1, 5)


@given(signup=DAYS, churn=DAYS)
def test_nobody_leaves_before_they_signed_up(signup: date, churn: date) -> None:
    for field in ("churn_date", "censor_date"):
        if churn >= signup:
            assert Customer("c", signup, **{field: churn}).left_on == churn
        else:
            with pytest.raises(
                InputError,
                match=f"^a customer leaves on or after the day they signed up, {signup}, not on {churn}$",
            ):
                Customer("c", signup, **{field: churn})


@given(signup=DAYS, churn=DAYS, again=DAYS)
def test_a_churn_is_recorded_once_and_never_before_signup(signup: date, churn: date, again: date) -> None:
    customer = Customer("c", signup)
    if churn < signup:
        with pytest.raises(InputError, match="leaves on or after the day they signed up"):
            customer.churned(churn)
        return
    left = customer.churned(churn)
    assert left.has_churned
    assert left.churn_date == churn
    # The one before is not changed.
    assert not customer.has_churned
    with pytest.raises(InputError, match=f"^a churn is recorded once: 'c' left on {churn}, not on {again}$"):
        left.churned(again)


def test_whoever_left_the_book_does_not_churn() -> None:
    merged = Customer("c", SIGNUP, censor_date=date(2026, 3, 1))
    assert not merged.has_churned
    with pytest.raises(InputError, match="left on 2026-03-01, not on 2026-04-01"):
        merged.churned(date(2026, 4, 1))


@given(signup=DAYS, days=st.integers(0, 4000), later=st.integers(0, 4000))
def test_tenure_grows_a_day_a_day_and_ends_with_the_customer(signup: date, days: int, later: int) -> None:
    left = signup + timedelta(days)
    customer = Customer("c", signup).churned(left)
    assert customer.tenure_days(signup) == 0
    assert customer.tenure_days(left) == days
    # Whatever day is asked for after they left, it is no longer.
    assert customer.tenure_days(left + timedelta(later)) == days
    between = signup + timedelta(min(days, later))
    assert customer.tenure_days(between) == Customer("c", signup).tenure_days(between) == min(days, later)
    with pytest.raises(InputError, match=f"^tenure is counted from signup, {signup}, and not at "):
        customer.tenure_days(signup - timedelta(1))


@given(signup=DAYS, end=DAYS | st.none(), moment=DAYS)
def test_who_is_active_signed_up_before_and_did_not_leave_before(signup: date, end: date | None, moment: date) -> None:
    assume(end is None or end >= signup)
    customer = Customer("c", signup, churn_date=end)
    assert customer.is_active(moment) == (signup < moment and not (end is not None and end < moment))


@given(signup=DAYS, days=st.integers(0, 400))
def test_early_stage_is_the_first_90_days(signup: date, days: int) -> None:
    assert Customer("c", signup).is_early_stage(signup + timedelta(days)) == (days < 90)


@given(mrr=st.floats(0, 1e9), probability=st.floats(0, 1))
def test_revenue_at_risk_is_a_share_of_the_year_and_unknown_without_a_price(mrr: float, probability: float) -> None:
    at_risk = Customer("c", SIGNUP, mrr=Mrr(mrr)).annual_revenue_at_risk(ChurnProbability(probability))
    assert at_risk == 12 * mrr * probability
    assert 0 <= at_risk <= 12 * mrr
    assert Customer("c", SIGNUP).annual_revenue_at_risk(ChurnProbability(probability)) is None


def test_the_first_90_days_and_the_12_months_are_those_of_the_mart_and_the_policy() -> None:
    project = Settings().dbt_source
    mart = (project / "models/marts/mart_customer_churn_features.sql").read_text(encoding="utf-8")
    assert [int(days) for days in re.findall(r"tenure_days < (\d+) as is_early_stage", mart)] == [EARLY_STAGE.days]
    seed = (project / "seeds/policy_parameters.csv").read_text(encoding="utf-8")
    assert [int(months) for months in re.findall(r"^months_per_year,(\d+),", seed, re.MULTILINE)] == [MONTHS_A_YEAR]


def test_tenure_early_stage_and_revenue_at_risk_are_those_of_the_published_table(tiny_home: Settings) -> None:
    rows = query(
        tiny_home.published_database,
        "select snapshot_date, tenure_days, is_early_stage, mrr, churn_probability_90d, revenue_at_risk from predictions",
    )
    assert len(rows) > 500
    assert {row[2] for row in rows} == {True, False}
    for monday, tenure, is_early, mrr, probability, at_risk in rows:
        customer = Customer("c", monday - timedelta(tenure), mrr=None if mrr is None else Mrr(mrr))
        assert customer.tenure_days(monday) == tenure
        assert customer.is_early_stage(monday) == is_early
        assert customer.annual_revenue_at_risk(ChurnProbability(probability)) == at_risk


@pytest.mark.parametrize("empty", ["", "  "])
def test_every_entity_has_an_id(empty: str) -> None:
    moment = datetime(2026, 1, 5)
    for make in (
        lambda: Customer(empty, SIGNUP),
        lambda: UsageEvent(empty, "c", moment, EventType("api_call")),
        lambda: UsageEvent("e", empty, moment, EventType("api_call")),
        lambda: Opportunity(empty, "c", None),
        lambda: Opportunity("o", empty, None),
    ):
        with pytest.raises(InputError, match=f"id is a text that is not empty, not {empty!r}$"):
            make()


def test_an_opportunity_is_open_until_it_is_won_or_lost_and_its_amount_is_not_negative() -> None:
    for stage, is_open in ((None, True), ("proposal", True), ("closed_won", False), ("closed_lost", False)):
        assert Opportunity("o", "c", None if stage is None else SalesStage(stage)).is_open == is_open
    for amount in (-0.01, float("nan")):
        with pytest.raises(InputError, match="^the amount of an opportunity is a number of 0 or more, not "):
            Opportunity("o", "c", None, amount=amount)


@given(gap=st.floats(), flags=st.integers(-3, 20))
def test_risk_signals_lie_within_their_ranges(gap: float, flags: int) -> None:
    if 0 <= gap <= 1 and flags >= 0:
        signals = RiskSignals(gap, flags)
        assert (signals.compliance_gap_score, signals.vendor_risk_flags, signals.missing) == (gap, flags, ())
    else:
        with pytest.raises(InputError, match="compliance gap score is a number from 0 to 1|flags are a count of 0 or"):
            RiskSignals(gap, flags)


def test_a_missing_part_counts_0_and_has_a_name() -> None:
    assert RiskSignals(0, 2, (COMPLIANCE_GAP,)).vendor_risk_flags == 2
    with pytest.raises(InputError, match="^a missing part counts 0, and vendor_flags is 2$"):
        RiskSignals(0, 2, (VENDOR_FLAGS,))
    with pytest.raises(
        InputError, match="^a part of the risk signals is one of compliance_gap, vendor_flags, not 'gap'$"
    ):
        RiskSignals(missing=("gap",))
