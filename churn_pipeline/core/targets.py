"""What is predicted. One declaration a target; everything else in this package is one code path for all of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from churn_pipeline.core.calendar import WEEK
from churn_pipeline.core.errors import InputError


@dataclass(frozen=True)
class HeuristicBaseline:
    """The rule of thumb that a model has to beat: the sum of ``columns`` is at least ``threshold``.

    Attributes:
        columns: numeric features; a missing one, or a null, counts as 0.
        threshold: in the columns' unit.
        text: the rule in words, for the model card.
    """

    columns: tuple[str, ...]
    threshold: float
    text: str


@dataclass(frozen=True)
class Target:
    """A yes-or-no question about a customer at a snapshot.

    Attributes:
        name: also the name of the registered model.
        event: what a label of 1 means.
        horizon_days: the label looks at ``[S, S + horizon_days)``.
        mart: dbt model that holds the features, and whose YAML is the feature catalogue.
        stagger_weeks: training keeps one snapshot in this many per customer. About one horizon: closer snapshots share most of their
            label window, so they cost training time and add next to no information.
        required: without a model for it, the week is not published.
        rule: the baseline that a customer-success team would use without any model.
        question: the target in words, completing "the probability that a customer ...".
        title: heads its part of a page or its panel of a plot.
        probability_column: of the predictions table.
        version_column: of the predictions table; the model version behind the probability.
    """

    name: str
    event: Literal["churn", "expansion"]
    horizon_days: int
    mart: str
    stagger_weeks: int
    required: bool
    rule: HeuristicBaseline
    question: str
    title: str
    probability_column: str
    version_column: str

    @property
    def horizon_weeks(self) -> int:
        """The smallest number of weeks that covers the horizon: 5 for 30 days, 13 for 90."""
        return -(-self.horizon_days // 7)

    def newest_closed(self, training_monday: date) -> date:
        """The newest snapshot whose label is closed at ``training_monday`` (S + horizon <= T)."""
        return training_monday - self.horizon_weeks * WEEK

    def is_closed(self, snapshot_date: date, at: date) -> bool:
        return snapshot_date + timedelta(days=self.horizon_days) <= at


_SILENT = HeuristicBaseline(("days_since_last_event",), 14, "no activity for 14 days")
_AT_THE_LIMIT = HeuristicBaseline(
    ("feature_limit_hit_30d", "premium_feature_trials_30d"),
    1,
    "hit a plan limit or tried a premium feature in the last 30 days",
)

TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        Target(
            name="churn_30d",
            event="churn",
            horizon_days=30,
            mart="mart_customer_churn_features",
            stagger_weeks=4,
            required=True,
            rule=_SILENT,
            question="leaves within the next 30 days",
            title="Churn within 30 days",
            probability_column="churn_probability_30d",
            version_column="churn_30d_model_version",
        ),
        Target(
            name="churn_90d",
            event="churn",
            horizon_days=90,
            mart="mart_customer_churn_features",
            stagger_weeks=13,
            required=True,
            rule=_SILENT,
            question="leaves within the next 90 days",
            title="Churn within 90 days",
            probability_column="churn_probability_90d",
            version_column="churn_90d_model_version",
        ),
        Target(
            name="expansion_90d",
            event="expansion",
            horizon_days=90,
            mart="mart_customer_expansion_features",
            stagger_weeks=13,
            required=False,
            rule=_AT_THE_LIMIT,
            question="moves to a higher plan within the next 90 days",
            title="Expansion within 90 days",
            probability_column="expansion_propensity",
            version_column="expansion_model_version",
        ),
    )
}

# As people look at them: the longest horizon of churn first, which the list is ranked by, and expansion last.
IN_REPORTS = tuple(sorted(TARGETS.values(), key=lambda target: (target.event != "churn", -target.horizon_days)))


def target_named(name: str) -> Target:
    """The target of that name.

    Raises:
        InputError: there is none; the message names those there are.
    """
    try:
        return TARGETS[name]
    except KeyError:
        raise InputError(f"'{name}' is no target; there are {', '.join(TARGETS)}") from None
