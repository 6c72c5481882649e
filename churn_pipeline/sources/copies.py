"""The copy of one remote table: part files in a folder that landing reads as any other, and a note of what they are.

The note, ``_fetched.json``, is the last thing that is written: a file that it does not list was left by a killed process and goes before
anybody lands. A fetch never writes over a part file, so the note and the files that it lists are always of one moment; an erasure does,
with the same file less the rows of a customer.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import duckdb

from churn_pipeline.core.atomic import commit_file, replace_bytes, temp_path
from churn_pipeline.core.errors import InputError
from churn_pipeline.core.json_text import json_text
from churn_pipeline.core.sql import literal

NOTE = "_fetched.json"


@dataclass(frozen=True)
class Note:
    """What the files of a copy are.

    Attributes:
        asked: a digest of what was asked for; what answers another question is no use.
        origin: where it was asked, for people.
        customer: SQL that gives the customer_id of a row of a part file; empty where files are kept as they came.
        columns: of a query's result, as name and type.
        parts: names of the part files that are valid, of a query's result.
        number: of the newest part file.
        newest: the value from which on the next query asks; None: it asks for all.
        objects: of an object store, the stamp of each by the name of its copy.
    """

    asked: str = ""
    origin: str = ""
    customer: str = ""
    columns: tuple[tuple[str, str], ...] = ()
    parts: tuple[str, ...] = ()
    number: int = 0
    newest: str | None = None
    objects: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


class Copy:
    """The copy of one table. Whoever changes it holds the home's lock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.note = self._read()

    @property
    def table(self) -> str:
        return self.folder.name

    def _read(self) -> Note:
        path = self.folder / NOTE
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            return Note(
                **values
                | {
                    "columns": tuple((name, kind) for name, kind in values["columns"]),
                    "parts": tuple(values["parts"]),
                    "objects": dict(values["objects"]),
                }
            )
        except FileNotFoundError:
            return Note()
        except (ValueError, TypeError, KeyError):
            raise InputError(
                f"{path} cannot be read: remove the folder {self.folder}, and the next run fetches the table again"
            ) from None

    def begin(self) -> None:
        """Makes the folder, for its owner's eyes only, and removes what a killed process left in it."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # It may have been there before, or been unpacked from a backup.
        self.folder.chmod(0o700)
        self._sweep()

    def commit(self, note: Note) -> None:
        """Makes the files that a note lists the copy, and removes all others."""
        replace_bytes(
            self.folder / NOTE,
            json_text(vars(note) | {"objects": dict(note.objects)}, indent=1).encode() + b"\n",
            mode=0o600,
        )
        self.note = note
        self._sweep()

    def _sweep(self) -> None:
        valid = {self.folder / name for name in (NOTE, *self.note.parts, *self.note.objects)}
        for directory, _, names in self.folder.walk(top_down=False):
            for name in names:
                if directory / name not in valid:
                    (directory / name).unlink()
            if directory != self.folder and not any(directory.iterdir()):
                directory.rmdir()

    def remove(self) -> None:
        """Removes the copy; the next run fetches all of it again."""
        # The note goes first: without it no file counts.
        (self.folder / NOTE).unlink(missing_ok=True)
        shutil.rmtree(self.folder)

    @property
    def parts(self) -> tuple[Path, ...]:
        return tuple(self.folder / name for name in self.note.parts)

    def part(self, number: int) -> Path:
        return self.folder / f"part-{number:06}.parquet"

    @contextmanager
    def engine(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """DuckDB for work on this copy; what memory does not hold is spilled beside it, where only its owner looks."""
        spill = self.folder / ".spill.tmp"
        try:
            with duckdb.connect() as con:
                con.execute(f"set temp_directory = {literal(spill)}")
                con.execute("set timezone = 'UTC'")
                yield con
        finally:
            shutil.rmtree(spill, ignore_errors=True)

    def rows_of(self, customer_ids: Collection[str]) -> int:
        """Rows of customers in the part files of a query's result."""
        if not self.note.customer or not self.parts:
            return 0
        with self.engine() as con:
            return sum(count_rows(con, self._theirs(part), list(customer_ids)) for part in self.parts)

    def erase(self, customer_ids: Collection[str]) -> int:
        """Takes the rows of customers out of the part files; returns how many there were. Each file is replaced in one step."""
        if not self.note.customer or not self.parts:
            return 0
        erased, ids = 0, list(customer_ids)
        with self.engine() as con:
            for part in self.parts:
                if rows := count_rows(con, self._theirs(part), ids):
                    temporary = temp_path(part)
                    kept = f"select * from {scan([part])} where not coalesce(list_contains({_texts(ids)}, {self.note.customer}), false)"
                    write_parquet(con, kept, temporary)
                    commit_file(temporary, part)
                    erased += rows
        return erased

    def _theirs(self, part: Path) -> str:
        return f"{scan([part])} where list_contains(?::varchar[], {self.note.customer})"


def copies(folder: Path) -> list[Copy]:
    """The copies that a home has.

    Raises:
        InputError: the note of one cannot be read.
    """
    if not folder.is_dir():
        return []
    return [Copy(path) for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith(".")]


def scan(paths: Iterable[Path]) -> str:
    """SQL that reads part files of one form."""
    names = ", ".join(literal(path_pattern(path)) for path in paths)
    return f"read_parquet([{names}], hive_partitioning = false, union_by_name = false)"


def path_pattern(path: Path) -> str:
    """DuckDB takes a path for a pattern; a character in brackets stands for itself."""
    return "".join(f"[{character}]" if character in "*?[" else character for character in str(path))


def write_parquet(con: duckdb.DuckDBPyConnection, query: str, target: Path, parameters: Sequence[Any] = ()) -> None:
    """Writes what a query answers with; parameters only where DuckDB takes them in a COPY."""
    con.execute(f"copy ({query}) to {literal(target)} (format parquet, compression zstd)", list(parameters) or None)


def count_rows(con: duckdb.DuckDBPyConnection, relation: str, *parameters: Any) -> int:
    """The number of rows of a relation."""
    return int(con.execute(f"select count(*) from {relation}", list(parameters) or None).fetchall()[0][0])


def _texts(values: Iterable[str]) -> str:
    return f"[{', '.join(map(literal, values))}]"


def customer_sql(con: duckdb.DuckDBPyConnection, expression: str, parts: Sequence[Path]) -> str:
    """SQL that gives the customer_id as landing reads it: without blanks around it, a whole number in a floating column as that."""
    kind = str(con.execute(f"describe select {expression} from {scan(parts)}").fetchall()[0][1])
    text = f"{expression}::VARCHAR"
    if kind.startswith("DECIMAL") or kind in ("FLOAT", "DOUBLE"):
        text = f"coalesce(case when {expression} = trunc({expression}) then try_cast({expression} as BIGINT)::VARCHAR end, {text})"
    return f"nullif(trim({text}), '')"
