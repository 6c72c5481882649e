"""``churn forget``: nothing of a customer is left in a home, nobody else loses anything, and they do not come back."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import subprocess
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest
from psycopg import sql
from pydantic import SecretStr

from churn_pipeline.contract import suppression
from churn_pipeline.core.errors import InputError, LockedError, PostgresError
from churn_pipeline.core.home import home_lock
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.warehouse import connect
from churn_pipeline.customers.briefs import audit
from churn_pipeline.customers.briefs.guardrails import Verdict
from churn_pipeline.customers.briefs.model import Audience, BriefKind, Draft, Part, Result
from churn_pipeline.customers.briefs.service import Attempt
from churn_pipeline.delivery.briefs import store
from churn_pipeline.delivery.postgres.publish import publish
from churn_pipeline.orchestration.execute import run_mondays
from churn_pipeline.privacy import erase as erasing
from churn_pipeline.privacy import files
from tests.conftest import TINY_MONDAY
from tests.support.homes import copy_of, query
from tests.support.postgres import Cluster, Database
from tests.support.processes import churn, kill, start

HOSTILE = "O'Neil\"; drop table landing.customers; --%s\n../../etc/<b>&amp;"


@dataclass(frozen=True)
class Customer:
    customer_id: str
    name: str


@pytest.fixture(scope="module")
def customer(tiny_home: Settings) -> Customer:
    """Somebody on the digest, with a name of their own and rows in every landed table that has any."""
    return Customer(
        *query(
            tiny_home.warehouse,
            """
            select customer_id, company_name
            from policy.predictions join landing.customers using (customer_id)
            where priority_rank <= 60
                and (select count(*) from landing.customers other where contains(other.company_name, customers.company_name)) = 1
            order by (select count(*) from landing.support_tickets t where t.customer_id = predictions.customer_id) > 0 desc,
                priority_rank
            """,
        )[0]
    )


def fill(settings: Settings, customer: Customer) -> None:
    """Puts the customer wherever a customer can get to: what goes wrong, what people ask for, what other parts publish."""
    customer_id, name = customer.customer_id, customer.name
    with connect(settings) as con:
        con.execute(
            "insert into landing.quarantine values ('usage_events', 'EX', 'cell', 'timestamp', 'never', 'r', 'run', 'f', null, ?), "
            "('contracts', ?, 'row', 'end_date', '1999', 'r', 'run', 'f', null, null), "
            "('usage_events', 'EZ', 'row', 'customer_id', ?, 'known customer', 'run', 'f', null, null), "
            "('usage_events', 'EW', 'row', 'customer_id', 'somebody else', 'known customer', 'run', 'f', null, 'somebody else')",
            [customer_id, f"{customer_id}|2020-01-01", customer_id],
        )
        con.execute("insert into ledger.runs select run_id, snapshot_date, scoring_mode, 'refused', 0, ?, 2, recorded_at from ledger.runs",
                    [f"usage_events: 30 rows are bad, such as {customer_id}|x"])  # fmt: skip
        con.execute(
            "insert into control.monday_checks values ('2026-06-01', 'scores', 'c', false, ?, 'run', null)",
            [f"Found {customer_id}."],
        )
        con.execute("insert into failures.unique_stg_customers_customer_id values (?, 2)", [customer_id])
        con.execute(f"copy (from policy.predictions) to '{settings.published}/other.parquet' (format parquet)")
    with duckdb.connect(str(settings.rescored_database)) as con:
        con.execute(
            "create table predictions_rescored as select ? as customer_id, 0.5 as p union all select 'C0', 0.1",
            [customer_id],
        )
    lists = settings.published / "call_lists" / "2025-06-02"
    lists.mkdir(parents=True)
    (lists / "ada.csv").write_text(f"rank,customer_id,company\n1,C0,Other\n2,{customer_id},{name}\n")
    assert customer_id in packed(settings.published / "report" / "2026-06-01.html")
    saved = sorted((settings.data / "quality").glob("candidates_*.json"))[0]
    judged = json.loads(saved.read_text())
    judged["failing"].append(
        {
            "rule": "a score",
            "total": 2,
            "columns": ["snapshot_date", "customer_id"],
            "rows": [["2026-06-01", customer_id], ["2026-06-01", "C0"]],
        }
    )
    judged["verdicts"][0] |= {"passed": False, "observed": f"Found {customer_id} and C0."}
    saved.write_text(json.dumps(judged))
    # As a site built from this judgement would.
    with (settings.published / "data_docs" / "index.html").open("a") as index_page:
        index_page.write(f"<!-- {customer_id} -->")
    for message in settings.outbox.glob("digest*.json"):
        if not message.name.endswith(".blocks.json"):
            message.write_text(
                json.dumps(json.loads(message.read_text()) | {"state": "sent", "channel": "C0CHANNEL", "ts": "17.5"})
            )
    for writer, text in (
        (customer_id, "Call [COMPANY]."),
        ("C0", "Call [COMPANY]."),
        ("C0", f"As {customer_id} has it."),
    ):
        audit.append(settings, a_brief(writer, text))
    prepared_at = datetime(2026, 6, 1, 8)
    rows = [prepared(customer_id, name), prepared("C0", "Other")]
    store.write(settings, prepared_at.date(), prepared_at, rows)
    store.write(settings, date(2026, 5, 25), prepared_at, rows[:1])
    (settings.outbox / "odd.unreadable").write_text(f"{{half a message on {customer_id}")
    (settings.dagster_home / "compute.err").write_text(f"KeyError: '{customer_id}'\n")
    index = next((settings.dagster_home / "history").rglob("index.db"))
    with sqlite3.connect(index) as con:
        event = json.dumps(
            {"message": f"too many bad rows, such as {customer_id}", "json": json.dumps({"a": customer_id}), "count": 7}
        )
        con.execute("update event_logs set event = ? where id = (select min(id) from event_logs)", [event])
    con.close()


def a_brief(customer_id: str, text: str) -> Attempt:
    """As the audit notes a brief that an endpoint wrote."""
    draft = Draft({Part.NEXT_STEP: text}, "localhost", "m")
    verdict = Verdict(draft.parts, Result.PASSED, 1.0, ())
    when = datetime(2026, 6, 1, 8)
    return Attempt(
        "b07",
        when.date(),
        customer_id,
        Audience.SALES,
        BriefKind.TACTICAL,
        "localhost",
        "m",
        when,
        None,
        draft,
        verdict,
        None,
        True,
    )


def prepared(customer_id: str, name: str) -> dict[str, Any]:
    """A candidate as a Monday run leaves it with its briefs."""
    brief = {
        "audience": "ae",
        "kind": "tactical",
        "parts": {"next_step": f"Call {name}."},
        "watermark": "Requires human review.",
        "result": "PASSED",
        "fact_confidence": 1.0,
        "flags": [],
        "provider": "template",
        "model": None,
        "note": None,
        "correlation_id": "b07",
        "written_at": "2026-06-01T08:00:00",
    }
    facts = dict.fromkeys(
        ("csm_owner", "expansion_rank", "plan_tier", "target_tier", "propensity", "expected_arr_uplift")
    )
    return {"customer_id": customer_id, "company_name": name, **facts, "briefs": [brief]}


def packed(page: Path) -> str:
    """The data that a weekly report carries."""
    return "".join(files.unpacked(page.read_text(encoding="utf-8")))


def named(home: Path, *words: str) -> list[str]:
    """Files whose bytes hold one of the words."""
    grep = subprocess.run(
        ["grep", "-raFl", *(part for word in words for part in ("-e", word)), str(home)],
        capture_output=True,
        text=True,
        check=False,
    )
    return sorted(Path(line).relative_to(home).as_posix() for line in grep.stdout.splitlines())


def digest(home: Path) -> str:
    """Of every file's name, content and time."""
    whole = hashlib.sha256()
    for path in sorted(home.rglob("*")):
        whole.update(f"{path.relative_to(home)} {path.stat().st_mtime_ns if path.is_file() else ''}".encode())
        if path.is_file():
            whole.update(path.read_bytes())
    return whole.hexdigest()


