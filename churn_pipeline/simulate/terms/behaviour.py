"""What customers of this family do: they come for visits, and open few tickets.

Each function is one channel with a random stream of its own, and makes one raw table, week by week (:mod:`~churn_pipeline.simulate.facts`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa

from churn_pipeline.simulate import facts
from churn_pipeline.simulate import parameters as shared
from churn_pipeline.simulate.arrow import MICROSECONDS
from churn_pipeline.simulate.paths import Paths
from churn_pipeline.simulate.population import Floats, Ints
from churn_pipeline.simulate.simulation import Simulation
from churn_pipeline.simulate.terms import parameters as p
from churn_pipeline.simulate.terms.hazards import ACTIVITY_OF_STATE, PROBLEM_OF_STATE
from churn_pipeline.simulate.terms.population import TermsPopulation

_HOURS = np.array(shared.HOUR_WEIGHTS) / sum(shared.HOUR_WEIGHTS)
_CONNECT, _TRIAL, _LIMIT, _SCORED = (
    shared.EVENT_TYPES.index(name)
    for name in ("integration_connect", "premium_feature_trial", "feature_limit_hit", p.SCORED_TYPE)
)


def _drawn(shares: Floats, category: Ints, rng: np.random.Generator) -> Ints:
    """One place per entry, by the shares of its category; shares have shape (categories, places)."""
    edges = np.cumsum(shares, axis=1)
    edges /= edges[:, -1:]
    return np.asarray((rng.random(len(category))[:, None] >= edges[category, :-1]).sum(axis=1))


def usage_events(
    simulation: Simulation, population: TermsPopulation, paths: Paths, progress: Callable[[str], None]
) -> Iterator[pa.Table]:
    """usage_events: visits by activity and the industry's calendar, trials and limits by readiness."""
    rng = simulation.generator("usage")
    log = facts.EventLog(simulation, population, paths, progress)
    by_weekday, by_month = np.array(p.VISITS_BY_WEEKDAY), np.array(p.VISITS_BY_MONTH)
    by_type = np.array([p.EVENT_SHARES, p.EVENT_SHARES_CONNECTED])
    for week in range(simulation.total_weeks):
        who, state, readiness = paths.shown_in(week)
        monday = simulation.first_day + 7 * week
        season = by_month[population.industry[who], simulation.monday(week).month - 1]
        rate = population.intensity[who] * np.exp(ACTIVITY_OF_STATE[state]) * season * simulation.use
        # A moment that somebody is there: a visit, or one of the rare acts.
        rare = np.column_stack(
            [
                np.where(monday - population.signup_day[who] < p.CONNECTS_QUARTER, *p.CONNECTS_WEEKLY)
                * population.connected[who],
                np.array(p.TRIAL_RATES)[readiness],
                np.array(p.LIMIT_RATES)[readiness],
            ]
        )
        visits, rarely = rng.poisson(rate), rng.poisson(rare)
        moment = np.concatenate(
            [np.repeat(np.arange(len(who)), visits)] + [np.repeat(np.arange(len(who)), times) for times in rarely.T]
        )
        is_visit = np.arange(len(moment)) < visits.sum()
        rare_kind = np.repeat([_CONNECT, _TRIAL, _LIMIT], rarely.sum(axis=0))
        day = _drawn(by_weekday, population.industry[who[moment]], rng)
        hour = 24 * day + rng.choice(24, len(moment), p=_HOURS)

        events = np.where(is_visit, 1 + rng.poisson(p.EVENTS_MORE, len(moment)), 1)
        event = np.repeat(np.arange(len(moment)), events)
        row = moment[event]
        kind = _drawn(by_type, population.connected[who[row]].astype(np.int64), rng)
        kind[~is_visit[event]] = rare_kind
        at = hour[event] * facts.HOUR + rng.integers(0, 3600, len(event)) * MICROSECONDS
        score = population.adoption[who[row]] + p.SCORE_ACTIVITY * ACTIVITY_OF_STATE[state[row]]
        score = np.clip(score + p.SCORE_SIGMA * rng.standard_normal(len(event)), 0.0, 1.0)
        yield log.week(week, who[row], kind, at, score, kind != _SCORED)


def support_tickets(simulation: Simulation, population: TermsPopulation, paths: Paths) -> Iterator[pa.Table]:
    """support_tickets: ordinary ones by seats, urgent ones while a problem lasts, requests by readiness."""

    def kinds(who: Ints, state: Ints, readiness: Ints) -> tuple[facts.Tickets, ...]:
        size = (population.seats[who] / p.SEATS_REFERENCE) ** p.TICKET_SEATS
        return (
            facts.Tickets(p.TICKET_RATE * size, p.TICKET_PRIORITIES, p.TICKET_TOPICS, p.RESOLUTION_MEDIAN),
            facts.Tickets(
                p.PROBLEM_TICKET_RATE * PROBLEM_OF_STATE[state],
                p.PROBLEM_PRIORITIES,
                p.PROBLEM_TOPICS,
                p.RESOLUTION_MEDIAN * p.RESOLUTION_PROBLEM,
            ),
            facts.Tickets(
                np.array(p.REQUEST_RATES)[readiness], p.TICKET_PRIORITIES, facts.REQUESTS, p.RESOLUTION_MEDIAN
            ),
        )

    return facts.support_tickets(simulation, population, paths, kinds, p.TICKET_WEEKDAYS, p.RESOLUTION_SIGMA)
