"""What was bad and tolerated, as people read it: a line for each table and column."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from churn_pipeline.contract import TABLES
from churn_pipeline.contract.tolerated import tolerated
from tests.unit.contract.landing_helpers import NOW, company, put, row, write

TOMORROW = f"{NOW + timedelta(days=1):%Y-%m-%d}"


def customers(count: int = 1_500, **changes: dict[int, Any]) -> list[dict[str, Any]]:
    """Good customers C0, C1, ...; by column, what some of them have instead."""
    rows = [row("customers", customer_id=f"C{number}") for number in range(count)]
    for column, values in changes.items():
        for number, value in values.items():
            rows[number][column] = value
    return rows


def events(count: int, **changes: dict[int, Any]) -> list[dict[str, Any]]:
    rows = [row("usage_events", event_id=f"E{number}") for number in range(count)]
    for column, values in changes.items():
        for number, value in values.items():
            rows[number][column] = value
    return rows


def told(con: duckdb.DuckDBPyConnection) -> list[str]:
    return [notice.sentence for notice in tolerated(con)]


def test_what_was_blanked_is_told_with_the_number_of_values_that_were_given(
    con: duckdb.DuckDBPyConnection, raw: Path
) -> None:
    mrr = {1: "-5", 2: "-0.5", 3: "-7", 4: "", 5: ""}
    put(con, company(raw, customers=customers(mrr=mrr, seats={7: "many", 8: "3"})))
    assert told(con) == [
        "customers: 1 of 2 values of seats is not a number and is blank",
        "customers: 3 of 1,498 values of mrr are negative and are blank",
    ]
    assert {(notice.kind, notice.source) for notice in tolerated(con)} == {("bad_data", "customers")}


def test_several_faults_of_a_column_are_one_line(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    put(con, company(raw, customers=customers(mrr={1: "-5", 2: "-7", 3: "free", 4: "1e15"})))
    assert told(con) == [
        "customers: 4 of 1,500 values of mrr are blank: 2 are negative, 1 is not 0 or more (and at most "
        "1,000,000,000,000), 1 is not a number of dollars"
    ]


def test_rows_that_are_left_out_are_told_with_the_reason(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    bad = events(
        1_000, event_id={1: "E0"}, event_type={1: "other"}, customer_id={2: "ghost", 3: "ghost2"}, timestamp={4: "soon"}
    )
    people = customers(signup_date={9: ""}, churn_date={10: "2024-01-09"})
    put(con, company(raw, customers=people, usage_events=bad))
    assert sorted(told(con)) == [
        "customers: 1 of 1,500 rows has a churn_date that is before signup_date and is left out",
        "customers: 1 of 1,500 rows has no usable signup_date and is left out",
        "usage_events: 1 of 1,000 rows has no usable timestamp and is left out",
        "usage_events: 1 of 1,000 rows repeats the event_id of another row and is left out",
        "usage_events: 2 of 1,000 rows name customers who are not in customers and are left out",
    ]


def test_the_largest_share_comes_first(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    scores = dict.fromkeys(range(15), "2")
    put(
        con, company(raw, customers=customers(mrr={1: "-1"}), usage_events=events(1_000, feature_adoption_score=scores))
    )
    assert told(con) == [
        "usage_events: 15 of 1,000 values of feature_adoption_score are not from 0 to 1 and are blank",
        "customers: 1 of 1,500 values of mrr is negative and is blank",
    ]


def test_unknown_words_are_named_with_their_numbers_and_at_most_three_of_them(
    con: duckdb.DuckDBPyConnection, raw: Path
) -> None:
    words = ["pro"] * 6 + ["team"] * 4 + ["a" * 50] * 3 + ["max"] * 2 + ["once"]
    put(con, company(raw, customers=customers(plan_tier=dict(enumerate(words)))))
    assert told(con) == [
        "customers: 16 of 1,500 values of plan_tier are not one of free, starter, growth, enterprise, custom and are blank: "
        f"'pro' (6), 'team' (4), '{'a' * 29}…' (3), and 1 other word"
    ]


def test_no_sentence_holds_a_customer_a_name_or_what_stood_there_once(
    con: duckdb.DuckDBPyConnection, raw: Path
) -> None:
    names = {number: f"Secretive {number}" for number in range(1_500)}
    slipped = {1: "C77", 2: "C77", 3: "Secretive 9", 4: "Secretive 9", 5: "Jane Doe, 5 Elm Street"}
    put(
        con,
        company(
            raw,
            customers=customers(company_name=names, plan_tier=slipped, mrr={8: "C8"}),
            usage_events=events(
                500,
                customer_id={1: "ghost-1", 2: "ghost-1"},
                event_id={5: "E4"},
                event_type={5: "x"},
                timestamp={3: "C3"},
            ),
        ),
    )
    sentences = told(con)
    assert len(sentences) == 5
    for hidden in ("Secretive", "C77", "Jane", "'", "ghost", "C8", "C3", "E4"):
        assert all(hidden not in sentence for sentence in sentences), hidden


def test_what_waits_for_its_date_is_no_fault(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    people = customers(churn_date={1: TOMORROW, 2: TOMORROW}, signup_date={3: TOMORROW})
    put(con, company(raw, customers=people))
    assert con.execute("select count(*) from landing.quarantine").fetchall() == [(3,)]
    assert told(con) == []


def test_what_cannot_have_happened_yet_is_a_fault(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    put(con, company(raw, customers=customers(), usage_events=events(50, timestamp={1: f"{TOMORROW}T00:00:00"})))
    assert told(con) == [
        "usage_events: 1 of 50 rows has a timestamp that lies after the moment of landing and is left out"
    ]


def test_rows_that_only_repeat_others_are_no_fault(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    put(con, company(raw, customers=customers(), usage_events=[*events(50), *events(20)]))
    assert told(con) == []


def test_a_landing_that_reads_nothing_new_tells_the_same_and_a_mended_file_ends_it(
    con: duckdb.DuckDBPyConnection, raw: Path
) -> None:
    company(raw, customers=customers(mrr={1: "-5"}))
    put(con, raw)
    first = tolerated(con)
    assert put(con, raw, run_id="again").tables["customers"].unchanged
    assert tolerated(con) == first != []
    write(raw, "customers", customers())
    put(con, raw)
    assert tolerated(con) == []


def test_rows_without_a_date_are_counted_once_however_long_their_history_is(
    con: duckdb.DuckDBPyConnection, raw: Path
) -> None:
    for week in range(3):
        signals = [
            {"customer_id": f"C{number}", "compliance_gap_score": f"0.{week + 1}", "vendor_risk_flags": "1"}
            for number in range(100)
        ]
        signals[0]["compliance_gap_score"] = "3"
        put(con, company(raw, customers=customers(100), risk_signals=signals), now=NOW + timedelta(weeks=week))
    assert con.execute("select count(*) from landing.risk_signals").fetchall() > [(100,)]
    assert told(con) == ["risk_signals: 1 of 100 values of compliance_gap_score is not from 0 to 1 and is blank"]


@pytest.mark.parametrize("count", [1, 2])
def test_every_rule_that_can_be_broken_is_told_in_words_that_go_with_its_number(
    con: duckdb.DuckDBPyConnection, raw: Path, count: int
) -> None:
    put(con, company(raw))
    for table in TABLES.values():
        for rule in (*table.rules, table.unique_key):
            column = ", ".join(rule.columns) if rule == table.unique_key else rule.columns[0]
            con.execute("delete from landing.quarantine")
            con.execute(
                "insert into landing.quarantine (source, row_key, kind, column_name, value, rule) "
                "select ?, 'k', ?, ?, '1e20', ? from range(?)",
                [table.name, rule.kind, column, rule.name, count],
            )
            if not rule.is_fault:
                assert told(con) == []
                continue
            (sentence,) = told(con)
            verbs = "is|has|lies|leads|names|repeats" if count == 1 else "are|have|lie|lead|name|repeat"
            fate = "left out" if rule.kind == "row" else "blank"
            whole = r"(of [\d,]+ )?(rows?|values? of \w+)"
            assert re.fullmatch(rf"{table.name}: {count} {whole} ({verbs}) .+ and (is|are) {fate}(: .+)?", sentence), (
                sentence
            )
