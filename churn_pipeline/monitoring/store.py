"""What monitoring found, Monday by Monday, in the warehouse's schema ``monitoring``.

A run replaces exactly its own Mondays, in one transaction. Nothing here decides anything: verdicts come from `drift`, figures from
`performance`, proposals from `triggers`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date

import duckdb
import pandas as pd

from churn_pipeline.core.json_text import json_text
from churn_pipeline.core.warehouse import transaction
from churn_pipeline.monitoring.drift import DriftReport, Level
from churn_pipeline.monitoring.triggers import HealthAssessment

_CREATE = """
create schema if not exists monitoring;
create table if not exists monitoring.drift (
    snapshot_date date, target varchar, feature varchar, plan_tier varchar, rows bigint, votes boolean, verdict varchar,
    psi_reference double, limit_reference double, psi_week double, limit_week double, share double, share_now double,
    share_limit double, missing_share double, missing_share_reference double, out_of_range_share double, run_id varchar
);
create table if not exists monitoring.drift_verdicts (
    snapshot_date date, target varchar, model_version varchar, rows bigint, verdict varchar, score double,
    reasons varchar[], run_id varchar
);
create table if not exists monitoring.judgements (
    snapshot_date date, drift varchar, drift_reasons varchar[], under json, run_id varchar
);
"""


@dataclass(frozen=True)
class DriftVerdict:
    """What drift came to for one model on one Monday."""

    snapshot_date: date
    target: str
    model_version: str
    rows: int
    verdict: Level
    score: float
    reasons: tuple[str, ...]


def create_tables(con: duckdb.DuckDBPyConnection) -> None:
    """Creates the tables where absent."""
    con.execute(_CREATE)


def write_drift(
    con: duckdb.DuckDBPyConnection, monday: date, reports: Iterable[tuple[str, DriftReport]], run_id: str
) -> None:
    """Replaces what is known about the drift of one Monday.

    Args:
        con: the warehouse.
        monday: the Monday.
        reports: for each model its version and its report.
        run_id: of the run that judges.
    """
    pairs = list(reports)
    rows = pd.DataFrame([row for _, report in pairs for row in report.to_rows()])
    with _replacing(con, monday, "drift", "drift_verdicts"):
        if len(rows):
            con.register("drift_rows", rows)
            try:
                con.execute("insert into monitoring.drift by name select *, ? as run_id from drift_rows", [run_id])
            finally:
                con.unregister("drift_rows")
        for version, report in pairs:
            con.execute(
                "insert into monitoring.drift_verdicts values (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    monday,
                    report.target,
                    version,
                    report.rows,
                    report.verdict,
                    report.score,
                    list(report.reasons),
                    run_id,
                ],
            )


def drift_verdicts(con: duckdb.DuckDBPyConnection, monday: date) -> list[DriftVerdict]:
    """What drift came to on a Monday, by target."""
    create_tables(con)
    rows = con.execute(
        "select snapshot_date, target, model_version, rows, verdict, score, reasons from monitoring.drift_verdicts "
        "where snapshot_date = ? order by target",
        [monday],
    ).fetchall()
    return [
        DriftVerdict(day, target, version, customers, verdict, score, tuple(reasons))
        for day, target, version, customers, verdict, score, reasons in rows
    ]


def write_judgement(con: duckdb.DuckDBPyConnection, assessment: HealthAssessment, run_id: str) -> None:
    """Replaces the judgement of one Monday."""
    with _replacing(con, assessment.monday, "judgements"):
        con.execute(
            "insert into monitoring.judgements values (?, ?, ?, ?, ?)",
            [
                assessment.monday,
                assessment.drift,
                list(assessment.drift_reasons),
                json_text(assessment.under, sort_keys=True),
                run_id,
            ],
        )


def judgements(con: duckdb.DuckDBPyConnection, until: date, weeks: int) -> list[HealthAssessment]:
    """The judgements of so many weeks up to a Monday, oldest first."""
    create_tables(con)
    rows = con.execute(
        "select snapshot_date, drift, drift_reasons, under from monitoring.judgements "
        "where snapshot_date <= ? and snapshot_date > ? - 7 * ?::integer order by 1",
        [until, until, weeks],
    ).fetchall()
    return [HealthAssessment(day, level, tuple(reasons), json.loads(under)) for day, level, reasons, under in rows]


@contextmanager
def _replacing(con: duckdb.DuckDBPyConnection, monday: date, *tables: str) -> Iterator[None]:
    create_tables(con)
    with transaction(con):
        for table in tables:
            con.execute(f"delete from monitoring.{table} where snapshot_date = ?", [monday])
        yield
