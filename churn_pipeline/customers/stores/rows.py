"""From a row of what is published to the typed answer. Which columns there are is read from the declared targets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from churn_pipeline.core.targets import Target, in_reports, target_of
from churn_pipeline.customers.entities import Customer
from churn_pipeline.customers.predictions import (
    ChurnPrediction,
    Driver,
    ExpansionPrediction,
    Score,
    TalkingPoint,
    Theme,
)
from churn_pipeline.customers.profile import Contact, Customer360, LatestOpportunity, PastWeek
from churn_pipeline.customers.values import Industry, Mrr, PlanTier, RiskScore, RiskTier
from churn_pipeline.delivery.layout import OTHER_FACTS

type Row = Mapping[str, Any]

_KEY = ("snapshot_date", "customer_id")


def churn_targets() -> tuple[Target, ...]:
    """What is predicted of a customer's staying, the target that decides first."""
    event = target_of("risk").event
    return tuple(target for target in in_reports() if target.event == event)


def churn_prediction(row: Row) -> ChurnPrediction:
    """What a row of `predictions` says of a customer's staying.

    Args:
        row: by column; one that an older version had not is absent or None.
    """
    themes = row.get("churn_themes")
    scores = [_score(row, target) for target in churn_targets()]
    return ChurnPrediction(
        snapshot_date=row["snapshot_date"],
        customer_id=row["customer_id"],
        # A week from before a target was declared has none of it.
        scores=tuple(score for score in scores if score is not None),
        risk_tier=RiskTier(row["risk_tier"]),
        previous_risk_tier=_tier(row["previous_risk_tier"]),
        probability_change=row["probability_change"],
        is_flagged=row["is_flagged"],
        risk_score=RiskScore(row["risk_score"]),
        risk_score_tier=RiskTier(row["risk_score_tier"]),
        risk_score_basis=row["risk_score_basis"],
        annual_revenue=row["annual_revenue"],
        revenue_at_risk=row["revenue_at_risk"],
        priority_rank=row["priority_rank"],
        churn_drivers=_drivers(row["churn_drivers"]),
        churn_themes=None
        if themes is None
        else tuple(Theme(**{**theme, "features": tuple(theme["features"])}) for theme in themes),
        is_on_call_list=bool(row.get("is_on_call_list")),
        call_rank=row.get("call_rank"),
        call_reason=row.get("call_reason"),
        play=row["play"],
        action_kind=row.get("action_kind"),
        recommended_action=row["recommended_action"],
        talking_points=tuple(TalkingPoint(**point) for point in row.get("talking_points") or ()),
        policy_version=row["policy_version"],
        scoring_mode=row["scoring_mode"],
        run_id=row["run_id"],
        scored_at=row["scored_at"],
    )


def expansion_prediction(row: Row) -> ExpansionPrediction | None:
    """What a row of `predictions` says of a customer's growth; None where no model predicts it, or on the highest plan."""
    score = _score(row, target_of("expansion"))
    if score is None:
        return None
    return ExpansionPrediction(
        snapshot_date=row["snapshot_date"],
        customer_id=row["customer_id"],
        score=score,
        expansion_readiness=row["expansion_readiness"],
        target_tier=PlanTier(row["target_tier"]) if row["target_tier"] else None,
        expected_arr_uplift=row["expected_arr_uplift"],
        is_expansion_candidate=bool(row["is_expansion_candidate"]),
        expansion_rank=row["expansion_rank"],
        is_high_value_target=bool(row["is_high_value_target"]),
        segment=row.get("segment"),
        expansion_drivers=_drivers(row["expansion_drivers"]),
    )


def customer_of(row: Row) -> Customer:
    """The customer of a row of `predictions`, as at its Monday: active, so they have not left."""
    return Customer(
        customer_id=row["customer_id"],
        signup_date=row["snapshot_date"] - timedelta(days=row["tenure_days"]),
        plan_tier=PlanTier(row["plan_tier"]) if row["plan_tier"] else None,
        industry=Industry(row["industry"]) if (row["industry"] or "").strip() else None,
        mrr=None if row["mrr"] is None else Mrr(row["mrr"]),
        company_name=row.get("company_name"),
        csm_owner=row["csm_owner"],
    )


def facts_of(row: Row, week: Row) -> dict[str, Any]:
    """What else is known of a customer at the Monday, by name; None where it is not known.

    Args:
        row: of `predictions`.
        week: of `customer_weeks`; empty where an older version published none.
    """
    days = row.get("days_to_renewal")
    return {
        "renewal_date": None if days is None else row["snapshot_date"] + timedelta(days=days),
        "events_last_30d": week.get("events_last_30d"),
        # The feature of that name counts those of 90 days.
        "open_tickets": week.get("open_tickets_of_any_age"),
        "latest_opportunity_date": week.get("latest_opportunity_date"),
        "latest_opportunity_stage": week.get("latest_opportunity_stage"),
        "last_contact_date": week.get("last_contact_date"),
        "last_contact_kind": week.get("last_contact_kind"),
    }


def profile_of(row: Row, week: Row, history: Iterable[Row]) -> Customer360:
    """The whole profile.

    Args:
        row: of `predictions`, with ``company_name``.
        week: of `customer_weeks`; empty where an older version published none.
        history: published Mondays up to this one, the newest first: ``snapshot_date``, ``risk_tier``, and the probability of role risk.
    """
    facts = facts_of(row, week)
    risk = target_of("risk").probability_column
    opened, contacted = facts["latest_opportunity_date"], facts["last_contact_date"]
    return Customer360(
        snapshot_date=row["snapshot_date"],
        customer=customer_of(row),
        tenure_days=row["tenure_days"],
        is_early_stage=row["is_early_stage"],
        lifecycle=row.get("lifecycle"),
        churn=churn_prediction(row),
        expansion=expansion_prediction(row),
        history=tuple(PastWeek(past["snapshot_date"], past[risk], RiskTier(past["risk_tier"])) for past in history),
        events_last_30d=facts["events_last_30d"],
        open_tickets=facts["open_tickets"],
        renewal_date=facts["renewal_date"],
        days_to_renewal=row.get("days_to_renewal"),
        latest_opportunity=None if opened is None else LatestOpportunity(opened, facts["latest_opportunity_stage"]),
        last_contact=None if contacted is None else Contact(contacted, facts["last_contact_kind"]),
        features={name: value for name, value in week.items() if name not in _KEY and name not in OTHER_FACTS},
    )


def _score(row: Row, target: Target) -> Score | None:
    probability = row.get(target.probability_column)
    if probability is None:
        return None
    return Score(
        target.name,
        target.horizon_days,
        probability,
        row.get(target.version_column),
        row.get(target.kind_column),
    )


def _drivers(drivers: Iterable[Row] | None) -> tuple[Driver, ...]:
    return tuple(Driver(**driver) for driver in drivers or ())


def _tier(name: str | None) -> RiskTier | None:
    return None if name is None else RiskTier(name)
