"""What the report says of two Mondays, on tables made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn_pipeline.delivery.report import since
from churn_pipeline.delivery.report.since import EVERYBODY, NAMED, SinceLastWeek
from tests.support.policy import keep_shipped_policy

BEFORE, MONDAY = date(2026, 6, 1), date(2026, 6, 8)


def row(customer: str, monday: date, tier: str, at_risk: float | None, **values: Any) -> dict[str, Any]:
    return {
        "customer_id": customer,
        "snapshot_date": monday,
        "risk_tier": tier,
        "revenue_at_risk": at_risk,
        "csm_owner": None,
        "mrr": 100.0,
        "is_on_call_list": False,
        "is_holdout": False,
        "snoozed_until": None,
        "probability_change": 0.0,
        "churn_probability_90d": 0.5,
        "change_parts": None,
        "churn_themes": None,
        **values,
    }


def compare(rows: Sequence[dict[str, Any]]) -> SinceLastWeek | None:
    with duckdb.connect() as con:
        keep_shipped_policy(con, ["p"])
        con.execute("create table customers (customer_id varchar, company_name varchar)")
        con.execute(
            """
            create table predictions (
                customer_id varchar, snapshot_date date, risk_tier varchar, revenue_at_risk double, csm_owner varchar, mrr double,
                is_on_call_list boolean, is_holdout boolean, snoozed_until date, probability_change double,
                churn_probability_90d double,
                change_parts struct(part varchar, label varchar, points double, revenue double)[],
                churn_themes struct(
                    theme varchar, label varchar, contribution double, share double, sentence varchar, features varchar[]
                )[],
                change_drivers struct(contribution double, sentence varchar)[], policy_version varchar
            )
            """
        )
        for values in rows:
            con.execute(
                "insert into predictions values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, null, 'p')",
                list(values.values()),
            )
        return since.read(con, MONDAY)


def parts(**revenue: float) -> list[dict[str, Any]]:
    return [
        {"part": part, "label": part.capitalize(), "points": amount / 1000, "revenue": amount}
        for part, amount in revenue.items()
    ]


def test_without_the_monday_before_nothing_is_compared() -> None:
    assert compare([row("a", MONDAY, "LOW", 1.0)]) is None


def test_each_customer_is_in_the_list_of_what_they_did() -> None:
    compared = compare(
        [
            row("rose", BEFORE, "LOW", 10.0), row("rose", MONDAY, "HIGH", 60.0),
            row("worse", BEFORE, "HIGH", 60.0), row("worse", MONDAY, "CRITICAL", 80.0),
            row("new", MONDAY, "CRITICAL", 90.0),
            row("fell", BEFORE, "HIGH", 70.0), row("fell", MONDAY, "MEDIUM", 30.0),
            row("gone", BEFORE, "CRITICAL", 95.0, is_on_call_list=True),
        ]
    )  # fmt: skip
    assert compared is not None
    named = {name: [(move.customer_id, move.revenue) for move in getattr(compared, name)] for name in NAMED}
    assert named["rose"] == [("new", 90.0), ("rose", 60.0)]
    assert named["fell"] == [("fell", 70.0)] and named["gone"] == [("gone", 95.0)]
    assert [customer for customer, _ in named["movers"]] == ["rose", "fell", "worse"]
    everybody = compared.of[EVERYBODY]
    assert (everybody.rose, everybody.fell, everybody.gone) == ((2, 150.0), (1, 70.0), (1, 95.0))
    assert everybody.gone_called == 1 and compared.had_list


@pytest.mark.parametrize("left_alone", [{"is_holdout": True}, {"snoozed_until": MONDAY}])
def test_who_is_to_be_left_alone_is_in_the_money_and_in_no_list(left_alone: dict[str, Any]) -> None:
    compared = compare([row("a", BEFORE, "LOW", 10.0), row("a", MONDAY, "HIGH", 60.0, **left_alone)])
    assert compared is not None
    assert compared.rose == compared.movers == () and not compared.rose_ids
    assert compared.of[EVERYBODY].rose == (0, 0.0) and compared.of[EVERYBODY].steps.up == 50


def test_a_reason_is_the_part_that_moved_most_in_the_direction_of_the_money() -> None:
    theme = [{"theme": "usage", "label": "Usage", "contribution": 1.0, "share": 1.0, "sentence": "43 events, 18 now", "features": []}]  # fmt: skip

    def reason(now: float, **values: Any) -> str:
        compared = compare([row("a", BEFORE, "LOW", 500.0, mrr=50.0), row("a", MONDAY, "LOW", now, **values)])
        assert compared is not None
        return compared.movers[0].reason

    assert (
        reason(600.0, change_parts=parts(usage=70.0, support=30.0), churn_themes=theme)
        == "Usage: +7 points. 43 events, 18 now"
    )
    # What makes somebody safer is told without the sentence that worries.
    assert reason(400.0, change_parts=parts(usage=-130.0, support=30.0), churn_themes=theme) == "Usage: −13 points"
    assert reason(600.0, change_parts=parts(usage=20.0, revenue=80.0)) == "Pays $100 a month, last week $50"
    assert reason(600.0) == ""


def test_where_no_revenue_is_known_the_likelier_come_first_and_moves_are_of_probability() -> None:
    compared = compare(
        [
            row("a", BEFORE, "LOW", None, churn_probability_90d=0.1),
            row("b", BEFORE, "LOW", None, churn_probability_90d=0.2),
            *(row(who, BEFORE, "LOW", None) for who in ("c", "d")),
            row("c", MONDAY, "LOW", None, probability_change=0.1, change_parts=parts(usage=100, support=-50)),
            row("d", MONDAY, "LOW", None, probability_change=-0.2, change_parts=parts(usage=100, support=-300)),
        ]
    )
    assert compared is not None
    assert [move.customer_id for move in compared.gone] == ["b", "a"]
    assert [(move.customer_id, move.points) for move in compared.movers] == [("d", -0.2), ("c", 0.1)]
    assert [move.reason.split(":")[0] for move in compared.movers] == ["Support", "Usage"]


def test_every_owner_has_their_own_first_names_and_figures() -> None:
    rows = [
        row(f"{owner}{number:02}", monday, tier, 100.0 - number if owner == "b" else 1.0, csm_owner=owner)
        for owner in ("a", "b")
        for number in range(20)
        for monday, tier in ((BEFORE, "LOW"), (MONDAY, "HIGH"))
    ]
    compared = compare(rows)
    assert compared is not None
    for owner in ("a", "b"):
        own = [move.customer_id for move in compared.rose if move.csm_owner == owner]
        assert own == [f"{owner}{number:02}" for number in range(NAMED["rose"])]
        assert compared.of[owner].rose[0] == 20
    assert len(compared.rose_ids) == 40


revenues = st.floats(0, 1e7, allow_nan=False)


@given(st.lists(st.tuples(st.none() | revenues, st.none() | revenues, st.none() | st.floats(-1e5, 1e5)), max_size=40))
def test_the_steps_add_up_to_the_dollar_whatever_moved(
    customers: list[tuple[float | None, float | None, float | None]],
) -> None:
    sums = since._Sums()
    for before, now, model in customers:
        if before is None and now is None:
            continue
        sums.add(
            {
                "previous_risk_tier": None if before is None else "LOW",
                "risk_tier": None if now is None else "LOW",
                "previous_at_risk": before,
                "at_risk": now,
                "model": model,
            }
        )
    steps = sums.steps()
    assert steps.before + steps.new + steps.gone + steps.up + steps.down + steps.model == steps.now
    assert steps.before == round(sum(before or 0.0 for before, _, _ in customers))
    assert steps.now == pytest.approx(sum(now or 0.0 for _, now, _ in customers), abs=0.6)
    assert steps.new >= -1 and steps.gone <= 1
