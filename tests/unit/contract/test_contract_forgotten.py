"""Forgotten customers at the door: landing drops their rows before anything else, counts them, and quotes nothing of them."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import duckdb
import pytest

from churn_pipeline.contract import TABLES, land
from churn_pipeline.contract.suppression import Forgotten, Register
from churn_pipeline.core.errors import InputError
from tests.unit.contract.landing_helpers import NOW, company, everything, put, row, write

HOSTILE = "o'b\",%\n../x"


def on_list(*customer_ids: str) -> Register:
    known = Register(b"k" * 32, {})
    entries = (Forgotten(known.digest(customer_id), datetime(2024, 6, 1), "asked") for customer_id in customer_ids)
    return Register(known.key, {entry.digest: entry for entry in entries})


def of(customer_id: str) -> dict[str, list[dict]]:
    """A good row in every table, keys of their own."""
    keys = {name: TABLES[name].key[0] for name in TABLES if not TABLES[name].key[0].startswith("customer_id")}
    return {
        name: [
            row(name, customer_id=customer_id, **({keys[name]: f"{keys[name]}-{customer_id}"} if name in keys else {}))
        ]
        for name in TABLES
    }


@pytest.mark.parametrize("customer_id", ["GONE", HOSTILE])
def test_rows_of_a_forgotten_customer_land_nowhere_and_everything_else_is_as_if_they_had_never_been_there(
    con: duckdb.DuckDBPyConnection, raw: Path, tmp_path: Path, customer_id: str
) -> None:
    stays, gone = of("C1"), of(customer_id)
    # Bad in every way: a broken date, a cell out of range, a repeated key.
    gone["usage_events"] += [
        row("usage_events", event_id="EX", customer_id=customer_id, timestamp="never"),
        row("usage_events", event_id="EY", customer_id=customer_id, feature_adoption_score="7"),
        row("usage_events", event_id="EY", customer_id=customer_id),
    ]
    company(raw, **{name: stays[name] + gone[name] for name in TABLES})
    report = put(con, raw, register=on_list(customer_id))
    assert {name: table.rows_kept_out for name, table in report.tables.items()} == {
        name: 4 if name == "usage_events" else 1 for name in TABLES
    }
    assert all(table.rows_read == 1 and not table.bad_rows for table in report.tables.values())
    without = company(tmp_path / "without", **stays)
    with duckdb.connect() as fresh:
        put(fresh, without)
        assert everything(con) == everything(fresh)
    assert customer_id not in json.dumps(report.to_dict(), ensure_ascii=False)


def test_their_rows_stay_out_where_the_customers_file_no_longer_has_them_and_quarantine_hears_nothing(
    con: duckdb.DuckDBPyConnection, raw: Path
) -> None:
    company(raw, usage_events=[row("usage_events"), row("usage_events", event_id="E2", customer_id="GONE")])
    report = put(con, raw, register=on_list("GONE"))
    assert report.tables["usage_events"].rows_kept_out == 1
    assert con.execute("select count(*) from landing.quarantine").fetchall() == [(0,)]


def test_new_files_of_a_table_that_is_appended_to_are_watched_too(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw, customers=[row("customers"), row("customers", customer_id="GONE")])
    (raw / "usage_events.csv").unlink(missing_ok=True)
    write(raw, "usage_events", [row("usage_events")], "usage_events/a.csv")
    put(con, raw, register=on_list("GONE"))
    write(raw, "usage_events", [row("usage_events", event_id="E2", customer_id="GONE")], "usage_events/b.csv")
    report = put(con, raw, register=on_list("GONE"))
    assert (report.tables["usage_events"].how, report.tables["usage_events"].rows_kept_out) == ("appended", 1)
    assert con.execute("select event_id from landing.usage_events").fetchall() == [("E1",)]


def test_who_is_forgotten_and_landed_all_the_same_is_removed_from_landing_and_it_is_said(
    con: duckdb.DuckDBPyConnection, raw: Path, tmp_path: Path
) -> None:
    stays, gone = of("C1"), of("GONE")
    company(raw, **{name: stays[name] + gone[name] for name in TABLES})
    put(con, raw)
    report = put(con, raw, register=on_list("GONE"))
    assert any("churn forget --again" in notice for notice in report.notices)
    assert str(report.changed_from) == "2024-01-10"
    without = company(tmp_path / "without", **stays)
    with duckdb.connect() as fresh:
        put(fresh, without)
        assert everything(con) == everything(fresh)
    assert put(con, raw, register=on_list("GONE")).notices == []


def test_a_list_that_is_not_concerned_changes_nothing(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw, usage_events=[row("usage_events", customer_id="nobody"), row("usage_events", timestamp="never")])
    put(con, raw)
    before = everything(con)
    report = put(con, raw, register=on_list("GONE"))
    assert report.changed_from is None
    assert everything(con) == before
    assert con.execute("select distinct customer_id from landing.quarantine order by 1").fetchall() == [
        ("C1",),
        ("nobody",),
    ]


def test_without_the_key_to_its_list_a_warehouse_takes_nothing_in(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw)
    put(con, raw, register=on_list("GONE"))
    with pytest.raises(InputError, match="HOME/data/forgotten"):
        land(con, raw, now=NOW, timezone="UTC", run_id="r", max_bad_share=1, max_bad_rows=0)
