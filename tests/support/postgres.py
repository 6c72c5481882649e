"""A PostgreSQL cluster of its own for the tests: Debian's server on a free loopback port, in a temporary folder, gone at the end."""

from __future__ import annotations

import ctypes
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import psycopg
from psycopg import sql

from churn_pipeline.core.settings import REPOSITORY
from churn_pipeline.delivery.postgres.rights import administrator_script

# Nothing in these clusters has to survive the machine. Small buffers, because shared memory is little in containers.
_FAST = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "40",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "log_line_prefix": "%m [%p] %u@%d ",
}
_PR_SET_PDEATHSIG = 1


def server_programs() -> Path:
    """The folder that has initdb and postgres.

    Raises:
        RuntimeError: there is none; ``make postgres`` says how to get one.
    """
    completed = subprocess.run([REPOSITORY / "scripts" / "postgres.sh"], capture_output=True, text=True, check=False)
    if completed.returncode:
        raise RuntimeError(completed.stderr.strip())
    return Path(completed.stdout.strip())


@dataclass(frozen=True)
class Database:
    """A fresh database of the superuser, with a login that publishes to it or, where that is said, owns it.

    Attributes:
        owner: the login.
        url: postgresql:// with its password.
        admin_url: the same database as the cluster's superuser.
    """

    name: str
    owner: str
    password: str = field(repr=False)
    url: str = field(repr=False)
    admin_url: str = field(repr=False)


class Cluster:
    """A running PostgreSQL server. Use it as a context manager; it dies with the process that started it, however that ends."""

    def __init__(self) -> None:
        self.programs = server_programs()
        self._folder = Path(tempfile.mkdtemp(prefix="churn_postgres_"))
        self.superuser_password = secrets.token_hex(12)
        self._process: subprocess.Popen[bytes] | None = None
        # dashboards_1 is a role of the dump of an older version (tests/data/first_home), and no login of a test: one of them would give it rights.
        self._databases = 1
        self.port = _free_port()
        self.log = self._folder / "server.log"

    def __enter__(self) -> Self:
        try:
            self._create()
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Without a last checkpoint: there is nothing to keep.
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self._folder, ignore_errors=True)

    def url(self, database: str, user: str = "postgres", password: str | None = None) -> str:
        """The URL of a database of this cluster; as the superuser unless a user is named."""
        secret = self.superuser_password if user == "postgres" and password is None else password
        who = quote(user, safe="") + (f":{quote(secret, safe='')}" if secret is not None else "")
        return f"postgresql://{who}@127.0.0.1:{self.port}/{quote(database, safe='')}"

    def fresh_database(self, prepared: bool = True) -> Database:
        """Creates a database and its login.

        Args:
            prepared: by administrator.sql. Otherwise the login owns the database and may create roles, which is what the documentation
                said before there was that script.
        """
        self._databases += 1
        name = owner = f"dashboards_{self._databases}"
        # A password that has to be quoted in a URL.
        password = secrets.token_hex(8) + "@:/ %?#'x"
        with psycopg.connect(self.url("postgres"), autocommit=True) as con:
            con.execute(
                sql.SQL("create role {} login {} password {}").format(
                    sql.Identifier(owner), sql.SQL("" if prepared else "createrole"), sql.Literal(password)
                )
            )
            con.execute(
                sql.SQL("create database {} owner {}").format(
                    sql.Identifier(name), sql.Identifier("postgres" if prepared else owner)
                )
            )
        database = Database(name, owner, password, self.url(name, owner, password), self.url(name))
        if prepared:
            self.prepare(database)
        return database

    def prepare(self, database: Database, url: str | None = None) -> str:
        """Does what an administrator does, the superuser unless another address is given; returns what psql said beside errors."""
        done = self.psql(url or database.admin_url, administrator_script(database.url))
        assert done.returncode == 0, done.stderr
        return done.stderr

    def psql(self, url: str, script: str) -> subprocess.CompletedProcess[str]:
        """Runs a script as `psql -d DATABASE` does that reads it from a pipe."""
        return subprocess.run(
            [self.programs / "psql", "--no-psqlrc", "--quiet", f"--dbname={url}"],
            input=script,
            capture_output=True,
            text=True,
            check=False,
        )

    def drop(self, database: Database) -> None:
        """Drops a database, whoever is in it; its owner stays."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as con:
            con.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(database.name)))

    def start(self) -> None:
        """Starts the server and waits until it answers."""
        arguments = [f"-c{name}={value}" for name, value in _FAST.items()]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [self.programs / "postgres", "-D", self._folder / "data", "-p", str(self.port), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                preexec_fn=_die_with_parent,
                **_not_root(),
            )
        deadline = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(self.url("postgres"), connect_timeout=5).close()
                return
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"PostgreSQL did not start: {self.log.read_text()[-2000:]}") from None
                time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stops the server: SIGINT ends its sessions, SIGQUIT is a crash."""
        if self._process is None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        self._process = None

    def _create(self) -> None:
        user = _not_root()
        if user:
            entry = pwd.getpwuid(user["user"])
            os.chown(self._folder, entry.pw_uid, entry.pw_gid)
        secret = self._folder / "password"
        secret.write_text(self.superuser_password)
        secret.chmod(0o644)  # In a folder of 0700 that belongs to the server's user.
        done = subprocess.run(
            [
                self.programs / "initdb",
                *("-D", self._folder / "data", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "-N"),
                *("--auth=scram-sha-256", f"--pwfile={secret}"),
            ],
            capture_output=True,
            text=True,
            cwd="/",
            check=False,
            **user,
        )
        secret.unlink()
        if done.returncode:
            raise RuntimeError(f"initdb failed: {done.stderr}")


def _not_root() -> dict[str, Any]:
    """Arguments for subprocess: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise RuntimeError("tests that run as root need a user postgres or nobody for PostgreSQL")


def _die_with_parent() -> None:
    # Linux only, and elsewhere not needed for more than tidiness. Runs after the change of user, which would undo it.
    if hasattr(os, "pidfd_open"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGINT)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
