"""The level of probabilities follows what happened of late, and few departures move it little."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn_pipeline.modeling.calibrate import (
    RECENT_HALF_LIFE_WEEKS,
    RECENT_PRIOR,
    Platt,
    at_ratio,
    recent_ratio,
    sigmoid,
)


def windows(weeks: int, customers: int, rate: float, times: float) -> tuple[np.ndarray, ...]:
    """So many customers a week of whom ``times`` as many left as was expected, exactly."""
    age = np.repeat(np.arange(weeks, dtype=float), customers)
    return np.full(len(age), rate), np.full(len(age), rate * times), np.ones(len(age)), age


def test_without_rows_the_level_is_the_years() -> None:
    nothing = np.zeros(0)
    assert recent_ratio(nothing, nothing, nothing, nothing) == 1


def test_a_book_in_which_twice_as_many_leave_has_nearly_twice_the_level() -> None:
    assert 1.9 < recent_ratio(*windows(52, 10_000, 0.03, 2.0)) < 2


@given(customers=st.integers(1, 500), times=st.floats(0, 5))
def test_the_ratio_lies_between_one_and_what_was_seen_and_few_departures_move_it_little(
    customers: int, times: float
) -> None:
    ratio = recent_ratio(*windows(52, customers, 0.01, times))
    assert min(1, times) - 1e-9 <= ratio <= max(1, times) + 1e-9
    departures = 0.01 * customers * RECENT_HALF_LIFE_WEEKS / np.log(2)
    assert abs(ratio - 1) <= abs(times - 1) * min(1.0, 1.1 * (departures + 1) / RECENT_PRIOR)


def test_what_lies_back_counts_less() -> None:
    probability, happened, seen, age = windows(52, 1_000, 0.03, 1.0)
    lately, long_ago = (
        recent_ratio(probability, happened * np.where(weeks, 2, 1), seen, age) for weeks in (age < 6, age >= 46)
    )
    assert lately > 1.4
    assert 1 < long_ago < 1.02


def test_of_a_window_that_is_half_over_half_the_departures_are_expected() -> None:
    probability, happened, seen, age = windows(8, 1_000, 0.04, 0.5)
    assert recent_ratio(probability, happened, seen / 2, age) == pytest.approx(1)


@given(ratio=st.floats(0.2, 4), slope=st.floats(0.5, 1.5))
def test_the_mean_is_multiplied_and_the_slope_stays(ratio: float, slope: float) -> None:
    margin = np.linspace(-5, -1, 200)
    platt = Platt(slope, -0.3)
    moved = at_ratio(platt, margin, ratio)
    assert moved.slope == slope
    wanted = min(ratio * sigmoid(platt.log_odds(margin)).mean(), 0.99)
    assert moved.probability(margin).mean() == pytest.approx(wanted, rel=1e-6)
