"""The hidden life of every customer: the Markov chains, the hazards, and one drawn path through them.

The hazards are functions of the state and of what is known in advance, in one place, :class:`Hazards`, which both the
forward draw here and the exact recursion in :mod:`~churn_pipeline.simulate.oracle` use.

A *state* is one integer ``z = incident * HEALTH_POINTS + health index``. Readiness is a separate chain.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from churn_pipeline.simulate import parameters as p
from churn_pipeline.simulate.calls import LONG_AGO, Calls, draw_calls
from churn_pipeline.simulate.population import Bools, Floats, Ints, Population
from churn_pipeline.simulate.simulation import Simulation

HEALTH_GRID: Floats = np.linspace(-p.HEALTH_LIMIT, p.HEALTH_LIMIT, p.HEALTH_POINTS)
STATES = 2 * p.HEALTH_POINTS
HEALTH_OF_STATE: Floats = np.tile(HEALTH_GRID, 2)
INCIDENT_OF_STATE: Bools = np.arange(STATES) >= p.HEALTH_POINTS
HIGHEST_TIER = len(p.TIERS) - 1
NEVER = np.iinfo(np.int64).max
_ABSENT = -1


def _normal_cdf(x: Floats) -> Floats:
    return np.array([0.5 * (1.0 + math.erf(value / math.sqrt(2.0))) for value in x.ravel()]).reshape(x.shape)


def _binned_normal(mean: Floats, sd: float) -> Floats:
    """Probability of each health point under N(mean, sd): the mass of its cell, the outer cells open (Tauchen 1986)."""
    edges = (HEALTH_GRID[1:] + HEALTH_GRID[:-1]) / 2
    below = _normal_cdf((edges[None, :] - mean[:, None]) / sd)
    return np.diff(below, axis=1, prepend=0.0, append=1.0)


def state_transitions() -> Floats:
    """Week-to-week probabilities between states, shape (STATES, STATES), rows sum to 1."""
    health = _binned_normal(p.HEALTH_PERSISTENCE * HEALTH_GRID, float(np.sqrt(1 - p.HEALTH_PERSISTENCE**2)))
    begin = np.minimum(p.INCIDENT_BEGIN_CAP, p.INCIDENT_BEGIN * np.exp(-p.INCIDENT_SLOPE * HEALTH_GRID))[:, None]
    return np.block([[health * (1 - begin), health * begin], [health * p.INCIDENT_END, health * (1 - p.INCIDENT_END)]])


def entry_states() -> Floats:
    """Distribution of a newcomer's state, shape (STATES,): health as in the long run without churn, no incident."""
    return np.concatenate([_binned_normal(np.zeros(1), 1.0)[0], np.zeros(p.HEALTH_POINTS)])


def readiness_transitions() -> Floats:
    """Week-to-week probabilities between readiness levels, shape (levels, levels)."""
    n = p.READINESS_LEVELS
    chain = np.diag(np.full(n - 1, p.READINESS_UP), 1) + np.diag(np.full(n - 1, p.READINESS_DOWN), -1)
    return chain + np.diag(1 - chain.sum(axis=1))


def readiness_in_the_long_run() -> Floats:
    weights = (p.READINESS_UP / p.READINESS_DOWN) ** np.arange(p.READINESS_LEVELS)
    return weights / weights.sum()


def book_states() -> Floats:
    """Distribution of the first book's states: where the churn of many years and the newcomers balance.

    Power iteration of one week's survival and movement with losses and growth replaced by newcomers, at an average
    customer's hazard.
    """
    move, entry = state_transitions(), entry_states()
    survive = 1 - event_probability(base_log_hazard())
    share = entry
    for _ in range(600):
        kept = (share * survive) @ move
        share = kept + (1 + p.WEEKLY_GROWTH - kept.sum()) * entry
        share = share / share.sum()
    return share


def base_log_hazard() -> Floats:
    """The part of the weekly log-hazard of churn that the state decides, shape (STATES,)."""
    return p.CHURN_LEVEL - p.CHURN_HEALTH * HEALTH_OF_STATE + p.CHURN_INCIDENT * INCIDENT_OF_STATE


