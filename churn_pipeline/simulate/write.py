"""The company on disk. Readers see a whole file or none, and no half company that looks whole."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from churn_pipeline.core.errors import InputError
from churn_pipeline.simulate.company import Company

# Row groups of a million keep memory low and let DuckDB read with several threads.
ROW_GROUP = 1_000_000
# Event ids are unique, a dictionary of them is waste.
_UNIQUE = ("event_id", "ticket_id", "opp_id", "intervention_id")
ORACLE = "oracle"
# Without one of these a folder of raw tables is no company, and a run refuses it.
_BOOKS = ("customers", "subscriptions")


def write(company: Company, out: Path) -> list[Path]:
    """Writes ``out/raw/NAME.parquet`` for every table and ``out/oracle.parquet``, replacing what is there.

    Returns:
        The files written, the oracle last.

    Raises:
        InputError: somebody else is writing a company there.
    """
    with staging(out) as stage:
        for name, table in (company.tables | {ORACLE: company.oracle}).items():
            write_table([table], stage / f"{name}.parquet")
        return place(stage, out, list(company.tables), oracle=True)


def write_table(parts: Iterable[pa.Table], path: Path) -> None:
    """Writes a table that comes in parts; holds about a million rows of it."""
    writer: pq.ParquetWriter | None = None
    waiting: list[pa.Table] = []
    rows = 0
    try:
        for part in parts:
            if writer is None:
                writer = pq.ParquetWriter(
                    path,
                    part.schema,
                    compression="zstd",
                    use_dictionary=[name for name in part.column_names if name not in _UNIQUE],
                    store_schema=False,
                )
            waiting.append(part)
            rows += part.num_rows
            while rows >= ROW_GROUP:
                together = pa.concat_tables(waiting)
                writer.write_table(together.slice(0, ROW_GROUP), row_group_size=ROW_GROUP)
                waiting = [together.slice(ROW_GROUP)]
                rows -= ROW_GROUP
        if writer is not None and waiting:
            writer.write_table(pa.concat_tables(waiting), row_group_size=ROW_GROUP)
    finally:
        if writer is not None:
            writer.close()


@contextmanager
def staging(out: Path) -> Iterator[Path]:
    """An empty folder in ``out`` for a company that is being made; gone afterwards, and begun anew after a kill.

    Raises:
        InputError: another process is making a company there.
    """
    out.mkdir(parents=True, exist_ok=True)
    # Of the folder itself: the lock dies with its process, and no file stays.
    lock = os.open(out, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(f"another process is writing a company into {out}; wait until it is done") from error
        base = out / ".simulation"
        shutil.rmtree(base, ignore_errors=True)
        # A name of its own: the helpers of a killed simulation may write into theirs for a second.
        stage = base / str(os.getpid())
        stage.mkdir(parents=True)
        try:
            yield stage
        finally:
            shutil.rmtree(base, ignore_errors=True)
    finally:
        os.close(lock)


def place(stage: Path, out: Path, tables: Sequence[str], *, oracle: bool) -> list[Path]:
    """Moves a whole company from its staging folder to where it is read; returns its files, the oracle last.

    The book of the old company goes first and that of the new one comes last: whoever is killed in between leaves a
    folder that a run refuses.
    """
    raw = out / "raw"
    raw.mkdir(exist_ok=True)
    for name in _BOOKS:
        (raw / f"{name}.parquet").unlink(missing_ok=True)
    (out / f"{ORACLE}.parquet").unlink(missing_ok=True)
    for name in sorted(tables, key=lambda name: name in _BOOKS):
        (stage / f"{name}.parquet").replace(raw / f"{name}.parquet")
    if oracle:
        (stage / f"{ORACLE}.parquet").replace(out / f"{ORACLE}.parquet")
    return [raw / f"{name}.parquet" for name in tables] + [out / f"{ORACLE}.parquet"] * oracle
