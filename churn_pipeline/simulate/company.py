"""The whole company from one :class:`Simulation`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import pyarrow as pa

from churn_pipeline.simulate import behaviour, facts, records, terms
from churn_pipeline.simulate import parameters as p
from churn_pipeline.simulate.dirt import Parts, Spooled, soil
from churn_pipeline.simulate.dynamics import Hazards, calls_of
from churn_pipeline.simulate.latent import HealthHazards, health_chains
from churn_pipeline.simulate.oracle import oracle_parts
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
        tables: its raw tables but the calls, from the lives that were drawn; each is made when it is called, in parts.
    """

    hazards: Callable[[Simulation], Hazards]
    tables: Callable[[Simulation, Hazards, Paths, Callable[[str], None]], dict[str, Parts]]


@dataclass(frozen=True)
class Draft:
    """A company whose lives are drawn and whose tables are still to be made.

    Attributes:
        simulation: what is drawn.
        hazards, paths: its customers, and what becomes of them.
        tables: clean, each made when it is called, in parts that are ordered.
        tell: told in a short sentence what is being done.
    """

    simulation: Simulation
    hazards: Hazards
    paths: Paths
    tables: dict[str, Parts]
    tell: Callable[[str], None]

    def as_exported(
        self, spool: Callable[[str, Iterator[pa.Table]], Spooled]
    ) -> Iterator[tuple[str, Iterator[pa.Table]]]:
        """Every raw table, dirty where that was asked for; each has to be read to its end before the next.

        Args:
            spool: keeps a long table until its rows are counted, for :func:`~churn_pipeline.simulate.dirt.soil`.
        """
        if self.simulation.dirty:
            self.tell("dirt")
            return soil(self.simulation, self.tables, spool)
        return ((name, parts()) for name, parts in self.tables.items())

    def oracle(self, mondays: range) -> Iterator[pa.Table]:
        """The true probabilities of some of the Mondays, counted from the first one, one table a Monday."""
        return oracle_parts(self.simulation, self.hazards, self.paths, mondays)


def draft(simulation: Simulation, progress: Callable[[str], None] | None = None) -> Draft:
    """Draws the lives of a company; nothing in it depends on what is asked of them later.

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
        tables["interventions"] = partial(records.whole, records.interventions, simulation, hazards.population, paths)
    return Draft(simulation, hazards, paths, tables, tell)


def simulate(simulation: Simulation, progress: Callable[[str], None] | None = None) -> Company:
    """Draws a company into memory, about 0.1 GB for every 1,000 customers and 104 weeks.

    :func:`~churn_pipeline.simulate.stream.simulate_into` writes the same company to files as it is made, of any size.

    Args:
        simulation: what to draw.
        progress: told in a short sentence what is being done, a dozen times.
    """

    def in_memory(_: str, parts: Iterator[pa.Table]) -> Spooled:
        kept = list(parts)
        return sum(part.num_rows for part in kept), lambda: iter(kept)

    drawn = draft(simulation, progress)
    made = {name: pa.concat_tables(parts) for name, parts in drawn.as_exported(in_memory)}
    drawn.tell("true probabilities")
    return Company(
        {name: made[name] for name in drawn.tables}, pa.concat_tables(drawn.oracle(range(simulation.weeks + 1)))
    )


def _health_hazards(simulation: Simulation) -> Hazards:
    population = draw_population(simulation)
    return HealthHazards(population, simulation.first_day, calls_of(simulation, population, health_chains()))


def _health_tables(
    simulation: Simulation, hazards: Hazards, paths: Paths, progress: Callable[[str], None]
) -> dict[str, Parts]:
    population = hazards.population
    return {
        "customers": partial(records.whole, records.customers, population, paths),
        "plan_changes": partial(records.whole, records.plan_changes, population, paths),
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
        "risk_signals": partial(behaviour.risk_signals, simulation, population, paths),
        "usage_events": partial(behaviour.usage_events, simulation, population, paths, progress),
    }


# By the names of ``simulation.FAMILIES``.
KINDS: dict[str, Kind] = {
    "health": Kind(_health_hazards, _health_tables),
    "terms": Kind(terms.hazards_of, terms.tables),
}
