"""A book that jumps stops the landing, and a book that only grows, ages or is mended does not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from churn_pipeline.contract import Acceptance, LandingReport, book, book_ledger, lives, statements
from churn_pipeline.contract.book import LIMITS
from churn_pipeline.contract.declaration import TABLES
from churn_pipeline.contract.problems import UnusableError
from churn_pipeline.contract.suppression import Register
from churn_pipeline.core import run_ledger
from churn_pipeline.core.errors import InputError
from churn_pipeline.core.sql import literal
from tests.unit.contract.landing_helpers import NOW, company, landed, put, row, write
from tests.unit.contract.test_contract_forgotten import on_list

# The newest Monday of NOW, which is a Wednesday.
MONDAY = date(2024, 6, 10)
WEEK = timedelta(days=7)
REASON = Acceptance("two companies merged", "Ada")
PRICES = {"starter": 40, "growth": 400, "enterprise": 4000}

type Rows = list[dict[str, Any]]


def book_of(customers: int = 90, departed: int = 30) -> Rows:
    """Customers of three plans in turn, of whom the last ones have left, three a month."""
    return [
        row(
            "customers",
            customer_id=f"C{number:03}",
            plan_tier=list(PRICES)[number % 3],
            mrr=list(PRICES.values())[number % 3] + number,
            signup_date="2022-03-01",
            churn_date=(
                date(2023, 7 + (number % 6), 3 + number % 20).isoformat() if number >= customers - departed else ""
            ),
            seats=5 + number,
        )
        for number in range(customers)
    ]


def facts(table: str, column: str, values: Mapping[int, Any], **changes: Any) -> Rows:
    """A fact of each customer by number, each with a value of its own in one column."""
    (key,) = TABLES[table].key[:1]
    return [
        row(
            table,
            **{"customer_id": f"C{number:03}", **({} if key == "customer_id" else {key: f"K{number}"})},
            **changes,
        )
        | {column: value}
        for number, value in values.items()
    ]


@pytest.fixture(scope="module")
def landed_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the raw files of `book_of` and a warehouse in which they are landed."""
    folder = tmp_path_factory.mktemp("book")
    (folder / "raw").mkdir()
    with duckdb.connect(str(folder / "warehouse.duckdb")) as con:
        put(con, company(folder / "raw", customers=book_of()))
    return folder


@pytest.fixture
def a_book(con: duckdb.DuckDBPyConnection, raw: Path, landed_once: Path) -> None:
    """The book is landed from the raw files, as if it had been here."""
    shutil.copytree(landed_once / "raw", raw, dirs_exist_ok=True)
    con.execute(f"attach {literal(landed_once / 'warehouse.duckdb')} as once (read_only)")
    con.execute("copy from database once to memory")
    con.execute("detach once")


def refusal(con: duckdb.DuckDBPyConnection, raw: Path, **changes: Any) -> UnusableError:
    """What the landing is refused for; nothing of it is left."""
    before = [landed(con, name) for name in (*TABLES, "files")]
    with pytest.raises(UnusableError) as error:
        put(con, raw, **changes)
    assert [landed(con, name) for name in (*TABLES, "files")] == before
    assert con.execute("select count(*) from duckdb_tables() where temporary").fetchall() == [(0,)]
    return error.value


def of_the_book(report: LandingReport) -> list[str]:
    """What a landing has to say of the book, among all that it says."""
    return [notice for notice in report.notices if "accept" in notice or notice.startswith("the book")]


def told(error: UnusableError) -> list[tuple[str, str]]:
    """Of each problem the table, and the first word of what it says."""
    return [(problem.table, problem.what.split()[0]) for problem in error.problems]


@pytest.mark.usefixtures("a_book")
def test_churn_dates_that_are_lost_are_told_with_what_was_what_is_the_monday_and_the_remedy(
    con: duckdb.DuckDBPyConnection, raw: Path
) -> None:
    write(raw, "customers", [customer | {"churn_date": ""} for customer in book_of()[:89]] + book_of()[89:])
    error = refusal(con, raw)
    assert str(error) == (
        "customers: 89 active customers on 2024-06-10 where the former landing had 60 (29 had left by then), with an annual revenue of "
        "$1.60M where it had $1.09M; mend the export, or run 'churn run --accept-change REASON' if it is true"
    )


