"""The weekly report and the call lists: a page and CSV files for those who have no server to look at."""

from collections.abc import Iterator

import dagster as dg

from churn_pipeline.core import run_ledger
from churn_pipeline.core.warehouse import connect
from churn_pipeline.delivery.publish import published_among
from churn_pipeline.orchestration.home import Home, expected_errors, table_metadata
from churn_pipeline.orchestration.keys import (
    BEFORE_LAST,
    ONE_RUN,
    WEEKLY_REPORT,
    accepted_mondays,
    monday_by_monday,
    require_a_list,
)


def weekly_report(predictions: dg.AssetKey, weekly: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    """The asset that writes a page and the call lists for every Monday that the run published."""

    @dg.asset(
        key=WEEKLY_REPORT,
        # Not of the publication, which says nothing when one of many Mondays is refused, and not of monitoring: people get
        # their list whatever becomes of it. BEFORE_LAST lets both go first.
        deps=[predictions],
        op_tags=BEFORE_LAST,
        group_name="delivery",
        description="HOME/data/published/report: a self-contained page for each Monday, and an index; HOME/data/published/call_lists: the "
        "calls of the week as CSV, all of them and by owner. Each is replaced in one step.",
        kinds={"html", "csv"},
        partitions_def=weekly,
        backfill_policy=ONE_RUN,
        # See monday_by_monday.
        output_required=False,
    )
    def report(context: dg.AssetExecutionContext, home: dg.ResourceParam[Home]) -> Iterator[dg.MaterializeResult]:
        from churn_pipeline.delivery.report.write import page_of, write_reports

        settings = home.settings
        with expected_errors(), connect(settings) as con:
            # What this run caught up has no page yet, nor has what another one did that ended before it came here.
            pageless = {day for day in run_ledger.caught_up(con) if not page_of(settings, day).is_file()}
            out = {row.snapshot_date for row in run_ledger.of_run(con, context.run.run_id) if row.status == "published"}
            accepted = accepted_mondays(context, con)
            mondays = published_among(con, settings, [*{*accepted, *out, *pageless}])
            require_a_list(context, accepted, {*accepted} & {*mondays})
            done = write_reports(con, settings, mondays)
        yield from monday_by_monday(
            context,
            WEEKLY_REPORT,
            mondays,
            {
                "pages": table_metadata(
                    ["Monday", "page", "kB", "call lists"],
                    [
                        (day, page.name, page.stat().st_size // 1000, len(done.call_lists[day]))
                        for day, page in done.pages.items()
                    ],
                ),
                "index": dg.MetadataValue.path(str(done.index or "none")),
                "call lists": dg.MetadataValue.path(str(settings.published / "call_lists")),
            },
        )

    return report
