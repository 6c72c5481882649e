"""One writer at a time, and a bounded wait that names who is in the way."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from churn_pipeline.core.errors import LockedError
from churn_pipeline.core.home import home_lock
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.warehouse import connect

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
