"""What is said of interventions: a count beside an expectation, and a difference between groups that chance made."""

from __future__ import annotations

from datetime import date, timedelta
from math import sqrt

import duckdb
import numpy as np
import pandas as pd
import pytest

from churn_pipeline.monitoring.interventions import LIFT_METHOD, SAVES_NOTE, holdout_lift, saves
from churn_pipeline.policy.holdout import starts_quarter, write_holdout

MONDAY = date(2026, 3, 16)
URGENT = ("CRITICAL", "HIGH")


def book(*rows: tuple[str, bool, float, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["risk_tier", "touched", "probability", "status"])


def test_saves_count_the_touched_in_urgent_tiers_who_are_still_there() -> None:
    counts = saves(
        MONDAY,
        book(
            ("HIGH", True, 0.6, "active"),
            ("CRITICAL", True, 0.8, "active"),
            ("CRITICAL", True, 0.9, "churned"),
            ("HIGH", True, 0.5, "left"),
            ("HIGH", False, 0.7, "active"),
            ("MEDIUM", True, 0.4, "active"),
        ),
        URGENT,
    )
    assert counts is not None
    assert (counts.predicted_on, counts.touched, counts.stayed, counts.left_the_book) == (MONDAY, 4, 2, 1)
    assert counts.expected_to_stay == pytest.approx(0.4 + 0.2 + 0.1 + 0.5)
    spread = 1.96 * sqrt(0.4 * 0.6 + 0.2 * 0.8 + 0.1 * 0.9 + 0.5 * 0.5)
    assert counts.expected_high == pytest.approx(1.2 + spread)
    assert counts.expected_low == 0


def test_nothing_is_said_where_nobody_at_risk_was_touched() -> None:
    assert saves(MONDAY, book(("HIGH", False, 0.6, "active"), ("LOW", True, 0.1, "active")), URGENT) is None
    assert saves(MONDAY, book(), URGENT) is None


def test_nothing_that_is_said_of_saves_claims_a_cause() -> None:
    assert "not the effect" in SAVES_NOTE
    assert not {"caus", "thanks to", "because of", "saved by"} & set(SAVES_NOTE.lower().split())


def drawn(seed: int, held_rate: dict[str, float], others_rate: dict[str, float], rows: int = 425) -> pd.DataFrame:
    """Customers at risk of four strata, a tenth of them held out."""
    rng = np.random.default_rng(seed)
    tier = rng.choice(["HIGH", "CRITICAL"], rows, p=[0.75, 0.25])
    held_out = rng.random(rows) < 0.1
    rate = np.where(held_out, [held_rate[name] for name in tier], [others_rate[name] for name in tier])
    return pd.DataFrame(
        {
            "risk_tier": tier,
            "plan_tier": rng.choice(["starter", "growth"], rows),
            "is_holdout": held_out,
            "label": (rng.random(rows) < rate).astype(int),
        }
    )


@pytest.mark.parametrize(
    ("held_out_rate", "others_rate"),
    [
        ({"HIGH": 0.6, "CRITICAL": 0.85}, {"HIGH": 0.6, "CRITICAL": 0.85}),
        ({"HIGH": 0.6, "CRITICAL": 0.85}, {"HIGH": 0.45, "CRITICAL": 0.7}),
        ({"HIGH": 0.04, "CRITICAL": 0.04}, {"HIGH": 0.02, "CRITICAL": 0.02}),
    ],
    ids=["no effect", "an effect", "rare"],
)
def test_the_interval_of_the_lift_holds_the_truth_about_95_times_in_100(
    held_out_rate: dict[str, float], others_rate: dict[str, float]
) -> None:
    # The effect is the same in every stratum, so that whatever the weights are, the truth is one number.
    truth = held_out_rate["HIGH"] - others_rate["HIGH"]
    lifts = [holdout_lift(MONDAY, drawn(seed, held_out_rate, others_rate), URGENT) for seed in range(400)]
    covered = np.mean([each.low <= truth <= each.high for each in lifts if each])
    off = np.mean([each.lift - truth for each in lifts if each])
    print(f"coverage {covered:.3f}, bias {off:+.4f}")
    # 400 draws put 0.011 of noise on the coverage; a little more than 95 % is what the method gives.
    assert 0.925 <= covered <= 0.99
    assert abs(off) < 0.015


def counted(*strata: tuple[str, str, bool, int, int]) -> pd.DataFrame:
    """Customers by risk tier, plan tier and whether they are held out: how many, and how many of them churned."""
    rows = [
        (risk, plan, held_out, int(n < churned)) for risk, plan, held_out, size, churned in strata for n in range(size)
    ]
    return pd.DataFrame(rows, columns=["risk_tier", "plan_tier", "is_holdout", "label"])


def test_the_lift_compares_within_strata_and_not_across_them() -> None:
    lift = holdout_lift(
        MONDAY,
        counted(
            # Half of the held out are critical and a tenth of the others: without strata, calling would seem to help.
            ("HIGH", "growth", True, 20, 10),
            ("CRITICAL", "growth", True, 20, 18),
            ("HIGH", "growth", False, 180, 90),
            ("CRITICAL", "growth", False, 20, 18),
            # A stratum with nobody on the other side says nothing.
            ("HIGH", "free", False, 50, 50),
        ),
        URGENT,
    )
    assert lift is not None
    assert lift.lift == pytest.approx(0)
    assert lift.low < 0 < lift.high
    assert (lift.held_out, lift.others, lift.held_out_churned, lift.others_churned) == (40, 200, 28, 108)


def test_a_stratum_counts_by_what_it_can_say() -> None:
    lift = holdout_lift(
        MONDAY,
        counted(
            ("HIGH", "growth", True, 20, 10),
            ("HIGH", "growth", False, 180, 45),
            ("CRITICAL", "growth", True, 20, 18),
            ("CRITICAL", "growth", False, 20, 18),
        ),
        URGENT,
    )
    assert lift is not None
    # 20 x 180 / 200 = 18 and 20 x 20 / 40 = 10.
    assert lift.held_out_rate == pytest.approx((18 * 0.5 + 10 * 0.9) / 28)
    assert lift.lift == pytest.approx(18 * 0.25 / 28)


def test_one_stratum_gives_the_interval_of_newcombe() -> None:
    # Newcombe (1998), table II, 56/70 against 48/80, method 10: 0.0524 to 0.3339.
    frame = pd.DataFrame(
        {
            "risk_tier": "HIGH",
            "plan_tier": None,
            "is_holdout": [True] * 70 + [False] * 80,
            "label": [1] * 56 + [0] * 14 + [1] * 48 + [0] * 32,
        }
    )
    lift = holdout_lift(MONDAY, frame, URGENT)
    assert lift is not None
    assert (lift.lift, lift.low, lift.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)
    assert "Newcombe" in LIFT_METHOD


def test_there_is_no_lift_where_nobody_or_everybody_is_held_out() -> None:
    everybody = drawn(1, {"HIGH": 0.5, "CRITICAL": 0.5}, {"HIGH": 0.5, "CRITICAL": 0.5})
    assert holdout_lift(MONDAY, everybody.assign(is_holdout=False), URGENT) is None
    assert holdout_lift(MONDAY, everybody.assign(is_holdout=True), URGENT) is None
    assert holdout_lift(MONDAY, everybody.assign(risk_tier="LOW"), URGENT) is None
    assert holdout_lift(MONDAY, everybody.iloc[:0], URGENT) is None


def test_a_share_holds_from_its_monday_on_and_a_run_of_the_past_changes_nothing() -> None:
    con = duckdb.connect()

    def holdouts() -> list[tuple]:
        return con.execute("select effective_from, share from control.holdout order by 1").fetchall()

    write_holdout(con, 0.0, MONDAY)
    assert holdouts() == []
    write_holdout(con, 0.1, None)
    assert holdouts() == []
    write_holdout(con, 0.1, MONDAY)
    write_holdout(con, 0.1, MONDAY + timedelta(days=7))
    assert holdouts() == [(MONDAY, 0.1)]
    write_holdout(con, 0.2, MONDAY)
    write_holdout(con, 0.0, MONDAY + timedelta(days=14))
    assert holdouts() == [(MONDAY, 0.2), (MONDAY + timedelta(days=14), 0.0)]


def test_the_lift_is_taken_where_a_quarter_begins() -> None:
    firsts = [day for week in range(52) if starts_quarter(day := date(2026, 1, 5) + timedelta(weeks=week))]
    assert firsts == [date(2026, 1, 5), date(2026, 4, 6), date(2026, 7, 6), date(2026, 10, 5)]
