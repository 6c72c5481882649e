"""Taking customers out of databases, so that their bytes are gone too and not only their rows.

A deleted row stays readable in a free block of a DuckDB file until something else is written there. So the file is written anew
without the rows, beside the old one, and takes its place in one step: killed before, the old one is whole; readers who have it
open keep it until they open it again. SQLite does the same by itself (VACUUM), which Dagster and MLflow need not know of.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import duckdb

from churn_pipeline.contract.statements import VALUE_CHARACTERS
from churn_pipeline.core.atomic import commit_file, temp_path
from churn_pipeline.core.errors import ChurnError, LockedError
from churn_pipeline.core.sql import literal, quoted
from churn_pipeline.privacy.files import holds
from churn_pipeline.privacy.matching import Traces

# Columns of tables without a customer_id that hold sentences, which may name a customer: an error, a check's finding, a person's reason.
_PROSE = ("reason", "detail", "reasons", "drift_reasons", "sentence")
# Failing rows that dbt's tests kept; the schema holds nothing else, and the tests of a key keep it under a name of their own.
_SAMPLES = "failures"
OLD = "before_erasure"
_SQLITE_WAIT_SECONDS = 30

type Catalogs = Callable[[duckdb.DuckDBPyConnection, str], None]


@contextmanager
def reading(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Opens a DuckDB file read-only.

    Raises:
        LockedError: another process is writing to it.
    """
    try:
        con = duckdb.connect(str(path), read_only=True)
    except duckdb.IOException as error:
        if "lock" not in str(error).lower():
            raise
        raise LockedError(
            f"{path} is being written to; try again when the run is done. DuckDB says: {error}"
        ) from error
    with closing(con):
        yield con


def names(path: Path, customer_ids: Iterable[str]) -> tuple[set[str], set[str]]:
    """Company names in a DuckDB file: those of the customers, and everybody else's."""
    ids = list(customer_ids)
    own: set[str] = set()
    others: set[str] = set()
    with reading(path) as con:
        tables = con.execute(
            "select a.table_schema, a.table_name from information_schema.columns a join information_schema.columns b "
            "using (table_catalog, table_schema, table_name) "
            "where a.column_name = 'customer_id' and b.column_name = 'company_name' order by 1, 2"
        ).fetchall()
        for schema, table in tables:
            rows = con.execute(
                f"select distinct company_name, list_contains(?::varchar[], customer_id) from {quoted(schema)}.{quoted(table)} "
                "where company_name is not null",
                [ids],
            ).fetchall()
            own |= {name for name, theirs in rows if theirs}
            others |= {name for name, theirs in rows if not theirs}
    return own, others


def customers(path: Path) -> Iterator[tuple[str, str]]:
    """Every table of a DuckDB file with a customer_id, as schema and quoted name."""
    with reading(path) as con:
        for schema, table, columns in _tables(con):
            if "customer_id" in columns:
                yield schema, f"{quoted(schema)}.{quoted(table)}"


def look(path: Path, traces: Traces) -> dict[str, int]:
    """Rows of the customers in a DuckDB file, and sentences that name them, by table."""
    counts = {}
    with reading(path) as con:
        _set_ids(con, traces)
        for schema, table, columns in _tables(con):
            relation = f"{quoted(schema)}.{quoted(table)}"
            if (condition := _theirs(schema, table, columns)) is not None:
                count = con.execute(f"select count(*) from {relation} where {condition}").fetchall()[0][0]
            else:
                count = len(_sentences(con, relation, columns, traces))
            if count:
                counts[f"{schema}.{table}"] = int(count)
    return counts


