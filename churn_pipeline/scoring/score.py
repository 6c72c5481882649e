"""One vectorised pass per target over everybody who is active on a Monday."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa

from churn_pipeline.modeling.model import ScoringModel
from churn_pipeline.scoring.drivers import DRIVER_TYPE, Driver, change_drivers, top_drivers

# Over this share of customers raised, the two churn models disagree about who is at risk soon, and one of them is wrong.
MAX_RAISED_SHARE = 0.02

SCORES = pa.schema(
    [
        ("snapshot_date", pa.date32()),
        ("customer_id", pa.string()),
        ("churn_probability_30d", pa.float64()),
        ("churn_probability_90d", pa.float64()),
        ("expansion_propensity", pa.float64()),
        ("churn_drivers", DRIVER_TYPE),
        ("change_drivers", DRIVER_TYPE),
        ("expansion_drivers", DRIVER_TYPE),
    ]
)
CONTRIBUTIONS = pa.schema(
    [
        ("snapshot_date", pa.date32()),
        ("customer_id", pa.string()),
        ("target", pa.string()),
        ("bias", pa.float64()),
        ("contributions", pa.list_(pa.struct([("feature", pa.string()), ("contribution", pa.float64())]))),
    ]
)


@dataclass(frozen=True)
class ScoredMonday:
    """The scores of one Monday.

    Attributes:
        scores: schema ``SCORES``, one row per active customer, ordered by customer_id.
        contributions: schema ``CONTRIBUTIONS``, one row per customer and target. They add up to the log-odds of the calibrated
            probability before the raise.
        raised_share: share of customers whose 90-day probability was raised to the 30-day one.
        notices: what a person should know, for example columns that were not there.
    """

    scores: pa.Table
    contributions: pa.Table
    adjusted_share: float
    notices: tuple[str, ...]


def score_monday(
    snapshot_date: date,
    models: Mapping[str, ScoringModel],
    frames: Mapping[str, pd.DataFrame],
    before: pd.DataFrame,
) -> ScoredMonday:
    """Scores one Monday.

    Args:
        snapshot_date: the Monday.
        models: by target; both churn targets, and ``expansion_90d`` where there is a model for it.
        frames: by target, the mart's rows of the Monday, ordered by customer_id.
        before: the churn mart's rows of the Monday before, for what changed.
    """
    churn = frames["churn_90d"]
    customers = churn["customer_id"].astype(object).to_numpy()
    explained = {target: model.explain(frames[target]) for target, model in models.items()}

    p30 = explained["churn_30d"].probability
    p90 = np.maximum(p30, explained["churn_90d"].probability)
    catalogue = models["churn_90d"].catalogue
    drivers = top_drivers(catalogue, churn, explained["churn_90d"].contributions)
    if len(before):
        change = change_drivers(
            catalogue,
            churn,
            before,
            explained["churn_90d"].contributions,
            models["churn_90d"].contributions(before)[0],
        )
    else:
        change = [[] for _ in customers]

    propensity: np.ndarray = np.full(len(customers), np.nan)
    expansion: list[list[Driver] | None] = [None] * len(customers)
    if "expansion_90d" in models:
        frame = frames["expansion_90d"]
        position = pd.Index(customers).get_indexer(frame["customer_id"].astype(object))
        propensity[position] = explained["expansion_90d"].probability
        for row, customer_drivers in zip(
            position,
            top_drivers(models["expansion_90d"].catalogue, frame, explained["expansion_90d"].contributions),
            strict=True,
        ):
            expansion[row] = customer_drivers

    scores = pa.table(
        {
            "snapshot_date": pa.array([snapshot_date] * len(customers), pa.date32()),
            "customer_id": pa.array(customers, pa.string()),
            "churn_probability_30d": pa.array(p30, pa.float64()),
            "churn_probability_90d": pa.array(p90, pa.float64()),
            "expansion_propensity": pa.array(propensity, pa.float64(), from_pandas=True),
            "churn_drivers": pa.array(drivers, DRIVER_TYPE),
            "change_drivers": pa.array(change, DRIVER_TYPE),
            "expansion_drivers": pa.array(expansion, DRIVER_TYPE),
        },
        schema=SCORES,
    )
    monotonicity_adjusted = float(np.mean(p90 > explained["churn_90d"].probability)) if len(customers) else 0.0
    contributions = pa.concat_tables(
        [
            _contribution_table(
                snapshot_date,
                target,
                frames[target]["customer_id"].astype(object).to_numpy(),
                models[target].catalogue.names,
                explanation.contributions,
                explanation.bias,
            )
            for target, explanation in explained.items()
        ]
    )
    notices = tuple(dict.fromkeys(notice for explanation in explained.values() for notice in explanation.notices))
    return ScoredMonday(scores, contributions, monotonicity_adjusted, notices)


def _contribution_table(
    snapshot_date: date, target: str, customers: np.ndarray, features: list[str], values: np.ndarray, bias: float
) -> pa.Table:
    rows, width = values.shape
    entries = pa.StructArray.from_arrays(
        [
            pa.DictionaryArray.from_arrays(np.tile(np.arange(width, dtype=np.int32), rows), features).cast(pa.string()),
            pa.array(values.ravel(), pa.float64()),
        ],
        names=["feature", "contribution"],
    )
    return pa.table(
        {
            "snapshot_date": pa.array([snapshot_date] * rows, pa.date32()),
            "customer_id": pa.array(customers, pa.string()),
            "target": pa.array([target] * rows, pa.string()),
            "bias": pa.array([bias] * rows, pa.float64()),
            "contributions": pa.ListArray.from_arrays(np.arange(0, rows * width + 1, width, dtype=np.int32), entries),
        },
        schema=CONTRIBUTIONS,
    )
