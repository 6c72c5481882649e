from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from churn_pipeline.runner import run_mondays
from churn_pipeline.settings import Settings
from tests.conftest import TINY_MONDAY
from tests.support.homes import PER_RUN, copy_of, differences, query

# A run that was killed between registering a model and noting it leaves a number behind.
VERSIONS = ("churn_30d_model_version", "churn_90d_model_version", "expansion_model_version")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.faults)


@pytest.fixture(scope="session")
def reference(tiny_home: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """What an undisturbed run of TINY_MONDAY gives."""
    settings = copy_of(tiny_home, tmp_path_factory.mktemp("reference") / "home")
    outcome = run_mondays(settings, TINY_MONDAY)
    assert outcome.exit_code == 0, outcome.reason
    return settings


@pytest.fixture(scope="session")
def same_as_undisturbed(reference: Settings) -> Callable[[Settings], None]:
    """Asserts that a home holds what an undisturbed run gives: no row lost, doubled or mixed from two runs, and nothing left lying about."""

    def check(settings: Settings) -> None:
        for relation, without in (
            ("policy.predictions", (*PER_RUN, *VERSIONS)),
            ("marts.mart_customer_churn_features", ()),
            ("marts.mart_customer_expansion_features", ()),
            ("landing.usage_events", ()),
        ):
            found = differences(reference.warehouse, settings.warehouse, relation, without=without)
            assert found["rows"] > 500
            assert (found["only_left"], found["only_right"]) == (0, 0), relation
        found = differences(
            reference.published_database, settings.published_database, "predictions", without=(*PER_RUN, *VERSIONS)
        )
        assert (found["only_left"], found["only_right"]) == (0, 0), "published"
        per_week = query(
            settings.published_database,
            "select snapshot_date, count(*) = count(distinct customer_id), count(distinct run_id) from predictions group by 1",
        )
        assert [(unique, runs) for _, unique, runs in per_week] == [(True, 1)] * 2
        assert list(leftovers(settings.home)) == []

    return check


def leftovers(home: Path) -> Iterator[Path]:
    """Half-written files that a run should have cleared away."""
    for folder in (home / "data" / "published", home / "data" / "models"):
        yield from (path for path in folder.rglob(".*") if path.suffix in (".tmp", ".new", ".old"))
