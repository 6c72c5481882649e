"""Who signs up, when, with which static traits and which contract; drawn for the family ``health``.

Nothing here depends on what becomes of a customer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from churn_pipeline.simulate import parameters as p
from churn_pipeline.simulate.simulation import Simulation

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

_FIRST_WORDS = (
    "Northwind", "Blue Harbor", "Quantum", "Cedar", "Summit", "Ironbridge", "Lumen", "Pioneer", "Atlas", "Verdant",
    "Harvest", "Copper", "Granite", "Silverline", "Beacon", "Maple", "Orchid", "Falcon", "Zenith", "Riverstone",
)  # fmt: skip
_SECOND_WORDS = (
    "Analytics", "Logistics", "Health", "Payments", "Robotics", "Foods", "Systems", "Energy", "Textiles",
    "Insurance", "Media", "Labs", "Mobility", "Retail", "Security",
)  # fmt: skip
_LEGAL_FORMS = ("Inc", "LLC", "GmbH", "Ltd", "AB", "SAS")
# Names that are legal and that break what forgets to escape: HTML, Slack mark-up, spreadsheets, CSV, SQL, encodings.
# Those that a spreadsheet takes for a formula are dirt: in a clean company they only look like a mistake of ours.
_AWKWARD_NAMES = (
    "Smith & Sons",
    "<b>Bold</b> Analytics",
    "=SUM Systems",
    'The "Quoted" Company',
    "O'Brien's; DROP TABLE customers;--",
    "Comma, Semicolon; and Co",
    "+1 Growth",
    "@home Retail",
    "-Minus Energy",
    "Ünïcödé Größe 株式会社",
    "<script>alert(1)</script> Media",
    "*Star* _Under_ `Tick` ~Labs~",
)
_AWKWARD_SHARE = 0.01
# What a cell begins with that spreadsheets compute.
FORMULA_MARKS = ("=", "+", "-", "@")


@dataclass(frozen=True)
class Population:
    """Static traits, one entry per customer, in order of customer number (which is the order of signup).

    Attributes:
        signup_day: days since 1970-01-01.
        entry_week: first week at whose Monday the customer is active (signup strictly before it); 0 for the first book
            and ``total_weeks`` for those who sign up in the last week.
        tier: index into ``TIERS`` at signup.
        industry: index into ``INDUSTRIES``.
        intensity: how much the customer does in a usual week, in the unit of the family.
        adoption: the customer's usual adoption score.
        mrr_by_tier: USD a month that this customer pays on each tier, shape (n, tiers).
        contract_start: day of the first term; meaningless where ``term_days`` is 0.
        term_days: length of the first term, 0 for month by month.
        renewal_days: length of every later term; as ``term_days`` where that is 0.
    """

    INDUSTRIES: ClassVar[tuple[str, ...]] = p.INDUSTRIES

    signup_day: Ints
    entry_week: Ints
    tier: Ints
    mrr_by_tier: Floats
    industry: Ints
    seats: Ints
    owner: Ints
    name: list[str]
    contract_start: Ints
    term_days: Ints
    renewal_days: Ints
    auto_renew: Bools
    intensity: Floats
    adoption: Floats

    @property
    def size(self) -> int:
        return len(self.signup_day)

    def days_to_term_end(self, who: Ints, day: int) -> Ints:
        """Days from ``day`` to the day after the running term, at least 1; meaningless where none runs (:meth:`is_bound`)."""
        elapsed, first, later = day - self.contract_start[who], self.term_days[who], self.renewal_days[who]
        return np.where(elapsed < first, first - elapsed, later - (elapsed - first) % np.maximum(later, 1))

    def is_bound(self, who: Ints, day: int) -> Bools:
        """Whether a term runs on ``day``."""
        return np.asarray((self.term_days[who] > 0) & (day >= self.contract_start[who]))

    def term_starts(self, ends: Ints) -> tuple[Ints, Ints, Ints]:
        """Every term that began before a day of the customer's: customer, first day, length; customer by customer.

        Args:
            ends: the day, shape (n,).
        """
        first, later = self.term_days, self.renewal_days
        elapsed = ends - self.contract_start
        renewals = np.maximum(0, -((first - elapsed) // np.maximum(later, 1)))
        terms = np.where((first > 0) & (elapsed > 0), 1 + renewals, 0)
        who = np.repeat(np.arange(self.size), terms)
        turn = np.arange(len(who)) - np.repeat(np.cumsum(terms) - terms, terms)
        start = self.contract_start[who] + np.where(turn > 0, first[who] + (turn - 1) * later[who], 0)
        return who, start, np.where(turn > 0, later[who], first[who])


@dataclass(frozen=True)
class Growth:
    """How a book came about and goes on.

    Attributes:
        weekly: growth of the active book.
        planned_loss: share of the book that a usual week loses; signups make up for it, the hazards decide what is lost.
        mean_tenure: of the first book in days; exponential.
        max_tenure: where it is cut.
        weekdays: of signups, Monday first.
    """

    weekly: float
    planned_loss: float
    mean_tenure: float
    max_tenure: int
    weekdays: tuple[float, ...]


_GROWTH = Growth(p.WEEKLY_GROWTH, p.PLANNED_WEEKLY_LOSS, p.BOOK_MEAN_TENURE, p.BOOK_MAX_TENURE, p.SIGNUP_WEEKDAYS)


def draw_population(simulation: Simulation) -> Population:
    """Draws the first book and all later signups, ``simulation.customers`` together."""
    rng = simulation.generator("population")
    n = simulation.customers
    signup_day = signup_days(simulation, _GROWTH, rng)
    tier = rng.choice(len(p.TIERS), n, p=p.TIER_SHARES)
    place = rng.beta(*p.MRR_BETA, n)
    low, high = np.array(p.MRR_RANGES).T
    has_contract = rng.random(n) < np.array(p.CONTRACT_SHARE)[tier]
    term = rng.choice(np.array(p.TERM_DAYS), n, p=p.TERM_SHARES)
    return Population(
        signup_day=signup_day,
        entry_week=entry_weeks(simulation, signup_day),
        tier=tier,
        mrr_by_tier=list_price(low + place[:, None] * (high - low)),
        industry=rng.choice(len(p.INDUSTRIES), n, p=p.INDUSTRY_SHARES),
        seats=np.maximum(
            1, np.round(np.array(p.SEATS_MEDIAN)[tier] * np.exp(p.SEATS_SIGMA * rng.standard_normal(n)))
        ).astype(np.int64),
        owner=rng.integers(0, len(p.CSM_OWNERS), n),
        name=company_names(n, rng, formulas=simulation.dirty),
        contract_start=signup_day + rng.integers(0, p.PILOT_DAYS + 1, n),
        term_days=np.where(has_contract, term, 0),
        renewal_days=np.where(has_contract, term, 0),
        auto_renew=rng.random(n) < p.AUTO_RENEW_SHARE,
        intensity=np.array(p.INTENSITY)[tier] * np.exp(p.INTENSITY_SIGMA * rng.standard_normal(n)),
        adoption=p.ADOPTION_LEVEL + p.ADOPTION_LEVEL_SIGMA * rng.standard_normal(n),
    )


def entry_weeks(simulation: Simulation, signup_day: Ints) -> Ints:
    """``Population.entry_week`` of those who sign up on some days."""
    return np.clip((signup_day - simulation.first_day) // 7 + 1, 0, simulation.total_weeks)


def list_price(price: Floats) -> Floats:
    """Prices end in 0 or 5 dollars, as price lists do."""
    return np.asarray(np.round(price / 5.0) * 5.0)


def signup_days(simulation: Simulation, growth: Growth, rng: np.random.Generator) -> Ints:
    """Sorted signup days: a first book, then weekly signups that replace the planned losses and grow the book."""
    n, weeks = simulation.customers, simulation.total_weeks
    # Signups of week w are (loss + growth) * book * (1 + growth)^w, hence their sum over the weeks relative to the
    # first book:
    relative = (growth.planned_loss + growth.weekly) * (1 + growth.weekly) ** np.arange(weeks)
    book = max(1, round(n / (1 + relative.sum())))
    tenure = np.minimum(1 + rng.exponential(growth.mean_tenure, book).astype(np.int64), growth.max_tenure)
    week = rng.choice(weeks, n - book, p=relative / relative.sum())
    weekday = rng.choice(7, n - book, p=growth.weekdays)
    return np.sort(np.concatenate([simulation.first_day - tenure, simulation.first_day + 7 * week + weekday]))


def company_names(n: int, rng: np.random.Generator, formulas: bool) -> list[str]:
    """Names for display, one in a hundred of them awkward; those that look like formulas only where asked for."""
    first, second = rng.integers(0, len(_FIRST_WORDS), n), rng.integers(0, len(_SECOND_WORDS), n)
    form = rng.integers(0, len(_LEGAL_FORMS), n)
    names = [
        f"{_FIRST_WORDS[a]} {_SECOND_WORDS[b]} {_LEGAL_FORMS[c]}"
        for a, b, c in zip(first.tolist(), second.tolist(), form.tolist(), strict=True)
    ]
    for turn, row in enumerate(np.flatnonzero(rng.random(n) < _AWKWARD_SHARE).tolist()):
        awkward = _AWKWARD_NAMES[turn % len(_AWKWARD_NAMES)]
        if formulas or not awkward.startswith(FORMULA_MARKS):
            names[row] = awkward
    return names
