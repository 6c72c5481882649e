"""Fixtures for every test: a simulated company, the real data set where it is there, and homes that have run a Monday."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from churn_pipeline.core.settings import REPOSITORY, Settings
from churn_pipeline.simulate import Simulation, simulate, write
from tests.support.homes import copy_of
from tests.support.postgres import Cluster, Database
from tests.support.slack_server import SlackServer
from tests.support.truncation import truncate

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# A test that waits for a core is no slower code: examples have no deadline of their own, pytest-timeout has one for all.
hypothesis.settings.register_profile("churn", deadline=None)
hypothesis.settings.load_profile("churn")

# A Monday with 90 weeks of data before it and 14 after, so that every label of it is known and the truncation test has
# something to cut off. It is a training Monday of the grid.
UNTIL = date(2026, 6, 29)
MONDAY = date(2026, 3, 16)


# A company that is small enough to be killed fifty times. TINY_MONDAY is a training Monday, TINY_BEFORE the Monday before it.
TINY_UNTIL = date(2026, 6, 15)
TINY_MONDAY = date(2026, 6, 8)
TINY_BEFORE = date(2026, 6, 1)
TINY = {"min_train_churners": 20, "min_test_churners": 5, "bootstrap_replicates": 50, "history_weeks": 60}


@dataclass(frozen=True)
class Company:
    """A simulated company on disk."""

    raw: Path
    oracle: Path
    until: date


@pytest.fixture(scope="session")
def company(tmp_path_factory: pytest.TempPathFactory) -> Company:
    """4,000 customers over 104 weeks, with duplicates, late rows and plan changes."""
    out = tmp_path_factory.mktemp("company")
    write(simulate(Simulation(customers=4_000, weeks=104, until=UNTIL, seed=3, dirty=True)), out)
    return Company(out / "raw", out / "oracle.parquet", UNTIL)


@pytest.fixture(scope="session")
def oulad() -> Path:
    """The real data set; where it is not there, its tests are skipped and say so."""
    root = Path(os.environ.get("CHURN_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
    folder = root / "oulad"
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}; set CHURN_TEST_DATA to a folder that has oulad/")
    return folder


@pytest.fixture(scope="session")
def home_at(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Settings]:
    """Makes the settings of a new, empty home whose clock stands at noon of a Monday."""

    def make(raw: Path, monday: date, **settings: object) -> Settings:
        noon = datetime(monday.year, monday.month, monday.day, 12, tzinfo=UTC)
        home = tmp_path_factory.mktemp("home")
        return Settings(
            home=home, raw=raw, **{"now": noon, "lock_wait_seconds": 5, "bootstrap_replicates": 100, **settings}
        )

    return make


@pytest.fixture(scope="session")
def scored_home(company: Company, home_at: Callable[..., Settings]) -> Settings:
    """A home that has scored MONDAY, months after it, from raw data that goes on."""
    from churn_pipeline.orchestration.execute import run_mondays

    settings = home_at(company.raw, company.until)
    outcome = run_mondays(settings, MONDAY)
    assert outcome.exit_code == 0, outcome.reason
    return settings


@pytest.fixture(scope="session")
def tiny_company(tmp_path_factory: pytest.TempPathFactory) -> Company:
    """900 customers over 62 weeks."""
    out = tmp_path_factory.mktemp("tiny")
    write(simulate(Simulation(customers=900, weeks=62, until=TINY_UNTIL, seed=5)), out)
    return Company(out / "raw", out / "oracle.parquet", TINY_UNTIL)


@pytest.fixture(scope="session")
def tiny_home(
    tiny_company: Company, tmp_path_factory: pytest.TempPathFactory, home_at: Callable[..., Settings]
) -> Settings:
    """A home that has scored TINY_BEFORE from what was known then; its settings see the raw data of a week later."""
    from churn_pipeline.orchestration.execute import run_mondays

    early = tmp_path_factory.mktemp("early")
    truncate(tiny_company.raw, early, TINY_BEFORE)
    before = home_at(early, TINY_BEFORE, **TINY)
    outcome = run_mondays(before, TINY_BEFORE)
    assert outcome.exit_code == 0, outcome.reason
    noon = datetime(TINY_MONDAY.year, TINY_MONDAY.month, TINY_MONDAY.day, 12, tzinfo=UTC)
    return Settings(**before.model_dump(include=before.model_fields_set) | {"raw": tiny_company.raw, "now": noon})


@pytest.fixture
def slack(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlackServer]:
    """A server on this machine that speaks Slack's API."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    with SlackServer() as server:
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """A PostgreSQL server of its own; a test that stops it starts it again."""
    with Cluster() as cluster:
        yield cluster


@pytest.fixture
def database(postgres: Cluster) -> Iterator[Database]:
    """A fresh, empty database in it; ``database.url`` is what CHURN_PUBLISH_URL takes."""
    made = postgres.fresh_database()
    yield made
    postgres.drop(made)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium without a screen. For a module and not for the session, because Playwright keeps an event loop running in this
    thread, and what Dagster does in others would fail for it."""
    from tests.support.browser import headless

    with headless() as running:
        yield running


@pytest.fixture
def tiny_copy(tiny_home: Settings, tmp_path: Path) -> Settings:
    """A home of its own that has scored TINY_BEFORE."""
    return copy_of(tiny_home, tmp_path / "home")
