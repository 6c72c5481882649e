"""Finding the raw files of a table, telling whether they changed, and reading their columns as the contract's kinds.

Nothing here knows a rule: a value that cannot be read as its kind becomes null, and the landing compares it with
whether one was given.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import duckdb

from churn_pipeline.contract import amounts, dialects, expressions, moments
from churn_pipeline.contract.declaration import BOOKS, TABLES, Column, Kind, TableContract
from churn_pipeline.contract.problems import Problem, UnusableError
from churn_pipeline.contract.source import UNITS, ColumnSource, TableSource
from churn_pipeline.core.errors import InputError
from churn_pipeline.core.sql import literal, quoted

Format = Literal["parquet", "csv", "jsonl"]
_PACKED = (".gz", ".zst")
_TEXT_FORMATS: Mapping[str, Format] = {".csv": "csv", ".tsv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
FORMS_IN_WORDS = "NAME.parquet, NAME.csv or NAME.jsonl (text also as .gz or .zst)"
# A file up to this size is always compared by content: within the resolution of a file system's clock it may be
# rewritten with equal size and time, and reading this much costs under a millisecond. Larger ones are, if only their
# time changed.
ALWAYS_DIGESTED_BYTES = 1 << 16

# Words that stand for no value. In a text only what no text says of itself: "NA" is North America or Namibia, and "none" an outcome.
TEXT_NULLS = ("NULL", "null", "(null)", "<null>", "\\N", "NaN", "nan", "NaT", "<NA>", "#N/A", "N/A", "n/a", "None")
OTHER_NULLS = (*TEXT_NULLS, "Null", "NA", "na", "none", "nil", "n.a.", "-", "--", "\u2013", "\u2014")
# What is told of a file from its bytes and values without any SQL that the definition of a landing could cover: raised by whoever changes it.
READING_VERSION = "1"
_NAMELESS, _UNMAPPED = ColumnSource(), TableSource("")
# How MySQL writes a date that nobody gave.
DATE_NULLS = (*OTHER_NULLS, "0000-00-00", "0000-00-00 00:00:00")


def format_of(name: str) -> Format | None:
    """What a file of this name is; None: nothing that is read."""
    path = Path(name.lower())
    if path.suffix == ".parquet":
        return "parquet"
    if path.suffix in _PACKED:
        path = path.with_suffix("")
    return _TEXT_FORMATS.get(path.suffix)


def _table_name(path: Path) -> str:
    """The name of a file without its suffixes, which may be two."""
    return Path(path.stem).stem if path.suffix.lower() in _PACKED else path.stem


@dataclass(frozen=True)
class RawFile:
    """One file of a raw table, as it was found.

    Attributes:
        name: path relative to the raw directory, with ``/``; the whole path of a file elsewhere.
    """

    path: Path
    name: str
    size: int
    mtime_ns: int

    @property
    def format(self) -> Format:
        # A mapping may name a file of any suffix, and text it is then.
        return format_of(self.path.name) or "csv"

    def digest(self) -> str:
        with self.path.open("rb") as stream:
            return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


@dataclass(frozen=True)
class Discovery:
    """The files of every table present, remarks on what was left aside, and what is missing or there twice."""

    files: Mapping[str, tuple[RawFile, ...]]
    notices: tuple[str, ...]
    problems: tuple[Problem, ...] = ()


def discover(raw: Path, sources: Mapping[str, TableSource] | None = None, without: Collection[str] = ()) -> Discovery:
    """Finds every table of the contract in ``raw``, as a file ``NAME`` with a suffix that is read or as a folder ``NAME/`` of such files;
    or where its source says that it is.

    Names that start with ``.`` or ``_`` and names that end in ``.tmp`` are somebody's work in progress and are ignored.

    Args:
        sources: by table, where it comes from; a table that is not named has the names of the contract.

    Raises:
        InputError: there is no such directory.
    """
    raw, sources = raw.resolve(), sources or {}
    lies_elsewhere = any(Path(source.files).is_absolute() for source in sources.values() if source.files)
    if not raw.is_dir() and not lies_elsewhere:
        raise InputError(f"{raw}: there is no such directory of raw tables")
    # A home whose tables all lie elsewhere need not have the directory.
    entries = sorted(entry for entry in raw.iterdir() if not _ignored(entry)) if raw.is_dir() else []
    files: dict[str, tuple[RawFile, ...]] = {}
    notices: list[str] = []
    problems: list[Problem] = []
    claimed: set[Path] = set()
    for table in TABLES.values():
        if table.name in without:
            continue
        source = sources.get(table.name)
        if source is not None and source.files:
            paths = _named_files(raw, source)
            if not paths:
                what = f"no file is there for {source.files!r}, which sources.yml gives for the table"
                problems.append(Problem(table.name, what, "correct the name, or put the files there"))
            claimed.update(entry for entry in entries if any(path == entry or entry in path.parents for path in paths))
        else:
            forms = [entry for entry in entries if _is_form(entry, table.name)]
            claimed.update(forms)
            if len(forms) > 1:
                names = " and ".join(form.name + ("/" if form.is_dir() else "") for form in forms)
                problems.append(Problem(table.name, f"the table is there twice, as {names}", "keep one of them"))
                continue
            paths = forms
            if forms and forms[0].is_dir():
                paths, foreign = _parts(forms[0])
                if foreign:
                    notices.append(
                        f"{table.name}/ holds {len(foreign):,} file(s) that are neither Parquet nor CSV nor JSON lines and were not "
                        f"read, such as {foreign[0].name}"
                    )
        if paths:
            files[table.name] = tuple(_raw_file(path, raw) for path in paths)
    if not any(name in files or name in (problem.table for problem in problems) for name in BOOKS):
        problems.append(_nobody(raw, entries))
    unknown = [entry.name for entry in entries if entry not in claimed and (entry.is_dir() or format_of(entry.name))]
    if unknown:
        notices.append(f"not a table of the contract and not read: {', '.join(unknown[:10])}")
    return Discovery(files, tuple(notices), tuple(problems))


def _is_form(entry: Path, table: str) -> bool:
    if entry.is_dir():
        return entry.name == table
    return _table_name(entry) == table and format_of(entry.name) is not None


def _named_files(raw: Path, source: TableSource) -> list[Path]:
    """The files that a source names: those of a pattern, or all of a folder that are read."""
    pattern = Path(source.files)
    place = raw / pattern
    if place.is_dir():
        return _parts(place)[0]
    if place.is_file():
        return [place]
    anchor = Path(pattern.anchor) if pattern.is_absolute() else raw
    relative = str(pattern.relative_to(pattern.anchor)) if pattern.is_absolute() else source.files
    below = sorted(path for path in anchor.glob(relative) if not _ignored(path))
    return [part for path in below for part in (_parts(path)[0] if path.is_dir() else [path])]


def _nobody(raw: Path, entries: Sequence[Path]) -> Problem:
    """No table says who the customers are."""
    there = ", ".join(entry.name for entry in entries[:20]) or "nothing"
    first = BOOKS[0]
    return Problem(
        table=first,
        what=f"{raw} has no table {' or '.join(BOOKS)}, and without one nobody knows who the customers are",
        remedy=f"expected {FORMS_IN_WORDS.replace('NAME', first)}, or a folder {first}/ of such files, found {there}",
    )


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
                (parts if format_of(path.name) else foreign).append(path)
    return sorted(parts), sorted(foreign)


def _raw_file(path: Path, raw: Path) -> RawFile:
    status = path.stat()
    name = path.relative_to(raw) if path.is_relative_to(raw) else path
    return RawFile(path, name.as_posix(), status.st_size, status.st_mtime_ns)


Family = Literal["text", "date", "timestamp", "zoned timestamp", "integer", "floating", "boolean"]


@dataclass(frozen=True)
class Field:
    """A column as it stands in a file, and what is known of how to read it.

    Attributes:
        identifier: SQL to read it by.
        family: what it is made of.
        nulls: words that stand for no value.
        unread_nulls: words that do so too, none of which can be read as a value of the column's kind.
        words: what words mean in the words of the contract; in lower case.
        style: how its values are written: a style of numbers, a form of dates; empty: as the contract has it.
        unit: a key of ``UNITS``; empty: the unit of the contract.
        per_cent: what a sign for per cent behind a number divides it by; 0: there may be none.
    """

    identifier: str
    family: Family
    nulls: tuple[str, ...] = ()
    unread_nulls: tuple[str, ...] = ()
    words: tuple[tuple[str, str], ...] = ()
    style: str = ""
    unit: str = ""
    per_cent: int = 0

    @property
    def is_made(self) -> bool:
        """Whether it is made by an expression rather than found in the file."""
        return self.identifier.startswith("(")


@dataclass(frozen=True)
class Layout:
    """What files read by one statement have in common.

    Attributes:
        format: of the files.
        width: number of columns of a CSV.
        fields: by column of the contract, where it is in the files.
        dialect, compression: of text.
        header: names of the files' columns, where an expression may use them.
        copy: the file's copy in UTF-8, where it cannot be read itself; such a layout has one file.
    """

    format: Format
    width: int
    fields: tuple[tuple[str, Field], ...]
    dialect: dialects.Dialect = dialects.PLAIN
    compression: dialects.Compression = "none"
    header: tuple[str, ...] = ()
    copy: str = ""

    def styled(self, styles: Mapping[str, str]) -> Layout:
        """The same layout with columns whose values are written in a style."""
        fields = ((name, replace(field, style=styles.get(name, field.style))) for name, field in self.fields)
        return replace(self, fields=tuple(fields))

    def position(self, identifier: str) -> int | None:
        """Where a column of a CSV stands in its rows, from 0; None for anything that is not one."""
        if self.format != "csv":
            return None
        if self.header:
            names = [quoted(name) for name in self.header]
            return names.index(identifier) if identifier in names else None
        return int(identifier[1:]) if re.fullmatch(r"c\d+", identifier) else None

    def path(self, file: RawFile) -> str:
        """Where the content of ``file`` is read from, which is what ``"/file"`` says."""
        return self.copy or str(file.path)

    def relation(self, files: Iterable[RawFile], *, is_blanked: bool = False) -> str:
        """SQL that scans ``files``: the contract's columns by their names, text without blanks, and ``"/file"``, the path.

        A column whose values are written in a style or in words of its own also comes in as the contract has it, as ``NAME:read``.

        Args:
            is_blanked: words that cannot be read anyway, and stand for no value, are null. Whoever reads millions of values asks that
                of the few that could not be read.
        """
        columns = [f"{_raw_sql(field)} as {quoted(name)}" for name, field in self.fields]
        rows = f'(select {", ".join(columns)}, "/file" from {self._named(files)})'
        cleaned = [
            f"{_cleaned_sql(quoted(name), field, is_blanked)} as {quoted(name)}"
            for name, field in self.fields
            if field.family == "text"
        ]
        if cleaned:
            rows = f"(select * replace ({', '.join(cleaned)}) from {rows})"
        read = [
            f"{sql} as {quoted(name + ':read')}"
            for name, field in self.fields
            if (sql := rewritten(quoted(name), field)[0]) != quoted(name)
        ]
        return f"(select *, {', '.join(read)} from {rows})" if read else rows

    def _named(self, files: Iterable[RawFile]) -> str:
        """The scan with the columns under the names of the header, where expressions want them."""
        if not self.header or self.format != "csv":
            return self._scan(files)
        names = [
            f"c{position} as {quoted(name)}"
            for position, name in enumerate(self.header)
            if _is_single(name, self.header)
        ]
        return f'(select {", ".join(names)}, "/file" from {self._scan(files)})'

    def _scan(self, files: Iterable[RawFile]) -> str:
        names = ", ".join(literal(_unglobbed(self.path(file))) for file in files)
        if self.format == "parquet":
            return (
                f"read_parquet([{names}], filename = '/file', hive_partitioning = false, "
                "binary_as_string = true, union_by_name = false)"
            )
        compression = "none" if self.copy else self.compression
        if self.format == "jsonl":
            columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in self.header)
            return (
                f"read_json([{names}], format = 'newline_delimited', auto_detect = false, columns = {{{columns}}}, "
                f"compression = '{compression}', filename = '/file', hive_partitioning = false)"
            )
        # Names from a header never reach SQL here: a CSV column is known by its position.
        columns = ", ".join(f"'c{position}': 'VARCHAR'" for position in range(self.width))
        written = self.dialect
        return (
            f"read_csv([{names}], auto_detect = false, header = true, columns = {{{columns}}}, "
            f"delim = {literal(written.delimiter)}, quote = {literal(written.quote)}, escape = {literal(written.escape)}, "
            f"skip = {written.skipped_lines}, encoding = '{written.reader_encoding}', compression = '{compression}', "
            "strict_mode = true, nullstr = '', filename = '/file', hive_partitioning = false)"
        )


def file_name_sql(layout: Layout, files: Iterable[RawFile], raw: Path) -> str:
    """SQL of the name of a row's file, from the path that it was read from."""
    start = len(str(raw).rstrip("/")) + 2
    elsewhere = [file for file in files if layout.path(file) != f"{str(raw).rstrip('/')}/{file.name}"]
    below = f'substr("/file", {start})'
    if not elsewhere:
        return below
    branches = " ".join(f"when {literal(layout.path(file))} then {literal(file.name)}" for file in elsewhere)
    return f'case "/file" {branches} else {below} end'


