"""The company's books: customers, plan changes, contracts and calls, as its systems would export them on the last day."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa

from churn_pipeline.simulate import parameters as p
from churn_pipeline.simulate.arrow import MICROSECONDS, customer_ids, dates, doubles, labels, numbered, timestamps
from churn_pipeline.simulate.paths import NEVER, Paths
from churn_pipeline.simulate.population import Population
from churn_pipeline.simulate.simulation import Simulation


def whole[**P](table: Callable[P, pa.Table], *arguments: P.args, **named: P.kwargs) -> Iterator[pa.Table]:
    """A table that is made at once, as the one part of it."""
    yield table(*arguments, **named)


def customers(population: Population, paths: Paths) -> pa.Table:
    """customers: one row per customer, plan_tier and mrr as of today, upgrade_date of the latest upgrade."""
    everybody = np.arange(population.size)
    tier, upgraded = population.tier.copy(), np.full(population.size, NEVER)
    # Ordered by day: the last assignment to a customer is the latest change.
    tier[paths.changes[:, 0]] = paths.changes[:, 3]
    ups = paths.changes[paths.changes[:, 3] > paths.changes[:, 2]]
    upgraded[ups[:, 0]] = ups[:, 1]
    return pa.table(
        {
            "customer_id": customer_ids(everybody),
            "company_name": pa.array(population.name, pa.string()),
            "industry": labels(population.industry, population.INDUSTRIES),
            "plan_tier": labels(tier, p.TIERS),
            "signup_date": dates(population.signup_day),
            "mrr": doubles(population.mrr_by_tier[everybody, tier]),
            "seats": pa.array(population.seats, pa.int64()),
            "csm_owner": labels(population.owner, p.CSM_OWNERS),
            "churn_date": dates(paths.churn_day, paths.churn_day == NEVER),
            "censor_date": dates(paths.censor_day, paths.censor_day == NEVER),
            "upgrade_date": dates(upgraded, upgraded == NEVER),
        }
    )


def subscriptions(population: Population, paths: Paths) -> pa.Table:
    """subscriptions: one row per customer and plan, as a billing system keeps them, ordered by the day they began.

    A change of the plan ends the row and begins the next one; who was acquired is marked as merged.
    """
    size, changed = population.size, paths.changes
    # Everybody's first row, then one per change, in the order of time of each customer.
    who = np.concatenate([np.arange(size), changed[:, 0]])
    start = np.concatenate([population.signup_day, changed[:, 1]])
    tier = np.concatenate([population.tier, changed[:, 3]])
    order = np.lexsort((start, who))
    who, start, tier = who[order], start[order], tier[order]
    is_last = np.append(who[1:] != who[:-1], True)
    end = np.where(is_last, paths.gone_day[who], np.append(start[1:], NEVER))
    merged = is_last & (paths.censor_day[who] < NEVER)
    number = np.arange(1, len(who) + 1)
    order = np.lexsort((who, start))
    who, tier, end, merged = who[order], tier[order], end[order], merged[order]
    return pa.table(
        {
            "subscription_id": numbered("S", number[order], 8),
            "customer_id": customer_ids(who),
            "plan_tier": labels(tier, p.TIERS),
            "mrr": doubles(population.mrr_by_tier[who, tier]),
            "started_at": dates(start[order]),
            "ended_at": dates(end, end == NEVER),
            "end_reason": pa.array(np.where(merged, "merged", ""), pa.string(), mask=~merged),
        }
    )


def plan_changes(population: Population, paths: Paths) -> pa.Table:
    """plan_changes: every move between tiers with the prices before and after, ordered by effective_date."""
    who, day, old, new = paths.changes.T
    return pa.table(
        {
            "customer_id": customer_ids(who),
            "effective_date": dates(day),
            "from_tier": labels(old, p.TIERS),
            "to_tier": labels(new, p.TIERS),
            "from_mrr": doubles(population.mrr_by_tier[who, old]),
            "to_mrr": doubles(population.mrr_by_tier[who, new]),
        }
    )


def contracts(simulation: Simulation, population: Population, paths: Paths) -> pa.Table:
    """contracts: one row per term that began before the data end and while the customer was there.

    end_date is the term's last day and may lie ahead of both.
    """
    who, start, term = population.term_starts(np.minimum(paths.gone_day, simulation.last_day))
    order = np.lexsort((who, start))
    who, start, term = who[order], start[order], term[order]
    return pa.table(
        {
            "customer_id": customer_ids(who),
            "start_date": dates(start),
            "end_date": dates(start + term - 1),
            "auto_renew": pa.array(population.auto_renew[who], pa.bool_()),
        }
    )


def interventions(simulation: Simulation, population: Population, paths: Paths) -> pa.Table:
    """interventions: every call that the team made, ordered by day, with what its manager wrote down."""
    rng = simulation.generator("interventions")
    who, day = paths.calls.T
    size = len(who)
    first, last = p.CALL_HOURS
    minute = rng.integers(60 * first, 60 * last, size)
    outcome = rng.choice(len(p.CALL_OUTCOMES), size, p=p.CALL_OUTCOME_SHARES)
    pause = rng.integers(p.SNOOZE_DAYS[0], p.SNOOZE_DAYS[1] + 1, size)
    return pa.table(
        {
            "intervention_id": numbered("I", np.arange(1, size + 1), 7),
            "customer_id": customer_ids(who),
            "at": timestamps((day * 24 * 60 + minute) * 60 * MICROSECONDS),
            "kind": labels(rng.choice(len(p.CALL_KINDS), size, p=p.CALL_KIND_SHARES), p.CALL_KINDS),
            "owner": labels(population.owner[who], p.CSM_OWNERS),
            "outcome": labels(outcome, p.CALL_OUTCOMES),
            "snooze_until": dates(day + pause, outcome < len(p.CALL_OUTCOMES) - 1),
        }
    )
