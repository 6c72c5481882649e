"""What every request passes: its id, who may ask and how often, counting and one line in the log.

Without tokens only this machine is answered, and then, as at `churn ui`, only under a name of this machine (a browser that was tricked into
taking it for evil.example sends that name) and to no page of another origin. With tokens the name does not matter: no browser sends a token
by itself.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from urllib.parse import unquote, urlsplit

from churn_pipeline.api import problems
from churn_pipeline.api.limits import MINUTE, Buckets, Grant
from churn_pipeline.api.metrics import Metrics
from churn_pipeline.api.problems import Refused
from churn_pipeline.api.routes import SLASH
from churn_pipeline.api.tokens import Tokens
from churn_pipeline.core.json_text import json_text
from churn_pipeline.core.serving import App, Message, Receive, Scope, Send, is_loopback

_READING = ("GET", "HEAD")
_METHODS = ("GET", "HEAD", "OPTIONS")
_ALLOW = ", ".join(_METHODS)
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
# What tells nothing of anybody: probes ask it, and people read it, without a token.
_OPEN = ("/health", "/ready", "/openapi.json", "/docs")
_LIMITED = "/v1/"
OTHER = "other"
Header = tuple[bytes, bytes]
log = logging.getLogger("churn.api")


class Gate:
    """The middleware.

    Args:
        app: what it stands before.
        routes: templates of its paths.
        tokens: who may ask.
        buckets: how often; None is no limit.
        metrics: where requests are counted.
        defect: called with an error that nobody expected, and the id of its request.
        new_id: makes the id of a request that brings none.
    """

    def __init__(
        self,
        app: App,
        routes: Iterable[str],
        *,
        tokens: Tokens,
        buckets: Buckets | None,
        metrics: Metrics,
        defect: Callable[[Exception, str], None],
        new_id: Callable[[], str] = lambda: secrets.token_hex(16),
    ) -> None:
        self._app = app
        self._routes = [(route, re.compile(re.sub(r"\{\w+\}", "[^/]+", route), re.DOTALL)) for route in routes]
        self._tokens = tokens
        self._buckets = buckets
        self._metrics = metrics
        self._defect = defect
        self._new_id = new_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request itself, or hands it on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self._answer(_Request(scope, self._new_id), receive, send)

    async def _answer(self, request: _Request, receive: Receive, send: Send) -> None:
        start = time.perf_counter()
        route = next((route for route, pattern in self._routes if pattern.fullmatch(request.path)), None)
        answer = _Answer(request, send)
        try:
            self._admit(request, route, answer)
            if request.method == "OPTIONS":
                await answer.whole(204, [(b"allow", _ALLOW.encode())])
            else:
                await self._app(request.inner_scope(), receive, answer.send)
        except Refused as refused:
            await answer.problem(refused)
        except Exception as error:
            self._defect(error, request.id)
            if answer.status is None:
                await answer.problem(Refused(problems.DEFECT, problems.DEFECT.example))
        finally:
            seconds = time.perf_counter() - start
            # Cancelled before anything was said: nobody waits any more.
            status = answer.status or 499
            self._metrics.count(route or OTHER, status, seconds)
            log.info(
                json_text(
                    {
                        "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
                        "request_id": request.id,
                        # The template and not the path: that names a customer.
                        "method": request.method if request.method in _METHODS else OTHER,
                        "route": route or OTHER,
                        "status": status,
                        "milliseconds": round(seconds * 1000, 2),
                        "token": request.holder,
                    }
                )
            )

    def _admit(self, request: _Request, route: str | None, answer: _Answer) -> None:
        """Raises what keeps a request out."""
        if not self._tokens and not request.is_own:
            raise Refused(
                problems.FOREIGN,
                "Without tokens this server answers programs of this machine, under its own name, 127.0.0.1 or localhost.",
            )
        if route is not None and request.method not in _METHODS:
            raise Refused(problems.WRONG_METHOD, problems.WRONG_METHOD.example, {"Allow": _ALLOW})
        if route in _OPEN or request.method == "OPTIONS":
            if route is None:
                raise Refused(problems.UNKNOWN_ROUTE, problems.UNKNOWN_ROUTE.example)
            return
        if self._tokens:
            request.holder = self._tokens.holder(request.headers(b"authorization"))
            if request.holder is None:
                # Of one address, so that whoever guesses is slowed down and keeps no token's holder out.
                self._take(f"address {request.client}", answer)
                raise Refused(problems.NO_TOKEN, problems.NO_TOKEN.example, {"WWW-Authenticate": "Bearer"})
        if request.path.startswith(_LIMITED):
            self._take(f"token {request.holder}" if request.holder else f"address {request.client}", answer)
        if route is None:
            raise Refused(problems.UNKNOWN_ROUTE, problems.UNKNOWN_ROUTE.example)

    def _take(self, name: str, answer: _Answer) -> None:
        if self._buckets is None:
            return
        grant = self._buckets.take(name)
        answer.headers.extend(_limit_headers(self._buckets.a_minute, grant))
        if not grant.is_granted:
            seconds = "1 second" if grant.seconds == 1 else f"{grant.seconds} seconds"
            raise Refused(
                problems.TOO_MANY,
                f"{self._buckets.a_minute} requests a minute are used up; ask again in {seconds}.",
                {"Retry-After": str(grant.seconds)},
            )


class _Request:
    """What the gate looks at."""

    def __init__(self, scope: Scope, new_id: Callable[[], str]) -> None:
        self._scope = scope
        self.method = str(scope["method"])
        self.path = _path(scope)
        self.client = str((scope.get("client") or ("unknown",))[0])
        self.holder: str | None = None
        given = self.headers(b"x-request-id")
        self.id = given[0].decode() if len(given) == 1 and _REQUEST_ID.fullmatch(given[0]) else new_id()

    def headers(self, name: bytes) -> list[bytes]:
        """All headers of a name."""
        return [value for header, value in self._scope["headers"] if header == name]

    @property
    def is_own(self) -> bool:
        """Whether it was sent to a name of this machine, and by no page of another origin."""
        hosts = [value.decode("latin-1") for value in self.headers(b"host")]
        if len(hosts) != 1 or not is_loopback(_host(hosts[0])):
            return False
        origins = {value.decode("latin-1").lower() for value in self.headers(b"origin")}
        if origins - {f"http://{hosts[0].lower()}"}:
            return False
        fetched_from = {value.lower() for value in self.headers(b"sec-fetch-site")}
        is_link = self.headers(b"sec-fetch-mode") == [b"navigate"] and self.headers(b"sec-fetch-dest") == [b"document"]
        return is_link or not fetched_from - {b"same-origin", b"none"}

    def inner_scope(self) -> Scope:
        """What the application sees: a HEAD is answered as a GET whose body is left out."""
        method = "GET" if self.method in _READING else self.method
        return {**self._scope, "method": method, "path": self.path, "request_id": self.id}


class _Answer:
    """What goes back, with the headers of every answer."""

    def __init__(self, request: _Request, send: Send) -> None:
        self._request = request
        self._send = send
        self.status: int | None = None
        self.headers: list[Header] = [
            (b"x-request-id", request.id.encode()),
            (b"x-content-type-options", b"nosniff"),
        ]

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            given = list(message["headers"])
            if not any(name == b"cache-control" for name, _ in given):
                # Whoever was forgotten is in no cache.
                given.append((b"cache-control", b"no-store"))
            message = {**message, "headers": [*given, *self.headers]}
        elif self._request.method == "HEAD":
            message = {**message, "body": b""}
        await self._send(message)

    async def whole(self, status: int, headers: Iterable[Header], body: bytes = b"") -> None:
        """A whole answer."""
        # RFC 9110: without a length where there is no content.
        length = [] if status == 204 else [(b"content-length", str(len(body)).encode())]
        await self.send({"type": "http.response.start", "status": status, "headers": [*headers, *length]})
        await self.send({"type": "http.response.body", "body": body})

    async def problem(self, refused: Refused) -> None:
        """A problem."""
        headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in refused.headers.items()]
        media_type = (b"content-type", problems.MEDIA_TYPE.encode())
        await self.whole(refused.kind.status, [media_type, *headers], refused.body(self._request.id))


def _path(scope: Scope) -> str:
    """The path, decoded segment by segment, so that a slash within an id divides nothing."""
    raw = bytes(scope.get("raw_path") or b"").partition(b"?")[0]
    if b"%2f" not in raw.lower():
        return str(scope["path"])
    return "/".join(unquote(part).replace("/", SLASH) for part in raw.decode("ascii", "replace").split("/"))


def _host(header: str) -> str:
    """A Host header without its port; nothing where it cannot be read."""
    try:
        parts = urlsplit(f"//{header}")
        return (parts.hostname or "") if parts.netloc == header and "@" not in header else ""
    except ValueError:
        return ""


def _limit_headers(a_minute: int, grant: Grant) -> list[Header]:
    """As the draft of the IETF's HTTPAPI group has them (RateLimit header fields for HTTP)."""
    return [
        (b"ratelimit-policy", f'"minute";q={a_minute};w={MINUTE}'.encode()),
        (b"ratelimit", f'"minute";r={grant.remaining};t={grant.seconds}'.encode()),
    ]
