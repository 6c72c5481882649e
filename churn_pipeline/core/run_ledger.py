"""The ledger of runs: what became of every Monday that a run was asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Literal

import duckdb

from churn_pipeline.core.warehouse import has_table


@dataclass(frozen=True)
class RunRow:
    """What became of one Monday in one run.

    Attributes:
        scoring_mode: ``live`` or ``as_of``.
        status: ``published``, ``refused``, or ``failed`` when it was good and publishing it was not.
        customers: rows published; 0 when it was not.
        reason: why it was refused or failed. Empty when published, but for a Monday that another run wrote and this one caught up.
        exit_code: what a command that asked for this Monday returns.
    """

    run_id: str
    snapshot_date: date
    scoring_mode: str
    status: Literal["published", "refused", "failed"]
    customers: int
    reason: str
    exit_code: int
    recorded_at: datetime


def create_tables(con: duckdb.DuckDBPyConnection) -> None:
    """Creates the ledger where absent."""
    con.execute("create schema if not exists ledger")
    con.execute(
        """
        create table if not exists ledger.runs (
            run_id varchar, snapshot_date date, scoring_mode varchar, status varchar, customers bigint,
            reason varchar, exit_code integer, recorded_at timestamp
        )
        """
    )


def record(con: duckdb.DuckDBPyConnection, rows: Sequence[RunRow]) -> None:
    """Appends to the ledger; a run that is repeated after a failure replaces its own former word on a Monday."""
    create_tables(con)
    for row in rows:
        con.execute("delete from ledger.runs where run_id = ? and snapshot_date = ?", [row.run_id, row.snapshot_date])
        con.execute(
            "insert into ledger.runs values (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                row.run_id,
                row.snapshot_date,
                row.scoring_mode,
                row.status,
                row.customers,
                row.reason,
                row.exit_code,
                row.recorded_at,
            ],
        )


def of_run(con: duckdb.DuckDBPyConnection, run_id: str) -> list[RunRow]:
    """Every Monday that a run has spoken of, oldest first."""
    create_tables(con)
    rows = con.execute("select * from ledger.runs where run_id = ? order by snapshot_date", [run_id]).fetchall()
    return [RunRow(*row) for row in rows]


def carry_over(con: duckdb.DuckDBPyConnection, run_id: str, before: Sequence[str | None]) -> None:
    """Gives a re-execution the refusals of the run that it goes on with, unless it has spoken of the Monday itself.

    Args:
        con: the warehouse.
        run_id: the re-execution.
        before: runs that it goes on with, the nearest first; None is passed over.
    """
    for earlier in before:
        recorded_mondays = {row.snapshot_date for row in of_run(con, run_id)}
        if earlier is not None and earlier != run_id:
            record(
                con,
                [
                    replace(row, run_id=run_id)
                    for row in refusals(con, earlier)
                    if row.snapshot_date not in recorded_mondays
                ],
            )


def newest_published_monday(con: duckdb.DuckDBPyConnection) -> date | None:
    """The newest Monday that was ever published; None where none was. Nothing is created."""
    if not has_table(con, "ledger", "runs"):
        return None
    row = con.execute("select max(snapshot_date) from ledger.runs where status = 'published'").fetchone()
    return row[0] if row else None


def caught_up(con: duckdb.DuckDBPyConnection) -> set[date]:
    """Every Monday that a run published for another one that was killed before it did."""
    create_tables(con)
    rows = con.execute("select distinct snapshot_date from ledger.runs where status = 'published' and reason <> ''")
    return {day for (day,) in rows.fetchall()}


def format_refusals(rows: Iterable[RunRow | Refusal]) -> str:
    """Mondays with their reasons, in the words of which a run that fails for them and a command that reports it have to agree."""
    return "; ".join(f"{row.snapshot_date}: {row.reason}" for row in rows)


def refusals(con: duckdb.DuckDBPyConnection, run_id: str) -> list[RunRow]:
    """The Mondays that a run refused, oldest first."""
    return [row for row in of_run(con, run_id) if row.status == "refused"]


@dataclass(frozen=True)
class Refusal:
    """A Monday that was not scored again, for whoever asked for it; ``exit_code`` is what a command returns."""

    snapshot_date: date
    reason: str
    exit_code: int
