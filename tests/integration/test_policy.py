"""The business rules, worked out again in Python from the table in the design, for every published row; and no personal data."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import duckdb
import pytest

from churn_pipeline.contract import TABLES
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.targets import TARGETS
from churn_pipeline.features.plan import MARTS
from tests.support.homes import query
from tests.support.policy import rows_that_their_policy_does_not_give

Row = dict[str, Any]

LADDER = ["free", "starter", "growth", "enterprise", "custom"]
MULTIPLIER = {"starter": 3.0, "growth": 5.0, "enterprise": 1.2}
PERSONAL = {(table.name, column.name) for table in TABLES.values() for column in table.raw if column.pii}


@pytest.fixture(scope="module")
def rows(scored_home: Settings) -> list[Row]:
    """Every prediction with the facts of its mart row that the risk score is made of."""
    with duckdb.connect(str(scored_home.warehouse), read_only=True) as con:
        cursor = con.execute(
            """
            select predictions.*, mart.events_last_7d, mart.events_prior_21d, mart.known_compliance_gap_score,
                   mart.known_vendor_risk_flags, mart.contract_term_days
            from policy.predictions inner join marts.mart_customer_churn_features as mart using (snapshot_date, customer_id)
            """
        )
        names = [column[0] for column in cursor.description]
        predictions = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        assert con.execute("select count(*) from policy.predictions").fetchone() == (len(predictions),)
    assert len(predictions) > 1_000
    return predictions


def tier(value: float) -> str:
    return "CRITICAL" if value >= 0.75 else "HIGH" if value >= 0.5 else "MEDIUM" if value >= 0.25 else "LOW"


def close(value: float | None, expected: float | None) -> bool:
    if value is None or expected is None:
        return value is expected
    return value == pytest.approx(expected, rel=1e-12, abs=1e-12)


def wrong(rows: list[Row], rule: Any) -> list[Row]:
    return [row for row in rows if not rule(row)]


def test_tiers_and_flag_follow_the_cut_offs_and_a_value_on_one_belongs_above(rows: list[Row]) -> None:
    # Whether anybody is so likely to leave as to be in the highest tier is up to the model; the risk score has somebody in each.
    assert len({row["risk_tier"] for row in rows}) >= 3
    assert {row[column] for row in rows for column in ("risk_tier", "risk_score_tier")} == {
        "LOW",
        "MEDIUM",
        "HIGH",
        "CRITICAL",
    }
    assert not wrong(rows, lambda row: row["risk_tier"] == tier(row["churn_probability_90d"]))
    assert not wrong(rows, lambda row: row["risk_score_tier"] == tier(row["risk_score"]))
    assert not wrong(rows, lambda row: row["is_flagged"] == (row["churn_probability_30d"] > 0.7))


def test_a_longer_window_is_never_less_probable(rows: list[Row]) -> None:
    assert not wrong(rows, lambda row: 0 < row["churn_probability_30d"] <= row["churn_probability_90d"] < 1)


def usage_decay(last_7: int, prior_21: int) -> float:
    if last_7 == 0 and prior_21 == 0:
        return 1.0
    if prior_21 == 0:
        return 0.0
    return 1 - min(1, 3 * last_7 / prior_21)


def test_the_risk_score_is_the_weighted_sum_of_the_parts_it_names(rows: list[Row]) -> None:
    def expected(row: Row) -> float:
        gap, flags = row["known_compliance_gap_score"] or 0, row["known_vendor_risk_flags"] or 0
        return 0.5 * usage_decay(row["events_last_7d"], row["events_prior_21d"]) + 0.35 * gap + 0.15 * min(flags / 5, 1)

    def basis(row: Row) -> list[str]:
        parts = {"compliance_gap": "known_compliance_gap_score", "vendor_flags": "known_vendor_risk_flags"}
        return ["usage_decay", *(part for part, column in parts.items() if row[column] is not None)]

    # Each edge of the rule is in the data, or the test would prove less than it says.
    edges = {(row["events_last_7d"] == 0, row["events_prior_21d"] == 0) for row in rows}
    assert len(edges) == 4
    assert {row["known_compliance_gap_score"] is None for row in rows} == {True, False}
    assert max(row["known_vendor_risk_flags"] or 0 for row in rows) > 5
    assert not wrong(rows, lambda row: close(row["risk_score"], expected(row)))
    assert not wrong(rows, lambda row: row["risk_score_basis"].split(" + ") == basis(row))


def test_revenue_is_twelve_months_and_at_risk_by_the_90_day_probability(rows: list[Row]) -> None:
    def annual(row: Row) -> float | None:
        return None if row["mrr"] is None else 12 * row["mrr"]

    def at_risk(row: Row) -> float | None:
        return None if row["mrr"] is None else 12 * row["mrr"] * row["churn_probability_90d"]

    assert not wrong(rows, lambda row: close(row["annual_revenue"], annual(row)))
    assert not wrong(rows, lambda row: close(row["revenue_at_risk"], at_risk(row)))


def test_priority_is_by_money_then_probability_then_id(rows: list[Row]) -> None:
    expected = sorted(
        rows, key=lambda row: (-(row["revenue_at_risk"] or 0), -row["churn_probability_90d"], row["customer_id"])
    )
    assert [row["priority_rank"] for row in expected] == list(range(1, len(rows) + 1))


def test_readiness_follows_its_cut_offs_and_the_highest_plan_has_none(rows: list[Row]) -> None:
    def readiness(row: Row) -> str | None:
        propensity = row["expansion_propensity"]
        if propensity is None:
            return None
        return "ready" if propensity >= 0.35 else "not_ready" if propensity >= 0.15 else "none"

    assert {row["expansion_readiness"] for row in rows} == {None, "none", "not_ready", "ready"}
    assert not wrong(rows, lambda row: row["expansion_readiness"] == readiness(row))
    assert not wrong(rows, lambda row: (row["expansion_propensity"] is None) == (row["plan_tier"] in ("custom", None)))


def test_the_uplift_is_that_of_the_next_plan_on_the_ladder(rows: list[Row]) -> None:
    def target(row: Row) -> str | None:
        plan = row["plan_tier"]
        return None if plan in ("custom", None) else LADDER[LADDER.index(plan) + 1]

    def uplift(row: Row) -> float | None:
        plan, propensity = row["plan_tier"], row["expansion_propensity"]
        if plan in ("custom", None):
            return 0.0
        if plan == "free":
            return 12 * 500 * propensity
        return None if row["mrr"] is None else 12 * row["mrr"] * (MULTIPLIER[plan] - 1) * propensity

    assert {row["plan_tier"] for row in rows} >= set(LADDER)
    assert not wrong(rows, lambda row: row["target_tier"] == target(row))
    assert not wrong(rows, lambda row: close(row["expected_arr_uplift"], uplift(row)))


def test_candidates_are_likely_to_grow_and_unlikely_to_leave_and_ranked_by_uplift(rows: list[Row]) -> None:
    def candidate(row: Row) -> bool:
        return (row["expansion_propensity"] or 0) >= 0.15 and row["churn_probability_90d"] < 0.5

    assert not wrong(rows, lambda row: row["is_expansion_candidate"] is candidate(row))
    chosen = sorted(
        (row for row in rows if candidate(row)),
        key=lambda row: (-(row["expected_arr_uplift"] or 0), -row["expansion_propensity"], row["customer_id"]),
    )
    assert [row["expansion_rank"] for row in chosen] == list(range(1, len(chosen) + 1))
    assert len(chosen) > 20
    assert not [row for row in rows if not candidate(row) and row["expansion_rank"] is not None]


def test_high_value_targets_have_the_uplift_and_the_propensity_or_are_free_and_certain(rows: list[Row]) -> None:
    def high_value(row: Row) -> bool:
        propensity, uplift = row["expansion_propensity"] or 0, row["expected_arr_uplift"] or 0
        return (uplift > 10_000 and propensity >= 0.5) or (row["plan_tier"] == "free" and propensity >= 0.75)

    assert any(row["is_high_value_target"] for row in rows)
    assert not wrong(rows, lambda row: row["is_high_value_target"] is high_value(row))


def test_the_segment_follows_the_two_probabilities(rows: list[Row]) -> None:
    names = {
        (True, True): "Flight Risk",
        (True, False): "Retention Priority",
        (False, True): "Growth Engine",
        (False, False): "Stable Base",
    }

    def segment(row: Row) -> str:
        return names[row["churn_probability_90d"] >= 0.5, (row["expansion_propensity"] or 0) >= 0.5]

    assert {row["segment"] for row in rows} >= {"Retention Priority", "Stable Base"}
    assert not wrong(rows, lambda row: row["segment"] == segment(row))


def test_the_lifecycle_is_onboarding_then_renewal_then_steady(rows: list[Row]) -> None:
    def lifecycle(row: Row) -> str:
        term, due = row["contract_term_days"], row["days_to_renewal"]
        if row["tenure_days"] < 60:
            return "onboarding"
        return "renewal" if term is not None and term >= 180 and due <= min(90, term / 4) else "steady"

    assert {row["lifecycle"] for row in rows} == {"onboarding", "renewal", "steady"}
    assert not wrong(rows, lambda row: row["lifecycle"] == lifecycle(row))


def money_band(row: Row) -> str | None:
    money = row["revenue_at_risk"]
    return None if money is None else "large" if money >= 50_000 else "middle" if money >= 5_000 else "small"


def test_the_call_list_is_the_first_of_those_who_pay_and_are_worth_a_call(rows: list[Row]) -> None:
    paying = [row for row in rows if row["annual_revenue"]]
    assert {row["churn_90d_model_kind"] for row in rows} <= {"trees", "logistic", "mean"}
    floor = min(0.15, sum(row["churn_probability_90d"] for row in paying) / len(paying))
    worth = [
        row
        for row in paying
        if (row["churn_probability_90d"] >= floor or row["lifecycle"] == "renewal")
        and row["snoozed_until"] is None
        and row["resting_until"] is None
        and not row["is_holdout"]
    ]
    expected = sorted(
        worth, key=lambda row: (-row["revenue_at_risk"], -row["churn_probability_90d"], row["customer_id"])
    )[:200]
    listed = sorted((row for row in rows if row["is_on_call_list"]), key=lambda row: row["call_rank"])
    assert len(worth) > len(listed) == 200
    assert [row["customer_id"] for row in listed] == [row["customer_id"] for row in expected]
    assert [row["call_rank"] for row in listed] == list(range(1, 201))
    assert not wrong(rows, lambda row: (row["call_rank"] is None) == (not row["is_on_call_list"]))


def test_whoever_is_called_has_the_first_reason_that_holds_and_nobody_else_has_one(rows: list[Row]) -> None:
    def reason(row: Row) -> str | None:
        if not row["is_on_call_list"]:
            return None
        if row["lifecycle"] in ("onboarding", "renewal"):
            return str(row["lifecycle"])
        return "at_risk" if row["churn_probability_90d"] >= 0.25 else "large_account"

    assert {row["call_reason"] for row in rows} >= {None, "renewal", "at_risk", "large_account"}
    assert not wrong(rows, lambda row: row["call_reason"] == reason(row))


def test_the_play_is_that_of_the_first_row_of_the_playbook_that_holds(scored_home: Settings, tmp_path: Path) -> None:
    with duckdb.connect(str(scored_home.published_database), read_only=True) as con:
        assert rows_that_their_policy_does_not_give(con, "predictions", "policy_seeds", tmp_path) == []


def test_everybody_on_the_call_list_is_to_be_called_and_nobody_else(rows: list[Row]) -> None:
    assert not wrong(rows, lambda row: row["is_on_call_list"] == (row["action_kind"] == "csm_call"))
    assert not wrong(rows, lambda row: row["money_band"] == money_band(row))
    # Facts stand where their names were.
    assert not wrong(rows, lambda row: "{" not in row["recommended_action"])
    assert any("the contract ends in" in row["recommended_action"] for row in rows)
    assert not wrong(rows, lambda row: "in 0 days" not in row["recommended_action"])
    waiting = re.compile("no call|look again|wait|later|send the|rhythm", re.IGNORECASE)
    assert not [row for row in rows if row["is_on_call_list"] and waiting.search(row["recommended_action"])]
    sponsored = [row for row in rows if "sponsor" in row["recommended_action"]]
    assert sponsored
    assert not wrong(sponsored, lambda row: row["plan_tier"] != "free" and row["money_band"] == "large")


def test_a_call_is_worth_what_it_is_assumed_to_keep_less_what_it_costs(rows: list[Row]) -> None:
    def saved(row: Row) -> float | None:
        if row["revenue_at_risk"] is None:
            return None
        theme = row["churn_themes"][0]["theme"] if row["churn_themes"] else None
        rate = 0.15 if theme in ("contract", "support") else 0.08 if row["risk_tier"] == "CRITICAL" else 0.12
        return float(row["revenue_at_risk"]) * rate

    assert not wrong(rows, lambda row: close(row["expected_saved_revenue"], saved(row)))
    assert not wrong(
        rows,
        lambda row: close(row["call_value"], None if saved(row) is None else 0.8 * (saved(row) or 0) - 60),
    )


def analyst_relations(scored_home: Settings) -> list[tuple[str, str, str, str]]:
    relations = query(
        scored_home.warehouse,
        """
        select table_schema, table_name, column_name, data_type from information_schema.columns
        where table_schema in ('staging', 'intermediate', 'marts', 'scoring', 'policy')
        """,
    )
    assert {name for _, name, *_ in relations} >= {*MARTS, "predictions", "prediction_candidates", "scores"}
    return relations


def test_no_personal_column_of_the_contract_goes_beyond_landing(scored_home: Settings) -> None:
    assert ("customers", "company_name") in PERSONAL
    names = {column for _, column in PERSONAL}
    assert not [row for row in analyst_relations(scored_home) if row[2] in names]


def test_no_personal_value_goes_beyond_landing_under_another_name(scored_home: Settings) -> None:
    for table, column in PERSONAL:
        # A whole value in any text column, and a customer's own value anywhere in their reasons.
        for schema, name, other, kind in analyst_relations(scored_home):
            if kind == "VARCHAR":
                condition = f"{other} in (select {column} from landing.{table} where {column} is not null)"
                matches = query(scored_home.warehouse, f"select count(*) from {schema}.{name} where {condition}")
                assert matches == [(0,)], (schema, name, other)
        matches = query(
            scored_home.warehouse,
            f"""
            select count(*) from policy.predictions inner join landing.{table} using (customer_id)
            where contains(predictions::varchar, {table}.{column})
            """,
        )
        assert matches == [(0,)]


def test_no_model_was_trained_on_a_personal_column(scored_home: Settings) -> None:
    from churn_pipeline.modeling import registry
    from churn_pipeline.modeling.model import ScoringModel

    used = query(scored_home.published_database, "select target, version from promotions where promoted")
    assert {target for target, _ in used} == set(TARGETS)
    for target, version in used:
        contents = registry.files(target, version, scored_home.tracking_uri)
        model = ScoringModel.from_files(contents, f"{target} {version}")
        features = {feature.name for feature in model.catalogue.features}
        assert features
        assert not features & {column for _, column in PERSONAL}
