"""A company that is written as it is made is the one that is drawn into memory, and is there whole or not at all."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from churn_pipeline.core.errors import InputError
from churn_pipeline.simulate import Company, simulate_into, write
from churn_pipeline.simulate import stream as stream_module
from churn_pipeline.simulate.write import staging, write_table
from tests.unit.simulate.simulated import BILLED, SMALL


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a company by name, without what is hidden."""
    files = [*folder.glob("raw/*"), *folder.glob("*.parquet")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize("dirty", [False, True])
def test_a_company_written_as_it_is_made_by_two_processes_is_the_one_drawn_into_memory(
    dirty: bool, billed: Company, soiled_bill: Company, tmp_path: Path
) -> None:
    written = simulate_into(replace(BILLED, dirty=dirty), tmp_path / "stream", processes=2)
    write(soiled_bill if dirty else billed, tmp_path / "memory")
    assert contents(tmp_path / "stream") == contents(tmp_path / "memory")
    assert {str(path.relative_to(tmp_path / "stream")) for path in written} == {*contents(tmp_path / "memory")}
    assert not (tmp_path / "stream" / ".simulation").exists()


def test_row_groups_do_not_follow_the_parts_in_which_a_table_is_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(write_table.__globals__, "ROW_GROUP", 100)
    table = pa.table({"n": range(250)})
    for name, step in (("parts", 33), ("whole", 250)):
        write_table((table.slice(first, step) for first in range(0, 250, step)), tmp_path / name)
    groups = pq.ParquetFile(tmp_path / "parts").metadata
    assert [groups.row_group(number).num_rows for number in range(groups.num_row_groups)] == [100, 100, 50]
    assert (tmp_path / "parts").read_bytes() == (tmp_path / "whole").read_bytes()
    assert pq.read_table(tmp_path / "parts").equals(table)


def test_what_a_helper_took_and_never_finished_is_done_by_who_started_it(
    small: Company, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Dead(stream_module._Work):
        def _claimed(self, name: str) -> bool:
            """As if another process had taken every other piece."""
            return super()._claimed(name) and not name.endswith(("0", "2", "4"))

    monkeypatch.setattr(stream_module, "_Work", Dead)
    simulate_into(SMALL, tmp_path / "stream")
    write(small, tmp_path / "memory")
    assert contents(tmp_path / "stream") == contents(tmp_path / "memory")


def test_a_helper_that_ends_before_it_is_told_what_to_do_leaves_all_of_it_to_who_started_it(
    small: Company, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Ended(subprocess.Popen):
        def __init__(self, command: list[str], **given: object) -> None:
            super().__init__([sys.executable, "-c", ""], **given)
            self.wait()

    monkeypatch.setattr(stream_module.subprocess, "Popen", Ended)
    simulate_into(SMALL, tmp_path / "stream", processes=2)
    write(small, tmp_path / "memory")
    assert contents(tmp_path / "stream") == contents(tmp_path / "memory")


def test_a_simulation_that_fails_on_the_way_leaves_the_old_company_as_it_was(
    small: Company, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write(small, tmp_path)
    before = contents(tmp_path)

    def full(parts: Iterator[pa.Table], path: Path) -> int:
        raise OSError("no space left on device")

    monkeypatch.setattr(stream_module, "_keep", full)
    with pytest.raises(OSError, match="no space"):
        simulate_into(replace(SMALL, seed=4), tmp_path)
    assert contents(tmp_path) == before
    assert not (tmp_path / ".simulation").exists()


def test_a_killed_simulation_leaves_no_company_and_the_next_one_begins_anew(tmp_path: Path) -> None:
    churn = [sys.executable, "-c", "from churn_pipeline.cli.commands import main; main()"]
    order = [*churn, "simulate", "--out", tmp_path, "--customers", 3_000]
    process = subprocess.Popen([str(word) for word in order], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    # Files lie in a folder of the process; the first that is there shows that it is at work.
    while not [*tmp_path.glob(".simulation/*/*")] and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not contents(tmp_path)
    simulate_into(replace(SMALL, customers=20, weeks=3), tmp_path, oracle=False)
    assert {*contents(tmp_path)} >= {"raw/customers.parquet"}
    assert not (tmp_path / "oracle.parquet").exists()


def test_two_simulations_do_not_write_into_one_folder(tmp_path: Path) -> None:
    with staging(tmp_path), pytest.raises(InputError, match="another process"):
        simulate_into(replace(SMALL, customers=20, weeks=3), tmp_path)


def test_less_use_makes_fewer_events_and_the_same_lives(small: Company, tmp_path: Path) -> None:
    simulate_into(replace(SMALL, use=0.25), tmp_path, oracle=False)
    events = pq.read_metadata(tmp_path / "raw" / "usage_events.parquet").num_rows
    assert 0.2 < events / small.tables["usage_events"].num_rows < 0.5
    assert pq.read_table(tmp_path / "raw" / "customers.parquet").equals(small.tables["customers"])


@pytest.mark.parametrize("use", [0.0, 21.0, float("nan")])
def test_a_use_out_of_range_is_refused(use: float) -> None:
    with pytest.raises(InputError, match="use"):
        replace(SMALL, use=use)
