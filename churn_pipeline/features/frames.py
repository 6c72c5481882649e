"""The rows that training and scoring read from the marts, as known at one Monday."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import date
from functools import cache
from typing import Any

import duckdb
import pandas as pd

from churn_pipeline.contract.lives import settling
from churn_pipeline.core.calendar import GRID_EPOCH, WEEK
from churn_pipeline.core.settings import shipped
from churn_pipeline.core.sql import literal
from churn_pipeline.core.targets import Target
from churn_pipeline.features.catalogue import History
from churn_pipeline.features.splits import BLOCK_WEEKS, Span, stagger_offsets

# Two trainings on the usual grid lie so far apart: a wait of less hardly makes a model older.
LATE_BOOKING_DAYS = 28

# Of the newest days some departures are booked only later, where nothing says how late: a week is what most of them take.
UNSEEN_DAYS = 7

# What a label is stands in SQL, for training here and for the outcomes of predictions in dbt.
_LABELS = "macros/monitoring/labels.sql"
_UNTOUCHED = """
              and not exists (
                  select 1 from landing.interventions
                  where interventions.customer_id = labelled.customer_id
                    and interventions.at_date >= snapshot_date
                    and interventions.at_date < snapshot_date + $horizon
                    and interventions.known_date < $training_monday
              )
"""


def histories(con: duckdb.DuckDBPyConnection, training_monday: date, *, trust_static_plan: bool) -> frozenset[History]:
    """Which of a customer's past values are truly known at a training Monday.

    Without plan changes, the tier of a past snapshot is today's tier, and today's tier of an upgraded customer *is* the label. Of
    subscriptions, those that began with another plan or price where one had just ended show that rows are not written over.

    Args:
        con: the warehouse, after landing.
        training_monday: only changes known before it count.
        trust_static_plan: the user says that tier and revenue never change; both are taken as known.
    """
    if trust_static_plan:
        return frozenset(("tier_history", "mrr_history"))
    ((tiers, prices),) = con.execute(
        "select count(*) filter (where shows_tiers) > 0, count(*) filter (where shows_prices) > 0 from landing.plan_history "
        "where known_date < ?",
        [training_monday],
    ).fetchall()
    recorded: set[History] = set()
    if tiers:
        recorded.add("tier_history")
    if prices:
        recorded.add("mrr_history")
    return frozenset(recorded)


def first_snapshot(con: duckdb.DuckDBPyConnection, target: Target) -> date | None:
    """The oldest Monday in the target's mart, or None when the mart is empty."""
    ((oldest,),) = con.execute(f"select min(snapshot_date) from marts.{target.mart}").fetchall()
    return oldest


def sample_of(
    con: duckdb.DuckDBPyConnection,
    target: Target,
    training_monday: date,
    *,
    first: date,
    most_rows: int,
    seed: int,
) -> tuple[list[str], float] | None:
    """The customers that a training of a large book looks at: whole customers, in the order of a hash of the seed and their id, as many as
    have ``most_rows`` rows to learn from.

    Nested: of the same rows a larger number of rows takes the same customers and more.

    Args:
        con: the warehouse, after dbt built the marts.
        target: what is predicted.
        training_monday: T. Who has no row that was closed then changes nothing.
        first: the oldest snapshot that may be used.
        most_rows: that training keeps (`splits.staggered`), all customers together.
        seed: of the draw.

    Returns:
        Their ids, and their share of all customers with such rows; None where all customers together have no more rows.
    """
    with _stagger(con, target):
        customers = con.execute(
            f"""
            select
                customer_id,
                sum(count(*)) over (order by md5($seed || ':' || customer_id), customer_id)::bigint as rows_so_far
            from marts.{target.mart} as mart
            inner join stagger using (customer_id)
            where {_closed(target)} and {_kept(target)}
            group by customer_id
            order by rows_so_far
            """,
            {"training_monday": training_monday, "first": first, "seed": str(seed)},
        ).fetchall()
    if not customers or customers[-1][1] <= most_rows:
        return None
    # At least one, or there would be nothing to say what is missing of.
    taken = [customer for customer, so_far in customers if so_far <= most_rows] or [customers[0][0]]
    return taken, len(taken) / len(customers)


