"""The true probabilities at every Monday, by exact forward recursion over the hidden states.

Given the complete state of a customer at 00:00 of ``S``, the mass over states of those still on the book is carried
week by week: lose the week's churn and leavers, move the chains. An h-day horizon is ``h // 7`` whole weeks and a
partial one, whose share of the week's hazard is the fixed share of its first ``h % 7`` weekdays. Nothing is sampled;
the error is that of single-precision arithmetic, below 1e-5.

The mass for churn is over states. The mass for expansion is over (readiness, state) of those who have not yet upgraded.
Season, tenure and the contract clock are known into the future, plan changes move no hazard, and below the highest tier
nobody reaches it without an upgrade, so nothing else has to be carried.

**Calls.** Whether somebody is called in a week depends on their state, and whoever is called has the effect from the
next week to the end of the horizon, since nobody is called twice within it. So the policy is one more mass: of those
whom it has called since S. What would be without any call from S on, and with one in the week of S and no other, is one
mass each; a call before S goes on working in all of them, and while it does, a call of the week of S adds nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from churn_pipeline.simulate import parameters as p
from churn_pipeline.simulate.arrow import customer_ids, dates
from churn_pipeline.simulate.dynamics import HIGHEST_TIER, Chains, Hazards
from churn_pipeline.simulate.paths import Paths
from churn_pipeline.simulate.population import Ints
from churn_pipeline.simulate.simulation import Simulation, progress_marks

Singles = NDArray[np.float32]

# Customers handled together: their masses (levels x states x 4 bytes each) stay within a core's second-level cache.
_BLOCK = 400
SHORT_HORIZON, LONG_HORIZON = 30, 90
_STEPS = LONG_HORIZON // 7 + 1

COLUMNS = (
    "p_churn_30d",
    "p_churn_90d",
    "p_expansion_90d",
    "p_churn_90d_without_calls",
    "p_churn_90d_with_one_call",
)


def probabilities(
    hazards: Hazards, who: Ints, week: int, state: Ints, readiness: Ints, tier: Ints, since_call: Ints
) -> Singles:
    """True probabilities at the Monday of ``week``.

    Args:
        hazards: of the population, with the team that calls.
        who: customer numbers, shape (n,); one number may stand several times, with different states.
        week: may lie beyond the data.
        state, readiness, tier, since_call: at that Monday, as in ``Paths``, shape (n,).

    Returns:
        Shape (n, 5), columns as ``COLUMNS``, values in [0, 1].
    """
    out = np.empty((len(who), len(COLUMNS)), dtype=np.float32)
    # Whoever cannot be called needs half of the masses.
    reachable = hazards.calls.reach[who] > 0
    # Small products: shared by two threads, one of which waited for a busy core, they took 110 s instead of 10.
    with threadpool_limits(limits=1, user_api="blas"):
        for group in (np.flatnonzero(~reachable), np.flatnonzero(reachable)):
            for begin in range(0, len(group), _BLOCK):
                part = group[begin : begin + _BLOCK]
                out[part] = _block(hazards, who[part], week, state[part], readiness[part], since_call[part])
    out[tier == HIGHEST_TIER, 2] = 0.0
    return out


def _block(hazards: Hazards, who: Ints, week: int, state: Ints, readiness: Ints, since_call: Ints) -> Singles:
    n = len(who)
    chains = hazards.chains
    move = chains.move.astype(np.float32)
    churn_share, plan_share = np.cumsum(chains.churn_weekdays), np.cumsum(chains.plan_weekdays)
    kept: Singles = np.array([1 - chains.leave], dtype=np.float32)
    call = hazards.call_probability(who).astype(np.float32)
    policy = bool(call.any())
    base = chains.log_hazard
    working = np.exp(hazards.calls.log_effect(who)).astype(np.float32)[:, None]
    may_be_called_at_once = (since_call >= p.CALL_EFFECT_WEEKS)[:, None]

    alive: Singles = np.zeros((n, chains.states), dtype=np.float32)
    alive[np.arange(n), state] = 1.0
    waiting = _Waiting(chains, readiness, state)
    # Of the policy, those called since S; without any call; with one in the week of S.
    alive_called: Singles = np.zeros_like(alive)
    without, with_one = alive, alive
    waiting_called = waiting.nobody()
    short, long, upgraded, long_without, long_with_one = (np.zeros(n) for _ in range(5))

    for step in range(_STEPS):
        hazard = np.exp((base[None, :] + hazards.churn_shift(who, week + step)[:, None]).astype(np.float32))
        usual: Singles = np.exp(-hazard)
        after_a_call: Singles = np.exp(-hazard * working)
        since, survive = since_call + step, usual
        if (since <= p.CALL_EFFECT_WEEKS).any():
            survive = np.where((since <= p.CALL_EFFECT_WEEKS)[:, None], after_a_call, usual)
        stay, stay_after_a_call = survive * kept, after_a_call * kept
        of_the_short, of_the_long = (_share_of_week(churn_share, days, step) for days in (SHORT_HORIZON, LONG_HORIZON))

        churning = _lost(alive, survive)
        if policy:
            churning += _lost(alive_called, after_a_call)
        short += churning * of_the_short
        long += churning * of_the_long
        survive_with_one = np.where(may_be_called_at_once, after_a_call, survive) if step else survive
        long_with_one += _lost(with_one, survive_with_one) * of_the_long
        if policy:
            long_without += _lost(without, survive) * of_the_long

        upgrade = hazards.upgrade_factor(who, week + step).astype(np.float32)[:, None]
        flow = waiting.upgrade(stay, upgrade)
        if policy and step:
            flow += waiting_called.upgrade(stay_after_a_call, upgrade)
        upgraded += flow * _share_of_week(plan_share, LONG_HORIZON, step)
        if step == _STEPS - 1:
            break

        survivors = alive * stay
        if policy:
            now = call * (since >= p.CALL_EFFECT_WEEKS)[:, None]
            ringing = survivors * now
            alive_called = (alive_called * stay_after_a_call + ringing) @ move
            survivors -= ringing
            waiting.hand_over(waiting_called, now)
            waiting_called.move(move)
            without = (without * stay) @ move
        alive = survivors @ move
        with_one = (with_one * (survive_with_one * kept)) @ move
        waiting.move(move)
    return np.column_stack([short, long, upgraded, long_without if policy else long, long_with_one]).astype(np.float32)


class _Waiting:
    """The mass of customers who have not upgraded, readiness first: then both chains move by one matrix product each."""

    def __init__(self, chains: Chains, readiness: Ints, state: Ints) -> None:
        n = len(state)
        self.mass = np.zeros((chains.levels, n, chains.states), dtype=np.float32)
        self.mass[readiness, np.arange(n), state] = 1.0
        self._weights = chains.upgrade.astype(np.float32)
        self._ready_move = chains.ready_move.astype(np.float32).T

    def nobody(self) -> _Waiting:
        """As many customers, none of whom is in it."""
        empty = copy(self)
        empty.mass = np.zeros_like(self.mass)
        return empty

    def upgrade(self, survive: Singles, factor: Singles) -> NDArray[np.float64]:
        """Loses those who leave and those who upgrade in a week; returns the mass of the latter, shape (n,)."""
        self.mass *= survive
        # Sum over levels and states of mass x factor x weight, as products with the weight of each level.
        flow = np.zeros(len(factor))
        for level, weights in enumerate(self._weights):
            rate = factor * weights
            rate *= self.mass[level]
            flow += rate.sum(axis=1, dtype=np.float64)
            self.mass[level] -= rate
        return flow

    def hand_over(self, other: _Waiting, share: Singles) -> None:
        """Gives a share of the mass by customer and state to another."""
        for mine, theirs in zip(self.mass, other.mass, strict=True):
            moved = mine * share
            mine -= moved
            theirs += moved

    def move(self, move: Singles) -> None:
        """Both chains go on by a week."""
        shape = self.mass.shape
        moved = (self.mass.reshape(-1, shape[-1]) @ move).reshape(shape[0], -1)
        self.mass = (self._ready_move @ moved).reshape(shape)


def _lost(mass: Singles, survive: Singles) -> NDArray[np.float64]:
    """What churns of a mass in a week, shape (n,)."""
    return np.asarray((mass * (1 - survive)).sum(axis=1, dtype=np.float64))


def _share_of_week(cumulative: NDArray[np.float64], horizon: int, step: int) -> float:
    """Share of the events of week ``step`` after S that fall into the horizon."""
    days = min(7, horizon - 7 * step)
    return float(cumulative[days - 1]) if days > 0 else 0.0


def oracle_table(simulation: Simulation, hazards: Hazards, paths: Paths, progress: Callable[[str], None]) -> pa.Table:
    """One row per Monday and customer active on it, for each of the ``weeks + 1`` Mondays up to ``until``.

    Columns: snapshot_date, customer_id, and

    - p_churn_30d, p_churn_90d, p_expansion_90d: with the calls that the team's policy leads to from that Monday on;
      what a calibrated model says;
    - p_churn_90d_without_calls: nobody is called within the 90 days;
    - p_churn_90d_with_one_call: one call in the week of the Monday and none later. The difference of the two is what a
      call is worth.
    """
    mondays, people, estimates = [], [], []
    marks = set(progress_marks(simulation.weeks + 1))
    for count, week in enumerate(range(p.RUN_IN_WEEKS, simulation.total_weeks + 1)):
        who = np.flatnonzero(paths.state[week] >= 0)
        estimates.append(probabilities(hazards, who, week, *paths.at_monday(week, who)))
        people.append(who)
        mondays.append(np.full(len(who), simulation.first_day + 7 * week))
        if count in marks:
            progress(f"true probabilities: Monday {count + 1} of {simulation.weeks + 1}")
    # Single precision ends at the seventh decimal.
    values = np.round(np.concatenate(estimates).astype(np.float64), 6)
    return pa.table(
        {"snapshot_date": dates(np.concatenate(mondays)), "customer_id": customer_ids(np.concatenate(people))}
        | {name: values[:, place] for place, name in enumerate(COLUMNS)}
    )
