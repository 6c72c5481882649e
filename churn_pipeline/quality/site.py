"""The Data Docs: HOME/data/published/data_docs/index.html, one page of everything that was expected of the data and what was found.

It is made of the verdicts alone, whoever judged, and needs no network and no other file.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from churn_pipeline.core.atomic import replace_bytes, swap_folders, temp_folders
from churn_pipeline.core.json_text import json_text
from churn_pipeline.core.templating import templates
from churn_pipeline.quality import suites
from churn_pipeline.quality.candidates import CandidatesJudgement
from churn_pipeline.quality.landing import LandingJudgement
from churn_pipeline.quality.results import FailingRows, Judgement

# Mondays whose candidates stay on the page: a quarter.
MONDAYS_KEPT = 13

PAGE = "data_docs.html.j2"


@dataclass(frozen=True)
class _Saved:
    """One judgement as it lies in HOME/data/quality."""

    suite: str
    run: str
    judged_at: str
    verdicts: list[dict[str, Any]]
    failing: list[dict[str, Any]]

    @classmethod
    def read(cls, path: Path) -> _Saved:
        content = json.loads(path.read_text(encoding="utf-8"))
        # Files of earlier versions hold Great Expectations' own result too.
        return cls(**{name: content[name] for name in cls.__dataclass_fields__})

    @property
    def is_landed(self) -> bool:
        return self.suite.startswith(suites.LANDED)

    @property
    def title(self) -> str:
        return self.suite.removeprefix(suites.LANDED) if self.is_landed else self.run

    @property
    def anchor(self) -> str:
        return f"{'landed' if self.is_landed else 'candidates'}-{self.title}"

    @property
    def failed(self) -> list[dict[str, Any]]:
        return [verdict for verdict in self.verdicts if not verdict["passed"]]


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
    """Renders the page from what was saved and puts it in the place of the former one.

    Args:
        folder: ``HOME/data/quality``.
        site: ``HOME/data/published/data_docs``.

    Returns:
        The number of judgements on it.
    """
    saved = [_Saved.read(path) for path in sorted(folder.glob("*.json"))]
    landed = [entry for entry in saved if entry.is_landed]
    # The newest Monday first.
    candidates = [entry for entry in reversed(saved) if not entry.is_landed]
    page = templates(Path(__file__).parent / "templates").get_template(PAGE)
    text = page.render(edges=[("Predictions before they are published", candidates), ("Landed tables", landed)])
    site.parent.mkdir(parents=True, exist_ok=True)
    new, old = temp_folders(site)
    new.mkdir()
    (new / "index.html").write_text(text, encoding="utf-8")
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
    return sum(len(_Saved.read(path).failed) for path in judged) if judged else None


def _write(path: Path, judgement: Judgement, failing: Sequence[FailingRows], now: datetime) -> None:
    content = {
        "suite": judgement.of,
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
    }
    replace_bytes(path, json_text(content).encode())
