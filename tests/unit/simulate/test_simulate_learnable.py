"""Health can be read from behaviour, but from nothing simpler: no shortcut by silence, none by static columns."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
import xgboost as xgb
from sklearn.metrics import roc_auc_score

from churn_pipeline.simulate import Company
from tests.unit.simulate.simulated import UNTIL, database

# A company of years, and a model of it for each claim.
pytestmark = pytest.mark.long

STATIC = ["tier", "industry", "mrr", "seats", "tenure"]
# Windowed features of the kind that any pipeline would build; nothing here is tuned to the generator.
FEATURES = [
    *STATIC, "silence", "events_7d", "events_14d", "events_30d", "events_90d", "active_days_30d", "invites_90d", "evidence_30d",
    "adoption_14d", "adoption_30d", "adoption_90d", "tickets_30d", "urgent_14d", "urgent_90d", "gap_90d", "flags_90d", "days_to_renewal",
]  # fmt: skip


@pytest.fixture(scope="module")
def rows(medium: Company) -> pd.DataFrame:
    """One row per customer and Monday: labels, oracle and features known before it."""
    con = database(medium)
    con.execute(
        """
        create table days as select customer_id, timestamp::date as day, count(*) as n,
            count(*) filter (event_type = 'user_invite') as invites, count(*) filter (event_type = 'evidence_upload') as evidence,
            sum(feature_adoption_score) as score, count(feature_adoption_score) as scored
        from usage_events group by all;
        create table base as select o.*, churn_date, signup_date, industry, seats, coalesce(before.to_tier, after.from_tier, plan_tier) as tier,
            coalesce(before.to_mrr, after.from_mrr, customers.mrr) as mrr, row_number() over () as row
        from oracle o join customers using (customer_id)
        asof left join plan_changes before on before.customer_id = o.customer_id and before.effective_date < o.snapshot_date
        asof left join plan_changes after on after.customer_id = o.customer_id and after.effective_date >= o.snapshot_date;
        """
    )
    frame = con.execute(
        """
        with used as (
            select row, min(snapshot_date - day) as silence, sum(n) filter (day >= snapshot_date - 7) as events_7d,
                sum(n) filter (day >= snapshot_date - 14) as events_14d, sum(n) filter (day >= snapshot_date - 30) as events_30d,
                sum(n) as events_90d, count(*) filter (day >= snapshot_date - 30) as active_days_30d, sum(invites) as invites_90d,
                sum(evidence) filter (day >= snapshot_date - 30) as evidence_30d,
                sum(score) filter (day >= snapshot_date - 14) / sum(scored) filter (day >= snapshot_date - 14) as adoption_14d,
                sum(score) filter (day >= snapshot_date - 30) / sum(scored) filter (day >= snapshot_date - 30) as adoption_30d,
                sum(score) / sum(scored) as adoption_90d
            from base join days on days.customer_id = base.customer_id and day < snapshot_date and day >= snapshot_date - 90 group by row
        ), helped as (
            select row, count(*) filter (created_date >= snapshot_date - 30) as tickets_30d,
                count(*) filter (created_date >= snapshot_date - 14 and priority in ('high', 'critical')) as urgent_14d,
                count(*) filter (priority in ('high', 'critical')) as urgent_90d
            from base join support_tickets t on t.customer_id = base.customer_id
                and created_date < snapshot_date and created_date >= snapshot_date - 90 group by row
        ), assessed as (
            select row, avg(compliance_gap_score) as gap_90d, avg(vendor_risk_flags) as flags_90d
            from base join risk_signals r on r.customer_id = base.customer_id
                and recorded_at < snapshot_date and recorded_at >= snapshot_date - 90 group by row
        ), bound as (
            select row, min(end_date - snapshot_date) as days_to_renewal
            from base join contracts c on c.customer_id = base.customer_id
                and start_date < snapshot_date and end_date >= snapshot_date group by row
        )
        select base.* exclude (churn_date, signup_date), snapshot_date - signup_date as tenure,
            coalesce(churn_date < snapshot_date + 30, false)::int as churned_30, coalesce(churn_date < snapshot_date + 90, false)::int as churned_90,
            used.* exclude (row), helped.* exclude (row), assessed.* exclude (row), days_to_renewal
        from base left join used using (row) left join helped using (row) left join assessed using (row) left join bound using (row)
        order by row
        """
    ).df()
    frame["weeks_to_end"] = (pd.Timestamp(UNTIL) - frame["snapshot_date"]) // timedelta(weeks=1)
    frame["number"] = frame["customer_id"].str[1:].astype(int)
    for column in ("tier", "industry"):
        frame[column] = frame[column].astype("category").cat.codes
    return frame


def share_of_oracle(part: pd.DataFrame, days: int, score: np.ndarray) -> float:
    """(AUC - 0.5) of a score, relative to the oracle's on the same rows."""
    outcome = part[f"churned_{days}"]
    return (roc_auc_score(outcome, score) - 0.5) / (roc_auc_score(outcome, part[f"p_churn_{days}d"]) - 0.5)


def learned(rows: pd.DataFrame, days: int, columns: list[str]) -> float:
    """Out of time: trained on old snapshots, one in 4 or 13 per customer, judged on the newest 12 closed Mondays.

    Between the two lie four weeks of calibration and a horizon on either side, as in the pipeline.
    """
    closed, thin = {30: (5, 4), 90: (13, 13)}[days]
    test = rows[(rows.weeks_to_end >= closed) & (rows.weeks_to_end < closed + 12)]
    train = rows[
        (rows.weeks_to_end >= closed + 12 + closed + 4 + closed) & ((rows.weeks_to_end + rows.number) % thin == 0)
    ]
    settings = {
        "objective": "binary:logistic", "max_depth": 3, "eta": 0.05, "subsample": 0.7, "colsample_bytree": 0.5, "min_child_weight": 20,
        "reg_lambda": 5, "nthread": 2, "seed": 1,
    }  # fmt: skip
    model = xgb.train(settings, xgb.DMatrix(train[columns], train[f"churned_{days}"]), 150)
    return share_of_oracle(test, days, model.predict(xgb.DMatrix(test[columns])))


@pytest.mark.parametrize("days", [30, 90])
def test_a_model_on_windowed_features_comes_close_to_the_oracle(rows: pd.DataFrame, days: int) -> None:
    assert 0.85 < learned(rows, days, FEATURES) < 1.0


@pytest.mark.parametrize("days", [30, 90])
def test_static_columns_alone_are_no_shortcut(rows: pd.DataFrame, days: int) -> None:
    assert learned(rows, days, STATIC) < 0.25


@pytest.mark.parametrize("days", [30, 90])
def test_two_silent_weeks_are_no_shortcut(rows: pd.DataFrame, days: int) -> None:
    part = rows[rows.weeks_to_end >= days / 7]
    silent = part["silence"].isna() | (part["silence"] > 14)
    assert 0.0 < share_of_oracle(part, days, silent.to_numpy(dtype=float)) < 0.6


def test_usage_is_as_dense_as_a_product_in_daily_use(medium: Company, rows: pd.DataFrame) -> None:
    weeks_of_customers = len(rows) * (104 + 13) / 105
    assert 15 < medium.tables["usage_events"].num_rows / weeks_of_customers < 30


def test_use_keeps_office_hours(medium: Company) -> None:
    weekend, night = (
        database(medium)
        .execute(
            "select avg((isodow(timestamp) > 5)::int), avg((hour(timestamp) not between 6 and 20)::int) from usage_events"
        )
        .fetchone()
    )
    assert 0.04 < weekend < 0.10
    assert night < 0.10
