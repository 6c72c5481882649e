"""Tables from a real PostgreSQL server: exact values, what is new and only that, kills, and words that help and tell no secret."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any

import dagster as dg
import duckdb
import psycopg
import pyarrow.parquet as pq
import pytest

from churn_pipeline.contract import TABLES
from churn_pipeline.contract.source import ColumnSource, TableSource
from churn_pipeline.contract.suppression import Forgotten, Register
from churn_pipeline.core.errors import InputError, SourceError
from churn_pipeline.core.settings import Settings
from churn_pipeline.orchestration.assets.landing import landing
from churn_pipeline.orchestration.home import EXIT_CODE, Home
from churn_pipeline.sources import copies
from churn_pipeline.sources import fetch as fetching
from churn_pipeline.sources.copies import Copy
from churn_pipeline.sources.databases import session
from churn_pipeline.sources.declared import Connection, RemoteSource, Sources
from churn_pipeline.sources.fetch import Fetched, fetch
from tests.support.postgres import Cluster, Database

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
CONNECTION = Connection("crm", "postgresql", "${CRM_URL}", line=3)
TICKETS = "select ticket_id, customer_id, created_date, priority, resolution_time, topic from tickets"


@pytest.fixture
def database(postgres: Cluster) -> Iterator[Database]:
    """A database that the login of its address owns: somebody else's, to read from."""
    made = postgres.fresh_database(prepared=False)
    yield made
    postgres.drop(made)


def execute(database: Database, *statements: str) -> None:
    with psycopg.connect(database.url, autocommit=True) as con:
        for statement in statements:
            con.execute(statement)  # type: ignore[arg-type]


def sources(*remotes: RemoteSource, tables: dict[str, TableSource] | None = None) -> Sources:
    return Sources(
        None,
        MappingProxyType(tables or {}),
        MappingProxyType({remote.table: remote for remote in remotes}),
        MappingProxyType({"crm": CONNECTION}),
    )


def remote(table: str, query: str, incremental_by: str = "") -> RemoteSource:
    return RemoteSource(table, "postgresql", "crm", query, incremental_by=incremental_by)


def rows(folder: Path, table: str, columns: str = "*") -> list[tuple[Any, ...]]:
    parts = Copy(folder / table).parts
    # What landing would read: every file whose name begins with neither . nor _.
    assert sorted(parts) == sorted(path for path in (folder / table).rglob("*") if path.name[0] not in "._")
    return duckdb.execute(f"select {columns} from {copies.scan(parts)} order by all").fetchall()


type Fetch = Callable[..., Fetched]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data" / "sources"


@pytest.fixture
def bring(database: Database, folder: Path) -> Fetch:
    """Fetches a table from the test's database."""

    def call(table: str, query: str, incremental_by: str = "", **more: Any) -> Fetched:
        said: list[str] = more.pop("said", [])
        what = sources(remote(table, query, incremental_by), tables=more.pop("tables", None))
        return fetch(what, folder, {"CRM_URL": database.url}, said.append, now=more.pop("now", NOW), **more)

    return call


# --- types -----------------------------------------------------------------------------------------------------------

