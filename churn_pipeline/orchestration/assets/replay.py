"""The replay report: what past Mondays' lists would have been worth, with the truth known today."""

import dagster as dg

from churn_pipeline.core import calendar
from churn_pipeline.core.warehouse import connect
from churn_pipeline.orchestration.about import about
from churn_pipeline.orchestration.home import Home, expected_errors, partition_mondays, picture, table_metadata
from churn_pipeline.orchestration.keys import ONE_RUN, REPLAY, REPLAY_REPORT


def report_asset(predictions: dg.AssetKey, weekly: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    """The asset; its partitions are the Mondays that the report covers, from the first to the last selected."""

    @dg.asset(
        key=REPLAY_REPORT,
        deps=[predictions],
        **about(REPLAY),
        description="For each Monday: churners among the top 200, precision and recall at the flag, revenue captured, calibration, beside "
        "logistic regression, the rule and chance. Materialize the Mondays to look at; the page lies in HOME/data/published/replay.",
        kinds={"html"},
        partitions_def=weekly,
        backfill_policy=ONE_RUN,
    )
    def report(context: dg.AssetExecutionContext, home: dg.ResourceParam[Home]) -> dg.MaterializeResult:
        from churn_pipeline.monitoring.replay import replay_report
        from churn_pipeline.monitoring.replay_page import figures, write_replay_report

        settings = home.settings
        requested = partition_mondays(context)
        with expected_errors(), connect(settings) as con:
            replay = replay_report(
                con,
                settings,
                requested[0],
                requested[-1],
                latest=calendar.latest_monday(settings.clock(), settings.timezone),
            )
        page = write_replay_report(replay, settings)
        rows = replay.rows()
        return dg.MaterializeResult(
            metadata={
                "result": dg.MetadataValue.md("\n\n".join((replay.headline(), *replay.findings()))),
                "page": dg.MetadataValue.path(page),
                **{name: picture(name, figure) for name, figure in figures(replay).items()},
                "Mondays": table_metadata(list(rows[0]), [tuple(row.values()) for row in rows]),
            }
        )

    return report
