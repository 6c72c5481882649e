r"""The family ``health``: a hidden health moves by itself, and nearly everything follows from it.

All parameters are in :mod:`~churn_pipeline.simulate.parameters`.

**Hidden state** at 00:00 of ``S_t``, a Markov chain on a finite grid:

- health ``h`` in ``HEALTH_GRID``: a discretised AR(1), ``h' ~ N(phi h, 1 - phi^2)``;
- incident ``d`` in {0, 1}: begins with probability ``min(cap, b exp(-s h))``, ends with a constant one;
- readiness to buy more, ``r`` in {0..4}: a birth-death chain, set back to 0 by an upgrade.

A *state* is one integer ``z = incident * HEALTH_POINTS + health index``. Readiness is a separate chain.

**Hazards** of the week that begins on ``S_t``::

    churn    p = 1 - exp(-exp(a + m(h) + e d + loyalty_i + season(t) + onboarding(tenure) + renewal(contract clock)
                               + call_i))
             with m(h) = -gamma h
    leave    c = constant                  (acquired, merged: off the book without churning)
    upgrade  u = appetite_i budget(t) w(r) g(h)    and 0 on the highest tier
    downgrade v = min(cap, k exp(-s h))    (alters no hazard)

``loyalty_i`` and ``appetite_i`` follow the tier at *signup*, so no plan change alters a hazard; season, tenure and the
contract clock are known into the future.

**Behaviour** (:mod:`~churn_pipeline.simulate.behaviour`), with ``y(h)`` the health as it shows (steeper below -1)::

    events of type k  ~ Poisson(intensity_i calendar(t) ramp(tenure) noise_it share_k exp(slope_k y(h)))
                         and none in a quiet week, which comes with min(cap, q exp(-s y(h)))
    trials, limit hits ~ Poisson(rate_k(r))
    adoption score     = clip(level_i + slope y(h) - newness(tenure) + noise_it + noise)
    tickets            ~ Poisson(rate exp(-s h)) ordinary, plus Poisson(rate) urgent ones while d = 1
    compliance gap     = logistic(c - s h + noise);   vendor flags ~ Poisson(f exp(-s h))
    opportunities      ~ Poisson(rate(r))
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np

from churn_pipeline.simulate import parameters as p
from churn_pipeline.simulate.dynamics import Chains, Hazards, settled_book, with_problems, yearly_wave
from churn_pipeline.simulate.population import Bools, Floats, Ints

HEALTH_GRID: Floats = np.linspace(-p.HEALTH_LIMIT, p.HEALTH_LIMIT, p.HEALTH_POINTS)
STATES = 2 * p.HEALTH_POINTS
HEALTH_OF_STATE: Floats = np.tile(HEALTH_GRID, 2)
INCIDENT_OF_STATE: Bools = np.arange(STATES) >= p.HEALTH_POINTS


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
    begin = np.minimum(p.INCIDENT_BEGIN_CAP, p.INCIDENT_BEGIN * np.exp(-p.INCIDENT_SLOPE * HEALTH_GRID))
    return with_problems(health, begin, p.INCIDENT_END)


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
    """Distribution of the first book's states."""
    return settled_book(state_transitions(), entry_states(), base_log_hazard(), p.WEEKLY_GROWTH)


def base_log_hazard() -> Floats:
    """The part of the weekly log-hazard of churn that the state decides, shape (STATES,)."""
    return p.CHURN_LEVEL - p.CHURN_HEALTH * HEALTH_OF_STATE + p.CHURN_INCIDENT * INCIDENT_OF_STATE


def upgrade_weights() -> Floats:
    """Weekly upgrade hazard by readiness and state before appetite and season, shape (levels, STATES)."""
    health = np.clip(np.exp(p.UPGRADE_HEALTH * HEALTH_OF_STATE), *p.UPGRADE_HEALTH_LIMITS)
    return np.array(p.UPGRADE_BY_READINESS)[:, None] * health[None, :]


@cache
def health_chains() -> Chains:
    """The numbers of this family."""
    return Chains(
        standing=HEALTH_OF_STATE,
        move=state_transitions(),
        entry=entry_states(),
        book=book_states(),
        log_hazard=base_log_hazard(),
        ready_move=readiness_transitions(),
        ready_start=readiness_in_the_long_run(),
        upgrade=upgrade_weights(),
        downgrade=np.minimum(p.DOWNGRADE_CAP, p.DOWNGRADE_WEEKLY * np.exp(-p.DOWNGRADE_HEALTH * HEALTH_OF_STATE)),
        leave=p.LEAVE_WEEKLY,
        churn_weekdays=p.CHURN_WEEKDAYS,
        plan_weekdays=p.PLAN_CHANGE_WEEKDAYS,
    )


@dataclass(frozen=True)
class HealthHazards(Hazards):
    """Hazards of this family: tier at signup, tenure, season and contract clock beside the state."""

    @property
    def chains(self) -> Chains:
        return health_chains()

    def churn_shift(self, who: Ints, week: int) -> Floats:
        monday = self.first_day + 7 * week
        people = self.population
        tenure = np.maximum(monday - people.signup_day[who], 0) / 7.0
        shift = np.array(p.CHURN_TIER)[people.tier[who]] + p.CHURN_ONBOARDING * np.exp(
            -tenure / p.CHURN_ONBOARDING_WEEKS
        )
        shift += p.CHURN_SEASON * yearly_wave(monday, p.CHURN_SEASON_PEAK)
        step = np.searchsorted([limit for limit, _, _ in p.RENEWAL_STEPS], people.days_to_term_end(who, monday))
        by_clock = np.array([[plain, auto] for _, plain, auto in p.RENEWAL_STEPS])[
            np.minimum(step, len(p.RENEWAL_STEPS) - 1), people.auto_renew[who].astype(np.int64)
        ]
        return np.asarray(shift + np.where(people.is_bound(who, monday), by_clock, 0.0))

    def upgrade_factor(self, who: Ints, week: int) -> Floats:
        season = 1 + p.UPGRADE_SEASON * yearly_wave(self.first_day + 7 * week, p.UPGRADE_SEASON_PEAK)
        return np.array(p.UPGRADE_APPETITE)[self.population.tier[who]] * season
