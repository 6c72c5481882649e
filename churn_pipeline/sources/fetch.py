"""Bringing what is new from databases and object stores, before it is landed.

Each remote table has a copy below HOME/data/sources that landing reads as a folder of part files. A failure leaves the former copy, a
kill at any point neither loses nor doubles a row.

How what is new is told
    *A query without ``incremental_by``* is fetched whole, and replaces its copy only where its content is another, so that landing has
    nothing to do where nothing changed.

    *With it* rows with the newest value that was fetched, or a greater one, are asked for. Those that are known already are taken out,
    so that a row which came later with the same value (of the same day, of the same microsecond) is not lost and none comes twice. A
    row of the contract's key that changed takes the place of its former self.

    *An object* is fetched when its tag, size or time changed, and its copy goes when it is gone.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import duckdb

from churn_pipeline.contract import TABLES
from churn_pipeline.contract.problems import Problem, UnusableError, format_problems
from churn_pipeline.contract.source import ColumnSource, TableSource
from churn_pipeline.contract.suppression import Register
from churn_pipeline.core.atomic import commit_file, temp_path
from churn_pipeline.core.errors import InputError, SourceError
from churn_pipeline.core.json_text import json_text
from churn_pipeline.core.sql import quoted
from churn_pipeline.sources import copies as copied
from churn_pipeline.sources.copies import Copy, Note, scan, write_parquet
from churn_pipeline.sources.databases import Column, Mark, Session, can_tell_what_is_new, session, where
from churn_pipeline.sources.declared import DATABASES, RemoteSource, Sources
from churn_pipeline.sources.object_stores import Store

if TYPE_CHECKING:
    import pyarrow as pa

type Progress = Callable[[str], None]

# One row a customer, and a former life, a return and a deletion are seen in the whole table only.
_ALWAYS_WHOLE = frozenset({"customers"})


@dataclass(frozen=True)
class FetchedTable:
    """What fetching did with one table.

    Attributes:
        how: ``unchanged``; ``appended``: what is new became another file; ``whole``: all that there was before was replaced.
        rows: new rows, or all where it was fetched whole; None for objects.
        files: objects that were fetched.
        vanished: objects whose copies were removed.
        kept_out: rows of forgotten customers.
    """

    how: Literal["unchanged", "appended", "whole"]
    rows: int | None = None
    files: int = 0
    vanished: int = 0
    kept_out: int = 0


@dataclass(frozen=True)
class Fetched:
    """What one call of :func:`fetch` did, by table."""

    tables: Mapping[str, FetchedTable]


def fetch(
    sources: Sources,
    folder: Path,
    environment: Mapping[str, str],
    progress: Progress,
    *,
    now: datetime,
    register: Register | None = None,
) -> Fetched:
    """Brings the copies of all remote tables up to date. The home's lock is held.

    Args:
        sources: what sources.yml says.
        folder: where the copies are, a folder a table.
        environment: where the secrets of connections are.
        progress: called with a sentence for each table.
        now: aware instant; what a database dates after it is asked for again the next time.
        register: the home's list of forgotten customers, whose rows are not brought back.

    Raises:
        UnusableError: something that a person has to mend, of every table that has it. What could be fetched was.
        SourceError: nothing of that kind, but a database or a store is away.
    """
    _remove_others(folder, sources, progress)
    run = _Run(sources, folder, environment, progress, now, register)
    databases: dict[str, list[RemoteSource]] = {}
    for remote in sources.remote.values():
        if remote.kind in DATABASES:
            databases.setdefault(remote.connection_name, []).append(remote)
        else:
            run.table(remote, lambda copy, remote=remote: run.objects(copy, remote))  # type: ignore[misc]
    for name, tables in databases.items():
        run.database(name, tables)
    if run.problems:
        raise UnusableError([*run.problems, *run.away])
    if run.away:
        raise SourceError(format_problems(run.away))
    return Fetched(run.done)


def landed_from(sources: Sources, folder: Path) -> dict[str, TableSource]:
    """Where landing finds every table that sources.yml names: what is fetched, in its copy."""
    tables = dict(sources.tables)
    for table in sources.remote:
        tables[table] = replace(tables.get(table, TableSource(table)), files=str(folder / table))
    return tables


def _remove_others(folder: Path, sources: Sources, progress: Progress) -> None:
    """Copies of tables that are no longer fetched: nobody reads them, and customers are in them."""
    for copy in copied.copies(folder):
        if copy.table not in sources.remote:
            copy.remove()
            progress(f"{copy.table}: the copy of what was fetched is removed; sources.yml names it no more")
    if not sources.remote and folder.is_dir():
        shutil.rmtree(folder)


class _Run:
    """One call of fetch."""

    def __init__(
        self,
        sources: Sources,
        folder: Path,
        environment: Mapping[str, str],
        progress: Progress,
        now: datetime,
        register: Register | None,
    ) -> None:
        self._sources, self._folder, self._environment = sources, folder, environment
        self._progress, self._now, self._register = progress, now, register
        self.done: dict[str, FetchedTable] = {}
        self.problems: list[Problem] = []
        self.away: list[Problem] = []

    def table(self, remote: RemoteSource, work: Callable[[Copy], FetchedTable]) -> bool:
        """Does the work on one table's copy; False when it failed, which is noted."""
        with self._noting(remote.table):
            copy = Copy(self._folder / remote.table)
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._folder.chmod(0o700)
            copy.begin()
            self.done[remote.table] = work(copy)
            return True
        return False

    @contextmanager
    def _noting(self, table: str, tables: Sequence[str] = ()) -> Iterator[None]:
        """Notes what a table, or the connection of several, failed with, and goes on."""
        try:
            yield
        except (InputError, SourceError) as error:
            what = str(error) + (f" (for {', '.join(tables)})" if tables else "")
            (self.problems if isinstance(error, InputError) else self.away).append(Problem(table, what))

    def database(self, name: str, tables: Sequence[RemoteSource]) -> None:
        """All tables of one connection, in one transaction as far as it goes."""
        connection = self._sources.connections[name]
        with self._noting("", [remote.table for remote in tables]), session(connection, self._environment) as opened:
            place = where(connection, self._environment)
            for remote in tables:
                if not self.table(remote, lambda copy, remote=remote: self.query(copy, remote, opened, place)):  # type: ignore[misc]
                    opened.again()

    # --- object stores ------------------------------------------------------------------------------------------------

    def objects(self, copy: Copy, remote: RemoteSource) -> FetchedTable:
        """Brings what is new or changed in an object store."""
        connection = self._sources.connections[remote.connection_name] if remote.connection_name else None
        store = Store(remote.uri, connection, self._environment)
        asked = _digest("objects", remote.uri, remote.connection_name)
        known = dict(copy.note.objects) if copy.note.asked == asked else {}
        there = store.objects()
        fetched = 0
        # A store that fails half-way has not been in vain: what came is noted.
        try:
            for name, stored in there.items():
                if known.get(name) != stored.stamp or not (copy.folder / name).is_file():
                    known.pop(name, None)
                    store.copy(stored, copy.folder / name)
                    known[name] = stored.stamp
                    fetched += 1
        except BaseException:
            copy.commit(Note(asked=asked, origin=remote.uri, objects=known))
            raise
        vanished = len(known.keys() - there.keys())
        note = Note(asked=asked, origin=remote.uri, objects={name: stored.stamp for name, stored in there.items()})
        if note != copy.note:
            copy.commit(note)
        if fetched or vanished:
            self._progress(
                f"{remote.table}: {fetched:,} of {len(there):,} object(s) fetched from {remote.uri}"
                + (f", {vanished:,} removed that are gone there" if vanished else "")
            )
        else:
            self._progress(f"{remote.table}: nothing new in {remote.uri}")
        return FetchedTable("appended" if fetched or vanished else "unchanged", files=fetched, vanished=vanished)

    # --- databases ----------------------------------------------------------------------------------------------------

    def query(self, copy: Copy, remote: RemoteSource, opened: Session, place: str) -> FetchedTable:
        """Brings what is new of a query's result."""
        query = remote.query.strip().rstrip(";")
        columns = opened.columns(query)
        marking = _marking(remote, columns)
        connection = self._sources.connections[remote.connection_name]
        asked = _digest("query", query, remote.incremental_by, connection.name, connection.kind, connection.uri)
        form = tuple((column.name, str(column.target)) for column in columns)
        former = copy.note if (copy.note.asked, copy.note.columns) == (asked, form) else Note(number=copy.note.number)
        newer_than = None
        if marking is not None and former.newest is not None and all(part.is_file() for part in copy.parts):
            newer_than = (marking, _mark(former.newest, marking))
        answer = temp_path(copy.part(former.number + 1))
        try:
            with opened.batches(query, columns, newer_than) as batches:
                rows, newest = _write(batches, columns, marking, answer)
            with copy.engine() as con:
                customer = self._customer(con, remote, columns, answer)
                kept_out = self._keep_out(con, customer, answer)
                rows -= kept_out
                note = replace(former, asked=asked, origin=place, columns=form, customer=customer)
                if newer_than is None:
                    done, note = _replaced(con, copy, note, answer, rows)
                else:
                    key = _key(remote.table, self._source(remote.table), columns)
                    done, note = _appended(con, copy, note, answer, newer_than, key)
            if newest is not None:
                note = replace(note, newest=_text(_capped(newest, self._now)))
            if note != copy.note:
                copy.commit(note)
        finally:
            answer.unlink(missing_ok=True)
        if done.how == "unchanged":
            self._progress(f"{remote.table}: nothing new in {place}")
        else:
            self._progress(
                f"{remote.table}: {done.rows:,} {'new ' if done.how == 'appended' else ''}row(s) from {place}"
            )
        return replace(done, kept_out=kept_out)

    def _source(self, table: str) -> TableSource:
        return self._sources.tables.get(table, TableSource(table))

    def _customer(
        self, con: duckdb.DuckDBPyConnection, remote: RemoteSource, columns: Sequence[Column], answer: Path
    ) -> str:
        """SQL for the customer_id of a row; empty where it has none, which landing will say."""
        spec = self._source(remote.table).columns.get("customer_id", ColumnSource())
        column = _named(_column_of("customer_id", spec), columns)
        expression = f"({spec.expression})" if spec.expression else quoted(column.name) if column is not None else ""
        try:
            return copied.customer_sql(con, expression, [answer]) if expression else ""
        except duckdb.Error:
            # Of a column that is not there, say.
            return ""

    def _keep_out(self, con: duckdb.DuckDBPyConnection, customer: str, answer: Path) -> int:
        """Takes the rows of forgotten customers out of a file; returns how many there were."""
        if self._register is None or not self._register.entries or not customer:
            return 0
        forgotten = [
            customer_id
            for (customer_id,) in con.execute(
                f"select id from (select distinct {customer} as id from {scan([answer])}) "
                f"where id is not null and {self._register.digest_sql('id')} = any(?)",
                [list(self._register.entries)],
            ).fetchall()
        ]
        if not forgotten:
            return 0
        con.execute("create or replace temp table forgotten as select unnest(?::varchar[]) as id", [forgotten])
        theirs = f"{customer} in (from forgotten)"
        count = copied.count_rows(con, f"{scan([answer])} where {theirs}")
        without = temp_path(answer)
        write_parquet(con, f"select * from {scan([answer])} where {customer} is null or not {theirs}", without)
        without.replace(answer)
        return count


