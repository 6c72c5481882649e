"""PostgreSQL for dashboards: what is published, copied to where BI tools ask."""

import dagster as dg

from churn_pipeline.assets.common import ONE_RUN, PUBLISHED_POSTGRES
from churn_pipeline.delivery.publish import published_among
from churn_pipeline.resources.home import Home, expected_errors, partition_mondays, table_metadata
from churn_pipeline.warehouse import connect

# After everything else, the digest among it: a server that does not answer keeps nobody from their list.
_AFTER_ALL = {"dagster/priority": "-20"}


def published_postgres(predictions: dg.AssetKey, weekly: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    """The asset that publishes to PostgreSQL; without CHURN_PUBLISH_URL it says so and does nothing."""

    @dg.asset(
        key=PUBLISHED_POSTGRES,
        # Not of the publication, which says nothing when one of many Mondays is refused: the others are for dashboards too.
        deps=[predictions],
        op_tags=_AFTER_ALL,
        group_name="delivery",
        description="Schema churn in PostgreSQL (CHURN_PUBLISH_URL): this run's Mondays, those that PostgreSQL missed and the one after each, "
        "replaced in one transaction from HOME/data/published. When it fails PostgreSQL keeps what it had and the files are out all the "
        "same; re-execute from failure, run the Monday again, or churn publish.",
        kinds={"postgres"},
        partitions_def=weekly,
        backfill_policy=ONE_RUN,
    )
    def publish_to_postgres(context: dg.AssetExecutionContext, home: dg.ResourceParam[Home]) -> dg.MaterializeResult:
        settings = home.settings
        if settings.publish_url is None:
            return dg.MaterializeResult(
                metadata={"PostgreSQL": dg.MetadataValue.text("not configured: CHURN_PUBLISH_URL is not set")}
            )
        if not settings.published_database.is_file():
            return dg.MaterializeResult(metadata={"PostgreSQL": dg.MetadataValue.text("nothing is published yet")})
        from churn_pipeline.delivery.postgres.publish import publish

        with expected_errors():
            # Whoever publishes to PostgreSQL by hand needs no warehouse; here it says what of this run may be copied.
            with connect(settings) as con:
                mondays = published_among(con, settings, partition_mondays(context))
            done = publish(
                settings.publish_url.get_secret_value(),
                settings,
                mondays,
                run_id=context.run.run_id,
                progress=context.log.info,
            )
        for notice in done.notices:
            context.log.warning(notice)
        if done.caught_up:
            context.log.info(f"PostgreSQL had missed {', '.join(map(str, done.caught_up))}")
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": sum(done.rows.values()),
                "PostgreSQL": dg.MetadataValue.text(done.server),
                "schema revision": done.revision,
                "Mondays replaced": table_metadata(["Monday", "customers"], list(done.rows.items())),
                "caught up": dg.MetadataValue.text(", ".join(map(str, done.caught_up)) or "nothing was missed"),
                "Mondays in PostgreSQL": done.weeks,
                "of another home": dg.MetadataValue.text(", ".join(map(str, done.unknown)) or "none"),
                "rows of other tables": table_metadata(["table", "rows"], list(done.other_rows.items())),
                "notices": dg.MetadataValue.text("\n".join(done.notices) or "none"),
            }
        )

    return publish_to_postgres
