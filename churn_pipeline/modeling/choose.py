"""Which of several forecasts is better, on the same rows, whatever level a season had.

Rows lie in test blocks. In each block every forecast is first shifted to the share of that block, by one constant in log-odds: a forecast
that happened to be high in a bad season has not earned anything by it. What is left is compared by the log loss, which rewards both
order and confidence, with a standard error that knows that rows of one customer are not independent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from churn_pipeline.core.model_kinds import JUDGED, Kind
from churn_pipeline.modeling.calibrate import level_shift

type Floats = NDArray[np.float64]

# A forecast is clearly worse where the two-sided 90 % interval of the difference lies wholly on its side.
CLEARLY = 1.645


@dataclass(frozen=True)
class Difference:
    """How much more one forecast loses than another, per row, in nats: above 0 the first is worse.

    Attributes:
        value: mean difference of the log losses.
        standard_error: of the mean, clustered by customer.
    """

    value: float
    standard_error: float

    @property
    def low(self) -> float:
        return self.value - CLEARLY * self.standard_error

    @property
    def high(self) -> float:
        return self.value + CLEARLY * self.standard_error

    @property
    def clearly_worse(self) -> bool:
        """Whether the 90 % interval lies above 0."""
        return self.low > 0

    @property
    def within_one_standard_error(self) -> bool:
        return abs(self.value) <= self.standard_error


@dataclass(frozen=True)
class JudgedRows:
    """What forecasts are compared on: rows of blocks that hold both classes.

    Attributes:
        label: 0 or 1, shape (rows,).
        block: number of each row's block, shape (rows,).
        customer: code of each row's customer, shape (rows,).
        kept: which of the rows it was made from are among them; those of a block of one class say nothing.
    """

    label: Floats
    block: NDArray[np.intp]
    customer: NDArray[np.intp]
    kept: NDArray[np.bool_]

    @classmethod
    def of(cls, label: ArrayLike, block: ArrayLike, customer: NDArray[np.intp]) -> JudgedRows:
        y, b = np.asarray(label, dtype=np.float64), np.asarray(block, dtype=np.intp)
        kept = np.zeros(len(y), dtype=bool)
        for number in np.unique(b):
            rows = b == number
            kept |= rows & (0 < y[rows].mean() < 1)
        return cls(y[kept], b[kept], customer[kept], kept)

    def __len__(self) -> int:
        return len(self.label)

    def losses(self, log_odds: Floats) -> Floats:
        """The log loss of each row after the shift of its block, nats, shape (rows,).

        Args:
            log_odds: of the forecast, for the rows that this was made from.
        """
        z = np.asarray(log_odds, dtype=np.float64)[self.kept].copy()
        for number in np.unique(self.block):
            rows = self.block == number
            z[rows] += level_shift(z[rows], float(self.label[rows].mean()))
        return np.logaddexp(0, z) - self.label * z

    def difference(self, losses: Floats, others: Floats) -> Difference:
        """The first minus the second, with a cluster-robust standard error (Liang and Zeger, 1986)."""
        each = losses - others
        mean = float(each.mean())
        by_customer = np.bincount(self.customer, weights=each - mean)
        return Difference(mean, float(np.sqrt(np.sum(by_customer**2)) / len(each)))


@dataclass(frozen=True)
class Choice:
    """The kind that serves, and how the others compare with it.

    Attributes:
        kind: the one that serves.
        loss: mean log loss after the shifts, nats, by kind.
        behind: by kind, how much more it loses than the one that serves.
    """

    kind: Kind
    loss: Mapping[Kind, float]
    behind: Mapping[Kind, Difference]


def choose(rows: JudgedRows, losses: Mapping[Kind, Floats]) -> Choice:
    """Takes the kind that loses least, and does not take a small lead for one.

    Where trees and logistic regression are within one standard error of each other it is a tie, and their mean serves: of two equal
    forecasts that err differently the mean errs less. Else the better of the two serves, as the simpler one, unless the mean is better than it by more than
    one standard error.

    Args:
        rows: that were judged.
        losses: by kind of ``JUDGED``, as from `JudgedRows.losses`; one at least.
    """
    there = [kind for kind in JUDGED if kind in losses]
    simple = [kind for kind in there if kind != "mean"]
    kind = min(simple or there, key=lambda each: float(losses[each].mean()))
    if "mean" in losses and len(simple) == 2:
        lead = rows.difference(losses[simple[0]], losses[simple[1]])
        gain = rows.difference(losses[kind], losses["mean"])
        if lead.within_one_standard_error or gain.value > gain.standard_error:
            kind = "mean"
    return Choice(
        kind,
        {each: float(losses[each].mean()) for each in there},
        {each: rows.difference(losses[each], losses[kind]) for each in there if each != kind},
    )
