"""What was expected and what became of it, as plain values: the same of both edges, whoever judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Failing rows and values that a result keeps: enough to see a pattern, few enough to read.
SAMPLE = 10


@dataclass(frozen=True)
class Expectation:
    """Something that is expected of a table.

    Attributes:
        name: identifies it among those of its table, in words.
        sentence: what is expected, for whoever reads the page or the result.
    """

    name: str
    sentence: str


@dataclass(frozen=True)
class Verdict:
    """What became of one expectation.

    Attributes:
        observed: what was found instead, in words; empty where it was met.
        rows: failing rows by column: a sample of at most ``SAMPLE``, or every Monday whose week was not as expected.
        count: how many of them there are.
    """

    expected: Expectation
    passed: bool
    observed: str = ""
    rows: tuple[Mapping[str, Any], ...] = ()
    count: int = 0


@dataclass(frozen=True)
class FailingRows:
    """A sample of rows that do not meet an expectation: keys and the columns concerned, no personal data.

    Attributes:
        rule: what they do not meet, in words.
        total: how many there are; ``rows`` has at most ``SAMPLE``.
    """

    rule: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    total: int


@dataclass(frozen=True)
class Judgement:
    """The verdicts on a table.

    Attributes:
        of: what was judged, as the page calls it.
        run: which landing or Monday, in words.
    """

    of: str
    run: str
    verdicts: tuple[Verdict, ...]

    @property
    def failed(self) -> list[Verdict]:
        return [verdict for verdict in self.verdicts if not verdict.passed]


def unexpected(count: int, total: int, values: Sequence[Any] = ()) -> str:
    """How many rows do not meet an expectation, and what some of them say instead, as a sentence."""
    some = f": {', '.join(short(value) for value in values[:3])}" if values else ""
    return f"{count:,} of {total:,} rows do not{some}."


def short(value: Any) -> str:
    """A value as a sentence shows it."""
    if isinstance(value, float):
        return f"{value:,.0f}" if value.is_integer() else f"{value:.6g}"
    if isinstance(value, list):
        return "(" + ", ".join(short(item) for item in value) + ")"
    return str(value)
