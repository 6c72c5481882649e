"""What customers were seen to pay before somebody overwrote it stays known."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import duckdb

from tests.support.marts import build_marts
from tests.unit.contract.landing_helpers import NOW, company, landed, put, row, write
from tests.unit.contract.test_contract_forgotten import on_list

MONDAY = date(2024, 6, 10)
WEEK = timedelta(days=7)
CHANGES = "customer_id, from_tier, to_tier, from_mrr_cents, to_mrr_cents, first_seen_monday, known_date"


def _see(con: duckdb.DuckDBPyConnection, raw: Path, weeks: int, *customers: dict[str, str]) -> None:
    write(raw, "customers", customers)
    put(con, raw, now=NOW + weeks * WEEK)


def _changes(con: duckdb.DuckDBPyConnection) -> list[tuple]:
    return con.execute(
        f"select {CHANGES} from landing.value_ledger where customer_id is not null order by entry"
    ).fetchall()


def _priced(con: duckdb.DuckDBPyConnection, *mondays: date) -> dict[date, tuple]:
    """Plan, price and whether the price is today's, of C1 by Monday."""
    build_marts(con, *mondays, history_weeks=0)
    rows = con.execute(
        "select snapshot_date, known_plan_tier, known_mrr, is_todays_price from marts.mart_customer_churn_features "
        "where customer_id = 'C1' order by 1"
    ).fetchall()
    return {day: tuple(values) for day, *values in rows}


def test_a_first_landing_sees_no_change_and_notes_from_when_on_values_are_watched(
    con: duckdb.DuckDBPyConnection, raw: Path
) -> None:
    company(raw)
    put(con, raw)
    put(con, raw, now=NOW + WEEK)
    assert landed(con, "value_ledger", f"entry, {CHANGES}") == [
        (1, None, None, None, None, None, MONDAY, MONDAY - timedelta(days=1))
    ]


def test_a_change_of_price_or_plan_is_kept_and_what_is_as_it_was_is_not(
    con: duckdb.DuckDBPyConnection, raw: Path
) -> None:
    company(raw)
    _see(con, raw, 0, row("customers"), row("customers", customer_id="C2"))
    _see(
        con, raw, 1, row("customers", mrr="120"), row("customers", customer_id="C2"), row("customers", customer_id="C3")
    )
    _see(
        con, raw, 2, row("customers", mrr="120", plan_tier="enterprise"), row("customers", customer_id="C2", seats="9")
    )
    assert _changes(con) == [
        ("C1", "growth", "growth", 9990, 12000, MONDAY + WEEK, date(2024, 6, 16)),
        ("C1", "growth", "enterprise", 12000, 12000, MONDAY + 2 * WEEK, date(2024, 6, 23)),
    ]


def test_revenue_that_is_zeroed_at_churn_stays_what_it_was_on_the_mondays_before(
    con: duckdb.DuckDBPyConnection, raw: Path
) -> None:
    company(raw)
    _see(con, raw, 0, row("customers"))
    mondays = [MONDAY - WEEK, MONDAY, MONDAY + WEEK]
    before = _priced(con, *mondays)
    assert before == {
        MONDAY - WEEK: ("growth", 99.9, True),
        MONDAY: ("growth", 99.9, False),
        MONDAY + WEEK: ("growth", 99.9, False),
    }
    _see(con, raw, 2, row("customers", mrr="0", plan_tier="free", churn_date="2024-06-20"))
    assert _priced(con, *mondays) == before


def test_a_change_counts_from_its_monday_on_and_of_several_in_a_week_the_last(
    con: duckdb.DuckDBPyConnection, raw: Path
) -> None:
    company(raw)
    _see(con, raw, 0, row("customers"))
    for price in ("70", "80"):
        _see(con, raw, 2, row("customers", mrr=price))
    assert [price for _, price, _ in _priced(con, MONDAY, MONDAY + WEEK, MONDAY + 2 * WEEK).values()] == [
        99.9,
        99.9,
        80,
    ]


def test_what_plan_changes_say_wins(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw, plan_changes=[row("plan_changes")])
    _see(con, raw, 0, row("customers"))
    _see(con, raw, 1, row("customers", mrr="0", plan_tier="free"))
    assert _priced(con, date(2024, 3, 25), MONDAY + WEEK) == {
        date(2024, 3, 25): ("starter", 50, True),
        MONDAY + WEEK: ("growth", 99.9, False),
    }


def test_a_change_is_a_fact_of_its_monday_and_one_that_is_taken_back_within_the_week_is_none(
    con: duckdb.DuckDBPyConnection, raw: Path
) -> None:
    digests = "select fact_date from landing.fact_digests where source = 'value_ledger' order by all"
    company(raw)
    _see(con, raw, 0, row("customers"))
    for price in ("", "70", "99.90"):
        _see(con, raw, 0, row("customers", mrr=price))
        assert con.execute(digests).fetchall() == ([] if price == "99.90" else [(MONDAY - timedelta(days=1),)])
    _see(con, raw, 3, row("customers", mrr="70"))
    assert con.execute(digests).fetchall() == [(date(2024, 6, 30),)]
    assert len(_changes(con)) == 4


def test_a_forgotten_customer_leaves_the_ledger_and_the_others_stay(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw)
    for week, price in enumerate(("10", "20")):
        _see(con, raw, week, row("customers", mrr=price), row("customers", customer_id="GONE", mrr=price))
    assert len(_changes(con)) == 2
    put(con, raw, register=on_list("GONE"))
    assert [customer for customer, *_ in _changes(con)] == ["C1"]
    assert con.execute("select count(*) from landing.value_ledger where customer_id is null").fetchone() == (1,)
