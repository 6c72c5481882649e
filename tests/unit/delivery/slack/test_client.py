"""One conversation with Slack, over a real connection."""

from __future__ import annotations

import logging
import time
from dataclasses import replace

import pytest
from pydantic import SecretStr

from churn_pipeline.delivery.slack.client import Answer, SlackConfig, check, post
from tests.support.slack_server import (
    CHANNEL,
    CHANNEL_NAME,
    TOKEN,
    WEBHOOK_PATH,
    Fault,
    SlackServer,
    failing,
    rate_limited,
)

BLOCK = {
    "type": "rich_text",
    "elements": [{"type": "rich_text_section", "elements": [{"type": "text", "text": "hello"}]}],
}


def send(config: SlackConfig, channel: str = CHANNEL, seconds: float = 10) -> Answer:
    return post(config, channel=channel, text="hello", blocks=[BLOCK], seconds=seconds)


def test_a_rate_limit_is_waited_out_as_long_as_slack_asks(slack: SlackServer, bot: SlackConfig) -> None:
    slack.faults.append(rate_limited(1))
    started = time.monotonic()
    answer = send(bot)
    assert answer.outcome == "delivered"
    assert answer.channel_id == CHANNEL and answer.ts == slack.messages[0]["ts"]
    assert time.monotonic() - started >= 1
    assert len(slack.messages) == 1


def test_a_longer_rate_limit_is_not_slept_through_and_its_length_is_told(slack: SlackServer, bot: SlackConfig) -> None:
    slack.faults.append(rate_limited(3_600))
    started = time.monotonic()
    answer = send(bot)
    assert (answer.outcome, answer.retry_after, answer.everywhere) == ("wait", 3_600, True)
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("status", [500, 503])
def test_a_server_error_is_retried_and_the_message_is_posted_once(
    slack: SlackServer, bot: SlackConfig, status: int
) -> None:
    slack.faults.append(Fault(status, "oops"))
    assert send(bot).outcome == "delivered"
    assert len(slack.messages) == 1


def test_a_server_error_that_stays_is_told_as_such(slack: SlackServer, bot: SlackConfig, webhook: SlackConfig) -> None:
    for config in (bot, webhook):
        slack.faults.extend([Fault(500, "oops")] * 3)
        assert send(config).outcome == "server_error"
        assert not slack.faults


def test_silence_beyond_the_timeout_is_unknown_and_not_repeated(slack: SlackServer, bot: SlackConfig) -> None:
    slack.faults.append(Fault(200, "{}", delay=30, stored=True))
    started = time.monotonic()
    assert send(bot).outcome == "unknown"
    assert time.monotonic() - started < 3
    assert len(slack.messages) == 1


def test_a_connection_that_breaks_before_the_answer_is_unknown_and_not_repeated(
    slack: SlackServer, webhook: SlackConfig
) -> None:
    slack.faults.append(Fault(0, stored=True))
    assert send(webhook).outcome == "unknown"
    assert len(slack.messages) == 1


def test_the_time_for_everything_is_bounded_even_when_each_byte_comes_in_time(
    slack: SlackServer, bot: SlackConfig
) -> None:
    slack.faults.append(Fault(drip=0.1))
    started = time.monotonic()
    assert send(bot, seconds=2).outcome == "unknown"
    assert 1.9 < time.monotonic() - started < 3


def test_nobody_at_home_is_certainly_not_delivered(bot: SlackConfig) -> None:
    answer = send(replace(bot, api="http://127.0.0.1:9/api/"))
    assert answer.outcome == "wait"
    assert "no connection" in answer.reason


@pytest.mark.parametrize("code", ["internal_error", "fatal_error"])
def test_an_error_after_which_slack_may_have_posted_counts_as_a_server_error(
    slack: SlackServer, bot: SlackConfig, code: str
) -> None:
    slack.faults.append(failing(code))
    assert send(bot).outcome == "server_error"


def test_a_wrong_token_says_which_setting_to_check(slack: SlackServer, bot: SlackConfig) -> None:
    answer = send(replace(bot, token=SecretStr("xoxb-wrong")))
    assert answer.outcome == "misconfigured" and answer.everywhere
    assert "CHURN_SLACK_TOKEN" in answer.reason and "invalid_auth" in answer.reason


