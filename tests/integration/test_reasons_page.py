"""docs/reasons.md shows what every template says of the customers of the small company."""

from __future__ import annotations

from churn_pipeline.core.settings import REPOSITORY
from tests.conftest import Company
from tests.support.reasons_page import page


def test_the_page_shows_what_the_templates_say(tiny_company: Company) -> None:
    written = (REPOSITORY / "docs" / "reasons.md").read_text(encoding="utf-8")
    assert written == page(tiny_company.raw), "run: make generate"
