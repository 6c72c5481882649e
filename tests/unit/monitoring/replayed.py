"""Small warehouses whose replay can be worked out by hand."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

import duckdb
import pandas as pd

from churn_pipeline.core import run_ledger
from churn_pipeline.core.calendar import WEEK
from churn_pipeline.features import verdicts
from tests.support.lives import show_lives, show_plan_history

# A Monday of the training grid, and the first Monday on which its 90-day window is closed.
MONDAY = date(2026, 3, 16)
LATEST = MONDAY + 13 * WEEK


@dataclass(frozen=True)
class Customer:
    """One row of predictions at one Monday, what became of it, and the feature that the rule looks at.

    ``leaves`` is in days after MONDAY; None stays.
    """

    name: str
    p30: float
    p90: float
    revenue: float | None
    leaves: int | None
    silent_days: int | None = 1


# Six customers; with two calls a Monday:
#   the list calls b and c (800 and 500 at risk), the model by probability a and b;
#   the rule calls the silent c and d by revenue, and two of a, c and d in any order;
#   a, b, d and f leave within 90 days, a, b and f within 30; e leaves one day too late.
SIX = (
    Customer("a", 0.80, 0.90, 100, 10, 20),
    Customer("b", 0.75, 0.80, 1000, 29, 1),
    Customer("c", 0.20, 0.50, 1000, None, 30),
    Customer("d", 0.10, 0.20, 300, 89, 14),
    Customer("e", 0.05, 0.10, 200, 90, 13),
    Customer("f", 0.05, 0.05, None, 0, None),
)


def warehouse(path: str = ":memory:", usage_until: date = LATEST) -> duckdb.DuckDBPyConnection:
    """A warehouse with every table the report reads, all empty but for the day that usage ends on."""
    con = duckdb.connect(path)
    for schema in ("landing", "policy", "marts"):
        con.execute(f"create schema {schema}")
    verdicts.create_tables(con)
    run_ledger.create_tables(con)
    con.execute(
        "create table landing.customers (customer_id varchar, churn_date date, censor_date date, seats bigint, csm_owner varchar)"
    )
    con.execute(
        "create table landing.plan_changes (customer_id varchar, known_date date, effective_date date, from_tier varchar, to_tier varchar, "
        "from_mrr_cents bigint, to_mrr_cents bigint)"
    )
    con.execute(
        "insert into landing.plan_changes values ('somebody', date '2020-01-01', date '2020-01-01', 'free', 'starter', 100, 200)"
    )
    show_lives(con)
    show_plan_history(con)
    con.execute("create table landing.interventions (customer_id varchar, at_date date, known_date date)")
    con.execute("create table landing.fact_digests (source varchar, fact_date date)")
    con.execute("insert into landing.fact_digests values ('usage_events', ?)", [usage_until - timedelta(days=1)])
    con.execute(
        """
        create table policy.predictions (
            snapshot_date date, customer_id varchar, churn_probability_30d double, churn_probability_90d double,
            is_flagged boolean, annual_revenue double, revenue_at_risk double, priority_rank bigint,
            scoring_mode varchar, churn_90d_model_version varchar
        )
        """
    )
    con.execute(
        """
        create table marts.mart_customer_churn_features (
            snapshot_date date, customer_id varchar, days_since_last_event bigint, plan_tier varchar, mrr double
        )
        """
    )
    return con


def score(con: duckdb.DuckDBPyConnection, *customers: Customer, monday: date = MONDAY, features: bool = True) -> None:
    """Writes the predictions, the features and the customers of one Monday."""
    at_risk = {c.name: (c.revenue or 0) * c.p90 for c in customers}
    ranked = sorted(customers, key=lambda c: (-at_risk[c.name], -c.p90, c.name))
    for rank, c in enumerate(ranked, start=1):
        con.execute(
            "insert into policy.predictions values (?, ?, ?, ?, ?, ?, ?, ?, 'as_of', '1')",
            [monday, c.name, c.p30, c.p90, c.p30 > 0.7, c.revenue, at_risk[c.name], rank],
        )
        if features:
            con.execute(
                "insert into marts.mart_customer_churn_features values (?, ?, ?, 'growth', 12)",
                [monday, c.name, c.silent_days],
            )
        leaves = None if c.leaves is None else MONDAY + timedelta(days=c.leaves)
        con.execute("delete from landing.customers where customer_id = ?", [c.name])
        con.execute("insert into landing.customers (customer_id, churn_date) values (?, ?)", [c.name, leaves])


def history(con: duckdb.DuckDBPyConnection, weeks: int = 60, customers: int = 130) -> None:
    """Snapshots before MONDAY of customers who leave within 90 days when they have long been silent, and else stay.

    Customer n of every three is silent for 60 days in the week ``10 + n % 40`` after the first one, and gone 5 weeks
    later.
    """
    first = MONDAY - weeks * WEEK
    rows, people = [], []
    for n in range(customers):
        turn = first + (10 + n % 40) * WEEK if n % 3 == 0 else None
        gone = turn + 5 * WEEK if turn else None
        people.append((f"h{n:03d}", gone))
        for week in range(weeks):
            day = first + week * WEEK
            if gone is None or day <= gone:
                silent = 60 if turn and day >= turn - 4 * WEEK else n % 10
                rows.append((day, f"h{n:03d}", silent, "growth", 10.0 + n % 7))
    frames = {
        "landing.customers": pd.DataFrame(people, columns=["customer_id", "churn_date"]),
        "marts.mart_customer_churn_features": pd.DataFrame(
            rows, columns=["snapshot_date", "customer_id", "days_since_last_event", "plan_tier", "mrr"]
        ),
    }
    for table, frame in frames.items():
        con.register("rows", frame)
        con.execute(f"insert into {table} by name from rows")
        con.unregister("rows")


def say(
    con: duckdb.DuckDBPyConnection, monday: date, status: str, reason: str, hour: int = 0, run_id: str = "run"
) -> None:
    """A word of the ledger of runs."""
    at = datetime(2026, 6, 15, hour)
    run_ledger.record(con, [run_ledger.RunRow(run_id, monday, "as_of", status, 0, reason, 3, at)])  # type: ignore[arg-type]
