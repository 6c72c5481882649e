"""A customer who may grow, put together by hand, so that every text of the catalogue can be read beside its facts."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime

from churn_pipeline.customers.briefs.facts import facts_of
from churn_pipeline.customers.briefs.model import BriefKind, WriterRequest
from churn_pipeline.customers.briefs.service import BriefPolicy, request_for
from churn_pipeline.customers.entities import Customer
from churn_pipeline.customers.predictions import (
    ChurnPrediction,
    Driver,
    ExpansionPrediction,
    Score,
    TalkingPoint,
    Theme,
)
from churn_pipeline.customers.profile import Contact, Customer360, LatestOpportunity
from churn_pipeline.customers.values import Industry, Mrr, PlanTier, RiskScore, RiskTier

MONDAY = date(2026, 6, 1)
NOW = datetime(2026, 6, 1, 8, 30)
POLICY = BriefPolicy(not_ready=0.15, ready=0.35, urgency=0.5, tiers=("CRITICAL", "HIGH", "MEDIUM", "LOW"))


def driver(feature: str, label: str, value: str, contribution: float) -> Driver:
    return Driver(feature, label, value, contribution, f"{label}: {value}, a sign of growth")


DRIVERS = (
    driver("premium_feature_trials_30d", "Premium trials in the last 30 days", "4", 0.72),
    driver("feature_limit_hit_90d", "Plan limits reached in the last 90 days", "12", 0.49),
    driver("event_types_last_30d", "Kinds of activity in the last 30 days", "7", 0.31),
    driver("adoption_change", "Change in feature adoption", "+5 points", 0.2),
    driver("industry", "Industry", "retail", 0.1),
)
FEATURES: dict[str, object] = {
    "premium_feature_trials_30d": 4,
    "feature_limit_hit_90d": 12,
    "event_types_last_30d": 7,
    "adoption_change": 0.05,
    "industry": "retail",
}


def profile(
    *,
    propensity: float = 0.42,
    readiness: str = "ready",
    churn: float = 0.26,
    tier: str = "MEDIUM",
    company: str | None = "Bluebird Textiles Ltd",
    owner: str | None = "Elena García",
    customer_id: str = "C0000267",
    drivers: tuple[Driver, ...] = DRIVERS,
    features: dict[str, object] | None = None,
    industry: str = "retail",
    open_tickets: int | None = 2,
    is_candidate: bool = True,
    **rest: object,
) -> Customer360:
    """A customer on the growth plan, of whom the facts are those of `FACTS`."""
    whole = Customer360(
        snapshot_date=MONDAY,
        customer=Customer(
            customer_id=customer_id,
            signup_date=date(2023, 10, 21),
            plan_tier=PlanTier("growth"),
            industry=Industry(industry),
            mrr=Mrr(4265.0),
            company_name=company,
            csm_owner=owner,
        ),
        tenure_days=954,
        is_early_stage=False,
        lifecycle="steady",
        churn=ChurnPrediction(
            snapshot_date=MONDAY,
            customer_id=customer_id,
            scores=(Score("churn_90d", 90, churn, "7", "trees"), Score("churn_30d", 30, churn / 3, "6", "trees")),
            risk_tier=RiskTier(tier),
            previous_risk_tier=RiskTier(tier),
            probability_change=0.0,
            is_flagged=False,
            risk_score=RiskScore(0.2),
            risk_score_tier=RiskTier(tier),
            risk_score_basis="usage",
            annual_revenue=51180.0,
            revenue_at_risk=13306.8,
            priority_rank=12,
            churn_drivers=(),
            churn_themes=(
                Theme(
                    "compliance",
                    "Compliance",
                    0.5,
                    0.6,
                    "Large compliance gap: 51 %, similar companies 21 %",
                    ("compliance_gap_score",),
                ),
                Theme("lifecycle", "Time as a customer", 0.2, 0.4, "Customer for 2 years", ("tenure_days",)),
            ),
            is_on_call_list=False,
            call_rank=None,
            call_reason=None,
            play="Usual rhythm",
            action_kind="none",
            recommended_action="Nothing beyond the usual rhythm of reviews.",
            talking_points=(
                TalkingPoint(
                    "compliance",
                    "Which of your open controls worries your auditor most?",
                    "The next control closed together.",
                    "Talking of scores and flags: they know their gaps, they need them closed.",
                ),
            ),
            policy_version="p1",
            scoring_mode="live",
            run_id="run-1",
            scored_at=NOW,
        ),
        expansion=ExpansionPrediction(
            snapshot_date=MONDAY,
            customer_id=customer_id,
            score=Score("expansion_90d", 90, propensity, "5", "trees"),
            expansion_readiness=readiness,
            target_tier=PlanTier("enterprise"),
            expected_arr_uplift=86137.7,
            is_expansion_candidate=is_candidate,
            expansion_rank=1,
            is_high_value_target=False,
            segment="Stable Base",
            expansion_drivers=drivers,
        ),
        history=(),
        events_last_30d=62,
        open_tickets=open_tickets,
        renewal_date=date(2027, 3, 13),
        days_to_renewal=285,
        latest_opportunity=LatestOpportunity(date(2026, 5, 12), "open"),
        last_contact=Contact(date(2026, 5, 20), "call"),
        features=FEATURES if features is None else features,
    )
    return replace(whole, **rest)  # type: ignore[arg-type]


def request(kind: BriefKind = BriefKind.TACTICAL, *, email: bool = True, **changes: object) -> WriterRequest:
    """What a writer is handed of the customer."""
    whole = profile(**changes)
    return request_for(facts_of(whole), whole, kind, email=email, policy=POLICY, correlation_id="corr-1")  # type: ignore[arg-type]
