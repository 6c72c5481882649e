"""What a run says of itself: it is good only when what it is for was made."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import date, datetime
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest

from churn_pipeline.core.atomic import exclusive_lock
from churn_pipeline.core.errors import ChurnError, InputError, RefusedError
from churn_pipeline.core.run_ledger import RunRow
from churn_pipeline.core.settings import Settings
from churn_pipeline.delivery.announce import Problem
from churn_pipeline.orchestration.execute import _outcome, prepare_home
from churn_pipeline.orchestration.failures import problems
from churn_pipeline.orchestration.home import EXIT_CODE, expected_errors
from churn_pipeline.orchestration.liveness import GONE


def materialized(key: str) -> SimpleNamespace:
    return SimpleNamespace(
        is_step_materialization=True,
        asset_key=dg.AssetKey(key),
        is_step_failure=False,
        event_type_value="ASSET_MATERIALIZATION",
    )


def failed(
    step: str, description: str | None = None, exit_code: int | None = None, error: object = None
) -> SimpleNamespace:
    metadata = {} if exit_code is None else {EXIT_CODE: dg.MetadataValue.int(exit_code)}
    failure_data = SimpleNamespace(description=description, metadata=metadata) if description is not None else None
    return SimpleNamespace(
        is_step_materialization=False,
        is_step_failure=True,
        step_key=step,
        step_failure_data=SimpleNamespace(user_failure_data=failure_data, error=error),
        event_type_value="STEP_FAILURE",
    )


def job_failed(message: str) -> SimpleNamespace:
    return SimpleNamespace(
        is_step_materialization=False,
        is_step_failure=False,
        is_failure=True,
        event_type_value="PIPELINE_FAILURE",
        step_key=None,
        message=message,
        event_specific_data=SimpleNamespace(
            error=SimpleNamespace(message=message, cause=None, cls_name="DagsterError")
        ),
    )


def result(success: bool, *events: SimpleNamespace) -> SimpleNamespace:
    return SimpleNamespace(run_id="r", success=success, all_events=list(events))


def test_a_run_that_published_is_good() -> None:
    assert _outcome(result(True, materialized("published")), ["published"]).exit_code == 0


def test_a_green_run_that_published_nothing_is_not_good() -> None:
    for events in ([], [materialized("landing")]):
        outcome = _outcome(result(True, *events), ["published"])
        assert outcome.exit_code == 1
        assert "without publishing" in outcome.reason


def test_a_run_that_published_and_then_failed_is_not_good() -> None:
    outcome = _outcome(
        result(False, materialized("published"), failed("published_check", "2026-03-16: no", 2)), ["published"]
    )
    assert (outcome.exit_code, outcome.reason) == (2, "2026-03-16: no")


def test_a_failure_is_told_once_in_the_words_of_the_step() -> None:
    events = (
        failed("landing", "customers is missing", 2),
        job_failed("churn_pipeline.core.errors.InputError: customers is missing"),
    )
    outcome = _outcome(result(False, *events), ["published"])
    assert (outcome.exit_code, outcome.reason) == (2, "customers is missing")


def test_a_failure_outside_of_any_step_is_told_by_its_cause() -> None:
    engine = SimpleNamespace(message="IOException: lock\n", cause=None, cls_name="IOException")
    ours = SimpleNamespace(
        message="churn_pipeline.core.errors.LockedError: in use\n", cause=engine, cls_name="LockedError"
    )
    wrapped = job_failed("resource init failed")
    wrapped.event_specific_data.error.cause = ours
    assert _outcome(result(False, wrapped), ["published"]).reason == "in use"


def test_a_run_that_was_closed_because_it_died_is_told_by_what_was_said_of_it(tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:
        run = instance.create_run_for_job(dg.GraphDefinition(name="nothing").to_job())
        instance.report_run_failed(run, GONE)
        events = [entry.dagster_event for entry in instance.all_logs(run.run_id) if entry.dagster_event]
    assert problems(events) == [Problem(1, "run", GONE)]


def test_an_unexpected_error_names_its_step_and_its_kind_and_keeps_what_it_says_for_a_file() -> None:
    error = SimpleNamespace(
        message="ValueError: row 7\n", cause=None, cls_name="ValueError", to_string=lambda: "ValueError: row 7\nStack"
    )
    outcome = _outcome(result(False, failed("score", error=error)), ["published"])
    assert (outcome.exit_code, outcome.reason) == (1, "score: stopped by an error that it does not expect (ValueError)")
    assert outcome.details == "ValueError: row 7\nStack"


@pytest.mark.parametrize(("error", "code"), [(InputError("customers is missing"), 2), (RefusedError("no model"), 3)])
def test_an_expected_error_in_an_asset_fails_its_step_in_its_own_words_with_its_code_and_is_not_tried_again(
    tmp_path: Path, error: ChurnError, code: int
) -> None:
    @dg.asset(retry_policy=dg.RetryPolicy(max_retries=1))
    def landing() -> None:
        with expected_errors():
            raise error

    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:
        run = dg.materialize([landing], instance=instance, raise_on_error=False)
        assert problems(run.all_events) == [Problem(code, "landing", str(error))]
    assert not run.success
    assert not [event for event in run.all_events if event.is_step_up_for_retry]


def refused(day: int, reason: str, exit_code: int) -> RunRow:
    return RunRow("r", date(2026, 3, day), "as_of", "refused", 0, reason, exit_code, datetime(2026, 6, 29))


REFUSED = [refused(9, "no model", 3), refused(16, "usage is stale", 2)]
REFUSALS = "2026-03-09: no model; 2026-03-16: usage is stale"


def test_refused_mondays_are_told_once_with_the_largest_of_their_codes() -> None:
    outcome = _outcome(
        result(False, materialized("published"), failed("published", REFUSALS, 3)), ["published"], REFUSED
    )
    assert (outcome.exit_code, outcome.reason) == (3, REFUSALS)


def test_what_else_failed_is_told_beside_the_refused_mondays_and_its_code_wins() -> None:
    events = (materialized("published"), failed("published", REFUSALS, 3), failed("published_postgres", "is down", 1))
    outcome = _outcome(result(False, *events), ["published"], REFUSED)
    assert (outcome.exit_code, outcome.reason) == (1, f"{REFUSALS}; published_postgres: is down")


def test_a_new_home_has_dagsters_storage_before_any_of_its_programs_starts_made_by_one_process(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    settings.dagster_home.mkdir(parents=True)
    with ThreadPoolExecutor() as pool:
        with exclusive_lock(settings.dagster_home / "create.lock"):
            waiting = pool.submit(prepare_home, settings)
            with pytest.raises(TimeoutError):
                waiting.result(timeout=1)
            assert not settings.dagster_home.joinpath("history").exists()
        waiting.result(timeout=60)
    for name in ("history/runs.db", "history/runs/index.db", "schedules/schedules.db"):
        with closing(sqlite3.connect(settings.dagster_home / name)) as con:
            assert len(con.execute("select version_num from alembic_version").fetchall()) == 1, name
