"""The catalogue says truly which features are made of a column whose former values nobody keeps: the guard takes out those, and no other."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import get_args

import duckdb
import pandas as pd
import pytest

from churn_pipeline.core.settings import REPOSITORY
from churn_pipeline.core.targets import TARGETS
from churn_pipeline.features.catalogue import Static, read_catalogue
from churn_pipeline.features.frames import scoring_frame
from tests.support.marts import build_marts
from tests.unit.contract.landing_helpers import put, row, write

MONDAY = date(2024, 6, 10)
MARTS = {target.mart: target for target in TARGETS.values()}
# What another value of each column looks like where it lies.
OTHER = {
    "industry": "update landing.lives set industry = 'elsewhere' where customer_id = 'C2'",
    "plan_tier": "update landing.lives set plan_tier = 'enterprise' where customer_id = 'C2'",
    "mrr": "update landing.lives set mrr_cents = 345600 where customer_id = 'C2'",
    "seats": "update landing.customers set seats = 77 where customer_id = 'C2'",
    "csm_owner": "update landing.customers set csm_owner = 'nobody' where customer_id = 'C2'",
}


@pytest.fixture(scope="module")
def con(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """Two customers of one industry who both do something."""
    raw: Path = tmp_path_factory.mktemp("raw")
    write(raw, "customers", [row("customers"), row("customers", customer_id="C2")])
    days = ("2024-06-05", "2024-05-20", "2024-04-10")
    write(
        raw,
        "usage_events",
        [
            row(
                "usage_events",
                event_id=f"{whose} {day} {number}",
                customer_id=whose,
                timestamp=f"{day}T1{number}:00:00",
                feature_adoption_score=score,
            )
            for whose, score, numbers in (("C1", 0.2, range(3)), ("C2", 0.7, range(1)))
            for day in days
            for number in numbers
        ],
    )
    with duckdb.connect() as con:
        put(con, raw)
        yield con


def features(con: duckdb.DuckDBPyConnection) -> dict[str, pd.DataFrame]:
    build_marts(con, MONDAY)
    folder = REPOSITORY / "dbt_project" / "models" / "marts"
    return {
        mart: scoring_frame(con, target, MONDAY)[read_catalogue(folder / f"{mart}.yml").names]
        for mart, target in MARTS.items()
    }


@pytest.mark.parametrize("column", get_args(Static))
def test_the_features_that_change_with_a_column_are_those_that_say_they_are_made_of_it(
    con: duckdb.DuckDBPyConnection, column: str
) -> None:
    before = features(con)
    for table in ("lives", "customers"):
        con.execute(f"create or replace temp table former_{table} as from landing.{table}")
    con.execute(OTHER[column])
    after = features(con)
    for table in ("lives", "customers"):
        con.execute(f"delete from landing.{table}")
        con.execute(f"insert into landing.{table} from former_{table}")
    for mart, frame in before.items():
        catalogue = read_catalogue(REPOSITORY / "dbt_project" / "models" / "marts" / f"{mart}.yml")
        changed = {name for name in frame if not frame[name].equals(after[mart][name])}
        # Where a customer stands in the range of prices of a plan hangs on both, and both go together.
        both = {"mrr_tier_ceiling_pct"} if column == "plan_tier" else set()
        assert changed - both == {feature.name for feature in catalogue if feature.made_of == column}
