"""Invariant 2: the model for S saw only labels closed by S, and slices are split by time with a gap of one horizon."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn_pipeline.core.calendar import WEEK, monday_on_or_before
from churn_pipeline.core.errors import RefusedError
from churn_pipeline.core.targets import TARGETS
from churn_pipeline.features.splits import earliest_training_monday, refit_slices, staggered, twin_slices

TARGET = st.sampled_from(list(TARGETS.values()))
MONDAY = st.dates(date(2015, 1, 1), date(2035, 1, 1)).map(monday_on_or_before)


@given(TARGET, MONDAY, st.integers(30, 300))
def test_no_slice_sees_a_label_that_the_next_one_could_not_have_known(target, monday: date, history: int) -> None:
    first = monday - history * WEEK
    horizon = timedelta(days=target.horizon_days)
    twin = twin_slices(target, monday, first)
    assert twin.train.first >= first
    assert twin.train.last + horizon <= twin.judged.first
    assert twin.test.last + horizon <= monday
    # The newest closed weeks, and not one week older than they have to be.
    assert twin.test.last + WEEK + horizon > monday
    assert 1 <= len(twin.blocks) <= 4
    for block in twin.blocks:
        assert block.last - block.first == 3 * WEEK
    for earlier, later in pairwise(twin.blocks):
        assert earlier.last + WEEK == later.first
    refit = refit_slices(target, monday, first)
    assert refit.blocks == ()
    assert refit.train.last == twin.test.last
    for slices in (twin, refit):
        assert slices.train.first <= slices.calibration.first
        assert slices.calibration.last == slices.train.last
        assert slices.calibration.last - slices.calibration.first <= 51 * WEEK


@given(TARGET, MONDAY, st.integers(30, 300))
def test_at_most_a_quarter_of_the_weeks_is_spent_on_judging(target, monday: date, history: int) -> None:
    twin = twin_slices(target, monday, monday - history * WEEK)
    trained = (twin.train.last - twin.train.first) // WEEK + 1
    assert len(twin.blocks) == 1 or trained >= 3 * 4 * len(twin.blocks)


@given(TARGET, MONDAY, st.integers(1, 8))
def test_the_earliest_training_monday_is_the_first_that_is_not_refused(target, first: date, cadence: int) -> None:
    earliest = earliest_training_monday(first, target, cadence)
    twin_slices(target, earliest, first)
    if cadence == 1:
        with pytest.raises(RefusedError, match=f"there could be one from {earliest}"):
            twin_slices(target, earliest - WEEK, first)


@given(st.integers(1, 20), st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=20, unique=True), MONDAY)
def test_training_keeps_each_customer_once_in_so_many_weeks(weeks: int, customers: list[str], monday: date) -> None:
    frame = pd.DataFrame(
        [(pd.Timestamp(monday + n * WEEK), customer) for n in range(weeks) for customer in customers],
        columns=["snapshot_date", "customer_id"],
    )
    kept = frame[staggered(frame, weeks)]
    assert kept.groupby("customer_id").size().eq(1).all()
    assert len(kept) == len(customers)
