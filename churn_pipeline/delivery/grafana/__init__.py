"""Grafana's dashboards over schema ``churn``, written from declarations: ``python -m churn_pipeline.delivery.grafana``.

Here: what the boards show (``customer_success``, ``vp``, ``engineer``) and how a panel is written (``panels``). Not here: the schema that they
read (``delivery/postgres``), and anything that Grafana does. The files in dashboards/grafana/boards are what Grafana loads; a test holds them
to what is here. Targets are those of ``TARGETS``; tiers are read from ``churn.risk_tiers`` when somebody looks.
"""

from __future__ import annotations

from pathlib import Path

from churn_pipeline.core.json_text import json_text
from churn_pipeline.core.settings import REPOSITORY
from churn_pipeline.delivery.grafana.customer_success import customer_success
from churn_pipeline.delivery.grafana.engineer import engineer
from churn_pipeline.delivery.grafana.vp import vp

BOARDS = REPOSITORY / "dashboards" / "grafana" / "boards"


def boards() -> dict[Path, str]:
    """The text of every dashboard, by its file."""
    return {
        BOARDS / f"{make.__name__}.json": json_text(make(), indent=2, ascii_only=False) + "\n"
        for make in (customer_success, engineer, vp)
    }


def write_boards() -> list[Path]:
    """Writes the dashboards that are not as they should be, and says which."""
    written = []
    for file, text in boards().items():
        if not file.is_file() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")
            written.append(file)
    return written
