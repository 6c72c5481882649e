"""Landing is judged in SQL. On whole tables, good and bad, Great Expectations has to come to the same: of each expectation whether it
is met and how many rows do not meet it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import duckdb
import pandas as pd
import pytest

from churn_pipeline.contract import TABLES, Kind, Rule, TableContract
from churn_pipeline.contract.currencies import read_rates
from churn_pipeline.contract.declaration import KNOWN_CUSTOMER, RANGES, UNIQUE_KEY
from churn_pipeline.quality import suites
from churn_pipeline.quality.gx import ephemeral_context, load
from churn_pipeline.quality.landing import judge_landing, restored_sql
from tests.unit.contract.landing_helpers import NOW
from tests.unit.quality.conftest import MONDAY

# Rules over several columns at once, or that hold under a condition, of which Great Expectations has none.
WITHOUT_COUNTERPART = {
    ("support_tickets", "resolved by now: resolution_time, created_date"),
    ("gtm_opportunities", "not after now: close_date, stage"),
}

DAMAGE = {
    "customers": (
        "update landing.customers set plan_tier = 'gold' where customer_id in ('C2', 'C9')",
        "update landing.customers set mrr_cents = -1 where customer_id = 'C3'",
        "update landing.customers set seats = 2000000000000 where customer_id in ('C3', 'C4')",
        "update landing.customers set churn_date = date '2020-01-01' where customer_id = 'C4'",
        "update landing.customers set churn_date = date '2031-01-01' where customer_id in ('C5', 'C6', 'C7')",
        "insert into landing.customers select * from landing.customers where customer_id in ('C6', 'C8')",
        "update landing.customers set signup_date = null where customer_id = 'C10'",
        "update landing.customers set industry = null where customer_id < 'C2'",
        "delete from landing.customers where customer_id > 'C24'",
    ),
    "support_tickets": (
        "update landing.support_tickets set ticket_id = null where ticket_id = 'T2'",
        "update landing.support_tickets set resolution_seconds = 3601000000 where ticket_id < 'T2'",
        "update landing.support_tickets set priority = 'loud', customer_id = 'nobody' where ticket_id = 'T7'",
        "insert into landing.support_tickets select * from landing.support_tickets where ticket_id < 'T12'",
        "update landing.support_tickets set topic = null where ticket_id < 'T3'",
    ),
}


def counterpart(con: duckdb.DuckDBPyConnection, table: TableContract, rule: Rule) -> tuple[str, dict[str, Any]]:
    """The class of Great Expectations and its arguments that ask the rows what the rule asks them."""
    name = rule.columns[0]
    column = next(column for column in table.columns if column.name == name)
    one_of = "ExpectColumnValuesToBeInSet"
    match rule.name:
        case "not missing" if column.kind is not Kind.CATEGORY:
            return "ExpectColumnValuesToNotBeNull", {"column": name}
        case "known category" | "not missing":
            return one_of, {"column": name, "value_set": list(column.categories)}
        case "in range":
            low, high = RANGES[column.kind]
            return "ExpectColumnValuesToBeBetween", {"column": name, "min_value": low, "max_value": high}
        case "not after now":
            return "ExpectColumnValuesToBeBetween", {"column": name, "max_value": NOW.replace(tzinfo=None)}
        case "known currency":
            return one_of, {"column": name, "value_set": sorted(read_rates())}
        case _ if rule.name == KNOWN_CUSTOMER:
            known = con.execute("select distinct customer_id from landing.customers").fetchall()
            return one_of, {"column": name, "value_set": [customer for (customer,) in known]}
        case _ if rule.name == UNIQUE_KEY and len(rule.columns) == 1:
            return "ExpectColumnValuesToBeUnique", {"column": name}
        case _ if rule.name == UNIQUE_KEY:
            return "ExpectCompoundColumnsToBeUnique", {"column_list": list(rule.columns), "ignore_row_if": "never"}
    assert rule.name.startswith("not before"), rule
    later, earlier = rule.columns
    arguments = {"column_A": later, "column_B": earlier, "or_equal": True, "ignore_row_if": "either_value_is_missing"}
    return "ExpectColumnPairValuesAToBeGreaterThanB", arguments


def great_expectations(
    frame: pd.DataFrame, asked: Mapping[str, tuple[str, dict[str, Any]]]
) -> dict[str, tuple[bool, int]]:
    """By name of ours, whether it is met and how many rows do not meet it."""
    gx = load()
    import great_expectations.expectations as classes

    context = ephemeral_context()
    made = context.suites.add(gx.ExpectationSuite(name="rows"))
    made.expectations = [
        getattr(classes, kind)(**arguments, meta={"name": name}) for name, (kind, arguments) in asked.items()
    ]
    made.save()
    asset = context.data_sources.add_pandas("frame").add_dataframe_asset("rows")
    definition = gx.ValidationDefinition(
        name="rows", data=asset.add_batch_definition_whole_dataframe("rows"), suite=made
    )
    result = context.validation_definitions.add(definition).run(batch_parameters={"dataframe": frame})
    verdicts = {}
    for each in result.results:
        assert "Traceback" not in str(each.exception_info), each.exception_info
        verdicts[each.expectation_config.meta["name"]] = (bool(each.success), each.result.get("unexpected_count", 0))
    return verdicts


@pytest.mark.parametrize(("name", "damaged"), [*((name, False) for name in TABLES), *((name, True) for name in DAMAGE)])
def test_great_expectations_comes_to_the_same_verdicts(
    name: str, damaged: bool, landed: duckdb.DuckDBPyConnection
) -> None:
    table = TABLES[name]
    # What the former landing was like.
    judge_landing(landed, [MONDAY], timezone="UTC", run_id="former")
    landed.execute("update landing.state set evaluated_at = evaluated_at + interval 1 day")
    for damage in DAMAGE[name] if damaged else ():
        landed.execute(damage)
    judgement = {judged.table: judged for judged in judge_landing(landed, [], timezone="UTC", run_id="now")}[name]
    ours = {verdict.expected.name: (verdict.passed, verdict.count) for verdict in judgement.judgement.verdicts}

    landed.execute("create or replace temp macro local_midnight(day) as day::timestamp")
    frame = landed.execute(f"select * from ({restored_sql(table)})").df()
    asked = {
        f"{rule.name}: {', '.join(rule.columns)}": counterpart(landed, table, rule)
        for rule in suites.asked_rules(table)
        if (name, f"{rule.name}: {', '.join(rule.columns)}") not in WITHOUT_COUNTERPART
    }
    theirs = great_expectations(frame, asked)
    assert {key: ours[key] for key in asked} == theirs
    if damaged:
        assert (
            {key for key, (passed, _) in theirs.items() if not passed}
            == {key for key, (passed, _) in ours.items() if not passed and key in asked}
            != set()
        )
