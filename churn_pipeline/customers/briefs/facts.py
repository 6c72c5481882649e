"""What a text about a customer may say: the facts of their prediction and profile, each with its numbers, and nothing that tells who it is.

A fact is a sentence of this project, with numbers of the published table in it. Free text of a customer (an industry, the kind of a contact) is
in none: where a driver or a theme would show some, it is not told. So nothing that a customer wrote can steer a writer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property

from churn_pipeline.contract.declaration import TIERS
from churn_pipeline.core.formatting import clean, counted, usd
from churn_pipeline.core.themes import Theme
from churn_pipeline.customers.briefs.figures import Figure, Unit, figures
from churn_pipeline.customers.briefs.phrases import COUNTS, PHRASES, TOLD_ELSEWHERE
from churn_pipeline.customers.predictions import Driver
from churn_pipeline.customers.profile import Customer360
from churn_pipeline.features.sentences import sentence_case, slot_text, value_text

# What can be settled with a customer before anybody speaks of growing. Time as a customer, price and season are as they are.
SETTLED: frozenset[Theme] = frozenset({"support", "compliance", "adoption", "usage"})
# How an opportunity is told that nobody has closed.
OPEN = "is open"
# What there is to settle with whoever is new: the first results come before a larger plan.
ONBOARDING = "onboarding"
LIFECYCLE: Theme = "lifecycle"
# As a theme's sentence ends that speaks of a value which is no worse than that of others: nothing to settle.
_NO_WORSE = "and yet such customers"
# What a value of a feature that is no free text looks like.
_VALUE = re.compile(r"[+−-]?\$?\d[\d,.]*[KMB]?(?: ?(?:%|points?|days?|hours?))?|yes|no|unknown|none")
_LONGEST = 300


@dataclass(frozen=True)
class Fact:
    """Something that a text may say.

    Attributes:
        name: which fact it is: a feature, or a word of this module.
        text: in words; ``{their}`` is not in it any more.
        is_for_customer: whether a customer may read it, too.
        topic: of a driver, what it is about.
        window: of a driver, the days in which they did it.
        deed: of a driver, what they did, without the days; as `Phrase.says` has it.
        raises: of a driver, whether it speaks for growth.
        more: numbers that say the same more exactly than the text.
    """

    name: str
    text: str
    is_for_customer: bool = False
    topic: str | None = None
    window: int | None = None
    deed: str | None = None
    raises: bool | None = None
    more: tuple[Figure, ...] = ()

    @cached_property
    def figures(self) -> tuple[Figure, ...]:
        """Its numbers, each with its unit."""
        return (*figures(self.text), *self.more)


@dataclass(frozen=True)
class Facts:
    """All that a text about one customer may say.

    Attributes:
        plan: the customer's; None where it is not known.
        target: the next one.
        features: names of the features that the facts tell of, for texts that nobody outside reads.
    """

    facts: tuple[Fact, ...]
    snapshot_date: date
    plan: str | None
    target: str | None
    features: frozenset[str]

    def get(self, name: str) -> Fact | None:
        """The fact of that name."""
        return next((fact for fact in self.facts if fact.name == name), None)

    def named(self, prefix: str) -> tuple[Fact, ...]:
        """The facts whose names begin so, in their order."""
        return tuple(fact for fact in self.facts if fact.name.startswith(prefix))

    @property
    def drivers(self) -> tuple[Fact, ...]:
        """What speaks for growth, the strongest first; a topic each."""
        return tuple(fact for fact in self.facts if fact.topic is not None and fact.raises)

    @property
    def lines(self) -> str:
        """The facts for a writer, a line each; what no customer is to read is marked."""
        return "\n".join(f"- {fact.text}{'' if fact.is_for_customer else ' [internal]'}" for fact in self.facts)


def facts_of(profile: Customer360) -> Facts:
    """What a text about a customer may say.

    Args:
        profile: of a customer with an expansion prediction.
    """
    expansion = profile.expansion
    assert expansion is not None, "who is no candidate has no brief"
    target = None if expansion.target_tier is None else str(expansion.target_tier)
    told = [
        *_plan(profile, target),
        *_growth(profile, target),
        *_drivers(profile),
        *_relationship(profile),
        *_risks(profile),
        *_playbook(profile),
    ]
    return Facts(
        facts=tuple(told),
        snapshot_date=profile.snapshot_date,
        plan=_plan_of(profile),
        target=target,
        features=frozenset(
            driver.feature
            for driver in expansion.expansion_drivers
            if any(fact.name == driver.feature for fact in told)
        ),
    )


def says_a_plain_value(value: str | None) -> bool:
    """Whether a driver's value is a number, or a yes or no, and no text of a customer."""
    return value is not None and _VALUE.fullmatch(value) is not None


