"""docs/reasons.md, made of the small company that the tests have anyway: ``python -m tests.support.reasons_page`` prints it."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from churn_pipeline.contract import land
from churn_pipeline.core.settings import REPOSITORY
from churn_pipeline.core.targets import target_of
from churn_pipeline.features.catalogue import read_catalogue
from churn_pipeline.features.frames import scoring_frame
from churn_pipeline.scoring import docs
from tests.support import companies
from tests.support.marts import build_marts


def page(raw: Path) -> str:
    """The page of TINY_BEFORE.

    Args:
        raw: of the small company.
    """
    mart = target_of("risk").mart
    until = companies.TINY_UNTIL
    with duckdb.connect() as con:
        land(
            con,
            raw,
            now=datetime(until.year, until.month, until.day, 12, tzinfo=UTC),
            timezone="UTC",
            run_id="reasons",
            max_bad_share=0.05,
            max_bad_rows=20,
        )
        build_marts(con, companies.TINY_BEFORE, history_weeks=0)
        frame = scoring_frame(con, target_of("risk"), companies.TINY_BEFORE)
    catalogue = read_catalogue(REPOSITORY / "dbt_project" / "models" / "marts" / f"{mart}.yml")
    return docs.render(catalogue, frame, f"the simulated company of the tests on {companies.TINY_BEFORE:%d %B %Y}")


if __name__ == "__main__":
    sys.stdout.write(page(companies.tiny_company().raw))
