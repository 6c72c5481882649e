"""The call lists as files: who is in them, and what a spreadsheet makes of what customers typed."""

from __future__ import annotations

import csv
from datetime import date
from pathlib import Path

import duckdb
import pytest

from churn_pipeline.delivery import call_list
from churn_pipeline.delivery.call_list import file_names, neutral, write_call_lists
from tests.support.policy import keep_shipped_policy

MONDAY = date(2026, 3, 16)
_DRIVERS = "struct(feature varchar, label varchar, value varchar, contribution double, sentence varchar)[]"
_THEMES = (
    "struct(theme varchar, label varchar, contribution double, share double, sentence varchar, features varchar[])[]"
)
_POINTS = "struct(theme varchar, ask varchar, offer varchar, avoid varchar)[]"


def published(customers: list[tuple[str, str | None, str | None, int | None]]) -> duckdb.DuckDBPyConnection:
    """A published database of one Monday: identifier, name, owner, place on the call list, by rank of money."""
    con = duckdb.connect()
    con.execute(
        f"""
        create table predictions (
            snapshot_date date, customer_id varchar, priority_rank bigint, is_holdout boolean, snoozed_until date, plan_tier varchar,
            industry varchar, csm_owner varchar, risk_tier varchar, previous_risk_tier varchar, churn_probability_30d double,
            churn_probability_90d double, probability_change double, mrr double, annual_revenue double, revenue_at_risk double,
            play varchar, recommended_action varchar, churn_drivers {_DRIVERS}, is_on_call_list boolean, call_rank bigint,
            call_reason varchar, days_to_renewal bigint, churn_themes {_THEMES}, talking_points {_POINTS}, policy_version varchar
        )
        """
    )
    con.execute("create table customers (customer_id varchar, company_name varchar)")
    keep_shipped_policy(con, ["p"])
    for rank, (customer, name, owner, place) in enumerate(customers, start=1):
        con.execute("insert into customers values (?, ?)", [customer, name])
        con.execute(
            """
            insert into predictions by name
            select ? as snapshot_date, ? as customer_id, ? as priority_rank, ? as csm_owner, ?::bigint as call_rank,
                   call_rank is not null as is_on_call_list, 'HIGH' as risk_tier, 0.61803 as churn_probability_90d,
                   -0.05 as probability_change, -0.5 as mrr, 1234.567 as revenue_at_risk, 'Flight Risk' as play, 'p' as policy_version,
                   'Call today. Ask.' as recommended_action, 'renewal' as call_reason, 44 as days_to_renewal,
                   [{'theme': 't', 'label': 'T', 'contribution': 0.5, 'share': 1.0, 'sentence': '=1+1', 'features': ['f']},
                    {'theme': 'u', 'label': 'U', 'contribution': 0.1, 'share': 0.1, 'sentence': 'Second', 'features': ['g']}] as churn_themes,
                   [{'theme': 't', 'ask': 'What?', 'offer': 'That.', 'avoid': 'This.'}] as talking_points
            """,
            [MONDAY, customer, rank, owner, place],
        )
    return con


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    "typed", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "＝1", "\0=1", "\ufeff=1"]
)
def test_no_cell_begins_with_what_a_spreadsheet_takes_for_a_formula(typed: str, tmp_path: Path) -> None:
    with published([(typed, typed, typed, 1)]) as con:
        first, second, hubspot, salesforce = write_call_lists(con, con, tmp_path, MONDAY)
    for file in (first, second):
        (row,) = rows(file)
        for name in ("customer_id", "company_name", "csm_owner", "reason_1"):
            assert row[name].startswith("'"), (name, row[name])
    (row,) = rows(hubspot)
    for name in ("Record ID", "Company name", "Company owner", "Churn reasons"):
        assert row[name].startswith("'"), (name, row[name])
    (row,) = rows(salesforce)
    assert row["WhatId"].startswith("'") and row["csm_owner"].startswith("'")


def test_text_that_is_no_formula_is_left_alone() -> None:
    for text in ("O'Neill & Sons", "3-D Print", "a=b", "", 'say "hi", twice\nover'):
        assert neutral(text) == text


