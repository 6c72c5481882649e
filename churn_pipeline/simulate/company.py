"""The whole company from one :class:`Simulation`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from churn_pipeline.simulate import behaviour, records
from churn_pipeline.simulate.dirt import soil
from churn_pipeline.simulate.latent import calls_of, draw_paths
from churn_pipeline.simulate.oracle import oracle_table
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


def simulate(simulation: Simulation, progress: Callable[[str], None] | None = None) -> Company:
    """Draws a company.

    Args:
        simulation: what to draw.
        progress: told in a short sentence what is being done, a dozen times.
    """
    tell = progress or (lambda _: None)
    tell("customers and their hidden health")
    population = draw_population(simulation)
    calls = calls_of(simulation, population)
    paths = draw_paths(simulation, population, calls)
    tables = {
        "customers": records.customers(population, paths),
        "plan_changes": records.plan_changes(population, paths),
        "contracts": records.contracts(simulation, population, paths),
        "support_tickets": behaviour.support_tickets(simulation, population, paths),
        "gtm_opportunities": behaviour.gtm_opportunities(simulation, population, paths),
        "risk_signals": behaviour.risk_signals(simulation, population, paths),
        "usage_events": behaviour.usage_events(simulation, population, paths, tell),
    }
    if simulation.call_share > 0:
        tables["interventions"] = records.interventions(simulation, population, paths)
    if simulation.dirty:
        tell("dirt")
        tables = soil(simulation, tables)
    return Company(tables, oracle_table(simulation, population, paths, calls, tell))
