"""What a language model is told: its task, the rules, and the form of the answer."""

from __future__ import annotations

from collections.abc import Sequence

from churn_pipeline.customers.briefs.facts import Facts
from churn_pipeline.customers.briefs.limits import EMAIL_SENTENCES, LONGEST
from churn_pipeline.customers.briefs.model import BriefKind, Part
from churn_pipeline.customers.briefs.placeholders import MEANINGS

_READER = {
    BriefKind.TACTICAL: "an account executive who is about to talk to a customer about the next plan",
    BriefKind.NURTURE: "a customer success manager who looks after a customer and does not sell",
}
_TASKS = {
    Part.WHY_NOW: "why the customer may grow now, from what they did",
    Part.LEAD_WITH: "what to begin the talk with",
    Part.SETTLE_FIRST: "which risks to settle before any talk of a plan",
    Part.NEXT_STEP: "the one next step",
    Part.EMAIL: f"an e-mail to the customer of exactly {EMAIL_SENTENCES} sentences, without greeting and signature, in the first person",
}


def instructions_for(kind: BriefKind, parts: Sequence[Part], facts: Facts) -> str:
    """The instructions for a language model.

    Args:
        kind: tactical or nurture.
        parts: that it writes.
        facts: that it may use.
    """
    tasks = "\n".join(f'- "{part}": {_TASKS[part]}; at most {LONGEST[part]} words.' for part in parts)
    names = ", ".join(f"{placeholder} ({meaning})" for placeholder, meaning in MEANINGS.items())
    rules = [
        "Use the facts below and nothing else: no other figure, date, feature, product, person, company or reason.",
        "Repeat figures as they stand. Compute none.",
        f"Where a name belongs, write one of these placeholders: {names}. Use no other.",
        "Write plain English sentences without lists, headings, links or markup.",
        "Offer no price, discount, term or guarantee, and do not press for time.",
        f"The only plan to speak of besides theirs is the {facts.target} plan.",
        "Say nothing of what anybody said or felt.",
    ]
    if Part.EMAIL in parts:
        rules.append(
            "Facts marked [internal] do not appear in the e-mail, nor does any word about scores, predictions or leaving."
        )
    return (
        f"You write a brief for {_READER[kind]}. Write these parts:\n{tasks}\n\nRules:\n"
        + "\n".join(f"- {rule}" for rule in rules)
        + "\n\nAnswer with one JSON object whose keys are the names of the parts and whose values are their texts, and with nothing else."
    )
