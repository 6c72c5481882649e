"""kill -9, at every stage and at any moment: the next run completes at once, and nothing is lost, doubled or mixed."""

from __future__ import annotations

import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from churn_pipeline.core.calendar import WEEK
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.targets import TARGETS
from churn_pipeline.core.warehouse import connect
from churn_pipeline.delivery.report.write import page_of
from churn_pipeline.features.frames import training_frame
from churn_pipeline.features.splits import Span
from churn_pipeline.orchestration.execute import run_mondays
from churn_pipeline.orchestration.keys import PUBLISHED
from tests.conftest import TINY_BEFORE, TINY_MONDAY, Company
from tests.faults.conftest import assert_same
from tests.support.homes import copy_of, query
from tests.support.processes import churn, kill, start
from tests.support.truncation import without_usage

# What a run says on stderr when it comes to a stage, and how long after it the kill comes: each lies in the middle of the stage's work.
STAGES = {
    "landing": ("landing", 0.3),
    "dbt": ("dbt_features", 0.7),
    "training": ("models churn_90d", 1.0),
    "registering": ("training as of", 2.2),
    "scoring": ("score", 0.2),
    "policy": ("dbt_candidates", 0.4),
    "predictions": ("dbt_predictions", 0.3),
    "publish": ("published", 0.05),
}
# Where MLflow and the ledger have to agree again. The others are killed every night.
EVERY_TIME = ("registering",)
# A run that dies once dbt has built and tested the marts, in the place of writing down what the tests found.
UNJUDGED = """
import os, signal
from churn_pipeline.cli.commands import main
from churn_pipeline.features import verdicts
verdicts.store = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
main()
"""
# Fifty take half an hour on two cores, the stages ten minutes.
MOMENTS = int(os.environ.get("CHURN_TEST_KILLS", "50"))


def killed_at(settings: Settings, words: str, after: float) -> bool:
    """Runs TINY_MONDAY and kills it so long after it said the words; whether it was still running."""
    process = start(settings, "run", "--week", str(TINY_MONDAY))
    assert process.stderr is not None
    for line in process.stderr:
        if words in line:
            time.sleep(after)
            break
    running = process.poll() is None
    kill(process)
    return running


def complete(settings: Settings) -> float:
    """The next run, to its end; how long it took."""
    began = time.monotonic()
    completed = churn(settings, "run", "--week", str(TINY_MONDAY))
    assert completed.returncode == 0, completed.stderr
    assert "Waiting for" not in completed.stderr
    return time.monotonic() - began


@pytest.mark.parametrize(
    "stage", [pytest.param(stage, marks=() if stage in EVERY_TIME else pytest.mark.nightly) for stage in STAGES]
)
def test_killed_in_a_stage_the_next_run_completes_and_gives_what_an_undisturbed_run_gives(
    stage: str, tiny_copy: Settings, same_as_undisturbed: Callable[[Settings], None]
) -> None:
    assert killed_at(tiny_copy, *STAGES[stage]), "the run was over before the kill"
    before = query(
        tiny_copy.published_database, f"select count(*) from predictions where snapshot_date = '{TINY_BEFORE}'"
    )
    assert before[0][0] > 100, "readers lost the week that was there"
    complete(tiny_copy)
    same_as_undisturbed(tiny_copy)
    with dg.DagsterInstance.from_config(str(tiny_copy.dagster_home)) as instance:
        statuses = [run.status for run in instance.get_runs()]
    assert statuses == [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS]


# The command, killed when the predictions are in the warehouse and nothing of them is published.
KILLED_BEFORE_PUBLISHING = """
import os
from churn_pipeline.cli.commands import main
from churn_pipeline.delivery import publish
publish.unpublished = lambda *_: os.kill(os.getpid(), 9)
main()
"""


def test_a_monday_killed_before_it_was_published_is_caught_up_by_the_run_of_another(tiny_copy: Settings) -> None:
    # Two Mondays earlier: the week after a run's own Monday would be published with it.
    other = TINY_BEFORE - WEEK
    process = start(tiny_copy, "-c", KILLED_BEFORE_PUBLISHING, "run", "--week", str(TINY_MONDAY), program="python")
    process.communicate(timeout=240)
    assert process.returncode == -9
    written = f"select distinct snapshot_date, run_id from {{}}predictions where snapshot_date = '{TINY_MONDAY}'"
    ((_, killed),) = query(tiny_copy.warehouse, written.format("policy."))
    assert query(tiny_copy.published_database, written.format("")) == []

    completed = churn(tiny_copy, "run", "--week", str(other))
    assert completed.returncode == 0, completed.stderr
    assert f"{TINY_MONDAY}: caught up: run {killed} wrote it" in completed.stderr
    assert query(tiny_copy.published_database, written.format("")) == [(TINY_MONDAY, killed)]
    with duckdb.connect() as con:
        con.execute(f"attach '{tiny_copy.published_database}' as copy (read_only)")
        con.execute(f"create view files as from '{tiny_copy.published}/predictions/*.parquet'")
        weeks = con.execute("select distinct snapshot_date from files order by 1").fetchall()
        assert weeks == [(other,), (TINY_BEFORE,), (TINY_MONDAY,)]
        for left_source, right_source in (("files", "copy.predictions"), ("copy.predictions", "files")):
            assert con.execute(
                f"select count(*) from (from {left_source} except all from {right_source})"
            ).fetchone() == (0,)
    ledger_rows = query(
        tiny_copy.published_database,
        f"select status, scoring_mode, customers > 100, reason from runs where snapshot_date = '{TINY_MONDAY}'",
    )
    assert ledger_rows == [
        ("published", "live", True, f"caught up: run {killed} wrote it, and it was not wholly published")
    ]
    assert page_of(tiny_copy, TINY_MONDAY).is_file()
    with dg.DagsterInstance.from_config(str(tiny_copy.dagster_home)) as instance:
        assert instance.get_materialized_partitions(PUBLISHED) == {str(other), str(TINY_BEFORE), str(TINY_MONDAY)}


