"""Only customers have to be there: whatever else is missing is unknown in the marts, and never 0."""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from datetime import date
from functools import cache
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from churn_pipeline.core.settings import REPOSITORY
from churn_pipeline.core.targets import TARGETS
from churn_pipeline.features.catalogue import read_catalogue
from churn_pipeline.features.frames import scoring_frame
from tests.support.marts import build_marts
from tests.unit.contract.landing_helpers import ROWS, put, row, write

MONDAY = date(2024, 6, 10)
MARTS = {target.mart: target for target in TARGETS.values()}
TABLES = ("usage_events", "support_tickets", "gtm_opportunities", "risk_signals", "plan_changes", "contracts")
ALWAYS = {"industry", "plan_tier", "mrr", "mrr_tier_ceiling_pct", "tenure_days", "is_early_stage"}
MART = TARGETS["churn_90d"].mart
# Some of the features that a table makes.
OF = {
    "usage_events": {"total_events", "days_since_last_event", "usage_change_7d", "peer_usage_7d", "activated_at_30d"},
    "support_tickets": {"tickets_last_30d", "open_tickets", "avg_resolution_hours"},
    "risk_signals": {"compliance_gap_score", "vendor_risk_flags"},
    "contracts": {"days_to_renewal"},
    "gtm_opportunities": set(),
    "plan_changes": set(),
}
MORE_EVENTS = [
    row("usage_events", event_id="E2", timestamp="2024-06-05T10:00:00"),
    row("usage_events", event_id="E3", timestamp="2024-05-20T10:00:00"),
    row("usage_events", event_id="E4", timestamp="2024-04-10T10:00:00"),
]


def _build(con: duckdb.DuckDBPyConnection, raw: Path, tables: Collection[str]) -> dict[str, pd.DataFrame]:
    """The marts of a company with two customers, one of whom did nothing and of whom nothing else is known."""
    write(raw, "customers", [row("customers"), row("customers", customer_id="C2")])
    for table in tables:
        write(raw, table, [ROWS[table], *(MORE_EVENTS if table == "usage_events" else [])])
    put(con, raw)
    build_marts(con, MONDAY)
    return {mart: scoring_frame(con, target, MONDAY)[_names(mart)] for mart, target in MARTS.items()}


@cache
def _names(mart: str) -> list[str]:
    return read_catalogue(REPOSITORY / "dbt_project" / "models" / "marts" / f"{mart}.yml").names


@cache
def _features(tables: frozenset[str]) -> dict[str, pd.DataFrame]:
    with tempfile.TemporaryDirectory() as directory, duckdb.connect() as con:
        return _build(con, Path(directory), tables)


def _given(frame: pd.DataFrame) -> set[str]:
    return set(frame.columns[frame.notna().any()])


@pytest.mark.parametrize("missing", TABLES)
def test_features_of_a_missing_table_are_unknown_and_the_others_are_what_they_were(missing: str) -> None:
    for mart, whole in _features(frozenset(TABLES)).items():
        frame = _features(frozenset(TABLES) - {missing})[mart]
        unknown = set(frame.columns) - _given(frame)
        pd.testing.assert_frame_equal(frame.drop(columns=list(unknown)), whole.drop(columns=list(unknown)))
        assert unknown.isdisjoint(ALWAYS)
        if mart == MART:
            assert unknown >= OF[missing]


def test_with_customers_alone_all_that_is_known_is_who_they_are_and_for_how_long() -> None:
    for frame in _features(frozenset()).values():
        assert _given(frame) == ALWAYS & set(frame.columns)
