"""Invariant 1: everything computed for S is the same whether the raw data ends at S or goes on for years."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from churn_pipeline.core.settings import Settings
from churn_pipeline.features.plan import MARTS
from churn_pipeline.orchestration.execute import run_mondays
from tests.conftest import MONDAY, Company
from tests.support.homes import PER_RUN, differences
from tests.support.truncation import truncate


def assert_no_future(full: Settings, truncated: Settings, monday: date) -> dict[str, tuple[int, int]]:
    """Compares every column of every mart and of the predictions, and says how much was compared."""
    compared = {}
    for relation in [f"marts.{mart}" for mart in MARTS] + ["policy.predictions", "monitoring.drift", "scoring.levels"]:
        comparison = differences(
            full.warehouse, truncated.warehouse, relation, f"snapshot_date <= date '{monday}'", without=PER_RUN
        )
        assert comparison["rows"] > 0
        assert (comparison["only_left"], comparison["only_right"]) == (0, 0), (relation, comparison)
        compared[relation] = (comparison["rows"], comparison["columns"])
    return compared


@pytest.mark.long
@pytest.mark.timeout(600)
def test_nothing_of_a_simulated_monday_changes_when_its_future_is_cut_off(
    company: Company, scored_home: Settings, home_at: Callable[..., Settings], tmp_path: Path
) -> None:
    dropped = truncate(company.raw, tmp_path / "raw", MONDAY)
    assert dropped["usage_events"] > 10_000
    assert dropped["plan_changes"] > 10

    truncated = home_at(tmp_path / "raw", MONDAY)
    # The clock of the truncated home stands at that Monday, which makes its run a live one; the answer must not know.
    outcome = run_mondays(truncated, MONDAY)
    assert outcome.exit_code == 0, outcome.reason

    compared = assert_no_future(scored_home, truncated, MONDAY)
    print(compared)


@pytest.mark.long
@pytest.mark.nightly
@pytest.mark.parametrize("monday", [date(2014, 12, 1)])
def test_nothing_of_a_real_monday_changes_when_its_future_is_cut_off(
    oulad: Path, home_at: Callable[..., Settings], tmp_path: Path, monday: date
) -> None:
    truncate(oulad, tmp_path / "raw", monday)
    full, truncated = home_at(oulad, date(2015, 7, 20)), home_at(tmp_path / "raw", date(2015, 7, 20))
    for settings in (full, truncated):
        outcome = run_mondays(settings, monday)
        assert outcome.exit_code == 0, outcome.reason
    print(assert_no_future(full, truncated, monday))
