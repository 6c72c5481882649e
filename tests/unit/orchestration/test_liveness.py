"""Which runs have a process: asked by others at every moment of a run's life, its first and its last included."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from churn_pipeline.core.settings import Settings
from churn_pipeline.orchestration.liveness import alive, close_dead_runs, is_dead
from churn_pipeline.orchestration.own_runs import run_tags
from tests.support.processes import environment

HOLDER = """
import sys, time
from churn_pipeline.orchestration.liveness import alive
from churn_pipeline.core.settings import Settings
with alive(Settings(), "run"):
    print("alive", flush=True)
    time.sleep(60)
"""

# Says that it looks, looks until the run is there and once more, and goes on to the next one.
LOOKER = """
import os, sys
from datetime import datetime
from churn_pipeline.orchestration.liveness import is_dead
from churn_pipeline.core.settings import Settings
settings, dead = Settings(), 0
for number in range(int(sys.argv[1])):
    os.write(1, b".")
    there = False
    while not there:
        there = (settings.dagster_home / "alive" / f"run-{number}.lock").exists()
        now = datetime.now().astimezone()
        dead += is_dead(settings, f"run-{number}", now, now)
sys.exit(min(dead, 100))
"""
RUNS = 400


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


def dead(settings: Settings, run_id: str, age: timedelta = timedelta(seconds=10)) -> bool:
    now = datetime.now().astimezone()
    return is_dead(settings, run_id, now - age, now)


def test_a_run_is_alive_until_its_process_is_killed(settings: Settings) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER], env=environment(settings), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process:
        assert process.stdout.readline() == "alive\n"
        assert not dead(settings, "run")
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert dead(settings, "run")


def test_a_run_that_begins_while_another_process_looks_is_neither_taken_for_dead_nor_stopped(
    settings: Settings,
) -> None:
    """What would let it happen lasts microseconds, so a few hundred runs begin under the eyes of one that does nothing but look."""
    looker = subprocess.Popen(
        [sys.executable, "-c", LOOKER, str(RUNS)], env=environment(settings), stdout=subprocess.PIPE, bufsize=0
    )
    assert looker.stdout is not None
    with looker, ExitStack() as running:
        running.callback(looker.kill)
        for number in range(RUNS):
            assert looker.stdout.read(1) == b"."
            running.enter_context(alive(settings, f"run-{number}"))
        assert looker.wait(60) == 0


def test_a_run_that_has_no_lock_yet_is_given_three_minutes_to_get_there(settings: Settings) -> None:
    assert not dead(settings, "run", timedelta(minutes=2, seconds=55))
    assert dead(settings, "run", timedelta(minutes=3, seconds=5))


def test_whoever_looks_is_not_taken_for_the_run(settings: Settings) -> None:
    with alive(settings, "run"):
        (lock,) = (settings.dagster_home / "alive").iterdir()
    # As a run leaves it that was killed.
    lock.touch()
    with lock.open() as looker:
        fcntl.flock(looker, fcntl.LOCK_SH)
        assert dead(settings, "run")


def test_a_run_that_is_just_ending_is_left_to_say_so_itself(settings: Settings, tmp_path: Path) -> None:
    """The lock is given back with the last step, and Dagster hears a moment later that the run is over."""
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        run = instance.create_run_for_job(dg.GraphDefinition(name="monday_run").to_job(), tags=run_tags(settings))

        def note(kind: dg.DagsterEventType, at: float) -> None:
            instance.handle_new_event(
                dg.EventLogEntry(
                    error_info=None,
                    level=20,
                    user_message="",
                    run_id=run.run_id,
                    timestamp=at,
                    job_name=run.job_name,
                    dagster_event=dg.DagsterEvent(kind.value, run.job_name),
                )
            )

        note(dg.DagsterEventType.RUN_START, time.time() - 600)
        assert dead(settings, run.run_id, timedelta(seconds=600))
        end = threading.Timer(0.5, note, (dg.DagsterEventType.RUN_SUCCESS, time.time()))
        end.start()
        assert close_dead_runs(instance, settings) == []
        end.join()
        ended = instance.get_run_by_id(run.run_id)
    assert ended is not None and ended.status == dg.DagsterRunStatus.SUCCESS
