"""The webhook, against a real HTTP server on loopback: signed, sent once, retried, bounded, and no secret in any word."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import shutil
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest
from pydantic import SecretStr, ValidationError

from churn_pipeline.core.settings import Settings
from churn_pipeline.delivery.announce import outbox_of, slack_config
from churn_pipeline.delivery.channel import Order, Receipt
from churn_pipeline.delivery.slack.notify import send_waiting as send_waiting_to_slack
from churn_pipeline.delivery.webhook import request
from churn_pipeline.delivery.webhook.channel import WEBHOOK
from churn_pipeline.delivery.webhook.notify import delivery_of, send_waiting
from tests.conftest import TINY_BEFORE
from tests.support.webhook_server import WebhookServer

SECRET = "sesame-open-sesame-4711"


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebhookServer]:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(request, "_PAUSES", (0.01, 0.02))
    with WebhookServer() as server:
        yield server


@pytest.fixture
def settings(tiny_home: Settings, receiver: WebhookServer, tmp_path: Path) -> Settings:
    """A home that has published a Monday, its database alone."""
    settings = tiny_home.model_copy(
        update={
            "home": tmp_path,
            "published_webhook": SecretStr(receiver.url),
            "published_webhook_secret": SecretStr(SECRET),
            "report_url": "https://churn.example.com/report",
            "now": None,
        }
    )
    settings.published.mkdir(parents=True)
    shutil.copyfile(tiny_home.published_database, settings.published_database)
    return settings


def deliver(settings: Settings) -> Receipt:
    return WEBHOOK.deliver(Order(settings, [TINY_BEFORE], "run", print))


def later(settings: Settings) -> Settings:
    """The same home an hour and three quarters later, when what waited for an answer is tried again."""
    return settings.model_copy(update={"now": settings.clock() + timedelta(minutes=105)})


def test_a_monday_that_is_out_is_told_once_with_figures_and_without_anybodys_name(
    settings: Settings, receiver: WebhookServer
) -> None:
    deliver(settings)
    deliver(settings)
    (received,) = receiver.received
    event = json.loads(received.body)
    with duckdb.connect(str(settings.published_database), read_only=True) as con:
        ((run_id, mode, customers, called),) = con.execute(
            "select any_value(run_id), any_value(scoring_mode), count(*), count(*) filter (where is_on_call_list) from predictions"
        ).fetchall()
        names = [
            name for row in con.execute("select customer_id, company_name from customers").fetchall() for name in row
        ]
    assert event.pop("announced_at").endswith("+00:00")
    assert event == {
        "event": "monday.published",
        "snapshot_date": str(TINY_BEFORE),
        "scoring_mode": mode,
        "run_id": run_id,
        "customers": customers,
        "on_call_list": called,
        "report": f"https://churn.example.com/report/{TINY_BEFORE}.html",
        "publish_path": None,
    }
    assert not [name for name in names if name and name in received.body.decode()]
    assert (received.path, received.headers["content-type"]) == ("/hooks/secret-path", "application/json")


def test_the_receiver_can_tell_by_the_signature_who_sent_what_and_when(
    settings: Settings, receiver: WebhookServer
) -> None:
    deliver(settings)
    (received,) = receiver.received
    timestamp = received.headers["churn-timestamp"]
    # As docs/published.md says it, and not with the function that signs.
    expected = hmac.new(SECRET.encode(), timestamp.encode() + b"." + received.body, hashlib.sha256).hexdigest()
    assert received.headers["churn-signature"] == f"v1={expected}"
    assert abs(time.time() - int(timestamp)) < 60
    assert request.signature("another secret entirely", int(timestamp), received.body) != f"v1={expected}"


def test_a_monday_that_another_run_wrote_again_is_told_again(settings: Settings, receiver: WebhookServer) -> None:
    deliver(settings)
    with duckdb.connect(str(settings.published_database)) as con:
        con.execute("update predictions set run_id = 'another'")
    deliver(settings)
    assert [json.loads(received.body)["run_id"] == "another" for received in receiver.received] == [False, True]


@pytest.mark.parametrize("status", [500, 503, 429, 408])
def test_a_receiver_that_is_busy_is_asked_again_at_once_with_the_same_delivery(
    settings: Settings, receiver: WebhookServer, status: int
) -> None:
    receiver.answers.extend([(status, {}), (status, {"Retry-After": "0"})])
    assert deliver(settings).notices == ()
    assert len(receiver.received) == 3
    assert len({received.headers["churn-delivery"] for received in receiver.received}) == 1


@pytest.mark.parametrize("status", [301, 307, 400, 401, 404, 410])
def test_what_is_not_taken_waits_and_is_sent_at_the_next_occasion_and_a_redirect_is_not_followed(
    settings: Settings, receiver: WebhookServer, status: int
) -> None:
    receiver.answers.append((status, {"Location": receiver.url} if status < 400 else {}))
    receipt = deliver(settings)
    assert receipt.notices == (f"webhook: the receiver of CHURN_PUBLISHED_WEBHOOK answers {status}",)
    assert receipt.facts["waiting in the outbox"] == 1
    assert len(receiver.received) == 1
    # Not yet: whoever refuses is not asked at every tick.
    assert send_waiting(settings).sent == ()
    assert len(send_waiting(later(settings)).sent) == 1
    assert receiver.received[0].body == receiver.received[1].body
    assert send_waiting(later(settings)).sent == ()


def test_a_receiver_that_is_not_there_or_says_nothing_holds_nobody_up_and_its_address_is_in_no_word(
    settings: Settings, receiver: WebhookServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(request, "_PATIENCE", 0.3)
    receiver.answers.extend([(0, {})] * 3)
    began = time.monotonic()
    silent = deliver(settings)
    assert time.monotonic() - began < 5
    assert len(receiver.received) == 3
    gone = settings.model_copy(update={"published_webhook": SecretStr("http://127.0.0.1:9/hooks/secret-path")})
    handed = send_waiting(later(gone))
    assert (handed.sent, handed.waiting) == ((), 1)
    assert all("cannot be reached or does not answer" in word for word in (*silent.notices, *handed.problems))
    words = [*silent.notices, *handed.problems, caplog.text]
    words += [path.read_text(encoding="utf-8") for path in settings.outbox.glob("*.json")]
    assert not [word for word in words if "secret-path" in word or SECRET in word]


def test_what_waited_for_a_week_is_dropped_and_said_to_be(settings: Settings, receiver: WebhookServer) -> None:
    receiver.answers.append((404, {}))
    deliver(settings)
    handed = send_waiting(settings.model_copy(update={"now": settings.clock() + timedelta(days=8)}))
    ((key, reason),) = handed.dropped.items()
    assert key.startswith(f"webhook/{TINY_BEFORE}/")
    assert reason.startswith("superseded: it waited for more than 7 days")
    assert len(receiver.received) == 1


def test_slack_takes_nothing_of_what_waits_for_the_webhook_and_the_webhook_nothing_of_slacks(
    settings: Settings, receiver: WebhookServer
) -> None:
    receiver.answers.append((404, {}))
    deliver(settings)
    delivery = send_waiting_to_slack(outbox_of(settings), slack_config(settings))
    assert (delivery.state, delivery.waiting) == ("nothing", 0)
    (entry,) = outbox_of(settings).entries()
    assert (entry.service, entry.state) == ("webhook", "pending")
    assert not list(settings.outbox.glob("*.blocks.json"))


def test_killed_while_it_was_sending_the_next_occasion_sends_the_same_delivery_again(
    settings: Settings, receiver: WebhookServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("churn_pipeline.delivery.webhook.notify.post", die)
        with pytest.raises(KeyboardInterrupt):
            deliver(settings)
    (entry,) = outbox_of(settings).entries()
    assert entry.state == "sending"
    assert send_waiting(settings).sent == (entry.key,)
    assert receiver.received[0].headers["churn-delivery"] == delivery_of(entry.key)


def test_without_a_webhook_the_channel_says_so_and_the_outbox_is_left_alone(tiny_home: Settings) -> None:
    assert WEBHOOK.missing(tiny_home) == "not configured: CHURN_PUBLISHED_WEBHOOK is not set"
    assert send_waiting(tiny_home).waiting == 0


@pytest.mark.parametrize(
    ("address", "secret", "told"),
    [
        ("https://host.example.com/x", None, "CHURN_PUBLISHED_WEBHOOK_SECRET is not"),
        ("https://host.example.com/x", "short", "16 characters or more"),
        ("host.example.com/hush-hush", SECRET, "write an address such as"),
        ("file:///hush-hush", SECRET, "write an address such as"),
    ],
)
def test_a_webhook_that_cannot_be_signed_or_is_no_address_is_refused(
    tmp_path: Path, address: str, secret: str | None, told: str
) -> None:
    with pytest.raises(ValidationError, match=told) as error:
        Settings(home=tmp_path, published_webhook=address, published_webhook_secret=secret)
    assert "hush" not in str(error.value)