def _digest(*parts: str) -> str:
    return hashlib.blake2b(json_text(parts).encode(), digest_size=16).hexdigest()


def _named(name: str, columns: Sequence[Column]) -> Column | None:
    """A column of a result by its name, in any case, as landing looks for it."""
    return next((column for column in columns if column.name.strip().lower() == name.strip().lower()), None)


def _column_of(name: str, spec: ColumnSource) -> str:
    """The column of a result that a column of the contract is; empty where it is made of something else."""
    return "" if spec.expression or spec.constant is not None else spec.column or name


def _marking(remote: RemoteSource, columns: Sequence[Column]) -> Column | None:
    """The column by which what is new is told.

    Raises:
        InputError: there is no such column, or it cannot tell; or two columns have one name.
    """
    names = [column.name.lower() for column in columns]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"the query has two columns called {twice}; give one of them another name (as ...)")
    if not remote.incremental_by:
        return None
    if remote.table in _ALWAYS_WHOLE:
        raise InputError(
            f"{remote.table} are fetched whole: a row that was deleted or ended is not seen by what is new; leave incremental_by out"
        )
    column = _named(remote.incremental_by, columns)
    if column is None:
        raise InputError(
            f"incremental_by names {remote.incremental_by}, which the query does not have; it has "
            + ", ".join(existing.name for existing in columns[:30])
        )
    if not can_tell_what_is_new(column):
        raise InputError(
            f"incremental_by: column {column.name} is of type {column.origin or column.target}; what is new is told by a number, a date "
            "or a timestamp that grows"
        )
    return column


