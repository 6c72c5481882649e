"""What a Monday leads to expect of revenue, kept in schema ``monitoring``, and the truth beside it as it comes.

Here: reading the warehouse and writing the tables ``forecast``, ``retention`` and ``renewals``. Not here: any figure (`forecast`).

What is said of S uses what was known at S: its predictions, and past Mondays whose windows were closed by S. A forecast is written once,
with its own Monday; the truth is put beside it on the Monday on which its window is closed, and ``assessed_on`` says which that was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import duckdb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from churn_pipeline.core.calendar import WEEK
from churn_pipeline.core.targets import Target, by_horizon, target_of
from churn_pipeline.core.warehouse import has_table, transaction
from churn_pipeline.features import frames
from churn_pipeline.monitoring import lists
from churn_pipeline.monitoring.forecast import (
    PAST_WEEKS,
    Leaving,
    Level,
    leaving,
    level_error,
    level_of,
    renewals,
    retention,
)

# By what the customers are told apart, with the word for those of whom it is not known.
DIMENSIONS: Mapping[str, str] = {"plan_tier": "unknown", "industry": "unknown", "csm_owner": "unassigned"}
EVERYBODY = "all"
# Retention looks back this far, or to the oldest Monday there is.
YEAR_WEEKS = 52

_CREATE = """
create schema if not exists monitoring;
create table if not exists monitoring.forecast (
    snapshot_date date, horizon_days bigint, dimension varchar, value varchar, customers bigint, revenue double,
    expected double, low double, high double, level_scale double, past_mondays bigint, past_covered bigint,
    assessed_on date, realised double, level_error double, level_noise double, run_id varchar
);
create table if not exists monitoring.retention (
    snapshot_date date, dimension varchar, value varchar, base_date date, customers bigint, base_revenue double, gross double,
    net double, is_todays_price boolean, horizon_days bigint, revenue double, expected_gross double, expected_gross_low double,
    expected_gross_high double, expected_net double, run_id varchar
);
create table if not exists monitoring.renewals (
    snapshot_date date, renewal_week date, customers bigint, revenue double, revenue_at_risk double, on_call_list bigint,
    run_id varchar
);
"""
TABLES = ("forecast", "retention", "renewals")

type Group = tuple[str, str]
type Rows = NDArray[np.intp]


@dataclass(frozen=True)
class Written:
    """What was written of a Monday: of the longest horizon, for everybody.

    Attributes:
        snapshot_date: the Monday.
        leaving: what is expected to leave.
        past_mondays: Mondays whose truth was known by then.
        past_covered: of them those on which it lay in their interval.
    """

    snapshot_date: date
    leaving: Leaving
    past_mondays: int
    past_covered: int


def create_tables(con: duckdb.DuckDBPyConnection) -> None:
    """Creates what this module writes, where absent."""
    con.execute(_CREATE)


def mondays_to_write(con: duckdb.DuckDBPyConnection, written: Sequence[date]) -> list[date]:
    """The published Mondays to write after some were written, oldest first.

    The level of a Monday is read from those before it. So all from the oldest that was written on are made again, which makes what is
    kept independent of the order of replays, and so is every Monday that has no forecast yet, as in a home that was made before there were
    any.
    """
    create_tables(con)
    rows = con.execute(
        """
        select distinct snapshot_date from policy.predictions
        where snapshot_date >= $first or snapshot_date not in (select snapshot_date from monitoring.forecast) order by 1
        """,
        {"first": min(written, default=date.max)},
    ).fetchall()
    return [day for (day,) in rows]


def write(con: duckdb.DuckDBPyConnection, mondays: Sequence[date], run_id: str) -> list[Written]:
    """Writes what Mondays lead to expect, and puts the truth beside forecasts that fall due on them. Each Monday in one transaction.

    Args:
        con: the warehouse, after dbt joined the outcomes.
        mondays: published ones, oldest first; see `mondays_to_write`.
        run_id: of the run that writes.
    """
    create_tables(con)
    written = []
    for monday in mondays:
        frame = _predictions(con, monday)
        outlooks = {}
        with transaction(con):
            for table in TABLES:
                con.execute(f"delete from monitoring.{table} where snapshot_date = ?", [monday])
            for target in by_horizon("churn"):
                _realise(con, target, monday)
            for target in by_horizon("churn"):
                if target.probability_column in frame and frame[target.probability_column].notna().any():
                    outlooks[target] = _forecast(con, target, monday, frame, run_id)
            longest = by_horizon("churn")[-1]
            _insert(con, "retention", _retention(con, monday, frame, longest, outlooks.get(longest)), run_id)
            of_weeks = renewals(monday, frame, longest.horizon_days)
            _insert(con, "renewals", [{"snapshot_date": monday, **row} for row in of_weeks], run_id)
        if longest in outlooks:
            past, covered = _coverage(con, longest, monday)
            written.append(Written(monday, outlooks[longest][EVERYBODY, EVERYBODY], past, covered))
    return written


def _predictions(con: duckdb.DuckDBPyConnection, monday: date) -> pd.DataFrame:
    """One row per customer of a Monday, with what is asked of them here; revenue that is not known counts as 0."""
    there = {name for (name, *_) in con.execute(f"describe from {lists.predictions(con)}").fetchall()}
    # Not the lists of reasons: of each customer they would become objects.
    columns = [
        *DIMENSIONS,
        *(target.probability_column for target in by_horizon("churn") if target.probability_column in there),
        target_of("expansion").probability_column,
        "expected_arr_uplift",
        "days_to_renewal",
        "revenue_at_risk",
        "is_on_call_list",
    ]
    return con.execute(
        f"""
        select {", ".join(columns)}, coalesce(annual_revenue, 0) as revenue
        from {lists.predictions(con)} where snapshot_date = ? order by customer_id
        """,
        [monday],
    ).df()


def _groups(frame: pd.DataFrame) -> dict[Group, Rows]:
    """Positions of everybody, and of the customers of each plan, industry and owner."""
    groups: dict[Group, Rows] = {(EVERYBODY, EVERYBODY): np.arange(len(frame))}
    for dimension, unknown in DIMENSIONS.items():
        values = frame[dimension].fillna(unknown).astype(str)
        for value, rows in sorted(values.groupby(values).indices.items()):
            groups[dimension, str(value)] = np.asarray(rows, dtype=np.intp)
    return groups


def _forecast(
    con: duckdb.DuckDBPyConnection, target: Target, monday: date, frame: pd.DataFrame, run_id: str
) -> dict[Group, Leaving]:
    levels = [
        Level(*row)
        for row in con.execute(
            """
            select snapshot_date, level_error, level_noise from monitoring.forecast
            where horizon_days = ? and dimension = ? and assessed_on <= ? and snapshot_date >= ? and level_error is not null
            order by snapshot_date
            """,
            [target.horizon_days, EVERYBODY, monday, monday - PAST_WEEKS * WEEK],
        ).fetchall()
    ]
    error = level_error(levels, target.horizon_weeks)
    # A customer whom the model did not score is expected to stay; there is none but where a target is new.
    probability = frame[target.probability_column].fillna(0).to_numpy(dtype=np.float64)
    by_group = leaving(probability, frame["revenue"].to_numpy(dtype=np.float64), _groups(frame), error)
    past, covered = _coverage(con, target, monday)
    _insert(
        con,
        "forecast",
        [
            {
                "snapshot_date": monday,
                "horizon_days": target.horizon_days,
                "dimension": dimension,
                "value": value,
                **asdict(expected),
                "level_scale": error.scale,
                "past_mondays": past,
                "past_covered": covered,
            }
            for (dimension, value), expected in by_group.items()
        ],
        run_id,
    )
    return by_group


def _coverage(con: duckdb.DuckDBPyConnection, target: Target, monday: date) -> tuple[int, int]:
    """How many past Mondays had their truth by this one, and on how many of them it lay in their interval."""
    ((past, covered),) = con.execute(
        """
        select count(*), count(*) filter (where realised between low and high) from monitoring.forecast
        where horizon_days = ? and dimension = ? and assessed_on <= ? and snapshot_date >= ? and realised is not null
        """,
        [target.horizon_days, EVERYBODY, monday, monday - PAST_WEEKS * WEEK],
    ).fetchall()
    return past, covered


def _realise(con: duckdb.DuckDBPyConnection, target: Target, monday: date) -> None:
    """Puts what left beside the forecast that falls due."""
    predicted_on = frames.newest_due(con, target, monday)
    if todays_price(con, predicted_on):
        return
    outcomes = con.execute(
        """
        select outcomes.probability, outcomes.label, coalesce(predictions.annual_revenue, 0) as revenue,
               predictions.plan_tier, predictions.industry, predictions.csm_owner
        from monitoring.prediction_outcomes as outcomes
        inner join policy.predictions as predictions
            on outcomes.predicted_on = predictions.snapshot_date and outcomes.customer_id = predictions.customer_id
        where outcomes.assessed_on = ? and outcomes.target = ? order by outcomes.customer_id
        """,
        [monday, target.name],
    ).df()
    if outcomes.empty:
        return
    label, probability, revenue = (
        outcomes[name].to_numpy(dtype=np.float64) for name in ("label", "probability", "revenue")
    )
    left = label * revenue
    con.executemany(
        """
        update monitoring.forecast set realised = ?, assessed_on = ?
        where snapshot_date = ? and horizon_days = ? and dimension = ? and value = ?
        """,
        [
            (float(left[rows].sum()), monday, predicted_on, target.horizon_days, *group)
            for group, rows in _groups(outcomes).items()
        ],
    )
    if level := level_of(predicted_on, probability, revenue, label):
        con.execute(
            """
            update monitoring.forecast set level_error = ?, level_noise = ?
            where snapshot_date = ? and horizon_days = ? and dimension = ?
            """,
            [level.error, level.noise, predicted_on, target.horizon_days, EVERYBODY],
        )


def _retention(
    con: duckdb.DuckDBPyConnection,
    monday: date,
    frame: pd.DataFrame,
    target: Target,
    expected: Mapping[Group, Leaving] | None,
) -> list[dict[str, Any]]:
    base_date, base = _base(con, monday)
    is_todays_price = base_date is not None and todays_price(con, base_date)
    so_far = {} if base_date is None or is_todays_price else dict(_so_far(base))
    uplift_column = "expected_arr_uplift"
    # Without an expansion model in force nothing is known of growth, and nothing is said of net retention.
    grows = bool(frame[target_of("expansion").probability_column].notna().any())
    revenue = frame["revenue"].to_numpy(dtype=np.float64)
    uplift = frame[uplift_column].fillna(0).to_numpy(dtype=np.float64)
    groups = _groups(frame)
    rows = []
    for group in sorted({*groups, *so_far}):
        past, members = so_far.get(group), groups.get(group, np.empty(0, dtype=np.intp))
        paying = members[revenue[members] > 0]
        paid = float(revenue[paying].sum())
        ahead = expected.get(group) if expected and paid else None
        gross = None if ahead is None else 1 - ahead.expected / paid
        rows.append(
            {
                "snapshot_date": monday,
                "dimension": group[0],
                "value": group[1],
                "base_date": base_date,
                "customers": past.customers if past else None,
                "base_revenue": past.base_revenue if past else None,
                "gross": past.gross if past else None,
                "net": past.net if past else None,
                "is_todays_price": is_todays_price,
                "horizon_days": target.horizon_days,
                "revenue": paid,
                "expected_gross": gross,
                "expected_gross_low": None if ahead is None else 1 - ahead.high / paid,
                "expected_gross_high": None if ahead is None else 1 - ahead.low / paid,
                "expected_net": gross + float(uplift[paying].sum()) / paid if grows and gross is not None else None,
            }
        )
    return rows


def _base(con: duckdb.DuckDBPyConnection, monday: date) -> tuple[date | None, pd.DataFrame]:
    """The Monday that retention is counted from, and what its customers paid then and pay now; without those who left the book."""
    ((base_date,),) = con.execute(
        "select min(snapshot_date) from policy.predictions where snapshot_date >= ? and snapshot_date < ?",
        [monday - YEAR_WEEKS * WEEK, monday],
    ).fetchall()
    if base_date is None:
        return None, pd.DataFrame()
    base = con.execute(
        f"""
        with labelled as (
            {frames.churn_labelled("(select * from policy.predictions where snapshot_date = $base)", "$as_of")}
        )
        select labelled.plan_tier, labelled.industry, labelled.csm_owner, coalesce(labelled.annual_revenue, 0) as revenue,
               -- A price that is not known now is taken as it was.
               case when here.customer_id is null then 0 else coalesce(here.annual_revenue, labelled.annual_revenue, 0) end as revenue_now
        from labelled
        left join policy.predictions as here on labelled.customer_id = here.customer_id and here.snapshot_date = $as_of
        where here.customer_id is not null or labelled.label = 1
        order by labelled.customer_id
        """,
        {"base": base_date, "as_of": monday, "horizon": (monday - base_date).days},
    ).df()
    return base_date, base


def _so_far(base: pd.DataFrame) -> Iterator[tuple[Group, Any]]:
    then, now = (base[name].to_numpy(dtype=np.float64) for name in ("revenue", "revenue_now"))
    for group, rows in _groups(base).items():
        if (kept := retention(then[rows], now[rows])) is not None:
            yield group, kept


def todays_price(con: duckdb.DuckDBPyConnection, monday: date) -> bool:
    """Whether the revenue of a past Monday is what customers paid when it was made: then money says nothing of it.

    A list that was made on its own Monday was priced on it, whatever the history of prices says now.
    """
    if not has_table(con, "marts", target_of("risk").mart):
        return False
    ((is_todays,),) = con.execute(
        f"""
        select coalesce(bool_or(is_todays_price), false)
            and coalesce((select any_value(scoring_mode) from policy.predictions where snapshot_date = $monday) <> 'live', false)
        from marts.{target_of("risk").mart} where snapshot_date = $monday
        """,
        {"monday": monday},
    ).fetchall()
    return bool(is_todays)


def _insert(con: duckdb.DuckDBPyConnection, table: str, rows: Sequence[Mapping[str, Any]], run_id: str) -> None:
    if not rows:
        return
    import pyarrow as pa

    con.register("new_rows", pa.Table.from_pylist([{**row, "run_id": run_id} for row in rows]))
    try:
        con.execute(f"insert into monitoring.{table} by name from new_rows")
    finally:
        con.unregister("new_rows")
