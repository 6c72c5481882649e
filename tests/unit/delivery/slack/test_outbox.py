"""Nothing is lost, nothing is said twice: the outbox against a real server, real files and real kills."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from churn_pipeline.core.calendar import WEEK
from churn_pipeline.core.settings import REPOSITORY
from churn_pipeline.delivery.digest import Alert, Digest, OwnerList, WeekMoney
from churn_pipeline.delivery.slack.blocks import sample_digest
from churn_pipeline.delivery.slack.client import SlackConfig
from churn_pipeline.delivery.slack.notify import clear_alerts, post_digest, raise_alert, send_sample, send_waiting
from churn_pipeline.delivery.slack.outbox import MAX_WAITING, Entry, Outbox
from tests.support.policy import SHIPPED
from tests.support.slack_server import (
    CHANNEL,
    TOKEN,
    WEBHOOK_PATH,
    Fault,
    SlackServer,
    failing,
    rate_limited,
)
from tests.unit.delivery.slack.conftest import MONDAY, Clock

NO_SLACK = SlackConfig()
MakeAlert = Callable[..., Alert]


def digest(owners: int = 2) -> Digest:
    sample = sample_digest(MONDAY, SHIPPED)
    return replace(
        sample, owners=tuple(OwnerList(f"Owner {n}", 3, 1, 9_000.0 - n, sample.calls) for n in range(owners))
    )


def states(outbox: Outbox) -> list[str]:
    return [entry.state for entry in outbox.entries()]


def test_a_digest_is_posted_once_with_a_list_per_owner_in_its_thread(
    slack: SlackServer, bot: SlackConfig, outbox: Outbox
) -> None:
    assert post_digest(outbox, bot, digest()).state == "sent"
    assert post_digest(outbox, bot, digest()).state == "known"
    first, *thread = slack.messages
    assert [message.get("thread_ts") for message in slack.messages] == [None, first["ts"], first["ts"]]
    assert [message["text"].split(":")[0] for message in thread] == ["Owner 0", "Owner 1"]
    assert states(outbox) == ["sent"] * 3


def pictured(mondays: int = 2) -> Digest:
    """A digest with something to draw."""
    weeks = tuple(WeekMoney(MONDAY - n * WEEK, {"CRITICAL": 100.0 + n, "LOW": 50.0}) for n in reversed(range(mondays)))
    return replace(digest(1), weeks=weeks)


def test_where_the_bot_may_upload_a_picture_stands_first_in_the_thread_once(
    slack: SlackServer, bot: SlackConfig, outbox: Outbox
) -> None:
    slack.scopes.add("files:write")
    assert post_digest(outbox, bot, pictured()).state == "sent"
    assert post_digest(outbox, bot, pictured()).state == "known"
    (file,) = slack.files
    assert file["content"].startswith(b"\x89PNG") and file["name"] == "revenue-at-risk-2026-11-16.png"
    assert (file["channel"], file["thread_ts"]) == (CHANNEL, slack.messages[0]["ts"])
    assert file["title"] == file["alt_txt"] == "Revenue at risk by tier, USD a year, up to Monday 2026-11-16"
    assert len(slack.messages) == 2
    # What was uploaded is not kept twice.
    assert all(entry.picture is None for entry in outbox.entries())


def test_without_the_permission_the_digest_goes_without_and_the_log_says_so_once(
    slack: SlackServer, bot: SlackConfig, outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    delivery = post_digest(outbox, bot, pictured())
    assert (delivery.state, delivery.problems, delivery.waiting) == ("sent", (), 0)
    assert send_waiting(outbox, bot).state == "nothing"
    assert len(slack.messages) == 2 and slack.files == []
    assert caplog.text.count("the app lacks the scope files:write") == 1


@pytest.mark.parametrize("fault", [Fault(500, "oops"), Fault(0), Fault(200, "no JSON"), failing("internal_error")])
def test_an_upload_whose_end_nobody_knows_is_given_up_and_no_list_of_an_owner_waits_for_it(
    slack: SlackServer, bot: SlackConfig, outbox: Outbox, fault: Fault
) -> None:
    slack.scopes.add("files:write")
    slack.upload_faults.extend([fault] * 3)
    assert post_digest(outbox, bot, pictured()).state == "sent"
    assert len(slack.messages) == 2 and slack.files == []
    assert sorted(states(outbox)) == ["dropped", "sent", "sent"]


def test_an_upload_that_slack_asks_to_wait_for_comes_with_the_next_occasion(
    slack: SlackServer, bot: SlackConfig, outbox: Outbox, clock: Clock
) -> None:
    slack.scopes.add("files:write")
    slack.upload_faults.append(rate_limited(3_600))
    assert post_digest(outbox, bot, pictured()).waiting == 1
    assert slack.files == [] and len(slack.messages) == 2
    clock.forward(minutes=61)
    assert send_waiting(outbox, bot).state == "sent"
    assert len(slack.files) == 1


def test_an_upload_that_a_killed_process_had_begun_is_not_begun_again(
    slack: SlackServer, bot: SlackConfig, outbox: Outbox, clock: Clock
) -> None:
    slack.scopes.add("files:write")
    slack.upload_faults.append(rate_limited(3_600))
    post_digest(outbox, bot, pictured())
    (path,) = outbox.folder.glob("*picture*.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"state": "sending"}))
    clock.forward(minutes=61)
    assert send_waiting(outbox, bot).problems == ()
    assert slack.files == [] and sorted(states(outbox)) == ["dropped", "sent", "sent"]


def test_a_picture_is_drawn_for_a_bot_alone_and_not_of_one_monday(
    slack: SlackServer, webhook: SlackConfig, bot: SlackConfig, outbox: Outbox
) -> None:
    slack.scopes.add("files:write")
    post_digest(outbox, NO_SLACK, pictured())
    assert not any("picture" in entry.key for entry in outbox.entries())
    post_digest(outbox, bot, pictured(mondays=1))
    assert len(slack.messages) == 2 and slack.files == []


def mentioned(slack: SlackServer) -> list[str]:
    return re.findall(r'"user_id": ?"(\w+)"', json.dumps([message["blocks"] for message in slack.messages]))


def owned(*names: str) -> Digest:
    sample = digest(0)
    lists = tuple(OwnerList(name, 3, 1, 9_000.0 - n, sample.calls[:1], 1) for n, name in enumerate(names))
    return replace(sample, calls=(), into_top=(), owners=lists)


def test_owners_are_mentioned_by_the_map_or_by_their_address(
    slack: SlackServer, bot: SlackConfig, outbox: Outbox
) -> None:
    slack.scopes.add("users:read.email")
    slack.members = {"bo@example.com": "U00000BO", "ann@example.com": "U0WRONG1"}
    config = replace(bot, owners={"ann@example.com": "U0000ANN"})
    owners = owned("ann@example.com", "bo@example.com", "nobody@example.com", "Cy")
    assert post_digest(outbox, config, owners).state == "sent"
    assert mentioned(slack) == ["U0000ANN", "U00000BO"]
    asked = [body["email"] for path, body in slack.requests if "lookupByEmail" in path]
    assert asked == ["bo@example.com", "nobody@example.com"]
    assert "nobody@example.com" in slack.messages[3]["text"]


def test_a_lookup_that_fails_leaves_the_names_and_is_not_tried_for_each_owner(
    slack: SlackServer, bot: SlackConfig, outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    delivery = post_digest(outbox, bot, owned("ann@example.com", "bo@example.com"))
    assert (delivery.state, delivery.problems) == ("sent", ())
    assert mentioned(slack) == []
    assert sum("lookupByEmail" in path for path, _ in slack.requests) == 1
    assert caplog.text.count("the app lacks the scope users:read.email") == 1
    # Once the digest is out nobody is asked again.
    post_digest(outbox, bot, owned("ann@example.com", "bo@example.com"))
    assert sum("lookupByEmail" in path for path, _ in slack.requests) == 1


def test_a_webhook_mentions_by_the_map_and_asks_nobody(
    slack: SlackServer, webhook: SlackConfig, outbox: Outbox
) -> None:
    sample = digest(0)
    line = replace(sample.calls[0], csm_owner="bo@example.com")
    post_digest(
        outbox,
        replace(webhook, owners={"Sample Manager": "U0000ANN"}),
        replace(sample, calls=(line, *sample.calls[1:])),
    )
    assert mentioned(slack) == ["U0000ANN", "U0000ANN"]
    assert not any("lookupByEmail" in path for path, _ in slack.requests)


def test_a_webhook_gets_the_digest_alone_and_it_says_where_the_lists_are(
    slack: SlackServer, webhook: SlackConfig, outbox: Outbox
) -> None:
    assert post_digest(outbox, webhook, digest()).state == "sent"
    assert len(slack.messages) == 1
    assert "--owner NAME" in json.dumps(slack.messages[0])


def test_a_quiet_run_says_nothing_and_leaves_nothing(outbox: Outbox, bot: SlackConfig, alert: MakeAlert) -> None:
    assert post_digest(outbox, bot, digest(), quiet=True).state == "quiet"
    assert raise_alert(outbox, bot, alert(), quiet=True).state == "quiet"
    assert outbox.entries() == []


def test_without_slack_messages_go_to_the_log_and_to_files_for_the_block_kit_builder(
    outbox: Outbox, caplog: pytest.LogCaptureFixture, alert: MakeAlert, clock: Clock
) -> None:
    caplog.set_level(logging.INFO)
    assert post_digest(outbox, NO_SLACK, digest()).state == "recorded"
    assert raise_alert(outbox, NO_SLACK, alert()).state == "recorded"
    clock.forward(minutes=6)
    assert raise_alert(outbox, NO_SLACK, alert()).state == "known"
    pasted = [json.loads(path.read_text()) for path in outbox.folder.glob("*.blocks.json")]
    assert len(pasted) == 4
    assert all(set(payload) == {"blocks"} for payload in pasted)
    assert "Moved into CRITICAL" in caplog.text
    assert states(outbox) == ["recorded"] * 4


def test_what_was_only_recorded_is_said_when_it_comes_up_again_with_slack(
    slack: SlackServer, bot: SlackConfig, outbox: Outbox, alert: MakeAlert
) -> None:
    post_digest(outbox, NO_SLACK, digest())
    raise_alert(outbox, NO_SLACK, alert())
    assert send_waiting(outbox, bot).state == "nothing"
    assert slack.messages == []
    assert post_digest(outbox, bot, digest()).state == "sent"
    assert raise_alert(outbox, bot, alert()).state == "sent"
    assert len(slack.messages) == 4


def test_an_alert_is_said_once_until_it_is_over_and_its_recovery_stands_in_its_thread(
    slack: SlackServer, bot: SlackConfig, outbox: Outbox, alert: MakeAlert, clock: Clock
) -> None:
    assert raise_alert(outbox, bot, alert()).state == "sent"
    clock.forward(minutes=6)
    assert raise_alert(outbox, bot, alert(what="another first line")).state == "known"
    clock.forward(minutes=60)
    assert clear_alerts(outbox, bot, kinds={"drift"}).state == "nothing"
    assert clear_alerts(outbox, bot, snapshot_date=MONDAY - WEEK).state == "nothing"
    assert clear_alerts(outbox, bot, subject="published").state == "nothing"
    assert clear_alerts(outbox, bot, snapshot_date=MONDAY).state == "sent"
    assert clear_alerts(outbox, bot, snapshot_date=MONDAY).state == "nothing"
    raised, recovered = slack.messages
    assert recovered["thread_ts"] == raised["ts"]
    assert "Recovered after 1 h 6 min: Run failed: landing, Monday 2026-11-16" in recovered["text"]
    clock.forward(minutes=1)
    assert raise_alert(outbox, bot, alert()).state == "sent"
    assert len(slack.messages) == 3


def test_a_webhook_posts_the_recovery_by_itself(
    slack: SlackServer, webhook: SlackConfig, outbox: Outbox, alert: MakeAlert
) -> None:
    raise_alert(outbox, webhook, alert())
    assert clear_alerts(outbox, webhook).state == "sent"
    assert len(slack.messages) == 2


def test_each_kind_goes_to_its_own_channel(
    slack: SlackServer, bot: SlackConfig, outbox: Outbox, alert: MakeAlert
) -> None:
    raise_alert(outbox, replace(bot, channel="C9999999", channels={"run_failed": CHANNEL}), alert())
    assert slack.messages[0]["channel"] == CHANNEL


@pytest.mark.parametrize("fault", [Fault(500, "oops"), Fault(0), Fault(502, "oops"), rate_limited(900)])
def test_what_slack_did_not_take_is_sent_on_the_next_occasion_oldest_first(
    slack: SlackServer, bot: SlackConfig, outbox: Outbox, alert: MakeAlert, clock: Clock, fault: Fault
) -> None:
    slack.faults.extend([fault] * 3)
    assert raise_alert(outbox, bot, alert("a")).state == "waiting"
    slack.faults.clear()
    clock.forward(minutes=20)
    assert raise_alert(outbox, bot, alert("b")).state == "sent"
    assert [message["text"].split(",")[0] for message in slack.messages] == ["Run failed: a", "Run failed: b"]
    assert states(outbox) == ["sent", "sent"]


def test_a_rate_limit_is_kept_to_by_the_next_process_too(
    slack: SlackServer, bot: SlackConfig, outbox: Outbox, alert: MakeAlert, clock: Clock
) -> None:
    slack.faults.append(rate_limited(900))
    raise_alert(outbox, bot, alert())
    clock.forward(minutes=14)
    assert send_waiting(outbox, bot).waiting == 1
    assert len(slack.requests) == 1
    clock.forward(minutes=2)
    assert send_waiting(outbox, bot).state == "sent"


def repeats(slack: SlackServer) -> list[bool]:
    """Of each message, whether it says that it may be a repeat."""
    return ["may be a repeat" in json.dumps(message) for message in slack.messages]


@pytest.mark.parametrize(
    "fault", [Fault(0, stored=True), Fault(502, "x", stored=True), Fault(200, "<html>", stored=True)]
)
def test_a_message_whose_answer_was_lost_comes_again_and_is_said_to_be_a_possible_repeat(
    slack: SlackServer,
    bot: SlackConfig,
    outbox: Outbox,
    clock: Clock,
    fault: Fault,
    caplog: pytest.LogCaptureFixture,
) -> None:
    slack.faults.append(fault)
    assert post_digest(outbox, bot, digest()).state == "waiting"
    assert send_waiting(outbox, bot).waiting == 3
    assert "may stand there twice" not in caplog.text
    clock.forward(minutes=2)
    assert send_waiting(outbox, bot).waiting == 0
    assert repeats(slack) == [False, True, False, False]
    assert "may stand there twice" in caplog.text
    # What belongs to it hangs on the copy that is known.
    assert [message.get("thread_ts") for message in slack.messages[2:]] == [slack.messages[1]["ts"]] * 2
    assert {path for path, _ in slack.requests} == {"/api/chat.postMessage"}


def test_a_repeat_without_blocks_says_so_too(
    slack: SlackServer, bot: SlackConfig, outbox: Outbox, alert: MakeAlert, clock: Clock
) -> None:
    slack.faults.extend([failing("invalid_blocks"), Fault(0, stored=True)])
    raise_alert(outbox, bot, alert())
    clock.forward(minutes=2)
    assert send_waiting(outbox, bot).state == "sent"
    assert repeats(slack) == [False, True]


def test_failures_of_slacks_own_never_use_a_message_up(
    slack: SlackServer, bot: SlackConfig, outbox: Outbox, alert: MakeAlert, clock: Clock
) -> None:
    slack.faults.extend([failing("internal_error")] * 5)
    raise_alert(outbox, bot, alert())
    for _ in range(5):
        clock.forward(minutes=2)
        send_waiting(outbox, bot)
    assert repeats(slack) == [True]
    assert states(outbox) == ["sent"]


@pytest.mark.parametrize("way", ["webhook", "bot"])
def test_a_repeat_says_that_it_is_one_and_there_are_three_at_most(
    slack: SlackServer, bot: SlackConfig, webhook: SlackConfig, outbox: Outbox, alert: MakeAlert, clock: Clock, way: str
) -> None:
    config = webhook if way == "webhook" else bot
    slack.faults.extend([Fault(0, stored=True)] * 9)
    raise_alert(outbox, config, alert())
    for _ in range(6):
        clock.forward(hours=3)
        send_waiting(outbox, config)
    assert repeats(slack) == [False, True, True]
    assert states(outbox) == ["dropped"]


def test_a_message_that_an_earlier_version_put_into_the_outbox_goes_out(
    slack: SlackServer, bot: SlackConfig, outbox: Outbox, alert: MakeAlert
) -> None:
    raise_alert(outbox, replace(bot, api="http://127.0.0.1:9/api/"), alert())
    (path,) = outbox.folder.glob("*.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"first_attempt": 1.5, "channel": CHANNEL}))
    assert send_waiting(outbox, bot).state == "sent"
    assert len(slack.messages) == 1


def test_a_wrong_token_is_reported_and_everything_waits_for_the_right_one(
    slack: SlackServer, bot: SlackConfig, outbox: Outbox, alert: MakeAlert
) -> None:
    wrong = replace(bot, token=SecretStr("xoxb-wrong"))
    delivery = post_digest(outbox, wrong, digest())
    assert delivery.state == "waiting" and delivery.waiting == 3
    assert "CHURN_SLACK_TOKEN" in str(delivery)
    assert raise_alert(outbox, wrong, alert()).waiting == 4
    assert send_waiting(outbox, bot).state == "sent"
    assert len(slack.messages) == 4


def test_a_wrong_channel_holds_up_its_own_messages_only(
    slack: SlackServer, bot: SlackConfig, outbox: Outbox, alert: MakeAlert
) -> None:
    half = replace(bot, channels={"digest": "C9999999"})
    assert "channel_not_found" in str(post_digest(outbox, half, digest()))
    assert raise_alert(outbox, half, alert()).state == "sent"
    assert send_waiting(outbox, bot).waiting == 0
    assert len(slack.messages) == 4


def test_a_message_whose_form_slack_refuses_goes_out_as_text(
    slack: SlackServer, bot: SlackConfig, outbox: Outbox, alert: MakeAlert
) -> None:
    slack.faults.append(failing("invalid_blocks"))
    assert raise_alert(outbox, bot, alert()).state == "sent"
    assert "blocks" not in slack.messages[0]
    slack.faults.extend([failing("msg_too_long")] * 2)
    assert raise_alert(outbox, bot, alert("b")).state == "dropped"


def test_a_digest_that_was_not_sent_is_replaced_by_the_next_run_of_its_monday(
    bot: SlackConfig, slack: SlackServer, outbox: Outbox
) -> None:
    down = replace(bot, token=None, webhook=SecretStr("http://127.0.0.1:9/services/T/B/x"))
    assert outbox.put(
        [Entry("digest/2026-11-16", "digest", "stale", (), outbox.now(), snapshot_date=MONDAY)], configured=True
    )
    assert post_digest(outbox, down, digest()).state == "waiting"
    send_waiting(outbox, bot)
    assert [message["text"] for message in slack.messages] == [
        "Monday 2026-11-16: $231K a year at risk (+$56K); 2 customers CRITICAL or HIGH"
    ]


def test_a_digest_that_waited_too_long_or_was_overtaken_is_dropped_saying_so(
    slack: SlackServer,
    bot: SlackConfig,
    outbox: Outbox,
    clock: Clock,
    alert: MakeAlert,
    caplog: pytest.LogCaptureFixture,
) -> None:
    wrong = replace(bot, token=SecretStr("xoxb-wrong"))
    post_digest(outbox, wrong, digest())
    raise_alert(outbox, wrong, alert())
    clock.forward(days=6, hours=23)
    delivery = post_digest(outbox, bot, replace(digest(0), snapshot_date=MONDAY + WEEK))
    assert delivery.state == "sent"
    assert "superseded by the digest of 2026-11-23" in str(delivery) and "superseded" in caplog.text
    assert len(slack.messages) == 2
    raise_alert(outbox, wrong, alert("b"))
    clock.forward(days=8)
    assert "waited for more than 7 days" in str(send_waiting(outbox, bot))
    assert len(slack.messages) == 2


def test_the_number_that_waits_is_bounded_and_the_newest_are_kept(
    bot: SlackConfig, slack: SlackServer, outbox: Outbox, clock: Clock
) -> None:
    for number in range(MAX_WAITING + 5):
        clock.forward(seconds=1)
        outbox.put([Entry(f"alert/{number}", "drift", f"n{number}", (), outbox.now())], configured=True)
    delivery = send_waiting(outbox, bot)
    assert [message["text"] for message in slack.messages] == [f"n{number}" for number in range(5, 35)]
    assert delivery.waiting == MAX_WAITING - 30
    assert any("the rest follows" in problem for problem in delivery.problems)


def test_finished_messages_are_swept_after_some_weeks_and_half_written_files_at_once(
    bot: SlackConfig, slack: SlackServer, outbox: Outbox, clock: Clock
) -> None:
    post_digest(outbox, NO_SLACK, digest())
    (outbox.folder / ".x.json.1.tmp").write_text("{")
    send_waiting(outbox, bot)
    assert not list(outbox.folder.glob(".*.tmp"))
    assert len(list(outbox.folder.glob("*.json"))) == 6
    clock.forward(weeks=9)
    send_waiting(outbox, bot)
    assert list(outbox.folder.glob("*.json")) == []


def test_a_file_that_nobody_can_read_is_set_aside_and_stops_nothing(
    bot: SlackConfig, slack: SlackServer, outbox: Outbox, alert: MakeAlert, caplog: pytest.LogCaptureFixture
) -> None:
    outbox.folder.mkdir()
    (outbox.folder / "broken.json").write_text('{"key": ')
    assert raise_alert(outbox, bot, alert()).state == "sent"
    assert (outbox.folder / "broken.unreadable").exists()
    assert "broken.json" in caplog.text


def test_an_outbox_that_cannot_be_written_fails_no_run(
    tmp_path: Path, bot: SlackConfig, slack: SlackServer, clock: Clock, alert: MakeAlert
) -> None:
    (tmp_path / "file").write_text("")
    delivery = raise_alert(Outbox(tmp_path / "file" / "outbox", clock), bot, alert())
    assert delivery.state == "failed" and "cannot be used" in str(delivery)


def test_no_secret_is_in_the_outbox(
    bot: SlackConfig,
    webhook: SlackConfig,
    slack: SlackServer,
    outbox: Outbox,
    alert: MakeAlert,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    for number, config in enumerate((bot, webhook, replace(webhook, webhook=SecretStr(slack.webhook + "x")))):
        slack.faults.extend([Fault(500, TOKEN), failing("invalid_auth")])
        raise_alert(outbox, config, alert(str(number)))
    written = "".join(path.read_text() for path in outbox.folder.glob("*.json")) + caplog.text
    assert TOKEN not in written and WEBHOOK_PATH not in written


def test_a_sample_shows_the_digest_and_stays_out_of_the_outbox(
    bot: SlackConfig, webhook: SlackConfig, slack: SlackServer
) -> None:
    for config in (bot, webhook):
        delivery, message = send_sample(config, digest(0))
        assert delivery.state == "sent"
    assert [entry["blocks"] for entry in slack.messages] == [json.loads(message.builder_json())["blocks"]] * 2
    assert send_sample(NO_SLACK, digest(0))[0].state == "recorded"
    assert "CHURN_SLACK_TOKEN" in str(send_sample(replace(bot, token=SecretStr("no")), digest(0))[0])


# Killed with -9, in a process of its own

SCRIPT = """
import os, sys
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from pydantic import SecretStr
from churn_pipeline.delivery.slack.blocks import sample_digest
from churn_pipeline.delivery.slack.client import SlackConfig
from churn_pipeline.delivery.digest import OwnerList
from churn_pipeline.delivery.slack.notify import post_digest
from churn_pipeline.delivery.slack.outbox import Outbox
from tests.support.policy import SHIPPED

