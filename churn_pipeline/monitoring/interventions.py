"""What is known of the worth of interventions: how many of the touched stayed, and what a random holdout says.

The two answer different questions. `saves` counts: of the customers in an urgent tier whom somebody tried to keep, so many
are still here, beside the number that the probabilities lead to expect. Who is called is chosen, so the difference is
no effect of calling. `holdout_lift` compares groups that chance made, which is what an effect can be read from.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from math import hypot, sqrt

import numpy as np
import pandas as pd
from numpy.typing import NDArray

SAVES_NOTE = "a count beside an expectation: whom to call was chosen, so the difference is not the effect of calling"
LIFT_METHOD = "Newcombe's hybrid score interval, strata of risk and plan tier with Mantel-Haenszel weights, 95 %"
# Two-sided 95 %.
_Z = 1.96


@dataclass(frozen=True)
class Saves:
    """Customers in an urgent tier in the predictions of a Monday who had an intervention within 90 days.

    Attributes:
        predicted_on: the snapshot_date of the predictions.
        touched: how many there were.
        expected_to_stay: of them, by their own probabilities: the sum of 1 - p.
        expected_low: 95 % range of that number by chance alone, if every probability is right.
        expected_high: its other end.
        stayed: still active 13 weeks later.
        left_the_book: gone without churning; neither saved nor lost, and among those expected to stay.
    """

    predicted_on: date
    touched: int
    expected_to_stay: float
    expected_low: float
    expected_high: float
    stayed: int
    left_the_book: int


@dataclass(frozen=True)
class Lift:
    """Churn within 90 days among customers in an urgent tier who were held out of the call list, and among the others.

    Attributes:
        predicted_on: the snapshot_date of the predictions.
        held_out: customers held out, in strata that have others too.
        held_out_churned: of them those who churned.
        others: the rest of the same strata, called or not: comparing only the called would undo the drawing of lots.
        others_churned: of them those who churned.
        held_out_rate: churn rate of the held out, weighted over the strata, 0 to 1.
        others_rate: the same of the others, with the same weights.
        lift: their difference; above 0, fewer left where calling was allowed.
        low: lower end of its 95 % interval.
        high: upper end.
    """

    predicted_on: date
    held_out: int
    held_out_churned: int
    others: int
    others_churned: int
    held_out_rate: float
    others_rate: float
    lift: float
    low: float
    high: float


def saves(predicted_on: date, outcomes: pd.DataFrame, urgent: Collection[str]) -> Saves | None:
    """Counts who stayed of those whom somebody tried to keep.

    Args:
        predicted_on: the snapshot_date of the predictions.
        outcomes: one row per customer with the 90-day probability of churn: risk_tier, touched, probability, status.
        urgent: names of the tiers whose customers were called, by the policy of that Monday.

    Returns:
        None where nobody in an urgent tier was touched.
    """
    called = outcomes[outcomes["touched"].astype(bool) & outcomes["risk_tier"].isin(urgent)]
    if called.empty:
        return None
    stays = 1 - called["probability"].to_numpy(dtype=np.float64)
    expected = float(stays.sum())
    # Independent customers with probabilities of their own: the variance of a Poisson binomial.
    spread = _Z * sqrt(float((stays * (1 - stays)).sum()))
    return Saves(
        predicted_on=predicted_on,
        touched=len(called),
        expected_to_stay=expected,
        expected_low=max(0.0, expected - spread),
        expected_high=min(float(len(called)), expected + spread),
        stayed=int((called["status"] == "active").sum()),
        left_the_book=int((called["status"] == "left").sum()),
    )


def holdout_lift(predicted_on: date, outcomes: pd.DataFrame, urgent: Collection[str]) -> Lift | None:
    """How many more of those who were held out churned than of the others, within strata of risk tier and plan tier.

    Rates are averaged over the strata with the weights of Mantel and Haenszel, h o / (h + o), which give least to the
    strata that say least, and none to those where one side is empty. The interval is the hybrid score interval of
    Newcombe (1998, method 10) on the two averages, each with the number of customers that its weights are worth,
    1 / sum(w^2 / n): a shorter way to the stratified interval of Yan and Su (2010), which it equals in one stratum. It
    stands where nobody churned, where an interval from a standard error would have no width.

    Args:
        predicted_on: the snapshot_date of the predictions.
        outcomes: one row per customer with the 90-day label of churn: risk_tier, plan_tier, is_holdout, label.
        urgent: names of the tiers whose customers could be held out, by the policy of that Monday.

    Returns:
        None where no stratum has customers on both sides.
    """
    drawn = outcomes[outcomes["risk_tier"].isin(urgent)]
    stratum = [drawn["risk_tier"], drawn["plan_tier"].fillna("unknown")]
    held_out, churned = drawn["is_holdout"].astype(bool), drawn["label"].astype(bool)

    def counted(where: pd.Series) -> NDArray[np.float64]:
        return where.groupby(stratum, observed=True).sum().to_numpy(dtype=np.float64)

    # Held out, others; shape (strata, 2).
    n = np.column_stack([counted(held_out), counted(~held_out)])
    x = np.column_stack([counted(held_out & churned), counted(~held_out & churned)])
    both = (n > 0).all(axis=1)
    if not both.any():
        return None
    n, x = n[both], x[both]
    weight = n.prod(axis=1) / n.sum(axis=1)
    weight = (weight / weight.sum())[:, np.newaxis]
    rate = (weight * x / n).sum(axis=0)
    worth = 1 / (weight**2 / n).sum(axis=0)
    (low, high), (others_low, others_high) = (_wilson(float(r), float(w)) for r, w in zip(rate, worth, strict=True))
    held_out_rate, others_rate = (float(value) for value in rate)
    return Lift(
        predicted_on=predicted_on,
        held_out=int(n[:, 0].sum()),
        held_out_churned=int(x[:, 0].sum()),
        others=int(n[:, 1].sum()),
        others_churned=int(x[:, 1].sum()),
        held_out_rate=held_out_rate,
        others_rate=others_rate,
        lift=held_out_rate - others_rate,
        low=held_out_rate - others_rate - hypot(held_out_rate - low, others_high - others_rate),
        high=held_out_rate - others_rate + hypot(high - held_out_rate, others_rate - others_low),
    )


def _wilson(rate: float, n: float) -> tuple[float, float]:
    """Wilson's score interval, 95 %, of a rate among n customers, which need not be a whole number."""
    middle = (rate + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * sqrt(rate * (1 - rate) / n + _Z**2 / (4 * n**2))
    return max(0.0, middle - half), min(1.0, middle + half)
