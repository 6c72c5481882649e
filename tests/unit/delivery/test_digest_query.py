"""The digest of a published Monday, from a real database with the published schema."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest

from churn_pipeline.core.calendar import WEEK
from churn_pipeline.core.errors import RefusedError
from churn_pipeline.core.notices import Notice
from churn_pipeline.delivery.digest import MoverLine
from churn_pipeline.delivery.digest_query import digest_from
from churn_pipeline.delivery.slack.blocks import digest_message
from tests.support.policy import keep_shipped_policy
from tests.unit.delivery.slack.conftest import MONDAY

THEMES = (
    "struct(theme varchar, label varchar, contribution double, share double, sentence varchar, features varchar[])[]"
)
PARTS = "struct(part varchar, label varchar, points double, revenue double)[]"
DRIVER = "struct(feature varchar, label varchar, value varchar, contribution double, sentence varchar)[]"


THEMED = "[{'theme': 'adoption', 'label': 'Adoption', 'contribution': 1.0, 'share': 1.0, 'sentence': 'Uses little of it', 'features': ['f']}]"


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as con:
        con.execute(
            f"""
            create table predictions (
                snapshot_date date, customer_id varchar, plan_tier varchar, mrr double, csm_owner varchar,
                churn_probability_90d double, risk_tier varchar, previous_risk_tier varchar, probability_change double,
                revenue_at_risk double, priority_rank bigint, churn_drivers {DRIVER}, expansion_propensity double,
                expansion_readiness varchar, expansion_drivers {DRIVER}, target_tier varchar, expected_arr_uplift double,
                is_expansion_candidate boolean, expansion_rank bigint, play varchar, model_changed boolean, policy_version varchar,
                churn_30d_model_version varchar, churn_90d_model_version varchar, expansion_model_version varchar, snoozed_until date,
                is_holdout boolean, is_on_call_list boolean, call_rank bigint, call_reason varchar, action_kind varchar,
                recommended_action varchar, churn_themes {THEMES}, change_parts {PARTS}
            );
            create table customers (customer_id varchar, company_name varchar, csm_owner varchar);
            create table promotions (seq bigint, target varchar, version varchar, promoted boolean, labels_closed_by date, metrics json);
            insert into customers values ('A', 'Alpha & Co', 'Zoe'), ('B', null, 'Yan'), ('C', 'Gamma', null);
            insert into promotions values
                (1, 'churn_90d', '1', true, '2026-10-26',
                 '{{"model": {{"auc": {{"value": 0.8}}, "ece": {{"value": 0.01}}, "precision_top_200": {{"value": 0.5}}}}}}'),
                (2, 'churn_90d', '2', true, '2026-11-02', '{{}}'),
                (3, 'churn_90d', '1', true, '2026-10-26', '{{"rollback": true}}');
            """
        )
        why = (
            "[{'feature': 'f', 'label': 'l', 'value': 'v', 'contribution': -9.0, 'sentence': 'lowers'}, "
            "{'feature': 'f', 'label': 'l', 'value': 'v', 'contribution': 1.0, 'sentence': 'raises'}]"
        )
        # customer, owner, p, tier, previous, change, at risk, rank, propensity, uplift, candidate
        weeks = {
            MONDAY - WEEK: [
                ("A", "Zoe", 0.6, "HIGH", None, None, 600.0, 1, 0.1, 10.0, False),
                ("B", "Yan", 0.9, "CRITICAL", None, None, 90.0, 2, 0.4, 40.0, True),
                ("D", "Yan", 0.9, "CRITICAL", None, None, 50.0, 3, 0.1, 1.0, False),
            ],
            MONDAY: [
                ("A", "Zoe", 0.8, "CRITICAL", "HIGH", 0.2, 800.0, 1, 0.1, 10.0, False),
                ("B", "Yan", 0.3, "MEDIUM", "CRITICAL", -0.6, 30.0, 2, 0.4, 40.0, True),
                ("C", None, 0.1, "LOW", None, None, None, 3, None, None, False),
            ],
        }
        for day, rows in weeks.items():
            for customer, owner, p, tier, previous, change, at_risk, rank, propensity, uplift, candidate in rows:
                con.execute(
                    f"""insert into predictions values (?, ?, 'growth', 1, ?, ?, ?, ?, ?, ?, ?, {why}, ?, 'ready', {why},
                    'enterprise', ?, ?, 1, 'Stable Base', false, ?, null, '1', null, null, false, true, ?, 'at_risk', 'csm_call',
                    'Call today.', {THEMED}, null)""",
                    [
                        day,
                        customer,
                        owner,
                        p,
                        tier,
                        previous,
                        change,
                        at_risk,
                        rank,
                        propensity,
                        uplift,
                        candidate,
                        str(day)[:7],
                        rank,
                    ],
                )
        keep_shipped_policy(con, {str(day)[:7] for day in weeks})
        yield con


def test_tiers_are_compared_with_the_monday_before(con: duckdb.DuckDBPyConnection) -> None:
    digest = digest_from(con, MONDAY)
    assert digest.compared_with == MONDAY - WEEK
    rows = {
        row.risk_tier: (row.customers, row.revenue_at_risk, row.customers_change, row.revenue_change)
        for row in digest.tiers
    }
    assert rows == {
        "CRITICAL": (1, 800, -1, 660),
        "HIGH": (0, 0, -1, -600),
        "MEDIUM": (1, 30, 1, 30),
        "LOW": (1, 0, 1, 0),
    }
    assert (digest.into_top_count, digest.left_top, digest.gone_top) == (1, 1, 1)
    assert [line.company_name for line in digest.into_top] == ["Alpha & Co"]
    assert digest.expansion_candidates == digest.expansion_ready == 1 and digest.expansion_uplift == 40
    assert [line.customer_id for line in digest.expansion] == ["B"]


def test_the_first_monday_is_compared_with_nothing(con: duckdb.DuckDBPyConnection) -> None:
    digest = digest_from(con, MONDAY - WEEK)
    assert digest.compared_with is None and digest.into_top == ()
    assert all(row.customers_change is None and row.revenue_change is None for row in digest.tiers)


def test_a_line_says_the_sentences_of_its_themes_why_it_is_called_and_what_to_do(
    con: duckdb.DuckDBPyConnection,
) -> None:
    first, *_ = digest_from(con, MONDAY).calls
    assert (first.reasons, first.call_rank, first.call_reason) == (("Uses little of it",), 1, "At risk")
    assert first.recommended_action == "Call today."
    # By the policy of the Monday, where it was kept.
    con.execute(
        "insert into policy_seeds values (?, 'call_reasons', 'position,call_reason,label\n3,at_risk,Likely to leave\n', null)",
        [str(MONDAY)[:7]],
    )
    assert {line.call_reason for line in digest_from(con, MONDAY).calls} == {"Likely to leave"}


def test_before_there_were_themes_only_what_raises_the_risk_is_a_reason(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("update predictions set churn_themes = null")
    assert {line.reasons for line in digest_from(con, MONDAY).calls} == {("raises",)}


def test_the_calls_are_the_call_list_in_its_order_and_those_written_to_are_counted(
    con: duckdb.DuckDBPyConnection,
) -> None:
    con.execute("update predictions set call_rank = 4 - call_rank where snapshot_date = ?", [MONDAY])
    con.execute(
        "update predictions set is_on_call_list = false, call_rank = null, action_kind = 'no_call' where customer_id = 'A'"
    )
    digest = digest_from(con, MONDAY)
    assert [line.customer_id for line in digest.calls] == ["C", "B"]
    assert (digest.on_call_list, digest.written_to) == (2, 1)
    assert [(row.owner, row.called) for row in digest.owners] == [("Zoe", 0), ("Yan", 1), (None, 1)]


def moved(con: duckdb.DuckDBPyConnection, customer: str, **parts: float) -> None:
    structs = [
        {"part": part, "label": part.capitalize(), "points": 0.0, "revenue": money} for part, money in parts.items()
    ]
    con.execute(
        "update predictions set change_parts = ? where customer_id = ? and snapshot_date = ?",
        [structs, customer, MONDAY],
    )


def test_the_biggest_movers_come_first_with_the_part_that_moved_them_furthest(con: duckdb.DuckDBPyConnection) -> None:
    assert digest_from(con, MONDAY).movers == ()
    moved(con, "A", usage=90.0, support=-10.0, revenue=0.0)
    moved(con, "B", usage=200.0, support=-330.0, contract=-40.0)
    moved(con, "C", usage=0.2)
    assert digest_from(con, MONDAY).movers == (
        MoverLine("B", None, -170.0, 30.0, "Support", -330.0),
        MoverLine("A", "Alpha & Co", 80.0, 800.0, "Usage", 90.0),
    )


@pytest.mark.parametrize("column", ["is_holdout = true", "snoozed_until = date '2027-01-01'"])
def test_nobody_who_is_held_out_or_snoozed_is_named_as_a_mover(con: duckdb.DuckDBPyConnection, column: str) -> None:
    moved(con, "A", usage=90.0)
    moved(con, "B", usage=20.0)
    con.execute(f"update predictions set {column} where customer_id = 'A'")
    assert [row.customer_id for row in digest_from(con, MONDAY).movers] == ["B"]


def test_the_weeks_of_the_picture_end_with_the_monday_and_reach_back_half_a_year(
    con: duckdb.DuckDBPyConnection,
) -> None:
    con.execute(
        "insert into predictions by name select * replace (snapshot_date - 7 * 26 as snapshot_date) from predictions where snapshot_date = ?",
        [MONDAY],
    )
    assert [(week.snapshot_date, week.at_risk) for week in digest_from(con, MONDAY).weeks] == [
        (MONDAY - WEEK, {"CRITICAL": 140.0, "HIGH": 600.0}),
        (MONDAY, {"CRITICAL": 800.0, "LOW": 0.0, "MEDIUM": 30.0}),
    ]
    assert [week.snapshot_date for week in digest_from(con, MONDAY - WEEK).weeks] == [MONDAY - 26 * WEEK, MONDAY - WEEK]


def test_owners_come_with_the_most_money_first_and_customers_without_one_last(con: duckdb.DuckDBPyConnection) -> None:
    owners = digest_from(con, MONDAY).owners
    assert [(row.owner, row.customers, row.urgent, row.revenue_at_risk) for row in owners] == [
        ("Zoe", 1, 1, 800),
        ("Yan", 1, 0, 30),
        (None, 1, 0, 0),
    ]
    assert [line.customer_id for row in owners for line in row.calls] == ["A", "B", "C"]
    con.execute("update predictions set csm_owner = null")
    assert digest_from(con, MONDAY).owners == ()


def test_the_figures_of_a_model_are_those_of_its_promotion_even_after_a_rollback(
    con: duckdb.DuckDBPyConnection,
) -> None:
    (health,) = digest_from(con, MONDAY).health
    assert (health.target, health.version, health.auc, health.ece, health.precision_top_200) == (
        "churn_90d",
        "1",
        0.8,
        0.01,
        0.5,
    )


def test_the_kind_of_a_model_is_that_of_the_rows_and_a_copy_of_an_older_version_has_none(
    con: duckdb.DuckDBPyConnection,
) -> None:
    assert [health.kind for health in digest_from(con, MONDAY).health] == [None]
    assert any("churn_90d v1, trained" in str(block) for block in digest_message(digest_from(con, MONDAY), True).blocks)
    con.execute("alter table predictions add column churn_90d_model_kind varchar")
    con.execute("update predictions set churn_90d_model_kind = 'trees' where snapshot_date = ?", [MONDAY])
    assert [health.kind for health in digest_from(con, MONDAY).health] == ["trees"]
    assert [health.kind for health in digest_from(con, MONDAY - WEEK).health] == [None]
    message = digest_message(digest_from(con, MONDAY), True)
    assert sum(str(block).count("churn_90d v1 (boosted trees)") for block in message.blocks) == 1


def test_a_changed_policy_or_model_is_noticed(con: duckdb.DuckDBPyConnection) -> None:
    assert not digest_from(con, MONDAY).policy_changed and not digest_from(con, MONDAY).model_changed
    keep_shipped_policy(con, ["new"])
    con.execute("update predictions set policy_version = 'new', model_changed = true where snapshot_date = ?", [MONDAY])
    assert digest_from(con, MONDAY).policy_changed and digest_from(con, MONDAY).model_changed


def test_the_notices_of_a_monday_are_its_own_and_an_older_copy_has_none(con: duckdb.DuckDBPyConnection) -> None:
    assert digest_from(con, MONDAY).notices == ()
    con.execute(
        "create table notices (snapshot_date date, position integer, kind varchar, source varchar, sentence varchar)"
    )
    con.execute(
        "insert into notices values ($1, 2, 'feed', 'b', 'second'), ($1, 1, 'bad_data', 'a', 'first'), ($2, 1, 'feed', 'c', 'former')",
        [MONDAY, MONDAY - WEEK],
    )
    assert digest_from(con, MONDAY).notices == (Notice("bad_data", "a", "first"), Notice("feed", "b", "second"))
    assert digest_from(con, MONDAY - WEEK).notices == (Notice("feed", "c", "former"),)


def test_the_same_week_gives_the_same_message_to_the_letter(con: duckdb.DuckDBPyConnection) -> None:
    assert digest_message(digest_from(con, MONDAY), True) == digest_message(digest_from(con, MONDAY), True)


def test_a_monday_that_is_not_published_is_refused(con: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(RefusedError, match="2026-11-23 is not published"):
        digest_from(con, MONDAY + WEEK)
