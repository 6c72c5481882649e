"""One vectorised pass per target over everybody who is active on a Monday."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa

from churn_pipeline.core.targets import EXPLAINED, ROLES, TARGETS, shorter_than
from churn_pipeline.features.catalogue import Catalogue
from churn_pipeline.modeling.model import ScoringModel
from churn_pipeline.scoring.drivers import DRIVER_TYPE, Driver, change_drivers, top_drivers
from churn_pipeline.scoring.themes import CHANGE_TYPE, THEME_TYPE, Reason, change_column, change_parts, reasons

# Over this share of customers raised, two models of one event disagree about who is at risk soon, and one of them is wrong.
MAX_RAISED_SHARE = 0.02

SCORES = pa.schema(
    [
        ("snapshot_date", pa.date32()),
        ("customer_id", pa.string()),
        ("target", pa.string()),
        ("probability", pa.float64()),
        ("bias", pa.float64()),
        ("contributions", pa.list_(pa.struct([("feature", pa.string()), ("contribution", pa.float64())]))),
        ("drivers", DRIVER_TYPE),
        ("change_drivers", DRIVER_TYPE),
        ("themes", THEME_TYPE),
        ("change_themes", CHANGE_TYPE),
    ]
)


@dataclass(frozen=True)
class ScoredMonday:
    """The scores of one Monday.

    Attributes:
        scores: schema ``SCORES``, one row per target and customer of its mart, ordered by target (as declared) and customer_id. Bias and
            contributions add up to the log-odds of the calibrated probability before the raise. Only explained targets have drivers, and
            only the one of role risk has themes and what changed.
        customers: active customers.
        adjusted: by target with a shorter horizon beside it, the share of customers whose probability was raised to that of a shorter one.
        notices: what a person should know, for example columns that were not there.
    """

    scores: pa.Table
    customers: int
    adjusted: Mapping[str, float]
    notices: tuple[str, ...]

    @property
    def means(self) -> dict[str, float]:
        """By target the mean of its probabilities; without a target that nobody was scored for."""
        target = self.scores["target"].to_numpy()
        probability = self.scores["probability"].to_numpy()
        return {name: float(probability[target == name].mean()) for name in dict.fromkeys(target)}

    @property
    def adjusted_share(self) -> float:
        """The largest share of customers raised."""
        return max(self.adjusted.values(), default=0.0)


def score_monday(
    snapshot_date: date,
    models: Mapping[str, ScoringModel],
    frames: Mapping[str, pd.DataFrame],
    before: pd.DataFrame,
    today: Catalogue,
) -> ScoredMonday:
    """Scores one Monday.

    Args:
        snapshot_date: the Monday.
        models: by target; all that are required, and of the others those there are.
        frames: by target, the mart's rows of the Monday, ordered by customer_id.
        before: the rows of the Monday before in the mart of the target of role risk, for what changed.
        today: the catalogue of that mart as it is now, for models that were stored without themes.
    """
    explained = {target: models[target].explain(frames[target]) for target in TARGETS if target in models}
    customers = {target: frames[target]["customer_id"].astype(object).to_numpy() for target in explained}
    probabilities, adjusted = monotone(
        {
            target: pd.Series(explanation.probability, index=customers[target], dtype=np.float64)
            for target, explanation in explained.items()
        }
    )
    parts = []
    for target, explanation in explained.items():
        model, frame = models[target], frames[target]
        rows = len(frame)
        drivers: list[list[Driver] | None] = [None] * rows
        change: list[list[Driver] | None] = [None] * rows
        themes: list[list[Reason] | None] = [None] * rows
        moved = pa.nulls(rows, CHANGE_TYPE)
        if target in {ROLES[role] for role in EXPLAINED}:
            drivers = list(top_drivers(model.catalogue, frame, explanation.contributions))
        if target == ROLES["risk"]:
            themed = model.catalogue.with_themes(today)
            themes = list(reasons(themed, frame, explanation.contributions))
            change = [[] for _ in range(rows)]
            if len(before):
                former = model.contributions(before)[0]
                change = list(change_drivers(model.catalogue, frame, before, explanation.contributions, former))
                position = pd.Index(before["customer_id"]).get_indexer(frame["customer_id"])
                known = position >= 0
                moved = change_column(
                    change_parts(
                        themed,
                        explanation.contributions[known],
                        former[position[known]],
                        explanation.bias,
                        (probabilities[target].to_numpy() - explanation.probability)[known],
                    ),
                    known,
                )
        parts.append(
            pa.table(
                {
                    "snapshot_date": pa.array([snapshot_date] * rows, pa.date32()),
                    "customer_id": pa.array(customers[target], pa.string()),
                    "target": pa.array([target] * rows, pa.string()),
                    "probability": pa.array(probabilities[target].to_numpy(), pa.float64()),
                    "bias": pa.array([explanation.bias] * rows, pa.float64()),
                    "contributions": _contributions(model.catalogue.names, explanation.contributions),
                    "drivers": pa.array(drivers, DRIVER_TYPE),
                    "change_drivers": pa.array(change, DRIVER_TYPE),
                    "themes": pa.array(themes, THEME_TYPE),
                    "change_themes": moved,
                },
                schema=SCORES,
            )
        )
    notices = tuple(dict.fromkeys(notice for explanation in explained.values() for notice in explanation.notices))
    return ScoredMonday(pa.concat_tables(parts), len(frames[ROLES["risk"]]), adjusted, notices)


def monotone(probabilities: Mapping[str, pd.Series]) -> tuple[dict[str, pd.Series], dict[str, float]]:
    """Raises probabilities of one event so that none falls with the horizon.

    Args:
        probabilities: by target, indexed by customer; targets that are not there raise nothing.

    Returns:
        By target the maximum of its probability and those of the shorter horizons, and by each target that has a shorter one beside it
        the share of its customers that were raised.
    """
    raised, shares = {}, {}
    for name, own in probabilities.items():
        shorter = [probabilities[other.name] for other in shorter_than(TARGETS[name]) if other.name in probabilities]
        highest = own
        for other in shorter:
            # Of a customer whom the other mart does not have nothing is known there.
            highest = pd.Series(np.fmax(highest, other.reindex(own.index)), index=own.index)
        raised[name] = highest
        if shorter:
            shares[name] = float(np.mean(highest > own)) if len(own) else 0.0
    return raised, shares


def _contributions(features: list[str], values: np.ndarray) -> pa.ListArray:
    rows, width = values.shape
    entries = pa.StructArray.from_arrays(
        [
            pa.DictionaryArray.from_arrays(np.tile(np.arange(width, dtype=np.int32), rows), features).cast(pa.string()),
            pa.array(values.ravel(), pa.float64()),
        ],
        names=["feature", "contribution"],
    )
    return pa.ListArray.from_arrays(np.arange(0, rows * width + 1, width, dtype=np.int32), entries)