folder, api, webhook, token, channel, minutes = sys.argv[1:]
moment = datetime(2026, 11, 16, 8, tzinfo=UTC) + timedelta(minutes=int(minutes))
config = SlackConfig(SecretStr(token) if token else None, SecretStr(webhook) if webhook else None, channel, api=api, timeout_seconds=5)
sample = sample_digest(date(2026, 11, 16), SHIPPED)
digest = replace(sample, owners=tuple(OwnerList(f"Owner {n}", 3, 1, 9.0 - n, sample.calls) for n in range(3)))
print(post_digest(Outbox(Path(folder), lambda: moment), config, digest).state)
"""


class Process:
    """A run in a process of its own, which the server can kill while it waits for an answer."""

    def __init__(self, folder: Path, slack: SlackServer, way: str) -> None:
        self._arguments = [
            str(folder),
            slack.api,
            slack.webhook if way == "webhook" else "",
            "" if way == "webhook" else TOKEN,
            CHANNEL,
        ]
        self.child: subprocess.Popen[str] | None = None

    def run(self, minutes: int) -> tuple[int, str]:
        self.child = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, *self._arguments, str(minutes)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
        )
        output, _ = self.child.communicate(timeout=60)
        return self.child.returncode, output.strip()

    def kill(self, *_: Any) -> None:
        assert self.child is not None
        os.kill(self.child.pid, signal.SIGKILL)


def nothing(*_: Any) -> None:
    pass


@pytest.mark.parametrize("moment", ["before_storing", "after_storing"])
def test_killed_at_every_message_the_digest_and_its_thread_arrive_and_only_what_may_be_a_repeat_says_so(
    tmp_path: Path, slack: SlackServer, moment: str
) -> None:
    process = Process(tmp_path / "outbox", slack, "bot")
    seen: set[str] = set()

    def kill_once_per_message(body: dict[str, Any]) -> None:
        if body["text"] not in seen:
            seen.add(body["text"])
            process.kill()
            if moment == "before_storing":
                # The request is in the server's hands, and it takes it no further.
                raise ConnectionAbortedError

    setattr(slack, moment, kill_once_per_message)
    codes = [process.run(minutes=5 * attempt)[0] for attempt in range(5)]
    assert codes == [-signal.SIGKILL] * 4 + [0]
    arrived = [message for message, is_repeat in zip(slack.messages, repeats(slack), strict=True) if is_repeat]
    assert [message["text"] for message in arrived] == list(
        dict.fromkeys(message["text"] for message in slack.messages)
    )
    assert len(arrived) == 4
    assert len(slack.messages) == (4 if moment == "before_storing" else 8)
    assert [message.get("thread_ts") for message in arrived] == [None] + [arrived[0]["ts"]] * 3


def test_killed_with_a_webhook_the_digest_arrives_and_its_second_copy_says_that_it_may_be_one(
    tmp_path: Path, slack: SlackServer
) -> None:
    process = Process(tmp_path / "outbox", slack, "webhook")
    slack.after_storing = process.kill
    assert process.run(minutes=0)[0] == -signal.SIGKILL
    slack.after_storing = nothing
    assert process.run(minutes=5)[0] == 0
    assert repeats(slack) == [False, True]
    assert process.run(minutes=600)[1] == "known"
    assert len(slack.messages) == 2


def test_killed_while_writing_the_outbox_no_message_is_half_there(tmp_path: Path, slack: SlackServer) -> None:
    script = SCRIPT.replace(
        "import os, sys", "import os, sys, signal\nimport churn_pipeline.delivery.slack.outbox as module"
    )
    for step in range(1, 6):
        folder = tmp_path / str(step)
        # Every file passes through os.fsync twice: its content, then its name in the folder.
        killer = (
            "real, calls = os.fsync, []\n"
            "def fsync(number):\n"
            f"    calls.append(number)\n    os.kill(os.getpid(), signal.SIGKILL) if len(calls) == {step} else real(number)\n"
            "os.fsync = fsync\nfolder, api"
        )
        arguments = [str(folder), slack.api, "", TOKEN, CHANNEL, "0"]
        killed = subprocess.run(
            [sys.executable, "-c", script.replace("folder, api", killer, 1), *arguments], cwd=REPOSITORY
        )
        assert killed.returncode == -signal.SIGKILL
        before = len(slack.messages)
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, *arguments], cwd=REPOSITORY, capture_output=True, text=True
        )
        assert done.stdout.strip() == "sent"
        assert len(slack.messages) - before == 4
        assert not list(folder.glob(".*.tmp"))
        # A home of its own each time: the same Monday is another message there, and Slack does not mind.


def test_two_processes_at_once_send_one_digest(tmp_path: Path, slack: SlackServer) -> None:
    first, second = (Process(tmp_path / "outbox", slack, "bot") for _ in range(2))
    children = [
        subprocess.Popen(
            [sys.executable, "-c", SCRIPT, *process._arguments, "0"], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
        )
        for process in (first, second)
    ]
    outputs = sorted(child.communicate(timeout=60)[0].strip() for child in children)
    assert len(slack.messages) == len({message["text"] for message in slack.messages}) == 4
    assert "sent" in outputs
