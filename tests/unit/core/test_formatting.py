"""Figures and tables that people read."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn_pipeline.core.formatting import (
    folded,
    in_points,
    in_tenths,
    markdown_table,
    signed_usd,
    usd,
    whole_sentences,
)
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


def test_a_change_of_probability_is_said_in_points_and_never_in_percent() -> None:
    changes = (0.074, -0.012, 0.004, -0.2, 0.01)
    assert [in_points(change) for change in changes] == ["+7 points", "−1 point", "±0 points", "−20 points", "+1 point"]


@given(st.lists(st.floats(-0.5, 0.5), min_size=1, max_size=9))
def test_parts_of_a_change_add_up_as_they_are_printed(parts: list[float]) -> None:
    printed = [float(part.replace("−", "-").replace("±", "")) for part in in_tenths(parts)]
    assert sum(round(10 * part) for part in printed) == math.floor(1_000 * sum(parts) + 0.5)
    # No part is moved by more than a tenth beside its own rounding.
    assert all(abs(shown - 100 * part) <= 0.15 + 1e-9 for shown, part in zip(printed, parts, strict=True))


@pytest.mark.parametrize(
    ("text", "limit", "shown"),
    [
        ("Call today. Ask.", 20, "Call today. Ask."),
        ("Call today. Then ask what changed.", 20, "Call today."),
        ("Call today about their tickets and more", 20, "Call today about…"),
        ("Renews (6 Jan. 2027). Ask why, then write.", 24, "Renews (6 Jan. 2027)."),
        ("Nowhere" * 9, 10, "NowhereNo…"),
        (None, 10, ""),
    ],
)
def test_an_instruction_ends_with_a_sentence(text: str | None, limit: int, shown: str) -> None:
    assert whole_sentences(text, limit) == shown
    assert len(whole_sentences(text, limit)) <= limit


@pytest.mark.parametrize("name", ["Elena García", "elena  GARCIA ", "ELENA GARCÍA"])
def test_a_name_is_the_same_without_accents_case_and_surplus_blanks(name: str) -> None:
    assert folded(name) == "elena garcia"