def event_probability(log_hazard: Floats) -> Floats:
    """Complementary log-log link: probability of the event within the week."""
    return -np.expm1(-np.exp(log_hazard))


def _yearly_wave(day: int, peak: int) -> float:
    # Day 0 is 1970-01-01; the drift of a leap day every four years is below the resolution of a season.
    return float(np.cos(2 * np.pi * (day % 365.25 - peak) / 365.25))


@dataclass(frozen=True)
class Hazards:
    """What the coming weeks hold for each customer of a population, known in advance given the state."""

    population: Population
    first_day: int
    calls: Calls

    def churn_shift(self, who: Ints, week: int) -> Floats:
        """Log-hazard added to :func:`base_log_hazard` for customers ``who`` in ``week``, shape (len(who),).

        The week may lie beyond the data.
        """
        monday = self.first_day + 7 * week
        people = self.population
        tenure = np.maximum(monday - people.signup_day[who], 0) / 7.0
        shift = np.array(p.CHURN_TIER)[people.tier[who]] + p.CHURN_ONBOARDING * np.exp(
            -tenure / p.CHURN_ONBOARDING_WEEKS
        )
        shift += p.CHURN_SEASON * _yearly_wave(monday, p.CHURN_SEASON_PEAK)
        term, start = people.term_days[who], people.contract_start[who]
        running = (term > 0) & (monday >= start)
        days_remaining = term - (monday - start) % np.maximum(term, 1)
        step = np.searchsorted([limit for limit, _, _ in p.RENEWAL_STEPS], days_remaining)
        by_clock = np.array([[plain, auto] for _, plain, auto in p.RENEWAL_STEPS])[
            np.minimum(step, len(p.RENEWAL_STEPS) - 1), people.auto_renew[who].astype(np.int64)
        ]
        return np.asarray(shift + np.where(running, by_clock, 0.0))

    def call_shift(self, who: Ints, since_call: Ints) -> Floats:
        """Log-hazard that a call adds while it works, shape (len(who),): 0 for whom none works, else below.

        Args:
            who: customer numbers.
            since_call: weeks since the week of the last call.
        """
        return np.where(since_call <= p.CALL_EFFECT_WEEKS, self.calls.log_effect(who), 0.0)

    def call_probability(self, who: Ints) -> Floats:
        """Probability of a call in a week by state on its Monday, if a quarter has passed; shape (len(who), STATES)."""
        return self.calls.probability(who, HEALTH_OF_STATE[None, :])

    def upgrade_factor(self, who: Ints, week: int) -> Floats:
        """Factor on :func:`upgrade_weights` for customers ``who`` below the highest tier, shape (len(who),)."""
        season = 1 + p.UPGRADE_SEASON * _yearly_wave(self.first_day + 7 * week, p.UPGRADE_SEASON_PEAK)
        return np.array(p.UPGRADE_APPETITE)[self.population.tier[who]] * season


def upgrade_weights() -> Floats:
    """Weekly upgrade hazard by readiness and state before appetite and season, shape (levels, STATES)."""
    health = np.clip(np.exp(p.UPGRADE_HEALTH * HEALTH_OF_STATE), *p.UPGRADE_HEALTH_LIMITS)
    return np.array(p.UPGRADE_BY_READINESS)[:, None] * health[None, :]


