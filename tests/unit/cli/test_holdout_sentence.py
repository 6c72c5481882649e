"""Whoever sets a share of the hold-out is told what it can show, by the list that it is drawn from."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import duckdb
import pytest

from churn_pipeline.cli.output import holdout_power
from churn_pipeline.core.settings import Settings

MONDAY = date(2026, 3, 16)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(home=tmp_path, holdout_share=0.1)
    settings.published.mkdir(parents=True)
    with duckdb.connect(str(settings.published_database)) as con:
        con.execute(
            """
            create table predictions as
            select date '2026-03-16' as snapshot_date, 'c' || n as customer_id, 0.3 as churn_probability_90d, true as is_in_holdout_draw,
                   n % 10 > 0 as is_on_call_list, 100.0 as annual_revenue, 'p' as policy_version
            from range(180) as customers (n)
            """
        )
        con.execute("create table policy_seeds (policy_version varchar, seed varchar, content varchar)")
    return settings


def test_a_share_that_is_set_says_what_it_can_show(settings: Settings) -> None:
    sentence = holdout_power(settings, MONDAY)
    assert sentence is not None
    # 180 of the first Monday, and a tenth of them new on each of 12 more.
    assert sentence.startswith(
        "A hold-out of 10% leaves about 40 customers uncalled in a quarter, beside 356 who can be"
    )
    assert "59% of the departures after 1 quarter" in sentence


def test_without_a_share_nothing_is_said(settings: Settings) -> None:
    assert holdout_power(settings.model_copy(update={"holdout_share": 0.0}), MONDAY) is None