def test_a_missing_channel_is_the_channels_problem_alone(slack: SlackServer, bot: SlackConfig) -> None:
    answer = send(bot, channel="C9999999")
    assert answer.outcome == "misconfigured" and not answer.everywhere
    assert "channel_not_found" in answer.reason


def test_a_token_without_a_channel_says_which_setting_is_missing(bot: SlackConfig) -> None:
    answer = send(bot, channel="")
    assert answer.outcome == "misconfigured" and "CHURN_SLACK_CHANNEL" in answer.reason


def test_a_webhook_that_was_removed_says_which_setting_to_renew(slack: SlackServer, webhook: SlackConfig) -> None:
    gone = replace(webhook, webhook=SecretStr(slack.webhook.replace("T0000", "T1111")))
    answer = send(gone)
    assert answer.outcome == "misconfigured"
    assert "CHURN_SLACK_WEBHOOK" in answer.reason and "no_service" in answer.reason


def test_a_webhook_answers_ok_and_has_no_timestamp(slack: SlackServer, webhook: SlackConfig) -> None:
    assert send(webhook) == Answer("delivered")
    assert slack.messages[0]["blocks"] == [BLOCK]


def test_a_page_of_a_portal_in_the_way_is_no_delivery(
    slack: SlackServer, bot: SlackConfig, webhook: SlackConfig
) -> None:
    slack.faults.extend(
        [Fault(200, "<html>Please log in</html>"), Fault(200, "<html>Please log in</html>"), Fault(200, '{"ok": tr')]
    )
    assert send(bot).outcome == "unknown"
    assert send(webhook).outcome == "misconfigured"
    assert send(bot).outcome == "unknown"


def test_a_message_that_slack_dislikes_is_told_apart_from_a_wrong_setting(slack: SlackServer, bot: SlackConfig) -> None:
    answer = post(
        bot,
        channel=CHANNEL,
        text="x",
        blocks=[{"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}],
    )
    assert answer.outcome == "rejected" and "invalid_blocks" in answer.reason


def test_a_check_names_the_workspace_and_what_the_app_may_not(slack: SlackServer, bot: SlackConfig) -> None:
    slack.scopes = {"chat:write", "files:write", "users:read.email"}
    assert check(bot) == (True, ("bot churn of workspace Example",))
    slack.scopes = {"chat:write"}
    accepted, remarks = check(replace(bot, channel=f"#{CHANNEL_NAME}"))
    assert accepted
    for scope in ("files:write", "users:read.email"):
        assert any(line.startswith(f"without the scope {scope} ") for line in remarks)
    assert len(remarks) == 3, "nothing that is said in the channel has to be read"
    slack.scopes = {"users:read"}
    assert check(bot)[0] is False
    assert check(replace(bot, token=SecretStr("nope")))[0] is False
    assert slack.messages == []


@pytest.mark.parametrize(
    "broken",
    [
        "not an address",
        "ftp://example.com/services/secretpart1",
        "http://127.0.0.1:9/services/secret part1",
        "http://[::1/services/secretpart1",
    ],
)
def test_a_malformed_webhook_is_told_without_repeating_it(broken: str, webhook: SlackConfig) -> None:
    answer = send(replace(webhook, webhook=SecretStr(broken)))
    assert answer.outcome in ("misconfigured", "wait")
    assert "secret part1" not in answer.reason and "secretpart1" not in answer.reason


def test_no_secret_appears_in_logs_reprs_or_reasons(
    slack: SlackServer,
    bot: SlackConfig,
    webhook: SlackConfig,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    outputs = [repr(bot), repr(webhook), str(bot)]
    for fault in (
        Fault(0),
        Fault(500, "x"),
        Fault(404, "no_service"),
        rate_limited(3_600),
        Fault(200, f"{TOKEN} {slack.webhook}"),
        failing(f"bad {TOKEN}"),
    ):
        for config in (bot, webhook):
            slack.faults.append(fault)
            outputs.append(repr(send(config)))
    outputs.append(repr(send(replace(bot, token=SecretStr(TOKEN + "\n\u20ac")))))
    outputs += [caplog.text, *capfd.readouterr()]
    for text in outputs:
        assert TOKEN not in text
        assert WEBHOOK_PATH not in text and "thisisasecretpath" not in text
