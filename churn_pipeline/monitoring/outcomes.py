"""Truth as it arrives: reads the outcomes that fall due on a Monday, has them judged, and keeps what was found.

Here: reading and writing schema ``monitoring``. Not here: any figure (`performance`, `interventions`, `lists`), and what became of
a customer, which dbt's ``prediction_outcomes`` says.

What a customer paid, and whether they were on the list or in the draw of the hold-out, is read from ``policy.predictions``: it is said once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import duckdb
import pandas as pd

from churn_pipeline.core.calendar import WEEK
from churn_pipeline.core.targets import TARGETS, Target, target_of
from churn_pipeline.core.warehouse import has_table, transaction
from churn_pipeline.features.frames import churn_labelled, newest_due, settled_by
from churn_pipeline.modeling.evaluate import TOP_PER_WEEK, Estimate, Resamples
from churn_pipeline.modeling.lifecycle import registered
from churn_pipeline.monitoring.interventions import Lift, Saves, first_entries, holdout_lift, saves
from churn_pipeline.monitoring.lists import (
    ListWorth,
    MoneyCalibration,
    list_worth,
    money_calibration,
    predictions,
    to_row,
)
from churn_pipeline.monitoring.outlook import todays_price
from churn_pipeline.monitoring.performance import REPLICATES, Promise, Quality, expected, realised

_CREATE = """
create schema if not exists monitoring;
create table if not exists monitoring.model_quality (
    assessed_on date, target varchar, predicted_on date, version varchar, plan_tier varchar, customers varchar, basis varchar,
    "rows" bigint, positives double, figure varchar, is_under boolean, value double, low double, high double,
    promised double, promised_low double, promised_high double, run_id varchar
);
create table if not exists monitoring.saves (
    assessed_on date, predicted_on date, touched bigint, expected_to_stay double, expected_low double, expected_high double,
    stayed bigint, left_the_book bigint, revenue double, revenue_expected_to_leave double, revenue_expected_low double,
    revenue_expected_high double, revenue_left double, run_id varchar
);
create table if not exists monitoring.holdout_lift (
    assessed_on date, predicted_on date, held_out bigint, held_out_churned bigint, others bigint, others_churned bigint,
    held_out_rate double, others_rate double, lift double, low double, high double, quarters bigint, held_out_revenue double,
    held_out_revenue_churned double, others_revenue double, others_revenue_churned double, revenue_lift double, revenue_low double,
    revenue_high double, run_id varchar
);
create table if not exists monitoring.list_quality (
    assessed_on date, predicted_on date, ranking varchar, basis varchar, calls bigint, customers double, customers_low double,
    customers_high double, revenue double, revenue_low double, revenue_high double, revenue_share double, revenue_share_low double,
    revenue_share_high double, all_customers bigint, all_revenue double, run_id varchar
);
create table if not exists monitoring.money_calibration (
    assessed_on date, predicted_on date, target varchar, customers bigint, expected_customers double, left_customers bigint,
    expected_revenue double, left_revenue double, ratio double, ratio_low double, ratio_high double, run_id varchar
);
"""
# Columns that came later; a home that has the table without them gets them, empty for what it holds.
_ADDED = {
    "saves": ("revenue", "revenue_expected_to_leave", "revenue_expected_low", "revenue_expected_high", "revenue_left"),
    "holdout_lift": (
        "quarters", "held_out_revenue", "held_out_revenue_churned", "others_revenue", "others_revenue_churned", "revenue_lift",
        "revenue_low", "revenue_high",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Findings:
    """What is found on a Monday.

    Attributes:
        monday: the Monday.
        quality: of the predictions that fell due, realised; and of its own ones, expected.
        saves: of the list that fell due; None where there was no list, or nobody on it was touched.
        lift: of everybody whose first Monday of a quarter in the draw has fallen due; None where nobody was held out.
        lists: what the list that fell due held, beside others of the same length.
        money: of the predictions of churn that fell due, whether the probabilities meant what they said where the money is.
    """

    monday: date
    quality: tuple[Quality, ...]
    saves: Saves | None
    lift: Lift | None
    lists: tuple[ListWorth, ...] = ()
    money: tuple[MoneyCalibration, ...] = ()


def create_tables(con: duckdb.DuckDBPyConnection) -> None:
    """Creates what this module writes, where absent."""
    con.execute(_CREATE)
    for table, columns in _ADDED.items():
        there = {name for (name, *_) in con.execute(f"describe monitoring.{table}").fetchall()}
        for column in columns:
            if column not in there:
                kind = "bigint" if column == "quarters" else "double"
                con.execute(f"alter table monitoring.{table} add column {column} {kind}")


def mondays_to_judge(con: duckdb.DuckDBPyConnection, written: Sequence[date]) -> list[date]:
    """The Mondays to judge after some were written: those, and the published ones on which their predictions fall due.

    So what is kept does not depend on the order of replays; the dbt model's window is the same.
    """
    settled = [settled_by(con, target) for target in TARGETS.values()]
    due = {day + of(day).closing_weeks * WEEK for day in written for of in settled}
    published = con.execute(
        "select distinct snapshot_date from policy.predictions where snapshot_date in (select unnest(?::date[]))",
        [sorted(due)],
    ).fetchall()
    return sorted({*written, *(day for (day,) in published)})


def find(con: duckdb.DuckDBPyConnection, monday: date, capacity: int = TOP_PER_WEEK) -> Findings:
    """Judges what falls due on a Monday, and estimates what its own predictions will turn out to be worth.

    Args:
        con: the warehouse, after dbt joined the outcomes of this Monday.
        monday: S. What is not there is left out: outcomes where nothing was predicted that falls due, estimates
            where S itself is not published.
        capacity: calls a week, by which the lists of Mondays from before there was a call list are judged.

    Raises:
        InputError: the ledger does not know the version behind a prediction.
    """
    quality: list[Quality] = []
    closed_by_target: dict[Target, pd.DataFrame] = {}
    for target in TARGETS.values():
        closed = _outcomes(con, target, monday)
        if len(closed):
            closed_by_target[target] = closed
            quality += realised(target, newest_due(con, target, monday), closed, _promise(con, target, closed))
        own = _predictions(con, target, monday)
        if len(own):
            quality += expected(target, monday, own, _promise(con, target, own))
    # Lists, saves and hold-out are about the target that the list is ranked by.
    risk = target_of("risk")
    predicted_on = newest_due(con, risk, monday)
    long = closed_by_target.get(risk)
    return Findings(
        monday,
        tuple(quality),
        saves=None if long is None else saves(predicted_on, long),
        lift=holdout_lift(predicted_on, _entries(con, risk, monday)),
        lists=()
        if long is None
        else tuple(
            list_worth(predicted_on, long, capacity, _resamples(long), is_priced=not todays_price(con, predicted_on))
        ),
        money=tuple(
            money_calibration(day, target.name, closed, _resamples(closed))
            for target, closed in closed_by_target.items()
            if target.event == "churn" and not todays_price(con, day := newest_due(con, target, monday))
        ),
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
        "list_quality": [
            to_row(each) | {"assessed_on": finding.monday} for finding in findings for each in finding.lists
        ],
        "money_calibration": [
            to_row(each) | {"assessed_on": finding.monday} for finding in findings for each in finding.money
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


def trained_without_touched(con: duckdb.DuckDBPyConnection, quality: Iterable[Quality]) -> set[tuple[str, str]]:
    """Target and version of those models behind some figures that did not learn from customers who had an intervention.

    That is what a setting says, and what all models did before it could be said.
    """
    versions = {(figures.target, figures.version) for figures in quality}
    return {
        (target, version)
        for target, version in versions
        if not registered(con, target, version).metrics.get("asked_of", {}).get("train_on_touched", False)
    }


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
        f"""
        select outcomes.customer_id, outcomes.plan_tier, outcomes.risk_tier, outcomes.probability, outcomes.label, outcomes.touched,
               not outcomes.touched as untouched, outcomes.status, outcomes.model_version as version,
               predictions.annual_revenue as revenue, predictions.priority_rank, predictions.is_on_call_list, predictions.call_rank
        from monitoring.prediction_outcomes as outcomes
        left join {predictions(con)} as predictions
            on outcomes.predicted_on = predictions.snapshot_date and outcomes.customer_id = predictions.customer_id
        where outcomes.assessed_on = ? and outcomes.target = ? order by outcomes.customer_id
        """,
        [monday, target.name],
    ).df()


def _entries(con: duckdb.DuckDBPyConnection, risk: Target, monday: date) -> pd.DataFrame:
    """The trial so far: everybody's first Monday of a quarter in the draw whose window is closed, with what became of them.

    A Monday on which nobody was to be held out is no part of it. What is known is what was known on the Monday that looks back.
    """
    if not has_table(con, "control", "holdout"):
        return pd.DataFrame()
    draws = con.execute(
        f"""
        select predictions.snapshot_date, predictions.customer_id, predictions.risk_tier, predictions.plan_tier,
               predictions.is_holdout, predictions.annual_revenue as revenue,
               year(predictions.snapshot_date) || 'Q' || quarter(predictions.snapshot_date) as quarter,
               -- Where the share was changed, the draw was another one.
               holdout.effective_from::varchar as draw
        from {predictions(con)} as predictions
        asof join control.holdout as holdout on predictions.snapshot_date >= holdout.effective_from
        where predictions.is_in_holdout_draw and predictions.snapshot_date <= ? and holdout.share > 0
        order by predictions.snapshot_date, predictions.customer_id
        """,
        [newest_due(con, risk, monday)],
    ).df()
    entries = first_entries(draws)
    con.register("entries", entries)
    try:
        return con.execute(
            # pandas has no dates.
            churn_labelled("(select * replace (snapshot_date::date as snapshot_date) from entries)", "$as_of"),
            {"horizon": risk.horizon_days, "as_of": monday},
        ).df()
    finally:
        con.unregister("entries")


def _resamples(closed: pd.DataFrame) -> Resamples:
    return Resamples.draw(closed["customer_id"], REPLICATES, 0)


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
