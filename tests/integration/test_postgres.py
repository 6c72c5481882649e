"""PostgreSQL for dashboards, on a real server: exact values, one transaction, whatever is interrupted leaves whole weeks."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest
from psycopg import errors, sql

from churn_pipeline.cli import output
from churn_pipeline.core.calendar import WEEK
from churn_pipeline.core.errors import ChurnError, InputError, PostgresError
from churn_pipeline.core.settings import REPOSITORY, Settings
from churn_pipeline.delivery.postgres import publish as publishing
from churn_pipeline.delivery.postgres.connection import READER, connect
from churn_pipeline.delivery.postgres.forget import forget
from churn_pipeline.delivery.postgres.migrate import migrate
from churn_pipeline.delivery.postgres.schema import VIEWS
from churn_pipeline.delivery.postgres.tables import TABLES, postgres_type
from tests.conftest import TINY_BEFORE, TINY_MONDAY
from tests.support.postgres import Cluster, Database

CHURN = str(Path(sys.executable).with_name("churn"))
# What people write into fields, and what a COPY, a CSV or a JSON would trip over.
NASTY = [
    r"\N",
    r"\.",
    'O\'Reilly "& Sons"',
    "two\nlines\r\nand\ta tab",
    "back\\slash \\u0041 \\x41",
    "',); drop schema churn cascade; --",
    "Zoë 株式会社 🚀 \u202e e\u0301",
    "",
    " ",
    "NULL",
    '<b>{"a": 1}</b>',
    "$1 %s %(x)s :name",
]
DOUBLES = [
    0.1 + 0.2,
    5e-324,
    2.2250738585072014e-308,
    1.7976931348623157e308,
    -0.0,
    float("nan"),
    float("-inf"),
    1 / 3,
    123456789.12345679,
]


@pytest.fixture
def home(tiny_home: Settings, tmp_path: Path) -> Settings:
    """The published databases of a real home, to be changed as one likes."""
    settings = tiny_home.model_copy(update={"home": tmp_path / "home"})
    settings.published.mkdir(parents=True)
    for file in (tiny_home.published_database, tiny_home.monitoring_database):
        shutil.copy(file, settings.published)
    return settings


def change(settings: Settings, *statements: str) -> None:
    with duckdb.connect(str(settings.published_database)) as con:
        for statement in statements:
            con.execute(statement)


def add_monday(settings: Settings, run: str = "second") -> None:
    """A second published Monday, by another run."""
    change(
        settings,
        f"insert into predictions select * replace (date '{TINY_MONDAY}' as snapshot_date, '{run}' as run_id) "
        f"from predictions where snapshot_date = date '{TINY_BEFORE}'",
    )


def rescore(settings: Settings, monday: date, run: str) -> None:
    """A Monday scored again: every probability another one, and the run's name."""
    change(
        settings,
        f"update predictions set churn_probability_90d = churn_probability_90d / 2, run_id = '{run}' "
        f"where snapshot_date = date '{monday}'",
    )


