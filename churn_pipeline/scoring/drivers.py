"""Drivers: the contributions that matter most, put into words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np
import pandas as pd
import pyarrow as pa

from churn_pipeline.features.catalogue import Catalogue, Feature
from churn_pipeline.scoring.columns import objects

TOP = 5

DRIVER_TYPE = pa.list_(
    pa.struct(
        [
            ("feature", pa.string()),
            ("label", pa.string()),
            ("value", pa.string()),
            ("contribution", pa.float64()),
            ("sentence", pa.string()),
        ]
    )
)


class Driver(TypedDict):
    """One entry of a driver list; ``contribution`` is in log-odds of the calibrated probability."""

    feature: str
    label: str
    value: str
    contribution: float
    sentence: str


def top_drivers(catalogue: Catalogue, frame: pd.DataFrame, contributions: np.ndarray) -> list[list[Driver]]:
    """The largest contributions of each row, by absolute value; ties keep the catalogue's order.

    Args:
        catalogue: the model's features, in the order of the columns of ``contributions``.
        frame: features as the mart holds them; a column that is missing reads as unknown.
        contributions: shape (rows, features), log-odds.

    Returns:
        For each row up to five drivers. Contributions of exactly 0 say nothing and are left out, except that the first always
        stays: a customer without a single reason would look like a mistake.
    """
    columns = [_values(frame, feature) for feature in catalogue]
    return _collect(
        catalogue,
        contributions,
        lambda feature, position, row, amount: Driver(
            feature=feature.name,
            label=feature.label,
            value=feature.text(columns[position][row]),
            contribution=amount,
            sentence=feature.sentence(columns[position][row], amount),
        ),
        keep_first=True,
    )


def change_drivers(
    catalogue: Catalogue,
    now: pd.DataFrame,
    before: pd.DataFrame,
    contributions_now: np.ndarray,
    contributions_before: np.ndarray,
) -> list[list[Driver]]:
    """What moved each customer's probability since last Monday, both weeks explained by the same model.

    Args:
        catalogue: the model's features.
        now: features of this Monday, one row a customer.
        before: features of last Monday; customers that are not in it get no change drivers.
        contributions_now: shape (rows of now, features), log-odds.
        contributions_before: shape (rows of before, features), log-odds.

    Returns:
        For each row of ``now`` up to five drivers; ``contribution`` is the difference.
    """
    position_before = pd.Index(before["customer_id"]).get_indexer(now["customer_id"])
    known = position_before >= 0
    difference = np.zeros_like(contributions_now)
    difference[known] = contributions_now[known] - contributions_before[position_before[known]]
    columns_now = [_values(now, feature) for feature in catalogue]
    columns_before = [_values(before, feature) for feature in catalogue]

    def driver(feature: Feature, position: int, row: int, amount: float) -> Driver:
        value = feature.text(columns_now[position][row])
        former = feature.text(columns_before[position][position_before[row]])
        # The same value says something else where another one moved: trees look at values together.
        moved = (
            f"from {former} to {value}, which"
            if former != value
            else f"{value} as the week before, which with what else changed"
        )
        return Driver(
            feature=feature.name,
            label=feature.label,
            value=value,
            contribution=amount,
            sentence=f"{feature.label}: {moved} {'raised' if amount > 0 else 'lowered'} the risk",
        )

    return _collect(catalogue, difference, driver, keep_first=False)


def _collect(catalogue: Catalogue, amounts: np.ndarray, driver: Any, *, keep_first: bool) -> list[list[Driver]]:
    order = np.argsort(-np.abs(amounts), axis=1, kind="stable")[:, :TOP]
    top = np.take_along_axis(amounts, order, axis=1).tolist()
    features: Sequence[Feature] = list(catalogue)
    return [
        [
            driver(features[position], position, row, amount)
            for place, (position, amount) in enumerate(zip(positions, values, strict=True))
            if amount != 0 or (keep_first and place == 0)
        ]
        for row, (positions, values) in enumerate(zip(order.tolist(), top, strict=True))
    ]


def _values(frame: pd.DataFrame, feature: Feature) -> list[Any]:
    if feature.name not in frame.columns:
        return [None] * len(frame)
    return objects(frame[feature.name])
