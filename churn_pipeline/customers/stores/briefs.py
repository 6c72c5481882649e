"""What briefs need from the published database besides the profile: the policy of the Monday, and who may be approached."""

from __future__ import annotations

from datetime import date

import duckdb

from churn_pipeline.core.errors import RefusedError
from churn_pipeline.customers.briefs.service import BriefPolicy
from churn_pipeline.delivery.call_list import may_be_approached
from churn_pipeline.policy import parameters, tiers


def policy_of(con: duckdb.DuckDBPyConnection, snapshot_date: date) -> BriefPolicy:
    """What of the policy by which a Monday was made decides about briefs.

    Args:
        con: the published database.
        snapshot_date: the Monday.

    Raises:
        RefusedError: it is not published, or its policy is not kept.
    """
    numbers = parameters.of_monday(con, "predictions", snapshot_date)
    names = tiers.of_mondays(con, "predictions", [snapshot_date]).get(snapshot_date)
    if not numbers or names is None:
        raise RefusedError(f"{snapshot_date} is not published, or its policy is not kept, so there are no briefs of it")
    return BriefPolicy(
        not_ready=numbers["readiness_not_ready"],
        ready=numbers["readiness_ready"],
        urgency=numbers["play_expansion_threshold"],
        tiers=tuple(tier.risk_tier for tier in names),
    )


def is_approachable(con: duckdb.DuckDBPyConnection, snapshot_date: date, customer_id: str) -> bool:
    """Whether anybody may approach a customer, by the rule of the lists of candidates.

    Args:
        con: the published database.
        snapshot_date: the Monday.
        customer_id: the customer; who is not in the table may not be approached.
    """
    rows = con.execute(
        f"select {may_be_approached()} from predictions where snapshot_date = ? and customer_id = ?",
        [snapshot_date, customer_id],
    ).fetchall()
    return bool(rows and rows[0][0])