# SQL of a value, the type in Parquet as DuckDB reads it, and the value.
TYPES: dict[str, tuple[str, str, Any]] = {
    "smallint": ("7::smallint", "SMALLINT", 7),
    "integer": ("-7::integer", "INTEGER", -7),
    "bigint": ("9223372036854775807::bigint", "BIGINT", 9223372036854775807),
    "an oid beyond 31 bits": ("4000000000::oid", "BIGINT", 4000000000),
    "numeric with a scale": ("1234.50::numeric(12,2)", "DECIMAL(12,2)", Decimal("1234.50")),
    "numeric id of 25 digits": (
        "1234567890123456789012345::numeric(30,0)",
        "DECIMAL(30,0)",
        Decimal("1234567890123456789012345"),
    ),
    "numeric of any size": ("12.3456::numeric", "DECIMAL(38,9)", Decimal("12.345600000")),
    "a third": ("1::numeric / 3", "DECIMAL(38,9)", Decimal("0.333333333")),
    "numeric NaN": ("'NaN'::numeric", "DECIMAL(38,9)", None),
    "money": ("'$1,234.50'::money", "DECIMAL(38,9)", Decimal("1234.500000000")),
    "real": ("1.5::real", "FLOAT", 1.5),
    "double": ("(0.1::double precision + 0.2)", "DOUBLE", 0.1 + 0.2),
    "boolean": ("true", "BOOLEAN", True),
    "text": ("'Zoë 株式会社'", "VARCHAR", "Zoë 株式会社"),
    "padded char": ("'C1'::char(5)", "VARCHAR", "C1"),
    "enum": ("'Pro'::plan", "VARCHAR", "Pro"),
    "domain": ("3.10::dollars", "DECIMAL(10,2)", Decimal("3.10")),
    "uuid": ("'11111111-2222-3333-4444-555555555555'::uuid", "VARCHAR", "11111111-2222-3333-4444-555555555555"),
    "json": ("""'{"a": 1}'::json""", "VARCHAR", '{"a": 1}'),
    "jsonb": ("""'{"a":1}'::jsonb""", "VARCHAR", '{"a": 1}'),
    "array": ("array['x', 'y']", "VARCHAR", '["x", "y"]'),
    "inet": ("'10.0.0.1'::inet", "VARCHAR", "10.0.0.1/32"),
    "interval": ("'1 day'::interval", "VARCHAR", "1 day"),
    "date": ("'2026-01-02'::date", "DATE", datetime(2026, 1, 2).date()),
    "date for ever": ("'infinity'::date", "DATE", datetime(9999, 12, 31).date()),
    "date before all": ("'-infinity'::date", "DATE", datetime(1, 1, 1).date()),
    "timestamp": ("'2026-01-02 03:04:05.678901'::timestamp", "TIMESTAMP", datetime(2026, 1, 2, 3, 4, 5, 678901)),
    "timestamp for ever": ("'infinity'::timestamp", "TIMESTAMP", datetime(9999, 12, 31)),
    "timestamp with a zone": (
        "'2026-01-02 03:04:05+02'::timestamptz at time zone 'UTC'",
        "TIMESTAMP",
        datetime(2026, 1, 2, 1, 4, 5),
    ),
}


def test_every_type_comes_as_one_that_the_contract_reads_with_its_value(
    bring: Fetch, folder: Path, database: Database
) -> None:
    execute(database, "create type plan as enum ('Pro', 'Free')", "create domain dollars as numeric(10, 2)")
    values = ", ".join(f'{sql} as "{name}"' for name, (sql, _, _) in TYPES.items())
    # With a row of nulls.
    execute(database, f"create table every_type as select {values}", "insert into every_type default values")
    bring("contracts", "select * from every_type")
    relation = copies.scan(Copy(folder / "contracts").parts)
    kinds = {name: kind for name, kind, *_ in duckdb.execute(f"describe from {relation}").fetchall()}
    names = ", ".join(f'any_value("{name}")' for name in TYPES)
    found = duckdb.execute(f"select {names} from {relation}").fetchall()[0]
    assert {name: (kinds[name], value) for name, value in zip(TYPES, found, strict=True)} == {
        name: (kind, value) for name, (_, kind, value) in TYPES.items()
    }


def test_an_instant_with_a_zone_stays_one_and_comes_in_utc(bring: Fetch, folder: Path) -> None:
    bring("contracts", "select '2026-01-02 03:04:05+02'::timestamptz as moment")
    assert rows(folder, "contracts", "typeof(moment), moment at time zone 'UTC'") == [
        ("TIMESTAMP WITH TIME ZONE", datetime(2026, 1, 2, 1, 4, 5))
    ]


def test_a_query_makes_days_of_instants_in_utc_whatever_zone_the_role_has(
    bring: Fetch, folder: Path, database: Database
) -> None:
    execute(database, f"alter role {database.owner} set timezone = 'Asia/Tokyo'")
    bring("contracts", "select '2026-01-02 23:00:00+00'::timestamptz::date::text as day")
    assert rows(folder, "contracts") == [("2026-01-02",)]


