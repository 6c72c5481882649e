"""Which runs still have a process.

Dagster notes that a run began and waits to be told how it ended. After a kill -9 or a power cut nobody tells it: the run stays
"started" for ever and, with one run at a time, the queue waits for it for ever. So every run holds a lock that dies with its process,
and runs without their process are closed as failed before the next one begins.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from churn_pipeline.core.atomic import PRIVATE_FOLDER, temp_path
from churn_pipeline.core.settings import Settings

if TYPE_CHECKING:
    import dagster as dg

GONE = "The process of this run is gone (killed, or the machine went down). Nothing has to be cleaned up: launch the run again."
# A run takes its lock in its first second or two, after the imports of its process. One that has none after this time never got there.
_GRACE = timedelta(minutes=3)
# A run gives its lock back when its last step is done, and Dagster hears of its end 0.01 to 0.02 s later; more where the machine is busy.
_ENDING_SECONDS = 2.0


@contextmanager
def alive(settings: Settings, run_id: str) -> Iterator[None]:
    """Shows, for as long as it is entered, that a run has a process."""
    path = lock_of(settings, run_id)
    path.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    unnamed = temp_path(path)
    with unnamed.open("w", encoding="utf-8") as file:
        # Locked before it has its name: whoever looks under that name never finds the lock of a living run free, nor holds it.
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        unnamed.replace(path)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def is_dead(settings: Settings, run_id: str, started: datetime, now: datetime) -> bool:
    """Whether a run that began and has not ended has lost its process.

    Args:
        settings: the home.
        run_id: of the run.
        started: when it began, aware.
        now: the current instant, aware; not the pipeline's own clock, which may stand still.
    """
    try:
        with lock_of(settings, run_id).open(encoding="utf-8") as file:
            # Shared, so that two who look at once do not take each other for the run.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return now - started > _GRACE
    except BlockingIOError:
        return False
    return True


def close_dead_runs(
    instance: dg.DagsterInstance, settings: Settings, location_name: str | None = None
) -> list[dg.DagsterRun]:
    """Reports this home's runs without a process as failed, so that they hold up nothing, and returns them.

    Args:
        instance: may be shared with others, whose runs are left alone.
        settings: the home.
        location_name: of the code location that asks; None where the shell asks.
    """
    import dagster as dg

    from churn_pipeline.orchestration.own_runs import is_own

    going_on = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING])

    def without_process() -> list[dg.DagsterRun]:
        # The instance's own clock, because that is what its records are dated with.
        now = datetime.now().astimezone()
        dead_runs = []
        for record in instance.get_run_records(going_on):
            if not is_own(record.dagster_run, settings, location_name):
                continue
            began = (
                datetime.fromtimestamp(record.start_time, now.tzinfo) if record.start_time else record.create_timestamp
            )
            if is_dead(settings, record.dagster_run.run_id, began, now):
                dead_runs.append(record.dagster_run)
        return dead_runs

    suspects = {run.run_id for run in without_process()}
    if not suspects:
        return []
    time.sleep(_ENDING_SECONDS)
    closed = [run for run in without_process() if run.run_id in suspects]
    for run in closed:
        instance.report_run_failed(run, GONE)
        lock_of(settings, run.run_id).unlink(missing_ok=True)
    return closed


def lock_of(settings: Settings, run_id: str) -> Path:
    """The lock that a run holds from its first step to its last."""
    return settings.dagster_home / "alive" / f"{run_id}.lock"
