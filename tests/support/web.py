"""Requests over loopback as they come, with whatever headers; urllib and browsers would put in some of their own."""

from __future__ import annotations

import http.client
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

import uvicorn
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect


@dataclass(frozen=True)
class Answer:
    """What came back; every header by its name in small letters."""

    status: int
    headers: dict[str, str]
    body: str

    @property
    def cookie(self) -> str:
        """What a browser sends back."""
        return self.headers["set-cookie"].split(";")[0]


@dataclass(frozen=True)
class Page:
    """A server on a port of this machine."""

    port: int

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def send(self, method: str, path: str, body: str = "", **headers: str) -> Answer:
        """One request. Header names are written with _ for -; `Host` may be given as well."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.putrequest(method, path, skip_host="Host" in given, skip_accept_encoding=True)
            for name, value in given.items():
                connection.putheader(name, value)
            if body:
                connection.putheader("Content-Length", str(len(body.encode())))
            connection.endheaders(body.encode() or None)
            answer = connection.getresponse()
            # Several of a name are one, divided by commas.
            headers_of = {name.lower(): ", ".join(answer.headers.get_all(name, [])) for name in answer.headers}
            return Answer(answer.status, headers_of, answer.read().decode("utf-8", "replace"))
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        return self.send("GET", path, **headers)

    def form(self, path: str, fields: Mapping[str, str], **headers: str) -> Answer:
        """What a browser sends of a form."""
        return self.send("POST", path, urlencode(fields), Content_Type="application/x-www-form-urlencoded", **headers)

    def ask(self, query: str, cookie: str, **headers: str) -> Answer:
        """GraphQL as Dagster's own page asks it."""
        body = json.dumps({"query": query})
        return self.send("POST", "/graphql", body, Cookie=cookie, **{"Content_Type": "application/json", **headers})

    def web_socket(self, path: str = "/graphql", **headers: str) -> int:
        """What a WebSocket's upgrade is answered: 101 where there is one now."""
        host = headers.pop("Host", self.host)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        origin = given.pop("Origin", None)
        with socket.create_connection(("127.0.0.1", self.port), 60) as own:
            try:
                # The name in the address becomes the Host.
                with connect(
                    f"ws://{host}{path}",
                    sock=own,
                    origin=origin,  # type: ignore[arg-type]
                    additional_headers=given,
                    subprotocols=["graphql-ws"],  # type: ignore[list-item]
                    proxy=None,
                ):
                    return 101
            except InvalidStatus as refused:
                return refused.response.status_code


def port_of(address: str) -> int:
    port = urlsplit(address).port
    assert port is not None
    return port


def goes_to(answer: Answer) -> str:
    """Where a page sends whoever opened it."""
    match = re.search(r'http-equiv="refresh" content="0; url=([^"]*)"', answer.body)
    assert match, answer.body
    return match[1].replace("&amp;", "&")


@contextmanager
def served(make: Callable[[int], Any]) -> Iterator[Page]:
    """An ASGI application on a real server in a thread; it is made when its port is known."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(16)
    port = listener.getsockname()[1]
    server = uvicorn.Server(
        uvicorn.Config(make(port), log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=1)
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        deadline = time.monotonic() + 30
        while not server.started:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield Page(port)
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()
