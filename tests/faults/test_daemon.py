"""Dagster for real: a web server and a daemon as processes, a backfill asked for as the UI asks, a schedule that ticks by the clock."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from churn_pipeline.contract import TABLES, value_ledger
from churn_pipeline.core.settings import Settings
from churn_pipeline.delivery.announce import outbox_of
from churn_pipeline.orchestration.definitions import JOB, SCHEDULE
from churn_pipeline.orchestration.failures import problems
from churn_pipeline.orchestration.keys import DATA_DOCS, PUBLISHED, SCORES, landing_key
from tests.conftest import TINY_BEFORE, TINY_MONDAY, Company
from tests.support.dagster import REPOSITORY_OF_JOBS, WebServer, process, web_server
from tests.support.homes import PER_RUN, copy_of, differences, query
from tests.support.processes import wait_for
from tests.support.truncation import with_a_feed_that_stood_still

pytestmark = pytest.mark.timeout(900)

WEEK = timedelta(days=7)
RARELY_RAISED = "the_longer_window_is_rarely_raised"
ENDED = {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}

BACKFILL = """
mutation ($parameters: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $parameters) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}
"""
STATUS = """
query ($id: String!) {
  partitionBackfillOrError(backfillId: $id) {
    __typename
    ... on PartitionBackfill { status error { message } runs: unfinishedRuns { runId } }
  }
}
"""
ASSETS = """
query ($job: PipelineSelector!) {
  assetNodes(pipeline: $job) {
    assetKey { path }
    isPartitioned
    isMaterializable
    assetMaterializations(limit: 1) { runId }
    assetChecksOrError {
      ... on AssetChecks { checks { name executionForLatestMaterialization { status runId } } }
    }
  }
}
"""


@dataclass
class Stack:
    settings: Settings
    server: WebServer

    def backfill(self, **target: object) -> str:
        answer = self.server.ask(BACKFILL, parameters=target)["launchPartitionBackfill"]
        assert answer["__typename"] == "LaunchBackfillSuccess", answer
        return answer["backfillId"]

    def status(self, backfill: str) -> str:
        answer = self.server.ask(STATUS, id=backfill)["partitionBackfillOrError"]
        assert answer.get("error") is None, answer
        return answer["status"]

    def assets(self) -> list[dict]:
        """What the Monday job makes, with the newest materialization and the checks of it."""
        nodes = self.server.ask(ASSETS, job={"pipelineName": JOB, **REPOSITORY_OF_JOBS})["assetNodes"]
        return [node for node in nodes if node["isMaterializable"]]

    def runs(self) -> list[dg.DagsterRun]:
        with instance(self.settings) as dagster:
            return list(reversed(dagster.get_runs()))


def with_settings(settings: Settings, **more: object) -> Settings:
    return Settings(**settings.model_dump(include=settings.model_fields_set) | more)


def said(settings: Settings) -> list[str]:
    """What lies in the outbox, sent or not."""
    return [entry.key for entry in outbox_of(settings).entries()]


def instance(settings: Settings) -> dg.DagsterInstance:
    return dg.DagsterInstance.from_config(str(settings.dagster_home))


@contextmanager
def running(settings: Settings) -> Iterator[Stack]:
    # The deadline speaks of a Monday that is late, whatever makes it in the end.
    settings = with_settings(settings, deadline=time(23, 59))
    with process(settings, "dagster-daemon", "run"), web_server(settings) as server:
        yield Stack(settings, server)


@pytest.fixture
def stack(tiny_copy: Settings) -> Iterator[Stack]:
    with running(tiny_copy) as running_stack:
        yield running_stack


def job_partitions(first: date, last: date) -> dict[str, object]:
    days = [first + n * WEEK for n in range((last - first).days // 7 + 1)]
    return {
        "selector": {"partitionSetName": f"{JOB}_partition_set", "repositorySelector": REPOSITORY_OF_JOBS},
        "partitionNames": [day.isoformat() for day in days],
    }


def test_a_backfill_through_the_api_is_one_run_through_the_queue_and_every_partition_is_made_and_checked(
    stack: Stack, tiny_two_mondays: Settings
) -> None:
    mondays = [TINY_BEFORE, TINY_MONDAY]
    before, messages = stack.runs(), said(stack.settings)
    backfill = stack.backfill(**job_partitions(mondays[0], mondays[-1]))
    wait_for(lambda: stack.status(backfill).startswith("COMPLETED"), 300, "the backfill")
    assert stack.status(backfill) == "COMPLETED_SUCCESS"
    (run,) = stack.runs()[len(before) :]
    assert run.status == dg.DagsterRunStatus.SUCCESS
    with instance(stack.settings) as dagster:
        events = {entry.dagster_event_type.value for entry in dagster.all_logs(run.run_id) if entry.dagster_event_type}
        assert events >= {"PIPELINE_ENQUEUED", "PIPELINE_STARTING"}
        assets = stack.assets()
        assert PUBLISHED.path in [asset["assetKey"]["path"] for asset in assets if asset["isPartitioned"]]
        for asset in assets:
            key = dg.AssetKey(asset["assetKey"]["path"])
            assert [made["runId"] for made in asset["assetMaterializations"]] == [run.run_id], key
            if asset["isPartitioned"]:
                assert dagster.get_materialized_partitions(key) >= {day.isoformat() for day in mondays}, key
    checks = {
        (*asset["assetKey"]["path"], check["name"]): check["executionForLatestMaterialization"]
        for asset in assets
        for check in asset["assetChecksOrError"]["checks"]
    }
    assert len(checks) > 50
    assert [name for name, execution in checks.items() if not execution or execution["runId"] != run.run_id] == []
    # A share of 500 customers that is to stay under 2 % is a matter of luck.
    assert {name for name, execution in checks.items() if execution["status"] != "SUCCEEDED"} <= {
        (*SCORES.path, RARELY_RAISED)
    }
    assert said(stack.settings) == messages
    # The same as from the shell, one Monday after the other.
    comparison = differences(
        tiny_two_mondays.warehouse, stack.settings.warehouse, "policy.predictions", without=PER_RUN
    )
    assert comparison["rows"] > 1_000
    assert (comparison["only_left"], comparison["only_right"]) == (0, 0)
    weeks = query(
        stack.settings.published_database,
        "select snapshot_date, count(distinct run_id) from predictions group by 1 order by 1",
    )
    assert weeks == [(day, 1) for day in mondays]


@pytest.mark.nightly
def test_a_bad_week_of_a_backfill_through_the_api_stays_empty_and_the_others_are_made(
    tiny_copy: Settings, tiny_company: Company, tmp_path: Path
) -> None:
    good, bad, last = (TINY_MONDAY - n * WEEK for n in (3, 2, 0))
    raw = with_a_feed_that_stood_still(tiny_company.raw, tmp_path / "raw", bad)
    settings = with_settings(tiny_copy, raw=raw)
    messages = said(settings)
    with running(settings) as stack:
        before = stack.runs()
        backfill = stack.backfill(**job_partitions(good, last))
        wait_for(lambda: stack.status(backfill).startswith("COMPLETED"), 300, "the backfill")
        assert stack.status(backfill) == "COMPLETED_FAILED"
        (run,) = stack.runs()[len(before) :]
    made = {str(good + n * WEEK) for n in range(4)} - {str(bad)}
    with instance(settings) as dagster:
        assert dagster.get_materialized_partitions(PUBLISHED) == made
    assert query(
        settings.published_database,
        f"select distinct snapshot_date::varchar from predictions where snapshot_date >= '{good}' order by 1",
    ) == [(day,) for day in sorted(made)]
    words = query(
        settings.published_database,
        f"select snapshot_date, status, reason from runs where run_id = '{run.run_id}' and status <> 'published'",
    )
    assert [(day, status) for day, status, _ in words] == [(bad, "refused")]
    assert "usage_events" in words[0][2]
    assert said(settings) == messages


@pytest.mark.nightly
def test_a_backfill_of_the_assets_themselves_lands_first_then_makes_all_mondays_in_one_run_and_then_the_data_docs(
    stack: Stack,
) -> None:
    """What the asset graph's Materialize button asks for: the assets of the job, with their partitions."""
    keys = [asset["assetKey"] for asset in stack.assets()]
    before = stack.runs()
    backfill = stack.backfill(
        assetSelection=keys, partitionNames=[TINY_BEFORE.isoformat(), TINY_MONDAY.isoformat()], fromFailure=False
    )
    wait_for(lambda: stack.status(backfill).startswith("COMPLETED"), 300, "the backfill")
    runs = stack.runs()[len(before) :]
    with instance(stack.settings) as dagster:
        events = [entry.dagster_event for run in runs for entry in dagster.all_logs(run.run_id) if entry.dagster_event]
    assert problems(events) == []
    assert {run.status for run in runs} == {dg.DagsterRunStatus.SUCCESS}
    # The site of all Mondays, when they are made.
    landed, made, documented = runs
    assert documented.asset_selection == {DATA_DOCS}
    assert landed.asset_selection == {landing_key(name) for name in (*TABLES, value_ledger.SOURCE)}
    assert PUBLISHED in made.asset_selection
    assert made.tags["dagster/asset_partition_range_start"] == str(TINY_BEFORE)
    assert made.tags["dagster/asset_partition_range_end"] == str(TINY_MONDAY)
    with instance(stack.settings) as dagster:
        assert dagster.get_materialized_partitions(PUBLISHED) >= {str(TINY_BEFORE), str(TINY_MONDAY)}