def _is_single(name: str, header: Sequence[str]) -> bool:
    return bool(name.strip()) and sum(name.lower() == other.lower() for other in header) == 1


def _raw_sql(field: Field) -> str:
    """SQL of a column as it was found."""
    return f"{field.identifier}::VARCHAR" if field.family == "text" else field.identifier


def _cleaned_sql(text: str, field: Field, is_blanked: bool) -> str:
    """SQL of a text without the blanks around it; null where nothing is left of it, or a word that stands for nothing."""
    words = (*field.nulls, *(field.unread_nulls if is_blanked else ()))
    longest = max((len(word.encode()) for word in words), default=0)
    # Most values are longer than any of the words and consist of ASCII without a blank, which is seen at a glance. trim() looks at
    # every letter, and of millions of ids it took longer than all the rest of their reading.
    is_clean = f"strlen({text}) > {longest} and strlen({text}) = length({text}) and not contains({text}, ' ')"
    return f"case when {is_clean} then {text} when {_is_among(f'trim({text})', ('', *words))} then null else trim({text}) end"


def _is_among(text: str, words: Iterable[str]) -> str:
    """SQL that is true for a text that is one of the words.

    Not ``in``, and not ``list_contains``, which is taken for it: of more than a few words DuckDB makes a join, which all rows of a
    table pass through whether or not they are asked for.
    """
    return f"list_position([{', '.join(map(literal, words))}], {text}) > 0"


