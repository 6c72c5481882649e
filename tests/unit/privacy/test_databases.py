"""Databases without a customer, their bytes included."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import duckdb
import pytest

from churn_pipeline.privacy import databases
from churn_pipeline.privacy.matching import ERASED, Traces


@pytest.mark.parametrize("customer_id", ["C0001", "1234", "acme", "a|b<c\nd"])
def test_an_id_in_the_events_of_past_runs_is_erased_and_the_events_stay_json(tmp_path: Path, customer_id: str) -> None:
    path = tmp_path / "index.db"
    cell = customer_id.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
    event = {
        "rows": 1234,
        "sample": f"| Monday | customer_id |\n|---|---|\n| 2026-06-01 | {cell} |",
        "step": "acme_step",
    }
    with sqlite3.connect(path) as con:
        con.execute("pragma journal_mode = wal")
        con.execute("create table event_logs (id integer primary key, event text)")
        con.execute("insert into event_logs (event) values (?)", [json.dumps(event)])
        con.execute("insert into event_logs (event) values (?)", [json.dumps({"step": "acme_step", "rows": 1234})])
    con.close()
    before = path.read_bytes()
    assert databases.sqlite(path, Traces([customer_id]), False) == 1
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["index.db"]
    assert databases.sqlite(path, Traces([customer_id]), True) == 1
    with sqlite3.connect(path) as con:
        erased, other = (json.loads(text) for (text,) in con.execute("select event from event_logs order by id"))
    con.close()
    assert erased == event | {"sample": event["sample"].replace(cell, ERASED)}
    assert other == {"step": "acme_step", "rows": 1234}
    assert cell.encode() not in path.read_bytes().replace(b"1234}", b"").replace(b": 1234,", b"").replace(
        b"acme_step", b""
    )


def test_an_id_that_a_killed_run_left_in_the_log_beside_its_record_is_seen_and_erased(tmp_path: Path) -> None:
    open_record = sqlite3.connect(tmp_path / "open.db", isolation_level=None)
    open_record.execute("pragma journal_mode = wal")
    open_record.execute("create table event_logs (id integer primary key, event text)")
    open_record.execute("pragma wal_checkpoint(truncate)")
    open_record.execute("insert into event_logs (event) values (?)", [json.dumps({"customer_id": "C0001"})])
    path = tmp_path / "killed" / "index.db"
    path.parent.mkdir()
    # As a kill leaves them: whoever closes a record moves the log into it.
    for ending in ("", "-wal", "-shm"):
        shutil.copy(tmp_path / f"open.db{ending}", path.with_name(f"index.db{ending}"))
    open_record.close()
    before = path.read_bytes()
    assert databases.sqlite(path, Traces(["C0001"]), False) == 1
    assert path.read_bytes() == before
    assert databases.sqlite(path, Traces(["C0001"]), True) == 1
    assert [entry.name for entry in path.parent.iterdir()] == ["index.db"]
    assert b"C0001" not in path.read_bytes()


def test_a_file_written_anew_keeps_views_constraints_types_and_everybody_else(tmp_path: Path) -> None:
    path = tmp_path / "house.duckdb"
    with duckdb.connect(str(path)) as con:
        con.execute(
            "create schema s; create table s.t (customer_id varchar not null, v double, l struct(a integer, b varchar)[])"
        )
        con.execute("insert into s.t select 'C' || i, i / 7, [{'a': i, 'b': 'x'}] from range(5000) r(i)")
        con.execute(
            "create view s.v as select count(*) as n from house.s.t; create table plain (n hugeint); insert into plain values (1)"
        )
        con.execute(
            "create table notes (reason varchar, told timestamp); insert into notes values ('C7777 and C1', null), ('fine', now()::timestamp)"
        )
        con.execute(
            "create table notices (sentence varchar); insert into notices values ('type ''C7777'' is new'), ('C1')"
        )
        before = con.execute("select columns(*)::varchar from s.t where customer_id <> 'C77' order by 1").fetchall()
    assert databases.look(path, Traces(["C77"])) == {"s.t": 1}
    assert databases.rewrite(path, Traces(["C77", "C7777"])) == {"s.t": 1, "main.notes": 1, "main.notices": 1}
    with duckdb.connect(str(path)) as con:
        assert con.execute("select columns(*)::varchar from s.t order by 1").fetchall() == before
        assert con.execute("from s.v").fetchall() == [(4999,)]
        assert con.execute("select reason from notes order by 1").fetchall() == [(f"{ERASED} and C1",), ("fine",)]
        assert con.execute("select sentence from notices order by 1").fetchall() == [
            ("C1",),
            (f"type '{ERASED}' is new",),
        ]
        with pytest.raises(duckdb.ConstraintException):
            con.execute("insert into s.t values (null, 1, null)")
    assert [entry.name for entry in tmp_path.iterdir()] == ["house.duckdb"]
