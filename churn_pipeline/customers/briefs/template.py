"""The writer that is always there: the same facts give the same text."""

from __future__ import annotations

from collections.abc import Sequence

from churn_pipeline.customers.briefs.facts import LIFECYCLE, OPEN, SETTLED, Fact, Facts, is_deed, lower_case
from churn_pipeline.customers.briefs.model import BriefKind, Draft, Part, WriterRequest
from churn_pipeline.customers.briefs.phrases import LEADS, OTHERWISE, Lead
from churn_pipeline.customers.briefs.placeholders import COMPANY, CSM
from churn_pipeline.features.sentences import sentence_case

PROVIDER = "template"
# So many things are told at most: what somebody keeps in mind while they talk.
_TOLD = 3
_RISKS = 2
# What is settled first even with a customer who hardly leaves: it is still open when they are asked for more.
_ALWAYS = frozenset({"support", "compliance"})


class TemplateWriter:
    """Gives the texts of the request, which this project wrote itself."""

    @property
    def provider(self) -> str:
        return PROVIDER

    def write(self, request: WriterRequest) -> Draft:
        """The text of every part of the request."""
        return Draft({part: request.template[part] for part in request.parts}, PROVIDER, None)


def parts_of(kind: BriefKind, *, email: bool) -> tuple[Part, ...]:
    """The parts that a brief of this kind has, in their order.

    Args:
        kind: tactical or nurture.
        email: whether an e-mail was asked for; a nurture brief has none all the same.
    """
    parts = (Part.WHY_NOW, Part.LEAD_WITH, Part.SETTLE_FIRST, Part.NEXT_STEP)
    return (*parts, Part.EMAIL) if email and kind is BriefKind.TACTICAL else parts


def texts(facts: Facts, kind: BriefKind, parts: Sequence[Part], *, is_risky: bool) -> dict[Part, str]:
    """What the template says of a customer, in every part, with placeholders.

    Args:
        facts: what may be said.
        kind: tactical or nurture.
        parts: that are written.
        is_risky: whether the customer is in any but the least grave risk tier.
    """
    write = {
        Part.WHY_NOW: _why_now(facts, kind),
        Part.LEAD_WITH: _lead_with(facts, kind),
        Part.SETTLE_FIRST: _settle_first(facts, is_risky),
        Part.NEXT_STEP: _next_step(facts, kind, is_risky, has_email=Part.EMAIL in parts),
    }
    if Part.EMAIL in parts:
        write[Part.EMAIL] = _email(facts)
    return write


def not_ready(facts: Facts, least: str, has: str) -> dict[Part, str]:
    """Why there is nothing to sell yet and what would change that; no writer is asked.

    Args:
        facts: what may be said.
        least: the propensity from which on somebody is ready, in words.
        has: the customer's.
    """
    lacking = [_lead(fact).lowers for fact in facts.facts if fact.topic is not None and fact.raises is False]
    more = [_lead(fact).lowers for fact in facts.drivers] or [OTHERWISE.lowers]
    would = (
        f"What would make them ready: {_listed(list(dict.fromkeys(lacking))[:_TOLD])}."
        if lacking
        else f"Nothing that they do speaks against it, so it takes more of the same: {_listed(list(dict.fromkeys(more))[:_RISKS])}."
    )
    begun = _deeds(facts.drivers[:_TOLD])
    signs = f" What there is so far: {lower_case(begun[0])}" if begun else ""
    return {
        Part.WHY_NOW: f"Not yet: the propensity of {COMPANY} to move to the {facts.target} plan is {has}, and ready begins at {least}.{signs}",
        Part.NEXT_STEP: f"{would} Leave the talk about the {facts.target} plan until then.",
    }


def _why_now(facts: Facts, kind: BriefKind) -> str:
    sentences = _deeds(facts.drivers[:_TOLD]) or [
        "Nothing that they did stands out; it is the whole picture that speaks for them."
    ]
    growth = facts.get("propensity")
    if kind is BriefKind.TACTICAL:
        sentences += [fact.text for fact in (growth, facts.get("uplift")) if fact]
    elif growth:
        sentences.append(growth.text)
    if renewal := facts.get("renewal"):
        sentences.append(renewal.text)
    return _joined(sentences)


def _lead_with(facts: Facts, kind: BriefKind) -> str:
    leads = [_lead(fact) for fact in facts.drivers] or [OTHERWISE]
    if kind is BriefKind.NURTURE:
        return _with_plans(leads[0].success, facts)
    then = next((lead.then for lead in leads[1:] if lead.then and lead is not leads[0]), None)
    return _joined([_with_plans(text, facts) for text in (leads[0].sales, then) if text])


