"""Where a customer's values stand among those of similar companies: the active customers of the same plan on the same Monday.

"Little" and "rarely" are said of what is in the lowest quarter and a fifth below the middle, and never because a contribution has a sign.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from churn_pipeline.features.catalogue import Feature
from churn_pipeline.scoring.columns import floats

# How many units of a format make one of what is written: what reads the same is neither below nor above.
_WRITTEN = {"percent": 100, "points": 100, "score": 100}
# Of fewer with a known value no quarter is told; then everybody is compared with, and where even those are fewer, nobody.
MIN_PEERS = 20
LITTLE = 0.8
# By format the smallest difference from the median that is worth a word, besides.
_LEAST = {"days": 7, "percent": 0.05}
SIMILAR, OTHERS = "similar companies", "other customers"

BELOW, ABOUT, ABOVE, UNKNOWN = range(4)


# Groups that somebody is compared with: nobody, everybody, and from here on the customers of one plan each.
NOBODY, EVERYBODY, FIRST_PLAN = range(3)


@dataclass(frozen=True)
class Standing:
    """How the values of one feature stand, customer by customer.

    Attributes:
        case: ``BELOW`` for the lowest quarter and a fifth less than the median, ``ABOVE`` for the highest and a quarter more, else ``ABOUT``; of a feature that is no number ``BELOW`` for no and
            ``ABOVE`` for yes; ``UNKNOWN`` where there is no value.
        group: with whom each customer is compared: ``NOBODY`` where there are too few, ``EVERYBODY``, or a plan from ``FIRST_PLAN`` on.
        medians: by group, of those compared with; it is the value of one of them. NaN where nobody is.
    """

    case: NDArray[np.int8]
    group: NDArray[np.int16]
    medians: tuple[float, ...]

    def of(self, rows: slice) -> Standing:
        """The same of some customers."""
        return Standing(self.case[rows], self.group[rows], self.medians)


def standings(features: Iterable[Feature], frame: pd.DataFrame) -> list[Standing]:
    """Compares everybody of a Monday with their peers.

    Args:
        features: a column that is missing is unknown of everybody.
        frame: the mart's rows of one Monday, all of them.
    """
    plan = plans(frame)
    members = [np.flatnonzero(plan == number) for number in range(int(plan.max(initial=-1)) + 1)]
    return [_standing(feature, frame, members) for feature in features]


def is_no_worse(feature: Feature, frame: pd.DataFrame, standing: Standing, *, is_compared: bool) -> NDArray[np.bool_]:
    """Whose value, as it is written, speaks for staying: not on the side that the feature calls worse.

    Args:
        feature: one without such a side is worse of nobody and better of nobody.
        frame: the mart's rows of one Monday, all of them.
        standing: how its values stand in it.
        is_compared: whether its sentences compare with similar companies. Where they do not, a change is compared with no change, a count with
            none, and yes or no with what is worse.
    """
    rows = len(frame)
    if feature.worse is None or feature.name not in frame.columns:
        return np.zeros(rows, dtype=np.bool_)
    values = floats(frame[feature.name])
    unit = _WRITTEN.get(feature.format, 1)
    if is_compared:
        limit = np.asarray(standing.medians)[standing.group]
    else:
        limit = np.full(
            rows, float(feature.format == "percent" or (feature.dtype == "boolean" and feature.worse == "below"))
        )
    written, limit = np.floor(unit * values + 0.5), np.floor(unit * limit + 0.5)
    # What is not known, or can be compared with nobody, speaks neither way.
    with np.errstate(invalid="ignore"):
        return written <= limit if feature.worse == "above" else written >= limit


def plans(frame: pd.DataFrame) -> NDArray[np.intp]:
    """A number for the plan of each customer, -1 where none is known."""
    column = next((name for name in ("known_plan_tier", "plan_tier") if name in frame.columns), None)
    if column is None:
        return np.full(len(frame), -1, dtype=np.intp)
    return pd.factorize(frame[column].astype(object).where(frame[column].notna(), None))[0]


def _standing(feature: Feature, frame: pd.DataFrame, plan_members: Sequence[NDArray[np.intp]]) -> Standing:
    rows = len(frame)
    case = np.full(rows, ABOUT, dtype=np.int8)
    group = np.full(rows, NOBODY, dtype=np.int16)
    medians = [np.nan] * (FIRST_PLAN + len(plan_members))
    if feature.name not in frame.columns:
        case[:] = UNKNOWN
        return Standing(case, group, tuple(medians))
    column = frame[feature.name]
    known = column.notna().to_numpy()
    case[~known] = UNKNOWN
    if feature.dtype == "categorical":
        return Standing(case, group, tuple(medians))
    values = floats(column)
    if feature.dtype == "boolean":
        case[known] = np.where(values[known] > 0, ABOVE, BELOW)
        return Standing(case, group, tuple(medians))
    compared = np.flatnonzero(known)
    groups = [(EVERYBODY, compared, compared)]
    groups += [(FIRST_PLAN + plan, own, own[known[own]]) for plan, own in enumerate(plan_members)]
    for number, compared, peers in groups:
        if len(peers) < MIN_PEERS:
            continue
        medians[number], case[peers] = _compare(values[peers], feature)
        group[compared] = number
    return Standing(case, group, tuple(medians))


def _compare(values: NDArray[np.float64], feature: Feature) -> tuple[float, NDArray[np.int8]]:
    """The median of some customers, and the case of each of them."""
    unit = _WRITTEN.get(feature.format, 1)
    # Differences have no scale: half of nothing is nothing.
    scale = 0 if feature.format == "points" else 1
    # Values of customers and nothing between two of them: half a ticket is nobody's.
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75), method="inverted_cdf")
    # Where most have the same value, it is not the quarter but the value that tells.
    case = np.full(len(values), ABOUT, dtype=np.int8)
    # Where all are alike, the lowest quarter is no little; and what reads the same is the same.
    differs = np.floor(unit * values + 0.5) != np.floor(unit * middle + 0.5)
    differs &= np.abs(values - middle) >= _LEAST.get(feature.format, 0)
    case[differs & (values <= low) & (values < middle) & (scale * values <= scale * LITTLE * middle)] = BELOW
    case[differs & (values >= high) & (values > middle) & (LITTLE * scale * values >= scale * middle)] = ABOVE
    return float(middle), case
