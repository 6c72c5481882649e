"""The clock is an hour wrong, or the wall clock jumps: the answer is right, or there is none."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from churn_pipeline.core.settings import Settings
from churn_pipeline.orchestration.execute import run_mondays
from tests.conftest import TINY, TINY_MONDAY, Company
from tests.faults.conftest import assert_same
from tests.support.homes import PER_RUN, differences, query
from tests.support.processes import churn
from tests.support.truncation import truncate

HOUR = timedelta(hours=1)
EIGHT = datetime(TINY_MONDAY.year, TINY_MONDAY.month, TINY_MONDAY.day, 8, tzinfo=UTC)


def at(settings: Settings, now: datetime, **more: object) -> Settings:
    return Settings(**settings.model_dump(include=settings.model_fields_set) | {"now": now, **more})


@pytest.mark.parametrize("hours", [1, pytest.param(-1, marks=pytest.mark.nightly)])
def test_an_hour_fast_or_slow_the_monday_run_gives_the_same_rows(
    tiny_copy: Settings, reference: Settings, hours: int
) -> None:
    """The clock of the reference stands at noon of the same Monday."""
    settings = at(tiny_copy, EIGHT + hours * HOUR)
    assert run_mondays(settings, TINY_MONDAY).exit_code == 0
    comparison = differences(reference.warehouse, settings.warehouse, "policy.predictions", without=PER_RUN)
    assert comparison["rows"] > 500
    assert (comparison["only_left"], comparison["only_right"]) == (0, 0)


def test_a_clock_that_still_says_sunday_refuses_a_monday_that_has_begun_elsewhere(tiny_copy: Settings) -> None:
    midnight = EIGHT - 8 * HOUR
    slow = at(tiny_copy, midnight + HOUR / 2 - HOUR)
    completed = churn(slow, "run", "--week", str(TINY_MONDAY))
    assert completed.returncode == 2
    assert f"{TINY_MONDAY} has not begun" in completed.stderr


@pytest.mark.nightly
def test_a_clock_that_says_monday_on_sunday_evening_makes_a_list_that_the_next_run_makes_whole(
    tiny_copy: Settings,
    tiny_company: Company,
    reference: Settings,
    tmp_path: Path,
) -> None:
    """Nothing can tell the half-hour that is missing from a quiet one, so the first run is as green as the second."""
    midnight, export = EIGHT - 8 * HOUR, tmp_path / "export"
    truncate(tiny_company.raw, export, TINY_MONDAY)
    events = export / "usage_events.parquet"
    with duckdb.connect() as con:
        con.execute(f"create table kept as from '{events}' where timestamp < timestamp '{midnight - HOUR / 2:%F %T}'")
        (missing,) = con.execute(f"select (select count(*) from '{events}') - count(*) from kept").fetchone()
        con.execute(f"copy kept to '{events}' (format parquet)")
    assert missing > 0
    fast = at(tiny_copy, midnight + HOUR / 2, raw=export)
    completed = churn(fast, "run", "--json")
    assert completed.returncode == 0, completed.stderr
    assert json.loads(completed.stdout)["snapshot_date"] == str(TINY_MONDAY)
    features = "marts.mart_customer_churn_features"
    assert differences(reference.warehouse, fast.warehouse, features)["only_right"] > 0
    completed = churn(tiny_copy, "run", "--week", str(TINY_MONDAY))
    assert completed.returncode == 0, completed.stderr
    # The trainings of the first run stay, on labels that had closed months before, and name the hour and the data of then.
    assert_same(reference, tiny_copy, {"ledger.promotions": ("metrics", "recorded_at")})


@pytest.mark.nightly
def test_what_a_slow_clock_took_for_the_future_is_landed_once_the_clock_is_right(
    tiny_copy: Settings, tiny_company: Company, tmp_path: Path
) -> None:
    """The file does not change in between, so looking only at what is new would lose those rows for ever."""
    with duckdb.connect() as con:
        (newest,) = con.execute(f"select max(timestamp) from '{tiny_company.raw}/usage_events.parquet'").fetchone()
    newest = newest.replace(tzinfo=UTC)
    slow, right = (at(tiny_copy, newest + offset) for offset in (-HOUR, HOUR))
    week = date.fromisoformat(str(newest.date() - timedelta(days=newest.weekday())))
    run_mondays(slow, week)
    (held_back, landed) = query(
        slow.warehouse,
        "select (select count(*) from landing.quarantine where source = 'usage_events'), (select count(*) from landing.usage_events)",
    )[0]
    assert held_back > 0
    run_mondays(right, week)
    (held_now, landed_now) = query(
        right.warehouse,
        "select (select count(*) from landing.quarantine where source = 'usage_events'), (select count(*) from landing.usage_events)",
    )[0]
    assert (held_now, landed_now) == (0, landed + held_back)


@pytest.mark.nightly
@pytest.mark.parametrize("zone", ["America/New_York", "Pacific/Auckland"])
def test_a_week_with_a_dst_change_holds_every_event_of_its_seven_local_days_once(
    zone: str, tiny_company: Company, tmp_path: Path
) -> None:
    """The week of 2026-03-02 to 2026-03-09 has 167 hours in New York; that of 2026-03-30 to 2026-04-06 has 169 in Auckland."""
    monday = {"America/New_York": date(2026, 3, 9), "Pacific/Auckland": date(2026, 4, 6)}[zone]
    settings = Settings(
        home=tmp_path / "home",
        raw=tiny_company.raw,
        timezone=zone,
        now=EIGHT,
        **TINY,
    )
    # No model is needed for what is looked at: the features of the Monday.
    run_mondays(settings, monday)
    with duckdb.connect() as con:
        con.execute("set timezone = 'UTC'")
        con.execute(f"attach '{settings.warehouse}' as w (read_only)")
        wrong = con.execute(
            f"""
            with local as (
                select customer_id, ((timestamp at time zone 'UTC') at time zone '{zone}')::date as day
                from '{tiny_company.raw}/usage_events.parquet'
            ), expected as (
                select customer_id, count(*) as events from local
                where day >= date '{monday}' - 7 and day < date '{monday}' group by 1
            )
            select count(*) filter (where mart.events_last_7d <> coalesce(expected.events, 0)), count(*), sum(expected.events)
            from w.marts.mart_customer_churn_features as mart left join expected using (customer_id)
            where mart.snapshot_date = date '{monday}'
            """
        ).fetchone()
    assert wrong[0] == 0
    assert wrong[1] > 100 and wrong[2] > 1000
