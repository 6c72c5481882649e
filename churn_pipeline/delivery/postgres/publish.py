"""One publication: what is published in the home, into schema ``churn``, in one transaction.

It reads HOME/data/published and not the warehouse, so that it can be repeated by hand at any time, beside a run or without one.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from churn_pipeline.core.calendar import WEEK
from churn_pipeline.core.errors import InputError
from churn_pipeline.core.json_text import json_text
from churn_pipeline.core.operator import user
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.sql import literal, quoted
from churn_pipeline.core.targets import TARGETS
from churn_pipeline.core.warehouse import limit
from churn_pipeline.delivery.postgres.connection import SCHEMA, connect, where
from churn_pipeline.delivery.postgres.migrate import migrate
from churn_pipeline.delivery.postgres.rights import take_lock
from churn_pipeline.delivery.postgres.schema import declared
from churn_pipeline.delivery.postgres.tables import PREDICTIONS, TABLES, Columns, Table, columns_of

if TYPE_CHECKING:
    import duckdb
    import psycopg

# Rows held in memory at a time; 5,000 predictions with their reasons are about 20 MB.
_BATCH = 5_000
# What takes the place of NUL, the one character that PostgreSQL's text cannot hold.
_INSTEAD_OF_NUL = "\ufffd"
_NOT_IN_JSONB = ("\\u0000", "NaN", "Infinity")


@dataclass(frozen=True)
class Publication:
    """What a publication did.

    Attributes:
        server: host, port and database.
        revision: of the schema.
        rows: rows of predictions written, by Monday.
        caught_up: Mondays among them that PostgreSQL had missed, and nobody asked for.
        unknown: Mondays that PostgreSQL has and this home has not; they were left alone.
        weeks: Mondays in PostgreSQL now.
        other_rows: rows written to the other tables.
        notices: what a person should know or do, in whole sentences.
    """

    server: str
    revision: str
    rows: dict[date, int]
    caught_up: tuple[date, ...]
    unknown: tuple[date, ...]
    weeks: int
    other_rows: dict[str, int]
    notices: tuple[str, ...]


def publish(
    url: str,
    settings: Settings,
    mondays: Sequence[date] = (),
    *,
    run_id: str | None = None,
    who: str | None = None,
    progress: Callable[[str], None] | None = None,
) -> Publication:
    """Migrates the schema, then replaces Mondays in one transaction.

    Replaced are the Mondays asked for, those that PostgreSQL missed, and the one after each, whose change columns were refreshed with
    it. The small tables are replaced whole, monitoring's by the Mondays that differ.

    Args:
        url: a postgresql:// URL.
        settings: the home whose published databases are read.
        mondays: Mondays that are replaced whatever PostgreSQL says it has.
        run_id: the Dagster run that publishes; None by hand.
        who: on whose behalf; the user of the operating system unless given.
        progress: called with a sentence as it goes on.

    Raises:
        InputError: nothing is published, or not one of the Mondays asked for.
        PostgresError: PostgreSQL cannot be reached or refuses. It then holds what it held before.
    """
    if not settings.published_database.is_file():
        raise InputError(f"{settings.published_database} does not exist: nothing was published in this home yet")
    say = progress or (lambda _: None)
    migrated = migrate(url, say)
    if migrated.before != migrated.revision:
        say(f"schema {SCHEMA}: revision {migrated.revision} (was {migrated.before or 'absent'})")
    if migrated.added:
        say(f"schema {SCHEMA}: added {', '.join(migrated.added)}")
    with connect(url) as con:
        # Before the files are opened: whoever publishes last must have read last.
        take_lock(con, url, say)
        with _published(settings) as (reader, tables):
            # A new revision may have new columns, which only a new copy fills: it makes every digest another one.
            work = _Work(con, reader, migrated.revision)
            published = work.published(_PREDICTIONS)
            if missing := [str(day) for day in mondays if day not in published]:
                raise InputError(f"not published in this home: {', '.join(missing)}; 'churn run' makes them")
            copied = work.held(_PREDICTIONS)
            stale = {day for day, version in published.items() if copied.get(day) != version}
            touched = {*stale, *mondays}
            touched |= {day + WEEK for day in touched} & published.keys()
            rows: dict[date, int] = {}
            other_rows: dict[str, int] = {}
            for table in tables:
                if table.day is None:
                    other_rows[table.name] = work.replace_whole(table)
                elif table is _PREDICTIONS:
                    for day in sorted(touched):
                        rows[day] = work.replace(table, day, published[day])
                        say(f"{day}: {rows[day]:,} customers")
                else:
                    other_rows[table.name] = work.replace_what_differs(table, published.keys())
            causes = {
                day: "asked for" if day in mondays else "caught up" if day in stale else "week after"
                for day in sorted(touched)
            }
            _note(con, causes, run_id, who or user())
            unknown_tiers = _unknown_tiers(con, causes)
            kept = work.held(_PREDICTIONS)
    return Publication(
        server=where(url),
        revision=migrated.revision,
        rows=rows,
        caught_up=tuple(day for day, cause in causes.items() if cause == "caught up"),
        unknown=tuple(sorted(kept.keys() - published.keys())),
        weeks=len(kept),
        other_rows=other_rows,
        notices=(*migrated.notices, *work.notices(), *unknown_tiers),
    )


_PREDICTIONS = next(table for table in TABLES if table.name == PREDICTIONS)


@contextmanager
def _published(settings: Settings) -> Iterator[tuple[duckdb.DuckDBPyConnection, list[Table]]]:
    """The published databases, attached to one reader, and the tables that they have."""
    import duckdb

    files = {"published": settings.published_database, "monitoring": settings.monitoring_database}
    with duckdb.connect() as reader:
        for name, file in files.items():
            # Monitoring writes its file after the list, and may not have got there yet.
            if file.is_file():
                reader.execute(f"attach {literal(file)} as {name} (read_only)")
        limit(reader, settings)
        # A step that Dagster has spawned looks interactive to DuckDB, which would draw a bar into its log.
        reader.execute("set enable_progress_bar = false")
        present = set(reader.execute("select database_name, table_name from duckdb_tables()").fetchall())
        yield reader, [table for table in TABLES if (table.database, table.name) in present]


class _Work:
    """The transaction of one publication, with what it reads from."""

    def __init__(self, con: psycopg.Connection[Any], reader: duckdb.DuckDBPyConnection, revision: str) -> None:
        from psycopg.types.json import set_json_dumps

        self._con = con
        self._reader = reader
        self._revision = revision
        self._declared = declared(con)
        self._columns: dict[str, Columns] = {}
        self._without_nul = 0
        set_json_dumps(_as_it_is, con)

    def published(self, table: Table) -> dict[date, tuple[int, str]]:
        """Rows and digest of every Monday in the home."""
        contents = self._reader.execute(
            f"select {table.day}, count(*), {table.digest} from {table.source} as source group by 1"
        ).fetchall()
        return {day: (rows, f"{self._revision} {digest}") for day, rows, digest in contents}

    def held(self, table: Table) -> dict[date, tuple[int, str]]:
        """Rows and digest of every Monday in PostgreSQL."""
        contents = self._con.execute(
            f"select day, rows, digest from {SCHEMA}.contents where table_name = %s", [table.name]
        ).fetchall()
        return {day: (rows, digest) for day, rows, digest in contents}

    def replace(self, table: Table, day: date, content: tuple[int, str] | None) -> int:
        """Replaces one Monday; with nothing, where there is no content."""
        from psycopg import sql

        name, column = sql.Identifier(SCHEMA, table.name), sql.Identifier(table.day or "")
        self._con.execute(sql.SQL("delete from {} where {} = %s").format(name, column), [day])
        self._con.execute(f"delete from {SCHEMA}.contents where table_name = %s and day = %s", [table.name, day])
        if content is None:
            return 0
        written = self._copy(table, f"where {table.day} = {literal(day)}")
        self._con.execute(
            f"insert into {SCHEMA}.contents values (%s, %s, %s, %s)", [table.name, day, written, content[1]]
        )
        return written

    def replace_what_differs(self, table: Table, known: Iterable[date]) -> int:
        """Replaces the Mondays that differ; one that this home knows and has nothing for is emptied."""
        published, copied = self.published(table), self.held(table)
        differ = {
            day for day in published.keys() | (copied.keys() & set(known)) if published.get(day) != copied.get(day)
        }
        return sum(self.replace(table, day, published.get(day)) for day in sorted(differ))

    def replace_whole(self, table: Table) -> int:
        """Replaces a small table. Not with TRUNCATE, which readers would wait for and then see as empty."""
        from psycopg import sql

        name = sql.Identifier(SCHEMA, table.name)
        if table.version is None:
            self._con.execute(sql.SQL("delete from {}").format(name))
        else:
            versions = self._reader.execute(f"select distinct {table.version} from {table.source}").fetchall()
            self._con.execute(
                sql.SQL("delete from {} where {} = any(%s)").format(name, sql.Identifier(table.version)),
                [[version for (version,) in versions]],
            )
        return self._copy(table, "")

    def notices(self) -> list[str]:
        """What was not copied as it is."""
        notices = []
        if left_out := sorted(name for columns in self._columns.values() for name in columns.left_out):
            notices.append(f"Schema {SCHEMA} does not know {', '.join(left_out)}: left out.")
        if self._without_nul:
            notices.append(f"{self._without_nul} values held NUL, which PostgreSQL cannot: written as U+FFFD instead.")
        return notices

    def _copy(self, table: Table, condition: str) -> int:
        from psycopg import sql

        if table.name not in self._columns:
            self._columns[table.name] = columns_of(table, self._declared[table.name], self._reader)
        columns = self._columns[table.name].copied
        # DuckDB writes JSON ten times faster than Python does, and doubles in the digits that give them back.
        selected = ", ".join(
            f"case when {quoted(column.name)} is not null then to_json({quoted(column.name)})::varchar end"
            if column.kind == "jsonb"
            else quoted(column.name)
            for column in columns
        )
        # Ordered, so that the same content lies on disk in the same order, and a Monday's customers side by side.
        result = self._reader.execute(f"select {selected} from {table.source} {condition} order by all")
        changes = [self._json if column.kind == "jsonb" else self._clean for column in columns]
        copied = 0
        statement = sql.SQL("copy {} ({}) from stdin (format binary)").format(
            sql.Identifier(SCHEMA, table.name), sql.SQL(", ").join(sql.Identifier(column.name) for column in columns)
        )
        with self._con.cursor() as cursor, cursor.copy(statement) as copy:
            copy.set_types([column.kind for column in columns])
            while rows := result.fetchmany(_BATCH):
                for row in rows:
                    copy.write_row([change(value) for change, value in zip(changes, row, strict=True)])
                copied += len(rows)
        return copied

    def _clean(self, value: Any) -> Any:
        """The value with NUL replaced, and counted."""
        if type(value) is str and "\0" in value:
            self._without_nul += 1
            return value.replace("\0", _INSTEAD_OF_NUL)
        return [self._clean(item) for item in value] if type(value) is list else value

    def _json(self, text: str | None) -> str | None:
        """JSON as jsonb takes it. It comes as text; only what PostgreSQL would refuse is read and written anew."""
        if text is None or not any(word in text for word in _NOT_IN_JSONB):
            return text
        return json_text(self._storable(json.loads(text)), ascii_only=False)

    def _storable(self, value: Any) -> Any:
        match value:
            case list():
                return [self._storable(item) for item in value]
            case dict():
                return {self._clean(name): self._storable(item) for name, item in value.items()}
            case _:
                return self._clean(value)


def _as_it_is(json_text: str) -> str:
    # A function of the module: psycopg keeps what it was given for as long as the process lives.
    return json_text


def _note(con: psycopg.Connection[Any], causes: dict[date, str], run_id: str | None, who: str) -> None:
    """Appends to the audit what the transaction has written, as PostgreSQL now has it."""
    from psycopg import sql

    publication = uuid.uuid4()
    models = (column for target in TARGETS.values() for column in (target.version_column, target.kind_column))
    noted = ["run_id", "scoring_mode", "policy_version", *models]
    statement = sql.SQL(
        """
        insert into {audit} (publication, who, published_by_run, snapshot_date, cause, rows, {columns})
        select %s, %s, %s, %s, %s, count(*), {values}
        from {predictions} where snapshot_date = %s
        """
    ).format(
        audit=sql.Identifier(SCHEMA, "publications"),
        predictions=sql.Identifier(SCHEMA, PREDICTIONS),
        columns=sql.SQL(", ").join(map(sql.Identifier, noted)),
        values=sql.SQL(", ").join(
            sql.SQL("string_agg(distinct {}, ', ')").format(sql.Identifier(name)) for name in noted
        ),
    )
    for day, cause in causes.items():
        con.execute(statement, [publication, who, run_id, day, cause, day])


def _unknown_tiers(con: psycopg.Connection[Any], mondays: Iterable[date]) -> list[str]:
    """Says which tiers of these Mondays ``churn.risk_tiers`` does not know: views that ask whether a tier is urgent pass over them."""
    rows = con.execute(
        f"""
        select p.risk_tier, p.policy_version, count(*)
        from {SCHEMA}.predictions as p
        left join {SCHEMA}.risk_tiers as tier using (policy_version, risk_tier)
        where p.snapshot_date = any(%s) and p.risk_tier is not null and tier.risk_tier is null
        group by p.risk_tier, p.policy_version
        order by p.risk_tier, p.policy_version
        """,
        [list(mondays)],
    ).fetchall()
    return [
        f"{SCHEMA}.risk_tiers has no tier {tier} of policy {policy}: its {customers:,} rows are not in {SCHEMA}.at_risk."
        for tier, policy, customers in rows
    ]
