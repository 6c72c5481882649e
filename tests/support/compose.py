"""docker-compose.yml, read as Compose reads it, and its services started as processes of this machine.

A container gives a service a name, ports of its own and folders at fixed places. Here the names become 127.0.0.1, each port of a container
a free port, each volume a folder under one root; commands, environment, order and health checks stay those of the file. A process sees
the environment of its service and nothing else of this one's but where programs lie.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from churn_pipeline.core.settings import REPOSITORY
from tests.support.postgres import _not_root, server_programs
from tests.support.processes import BIN

COMPOSE = REPOSITORY / "docker-compose.yml"
EXAMPLE = REPOSITORY / ".env.example"

_VARIABLE = re.compile(
    r"\$(?:(?P<escaped>\$)|\{(?P<name>\w+)(?:(?P<how>:?[-?])(?P<rest>[^}]*))?\}|(?P<bare>[A-Za-z_]\w*))"
)


def variables_of(path: Path = EXAMPLE) -> dict[str, str]:
    """The variables of an .env file, as Compose reads one without quotes."""
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def interpolated(text: str, variables: Mapping[str, str]) -> str:
    """A text of the file with its ${VARIABLES} filled in.

    Raises:
        KeyError: one that is required, or has no default, is not there.
    """

    def value(match: re.Match[str]) -> str:
        if match["escaped"]:
            return "$"
        name, how, rest = match["name"] or match["bare"], match["how"] or "", match["rest"] or ""
        given = variables.get(name)
        if given or (given is not None and not how.startswith(":")):
            return given
        if how.endswith("-"):
            return rest
        raise KeyError(f"{name}: {rest or 'not set'}")

    return _VARIABLE.sub(value, text)


def variables_in(text: str) -> set[str]:
    """The names of the variables that a text asks for."""
    return {match["name"] or match["bare"] for match in _VARIABLE.finditer(text) if not match["escaped"]}


def compose_file() -> dict[str, Any]:
    """The file with its anchors resolved and its variables as they stand."""
    loaded: dict[str, Any] = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    return loaded


@dataclass(frozen=True)
class Service:
    """What the file says of one service, variables filled in."""

    name: str
    entrypoint: list[str]
    command: list[str]
    environment: dict[str, str]
    healthcheck: list[str]
    after: list[str]
    stop_signal: signal.Signals
    stop_seconds: float
    working_dir: str


def aliases() -> dict[str, str]:
    """The names that services have on single networks, with the service."""
    return {
        alias: name
        for name, given in compose_file()["services"].items()
        if isinstance(given["networks"], dict)
        for network in given["networks"].values()
        for alias in (network or {}).get("aliases", [])
    }


def services(variables: Mapping[str, str]) -> dict[str, Service]:
    """Every service of the file, in an order in which they can be started."""
    by_name = {}
    for name, given in compose_file()["services"].items():
        environment = {}
        for key, value in given.get("environment", {}).items():
            if value is not None:
                environment[key] = interpolated(str(value), variables)
            elif key in variables:
                environment[key] = variables[key]
        test = [interpolated(word, variables) for word in given["healthcheck"]["test"]]
        assert test[0] == "CMD", f"{name}: a health check without a shell works in every image"
        by_name[name] = Service(
            name,
            given["entrypoint"],
            [interpolated(word, variables) for word in given.get("command", [])],
            environment,
            test[1:],
            list(given.get("depends_on", {})),
            signal.Signals[given.get("stop_signal", "SIGTERM")],
            _seconds(given.get("stop_grace_period", "10s")),
            given.get("working_dir", "/"),
        )
    ordered: dict[str, Service] = {}
    while len(ordered) < len(by_name):
        ready = [
            service for name, service in by_name.items() if name not in ordered and set(service.after) <= set(ordered)
        ]
        assert ready, "the services wait for each other in a circle"
        ordered |= {service.name: service for service in ready}
    return ordered


@dataclass
class Native:
    """The services of docker-compose.yml as processes of this machine.

    Attributes:
        root: where volumes and logs lie.
        variables: what .env would say.
    """

    root: Path
    variables: Mapping[str, str]
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _ports: dict[tuple[str, str], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.configure(self.variables)
        self.programs = server_programs()
        self._aliases = aliases()
        # Not under the root: PostgreSQL's own user may not enter pytest's folders.
        self.cluster = Path(tempfile.mkdtemp(prefix="churn_stack_"))
        self._places = {
            "/opt/churn": REPOSITORY,
            "/srv/churn": self.root / "home",
            "/var/lib/dagster": self.root / "dagster",
            "/var/lib/mlflow": self.root / "mlflow",
        }
        # What docker/Dockerfile does.
        for folder in (*self._places.values(), self.root / "tmp"):
            folder.mkdir(parents=True, exist_ok=True)
        config = REPOSITORY / "docker" / "dagster.yaml"
        (self.root / "dagster" / "dagster.yaml").write_bytes(config.read_bytes())
        # A folder of .env, mounted into a volume.
        for name, given in compose_file()["services"].items():
            for volume in given.get("volumes", []) if name in self.services else []:
                source, inside = interpolated(volume, self.variables).split(":")[:2]
                if source.startswith("/"):
                    mounted = Path(self._place(inside))
                    mounted.parent.mkdir(parents=True, exist_ok=True)
                    mounted.symlink_to(source)

    def configure(self, variables: Mapping[str, str]) -> None:
        """Reads the file again, with another .env."""
        self.variables = variables
        # Grafana is not on this machine; tests of its files stand in tests/unit/test_compose.py.
        self.services = {name: service for name, service in services(variables).items() if name != "grafana"}

    def port(self, service: str, inside: int) -> int:
        """The free port that stands for a port of a container."""
        key = (service, str(inside))
        if key not in self._ports:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self._ports[key] = probe.getsockname()[1]
        return self._ports[key]

    def environment(self, service: str) -> dict[str, str]:
        """All that a process of the service sees."""
        given = self.services[service].environment
        seen = {}
        for key, value in given.items():
            if key.endswith("_HOST") and self._aliases.get(value, value) in self.services:
                seen[key] = "127.0.0.1"
                assert f"{key.removesuffix('HOST')}PORT" in given
            elif key.endswith("_PORT"):
                owner = given[f"{key.removesuffix('PORT')}HOST"]
                seen[key] = str(self.port(self._aliases.get(owner, owner), int(value)))
            else:
                seen[key] = self._translated(service, value)
        return {
            "PATH": os.pathsep.join((str(BIN), str(self.programs), "/usr/bin", "/bin")),
            "HOME": str(self.root / "tmp"),
            "TMPDIR": str(self.root / "tmp"),
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
            "STACK_ROOT": str(self.root),
            **seen,
        }

    def command(self, service: str, words: list[str]) -> list[str]:
        """A command of the service, for this machine."""
        return [
            str(self.port(service, int(word)))
            if word.isdigit() and before in ("-p", "--port")
            else self._translated(service, word)
            for before, word in zip(["", *words], words, strict=False)
        ]

    def run(self, service: str, *words: str, timeout: float = 300, **more: str) -> subprocess.CompletedProcess[str]:
        """Runs a command beside a service, as `docker compose exec` does, to its end."""
        return subprocess.run(
            self.command(service, list(words)),
            env=self.environment(service) | self._socket(service) | more,
            cwd=self._place(self.services[service].working_dir),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def pipe(self, service: str, *words: str, out: Path | None = None, into: Path | None = None) -> None:
        """Runs a command beside a service, as `docker compose exec -T` does with < and >.

        Raises:
            AssertionError: it failed.
        """
        with (into or Path(os.devnull)).open("rb") as given, (out or Path(os.devnull)).open("wb") as output:
            done = subprocess.run(
                self.command(service, list(words)),
                env=self.environment(service) | self._socket(service),
                cwd=self.root,
                stdin=given,
                stdout=output,
                stderr=subprocess.PIPE,
                timeout=300,
                check=False,
            )
        assert done.returncode == 0, done.stderr.decode(errors="replace")

    def healthy(self, service: str) -> bool:
        """What the health check of the service says now."""
        return self.run(service, *self.services[service].healthcheck).returncode == 0

    def up(self) -> None:
        """Starts what is not running, each service when those it waits for are healthy, and waits for all."""
        for name in self.services:
            self.start(name)

    def start(self, service: str) -> None:
        """Starts a service unless it runs, and waits until it is healthy."""
        if service not in self.running:
            if service == "postgres":
                self._start_postgres()
            else:
                self._start(service, self.command(service, self.services[service].command))
        self.wait(service)

    def wait(self, service: str, seconds: float = 180) -> None:
        """Waits until a service is healthy.

        Raises:
            AssertionError: it ended, or took too long; with what it said.
        """
        deadline = time.monotonic() + seconds
        while not self.healthy(service):
            code = self.running[service].poll()
            assert code is None, f"{service} ended with {code}:\n{self.log(service)}"
            assert time.monotonic() < deadline, f"{service} is not healthy:\n{self.log(service)}"
            time.sleep(0.5)

    def down(self) -> dict[str, int]:
        """Stops every service as Compose does, the last first, each with its signal, and returns how they ended.

        Raises:
            AssertionError: one did not end within its time.
        """
        return {name: self.stop(name) for name in reversed(list(self.services)) if name in self.running}

    def stop(self, service: str) -> int:
        """Stops a service with its signal and returns how it ended.

        Raises:
            AssertionError: it did not end within its time.
        """
        process = self.running.pop(service)
        process.send_signal(self.services[service].stop_signal)
        try:
            return process.wait(self.services[service].stop_seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{service} goes on after its stop signal:\n{self.log(service)}") from None

    def kill(self) -> None:
        """Ends whatever is left, at once."""
        for pid in self.left():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        for process in self.running.values():
            process.wait(30)
        self.running.clear()
        shutil.rmtree(self.cluster, ignore_errors=True)

    def left(self) -> list[int]:
        """Processes of the stack that are there; whatever one of them starts inherits the mark."""
        return list(_marked(f"STACK_ROOT={self.root}".encode()))

    def log(self, service: str) -> str:
        """The end of what a service has said."""
        return (self.root / f"{service}.log").read_text(encoding="utf-8", errors="replace")[-4000:]

    def _start(self, name: str, command: list[str], **how: Any) -> None:
        with (self.root / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                # A shell's background job ignores SIGINT, and what Dagster does at SIGTERM is what is set for SIGINT. A container is
                # started with nothing ignored.
                ["env", "--default-signal", *self._entrypoint(name), *command],
                env=self.environment(name) | self._socket(name),
                cwd=how.pop("cwd", self._place(self.services[name].working_dir)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **how,
            )

    def _entrypoint(self, name: str) -> list[str]:
        """What the file puts before the command. What PostgreSQL's image has there `_start_postgres` does."""
        words = [
            self._translated(name, word) for word in self.services[name].entrypoint if word != "docker-entrypoint.sh"
        ]
        if name == "postgres":
            # Its user may not enter the repository either.
            words[1] = shutil.copy(words[1], self.cluster)
        return words

    def _start_postgres(self) -> None:
        """What the entry point of PostgreSQL's image does: an empty volume is set up, and the scripts run, before the server is started."""
        user, data, place = _not_root(), self.cluster / "data", self.cluster
        arguments = ["-D", str(data), "-k", str(place), "-c", "listen_addresses=127.0.0.1"]
        fresh = not data.exists()
        if fresh:
            if user:
                os.chown(place, user["user"], user["group"])
            password = place / secrets.token_hex(4)
            password.write_text(self.services["postgres"].environment["POSTGRES_PASSWORD"], encoding="utf-8")
            password.chmod(0o644)
            subprocess.run(
                [
                    self.programs / "initdb",
                    *("-D", data, "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"),
                    *("--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={password}"),
                ],
                capture_output=True,
                cwd="/",
                check=True,
                **user,
            )
            password.unlink()
        self._start(
            "postgres", [*self.command("postgres", self.services["postgres"].command), *arguments], cwd="/", **user
        )
        if fresh:
            deadline = time.monotonic() + 60
            while self.run("postgres", "pg_isready", "-q").returncode:
                assert time.monotonic() < deadline, self.log("postgres")
                time.sleep(0.1)
            self.init_databases()

    def init_databases(self) -> None:
        """Runs the script that creates databases and logins, or sets the passwords again."""
        done = self.run("postgres", "/opt/churn/docker/postgres/10-databases.sh")
        assert done.returncode == 0, done.stderr

    def _socket(self, service: str) -> dict[str, str]:
        # In the container the socket lies where psql looks by itself.
        if service != "postgres":
            return {}
        return {"PGHOST": str(self.cluster), "PGPORT": str(self.port("postgres", 5432))}

    def _place(self, path: str) -> str:
        for inside, outside in self._places.items():
            if path == inside or path.startswith(f"{inside}/"):
                return f"{outside}{path.removeprefix(inside)}"
        return path

    def _translated(self, service: str, text: str) -> str:
        names = "|".join(self.services)
        text = re.sub(rf"\b({names}):(\d+)", lambda match: f"127.0.0.1:{self.port(match[1], int(match[2]))}", text)
        # Loopback inside a container is the container itself.
        text = re.sub(
            r"(?<=//)127\.0\.0\.1:(\d{4})(?=/)",
            lambda match: (
                f"127.0.0.1:{self.port(service, int(match[1]))}" if self._is_own(service, match[1]) else match[0]
            ),
            text,
        )
        return "127.0.0.1" if text == "0.0.0.0" or text in self._aliases else self._place(text)

    def _is_own(self, service: str, port: str) -> bool:
        return port in self.services[service].command


def _seconds(duration: str) -> float:
    match = re.fullmatch(r"(?:(\d+)m)?(?:(\d+)s)?", duration)
    assert match, duration
    return 60 * int(match[1] or 0) + int(match[2] or 0)


def _marked(mark: bytes) -> Iterator[int]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    yield int(folder.name)
            except OSError:
                continue
