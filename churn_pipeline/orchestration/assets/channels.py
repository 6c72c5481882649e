"""Channels as assets: each takes what is published to where people or programs look."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg

from churn_pipeline.core.warehouse import connect
from churn_pipeline.delivery.channel import Channel, Fact, FactTable, Order
from churn_pipeline.orchestration.about import about
from churn_pipeline.orchestration.home import Home, expected_errors, table_metadata
from churn_pipeline.orchestration.keys import ONE_RUN, accepted_mondays, channel_key, monday_by_monday, require_a_list


def channel_asset(channel: Channel, predictions: dg.AssetKey, weekly: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    """The asset that delivers the published Mondays of a run through a channel."""
    key = channel_key(channel)

    @dg.asset(
        key=key,
        # Not of the publication, which says nothing when one of many Mondays is refused, and not of monitoring: people get their list
        # whatever becomes of it. The priority lets both go first.
        deps=[predictions],
        op_tags={"dagster/priority": str(channel.priority)},
        **about("delivery"),
        description=channel.description,
        kinds=set(channel.kinds),
        partitions_def=weekly,
        backfill_policy=ONE_RUN,
        # See monday_by_monday.
        output_required=False,
    )
    def deliver(context: dg.AssetExecutionContext, home: dg.ResourceParam[Home]) -> Iterator[dg.MaterializeResult]:
        from churn_pipeline.delivery.publish import published_among

        settings = home.settings
        missing = channel.missing(settings)
        with expected_errors(), connect(settings) as con:
            mondays = accepted = accepted_mondays(context, con)
            if missing is None:
                mondays = published_among(con, settings, accepted)
                require_a_list(context, accepted, mondays)
        if missing is not None:
            yield from monday_by_monday(context, key, mondays, {channel.place: dg.MetadataValue.text(missing)})
            return
        if not settings.published_database.is_file():
            context.log.info("nothing is published yet")
            return
        with expected_errors():
            receipt = channel.deliver(Order(settings, mondays, context.run.run_id, context.log.info))
        for notice in receipt.notices:
            context.log.warning(notice)
        yield from monday_by_monday(
            context,
            key,
            receipt.mondays,
            {title: _metadata(fact) for title, fact in receipt.facts.items()},
            receipt.customers,
        )

    return deliver


def _metadata(fact: Fact) -> Any:
    match fact:
        case FactTable(columns, rows):
            return table_metadata(list(columns), list(rows))
        case Path():
            return dg.MetadataValue.path(str(fact))
        case str():
            return dg.MetadataValue.text(fact)
        case _:
            return fact
