"""How the dates and numbers of a table's files are written, told from their values.

A value that is written as the contract has it is read as it stands, and nobody looks further. Where some value of a text is not, all values
of that file are looked at, once, and what they allow is kept beside the file; and from what all files of the table allow it is decided
how each is read. So the answer depends on the files that are there, and not on the order in which they came.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from itertools import combinations
from types import MappingProxyType
from typing import Any

import duckdb

from churn_pipeline.contract import amounts, moments
from churn_pipeline.contract.declaration import Column, Kind, TableContract
from churn_pipeline.contract.files import NUMBERS, Field, Layout, RawFile, reading, rewritten, typed
from churn_pipeline.contract.problems import Problem
from churn_pipeline.core.json_text import json_text
from churn_pipeline.core.sql import literal, quoted

# So many rows show whether a file is written as the contract has it, before it is read as if it were.
SAMPLE_ROWS = 2000
# A form that fits none of so many values of a file is not the form of that file.
SAMPLE_VALUES = 1000
# From so many values on, nobody believes that all of them happened at midnight in Greenwich by chance.
LEAST_MIDNIGHTS = 5
_SHIFTED = 0.9
_MOMENTS = (Kind.DATE, Kind.INSTANT)
_RIVALS = frozenset(
    frozenset(pair) for pair in (*moments.RIVALS, (amounts.POINT, amounts.COMMA), (amounts.PLAIN, amounts.COMMA))
)


@dataclass(frozen=True)
class Written:
    """What the values of one column in one file allow.

    Attributes:
        given: number of values.
        fits: by style, the number of values that can be read in it.
        differing: by two styles, joined by a blank, the number of values that each of them reads as something else.
        example: a value of those; empty if there is none.
        currencies: what stands beside the numbers.
        shifted: number of values that are midnights of UTC on another day here; only counted where every value is such an instant.
        doubts_point: whether a point may well divide thousands, although it reads as a decimal point.
    """

    given: int = 0
    fits: Mapping[str, int] = field(default_factory=dict)
    differing: Mapping[str, int] = field(default_factory=dict)
    example: str = ""
    currencies: tuple[str, ...] = ()
    shifted: int = 0
    doubts_point: bool = False

    @property
    def best(self) -> tuple[str, ...]:
        """The styles that read most of the values, in the order of preference."""
        most = max(self.fits.values(), default=0)
        if not most:
            return ()
        exact = {name for name, form in moments.FORMS.items() if form.exact}
        styles = [name for name, number in self.fits.items() if number == most]
        return tuple(name for name in styles if name not in exact or most == self.given)

    def agree(self, one: str, other: str) -> bool:
        """Whether two styles read all values alike."""
        return not self.differing.get(f"{one} {other}", self.differing.get(f"{other} {one}", 0))


@dataclass(frozen=True)
class Decision:
    """By file and column the style in which it is read, where it is not the contract's own; and what cannot be decided."""

    styles: Mapping[str, Mapping[str, str]]
    problems: tuple[Problem, ...] = ()


def looked_at(table: TableContract, layout: Layout) -> list[tuple[Column, Field]]:
    """The columns whose values may be written in more than one way, and of which nobody has said in which."""
    fields = dict(layout.fields)
    columns = []
    for column in table.columns:
        known = fields.get(column.name)
        if known is None or known.style:
            continue
        if column.kind in _MOMENTS and known.family in ("text", "integer", "floating", "zoned timestamp"):
            columns.append((column, known))
        if column.kind in NUMBERS and known.family == "text":
            columns.append((column, known))
    return columns


