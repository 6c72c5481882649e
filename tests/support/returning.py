"""A company of a few hundred customers who come and go in every way that the design names: returns, trials, pauses, mergers, late renewals.

Two exports of it: one with subscriptions, and one whose customers have a row for each time. Written from DESIGN's words, by a seed.
"""

from __future__ import annotations

import random
from datetime import date, timedelta
from pathlib import Path

import duckdb

BEGIN = date(2024, 1, 1)
END = date(2026, 3, 2)
CUSTOMERS = 250
PLANS = ("starter", "growth", "enterprise")

type Rows = list[tuple[object, ...]]


def write_returning(out: Path, *, with_subscriptions: bool) -> Path:
    """Writes the company into ``out`` and returns it.

    Args:
        out: a folder for raw files.
        with_subscriptions: else the customers have a row for each time, and their changes of plan are another table.
    """
    draw = random.Random(12)
    customers: Rows = []
    subscriptions: Rows = []
    changes: Rows = []
    events: Rows = []
    tickets: Rows = []
    for number in range(CUSTOMERS):
        customer, signed = f"C{number:03d}", BEGIN + timedelta(days=draw.randrange(400))
        industry = draw.choice(("Retail", "Mining"))
        day, first = signed, True
        while day < END:
            plan = draw.choice(PLANS)
            ended = day + timedelta(days=draw.randrange(20, 420))
            last = ended if ended < END else None
            kind = draw.choice(("cancelled", "cancelled", "merged"))
            price = draw.randrange(100, 900)
            _subscribe(draw, subscriptions, customer, day, last, kind, plan, price)
            # Rows of a customer carry the plan of their time; a change in it is dated.
            if last is None or (last - day).days > 60:
                moved = day + timedelta(days=draw.randrange(10, 60))
                if moved < END:
                    changes.append((customer, moved, "starter", plan, price - 50, price))
            churned, left = (last, None) if kind != "merged" else (None, last)
            customers.append((customer, industry if first else "Retail", plan, day, price, churned, left))
            _use(draw, events, tickets, customer, day, last or END)
            if last is None or draw.random() < 0.3:
                break
            first = False
            # Some are back on that day, some after a pause, some late by just as much as a gap may be, some after months.
            day = last + timedelta(days=draw.choice((0, 7, 29, 30, 31, 32, 60, 200)))
    out.mkdir(parents=True)
    with duckdb.connect() as con:
        if with_subscriptions:
            customers = [(*row[:5], None, None) for row in _first(customers)]
            _write(
                con, out, "subscriptions",
                "subscription_id varchar, customer_id varchar, plan_tier varchar, mrr double, started_at date, ended_at date, "
                "end_reason varchar, is_trial boolean, loaded_at timestamp",
                subscriptions,
            )  # fmt: skip
        else:
            _write(
                con, out, "plan_changes",
                "customer_id varchar, effective_date date, from_tier varchar, to_tier varchar, from_mrr double, to_mrr double",
                changes,
            )  # fmt: skip
        _write(
            con, out, "customers",
            "customer_id varchar, industry varchar, plan_tier varchar, signup_date date, mrr double, churn_date date, censor_date date",
            customers,
        )  # fmt: skip
        _write(
            con, out, "usage_events",
            "event_id varchar, customer_id varchar, timestamp timestamp, event_type varchar, feature_adoption_score double",
            events,
        )  # fmt: skip
        _write(
            con, out, "support_tickets",
            "ticket_id varchar, customer_id varchar, created_date timestamp, priority varchar, resolution_time double, topic varchar",
            tickets,
        )  # fmt: skip
        _write(
            con, out, "gtm_opportunities",
            "opp_id varchar, customer_id varchar, stage varchar, close_date date, amount double, sales_owner varchar, created_date date",
            [],
        )  # fmt: skip
        _write(
            con, out, "risk_signals",
            "customer_id varchar, compliance_gap_score double, vendor_risk_flags bigint, recorded_at timestamp",
            [],
        )  # fmt: skip
    return out


def _subscribe(
    draw: random.Random, rows: Rows, customer: str, began: date, ended: date | None, reason: str, plan: str, price: int
) -> None:
    """One time of a customer as a billing system has it: a trial before it, one row for each price, now and then an addition."""

    def add(first: date, last: date | None, why: str | None, tier: str, mrr: int, *, trial: bool = False) -> None:
        late = first + timedelta(days=draw.choice((0, 0, 0, 0, 0, 0, 3, 45)))
        loaded = late if late != first else None
        rows.append((f"S{len(rows)}", customer, tier, mrr, first, last, why, trial, loaded))

    if draw.random() < 0.2:
        add(began - timedelta(days=20), began, None, plan, 0, trial=True)
    day = began
    while True:
        until = day + timedelta(days=draw.randrange(90, 365))
        if (ended is not None and until >= ended) or until >= END:
            add(day, ended, reason if ended is not None else None, plan, price)
            return
        add(day, until, "renewed", plan, price)
        if draw.random() < 0.2:
            add(day, until - timedelta(days=30), "cancelled", draw.choice(PLANS), 40)
        # Renewals are signed on the day, or a few days late.
        day = until + timedelta(days=draw.choice((0, 0, 3, 20)))
        if (ended is not None and day >= ended) or day >= END:
            return
        plan, price = draw.choice((plan, draw.choice(PLANS))), price + draw.choice((0, 25))


def _use(draw: random.Random, events: Rows, tickets: Rows, customer: str, began: date, ended: date) -> None:
    day = began
    while day < ended:
        kind = draw.choice(("report_view", "api_call", "integration_connect"))
        events.append((f"E{len(events)}", customer, day, kind, draw.randrange(100) / 100))
        if draw.random() < 0.1:
            tickets.append((f"T{len(tickets)}", customer, day, "high", float(draw.randrange(1, 900)), "billing"))
        day += timedelta(days=draw.randrange(2, 12))


def _first(customers: Rows) -> Rows:
    return list({row[0]: row for row in reversed(customers)}.values())


def _write(con: duckdb.DuckDBPyConnection, out: Path, table: str, columns: str, rows: Rows) -> None:
    con.execute(f"create or replace table written ({columns})")
    if rows:
        con.executemany(f"insert into written values ({', '.join('?' * len(rows[0]))})", rows)
    con.execute(f"copy written to '{out / (table + '.parquet')}' (format parquet)")
