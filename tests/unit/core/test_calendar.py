"""Dates."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn_pipeline.core import calendar
from churn_pipeline.core.errors import InputError

DAYS = st.dates(date(1990, 1, 1), date(2090, 1, 1))


def test_a_date_that_is_no_monday_is_refused_naming_the_two_nearest() -> None:
    with pytest.raises(InputError, match=r"2026-11-18 is a Wednesday.*2026-11-16 and 2026-11-23"):
        calendar.parse_monday("2026-11-18")


@pytest.mark.parametrize("text", ["2026-13-01", "yesterday", "", "2026-11-16T08:00"])
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="YYYY-MM-DD"):
        calendar.parse_monday(text)


@given(DAYS, st.integers(1, 26))
def test_training_mondays_lie_on_one_grid_whoever_asks(day: date, cadence: int) -> None:
    monday = calendar.monday_on_or_before(day)
    training = calendar.training_monday(monday, cadence)
    assert training <= monday < training + cadence * calendar.WEEK
    assert calendar.week_index(training) % cadence == 0
    assert calendar.training_monday(training, cadence) == training


@given(DAYS, DAYS)
def test_the_mondays_of_a_range_are_all_and_only_those_in_it(start: date, end: date) -> None:
    mondays = list(calendar.mondays(start, end))
    expected = [
        start + timedelta(days=n) for n in range((end - start).days) if (start + timedelta(days=n)).weekday() == 0
    ]
    assert mondays == expected


@pytest.mark.parametrize(
    ("instant", "zone", "expected"),
    [
        # The clocks of New York go back on Sunday 2026-11-01: Monday begins at 05:00 UTC from then on, at 04:00 before.
        (datetime(2026, 11, 2, 4, 59, tzinfo=UTC), "America/New_York", date(2026, 10, 26)),
        (datetime(2026, 11, 2, 5, 0, tzinfo=UTC), "America/New_York", date(2026, 11, 2)),
        (datetime(2026, 10, 26, 4, 0, tzinfo=UTC), "America/New_York", date(2026, 10, 26)),
        (datetime(2026, 11, 1, 11, 0, tzinfo=UTC), "Pacific/Auckland", date(2026, 11, 2)),
        (datetime(2026, 11, 1, 23, 59, tzinfo=UTC), "UTC", date(2026, 10, 26)),
    ],
)
def test_a_monday_begins_at_midnight_of_the_configured_zone(instant: datetime, zone: str, expected: date) -> None:
    assert calendar.latest_monday(instant, zone) == expected


MONDAY = date(2026, 11, 16)


def weeks_ago(*weeks: int) -> list[date]:
    return [MONDAY - number * calendar.WEEK for number in weeks]


@pytest.mark.parametrize(
    ("published", "asked_for", "missed"),
    [
        (1, [], []),
        (2, [], [1]),
        (4, [], [3, 2, 1]),
        (0, [], []),
        (4, [2], [3, 1]),
        (4, [3, 2, 1], []),
        (52, [], [5, 4, 3, 2, 1]),
        (52, [5, 4, 3, 2], [1]),
    ],
)
def test_what_was_missed_is_every_monday_since_the_newest_published_that_nobody_asked_for_and_five_at_most(
    published: int, asked_for: list[int], missed: list[int]
) -> None:
    (newest,) = weeks_ago(published)
    assert calendar.missed(MONDAY, newest, weeks_ago(*asked_for)) == weeks_ago(*missed)


def test_a_home_that_never_published_has_missed_nothing() -> None:
    assert calendar.missed(MONDAY, None, []) == []
