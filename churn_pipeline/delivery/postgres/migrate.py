"""Brings schema ``churn`` to the version of this code and to the targets it declares, and lets the dashboards' role read it."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from churn_pipeline.core.errors import PostgresError
from churn_pipeline.delivery.postgres.connection import READER, SCHEMA, open_connection, said_plainly
from churn_pipeline.delivery.postgres.rights import excess_of_rights, require_preparation, take_lock
from churn_pipeline.delivery.postgres.schema import OURS, add_target_columns, differences, show_new_columns

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


def migrate(url: str, waiting: Callable[[str], None] | None = None) -> Migrated:
    """Applies the revisions that are missing, then adds what targets have beyond them, in one transaction.

    Whoever comes second waits for the first and finds all done.

    Args:
        url: a postgresql:// URL.
        waiting: called with a sentence when another publication goes on.

    Raises:
        PostgresError: PostgreSQL refuses, an administrator has not prepared it, its schema was made by a newer version of this project, or a column is missing or has another
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
                require_preparation(raw, url, OURS)
                take_lock(raw, url, waiting)
                before = current_revision(raw)
                if before != head:
                    config.attributes["connection"] = connection
                    command.upgrade(config, "head")
                added = add_target_columns(raw)
                different = differences(raw)
                if prevents := [str(difference) for difference in different if difference.prevents_copying]:
                    raise PostgresError("; ".join(prevents))
                show_new_columns(raw)
                _let_readers_in(raw)
                notices = [f"{difference}." for difference in different] + excess_of_rights(raw)
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


def _let_readers_in(con: psycopg.Connection[Any]) -> None:
    """Lets the dashboards' role read what belongs to the pipeline, where it may not yet.

    Looked at before every publication and not in a revision: a restored database can lack it.
    """
    from psycopg import sql

    unreadable = con.execute(
        """
        select relname::text from pg_class
        where relnamespace = to_regnamespace(%s) and relkind in ('r', 'v', 'p', 'm') and pg_get_userbyid(relowner) = current_user
            and not has_table_privilege(%s, oid, 'select')
        """,
        [SCHEMA, READER],
    ).fetchall()
    for (name,) in unreadable:
        con.execute(sql.SQL("grant select on {} to {}").format(sql.Identifier(SCHEMA, name), sql.Identifier(READER)))
    if unreadable:
        con.execute(f"alter default privileges in schema {SCHEMA} grant select on tables to {READER}")
