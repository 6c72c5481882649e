"""A whole Monday where others are at work too: another writer waits, another user reads, and the folder's name is not a plain one."""

from __future__ import annotations

import grp
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from churn_pipeline.core.settings import REPOSITORY, Settings
from tests.conftest import TINY_BEFORE
from tests.support.homes import copy_of, query
from tests.support.processes import environment, kill, start
from tests.support.second_user import reachable_folder, readable

# Whatever SQL, URIs, YAML, shells and globs make of these.
AWKWARD = "it's 100% [ü] & $HOME {a} =;"
TEAM = next((group for group in grp.getgrall() if group.gr_gid not in {os.getgid(), *os.getgroups()}), None)

# A second writer: waits for the home, and once it has it lets go of nothing.
SECOND = """
import sys
from churn_pipeline.core.home import home_lock
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.warehouse import connect
settings = Settings(lock_wait_seconds=200)
say = lambda text: print(text, flush=True)
with home_lock(settings, "the second", say), connect(settings):
    say("writes")
    sys.stdin.read()
"""


@dataclass(frozen=True)
class Monday:
    """What came of it.

    Attributes:
        settings: the home.
        exit_code: of the first writer, a run.
        out: what it printed.
        err: what it said.
        second: what the second writer said.
        was_writing: whether the second wrote when the first had ended.
    """

    settings: Settings
    exit_code: int
    out: str
    err: str
    second: str
    was_writing: bool


@pytest.fixture(scope="module")
def monday(tiny_home: Settings) -> Iterator[Monday]:
    with reachable_folder() as folder:
        (folder / AWKWARD).mkdir()
        settings = copy_of(tiny_home, folder / AWKWARD / "home")
        for path in (folder / AWKWARD, settings.home):
            path.chmod(0o755)
        if TEAM is not None and not os.geteuid():
            given = settings.model_dump(include=settings.model_fields_set)
            settings = Settings(**given | {"published_group": TEAM.gr_name})
        # Shorter than the second writer holds the home.
        first = start(settings, "run", "--week", str(TINY_BEFORE), CHURN_LOCK_WAIT_SECONDS="3")
        assert first.stderr is not None
        messages = ""
        for line in first.stderr:
            messages += line
            if "landing" in line:
                break
        second = subprocess.Popen(
            [sys.executable, "-c", SECOND],
            env=environment(settings, PYTHONPATH=str(REPOSITORY)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert second.stdout is not None
            said = second.stdout.readline()
            out, rest = first.communicate(timeout=240)
            # It gets the home as the first lets go of it, and holds on.
            said += second.stdout.readline()
            yield Monday(settings, first.returncode, out, messages + rest, said, second.poll() is None)
        finally:
            kill(first)
            second.kill()
            second.wait()


def test_the_first_of_two_writers_ends_well_although_the_second_holds_the_home_by_then(monday: Monday) -> None:
    assert monday.second.splitlines()[0].startswith("Waiting for process"), monday.second
    assert monday.second.splitlines()[1] == "writes"
    assert monday.was_writing
    assert monday.exit_code == 0, monday.err
    assert f"Monday {TINY_BEFORE}" in monday.out


def test_a_home_whose_path_has_spaces_quotes_accents_and_signs_runs_a_monday_in_its_place(monday: Monday) -> None:
    settings = monday.settings
    assert monday.exit_code == 0, monday.err
    newest = "select status from ledger.runs order by recorded_at desc limit 1"
    # The warehouse is the second writer's now; what was published is everybody's.
    assert query(settings.published_database, newest.replace("ledger.", "")) == [("published",)]
    beside = {path.name for path in settings.home.parent.parent.iterdir()} | {
        path.name for path in settings.home.parent.iterdir()
    }
    assert beside == {AWKWARD, "home"}


def test_after_a_whole_monday_the_group_reads_all_that_is_published_and_nothing_else(monday: Monday) -> None:
    if monday.settings.published_group is None:
        pytest.skip("only root can give a folder to a group that it is not in")
    assert TEAM is not None
    settings = monday.settings
    published = {path.relative_to(settings.home).as_posix() for path in settings.published.rglob("*")}
    assert len(published) > 20
    assert readable(settings.home, TEAM.gr_gid) == {*published, "data/published"}
    assert readable(settings.home) == set()
