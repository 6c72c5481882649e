"""The list that was worked is judged, beside others of its length, and the money that was expected to leave beside what left."""

from __future__ import annotations

from datetime import date

import duckdb
import numpy as np
import pandas as pd
import pytest

from churn_pipeline.modeling.evaluate import Resamples
from churn_pipeline.monitoring.lists import (
    RANKINGS,
    ListWorth,
    list_worth,
    money_calibration,
    predictions,
    to_row,
    worked_list,
)

MONDAY = date(2026, 3, 16)
# Of eight customers three are on the list, in another order than that of priority_rank: c, f, a.
BOOK = pd.DataFrame(
    {
        "customer_id": list("abcdefgh"),
        "priority_rank": [1, 2, 3, 4, 5, 6, 7, 8],
        "is_on_call_list": [True, False, True, False, False, True, False, False],
        "call_rank": [3, None, 1, None, None, 2, None, None],
        "probability": [0.5, 0.6, 0.7, 0.1, 0.2, 0.9, 0.3, 0.05],
        "revenue": [1000.0, 800, 600, 5000, 300, 200, None, 900],
        "label": [1, 1, 0, 1, 0, 1, 1, 0],
    }
).astype({"is_on_call_list": "boolean", "call_rank": "Int64"})


def resamples(frame: pd.DataFrame, replicates: int = 50) -> Resamples:
    return Resamples.draw(frame["customer_id"], replicates, 1)


def worths(frame: pd.DataFrame, capacity: int = 2, **more: bool) -> dict[str, ListWorth]:
    return {each.ranking: each for each in list_worth(MONDAY, frame, capacity, resamples(frame), **more)}


def test_each_list_of_the_same_length_holds_what_was_counted_by_hand() -> None:
    by_ranking = worths(BOOK)
    assert tuple(by_ranking) == RANKINGS
    assert {(each.calls, each.basis, each.all_customers, each.all_revenue) for each in by_ranking.values()} == {
        (3, "call_list", 5, 7000.0)
    }
    held = {name: (each.customers.value, each.revenue.value) for name, each in by_ranking.items()}
    assert held == {
        "list": (2, 1200),  # a and f of c, f, a
        "best": (3, 6800),  # d, a, b
        "mrr": (2, 6000),  # d, a of d, a, h
        "probability": (2, 1000),  # f, b of f, c, b
        "chance": (pytest.approx(5 * 3 / 8), pytest.approx(7000 * 3 / 8)),
    }
    assert by_ranking["list"].revenue_share.value == pytest.approx(1200 / 7000)


def test_a_monday_without_a_list_is_judged_by_the_first_of_priority_rank_and_says_so() -> None:
    before = BOOK.assign(is_on_call_list=pd.NA, call_rank=pd.NA).astype(BOOK.dtypes)
    by_ranking = worths(before)
    assert {(each.calls, each.basis) for each in by_ranking.values()} == {(2, "priority_rank")}
    assert (by_ranking["list"].customers.value, by_ranking["list"].revenue.value) == (2, 1800)


def test_the_order_of_the_list_is_that_of_the_calls_and_who_is_not_on_it_comes_after() -> None:
    worked = worked_list(BOOK, 2)
    assert [BOOK["customer_id"][n] for n in np.argsort(-worked.score)] == list("cfabdegh")
    assert worked.calls == 3, "the list has its own length"


def test_an_empty_list_holds_nothing_and_nothing_is_said_of_it() -> None:
    empty = BOOK.assign(is_on_call_list=False, call_rank=pd.NA).astype(BOOK.dtypes)
    assert list_worth(MONDAY, empty, 2, resamples(empty)) == []


def test_where_the_revenue_is_todays_only_customers_are_counted() -> None:
    by_ranking = worths(BOOK, is_priced=False)
    assert set(by_ranking) == set(RANKINGS) - {"mrr"}
    assert by_ranking["list"].customers.value == 2
    assert by_ranking["best"].customers.value == 3
    for each in by_ranking.values():
        row = to_row(each)
        assert {name: row[name] for name in row if "revenue" in name} == dict.fromkeys(
            ("revenue", "revenue_low", "revenue_high", "revenue_share", "revenue_share_low", "revenue_share_high", "all_revenue")
        )  # fmt: skip


def test_where_nobody_left_there_is_no_share_and_no_error() -> None:
    stayed = BOOK.assign(label=0)
    by_ranking = worths(stayed)
    assert {each.customers.value for each in by_ranking.values()} == {0}
    assert to_row(by_ranking["list"])["revenue_share"] is None


def test_no_list_holds_more_than_the_best_possible_in_the_book_and_in_every_interval() -> None:
    rng = np.random.default_rng(3)
    n = 300
    frame = pd.DataFrame(
        {
            "customer_id": [f"c{k}" for k in range(n)],
            "priority_rank": rng.permutation(n) + 1,
            "is_on_call_list": pd.array([pd.NA] * n, dtype="boolean"),
            "call_rank": pd.array([pd.NA] * n, dtype="Int64"),
            "probability": rng.random(n),
            "revenue": np.exp(rng.normal(8, 1, n)),
            "label": (rng.random(n) < 0.2).astype(int),
        }
    )
    by_ranking = worths(frame, capacity=40)
    best = by_ranking["best"]
    assert best.revenue_share.low <= best.revenue_share.value <= best.revenue_share.high <= 1
    for each in by_ranking.values():
        assert each.revenue.value <= best.revenue.value
        assert each.revenue.low <= best.revenue.low and each.revenue.high <= best.revenue.high


def test_money_that_left_stands_beside_money_that_was_expected_to() -> None:
    money = money_calibration(MONDAY, "churn_90d", BOOK, resamples(BOOK))
    expected = 500 + 480 + 420 + 500 + 60 + 180 + 45
    assert (money.customers, money.left_customers, money.left_revenue) == (8, 5, 7000)
    assert money.expected_customers == pytest.approx(3.35)
    assert money.expected_revenue == pytest.approx(expected)
    assert money.ratio.value == pytest.approx(7000 / expected)
    assert money.ratio.low < money.ratio.value < money.ratio.high


def test_the_interval_of_the_ratio_holds_1_about_95_times_in_100_where_probabilities_are_true() -> None:
    rng = np.random.default_rng(5)
    n = 400
    inside = 0
    for _ in range(150):
        p = rng.beta(1, 4, n)
        frame = pd.DataFrame(
            {
                "customer_id": np.arange(n).astype(str),
                "probability": p,
                "revenue": np.exp(rng.normal(8, 0.8, n)),
                "label": (rng.random(n) < p).astype(int),
            }
        )
        ratio = money_calibration(MONDAY, "churn_90d", frame, resamples(frame, 100)).ratio
        inside += ratio.low <= 1 <= ratio.high
    assert 0.88 <= inside / 150 <= 0.99


def test_a_home_that_no_run_has_written_since_lacks_columns_and_reads_as_nulls() -> None:
    con = duckdb.connect()
    con.execute("create schema policy")
    con.execute("create table policy.predictions as select 'a' as customer_id, true as is_on_call_list")
    row = con.execute(f"from {predictions(con)}").df().iloc[0]
    assert row["is_on_call_list"] and row.drop(["customer_id", "is_on_call_list"]).isna().all()
    assert {"call_rank", "is_in_holdout_draw", "days_to_renewal"} <= set(row.index)
