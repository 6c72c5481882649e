"""What has to be built follows from what was built from what."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn_pipeline.features.plan import (
    MARTS,
    USAGE_DAYS,
    Beginning,
    needed_snapshots,
    read_beginning,
    unbuilt,
    write_plan,
)
from churn_pipeline.features.verdicts import MondayCheck, store, stored_failures

MONDAY = date(2026, 3, 16)
WEEK = timedelta(days=7)
FIRST = MONDAY - 10 * WEEK + timedelta(days=2)


@pytest.fixture
def con() -> duckdb.DuckDBPyConnection:
    con = duckdb.connect()
    con.execute("create schema landing")
    con.execute("create schema marts")
    con.execute("create schema intermediate")
    con.execute("create table landing.fact_digests (source varchar, fact_date date, fact_rows bigint, digest hugeint)")
    con.execute("create table landing.lives (active_from date, active_until date, end_kind varchar)")
    con.execute(
        "insert into landing.fact_digests select 'usage_events', ?::date + n::integer, 1, n + 1 from range(80) days(n)",
        [FIRST],
    )
    return con


def built(con: duckdb.DuckDBPyConnection) -> None:
    """What dbt does with a plan."""
    for mart in MARTS:
        con.execute(
            "delete from control.built where model = ? and key_date in (select snapshot_date from control.snapshots_to_build)",
            [mart],
        )
        con.execute(
            "insert into control.built select ?, snapshot_date, fingerprint from control.snapshots_to_build", [mart]
        )
    con.execute(
        "delete from control.built where model = ? and key_date in (select known_date from control.days_to_build)",
        [USAGE_DAYS],
    )
    con.execute("insert into control.built select ?, known_date, fingerprint from control.days_to_build", [USAGE_DAYS])


def to_judge(con: duckdb.DuckDBPyConnection) -> dict[date, str]:
    """What a plan leaves to be tested: fingerprints, by Monday."""
    return dict(con.execute("select * from control.mondays_to_test order by 1").fetchall())


def judged(con: duckdb.DuckDBPyConnection, *failed: date) -> None:
    """What the check after dbt does with a plan."""
    results = [MondayCheck(day, "fresh", day not in failed, "") for day in to_judge(con)]
    store(con, "features", results, run_id="r", now=datetime(2026, 3, 16), fingerprints=to_judge(con))


def plan(con: duckdb.DuckDBPyConnection, *requested: date, code: str = "c") -> tuple[date, ...]:
    return write_plan(con, requested or (MONDAY,), history_weeks=60, code=code).snapshots


def test_the_first_plan_builds_every_monday_since_the_first_event(con: duckdb.DuckDBPyConnection) -> None:
    assert plan(con) == tuple(MONDAY - n * WEEK for n in range(9, -1, -1))


def test_what_is_current_is_not_built_again(con: duckdb.DuckDBPyConnection) -> None:
    plan(con)
    built(con)
    assert plan(con) == ()
    assert con.execute("select count(*) from control.days_to_build").fetchone() == (0,)
    assert plan(con, MONDAY + WEEK) == (MONDAY + WEEK,)


def test_a_late_row_rebuilds_every_snapshot_after_its_day_and_none_before(con: duckdb.DuckDBPyConnection) -> None:
    plan(con)
    built(con)
    late = MONDAY - 3 * WEEK
    con.execute("update landing.fact_digests set digest = digest + 1 where fact_date = ?", [late])
    # Known strictly before S: the snapshot of the very day does not know it.
    assert plan(con) == (MONDAY - 2 * WEEK, MONDAY - WEEK, MONDAY)
    assert con.execute("select known_date from control.days_to_build").fetchall() == [(late,)]


def test_a_monday_is_stale_that_was_never_built_or_from_other_facts_or_by_other_sql_or_was_not_judged_since(
    con: duckdb.DuckDBPyConnection,
) -> None:
    plan(con)
    built(con)
    requested = [MONDAY + WEEK, MONDAY, MONDAY - WEEK]
    assert list(unbuilt(con, requested, "c")) == [MONDAY - WEEK, MONDAY, MONDAY + WEEK], "nobody has judged them"
    judged(con)
    assert list(unbuilt(con, requested, "c")) == [MONDAY + WEEK]
    con.execute("update landing.fact_digests set digest = digest + 1 where fact_date = ?", [MONDAY - WEEK])
    assert list(unbuilt(con, requested, "c")) == [MONDAY, MONDAY + WEEK]
    assert list(unbuilt(con, requested, "other")) == [MONDAY - WEEK, MONDAY, MONDAY + WEEK]


def test_a_build_that_was_killed_is_planned_again(con: duckdb.DuckDBPyConnection) -> None:
    first = plan(con)
    assert plan(con) == first


def test_a_run_tests_what_it_builds_and_what_it_is_asked_for_and_nothing_that_has_its_verdict(
    con: duckdb.DuckDBPyConnection,
) -> None:
    everything = plan(con)
    assert tuple(to_judge(con)) == everything
    built(con)
    judged(con)
    plan(con)
    assert list(to_judge(con)) == [MONDAY]
    judged(con)
    plan(con, MONDAY + WEEK)
    assert list(to_judge(con)) == [MONDAY + WEEK]


def test_what_was_built_and_never_judged_is_tested_though_it_is_not_built_again(con: duckdb.DuckDBPyConnection) -> None:
    everything = plan(con)
    built(con)
    # As after a kill, and as in a warehouse from before verdicts had fingerprints, which has verdicts without one.
    for fingerprints in (None, {everything[0]: "of other facts"}):
        results = [MondayCheck(day, "fresh", True, "") for day in everything]
        store(con, "features", results, run_id="r", now=datetime(2026, 3, 16), fingerprints=fingerprints)
        assert plan(con) == ()
        assert tuple(to_judge(con)) == everything
    judged(con)
    plan(con)
    assert list(to_judge(con)) == [MONDAY]


def test_a_verdict_on_what_was_built_anew_since_does_not_stand(con: duckdb.DuckDBPyConnection) -> None:
    late = MONDAY - 3 * WEEK
    plan(con)
    built(con)
    judged(con, late + WEEK)
    con.execute("update landing.fact_digests set digest = digest + 1 where fact_date = ?", [late])
    plan(con)
    built(con)
    # Killed here; the failure is of facts that are no longer those.
    assert plan(con) == ()
    assert list(to_judge(con)) == [late + WEEK, late + 2 * WEEK, MONDAY]
    judged(con)
    assert stored_failures(con, "features", [late + WEEK]) == {}
    plan(con)
    assert list(to_judge(con)) == [MONDAY]


def test_changed_feature_sql_has_everything_judged_again(con: duckdb.DuckDBPyConnection) -> None:
    everything = plan(con)
    built(con)
    judged(con)
    plan(con, code="other")
    built(con)
    assert plan(con, code="other") == ()
    assert tuple(to_judge(con)) == everything


def test_a_day_that_vanished_is_emptied_once(con: duckdb.DuckDBPyConnection) -> None:
    plan(con)
    built(con)
    con.execute("delete from landing.fact_digests where fact_date = ?", [MONDAY - WEEK])
    plan(con)
    assert con.execute("select known_date from control.days_to_build").fetchall() == [(MONDAY - WEEK,)]
    built(con)
    assert plan(con) == ()
    assert con.execute("select count(*) from control.days_to_build").fetchone() == (0,)


def test_changed_feature_sql_builds_everything_from_scratch(con: duckdb.DuckDBPyConnection) -> None:
    everything = plan(con)
    built(con)
    con.execute(f"create table marts.{MARTS[0]} (a integer)")
    assert plan(con, code="other") == everything
    assert con.execute("select count(*) from duckdb_tables() where schema_name = 'marts'").fetchone() == (0,)


@given(
    st.lists(st.integers(-30, 30), min_size=1, max_size=5),
    st.integers(1, 40),
    st.integers(0, 60),
    st.lists(st.integers(-90, 30), max_size=3),
)
def test_needed_snapshots_are_mondays_that_cover_every_request_and_its_training_and_before_the_data_only_what_is_asked_for(
    offsets: list[int], history: int, weeks_of_data: int, trained: list[int]
) -> None:
    requested = [MONDAY + n * WEEK for n in offsets]
    training = [MONDAY + n * WEEK for n in trained if n <= max(offsets)]
    first = MONDAY - weeks_of_data * WEEK
    needed = needed_snapshots(requested, history, Beginning(first - timedelta(days=1), None), training)
    assert all(day.weekday() == 0 and (day >= first or day in requested) for day in needed)
    assert {*requested, *(day for day in training if day >= first)} <= set(needed)
    data = [day for day in needed if day >= first]
    known = [day for day in (*requested, *training) if day >= first]
    assert not known or data[0] == max(first, min(known) - history * WEEK)


def test_the_marts_begin_on_the_monday_after_the_first_event(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("insert into landing.lives values ('2020-01-01', null, null)")
    assert read_beginning(con).first_monday(MONDAY) == MONDAY - 9 * WEEK


def test_without_usage_the_marts_begin_on_the_monday_after_the_first_departure_that_was_known(
    con: duckdb.DuckDBPyConnection,
) -> None:
    con.execute("delete from landing.fact_digests")
    assert read_beginning(con).first_monday(MONDAY) is None
    con.execute(
        "insert into landing.lives values ('2025-03-03', '2025-01-06', 'churn'), ('2024-01-01', '2025-02-03', 'churn')"
    )
    beginning = read_beginning(con)
    assert beginning.first_monday(MONDAY) == date(2025, 2, 10)
    assert beginning.first_monday(date(2025, 2, 3)) is None, "strictly before the Monday"


@given(st.integers(0, 700), st.integers(0, 700), st.integers(-20, 200))
def test_what_a_monday_begins_with_does_not_depend_on_what_comes_later(usage: int, departure: int, weeks: int) -> None:
    """As in the truncation test: whatever is dated on or after the Monday is cut off."""
    as_of = MONDAY + weeks * WEEK
    days = [MONDAY + timedelta(days=n) for n in (usage, departure)]
    known = [day if day < as_of else None for day in days]
    assert Beginning(*days).first_monday(as_of) == Beginning(*known).first_monday(as_of)


def test_usage_that_comes_late_begins_the_marts_only_when_a_model_can_come_of_it() -> None:
    beginning = Beginning(usage=MONDAY, departure=MONDAY - 60 * WEEK)
    mondays = [MONDAY + n * WEEK for n in range(1, 80)]
    assert [beginning.first_monday(day) for day in mondays] == [
        MONDAY - 59 * WEEK if number < 30 else MONDAY + WEEK for number in range(1, 80)
    ]


def test_without_any_fact_only_what_is_asked_for_is_needed() -> None:
    assert needed_snapshots([MONDAY], 60, Beginning(None, None)) == [MONDAY]
