"""`churn serve`: the application on a real server, until it is told to end."""

from __future__ import annotations

import contextlib
import gc
import logging
import sys
from collections.abc import Callable

import uvicorn

from churn_pipeline.api.app import build_app
from churn_pipeline.api.publications import Publications
from churn_pipeline.core.errors import InputError
from churn_pipeline.core.serving import end_on_signals, is_loopback, listening
from churn_pipeline.core.settings import Settings
from churn_pipeline.customers.stores.published import Publication

HOST, PORT = "127.0.0.1", 8787
# Requests take milliseconds; what takes longer to send has no reader.
_STOP_SECONDS = 5


def serve(settings: Settings, host: str, port: int, tell: Callable[[str], None]) -> None:
    """Serves what is published of a home until Ctrl-C or SIGTERM.

    Args:
        settings: the home. Nothing in it is written but details of defects, and nothing needs to be published yet.
        host: where to listen. Only with tokens is it anywhere but on this machine.
        port: where to listen; 0 takes a free one.
        tell: called with the address when requests are answered there.

    Raises:
        InputError: others could reach it, and there are no tokens.
        ChurnError: the port cannot be had.
    """
    if not is_loopback(host) and not settings.tokens_of_api:
        raise InputError(
            f"on {host} others could ask without a token: set CHURN_API_TOKENS (docs/api.md), or leave --host out to answer this machine "
            "only"
        )
    _log_to_stderr()
    app = build_app(settings, Publications(settings, _opened))
    end_on_signals()
    with listening(port, host) as listener, contextlib.suppress(KeyboardInterrupt):
        name, own_port = listener.getsockname()[:2]
        tell(f"http://{f'[{name}]' if ':' in name else name}:{own_port}")
        config = uvicorn.Config(
            app,
            log_level="warning",
            # The gate writes its own line, without the path: that names a customer.
            access_log=False,
            # Whoever asks could name any address of their own, and requests without a token are counted by it.
            proxy_headers=False,
            server_header=False,
            lifespan="on",
            timeout_graceful_shutdown=_STOP_SECONDS,
        )
        uvicorn.Server(config).run(sockets=[listener])


def _opened(settings: Settings) -> Publication:
    """Opens what is published. What stays for a week is taken out of the garbage collector's rounds, which would stop requests to look through
    it; before the next one it is put back, so that the former one goes."""
    gc.unfreeze()
    gc.collect()
    publication = Publication.open(settings)
    gc.freeze()
    return publication


def _log_to_stderr() -> None:
    """One line of JSON a request, for whoever collects what a service says."""
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("churn.api")
    logger.handlers = [lines]
    logger.setLevel(logging.INFO)
    logger.propagate = False
