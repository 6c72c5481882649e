"""What known products export is recognised by its columns, and what churn init proposes for it lands as the rows that it means."""

from __future__ import annotations

import re
import shutil
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from churn_pipeline.contract import TABLES, land
from churn_pipeline.core.settings import REPOSITORY, Settings
from churn_pipeline.sources import read_sources
from churn_pipeline.sources.initial import write_proposal
from churn_pipeline.sources.propose import presets

EXPORTS = REPOSITORY / "tests/data/presets"
NOW = datetime(2025, 12, 1, 12, tzinfo=UTC)
CUSTOMERS = "customer_id,signup_date,industry,plan_tier,mrr,churn_date\n" + "".join(
    f"{name},2024-01-01,,,,\n"
    for name in ("9001", "9002", "9003", "0015g00000AAAAAQAA", "0015g00000BBBBBQAB", "0015g00000CCCCCQAC")
)

EVENTS = (
    "customer_id, event_at, event_type",
    [
        ("9001", datetime(2025, 11, 3, 10), "report"),
        ("9002", datetime(2025, 11, 4, 11, 30), "api"),
        ("9001", datetime(2025, 11, 5, 23, 59, 58), "user"),
    ],
)
# By export, columns of the landed table and its rows. Of the types of events the first word.
LANDED: dict[str, tuple[str, list[tuple[Any, ...]]]] = {
    "amplitude_usage_events": EVENTS,
    "mixpanel_usage_events": EVENTS,
    "posthog_usage_events": EVENTS,
    "segment_usage_events": EVENTS,
    "hubspot_customers": (
        "customer_id, company_name, industry, csm_owner, signup_date",
        [
            ("9001", "Harbour Labs", "Software", "Sam Sales", date(2024, 2, 5)),
            ("9002", "Birch & Sons", "Retail", "Ann Adams", date(2024, 3, 20)),
            ("9003", "Quill, Inc.", None, None, date(2024, 6, 1)),
        ],
    ),
    "hubspot_gtm_opportunities": (
        "opp_id, customer_id, stage, close_date, amount_cents, sales_owner, opportunity_type, created_date",
        [
            ("7001", "9001", "proposal", date(2026, 1, 15), 2_400_000, "Sam Sales", "expansion", date(2025, 10, 1)),
            ("7002", "9002", "closed_won", date(2024, 3, 20), 600_000, "Ann Adams", "new_business", date(2024, 2, 1)),
            ("7003", "9003", "closed_lost", date(2025, 2, 1), None, "Sam Sales", "expansion", date(2024, 12, 1)),
        ],
    ),
    "intercom_customers": (
        "customer_id, company_name, industry, plan_tier, mrr_cents, seats, signup_date",
        [
            ("9001", "Harbour Labs", "Software", "growth", 48_000, 40, date(2024, 2, 5)),
            ("9002", "Birch & Sons", "Retail", "starter", 4_950, 12, date(2024, 3, 20)),
            ("9003", "Quill, Inc.", None, "enterprise", 210_000, 5, date(2024, 6, 1)),
        ],
    ),
    "intercom_support_tickets": (
        "ticket_id, customer_id, created_at, priority, resolution_seconds, topic",
        [
            ("21500001", "9001", datetime(2025, 3, 1, 10), "high", 10_800, None),
            ("21500002", "9002", datetime(2025, 4, 1, 9), "medium", 172_800, None),
            ("21500003", "9002", datetime(2025, 5, 1, 9), "medium", None, None),
        ],
    ),
    "salesforce_customers": (
        "customer_id, company_name, industry, csm_owner, signup_date",
        [
            ("0015g00000AAAAAQAA", "Harbour Labs", "Technology", "0055g000001aaaa", date(2024, 1, 10)),
            ("0015g00000BBBBBQAB", "Birch & Sons", "Retail", "0055g000001bbbb", date(2024, 3, 2)),
            ("0015g00000CCCCCQAC", "Quill, Inc.", None, "0055g000001aaaa", date(2024, 5, 11)),
        ],
    ),
    "salesforce_gtm_opportunities": (
        "opp_id, customer_id, stage, close_date, amount_cents, opportunity_type, created_date",
        [
            (
                "0065g00000AAAAA1AA",
                "0015g00000AAAAAQAA",
                "proposal",
                date(2026, 1, 15),
                2_400_000,
                "expansion",
                date(2025, 10, 1),
            ),
            (
                "0065g00000BBBBB1AB",
                "0015g00000BBBBBQAB",
                "closed_won",
                date(2024, 3, 20),
                600_000,
                "new_business",
                date(2024, 2, 1),
            ),
            (
                "0065g00000CCCCC1AC",
                "0015g00000CCCCCQAC",
                "proposal",
                date(2025, 12, 1),
                None,
                "expansion",
                date(2025, 8, 1),
            ),
        ],
    ),
    "zendesk_support_tickets": (
        "ticket_id, customer_id, created_at, priority, resolution_seconds, topic",
        [
            ("501", "9001", datetime(2025, 3, 1, 10), "critical", 10_800, "Incident"),
            ("502", "9002", datetime(2025, 4, 1, 9), "medium", 172_800, "Question"),
            ("503", "9002", datetime(2025, 5, 1, 9), None, None, "Question"),
        ],
    ),
    "stripe_subscriptions": (
        "subscription_id, customer_id, plan_tier, mrr_cents, started_at, ended_at, is_trial",
        [
            ("sub_0001", "cus_0001", "growth", 48_000, date(2024, 2, 5), None, False),
            ("sub_0002", "cus_0002", "starter", 4_950, date(2024, 3, 20), date(2025, 6, 30), False),
            ("sub_0003", "cus_0003", "enterprise", 210_000, date(2025, 11, 1), None, True),
            ("sub_0004", "cus_0004", "starter", 4_950, date(2025, 5, 1), date(2025, 5, 15), True),
        ],
    ),
    "chargebee_subscriptions": (
        "subscription_id, customer_id, plan_tier, mrr_cents, started_at, ended_at, end_reason, is_trial",
        [
            ("cb-0001", "9001", "growth", 48_000, date(2024, 2, 5), None, None, False),
            ("cb-0002", "9002", "starter", 4_950, date(2024, 3, 20), date(2025, 6, 30), "not_paid", False),
            ("cb-0003", "9003", "enterprise", 0, date(2025, 11, 1), None, None, True),
        ],
    ),
    "stripe_customers": (
        "customer_id, company_name, signup_date",
        [
            ("cus_0001", "Harbour Labs", date(2024, 2, 4)),
            ("cus_0002", "Birch & Sons", date(2024, 3, 19)),
            ("cus_0003", "Quill, Inc.", date(2025, 11, 1)),
        ],
    ),
    "chargebee_customers": (
        "customer_id, company_name, signup_date",
        [
            ("9001", "Harbour Labs", date(2024, 2, 4)),
            ("9002", "Birch & Sons", date(2024, 3, 19)),
            ("9003", "Quill, Inc.", date(2025, 11, 1)),
        ],
    ),
}


