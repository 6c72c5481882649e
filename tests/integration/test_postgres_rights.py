"""Who may do what on a real PostgreSQL server: the administrator, the pipeline's login, a reader, and any other login."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import errors, sql

from churn_pipeline.core.errors import PostgresError
from churn_pipeline.core.settings import REPOSITORY, Settings
from churn_pipeline.delivery.postgres import publish as publishing
from churn_pipeline.delivery.postgres import rights
from churn_pipeline.delivery.postgres.connection import READER, open_connection, without_secrets
from churn_pipeline.delivery.postgres.forget import forget
from churn_pipeline.delivery.postgres.migrate import migrate
from churn_pipeline.delivery.postgres.schema import OURS
from tests.support.postgres import Cluster, Database

CHURN = str(Path(sys.executable).with_name("churn"))
LOCK = "churn.publication_lock"
# The number that publications of former versions locked, as any login may.
FORMER_LOCK = 7_102_384_917
_NOT_GRANTED = "01007"


@pytest.fixture(scope="module")
def home(tiny_home: Settings) -> Settings:
    """What a real home has published; nobody writes in it."""
    return tiny_home


@pytest.fixture(scope="module")
def published(postgres: Cluster, home: Settings) -> Iterator[Database]:
    """A database that was prepared and published to; nobody changes it."""
    made = postgres.fresh_database()
    publishing.publish(made.url, home)
    yield made
    postgres.drop(made)


@contextmanager
def login(database: Database, name: str, role: str | None = None) -> Iterator[psycopg.Connection[Any]]:
    """Somebody else's login on the server, a member of a role or of none."""
    name = f"{database.owner}_{name}"
    with psycopg.connect(database.admin_url, autocommit=True) as con:
        con.execute(sql.SQL("create role {} login password 'x'").format(sql.Identifier(name)))
        if role:
            con.execute(sql.SQL("grant {} to {}").format(sql.Identifier(role), sql.Identifier(name)))
    try:
        with psycopg.connect(database.admin_url, user=name, password="x", autocommit=True) as con:
            yield con
    finally:
        with psycopg.connect(database.admin_url, autocommit=True) as con:
            con.execute(sql.SQL("drop role {}").format(sql.Identifier(name)))


@contextmanager
def pipeline(database: Database) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database.url, autocommit=True) as con:
        yield con


def administer(database: Database, *statements: str) -> None:
    with psycopg.connect(database.admin_url, autocommit=True) as con:
        for statement in statements:
            con.execute(statement)


def allowed_of(con: psycopg.Connection[Any], statements: list[str]) -> list[str]:
    """The statements that the server does not refuse for want of a right."""
    allowed = []
    warned: list[str | None] = []
    con.add_notice_handler(lambda notice: warned.append(notice.sqlstate))
    for statement in statements:
        warned.clear()
        con.execute("begin")
        try:
            con.execute(statement)
            # Of a GRANT that grants nothing it only warns.
            if _NOT_GRANTED not in warned:
                allowed.append(statement)
        except (errors.InsufficientPrivilege, errors.ActiveSqlTransaction):
            pass
        finally:
            con.execute("rollback")
    return allowed


# What nobody needs who writes or reads predictions. Before PostgreSQL 16 the first of them leads to all of the others.
TO_THE_SERVER = [
    "create role more",
    "create role more login superuser",
    "alter role current_user createrole",
    "grant pg_execute_server_program to current_user",
    "grant pg_read_server_files to current_user",
    "grant churn_reader to current_user",
    "set role postgres",
    "set role pg_execute_server_program",
    "set session authorization postgres",
    "create database more",
    "create extension file_fdw",
    "select pg_read_file('/etc/passwd')",
    "select rolpassword from pg_authid",
    "alter system set log_statement = 'all'",
]
IN_THE_DATABASE = [
    "create schema mine",
    "create schema churn2 authorization current_user",
    "create temporary table mine (a int)",
    "create temporary view mine as select 1",
    "create table public.mine (a int)",
    "create function public.count(text) returns bigint language sql as 'select 0::bigint'",
    "alter schema churn rename to mine",
    "alter schema churn owner to current_user",
    "drop schema churn cascade",
    "grant usage on schema churn to public",
]
THE_LOCK = [
    f"update {LOCK} set is_the_row = true",
    f"delete from {LOCK}",
    f"insert into {LOCK} values (true)",
    f"truncate {LOCK}",
    f"drop table {LOCK}",
    f"alter table {LOCK} add column mine int",
    f"create trigger mine before update on {LOCK} execute function churn.refuse_change()",
]
LOCKING = [f"select from {LOCK} for {strength}" for strength in ("update", "no key update", "share", "key share")] + [
    f"lock table {LOCK} in {mode} mode" for mode in ("row share", "share", "exclusive", "access exclusive")
]