def tables(database: Path) -> dict[str, list[str]]:
    with duckdb.connect(str(database), read_only=True) as con:
        return tables_of(con)


def tables_of(con: duckdb.DuckDBPyConnection) -> dict[str, list[str]]:
    rows = con.execute(
        "select schema_name || '.\"' || table_name || '\"', list(column_name) from duckdb_columns() "
        "join duckdb_tables() using (database_name, schema_name, table_name) group by all"
    ).fetchall()
    return dict(rows)


def changed(before: Path, after: Path, customer_id: str) -> dict[str, tuple[int, int]]:
    """By table, rows that only one of two databases has, those of the customer not counted."""
    differing = {}
    assert set(tables(before)) - set(tables(after)) == set()
    for table, columns in tables(before).items():
        theirs = (
            "customer_id is distinct from $customer_id" if "customer_id" in columns else "$customer_id = $customer_id"
        )
        with duckdb.connect() as con:
            con.execute(f"attach '{before}' as b (read_only)")
            con.execute(f"attach '{after}' as a (read_only)")
            text = f"select columns(*)::varchar from {{}}.{table} where {theirs}"
            sides = [
                con.execute(
                    f"select count(*) from ({text.format(x)} except all {text.format(y)})", {"customer_id": customer_id}
                ).fetchall()[0][0]
                for x, y in (("b", "a"), ("a", "b"))
            ]
        if any(sides):
            differing[table] = tuple(sides)
    return differing


