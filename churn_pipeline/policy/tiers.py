"""The risk tiers, as the seed ``risk_tiers`` declares them: their names, their order, and which are urgent.

A past Monday was made by the policy of its time, so tiers are read by policy version, from the seeds that were kept of it. Whoever counts,
sorts or colours customers by tier asks here, and knows no name.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import date
from pathlib import Path

import duckdb

from churn_pipeline.core.errors import ChurnError
from churn_pipeline.core.warehouse import has_table

_SEED = "risk_tiers"
# Seeds that were kept before there was the column `is_urgent`: the tiers from this severity on were called first.
_URGENT_FROM_BEFORE_IT_WAS_A_COLUMN = 3


@dataclass(frozen=True)
class RiskTier:
    """One tier of one policy.

    Attributes:
        risk_tier: its name.
        severity: 1 is the least grave.
        lower_bound: smallest 90-day probability that belongs to it.
        is_urgent: its customers are called first, can be held out, and count as saves.
    """

    risk_tier: str
    severity: int
    lower_bound: float
    is_urgent: bool


type Tiers = tuple[RiskTier, ...]


def declared(dbt_project: Path) -> Tiers:
    """The tiers as the file of the seed has them now, the gravest first. No past Monday need agree with it."""
    return _read((dbt_project / "seeds" / f"{_SEED}.csv").read_text(encoding="utf-8"))


def of_policies(con: duckdb.DuckDBPyConnection, versions: Iterable[str]) -> dict[str, Tiers]:
    """The tiers of some versions of the policy, the gravest first.

    Args:
        con: the warehouse, or what is published of it.
        versions: as rows name them in ``policy_version``.

    Raises:
        ChurnError: the seeds of one of them are not kept.
    """
    wanted = sorted(set(versions))
    contents = dict(
        con.execute(
            f"select policy_version, content from {kept_seeds(con)} where seed = ? and policy_version in (select unnest(?::varchar[]))",
            [_SEED, wanted],
        ).fetchall()
    )
    if missing := [version for version in wanted if version not in contents]:
        raise ChurnError(f"the seeds of policy {', '.join(missing)} are not kept, so its risk tiers are not known")
    return {version: _read(contents[version]) for version in wanted}


def of_mondays(con: duckdb.DuckDBPyConnection, predictions: str, mondays: Iterable[date]) -> dict[date, Tiers]:
    """The tiers by which some Mondays were made, for those of them that are there.

    Args:
        con: the warehouse, or what is published of it.
        predictions: the table with the rows of the Mondays; all rows of one are made by one policy.
        mondays: any Mondays.

    Raises:
        ChurnError: the seeds of one of their policies are not kept.
    """
    versions = dict(
        con.execute(
            f"select snapshot_date, any_value(policy_version) from {predictions} "
            "where snapshot_date in (select unnest(?::date[])) group by 1 order by 1",
            [list(mondays)],
        ).fetchall()
    )
    policies = of_policies(con, versions.values()) if versions else {}
    return {day: policies[version] for day, version in versions.items()}


def of_candidates(con: duckdb.DuckDBPyConnection) -> Tiers:
    """The tiers by which the candidates that lie in the warehouse were made, the gravest first.

    Args:
        con: the warehouse, after dbt made candidates.
    """
    (version,) = con.execute("select any_value(policy_version) from control.policy_in_force").fetchall()[0]
    return of_policies(con, [version])[version]


def merged(policies: Iterable[Tiers]) -> Tiers:
    """The tiers of several policies in one order, the gravest first, each name once; where two policies know a name, as the first has it.

    Severities of two policies are counted in different tiers, so where a tier begins is what compares them.
    """
    tiers: dict[str, RiskTier] = {}
    for policy in policies:
        for tier in policy:
            tiers.setdefault(tier.risk_tier, tier)
    # Sorting keeps the order of those that begin alike: the first policy's before the second's.
    return tuple(sorted(tiers.values(), key=lambda tier: -tier.lower_bound))


def urgent(tiers: Iterable[RiskTier]) -> list[str]:
    """Names of the urgent ones, in the given order."""
    return [tier.risk_tier for tier in tiers if tier.is_urgent]


def in_words(names: Sequence[str]) -> str:
    """``A or B``; with three, ``A, B or C``."""
    return " or ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def write_table(con: duckdb.DuckDBPyConnection) -> None:
    """Makes ``policy.risk_tiers`` anew: a row per kept policy and tier, for whoever joins on ``policy_version`` and ``risk_tier``.

    Args:
        con: the warehouse.
    """
    kept = con.execute(f"select policy_version, content from {kept_seeds(con)} where seed = ?", [_SEED]).fetchall()
    rows = [(version, *astuple(tier)) for version, content in kept for tier in _read(content)]
    con.execute("create schema if not exists policy")
    con.execute(
        "create or replace table policy.risk_tiers "
        "(policy_version varchar, risk_tier varchar, severity integer, lower_bound double, is_urgent boolean)"
    )
    if rows:
        con.executemany("insert into policy.risk_tiers values (?, ?, ?, ?, ?)", rows)


def kept_seeds(con: duckdb.DuckDBPyConnection) -> str:
    """The table of kept seeds: in the warehouse it lies in the ledger, published it has no schema of its own."""
    return "ledger.policy_seeds" if has_table(con, "ledger", "policy_seeds") else "policy_seeds"


def _read(content: str) -> Tiers:
    tiers = [_tier(row) for row in csv.DictReader(io.StringIO(content))]
    return tuple(sorted(tiers, key=lambda tier: -tier.severity))


def _tier(row: Mapping[str, str]) -> RiskTier:
    severity = int(row["severity"])
    is_urgent = (
        row["is_urgent"].lower() in ("true", "t", "1")
        if "is_urgent" in row
        else severity >= _URGENT_FROM_BEFORE_IT_WAS_A_COLUMN
    )
    return RiskTier(row["risk_tier"], severity, float(row["lower_bound"]), is_urgent)
