"""Companies that several tests look at. The small ones have everything but precise frequencies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from churn_pipeline.simulate import Company, Shock, Simulation, simulate
from tests.unit.simulate.simulated import BILLED, SHOCK_WEEKS, SMALL, TERMS, UNTIL


@pytest.fixture(scope="session")
def small() -> Company:
    return simulate(SMALL)


@pytest.fixture(scope="session")
def terms() -> Company:
    return simulate(TERMS)


@pytest.fixture(scope="session")
def billed() -> Company:
    return simulate(BILLED)


@pytest.fixture(scope="session", params=["small", "terms", "billed"])
def each(request: pytest.FixtureRequest) -> Company:
    """A company of every make, one after the other."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def soiled() -> Company:
    return simulate(replace(SMALL, dirty=True))


@pytest.fixture(scope="session")
def soiled_bill() -> Company:
    return simulate(replace(BILLED, dirty=True))


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
    return simulate(Simulation(until=UNTIL, customers=5_000, weeks=104, seed=5))
