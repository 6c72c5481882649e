"""Equal digests before S mean that everything known at S is equal, and a changed past is dated."""

from __future__ import annotations

import os
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from churn_pipeline.contract import TABLES, Kind, fingerprint, fingerprints
from churn_pipeline.contract.book_ledger import Acceptance
from churn_pipeline.contract.docs import render
from churn_pipeline.core.calendar import mondays
from churn_pipeline.core.home_migrations import MIGRATIONS
from tests.unit.contract.landing_helpers import CUSTOMER, NOW, ROWS, company, landed, put, row, write

REPOSITORY = Path(__file__).resolve().parents[3]


def _changed_from(con: duckdb.DuckDBPyConnection, raw: Path, table: str, *values: dict[str, Any]) -> date | None:
    """Replaces the rows of ``table`` and lands; the earliest changed day over all tables."""
    write(raw, table, [row(table, **changes) for changes in values])
    return put(con, raw).changed_from


@pytest.mark.parametrize(
    ("table", "first", "then", "day"),
    [
        ("customers", {}, {"churn_date": "2024-05-01"}, date(2024, 5, 1)),
        ("customers", {}, {"censor_date": "2024-05-01"}, date(2024, 5, 1)),
        ("customers", {}, {"upgrade_date": "2024-05-01"}, date(2024, 5, 1)),
        ("customers", {"churn_date": "2024-05-01"}, {"churn_date": "2024-05-02"}, date(2024, 5, 1)),
        ("customers", {}, {"industry": "Retail"}, date(2024, 1, 10)),
        ("customers", {}, {"mrr": "1"}, date(2024, 1, 10)),
        ("customers", {}, {"signup_date": "2024-01-20"}, date(2024, 1, 10)),
        ("customers", {}, {"csm_owner": "Ada", "company_name": "Acme"}, None),
        (
            "customers",
            {"loaded_at": "2024-02-01"},
            {"loaded_at": "2024-02-01", "churn_date": "2024-01-20"},
            date(2024, 2, 1),
        ),
        ("support_tickets", {"resolution_time": ""}, {"resolution_time": "240"}, date(2024, 3, 11)),
        ("support_tickets", {}, {"priority": "low"}, date(2024, 3, 1)),
        ("gtm_opportunities", {}, {"stage": "qualification", "amount": "7", "close_date": "2024-10-01"}, None),
        ("gtm_opportunities", {}, {"stage": "closed_won", "close_date": "2024-05-05"}, date(2024, 5, 5)),
        ("gtm_opportunities", {}, {"stage": "closed_won", "close_date": "2024-01-05"}, date(2024, 3, 1)),
        ("gtm_opportunities", {}, {"sales_owner": "Bob"}, None),
        ("gtm_opportunities", {"created_date": ""}, {"created_date": "", "stage": "closed_won", "amount": "3"}, None),
        ("usage_events", {}, {"feature_adoption_score": "0.26"}, date(2024, 3, 1)),
        ("usage_events", {}, {"timestamp": "2024-04-01"}, date(2024, 3, 1)),
        ("risk_signals", {}, {"vendor_risk_flags": "3"}, date(2024, 3, 1)),
        ("subscriptions", {}, {"mrr": "1"}, date(2024, 1, 10)),
        ("subscriptions", {}, {"ended_at": "2024-05-20"}, date(2024, 5, 20)),
        ("subscriptions", {}, {"end_reason": "merged"}, date(2024, 6, 1)),
        ("contracts", {}, {"end_date": "2026-01-01"}, date(2024, 1, 10)),
        ("interventions", {}, {"owner": "Bob"}, None),
        ("expansion_outreach_log", {}, {"outcome": "won"}, date(2024, 5, 1)),
        ("expansion_outreach_log", {}, {"correlation_id": "b07"}, None),
    ],
)
def test_a_change_is_dated_by_the_day_on_which_it_would_have_been_known(
    con: duckdb.DuckDBPyConnection, raw: Path, table: str, first: dict[str, str], then: dict[str, str], day: date | None
) -> None:
    company(raw, **{table: [row(table, **first)]})
    put(con, raw)
    assert _changed_from(con, raw, table, then) == day


