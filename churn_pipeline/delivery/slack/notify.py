"""What the pipeline calls: a digest, an alert, its recovery, the next occasion for what waits, a sample.

Each puts what is to be said into the outbox, sends what waits there, and says what became of it. None of them raises because
Slack, the network or the disk would not.
"""

from __future__ import annotations

import base64
import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import date
from typing import Literal

from churn_pipeline.core import faults
from churn_pipeline.delivery.digest import DIGEST, Alert, AlertKind, BriefsReady, Digest
from churn_pipeline.delivery.slack.blocks import (
    Message,
    alert_message,
    alert_title,
    briefs_message,
    digest_message,
    owner_messages,
    recovery_message,
)
from churn_pipeline.delivery.slack.client import SlackConfig, check, mentions, post
from churn_pipeline.delivery.slack.outbox import Entry, Flushed, Outbox
from churn_pipeline.delivery.slack.picture import draw

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Delivery:
    """What became of a message. A run looks at none of it; it is for the log and for people.

    Attributes:
        state: ``sent``; ``waiting`` in the outbox; ``recorded`` because no Slack is configured; ``known``, said
            before; ``quiet``, not to be said; ``nothing`` to say; ``dropped``; ``failed``, not even the outbox took it.
        problems: what somebody has to know or mend.
        waiting: messages in the outbox.
    """

    state: Literal["sent", "waiting", "recorded", "known", "quiet", "nothing", "dropped", "failed"]
    problems: tuple[str, ...] = ()
    waiting: int = 0

    def __str__(self) -> str:
        waiting = f" ({self.waiting} waiting)" if self.waiting else ""
        return f"Slack: {self.state}{waiting}" + "".join(f"; {problem}" for problem in self.problems)


def post_digest(
    outbox: Outbox, config: SlackConfig, digest: Digest, *, quiet: bool = False, seconds: float = 60
) -> Delivery:
    """Says what a Monday came to; once per Monday, however often it is run.

    The lists per owner follow in its thread. A webhook cannot reply, so there they are left out and the message says
    where they are.

    Args:
        outbox: of the home.
        config: how to reach Slack.
        digest: a published Monday, the latest one: a digest of a week that a later one was posted for is dropped.
        quiet: say nothing, for backfills and runs tagged so.
        seconds: hard bound on the time spent.
    """
    if quiet:
        return Delivery("quiet")
    key = f"{DIGEST}/{digest.snapshot_date}"
    until = time.monotonic() + seconds

    def put() -> str | None:
        if not outbox.takes(key, configured=config.way != "none"):
            return None
        threaded = config.way != "webhook"
        mentioned = _mentions(config, digest, seconds / 4)
        messages = owner_messages(digest, mentioned) if threaded else ()
        thread = [
            _entry(outbox, f"{key}/owner/{name}", DIGEST, message, digest.snapshot_date) for name, message in messages
        ]
        # Only a bot may upload. It stands first in the thread, for everybody and not for one owner.
        if config.way == "bot" and (drawn := draw(digest)) is not None:
            about = f"Revenue at risk by tier, USD a year, up to Monday {digest.snapshot_date}"
            picture = _entry(outbox, f"{key}/picture", DIGEST, Message(about, ()), digest.snapshot_date)
            thread.insert(0, replace(picture, picture=base64.b64encode(drawn).decode()))
        first = _entry(outbox, key, DIGEST, digest_message(digest, threaded, mentioned), digest.snapshot_date)
        entries = [first, *(replace(entry, thread_of=key, alone="drop") for entry in thread)]
        return key if outbox.put(entries, configured=config.way != "none") else None

    return _say(outbox, config, put, until)


def post_briefs(outbox: Outbox, config: SlackConfig, ready: BriefsReady, *, seconds: float = 30) -> Delivery:
    """Says that the briefs of a Monday are there: once, in the thread of its digest, or by itself where there is none.

    Args:
        outbox: of the home.
        config: how to reach Slack.
        ready: what was prepared.
        seconds: hard bound on the time spent.
    """
    digest = f"{DIGEST}/{ready.snapshot_date}"

    def put() -> str | None:
        entry = _entry(outbox, f"{digest}/briefs", DIGEST, briefs_message(ready), ready.snapshot_date)
        return entry.key if outbox.put([replace(entry, thread_of=digest)], configured=config.way != "none") else None

    return _say(outbox, config, put, time.monotonic() + seconds)


def _mentions(config: SlackConfig, digest: Digest, seconds: float) -> dict[str, str]:
    """Who is mentioned, of the owners that the digest and its thread name. Where Slack cannot be asked they are named."""
    lines = (*digest.calls, *(line for owner in digest.owners for line in owner.calls))
    owners = (*(owner.owner for owner in digest.owners), *(line.csm_owner for line in lines))
    mentioned, problem = mentions(config, (owner for owner in owners if owner), max(1.0, seconds))
    if problem:
        log.warning("Slack: %s", problem)
    return mentioned


