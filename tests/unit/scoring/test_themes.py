"""Reasons: contributions by theme, in sentences that one can say aloud; and what each theme did to a probability in a week."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from churn_pipeline.core.settings import REPOSITORY
from churn_pipeline.core.targets import target_of
from churn_pipeline.core.themes import NEVER_A_REASON, PARTS, THEMES
from churn_pipeline.features.catalogue import Catalogue, Feature, read_catalogue
from churn_pipeline.features.catalogue import facts_of as facts_told
from churn_pipeline.features.sentences import MONTH_BEFORE, PEERS, VALUE, parse
from churn_pipeline.scoring import themes
from churn_pipeline.scoring.drivers import top_drivers
from churn_pipeline.scoring.peers import MIN_PEERS
from churn_pipeline.scoring.themes import (
    AND_YET,
    MIN_SHARE,
    TOP,
    Words,
    change_column,
    change_parts,
    reasons,
    standings_of,
    theme_sums,
)

CATALOGUE = read_catalogue(REPOSITORY / "dbt_project" / "models" / "marts" / f"{target_of('risk').mart}.yml")
MONDAY = date(2026, 11, 2)
# What the peers have. A customer of a test has it too where the test says nothing else.
USUAL = {
    "plan_tier": "starter",
    "known_plan_tier": "starter",
    "industry": "retail",
    "mrr": 900.0,
    "tenure_days": 400,
    "is_early_stage": False,
    "activated_at_30d": True,
    "avg_adoption_score": 0.63,
    "adoption_vs_peers": 0.0,
    "adoption_change": 0.0,
    "events_last_30d": 80,
    "events_last_14d": 40,
    "events_prior_30d": 80,
    "usage_change_30d": 1.0,
    "tickets_last_90d": 2,
    "critical_tickets_90d": 0,
    "oldest_open_ticket_days": None,
    "days_to_renewal": 200,
    "renewal_date": date(2027, 5, 21),
    "avg_resolution_hours": 28.0,
    "compliance_gap_score": 0.2,
}


def frame(*customers: dict[str, object], peers: int = 2 * MIN_PEERS) -> pd.DataFrame:
    """Customers of a test, and peers who have what is usual."""
    rows = [USUAL | customer for customer in (*customers, *[{}] * peers)]
    ids = [f"c{number:03d}" for number in range(len(rows))]
    return pd.DataFrame(rows).assign(customer_id=ids, snapshot_date=pd.Timestamp(MONDAY))


def contributions(rows: int, *customers: dict[str, float]) -> np.ndarray:
    values = np.zeros((rows, len(CATALOGUE)))
    for row, customer in enumerate(customers):
        for name, amount in customer.items():
            values[row, CATALOGUE.names.index(name)] = amount
    return values


def told_of(catalogue: Catalogue, data: pd.DataFrame, amounts: np.ndarray) -> list[list[dict[str, Any]]]:
    return reasons(catalogue, data, amounts).to_pylist()


def told(customer: dict[str, object], raising: dict[str, float], peers: int = 2 * MIN_PEERS) -> list[dict[str, Any]]:
    data = frame(customer, peers=peers)
    return told_of(CATALOGUE, data, contributions(len(data), raising))[0]


def sentences(customer: dict[str, object], raising: dict[str, float], peers: int = 2 * MIN_PEERS) -> list[str]:
    return [reason["sentence"] for reason in told(customer, raising, peers)]


@pytest.mark.parametrize(
    ("customer", "raising", "sentence"),
    [
        (
            {"avg_adoption_score": 0.31, "adoption_vs_peers": -0.32},
            {"adoption_vs_peers": 0.6, "avg_adoption_score": 0.5},
            "Uses little of the product: adoption 31 %, similar companies 63 %",
        ),
        (
            {"events_prior_30d": 184, "events_last_30d": 77, "usage_change_30d": 0.42},
            {"usage_change_30d": 0.4},
            "43 events a week in September, 18 now",
        ),
        (
            {"days_to_renewal": 65, "renewal_date": date(2027, 1, 6)},
            {"days_to_renewal": 0.4},
            "Renews in 65 days (6 Jan 2027)",
        ),
        (
            {"tickets_last_90d": 11, "critical_tickets_90d": 2, "oldest_open_ticket_days": 17},
            {"tickets_last_90d": 0.4},
            "11 tickets in 90 days (similar companies 2), 2 critical, one open for 17 days",
        ),
        ({"tickets_last_90d": 3}, {"tickets_last_90d": 0.4}, "3 tickets in 90 days (similar companies 2)"),
        (
            {"tickets_last_90d": 1},
            {"tickets_last_90d": 0.4},
            "1 ticket in 90 days (similar companies 2), and yet such customers leave more often",
        ),
        ({"days_to_renewal": None, "renewal_date": None}, {"days_to_renewal": 0.4}, "No contract on file"),
        ({"avg_adoption_score": None}, {"avg_adoption_score": 0.4}, "No use of features on record in 30 days"),
        (
            {"events_last_14d": 12},
            {"events_last_14d": 1},
            "Little activity: 12 events in 14 days, similar companies 40",
        ),
        # The contribution raises, and the value is that of everybody: no word of judgement, and no comparison that contradicts the reason.
        (
            {},
            {"events_last_14d": 1},
            "40 events in 14 days, similar companies 40, and yet such customers leave more often",
        ),
        (
            {"events_last_14d": 90},
            {"events_last_14d": 1},
            "90 events in 14 days, similar companies 40, and yet such customers leave more often",
        ),
        ({"events_last_14d": 39}, {"events_last_14d": 1}, "39 events in 14 days, similar companies 40"),
        (
            {"usage_change_30d": 1.2, "events_prior_30d": 66},
            {"usage_change_30d": 1},
            "15 events a week in September, 19 now, and yet such customers leave more often",
        ),
        ({"mrr": 950.0}, {"mrr": 1}, "On the starter plan, pays $950 a month, similar companies $900"),
        ({"tenure_days": 410}, {"tenure_days": 1}, "Customer for 13 months, similar companies 13 months"),
        (
            {"tenure_days": 44},
            {"tenure_days": 1},
            "A recent customer: 44 days since signup, similar companies 13 months",
        ),
        ({"total_events": 157}, {"total_events": 1}, "157 events since signup 13 months ago"),
        ({"plan_tier": "free", "mrr": 0.0}, {"plan_tier": 1}, "On the free plan"),
        (
            {"tenure_days": 44, "is_early_stage": True},
            {"is_early_stage": 1},
            "In the first 90 days: signed up 44 days ago",
        ),
    ],
)
def test_a_reason_is_a_sentence_with_units_and_a_comparison(
    customer: dict[str, object], raising: dict[str, float], sentence: str
) -> None:
    assert sentences(customer, raising) == [sentence]


def test_the_second_fact_is_evidence_and_a_weak_one_is_not() -> None:
    customer = {"events_last_14d": 12, "usage_change_7d": 0.41, "events_last_7d": 4, "events_prior_21d": 30}
    data = frame(customer)
    data["usage_change_7d"] = [0.41, *[1.0] * (len(data) - 1)]
    strong = told_of(CATALOGUE, data, contributions(len(data), {"events_last_14d": 1, "usage_change_7d": 0.5}))[0][0]
    assert strong["sentence"].endswith(
        "similar companies 40; last week down 59 % on the average of the three weeks before"
    )
    assert strong["features"] == ["events_last_14d", "usage_change_7d"]
    weak = told_of(CATALOGUE, data, contributions(len(data), {"events_last_14d": 1, "usage_change_7d": 0.1}))[0][0]
    assert weak["sentence"].endswith("similar companies 40")
    assert weak["features"] == ["events_last_14d"]


def test_the_largest_member_speaks_and_one_that_has_no_word_for_its_case_leaves_it_to_the_next() -> None:
    raising = {"avg_resolution_hours": 0.5, "tickets_last_90d": 0.3}
    slow, fast = {"avg_resolution_hours": 60.0}, {"avg_resolution_hours": 4.0}
    assert sentences(slow, raising)[0].startswith("Has waited long for answers: 60 hours")
    assert sentences(fast | {"tickets_last_90d": 3}, raising) == ["3 tickets in 90 days (similar companies 2)"]
    # And where nobody else has one, the value is said without a judgement.
    assert sentences(fast, {"avg_resolution_hours": 0.5})[0].startswith("Tickets took 4 hours to resolve on average")


def test_what_speaks_for_the_customer_is_a_reason_only_where_the_theme_has_nothing_worse_and_says_so() -> None:
    raising = {"avg_resolution_hours": 0.5, "tickets_last_90d": 0.3}
    # Twenty-four hours where others wait for twenty-eight is no reason while there is another.
    quick = {"avg_resolution_hours": 24.0}
    assert sentences(quick | {"tickets_last_90d": 3}, raising) == ["3 tickets in 90 days (similar companies 2)"]
    assert sentences(quick, raising) == [
        "Tickets took 24 hours to resolve on average, similar companies 28 hours, and yet such customers leave more often"
    ]
    # What reads the same is the same.
    assert sentences({"avg_resolution_hours": 28.3}, raising)[0].endswith(AND_YET)
    assert not sentences({"avg_resolution_hours": 29.3}, raising)[0].endswith(AND_YET)
    # With nobody to compare with nothing is contradicted.
    assert sentences(quick, {"avg_resolution_hours": 0.5}, peers=1) == ["Tickets took 24 hours to resolve on average"]


@settings(max_examples=20, deadline=None)
@given(arrays(np.float64, (60, len(CATALOGUE)), elements=st.floats(-2, 2)), st.integers(0, 2**32 - 1))
def test_no_reason_is_contradicted_by_its_own_comparison(amounts: np.ndarray, seed: int) -> None:
    data = anything(len(amounts), seed).assign(known_plan_tier="growth")
    words = Words(CATALOGUE, data)
    for row, of_row in enumerate(told_of(CATALOGUE, data, amounts)):
        for reason in of_row:
            told_by = CATALOGUE[CATALOGUE[reason["features"][0]].like or reason["features"][0]]
            if told_by.worse is None or told_by.dtype != "numeric" or (value := data[told_by.name][row]) is None:
                assert AND_YET not in reason["sentence"] or told_by.worse is not None
                continue
            has_peers = "{peers}" in str(told_by.says)
            standing = words.standing[told_by.name]
            limit = standing.medians[standing.group[row]] if has_peers else 1.0 if told_by.format == "percent" else 0.0
            # Clearly on the better side, or on the worse one; what lies between reads the same.
            better = float(value) - limit if told_by.worse == "below" else limit - float(value)
            if abs(better) > (0.02 if told_by.format in ("percent", "points") else 1):
                assert (AND_YET in reason["sentence"]) == (better > 0), reason


def test_two_numbers_that_read_the_same_are_no_fall() -> None:
    # 15 after 46 / 3 = 15.3 a week.
    customer = {"events_last_7d": 15, "events_prior_21d": 46, "usage_change_7d": 16 / 16.3, "events_last_14d": 39}
    data = frame(customer).assign(events_prior_21d=46)
    data["usage_change_7d"] = [customer["usage_change_7d"], *[1.0] * (len(data) - 1)]
    data["events_last_7d"] = 15
    amounts = contributions(len(data), {"usage_change_7d": 1.0, "events_last_14d": 0.5})
    assert told_of(CATALOGUE, data, amounts)[0][0]["sentence"] == "39 events in 14 days, similar companies 40"
    amounts = contributions(len(data), {"usage_change_7d": 1.0})
    assert told_of(CATALOGUE, data, amounts)[0][0]["sentence"] == (
        f"15 events last week after 15 events a week in the three weeks before{AND_YET}"
    )


def test_last_week_is_told_once() -> None:
    customer = {"events_last_7d": 0, "events_prior_21d": 60, "usage_change_7d": 0.05, "days_since_last_event": 15}
    data = frame(customer)
    for name, usual in (("events_last_7d", 20), ("usage_change_7d", 1.0), ("days_since_last_event", 1)):
        data[name] = [customer[name], *[usual] * (len(data) - 1)]
    data["events_prior_21d"] = 60
    raising = {"events_last_7d": 1.0, "usage_change_7d": 0.9, "days_since_last_event": 0.8}
    said = told_of(CATALOGUE, data, contributions(len(data), raising))[0][0]["sentence"]
    assert said == "Little activity: no events in 7 days, similar companies 20"
    raising = {"usage_change_7d": 1.0, "days_since_last_event": 0.8}
    said = told_of(CATALOGUE, data, contributions(len(data), raising))[0][0]["sentence"]
    assert said == "No events last week after 20 events a week in the three weeks before"


def test_a_lowering_member_is_no_reason_within_a_theme_that_raises() -> None:
    reason = told({"tickets_last_90d": 11}, {"tickets_last_90d": -0.2, "avg_resolution_hours": 0.5})[0]
    assert reason["features"] == ["avg_resolution_hours"]
    assert reason["contribution"] == pytest.approx(0.3)


def test_shares_are_of_what_raises_and_a_theme_of_next_to_nothing_is_left_out() -> None:
    raising = {
        "days_to_renewal": 0.6,
        "tickets_last_90d": 0.3,
        "mrr": 0.1,
        "compliance_gap_score": -0.7,
        "industry": 9.0,
    }
    assert [(r["theme"], round(r["share"], 3)) for r in told({}, raising)] == [
        ("contract", 0.6),
        ("support", 0.3),
        ("plan", 0.1),
    ]
    assert [r["theme"] for r in told({}, {"days_to_renewal": 1.0, "mrr": 0.9 * MIN_SHARE})] == ["contract"]


def test_what_is_not_known_of_two_themes_is_not_said_in_the_same_words_twice() -> None:
    said = sentences({}, {"events_last_7d": 1.0, "event_types_last_30d": 0.5})
    assert said == ["No usage on record", "Kinds of activity in the last 30 days: not known"]


def test_season_and_market_are_never_a_reason() -> None:
    assert told({}, {"industry": 3.0, "peer_usage_7d": 1.0, "peer_usage_30d": 1.0}) == []


def test_where_the_plan_has_too_few_customers_the_comparison_is_with_all_and_with_too_few_in_all_with_nobody() -> None:
    customer = {"plan_tier": "growth", "known_plan_tier": "growth", "events_last_14d": 12}
    assert sentences(customer, {"events_last_14d": 1}) == ["Little activity: 12 events in 14 days, other customers 40"]
    assert sentences(customer, {"events_last_14d": 1}, peers=MIN_PEERS - 2) == ["12 events in 14 days"]


def test_the_comparison_is_with_the_same_plan() -> None:
    large = [{"known_plan_tier": "enterprise", "events_last_14d": 400}] * MIN_PEERS
    data = frame({"known_plan_tier": "enterprise", "events_last_14d": 100}, *large)
    said = told_of(CATALOGUE, data, contributions(len(data), {"events_last_14d": 1}))[0][0]["sentence"]
    assert said == "Little activity: 100 events in 14 days, similar companies 400"


def test_an_old_version_speaks_of_themes_in_todays_words_and_of_drivers_in_its_own() -> None:
    entry = json.loads(Catalogue("m", (CATALOGUE["avg_adoption_score"],)).to_json())["features"][0]
    for key in ("theme", "fact", "says", "also"):
        entry.pop(key, None)
    entry |= {"format": "score", "raises": "Feature adoption of {value}", "lowers": "Feature adoption of {value}"}
    gone = entry | {"name": "gone", "label": "Gone"}
    old = Catalogue.from_json(json.dumps({"mart": CATALOGUE.mart, "features": [entry, gone]}))
    data = frame({"avg_adoption_score": 0.31})
    amounts = np.full((len(data), 2), 0.5)
    assert top_drivers(old, data, amounts).to_pylist()[0][0]["sentence"] == "Feature adoption of 0.31"
    themed = told_of(old.with_themes(CATALOGUE), data, amounts)[0]
    assert [(r["sentence"], r["share"]) for r in themed] == [
        ("Uses little of the product: adoption 31 %, similar companies 63 %", 1.0)
    ]


def test_a_stored_sentence_about_a_column_that_is_no_more_gives_way_to_one_that_can_be_said() -> None:
    data = frame({"days_to_renewal": 44}).drop(columns="renewal_date")
    said = told_of(CATALOGUE, data, contributions(len(data), {"days_to_renewal": 1}))[0][0]["sentence"]
    assert said == "Days to renewal: 44 days"


def test_a_column_that_a_sentence_named_is_not_named_by_its_evidence_again() -> None:
    def feature(name: str, **words: object) -> Feature:
        return Feature(name, "numeric", name, "count", "r", "l", theme="usage", **words)  # type: ignore[arg-type]

    catalogue = Catalogue(
        "m",
        (
            feature("x", says={"any": "{value} of {z}"}),
            feature("y", also={"any": "{z} again"}),
            feature("z", also={"any": "z is {value}"}),
            feature("w", also={"any": "w is {value}[, {z} again]"}),
        ),
    )
    data = pd.DataFrame({"customer_id": ["a"], "snapshot_date": [pd.Timestamp(MONDAY)]} | dict.fromkeys("xyzw", 3.0))
    said = told_of(catalogue, data, np.array([[1.0, 0.9, 0.8, 0.7]]))[0][0]
    assert (said["sentence"], said["features"]) == ("3 of 3; w is 3", ["x", "w"])


def test_the_same_words_are_not_said_twice_of_a_customer_although_they_tell_two_facts() -> None:
    def feature(name: str, theme: str, **words: object) -> Feature:
        return Feature(name, "numeric", name.upper(), "count", "r", "l", theme=theme, **words)  # type: ignore[arg-type]

    catalogue = Catalogue(
        "m",
        (
            feature("x", "usage", says={"any": "{value} of them"}),
            feature("y", "support", says={"any": "{value} of them"}),
            feature("more", "support", also={"any": "{value} of them"}),
        ),
    )
    days = [pd.Timestamp(MONDAY)] * 3
    data = pd.DataFrame({"customer_id": list("abc"), "snapshot_date": days, "x": [3.0] * 3})
    data["y"], data["more"] = [3.0, 4.0, 4.0], [8.0, 3.0, 8.0]
    said = told_of(catalogue, data, np.array([[1.0, 0.5, 0.4]] * 3))
    assert [[reason["sentence"] for reason in of_row] for of_row in said] == [
        ["3 of them", "Y: 3; 8 of them"],
        ["3 of them", "4 of them"],
        ["3 of them", "4 of them; 8 of them"],
    ]


def test_a_label_with_braces_is_no_template() -> None:
    odd = Catalogue("m", (Feature("x", "numeric", "Rate {of} [x]", "count", "r", "l", theme="usage"),))
    data = pd.DataFrame({"customer_id": ["a"], "snapshot_date": [pd.Timestamp(MONDAY)], "x": [3.0]})
    assert told_of(odd, data, np.ones((1, 1)))[0][0]["sentence"] == "Rate of x: 3"


@settings(max_examples=8, deadline=None)
@given(arrays(np.float64, (60, len(CATALOGUE)), elements=st.floats(-2, 2)), st.integers(0, 2**32 - 1))
def test_everybody_at_once_is_told_what_each_is_told_alone(amounts: np.ndarray, seed: int) -> None:
    data = anything(len(amounts), seed)
    at_once = told_of(CATALOGUE, data, amounts)
    joined = themes._joined

    def all_again(*arguments: Any) -> Any:
        sentences, is_repeated = joined(*arguments)
        return sentences, np.ones_like(is_repeated)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(themes, "_joined", all_again)
        assert told_of(CATALOGUE, data, amounts) == at_once
    # And a part of them like the whole, as they stand among all.
    standing = {name: of_all.of(slice(20, 40)) for name, of_all in standings_of(CATALOGUE, data).items()}
    assert reasons(CATALOGUE, data[20:40], amounts[20:40], standing).to_pylist() == at_once[20:40]


@settings(max_examples=20, deadline=None)
@given(arrays(np.float64, (8, len(CATALOGUE)), elements=st.floats(-2, 2)), st.integers(0, 2**32 - 1))
def test_at_most_three_themes_that_raise_in_order_and_no_fact_twice(amounts: np.ndarray, seed: int) -> None:
    data = anything(len(amounts), seed)
    words = Words(CATALOGUE, data)
    sums = theme_sums(CATALOGUE, amounts)
    for row, of_row in enumerate(told_of(CATALOGUE, data, amounts)):
        raising = {t: float(v[row]) for t, v in sums.items() if t not in NEVER_A_REASON and v[row] > 0}
        assert len(of_row) <= TOP
        assert [r["contribution"] for r in of_row] == sorted((r["contribution"] for r in of_row), reverse=True)
        facts: list[str] = []
        for reason in of_row:
            assert reason["theme"] not in NEVER_A_REASON
            assert reason["contribution"] == pytest.approx(raising[reason["theme"]])
            assert reason["share"] == pytest.approx(raising[reason["theme"]] / sum(raising.values()))
            assert reason["label"] == THEMES[reason["theme"]]
            for place, name in enumerate(reason["features"]):
                assert CATALOGUE[name].theme == reason["theme"]
                assert amounts[row, CATALOGUE.names.index(name)] > 0
                facts += facts_of(words, name, row, also=place > 0)
        assert len(facts) == len(set(facts))
        # The largest theme is not lost for want of words.
        assert bool(of_row) == bool(raising)


def facts_of(words: Words, name: str, row: int, *, also: bool) -> set[str]:
    """What the sentence of a feature has to tell: its fact and those of the columns that it names outside of brackets."""
    position = words.names.index(name)
    feature = CATALOGUE[CATALOGUE[name].like or name]
    templates = (feature.also if also else feature.says) or {}
    case = (
        "no" if feature.dtype == "boolean" else "below",
        "about",
        "yes" if feature.dtype == "boolean" else "above",
        "unknown",
    )[words.case[position][row]]
    text = templates.get(case) or (templates.get("any") if case != "unknown" else None) or ""
    named = {
        piece.name
        for segment in parse(text).segments
        if not segment.optional
        for piece in segment.pieces
        if not isinstance(piece, str) and piece.name not in (VALUE, PEERS, MONTH_BEFORE)
    }
    columns = CATALOGUE.tellable
    return {*facts_told(feature), *(fact for column in named for fact in facts_told(columns[column]))}


def anything(rows: int, seed: int) -> pd.DataFrame:
    """Customers with any values, some of them unknown."""
    random = np.random.default_rng(seed)
    data = {"customer_id": [f"c{n}" for n in range(rows)], "snapshot_date": [pd.Timestamp(MONDAY)] * rows}
    for column in CATALOGUE.tellable.values():
        match column.format:
            case "category":
                values = random.choice(["starter", "growth"], rows).astype(object)
            case "boolean":
                values = (random.random(rows) < 0.5).astype(object)
            case "date":
                values = np.array([pd.Timestamp(MONDAY)] * rows, dtype=object)
            case "percent" | "points":
                values = (random.random(rows) - 0.2).astype(object)
            case _:
                values = random.integers(0, 300, rows).astype(object)
        values[random.random(rows) < 0.2] = None
        data[column.name] = values
    return pd.DataFrame(data)


WEEKS = arrays(np.float64, (2, 6, len(CATALOGUE)), elements=st.floats(-1.5, 1.5))


@given(WEEKS, st.floats(-6, 3), arrays(np.float64, 6, elements=st.floats(0, 1)))
def test_the_parts_of_a_change_add_up_to_it(weeks: np.ndarray, bias: float, raised: np.ndarray) -> None:
    before, now = weeks
    p0, p1 = (1 / (1 + np.exp(-(bias + week.sum(axis=1)))) for week in weeks)
    parts = change_parts(CATALOGUE, now, before, bias, raised)
    assert set(parts) <= set(PARTS)
    np.testing.assert_allclose(sum(parts.values()), p1 + raised - p0, atol=1e-9)


@given(WEEKS, st.floats(-6, 3))
def test_each_theme_has_the_sign_of_what_it_did(weeks: np.ndarray, bias: float) -> None:
    before, now = weeks
    parts = change_parts(CATALOGUE, now, before, bias, np.zeros(6))
    for theme, moved in theme_sums(CATALOGUE, now - before).items():
        assert (parts[str(theme)] * moved >= 0).all()


def test_themes_that_cancel_out_have_parts_all_the_same() -> None:
    before = contributions(1, {})
    now = contributions(1, {"days_to_renewal": 0.5, "mrr": -0.5})
    parts = change_parts(CATALOGUE, now, before, 0.0, np.zeros(1))
    assert parts["contract"][0] == pytest.approx(0.125)
    assert parts["plan"][0] == pytest.approx(-0.125)


def test_the_column_holds_what_moved_the_largest_first_and_null_for_whom_there_was_no_monday_before() -> None:
    parts = {"usage": np.array([0.02, 0.0]), "contract": np.array([-0.05, 0.0]), "raise": np.array([0.0, 0.01])}
    column = change_column(parts, np.array([True, False, True])).to_pylist()
    assert column == [
        [
            {"part": "contract", "label": "Contract", "points": -0.05},
            {"part": "usage", "label": "Usage", "points": 0.02},
        ],
        None,
        [{"part": "raise", "label": PARTS["raise"], "points": 0.01}],
    ]


def test_what_nobody_has_given_a_theme_is_a_part_of_the_change_and_no_reason() -> None:
    unthemed = Catalogue("m", (Feature("x", "numeric", "X", "count", "r", "l"),))
    data = pd.DataFrame({"customer_id": ["a"], "snapshot_date": [pd.Timestamp(MONDAY)], "x": [3.0]})
    assert told_of(unthemed, data, np.ones((1, 1))) == [[]]
    parts = change_parts(unthemed, np.ones((1, 1)), np.zeros((1, 1)), 0.0, np.zeros(1))
    assert parts["other"][0] == pytest.approx(1 / (1 + np.exp(-1)) - 0.5)
