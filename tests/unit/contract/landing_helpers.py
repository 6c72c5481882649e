"""A small company in raw files, written the way an export would, and comparisons of what it lands as."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from churn_pipeline.contract import TABLES, LandingReport, land, value_ledger
from churn_pipeline.contract.lives import DERIVED

# A Wednesday; the latest Monday is 2024-06-10.
NOW = datetime(2024, 6, 12, 15, 0, tzinfo=UTC)

CUSTOMER: dict[str, Any] = {
    "customer_id": "C1",
    "industry": "Mining",
    "plan_tier": "growth",
    "signup_date": "2024-01-10",
    "mrr": "99.90",
    "churn_date": "",
}
ROWS: Mapping[str, dict[str, Any]] = {
    "customers": CUSTOMER,
    "usage_events": {
        "event_id": "E1",
        "customer_id": "C1",
        "timestamp": "2024-03-01T10:00:00",
        "event_type": "api_call",
        "feature_adoption_score": "0.25",
    },
    "support_tickets": {
        "ticket_id": "T1",
        "customer_id": "C1",
        "created_date": "2024-03-01T10:00:00",
        "priority": "high",
        "resolution_time": "1.5",
        "topic": "billing",
    },
    "gtm_opportunities": {
        "opp_id": "O1",
        "customer_id": "C1",
        "stage": "proposal",
        "close_date": "2024-09-01",
        "amount": "1200",
        "sales_owner": "Ada",
        "opportunity_type": "expansion",
        "created_date": "2024-03-01",
    },
    "risk_signals": {
        "customer_id": "C1",
        "compliance_gap_score": "0.5",
        "vendor_risk_flags": "2",
        "recorded_at": "2024-03-01T10:00:00",
    },
    "subscriptions": {
        "subscription_id": "S1",
        "customer_id": "C1",
        "plan_tier": "growth",
        "mrr": "99.90",
        "started_at": "2024-01-10",
        "ended_at": "2024-06-01",
        "end_reason": "price",
        "is_trial": "false",
        "currency": "USD",
        "billing_interval": "month",
    },
    "plan_changes": {
        "customer_id": "C1",
        "effective_date": "2024-04-01",
        "from_tier": "starter",
        "to_tier": "growth",
        "from_mrr": "50",
        "to_mrr": "99.90",
    },
    "contracts": {
        "customer_id": "C1",
        "start_date": "2024-01-10",
        "end_date": "2025-01-09",
        "auto_renew": "true",
    },
    "expansion_outreach_log": {
        "outreach_id": "X1",
        "customer_id": "C1",
        "contacted_date": "2024-05-01",
        "outreach_channel": "email",
        "outcome": "none",
        "propensity_at_outreach": "0.4",
        "correlation_id": "3f9c2ad81b07",
    },
    "interventions": {
        "intervention_id": "I1",
        "customer_id": "C1",
        "at": "2024-05-01T10:00:00",
        "kind": "call",
        "owner": "Ada",
        "outcome": "saved",
        "snooze_until": "2024-05-20",
    },
}
# What most companies have. Only customers have to be there.
USUAL = ("customers", "usage_events", "support_tickets", "gtm_opportunities", "risk_signals")


def row(table: str, **changes: Any) -> dict[str, Any]:
    """A good row of ``table`` with some values changed or added."""
    return {**ROWS[table], **changes}


def write(raw: Path, table: str, rows: Sequence[Mapping[str, Any]], name: str | None = None) -> Path:
    """Writes a CSV of ``rows``; the columns are those of any row, or of a good one where there are none."""
    path = raw / (name or f"{table}.csv")
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = list(dict.fromkeys(column for values in (*rows, *([] if rows else [ROWS[table]])) for column in values))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(text.getvalue(), encoding="utf-8")
    return path


def company(raw: Path, **tables: Sequence[Mapping[str, Any]]) -> Path:
    """A raw directory: the tables given, and one good customer unless given. Every further table costs the landing its statements."""
    for name in dict.fromkeys(("customers", *tables)):
        write(raw, name, tables.get(name, [CUSTOMER] if name == "customers" else []))
    return raw


def put(con: duckdb.DuckDBPyConnection, raw: Path, **changes: Any) -> LandingReport:
    options: dict[str, Any] = {
        "now": NOW,
        "timezone": "UTC",
        "run_id": "run",
        "max_bad_share": 1.0,
        "max_bad_rows": 0,
        "columns": None,
    }
    return land(con, raw, **(options | changes))


def landed(con: duckdb.DuckDBPyConnection, table: str, columns: str = "*") -> list[tuple[Any, ...]]:
    return con.execute(f"select {columns} from landing.{table} order by all").fetchall()


def quarantined(
    con: duckdb.DuckDBPyConnection, columns: str = "source, row_key, kind, column_name, value, rule"
) -> list[tuple[Any, ...]]:
    return landed(con, "quarantine", columns)


def everything(con: duckdb.DuckDBPyConnection) -> dict[str, list[tuple[Any, ...]]]:
    """All that depends on the data alone, not on which call brought it: rows, problems, digests.

    What landings saw change of plans and prices depends on the landings by its nature, and is left out.
    """
    state = {name: landed(con, name) for name in (*TABLES, *DERIVED, "fact_digests", "undated_ledger")}
    state["quarantine"] = quarantined(con)
    state["fact_digests"] = [digest for digest in state["fact_digests"] if digest[0] != value_ledger.SOURCE]
    return state
