"""The one way to the warehouse.

DuckDB lets one process write or many read. Nobody outside should hold the warehouse, dashboards read published copies; when a
tool does all the same, a run waits for a bounded time and then names the process.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from churn_pipeline.core.errors import LockedError
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.sql import literal

_POLL_SECONDS = 0.2


@contextmanager
def connect(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """Opens the warehouse to read and write, and closes it for certain.

    Within one process any number of connections share the file, dbt's among them.

    Raises:
        LockedError: another process held the file for longer than ``lock_wait_seconds``.
    """
    settings.warehouse.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + settings.lock_wait_seconds
    while True:
        try:
            # Without a config: DuckDB refuses a second connection of the same process whose config differs, and dbt has its own.
            con = duckdb.connect(str(settings.warehouse))
            break
        except duckdb.IOException as error:
            if "lock" not in str(error).lower():
                raise
            if time.monotonic() >= deadline:
                raise LockedError(
                    f"{settings.warehouse} is held by another process for over {settings.lock_wait_seconds:.0f} s; close "
                    f"it there (dashboards read {settings.published_database} instead). DuckDB says: {error}"
                ) from error
            time.sleep(_POLL_SECONDS)
    try:
        limit(con, settings)
        yield con
    finally:
        con.close()


def limit(con: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Keeps a connection within what the settings give DuckDB. The profile of dbt says the same by :func:`limits_of_dbt`."""
    con.execute(f"set threads = {settings.threads}")
    con.execute(f"set memory_limit = {literal(settings.memory_limit)}")
    # Row order costs memory and means nothing in a table; whatever needs an order asks for it.
    con.execute("set preserve_insertion_order = false")


def limits_of_dbt(settings: Settings) -> dict[str, str]:
    """What dbt's profile reads of :func:`limit`, as environment variables."""
    return {"CHURN_THREADS": str(settings.threads), "CHURN_MEMORY_LIMIT": settings.memory_limit}


@contextmanager
def transaction(con: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """All or nothing: what is written inside is committed at its end, and undone when anything inside fails.

    Use inside another one is refused: DuckDB has no nested transactions, and an inner part that only seemed to be one would
    promise what it does not keep. The refusal undoes the outer transaction too.

    Args:
        con: a connection outside of a transaction; it is outside of one again afterwards, and usable.

    Raises:
        duckdb.TransactionException: the connection was in a transaction already, an error inside was swallowed, or another
            connection changed the same rows.
    """
    con.begin()
    try:
        yield
        # A statement that failed has aborted the transaction. When its error was swallowed, the commit would say nothing and
        # write nothing; any other statement says so.
        con.execute("select 1")
    except BaseException:
        con.rollback()
        raise
    # A commit that fails has ended the transaction; there is nothing to roll back.
    con.commit()


def has_table(con: duckdb.DuckDBPyConnection, schema: str, table: str) -> bool:
    """Whether the database in use has a table. A look that creates what it does not find would be a write."""
    rows = con.execute(
        "select 1 from duckdb_tables() where database_name = current_database() and schema_name = ? and table_name = ?",
        [schema, table],
    ).fetchall()
    return bool(rows)
