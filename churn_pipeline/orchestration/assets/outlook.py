"""What a Monday leads to expect of revenue, and the truth beside it as it comes."""

import dagster as dg

from churn_pipeline.core.formatting import usd
from churn_pipeline.core.warehouse import connect
from churn_pipeline.orchestration.about import about
from churn_pipeline.orchestration.home import Home, expected_errors, partition_mondays, table_metadata
from churn_pipeline.orchestration.keys import ONE_RUN, OUTLOOK


def outlook_asset(outcomes_key: dg.AssetKey, weekly: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    """The asset that says what revenue is expected to leave and how much stayed."""

    @dg.asset(
        key=OUTLOOK,
        deps=[outcomes_key],
        **about("monitoring"),
        description="Annual revenue that is expected to leave within 30 and 90 days, with an 80 % interval and its coverage on past Mondays; "
        "gross and net retention so far and expected; renewals of the next 90 days by week. Tables forecast, retention and renewals in "
        "schema monitoring. Later Mondays are made again with the one that was written, because they read their level from it.",
        kinds={"duckdb"},
        partitions_def=weekly,
        backfill_policy=ONE_RUN,
    )
    def revenue_outlook(context: dg.AssetExecutionContext, home: dg.ResourceParam[Home]) -> dg.MaterializeResult:
        from churn_pipeline.monitoring import outlook
        from churn_pipeline.monitoring.forecast import coverage_sentence

        with expected_errors(), connect(home.settings) as con:
            mondays = outlook.mondays_to_write(con, partition_mondays(context))
            written = outlook.write(con, mondays, context.run.run_id)
        return dg.MaterializeResult(
            metadata={
                "Mondays": len(mondays),
                "expected to leave": table_metadata(
                    ["Monday", "revenue", "expected to leave", "80 %", "past Mondays", "inside the interval"],
                    [
                        (
                            each.snapshot_date,
                            usd(each.leaving.revenue),
                            usd(each.leaving.expected),
                            f"{usd(each.leaving.low)} to {usd(each.leaving.high)}",
                            each.past_mondays,
                            each.past_covered,
                        )
                        for each in written
                    ],
                ),
                **(
                    {"coverage": coverage_sentence(written[-1].past_covered, written[-1].past_mondays)}
                    if written
                    else {}
                ),
            }
        )

    return revenue_outlook
