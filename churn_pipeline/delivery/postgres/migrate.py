"""Brings schema ``churn`` to the version of this code and to the targets it declares, and lets the dashboards' role read it."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from churn_pipeline.core.errors import PostgresError
from churn_pipeline.delivery.postgres.connection import LOCK_KEY, READER, SCHEMA, open_connection, said_plainly
from churn_pipeline.delivery.postgres.schema import add_target_columns, differences, show_new_columns

if TYPE_CHECKING:
    import psycopg
    from alembic.config import Config

MIGRATIONS = Path(__file__).with_name("migrations")
VERSION_TABLE = "schema_version"


@dataclass(frozen=True)
class Migrated:
    """What a migration came to.

    Attributes:
        before: the revision that was found; None in an empty database.
        revision: the revision now.
        added: columns of targets that were added, as table.column.
        notices: what an administrator has to do, in whole sentences; empty when nothing.
    """

    before: str | None
    revision: str
    added: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()


def migrate(url: str) -> Migrated:
    """Applies the revisions that are missing, then adds what targets have beyond them, in one transaction.

    Whoever comes second waits for the first and finds all done.

    Args:
        url: a postgresql:// URL.

    Raises:
        PostgresError: PostgreSQL refuses, its schema was made by a newer version of this project, or a column is missing or has another
            type than the one that is declared. Nothing is changed then.
    """
    import sqlalchemy
    from alembic import command
    from alembic.script import ScriptDirectory
    from alembic.util.exc import CommandError
    from sqlalchemy.pool import NullPool

    config = configuration()
    head = ScriptDirectory.from_config(config).get_current_head()
    # The connection is made here and not by SQLAlchemy, so that every URL that libpq takes works and none is in an error of its own.
    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://", creator=lambda: open_connection(url), poolclass=NullPool, hide_parameters=True
    )
    with said_plainly(url):
        try:
            with engine.begin() as connection:
                raw: Any = connection.connection.dbapi_connection
                raw.execute("select pg_advisory_xact_lock(%s)", [LOCK_KEY])
                before = current_revision(raw)
                # CREATE SCHEMA IF NOT EXISTS asks for the right to create even where there is nothing to create.
                if raw.execute("select to_regnamespace(%s)", [SCHEMA]).fetchone() == (None,):
                    raw.execute(f"create schema {SCHEMA}")
                if before != head:
                    config.attributes["connection"] = connection
                    command.upgrade(config, "head")
                added = add_target_columns(raw)
                different = differences(raw)
                if prevents := [str(difference) for difference in different if difference.prevents_copying]:
                    raise PostgresError("; ".join(prevents))
                show_new_columns(raw)
                notices = [f"{difference}." for difference in different] + _let_readers_in(raw)
                revision = current_revision(raw)
        except CommandError as error:
            raise PostgresError(
                f"schema {SCHEMA} in PostgreSQL cannot be migrated ({error}); was it made by a newer version of this project?"
            ) from None
        except sqlalchemy.exc.DBAPIError as error:
            # said_plainly knows psycopg's errors; SQLAlchemy wraps them with the whole statement.
            raise error.orig or error from None
    if revision is None:
        raise PostgresError(f"schema {SCHEMA} has no revision after its migration")
    return Migrated(before, revision, tuple(added), tuple(notices))


def configuration() -> Config:
    """Alembic's configuration, made here: nothing is read from the working directory."""
    from alembic.config import Config

    config = Config(stdout=io.StringIO())
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    # A name that Python can import, so that mypy looks at revisions too.
    config.set_main_option("file_template", "v%%(rev)s_%%(slug)s")
    return config


def current_revision(con: psycopg.Connection[Any]) -> str | None:
    """The schema's revision; None where there is no schema yet."""
    if con.execute("select to_regclass(%s)", [f"{SCHEMA}.{VERSION_TABLE}"]).fetchone() == (None,):
        return None
    row = con.execute(f"select version_num from {SCHEMA}.{VERSION_TABLE}").fetchone()
    return str(row[0]) if row else None


def _let_readers_in(con: psycopg.Connection[Any]) -> list[str]:
    """Creates the role where it is missing and may be created, and grants what it has not got.

    Looked at before every publication and not in a revision: an administrator may create the role later, and it belongs to the whole
    server, so that a restored database can lack it.
    """
    exists, may_create = con.execute(
        """
        select exists (select from pg_roles where rolname = %s),
               (select rolsuper or rolcreaterole from pg_roles where rolname = current_user)
        """,
        [READER],
    ).fetchone() or (False, False)
    if not exists and not may_create:
        (user,) = con.execute("select current_user").fetchone() or ("?",)
        return [
            f"There is no role {READER}, and {user} may not create one: nobody but {user} can read schema {SCHEMA}. As an administrator: "
            f"CREATE ROLE {READER} NOLOGIN; the next publication does the rest."
        ]
    if not exists:
        # Roles belong to the server: another database may be making the same one now.
        con.execute(
            f"do $$ begin create role {READER} nologin; exception when duplicate_object or unique_violation then null; end $$"
        )
    (lacking,) = con.execute(
        """
        select not has_schema_privilege(%(role)s, %(schema)s, 'usage')
            or exists (
                select from pg_class
                where relnamespace = to_regnamespace(%(schema)s) and relkind in ('r', 'v', 'p', 'm')
                    and not has_table_privilege(%(role)s, oid, 'select')
            )
        """,
        {"role": READER, "schema": SCHEMA},
    ).fetchone() or (True,)
    if lacking:
        con.execute(f"grant usage on schema {SCHEMA} to {READER}")
        con.execute(f"grant select on all tables in schema {SCHEMA} to {READER}")
        con.execute(f"alter default privileges in schema {SCHEMA} grant select on tables to {READER}")
    return []
