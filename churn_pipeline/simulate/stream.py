"""A company of any size, written as it is made, by as many processes as there are cores.

The work is cut into tasks whose results do not depend on who does them or when: the raw tables, and the oracle of some
Mondays at a time. Every process draws the same lives from the same seed and takes the next task that nobody has taken;
a file that can be made only once is the token. What is held are the lives (6 bytes a customer and week), one week of
facts and a million rows that wait to be written.

A process that ends early leaves a task without its result; whoever started it does that task itself. Such a process is
:func:`main`, started as ``python -m churn_pipeline.simulate``; it reads what to do from standard input.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from datetime import date
from itertools import chain
from pathlib import Path

import pyarrow as pa

from churn_pipeline.core.json_text import json_text
from churn_pipeline.core.machine import processors
from churn_pipeline.simulate.company import Draft, draft
from churn_pipeline.simulate.dirt import Spooled
from churn_pipeline.simulate.simulation import Shock, Simulation, progress_marks
from churn_pipeline.simulate.write import ORACLE, place, staging, write_table

# Below so many customers times weeks another process costs more than it saves.
WORTH_A_PROCESS = 200_000
MAX_PROCESSES = 4
# So many pieces of the oracle, so that nobody waits long for the last one.
_PIECES = 32
_EVENTS = "usage_events"


def simulate_into(
    simulation: Simulation,
    out: Path,
    progress: Callable[[str], None] | None = None,
    *,
    oracle: bool = True,
    processes: int | None = None,
) -> list[Path]:
    """Writes ``out/raw/NAME.parquet`` for every table and ``out/oracle.parquet``, replacing what is there.

    Nothing is replaced before everything is made. The files are the same whatever the number of processes.

    Args:
        simulation: what to draw.
        out: the folder; made where it is not there.
        progress: told in a short sentence what is being done.
        oracle: write the true probabilities, too; they take most of the time.
        processes: how many work on it; by default one a core, and one for a small company.

    Returns:
        The files written, the oracle last.

    Raises:
        InputError: another process is making a company there.
    """
    count = processes or _processes(simulation)
    with staging(out) as stage:
        order = json_text({"simulation": asdict(simulation), "stage": stage, "oracle": oracle})
        helpers = [
            subprocess.Popen(
                [sys.executable, "-m", "churn_pipeline.simulate"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
            )
            for _ in range(count - 1)
        ]
        try:
            for helper in helpers:
                assert helper.stdin is not None
                # One that has ended already leaves its work to the others.
                with suppress(BrokenPipeError), helper.stdin as pipe:
                    pipe.write(order.encode())
            drawn = draft(simulation, progress)
            work = _Work(drawn, stage, oracle)
            work.take()
            if helpers:
                drawn.tell("the last pieces, which other processes are at")
            for helper in helpers:
                helper.wait()
            work.take(again=True)
        finally:
            for helper in helpers:
                helper.kill()
                helper.wait()
        if oracle:
            drawn.tell("true probabilities: into one file")
            write_table(work.oracle(), stage / f"{ORACLE}.parquet")
        return place(stage, out, list(drawn.tables), oracle=oracle)


def _processes(simulation: Simulation) -> int:
    if simulation.customers * simulation.weeks < WORTH_A_PROCESS:
        return 1
    return min(processors(), MAX_PROCESSES)


class _Work:
    """The tasks of one company, by name, in the order in which they are best begun."""

    def __init__(self, drawn: Draft, stage: Path, oracle: bool) -> None:
        self._drawn, self._stage = drawn, stage
        mondays = range(drawn.simulation.weeks + 1)
        size = -(-len(mondays) // _PIECES)
        self._pieces = {
            f"{ORACLE}-{first:03d}": mondays[first : first + size] for first in range(0, len(mondays), size) if oracle
        }
        self._marks = {list(self._pieces)[mark] for mark in progress_marks(len(self._pieces))}
        # What takes longest begins. Dirt of one table depends on the tables before it, so all are one task.
        tables: dict[str, Callable[[], None]] = (
            {"tables": self._all_tables}
            if drawn.simulation.dirty
            else {_EVENTS: self._events, "tables": self._other_tables}
        )
        self._tasks: dict[str, Callable[[], None]] = tables | {name: self._piece_of(name) for name in self._pieces}

    def take(self, again: bool = False) -> None:
        """Does every task that nobody has taken, or, when nobody else is left, every one that is not done."""
        for name, task in self._tasks.items():
            if not (self._stage / f"{name}.done").exists() and (again or self._claimed(name)):
                if name in self._marks:
                    self._drawn.tell(
                        f"true probabilities: Monday {self._pieces[name].start + 1} of {self._drawn.simulation.weeks + 1}"
                    )
                task()
                (self._stage / f"{name}.done").touch()

    def oracle(self) -> Iterator[pa.Table]:
        """The oracle of all Mondays, a record batch after the other, once every piece is done."""
        for name in self._pieces:
            with pa.ipc.open_file(self._stage / f"{name}.arrow") as piece:
                for number in range(piece.num_record_batches):
                    yield pa.Table.from_batches([piece.get_batch(number)])

    def _claimed(self, name: str) -> bool:
        try:
            (self._stage / f"{name}.taken").touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def _events(self) -> None:
        write_table(self._drawn.tables[_EVENTS](), self._file(_EVENTS))

    def _other_tables(self) -> None:
        for name, parts in self._drawn.tables.items():
            if name != _EVENTS:
                write_table(parts(), self._file(name))

    def _all_tables(self) -> None:
        for name, parts in self._drawn.as_exported(self._spool):
            write_table(parts, self._file(name))

    def _piece_of(self, name: str) -> Callable[[], None]:
        def make() -> None:
            _keep(self._drawn.oracle(self._pieces[name]), self._stage / f"{name}.arrow")

        return make

    def _spool(self, name: str, parts: Iterator[pa.Table]) -> Spooled:
        path = self._stage / f"{name}.clean"
        rows = _keep(parts, path)

        def again() -> Iterator[pa.Table]:
            with pa.ipc.open_file(path) as kept:
                for number in range(kept.num_record_batches):
                    yield pa.Table.from_batches([kept.get_batch(number)])

        return rows, again

    def _file(self, name: str) -> Path:
        return self._stage / f"{name}.parquet"


def _keep(parts: Iterator[pa.Table], path: Path) -> int:
    """Keeps a table in parts, one record batch each; returns the number of rows."""
    first = next(parts)
    rows = 0
    with pa.ipc.new_file(path, first.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as file:
        for part in chain((first,), parts):
            for batch in part.combine_chunks().to_batches() or [_no_rows(part.schema)]:
                file.write_batch(batch)
            rows += part.num_rows
    return rows


def _no_rows(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.nulls(0, field.type) for field in schema], schema=schema)


def main() -> int:
    """Takes part in a simulation that another process began; returns the exit code."""
    order = json.load(sys.stdin)
    asked = order["simulation"]
    asked["until"] = date.fromisoformat(asked["until"])
    asked["shocks"] = tuple(Shock(**shock) for shock in asked["shocks"])
    starter = os.getppid()

    def end_with_the_starter() -> None:
        while os.getppid() == starter:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=end_with_the_starter, daemon=True).start()
    _Work(draft(Simulation(**asked)), Path(order["stage"]), order["oracle"]).take()
    return 0
