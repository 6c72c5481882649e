"""Binning, PSI, and the reference with its file."""

from __future__ import annotations

import json
from datetime import date
from types import SimpleNamespace

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn_pipeline.core.calendar import WEEK
from churn_pipeline.core.errors import InputError
from churn_pipeline.features.catalogue import Catalogue, Feature
from churn_pipeline.modeling import reference as module
from churn_pipeline.modeling.reference import (
    PREDICTION,
    WINDOW_WEEKS,
    Buckets,
    FeatureWeek,
    Reference,
    build_reference,
    contribution_shares,
    psi,
)
from churn_pipeline.modeling.reference_week import _counted_frames

START = date(2024, 1, 1)
CATALOGUE = Catalogue(
    "mart",
    (
        Feature("events", "numeric", "Events", "count", "{value}", "{value}"),
        Feature("plan_tier", "categorical", "Plan tier", "category", "{value}", "{value}"),
        Feature("active", "boolean", "Active", "boolean", "{value}", "{value}"),
        Feature("tenure_days", "numeric", "Tenure", "days", "{value}", "{value}", cumulative=True),
    ),
)
IMPORTANCE = {"events": 3.0, "plan_tier": 0.5, "tenure_days": 0.5}

counts = st.lists(st.integers(0, 500), min_size=3, max_size=12).filter(lambda values: sum(values) > 0)


def week(number: int, rows: int = 300, shares: bool = True) -> FeatureWeek:
    rng = np.random.default_rng(number)
    frame = pd.DataFrame(
        {
            "customer_id": [f"C{row:06d}" for row in range(rows)],
            "plan_tier": rng.choice(["free", "growth"], rows),
            "events": rng.poisson(20, rows),
            "active": pd.array(rng.choice([True, False], rows), dtype="boolean"),
            "tenure_days": 7 * number + np.arange(rows),
        }
    )
    known = {"events": 0.7, "plan_tier": 0.1, "active": 0.0, "tenure_days": 0.2}
    return FeatureWeek(START + number * WEEK, frame, rng.beta(1, 9, rows), known if shares else None)


def reference(numbers: list[int]) -> Reference:
    return build_reference("churn_90d", date(2026, 1, 5), CATALOGUE, (week(n) for n in numbers), IMPORTANCE)


@given(st.data())
def test_psi_is_symmetric_and_never_negative_and_zero_of_equal_shares(data: st.DataObject) -> None:
    first = np.array(data.draw(counts))
    second = np.array(data.draw(st.lists(st.integers(0, 500), min_size=len(first), max_size=len(first)).filter(any)))
    assert psi(first, second) == pytest.approx(psi(second, first))
    assert psi(first, second) >= 0
    assert psi(first, first * 3) == pytest.approx(0)


def test_psi_is_what_the_formula_says_and_an_empty_bucket_counts_as_one_in_a_thousand() -> None:
    assert psi(np.array([50, 50]), np.array([75, 25])) == pytest.approx(-0.25 * np.log(2 / 3) + 0.25 * np.log(2))
    assert psi(np.array([100, 0]), np.array([90, 10])) == pytest.approx(
        (1 - 0.9) * np.log(1 / 0.9) + (0.001 - 0.1) * np.log(0.001 / 0.1)
    )


def test_psi_of_two_samples_of_one_distribution_is_chi_squared_over_n() -> None:
    rng = np.random.default_rng(1)
    distances = [psi(rng.multinomial(4_000, [0.1] * 10), rng.multinomial(4_000, [0.1] * 10)) for _ in range(400)]
    assert np.mean(distances) == pytest.approx(9 * (1 / 4_000 + 1 / 4_000), rel=0.1)


@given(st.lists(st.floats(width=32), min_size=1, max_size=60), st.lists(st.floats(width=32), max_size=60))
def test_every_row_falls_into_one_bucket(learned: list[float], counted: list[float]) -> None:
    buckets = Buckets.learn(pd.Series(learned, dtype=float), numeric=True)
    by_bucket = buckets.count(pd.Series(counted, dtype=float))
    assert by_bucket.sum() == len(counted)
    assert len(by_bucket) == buckets.size
    assert by_bucket[0] == sum(np.isnan(counted))


@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=200))
def test_no_training_value_is_out_of_range(values: list[int]) -> None:
    column = pd.Series(values, dtype=float)
    assert Buckets.learn(column, numeric=True).count(column)[-1] == 0


def test_what_training_never_reached_is_out_of_range_and_what_is_not_there_is_missing() -> None:
    numbers = Buckets.learn(pd.Series(range(101)), numeric=True)
    by_bucket = numbers.count(pd.Series([-1.0, 0.0, 55.0, 100.0, 101.0, np.inf, np.nan]))
    assert (by_bucket[0], by_bucket[-1], by_bucket.sum()) == (1, 3, 7)
    tiers = Buckets.learn(pd.Series(["free", "growth", None]), numeric=False)
    assert tiers.count(pd.Series(["free", "platinum", None, "free"])).tolist() == [1, 2, 0, 1]


