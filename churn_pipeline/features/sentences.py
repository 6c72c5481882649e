"""How a value is written, and the templates of the sentences that people read.

A template is text with slots. ``{value}`` is the feature's own value, ``{peers}`` what similar customers have, ``{month_before}`` says when the 30
days before the last 30 were, and any other name is a column of the mart that has a format. After a colon a slot says how:

- of a count, its noun: ``{value:ticket}`` is "no tickets", "1 ticket", "11 tickets"; ``{value:day with activity|days with activity}`` where the
  plural is no added s. ``/week`` after it makes a weekly rate of a count over the days in the column's name: ``{events_last_30d:event/week}``.
- of days, ``age`` ("44 days", "7 months", "3 years") or ``ahead`` ("in 44 days", "tomorrow"); of hours, ``time`` ("31 hours", "5 days").
- of points, ``moved`` ("fell by 12 points") or ``apart`` ("12 points below"); of a percent that is a ratio, ``change`` ("down 12 %") or ``apart``
  ("12 % below").

What stands in square brackets is left out where one of its slots is unknown, or 0: ``{value:ticket}[, {critical_tickets_90d} critical]``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from string import Formatter
from typing import Any, Literal

from churn_pipeline.core.formatting import MINUS, counted, usd

Format = Literal["count", "days", "usd", "percent", "score", "points", "hours", "category", "boolean", "date"]

VALUE, PEERS, MONTH_BEFORE = "value", "peers", "month_before"

_SPECS: dict[str, frozenset[str]] = {
    "days": frozenset({"age", "ahead"}),
    "hours": frozenset({"time"}),
    "points": frozenset({"moved", "apart"}),
    "percent": frozenset({"change", "apart"}),
}
_WEEK = "/week"
_WINDOW = re.compile(r"_(\d+)d$")


@dataclass(frozen=True)
class Slot:
    """A place in a template that a value fills.

    Attributes:
        name: ``value``, ``peers``, ``month_before`` or a column of the mart.
        spec: how it is written; empty for the usual way.
    """

    name: str
    spec: str


@dataclass(frozen=True)
class Segment:
    """A piece of a template; an optional one is left out where a slot of it is unknown, or 0."""

    pieces: tuple[str | Slot, ...]
    optional: bool


@dataclass(frozen=True)
class Template:
    """A parsed sentence."""

    segments: tuple[Segment, ...]

    @property
    def slots(self) -> Iterator[Slot]:
        return (piece for segment in self.segments for piece in segment.pieces if isinstance(piece, Slot))


def parse(text: str) -> Template:
    """Takes a template apart.

    Raises:
        ValueError: a bracket or brace has no other half, or an optional part has no slot that could decide about it.
    """
    segments = []
    for position, part in enumerate(re.split(r"\[([^\[\]]*)\]", text)):
        if "[" in part or "]" in part:
            raise ValueError("a square bracket without its other half")
        pieces: list[str | Slot] = []
        for literal, name, spec, conversion in Formatter().parse(part):
            if conversion:
                raise ValueError(f"'!{conversion}' means nothing here")
            if literal:
                pieces.append(literal)
            if name is not None:
                pieces.append(Slot(name, spec or ""))
        optional = position % 2 == 1
        if optional and not any(isinstance(piece, Slot) for piece in pieces):
            raise ValueError(f"[{part}] holds no value that could be unknown")
        if pieces:
            segments.append(Segment(tuple(pieces), optional))
    return Template(tuple(segments))


def problem_of(slot: Slot, column: str, form: Format) -> str | None:
    """What is wrong with how a slot is to be written, or None.

    Args:
        slot: of a template.
        column: whose value fills it.
        form: the format of that column.
    """
    spec = slot.spec
    if spec.endswith(_WEEK) and not _WINDOW.search(column):
        return f"{column} does not say over how many days it counts, so there is no rate of a week"
    if spec and form != "count" and spec not in _SPECS.get(form, ()):
        return f"{form} cannot be written as {spec!r}"
    return None


def value_text(form: Format, value: Any) -> str:
    """A value that is known as a person writes it. ``percent`` expects a share (0.25 is "25 %"), ``points`` a difference of shares."""
    match form:
        case "category":
            return str(value)
        case "boolean":
            return "yes" if value else "no"
        case "date":
            return f"{value.day} {value:%b %Y}"
    number = float(value)
    match form:
        case "count":
            return f"{number:,.0f}" if number.is_integer() else f"{number:,.1f}"
        case "days":
            return f"{number:,.0f} day" if round(number) == 1 else f"{number:,.0f} days"
        case "hours":
            return f"{number:,.1f} hours"
        case "usd":
            return usd(number)
        case "percent":
            return f"{100 * number:,.0f} %"
        case "points":
            whole = _whole(100 * abs(number))
            sign = "" if not whole else "+" if number > 0 else MINUS
            return f"{sign}{counted(whole, 'point')}"
    return f"{number:.2f}"


def slot_text(form: Format, spec: str, column: str, value: Any) -> str:
    """A value that is known, as a slot of a template asks for it.

    Args:
        form: of the column.
        spec: of the slot; one that ``problem_of`` has nothing against.
        column: its name, which says over how many days it counts.
        value: of the column.
    """
    match form, spec:
        case _, "" if form != "count":
            return value_text(form, value)
        case "days", "age":
            return _age(float(value))
        case "days", "ahead":
            return {0: "today", 1: "tomorrow"}.get(round(float(value)), f"in {value_text(form, value)}")
        case "hours", "time":
            return _time(float(value))
        case "points", "moved":
            whole = _whole(100 * abs(float(value)))
            return f"{'rose' if value > 0 else 'fell'} by {counted(whole, 'point')}" if whole else "did not move"
        case "points", "apart":
            whole = _whole(100 * abs(float(value)))
            return f"{counted(whole, 'point')} {'above' if value > 0 else 'below'}" if whole else "level with"
        case "percent", "change" | "apart":
            whole = _whole(100 * abs(float(value) - 1))
            up, down, same = ("up", "down", "unchanged") if spec == "change" else ("above", "below", "level with")
            direction = up if value > 1 else down
            return same if not whole else f"{direction} {whole:,} %" if spec == "change" else f"{whole:,} % {direction}"
    return _count(float(value), spec, column)


def month_before(snapshot_date: date) -> str:
    """When the 30 days before the last 30 were, as one says it: "in September" where two thirds of them lie in that month.

    Args:
        snapshot_date: the Monday.
    """
    days = [date.fromordinal(snapshot_date.toordinal() - age) for age in range(31, 61)]
    middle = days[len(days) // 2]
    inside = sum((day.year, day.month) == (middle.year, middle.month) for day in days)
    return f"in {middle:%B}" if inside >= 20 else "the month before"


def sentence_case(text: str) -> str:
    """With a capital at its beginning."""
    return text[:1].upper() + text[1:]


def _count(number: float, spec: str, column: str) -> str:
    weekly = spec.endswith(_WEEK)
    singular, _, plural = spec.removesuffix(_WEEK).partition("|")
    plural = plural or (f"{singular}s" if singular else "")
    if number == 0:
        return f"no {plural}" if plural else "none"
    if weekly:
        window = _WINDOW.search(column)
        assert window is not None, "checked when the catalogue is read"
        number = 7 * number / int(window[1])
        if number < 1:
            return f"under 1 {singular}".rstrip()
        number = float(_whole(number))
    text = value_text("count", number)
    return f"{text} {singular if number == 1 else plural}".rstrip()


def _age(days: float) -> str:
    if days < 90:
        return value_text("days", days)
    # Two years are 730 or 731 days.
    if days < 731:
        return counted(int(days / 30.4375), "month")
    return counted(int(days / 365.25), "year")


def _time(hours: float) -> str:
    if hours < 1:
        return "less than an hour"
    if hours < 100:
        return counted(_whole(hours), "hour")
    return counted(_whole(hours / 24), "day")


def _whole(number: float) -> int:
    # Python's round takes halves to the even number, and a reader does not.
    return math.floor(number + 0.5)