def rewritten(raw: str, field: Field) -> tuple[str, Family]:
    """SQL of a column's values in a form that ``reading`` takes as it stands, and what they are made of; as found where they are so."""
    sql, family = raw, field.family
    if field.words:
        text = f"{sql}::VARCHAR"
        branches = " ".join(f"when {literal(word)} then {literal(meaning)}" for word, meaning in field.words)
        sql, family = f"case lower({text}) {branches} else {text} end", "text"
    if field.style in amounts.STYLES:
        return amounts.value(field.style, f"{sql}::VARCHAR", field.per_cent), "floating"
    if field.style:
        sql, sql_type = moments.rewritten(field.style, f"{sql}::VARCHAR")
        family = _family(sql_type)
    return sql, family


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


def layout(
    con: duckdb.DuckDBPyConnection,
    table: TableContract,
    file: RawFile,
    source: TableSource | None = None,
    scratch: dialects.Scratch | None = None,
) -> Layout:
    """What ``file`` looks like, from its header and the form of its text.

    Args:
        con: any connection; it reads the file only.
        source: what is known of the table's columns.
        scratch: where a file is copied that DuckDB's reader cannot take as it is; such a file is refused without one.

    Raises:
        UnusableError: the file cannot be read, lacks columns or names one twice; all that is wrong with it at once.
    """
    source = source or TableSource(table.name)
    try:
        bare, header = _header(con, table, file, source)
        if bare.dialect.is_copied:
            if scratch is None:
                name = dialects.SPOKEN_ENCODINGS.get(bare.dialect.encoding, bare.dialect.encoding)
                raise dialects.FaultError(f"a file in {name} is only read while landing")
            bare = replace(bare, copy=str(scratch.copy(file.path, bare.dialect.encoding)))
    except dialects.FaultError as fault:
        raise UnusableError([_problem(table, file, fault)]) from fault
    return _with_fields(con, table, file, source, bare, header)


