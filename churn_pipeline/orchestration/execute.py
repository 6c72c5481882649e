"""Runs the Monday job in this process, the same job that the schedule starts, and says in one object how it ended."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from churn_pipeline.core import run_ledger
from churn_pipeline.core.atomic import PRIVATE_FOLDER, exclusive_lock, replace_bytes
from churn_pipeline.core.errors import InputError
from churn_pipeline.core.home import open_home
from churn_pipeline.core.permissions import make_private
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.warehouse import connect
from churn_pipeline.orchestration.instance import DAGSTER_YAML, HEAD

if TYPE_CHECKING:
    import dagster as dg

    from churn_pipeline.contract import Acceptance
    from churn_pipeline.scoring import level


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        exit_code: 0 when every Monday asked for is published; 2 bad input, 3 refused, 1 anything else. Where Mondays were refused and
            something else failed too, it is the code of that: somebody has to mend it.
        reason: one sentence for each thing that went wrong; empty when nothing did.
        mondays: what became of each Monday, as far as the run got; of a re-scoring only those that were refused.
        details: of errors that nobody expected. They may quote rows, so they are for a file.
        summary: what ``summarize`` made of the rest of this, before anybody else could write.
    """

    run_id: str
    exit_code: int
    reason: str
    mondays: tuple[run_ledger.RunRow, ...] = ()
    details: str = ""
    summary: Any = None


def prepare_home(settings: Settings, say: Callable[[str], None] | None = None) -> None:
    """Creates the home's directories and Dagster's configuration in it, and takes in a home that was moved or is of an older format.

    Args:
        settings: the home.
        say: called with a sentence when the home is changed to the current format, or is in use meanwhile.

    Raises:
        InputError: a newer version of this package wrote the home.
    """
    from churn_pipeline.modeling.registry import follow_home

    open_home(settings, "preparing the home", say)
    make_private(settings, say)
    for folder in (settings.mlflow_home, settings.dagster_home):
        folder.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
    config = settings.dagster_home / "dagster.yaml"
    if settings.dagster_config is not None:
        content = HEAD + _read_config(settings.dagster_config)
    elif not config.exists() or config.read_text(encoding="utf-8").startswith(HEAD):
        content = DAGSTER_YAML
    else:
        content = None
    if content is not None:
        # Dagster's other processes may be reading it, and would meet an empty one.
        replace_bytes(config, content.encode())
    if content == DAGSTER_YAML:
        _create_dagster_storage(settings.dagster_home)
    if settings.mlflow_tracking_uri is None:
        follow_home(settings.mlflow_database, settings.mlflow_artifacts)


def _create_dagster_storage(dagster_home: Path) -> None:
    """Dagster's programs create its SQLite files when they first look, and two that start together on a new home both do: it then has two
    schema revisions, and no program opens it again."""
    import dagster as dg

    with exclusive_lock(dagster_home / "create.lock"):
        if not (dagster_home / "history" / "runs.db").exists():
            with dg.DagsterInstance.from_config(str(dagster_home)):
                pass


def _read_config(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"CHURN_DAGSTER_CONFIG: {path} cannot be read: {error}") from None


def run_mondays(
    settings: Settings,
    first: date,
    last: date | None = None,
    progress: Callable[[str], None] | None = None,
    *,
    quiet: bool = False,
    acceptance: Acceptance | None = None,
    level_acceptance: level.Acceptance | None = None,
    summarize: Callable[[Outcome], Any] | None = None,
    **overrides: Any,
) -> Outcome:
    """Runs the Monday job for one Monday, or for all from ``first`` to ``last`` as one run.

    Args:
        settings: the home.
        first: a Monday.
        last: the last Monday of a range; ``first`` unless given.
        progress: called with a sentence as the run goes on.
        quiet: tell nobody in Slack.
        acceptance: whoever says that a book that jumps is right; of the files that are landed now.
        level_acceptance: whoever says that a mean probability which looks impossible is right; of these Mondays and their models.
        summarize: reads what is to be said of the run while the home's lock is still held: whoever waits for it writes over that.
        **overrides: resources for :func:`churn_pipeline.orchestration.definitions.build_defs`.
    """
    from churn_pipeline.delivery.announce import QUIET_TAG
    from churn_pipeline.orchestration.assets.landing import ACCEPT_TAG, ACCEPTED_BY_TAG
    from churn_pipeline.orchestration.assets.scores import ACCEPT_LEVEL_TAG
    from churn_pipeline.orchestration.definitions import JOB

    tags = {QUIET_TAG: "true"} if quiet else {}
    if acceptance is not None:
        tags |= {ACCEPT_TAG: acceptance.reason, ACCEPTED_BY_TAG: acceptance.who}
    if level_acceptance is not None:
        tags |= {ACCEPT_LEVEL_TAG: level_acceptance.reason, ACCEPTED_BY_TAG: level_acceptance.who}
    with _execute(settings, JOB, first, last, tags, progress, overrides) as result:
        run_rows: list[run_ledger.RunRow] = []
        if _got_the_lock(result):
            with connect(settings) as con:
                run_rows = run_ledger.of_run(con, result.run_id)
        refused = [row for row in run_rows if row.status == "refused"]
        outcome = replace(_outcome(result, ["published"], refused), mondays=tuple(run_rows))
        return replace(outcome, summary=summarize(outcome)) if summarize is not None else outcome


