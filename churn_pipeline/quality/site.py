"""Great Expectations' Data Docs: HOME/data/published/data_docs, readable from the file system with no network.

The pages are Great Expectations' own. They ask six hosts for style sheets and scripts, and their index draws its table with one of these
scripts; so the links are taken out, one style sheet takes their place, and the index is ours.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader

from churn_pipeline.core.atomic import replace_bytes, swap_folders, temp_folders
from churn_pipeline.core.json_text import json_text
from churn_pipeline.quality import suites
from churn_pipeline.quality.candidates import CandidatesJudgement
from churn_pipeline.quality.gx import FailingRows, SuiteResult, ephemeral_context, load
from churn_pipeline.quality.landing import LandingJudgement

# Mondays whose candidates stay on the page: a quarter. Every page costs about 0.1 s of each run.
MONDAYS_KEPT = 13

_REMOTE = re.compile(
    r"<footer.*?</footer>|<script[^>]*\bsrc=\"https?://[^>]*>\s*</script>|<link[^>]*\bhref=\"https?://[^>]*>|<img[^>]*\bsrc=\"https?://[^>]*>",
    re.DOTALL,
)
# On the pages of landed tables, whose frames are condensed.
_SHARES = re.compile(r"(unexpected values found\.)[^<]*total rows\.|≈?[\d.]+% (unexpected)")
_HEAD = '<link rel="stylesheet" href="{root}churn.css">\n<script src="{root}churn.js" defer></script>\n</head>'
# Pictures and films of a guided tour that nothing here links to.
_UNUSED = ("static/images", "static/fonts")


@dataclass(frozen=True)
class _Saved:
    """One judgement as it lies in HOME/data/quality."""

    suite: str
    run: str
    judged_at: str
    verdicts: list[dict[str, Any]]
    failing: list[dict[str, Any]]
    document: dict[str, Any]


def save(
    folder: Path,
    judged: Sequence[LandingJudgement | CandidatesJudgement],
    *,
    now: datetime,
) -> None:
    """Keeps judgements until the site is built: the newest of each table, and the candidates of the newest Mondays.

    Args:
        folder: ``HOME/data/quality``.
        judged: what to keep.
        now: stored with them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for result in judged:
        if isinstance(result, LandingJudgement):
            _write(folder / f"landing_{result.table}.json", result.judgement, result.failing, now)
        else:
            _write(folder / f"candidates_{result.snapshot_date}.json", result.judgement, result.failing(), now)
    for old in sorted(folder.glob("candidates_*.json"))[:-MONDAYS_KEPT]:
        old.unlink()


def build(folder: Path, site: Path) -> int:
    """Renders the site from what was saved and puts it in the place of the former one.

    Args:
        folder: ``HOME/data/quality``.
        site: ``HOME/data/published/data_docs``.

    Returns:
        The number of judgements on it.
    """
    saved = [_Saved(**json.loads(path.read_text(encoding="utf-8"))) for path in sorted(folder.glob("*.json"))]
    site.parent.mkdir(parents=True, exist_ok=True)
    new, old = temp_folders(site)
    _render(saved, new)
    _own_pages(saved, new)
    swap_folders(new, old, site)
    return len(saved)


def unmet(folder: Path, monday: date) -> int | None:
    """Expectations that were not met by the landed tables, as last judged, and by the candidates of a Monday.

    Args:
        folder: ``HOME/data/quality``.
        monday: the Monday.

    Returns:
        None where nothing was judged.
    """
    judged = [*folder.glob("landing_*.json"), *folder.glob(f"candidates_{monday}.json")]
    verdicts = [verdict for path in judged for verdict in json.loads(path.read_text(encoding="utf-8"))["verdicts"]]
    return sum(not verdict["passed"] for verdict in verdicts) if judged else None


def _write(path: Path, judgement: SuiteResult, failing: Sequence[FailingRows], now: datetime) -> None:
    content = {
        "suite": judgement.suite.name,
        "run": judgement.run,
        "judged_at": f"{now:%Y-%m-%d %H:%M}",
        "verdicts": [
            {"sentence": verdict.expected.sentence, "passed": verdict.passed, "observed": verdict.observed}
            for verdict in judgement.verdicts
        ],
        "failing": [
            {"rule": sample.rule, "total": sample.total, "columns": sample.columns, "rows": sample.rows}
            for sample in failing
        ],
        "document": judgement.document,
    }
    replace_bytes(path, json_text(content).encode())


