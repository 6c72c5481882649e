"""Every place in which a run leaves a customer is one that an erasure knows, and one that nobody knows is not passed over."""

from __future__ import annotations

import gzip
import json
import re
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import duckdb
import pytest

from churn_pipeline.contract.suppression import Forgotten, Register
from churn_pipeline.core.errors import ChurnError
from churn_pipeline.core.settings import Settings
from churn_pipeline.customers.briefs import audit
from churn_pipeline.delivery.briefs import store
from churn_pipeline.privacy import databases, erase, places
from churn_pipeline.sources.copies import Copy, Note
from tests.support.homes import query

# As the simulation names its customers.
AN_ID = re.compile(rb"(?<!\w)C\d{7}(?!\w)")


def relative(settings: Settings, paths: list[Path]) -> list[str]:
    return [path.relative_to(settings.home).as_posix() for path in paths]


def all_files(settings: Settings) -> list[Path]:
    return [path for path in sorted(settings.home.rglob("*")) if path.is_file()]


def test_every_file_that_a_run_writes_is_of_a_kind_that_an_erasure_knows(tiny_home: Settings) -> None:
    assert relative(tiny_home, places.unknown_files(tiny_home)) == []


def test_no_customer_is_in_a_file_that_an_erasure_does_not_clean(tiny_home: Settings) -> None:
    cleaned = {
        tiny_home.warehouse,
        *places.database_files(tiny_home),
        *places.outbox_files(tiny_home),
        *places.judgement_files(tiny_home),
        *places.docs_pages(tiny_home),
        *(path for path in places.other_files(tiny_home) if places.handler(path) is not None),
    }
    others = [path for path in all_files(tiny_home) if path not in cleaned]
    assert len(others) > 50
    named = [
        path
        for path in others
        if AN_ID.search(gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes())
    ]
    assert relative(tiny_home, named) == []


def test_every_column_in_which_a_customer_stands_is_one_that_an_erasure_knows(tiny_home: Settings) -> None:
    looked_at = 0
    unknown = []
    for path in (tiny_home.warehouse, *places.database_files(tiny_home)):
        with duckdb.connect(str(path), read_only=True) as con:
            for schema, table, columns in databases._tables(con):
                looked_at += 1
                if databases._theirs(schema, table, columns) is not None:
                    continue
                for column in columns.keys() - set(databases._PROSE):
                    text = f'"{column}"::varchar'
                    condition = f"regexp_matches({text}, '(^|\\W)C\\d{{7}}(\\W|$)')"
                    ((count,),) = con.execute(f'select count(*) from "{schema}"."{table}" where {condition}').fetchall()
                    if count:
                        unknown.append((path.name, schema, table, column, count))
    assert looked_at > 80
    assert unknown == []


def a_customer(settings: Settings) -> str:
    return str(query(settings.published_database, "select min(customer_id) from predictions")[0][0])


@pytest.mark.long
def test_an_erasure_does_not_end_well_while_a_file_of_an_unknown_kind_names_the_customer(tiny_copy: Settings) -> None:
    customer = a_customer(tiny_copy)
    planted = tiny_copy.published / "list.xls"
    planted.write_bytes(b"\0\1" + customer.encode() + b"\0")
    assert relative(tiny_copy, places.unknown_files(tiny_copy)) == ["data/published/list.xls"]
    with pytest.raises(ChurnError, match=r"list\.xls \(1 file of an unknown kind\).*delete by hand"):
        erase.forget(tiny_copy, customer, reason="r", who="w")
    planted.unlink()
    assert erase.forget(tiny_copy, customer, reason="r", who="w").notes == ()


def test_a_file_that_cannot_be_looked_into_is_named(tiny_copy: Settings) -> None:
    (tiny_copy.published / "list.zip").write_bytes(b"PK\3\4 packed")
    found = erase.preview(tiny_copy, a_customer(tiny_copy))
    assert [note for note in found.notes if note.startswith("data/published/list.zip is of a kind")]