def training_frame(
    con: duckdb.DuckDBPyConnection,
    target: Target,
    training_monday: date,
    *,
    whole: Collection[Span],
    sampled: Collection[Span] = (),
    first: date,
    drop_touched: bool = False,
    columns: Collection[str] | None = None,
    customers: Collection[str] | None = None,
) -> pd.DataFrame:
    """The closed snapshots that a model of one training Monday may see, with their labels.

    Snapshots outside ``whole`` and ``sampled`` are thinned out here, in SQL, to the ones that training keeps: of two years of weekly snapshots that is
    the difference between all rows in memory and one in four or thirteen. They are thinned out before they get their labels, which take
    most of the time and memory.

    Args:
        con: the warehouse, after dbt built the marts.
        target: what is predicted.
        training_monday: T; a row is there only if its label window had closed by then.
        whole: slices that keep every row.
        sampled: slices that keep one row a customer in ``BLOCK_WEEKS``, beside those that training keeps.
        first: the oldest snapshot that may be used.
        drop_touched: leave out customers whom somebody tried to keep or to grow in [S, S + horizon), as far as that was known before
            T. Whoever leaves early is not called any more, so this asks the future who stays in, and those who left are too many among
            the rest: risk is overstated. For those who need the rule of older versions.
        columns: of the mart, beside snapshot_date and customer_id; all of them unless given. One that the mart has not is left out.
        customers: whose rows (`sample_of`); everybody's unless given.

    Returns:
        The columns and ``label`` (0 or 1), ordered by snapshot_date and customer_id. Mondays that failed a check are not
        in it.
    """
    week = f"((snapshot_date - {literal(GRID_EPOCH)}) // 7)"
    kept, thinned = (
        " or ".join(f"snapshot_date between {literal(span.first)} and {literal(span.last)}" for span in spans)
        or "false"
        for spans in (whole, sampled)
    )
    closed = f"""(
        select {_columns_of(con, target, columns)}
        from marts.{target.mart} as mart
        inner join stagger using (customer_id)
        where {_closed(target)}
          and (({kept}) or {_kept(target)} or (({thinned}) and {week} % {BLOCK_WEEKS} = in_block))
    )"""
    with _stagger(con, target, customers):
        return con.execute(
            f"""
            with labelled as ({_labelled(target, closed)})
            select labelled.*
            from labelled
            where true {_UNTOUCHED if drop_touched else ""}
            order by snapshot_date, customer_id
            """,
            {"horizon": target.horizon_days, "training_monday": training_monday, "first": first},
        ).df()


def recent_frame(
    con: duckdb.DuckDBPyConnection,
    target: Target,
    as_of: date,
    *,
    first: date,
    columns: Collection[str] | None = None,
    customers: Collection[str] | None = None,
) -> pd.DataFrame:
    """The snapshots that training keeps whose windows are still open at a Monday, and what has happened in them so far.

    The last ``UNSEEN_DAYS`` before the Monday are left out, after the days that the target waits for its labels anyway: what happened in them
    is often booked later.

    Args:
        con: the warehouse, after dbt built the marts.
        target: what is predicted.
        as_of: the Monday.
        first: the oldest snapshot that may be used.
        columns: as for `training_frame`.
        customers: as for `training_frame`.

    Returns:
        The columns, ``seen_days`` (1 to the horizon) and ``label``: 1 where it happened in the first ``seen_days`` days from
        the snapshot on, else 0. Ordered by snapshot_date and customer_id, without Mondays that failed a check.
    """
    opened = f"""(
        select
            {_columns_of(con, target, columns)},
            least($horizon, $training_monday - snapshot_date - {target.settle_days + UNSEEN_DAYS})::integer as seen_days
        from marts.{target.mart} as mart
        inner join stagger using (customer_id)
        where snapshot_date >= $first
          and snapshot_date > {literal(target.newest_closed(as_of))}
          and snapshot_date < $training_monday - {target.settle_days + UNSEEN_DAYS}
          and snapshot_date not in (select snapshot_date from control.failed_mondays)
          and {_kept(target)}
    )"""
    with _stagger(con, target, customers):
        return con.execute(
            f"{_labelled(target, opened, 'snapshots.seen_days')} order by snapshots.snapshot_date, snapshots.customer_id",
            {"horizon": target.horizon_days, "training_monday": as_of, "first": first},
        ).df()


