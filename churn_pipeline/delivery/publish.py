"""Published copies: a Parquet file per Monday, then one DuckDB file with every Monday.

Both are written beside their final place and moved over it with ``os.replace``. A reader that has the former file open keeps
it; one that opens afterwards gets the new one; nobody ever sees half a week, and neither side waits for the other.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import NamedTuple

import duckdb

from churn_pipeline.core import notices
from churn_pipeline.core.atomic import commit_file, temp_path
from churn_pipeline.core.calendar import WEEK
from churn_pipeline.core.errors import ChurnError
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.sql import literal
from churn_pipeline.core.targets import target_of
from churn_pipeline.core.warehouse import has_table
from churn_pipeline.policy import tiers


def drivers_view() -> str:
    """The view ``drivers`` of the published database: the lists of drivers, a row each."""
    risk, expansion = target_of("risk").name, target_of("expansion").name
    return f"""
create view drivers as
select snapshot_date, customer_id, target, rank, driver.*
from (
    select snapshot_date, customer_id, target, unnest(drivers) as driver, generate_subscripts(drivers, 1) as rank
    from (
        select snapshot_date, customer_id, {literal(risk)} as target, churn_drivers as drivers from predictions
        union all
        select snapshot_date, customer_id, {literal(f"{risk}_change")}, change_drivers from predictions
        union all
        select snapshot_date, customer_id, {literal(expansion)}, expansion_drivers from predictions
    )
)
"""


# What the published database holds, as queries on the warehouse.
_TABLES = {
    "predictions": "from policy.predictions order by snapshot_date, customer_id",
    "customers": "select customer_id, company_name, csm_owner from landing.customers order by customer_id",
    "runs": "select * from ledger.runs order by recorded_at, snapshot_date",
    "promotions": "select * from ledger.promotions order by seq",
    "policy_seeds": "select * from ledger.policy_seeds order by policy_version, seed",
    "risk_tiers": "from policy.risk_tiers order by policy_version, severity",
    "notices": "select snapshot_date, position, kind, source, sentence from ledger.notices "
    "semi join policy.predictions using (snapshot_date) order by snapshot_date, position",
}


@dataclass(frozen=True)
class Published:
    """What a publication replaced.

    Attributes:
        files: Parquet files written.
        rows: rows of each Monday in the published database, for the Mondays asked for.
        weeks: Mondays in the published database.
    """

    files: tuple[Path, ...]
    rows: dict[date, int]
    weeks: int


class WeekVersion(NamedTuple):
    """What tells one writing of a Monday from another: the run that wrote it, its scoring_mode, and how many customers it has."""

    run_id: str
    scoring_mode: str
    customers: int


def publish(con: duckdb.DuckDBPyConnection, settings: Settings, written: Sequence[date]) -> Published:
    """Publishes Mondays, and those a week after them, whose change columns were refreshed.

    Parquet first, then the database: killed in between, both still hold whole weeks, and the next run replaces both.

    Args:
        con: the warehouse, open in this process.
        settings: where to publish to.
        written: Mondays that policy wrote in this run, and those that :func:`unpublished` finds: the database takes every Monday, and
            the files are to hold the same.
    """
    settings.published.mkdir(parents=True, exist_ok=True)
    _sweep(settings.published)
    try:
        return _publish(con, settings, written)
    except Exception:
        # On a full disk the half-written file takes the room that the warehouse needs to note the failure.
        _sweep(settings.published)
        raise


def _publish(con: duckdb.DuckDBPyConnection, settings: Settings, written: Sequence[date]) -> Published:
    touched = sorted({*written, *(day + WEEK for day in written)})
    present = con.execute(
        "select distinct snapshot_date from policy.predictions where snapshot_date in (select unnest(?::date[])) order by 1",
        [touched],
    ).fetchall()
    files = tuple(_write_week(con, _parquet(settings, day), day) for (day,) in present)
    tiers.write_table(con)
    notices.create_tables(con)
    _write_database(con, settings.published_database, _TABLES, [drivers_view()])
    with duckdb.connect(str(settings.published_database), read_only=True) as reader:
        rows = dict(
            reader.execute(
                "select snapshot_date, count(*) from predictions where snapshot_date in (select unnest(?::date[])) group by 1",
                [list(written)],
            ).fetchall()
        )
        (weeks,) = reader.execute("select count(distinct snapshot_date) from predictions").fetchall()[0]
    return Published(files, rows, weeks)


def published_among(con: duckdb.DuckDBPyConnection, settings: Settings, mondays: Sequence[date]) -> list[date]:
    """Which of some Mondays are published; those that were refused and never had a list are not.

    Args:
        con: the warehouse, open in this process.
        settings: the home.
        mondays: any Mondays, as those of a run.

    Raises:
        ChurnError: the warehouse has a Monday which the published database lacks, or holds as an earlier run wrote it. What is made
            from it would say what no table says.
    """
    written = {day: week for day, week in _weeks(con, "policy").items() if day in mondays}
    there, copied = sorted(written), _copied(settings, written)
    if stale := [day for day in there if written[day] != copied.get(day)]:
        raise ChurnError(f"written, and not published: {', '.join(map(str, stale))}; 'churn run' publishes them")
    return there


def newest_published(settings: Settings) -> date | None:
    """The newest published Monday, or None, by the names of the files: a tool that opened the database to write in it locks others
    out, and nobody can lock a name."""
    days = []
    for path in (settings.published / "predictions").glob("snapshot_date=*/*.parquet"):
        # A folder that somebody copied by hand is no Monday.
        with suppress(ValueError):
            days.append(date.fromisoformat(path.parent.name.removeprefix("snapshot_date=")))
    return max(days, default=None)


def unpublished(con: duckdb.DuckDBPyConnection, settings: Settings) -> dict[date, WeekVersion]:
    """The Mondays of the warehouse that are not published as they stand there, oldest first: this run's, before it publishes, and
    those of runs that were killed before they did.

    Args:
        con: the warehouse, open in this process.
        settings: the home.
    """
    written = _weeks(con, "policy")
    copied = _copied(settings, written)
    return {day: week for day, week in sorted(written.items()) if copied.get(day) != week}


def _copied(settings: Settings, days: Iterable[date]) -> dict[date, WeekVersion]:
    """Those of some Mondays that are published, in a file and in the database alike."""
    if not settings.published_database.is_file():
        return {}
    versions = {}
    with duckdb.connect() as reader:
        for day in days:
            # A damaged file is none, and is written again.
            with suppress(duckdb.Error):
                row = reader.execute(
                    f"select any_value(run_id), any_value(scoring_mode), count(*) from {literal(_parquet(settings, day))}"
                ).fetchone()
                assert row is not None
                versions[day] = WeekVersion(*row)
    try:
        with duckdb.connect(str(settings.published_database), read_only=True) as published:
            there = _weeks(published, "main")
    except duckdb.Error:
        # Damaged, or held by a tool that opened it to write in it. A publication replaces it and waits for nobody, so the files alone
        # say what was published.
        return versions
    return {day: week for day, week in versions.items() if there.get(day) == week}


def _weeks(con: duckdb.DuckDBPyConnection, schema: str) -> dict[date, WeekVersion]:
    if not has_table(con, schema, "predictions"):
        return {}
    rows = con.execute(
        f"select snapshot_date, any_value(run_id), any_value(scoring_mode), count(*) from {schema}.predictions group by 1"
    ).fetchall()
    return {day: WeekVersion(*week) for day, *week in rows}


def _parquet(settings: Settings, snapshot_date: date) -> Path:
    return settings.published / "predictions" / f"snapshot_date={snapshot_date}" / "predictions.parquet"


def _write_week(con: duckdb.DuckDBPyConnection, final: Path, snapshot_date: date) -> Path:
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = temp_path(final)
    con.execute(
        f"""
        copy (
            select * from policy.predictions where snapshot_date = {literal(snapshot_date)} order by customer_id
        ) to {literal(temporary)} (format parquet, compression zstd)
        """
    )
    commit_file(temporary, final)
    return final


def publish_rescored(con: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Publishes what other models would have said, in a database of its own: nobody takes it for what was known."""
    settings.published.mkdir(parents=True, exist_ok=True)
    _sweep(settings.published)
    tiers.write_table(con)
    policy = {name: _TABLES[name] for name in ("policy_seeds", "risk_tiers")}
    _write_database(
        con,
        settings.rescored_database,
        {"predictions_rescored": "from policy.predictions_rescored order by snapshot_date, customer_id", **policy},
    )


