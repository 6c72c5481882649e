"""Expansion briefs that the run of this Monday prepares, when everybody has their list."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import date
from typing import TYPE_CHECKING, Any

import dagster as dg

from churn_pipeline.core import faults
from churn_pipeline.core.errors import ChurnError
from churn_pipeline.core.formatting import counted
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.warehouse import connect
from churn_pipeline.orchestration.about import about
from churn_pipeline.orchestration.home import Home, expected_errors, table_metadata
from churn_pipeline.orchestration.keys import AFTER_EVERYTHING, BRIEFS, ONE_RUN, PUBLISHED

if TYPE_CHECKING:
    from churn_pipeline.customers.briefs.model import Brief
    from churn_pipeline.customers.briefs.prepare import Prepared
    from churn_pipeline.delivery.digest import BriefsReady


def briefs_asset(weekly: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    """The asset that prepares the briefs of this Monday's first candidates."""

    @dg.asset(
        key=BRIEFS,
        # Not of the report and the digest, to which it adds links: neither waits for a language model.
        deps=[PUBLISHED],
        op_tags=AFTER_EVERYTHING,
        **about("briefs"),
        description="HOME/data/published/report/briefs: a folder a Monday with expansion briefs of the first CHURN_BRIEF_PREPARE candidates, "
        "as a page and as JSON, replaced in one step; linked from the weekly report and told in the digest's thread. None of a past Monday, "
        "a backfill or a run tagged churn/quiet. When it fails the list, the report and the digest are out all the same.",
        kinds={"html", "json"},
        partitions_def=weekly,
        backfill_policy=ONE_RUN,
    )
    def expansion_briefs(context: dg.AssetExecutionContext, home: dg.ResourceParam[Home]) -> dg.MaterializeResult:
        from churn_pipeline.delivery import announce

        settings = home.settings
        monday = announce.notifiable_monday(settings, context.run.tags)
        if settings.brief_prepare == 0 or monday is None:
            why = "CHURN_BRIEF_PREPARE is 0" if settings.brief_prepare == 0 else "only a run of this Monday alone does"
            return dg.MaterializeResult(metadata={"briefs": dg.MetadataValue.text(f"none are prepared: {why}")})
        with expected_errors():
            return dg.MaterializeResult(metadata=_prepared(context, home, monday))

    return expansion_briefs


def _prepared(context: dg.AssetExecutionContext, home: Home, monday: date) -> dict[str, Any]:
    """Prepares the briefs, links them, tells of them. Whatever broke is told last, when all of that is done."""
    from churn_pipeline.customers.briefs.desk import Desk
    from churn_pipeline.customers.briefs.prepare import MOST_SECONDS, prepare
    from churn_pipeline.customers.stores.published import Publication
    from churn_pipeline.delivery import announce
    from churn_pipeline.delivery.briefs import store
    from churn_pipeline.delivery.briefs.candidates import candidates
    from churn_pipeline.delivery.report.write import write_reports

    settings = home.settings
    with Publication.open(settings, hold=False) as publication:
        with publication.cursor() as published:
            rows = candidates(published, monday, settings.brief_prepare)
        customers = publication.at(monday)
        desk = Desk(settings, customers, seconds=MOST_SECONDS)
        prepared = prepare(customers, [row["customer_id"] for row in rows], desk.write, context.log.info)
    page = settings.published / "report" / store.page_address(monday)
    # Where all of them broke, what an earlier run prepared is better than nothing.
    if prepared.briefs or not prepared.failed:
        documents = [
            row | {"briefs": [_document(brief) for brief in prepared.briefs[row["customer_id"]]]}
            for row in rows
            if row["customer_id"] in prepared.briefs
        ]
        store.write(settings, monday, home.now(), documents)
        with connect(settings) as con:
            write_reports(con, settings, [monday])
    if prepared.briefs:
        delivery = announce.announce_briefs(settings, _ready(settings, monday, len(rows), prepared))
        (context.log.warning if delivery.problems else context.log.info)(str(delivery))
    _tell_what_is_missing(settings, prepared, context.log.warning)
    if prepared.failed:
        raise ChurnError(_failure(settings, monday, len(rows), prepared))
    return _metadata(prepared) | {"page": dg.MetadataValue.path(str(page))}


def _all_of(prepared: "Prepared") -> "Sequence[Brief]":
    return [brief for of_customer in prepared.briefs.values() for brief in of_customer]


def _document(brief: "Brief") -> dict[str, Any]:
    """A brief as the files have it; whose it is stands in its candidate."""
    values = asdict(brief) | {"written_at": brief.written_at.isoformat(timespec="seconds")}
    return {
        name: value for name, value in values.items() if name not in ("snapshot_date", "customer_id", "company_name")
    }


def _ready(settings: Settings, monday: date, asked_for: int, prepared: "Prepared") -> "BriefsReady":
    from churn_pipeline.customers.briefs.model import WATERMARK, Result
    from churn_pipeline.delivery import announce
    from churn_pipeline.delivery.briefs import store
    from churn_pipeline.delivery.digest import BriefsReady

    results = Counter(brief.result for brief in _all_of(prepared))
    page = settings.published / "report" / store.page_address(monday)
    return BriefsReady(
        snapshot_date=monday,
        asked_for=asked_for,
        candidates=len(prepared.briefs),
        briefs=results.total(),
        flagged=results[Result.FLAGGED],
        rejected=results[Result.REJECTED],
        watermark=WATERMARK,
        page=announce.briefs_address(settings, monday),
        file=str(page.relative_to(settings.home)),
    )


def _tell_what_is_missing(settings: Settings, prepared: "Prepared", warn: Callable[[str], None]) -> None:
    """Says which candidates have no brief, and which briefs the endpoint should have written and did not."""
    from churn_pipeline.customers.briefs.model import BriefKind

    # Without a name: Dagster keeps this in a log that no erasure reaches where it lies in PostgreSQL.
    if prepared.without:
        warn(f"{counted(len(prepared.without), 'candidate')} got no brief: nobody is to sell to them in this week")
    if settings.brief_url is None:
        return
    # Whoever is not ready is nobody's to write about.
    due = (brief for brief in _all_of(prepared) if brief.kind is not BriefKind.NOT_READY)
    for note, count in Counter(brief.note for brief in due if brief.note is not None).most_common():
        warn(f"{counted(count, 'brief')}: {note}")


def _failure(settings: Settings, monday: date, asked_for: int, prepared: "Prepared") -> str:
    """One line for all that broke, with the file that has the details of the first; those of the others are kept beside it."""
    first, *others = prepared.failed.values()
    doing = f"the briefs of {monday}"
    for error in others:
        faults.keep(error, doing, settings.home)
    return (
        f"{len(prepared.failed):,} of {counted(asked_for, 'candidate')} got no brief: {faults.tell(first, doing, settings.home)}. The list is "
        "out, and so are the other briefs"
    )


def _metadata(prepared: "Prepared") -> dict[str, Any]:
    briefs = _all_of(prepared)
    by_writer = Counter((brief.provider, brief.model or "", brief.kind.value, brief.result.value) for brief in briefs)
    return {
        "customers": len(prepared.briefs),
        "briefs": len(briefs),
        "seconds": round(prepared.seconds, 1),
        "by writer and result": table_metadata(
            ["writer", "model", "kind", "result", "briefs"], [(*row, count) for row, count in sorted(by_writer.items())]
        ),
    }
