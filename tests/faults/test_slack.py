"""Slack, there and gone, during real runs: what people were sent, and what became of what could not be sent."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from pydantic import SecretStr

from churn_pipeline.core.settings import Settings
from churn_pipeline.delivery.announce import outbox_of, slack_config
from churn_pipeline.delivery.slack.notify import send_waiting
from churn_pipeline.orchestration.execute import run_mondays
from tests.conftest import TINY_BEFORE, TINY_MONDAY
from tests.support.processes import churn
from tests.support.slack_server import CHANNEL, TOKEN, SlackServer


@pytest.fixture
def settings(tiny_copy: Settings, slack: SlackServer) -> Settings:
    return tiny_copy.model_copy(
        update={
            "slack_token": SecretStr(TOKEN),
            "slack_channel": CHANNEL,
            "slack_api": slack.api,
            "slack_timeout_seconds": 2,
        }
    )


def said(slack: SlackServer) -> list[str]:
    """What stands in the channel itself, without the threads."""
    return [message["text"] for message in slack.messages if not message.get("thread_ts")]


@pytest.mark.nightly
def test_a_monday_is_one_digest_however_often_it_is_run_and_a_backfill_says_nothing(
    settings: Settings, slack: SlackServer
) -> None:
    assert run_mondays(settings, TINY_BEFORE, TINY_MONDAY).exit_code == 0
    assert run_mondays(settings, TINY_BEFORE).exit_code == 0
    assert run_mondays(settings, TINY_MONDAY, quiet=True).exit_code == 0
    assert slack.messages == []
    for _ in range(2):
        assert run_mondays(settings, TINY_MONDAY).exit_code == 0
    (digest,) = said(slack)
    assert str(TINY_MONDAY) in digest
    assert len(slack.messages) > 1, "the lists per owner follow in its thread"


def test_a_run_that_fails_is_told_once_and_so_is_its_recovery(
    settings: Settings, slack: SlackServer, tmp_path: Path
) -> None:
    raw = tmp_path / "raw"
    shutil.copytree(settings.raw_dir, raw)
    broken = settings.model_copy(update={"raw": raw})
    (raw / "customers.parquet").write_bytes(b"PAR1")
    for _ in range(2):
        assert run_mondays(broken, TINY_MONDAY).exit_code == 2
    (alert,) = said(slack)
    assert "customers.parquet" in alert and str(TINY_MONDAY) in alert
    shutil.copy(settings.raw_dir / "customers.parquet", raw)
    assert run_mondays(broken, TINY_MONDAY).exit_code == 0
    digests = [text for text in said(slack) if "a year at risk" in text]
    assert len(digests) == 1
    recovered = [message for message in slack.messages if message["text"].startswith("Recovered")]
    assert len(recovered) == 1 and recovered[0]["thread_ts"]


def test_a_run_does_not_fail_because_slack_does_and_what_was_to_be_said_is_said_later(
    settings: Settings, slack: SlackServer
) -> None:
    away = settings.model_copy(update={"slack_api": "http://127.0.0.1:9/api/"})
    completed = churn(away, "run", "--week", str(TINY_MONDAY))
    assert completed.returncode == 0, completed.stderr
    assert "waiting" in completed.stderr
    assert "Traceback" not in completed.stderr
    assert TOKEN not in completed.stderr + completed.stdout
    assert said(slack) == []
    assert send_waiting(outbox_of(settings), slack_config(settings)).waiting == 0
    assert len([text for text in said(slack) if "a year at risk" in text]) == 1
    assert send_waiting(outbox_of(settings), slack_config(settings)).state == "nothing"
