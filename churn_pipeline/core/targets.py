"""What is predicted. One declaration a target; everything else in this package is one code path for all of them.

A new target is one more entry of ``TARGETS``, then ``make generate``, which writes what dbt has to know of it
(:mod:`churn_pipeline.core.dbt_targets`). Scores, columns of ``predictions``, outcomes, checks, monitoring and the report follow. What decides about a
customer is asked by its role (``ROLES``) and never by a target's name.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Literal, get_args

from churn_pipeline.core.calendar import WEEK
from churn_pipeline.core.errors import InputError

Event = Literal["churn", "expansion"]
# risk: tiers, ranking, revenue at risk, reasons, saves and hold-out go by it. flag: is_flagged. expansion: readiness, candidates, uplift.
Role = Literal["risk", "flag", "expansion"]

# SQL, file names and asset keys are made of these.
_NAME = re.compile(r"[a-z][a-z0-9_]*")


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
        probability_column: of the predictions table; ``EVENT_probability_HORIZONd`` unless given.
        version_column: of the predictions table; the model version behind the probability. ``NAME_model_version`` unless given.
        kind_column: of the predictions table; what kind of model that is. ``NAME_model_kind`` unless given.
        settle_days: after the window's end, until everything that happened in it is known. No property of the question but of the
            data: 0 where the ends of customers are stated; see ``settled``.
    """

    name: str
    event: Event
    horizon_days: int
    mart: str
    stagger_weeks: int
    required: bool
    rule: HeuristicBaseline
    question: str
    title: str
    probability_column: str = ""
    version_column: str = ""
    kind_column: str = ""
    settle_days: int = 0

    def __post_init__(self) -> None:
        if not self.probability_column:
            object.__setattr__(self, "probability_column", f"{self.event}_probability_{self.horizon_days}d")
        if not self.version_column:
            object.__setattr__(self, "version_column", f"{self.name}_model_version")
        if not self.kind_column:
            object.__setattr__(self, "kind_column", f"{self.name}_model_kind")

    @property
    def columns(self) -> tuple[str, str, str]:
        """Its columns of the predictions table."""
        return self.probability_column, self.version_column, self.kind_column

    @property
    def horizon_weeks(self) -> int:
        """The smallest number of weeks that covers the horizon: 5 for 30 days, 13 for 90."""
        return -(-self.horizon_days // 7)

    @property
    def closing_days(self) -> int:
        """From S until its label is closed."""
        return self.horizon_days + self.settle_days

    @property
    def closing_weeks(self) -> int:
        """The smallest number of weeks after which a label is closed."""
        return -(-self.closing_days // 7)

    def newest_closed(self, training_monday: date) -> date:
        """The newest snapshot whose label is closed at ``training_monday`` (S + horizon + settle_days <= T)."""
        return training_monday - self.closing_weeks * WEEK

    def is_closed(self, snapshot_date: date, at: date) -> bool:
        return snapshot_date + timedelta(days=self.closing_days) <= at

    def settled(self, days: int) -> Target:
        """The same question of data in which what happened is known some days after its date."""
        return self if days == self.settle_days else replace(self, settle_days=days)


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
            kind_column="expansion_model_kind",
        ),
    )
}

# Which target decides what.
ROLES: dict[Role, str] = {"risk": "churn_90d", "flag": "churn_30d", "expansion": "expansion_90d"}
# People read the reasons of these.
EXPLAINED: tuple[Role, ...] = ("risk", "expansion")
_EVENT_OF: dict[Role, Event] = {"risk": "churn", "flag": "churn", "expansion": "expansion"}


def target_of(role: Role) -> Target:
    """The target that has a role."""
    return TARGETS[ROLES[role]]


def without_role() -> tuple[Target, ...]:
    """The targets that decide about nobody: they are predicted, published and judged."""
    return tuple(target for target in TARGETS.values() if target.name not in ROLES.values())


def in_reports() -> tuple[Target, ...]:
    """As people look at them: the one that the list is ranked by, the other horizons of churn, the longest first, and expansion last."""
    ranked_by = ROLES["risk"]
    return tuple(
        sorted(
            TARGETS.values(),
            key=lambda target: (target.name != ranked_by, target.event != "churn", -target.horizon_days),
        )
    )


def by_horizon(event: Event) -> tuple[Target, ...]:
    """The targets of one event, the shortest horizon first."""
    return tuple(sorted((t for t in TARGETS.values() if t.event == event), key=lambda target: target.horizon_days))


def shorter_than(target: Target) -> tuple[Target, ...]:
    """The targets of the same event with a shorter horizon: no probability of theirs is above this one's."""
    return tuple(other for other in by_horizon(target.event) if other.horizon_days < target.horizon_days)


def predicted_in(columns: Collection[str]) -> tuple[Target, ...]:
    """The targets whose columns a table of predictions has; a table made before a target was declared lacks it.

    The kind of the model is not asked for: it came later, and what an older version published has none.

    Args:
        columns: of the table.
    """
    return tuple(
        target for target in TARGETS.values() if {target.probability_column, target.version_column} <= set(columns)
    )


def target_named(name: str) -> Target:
    """The target of that name.

    Raises:
        InputError: there is none; the message names those there are.
    """
    try:
        return TARGETS[name]
    except KeyError:
        raise InputError(f"'{name}' is no target; there are {', '.join(TARGETS)}") from None


def check_targets() -> None:
    """Refuses a declaration that the rest cannot follow.

    Raises:
        InputError: one sentence for each thing that is wrong, naming it.
    """
    if problems := [*_problems_of_targets(), *_problems_of_roles()]:
        raise InputError(" ".join(problems))


def _problems_of_targets() -> Iterator[str]:
    columns: dict[str, str] = {}
    horizons: dict[tuple[str, int], str] = {}
    for key, target in TARGETS.items():
        if key != target.name:
            yield f"The target '{target.name}' is declared under another name, '{key}'."
        for name in (target.name, *target.columns):
            if not _NAME.fullmatch(name):
                yield f"'{name}' of the target '{key}' is no name of small letters, digits and underscores."
        if target.event not in get_args(Event):
            yield f"The target '{key}' is about '{target.event}', and there are only {' and '.join(get_args(Event))}."
        if target.horizon_days <= 0:
            yield f"The horizon of the target '{key}' is {target.horizon_days} days, and has to be longer than 0."
        if target.stagger_weeks <= 0:
            yield f"The target '{key}' keeps one snapshot in {target.stagger_weeks} weeks, and has to keep one in 1 or more."
        for column in target.columns:
            if column in columns:
                yield f"The column {column} belongs to both targets, '{columns[column]}' and '{key}'."
            columns.setdefault(column, key)
        if (twin := horizons.setdefault((target.event, target.horizon_days), key)) != key:
            yield f"The targets '{twin}' and '{key}' are one: {target.event} within {target.horizon_days} days."


def _problems_of_roles() -> Iterator[str]:
    for role in get_args(Role):
        name = ROLES.get(role)
        target = TARGETS.get(name or "")
        if target is None:
            yield f"The role '{role}' names '{name}', which is no target; there are {', '.join(TARGETS)}."
        elif target.event != _EVENT_OF[role]:
            yield f"The role '{role}' needs a target about {_EVENT_OF[role]}, and '{name}' is about {target.event}."
        elif target.event == "churn" and not target.required:
            yield f"The role '{role}' decides about every customer, so its target '{name}' has to be required."
