"""What the daemon tells of, and what it leaves to later runs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from importlib.metadata import version
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

from churn_pipeline.core.settings import Settings
from churn_pipeline.delivery import announce
from churn_pipeline.delivery.slack.notify import Delivery
from churn_pipeline.orchestration import sensors
from churn_pipeline.orchestration.home import PARTITION_TAG
from churn_pipeline.orchestration.liveness import close_dead_runs, lock_of
from churn_pipeline.orchestration.own_runs import HOME_TAG, run_tags

MONDAY = date(2026, 11, 16)
TAGS = {PARTITION_TAG: str(MONDAY)}
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


def started(
    instance: dg.DagsterInstance,
    tags: dict[str, str] | None = None,
    location: str | None = None,
    home: Path | None = None,
) -> dg.DagsterRun:
    """A run that began hours ago.

    Args:
        instance: where it is recorded.
        tags: of the run; those of the Monday unless given.
        location: the code location that it was launched from; None for a run of the shell.
        home: what it says that it works on; None where it says nothing.
    """
    tags = (TAGS if tags is None else tags) | ({HOME_TAG: str(home)} if home else {})
    origin = _origin(location, JOB.name) if location else None
    run = instance.create_run_for_job(JOB, tags=tags, remote_job_origin=origin)
    instance.handle_new_event(_event(run, dg.DagsterEventType.RUN_START))
    return instance.get_run_by_id(run.run_id)  # type: ignore[return-value]


def _location(name: str) -> GrpcServerCodeLocationOrigin:
    return GrpcServerCodeLocationOrigin(host="code", port=4000, location_name=name)


def _origin(location: str, job: str) -> RemoteJobOrigin:
    return RemoteJobOrigin(RemoteRepositoryOrigin(_location(location), "__repository__"), job)


def status(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRunStatus:
    return instance.get_run_by_id(run.run_id).status  # type: ignore[union-attr]


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
    started(instance, home=settings.home)
    started(instance, TAGS | {"dagster/backfill": "b"}, home=settings.home)
    sensor = sensors.dead_runs(settings, JOB)
    with dg.build_sensor_context(instance=instance) as context:
        assert "closed" in str(sensor(context).skip_message)  # type: ignore[union-attr]
        assert "has a process" in str(sensor(context).skip_message)  # type: ignore[union-attr]
    assert announced == [("failure", MONDAY, [sensors.GONE])]


def test_on_a_shared_instance_only_runs_of_this_home_launched_from_this_code_location_are_closed(
    settings: Settings, tmp_path: Path, announced: list[tuple]
) -> None:
    """What others run is theirs: another code location, with jobs of the same name too; another home with the same code; another shell."""
    with dg.DagsterInstance.local_temp(str(tmp_path)) as shared:
        others = [
            started(shared, location="finance"),
            started(shared, {}, location="finance"),
            started(shared, location="finance", home=settings.home),
            started(shared, location="churn", home=tmp_path / "another home"),
            started(shared, home=tmp_path / "another home"),
            started(shared),
        ]
        own = [
            started(shared, location="churn", home=settings.home),
            # The asset graph's, or an older version's, before its first step.
            started(shared, {}, location="churn"),
            started(shared, home=settings.home),
        ]
        before_tags = started(shared)
        lock_of(settings, before_tags.run_id).parent.mkdir(parents=True)
        lock_of(settings, before_tags.run_id).touch()
        context = dg.build_sensor_context(instance=shared)
        context._code_location_origin = _location("churn")  # type: ignore[attr-defined]
        with context:
            sensors.dead_runs(settings, JOB)(context)
        assert {status(shared, run) for run in others} == {dg.DagsterRunStatus.STARTED}
        assert {status(shared, run) for run in (*own, before_tags)} == {dg.DagsterRunStatus.FAILURE}


def test_the_shell_closes_no_run_of_a_code_location_that_never_began_in_its_home_nor_any_without_a_lock_on_a_shared_instance(
    settings: Settings, tmp_path: Path
) -> None:
    shares = settings.model_copy(update={"dagster_config": tmp_path / "dagster.yaml"})
    with dg.DagsterInstance.local_temp(str(tmp_path)) as shared:
        launched = started(shared, location="churn", home=settings.home)
        in_another_container = started(shared, home=settings.home)
        assert close_dead_runs(shared, shares) == []
        lock_of(settings, in_another_container.run_id).parent.mkdir(parents=True)
        lock_of(settings, in_another_container.run_id).touch()
        assert [run.run_id for run in close_dead_runs(shared, shares)] == [in_another_container.run_id]
        assert status(shared, launched) == dg.DagsterRunStatus.STARTED


def test_a_run_says_which_engine_home_and_version_it_is_of(settings: Settings) -> None:
    assert run_tags(settings) == {
        "churn/engine": "duckdb",
        "churn/home": str(settings.home),
        "churn/version": version("churn-pipeline"),
    }


@pytest.mark.parametrize("later", [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE])
def test_what_a_later_run_has_overtaken_is_told_no_more(
    instance: dg.DagsterInstance, settings: Settings, later: dg.DagsterRunStatus
) -> None:
    first = started(instance, home=settings.home)
    assert not sensors._overtaken(instance, settings, first, later)
    elsewhere = started(instance, home=settings.home / "another")
    second = started(instance, home=settings.home)
    kinds = {
        dg.DagsterRunStatus.SUCCESS: dg.DagsterEventType.RUN_SUCCESS,
        dg.DagsterRunStatus.FAILURE: dg.DagsterEventType.RUN_FAILURE,
    }
    instance.handle_new_event(_event(elsewhere, kinds[later]))
    assert not sensors._overtaken(instance, settings, first, later)
    instance.handle_new_event(_event(second, kinds[later]))
    assert sensors._overtaken(instance, settings, first, later)
    assert not sensors._overtaken(instance, settings, second, later)
    other = {status for status in kinds if status != later}.pop()
    assert not sensors._overtaken(instance, settings, first, other)
