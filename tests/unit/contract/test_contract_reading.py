"""What a landing makes of files that are written in other ways, in whatever order they arrive, and of a mapping applied to them."""

from __future__ import annotations

import gzip
from datetime import date
from pathlib import Path

import duckdb
import pytest

from churn_pipeline.contract.problems import UnusableError
from churn_pipeline.contract.shapes import SAMPLE_ROWS
from churn_pipeline.contract.source import ColumnSource, TableSource
from churn_pipeline.core.errors import InputError
from tests.unit.contract.landing_helpers import CUSTOMER, company, everything, landed, put, quarantined, row, write

DAY = date(2024, 1, 31)


def _dated(raw: Path, name: str, *days: str, first: int = 0) -> None:
    rows = [row("customers", customer_id=f"C{first + i}", churn_date=day) for i, day in enumerate(days)]
    write(raw, "customers", rows, f"customers/{name}.csv")


def _folder(raw: Path) -> None:
    company(raw)
    (raw / "customers.csv").unlink(missing_ok=True)


# --- the cases of the issue


def test_a_date_in_another_format_is_read_and_nobody_who_left_is_active(
    con: duckdb.DuckDBPyConnection, raw: Path
) -> None:
    company(raw, customers=[row("customers", churn_date="01/31/2024"), row("customers", customer_id="C2")])
    notices = put(con, raw).recognised
    assert landed(con, "customers", "churn_date") == [(DAY,), (None,)]
    assert "customers is read from customers.csv with churn_date as MM/DD/YYYY" in notices


def test_thousands_do_not_cost_the_largest_customers_their_revenue(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw, customers=[row("customers", mrr="1,130.00"), row("customers", customer_id="C2", mrr="99.90")])
    put(con, raw)
    assert landed(con, "customers", "mrr_cents") == [(9_990,), (113_000,)]


def test_a_folder_of_compressed_parts_is_a_table(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw, usage_events=[])
    text = (raw / "usage_events.csv").read_text() + "E1,C1,2024-03-01,a,0.5\n"
    (raw / "usage_events.csv").unlink(missing_ok=True)
    (raw / "usage_events").mkdir()
    (raw / "usage_events/part-0.csv.gz").write_bytes(gzip.compress(text.encode()))
    put(con, raw)
    assert landed(con, "usage_events", "event_id") == [("E1",)]


def test_an_unclosed_quote_is_told_by_its_line_and_without_anybodys_data(
    con: duckdb.DuckDBPyConnection, raw: Path
) -> None:
    customers = [
        row("customers", customer_id=f"C{i}", industry=f"Trade {i}", company_name=f"Acme {i} GmbH") for i in range(9)
    ]
    path = write(raw, "customers", customers)
    company(raw, customers=customers)
    text = (raw / "customers.csv").read_text().replace("C5,Trade", 'C5,"Unclosed Trade')
    path.write_text(text)
    with pytest.raises(InputError) as refusal:
        put(con, raw)
    assert str(refusal.value).startswith("customers.csv, line 7: a quote that opens in the row that begins here")
    for datum in ("Acme", "Trade", "C5", "Unclosed"):
        assert datum not in str(refusal.value)


