"""Platt calibration: probabilities that mean what they say, affine in log-odds so that SHAP contributions still add up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from churn_pipeline.core.errors import RefusedError

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


def fit_platt(margin: ArrayLike, label: ArrayLike) -> Platt:
    """Fits slope and intercept by maximum likelihood.

    Labels are softened to (N1 + 1) / (N1 + 2) and 1 / (N0 + 2) as in Platt (1999), which keeps the slope finite when the margins
    separate the classes and is below one part in a thousand from a thousand rows on. Newton steps as in Lin, Lin and Weng (2007).

    Args:
        margin: raw log-odds of the booster, shape (n,).
        label: 0 or 1, shape (n,).

    Raises:
        RefusedError: the slice holds one class only, or the slope is not positive: the model ranks later weeks backwards.
    """
    x = np.asarray(margin, dtype=np.float64)
    y = np.asarray(label, dtype=np.float64)
    positives = y.sum()
    negatives = len(y) - positives
    if not positives or not negatives:
        raise RefusedError(
            f"no model: the calibration slice has {positives:,.0f} positive and {negatives:,.0f} negative rows"
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
            f"no model: calibration slope {slope:.3f} is not positive: what the trees learned ranks the later weeks no better than chance"
        )
    return Platt(float(slope), float(intercept))


def _loss(x: NDArray[np.float64], soft: NDArray[np.float64], slope: float, intercept: float) -> float:
    z = slope * x + intercept
    return float(np.sum(np.logaddexp(0, z) - soft * z))
