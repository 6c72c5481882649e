"""What every family of companies has in common: chains of hidden states, and hazards that follow from them.

A family gives its numbers as :class:`Chains` and its :class:`Hazards`; the forward draw in :mod:`~churn_pipeline.simulate.paths`
and the exact recursion in :mod:`~churn_pipeline.simulate.oracle` know nothing else of it.

A *state* is one integer. Readiness to buy more is a separate chain.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from churn_pipeline.simulate import parameters as p
from churn_pipeline.simulate.calls import Calls, draw_calls
from churn_pipeline.simulate.population import Floats, Ints, Population
from churn_pipeline.simulate.simulation import Simulation

HIGHEST_TIER = len(p.TIERS) - 1


@dataclass(frozen=True)
class Chains:
    """The numbers of a family's chains.

    Attributes:
        standing: how well a customer in each state looks to a manager, about standard normal, shape (states,).
        move: week-to-week probabilities between states, shape (states, states); rows sum to 1.
        entry: distribution of a newcomer's state, shape (states,).
        book: distribution of the first book's states, shape (states,).
        log_hazard: the part of the weekly log-hazard of churn that the state decides, shape (states,).
        ready_move: week-to-week probabilities between levels of readiness, shape (levels, levels).
        ready_start: distribution of readiness on arrival, shape (levels,).
        upgrade: weekly upgrade hazard by readiness and state before :meth:`Hazards.upgrade_factor`, shape (levels, states).
        downgrade: weekly downgrade hazard by state, shape (states,); alters no other hazard.
        leave: weekly probability of leaving the book without churning.
        churn_weekdays, plan_weekdays: of churn, and of changes of the plan, within their week; Monday first.
    """

    standing: Floats
    move: Floats
    entry: Floats
    book: Floats
    log_hazard: Floats
    ready_move: Floats
    ready_start: Floats
    upgrade: Floats
    downgrade: Floats
    leave: float
    churn_weekdays: tuple[float, ...]
    plan_weekdays: tuple[float, ...]

    @property
    def states(self) -> int:
        return len(self.log_hazard)

    @property
    def levels(self) -> int:
        """Of readiness."""
        return len(self.ready_start)


@dataclass(frozen=True)
class Hazards(ABC):
    """What the coming weeks hold for each customer of a population, known in advance given the state."""

    population: Population
    first_day: int
    calls: Calls

    @property
    @abstractmethod
    def chains(self) -> Chains:
        """The numbers of the family."""

    @abstractmethod
    def churn_shift(self, who: Ints, week: int) -> Floats:
        """Log-hazard added to ``chains.log_hazard`` for customers ``who`` in ``week``, shape (len(who),).

        The week may lie beyond the data.
        """

    @abstractmethod
    def upgrade_factor(self, who: Ints, week: int) -> Floats:
        """Factor on ``chains.upgrade`` for customers ``who`` below the highest tier, shape (len(who),)."""

    def call_shift(self, who: Ints, since_call: Ints) -> Floats:
        """Log-hazard that a call adds while it works, shape (len(who),): 0 for whom none works, else below.

        Args:
            who: customer numbers.
            since_call: weeks since the week of the last call.
        """
        return np.where(since_call <= p.CALL_EFFECT_WEEKS, self.calls.log_effect(who), 0.0)

    def call_probability(self, who: Ints) -> Floats:
        """Probability of a call in a week by state on its Monday, if a quarter has passed; shape (len(who), states)."""
        return self.calls.probability(who, self.chains.standing[None, :])

    def start(self, rng: np.random.Generator) -> tuple[Ints, Ints]:
        """State and readiness on arrival: the first book in its long-run state and newcomers in theirs; each shape (n,)."""
        n, chains = self.population.size, self.chains
        in_book = rng.choice(chains.states, n, p=chains.book)
        newcomer = rng.choice(chains.states, n, p=chains.entry)
        readiness = rng.choice(chains.levels, n, p=chains.ready_start)
        return np.where(self.population.entry_week == 0, in_book, newcomer), readiness


def calls_of(simulation: Simulation, population: Population, chains: Chains) -> Calls:
    """The team of this company, and whom it can persuade."""
    return draw_calls(simulation, population, chains.standing, chains.book)


def event_probability(log_hazard: Floats) -> Floats:
    """Complementary log-log link: probability of the event within the week."""
    return -np.expm1(-np.exp(log_hazard))


def settled_book(move: Floats, entry: Floats, log_hazard: Floats, weekly_growth: float) -> Floats:
    """Distribution of the first book's states: where the churn of many years and the newcomers balance.

    Power iteration of one week's survival and movement with losses and growth replaced by newcomers, at an average
    customer's hazard.
    """
    survive = 1 - event_probability(log_hazard)
    share = entry
    for _ in range(600):
        kept = (share * survive) @ move
        share = kept + (1 + weekly_growth - kept.sum()) * entry
        share = share / share.sum()
    return share


def with_problems(activity_moves: Floats, begins: Floats, ends: float) -> Floats:
    """The chain of states ``problem * m + i`` of ``m`` levels that move by themselves and a problem that comes and goes.

    Args:
        activity_moves: between the levels, shape (m, m).
        begins: weekly probability that a problem begins by level, shape (m,).
        ends: that one ends.
    """
    begin = begins[:, None]
    return np.block(
        [[activity_moves * (1 - begin), activity_moves * begin], [activity_moves * ends, activity_moves * (1 - ends)]]
    )


def yearly_wave(day: int, peak: int, days: float = 365.25) -> float:
    """A cosine over the year, or over another number of days, that is 1 on a day of it."""
    # Day 0 is 1970-01-01; the drift of a leap day every four years is below the resolution of a season.
    return float(np.cos(2 * np.pi * (day % days - peak) / days))
