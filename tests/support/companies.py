"""The simulated companies of the tests and the homes that have scored a Monday of them, as recipes of prepared folders."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from churn_pipeline.core.settings import Settings
from churn_pipeline.simulate import Simulation, simulate, write
from tests.support.prepared import prepared
from tests.support.truncation import truncate

# A Monday with 90 weeks of data before it and 14 after, so that every label of it is known and the truncation test has
# something to cut off. It is a training Monday of the grid.
UNTIL = date(2026, 6, 29)
MONDAY = date(2026, 3, 16)

# A company that is small enough to be killed fifty times. TINY_MONDAY is a training Monday, TINY_BEFORE the Monday before it.
TINY_UNTIL = date(2026, 6, 15)
TINY_MONDAY = date(2026, 6, 8)
TINY_BEFORE = date(2026, 6, 1)
TINY = {"min_train_churners": 20, "min_test_churners": 5, "bootstrap_replicates": 50, "history_weeks": 60}


@dataclass(frozen=True)
class Company:
    """A simulated company on disk."""

    raw: Path
    oracle: Path
    until: date


def settings_at(home: Path, raw: Path, monday: date, **settings: object) -> Settings:
    """Settings of a home whose clock stands at noon of a Monday."""
    noon = datetime(monday.year, monday.month, monday.day, 12, tzinfo=UTC)
    return Settings(
        home=home, raw=raw, **{"now": noon, "lock_wait_seconds": 5, "bootstrap_replicates": 100, **settings}
    )


def company() -> Company:
    """4,000 customers over 104 weeks, with duplicates, late rows and plan changes.

    With fewer, trainings are refused one after the other, which costs more than the customers do.
    """
    simulation = Simulation(customers=4_000, weeks=104, until=UNTIL, seed=3, dirty=True)
    folder = prepared("company", lambda out: write(simulate(simulation), out))
    return Company(folder / "raw", folder / "oracle.parquet", UNTIL)


def tiny_company() -> Company:
    """900 customers over 62 weeks."""
    # Nobody is called, so that what a week knew of those who were called is the same wherever a replay begins.
    simulation = Simulation(customers=900, weeks=62, until=TINY_UNTIL, seed=5, call_share=0.0)
    folder = prepared("tiny_company", lambda out: write(simulate(simulation), out))
    return Company(folder / "raw", folder / "oracle.parquet", TINY_UNTIL)


def scored_home() -> Settings:
    """A home that has scored MONDAY, months after it, from raw data that goes on."""
    raw = company().raw
    folder = prepared("scored_home", lambda home: _run(settings_at(home, raw, UNTIL), MONDAY))
    return settings_at(folder, raw, UNTIL)


def tiny_home() -> Settings:
    """A home that has scored TINY_BEFORE from what was known then; its settings see the raw data of a week later."""
    raw = tiny_company().raw

    def build(home: Path) -> None:
        early = home.with_name("early")
        shutil.rmtree(early, ignore_errors=True)
        truncate(raw, early, TINY_BEFORE)
        _run(settings_at(home, early, TINY_BEFORE, **TINY), TINY_BEFORE)
        shutil.rmtree(early)

    return settings_at(prepared("tiny_home", build), raw, TINY_MONDAY, **TINY)


def tiny_two_mondays() -> Settings:
    """The same home a week later: it has scored TINY_BEFORE and TINY_MONDAY, with a training before each."""
    before = tiny_home()

    def build(home: Path) -> None:
        shutil.copytree(before.home, home, dirs_exist_ok=True)
        _run(settings_at(home, before.raw_dir, TINY_MONDAY, **TINY), TINY_MONDAY)

    return settings_at(prepared("tiny_two_mondays", build), before.raw_dir, TINY_MONDAY, **TINY)


def _run(settings: Settings, monday: date) -> None:
    from churn_pipeline.orchestration.execute import run_mondays

    outcome = run_mondays(settings, monday)
    assert outcome.exit_code == 0, outcome.reason
    _let_go_of_mlflow()


def _let_go_of_mlflow() -> None:
    """MLflow goes on with the store that it used last, in this process and by the environment in those that it starts. No test is to meet
    a prepared home's by chance."""
    import mlflow

    mlflow.set_tracking_uri(None)  # type: ignore[arg-type]
    mlflow.set_registry_uri(None)  # type: ignore[arg-type]
    os.environ.pop("MLFLOW_REGISTRY_URI", None)


def main() -> None:
    """Makes what there is to make, so that no test has to wait for it; with ``--clear`` it only removes what nobody uses."""
    import sys

    from tests.support import prepared as cache

    if sys.argv[1:] == ["--clear"]:
        cache.clear()
        return
    tiny_two_mondays()
    scored_home()


if __name__ == "__main__":
    main()
