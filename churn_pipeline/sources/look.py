"""Looking at a folder of exports: which files belong together, what their columns are called and what the first rows hold."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb

from churn_pipeline.contract import dialects
from churn_pipeline.contract.declaration import TABLES
from churn_pipeline.contract.files import Field, Layout, RawFile, format_of
from churn_pipeline.core.sql import literal, quoted

# Enough to see what a column is, and to hold the ids of most companies' customers.
SAMPLED_ROWS = 20_000
SAMPLED_FILES = 20
SHOWN_VALUES = 400
# A folder of more files than this is somebody's archive, and nobody looks at all of it.
MAX_FILES = 5_000


@dataclass(frozen=True)
class Export:
    """Files with the same columns.

    Attributes:
        pattern: how sources.yml names them, below the folder that was looked at.
        files: how many there are.
        first: the first of them, which was looked at.
        columns: their names in the order of the file.
        relation: a table with the first rows, every value as text and null where it is empty.
        rows: how many rows that table has.
    """

    pattern: str
    files: int
    first: Path
    columns: tuple[str, ...]
    relation: str
    rows: int


@dataclass
class Folder:
    """What lies in a folder. Its connection holds the first rows of every export."""

    con: duckdb.DuckDBPyConnection
    exports: tuple[Export, ...]
    notices: tuple[str, ...]

    def __post_init__(self) -> None:
        self._values: dict[tuple[str, str], tuple[str, ...]] = {}
        self._numbers: dict[tuple[str, str, str], float] = {}

    def values(self, export: Export, column: str) -> tuple[str, ...]:
        """Some of the values that are given in a column, each once, the most frequent first."""
        key = export.pattern, column
        if key not in self._values:
            name = quoted(column)
            rows = self.con.execute(
                f"select {name} from {export.relation} where {name} is not null group by all "
                f"order by count(*) desc, {name} limit {SHOWN_VALUES}"
            ).fetchall()
            self._values[key] = tuple(str(value) for (value,) in rows)
        return self._values[key]

    def given(self, export: Export, column: str) -> float:
        """The share of rows in which the column has a value."""
        return self._number(export, column, f"count({quoted(column)}) / count(*)")

    def distinct(self, export: Export, column: str) -> float:
        """Distinct values a given value: 1 where each occurs once."""
        return self._number(export, column, f"count(distinct {quoted(column)}) / count({quoted(column)})")

    def overlap(self, export: Export, column: str, customers: Export, customer_id: str) -> float:
        """The share of the distinct values of a column that are ids of customers, among those that were looked at."""
        condition = f"{quoted(column)} in (select {quoted(customer_id)} from {customers.relation})"
        return self._number(
            export,
            column,
            f"count(distinct {quoted(column)}) filter (where {condition}) / count(distinct {quoted(column)})",
        )

    def _number(self, export: Export, column: str, sql: str) -> float:
        key = export.pattern, column, sql
        if key not in self._numbers:
            row = self.con.execute(f"select {sql} from {export.relation}").fetchone()
            self._numbers[key] = float(row[0]) if row is not None and row[0] is not None else 0.0
        return self._numbers[key]


def look(folder: Path) -> Folder:
    """Looks at every file below a folder that a table could be made of. Nothing is changed, and few rows of each are read."""
    con = duckdb.connect()
    exports: list[Export] = []
    notices: list[str] = []
    with dialects.Scratch() as scratch:
        for pattern, files in _groups(folder):
            relation = f"export_{len(exports)}"
            try:
                columns = _load(con, files[:SAMPLED_FILES], relation, scratch)
            except dialects.FaultError as fault:
                notices.append(f"{pattern} cannot be read: {fault.what}")
                continue
            except (duckdb.Error, OSError) as error:
                # What DuckDB says may hold a line of the file.
                notices.append(f"{pattern} cannot be read ({type(error).__name__})")
                continue
            row = con.execute(f"select count(*) from {relation}").fetchone()
            assert row is not None
            exports.append(Export(pattern, len(files), files[0], columns, relation, int(row[0])))
    return Folder(con, tuple(exports), tuple(notices))


def _groups(folder: Path) -> Iterator[tuple[str, list[Path]]]:
    """The data files below a folder by the pattern that names them: alike but for numbers and dates in their names."""
    files = sorted(_data_files(folder))
    by_folder: dict[str, set[str]] = {}
    for path in files:
        parts = path.relative_to(folder).parts
        if len(parts) > 1:
            by_folder.setdefault(parts[0], set()).add(_shape(parts[-1]))
    groups: dict[str, list[Path]] = {}
    for path in files:
        relative = path.relative_to(folder)
        top = relative.parts[0]
        if len(relative.parts) > 1 and len(by_folder[top]) == 1:
            groups.setdefault(f"{top}/", []).append(path)
        else:
            groups.setdefault(_shape(relative.as_posix()), []).append(path)
    for shape, members in groups.items():
        single = len(members) == 1 and not shape.endswith("/")
        yield members[0].relative_to(folder).as_posix() if single else shape, members


def _data_files(folder: Path) -> Iterator[Path]:
    count = 0
    for directory, folders, names in folder.walk():
        folders[:] = sorted(name for name in folders if not name.startswith((".", "_")))
        for name in sorted(names):
            if not name.startswith((".", "_")) and format_of(name) is not None:
                count += 1
                if count > MAX_FILES:
                    return
                yield directory / name


def _shape(name: str) -> str:
    """The name with a star for each date or number, so that customers_2026-01.csv and customers_2026-02.csv are one."""
    stem, dot, suffixes = name.partition(".") if "/" not in name else _split_last(name)
    return re.sub(r"\d+(?:[-_T:]\d+)*", "*", stem) + dot + suffixes


def _split_last(name: str) -> tuple[str, str, str]:
    folder, _, last = name.rpartition("/")
    stem, dot, suffixes = last.partition(".")
    return f"{folder}/{stem}", dot, suffixes


def _load(
    con: duckdb.DuckDBPyConnection, files: list[Path], relation: str, scratch: dialects.Scratch
) -> tuple[str, ...]:
    """Puts the first rows of files into a table, every value as text; returns the names of the first one's columns."""
    columns: tuple[str, ...] = ()
    for path in files:
        layout = _layout(con, path, scratch)
        there = tuple(name for name, _ in layout.fields)
        # A column that a later file lacks is empty there.
        names = ", ".join(quoted(name) for name in there if not columns or name in columns)
        status = path.stat()
        scan = layout.relation([RawFile(path, path.name, status.st_size, status.st_mtime_ns)])
        rows = f"select {names} from {scan} limit {SAMPLED_ROWS // len(files)}"
        con.execute(f"insert into {relation} by name {rows}" if columns else f"create table {relation} as {rows}")
        columns = columns or there
    return columns


