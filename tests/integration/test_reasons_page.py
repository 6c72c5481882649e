"""docs/reasons.md shows what every template says of the customers of the small company."""

from __future__ import annotations

from churn_pipeline.core.settings import REPOSITORY, Settings
from tests.support.reasons_page import page


def test_the_page_shows_what_the_templates_say(tiny_home: Settings) -> None:
    written = (REPOSITORY / "docs" / "reasons.md").read_text(encoding="utf-8")
    assert written == page(tiny_home), "run: make generate"
