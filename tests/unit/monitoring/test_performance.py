"""Figures of predictions: promised, expected, realised."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import cache

import duckdb
import numpy as np
import pandas as pd
import pytest

from churn_pipeline.core.targets import TARGETS
from churn_pipeline.modeling import ledger
from churn_pipeline.modeling.evaluate import Estimate, Resamples, evaluate
from churn_pipeline.modeling.ledger import LedgerRow
from churn_pipeline.monitoring.performance import (
    ASSUMPTION,
    MIN_POSITIVES,
    Promise,
    Quality,
    expected,
    realised,
    untouched,
)

MONDAY = date(2026, 3, 16)
CHURN_90D = TARGETS["churn_90d"]
NOTHING_PROMISED = Promise("3", {})


def book(seed: int, rows: int = 2_000, *, spread: float = 1.5) -> pd.DataFrame:
    """Customers whose probabilities are true."""
    rng = np.random.default_rng(seed)
    p = 1 / (1 + np.exp(2.5 + spread * rng.standard_normal(rows)))
    return pd.DataFrame(
        {
            "customer_id": [f"C{row:05d}" for row in range(rows)],
            "plan_tier": rng.choice(["free", "growth", "enterprise"], rows, p=[0.5, 0.48, 0.02]),
            "probability": p,
            "label": (rng.random(rows) < p).astype(int),
            "untouched": rng.random(rows) < 0.7,
        }
    )


def of(qualities: list[Quality], tier: str = "all", customers: str = "all") -> Quality:
    return next(q for q in qualities if (q.plan_tier, q.customers) == (tier, customers))


@cache
def promise() -> Promise:
    """What a model of these customers was promoted with: its figures on a larger sample."""
    return Promise("3", of(realised(CHURN_90D, MONDAY, book(99, 8_000), NOTHING_PROMISED)).figures)


def test_the_promise_is_what_the_ledger_says() -> None:
    con = duckdb.connect()
    figures = {"auc": {"value": 0.83, "low": 0.8, "high": 0.86}, "base_rate": {"value": 0.1, "low": 0.1, "high": 0.1}}
    flag = {"precision_at_flag": {"value": 0.7, "low": None, "high": None}}
    ledger.append(
        con,
        LedgerRow(
            target="churn_90d",
            version="7",
            promoted=True,
            effective_from=MONDAY,
            labels_closed_by=MONDAY,
            reason="",
            who="test",
            recorded_at=datetime(2026, 3, 16, tzinfo=UTC),
            metrics={"model": figures | flag},
        ),
    )
    row = ledger.model_for(con, "churn_90d", MONDAY)
    assert row is not None
    promised = Promise.from_ledger(row.version or "", row.metrics)
    assert promised.version == "7"
    assert promised.figures["auc"] == Estimate(0.83, 0.8, 0.86)
    assert set(promised.figures) == {"auc", "precision_at_flag"}
    assert np.isnan(promised.figures["precision_at_flag"].low)
    assert Promise.from_ledger("8", {"data_fingerprint": "x"}).figures == {}


def test_realised_figures_are_those_of_the_evaluation_for_each_tier_and_for_the_untouched() -> None:
    rows = book(1)
    qualities = realised(CHURN_90D, MONDAY, rows, NOTHING_PROMISED)
    groups = [(q.customers, q.plan_tier) for q in qualities]
    # 40 enterprise customers are too few for figures of their own.
    assert groups == [(c, t) for c in ("all", "untouched") for t in ("all", "free", "growth")]
    part = rows[(rows["plan_tier"] == "growth") & rows["untouched"]]
    alone = evaluate(
        part["label"], part["probability"], np.zeros(len(part)), Resamples.draw(part["customer_id"], 1, 0), 0.1
    )
    growth = of(qualities, "growth", "untouched")
    assert (growth.rows, growth.positives) == (len(part), part["label"].sum())
    for name in ("auc", "brier", "ece", "precision_top_200", "precision_at_flag"):
        assert growth.figures[name].value == pytest.approx(alone[name].value, nan_ok=True), name


def test_a_saved_customer_is_not_held_against_the_model_among_the_untouched() -> None:
    rows = book(2).sort_values("probability", ascending=False, ignore_index=True)
    called = rows.index < 200
    saved = rows.assign(label=rows["label"].where(~called, 0), untouched=~called)
    qualities = realised(CHURN_90D, MONDAY, saved, promise())
    assert "auc" in of(qualities).under
    whole = of(realised(CHURN_90D, MONDAY, rows.assign(untouched=~called), promise()), customers="untouched")
    spared = of(qualities, customers="untouched")
    assert spared.to_rows() == whole.to_rows()
    assert spared.under == ()


def test_an_intervention_counts_from_the_snapshot_to_the_day_before_the_horizon_ends() -> None:
    last = MONDAY + timedelta(days=30)
    at = [MONDAY - timedelta(days=1), MONDAY, last - timedelta(days=1), last]
    con = duckdb.connect()
    con.execute('create table interventions (customer_id varchar, "at" date)')
    con.executemany("insert into interventions values (?, ?)", list(zip("ABCD", at, strict=True)))
    interventions = con.execute("from interventions").df()
    assert untouched(pd.Series(list("ABCDE")), interventions, MONDAY, 30).tolist() == [True, False, False, True, True]
    assert untouched(pd.Series(["A"]), interventions.iloc[:0], MONDAY, 30).tolist() == [True]


def test_the_expected_band_holds_the_realised_figure_of_calibrated_probabilities() -> None:
    inside: dict[str, list[bool]] = {"auc": [], "brier": [], "precision_top_200": []}
    for seed in range(60):
        rows = book(seed)
        before = of(expected(CHURN_90D, MONDAY, rows, NOTHING_PROMISED, seed=seed))
        label, p = rows["label"].to_numpy(), rows["probability"].to_numpy()
        then = evaluate(label, p, np.zeros(len(p)), Resamples.draw(rows["customer_id"], 1, 0), 0.1)
        for name, hits in inside.items():
            hits.append(before.figures[name].low <= then[name].value <= before.figures[name].high)
    share = {name: np.mean(hits) for name, hits in inside.items()}
    print(share)
    assert all(covered >= 0.85 for covered in share.values()), share


def test_the_expected_band_knows_how_many_customers_there_are() -> None:
    def width(rows: int) -> float:
        auc = of(expected(CHURN_90D, MONDAY, book(5, rows), NOTHING_PROMISED)).figures["auc"]
        return auc.high - auc.low

    assert width(500) / width(8_000) == pytest.approx(4, rel=0.3)


def test_the_expectation_sees_other_customers_and_is_blind_to_other_reasons() -> None:
    same, easier = (of(expected(CHURN_90D, MONDAY, book(6, spread=s), NOTHING_PROMISED)) for s in (1.5, 2.5))
    assert easier.figures["auc"].value > same.figures["auc"].value + 0.05
    rows = book(6)
    # They leave for reasons that the model does not know: the labels no longer follow the probabilities.
    other = rows.assign(label=rows["label"].sample(frac=1, random_state=1).to_numpy())
    assert of(expected(CHURN_90D, MONDAY, other, NOTHING_PROMISED)).figures == same.figures
    assert set(of(realised(CHURN_90D, MONDAY, other, promise())).under) == {"auc", "brier_skill"}
    assert "only while the relation of features to churn holds" in ASSUMPTION


def test_a_model_that_keeps_its_promise_is_rarely_under_it() -> None:
    promised = promise()
    one_tier = (book(seed, 1_500).assign(plan_tier="free", untouched=False) for seed in range(40))
    wrong = sum(bool(of(realised(CHURN_90D, MONDAY, rows, promised)).under) for rows in one_tier)
    assert wrong <= 6


def test_a_week_with_few_events_is_shown_and_not_judged() -> None:
    rows = book(7, 300)
    first = rows.index[rows["label"] == 1][: MIN_POSITIVES - 1]
    few = rows.assign(label=rows.index.isin(first).astype(int), probability=1 - rows["probability"])
    quality = of(realised(CHURN_90D, MONDAY, few, promise()))
    assert quality.positives == MIN_POSITIVES - 1
    assert quality.figures["auc"].defined
    assert quality.under == ()


def test_a_week_of_one_class_and_a_week_of_nobody_have_no_figures() -> None:
    quality = of(realised(CHURN_90D, MONDAY, book(8, 300).assign(label=0), promise()))
    assert (quality.positives, quality.figures, quality.under) == (0, {}, ())
    assert [row["value"] for row in quality.to_rows()] == [None] * 6
    assert realised(CHURN_90D, MONDAY, book(8, 300).iloc[:0], promise()) == []
    assert expected(CHURN_90D, MONDAY, book(8, 300).iloc[:0], promise()) == []


def test_rows_hold_figure_and_promise_side_by_side_and_no_nan() -> None:
    rows = of(realised(CHURN_90D, MONDAY, book(9), promise())).to_rows()
    assert [row["figure"] for row in rows] == [
        "auc",
        "brier",
        "brier_skill",
        "ece",
        "precision_top_200",
        "precision_at_flag",
    ]
    assert rows[0]["value"] is not None
    assert rows[0]["promised"] == promise().figures["auc"].value
    assert all(value == value for row in rows for value in row.values())


def test_the_same_rows_give_the_same_figures() -> None:
    for figures in (realised, expected):
        first, second = ([q.to_rows() for q in figures(CHURN_90D, MONDAY, book(3), NOTHING_PROMISED)] for _ in range(2))
        assert first == second


def test_equal_probabilities_are_expected_to_rank_like_chance() -> None:
    auc = of(expected(CHURN_90D, MONDAY, book(4, 60).assign(probability=0.4), NOTHING_PROMISED)).figures["auc"]
    assert (auc.low, auc.value, auc.high) == pytest.approx((0.5, 0.5, 0.5))
