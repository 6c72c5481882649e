"""A second application under a path of the first: MLflow's server, which asks nobody who they are, behind the same guard as Dagster's."""

from __future__ import annotations

import asyncio
import http.client
from urllib.parse import quote, urlsplit

from churn_pipeline.core.serving import App, Message, Receive, Scope, Send

# Of one connection, and not of what it carries (RFC 9110, 7.6.1); and what only the guard has to know.
_CONNECTION = {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
_NOT_PASSED_ON = _CONNECTION | {"host", "cookie", "origin", "referer", "content-length"}
_NOT_PASSED_BACK = _CONNECTION | {"set-cookie", "server", "date"}
_TIMEOUT_SECONDS = 120
_BODY_BYTES = 32 * 1024 * 1024
_CHUNK_BYTES = 64 * 1024


class Beside:
    """Hands requests under a prefix on to another server, and all others to the application.

    Args:
        app: for all other paths.
        prefix: such as ``/mlflow``; the server sees paths without it.
        server: its address, ``http://HOST:PORT``.
    """

    def __init__(self, app: App, prefix: str, server: str) -> None:
        self._app = app
        self._prefix = prefix
        parts = urlsplit(server)
        self._host, self._port = parts.hostname or "", parts.port or 80

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers from one or the other."""
        path = str(scope.get("path", ""))
        if scope["type"] != "http" or not (path == self._prefix or path.startswith(f"{self._prefix}/")):
            await self._app(scope, receive, send)
        elif path == self._prefix:
            # The page there names its parts relative to itself.
            await _short(send, 308, "", [(b"location", f"{self._prefix}/".encode())])
        else:
            await self._hand_on(path.removeprefix(self._prefix), scope, receive, send)

    async def _hand_on(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _body(receive)
        if body is None:
            await _short(send, 413, "This is more than the page sends.")
            return
        query = scope.get("query_string", b"").decode("latin-1")
        target = quote(path, safe="/:@!$&'()*+,;=~") + (f"?{query}" if query else "")
        headers = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in scope["headers"]
            if name.decode("latin-1").lower() not in _NOT_PASSED_ON
        }
        connection = http.client.HTTPConnection(self._host, self._port, timeout=_TIMEOUT_SECONDS)

        def ask() -> http.client.HTTPResponse:
            connection.request(scope["method"], target, body or None, headers)
            return connection.getresponse()

        try:
            try:
                answer = await asyncio.to_thread(ask)
            except (OSError, http.client.HTTPException):
                await _short(send, 502, "The server behind this page does not answer.")
                return
            passed = [
                (name.lower().encode("latin-1"), value.encode("latin-1"))
                for name, value in answer.getheaders()
                if name.lower() not in _NOT_PASSED_BACK
            ]
            if path != "/":
                # Whoever stored a page as a file there must not have it run beside Dagster's: alone in a window it has no rights.
                passed.append((b"content-security-policy", b"sandbox"))
            await send({"type": "http.response.start", "status": answer.status, "headers": passed})
            while chunk := await asyncio.to_thread(answer.read, _CHUNK_BYTES):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            connection.close()


async def _body(receive: Receive) -> bytes | None:
    body = bytearray()
    while True:
        message: Message = await receive()
        body += message.get("body", b"")
        if len(body) > _BODY_BYTES:
            return None
        if not message.get("more_body", False):
            return bytes(body)


async def _short(send: Send, status: int, text: str, headers: list[tuple[bytes, bytes]] | None = None) -> None:
    given = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(text)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": given + (headers or [])})
    await send({"type": "http.response.body", "body": text.encode()})
