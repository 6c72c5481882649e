"""Where the reports and the call lists lie: ``HOME/data/published/report`` and ``call_lists``, each replaced in one step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb

from churn_pipeline.core.atomic import replace_bytes
from churn_pipeline.core.calendar import WEEK
from churn_pipeline.core.settings import Settings
from churn_pipeline.delivery.briefs import store as briefs
from churn_pipeline.delivery.call_list import write_call_lists
from churn_pipeline.delivery.report.data import read_week, totals
from churn_pipeline.delivery.report.page import library, render, render_index
from churn_pipeline.quality.site import unmet


@dataclass(frozen=True)
class Written:
    """What was written: pages by Monday, the index, and the call lists by Monday. A home that never published has no index."""

    pages: dict[date, Path]
    index: Path | None
    call_lists: dict[date, list[Path]]


def write_reports(warehouse: duckdb.DuckDBPyConnection, settings: Settings, mondays: Sequence[date]) -> Written:
    """Writes the page and the call lists of Mondays, of those a week after them that have a page, and the index.

    What changed since the week before is shown on a page too, so the page a week later is made anew.

    Args:
        warehouse: the warehouse.
        settings: the home.
        mondays: published Mondays.
    """
    if not settings.published_database.is_file():
        return Written({}, None, {})
    folder = settings.published / "report"
    folder.mkdir(parents=True, exist_ok=True)
    vega = library(settings.data / "report")
    pages: dict[date, Path] = {}
    lists: dict[date, list[Path]] = {}
    with duckdb.connect(str(settings.published_database), read_only=True) as published:
        weeks = totals(published)
        later = {day + WEEK for day in mondays} & {week.snapshot_date for week in weeks}
        due = sorted({*mondays, *(day for day in later if page_of(settings, day).is_file())})
        there = {week.snapshot_date for week in weeks if page_of(settings, week.snapshot_date).is_file()} | {*due}
        for day in due:
            report = read_week(published, warehouse, day, weeks=weeks, unmet=unmet(settings.quality, day))
            page = page_of(settings, day)
            text = render(report, vega, pages=sorted(there), with_brief=briefs.customers_of(settings, day))
            replace_bytes(page, text.encode("utf-8", "replace"))
            pages[day] = page
            lists[day] = write_call_lists(published, warehouse, settings.published / "call_lists", day)
    index = folder / "index.html"
    replace_bytes(index, render_index(weeks, sorted(there)).encode("utf-8", "replace"))
    return Written(pages, index, lists)


def page_of(settings: Settings, monday: date) -> Path:
    """Where the page of a Monday lies."""
    return settings.published / "report" / f"{monday}.html"
