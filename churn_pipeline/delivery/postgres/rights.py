"""What an administrator has prepared, and the lock that only the pipeline's login can take.

Publication makes no role and no schema: ``administrator.sql`` does, once, by somebody who may. Here a connection is held against what that
script leaves behind. What is missing is refused with what to run; a login that may do more than it needs is told.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from churn_pipeline.core.errors import PostgresError
from churn_pipeline.delivery.postgres.connection import LOCK_TIMEOUT, READER, SCHEMA, parameters, where

if TYPE_CHECKING:
    import psycopg

# Its one row is locked for the length of a transaction by whoever migrates, publishes or forgets.
LOCK = "publication_lock"
PUBLISHER = "churn_publisher"

# Each leads to a shell of the server, or to whatever lies on its disk.
_LEADS_TO_THE_SERVER = ["pg_execute_server_program", "pg_read_server_files", "pg_write_server_files"]


def administrator_script(url: str | None) -> str:
    """The SQL that an administrator runs once, for psql.

    Args:
        url: the address whose login is to publish; None takes ``churn_publisher``.

    Raises:
        PostgresError: the address cannot be read.
    """
    login = (parameters(url).get("user") if url else None) or PUBLISHER
    # As psql reads a value in quotes.
    quoted = login.replace("\\", "\\\\").replace("'", "\\'")
    return f"\\set publisher '{quoted}'\n" + files(__package__).joinpath("administrator.sql").read_text(
        encoding="utf-8"
    )


def how_to_prepare(url: str) -> str:
    """What an administrator has to run, for messages."""
    database = shlex.quote(str(parameters(url).get("dbname") or "DATABASE"))
    return f"an administrator of PostgreSQL has to run, once: churn publish --administrator | psql -d {database} (docs/postgresql.md)"


def require_preparation(con: psycopg.Connection[Any], url: str, ours: Iterable[str]) -> None:
    """Makes sure that the schema, the roles and the lock are there, and that nothing of somebody else stands where ours should.

    Args:
        con: a transaction on the database.
        url: where it leads, for the message.
        ours: names of the tables, views and functions that publications make.

    Raises:
        PostgresError: something is missing, or belongs to another role.
    """
    user, schema, reader, may_write, reader_may_look, may_lock = _row(
        con,
        """
        select quote_ident(current_user),
               to_regnamespace(%(schema)s) is not null,
               exists (select from pg_roles where rolname = %(reader)s),
               coalesce(
                   has_schema_privilege(current_user, to_regnamespace(%(schema)s)::oid, 'usage')
                   and has_schema_privilege(current_user, to_regnamespace(%(schema)s)::oid, 'create'),
                   false
               ),
               coalesce(
                   (select has_schema_privilege(oid, to_regnamespace(%(schema)s)::oid, 'usage') from pg_roles where rolname = %(reader)s),
                   false
               ),
               coalesce(
                   (
                       select relkind = 'r' and has_table_privilege(current_user, oid, 'select')
                           and has_table_privilege(current_user, oid, 'update')
                       from pg_class
                       where relnamespace = to_regnamespace(%(schema)s) and relname = %(lock)s
                   ),
                   false
               )
        """,
        {"schema": SCHEMA, "reader": READER, "lock": LOCK},
    )
    missing = [
        sentence
        for sentence, is_there in (
            (f"there is no schema {SCHEMA}", schema),
            (f"there is no role {READER}", reader),
            (f"{user} may not create tables in schema {SCHEMA}", may_write or not schema),
            (f"{READER} may not use schema {SCHEMA}", reader_may_look or not (schema and reader)),
            (f"{user} may not lock {SCHEMA}.{LOCK}, or it is not there", may_lock or not schema),
        )
        if not is_there
    ]
    if missing:
        raise PostgresError(
            f"PostgreSQL at {where(url)}: {'; '.join(missing)}. Publication makes neither: {how_to_prepare(url)}"
        )
    _refuse_what_is_somebody_elses(con, url, user, ours)


def excess_of_rights(con: psycopg.Connection[Any]) -> list[str]:
    """What the login may do beyond what it needs, and others in schema churn, in whole sentences; empty as it should be."""
    return [*_too_powerful(con), *_others_may_write(con)]


def _refuse_what_is_somebody_elses(con: psycopg.Connection[Any], url: str, user: str, ours: Iterable[str]) -> None:
    """A table of another role can have triggers and rules, which would run with the rights of whoever publishes."""
    others = con.execute(
        """
        select relname::text, relowner::regrole::text from pg_class
        where relnamespace = to_regnamespace(%(schema)s) and relname = any(%(ours)s) and pg_get_userbyid(relowner) <> current_user
        union
        select proname::text, proowner::regrole::text from pg_proc
        where pronamespace = to_regnamespace(%(schema)s) and proname = any(%(ours)s) and pg_get_userbyid(proowner) <> current_user
        order by 1
        """,
        {"schema": SCHEMA, "ours": list(ours)},
    ).fetchall()
    if others:
        names = ", ".join(f"{SCHEMA}.{name} to {owner}" for name, owner in others)
        raise PostgresError(
            f"PostgreSQL at {where(url)}: {user} does not publish into what belongs to somebody else: {names}. "
            f"After a backup was restored, or for a new login, {how_to_prepare(url)}"
        )


def _too_powerful(con: psycopg.Connection[Any]) -> list[str]:
    """What the login could do to the server, and to the right way of using it."""
    user, is_superuser, may_create_roles, roles, owns = _row(
        con,
        """
        select quote_ident(login.rolname), login.rolsuper, login.rolcreaterole,
               array(
                   select rolname::text from pg_roles
                   where (rolsuper or rolcreaterole or rolname = any(%(roles)s)) and oid <> login.oid
                       and not login.rolsuper and pg_has_role(login.oid, oid, 'member')
                   order by 1
               ),
               array(
                   select 'the database' from pg_database where datname = current_database() and datdba = login.oid
                   union all
                   select 'schema ' || nspname from pg_namespace where nspname = %(schema)s and nspowner = login.oid
                   union all
                   select nspname || '.' || relname from pg_class
                   inner join pg_namespace on pg_namespace.oid = relnamespace
                   where nspname = %(schema)s and relname = %(lock)s and relowner = login.oid
               )
        from pg_roles as login
        where rolname = current_user
        """,
        {"roles": _LEADS_TO_THE_SERVER, "schema": SCHEMA, "lock": LOCK},
    )
    too_much = [
        sentence
        for sentence, is_so in (
            ("is a superuser", is_superuser),
            ("may create roles, which before PostgreSQL 16 is enough for a shell on the server", may_create_roles),
            (f"is a member of {', '.join(roles)}", roles),
            (f"owns {', '.join(owns)}", owns),
        )
        if is_so
    ]
    if not too_much:
        return []
    return [
        f"The login {user} {'; it '.join(too_much)}. Publishing needs none of this. As an administrator: "
        f"{'name another login; ' if is_superuser else ''}{'ALTER ROLE ' + user + ' NOCREATEROLE; ' if may_create_roles else ''}"
        f"churn publish --administrator prints what takes the rest away (docs/postgresql.md)."
    ]


def _others_may_write(con: psycopg.Connection[Any]) -> list[str]:
    """Who else may change what is published, or hang a trigger on it that runs when the pipeline writes."""
    rows = con.execute(
        """
        select relname::text, case when grantee = 0 then 'everybody' else grantee::regrole::text end,
               string_agg(privilege_type, ', ' order by privilege_type)
        from pg_class, aclexplode(relacl)
        where relnamespace = to_regnamespace(%s) and relkind in ('r', 'p', 'v', 'm', 'f')
            and privilege_type <> 'SELECT' and not (select rolsuper from pg_roles where rolname = current_user)
            and grantee <> relowner and (grantee = 0 or pg_get_userbyid(grantee) <> current_user)
        group by 1, 2
        order by 1, 2
        """,
        [SCHEMA],
    ).fetchall()
    return [
        f"{who} may do more than read {SCHEMA}.{name} ({rights}); unless you mean it, revoke that."
        for name, who, rights in rows
    ]


def take_lock(con: psycopg.Connection[Any], url: str, waiting: Callable[[str], None] | None = None) -> None:
    """Holds the one lock of migrations, publications and erasures until the transaction ends, which a session that dies does as well.

    It is a row and not an advisory lock, which any login of the database may take and keep. Locking a row takes the right to change it,
    and readers have not got that.

    Args:
        con: a connection; its transaction begins here unless it has begun.
        url: where it leads, for the message.
        waiting: called with a sentence when it is not free at once.

    Raises:
        PostgresError: it was not free in time; the message names the holder.
    """
    from psycopg.errors import LockNotAvailable

    statement = f"select from {SCHEMA}.{LOCK} for update"
    # Begins the transaction where none has begun: the blocks below are then savepoints in it, and the lock outlives them.
    con.execute("select")
    for wait in (False, True):
        try:
            with con.transaction():
                rows = con.execute(statement if wait else f"{statement} nowait").fetchall()
            break
        except LockNotAvailable:
            holder = _holder(con)
            if wait:
                raise PostgresError(
                    f"PostgreSQL at {where(url)}: another publication goes on, by {holder}; gave up after {LOCK_TIMEOUT}"
                ) from None
            if waiting is not None:
                waiting(f"waiting for another publication, by {holder}, for {LOCK_TIMEOUT} at most")
    if not rows:
        raise PostgresError(f"PostgreSQL at {where(url)}: {SCHEMA}.{LOCK} has lost its row; {how_to_prepare(url)}")


def _holder(con: psycopg.Connection[Any]) -> str:
    """Who has the lock, as the server knows it."""
    # Whoever waits for the row has locked the table in the same way, so: nobody who waits for another one of them.
    row = con.execute(
        """
        with candidates as (
            select distinct pid from pg_locks
            where locktype = 'relation' and database = (select oid from pg_database where datname = current_database())
                and relation = to_regclass(%s) and mode <> 'AccessShareLock' and granted and pid <> pg_backend_pid()
        )
        select pid, usename::text, application_name, to_char(xact_start at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS')
        from pg_stat_activity
        inner join candidates using (pid)
        where not pg_blocking_pids(pid) && array(select pid from candidates)
        order by xact_start
        limit 1
        """,
        [f"{SCHEMA}.{LOCK}"],
    ).fetchone()
    if row is None:
        return "a session that has just ended"
    pid, user, application, since = row
    return f"{application or user} (login {user}, process {pid} of the server, since {since} UTC)"


def _row(con: psycopg.Connection[Any], statement: str, values: dict[str, Any]) -> tuple[Any, ...]:
    row = con.execute(statement, values).fetchone()
    assert row is not None, "one row is selected"
    return row
