"""The revenue that is expected to leave lies in an interval that has both errors in it, and what stayed is counted by hand."""

from __future__ import annotations

from datetime import date, timedelta
from math import sqrt

import numpy as np
import pandas as pd
import pytest

from churn_pipeline.core.calendar import WEEK
from churn_pipeline.monitoring.forecast import (
    COVERAGE,
    PRIOR_ERROR,
    PRIOR_WINDOWS,
    Level,
    LevelError,
    coverage_sentence,
    leaving,
    level_error,
    level_of,
    renewals,
    retention,
)

MONDAY = date(2026, 3, 16)
# A level that is known to be right, or nearly.
NO_ERROR = LevelError(1e-9, 1000, 100)


def book(n: int = 800, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.beta(0.8, 6, n), np.round(np.exp(rng.normal(9, 1.0, n)), 2)


def test_the_expectation_is_probability_times_revenue_in_every_group() -> None:
    p, revenue = book()
    groups = {"all": np.arange(800), "some": np.arange(0, 800, 3), "nobody": np.empty(0, dtype=np.intp)}
    by_group = leaving(p, revenue, groups, NO_ERROR)
    for name, rows in groups.items():
        assert by_group[name].customers == len(rows)
        assert by_group[name].revenue == pytest.approx(revenue[rows].sum())
        assert by_group[name].expected == pytest.approx((p * revenue)[rows].sum())
        assert by_group[name].low <= by_group[name].expected <= by_group[name].high


def test_with_a_level_that_is_right_the_interval_is_that_of_single_departures() -> None:
    p, revenue = book()
    one = leaving(p, revenue, {"all": np.arange(800)}, NO_ERROR, draws=8_000)["all"]
    deviation = sqrt(float((revenue**2 * p * (1 - p)).sum()))
    # 0.8 of a normal distribution lies within 1.2816 standard deviations.
    assert one.high - one.low == pytest.approx(2 * 1.2816 * deviation, rel=0.05)


def test_no_number_of_customers_averages_out_an_error_that_they_share() -> None:
    error = LevelError(0.2, 1000, 100)

    def relative_width(copies: int) -> float:
        p, revenue = (np.tile(column, copies) for column in book(200))
        one = leaving(p, revenue, {"all": np.arange(len(p))}, error)["all"]
        return (one.high - one.low) / one.expected

    # Both ends are about 1.28 x 0.2 in log-odds away.
    assert relative_width(1) > relative_width(20) == pytest.approx(2 * 1.28 * 0.2 * 0.85, rel=0.15)
    assert relative_width(60) == pytest.approx(relative_width(20), rel=0.1)


def test_the_same_book_gives_the_same_interval_and_who_pays_nothing_is_no_part_of_it() -> None:
    p, revenue = book(100)
    error = LevelError(0.2, 6, 2)
    once = leaving(p, revenue, {"all": np.arange(100)}, error)
    assert once == leaving(p, revenue, {"all": np.arange(100)}, error)
    free = leaving(np.full(5, 0.9), np.zeros(5), {"all": np.arange(5)}, error)["all"]
    assert (free.revenue, free.expected, free.low, free.high) == (0, 0, 0, 0)


def test_before_there_is_a_past_the_prior_alone_says_how_far_a_level_errs() -> None:
    error = level_error([], 13)
    assert (error.scale, error.degrees, error.windows) == (pytest.approx(PRIOR_ERROR), PRIOR_WINDOWS, 0)


def test_windows_that_overlap_count_once() -> None:
    levels = [Level(MONDAY + n * WEEK, 0.3, 0.0) for n in range(27)]
    error = level_error(levels, 13)
    assert (error.windows, error.degrees) == (3, PRIOR_WINDOWS + 3)
    assert error.scale == pytest.approx(sqrt((PRIOR_WINDOWS * PRIOR_ERROR**2 + 3 * 0.09) / (PRIOR_WINDOWS + 3)))
    assert level_error(levels[::-1], 5).windows == 6


def test_an_error_that_single_departures_explain_is_none_of_the_level() -> None:
    levels = [Level(MONDAY + n * 13 * WEEK, (-1) ** n * 0.3, 0.09) for n in range(20)]
    assert level_error(levels, 13).scale < PRIOR_ERROR / 2


def test_a_model_that_always_says_too_little_widens_the_interval_too() -> None:
    levels = [Level(MONDAY + n * 13 * WEEK, 0.5, 0.01) for n in range(20)]
    assert level_error(levels, 13).scale > 0.4


def test_the_level_of_a_monday_is_read_from_the_revenue_that_left() -> None:
    p, revenue = np.array([0.5, 0.2]), np.array([100.0, 1000.0])
    level = level_of(MONDAY, p, revenue, np.array([0.0, 1.0]))
    assert level is not None
    slope = 100 * 0.25 + 1000 * 0.16
    assert level.error == pytest.approx((1000 - 250) / slope)
    assert level.noise == pytest.approx((100**2 * 0.25 + 1000**2 * 0.16) / slope**2)
    assert level_of(MONDAY, p, np.zeros(2), np.ones(2)) is None
    assert level_of(MONDAY, np.array([0.0, 1.0]), revenue, np.zeros(2)) is None


def test_the_noise_of_a_level_is_the_variance_that_true_probabilities_give_it() -> None:
    p, revenue = book(500, seed=2)
    rng = np.random.default_rng(6)
    levels = [level_of(MONDAY, p, revenue, (rng.random(500) < p) * 1.0) for _ in range(2_000)]
    errors = [level.error for level in levels if level]
    assert np.mean(errors) == pytest.approx(0, abs=0.02)
    assert np.var(errors) == pytest.approx(levels[0].noise, rel=0.1)  # type: ignore[union-attr]


def test_the_interval_holds_the_truth_about_80_times_in_100_when_levels_err_together() -> None:
    """The whole of it: levels err by a quarter in log-odds a quarter, which is learned from ten quarters before and then told."""
    rng = np.random.default_rng(9)
    inside = narrow = 0
    for seed in range(120):
        p, revenue = book(400, seed=seed)
        odds = p / (1 - p)

        def left(odds: np.ndarray = odds) -> np.ndarray:
            moved = odds * np.exp(rng.normal(0, 0.25))
            return (rng.random(len(odds)) < moved / (1 + moved)) * 1.0

        past = [level_of(MONDAY - n * 13 * WEEK, p, revenue, left()) for n in range(1, 11)]
        error = level_error([level for level in past if level], 13)
        everybody = {"all": np.arange(len(p))}
        truth = float((left() * revenue).sum())
        told = leaving(p, revenue, everybody, error, draws=400)["all"]
        alone = leaving(p, revenue, everybody, NO_ERROR, draws=400)["all"]
        inside += told.low <= truth <= told.high
        narrow += alone.low <= truth <= alone.high
    # 120 trials put 0.037 of noise on it.
    assert abs(inside / 120 - COVERAGE) <= 0.08
    assert narrow < inside, "single departures alone make it too narrow"


def test_retention_is_gross_without_growth_and_net_with_it() -> None:
    then = np.array([100.0, 100, 100, 100, 0])
    now = np.array([150.0, 80, 0, 100, 500])
    kept = retention(then, now)
    assert kept is not None
    assert (kept.customers, kept.base_revenue) == (4, 400)
    assert kept.gross == pytest.approx((100 + 80 + 0 + 100) / 400)
    assert kept.net == pytest.approx((150 + 80 + 0 + 100) / 400)
    assert retention(np.zeros(3), np.ones(3)) is None


def test_renewals_fall_into_the_week_of_their_day_and_the_next_90_days_alone() -> None:
    frame = pd.DataFrame(
        {
            "days_to_renewal": [0, 6, 7, 89, 90, None],
            "revenue": [100.0, None, 300, 400, 500, 600],
            "revenue_at_risk": [10.0, None, 30, 40, 50, 60],
            "is_on_call_list": pd.array([True, True, False, True, True, True], dtype="boolean"),
        }
    )
    weeks = renewals(MONDAY, frame)
    assert [row["renewal_week"] for row in weeks] == [MONDAY + n * WEEK for n in range(13)]
    filled = {row["renewal_week"]: row for row in weeks if row["customers"]}
    assert {day: (row["customers"], row["revenue"], row["revenue_at_risk"], row["on_call_list"]) for day, row in filled.items()} == {
        MONDAY: (2, 100, 10, 2),
        MONDAY + WEEK: (1, 300, 30, 0),
        MONDAY + timedelta(days=84): (1, 400, 40, 1),
    }  # fmt: skip
    no_list = renewals(MONDAY, frame.assign(is_on_call_list=pd.array([pd.NA] * 6, dtype="boolean")))
    assert {row["on_call_list"] for row in no_list} == {None}
    assert renewals(MONDAY, frame.assign(days_to_renewal=None)) == []


@pytest.mark.parametrize(
    ("covered", "past", "words"),
    [
        (0, 0, "No past Monday"),
        (1, 1, "1 past Monday the truth lay in the 80% interval 1 time, 100%"),
        (39, 52, "39 times, 75%"),
    ],
)
def test_the_coverage_is_said_in_words(covered: int, past: int, words: str) -> None:
    assert words in coverage_sentence(covered, past)
