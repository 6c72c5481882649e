"""What is told: plain values, without a word about how Slack shows them.

Text may come from anybody (company names, reasons, error lines); it is cleaned where it is put into a message, not here.
Money is USD a year unless a name says otherwise, probabilities are 0..1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal

from churn_pipeline.core.notices import Notice

AlertKind = Literal["run_failed", "data_refused", "model_refused", "drift", "deadline"]
ALERT_KINDS: tuple[AlertKind, ...] = ("run_failed", "data_refused", "model_refused", "drift", "deadline")
DIGEST = "digest"


@dataclass(frozen=True)
class CustomerLine:
    """One customer of the call list.

    Attributes:
        call_rank: their place on it, 1 first; None for somebody who is not called.
        call_reason: why they are called, in words; None likewise.
        risk_probability: of the target that the list is ranked by.
        mrr: USD a month; None when unknown, and then `revenue_at_risk` is too.
        probability_change: against the row of the Monday before; None for a customer who was not in it.
        reasons: what raises the probability, a sentence for each theme, strongest first.
        recommended_action: what to do, in whole sentences.
    """

    call_rank: int | None
    call_reason: str | None
    customer_id: str
    company_name: str | None
    plan_tier: str | None
    mrr: float | None
    revenue_at_risk: float | None
    risk_probability: float
    probability_change: float | None
    risk_tier: str
    previous_risk_tier: str | None
    reasons: tuple[str, ...]
    recommended_action: str
    csm_owner: str | None


@dataclass(frozen=True)
class MoverLine:
    """One customer whose revenue at risk changed much since the Monday before.

    Attributes:
        change: of it, USD a year.
        part: what the largest part of the change is, in words; `part_change` how much it is.
    """

    customer_id: str
    company_name: str | None
    change: float
    revenue_at_risk: float
    part: str
    part_change: float


@dataclass(frozen=True)
class WeekMoney:
    """Revenue at risk on one Monday, by the name of the tier."""

    snapshot_date: date
    at_risk: Mapping[str, float]


@dataclass(frozen=True)
class TierCount:
    """Customers and money in one risk tier; the changes are None when there is no earlier week to compare with."""

    risk_tier: str
    customers: int
    revenue_at_risk: float
    customers_change: int | None
    revenue_change: float | None


@dataclass(frozen=True)
class ExpansionLine:
    """One customer who is ready to grow. `expected_arr_uplift` already counts the propensity in."""

    customer_id: str
    company_name: str | None
    plan_tier: str | None
    target_tier: str | None
    propensity: float
    expected_arr_uplift: float
    csm_owner: str | None
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class ModelHealth:
    """How good a model was on weeks it had not seen.

    Attributes:
        labels_closed_by: the Monday up to which it learned.
        kind: what it is (:mod:`churn_pipeline.core.model_kinds`); None for a Monday before kinds were kept.
        ece: expected calibration error, 0..1.
        precision_top_200: share of the 200 customers it ranked first that did leave (or grow).
    """

    target: str
    version: str
    labels_closed_by: date
    auc: float | None
    ece: float | None
    precision_top_200: float | None
    kind: str | None = None


@dataclass(frozen=True)
class OwnerList:
    """The customers of one customer success manager; `owner` None gathers those who have nobody.

    Attributes:
        customers: all of them, of which `urgent` are in an urgent tier.
        calls: the first of them who are on the call list.
        called: how many of them are on it.
    """

    owner: str | None
    customers: int
    urgent: int
    revenue_at_risk: float
    calls: tuple[CustomerLine, ...]
    called: int = 0


@dataclass(frozen=True)
class Link:
    """Where to look next: an address that a browser opens, or a command."""

    label: str
    target: str


@dataclass(frozen=True)
class BriefsReady:
    """Expansion briefs that were prepared for a Monday. It names nobody: who is on the page may be forgotten, and a message stays.

    Attributes:
        asked_for: for how many of the first candidates they were to be.
        candidates: how many of those have any.
        briefs: how many there are, of which `flagged` are to be read with care and `rejected` are not shown.
        watermark: what every one of them says of itself.
        page: the address of their page; None where nobody said how the reports are reached.
        file: where it lies below HOME.
    """

    snapshot_date: date
    asked_for: int
    candidates: int
    briefs: int
    flagged: int
    rejected: int
    watermark: str
    page: str | None
    file: str


@dataclass(frozen=True)
class Digest:
    """A published Monday, as much of it as belongs into one message.

    Attributes:
        compared_with: the Monday before, where it is published.
        tiers: the gravest first. One that only the policy of `compared_with` knows is among them, without customers.
        top_tier: name of the gravest tier of this Monday's policy.
        former_top_tier: the same of the policy of `compared_with`.
        urgent_tiers: names of its urgent tiers, the gravest first.
        calls: the first customers of the call list.
        on_call_list: how many it has.
        written_to: customers in an urgent tier whom nobody calls and somebody writes to.
        movers: whose revenue at risk changed most since `compared_with`, the largest change first.
        into_top: the first of the `into_top_count` that moved into the gravest tier since `compared_with`.
        left_top: customers who were in the gravest tier and are in a lower one now.
        gone_top: customers who were in it and are no longer active.
        model_changed: some customer is scored by another model than on `compared_with`.
        policy_changed: the cut-offs, weights or texts differ from those of `compared_with`.
        notes: what monitoring has to add, one short sentence each.
        notices: what was found out about data and models on the way to the list, the most important first.
        weeks: revenue at risk of this Monday and those before it, oldest first.
        report: address of the Monday's page, where there is one.
        has_money: what some customer pays is known; without it nothing is said in dollars.
    """

    snapshot_date: date
    compared_with: date | None
    tiers: tuple[TierCount, ...]
    top_tier: str
    former_top_tier: str
    urgent_tiers: tuple[str, ...]
    calls: tuple[CustomerLine, ...]
    into_top: tuple[CustomerLine, ...]
    into_top_count: int
    left_top: int
    gone_top: int
    expansion: tuple[ExpansionLine, ...]
    expansion_candidates: int
    expansion_ready: int
    expansion_uplift: float
    health: tuple[ModelHealth, ...]
    model_changed: bool
    policy_changed: bool
    owners: tuple[OwnerList, ...]
    notes: tuple[str, ...] = ()
    links: tuple[Link, ...] = ()
    notices: tuple[Notice, ...] = ()
    on_call_list: int = 0
    written_to: int = 0
    movers: tuple[MoverLine, ...] = ()
    weeks: tuple[WeekMoney, ...] = ()
    report: str | None = None
    has_money: bool = True

    @property
    def urgent(self) -> tuple[TierCount, ...]:
        return tuple(tier for tier in self.tiers if tier.risk_tier in self.urgent_tiers)

    @property
    def customers(self) -> int:
        return sum(tier.customers for tier in self.tiers)

    @property
    def revenue_at_risk(self) -> float:
        return sum(tier.revenue_at_risk for tier in self.tiers)


@dataclass(frozen=True)
class Alert:
    """Something that a person has to know about now.

    Attributes:
        kind: which channel it goes to and what it asks to be done.
        snapshot_date: the Monday it is about.
        subject: what is affected: an asset, a source file, a target.
        what: the first line of the error, or what was found.
        at: when it happened, aware.
        details: more of it, one line each, such as the features that drifted.
        run_id: of the run, if there is one.
        links: where to look.
    """

    kind: AlertKind
    snapshot_date: date
    subject: str
    what: str
    at: datetime
    details: tuple[str, ...] = ()
    run_id: str | None = None
    links: tuple[Link, ...] = field(default=())

    @property
    def cause(self) -> str:
        """What makes two alerts the same one: retries of a run differ in time, run_id and wording, and still have one cause."""
        return f"{self.kind}/{self.snapshot_date}/{self.subject}"
