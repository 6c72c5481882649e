"""The call lists as files: who is in them, and what a spreadsheet makes of what customers typed."""

from __future__ import annotations

import csv
from datetime import date
from pathlib import Path

import duckdb
import pytest

from churn_pipeline.delivery import call_list
from churn_pipeline.delivery.call_list import file_names, neutral, write_call_lists

MONDAY = date(2026, 3, 16)
_DRIVERS = "struct(feature varchar, label varchar, value varchar, contribution double, sentence varchar)[]"


def published(customers: list[tuple[str, str | None, str | None, str | None, bool]]) -> duckdb.DuckDBPyConnection:
    """A published database of one Monday: identifier, name, owner, snoozed_until, is_holdout, by rank."""
    con = duckdb.connect()
    con.execute(
        f"""
        create table predictions (
            snapshot_date date, customer_id varchar, priority_rank bigint, is_holdout boolean, snoozed_until date, plan_tier varchar,
            industry varchar, csm_owner varchar, risk_tier varchar, previous_risk_tier varchar, churn_probability_30d double,
            churn_probability_90d double, probability_change double, mrr double, annual_revenue double, revenue_at_risk double,
            play varchar, recommended_action varchar, churn_drivers {_DRIVERS}
        )
        """
    )
    con.execute("create table customers (customer_id varchar, company_name varchar)")
    for rank, (customer, name, owner, until, held_out) in enumerate(customers, start=1):
        con.execute("insert into customers values (?, ?)", [customer, name])
        con.execute(
            """
            insert into predictions by name
            select ? as snapshot_date, ? as customer_id, ? as priority_rank, ?::boolean as is_holdout, ?::date as snoozed_until,
                   ? as csm_owner, 'HIGH' as risk_tier, 0.61803 as churn_probability_90d, -0.05 as probability_change,
                   -0.5 as mrr, 1234.567 as revenue_at_risk, 'Flight Risk' as play,
                   [{'feature': 'f', 'label': 'l', 'value': 'v', 'contribution': 0.5, 'sentence': '=1+1'}] as churn_drivers
            """,
            [MONDAY, customer, rank, held_out, until, owner],
        )
    return con


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    "typed", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "＝1", "\0=1", "\ufeff=1"]
)
def test_no_cell_begins_with_what_a_spreadsheet_takes_for_a_formula(typed: str, tmp_path: Path) -> None:
    with published([(typed, typed, typed, None, False)]) as con:
        first, second = write_call_lists(con, tmp_path, MONDAY, 200)
    for file in (first, second):
        (row,) = rows(file)
        for name in ("customer_id", "company_name", "csm_owner", "reason_1"):
            assert row[name].startswith("'"), (name, row[name])


def test_text_that_is_no_formula_is_left_alone() -> None:
    for text in ("O'Neill & Sons", "3-D Print", "a=b", "", 'say "hi", twice\nover'):
        assert neutral(text) == text


def test_numbers_stay_numbers_below_zero_too(tmp_path: Path) -> None:
    with published([("a", "A", "Ana", None, False)]) as con:
        (row,) = rows(write_call_lists(con, tmp_path, MONDAY, 200)[0])
    assert (float(row["mrr"]), float(row["probability_change"])) == (-0.5, -0.05)
    assert row["revenue_at_risk"] == "1234.57"
    assert (row["churn_probability_90d"], row["churn_probability_30d"]) == ("0.618", "")


def test_quotes_commas_and_line_breaks_come_back_as_they_were(tmp_path: Path) -> None:
    name = 'Say "hi",\r\nthen\nleave'
    with published([("a", name, "Ana", None, False)]) as con:
        path = write_call_lists(con, tmp_path, MONDAY, 200)[0]
    assert rows(path)[0]["company_name"] == name
    content = path.read_bytes()
    assert content.startswith(b"snapshot_date,priority_rank,") and content.endswith(b"\r\n")


def test_the_snoozed_and_the_held_out_are_in_no_list_and_take_nobodys_place(tmp_path: Path) -> None:
    customers = [("a", None, "Ana", None, False), ("b", None, "Ana", "2026-03-17", False), ("c", None, "Bo", None, True),
                 ("d", None, "Bo", None, False), ("e", None, None, None, False), ("f", None, "Ana", None, False)]  # fmt: skip
    with published(customers) as con:
        written = write_call_lists(con, tmp_path, MONDAY, 3)
    calls_by_file = {path.name: [(row["customer_id"], row["priority_rank"]) for row in rows(path)] for path in written}
    assert calls_by_file == {
        "all.csv": [("a", "1"), ("d", "4"), ("e", "5")],
        "ana.csv": [("a", "1")],
        "bo.csv": [("d", "4")],
        "unassigned.csv": [("e", "5")],
    }


def test_a_list_replaces_the_former_one_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    with published([("a", None, "Ana", None, False)]) as con:
        write_call_lists(con, tmp_path, MONDAY, 200)
    (tmp_path / f".{MONDAY}.new").mkdir()
    (tmp_path / f".{MONDAY}.new" / "half.csv").touch()
    with published([("a", None, "Bo", None, False)]) as con:
        write_call_lists(con, tmp_path, MONDAY, 200)
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")) == [
        str(MONDAY), f"{MONDAY}/all.csv", f"{MONDAY}/bo.csv"
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
        assert "is_called" in sql.replace(call_list.CUSTOMERS, "")
