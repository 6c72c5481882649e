"""What customers of the family ``health`` do, drawn from the hidden state and static traits.

Each function is one channel with a random stream of its own, and makes one raw table, week by week (:mod:`~churn_pipeline.simulate.facts`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date

import numpy as np
import pyarrow as pa

from churn_pipeline.simulate import facts
from churn_pipeline.simulate import parameters as p
from churn_pipeline.simulate.arrow import MICROSECONDS, customer_ids, doubles, timestamps
from churn_pipeline.simulate.latent import HEALTH_OF_STATE, INCIDENT_OF_STATE
from churn_pipeline.simulate.paths import Paths
from churn_pipeline.simulate.population import Floats, Ints, Population
from churn_pipeline.simulate.simulation import Simulation

_DAILY_TYPES = len(p.USAGE_SHARES)
_INTEGRATION, _TRIAL, _LIMIT = (
    p.EVENT_TYPES.index(t) for t in ("integration_connect", "premium_feature_trial", "feature_limit_hit")
)


def shown_health(health: Floats) -> Floats:
    """Health as it shows in use and adoption: steeper below the kink."""
    return health + p.SHOWN_EXTRA * np.minimum(health - p.SHOWN_KINK, 0.0)


def _calendar(monday: date) -> float:
    if (monday.month, monday.day) >= (12, 20) or (monday.month == 1 and monday.day == 1):
        return p.YEAR_END_FACTOR
    return p.AUGUST_FACTOR if monday.month == 8 else 1.0


def _hours_of_week() -> Ints:
    """Hour of the week (0..167) by 16 random bits: a lookup is several times cheaper than an inversion per event."""
    weights = np.outer(p.USAGE_WEEKDAYS, np.array(p.HOUR_WEIGHTS) / sum(p.HOUR_WEIGHTS)).ravel()
    edges = np.round(np.cumsum(weights) / weights.sum() * 65_536).astype(np.int64)
    return np.repeat(np.arange(168), np.diff(edges, prepend=0))


def usage_events(
    simulation: Simulation, population: Population, paths: Paths, progress: Callable[[str], None]
) -> Iterator[pa.Table]:
    """usage_events: every type by health, trials and limits by readiness."""
    rng = simulation.generator("usage")
    hours = _hours_of_week()
    log = facts.EventLog(simulation, population, paths, progress)
    for week in range(simulation.total_weeks):
        monday = simulation.first_day + 7 * week
        who, state, readiness = paths.shown_in(week)
        shown = shown_health(HEALTH_OF_STATE[state])
        tenure = np.maximum(monday + 3 - population.signup_day[who], 0) / 7.0
        pace = simulation.use * _calendar(simulation.monday(week))
        counts = _event_counts(population, who, shown, readiness, tenure, pace, rng)
        level = (
            population.adoption[who]
            + p.ADOPTION_HEALTH * shown
            - p.ADOPTION_NEWNESS * np.exp(-tenure / p.ADOPTION_NEWNESS_WEEKS)
            + p.ADOPTION_WEEK_SIGMA * rng.standard_normal(len(who))
        )

        row = np.repeat(np.arange(len(who)), counts.sum(axis=1))
        kind = np.repeat(np.tile(np.arange(len(p.EVENT_TYPES)), len(who)), counts.ravel())
        size = len(row)
        at = hours[rng.integers(0, 65_536, size)] * facts.HOUR + rng.integers(0, 3600, size) * MICROSECONDS
        score = np.clip(level[row] + p.ADOPTION_EVENT_SIGMA * rng.standard_normal(size), 0.0, 1.0)
        unscored = rng.random(size) < p.ADOPTION_NULL_SHARE
        yield log.week(week, who[row], kind, at, score, unscored)


def _event_counts(
    population: Population,
    who: Ints,
    shown: Floats,
    readiness: Ints,
    tenure: Floats,
    usual: float,
    rng: np.random.Generator,
) -> Ints:
    """Events of the week by customer and type, shape (len(who), types)."""
    n = len(who)
    noise = np.exp(p.USAGE_WEEK_SIGMA * rng.standard_normal(n))
    quiet = np.minimum(p.QUIET_WEEK_CAP, p.QUIET_WEEK_SHARE * np.exp(-p.QUIET_WEEK_HEALTH * shown))
    noise[rng.random(n) < quiet] = 0.0
    pace = noise * usual * (1 - p.RAMP_DEPTH * np.exp(-tenure / p.RAMP_WEEKS))
    rates = np.empty((n, len(p.EVENT_TYPES)))
    rates[:, :_DAILY_TYPES] = np.exp(shown[:, None] * np.array(p.USAGE_SLOPES)) * np.array(p.USAGE_SHARES)
    rates[:, :_DAILY_TYPES] *= (population.intensity[who] * pace)[:, None]
    onboarding = tenure * 7 < p.INTEGRATION_DAYS
    rates[:, _INTEGRATION] = np.where(
        onboarding, p.INTEGRATION_ONBOARDING * np.exp(p.INTEGRATION_HEALTH * shown), p.INTEGRATION_LATER
    )
    rates[:, _TRIAL] = np.array(p.TRIAL_RATES)[readiness]
    rates[:, _LIMIT] = np.array(p.LIMIT_RATES)[readiness]
    return rng.poisson(rates)


def support_tickets(simulation: Simulation, population: Population, paths: Paths) -> Iterator[pa.Table]:
    """support_tickets: ordinary ones by health, urgent ones while an incident lasts, requests by readiness."""

    def kinds(_: Ints, state: Ints, readiness: Ints) -> tuple[facts.Tickets, ...]:
        health, incident = HEALTH_OF_STATE[state], INCIDENT_OF_STATE[state]
        slow = np.exp(-p.RESOLUTION_HEALTH * health)
        usual = p.RESOLUTION_MEDIAN * slow
        return (
            facts.Tickets(
                p.TICKET_RATE * np.exp(-p.TICKET_HEALTH * health), p.TICKET_PRIORITIES, p.TICKET_TOPICS, usual
            ),
            facts.Tickets(
                p.INCIDENT_TICKET_RATE * incident,
                p.INCIDENT_TICKET_PRIORITIES,
                p.INCIDENT_TICKET_TOPICS,
                p.RESOLUTION_MEDIAN * p.RESOLUTION_INCIDENT * slow,
            ),
            facts.Tickets(np.array(p.REQUEST_RATES)[readiness], p.TICKET_PRIORITIES, facts.REQUESTS, usual),
        )

    return facts.support_tickets(simulation, population, paths, kinds, p.USAGE_WEEKDAYS, p.RESOLUTION_SIGMA)


def risk_signals(simulation: Simulation, population: Population, paths: Paths) -> Iterator[pa.Table]:
    """risk_signals, one table a week, ordered by recorded_at: an assessment every few weeks, in the night of a working day."""
    rng = simulation.generator("risk")
    phase = rng.integers(0, p.RISK_EVERY_WEEKS, population.size)
    for week in range(simulation.total_weeks):
        who, state, _ = paths.shown_in(week)
        due = phase[who] == week % p.RISK_EVERY_WEEKS
        who, health = who[due], HEALTH_OF_STATE[state[due]]
        at = (simulation.first_day + 7 * week + rng.integers(0, 5, len(who))) * facts.DAY + rng.integers(
            0, 6 * 3600, len(who)
        ) * MICROSECONDS
        gap = 1 / (1 + np.exp(-(p.GAP_LEVEL - p.GAP_HEALTH * health + p.GAP_SIGMA * rng.standard_normal(len(who)))))
        flags = rng.poisson(p.FLAGS_RATE * np.exp(-p.FLAGS_HEALTH * health))
        order = np.lexsort((who, at))
        order = order[facts.keep(population, paths, who[order], at[order] // facts.DAY)]
        yield pa.table(
            {
                "customer_id": customer_ids(who[order]),
                "compliance_gap_score": doubles(np.round(gap[order], 3)),
                "vendor_risk_flags": pa.array(flags[order], pa.int64()),
                "recorded_at": timestamps(at[order]),
            }
        )