def into_a_program(con: psycopg.Connection[Any], table: str) -> list[str]:
    allowed = []
    for statement in (f"copy {table} from program 'id'", f"copy {table} to program 'cat'", f"copy {table} to '/tmp/x'"):
        try:
            with con.cursor() as cursor, cursor.copy(statement):
                allowed.append(statement)
        except errors.InsufficientPrivilege:
            pass
    return allowed


# --- what each may not -----------------------------------------------------------------------------------------------


def test_the_pipelines_login_may_publish_and_nothing_of_the_server_or_of_anybody_elses(published: Database) -> None:
    with pipeline(published) as con:
        assert allowed_of(con, TO_THE_SERVER + IN_THE_DATABASE) == []
        # It locks the row, and can neither take it away nor put something of its own in its way.
        assert allowed_of(con, THE_LOCK) == [f"update {LOCK} set is_the_row = true"]
        assert into_a_program(con, "churn.customers") == []
        name = sql.Identifier(published.owner).as_string(con)
        assert (
            allowed_of(con, [f"grant churn_reader to {name}", f"alter role {name} createdb", "drop role churn_reader"])
            == []
        )


def test_a_reader_reads_and_neither_writes_nor_locks_nor_makes_anything(published: Database) -> None:
    with login(published, "reads", READER) as con:
        assert con.execute("select count(*) > 100 from churn.predictions").fetchone() == (True,)
        assert con.execute("select count(*) > 10 from churn.call_list").fetchone() == (True,)
        forbidden = [
            *TO_THE_SERVER,
            *IN_THE_DATABASE,
            *THE_LOCK,
            *LOCKING,
            f"select * from {LOCK}",
            "insert into churn.predictions (snapshot_date, customer_id) values ('2026-01-05', 'x')",
            "update churn.predictions set risk_tier = 'LOW'",
            "delete from churn.predictions",
            "truncate churn.predictions",
            "select from churn.predictions for key share",
            "lock table churn.predictions in row share mode",
            "lock table churn.predictions in access exclusive mode",
            "create or replace view churn.call_list as select 1 as call_rank",
            "create table churn.mine (a int)",
            "create view churn.mine as select 1",
            "alter view churn.call_list owner to current_user",
            "drop view churn.call_list",
            "create rule mine as on insert to churn.predictions do nothing",
            "create trigger mine before delete on churn.predictions execute function churn.refuse_change()",
            "create index on churn.predictions (mrr)",
            "grant select on churn.predictions to public",
            "alter default privileges for role postgres grant all on tables to public",
            "set role to " + published.owner,
        ]
        assert allowed_of(con, forbidden) == []
        assert into_a_program(con, "churn.customers") == []


def test_another_login_reads_nothing_and_makes_nothing(published: Database) -> None:
    with login(published, "other") as con:
        forbidden = [
            *TO_THE_SERVER,
            *IN_THE_DATABASE,
            *THE_LOCK,
            *LOCKING,
            f"select * from {LOCK}",
            *(f"select * from churn.{name}" for name in ("predictions", "customers", "call_list", "publications")),
            "create table churn.mine (a int)",
        ]
        assert allowed_of(con, forbidden) == []