@pytest.mark.usefixtures("a_book")
def test_half_a_book_is_told_once_and_not_again_as_revenue_and_departures(
    con: duckdb.DuckDBPyConnection, raw: Path
) -> None:
    write(raw, "customers", book_of()[::2])
    (problem,) = refusal(con, raw).problems
    assert problem.what.startswith(
        "30 active customers on 2024-06-10 where the former landing had 60 (30 of them are not landed any more), with"
    )


@pytest.mark.usefixtures("a_book")
def test_ids_written_in_another_way_are_asked_about(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    write(raw, "customers", [customer | {"customer_id": f"0{customer['customer_id']}"} for customer in book_of()])
    (problem,) = refusal(con, raw).problems
    assert (
        "60 of them are not landed any more, 90 customers not seen before: were ids written in another way?"
        in problem.what
    )


@pytest.mark.usefixtures("a_book")
def test_those_who_left_and_are_no_longer_exported_are_missed_by_their_departures(
    con: duckdb.DuckDBPyConnection, raw: Path
) -> None:
    write(raw, "customers", book_of()[:60])
    (problem,) = refusal(con, raw).problems
    assert problem.what == (
        "0 departures in the 12 months before 2024-06 where the former landing had 30 (30 customers who had left are not landed any more); "
        "most of the difference: 0 in 2023-07 where it had 5, 0 in 2023-08 where it had 5, 0 in 2023-09 where it had 5"
    )


@pytest.mark.usefixtures("a_book")
def test_revenue_a_year_for_a_month_is_another_unit_and_a_third_of_it_another_revenue(
    con: duckdb.DuckDBPyConnection, raw: Path
) -> None:
    write(raw, "customers", [customer | {"mrr": 12 * customer["mrr"]} for customer in book_of()])
    error = refusal(con, raw)
    assert told(error) == [("customers", "mrr")]
    assert (
        "mrr is in another unit: by what was known on 2024-06-10 its median of enterprise customers is 48,348, 12 times the 4,029"
        in str(error)
    )
    write(raw, "customers", [customer | {"mrr": customer["mrr"] * 0.3} for customer in book_of()])
    (problem,) = refusal(con, raw).problems
    assert problem.what.startswith(
        "annual revenue of $326K on 2024-06-10 where the former landing had $1.09M (60 customers changed)"
    )


def test_plans_that_were_mixed_up_are_told_plan_by_plan(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw, customers=book_of(180, 60))
    put(con, raw)
    swapped = {"growth": "starter", "starter": "growth"}
    write(
        raw,
        "customers",
        [customer | {"plan_tier": swapped.get(customer["plan_tier"], "enterprise")} for customer in book_of(180, 60)],
    )
    (problem,) = refusal(con, raw).problems
    assert problem.what == (
        "annual revenue by plan on 2024-06-10 is not that of the former landing: growth $47K where it had $221K, starter $221K where it "
        "had $47K"
    )


def test_the_history_of_plans_is_blamed_where_only_it_changed(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    moves = facts("plan_changes", "to_mrr", dict.fromkeys(range(60), 500), from_mrr=400, to_tier="growth")
    company(raw, customers=book_of(), plan_changes=moves)
    put(con, raw)
    write(raw, "plan_changes", [move | {"to_mrr": 1500} for move in moves])
    assert told(refusal(con, raw)) == [("plan_changes", "annual")]


def test_a_table_without_rows_and_a_column_without_values_are_missed(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    tickets = facts("support_tickets", "topic", dict.fromkeys(range(30), "billing"))
    company(raw, customers=book_of(), support_tickets=tickets, contracts=[row("contracts", customer_id="C001")])
    put(con, raw)
    (raw / "contracts.csv").unlink(missing_ok=True)
    write(raw, "support_tickets", [ticket | {"topic": ""} for ticket in tickets])
    write(raw, "customers", [{**customer, "seats": ""} for customer in book_of()])
    assert {str(problem).split(";")[0] for problem in refusal(con, raw).problems} == {
        "contracts: no rows where the former landing had 1",
        "customers: seats has no value at all where the former landing had 90 or more",
        "support_tickets: topic has no value at all where the former landing had 30 or more",
    }


@pytest.mark.usefixtures("a_book")
def test_a_large_table_is_looked_at_only_until_there_are_enough_values(
    con: duckdb.DuckDBPyConnection, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, body in statements.macros("UTC", NOW).items():
        con.execute(f"create temp macro {name} as {body}")
    whole = book.contents(con)
    monkeypatch.setattr(book, "_LARGE", 10)
    assert book.contents(con) == book.Contents(
        whole.rows, {name: min(count, LIMITS.values) for name, count in whole.values.items()}
    )


@pytest.mark.parametrize(
    ("table", "column", "former", "present"),
    [
        ("support_tickets", "resolution_time", 3.5, 210),
        ("support_tickets", "resolution_time", 90, 1.5),
        ("usage_events", "feature_adoption_score", 0.4, 0.004),
        ("risk_signals", "compliance_gap_score", 0.009, 0.9),
        ("gtm_opportunities", "amount", 1200, 120000),
        ("plan_changes", "from_mrr", 50, 600),
    ],
)
def test_a_unit_that_becomes_another_is_told_by_its_median(
    con: duckdb.DuckDBPyConnection, raw: Path, table: str, column: str, former: float, present: float
) -> None:
    dates = {"usage_events": {"timestamp": "2024-06-01"}}.get(table, {})
    company(raw, customers=book_of(), **{table: facts(table, column, dict.fromkeys(range(30), former), **dates)})
    put(con, raw)
    write(raw, table, facts(table, column, dict.fromkeys(range(30), present), **dates))
    (problem,) = refusal(con, raw).problems
    assert (problem.table, problem.what.split(":")[0]) == (table, f"{column} is in another unit")


def test_the_newest_published_monday_is_compared_and_never_one_that_is_still_to_come(
    con: duckdb.DuckDBPyConnection, raw: Path
) -> None:
    assert book.compared_monday(put_empty(con, raw), NOW, "UTC") is None
    company(raw, customers=book_of())
    put(con, raw, now=NOW - WEEK)
    assert book.compared_monday(con, NOW, "UTC") == MONDAY - WEEK
    published = run_ledger.RunRow("r", date(2024, 4, 1), "live", "published", 60, "", 0, datetime(2024, 4, 1))
    refused = replace(published, snapshot_date=date(2024, 5, 6), status="refused")
    run_ledger.record(con, [published, refused])
    assert book.compared_monday(con, NOW, "UTC") == date(2024, 4, 1)
    assert book.compared_monday(con, datetime(2024, 3, 20, tzinfo=UTC), "UTC") == date(2024, 3, 18)


def put_empty(con: duckdb.DuckDBPyConnection, raw: Path) -> duckdb.DuckDBPyConnection:
    put(con, company(raw, customers=[]))
    return con


def test_a_few_customers_are_never_a_jump_whatever_their_share(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw, customers=book_of(8, 4))
    put(con, raw)
    write(raw, "customers", [customer | {"churn_date": ""} for customer in book_of(8, 4)[1:]])
    assert of_the_book(put(con, raw)) == []


@pytest.mark.usefixtures("a_book")
def test_the_setting_says_how_far_is_too_far(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    write(raw, "customers", book_of()[15:])
    refusal(con, raw)
    put(con, raw, max_book_change=0.3)


# --- somebody's word


@pytest.mark.usefixtures("a_book")
def test_an_accepted_change_lands_is_told_and_kept_with_who_why_and_what(
    con: duckdb.DuckDBPyConnection, raw: Path
) -> None:
    write(raw, "customers", book_of()[::2])
    report = put(con, raw, acceptance=REASON, run_id="accepting")
    assert len(landed(con, "customers")) == 45
    (notice,) = of_the_book(report)
    assert notice.startswith(
        "accepted by Ada (two companies merged): customers: 30 active customers on 2024-06-10 where"
    )
    rows = con.execute(
        "select files_digest, detail, reason, who, accepted_at, run_id from control.accepted_changes"
    ).fetchall()
    assert rows == [
        (
            book_ledger.files_digest(con),
            notice.partition(": ")[2],
            "two companies merged",
            "Ada",
            NOW.replace(tzinfo=None),
            "accepting",
        )
    ]


def test_the_files_that_were_accepted_pass_again_without_a_word_and_other_files_do_not(
    con: duckdb.DuckDBPyConnection, raw: Path
) -> None:
    whole, half, third = book_of(), book_of()[::2], book_of()[::3]
    company(raw, customers=whole)
    put(con, raw)
    write(raw, "customers", half)
    put(con, raw, acceptance=REASON)
    write(raw, "customers", whole)
    put(con, raw)
    # The same content in other files.
    (raw / "customers.csv").unlink(missing_ok=True)
    write(raw, "customers", half, "customers/part.csv")
    report = put(con, raw)
    assert of_the_book(report)[0].startswith(
        "Ada accepted these files on 2024-06-12 (two companies merged): customers: 30 active"
    )
    assert con.execute("select count(*) from control.accepted_changes").fetchall() == [(1,)]
    write(raw, "customers", whole, "customers/part.csv")
    put(con, raw)
    write(raw, "customers", third, "customers/part.csv")
    refusal(con, raw)


def test_a_word_without_a_reason_is_refused(con: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(InputError, match="needs a reason"):
        Acceptance(" ", "Ada")


def test_a_word_that_nothing_needed_is_not_kept(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw, customers=book_of())
    (notice,) = of_the_book(put(con, raw, acceptance=REASON))
    assert notice == "--accept-change: the book did not jump, so nothing was accepted"
    write(raw, "customers", book_of()[1:])
    put(con, raw, acceptance=REASON)
    assert con.execute("select count(*) from control.accepted_changes").fetchall() == [(0,)]


@pytest.mark.usefixtures("a_book")
def test_a_refused_landing_is_not_accepted_by_the_way(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    write(raw, "customers", book_of()[::2])
    (raw / "support_tickets.csv").write_text("ticket_id\n")
    with pytest.raises(InputError, match="support_tickets"):
        put(con, raw, acceptance=REASON)
    company(raw, customers=book_of()[::2])
    refusal(con, raw)


# --- the way back


def without_departures(customers: Rows) -> Rows:
    return [customer | {"churn_date": ""} for customer in customers]


def test_what_was_accepted_by_mistake_is_undone_by_landing_the_right_files_weeks_later(
    con: duckdb.DuckDBPyConnection, raw: Path
) -> None:
    company(raw, customers=book_of())
    put(con, raw, now=NOW - 3 * WEEK)
    write(raw, "customers", without_departures(book_of()))
    put(con, raw, now=NOW - 2 * WEEK, acceptance=REASON)
    # Weeks go by, and something else is landed.
    write(raw, "support_tickets", [row("support_tickets", customer_id="C001")])
    put(con, raw, now=NOW - WEEK)
    right = book_of()
    right[0]["churn_date"] = "2024-05-28"
    write(raw, "customers", right)
    (notice,) = of_the_book(put(con, raw))
    assert notice.startswith("the book is again what was landed on 2024-05-22: customers: 59 active customers on")
    # Not to be accepted again as the way back of the way back: that it never was there is no earlier picture of.
    write(raw, "customers", without_departures(book_of())[::2])
    refusal(con, raw)


@pytest.mark.usefixtures("a_book")
def test_what_only_looks_like_an_earlier_book_is_no_way_back(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    """As many customers, revenue and departures as ever, and all of them others."""
    write(raw, "customers", without_departures(book_of()))
    put(con, raw, acceptance=REASON)
    write(raw, "customers", book_of())
    put(con, raw)
    write(raw, "customers", [customer | {"customer_id": f"0{customer['customer_id']}"} for customer in book_of()])
    refusal(con, raw)


@pytest.mark.usefixtures("a_book")
def test_an_earlier_picture_that_nobody_left_by_a_jump_forgives_nothing(
    con: duckdb.DuckDBPyConnection, raw: Path
) -> None:
    write(raw, "contracts", [row("contracts", customer_id="C001")])
    put(con, raw)
    (raw / "contracts.csv").unlink(missing_ok=True)
    assert told(refusal(con, raw)) == [("contracts", "no")]


@pytest.mark.usefixtures("a_book")
def test_pictures_hold_no_customer(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    ((text, day, jumped),) = con.execute("select picture, snapshot_date, jumped from control.book_pictures").fetchall()
    assert (day, jumped) == (MONDAY, False)
    assert json.loads(text)["active"] == 60
    assert "C00" not in text


# --- what is no jump, from files


@pytest.mark.usefixtures("a_book")
def test_nothing_is_compared_and_nothing_kept_where_nothing_changed(
    con: duckdb.DuckDBPyConnection, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("remember", "judge"):
        monkeypatch.setattr(book_ledger, name, None)
    put(con, raw, now=NOW + WEEK)


def test_a_replay_with_an_earlier_clock_is_no_jump(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    signals = facts("risk_signals", "vendor_risk_flags", dict.fromkeys(range(40), 1), recorded_at="2024-06-03")
    tickets = facts("support_tickets", "topic", dict.fromkeys(range(40), "billing"), created_date="2024-05-20")
    company(raw, customers=book_of(), risk_signals=signals, support_tickets=tickets, contracts=[row("contracts")])
    put(con, raw)
    for now in (
        datetime(2024, 5, 1, tzinfo=UTC),
        datetime(2023, 8, 9, tzinfo=UTC),
        datetime(2023, 5, 3, tzinfo=UTC),
        NOW,
    ):
        put(con, raw, now=now)
    assert len(landed(con, "support_tickets")) == 40


@pytest.mark.usefixtures("a_book")
def test_the_same_rows_in_other_parts_of_another_version_of_the_contract_are_no_jump(
    con: duckdb.DuckDBPyConnection, raw: Path
) -> None:
    (raw / "customers.csv").unlink(missing_ok=True)
    for part in range(4):
        write(raw, "customers", book_of()[part::4], f"customers/{part}.csv")
    con.execute("update landing.state set definition = 'of an older version'")
    report = put(con, raw)
    assert report.tables["customers"].how == report.tables["usage_events"].how == "whole"
    assert of_the_book(report) == []
    pictures = con.execute("select picture from control.book_pictures order by entry").fetchall()
    assert pictures[0] == pictures[1]


def test_a_forgotten_customer_is_missed_by_nobody(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    large = book_of(20, 4)
    large[0]["mrr"] = 10**6
    large += [row("customers", customer_id="ERASED")]
    company(raw, customers=large, contracts=[row("contracts", customer_id="ERASED")])
    put(con, raw)
    register = on_list("ERASED", *(f"C{number:03}" for number in range(8)))
    report = put(con, raw, register=register)
    write(raw, "customers", large[1:])
    report = put(con, raw, register=register)
    assert isinstance(register, Register)
    assert report.tables["customers"].rows_kept_out == 8
    assert len(landed(con, "customers")) == 12


# --- what is a jump and what is none, whatever the book


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """A warehouse with the landed tables and without a row."""
    with duckdb.connect(config={"threads": 2}) as con:
        put(con, company(tmp_path_factory.mktemp("raw"), customers=[]))
        for name, body in statements.macros("UTC", NOW).items():
            con.execute(f"create temp macro {name} as {body}")
        yield con


# Numbers from 0 to 99 that depend on the customer, a word and the seed.
def draw(word: str) -> str:
    return f"(hash(customer_id, '{word}', getvariable('seed')) % 100)::int"


def fill(con: duckdb.DuckDBPyConnection, customers: int, departed: int, prefix: str = "C") -> None:
    """A random book: ``departed`` percent of the customers have left within two years before the Monday."""
    con.execute(
        f"""
        create or replace temp table fresh as
        select
            customer_id, ['free', 'starter', 'growth', 'enterprise'][1 + {draw("plan")} // 25] as plan_tier,
            date '2024-06-09' - (30 * (27 + {draw("age")})) as signup_date,
            case when {draw("left")} < {departed} then date '2024-06-09' - (7 * {draw("when")} + 1) end as churn_date
        from (select '{prefix}' || i as customer_id from range({customers}) as numbers(i))
        """
    )
    con.execute(
        f"""
        insert into landing.customers by name
        select *, signup_date as known_date, {draw("seats")} as seats, 'Mining' as industry,
            ([0, 40, 400, 4000][1 + {draw("plan")} // 25] * (60 + {draw("price")}))::bigint as mrr_cents
        from fresh
        """
    )
    con.execute(
        f"""
        insert into landing.plan_changes by name
        select customer_id, date '2024-06-09' - (5 * {draw("moved")}) as effective_date, effective_date as known_date,
            'starter' as from_tier, plan_tier as to_tier
        from fresh where {draw("move")} < 20
        """
    )
    con.execute(
        f"""
        insert into landing.support_tickets by name
        select customer_id as ticket_id, customer_id, date '2024-05-01' + ({draw("day")} // 3) as created_date,
            created_date as known_date, created_date as resolved_date, created_date::timestamp as created_at,
            'low' as priority, 'billing' as topic, 3600 * (1 + {draw("hours")}) as resolution_seconds
        from fresh
        """
    )
    con.execute(
        f"""
        insert into landing.usage_events by name
        select customer_id as event_id, customer_id, date '2024-05-15' + ({draw("day")} // 5) as event_date,
            event_date as known_date, event_date::timestamp as event_at, 'login' as event_type,
            10000 * (1 + {draw("score")}) as adoption_micros
        from fresh
        """
    )
    con.execute(
        f"""
        insert into landing.gtm_opportunities by name
        select customer_id as opp_id, customer_id, date '2024-05-01' as created_date, created_date as known_date,
            'proposal' as stage, date '2024-09-01' as close_date, 10000 * (1 + {draw("amount")}) as amount_cents, 'Bob' as sales_owner
        from fresh
        """
    )


@contextmanager
def changing(
    con: duckdb.DuckDBPyConnection, seed: int, customers: int, departed: int, *, with_history: bool = True
) -> Iterator[Callable[[], list[str]]]:
    """A random book that is remembered. Gives a function that says what has jumped since; afterwards nothing is there any more."""
    con.begin()
    try:
        con.execute("set variable seed = ?", [seed])
        fill(con, customers, departed)
        if not with_history:
            con.execute("delete from landing.plan_changes")
        lives.derive(con, 30, None, customers_exported=True)
        former = book.remember(con, MONDAY, {})

        def jumped() -> list[str]:
            lives.derive(con, 30, None, customers_exported=True)
            return [jump.kind for jump in book.jumps(book.compare(con, former.picture, book.contents(con)))]

        yield jumped
    finally:
        con.rollback()


ACTIVE = "(churn_date is null or churn_date >= date '2024-06-10')"
SHARE = st.integers(45, 95)
# By name: SQL in which {share} is a number from 45 to 95, and what has to be told of it.
STOPS: dict[str, tuple[str, str]] = {
    "churn dates are lost": (f"update landing.customers set churn_date = null where {draw('x')} < {{share}}", "active"),
    "a part of the book is missing": (f"delete from landing.customers where {draw('x')} < {{share}}", "active"),
    "others have left": (
        f"update landing.customers set churn_date = date '2024-06-01' where {draw('x')} < {{share}}",
        "active",
    ),
    "those who left are not exported": (
        f"delete from landing.customers where not {ACTIVE} and {draw('x')} < {{share}}",
        "departures",
    ),
    "departures are dated months too early": (
        f"update landing.customers set churn_date = churn_date - 130 where {draw('x')} < {{share}}",
        "departures",
    ),
    "revenue of a year": ("update landing.customers set mrr_cents = 12 * mrr_cents", "unit:customers.mrr"),
    "revenue in cents": ("update landing.customers set mrr_cents = 100 * mrr_cents", "unit:customers.mrr"),
    "revenue in thousands": ("update landing.customers set mrr_cents = mrr_cents // 1000 + 1", "unit:customers.mrr"),
    "revenue of a quarter": ("update landing.customers set mrr_cents = 3 * mrr_cents", "revenue"),
    "large revenues are lost": (
        "update landing.customers set mrr_cents = null where mrr_cents >= 100000",
        "revenue",
    ),
    "revenues are lost": (f"update landing.customers set mrr_cents = null where {draw('x')} < {{share}}", "revenue"),
    "two plans are mixed up": (
        "update landing.customers set plan_tier = case plan_tier when 'growth' then 'starter' when 'starter' then 'growth' else plan_tier end",
        "plans",
    ),
    "plans are lost": (
        f"update landing.customers set plan_tier = null where {draw('x')} < {{share}}",
        "plans",
    ),
    "minutes for hours": (
        "update landing.support_tickets set resolution_seconds = 60 * resolution_seconds",
        "unit:support_tickets.resolution_time",
    ),
    "days for hours": (
        "update landing.support_tickets set resolution_seconds = resolution_seconds // 24",
        "unit:support_tickets.resolution_time",
    ),
    "a share of a percentage": (
        "update landing.usage_events set adoption_micros = adoption_micros // 100",
        "unit:usage_events.feature_adoption_score",
    ),
    "amounts in cents": (
        "update landing.gtm_opportunities set amount_cents = 100 * amount_cents",
        "unit:gtm_opportunities.amount",
    ),
    **{
        f"{table} is emptied": (f"delete from landing.{table}", f"table:{table}")
        for table in ("customers", "plan_changes", "support_tickets", "usage_events", "gtm_opportunities")
    },
    **{
        f"{table}.{column} is emptied": (f"update landing.{table} set {landed_as} = null", f"column:{table}.{column}")
        for table, column, landed_as in (
            ("customers", "churn_date", "churn_date"),
            ("customers", "mrr", "mrr_cents"),
            ("customers", "plan_tier", "plan_tier"),
            ("customers", "industry", "industry"),
            ("customers", "seats", "seats"),
            ("support_tickets", "resolution_time", "resolution_seconds"),
            ("usage_events", "feature_adoption_score", "adoption_micros"),
            ("usage_events", "event_type", "event_type"),
            ("gtm_opportunities", "stage", "stage"),
        )
    },
}


@pytest.mark.parametrize("name", STOPS)
@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6), customers=st.integers(400, 600), departed=st.integers(35, 60), share=SHARE)
def test_a_book_jumps_where_a_column_or_a_part_of_it_is_broken(
    empty: duckdb.DuckDBPyConnection, name: str, seed: int, customers: int, departed: int, share: int
) -> None:
    damage, kind = STOPS[name]
    # A plan that is told by its history stays what it is: only without one can it be damaged in the table of customers.
    by_customers_alone = kind in ("plans", "revenue", "column:customers.plan_tier")
    with changing(empty, seed, customers, departed, with_history=not by_customers_alone) as jumped:
        empty.execute(damage.format(share=share))
        assert kind in jumped()


def some(word: str, percent: int, condition: str = "true") -> str:
    """Exactly so many percent of the customers for whom a condition holds."""
    order = f"hash(customer_id, '{word}', getvariable('seed'))"
    return f"customer_id in (select customer_id from landing.customers where {condition} order by {order} limit {percent}%)"


def rise(low: int, high: int) -> str:
    """Prices times a factor between two percentages, each customer their own."""
    return f"update landing.customers set mrr_cents = round(mrr_cents * ({low} + {draw('x')} * ({high} - {low}) / 99) / 100)"


# By name: SQL in which {share} is a number from 0 to 100. The Monday is 2024-06-10, and it is Wednesday.
PASSES: dict[str, tuple[str, ...]] = {
    "nothing": (),
    "prices rise by up to a half": (rise(100, 150),),
    "prices fall by up to a third": (rise(67, 100),),
    "a season of churn": (
        f"update landing.customers set churn_date = date '2024-06-10' + (hash(customer_id) % 2)::int where {ACTIVE} and {draw('x')} < {{share}}",
    ),
    "a season of churn in a system that then sets revenue to zero": (
        f"update landing.customers set churn_date = '2024-06-11', mrr_cents = 0 where {ACTIVE} and {draw('x')} < {{share}}",
        "update landing.customers set mrr_cents = 0 where churn_date is not null",
    ),
    "departures of the last weeks are entered late": (
        f"update landing.customers set churn_date = date '2024-06-01' - {draw('y')} // 4 where {some('x', 5, ACTIVE)}",
    ),
    "a few percent are corrected": (
        f"update landing.customers set churn_date = churn_date - {draw('y')} // 10 where {some('x', 5)}",
        f"update landing.customers set churn_date = null where {some('z', 2)}",
        f"delete from landing.customers where {some('a', 2)}",
        f"update landing.customers set mrr_cents = mrr_cents * 2 where {some('b', 3)}",
        f"update landing.customers set plan_tier = 'growth' where {some('c', 2)}",
        f"update landing.support_tickets set resolution_seconds = resolution_seconds * 2 where {draw('d')} < 50",
    ),
    "everybody moves to another plan, and the history of plans says so": (
        "insert into landing.plan_changes by name select customer_id, date '2024-06-11' as effective_date, date '2024-06-11' as known_date, "
        f"plan_tier as from_tier, 'custom' as to_tier, mrr_cents as from_mrr_cents, 9 * mrr_cents as to_mrr_cents from landing.customers where {ACTIVE}",
        f"update landing.customers set plan_tier = 'custom', mrr_cents = 9 * mrr_cents where {ACTIVE}",
    ),
    "new facts of this week": (
        "update landing.usage_events set known_date = known_date",
        "insert into landing.support_tickets by name select * replace ('N' || ticket_id as ticket_id, date '2024-06-11' as created_date, "
        "date '2024-06-11' as known_date, date '2024-06-11' as resolved_date, 60 as resolution_seconds) from landing.support_tickets",
    ),
}


@pytest.mark.parametrize("name", PASSES)
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 10**6), customers=st.integers(3, 500), departed=st.integers(0, 60), share=st.integers(0, 100)
)
def test_a_book_that_lives_does_not_jump(
    empty: duckdb.DuckDBPyConnection, name: str, seed: int, customers: int, departed: int, share: int
) -> None:
    with changing(empty, seed, customers, departed) as jumped:
        for change in PASSES[name]:
            empty.execute(change.format(share=share))
        assert jumped() == []


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 10**6),
    customers=st.integers(3, 300),
    acquired=st.integers(1, 2000),
    departed=st.integers(0, 100),
    factor=st.sampled_from([0.01, 1, 100]),
)
def test_an_acquisition_of_any_size_with_a_past_and_prices_of_its_own_is_no_jump(
    empty: duckdb.DuckDBPyConnection, seed: int, customers: int, acquired: int, departed: int, factor: float
) -> None:
    with changing(empty, seed, customers, 30) as jumped:
        fill(empty, acquired, departed, "ACQUIRED")
        theirs = "where starts_with(customer_id, 'ACQUIRED')"
        empty.execute(f"update landing.customers set mrr_cents = mrr_cents * {factor} {theirs}")
        empty.execute(f"update landing.support_tickets set resolution_seconds = resolution_seconds * {factor} {theirs}")
        assert jumped() == []
