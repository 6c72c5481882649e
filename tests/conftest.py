"""Fixtures for every test: a simulated company, the real data set where it is there, and homes that have run a Monday."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from churn_pipeline.core.settings import REPOSITORY, Settings
from tests.support import companies, prepared
from tests.support.companies import (
    MONDAY,
    TINY,
    TINY_BEFORE,
    TINY_MONDAY,
    TINY_UNTIL,
    UNTIL,
    Company,
)
from tests.support.homes import copy_of, settled_copy_of
from tests.support.postgres import Cluster, Database
from tests.support.slack_server import SlackServer

__all__ = ["MONDAY", "TINY", "TINY_BEFORE", "TINY_MONDAY", "TINY_UNTIL", "UNTIL", "Company"]

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# A test that waits for a core is no slower code: examples have no deadline of their own, pytest-timeout has one for all.
hypothesis.settings.register_profile("churn", deadline=None)
hypothesis.settings.load_profile("churn")

# The files that take longest, so that no worker begins one of them when the other has nothing left. Those that wait for Dagster's daemon
# come first: meanwhile the other worker has the machine for itself.
LONGEST_FIRST = (
    "stack/test_stack.py",
    "faults/test_daemon.py",
    "e2e/test_replay.py",
    "faults/test_registry_gone.py",
    "e2e/test_monday_run.py",
    "integration/test_forget.py",
    "faults/test_kills.py",
    "faults/test_last_word.py",
    "integration/test_policy_edits.py",
    "e2e/test_reexecution.py",
    "integration/test_replay_commands.py",
    "e2e/",
    "faults/",
    "integration/test_wheel.py",
    "integration/test_model_server.py",
    "unit/contract/",
    "integration/",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent

    def place(item: pytest.Item) -> int:
        path = item.path.relative_to(here).as_posix()
        return next((n for n, start in enumerate(LONGEST_FIRST) if path.startswith(start)), len(LONGEST_FIRST))

    items.sort(key=place)


@pytest.fixture(scope="module", autouse=True)
def nobody_writes_in_what_is_shared(request: pytest.FixtureRequest) -> Iterator[None]:
    """Says after which file of tests a prepared folder is no longer as it was made; another worker's may be the one that wrote."""
    yield
    for folder, changed in prepared.written_in().items():
        words = f"a test wrote in the prepared {folder}, seen after {request.node.name}: {', '.join(changed[:5])}"
        warnings.warn(words, stacklevel=1)


@pytest.fixture(scope="session")
def company() -> Company:
    """4,000 customers over 104 weeks, with duplicates, late rows and plan changes. Nobody writes in it."""
    return companies.company()


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
        return companies.settings_at(tmp_path_factory.mktemp("home"), raw, monday, **settings)

    return make


@pytest.fixture(scope="session")
def scored_home(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home that has scored MONDAY, months after it, from raw data that goes on."""
    return settled_copy_of(companies.scored_home(), tmp_path_factory.mktemp("scored") / "home")


@pytest.fixture(scope="session")
def tiny_company() -> Company:
    """900 customers over 62 weeks. Nobody writes in it."""
    return companies.tiny_company()


@pytest.fixture(scope="session")
def tiny_home(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home that has scored TINY_BEFORE from what was known then; its settings see the raw data of a week later."""
    return settled_copy_of(companies.tiny_home(), tmp_path_factory.mktemp("tiny") / "home")


@pytest.fixture(scope="session")
def tiny_two_mondays(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home that has scored TINY_BEFORE and, a week later, TINY_MONDAY, with a training before each."""
    return settled_copy_of(companies.tiny_two_mondays(), tmp_path_factory.mktemp("two") / "home")


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
