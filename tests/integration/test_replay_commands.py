"""The commands of a replay and of a decision about a model, as processes: what they print, how they end, what they leave alone; and the
report of a replay as the asset that it also is."""

from __future__ import annotations

import json
import shutil
import subprocess
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import pytest

from churn_pipeline.core.settings import Settings
from churn_pipeline.orchestration.definitions import build_defs
from churn_pipeline.orchestration.keys import REPLAY_REPORT
from tests.conftest import MONDAY, TINY_BEFORE, TINY_MONDAY
from tests.support.homes import copy_of, query
from tests.support.processes import churn

WEEK = timedelta(days=7)


def refused(completed: subprocess.CompletedProcess[str], exit_code: int, *words: object) -> None:
    assert completed.returncode == exit_code, completed.stderr
    assert completed.stdout == ""
    assert "Traceback" not in completed.stderr
    for word in words:
        assert str(word) in completed.stderr


def good(completed: subprocess.CompletedProcess[str]) -> str:
    assert completed.returncode == 0, completed.stderr
    return completed.stdout


def ledger(settings: Settings) -> list[tuple]:
    return query(settings.warehouse, "from ledger.promotions order by seq")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((TINY_MONDAY, TINY_BEFORE), [f"--from {TINY_MONDAY} lies after --to {TINY_BEFORE}"]),
        ((TINY_BEFORE + timedelta(days=2), TINY_MONDAY), ["Wednesday", TINY_BEFORE, TINY_MONDAY]),
        ((TINY_BEFORE, TINY_MONDAY + WEEK), [f"{TINY_MONDAY + WEEK} has not begun", TINY_MONDAY]),
        ((date(2011, 12, 26), TINY_MONDAY), ["2011-12-26 lies before CHURN_FIRST_MONDAY, 2012-01-02"]),
    ],
)
def test_a_backfill_of_a_range_that_makes_no_sense_is_refused_before_anything_is_done(
    tiny_home: Settings, arguments: tuple[date, date], words: list[object]
) -> None:
    first, last = map(str, arguments)
    completed = churn(tiny_home, "backfill", "--from", first, "--to", last)
    refused(completed, 2, *words)
    assert len(completed.stderr.splitlines()) == 1


@pytest.mark.long
def test_a_backfill_of_weeks_before_the_first_customer_names_every_one_and_publishes_nothing(
    tiny_copy: Settings,
) -> None:
    mondays = [date(2019, 12, 2), date(2019, 12, 9)]
    before = tiny_copy.published_database.read_bytes()
    completed = churn(tiny_copy, "backfill", "--from", str(mondays[0]), "--to", str(mondays[-1]), "--json")
    assert completed.returncode == 2, completed.stderr
    weeks = json.loads(completed.stdout)
    assert [(week["snapshot_date"], week["status"]) for week in weeks] == [(str(day), "refused") for day in mondays]
    last_line = completed.stderr.splitlines()[-1]
    for week in weeks:
        assert f"0 active customers at {week['snapshot_date']}" in week["reason"]
        assert f"{week['snapshot_date']}: {week['reason']}" in last_line
    assert tiny_copy.published_database.read_bytes() == before
    weeks_there = {path.name for path in (tiny_copy.published / "predictions").iterdir()}
    assert weeks_there == {f"{TINY_BEFORE}.parquet"}


@pytest.mark.long
def test_a_decision_about_a_model_without_a_reason_or_a_version_that_is_there_is_refused_and_not_noted(
    tiny_home: Settings,
) -> None:
    before = ledger(tiny_home)
    refused(churn(tiny_home, "rollback", "churn_30d"), 2, "say why")
    refused(churn(tiny_home, "promote", "churn_30d", "1"), 2, "say why")
    for version in (("--to", "99"), ("99",), ("99", "--to", "99")):
        unknown = churn(tiny_home, "rollback", "churn_30d", *version, "--reason", "too many alarms")
        refused(unknown, 2, "churn_30d has no version 99; the ledger knows 1")
    two = churn(tiny_home, "rollback", "churn_30d", "98", "--to", "99", "--reason", "too many alarms")
    refused(two, 2, "VERSION is 98 and --to is 99; give one of them")
    unknown = churn(tiny_home, "promote", "churn_30d", "99", "--reason", "checked by hand")
    refused(unknown, 2, "churn_30d has no version 99; the ledger knows 1")
    first = churn(tiny_home, "rollback", "churn_30d", "--reason", "too many alarms")
    refused(first, 3, "churn_30d has no earlier model to roll back to; 'churn models' lists what there is")
    assert ledger(tiny_home) == before


