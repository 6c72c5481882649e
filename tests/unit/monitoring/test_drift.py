"""Verdicts about one Monday: what is found, and what is let pass."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date, timedelta
from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn_pipeline.core.calendar import WEEK
from churn_pipeline.features.catalogue import Catalogue, Feature
from churn_pipeline.features.splits import Span
from churn_pipeline.modeling.reference import FeatureWeek, Reference, build_reference, training_mondays
from churn_pipeline.monitoring.drift import (
    ACT_SCORE,
    MIN_WEEKS,
    SEASON_MARGIN,
    DriftReport,
    FeatureDrift,
    assess,
    limit_of,
    worst,
)

START = date(2024, 1, 1)
ROWS = 800
TRAINED = 80
# Far from any season of the company below, a horizon and a bit after the last training week.
CALM = 97
CHRISTMAS = next(n for n in range(TRAINED, 120) if (START + n * WEEK).month == 12 and (START + n * WEEK).day >= 25)
SHARES = {"events_7d": 0.30, "adoption": 0.30, "plan_tier": 0.02, "tenure_days": 0.20, "orders": 0.18}

type Shock = Callable[[pd.DataFrame], pd.DataFrame]


def catalogue() -> Catalogue:
    def feature(name: str, *, cumulative: bool = False) -> Feature:
        kind = "categorical" if name == "plan_tier" else "numeric"
        form = "category" if name == "plan_tier" else "count"
        return Feature(name, kind, name, form, "{value}", "{value}", cumulative=cumulative)

    return Catalogue("mart", tuple(feature(name, cumulative=name == "tenure_days") for name in SHARES))


def monday(number: int) -> date:
    return START + number * WEEK


@cache
def frame(number: int) -> pd.DataFrame:
    """A company that grows older, orders a little more every week, and is quiet at Christmas."""
    traits = np.random.default_rng(0)
    level, health = traits.lognormal(3, 0.4, ROWS), traits.standard_normal(ROWS)
    tier = traits.choice(["free", "growth", "enterprise"], ROWS, p=[0.2, 0.5, 0.3])
    age, trend = traits.exponential(400, ROWS), traits.lognormal(3, 0.5, ROWS)
    rng = np.random.default_rng(1_000 + number)
    day = monday(number)
    quiet = 0.5 if (day.month, day.day) >= (12, 25) or (day.month == 1 and day.day <= 4) else 1.0
    return pd.DataFrame(
        {
            "customer_id": [f"C{row:05d}" for row in range(ROWS)],
            "plan_tier": tier,
            "events_7d": rng.poisson(level * quiet),
            "adoption": 0.5 + 0.1 * health + 0.03 * rng.standard_normal(ROWS),
            "tenure_days": age.round() + 7 * number,
            "orders": trend * np.exp(0.004 * number + 0.1 * rng.standard_normal(ROWS)),
        }
    )


def week(number: int, shock: Shock | None = None, shares: Mapping[str, float] | None = None) -> FeatureWeek:
    rows = frame(number)
    if shock:
        rows = shock(rows.copy())
    risk = 1 / (1 + np.exp(2 + 8 * (rows["adoption"].fillna(0.5) - 0.5) - 0.02 * (20 - rows["events_7d"])))
    return FeatureWeek(monday(number), rows, risk.to_numpy(), SHARES if shares is None else shares)


@cache
def reference(first: int = 0, last: int = TRAINED) -> Reference:
    return build_reference("churn_90d", monday(last + 13), catalogue(), map(week, range(first, last)), SHARES)


def judge(number: int, shock: Shock | None = None, before: Shock | None = None, **more: object) -> DriftReport:
    return assess(reference(**more), week(number, shock), week(number - 1, before))


def of(report: DriftReport, name: str) -> FeatureDrift:
    return next(feature for feature in report.features if feature.name == name)


def scaled(column: str, factor: float) -> Shock:
    return lambda rows: rows.assign(**{column: rows[column] * factor})


def downgraded(share: float) -> Shock:
    def shock(rows: pd.DataFrame) -> pd.DataFrame:
        moved = (np.arange(len(rows)) < share * len(rows)) & (rows["plan_tier"] != "free")
        return rows.assign(plan_tier=rows["plan_tier"].mask(moved, "free"))

    return shock


def test_undisturbed_mondays_are_left_alone_while_the_company_grows_and_ages() -> None:
    reports = [judge(number) for number in range(93, 133)]
    assert [str(report.snapshot_date) for report in reports if report.verdict == "act"] == []
    assert max(report.score for report in reports) < ACT_SCORE / 2


@pytest.mark.parametrize(
    ("shock", "culprit"),
    [
        (scaled("events_7d", 0.6), "events_7d"),
        (scaled("adoption", 0.8), "adoption"),
        (downgraded(0.5), "plan_tier"),
        (lambda rows: rows.assign(adoption=rows["adoption"].mask(np.arange(len(rows)) % 4 == 0)), "adoption"),
        (lambda rows: rows.drop(columns="events_7d").assign(events_7d=np.nan), "events_7d"),
    ],
)
def test_a_break_is_act_on_its_first_monday_and_named(shock: Shock, culprit: str) -> None:
    report = judge(CALM, shock)
    assert report.verdict == "act"
    assert of(report, culprit).verdict == "act"
    assert any(culprit in reason for reason in report.reasons)


def test_a_break_is_still_seen_against_the_training_weeks_when_last_week_is_broken_too() -> None:
    broken = scaled("adoption", 0.8)
    report = judge(CALM, broken, before=broken)
    assert of(report, "adoption").week.ratio < 1
    assert report.verdict == "act"


def test_without_last_week_only_the_training_weeks_are_asked() -> None:
    report = assess(reference(), week(CALM), None)
    assert np.isnan(of(report, "events_7d").week.value)
    assert report.verdict == "none"
    assert assess(reference(), week(CALM), week(CALM - 2)).to_rows() == report.to_rows()


def test_a_cumulative_feature_informs_and_never_votes() -> None:
    report = judge(CALM, scaled("tenure_days", 4))
    tenure = of(report, "tenure_days")
    assert (tenure.verdict, tenure.votes, tenure.points) == ("act", False, 0.0)
    assert report.verdict == "none"


def test_a_trend_of_the_training_weeks_goes_on_and_a_jump_of_its_size_is_no_trend() -> None:
    ahead = of(judge(CALM), "orders")
    assert ahead.reference.ratio < 1
    assert of(judge(TRAINED + 60), "orders").reference.limit > 1.5 * ahead.reference.limit
    assert of(judge(CALM, scaled("orders", 1.35)), "orders").verdict == "act"


def test_christmas_is_known_from_the_year_before() -> None:
    report = judge(CHRISTMAS)
    events = of(report, "events_7d")
    calm_limit = of(judge(CALM), "events_7d").week.limit
    assert events.week.value > calm_limit
    assert events.week.limit > calm_limit
    assert report.verdict != "act"


def test_at_a_time_of_year_that_training_never_saw_it_is_watch_and_says_why() -> None:
    short = assess(reference(first=55), week(CALM, scaled("adoption", 0.5)), week(CALM - 1))
    assert short.verdict == "unknown"
    assert "not judged" in short.reasons[0]
    young = assess(reference(first=40), week(CHRISTMAS - 8, scaled("adoption", 0.5)), week(CHRISTMAS - 9))
    assert young.verdict == "watch"
    assert "no training week lies at this time of year" in young.reasons[0]


def test_a_feature_that_hardly_matters_cannot_act_alone_however_broken() -> None:
    light = replace(reference().profiles["plan_tier"], share=0.004)
    reweighted = replace(reference(), profiles=dict(reference().profiles) | {"plan_tier": light})
    report = assess(reweighted, week(CALM, downgraded(1.0)), week(CALM - 1))
    assert of(report, "plan_tier").verdict == "act"
    assert report.verdict == "watch"


def test_a_shift_of_the_prediction_alone_is_act() -> None:
    now = week(CALM)
    report = assess(reference(), replace(now, prediction=np.minimum(2 * now.prediction, 0.99)), week(CALM - 1))
    assert report.score == 0
    assert (report.prediction.verdict, report.verdict) == ("act", "act")
    assert "the prediction against" in report.reasons[0]


def test_a_share_of_shap_that_changed_is_watched_and_never_acts() -> None:
    moved = {**SHARES, "events_7d": 0.55, "adoption": 0.05}
    report = assess(reference(), week(CALM, shares=moved), week(CALM - 1))
    events = of(report, "events_7d")
    assert (events.verdict, events.points, report.verdict) == ("watch", 0.0, "none")
    assert events.moved.value == pytest.approx(0.25)


def test_too_few_customers_are_not_judged() -> None:
    report = assess(reference(), week(CALM, lambda rows: rows.iloc[:150].assign(adoption=0.0)), week(CALM - 1))
    assert report.verdict == "unknown"
    assert report.reasons == ("not judged: 150 customers, 200 are needed",)
    assert {feature.verdict for feature in report.features} == {"none"}


def test_the_drill_down_names_the_tier_in_which_it_happened() -> None:
    def shock(rows: pd.DataFrame) -> pd.DataFrame:
        return rows.assign(adoption=rows["adoption"].mask(rows["plan_tier"] == "enterprise", rows["adoption"] * 0.6))

    tiers = of(judge(CALM, shock), "adoption").tiers
    assert {name: tier_drift.verdict for name, tier_drift in tiers.items()} == {
        "enterprise": "act",
        "free": "none",
        "growth": "none",
    }


def test_a_missing_share_and_values_out_of_range_are_reported() -> None:
    def shock(rows: pd.DataFrame) -> pd.DataFrame:
        position = np.arange(len(rows))
        return rows.assign(adoption=rows["adoption"].mask(position < 80).mask(position >= 720, 9.0))

    adoption = of(judge(CALM, shock), "adoption")
    assert (adoption.missing_share, adoption.missing_share_reference) == (0.1, 0.0)
    assert adoption.out_of_range_share == pytest.approx(0.1)


def test_a_report_becomes_rows_that_hold_no_nan() -> None:
    rows = assess(reference(), week(CALM), None).to_rows()
    assert {row["plan_tier"] for row in rows} == {"all", "free", "growth", "enterprise"}
    assert [row["feature"] for row in rows if row["plan_tier"] == "all"] == [*SHARES, "prediction"]
    assert all(value == value for row in rows for value in row.values())
    assert len({tuple(row) for row in rows}) == 1


def test_the_same_monday_gives_the_same_report_and_so_does_the_stored_reference() -> None:
    stored = Reference.from_json(reference().to_json())
    shock = scaled("events_7d", 0.8)
    first, second = (assess(stored, week(CALM, shock), week(CALM - 1)).to_rows() for _ in range(2))
    assert first == second
    live = judge(CALM, shock).to_rows()
    assert [row["verdict"] for row in live] == [row["verdict"] for row in first]


@given(st.permutations(range(ROWS)))
@settings(max_examples=10)
def test_the_order_of_the_customers_does_not_matter(order: list[int]) -> None:
    now = week(CALM)
    mixed = replace(now, frame=now.frame.iloc[order], prediction=now.prediction[order])
    assert assess(reference(), mixed, week(CALM - 1)).to_rows() == judge(CALM).to_rows()


weekly = [monday(number) for number in range(60)]


def test_a_limit_needs_a_dozen_weeks() -> None:
    values = [0.01] * (MIN_WEEKS - 1) + [float("nan")] * (60 - MIN_WEEKS + 1)
    assert np.isnan(limit_of(values, weekly, None, monday(70), 0, 0.002))
    values[-1] = 0.01
    assert limit_of(values, weekly, None, monday(70), 0, 0.002) > 0.01


def test_one_wild_week_hardly_moves_a_limit_except_at_its_own_time_of_year() -> None:
    rng = np.random.default_rng(3)
    values = 0.01 * rng.lognormal(0, 0.5, 60)
    calm = limit_of(values, weekly, None, monday(90), 0, 0.002)
    values[20] = 0.8
    assert limit_of(values, weekly, None, monday(90), 0, 0.002) == pytest.approx(calm, rel=0.15)
    assert limit_of(values, weekly, None, monday(20 + 52), 0, 0.002) == pytest.approx(SEASON_MARGIN * 0.8)


def test_what_was_wild_in_one_of_two_years_is_no_season() -> None:
    weeks = [monday(number) for number in range(120)]
    values = np.full(120, 0.01)
    values[20] = 0.8
    assert limit_of(values, weeks, None, monday(20 + 104), 0, 0.002) < 0.1
    values[20 + 52] = 0.5
    assert limit_of(values, weeks, None, monday(20 + 104), 0, 0.002) == pytest.approx(SEASON_MARGIN * 0.5)


@given(st.floats(1e-4, 1.0), st.floats(2.0, 5.0))
@settings(max_examples=30)
def test_a_limit_is_in_the_unit_of_its_values_and_grows_with_distance(level: float, factor: float) -> None:
    rng = np.random.default_rng(5)
    distance = np.linspace(5, 30, 60)
    values = level * (1 + (distance / 10) ** 2) * rng.lognormal(0, 0.4, 60)
    near, far = (limit_of(values, weekly, distance, monday(70), ahead, 0.0) for ahead in (30, 60))
    assert far > 2 * near
    assert limit_of(factor * values, weekly, distance, monday(70), 30, 0.0) == pytest.approx(factor * near, rel=1e-6)


def test_the_worst_verdict_counts() -> None:
    assert worst(["none", "act", "watch"]) == "act"
    assert worst(["none", "watch"]) == "watch"
    assert worst([]) == "unknown"


def test_the_weeks_of_a_reference_are_the_mondays_of_the_slices() -> None:
    spans = (Span(monday(0), monday(3)), Span(monday(8), monday(9)))
    assert training_mondays(*spans, first=monday(1)) == [monday(n) for n in (1, 2, 3, 8, 9)]


def test_ten_thousand_customers_and_45_features_take_less_than_a_second() -> None:
    rng = np.random.default_rng(2)
    names = [f"feature_{number:02d}" for number in range(45)]
    many = Catalogue("mart", tuple(Feature(n, "numeric", n, "count", "{value}", "{value}") for n in names))

    def big(number: int, rows: int) -> FeatureWeek:
        columns = {name: rng.gamma(2, 10, rows) for name in names}
        ids = [f"C{row:06d}" for row in range(rows)]
        book = pd.DataFrame({"customer_id": ids, "plan_tier": rng.choice(list("abcde"), rows), **columns})
        return FeatureWeek(START + timedelta(days=7 * number), book, rng.random(rows))

    built = build_reference("churn_90d", monday(40), many, (big(n, 400) for n in range(40)), dict.fromkeys(names, 1.0))
    now, before = big(60, 10_000), big(59, 10_000)
    began = time.perf_counter()
    assess(built, now, before)
    took = time.perf_counter() - began
    print(f"{took:.2f} s, reference {len(built.to_json()) / 1000:.0f} kB")
    assert took < 1.0