def _closed(target: Target) -> str:
    """SQL: snapshots that a training may use, and whose labels were closed at it."""
    return (
        f"snapshot_date >= $first and snapshot_date + {target.closing_days} <= $training_monday "
        "and snapshot_date not in (select snapshot_date from control.failed_mondays)"
    )


def _kept(target: Target) -> str:
    """SQL: those of them that training keeps."""
    return f"((snapshot_date - {literal(GRID_EPOCH)}) // 7) % {target.stagger_weeks} = stagger"


def _columns_of(con: duckdb.DuckDBPyConnection, target: Target, columns: Collection[str] | None) -> str:
    """SQL: the columns of the mart that are wanted, in the mart's order."""
    if columns is None:
        return "mart.*"
    wanted = {"snapshot_date", "customer_id", *columns}
    there = [row[0] for row in con.execute(f"describe marts.{target.mart}").fetchall()]
    return ", ".join(f'mart."{name}"' for name in there if name in wanted)


@contextmanager
def _stagger(
    con: duckdb.DuckDBPyConnection, target: Target, customers: Collection[str] | None = None
) -> Iterator[None]:
    """The relation ``stagger``: by customer the remainders of the week at which training, and a block, keep a snapshot."""
    if customers is None:
        customers = [row[0] for row in con.execute("select customer_id from landing.customers").fetchall()]
    kept, in_block = (stagger_offsets(customers, weeks) for weeks in (target.stagger_weeks, BLOCK_WEEKS))
    con.register(
        "stagger",
        pd.DataFrame({"customer_id": list(kept), "stagger": list(kept.values()), "in_block": list(in_block.values())}),
    )
    try:
        yield
    finally:
        con.unregister("stagger")


def scoring_frame(con: duckdb.DuckDBPyConnection, target: Target, *mondays: date) -> pd.DataFrame:
    """The mart's rows of one Monday or several, ordered by snapshot_date and customer_id. Everybody active is in it; thin history is no
    reason to be left out."""
    return con.execute(
        f"select * from marts.{target.mart} where snapshot_date in (select unnest(?::date[])) order by snapshot_date, customer_id",
        [list(mondays)],
    ).df()


def settled(con: duckdb.DuckDBPyConnection, target: Target, as_of: date) -> Target:
    """The target as the landed data can answer it: where the end of a life is known days after its date, labels close later.

    Args:
        con: the warehouse, after landing.
        target: as it is declared.
        as_of: the Monday by which it is known how many days. Of a training the training Monday, of a prediction its own Monday: so a
            prediction is due on one Monday, whatever is learned of the bookings afterwards.
    """
    return settled_by(con, target)(as_of)


def settled_by(con: duckdb.DuckDBPyConnection, target: Target) -> Callable[[date], Target]:
    """`settled` for many Mondays."""
    steps = settling(con)
    return lambda as_of: target.settled(steps.at(as_of).days)


