"""Lives and the history of plans as landing makes them of customers who have one row each, for tests that write such rows by hand."""

from __future__ import annotations

import duckdb


def show_lives(con: duckdb.DuckDBPyConnection) -> None:
    """Makes ``landing.lives`` a view of ``landing.customers``, so that what a test writes there is seen at once.

    Args:
        con: with ``landing.customers`` (customer_id, churn_date, censor_date, and upgrade_date where there is one).
    """
    columns = {name for name, *_ in con.execute("describe landing.customers").fetchall()}
    upgrade = "upgrade_date" if "upgrade_date" in columns else "null::date"
    industry, tier, mrr = (
        name if name in columns else f"null::{kind} as {name}"
        for name, kind in (("industry", "varchar"), ("plan_tier", "varchar"), ("mrr_cents", "bigint"))
    )
    con.execute(
        f"""
        create view landing.lives as
        select
            customer_id, 1 as life, date '1970-01-01' as active_from, least(churn_date, censor_date) as active_until,
            least(churn_date, censor_date) as ended_on,
            case
                when churn_date <= coalesce(censor_date, churn_date) then 'churn'
                when censor_date is not null then 'left'
            end as end_kind,
            null::date as resumed_on, {upgrade} as upgrade_date, date '1970-01-01' as started_on, {industry}, {tier}, {mrr}
        from landing.customers
        """
    )


def show_plan_history(con: duckdb.DuckDBPyConnection) -> None:
    """Makes ``landing.plan_history`` a view of ``landing.plan_changes``."""
    columns = {name for name, *_ in con.execute("describe landing.plan_changes").fetchall()}
    prices = "coalesce(from_mrr_cents, to_mrr_cents) is not null" if "to_mrr_cents" in columns else "false"
    con.execute(
        "create view landing.plan_history as "
        f"select *, false as is_first, true as shows_tiers, {prices} as shows_prices from landing.plan_changes"
    )
