"""Runs the Monday job in this process, the same job that the schedule starts, and says in one object how it ended."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from churn_pipeline.delivery import runs
from churn_pipeline.settings import Settings
from churn_pipeline.warehouse import connect

if TYPE_CHECKING:
    import dagster as dg

# Dagster keeps its own state in the home too, tells nobody about it, and starts one run at a time.
_DAGSTER_YAML = """\
telemetry:
  enabled: false
concurrency:
  runs:
    max_concurrent_runs: 1
compute_logs:
  module: dagster._core.storage.noop_compute_log_manager
  class: NoOpComputeLogManager
"""


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        exit_code: 0 when every Monday asked for is published; 2 bad input, 3 refused, 1 anything else.
        reason: one sentence for each thing that went wrong; empty when nothing did.
    """

    run_id: str
    exit_code: int
    reason: str


def prepare_home(settings: Settings) -> None:
    """Creates the home's directories and Dagster's configuration in it."""
    for folder in (settings.data, settings.mlflow_home, settings.dagster_home):
        folder.mkdir(parents=True, exist_ok=True)
    config = settings.dagster_home / "dagster.yaml"
    if not config.exists():
        config.write_text(_DAGSTER_YAML, encoding="utf-8")


def run_mondays(
    settings: Settings,
    first: date,
    last: date | None = None,
    progress: Callable[[str], None] | None = None,
    **overrides: Any,
) -> Outcome:
    """Runs the Monday job for one Monday, or for all from ``first`` to ``last`` as one run.

    Args:
        settings: the home.
        first: a Monday.
        last: the last Monday of a range; ``first`` unless given.
        progress: called with a sentence as the run goes on.
        **overrides: resources for :func:`churn_pipeline.definitions.build_defs`.
    """
    import dagster as dg

    from churn_pipeline.definitions import JOB, build_defs

    prepare_home(settings)
    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        job = build_defs(settings, loggers={"progress": _progress_logger(progress)}, **overrides).resolve_job_def(JOB)
        if last is None or last == first:
            where: dict[str, Any] = {"partition_key": first.isoformat()}
        else:
            where = {
                "tags": {
                    "dagster/asset_partition_range_start": first.isoformat(),
                    "dagster/asset_partition_range_end": last.isoformat(),
                }
            }
        result = job.execute_in_process(
            instance=instance,
            raise_on_error=False,
            run_config={"loggers": {"progress": {}}},
            **where,
        )
        return _outcome(settings, result)


def _outcome(settings: Settings, result: dg.ExecuteInProcessResult) -> Outcome:
    from churn_pipeline.assets.common import PUBLISHED

    with connect(settings) as con:
        refused = runs.refusals(con, result.run_id)
    published = any(event.is_step_materialization and event.asset_key == PUBLISHED for event in result.all_events)
    if result.success and published and not refused:
        return Outcome(result.run_id, 0, "")
    if refused:
        reason = "; ".join(f"{row.snapshot_date}: {row.reason}" for row in refused)
        return Outcome(result.run_id, max(row.exit_code for row in refused), reason)
    failures = list(_failures(result))
    if not failures:
        failures = [(1, "the run ended without publishing anything and without saying why")]
    return Outcome(result.run_id, failures[0][0], "; ".join(dict.fromkeys(text for _, text in failures)))


def _failures(result: dg.ExecuteInProcessResult) -> Iterator[tuple[int, str]]:
    """Exit code and message of everything that failed: first what said so itself, then what broke."""
    from churn_pipeline.resources.home import EXIT_CODE

    for event in result.all_events:
        if event.is_step_failure:
            data = event.step_failure_data
            if data.user_failure_data is not None:
                found = data.user_failure_data.metadata.get(EXIT_CODE)
                yield (int(str(found.value)) if found is not None else 1, data.user_failure_data.description or "")
            elif data.error is not None:
                yield 1, f"{event.step_key}: {_root(data.error)}"
        elif event.is_failure and event.event_type_value == "PIPELINE_FAILURE" and event.job_failure_data.error:
            yield 1, _root(event.job_failure_data.error)


def _root(error: Any) -> str:
    while error.cause is not None:
        error = error.cause
    return str(error.message).strip()


def _progress_logger(progress: Callable[[str], None] | None) -> dg.LoggerDefinition:
    """Tells a person how the run goes, instead of every event of it: which step starts, and what the steps themselves say."""
    import dagster as dg

    class Relay(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if progress is None:
                return
            event = getattr(record, "dagster_event", None)
            if event is None:
                progress(str(getattr(record, "dagster_meta", {}).get("orig_message", record.getMessage())))
            elif event.event_type_value == "STEP_START":
                progress(f"{event.step_key} ...")

    def create(_: dg.InitLoggerContext) -> logging.Logger:
        logger = logging.Logger("churn_progress", logging.INFO)
        logger.addHandler(Relay())
        return logger

    return dg.LoggerDefinition(create)
