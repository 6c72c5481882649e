"""Truth as it arrives: reads the outcomes that fall due on a Monday, has them judged, and keeps what was found.

Here: reading and writing schema ``monitoring``. Not here: any figure (`performance`, `interventions`), and what became of
a customer, which dbt's ``prediction_outcomes`` says.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import duckdb
import pandas as pd

from churn_pipeline.core.targets import TARGETS, Target, target_of
from churn_pipeline.core.warehouse import transaction
from churn_pipeline.features.frames import settled
from churn_pipeline.modeling.evaluate import Estimate
from churn_pipeline.modeling.lifecycle import registered
from churn_pipeline.monitoring.interventions import Lift, Saves, holdout_lift, saves
from churn_pipeline.monitoring.performance import Promise, Quality, due, expected, realised
from churn_pipeline.policy import tiers
from churn_pipeline.policy.holdout import starts_quarter

_CREATE = """
create schema if not exists monitoring;
create table if not exists monitoring.model_quality (
    assessed_on date, target varchar, predicted_on date, version varchar, plan_tier varchar, customers varchar, basis varchar,
    "rows" bigint, positives double, figure varchar, is_under boolean, value double, low double, high double,
    promised double, promised_low double, promised_high double, run_id varchar
);
create table if not exists monitoring.saves (
    assessed_on date, predicted_on date, touched bigint, expected_to_stay double, expected_low double, expected_high double,
    stayed bigint, left_the_book bigint, run_id varchar
);
create table if not exists monitoring.holdout_lift (
    assessed_on date, predicted_on date, held_out bigint, held_out_churned bigint, others bigint, others_churned bigint,
    held_out_rate double, others_rate double, lift double, low double, high double, run_id varchar
);
"""


@dataclass(frozen=True)
class Findings:
    """What is found on a Monday.

    Attributes:
        monday: the Monday.
        quality: of the predictions that fell due, realised; and of its own ones, expected.
        saves: of the predictions of role risk that fell due; None where nobody at risk was touched.
        lift: of the same predictions; None where nobody was held out.
    """

    monday: date
    quality: tuple[Quality, ...]
    saves: Saves | None
    lift: Lift | None


def create_tables(con: duckdb.DuckDBPyConnection) -> None:
    """Creates what this module writes, where absent."""
    con.execute(_CREATE)


def mondays_to_judge(con: duckdb.DuckDBPyConnection, written: Sequence[date]) -> list[date]:
    """The Mondays to judge after some were written: those, and the published ones on which their predictions fall due.

    So what is kept does not depend on the order of replays; the dbt model's window is the same.
    """
    rows = con.execute(
        """
        select distinct written + days as assessed_on
        from unnest(?::date[]) as mondays (written) cross join unnest(?::integer[]) as due (days)
        where days = 0 or written + days in (select snapshot_date from policy.predictions) order by 1
        """,
        [list(written), [0, *sorted({7 * settled(con, target).closing_weeks for target in TARGETS.values()})]],
    ).fetchall()
    return [day for (day,) in rows]


def find(con: duckdb.DuckDBPyConnection, monday: date) -> Findings:
    """Judges what falls due on a Monday, and estimates what its own predictions will turn out to be worth.

    Args:
        con: the warehouse, after dbt joined the outcomes of this Monday.
        monday: S. What is not there is left out: outcomes where nothing was predicted that falls due, estimates
            where S itself is not published.

    Raises:
        InputError: the ledger does not know the version behind a prediction.
    """
    quality: list[Quality] = []
    for declared in TARGETS.values():
        target = settled(con, declared)
        closed = _outcomes(con, target, monday)
        if len(closed):
            quality += realised(target, due(target, monday), closed, _promise(con, target, closed))
        own = _predictions(con, target, monday)
        if len(own):
            quality += expected(target, monday, own, _promise(con, target, own))
    # Saves and hold-out are about those whom the list puts first.
    risk = settled(con, target_of("risk"))
    long = _outcomes(con, risk, monday)
    predicted_on = due(risk, monday)
    urgent = tiers.urgent(tiers.of_mondays(con, "policy.predictions", [predicted_on]).get(predicted_on, ()))
    return Findings(
        monday,
        tuple(quality),
        saves(predicted_on, long, urgent),
        holdout_lift(predicted_on, long, urgent) if starts_quarter(predicted_on) else None,
    )


def store(con: duckdb.DuckDBPyConnection, findings: Sequence[Findings], run_id: str) -> None:
    """Replaces what is kept of exactly these Mondays, in one transaction."""
    import pyarrow as pa

    rows = {
        "model_quality": [
            row | {"assessed_on": finding.monday}
            for finding in findings
            for each in finding.quality
            for row in each.to_rows()
        ],
        "saves": [asdict(finding.saves) | {"assessed_on": finding.monday} for finding in findings if finding.saves],
        "holdout_lift": [
            asdict(finding.lift) | {"assessed_on": finding.monday} for finding in findings if finding.lift
        ],
    }
    create_tables(con)
    with transaction(con):
        for table, new in rows.items():
            con.execute(
                f"delete from monitoring.{table} where assessed_on in (select unnest(?::date[]))",
                [[finding.monday for finding in findings]],
            )
            if new:
                con.register("new_rows", pa.Table.from_pylist([row | {"run_id": run_id} for row in new]))
                con.execute(f"insert into monitoring.{table} by name from new_rows")
                con.unregister("new_rows")


def quality_of(con: duckdb.DuckDBPyConnection, monday: date) -> list[Quality]:
    """What `find` found of the quality on a Monday, as it was kept; empty where that Monday has not been judged."""
    create_tables(con)
    rows = con.execute(
        """
        select target, predicted_on, version, plan_tier, customers, basis, "rows", positives, figure, is_under,
               value, low, high, promised, promised_low, promised_high
        from monitoring.model_quality where assessed_on = ?
        order by basis, target, predicted_on, customers, plan_tier, figure
        """,
        [monday],
    ).fetchall()
    return _read(rows)


def history(con: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """All figures of whole books, as a chart wants them: one row per target, figure, predicted_on, basis and customers
    (``all``, ``untouched``), with version, value, low, high and promised; the tiers are left out.
    """
    create_tables(con)
    return con.execute(
        """
        select target, figure, predicted_on, basis, customers, version, value, low, high, promised, is_under, "rows"
        from monitoring.model_quality where plan_tier = 'all' order by target, figure, predicted_on, basis, customers
        """
    ).df()


def _read(rows: Iterable[Sequence[Any]]) -> list[Quality]:
    groups: dict[tuple[Any, ...], list[Sequence[Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row[:8]), []).append(row)
    qualities = []
    for (target, predicted_on, version, plan_tier, customers, basis, number, positives), figures in groups.items():
        qualities.append(
            Quality(
                target=target, predicted_on=predicted_on, version=version, plan_tier=plan_tier, customers=customers,
                basis=basis, rows=number, positives=positives,
                figures={row[8]: _estimate(row[10:13]) for row in figures if row[10] is not None},
                promised={row[8]: _estimate(row[13:16]) for row in figures if row[13] is not None},
                under=tuple(row[8] for row in figures if row[9]),
            )
        )  # fmt: skip
    return qualities


def _estimate(parts: Sequence[float | None]) -> Estimate:
    return Estimate(*(float("nan") if part is None else part for part in parts))


def _outcomes(con: duckdb.DuckDBPyConnection, target: Target, monday: date) -> pd.DataFrame:
    return con.execute(
        """
        select customer_id, plan_tier, risk_tier, probability, label, touched, not touched as untouched, is_holdout, status,
               model_version as version
        from monitoring.prediction_outcomes
        where assessed_on = ? and target = ? order by customer_id
        """,
        [monday, target.name],
    ).df()


def _predictions(con: duckdb.DuckDBPyConnection, target: Target, monday: date) -> pd.DataFrame:
    probability, version = target.probability_column, target.version_column
    return con.execute(
        f"""
        select customer_id, plan_tier, {probability} as probability, {version} as version
        from policy.predictions
        where snapshot_date = ? and {probability} is not null order by customer_id
        """,
        [monday],
    ).df()


def _promise(con: duckdb.DuckDBPyConnection, target: Target, predictions: pd.DataFrame) -> Promise:
    # One model scores a Monday.
    version = str(predictions["version"].iloc[0])
    return Promise.from_ledger(version, registered(con, target.name, version).metrics)
