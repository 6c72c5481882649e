"""The one way to the warehouse, and the lock that keeps writers of one home apart.

DuckDB lets one process write or many read. Nobody outside should hold the warehouse, dashboards read published copies; when a
tool does all the same, a run waits for a bounded time and then names the process.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from churn_pipeline.core.errors import LockedError
from churn_pipeline.core.json_text import json_text
from churn_pipeline.core.settings import Settings

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
        con.execute(f"set threads = {settings.threads}")
        # Row order costs memory and means nothing in a table; whatever needs an order asks for it.
        con.execute("set preserve_insertion_order = false")
        yield con
    finally:
        con.close()


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


@contextmanager
def home_lock(settings: Settings, purpose: str, waiting: Callable[[str], None] | None = None) -> Iterator[None]:
    """Holds the home's lock: one writer at a time, whoever started it.

    ``flock`` belongs to the open file, so it dies with its process, a kill -9 included; nothing has to be cleaned up.

    Args:
        settings: which home, and how long to wait.
        purpose: what the holder is doing, shown to whoever waits.
        waiting: called once with a sentence when the lock is not free at once.

    Raises:
        LockedError: it was not free within ``lock_wait_seconds``; the message names the holder.
    """
    settings.lock_file.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + settings.lock_wait_seconds
    with settings.lock_file.open("a+", encoding="utf-8") as file:
        announced = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                holder = _holder(settings.lock_file)
                if time.monotonic() >= deadline:
                    raise LockedError(
                        f"{settings.home} is in use by {holder}; gave up after {settings.lock_wait_seconds:.0f} s"
                    ) from None
                if not announced and waiting is not None:
                    waiting(f"Waiting for {holder}, for {settings.lock_wait_seconds:.0f} s at most")
                announced = True
                time.sleep(_POLL_SECONDS)
        file.seek(0)
        file.truncate()
        since = datetime.now(UTC).isoformat(timespec="seconds")
        file.write(json_text({"pid": os.getpid(), "purpose": purpose, "since": since}))
        file.flush()
        yield


def _holder(lock_file: Path) -> str:
    try:
        note = json.loads(lock_file.read_text(encoding="utf-8"))
    except ValueError:
        # The holder has the lock and has not yet written who it is.
        return "another process"
    return f"process {note['pid']} ({note['purpose']}, since {note['since']})"


def has_table(con: duckdb.DuckDBPyConnection, schema: str, table: str) -> bool:
    """Whether the database in use has a table. A look that creates what it does not find would be a write."""
    row = con.execute(
        "select 1 from duckdb_tables() where database_name = current_database() and schema_name = ? and table_name = ?",
        [schema, table],
    ).fetchone()
    return row is not None