def test_nothing_in_the_whole_home_names_a_forgotten_customer_and_every_place_is_told(
    tiny_copy: Settings, customer: Customer
) -> None:
    fill(tiny_copy, customer)
    before = named(tiny_copy.home, customer.customer_id, customer.name)
    assert len(before) > 12
    completed = churn(tiny_copy, "forget", customer.customer_id, "--yes", "--reason", "request 2026-114")
    assert completed.returncode == 0, completed.stderr
    assert named(tiny_copy.home, customer.customer_id, customer.name) == []
    assert customer.customer_id not in completed.stdout + completed.stderr
    for place in (
        "data/warehouse.duckdb: landing.usage_events",
        "data/warehouse.duckdb: landing.quarantine",
        "data/warehouse.duckdb: failures.unique_stg_customers_customer_id",
        "data/published/churn.duckdb: main.predictions",
        "data/published/rescored.duckdb: main.predictions_rescored",
        "data/published/predictions/2026-06-01.parquet",
        "data/published/call_lists/2025-06-02/ada.csv",
        "data/published/report/2026-06-01.html",
        "data/published/data_docs",
        "data/quality/candidates_2026-06-01.json",
        "data/outbox/odd.unreadable",
        "data/briefs/audit.jsonl",
        "data/published/report/briefs/2026-06-01",
        "data/published/report/briefs/2026-05-25",
        "data/dagster/history/runs/index.db",
        "data/dagster/compute.err",
    ):
        assert place in completed.stdout
    assert "Slack has the message of 2026-06-01 in C0CHANNEL (ts 17.5): delete it there" in completed.stdout
    assert "more than 8 weeks ago are not remembered here" in completed.stdout
    assert "The raw files still have rows of theirs: customers (1)" in completed.stdout
    listed = churn(tiny_copy, "forget", "--list")
    assert "request 2026-114" in listed.stdout
    assert customer.customer_id not in listed.stdout
    # The report is there again, without them.
    report = packed(tiny_copy.published / "report" / "2026-06-01.html")
    assert len(report) > 10_000
    assert customer.customer_id not in report
    assert customer.name not in report
    # So are the briefs that were prepared for others, and their page; a Monday that held nobody else is gone.
    assert store.mondays(tiny_copy) == [date(2026, 6, 1)]
    assert store.customers_of(tiny_copy, date(2026, 6, 1)) == ["C0"]
    assert "Call Other." in (tiny_copy.published / "report" / store.page_address(date(2026, 6, 1))).read_text("utf-8")
    # What is left is still what it was: a page of others, other lines of a list, other rows of a sample, an event as JSON.
    assert (tiny_copy.published / "report" / "index.html").exists()
    assert (
        tiny_copy.published / "call_lists" / "2025-06-02" / "ada.csv"
    ).read_text() == "rank,customer_id,company\n1,C0,Other\n"
    judged = json.loads((tiny_copy.data / "quality" / "candidates_2026-06-01.json").read_text())
    assert judged["failing"][-1]["rows"] == [["2026-06-01", "C0"]]
    assert [(entry["customer_id"], entry["text"]["next_step"]) for entry in audit.entries(tiny_copy)] == [
        ("C0", "Call [COMPANY]."),
        ("C0", "As (erased) has it."),
    ]
    with sqlite3.connect(tiny_copy.dagster_home / "history" / "runs" / "index.db") as con:
        (event,) = con.execute("select event from event_logs order by id").fetchone()
    con.close()
    assert json.loads(event)["count"] == 7
    # Nobody writes about them any more, and nothing of the attempt is kept.
    assert churn(tiny_copy, "brief", customer.customer_id).returncode == 2
    assert named(tiny_copy.home, customer.customer_id) == []
    again = churn(tiny_copy, "forget", customer.customer_id, "--yes")
    assert again.returncode == 0
    assert "Nothing is left of them" in again.stdout