def neutral(text: str) -> str:
    """A sentence of the policy or the catalogue as one line of plain text: no markup, no placeholder, no hidden character.

    It is this project's own text with numbers in it. Whoever edits a seed may still write a bracket, which a writer would take for a placeholder.
    """
    return " ".join(re.sub(r"[\[\]{}<>`*_|#\\]+", " ", clean(text, _LONGEST, "")).split())


def lower_case(text: str) -> str:
    """With a small letter at its beginning, but for a word that is all capitals."""
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]


def day_text(day: date) -> str:
    """``11 Mar 2027``."""
    return value_text("date", day)


def _plan_of(profile: Customer360) -> str | None:
    return None if profile.customer.plan_tier is None else str(profile.customer.plan_tier)


def _plan(profile: Customer360, target: str | None) -> list[Fact]:
    told: list[Fact] = []
    if (plan := _plan_of(profile)) is not None:
        told.append(Fact("plan", f"They are on the {plan} plan.", is_for_customer=True))
    if target is not None:
        told.append(Fact("target", f"The next plan up is the {target} plan.", is_for_customer=True))
    return told


def _growth(profile: Customer360, target: str | None) -> list[Fact]:
    expansion = profile.expansion
    assert expansion is not None
    days = counted(expansion.score.horizon_days, "day")
    told = [
        Fact(
            "propensity",
            f"The propensity to move to the {target} plan within {days} is {percent(expansion.propensity)}.",
            more=(_exactly(Unit.PERCENT, 100 * expansion.propensity),),
        )
    ]
    if expansion.expected_arr_uplift:
        amount = expansion.expected_arr_uplift
        text = f"The expected gain is {usd(amount)} a year, with that propensity counted in."
        told.append(Fact("uplift", text, more=(_exactly(Unit.MONEY, amount),)))
    return told


def _drivers(profile: Customer360) -> list[Fact]:
    expansion = profile.expansion
    assert expansion is not None
    told: list[Fact] = []
    topics: set[str] = set()
    for driver in expansion.expansion_drivers:
        fact = _driver(driver, profile.features)
        if fact is None or fact.topic in topics:
            continue
        topics.add(fact.topic or fact.name)
        told.append(fact)
    return told


def _driver(driver: Driver, features: Mapping[str, object]) -> Fact | None:
    if driver.feature in TOLD_ELSEWHERE or not says_a_plain_value(driver.value) or driver.value == "unknown":
        return None
    raises = driver.contribution > 0
    if driver.feature not in PHRASES:
        text = f"{neutral(driver.label)}: {neutral(driver.value or '')}."
        return Fact(driver.feature, text, topic=driver.feature, raises=raises)
    topic = PHRASES[driver.feature].topic
    # A driver that speaks against growth is told as it is: a count beside it would be another one.
    names = (
        (*COUNTS.get(topic, ()), driver.feature)
        if raises and PHRASES[driver.feature].window is None
        else (driver.feature,)
    )
    for name in names:
        phrase, value = PHRASES[name], _as_number(features.get(name))
        deed = None if value is None else phrase.says(value)
        if deed is None:
            continue
        window = "" if phrase.window is None else f" in the last {phrase.window} days"
        subject = "They " if deed.split()[0] in _DEEDS else ""
        return Fact(
            driver.feature,
            sentence_case(f"{subject}{deed.replace('{their}', 'their')}{window}."),
            is_for_customer=phrase.is_for_customer,
            topic=topic,
            window=phrase.window,
            deed=deed,
            raises=raises,
        )
    # What they did not do says nothing for growth, and against it is told by its label.
    return (
        None
        if raises
        else Fact(driver.feature, f"{neutral(driver.label)}: {neutral(driver.value or '')}.", topic=topic, raises=False)
    )