def raise_alert(
    outbox: Outbox, config: SlackConfig, alert: Alert, *, quiet: bool = False, seconds: float = 30
) -> Delivery:
    """Says that something is wrong; once per cause until `clear_alerts` says that it is over.

    Args:
        outbox: of the home.
        config: how to reach Slack.
        alert: what is wrong.
        quiet: say nothing, for backfills and runs tagged so.
        seconds: hard bound on the time spent.
    """
    if quiet:
        return Delivery("quiet")

    def put() -> str | None:
        # The same cause may come back after it was over. Not the outbox's clock, which may stand still.
        key = f"{alert.cause}@{time.time_ns()}"
        entry = _entry(outbox, key, alert.kind, alert_message(alert), alert.snapshot_date)
        entry = replace(entry, cause=alert.cause, title=alert_title(alert))
        return key if outbox.put([entry], configured=config.way != "none") else None

    return _say(outbox, config, put, time.monotonic() + seconds)


def clear_alerts(
    outbox: Outbox,
    config: SlackConfig,
    *,
    kinds: Collection[AlertKind] | None = None,
    snapshot_date: date | None = None,
    subject: str | None = None,
    seconds: float = 30,
) -> Delivery:
    """Says of open alerts that they are over: once each, in the alert's thread where there is one.

    Args:
        outbox: of the home.
        config: how to reach Slack.
        kinds: only these.
        snapshot_date: only those about this Monday.
        subject: only those about this asset, source or target.
        seconds: hard bound on the time spent.
    """

    def put() -> str | None:
        configured = config.way != "none"
        last = None
        for alert in reversed(outbox.open_alerts(configured=configured)):
            if kinds is not None and alert.kind not in kinds:
                continue
            if snapshot_date is not None and alert.snapshot_date != snapshot_date:
                continue
            if subject is not None and alert.cause != f"{alert.kind}/{alert.snapshot_date}/{subject}":
                continue
            message = recovery_message(alert.title or alert.text, alert.created_at, outbox.now())
            note = _entry(outbox, f"{alert.key}/recovered", alert.kind, message, alert.snapshot_date)
            if outbox.put([replace(note, closes=alert.key, thread_of=alert.key)], configured=configured):
                last = note.key
        return last

    return _say(outbox, config, put, time.monotonic() + seconds, nothing="nothing")


def send_waiting(outbox: Outbox, config: SlackConfig, *, seconds: float = 60) -> Delivery:
    """The next occasion: sends what waits, oldest first."""
    return _say(outbox, config, lambda: None, time.monotonic() + seconds, nothing="nothing")


def send_sample(config: SlackConfig, sample: Digest, *, seconds: float = 30) -> tuple[Delivery, Message]:
    """Tries the configuration out with a made-up digest, :func:`sample_digest`, past the outbox: a test that failed is not to be sent later.

    Returns:
        What came of it, with what `check` has to say, and the message, whose JSON can be pasted into the Block Kit Builder.
    """
    message = digest_message(sample, config.way != "webhook")
    accepted, notes = check(config, seconds)
    if config.way == "none":
        return Delivery("recorded", notes), message
    if not accepted:
        return Delivery("failed", notes), message
    answer = post(
        config,
        channel=config.channel_for(DIGEST),
        text=message.text,
        blocks=message.blocks,
        seconds=seconds,
    )
    if answer.outcome == "delivered":
        return Delivery("sent", notes), message
    return Delivery("failed", (answer.reason, *notes)), message


def _entry(outbox: Outbox, key: str, kind: str, message: Message, snapshot_date: date | None) -> Entry:
    return Entry(key, kind, message.text, message.blocks, outbox.now(), snapshot_date=snapshot_date)


def _say(
    outbox: Outbox,
    config: SlackConfig,
    put: Callable[[], str | None],
    until: float,
    nothing: Literal["known", "nothing"] = "known",
) -> Delivery:
    try:
        key = put()
        done = outbox.flush(config, max(1.0, until - time.monotonic()))
    except OSError as error:
        why = faults.sentence(error, outbox.folder) or error
        log.error("Slack: the outbox %s cannot be used: %s", outbox.folder, why)
        return Delivery("failed", (f"the outbox cannot be used: {why}",))
    return Delivery(_state(key, done, nothing), _problems(done), done.waiting)


def _state(
    key: str | None, done: Flushed, nothing: Literal["known", "nothing"]
) -> Literal["sent", "waiting", "recorded", "known", "nothing", "dropped"]:
    if key is None:
        return "sent" if done.sent and nothing == "nothing" else nothing
    if key in done.sent:
        return "sent"
    if key in done.recorded:
        return "recorded"
    return "dropped" if key in done.dropped else "waiting"


def _problems(done: Flushed) -> tuple[str, ...]:
    return (*done.problems, *(f"dropped {key}: {reason}" for key, reason in done.dropped.items()))
