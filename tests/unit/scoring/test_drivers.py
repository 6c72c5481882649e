"""Drivers say what moved a probability, in order, with sign and value."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from churn_pipeline.features.catalogue import Catalogue, Feature
from churn_pipeline.features.sentences import Format
from churn_pipeline.scoring.columns import objects, written_alike
from churn_pipeline.scoring.drivers import TOP, change_drivers, top_drivers


def feature(name: str) -> Feature:
    return Feature(name, "numeric", name.upper(), "count", f"Only {{value}} {name}", f"{{value}} {name}")


CATALOGUE = Catalogue("mart", tuple(feature(name) for name in "abcdefg"))
AMOUNTS = arrays(np.float64, (4, len(CATALOGUE)), elements=st.floats(-5, 5, allow_nan=False))


def frame(rows: int, value: float = 3) -> pd.DataFrame:
    columns = {name: [value] * rows for name in CATALOGUE.names}
    return pd.DataFrame({"customer_id": [f"c{n}" for n in range(rows)], **columns})


@given(AMOUNTS)
def test_the_largest_contributions_come_first_and_none_is_left_out_for_a_smaller_one(amounts: np.ndarray) -> None:
    for row, drivers in zip(amounts, top_drivers(CATALOGUE, frame(4), amounts).to_pylist(), strict=True):
        assert 1 <= len(drivers) <= TOP
        sizes = [abs(driver["contribution"]) for driver in drivers]
        assert sizes == sorted(np.abs(row), reverse=True)[: len(sizes)]


@given(AMOUNTS)
def test_the_sentence_follows_the_sign_and_states_the_value(amounts: np.ndarray) -> None:
    for drivers in top_drivers(CATALOGUE, frame(4), amounts).to_pylist():
        for driver in drivers:
            assert driver["value"] == "3"
            assert driver["sentence"].startswith("Only 3" if driver["contribution"] > 0 else "3 ")


def test_a_change_is_told_from_and_to_and_only_for_customers_of_both_weeks() -> None:
    now, before = frame(2, 5), frame(1, 9)
    drivers = change_drivers(CATALOGUE, now, before, np.full((2, 7), 0.5), np.zeros((1, 7))).to_pylist()
    assert drivers[0][0]["sentence"] == "A: from 9 to 5, which raised the risk"
    assert drivers[0][0]["contribution"] == 0.5
    assert drivers[1] == []


def test_a_value_that_stayed_says_that_the_rest_changed() -> None:
    drivers = change_drivers(CATALOGUE, frame(1, 5), frame(1, 5), np.full((1, 7), -0.5), np.zeros((1, 7))).to_pylist()
    assert drivers[0][0]["sentence"] == "A: 5 as the week before, which with what else changed lowered the risk"


def test_what_did_not_move_is_no_change_driver() -> None:
    same = np.ones((1, 7))
    assert change_drivers(CATALOGUE, frame(1), frame(1), same, same).to_pylist() == [[]]


def test_a_column_that_is_missing_reads_as_unknown() -> None:
    drivers = top_drivers(CATALOGUE, frame(1).drop(columns="a"), np.array([[9.0, 0, 0, 0, 0, 0, 0]])).to_pylist()
    assert drivers[0][0]["value"] == "unknown"
    assert "A" in drivers[0][0]["sentence"]


NUMBERS = st.one_of(
    st.floats(-1e12, 1e12),
    st.just(float("nan")),
    st.integers(-3000, 3000).map(lambda number: number / 1000),
    st.integers(-3000, 3000).map(lambda number: number / 2),
    st.integers(-50, 50).map(float),
    st.just(-0.0),
)


@given(st.lists(NUMBERS, min_size=1, max_size=50), st.sampled_from(get_args(Format)))
def test_values_of_one_group_read_the_same(numbers: list[float], form: Format) -> None:
    if form == "date":
        numbers = [abs(number) % 1000 if number == number else number for number in numbers]
    data = pd.DataFrame({"x": numbers})
    if form == "date":
        data["x"] = pd.Timestamp("2026-11-02") + pd.to_timedelta(data["x"], unit="D")
    of = Feature("x", "numeric", "X", form, "{value}", "{value}")
    codes, examples = written_alike(of, data, np.arange(len(data)))
    assert [of.text(examples[code]) for code in codes] == [of.text(value) for value in objects(data["x"])]
