"""Figures and tables that people read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn_pipeline.core.formatting import markdown_table, signed_usd, usd
from tests.support import money


@pytest.mark.parametrize(("amount", "shown"), money.EXAMPLES)
def test_money_is_short_enough_to_skim(amount: float | None, shown: str) -> None:
    assert usd(amount) == shown


def test_an_amount_that_is_not_defined_is_unknown() -> None:
    assert usd(float("nan")) == "unknown"


@given(st.floats(0, 1e12), st.floats(0, 1e12))
def test_a_larger_amount_is_never_shown_as_a_smaller_one(first: float, second: float) -> None:
    def worth(text: str) -> float:
        number = text.lstrip("$").replace(",", "")
        return float(number.rstrip("KMB")) * {"K": 1e3, "M": 1e6, "B": 1e9}.get(number[-1], 1)

    smaller, larger = sorted((first, second))
    assert worth(usd(smaller)) <= worth(usd(larger))
    assert worth(usd(larger)) == pytest.approx(larger, rel=0.05, abs=0.5)


def test_a_change_of_money_carries_its_sign() -> None:
    changes = (12_000, -12_000, 0.3, -0.3, 0.5)
    assert [signed_usd(change) for change in changes] == ["+$12K", "−$12K", "±$0", "±$0", "+$1"]


def test_nothing_in_a_cell_of_a_table_ends_it_or_is_a_tag() -> None:
    assert markdown_table(["a|b", "n"], [("x|y\n<b>", 1234), (None, True)]) == (
        "| a\\|b | n |\n|---|---|\n| x\\|y &lt;b> | 1,234 |\n|  | yes |"
    )
