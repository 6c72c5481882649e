"""The landing edge, on a real DuckDB."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from churn_pipeline.contract import TABLES, TableContract
from churn_pipeline.contract.declaration import READABLE
from churn_pipeline.core.notices import Notice
from churn_pipeline.quality import suites
from churn_pipeline.quality.landing import LandingJudgement, judge_landing, restored_sql, unmet
from tests.unit.contract.landing_helpers import NOW, ROWS, company, put, row, write
from tests.unit.quality.conftest import MONDAY, tickets


def judged(con: duckdb.DuckDBPyConnection, *mondays: date) -> dict[str, LandingJudgement]:
    return {
        judgement.table: judgement
        for judgement in judge_landing(con, mondays or [MONDAY], timezone="UTC", run_id="run")
    }


def names(judgement: LandingJudgement) -> set[str]:
    return {verdict.expected.name for verdict in judgement.judgement.failed}


def test_a_good_landing_meets_every_expectation_of_every_table(landed: duckdb.DuckDBPyConnection) -> None:
    judgements = judged(landed)
    assert set(judgements) == set(TABLES)
    assert {name: names(judgement) for name, judgement in judgements.items() if not judgement.passed} == {}


@pytest.mark.parametrize("name", TABLES)
def test_every_rule_is_asked_of_the_landed_rows_unless_it_is_about_reading(name: str) -> None:
    table = TABLES[name]
    judged_rules = set(suites.asked_rules(table))
    assert {rule.name for rule in (*table.rules, table.unique_key) if rule not in judged_rules} <= set(
        READABLE.values()
    )


@pytest.mark.parametrize("name", TABLES)
def test_a_landed_row_gives_its_raw_values_back(name: str, landed: duckdb.DuckDBPyConnection) -> None:
    landed.execute("create temp macro local_midnight(day) as day::timestamp")
    given = landed.execute(f"select * from ({restored_sql(TABLES[name])}) order by all limit 1").df().iloc[0]
    expected = tickets()[-7] if name == "support_tickets" else ROWS[name]
    for column in set(expected) & set(TABLES[name].restored) - {"ticket_id", "created_date"}:
        text = str(expected[column])
        value = given[column]
        try:
            assert float(value) == pytest.approx(float(text)), column
        except (TypeError, ValueError):
            shown = "" if value is None or value != value else str(value).replace(" ", "T").removesuffix("T00:00:00")
            assert shown.lower() == text.lower(), column


def test_what_breaks_a_declared_rule_is_named_and_nothing_else(landed: duckdb.DuckDBPyConnection) -> None:
    for damage in (
        "update landing.customers set plan_tier = 'gold' where customer_id = 'C2'",
        "update landing.customers set mrr_cents = -1 where customer_id = 'C3'",
        "update landing.customers set churn_date = date '2020-01-01' where customer_id = 'C4'",
        "update landing.customers set churn_date = date '2031-01-01' where customer_id = 'C5'",
        "insert into landing.customers select * from landing.customers where customer_id = 'C6'",
        "update landing.support_tickets set ticket_id = null where ticket_id = 'T1'",
        "update landing.support_tickets set resolution_seconds = 3601000000",
        "update landing.gtm_opportunities set stage = 'closed_won', close_date = date '2031-01-01'",
        "update landing.contracts set customer_id = 'nobody'",
        "alter table landing.interventions drop column kind",
    ):
        landed.execute(damage)
    assert {name: names(judgement) for name, judgement in judged(landed).items() if not judgement.passed} == {
        "customers": {
            "known category: plan_tier",
            "in range: mrr",
            "not before signup_date: churn_date, signup_date",
            "not after now: churn_date",
            "unique key: customer_id",
        },
        "support_tickets": {"not missing: ticket_id", "in range: resolution_time"},
        "gtm_opportunities": {"not after now: close_date, stage"},
        "contracts": {"known customer: customer_id"},
        "interventions": {"columns"},
    }


def test_failing_rows_are_shown_by_key_and_blamed_column(landed: duckdb.DuckDBPyConnection) -> None:
    landed.execute("update landing.customers set plan_tier = 'gold' where customer_id in ('C2', 'C7')")
    (sample,) = judged(landed)["customers"].failing
    assert sample.columns == ("customer_id", "plan_tier")
    assert sample.rows == (("C2", "gold"), ("C7", "gold"))
    assert sample.total == 2


def test_nothing_of_a_result_shows_personal_data(landed: duckdb.DuckDBPyConnection) -> None:
    landed.execute("update landing.customers set plan_tier = 'gold', churn_date = date '2020-01-01'")
    judgement = judged(landed)["customers"]
    assert not judgement.passed
    assert "Secretive" not in repr(judgement)


def test_a_landing_that_lost_a_third_of_its_rows_is_named(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    put(con, company(raw, support_tickets=tickets()))
    assert judged(con)["support_tickets"].passed
    write(raw, "support_tickets", tickets()[:400])
    put(con, raw, now=NOW + timedelta(days=7))
    first = judged(con)["support_tickets"]
    assert names(first) == {"rows"}
    # Asked again about the same landing, it is compared with the same former one.
    assert names(judged(con)["support_tickets"]) == {"rows"}


def test_a_usual_week_of_growth_is_not_named_and_a_doubled_table_is(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    put(con, company(raw, support_tickets=tickets()))
    judged(con)
    later = NOW + timedelta(days=7)
    new = [row("support_tickets", ticket_id=f"N{n}", created_date="2024-06-12T10:00:00") for n in range(60)]
    write(raw, "support_tickets", [*tickets(), *new])
    put(con, raw, now=later)
    assert judged(con)["support_tickets"].passed
    write(raw, "support_tickets", [*tickets(), *new, *(values | {"ticket_id": values["ticket_id"] + "x"} for values in tickets())])  # fmt: skip
    put(con, raw, now=later + timedelta(days=1))
    assert names(judged(con)["support_tickets"]) == {"rows"}


def test_a_column_that_an_export_forgot_is_named(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    customers = [row("customers", customer_id=f"C{n}") for n in range(200)]
    put(con, company(raw, customers=customers))
    judged(con)
    # More of them would move the book, and stop the landing.
    write(raw, "customers", [values | {"mrr": ""} if n < 30 else values for n, values in enumerate(customers)])
    put(con, raw, now=NOW + timedelta(hours=1))
    assert names(judged(con)["customers"]) == {"nulls in mrr"}


def test_a_week_with_many_nulls_is_named_by_its_monday_and_no_other(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    rows = tickets(weeks=18)
    bad = MONDAY - timedelta(days=14)
    for values in rows:
        if bad - timedelta(days=7) <= date.fromisoformat(values["created_date"][:10]) < bad:
            values["topic"] = ""
    put(con, company(raw, support_tickets=rows))
    mondays = [MONDAY - timedelta(days=7 * n) for n in range(5)]
    (failed,) = judged(con, *mondays)["support_tickets"].judgement.failed
    assert failed.expected.name == "nulls in topic in the week before"
    assert [values["Monday"] for values in failed.rows] == [str(bad)]


def unmet_of_tickets(con: duckdb.DuckDBPyConnection, *mondays: date) -> dict[date, list[Notice]]:
    return unmet([judged(con, *mondays)["support_tickets"]], mondays)


def test_an_expectation_that_was_not_met_is_a_sentence_on_every_monday(
    con: duckdb.DuckDBPyConnection, raw: Path
) -> None:
    put(con, company(raw, support_tickets=tickets()))
    judged(con)
    write(raw, "support_tickets", tickets()[:400])
    put(con, raw, now=NOW + timedelta(days=7))
    mondays = (MONDAY - timedelta(days=7), MONDAY)
    sentence = "support_tickets is not as expected (as many rows as the former landing and the time since then allow): found 400"
    expected = [Notice("expectation", "support_tickets", sentence)]
    assert unmet_of_tickets(con, *mondays) == dict.fromkeys(mondays, expected)


def test_a_week_that_was_not_as_expected_is_told_on_its_own_monday_however_many_there_are(
    con: duckdb.DuckDBPyConnection, raw: Path
) -> None:
    rows = tickets(weeks=70)
    mondays = [MONDAY - timedelta(days=7 * n) for n in range(56)]
    bad = mondays[::4]
    for position, values in enumerate(rows):
        if mondays[0] - timedelta(days=7 * (position // 40)) in bad:
            values["topic"] = ""
    put(con, company(raw, support_tickets=rows))
    notices = unmet_of_tickets(con, *mondays)
    assert [day for day, of_day in notices.items() if of_day] == bad
    assert notices[bad[3]][0].sentence.startswith(
        "support_tickets is not as expected (the week before the Monday has hardly more rows without topic than former weeks): "
    )
    assert [day for day in mondays if str(day) in notices[bad[3]][0].sentence] == [bad[3]]


def test_a_good_landing_has_nothing_to_say(landed: duckdb.DuckDBPyConnection) -> None:
    assert unmet(list(judged(landed).values()), [MONDAY]) == {MONDAY: []}


def test_the_history_of_undated_rows_is_no_repeated_key(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    undated = {name: value for name, value in ROWS["risk_signals"].items() if name != "recorded_at"}
    put(con, company(raw, risk_signals=[undated]))
    write(raw, "risk_signals", [undated | {"vendor_risk_flags": "7"}])
    put(con, raw, now=NOW + timedelta(days=7))
    judgement = judged(con)["risk_signals"]
    assert con.execute("select count(*) from landing.risk_signals").fetchall() == [(2,)]
    assert judgement.passed


def test_a_column_without_any_value_meets_its_range(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    put(con, company(raw, support_tickets=[row("support_tickets", resolution_time="", priority="")]))
    assert judged(con)["support_tickets"].passed


def test_an_optional_table_that_was_never_there_is_not_judged(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    put(con, company(raw, usage_events=[ROWS["usage_events"]]))
    assert "contracts" not in judged(con)


def test_what_is_filled_in_later_is_not_asked_for_week_by_week() -> None:
    def weekly_columns(table: str) -> set[str]:
        return {column.name for column in suites.nullable_by_week(TABLES[table])}

    assert weekly_columns("support_tickets") == {"priority", "topic"}
    assert weekly_columns("customers").isdisjoint({"churn_date", "upgrade_date", "censor_date", "company_name"})
    assert weekly_columns("gtm_opportunities").isdisjoint({"stage", "close_date", "amount"})


def test_keys_of_a_large_table_are_still_compared(
    landed: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("churn_pipeline.quality.landing.LARGE", 10)
    landed.execute("insert into landing.support_tickets select * from landing.support_tickets")
    judgement: Any = judged(landed)["support_tickets"]
    assert "unique key: ticket_id" in names(judgement)
    assert 2 <= judgement.failing[0].total < 600


def test_of_a_large_table_the_counts_of_landing_are_taken_until_somebody_adds_or_removes_rows(
    landed: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = "select row_count, nulls from control.landing_profiles where source = 'support_tickets'"
    landed.execute("update landing.support_tickets set resolution_seconds = null where ticket_id < 'T2'")
    counted_anew = judged(landed)["support_tickets"].judgement, landed.execute(profile).fetchall()
    monkeypatch.setattr("churn_pipeline.quality.landing.LARGE", 10)
    asked: list[str] = []

    def noted(table: TableContract) -> str:
        asked.append(table.name)
        return restored_sql(table)

    monkeypatch.setattr("churn_pipeline.quality.landing.restored_sql", noted)
    assert (judged(landed)["support_tickets"].judgement, landed.execute(profile).fetchall()) == counted_anew
    assert "support_tickets" not in asked
    landed.execute("delete from landing.support_tickets where ticket_id = 'T0'")
    landed.execute("update landing.support_tickets set priority = 'dire' where ticket_id = 'T1'")
    assert "known category: priority" in names(judged(landed)["support_tickets"])
    assert "support_tickets" in asked


@pytest.mark.parametrize("by_hand", [False, True])
def test_a_row_that_somebody_added_is_still_asked_for_its_rules_when_more_rows_have_been_landed(
    con: duckdb.DuckDBPyConnection, raw: Path, by_hand: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("churn_pipeline.quality.landing.LARGE", 10)
    company(raw)
    (raw / "support_tickets.csv").unlink(missing_ok=True)
    write(raw, "support_tickets", tickets(), "support_tickets/1.csv")
    put(con, raw)
    if by_hand:
        con.execute(
            "insert into landing.support_tickets select * replace ('T-1' as ticket_id, 'dire' as priority) "
            "from landing.support_tickets limit 1"
        )
    for number, key in enumerate(("A", "B"), 2):
        late = [row("support_tickets", ticket_id=key, created_date="2024-06-03")]
        write(raw, "support_tickets", late, f"support_tickets/{number}.csv")
        assert put(con, raw).tables["support_tickets"].how == "appended"
        assert ("known category: priority" in names(judged(con)["support_tickets"])) == by_hand
    noted = con.execute("select landed_rows from landing.counts where source = 'support_tickets'").fetchall()
    assert noted == ([] if by_hand else [(602,)])


def test_a_warehouse_without_counts_of_landing_is_counted(
    landed: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("churn_pipeline.quality.landing.LARGE", 10)
    landed.execute("drop table landing.counts")
    landed.execute("update landing.support_tickets set priority = 'dire' where ticket_id = 'T1'")
    assert "known category: priority" in names(judged(landed)["support_tickets"])