@pytest.mark.parametrize("value", ["'Infinity'::numeric", "1e30::numeric", "-1e29::numeric"])
def test_a_number_that_fits_nowhere_is_said_and_not_stored_as_another(bring: Fetch, value: str) -> None:
    with pytest.raises(
        InputError, match=r"contracts: column amount holds a number that is infinite or has more than 29 digits"
    ):
        bring("contracts", f"select {value} as amount")


def test_two_columns_of_one_name_are_refused(bring: Fetch) -> None:
    with pytest.raises(InputError, match=r"two columns called id; give one of them another name"):
        bring("contracts", "select 1 as id, 2 as id")


@pytest.mark.parametrize(
    "query", ["select 1 as a;", "select 1 as a -- the end", "with x as (select 1 as a) select * from x"]
)
def test_a_query_may_end_as_people_end_it(bring: Fetch, folder: Path, query: str) -> None:
    bring("contracts", query)
    assert rows(folder, "contracts") == [(1,)]


# --- in bounded memory ------------------------------------------------------------------------------------------------


def test_a_hundred_thousand_rows_are_streamed_in_small_batches_also_when_only_newer_ones_are_asked_for(
    database: Database, folder: Path
) -> None:
    query = "select i as event_id, md5(i::text) as customer_id from generate_series(1, 100000) as i"
    folder.mkdir(parents=True)
    with session(CONNECTION, {"CRM_URL": database.url}, batch_bytes=1 << 16) as opened:
        columns = opened.columns(query)
        for newer_than, expected in ((None, 100_000), ((columns[0], 50_001), 50_000)):
            with opened.batches(query, columns, newer_than) as batches:
                sizes: list[int] = []

                def counted(batches: Any = batches, sizes: list[int] = sizes) -> Any:
                    for batch in batches:
                        sizes.append(batch.num_rows)
                        yield batch

                assert fetching._write(counted(), columns, columns[0], folder / "t.parquet") == (expected, 100_000)
            assert max(sizes) < 2_500
    assert pq.read_metadata(folder / "t.parquet").num_rows == 50_000


# --- whole -----------------------------------------------------------------------------------------------------------


def test_a_whole_result_replaces_the_former_only_where_its_content_is_another(
    bring: Fetch, folder: Path, database: Database
) -> None:
    execute(database, "create table t (customer_id text, mrr numeric)", "insert into t values ('C1', 1), ('C2', 2)")
    assert bring("customers", "select * from t").tables["customers"].how == "whole"
    before = {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in Copy(folder / "customers").parts}
    # In another order, which is the server's to choose.
    said: list[str] = []
    execute(database, "update t set mrr = mrr where customer_id = 'C1'")
    assert bring("customers", "select * from t", said=said).tables["customers"].how == "unchanged"
    assert {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in Copy(folder / "customers").parts} == before
    assert re.fullmatch(r"customers: nothing new in connection crm \(127\.0\.0\.1:\d+/\w+\)", said[0])
    execute(database, "update t set mrr = 3 where customer_id = 'C1'", "delete from t where customer_id = 'C2'")
    assert bring("customers", "select * from t").tables["customers"].rows == 1
    assert rows(folder, "customers", "customer_id, mrr::integer") == [("C1", 3)]


def test_another_query_replaces_what_the_former_one_gave(bring: Fetch, folder: Path) -> None:
    bring("usage_events", "select 1 as event_id, 'x' as customer_id", "event_id")
    bring("usage_events", "select 2 as event_id, 'x' as customer_id", "event_id")
    assert rows(folder, "usage_events", "event_id") == [(2,)]


def test_a_new_column_of_a_table_is_fetched_for_all_rows(bring: Fetch, folder: Path, database: Database) -> None:
    execute(database, "create table e (event_id bigint, customer_id text)", "insert into e values (1, 'x')")
    bring("usage_events", "select * from e", "event_id")
    execute(database, "alter table e add column event_type text default 'login'", "insert into e values (2, 'x')")
    bring("usage_events", "select * from e", "event_id")
    assert rows(folder, "usage_events") == [(1, "x", "login"), (2, "x", "login")]


