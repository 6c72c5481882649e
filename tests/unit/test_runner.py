"""What a run says of itself: it is good only when what it is for was made."""

from __future__ import annotations

from types import SimpleNamespace

import dagster as dg

from churn_pipeline.resources.home import EXIT_CODE
from churn_pipeline.runner import _outcome


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
    said = SimpleNamespace(description=description, metadata=metadata) if description is not None else None
    return SimpleNamespace(
        is_step_materialization=False,
        is_step_failure=True,
        step_key=step,
        step_failure_data=SimpleNamespace(user_failure_data=said, error=error),
        event_type_value="STEP_FAILURE",
    )


def job_failed(message: str) -> SimpleNamespace:
    return SimpleNamespace(
        is_step_materialization=False,
        is_step_failure=False,
        is_failure=True,
        event_type_value="PIPELINE_FAILURE",
        job_failure_data=SimpleNamespace(error=SimpleNamespace(message=message, cause=None)),
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
        job_failed("churn_pipeline.errors.InputError: customers is missing"),
    )
    outcome = _outcome(result(False, *events), ["published"])
    assert (outcome.exit_code, outcome.reason) == (2, "customers is missing")


def test_a_failure_outside_of_any_step_is_told_by_its_cause() -> None:
    error = SimpleNamespace(message="LockedError: in use\n", cause=None)
    wrapped = job_failed("resource init failed")
    wrapped.job_failure_data.error.cause = error
    assert _outcome(result(False, wrapped), ["published"]).reason == "LockedError: in use"


def test_an_unexpected_error_names_its_step() -> None:
    error = SimpleNamespace(message="ValueError: 7\n", cause=None)
    outcome = _outcome(result(False, failed("score", error=error)), ["published"])
    assert (outcome.exit_code, outcome.reason) == (1, "score: ValueError: 7")
