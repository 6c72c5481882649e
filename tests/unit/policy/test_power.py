"""What a hold-out can show is said before it starts, and is true."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from churn_pipeline.core.settings import REPOSITORY
from churn_pipeline.core.targets import target_of
from churn_pipeline.monitoring.interventions import holdout_lift
from churn_pipeline.policy.power import (
    Power,
    power_of,
    power_on,
    power_sentence,
    power_table,
    smallest_reduction,
)

MONDAY = date(2026, 9, 28)
# The list of docs/worth.md.
CALLED, PROBABILITY, LARGEST = 200, 0.30, 0.10
SHARES = (0.05, 0.10, 0.20, 0.30, 0.50)


def test_it_is_the_formula_of_fleiss() -> None:
    # 0.70 against 0.60 takes 356 a group at 5 % and a power of 80 %, without a correction for continuity.
    reduction = smallest_reduction(355.9, 355.9, 0.70)
    assert reduction == pytest.approx(1 - 0.60 / 0.70, abs=2e-4)


def test_the_smallest_reduction_is_seen_about_80_times_in_100() -> None:
    """By the interval that is used, on drawn hold-outs in which calls prevent just so much."""
    held_out, others, rate = 160, 1440, 0.35
    reduction = smallest_reduction(held_out, others, rate)
    assert reduction is not None
    rng = np.random.default_rng(2)
    seen = 0
    for _ in range(300):
        sizes = np.repeat([True, False], [held_out, others])
        left = rng.random(held_out + others) < np.where(sizes, rate, rate * (1 - reduction))
        lift = holdout_lift(
            MONDAY,
            pd.DataFrame({"quarter": "q", "draw": "d", "risk_tier": "HIGH", "plan_tier": "growth", "is_holdout": sizes, "label": left, "revenue": 1.0}),
        )  # fmt: skip
        assert lift is not None
        seen += lift.low > 0
    assert 0.73 <= seen / 300 <= 0.87


def test_more_held_out_longer_and_likelier_to_leave_shows_smaller_effects() -> None:
    def reduction(
        called: float = 200, share: float = 0.1, probability: float = 0.3, quarters: int = 2, **more: float
    ) -> float:
        (power,) = power_of(called, share, probability, quarters=[quarters], **more)  # type: ignore[arg-type]
        assert power.reduction is not None
        return power.reduction

    usual = reduction()
    assert reduction(called=300) < usual
    assert reduction(share=0.2) < usual
    assert reduction(probability=0.4) < usual
    assert reduction(quarters=4) < usual
    assert reduction(turnover=0.3) < usual
    assert reduction(largest=0.2) > usual
    assert reduction(weeks=6) > usual


def test_customers_enter_once_a_quarter_and_the_last_of_them_is_judged_90_days_later() -> None:
    powers = power_of(200, 0.1, 0.3, largest=0.1, turnover=0.25, quarters=(1, 4))
    assert [(round(p.held_out, 6), round(p.others, 6)) for p in powers] == [(72, 648), (288, 2592)]
    closing = target_of("risk").closing_weeks
    assert [p.weeks_until_known for p in powers] == [12 + closing, 3 * 13 + 12 + closing]


@pytest.mark.parametrize(
    ("called", "share", "probability"), [(5, 0.1, 0.3), (200, 0, 0.3), (200, 1, 0.3), (0, 0.1, 0.3), (200, 0.1, 0)]
)
def test_what_shows_nothing_says_so(called: float, share: float, probability: float) -> None:
    powers = power_of(called, share, probability, quarters=(1, 2))
    assert [power.reduction for power in powers] == [None, None]
    assert "Not even after 2 quarters" in power_sentence(powers, share)


def test_the_sentence_says_what_is_seen_and_when() -> None:
    powers = [Power(1, 39.6, 356.4, 0.594, 25), Power(4, 158.4, 1425.6, 0.33, 64)]
    assert power_sentence(powers, 0.1, MONDAY) == (
        "A hold-out of 10% leaves about 40 customers uncalled in a quarter, beside 356 who can be called. It shows an effect of the calls "
        "where they prevent at least 59% of the departures after 1 quarter (known on 2027-03-22), 33% after 4 (known on 2027-12-20); a "
        "smaller one is seen less often than 80 times in 100."
    )
    assert "known 25 weeks after it began" in power_sentence(powers, 0.1)
    assert power_sentence((), 0.1) == ""


def test_the_table_of_the_documentation_is_what_the_formula_gives() -> None:
    page = (REPOSITORY / "docs" / "worth.md").read_text(encoding="utf-8")
    table = power_table([(share, power_of(CALLED, share, PROBABILITY, largest=LARGEST)) for share in SHARES])
    assert table in page, f"docs/worth.md should have\n{table}"


@pytest.fixture
def con() -> duckdb.DuckDBPyConnection:
    con = duckdb.connect()
    con.execute(
        f"create table predictions (snapshot_date date, customer_id varchar, {target_of('risk').probability_column} double, is_in_holdout_draw boolean, "
        "is_on_call_list boolean, annual_revenue double, policy_version varchar)"
    )
    con.execute("create table policy_seeds (policy_version varchar, seed varchar, content varchar)")
    content = "parameter,value,description\nholdout_max_annual_revenue,100000,most\n"
    con.execute("insert into policy_seeds values ('p', 'policy_parameters', ?)", [content])
    # Ten customers on the first Monday of the quarter, of whom two are others a week later; they do not count before it.
    rows = [(date(2026, 9, 21), n, True) for n in range(10)]
    rows += [(date(2026, 7, 6), n, True) for n in range(10)]
    rows += [(date(2026, 7, 13), n, True) for n in range(2, 12)]
    rows += [(date(2026, 7, 13), n, False) for n in range(50, 90)]
    con.executemany(
        "insert into predictions values (?, ?, 0.4, ?, null, 100, 'p')",
        [(day, str(n), drawn) for day, n, drawn in rows],
    )
    return con


def test_a_monday_says_how_many_there_are_and_how_fast_they_change(con: duckdb.DuckDBPyConnection) -> None:
    powers = power_on(con, "predictions", date(2026, 7, 13), 0.2)
    # 10 customers, and 0.2 of them new on each of 12 more Mondays.
    assert (powers[0].held_out, powers[0].others) == pytest.approx((0.2 * 10 * 3.4, 0.8 * 10 * 3.4))
    assert [power.reduction for power in powers] == pytest.approx(
        [power.reduction for power in power_of(10, 0.2, 0.4, turnover=0.2)]
    )


def test_before_anybody_is_held_out_the_list_without_the_largest_accounts_says_what_a_share_would_show(
    con: duckdb.DuckDBPyConnection,
) -> None:
    con.execute("update predictions set is_in_holdout_draw = false, is_on_call_list = is_in_holdout_draw")
    assert power_on(con, "predictions", date(2026, 7, 13), 0.2)[0].held_out == pytest.approx(0.2 * 10 * 3.4)
    con.execute(
        "update predictions set annual_revenue = 1e9 where snapshot_date = date '2026-07-13' and customer_id in ('2', '3', '4', '5')"
    )
    # 6 are left, and of them 2 are new.
    assert power_on(con, "predictions", date(2026, 7, 13), 0.2)[0].held_out == pytest.approx(0.2 * 6 * (1 + 12 / 3))


def test_a_monday_without_a_list_says_nothing(con: duckdb.DuckDBPyConnection) -> None:
    assert power_on(con, "predictions", MONDAY, 0.2) == ()
    assert power_on(con, "predictions", date(2026, 7, 13), 0) == ()
    con.execute("update predictions set is_in_holdout_draw = null")
    assert power_on(con, "predictions", date(2026, 7, 13), 0.2) == ()
    con.execute("alter table predictions drop column is_in_holdout_draw")
    assert power_on(con, "predictions", date(2026, 7, 13), 0.2) == ()


def test_nothing_here_reads_a_setting() -> None:
    """It is said before it starts, of any share that somebody thinks about."""
    source = Path(power_of.__code__.co_filename).read_text(encoding="utf-8")
    assert "settings" not in source
