r"""The family ``terms``: hazards that are log-linear in what a company can see, and contracts that end on a day.

It is made to be unlike the family ``health`` wherever a model could have learned a habit of that one world. All
parameters are in :mod:`~churn_pipeline.simulate.terms.parameters`; ``i`` is a customer, ``t`` a week.

**State**: activity per seat ``a`` on a grid of logarithms, which mostly stays as it is, now and then moves by a step,
falls at once when the person who used the product leaves, and comes back when somebody takes it up; a problem ``d`` in
{0, 1}; readiness ``r`` in {0, 1, 2}: not looking, comparing, deciding.

**Hazards**::

    churn     p = 1 - exp(-exp(c - 0.80 a + 0.90 d - 0.25 log(seats_i / 12) - 0.22 log((tenure + 4) / 52)
                                + industry_i + season(industry_i, t) + cycle(t) + contract(clock_i) + call_i))
    upgrade   u = appetite_i seats_i^0.15 quarter(t) w(r) g(a)

Whoever is bound by a term hardly leaves within it, may give notice in its last weeks, and mostly leaves in its last
one; whoever is not can leave any day. First terms last one to three years, later ones one or two. Seasons differ by
industry, and a business cycle moves the level from year to year.

**Behaviour**: a few visits a week, on the industry's own weekdays and months, each of one to a few events within the
hour; hardly a ticket. Scores of depth exist for one type of event only. A customer's use grows with the seats, so what
counts is use beside size.

**Exports**: seats and prices by the seat; no risk signals, no manager, no date of upgrade, no automatic renewal. One
seed in four (1, 5, 9 and so on) keeps its book in a billing system: a table of subscriptions instead of plan changes, by
which a departure is known a month late.

**Seeds 900 to 909 are for the last measurement of a change of the models, and for nothing before it**: not to choose,
not to tune, not to look at. Nothing refuses them; whoever uses them earlier has no seeds left that nobody has seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import pyarrow as pa

from churn_pipeline.simulate import facts, records
from churn_pipeline.simulate.dynamics import Hazards, calls_of
from churn_pipeline.simulate.paths import Paths
from churn_pipeline.simulate.simulation import Simulation
from churn_pipeline.simulate.terms import behaviour
from churn_pipeline.simulate.terms import parameters as p
from churn_pipeline.simulate.terms.hazards import TermsHazards, terms_chains
from churn_pipeline.simulate.terms.population import TermsPopulation, draw_population

LAST_MEASUREMENT = range(900, 910)


def hazards_of(simulation: Simulation) -> Hazards:
    """The customers of a company, the team that calls them, and what the coming weeks hold for each."""
    population = draw_population(simulation)
    return TermsHazards(population, simulation.first_day, calls_of(simulation, population, terms_chains()))


def tables(
    simulation: Simulation, hazards: Hazards, paths: Paths, progress: Callable[[str], None]
) -> dict[str, Callable[[], Iterator[pa.Table]]]:
    """The raw tables but the calls, with the columns that this family exports; each is made when it is called, in parts."""
    population = hazards.population
    assert isinstance(population, TermsPopulation)
    book: dict[str, Callable[[], Iterator[pa.Table]]] = (
        {"subscriptions": partial(records.whole, records.subscriptions, population, paths)}
        if simulation.seed % p.BILLING_EVERY == p.BILLING_REST
        else {"plan_changes": partial(records.whole, records.plan_changes, population, paths)}
    )
    made: dict[str, Callable[[], Iterator[pa.Table]]] = {
        "customers": partial(records.whole, records.customers, population, paths),
        **book,
        "contracts": partial(records.whole, records.contracts, simulation, population, paths),
        "support_tickets": partial(behaviour.support_tickets, simulation, population, paths),
        "gtm_opportunities": partial(
            records.whole,
            facts.gtm_opportunities,
            simulation,
            population,
            paths,
            p.EXPANSION_OPP_RATES,
            p.NEW_BUSINESS_OPP_RATE,
        ),
        "usage_events": partial(behaviour.usage_events, simulation, population, paths, progress),
    }
    return made | {name: partial(_without, made[name], columns) for name, columns in p.ABSENT.items()}


def _without(parts: Callable[[], Iterator[pa.Table]], columns: tuple[str, ...]) -> Iterator[pa.Table]:
    for part in parts():
        yield part.drop_columns(list(columns))
