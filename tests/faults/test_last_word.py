"""Whatever goes wrong in whichever command or step: a person gets a line that says what to do, and never a traceback.

The commands are taken from the CLI and the steps from the job, so that a new one is tried too.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from typer.testing import CliRunner

from churn_pipeline.cli.commands import app
from churn_pipeline.core.settings import Settings
from churn_pipeline.orchestration import execute
from churn_pipeline.orchestration.definitions import JOB, RESCORING_JOB, TRAINING_JOB, build_defs
from churn_pipeline.orchestration.execute import Outcome, _outcome
from tests.conftest import TINY_MONDAY
from tests.support.commands import Ended, every_command, those_with_a_place
from tests.support.homes import copy_of
from tests.support.processes import environment, in_namespace

COMMANDS = sorted(every_command())
PLACED = sorted(those_with_a_place())
# What writes nothing into the home: neither a full disk nor one that cannot be written keeps it from its answer.
READERS = {"show", "customer", "models"}
# What is printed and kept nowhere.
ELSEWHERE = {"slack test"}
# What an error may quote, and nobody is to see.
ROW = "('C0000012', 'Ada Lovelace', 'ada@example.com')"
PASSWORD = "correct-horse"
DRIVER = f"{sys.executable} -m tests.support.commands"


def ends_of(output: str) -> dict[str, dict[str, Ended]]:
    return {home: {ended["command"]: Ended(**ended) for ended in ends} for home, ends in json.loads(output).items()}


def assert_no_traceback(ended: Ended) -> None:
    for text in (ended.out, ended.err):
        assert "Traceback" not in text and 'File "' not in text, text
    if ended.exit_code:
        assert re.match("churn: |Usage: ", ended.err.splitlines()[-1]), ended.err
    assert ended.exit_code in (0, 1, 2, 3)


def last_line(ended: Ended) -> str:
    """The one line of an error; whatever else there is says how a run went on."""
    *before, last = ended.err.splitlines()
    assert not [
        line for line in before if not re.match(r" *\d+\.\d s  |churn: (Waiting|Bringing|Other users)|Slack: ", line)
    ]
    return last


@pytest.fixture(scope="module")
def damaged(tiny_home: Settings, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Ended]]:
    """How every command ended on a home that is ``full``, one that is ``read-only`` and one that is ``nowhere``: all in one process that
    mounts them, because what they import takes longer than what they do."""
    folder = tmp_path_factory.mktemp("damaged")
    settings = copy_of(tiny_home, folder / "before")
    homes = {"full": f"{folder}/full", "read-only": f"{folder}/read-only", "nowhere": "/dev/null/x"}
    mount = f"""
        mkdir -p {{home}} && mount -t tmpfs -o size=$(($(du -sk {folder}/before | cut -f1) + 3000))k tmpfs {{home}} || exit 77
        cp -a {folder}/before/. {{home}}/ && mkdir {{home}}/exports
    """
    completed = in_namespace(
        f"""
        {mount.format(home=homes["full"])}
        {mount.format(home=homes["read-only"])}
        dd if=/dev/zero of={homes["full"]}/filler bs=64k 2>/dev/null
        dd if=/dev/zero of={homes["full"]}/rest bs=1 2>/dev/null
        mount -o remount,ro {homes["read-only"]}
        {DRIVER} {TINY_MONDAY} {" ".join(homes.values())}
        """,
        settings,
    )
    assert completed.stdout, completed.stderr
    ends = ends_of(completed.stdout)
    return {fault: ends[home] for fault, home in homes.items()}


@pytest.fixture(scope="module")
def surprised(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ended]:
    """How every command ended in which an error was raised that quotes a row and a password."""
    folder = tmp_path_factory.mktemp("surprised")
    text = f"could not convert {ROW}\nconnection postgresql://churn:{PASSWORD}@db/x failed"
    given = environment(
        Settings(home=folder), CHURN_PUBLISH_URL=f"postgresql://churn:{PASSWORD}@db/x", TMPDIR=str(folder)
    )
    completed = subprocess.run(
        [*DRIVER.split(), str(TINY_MONDAY), str(folder), "--raise", text],
        env=given,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert completed.stdout, completed.stderr
    (ends,) = ends_of(completed.stdout).values()
    return ends


@pytest.mark.parametrize("command", PLACED)
def test_on_a_full_disk_a_command_answers_or_says_in_one_line_to_make_room(
    damaged: dict[str, dict[str, Ended]], command: str
) -> None:
    ended = damaged["full"][command]
    assert_no_traceback(ended)
    if command in READERS:
        assert ended.exit_code == 0, ended.err
    elif command not in ELSEWHERE and ended.exit_code == 1:
        assert "No space left on device" in last_line(ended) or "room" in last_line(ended), ended.err


@pytest.mark.parametrize("command", PLACED)
def test_on_a_home_that_cannot_be_written_a_command_answers_or_says_so_in_one_line(
    damaged: dict[str, dict[str, Ended]], command: str
) -> None:
    ended = damaged["read-only"][command]
    assert_no_traceback(ended)
    if command in READERS:
        assert ended.exit_code == 0, ended.err
    elif command not in ELSEWHERE and ended.exit_code == 1:
        assert "read-only" in last_line(ended), ended.err


@pytest.mark.parametrize("fault", ["full", "read-only"])
def test_what_writes_ends_with_one_there(damaged: dict[str, dict[str, Ended]], fault: str) -> None:
    ends = damaged[fault]
    writers = ("run", "backfill", "train", "simulate", "ui", "replay-report", "forget")
    assert {name: ends[name].exit_code for name in writers} == dict.fromkeys(writers, 1)


@pytest.mark.parametrize("command", PLACED)
def test_a_home_that_can_be_no_folder_is_refused_in_one_line(
    damaged: dict[str, dict[str, Ended]], command: str
) -> None:
    ended = damaged["nowhere"][command]
    assert_no_traceback(ended)
    if command in {"run", "backfill", "train", "ui", "replay-report", "rollback", "promote"}:
        assert ended.exit_code in (1, 2)
        assert "/dev/null/x" in last_line(ended)


@pytest.mark.parametrize("command", COMMANDS)
def test_an_error_that_no_command_expects_is_written_to_a_file_and_only_its_kind_is_said(
    surprised: dict[str, Ended], command: str
) -> None:
    ended = surprised[command]
    assert ended.exit_code == 1, ended.err
    assert ended.out == ""
    (line,) = ended.err.splitlines()
    assert "stopped by an error that it does not expect (RuntimeError)" in line
    assert "Ada" not in line and PASSWORD not in line
    named = re.search(r"Details: (\S+)", line)
    assert named, line
    path = Path(named.group(1))
    text = path.read_text(encoding="utf-8")
    assert "Traceback" in text and ROW in text and PASSWORD not in text
    assert path.stat().st_mode & 0o777 == 0o600


# As DuckDB and SQLite say them: tests/unit/core/test_faults.py.
FAULTS: dict[str, tuple[Exception, str]] = {
    "a full disk": (OSError(28, "No space left on device", "/srv/home/data/x"), "/srv/home/data/x has no room left"),
    "an error that nobody expects": (RuntimeError(f"could not convert {ROW}"), "does not expect (RuntimeError)"),
}


@pytest.fixture(scope="module")
def definitions(tiny_home: Settings) -> dict[str, Any]:
    """The jobs, with a home that raises what ``raised`` holds as soon as a step looks at it."""
    raised: list[Exception] = []

    class Broken:
        def __getattr__(self, name: str) -> object:
            raise raised[0]

    defs = build_defs(tiny_home, home=dg.ResourceDefinition(lambda _: Broken()))
    return {"defs": defs, "raised": raised}


def steps_of(defs: dg.Definitions) -> dict[str, str]:
    """Every step of every job by name, and a job that has it."""
    return {
        step: job for job in (RESCORING_JOB, TRAINING_JOB, JOB) for step in defs.resolve_job_def(job).graph.node_dict
    }


@pytest.mark.parametrize("fault", FAULTS)
def test_every_step_of_a_run_that_fails_is_told_in_one_line(
    definitions: dict[str, Any], tmp_path: Path, fault: str
) -> None:
    error, words = FAULTS[fault]
    definitions["raised"][:] = [error]
    steps = steps_of(definitions["defs"])
    assert {"landing", "score", "published", "published_rescored", "slack_digest"} <= {*steps}
    config = {"scoring__rescores": {"config": {"model": "champion"}}}
    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:
        for step, job in steps.items():
            result = (
                definitions["defs"]
                .resolve_job_def(job)
                .execute_in_process(
                    instance=instance,
                    raise_on_error=False,
                    op_selection=[step],
                    partition_key=str(TINY_MONDAY),
                    run_config={"ops": {step: config[step]}} if step in config else None,
                )
            )
            outcome = _outcome(SimpleNamespace(run_id="r", success=result.success, all_events=result.all_events), ["x"])
            assert outcome.exit_code == 1, step
            assert words in outcome.reason, (step, outcome.reason)
            assert "\n" not in outcome.reason and "Ada" not in outcome.reason
            assert ("Ada" in outcome.details) == isinstance(error, RuntimeError)


def test_what_a_failing_step_said_goes_to_a_file_that_the_command_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = Outcome(
        "r", 1, "score: stopped by an error that it does not expect (ValueError)", details=f"ValueError: {ROW}"
    )
    monkeypatch.setattr(execute, "run_mondays", lambda *_, **__: ended)
    raw = tmp_path / "data" / "raw"
    raw.mkdir(parents=True)
    (raw / "customers.csv").touch()
    outcome = CliRunner().invoke(app, ["run", "--home", str(tmp_path)])
    assert outcome.exit_code == 1
    (line,) = outcome.output.splitlines()
    assert line.startswith("churn: score: stopped by") and "Ada" not in line
    (path,) = (tmp_path / "data" / "errors").iterdir()
    assert str(path) in line
    assert ROW in path.read_text(encoding="utf-8")
