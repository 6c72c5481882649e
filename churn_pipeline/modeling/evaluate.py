"""How good a set of scores is, each figure with an interval that knows rows of one customer are not independent.

The bootstrap draws customers, not rows: a customer has up to four snapshots in a test slice, with nearly the same features and often the
same label, and rows drawn singly would make every interval too narrow. A resample is a vector of whole-number weights, so no row is ever
copied: sums are one matrix product for all resamples, and rankings sort once and accumulate weights from one positive row to the next.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from churn_pipeline.modeling.calibrate import logit, sigmoid

# A customer-success team of five makes about 200 calls a week.
TOP_PER_WEEK = 200
# The flag of the product: the probability of the target of role flag is above this.
FLAG = 0.7
ECE_BINS = 15
TOP_SHARE = 0.1
# What the business asked for at the flag.
BUSINESS_TARGETS = {"precision_at_flag": 0.80, "recall_at_flag": 0.70, "auc": 0.85}
# Weights held at once. Eight million of 4 bytes, and three arrays of that size, stay near 100 MB however many rows there are.
_CELLS = 8_000_000

type Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A figure and its percentile interval. NaN where it is not defined, such as precision at the flag when nobody is flagged."""

    value: float
    low: float
    high: float

    @property
    def defined(self) -> bool:
        return self.value == self.value

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})" if self.defined else "not defined"