def is_plain(
    con: duckdb.DuckDBPyConnection, table: TableContract, layout: Layout, files: list[RawFile], timezone: str
) -> bool:
    """Whether the first rows of files of one layout are written as the contract has it."""
    columns = looked_at(table, layout)
    if _doubts_point(layout) and any(column.kind in NUMBERS for column, _ in columns):
        return False
    checks = [doubt for column, known in columns for doubt in _doubts(column, known, layout, timezone)]
    if not checks:
        return True
    rows = f"(select * from {layout.relation(files, is_blanked=True)} limit {SAMPLE_ROWS})"
    found = con.execute(f"select {', '.join(checks)} from {rows}").fetchone()
    return not any(found or ())


def _doubts_point(layout: Layout) -> bool:
    """Cells are divided by semicolons where the comma is the decimal sign."""
    return layout.format == "csv" and layout.dialect.delimiter == ";"


def _doubts(column: Column, known: Field, layout: Layout, timezone: str) -> list[str]:
    """Aggregates that are true where a column's values are not read, or mean perhaps another day than they say."""
    read = reading(column, layout)
    doubts = []
    if known.family != "zoned timestamp":
        doubts.append(f"bool_or({read.given} and ({read.value}) is null)")
    if column.kind is Kind.DATE and timezone != "UTC" and (zone := _zoned(known, quoted(column.name))):
        doubts.append(f"bool_and(coalesce({zone} = date_trunc('day', {zone}), false)) filter ({read.given})")
    return doubts


def _zoned(known: Field, raw: str) -> str:
    """SQL of the UTC timestamp of a value that names its zone; empty where the type of the column says that none does, or where somebody
    wrote an expression for it."""
    if known.is_made:
        return ""
    if known.family == "zoned timestamp":
        return f"timezone('UTC', {raw}::TIMESTAMPTZ)"
    return moments.given_zone(f"{raw}::VARCHAR") if known.family == "text" and not known.words else ""


def look(
    con: duckdb.DuckDBPyConnection, table: TableContract, layout: Layout, file: RawFile, timezone: str
) -> dict[str, Written]:
    """What all values of a file allow, by column."""
    columns = looked_at(table, layout)
    if not columns:
        return {}
    rows = layout.relation([file], is_blanked=True)
    styles = {column.name: _candidates(con, column, known, rows) for column, known in columns}
    aggregates = [_aggregate(column, known, styles[column.name], timezone) for column, known in columns]
    wanted = [(column, known, style) for column, known in columns for style in styles[column.name]]
    found = con.execute(f"select {', '.join(aggregates)} from {_in_styles(wanted, rows)}").fetchone()
    assert found is not None
    return {
        column.name: Written(
            given=int(value["given"]),
            fits={style: int(value["fits"][style]) for style in styles[column.name]},
            differing={pair: int(number) for pair, number in (value["differing"] or {}).items() if number},
            example=value["example"] or "",
            currencies=tuple(value["currencies"]),
            shifted=int(value["shifted"]),
            doubts_point=_doubts_point(layout) and column.kind in NUMBERS,
        )
        for (column, _), value in zip(columns, found, strict=True)
    }


_OWN_MOMENT = "iso"
_OWN = (amounts.PLAIN, _OWN_MOMENT)
_STYLES = (*amounts.STYLES, _OWN_MOMENT, *moments.FORMS, *moments.EPOCHS)


def _named(column: Column, style: str) -> str:
    """The name of a column in a style. By number, because to SQL %b and %B are one name."""
    return quoted(f"{column.name}:{_STYLES.index(style)}")


def _in_styles(wanted: list[tuple[Column, Field, str]], rows: str) -> str:
    """The rows of a relation with the value that each column has in each style."""
    texts, values = [], []
    for column, known, style in wanted:
        text = quoted(f"{column.name}:{_STYLES.index(style)}:text")
        styled = replace(known, style="" if style == _OWN_MOMENT else style)
        sql, family = rewritten(quoted(column.name), styled)
        texts.append(f"{sql} as {text}")
        values.append(f"{typed(column, styled, text, family)} as {_named(column, style)}")
    return f"(select *, {', '.join(values)} from (select *, {', '.join(texts)} from {rows}))"


