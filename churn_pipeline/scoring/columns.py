"""Columns of a mart as what is written of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from churn_pipeline.features.catalogue import Fact, Feature

# Kinds of numpy's types whose values are all known: whole numbers, and yes and no.
_WHOLE = "iub"
# How many units of a format make one of its last written digit. Money is written in steps of its own and is not here.
_LAST_DIGIT = {"count": 10, "days": 1, "hours": 10, "percent": 100, "points": 100, "score": 100}
# So near to a half, and beyond such a size, rounding is left to whoever writes the number.
_NEAR, _LARGE = 1e-6, 1e9


def objects(column: pd.Series) -> list[Any]:
    """The values as Python has them, None for unknown ones."""
    kind = column.dtype.kind
    if kind in _WHOLE and isinstance(column.dtype, np.dtype):
        return column.tolist()
    if kind == "f" and isinstance(column.dtype, np.dtype):
        values: list[Any] = column.tolist()
        for row in np.flatnonzero(np.isnan(column.to_numpy())).tolist():
            values[row] = None
        return values
    return column.astype(object).where(column.notna(), None).tolist()


def floats(column: pd.Series) -> NDArray[np.float64]:
    """The values as numbers, NaN for unknown ones."""
    if column.dtype.kind in f"{_WHOLE}f" and isinstance(column.dtype, np.dtype):
        return column.to_numpy(dtype=np.float64)
    return np.asarray(column.astype(object).where(column.notna(), np.nan).astype("float64"), dtype=np.float64)


def written_alike(
    column: Feature | Fact, frame: pd.DataFrame, rows: NDArray[np.intp]
) -> tuple[NDArray[np.intp], list[Any]]:
    """Groups values that read the same, so that each text is written once and not once a customer.

    Args:
        column: what says how a value is written.
        frame: that may have it; of a column that is not there nothing is known.
        rows: of the frame, those that are asked for.

    Returns:
        For each of the rows the number of its group, and by group a value that is one of it, as Python has it; None is the unknown one.
        Two groups may read the same, and no group reads two ways.
    """
    if column.name not in frame.columns:
        return np.zeros(len(rows), dtype=np.intp), [None]
    values = frame[column.name].iloc[rows]
    if values.dtype.kind in f"{_WHOLE}f" and isinstance(values.dtype, np.dtype) and column.format in _LAST_DIGIT:
        numbers = values.to_numpy(dtype=np.float64)
        codes, _ = pd.factorize(np.where(np.isnan(numbers), np.iinfo(np.int64).min, _reads(numbers, column.format)))
    else:
        codes, _ = pd.factorize(values)
    # A value of each group: the last one that is written into its place.
    groups = int(codes.max(initial=-1)) + 1
    example = np.zeros(groups, dtype=np.intp)
    known = codes >= 0
    example[codes[known]] = np.flatnonzero(known)
    return np.where(known, codes, groups), [*objects(values.iloc[example]), *([] if known.all() else [None])]


def _reads(numbers: NDArray[np.float64], form: str) -> NDArray[np.int64]:
    """Whole numbers that are equal only where two numbers read the same."""
    with np.errstate(invalid="ignore", over="ignore"):
        scaled = _LAST_DIGIT[form] * numbers
        whole = np.rint(scaled)
        is_clear = np.abs(np.abs(scaled - whole) - 0.5) > _NEAR * (1 + np.abs(scaled))
        is_clear &= np.abs(scaled) < _LARGE
        # A count without a fraction has no point, and next to nothing may have a sign.
        marks = 2 * (numbers == np.trunc(numbers)) + np.signbit(numbers)
        # The bits of a number that is not clear are larger than any of the others.
        clear = (4 * np.where(is_clear, whole, 0) + marks).astype(np.int64)
        return np.where(is_clear, clear, numbers.view(np.int64))