def _problem(table: TableContract, file: RawFile, fault: dialects.FaultError) -> Problem:
    return Problem(table.name, fault.what, fault.remedy, file.name, fault.line)


def _header(
    con: duckdb.DuckDBPyConnection, table: TableContract, file: RawFile, source: TableSource
) -> tuple[Layout, list[tuple[str, Field]]]:
    """The layout without its fields, and the file's columns by the names that they have there."""
    packing = dialects.compression(file.path)
    if file.format == "parquet":
        return Layout("parquet", 0, ()), _parquet_header(con, table, file)
    if file.format == "jsonl":
        names = _json_names(con, file, packing)
        columns = [(name, Field(quoted(name), "text")) for name in names]
        # To SQL two names that differ in case are one.
        single = {name.lower(): name for name in reversed(names)}
        return Layout("jsonl", 0, (), compression=packing, header=tuple(sorted(single.values()))), columns
    wanted = {column.name for column in table.columns} | {
        given.column.strip().lower() for given in source.columns.values() if given.column
    }
    written, names = dialects.recognise(file.path, wanted, source.delimiter, source.encoding)
    names = [name.strip() for name in names]
    is_named = any(given.expression for given in source.columns.values())
    columns = [
        (name, Field(quoted(name) if is_named else f"c{position}", "text")) for position, name in enumerate(names)
    ]
    return Layout("csv", len(names), (), written, packing, tuple(names)), columns


