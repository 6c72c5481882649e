"""Values of the domain are right by construction, and an error says what is wrong with which value."""

from __future__ import annotations

import copy
import math
import pickle
import re
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn_pipeline.contract.declaration import GTM_OPPORTUNITIES, TIERS
from churn_pipeline.core.errors import InputError
from churn_pipeline.customers.values import (
    ChurnProbability,
    EventType,
    ExpansionPropensity,
    FeatureAdoptionScore,
    Industry,
    Mrr,
    PlanTier,
    RiskScore,
    RiskTier,
    SalesStage,
)

SHARES = (ChurnProbability, ExpansionPropensity, RiskScore, FeatureAdoptionScore)
WORDS = (PlanTier, Industry, EventType, SalesStage, RiskTier)


@pytest.mark.parametrize("share", SHARES)
@given(number=st.floats())
def test_a_share_is_the_number_itself_within_0_and_1_and_refused_outside(share: type, number: float) -> None:
    if 0 <= number <= 1:
        assert share(number) == number
        assert math.copysign(1, share(number)) == math.copysign(1, number)
    else:
        with pytest.raises(InputError, match=re.escape(f"{share.name} is a number from 0 to 1, not {number!r}")):
            share(number)


@given(number=st.floats())
def test_revenue_is_not_negative_and_finite(number: float) -> None:
    if math.isfinite(number) and number >= 0:
        assert Mrr(number) == number
    else:
        with pytest.raises(InputError, match=re.escape(f"mrr is a number of 0 or more, not {number!r}")):
            Mrr(number)


@pytest.mark.parametrize("value", ["0.5", "", None, True, False, Decimal("0.5"), [0.5], 1j])
def test_what_is_no_number_is_refused_in_the_same_words(value: object) -> None:
    with pytest.raises(InputError, match="^a churn probability is a number from 0 to 1, not "):
        ChurnProbability(value)  # type: ignore[arg-type]


@given(number=st.floats(0, 1, width=32))
def test_numbers_of_numpy_are_numbers(number: float) -> None:
    for kind in (np.float64, np.float32):
        assert ChurnProbability(kind(number)) == number
    assert Mrr(np.int64(3)) == 3


@given(number=st.floats(0, 1))
def test_a_value_survives_a_copy_and_a_process(number: float) -> None:
    value = RiskScore(number)
    for again in (copy.deepcopy(value), pickle.loads(pickle.dumps(value))):  # noqa: S301
        assert type(again) is RiskScore
        assert again == value


@pytest.mark.parametrize("word", WORDS)
@given(text=st.text(max_size=12))
def test_a_word_has_no_blanks_around_it_and_is_one_of_those_there_are(word: type, text: str) -> None:
    is_one = bool(text.strip()) and (not word.words or text.strip() in word.words)
    if is_one:
        assert word(text) == text.strip()
    else:
        with pytest.raises(InputError, match=f"^{word.name} is "):
            word(text)


def test_plans_and_stages_are_those_of_the_contract() -> None:
    for tier in TIERS:
        assert PlanTier(f" {tier} ") == tier
    with pytest.raises(
        InputError, match="^a plan tier is one of free, starter, growth, enterprise, custom, not 'gold'$"
    ):
        PlanTier("gold")
    stages = next(column.categories for column in GTM_OPPORTUNITIES.raw if column.name == "stage")
    assert [SalesStage(stage) for stage in stages if SalesStage(stage).is_closed] == ["closed_won", "closed_lost"]


def test_nothing_is_no_word() -> None:
    with pytest.raises(InputError, match="^an industry is a text that is not empty, not None$"):
        Industry(None)  # type: ignore[arg-type]
