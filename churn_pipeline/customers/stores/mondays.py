"""What made a published Monday: its models and its policy."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from churn_pipeline.core.targets import TARGETS
from churn_pipeline.customers.stores.published import Publication
from churn_pipeline.delivery.call_list import PREDICTIONS


@dataclass(frozen=True)
class ServingModel:
    """A model that scored a Monday; version and kind are None in a week of a version that did not keep them."""

    target: str
    model_version: str | None
    model_kind: str | None


@dataclass(frozen=True)
class MondayFacts:
    """What made a Monday.

    Attributes:
        customers: who were active.
        models: one for each target that was predicted.
        scored_at: UTC, without a zone.
    """

    customers: int
    models: tuple[ServingModel, ...]
    policy_version: str
    scored_at: datetime


def facts_of(publication: Publication, snapshot_date: date) -> MondayFacts:
    """What made a published Monday.

    Args:
        publication: where it is published.
        snapshot_date: one of its Mondays.
    """
    targets = tuple(TARGETS.values())
    with publication.cursor() as cursor:
        # A table from before a column has none of it.
        there = {name for name, *_ in cursor.execute("describe predictions").fetchall()}
        columns = ", ".join(
            f"any_value({column})" if column in there else "null"
            for target in targets
            for column in (target.probability_column, target.version_column, target.kind_column)
        )
        (row,) = cursor.execute(
            f"select count(*), max(policy_version), max(scored_at), {columns} from {PREDICTIONS} as predictions "
            "where snapshot_date = ?",
            [snapshot_date],
        ).fetchall()
    customers, policy_version, scored_at, *of_targets = row
    models = tuple(
        ServingModel(target.name, of_targets[3 * n + 1], of_targets[3 * n + 2])
        for n, target in enumerate(targets)
        if of_targets[3 * n] is not None
    )
    return MondayFacts(customers, models, policy_version, scored_at)