def _with_fields(
    con: duckdb.DuckDBPyConnection,
    table: TableContract,
    file: RawFile,
    source: TableSource,
    bare: Layout,
    header: list[tuple[str, Field]],
) -> Layout:
    there: dict[str, Field] = {}
    doubled: set[str] = set()
    for name, header_field in header:
        plain = name.strip().lower()
        doubled.update({plain} & there.keys())
        there.setdefault(plain, header_field)
    fields: dict[str, Field] = {}
    missing: dict[str, str] = {}
    problems: list[Problem] = []
    for column in table.columns:
        given = source.columns.get(column.name, _NAMELESS)
        if given.constant is not None:
            field: Field | None = Field(literal(given.constant), "text")
        elif given.expression:
            fault = _expression_fault(given.expression, [name for name, _ in header])
            if fault:
                what = f"the expression for {column.name} cannot be used: {fault}"
                problems.append(Problem(table.name, what, "correct it in sources.yml", file.name))
                continue
            try:
                field = Field(f"({given.expression})", _type_of(con, bare, file, given.expression))
            except duckdb.Error as error:
                what = f"the expression for {column.name} cannot be used: {_first_line(error)}"
                problems.append(Problem(table.name, what, "correct it in sources.yml", file.name))
                continue
        else:
            name = (given.column or column.name).strip().lower()
            field = there.get(name)
            if field is None and (column.required or given.column):
                missing[column.name] = name
            if name in doubled:
                what, remedy = f"column {name} is there twice", "leave one of them out of the export"
                problems.append(Problem(table.name, what, remedy, file.name))
        if field is not None:
            fields[column.name] = known_field(column, field, given, source)
    if missing:
        problems.append(_missing(table, file, missing, [name for name, _ in header]))
    if problems:
        raise UnusableError(problems)
    has_expression = any(given.expression for given in source.columns.values())
    names = bare.header
    if not has_expression and bare.format != "jsonl":
        names = ()
    elif not has_expression:
        used = {field.identifier for field in fields.values()}
        names = tuple(name for name in names if quoted(name) in used) or names[:1]
    return replace(bare, fields=tuple(sorted(fields.items())), header=names)


