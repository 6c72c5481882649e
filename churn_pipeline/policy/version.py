"""The version of the policy: a hash of the seeds that decide about tiers, plays and dollars.

Every prediction carries it, and the seeds are kept by it, so that the tier of a past Monday can be worked out again with the
numbers of that Monday.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path

import duckdb

SEEDS = ("plan_ladder", "playbook", "policy_parameters", "risk_tiers")


def policy_version(dbt_project: Path) -> str:
    """Hash over names and contents of the policy seeds; line endings do not count."""
    digest = hashlib.sha256()
    for name in SEEDS:
        digest.update(name.encode())
        digest.update(hashlib.sha256(_content(dbt_project, name).encode()).digest())
    return digest.hexdigest()[:12]


def keep_seeds(con: duckdb.DuckDBPyConnection, dbt_project: Path, now: datetime) -> str:
    """Stores the seeds under their version, once, and returns the version."""
    version = policy_version(dbt_project)
    con.execute("create schema if not exists ledger")
    con.execute(
        """
        create table if not exists ledger.policy_seeds (
            policy_version varchar, seed varchar, content varchar, first_used timestamp
        )
        """
    )
    known = con.execute("select count(*) from ledger.policy_seeds where policy_version = ?", [version]).fetchone()
    if known == (0,):
        con.executemany(
            "insert into ledger.policy_seeds values (?, ?, ?, ?)",
            [(version, name, _content(dbt_project, name), now) for name in SEEDS],
        )
    return version


def _content(dbt_project: Path, name: str) -> str:
    return "\n".join((dbt_project / "seeds" / f"{name}.csv").read_text(encoding="utf-8").splitlines()) + "\n"
