"""Finding the raw files of a table, telling whether they changed, and reading their columns as the contract's kinds.

Nothing here knows a rule: a value that cannot be read as its kind becomes null, and the landing compares it with
whether one was given.
"""

from __future__ import annotations

import csv
import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import duckdb

from churn_pipeline.contract.declaration import TABLES, Column, Kind, TableContract
from churn_pipeline.contract.problems import Problem, UnusableError
from churn_pipeline.core.errors import InputError
from churn_pipeline.core.sql import literal, quoted

SUFFIXES = (".parquet", ".csv")
# A file up to this size is always compared by content: within the resolution of a file system's clock it may be
# rewritten with equal size and time, and reading this much costs under a millisecond. Larger ones are, if only their
# time changed.
ALWAYS_DIGESTED_BYTES = 1 << 16


@dataclass(frozen=True)
class RawFile:
    """One file of a raw table, as it was found.

    Attributes:
        name: path relative to the raw directory, with ``/``.
    """

    path: Path
    name: str
    size: int
    mtime_ns: int

    @property
    def format(self) -> Literal["parquet", "csv"]:
        return "csv" if self.path.suffix.lower() == ".csv" else "parquet"

    def digest(self) -> str:
        with self.path.open("rb") as stream:
            return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


@dataclass(frozen=True)
class Discovery:
    """The files of every table present, remarks on what was left aside, and what is missing or there twice."""

    files: Mapping[str, tuple[RawFile, ...]]
    notices: tuple[str, ...]
    problems: tuple[Problem, ...] = ()


def discover(raw: Path) -> Discovery:
    """Finds every table of the contract in ``raw``, as ``NAME.parquet``, ``NAME.csv`` or a folder ``NAME/`` of such
    files.

    Names that start with ``.`` or ``_`` and names that end in ``.tmp`` are somebody's work in progress and are ignored.

    Raises:
        InputError: there is no such directory.
    """
    raw = raw.resolve()
    if not raw.is_dir():
        raise InputError(f"{raw}: there is no such directory of raw tables")
    entries = sorted(entry for entry in raw.iterdir() if not _ignored(entry))
    files: dict[str, tuple[RawFile, ...]] = {}
    notices = []
    problems = []
    claimed: set[Path] = set()
    for table in TABLES.values():
        forms = [
            entry
            for entry in entries
            if (entry.is_dir() and entry.name == table.name)
            or (entry.is_file() and entry.stem == table.name and entry.suffix.lower() in SUFFIXES)
        ]
        claimed.update(forms)
        if len(forms) > 1:
            names = " and ".join(form.name + ("/" if form.is_dir() else "") for form in forms)
            problems.append(Problem(table.name, f"the table is there twice, as {names}", "keep one of them"))
            continue
        paths: list[Path] = []
        if forms and forms[0].is_dir():
            paths, foreign = _parts(forms[0])
            if foreign:
                notices.append(
                    f"{table.name}/ holds {len(foreign):,} file(s) that are neither .parquet nor .csv and were not "
                    f"read, such as {foreign[0].name}"
                )
        elif forms:
            paths = forms
        if paths:
            files[table.name] = tuple(_raw_file(path, raw) for path in paths)
        elif table.required:
            there = ", ".join(entry.name for entry in entries[:20]) or "nothing"
            problems.append(
                Problem(
                    table.name,
                    f"the table is required and missing in {raw}; expected {table.name}.parquet, {table.name}.csv or a "
                    f"folder {table.name}/ of such files, found {there}",
                )
            )
    unknown = [
        entry.name for entry in entries if entry not in claimed and (entry.is_dir() or entry.suffix.lower() in SUFFIXES)
    ]
    if unknown:
        notices.append(f"not a table of the contract and not read: {', '.join(unknown[:10])}")
    return Discovery(files, tuple(notices), tuple(problems))


def _ignored(path: Path) -> bool:
    return path.name.startswith((".", "_")) or path.suffix == ".tmp"


def _parts(folder: Path) -> tuple[list[Path], list[Path]]:
    """The part files under ``folder`` by name, and the other files."""
    parts: list[Path] = []
    foreign: list[Path] = []
    for directory, folders, names in folder.walk():
        folders[:] = [name for name in folders if not _ignored(Path(name))]
        for path in (directory / name for name in names):
            if not _ignored(path):
                (parts if path.suffix.lower() in SUFFIXES else foreign).append(path)
    return sorted(parts), sorted(foreign)


