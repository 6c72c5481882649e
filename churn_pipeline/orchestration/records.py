"""Dagster's record of a run, written without opening its files anew for each event.

Dagster keeps a SQLite file for each run and one over all of them, and opens and closes them for each of the 700 events of a Monday. Whoever
closes a SQLite file last also moves its journal into it, so each event waited for the disk three times, 18 ms in all. Here both stay open for
as long as the run goes on. What a kill interrupts is as whole as before: SQLite takes what lies in the journal with the next opening. A commit
no longer waits for the disk itself: where the power goes, the last events may be gone, never a part of one, and a run that is started again does
what they told of once more.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import dagster as dg
    from sqlalchemy.engine import Connection, Engine

# As long as Dagster itself waits for another process that writes.
_WAIT_SECONDS = 30


@contextmanager
def kept_open(instance: dg.DagsterInstance) -> Iterator[None]:
    """Keeps the files of an instance's record open. Does nothing where it lies elsewhere than in SQLite, or is kept open already.

    Args:
        instance: of Dagster.
    """
    from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage

    storage = instance.event_log_storage
    if not isinstance(storage, SqliteEventLogStorage) or "_connect" in vars(storage):
        yield
        return
    engines: dict[str, Engine] = {}

    @contextmanager
    def connect(shard: str) -> Iterator[Connection]:
        # One at a time, as with Dagster's own.
        with storage._db_lock:
            if shard not in engines:
                engine = _engine(storage.conn_string_for_shard(shard))
                storage._initdb(engine)
                engines[shard] = engine
            with engines[shard].begin() as con:
                yield con

    storage._connect = connect  # type: ignore[method-assign]
    try:
        yield
    finally:
        del storage._connect
        for engine in engines.values():
            engine.dispose()


def _engine(address: str) -> Engine:
    from sqlalchemy import create_engine, event
    from sqlalchemy.pool import QueuePool

    engine = create_engine(
        address,
        poolclass=QueuePool,
        pool_size=1,
        # Dagster looks at its record from other threads too; the lock lets one of them at it.
        connect_args={"timeout": _WAIT_SECONDS, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def _(con: Any, _record: Any) -> None:
        con.execute("pragma synchronous = normal")

    return engine
