"""The true probabilities at every Monday, by exact forward recursion over the hidden states.

Given the complete state of a customer at 00:00 of ``S``, the mass over states of those still on the book is carried
week by week: lose the week's churn and leavers, move the chains. An h-day horizon is ``h // 7`` whole weeks and a
partial one, whose share of the week's hazard is the fixed share of its first ``h % 7`` weekdays. Nothing is sampled;
the error is that of single-precision arithmetic, below 1e-5.

The mass for churn is over states. The mass for expansion is over (readiness, state) of those who have not yet upgraded.
Season, tenure and the contract clock are known into the future, plan changes move no hazard, and below the highest tier
nobody reaches it without an upgrade, so nothing else has to be carried.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from churn_pipeline.simulate import parameters as p
from churn_pipeline.simulate.arrow import customer_ids, dates
from churn_pipeline.simulate.latent import (
    HIGHEST_TIER,
    STATES,
    Hazards,
    Paths,
    base_log_hazard,
    readiness_transitions,
    state_transitions,
    upgrade_weights,
)
from churn_pipeline.simulate.population import Ints, Population
from churn_pipeline.simulate.simulation import Simulation, progress_marks

Singles = NDArray[np.float32]

# Customers handled together: their masses (levels x states x 4 bytes each) stay within a core's second-level cache.
_BLOCK = 400
SHORT_HORIZON, LONG_HORIZON = 30, 90


def probabilities(hazards: Hazards, who: Ints, week: int, state: Ints, readiness: Ints, tier: Ints) -> Singles:
    """True probabilities at the Monday of ``week``.

    Args:
        hazards: of the population.
        who: customer numbers, shape (n,); one number may stand several times, with different states.
        week: may lie beyond the data.
        state, readiness, tier: at that Monday, shape (n,).

    Returns:
        Shape (n, 3): churn within 30 days, churn within 90 days, first upgrade within 90 days. Values in [0, 1].
    """
    out = np.empty((len(who), 3), dtype=np.float32)
    # Small products: shared by two threads, one of which waited for a busy core, they took 110 s instead of 10.
    with threadpool_limits(limits=1, user_api="blas"):
        for begin in range(0, len(who), _BLOCK):
            part = slice(begin, begin + _BLOCK)
            out[part] = _block(hazards, who[part], week, state[part], readiness[part])
    out[tier == HIGHEST_TIER, 2] = 0.0
    return out


def _block(hazards: Hazards, who: Ints, week: int, state: Ints, readiness: Ints) -> Singles:
    n = len(who)
    move, ready_move = state_transitions().astype(np.float32), readiness_transitions().astype(np.float32)
    base, weights = base_log_hazard(), upgrade_weights().astype(np.float32)
    churn_share, plan_share = np.cumsum(p.CHURN_WEEKDAYS), np.cumsum(p.PLAN_CHANGE_WEEKDAYS)
    kept = np.float32(1 - p.LEAVE_WEEKLY)

    alive = np.zeros((n, STATES), dtype=np.float32)
    alive[np.arange(n), state] = 1.0
    # Customers who have not upgraded, readiness first: then both chains move by one matrix product each.
    waiting = np.zeros((p.READINESS_LEVELS, n, STATES), dtype=np.float32)
    waiting[readiness, np.arange(n), state] = 1.0
    short, long, upgraded = (np.zeros(n) for _ in range(3))

    for step in range(LONG_HORIZON // 7 + 1):
        log_hazard = (base[None, :] + hazards.churn_shift(who, week + step)[:, None]).astype(np.float32)
        survive = np.exp(-np.exp(log_hazard))
        churning = (alive * (1 - survive)).sum(axis=1, dtype=np.float64)
        short += churning * _share_of_week(churn_share, SHORT_HORIZON, step)
        long += churning * _share_of_week(churn_share, LONG_HORIZON, step)

        survive *= kept
        waiting *= survive
        upgrade = hazards.upgrade_factor(who, week + step).astype(np.float32)
        # sum over levels and states of waiting x factor x weight, as products with the weight of each level
        flow = np.zeros(n)
        for level in range(p.READINESS_LEVELS):
            rate = upgrade[:, None] * weights[level]
            rate *= waiting[level]
            flow += rate.sum(axis=1, dtype=np.float64)
            waiting[level] -= rate
        upgraded += flow * _share_of_week(plan_share, LONG_HORIZON, step)

        alive = (alive * survive) @ move
        moved = (waiting.reshape(-1, STATES) @ move).reshape(p.READINESS_LEVELS, -1)
        waiting = (ready_move.T @ moved).reshape(p.READINESS_LEVELS, n, STATES)
    return np.column_stack([short, long, upgraded]).astype(np.float32)


def _share_of_week(cumulative: NDArray[np.float64], horizon: int, step: int) -> float:
    """Share of the events of week ``step`` after S that fall into the horizon."""
    days = min(7, horizon - 7 * step)
    return float(cumulative[days - 1]) if days > 0 else 0.0


def oracle_table(
    simulation: Simulation, population: Population, paths: Paths, progress: Callable[[str], None]
) -> pa.Table:
    """One row per Monday and customer active on it, for each of the ``weeks + 1`` Mondays up to ``until``.

    Columns: snapshot_date, customer_id, p_churn_30d, p_churn_90d, p_expansion_90d.
    """
    hazards = Hazards(population, simulation.first_day)
    mondays, people, estimates = [], [], []
    marks = set(progress_marks(simulation.weeks + 1))
    for count, week in enumerate(range(p.RUN_IN_WEEKS, simulation.total_weeks + 1)):
        who = np.flatnonzero(paths.state[week] >= 0)
        z, r, tier = (path[week, who].astype(np.int64) for path in (paths.state, paths.readiness, paths.tier))
        estimates.append(probabilities(hazards, who, week, z, r, tier))
        people.append(who)
        mondays.append(np.full(len(who), simulation.first_day + 7 * week))
        if count in marks:
            progress(f"true probabilities: Monday {count + 1} of {simulation.weeks + 1}")
    # Single precision ends at the seventh decimal.
    values = np.round(np.concatenate(estimates).astype(np.float64), 6)
    return pa.table(
        {
            "snapshot_date": dates(np.concatenate(mondays)),
            "customer_id": customer_ids(np.concatenate(people)),
            "p_churn_30d": values[:, 0],
            "p_churn_90d": values[:, 1],
            "p_expansion_90d": values[:, 2],
        }
    )