def _raw_file(path: Path, raw: Path) -> RawFile:
    status = path.stat()
    return RawFile(path, path.relative_to(raw).as_posix(), status.st_size, status.st_mtime_ns)


Family = Literal["text", "date", "timestamp", "zoned timestamp", "integer", "floating", "boolean"]


@dataclass(frozen=True)
class Field:
    """A column as it stands in a file: the identifier to read it by, and what it is made of."""

    identifier: str
    family: Family


@dataclass(frozen=True)
class Layout:
    """What files read by one statement have in common: format, width (CSV), and where each contract column is."""

    format: Literal["parquet", "csv"]
    width: int
    fields: tuple[tuple[str, Field], ...]

    def relation(self, files: Iterable[RawFile]) -> str:
        """SQL that scans ``files``: the contract's columns by their names, text without blanks, and ``"/file"``, the path."""
        columns = [
            f"nullif(trim({field.identifier}::VARCHAR), '') as {quoted(name)}"
            if field.family == "text"
            else f"{field.identifier} as {quoted(name)}"
            for name, field in self.fields
        ]
        return f'(select {", ".join(columns)}, "/file" from {self._scan(files)})'

    def _scan(self, files: Iterable[RawFile]) -> str:
        names = ", ".join(literal(_unglobbed(str(file.path))) for file in files)
        if self.format == "parquet":
            return (
                f"read_parquet([{names}], filename = '/file', hive_partitioning = false, "
                "binary_as_string = true, union_by_name = false)"
            )
        # Names from a header never reach SQL: a CSV column is known by its position.
        columns = ", ".join(f"'c{position}': 'VARCHAR'" for position in range(self.width))
        return (
            f"read_csv([{names}], auto_detect = false, header = true, columns = {{{columns}}}, delim = ',', "
            "quote = '\"', escape = '\"', strict_mode = true, nullstr = '', filename = '/file', "
            "hive_partitioning = false)"
        )


