"""Dates and instants in whatever form they are written, as SQL.

What is written in ISO 8601 is read as it stands. Any other form is first rewritten as ISO, or as an instant where it counts from 1970, and
then read by the same rules, so that the time zone means the same in every form.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from churn_pipeline.contract.declaration import Kind
from churn_pipeline.core.sql import literal

# Only from the year 1000 on. DuckDB alone would also take 'epoch', 'infinity' and '44-03-15 (BC)', and time zone arithmetic raises far
# outside of the calendar. 9999-12-31 is a common way to write never.
FIRST_DAY, LAST_DAY = "DATE '1000-01-01'", "DATE '9999-12-31'"
_DAY = r"[1-9]\d{3}-\d{1,2}-\d{1,2}"
_MIDNIGHT = _DAY + r"([T ]0?0:00(:00(\.0+)?)?)?"
_NAIVE = _DAY + r"[T ]\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?"
_ZONED = _NAIVE + r" ?(Z|z|UTC|[+-]\d{2}(:?\d{2})?)"

_CLOCK_12 = r"\d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)? ?[AaPp]\.?[Mm]\.?"
_CLOCKS_12 = "['%I:%M:%S.%f %p', '%I:%M:%S %p', '%I:%M %p']"

ISO = "%Y-%m-%d"
EPOCHS: Mapping[str, int] = MappingProxyType({"epoch_seconds": 1_000_000, "epoch_milliseconds": 1_000})
# A number is a moment where it counts seconds or milliseconds to a day between these; the two ranges are far apart, and what is written as
# YYYYMMDD lies outside of both.
_EPOCH_FROM, _EPOCH_TO = 631_152_000, 4_102_444_800  # 1990-01-01 and 2100-01-01
_NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"


@dataclass(frozen=True)
class DayForm:
    """A form of dates, each with or without a time of day and an offset behind it.

    Attributes:
        format: of the day alone, as ``strptime`` has it; the name of the form.
        spoken: the form in the letters of spreadsheets.
        pattern: what a day of this form looks like.
        exact: only taken where it fits every value.
    """

    format: str
    spoken: str
    pattern: str
    exact: bool = False


_YEAR = r"[1-9]\d{3}"
FORMS: Mapping[str, DayForm] = MappingProxyType(
    {
        form.format: form
        for form in (
            # What the plain reading does not take of it: a clock of twelve hours, say.
            DayForm(ISO, "YYYY-MM-DD", _DAY),
            DayForm("%Y/%m/%d", "YYYY/MM/DD", _YEAR + r"/\d{1,2}/\d{1,2}"),
            DayForm("%Y.%m.%d", "YYYY.MM.DD", _YEAR + r"\.\d{1,2}\.\d{1,2}"),
            DayForm("%m/%d/%Y", "MM/DD/YYYY", r"\d{1,2}/\d{1,2}/" + _YEAR),
            DayForm("%d/%m/%Y", "DD/MM/YYYY", r"\d{1,2}/\d{1,2}/" + _YEAR),
            DayForm("%d.%m.%Y", "DD.MM.YYYY", r"\d{1,2}\.\d{1,2}\." + _YEAR),
            DayForm("%d-%m-%Y", "DD-MM-YYYY", r"\d{1,2}-\d{1,2}-" + _YEAR),
            DayForm("%m-%d-%Y", "MM-DD-YYYY", r"\d{1,2}-\d{1,2}-" + _YEAR),
            DayForm("%Y%m%d", "YYYYMMDD", r"(?:1[5-9]|2\d|99)\d{6}"),
            DayForm("%d-%b-%Y", "DD-Mon-YYYY", r"\d{1,2}-[A-Za-z]{3}-" + _YEAR),
            DayForm("%d %b %Y", "DD Mon YYYY", r"\d{1,2} [A-Za-z]{3} " + _YEAR),
            DayForm("%b %d, %Y", "Mon DD, YYYY", r"[A-Za-z]{3} \d{1,2}, " + _YEAR),
            DayForm("%d %B %Y", "DD Month YYYY", r"\d{1,2} [A-Za-z]{3,9} " + _YEAR),
            DayForm("%B %d, %Y", "Month DD, YYYY", r"[A-Za-z]{3,9} \d{1,2}, " + _YEAR),
            DayForm("%m/%d/%y", "MM/DD/YY", r"\d{1,2}/\d{1,2}/\d{2}", exact=True),
            DayForm("%d/%m/%y", "DD/MM/YY", r"\d{1,2}/\d{1,2}/\d{2}", exact=True),
            DayForm("%d.%m.%y", "DD.MM.YY", r"\d{1,2}\.\d{1,2}\.\d{2}", exact=True),
            DayForm("%d-%b-%y", "DD-Mon-YY", r"\d{1,2}-[A-Za-z]{3}-\d{2}", exact=True),
        )
    }
)
# Forms that may read one value as two different days.
RIVALS: Sequence[tuple[str, str]] = (
    ("%m/%d/%Y", "%d/%m/%Y"),
    ("%d-%m-%Y", "%m-%d-%Y"),
    ("%m/%d/%y", "%d/%m/%y"),
)


def spoken(name: str) -> str:
    """A form in the words of a message."""
    if name in EPOCHS:
        return name.replace("epoch_", "") + " since 1970"
    return FORMS[name].spoken if name in FORMS else name


def shaped(values: Iterable[str]) -> list[str]:
    """The forms and epochs in whose shape any of the values is."""
    texts = list(values)
    shapes = {name: re.compile(form.pattern + r"(?:$|[T ,])", re.ASCII) for name, form in FORMS.items()}
    names = [name for name, shape in shapes.items() if any(shape.match(text) for text in texts)]
    if any(re.fullmatch(_NUMBER, text, re.ASCII) for text in texts):
        names += EPOCHS
    return names


def from_text(kind: Kind, text: str) -> str:
    """SQL of the date or the instant that ``text``, in ISO 8601, stands for.

    Each value passes through as few patterns and casts as can be: text is common, and there are millions of events.
    """
    day, naive = f"try_cast({text} as DATE)", f"try_cast({text} as TIMESTAMP)"
    zoned = zoned_instant(text)
    if kind is Kind.INSTANT:
        return matching(text, (_NAIVE, naive), (_DAY, f"local_midnight({day})"), (_ZONED, zoned))
    return matching(text, (_MIDNIGHT, day), (_NAIVE, f"local_date({naive})"), (_ZONED, f"local_date({zoned})"))


def zoned_instant(text: str) -> str:
    """SQL of the UTC timestamp that ``text``, in ISO 8601 with an offset, stands for."""
    # DuckDB knows no blank before an offset. The session's zone is UTC while landing.
    return f"timezone('UTC', try_cast(replace(replace({text}, ' +', '+'), ' -', '-') as TIMESTAMPTZ))"


def given_zone(text: str) -> str:
    """SQL of the UTC timestamp where ``text`` is ISO 8601 with an offset, else null."""
    return matching(text, (_ZONED, zoned_instant(text)))


def matching(text: str, *readings: tuple[str, str]) -> str:
    """The reading of the first pattern that matches ``text`` as a whole, else null."""
    branches = " ".join(f"when regexp_full_match({text}, {literal(pattern)}) then {sql}" for pattern, sql in readings)
    return f"case {branches} end"


def rewritten(name: str, text: str) -> tuple[str, str]:
    """SQL that brings ``text``, written in the form ``name``, into one that is read as it stands; and the type of it.

    Args:
        name: a key of ``FORMS`` or ``EPOCHS``, or any ``strptime`` format.

    Returns:
        the SQL, null where the text has not this form, and its DuckDB type.
    """
    if name in EPOCHS:
        return _from_epoch(EPOCHS[name], text), "TIMESTAMP WITH TIME ZONE"
    if name in FORMS:
        return _as_iso(FORMS[name], text), "VARCHAR"
    return _by_format(name, text)


def _from_epoch(micros: int, text: str) -> str:
    count = f"try_cast({text} as DECIMAL(22, 6))"
    unit = 1_000_000 // micros
    plausible = f"{count} between {_EPOCH_FROM * unit} and {_EPOCH_TO * unit}"
    moment = f"case when {plausible} then make_timestamptz(({count} * {micros})::BIGINT) end"
    # A number that passed through a floating column may be written with an exponent.
    return f"case when regexp_full_match({text}, {literal(_NUMBER)}) then {moment} end"


def _as_iso(form: DayForm, text: str) -> str:
    day_text = f"regexp_extract({text}, {literal('^' + form.pattern)})"
    day = f"try_strptime({day_text}, {literal(form.format)})::DATE::VARCHAR"
    rest = f"regexp_replace(substr({text}, length({day_text}) + 1), '^(T|[ ,]+)', '')"
    clock_text = f"regexp_extract({rest}, {literal('^' + _CLOCK_12)})"
    spaced = f"upper(regexp_replace({clock_text}, {literal(r' ?([AaPp])\.?[Mm]\.?$')}, {literal(r' \1M')}))"
    clock = f"try_strptime({spaced}, {_CLOCKS_12})::TIME::VARCHAR || substr({rest}, length({clock_text}) + 1)"
    time = f"case when {rest} = '' then '' when {clock_text} = '' then ' ' || {rest} else ' ' || {clock} end"
    # A day may not run on into more digits, as 2024-01-100 would.
    shape = "^" + form.pattern + r"(?:$|[T ,])"
    return f"case when regexp_matches({text}, {literal(shape)}) then {day} || replace({time}, 'GMT', 'UTC') end"


def _by_format(name: str, text: str) -> tuple[str, str]:
    if "%z" in name or "%Z" in name:
        offset = f"regexp_replace({text}, '[Zz]$', '+00:00')" if "%z" in name else text
        return f"try_strptime({offset}, {literal(name)})", "TIMESTAMP WITH TIME ZONE"
    moment = f"try_strptime({text}, {literal(name)})"
    has_time = any(directive in name for directive in ("%H", "%I", "%S", "%f", "%X", "%c"))
    return (moment, "TIMESTAMP") if has_time else (f"{moment}::DATE", "DATE")