@dataclass(frozen=True)
class Resamples:
    """Customer-clustered bootstrap weights.

    Attributes:
        customer: code of each row's customer, shape (rows,).
        counts: how often each customer was drawn, shape (replicates + 1, customers). Row 0 is all ones: the sample itself, so that
            figures and their replicates come from one piece of code.
    """

    customer: NDArray[np.intp]
    counts: NDArray[np.int32]

    @classmethod
    def draw(cls, customer_id: pd.Series, replicates: int, seed: int) -> Resamples:
        codes, customers = pd.factorize(customer_id)
        rng = np.random.default_rng(seed)
        counts = np.ones((replicates + 1, len(customers)), dtype=np.int32)
        for row in range(1, replicates + 1):
            counts[row] = np.bincount(rng.integers(0, len(customers), len(customers)), minlength=len(customers))
        return cls(codes, counts)

    def rows(self, wanted: NDArray[np.bool_] | NDArray[np.intp]) -> Resamples:
        """The same draws for some of the rows."""
        return Resamples(self.customer[wanted], self.counts)

    def sums(self, columns: Mapping[str, ArrayLike]) -> dict[str, Floats]:
        """The weighted sum of each column in each resample, shape (replicates + 1,)."""
        by_customer = np.stack(
            [
                np.bincount(self.customer, weights=np.asarray(values, dtype=np.float64), minlength=self.counts.shape[1])
                for values in columns.values()
            ],
            axis=1,
        )
        return dict(zip(columns, np.vstack([part @ by_customer for part in self._parts()]).T, strict=True))

    def weights(self, order: NDArray[np.intp]) -> Iterator[NDArray[np.int32]]:
        """Row weights in the given order, shape (some replicates, rows), a few replicates at a time."""
        for part in self._parts(len(order)):
            yield np.take(part, self.customer[order], axis=1)

    def between(
        self, order: NDArray[np.intp], cuts: NDArray[np.intp], singly: NDArray[np.intp]
    ) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int32]]]:
        """Of the rows in the given order the weights of some, and the sums of the weights between cuts; a few replicates at a time.

        Args:
            order: of the rows.
            cuts: positions in that order, rising, from 0 to the number of rows.
            singly: positions in that order.

        Returns:
            Shapes (some replicates, rows asked for) and (some replicates, cuts - 1).
        """
        from scipy.sparse import csr_array

        segments = np.repeat(np.arange(len(cuts) - 1), np.diff(cuts))
        customers = self.customer[order]
        # How many rows of each customer lie in each segment; (segments, customers).
        held = csr_array(
            (np.ones(len(order), dtype=np.int32), (segments, customers)), shape=(len(cuts) - 1, self.counts.shape[1])
        )
        for part in self._parts(max(len(singly), len(cuts))):
            yield np.take(part, customers[singly], axis=1), np.ascontiguousarray((held @ part.T).T)

    def _parts(self, width: int | None = None) -> Iterator[NDArray[np.int32]]:
        step = max(1, _CELLS // max(1, width or self.counts.shape[1]))
        for start in range(0, len(self.counts), step):
            yield self.counts[start : start + step]


@dataclass(frozen=True)
class Evaluation:
    """All figures of one set of scores.

    Attributes:
        replicates: for each figure its value (position 0) and its value in every resample, shape (replicates + 1,).
    """

    replicates: Mapping[str, Floats]

    def __getitem__(self, metric: str) -> Estimate:
        return estimate(self.replicates[metric])

    def estimates(self) -> dict[str, Estimate]:
        return {metric: self[metric] for metric in self.replicates}

    def minus(self, other: Evaluation, metric: str, level: float = 0.95) -> Estimate:
        """The paired difference: both sides see the same resamples, so what they share cancels."""
        return estimate(self.replicates[metric] - other.replicates[metric], level)


def estimate(replicates: Floats, level: float = 0.95) -> Estimate:
    """Value and percentile interval of ``level`` coverage. Resamples in which the figure is not defined are left out of the interval."""
    drawn = replicates[1:][np.isfinite(replicates[1:])]
    if not np.isfinite(replicates[0]) or not len(drawn):
        return Estimate(float(replicates[0]), float("nan"), float("nan"))
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(float(replicates[0]), float(low), float(high))


def evaluate_ranking(
    label: ArrayLike, score: ArrayLike, week: ArrayLike, resamples: Resamples, top: float = TOP_PER_WEEK
) -> Evaluation:
    """The figures that depend on the order of the scores alone.

    Ties are exact: AUC counts a tied pair half, average precision steps once per distinct score (as scikit-learn does), and a capacity
    that ends inside a tie takes the tied rows in equal parts, which is the expectation over a random order.

    Args:
        label: 0 or 1, shape (rows,).
        score: any real number, higher is more likely, shape (rows,).
        week: the snapshot_date of each row; the top 200 are counted in each week.
        resamples: over the same rows.
        top: how many rows of a week stand for the top 200; fewer where the rows are a sample.

    Returns:
        auc; average_precision; precision_top_200, recall_top_200: of the 200 highest scores of each week, pooled over the weeks;
        lift_top_decile: share of positives in the highest tenth of rows over the share in all.
    """
    y, s = np.asarray(label, dtype=bool), np.asarray(score, dtype=np.float64)
    parts: dict[str, list[Floats]] = {"auc": [], "average_precision": [], "lift_top_decile": []}
    for ranked in _ranked(y, s, resamples):
        parts["auc"].append(ranked.auc())
        parts["average_precision"].append(ranked.average_precision())
        captured, taken = ranked.captured(TOP_SHARE * ranked.total)
        parts["lift_top_decile"].append(_ratio(_ratio(captured, ranked.positives), taken / ranked.total))
    hits, called, positives = (np.zeros(1) for _ in range(3))
    for monday in np.unique(np.asarray(week)):
        rows = np.flatnonzero(np.asarray(week) == monday)
        weekly = [
            (*ranked.captured(np.minimum(top, ranked.total)), ranked.positives)
            for ranked in _ranked(y[rows], s[rows], resamples.rows(rows))
        ]
        hit, taken, there = (np.concatenate(column) for column in zip(*weekly, strict=True))
        hits, called, positives = hits + hit, called + taken, positives + there
    return Evaluation(
        {name: np.concatenate(values) for name, values in parts.items()}
        | {"precision_top_200": _ratio(hits, called), "recall_top_200": _ratio(hits, positives)}
    )


def evaluate(
    label: ArrayLike,
    probability: ArrayLike,
    week: ArrayLike,
    resamples: Resamples,
    base_rate: float,
    top: float = TOP_PER_WEEK,
) -> Evaluation:
    """All figures: those of `evaluate_ranking`, and those that take the probability at its word.

    Calibration slope and intercept of a resample are one Newton step from the sample's own estimate, whose gradient and Hessian are
    weighted sums (the one-step bootstrap of Davidson and MacKinnon, 1999); the error is of a smaller order than the interval.

    Args:
        label: 0 or 1, shape (rows,).
        probability: in (0, 1), shape (rows,).
        week: the snapshot_date of each row.
        resamples: over the same rows.
        base_rate: the constant forecast that Brier skill compares with, as known when the forecast was made.
        top: as for `evaluate_ranking`.

    Returns:
        Further: brier; brier_skill = 1 - brier / brier of the constant forecast; ece: mean absolute difference of forecast and observed
        share over 15 bins of equal size (Naeini et al., 2015); calibration_slope: of the observed log-odds on the forecast ones, 1 is
        right, below 1 overconfident; calibration_intercept: of the log-odds with the slope held at 1 (calibration in the large), 0 is
        right; precision_at_flag, recall_at_flag, flagged_share: at p > 0.7; base_rate: share of positives.
    """
    y, p = np.asarray(label, dtype=np.float64), np.asarray(probability, dtype=np.float64)
    z = logit(p)
    slope, intercept = _calibration_line(z, y)
    fitted = sigmoid(slope * z + intercept)
    shift = _calibration_shift(z, y)
    shifted = sigmoid(z + shift)
    flagged = p > FLAG
    bins = quantile_bins(p)
    columns: dict[str, ArrayLike] = {
        "n": np.ones(len(y)),
        "y": y,
        "brier": (p - y) ** 2,
        "constant": (base_rate - y) ** 2,
        "flagged": flagged,
        "hits": flagged * y,
        "g0": y - fitted,
        "g1": (y - fitted) * z,
        "h00": fitted * (1 - fitted),
        "h01": fitted * (1 - fitted) * z,
        "h11": fitted * (1 - fitted) * z * z,
        "shift_g": y - shifted,
        "shift_h": shifted * (1 - shifted),
    }
    columns |= {f"bin {number}": np.where(bins == number, y - p, 0.0) for number in range(bins.max() + 1)}
    total = resamples.sums(columns)
    determinant = total["h00"] * total["h11"] - total["h01"] ** 2
    step = _ratio(total["h00"] * total["g1"] - total["h01"] * total["g0"], determinant)
    figures = {
        "brier": total["brier"] / total["n"],
        "brier_skill": 1 - _ratio(total["brier"], total["constant"]),
        "ece": sum(np.abs(total[f"bin {number}"]) for number in range(bins.max() + 1)) / total["n"],
        "calibration_slope": slope + step,
        "calibration_intercept": shift + _ratio(total["shift_g"], total["shift_h"]),
        "precision_at_flag": _ratio(total["hits"], total["flagged"]),
        "recall_at_flag": _ratio(total["hits"], total["y"]),
        "flagged_share": total["flagged"] / total["n"],
        "base_rate": total["y"] / total["n"],
    }
    return Evaluation({**evaluate_ranking(label, p, week, resamples, top).replicates, **figures})


def quantile_bins(probability: Floats) -> NDArray[np.intp]:
    """Bin of each row, 0 to at most 14, of about equal size; equal probabilities never fall into different bins."""
    edges = np.unique(np.quantile(probability, np.linspace(0, 1, ECE_BINS + 1)[1:-1]))
    bins = np.searchsorted(edges, probability, side="left")
    return np.unique(bins, return_inverse=True)[1]


def calibration_table(label: ArrayLike, probability: ArrayLike) -> list[dict[str, float]]:
    """For each bin of `quantile_bins`: rows, mean forecast, observed share, and its 95 % Wilson interval (rows taken as independent)."""
    y, p = np.asarray(label, dtype=np.float64), np.asarray(probability, dtype=np.float64)
    bins = quantile_bins(p)
    table = []
    for number in range(bins.max() + 1):
        rows = bins == number
        n, share = int(rows.sum()), float(y[rows].mean())
        centre = (share + 1.96**2 / (2 * n)) / (1 + 1.96**2 / n)
        half = 1.96 / (1 + 1.96**2 / n) * float(np.sqrt(share * (1 - share) / n + 1.96**2 / (4 * n * n)))
        table.append(
            {
                "rows": n,
                "forecast": float(p[rows].mean()),
                "observed": share,
                "low": max(0.0, centre - half),
                "high": min(1.0, centre + half),
            }
        )
    return table


def flag_recall_ceiling(auc: float, base_rate: float, threshold: float = FLAG) -> float:
    """The largest recall that any calibrated model of this AUC can have at p > ``threshold``.

    Among the flagged, the share of positives is at least t, since each probability is above it. With recall r and base rate b the false
    positive rate f is therefore at most k r, with k = b (1 - t) / (t (1 - b)). A calibrated model's ROC curve is concave (its slope at a
    score p is the likelihood ratio, which rises with p), hence lies on or above the chords (0,0)-(f,r)-(1,1), and AUC >= (1 + r - f) / 2.
    So r (1 - k) <= r - f <= 2 AUC - 1. A model with two probabilities, one of them t, attains the bound.

    Args:
        auc: area under the ROC curve, 0.5 to 1.
        base_rate: share of positives, 0 to 1.
        threshold: of the flag.

    Returns:
        Between 0 and 1; 1 where the base rate is at or over the threshold and nothing follows.
    """
    k = base_rate * (1 - threshold) / (threshold * (1 - base_rate)) if base_rate < 1 else 1.0
    return 1.0 if k >= 1 else float(np.clip((2 * auc - 1) / (1 - k), 0.0, 1.0))


def expected_recall(probability: ArrayLike, threshold: float = FLAG) -> float:
    """The recall that calibrated probabilities expect of themselves at the flag: E[p; p > t] / E[p]."""
    p = np.asarray(probability, dtype=np.float64)
    return float(p[p > threshold].sum() / p.sum()) if p.sum() > 0 else 0.0


@dataclass(frozen=True)
class BusinessTarget:
    """One figure that the business asked for: ``metric`` (a key of `evaluate`), what was wanted, what was reached."""

    metric: str
    wanted: float
    reached: float

    @property
    def met(self) -> bool:
        return self.reached >= self.wanted


@dataclass(frozen=True)
class BusinessTargets:
    """The business targets at the flag, met or not, beside what is possible.

    Attributes:
        targets: each figure; one that is not defined (nobody flagged) is not met.
        recall_ceiling: `flag_recall_ceiling` at the model's AUC.
        expected_recall: `expected_recall` of the model's own probabilities.
    """

    targets: tuple[BusinessTarget, ...]
    recall_ceiling: float
    expected_recall: float


def business_targets(metrics: Mapping[str, Estimate], probability: Floats) -> BusinessTargets:
    """Compares the figures of `evaluate` with what the business asked for."""
    return BusinessTargets(
        tuple(BusinessTarget(metric, wanted, metrics[metric].value) for metric, wanted in BUSINESS_TARGETS.items()),
        flag_recall_ceiling(metrics["auc"].value, metrics["base_rate"].value),
        expected_recall(probability),
    )


@dataclass(frozen=True)
class _Ranked:
    """Weights accumulated along rows sorted by falling score, looked at where the positives are.

    Attributes:
        weight: of each positive row, shape (replicates, positives).
        above: weight of all rows with a strictly higher score than that positive row's.
        through: weight of all rows with a score as high or higher.
        positives_above: as ``above``, of positive rows alone.
        positives_through: as ``through``, of positive rows alone.
        total: of all rows, shape (replicates,).
        positives: of all positive rows, shape (replicates,).
    """

    weight: Floats
    above: Floats
    through: Floats
    positives_above: Floats
    positives_through: Floats
    total: Floats
    positives: Floats

    def auc(self) -> Floats:
        negatives = self.total - self.positives
        negatives_above = self.above - self.positives_above
        negatives_tied = self.through - self.above - (self.positives_through - self.positives_above)
        below = negatives[:, None] - negatives_above - 0.5 * negatives_tied
        return _ratio((self.weight * below).sum(axis=1), self.positives * negatives)

    def average_precision(self) -> Floats:
        return _ratio(
            (self.weight * _ratio(self.positives_through, self.through, empty=0.0)).sum(axis=1), self.positives
        )

    def captured(self, capacity: Floats) -> tuple[Floats, Floats]:
        """The weight of positives among the ``capacity`` highest rows, and that capacity."""
        share = np.clip(_ratio(capacity[:, None] - self.above, self.through - self.above, empty=0.0), 0.0, 1.0)
        return (self.weight * share).sum(axis=1), capacity


def _ranked(label: NDArray[np.bool_], score: Floats, resamples: Resamples) -> Iterator[_Ranked]:
    order = np.argsort(-score, kind="stable")
    y, s = label[order], score[order]
    first = np.concatenate([[True], s[1:] != s[:-1]]) if len(s) else np.zeros(0, dtype=bool)
    starts = np.flatnonzero(first)
    group = np.cumsum(first) - 1
    start = starts[group]
    end = np.append(starts[1:], len(s))[group]
    where = np.flatnonzero(y)
    # positives_before[i] of the sorted rows before row i; turns a position among all rows into one among the positives.
    positives_before = np.concatenate([[0], np.cumsum(y)])
    # Sums are asked for up to these rows only, so the rows between two of them are added first: few are positive.
    cuts = np.unique(np.concatenate([[0], start[where], end[where], [len(s)]]))
    above, through = np.searchsorted(cuts, start[where]), np.searchsorted(cuts, end[where])
    for weights, between in resamples.between(order, cuts, where):
        all_rows, positive_rows = _running(between), _running(weights)
        yield _Ranked(
            weight=weights.astype(np.float64),
            above=all_rows[:, above].astype(np.float64),
            through=all_rows[:, through].astype(np.float64),
            positives_above=positive_rows[:, positives_before[start[where]]].astype(np.float64),
            positives_through=positive_rows[:, positives_before[end[where]]].astype(np.float64),
            total=all_rows[:, -1].astype(np.float64),
            positives=positive_rows[:, -1].astype(np.float64),
        )


def _running(weights: NDArray[np.int32]) -> NDArray[np.int32]:
    """Cumulative sums along each row with a leading 0, so that position i holds the weight of the first i."""
    sums = np.zeros((weights.shape[0], weights.shape[1] + 1), dtype=np.int32)
    np.cumsum(weights, axis=1, out=sums[:, 1:])
    return sums


def _ratio(numerator: ArrayLike, denominator: ArrayLike, empty: float = float("nan")) -> Floats:
    """numerator / denominator, and ``empty`` where the denominator is 0."""
    top, bottom = np.broadcast_arrays(
        np.asarray(numerator, dtype=np.float64), np.asarray(denominator, dtype=np.float64)
    )
    return np.divide(top, bottom, out=np.full(top.shape, empty), where=bottom != 0)


def _calibration_line(z: Floats, y: Floats) -> tuple[float, float]:
    """Maximum-likelihood slope and intercept of the labels' log-odds on ``z``; NaN where it does not converge (one class, or separable)."""
    beta = np.array([0.0, 1.0])
    design = np.column_stack([np.ones(len(z)), z])
    for _ in range(30):
        p = sigmoid(design @ beta)
        hessian = design.T @ (design * (p * (1 - p))[:, None])
        if np.linalg.cond(hessian) > 1e12:
            break
        step = np.linalg.solve(hessian, design.T @ (y - p))
        beta = beta + step
        if np.abs(step).max() < 1e-9:
            return float(beta[1]), float(beta[0])
    return float("nan"), float("nan")


def _calibration_shift(z: Floats, y: Floats) -> float:
    """The constant that has to be added to the log-odds ``z`` for their mean probability to be the observed share."""
    shift = 0.0
    for _ in range(50):
        p = sigmoid(z + shift)
        step = float((y - p).sum() / max(float((p * (1 - p)).sum()), 1e-300))
        shift += float(np.clip(step, -2.0, 2.0))
        if abs(step) < 1e-10:
            return shift
    return float("nan")