@pytest.mark.long
def test_every_table_keeps_every_row_of_everybody_else_to_the_bit(
    tiny_copy: Settings, tmp_path: Path, customer: Customer
) -> None:
    fill(tiny_copy, customer)
    before = copy_of(tiny_copy, tmp_path / "before")
    parquet = "data/published/predictions/2026-06-01.parquet"
    erasing.forget(tiny_copy, customer.customer_id, reason="asked", who="tester")
    differing = changed(before.warehouse, tiny_copy.warehouse, customer.customer_id)
    # Digests and fingerprints are sums over everybody; three rows named the customer in words or by key, and their table has no customer_id.
    assert set(differing) - {'landing."fact_digests"', 'control."built"'} == {
        'landing."quarantine"',
        'ledger."runs"',
        'control."monday_checks"',
        'failures."unique_stg_customers_customer_id"',
    }
    assert differing['landing."quarantine"'] == (2, 0)
    assert differing['ledger."runs"'] == differing['control."monday_checks"'] == (1, 1)
    assert query(tiny_copy.warehouse, "select customer_id from landing.quarantine") == [("somebody else",)]
    assert changed(before.published_database, tiny_copy.published_database, customer.customer_id) == {}
    assert changed(before.monitoring_database, tiny_copy.monitoring_database, customer.customer_id) == {}
    with duckdb.connect() as con:
        ours, theirs = (f"from read_parquet('{home.home / parquet}')" for home in (tiny_copy, before))
        assert (
            con.execute(ours).fetchall()
            == con.execute(f"{theirs} where customer_id <> ?", [customer.customer_id]).fetchall()
        )
    # Views and ranks are there as before.
    assert query(tiny_copy.published_database, "select count(*) > 0 from drivers") == [(True,)]