@pytest.fixture(scope="module")
def two_versions(tiny_two_mondays: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home whose models were trained twice; nothing but decisions is done to it."""
    return copy_of(tiny_two_mondays, tmp_path_factory.mktemp("decided") / "home")


@pytest.mark.long
def test_a_rollback_and_a_promotion_say_what_is_in_force_and_are_listed_at_once(two_versions: Settings) -> None:
    def newest() -> dict[str, object]:
        row = json.loads(good(churn(two_versions, "models", "--json")))[0]
        return {
            name: row[name] for name in ("target", "version", "promoted", "effective_from", "reason")
        } | {"decision": row["metrics"]["decision"]}  # fmt: skip

    printed = good(churn(two_versions, "rollback", "churn_30d", "--reason", "too many alarms"))
    assert f"churn_30d: version 1 is in force from {TINY_MONDAY} on, instead of version 2" in printed
    decided = {"target": "churn_30d", "promoted": True, "effective_from": str(TINY_MONDAY)}
    assert newest() == decided | {"version": "1", "reason": "too many alarms", "decision": "rollback"}
    assert "too many alarms" in good(churn(two_versions, "models"))

    again = churn(two_versions, "rollback", "churn_30d", "1", "--reason", "too many alarms")
    refused(again, 3, "churn_30d version 1 is in force already")

    printed = good(churn(two_versions, "promote", "churn_30d", "2", "--reason", "it was the feed"))
    assert f"churn_30d: version 2 is in force from {TINY_MONDAY} on, instead of version 1" in printed
    assert newest() == decided | {"version": "2", "reason": "it was the feed", "decision": "promote"}


@pytest.mark.long
def test_a_decision_that_could_not_be_published_stands_and_says_so(two_versions: Settings, tmp_path: Path) -> None:
    settings = copy_of(two_versions, tmp_path / "home")
    settings.published_database.write_text("no database", encoding="utf-8")
    completed = churn(settings, "rollback", "churn_30d", "--to", "1", "--reason", "too many alarms")
    assert completed.returncode == 0, completed.stderr
    assert f"it is not in {settings.published_database} yet" in completed.stderr
    assert "churn_30d: version 1 is in force" in completed.stdout
    assert query(settings.warehouse, "select target, version from ledger.promotions order by seq desc limit 1") == [
        ("churn_30d", "1")
    ]
    again = churn(settings, "run", "--week", str(TINY_MONDAY))
    assert again.returncode == 0, again.stderr
    assert query(
        settings.published_database, "select target, version, reason from promotions order by seq desc limit 1"
    ) == [("churn_30d", "1", "too many alarms")]


def test_a_replay_report_writes_its_page_and_its_json_says_the_same(tiny_home: Settings, tmp_path: Path) -> None:
    first, last = str(TINY_BEFORE - WEEK), str(TINY_MONDAY)
    command = ("replay-report", "--from", first, "--to", last, "--out", str(tmp_path))
    printed = good(churn(tiny_home, *command))
    page = tmp_path / f"replay_{first}_{last}.html"
    assert f"Page with plots: {page}" in printed
    html = page.read_text(encoding="utf-8")
    report = json.loads(good(churn(tiny_home, *command, "--json")))
    assert [week["snapshot_date"] for week in report["weeks"]] == [first, str(TINY_BEFORE), last]
    for week in report["weeks"]:
        assert week["snapshot_date"] in printed and week["snapshot_date"] in html
    refused(churn(tiny_home, "replay-report", "--from", last, "--to", first), 2, first, last)


@pytest.mark.long
def test_the_report_is_an_asset_that_writes_the_page_of_the_mondays_selected_and_shows_its_figures(
    scored_home: Settings, tmp_path: Path
) -> None:
    settings = Settings(**scored_home.model_dump(include=scored_home.model_fields_set) | {"home": tmp_path})
    settings.data.mkdir()
    shutil.copyfile(scored_home.warehouse, settings.warehouse)
    first = MONDAY - WEEK
    span = {"dagster/asset_partition_range_start": str(first), "dagster/asset_partition_range_end": str(MONDAY)}
    with dg.DagsterInstance.ephemeral() as instance:
        result = (
            build_defs(settings)
            .resolve_implicit_global_asset_job_def()
            .get_subset(asset_selection={REPLAY_REPORT})
            .execute_in_process(instance=instance, tags=span)
        )
    made = result.asset_materializations_for_node(REPLAY_REPORT.to_python_identifier())
    assert [event.partition for event in made] == [str(first), str(MONDAY)]
    metadata = {name: entry.value for name, entry in made[0].metadata.items()}
    page = settings.published / "replay" / f"replay_{first}_{MONDAY}.html"
    assert metadata["page"] == str(page)
    html = page.read_text(encoding="utf-8")
    assert str(first) in html and str(MONDAY) in html
    assert "On the one judged Monday" in metadata["result"]
    assert [f"| {day} |" in metadata["Mondays"] for day in (first, MONDAY, MONDAY + WEEK)] == [True, True, False]
    assert "not scored" in metadata["Mondays"]
    assert any(str(value).startswith("![") for value in metadata.values())
