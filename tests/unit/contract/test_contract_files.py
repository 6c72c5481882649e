"""Finding and reading raw files: forms, oddities of CSV, types of Parquet, and names that look like something else."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import duckdb
import pytest

from churn_pipeline.contract import TABLES
from churn_pipeline.contract.problems import UnusableError
from churn_pipeline.core.errors import InputError
from tests.unit.contract.landing_helpers import CUSTOMER, company, landed, put, quarantined, row, write

EVENT_HEADER = "event_id,customer_id,timestamp,event_type,feature_adoption_score"


def _parquet(path: Path, select: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as con:
        con.execute("set TimeZone = 'UTC'")
        con.execute(f"copy ({select}) to '{str(path).replace(chr(39), chr(39) * 2)}' (format parquet)")


def _event_csv(raw: Path, content: bytes, name: str = "usage_events.csv") -> None:
    (raw / name).parent.mkdir(exist_ok=True)
    (raw / name).write_bytes(content)


# --- discovery


def test_every_table_is_always_landed_with_its_exact_columns(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw)
    put(con, raw)
    for table in TABLES.values():
        columns = con.execute(f"select column_name, column_type from (describe landing.{table.name})").fetchall()
        assert columns == [(column.name, column.type) for column in table.landed]


def test_a_table_is_a_file_or_a_folder_of_parts_at_any_depth(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw)
    (raw / "usage_events.csv").unlink(missing_ok=True)
    write(raw, "usage_events", [row("usage_events")], "usage_events/dt=2024-03-01/a.csv")
    _parquet(
        raw / "usage_events/dt=2024-03-02/b.parquet",
        "select 'E2' as event_id, 'C1' as customer_id, timestamp '2024-03-02' as timestamp, 'x' as event_type, "
        "0.5::float as feature_adoption_score",
    )
    put(con, raw)
    assert landed(con, "usage_events", "event_id, adoption_micros") == [("E1", 250_000), ("E2", 500_000)]


@pytest.mark.parametrize("name", [".hidden.csv", "_temporary/part.csv", "part.csv.tmp", "_SUCCESS", "a/.b/c.csv"])
def test_hidden_and_temporary_files_are_ignored(con: duckdb.DuckDBPyConnection, raw: Path, name: str) -> None:
    company(raw)
    (raw / "usage_events.csv").unlink(missing_ok=True)
    write(raw, "usage_events", [row("usage_events")], "usage_events/a.csv")
    _event_csv(raw, b"", "usage_events/x.csv")
    (raw / "usage_events/x.csv").unlink(missing_ok=True)
    path = raw / "usage_events" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"half a fi")
    assert put(con, raw).tables["usage_events"].files_read == 1


def test_a_table_in_two_forms_is_refused(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw, usage_events=[])
    write(raw, "usage_events", [], "usage_events/a.csv")
    with pytest.raises(
        InputError, match=r"usage_events: the table is there twice, as usage_events/ and usage_events\.csv"
    ):
        put(con, raw)


def test_without_a_table_that_says_who_the_customers_are_nothing_lands(
    con: duckdb.DuckDBPyConnection, raw: Path
) -> None:
    company(raw)
    (raw / "customers.csv").rename(raw / "customers.xlsx")
    with pytest.raises(UnusableError, match=r"no table customers.*customers\.xlsx") as refused:
        put(con, raw)
    (problem,) = refused.value.problems
    assert problem.table == "customers"


def test_a_folder_without_parts_is_a_missing_table(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw)
    (raw / "customers.csv").unlink(missing_ok=True)
    (raw / "customers").mkdir()
    with pytest.raises(UnusableError, match="no table customers"):
        put(con, raw)


def test_a_directory_that_is_not_there_is_named(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    with pytest.raises(InputError, match="nowhere: there is no such directory"):
        put(con, raw / "nowhere")


@pytest.mark.parametrize(("table", "column"), [(t.name, c.name) for t in TABLES.values() for c in t.raw if c.required])
def test_a_missing_required_column_is_named_with_its_file(
    con: duckdb.DuckDBPyConnection, raw: Path, table: str, column: str
) -> None:
    company(raw)
    write(raw, table, [{name: value for name, value in row(table).items() if name != column}])
    with pytest.raises(InputError, match=rf"^{table}\.csv: the column is missing: {column}; found: "):
        put(con, raw)


def test_a_part_without_a_required_column_is_named_among_its_siblings(
    con: duckdb.DuckDBPyConnection, raw: Path
) -> None:
    company(raw)
    (raw / "usage_events.csv").unlink(missing_ok=True)
    write(raw, "usage_events", [row("usage_events")], "usage_events/a.csv")
    _parquet(raw / "usage_events/b.parquet", "select 'E2' as event_id")
    with pytest.raises(InputError, match=r"^usage_events/b\.parquet: the columns are missing: customer_id, timestamp"):
        put(con, raw)


def test_absent_optional_tables_and_columns_land_empty(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw)
    put(con, raw)
    assert landed(con, "customers", "upgrade_date, censor_date, seats, csm_owner, company_name") == [(None,) * 5]
    assert landed(con, "plan_changes") == landed(con, "interventions") == []


def test_what_was_left_aside_is_said(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw)
    (raw / "usage_events.csv").unlink(missing_ok=True)
    write(raw, "usage_events", [row("usage_events")], "usage_events/a.csv")
    (raw / "usage_events/b.xlsx").write_bytes(b"x")
    (raw / "intervention.csv").write_text("x")
    notices = "\n".join(put(con, raw).notices)
    assert (
        "usage_events/ holds 1 file(s) that are neither Parquet nor CSV nor JSON lines and were not read, such as b.xlsx"
        in notices
    )
    assert "not a table of the contract and not read: intervention.csv" in notices


def test_columns_match_in_any_case_and_extra_ones_stay_out(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw)
    customer = {f" {name.upper()} ": value for name, value in CUSTOMER.items()} | {
        "secret": "x",
        "known_date": "1999-01-01",
    }
    write(raw, "customers", [customer])
    put(con, raw)
    assert landed(con, "customers", "customer_id, mrr_cents, known_date") == [("C1", 9990, date(2024, 1, 10))]


def test_a_column_that_is_there_twice_is_refused(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw)
    (raw / "customers.csv").write_text("customer_id,mrr, MRR\n")
    with pytest.raises(InputError, match=r"customers\.csv: column mrr is there twice"):
        put(con, raw)


# --- CSV


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + EVENT_HEADER.encode() + b"\nE1,C1,2024-03-01,a,0.5\n",
        EVENT_HEADER.encode() + b"\r\nE1,C1,2024-03-01,a,0.5\r\n",
        EVENT_HEADER.encode() + b"\nE1,C1,2024-03-01,a,0.5\n\n",
        EVENT_HEADER.encode() + b'\n"E1","C1","2024-03-01","a","0.5"\n',
        b'"event_id","customer_id","timestamp","event_type","feature_adoption_score"\nE1,C1,2024-03-01,a,0.5\n',
        EVENT_HEADER.encode() + b"\n  E1 , C1 , 2024-03-01 , a , 0.5 \n",
    ],
    ids=["byte order mark", "CRLF", "blank last line", "quotes", "quoted header", "blanks"],
)
def test_oddities_of_csv_make_no_difference(con: duckdb.DuckDBPyConnection, raw: Path, content: bytes) -> None:
    company(raw)
    _event_csv(raw, content)
    put(con, raw)
    expected = [("E1", "C1", datetime(2024, 3, 1), "a", 500_000)]
    assert landed(con, "usage_events", "event_id, customer_id, event_at, event_type, adoption_micros") == expected


def test_quoted_commas_quotes_and_newlines_are_content(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw, customers=[row("customers", industry='a, "b"\nc; d')])
    put(con, raw)
    assert landed(con, "customers", "industry") == [('a, "b"\nc; d',)]


def test_leading_zeros_of_an_id_are_kept(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(
        raw, customers=[row("customers", customer_id="0042")], risk_signals=[row("risk_signals", customer_id="0042")]
    )
    put(con, raw)
    assert landed(con, "risk_signals", "customer_id") == [("0042",)]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (EVENT_HEADER.encode() + b"\nE1,C1,2024-03-01,a,0.5\nE2,C1,2024", "half-written"),
        (EVENT_HEADER.encode() + b"\nE1,C1,2024-03-01,a,0.25" * 12 + b"\nE2,C1,2024-03-01,a,0.", "half-written"),
        (EVENT_HEADER.encode() + b"\nE1,C1,2024-03-01,a,0.5\nE2,C1,2024\n", "3: the row has 3 cells and the header 5"),
        (EVENT_HEADER.encode() + b'\nE1,C1,2024-03-01,a,0.5\nE2,C1,"2024\n', "3: a quote .* is never closed"),
        (EVENT_HEADER.encode() + b"\nE1,C1,2024-03-01,a,0.5,more\n", "2: the row has 6 cells and the header 5"),
        (
            EVENT_HEADER.encode() + "\nE1,C1,2024-03-01,Müller üü,0.5\nE1,C1,2024,".encode() + b"\xc3,0\n",
            "3: .* no UTF-8",
        ),
        (b"", "empty, without even a header"),
    ],
    ids=[
        "cut in a line",
        "cut in the last value",
        "short line",
        "open quote",
        "long line",
        "damaged letter",
        "nothing",
    ],
)
def test_a_damaged_csv_is_refused_by_name(
    con: duckdb.DuckDBPyConnection, raw: Path, content: bytes, expected: str
) -> None:
    company(raw)
    (raw / "usage_events.csv").unlink(missing_ok=True)
    write(raw, "usage_events", [row("usage_events", event_id="E0")], "usage_events/a.csv")
    _event_csv(raw, content, "usage_events/b.csv")
    with pytest.raises(InputError, match=rf"^usage_events/b\.csv[:,].*{expected}"):
        put(con, raw)


@pytest.mark.parametrize("kept", [0, 20, 200, -1])
def test_a_truncated_parquet_file_is_refused_by_name(con: duckdb.DuckDBPyConnection, raw: Path, kept: int) -> None:
    company(raw)
    (raw / "customers.csv").unlink(missing_ok=True)
    path = raw / "customers.parquet"
    _parquet(path, "select 'C1' customer_id, '' industry, '' plan_tier, today() signup_date, 1 mrr, null churn_date")
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InputError, match=r"^customers\.parquet: the file cannot be read"):
        put(con, raw)


def test_a_parquet_file_damaged_inside_is_refused_by_name(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw)
    (raw / "usage_events.csv").unlink(missing_ok=True)
    select = (
        "select 'E' || i as event_id, 'C1' as customer_id, timestamp '2024-03-01' as timestamp, md5(i::varchar) as "
        "event_type, 0.5 as feature_adoption_score from range(1000) as t(i)"
    )
    _parquet(raw / "usage_events/a.parquet", select)
    content = bytearray((raw / "usage_events/a.parquet").read_bytes())
    content[2000:12000] = b"\xff" * 10_000
    (raw / "usage_events/b.parquet").write_bytes(content)
    with pytest.raises(InputError, match=r"^usage_events/b\.parquet: the file cannot be read"):
        put(con, raw)


# --- types


@pytest.mark.parametrize(
    "value", ["99.9::double", "99.9::float", "99.9::decimal(9, 2)", "'99.90'", "99.9::decimal(18, 4)"]
)
def test_numbers_come_as_any_type(con: duckdb.DuckDBPyConnection, raw: Path, value: str) -> None:
    company(raw)
    (raw / "customers.csv").unlink(missing_ok=True)
    _parquet(
        raw / "customers.parquet",
        f"select 'C1'::enum('C1') customer_id, null industry, 'growth' plan_tier, date '2024-01-10' signup_date, {value} mrr, "
        "null::int churn_date, 5::double seats",
    )
    put(con, raw)
    assert landed(con, "customers", "customer_id, mrr_cents, churn_date, seats") == [("C1", 9990, None, 5)]
    assert quarantined(con) == []


@pytest.mark.parametrize("value", ["42", "42::double", "42::utinyint", "'42'", "'42'::blob"])
def test_ids_agree_across_types(con: duckdb.DuckDBPyConnection, raw: Path, value: str) -> None:
    company(raw, customers=[row("customers", customer_id="42")])
    (raw / "risk_signals.csv").unlink(missing_ok=True)
    _parquet(
        raw / "risk_signals.parquet",
        f"select {value} as customer_id, 0.5 as compliance_gap_score, 1 as vendor_risk_flags, date '2024-03-01' as recorded_at",
    )
    put(con, raw)
    assert landed(con, "risk_signals", "customer_id") == [("42",)]


def test_not_a_number_in_a_floating_column_is_null_and_no_bad_cell(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw)
    (raw / "support_tickets.csv").unlink(missing_ok=True)
    _parquet(
        raw / "support_tickets.parquet",
        "select 'T1' ticket_id, 'C1' customer_id, timestamp '2024-03-01' created_date, 'low' priority, "
        "'nan'::double resolution_time, 'x' topic",
    )
    put(con, raw)
    assert landed(con, "support_tickets", "resolution_seconds, resolved_date") == [(None, None)]
    assert quarantined(con) == []


def test_parts_may_differ_in_types_order_and_optional_columns(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw)
    (raw / "customers.csv").unlink(missing_ok=True)
    write(raw, "customers", [row("customers", seats="7")], "customers/a.csv")
    _parquet(
        raw / "customers/b.parquet",
        "select 5.5 as mrr, 'C2' as customer_id, 'x' as industry, 'free' as plan_tier, null as churn_date, "
        "timestamp '2024-02-01' as signup_date",
    )
    put(con, raw)
    expected = [("C1", date(2024, 1, 10), 9990, 7), ("C2", date(2024, 2, 1), 550, None)]
    assert landed(con, "customers", "customer_id, signup_date, mrr_cents, seats") == expected


def test_a_number_is_a_date_where_it_is_written_like_one(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw)
    (raw / "customers.csv").unlink(missing_ok=True)
    _parquet(
        raw / "customers.parquet",
        "select 'C1' customer_id, 'x' industry, 'free' plan_tier, 20240110 signup_date, 1 mrr, null churn_date",
    )
    put(con, raw)
    assert landed(con, "customers", "signup_date") == [(date(2024, 1, 10),)]


# --- names and values that look like something else

HOSTILE = "x'); drop table landing.customers; --\" {} $1 ?"


def test_hostile_column_names_are_kept_out(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw)
    (raw / "usage_events.csv").unlink(missing_ok=True)
    write(raw, "usage_events", [row("usage_events", **{HOSTILE: "1"})], "usage_events/a.csv")
    _parquet(
        raw / "usage_events/b.parquet",
        "select 'E2' as \" Event_ID\", 'C1' as customer_id, date '2024-03-01' as timestamp, 'a' as event_type, "
        f'0.5 as feature_adoption_score, 1 as "{HOSTILE.replace(chr(34), chr(34) * 2)}"',
    )
    put(con, raw)
    assert landed(con, "usage_events", "event_id") == [("E1",), ("E2",)]


def test_hostile_values_are_values(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    customers = [row("customers", customer_id=HOSTILE, plan_tier=HOSTILE, mrr=HOSTILE)]
    company(raw, customers=customers, usage_events=[row("usage_events", event_id=HOSTILE, customer_id=HOSTILE + "2")])
    put(con, raw, run_id=HOSTILE)
    assert landed(con, "customers", "customer_id") == [(HOSTILE,)]
    assert set(landed(con, "quarantine", "run_id, value")) == {(HOSTILE, HOSTILE), (HOSTILE, HOSTILE + "2")}


@pytest.mark.parametrize("name", ["it's", "a[1]*", "q?", "ü n i", "dt=2024-01-01/x", '"; select 1', "a,b", "{x}"])
def test_file_names_may_hold_anything(con: duckdb.DuckDBPyConnection, raw: Path, name: str) -> None:
    company(raw)
    (raw / "usage_events.csv").unlink(missing_ok=True)
    write(raw, "usage_events", [row("usage_events", feature_adoption_score="9")], f"usage_events/{name}.csv")
    write(raw, "usage_events", [row("usage_events", event_id="E2")], "usage_events/a1x.csv")
    _parquet(
        raw / f"usage_events/{name}.parquet",
        "select 'E3' as event_id, 'C1' as customer_id, date '2024-03-01' as timestamp, 'a' as event_type, "
        "0.5 as feature_adoption_score",
    )
    put(con, raw)
    assert landed(con, "usage_events", "event_id") == [("E1",), ("E2",), ("E3",)]
    assert quarantined(con, "file, value") == [(f"usage_events/{name}.csv", "9")]


def test_a_very_long_value_is_cut_in_the_quarantine_only(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw, customers=[row("customers", mrr="x" * 5000, industry="y" * 5000)])
    put(con, raw)
    assert quarantined(con, "length(value)") == [(200,)]
    assert landed(con, "customers", "length(industry)") == [(5000,)]
