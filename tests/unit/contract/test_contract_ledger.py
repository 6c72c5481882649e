"""Undated risk signals count from the Monday of their first landing, and what was seen then stays seen."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from tests.unit.contract.landing_helpers import NOW, company, landed, put, quarantined, row, write

MONDAY = date(2024, 6, 10)
WEEK = timedelta(days=7)
COLUMNS = "customer_id, compliance_gap_micros, is_dated, known_date"


def _undated(gap: str = "0.5", **changes: str) -> dict[str, str]:
    return row("risk_signals", recorded_at="", compliance_gap_score=gap, **changes)


def test_an_undated_row_is_known_to_the_monday_of_its_first_landing(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw, risk_signals=[_undated()])
    put(con, raw)
    (signal,) = landed(con, "risk_signals", COLUMNS)
    assert signal == ("C1", 500_000, False, MONDAY - timedelta(days=1))
    assert landed(con, "undated_ledger", "customer_id, first_seen_monday") == [("C1", MONDAY)]


def test_the_monday_is_that_of_the_local_clock(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw, risk_signals=[_undated()])
    put(con, raw, now=datetime(2024, 6, 17, 2, tzinfo=UTC), timezone="America/New_York")
    assert landed(con, "undated_ledger", "first_seen_monday") == [(MONDAY,)]


def test_landing_again_keeps_the_first_monday(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw, risk_signals=[_undated()])
    put(con, raw)
    company(raw, risk_signals=[_undated(), _undated(customer_id="nobody")])
    put(con, raw, now=NOW + 3 * WEEK)
    put(con, raw, now=NOW + 4 * WEEK, timezone="Asia/Tokyo")
    assert landed(con, "risk_signals", COLUMNS) == [("C1", 500_000, False, MONDAY - timedelta(days=1))]


def test_changed_values_count_from_their_own_monday_and_the_old_ones_stay(
    con: duckdb.DuckDBPyConnection, raw: Path
) -> None:
    company(raw, risk_signals=[_undated("0.5")])
    put(con, raw)
    for weeks, gap in ((1, "0.7"), (2, "0.7"), (3, "0.5"), (4, "")):
        write(raw, "risk_signals", [_undated(gap)])
        report = put(con, raw, now=NOW + weeks * WEEK)
    assert landed(con, "risk_signals", "known_date, compliance_gap_micros") == [
        (date(2024, 6, 9), 500_000),
        (date(2024, 6, 16), 700_000),
        (date(2024, 6, 30), 500_000),
        (date(2024, 7, 7), None),
    ]
    assert report.changed_from == date(2024, 7, 7)


def test_a_correction_within_the_week_replaces_that_weeks_values_only(
    con: duckdb.DuckDBPyConnection, raw: Path
) -> None:
    company(raw, risk_signals=[_undated("0.1")])
    put(con, raw, now=NOW - WEEK)
    for gap in ("0.5", "0.9"):
        write(raw, "risk_signals", [_undated(gap)])
        put(con, raw)
    assert landed(con, "risk_signals", "known_date, compliance_gap_micros") == [
        (date(2024, 6, 2), 100_000),
        (date(2024, 6, 9), 900_000),
    ]
    assert len(landed(con, "undated_ledger")) == 3


def test_what_was_known_stays_known_when_the_file_forgets_it(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw, risk_signals=[_undated()])
    put(con, raw)
    before = landed(con, "risk_signals")
    write(raw, "risk_signals", [row("risk_signals")])
    put(con, raw, now=NOW + WEEK)
    assert set(landed(con, "risk_signals")) > set(before)


def test_a_customer_has_one_undated_row(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw, risk_signals=[_undated("0.9"), _undated("0.2"), row("risk_signals")])
    put(con, raw)
    assert landed(con, "risk_signals", COLUMNS) == [
        ("C1", 200_000, False, date(2024, 6, 9)),
        ("C1", 500_000, True, date(2024, 3, 1)),
    ]
    assert quarantined(con, "row_key, rule") == [("C1", "unique key")]


@pytest.mark.parametrize(
    ("loaded_at", "known"), [("2024-06-11T09:00:00", date(2024, 6, 11)), ("2024-05-01", date(2024, 6, 9))]
)
def test_with_loaded_at_an_undated_row_is_known_by_both(
    con: duckdb.DuckDBPyConnection, raw: Path, loaded_at: str, known: date
) -> None:
    company(raw, risk_signals=[_undated(loaded_at=loaded_at)])
    put(con, raw)
    assert landed(con, "risk_signals", "known_date") == [(known,)]


def test_an_unreadable_date_quarantines_the_row_and_leaves_no_trace_in_the_ledger(
    con: duckdb.DuckDBPyConnection, raw: Path
) -> None:
    company(raw, risk_signals=[row("risk_signals", recorded_at="last spring")])
    put(con, raw)
    assert landed(con, "risk_signals") == landed(con, "undated_ledger") == []
    assert quarantined(con, "kind, column_name, value, rule") == [
        ("row", "recorded_at", "last spring", "readable date")
    ]


def test_a_value_of_this_week_that_is_taken_back_within_the_week_was_never_there(
    con: duckdb.DuckDBPyConnection, raw: Path
) -> None:
    company(raw, risk_signals=[_undated()])
    put(con, raw)
    before = landed(con, "risk_signals")
    for mistake in ([_undated(vendor_risk_flags="9")], []):
        write(raw, "risk_signals", mistake)
        put(con, raw, now=NOW + WEEK)
        write(raw, "risk_signals", [_undated()])
        put(con, raw, now=NOW + WEEK)
        assert landed(con, "risk_signals") == before


def test_rows_of_nobody_are_not_stamped_until_somebody_knows_them(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw, risk_signals=[_undated(customer_id="C2")])
    put(con, raw)
    assert landed(con, "undated_ledger") == []
    write(raw, "customers", [row("customers"), row("customers", customer_id="C2")])
    put(con, raw, now=NOW + WEEK)
    assert landed(con, "risk_signals", "customer_id, known_date") == [("C2", date(2024, 6, 16))]


def test_a_vanished_customers_history_is_hidden_and_kept(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw, risk_signals=[_undated()])
    put(con, raw)
    before = landed(con, "risk_signals")
    write(raw, "customers", [row("customers", customer_id="C2")])
    put(con, raw)
    assert landed(con, "risk_signals") == []
    write(raw, "customers", [row("customers")])
    put(con, raw, now=NOW + WEEK)
    assert landed(con, "risk_signals") == before
