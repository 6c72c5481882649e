"""A customer, what they do in the product, and what sales talks to them about."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from churn_pipeline.core.errors import InputError
from churn_pipeline.customers.values import (
    ChurnProbability,
    EventType,
    FeatureAdoptionScore,
    Industry,
    Mrr,
    PlanTier,
    SalesStage,
)

# A customer's first 90 days, as the feature is_early_stage has it.
EARLY_STAGE = timedelta(days=90)
MONTHS_A_YEAR = 12


@dataclass(frozen=True)
class Customer:
    """A customer, as known at some moment.

    Attributes:
        customer_id: as in the raw data.
        signup_date: first day as a customer.
        plan_tier: None where it is not known.
        industry: None where it is not known.
        mrr: USD a month; None where it is not known.
        churn_date: the day they left; None while they stay. Not before signup_date.
        company_name: personal data; None where the source has none.
        csm_owner: customer success manager.

    Raises:
        InputError: the id is empty, or churn_date lies before signup_date.
    """

    customer_id: str
    signup_date: date
    plan_tier: PlanTier | None = None
    industry: Industry | None = None
    mrr: Mrr | None = None
    churn_date: date | None = None
    company_name: str | None = None
    csm_owner: str | None = None

    def __post_init__(self) -> None:
        if not self.customer_id:
            raise InputError("a customer_id is a text that is not empty, not ''")
        if self.churn_date is not None and self.churn_date < self.signup_date:
            raise InputError(
                f"a customer leaves on or after the day they signed up, {self.signup_date}, not on {self.churn_date}"
            )

    @property
    def has_churned(self) -> bool:
        return self.churn_date is not None

    def tenure_days(self, as_of: date) -> int:
        """Days from signup to churn, or to ``as_of`` where that is earlier or nobody left.

        Raises:
            InputError: ``as_of`` lies before signup.
        """
        if as_of < self.signup_date:
            raise InputError(f"tenure is counted from signup, {self.signup_date}, and not at {as_of}")
        return (min(self.churn_date or as_of, as_of) - self.signup_date).days

    def is_early_stage(self, as_of: date) -> bool:
        """Whether they are in their first 90 days."""
        return self.tenure_days(as_of) < EARLY_STAGE.days

    def annual_revenue_at_risk(self, probability: ChurnProbability) -> float | None:
        """12 x mrr x probability, USD; None where mrr is not known."""
        return None if self.mrr is None else MONTHS_A_YEAR * self.mrr * probability

    def churned(self, on: date) -> Customer:
        """The same customer, who left on that day.

        Raises:
            InputError: they left already, or it lies before signup.
        """
        if self.churn_date is not None:
            raise InputError(f"a churn is recorded once: '{self.customer_id}' left on {self.churn_date}")
        return replace(self, churn_date=on)


@dataclass(frozen=True)
class UsageEvent:
    """Something a customer did in the product.

    Attributes:
        timestamp: UTC.
        feature_adoption_score: None where the product measured none.
    """

    event_id: str
    customer_id: str
    timestamp: datetime
    event_type: EventType
    feature_adoption_score: FeatureAdoptionScore | None = None


@dataclass(frozen=True)
class Opportunity:
    """What sales talks to a customer about.

    Attributes:
        stage: as far as it was a fact at the moment it was asked for: a closed stage only after its closing day.
        amount: USD a year; None where it is not known.
        created_date: None where the source has none; it is displayed and never a feature then.
        close_date: actual of a closed one, expected of an open one.
    """

    opp_id: str
    customer_id: str
    stage: SalesStage | None
    amount: float | None = None
    created_date: date | None = None
    close_date: date | None = None


@dataclass(frozen=True)
class RiskSignals:
    """The parts of a risk score that come from outside the product.

    Attributes:
        compliance_gap_score: 0 to 1; 0 where nothing is known.
        vendor_risk_flags: count; 0 where nothing is known.
        missing: names of the parts of which nothing is known and which count 0.

    Raises:
        InputError: a part lies outside its range.
    """

    compliance_gap_score: float = 0.0
    vendor_risk_flags: int = 0
    missing: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.compliance_gap_score <= 1:
            raise InputError(f"a compliance gap score is a number from 0 to 1, not {self.compliance_gap_score!r}")
        if self.vendor_risk_flags < 0:
            raise InputError(f"vendor risk flags are a count of 0 or more, not {self.vendor_risk_flags!r}")