@dataclass(frozen=True)
class Paths:
    """One drawn life per customer; weeks along axis 0, customers along axis 1.

    Attributes:
        state, readiness, tier, since_call: int8, shape (total_weeks + 1, n): as at the Monday of the week; -1 where the
            customer is not active. Row ``total_weeks`` is ``until``. ``since_call`` counts the weeks since the week of
            the last call, up to ``LONG_AGO``, which also is never.
        churn_day, censor_day: days since 1970-01-01, ``NEVER`` if not before ``until``; never both.
        calls: (customer, day), ordered by day, then customer; shape (k, 2). Nobody is called on or after the day on
            which they go.
        changes: plan changes as (customer, day, from tier, to tier), ordered by day, then customer; shape (m, 4).
        shown_state, shown_readiness: int8, shape (total_weeks, n): what behaviour in the week follows, which is where
            the chains have moved by its end, whether or not the customer leaves in the week and before an upgrade sets
            readiness back. -1 where the customer has no facts in the week; those with facts are the active and those
            who sign up in it.
    """

    state: NDArray[np.int8]
    readiness: NDArray[np.int8]
    tier: NDArray[np.int8]
    since_call: NDArray[np.int8]
    churn_day: Ints
    censor_day: Ints
    calls: Ints
    changes: Ints
    shown_state: NDArray[np.int8]
    shown_readiness: NDArray[np.int8]

    @property
    def gone_day(self) -> Ints:
        """First day without facts: churn_day or censor_day, ``NEVER`` while on the book."""
        return np.minimum(self.churn_day, self.censor_day)

    def at_monday(self, week: int, who: Ints) -> tuple[Ints, Ints, Ints, Ints]:
        """State, readiness, tier and weeks since the last call of active customers at the Monday of a week."""
        state, readiness, tier, since_call = (
            history[week, who].astype(np.int64) for history in (self.state, self.readiness, self.tier, self.since_call)
        )
        return state, readiness, tier, since_call

    def shown_in(self, week: int) -> tuple[Ints, Ints, Ints]:
        """Customers with facts in ``week``, with the state and readiness that their behaviour follows."""
        who = np.flatnonzero(self.shown_state[week] != _ABSENT)
        return who, self.shown_state[week, who].astype(np.int64), self.shown_readiness[week, who].astype(np.int64)


def _draw_rows(cumulative: Floats, uniform: Floats) -> Ints:
    """One category per row by inversion; without the last edge, so rounding cannot step beyond the last category."""
    return np.asarray((uniform[:, None] >= cumulative[:, :-1]).sum(axis=1))


def calls_of(simulation: Simulation, population: Population) -> Calls:
    """The team of this company, and whom it can persuade."""
    return draw_calls(simulation, population, HEALTH_OF_STATE, book_states())


