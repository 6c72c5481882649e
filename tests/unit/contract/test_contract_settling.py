"""How late departures are booked: as a setting says it, or as rows show that arrived after the end that they tell of."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn_pipeline.contract import lives, statements
from churn_pipeline.contract.declaration import CUSTOMERS, SUBSCRIPTIONS
from churn_pipeline.contract.lives import MAX_DELAY_DAYS, MIN_ENDS, RIPE_DAYS, YEAR_DAYS, Settling, Step
from churn_pipeline.core.calendar import WEEK, mondays
from tests.unit.contract.landing_helpers import company, put, row
from tests.unit.contract.test_contract_lives import LATER, of, sub

DAY = timedelta(days=1)
ORIGIN = date(2023, 1, 2)
STATED = Step(date(1970, 1, 1), 0, "stated")


@dataclass(frozen=True)
class Row:
    """A row of ``customers`` in days from ORIGIN."""

    signed: int
    churned: int | None
    loaded: int | None

    @property
    def known(self) -> int:
        return self.signed if self.loaded is None else max(self.signed, self.loaded)


def nothing_landed() -> duckdb.DuckDBPyConnection:
    con = duckdb.connect()
    con.execute("create schema landing")
    con.execute(f"create table {statements.create_sql(CUSTOMERS, 'landing.customers')}")
    con.execute(f"create table {statements.create_sql(SUBSCRIPTIONS, 'landing.subscriptions')}")
    lives.prepare(con)
    return con


def known_of(rows: list[Row], until: date | None = None) -> Settling:
    """What is known of late bookings from these rows, as far as they were there ``until`` a Monday."""
    con = nothing_landed()
    there = [entry for entry in rows if until is None or ORIGIN + entry.known * DAY < until]
    ends = [None if entry.churned is None else ORIGIN + entry.churned * DAY for entry in there]
    con.execute(
        """
        insert into landing.customers (customer_id, signup_date, churn_date, known_date)
        select unnest(?::varchar[]), unnest(?::date[]), unnest(?::date[]), unnest(?::date[])
        """,
        [
            [str(number) for number in range(len(there))],
            [ORIGIN + entry.signed * DAY for entry in there],
            [None if day is None or (until is not None and day >= until) else day for day in ends],
            [ORIGIN + entry.known * DAY for entry in there],
        ],
    )
    lives.derive_settling(con, 0, None, by_subscriptions=False)
    return lives.settling(con)


def worked_out(rows: list[Row], monday: date) -> int:
    """The same from the words: the largest so far of what each Monday could see."""
    day = (monday - ORIGIN).days
    late = [entry.known for entry in rows if entry.known > entry.signed]
    if not late:
        return 0
    largest = 0
    for now in range(day % 7, day + 1, 7):
        delays = sorted(
            max(entry.known - entry.churned, 0)
            for entry in rows
            if entry.churned is not None
            and now - RIPE_DAYS - YEAR_DAYS <= entry.churned < now - RIPE_DAYS
            and max(entry.known, entry.churned) < now
            and entry.churned >= min(late)
        )
        if len(delays) >= MIN_ENDS:
            largest = max(largest, delays[math.ceil(0.95 * len(delays)) - 1])
    return min(largest, MAX_DELAY_DAYS)


@st.composite
def customers(draw: st.DrawFn) -> list[Row]:
    rows = []
    for _ in range(draw(st.integers(0, 80))):
        signed = draw(st.integers(0, 200))
        churned = draw(st.none() | st.integers(0, 500).map(lambda days, signed=signed: signed + days))
        late = draw(st.none() | st.sampled_from([0, 1, 20, 60, 100, 150, 400]))
        loaded = None if late is None else (signed if churned is None else churned) + late
        rows.append(Row(signed, churned, loaded))
    return rows


# Half of the departures of two years were booked 20 days late, the others at once.
STEADY = [Row(0, 10 + 7 * week, None if week % 2 else 30 + 7 * week) for week in range(100)]


@settings(max_examples=15)
@given(customers())
def test_what_is_known_of_bookings_is_what_the_rows_show(rows: list[Row]) -> None:
    known = known_of(rows)
    for monday in list(mondays(ORIGIN, ORIGIN + 200 * WEEK))[::13]:
        assert known.at(monday).days == worked_out(rows, monday)


@settings(max_examples=15)
@given(customers(), st.integers(10, 150))
def test_what_is_known_of_bookings_at_a_monday_does_not_depend_on_what_came_later(rows: list[Row], week: int) -> None:
    monday = ORIGIN + week * WEEK
    now, later_on = (
        [step for step in known.steps if step.known_from <= monday]
        for known in (known_of(rows, until=monday), known_of(rows))
    )
    assert now == later_on


def test_half_of_the_departures_booked_20_days_late_are_a_delay_of_20_days_once_20_of_them_are_ripe() -> None:
    known = known_of(STEADY)
    assert [(step.days, step.basis) for step in known.steps] == [(0, "stated"), (20, "booked")]
    # What ended from the first late row on counts, which came on day 30.
    ripe = ORIGIN + (10 + 7 * (3 + MIN_ENDS - 1) + RIPE_DAYS) * DAY
    assert ripe < known.steps[1].known_from <= ripe + WEEK


def test_what_was_waited_for_once_is_waited_for_from_then_on() -> None:
    faster = [Row(800, 810 + 7 * week, 815 + 7 * week) for week in range(100)]
    assert known_of(faster).at(ORIGIN + 250 * WEEK).days == 5
    assert known_of([*STEADY, *faster]).at(ORIGIN + 250 * WEEK).days == 20


def test_a_past_that_was_loaded_at_once_is_no_late_booking() -> None:
    loaded_at_once = [Row(entry.signed, entry.churned, 750) for entry in STEADY]
    assert known_of(loaded_at_once).steps == (STATED,)


def test_fewer_than_20_departures_say_nothing() -> None:
    assert known_of(STEADY[: MIN_ENDS - 1]).steps == (STATED,)
    assert known_of([]).at(ORIGIN) == STATED


@pytest.mark.parametrize(
    ("gap", "given_days", "expected"),
    [
        (0, None, (0, "stated")),
        (0, 0, (0, "stated")),
        (0, 20, (20, "set")),
        (14, None, (14, "gap")),
        (14, 10, (14, "gap")),
        (14, 40, (40, "set")),
    ],
)
def test_a_setting_says_how_late_departures_are_booked_and_within_a_gap_nobody_waits_longer(
    gap: int, given_days: int | None, expected: tuple[int, str]
) -> None:
    con = nothing_landed()
    lives.derive_settling(con, gap, given_days, by_subscriptions=gap > 0)
    assert lives.settling(con).steps == (Step(STATED.known_from, *expected),)


def test_subscriptions_that_arrive_long_after_they_ended_are_late_bookings(
    con: duckdb.DuckDBPyConnection, raw: Path
) -> None:
    began = date(2024, 1, 10)
    rows = []
    for number in range(40):
        ended = began + (10 + 7 * number) * DAY
        rows.append(sub(str(began), str(ended), subscription_id=f"S{number}", loaded_at=str(ended + 50 * DAY)))
    of(con, raw, *rows)
    assert lives.settling(con).steps[-1].days == 50


def test_another_setting_is_taken_over_by_the_next_landing_though_no_file_changed(
    con: duckdb.DuckDBPyConnection, raw: Path
) -> None:
    company(raw, customers=[row("customers")])
    for days in (20, 7, None):
        put(con, raw, now=LATER, booking_delay_days=days)
        assert lives.settling(con).at(ORIGIN).days == (days or 0)
