"""Listening for requests: the socket, the signals that end it, and whether a name is one that a machine gives itself."""

from __future__ import annotations

import contextlib
import ipaddress
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any

from churn_pipeline.core.errors import ChurnError

# What ASGI applications are made of.
Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


@contextlib.contextmanager
def listening(port: int, host: str = "127.0.0.1") -> Iterator[socket.socket]:
    """A socket that listens, closed afterwards.

    Args:
        port: 0 takes a free one.
        host: an address of this machine, of either family, or a name of it.

    Raises:
        ChurnError: it cannot be had.
    """
    with contextlib.ExitStack() as stack:
        try:
            family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            listener = stack.enter_context(socket.socket(family, kind))
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(128)
        except OSError as error:
            raise ChurnError(
                f"Port {port} of {host} cannot be had ({error.strerror}); name another with --port"
            ) from None
        yield listener


def end_on_signals() -> None:
    """SIGTERM ends what Ctrl-C ends, and in the same way. A background job of a shell ignores both until somebody handles them."""
    for which in (signal.SIGINT, signal.SIGTERM):
        signal.signal(which, signal.default_int_handler)


def is_loopback(host: str) -> bool:
    """Whether a host, without its port, is a name or an address that reaches this machine only."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"
