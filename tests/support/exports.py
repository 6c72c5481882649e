"""A simulated company as a billing system, a CRM and a help desk would export it: their column names, their words, their formats.

The product exports are those that docs/your-data.md walks through: customers and subscriptions from Stripe, companies and deals from
HubSpot, tickets from Zendesk. HubSpot and Zendesk carry Stripe's customer id in a property of their own, as companies keep it that link
their systems.
"""

from __future__ import annotations

from pathlib import Path

import duckdb

# Words of the exports for the contract's.
_PRICES = {
    "free": "price_free",
    "starter": "price_basic",
    "growth": "price_pro",
    "enterprise": "price_enterprise",
    "custom": "price_custom",
}
_PRIORITIES = {"low": "Low", "medium": "Normal", "high": "High", "critical": "Urgent"}
_STAGES = {
    "prospecting": "Appointment scheduled",
    "qualification": "Qualified to buy",
    "proposal": "Contract sent",
    "closed_won": "Closed won",
    "closed_lost": "Closed lost",
}


def _mapped(column: str, words: dict[str, str]) -> str:
    return (
        "case " + column + " " + " ".join(f"when '{ours}' then '{theirs}'" for ours, theirs in words.items()) + " end"
    )


def export(raw: Path, folder: Path) -> None:
    """Writes the five exports of a company's raw tables.

    Args:
        raw: Parquet files by the contract; a company without dirt.
        folder: made where it is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    exports = {
        "stripe_customers": f"""
            select 'cus_' || customer_id as id, null as "Description", lower(customer_id) || '@example.com' as "Email",
                company_name as "Name", strftime(signup_date, '%Y-%m-%d 09:00') as "Created (UTC)",
                {_mapped("plan_tier", _PRICES)} as "Plan", 'usd' as "Currency"
            from '{raw}/customers.parquet' order by customer_id
        """,
        # One row per price: a change of plan ends a row and begins the next.
        "stripe_subscriptions": f"""
            with changes as (
                select customer_id, effective_date, to_tier, to_mrr, from_tier, from_mrr,
                    row_number() over (partition by customer_id order by effective_date) as position
                from '{raw}/plan_changes.parquet'
            ),
            rows as (
                select customer.customer_id, customer.signup_date as started_at,
                    coalesce(change.from_tier, customer.plan_tier) as tier, coalesce(change.from_mrr, customer.mrr) as mrr
                from '{raw}/customers.parquet' as customer
                left join changes as change on change.customer_id = customer.customer_id and change.position = 1
                union all
                select customer_id, effective_date, to_tier, to_mrr from changes
            ),
            spans as (
                select rows.*, coalesce(
                    lead(rows.started_at) over (partition by customer_id order by rows.started_at),
                    customer.churn_date, customer.censor_date
                ) as ended_at
                from rows inner join '{raw}/customers.parquet' as customer using (customer_id)
            )
            select 'sub_' || customer_id || '_' || row_number() over (partition by customer_id order by started_at) as id,
                'cus_' || customer_id as "Customer ID", {_mapped("tier", _PRICES)} as "Plan", 1 as "Quantity", 'usd' as "Currency",
                'month' as "Interval", printf('%.2f', mrr) as "Amount", if(ended_at is null, 'active', 'canceled') as "Status",
                strftime(started_at, '%Y-%m-%d 09:00') as "Created (UTC)", strftime(started_at, '%Y-%m-%d 09:00') as "Start Date (UTC)",
                strftime(ended_at, '%Y-%m-%d 09:00') as "Ended At (UTC)"
            from spans order by 1
        """,
        "hubspot_companies": f"""
            select 9000 + row_number() over (order by customer_id) as "Record ID", company_name as "Company name",
                csm_owner as "Company owner", strftime(signup_date - 20, '%Y-%m-%d 10:30') as "Create Date",
                industry as "Industry", seats as "Number of Employees", 'Customer' as "Lifecycle Stage",
                'cus_' || customer_id as "Stripe Customer ID"
            from '{raw}/customers.parquet' order by 1
        """,
        "hubspot_deals": f"""
            select row_number() over (order by opp_id) + 7000 as "Record ID", 'Deal of ' || customer_id as "Deal Name",
                {_mapped("stage", _STAGES)} || ' (Sales Pipeline)' as "Deal Stage",
                strftime(close_date, '%Y-%m-%d 10:00') as "Close Date", sales_owner as "Deal owner",
                printf('%.2f', amount) as "Amount",
                if(opportunity_type = 'expansion', 'Existing Business', 'New Business') as "Deal Type",
                strftime(created_date, '%Y-%m-%d 08:00') as "Create Date", 'cus_' || customer_id as "Stripe Customer ID"
            from '{raw}/gtm_opportunities.parquet' order by 1
        """,
        "zendesk_tickets": f"""
            select row_number() over (order by ticket_id) + 500 as "Id", 'cus_' || customer_id as "Requester external id",
                topic as "Subject", if(resolution_time is null, 'Open', 'Closed') as "Status",
                {_mapped("priority", _PRIORITIES)} as "Priority", strftime(created_date, '%Y-%m-%d %H:%M:%S') as "Created at",
                round(resolution_time * 60)::BIGINT as "Full resolution time in minutes"
            from '{raw}/support_tickets.parquet' order by 1
        """,
    }
    _write(exports, folder)


def _write(exports: dict[str, str], folder: Path) -> None:
    with duckdb.connect() as con:
        for name, query in exports.items():
            con.execute(f"copy ({query}) to '{folder}/{name}.csv' (header true)")
