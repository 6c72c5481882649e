"""An invented customer, for the examples of the OpenAPI document. Made of the answers' own models, so that no example is of another form."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from churn_pipeline.api import schemas
from churn_pipeline.core.targets import Role, target_of
from churn_pipeline.customers.briefs.model import WATERMARK

_MONDAY = date(2026, 11, 2)
_ID, _NAME, _OWNER = "C000123", "Nordwind Logistik", "Elena García"
_SCORED = datetime(2026, 11, 2, 8, 1, 34)
_PUBLICATION = "9f2b61c07a41d35e"
_POLICY = "5d0c1f7a9be2"
# Tiers, plays and segments are those of a policy; these are of none.
_TIER, _FORMER_TIER = "ELEVATED", "CALM"


def _score(role: Role, probability: float, version: str, kind: str) -> dict[str, Any]:
    target = target_of(role)
    return {
        "target": target.name,
        "horizon_days": target.horizon_days,
        "probability": probability,
        "model_version": version,
        "model_kind": kind,
    }


_DRIVER = {
    "feature": "events_last_30d",
    "label": "events in 30 days",
    "value": "41",
    "contribution": 0.83,
    "sentence": "41 events in 30 days raise the risk.",
}
_CHURN: dict[str, Any] = {
    "snapshot_date": _MONDAY,
    "customer_id": _ID,
    "scores": [
        _score("risk", 0.37, "12", "trees"),
        _score("flag", 0.14, "12", "trees"),
    ],
    "risk_tier": _TIER,
    "previous_risk_tier": _FORMER_TIER,
    "probability_change": 0.15,
    "is_flagged": False,
    "risk_score": 0.42,
    "risk_score_tier": _TIER,
    "risk_score_basis": "usage, compliance, vendors",
    "annual_revenue": 38400.0,
    "revenue_at_risk": 14208.0,
    "priority_rank": 17,
    "churn_drivers": [_DRIVER],
    "churn_themes": [
        {
            "theme": "usage",
            "label": "Usage",
            "contribution": 0.83,
            "share": 0.71,
            "sentence": "They used the product less than half as much as a month ago.",
            "features": ["events_last_30d"],
        }
    ],
    "is_on_call_list": True,
    "call_rank": 9,
    "call_reason": "at_risk",
    "play": "Call about usage",
    "action_kind": "csm_call",
    "recommended_action": "Call this week and ask what has changed in their team.",
    "talking_points": [
        {"theme": "usage", "ask": "Who works with it now?", "offer": "A session with new users.", "avoid": None}
    ],
    "policy_version": _POLICY,
    "scoring_mode": "live",
    "run_id": "0b6f2c1e-8a53-4c4e-9d40-5e1f0b7a2c11",
    "scored_at": _SCORED,
}
_EXPANSION: dict[str, Any] = {
    "snapshot_date": _MONDAY,
    "customer_id": _ID,
    "score": _score("expansion", 0.41, "9", "logistic"),
    "expansion_readiness": "ready",
    "target_tier": "enterprise",
    "expected_arr_uplift": 62976.0,
    "is_expansion_candidate": True,
    "expansion_rank": 3,
    "is_high_value_target": False,
    "segment": "Growing",
    "expansion_drivers": [_DRIVER | {"contribution": 0.31, "sentence": "41 events in 30 days speak for growth."}],
}
_LINE: dict[str, Any] = {
    "customer_id": _ID,
    "company_name": _NAME,
    "csm_owner": _OWNER,
    "plan_tier": "growth",
    "industry": "logistics",
    "mrr": 3200.0,
    "annual_revenue": 38400.0,
    "revenue_at_risk": 14208.0,
    "priority_rank": 17,
    "probability": 0.37,
    "probability_change": 0.15,
    "risk_tier": _TIER,
    "previous_risk_tier": _FORMER_TIER,
    "lifecycle": "steady",
    "days_to_renewal": 143,
    "is_on_call_list": True,
    "call_rank": 9,
    "call_reason": "at_risk",
    "propensity": 0.41,
    "expansion_readiness": "ready",
    "is_expansion_candidate": True,
    "expansion_rank": 3,
    "play": "Call about usage",
    "recommended_action": "Call this week and ask what has changed in their team.",
    "reason": "They used the product less than half as much as a month ago.",
}

PREDICTION = schemas.ChurnPrediction.model_validate(_CHURN)
EXPANSION = schemas.ExpansionPrediction.model_validate(_EXPANSION)
PROFILE = schemas.Customer360.model_validate(
    {
        "snapshot_date": _MONDAY,
        "customer": {
            "customer_id": _ID,
            "signup_date": date(2024, 3, 18),
            "plan_tier": "growth",
            "industry": "logistics",
            "mrr": 3200.0,
            "company_name": _NAME,
            "csm_owner": _OWNER,
        },
        "tenure_days": 959,
        "is_early_stage": False,
        "lifecycle": "steady",
        "churn": _CHURN,
        "expansion": _EXPANSION,
        "history": [
            {"snapshot_date": _MONDAY, "probability": 0.37, "risk_tier": _TIER},
            {"snapshot_date": date(2026, 10, 26), "probability": 0.22, "risk_tier": _FORMER_TIER},
        ],
        "events_last_30d": 41,
        "open_tickets": 1,
        "renewal_date": date(2027, 3, 25),
        "days_to_renewal": 143,
        "latest_opportunity": {"created_date": date(2026, 9, 14), "stage": "open"},
        "last_contact": {"contacted_on": date(2026, 8, 20), "kind": "csm_call"},
        "features": {"events_last_30d": 41, "avg_adoption_score": 0.52, "plan_tier": "growth"},
    }
)
BRIEF = schemas.Brief.model_validate(
    {
        "snapshot_date": _MONDAY,
        "customer_id": _ID,
        "company_name": _NAME,
        "audience": "ae",
        "kind": "tactical",
        "parts": {
            "why_now": "The propensity to move to the enterprise plan is 41 % within 90 days.",
            "lead_with": "41 events in 30 days speak for growth.",
            "settle_first": "They used the product less than half as much as a month ago.",
            "next_step": "Propose a conversation of 20 minutes about the enterprise plan.",
        },
        "watermark": WATERMARK,
        "result": "PASSED",
        "fact_confidence": 1.0,
        "flags": [],
        "provider": "template",
        "model": None,
        "note": "Written by the template; no language model was asked.",
        "correlation_id": "4f0c2a9e6b7d4d1f8f0f3a5b6c7d8e9f",
        "written_at": datetime(2026, 11, 3, 9, 15),
    }
)
PAGE = schemas.CustomerPage.model_validate(
    {"publication": _PUBLICATION, "snapshot_date": _MONDAY, "customers": [_LINE], "next": None}
)
MONDAYS = schemas.Mondays.model_validate(
    {
        "publication": _PUBLICATION,
        "snapshot_dates": [date(2026, 10, 26), _MONDAY],
        "newest": _MONDAY,
        "customers": 9_812,
        "models": [_score("risk", 0.37, "12", "trees")],
        "policy_version": _POLICY,
        "scored_at": _SCORED,
    }
)
HEALTH = schemas.Health(status="well")
READY = schemas.Ready(status="ready", publication=_PUBLICATION, snapshot_date=_MONDAY)
