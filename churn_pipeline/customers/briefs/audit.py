"""The audit of briefs: a line of JSON for every text that was written, shown or not, and for every call that gave none.

It is appended to and never changed, but for an erasure. A line holds what was sent and what came back as they were, with placeholders where names
stand, and neither a key nor an address. It names the customer by id alone, so that an erasure finds it.

Whoever writes briefs reads what is published and does not hold the home's lock, so the file has a lock of its own, for as long as one
line takes. Under it the list of the forgotten is asked: an erasure puts the customer there first and cleans this file afterwards, so no
line about them can come in between.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from churn_pipeline.contract import suppression
from churn_pipeline.core.atomic import exclusive_lock
from churn_pipeline.core.json_text import json_text
from churn_pipeline.customers.errors import UnknownCustomerError

if TYPE_CHECKING:
    from churn_pipeline.core.settings import Settings
    from churn_pipeline.customers.briefs.endpoint import Exchange
    from churn_pipeline.customers.briefs.service import Attempt

# A brief and what it was made from are about 8 kB. A model that wrote a novel is noted without the novel.
LINE_BYTES = 65_536
_LONG = ("received", "sent", "text", "flags", "error")
_MODE = 0o600


def file_of(settings: Settings) -> Path:
    """Where the audit lies; it need not be there."""
    return settings.briefs / "audit.jsonl"


@contextmanager
def held(settings: Settings) -> Iterator[None]:
    """Waits until nobody else writes in the audit, and keeps others out of it."""
    with exclusive_lock(settings.briefs / "audit.lock"):
        yield


def check(settings: Settings, customer_id: str) -> None:
    """Makes sure that a brief could be noted, before anything is sent for it.

    Raises:
        UnknownCustomerError: the customer is forgotten.
        OSError: the audit cannot be written.
    """
    with held(settings):
        _refuse_forgotten(settings, customer_id)
        os.close(_open(settings))


def append(settings: Settings, attempt: Attempt, exchange: Exchange | None = None) -> None:
    """Notes a text that was written, or should have been.

    Args:
        settings: the home.
        attempt: what became of it.
        exchange: what went to an endpoint for it and came back; None where none was asked.

    Raises:
        UnknownCustomerError: the customer is forgotten; nothing was noted.
        OSError: it could not be written whole; nothing of it is there.
    """
    line = _line(_record(attempt, exchange))
    with held(settings):
        _refuse_forgotten(settings, attempt.customer_id)
        descriptor = _open(settings)
        try:
            size = os.fstat(descriptor).st_size
            # What a killed process left of a line is no reason to spoil this one.
            whole = line if size == 0 or os.pread(descriptor, 1, size - 1) == b"\n" else b"\n" + line
            try:
                written = os.write(descriptor, whole)
            except OSError as error:
                # The system names no file of one that is open.
                raise OSError(error.errno, error.strerror, str(file_of(settings))) from None
            if written < len(whole):
                os.ftruncate(descriptor, size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file_of(settings)))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def entries(settings: Settings) -> list[dict[str, Any]]:
    """Every line of the audit, the oldest first; none where no brief was ever written. Half a line, which a kill left, is passed over."""
    try:
        text = file_of(settings).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    found = []
    for line in text.split("\n"):
        try:
            document = json.loads(line)
        except ValueError:
            continue
        if isinstance(document, dict):
            found.append(document)
    return found


def _open(settings: Settings) -> int:
    return os.open(file_of(settings), os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _MODE)


def _refuse_forgotten(settings: Settings, customer_id: str) -> None:
    forgotten = suppression.load(settings)
    if forgotten is not None and forgotten.digest(customer_id) in forgotten.entries:
        # As of anybody whom nobody knows: that they were here is forgotten too.
        raise UnknownCustomerError(f"no published week holds a customer '{customer_id}'")


def _record(attempt: Attempt, exchange: Exchange | None) -> dict[str, Any]:
    verdict = attempt.verdict
    parts = None if attempt.draft is None else attempt.draft.parts
    if attempt.is_shown and verdict is not None:
        # As the guardrails mended it; what an endpoint gave stands in ``received``.
        parts = verdict.parts
    text = None if parts is None else {str(part): words for part, words in parts.items()}
    asked = {} if exchange is None else asdict(exchange)
    return {
        "correlation_id": attempt.correlation_id,
        "at": attempt.at.isoformat(timespec="milliseconds"),
        "snapshot_date": attempt.snapshot_date,
        "customer_id": attempt.customer_id,
        "audience": str(attempt.audience),
        "kind": str(attempt.kind),
        "provider": attempt.provider,
        "model": attempt.model or asked.get("model"),
        "attempts": asked.get("attempts", 0),
        "seconds": asked.get("seconds"),
        "tokens": asked.get("tokens"),
        "is_shown": attempt.is_shown,
        "result": None if verdict is None else str(verdict.result),
        "fact_confidence": None if verdict is None else verdict.fact_confidence,
        "flags": [] if verdict is None else list(verdict.flags),
        "error": attempt.error,
        "sent": None if exchange is None else json.loads(exchange.sent),
        "received": asked.get("received"),
        "text": text,
        "text_sha256": None if text is None else _hash(text),
        "left_out": [],
    }


def _hash(text: dict[str, str]) -> str:
    """Of a text before names are filled in, by which two copies of it can be told to be the same."""
    return hashlib.sha256(json_text(text, sort_keys=True, compact=True).encode()).hexdigest()


def _line(record: dict[str, Any]) -> bytes:
    """The record as a line that is not too long; what was left out for that is named."""
    for name in ("", *_LONG):
        if name:
            record = record | {name: None, "left_out": [*record["left_out"], name]}
        # Nothing but ASCII: halves of surrogate pairs, which models write too, are escapes here.
        line = json_text(record, compact=True).encode("ascii") + b"\n"
        if len(line) <= LINE_BYTES:
            return line
    return line