def _key(table: str, source: TableSource, columns: Sequence[Column]) -> tuple[str, ...]:
    """The columns of a result that are the contract's key; none where one of them is made of something else."""
    names = []
    for name in TABLES[table].key:
        column = _named(_column_of(name, source.columns.get(name, ColumnSource())), columns)
        if column is None:
            return ()
        names.append(column.name)
    return tuple(names)


def _write(
    batches: Iterator[pa.RecordBatch], columns: Sequence[Column], marking: Column | None, target: Path
) -> tuple[int, Mark | None]:
    """Writes a stream as Parquet; returns how many rows there were and the greatest value of a column.

    Raises:
        InputError: the column has no value in some row.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    schema = pa.schema([pa.field(column.name, column.target) for column in columns])
    rows, newest = 0, None
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        for batch in batches:
            rows += batch.num_rows
            writer.write_batch(batch)
            if marking is None or not batch.num_rows:
                continue
            values = batch.column(marking.name)
            if values.null_count:
                raise InputError(
                    f"column {marking.name} has no value in {values.null_count:,} row(s) or more: it cannot tell what is new; let the query "
                    "leave those rows out, or fetch all each time (without incremental_by)"
                )
            if pa.types.is_timestamp(values.type) and values.type.unit == "ns":
                values = pc.floor_temporal(values, unit="microsecond").cast(
                    pa.timestamp("us", values.type.tz), safe=False
                )
            greatest = pc.max(values).as_py()
            newest = greatest if newest is None else max(newest, greatest)
    return rows, newest


def _capped(newest: Mark, now: datetime) -> Mark:
    """A value that lies ahead tells nothing of what is still to come: from now on is asked for again."""
    if isinstance(newest, datetime):
        return min(newest, now.astimezone(UTC) if newest.tzinfo else now.astimezone(UTC).replace(tzinfo=None))
    return min(newest, now.astimezone(UTC).date()) if isinstance(newest, date) else newest


def _text(mark: Mark) -> str:
    return mark.isoformat() if isinstance(mark, date) else repr(mark) if isinstance(mark, float) else str(mark)


def _mark(text: str, column: Column) -> Mark:
    """A noted value as one of the column's type."""
    import pyarrow as pa

    kind = column.target
    if pa.types.is_timestamp(kind):
        return datetime.fromisoformat(text)
    if pa.types.is_date(kind):
        return date.fromisoformat(text)
    if pa.types.is_decimal(kind):
        return Decimal(text)
    return float(text) if pa.types.is_floating(kind) else int(text)