def test_whatever_a_reader_keeps_open_a_publication_goes_on(published: Database, home: Settings) -> None:
    with login(published, "keeps", READER) as con:
        con.execute("begin")
        # All that any login can take and keep: what publications formerly waited for, and every table that it may read.
        con.execute("select pg_advisory_lock(%s)", [FORMER_LOCK])
        for name in ("predictions", "customers", "contents", "publications", "latest_predictions"):
            con.execute(sql.SQL("lock table churn.{} in access share mode").format(sql.Identifier(name)))
        begun = time.monotonic()
        publishing.publish(published.url, home)
        assert time.monotonic() - begun < 30
        con.execute("rollback")


# --- the lock --------------------------------------------------------------------------------------------------------

HOLD = """
import sys, time
from churn_pipeline.delivery.postgres.connection import connect
from churn_pipeline.delivery.postgres.rights import take_lock
with connect(sys.argv[1]) as con:
    take_lock(con, sys.argv[1])
    print("held", flush=True)
    time.sleep(300)
"""


def test_who_waits_is_told_by_whom_gives_up_and_goes_on_once_the_holder_is_dead(
    published: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("churn_pipeline.delivery.postgres.connection.LOCK_TIMEOUT", "300ms")
    monkeypatch.setattr(rights, "LOCK_TIMEOUT", "300ms")
    said: list[str] = []
    arguments = [sys.executable, "-c", HOLD, published.url]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY) as holder:
        try:
            assert holder.stdout
            assert holder.stdout.readline().strip() == "held"
            # A second one that waits looks the same to the server, but for what it waits for.
            with open_connection(published.url) as waiting, pytest.raises(PostgresError) as raised:
                rights.take_lock(waiting, published.url, said.append)
            for step in (lambda: migrate(published.url), lambda: forget(published.url, "nobody")):
                with pytest.raises(PostgresError, match="gave up after 300ms"):
                    step()
        finally:
            holder.send_signal(signal.SIGKILL)
    who = f"churn publish, .* on .*process {holder.pid} \\(login {published.owner}, process \\d+ of the server, since .* UTC\\)"
    assert raised.match(f"another publication goes on, by {who}; gave up after 300ms$")
    assert len(said) == 1
    assert said[0].startswith("waiting for another publication, by churn publish, ")
    assert published.password not in str(raised.value)
    # Nobody cleans anything up.
    deadline = time.monotonic() + 10
    while True:
        try:
            with open_connection(published.url) as con:
                rights.take_lock(con, published.url)
            break
        except PostgresError:
            assert time.monotonic() < deadline


def test_of_several_the_one_that_has_the_lock_is_named_and_not_one_that_waits(published: Database) -> None:
    with psycopg.connect(published.url) as early, psycopg.connect(published.url) as holds:
        # The one that will wait began first.
        early.execute("set application_name = 'waits'")
        holds.execute("set application_name = 'holds'")
        rights.take_lock(holds, published.url)
        early.execute("set statement_timeout = '20s'")
        early.pgconn.send_query(f"select from {LOCK} for update".encode())
        with open_connection(published.url) as con:
            waiters = (
                "select count(*) from pg_stat_activity where application_name = 'waits' and wait_event_type = 'Lock'"
            )
            deadline = time.monotonic() + 10
            while con.execute(waiters).fetchone() != (1,):
                assert time.monotonic() < deadline
                con.rollback()
            assert rights._holder(con).startswith(f"holds (login {published.owner}, process {holds.info.backend_pid} ")
        holds.rollback()
        while early.pgconn.get_result():
            pass


def test_a_lock_that_has_lost_its_row_is_said_and_made_again(postgres: Cluster, database: Database) -> None:
    administer(database, f"delete from {LOCK}")
    with pytest.raises(PostgresError, match=r"publication_lock has lost its row; .*churn publish --administrator"):
        migrate(database.url)
    # Not even an administrator who lets everybody into whatever they make lets anybody in here.
    administer(
        database,
        f"drop table {LOCK}",
        f"alter default privileges for role postgres in schema churn grant all on tables to public, {READER}",
    )
    postgres.prepare(database)
    assert migrate(database.url).notices == ()
    with login(database, "reads", READER) as con:
        assert allowed_of(con, [*THE_LOCK, *LOCKING, f"select * from {LOCK}"]) == []


# --- the administrator's script --------------------------------------------------------------------------------------


