"""What a model has to beat: a rule of thumb, and logistic regression on the same features and the same rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from churn_pipeline.core.targets import HeuristicBaseline
from churn_pipeline.modeling.encode import Encoder, Matrix

# A count with a long right tail is additive on a log scale. At 1 a normal sample of any useful size is never taken for skewed, and an
# exponential one (skewness 2) always is.
_SKEWED = 1.0


def rule_score(frame: pd.DataFrame, rule: HeuristicBaseline) -> NDArray[np.float64]:
    """1 where the rule of thumb holds and 0 elsewhere, shape (rows,). Without any of its columns it never holds, which ranks like chance."""
    total = np.zeros(len(frame))
    for column in rule.columns:
        if column in frame.columns:
            total += pd.to_numeric(frame[column]).astype("Float64").fillna(0).to_numpy(dtype=np.float64)
    return (total >= rule.threshold).astype(np.float64)


@dataclass(frozen=True)
class Logistic:
    """Logistic regression with the preparation a careful analyst would give it, all learned from the training rows.

    Median imputation with an indicator of what was missing, log1p of skewed non-negative columns, standardisation, one-hot categories.
    """

    encoder: Encoder
    median: NDArray[np.float64]
    logarithm: NDArray[np.bool_]
    indicated: NDArray[np.bool_]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    coefficients: NDArray[np.float64]
    intercept: float

    @classmethod
    def fit(cls, encoder: Encoder, matrix: Matrix, label: NDArray[np.float64]) -> Logistic:
        """Fits on the rows the trees were trained on.

        L2 penalty with C = 1 on standardised columns, Newton by Cholesky: exact, without a seed, and seconds for a million rows.

        Args:
            encoder: of the model.
            matrix: encoded training rows, shape (rows, features).
            label: 0 or 1, shape (rows,).
        """
        from sklearn.linear_model import LogisticRegression

        quantitative = matrix[:, _quantitative(encoder)].astype(np.float64)
        median = np.nanmedian(quantitative, axis=0)
        filled = np.where(np.isnan(quantitative), median, quantitative)
        deviation = filled - filled.mean(axis=0)
        spread = filled.std(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            skewness = np.mean(deviation**3, axis=0) / spread**3
        unfitted = cls(
            encoder=encoder,
            median=median,
            logarithm=(filled.min(axis=0) >= 0) & (skewness > _SKEWED),
            indicated=np.isnan(quantitative).any(axis=0),
            mean=np.zeros(0),
            scale=np.ones(0),
            coefficients=np.zeros(0),
            intercept=0.0,
        )
        design = unfitted._design(matrix)
        mean, scale = design.mean(axis=0), design.std(axis=0)
        scale[scale == 0] = 1.0
        fitted = LogisticRegression(C=1.0, solver="newton-cholesky", max_iter=100).fit((design - mean) / scale, label)
        return cls(
            encoder=encoder,
            median=median,
            logarithm=unfitted.logarithm,
            indicated=unfitted.indicated,
            mean=mean,
            scale=scale,
            coefficients=fitted.coef_[0],
            intercept=float(fitted.intercept_[0]),
        )

    def log_odds(self, matrix: Matrix) -> NDArray[np.float64]:
        """Shape (rows,). A customer's score never depends on who else is scored."""
        return ((self._design(matrix) - self.mean) / self.scale) @ self.coefficients + self.intercept

    def _design(self, matrix: Matrix) -> NDArray[np.float64]:
        quantitative = matrix[:, _quantitative(self.encoder)].astype(np.float64)
        missing = np.isnan(quantitative)
        filled = np.where(missing, self.median, quantitative)
        # Later rows may go below the training minimum; the logarithm is only for non-negative numbers.
        filled = np.where(self.logarithm, np.log1p(np.maximum(filled, 0)), filled)
        blocks = [filled, missing[:, self.indicated].astype(np.float64)]
        for position, feature in enumerate(self.encoder.catalogue):
            if feature.dtype == "categorical":
                blocks.append(
                    (matrix[:, [position]] == np.arange(len(self.encoder.categories[feature.name]))).astype(np.float64)
                )
        return np.hstack(blocks)


def _quantitative(encoder: Encoder) -> list[int]:
    return [position for position, feature in enumerate(encoder.catalogue) if feature.dtype != "categorical"]