@pytest.mark.nightly
def test_a_run_that_is_killed_does_not_hold_up_the_queue(stack: Stack) -> None:
    before = stack.runs()
    stack.backfill(**job_partitions(TINY_MONDAY, TINY_MONDAY))

    def holder() -> int | None:
        """The process that holds the home, once it is the new run's."""
        try:
            note = json.loads(stack.settings.lock_file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        new = [run.run_id for run in stack.runs()[len(before) :]]
        return note["pid"] if new and new[0] in note["purpose"] else None

    os.kill(int(str(wait_for(holder, 120, "the run"))), signal.SIGKILL)
    stack.backfill(**job_partitions(TINY_MONDAY, TINY_MONDAY))

    def ended() -> bool:
        new = stack.runs()[len(before) :]
        return len(new) == 2 and all(run.status in ENDED for run in new)

    wait_for(ended, 240, "the second run")
    assert [run.status for run in stack.runs()[len(before) :]] == [
        dg.DagsterRunStatus.FAILURE,
        dg.DagsterRunStatus.SUCCESS,
    ]


# --- the schedule, by a clock that is set for the daemon and the code server that it starts


@dataclass(frozen=True)
class Zone:
    """Two Mondays with a change of the clocks between them, or just two Mondays, and those that are to be made up for after two more."""

    name: str
    first: date
    second: date
    missed: tuple[date, ...]


# New York goes forward on 2026-03-08, Auckland back on 2026-04-05. Their homes never publish anything, so nobody waits for what they missed.
ZONES = (
    Zone("UTC", TINY_BEFORE - WEEK, TINY_BEFORE, (TINY_MONDAY, TINY_MONDAY + WEEK)),
    Zone("America/New_York", date(2026, 3, 2), date(2026, 3, 9), (date(2026, 3, 23),)),
    Zone("Pacific/Auckland", date(2026, 3, 30), date(2026, 4, 6), (date(2026, 4, 20),)),
)
# Its clocks change between the two Mondays, and its homes are empty, so that nothing is waited for. The others are lived through every night.
EVERY_TIME = "America/New_York"
# Room for a daemon to come up on a busy machine before it strikes eight.
EARLY = timedelta(seconds=80)


def local(zone: str, day: date, hour: int) -> datetime:
    return datetime(day.year, day.month, day.day, hour, tzinfo=ZoneInfo(zone))


def requested(settings: Settings) -> list[tuple[str, str]]:
    """The Mondays that the schedule has started a run for, in order, with the run's key."""
    with instance(settings) as dagster:
        runs = dagster.get_runs(dg.RunsFilter(tags={"dagster/schedule_name": SCHEDULE}))
        return [(run.tags["dagster/partition"], run.tags["dagster/run_key"]) for run in reversed(runs)]


@dataclass(frozen=True)
class Ticked:
    zone: Zone
    settings: Settings
    after: tuple[list[tuple[str, str]], ...]


def ticks(zone: Zone, settings: Settings) -> Ticked:
    """Lives through four Mondays: on at eight, on at eight after the change of the clocks, and off for two, until Wednesday noon."""
    after = []

    def until(at: datetime, count: int, seconds: float) -> None:
        with process(settings, "dagster-daemon", "run", at=at):
            wait_for(lambda: len(requested(settings)) >= count, seconds, f"run {count} in {zone.name}")
        after.append(requested(settings))

    until(local(zone.name, zone.first, 8) - EARLY, 1, 300)
    until(local(zone.name, zone.second, 8) - EARLY, 2, 300)
    wednesday = zone.second + 2 * WEEK + timedelta(days=2)
    with process(settings, "dagster-daemon", "run", at=local(zone.name, wednesday, 12)):
        count = 2 + len(zone.missed)
        wait_for(lambda: len(requested(settings)) >= count, 240, f"the missed Mondays in {zone.name}")
        wait_for(lambda: all(run.status in ENDED for run in runs_of(settings, 3)), 400, "their runs")
    after.append(requested(settings))
    with process(settings, "dagster-daemon", "run", at=local(zone.name, wednesday, 13)):
        ticked = settings.home / "dagster-daemon.log"
        seen = ticked.stat().st_size
        wait_for(lambda: b"Checking for new runs" in ticked.read_bytes()[seen:], 120, "the scheduler's look")
    after.append(requested(settings))
    return Ticked(zone, settings, tuple(after))


def runs_of(settings: Settings, number: int) -> list[dg.DagsterRun]:
    with instance(settings) as dagster:
        return list(reversed(dagster.get_runs(dg.RunsFilter(tags={"dagster/schedule_name": SCHEDULE}))))[number - 1 :]


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(zone, id=zone.name, marks=() if zone.name == EVERY_TIME else pytest.mark.nightly) for zone in ZONES
    ],
)
def ticked(request: pytest.FixtureRequest, tiny_home: Settings, tmp_path_factory: pytest.TempPathFactory) -> Ticked:
    zone: Zone = request.param
    home = tmp_path_factory.mktemp("zone") / "home"
    given = tiny_home.model_dump(include=tiny_home.model_fields_set) | {"home": home, "timezone": zone.name}
    del given["now"]
    if zone.name == "UTC":
        copy_of(tiny_home, home)
    else:
        # Only what the schedule asks for is looked at; with nothing to land its runs end at once.
        given["raw"] = home / "nothing"
    return ticks(zone, Settings(**given))


