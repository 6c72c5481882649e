"""What a replay of many weeks costs, beside what its parts cost one by one.

A replay lands and builds once, trains each training Monday once and scores each week once. Its wall time is put beside

    (one landing and mart build) + (training Mondays) x (one training) + (weeks) x (one scoring),

each part measured in this very run, on the same machine, from Dagster's record of the steps of one Monday in a home of its own. The replay also
parses the dbt project and starts its processes, which the sum leaves out: the smaller the company, the more they weigh, and the harder the bound is
to keep. What follows a publication (monitoring, the report, Data Docs) is in neither side of the first ratio; the second has it in both, once a week
in the sum. If either is over 1.2 the exit code is 1. What it is doing goes to standard error as it goes on.

Without --full it is nine Mondays of a company of 2,000 over 78 weeks, three trainings among them; with --full half a year of one of 10,000 over 156, the
sizes of docs/quality.md.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg

from churn_pipeline.core.calendar import monday_on_or_before, training_monday
from churn_pipeline.core.settings import Settings
from churn_pipeline.orchestration.execute import run_mondays
from churn_pipeline.simulate import Simulation, simulate, write

BOUND = 1.2
WEEK = timedelta(days=7)
BUILD = ("raw", "landing", "build_plan", "dbt_features", "marts")
TRAIN = ("models",)
SCORE = ("score", "scoring", "dbt_candidates", "policy", "dbt_predictions", "published")


@dataclass(frozen=True)
class Measured:
    """Seconds of one run: all of it, and its steps by what they are for."""

    wall: float
    build: float
    train: float
    score: float
    after: float


@dataclass(frozen=True)
class Size:
    """How large a company, how long its history, and how many of its last Mondays are replayed."""

    customers: int
    history: int
    mondays: int


USUAL, FULL = Size(2_000, 78, 9), Size(10_000, 156, 26)


def teller(what: str, began: float) -> Callable[[str], None]:
    """Says on standard error what a run is at, and how long all of it has taken so far."""

    def tell(sentence: str) -> None:
        # A run indents the details of a step.
        if not sentence.startswith(" "):
            print(f"{time.perf_counter() - began:7.1f} s  {what}: {sentence}", file=sys.stderr, flush=True)

    return tell


def measured(settings: Settings, first: date, last: date, tell: Callable[[str], None]) -> Measured:
    began = time.perf_counter()
    outcome = run_mondays(settings, first, last, progress=tell)
    wall = time.perf_counter() - began
    if outcome.exit_code:
        sys.exit(f"the run failed: {outcome.reason}")
    seconds = {"build": 0.0, "train": 0.0, "score": 0.0, "after": 0.0}
    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        for step in instance.get_run_step_stats(outcome.run_id):
            parts = {"build": BUILD, "train": TRAIN, "score": SCORE}
            part = next((name for name, steps in parts.items() if step.step_key.startswith(steps)), "after")
            seconds[part] += (step.end_time or 0) - (step.start_time or 0)
    return Measured(wall, **seconds)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="the sizes of docs/quality.md")
    parser.add_argument("--customers", type=int, help="customers that ever signed up")
    parser.add_argument("--weeks", type=int, help="Mondays to replay")
    arguments = parser.parse_args()
    size = FULL if arguments.full else USUAL
    size = Size(arguments.customers or size.customers, size.history, arguments.weeks or size.mondays)

    began = time.perf_counter()
    last = monday_on_or_before(date(2026, 6, 29))
    first = last - (size.mondays - 1) * WEEK
    with tempfile.TemporaryDirectory() as scratch:
        raw = Path(scratch) / "raw"
        teller("company", began)(f"{size.customers:,} customers over {size.history} weeks")
        write(simulate(Simulation(customers=size.customers, weeks=size.history, until=last, seed=7)), Path(scratch))

        def home(name: str) -> Settings:
            return Settings(
                home=Path(scratch) / name, raw=raw, now=datetime(last.year, last.month, last.day, 12, tzinfo=UTC)
            )

        single = home("single")
        newest = training_monday(last, single.training_cadence_weeks)
        # A first Monday has nothing to be compared with, so it trains once and does nothing else: one run has every part.
        parts = measured(single, newest, newest, teller("one Monday", began))
        replay = measured(home("replay"), first, last, teller(f"replay of {size.mondays} Mondays", began))

    trainings = len({training_monday(first + n * WEEK, single.training_cadence_weeks) for n in range(size.mondays)})
    floor = parts.build + trainings * parts.train + size.mondays * parts.score
    rows = [
        ("one landing and mart build", parts.build),
        (f"one training Monday, three targets (x {trainings})", parts.train),
        (f"one scoring, audit and publication (x {size.mondays})", parts.score),
        ("sum of the parts", floor),
        (f"one monitoring and report (x {size.mondays}, second ratio only)", parts.after),
        (f"replay of {size.mondays} weeks, wall", replay.wall),
        ("  of which landing and marts", replay.build),
        ("  of which training", replay.train),
        ("  of which scoring to publication", replay.score),
        ("  of which monitoring and report", replay.after),
    ]
    print(f"{size.customers:,} customers, {size.history} weeks of history, {size.mondays} Mondays")
    for name, seconds in rows:
        print(f"{name:<62} {seconds:8.1f} s")
    ratios = {
        "to publication": (replay.wall - replay.after) / floor,
        "whole": replay.wall / (floor + size.mondays * parts.after),
    }
    for name, ratio in ratios.items():
        print(f"{f'replay / sum of the parts, {name} (bound {BOUND})':<62} {ratio:8.2f}")
    return int(max(ratios.values()) > BOUND)


if __name__ == "__main__":
    sys.exit(main())