def test_a_column_as_duckdb_hands_it_over_is_counted_whatever_its_type() -> None:
    frame = duckdb.sql(
        "select (n * 1.5)::decimal(9, 2) as price, case when n % 4 > 0 then n % 2 = 0 end as flag, "
        "case when n % 5 > 0 then n end as number from range(100) t(n)"
    ).df()
    for name, numeric, missing in (("price", True, 0), ("flag", False, 25), ("number", True, 20)):
        by_bucket = Buckets.learn(frame[name], numeric=numeric).count(frame[name])
        assert (by_bucket[0], by_bucket[-1], by_bucket.sum()) == (missing, 0, 100), name


def test_text_in_a_numeric_feature_is_an_error_that_names_it() -> None:
    with pytest.raises(InputError, match="feature events is declared numeric"):
        Buckets.learn(pd.Series(["many"], name="events"), numeric=True)


def test_the_reference_holds_the_pooled_training_weeks() -> None:
    learned = reference(list(range(40)))
    events = learned.profiles["events"]
    assert list(learned.profiles) == [*CATALOGUE.names, PREDICTION]
    assert sum(events.counts) == 40 * 300 == sum(sum(of) for of in events.tier_counts.values())
    assert (events.counts[0], events.counts[-1]) == (0, 0)
    assert learned.profiles["tenure_days"].cumulative
    assert events.share == 0.75
    assert learned.profiles["active"].share == 0
    assert learned.centre == START + 20 * WEEK


def test_the_order_of_the_weeks_does_not_matter_and_the_file_gives_back_the_same_reference() -> None:
    numbers = list(range(40))
    text = reference(numbers).to_json()
    assert reference(numbers[::-1]).to_json() == text
    assert Reference.from_json(text).to_json() == text
    assert json.loads(text)["format_version"] == 1


def test_weeks_in_which_windows_fill_and_weeks_after_a_gap_are_no_evidence_of_the_weekly_spread() -> None:
    learned = reference([*range(30), *range(40, 44)])
    week_series = np.array(learned.profiles["events"].week)
    assert np.isnan(week_series[:WINDOW_WEEKS]).all()
    assert np.isfinite(week_series[WINDOW_WEEKS:30]).all()
    assert np.isnan(week_series[30])
    assert np.isfinite(week_series[31:]).all()


def test_a_week_is_held_against_the_weeks_that_share_no_data_with_it() -> None:
    numbers = list(range(60))
    learned = reference(numbers)
    buckets = learned.profiles["events"].buckets
    of_week = {number: buckets.count(week(number).frame["events"]) for number in numbers}
    others = [number for number in numbers if abs(number - 30) > WINDOW_WEEKS]
    expected = psi(of_week[30], sum(of_week[number] for number in others))
    assert learned.profiles["events"].rest[30] == pytest.approx(expected)
    assert learned.distance[30] == pytest.approx(abs(30 - np.mean(others)))


def test_a_large_book_is_counted_for_the_same_customers_every_week(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ROWS", 1_000)
    ids = pd.Series([f"C{number:07d}" for number in range(20_000)])
    kept = module._same_customers(ids)
    assert 850 <= kept.sum() <= 1_150
    grown = module._same_customers(pd.concat([ids, pd.Series([f"D{number}" for number in range(2_000)])]))
    assert not (grown[:20_000] & ~kept).any()


def test_of_a_large_book_no_more_is_read_than_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ROWS", 500)
    days = [START + number * WEEK for number in range(3)]
    frames = [
        week(number, rows).frame.assign(snapshot_date=day)
        for number, (day, rows) in enumerate(zip(days, (400, 900, 2_000), strict=True))
    ]
    model = SimpleNamespace(target=SimpleNamespace(mart="mart"), catalogue=CATALOGUE)
    with duckdb.connect() as con:
        con.execute("create schema marts")
        con.register("book", pd.concat(frames).sample(frac=1, random_state=1))
        con.execute("create table marts.mart as select *, 1 as not_a_feature from book")
        read = _counted_frames(con, model, days)(days)
    assert set(read.columns) == {"snapshot_date", "customer_id", *CATALOGUE.names}
    for day, frame in zip(days, frames, strict=True):
        there = read[read["snapshot_date"] == pd.Timestamp(day)]
        assert list(there["customer_id"]) == list(frame["customer_id"][module._same_customers(frame["customer_id"])])


def test_a_reference_without_weeks_or_with_a_monday_twice_is_refused() -> None:
    with pytest.raises(InputError, match="no training week"):
        reference([])
    with pytest.raises(InputError, match="Monday twice"):
        reference([1, 2, 2])


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "damaged"), ("[]", "damaged"), ('{"format_version": 99}', "has format 99, and this version reads format 1")],
)
def test_a_file_that_is_no_reference_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Reference.from_json(text)


def test_shares_of_contributions_add_up_to_one_and_know_no_sign() -> None:
    shares = contribution_shares(["a", "b"], np.array([[1.0, -3.0], [-1.0, 3.0]]))
    assert shares == {"a": 0.25, "b": 0.75}
    assert contribution_shares(["a"], np.zeros((0, 1))) == {"a": 0.0}


def test_a_bin_includes_its_lower_cut_point() -> None:
    # Counts sit on the cut points: were they to fall below, the bins of a count would all be off by one.
    buckets = Buckets.learn(pd.Series([0, 1, 2, 3] * 25), numeric=True)
    assert buckets.edges == (0, 1, 2, 3)
    assert buckets.count(pd.Series([0, 1, 1, 2, 2, 2, 3])).tolist() == [0, 1, 2, 4, 0]
