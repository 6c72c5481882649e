"""The guardrails of briefs, on texts as language models write them."""

from __future__ import annotations

import pytest

from churn_pipeline.customers.briefs.facts import facts_of
from churn_pipeline.customers.briefs.guardrails import GUARDS, Verdict, check, limits_of
from churn_pipeline.customers.briefs.model import BriefKind, Result
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
