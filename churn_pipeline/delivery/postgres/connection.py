"""The way to PostgreSQL, with bounded waits, and errors in one line that never hold the password."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from churn_pipeline.core.errors import PostgresError
from churn_pipeline.core.operator import user
from churn_pipeline.core.postgres_url import HOW_TO_WRITE_ONE, is_postgres_url

if TYPE_CHECKING:
    import psycopg

SCHEMA = "churn"
READER = "churn_reader"
# Longest wait for somebody else's lock: an ALTER by hand, another publication. A publication of one Monday takes seconds.
LOCK_TIMEOUT = "60s"

_DEFAULTS = {
    "connect_timeout": "10",
    # A server that vanished without a word (power, firewall) is given up after a minute; TCP alone would wait a quarter of an hour.
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
# One statement is at most the COPY of one Monday: 100,000 customers take ten seconds.
_STATEMENT_TIMEOUT = "15min"
# A publisher that is alive and does nothing (a stopped process) must not hold locks for ever.
_IDLE_TIMEOUT = "5min"


@contextmanager
def connect(url: str) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """Opens a connection whose block is one transaction: committed at its end, rolled back by whatever is raised.

    Args:
        url: a postgresql:// URL; what it sets goes before the defaults here.

    Raises:
        PostgresError: it cannot be reached, refuses, or fails on the way; one line, without the password.
    """
    with said_plainly(url), open_connection(url) as con:
        yield con


def open_connection(url: str) -> psycopg.Connection[tuple[Any, ...]]:
    """Opens a connection with the timeouts of this module. psycopg's own errors escape; see :func:`said_plainly`."""
    import psycopg

    con = psycopg.connect(**(_DEFAULTS | {"application_name": _application_name()} | parameters(url)))
    # Whatever the owner of the database or the administrator of the login has set: after the wait for the lock, what is read is new.
    con.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
    con.read_only = False
    with con.transaction():
        # Names without a schema are PostgreSQL's own, and nothing that somebody has put into another schema.
        con.execute("set search_path = pg_catalog, pg_temp")
        con.execute(f"set lock_timeout = '{LOCK_TIMEOUT}'")
        con.execute(f"set statement_timeout = '{_STATEMENT_TIMEOUT}'")
        con.execute(f"set idle_in_transaction_session_timeout = '{_IDLE_TIMEOUT}'")
        # Times are UTC without a zone everywhere in the schema; the session's zone must not move those that PostgreSQL makes.
        con.execute("set time zone 'UTC'")
        # Doubles in the shortest form that reads back to the same bits; some servers are configured otherwise.
        con.execute("set extra_float_digits = 1")
    return con


def _application_name() -> str:
    """Who is publishing, for pg_stat_activity and for whoever waits; PostgreSQL keeps 63 bytes."""
    return f"churn publish, {user()} on {socket.gethostname()}, process {os.getpid()}"


def parameters(url: str) -> dict[str, Any]:
    """The parts of a postgresql:// URL by libpq's names.

    Raises:
        PostgresError: it is none. libpq's own words are not repeated: they quote the part it stumbled over, often the password.
    """
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    try:
        if is_postgres_url(url):
            return dict(conninfo_to_dict(url))
    except psycopg.Error:
        pass
    raise PostgresError(f"the address of PostgreSQL cannot be read; {HOW_TO_WRITE_ONE}")


@contextmanager
def said_plainly(url: str) -> Iterator[None]:
    """Turns an error of psycopg into one line that names the server and what to do, and never the password.

    The original is not chained: Dagster keeps causes with their text.
    """
    import psycopg
    from psycopg import errors

    try:
        yield
    except psycopg.Error as error:
        text = error.diag.message_primary or "; ".join(line.strip() for line in str(error).splitlines() if line.strip())
        match error:
            case errors.LockNotAvailable():
                text = f"another session held what was needed for over {LOCK_TIMEOUT}; see pg_stat_activity ({text})"
            case errors.QueryCanceled():
                text = f"a statement took longer than {_STATEMENT_TIMEOUT} or was cancelled ({text})"
            case errors.InsufficientPrivilege():
                text = f"{text}; docs/postgresql.md says what the user needs"
            case _:
                pass
        message = f"PostgreSQL at {where(url)}: {text or type(error).__name__}"
    else:
        return
    raise PostgresError(without_secrets(message, url)) from None


def where(url: str) -> str:
    """Host, port and database of a URL, for people."""
    parts = parameters(url)
    host = parts.get("host") or parts.get("hostaddr") or "the local socket"
    return f"{host}:{parts.get('port') or 5432}/{parts.get('dbname') or parts.get('user') or ''}"


def without_secrets(text: str, url: str) -> str:
    """The text with every form of the URL's passwords replaced."""
    try:
        secrets = [str(parameters(url).get(name) or "") for name in ("password", "sslpassword")]
    except PostgresError:
        return text
    forms = {form for secret in secrets if secret for form in (secret, quote(secret, safe=""), quote(secret))}
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, "***")
    return text