def test_a_column_that_an_older_version_did_not_land_comes_with_the_next_landing_and_changes_no_monday(
    con: duckdb.DuckDBPyConnection, raw: Path
) -> None:
    unaware = {name: value for name, value in row("expansion_outreach_log").items() if name != "correlation_id"}
    company(raw, expansion_outreach_log=[unaware])
    put(con, raw)
    con.execute("alter table landing.expansion_outreach_log drop column correlation_id")
    con.execute("update landing.state set definition = 'of an older version' where source = 'expansion_outreach_log'")
    # Format 5. Applied again, as after a kill, it does nothing.
    for _ in range(2):
        MIGRATIONS[4].warehouse(con)
    days = [date(2024, 4, 29), date(2024, 5, 6), date(2024, 6, 10)]
    before = fingerprints(con, days)
    for correlation_id in (None, "3f9c2ad81b07"):
        write(raw, "expansion_outreach_log", [unaware if correlation_id is None else row("expansion_outreach_log")])
        assert put(con, raw).changed_from is None
        assert con.execute("select correlation_id from landing.expansion_outreach_log").fetchall() == [
            (correlation_id,)
        ]
        assert fingerprints(con, days) == before


def test_a_day_that_lost_its_facts_is_a_change(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw, usage_events=[row("usage_events")])
    put(con, raw)
    (raw / "usage_events.csv").unlink(missing_ok=True)
    write(raw, "usage_events", [])
    report = put(con, raw, acceptance=Acceptance("the product was shut down", "Ada"))
    assert report.tables["usage_events"].changed_from == date(2024, 3, 1)


