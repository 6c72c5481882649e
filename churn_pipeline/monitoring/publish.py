"""Where reports lie: HOME/data/published, each file replaced in one step."""

from __future__ import annotations

from pathlib import Path

from churn_pipeline.atomic import replace_bytes
from churn_pipeline.monitoring.replay import ReplayReport
from churn_pipeline.monitoring.replay_page import render
from churn_pipeline.settings import Settings


def write_replay_report(report: ReplayReport, settings: Settings, folder: Path | None = None) -> Path:
    """Writes the page of a replay report and returns where it lies.

    Args:
        report: what it says.
        settings: the home.
        folder: where to; ``HOME/data/published/replay`` unless given.
    """
    page = (folder or settings.published / "replay") / f"replay_{report.first}_{report.last}.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    replace_bytes(page, render(report).encode())
    return page
