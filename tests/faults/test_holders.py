"""Somebody else has the file open: a BI tool, or a second run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from churn_pipeline.core.settings import Settings
from tests.conftest import TINY_BEFORE, TINY_MONDAY
from tests.support.homes import query
from tests.support.processes import churn, start

BI_TOOL = """
import sys, duckdb
con = duckdb.connect(sys.argv[1], read_only=sys.argv[3] == "to read")
print(con.execute(sys.argv[2]).fetchall(), flush=True)
sys.stdin.readline()
print(con.execute(sys.argv[2]).fetchall(), flush=True)
"""


@contextmanager
def bi_tool(database: Path, sql: str, opened: str = "to read") -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Another process that has a database open and asks the same thing at the beginning and, when told to, again."""
    process = subprocess.Popen(
        [sys.executable, "-c", BI_TOOL, str(database), sql, opened],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline()
    finally:
        process.kill()
        process.wait()


# What the duckdb shell and a plain duckdb.connect do is open a file to write in it, which locks everybody else out.
@pytest.mark.parametrize("opened", [pytest.param("to read", marks=pytest.mark.nightly), "to write"])
def test_a_bi_tool_that_holds_the_published_database_neither_waits_nor_is_waited_for(
    tiny_copy: Settings, same_as_undisturbed: Callable[[Settings], None], opened: str
) -> None:
    sql = "select snapshot_date::varchar, count(*) from predictions group by 1 order by 1"
    with bi_tool(tiny_copy.published_database, sql, opened) as (tool, before):
        completed = churn(tiny_copy, "run", "--week", str(TINY_MONDAY))
        assert completed.returncode == 0, completed.stderr
        assert "Waiting" not in completed.stderr
        again, _ = tool.communicate("\n", timeout=20)
    assert again == before, "an open reader keeps what it opened"
    assert str(TINY_BEFORE) in before and str(TINY_MONDAY) not in before
    same_as_undisturbed(tiny_copy)


def test_a_bi_tool_that_holds_the_warehouse_is_waited_for_and_then_named(tiny_copy: Settings) -> None:
    before = query(tiny_copy.published_database, "from predictions order by all")
    with bi_tool(tiny_copy.warehouse, "select count(*) from policy.predictions") as (tool, _):
        completed = churn(tiny_copy, "run", "--week", str(TINY_MONDAY), CHURN_LOCK_WAIT_SECONDS="2")
    assert completed.returncode == 1
    assert f"PID {tool.pid}" in completed.stderr
    assert "warehouse.duckdb is held by another process for over 2 s" in completed.stderr
    assert str(tiny_copy.published_database) in completed.stderr
    assert "Traceback" not in completed.stderr
    assert query(tiny_copy.published_database, "from predictions order by all") == before


@pytest.mark.nightly
def test_a_bi_tool_that_lets_go_of_the_warehouse_in_time_only_delays_the_run(
    tiny_copy: Settings, same_as_undisturbed: Callable[[Settings], None]
) -> None:
    with bi_tool(tiny_copy.warehouse, "select count(*) from policy.predictions") as (tool, _):
        run = start(tiny_copy, "run", "--week", str(TINY_MONDAY), CHURN_LOCK_WAIT_SECONDS="120")
        try:
            run.communicate(timeout=12)
            raise AssertionError("it did not wait")
        except subprocess.TimeoutExpired:
            tool.communicate("\n", timeout=20)
        _, messages = run.communicate(timeout=200)
    assert run.returncode == 0, messages
    same_as_undisturbed(tiny_copy)


@pytest.mark.nightly
def test_two_runs_started_at_once_go_one_after_the_other_and_both_end_right(
    tiny_copy: Settings, same_as_undisturbed: Callable[[Settings], None]
) -> None:
    wait = {"CHURN_LOCK_WAIT_SECONDS": "200"}
    runs = [start(tiny_copy, "run", "--week", str(TINY_MONDAY), **wait) for _ in range(2)]
    messages = [run.communicate(timeout=280)[1] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], messages
    assert sum("Waiting for process" in text for text in messages) == 1
    same_as_undisturbed(tiny_copy)


@pytest.mark.nightly
def test_a_second_run_that_may_not_wait_names_the_first(tiny_copy: Settings) -> None:
    first = start(tiny_copy, "run", "--week", str(TINY_MONDAY))
    assert first.stderr is not None
    for line in first.stderr:
        if "landing" in line:
            break
    second = churn(tiny_copy, "run", "--week", str(TINY_MONDAY), CHURN_LOCK_WAIT_SECONDS="0.5")
    first.communicate(timeout=200)
    assert second.returncode == 1
    assert f"is in use by process {first.pid} (Dagster run" in second.stderr
    assert first.returncode == 0
