"""Dirt: every promised kind is there, there is little of it, and it is not in the oracle."""

from __future__ import annotations

from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from churn_pipeline.simulate import Company
from tests.unit.simulate.simulated import UNTIL, database


def counts(company: Company, queries: dict[str, str]) -> dict[str, int]:
    con = database(company)
    return {kind: con.execute(query).fetchall()[0][0] for kind, query in queries.items()}


DIRT = {
    "repeated event ids, same content": """select count(*) from (select event_id from usage_events where event_id is not null
        group by all having count(*) > 1 and count(distinct timestamp) = 1)""",
    "repeated event ids, later date": """select count(*) from (select event_id from usage_events where event_id is not null
        group by all having count(*) > 1 and count(distinct timestamp) > 1)""",
    "repeated tickets": "select count(*) - count(distinct ticket_id) - count(*) filter (ticket_id is null) from support_tickets",
    "repeated customers": "select count(*) - count(distinct customer_id) - count(*) filter (customer_id is null) from customers",
    "unknown event types": "select count(*) from usage_events where event_type in ('SSO_Login', 'dashboard_export', 'Webhook_Fired', '')",
    "mixed-case event types": "select count(*) from usage_events where event_type in ('Api_Call', 'Monitoring_Run')",
    "adoption out of range": "select count(*) from usage_events where feature_adoption_score not between 0 and 1",
    "null event ids": "select count(*) from usage_events where event_id is null",
    "null customers": "select count(*) from usage_events where customer_id is null",
    "unknown customers": """select count(*) from usage_events where customer_id is not null
        and customer_id not in (select customer_id from customers where customer_id is not null)""",
    "far future events": "select count(*) from usage_events where timestamp > timestamp '2090-01-01'",
    "far future tickets": "select count(*) from support_tickets where created_date > date '2090-01-01'",
    "late events": "select count(*) from usage_events where loaded_at > timestamp + interval 1 day",
    "late tickets": "select count(*) from support_tickets where loaded_at > created_date + interval 2 day",
    "churn before signup": "select count(*) from customers where churn_date < signup_date",
    "negative mrr": "select count(*) from customers where mrr < 0",
    "unknown tier": "select count(*) from customers where plan_tier in ('platinum', 'Legacy 2019')",
    "unknown priority": "select count(*) from support_tickets where priority in ('urgent', 'P1', 'tbd')",
    "negative resolution": "select count(*) from support_tickets where resolution_time < 0",
    "unknown stage": "select count(*) from gtm_opportunities where stage in ('Negotiation', 'verbal commit')",
    "calls without an id": "select count(*) from interventions where intervention_id is null",
    "calls to nobody": "select count(*) from interventions where customer_id not in (select customer_id from customers where customer_id is not null)",
    "gap out of range": "select count(*) from risk_signals where compliance_gap_score not between 0 and 1",
}


def test_every_promised_kind_of_dirt_is_there_and_none_in_the_clean_company(small: Company, soiled: Company) -> None:
    without_loaded_at = {kind: query for kind, query in DIRT.items() if not kind.startswith("late")}
    assert counts(small, without_loaded_at) == dict.fromkeys(without_loaded_at, 0)
    assert [kind for kind, count in counts(soiled, DIRT).items() if count < 1] == []


@pytest.mark.parametrize(("clean", "dirty"), [("small", "soiled"), ("billed", "soiled_bill")])
def test_dirt_stays_well_under_five_percent_of_each_table(
    clean: str, dirty: str, request: pytest.FixtureRequest
) -> None:
    small, soiled = request.getfixturevalue(clean), request.getfixturevalue(dirty)
    con = database(soiled)
    for name, clean in small.tables.items():
        con.register(f"clean_{name}", clean)
    for name, clean in small.tables.items():
        columns = ", ".join(f'"{column}"' for column in clean.column_names)
        query = f"select count(*) from (select {columns} from {name} except all from clean_{name})"
        assert con.execute(query).fetchall()[0][0] <= 0.025 * clean.num_rows + 5, name
        assert clean.num_rows <= soiled.tables[name].num_rows <= 1.01 * clean.num_rows, name


def test_dirt_leaves_the_oracle_that_of_the_clean_company(small: Company, soiled: Company) -> None:
    assert soiled.oracle.equals(small.oracle)


def test_every_row_was_loaded_before_the_end(soiled: Company) -> None:
    end = datetime.combine(UNTIL, datetime.min.time())
    for name in ("usage_events", "support_tickets"):
        loaded = soiled.tables[name]["loaded_at"]
        assert pc.max(loaded).as_py() < end
        assert loaded.null_count == 0
        late = pc.greater(loaded, pa.scalar(end - timedelta(days=400)))
        assert pc.any(late).as_py()


def test_one_table_tells_its_instants_on_another_clock(small: Company, soiled: Company) -> None:
    recorded = soiled.tables["risk_signals"]["recorded_at"]
    assert recorded.type == pa.timestamp("us", "America/New_York")
    assert recorded.cast(pa.int64()).equals(small.tables["risk_signals"]["recorded_at"].cast(pa.int64()))


def test_an_extra_column_that_nobody_asked_for_is_in_customers(soiled: Company) -> None:
    assert "Internal Note (do not use)" in soiled.tables["customers"].column_names