def asked(database: Database, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(database.url) as con:
        return con.execute(statement).fetchall()


def weeks(database: Database) -> dict[date, tuple[int, str]]:
    return {
        day: (rows, run)
        for day, rows, run in asked(
            database,
            "select snapshot_date, count(*), string_agg(distinct run_id, ',') from churn.predictions group by 1",
        )
    }


def published_weeks(settings: Settings) -> dict[date, tuple[int, str]]:
    with duckdb.connect(str(settings.published_database), read_only=True) as con:
        per_week = con.execute(
            "select snapshot_date, count(*), string_agg(distinct run_id, ',') from predictions group by 1"
        ).fetchall()
    return {day: (rows, run) for day, rows, run in per_week}


def exactly(value: Any) -> Any:
    """A value that is equal to another only when every bit of it is."""
    if isinstance(value, float):
        return ("double", struct.pack(">d", value) if value == value else "nan")
    if isinstance(value, list):
        return [exactly(item) for item in value]
    if isinstance(value, dict):
        # jsonb keeps keys in an order of its own.
        return {name: exactly(item) for name, item in sorted(value.items())}
    return (type(value).__name__, value)


def same_rows(settings: Settings, database: Database, table: str) -> int:
    """Compares every value of every column of a table on both sides, and says how many."""
    source = next(known for known in TABLES if known.name == table)
    file = settings.published_database if source.database == "published" else settings.monitoring_database
    with duckdb.connect(str(file), read_only=True) as con:
        columns = [(name, kind) for name, kind, *_ in con.execute(f'describe "{table}"').fetchall()]
        ours = con.execute(f'from "{table}"').fetchall()
    names = sql.SQL(", ").join(sql.Identifier(name) for name, _ in columns)
    with psycopg.connect(database.url) as con:
        theirs = con.execute(sql.SQL("select {} from {}").format(names, sql.Identifier("churn", table))).fetchall()
    is_json = [kind == "JSON" for _, kind in columns]

    def comparable(rows: list[tuple[Any, ...]], parse: bool) -> list[str]:
        return sorted(
            repr(
                [
                    exactly(json.loads(value) if parse and document and value is not None else value)
                    for value, document in zip(row, is_json, strict=True)
                ]
            )
            for row in rows
        )

    assert comparable(ours, True) == comparable(theirs, False)
    return len(ours) * len(columns)


# --- exact types -----------------------------------------------------------------------------------------------------


def test_every_value_of_every_table_comes_back_bit_for_bit(home: Settings, database: Database) -> None:
    names = ", ".join(f"({number}, '{text.replace(chr(39), chr(39) * 2)}')" for number, text in enumerate(NASTY))
    doubles = ", ".join(f"({number}, '{value!r}'::double)" for number, value in enumerate(DOUBLES))
    numbered = "(select customer_id, row_number() over (order by customer_id) - 1 as n from predictions)"
    change(
        home,
        f"create table nasty as select * from (values {names}) as t (n, text)",
        f"create table doubles as select * from (values {doubles}) as t (n, number)",
        # Ids too, since somebody else's system makes them.
        f"create table ids as select customer_id, text from {numbered} join nasty using (n)",
        "update predictions set csm_owner = text, industry = text, churn_drivers = [struct_pack(feature := text, label := text, "
        "value := text, contribution := 0.1 + 0.2::double, sentence := text)] from ids where ids.customer_id = predictions.customer_id",
        "update customers set company_name = text, csm_owner = text from ids where ids.customer_id = customers.customer_id",
        "update predictions set customer_id = text from ids where ids.customer_id = predictions.customer_id",
        f"update predictions set mrr = number, probability_change = -number from doubles join {numbered} as c using (n) "
        "where c.customer_id = predictions.customer_id",
        "update predictions set scored_at = timestamp '2026-06-01 12:34:56.789012', snoozed_until = date '1999-12-31', "
        "priority_rank = 9223372036854775807 where customer_id = 'NULL'",
        "drop table nasty; drop table doubles; drop table ids",
    )
    publishing.publish(database.url, home)
    compared = {table.name: same_rows(home, database, table.name) for table in TABLES}
    assert compared["predictions"] > 20_000
    # What looks back has nothing to say of a home's first Mondays.
    assert {name for name, values in compared.items() if not values} <= {
        "saves", "holdout_lift", "list_quality", "money_calibration", "prediction_outcomes",
    }  # fmt: skip


def test_the_drivers_view_gives_what_the_published_view_gives(home: Settings, database: Database) -> None:
    publishing.publish(database.url, home)
    columns = "snapshot_date, customer_id, target, rank, feature, label, value, contribution, sentence"
    with duckdb.connect(str(home.published_database), read_only=True) as con:
        ours = con.execute(f"select {columns} from drivers order by all").fetchall()
    theirs = asked(database, f"select {columns} from churn.drivers")
    assert len(ours) > 5_000
    assert sorted(map(repr, ours)) == sorted(map(repr, theirs))


def test_the_schema_has_every_published_column_and_no_other(home: Settings, database: Database) -> None:
    publishing.publish(database.url, home)
    published_columns: dict[str, set[tuple[str, str]]] = {}
    for file in (home.published_database, home.monitoring_database):
        with duckdb.connect(str(file), read_only=True) as con:
            for (table,) in con.execute("select table_name from duckdb_tables()").fetchall():
                published_columns[table] = {
                    (name, str(postgres_type(kind))) for name, kind, *_ in con.execute(f'describe "{table}"').fetchall()
                }
    there: dict[str, set[tuple[str, str]]] = {}
    for table, column, kind in asked(
        database,
        "select relname, attname, format_type(atttypid, atttypmod) from pg_attribute join pg_class on attrelid = pg_class.oid "
        "where relnamespace = 'churn'::regnamespace and relkind = 'r' and attnum > 0 and not attisdropped",
    ):
        there.setdefault(table, set()).add((column, kind))
    own = {"contents", "publication_lock", "publications", "schema_version", "target_columns"}
    # For people who read the list, and for models; docs/postgresql.md says that they are not copied.
    assert published_columns.pop("notices")
    assert published_columns.pop("customer_weeks")
    assert published_columns == {table: columns for table, columns in there.items() if table not in own}, (
        "a column was added to what is published: add a revision in delivery/postgres/migrations"
    )


def test_a_column_that_the_schema_does_not_know_is_named_and_one_of_another_type_is_refused(
    home: Settings, database: Database
) -> None:
    change(home, "alter table predictions add column mood varchar")
    done = publishing.publish(database.url, home)
    assert done.notices == ("Schema churn does not know predictions.mood: left out.",)
    before = weeks(database)
    # An integer in a column of doubles is what silently became something else elsewhere.
    change(home, "drop view drivers", "alter table predictions alter mrr type bigint using 1")
    with pytest.raises(PostgresError, match=r"churn.predictions.mrr is double precision in PostgreSQL, and BIGINT"):
        publishing.publish(database.url, home, [TINY_BEFORE])
    assert weeks(database) == before


def test_nul_which_no_text_in_postgresql_can_hold_is_replaced_and_said(home: Settings, database: Database) -> None:
    change(
        home,
        "update customers set company_name = 'A' || chr(0) || 'B' where customer_id = (select min(customer_id) from customers)",
        "update predictions set churn_drivers = [struct_pack(feature := 'f', label := 'l', value := 'A' || chr(0) || 'B\\u0000', "
        "contribution := 0.25::double, sentence := 's')] where customer_id = (select min(customer_id) from predictions)",
    )
    done = publishing.publish(database.url, home)
    assert done.notices == ("2 values held NUL, which PostgreSQL cannot: written as U+FFFD instead.",)
    ((name,),) = asked(database, "select company_name from churn.customers order by customer_id limit 1")
    ((driver,),) = asked(database, "select churn_drivers -> 0 from churn.predictions order by customer_id limit 1")
    assert name == "A\ufffdB"
    assert driver == {"feature": "f", "label": "l", "value": "A\ufffdB\\u0000", "contribution": 0.25, "sentence": "s"}


# --- one transaction -------------------------------------------------------------------------------------------------

# Publishes, and stops between the last COPY and the commit.
HALF_WAY = """
import sys, time
from datetime import date
from churn_pipeline.delivery.postgres import publish as publishing
from churn_pipeline.core.settings import Settings

def stop(con, *_):
    print(con.execute("select string_agg(distinct run_id, ',') from churn.predictions").fetchone()[0], flush=True)
    time.sleep(300)

publishing._note = stop
publishing.publish(sys.argv[1], Settings(home=sys.argv[2]))
"""


def test_killed_between_the_copy_and_the_commit_the_old_week_is_whole_and_the_next_publication_completes_it(
    home: Settings, database: Database
) -> None:
    publishing.publish(database.url, home)
    before, audit = weeks(database), asked(database, "select * from churn.publications")
    rescore(home, TINY_BEFORE, "second")
    arguments = [sys.executable, "-c", HALF_WAY, database.url, str(home.home)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as process:
        try:
            assert process.stdout
            # It has deleted the old rows and copied the new ones, in its own transaction.
            assert process.stdout.readline().strip() == "second"
            assert weeks(database) == before
        finally:
            process.send_signal(signal.SIGKILL)
    assert weeks(database) == before
    assert asked(database, "select * from churn.publications") == audit

    publishing.publish(database.url, home)
    assert weeks(database) == published_weeks(home) == {TINY_BEFORE: (before[TINY_BEFORE][0], "second")}


def test_when_the_server_goes_down_half_way_the_error_is_one_line_and_the_old_week_is_whole(
    home: Settings, postgres: Cluster, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    publishing.publish(database.url, home)
    before = weeks(database)
    rescore(home, TINY_BEFORE, "second")
    note = publishing._note

    def crash(*arguments: Any) -> None:
        postgres.stop(signal.SIGQUIT)
        note(*arguments)

    try:
        with monkeypatch.context() as patch:
            patch.setattr(publishing, "_note", crash)
            with pytest.raises(PostgresError) as raised:
                publishing.publish(database.url, home)
    finally:
        postgres.start()
    assert f"PostgreSQL at 127.0.0.1:{postgres.port}/{database.name}: " in str(raised.value)
    assert "\n" not in str(raised.value)
    assert database.password not in str(raised.value)
    assert weeks(database) == before
    publishing.publish(database.url, home)
    assert weeks(database) == published_weeks(home)


def test_a_reader_sees_the_old_week_until_the_commit_and_never_an_empty_one(
    home: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    publishing.publish(database.url, home)
    rows, first = weeks(database)[TINY_BEFORE]
    rescore(home, TINY_BEFORE, "second")
    seen: list[tuple[int, str, int]] = []
    stop = threading.Event()

    def read() -> None:
        with psycopg.connect(database.url, autocommit=True) as con:
            while not stop.is_set():
                seen.append(
                    con.execute(
                        "select count(*), string_agg(distinct p.run_id, ','), (select count(*) from churn.customers) "
                        "from churn.latest_predictions as p"
                    ).fetchone()
                )

    note = publishing._note

    def look_then_note(*arguments: Any) -> None:
        # Everything is written; a session that begins now sees nothing of it.
        assert weeks(database) == {TINY_BEFORE: (rows, first)}
        note(*arguments)

    monkeypatch.setattr(publishing, "_note", look_then_note)
    reader = threading.Thread(target=read)
    reader.start()
    try:
        publishing.publish(database.url, home)
    finally:
        stop.set()
        reader.join()
    assert weeks(database) == {TINY_BEFORE: (rows, "second")}
    assert len(seen) > 5
    assert {(count, run) for count, run, _ in seen} <= {(rows, first), (rows, "second")}
    assert len({names for *_, names in seen}) == 1
    # Once new, always new.
    runs = [run for _, run, _ in seen]
    assert runs == sorted(runs, key=lambda run: run == "second")


def test_two_publications_at_once_come_one_after_the_other(home: Settings, database: Database) -> None:
    add_monday(home)
    failures: list[Exception] = []

    def go() -> None:
        try:
            publishing.publish(database.url, home, [TINY_MONDAY])
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=go) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert weeks(database) == published_weeks(home)
    assert len({row[0] for row in asked(database, "select publication from churn.publications")}) == 3


# --- which Mondays ---------------------------------------------------------------------------------------------------


def test_a_monday_that_postgresql_missed_is_caught_up_with_the_next_one(home: Settings, database: Database) -> None:
    publishing.publish(database.url, home)
    rescore(home, TINY_BEFORE, "missed")
    add_monday(home)
    done = publishing.publish(database.url, home, [TINY_MONDAY], run_id="second")
    assert done.caught_up == (TINY_BEFORE,)
    assert weeks(database) == published_weeks(home)
    assert asked(
        database,
        "select snapshot_date, cause, published_by_run, run_id from churn.publications order by seq desc limit 2",
    ) == [(TINY_MONDAY, "asked for", "second", "second"), (TINY_BEFORE, "caught up", "second", "missed")]


def test_with_a_monday_comes_the_one_after_it_whose_changes_were_refreshed_and_no_other(
    home: Settings, database: Database
) -> None:
    add_monday(home)
    third = TINY_MONDAY + WEEK
    change(home, f"insert into predictions select * replace (date '{third}' as snapshot_date) from predictions limit 7")
    publishing.publish(database.url, home)
    rescore(home, TINY_BEFORE, "again")
    # What the run that writes a Monday does to the next one: its change columns, and not its run.
    change(home, f"update predictions set probability_change = 0.125 where snapshot_date = date '{TINY_MONDAY}'")
    done = publishing.publish(database.url, home)
    assert list(done.rows) == [TINY_BEFORE, TINY_MONDAY]
    assert asked(
        database, f"select distinct probability_change from churn.predictions where snapshot_date = '{TINY_MONDAY}'"
    ) == [(0.125,)]
    assert publishing.publish(database.url, home).rows == {}


def test_a_monday_that_only_postgresql_has_is_left_alone_and_named(home: Settings, database: Database) -> None:
    add_monday(home)
    publishing.publish(database.url, home)
    change(home, f"delete from predictions where snapshot_date = date '{TINY_BEFORE}'")
    done = publishing.publish(database.url, home)
    assert (done.rows, done.unknown, done.weeks) == ({}, (TINY_BEFORE,), 2)


def test_monitoring_is_replaced_where_it_differs(home: Settings, database: Database) -> None:
    assert publishing.publish(database.url, home).other_rows["drift"] > 100
    assert publishing.publish(database.url, home).other_rows["drift"] == 0
    with duckdb.connect(str(home.monitoring_database)) as con:
        con.execute("update drift set psi_week = 0.5 where feature = (select min(feature) from drift)")
        con.execute("delete from drift_verdicts")
    assert publishing.publish(database.url, home).other_rows["drift"] > 100
    for table in ("drift", "drift_verdicts"):
        same_rows(home, database, table)


def test_a_monday_that_is_not_published_or_a_home_without_any_is_a_clear_error(
    home: Settings, database: Database, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="not published in this home: 2026-06-08"):
        publishing.publish(database.url, home, [TINY_MONDAY])
    with pytest.raises(InputError, match="nothing was published in this home yet"):
        publishing.publish(database.url, Settings(home=tmp_path / "empty"))


# --- the schema ------------------------------------------------------------------------------------------------------


def test_migrations_run_from_nothing_and_a_second_time_change_nothing(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A working directory with somebody else's Alembic in it.
    (tmp_path / "alembic.ini").write_text("[alembic]\nscript_location = /nowhere\n")
    monkeypatch.chdir(tmp_path)
    catalogue = (
        "select relname, relkind, relacl::text from pg_class where relnamespace = 'churn'::regnamespace order by 1"
    )
    first = migrate(database.url)
    made = asked(database, catalogue)
    second = migrate(database.url)
    assert first.before is None
    assert (second.before, second.revision) == (first.revision, first.revision)
    assert asked(database, catalogue) == made
    assert {name for name, *_ in made} >= {*VIEWS, *(table.name for table in TABLES), "publications"}


def test_two_that_migrate_at_once_both_succeed(database: Database) -> None:
    program = (
        "import sys; from churn_pipeline.delivery.postgres.migrate import migrate; print(migrate(sys.argv[1]).before)"
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-c", program, database.url], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
        )
        for _ in range(3)
    ]
    printed = [process.communicate(timeout=60)[0].strip() for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    # One made the schema, the others found it.
    assert sorted(printed) == ["0004", "0004", "None"]


def test_a_migration_that_fails_leaves_nothing_of_itself(database: Database) -> None:
    with psycopg.connect(database.url, autocommit=True) as con:
        # A view stands where a table should come.
        con.execute("create view churn.saves as select 1")
    with pytest.raises(PostgresError, match='relation "saves" already exists'):
        migrate(database.url)
    assert asked(
        database,
        "select relname from pg_class where relnamespace = 'churn'::regnamespace and relkind <> 'i' order by 1",
    ) == [("publication_lock",), ("saves",)]


def test_a_schema_of_a_newer_version_is_refused_in_a_sentence(home: Settings, database: Database) -> None:
    migrate(database.url)
    with psycopg.connect(database.url) as con:
        con.execute("update churn.schema_version set version_num = '9999'")
    with pytest.raises(PostgresError, match="was it made by a newer version of this project"):
        publishing.publish(database.url, home)


def test_every_view_and_table_says_what_it_is(database: Database) -> None:
    migrate(database.url)
    silent = asked(
        database,
        "select relname from pg_class where relnamespace = 'churn'::regnamespace and relkind in ('r', 'v') "
        "and obj_description(oid, 'pg_class') is null",
    )
    assert silent == [("schema_version",)]


# --- who may what ----------------------------------------------------------------------------------------------------


@pytest.fixture
def dashboard(home: Settings, database: Database) -> Iterator[psycopg.Connection[Any]]:
    """A login of a dashboard: a member of churn_reader and nothing else."""
    publishing.publish(database.url, home)
    login = f"{database.owner}_bi"
    with psycopg.connect(database.admin_url, autocommit=True) as con:
        con.execute(
            sql.SQL("create role {} login password 'bi' in role {}").format(
                sql.Identifier(login), sql.Identifier(READER)
            )
        )
    with psycopg.connect(database.admin_url, user=login, password="bi", autocommit=True) as con:
        yield con


def test_the_read_only_role_reads_every_table_and_view_and_writes_none(
    dashboard: psycopg.Connection[Any], database: Database
) -> None:
    with psycopg.connect(database.url, autocommit=True) as con:
        # A table of a revision that is yet to come.
        con.execute("create table churn.later as select 1 as one")
    relations = [
        name
        for (name,) in dashboard.execute(
            "select relname from pg_class where relnamespace = 'churn'::regnamespace and relkind in ('r', 'v') "
            "and relname <> 'publication_lock'"
        ).fetchall()
    ]
    assert {*VIEWS, "publications", "later"} <= set(relations)
    for name in relations:
        relation = sql.Identifier("churn", name)
        dashboard.execute(sql.SQL("select * from {} limit 1").format(relation))
        # Of views, some cannot be written to by anybody.
        for statement in ("delete from {}", "insert into {} default values"):
            with pytest.raises((errors.InsufficientPrivilege, errors.ObjectNotInPrerequisiteState)):
                dashboard.execute(sql.SQL(statement).format(relation))
    for statement in (
        "create table churn.mine (a int)",
        "truncate churn.predictions",
        "update churn.customers set company_name = 'x'",
        "drop view churn.at_risk",
    ):
        with pytest.raises(errors.InsufficientPrivilege):
            dashboard.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "update churn.publications set who = 'somebody else'",
        "delete from churn.publications",
        "delete from churn.publications where false",
        "truncate churn.publications",
    ],
)
def test_the_audit_of_publications_refuses_every_change_by_its_owner_and_by_the_superuser(
    home: Settings, database: Database, statement: str
) -> None:
    publishing.publish(database.url, home)
    before = asked(database, "select * from churn.publications")
    for url in (database.url, database.admin_url):
        with psycopg.connect(url, autocommit=True) as con, pytest.raises(errors.RestrictViolation, match="append-only"):
            con.execute(statement)
    with psycopg.connect(database.admin_url, autocommit=True) as con, pytest.raises(errors.RestrictViolation):
        con.execute("set session_replication_role = replica")
        con.execute(statement)
    assert asked(database, "select * from churn.publications") == before != []


def test_the_audit_says_who_published_which_run_and_the_server_says_who_was_logged_in(
    home: Settings, database: Database
) -> None:
    publishing.publish(database.url, home, [TINY_BEFORE], run_id="a-run", who="ana")
    with psycopg.connect(database.url) as con:
        con.execute(
            "insert into churn.publications (publication, database_user, published_at, who, snapshot_date, cause, rows) "
            "values (gen_random_uuid(), 'nobody', '1999-01-01', 'ana', '2026-06-01', 'asked for', 1)"
        )
    rows = asked(
        database,
        "select database_user, who, published_by_run, snapshot_date, rows, run_id, policy_version, churn_90d_model_version, "
        "published_at > now() at time zone 'UTC' - interval '1 hour' from churn.publications order by seq",
    )
    (count, run) = published_weeks(home)[TINY_BEFORE]
    assert rows[0][:6] == (database.owner, "ana", "a-run", TINY_BEFORE, count, run)
    assert all(rows[0][6:])
    assert (rows[1][0], rows[1][-1]) == (database.owner, True)


# --- errors and secrets ----------------------------------------------------------------------------------------------


def churn(settings: Settings, *arguments: str, url: str) -> subprocess.CompletedProcess[str]:
    clock = settings.clock().isoformat()
    return subprocess.run(
        [CHURN, *arguments],
        env={
            "PATH": os.environ["PATH"],
            "CHURN_HOME": str(settings.home),
            "CHURN_PUBLISH_URL": url,
            "CHURN_NOW": clock,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


SECRET = "hunter2-S3CRET"


def test_what_cannot_be_reached_is_one_clear_line_without_the_password(
    home: Settings, postgres: Cluster, database: Database
) -> None:
    server = f"127.0.0.1:{postgres.port}/{database.name}"
    for url, message in (
        (
            f"postgresql://{database.owner}:{SECRET}@{server}",
            f"PostgreSQL at {server}: .*password authentication failed",
        ),
        (f"postgresql://churn:{SECRET}@127.0.0.1:1/db", "PostgreSQL at 127.0.0.1:1/db: .*refused"),
        (f"postgresql://churn:{SECRET}@no-such-host.invalid/db", "PostgreSQL at no-such-host.invalid:5432/db: "),
        (f"postgresql://churn:{SECRET}@127.0.0.1:{postgres.port}/db?sslmode=require", "SSL"),
    ):
        with pytest.raises(PostgresError, match=message) as raised:
            publishing.publish(url, home)
        assert SECRET not in str(raised.value)
        assert "\n" not in str(raised.value)
    done = churn(home, "publish", url=f"postgresql://{database.owner}:{SECRET}@{server}")
    assert (done.returncode, done.stdout) == (1, "")
    # The first line is about the folder that this test made.
    *_, last = done.stderr.strip().splitlines()
    assert re.fullmatch(rf"churn: PostgreSQL at {server}: .*authentication failed.*", last)
    assert SECRET not in done.stderr


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://churn:a/{secret}@127.0.0.1/db",
        "postgresql://churn:12/{secret}@127.0.0.1/db",
        "postgresql://churn:{secret}@{secret}@127.0.0.1/db",
        "postgresql://churn:{secret}@127.0.0.1:{secret}/db",
        "postgresql://churn:{secret}@127.0.0.1/db?no_such_option={secret}",
        "postgresql://churn:{secret}@127.0.0.1",
        "mysql://churn:{secret}@127.0.0.1/db",
        "host=127.0.0.1 dbname=db password={secret}",
    ],
)
def test_an_address_that_cannot_be_read_is_refused_with_how_to_write_one_and_without_any_part_of_it(url: str) -> None:
    with pytest.raises(ValueError, match="%40 %3A %2F %25") as raised:
        Settings(publish_url=url.format(secret=SECRET))
    assert SECRET not in str(raised.value) + repr(raised.value)


def test_no_form_of_the_password_is_in_the_settings_or_their_errors(database: Database) -> None:
    settings = Settings(publish_url=database.url)
    assert database.password not in repr(settings) + str(settings.model_dump())
    with pytest.raises(ValueError, match="cannot be read") as raised:
        Settings(publish_url=f"postgres:/x:{SECRET}@host/db")
    assert SECRET not in str(raised.value) + repr(raised.value)


def test_an_error_of_the_server_that_repeats_the_password_is_told_without_it(database: Database) -> None:
    with pytest.raises(ChurnError) as raised, connect(database.url) as con:
        con.execute(
            sql.SQL("do $$ begin raise exception {}; end $$").format(
                sql.Literal(f"no {database.password}".replace("%", "%%"))
            )
        )
    assert str(raised.value).endswith("no ***")
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


def test_churn_publish_says_what_it_did_and_without_a_url_what_is_missing(home: Settings, database: Database) -> None:
    done = churn(home, "publish", url=database.url)
    assert done.returncode == 0, done.stderr
    rows = weeks(database)[TINY_BEFORE][0]
    assert re.search(rf"^2026-06-01  {rows} customers  \(had been missed\)$", done.stdout, re.MULTILINE)
    assert "replaced 1 of 1 Mondays in schema churn, revision 0004" in done.stdout
    assert "it had them all" in churn(home, "publish", url=database.url).stdout
    publication = json.loads(churn(home, "publish", "--week", str(TINY_BEFORE), "--json", url=database.url).stdout)
    assert publication["rows"] == {str(TINY_BEFORE): rows}
    wrong = churn(home, "publish", url=f"postgresql://churn:a/{SECRET}@127.0.0.1/db")
    assert (wrong.returncode, wrong.stdout, len(wrong.stderr.splitlines())) == (2, "", 1)
    assert wrong.stderr.startswith("churn: CHURN_PUBLISH_URL: ")
    assert SECRET not in wrong.stderr
    without = subprocess.run(
        [CHURN, "publish", "--home", str(home.home)],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (without.returncode, without.stderr.startswith("churn: CHURN_PUBLISH_URL is not set")) == (2, True)


# --- forgetting ------------------------------------------------------------------------------------------------------


def test_a_customer_is_erased_from_every_table_and_the_next_publication_writes_no_monday_again(
    home: Settings, database: Database
) -> None:
    add_monday(home)
    with duckdb.connect(str(home.published_database), read_only=True) as con:
        customer, other = (row[0] for row in con.execute("select customer_id from predictions limit 2").fetchall())
    with duckdb.connect(str(home.monitoring_database)) as con:
        for name in (customer, other):
            con.execute(
                "insert into prediction_outcomes by name select ? as customer_id, ?::date as assessed_on, 'churn_90d' as target, 0 as label",
                [name, TINY_BEFORE],
            )
    publishing.publish(database.url, home)
    deleted = forget(database.url, customer)
    assert deleted == {"customers": 1, "prediction_outcomes": 1, "predictions": 2}
    with psycopg.connect(database.url) as con:
        for (table,) in con.execute(
            "select relname from pg_class where relnamespace = 'churn'::regnamespace and relkind in ('r', 'v')"
        ).fetchall():
            relation = sql.Identifier("churn", table)
            (remaining,) = con.execute(
                sql.SQL("select count(*) from {} as t where t::text like '%%' || %s || '%%'").format(relation),
                [customer],
            ).fetchone()
            assert remaining == 0, table
        assert con.execute("select count(*) from churn.customers where customer_id = %s", [other]).fetchone() == (1,)
    # The home forgets as well.
    change(
        home,
        f"delete from predictions where customer_id = '{customer}'",
        f"delete from customers where customer_id = '{customer}'",
    )
    with duckdb.connect(str(home.monitoring_database)) as con:
        con.execute("delete from prediction_outcomes where customer_id = ?", [customer])
    done = publishing.publish(database.url, home)
    assert done.rows == {}
    assert weeks(database) == published_weeks(home)
    assert set(forget(database.url, customer).values()) == {0}


def test_where_only_the_home_forgot_the_next_publication_erases_the_customer(
    home: Settings, database: Database
) -> None:
    publishing.publish(database.url, home)
    ((customer,),) = asked(database, "select min(customer_id) from churn.predictions")
    change(
        home,
        f"delete from predictions where customer_id = '{customer}'",
        f"delete from customers where customer_id = '{customer}'",
    )
    publishing.publish(database.url, home)
    assert set(forget(database.url, customer).values()) == {0}


def test_forgetting_in_a_database_without_the_schema_deletes_nothing(database: Database) -> None:
    assert forget(database.url, "C1") == {}


# --- views -----------------------------------------------------------------------------------------------------------


def test_the_call_list_is_that_of_the_table_and_at_risk_is_who_is_urgent_and_may_be_approached(
    home: Settings, database: Database
) -> None:
    change(
        home,
        "update predictions set risk_tier = 'CRITICAL' where priority_rank <= 12",
        "update predictions set is_holdout = true where priority_rank = 2",
        "update predictions set snoozed_until = date '2026-07-01' where priority_rank = 3",
    )
    publishing.publish(database.url, home)
    listed = [(row["call_rank"], row["customer_id"]) for row in output.call_list(home, TINY_BEFORE, 1000)["calls"]]
    assert asked(database, "select call_rank, customer_id from churn.call_list") == listed
    assert len(listed) > 20
    rows = asked(database, "select customer_id, priority_rank, first_reason from churn.at_risk")
    assert [rank for _, rank, _ in rows] == sorted(rank for _, rank, _ in rows)
    assert {2, 3}.isdisjoint(rank for _, rank, _ in rows)
    assert len(rows) >= 10
    assert asked(
        database, "select count(*) from churn.latest_predictions where is_holdout or snoozed_until is not null"
    ) == [(2,)]


def test_expansion_candidates_are_those_of_the_newest_monday_by_rank(home: Settings, database: Database) -> None:
    add_monday(home)
    change(home, f"update predictions set is_expansion_candidate = true where snapshot_date = date '{TINY_BEFORE}'")
    publishing.publish(database.url, home)
    with duckdb.connect(str(home.published_database), read_only=True) as con:
        ours = con.execute(
            "select snapshot_date, customer_id, expected_arr_uplift from predictions where is_expansion_candidate and snapshot_date = ? "
            "order by expansion_rank",
            [TINY_MONDAY],
        ).fetchall()
    assert (
        asked(database, "select snapshot_date, customer_id, expected_arr_uplift from churn.expansion_candidates")
        == ours
        != []
    )


def test_tier_history_counts_everybody_once_a_monday_and_shows_empty_tiers(home: Settings, database: Database) -> None:
    add_monday(home)
    change(
        home,
        f"update predictions set risk_tier = 'LOW', previous_risk_tier = 'HIGH' where snapshot_date = date '{TINY_MONDAY}'",
    )
    publishing.publish(database.url, home)
    rows = asked(
        database,
        "select snapshot_date, risk_tier, customers, revenue_at_risk, came_from_lower, came_from_higher, share_of_customers "
        "from churn.tier_history",
    )
    assert [tier for _, tier, *_ in rows] == ["LOW", "MEDIUM", "HIGH", "CRITICAL"] * 2
    with duckdb.connect(str(home.published_database), read_only=True) as con:
        for day, customers, money in con.execute(
            "select snapshot_date, count(*), sum(revenue_at_risk) from predictions group by 1"
        ).fetchall():
            of_day = [row for row in rows if row[0] == day]
            assert sum(row[2] for row in of_day) == customers
            assert sum(row[3] for row in of_day) == pytest.approx(money)
            assert sum(row[6] for row in of_day) == pytest.approx(1)
            if day == TINY_MONDAY:
                assert [row[2:6] for row in of_day[1:]] == [(0, 0, 0, 0)] * 3
                assert of_day[0][2:] == (customers, pytest.approx(money), 0, customers, 1)


def test_model_health_has_a_row_for_each_model_with_what_was_promised_and_the_drift(
    home: Settings, database: Database
) -> None:
    publishing.publish(database.url, home)
    rows = asked(
        database,
        "select target, basis, auc, auc_promised, drift from churn.model_health where monday = (select max(monday) from churn.model_health)",
    )
    with duckdb.connect(str(home.monitoring_database), read_only=True) as con:
        ours = con.execute(
            "select q.target, basis, value, promised, verdict from model_quality as q join drift_verdicts as d "
            "on d.snapshot_date = q.assessed_on and d.target = q.target where plan_tier = 'all' and customers = 'all' and figure = 'auc' "
            "and assessed_on = (select max(assessed_on) from model_quality) order by 1, 2"
        ).fetchall()
    assert rows == ours
    assert {target for target, *_ in rows} == {"churn_30d", "churn_90d", "expansion_90d"}


def test_times_are_utc_whatever_the_servers_zone(home: Settings, database: Database) -> None:
    with psycopg.connect(database.admin_url, autocommit=True) as con:
        con.execute(
            sql.SQL("alter database {} set timezone to 'Pacific/Auckland'").format(sql.Identifier(database.name))
        )
    publishing.publish(database.url, home)
    ((scored,),) = asked(database, "select max(scored_at) from churn.predictions")
    assert scored == datetime(2026, 6, 1, 12)
    ((late,),) = asked(
        database, "select max(abs(extract(epoch from now() at time zone 'UTC' - published_at))) from churn.publications"
    )
    assert late < 600
