"""Dagster as it is run for real: a web server, a daemon and their code servers, each a process."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import dagster as dg

from churn_pipeline.core.settings import REPOSITORY, Settings
from churn_pipeline.features.plan import MARTS
from churn_pipeline.orchestration.definitions import JOB, build_defs
from churn_pipeline.orchestration.execute import prepare_home
from churn_pipeline.orchestration.keys import model_key
from tests.support.processes import BIN, environment, kill, start

CLOCK = Path(__file__).with_name("clock")
WORKSPACE = str(REPOSITORY / "workspace.yaml")
REPOSITORY_OF_JOBS = {"repositoryLocationName": "churn_pipeline", "repositoryName": "__repository__"}


@contextmanager
def process(settings: Settings, *command: str, at: datetime | None = None, **more: str) -> Iterator[Path]:
    """One of Dagster's programs on a home until the block ends, with what it starts; what it says goes to the file yielded.

    Args:
        settings: the home.
        *command: program and arguments.
        at: what time it is for it when it starts, aware; the machine's own unless given.
        **more: further variables of its environment.
    """
    prepare_home(settings)
    log_path = settings.home / f"{command[0]}.log"
    if at is not None:
        offset = (at - datetime.now(UTC)).total_seconds()
        path = os.pathsep.join(filter(None, (str(CLOCK), os.environ.get("PYTHONPATH"))))
        more |= {"PYTHONPATH": path, "TEST_DAGSTER_CLOCK_OFFSET": str(offset), "CHURN_NOW": at.isoformat()}
    with log_path.open("a", encoding="utf-8") as log:
        running = subprocess.Popen(
            [str(BIN / command[0]), *command[1:], "-w", WORKSPACE],
            env=environment(settings, **more),
            cwd=REPOSITORY,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield log_path
    finally:
        kill(running)
        _kill_what_it_started(settings)


def _kill_what_it_started(settings: Settings) -> None:
    """Code servers and runs make groups of their own; they are known by the home in their environment."""
    mark = f"DAGSTER_HOME={settings.dagster_home}".encode()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    os.kill(int(folder.name), 9)
            except OSError:
                continue


class WebServer:
    """Dagster's GraphQL API on a port of this machine; with the cookie of a session where it stands behind the guard."""

    def __init__(self, port: int, cookie: str = "") -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._cookie = {"Cookie": cookie} if cookie else {}

    def ask(self, query: str, **variables: Any) -> Any:
        """The data that a query gives.

        Raises:
            AssertionError: GraphQL names an error.
        """
        request = urllib.request.Request(
            f"{self.url}/graphql",
            json.dumps({"query": query, "variables": variables}).encode(),
            {"Content-Type": "application/json", **self._cookie},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                body = json.load(answer)
        except urllib.error.HTTPError as error:
            raise AssertionError(error.read().decode()) from error
        assert "errors" not in body, body
        return body["data"]


@contextmanager
def web_server(settings: Settings) -> Iterator[WebServer]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with process(settings, "dagster-webserver", "-h", "127.0.0.1", "-p", str(port)) as log_path:
        deadline = time.monotonic() + 120
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/server_info", timeout=5).close()
                break
            except OSError:
                assert time.monotonic() < deadline, log_path.read_text(encoding="utf-8")
                time.sleep(0.5)
        yield WebServer(port)


def monday_job() -> dg.JobDefinition:
    """What a code server with this environment loads."""
    return build_defs().resolve_job_def(JOB)


def build_and_train(settings: Settings, monday: date, *targets: str) -> None:
    """Builds the marts for a Monday and trains these targets, in this process: a Monday run without what nobody will look at."""
    prepare_home(settings)
    defs = build_defs(settings)
    made = [dg.AssetKey(["marts", mart]) for mart in MARTS] + [model_key(target) for target in targets]
    needed = dg.AssetSelection.assets(*made).upstream().required_multi_asset_neighbors().materializable()
    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        defs.resolve_job_def(JOB).execute_in_process(
            partition_key=monday.isoformat(),
            asset_selection=sorted(needed.resolve(defs.resolve_asset_graph())),
            instance=instance,
        )


def reexecute(settings: Settings, run_id: str) -> tuple[dg.DagsterRun, list[dg.DagsterEvent]]:
    """Re-executes a run from its failure, in a process of its own as the UI does; the new run and what happened in it."""
    done = start(settings, "-m", __name__, run_id, program="python")
    _, messages = done.communicate(timeout=600)
    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        run = instance.get_runs(limit=1)[0]
        assert run.parent_run_id == run_id, messages
        return run, [entry.dagster_event for entry in instance.all_logs(run.run_id) if entry.dagster_event]


def _reexecute(run_id: str) -> None:
    from tests.support.dagster import monday_job

    with dg.DagsterInstance.get() as instance:
        dg.execute_job(
            dg.reconstructable(monday_job),
            instance=instance,
            tags={name: value for name, value in instance.get_run_by_id(run_id).tags.items() if name[0] != "."},
            reexecution_options=dg.ReexecutionOptions.from_failure(run_id, instance),
        )


if __name__ == "__main__":
    _reexecute(sys.argv[1])
