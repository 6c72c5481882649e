from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest

from churn_pipeline.core.settings import Settings
from tests.support.homes import PER_RUN, differences, query

# A run that was killed between registering a model and noting it leaves a number behind.
VERSIONS = ("churn_30d_model_version", "churn_90d_model_version", "expansion_model_version")

# What two homes have to agree on: by table of the warehouse, how many rows there are at least, and the columns that tell runs apart.
# Their clocks stand still, so that times are the same.
HELD: dict[str, tuple[int, tuple[str, ...]]] = {
    "policy.predictions": (500, (*PER_RUN, *VERSIONS)),
    "marts.mart_customer_churn_features": (500, ()),
    "marts.mart_customer_expansion_features": (500, ()),
    "landing.usage_events": (500, ()),
    "control.built": (500, ()),
    "control.monday_checks": (500, ("run_id",)),
    "ledger.promotions": (6, ("version", "run_id")),
    "ledger.policy_seeds": (4, ()),
    "monitoring.drift": (500, ("run_id",)),
    "monitoring.drift_verdicts": (6, ("run_id", "model_version")),
    "monitoring.judgements": (2, ("run_id",)),
    "monitoring.model_quality": (100, ("run_id", "version")),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.faults)


@pytest.fixture(scope="session")
def reference(tiny_two_mondays: Settings) -> Settings:
    """What an undisturbed run of TINY_MONDAY gives."""
    return tiny_two_mondays


@pytest.fixture(scope="session")
def same_as_undisturbed(reference: Settings) -> Callable[[Settings], None]:
    """Asserts that a home holds what an undisturbed run of TINY_MONDAY gives; see `assert_same`."""
    return partial(assert_same, reference)


def assert_same(
    undisturbed: Settings, settings: Settings, besides: Mapping[str, tuple[str, ...]] | None = None
) -> None:
    """Asserts that two homes hold the same: no row lost, doubled or mixed from two runs, and nothing left lying about.

    Args:
        undisturbed: one home.
        settings: the other.
        besides: by table, further columns in which they may differ.
    """
    for relation, (at_least, per_run) in HELD.items():
        without = (*per_run, *(besides or {}).get(relation, ()))
        comparison = differences(undisturbed.warehouse, settings.warehouse, relation, without=without)
        assert comparison["rows"] >= at_least, relation
        assert (comparison["only_left"], comparison["only_right"]) == (0, 0), relation
        if relation.startswith("monitoring."):
            comparison = differences(
                undisturbed.monitoring_database,
                settings.monitoring_database,
                relation.removeprefix("monitoring."),
                without=without,
            )
            assert (comparison["only_left"], comparison["only_right"]) == (0, 0), f"published {relation}"
    comparison = differences(
        undisturbed.published_database, settings.published_database, "predictions", without=(*PER_RUN, *VERSIONS)
    )
    assert (comparison["only_left"], comparison["only_right"]) == (0, 0), "published"
    per_week = query(
        settings.published_database,
        "select snapshot_date, count(*) = count(distinct customer_id), count(distinct run_id) from predictions group by 1",
    )
    assert [(unique, runs) for _, unique, runs in per_week] == [(True, 1)] * 2
    # A run that was killed once it had published is in the ledger too, as it should be, and says the same. One that could not publish
    # is there as failed.
    statuses = "select distinct snapshot_date, status, customers, reason, exit_code from ledger.runs where status <> 'failed' order by all"
    assert query(settings.warehouse, statuses) == query(undisturbed.warehouse, statuses)
    assert query(
        settings.warehouse, "select count(*) > 1, count(*) = count(distinct (run_id, snapshot_date)) from ledger.runs"
    ) == [(True, True)]
    files = f"read_parquet('{settings.published}/predictions/*.parquet')"
    for left_source, right_source in ((files, "predictions"), ("predictions", files)):
        only_left = query(settings.published_database, f"from {left_source} except all from {right_source}")
        assert only_left == [], "the published files are not the published table"
    assert list(leftovers(settings.home)) == []


def leftovers(home: Path) -> Iterator[Path]:
    """Half-written files that a run should have cleared away."""
    for folder in (home / "data" / "published", home / "data" / "models"):
        yield from (path for path in folder.rglob(".*") if path.suffix in (".tmp", ".new", ".old"))
