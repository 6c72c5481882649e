"""From a DataFrame of features to the matrix a booster reads, with the model's own columns and categories.

Stated behaviour, each with a test: an unseen category is missing, not an error; a column that is not there is missing in every row (`Encoder.notices`
says both); columns follow the model's order whatever the frame's is; a number that float32 cannot hold is an error that names it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import pandas as pd

from churn_pipeline.core.errors import InputError
from churn_pipeline.features.catalogue import Catalogue, Feature

if TYPE_CHECKING:
    import xgboost as xgb

type Matrix = np.ndarray[tuple[int, int], np.dtype[np.float32]]


@dataclass(frozen=True)
class Encoder:
    """Columns, their order, and the categories that the training rows held.

    Attributes:
        catalogue: the model's features, in column order.
        categories: for each categorical feature the values seen in training, sorted; a value's position is its code.
    """

    catalogue: Catalogue
    categories: Mapping[str, tuple[str, ...]]

    @classmethod
    def learn(cls, frame: pd.DataFrame, catalogue: Catalogue) -> Self:
        """Takes the categories from the training rows, and from nothing else: a code the trees never saw means nothing to them."""
        return cls(
            catalogue,
            {
                feature.name: tuple(sorted(str(value) for value in frame[feature.name].dropna().unique()))
                for feature in catalogue
                if feature.dtype == "categorical"
            },
        )

    @property
    def feature_types(self) -> list[str]:
        """XGBoost's type of each column: ``c`` categorical, ``q`` quantitative."""
        return ["c" if feature.dtype == "categorical" else "q" for feature in self.catalogue]

    def matrix(self, frame: pd.DataFrame) -> Matrix:
        """Encodes ``frame``; the order of its columns does not matter.

        Returns:
            float32 of shape (rows, features), NaN for missing, categories as their codes, booleans as 0 and 1.

        Raises:
            InputError: a value is no number, or too large for float32.
        """
        out = np.full((len(frame), len(self.catalogue)), np.nan, dtype=np.float32)
        for position, feature in enumerate(self.catalogue):
            if feature.name in frame.columns:
                out[:, position] = self._column(frame[feature.name], feature)
        return out

    def notices(self, frame: pd.DataFrame) -> list[str]:
        """What `matrix` passed over: columns that are not there, and categories that training never saw, with row counts."""
        notices = []
        for feature in self.catalogue:
            if feature.name not in frame.columns:
                notices.append(f"column {feature.name} is not there: treated as missing in all {len(frame):,} rows")
            elif feature.dtype == "categorical":
                values = frame[feature.name].dropna().astype(str)
                unseen = values[~values.isin(self.categories[feature.name])]
                if len(unseen):
                    names = ", ".join(sorted(unseen.unique())[:5])
                    notices.append(
                        f"{len(unseen):,} rows hold a {feature.name} that training never saw ({names}): treated as missing"
                    )
        return notices

    def dmatrix(self, matrix: Matrix, label: np.ndarray | None = None, threads: int = 1) -> xgb.DMatrix:
        import xgboost as xgb

        return xgb.DMatrix(
            matrix,
            label=label,
            feature_names=self.catalogue.names,
            feature_types=self.feature_types,
            enable_categorical=True,
            nthread=threads,
        )

    def _column(self, values: pd.Series, feature: Feature) -> np.ndarray:
        if feature.dtype == "categorical":
            # Once for each word and not for each row: a plan has five of them.
            codes, words = pd.factorize(values)
            position = {word: code for code, word in enumerate(self.categories[feature.name])}
            # The last one is for a code of -1, which is what a missing value has.
            known = np.array([position.get(str(word), np.nan) for word in words] + [np.nan], dtype=np.float32)
            return known[codes]
        if isinstance(values.dtype, np.dtype) and values.dtype.kind in "fiub":
            numbers = values.to_numpy(dtype=np.float64)
        elif pd.api.types.is_numeric_dtype(values.dtype):
            numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
        else:
            numbers = _numbers_of_objects(values, feature)
        with np.errstate(over="ignore"):
            narrow = numbers.astype(np.float32)
        if (bad := np.isinf(narrow)).any():
            raise InputError(f"feature {feature.name}: {bad.sum():,} values are infinite or beyond float32")
        return narrow


def _numbers_of_objects(values: pd.Series, feature: Feature) -> np.ndarray:
    """As float64 what arrives as objects, such as DECIMAL, with None or pd.NA for what is missing."""
    try:
        return values.astype(object).where(values.notna(), None).astype("float64").to_numpy()
    except (TypeError, ValueError) as error:
        raise InputError(
            f"feature {feature.name} is declared {feature.dtype}, and holds something else: {error}"
        ) from None
