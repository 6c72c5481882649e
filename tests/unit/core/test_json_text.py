"""JSON that any reader takes."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pytest

from churn_pipeline.core.json_text import json_text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (date(2026, 11, 16), '"2026-11-16"'),
        (datetime(2026, 11, 16, 8, tzinfo=UTC), '"2026-11-16 08:00:00+00:00"'),
        (timedelta(hours=36), '"1 day, 12:00:00"'),
        (time(6, 30), '"06:30:00"'),
        (Decimal("12.50"), '"12.50"'),
        (Path("/a/b"), '"/a/b"'),
        (UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (np.int64(3), "3"),
        (np.float32(0.5), "0.5"),
        (np.bool_(True), "true"),
        (float("nan"), "null"),
        (np.float32("nan"), "null"),
        (float("-inf"), "null"),
        (pd.NaT, "null"),
        ({"a": [1.5, (float("nan"), {"b": np.float64("inf")})]}, '{"a": [1.5, [null, {"b": null}]]}'),
    ],
    ids=str,
)
def test_what_json_has_no_word_for_is_written_so_that_every_reader_takes_it(value: Any, text: str) -> None:
    assert json_text(value) == text
    assert json.loads(text, parse_constant=pytest.fail) == json.loads(text)


def test_a_figure_that_has_to_be_defined_is_refused_when_it_is_not() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_text({"slope": float("nan")}, allow_undefined=False)


def test_something_that_only_looks_like_text_is_refused() -> None:
    with pytest.raises(TypeError, match="object is nothing"):
        json_text([object()])


def test_the_order_in_which_a_dict_was_filled_does_not_show_in_a_text_that_is_compared() -> None:
    assert json_text({"b": 1, "a": 2}, sort_keys=True) == json_text({"a": 2, "b": 1}, sort_keys=True)
