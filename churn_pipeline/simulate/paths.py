"""One drawn life per customer: their states, when they go, whom the team calls, how their plans change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from churn_pipeline.simulate import parameters as p
from churn_pipeline.simulate.calls import LONG_AGO
from churn_pipeline.simulate.dynamics import HIGHEST_TIER, Hazards, event_probability
from churn_pipeline.simulate.population import Bools, Floats, Ints
from churn_pipeline.simulate.simulation import Simulation

NEVER = np.iinfo(np.int64).max
_ABSENT = -1


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


def draw_paths(
    simulation: Simulation,
    hazards: Hazards,
    start: Callable[[np.random.Generator], tuple[Ints, Ints]] | None = None,
) -> Paths:
    """Draws every customer's life week by week.

    Args:
        simulation: extent, seed and shocks. A ``tier`` shock moves customers on its Monday; no other shock matters
            here.
        hazards: of the population, with the team that calls. Calls have random streams of their own, and a call only
            lowers a hazard that one number per customer and week is compared with: everybody lives as they would have
            without calls, except that some stay.
        start: draws (state, readiness) on arrival, each shape (n,); as the family has it unless given.
    """
    rng = simulation.generator("latent")
    population, calls, chains = hazards.population, hazards.calls, hazards.chains
    n, weeks = population.size, simulation.total_weeks
    move, ready_move = chains.move.cumsum(axis=1), chains.ready_move.cumsum(axis=1)
    churn_weekdays, plan_weekdays = np.cumsum(chains.churn_weekdays)[None, :], np.cumsum(chains.plan_weekdays)[None, :]

    state, readiness = (start or hazards.start)(rng)
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

        log_hazard = chains.log_hazard[z] + hazards.churn_shift(active, week) + hazards.call_shift(active, since)
        churns = uniform[0] < event_probability(log_hazard)
        leaves = ~churns & (uniform[1] < chains.leave)
        stays = ~churns & ~leaves
        upgrades = (
            stays
            & (tier[active] < HIGHEST_TIER)
            & (uniform[2] < hazards.upgrade_factor(active, week) * chains.upgrade[r, z])
        )
        downgrades = stays & ~upgrades & (tier[active] > 0) & (uniform[3] < chains.downgrade[z])
        day = monday + _draw_rows(churn_weekdays, uniform[4])
        churn_day[active[churns]] = day[churns]
        # Leaving has no weekday of its own: the fifth uniform spreads it evenly.
        censor_day[active[leaves]] = monday + (7 * uniform[4][leaves]).astype(np.int64)

        chance = telephone.random((2, n))[:, active]
        call_day = monday + _draw_rows(call_weekdays, chance[1])
        # Who goes before the day that was planned for the call gets none.
        rings = (since >= p.CALL_EFFECT_WEEKS) & (chance[0] < calls.probability(active, chains.standing[z]))
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


def _migrating(simulation: Simulation, n: int) -> Bools:
    return np.asarray(simulation.generator("tier shock").random(n) < p.SHOCK_TIER_CUSTOMERS)
