"""Reading the predictions for people: tiers, the call list, one customer."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import duckdb


def tier_counts(con: duckdb.DuckDBPyConnection, mondays: Sequence[date]) -> list[tuple[Any, ...]]:
    """Customers by risk tier and revenue at risk, one row a Monday: Monday, CRITICAL, HIGH, MEDIUM, LOW, USD."""
    return con.execute(
        """
        select snapshot_date,
               count(*) filter (where risk_tier = 'CRITICAL'), count(*) filter (where risk_tier = 'HIGH'),
               count(*) filter (where risk_tier = 'MEDIUM'), count(*) filter (where risk_tier = 'LOW'),
               coalesce(round(sum(revenue_at_risk)), 0)::bigint
        from policy.predictions where snapshot_date in (select unnest(?::date[])) group by 1 order by 1
        """,
        [list(mondays)],
    ).fetchall()