@pytest.mark.long
def test_the_next_monday_is_published_without_them_from_raw_files_that_still_have_them_and_nothing_old_is_built_or_judged_again(
    tiny_copy: Settings, customer: Customer
) -> None:
    erasing.forget(tiny_copy, customer.customer_id, reason="asked", who="tester")
    assert erasing.raw_rows(tiny_copy, [customer.customer_id])["customers"] == 1
    outcome = run_mondays(tiny_copy, TINY_MONDAY)
    assert outcome.exit_code == 0, outcome.reason
    assert [row.status for row in outcome.mondays] == ["published"]
    # Only the new Monday: what was built before is current still.
    for window in ("snapshots_to_build", "mondays_to_test"):
        assert query(tiny_copy.warehouse, f"select snapshot_date from control.{window}") == [(TINY_MONDAY,)]
    assert named(tiny_copy.home, customer.customer_id, customer.name) == []
    assert query(
        tiny_copy.warehouse, f"select count(*) from landing.quarantine where customer_id = '{customer.customer_id}'"
    ) == [(0,)]


@pytest.mark.long
@pytest.mark.parametrize(
    "place", ["data/outbox", "data/dagster", "data/published/rescored.duckdb", "data/warehouse.duckdb"]
)
def test_stopped_at_any_step_the_same_command_finishes_it(tiny_copy: Settings, customer: Customer, place: str) -> None:
    fill(tiny_copy, customer)

    def stop(step: str) -> None:
        if step == place:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        erasing.forget(tiny_copy, customer.customer_id, reason="asked", who="tester", say=stop)
    assert [row["erased_at"] for row in erasing.listed(tiny_copy)] == [None]
    assert named(tiny_copy.home, customer.name)
    if place == "data/dagster":
        erasing.again(tiny_copy, who="tester")
    else:
        erasing.forget(tiny_copy, customer.customer_id, reason="asked", who="tester")
    assert named(tiny_copy.home, customer.customer_id, customer.name) == []
    (row,) = erasing.listed(tiny_copy)
    assert row["erased_at"] is not None


@pytest.mark.long
def test_killed_while_the_warehouse_is_written_anew_the_old_one_is_whole_and_the_next_monday_leaves_them_out(
    tiny_copy: Settings, customer: Customer
) -> None:
    process = start(tiny_copy, "forget", customer.customer_id, "--yes")
    assert process.stderr is not None
    for line in process.stderr:
        if "data/warehouse.duckdb" in line:
            break
    kill(process)
    assert query(tiny_copy.warehouse, "select count(*) from control.forgotten") == [(1,)]
    assert "interrupted" in churn(tiny_copy, "forget", "--list").stdout
    assert run_mondays(tiny_copy, TINY_MONDAY).exit_code == 0
    published = f"select count(*) from predictions where snapshot_date = '{TINY_MONDAY}' and customer_id = '{customer.customer_id}'"
    assert query(tiny_copy.published_database, published) == [(0,)]
    completed = churn(tiny_copy, "forget", "--again")
    assert completed.returncode == 0, completed.stderr
    assert named(tiny_copy.home, customer.customer_id) == []


def test_a_dry_run_tells_the_places_and_changes_not_a_byte(tiny_copy: Settings, customer: Customer) -> None:
    fill(tiny_copy, customer)
    before = digest(tiny_copy.home)
    completed = churn(tiny_copy, "forget", customer.customer_id, "--dry-run")
    assert completed.returncode == 0, completed.stderr
    assert "would be erased" in completed.stdout
    assert "data/warehouse.duckdb: landing.usage_events" in completed.stdout
    plain = json.loads(churn(tiny_copy, "forget", customer.customer_id, "--dry-run", "--json").stdout)
    assert plain["customers"] == 1
    assert digest(tiny_copy.home) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("C9999999", "--yes"), "nothing in"),
        (("nobody-7", "--yes"), "nothing in"),
        ((HOSTILE, "--yes"), "nothing in"),
        (("..%", "--yes"), "nothing in"),
        ((" ", "--yes"), "empty"),
        ((), "give an ID"),
        (("C1", "--list"), "give an ID"),
    ],
)
def test_what_nobody_knows_or_means_is_refused_and_leaves_no_trace(
    tiny_home: Settings, arguments: tuple[str, ...], words: str
) -> None:
    before = {path: path.stat().st_mtime_ns for path in tiny_home.home.rglob("*.duckdb")}
    completed = churn(tiny_home, "forget", *arguments)
    assert completed.returncode == 2, completed.stderr
    assert words in completed.stderr
    assert completed.stderr.count("\n") == 1
    assert {path: path.stat().st_mtime_ns for path in tiny_home.home.rglob("*.duckdb")} == before
    assert not suppression.folder(tiny_home).exists()