def _replaced(
    con: duckdb.DuckDBPyConnection, copy: Copy, note: Note, answer: Path, rows: int
) -> tuple[FetchedTable, Note]:
    """The whole result in place of the former, unless it is equal, in whatever order it came."""
    if (
        note.parts
        and all(part.is_file() for part in copy.parts)
        and _content(con, copy.parts) == _content(con, [answer])
    ):
        return FetchedTable("unchanged", 0), note
    part = copy.part(note.number + 1)
    commit_file(answer, part)
    return FetchedTable("whole", rows), replace(note, parts=(part.name,), number=note.number + 1)


def _content(con: duckdb.DuckDBPyConnection, parts: Sequence[Path]) -> tuple[object, ...]:
    # Computed of both sides now and never kept: the hash is one of this version of DuckDB.
    return con.execute(
        f"select count(*), sum(hash(fetched)::hugeint), bit_xor(hash(fetched)) from {scan(parts)} as fetched"
    ).fetchall()[0]


def _appended(
    con: duckdb.DuckDBPyConnection,
    copy: Copy,
    note: Note,
    answer: Path,
    newer_than: tuple[Column, Mark],
    key: tuple[str, ...],
) -> tuple[FetchedTable, Note]:
    """The rows that are not known yet as another file; files with a former form of one of them are written again without it."""
    name, number = quoted(newer_than[0].name), note.number + 1
    con.execute("create or replace temp table bound as select ? as mark", [newer_than[1]])
    known = f"{scan(copy.parts)} where {name} >= (select mark from bound)"
    con.execute(f"set variable newest = (select max({name}) from {known})")
    beyond = f"({name} > getvariable('newest') or getvariable('newest') is null)"
    novel = copy.part(number)
    temporary = temp_path(copy.folder / "novel.parquet")
    # Most are newer than all that are known; only the others need to be looked for.
    write_parquet(
        con,
        f"select * from {scan([answer])} where {beyond} union all "
        f"(select * from {scan([answer])} where not {beyond} except all select * from {known})",
        temporary,
    )
    rows = copied.count_rows(con, scan([temporary]))
    if not rows:
        temporary.unlink()
        return FetchedTable("unchanged", 0), note
    parts = []
    for part in copy.parts:
        same = " and ".join(f"former.{quoted(column)} is not distinct from novel.{quoted(column)}" for column in key)
        superseded = f"exists (from {scan([temporary])} as novel where {same})"
        if key and copied.count_rows(con, f"{scan([part])} as former where {superseded}"):
            number += 1
            rewritten = copy.part(number)
            write_parquet(con, f"select * from {scan([part])} as former where not {superseded}", temp_path(rewritten))
            commit_file(temp_path(rewritten), rewritten)
            parts.append(rewritten.name)
        else:
            parts.append(part.name)
    commit_file(temporary, novel)
    return FetchedTable("appended", rows), replace(note, parts=(*parts, novel.name), number=number)