def _expression_fault(expression: str, header: Sequence[str]) -> str:
    """Why an expression may not be used, or is about a column that is not there, which DuckDB might take for one of its functions."""
    try:
        unknown = expressions.unknown_columns(expressions.parse(expression), header)
    except expressions.ExpressionError as error:
        return str(error)
    if not unknown:
        return ""
    close = difflib.get_close_matches(unknown[0], header, 1)
    return f"there is no column {', '.join(unknown)}" + (f"; did you mean {close[0]}?" if close else "")


def known_field(
    column: Column, field: Field, given: ColumnSource = _NAMELESS, source: TableSource = _UNMAPPED
) -> Field:
    """The field with all that the mapping and the kind of the column say of it."""
    kind = column.kind
    is_text = field.family == "text"
    is_word = kind in (Kind.TEXT, Kind.CATEGORY)
    built_in = TEXT_NULLS if kind is Kind.TEXT else DATE_NULLS if kind in (Kind.DATE, Kind.INSTANT) else OTHER_NULLS
    added = tuple(dict.fromkeys(word.strip() for word in source.nulls if word.strip()))
    style = ""
    if kind in (Kind.DATE, Kind.INSTANT):
        style = given.format
    elif kind in NUMBERS and source.decimal and field.family == "text":
        style = amounts.COMMA if source.decimal == "," else amounts.POINT
    words = tuple((word.strip().lower(), meaning) for word, meaning in given.words.items())
    return replace(
        field,
        nulls=tuple(dict.fromkeys((*(built_in if is_word else ()), *added))) if is_text else (),
        unread_nulls=built_in if is_text and not is_word else (),
        words=words,
        style=style,
        unit=given.unit if kind in NUMBERS else "",
        per_cent=1 if given.unit == "percent" else 100 if kind is Kind.SHARE else 0,
    )


def _missing(table: TableContract, file: RawFile, missing: Mapping[str, str], names: list[str]) -> Problem:
    """One problem of all the columns that a file lacks, with what it has and what may be meant."""
    plural = "columns are" if len(missing) > 1 else "column is"
    listed = ", ".join(name if name == column else f"{name} (for {column})" for column, name in missing.items())
    found = ", ".join(name.strip() for name in names[:30]) + (", ..." if len(names) > 30 else "")
    plain = {_letters(name): name.strip() for name in names}
    similar = [
        f"{column} may be {plain[close[0]]!r}"
        for column, name in missing.items()
        if (close := difflib.get_close_matches(_letters(name), plain, 1, _SIMILAR))
    ]
    perhaps = f" ({', '.join(similar)})" if similar else ""
    return Problem(
        table.name,
        f"the {plural} missing: {listed}; found: {found}{perhaps}",
        f"map in sources.yml what the table {table.name} has under other names",
        file.name,
    )


# Of two names so much has to be alike for the one to be meant by the other.
_SIMILAR = 0.75


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _type_of(con: duckdb.DuckDBPyConnection, bare: Layout, file: RawFile, expression: str) -> Family:
    rows = con.execute(f"describe select ({expression}) as made from {bare._named([file])}").fetchall()
    return _family(str(rows[0][1]))