def test_numbers_stay_numbers_below_zero_too(tmp_path: Path) -> None:
    with published([("a", "A", "Ana", 1)]) as con:
        (row,) = rows(write_call_lists(con, con, tmp_path, MONDAY)[0])
    assert (float(row["mrr"]), float(row["probability_change"])) == (-0.5, -0.05)
    assert row["revenue_at_risk"] == "1234.57"
    assert (row["churn_probability_90d"], row["churn_probability_30d"]) == ("0.618", "")


def test_quotes_commas_and_line_breaks_come_back_as_they_were(tmp_path: Path) -> None:
    name = 'Say "hi",\r\nthen\nleave'
    with published([("a", name, "Ana", 1)]) as con:
        path = write_call_lists(con, con, tmp_path, MONDAY)[0]
    assert rows(path)[0]["company_name"] == name
    content = path.read_bytes()
    assert content.startswith(b"snapshot_date,call_rank,call_reason,") and content.endswith(b"\r\n")


def test_only_the_call_list_is_written_in_its_order_and_every_owner_has_a_file(tmp_path: Path) -> None:
    customers = [("a", None, "Ana", 2), ("b", None, "Ana", None), ("c", None, "Bo", None), ("d", None, "Bo", 1), ("e", None, None, 3),
                 ("f", None, "Cy", None)]  # fmt: skip
    with published(customers) as con:
        written = write_call_lists(con, con, tmp_path, MONDAY)
    lists = [path for path in written if path.name.count(".") == 1]
    calls_by_file = {path.name: [(row["customer_id"], row["call_rank"]) for row in rows(path)] for path in lists}
    assert calls_by_file == {
        "all.csv": [("d", "1"), ("a", "2"), ("e", "3")],
        "ana.csv": [("a", "2")],
        "bo.csv": [("d", "1")],
        "cy.csv": [],
        "unassigned.csv": [("e", "3")],
    }


def acting(con: duckdb.DuckDBPyConnection, *rows: tuple[str, str, str, str, str | None]) -> None:
    """Interventions that have landed: customer, day, day from which it is known, kind, outcome."""
    con.execute("create schema landing")
    con.execute(
        'create table landing.interventions (intervention_id varchar, customer_id varchar, "at" timestamp, at_date date, known_date date, '
        "kind varchar, outcome varchar)"
    )
    for number, (customer, day, known, kind, outcome) in enumerate(rows):
        con.execute(
            "insert into landing.interventions values (?, ?, ?, ?, ?, ?, ?)",
            [f"i{number}", customer, day, day, known, kind, outcome],
        )


def test_the_last_contact_is_the_last_one_that_was_known_before_the_monday(tmp_path: Path) -> None:
    with published([("a", "A", "Ana", 1), ("b", "B", "Ana", 2)]) as con:
        acting(
            con,
            ("a", "2026-03-02", "2026-03-02", "call", "asked for a better price"),
            ("a", "2026-02-02", "2026-03-03", "email", "none"),
            ("a", "2026-03-10", "2026-03-17", "call", "came to be known later"),
            ("a", "2026-03-16", "2026-03-16", "call", "on the Monday itself"),
        )
        first, second = rows(write_call_lists(con, con, tmp_path, MONDAY)[0])
    names = ("last_contact_on", "last_contact_kind", "last_contact_outcome")
    assert [first[name] for name in names] == ["2026-03-02", "call", "asked for a better price"]
    assert [second[name] for name in names] == ["", "", ""]


def test_a_row_has_what_whoever_calls_asks_for(tmp_path: Path) -> None:
    with published([("a", "A", "Ana", 1)]) as con:
        (row,) = rows(write_call_lists(con, con, tmp_path, MONDAY)[0])
    assert (row["call_reason"], row["renewal_date"], row["days_to_renewal"]) == ("renewal", "2026-04-29", "44")
    assert (row["reason_1"], row["reason_2"], row["reason_3"]) == ("'=1+1", "Second", "")
    assert (row["talking_point_1"], row["talking_point_2"]) == ("Ask: What? Offer: That. Avoid: This.", "")