def rights_in(database: Database) -> list[tuple[Any, ...]]:
    with psycopg.connect(database.admin_url) as con:
        return con.execute(
            """
            select 'database', datname::text, pg_get_userbyid(datdba)::text, datacl::text from pg_database where datname = current_database()
            union all
            select 'schema', nspname, pg_get_userbyid(nspowner), nspacl::text from pg_namespace where nspname in ('churn', 'public')
            union all
            select relkind::text, relname, pg_get_userbyid(relowner), relacl::text from pg_class
            where relnamespace = 'churn'::regnamespace and relkind <> 'i'
            union all
            select 'routine', proname, pg_get_userbyid(proowner), null from pg_proc where pronamespace = 'churn'::regnamespace
            order by 1, 2
            """
        ).fetchall()


def test_the_script_changes_nothing_the_second_time_and_takes_no_right_that_a_publication_needs(
    postgres: Cluster, published: Database, home: Settings
) -> None:
    before = rights_in(published)
    assert postgres.prepare(published) == ""
    assert rights_in(published) == before
    assert {owner for kind, _, owner, _ in before if kind in ("database", "schema")} <= {
        "postgres",
        "pg_database_owner",
    }
    assert publishing.publish(published.url, home).notices == ()


def test_what_churn_prints_is_what_the_administrator_runs_for_the_login_of_the_address(
    postgres: Cluster, home: Settings, tmp_path: Path
) -> None:
    made = postgres.fresh_database(prepared=False)
    # A name that has to be quoted in a URL, in psql and in SQL.
    user = f"{made.owner} o'Brien\\\"x"
    administer(made, sql.SQL("create role {} login password 'x'").format(sql.Identifier(user)).as_string())
    url = postgres.url(made.name, user, "x")
    printed = subprocess.run(
        [CHURN, "publish", "--administrator"],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(REPOSITORY),
            "CHURN_HOME": str(tmp_path),
            "CHURN_PUBLISH_URL": url,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert printed.returncode == 0, printed.stderr
    assert "\\set publisher 'dashboards" in printed.stdout.splitlines()[0]
    # The database belongs to a login that is not named, and still does afterwards.
    done = postgres.psql(made.admin_url, printed.stdout)
    assert done.returncode == 0, done.stderr
    assert publishing.publish(url, home).notices == ()
    postgres.drop(made)
    assert "\\set publisher 'churn_publisher'" in rights.administrator_script(None).splitlines()[0]


def test_an_administrator_who_owns_the_database_and_makes_roles_is_enough(postgres: Cluster, home: Settings) -> None:
    made = postgres.fresh_database(prepared=False)
    # What managed services give: no superuser.
    with psycopg.connect(made.admin_url, autocommit=True) as con:
        con.execute(sql.SQL("alter role {} createdb").format(sql.Identifier(made.owner)))
    user = f"{made.owner}_publishes"
    url = postgres.url(made.name, user, "x")
    done = postgres.psql(made.url, rights.administrator_script(url))
    assert done.returncode == 0, done.stderr
    administer(made, f"alter role {user} password 'x'")
    assert publishing.publish(url, home).notices == ()
    # Nothing of this is for somebody who has neither.
    with login(made, "nobody") as con:
        script = rights.administrator_script(url)
        refusal = postgres.psql(f"postgresql://{made.owner}_nobody:x@127.0.0.1:{postgres.port}/{made.name}", script)
        assert con.execute("select 1").fetchone() == (1,)
    assert refusal.returncode == 3
    assert f"database {made.name} belongs to {made.owner}: run this as a superuser or as that role" in refusal.stderr
    postgres.drop(made)


def test_without_the_script_a_publication_is_refused_with_what_to_run(postgres: Cluster, home: Settings) -> None:
    made = postgres.fresh_database(prepared=False)
    with pytest.raises(PostgresError) as raised:
        publishing.publish(made.url, home)
    assert str(raised.value) == (
        f"PostgreSQL at 127.0.0.1:{postgres.port}/{made.name}: there is no schema churn. Publication makes neither: an administrator of "
        f"PostgreSQL has to run, once: churn publish --administrator | psql -d {made.name} (docs/postgresql.md)"
    )
    assert forget(made.url, "nobody") == {}
    # The login could have made all of it.
    with psycopg.connect(made.url) as con:
        assert con.execute("select rolcreaterole from pg_roles where rolname = current_user").fetchone() == (True,)
        assert con.execute("select to_regnamespace('churn')").fetchone() == (None,)
    postgres.drop(made)


def test_a_login_that_can_do_more_than_it_needs_is_told_until_an_administrator_has_taken_it_away(
    postgres: Cluster, database: Database, home: Settings
) -> None:
    owner = database.owner
    administer(
        database,
        f"alter role {owner} createrole",
        f"grant pg_execute_server_program to {owner}",
        f"alter database {database.name} owner to {owner}",
        f"alter table {LOCK} owner to {owner}",
    )
    (notice,) = publishing.publish(database.url, home).notices
    for words in (
        f"The login {owner} may create roles, which before PostgreSQL 16 is enough for a shell on the server",
        "is a member of pg_execute_server_program",
        f"owns the database, {LOCK}",
        f"ALTER ROLE {owner} NOCREATEROLE",
    ):
        assert words in notice
    # A lock of the pipeline's own may have a trigger that would run with the administrator's rights.
    done = postgres.psql(database.admin_url, rights.administrator_script(database.url))
    assert done.returncode == 3
    assert f"churn.publication_lock belongs to {owner}" in done.stderr
    administer(database, f"drop table {LOCK}")
    said = postgres.prepare(database)
    assert f"{owner} could do more than it needs; now it is nocreaterole" in said
    assert f"{owner} is a member of pg_execute_server_program" in said
    administer(database, f"revoke pg_execute_server_program from {owner}")
    assert publishing.publish(database.url, home).notices == ()


def test_a_superuser_is_told_and_the_script_wants_another_login(
    postgres: Cluster, database: Database, home: Settings
) -> None:
    (notice,) = migrate(database.admin_url).notices
    assert "The login postgres is a superuser" in notice
    done = postgres.psql(database.admin_url, rights.administrator_script(database.admin_url))
    assert done.returncode == 3
    assert "the pipeline needs a login of its own, and postgres is not one" in done.stderr
    administer(database, f"alter role {database.owner} superuser")
    done = postgres.psql(database.admin_url, rights.administrator_script(database.url))
    assert done.returncode == 3
    assert "is a superuser: name another login" in done.stderr
    administer(database, f"alter role {database.owner} nosuperuser")


def test_a_backup_that_an_administrator_restores_becomes_the_pipelines_again_and_their_own_views_stay_theirs(
    postgres: Cluster, published: Database, home: Settings, tmp_path: Path
) -> None:
    """The commands of docs/postgresql.md."""
    programs = postgres.programs
    file = tmp_path / "churn.dump"
    dump: list[str | Path] = [
        programs / "pg_dump",
        "--format=custom",
        "--schema=churn",
        f"--file={file}",
        f"--dbname={published.url}",
    ]
    assert subprocess.run(dump, capture_output=True, check=False).stderr == b""
    made = postgres.fresh_database()
    administer(made, "drop schema churn cascade")
    restore: list[str | Path] = ["--exit-on-error", "--no-owner", "--no-acl", f"--dbname={made.admin_url}", file]
    assert subprocess.run([programs / "pg_restore", *restore], capture_output=True, check=False).stderr == b""
    with pytest.raises(PostgresError, match=r"may not create tables in schema churn"):
        publishing.publish(made.url, home)
    postgres.prepare(made)
    administer(made, "create view churn.mine as select 1 as a")
    postgres.prepare(made)
    assert publishing.publish(made.url, home).rows == {}
    owners = {name: owner for kind, name, owner, _ in rights_in(made) if kind in ("r", "v", "routine")}
    assert {owners.pop("mine"), owners.pop("publication_lock")} == {"postgres"}
    assert set(owners.values()) == {made.owner}
    assert set(owners) == set(OURS)
    with login(made, "reads", READER) as con:
        assert con.execute("select count(*) > 10 from churn.call_list").fetchone() == (True,)
    postgres.drop(made)


# --- the stack -------------------------------------------------------------------------------------------------------


def test_the_logins_of_the_stack_have_a_database_each_and_no_right_beyond_it_also_on_a_volume_of_before(
    postgres: Cluster, home: Settings
) -> None:
    names = ("dagster", "mlflow", "churn")
    passwords = {f"{name.upper()}_DB_PASSWORD": f"{name}SECRET" for name in names}
    passwords |= {"CHURN_READER_PASSWORD": "readerSECRET", "POSTGRES_PASSWORD": postgres.superuser_password}
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as con:
        # As the script of former versions left it.
        for name in names:
            con.execute(f"create role {name} login createdb")
            con.execute(f"create database {'predictions' if name == 'churn' else name} owner {name}")
        con.execute("alter role postgres set log_statement = 'all'")
    with psycopg.connect(postgres.url("dagster"), autocommit=True) as con:
        con.execute("set role dagster; create table public.runs as select 1 as a")
    script = [REPOSITORY / "docker" / "postgres" / "10-databases.sh"]
    place = {"PGHOST": "127.0.0.1", "PGPORT": str(postgres.port), "PGPASSWORD": postgres.superuser_password}
    path = {"PATH": f"{postgres.programs}:{os.environ['PATH']}", "POSTGRES_USER": "postgres"}
    try:
        for _ in range(2):
            done = subprocess.run(script, env=passwords | place | path, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
        # What the second one has to say: nothing.
        assert done.stderr == ""
        log = postgres.log.read_text()
        assert "revoke connect, temporary on database dagster" not in log
        assert "SECRET" not in log
        for name in ("dagster", "mlflow"):
            with psycopg.connect(postgres.url(name, name, f"{name}SECRET"), autocommit=True) as con:
                con.execute("create table public.made_by_a_migration (a int)")
                own = ["create schema mine", "create temporary table mine (a int)", f"drop database {name}"]
                assert allowed_of(con, TO_THE_SERVER + own) == []
        with psycopg.connect(postgres.url("dagster", "dagster", "dagsterSECRET"), autocommit=True) as con:
            # What it made before is still its own.
            con.execute("alter table public.runs add column b int")
        url = postgres.url("predictions", "churn", "churnSECRET")
        assert publishing.publish(url, home).notices == ()
        with psycopg.connect(url, autocommit=True) as con:
            assert allowed_of(con, TO_THE_SERVER + IN_THE_DATABASE) == []
        with psycopg.connect(postgres.url("predictions", READER, "readerSECRET"), autocommit=True) as con:
            assert con.execute("select count(*) > 10 from churn.call_list").fetchone() == (True,)
        for name, elsewhere in (
            ("dagster", "mlflow"),
            ("mlflow", "predictions"),
            ("churn", "dagster"),
            ("churn", "postgres"),
        ):
            with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
                psycopg.connect(postgres.url(elsewhere, name, f"{name}SECRET"))
    finally:
        with psycopg.connect(postgres.url("postgres"), autocommit=True) as con:
            con.execute("alter role postgres reset log_statement")
            con.execute(f"alter role {READER} nologin")
            con.execute("grant connect on database postgres, template1 to public")
            for name in names:
                con.execute(f"drop database {'predictions' if name == 'churn' else name} with (force)")
                con.execute(f"drop role {name}")


# --- an enemy --------------------------------------------------------------------------------------------------------

TRIGGER = """
create function churn.mine() returns trigger language plpgsql as $$
begin
    execute 'create table churn.stolen as select current_user::text as by_whom';
    return new;
end $$;
create trigger mine before insert on {} for each row execute function churn.mine();
"""


def test_tables_and_a_lock_that_somebody_else_has_laid_ready_are_not_written_to(
    postgres: Cluster, database: Database, home: Settings
) -> None:
    made = postgres.fresh_database(prepared=False)
    evil = made.owner
    # Whoever may create schemas was there first.
    with psycopg.connect(made.url) as con:
        con.execute("create schema churn")
        con.execute("create table churn.publication_lock (is_the_row boolean primary key)")
        con.execute(TRIGGER.format("churn.publication_lock"))
        con.execute(f"grant all on schema churn to {database.owner}, {READER}")
        con.execute(f"grant all on churn.publication_lock to {database.owner}")
    url = postgres.url(made.name, database.owner, database.password)
    done = postgres.psql(made.admin_url, rights.administrator_script(url))
    assert done.returncode == 3
    assert f"schema churn belongs to {evil}" in done.stderr
    administer(made, "alter schema churn owner to postgres")
    done = postgres.psql(made.admin_url, rights.administrator_script(url))
    assert done.returncode == 3
    assert f"routine churn.mine() belongs to {evil}" in done.stderr
    administer(
        made,
        f"drop function churn.mine() cascade; create table churn.contents (a int); alter table churn.contents owner to {evil}",
    )
    done = postgres.psql(made.admin_url, rights.administrator_script(url))
    assert f"table churn.contents belongs to {evil}" in done.stderr
    # Nor does a publication, where nobody has run the script.
    with pytest.raises(
        PostgresError, match=f"does not publish into what belongs to somebody else: churn.contents to {evil}"
    ):
        publishing.publish(url, home)
    administer(made, "drop table churn.contents")
    done = postgres.psql(made.admin_url, rights.administrator_script(url))
    assert f"churn.publication_lock belongs to {evil}" in done.stderr
    administer(made, "drop table churn.publication_lock")
    assert postgres.psql(made.admin_url, rights.administrator_script(url)).returncode == 0
    assert publishing.publish(url, home).notices == ()
    with psycopg.connect(made.admin_url) as con:
        assert con.execute("select to_regclass('churn.stolen')").fetchone() == (None,)
    postgres.drop(made)


def test_nothing_in_another_schema_is_taken_for_postgresqls_own_whatever_the_search_path_says(
    postgres: Cluster, database: Database, home: Settings
) -> None:
    # What the owner of a database, or everybody where everybody may create in schema public, can lay in the way.
    administer(
        database,
        "create schema trap",
        "create table trap.stolen (by_whom text)",
        "grant usage on schema trap to public",
        "grant insert on trap.stolen to public",
        "create view trap.pg_class as select * from pg_catalog.pg_class",
        "create function trap.quote_ident(name) returns text language sql as "
        "'insert into trap.stolen values (current_user); select pg_catalog.quote_ident($1::text)'",
        "create function trap.to_regclass(text) returns regclass language sql as "
        "'insert into trap.stolen values (current_user); select pg_catalog.to_regclass($1)'",
        "create function trap.count(date) returns bigint language sql as 'select 0::bigint'",
        f"alter database {database.name} set search_path = trap, pg_catalog",
        f"alter role {database.owner} in database {database.name} set search_path = trap, pg_catalog",
        f"alter database {database.name} set default_transaction_isolation = 'repeatable read'",
        f"alter database {database.name} set default_transaction_read_only = on",
    )
    assert publishing.publish(database.url, home).notices == ()
    assert postgres.prepare(database) == ""
    with psycopg.connect(database.admin_url) as con:
        assert con.execute("select count(*) from trap.stolen").fetchone() == (0,)
    with open_connection(database.url) as con:
        assert con.execute("show transaction_isolation").fetchone() == ("read committed",)
        assert con.execute("show search_path").fetchone() == ("pg_catalog, pg_temp",)


def test_default_privileges_that_let_others_write_are_told(database: Database, home: Settings) -> None:
    administer(
        database,
        f"alter default privileges for role {database.owner} in schema churn grant all on tables to public",
        f"alter default privileges for role {database.owner} in schema churn grant insert on tables to {READER}",
    )
    notices = publishing.publish(database.url, home).notices
    assert any(
        notice.startswith("everybody may do more than read churn.predictions (DELETE, INSERT") for notice in notices
    )
    assert "churn_reader may do more than read churn.predictions (INSERT); unless you mean it, revoke that." in notices


def test_the_password_of_a_certificates_key_is_in_no_message() -> None:
    url = "postgresql://churn:first-one@127.0.0.1/db?sslkey=/k&sslpassword=sec%2Fond"
    assert without_secrets("first-one, sec/ond, sec%2Fond", url) == "***, ***, ***"
