"""PostgreSQL as a channel."""

from __future__ import annotations

from collections.abc import Sequence

from churn_pipeline.core.settings import Settings
from churn_pipeline.delivery.channel import Channel, FactTable, Order, Receipt


def missing(settings: Settings) -> str | None:
    return None if settings.publish_url is not None else "not configured: CHURN_PUBLISH_URL is not set"


def deliver(order: Order) -> Receipt:
    """Replaces an order's Mondays in PostgreSQL, with those that it missed.

    Raises:
        PostgresError: it cannot be reached, refuses, or failed on the way.
    """
    # Here, so that a home that publishes to files only does not load the driver.
    from churn_pipeline.delivery.postgres.publish import publish

    url = order.settings.publish_url
    assert url is not None, "an order is given where nothing is missing"
    done = publish(url.get_secret_value(), order.settings, order.mondays, run_id=order.run_id, progress=order.progress)
    if done.caught_up:
        order.progress(f"PostgreSQL had missed {', '.join(map(str, done.caught_up))}")
    return Receipt(
        mondays=order.mondays,
        facts={
            "PostgreSQL": done.server,
            "schema revision": done.revision,
            "Mondays replaced": FactTable(("Monday", "customers"), tuple(done.rows.items())),
            "caught up": ", ".join(map(str, done.caught_up)) or "nothing was missed",
            "Mondays in PostgreSQL": done.weeks,
            "of another home": ", ".join(map(str, done.unknown)) or "none",
            "rows of other tables": FactTable(("table", "rows"), tuple(done.other_rows.items())),
            "notices": "\n".join(done.notices) or "none",
        },
        customers=done.rows,
        notices=done.notices,
    )


def erase(settings: Settings, customer_ids: Sequence[str]) -> int:
    """Deletes customers from every table; returns how many rows there were, 0 where nothing is published to PostgreSQL.

    Raises:
        PostgresError: it cannot be reached or refuses.
    """
    if settings.publish_url is None:
        return 0
    from churn_pipeline.delivery.postgres.forget import forget

    url = settings.publish_url.get_secret_value()
    return sum(sum(forget(url, customer_id).values()) for customer_id in customer_ids)


POSTGRES = Channel(
    name="published_postgres",
    place="PostgreSQL",
    description="Schema churn in PostgreSQL (CHURN_PUBLISH_URL): this run's Mondays, those that PostgreSQL missed and the one after each, "
    "replaced in one transaction from HOME/data/published. When it fails PostgreSQL keeps what it had and the files are out all the "
    "same; re-execute from failure, run the Monday again, or churn publish.",
    kinds=frozenset({"postgres"}),
    # After everything else, the digest among it: a server that does not answer keeps nobody from their list. The run holds the home and
    # the warehouse meanwhile, so it does hold up whoever writes next; docs/postgresql.md says for how long.
    priority=-20,
    deliver=deliver,
    missing=missing,
    keeps_outside_home=True,
    erase=erase,
)