# Verbs with which what somebody did begins; what begins otherwise is a clause of its own.
_DEEDS = frozenset({"tried", "reached", "used", "were", "made", "connected", "sent", "last"})


def is_deed(fact: Fact) -> bool:
    """Whether a driver tells what somebody did, after "they" or "you"."""
    return fact.deed is not None and fact.deed.split()[0] in _DEEDS


def _relationship(profile: Customer360) -> list[Fact]:
    told: list[Fact] = [
        Fact(
            "tenure",
            f"They have been a customer for {slot_text('days', 'age', 'tenure_days', profile.tenure_days)}.",
            is_for_customer=True,
            more=(_exactly(Unit.DAYS, profile.tenure_days),),
        )
    ]
    if profile.renewal_date is not None and profile.days_to_renewal is not None:
        ahead = slot_text("days", "ahead", "days_to_renewal", profile.days_to_renewal)
        told.append(
            Fact(
                "renewal",
                f"Renewal is due on {day_text(profile.renewal_date)}, {ahead}, when the contract ends.",
                is_for_customer=True,
            )
        )
    if profile.open_tickets is not None:
        tickets = counted(profile.open_tickets, "support ticket") if profile.open_tickets else "No support tickets"
        verb = "is" if profile.open_tickets == 1 else "are"
        told.append(Fact("tickets", f"{tickets} {verb} open.", is_for_customer=True))
    if profile.events_last_30d is not None:
        told.append(Fact("events", f"{counted(profile.events_last_30d, 'event')} of usage in the last 30 days."))
    if (latest := profile.latest_opportunity) is not None:
        state = {"closed_won": "was won", "closed_lost": "was lost"}.get(latest.stage, OPEN)
        told.append(Fact("opportunity", f"The newest sales opportunity, of {day_text(latest.created_date)}, {state}."))
    if profile.last_contact is not None:
        # Without its kind, which is whatever somebody typed.
        told.append(Fact("contact", f"The last contact was on {day_text(profile.last_contact.contacted_on)}."))
    return told


def _risks(profile: Customer360) -> list[Fact]:
    score = profile.churn.scores[0]
    told: list[Fact] = [
        Fact(
            "churn",
            f"The risk that they leave within {counted(score.horizon_days, 'day')} is {percent(score.probability)} ({neutral(profile.churn.risk_tier)}).",
            more=(_exactly(Unit.PERCENT, 100 * score.probability),),
        )
    ]
    for theme in profile.churn.churn_themes or ():
        shows_text = any(
            isinstance(value := profile.features.get(name), str) and value not in TIERS for name in theme.features
        )
        if theme.theme not in SETTLED or _NO_WORSE in theme.sentence or shows_text:
            continue
        told.append(Fact(f"risk:{theme.theme}", f"{neutral(theme.sentence)}."))
    return told


def _playbook(profile: Customer360) -> list[Fact]:
    told: list[Fact] = []
    is_new = profile.lifecycle == ONBOARDING
    if is_new:
        told.append(Fact("new", "They are new: the onboarding is still under way."))
    for point in profile.churn.talking_points:
        if (point.theme in SETTLED or (is_new and point.theme == LIFECYCLE)) and point.avoid:
            told.append(Fact(f"avoid:{point.theme}", f"Avoid: {lower_case(neutral(point.avoid))}"))
    if profile.churn.is_on_call_list:
        told.append(Fact("called", "The success manager calls them this week."))
    return told


def _exactly(unit: Unit, value: float) -> Figure:
    return Figure(unit, (float(value),), "", 0, 0)


def percent(share: float) -> str:
    return value_text("percent", share)


def _as_number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and value == value else None