def test_todays_plan_change_leaves_the_past_alone(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    """The customer's row then carries the new plan and price, and the change remembers the old ones."""
    company(raw, customers=[row("customers", plan_tier="starter", mrr="50")], plan_changes=[])
    put(con, raw)
    write(raw, "customers", [row("customers", plan_tier="growth", mrr="99.90")])
    # The ledger of plans and prices has it from this Monday on; no earlier one is built again.
    assert _changed_from(con, raw, "plan_changes", {"effective_date": "2024-06-11"}) == date(2024, 6, 9)


def test_a_plan_change_without_prices_cannot_vouch_for_the_old_price(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw, customers=[row("customers", plan_tier="starter", mrr="50")], plan_changes=[])
    put(con, raw)
    write(raw, "customers", [row("customers", plan_tier="growth", mrr="99.90")])
    changed = _changed_from(con, raw, "plan_changes", {"effective_date": "2024-06-11", "from_mrr": "", "to_mrr": ""})
    assert changed == date(2024, 1, 10)


def test_an_appended_late_row_changes_the_past_from_its_own_day(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw)
    (raw / "usage_events.csv").unlink(missing_ok=True)
    write(raw, "usage_events", [row("usage_events")], "usage_events/a.csv")
    put(con, raw)
    write(raw, "usage_events", [row("usage_events", event_id="E2", timestamp="2024-02-20")], "usage_events/b.csv")
    assert put(con, raw).changed_from == date(2024, 2, 20)
    late = row("usage_events", event_id="E3", timestamp="2024-02-10", loaded_at="2024-06-11")
    write(raw, "usage_events", [late], "usage_events/c.csv")
    assert put(con, raw).changed_from == date(2024, 6, 11)


def test_digests_count_facts_by_day(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw, **{name: [values] for name, values in ROWS.items()})
    put(con, raw)
    counts = landed(con, "fact_digests", "source, fact_date, fact_rows")
    assert ("customers", date(2024, 1, 10), 1) in counts
    assert ("support_tickets", date(2024, 3, 1), 2) in counts
    assert {source for source, _, _ in counts} == {*TABLES, "lives"}


def test_a_fingerprint_changes_exactly_with_what_is_known_at_its_monday(
    con: duckdb.DuckDBPyConnection, raw: Path
) -> None:
    company(
        raw, usage_events=[row("usage_events"), row("usage_events", event_id="E2", timestamp="2024-05-01T10:00:00")]
    )
    put(con, raw)
    every = list(mondays(date(2023, 12, 1), date(2024, 7, 1)))
    before = fingerprints(con, every)
    write(
        raw, "usage_events", [row("usage_events"), row("usage_events", event_id="E2", timestamp="2024-05-02T10:00:00")]
    )
    put(con, raw)
    after = fingerprints(con, every)
    assert {monday for monday in every if before[monday] != after[monday]} == {m for m in every if m > date(2024, 5, 1)}


def test_a_fact_dated_on_the_monday_itself_is_not_known_to_it(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    monday = date(2024, 6, 3)
    company(raw)
    put(con, raw)
    before = fingerprints(con, [monday, monday + timedelta(days=7)])
    write(raw, "usage_events", [row("usage_events", timestamp="2024-06-03T00:00:00Z")])
    put(con, raw)
    assert fingerprint(con, monday) == before[monday]
    assert fingerprint(con, monday + timedelta(days=7)) != before[monday + timedelta(days=7)]


def test_bulk_and_single_fingerprints_agree_in_any_order(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw, usage_events=[row("usage_events", event_id=f"E{i}", timestamp=f"2024-0{i}-01") for i in range(1, 7)])
    put(con, raw)
    every = list(mondays(date(2024, 1, 1), date(2024, 7, 1)))
    bulk = fingerprints(con, reversed(every))
    assert bulk == {monday: fingerprint(con, monday) for monday in every}
    assert all(len(value) == 32 for value in bulk.values())


# --- the declaration and its documentation


def test_the_documentation_is_what_the_declaration_renders() -> None:
    page = (REPOSITORY / "docs/data-contract.md").read_text(encoding="utf-8")
    assert page == render(), "run: python -m churn_pipeline.contract.docs > docs/data-contract.md"


def test_the_documentation_names_every_column_and_rule() -> None:
    page = render()
    for table in TABLES.values():
        for column in table.raw:
            assert f"| `{column.name}` | {column.kind} |" in page
        for rule in (*table.rules, table.unique_key):
            assert rule.sentence in page


def test_the_declaration_hangs_together() -> None:
    for table in TABLES.values():
        names = [column.name for column in table.columns]
        columns = {column.name for column in table.landed}
        assert len(set(names)) == len(names)
        assert {*table.key, table.own_date, "known_date"} <= columns
        assert all(column.name.islower() for column in table.columns)
        assert all(bool(column.categories) == (column.kind is Kind.CATEGORY) for column in table.columns)
        identities = [(rule.kind, rule.name, rule.columns) for rule in table.rules]
        assert len(set(identities)) == len(identities)


# --- real data


@pytest.fixture
def oulad() -> Path:
    root = Path(os.environ.get("CHURN_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
    if not (root / "oulad").is_dir():
        pytest.skip(f"no OULAD data in {root}; set CHURN_TEST_DATA to a directory that holds oulad/")
    return root / "oulad"


def test_oulad_lands_without_a_bad_row(con: duckdb.DuckDBPyConnection, oulad: Path) -> None:
    report = put(con, oulad, max_bad_share=0.0)
    totals = {name: table.rows_total for name, table in report.tables.items() if table.rows_total}
    assert totals == {"customers": 32_548, "usage_events": 227_412}
    assert landed(con, "quarantine") == []
    active = con.execute(
        "select count(*) from landing.customers where signup_date < $1 and (churn_date is null or churn_date >= $1) "
        "and (censor_date is null or censor_date >= $1)",
        [date(2014, 12, 1)],
    ).fetchone()
    assert active == (8_816,)


def test_oulad_cut_off_at_a_monday_has_that_mondays_fingerprint(
    con: duckdb.DuckDBPyConnection, oulad: Path, raw: Path
) -> None:
    """The truncation test of the landing: dropping and blanking what is dated later changes nothing that was known."""
    monday = date(2014, 12, 1)
    put(con, oulad)
    whole = fingerprint(con, monday)
    company(raw, customers=[CUSTOMER])
    for name in ("customers", "usage_events"):
        (raw / f"{name}.csv").unlink(missing_ok=True)
    con.execute(
        f"copy (select * replace (case when churn_date < '{monday}' then churn_date end as churn_date, "
        f"case when censor_date < '{monday}' then censor_date end as censor_date) "
        f"from '{oulad}/customers.parquet' where signup_date < '{monday}') to '{raw}/customers.parquet'"
    )
    con.execute(
        f"copy (select * from '{oulad}/usage_events.parquet' where timestamp < '{monday}') to '{raw}/usage_events.parquet'"
    )
    with duckdb.connect() as other:
        put(other, raw, now=NOW)
        assert fingerprint(other, monday) == whole
