"""A webhook as a channel."""

from __future__ import annotations

from churn_pipeline.core.settings import Settings
from churn_pipeline.delivery.channel import Channel, Order, Receipt


def missing(settings: Settings) -> str | None:
    return None if settings.published_webhook is not None else "not configured: CHURN_PUBLISHED_WEBHOOK is not set"


def deliver(order: Order) -> Receipt:
    """Tells the receiver of an order's Mondays. Where it does not take them they wait, and the run is none the worse."""
    from churn_pipeline.delivery.webhook.notify import announce

    done = announce(order.settings, order.mondays)
    dropped = [f"dropped {key}: {reason}" for key, reason in done.dropped.items()]
    return Receipt(
        mondays=order.mondays,
        facts={
            "told": ", ".join(done.sent) or "nothing new",
            "waiting in the outbox": done.waiting,
            "problems": "\n".join((*done.problems, *dropped)) or "none",
        },
        notices=tuple(f"webhook: {problem}" for problem in (*done.problems, *dropped)),
    )


WEBHOOK = Channel(
    name="published_webhook",
    place="the webhook",
    description="A signed request to CHURN_PUBLISHED_WEBHOOK for each Monday that is out. One that is not taken waits in HOME/data/outbox and "
    "is sent again.",
    kinds=frozenset({"http"}),
    # The last of all: whoever is told goes and reads.
    priority=-30,
    deliver=deliver,
    missing=missing,
)
