"""Which snapshots a model may learn from, be calibrated on and be judged by. Time decides, never chance.

A random split would put two overlapping label windows of one customer on both sides and measure memory. Between two slices lies a gap of one
horizon, so that every label of the earlier slice is closed before the first snapshot of the later one::

    twin        train ......... | gap | calibration (4) | gap | test (4) | gap | T
    registered  train ............................ | gap | calibration (4) | gap | T
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from zlib import crc32

import numpy as np
import pandas as pd

from churn_pipeline.core.calendar import GRID_EPOCH, WEEK, monday_on_or_before, training_monday
from churn_pipeline.core.errors import RefusedError
from churn_pipeline.core.targets import Target

# Four weeks hold one monthly cycle of billing and cancelling whole. With fewer, 10,000 customers give too few churners for a
# slope; with more, the newest labels that a model may train on grow older.
CALIBRATION_WEEKS = 4
TEST_WEEKS = 4


@dataclass(frozen=True)
class Span:
    """The Mondays from ``first`` to ``last``, both included."""

    first: date
    last: date

    def __str__(self) -> str:
        return f"{self.first} to {self.last}"

    def rows(self, frame: pd.DataFrame) -> np.ndarray:
        """Boolean mask, shape (rows,), of the rows of ``frame`` whose snapshot_date lies in the span."""
        days = pd.to_datetime(frame["snapshot_date"])
        return ((days >= pd.Timestamp(self.first)) & (days <= pd.Timestamp(self.last))).to_numpy()


@dataclass(frozen=True)
class Slices:
    """The slices of one fit; ``test`` is None for the version that scores, which has nothing left to be judged by."""

    train: Span
    calibration: Span
    test: Span | None


def twin_slices(target: Target, training_monday: date, first_snapshot: date) -> Slices:
    """Slices of the twin, from which all figures come.

    Raises:
        RefusedError: no training week is left.
    """
    test = _last_weeks(target.newest_closed(training_monday), TEST_WEEKS)
    calibration = _last_weeks(target.newest_closed(test.first), CALIBRATION_WEEKS)
    return Slices(_train(target, training_monday, first_snapshot, calibration), calibration, test)


def refit_slices(target: Target, training_monday: date, first_snapshot: date) -> Slices:
    """Slices of the version that is registered and scores: the same recipe on the newest closed weeks.

    Raises:
        RefusedError: no training week is left.
    """
    calibration = _last_weeks(target.newest_closed(training_monday), CALIBRATION_WEEKS)
    return Slices(_train(target, training_monday, first_snapshot, calibration), calibration, None)


def earliest_training_monday(first_snapshot: date, target: Target, cadence_weeks: int = 1) -> date:
    """From which training Monday there could be a model, as far as time alone tells (there may still be too few churners).

    Args:
        first_snapshot: the oldest snapshot with customers.
        target: what is predicted.
        cadence_weeks: distance of training Mondays on the fixed grid.
    """
    gaps = 3 * target.closing_weeks + (CALIBRATION_WEEKS - 1) + (TEST_WEEKS - 1)
    earliest = first_snapshot + gaps * WEEK
    return training_monday(earliest + (cadence_weeks - 1) * WEEK, cadence_weeks)


def stagger_offsets(customers: Iterable[str], stagger_weeks: int) -> dict[str, int]:
    """For each customer the remainder of the week index at which training keeps its snapshots.

    CRC-32 because it is the same in every process and version, which Python's own hash is not.
    """
    return {customer: crc32(customer.encode()) % stagger_weeks for customer in customers}


def staggered(frame: pd.DataFrame, stagger_weeks: int) -> np.ndarray:
    """Boolean mask, shape (rows,), that keeps one snapshot in ``stagger_weeks`` per customer.

    Customers are spread over the weeks, so every week of the calendar is trained on. Keeping what is already kept changes nothing: a
    caller may thin out the frame in SQL with `stagger_offsets` first.
    """
    codes, customers = pd.factorize(frame["customer_id"])
    offsets = np.array(list(stagger_offsets(map(str, customers), stagger_weeks).values()), dtype=np.int64)
    weeks = (pd.to_datetime(frame["snapshot_date"]) - pd.Timestamp(GRID_EPOCH)).dt.days.to_numpy() // 7
    return offsets[codes] == weeks % stagger_weeks if len(frame) else np.zeros(0, dtype=bool)


def _last_weeks(last: date, weeks: int) -> Span:
    return Span(last - (weeks - 1) * WEEK, last)


def _train(target: Target, training_monday: date, first_snapshot: date, calibration: Span) -> Span:
    last = target.newest_closed(calibration.first)
    if last < first_snapshot:
        raise RefusedError(
            f"no model: {target.name} at {training_monday} could only train on snapshots up to {last}, and the first is "
            f"{first_snapshot}; there could be one from {earliest_training_monday(first_snapshot, target)}"
        )
    return Span(monday_on_or_before(first_snapshot), last)
