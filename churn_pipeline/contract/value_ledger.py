"""The ledger of what customers were seen to pay: changes of plan and price between landings.

Many systems know a customer's plan and price of today and nothing else, and many of them set the price to 0 when a customer leaves. So a
landing compares both with what the landing before saw, and what differs goes into ``landing.value_ledger``, which only grows. It is dated
with the latest Monday of the moment of landing, as undated risk signals are: that Monday and later ones know the new values, earlier ones
the old ones, and of several changes within a week the last one counts.

The ledger depends on when somebody landed, and not on the files alone. It prices lists, and no model learns from it.
"""

from __future__ import annotations

from datetime import date

import duckdb

from churn_pipeline.core.sql import literal

# What its changes are called among the digests of facts, and the name of its table.
SOURCE = "value_ledger"
# The temporary table of what the former landing saw.
BEFORE = "values_before"

# The first entry is nobody's: from its Monday on, values are watched. Before it, what is known of a price is today's.
CREATE = """
create table if not exists landing.value_ledger (
    entry BIGINT, customer_id VARCHAR, from_tier VARCHAR, to_tier VARCHAR, from_mrr_cents BIGINT, to_mrr_cents BIGINT,
    first_seen_monday DATE, known_date DATE
);
"""


def begin(con: duckdb.DuckDBPyConnection, monday: date) -> None:
    """Notes from when on values are watched, where that is not noted yet.

    Args:
        con: the warehouse, with the ledger.
        monday: the latest Monday of the moment of landing.
    """
    con.execute(
        "insert into landing.value_ledger select 1, null, null, null, null, null, $seen, $seen - 1 "
        "where not exists (from landing.value_ledger)",
        {"seen": monday},
    )


def remember(con: duckdb.DuckDBPyConnection) -> None:
    """Keeps plan and price of the landed customers, for :func:`add_changes` after they were landed again."""
    con.execute(
        f"create or replace temp table {BEFORE} as select customer_id, plan_tier, mrr_cents from landing.customers"
    )


def add_changes(con: duckdb.DuckDBPyConnection, monday: date) -> None:
    """Adds to the ledger what differs from what :func:`remember` kept. Who is new has nothing to differ from, and neither has a
    value that was missing, or could not be read, ever since.

    Args:
        con: the warehouse, with customers landed again.
        monday: the latest Monday of the moment of landing.
    """
    seen = f"{literal(monday.isoformat())}::DATE"
    con.execute(
        f"""
        insert into landing.value_ledger
        select
            (select max(entry) from landing.value_ledger) + row_number() over (order by customer_id),
            customer_id, former.plan_tier, now.plan_tier, former.mrr_cents, now.mrr_cents,
            -- strictly before the Monday, because a snapshot knows what is dated before it
            {seen}, {seen} - 1
        from landing.customers as now
        inner join {BEFORE} as former using (customer_id)
        where
            (now.plan_tier, now.mrr_cents) is distinct from (former.plan_tier, former.mrr_cents)
            and (
                coalesce(former.plan_tier <> now.plan_tier, former.plan_tier is not null and now.plan_tier is null)
                or coalesce(former.mrr_cents <> now.mrr_cents, former.mrr_cents is not null and now.mrr_cents is null)
                or customer_id in (select customer_id from landing.value_ledger where customer_id is not null)
            )
        """
    )
    replace_digests(con)


def replace_digests(con: duckdb.DuckDBPyConnection) -> None:
    """Computes the digests of the ledger anew, so that a Monday is built again when a change concerns it."""
    con.execute("delete from landing.fact_digests where source = ?", [SOURCE])
    con.execute(
        f"insert into landing.fact_digests select {literal(SOURCE)}, * from ({facts_sql('landing.value_ledger')})"
    )


def facts_sql(rows: str) -> str:
    """SQL of the digests of ``rows``, a relation like the ledger: fact_date, fact_rows BIGINT, digest HUGEINT.

    What was changed and changed back within a week is no fact: nobody's Monday knows of it.
    """
    return f"""
        select known_date as fact_date, count(*) as fact_rows, sum(hash(customer_id, old, new))::HUGEINT as digest
        from (
            select
                customer_id, known_date,
                arg_min({{'tier': from_tier, 'cents': from_mrr_cents}}, entry) as old,
                arg_max({{'tier': to_tier, 'cents': to_mrr_cents}}, entry) as new
            from {rows}
            where customer_id is not null
            group by customer_id, known_date
        )
        where old is distinct from new
        group by known_date
    """
