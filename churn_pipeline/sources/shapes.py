"""What the values of a column look like, as far as it helps to tell which column it is."""

from __future__ import annotations

import re
from collections.abc import Sequence

from churn_pipeline.contract.declaration import Column, Kind
from churn_pipeline.sources.names import meaning

_DAY = (
    r"(\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](\d{4}|\d{2})|\d{8}|\d{1,2}[- ][A-Za-z]{3,9}[-, ]+\d{2,4}"
    r"|[A-Za-z]{3,9}\.? \d{1,2},? \d{4})"
)
_MOMENT = re.compile(
    _DAY + r"([T ,]+\d{1,2}:\d{2}(:\d{2})?([.,]\d+)?( ?[AaPp][Mm])?)?( ?(Z|UTC|GMT|[+-]\d{2}:?(\d{2})?))?"
)
_EPOCH = re.compile(r"1\d{9}(\d{3})?(\.\d+)?|[2-9]\d{8}")
_NUMBER = re.compile(
    r"[-+(]?\s*([$€£¥]|[A-Z]{3}\s?)?\s*[-+]?\d{1,3}([, .'’]?\d{3})*([.,]\d+)?\s*([$€£¥%]|\s?[A-Z]{3})?\)?|[-+]?\d*[.,]?\d+([eE][+-]?\d+)?"
)
_WHOLE = re.compile(r"\d{1,12}(\.0+)?")
_FLAGS = {"true", "false", "t", "f", "yes", "no", "y", "n", "0", "1", "on", "off"}
_AMBIGUOUS = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4}|\d{2})\b.*")


def fit(column: Column, values: Sequence[str]) -> float:
    """The share of values that can be what a column of the contract wants; 0.5 where there are none."""
    if not values:
        return 0.5
    return sum(_fits(column, value) for value in values) / len(values)


def _fits(column: Column, value: str) -> bool:
    match column.kind:
        case Kind.DATE | Kind.INSTANT:
            return bool(_MOMENT.fullmatch(value) or _EPOCH.fullmatch(value))
        case Kind.MONEY | Kind.HOURS:
            return bool(_NUMBER.fullmatch(value)) and not _MOMENT.fullmatch(value)
        case Kind.SHARE:
            return bool(_NUMBER.fullmatch(value)) and (share(value) or 0) <= 100
        case Kind.COUNT:
            return bool(_WHOLE.fullmatch(value))
        case Kind.FLAG:
            return value.lower() in _FLAGS
        case Kind.CATEGORY:
            return meaning(value, column)[0] is not None
        case _:
            return not (_MOMENT.fullmatch(value) and not value.isdigit())


def share(value: str) -> float | None:
    """A plain number; None where it is written in another way."""
    try:
        return float(value.rstrip("%").replace(",", "."))
    except ValueError:
        return None


def day_order(values: Sequence[str]) -> str:
    """For dates such as 04/05/2026: ``both`` where day and month could each come first, else empty."""
    matches = [_AMBIGUOUS.fullmatch(value) for value in values]
    if not values or not all(matches):
        return ""
    first = {int(match[1]) for match in matches if match}
    second = {int(match[3]) for match in matches if match}
    return "both" if max(first) <= 12 and max(second) <= 12 else ""


def is_unique(distinct: float) -> bool:
    """Whether a column tells rows apart, a few repeated ones aside."""
    return distinct >= 0.98