# --- what is new ------------------------------------------------------------------------------------------------------


@pytest.fixture
def tickets(database: Database) -> Database:
    execute(
        database,
        "create table tickets (ticket_id bigint, customer_id text, created_date date, priority text, resolution_time numeric, "
        "topic text, updated_at timestamptz)",
        "insert into tickets values (1, 'C1', '2026-01-01', 'low', null, 'a', '2026-01-01 10:00+00'), "
        "(2, 'C2', '2026-01-02', 'low', null, 'b', '2026-01-02 10:00+00')",
    )
    return database


def test_only_what_is_new_is_asked_for_and_appended(bring: Fetch, folder: Path, tickets: Database) -> None:
    query = f"{TICKETS.replace(' from', ', updated_at from')}"
    bring("support_tickets", query, "updated_at")
    first = Copy(folder / "support_tickets").parts
    before = first[0].read_bytes()
    execute(
        tickets, "insert into tickets values (3, 'C1', '2026-01-03', 'high', 1.5, 'c', '2026-01-03 10:00:00.000001+00')"
    )
    done = bring("support_tickets", query, "updated_at").tables["support_tickets"]
    assert (done.how, done.rows) == ("appended", 1)
    assert [row[0] for row in rows(folder, "support_tickets")] == [1, 2, 3]
    # The former file is as it was: landing has one new file to read.
    assert Copy(folder / "support_tickets").parts[0].read_bytes() == before
    assert bring("support_tickets", query, "updated_at").tables["support_tickets"].how == "unchanged"
    assert len(Copy(folder / "support_tickets").parts) == 2


def test_a_row_that_comes_later_with_the_value_of_the_newest_is_not_lost_and_none_comes_twice(
    bring: Fetch, folder: Path, tickets: Database
) -> None:
    # By day, as many exports are: Monday's run sees the morning of Monday.
    bring("support_tickets", TICKETS, "created_date")
    execute(tickets, "insert into tickets values (3, 'C3', '2026-01-02', 'high', null, 'c', now())")
    assert bring("support_tickets", TICKETS, "created_date").tables["support_tickets"].rows == 1
    assert [row[0] for row in rows(folder, "support_tickets")] == [1, 2, 3]


def test_a_changed_row_takes_the_place_of_its_former_self(bring: Fetch, folder: Path, tickets: Database) -> None:
    query = f"{TICKETS.replace(' from', ', updated_at from')}"
    bring("support_tickets", query, "updated_at")
    execute(tickets, "update tickets set resolution_time = 5, updated_at = '2026-01-05' where ticket_id = 1")
    bring("support_tickets", query, "updated_at")
    assert rows(folder, "support_tickets", "ticket_id, resolution_time::integer") == [(1, 5), (2, None)]


def test_the_key_is_found_under_the_name_that_the_mapping_gives_it(
    bring: Fetch, folder: Path, tickets: Database
) -> None:
    query = "select ticket_id as number, customer_id, topic, updated_at from tickets"
    source = TableSource("support_tickets", columns=MappingProxyType({"ticket_id": ColumnSource(column="Number")}))
    for _ in range(2):
        bring("support_tickets", query, "Updated_At", tables={"support_tickets": source})
        execute(tickets, "update tickets set topic = 'z', updated_at = '2026-01-05' where ticket_id = 1")
    assert rows(folder, "support_tickets", "number, topic") == [(1, "z"), (2, "b")]


