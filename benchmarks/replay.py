"""What a replay of many weeks costs, beside what its parts cost one by one.

A replay lands and builds once, trains each training Monday once and scores each week once. Its wall time is put beside

    (one landing and mart build) + (training Mondays) x (one training) + (weeks) x (one scoring),

each part measured in this very run, on the same machine, from Dagster's record of the steps. The replay also parses the dbt project and
fits the first opponent, which the sum leaves out. What follows a publication (monitoring, the report, Data Docs) is in neither side of
the first ratio; the second has it in both, once a week in the sum. If either is over 1.2 the exit code is 1.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
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


def measured(settings: Settings, first: date, last: date) -> Measured:
    began = time.perf_counter()
    outcome = run_mondays(settings, first, last)
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
    parser.add_argument("--customers", type=int, default=10_000, help="customers of the simulated company (10000)")
    parser.add_argument("--weeks", type=int, default=26, help="Mondays to replay (26)")
    arguments = parser.parse_args()

    last = monday_on_or_before(date(2026, 6, 29))
    first = last - (arguments.weeks - 1) * WEEK
    with tempfile.TemporaryDirectory() as scratch:
        raw = Path(scratch) / "raw"
        write(simulate(Simulation(customers=arguments.customers, weeks=156, until=last, seed=7)), Path(scratch))

        def home(name: str) -> Settings:
            return Settings(
                home=Path(scratch) / name, raw=raw, now=datetime(last.year, last.month, last.day, 12, tzinfo=UTC)
            )

        single = home("single")
        newest = training_monday(last, single.training_cadence_weeks)
        before = measured(
            single, newest - single.training_cadence_weeks * WEEK, newest - single.training_cadence_weeks * WEEK
        )
        # The one before is registered now, so this one trains and does nothing else.
        week_cost = measured(single, newest, newest)
        replay = measured(home("replay"), first, last)

    trainings = len({training_monday(first + n * WEEK, single.training_cadence_weeks) for n in range(arguments.weeks)})
    floor = before.build + trainings * week_cost.train + arguments.weeks * week_cost.score
    rows = [
        ("one landing and mart build", before.build),
        (f"one training Monday, three targets (x {trainings})", week_cost.train),
        (f"one scoring, audit and publication (x {arguments.weeks})", week_cost.score),
        ("sum of the parts", floor),
        (f"one monitoring and report (x {arguments.weeks}, second ratio only)", week_cost.after),
        (f"replay of {arguments.weeks} weeks, wall", replay.wall),
        ("  of which landing and marts", replay.build),
        ("  of which training", replay.train),
        ("  of which scoring to publication", replay.score),
        ("  of which monitoring and report", replay.after),
    ]
    for name, seconds in rows:
        print(f"{name:<62} {seconds:8.1f} s")
    ratios = {
        "to publication": (replay.wall - replay.after) / floor,
        "whole": replay.wall / (floor + arguments.weeks * week_cost.after),
    }
    for name, ratio in ratios.items():
        print(f"{f'replay / sum of the parts, {name} (bound {BOUND})':<62} {ratio:8.2f}")
    return int(max(ratios.values()) > BOUND)


if __name__ == "__main__":
    sys.exit(main())
