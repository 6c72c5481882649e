"""The numbers of the policy, as the seed ``policy_parameters`` declares them.

dbt applies them. Whoever has to know one in Python asks here, by the policy that made a Monday, from the seeds that were kept of it.
"""

from __future__ import annotations

import csv
import io
from datetime import date

import duckdb

from churn_pipeline.policy.tiers import kept_seeds

_SEED = "policy_parameters"


def of_monday(con: duckdb.DuckDBPyConnection, predictions: str, monday: date) -> dict[str, float]:
    """The numbers by which a Monday was made; empty where there is no such Monday or its seeds are not kept.

    Args:
        con: the warehouse, or what is published of it.
        predictions: the table with the rows of the Monday; all rows of one are made by one policy.
        monday: the Monday.
    """
    kept = con.execute(
        f"""
        select content from {kept_seeds(con)} where seed = ? and policy_version = (
            select any_value(policy_version) from {predictions} where snapshot_date = ?
        )
        """,
        [_SEED, monday],
    ).fetchall()
    return {
        row["parameter"]: float(row["value"]) for (content,) in kept for row in csv.DictReader(io.StringIO(content))
    }
