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

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from churn_pipeline.simulate import parameters as p
from churn_pipeline.simulate.arrow import customer_ids, dates
from churn_pipeline.simulate.dynamics import HIGHEST_TIER, Chains, Hazards
from churn_pipeline.simulate.paths import Paths
from churn_pipeline.simulate.population import Ints
from churn_pipeline.simulate.simulation import Simulation

Singles = NDArray[np.float32]

# Customers handled together: their masses (levels x states x 4 bytes each) stay within a core's second-level cache.
_BLOCK = 400
# Customers whose hazards are computed together.
_GROUP = 8_000
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
    chains, weeks = hazards.chains, range(week, week + _STEPS)
    # Whoever cannot be called needs half of the masses.
    reachable = hazards.calls.reach[who] > 0
    # Small products: shared by two threads, one of which waited for a busy core, they took 110 s instead of 10.
    with threadpool_limits(limits=1, user_api="blas"):
        for may_call in (False, True):
            group = np.flatnonzero(reachable == may_call)
            masses = _Masses(chains, may_call)
            for begin in range(0, len(group), _GROUP):
                part = group[begin : begin + _GROUP]
                # What differs between customers is one number a week: minus the hazard, and how willing to upgrade.
                going = -np.exp(np.array([hazards.churn_shift(who[part], w) for w in weeks])).astype(np.float32)
                willing = np.array([hazards.upgrade_factor(who[part], w) for w in weeks]).astype(np.float32)
                call = hazards.call_probability(who[part]).astype(np.float32)
                effect = np.exp(hazards.calls.log_effect(who[part])).astype(np.float32)
                for first in range(0, len(part), _BLOCK):
                    block = slice(first, first + _BLOCK)
                    rows = part[block]
                    out[rows] = masses.block(
                        going[:, block],
                        willing[:, block],
                        call[block],
                        effect[block],
                        state[rows],
                        readiness[rows],
                        since_call[rows],
                    )
    out[tier == HIGHEST_TIER, 2] = 0.0
    return out


