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
# As the policy's parameter months_per_year has it.
MONTHS_A_YEAR = 12
# The parts of a risk score that come from outside the product, as risk_score_basis names them.
COMPLIANCE_GAP = "compliance_gap"
VENDOR_FLAGS = "vendor_flags"


@dataclass(frozen=True)
class Customer:
    """A customer, as known at some moment.

    Attributes:
        customer_id: as in the raw data.
        signup_date: first day as a customer; of somebody who came back, of the life that is theirs at that moment.
        plan_tier: None where it is not known.
        industry: None where it is not known.
        mrr: USD a month; None where it is not known.
        churn_date: the day they left; None while they stay. Not before signup_date.
        company_name: personal data; None where the source has none.
        csm_owner: customer success manager.
        censor_date: the day they left the book without churning, such as by a merger; None otherwise. Not before signup_date.

    Raises:
        InputError: the id is empty, or a day of leaving lies before signup_date.
    """

    customer_id: str
    signup_date: date
    plan_tier: PlanTier | None = None
    industry: Industry | None = None
    mrr: Mrr | None = None
    churn_date: date | None = None
    company_name: str | None = None
    csm_owner: str | None = None
    censor_date: date | None = None

    def __post_init__(self) -> None:
        _require_id(self.customer_id, "a customer_id")
        for day in (self.churn_date, self.censor_date):
            if day is not None and day < self.signup_date:
                raise InputError(
                    f"a customer leaves on or after the day they signed up, {self.signup_date}, not on {day}"
                )

    @property
    def has_churned(self) -> bool:
        return self.churn_date is not None

    @property
    def left_on(self) -> date | None:
        """The day they left, by churn or otherwise; None while they stay."""
        return min((day for day in (self.churn_date, self.censor_date) if day is not None), default=None)

    def is_active(self, as_of: date) -> bool:
        """Whether they are a customer at 00:00 of that day: signed up before it, and did not leave before it."""
        return self.signup_date < as_of and (self.left_on is None or self.left_on >= as_of)

    def tenure_days(self, as_of: date) -> int:
        """Days from signup to ``as_of``, or to the day they left where that is earlier.

        Raises:
            InputError: ``as_of`` lies before signup.
        """
        if as_of < self.signup_date:
            raise InputError(f"tenure is counted from signup, {self.signup_date}, and not at {as_of}")
        return (min(self.left_on or as_of, as_of) - self.signup_date).days

    def is_early_stage(self, as_of: date) -> bool:
        """Whether they are in their first 90 days, or left in them.

        Raises:
            InputError: ``as_of`` lies before signup.
        """
        return self.tenure_days(as_of) < EARLY_STAGE.days

    def annual_revenue_at_risk(self, probability: ChurnProbability) -> float | None:
        """12 x mrr x probability, USD; None where mrr is not known."""
        return None if self.mrr is None else MONTHS_A_YEAR * self.mrr * probability

    def churned(self, on: date) -> Customer:
        """The same customer, who left on that day.

        Raises:
            InputError: they left already, or it lies before signup.
        """
        if self.left_on is not None:
            raise InputError(f"a churn is recorded once: '{self.customer_id}' left on {self.left_on}, not on {on}")
        return replace(self, churn_date=on)


@dataclass(frozen=True)
class UsageEvent:
    """Something a customer did in the product.

    Attributes:
        timestamp: UTC, without a zone.
        event_type: None where the source says none; it counts as activity.
        feature_adoption_score: None where the product measured none.

    Raises:
        InputError: an id is empty.
    """

    event_id: str
    customer_id: str
    timestamp: datetime
    event_type: EventType | None
    feature_adoption_score: FeatureAdoptionScore | None = None

    def __post_init__(self) -> None:
        _require_id(self.event_id, "an event_id")
        _require_id(self.customer_id, "a customer_id")


@dataclass(frozen=True)
class Opportunity:
    """What sales talks to a customer about.

    Attributes:
        stage: as far as it was a fact at the moment it was asked for: a closed stage once its closing day is over. None while it was open:
            until then the source writes over stage, amount and end, and today's say nothing of that moment.
        amount: USD a year; None where it is not known, or not yet.
        created_date: None where the source has none; it is displayed and never a feature then.
        close_date: actual of a closed one, expected of an open one where that was a fact.
        opportunity_type: expansion or new_business; None where it is not known.

    Raises:
        InputError: an id is empty, or the amount is negative.
    """

    opp_id: str
    customer_id: str
    stage: SalesStage | None
    amount: float | None = None
    created_date: date | None = None
    close_date: date | None = None
    opportunity_type: str | None = None

    def __post_init__(self) -> None:
        _require_id(self.opp_id, "an opp_id")
        _require_id(self.customer_id, "a customer_id")
        if self.amount is not None and not self.amount >= 0:
            raise InputError(f"the amount of an opportunity is a number of 0 or more, not {self.amount!r}")

    @property
    def is_open(self) -> bool:
        """Whether it was neither won nor lost."""
        return self.stage is None or not self.stage.is_closed


@dataclass(frozen=True)
class RiskSignals:
    """The parts of a risk score that come from outside the product.

    Attributes:
        compliance_gap_score: 0 to 1; 0 where nothing is known.
        vendor_risk_flags: count; 0 where nothing is known.
        missing: names of the parts of which nothing is known and which count 0: `COMPLIANCE_GAP`, `VENDOR_FLAGS`.

    Raises:
        InputError: a part lies outside its range, or is missing and not 0, or nothing is called so.
    """

    compliance_gap_score: float = 0.0
    vendor_risk_flags: int = 0
    missing: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.compliance_gap_score <= 1:
            raise InputError(f"a compliance gap score is a number from 0 to 1, not {self.compliance_gap_score!r}")
        if self.vendor_risk_flags < 0 or self.vendor_risk_flags != int(self.vendor_risk_flags):
            raise InputError(f"vendor risk flags are a count of 0 or more, not {self.vendor_risk_flags!r}")
        parts = {COMPLIANCE_GAP: self.compliance_gap_score, VENDOR_FLAGS: self.vendor_risk_flags}
        for name in self.missing:
            if name not in parts:
                raise InputError(f"a part of the risk signals is one of {', '.join(parts)}, not {name!r}")
            if parts[name]:
                raise InputError(f"a missing part counts 0, and {name} is {parts[name]!r}")


def _require_id(value: str, name: str) -> None:
    if not value.strip():
        raise InputError(f"{name} is a text that is not empty, not {value!r}")
