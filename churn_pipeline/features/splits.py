"""Which snapshots a model may learn from and be judged by. Time decides, never chance.

A random split would put two overlapping label windows of one customer on both sides and measure memory. Between what is learned and what is
judged lies a gap of one horizon, so that every label of the earlier slice is closed before the first snapshot of the later one::

    twin        train ......... | gap | up to four test blocks of four weeks | gap | T
    registered  train ................................................ | gap | T

Calibration needs no weeks of its own: it looks at customers that the model did not see (:mod:`churn_pipeline.modeling.calibrate`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING
from zlib import crc32

from churn_pipeline.core.calendar import GRID_EPOCH, WEEK, monday_on_or_before, training_monday
from churn_pipeline.core.errors import RefusedError
from churn_pipeline.core.targets import Target

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

# Four weeks hold one monthly cycle of billing and cancelling whole.
BLOCK_WEEKS = 4
# Four blocks see twice the departures of one at a horizon of 90 days, which makes the difference of two models twice as clear; more
# would leave the twin too far behind the version it speaks for.
MOST_BLOCKS = 4
# At most a quarter of the weeks is spent on judging.
_WEEKS_FOR_A_BLOCK = 4 * BLOCK_WEEKS
# A year has every season once.
CALIBRATION_WEEKS = 52


@dataclass(frozen=True)
class Span:
    """The Mondays from ``first`` to ``last``, both included."""

    first: date
    last: date

    def __str__(self) -> str:
        return f"{self.first} to {self.last}"

    def rows(self, frame: pd.DataFrame) -> np.ndarray:
        """Boolean mask, shape (rows,), of the rows of ``frame`` whose snapshot_date lies in the span."""
        import pandas as pd

        days = pd.to_datetime(frame["snapshot_date"])
        return ((days >= pd.Timestamp(self.first)) & (days <= pd.Timestamp(self.last))).to_numpy()


@dataclass(frozen=True)
class Slices:
    """The slices of one fit.

    Attributes:
        train: what is learned from.
        calibration: the part of it that the probabilities' level and slope come from: the last year.
        blocks: what is judged, oldest first; none for the version that scores, which has nothing left to be judged by.
    """

    train: Span
    calibration: Span
    blocks: tuple[Span, ...] = ()

    @property
    def test(self) -> Span:
        """The newest block, which all published figures are about."""
        return self.blocks[-1]

    @property
    def judged(self) -> Span:
        """All blocks."""
        return Span(self.blocks[0].first, self.blocks[-1].last)


def twin_slices(target: Target, training_monday: date, first_snapshot: date) -> Slices:
    """Slices of the twin, from which all figures come.

    Raises:
        RefusedError: no training week is left.
    """
    newest = target.newest_closed(training_monday)
    first = monday_on_or_before(first_snapshot)
    usable = (newest - first) // WEEK + 1 - (target.closing_weeks - 1)
    blocks = min(max(usable // _WEEKS_FOR_A_BLOCK, 1), MOST_BLOCKS)
    spans = tuple(_last_weeks(newest - back * BLOCK_WEEKS * WEEK, BLOCK_WEEKS) for back in reversed(range(blocks)))
    return _slices(target, training_monday, first_snapshot, target.newest_closed(spans[0].first), spans)


def refit_slices(target: Target, training_monday: date, first_snapshot: date) -> Slices:
    """Slices of the version that is registered and scores: the same recipe on all closed weeks.

    Raises:
        RefusedError: no training week is left.
    """
    return _slices(target, training_monday, first_snapshot, target.newest_closed(training_monday), ())


def earliest_training_monday(first_snapshot: date, target: Target, cadence_weeks: int = 1) -> date:
    """From which training Monday there could be a model that was judged, as far as time alone tells (there may still be too few churners).

    Args:
        first_snapshot: the oldest snapshot with customers.
        target: what is predicted.
        cadence_weeks: distance of training Mondays on the fixed grid.
    """
    gaps = 2 * target.closing_weeks + (BLOCK_WEEKS - 1)
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
    import numpy as np
    import pandas as pd

    codes, customers = pd.factorize(frame["customer_id"])
    offsets = np.array(list(stagger_offsets(map(str, customers), stagger_weeks).values()), dtype=np.int64)
    weeks = (pd.to_datetime(frame["snapshot_date"]) - pd.Timestamp(GRID_EPOCH)).dt.days.to_numpy() // 7
    return offsets[codes] == weeks % stagger_weeks if len(frame) else np.zeros(0, dtype=bool)


def _last_weeks(last: date, weeks: int) -> Span:
    return Span(last - (weeks - 1) * WEEK, last)


def _slices(
    target: Target, training_monday: date, first_snapshot: date, last: date, blocks: tuple[Span, ...]
) -> Slices:
    if last < first_snapshot:
        raise RefusedError(
            f"no model: {target.name} at {training_monday} could only train on snapshots up to {last}, and the first is "
            f"{first_snapshot}; there could be one from {earliest_training_monday(first_snapshot, target)}"
        )
    first = monday_on_or_before(first_snapshot)
    return Slices(Span(first, last), Span(max(first, last - (CALIBRATION_WEEKS - 1) * WEEK), last), blocks)
