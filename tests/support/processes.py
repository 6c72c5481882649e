"""The pipeline as processes: what a person starts, what a machine kills."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time as clock
from collections.abc import Callable
from datetime import date, time
from pathlib import Path

import pytest
from pydantic import SecretStr

from churn_pipeline.core.settings import Settings

BIN = Path(sys.executable).parent


def environment(settings: Settings, **more: str) -> dict[str, str]:
    """The environment that makes a process see these settings."""

    def text(value: object) -> str:
        if isinstance(value, SecretStr):
            return value.get_secret_value()
        if isinstance(value, dict):
            return json.dumps(value)
        return value.isoformat() if isinstance(value, date | time) else str(value)

    given = {
        f"CHURN_{name.upper()}": text(value)
        for name in settings.model_fields_set
        if (value := getattr(settings, name)) is not None
    }
    # MLflow writes in the environment which registry this process last looked into: that of another home.
    foreign = ("CHURN_", "DAGSTER_", "MLFLOW_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return inherited | given | {"DAGSTER_HOME": str(settings.dagster_home)} | more


def start(settings: Settings, *arguments: str, program: str = "churn", **more: str) -> subprocess.Popen[str]:
    """Starts ``churn`` (or another program of the environment) on a home, in a process group of its own."""
    return subprocess.Popen(
        [str(BIN / program), *arguments],
        env=environment(settings, **more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def churn(settings: Settings, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Runs ``churn`` to its end."""
    process = start(settings, *arguments, **more)
    out, err = process.communicate(timeout=240)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def kill(process: subprocess.Popen[str]) -> None:
    """kill -9, the whole group, and waits until it is gone."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait_for(condition: Callable[[], object], seconds: float, what: str) -> object:
    """Asks five times a second until the condition gives something true, and returns that."""
    deadline = clock.monotonic() + seconds
    while not (outcome := condition()):
        assert clock.monotonic() < deadline, f"{what}: not within {seconds} s"
        clock.sleep(0.2)
    return outcome


def in_namespace(script: str, settings: Settings) -> subprocess.CompletedProcess[str]:
    """Runs a shell script in a mount namespace of its own; the test is skipped, saying so, where that is not allowed."""
    completed = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "bash", "-c", script]
        if os.geteuid()
        else ["unshare", "--mount", "bash", "-c", script],
        env=environment(settings),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    if (
        completed.returncode == 77
        or "unshare failed" in completed.stderr
        or "Operation not permitted" in completed.stderr
    ):
        pytest.skip(f"this machine lets nobody mount anything: {completed.stderr.strip()[:200]}")
    return completed
