"""dbt's own unit tests, which Dagster does not run."""

from __future__ import annotations

import shutil
from pathlib import Path

from churn_pipeline.core.settings import Settings
from churn_pipeline.orchestration.dbt import InProcessDbt


def test_every_dbt_unit_test_passes(scored_home: Settings, tmp_path: Path) -> None:
    # On a copy: dbt reads column types from a warehouse that has been built.
    shutil.copytree(scored_home.data, tmp_path / "data", ignore=shutil.ignore_patterns("published", "dagster"))
    results = InProcessDbt(scored_home.model_copy(update={"home": tmp_path})).unit_tests()
    assert len(results) >= 7
    assert {name: message for name, message in results.items() if message} == {}