def test_nobody_is_erased_without_being_asked_or_with_their_name_for_a_reason(
    tiny_home: Settings, customer: Customer
) -> None:
    completed = churn(tiny_home, "forget", customer.customer_id)
    assert (completed.returncode, "--yes" in completed.stderr) == (2, True)
    for reason in (f"for {customer.customer_id}", f"{customer.name} asked"):
        with pytest.raises(InputError, match="names the customer"):
            erasing.forget(tiny_home, customer.customer_id, reason=reason, who="tester")
    assert not suppression.folder(tiny_home).exists()


def test_it_waits_for_a_run_and_gives_up_by_name(tiny_copy: Settings, customer: Customer) -> None:
    quick = Settings(**tiny_copy.model_dump(include=tiny_copy.model_fields_set) | {"lock_wait_seconds": 0.5})
    with home_lock(tiny_copy, "Dagster run 7"), pytest.raises(LockedError, match="Dagster run 7"):
        erasing.forget(quick, customer.customer_id, reason="asked", who="tester")


@pytest.mark.long
def test_after_an_old_backup_was_put_back_again_erases_whoever_is_on_the_list(
    tiny_copy: Settings, tmp_path: Path, customer: Customer
) -> None:
    backup = copy_of(tiny_copy, tmp_path / "backup")
    erasing.forget(tiny_copy, customer.customer_id, reason="asked", who="tester")
    for name in ("warehouse.duckdb", "published", "outbox"):
        old, now = backup.data / name, tiny_copy.data / name
        shutil.rmtree(now) if now.is_dir() else now.unlink()
        shutil.copytree(old, now) if old.is_dir() else shutil.copy2(old, now)
    assert named(tiny_copy.home, customer.customer_id)
    completed = churn(tiny_copy, "forget", "--again")
    assert completed.returncode == 0, completed.stderr
    assert "1 customer(s)" in completed.stdout
    assert named(tiny_copy.home, customer.customer_id, customer.name) == []
    assert churn(tiny_copy, "forget", "--again").stdout.startswith("0 customer(s)")


def rename(database: Path, old: str, new: str) -> None:
    with duckdb.connect(str(database)) as con:
        for table, columns in tables_of(con).items():
            if "customer_id" in columns:
                con.execute(f"update {table} set customer_id = ? where customer_id = ?", [new, old])


@pytest.mark.long
def test_an_id_with_quotes_line_breaks_and_path_characters_is_erased_like_any_other(
    tiny_copy: Settings, customer: Customer
) -> None:
    for database in (tiny_copy.warehouse, tiny_copy.published_database):
        rename(database, customer.customer_id, HOSTILE)
    with duckdb.connect() as con:
        for path in tiny_copy.published.rglob("*.parquet"):
            con.execute("create or replace table t as from read_parquet(?, hive_partitioning = false)", [str(path)])
            con.execute("update t set customer_id = ? where customer_id = ?", [HOSTILE, customer.customer_id])
            con.execute(f"copy t to '{path}' (format parquet)")
    for message in tiny_copy.outbox.glob("*.json"):
        written = json.dumps(" ".join(HOSTILE.split()), ensure_ascii=False)[1:-1]
        message.write_text(message.read_text().replace(customer.customer_id, written))
    (before,) = query(tiny_copy.published_database, "select count(*) from predictions")[0]
    assert len(named(tiny_copy.home, "drop table landing.customers")) > 4
    completed = churn(tiny_copy, "forget", HOSTILE, "--yes")
    assert completed.returncode == 0, completed.stderr
    assert query(tiny_copy.published_database, "select count(*) from predictions") == [(before - 1,)]
    assert named(tiny_copy.home, "drop table landing.customers", customer.name) == []
    assert query(tiny_copy.warehouse, "select count(*) > 800 from landing.customers") == [(True,)]


