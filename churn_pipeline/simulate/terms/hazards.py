"""The chains and hazards of this family.

A *state* is one integer ``z = problem * ACTIVITY_LEVELS + activity level``. Readiness is a separate chain.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from churn_pipeline.simulate.dynamics import Chains, Hazards, settled_book, with_problems, yearly_wave
from churn_pipeline.simulate.population import Bools, Floats, Ints
from churn_pipeline.simulate.terms import parameters as p

ACTIVITY: Floats = p.ACTIVITY_LOW + p.ACTIVITY_STEP * np.arange(p.ACTIVITY_LEVELS, dtype=np.float64)
ACTIVITY_OF_STATE: Floats = np.tile(ACTIVITY, 2)
PROBLEM_OF_STATE: Bools = np.arange(2 * p.ACTIVITY_LEVELS) >= p.ACTIVITY_LEVELS


def activity_moves() -> Floats:
    """Week-to-week probabilities between levels of activity, shape (levels, levels): small steps, falls and revivals."""
    levels = p.ACTIVITY_LEVELS
    moves = np.zeros((levels, levels))
    for level in range(levels):
        away = p.ACTIVITY_USUAL - level
        if level < levels - 1:
            moves[level, level + 1] += p.ACTIVITY_STEP_WEEKLY + p.ACTIVITY_PULL * max(away, 0)
        if level > 0:
            moves[level, level - 1] += p.ACTIVITY_STEP_WEEKLY + p.ACTIVITY_PULL * max(-away, 0)
        if level < len(p.ACTIVITY_DROP_TO):
            moves[level, p.ACTIVITY_REVIVAL_TO] += p.ACTIVITY_REVIVAL
        else:
            moves[level, : len(p.ACTIVITY_DROP_TO)] += p.ACTIVITY_DROP * np.array(p.ACTIVITY_DROP_TO)
        moves[level, level] = 1 - moves[level].sum()
    return moves


def entry_states() -> Floats:
    """Distribution of a newcomer's state: around the usual level, without a problem."""
    distance = np.arange(p.ACTIVITY_LEVELS) - p.ACTIVITY_USUAL
    share = np.exp(-0.5 * (distance / p.ACTIVITY_START_SIGMA) ** 2)
    return np.concatenate([share / share.sum(), np.zeros(p.ACTIVITY_LEVELS)])


def readiness_in_the_long_run() -> Floats:
    """Where the chain of readiness settles."""
    share = np.full(len(p.READY_MOVES), 1 / len(p.READY_MOVES))
    for _ in range(600):
        share = share @ np.array(p.READY_MOVES)
    return share / share.sum()


@cache
def terms_chains() -> Chains:
    """The numbers of this family."""
    move = with_problems(activity_moves(), np.full(p.ACTIVITY_LEVELS, p.PROBLEM_BEGIN), p.PROBLEM_END)
    log_hazard = p.CHURN_LEVEL - p.CHURN_ACTIVITY * ACTIVITY_OF_STATE + p.CHURN_PROBLEM * PROBLEM_OF_STATE
    book = settled_book(move, entry_states(), log_hazard, p.GROWTH.weekly)
    usual = book @ ACTIVITY_OF_STATE
    spread = np.sqrt(book @ (ACTIVITY_OF_STATE - usual) ** 2)
    willing = np.clip(np.exp(p.UPGRADE_ACTIVITY * ACTIVITY_OF_STATE), *p.UPGRADE_ACTIVITY_LIMITS)
    return Chains(
        standing=(ACTIVITY_OF_STATE - usual) / spread,
        move=move,
        entry=entry_states(),
        book=book,
        log_hazard=log_hazard,
        ready_move=np.array(p.READY_MOVES),
        ready_start=readiness_in_the_long_run(),
        upgrade=np.array(p.UPGRADE_BY_READINESS)[:, None] * willing[None, :],
        downgrade=np.minimum(p.DOWNGRADE_CAP, p.DOWNGRADE_WEEKLY * np.exp(-p.DOWNGRADE_ACTIVITY * ACTIVITY_OF_STATE)),
        leave=p.LEAVE_WEEKLY,
        churn_weekdays=p.CHURN_WEEKDAYS,
        plan_weekdays=p.PLAN_CHANGE_WEEKDAYS,
    )


@dataclass(frozen=True)
class TermsHazards(Hazards):
    """Hazards of this family: seats, tenure, industry with its season, business cycle and contract clock beside the state."""

    @property
    def chains(self) -> Chains:
        return terms_chains()

    def churn_shift(self, who: Ints, week: int) -> Floats:
        people, monday = self.population, self.first_day + 7 * week
        tenure = np.maximum(monday - people.signup_day[who], 0) / 7.0
        shift = p.CHURN_LOG_SEATS * np.log(people.seats[who] / p.SEATS_REFERENCE)
        shift += p.CHURN_LOG_TENURE * np.log((tenure + p.CHURN_TENURE_FROM) / 52.0)
        season = [
            amplitude * yearly_wave(monday, peak)
            for amplitude, peak in zip(p.CHURN_SEASON, p.CHURN_SEASON_PEAK, strict=True)
        ]
        shift += (np.array(p.CHURN_INDUSTRY) + np.array(season))[people.industry[who]]
        shift += p.CHURN_CYCLE * yearly_wave(monday, p.CHURN_CYCLE_PEAK, p.CHURN_CYCLE_DAYS)
        return np.asarray(shift + self._contract(who, monday))

    def upgrade_factor(self, who: Ints, week: int) -> Floats:
        people, monday = self.population, self.first_day + 7 * week
        size = np.clip((people.seats[who] / p.SEATS_REFERENCE) ** p.UPGRADE_SEATS, *p.UPGRADE_SEATS_LIMITS)
        season = 1 + p.UPGRADE_SEASON * yearly_wave(monday, p.UPGRADE_SEASON_PEAK, p.UPGRADE_SEASON_DAYS)
        return np.asarray(np.array(p.UPGRADE_APPETITE)[people.tier[who]] * size * season)

    def _contract(self, who: Ints, monday: int) -> Floats:
        people = self.population
        limits, effects = np.array(p.TERM_STEPS).T
        remaining = people.days_to_term_end(who, monday)
        step = np.minimum(np.searchsorted(limits, remaining), len(limits) - 1)
        is_first = monday - people.contract_start[who] < people.term_days[who]
        by_clock = effects[step] + np.where(is_first & (step == 0), p.CHURN_FIRST_TERM_END, 0.0)
        return np.where(people.is_bound(who, monday), by_clock, p.CHURN_UNBOUND)
