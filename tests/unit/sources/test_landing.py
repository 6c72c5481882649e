"""What sources.yml says is what is landed: a company under names, units and words that are not ours lands as the same rows."""

from __future__ import annotations

from datetime import UTC, datetime, time
from pathlib import Path

import duckdb
import pytest

from churn_pipeline.contract.problems import UnusableError
from churn_pipeline.contract.source import ColumnSource, TableSource
from churn_pipeline.core.settings import Settings
from churn_pipeline.sources import read_sources
from churn_pipeline.sources.initial import write_proposal
from tests.support.companies import Company
from tests.unit.contract.landing_helpers import CUSTOMER, company, landed, put, write

PLANS = "map {'free': 'Free trial', 'starter': 'Basic', 'growth': 'Pro', 'enterprise': 'Enterprise Plus', 'custom': 'Custom'}"
SEVERITIES = "map {'low': 'P4', 'medium': 'P3', 'high': 'P2', 'critical': 'P1'}"
# By table: the columns that are kept, and by file of another company's systems what they are called and how they are written there.
EXPORTS: dict[str, tuple[str, dict[str, str]]] = {
    "customers": (
        "customer_id, company_name, industry, plan_tier, signup_date, mrr, csm_owner, churn_date from raw",
        {
            f"crm/accounts-{part}.csv": "customer_id as account_id, company_name as account_name, industry as sector, "
            f"{PLANS}[plan_tier] as plan, strftime(signup_date, '%m/%d/%Y') as created, round(mrr * 100)::bigint as amount_cents, "
            f"csm_owner as account_owner, strftime(churn_date, '%m/%d/%Y') as cancelled_at from ours where {condition}"
            for part, condition in (("2026-01", "customer_id < 'C0000450'"), ("2026-02", "customer_id >= 'C0000450'"))
        },
    ),
    "usage_events": (
        "* from raw order by event_id limit 3000",
        {
            "tracking.parquet": "event_id as message_id, customer_id as account_id, epoch(timestamp)::bigint as occurred_at, "
            "event_type as event, feature_adoption_score * 100 as adoption_percent from ours"
        },
    ),
    "support_tickets": (
        "* replace (round(resolution_time * 60) / 60 as resolution_time) from raw order by ticket_id limit 1000",
        {
            "helpdesk.csv.gz": f'ticket_id as "Case Number", customer_id as "Account", created_date as "Opened", '
            f'{SEVERITIES}[priority] as "Severity", round(resolution_time * 60)::bigint as "Resolution minutes", topic as "Category" '
            "from ours"
        },
    ),
    "gtm_opportunities": (
        "* from raw",
        {
            "deals.jsonl": "opp_id as dealId, customer_id as companyId, stage as dealStage, close_date as closing_date, amount as value, "
            "sales_owner as dealOwner, opportunity_type as dealType, created_date as opened_at from ours"
        },
    ),
    "plan_changes": (
        "* from raw",
        {
            "plan_history.csv": f"customer_id as account, effective_date as changed_at, {PLANS}[from_tier] as old_plan, "
            f"{PLANS}[to_tier] as new_plan, from_mrr as old_mrr, to_mrr as new_mrr from ours"
        },
    ),
    "risk_signals": (
        "* from raw order by customer_id, recorded_at limit 500",
        {
            "assessments.csv": "customer_id as client, compliance_gap_score as gap_score, vendor_risk_flags as flags, "
            "recorded_at as assessed_at from ours"
        },
    ),
}


def _write(raw: Path, theirs: Path, simulated: Path) -> None:
    """Writes the company twice: as the contract has it, and as others do."""
    raw.mkdir()
    with duckdb.connect() as con:
        for table, (columns, exports) in EXPORTS.items():
            con.execute(f"create or replace view raw as from '{simulated}/{table}.parquet'")
            con.execute(f"create or replace table ours as select {columns}")
            con.execute(f"copy ours to '{raw}/{table}.parquet'")
            for name, selected in exports.items():
                path = theirs / name
                path.parent.mkdir(parents=True, exist_ok=True)
                form = "parquet" if name.endswith("parquet") else "json" if name.endswith("jsonl") else "csv"
                con.execute(f"copy (select {selected}) to '{path}' (format {form})")