def publish_monitoring(con: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Publishes what monitoring found, in a database of its own: it is written after the list, and the list does not wait for it."""
    settings.published.mkdir(parents=True, exist_ok=True)
    names = [
        name
        for (name,) in con.execute(
            "select table_name from duckdb_tables() where database_name = current_database() and schema_name = 'monitoring' order by 1"
        ).fetchall()
    ]
    _write_database(con, settings.monitoring_database, {name: f"from monitoring.{name} order by all" for name in names})


def publish_promotions(con: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Publishes the ledger of models alone, after a decision that no run goes with; where nothing is published yet, nothing."""
    if settings.published_database.is_file():
        _write_database(con, settings.published_database, {"promotions": _TABLES["promotions"]}, keep=True)


def _write_database(
    con: duckdb.DuckDBPyConnection,
    final: Path,
    tables: Mapping[str, str],
    views: Sequence[str] = (),
    *,
    keep: bool = False,
) -> None:
    temporary = temp_path(final)
    if keep:
        shutil.copyfile(final, temporary)
    con.execute(f"attach {literal(temporary)} as published")
    try:
        for name, query in tables.items():
            con.execute(f"create or replace table published.{name} as {query}")
    finally:
        con.execute("detach published")
    with duckdb.connect(str(temporary)) as published:
        for view in views:
            published.execute(view)
        published.execute("checkpoint")
    commit_file(temporary, final)


def _sweep(folder: Path) -> None:
    """Removes what a killed run left behind. The home's lock is held, so no living run owns any of it."""
    for leftover in folder.rglob(".*.tmp*"):
        leftover.unlink()