def test_a_date_that_lies_ahead_does_not_end_the_fetching(bring: Fetch, folder: Path, tickets: Database) -> None:
    execute(tickets, "insert into tickets values (3, 'C1', '9999-12-31', 'low', null, 'never', now())")
    bring("support_tickets", TICKETS, "created_date")
    execute(tickets, "insert into tickets values (4, 'C1', '2026-11-27', 'low', null, 'now', now())")
    bring("support_tickets", TICKETS, "created_date")
    assert [row[0] for row in rows(folder, "support_tickets")] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("kind", "value", "then"),
    [
        ("bigint", "9007199254740993", "9007199254740994"),
        ("numeric(20,3)", "10.125", "10.126"),
        ("double precision", "0.1", "0.30000000000000004"),
        ("date", "'2026-01-02'", "'2026-01-03'"),
        ("timestamp", "'2026-01-02 00:00:00.000001'", "'2026-01-02 00:00:00.000002'"),
        ("timestamptz", "'2026-01-02 00:00:00.000001+05'", "'2026-01-02 00:00:00.000002+05'"),
    ],
)
def test_what_is_new_is_told_to_the_last_digit(
    bring: Fetch, folder: Path, database: Database, kind: str, value: str, then: str
) -> None:
    execute(database, f"create table e (event_id text, at {kind})", f"insert into e values ('first', {value})")
    bring("usage_events", "select * from e", "at")
    execute(database, f"insert into e values ('second', {then})")
    bring("usage_events", "select * from e", "at")
    assert rows(folder, "usage_events", "event_id") == [("first",), ("second",)]
    assert bring("usage_events", "select * from e", "at").tables["usage_events"].how == "unchanged"


@pytest.mark.parametrize(
    ("table", "query", "incremental_by", "words"),
    [
        (
            "usage_events",
            "select 'a' as event_id",
            "event_id",
            "of type text; what is new is told by a number, a date or a timestamp",
        ),
        (
            "usage_events",
            "select 1 as event_id",
            "at",
            "incremental_by names at, which the query does not have; it has event_id",
        ),
        (
            "usage_events",
            "select 1 as event_id, null::date as at",
            "at",
            "column at has no value in 1 row.* cannot tell what is new",
        ),
        ("customers", "select now() as at", "at", "customers are fetched whole"),
    ],
)
def test_what_cannot_tell_what_is_new_is_refused(
    bring: Fetch, table: str, query: str, incremental_by: str, words: str
) -> None:
    with pytest.raises(InputError, match=f"{table}: .*{words}"):
        bring(table, query, incremental_by)


# --- kills -----------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """Not to be caught by anything that handles errors."""


@pytest.mark.parametrize("moment", ["before the file", "before the note", "after the note"])
@pytest.mark.parametrize("change", ["new", "changed"])
def test_a_kill_between_any_two_steps_loses_no_row_and_doubles_none(
    bring: Fetch, folder: Path, tickets: Database, monkeypatch: pytest.MonkeyPatch, moment: str, change: str
) -> None:
    query = f"{TICKETS.replace(' from', ', updated_at from')}"
    bring("support_tickets", query, "updated_at")
    statement = {
        "new": "insert into tickets values (3, 'C1', '2026-01-03', 'low', null, 'c', '2026-01-03 10:00+00')",
        "changed": "update tickets set topic = 'z', updated_at = '2026-01-05' where ticket_id = 1",
    }[change]
    execute(tickets, statement)

    def die(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        if moment == "before the file":
            patched.setattr(fetching, "commit_file", die)
        elif moment == "before the note":
            patched.setattr(copies, "replace_bytes", die)
        else:
            sweep = Copy._sweep
            patched.setattr(Copy, "_sweep", lambda copy: sweep(copy) if copy.note.number == 1 else die())
        with pytest.raises(Killed):
            bring("support_tickets", query, "updated_at")
    # Another row meanwhile, which would be missed if the value asked from had moved on.
    execute(tickets, "insert into tickets values (4, 'C1', '2026-01-03', 'low', null, 'd', '2026-01-02 12:00+00')")
    bring("support_tickets", query, "updated_at")
    expected = [(1, "z" if change == "changed" else "a"), (2, "b"), *([(3, "c")] if change == "new" else [])]
    if moment != "after the note":
        expected.append((4, "d"))
    assert rows(folder, "support_tickets", "ticket_id, topic") == expected


# --- what is ours ------------------------------------------------------------------------------------------------------


def test_the_copies_are_their_owners_only(bring: Fetch, folder: Path) -> None:
    bring("contracts", "select 1 as a")
    assert [stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / "contracts")] == [0o700, 0o700]


