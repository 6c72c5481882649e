"""Raw tables of facts from what a family draws: put in order, numbered, and cut off on the day the customer leaves.

Nothing here may look at churn_day, censor_day or at plan changes, except to stop the facts of somebody who has gone
(:func:`keep`) and to close an opportunity by the upgrade that it led to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from churn_pipeline.simulate import parameters as p
from churn_pipeline.simulate.arrow import MICROSECONDS, customer_ids, dates, doubles, labels, numbered, timestamps
from churn_pipeline.simulate.paths import NEVER, Paths
from churn_pipeline.simulate.population import Bools, Floats, Ints, Population
from churn_pipeline.simulate.simulation import Simulation, progress_marks

HOUR = 3600 * MICROSECONDS
DAY = 24 * HOUR
# Of TOPICS, where somebody asks for a feature.
REQUESTS = tuple(float(topic == "feature_request") for topic in p.TOPICS)


def keep(population: Population, paths: Paths, who: Ints, day: Ints) -> Bools:
    """Facts from the day of signup to the day before the customer has gone."""
    return np.asarray((day >= population.signup_day[who]) & (day < paths.gone_day[who]))


class EventLog:
    """usage_events, one table a week, ordered by timestamp.

    Shocks thin or rescale what would have been there, and leave earlier weeks as they are.
    """

    def __init__(
        self, simulation: Simulation, population: Population, paths: Paths, progress: Callable[[str], None]
    ) -> None:
        self._simulation, self._population, self._paths, self._progress = simulation, population, paths, progress
        self._disturb = simulation.generator("usage shocks")
        self._hit_by_usage_shock = self._disturb.random(population.size) < p.SHOCK_USAGE_CUSTOMERS
        self._marks = set(progress_marks(simulation.total_weeks))
        self._made = 0

    def week(self, week: int, who: Ints, kind: Ints, at: Ints, score: Floats, unscored: Bools) -> pa.Table:
        """The table of what happened in a week; one entry per event.

        Args:
            week: weeks come in their order.
            who: customer numbers.
            kind: index into ``EVENT_TYPES``.
            at: microseconds since the Monday.
            score: feature_adoption_score.
            unscored: where it is not known.
        """
        monday = self._simulation.first_day + 7 * week
        order = _order(at)
        order = order[keep(self._population, self._paths, who[order], monday + at[order] // DAY)]
        numbers = self._made + np.arange(len(order))
        self._made += len(order)

        lost, score = self._shocked(week, self._hit_by_usage_shock[who], kind, score)
        surviving = ~lost[order]
        order, numbers = order[surviving], numbers[surviving]
        if week in self._marks:
            self._progress(f"usage events: week {week + 1} of {self._simulation.total_weeks}")
        return pa.table(
            {
                "event_id": numbered("E", numbers + 1, 10),
                "customer_id": customer_ids(who[order]),
                "timestamp": timestamps(monday * DAY + at[order]),
                "event_type": labels(kind[order], p.EVENT_TYPES),
                "feature_adoption_score": doubles(np.round(score[order], 3), unscored[order]),
            }
        )

    def _shocked(self, week: int, hit: Bools, kind: Ints, score: Floats) -> tuple[Bools, Floats]:
        """Which events are lost to shocks in this week, and the scores as recorded."""
        rng = self._disturb
        lost: Bools = np.zeros(len(kind), dtype=np.bool_)

        def has_begun(name: str) -> bool:
            begin = self._simulation.shock_week(name)
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


def _order(at: Ints) -> Ints:
    """The stable order of whole seconds of a week, told in microseconds.

    Second and place in one number sort ten times faster than a stable sort of the places.
    """
    bits = len(at).bit_length()
    keys = np.sort(((at // MICROSECONDS) << bits) | np.arange(len(at)))
    return np.asarray(keys & ((1 << bits) - 1))


@dataclass(frozen=True)
class Tickets:
    """One kind of tickets in a week.

    Attributes:
        rate: expected number, one for all or shape (customers,).
        priorities, topics: shares of ``PRIORITIES`` and ``TOPICS``.
        median_hours: to resolution, one for all or shape (customers,).
    """

    rate: NDArray[np.floating] | float
    priorities: tuple[float, ...]
    topics: tuple[float, ...]
    median_hours: NDArray[np.floating] | float


def support_tickets(
    simulation: Simulation,
    population: Population,
    paths: Paths,
    kinds: Callable[[Ints, Ints, Ints], Sequence[Tickets]],
    weekdays: tuple[float, ...],
    sigma: float,
) -> Iterator[pa.Table]:
    """support_tickets, one table a week, ordered by created_date.

    A ticket whose resolution would come after the customer has gone, or after the data, is open.

    Args:
        simulation: where the data end.
        population: the static traits.
        paths: who goes when.
        kinds: the kinds of tickets of a week, from customers, states and readiness.
        weekdays: on which tickets are opened, Monday first.
        sigma: of the logarithm of the hours to resolution.
    """
    rng = simulation.generator("tickets")
    made = 0
    for week in range(simulation.total_weeks):
        columns: list[tuple[Ints, Ints, Ints, Ints, Floats]] = []
        who, state, readiness = paths.shown_in(week)
        for kind in kinds(who, state, readiness):
            row = np.repeat(np.arange(len(who)), rng.poisson(kind.rate, len(who)))
            size = len(row)
            day = simulation.first_day + 7 * week + rng.choice(7, size, p=weekdays)
            median = np.broadcast_to(kind.median_hours, len(who))[row]
            hours = np.round(median * np.exp(sigma * rng.standard_normal(size)), 1)
            priority, topic = (
                rng.choice(len(p.PRIORITIES), size, p=kind.priorities),
                rng.choice(len(p.TOPICS), size, p=kind.topics),
            )
            columns.append((who[row], day, priority, topic, hours))
        who, day, priority, topic, hours = (np.concatenate(column) for column in zip(*columns, strict=True))
        order = np.lexsort((who, day))
        order = order[keep(population, paths, who[order], day[order])]
        who, day, priority, topic, hours = who[order], day[order], priority[order], topic[order], hours[order]
        open_still = day * 24.0 + hours >= np.minimum(paths.gone_day[who], simulation.last_day) * 24.0
        yield pa.table(
            {
                "ticket_id": numbered("T", made + np.arange(1, len(who) + 1), 7),
                "customer_id": customer_ids(who),
                "created_date": dates(day),
                "priority": labels(priority, p.PRIORITIES),
                "resolution_time": doubles(hours, open_still),
                "topic": labels(topic, p.TOPICS),
            }
        )
        made += len(who)


def gtm_opportunities(
    simulation: Simulation,
    population: Population,
    paths: Paths,
    expansion_rates: tuple[float, ...],
    new_business_rate: float,
) -> pa.Table:
    """gtm_opportunities, ordered by created_date.

    An expansion is won on the day of an upgrade that comes before its decision date, else decided on that date. An
    opportunity not decided when the data end or the customer goes is open: an early stage, and the planned decision
    date as its close_date.

    Args:
        simulation: where the data end.
        population: the static traits.
        paths: who goes, and who upgrades, when.
        expansion_rates: weekly, by readiness.
        new_business_rate: weekly.
    """
    rng = simulation.generator("opportunities")
    columns: list[tuple[Ints, Ints, Bools]] = []
    for week in range(simulation.total_weeks):
        who, _, readiness = paths.shown_in(week)
        by_readiness, constant = np.array(expansion_rates)[readiness], np.full(len(who), new_business_rate)
        for is_expansion, rate in ((True, by_readiness), (False, constant)):
            row = np.repeat(np.arange(len(who)), rng.poisson(rate))
            day = simulation.first_day + 7 * week + rng.integers(0, 5, len(row))
            columns.append((who[row], day, np.full(len(row), is_expansion)))
    who, created, expansion = (np.concatenate(column) for column in zip(*columns, strict=True))
    order = np.lexsort((who, created))
    order = order[keep(population, paths, who[order], created[order])]
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