@pytest.fixture
def publishing_copy(tiny_copy: Settings, database: Database) -> Settings:
    """A home of its own that has published to a PostgreSQL database."""
    settings = Settings(
        **tiny_copy.model_dump(include=tiny_copy.model_fields_set) | {"publish_url": SecretStr(database.url)}
    )
    publish(database.url, settings)
    return settings


def in_postgres(database: Database, customer: Customer) -> dict[str, int]:
    """Rows that hold the customer anywhere, of every table in the database."""
    with psycopg.connect(database.admin_url) as con:
        tables = con.execute("select tablename from pg_tables where schemaname = 'churn' order by 1").fetchall()
        return {
            table: con.execute(
                sql.SQL("select count(*) from {} t where strpos(t::text, %s) > 0").format(
                    sql.Identifier("churn", table)
                ),
                [customer.customer_id],
            ).fetchall()[0][0]
            for (table,) in tables
        }


def test_forgotten_in_postgresql_too_even_where_a_publication_beside_it_brings_them_back(
    publishing_copy: Settings, customer: Customer, database: Database
) -> None:
    before = in_postgres(database, customer)
    assert sum(before.values()) > 0
    published = 0

    def publish_once(_: str) -> None:
        # The first step after PostgreSQL's own: what is published still has the customer.
        nonlocal published
        if not published and not sum(in_postgres(database, customer).values()):
            publish(database.url, publishing_copy)
            published = sum(in_postgres(database, customer).values())

    erasure = erasing.forget(publishing_copy, customer.customer_id, reason="asked", who="tester", say=publish_once)
    assert published == sum(before.values())
    assert [finding for finding in erasure.touched if finding.place == "PostgreSQL"] == [
        erasing.Touched("PostgreSQL", "rows", published),
        erasing.Touched("PostgreSQL", "rows brought back meanwhile", published),
    ]
    assert set(in_postgres(database, customer).values()) == {0}
    publish(database.url, publishing_copy)
    assert set(in_postgres(database, customer).values()) == {0}


@pytest.mark.long
def test_a_database_that_cannot_be_reached_stops_it_before_anything_but_the_list_is_touched(
    publishing_copy: Settings, customer: Customer, postgres: Cluster, database: Database
) -> None:
    before = named(publishing_copy.home, customer.customer_id)
    postgres.stop()
    try:
        with pytest.raises(PostgresError):
            erasing.forget(publishing_copy, customer.customer_id, reason="asked", who="tester")
    finally:
        postgres.start()
    assert named(publishing_copy.home, customer.customer_id) == before
    erasure = erasing.forget(publishing_copy, customer.customer_id, reason="asked", who="tester")
    assert erasure.touched[0].place == "PostgreSQL"
    assert set(in_postgres(database, customer).values()) == {0}


def test_a_disk_without_room_for_a_copy_is_said_before_and_leaves_the_file_alone(
    tiny_copy: Settings, customer: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tiny_copy.data)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(Exception, match="MB are free"):
        erasing.forget(tiny_copy, customer.customer_id, reason="asked", who="tester")
    monkeypatch.undo()
    assert query(
        tiny_copy.warehouse, f"select count(*) from landing.customers where customer_id = '{customer.customer_id}'"
    ) == [(1,)]
    assert not list(tiny_copy.data.rglob(".*.tmp*"))
