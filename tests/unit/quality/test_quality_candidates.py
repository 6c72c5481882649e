"""The publishing edge, on a warehouse with two Mondays of candidates."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import duckdb
import pytest

from churn_pipeline.quality.candidates import CandidatesJudgement, judge_candidates

GOOD, BAD = date(2026, 6, 1), date(2026, 6, 8)
DRIVER = (
    "[{'feature': 'events', 'label': 'Events', 'value': '3', 'contribution': 0.5, 'sentence': 'Usage fell in retail.'}]"
)


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": 2}) as connection:
        connection.execute(
            "create schema marts; create schema policy; create schema landing; create schema control; create schema ledger"
        )
        keep_tiers(connection, "LOW,1,0.0,false", "MEDIUM,2,0.2,false", "HIGH,3,0.6,true", "CRITICAL,4,0.9,true")
        connection.execute(
            f"""
            create table policy.prediction_candidates as
            select
                day as snapshot_date, 'C' || n as customer_id, 'retail' as industry, n / 20 * 0.5 as churn_probability_30d,
                n / 20 as churn_probability_90d, n / 40 as risk_score,
                case when n < 4 then 'LOW' when n < 12 then 'MEDIUM' when n < 18 then 'HIGH' else 'CRITICAL' end as risk_tier,
                case when n < 8 then 'LOW' when n < 24 then 'MEDIUM' else 'HIGH' end as risk_score_tier,
                if(n = 3, null, 0.5) as expansion_propensity, {DRIVER} as churn_drivers
            from unnest([date '{GOOD}', date '{BAD}']) as days(day), range(20) as customers(n)
            """
        )
        connection.execute(
            "create table marts.mart_customer_churn_features as select snapshot_date, customer_id from policy.prediction_candidates"
        )
        connection.execute(
            "create table landing.customers as select 'C' || n as customer_id, 'Quillfeather ' || n as company_name from range(20) as c(n)"
        )
        yield connection


def keep_tiers(con: duckdb.DuckDBPyConnection, *rows: str) -> None:
    """The tiers that the candidates were made by."""
    content = "\n".join(("risk_tier,severity,lower_bound,is_urgent", *rows, ""))
    con.execute(
        "create or replace table ledger.policy_seeds as select 'p' as policy_version, 'risk_tiers' as seed, ? as content",
        [content],
    )
    con.execute("create or replace table control.policy_in_force as select 'p' as policy_version")


def judged(con: duckdb.DuckDBPyConnection, *mondays: date) -> dict[date, CandidatesJudgement]:
    return {judgement.snapshot_date: judgement for judgement in judge_candidates(con, mondays or [GOOD, BAD])}


def failed(judgement: CandidatesJudgement) -> set[str]:
    return {check.check.removeprefix("candidates_") for check in judgement.checks() if not check.passed}


def test_good_candidates_meet_every_expectation_by_the_cut_offs_of_the_seed(con: duckdb.DuckDBPyConnection) -> None:
    assert [failed(judgement) for judgement in judged(con).values()] == [set(), set()]


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        ("delete from candidates where customer_id = 'C4'", {"every_active_customer"}),
        ("insert into candidates from candidates where customer_id = 'C4' and snapshot_date = date '2026-06-08'",
         {"every_active_customer", "one_row_per_customer"}),
        ("delete from candidates", {"every_active_customer"}),
        ("update candidates set churn_probability_30d = -0.1 where customer_id = 'C4'", {"churn_probability_30d_from_0_to_1"}),
        ("update candidates set churn_probability_90d = 1.5 where customer_id = 'C19'", {"churn_probability_90d_from_0_to_1"}),
        ("update candidates set churn_probability_90d = null where customer_id = 'C19'", {"churn_probability_90d_is_given"}),
        ("update candidates set churn_probability_30d = 0.7 where customer_id = 'C10'", {"churn_90d_is_as_probable_as_churn_30d"}),
        ("update candidates set risk_tier = 'LOW' where customer_id = 'C4'", {"risk_tier_LOW"}),
        ("update candidates set risk_tier = 'HIGH' where customer_id = 'C4'", {"risk_tier_HIGH"}),
        ("update candidates set risk_tier = 'SEVERE' where customer_id = 'C4'", {"risk_tier_is_a_tier"}),
        ("update candidates set risk_score_tier = 'CRITICAL' where customer_id = 'C4'", {"risk_score_tier_CRITICAL"}),
        ("update candidates set churn_drivers = [] where customer_id = 'C4'", {"churn_drivers_are_there"}),
        ("update candidates set churn_drivers = null where customer_id = 'C4'", {"churn_drivers_are_there"}),
        ("update candidates set churn_drivers = [{'feature': 'x', 'label': 'x', 'value': '', 'contribution': 0.1, "
         "'sentence': 'Events of Quillfeather 7 fell.'}] where customer_id = 'C7'", {"no_personal_value"}),
    ],
)  # fmt: skip
def test_what_is_wrong_with_candidates_is_named(
    con: duckdb.DuckDBPyConnection, damage: str, expected: set[str]
) -> None:
    con.execute(f"create temp table candidates as from policy.prediction_candidates where snapshot_date = date '{BAD}'")
    con.execute(damage)
    con.execute(f"delete from policy.prediction_candidates where snapshot_date = date '{BAD}'")
    con.execute("insert into policy.prediction_candidates by name from candidates")
    assert failed(judged(con, BAD)[BAD]) == expected


def test_a_bad_monday_does_not_stop_a_good_one(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("update policy.prediction_candidates set churn_drivers = [] where snapshot_date = ?", [BAD])
    judgements = judged(con)
    assert failed(judgements[GOOD]) == set()
    assert failed(judgements[BAD]) == {"churn_drivers_are_there"}


def test_failing_rows_are_named_by_customer(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("update policy.prediction_candidates set churn_probability_90d = 1.5 where customer_id = 'C19'")
    judgement = judged(con, BAD)[BAD]
    (sample,) = judgement.failing()
    assert sample.columns == ("snapshot_date", "customer_id", "churn_probability_90d")
    assert sample.rows == (("2026-06-08", "C19", 1.5),)
    (detail,) = [check.detail for check in judgement.checks() if not check.passed]
    assert "1 of 20 rows do not: 1.5" in detail


def test_a_word_of_the_source_that_is_also_a_companys_name_stops_nothing(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("update policy.prediction_candidates set industry = 'quillfeather 4' where customer_id = 'C4'")
    assert not any(failed(judgement) for judgement in judged(con, GOOD, BAD).values())


def test_a_column_of_personal_data_is_named(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("alter table policy.prediction_candidates add column company_name varchar")
    judgement = judged(con, GOOD)[GOOD]
    assert failed(judgement) == {"no_personal_column"}
    assert "company_name" in next(check.detail for check in judgement.checks() if not check.passed)


@pytest.mark.parametrize("name", ["Usage", "Retail"])
def test_a_customer_named_like_an_ordinary_word_stops_nothing(con: duckdb.DuckDBPyConnection, name: str) -> None:
    con.execute("update landing.customers set company_name = ? where customer_id = 'C4'", [name])
    con.execute("update landing.customers set company_name = null where customer_id <> 'C4'")
    assert failed(judged(con, GOOD)[GOOD]) == set()


def test_the_policy_s_cut_offs_are_read_and_not_restated(con: duckdb.DuckDBPyConnection) -> None:
    keep_tiers(con, "LOW,1,0.0,false", "MEDIUM,2,0.3,false", "HIGH,3,0.6,true", "CRITICAL,4,0.9,true")
    assert failed(judged(con, GOOD)[GOOD]) == {"risk_tier_MEDIUM", "risk_score_tier_MEDIUM"}