def test_all_columns_that_are_missing_are_told_at_once_with_what_may_be_meant(
    con: duckdb.DuckDBPyConnection, raw: Path
) -> None:
    company(raw)
    (raw / "customers.csv").write_text("customer_id,signup_date,Plan Tier,mrr_usd\n")
    (raw / "risk_signals.csv").write_text("customer_id\n")
    with pytest.raises(UnusableError) as refusal:
        put(con, raw)
    text = str(refusal.value)
    assert "customers.csv: the columns are missing: industry, plan_tier, mrr, churn_date" in text
    assert "plan_tier may be 'Plan Tier'" in text
    assert "risk_signals.csv: the columns are missing: compliance_gap_score, vendor_risk_flags" in text


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('{"customer_id": "Acme', "this is not one whole JSON object"),
        ('["Acme"]', "this is JSON, but no object"),
    ],
)
def test_a_broken_line_of_json_is_told_by_its_number(
    con: duckdb.DuckDBPyConnection, raw: Path, line: str, fault: str
) -> None:
    company(raw)
    (raw / "customers.csv").unlink(missing_ok=True)
    good = '{"customer_id": "C1", "industry": "x", "plan_tier": "free", "signup_date": "2024-01-01", "mrr": 1, "churn_date": null}'
    (raw / "customers.jsonl").write_text(f"{good}\n\n{line}\n")
    with pytest.raises(InputError, match=rf"^customers\.jsonl, line 3: {fault}") as refusal:
        put(con, raw)
    assert "Acme" not in str(refusal.value)


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_damaged_archive_is_refused_by_name(con: duckdb.DuckDBPyConnection, raw: Path, suffix: str) -> None:
    company(raw)
    content = (raw / "customers.csv").read_bytes()
    (raw / "customers.csv").unlink(missing_ok=True)
    (raw / f"customers.csv{suffix}").write_bytes(gzip.compress(content)[:-9])
    with pytest.raises(InputError, match=rf"customers\.csv{suffix}: the compressed data are damaged or cut short"):
        put(con, raw)


# --- whatever the order


def test_the_form_of_dates_does_not_depend_on_the_order_in_which_files_arrive(
    con: duckdb.DuckDBPyConnection, raw: Path, tmp_path: Path
) -> None:
    _folder(raw)
    _dated(raw, "a", "2024-02-01")
    put(con, raw)
    _dated(raw, "b", "02/01/2024", "01/31/2024", first=10)
    put(con, raw)
    _dated(raw, "c", "02/03/2024", first=20)
    put(con, raw)
    step_by_step = everything(con)
    assert ("C20", date(2024, 2, 3)) in landed(con, "customers", "customer_id, churn_date")
    with duckdb.connect() as other:
        put(other, raw)
        assert everything(other) == step_by_step


def test_a_later_file_that_tells_the_decimal_sign_has_the_former_ones_read_anew(
    con: duckdb.DuckDBPyConnection, raw: Path
) -> None:
    company(raw)
    event = row("usage_events", feature_adoption_score="0,125")
    (raw / "usage_events.csv").unlink(missing_ok=True)
    write(raw, "usage_events", [event], "usage_events/a.csv")
    put(con, raw)
    assert put(con, raw).tables["usage_events"].unchanged
    ticket = row("support_tickets", resolution_time="1.250")
    (raw / "support_tickets.csv").unlink(missing_ok=True)
    write(raw, "support_tickets", [ticket], "support_tickets/a.csv")
    put(con, raw)
    assert landed(con, "support_tickets", "resolution_seconds") == [(4_500,)]
    write(
        raw, "support_tickets", [{**ticket, "ticket_id": "T2", "resolution_time": "1.250,5"}], "support_tickets/b.csv"
    )
    report = put(con, raw).tables["support_tickets"]
    assert report.reason == "other files tell how support_tickets/a.csv is written"
    assert landed(con, "support_tickets", "ticket_id, resolution_seconds") == [("T1", 4_500_000), ("T2", 4_501_800)]


