"""What answers hold. Fields have the names of the typed answers they are read from, and those the names of the table's columns."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

# The table's times have no zone and are UTC; a time in JSON says so.
Moment = Annotated[datetime, AfterValidator(lambda moment: moment.replace(tzinfo=UTC))]


class _Answer(BaseModel):
    model_config = ConfigDict(from_attributes=True, frozen=True)


class Score(_Answer):
    """The answer of one model."""

    target: str = Field(description="What it predicts.")
    horizon_days: int = Field(description="Within how many days.")
    probability: float = Field(ge=0, le=1, description="Calibrated.")
    model_version: str | None = Field(description="In MLflow.")
    model_kind: str | None = Field(
        description="trees, logistic, mean, base_rate or of_30d; null in weeks of an older version."
    )


class Driver(_Answer):
    """One of the largest contributions to a probability."""

    feature: str = Field(description="Its name.")
    label: str = Field(description="What people call it.")
    value: str | None = Field(description="The customer's, as text; null where it has none.")
    contribution: float = Field(description="Signed, in log-odds of the calibrated probability.")
    sentence: str = Field(description="The same in words.")


class Theme(_Answer):
    """A reason that people read."""

    theme: str = Field(description="Its name in the catalogue.")
    label: str = Field(description="What people call it.")
    contribution: float = Field(description="Sum of its features', in log-odds, above 0.")
    share: float = Field(ge=0, le=1, description="Of all themes that raise the risk.")
    sentence: str = Field(description="In words.")
    features: tuple[str, ...] = Field(description="Of which the sentence speaks.")


class TalkingPoint(_Answer):
    """What to say about a theme."""

    theme: str = Field(description="Its name in the catalogue.")
    ask: str | None = Field(description="What to ask.")
    offer: str | None = Field(description="What to offer.")
    avoid: str | None = Field(description="What to avoid.")


class ChurnPrediction(_Answer):
    """What is predicted of a customer's staying, and what to do."""

    snapshot_date: date = Field(description="The Monday: everything was known before 00:00 of it.")
    customer_id: str = Field(description="As in the raw data.")
    scores: tuple[Score, ...] = Field(
        description="Of the churn targets; the first is the one that tiers and reasons go by."
    )
    risk_tier: str = Field(description="Tier of the probability that decides.")
    previous_risk_tier: str | None = Field(description="Of the Monday before; null where there was none.")
    probability_change: float | None = Field(description="Since the Monday before.")
    is_flagged: bool = Field(description="Whether the probability within 30 days lies above the policy's threshold.")
    risk_score: float = Field(
        ge=0, le=1, description="Composite of usage decay, compliance gaps and vendor flags; no probability."
    )
    risk_score_tier: str = Field(description="By the risk score.")
    risk_score_basis: str = Field(description="Which of its parts are known.")
    annual_revenue: float | None = Field(description="USD a year.")
    revenue_at_risk: float | None = Field(description="annual_revenue times the probability, USD.")
    priority_rank: int = Field(ge=1, description="1 = most revenue at risk; unique on a Monday.")
    churn_drivers: tuple[Driver, ...] = Field(description="The five largest contributions, of either sign.")
    churn_themes: tuple[Theme, ...] | None = Field(
        description="What raises the risk, largest first; null in weeks from before there were themes."
    )
    is_on_call_list: bool = Field(description="Whether the team calls them this week.")
    call_rank: int | None = Field(description="Place on the call list; null off it.")
    call_reason: str | None = Field(description="Why they are on it.")
    play: str = Field(description="Name of what to do.")
    action_kind: str | None = Field(description="csm_call, ae_call, no_call or none.")
    recommended_action: str = Field(description="What to do, a sentence.")
    talking_points: tuple[TalkingPoint, ...] = Field(description="What to say about the themes.")
    policy_version: str = Field(description="Hash of the policy that decided.")
    scoring_mode: str = Field(description="live, or as_of for a Monday that was past when it was scored.")
    run_id: str = Field(description="The run that wrote this.")
    scored_at: Moment = Field(description="When it was predicted, UTC.")