def _render(saved: Sequence[_Saved], folder: Path) -> None:
    """Great Expectations' pages."""
    gx = load()
    from great_expectations.core.expectation_validation_result import expectationSuiteValidationResultSchema
    from great_expectations.data_context.types.resource_identifiers import (
        ExpectationSuiteIdentifier,
        ValidationResultIdentifier,
    )

    context = ephemeral_context()
    context.add_data_docs_site(
        site_name="data",
        site_config={
            "class_name": "SiteBuilder",
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
            # Great Expectations puts variables in the place of $NAME, also in the middle of a path.
            "store_backend": {
                "class_name": "TupleFilesystemStoreBackend",
                "base_directory": str(folder).replace("$", r"\$"),
            },
            "show_how_to_buttons": False,
        },
    )
    for entry in saved:
        result = expectationSuiteValidationResultSchema.load(entry.document)
        run = entry.document["meta"]["run_id"]
        key = ValidationResultIdentifier(
            expectation_suite_identifier=ExpectationSuiteIdentifier(entry.suite),
            run_id=gx.RunIdentifier(**(json.loads(run) if isinstance(run, str) else run)),
            batch_identifier="rows",
        )
        context.validation_results_store.set(key, result)
    newest = {entry.suite: entry for entry in saved}
    for entry in newest.values():
        configurations = [result["expectation_config"] for result in entry.document["results"]]
        context.suites.add(gx.ExpectationSuite(name=entry.suite, expectations=configurations))
    failures = _Failures()
    builder = logging.getLogger("great_expectations.render.renderer.site_builder")
    builder.addFilter(failures)
    try:
        context.build_data_docs()
    finally:
        builder.removeFilter(failures)
    if failures.errors:
        raise failures.errors[0]


class _Failures(logging.Filter):
    """What kept a page from being written: Great Expectations logs it, stack and all, and leaves the page out."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[BaseException] = []

    def filter(self, record: logging.LogRecord) -> bool:
        error = sys.exception()
        if error is not None:
            self.errors.append(error)
        return error is None


def _own_pages(saved: Sequence[_Saved], folder: Path) -> None:
    """The index and the style sheet, and every page without what lies on other hosts."""
    environment = Environment(loader=PackageLoader("churn_pipeline.quality"), autoescape=True)
    for name in ("churn.css", "churn.js"):
        (folder / name).write_text(environment.get_template(f"{name}.j2").render(), encoding="utf-8")
    for name in _UNUSED:
        shutil.rmtree(folder / name, ignore_errors=True)
    for page in folder.rglob("*.html"):
        root = "../" * (len(page.relative_to(folder).parts) - 1)
        text = _REMOTE.sub("", page.read_text(encoding="utf-8"))
        if suites.LANDED in page.relative_to(folder).as_posix():
            text = _SHARES.sub(
                lambda match: match[1] or ("none unexpected" if match[0].startswith("0%") else "some unexpected"), text
            )
        # Its dark colours are those of a style sheet that is gone.
        text = text.replace("(prefers-color-scheme: dark)", "not all")
        text = text.replace("</head>", _HEAD.format(root=root), 1)
        page.write_text(text, encoding="utf-8")
    rows: list[dict[str, Any]] = []
    # Candidates first, newest Monday on top; then the tables.
    for entry in sorted(
        saved, key=lambda entry: (entry.suite.startswith(suites.LANDED), _descending(entry.run), entry.suite)
    ):
        failed = [verdict for verdict in entry.verdicts if not verdict["passed"]]
        pages = sorted((folder / "validations" / entry.suite / entry.run).rglob("*.html"))
        rows.append(
            {
                "entry": entry,
                "failed": failed,
                "met": len(entry.verdicts) - len(failed),
                "result": quote(pages[-1].relative_to(folder).as_posix()),
                "suite": quote(f"expectations/{entry.suite}.html"),
            }
        )
    (folder / "index.html").write_text(environment.get_template("index.html.j2").render(rows=rows), encoding="utf-8")


def _descending(run: str) -> int:
    return -date.fromisoformat(run).toordinal() if re.fullmatch(r"\d{4}-\d\d-\d\d", run) else 0
