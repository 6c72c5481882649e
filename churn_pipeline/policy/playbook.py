"""The playbook and the reasons for a call, as their seeds declare them. dbt applies them; Python only knows their names."""

from __future__ import annotations

import csv
import io
from datetime import date
from pathlib import Path

import duckdb


def plays(dbt_project: Path) -> list[str]:
    """The names of the plays as the file of the seed has them now, each once, in the order of the playbook."""
    with (dbt_project / "seeds" / "playbook.csv").open(encoding="utf-8", newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: int(row["position"]))
    return list(dict.fromkeys(row["play"] for row in rows))


def call_reasons(published: duckdb.DuckDBPyConnection, monday: date) -> dict[str, str]:
    """What each ``call_reason`` of a Monday is called, by the policy that made it.

    Args:
        published: the published database.
        monday: which Monday; one before there were call lists has none.
    """
    kept = published.execute(
        "select content from policy_seeds where seed = 'call_reasons' "
        "and policy_version = (select any_value(policy_version) from predictions where snapshot_date = ?)",
        [monday],
    ).fetchall()
    return {row["call_reason"]: row["label"] for (content,) in kept for row in csv.DictReader(io.StringIO(content))}