def test_at_eight_on_monday_the_schedule_starts_the_run_of_that_monday_on_both_sides_of_a_dst_change(
    ticked: Ticked,
) -> None:
    zone = ticked.zone.name
    first, second = str(ticked.zone.first), str(ticked.zone.second)
    assert ticked.after[0] == [(first, f"{JOB}:{first}")]
    assert ticked.after[1] == [(first, f"{JOB}:{first}"), (second, f"{JOB}:{second}")]
    with instance(ticked.settings) as dagster:
        state = dagster.all_instigator_state()
        origin = next(instigator for instigator in state if instigator.name == SCHEDULE)
        scheduled = sorted(
            datetime.fromtimestamp(tick.timestamp, ZoneInfo(zone))
            for tick in dagster.get_ticks(origin.instigator_origin_id, origin.selector_id)
        )
    assert {(at.weekday(), at.hour, at.minute) for at in scheduled} == {(0, 8, 0)}


def test_the_mondays_on_which_the_machine_was_off_are_run_when_it_is_back_oldest_first_and_only_once(
    ticked: Ticked,
) -> None:
    assert ticked.after[2] == [
        *ticked.after[1],
        *((str(day), f"{JOB}:{day}") for day in ticked.zone.missed),
    ]
    assert ticked.after[3] == ticked.after[2]


@pytest.mark.nightly
@pytest.mark.parametrize("ticked", ZONES[:1], ids=["UTC"], indirect=True)
def test_the_missed_mondays_are_scored_and_published_and_only_the_latest_is_spoken_of(ticked: Ticked) -> None:
    zone, settings = ticked.zone, ticked.settings
    older, latest = zone.missed
    assert [run.status for run in runs_of(settings, 3)] == [dg.DagsterRunStatus.SUCCESS] * 2
    assert query(
        settings.published_database,
        f"""
        select snapshot_date, count(*) > 500, count(distinct run_id), any_value(scoring_mode) from predictions
        where snapshot_date >= '{older}' group by 1 order by 1
        """,
    ) == [(older, True, 1, "as_of"), (latest, True, 1, "live")]
    notifiable_monday = {entry.snapshot_date for entry in outbox_of(settings).entries()}
    assert latest in notifiable_monday and older not in notifiable_monday