def _family(sql_type: str) -> Family:
    if sql_type.startswith("TIMESTAMP"):
        return "zoned timestamp" if "ZONE" in sql_type or "TZ" in sql_type else "timestamp"
    if re.fullmatch(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?", sql_type):
        return "integer"
    if re.fullmatch(r"FLOAT|DOUBLE|DECIMAL\(.*\)", sql_type):
        return "floating"
    return {"DATE": "date", "BOOLEAN": "boolean"}.get(sql_type, "text")  # type: ignore[return-value]


def _unglobbed(path: str) -> str:
    """DuckDB takes a path for a pattern; a character in brackets stands for itself."""
    return re.sub(r"([*?\[])", r"[\1]", path)


def layout(con: duckdb.DuckDBPyConnection, table: TableContract, file: RawFile) -> Layout:
    """What ``file`` looks like, from its header alone.

    Args:
        con: any connection; it reads the file only.

    Raises:
        UnusableError: the file cannot be read, lacks required columns or names some twice.
    """
    header = _csv_header(table, file) if file.format == "csv" else _parquet_header(con, table, file)
    fields: dict[str, Field] = {}
    declared = {column.name for column in table.columns}
    problems = []
    for name, field in header:
        plain = name.strip().lower()
        if plain in fields:
            problems.append(Problem(table.name, f"column {plain} is there twice", "keep one of them", file.name))
        if plain in declared:
            fields[plain] = field
    missing = [column.name for column in table.columns if column.required and column.name not in fields]
    if missing:
        names = ", ".join(name.strip() for name, _ in header[:30])
        plural = "columns are" if len(missing) > 1 else "column is"
        problems.append(
            Problem(
                table.name,
                f"the {plural} missing: {', '.join(missing)}; found: {names}{_separator_hint(header)}",
                f"map in sources.yml what the table {table.name} has under other names",
                file.name,
            )
        )
    if problems:
        raise UnusableError(problems)
    return Layout(file.format, len(header) if file.format == "csv" else 0, tuple(sorted(fields.items())))


def _separator_hint(header: list[tuple[str, Field]]) -> str:
    if len(header) == 1 and re.search(r"[;\t|]", header[0][0]):
        return " (CSV files are separated by commas)"
    return ""


def _parquet_header(con: duckdb.DuckDBPyConnection, table: TableContract, file: RawFile) -> list[tuple[str, Field]]:
    scan = f"read_parquet([{literal(_unglobbed(str(file.path)))}], hive_partitioning = false, binary_as_string = true)"
    try:
        # A connection of its own, because a statement that fails dooms the transaction of the caller's.
        with con.cursor() as own:
            rows = own.execute(f"describe select * from {scan}").fetchall()
    except duckdb.Error as error:
        raise UnusableError([unreadable(table, file, error)]) from error
    return [(str(name), Field(quoted(str(name)), _family(str(sql_type)))) for name, sql_type, *_ in rows]


def _csv_header(table: TableContract, file: RawFile) -> list[tuple[str, Field]]:
    try:
        with file.path.open(encoding="utf-8-sig", newline="") as stream:
            names = next(csv.reader(stream, strict=True), [])
    except (UnicodeDecodeError, csv.Error) as error:
        fault = Problem(table.name, f"the header cannot be read as UTF-8 CSV: {error}", file=file.name)
        raise UnusableError([fault]) from error
    if not names:
        raise UnusableError([Problem(table.name, "the file is empty, without even a header", file=file.name)])
    if not _ends_with_a_line(file):
        fault = Problem(
            table.name,
            "the last line has no end, so the file may be half-written",
            "wait for the export to finish, or end it with a newline if it is whole",
            file.name,
        )
        raise UnusableError([fault])
    return [(name, Field(f"c{position}", "text")) for position, name in enumerate(names)]


def _ends_with_a_line(file: RawFile) -> bool:
    """A value that was cut short in its last column still reads as a value, 5 for 512 or 2026-01-1 for 2026-01-12."""
    with file.path.open("rb") as stream:
        stream.seek(-1, os.SEEK_END)
        return stream.read(1) in (b"\n", b"\r")


def unreadable(table: TableContract, file: RawFile, error: duckdb.Error) -> Problem:
    """The problem of a file that DuckDB cannot read, with the part of DuckDB's message that is about the content."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines[:6] if not line.startswith(("Possible", "*", "LINE", "^"))]
    what = f"the file cannot be read, it may be damaged or half written: {' | '.join(telling[:4])}"
    return Problem(table.name, what, file=file.name)


def first_unreadable(table: TableContract, files: Mapping[Layout, list[RawFile]]) -> Problem | None:
    """After a failed statement: reads each file alone, to name the one at fault.

    A connection of its own, because the failed statement has doomed the transaction of the caller's.
    """
    with duckdb.connect() as con:
        for layout, members in files.items():
            for file in members:
                # Hashed, because a mere count is answered from a Parquet file's metadata.
                wanted = ", ".join(f"bit_xor(hash({quoted(name)}))" for name, _ in layout.fields)
                try:
                    con.execute(f"select {wanted} from {layout.relation([file])}").fetchall()
                except duckdb.Error as error:
                    return unreadable(table, file, error)
    return None


# Only ISO 8601 is a date, from the year 1000 on. DuckDB alone would also take 'epoch', 'infinity' and '44-03-15 (BC)', and time
# zone arithmetic raises far outside of the calendar. 9999-12-31 is a common way to write never.
_FIRST_DAY, _LAST_DAY = "DATE '1000-01-01'", "DATE '9999-12-31'"
_DAY = r"[1-9]\d{3}-\d{1,2}-\d{1,2}"
_MIDNIGHT = _DAY + r"([T ]0?0:00(:00(\.0+)?)?)?"
_NAIVE = _DAY + r"[T ]\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?"
_ZONED = _NAIVE + r" ?(Z|z|UTC|[+-]\d{2}(:?\d{2})?)"
# DuckDB would also take 1_000.
_NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
_FLAG_WORDS = {"true": ("true", "t", "yes", "y", "1"), "false": ("false", "f", "no", "n", "0")}


@dataclass(frozen=True)
class Reading:
    """SQL for one column of a layout's relation: its typed value, whether a value was given, and what was given."""

    value: str
    given: str
    raw: str


_NULL_TYPES: Mapping[Kind, str] = {
    Kind.TEXT: "VARCHAR",
    Kind.CATEGORY: "VARCHAR",
    Kind.DATE: "DATE",
    Kind.INSTANT: "TIMESTAMP",
    Kind.FLAG: "BOOLEAN",
}


def reading(column: Column, layout: Layout) -> Reading:
    """How ``column`` is read from files of this layout. A column that is not there reads as null, not given."""
    field = dict(layout.fields).get(column.name)
    if field is None:
        return Reading(f"null::{_NULL_TYPES.get(column.kind, 'DOUBLE')}", "false", "null")
    raw, family = quoted(column.name), field.family
    given = f"{raw} is not null"
    if column.kind is Kind.TEXT:
        # An id is compared with others, so it is remembered in the form in which it is read.
        value = _text(raw, family)
        return Reading(value, given, value)
    if column.kind is Kind.CATEGORY:
        value = f"lower({_text(raw, family)})"
    elif column.kind in (Kind.DATE, Kind.INSTANT):
        value = _moment(column.kind, raw, family)
    elif column.kind is Kind.FLAG:
        value = _flag(raw, family)
    elif family in ("integer", "floating"):
        # NaN is how some writers spell null.
        value = f"nullif({raw}::DOUBLE, 'nan'::DOUBLE)"
        given = f"{value} is not null"
    else:
        value = _matching(f"{raw}::VARCHAR", (_NUMBER, f"try_cast({raw}::VARCHAR as DOUBLE)"))
    return Reading(value, given, raw)


def _matching(text: str, *readings: tuple[str, str]) -> str:
    """The reading of the first pattern that matches ``text`` as a whole, else null."""
    branches = " ".join(f"when regexp_full_match({text}, {literal(pattern)}) then {sql}" for pattern, sql in readings)
    return f"case {branches} end"


def _text(raw: str, family: Family) -> str:
    """An integer id that passed through a floating column (pandas does so beside nulls) is written as the integer."""
    if family == "floating":
        return f"coalesce(case when {raw} = trunc({raw}) then try_cast({raw} as BIGINT)::VARCHAR end, {raw}::VARCHAR)"
    return f"{raw}::VARCHAR"


def _flag(raw: str, family: Family) -> str:
    if family == "boolean":
        return raw
    if family in ("integer", "floating"):
        return f"case {raw} when 1 then true when 0 then false end"
    branches = " ".join(
        f"when lower({raw}::VARCHAR) in ({', '.join(map(literal, words))}) then {value}"
        for value, words in _FLAG_WORDS.items()
    )
    return f"case {branches} end"


def _moment(kind: Kind, raw: str, family: Family) -> str:
    """A date or an instant from whatever type the file has.

    Each value passes through as few patterns and casts as can be: text is common, and there are millions of events.
    """
    if family == "date":
        day = f"case when {raw} between {_FIRST_DAY} and {_LAST_DAY} then {raw} end"
        return day if kind is Kind.DATE else f"local_midnight({day})"
    if family in ("timestamp", "zoned timestamp"):
        naive = f"try_cast({raw} as TIMESTAMP)" if family == "timestamp" else f"timezone('UTC', {raw}::TIMESTAMPTZ)"
        instant = f"case when {naive} between {_FIRST_DAY} and {_LAST_DAY} then {naive} end"
        if kind is Kind.INSTANT:
            return instant
        if family == "zoned timestamp":
            return f"local_date({instant})"
        # Midnight without a zone is a date that a writer stored as a timestamp.
        return f"case when {naive} = date_trunc('day', {naive}) then ({instant})::DATE else local_date({instant}) end"
    text = f"{raw}::VARCHAR"
    day, naive = f"try_cast({text} as DATE)", f"try_cast({text} as TIMESTAMP)"
    # DuckDB knows no blank before an offset. The session's zone is UTC while landing.
    zoned = f"timezone('UTC', try_cast(replace(replace({text}, ' +', '+'), ' -', '-') as TIMESTAMPTZ))"
    if kind is Kind.INSTANT:
        return _matching(text, (_NAIVE, naive), (_DAY, f"local_midnight({day})"), (_ZONED, zoned))
    return _matching(text, (_MIDNIGHT, day), (_NAIVE, f"local_date({naive})"), (_ZONED, f"local_date({zoned})"))
