"""One verdict per Monday: a week that fails stays out, the others go on.

A data test in dbt judges a whole build, and a Dagster check a whole run; both would let one bad week of January stop November. So
the tests keep their failing rows, and here they become one result per Monday and test, stored in ``control.monday_checks``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

import duckdb

from churn_pipeline.core.warehouse import transaction
from churn_pipeline.features.plan import VERDICTS

Stage = Literal["features", "scores", "predictions"]


@dataclass(frozen=True)
class MondayCheck:
    """The result of one check on one Monday; ``detail`` is a sentence for whoever has to mend it."""

    snapshot_date: date
    check: str
    passed: bool
    detail: str


def create_tables(con: duckdb.DuckDBPyConnection) -> None:
    """Creates what this module writes, where absent."""
    con.execute("create schema if not exists control")
    con.execute(
        """
        create table if not exists control.monday_checks (
            snapshot_date date, stage varchar, check_name varchar, passed boolean, detail varchar,
            run_id varchar, checked_at timestamp
        )
        """
    )
    con.execute(
        """
        create view if not exists control.failed_mondays as
        select distinct snapshot_date from control.monday_checks where stage = 'features' and not passed
        """
    )


def test_results(
    con: duckdb.DuckDBPyConnection, mondays: Sequence[date], relations: Mapping[str, str]
) -> list[MondayCheck]:
    """Turns the failing rows that dbt tests kept into one result per Monday and test.

    Args:
        con: the warehouse, after the tests ran.
        mondays: the Mondays that they looked at.
        relations: for each test the relation with its failing rows, which has ``snapshot_date`` and ``failures``.
    """
    results = []
    for name, relation in relations.items():
        failures: dict[date, int] = dict(
            con.execute(f"select snapshot_date, sum(failures)::bigint from {relation} group by 1").fetchall()
        )
        results += [
            MondayCheck(day, name, day not in failures, f"{failures[day]:,} rows fail" if day in failures else "")
            for day in mondays
        ]
    return results


def freshness(con: duckdb.DuckDBPyConnection, mondays: Sequence[date], freshness_days: int) -> list[MondayCheck]:
    """Whether usage was still arriving when a Monday began.

    Without this, a feed that died a month ago makes every customer look silent, and the whole company looks about to leave. Where there
    was no usage event yet nobody looks silent, and there is nothing to judge by.
    """
    rows = con.execute(
        """
        select monday, max(fact_date)
        from unnest(?::date[]) as mondays(monday)
        left join landing.fact_digests on source = 'usage_events' and fact_date < monday
        group by monday order by monday
        """,
        [list(mondays)],
    ).fetchall()
    return [
        MondayCheck(
            day,
            "usage_events_are_fresh",
            newest is None or (day - newest).days <= freshness_days,
            f"usage_events: the newest event before {day} is of {newest}, {freshness_days} days are allowed"
            if newest
            else f"usage_events: there is no event before {day}, so nothing tells whether the data were fresh",
        )
        for day, newest in rows
    ]


def has_customers(con: duckdb.DuckDBPyConnection, mondays: Sequence[date]) -> list[MondayCheck]:
    """Whether anybody was active: a Monday before the first customer, or after the last, has nothing to say."""
    counts: dict[date, int] = dict(
        con.execute("select snapshot_date, count(*) from marts.mart_customer_churn_features group by 1").fetchall()
    )
    return [
        MondayCheck(
            day, "has_active_customers", counts.get(day, 0) > 0, f"{counts.get(day, 0):,} active customers at {day}"
        )
        for day in mondays
    ]


def store(
    con: duckdb.DuckDBPyConnection,
    stage: Stage,
    results: Sequence[MondayCheck],
    *,
    run_id: str,
    now: datetime,
    fingerprints: Mapping[date, str] | None = None,
) -> None:
    """Replaces the results of this stage for the Mondays concerned, in one transaction.

    Args:
        con: the warehouse.
        stage: which part of the run judges.
        results: of every check on every Monday that was judged.
        run_id: of the run that judges.
        now: when, UTC.
        fingerprints: of what was judged, by Monday, where the plan has to know that these Mondays have a verdict.
    """
    create_tables(con)
    with transaction(con):
        days = sorted({result.snapshot_date for result in results})
        con.execute(
            "delete from control.monday_checks where stage = ? and snapshot_date in (select unnest(?::date[]))",
            [stage, days],
        )
        if results:
            con.executemany(
                "insert into control.monday_checks values (?, ?, ?, ?, ?, ?, ?)",
                [(r.snapshot_date, stage, r.check, r.passed, r.detail, run_id, now) for r in results],
            )
        if fingerprints:
            con.execute(
                "delete from control.built where model = ? and key_date in (select unnest(?::date[]))",
                [VERDICTS, list(fingerprints)],
            )
            con.executemany(
                "insert into control.built values (?, ?, ?)",
                [(VERDICTS, day, value) for day, value in fingerprints.items()],
            )


def failures(results: Sequence[MondayCheck]) -> dict[date, list[MondayCheck]]:
    """The failed checks of each Monday that has any."""
    failed: dict[date, list[MondayCheck]] = {}
    for result in results:
        if not result.passed:
            failed.setdefault(result.snapshot_date, []).append(result)
    return failed


def reason(checks: Sequence[MondayCheck]) -> str:
    """Why a Monday stays out, of the checks that it failed."""
    return "; ".join(f"{check.check}: {check.detail}" for check in checks)


def stored_failures(
    con: duckdb.DuckDBPyConnection, stage: Stage, mondays: Sequence[date]
) -> dict[date, list[MondayCheck]]:
    """The stored failures of some Mondays."""
    rows = con.execute(
        """
        select snapshot_date, check_name, passed, detail from control.monday_checks
        where stage = ? and not passed and snapshot_date in (select unnest(?::date[])) order by all
        """,
        [stage, list(mondays)],
    ).fetchall()
    return failures([MondayCheck(*row) for row in rows])
