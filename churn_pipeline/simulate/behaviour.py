"""What customers do, as raw facts: drawn from the latent state and static traits, cut off on the day they leave.

Each function is one channel with a random stream of its own, and returns one raw table. Nothing here may look at
churn_day, censor_day or at plan changes, except to stop the facts of somebody who has gone (:func:`_keep`) and to close
an opportunity by the upgrade that it led to.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import numpy as np
import pyarrow as pa

from churn_pipeline.simulate import parameters as p
from churn_pipeline.simulate.arrow import MICROSECONDS, customer_ids, dates, doubles, labels, numbered, timestamps
from churn_pipeline.simulate.latent import HEALTH_OF_STATE, INCIDENT_OF_STATE, NEVER, Paths
from churn_pipeline.simulate.population import Bools, Floats, Ints, Population
from churn_pipeline.simulate.simulation import Simulation, progress_marks

_HOUR = 3600 * MICROSECONDS
_DAY = 24 * _HOUR
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


def _keep(population: Population, paths: Paths, who: Ints, day: Ints) -> Bools:
    """Facts from the day of signup to the day before the customer has gone."""
    return np.asarray((day >= population.signup_day[who]) & (day < paths.gone_day[who]))


def _hours_of_week() -> Ints:
    """Hour of the week (0..167) by 16 random bits: a lookup is several times cheaper than an inversion per event."""
    weights = np.outer(p.USAGE_WEEKDAYS, np.array(p.HOUR_WEIGHTS) / sum(p.HOUR_WEIGHTS)).ravel()
    edges = np.round(np.cumsum(weights) / weights.sum() * 65_536).astype(np.int64)
    return np.repeat(np.arange(168), np.diff(edges, prepend=0))


def usage_events(
    simulation: Simulation, population: Population, paths: Paths, progress: Callable[[str], None]
) -> pa.Table:
    """usage_events, ordered by timestamp.

    Shocks thin or rescale what would have been there, and leave earlier weeks as they are.
    """
    rng = simulation.generator("usage")
    disturb = simulation.generator("usage shocks")
    hours = _hours_of_week()
    hit_by_usage_shock = disturb.random(population.size) < p.SHOCK_USAGE_CUSTOMERS
    parts: list[pa.Table] = []
    made = 0
    marks = set(progress_marks(simulation.total_weeks))
    for week in range(simulation.total_weeks):
        monday = simulation.first_day + 7 * week
        who, state, readiness = paths.shown_in(week)
        shown = shown_health(HEALTH_OF_STATE[state])
        tenure = np.maximum(monday + 3 - population.signup_day[who], 0) / 7.0
        counts = _event_counts(population, who, shown, readiness, tenure, _calendar(simulation.monday(week)), rng)
        level = (
            population.adoption[who]
            + p.ADOPTION_HEALTH * shown
            - p.ADOPTION_NEWNESS * np.exp(-tenure / p.ADOPTION_NEWNESS_WEEKS)
            + p.ADOPTION_WEEK_SIGMA * rng.standard_normal(len(who))
        )

        row = np.repeat(np.arange(len(who)), counts.sum(axis=1))
        kind = np.repeat(np.tile(np.arange(len(p.EVENT_TYPES)), len(who)), counts.ravel())
        size = len(row)
        at = hours[rng.integers(0, 65_536, size)] * _HOUR + rng.integers(0, 3600, size) * MICROSECONDS
        score = np.clip(level[row] + p.ADOPTION_EVENT_SIGMA * rng.standard_normal(size), 0.0, 1.0)
        unscored = rng.random(size) < p.ADOPTION_NULL_SHARE
        order = np.argsort(at, kind="stable")
        order = order[_keep(population, paths, who[row[order]], monday + at[order] // _DAY)]
        numbers = made + np.arange(len(order))
        made += len(order)

        lost, score = _shocked_usage(simulation, week, hit_by_usage_shock[who[row]], kind, score, disturb)
        surviving = ~lost[order]
        order, numbers = order[surviving], numbers[surviving]
        parts.append(
            pa.table(
                {
                    "event_id": numbered("E", numbers + 1, 10),
                    "customer_id": customer_ids(who[row[order]]),
                    "timestamp": timestamps(monday * _DAY + at[order]),
                    "event_type": labels(kind[order], p.EVENT_TYPES),
                    "feature_adoption_score": doubles(np.round(score[order], 3), unscored[order]),
                }
            )
        )
        if week in marks:
            progress(f"usage events: week {week + 1} of {simulation.total_weeks}")
    return pa.concat_tables(parts)


def _event_counts(
    population: Population,
    who: Ints,
    shown: Floats,
    readiness: Ints,
    tenure: Floats,
    calendar: float,
    rng: np.random.Generator,
) -> Ints:
    """Events of the week by customer and type, shape (len(who), types)."""
    n = len(who)
    noise = np.exp(p.USAGE_WEEK_SIGMA * rng.standard_normal(n))
    quiet = np.minimum(p.QUIET_WEEK_CAP, p.QUIET_WEEK_SHARE * np.exp(-p.QUIET_WEEK_HEALTH * shown))
    noise[rng.random(n) < quiet] = 0.0
    pace = noise * calendar * (1 - p.RAMP_DEPTH * np.exp(-tenure / p.RAMP_WEEKS))
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


def _shocked_usage(
    simulation: Simulation, week: int, hit: Bools, kind: Ints, score: Floats, rng: np.random.Generator
) -> tuple[Bools, Floats]:
    """Which events are lost to shocks in this week, and the scores as recorded."""
    lost: Bools = np.zeros(len(kind), dtype=np.bool_)

    def has_begun(name: str) -> bool:
        begin = simulation.shock_week(name)
        return begin is not None and week >= begin

    if has_begun("usage"):
        machine_made = np.isin(kind, [p.EVENT_TYPES.index("monitoring_run"), p.EVENT_TYPES.index("api_call")])
        lost |= hit & machine_made & (rng.random(len(kind)) >= p.SHOCK_USAGE_KEPT)
    if has_begun("feed"):
        lost |= np.isin(kind, [p.EVENT_TYPES.index(name) for name in p.SHOCK_FEED_LOST_TYPES])
        lost |= rng.random(len(kind)) >= p.SHOCK_FEED_KEPT
    if has_begun("score"):
        score = p.SHOCK_SCORE_SHIFT + p.SHOCK_SCORE_SCALE * score
    return lost, score


def support_tickets(simulation: Simulation, population: Population, paths: Paths) -> pa.Table:
    """support_tickets, ordered by created_date.

    A ticket whose resolution would come after the customer has gone, or after the data, is open.
    """
    rng = simulation.generator("tickets")
    columns: list[tuple[Ints, Ints, Ints, Ints, Floats]] = []
    for week in range(simulation.total_weeks):
        who, state, readiness = paths.shown_in(week)
        health, incident = HEALTH_OF_STATE[state], INCIDENT_OF_STATE[state]
        kinds = (
            (p.TICKET_RATE * np.exp(-p.TICKET_HEALTH * health), p.TICKET_PRIORITIES, p.TICKET_TOPICS, 1.0),
            (
                p.INCIDENT_TICKET_RATE * incident,
                p.INCIDENT_TICKET_PRIORITIES,
                p.INCIDENT_TICKET_TOPICS,
                p.RESOLUTION_INCIDENT,
            ),
            (np.array(p.REQUEST_RATES)[readiness], p.TICKET_PRIORITIES, (0, 0, 0, 0, 0, 0, 1.0), 1.0),
        )
        for rate, priorities, topics, slower in kinds:
            row = np.repeat(np.arange(len(who)), rng.poisson(rate))
            size = len(row)
            day = simulation.first_day + 7 * week + rng.choice(7, size, p=p.USAGE_WEEKDAYS)
            median = p.RESOLUTION_MEDIAN * slower * np.exp(-p.RESOLUTION_HEALTH * health[row])
            hours = np.round(median * np.exp(p.RESOLUTION_SIGMA * rng.standard_normal(size)), 1)
            priority, topic = (
                rng.choice(len(p.PRIORITIES), size, p=priorities),
                rng.choice(len(p.TOPICS), size, p=topics),
            )
            columns.append((who[row], day, priority, topic, hours))
    who, day, priority, topic, hours = (np.concatenate(column) for column in zip(*columns, strict=True))
    order = np.lexsort((who, day))
    order = order[_keep(population, paths, who[order], day[order])]
    who, day, priority, topic, hours = who[order], day[order], priority[order], topic[order], hours[order]
    open_still = day * 24.0 + hours >= np.minimum(paths.gone_day[who], simulation.last_day) * 24.0
    return pa.table(
        {
            "ticket_id": numbered("T", np.arange(1, len(who) + 1), 7),
            "customer_id": customer_ids(who),
            "created_date": dates(day),
            "priority": labels(priority, p.PRIORITIES),
            "resolution_time": doubles(hours, open_still),
            "topic": labels(topic, p.TOPICS),
        }
    )


def risk_signals(simulation: Simulation, population: Population, paths: Paths) -> pa.Table:
    """risk_signals, ordered by recorded_at: an assessment every few weeks, in the night of a working day."""
    rng = simulation.generator("risk")
    phase = rng.integers(0, p.RISK_EVERY_WEEKS, population.size)
    columns: list[tuple[Ints, Ints, Floats, Ints]] = []
    for week in range(simulation.total_weeks):
        who, state, _ = paths.shown_in(week)
        due = phase[who] == week % p.RISK_EVERY_WEEKS
        who, health = who[due], HEALTH_OF_STATE[state[due]]
        at = (simulation.first_day + 7 * week + rng.integers(0, 5, len(who))) * _DAY + rng.integers(
            0, 6 * 3600, len(who)
        ) * MICROSECONDS
        gap = 1 / (1 + np.exp(-(p.GAP_LEVEL - p.GAP_HEALTH * health + p.GAP_SIGMA * rng.standard_normal(len(who)))))
        columns.append((who, at, np.round(gap, 3), rng.poisson(p.FLAGS_RATE * np.exp(-p.FLAGS_HEALTH * health))))
    who, at, gap, flags = (np.concatenate(column) for column in zip(*columns, strict=True))
    order = np.lexsort((who, at))
    order = order[_keep(population, paths, who[order], at[order] // _DAY)]
    return pa.table(
        {
            "customer_id": customer_ids(who[order]),
            "compliance_gap_score": doubles(gap[order]),
            "vendor_risk_flags": pa.array(flags[order], pa.int64()),
            "recorded_at": timestamps(at[order]),
        }
    )


def gtm_opportunities(simulation: Simulation, population: Population, paths: Paths) -> pa.Table:
    """gtm_opportunities, ordered by created_date.

    An expansion is won on the day of an upgrade that comes before its decision date, else decided on that date. An
    opportunity not decided when the data end or the customer goes is open: an early stage, and the planned decision
    date as its close_date.
    """
    rng = simulation.generator("opportunities")
    columns: list[tuple[Ints, Ints, Bools]] = []
    for week in range(simulation.total_weeks):
        who, _, readiness = paths.shown_in(week)
        by_readiness, constant = np.array(p.EXPANSION_OPP_RATES)[readiness], np.full(len(who), p.NEW_BUSINESS_OPP_RATE)
        for is_expansion, rate in ((True, by_readiness), (False, constant)):
            row = np.repeat(np.arange(len(who)), rng.poisson(rate))
            day = simulation.first_day + 7 * week + rng.integers(0, 5, len(row))
            columns.append((who[row], day, np.full(len(row), is_expansion)))
    who, created, expansion = (np.concatenate(column) for column in zip(*columns, strict=True))
    order = np.lexsort((who, created))
    order = order[_keep(population, paths, who[order], created[order])]
    who, created, expansion = who[order], created[order], expansion[order]
    size = len(who)

    planned = created + np.maximum(
        7, np.round(p.OPP_MEDIAN_DAYS * np.exp(p.OPP_SIGMA * rng.standard_normal(size)))
    ).astype(np.int64)
    won_by_chance = rng.random(size) < p.OPP_WIN_SHARE
    upgrade = _next_upgrade(paths, who, created)
    won_by_upgrade = expansion & (upgrade <= planned)
    closed = np.where(won_by_upgrade, upgrade, planned)
    decided = (closed < simulation.last_day) & (closed < paths.gone_day[who])
    stage = np.where(decided, np.where(won_by_upgrade | won_by_chance, 3, 4), rng.integers(0, 3, size))
    price = np.maximum(population.mrr_by_tier[who, population.tier[who]], p.MRR_RANGES[1][0]) * 12
    amount = np.round(price * p.OPP_AMOUNT_SHARE * np.exp(p.OPP_AMOUNT_SIGMA * rng.standard_normal(size)), -1)
    return pa.table(
        {
            "opp_id": numbered("O", np.arange(1, size + 1), 6),
            "customer_id": customer_ids(who),
            "stage": labels(stage, ("prospecting", "qualification", "proposal", "closed_won", "closed_lost")),
            "close_date": dates(np.where(decided, closed, planned)),
            "amount": doubles(amount),
            "sales_owner": labels(rng.integers(0, len(p.SALES_OWNERS), size), p.SALES_OWNERS),
            "opportunity_type": labels(np.where(expansion, 0, 1), ("expansion", "new_business")),
            "created_date": dates(created),
        }
    )


def _next_upgrade(paths: Paths, who: Ints, after: Ints) -> Ints:
    """Day of each customer's first upgrade after a day, ``NEVER`` if there is none."""
    ups = paths.changes[paths.changes[:, 3] > paths.changes[:, 2]]
    # One sortable key per (customer, day); days stay far below the stride.
    stride = 1_000_000
    keys = np.sort(ups[:, 0] * stride + ups[:, 1])
    place = np.searchsorted(keys, who * stride + after, side="right")
    next_key = np.append(keys, np.int64(NEVER))[place]
    return np.where(next_key // stride == who, next_key % stride, NEVER)
