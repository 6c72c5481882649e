"""What a PostgreSQL address may look like. Settings are checked at every start, most of which never load a driver."""

from __future__ import annotations

import re
from urllib.parse import unquote

HOW_TO_WRITE_ONE = (
    "write postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with characters such as @ : / % in the password written "
    "%40 %3A %2F %25"
)

# As libpq reads it (PostgreSQL documentation, 34.1.1.2): user and password end at the first @, and neither holds a bare slash. Stricter
# in one thing: a database is named, and it looks like one. A password with a bare / or : in it makes libpq take the rest for a port or
# a database, and every later message would print it.
_URL = re.compile(
    r"postgres(?:ql)?://"
    r"(?:[^:@/]*(?::[^@/]*)?@)?"
    r"(?P<hosts>[^@/?]*)"
    r"(?:/(?P<database>[^?]*))?"
    r"(?:\?(?P<options>.*))?"
)
_HOST = re.compile(r"(?:\[[^\]]*\]|[^@:\[\]]*)(?::\d*)?")
_DATABASE = re.compile(r"[^@/:]+")
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
# libpq's options (34.1.2). One that it does not know is refused here, and not when the first Monday is published.
_OPTIONS = frozenset(
    [
        "application_name",
        "channel_binding",
        "client_encoding",
        "connect_timeout",
        "dbname",
        "fallback_application_name",
        "gssdelegation",
        "gssencmode",
        "gsslib",
        "host",
        "hostaddr",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "krbsrvname",
        "load_balance_hosts",
        "max_protocol_version",
        "min_protocol_version",
        "options",
        "passfile",
        "password",
        "port",
        "require_auth",
        "requirepeer",
        "service",
        "ssl",
        "ssl_max_protocol_version",
        "ssl_min_protocol_version",
        "sslcert",
        "sslcertmode",
        "sslcompression",
        "sslcrl",
        "sslcrldir",
        "sslkey",
        "sslkeylogfile",
        "sslmode",
        "sslnegotiation",
        "sslpassword",
        "sslrootcert",
        "sslsni",
        "target_session_attrs",
        "tcp_user_timeout",
        "user",
    ]
)


def is_postgres_url(url: str) -> bool:
    """Whether an address can be read as postgresql://; says nothing of whether a server is there."""
    match = _URL.fullmatch(url)
    if match is None or _BROKEN_ESCAPE.search(url):
        return False
    options = dict(part.partition("=")[::2] for part in (match["options"] or "").split("&") if part)
    database = unquote(options.get("dbname") or match["database"] or "")
    hosts = match["hosts"].split(",")
    return (
        options.keys() <= _OPTIONS
        and _DATABASE.fullmatch(database) is not None
        and all(_HOST.fullmatch(host) for host in hosts)
    )
