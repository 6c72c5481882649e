"""Every number in a text, whatever it is written as, and whether it is one of the numbers that a text may use.

The same reading is used of the facts and of what a writer made of them, so that ``$86K``, ``86,138 dollars`` and ``eighty-six thousand dollars``
are one amount. A text has no figure that is overlooked because it is spelled out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise

from churn_pipeline.customers.briefs.words import MEETING_LENGTH, OWN_ITEMS, each

# A percentage, and any difference in points, may be this far from the fact.
POINTS = 2.0
# The same of an amount or a large count, as a share: rounding, no more.
ROUNDING = 0.02
# After "about" or "over" a reader expects no more than this.
HEDGED = 0.10
# Below this many a count or a number of days is exact: nobody rounds 11 trials to 12.
EXACT_BELOW = 20

_MONTH_DAYS, _YEAR_DAYS = 30.4375, 365.25
_SPANS = {"day": 1.0, "week": 7.0, "month": _MONTH_DAYS, "quarter": 3 * _MONTH_DAYS, "year": _YEAR_DAYS}
_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "january jan",
            "february feb",
            "march mar",
            "april apr",
            "may",
            "june jun",
            "july jul",
            "august aug",
            "september sept sep",
            "october oct",
            "november nov",
            "december dec",
        ),
        start=1,
    )
    for name in names.split()
}
_SMALL = {
    word: number
    for number, word in enumerate(
        each(
            "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
        )
    )
}
_TENS = {
    word: 10 * number
    for number, word in enumerate(each("twenty thirty forty fifty sixty seventy eighty ninety"), start=2)
}
_SCALES = {"hundred": 100, "thousand": 1_000, "million": 1_000_000, "billion": 1_000_000_000}
_LETTERS = {"k": 1e3, "m": 1e6, "mn": 1e6, "b": 1e9, "bn": 1e9}


class Unit(StrEnum):
    """What a number counts."""

    COUNT = "count"
    PERCENT = "percent"
    MONEY = "money"
    DAYS = "days"
    HOURS = "hours"
    TIMES = "times"
    DATE = "date"


@dataclass(frozen=True)
class Figure:
    """A number in a text.

    Attributes:
        unit: what it counts.
        values: what it may mean, as this project writes numbers first: ``1.234`` is two numbers. Of a fact the first counts.
        text: as written.
        start: where it begins in the text.
        end: where it ends.
        grain: of days, how many days the word counts: a week's is 7.
        is_hedged: "about", "nearly", "over" stands before it.
        day: of a date, (year, month, day), None for what is not said.
    """

    unit: Unit
    values: tuple[float, ...]
    text: str
    start: int
    end: int
    grain: float = 1.0
    is_hedged: bool = False
    day: tuple[int | None, int | None, int | None] = (None, None, None)


def figures(text: str) -> list[Figure]:
    """All numbers of a text, in its order."""
    dates = list(_dates(text))
    covered = [(figure.start, figure.end) for figure in dates]

    def is_free(match: re.Match[str]) -> bool:
        return all(match.end() <= start or match.start() >= end for start, end in covered)

    numbers: list[Figure] = []
    for pattern, read in _READINGS:
        for match in pattern.finditer(text):
            if is_free(match) and (figure := read(match)) is not None:
                covered.append((figure.start, figure.end))
                numbers.append(figure)
    ordered = sorted([*dates, *numbers], key=lambda figure: figure.start)
    return [
        replace(figure, is_hedged=bool(_HEDGE.search(text[: figure.start]))) for figure in _ranges_shared(text, ordered)
    ]


def agrees(figure: Figure, facts: Iterable[Figure]) -> bool:
    """Whether a number is that of a fact, as near as people round."""
    return any(_is_near(figure, fact) for fact in facts)


def _is_near(figure: Figure, fact: Figure) -> bool:
    if Unit.DATE in (figure.unit, fact.unit):
        if figure.unit is not fact.unit:
            return False
        return any(
            all(wanted is None or wanted == known for wanted, known in zip(day, fact.day, strict=True))
            for day in _readings_of(figure)
        )
    return any(_is_close(value, figure, known, fact) for value in figure.values for known in fact.values[:1])


def _readings_of(figure: Figure) -> list[tuple[int | None, int | None, int | None]]:
    year, month, day = figure.day
    # 5/12 is in May or in December, by who writes it.
    return [figure.day, (year, day, month)] if "/" in figure.text or "." in figure.text else [figure.day]


def _is_close(value: float, figure: Figure, known: float, fact: Figure) -> bool:
    units = {figure.unit, fact.unit}
    if units <= {Unit.PERCENT, Unit.TIMES} and Unit.PERCENT in units:
        value, known = (
            100 * number if unit is Unit.TIMES else number
            for number, unit in ((value, figure.unit), (known, fact.unit))
        )
        return abs(value - known) <= POINTS
    if units == {Unit.COUNT, Unit.TIMES}:
        return value == known
    if figure.unit is not fact.unit:
        return False
    distance = abs(value - known)
    if figure.is_hedged and distance <= HEDGED * abs(known):
        return True
    match figure.unit:
        case Unit.MONEY:
            return distance <= ROUNDING * abs(known)
        case Unit.DAYS:
            return distance <= max(figure.grain / 2 if figure.grain > 1 else 0, POINTS if known > EXACT_BELOW else 0)
        case Unit.COUNT | Unit.HOURS:
            return distance <= (ROUNDING * abs(known) if known >= EXACT_BELOW else 0)
    return distance <= POINTS


def _ranges_shared(text: str, ordered: list[Figure]) -> Iterator[Figure]:
    """Of "30 to 40 %" the first number is a percentage too, and of "$80 to 90K" both are thousands of dollars."""
    shared = list(ordered)
    for place, (figure, following) in enumerate(pairwise(ordered)):
        if not _RANGE.fullmatch(text[figure.end : following.start]):
            continue
        scale = _scale_of(following.text) if not _scale_of(figure.text) > 1 else 1.0
        if figure.unit is Unit.COUNT and following.unit not in (Unit.COUNT, Unit.DATE):
            shared[place] = _as(figure, following.unit, following.grain * scale, following.grain)
        elif figure.unit is Unit.MONEY and following.unit is Unit.COUNT:
            shared[place] = _as(figure, Unit.MONEY, scale, 1.0)
            shared[place + 1] = _as(following, Unit.MONEY, 1.0, 1.0)
    return iter(shared)


def _as(figure: Figure, unit: Unit, factor: float, grain: float) -> Figure:
    return replace(figure, unit=unit, values=tuple(factor * value for value in figure.values), grain=grain)


def _scale_of(text: str) -> float:
    letter = re.search(r"(?<=\d)\s?(mn|bn|k|m|b)$", text.lower())
    return _LETTERS[letter[1]] if letter else 1.0


# Words.
_WORD = r"(?:zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)"
_SCALE = r"(?:hundred|thousand|million|billion)"
_SPELLED = rf"(?:(?:{_WORD}|an?(?=[ -]{_SCALE}))(?:(?:[ -]|\s+and\s+)(?:{_WORD}|{_SCALE}))*)"
_DIGITS = r"\d+(?:[.,'\u2009\u00a0\u202f ]?\d{3})*(?:[.,]\d+)?"
_AMOUNT = rf"(?:{_DIGITS}|{_SPELLED})"
_SIGN = r"[+\-−–]?"
_AFTER = r"(?![\w])"
_SCALED = r"(?:\s?(?:[kK]|[mM]n?|[bB]n?)(?![\w])|\s(?:hundred|thousand|million|billion)\b)?"
_CURRENCY = r"[$€£¥]|\b(?:USD|US\$|EUR|GBP|CHF)\s?"
_CURRENCY_WORD = r"(?:US\s)?(?:dollars?|euros?|pounds?|USD|EUR|GBP|CHF|bucks)"
_UNIT_PERCENT = r"(?:\s?%|\s?per\s?cent\b|\s?percent\b|[ -]percentage points?\b|[ -]points?\b|\s?pp\b)"
_UNIT_SPAN = r"(?P<span>day|week|month|quarter|year)s?\b"
_HEDGE = re.compile(
    r"(?:\b(?:about|around|roughly|nearly|almost|some|over|approximately|approx\.?|more than|less than|under|close to|just over|just under|at least|up to)|[~≈])\s*[$€£]?\s*$",
    re.IGNORECASE,
)
_RANGE = re.compile(r"\s*(?:-|–|—|to|and|or)\s*", re.IGNORECASE)


def _number(text: str) -> tuple[float, ...]:
    """What digits or words may mean. Where a point or a comma could end thousands or whole numbers, both."""
    text = text.strip().lower().lstrip("+-−–")
    scale = 1.0
    if letter := re.search(r"(?<=\d)\s?(mn|bn|k|m|b)$", text):
        scale, text = _LETTERS[letter[1]], text[: letter.start()]
    elif (word := re.search(r"\s(hundred|thousand|million|billion)$", text)) and text[0].isdigit():
        scale, text = float(_SCALES[word[1]]), text[: word.start()]
    if not text[0].isdigit():
        return (_spelled(text),)
    plain = re.sub(r"['\u2009\u00a0\u202f ]", "", text)
    ours, european = plain.replace(",", ""), plain.replace(".", "").replace(",", ".")
    ends_thousands = re.search(r"[.,]\d{3}(?!\d)", plain) and not plain.startswith("0")
    if re.search(r",\d{3}(?!\d)", plain) or "," not in plain:
        texts = [ours, european] if ends_thousands else [ours]
    else:
        texts = [european]
    return tuple(dict.fromkeys(scale * float(number) for number in texts if re.fullmatch(r"\d+(?:\.\d+)?", number)))


def _spelled(text: str) -> float:
    total, part = 0.0, 0.0
    for word in re.split(r"[\s-]+", text):
        if word in _SMALL:
            part += _SMALL[word]
        elif word in _TENS:
            part += _TENS[word]
        elif word in ("a", "an"):
            part += 1
        elif word == "hundred":
            part = max(part, 1) * 100
        elif word in _SCALES:
            total, part = total + max(part, 1) * _SCALES[word], 0.0
    return total + part


def _plain(unit: Unit, factor: float = 1.0) -> Callable[[re.Match[str]], Figure | None]:
    def read(match: re.Match[str]) -> Figure:
        values = tuple(factor * value for value in _number(match["number"]))
        return Figure(unit, values, match[0], match.start(), match.end())

    return read


def _span(match: re.Match[str]) -> Figure | None:
    grain = _SPANS[match["span"].lower()]
    # "One day next week" is no span.
    if match[0].lower() == "one day":
        return None
    values = tuple(grain * value for value in _number(match["number"]))
    return Figure(Unit.DAYS, values, match[0], match.start(), match.end(), grain=grain)


def _money(match: re.Match[str]) -> Figure:
    text = match[0]
    # What is not in dollars is no amount of a fact, whatever its number.
    foreign = re.search(r"[€£¥]|\b(?:EUR|GBP|CHF|euros?|pounds?)", text, re.IGNORECASE)
    values = (-1.0,) if foreign else _number(match["number"])
    return Figure(Unit.MONEY, values, text, match.start(), match.end())


def _fixed(unit: Unit, table: dict[str, float]) -> Callable[[re.Match[str]], Figure | None]:
    def read(match: re.Match[str]) -> Figure:
        words = re.sub(r"[\s-]+", " ", match["number"].lower())
        return Figure(unit, (table[words],), match[0], match.start(), match.end())

    return read


def _bare(match: re.Match[str]) -> Figure | None:
    text = match[0]
    if text.lower() in ("a", "an"):
        return None
    values = _number(text)
    if re.fullmatch(r"0[.,]\d+", text):
        return Figure(Unit.PERCENT, tuple(100 * value for value in values), text, match.start(), match.end())
    return Figure(Unit.COUNT, values, text, match.start(), match.end())


def _ratio(match: re.Match[str]) -> Figure | None:
    part, whole = _number(match["part"])[0], _number(match["whole"])[0]
    if not 0 < part <= whole:
        return None
    return Figure(Unit.PERCENT, (100 * part / whole,), match[0], match.start(), match.end())


def _nothing(match: re.Match[str]) -> Figure:
    """A number that claims nothing; see `words.MEETING_LENGTH` and `words.OWN_ITEMS`."""
    return Figure(Unit.TIMES, (), match[0], match.start(), match.end())


_SHARES = {
    "half": 50.0,
    "a half": 50.0,
    "one half": 50.0,
    "a third": 100 / 3,
    "one third": 100 / 3,
    "two thirds": 200 / 3,
    "a quarter": 25.0,
    "one quarter": 25.0,
    "three quarters": 75.0,
    "a fifth": 20.0,
    "one fifth": 20.0,
    "a tenth": 10.0,
    "one tenth": 10.0,
}
# As percentages of what was before.
_MULTIPLES = {
    "doubled": 200.0,
    "doubling": 200.0,
    "double": 200.0,
    "twofold": 200.0,
    "tripled": 300.0,
    "tripling": 300.0,
    "triple": 300.0,
    "threefold": 300.0,
    "quadrupled": 400.0,
    "quadruple": 400.0,
    "fourfold": 400.0,
    "tenfold": 1000.0,
    "halved": 50.0,
    "halving": 50.0,
}
_TIMES_WORDS = {"once": 1.0, "twice": 2.0, "thrice": 3.0}
_DOZENS = {
    "a dozen": 12.0,
    "half a dozen": 6.0,
    "two dozen": 24.0,
    "dozens": 24.0,
    "dozen": 12.0,
    "a couple": 2.0,
    "hundreds": 200.0,
    "thousands": 2000.0,
}


def _any_of(table: dict[str, float]) -> str:
    return "|".join(re.sub(" ", r"[\\s-]", words) for words in sorted(table, key=len, reverse=True))


# In this order: what one has read the next ones do not see.
_READINGS = tuple(
    (re.compile(pattern, re.IGNORECASE), read)
    for pattern, read in (
        (MEETING_LENGTH, _nothing),
        (OWN_ITEMS, _nothing),
        (r"(?:(?<=last )|(?<=past ))(?P<number>\d{1,3})(?!\d|[.,]\d|\s?[%\w])", _plain(Unit.DAYS)),
        (rf"{_SIGN}(?:{_CURRENCY})\s?(?P<number>{_DIGITS}{_SCALED})", _money),
        (rf"(?<![\w.,])(?P<number>{_AMOUNT}{_SCALED})[ -]{_CURRENCY_WORD}\b", _money),
        (rf"(?<![\w.,]){_SIGN}(?P<number>{_AMOUNT}){_UNIT_PERCENT}", _plain(Unit.PERCENT)),
        (rf"(?<![\w.,])(?P<part>\d+|{_WORD})\s(?:in|out of)\s(?:every\s)?(?P<whole>\d+|{_WORD}){_AFTER}", _ratio),
        (r"(?<![\w./])(?P<part>\d+)/(?P<whole>\d+)(?![\w/.])", _ratio),
        (rf"\b(?P<number>{_any_of(_DOZENS)})\b(?!\s+of\s+(?:ways|things))", _fixed(Unit.COUNT, _DOZENS)),
        (rf"\b(?P<number>{_any_of(_SHARES)})\b(?![ -](?:an?\s)?(?:hours?|days?|year))", _fixed(Unit.PERCENT, _SHARES)),
        (rf"\b(?P<number>{_any_of(_MULTIPLES)})\b", _fixed(Unit.PERCENT, _MULTIPLES)),
        (rf"\b(?P<number>{_any_of(_TIMES_WORDS)})\b(?!\s+(?:usage|activity|they|you|the|that|your|their|it|we|a|both|all|there|every|each))", _fixed(Unit.COUNT, _TIMES_WORDS)),
        (r"(?<![\w.,])(?P<number>\d+(?:\.\d+)?)\s?[xX×](?!\w)", _plain(Unit.TIMES)),
        (rf"(?<![\w.,])(?P<number>{_AMOUNT})[ -]times\s+(?:as|more|the|higher|larger|what)\b", _plain(Unit.PERCENT, 100.0)),
        (rf"(?<![\w.,])(?P<number>{_AMOUNT})[ -](?:more\s|full\s|straight\s|consecutive\s)?{_UNIT_SPAN}", _span),
        (rf"(?<![\w.,])(?P<number>{_AMOUNT})[ -]hours?\b", _plain(Unit.HOURS)),
        (rf"(?<![\w.,])(?:{_DIGITS}{_SCALED})(?![\w%])", _bare),
        # "one" is a pronoun more often than a number: it counts before what is counted.
        (rf"\b(?!one\b(?!\s+(?:hundred|thousand|million|ticket|trial|limit|event|flag|kind|system|time|request|account|seat|user)))(?:{_SPELLED})\b", _bare),
    )
)  # fmt: skip

_MONTH = r"(?P<month>January|February|March|April|May|June|July|August|September|October|November|December|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept|Sep|Oct|Nov|Dec)\.?"
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_YEAR = r"(?P<year>(?:19|20)\d\d)"
_DATES = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?<!\d)(?P<year>(?:19|20)\d\d)-(?P<month>\d{1,2})-(?P<day>\d{1,2})(?!\d)",
        rf"\b{_DAY}(?:\s+of)?\s+{_MONTH}(?:,?\s+{_YEAR})?\b",
        rf"\b{_MONTH}\s+{_DAY}(?!\d)(?:,?\s+{_YEAR})?\b",
        rf"\b{_MONTH},?\s+(?:of\s+)?{_YEAR}\b",
        r"(?<![\d/.])(?P<day>\d{1,2})[/.](?P<month>\d{1,2})[/.](?P<year>(?:19|20)?\d\d)(?![\d/])",
        r"\bQ(?P<quarter>[1-4])(?:\s+(?P<year>(?:19|20)\d\d))?\b",
        r"\b(?P<named>first|second|third|fourth)\s+quarter(?:\s+of\s+(?P<year>(?:19|20)\d\d))?\b",
        # "May" and "March" are verbs too.
        rf"\b{_MONTH}(?!\s+(?:I|we|you|it|be|not|ahead|in|on)\b)\b",
        r"(?<![\w.,])(?P<day>\d{1,2})(?:st|nd|rd|th)\b",
        rf"(?<![\w.,$€£-]){_YEAR}(?![\w%,]\d|\w|\s?%)",
    )
)


def _dates(text: str) -> Iterator[Figure]:
    covered: list[tuple[int, int]] = []
    for pattern in _DATES:
        for match in pattern.finditer(text):
            if any(match.start() < end and match.end() > start for start, end in covered):
                continue
            covered.append((match.start(), match.end()))
            groups = match.groupdict()
            year = int(groups["year"]) if groups.get("year") else None
            month_text, day = groups.get("month"), groups.get("day")
            month = (
                None if month_text is None else int(month_text) if month_text.isdigit() else _MONTHS[month_text.lower()]
            )
            if year is not None and year < 100:
                year += 2000
            if groups.get("quarter") or groups.get("named"):
                # Which months a quarter has is the company's own affair: no fact says one.
                month = 0
            yield Figure(
                Unit.DATE, (), match[0], match.start(), match.end(), day=(year, month, int(day) if day else None)
            )
