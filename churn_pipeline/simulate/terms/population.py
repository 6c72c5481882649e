"""Who signs up with a company of this family: seats, plan, industry, and the terms of every contract to come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from churn_pipeline.simulate import parameters as shared
from churn_pipeline.simulate.population import (
    Bools,
    Population,
    company_names,
    entry_weeks,
    list_price,
    signup_days,
)
from churn_pipeline.simulate.simulation import Simulation
from churn_pipeline.simulate.terms import parameters as p


@dataclass(frozen=True)
class TermsPopulation(Population):
    """Static traits. ``intensity`` are visits in a usual week.

    Attributes:
        connected: whose own systems call the product.
    """

    INDUSTRIES: ClassVar[tuple[str, ...]] = p.INDUSTRIES

    connected: Bools


def draw_population(simulation: Simulation) -> TermsPopulation:
    """Draws the first book and all later signups, ``simulation.customers`` together."""
    rng = simulation.generator("population")
    n = simulation.customers
    signup_day = signup_days(simulation, p.GROWTH, rng)
    tier = rng.choice(len(shared.TIERS), n, p=p.TIER_SHARES)
    seats = np.maximum(1, np.round(np.array(p.SEATS_MEDIAN)[tier] * np.exp(p.SEATS_SIGMA * rng.standard_normal(n))))
    discount = np.exp(p.SEAT_PRICE_SIGMA * rng.standard_normal(n))
    bound = rng.random(n) < np.array(p.TERM_SHARE)[tier]
    return TermsPopulation(
        signup_day=signup_day,
        entry_week=entry_weeks(simulation, signup_day),
        tier=tier,
        mrr_by_tier=list_price((seats * discount)[:, None] * np.array(p.SEAT_PRICE)),
        industry=rng.choice(len(p.INDUSTRIES), n, p=p.INDUSTRY_SHARES),
        seats=seats.astype(np.int64),
        owner=rng.integers(0, len(shared.CSM_OWNERS), n),
        name=company_names(n, rng, formulas=simulation.dirty),
        contract_start=signup_day + rng.choice(np.array(p.TRIAL_DAYS), n),
        term_days=np.where(bound, rng.choice(np.array(p.FIRST_TERM_DAYS), n, p=p.FIRST_TERM_SHARES), 0),
        renewal_days=np.where(bound, rng.choice(np.array(p.RENEWAL_DAYS), n, p=p.RENEWAL_SHARES), 0),
        auto_renew=np.zeros(n, dtype=np.bool_),
        intensity=p.VISITS
        * (seats / p.SEATS_REFERENCE) ** p.VISITS_SEATS
        * np.exp(p.VISITS_SIGMA * rng.standard_normal(n)),
        adoption=np.full(n, p.SCORE_LEVEL),
        connected=rng.random(n) < p.CONNECTED_SHARE,
    )