class ExpansionPrediction(_Answer):
    """What is predicted of a customer's growth."""

    snapshot_date: date = Field(description="The Monday: everything was known before 00:00 of it.")
    customer_id: str = Field(description="As in the raw data.")
    score: Score = Field(description="Of the expansion model.")
    expansion_readiness: str = Field(description="none, not_ready or ready.")
    target_tier: str | None = Field(description="The next plan; null on the highest.")
    expected_arr_uplift: float | None = Field(description="USD a year, times the propensity.")
    is_expansion_candidate: bool = Field(
        description="Whether they may grow and are not about to leave, by the policy's thresholds."
    )
    expansion_rank: int | None = Field(description="Among candidates, by uplift; null for others.")
    is_high_value_target: bool = Field(description="Whether much is to be gained.")
    segment: str | None = Field(description="By churn and expansion together.")
    expansion_drivers: tuple[Driver, ...] = Field(description="The five largest contributions, of either sign.")


class Customer(_Answer):
    """Who it is."""

    customer_id: str = Field(description="As in the raw data.")
    signup_date: date = Field(description="First day as a customer, or of this life as one.")
    plan_tier: str | None = Field(
        description="free, starter, growth, enterprise or custom; null where it is not known."
    )
    industry: str | None = Field(description="Null where it is not known.")
    mrr: float | None = Field(ge=0, description="USD a month; null where it is not known.")
    company_name: str | None = Field(description="Personal data; null where the source has none.")
    csm_owner: str | None = Field(description="Customer success manager.")


class PastWeek(_Answer):
    """One Monday of a customer."""

    snapshot_date: date = Field(description="The Monday.")
    probability: float = Field(ge=0, le=1, description="Of the target that tiers go by.")
    risk_tier: str = Field(description="Of that Monday.")


class Contact(_Answer):
    """The last contact."""

    contacted_on: date = Field(description="The day.")
    kind: str | None = Field(description="What kind of intervention it was, or the channel of the outreach.")


class LatestOpportunity(_Answer):
    """The newest sales opportunity."""

    created_date: date = Field(description="The day it was created.")
    stage: str = Field(description="closed_won, closed_lost or open, as far as it was a fact before the Monday.")


class Customer360(_Answer):
    """All that is known of a customer on a Monday."""

    snapshot_date: date = Field(description="The Monday: everything was known before 00:00 of it.")
    customer: Customer = Field(description="Who it is, as at the Monday.")
    tenure_days: int = Field(ge=0, description="From signup to the Monday.")
    is_early_stage: bool = Field(description="Whether they are in their first 90 days.")
    lifecycle: str | None = Field(description="onboarding, renewal or steady; null in weeks of an older version.")
    churn: ChurnPrediction = Field(description="What is predicted, why, and what to do.")
    expansion: ExpansionPrediction | None = Field(
        description="Null where no model predicts it, or on the highest plan."
    )
    history: tuple[PastWeek, ...] = Field(description="This Monday and up to eleven before it, the newest first.")
    events_last_30d: int | None = Field(description="Usage events; null where no usage is known of anybody.")
    open_tickets: int | None = Field(
        description="Support tickets open at the Monday, of any age (`features.open_tickets` counts those of 90 days); null where none are known of "
        "anybody, or in weeks of an older version."
    )
    renewal_date: date | None = Field(description="End of the running contract; null without one.")
    days_to_renewal: int | None = Field(description="From the Monday.")
    latest_opportunity: LatestOpportunity | None = Field(description="Null without one.")
    last_contact: Contact | None = Field(description="Null without one.")
    features: dict[str, bool | int | float | date | datetime | str | None] = Field(
        description="What the models saw, by name."
    )


