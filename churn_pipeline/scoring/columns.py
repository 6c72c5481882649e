"""Columns of a mart as Python values, for whoever writes them out customer by customer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

# Kinds of numpy's types whose values are all known: whole numbers, and yes and no.
_WHOLE = "iub"


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