def trained_on(settings: Settings) -> list[date]:
    """The snapshots that a training as of TINY_MONDAY sees."""
    with connect(settings) as con:
        first = TINY_MONDAY - settings.history_weeks * WEEK
        whole = [Span(first, TINY_MONDAY)]
        frame = training_frame(con, TARGETS["churn_90d"], TINY_MONDAY, whole=whole, first=first)
    return sorted({day.date() for day in frame["snapshot_date"]})


@pytest.mark.nightly
def test_killed_before_the_features_are_judged_the_next_run_judges_them_before_it_trains(
    tiny_company: Company, tiny_home: Settings, tmp_path: Path
) -> None:
    # The feed was dead for two weeks: the newest event is seven days old a week before this Monday, and fourteen on it. Both are trained
    # on in TINY_MONDAY's run, and were built and judged in the run before it, from raw files without a gap.
    bad = TINY_BEFORE - 18 * WEEK
    raw = without_usage(tiny_company.raw, tmp_path / "raw", bad - 2 * WEEK + timedelta(days=1), bad)
    undisturbed, killed = (
        copy_of(tiny_home, tmp_path / name).model_copy(update={"raw": raw}) for name in ("undisturbed", "killed")
    )
    outcome = run_mondays(undisturbed, TINY_MONDAY)
    assert outcome.exit_code == 0, outcome.reason
    failed = "select snapshot_date from control.failed_mondays order by 1"
    assert query(undisturbed.warehouse, failed) == [(bad,)]
    assert query(killed.warehouse, failed) == []

    process = start(killed, "-c", UNJUDGED, "run", "--week", str(TINY_MONDAY), program="python")
    _, messages = process.communicate(timeout=240)
    assert process.returncode == -signal.SIGKILL, messages
    to_build, built = query(
        killed.warehouse,
        "select count(*), count(*) filter ((snapshot_date, fingerprint) in (select (key_date, fingerprint) from control.built)) "
        "from control.snapshots_to_build",
    )[0]
    assert to_build == built > 15, "the marts were not built before the kill"

    complete(killed)
    assert query(killed.warehouse, "select count(*) from control.snapshots_to_build") == [(0,)], "it built them again"
    assert query(killed.warehouse, failed) == [(bad,)]
    snapshots = trained_on(killed)
    assert bad - WEEK in snapshots and bad not in snapshots
    assert snapshots == trained_on(undisturbed)
    # Its models are those of an undisturbed run, to the bit.
    assert_same(undisturbed, killed)


def test_a_run_that_nobody_disturbed_judges_the_monday_asked_for_and_no_other_again(reference: Settings) -> None:
    assert query(reference.warehouse, "select snapshot_date from control.mondays_to_test") == [(TINY_MONDAY,)]
    assert query(
        reference.warehouse,
        "select count(*) > 40, count(distinct run_id) from control.monday_checks where stage = 'features'",
    ) == [(True, 2)]


@pytest.mark.nightly
@pytest.mark.timeout(3000)
def test_killed_at_fifty_random_moments_the_next_run_completes_every_time(
    tiny_home: Settings, tmp_path: Path, same_as_undisturbed: Callable[[Settings], None]
) -> None:
    probe = copy_of(tiny_home, tmp_path / "probe")
    whole = complete(probe)
    moments = [random.Random(11).uniform(0.5, whole) for _ in range(MOMENTS)]

    def one(number: int) -> bool:
        settings = copy_of(tiny_home, tmp_path / str(number))
        process = start(settings, "run", "--week", str(TINY_MONDAY))
        # Somebody has to read, or the run would wait for room in the pipe.
        for pipe in (process.stdout, process.stderr):
            threading.Thread(target=pipe.read, daemon=True).start()
        time.sleep(moments[number])
        running = process.poll() is None
        kill(process)
        complete(settings)
        same_as_undisturbed(settings)
        shutil.rmtree(settings.home)
        return running

    # Two at a time: they share the machine and nothing else.
    with ThreadPoolExecutor(2) as pool:
        killed = list(pool.map(one, range(MOMENTS)))
    print(f"{sum(killed)} of {MOMENTS} runs were killed before their end; a whole run takes {whole:.1f} s here")
    assert sum(killed) >= MOMENTS * 0.6


@pytest.fixture
def stale_run(tiny_copy: Settings) -> Iterator[str]:
    """A run that Dagster believes to be going on, and whose process is gone."""
    killed_at(tiny_copy, "landing", 0.1)
    with dg.DagsterInstance.from_config(str(tiny_copy.dagster_home)) as instance:
        (run,) = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
    yield run.run_id


@pytest.mark.nightly
def test_a_run_whose_process_is_gone_is_closed_by_whoever_comes_next_and_holds_up_nobody(
    stale_run: str, tiny_copy: Settings, same_as_undisturbed: Callable[[Settings], None]
) -> None:
    complete(tiny_copy)
    with dg.DagsterInstance.from_config(str(tiny_copy.dagster_home)) as instance:
        run = instance.get_run_by_id(stale_run)
        assert run is not None and run.status == dg.DagsterRunStatus.FAILURE
        messages = [
            record.event_log_entry.message or record.event_log_entry.user_message
            for record in instance.get_records_for_run(stale_run).records
        ]
    assert any("The process of this run is gone" in text for text in messages)
    same_as_undisturbed(tiny_copy)
