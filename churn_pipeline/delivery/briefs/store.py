"""Where prepared briefs lie: ``HOME/data/published/report/briefs/YYYY-MM-DD``, a folder a Monday, replaced in one step.

They lie below the weekly report, because a web server that hands that out (CHURN_REPORT_URL) has to reach them too. In the folder are
``briefs.json`` and the page made of it, ``index.html``. The document is::

    {"format": 1, "snapshot_date": "2026-11-02", "prepared_at": "2026-11-02T08:03:11", "candidates": [
        {"customer_id": "C1", "company_name": "Acme", "csm_owner": "Ana", "expansion_rank": 1, "plan_tier": "growth",
         "target_tier": "enterprise", "propensity": 0.41, "expected_arr_uplift": 38000.0, "briefs": [
            {"audience": "ae", "kind": "tactical", "parts": {"why_now": "...", "email": "..."}, "watermark": "...",
             "result": "PASSED", "fact_confidence": 1.0, "flags": [], "provider": "template", "model": null, "note": null,
             "correlation_id": "...", "written_at": "2026-11-02T08:03:10"}]}]}

Times are UTC. All that the document says about somebody stands in their own candidate; who is erased loses that.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from churn_pipeline.core.atomic import replace_bytes, swap_folders, temp_folders
from churn_pipeline.core.json_text import json_text
from churn_pipeline.core.settings import Settings

FORMAT = 1
FOLDER = "briefs"
DOCUMENT, PAGE = "briefs.json", "index.html"

type Document = dict[str, Any]


def root(settings: Settings) -> Path:
    """The folder of all of them."""
    return settings.published / "report" / FOLDER


def folder_of(settings: Settings, monday: date) -> Path:
    """Where the briefs of a Monday lie, if any were prepared."""
    return root(settings) / str(monday)


def page_address(monday: date) -> str:
    """The page of a Monday, seen from the folder of the weekly report."""
    return f"{FOLDER}/{monday}/{PAGE}"


def anchor(customer_id: str) -> str:
    """The customer's place on the page: an id of HTML, which holds no blank, and as an address holds it."""
    return "customer=" + quote(customer_id, safe="", errors="replace")


def mondays(settings: Settings) -> list[date]:
    """The Mondays that have briefs, oldest first."""
    names = (path.parent.name for path in root(settings).glob(f"????-??-??/{DOCUMENT}"))
    return sorted(date.fromisoformat(name) for name in names if not name.startswith("."))


def write(settings: Settings, monday: date, prepared_at: datetime, candidates: Sequence[Document]) -> Path:
    """Puts the briefs of a Monday in the place of those that are there. Returns the page.

    Args:
        settings: the home.
        monday: the Monday.
        prepared_at: UTC, without a zone.
        candidates: as the document has them, the first of the ranking first.
    """
    return _put(
        folder_of(settings, monday),
        {
            "format": FORMAT,
            "snapshot_date": monday,
            "prepared_at": prepared_at.isoformat(timespec="seconds"),
            "candidates": list(candidates),
        },
    )


def read(settings: Settings, monday: date) -> Document | None:
    """The document of a Monday; None where none was prepared, or where it is of a format that this version does not know."""
    try:
        document = json.loads((folder_of(settings, monday) / DOCUMENT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) and document.get("format") == FORMAT else None


def customers_of(settings: Settings, monday: date) -> list[str]:
    """Whose briefs there are of a Monday, the first of the ranking first."""
    document = read(settings, monday)
    return [] if document is None else [candidate["customer_id"] for candidate in document["candidates"]]


def forget(settings: Settings, monday: date, customer_ids: Collection[str], *, change: bool) -> int:
    """Takes customers out of the briefs of a Monday: their candidates go and the page is made anew. Where nobody else is left, or the document
    cannot be read and so nobody knows who is in it, all of the Monday goes.

    Args:
        settings: the home.
        monday: one of `mondays`.
        customer_ids: who is erased.
        change: False counts only.

    Returns:
        How many briefs of these customers there were; 1 for a document that cannot be read.
    """
    folder, document = folder_of(settings, monday), read(settings, monday)
    candidates = [] if document is None else document["candidates"]
    kept = [row for row in candidates if row["customer_id"] not in customer_ids]
    if document is not None and len(kept) == len(candidates):
        return 0
    if change and document is not None and kept:
        _put(folder, document | {"candidates": kept})
    elif change:
        shutil.rmtree(folder)
    return 1 if document is None else sum(len(row["briefs"]) for row in candidates if row not in kept)


def _put(folder: Path, document: Document) -> Path:
    from churn_pipeline.delivery.briefs.page import render

    folder.parent.mkdir(parents=True, exist_ok=True)
    text = json_text(document, indent=1, ascii_only=False)
    new, old = temp_folders(folder)
    new.mkdir()
    replace_bytes(new / DOCUMENT, text.encode("utf-8", "replace"))
    # Of what the document says as it is read again, so that an erasure makes the same page.
    replace_bytes(new / PAGE, render(json.loads(text)).encode("utf-8", "replace"))
    swap_folders(new, old, folder)
    return folder / PAGE
