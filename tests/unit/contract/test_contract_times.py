"""Dates and instants: which day a value belongs to, in whatever type and time zone it comes."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from churn_pipeline.contract.statements import macros
from tests.unit.contract.landing_helpers import company, landed, put, quarantined, row

NEW_YORK = "America/New_York"


def _customers(raw: Path, signup: str) -> None:
    company(raw)
    (raw / "customers.csv").unlink(missing_ok=True)
    with duckdb.connect() as con:
        con.execute("set TimeZone = 'UTC'")
        con.execute(
            "copy (select 'C1' as customer_id, 'x' as industry, 'free' as plan_tier, 1 as mrr, null as churn_date, "
            f"{signup} as signup_date) to '{raw / 'customers.parquet'}'"
        )


def _events(raw: Path, timestamp: str) -> None:
    company(raw)
    (raw / "usage_events.csv").unlink(missing_ok=True)
    with duckdb.connect() as con:
        con.execute("set TimeZone = 'UTC'")
        con.execute(
            "copy (select 'E1' as event_id, 'C1' as customer_id, 'x' as event_type, 0 as feature_adoption_score, "
            f"{timestamp} as timestamp) to '{raw / 'usage_events.parquet'}'"
        )


@pytest.mark.parametrize(
    ("written", "day"),
    [
        ("date '2024-03-10'", date(2024, 3, 10)),
        ("timestamp '2024-03-10 00:00:00'", date(2024, 3, 10)),
        ("timestamp_ns '2024-03-10 00:00:00'", date(2024, 3, 10)),
        ("timestamp_s '2024-03-10 03:00:00'", date(2024, 3, 9)),
        ("timestamp '2024-03-10 04:59:59.999999'", date(2024, 3, 9)),
        ("timestamp_ms '2024-03-10 05:00:00'", date(2024, 3, 10)),
        ("timestamptz '2024-03-10 00:00:00+00'", date(2024, 3, 9)),
        ("timestamptz '2024-03-10 05:00:00+00'", date(2024, 3, 10)),
        ("'2024-03-10'", date(2024, 3, 10)),
        ("' 2024-3-10 '", date(2024, 3, 10)),
        ("'2024-03-10 00:00:00'", date(2024, 3, 10)),
        ("'2024-03-10T00:00:00.000'", date(2024, 3, 10)),
        ("'2024-03-10T03:00'", date(2024, 3, 9)),
        ("'2024-03-10T00:00:00Z'", date(2024, 3, 9)),
        ("'2024-03-10T01:00:00+02:00'", date(2024, 3, 9)),
        ("'2024-03-10 00:00:00 -0500'", date(2024, 3, 10)),
        ("'2024-03-10 05:00:00 UTC'", date(2024, 3, 10)),
    ],
)
def test_a_date_is_the_local_one(con: duckdb.DuckDBPyConnection, raw: Path, written: str, day: date) -> None:
    _customers(raw, written)
    put(con, raw, timezone=NEW_YORK)
    assert landed(con, "customers", "signup_date") == [(day,)]


@pytest.mark.parametrize(
    ("written", "instant", "day"),
    [
        # A date alone is the local midnight, before and after the change to summer time of 2024-03-10.
        ("date '2024-03-10'", datetime(2024, 3, 10, 5), date(2024, 3, 10)),
        ("date '2024-03-11'", datetime(2024, 3, 11, 4), date(2024, 3, 11)),
        ("'2024-03-11'", datetime(2024, 3, 11, 4), date(2024, 3, 11)),
        ("timestamp '2024-03-10 00:00:00'", datetime(2024, 3, 10), date(2024, 3, 9)),
        ("'2024-03-10 00:00:00'", datetime(2024, 3, 10), date(2024, 3, 9)),
        ("timestamp_ns '2024-03-10 06:59:59.123456'", datetime(2024, 3, 10, 6, 59, 59, 123456), date(2024, 3, 10)),
        ("timestamptz '2024-03-11 03:59:59+00'", datetime(2024, 3, 11, 3, 59, 59), date(2024, 3, 10)),
        ("timestamptz '2024-03-11 04:00:00+00'", datetime(2024, 3, 11, 4), date(2024, 3, 11)),
        ("'2024-03-11T00:00:00-04:00'", datetime(2024, 3, 11, 4), date(2024, 3, 11)),
        ("'2024-03-11T09:30:00+0530'", datetime(2024, 3, 11, 4), date(2024, 3, 11)),
        ("'2024-03-11T04:00:00Z'", datetime(2024, 3, 11, 4), date(2024, 3, 11)),
    ],
)
def test_an_instant_is_utc_and_a_date_alone_is_its_local_midnight(
    con: duckdb.DuckDBPyConnection, raw: Path, written: str, instant: datetime, day: date
) -> None:
    _events(raw, written)
    put(con, raw, timezone=NEW_YORK)
    assert landed(con, "usage_events", "event_at, event_date, known_date") == [(instant, day, day)]


@pytest.mark.parametrize(
    "written",
    [
        "epoch",
        "infinity",
        "20241310",
        "10.13.2024",
        "2024-02-30",
        "2024-03-10 25:00",
        "0000-01-01",
        "soon",
    ],
)
def test_what_is_no_date_is_unreadable(con: duckdb.DuckDBPyConnection, raw: Path, written: str) -> None:
    company(
        raw, usage_events=[row("usage_events", timestamp=written)], customers=[row("customers", churn_date=written)]
    )
    put(con, raw)
    assert quarantined(con, "source, kind, value, rule") == [
        ("customers", "cell", written, "readable date"),
        ("usage_events", "row", written, "not missing"),
    ]


@pytest.mark.parametrize(
    "written", ["make_timestamp(9223372036854775000)", "timestamp_ms '290000-01-01'", "timestamp '0001-01-01'"]
)
def test_garbage_far_outside_of_the_calendar_is_unreadable(
    con: duckdb.DuckDBPyConnection, raw: Path, written: str
) -> None:
    _events(raw, written)
    put(con, raw, timezone=NEW_YORK)
    assert quarantined(con, "rule") == [("not missing",)]


def test_never_written_as_the_last_day_of_the_calendar_is_a_future_date(
    con: duckdb.DuckDBPyConnection, raw: Path
) -> None:
    company(raw, customers=[row("customers", churn_date="9999-12-31")])
    put(con, raw, timezone="Pacific/Kiritimati")
    assert landed(con, "customers", "churn_date") == [(None,)]
    assert quarantined(con, "rule") == [("not after now",)]


@pytest.mark.parametrize("zone", ["UTC", NEW_YORK, "America/Santiago", "America/Havana", "Asia/Kathmandu"])
@given(day=st.dates(date(1990, 1, 1), date(2037, 12, 31)))
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_local_midnight_lies_on_its_own_date_whatever_the_clock_does(
    con: duckdb.DuckDBPyConnection, zone: str, day: date
) -> None:
    for name, body in macros(zone, datetime(2024, 1, 1, tzinfo=UTC)).items():
        con.execute(f"create or replace temp macro {name} as {body}")
    # The clock jumps over midnight in Santiago on 2024-09-08, and back over it in Havana on 2024-11-03.
    for candidate in (day, date(2024, 9, 8), date(2024, 11, 3)):
        result = con.execute("select local_midnight(?::date), local_date(local_midnight(?::date))", [candidate] * 2)
        midnight, back = result.fetchone() or (None, None)
        assert back == candidate
        assert isinstance(midnight, datetime)
        before = (midnight.replace(tzinfo=UTC) - timedelta(hours=1, seconds=1)).astimezone(ZoneInfo(zone))
        assert before.date() < candidate


def test_today_is_the_local_day(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    now = datetime(2024, 6, 12, 2, 0, tzinfo=UTC)
    company(raw, customers=[row("customers", churn_date="2024-06-12")])
    put(con, raw, now=now, timezone=NEW_YORK)
    assert landed(con, "customers", "churn_date") == [(None,)]
    put(con, raw, now=now, timezone="UTC")
    assert landed(con, "customers", "churn_date") == [(date(2024, 6, 12),)]


def test_an_instant_is_compared_with_the_instant_of_landing(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw, usage_events=[row("usage_events", timestamp="2024-06-12T15:00:01+00:00")])
    put(con, raw, timezone="Asia/Tokyo")
    assert quarantined(con, "rule") == [("not after now",)]


def test_a_ticket_is_resolved_on_the_local_date_of_opening_plus_hours(
    con: duckdb.DuckDBPyConnection, raw: Path
) -> None:
    ticket = row("support_tickets", created_date="2024-03-10T04:30:00", resolution_time="24.25")
    company(raw, support_tickets=[ticket])
    put(con, raw, timezone=NEW_YORK)
    columns = "created_at, created_date, resolution_seconds, resolved_date"
    # 04:30 UTC on the 11th is 00:30 in New York: the night before had only 23 hours.
    expected = [(datetime(2024, 3, 10, 4, 30), date(2024, 3, 9), 87_300, date(2024, 3, 11))]
    assert landed(con, "support_tickets", columns) == expected


@pytest.mark.parametrize("zone", ["UTC", NEW_YORK, "Asia/Tokyo"])
def test_a_late_row_counts_from_the_day_it_was_loaded(con: duckdb.DuckDBPyConnection, raw: Path, zone: str) -> None:
    late = {"loaded_at": "2024-06-01T23:30:00Z"}
    tables = ("customers", "usage_events", "support_tickets", "gtm_opportunities", "risk_signals", "plan_changes")
    company(raw, **{name: [row(name, **late)] for name in tables})
    put(con, raw, timezone=zone)
    day = date(2024, 6, 2) if zone == "Asia/Tokyo" else date(2024, 6, 1)
    for name in tables:
        assert landed(con, name, "known_date") == [(day,)]


def test_a_row_loaded_before_its_own_date_counts_from_its_own_date(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw, contracts=[row("contracts", start_date="2024-03-01", loaded_at="2024-01-01")])
    put(con, raw)
    assert landed(con, "contracts", "known_date") == [(date(2024, 3, 1),)]


def test_an_opportunity_without_created_date_is_never_known(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw, gtm_opportunities=[row("gtm_opportunities", created_date="", loaded_at="2024-05-01")])
    put(con, raw)
    assert landed(con, "gtm_opportunities", "opp_id, known_date") == [("O1", None)]
    assert con.execute("select count(*) from landing.fact_digests where source = 'gtm_opportunities'").fetchone() == (
        0,
    )


def test_the_session_keeps_its_time_zone(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    con.execute("set TimeZone = 'Asia/Tokyo'")
    company(raw, usage_events=[row("usage_events", timestamp="2024-03-01 10:00:00")])
    put(con, raw)
    assert landed(con, "usage_events", "event_at") == [(datetime(2024, 3, 1, 10),)]
    assert con.execute("select current_setting('TimeZone')").fetchone() == ("Asia/Tokyo",)
