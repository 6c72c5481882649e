"""What monitoring adds to the digest."""

from __future__ import annotations

from datetime import date

import duckdb

from churn_pipeline.modeling import ledger
from churn_pipeline.monitoring import store
from churn_pipeline.monitoring.triggers import HealthAssessment
from churn_pipeline.orchestration.assets.monitoring import _notes

MONDAY = date(2026, 3, 16)


def test_drift_that_the_notices_of_the_list_tell_of_is_not_told_again() -> None:
    con = duckdb.connect()
    ledger.create(con)
    both = "drift and level say together that the book changed"
    store.write_judgement(
        con, HealthAssessment(MONDAY, "act", (both, "churn_90d: why"), {"churn_30d": "auc 0.6"}), "run"
    )
    under = "churn_30d is under its promise: auc 0.6"
    assert _notes(con, MONDAY, {both}) == [under]
    assert _notes(con, MONDAY, {"something else"}) == [f"Drift: act. {both}", under]
