"""Whom the team calls, and what a call does to them.

The team of this company has no model. A manager looks at an account now and then, sees use that has fallen (the lower
the customer's standing ``h``, the surer), and calls the larger account first. So whoever was not called in the last
quarter is called in a week with a probability that follows from their size at signup and their standing on its Monday::

    called  q = min(1, reach_i seen(h))    with reach_i = k mrr_i / (mrr_i + half)

``k`` is one number for the company: it makes the calls of a week the planned share of the book, so that a larger book
has a larger team. Customers who pay nothing are never called.

A call of week ``t`` multiplies the weekly hazard of churn by ``1 - persuadability_i`` in the weeks ``t + 1`` to
``t + 13`` and alters nothing else. Nobody is called twice within 13 weeks, so effects never overlap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from churn_pipeline.simulate import parameters as p
from churn_pipeline.simulate.population import Floats, Ints, Population
from churn_pipeline.simulate.simulation import Simulation

# Weeks since the last call are counted so far: from here on no effect is left, as if there had never been a call.
LONG_AGO = p.CALL_EFFECT_WEEKS + 1


@dataclass(frozen=True)
class Calls:
    """The team's policy and the hidden effect, one entry per customer.

    Attributes:
        reach: factor on how surely low use is answered by a call; 0 is never called.
        persuadability: share of the weekly hazard of churn that a call takes away, in [0, 1).
    """

    reach: Floats
    persuadability: Floats

    def probability(self, who: Ints, standing: Floats) -> Floats:
        """Probability that customers ``who`` are called in a week, by ``standing`` on its Monday, if a quarter has passed.

        Args:
            who: customer numbers, shape (n,).
            standing: shape (n,) for one value each, or (1, m) for the same m values for all; then the result is (n, m).
        """
        reach = self.reach[who]
        return np.minimum(1.0, (reach if standing.ndim == 1 else reach[:, None]) * _seen(standing))

    def log_effect(self, who: Ints) -> Floats:
        """What a call adds to the log-hazard of churn while it works, shape (len(who),); not above 0."""
        return np.asarray(np.log1p(-self.persuadability[who]))


def draw_calls(simulation: Simulation, population: Population, standing: Floats, share_of_book: Floats) -> Calls:
    """Draws who can be persuaded and sets the team to its size.

    Args:
        simulation: gives the planned share of the book and the seed.
        population: the static traits.
        standing: of each state, shape (states,).
        share_of_book: how much of the book is in each state, shape (states,).
    """
    rng = simulation.generator("persuadability")
    drawn = rng.beta(*p.PERSUADABILITY, population.size)
    mrr = population.mrr_by_tier[np.arange(population.size), population.tier]
    size = mrr / (mrr + p.CALL_HALF_MRR)
    return Calls(
        reach=size * _reach_of_the_largest(size, simulation.call_share, _seen(standing), share_of_book),
        persuadability=np.minimum(drawn, p.PERSUADABILITY_LIMIT),
    )


def _seen(standing: Floats) -> Floats:
    """How surely a manager who looks sees that use has fallen."""
    return np.asarray(1 / (1 + np.exp(p.CALL_HEALTH_SLOPE * (standing - p.CALL_HEALTH_MIDDLE))))


def _reach_of_the_largest(size: Floats, call_share: float, seen: Floats, share_of_book: Floats) -> float:
    """The factor on ``size`` at which the calls of a week are the planned share of the book.

    A standing moves little within a quarter, so somebody who is called with probability q while free is called in
    q / (1 + 12 q) of the weeks. Sizes are taken from the middle of 256 equal parts: a million customers cost no more
    than a thousand. Where even a call to every payer each quarter falls short of the plan, that is what the team does.
    """
    if call_share == 0:
        return 0.0
    sizes = np.quantile(size, (np.arange(256) + 0.5) / 256)[:, None]
    low, high = np.log(1e-6), np.log(1e6)
    for _ in range(60):
        middle = (low + high) / 2
        chance = np.minimum(1.0, np.exp(middle) * sizes * seen)
        weekly = (chance / (1 + (p.CALL_EFFECT_WEEKS - 1) * chance)) @ share_of_book
        low, high = (middle, high) if weekly.mean() < call_share else (low, middle)
    return float(np.exp(high))
