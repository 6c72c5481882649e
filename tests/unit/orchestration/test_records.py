"""Dagster's record of a run while its files stay open."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa

from churn_pipeline.orchestration.instance import DAGSTER_YAML
from churn_pipeline.orchestration.records import kept_open

RUN = "00000000-0000-4000-8000-000000000001"
KEY = dg.AssetKey("many")
REPORTS = 20

# Reports under an open record, and is killed before it can close it.
KILLED = f"""
import os, signal, sys
import dagster as dg
from churn_pipeline.orchestration.records import kept_open

@dg.asset
def many(context):
    for number in range({REPORTS}):
        context.log_event(dg.AssetMaterialization("many", metadata={{"number": number}}))
    os.kill(os.getpid(), signal.SIGKILL)

with dg.DagsterInstance.from_config(sys.argv[1]) as instance, kept_open(instance):
    job = dg.Definitions(assets=[many]).resolve_implicit_global_asset_job_def()
    job.execute_in_process(instance=instance, run_id="{RUN}")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "dagster.yaml").write_text(DAGSTER_YAML, encoding="utf-8")
    return tmp_path


@pytest.fixture
def openings() -> Iterator[Callable[[], int]]:
    """How often SQLite files were opened so far."""
    opened: list[object] = []

    def note(*_: object) -> None:
        opened.append(None)

    sa.event.listen(sa.Engine, "connect", note)
    yield lambda: len(opened)
    sa.event.remove(sa.Engine, "connect", note)


def run(instance: dg.DagsterInstance, look: Callable[[], None] = lambda: None) -> None:
    @dg.asset(key=KEY)
    def many(context: dg.AssetExecutionContext) -> None:
        for number in range(REPORTS):
            context.log_event(dg.AssetMaterialization(KEY, metadata={"number": number}))
        look()

    job = dg.Definitions(assets=[many]).resolve_implicit_global_asset_job_def()
    assert job.execute_in_process(instance=instance, run_id=RUN).success


def told(instance: dg.DagsterInstance) -> tuple[list[str], list[object]]:
    """The events of the run in its own file, and the reports in the one over all runs, oldest first."""
    events = [str(log.dagster_event.event_type_value) for log in instance.all_logs(RUN) if log.dagster_event]
    reports = instance.fetch_materializations(KEY, limit=100, ascending=True).records
    return events, [
        report.asset_materialization.metadata.get("number") for report in reports if report.asset_materialization
    ]


def test_a_record_that_stays_open_tells_the_same_as_any_other_and_no_event_opens_it_anew(
    tmp_path: Path, openings: Callable[[], int]
) -> None:
    seen = {}
    for way in ("as Dagster does", "kept open"):
        folder = tmp_path / way
        folder.mkdir()
        (folder / "dagster.yaml").write_text(DAGSTER_YAML, encoding="utf-8")
        with dg.DagsterInstance.from_config(str(folder)) as instance:
            before = openings()
            if way == "kept open":
                with kept_open(instance), kept_open(instance):
                    run(instance)
            else:
                run(instance)
            opened = openings() - before
            # Whoever closes a record last moves its log into it.
            assert not list(folder.rglob("*.db-wal"))
            seen[way] = told(instance), opened
    (theirs, often), (ours, seldom) = seen.values()
    assert ours == theirs
    assert len(ours[1]) == REPORTS + 1
    # Dagster opens both files for each report.
    assert often - seldom > 2 * REPORTS


def test_others_read_a_record_while_it_is_kept_open(folder: Path) -> None:
    reports = []

    def look() -> None:
        with dg.DagsterInstance.from_config(str(folder)) as other:
            reports.append(told(other)[1])

    with dg.DagsterInstance.from_config(str(folder)) as instance, kept_open(instance):
        run(instance, look)
    assert [len(numbers) for numbers in reports] == [REPORTS]


def test_what_a_run_told_before_it_was_killed_is_in_its_record(folder: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", KILLED, str(folder)], capture_output=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr[-1000:].decode()
    assert list((folder / "history" / "runs").glob("*.db-wal"))
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        events, reports = told(instance)
    assert len(reports) == events.count("ASSET_MATERIALIZATION") == REPORTS
