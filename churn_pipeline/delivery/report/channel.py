"""The weekly report and the call lists as a channel."""

from __future__ import annotations

from churn_pipeline.delivery.channel import Channel, FactTable, Order, Receipt


def deliver(order: Order) -> Receipt:
    """Writes the pages and call lists of an order's Mondays, and of those that have none though they are published."""
    from churn_pipeline.core import run_ledger
    from churn_pipeline.core.warehouse import connect
    from churn_pipeline.delivery.publish import published_among
    from churn_pipeline.delivery.report.write import page_of, write_reports

    settings = order.settings
    with connect(settings) as con:
        # What this run caught up has no page yet, nor has what another one did that ended before it came here.
        pageless = {day for day in run_ledger.caught_up(con) if not page_of(settings, day).is_file()}
        of_run = {row.snapshot_date for row in run_ledger.of_run(con, order.run_id) if row.status == "published"}
        mondays = published_among(con, settings, [*{*order.mondays, *of_run, *pageless}])
        written = write_reports(con, settings, mondays)
    pages = tuple(
        (day, page.name, page.stat().st_size // 1000, len(written.call_lists[day]))
        for day, page in written.pages.items()
    )
    return Receipt(
        mondays=mondays,
        facts={
            "pages": FactTable(("Monday", "page", "kB", "call lists"), pages),
            "index": written.index or "none",
            "call lists": settings.published / "call_lists",
        },
    )


REPORT = Channel(
    name="weekly_report",
    place="HOME/data/published",
    description="HOME/data/published/report: a self-contained page for each Monday, and an index; HOME/data/published/call_lists: the "
    "calls of the week as CSV, all of them and by owner. Each is replaced in one step.",
    kinds=frozenset({"html", "csv"}),
    # After publication and monitoring, and before people are told to look.
    priority=-5,
    deliver=deliver,
)
