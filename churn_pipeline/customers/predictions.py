"""What a row of the predictions table says, typed. Field names are the table's column names."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from churn_pipeline.customers.values import ChurnProbability, ExpansionPropensity, PlanTier, RiskScore, RiskTier


@dataclass(frozen=True)
class Score:
    """The answer of one model.

    Attributes:
        target: what it predicts, as declared in :mod:`churn_pipeline.core.targets`.
        horizon_days: within how many days.
        probability: calibrated, 0 to 1, after the raise to that of shorter horizons.
        model_version: in MLflow.
        model_kind: trees, logistic, mean, base_rate, or of_30d; None in a week of an older version.
    """

    target: str
    horizon_days: int
    probability: float
    model_version: str | None
    model_kind: str | None


@dataclass(frozen=True)
class Driver:
    """One of the largest contributions.

    Attributes:
        feature: its name.
        label: what people call it.
        value: the customer's, as text; None where it has none.
        contribution: signed, log-odds of the calibrated probability.
        sentence: the same in words.
    """

    feature: str
    label: str
    value: str | None
    contribution: float
    sentence: str


@dataclass(frozen=True)
class Theme:
    """A reason that people read: what raises the risk, by theme, largest first.

    Attributes:
        theme: its name in the catalogue.
        label: what people call it.
        contribution: sum of its features', log-odds, above 0.
        share: of all themes that raise the risk, 0 to 1.
        sentence: in words.
        features: of which the sentence speaks.
    """

    theme: str
    label: str
    contribution: float
    share: float
    sentence: str
    features: tuple[str, ...]


@dataclass(frozen=True)
class TalkingPoint:
    """What to say about a theme: what to ask, to offer and to avoid; each may be None."""

    theme: str
    ask: str | None
    offer: str | None
    avoid: str | None


@dataclass(frozen=True)
class ChurnPrediction:
    """What is predicted of a customer's staying, and what to do.

    Attributes:
        scores: of the churn targets, the one that decides first, as :func:`churn_pipeline.core.targets.in_reports` orders them.
        churn_drivers: the five largest contributions, of either sign.
        churn_themes: what raises the risk; None in a week from before there were themes.
        scored_at: UTC, without a zone, as in the table.
    """

    snapshot_date: date
    customer_id: str
    scores: tuple[Score, ...]
    risk_tier: RiskTier
    previous_risk_tier: RiskTier | None
    probability_change: float | None
    is_flagged: bool
    risk_score: RiskScore
    risk_score_tier: RiskTier
    risk_score_basis: str
    annual_revenue: float | None
    revenue_at_risk: float | None
    priority_rank: int
    churn_drivers: tuple[Driver, ...]
    churn_themes: tuple[Theme, ...] | None
    is_on_call_list: bool
    call_rank: int | None
    call_reason: str | None
    play: str
    action_kind: str | None
    recommended_action: str
    talking_points: tuple[TalkingPoint, ...]
    policy_version: str
    scoring_mode: str
    run_id: str
    scored_at: datetime

    @property
    def probability(self) -> ChurnProbability:
        """Of the target that tiers, ranking and reasons go by."""
        return ChurnProbability(self.scores[0].probability)


@dataclass(frozen=True)
class ExpansionPrediction:
    """What is predicted of a customer's growth.

    Attributes:
        score: of the expansion model.
        expansion_readiness: none, not_ready or ready; cut-offs are policy.
        target_tier: the next plan on the ladder; None on the highest.
        expected_arr_uplift: USD a year, times the propensity.
    """

    snapshot_date: date
    customer_id: str
    score: Score
    expansion_readiness: str
    target_tier: PlanTier | None
    expected_arr_uplift: float | None
    is_expansion_candidate: bool
    expansion_rank: int | None
    is_high_value_target: bool
    segment: str | None
    expansion_drivers: tuple[Driver, ...]

    @property
    def propensity(self) -> ExpansionPropensity:
        return ExpansionPropensity(self.score.probability)
