"""An object store as a channel."""

from __future__ import annotations

from collections.abc import Sequence

from churn_pipeline.core.settings import Settings
from churn_pipeline.delivery.channel import Channel, FactTable, Order, Receipt


def missing(settings: Settings) -> str | None:
    return None if settings.publish_path is not None else "not configured: CHURN_PUBLISH_PATH is not set"


def deliver(order: Order) -> Receipt:
    """Brings the files of all published Mondays that are not there as they are published, then the manifest.

    Raises:
        StoreError: the store cannot be used.
    """
    # Here, so that a home that publishes to files only does not load the library.
    from churn_pipeline.delivery.object_store.publish import Target, publish

    assert order.settings.publish_path is not None, "an order is given where nothing is missing"
    done = publish(order.settings, Target(order.settings.publish_path), order.progress)
    return Receipt(
        mondays=order.mondays,
        facts={
            "object store": order.settings.publish_path,
            "Mondays brought": FactTable(("Monday", "customers"), tuple(done.uploaded.items())),
            "Mondays in the manifest": done.mondays,
            "of another home": ", ".join(map(str, done.unknown)) or "none",
            "old objects removed": done.removed,
        },
    )


def erase(settings: Settings, customer_ids: Sequence[str]) -> int:
    """Takes customers out of every object; returns how many rows there were, 0 where nothing is published to a store.

    Raises:
        StoreError: the store cannot be used.
    """
    if settings.publish_path is None:
        return 0
    from churn_pipeline.delivery.object_store.publish import Target, forget

    return forget(settings, Target(settings.publish_path), customer_ids)


def remains(settings: Settings) -> str:
    return (
        f"a bucket with versioning keeps earlier versions of what lay under {settings.publish_path}, the customer among them: remove those, "
        "or let a lifecycle rule do it"
    )


OBJECT_STORE = Channel(
    name="published_object_store",
    place="the object store",
    description="Parquet by Monday and a manifest, replaced last, under CHURN_PUBLISH_PATH: the Mondays that are not there as they are "
    "published in HOME/data/published. When it fails the former manifest is in force and the files are out all the same; re-execute from "
    "failure, or run the Monday again.",
    kinds=frozenset({"parquet"}),
    # Like PostgreSQL after everything that people wait for.
    priority=-21,
    deliver=deliver,
    missing=missing,
    keeps_outside_home=True,
    erase=erase,
    remains=remains,
)
