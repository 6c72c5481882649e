"""Themes are declared once, and whoever speaks of them has all of them."""

from __future__ import annotations

import csv
from typing import get_args

from churn_pipeline.core.settings import REPOSITORY
from churn_pipeline.core.themes import NEVER_A_REASON, PARTS, THEMES, Theme


def test_every_theme_has_a_label_and_may_be_a_part_of_a_change() -> None:
    assert list(THEMES) == list(get_args(Theme))
    assert THEMES.items() <= PARTS.items()


def test_every_theme_that_can_be_a_reason_has_something_to_say_whatever_is_known() -> None:
    with (REPOSITORY / "dbt_project" / "seeds" / "talking_points.csv").open(encoding="utf-8") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: int(row["position"]))
    assert {row["theme"] for row in rows} == THEMES.keys() - NEVER_A_REASON
    last = {row["theme"]: row for row in rows}
    assert [theme for theme, row in last.items() if "{" in " ".join(row.values())] == []
