from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from slack_sdk.http_retry.jitter import RandomJitter

from churn_pipeline.delivery.digest import Alert
from churn_pipeline.delivery.slack.client import SlackConfig
from churn_pipeline.delivery.slack.outbox import Outbox
from tests.support.slack_server import CHANNEL, TOKEN, SlackServer

MONDAY = date(2026, 11, 16)


class Clock:
    """Stands until it is told to go on."""

    def __init__(self) -> None:
        self.at = datetime(2026, 11, 16, 8, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at

    def forward(self, **span: float) -> None:
        self.at += timedelta(**span)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def short_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """slack-sdk's handlers wait for a second between attempts; what they do is the same after a twentieth of it."""
    monkeypatch.setattr(RandomJitter, "recalculate", lambda _, duration: duration / 20)


@pytest.fixture
def slack() -> Iterator[SlackServer]:
    with SlackServer() as server:
        yield server


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def outbox(tmp_path: Path, clock: Clock) -> Outbox:
    return Outbox(tmp_path / "outbox", clock)


@pytest.fixture
def bot(slack: SlackServer) -> SlackConfig:
    return SlackConfig(token=SecretStr(TOKEN), channel=CHANNEL, api=slack.api, timeout_seconds=1)


@pytest.fixture
def webhook(slack: SlackServer) -> SlackConfig:
    return SlackConfig(webhook=SecretStr(slack.webhook), timeout_seconds=1)


@pytest.fixture
def alert(clock: Clock) -> Callable[..., Alert]:
    def make(
        subject: str = "landing", what: str = "usage_events.parquet: no column timestamp", monday: date = MONDAY
    ) -> Alert:
        return Alert("run_failed", monday, subject, what, clock())

    return make