def test_every_preset_has_an_export_to_be_tried_on() -> None:
    declared = {f"{name}_{export.source.table}" for name, exports in presets().items() for export in exports}
    assert declared == LANDED.keys() == {path.stem for path in EXPORTS.glob("*.csv")}


@pytest.mark.parametrize("name", sorted(LANDED))
def test_an_export_is_recognised_and_lands_as_what_it_means(name: str, tmp_path: Path) -> None:
    preset, _, table = name.partition("_")
    raw = tmp_path / "raw"
    raw.mkdir()
    shutil.copy(EXPORTS / f"{name}.csv", raw / "an_export.csv")
    written = write_proposal(Settings(home=tmp_path, raw=raw), raw)
    (proposal,) = written.proposal.tables
    assert (proposal.table.name, proposal.preset) == (table, preset)
    # What the remarks ask for: no file says it, so there is none.
    text = re.sub(
        r"^    # (\w+):  # wanted.*$", r"    \1: null", written.path.read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    written.path.write_text(text, encoding="utf-8")
    if table not in ("customers", "subscriptions"):
        (raw / "customers.csv").write_text(CUSTOMERS, encoding="utf-8")
    columns, rows = LANDED[name]
    with duckdb.connect() as con:
        report = land(
            con,
            raw,
            now=NOW,
            timezone="UTC",
            run_id="test",
            max_bad_share=0,
            max_bad_rows=0,
            sources=read_sources(written.path).tables,
        )
        columns = columns.replace("event_type", "split_part(replace(event_type, '_', ' '), ' ', 1)")
        assert (
            con.execute(f"select {columns} from landing.{table} order by {', '.join(TABLES[table].key)}").fetchall()
            == rows
        )
        assert con.execute("select * from landing.quarantine").fetchall() == []
    assert not report.tables[table].bad_cells


def test_a_preset_that_is_named_needs_most_of_its_columns_only(tmp_path: Path) -> None:
    header, *rows = (EXPORTS / "zendesk_support_tickets.csv").read_text(encoding="utf-8").splitlines()
    exports = tmp_path / "exports"
    exports.mkdir()
    (exports / "an_export.csv").write_text(
        "\n".join([header.replace("Solved at", "Done"), *rows, ""]), encoding="utf-8"
    )
    home = Settings(home=tmp_path / "home")
    recognised = write_proposal(home, exports, force=True).proposal.tables
    assert [proposal.preset for proposal in recognised] == [""]
    named = write_proposal(home, exports, preset="zendesk", force=True).proposal.tables
    assert [proposal.preset for proposal in named] == ["zendesk"]


def test_an_older_name_of_a_column_is_taken_where_the_newer_one_is_missing(tmp_path: Path) -> None:
    text = (EXPORTS / "hubspot_gtm_opportunities.csv").read_text(encoding="utf-8")
    exports = tmp_path / "exports"
    exports.mkdir()
    (exports / "deals.csv").write_text(
        text.replace("Associated Company IDs (Primary)", "Associated Company IDs"), encoding="utf-8"
    )
    written = write_proposal(Settings(home=tmp_path / "home"), exports)
    assert (
        read_sources(written.path).tables["gtm_opportunities"].columns["customer_id"].column == "Associated Company IDs"
    )


def test_the_customers_of_another_file_decide_which_column_of_a_preset_names_them(tmp_path: Path) -> None:
    exports = tmp_path / "exports"
    exports.mkdir()
    header, *rows = (EXPORTS / "segment_usage_events.csv").read_text(encoding="utf-8").splitlines()
    lines = [f"{header},workspace", *(f"{row},W-{number}" for number, row in enumerate(rows)), ""]
    (exports / "tracks.csv").write_text("\n".join(lines), encoding="utf-8")
    customers = "".join(f"W-{number},2024-01-0{number + 1}\n" for number in range(3))
    (exports / "accounts.csv").write_text(f"account_id,created_at\n{customers}", encoding="utf-8")
    written = write_proposal(Settings(home=tmp_path / "home"), exports)
    assert read_sources(written.path).tables["usage_events"].columns["customer_id"].column == "workspace"
    assert "also possible: context_group_id" in written.path.read_text(encoding="utf-8")
