"""The durable outbox: one JSON file per message in HOME/data/outbox, and the way from ``pending`` to ``sent``.

States of a message::

    pending ──> sending ──> sent          Slack took it; kept for some weeks so that nothing is said twice
       │           └──────> pending       Slack certainly did not take it
       ├──────────────────> recorded      no Slack is configured; beside it lies NAME.blocks.json for the Block Kit Builder
       └──────────────────> dropped       too old, superseded, given up; the file says why

``sending`` is on disk before the request goes out, so a process that finds it there knows that an attempt was made whose end
nobody noted. Slack has no key by which it would take a message once, so it is sent again, in the message and in the log said to be a
possible repeat, and given up after three attempts without an answer. Two locks keep processes apart: one for the files, held for milliseconds, and one for sending.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from churn_pipeline.core.atomic import PRIVATE_FOLDER, replace_bytes
from churn_pipeline.core.json_text import json_text
from churn_pipeline.delivery.digest import DIGEST
from churn_pipeline.delivery.slack.blocks import Message
from churn_pipeline.delivery.slack.client import Answer, SlackConfig, post, upload

SLACK = "slack"
State = Literal["pending", "sending", "sent", "recorded", "dropped"]
log = logging.getLogger(__name__)

# Older news is no news: the next digest is there, and whoever could act on an alert has met its cause by now.
MAX_AGE = timedelta(days=7)
# More than that waiting means that nobody reads them anyway; the newest are kept.
MAX_WAITING = 200
# Attempts without an answer, where nobody can be asked: at most this many copies of one message.
MAX_UNANSWERED = 3
# How long an attempt without an answer is given before the next one; grows tenfold with each (1, 10, 100 min).
SETTLE = timedelta(minutes=1)
# Messages of one occasion; a digest with its thread, its picture and the note of its briefs is at most 23.
MAX_SENT = 30

# Seconds that an upload may take of those that all messages have.
_UPLOAD = 15
# The fields of an entry that are instants.
_INSTANTS = ("created_at", "not_before")
_REPEAT = "This may be a repeat: nobody knows whether an earlier attempt to send it arrived."


@dataclass(frozen=True)
class Entry:
    """A message in the outbox.

    Attributes:
        key: what makes two messages the same one.
        kind: ``digest`` or the kind of an alert; chooses the channel at the time of sending, so that a corrected setting helps
            messages that wait.
        order: position among those created in one moment.
        snapshot_date: the Monday it is about.
        cause: of an alert: what a retry would be about again.
        title: of an alert, for its recovery note.
        closes: of a recovery note: key of the alert that is over.
        thread_of: key of the message whose thread it belongs into.
        alone: what to do where there is no thread: ``send`` it by itself or ``drop`` it.
        unanswered: attempts whose end nobody knows.
        is_doubtful: whether an attempt that Slack called a failure of its own may have arrived all the same.
        channel_id: what Slack calls the channel where it stands.
        picture: a PNG in base64 that is uploaded into the thread instead of a message; gone once that is over.
        service: who takes it: Slack, or another one that `hand_over` gives it to.
    """

    key: str
    kind: str
    text: str
    blocks: tuple[dict[str, Any], ...]
    created_at: datetime
    order: int = 0
    snapshot_date: date | None = None
    cause: str | None = None
    title: str | None = None
    closes: str | None = None
    thread_of: str | None = None
    alone: Literal["send", "drop"] = "send"
    state: State = "pending"
    attempts: int = 0
    unanswered: int = 0
    is_doubtful: bool = False
    not_before: datetime | None = None
    channel_id: str | None = None
    ts: str | None = None
    reason: str = ""
    picture: str | None = None
    service: str = SLACK

    @property
    def waits(self) -> bool:
        return self.state in ("pending", "sending")

    def to_json(self) -> str:
        values = asdict(self)
        for name in _INSTANTS:
            values[name] = values[name].isoformat() if values[name] else None
        return json_text(values, indent=1, ascii_only=False)

    @classmethod
    def from_json(cls, text: str) -> Entry:
        raw = json.loads(text)
        for name in _INSTANTS:
            raw[name] = datetime.fromisoformat(raw[name]) if raw[name] else None
        raw["snapshot_date"] = date.fromisoformat(raw["snapshot_date"]) if raw["snapshot_date"] else None
        # Messages of earlier versions say more than is asked now.
        known = {name: value for name, value in raw.items() if name in cls.__dataclass_fields__}
        return cls(**{**known, "blocks": tuple(raw["blocks"])})


@dataclass(frozen=True)
class Flushed:
    """What one occasion to send came to.

    Attributes:
        sent: keys that Slack has now.
        recorded: keys that went to the log because no Slack is configured.
        dropped: keys that were given up, with why.
        waiting: messages still in the outbox.
        problems: what somebody has to know or mend, each once.
    """

    sent: tuple[str, ...] = ()
    recorded: tuple[str, ...] = ()
    dropped: Mapping[str, str] = field(default_factory=dict)
    waiting: int = 0
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Handed:
    """What a service other than Slack made of a message.

    Attributes:
        taken: whether it has it.
        reason: why not, for people.
        retry_after: seconds for which it asked not to be asked again.
    """

    taken: bool
    reason: str = ""
    retry_after: float = 0


class Outbox:
    """The outbox of one home.

    Args:
        folder: HOME/data/outbox; made when needed.
        clock: the current instant, aware.
        keep: how long a finished message is kept, so that it is not said again.
    """

    def __init__(self, folder: Path, clock: Callable[[], datetime], keep: timedelta = timedelta(weeks=8)) -> None:
        self.folder = folder
        self._clock = clock
        self._keep = keep

    def now(self) -> datetime:
        return self._clock().astimezone(UTC)

    def entries(self) -> list[Entry]:
        """Everything in the outbox, oldest first. A file that cannot be read is set aside, so that it stops nothing else."""
        entries = []
        for path in sorted(self.folder.glob("*.json")) if self.folder.is_dir() else ():
            if path.name.endswith(".blocks.json"):
                continue
            try:
                entries.append(Entry.from_json(path.read_text(encoding="utf-8")))
            except FileNotFoundError:
                # Swept by another process since the folder was listed.
                continue
            except (ValueError, KeyError, TypeError) as error:
                aside = path.with_suffix(".unreadable")
                path.replace(aside)
                log.error("Slack: %s is no message of the outbox (%s); set aside as %s", path, error, aside.name)
        return sorted(entries, key=lambda entry: (entry.created_at, entry.order, entry.key))

    def takes(self, key: str, *, configured: bool) -> bool:
        """Whether `put` would take a message of that key, which is asked before the message is made."""
        return self._is_open(self._read(key), configured)

    def put(self, entries: Sequence[Entry], *, configured: bool) -> bool:
        """Takes a message, and what belongs into its thread, unless it is there already.

        An alert is there already when one of the same cause is open. A message that waits and that nobody tried to send yet
        is replaced: a Monday that was run again has the newer figures. So is one that was only recorded, once Slack is
        configured.

        Args:
            entries: the message, then its thread.
            configured: whether there is a Slack to send it to.

        Returns:
            Whether it was taken.
        """
        first, *thread = entries
        with self._files():
            if first.cause is not None and self.open_alert(first.cause, configured=configured) is not None:
                return False
            present = self._read(first.key)
            if not self._is_open(present, configured):
                return False
            if present is not None:
                for entry in self.entries():
                    if entry.thread_of == first.key and entry.state in ("pending", "recorded"):
                        self._remove(entry)
                if present.state == "pending":
                    first = replace(first, created_at=present.created_at)
            # The thread before what it hangs on: killed in between, the run that comes back writes all of it again.
            for order, entry in enumerate(thread, start=1):
                self._write(replace(entry, order=order, created_at=first.created_at))
            self._write(first)
        return True

    @staticmethod
    def _is_open(present: Entry | None, configured: bool) -> bool:
        """Whether another message may take the place of the one that is there."""
        if present is None:
            return True
        untried = present.state == "pending" and present.attempts == 0
        return untried or (present.state == "recorded" and configured)

    def open_alert(self, cause: str, *, configured: bool) -> Entry | None:
        """The newest alert of a cause that nothing has closed, as far as somebody was or will be told of it."""
        return next((entry for entry in self.open_alerts(configured=configured) if entry.cause == cause), None)

    def open_alerts(self, *, configured: bool) -> list[Entry]:
        """All alerts that are not over, newest first."""
        entries = self.entries()
        closed = {entry.closes for entry in entries}
        heard = {"pending", "sending", "sent"} | (set() if configured else {"recorded"})
        return [
            entry for entry in reversed(entries) if entry.cause and entry.key not in closed and entry.state in heard
        ]

    def flush(self, config: SlackConfig, seconds: float = 60, limit: int = MAX_SENT) -> Flushed:
        """Sends what waits, oldest first, as much as time and Slack allow.

        Args:
            config: how to reach Slack; with neither token nor webhook what waits is recorded.
            seconds: hard bound on the time spent.
            limit: most messages sent.
        """
        deadline = time.monotonic() + seconds
        with self._lock("sending", wait=min(seconds / 2, 10)) as locked:
            if not locked:
                waiting = sum(entry.waits for entry in self._for(SLACK))
                return Flushed(waiting=waiting, problems=("another process is sending what waits",) if waiting else ())
            self._sweep()
            return self._flush(config, deadline, limit)

    def _flush(self, config: SlackConfig, deadline: float, limit: int) -> Flushed:
        before = {entry.key: entry.state for entry in self._for(SLACK)}
        # One that goes without is told in the log: nobody lacks a message.
        pictures = {entry.key for entry in self._for(SLACK) if entry.picture}
        problems: dict[str, None] = {}
        blocked: set[str | None] = set()
        requests = 0
        self._drop_outdated(SLACK)
        for waiting in [entry for entry in self._for(SLACK) if entry.waits]:
            if config.way == "none" and not waiting.picture:
                self._record(waiting)
                continue
            entry = self._threaded(waiting, config)
            channel = config.channel_for(waiting.kind)
            if entry is None or channel in blocked or (entry.not_before and entry.not_before > self.now()):
                continue
            remaining = deadline - time.monotonic()
            if remaining < 1 or requests >= limit:
                problems.setdefault("more waits than could be sent now; the rest follows next time")
                break
            requests += 1
            if entry.picture:
                if reason := self._upload(entry, config, min(remaining, _UPLOAD)):
                    problems.setdefault(reason)
                continue
            answer = self._send(entry, channel, config, remaining)
            if answer.outcome == "rejected":
                requests += 1
                answer = self._send(entry, channel, config, max(1.0, deadline - time.monotonic()))
            if answer.reason:
                problems.setdefault(answer.reason)
            if answer.everywhere:
                break
            if answer.outcome == "misconfigured":
                blocked.add(channel)
        after = self._for(SLACK)
        changed = {entry.key: entry for entry in after if before.get(entry.key) != entry.state}
        done = Flushed(
            sent=tuple(key for key, entry in changed.items() if entry.state == "sent"),
            recorded=tuple(key for key, entry in changed.items() if entry.state == "recorded"),
            dropped={
                key: entry.reason for key, entry in changed.items() if entry.state == "dropped" and key not in pictures
            },
            waiting=sum(entry.waits for entry in after),
            problems=tuple(problems),
        )
        for problem in done.problems:
            log.warning("Slack: %s (%d waiting in %s)", problem, done.waiting, self.folder)
        return done

    def hand_over(self, service: str, give: Callable[[Entry, float], Handed], seconds: float = 30) -> Flushed:
        """Gives what waits for another service than Slack to it, oldest first. One that is not taken is given again, each time after ten
        times as long (1, 10, 100 minutes at most), and may be given twice where an answer got lost: whoever takes it is to know it by its key.

        Args:
            service: as the entries name it.
            give: gives one message within so many seconds.
            seconds: hard bound on the time spent.
        """
        deadline = time.monotonic() + seconds
        with self._lock("sending", wait=min(seconds / 2, 10)) as locked:
            if not locked:
                waiting = sum(entry.waits for entry in self._for(service))
                return Flushed(waiting=waiting, problems=("another process is sending what waits",) if waiting else ())
            self._sweep()
            before = {entry.key: entry.state for entry in self._for(service)}
            problems: dict[str, None] = {}
            self._drop_outdated(service)
            for entry in [entry for entry in self._for(service) if entry.waits]:
                if entry.not_before and entry.not_before > self.now():
                    continue
                remaining = deadline - time.monotonic()
                if remaining < 1:
                    problems.setdefault("more waits than could be sent now; the rest follows next time")
                    break
                tried = replace(entry, state="sending", attempts=entry.attempts + 1)
                self._write(tried)
                handed = give(tried, remaining)
                if handed.taken:
                    self._write(replace(tried, state="sent", not_before=None, reason=""))
                    continue
                wait = max(SETTLE * 10 ** min(entry.attempts, 2), timedelta(seconds=handed.retry_after))
                self._write(replace(tried, state="pending", not_before=self.now() + wait, reason=handed.reason))
                problems.setdefault(handed.reason)
                # Where one was not taken the next will not be either.
                break
            after = self._for(service)
        changed = {entry.key: entry for entry in after if before.get(entry.key) != entry.state}
        return Flushed(
            sent=tuple(key for key, entry in changed.items() if entry.state == "sent"),
            dropped={key: entry.reason for key, entry in changed.items() if entry.state == "dropped"},
            waiting=sum(entry.waits for entry in after),
            problems=tuple(problems),
        )

    def _for(self, service: str) -> list[Entry]:
        return [entry for entry in self.entries() if entry.service == service]

    def _send(self, entry: Entry, channel: str | None, config: SlackConfig, seconds: float) -> Answer:
        """One message on its way: note that it is tried, send it, note what came of it."""
        with self._files():
            # Read again: newer figures may have taken its place.
            entry = self._read(entry.key) or entry
            if entry.unanswered >= MAX_UNANSWERED:
                self._drop(entry, f"{entry.unanswered} attempts got no answer, and nobody can be asked if it arrived")
                return Answer("wait")
            text, blocks = _outgoing(entry)
            entry = replace(
                entry,
                state="sending",
                attempts=entry.attempts + 1,
                unanswered=entry.unanswered + 1,
                not_before=self.now() + SETTLE * 10**entry.unanswered,
            )
            self._write(entry)
        answer = post(
            config,
            channel=channel,
            text=text,
            blocks=blocks,
            thread_ts=self._parent_ts(entry, config),
            seconds=seconds,
        )
        answered = replace(entry, unanswered=entry.unanswered - 1, not_before=None, reason=answer.reason)
        match answer.outcome:
            case "delivered":
                self._write(replace(answered, state="sent", channel_id=answer.channel_id, ts=answer.ts, reason=""))
            case "unknown":
                self._write(replace(entry, reason=answer.reason))
            case "server_error":
                # Slack may have failed after it had posted. Such attempts are not counted: a day of them must not lose the message.
                self._write(replace(answered, state="pending", is_doubtful=True, not_before=self.now() + SETTLE))
            case "rejected" if entry.blocks:
                # The words without their form are better than nothing.
                log.error("Slack: %s (%s); sent again as text", answer.reason, entry.key)
                self._write(replace(answered, state="pending", blocks=()))
            case "rejected":
                self._drop(answered, answer.reason)
                return replace(answer, outcome="wait")
            case _:
                wait = timedelta(seconds=answer.retry_after)
                self._write(replace(answered, state="pending", not_before=self.now() + wait if wait else None))
        return answer

    def _upload(self, entry: Entry, config: SlackConfig, seconds: float) -> str:
        """One picture on its way, tried once: nobody can be asked whether it arrived, and it is no loss. Says what somebody has to know."""
        parent = self._read(entry.thread_of) if entry.thread_of else None
        if entry.state == "sending" or parent is None or parent.ts is None or parent.channel_id is None:
            self._drop(
                entry,
                "an upload was begun, and nobody can be asked how it ended" if parent else "no message to go with",
            )
            return ""
        with self._files():
            self._write(replace(entry, state="sending", attempts=entry.attempts + 1))
        answer = upload(
            config,
            channel_id=parent.channel_id,
            thread_ts=parent.ts,
            picture=base64.b64decode(entry.picture or ""),
            name=f"revenue-at-risk-{entry.snapshot_date}.png",
            title=entry.text,
            seconds=seconds,
        )
        match answer.outcome:
            case "delivered":
                self._write(replace(entry, state="sent", attempts=entry.attempts + 1, picture=None))
            case "wait":
                wait = timedelta(seconds=answer.retry_after)
                self._write(replace(entry, attempts=entry.attempts + 1, not_before=self.now() + wait if wait else None))
                return answer.reason
            case _:
                self._drop(entry, answer.reason)
        return ""

    def _threaded(self, entry: Entry, config: SlackConfig) -> Entry | None:
        """The entry when what it hangs on allows it to go; None when it has to wait, or will never go."""
        if entry.thread_of is None:
            return entry
        parent = self._read(entry.thread_of)
        if parent is None:
            return entry if entry.alone == "send" else None
        if parent.waits:
            return None
        if parent.state in ("dropped", "recorded"):
            self._drop(entry, f"what it belongs to was {parent.state}")
            return None
        if self._parent_ts(entry, config) is None and entry.alone == "drop":
            self._drop(entry, "a webhook cannot reply in a thread")
            return None
        return entry

    def _parent_ts(self, entry: Entry, config: SlackConfig) -> str | None:
        parent = self._read(entry.thread_of) if entry.thread_of and config.way == "bot" else None
        return parent.ts if parent is not None else None

    def _drop_outdated(self, service: str) -> None:
        entries = [entry for entry in self._for(service) if entry.waits]
        digests = [entry for entry in self._for(service) if entry.kind == DIGEST and entry.thread_of is None]
        newest = max((entry.snapshot_date for entry in digests if entry.snapshot_date), default=None)
        for position, entry in enumerate(entries):
            if entry.kind == DIGEST and entry.snapshot_date and newest and entry.snapshot_date < newest:
                self._drop(entry, f"superseded by the digest of {newest}")
            elif self.now() - entry.created_at > MAX_AGE:
                self._drop(entry, f"superseded: it waited for more than {MAX_AGE.days} days. {entry.reason}".strip())
            elif position < len(entries) - MAX_WAITING:
                self._drop(entry, f"more than {MAX_WAITING} messages wait, and this is one of the oldest")

    def _record(self, entry: Entry) -> None:
        message = Message(entry.text, entry.blocks)
        name = self._path(entry.key).with_suffix(".blocks.json")
        _replace_file(name, message.builder_json())
        self._write(replace(entry, state="recorded", reason="neither a token nor a webhook of Slack is configured"))
        log.info("Slack is not configured; for the Block Kit Builder (%s): %s", name, message.builder_json())

    def _drop(self, entry: Entry, reason: str) -> None:
        log.warning("%s: '%s' is dropped: %s (%s)", entry.service.title(), entry.text, reason, self._path(entry.key))
        self._write(replace(entry, state="dropped", reason=reason, picture=None))

    def _sweep(self) -> None:
        """Removes what is over and old, and what a killed process left half-written."""
        with self._files():
            for entry in self.entries():
                if not entry.waits and self.now() - entry.created_at > self._keep:
                    self._remove(entry)
            for leftover in self.folder.glob(".*.tmp"):
                leftover.unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        slug = re.sub(r"[^a-z0-9]+", "-", key.lower()).strip("-")[:80]
        return self.folder / f"{slug}-{hashlib.sha256(key.encode()).hexdigest()[:12]}.json"

    def _read(self, key: str) -> Entry | None:
        path = self._path(key)
        return Entry.from_json(path.read_text(encoding="utf-8")) if path.exists() else None

    def _write(self, entry: Entry) -> None:
        _replace_file(self._path(entry.key), entry.to_json())

    def _remove(self, entry: Entry) -> None:
        path = self._path(entry.key)
        path.with_suffix(".blocks.json").unlink(missing_ok=True)
        path.unlink(missing_ok=True)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody sends, adds or changes messages meanwhile; for whoever has to change the files themselves.

        Raises:
            TimeoutError: somebody is sending, or has held the files, for ten seconds.
        """
        with self._lock("sending") as sending:
            if not sending:
                raise TimeoutError(f"another process is sending from {self.folder} and does not let go")
            with self._files():
                yield

    @contextmanager
    def _files(self) -> Iterator[None]:
        """Nobody else changes files meanwhile.

        Raises:
            TimeoutError: somebody has held them for ten seconds.
        """
        with self._lock("files") as locked:
            if not locked:
                raise TimeoutError(f"another process holds {self.folder} and does not let go")
            yield

    @contextmanager
    def _lock(self, name: str, wait: float = 10) -> Iterator[bool]:
        """An flock, which dies with its holder. Yields whether it was got within ``wait`` seconds."""
        self.folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        with (self.folder / f".{name}.lock").open("a") as file:
            end = time.monotonic() + wait
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    if time.monotonic() >= end:
                        yield False
                        return
                    time.sleep(0.02)
                    continue
                yield True
                return


def _outgoing(entry: Entry) -> tuple[str, tuple[dict[str, Any], ...]]:
    """Text and blocks, with what is only known when they are sent: whether they may be a repeat."""
    if not (entry.unanswered or entry.is_doubtful):
        return entry.text, entry.blocks
    log.warning("Slack: '%s' is sent again and may stand there twice (%s)", entry.text, entry.key)
    if not entry.blocks:
        return f"{entry.text}\n{_REPEAT}", ()
    repeat = {"type": "context", "elements": [{"type": "plain_text", "text": _REPEAT, "emoji": False}]}
    return entry.text, (*entry.blocks, repeat)


def _replace_file(path: Path, text: str) -> None:
    """Writes a file whole or not at all, and onto the disk: the folder too, or a power cut could take the name back."""
    path.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    replace_bytes(path, text.encode())
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