def _settle_first(facts: Facts, is_risky: bool) -> str:
    themes = SETTLED if is_risky else _ALWAYS
    risks = [fact for fact in facts.named("risk:") if _theme(fact) in themes][:_RISKS]
    sentences = [fact.text for fact in risks]
    has_tickets = _is_open(facts)
    tickets = facts.get("tickets")
    if has_tickets and tickets is not None and all("ticket" not in fact.text for fact in risks):
        sentences.insert(0, tickets.text)
    new = facts.get("new")
    if new is not None:
        sentences.insert(0, new.text)
    told = {_theme(fact) for fact in risks} | ({"support"} if has_tickets else set()) | ({LIFECYCLE} if new else set())
    sentences += [fact.text for fact in facts.named("avoid:") if _theme(fact) in told][:1]
    churn = facts.get("churn")
    if churn is not None:
        sentences.insert(0, churn.text if sentences or is_risky else f"Nothing that we know of. {churn.text}")
    return _joined(sentences)


def _theme(fact: Fact) -> str:
    return fact.name.partition(":")[2]


def _next_step(facts: Facts, kind: BriefKind, is_risky: bool, *, has_email: bool) -> str:
    if kind is BriefKind.NURTURE:
        begin = (
            "Get a date for every open ticket, then book a review of what they use."
            if _is_open(facts)
            else "See them through the onboarding, then book a review of what they use."
            if facts.get("new")
            else "Settle what troubles them, then book a review of what they use."
            if is_risky
            else f"Book a review with {COMPANY} of what they use and what they miss."
        )
        return f"{begin} When they ask for more than the {facts.plan or 'present'} plan has, bring in the account executive."
    first = (
        f"{CSM} has them on the call list of this week: ask what came of that call before you make yours."
        if facts.get("called")
        else f"Ask {CSM} for a date for every open ticket."
        if _is_open(facts)
        else f"Ask {CSM} how the onboarding goes, and wait for the first results."
        if facts.get("new")
        else f"Agree with {CSM} what has to be settled and who speaks of it."
        if is_risky
        else ""
    )
    opportunity = facts.get("opportunity")
    topic = (
        "take up the open opportunity where it stands"
        if opportunity is not None and OPEN in opportunity.text
        else f"find out who decides on the {facts.target} plan"
    )
    talk = f"all {COMPANY}, {topic}, and fix the day of the next talk."
    last = "Send the e-mail after that and not before." if first and has_email else ""
    return _joined([first, f"Then c{talk}" if first else f"C{talk}", last])


def _email(facts: Facts) -> str:
    topics = [fact for fact in facts.drivers if fact.is_for_customer and is_deed(fact)]
    begin = (
        _deeds(topics[:2], "you")[0]
        if topics
        else f"You have worked with the {facts.plan} plan for a while, and I would like to hear how it serves you."
    )
    second = _with_plans((_lead(topics[0]) if topics else OTHERWISE).email, facts)
    return f"{begin} {second} Which day suits you for a call, and who else at {COMPANY} should join us?"


def _deeds(facts: Sequence[Fact], subject: str = "they") -> list[str]:
    """What somebody did: what has a span of days in one sentence, what has none in another, and then what else is true."""
    whose = "your" if subject == "you" else "their"
    windows: dict[int | None, list[str]] = {}
    for fact in facts:
        if is_deed(fact) and fact.deed is not None:
            windows.setdefault(fact.window, []).append(fact.deed.replace("{their}", whose))
    undated = windows.pop(None, [])
    clauses = [f"in the last {window} days {subject} {_listed(deeds)}" for window, deeds in windows.items()]
    return [
        *([f"{sentence_case(_listed(clauses, ', and '))}."] if clauses else []),
        # By itself: beside a span of days it would be read as of that span.
        *([f"{sentence_case(subject)} {_listed(undated)}."] if undated else []),
        *(fact.text for fact in facts if not is_deed(fact)),
    ]


def _lead(fact: Fact) -> Lead:
    return LEADS.get(fact.topic or "", OTHERWISE)


def _with_plans(text: str, facts: Facts) -> str:
    return text.format(plan=facts.plan or "present", target=facts.target)


def _is_open(facts: Facts) -> bool:
    tickets = facts.get("tickets")
    return tickets is not None and not tickets.text.startswith("No ")


def _listed(texts: Sequence[str], last: str = " and ") -> str:
    return last.join(filter(None, (", ".join(texts[:-1]), *texts[-1:])))


def _joined(sentences: Sequence[str]) -> str:
    return " ".join(sentence for sentence in sentences if sentence)
