"""The company on disk. Readers see a whole file or none."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from churn_pipeline.simulate.company import Company


def write(company: Company, out: Path) -> list[Path]:
    """Writes ``out/raw/NAME.parquet`` for every table and ``out/oracle.parquet``, replacing what is there.

    Returns:
        The files written, the oracle last.
    """
    raw = out / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    targets = {raw / f"{name}.parquet": table for name, table in company.tables.items()} | {
        out / "oracle.parquet": company.oracle
    }
    for path, table in targets.items():
        _replace(table, path)
    return list(targets)


def _replace(table: pa.Table, path: Path) -> None:
    # Beside the target, so that os.replace stays within one file system and is atomic.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        # Row groups of a million keep memory low and let DuckDB read with several threads; event ids are unique, a
        # dictionary of them is waste.
        dictionary = [
            name for name in table.column_names if name not in ("event_id", "ticket_id", "opp_id", "intervention_id")
        ]
        pq.write_table(
            table,
            temporary,
            compression="zstd",
            row_group_size=1_000_000,
            use_dictionary=dictionary,
            store_schema=False,
        )
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
