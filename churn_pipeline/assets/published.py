"""Publication: what passed the audit, copied to where people and dashboards read."""

import dagster as dg

from churn_pipeline.assets.common import ONE_RUN, PUBLISHED
from churn_pipeline.delivery import runs
from churn_pipeline.delivery.publish import publish
from churn_pipeline.delivery.summary import tier_counts
from churn_pipeline.resources.home import Home, expected_errors, partition_mondays, table_metadata
from churn_pipeline.scoring.store import approved_mondays
from churn_pipeline.warehouse import connect


def published(predictions: dg.AssetKey, weekly: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    """The asset that publishes."""

    @dg.asset(
        key=PUBLISHED,
        deps=[predictions],
        group_name="delivery",
        description="HOME/data/published: a Parquet file per Monday and churn.duckdb, whole weeks only, each replaced in one step.",
        kinds={"parquet", "duckdb"},
        partitions_def=weekly,
        backfill_policy=ONE_RUN,
    )
    def publish_mondays(context: dg.AssetExecutionContext, home: dg.ResourceParam[Home]) -> dg.MaterializeResult:
        run_id = context.run.run_id
        with expected_errors(), connect(home.settings) as con:
            approved = approved_mondays(con)
            # Recorded before the copy is made, so that the copy can say of itself which run it is from.
            runs.record(
                con,
                [
                    runs.RunRow(run_id, day, home.scoring_mode(day), "published", customers, "", 0, home.now())
                    for day, customers in approved.items()
                ],
            )
            spoken_of = {row.snapshot_date for row in runs.of_run(con, run_id)}
            runs.record(
                con,
                [
                    runs.RunRow(
                        run_id, day, home.scoring_mode(day), "refused", 0, "nothing was scored for it", 1, home.now()
                    )
                    for day in partition_mondays(context)
                    if day not in spoken_of
                ],
            )
            done = publish(con, home.settings, list(approved))
            tiers = tier_counts(con, list(approved))
        if done.rows != approved:
            raise dg.Failure(description=f"published {done.rows}, and {dict(approved)} were approved")
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": sum(done.rows.values()),
                "Mondays published": len(approved),
                "Mondays in the table": done.weeks,
                "tiers": table_metadata(
                    ["Monday", "CRITICAL", "HIGH", "MEDIUM", "LOW", "revenue at risk (USD)"], tiers
                ),
                "database": dg.MetadataValue.path(home.settings.published_database),
                "files": dg.MetadataValue.json([str(path) for path in done.files]),
            }
        )

    return publish_mondays
