"""The whole company from one :class:`Simulation`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from churn_pipeline.simulate import behaviour, facts, records, terms
from churn_pipeline.simulate import parameters as p
from churn_pipeline.simulate.dirt import soil
from churn_pipeline.simulate.dynamics import Hazards, calls_of
from churn_pipeline.simulate.latent import HealthHazards, health_chains
from churn_pipeline.simulate.oracle import oracle_table
from churn_pipeline.simulate.paths import Paths, draw_paths
from churn_pipeline.simulate.population import draw_population
from churn_pipeline.simulate.simulation import Simulation


@dataclass(frozen=True)
class Company:
    """A simulated company.

    Attributes:
        tables: raw tables by name, in the raw data contract.
        oracle: the true probabilities, one row per snapshot_date and active customer; always those of the clean
            company.
    """

    tables: dict[str, pa.Table]
    oracle: pa.Table


@dataclass(frozen=True)
class Kind:
    """What a family of companies is made by.

    Attributes:
        hazards: the customers of a company, the team that calls them, and what the coming weeks hold for each.
        tables: its raw tables but the calls, from the lives that were drawn.
    """

    hazards: Callable[[Simulation], Hazards]
    tables: Callable[[Simulation, Hazards, Paths, Callable[[str], None]], dict[str, pa.Table]]


def simulate(simulation: Simulation, progress: Callable[[str], None] | None = None) -> Company:
    """Draws a company.

    Args:
        simulation: what to draw.
        progress: told in a short sentence what is being done, a dozen times.
    """
    tell = progress or (lambda _: None)
    tell("customers and their hidden state")
    family = KINDS[simulation.family]
    hazards = family.hazards(simulation)
    paths = draw_paths(simulation, hazards)
    tables = family.tables(simulation, hazards, paths, tell)
    if simulation.call_share > 0:
        tables["interventions"] = records.interventions(simulation, hazards.population, paths)
    if simulation.dirty:
        tell("dirt")
        tables = soil(simulation, tables)
    return Company(tables, oracle_table(simulation, hazards, paths, tell))


def _health_hazards(simulation: Simulation) -> Hazards:
    population = draw_population(simulation)
    return HealthHazards(population, simulation.first_day, calls_of(simulation, population, health_chains()))


def _health_tables(
    simulation: Simulation, hazards: Hazards, paths: Paths, progress: Callable[[str], None]
) -> dict[str, pa.Table]:
    population = hazards.population
    return {
        "customers": records.customers(population, paths),
        "plan_changes": records.plan_changes(population, paths),
        "contracts": records.contracts(simulation, population, paths),
        "support_tickets": behaviour.support_tickets(simulation, population, paths),
        "gtm_opportunities": facts.gtm_opportunities(
            simulation, population, paths, p.EXPANSION_OPP_RATES, p.NEW_BUSINESS_OPP_RATE
        ),
        "risk_signals": behaviour.risk_signals(simulation, population, paths),
        "usage_events": behaviour.usage_events(simulation, population, paths, progress),
    }


# By the names of ``simulation.FAMILIES``.
KINDS: dict[str, Kind] = {
    "health": Kind(_health_hazards, _health_tables),
    "terms": Kind(terms.hazards_of, terms.tables),
}
