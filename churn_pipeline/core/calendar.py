"""Arithmetic on snapshot dates. Everything is a ``datetime.date``; windows over a DST change are 167 or 169 hours long, so
hours never appear here."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from churn_pipeline.core.errors import InputError

WEEK = timedelta(days=7)
# The Monday that the training grid counts from.
GRID_EPOCH = date(1970, 1, 5)
# Mondays that a machine which was off makes up for by itself: a month and a little. After more, somebody should choose the range.
CATCH_UP = 5


def is_monday(day: date) -> bool:
    return day.weekday() == 0


def monday_on_or_before(day: date) -> date:
    return day - timedelta(days=day.weekday())


def latest_monday(now: datetime, timezone: str) -> date:
    """The newest Monday that has begun, on the wall clock of ``timezone``.

    Args:
        now: an aware instant.
        timezone: an IANA name.
    """
    return monday_on_or_before(now.astimezone(ZoneInfo(timezone)).date())


def parse_monday(text: str) -> date:
    """Reads ``YYYY-MM-DD`` and refuses anything that is not a Monday, naming the two nearest.

    Raises:
        InputError: the text is no date, or the date is no Monday.
    """
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise InputError(f"'{text}' is not a date; write it as YYYY-MM-DD") from None
    if not is_monday(day):
        before = monday_on_or_before(day)
        raise InputError(
            f"{day} is a {day:%A}, and a snapshot is always a Monday; the nearest are {before} and {before + WEEK}"
        )
    return day


def mondays(start: date, end: date) -> Iterator[date]:
    """The Mondays of ``[start, end)``, oldest first."""
    day = start if is_monday(start) else monday_on_or_before(start) + WEEK
    while day < end:
        yield day
        day += WEEK


def missed(latest: date, newest_published: date | None, asked_for: Collection[date]) -> list[date]:
    """The Mondays before ``latest`` that nobody asked for since the newest published one, oldest first.

    Only the last CATCH_UP Mondays are looked at. A Monday that was asked for and refused, or that failed, was not missed.

    Args:
        latest: the Monday that is due by itself.
        newest_published: None where nothing was ever published; such a home has missed nothing.
        asked_for: Mondays that a run was made for, whatever became of it.
    """
    if newest_published is None:
        return []
    first = max(newest_published + WEEK, latest - CATCH_UP * WEEK)
    return [day for day in mondays(first, latest) if day not in asked_for]


def week_index(monday: date) -> int:
    """Whole weeks since 1970-01-05."""
    return (monday - GRID_EPOCH).days // 7


def training_monday(monday: date, cadence_weeks: int) -> date:
    """The newest Monday of the training grid that is not after ``monday``.

    The grid is fixed (week index divisible by the cadence), so which model a week gets never depends on when anybody
    started to run the pipeline.
    """
    return monday - (week_index(monday) % cadence_weeks) * WEEK