def rescore_mondays(
    settings: Settings,
    first: date,
    last: date,
    model: str,
    progress: Callable[[str], None] | None = None,
    *,
    summarize: Callable[[Outcome], Any] | None = None,
) -> Outcome:
    """Scores the Mondays from ``first`` to ``last`` again with a model of somebody's choice, into predictions_rescored.

    Each is judged by itself. Those that were refused are in the outcome, and not in the ledger of runs.

    Args:
        settings: the home.
        first: a Monday.
        last: the last Monday.
        model: as :func:`churn_pipeline.modeling.lifecycle.models_named` takes it.
        progress: called with a sentence as the run goes on.
        summarize: as for :func:`run_mondays`.
    """
    from churn_pipeline.core.run_state import is_own
    from churn_pipeline.orchestration.definitions import RESCORING_JOB
    from churn_pipeline.scoring import store

    config = {"ops": {"scoring__rescores": {"config": {"model": model}}}}
    with _execute(settings, RESCORING_JOB, first, last, {}, progress, {}, config) as result:
        refused: list[run_ledger.RunRow] = []
        if _got_the_lock(result):
            with connect(settings) as con:
                # A run that asked for a model that is not there has scored nothing.
                if is_own(con, "scores", result.run_id):
                    now = settings.clock().astimezone(UTC).replace(tzinfo=None)
                    refused = [
                        run_ledger.RunRow(
                            result.run_id,
                            row.snapshot_date,
                            store.RESCORED,
                            "refused",
                            0,
                            row.reason,
                            row.exit_code,
                            now,
                        )
                        for row in store.refusals(con, result.run_id)
                    ]
        outcome = replace(_outcome(result, ["published_rescored"]), mondays=tuple(refused))
        return replace(outcome, summary=summarize(outcome)) if summarize is not None else outcome


def train_monday(
    settings: Settings, monday: date, who: str, progress: Callable[[str], None] | None = None
) -> tuple[Outcome, list[dict[str, Any]]]:
    """Trains every target as of the training Monday of ``monday``, whether or not it has a model already.

    Args:
        settings: the home.
        monday: any Monday; its training Monday is the newest on the grid that is not after it.
        who: on whose behalf, for the ledger.
        progress: called with a sentence as the run goes on.

    Returns:
        How the run ended, and the ledger rows that it wrote.
    """
    from churn_pipeline.modeling import ledger
    from churn_pipeline.orchestration.assets.models import FORCE_TAG
    from churn_pipeline.orchestration.definitions import TRAINING_JOB

    with _execute(settings, TRAINING_JOB, monday, None, {FORCE_TAG: who}, progress, {}) as result:
        rows: list[dict[str, Any]] = []
        if _got_the_lock(result):
            with connect(settings) as con:
                rows = [asdict(row) for row in ledger.history(con) if row.run_id == result.run_id]
        return _outcome(result, []), rows


