"""Every rule of the declaration, broken once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from churn_pipeline.contract import TABLES, Kind, TableReport
from churn_pipeline.core.errors import InputError
from tests.unit.contract.landing_helpers import NOW, ROWS, company, landed, put, quarantined, row, write

TOMORROW = (NOW + timedelta(days=1)).date().isoformat()


@dataclass(frozen=True)
class Case:
    """One way to break one rule: the values that a good row is changed by."""

    table: str
    rule: str
    kind: str
    blamed: str
    values: tuple[tuple[str, str], ...]


def _cases() -> list[Case]:
    cases = []
    for table in TABLES.values():
        for rule in table.rules:
            blamed = rule.columns[0]
            kind = next(column.kind for column in table.columns if column.name == blamed)
            others: tuple[tuple[str, str], ...] = ()
            match rule.name:
                case "not missing":
                    bad = {Kind.DATE: "last spring", Kind.INSTANT: "epoch", Kind.CATEGORY: "platinum"}.get(kind, "")
                case "readable date" | "readable number" | "readable flag":
                    bad = "some"
                case "in range":
                    bad = "-1"
                case "known category":
                    bad = "platinum"
                case "not after now":
                    bad = TOMORROW
                    others = (("stage", "closed_won"),) if "stage" in rule.columns else ()
                case "not before signup_date" | "not before start_date" | "not before started_at":
                    bad = "2024-01-09"
                case "known currency":
                    bad = "XXX"
                case "known customer":
                    bad = "nobody"
                case "resolved by now":
                    bad = "20000"
                case _:
                    raise AssertionError(f"{table.name}: no example of breaking '{rule.name}'")
            cases.append(Case(table.name, rule.name, rule.kind, blamed, ((blamed, bad), *others)))
    return cases


CASES = _cases()


@dataclass(frozen=True)
class Outcome:
    """What became of one table: its landed rows, its problems and its report."""

    rows: list[tuple[Any, ...]]
    problems: list[tuple[Any, ...]]
    report: TableReport


def _outcomes(raw: Path, tables: dict[str, dict[str, Any]]) -> dict[str, Outcome]:
    with duckdb.connect() as con:
        report = put(con, company(raw, **{table: [values] for table, values in tables.items()}))
        problems = quarantined(con, "source, kind, column_name, value, rule, run_id, file")
        return {
            name: Outcome(landed(con, name), [p[1:] for p in problems if p[0] == name], report.tables[name])
            for name in tables
        }


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    return _outcomes(tmp_path_factory.mktemp("good"), dict(ROWS))


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> dict[Case, Outcome]:
    """The outcome of every case. Cases of different tables share a landing; a broken customer would break the others too."""
    waiting = list(CASES)
    outcomes: dict[Case, Outcome] = {}
    while waiting:
        together: dict[str, Case] = {}
        for case in waiting:
            if not {case.table, "customers"} & together.keys() and (case.table != "customers" or not together):
                together[case.table] = case
        tables = {name: row(name, **dict(case.values)) for name, case in together.items()}
        result = _outcomes(tmp_path_factory.mktemp("broken"), tables)
        outcomes |= {case: result[name] for name, case in together.items()}
        waiting = [case for case in waiting if case not in outcomes]
    return outcomes


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.table}-{case.kind}-{case.rule}-{case.blamed}")
def test_a_broken_rule_quarantines_the_row_or_blanks_the_cell_and_nothing_else(
    good: dict[str, Outcome], broken: dict[Case, Outcome], case: Case
) -> None:
    outcome = broken[case]
    value = dict(case.values)[case.blamed] or None
    assert outcome.problems == [(case.kind, case.blamed, value, case.rule, "run", f"{case.table}.csv")]
    assert outcome.report.rows_read == 1
    if case.kind == "row":
        assert outcome.rows == []
        assert (outcome.report.rows_landed, outcome.report.bad_rows) == (0, {case.rule: 1})
        return
    assert (outcome.report.rows_landed, outcome.report.bad_rows) == (1, {})
    assert outcome.report.bad_cells == {f"{case.blamed}: {case.rule}": 1}
    columns = [column.name for column in TABLES[case.table].landed]
    pairs = zip(columns, good[case.table].rows[0], outcome.rows[0], strict=True)
    # A blanked cell makes its landed columns null; only what is derived from it may change otherwise.
    assert {name for name, was, now in pairs if was != now and now is not None} <= {"known_date", "is_dated", "stage"}


@pytest.mark.parametrize("column", ["compliance_gap_score", "feature_adoption_score", "propensity_at_outreach"])
def test_a_share_above_one_is_out_of_range(con: duckdb.DuckDBPyConnection, raw: Path, column: str) -> None:
    table = next(t.name for t in TABLES.values() if column in {c.name for c in t.raw})
    company(raw, **{table: [row(table, **{column: "1.0001"})]})
    put(con, raw)
    assert quarantined(con, "column_name, value, rule") == [(column, "1.0001", "in range")]


def test_what_is_no_plain_number_within_reason_is_no_money(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    values = sorted(["five", "0x10", "1_000", "1e13", "5 apples", "inf", "1-5"])
    company(raw, customers=[row("customers", customer_id=value, mrr=value) for value in values])
    put(con, raw)
    assert landed(con, "customers", "customer_id, mrr_cents") == [(value, None) for value in values]
    assert quarantined(con, "row_key, kind, column_name, value") == [(v, "cell", "mrr", v) for v in values]


def test_money_lands_as_whole_cents(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    cents = {"+7": 700, ".5": 50, "": None, "0.005": 1, " 12.345 ": 1235, "1e3": 100_000}
    company(raw, customers=[row("customers", customer_id=f"<{value}>", mrr=value) for value in cents])
    put(con, raw)
    assert dict(landed(con, "customers", "customer_id, mrr_cents")) == {f"<{value}>": c for value, c in cents.items()}
    assert quarantined(con) == []


def test_half_a_flag_is_no_count(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw, risk_signals=[row("risk_signals", vendor_risk_flags="2.5")])
    put(con, raw)
    assert landed(con, "risk_signals", "vendor_risk_flags") == [(None,)]


def test_flags_are_read_in_the_usual_spellings(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    flags = {
        "true": True,
        "T": True,
        "Yes": True,
        "y": True,
        "1": True,
        "FALSE": False,
        "f": False,
        "no": False,
        "0": False,
    }
    days = {f"2024-02-{day:02}": text for day, text in enumerate(flags, start=1)}
    company(raw, contracts=[row("contracts", start_date=day, auto_renew=text) for day, text in days.items()])
    put(con, raw)
    assert {days[str(day)]: flag for day, flag in landed(con, "contracts", "start_date, auto_renew")} == flags


def test_categories_match_in_any_case_and_free_text_keeps_its_own(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(
        raw,
        customers=[row("customers", plan_tier=" GROWTH ", industry="Oil & Gas")],
        usage_events=[row("usage_events", event_type=" Api_Call ")],
        gtm_opportunities=[row("gtm_opportunities", stage="Closed_Won", close_date="2024-05-01")],
    )
    put(con, raw)
    assert landed(con, "customers", "plan_tier, industry") == [("growth", "Oil & Gas")]
    assert landed(con, "usage_events", "event_type") == [("api_call",)]
    assert landed(con, "gtm_opportunities", "stage") == [("closed_won",)]
    assert quarantined(con) == []


def test_an_open_opportunity_may_close_in_the_future(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw, gtm_opportunities=[row("gtm_opportunities", close_date="2030-01-01")])
    put(con, raw)
    assert landed(con, "gtm_opportunities", "close_date") == [(date(2030, 1, 1),)]


def test_a_row_is_blamed_once_and_its_cells_are_left_alone(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    bad = row("usage_events", event_id="", customer_id="nobody", timestamp="soon", feature_adoption_score="7")
    company(raw, usage_events=[bad])
    report = put(con, raw)
    assert quarantined(con) == [("usage_events", None, "row", "event_id", None, "not missing")]
    assert report.tables["usage_events"].bad_rows == {"not missing": 1}


def test_several_bad_cells_of_a_row_are_recorded_one_by_one(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw, customers=[row("customers", mrr="-5", plan_tier="gold", churn_date="2031-01-01")])
    put(con, raw)
    assert quarantined(con, "column_name, value, rule") == [
        ("churn_date", "2031-01-01", "not after now"),
        ("mrr", "-5", "in range"),
        ("plan_tier", "gold", "known category"),
    ]
    assert landed(con, "customers", "customer_id, mrr_cents, plan_tier, churn_date") == [("C1", None, None, None)]


def test_personal_data_never_reaches_the_quarantine(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    for table in TABLES.values():
        personal = {column.name for column in table.columns if column.pii}
        assert not personal & {name for rule in (*table.rules, table.unique_key) for name in rule.columns}
        assert not any(name in value for name in personal for fact in table.facts for value in fact.values)
    secret = "Wayne Enterprises"
    customers = [
        row("customers", company_name=secret),
        row("customers", company_name=secret, mrr="-1"),
        row("customers", customer_id="C2", company_name=secret, signup_date=""),
    ]
    company(raw, customers=customers)
    put(con, raw)
    assert len(quarantined(con)) == 3
    assert not any(secret in str(line) for line in quarantined(con, "*"))


# --- repeated keys


@pytest.mark.parametrize("flipped", [False, True])
def test_of_a_repeated_id_the_earliest_dated_row_wins(con: duckdb.DuckDBPyConnection, raw: Path, flipped: bool) -> None:
    events = [
        row("usage_events", timestamp="2024-03-02T10:00:00", event_type="late"),
        row("usage_events", timestamp="2024-03-01T11:00:00", event_type="early"),
        row("usage_events", timestamp="2024-03-01T11:30:00", event_type="same day"),
    ]
    company(raw, usage_events=events[::-1] if flipped else events)
    report = put(con, raw)
    assert landed(con, "usage_events", "event_type") == [("early",)]
    assert quarantined(con) == [("usage_events", "E1", "row", "event_id", None, "unique key")] * 2
    assert report.tables["usage_events"].bad_rows == {"unique key": 2}


def test_with_loaded_at_the_row_that_was_known_first_wins(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    events = [
        row("usage_events", timestamp="2024-03-01", event_type="backdated", loaded_at="2024-05-01"),
        row("usage_events", timestamp="2024-03-07", event_type="known first", loaded_at="2024-03-08"),
    ]
    company(raw, usage_events=events)
    put(con, raw)
    assert landed(con, "usage_events", "event_type, known_date") == [("known first", date(2024, 3, 8))]


@pytest.mark.parametrize("flipped", [False, True])
def test_equal_dates_are_settled_by_content(con: duckdb.DuckDBPyConnection, raw: Path, flipped: bool) -> None:
    events = [
        row("usage_events", event_type="b"),
        row("usage_events", event_type="a"),
        row("usage_events", event_type="a"),
    ]
    company(raw, usage_events=events[::-1] if flipped else events)
    put(con, raw)
    assert landed(con, "usage_events", "event_type") == [("a",)]


def test_a_row_that_cannot_be_used_does_not_compete_for_the_key(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    events = [row("usage_events", customer_id="nobody", timestamp="2024-01-15"), row("usage_events")]
    company(raw, usage_events=events)
    put(con, raw)
    assert landed(con, "usage_events", "customer_id") == [("C1",)]


def test_the_quarantine_names_the_files_that_repeat_a_key(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw)
    (raw / "usage_events.csv").unlink(missing_ok=True)
    write(raw, "usage_events", [row("usage_events")], "usage_events/a.csv")
    other = row("usage_events", event_type="other")
    write(raw, "usage_events", [other, row("usage_events", event_id="E2")], "usage_events/b.csv")
    put(con, raw)
    assert quarantined(con, "row_key, file") == [("E1", "usage_events/a.csv, usage_events/b.csv")]


def test_assessments_of_one_customer_at_different_times_are_not_repeats(
    con: duckdb.DuckDBPyConnection, raw: Path
) -> None:
    other = row("risk_signals", vendor_risk_flags="7")
    signals = [row("risk_signals"), row("risk_signals", recorded_at="2024-03-01T10:00:01"), other]
    company(raw, risk_signals=signals)
    put(con, raw)
    assert len(landed(con, "risk_signals")) == 2
    assert quarantined(con, "row_key, rule") == [("C1|2024-03-01 10:00:00", "unique key")]


# --- too many bad rows


def _events(good: int, bad: int) -> list[dict[str, Any]]:
    rows = [row("usage_events", event_id=f"E{i}") for i in range(good)]
    return rows + [row("usage_events", event_id=f"B{i}", customer_id="nobody") for i in range(bad)]


@pytest.mark.parametrize(
    ("good", "bad", "stops"), [(379, 20, False), (380, 21, True), (399, 21, False), (0, 20, False)]
)
def test_landing_stops_only_over_both_limits(
    con: duckdb.DuckDBPyConnection, raw: Path, good: int, bad: int, stops: bool
) -> None:
    company(raw, usage_events=_events(good, bad))
    if not stops:
        put(con, raw, max_bad_share=0.05, max_bad_rows=20)
        assert len(landed(con, "usage_events")) == good
        return
    with pytest.raises(InputError):
        put(con, raw, max_bad_share=0.05, max_bad_rows=20)
    tables = con.execute("select table_name from duckdb_tables() where schema_name = 'landing'").fetchall()
    assert tables == [("refused_quarantine",)]


def test_the_refusal_names_table_file_rules_counts_and_examples(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    events = [
        *_events(50, 30),
        row("usage_events", event_id="F1", timestamp="2031-01-01"),
        row("usage_events", event_id=""),
    ]
    company(raw, usage_events=events)
    with pytest.raises(InputError) as caught:
        put(con, raw, max_bad_share=0.05, max_bad_rows=20)
    message = str(caught.value)
    for part in (
        "usage_events: 32 of 82 rows are bad, 39.0% where 5.0% are tolerated",
        "'known customer' on customer_id: 30 row(s), such as B0",
        "'not after now' on timestamp: 1 row(s), such as F1",
        "'not missing' on event_id: 1 row(s), such as one without a key",
        "usage_events.csv (32)",
    ):
        assert part in message


def test_no_clock_is_read_but_the_one_that_is_given(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw, usage_events=[row("usage_events", timestamp="2024-06-12T15:00:00")])
    put(con, raw, now=datetime(2024, 6, 12, 14, 59, 59, tzinfo=UTC))
    assert landed(con, "usage_events") == []
    put(con, raw, now=NOW)
    assert len(landed(con, "usage_events")) == 1
