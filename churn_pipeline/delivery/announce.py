"""When the pipeline speaks in Slack: what happened to a run of this Monday, and what did not happen in time.

How it is said and sent is in ``slack``. Nobody is told anything about a past Monday, a backfill, or a run tagged ``churn/quiet``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import duckdb

from churn_pipeline.core.calendar import latest_monday
from churn_pipeline.core.settings import Settings
from churn_pipeline.delivery.briefs.store import page_address
from churn_pipeline.delivery.digest import Alert, AlertKind, BriefsReady, Digest, Link
from churn_pipeline.delivery.slack.client import SlackConfig
from churn_pipeline.delivery.slack.notify import Delivery, clear_alerts, post_briefs, post_digest, raise_alert
from churn_pipeline.delivery.slack.outbox import Entry, Outbox

QUIET_TAG = "churn/quiet"
# Dagster's own tags.
_BACKFILL_TAG, _PARTITION_TAG = "dagster/backfill", "dagster/partition"

# What the end of a good run of a Monday puts right.
_OVER: tuple[AlertKind, ...] = ("run_failed", "data_refused", "deadline")
# The step that finds no model for a Monday.
SCORING = "score"


@dataclass(frozen=True)
class Problem:
    """Something that made a run fail.

    Attributes:
        exit_code: 2 bad input, 3 refused, 1 anything else.
        subject: the step or asset.
        what: the message, for a person.
        details: of an error that nobody expected where it happened. They may quote a row, so they are for a file.
    """

    exit_code: int
    subject: str
    what: str
    details: str = field(default="", compare=False)

    def __str__(self) -> str:
        return self.what if self.exit_code != 1 or self.subject == "run" else f"{self.subject}: {self.what}"


def slack_config(settings: Settings) -> SlackConfig:
    """How to reach Slack, from the settings."""
    return SlackConfig(
        token=settings.slack_token,
        webhook=settings.slack_webhook,
        channel=settings.slack_channel,
        channels=settings.slack_channels,
        owners=settings.slack_owners,
        timeout_seconds=settings.slack_timeout_seconds,
        api=settings.slack_api,
    )


def outbox_of(settings: Settings) -> Outbox:
    """The home's outbox."""
    return Outbox(settings.outbox, settings.clock, timedelta(weeks=settings.outbox_keep_weeks))


def notifiable_monday(settings: Settings, tags: Mapping[str, str]) -> date | None:
    """The Monday that a run of the Monday job is about, if anybody is to be told of it: the latest one, asked for by itself.

    Args:
        settings: the home.
        tags: of the run, as Dagster gives them.
    """
    if QUIET_TAG in tags or _BACKFILL_TAG in tags or _PARTITION_TAG not in tags:
        return None
    day = date.fromisoformat(tags[_PARTITION_TAG])
    return day if day == latest_monday(settings.clock(), settings.timezone) else None


def announce_failure(settings: Settings, monday: date, run_id: str, problems: Sequence[Problem]) -> Delivery:
    """Raises an alert for the first thing that went wrong; what follows from it is in the details.

    One message per Monday, kind and asset, however often the run is repeated.
    """
    first, *others = problems or [Problem(1, "run", "the run ended without saying why")]
    kinds: dict[int, AlertKind] = {2: "data_refused", 3: "model_refused"}
    return raise_alert(
        outbox_of(settings),
        slack_config(settings),
        Alert(
            kind=kinds.get(first.exit_code, "run_failed"),
            snapshot_date=monday,
            subject=first.subject,
            what=first.what,
            at=settings.clock(),
            details=tuple(f"{other.subject}: {other.what}" for other in others),
            run_id=run_id,
            links=run_links(settings, run_id),
        ),
    )


def announce_success(settings: Settings, monday: date) -> Delivery:
    """Says that what was wrong about a Monday is over, if anything was. A refused training is settled by the next one instead."""
    box, config = outbox_of(settings), slack_config(settings)
    cleared = clear_alerts(box, config, kinds=_OVER, snapshot_date=monday)
    no_model = clear_alerts(box, config, kinds=["model_refused"], snapshot_date=monday, subject=SCORING)
    return no_model if cleared.state == "nothing" else cleared