@contextmanager
def _execute(
    settings: Settings,
    job_name: str,
    first: date,
    last: date | None,
    tags: dict[str, str],
    progress: Callable[[str], None] | None,
    overrides: dict[str, Any],
    config: Mapping[str, Any] | None = None,
) -> Iterator[dg.ExecuteInProcessResult]:
    """Runs a job, and holds the home's lock for as long as what it gives is in use: what is said of a run is read before the next one writes.
    Slack is told when the lock is free again."""
    import dagster as dg

    from churn_pipeline.delivery import announce
    from churn_pipeline.modeling.device import ensure_there
    from churn_pipeline.orchestration.dbt import InProcessDbt
    from churn_pipeline.orchestration.definitions import JOB, build_defs
    from churn_pipeline.orchestration.failures import problems
    from churn_pipeline.orchestration.home import home_resource
    from churn_pipeline.orchestration.liveness import close_dead_runs
    from churn_pipeline.orchestration.records import kept_open

    ensure_there(settings.device)
    prepare_home(settings, progress)
    where: dict[str, Any] = {"partition_key": first.isoformat(), "tags": tags}
    if last is not None and last != first:
        span = {"start": first.isoformat(), "end": last.isoformat()}
        where = {"tags": tags | {f"dagster/asset_partition_range_{edge}": day for edge, day in span.items()}}
    with ExitStack() as lock:
        with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance, kept_open(instance):
            close_dead_runs(instance, settings)
            resources = {"home": home_resource(settings, InProcessDbt(settings), lock), **overrides}
            loggers = {"progress": _progress_logger(progress)}
            job = build_defs(settings, loggers=loggers, **resources).resolve_job_def(job_name)
            result = job.execute_in_process(
                instance=instance,
                raise_on_error=False,
                run_config={"loggers": {"progress": {}}, **(config or {})},
                **where,
            )
        yield result
    monday = announce.notifiable_monday(settings, result.dagster_run.tags) if job_name == JOB else None
    if monday is not None:
        delivery = (
            announce.announce_success(settings, monday)
            if result.success
            else announce.announce_failure(settings, monday, result.run_id, problems(result.all_events))
        )
        if progress is not None and delivery.state != "nothing":
            progress(str(delivery))


def _got_the_lock(result: dg.ExecuteInProcessResult) -> bool:
    """Whether a run has done anything. One that never got the home's lock has said nothing of any Monday, and asking the warehouse would
    wait for the same holder again."""
    return any(event.event_type_value == "STEP_START" for event in result.all_events)


def _outcome(
    result: dg.ExecuteInProcessResult, must_materialize: list[str], refused: Sequence[run_ledger.RunRow] = ()
) -> Outcome:
    """A run is good when it says so and what it is for was made: skipped steps leave a run green.

    Refused Mondays are told first, then what else failed.
    """
    from churn_pipeline.delivery.announce import Problem
    from churn_pipeline.orchestration.failures import problems

    made = {
        event.asset_key.to_user_string()
        for event in result.all_events
        if event.is_step_materialization and event.asset_key
    }
    refusals = run_ledger.format_refusals(refused)
    if result.success and not refused and made.issuperset(must_materialize):
        return Outcome(result.run_id, 0, "")
    # The step that fails for them says of the refusals what the ledger says.
    other_problems = [problem for problem in problems(result.all_events) if problem.what != refusals]
    if not other_problems and not refused:
        other_problems = [Problem(1, "run", "the run ended without publishing anything and without saying why")]
    # One fault of the machine makes several steps fail, and is told once.
    distinct: dict[str, str] = {}
    for problem in other_problems:
        distinct.setdefault(str(problem) if problem.details else problem.what, str(problem))
    messages = [*([refusals] if refused else []), *distinct.values()]
    exit_code = other_problems[0].exit_code if other_problems else max(row.exit_code for row in refused)
    details = "\n".join(problem.details for problem in other_problems if problem.details)
    return Outcome(result.run_id, exit_code, "; ".join(messages), details=details)


def _progress_logger(progress: Callable[[str], None] | None) -> dg.LoggerDefinition:
    """Tells a person how the run goes, instead of every event of it: which step starts, and what the steps themselves say."""
    import dagster as dg

    class Relay(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if progress is None:
                return
            event = getattr(record, "dagster_event", None)
            meta = getattr(record, "dagster_meta", {})
            if event is not None:
                if event.event_type_value == "STEP_START":
                    progress(event.step_key.replace("__", " "))
            # Dagster itself logs skipped steps as errors; what failed is said once, at the end.
            elif logging.INFO <= record.levelno <= logging.WARNING:
                progress(f"  {meta.get('orig_message', record.getMessage())}")

    def create(_: dg.InitLoggerContext) -> logging.Logger:
        logger = logging.Logger("churn_progress", logging.DEBUG)
        logger.addHandler(Relay())
        return logger

    return dg.LoggerDefinition(create)