def test_a_value_beyond_the_first_rows_tells_the_form_too(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    amounts = ["99.90"] * SAMPLE_ROWS + ["1,130.00"]
    customers = [row("customers", customer_id=f"C{i}", mrr=amount) for i, amount in enumerate(amounts)]
    company(raw, customers=customers)
    put(con, raw)
    assert con.execute("select max(mrr_cents) from landing.customers").fetchone() == (113_000,)
    assert quarantined(con) == []


def test_what_cannot_be_decided_is_told_for_all_tables_at_once(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(
        raw,
        customers=[row("customers", churn_date="02/03/2024", mrr="1,130")],
        contracts=[row("contracts", end_date="02/03/2025")],
    )
    with pytest.raises(UnusableError) as refusal:
        put(con, raw)
    assert [(problem.file, problem.what.split()[0]) for problem in refusal.value.problems] == [
        ("customers.csv", "mrr"),
        ("customers.csv", "churn_date"),
        ("contracts.csv", "end_date"),
    ]


# --- a mapping


def test_a_mapping_brings_columns_words_units_and_constants_in(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw)
    (raw / "customers.csv").unlink(missing_ok=True)
    (raw / "exports").mkdir()
    (raw / "exports/subs_1.txt").write_text("Id;Plan;Since;Yearly\nC1;PRO;31.01.2024;1200,60\n")
    (raw / "exports/subs_2.txt").write_text("Id;Plan;Since;Yearly\nC2;lite;15.02.2024;12\n")
    source = TableSource(
        "customers",
        files="exports/subs_*.txt",
        columns={
            "customer_id": ColumnSource(column="id"),
            "industry": ColumnSource(constant="Software"),
            "plan_tier": ColumnSource(column="Plan", words={"Pro": "growth", "Lite": "starter"}),
            "signup_date": ColumnSource(column="Since"),
            "mrr": ColumnSource(column="Yearly", unit="per_year"),
            "churn_date": ColumnSource(expression="case when \"Plan\" = 'lite' then '2024-03-01' end"),
        },
    )
    put(con, raw, sources={"customers": source})
    columns = "customer_id, industry, plan_tier, signup_date, mrr_cents, churn_date"
    assert landed(con, "customers", columns) == [
        ("C1", "Software", "growth", DAY, 10_005, None),
        ("C2", "Software", "starter", date(2024, 2, 15), 100, date(2024, 3, 1)),
    ]


def test_a_mapping_that_changes_has_the_table_landed_anew(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw, customers=[row("customers", mrr="100")])
    cents = {"customers": TableSource("customers", columns={"mrr": ColumnSource(column="mrr", unit="cents")})}
    put(con, raw)
    assert landed(con, "customers", "mrr_cents") == [(10_000,)]
    assert "mapping" in put(con, raw, sources=cents).tables["customers"].reason
    assert landed(con, "customers", "mrr_cents") == [(100,)]


def test_several_tables_may_read_one_file(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw, customers=[row("customers", term_end="2025-01-09")])
    contracts = TableSource(
        "contracts",
        files="customers.csv",
        columns={"start_date": ColumnSource(column="signup_date"), "end_date": ColumnSource(column="term_end")},
    )
    put(con, raw, sources={"contracts": contracts})
    assert landed(con, "contracts", "customer_id, end_date") == [("C1", date(2025, 1, 9))]


def test_a_mapping_that_names_nothing_is_a_problem(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw, risk_signals=[])
    sources = {
        "customers": TableSource("customers", files="nowhere/*.csv"),
        "risk_signals": TableSource("risk_signals", columns={"vendor_risk_flags": ColumnSource(column="flags")}),
    }
    with pytest.raises(UnusableError) as refusal:
        put(con, raw, sources=sources)
    assert "customers: no file is there for 'nowhere/*.csv'" in str(refusal.value)
    assert "flags (for vendor_risk_flags)" in str(refusal.value)


def test_an_expression_that_fails_on_a_row_is_named_without_the_value(
    con: duckdb.DuckDBPyConnection, raw: Path
) -> None:
    company(raw, customers=[row("customers", mrr="Acme")])
    source = TableSource("customers", columns={"mrr": ColumnSource(expression="mrr::INTEGER * 2")})
    with pytest.raises(InputError, match=r"customers\.csv: the expression for mrr cannot be computed") as refusal:
        put(con, raw, sources={"customers": source})
    assert "Acme" not in str(refusal.value)


def test_the_copies_of_files_are_private_and_gone_after_the_landing(
    con: duckdb.DuckDBPyConnection, raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    seen: list[int] = []

    def look(_: str) -> None:
        seen.extend(folder.stat().st_mode & 0o777 for folder in scratch.iterdir())

    company(raw)
    (raw / "customers.csv").write_bytes((raw / "customers.csv").read_text().encode("utf-16"))
    put(con, raw, progress=look)
    assert set(seen) == {0o700}
    assert list(scratch.iterdir()) == []
    assert landed(con, "customers", "customer_id") == [(CUSTOMER["customer_id"],)]
    write(raw, "customers", [row("customers", mrr="9")])
    put(con, raw)
