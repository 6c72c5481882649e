"""Placeholders go out, and names are put in here."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn_pipeline.customers.briefs.model import Part
from churn_pipeline.customers.briefs.placeholders import broken, fill
from tests.unit.customers.briefs.profiles import profile


@pytest.mark.parametrize(
    "name", ["[CSM]", "[COMPANY]", "{company}", "<b>Acme</b>", "**Acme** [x](y)", "$1 \\1 \\g<0>", "%s {0}"]
)
def test_a_name_that_looks_like_a_placeholder_or_markup_stays_the_name(name: str) -> None:
    customer = profile(company=name).customer
    assert fill("Call [COMPANY] with [CSM].", customer, Part.NEXT_STEP) == f"Call {name} with Elena García."


def test_what_nobody_sees_in_a_name_is_not_put_in() -> None:
    customer = profile(company="Acme\u202e \u200b\n\x07Ltd").customer
    assert fill("Call [COMPANY].", customer, Part.NEXT_STEP) == "Call Acme Ltd."


@pytest.mark.parametrize(
    ("part", "text", "filled"),
    [
        (Part.NEXT_STEP, "Call [COMPANY].", "Call this customer."),
        (Part.NEXT_STEP, "[CSM] calls first.", "The success manager calls first."),
        (Part.EMAIL, "Who at [COMPANY] should join?", "Who at your company should join?"),
    ],
)
def test_without_a_name_the_words_are_right_all_the_same(part: Part, text: str, filled: str) -> None:
    assert fill(text, profile(company=None, owner=None).customer, part) == filled


@pytest.mark.parametrize(
    "text",
    ["[OWNER]", "[company]", "[COMPANY", "COMPANY]", "{COMPANY}", "{{ company }}", "<<COMPANY>>", "${COMPANY}", "$company", "%COMPANY%", "COMPANY_NAME", "__COMPANY__", "[[COMPANY]]", "[]"],
)  # fmt: skip
def test_what_cannot_be_filled_is_broken(text: str) -> None:
    assert broken(f"Call {text} today.")


@pytest.mark.parametrize("text", ["Call [COMPANY] with [CSM].", "$86K a year", "a gain of $1.2M", "50 % of it"])
def test_what_can_be_filled_or_is_none_is_not_broken(text: str) -> None:
    assert broken(text) == []


@given(name=st.text(min_size=1, max_size=40))
def test_a_name_is_put_in_once_whatever_it_is(name: str) -> None:
    before, after = fill("a[COMPANY]b", profile(company=name).customer, Part.NEXT_STEP).split("a", 1)[1].rsplit("b", 1)
    assert after == ""
    assert before == fill("a[COMPANY]b", profile(company=before).customer, Part.NEXT_STEP)[1:-1]
