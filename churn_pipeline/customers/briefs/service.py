"""Writing a brief: who gets one, who writes it, what the guardrails make of it, and names put in last.

Pure but for the writer, the clock and the ids, all of which are handed in. Every text that was written, shown or not, is told to ``note``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime

from churn_pipeline.core.errors import ChurnError
from churn_pipeline.customers.briefs import template
from churn_pipeline.customers.briefs.facts import Fact, Facts, facts_of, percent
from churn_pipeline.customers.briefs.guardrails import Verdict, check, limits_of
from churn_pipeline.customers.briefs.instructions import instructions_for
from churn_pipeline.customers.briefs.model import (
    WATERMARK,
    Audience,
    Brief,
    BriefKind,
    Draft,
    Part,
    Result,
    Writer,
    WriterRequest,
)
from churn_pipeline.customers.briefs.placeholders import fill
from churn_pipeline.customers.errors import NotCandidateError, WriterError
from churn_pipeline.customers.profile import Customer360

# The words of `expansion_readiness`, the lowest first. From which propensity on each holds is policy.
NONE, NOT_READY = "none", "not_ready"


@dataclass(frozen=True)
class BriefPolicy:
    """What of the policy of a Monday decides about briefs.

    Attributes:
        not_ready: propensity from which there is a brief at all.
        ready: propensity from which somebody is ready, and a writer is asked.
        urgency: propensity from which a text may press.
        tiers: names of the risk tiers, the gravest first.
    """

    not_ready: float
    ready: float
    urgency: float
    tiers: tuple[str, ...]


@dataclass(frozen=True)
class Attempt:
    """A text that was written, or should have been, and what became of it: an entry of the audit.

    Attributes:
        request: what the writer was handed; None where none was asked.
        draft: what it gave, with placeholders; None where it gave nothing.
        verdict: of the guardrails; None where there was nothing to check.
        error: why it gave nothing; None otherwise.
        is_shown: whether this is the text of the brief.
    """

    correlation_id: str
    snapshot_date: date
    customer_id: str
    audience: Audience
    kind: BriefKind
    provider: str
    model: str | None
    at: datetime
    request: WriterRequest | None
    draft: Draft | None
    verdict: Verdict | None
    error: str | None
    is_shown: bool


def refuse(profile: Customer360, policy: BriefPolicy, *, may_be_approached: bool) -> None:
    """Says no where there is no brief to write.

    Whoever may not be approached is told in the same words as whoever is no candidate: snoozed and held out are not to be told apart.

    Raises:
        NotCandidateError: no model predicts it, the propensity is too low, or nobody may sell to them now.
    """
    expansion, who = profile.expansion, profile.customer.customer_id
    if expansion is None or expansion.target_tier is None:
        raise NotCandidateError(
            f"there is no expansion brief of {who}: no model predicts whether they move to a higher plan, or there is none above theirs"
        )
    if expansion.expansion_readiness == NONE:
        has, least = _below(expansion.propensity, policy.not_ready)
        raise NotCandidateError(
            f"there is no expansion brief of {who}: a propensity of {has} lies under the {least} "
            "from which on somebody is a candidate"
        )
    if not (expansion.is_expansion_candidate and may_be_approached):
        raise NotCandidateError(
            f"there is no expansion brief of {who}: they are not among those whom anybody is to approach in the week of {profile.snapshot_date}"
        )


def write_brief(
    profile: Customer360,
    audience: Audience,
    *,
    email: bool = False,
    writer: Writer | None = None,
    policy: BriefPolicy,
    may_be_approached: bool,
    clock: Callable[[], datetime],
    new_id: Callable[[], str],
    note: Callable[[Attempt], None] | None = None,
) -> Brief:
    """Writes the brief of a candidate.

    Args:
        profile: of the customer on the Monday.
        audience: who reads it.
        email: whether an e-mail is to be drafted; a success manager gets none all the same.
        writer: who puts the facts into sentences; None for the template.
        policy: of the Monday.
        may_be_approached: whether anybody may approach them now; the profile does not say it.
        clock: UTC, without a zone.
        new_id: gives the correlation id.
        note: is told every attempt, for the audit, before the brief is handed back.

    Raises:
        NotCandidateError: there is no brief to write.
    """
    refuse(profile, policy, may_be_approached=may_be_approached)
    facts, correlation_id = facts_of(profile), new_id()
    kind = _kind(profile, audience)
    attempts: list[Attempt] = []

    def attempted(
        provider: str,
        draft: Draft | None,
        verdict: Verdict | None,
        *,
        asked: WriterRequest | None,
        is_shown: bool,
        error: str | None = None,
    ) -> None:
        model = draft.model if draft else None
        attempt = Attempt(
            correlation_id,
            profile.snapshot_date,
            profile.customer.customer_id,
            audience,
            kind,
            provider,
            model,
            clock(),
            asked,
            draft,
            verdict,
            error,
            is_shown,
        )
        attempts.append(attempt)
        if note is not None:
            note(attempt)

    def brief(draft: Draft, verdict: Verdict, flags: tuple[str, ...], remark: str | None) -> Brief:
        parts = {part: fill(text, profile.customer, part) for part, text in verdict.parts.items()}
        return Brief(
            snapshot_date=profile.snapshot_date,
            customer_id=profile.customer.customer_id,
            company_name=profile.customer.company_name,
            audience=audience,
            kind=kind,
            parts=parts,
            result=verdict.result,
            fact_confidence=verdict.fact_confidence,
            flags=flags,
            provider=draft.provider,
            model=draft.model,
            note=remark,
            correlation_id=correlation_id,
            written_at=attempts[-1].at,
            watermark=WATERMARK,
        )

    if kind is BriefKind.NOT_READY:
        assert profile.expansion is not None
        has, least = _below(profile.expansion.propensity, policy.ready)
        draft = Draft(template.not_ready(facts, least, has), template.PROVIDER, None)
        known = replace(facts, facts=(*facts.facts, Fact("ready", f"Ready begins at a propensity of {least}.")))
        verdict = check(
            draft.parts, limits_of(known, kind, tuple(draft.parts), "", may_press=False, tiers=policy.tiers)
        )
        _must_pass(verdict)
        attempted(draft.provider, draft, verdict, asked=None, is_shown=True)
        return brief(draft, verdict, verdict.flags, "Not ready yet, so no writer was asked.")

    request = request_for(facts, profile, kind, email=email, policy=policy, correlation_id=correlation_id)
    may_press = profile.expansion is not None and profile.expansion.propensity >= policy.urgency
    limits = limits_of(facts, kind, request.parts, request.instructions, may_press=may_press, tiers=policy.tiers)
    flags: tuple[str, ...] = ()
    remark = None
    if writer is not None and writer.provider != template.PROVIDER:
        try:
            draft = writer.write(request)
        except WriterError as error:
            attempted(writer.provider, None, None, asked=request, is_shown=False, error=str(error))
            remark = f"Written by the template, because {writer.provider} gave no text: {error}"
        else:
            verdict = check(draft.parts, limits)
            is_shown = verdict.result is not Result.REJECTED
            attempted(draft.provider, draft, verdict, asked=request, is_shown=is_shown)
            if is_shown:
                return brief(draft, verdict, verdict.flags, None)
            flags = tuple(f"Not shown, of {draft.provider}: {flag}" for flag in verdict.flags)
            remark = f"Written by the template, because the guardrails rejected the text of {draft.provider}."
    draft = template.TemplateWriter().write(request)
    verdict = check(draft.parts, limits)
    _must_pass(verdict)
    attempted(draft.provider, draft, verdict, asked=request, is_shown=True)
    return brief(
        draft, verdict, (*verdict.flags, *flags), remark or "Written by the template; no language model was asked."
    )


def _kind(profile: Customer360, audience: Audience) -> BriefKind:
    assert profile.expansion is not None
    if profile.expansion.expansion_readiness == NOT_READY:
        return BriefKind.NOT_READY
    return BriefKind.TACTICAL if audience is Audience.SALES else BriefKind.NURTURE


def request_for(
    facts: Facts, profile: Customer360, kind: BriefKind, *, email: bool, policy: BriefPolicy, correlation_id: str
) -> WriterRequest:
    """What a writer is handed of a customer. Nothing in it tells who they are."""
    is_risky = profile.churn.risk_tier != policy.tiers[-1]
    parts = template.parts_of(kind, email=email)
    written: Mapping[Part, str] = template.texts(facts, kind, parts, is_risky=is_risky)
    return WriterRequest(
        kind=kind,
        parts=parts,
        instructions=instructions_for(kind, parts, facts),
        facts=facts.lines,
        template={part: written[part] for part in parts},
        correlation_id=correlation_id,
    )


def _must_pass(verdict: Verdict) -> None:
    """What this project wrote itself is held to the same rules; that it breaks one is a defect, and nothing to hand out."""
    if verdict.result is Result.REJECTED:
        raise ChurnError(f"the template wrote a brief that its own guardrails reject: {'; '.join(verdict.flags)}")


def _below(share: float, least: float) -> tuple[str, str]:
    """A share and the cut-off that it lies under, so that the one does not read like the other."""
    has = percent(share)
    return has if has != percent(least) else f"{math.floor(1_000 * share) / 10:.1f} %", percent(least)
