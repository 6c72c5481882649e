"""What the daemon tells of, and what it leaves to later runs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import pytest

from churn_pipeline.core.settings import Settings
from churn_pipeline.delivery import announce
from churn_pipeline.delivery.slack.notify import Delivery
from churn_pipeline.orchestration import sensors

MONDAY = date(2026, 11, 16)
TAGS = {"dagster/partition": str(MONDAY)}
JOB = dg.GraphDefinition(name="monday_run").to_job()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", now=datetime(2026, 11, 16, 9, tzinfo=UTC))


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as ephemeral:
        yield ephemeral


@pytest.fixture
def announced(monkeypatch: pytest.MonkeyPatch) -> list[tuple]:
    """What was announced, in order."""
    announced: list[tuple] = []

    def failure(_: Settings, monday: date, run_id: str, problems: list[announce.Problem]) -> Delivery:
        announced.append(("failure", monday, [problem.what for problem in problems]))
        return Delivery("sent")

    def success(_: Settings, monday: date) -> Delivery:
        announced.append(("success", monday))
        return Delivery("sent")

    monkeypatch.setattr(announce, "announce_failure", failure)
    monkeypatch.setattr(announce, "announce_success", success)
    return announced


def started(instance: dg.DagsterInstance, tags: dict[str, str] | None = None) -> dg.DagsterRun:
    run = instance.create_run_for_job(JOB, tags=TAGS if tags is None else tags)
    instance.handle_new_event(_event(run, dg.DagsterEventType.RUN_START))
    return instance.get_run_by_id(run.run_id)  # type: ignore[return-value]


def _event(run: dg.DagsterRun, kind: dg.DagsterEventType) -> dg.EventLogEntry:
    return dg.EventLogEntry(
        error_info=None,
        level=20,
        user_message="",
        run_id=run.run_id,
        timestamp=datetime(2026, 11, 16, 8, tzinfo=UTC).timestamp(),
        job_name=run.job_name,
        dagster_event=dg.DagsterEvent(kind.value, run.job_name),
    )


def test_a_run_that_was_killed_is_told_of_once_and_a_killed_backfill_is_not(
    instance: dg.DagsterInstance, settings: Settings, announced: list[tuple]
) -> None:
    started(instance)
    started(instance, TAGS | {"dagster/backfill": "b"})
    sensor = sensors.dead_runs(settings, JOB)
    with dg.build_sensor_context(instance=instance) as context:
        assert "closed" in str(sensor(context).skip_message)  # type: ignore[union-attr]
        assert "has a process" in str(sensor(context).skip_message)  # type: ignore[union-attr]
    assert announced == [("failure", MONDAY, [sensors.GONE])]


@pytest.mark.parametrize("later", [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE])
def test_what_a_later_run_has_overtaken_is_told_no_more(
    instance: dg.DagsterInstance, later: dg.DagsterRunStatus
) -> None:
    first = started(instance)
    assert not sensors._overtaken(instance, first, later)
    second = started(instance)
    kinds = {
        dg.DagsterRunStatus.SUCCESS: dg.DagsterEventType.RUN_SUCCESS,
        dg.DagsterRunStatus.FAILURE: dg.DagsterEventType.RUN_FAILURE,
    }
    instance.handle_new_event(_event(second, kinds[later]))
    assert sensors._overtaken(instance, first, later)
    assert not sensors._overtaken(instance, second, later)
    other = {status for status in kinds if status != later}.pop()
    assert not sensors._overtaken(instance, first, other)
