"""Which snapshots and usage days have to be built, decided by what they were built from.

Every snapshot has a fingerprint of all facts known before it and of the SQL that turns them into features. A snapshot is built
when it is missing or its fingerprint differs from the one it was built with; so a late row rebuilds everything after its day,
an unchanged past costs nothing, and a run that was killed is simply continued.

A Monday's verdict has the fingerprint of what was judged, so that the same holds for it: a Monday is tested when it is built anew, and
also when it was built by a run that ended before it was judged.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb

from churn_pipeline.contract import fingerprints
from churn_pipeline.core import calendar
from churn_pipeline.core.sql import literal
from churn_pipeline.core.targets import TARGETS
from churn_pipeline.core.warehouse import transaction
from churn_pipeline.features.splits import earliest_training_monday

MARTS = ("mart_customer_churn_features", "mart_customer_expansion_features")
USAGE_DAYS = "int_customer_days"
# What the verdicts on Mondays go by among what was built from what, in control.built.
VERDICTS = "monday_checks"

# What the features depend on besides the facts. Policy seeds that only decide about tiers and plays are not among them, so that
# operations can edit the playbook without rebuilding years of features.
_MARTS = "models/marts"
_FEATURE_CODE = ("models/staging", "models/intermediate", _MARTS, "macros/features")
_FEATURE_SEEDS = ("seeds/event_types.csv", "seeds/plan_ladder.csv")


@dataclass(frozen=True)
class BuildPlan:
    """What a run builds.

    Attributes:
        snapshots: Mondays whose features are built, oldest first.
        kept: Mondays in the needed range whose features are current.
        days: number of usage days to aggregate again.
        code_changed: the feature SQL differs from the one the marts were built with, so they start from scratch.
    """

    snapshots: tuple[date, ...]
    kept: int
    days: int
    code_changed: bool


def code_version(dbt_project: Path) -> str:
    """Hash of the SQL and seeds that define the features, and of the YAML that says what columns and types the marts have."""
    digest = hashlib.sha256()
    files = [
        path
        for folder in _FEATURE_CODE
        for path in (dbt_project / folder).rglob("*")
        if path.suffix == ".sql" or (path.suffix == ".yml" and folder == _MARTS)
    ]
    files += [dbt_project / seed for seed in _FEATURE_SEEDS]
    for path in sorted(files):
        digest.update(path.relative_to(dbt_project).as_posix().encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


@dataclass(frozen=True)
class Beginning:
    """With what the data begin.

    Attributes:
        usage: the day of the first usage event; None without any.
        departure: the day on which the first departure became known; None where nobody left.
    """

    usage: date | None
    departure: date | None

    def first_monday(self, as_of: date) -> date | None:
        """The oldest Monday that what is known at a Monday may learn from; None where there is none.

        With usage events it is the Monday after the first one. Snapshots before it would know of no usage, and only of those who stayed:
        whoever left before the data begin is not in them. Without them, and until they reach so far back that a model could come of
        them alone, it is the Monday after the first departure known.
        """
        usage, departure = (
            calendar.monday_on_or_before(day) + calendar.WEEK if day is not None and day < as_of else None
            for day in (self.usage, self.departure)
        )
        longest = max(TARGETS.values(), key=lambda target: target.horizon_days)
        if usage is not None and (departure is None or earliest_training_monday(usage, longest) <= as_of):
            return usage
        return min((day for day in (usage, departure) if day is not None), default=None)

    def first_told(self, as_of: date) -> date | None:
        """The oldest Monday that something is known of at a Monday, whether or not a model may learn from it; None where there is none."""
        days = (day for day in (self.usage, self.departure) if day is not None and day < as_of)
        first = min(days, default=None)
        return None if first is None else calendar.monday_on_or_before(first) + calendar.WEEK


def read_beginning(con: duckdb.DuckDBPyConnection) -> Beginning:
    """Reads from the landed data with what they begin."""
    (usage,) = _one(con, "select min(fact_date) from landing.fact_digests where source = 'usage_events'")
    (departure,) = _one(
        con, "select min(greatest(active_until, active_from)) from landing.lives where end_kind = 'churn'"
    )
    return Beginning(usage, departure)


def needed_snapshots(
    requested: Sequence[date], history_weeks: int, beginning: Beginning, training: Sequence[date] = ()
) -> list[date]:
    """Mondays that the requested ones and their training need, oldest first. There is nothing to learn from before the data begin, and
    still a Monday that is asked for is built.

    Args:
        requested: Mondays to score.
        history_weeks: weeks of history before each of them, and before each training.
        beginning: :func:`read_beginning`.
        training: training Mondays whose models are still to be made.
    """
    starts = [
        max(day - history_weeks * calendar.WEEK, first)
        for day in (*requested, *training)
        if (first := beginning.first_monday(day)) is not None
    ]
    history = calendar.mondays(min(starts), max(requested) + calendar.WEEK) if starts else ()
    return sorted({*requested, *history})


def write_plan(
    con: duckdb.DuckDBPyConnection,
    requested: Sequence[date],
    *,
    history_weeks: int,
    code: str,
    training: Sequence[date] = (),
) -> BuildPlan:
    """Decides what to build and what to test, and leaves it for dbt in schema ``control``, in one transaction.

    Args:
        con: the warehouse, after landing.
        requested: Mondays to score.
        history_weeks: weekly snapshots to keep before the earliest of them.
        code: :func:`code_version` of the feature SQL.
        training: training Mondays whose models this run will make; they need as much history as a Monday that is scored.
    """
    with transaction(con):
        con.execute("create schema if not exists control")
        con.execute("create table if not exists control.built (model varchar, key_date date, fingerprint varchar)")
        con.execute("create table if not exists control.code (version varchar)")
        before = con.execute("select version from control.code").fetchone()
        code_changed = before is not None and before[0] != code
        if before is None or code_changed:
            # Incremental tables of another shape or meaning cannot be continued.
            for schema, table in [("marts", mart) for mart in MARTS] + [("intermediate", USAGE_DAYS)]:
                con.execute(f"drop table if exists {schema}.{table}")
            con.execute("delete from control.built")
            con.execute("delete from control.code")
            con.execute("insert into control.code values (?)", [code])

        needed = needed_snapshots(requested, history_weeks, read_beginning(con), training)
        prints = _prints(con, needed, code)
        stale = _stale(con, prints, MARTS)
        built = _built(con)
        unjudged = [day for day in needed if built.get((VERDICTS, day)) != prints[day]]

        _replace(con, "snapshots_to_build", "snapshot_date", stale.items())
        to_test = {*stale, *unjudged, *requested}
        _replace(con, "mondays_to_test", "snapshot_date", [(day, prints.get(day, "")) for day in to_test])
        con.execute(
            f"""
            create or replace table control.days_to_build as
            with landed as (
                select fact_date as known_date, digest::varchar || ':' || fact_rows || {literal(":" + code)} as fingerprint
                from landing.fact_digests where source = 'usage_events'
            ), built as (
                select key_date as known_date, fingerprint from control.built where model = {literal(USAGE_DAYS)}
            )
            select coalesce(landed.known_date, built.known_date) as known_date,
                   coalesce(landed.fingerprint, '') as fingerprint
            from landed full join built using (known_date)
            where landed.fingerprint is distinct from built.fingerprint
              and not (landed.fingerprint is null and built.fingerprint = '')
            """
        )
        (days,) = _one(con, "select count(*) from control.days_to_build")
    return BuildPlan(tuple(stale), len(needed) - len(stale), days, code_changed)


def unbuilt(con: duckdb.DuckDBPyConnection, snapshots: Iterable[date], code: str) -> dict[date, str]:
    """Those of some Mondays whose features are missing, were built from other facts or other SQL, or were not judged since.

    Args:
        con: the warehouse, after landing.
        snapshots: any Mondays.
        code: :func:`code_version` of the feature SQL.

    Returns:
        Monday to the fingerprint that it has to be built with, oldest first.
    """
    return _stale(con, _prints(con, snapshots, code), (*MARTS, VERDICTS))


def _prints(con: duckdb.DuckDBPyConnection, snapshots: Iterable[date], code: str) -> dict[date, str]:
    """What each Monday would be built from now, oldest first."""
    return {day: f"{code}:{value}" for day, value in fingerprints(con, snapshots).items()}


def _stale(con: duckdb.DuckDBPyConnection, prints: Mapping[date, str], models: Iterable[str]) -> dict[date, str]:
    built, models = _built(con), tuple(models)
    return {day: value for day, value in prints.items() if any(built.get((model, day)) != value for model in models)}


def _built(con: duckdb.DuckDBPyConnection) -> dict[tuple[str, date], str]:
    rows = con.execute(
        "select model, key_date, fingerprint from control.built where model <> ?", [USAGE_DAYS]
    ).fetchall()
    return {(model, day): fingerprint for model, day, fingerprint in rows}


def _replace(con: duckdb.DuckDBPyConnection, table: str, key: str, rows: Iterable[tuple[date, str]]) -> None:
    con.execute(f"create or replace table control.{table} ({key} date, fingerprint varchar)")
    rows = sorted(rows)
    if rows:
        con.executemany(f"insert into control.{table} values (?, ?)", rows)


def _one(con: duckdb.DuckDBPyConnection, sql: str) -> tuple:
    # All of them: after one that was fetched alone the result counts as unfinished, and nothing can be registered on the connection.
    (row,) = con.execute(sql).fetchall()
    return row
