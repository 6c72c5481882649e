"""Log-odds that are a weighted sum of features: logistic regression with the preparation a careful analyst would give it.

Median imputation with an indicator of what was missing, logarithm of skewed non-negative columns, standardisation, one-hot
categories: all learned from the training rows. Coefficients obey the directions of the catalogue.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from churn_pipeline.modeling.calibrate import sigmoid
from churn_pipeline.modeling.encode import Encoder, Matrix

# A count with a long right tail is additive on a log scale. At 1 a normal sample of any useful size is never taken for skewed, and an
# exponential one (skewness 2) always is.
_SKEWED = 1.0
# Newton with a line search needs about ten steps; a hundred means that it goes on for ever.
_STEPS = 100
_TOLERANCE = 1e-9

type Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Prior:
    """What is believed before any customer was seen: so many pseudo-rows of an average customer, a share of which is positive.

    Attributes:
        rate: share of positive rows, in (0, 1).
        rows: how many rows it is worth.
    """

    rate: float
    rows: float


@dataclass(frozen=True)
class Linear:
    """The prepared columns and their weights.

    A design column is a numeric feature, the indicator of its missing values, or one category; each belongs to one feature. Columns are
    centred on the training rows, so that the contributions of an average customer are 0.

    Attributes:
        median: of each numeric feature, which stands in for a missing value; shape (numeric features,).
        logarithm: which of them are taken as log(1 + x).
        indicated: which of them have an indicator of missing values.
        mean: of each design column, shape (columns,).
        scale: standard deviation of each design column; 1 where it is constant.
        coefficients: of the standardised columns.
        intercept: log-odds of an average customer.
    """

    median: Floats
    logarithm: NDArray[np.bool_]
    indicated: NDArray[np.bool_]
    mean: Floats
    scale: Floats
    coefficients: Floats
    intercept: float

    @classmethod
    def fit(
        cls,
        encoder: Encoder,
        matrix: Matrix,
        label: Floats,
        *,
        ridge: float = 1.0,
        prior: Prior | None = None,
    ) -> Self:
        """Fits by penalised maximum likelihood. The same rows give the same bits on any number of threads.

        Minimises the log loss plus ``ridge`` / 2 times the sum of the squared coefficients of standardised columns, each coefficient at
        least (or at most) 0 where the catalogue declares a direction (projected Newton, Bertsekas 1982).

        Args:
            encoder: of the model.
            matrix: encoded training rows, shape (rows, features); may have none where there is a prior.
            label: 0 or 1, shape (rows,).
            ridge: strength of the L2 penalty.
            prior: pseudo-rows beside the training rows.
        """
        from threadpoolctl import threadpool_limits

        unfitted = cls._prepared(encoder, matrix)
        # BLAS sums in another order on another number of threads.
        with threadpool_limits(limits=1):
            design = unfitted._design(encoder, matrix)
            rows = len(design)
            mean = design.mean(axis=0) if rows else np.zeros(design.shape[1])
            scale = design.std(axis=0) if rows else np.ones(design.shape[1])
            scale = np.where(scale > 0, scale, 1.0)
            # In place: several of these are fitted side by side, and this is the largest array of a training.
            design -= mean
            design /= scale
            coefficients, intercept = _minimise(design, label, unfitted._directions(encoder), ridge, prior)
        return cls(
            median=unfitted.median,
            logarithm=unfitted.logarithm,
            indicated=unfitted.indicated,
            mean=mean,
            scale=scale,
            coefficients=coefficients,
            intercept=intercept,
        )

    def contributions(self, encoder: Encoder, matrix: Matrix) -> tuple[Floats, float]:
        """What each feature adds to the log-odds of an average customer, exactly.

        A column's weight times its distance from the training mean; the columns of one feature (value, missing, categories) are summed.

        Returns:
            Shape (rows, features) in the catalogue's order, and the intercept: the log-odds are their sum.
        """
        design = self._design(encoder, matrix)
        out = np.zeros((len(matrix), len(encoder.catalogue)))
        # Column by column: a customer's sum must not depend on how many others stand beside them, which a matrix product's does.
        for column, feature in enumerate(self._owners(encoder)):
            out[:, feature] += (design[:, column] - self.mean[column]) / self.scale[column] * self.coefficients[column]
        return out, self.intercept

    def log_odds(self, encoder: Encoder, matrix: Matrix) -> Floats:
        """Shape (rows,). A customer's score never depends on who else is scored."""
        parts, total = self.contributions(encoder, matrix)
        sums = np.full(len(matrix), total)
        for feature in range(parts.shape[1]):
            sums += parts[:, feature]
        return sums

    def to_json(self) -> dict[str, Any]:
        """JSON values; floats keep every bit."""
        return {
            name: value.tolist() if isinstance(value, np.ndarray) else float(value)
            for name, value in vars(self).items()
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """What `to_json` gave."""
        kinds = {"logarithm": np.bool_, "indicated": np.bool_}
        arrays = {
            name: np.asarray(value, dtype=kinds.get(name, np.float64))
            for name, value in values.items()
            if name != "intercept"
        }
        return cls(**arrays, intercept=float(values["intercept"]))

    @classmethod
    def _prepared(cls, encoder: Encoder, matrix: Matrix) -> Self:
        quantitative = matrix[:, _quantitative(encoder)].astype(np.float64)
        missing = np.isnan(quantitative)
        median = np.array([float(np.median(c[~np.isnan(c)])) if (~np.isnan(c)).any() else 0.0 for c in quantitative.T])
        filled = np.where(missing, median, quantitative)
        logarithm = np.zeros(len(median), dtype=bool)
        if len(filled):
            deviation, spread = filled - filled.mean(axis=0), filled.std(axis=0)
            with np.errstate(divide="ignore", invalid="ignore"):
                # Not to the power of 3, which takes ten times as long.
                skewness = np.mean(deviation * deviation * deviation, axis=0) / spread**3
            logarithm = (filled.min(axis=0) >= 0) & (skewness > _SKEWED)
        return cls(
            median=median.reshape(-1),
            logarithm=logarithm,
            indicated=missing.any(axis=0),
            mean=np.zeros(0),
            scale=np.ones(0),
            coefficients=np.zeros(0),
            intercept=0.0,
        )

    def _design(self, encoder: Encoder, matrix: Matrix) -> Floats:
        quantitative = matrix[:, _quantitative(encoder)].astype(np.float64)
        missing = np.isnan(quantitative)
        filled = np.where(missing, self.median, quantitative)
        # Later rows may go below the training minimum; the logarithm is only for non-negative numbers.
        filled[:, self.logarithm] = np.log1p(np.maximum(filled[:, self.logarithm], 0))
        blocks = [filled, missing[:, self.indicated].astype(np.float64)]
        for position, feature in enumerate(encoder.catalogue):
            if feature.dtype == "categorical":
                codes = np.arange(len(encoder.categories[feature.name]))
                blocks.append((matrix[:, [position]] == codes).astype(np.float64))
        return np.hstack(blocks)

    def _owners(self, encoder: Encoder) -> list[int]:
        """For each design column the position of its feature."""
        numeric = _quantitative(encoder)
        owners = [*numeric, *(position for position, has in zip(numeric, self.indicated, strict=True) if has)]
        for position, feature in enumerate(encoder.catalogue):
            if feature.dtype == "categorical":
                owners.extend([position] * len(encoder.categories[feature.name]))
        return owners

    def _directions(self, encoder: Encoder) -> NDArray[np.int8]:
        """For each design column 1 or -1 where its weight must have that sign, else 0."""
        signs = {"increasing": 1, "decreasing": -1, None: 0}
        numeric = [signs[encoder.catalogue.features[position].direction] for position in _quantitative(encoder)]
        rest = len(self._owners(encoder)) - len(numeric)
        return np.array([*numeric, *[0] * rest], dtype=np.int8)


def strongest(encoder: Encoder, matrix: Matrix, label: Floats, count: int) -> list[str]:
    """The features that tell most by themselves, the strongest first.

    Each is tested alone against the average customer: the score test of its columns, which is what one Newton step from weights of 0
    would gain in log-likelihood (Rao, 1948). A numeric feature whose sign is against its direction gains nothing.

    Args:
        encoder: of the model.
        matrix: encoded training rows, shape (rows, features).
        label: 0 or 1, shape (rows,).
        count: how many at most.
    """
    from threadpoolctl import threadpool_limits

    prepared = Linear._prepared(encoder, matrix)
    with threadpool_limits(limits=1):
        design = prepared._design(encoder, matrix)
        spread = design.std(axis=0)
        columns = (design - design.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
        rate = float(label.mean())
        slopes = columns.T @ (label - rate)
    direction = prepared._directions(encoder)
    gain = np.where(slopes * direction < 0, 0.0, slopes**2 / max(rate * (1 - rate) * len(label), 1e-12))
    by_feature = np.zeros(len(encoder.catalogue))
    columns_of = np.zeros(len(encoder.catalogue))
    for column, feature in enumerate(prepared._owners(encoder)):
        by_feature[feature] += gain[column]
        columns_of[feature] += spread[column] > 0
    # A feature of many columns gains by chance: each column that tells nothing adds 1 on average.
    excess = by_feature - columns_of
    order = np.argsort(-excess, kind="stable")[:count]
    return [encoder.catalogue.names[position] for position in order if excess[position] > 0]


def _minimise(
    design: Floats, label: Floats, direction: NDArray[np.int8], ridge: float, prior: Prior | None
) -> tuple[Floats, float]:
    """Coefficients and intercept of the penalised likelihood; the intercept is not penalised and has no direction."""
    believed = prior or Prior(0.5, 0.0)
    rows = np.column_stack([np.ones(len(design)), design])
    weighted = np.empty_like(rows)
    penalty = np.concatenate([[0.0], np.full(design.shape[1], ridge)])
    sign = np.concatenate([[0], direction])
    positive = float(label.sum()) + believed.rows * believed.rate
    total = len(label) + believed.rows
    rate = min(max(positive / total, 1e-9), 1 - 1e-9) if total else 0.5
    beta = np.zeros(rows.shape[1])
    beta[0] = np.log(rate) - np.log1p(-rate)

    def loss(at: Floats) -> float:
        z = rows @ at
        pseudo = believed.rows * (np.logaddexp(0, at[0]) - believed.rate * at[0])
        return float(np.sum(np.logaddexp(0, z) - label * z) + pseudo + 0.5 * np.sum(penalty * at * at))

    here = loss(beta)
    for _ in range(_STEPS):
        p = sigmoid(rows @ beta)
        gradient = rows.T @ (p - label) + penalty * beta
        np.multiply(rows, (p * (1 - p))[:, None], out=weighted)
        hessian = rows.T @ weighted + np.diag(penalty)
        average = float(sigmoid(beta[0]))
        gradient[0] += believed.rows * (average - believed.rate)
        hessian[0, 0] += believed.rows * average * (1 - average) + 1e-9
        # At its bound and pushed against it: it stays there.
        free = ~((sign != 0) & (beta == 0) & (gradient * sign >= 0))
        step = np.zeros_like(beta)
        step[free] = np.linalg.solve(hessian[np.ix_(free, free)], gradient[free])
        length = 1.0
        while True:
            trial = beta - length * step
            trial[(trial * sign < 0)] = 0.0
            there = loss(trial)
            if there <= here or length < 1e-6:
                break
            length /= 2
        moved = float(np.abs(trial - beta).max())
        if there > here:
            break
        beta, here = trial, there
        if moved < _TOLERANCE:
            break
    return beta[1:], float(beta[0])


def _quantitative(encoder: Encoder) -> list[int]:
    return [position for position, feature in enumerate(encoder.catalogue) if feature.dtype != "categorical"]