class Brief(_Answer):
    """What whoever sells to a candidate, or looks after them, should know before they talk."""

    snapshot_date: date = Field(description="The Monday: everything was known before 00:00 of it.")
    customer_id: str = Field(description="As in the raw data.")
    company_name: str | None = Field(description="Personal data; null where the source has none.")
    audience: str = Field(description="ae: the account executive; csm: the customer success manager.")
    kind: str = Field(description="tactical, nurture, or not_ready: why not yet.")
    parts: dict[str, str] = Field(description="Text by part: why_now, lead_with, settle_first, next_step, email.")
    watermark: str = Field(description="Stands under every brief.")
    result: str = Field(description="Of the guardrails: PASSED or FLAGGED.")
    fact_confidence: float = Field(ge=0, le=1, description="1 less what unfounded words and figures cost.")
    flags: tuple[str, ...] = Field(description="What the guardrails mended, in words.")
    provider: str = Field(description="Who wrote it; here the template.")
    model: str | None = Field(description="Which language model; null of a template.")
    note: str | None = Field(description="Why it was written by whom it was.")
    correlation_id: str = Field(description="The request's id: a template's brief stands in no audit.")
    written_at: Moment = Field(description="UTC.")


class ListedCustomer(_Answer):
    """A line of a list."""

    customer_id: str = Field(description="As in the raw data.")
    company_name: str | None = Field(description="Personal data; null where the source has none.")
    csm_owner: str | None = Field(description="Customer success manager.")
    plan_tier: str | None = Field(description="Null where it is not known.")
    industry: str | None = Field(description="Null where it is not known.")
    mrr: float | None = Field(description="USD a month.")
    annual_revenue: float | None = Field(description="USD a year.")
    revenue_at_risk: float | None = Field(description="annual_revenue times the probability, USD.")
    priority_rank: int = Field(ge=1, description="Lists are ordered by it: 1 = most revenue at risk.")
    probability: float = Field(ge=0, le=1, description="Of the target that tiers, ranking and reasons go by.")
    probability_change: float | None = Field(description="Since the Monday before.")
    risk_tier: str = Field(description="Tier of the probability that decides.")
    previous_risk_tier: str | None = Field(description="Of the Monday before.")
    lifecycle: str | None = Field(description="onboarding, renewal or steady.")
    days_to_renewal: int | None = Field(description="From the Monday; null without a contract.")
    is_on_call_list: bool = Field(description="Whether the team calls them this week.")
    call_rank: int | None = Field(description="Place on the call list; null off it.")
    call_reason: str | None = Field(description="Why they are on it.")
    propensity: float | None = Field(description="Null where no model predicts it, or on the highest plan.")
    expansion_readiness: str | None = Field(description="none, not_ready or ready.")
    is_expansion_candidate: bool = Field(
        description="Whether they are a candidate for expansion whom anybody may approach."
    )
    expansion_rank: int | None = Field(description="Among candidates, by uplift.")
    play: str = Field(description="Name of what to do.")
    recommended_action: str = Field(description="What to do, a sentence.")
    reason: str | None = Field(description="The first reason, a sentence; null where nothing raises the risk.")


class CustomerPage(BaseModel):
    """A page of a list."""

    publication: str = Field(description="Names the publication that every page of this list is read from.")
    snapshot_date: date = Field(description="The newest published Monday.")
    customers: list[ListedCustomer] = Field(description="Those with most revenue at risk first.")
    next: str | None = Field(description="Pass it as cursor to go on; null on the last page.")


class Model(BaseModel):
    """A model that scored a Monday."""

    target: str = Field(description="What it predicts.")
    model_version: str | None = Field(description="In MLflow.")
    model_kind: str | None = Field(description="trees, logistic, mean, base_rate or of_30d.")


class Mondays(BaseModel):
    """What is published."""

    publication: str = Field(description="Names what is published at the moment.")
    snapshot_dates: list[date] = Field(description="The published Mondays, oldest first.")
    newest: date = Field(description="The one that is answered for unless snapshot_date names another.")
    customers: int = Field(ge=0, description="Active customers of the newest.")
    models: list[Model] = Field(description="That scored the newest.")
    policy_version: str = Field(description="Hash of the policy that decided on the newest.")
    scored_at: Moment = Field(description="When the newest was predicted, UTC.")


class Health(BaseModel):
    """The process answers."""

    status: str = Field(description="well")


class Ready(BaseModel):
    """A publication can be read."""

    status: str = Field(description="ready")
    publication: str = Field(description="Names it.")
    snapshot_date: date = Field(description="Its newest Monday.")
