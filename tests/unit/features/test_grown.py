"""Marts that are grown Monday by Monday, while facts come late, are those that are made at once; and odd companies have marts too."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from churn_pipeline.core.calendar import WEEK, mondays
from tests.support.marts import build_marts, grow_marts
from tests.unit.contract.landing_helpers import company, put, row, write

LAST = date(2024, 6, 10)
RUNS = (LAST - 2 * WEEK, LAST - WEEK, LAST)
HISTORY = 16
MARTS = ("marts.mart_customer_churn_features", "marts.mart_customer_expansion_features")
USAGE = "intermediate.int_customer_days"

# Few, so that rows come late for days that have some: of every week's beginning and end, long ago and around the runs.
DAYS = tuple(str(LAST - timedelta(days=days)) for days in (1, 3, 7, 8, 13, 14, 15, 21, 40, 91, 92, 127))
CUSTOMERS = ("C1", "C2", "C3")
# Every table whose rows may come late: its key where it has one of its own, the column that dates a row, and one whose values differ.
FACTS: dict[str, tuple[str | None, str, str, tuple[str, ...]]] = {
    "usage_events": (
        "event_id",
        "timestamp",
        "event_type",
        ("api_call", "integration_connect", "feature_limit_hit", "unheard_of"),
    ),
    "support_tickets": ("ticket_id", "created_date", "resolution_time", ("", "1.5", "400")),
    "gtm_opportunities": ("opp_id", "created_date", "stage", ("proposal", "closed_won")),
    "risk_signals": (None, "recorded_at", "vendor_risk_flags", ("", "0", "3")),
    "plan_changes": (None, "effective_date", "to_tier", ("growth", "custom")),
    "contracts": (None, "start_date", "end_date", ("2025-01-09", "2024-06-12")),
}


def arrivals(seed: int) -> list[dict[str, list[dict[str, Any]]]]:
    """Rows by table, run by run. Half of the tables' rows say when they were loaded, which may be before they are there."""
    draw = random.Random(seed)
    runs: list[dict[str, list[dict[str, Any]]]] = [{table: [] for table in FACTS} for _ in RUNS]
    for number in range(120):
        table = draw.choice(["usage_events", "usage_events", *FACTS])
        key, dated, column, values = FACTS[table]
        day = draw.choice(DAYS)
        changes = {dated: day, "customer_id": draw.choice(CUSTOMERS), column: draw.choice(values)}
        if key is not None:
            changes[key] = str(number)
        if draw.random() < 0.5:
            changes["loaded_at"] = max(day, draw.choice(DAYS))
        # A run lands what is dated before it; what comes in a later one may be of any day.
        first = next(run for run, monday in enumerate(RUNS) if day < str(monday))
        runs[draw.randint(first, len(RUNS) - 1)][table].append(row(table, **changes))
    return runs


def _marts(con: duckdb.DuckDBPyConnection, needed: list[date]) -> dict[str, list[tuple[Any, ...]]]:
    """What is there of some Mondays; those that no run needs any more stay as they are."""
    tables = {
        mart: con.execute(f"from {mart} where list_contains(?, snapshot_date) order by all", [needed]).fetchall()
        for mart in MARTS
    }
    return {**tables, USAGE: con.execute(f"from {USAGE} order by all").fetchall()}


@pytest.mark.parametrize("seed", [1, 2])
def test_whatever_comes_when_grown_marts_are_those_made_at_once_and_only_mondays_after_it_are_built_again(
    con: duckdb.DuckDBPyConnection, tmp_path: Path, seed: int
) -> None:
    company(tmp_path, customers=[row("customers", customer_id=name, plan_tier="starter") for name in CUSTOMERS])
    for table in FACTS:
        (tmp_path / f"{table}.csv").unlink(missing_ok=True)
        write(tmp_path, table, [], f"{table}/empty.csv")
    first = date(2024, 2, 1)
    write(tmp_path, "usage_events", [row("usage_events", timestamp=first)], "usage_events/first.csv")
    needed: list[date] = []
    for number, (monday, tables) in enumerate(zip(RUNS, arrivals(seed), strict=True)):
        for table, rows in tables.items():
            write(tmp_path, table, rows, f"{table}/{number}.csv")
        changed = put(con, tmp_path, now=datetime.combine(monday, time(12), UTC)).changed_from
        built = grow_marts(con, monday, history_weeks=HISTORY)
        before, needed = needed, list(mondays(max(first + timedelta(days=4), monday - HISTORY * WEEK), monday + WEEK))
        late = [day for day in needed if day in before and changed is not None and day > changed]
        assert built == sorted({*late, *(day for day in needed if day not in before)})
    grown = _marts(con, needed)
    build_marts(con, LAST, history_weeks=HISTORY)
    assert grown == _marts(con, needed)


def test_a_week_without_any_fact_is_a_monday_like_others_and_costs_nothing_twice(
    con: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    company(tmp_path, usage_events=[row("usage_events", timestamp="2024-05-01")])
    put(con, tmp_path)
    assert grow_marts(con, LAST - WEEK, history_weeks=2)[-1] == LAST - WEEK
    assert grow_marts(con, LAST, history_weeks=2) == [LAST]
    assert grow_marts(con, LAST, history_weeks=2) == []
    rows = con.execute(
        "select events_last_30d, events_last_90d, total_events, days_since_last_event from marts.mart_customer_churn_features "
        "where snapshot_date = ?",
        [LAST],
    ).fetchall()
    assert rows == [(0, 1, 1, 40)]


def test_a_customer_with_a_million_events_in_a_day_is_counted_to_the_last_one(
    con: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    company(tmp_path, usage_events=[row("usage_events", timestamp="2024-06-08T10:00:00", feature_adoption_score="1")])
    put(con, tmp_path)
    con.execute(
        "insert into landing.usage_events select event.* replace ('M' || number as event_id) "
        "from landing.usage_events as event, range(999999) as many(number)"
    )
    build_marts(con, LAST, history_weeks=1)
    rows = con.execute(
        "select events_last_7d, events_last_30d, total_events, active_days_last_30d, avg_adoption_score, mean_event_age_90d, usage_vs_peers_30d "
        "from marts.mart_customer_churn_features where snapshot_date = ?",
        [LAST],
    ).fetchall()
    assert rows == [(1_000_000, 1_000_000, 1_000_000, 1, 1.0, 2.0, 1.0)]


@pytest.fixture
def con() -> Any:
    with duckdb.connect() as connection:
        yield connection