def rewrite(path: Path, traces: Traces, finish: Catalogs | None = None) -> dict[str, int]:
    """Writes a DuckDB file anew without the customers and puts it in the place of the old one.

    Args:
        path: the file; nobody else writes to it.
        traces: who is taken out.
        finish: called with the connection and the name of the old catalog before the new file is closed; the new one is in use.

    Returns:
        Rows taken out, and sentences changed, by table.

    Raises:
        ChurnError: the disk has no room for a second copy, or the copy is not what it has to be; the old file is as it was.
    """
    size = path.stat().st_size
    free = shutil.disk_usage(path.parent).free
    if free < size:
        raise ChurnError(
            f"{path} is written anew to take customers out, which needs {size / 2**20:,.0f} MB; {free / 2**20:,.0f} MB are free"
        )
    # What a killed writer left in the log beside the file would be applied to the new one. Without a log the file is only read, so that whoever
    # reads what is published, as `churn serve` does for weeks, keeps nobody from being forgotten.
    if path.with_name(f"{path.name}.wal").exists():
        with closing(duckdb.connect(str(path))) as con:
            con.execute("checkpoint")
    temporary = temp_path(path)
    temporary.unlink(missing_ok=True)
    spill = temporary.with_name(f"{temporary.name}.d")
    new = path.stem
    try:
        with closing(duckdb.connect()) as con:
            con.execute(f"set temp_directory = {literal(str(spill))}")
            con.execute(f"attach {literal(str(path))} as {OLD} (read_only)")
            # A published database stays readable to the versions of DuckDB that could read it.
            version = _one_text(
                con, f"select tags['storage_version'] from duckdb_databases() where database_name = {literal(OLD)}"
            )
            con.execute(
                f"attach {literal(str(temporary))} as {quoted(new)} (storage_version {literal(version.rstrip('+'))})"
            )
            con.execute(f"copy from database {OLD} to {quoted(new)} (schema)")
            taken = _copy(con, quoted(new), traces)
            con.execute(f"use {quoted(new)}")
            if finish is not None:
                finish(con, OLD)
            con.execute(f"checkpoint {quoted(new)}")
            con.execute("use memory")
            con.execute(f"detach {quoted(new)}")
        commit_file(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
        temporary.with_name(temporary.name + ".wal").unlink(missing_ok=True)
        shutil.rmtree(spill, ignore_errors=True)
    return taken


def _copy(con: duckdb.DuckDBPyConnection, new: str, traces: Traces) -> dict[str, int]:
    _set_ids(con, traces)
    taken = {}
    for schema, table, columns in _tables(con, OLD):
        name = f"{quoted(schema)}.{quoted(table)}"
        old, fresh = f"{OLD}.{name}", f"{new}.{name}"
        condition = _theirs(schema, table, columns)
        sentences = {} if condition else _sentences(con, old, columns, traces)
        if condition is not None:
            con.execute(f"insert into {fresh} select * from {old} where ({condition}) is not true")
            count = _one(con, f"select count(*) from {old} where {condition}")
            expected = _one(con, f"select count(*) from {old}") - count
        else:
            con.execute(f"insert into {fresh} select * from {old}" + (" where not rowid = any(?)" if sentences else ""),
                        [list(sentences)] if sentences else None)  # fmt: skip
            for row in sentences.values():
                con.execute(f"insert into {fresh} values ({', '.join('?' * len(row))})", row)
            count = len(sentences)
            expected = _one(con, f"select count(*) from {old}")
        there = _one(con, f"select count(*) from {fresh}")
        if there != expected:
            raise ChurnError(f"{schema}.{table}: {there:,} rows were copied and not {expected:,}; nothing was replaced")
        if count:
            taken[f"{schema}.{table}"] = count
    return taken


def _tables(con: duckdb.DuckDBPyConnection, catalog: str | None = None) -> list[tuple[str, str, dict[str, str]]]:
    """Schema, name and columns with their types of every table, not of views."""
    rows = con.execute(
        "select schema_name, table_name, list(column_name order by column_index), list(data_type order by column_index) "
        "from duckdb_columns() join duckdb_tables() using (database_name, schema_name, table_name) "
        "where database_name = coalesce(?, current_database()) group by all order by 1, 2",
        [catalog],
    ).fetchall()
    return [(schema, table, dict(zip(names, types, strict=True))) for schema, table, names, types in rows]


def _set_ids(con: duckdb.DuckDBPyConnection, traces: Traces) -> None:
    con.execute("set variable erased_ids = ?::varchar[]", [sorted(traces.customer_ids)])


def _theirs(schema: str, table: str, columns: dict[str, str]) -> str | None:
    """SQL that is true for a row of theirs; None for a table whose rows belong to nobody."""
    texts = [quoted(name) for name, sql_type in columns.items() if sql_type == "VARCHAR"]
    ids = "getvariable('erased_ids')"
    if schema == "landing" and table in ("quarantine", "refused_quarantine"):
        # Rows from before the quarantine knew whose they are are told by what they quote.
        shortened = f"list_transform({ids}, lambda one: left(one, {VALUE_CHARACTERS}))"
        keys = [f"coalesce(list_contains({ids}, {name}), false)" for name in texts]
        return " or ".join(
            [
                *keys,
                f"list_contains({shortened}, value)",
                f"len(list_filter({ids}, lambda one: starts_with(row_key, one || '|'))) > 0",
            ]
        )
    if "customer_id" in columns:
        return f"list_contains({ids}, customer_id::varchar)"
    if schema == _SAMPLES and texts:
        return " or ".join(f"coalesce(list_contains({ids}, {name}), false)" for name in texts)
    return None


def _sentences(
    con: duckdb.DuckDBPyConnection, relation: str, columns: dict[str, str], traces: Traces
) -> dict[int, list[Any]]:
    """The rows whose prose names one of them, by rowid, with the mention taken out."""
    prose = [position for position, name in enumerate(columns) if name in _PROSE]
    if not prose:
        return {}
    changed = {}
    for rowid, *row in con.execute(f"select rowid, * from {relation}").fetchall():
        cleaned = list(row)
        for position in prose:
            cleaned[position] = traces.erase_json(row[position])
        if cleaned != row:
            changed[rowid] = cleaned
    return changed


def _one_text(con: duckdb.DuckDBPyConnection, sql: str) -> str:
    return str(con.execute(sql).fetchall()[0][0])


def _one(con: duckdb.DuckDBPyConnection, sql: str) -> int:
    return int(con.execute(sql).fetchall()[0][0])


def sqlite(path: Path, traces: Traces, write: bool) -> int:
    """Values in a SQLite file that name the customers; with ``write`` they are changed and the file is written anew.

    Raises:
        LockedError: another process, such as the Dagster UI, held the file for too long.
    """
    if not traces.telling:
        # A table of failing rows in the metadata of a check; in sentences such an id may be anything.
        traces = Traces(traces.customer_ids, traces.names, in_cells=True)
    # immutable: looking may not leave the two files that SQLite puts beside a database in WAL mode. Where a run that goes on, or was killed,
    # has them there, immutable would pass over what lies in them.
    log = path.with_name(f"{path.name}-wal")
    has_log = log.is_file() and log.stat().st_size > 0
    address = path.as_uri() + ("" if write else "?mode=ro" if has_log else "?mode=ro&immutable=1")
    try:
        with closing(
            sqlite3.connect(address, uri=True, timeout=_SQLITE_WAIT_SECONDS, isolation_level="IMMEDIATE")
        ) as con:
            changes = _changes(con, traces)
            if write and (changes or (traces.telling and holds(path, traces))):
                # A transaction that the first update begins; it is committed at the end, or rolled back.
                with con:
                    for table, column, rowid, value in changes:
                        con.execute(f"update {quoted(table)} set {quoted(column)} = ? where rowid = ?", [value, rowid])
                con.execute("vacuum")
                con.execute("pragma wal_checkpoint(truncate)")
            return len(changes)
    except sqlite3.OperationalError as error:
        if "locked" not in str(error) and "busy" not in str(error):
            raise
        raise LockedError(f"{path} is in use ({error}); close the Dagster UI and run the command again") from error


def _changes(con: sqlite3.Connection, traces: Traces) -> list[tuple[str, str, int, str]]:
    """Table, column, rowid and new value of every text that names one of them."""
    changes = []
    tables = con.execute(
        "select name from sqlite_master where type = 'table' and name not like 'sqlite_%' and sql not like '%without rowid%'"
    ).fetchall()
    terms = sorted({form.decode("utf-8", "replace") for form in traces.bytes_forms})
    for (table,) in tables:
        for _, column, *_ in con.execute(f"pragma table_info({quoted(table)})").fetchall():
            name = quoted(column)
            condition = " or ".join([f"instr({name}, ?) > 0"] * len(terms)) or "false"
            for rowid, value in con.execute(
                f"select rowid, {name} from {quoted(table)} where typeof({name}) = 'text' and ({condition})", terms
            ).fetchall():
                cleaned = traces.erase_json(value)
                if cleaned != value:
                    changes.append((table, column, rowid, cleaned))
    return changes