def test_the_copy_of_a_table_that_is_no_longer_fetched_goes(bring: Fetch, folder: Path) -> None:
    bring("contracts", "select 1 as a")
    bring("interventions", "select 1 as a")
    assert [path.name for path in folder.iterdir()] == ["interventions"]
    fetch(sources(), folder, {}, print, now=NOW)
    assert not folder.exists()


def test_tables_of_one_database_are_of_one_moment(
    database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(database, "create table c (id int)", "create table e (id int)")
    write = fetching._write

    def meanwhile(*arguments: Any) -> Any:
        execute(database, "insert into c values (1)", "insert into e values (1)")
        return write(*arguments)

    monkeypatch.setattr(fetching, "_write", meanwhile)
    what = sources(remote("customers", "select * from c"), remote("usage_events", "select * from e"))
    fetch(what, folder, {"CRM_URL": database.url}, print, now=NOW)
    assert (rows(folder, "customers"), rows(folder, "usage_events")) == ([], [])


REGISTER = Register(b"k" * 32, {})


@pytest.mark.parametrize(
    ("query", "mapped"),
    [
        ("select * from e", None),
        ("select event_id, customer_id as org, at from e", ColumnSource(column="ORG")),
        ("select event_id, 'C' || customer_id as org, at from e", ColumnSource(expression="substr(org, 2)")),
    ],
)
@pytest.mark.parametrize("incremental_by", ["", "at"])
@pytest.mark.parametrize("kind", ["text", "numeric", "double precision"])
def test_a_forgotten_customer_is_not_fetched_again_whatever_their_id_is_made_of(
    bring: Fetch,
    folder: Path,
    database: Database,
    query: str,
    mapped: ColumnSource | None,
    incremental_by: str,
    kind: str,
) -> None:
    columns = MappingProxyType({"customer_id": mapped} if mapped else {})
    tables = {"usage_events": TableSource("usage_events", columns=columns)}
    execute(
        database,
        f"create table e (event_id int, customer_id {kind}, at int)",
        "insert into e values (1, '7', 1), (2, '8', 1)",
    )
    bring("usage_events", query, incremental_by, tables=tables)
    copy = Copy(folder / "usage_events")
    assert (copy.rows_of({"7"}), copy.erase({"7"}), copy.rows_of({"7"})) == (1, 1, 0)
    register = replace(REGISTER, entries={REGISTER.digest("7"): Forgotten(REGISTER.digest("7"), NOW, "")})
    execute(database, "insert into e values (3, '7', 2), (4, null, 2)")
    done = bring("usage_events", query, incremental_by, tables=tables, register=register).tables["usage_events"]
    assert (done.rows, done.kept_out) == ((1, 2) if incremental_by else (2, 2))
    assert rows(folder, "usage_events", "event_id") == [(2,), (4,)]


# --- words -----------------------------------------------------------------------------------------------------------


def refusal(database: Database, folder: Path, query: str = "select 1 as a", url: str | None = None) -> Exception:
    with pytest.raises((InputError, SourceError)) as caught:
        fetch(sources(remote("contracts", query)), folder, {"CRM_URL": url or database.url}, print, now=NOW)
    text = str(caught.value)
    assert caught.value.__cause__ is None
    assert "\n" not in text
    assert database.password not in text
    assert database.owner not in text.replace(f"/{database.name}", "")
    return caught.value


def test_a_wrong_password_is_said_without_user_or_password(database: Database, postgres: Cluster, folder: Path) -> None:
    wrong = "not @:/ it"
    error = refusal(database, folder, url=postgres.url(database.name, database.owner, wrong))
    assert error.exit_code == 2  # type: ignore[attr-defined]
    assert str(error) == "connection crm: the server refuses the user or the password (for contracts)"


@pytest.mark.parametrize(
    ("url", "exit_code", "words"),
    [
        (
            "postgresql://me:sesame-17@no-such-host.invalid/crm",
            1,
            "there is no host no-such-host.invalid; a typing error",
        ),
        ("postgresql://me:sesame-17@127.0.0.1:1/crm", 1, "away or failed on the way: .*Connection refused"),
        (
            "postgresql://me:sesame/17@127.0.0.1:1/crm",
            2,
            "the address of connection crm cannot be read; write postgresql://",
        ),
        ("crm.example.com sesame-17", 2, "the address of connection crm cannot be read"),
    ],
)
def test_what_is_wrong_with_an_address_is_said_without_what_is_secret(
    database: Database, folder: Path, url: str, exit_code: int, words: str
) -> None:
    error = refusal(database, folder, url=url)
    assert re.search(words, str(error))
    assert "sesame" not in str(error) and error.exit_code == exit_code  # type: ignore[attr-defined]


def test_a_database_that_does_not_exist_is_said(database: Database, postgres: Cluster, folder: Path) -> None:
    error = refusal(database, folder, url=postgres.url("nowhere", database.owner, database.password))
    assert 'database "nowhere" does not exist' in str(error) and error.exit_code == 2  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("select * from nowhere", 'the database refuses: relation "nowhere" does not exist'),
        ("select nothing from t", 'column "nothing" does not exist'),
        ("selec", "syntax error"),
        ("select 1 as a; drop table t", "syntax error|multiple commands"),
        (
            "select * from secret_ones",
            "permission denied for table secret_ones; the user of the connection needs SELECT",
        ),
        ("select writes() as a", "cannot execute INSERT in a read-only transaction; a query may only read"),
        ("select name::integer from t", 'invalid input syntax for type integer: "…"'),
        ("select pg_sleep(5) as a", "longer than the statement timeout"),
    ],
)
def test_what_is_wrong_with_a_query_is_said_and_no_value_shown(
    database: Database, folder: Path, query: str, words: str
) -> None:
    execute(
        database,
        "create table t (name text)",
        "insert into t values ('Acme Ltd')",
        "create function writes() returns int language sql as 'insert into t values (1) returning 1'",
    )
    with psycopg.connect(database.admin_url, autocommit=True) as con:
        con.execute("create table secret_ones (a int)")
    error = refusal(database, folder, query, database.url + "?options=-c%20statement_timeout%3D300")
    assert re.search(words, str(error)), str(error)
    assert str(error).startswith("contracts: connection crm: ") and "Acme" not in str(error)
    assert error.exit_code == 2  # type: ignore[attr-defined]


