"""Companies that several tests look at. The small ones have everything but precise frequencies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date

import duckdb
import pytest

from churn_pipeline.simulate import Company, Shock, Simulation, simulate

UNTIL = date(2026, 11, 2)
SMALL = Simulation(until=UNTIL, customers=1_200, weeks=40, seed=3)
SHOCK_WEEKS = 6


@pytest.fixture(scope="session")
def small() -> Company:
    return simulate(SMALL)


@pytest.fixture(scope="session")
def soiled() -> Company:
    return simulate(replace(SMALL, dirty=True))


@pytest.fixture(scope="session")
def shocked() -> Callable[[str], Company]:
    made: dict[str, Company] = {}

    def get(kind: str) -> Company:
        if kind not in made:
            made[kind] = simulate(replace(SMALL, shocks=(Shock(kind, SHOCK_WEEKS),)))
        return made[kind]

    return get


@pytest.fixture(scope="session")
def medium() -> Company:
    """Large enough for AUCs to a few hundredths."""
    return simulate(Simulation(until=UNTIL, customers=6_000, weeks=104, seed=5))


def database(company: Company) -> duckdb.DuckDBPyConnection:
    """The raw tables and the oracle as views."""
    con = duckdb.connect()
    con.execute("set threads = 2")
    for name, table in (company.tables | {"oracle": company.oracle}).items():
        con.register(name, table)
    return con
