"""Probabilities of one event never fall with the horizon, however many horizons there are."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn_pipeline.core.targets import TARGETS
from churn_pipeline.scoring.score import monotone
from tests.unit.core.test_targets import CHURN_180D

PROBABILITY = st.floats(0, 1)


@given(st.lists(st.tuples(PROBABILITY, PROBABILITY, PROBABILITY, PROBABILITY), min_size=1, max_size=20))
def test_each_probability_is_the_largest_of_its_own_and_of_the_shorter_horizons(rows: list[tuple[float, ...]]) -> None:
    names = ["churn_30d", "churn_90d", "churn_180d", "expansion_90d"]
    table = pd.DataFrame(rows, columns=names)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TARGETS, "churn_180d", CHURN_180D)
        raised, shares = monotone({name: table[name] for name in names})
    assert raised["churn_30d"].tolist() == table["churn_30d"].tolist()
    assert raised["expansion_90d"].tolist() == table["expansion_90d"].tolist()
    assert raised["churn_90d"].tolist() == [max(row[:2]) for row in rows]
    assert raised["churn_180d"].tolist() == [max(row[:3]) for row in rows]
    assert shares == {
        "churn_90d": np.mean([row[0] > row[1] for row in rows]),
        "churn_180d": np.mean([max(row[:2]) > row[2] for row in rows]),
    }


def test_a_horizon_without_a_model_raises_nothing() -> None:
    own = pd.Series([0.1, 0.2], index=["a", "b"])
    raised, shares = monotone({"churn_90d": own})
    assert raised["churn_90d"].tolist() == [0.1, 0.2]
    assert shares == {}


def test_a_customer_whom_the_shorter_horizon_does_not_know_keeps_the_probability() -> None:
    short, long = pd.Series([0.5], index=["b"]), pd.Series([0.1, 0.2], index=["a", "b"])
    raised, shares = monotone({"churn_30d": short, "churn_90d": long})
    assert raised["churn_90d"].to_dict() == {"a": 0.1, "b": 0.5}
    assert shares == {"churn_90d": 0.5}
