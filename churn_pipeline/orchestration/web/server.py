"""Dagster's web server behind the guard: on this machine with its daemon, or in the stack beside the other services."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from churn_pipeline.core.errors import ChurnError, InputError
from churn_pipeline.core.json_text import json_text
from churn_pipeline.core.serving import end_on_signals, listening
from churn_pipeline.core.settings import Settings, shipped
from churn_pipeline.orchestration.web.beside import Beside
from churn_pipeline.orchestration.web.guard import LOGIN, Address, Entrance, Guard, loopback_addresses
from churn_pipeline.orchestration.web.sessions import Login, OneTimeToken

if TYPE_CHECKING:
    import dagster as dg

PASSWORD_CHARACTERS = 12
MLFLOW = "/mlflow"
# How often the page asks for news, in milliseconds; and as `dagster-webserver` has it, what it may ask of the database.
_POLL_MILLISECONDS = 2000
_STATEMENT_MILLISECONDS, _RECYCLE_SECONDS, _OVERFLOW = 15_000, 3600, 20
# Whoever watches the page keeps a WebSocket open, which nothing else would end.
_STOP_SECONDS = 5
_DAEMON_STOP_SECONDS = 30


def serve_home(settings: Settings, port: int, tell: Callable[[str], None]) -> None:
    """Serves the Dagster UI of a home on this machine, with the schedule's daemon, until Ctrl-C or SIGTERM.

    Args:
        settings: the home; `prepare_home` has been there.
        port: of 127.0.0.1; 0 takes a free one.
        tell: called with the address that opens the page, and with a new one whenever it was used. It holds a token: no log may see it.

    Raises:
        ChurnError: the port is taken, or the daemon ended.
    """
    import dagster as dg

    os.environ.update(CHURN_HOME=str(settings.home), DAGSTER_HOME=str(settings.dagster_home))
    end_on_signals()
    with listening(port) as listener, contextlib.suppress(KeyboardInterrupt), contextlib.ExitStack() as stack:
        own_port = listener.getsockname()[1]
        addresses = [*loopback_addresses(own_port), *_configured(settings)]
        token = OneTimeToken()

        def tell_address() -> None:
            tell(f"{addresses[0].origin}{LOGIN}?token={token.value}")

        instance = stack.enter_context(dg.DagsterInstance.from_config(str(settings.dagster_home)))
        workspace = stack.enter_context(_code_server(instance))
        daemon = stack.enter_context(_daemon(workspace))
        app = stack.enter_context(_dagster_app(instance, workspace))
        guard = Guard(app, addresses, Entrance(token=token, opened=tell_address), f"churn_session_{own_port}")
        tell_address()
        _run(guard, listener, lambda: daemon.poll() is not None)
        if daemon.poll() is not None:
            raise ChurnError(f"Dagster's daemon ended with {daemon.returncode}; what it said stands above")


def serve_stack(settings: Settings, host: str, port: int, workspace: Path) -> None:
    """Serves the Dagster UI of the stack behind its login, with MLflow's page under /mlflow/, until SIGTERM.

    Args:
        settings: with the login, the addresses and MLflow's server.
        host: where to listen.
        port: where to listen.
        workspace: names the code server.

    Raises:
        InputError: there is no login, or its password is too short.
        ChurnError: the port is taken.
    """
    import dagster as dg

    login = _login(settings)
    end_on_signals()
    with listening(port, host) as listener, contextlib.suppress(KeyboardInterrupt), contextlib.ExitStack() as stack:
        addresses = [*loopback_addresses(port), *_configured(settings)]
        instance = stack.enter_context(dg.DagsterInstance.get())
        app = stack.enter_context(_dagster_app(instance, workspace))
        if settings.mlflow_tracking_uri:
            app = Beside(app, MLFLOW, settings.mlflow_tracking_uri)
        _run(Guard(app, addresses, Entrance(login=login), f"churn_session_{port}"), listener)


def _login(settings: Settings) -> Login:
    password = settings.ui_password.get_secret_value() if settings.ui_password else ""
    if len(password) < PASSWORD_CHARACTERS:
        raise InputError(
            f"CHURN_UI_PASSWORD needs {PASSWORD_CHARACTERS} characters or more; 'make env' writes one that nobody guesses"
        )
    return Login(settings.ui_user, password)


def _configured(settings: Settings) -> list[Address]:
    given = [settings.dagster_url or "", *(settings.ui_addresses or "").split(",")]
    return [Address.parse(text) for text in given if text.strip()]


@contextlib.contextmanager
def _code_server(instance: dg.DagsterInstance) -> Iterator[Path]:
    """One code server for page and daemon, on a socket that only this user may open; the workspace that names it."""
    from dagster._cli.proxy_server_manager import ProxyServerManager
    from dagster._core.workspace.load_target import WorkspaceFileTarget

    target = WorkspaceFileTarget([str(shipped("workspace.yaml"))])
    with (
        ProxyServerManager(instance, target, code_server_log_level="warning") as servers,
        tempfile.TemporaryDirectory(prefix="churn_ui_") as folder,
    ):
        workspace = Path(folder) / "workspace.yaml"
        # JSON is YAML.
        workspace.write_text(json_text({"load_from": servers.get_code_server_specs()}), encoding="utf-8")
        yield workspace


@contextlib.contextmanager
def _daemon(workspace: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "dagster._daemon", "run", "--log-level", "warning", "-w", str(workspace)]
    daemon = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        yield daemon
    finally:
        daemon.terminate()
        try:
            daemon.wait(_DAEMON_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()


@contextlib.contextmanager
def _dagster_app(instance: dg.DagsterInstance, workspace: Path) -> Iterator[Any]:
    from dagster._core.workspace.context import WorkspaceProcessContext
    from dagster._core.workspace.load_target import WorkspaceFileTarget
    from dagster_webserver.app import create_app_from_workspace_process_context
    from dagster_webserver.version import __version__

    instance.optimize_for_webserver(_STATEMENT_MILLISECONDS, _RECYCLE_SECONDS, _OVERFLOW)
    target = WorkspaceFileTarget([str(workspace)])
    with WorkspaceProcessContext(
        instance, version=__version__, workspace_load_target=target, code_server_log_level="warning"
    ) as context:
        yield create_app_from_workspace_process_context(context, live_data_poll_rate=_POLL_MILLISECONDS)


def _run(app: Guard, listener: socket.socket, is_over: Callable[[], bool] = lambda: False) -> None:
    import uvicorn

    async def look() -> None:
        if is_over():
            server.should_exit = True

    config = uvicorn.Config(
        app,
        log_level="warning",
        # An address may hold a token.
        access_log=False,
        # Whoever asks could name any address of their own, and wrong logins are counted by it.
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=_STOP_SECONDS,
        callback_notify=look,
        timeout_notify=1,
    )
    server = uvicorn.Server(config)
    server.run(sockets=[listener])