def announce_deadline(settings: Settings) -> Delivery | None:
    """Raises an alert when the deadline has passed and this Monday is not published, and clears it; None when all is well.

    A home that has never published anything has nobody waiting for it.
    """
    now = settings.clock()
    monday = latest_monday(now, settings.timezone)
    due = datetime.combine(monday, settings.deadline, ZoneInfo(settings.timezone))
    if not settings.published_database.is_file():
        return None
    if _is_published(settings, monday):
        # Whoever published it: a run tagged quiet and a backfill say nothing themselves.
        cleared = clear_alerts(outbox_of(settings), slack_config(settings), kinds=["deadline"], snapshot_date=monday)
        return None if cleared.state == "nothing" else cleared
    if now < due:
        return None
    alert = Alert(
        kind="deadline",
        snapshot_date=monday,
        subject="predictions",
        what=f"no predictions of {monday} were published by {due:%H:%M} {settings.timezone}",
        at=now,
        links=(Link("runs", f"{settings.dagster_url}/runs"),) if settings.dagster_url else (),
    )
    return raise_alert(outbox_of(settings), slack_config(settings), alert)


def announce_drift(settings: Settings, monday: date, verdict: str, reasons: Sequence[str], run_id: str) -> Delivery:
    """Raises an alert when drift says act, and says that it is over when it no longer does."""
    box, config = outbox_of(settings), slack_config(settings)
    if verdict == "unknown":
        return Delivery("nothing")
    if verdict != "act":
        return clear_alerts(box, config, kinds=["drift"])
    # One disturbance goes on for weeks: what is open is not said again.
    if any(entry.kind == "drift" for entry in _open(box, config)):
        return Delivery("known")
    return raise_alert(
        box,
        config,
        Alert(
            kind="drift",
            snapshot_date=monday,
            subject="features",
            what=reasons[0] if reasons else "drift says act",
            at=settings.clock(),
            details=tuple(reasons[1:8]),
            run_id=run_id,
            links=run_links(settings, run_id),
        ),
    )


def announce_training(
    settings: Settings, monday: date, target: str, *, promoted: bool, reason: str, run_id: str
) -> Delivery:
    """Raises an alert for a model that did not pass its gate, and clears it with the next one that does."""
    box, config = outbox_of(settings), slack_config(settings)
    if promoted:
        cleared = Delivery("nothing")
        for entry in _open(box, config):
            if entry.kind == "model_refused" and entry.cause and entry.cause.endswith(f"/{target}"):
                cleared = clear_alerts(
                    box, config, kinds=["model_refused"], snapshot_date=entry.snapshot_date, subject=target
                )
        return cleared
    return raise_alert(
        box,
        config,
        Alert(
            kind="model_refused",
            snapshot_date=monday,
            subject=target,
            what=reason,
            at=settings.clock(),
            run_id=run_id,
            links=run_links(settings, run_id),
        ),
    )


def announce_monday(settings: Settings, digest: Digest) -> Delivery:
    """Posts the digest of a Monday, once."""
    return post_digest(outbox_of(settings), slack_config(settings), digest)


def announce_briefs(settings: Settings, ready: BriefsReady) -> Delivery:
    """Says that the briefs of a Monday are there, once."""
    return post_briefs(outbox_of(settings), slack_config(settings), ready)


def _open(box: Outbox, config: SlackConfig) -> list[Entry]:
    """Alerts that are not over; none where the outbox cannot be read, which whoever writes to it next will say."""
    try:
        return box.open_alerts(configured=config.way != "none")
    except OSError:
        return []


def run_links(settings: Settings, run_id: str) -> tuple[Link, ...]:
    """Where to look at a run; nothing where nobody said how the Dagster UI is reached."""
    return (Link("run", f"{settings.dagster_url.rstrip('/')}/runs/{run_id}"),) if settings.dagster_url else ()


def report_address(settings: Settings, monday: date) -> str | None:
    """Where browsers find the page of a Monday; None where nobody said how the reports are reached."""
    return f"{settings.report_url}/{monday}.html" if settings.report_url else None


def briefs_address(settings: Settings, monday: date) -> str | None:
    """Where browsers find the briefs of a Monday; None where nobody said how the reports are reached."""
    return f"{settings.report_url}/{page_address(monday)}" if settings.report_url else None


def _is_published(settings: Settings, monday: date) -> bool:
    with duckdb.connect(str(settings.published_database), read_only=True) as con:
        return bool(con.execute("select 1 from predictions where snapshot_date = ? limit 1", [monday]).fetchone())