def draw_paths(
    simulation: Simulation,
    population: Population,
    calls: Calls,
    start: Callable[[np.random.Generator], tuple[Ints, Ints]] | None = None,
) -> Paths:
    """Draws every customer's life week by week.

    Args:
        simulation: extent, seed and shocks. A ``tier`` shock moves customers on its Monday; no other shock matters
            here.
        population: the static traits.
        calls: whom the team calls and what it does to them. Calls have random streams of their own, and a call only
            lowers a hazard that one number per customer and week is compared with: everybody lives as they would have
            without calls, except that some stay.
        start: draws (state, readiness) on arrival, each shape (n,); by default the first book in its long-run state and
            newcomers in theirs.
    """
    rng = simulation.generator("latent")
    n, weeks = population.size, simulation.total_weeks
    hazards = Hazards(population, simulation.first_day, calls)
    base, weights = base_log_hazard(), upgrade_weights()
    move, ready_move = state_transitions().cumsum(axis=1), readiness_transitions().cumsum(axis=1)
    downgrade = np.minimum(p.DOWNGRADE_CAP, p.DOWNGRADE_WEEKLY * np.exp(-p.DOWNGRADE_HEALTH * HEALTH_OF_STATE))
    churn_weekdays, plan_weekdays = np.cumsum(p.CHURN_WEEKDAYS)[None, :], np.cumsum(p.PLAN_CHANGE_WEEKDAYS)[None, :]

    state, readiness = (start or _default_start(population))(rng)
    tier, last_call = population.tier.copy(), np.full(n, -LONG_AGO)
    history = {
        name: np.full((weeks + 1, n), _ABSENT, dtype=np.int8) for name in ("state", "readiness", "tier", "since_call")
    }
    shown = {name: np.full((weeks, n), _ABSENT, dtype=np.int8) for name in ("shown_state", "shown_readiness")}
    churn_day, censor_day = np.full(n, NEVER), np.full(n, NEVER)
    changes: list[Ints] = []
    called: list[Ints] = []
    telephone, call_weekdays = simulation.generator("calls"), np.cumsum(p.CALL_WEEKDAYS)[None, :]
    migration_week, migrates = simulation.shock_week("tier"), _migrating(simulation, n)

    for week in range(weeks + 1):
        monday = simulation.first_day + 7 * week
        active = np.flatnonzero((population.entry_week <= week) & (churn_day == NEVER) & (censor_day == NEVER))
        since_call = np.minimum(week - last_call, LONG_AGO)
        for name, now in (("state", state), ("readiness", readiness), ("tier", tier), ("since_call", since_call)):
            history[name][week, active] = now[active]
        if week == weeks:
            break
        # Every week draws the same amount, so that one customer's fate never shifts another's numbers.
        uniform = rng.random((8, n))[:, active]
        z, r, since = state[active], readiness[active], since_call[active]

        log_hazard = base[z] + hazards.churn_shift(active, week) + hazards.call_shift(active, since)
        churns = uniform[0] < event_probability(log_hazard)
        leaves = ~churns & (uniform[1] < p.LEAVE_WEEKLY)
        stays = ~churns & ~leaves
        upgrades = (
            stays & (tier[active] < HIGHEST_TIER) & (uniform[2] < hazards.upgrade_factor(active, week) * weights[r, z])
        )
        downgrades = stays & ~upgrades & (tier[active] > 0) & (uniform[3] < downgrade[z])
        day = monday + _draw_rows(churn_weekdays, uniform[4])
        churn_day[active[churns]] = day[churns]
        # Leaving has no weekday of its own: the fifth uniform spreads it evenly.
        censor_day[active[leaves]] = monday + (7 * uniform[4][leaves]).astype(np.int64)

        chance = telephone.random((2, n))[:, active]
        call_day = monday + _draw_rows(call_weekdays, chance[1])
        # Who goes before the day that was planned for the call gets none.
        rings = (since >= p.CALL_EFFECT_WEEKS) & (chance[0] < calls.probability(active, HEALTH_OF_STATE[z]))
        rings &= call_day < np.minimum(churn_day, censor_day)[active]
        called.append(np.column_stack([active[rings], call_day[rings]]))
        last_call[active[rings]] = week

        if week == migration_week:
            still_there = np.minimum(churn_day, censor_day)[active] > monday
            moved = active[migrates[active] & (tier[active] >= 2) & still_there]
            changes.append(np.column_stack([moved, np.full(len(moved), monday), tier[moved], tier[moved] - 1]))
            tier[moved] -= 1
        change_day = monday + _draw_rows(plan_weekdays, uniform[5])
        changing = upgrades | downgrades
        who, old = active[changing], tier[active[changing]]
        new = old + np.where(upgrades[changing], 1, -1)
        changes.append(np.column_stack([who, change_day[changing], old, new]))
        tier[who] = new

        state[active], readiness[active] = _draw_rows(move[z], uniform[6]), _draw_rows(ready_move[r], uniform[7])
        there = np.concatenate([active, np.flatnonzero(population.entry_week == week + 1)])
        shown["shown_state"][week, there], shown["shown_readiness"][week, there] = state[there], readiness[there]
        readiness[active[upgrades]] = 0

    stacked, rung = np.concatenate(changes), np.concatenate(called)
    return Paths(
        **history,
        **shown,
        churn_day=churn_day,
        censor_day=censor_day,
        calls=rung[np.lexsort((rung[:, 0], rung[:, 1]))],
        changes=stacked[np.lexsort((stacked[:, 0], stacked[:, 1]))],
    )


def _default_start(population: Population) -> Callable[[np.random.Generator], tuple[Ints, Ints]]:
    def draw(rng: np.random.Generator) -> tuple[Ints, Ints]:
        n = population.size
        in_book = rng.choice(STATES, n, p=book_states())
        newcomer = rng.choice(STATES, n, p=entry_states())
        readiness = rng.choice(p.READINESS_LEVELS, n, p=readiness_in_the_long_run())
        return np.where(population.entry_week == 0, in_book, newcomer), readiness

    return draw


def _migrating(simulation: Simulation, n: int) -> Bools:
    return np.asarray(simulation.generator("tier shock").random(n) < p.SHOCK_TIER_CUSTOMERS)
