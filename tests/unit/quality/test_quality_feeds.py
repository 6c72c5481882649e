"""Feeds that changed, on made-up counts, and on a simulated company that was landed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn_pipeline.contract import land
from churn_pipeline.core.calendar import WEEK
from churn_pipeline.core.notices import Notice
from churn_pipeline.quality.feeds import Feed, Finding, find_changes, read_feeds, unusual
from churn_pipeline.simulate import Shock, Simulation, simulate, write
from tests.unit.contract.landing_helpers import company, put, row
from tests.unit.quality.conftest import MONDAY

S = date(2026, 6, 1)
WEEKDAY_ROWS = (200, 210, 205, 195, 180, 40, 30)
Rows = Callable[[date], int]


def usual(day: date) -> int:
    """Rows of a day: by weekday, with a little of a pattern that is not the same every week."""
    return WEEKDAY_ROWS[day.weekday()] + (day.toordinal() * 7919 % 11) - 5


def feed(rows: Rows = usual, *, weeks: int = 30, types: dict[str, Rows] | None = None, until: date = S) -> Feed:
    days = [until - timedelta(days=n) for n in range(7 * weeks, 0, -1)]
    by_type = {name: {day: of(day) for day in days if of(day)} for name, of in (types or {}).items()}
    total = (
        {day: sum(daily_rows.get(day, 0) for daily_rows in by_type.values()) for day in days}
        if types
        else {day: rows(day) for day in days}
    )
    newest = {until - k * WEEK: until - k * WEEK - timedelta(days=1) for k in range(weeks)}
    return Feed("usage_events", days[0], {day: n for day, n in total.items() if n}, by_type, newest)


def changes(source_feed: Feed, monday: date = S) -> list[tuple[str, str]]:
    return [(finding.change, finding.what) for finding in find_changes([source_feed], [monday], freshness_days=7)]


def newest_week(factor: float, day_factor: dict[int, float] | None = None) -> Rows:
    def rows(day: date) -> int:
        if day < S - WEEK:
            return usual(day)
        return round(usual(day) * (day_factor or {}).get(day.weekday(), factor))

    return rows


def test_a_usual_week_is_not_named() -> None:
    assert changes(feed()) == []


@pytest.mark.parametrize(
    ("factor", "change"), [(0.0, "stopped"), (0.48, "halved"), (2.1, "doubled"), (0.65, None), (1.5, None)]
)
def test_a_feed_that_stopped_halved_or_doubled_is_named(factor: float, change: str | None) -> None:
    weekly = [entry for entry in changes(feed(newest_week(factor))) if "day" not in entry[0]]
    assert weekly == ([(change, "")] if change else [])


def test_a_lost_day_and_a_doubled_day_are_named() -> None:
    assert changes(feed(newest_week(1, {2: 0.0}))) == [("lost day", "Wednesday 2026-05-27")]
    assert changes(feed(newest_week(1, {1: 2.2}))) == [("doubled day", "Tuesday 2026-05-26")]


def test_a_lost_event_type_and_a_new_one_are_named() -> None:
    renamed = {
        "view": usual,
        "upload": lambda day: usual(day) // 4 if day < S - WEEK else 0,
        "Upload": lambda day: 0 if day < S - WEEK else usual(day) // 4,
    }
    assert sorted(changes(feed(types=renamed))) == [("lost type", "upload"), ("new type", "Upload")]


def test_a_type_that_leaves_the_others_is_named_and_a_season_of_all_is_not() -> None:
    def calls(day: date) -> int:
        return round(usual(day) * (0.65 if day >= S - WEEK else 1))

    assert changes(feed(types={"call": calls, "view": usual})) == [("type left the others", "call")]
    assert changes(feed(types={"call": calls, "view": calls})) == []


def test_what_the_same_weeks_of_last_year_did_is_a_season() -> None:
    def pause(day: date) -> int:
        return round(usual(day) * 0.4) if day >= S - WEEK or S - 53 * WEEK <= day < S - 52 * WEEK else usual(day)

    assert changes(feed(pause, weeks=90)) == []
    assert ("halved", "") in changes(feed(pause, weeks=40))


def test_a_holiday_that_was_empty_last_year_is_no_lost_day() -> None:
    feast = date(2026, 5, 25)

    def rows(day: date) -> int:
        return 0 if day in (feast, feast - timedelta(days=365)) else usual(day)

    assert changes(feed(rows, weeks=90)) == []
    assert changes(feed(rows, weeks=40)) == [("lost day", "Monday 2026-05-25")]


def test_what_is_unusual_is_told_on_its_own_monday_and_a_usual_one_has_nothing() -> None:
    mondays = (S - WEEK, S)
    findings = find_changes([feed(newest_week(0.0))], mondays, freshness_days=7)
    (finding,) = findings
    assert finding.sentence.startswith("usage_events has stopped: 0 rows in the week before 2026-06-01")
    assert unusual(findings, mondays) == {
        S - WEEK: [],
        S: [Notice("feed", "usage_events", finding.sentence)],
    }


def test_too_few_rows_or_weeks_say_nothing() -> None:
    assert changes(feed(lambda day: 2 if day < S - WEEK else 0)) == []
    assert changes(feed(newest_week(0.1), weeks=8)) == []


@given(st.lists(st.integers(0, 500), min_size=7, max_size=28), st.integers(0, 6))
@settings(max_examples=30)
def test_nothing_after_a_monday_changes_what_was_found_on_it(later: list[int], back: int) -> None:
    monday = S - back * WEEK
    halved = feed(newest_week(0.48))
    more = dict(halved.days) | {S + timedelta(days=n): rows for n, rows in enumerate(later)}
    for day in [day for day in more if day >= monday]:
        more[day] += 37
    assert changes(Feed(halved.source, halved.first, more, {}, halved.newest), monday) == changes(halved, monday)


def test_a_quarterly_source_is_late_only_when_it_is_later_than_ever(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    quarters = ["2022-10-05", "2023-01-05", "2023-04-05", "2023-07-05", "2023-10-05", "2024-01-05"]
    signals = [row("risk_signals", recorded_at=f"{day}T09:00:00") for day in quarters]
    put(con, company(raw, risk_signals=signals))
    mondays = [MONDAY - n * WEEK for n in range(20)]
    late = find_changes(read_feeds(con, mondays, timezone="UTC"), mondays, freshness_days=7)
    # Up to 91 days were usual, at most 87 of them on a Monday; so it is late from 143 days on.
    assert [(finding.change, finding.snapshot_date) for finding in late] == [
        ("late", date(2024, 5, 27)),
        ("late", date(2024, 6, 3)),
        ("late", date(2024, 6, 10)),
    ]


def test_a_row_counts_for_its_week_if_it_was_known_when_the_week_ended(
    con: duckdb.DuckDBPyConnection, raw: Path
) -> None:
    in_time, too_late = "2024-06-09T20:00:00", "2024-06-10T20:00:00"
    rows = [row("support_tickets", ticket_id=f"T{n}", created_date="2024-06-05T10:00:00", loaded_at=at)
            for n, at in enumerate([in_time, in_time, too_late])]  # fmt: skip
    put(con, company(raw, support_tickets=rows))
    # Asked on that Monday or a week later, when the third row is known too.
    for mondays in ([MONDAY], [MONDAY, MONDAY + WEEK]):
        tickets = next(
            source_feed
            for source_feed in read_feeds(con, mondays, timezone="UTC")
            if source_feed.source == "support_tickets"
        )
        assert tickets.days == {date(2024, 6, 5): 2}


def test_a_day_is_a_day_of_the_time_zone(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    ticket = row("support_tickets", created_date="2024-06-05T23:30:00")
    put(con, company(raw, support_tickets=[ticket]), timezone="Europe/Berlin")
    tickets = next(
        source_feed
        for source_feed in read_feeds(con, [MONDAY], timezone="Europe/Berlin")
        if source_feed.source == "support_tickets"
    )
    assert tickets.days == {date(2024, 6, 6): 1}


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Callable[[tuple[Shock, ...]], list[Finding]]:
    """What is found on the 26 Mondays before S of a company of 600."""

    def make(shocks: tuple[Shock, ...]) -> list[Finding]:
        folder = tmp_path_factory.mktemp("feeds")
        write(simulate(Simulation(customers=600, weeks=40, until=S, seed=21, shocks=shocks)), folder)
        with duckdb.connect(config={"threads": 2}) as con:
            now = datetime(2026, 6, 1, 12, tzinfo=UTC)
            land(con, folder / "raw", now=now, timezone="UTC", run_id="run", max_bad_share=1, max_bad_rows=0)
            mondays = [S - n * WEEK for n in range(26)]
            return find_changes(read_feeds(con, mondays, timezone="UTC"), mondays, freshness_days=7)

    return make


def test_undisturbed_weeks_of_a_simulated_company_are_not_named(
    simulated: Callable[[tuple[Shock, ...]], list[Finding]],
) -> None:
    assert simulated(()) == []


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("feed", {("halved", ""), ("lost type", "evidence_upload"), ("lost type", "report_view")}),
        ("usage", {("api_call", True), ("monitoring_run", True)}),
    ],
)
def test_shocks_are_named_on_the_first_monday_after_them(
    kind: str, expected: set[tuple[str, object]], simulated: Callable[[tuple[Shock, ...]], list[Finding]]
) -> None:
    findings = simulated((Shock(kind, 3),))
    assert {finding.snapshot_date for finding in findings if finding.snapshot_date <= S - 2 * WEEK} == {S - 2 * WEEK}
    first = [finding for finding in findings if finding.snapshot_date == S - 2 * WEEK]
    if kind == "usage":
        assert {(finding.what, True) for finding in first} == expected
    else:
        assert {(finding.change, finding.what) for finding in first} >= expected
