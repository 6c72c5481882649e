"""How a run ended, read from Dagster's events: what failed, in words for a person, and which exit code that is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from churn_pipeline.core import faults
from churn_pipeline.core.errors import ChurnError
from churn_pipeline.delivery.announce import Problem
from churn_pipeline.orchestration.home import EXIT_CODE

if TYPE_CHECKING:
    import dagster as dg


def problems(events: Iterable[dg.DagsterEvent]) -> list[Problem]:
    """Everything that failed in a run, in the order in which it happened."""
    all_problems: list[Problem] = []
    # Dagster says of a blocking check only that it failed; why stands in its evaluation.
    reasons: dict[str | None, list[Problem]] = {}
    for event in events:
        if event.event_type_value == "ASSET_CHECK_EVALUATION":
            check = event.asset_check_evaluation_data
            if not check.passed and check.description:
                code = check.metadata.get(EXIT_CODE)
                problem = Problem(int(str(code.value)) if code is not None else 1, _step(event), check.description)
                reasons.setdefault(event.step_key, []).append(problem)
        elif event.is_step_failure:
            data = event.step_failure_data
            user_failure = data.user_failure_data
            if user_failure is not None:
                code = user_failure.metadata.get(EXIT_CODE)
                what = user_failure.description or ""
                if code is None:
                    # dbt tells of a full disk at length.
                    what = faults.in_words("", what) or " ".join(what.split())
                all_problems.append(Problem(int(str(code.value)) if code is not None else 1, _step(event), what))
            elif data.error is not None and data.error.cls_name == "DagsterAssetCheckFailedError":
                all_problems += reasons.get(event.step_key) or [Problem(1, _step(event), data.error.message.strip())]
            elif data.error is not None:
                all_problems.append(_problem(_step(event), data.error))
        # The job fails with the error of the step that failed; alone it speaks of what broke between steps, such as the lock.
        elif not all_problems and event.event_type_value == "PIPELINE_FAILURE":
            # A run that was closed because its process is gone carries a message and no data.
            failure = event.event_specific_data
            error = getattr(failure, "error", None)
            all_problems.append(
                _problem("run", error) if error else Problem(1, "run", event.message or "the run failed")
            )
    return all_problems


def _step(event: dg.DagsterEvent) -> str:
    return (event.step_key or "run").replace("__", " ")


def _problem(subject: str, error: Any) -> Problem:
    """What to tell a person: the first error of ours, which says what to do, else what is wrong with the machine, else of which kind the
    error is that the others come from. What that one says of itself may quote a row, and goes with the details."""
    ours = {kind.__name__ for kind in _and_subclasses(ChurnError)}
    chain = [error]
    while chain[-1].cause is not None:
        chain.append(chain[-1].cause)
    for cause in chain:
        if cause.cls_name in ours:
            return Problem(1, subject, str(cause.message).strip().partition(": ")[2])
    for cause in chain:
        if words := faults.in_words(cause.cls_name or "", str(cause.message)):
            return Problem(1, subject, words)
    kind = chain[-1].cls_name or "error"
    return Problem(1, subject, f"stopped by an error that it does not expect ({kind})", error.to_string())


def _and_subclasses(kind: type) -> Iterator[type]:
    yield kind
    for subclass in kind.__subclasses__():
        yield from _and_subclasses(subclass)
