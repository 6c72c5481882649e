"""Customers of a Monday in a list: what a line says, and which of them are wanted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from churn_pipeline.core.errors import InputError
from churn_pipeline.core.formatting import folded


@dataclass(frozen=True)
class ListRow:
    """One customer in a list. Lists are ordered by ``priority_rank``, which is unique within a Monday, and go on after one.

    Attributes:
        probability: of the target that tiers, ranking and reasons go by.
        reason: the sentence that stands beside the instruction; None where nothing raises the risk.
        propensity: None where no model predicts it, or on the highest plan.
    """

    priority_rank: int
    customer_id: str
    company_name: str | None
    csm_owner: str | None
    plan_tier: str | None
    industry: str | None
    mrr: float | None
    annual_revenue: float | None
    revenue_at_risk: float | None
    probability: float
    probability_change: float | None
    risk_tier: str
    previous_risk_tier: str | None
    lifecycle: str | None
    days_to_renewal: int | None
    is_on_call_list: bool
    call_rank: int | None
    call_reason: str | None
    propensity: float | None
    expansion_readiness: str | None
    is_expansion_candidate: bool
    expansion_rank: int | None
    play: str
    recommended_action: str
    reason: str | None


@dataclass(frozen=True)
class Filters:
    """Which customers are wanted; what is None is not asked.

    Attributes:
        owner: customer success manager: the name, or how it begins, without regard to accents and case.
        tier: risk tier, likewise.
        on_list: True: on the call list; False: not on it.
        candidates: True: candidates for expansion whom anybody may approach; False: all others.
    """

    owner: str | None = None
    tier: str | None = None
    on_list: bool | None = None
    candidates: bool | None = None


EVERYBODY = Filters()


def chosen(wanted: str, names: Sequence[str], nobody: str, kind: str) -> str:
    """The name that is meant: the same letters, else the same without regard to accents and case, else the only one that begins so.

    Args:
        wanted: what somebody typed.
        names: those there are.
        nobody: what is said where none is meant, before the names.
        kind: what the names are, in the plural.

    Raises:
        InputError: none is, or several are; the message names those there are.
    """
    if wanted in names:
        return wanted
    start = folded(wanted)
    alike = [name for name in names if folded(name) == start] or [
        name for name in names if folded(name).startswith(start)
    ]
    if not start or not alike:
        raise InputError(f"{nobody}; {kind} are {', '.join(names) or 'not given'}")
    if len(alike) > 1:
        raise InputError(f"'{wanted}' may be any of these {kind}: {', '.join(alike)}")
    return alike[0]


def owner_meant(wanted: str, owners: Sequence[str], snapshot_date: date) -> str:
    """The customer success manager that is meant, of those of a Monday; the rules and errors of `chosen`."""
    return chosen(wanted, owners, f"no customer of {snapshot_date} belongs to '{wanted}'", "owners")


def tier_meant(wanted: str, tiers: Sequence[str], snapshot_date: date) -> str:
    """The risk tier that is meant, of those of a Monday; the rules and errors of `chosen`."""
    return chosen(wanted, tiers, f"no risk tier of {snapshot_date} is called '{wanted}'", "tiers")
