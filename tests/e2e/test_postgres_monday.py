"""A Monday whose PostgreSQL is down: the run is red, the list is out, and it can be completed from there."""

from __future__ import annotations

import dagster as dg
import psycopg
import pytest
from pydantic import SecretStr

from churn_pipeline.core.settings import Settings
from churn_pipeline.delivery.postgres.channel import POSTGRES
from churn_pipeline.delivery.postgres.publish import publish
from churn_pipeline.orchestration.definitions import JOB, build_defs
from churn_pipeline.orchestration.execute import run_mondays
from churn_pipeline.orchestration.keys import channel_key
from tests.conftest import TINY_BEFORE, TINY_MONDAY
from tests.support.homes import query
from tests.support.postgres import Cluster, Database
from tests.support.processes import environment

WEEKS = "select snapshot_date, count(*), max(run_id) from {}predictions group by 1 order by 1"


def monday_job() -> dg.JobDefinition:
    """What the code server would load, with the settings of the environment."""
    return build_defs().resolve_job_def(JOB)


def in_postgres(database: Database) -> list[tuple]:
    with psycopg.connect(database.url) as con:
        return con.execute(WEEKS.format("churn.")).fetchall()


def said(instance: dg.DagsterInstance, run_id: str) -> dict[str, dg.MetadataValue]:
    """The metadata of published_postgres in a run."""
    (metadata,) = [
        entry.dagster_event.step_materialization_data.materialization.metadata
        for entry in instance.all_logs(run_id)
        if entry.dagster_event is not None
        and entry.dagster_event.is_step_materialization
        and entry.dagster_event.asset_key == channel_key(POSTGRES)
    ]
    return dict(metadata)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_with_postgresql_down_the_run_is_red_the_list_is_out_and_reexecuting_from_failure_completes_it(
    tiny_copy: Settings, postgres: Cluster, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tiny_copy.model_copy(update={"publish_url": SecretStr(database.url)})
    settings = Settings(**settings.model_dump(include={*tiny_copy.model_fields_set, "publish_url"}))
    publish(database.url, settings)
    before = in_postgres(database)
    assert [day for day, *_ in before] == [TINY_BEFORE]

    postgres.stop()
    try:
        outcome = run_mondays(settings, TINY_MONDAY)
    finally:
        postgres.start()
    assert outcome.exit_code == 1
    assert f"PostgreSQL at 127.0.0.1:{postgres.port}/{database.name}: " in outcome.reason
    assert database.password not in outcome.reason
    listed = query(settings.published_database, WEEKS.format(""))
    assert [day for day, *_ in listed] == [TINY_BEFORE, TINY_MONDAY]
    assert in_postgres(database) == before

    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)
    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        failed = instance.get_run_by_id(outcome.run_id)
        logs = "\n".join(entry.to_json() for entry in instance.all_logs(outcome.run_id))
        assert database.password not in logs
        result = dg.execute_job(
            dg.reconstructable(monday_job),
            instance=instance,
            tags={name: value for name, value in failed.tags.items() if not name.startswith(".")},
            reexecution_options=dg.ReexecutionOptions.from_failure(outcome.run_id, instance),
        )
        assert result.success
        assert {event.step_key for event in result.all_events if event.is_step_success} == {"published_postgres"}
        assert "127.0.0.1" in str(said(instance, result.run_id)["PostgreSQL"].value)
    assert in_postgres(database) == listed
    with psycopg.connect(database.url) as con:
        assert con.execute(
            "select cause, published_by_run, run_id from churn.publications where snapshot_date = %s", [TINY_MONDAY]
        ).fetchall() == [("asked for", result.run_id, outcome.run_id)]


def test_without_an_address_the_run_is_green_and_says_that_postgresql_is_not_configured(tiny_home: Settings) -> None:
    with dg.DagsterInstance.from_config(str(tiny_home.dagster_home)) as instance:
        (run,) = [run for run in instance.get_runs() if run.job_name == JOB]
        assert run.is_success
        assert said(instance, run.run_id)["PostgreSQL"].value == "not configured: CHURN_PUBLISH_URL is not set"