def test_a_server_that_dies_on_the_way_is_an_absence_and_the_former_copy_stays(
    bring: Fetch, folder: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring("contracts", "select 1 as a")
    with pytest.raises(
        SourceError, match="contracts: connection crm: the database is away or failed on the way"
    ) as caught:
        bring("contracts", "select pg_terminate_backend(pg_backend_pid()), i as a from generate_series(1, 10) as i")
    assert caught.value.exit_code == 1
    assert rows(folder, "contracts") == [(1,)]


def test_all_problems_are_said_at_once_and_what_is_well_is_fetched(database: Database, folder: Path) -> None:
    what = sources(
        remote("contracts", "select * from nowhere"),
        remote("interventions", "select 1 as intervention_id"),
        remote("usage_events", "select missing"),
    )
    with pytest.raises(InputError) as caught:
        fetch(what, folder, {"CRM_URL": database.url}, print, now=NOW)
    assert re.search("(?s)2 problems.*- contracts: .*nowhere.*- usage_events: .*missing", str(caught.value))
    assert rows(folder, "interventions") == [(1,)]


def test_a_variable_that_is_not_set_is_named(folder: Path) -> None:
    with pytest.raises(InputError, match="CRM_URL"):
        fetch(sources(remote("contracts", "select 1")), folder, {}, print, now=NOW)


@pytest.mark.parametrize("kind", ["snowflake", "bigquery"])
def test_a_driver_that_is_not_installed_is_named_with_the_extra_that_brings_it(kind: str, folder: Path) -> None:
    what = replace(
        sources(replace(remote("contracts", "select 1"), kind=kind)),
        connections={"crm": Connection("crm", kind, "x")},
    )
    with pytest.raises(InputError, match=re.escape(f"pip install 'churn-pipeline[{kind}]'")):
        fetch(what, folder, {}, print, now=NOW)


# --- to a landing -----------------------------------------------------------------------------------------------------

SOURCES = """
customers:
  query: select * from accounts
  connection: crm
  columns:
    customer_id: id
    plan_tier: {column: plan, words: {Pro: growth}}
    mrr: {column: amount, unit: cents}
    signup_date: since
    churn_date: until
usage_events:
  query: select event_id, account, at, kind, score from events
  connection: crm
  incremental_by: at
  columns: {customer_id: account, timestamp: at, event_type: kind, feature_adoption_score: score}
connections:
  crm:
    kind: postgresql
    uri: ${CRM_URL}
"""


def test_a_run_lands_what_it_fetched_and_the_next_one_only_what_is_new(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(
        database,
        "create type plan as enum ('Pro', 'enterprise')",
        "create table accounts (id uuid, industry text, plan plan, since date, amount numeric, until date)",
        "create table events (event_id bigserial, account uuid, at timestamptz, kind text, score numeric(3, 2))",
        "insert into accounts select md5(i::text)::uuid, 'software', 'Pro', '2026-01-05', 12550, "
        "case i when 1 then '2026-03-02' else 'infinity' end::date from generate_series(1, 3) as i",
        "insert into events (account, at, kind, score) select md5(i::text)::uuid, '2026-01-06 10:00+02', 'login', 0.25 "
        "from generate_series(1, 3) as i",
    )
    settings = Settings(home=tmp_path / "home", now=NOW)
    settings.raw_dir.mkdir(parents=True)
    # Files beside what is fetched.
    for table in ("support_tickets", "gtm_opportunities", "risk_signals"):
        header = ",".join(column.name for column in TABLES[table].raw)
        (settings.raw_dir / f"{table}.csv").write_text(header + "\n")
    settings.sources_file.write_text(SOURCES)
    monkeypatch.setenv("CRM_URL", database.url)

    def run() -> dg.ExecuteInProcessResult:
        home = dg.ResourceDefinition.hardcoded_resource(Home(settings, None))  # type: ignore[arg-type]
        return dg.materialize([landing], resources={"home": home}, raise_on_error=False)

    def metadata(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
        return {
            event.asset_key.path[-1]: {name: value.value for name, value in event.materialization.metadata.items()}
            for event in result.get_asset_materialization_events()
            if event.asset_key
        }

    def landed() -> list[tuple[Any, ...]]:
        with duckdb.connect(str(settings.warehouse), read_only=True) as con:
            return con.execute(
                "select count(distinct customer_id), any_value(plan_tier), any_value(mrr_cents), count(distinct churn_date), "
                "count(*), min(event_at) from landing.customers join landing.usage_events using (customer_id)"
            ).fetchall()

    first = metadata(run())
    assert (first["customers"]["fetched"]["rows"], first["usage_events"]["fetched"]["how"]) == (3, "whole")
    assert landed() == [(3, "growth", 12550, 1, 3, datetime(2026, 1, 6, 8))]
    execute(database, "insert into events (account, at, kind) select md5('1')::uuid, '2026-01-07', 'login'")
    second = metadata(run())
    assert (second["customers"]["fetched"]["how"], second["customers"]["how"]) == ("unchanged", "unchanged")
    assert (second["usage_events"]["fetched"]["rows"], second["usage_events"]["how"]) == (1, "appended")
    assert landed()[0][4] == 4
    monkeypatch.setenv("CRM_URL", database.url.replace(database.owner + ":", database.owner + ":wrong"))
    refused = run()
    failure = refused.filter_events(lambda event: event.is_step_failure)[0].step_failure_data
    assert "connection crm: the server refuses the user or the password (for customers, usage_events)" in str(failure)
    assert failure.user_failure_data.metadata[EXIT_CODE].value == 2
    assert database.password not in str(failure) and database.owner not in str(failure)
    assert landed()[0][4] == 4