def _candidates(con: duckdb.DuckDBPyConnection, column: Column, known: Field, rows: str) -> list[str]:
    """The styles in whose shape any of the first values are, the contract's own first."""
    if known.family == "zoned timestamp":
        return [_OWN_MOMENT]
    if column.kind in NUMBERS:
        return list(amounts.STYLES)
    raw = quoted(column.name)
    found = con.execute(
        f"select distinct {raw}::VARCHAR from (select {raw} from {rows} where {raw} is not null limit {SAMPLE_VALUES})"
    ).fetchall()
    return [_OWN_MOMENT, *moments.shaped(str(value) for (value,) in found)]


def _aggregate(column: Column, known: Field, styles: list[str], timezone: str) -> str:
    """SQL of all that is told of one column, as a struct."""
    raw = quoted(column.name)
    given = f"count({raw})"
    fits = ", ".join(f"{literal(style)}: count({_named(column, style)})" for style in styles)
    differing, example = _differences(column, styles)
    currencies = "[]::VARCHAR[]"
    if column.kind in NUMBERS:
        currency = amounts.currency(f"{raw}::VARCHAR")
        currencies = f"coalesce(list_sort(list(distinct {currency}) filter ({currency} is not null)), [])"
    shifted = "0"
    if column.kind is Kind.DATE and timezone != "UTC" and (zone := _zoned(known, raw)):
        midnights = f"count(*) filter ({zone} = date_trunc('day', {zone}))"
        shifted = (
            f"case when {midnights} = {given} then count(*) filter (local_date({zone}) <> ({zone})::DATE) else 0 end"
        )
    return (
        f"{{'given': {given}, 'fits': map {{{fits}}}, 'differing': {differing}, 'example': {example}, "
        f"'currencies': {currencies}, 'shifted': {shifted}}}"
    )


def _differences(column: Column, styles: list[str]) -> tuple[str, str]:
    """SQL of the numbers of values that two styles read differently, and of one such value."""
    pairs = [pair for pair in combinations(styles, 2) if _are_rivals(*pair)]
    if not pairs:
        return "null::MAP(VARCHAR, BIGINT)", "null::VARCHAR"
    differ = {pair: f"{_named(column, pair[0])} <> {_named(column, pair[1])}" for pair in pairs}
    counts = ", ".join(
        f"{literal(' '.join(pair))}: count(*) filter ({condition})" for pair, condition in differ.items()
    )
    example = f"min({quoted(column.name)}::VARCHAR) filter ({' or '.join(differ.values())})"
    return f"map {{{counts}}}", example


def decide(table: TableContract, seen: Mapping[str, Mapping[str, Written] | None]) -> Decision:
    """How each file of a table is read.

    A file whose values fit two styles takes the one that other files of the column need, or else the one that other columns of its own
    need; where neither says, nobody knows.

    Args:
        seen: by file what its values allow; None: all of them are written as the contract has it.
    """
    styles: dict[str, dict[str, str]] = {}
    problems: list[Problem] = []
    doubtful: dict[str, list[tuple[str, Written, tuple[str, ...]]]] = {}
    needed: dict[str, set[str]] = {}
    for file, columns in seen.items():
        for name, written in (columns or {}).items():
            options = _options(written)
            if len(options) > 1:
                doubtful.setdefault(file, []).append((name, written, options))
            elif options:
                if len(written.best) == 1 or not _has_rival(options[0], written):
                    needed.setdefault(name, set()).add(options[0])
                styles.setdefault(file, {})[name] = options[0]
    kinds = {column.name: column.kind for column in table.columns}
    for file in sorted(doubtful):
        own = styles.get(file, {})
        for name, written, options in doubtful[file]:
            here = {style for other, style in own.items() if (kinds[other] in NUMBERS) == (kinds[name] in NUMBERS)}
            chosen = _settled(options, needed.get(name, set())) or _settled(options, here)
            if not chosen and options[0] == amounts.PLAIN and not written.doubts_point:
                chosen = amounts.PLAIN
            if chosen:
                styles.setdefault(file, {})[name] = chosen
            else:
                problems.append(_ambiguous(table, file, name, written, options))
    problems += _other_problems(table, seen)
    foreign = {
        file: {name: style for name, style in columns.items() if style not in _OWN} for file, columns in styles.items()
    }
    return Decision(MappingProxyType({file: columns for file, columns in foreign.items() if columns}), tuple(problems))


