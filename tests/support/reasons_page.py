"""docs/reasons.md, made of the small company that the tests have anyway: ``python -m tests.support.reasons_page`` prints it."""

from __future__ import annotations

import sys

from churn_pipeline.core.settings import Settings
from churn_pipeline.scoring import docs
from tests.support import companies


def page(settings: Settings) -> str:
    """The page, from a home that has scored TINY_BEFORE."""
    return docs.page(settings, f"the simulated company of the tests on {companies.TINY_BEFORE:%d %B %Y}")


if __name__ == "__main__":
    sys.stdout.write(page(companies.tiny_home()))