def fetched(settings: Settings, customer: str) -> tuple[Copy, Copy]:
    """The copy of a query's result, and one of objects; the customer is in each once."""
    tickets, events = (Copy(settings.fetched / table) for table in ("support_tickets", "usage_events"))
    for copy in (tickets, events):
        copy.begin()
    rows = f"select * from (values (1, ' {customer} '), (2, 'C-other'), (3, null)) as t (id, org)"
    duckdb.execute(f"copy ({rows}) to '{tickets.part(1)}' (format parquet)")
    tickets.commit(Note(origin="connection crm", customer="trim(org)", parts=(tickets.part(1).name,), number=1))
    (events.folder / "dt=1").mkdir()
    (events.folder / "dt=1" / "a.csv.gz").write_bytes(gzip.compress(f"event_id;org\n1;{customer}\n".encode()))
    duckdb.execute(f"copy (select 'C-other' as org) to '{events.folder / 'b.parquet'}' (format parquet)")
    events.commit(Note(origin="s3://exports/", objects={"dt=1/a.csv.gz": "1", "b.parquet": "1"}))
    return tickets, events


@pytest.mark.long
def test_a_customer_is_erased_from_the_copies_of_databases_and_object_stores(tiny_copy: Settings) -> None:
    customer = a_customer(tiny_copy)
    tickets, _ = fetched(tiny_copy, customer)
    # What a killed process left.
    (tickets.folder / ".part-000002.parquet.1.tmp").write_text(customer)
    assert relative(tiny_copy, places.unknown_files(tiny_copy)) == []
    before = erase.preview(tiny_copy, customer)
    assert {(finding.place, finding.what, finding.count) for finding in before.touched} >= {
        ("data/sources/support_tickets", "rows", 1),
        ("data/sources/usage_events", "files", 1),
    }
    assert [note for note in before.notes if note.startswith("connection crm has the customer in support_tickets")]
    assert [note for note in before.notes if note.startswith("s3://exports/ has the customer in usage_events")]
    erase.forget(tiny_copy, customer, reason="r", who="w")
    assert duckdb.execute(f"select id from '{tickets.part(1)}' order by id").fetchall() == [(2,), (3,)]
    # Of objects nothing is known but that they are to be fetched again.
    assert relative(tiny_copy, [path for path in all_files(tiny_copy) if path.is_relative_to(tiny_copy.fetched)]) == [
        "data/sources/support_tickets/_fetched.json",
        "data/sources/support_tickets/part-000001.parquet",
    ]


def test_whoever_is_back_in_a_copy_after_a_backup_was_restored_is_one_to_erase_again(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    fetched(settings, "C-back")
    duckdb.connect(str(settings.warehouse)).close()
    register = Register(b"k" * 32, {})
    listed = replace(
        register, entries={register.digest("C-back"): Forgotten(register.digest("C-back"), datetime.min, "")}
    )
    assert erase._listed_ids(settings, listed) == ["C-back"]


def test_whoever_is_back_in_the_audit_of_briefs_or_in_prepared_ones_is_one_to_erase_again(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    settings.briefs.mkdir(parents=True)
    duckdb.connect(str(settings.warehouse)).close()
    audit.file_of(settings).write_text('{"customer_id": "C-noted"}\n{"customer_id": "C-other"}\n{"cust')
    folder = store.folder_of(settings, date(2026, 6, 1))
    folder.mkdir(parents=True)
    document = {"format": store.FORMAT, "candidates": [{"customer_id": "C-prepared"}, {"customer_id": "C-other"}]}
    (folder / store.DOCUMENT).write_text(json.dumps(document))
    register = Register(b"k" * 32, {})
    digests = [register.digest(customer_id) for customer_id in ("C-noted", "C-prepared")]
    listed = replace(register, entries={digest: Forgotten(digest, datetime.min, "") for digest in digests})
    assert erase._listed_ids(settings, listed) == ["C-noted", "C-prepared"]


def test_a_file_that_lies_beside_the_copies_is_no_copy(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    settings.fetched.mkdir(parents=True)
    (settings.fetched / "list.xls").touch()
    assert relative(settings, places.unknown_files(settings)) == ["data/sources/list.xls"]


def test_what_belongs_to_a_database_is_known_with_it(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    names = ("warehouse.duckdb", "warehouse.duckdb.wal", "dagster/runs.db", "dagster/runs.db-wal", "other.wal")
    for name in names:
        path = settings.data / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert relative(settings, places.unknown_files(settings)) == ["data/other.wal"]
