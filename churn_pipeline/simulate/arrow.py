"""Cheap Arrow columns from numpy arrays.

Ids are built from pieces of four digits as bytes: ten million take a fraction of a second.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from churn_pipeline.simulate.population import Bools, Floats, Ints

CUSTOMER_DIGITS = 7
MICROSECONDS = 1_000_000
# All numbers of so many digits as text, shape (10,000, 4).
_DIGITS = 4
_TEXT = (np.arange(10**_DIGITS)[:, None] // 10 ** np.arange(_DIGITS)[::-1] % 10 + ord("0")).astype(np.uint8)


def numbered(prefix: str, numbers: Ints, digits: int) -> pa.Array:
    """Strings such as E0000000123: an ASCII prefix and a zero-padded number below ``10 ** digits``."""
    width = len(prefix) + digits
    text = np.empty((len(numbers), width), dtype=np.uint8)
    text[:, : len(prefix)] = np.frombuffer(prefix.encode("ascii"), dtype=np.uint8)
    rest = numbers.astype(np.int64)
    for end in range(width, len(prefix), -_DIGITS):
        rest, digit = np.divmod(rest, 10**_DIGITS)
        begin = max(end - _DIGITS, len(prefix))
        text[:, begin:end] = _TEXT.take(digit, axis=0)[:, begin - end :]
    offsets = np.arange(len(numbers) + 1, dtype=np.int32) * width
    return pa.Array.from_buffers(pa.string(), len(numbers), [None, pa.py_buffer(offsets), pa.py_buffer(text)])


def customer_ids(numbers: Ints) -> pa.Array:
    """Customer number 0 is C0000001."""
    return numbered("C", numbers + 1, CUSTOMER_DIGITS)


def labels(codes: NDArray[np.integer], names: Sequence[str]) -> pa.Array:
    """Plain strings from indices into ``names``."""
    return pa.array(list(names), pa.string()).take(pa.array(codes))


def dates(days: Ints, missing: Bools | None = None) -> pa.Array:
    """DATE from days since 1970-01-01; null where ``missing``, whatever the day."""
    if missing is not None:
        days = np.where(missing, 0, days)
    return pa.array(days.astype(np.int32), pa.int32(), mask=missing).cast(pa.date32())


def timestamps(microseconds: Ints) -> pa.Array:
    """Naive TIMESTAMP (UTC) from microseconds since 1970-01-01."""
    return pa.array(microseconds, pa.int64()).cast(pa.timestamp("us"))


def doubles(values: Floats, missing: Bools | None = None) -> pa.Array:
    return pa.array(values, pa.float64(), mask=missing)