def newest_due(con: duckdb.DuckDBPyConnection, target: Target, monday: date) -> date:
    """The newest Monday whose predictions can be judged at a Monday: 5 weeks back for 30 days, 13 for 90, when every window has closed;
    more where ends are known later.

    Args:
        con: the warehouse, after landing.
        target: as it is declared.
        monday: at which it is judged.
    """
    of = settled_by(con, target)
    day = target.newest_closed(monday)
    while not of(day).is_closed(day, monday):
        day -= WEEK
    return day


def late_bookings(con: duckdb.DuckDBPyConnection, target: Target, training_monday: date) -> str | None:
    """What is to be said of departures that are booked so late that the newest labels are much older than they could be; else None.

    Args:
        con: the warehouse, after landing.
        target: as it is declared.
        training_monday: T.
    """
    step = settling(con).at(training_monday)
    if step.basis != "booked" or step.days <= LATE_BOOKING_DAYS:
        return None
    newest = target.settled(step.days).newest_closed(training_monday)
    return (
        f"departures are booked up to {step.days} days after their date, so labels close that much later and the newest snapshot that "
        f"can be learned from is {newest}; CHURN_BOOKING_DELAY_DAYS says it where loaded_at shows something else"
    )


def churn_labelled(relation: str, as_of: str, horizon: str = "$horizon") -> str:
    """SQL for the rows of a relation that has snapshot_date and customer_id, and ``label``: who churned within so many days.

    1 for a life that churned in [S, S + horizon), else 0. Customers who are no longer in the landed data have no label, and no row.
    Whether a label is closed is for the caller to ask.

    Args:
        relation: of the rows.
        as_of: SQL of the Monday by which the label is known.
        horizon: SQL of the days; may be a column of ``snapshots``.
    """
    return str(_labels().churn_labelled(relation, horizon, as_of, "landing.customers", "landing.lives"))


def departures_by_week(
    con: duckdb.DuckDBPyConnection, target: Target, first: date, last: date, as_of: date
) -> tuple[list[tuple[date, int, int]], int]:
    """How many customers there were on each Monday of a span, and how many of them had churned within the horizon.

    Args:
        con: the warehouse, after landing.
        target: about churn.
        first: a Monday.
        last: a Monday.
        as_of: the Monday by which it is known. Whether a label is closed by then is for the caller to ask.

    Returns:
        Monday, active customers and those of them with a label of 1, oldest first, without Mondays on which there was nobody; and how many
        different customers have a label of 1 on any of them.
    """
    mondays = (
        f"(select unnest(generate_series({literal(first)}, {literal(last)}, interval 7 day))::date as snapshot_date)"
    )
    book = _labels().churn_of_the_book(mondays, "$horizon", "$as_of", "landing.customers", "landing.lives")
    rows = con.execute(
        f"""
        select snapshot_date, count(*), sum(label)::bigint, count(distinct customer_id) filter (label = 1)
        from ({book})
        group by grouping sets ((snapshot_date), ())
        order by snapshot_date nulls last
        """,
        {"horizon": target.horizon_days, "as_of": as_of},
    ).fetchall()
    *weeks, (_, _, _, different) = rows
    return [(day, customers, departures) for day, customers, departures, _ in weeks], different


def _labelled(target: Target, relation: str | None = None, horizon: str = "$horizon") -> str:
    # Labels are facts of the future of S, which is why they are no columns of a mart: everything there is known at S.
    relation = relation or f"marts.{target.mart}"
    if target.event == "churn":
        return churn_labelled(relation, "$training_monday", horizon)
    return str(
        _labels().expansion_labelled(
            relation,
            horizon,
            "$training_monday",
            "landing.customers",
            "landing.lives",
            "landing.plan_history",
            "seeds.plan_ladder",
        )
    )


@cache
def _labels() -> Any:
    """The macros of `_LABELS`, as functions that give SQL."""
    from jinja2 import Environment, StrictUndefined

    source = shipped("dbt_project") / _LABELS
    return Environment(undefined=StrictUndefined).from_string(source.read_text(encoding="utf-8")).module