def _first_line(error: duckdb.Error) -> str:
    return str(error).strip().splitlines()[0]


def _parquet_header(con: duckdb.DuckDBPyConnection, table: TableContract, file: RawFile) -> list[tuple[str, Field]]:
    scan = f"read_parquet([{literal(_unglobbed(str(file.path)))}], hive_partitioning = false, binary_as_string = true)"
    try:
        rows = con.execute(f"describe select * from {scan}").fetchall()
    except duckdb.Error as error:
        raise UnusableError([unreadable(table, file, error)]) from error
    return [(str(name), Field(quoted(str(name)), _family(str(sql_type)))) for name, sql_type, *_ in rows]


def _json_names(con: duckdb.DuckDBPyConnection, file: RawFile, packing: dialects.Compression) -> list[str]:
    """Every name that any object of the file uses, in the order of the alphabet: a name may first be used at the end."""
    scan = f"read_ndjson_objects([{literal(_unglobbed(str(file.path)))}], compression = '{packing}')"
    try:
        rows = con.execute(f"select distinct unnest(json_keys(json)) as name from {scan} order by name").fetchall()
    except duckdb.Error as error:
        raise dialects.json_fault(file.path) or _unnamed_fault() from error
    if not rows:
        raise dialects.json_fault(file.path) or dialects.FaultError(
            "the file holds no JSON object", None, "export it again"
        )
    return [str(name) for (name,) in rows]


def _unnamed_fault() -> dialects.FaultError:
    return dialects.FaultError("the file cannot be read, it may be damaged or half written", None, "export it again")


def unreadable(table: TableContract, file: RawFile, error: duckdb.Error, layout: Layout | None = None) -> Problem:
    """The problem of a file that DuckDB cannot read. Of DuckDB's message only what is about a Parquet file is told: of text it shows lines."""
    if file.format == "parquet":
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        telling = [line for line in lines[:6] if not line.startswith(("Possible", "*", "LINE", "^"))]
        what = f"the file cannot be read, it may be damaged or half written: {' | '.join(telling[:4])}"
        return Problem(table.name, what, "export it again", file.name)
    fault = None
    if file.format == "jsonl":
        fault = dialects.json_fault(file.path)
    elif layout is not None:
        fault = dialects.csv_fault(file.path, layout.dialect, layout.width)
    return _problem(table, file, fault or _unnamed_fault())


def first_unreadable(table: TableContract, files: Mapping[Layout, list[RawFile]]) -> Problem | None:
    """After a failed statement: reads each file alone, to name the one at fault.

    A connection of its own, because the failed statement has doomed the transaction of the caller's.
    """
    with duckdb.connect() as con:
        con.execute("set TimeZone = 'UTC'")
        for layout, members in files.items():
            for file in members:
                names = [name for name, _ in layout.fields]
                error = _failure(con, layout, file, names)
                if error is None:
                    continue
                made = [name for name, field in layout.fields if field.is_made]
                if made and _failure(con, layout, file, [name for name in names if name not in made]) is None:
                    return _expression_at_fault(con, table, layout, file, made)
                return unreadable(table, file, error, layout)
    return None


def _failure(con: duckdb.DuckDBPyConnection, layout: Layout, file: RawFile, names: list[str]) -> duckdb.Error | None:
    # Hashed, because a mere count is answered from a Parquet file's metadata.
    wanted = ", ".join(f"bit_xor(hash({quoted(name)}))" for name in names) or "count(*)"
    try:
        con.execute(f"select {wanted} from {layout.relation([file])}").fetchall()
    except duckdb.Error as error:
        return error
    return None


def _expression_at_fault(
    con: duckdb.DuckDBPyConnection, table: TableContract, layout: Layout, file: RawFile, made: list[str]
) -> Problem:
    """An expression that cannot be computed for some row. DuckDB's words for it would show the value."""
    errors = {name: error for name in made if (error := _failure(con, layout, file, [name]))}
    named = " and ".join(errors or made)
    kinds = ", ".join(sorted({type(error).__name__ for error in errors.values()}))
    return Problem(
        table.name,
        f"the expression for {named} cannot be computed for every row ({kinds})",
        "let it give null where it cannot, as try_cast does, in sources.yml",
        file.name,
    )