def _options(written: Written) -> tuple[str, ...]:
    """The styles among which the values leave the choice; those that read all of them alike are one."""
    options: list[str] = []
    for style in written.best:
        if all(not written.agree(style, other) for other in options):
            options.append(style)
    return tuple(options)


def _has_rival(style: str, written: Written) -> bool:
    return any(style != other and _are_rivals(style, other) for other in written.best)


def _are_rivals(one: str, other: str) -> bool:
    return frozenset((one, other)) in _RIVALS


def _settled(options: tuple[str, ...], needed: set[str]) -> str:
    """The one option that is needed elsewhere; empty if none is or several are. A plain number has a point."""
    wanted = {amounts.POINT if style == amounts.PLAIN else style for style in needed}
    fitting = [style for style in options if (amounts.POINT if style == amounts.PLAIN else style) in wanted]
    return fitting[0] if len(fitting) == 1 else ""


def _ambiguous(table: TableContract, file: str, name: str, written: Written, options: tuple[str, ...]) -> Problem:
    first, second = options[:2]
    if first in amounts.STYLES:
        point, comma = (text.replace(" ", "") for text in _both_numbers(written.example))
        what = f"{name} {written.example!r} can be {point} or {comma}, and no value of the column tells which"
        return Problem(table.name, what, "set decimal: '.' or decimal: ',' for the table in sources.yml", file)
    what = (
        f"{name} {written.example!r} can be {moments.spoken(first)} or {moments.spoken(second)}, and all {written.given:,} value(s) "
        "fit both"
    )
    return Problem(table.name, what, f"set its format to '{first}' or '{second}' in sources.yml", file)


def _both_numbers(text: str) -> tuple[str, str]:
    """What a number is with a decimal point and with a decimal comma."""
    digits = "".join(sign for sign in text if sign in "0123456789.,")
    return digits.replace(",", ""), digits.replace(".", "").replace(",", ".")


def _other_problems(table: TableContract, seen: Mapping[str, Mapping[str, Written] | None]) -> list[Problem]:
    problems = []
    for file, columns in seen.items():
        for name, written in (columns or {}).items():
            if len(written.currencies) > 1:
                what = f"{name} is in more than one currency ({', '.join(written.currencies)})"
                remedy = "export it in one, or give an expression in sources.yml that converts it"
                problems.append(Problem(table.name, what, remedy, file))
            if written.given >= LEAST_MIDNIGHTS and written.shifted >= _SHIFTED * written.given:
                what = (
                    f"all {written.given:,} values of {name} are midnight in UTC, which in the zone of CHURN_TIMEZONE is the day before; "
                    "they are dates rather than instants, most likely"
                )
                remedy = (
                    f"say which in sources.yml: with expression: timezone('UTC', {name}::TIMESTAMPTZ)::DATE they are dates, with "
                    f"expression: {name} instants"
                )
                problems.append(Problem(table.name, what, remedy, file))
    return problems


def to_json(seen: Mapping[str, Written] | None) -> str | None:
    return None if seen is None else json_text({name: asdict(written) for name, written in seen.items()})


def from_json(text: str | None) -> dict[str, Written] | None:
    if text is None:
        return None
    stored: dict[str, dict[str, Any]] = json.loads(text)
    return {name: Written(**(values | {"currencies": tuple(values["currencies"])})) for name, values in stored.items()}