def test_the_presets_have_the_columns_of_their_products_and_the_whole_list(tmp_path: Path) -> None:
    with published([("a", "Alpha", "Ana", 2), ("b", None, None, 1), ("c", "C", "Bo", None)]) as con:
        acting(con, ("a", "2026-03-02", "2026-03-02", "call", "no answer"))
        *_, hubspot, salesforce = write_call_lists(con, con, tmp_path, MONDAY)
    assert (hubspot.name, salesforce.name) == ("all.hubspot.csv", "all.salesforce.csv")
    companies, tasks = rows(hubspot), rows(salesforce)
    assert [row["Record ID"] for row in companies] == [row["WhatId"] for row in tasks] == ["b", "a"]
    assert (companies[1]["Company name"], companies[1]["Churn call rank"]) == ("Alpha", "2")
    assert companies[1]["Churn talking points"] == "Ask: What? Offer: That. Avoid: This."
    task = tasks[1]
    assert (task["Subject"], task["ActivityDate"]) == ("Call Alpha: Renewal", "2026-03-20")
    assert [row["Status"] for row in tasks] == ["Not Started"] * 2
    # The first quarter of the list, whatever the tiers are called.
    assert [row["Priority"] for row in tasks] == ["High", "Normal"]
    assert task["Description"].split("\n") == [
        "Call today. Ask.",
        "$1,235 a year at risk, 62% within 90 days (HIGH); renews on 2026-04-29; last contact 2026-03-02 (call, no answer)",
        "=1+1",
        "Second",
        "Ask: What? Offer: That. Avoid: This.",
    ]
    assert tasks[0]["Subject"] == "Call b: Renewal"


def test_a_list_replaces_the_former_one_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    with published([("a", None, "Ana", 1)]) as con:
        write_call_lists(con, con, tmp_path, MONDAY)
    (tmp_path / f".{MONDAY}.new").mkdir()
    (tmp_path / f".{MONDAY}.new" / "half.csv").touch()
    with published([("a", None, "Bo", 1)]) as con:
        write_call_lists(con, con, tmp_path, MONDAY)
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")) == [
        str(MONDAY), *(f"{MONDAY}/{name}.csv" for name in ("all", "all.hubspot", "all.salesforce", "bo"))
    ]  # fmt: skip


def test_a_file_name_has_nothing_that_leads_anywhere_and_no_two_are_alike() -> None:
    owners = ["../../etc/passwd", "..", "/", "con", "NUL", "Elena García", "elena garcia", "李雷", "韩梅梅", "", " ", "all", "Unassigned", "a" * 300, None]  # fmt: skip
    names = file_names(owners)
    assert len({name.lower() for name in names.values()}) == len(owners)
    for owner, name in names.items():
        assert set(name.removesuffix(".csv")) <= set("abcdefghijklmnopqrstuvwxyz0123456789-"), owner
        assert 1 <= len(name.removesuffix(".csv")) <= 70
        assert name not in ("all.csv", "con.csv", "nul.csv")
    assert names[None] == "unassigned.csv"


def test_the_name_of_a_file_does_not_depend_on_the_order_of_the_owners() -> None:
    owners = ["Ana", "ana", "Bo", None]
    assert file_names(owners) == file_names(owners[::-1])


def test_every_list_reads_the_same_query() -> None:
    from churn_pipeline.cli import output
    from churn_pipeline.delivery import digest_query

    for sql in (output._call_list(), digest_query._lines_query(), call_list._rows_query()):
        assert call_list.CUSTOMERS in sql


@pytest.mark.parametrize(
    ("reasons", "action", "shown"),
    [
        (["Renews in 44 days (6 Jan 2027)", "Uses little of it: 31 %"], "The contract ends in 44 days (6 Jan 2027).", "Uses little of it: 31 %"),
        (["Renews in 44 days (6 Jan 2027)"], "The contract ends in 44 days (6 Jan 2027).", "Renews in 44 days (6 Jan 2027)"),
        (["11 tickets in 90 days, 2 critical", "More"], "Call about their 11 tickets of the last 90 days.", "11 tickets in 90 days, 2 critical"),
        (["No contract on file", "31 %"], "Call.", "No contract on file"),
        ([], "Call.", None),
    ],
)  # fmt: skip
def test_the_reason_beside_an_instruction_does_not_say_the_same_again(
    reasons: list[str], action: str, shown: str | None
) -> None:
    assert call_list.main_reason(reasons, action) == shown
