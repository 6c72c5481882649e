"""The figures of a Monday for everybody and for each owner's customers: the headline, the tiers, the renewals of the next weeks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

from churn_pipeline.core.calendar import WEEK
from churn_pipeline.delivery.report.since import EVERYBODY, Group

if TYPE_CHECKING:
    import pyarrow as pa

# So far ahead a renewal is looked at.
RENEWAL_DAYS = 90


@dataclass
class Count:
    """Customers and money, USD a year."""

    customers: int = 0
    revenue: float = 0.0

    def add(self, revenue: float | None) -> None:
        self.customers += 1
        self.revenue += revenue or 0.0


@dataclass
class Renewals:
    """What renews in one week.

    Attributes:
        due: customers and their annual revenue.
        at_risk: of that revenue.
        called: customers of them on the call list.
    """

    due: Count = field(default_factory=Count)
    at_risk: float = 0.0
    called: int = 0


@dataclass
class Figures:
    """Of some customers on a Monday.

    Attributes:
        tiers: customers and revenue at risk by risk tier.
        called: on the call list; ``written`` those who are urgent and written to.
        candidates: for an offer, whom one may approach, with their expected uplift; ``ready`` of them those who are ready now.
        renewals: by week from S on; empty where no customer has a contract.
    """

    tiers: dict[str, Count] = field(default_factory=lambda: defaultdict(Count))
    called: Count = field(default_factory=Count)
    written: Count = field(default_factory=Count)
    candidates: Count = field(default_factory=Count)
    ready: int = 0
    renewals: list[Renewals] = field(default_factory=list)

    @property
    def customers(self) -> int:
        return sum(count.customers for count in self.tiers.values())

    @property
    def revenue_at_risk(self) -> float:
        return sum(count.revenue for count in self.tiers.values())


def renewal_weeks(monday: date) -> list[date]:
    """The Mondays of the weeks in which the next `RENEWAL_DAYS` lie."""
    return [monday + number * WEEK for number in range(-(-RENEWAL_DAYS // 7))]


def by_owner(customers: pa.Table, monday: date) -> Mapping[Group, Figures]:
    """Figures by owner, and of `EVERYBODY`.

    Args:
        customers: one row per customer, see `WeekReport`.
        monday: S.
    """
    names = (
        "csm_owner", "risk_tier", "revenue_at_risk", "annual_revenue", "is_called", "is_written_to", "is_expansion_candidate",
        "may_be_approached", "expected_arr_uplift", "expansion_readiness", "days_to_renewal",
    )  # fmt: skip
    rows = customers.select(["customer_id", *names]).sort_by("customer_id").to_pylist()
    has_contracts = any(row["days_to_renewal"] is not None for row in rows)
    weeks = len(renewal_weeks(monday)) if has_contracts else 0
    figures: dict[Group, Figures] = {}

    def of(owner: Group) -> Figures:
        if owner not in figures:
            figures[owner] = Figures(renewals=[Renewals() for _ in range(weeks)])
        return figures[owner]

    of(EVERYBODY)
    for row in rows:
        for group in (of(EVERYBODY), of(row["csm_owner"])):
            _add(group, row)
    return figures


def _add(figures: Figures, row: Mapping[str, Any]) -> None:
    at_risk = row["revenue_at_risk"]
    figures.tiers[row["risk_tier"]].add(at_risk)
    if row["is_called"]:
        figures.called.add(at_risk)
    if row["is_written_to"]:
        figures.written.add(at_risk)
    if row["is_expansion_candidate"] and row["may_be_approached"]:
        figures.candidates.add(row["expected_arr_uplift"])
        figures.ready += row["expansion_readiness"] == "ready"
    days: int | None = row["days_to_renewal"]
    if days is not None and 0 <= days < RENEWAL_DAYS:
        week = figures.renewals[days // 7]
        week.due.add(row["annual_revenue"])
        week.at_risk += at_risk or 0.0
        week.called += row["is_called"]


def owners_of(figures: Mapping[Group, Figures]) -> Sequence[str | None]:
    """The owners by name, and None last where some customer has nobody."""
    owners = [owner for owner in figures if owner is None or isinstance(owner, str)]
    return sorted(owners, key=lambda owner: (owner is None, owner or ""))
