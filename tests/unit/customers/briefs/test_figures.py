"""Numbers in a text, whatever they are written as."""

from __future__ import annotations

import pytest

from churn_pipeline.customers.briefs.figures import Unit, agrees, figures


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("12 limits", Unit.COUNT, 12),
        ("twelve limits", Unit.COUNT, 12),
        ("a dozen limits", Unit.COUNT, 12),
        ("one hundred and twenty limits", Unit.COUNT, 120),
        ("forty-two percent", Unit.PERCENT, 42),
        ("42 per cent", Unit.PERCENT, 42),
        ("42%", Unit.PERCENT, 42),
        ("42,5 %", Unit.PERCENT, 42.5),
        ("a probability of 0.42", Unit.PERCENT, 42),
        ("three quarters of it", Unit.PERCENT, 75),
        ("2 in 5", Unit.PERCENT, 40),
        ("it doubled", Unit.PERCENT, 200),
        ("5 points", Unit.PERCENT, 5),
        ("$86K", Unit.MONEY, 86_000),
        ("$1.24M", Unit.MONEY, 1_240_000),
        ("$86,137.70", Unit.MONEY, 86_137.7),
        ("86.137 dollars", Unit.MONEY, 86_137),
        ("USD 86 137", Unit.MONEY, 86_137),
        ("eighty-six thousand dollars", Unit.MONEY, 86_000),
        ("285 days", Unit.DAYS, 285),
        ("a 30-day window", Unit.DAYS, 30),
        ("three weeks", Unit.DAYS, 21),
        ("two years", Unit.DAYS, 730.5),
        ("50 hours", Unit.HOURS, 50),
    ],
)
def test_a_number_is_read_whatever_it_is_written_as(text: str, unit: Unit, value: float) -> None:
    found = figures(text)
    assert [figure.unit for figure in found] == [unit]
    assert any(reading == pytest.approx(value) for reading in found[0].values)


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("on 13 Mar 2027", (2027, 3, 13)),
        ("on March 13th, 2027", (2027, 3, 13)),
        ("on 2027-03-13", (2027, 3, 13)),
        ("on 13.3.2027", (2027, 3, 13)),
        ("in March", (None, 3, None)),
        ("in 2027", (2027, None, None)),
    ],
)
def test_a_date_is_read_whatever_it_is_written_as(text: str, day: tuple[int | None, ...]) -> None:
    assert [figure.day for figure in figures(text)] == [day]


@pytest.mark.parametrize(
    ("fact", "right", "wrong"),
    [
        ("42 %", ("42 %", "43.9 %", "0.41"), ("about 45 %", "44.5 %", "0.45", "42 days", "42 times")),
        ("$86,137", ("$86K", "$86,138", "86 thousand dollars", "nearly $90K"), ("$96K", "$90K", "€86K", "$86", "$86M")),
        ("12 times", ("twelve times", "a dozen times"), ("13 times", "12 %", "dozens of times")),
        ("285 days", ("nine months", "41 weeks", "286 days"), ("eight months", "a year ago and 200 days", "285 hours")),
        ("13 Mar 2027", ("March 2027", "13 March", "2027-03-13", "3/13/2027"), ("14 March", "March 2026", "4/13/2027")),
        ("130 %", ("up to 1.3 times the level", "129 percent"), ("doubled", "13 %")),
    ],
)
def test_a_number_agrees_with_a_fact_as_near_as_people_round_and_no_further(
    fact: str, right: tuple[str, ...], wrong: tuple[str, ...]
) -> None:
    known = figures(fact)
    assert [text for text in right if not all(agrees(figure, known) for figure in figures(text))] == []
    assert [text for text in wrong if all(agrees(figure, known) for figure in figures(text))] == []


def test_of_a_range_both_ends_have_the_unit() -> None:
    assert [figure.unit for figure in figures("30 to 40 %, or $80 - 90K")] == [
        Unit.PERCENT,
        Unit.PERCENT,
        Unit.MONEY,
        Unit.MONEY,
    ]


@pytest.mark.parametrize("text", ["a 20-minute call", "one of them", "Bring two examples.", "half an hour with you"])
def test_what_claims_nothing_of_the_customer_is_no_figure(text: str) -> None:
    assert [figure for figure in figures(text) if figure.values] == []
