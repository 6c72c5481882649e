"""One writer at a time, and a bounded wait that names who is in the way."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from pathlib import Path

import duckdb
import pytest

from churn_pipeline.core.errors import LockedError
from churn_pipeline.core.home import home_lock
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.warehouse import connect, transaction

HOLD_LOCK = """
import sys, time
from pathlib import Path
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.home import home_lock
with home_lock(Settings(home=Path(sys.argv[1])), "a test that holds it"):
    print("held", flush=True)
    time.sleep(60)
"""
HOLD_DATABASE = """
import sys, time, duckdb
con = duckdb.connect(sys.argv[1], read_only=True)
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, lock_wait_seconds=0.5)


def holder(script: str, argument: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", script, str(argument)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_writer_waits_for_a_bounded_time_and_names_the_first(settings: Settings) -> None:
    first = holder(HOLD_LOCK, settings.home)
    try:
        messages: list[str] = []
        with (
            pytest.raises(LockedError, match=rf"process {first.pid} \(a test that holds it"),
            home_lock(settings, "second", messages.append),
        ):
            pass
        assert len(messages) == 1
    finally:
        first.kill()
        first.wait()


def test_the_lock_dies_with_its_holder(settings: Settings) -> None:
    first = holder(HOLD_LOCK, settings.home)
    first.kill()
    first.wait()
    with home_lock(settings, "second"):
        pass


def test_two_homes_do_not_wait_for_each_other(tmp_path: Path) -> None:
    first, second = (Settings(home=tmp_path / name, lock_wait_seconds=0) for name in ("one", "other"))
    with home_lock(first, "one"), home_lock(second, "other"):
        pass


def test_a_tool_that_holds_the_warehouse_is_named_after_a_bounded_wait(settings: Settings) -> None:
    with connect(settings) as con:
        con.execute("create table t (a integer)")
    tool = holder(HOLD_DATABASE, settings.warehouse)
    try:
        started = time.monotonic()
        with pytest.raises(LockedError, match=str(tool.pid)), connect(settings):
            pass
        assert time.monotonic() - started >= 0.5
    finally:
        tool.kill()
        tool.wait()
    with connect(settings) as con:
        con.execute("insert into t values (1)")


def test_a_damaged_warehouse_is_not_taken_for_a_locked_one(settings: Settings) -> None:
    settings.data.mkdir(parents=True)
    settings.warehouse.write_bytes(os.urandom(8192))
    with pytest.raises(Exception, match="(?i)not a valid DuckDB") as caught, connect(settings):
        pass
    assert not isinstance(caught.value, LockedError)


def rows(con: duckdb.DuckDBPyConnection) -> list[int]:
    return [number for (number,) in con.execute("select number from kept order by number").fetchall()]


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as con:
        con.execute("create table kept (number integer primary key)")
        con.execute("insert into kept values (1)")
        yield con


@pytest.mark.parametrize(
    "failure",
    [RuntimeError("of Python"), KeyboardInterrupt(), "insert into kept values (1)"],
    ids=["an error", "an interruption", "a statement"],
)
def test_a_failure_inside_a_transaction_leaves_nothing_and_a_usable_connection(
    con: duckdb.DuckDBPyConnection, failure: BaseException | str
) -> None:
    with pytest.raises((RuntimeError, KeyboardInterrupt, duckdb.ConstraintException)), transaction(con):
        con.execute("delete from kept")
        con.execute("insert into kept values (1), (2)")
        if isinstance(failure, str):
            con.execute(failure)
        else:
            raise failure
    assert rows(con) == [1]
    with transaction(con):
        con.execute("insert into kept values (3)")
    assert rows(con) == [1, 3]


def test_a_transaction_is_committed_at_its_end(con: duckdb.DuckDBPyConnection) -> None:
    with transaction(con):
        con.execute("insert into kept values (2)")
    with pytest.raises(duckdb.TransactionException, match="no transaction is active"):
        con.rollback()
    assert rows(con) == [1, 2]


@pytest.mark.parametrize("swallowed", [False, True])
def test_a_transaction_in_a_transaction_is_refused_and_nothing_is_written(
    con: duckdb.DuckDBPyConnection, swallowed: bool
) -> None:
    with pytest.raises(duckdb.TransactionException), transaction(con):
        con.execute("insert into kept values (2)")
        with suppress(duckdb.TransactionException) if swallowed else nullcontext(), transaction(con):
            con.execute("insert into kept values (3)")
    assert rows(con) == [1]
    with transaction(con):
        con.execute("insert into kept values (4)")
    assert rows(con) == [1, 4]


def test_a_statement_whose_error_was_swallowed_is_not_taken_for_a_commit(con: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(duckdb.TransactionException, match="aborted"), transaction(con):
        con.execute("insert into kept values (2)")
        with suppress(duckdb.ConstraintException):
            con.execute("insert into kept values (1)")
    assert rows(con) == [1]


def test_a_commit_that_another_connection_prevents_is_told_as_such(con: duckdb.DuckDBPyConnection) -> None:
    with con.cursor() as other:
        with pytest.raises(duckdb.TransactionException, match="Failed to commit"), transaction(con):
            con.execute("insert into kept values (2)")
            other.execute("insert into kept values (2)")
        assert rows(con) == [1, 2]
