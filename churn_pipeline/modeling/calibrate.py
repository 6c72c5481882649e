"""Platt calibration: probabilities that mean what they say, affine in log-odds so that contributions still add up.

Fitted on log-odds of rows whose customers the model did not see: three folds by customer (cross-fitting). It costs no weeks, which a
slice of its own would, and covers all seasons of the closed year.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import md5

import numpy as np
from numpy.typing import ArrayLike, NDArray

from churn_pipeline.core.errors import RefusedError

# Three folds leave each model two thirds of the customers; more cost a training each and moved no probability by a tenth of its error.
FOLDS = 3
# Another salt than that of the stagger, whose remainder would make a fold one phase of the weeks.
_FOLD_SALT = "calibration fold"
# From how many distinct positive customers on the slope is taken as it was estimated; below, it is drawn towards 1 in proportion.
FULL_SLOPE = 100

# What happened counts half as much for every six weeks that it lies back: with four the level follows a moving book a little sooner and
# a book that only swings with its seasons a little worse, with a year it comes half a year late (docs/quality.md).
RECENT_HALF_LIFE_WEEKS = 6
# The level of the whole year counts as if so many departures had been seen at it: few of them say little about the level of today.
RECENT_PRIOR = 25.0

# Newton on two parameters of a smooth convex function converges in under ten steps; more means it is not converging.
_STEPS = 50
_TOLERANCE = 1e-10


def sigmoid(log_odds: ArrayLike) -> NDArray[np.float64]:
    """1 / (1 + exp(-x)), written with tanh because that neither overflows nor loses the small end."""
    return 0.5 * (1.0 + np.tanh(0.5 * np.asarray(log_odds, dtype=np.float64)))


def logit(probability: ArrayLike) -> NDArray[np.float64]:
    """log(p / (1 - p)). A probability of exactly 0 or 1, which float rounding can produce, is first moved inside by 1e-12."""
    inside = np.clip(np.asarray(probability, dtype=np.float64), 1e-12, 1 - 1e-12)
    return np.log(inside) - np.log1p(-inside)


@dataclass(frozen=True)
class Platt:
    """p = sigmoid(slope * margin + intercept), with the margin in log-odds."""

    slope: float
    intercept: float

    def log_odds(self, margin: ArrayLike) -> NDArray[np.float64]:
        return self.slope * np.asarray(margin, dtype=np.float64) + self.intercept

    def probability(self, margin: ArrayLike) -> NDArray[np.float64]:
        return sigmoid(self.log_odds(margin))


def fold_of(customers: Iterable[str]) -> NDArray[np.intp]:
    """The calibration fold of each customer, 0 to ``FOLDS`` - 1, shape (customers,); the same in every process."""
    return np.array(
        [int(md5(f"{_FOLD_SALT}:{customer}".encode()).hexdigest()[:8], 16) % FOLDS for customer in customers],
        dtype=np.intp,
    )


def level_shift(log_odds: ArrayLike, rate: float) -> float:
    """The constant that has to be added to log-odds for the mean probability to be ``rate``.

    Args:
        log_odds: shape (n,), n >= 1.
        rate: in (0, 1).
    """
    z = np.asarray(log_odds, dtype=np.float64)
    shift = float(logit(rate) - logit(sigmoid(z).mean()))
    for _ in range(_STEPS):
        p = sigmoid(z + shift)
        # A step of more than 2 only happens where almost all are at 0 or 1, and would overshoot.
        step = float(np.clip((rate - p.mean()) / max(float((p * (1 - p)).mean()), 1e-12), -2.0, 2.0))
        shift += step
        if abs(step) < _TOLERANCE:
            break
    return shift


def recent_ratio(
    probability: ArrayLike, happened: ArrayLike, seen: ArrayLike, age_weeks: ArrayLike, prior: float = RECENT_PRIOR
) -> float:
    """How many times as many departures there were of late as the probabilities say, drawn towards 1.

    (sum w y + c) / (sum w p s + c), with the weight w halved every ``RECENT_HALF_LIFE_WEEKS``: the mean of a gamma distribution of the
    level whose past is discounted, as in Smith and Miller (1986), "A Non-Gaussian State Space Model". A window of which a share s is
    over has had that share of its departures.

    Args:
        probability: of a whole window, p, shape (n,).
        happened: 1 where it happened in the part that is over, y, shape (n,).
        seen: that part, in (0, 1], s, shape (n,).
        age_weeks: how long ago the middle of that part was, shape (n,).
        prior: c, in departures.

    Returns:
        Above 0; 1 without rows.
    """
    weight = 0.5 ** (np.asarray(age_weeks, dtype=np.float64) / RECENT_HALF_LIFE_WEEKS)
    expected = np.asarray(probability, dtype=np.float64) * np.asarray(seen, dtype=np.float64)
    return float((weight @ np.asarray(happened, dtype=np.float64) + prior) / (weight @ expected + prior))


def at_ratio(platt: Platt, margin: ArrayLike, ratio: float) -> Platt:
    """The same slope, and the intercept at which the mean probability of the rows is so many times what it was."""
    log_odds = platt.log_odds(margin)
    # Nothing is certain: with a mean above one half a ratio says more than there is room for.
    rate = min(ratio * float(sigmoid(log_odds).mean()), 0.99)
    return Platt(platt.slope, platt.intercept + level_shift(log_odds, rate))


def calibrate(margin: ArrayLike, label: ArrayLike, positive_customers: int) -> Platt:
    """`fit_platt`, with the slope drawn towards 1 where few customers were positive.

    With n positive customers below ``FULL_SLOPE`` the slope is 1 + n / ``FULL_SLOPE`` times its distance from 1, and the intercept is
    the one that gives the mean probability of the labels: the level is always that of the rows.

    Args:
        margin: raw log-odds, shape (n,), of rows whose customers the model did not see.
        label: 0 or 1, shape (n,).
        positive_customers: distinct customers with a label of 1.

    Raises:
        RefusedError: as `fit_platt`.
    """
    full = fit_platt(margin, label)
    if positive_customers >= FULL_SLOPE:
        return full
    slope = 1 + positive_customers / FULL_SLOPE * (full.slope - 1)
    rate = float(np.asarray(label, dtype=np.float64).mean())
    return Platt(slope, level_shift(slope * np.asarray(margin, dtype=np.float64), rate))


def fit_platt(margin: ArrayLike, label: ArrayLike) -> Platt:
    """Fits slope and intercept by maximum likelihood.

    Labels are softened to (N1 + 1) / (N1 + 2) and 1 / (N0 + 2) as in Platt (1999), which keeps the slope finite when the margins
    separate the classes and is below one part in a thousand from a thousand rows on. Newton steps as in Lin, Lin and Weng (2007).

    Args:
        margin: raw log-odds, shape (n,).
        label: 0 or 1, shape (n,).

    Raises:
        RefusedError: the rows hold one class only, or the slope is not positive: the model ranks customers that it did not see backwards.
    """
    x = np.asarray(margin, dtype=np.float64)
    y = np.asarray(label, dtype=np.float64)
    positives = y.sum()
    negatives = len(y) - positives
    if not positives or not negatives:
        raise RefusedError(
            f"no model: the calibration rows are {positives:,.0f} positive and {negatives:,.0f} negative ones"
        )
    soft = np.where(y == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    slope, intercept = 0.0, float(np.log((positives + 1) / (negatives + 1)))
    loss = _loss(x, soft, slope, intercept)
    for _ in range(_STEPS):
        p = sigmoid(slope * x + intercept)
        w = p * (1 - p)
        gradient = np.array([np.dot(x, p - soft), np.sum(p - soft)])
        # The small ridge is for margins that are all alike, where the Hessian is singular and the slope stays 0.
        hessian = np.array([[np.dot(w, x * x), np.dot(w, x)], [np.dot(w, x), w.sum()]]) + 1e-12 * len(y) * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        scale = 1.0
        while (new := _loss(x, soft, slope - scale * step[0], intercept - scale * step[1])) > loss and scale > 1e-6:
            scale /= 2
        slope, intercept = slope - scale * step[0], intercept - scale * step[1]
        if loss - new < _TOLERANCE * len(y):
            break
        loss = new
    if slope <= 0:
        raise RefusedError(
            f"no model: calibration slope {slope:.3f} is not positive: what was learned ranks customers that it did not see no better than chance"
        )
    return Platt(float(slope), float(intercept))


def _loss(x: NDArray[np.float64], soft: NDArray[np.float64], slope: float, intercept: float) -> float:
    z = slope * x + intercept
    return float(np.sum(np.logaddexp(0, z) - soft * z))
