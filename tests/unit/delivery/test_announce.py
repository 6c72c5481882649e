"""Who is told what, and when: through the real client, to a server that speaks Slack's API."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import duckdb
import pytest
from pydantic import SecretStr

from churn_pipeline.core.json_text import json_text
from churn_pipeline.core.settings import Settings
from churn_pipeline.delivery import announce
from churn_pipeline.delivery.announce import Problem
from churn_pipeline.delivery.digest import BriefsReady
from churn_pipeline.delivery.slack.blocks import sample_digest
from tests.support.policy import SHIPPED
from tests.support.slack_server import CHANNEL, TOKEN, SlackServer

MONDAY = date(2026, 11, 16)
NOON = datetime(2026, 11, 16, 12, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path, slack: SlackServer) -> Settings:
    return Settings(home=tmp_path, now=NOON, slack_token=SecretStr(TOKEN), slack_channel=CHANNEL, slack_api=slack.api)


def at(settings: Settings, **span: float) -> Settings:
    return settings.model_copy(update={"now": NOON + timedelta(**span)})


def texts(slack: SlackServer) -> list[str]:
    return [message["text"] for message in slack.messages]


def test_only_a_run_of_this_monday_alone_that_is_not_quiet_is_spoken_of(settings: Settings) -> None:
    tags = {"dagster/partition": str(MONDAY)}
    assert announce.notifiable_monday(settings, tags) == MONDAY
    assert announce.notifiable_monday(settings, {"dagster/partition": str(MONDAY - timedelta(days=7))}) is None
    assert announce.notifiable_monday(settings, tags | {"dagster/backfill": "abc"}) is None
    assert announce.notifiable_monday(settings, tags | {announce.QUIET_TAG: "true"}) is None
    span = {"dagster/asset_partition_range_start": str(MONDAY), "dagster/asset_partition_range_end": str(MONDAY)}
    assert announce.notifiable_monday(settings, span) is None


def test_a_failure_is_told_once_however_often_the_run_is_repeated_and_its_end_is_told_too(
    settings: Settings, slack: SlackServer
) -> None:
    problem = [Problem(1, "dbt_features", "disk I/O error"), Problem(1, "score", "no rows")]
    assert announce.announce_failure(settings, MONDAY, "run-1", problem).state == "sent"
    assert announce.announce_failure(settings, MONDAY, "run-2", problem).state == "known"
    (alert,) = texts(slack)
    assert "dbt_features" in alert and "disk I/O error" in alert and str(MONDAY) in alert
    assert announce.announce_success(settings, MONDAY).state == "sent"
    assert announce.announce_success(settings, MONDAY).state == "nothing"
    assert len(slack.messages) == 2
    assert "Recovered" in texts(slack)[1]
    # And once more, when it breaks again.
    assert announce.announce_failure(settings, MONDAY, "run-3", problem).state == "sent"


@pytest.mark.parametrize(("code", "word"), [(1, "failed"), (2, "refused"), (3, "model")])
def test_what_is_at_fault_chooses_the_channel(settings: Settings, slack: SlackServer, code: int, word: str) -> None:
    kinds = {1: "run_failed", 2: "data_refused", 3: "model_refused"}
    elsewhere = settings.model_copy(update={"slack_channels": {kinds[code]: CHANNEL}, "slack_channel": "C0GENERAL"})
    assert announce.announce_failure(elsewhere, MONDAY, "run-1", [Problem(code, "score", "why")]).state == "sent"
    assert word in texts(slack)[0].lower()


def test_drift_is_told_when_it_begins_and_when_it_ends_and_not_in_between(
    settings: Settings, slack: SlackServer
) -> None:
    reasons = ["churn_90d: the prediction against last week: PSI 0.5, limit 0.1", "and more"]
    states = []
    for week, verdict in enumerate(["watch", "act", "act", "act", "none", "none"]):
        now = at(settings, weeks=week)
        monday = MONDAY + timedelta(weeks=week)
        states.append(announce.announce_drift(now, monday, verdict, reasons, "run").state)
    assert states == ["nothing", "sent", "known", "known", "sent", "nothing"]
    assert "PSI 0.5" in texts(slack)[0]


def test_a_refused_model_is_told_until_a_later_one_of_its_target_is_promoted(
    settings: Settings, slack: SlackServer
) -> None:
    def trained(week: int, target: str, promoted: bool) -> str:
        now, monday = at(settings, weeks=week), MONDAY + timedelta(weeks=week)
        return announce.announce_training(
            now, monday, target, promoted=promoted, reason="no better than the former one", run_id="run"
        ).state

    assert trained(0, "churn_30d", False) == "sent"
    assert trained(0, "churn_90d", True) == "nothing"
    assert trained(4, "churn_90d", True) == "nothing"
    assert trained(4, "churn_30d", True) == "sent"
    assert len(slack.messages) == 2


def published(settings: Settings, *days: date) -> None:
    settings.published.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(str(settings.published_database)) as con:
        con.execute("create or replace table predictions (snapshot_date date)")
        for day in days:
            con.execute("insert into predictions values (?)", [day])


def test_the_deadline_is_missed_when_this_monday_is_not_published_by_then_in_the_zone_of_the_home(
    settings: Settings, slack: SlackServer
) -> None:
    assert announce.announce_deadline(settings) is None, "nobody waits for a home that has never published"
    published(settings, MONDAY - timedelta(days=7))
    early = at(settings, hours=-2, minutes=-1)
    assert announce.announce_deadline(early) is None
    elsewhere = settings.model_copy(update={"timezone": "America/New_York", "deadline": time(10)})
    assert announce.announce_deadline(elsewhere) is None, "it is 7 o'clock there"
    missed = announce.announce_deadline(settings)
    assert missed is not None and missed.state == "sent"
    assert f"no predictions of {MONDAY} were published by 10:00 UTC" in texts(slack)[0]
    again = announce.announce_deadline(at(settings, hours=1))
    assert again is not None and again.state == "known"
    published(settings, MONDAY)
    late = announce.announce_deadline(settings)
    assert late is not None and late.state == "sent"
    assert "Recovered" in texts(slack)[1]
    assert announce.announce_deadline(settings) is None


def test_without_slack_everything_lies_in_the_outbox_for_the_block_kit_builder(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, now=NOON)
    delivery = announce.announce_failure(settings, MONDAY, "run-1", [Problem(1, "score", "why")])
    assert delivery.state == "recorded"
    assert list(settings.outbox.glob("*.blocks.json"))


def test_the_token_is_in_no_file_and_no_text_of_the_settings(settings: Settings, slack: SlackServer) -> None:
    announce.announce_failure(settings, MONDAY, "run-1", [Problem(1, "score", "why")])
    assert TOKEN not in repr(settings) + str(settings.model_dump())
    written = [path.read_text(encoding="utf-8") for path in settings.outbox.rglob("*") if path.is_file()]
    assert written and TOKEN not in "".join(written)


def ready(settings: Settings, **changes: int) -> BriefsReady:
    facts = {"asked_for": 20, "candidates": 20, "briefs": 38, "flagged": 3, "rejected": 0} | changes
    page, watermark = announce.briefs_address(settings, MONDAY), "AI-generated. Requires human review."
    return BriefsReady(MONDAY, **facts, watermark=watermark, page=page, file="data/published/report/briefs")


def test_briefs_are_told_once_in_the_thread_of_their_digest_with_a_link_that_is_served(
    settings: Settings, slack: SlackServer
) -> None:
    served = settings.model_copy(update={"report_url": "https://churn.example.com/report"})
    assert announce.announce_monday(served, sample_digest(MONDAY, SHIPPED)).state == "sent"
    assert announce.announce_briefs(served, ready(served)).state == "sent"
    assert announce.announce_briefs(served, ready(served)).state == "known"
    digest, *_, note = slack.messages
    assert (
        note["text"]
        == f"Expansion briefs for the first 20 candidates, Monday {MONDAY}: 38 briefs, 3 of them to read with care"
    )
    assert note["thread_ts"] and not digest.get("thread_ts")
    assert f"https://churn.example.com/report/briefs/{MONDAY}/index.html" in json_text(note)
    assert "AI-generated. Requires human review." in json_text(note)


def test_briefs_without_a_digest_or_an_address_are_told_by_themselves_with_the_place_of_the_file(
    settings: Settings, slack: SlackServer
) -> None:
    assert announce.announce_briefs(settings, ready(settings, candidates=18, rejected=2)).state == "sent"
    (note,) = slack.messages
    assert "for 18 of the first 20 candidates" in note["text"] and note["text"].endswith("and 2 rejected and not shown")
    assert not note.get("thread_ts")
    assert "data/published/report/briefs" in json_text(note) and "http" not in json_text(note)
