"""Which of several forecasts is taken, and what counts as no difference."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn_pipeline.modeling.calibrate import sigmoid
from churn_pipeline.modeling.choose import JudgedRows, choose


def rows(seed: int, customers: int = 3000) -> tuple[JudgedRows, np.ndarray]:
    """Four blocks of every customer, whose log-odds are known, and the levels of whose blocks differ."""
    random = np.random.default_rng(seed)
    truth = np.tile(random.normal(-2, 1.5, customers), 4)
    block = np.repeat(np.arange(4), customers)
    label = (random.random(4 * customers) < sigmoid(truth + np.array([0, 1, -1, 0.5])[block])).astype(float)
    return JudgedRows.of(label, block, np.tile(np.arange(customers), 4)), truth


@given(seed=st.integers(0, 100), level=st.floats(-3, 3))
def test_a_lucky_level_is_no_skill(seed: int, level: float) -> None:
    judged, truth = rows(seed, 300)
    assert judged.losses(truth + level).mean() == pytest.approx(judged.losses(truth).mean(), abs=1e-9)


def test_the_better_forecast_serves_and_of_two_equal_ones_their_mean() -> None:
    judged, truth = rows(1)
    noise = np.random.default_rng(2).normal(0, 1, (2, len(truth)))
    good, bad = judged.losses(truth), judged.losses(truth + 2 * noise[0])
    mean = judged.losses(truth + noise[0])
    assert choose(judged, {"logistic": good, "trees": bad, "mean": mean}).kind == "logistic"
    assert choose(judged, {"logistic": bad, "trees": good, "mean": mean}).kind == "trees"
    one, other = judged.losses(truth + noise[0]), judged.losses(truth + noise[1])
    both = judged.losses(truth + noise.mean(axis=0))
    assert choose(judged, {"logistic": one, "trees": other, "mean": both}).kind == "mean"


def test_a_mean_that_is_clearly_better_than_either_serves() -> None:
    judged, truth = rows(1)
    noise = np.random.default_rng(2).normal(0, 1, (2, len(truth)))
    one, other = judged.losses(truth + noise[0]), judged.losses(truth + 1.2 * noise[1])
    assert not judged.difference(one, other).within_one_standard_error
    assert (
        choose(judged, {"logistic": one, "trees": other, "mean": judged.losses(truth + noise.mean(axis=0))}).kind
        == "mean"
    )


def test_the_standard_error_knows_that_rows_of_a_customer_are_not_independent() -> None:
    """Each customer four times with the same label and forecasts is no more evidence than once."""
    random = np.random.default_rng(3)
    truth = random.normal(-1, 1, 2000)
    label = (random.random(2000) < sigmoid(truth)).astype(float)
    once = JudgedRows.of(label, np.zeros(2000), np.arange(2000))
    times = JudgedRows.of(np.tile(label, 4), np.zeros(8000), np.tile(np.arange(2000), 4))
    other = truth + random.normal(0, 1, 2000)
    one = once.difference(once.losses(truth), once.losses(other))
    four = times.difference(times.losses(np.tile(truth, 4)), times.losses(np.tile(other, 4)))
    assert four.value == pytest.approx(one.value)
    assert four.standard_error == pytest.approx(one.standard_error)


def test_a_block_of_one_class_is_not_judged() -> None:
    judged = JudgedRows.of(np.array([0.0, 0, 1, 0]), np.array([0, 0, 1, 1]), np.arange(4))
    assert len(judged) == 2
    assert np.isfinite(judged.losses(np.zeros(4))).all()