def test_a_company_under_other_names_units_and_words_lands_as_the_same_rows(
    tiny_company: Company, tmp_path: Path
) -> None:
    raw, theirs = tmp_path / "raw", tmp_path / "theirs"
    _write(raw, theirs, tiny_company.raw)
    settings = Settings(home=tmp_path / "home")
    sources = read_sources(write_proposal(settings, theirs).path)
    assert sources.tables.keys() == EXPORTS.keys()
    with duckdb.connect() as ours, duckdb.connect() as mapped:
        put(ours, raw, now=_after(tiny_company))
        # The raw directory of the home is not even there.
        put(mapped, settings.raw_dir, now=_after(tiny_company), sources=sources.tables)
        for table in EXPORTS:
            assert landed(mapped, table) == landed(ours, table), table
        assert landed(mapped, "fact_digests") == landed(ours, "fact_digests")


def _after(simulated: Company) -> datetime:
    return datetime.combine(simulated.until, time(12), UTC)


def test_a_change_of_the_file_lands_the_tables_concerned_as_a_whole_and_no_other(tmp_path: Path) -> None:
    raw = company(tmp_path / "raw", customers=[CUSTOMER | {"size": "7"}], support_tickets=[])
    path = tmp_path / "sources.yml"

    def told(text: str) -> dict[str, str]:
        path.write_text(text)
        report = put(con, raw, sources=read_sources(path).tables)
        return {name: table.how for name, table in report.tables.items() if table.how != "unchanged"}

    with duckdb.connect() as con:
        told("customers: {columns: {industry: industry}}\nsupport_tickets: {nulls: none}")
        assert told("customers: {columns: {industry: industry}}\nsupport_tickets: {nulls: none}") == {}
        assert told("customers: {columns: {seats: size}}\nsupport_tickets: {nulls: none}") == {"customers": "whole"}
        assert landed(con, "customers", "seats") == [(7,)]


def test_an_expression_is_about_columns_of_the_file_and_about_no_function_by_their_name(tmp_path: Path) -> None:
    raw = company(tmp_path / "raw")
    path = tmp_path / "sources.yml"
    # To DuckDB a column that is not there would be its function of that name.
    path.write_text("customers: {columns: {csm_owner: {expression: user}, industry: {expression: upper(industri)}}}")
    with duckdb.connect() as con, pytest.raises(UnusableError) as refused:
        put(con, raw, sources=read_sources(path).tables)
    problems = "\n".join(map(str, refused.value.problems))
    assert "the expression for csm_owner cannot be used: there is no column user" in problems
    assert "there is no column industri; did you mean industry?" in problems


def test_an_expression_of_unknown_origin_is_refused_by_the_landing_itself(tmp_path: Path) -> None:
    raw = company(tmp_path / "raw")
    hostile = ColumnSource(expression="(select content from read_text('/etc/hostname'))")
    with duckdb.connect() as con, pytest.raises(UnusableError, match="it holds a query of its own"):
        put(con, raw, sources={"customers": TableSource("customers", columns={"industry": hostile})})


def test_a_table_whose_files_are_not_there_is_told_by_the_name_that_was_given(tmp_path: Path) -> None:
    raw = company(tmp_path / "raw")
    write(raw, "customers", [CUSTOMER], "accounts.csv")
    path = tmp_path / "sources.yml"
    path.write_text("customers: acounts*.csv")
    with duckdb.connect() as con, pytest.raises(UnusableError, match=r"acounts\*\.csv"):
        put(con, raw, sources=read_sources(path).tables)
