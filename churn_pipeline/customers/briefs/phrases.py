"""What is said of a feature of the expansion model in a brief, and what to lead with.

The catalogue of the mart has a label and the sentences of a driver; a person who sells needs what somebody did. A feature that has no phrase
here is told by its label and value, so that a new one still touches one SQL file and one YAML entry.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from churn_pipeline.core.formatting import counted, usd
from churn_pipeline.features.sentences import slot_text, value_text


@dataclass(frozen=True)
class Phrase:
    """How a feature is told.

    Attributes:
        topic: what it is about; of one topic one thing is told.
        says: from the value to what they did (begins with a verb, after "they" or "you") or to a clause of its own; None where the value
            is nothing to speak of. ``{their}`` is "their" or "your".
        window: in how many last days, said before what they did; None of a clause of its own.
        is_for_customer: whether a customer may read it.
    """

    topic: str
    says: Callable[[float], str | None]
    window: int | None = None
    is_for_customer: bool = True


def _times(verb: str) -> Callable[[float], str | None]:
    words = {1: "once", 2: "twice"}
    return lambda value: None if value < 1 else f"{verb} {words.get(round(value)) or counted(round(value), 'time')}"


def _number(verb: str, singular: str, plural: str | None = None, after: str = "") -> Callable[[float], str | None]:
    return lambda value: None if value < 1 else f"{verb} {counted(round(value), singular, plural)}{after}"


def _moved(what: str, against: str) -> Callable[[float], str | None]:
    def says(value: float) -> str | None:
        moved = slot_text("points", "moved", "", value)
        return None if moved == "did not move" else f"{what} {moved} {against}"

    return says


def _ratio(what: str, against: str) -> Callable[[float], str | None]:
    def says(value: float) -> str | None:
        change = math.floor(100 * abs(value - 1) + 0.5)
        return None if not change else f"{what} {'rose' if value > 1 else 'fell'} by {change:,} % against {against}"

    return says


def _text(before: str, form: str, after: str = "") -> Callable[[float], str | None]:
    return lambda value: f"{before}{value_text(form, value)}{after}"  # type: ignore[arg-type]


TRIALS, LIMITS, BREADTH, ADOPTION, USAGE, REQUESTS, OPPORTUNITY, PRICE, SETUP = (
    "trials", "limits", "breadth", "adoption", "usage", "requests", "opportunity", "price", "setup",
)  # fmt: skip

PHRASES: dict[str, Phrase] = {
    "premium_feature_trials_30d": Phrase(TRIALS, _times("tried premium features"), 30),
    "premium_feature_trials_90d": Phrase(TRIALS, _times("tried premium features"), 90),
    "days_since_premium_feature_trial": Phrase(TRIALS, _text("last tried a premium feature ", "days", " ago")),
    "feature_limit_hit_30d": Phrase(LIMITS, _times("reached a limit of {their} plan"), 30),
    "feature_limit_hit_90d": Phrase(LIMITS, _times("reached a limit of {their} plan"), 90),
    "days_since_feature_limit_hit": Phrase(LIMITS, _text("last reached a limit of {their} plan ", "days", " ago")),
    # These weigh recent ones more, and the number means nothing to a reader.
    "premium_feature_trials_decayed": Phrase(TRIALS, lambda value: None),
    "feature_limit_hit_decayed": Phrase(LIMITS, lambda value: None),
    "event_types_last_30d": Phrase(
        BREADTH,
        _number("used the product for", "kind of activity", "kinds of activity"),
        30,
    ),
    "active_days_last_30d": Phrase(USAGE, _number("were active on", "day"), 30),
    "events_last_7d": Phrase(USAGE, _number("made", "event"), 7, is_for_customer=False),
    "events_last_30d": Phrase(USAGE, _number("made", "event"), 30, is_for_customer=False),
    "total_events": Phrase(USAGE, _number("made", "event", after=" in all"), None, is_for_customer=False),
    "usage_change_30d": Phrase(USAGE, _ratio("usage of the last 30 days", "the 30 days before"), is_for_customer=False),
    "usage_vs_own_history": Phrase(USAGE, _ratio("usage", "{their} own long-run level"), is_for_customer=False),
    "avg_adoption_score": Phrase(ADOPTION, _text("adoption of the product in the last 30 days was ", "percent"), is_for_customer=False),
    "adoption_change": Phrase(ADOPTION, _moved("adoption of the product in the last 30 days", "against the two months before"), is_for_customer=False),
    "integration_connects_first_30d": Phrase(SETUP, _number("connected", "system", after=" at the start"), None),
    "feature_request_tickets_90d": Phrase(REQUESTS, _number("sent", "feature request"), 90),
    "has_open_expansion_opp": Phrase(
        OPPORTUNITY, lambda value: "an expansion opportunity is open" if value else None, is_for_customer=False
    ),
    "expansion_opp_amount": Phrase(
        OPPORTUNITY, lambda value: f"{usd(value)} of expansion deals are closed, won or lost" if value >= 1 else None, is_for_customer=False
    ),
    "days_since_expansion_opp": Phrase(
        OPPORTUNITY, _text("the newest expansion opportunity was opened ", "days", " ago"), is_for_customer=False
    ),
    "mrr_tier_ceiling_pct": Phrase(
        PRICE, _text("what they pay stands at ", "percent", " of the price range of {their} plan"), is_for_customer=False
    ),
}  # fmt: skip

# Of these topics a count says most: where the driver is another feature, the count is told, from the profile.
COUNTS = {
    TRIALS: ("premium_feature_trials_30d", "premium_feature_trials_90d"),
    LIMITS: ("feature_limit_hit_30d", "feature_limit_hit_90d"),
}

# Told elsewhere in a brief, or nothing to lead with: time as a customer, the renewal, tickets, and what a customer is and cannot change.
TOLD_ELSEWHERE = frozenset(
    {
        "tenure_days",
        "is_early_stage",
        "days_to_renewal",
        "high_priority_tickets",
        "days_since_plan_change",
        "plan_tier",
        "industry",
        "mrr",
    }
)


@dataclass(frozen=True)
class Lead:
    """What to do about a topic.

    Attributes:
        sales: what the account executive leads with.
        success: what the success manager helps with.
        email: the second sentence of an e-mail.
        lowers: what would have to come about where the topic speaks against growth.
        then: what the account executive goes on with where this is the second topic; None where nothing is worth it.
    """

    sales: str
    success: str
    email: str
    lowers: str
    then: str | None = None


LEADS: dict[str, Lead] = {
    TRIALS: Lead(
        "Ask which premium feature they came back to and what it did for them, then show that one with their own data on the {target} plan.",
        "Ask what they wanted to find out when they tried premium features, and help them to an answer with their own data.",
        "I would like to show you, with your own data, what the {target} plan does with the features that you tried.",
        "more trials of premium features",
        "They have tried premium features already: ask which one they came back to, and show that one with their own data.",
    ),
    LIMITS: Lead(
        "Ask which limit of the {plan} plan stops them most often and what waits because of it. Offer the {target} plan as the way to do that work.",
        "Ask which limit they reach and what they wanted to do. Where a better setup helps, set it up with them; where only the {target} plan would, say so.",
        "I would like to hear what those limits keep you from, and to show you how the {target} plan deals with them.",
        "reaching the limits of their plan more often",
        "Ask as well which limit of the {plan} plan stops them most often, and what waits because of it.",
    ),
    BREADTH: Lead(
        "Begin with the work that they already do in the product, and ask which task still lies outside it.",
        "Ask which of the things that they do in the product helps most, and show the one that fits beside it.",
        "I would like to hear which task still lies outside the product, and to show you what the {target} plan does for it.",
        "using more of the product",
    ),
    ADOPTION: Lead(
        "Begin with the part of the product that they use most, and ask who else in the company could use it.",
        "Ask which feature helps them most, and book a training on the next one.",
        "I would like to hear which part helps you most, and to show you what the {target} plan adds to it.",
        "more use of the features that they have",
    ),
    USAGE: Lead(
        "Ask who works with the product today and what more they want to do with it.",
        "Ask who works with the product in a usual week, and who could use it next.",
        "I would like to hear what you want to do next, and to show you what the {target} plan does for it.",
        "more use of the product",
    ),
    REQUESTS: Lead(
        "Take their feature requests as the agenda: say which of them the {target} plan answers, and which nobody does yet.",
        "Answer each feature request: say what is there today, what is not, and what would do instead.",
        "I would like to go through your requests, and to show you which of them the {target} plan answers.",
        "requests for more than their plan has",
        "Say as well which of their feature requests the {target} plan answers.",
    ),
    OPPORTUNITY: Lead(
        "Take up the open talk where it stands: ask who decides and what is still missing.",
        "Ask the account executive how the talk stands before you speak of plans.",
        "I would like to hear what you still need to know about the {target} plan.",
        "a talk about growing that is open",
    ),
    PRICE: Lead(
        "Compare what they pay and use today with the {target} plan, line by line, so that they can see what changes.",
        "Go through what they pay for and use, so that they know what they have.",
        "I would like to go through what you use today, and to show you where the {target} plan differs.",
        "paying nearer to the top of their plan's price range",
    ),
    SETUP: Lead(
        "Ask which system they want to connect next and what would depend on it.",
        "Ask which system is to be connected next, and agree a date.",
        "I would like to hear which system comes next, and to show you what the {target} plan does with it.",
        "connecting more systems",
    ),
}
# Where no topic of a customer has a lead of its own.
OTHERWISE = Lead(
    "Ask what they want to reach with the product this year, and show what the {target} plan does for it.",
    "Ask what they want to reach with the product this year, and agree the first step.",
    "I would like to hear what you want to reach this year, and to show you what the {target} plan does for it.",
    "more signs that they outgrow their plan",
)