_FLAG_WORDS = {"true": ("true", "t", "yes", "y", "1"), "false": ("false", "f", "no", "n", "0")}
NUMBERS = (Kind.MONEY, Kind.SHARE, Kind.HOURS, Kind.COUNT)
_NUMERIC = ("integer", "floating")


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
    raw = quoted(column.name)
    sql, family = rewritten(raw, field)
    value = typed(column, field, raw if sql == raw else quoted(column.name + ":read"), family)
    if column.kind is Kind.TEXT:
        # An id is compared with others, so it is remembered in the form in which it is read.
        return Reading(value, f"{raw} is not null", value)
    return Reading(value, f"{given_sql(column, layout, value, raw)} is not null", raw)


def given_sql(column: Column, layout: Layout, value: str, raw: str) -> str:
    """SQL of what was given, null where nothing was: from what was found, and from the value that was read of it."""
    field = dict(layout.fields).get(column.name)
    if field is not None and column.kind in NUMBERS and field.family in _NUMERIC:
        # NaN is how some writers spell null.
        return f"nullif({raw}::DOUBLE, 'nan'::DOUBLE)"
    if field is None or not field.unread_nulls:
        return raw
    return f"case when ({value}) is null and {_is_among(raw, field.unread_nulls)} then null else {raw} end"


def typed(column: Column, field: Field, written: str, family: Family) -> str:
    """SQL of a column's value from what ``rewritten`` makes of it."""
    if column.kind is Kind.TEXT:
        return _text(written, family)
    if column.kind is Kind.CATEGORY:
        return f"lower({_text(written, family)})"
    if column.kind in (Kind.DATE, Kind.INSTANT):
        return _moment(column.kind, written, family)
    if column.kind is Kind.FLAG:
        return _flag(written, family)
    if family in _NUMERIC:
        return _in_unit(f"nullif({written}::DOUBLE, 'nan'::DOUBLE)", field.unit)
    return _in_unit(amounts.value(amounts.PLAIN, f"{written}::VARCHAR"), field.unit)


def _in_unit(value: str, unit: str) -> str:
    """A number in the unit of the contract. Divided where the divisor is a whole number: 7 / 100 is exact to the last bit, 7 * 0.01 is not."""
    if not unit:
        return value
    factor = UNITS[unit]
    divisor = round(1 / factor) if factor < 1 else 0
    if divisor and abs(divisor * factor - 1) < 1e-12:
        return f"({value}) / {divisor}"
    return f"({value}) * {factor!r}"


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
        f"when {_is_among(f'lower({raw}::VARCHAR)', words)} then {value}" for value, words in _FLAG_WORDS.items()
    )
    return f"case {branches} end"


def _moment(kind: Kind, raw: str, family: Family) -> str:
    """A date or an instant from whatever type the file has."""
    first, last = moments.FIRST_DAY, moments.LAST_DAY
    if family == "date":
        day = f"case when {raw} between {first} and {last} then {raw} end"
        return day if kind is Kind.DATE else f"local_midnight({day})"
    if family in ("timestamp", "zoned timestamp"):
        naive = f"try_cast({raw} as TIMESTAMP)" if family == "timestamp" else f"timezone('UTC', {raw}::TIMESTAMPTZ)"
        instant = f"case when {naive} between {first} and {last} then {naive} end"
        if kind is Kind.INSTANT:
            return instant
        if family == "zoned timestamp":
            return f"local_date({instant})"
        # Midnight without a zone is a date that a writer stored as a timestamp.
        return f"case when {naive} = date_trunc('day', {naive}) then ({instant})::DATE else local_date({instant}) end"
    return moments.from_text(kind, f"{raw}::VARCHAR")
