"""What is said of a published Monday, and the occasions to say it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, date

import duckdb

from churn_pipeline.core.json_text import json_text
from churn_pipeline.core.settings import Settings
from churn_pipeline.delivery.announce import outbox_of, report_address
from churn_pipeline.delivery.slack.outbox import Entry, Flushed, Handed, Outbox
from churn_pipeline.delivery.webhook.request import EVENT, post

SERVICE = "webhook"


def announce(settings: Settings, mondays: Sequence[date], seconds: float = 60) -> Flushed:
    """Says of published Mondays that they are out: once for each run that wrote them. What is not taken waits in the outbox.

    Args:
        settings: the home; a webhook is set.
        mondays: which are published.
        seconds: hard bound on the time spent sending.
    """
    outbox = outbox_of(settings)
    for entry in _entries(settings, outbox, mondays):
        outbox.put([entry], configured=True)
    return send_waiting(settings, seconds)


def send_waiting(settings: Settings, seconds: float = 30) -> Flushed:
    """The next occasion: sends what waits, oldest first; nothing where no webhook is set."""
    if settings.published_webhook is None or settings.published_webhook_secret is None:
        return Flushed()
    address = settings.published_webhook.get_secret_value().strip()
    secret = settings.published_webhook_secret.get_secret_value()

    def give(entry: Entry, remaining: float) -> Handed:
        return post(address, secret, entry.text.encode(), delivery_of(entry.key), remaining)

    return outbox_of(settings).hand_over(SERVICE, give, seconds)


def delivery_of(key: str) -> str:
    """What names a message to its receiver, the same at every attempt: a digest of its key in the outbox."""
    return hashlib.sha256(key.encode()).hexdigest()[:32]


def _entries(settings: Settings, outbox: Outbox, mondays: Sequence[date]) -> list[Entry]:
    with duckdb.connect(str(settings.published_database), read_only=True) as con:
        rows = con.execute(
            """
            select snapshot_date, any_value(run_id), any_value(scoring_mode), count(*), count(*) filter (where is_on_call_list)
            from predictions where snapshot_date in (select unnest(?::date[])) group by 1 order by 1
            """,
            [list(mondays)],
        ).fetchall()
    entries = []
    for order, (day, run_id, scoring_mode, customers, called) in enumerate(rows):
        # Numbers of all customers together, and nobody's name: whoever may read more reads what is published.
        event = {
            "event": EVENT,
            "snapshot_date": day.isoformat(),
            "scoring_mode": scoring_mode,
            "run_id": run_id,
            "customers": customers,
            "on_call_list": called,
            "announced_at": outbox.now().astimezone(UTC).isoformat(timespec="seconds"),
            "report": report_address(settings, day),
            "publish_path": settings.publish_path,
        }
        key = f"{SERVICE}/{day}/{run_id}"
        entries.append(
            Entry(key, SERVICE, json_text(event), (), outbox.now(), order=order, snapshot_date=day, service=SERVICE)
        )
    return entries