class _Masses:
    """The masses of a block of customers, side by side, so that one matrix product a week moves all of them.

    First those who have not upgraded, by readiness; of the policy, once more those of them who were called since S. Then
    those on the book; the same without any call; with one in the week of S; of the policy, those called since S.
    """

    def __init__(self, chains: Chains, may_call: bool) -> None:
        self._chains, self._may_call, self._levels = chains, may_call, chains.levels
        self._hazard = np.exp(chains.log_hazard).astype(np.float32)
        self._move, self._ready_move = chains.move.astype(np.float32), chains.ready_move.astype(np.float32).T.copy()
        self._weights = chains.upgrade.astype(np.float32)
        self._kept = np.float32(1 - chains.leave)
        self._room: dict[int, tuple[Singles, Singles, Singles]] = {}

    def _start(self, n: int, state: Ints, readiness: Ints) -> tuple[Singles, Singles, Singles]:
        """Room for the masses, for what becomes of them in a week, and for shares of the levels; all of it on one state."""
        if n not in self._room:
            count = self._levels * (1 + self._may_call) + 3 + self._may_call
            shape = (count, n, self._chains.states)
            self._room = {
                n: (
                    np.empty(shape, np.float32),
                    np.empty(shape, np.float32),
                    np.empty((self._levels, *shape[1:]), np.float32),
                )
            }
        mass, moved, levels = self._room[n]
        mass[:] = 0.0
        everybody = np.arange(n)
        mass[readiness, everybody, state] = 1.0
        on_the_book = self._levels * (1 + self._may_call)
        mass[on_the_book : on_the_book + 3, everybody, state] = 1.0
        return mass, moved, levels

    def block(
        self,
        going: Singles,
        willing: Singles,
        call: Singles,
        effect: Singles,
        state: Ints,
        readiness: Ints,
        since_call: Ints,
    ) -> Singles:
        """The probabilities of a block, columns as ``COLUMNS``; ``going`` and ``willing`` by week and customer."""
        n, levels, may_call = len(state), self._levels, self._may_call
        mass, moved, share = self._start(n, state, readiness)
        churn_share, plan_share = np.cumsum(self._chains.churn_weekdays), np.cumsum(self._chains.plan_weekdays)
        waiting, waiting_called = slice(0, levels), slice(levels, 2 * levels)
        alive = levels * (1 + may_call)
        without, with_one, alive_called = alive + 1, alive + 2, alive + 3
        may_be_called_at_once = (since_call >= p.CALL_EFFECT_WEEKS)[:, None]
        short, long, upgraded, long_without, long_with_one = (np.zeros(n) for _ in range(5))

        for step in range(_STEPS):
            of_the_short, of_the_long = (
                _share_of_week(churn_share, days, step) for days in (SHORT_HORIZON, LONG_HORIZON)
            )
            hazard = going[step][:, None] * self._hazard
            survive: Singles = np.exp(hazard)
            hazard *= effect[:, None]
            after_a_call: Singles = np.exp(hazard, out=hazard)
            since = since_call + step
            if (since <= p.CALL_EFFECT_WEEKS).any():
                survive = np.where((since <= p.CALL_EFFECT_WEEKS)[:, None], after_a_call, survive)
            lost, lost_after_a_call = 1 - survive, 1 - after_a_call
            with_one_call, lost_with_one = survive, lost
            if step:
                with_one_call = np.where(may_be_called_at_once, after_a_call, survive)
                lost_with_one = 1 - with_one_call

            churning = _total(mass[alive], lost)
            if may_call:
                churning += _total(mass[alive_called], lost_after_a_call)
                long_without += _total(mass[without], lost) * of_the_long
            short += churning * of_the_short
            long += churning * of_the_long
            long_with_one += _total(mass[with_one], lost_with_one) * of_the_long

            stay, stay_after_a_call = survive * self._kept, after_a_call * self._kept
            mass[waiting] *= stay
            flow = self._willing(mass[waiting])
            if may_call:
                mass[waiting_called] *= stay_after_a_call
                flow += self._willing(mass[waiting_called])
            upgraded += flow * willing[step] * _share_of_week(plan_share, LONG_HORIZON, step)
            if step == _STEPS - 1:
                break

            # Of those who stay, by level of readiness: who does not upgrade.
            np.multiply(-self._weights[:, None, :], willing[step][None, :, None], out=share)
            share += 1
            mass[waiting] *= share
            mass[alive : without + 1] *= stay
            mass[with_one] *= with_one_call * self._kept
            if may_call:
                mass[waiting_called] *= share
                mass[alive_called] *= stay_after_a_call
                now = call * (since >= p.CALL_EFFECT_WEEKS)[:, None]
                ringing = np.multiply(mass[waiting], now, out=share)
                mass[waiting] -= ringing
                mass[waiting_called] += ringing
                ringing = mass[alive] * now
                mass[alive] -= ringing
                mass[alive_called] += ringing
            # Both chains go on by a week.
            states = self._chains.states
            np.matmul(mass.reshape(-1, states), self._move, out=moved.reshape(-1, states))
            for part in (waiting, waiting_called)[: 1 + may_call]:
                np.matmul(self._ready_move, moved[part].reshape(levels, -1), out=mass[part].reshape(levels, -1))
            mass[alive:] = moved[alive:]
        return np.column_stack([short, long, upgraded, long_without if may_call else long, long_with_one]).astype(
            np.float32
        )

    def _willing(self, mass: Singles) -> NDArray[np.float64]:
        """How much of a mass would upgrade in a week with a factor of 1, shape (n,)."""
        return np.matmul(mass, self._weights[:, :, None])[:, :, 0].sum(axis=0).astype(np.float64)


def _total(mass: Singles, share: Singles) -> NDArray[np.float64]:
    """How much of a mass goes by a share of each state, shape (n,)."""
    return np.einsum("ij,ij->i", mass, share).astype(np.float64)


def _share_of_week(cumulative: NDArray[np.float64], horizon: int, step: int) -> float:
    """Share of the events of week ``step`` after S that fall into the horizon."""
    days = min(7, horizon - 7 * step)
    return float(cumulative[days - 1]) if days > 0 else 0.0


def oracle_parts(simulation: Simulation, hazards: Hazards, paths: Paths, mondays: range) -> Iterator[pa.Table]:
    """One row per customer active on a Monday, one table for each of some Mondays; there are ``weeks + 1`` up to ``until``.

    Columns: snapshot_date, customer_id, and

    - p_churn_30d, p_churn_90d, p_expansion_90d: with the calls that the team's policy leads to from that Monday on;
      what a calibrated model says;
    - p_churn_90d_without_calls: nobody is called within the 90 days;
    - p_churn_90d_with_one_call: one call in the week of the Monday and none later. The difference of the two is what a
      call is worth.
    """
    for week in (p.RUN_IN_WEEKS + monday for monday in mondays):
        who = np.flatnonzero(paths.state[week] >= 0)
        estimates = probabilities(hazards, who, week, *paths.at_monday(week, who))
        # Single precision ends at the seventh decimal.
        values = np.round(estimates.astype(np.float64), 6)
        yield pa.table(
            {
                "snapshot_date": dates(np.full(len(who), simulation.first_day + 7 * week)),
                "customer_id": customer_ids(who),
            }
            | {name: values[:, place] for place, name in enumerate(COLUMNS)}
        )
