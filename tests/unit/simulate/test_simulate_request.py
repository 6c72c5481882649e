"""What may be asked for, and what is refused with a message that says what to write instead."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn_pipeline.core.errors import InputError
from churn_pipeline.simulate import SHOCK_KINDS, Shock, Simulation, parse_shock

MONDAY = date(2026, 11, 2)


@given(kind=st.sampled_from(SHOCK_KINDS), weeks=st.integers(1, 500))
def test_a_shock_is_read_as_it_is_written(kind: str, weeks: int) -> None:
    assert parse_shock(f"{kind}@{weeks}") == Shock(kind, weeks)


@pytest.mark.parametrize(
    "text", ["usage", "usage@", "@6", "usage@six", "usage@-1", "usage@0", "flood@3", "usage@1.5", "", "usage@²"]
)
def test_a_nonsense_shock_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_shock(text)


@given(text=st.text(max_size=12))
def test_any_text_is_a_shock_or_an_input_error(text: str) -> None:
    try:
        assert parse_shock(text).kind in SHOCK_KINDS
    except InputError as error:
        assert str(error)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"until": date(2026, 11, 3)}, "Tuesday"),
        ({"until": MONDAY, "customers": 0}, "customers"),
        ({"until": MONDAY, "customers": 10_000_000}, "customers"),
        ({"until": MONDAY, "weeks": 0}, "weeks"),
        ({"until": MONDAY, "seed": -1}, "seed"),
        ({"until": MONDAY, "call_share": -0.01}, "calls"),
        ({"until": MONDAY, "call_share": 0.2}, "0.05"),
        ({"until": MONDAY, "call_share": float("nan")}, "calls"),
        ({"until": MONDAY, "family": "bakery"}, "health, terms"),
        ({"until": MONDAY, "weeks": 4, "shocks": (Shock("usage", 6),)}, "usage@6"),
    ],
)
def test_an_impossible_simulation_is_refused_naming_what_is_wrong(wrong: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Simulation(**wrong)