def _layout(con: duckdb.DuckDBPyConnection, path: Path, scratch: dialects.Scratch) -> Layout:
    """How a file is read that is no table yet: all of its columns, by their own names and as text."""
    packing = dialects.compression(path)
    place = literal(re.sub(r"([*?\[])", r"[\1]", str(path)))
    if format_of(path.name) == "parquet":
        described = con.execute(f"describe select * from read_parquet([{place}], hive_partitioning = false)").fetchall()
        return Layout("parquet", 0, _fields([(str(name), quoted(str(name))) for name, *_ in described]))
    if format_of(path.name) == "jsonl":
        scan = f"(select json from read_ndjson_objects([{place}], compression = '{packing}') limit {SAMPLED_ROWS})"
        keys = con.execute(f"select distinct unnest(json_keys(json)) as name from {scan} order by name").fetchall()
        fields = _fields([(str(name), quoted(str(name))) for (name,) in keys])
        return Layout("jsonl", 0, fields, compression=packing, header=tuple(name for name, _ in fields))
    written, header = dialects.recognise(path, {column.name for table in TABLES.values() for column in table.columns})
    fields = _fields([(name.strip(), f"c{position}") for position, name in enumerate(header)])
    copy = str(scratch.copy(path, written.encoding)) if written.is_copied else ""
    return Layout("csv", len(header), fields, written, packing, copy=copy)


def _fields(columns: list[tuple[str, str]]) -> tuple[tuple[str, Field], ...]:
    """The columns that have a name of their own; another one cannot be named in sources.yml either."""
    count: dict[str, int] = {}
    for name, _ in columns:
        count[name.lower()] = count.get(name.lower(), 0) + 1
    return tuple((name, Field(identifier, "text")) for name, identifier in columns if name and count[name.lower()] == 1)
