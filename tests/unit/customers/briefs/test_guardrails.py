"""The guardrails of briefs, on texts as language models write them."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from churn_pipeline.customers.briefs.facts import facts_of
from churn_pipeline.customers.briefs.guardrails import GUARDS, Verdict, check, limits_of
from churn_pipeline.customers.briefs.model import BriefKind, Part, Result
from churn_pipeline.customers.predictions import Theme
from tests.unit.customers.briefs.catalogue import BAD, GOOD, REJECTED, Bad, Good
from tests.unit.customers.briefs.profiles import POLICY, profile, request

FACTS = facts_of(profile())
REQUESTS = {kind: request(kind) for kind in (BriefKind.TACTICAL, BriefKind.NURTURE)}


def judged(text: Bad | Good, without: str | None = None) -> Verdict:
    """What the guardrails say of the template's brief with one part in other words."""
    asked = REQUESTS[text.kind]
    parts = {part: written for part, written in {**asked.template, text.part: text.text}.items() if written is not None}
    limits = limits_of(FACTS, text.kind, asked.parts, asked.instructions, may_press=False, tiers=POLICY.tiers)
    return check(parts, limits, [guard for guard in GUARDS if guard.name != without])


def is_caught(text: Bad, verdict: Verdict) -> bool:
    if text.outcome == REJECTED:
        return verdict.result is Result.REJECTED
    return verdict.result is Result.FLAGGED and text.gone not in verdict.parts[text.part]


@pytest.mark.parametrize("text", BAD, ids=lambda text: text.mistake)
def test_every_bad_text_is_rejected_or_mended_by_its_guard(text: Bad) -> None:
    verdict = judged(text)
    assert is_caught(text, verdict), (verdict.result, verdict.flags, verdict.parts.get(text.part))
    assert text.guard in {finding.guard for finding in verdict.findings}


@pytest.mark.parametrize("guard", [guard.name for guard in GUARDS])
def test_without_a_guard_a_bad_text_gets_through(guard: str) -> None:
    through = [text for text in BAD if text.guard == guard and not is_caught(text, judged(text, without=guard))]
    assert through, f"no text of the catalogue needs the guard {guard}"


@pytest.mark.parametrize("text", GOOD, ids=lambda text: text.style)
def test_no_good_text_is_rejected(text: Good) -> None:
    verdict = judged(text)
    assert verdict.result is not Result.REJECTED, verdict.flags


def test_hardly_any_good_text_is_flagged() -> None:
    flagged = [(text.style, judged(text).flags) for text in GOOD if judged(text).result is Result.FLAGGED]
    assert len(flagged) <= 2, flagged


def test_the_catalogue_is_as_large_as_it_claims() -> None:
    assert len(BAD) >= 60
    assert len({text.text for text in BAD}) == len(BAD)
    assert {text.guard for text in BAD} == {guard.name for guard in GUARDS}
    assert len({text.text for text in GOOD}) >= 30


@given(text=st.text(max_size=300))
@example(text="1 " * 1_000)
@example(text="one " * 500)
@example(text="$1" * 1_000)
@example(text="[" * 50_000)
@settings(max_examples=40)
def test_whatever_a_writer_gives_is_judged_and_in_a_moment(text: str) -> None:
    began = time.process_time()
    judged(Bad("anything", "", Part.WHY_NOW, text))
    assert time.process_time() - began < 5


def test_the_words_of_facts_that_the_template_uses_are_not_taken_for_pressing() -> None:
    themes = (Theme("support", "Support", 0.5, 1.0, "5 urgent tickets in 90 days", ("high_priority_tickets",)),)
    pressed = profile()
    facts = facts_of(replace(pressed, churn=replace(pressed.churn, churn_themes=themes)))
    asked = REQUESTS[BriefKind.TACTICAL]
    limits = limits_of(facts, BriefKind.TACTICAL, asked.parts, "", may_press=False, tiers=POLICY.tiers)
    parts = {**asked.template, Part.SETTLE_FIRST: "5 urgent tickets in 90 days speak for a talk with support first."}
    assert check(parts, limits).parts[Part.SETTLE_FIRST] == parts[Part.SETTLE_FIRST]
