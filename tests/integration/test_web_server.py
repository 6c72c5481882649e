"""Dagster's own web server behind the guard, as `churn ui` starts it: a process, real requests, a real browser."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Page as BrowserPage

from churn_pipeline.core.settings import Settings
from tests.support.browser import headless
from tests.support.processes import BIN, environment, wait_for
from tests.support.web import Page, goes_to, port_of

# A web server, a daemon and their code servers; what the guard lets pass is asked without them in unit/orchestration/test_guard.py.
pytestmark = pytest.mark.long

RELOAD = "mutation { reloadWorkspace { __typename } }"
EVIL = {"Origin": "https://evil.example"}


@dataclass
class Started:
    """`churn ui` with its output in a file."""

    settings: Settings
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def files(self) -> list[Path]:
        """Where the address stands, which has the port in its name."""
        return list(self.settings.dagster_home.glob("ui-address-*"))

    @property
    def file(self) -> Path:
        (file,) = self.files
        return file

    def address(self) -> str:
        """The newest address, which holds a token that was not used."""
        return self.file.read_text(encoding="utf-8").strip()

    @property
    def page(self) -> Page:
        return Page(port_of(self.address()))

    def cookie(self) -> str:
        before = self.address()
        opened = self.page.get(before.removeprefix(f"http://{self.page.host}"))
        assert (opened.status, goes_to(opened)) == (200, "/")
        wait_for(lambda: self.address() != before, 10, "the next address")
        return opened.cookie


@contextmanager
def churn_ui(settings: Settings) -> Iterator[Started]:
    log_path = settings.home / "ui.log"
    with log_path.open("wb") as log:
        running = subprocess.Popen(
            [str(BIN / "churn"), "ui", "--port", "0"],
            env=environment(settings),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    started = Started(settings, running, log_path)
    try:
        wait_for(lambda: started.files or running.poll() is not None, 120, "churn ui")
        assert running.poll() is None, log_path.read_text(encoding="utf-8")
        yield started
    finally:
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)
        running.wait()


@contextmanager
def dagsters_own(home: Path) -> Iterator[Page]:
    """`dagster-webserver` by itself, without anything to run."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        bare = Page(probe.getsockname()[1])
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n", encoding="utf-8")
    with (home / "log").open("wb") as log:
        running = subprocess.Popen(
            [str(BIN / "dagster-webserver"), "--empty-workspace", "-h", "127.0.0.1", "-p", str(bare.port)],
            env=environment(Settings(home=home), DAGSTER_HOME=str(home)),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def is_up() -> bool:
        try:
            return bare.get("/server_info").status == 200
        except OSError:
            return False

    try:
        wait_for(is_up, 120, "Dagster's own web server")
        yield bare
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    with churn_ui(Settings(home=tmp_path_factory.mktemp("ui"))) as started:
        yield started


def test_dagster_carries_out_what_any_page_sends_by_a_link_and_the_guard_does_not(ui: Started, tmp_path: Path) -> None:
    """Why there is a guard: the claim about Dagster's own web server stands in docs/operations.md."""
    link = f"/graphql?query={quote(RELOAD)}"
    foreign = {"Host": "evil.example", **EVIL}
    with dagsters_own(tmp_path) as bare:
        assert json.loads(bare.get(link, **foreign).body)["data"]["reloadWorkspace"]["__typename"] == "Workspace"
        assert bare.web_socket(**EVIL) == 101
    cookie = ui.cookie()
    for headers, status in (
        (foreign, 403),
        (EVIL, 403),
        ({"Host": "evil.example"}, 403),
        ({"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors", "Sec_Fetch_Dest": "image"}, 403),
        ({}, 405),
    ):
        assert ui.page.get(link, Cookie=cookie, **headers).status == status, headers
    assert ui.page.get(link).status == 401
    assert ui.page.web_socket(Cookie=cookie, **EVIL) == 403
    assert ui.page.web_socket(Cookie=cookie, Host="evil.example") == 403
    assert ui.page.web_socket() == 403
    assert ui.page.web_socket(Cookie=cookie, Origin=f"http://{ui.page.host}") == 101
    own = ui.page.ask(RELOAD, cookie, Origin=f"http://{ui.page.host}")
    assert json.loads(own.body)["data"]["reloadWorkspace"]["__typename"] == "Workspace"


def test_the_address_is_for_one_person_and_works_once(ui: Started) -> None:
    address = ui.address()
    path = address.removeprefix(f"http://{ui.page.host}")
    assert re.fullmatch(r"/login\?token=[\w-]{43}", path)
    assert stat.S_IMODE(ui.file.stat().st_mode) == 0o600
    assert ui.page.get(path).status == 200
    assert ui.page.get(path).status == 401
    wait_for(lambda: ui.address() != address, 10, "the next address")


def test_the_daemon_runs_beside_the_page_and_both_know_the_jobs_of_the_home(ui: Started) -> None:
    cookie = ui.cookie()

    def asked(query: str) -> dict:
        return json.loads(ui.page.ask(query, cookie).body)["data"]

    def healthy() -> bool:
        answer = asked("{ instance { daemonHealth { allDaemonStatuses { required healthy } } } }")
        statuses = answer["instance"]["daemonHealth"]["allDaemonStatuses"]
        return all(status["healthy"] for status in statuses if status["required"])

    wait_for(healthy, 120, "the daemon")
    locations = asked(
        "{ workspaceOrError { ... on Workspace { locationEntries { name loadStatus locationOrLoadError { __typename } } } } }"
    )
    assert locations["workspaceOrError"]["locationEntries"] == [
        {"name": "churn_pipeline", "loadStatus": "LOADED", "locationOrLoadError": {"__typename": "RepositoryLocation"}}
    ]


def test_a_browser_is_let_in_by_the_address_and_then_works_with_dagsters_page(ui: Started) -> None:
    # CHURN_PICTURES names a folder where it shows itself.
    with headless() as browser, browser.new_context(viewport={"width": 1280, "height": 800}) as context:
        page: BrowserPage = context.new_page()
        failed: list[str] = []
        page.on(
            "response", lambda answer: failed.append(f"{answer.status} {answer.url}") if answer.status >= 400 else None
        )
        sockets: list[str] = []
        page.on("websocket", lambda opened: sockets.append(opened.url))
        host = ui.page.host
        page.goto(f"http://{host}/runs")
        assert "churn ui" in page.inner_text("main")
        assert failed == [f"401 http://{host}/runs"]
        failed.clear()
        page.goto(ui.address())
        # The token is gone from the bar, and from the history.
        page.wait_for_url(re.compile(rf"^http://{re.escape(host)}/(?!login)"))
        page.get_by_text("Runs", exact=True).first.wait_for(timeout=60_000)
        assert failed == []
        assert sockets == [f"ws://{host}/graphql"]
        (cookie,) = context.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        assert page.evaluate("document.cookie") == ""

        # Another site of this machine: its links work, and its requests reach nothing.
        other = f"http://localhost:{ui.page.port}"
        page.goto(f"{other}/health")
        page.set_content(f'<a href="http://{host}/locations">go</a>')
        page.click("a")
        page.wait_for_url(f"http://{host}/locations")
        page.get_by_text("churn_pipeline").first.wait_for(timeout=60_000)
        if folder := os.environ.get("CHURN_PICTURES"):
            page.screenshot(path=Path(folder) / "ui.png")
        page.goto(f"{other}/health")
        failed.clear()
        page.evaluate(
            """async (address) => {
                const ask = (how) => fetch(address, {credentials: 'include', mode: 'no-cors', ...how})
                await ask({})
                await ask({method: 'POST', body: '{}'})
            }""",
            f"http://{host}/graphql?query={quote(RELOAD)}",
        )
        assert [line.split()[0] for line in failed] == ["403", "403"]


def test_no_token_and_no_cookie_is_in_what_it_says(ui: Started) -> None:
    token, cookie = ui.address().split("=")[1], ui.cookie()
    assert ui.page.ask("{ version }", cookie).status == 200
    output = ui.log.read_text(encoding="utf-8")
    assert str(ui.file) in output
    assert token not in output
    assert cookie.split("=")[1] not in output
    assert "token=" not in output


def test_a_port_that_is_taken_is_said_in_one_line_and_the_address_of_its_holder_stays(ui: Started) -> None:
    port, address = str(ui.page.port), ui.address()
    done = subprocess.run(
        [str(BIN / "churn"), "ui", "--port", port],
        env=environment(ui.settings),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    problem = f"Port {port} of 127.0.0.1 cannot be had (Address already in use); name another with --port"
    assert done.stderr == f"churn: {problem}\n"
    assert ui.address() == address


def test_the_signal_to_end_ends_it_whole(ui: Started) -> None:
    """The last of this file: it ends the server of the others."""
    ui.process.send_signal(signal.SIGTERM)
    assert ui.process.wait(60) == 0
    assert ui.files == []
    mark = f"DAGSTER_HOME={ui.settings.dagster_home}".encode()

    def gone() -> bool:
        return not any(mark in _environment(folder) for folder in Path("/proc").iterdir() if folder.name.isdigit())

    wait_for(gone, 60, "everything that it started")
    assert "Traceback" not in ui.log.read_text(encoding="utf-8")


def _environment(folder: Path) -> list[bytes]:
    try:
        return (folder / "environ").read_bytes().split(b"\0")
    except OSError:
        return []
