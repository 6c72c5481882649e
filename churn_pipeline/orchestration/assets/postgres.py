"""PostgreSQL for dashboards: what is published, copied to where BI tools ask."""

from collections.abc import Iterator

import dagster as dg

from churn_pipeline.core.warehouse import connect
from churn_pipeline.delivery.publish import published_among
from churn_pipeline.orchestration.home import Home, expected_errors, table_metadata
from churn_pipeline.orchestration.keys import (
    ONE_RUN,
    PUBLISHED_POSTGRES,
    accepted_mondays,
    monday_by_monday,
    require_a_list,
)

# After everything else, the digest among it: a server that does not answer keeps nobody from their list. The run holds the home and
# the warehouse meanwhile, so it does hold up whoever writes next; docs/postgresql.md says for how long.
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
        # See monday_by_monday.
        output_required=False,
    )
    def publish_to_postgres(
        context: dg.AssetExecutionContext, home: dg.ResourceParam[Home]
    ) -> Iterator[dg.MaterializeResult]:
        settings = home.settings
        with expected_errors(), connect(settings) as con:
            mondays = accepted = accepted_mondays(context, con)
            if settings.publish_url is not None:
                mondays = published_among(con, settings, accepted)
                require_a_list(context, accepted, mondays)
        if settings.publish_url is None:
            note = dg.MetadataValue.text("not configured: CHURN_PUBLISH_URL is not set")
            yield from monday_by_monday(context, PUBLISHED_POSTGRES, mondays, {"PostgreSQL": note})
            return
        if not settings.published_database.is_file():
            context.log.info("nothing is published yet")
            return
        from churn_pipeline.delivery.postgres.publish import publish

        with expected_errors():
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
        yield from monday_by_monday(
            context,
            PUBLISHED_POSTGRES,
            mondays,
            {
                "PostgreSQL": dg.MetadataValue.text(done.server),
                "schema revision": done.revision,
                "Mondays replaced": table_metadata(["Monday", "customers"], list(done.rows.items())),
                "caught up": dg.MetadataValue.text(", ".join(map(str, done.caught_up)) or "nothing was missed"),
                "Mondays in PostgreSQL": done.weeks,
                "of another home": dg.MetadataValue.text(", ".join(map(str, done.unknown)) or "none"),
                "rows of other tables": table_metadata(["table", "rows"], list(done.other_rows.items())),
                "notices": dg.MetadataValue.text("\n".join(done.notices) or "none"),
            },
            done.rows,
        )

    return publish_to_postgres
