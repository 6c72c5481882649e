"""Customer 360: all that is known of one customer on one Monday, on one page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from churn_pipeline.customers.entities import Customer
from churn_pipeline.customers.predictions import ChurnPrediction, ExpansionPrediction
from churn_pipeline.customers.values import RiskTier


@dataclass(frozen=True)
class PastWeek:
    """One earlier Monday of a customer.

    Attributes:
        probability: of the target that tiers go by.
    """

    snapshot_date: date
    probability: float
    risk_tier: RiskTier


@dataclass(frozen=True)
class Contact:
    """A contact: the day, and what kind of intervention it was, or the channel of the outreach."""

    contacted_on: date
    kind: str | None


@dataclass(frozen=True)
class LatestOpportunity:
    """The newest sales opportunity: closed_won, closed_lost or open, as far as it was a fact before the Monday."""

    created_date: date
    stage: str


@dataclass(frozen=True)
class Customer360:
    """All that is known of a customer on a Monday.

    Attributes:
        customer: identity and plan as at the Monday.
        tenure_days: from signup, or from the beginning of this life, to the Monday.
        lifecycle: onboarding, renewal or steady; None in a week of an older version.
        churn: what is predicted, why, and what to do. Its ``scored_at`` is when it was predicted (UTC), its ``scores`` by which models.
        expansion: None where no model predicts it, or on the highest plan.
        history: this Monday and up to eleven published ones before it, the newest first.
        events_last_30d: usage events in the 30 days before the Monday; None where no usage is known of anybody.
        open_tickets: support tickets open at the Monday; None where no tickets are known of anybody, or in a week of an older version.
        renewal_date: end of the running contract; None without one.
        days_to_renewal: from the Monday.
        latest_opportunity: None without one.
        last_contact: None without one.
        features: what the models saw, by name.
    """

    snapshot_date: date
    customer: Customer
    tenure_days: int
    is_early_stage: bool
    lifecycle: str | None
    churn: ChurnPrediction
    expansion: ExpansionPrediction | None
    history: tuple[PastWeek, ...]
    events_last_30d: int | None
    open_tickets: int | None
    renewal_date: date | None
    days_to_renewal: int | None
    latest_opportunity: LatestOpportunity | None
    last_contact: Contact | None
    features: dict[str, object]
