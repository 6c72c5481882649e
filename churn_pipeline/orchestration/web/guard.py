"""ASGI middleware that stands before a web application which trusts whoever reaches it.

A request passes when it was sent to a name of ours (Host: a browser that was tricked into taking this machine for evil.example says so),
by a page of ours (Origin, Sec-Fetch-Site: any page may send requests anywhere), and belongs to a session. WebSockets are held to the same.
Dagster's GraphQL carries out mutations that come by GET, as links do; here it is asked by POST only.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote, urlsplit

from churn_pipeline.core.errors import InputError
from churn_pipeline.core.serving import App, Message, Receive, Scope, Send
from churn_pipeline.core.templating import templates
from churn_pipeline.orchestration.web.sessions import SESSION_SECONDS, Attempts, Login, OneTimeToken, Sessions

if TYPE_CHECKING:
    from jinja2 import Template

LOGIN, LOGOUT, HEALTH = "/login", "/logout", "/health"
_GRAPHQL = "/graphql"
_DEFAULT_PORTS = {"http": "80", "https": "443"}
# A name and a password, and where to go on.
_FORM_BYTES = 8192
_log = logging.getLogger("churn.web")


@dataclass(frozen=True)
class Address:
    """A name under which browsers reach the page."""

    scheme: str
    host: str

    @classmethod
    def parse(cls, text: str) -> Address:
        """Reads ``http://HOST:PORT`` or ``https://HOST``.

        Raises:
            InputError: it is neither.
        """
        parts = urlsplit(text.strip())
        if (
            parts.scheme not in _DEFAULT_PORTS
            or not parts.hostname
            or parts.path not in ("", "/")
            or "@" in parts.netloc
        ):
            raise InputError(f"'{text}' is no address of a page; write one such as https://dagster.example.com")
        return cls(parts.scheme, _without_default_port(parts.scheme, parts.netloc))

    @property
    def origin(self) -> str:
        return f"{self.scheme}://{self.host}"


def loopback_addresses(port: int) -> list[Address]:
    """The names that this machine gives itself."""
    return [Address.parse(f"http://{host}:{port}") for host in ("127.0.0.1", "localhost", "[::1]")]


@dataclass(frozen=True)
class Entrance:
    """How one gets in: by a one-time token, by a login, or by either.

    Attributes:
        token: of addresses that are told to one person.
        login: what the page asks for.
        opened: called when the token has let somebody in.
    """

    token: OneTimeToken | None = None
    login: Login | None = None
    opened: Callable[[], None] = lambda: None


class Guard:
    """The middleware.

    Args:
        app: what it stands before.
        addresses: the names of the page; a request to any other is refused.
        entrance: how one gets in.
        cookie: the cookie's name. Cookies know no ports, so two pages of one machine need two names.
        sessions: of this process.
        attempts: of this process.
    """

    def __init__(
        self,
        app: App,
        addresses: Sequence[Address],
        entrance: Entrance,
        cookie: str = "churn_session",
        sessions: Sessions | None = None,
        attempts: Attempts | None = None,
    ) -> None:
        self._app = app
        self._addresses = addresses
        self._origins = {address.origin for address in addresses}
        self._entrance = entrance
        self._cookie = cookie
        self._sessions = sessions or Sessions()
        self._attempts = attempts or Attempts()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request itself, or hands it on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        request = _Request(scope, self._cookie)
        refusal = self._refusal(request)
        if scope["type"] == "websocket":
            if refusal or not self._sessions.holds(request.session):
                await _close(receive, send)
            else:
                await self._app(scope, *self._while_session_lasts(request.session, receive, send))
        elif refusal:
            await _answer(send, 403, refusal)
        elif request.path == HEALTH:
            await self._answer_health(scope, receive, send)
        elif request.path == LOGIN:
            await self._answer_login(request, receive, send)
        elif request.path == LOGOUT:
            await self._answer_logout(request, send)
        elif not self._sessions.holds(request.session):
            await self._answer_stranger(request, send)
        elif request.path.rstrip("/") == _GRAPHQL and (wrong := _wrong_way_to_ask(request)):
            await _answer(send, *wrong)
        else:
            await self._app(scope, receive, _unframed(send))

    def _refusal(self, request: _Request) -> str | None:
        if self._address(request) is None:
            names = " or ".join(sorted(self._origins))
            return f"This page answers under {names}. Another name has to be set first: CHURN_UI_ADDRESSES (docs/operations.md)."
        if request.origins and not set(request.origins) <= self._origins:
            return "Another page may not ask here."
        # A page of the same machine on another port is same-site, and its requests carry our cookie.
        if request.fetched_from in ("cross-site", "same-site") and not request.is_navigation:
            return "Another page may not ask here."
        return None

    def _address(self, request: _Request) -> Address | None:
        """The name under which a request was sent, where it is one of ours."""
        host = request.host or ""
        return next(
            (address for address in self._addresses if _without_default_port(address.scheme, host) == address.host),
            None,
        )

    async def _answer_stranger(self, request: _Request, send: Send) -> None:
        if not request.wants_page:
            await _answer(send, 401, "There is no session, or it is over: open this page in a browser and log in.")
        elif request.fetched_from == "cross-site":
            # A browser leaves out our cookie when the link stood on another site, such as Slack: the page asks again as ourselves.
            await self._answer_page(send, 200, go_to=f"{LOGIN}?next={quote(request.target, safe='')}")
        else:
            await self._answer_page(send, 401, next_path=request.target)

    async def _answer_login(self, request: _Request, receive: Receive, send: Send) -> None:
        if request.method == "POST":
            await self._answer_form(request, receive, send)
            return
        if request.method != "GET":
            await _answer(send, 405, "Log in by the form of this page.", {"Allow": "GET, POST"})
            return
        given = request.query("token")
        next_path = _own_path(request.query("next"))
        if given and not self._sessions.holds(request.session):
            await self._answer_token(request, given, send)
        elif self._sessions.holds(request.session):
            await _answer(send, 303, "", {"Location": next_path})
        else:
            await self._answer_page(send, 401, next_path=next_path)

    async def _answer_token(self, request: _Request, given: str, send: Send) -> None:
        wait = self._attempts.seconds_to_wait(request.client)
        if wait:
            await self._answer_page(send, 429, problem=_too_many(wait), headers={"Retry-After": str(wait)})
        elif self._entrance.token is not None and self._entrance.token.take(given):
            # Not by a redirect: a browser would not send the new cookie along where the address was opened from another site.
            await self._answer_page(send, 200, go_to="/", headers=self._new_session(request))
            self._entrance.opened()
        else:
            self._attempts.note(request.client)
            _log.warning("A token that is not valid, or not any more, from %s", request.client)
            await self._answer_page(send, 401, problem="This address was used already, or is not of this start.")

    async def _answer_form(self, request: _Request, receive: Receive, send: Send) -> None:
        form = await _form(receive)
        next_path = _own_path(form.get("next", ""))
        wait = self._attempts.seconds_to_wait(request.client)
        if wait:
            await self._answer_page(send, 429, next_path, _too_many(wait), headers={"Retry-After": str(wait)})
        elif self._entrance.login is not None and self._entrance.login.accepts(
            form.get("user", ""), form.get("password", "")
        ):
            await _answer(send, 303, "", {"Location": next_path, **self._new_session(request)})
        else:
            self._attempts.note(request.client)
            # Not the name: people type passwords into the wrong field.
            _log.warning("A wrong login from %s", request.client)
            await self._answer_page(send, 401, next_path, "The name or the password is wrong.")

    async def _answer_logout(self, request: _Request, send: Send) -> None:
        if request.method == "POST":
            self._sessions.end(request.session)
            over = f"{self._cookie}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0"
            await _answer(send, 303, "", {"Location": LOGIN, "Set-Cookie": over})
        else:
            await self._answer_page(send, 200, leaving=True)

    async def _answer_health(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Whether the application answers, and nothing of what it says."""
        statuses: list[int] = []

        async def note(message: Message) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        inner = {**scope, "method": "GET", "path": "/server_info", "raw_path": b"/server_info", "query_string": b""}
        await self._app(inner, receive, note)
        good = statuses == [200]
        await _answer(send, 200 if good else 503, "well" if good else "not well")

    def _new_session(self, request: _Request) -> dict[str, str]:
        self._sessions.end(request.session)
        address = self._address(request)
        secure = "; Secure" if address is not None and address.scheme == "https" else ""
        value = self._sessions.begin()
        return {
            "Set-Cookie": f"{self._cookie}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={SESSION_SECONDS}{secure}"
        }

    def _while_session_lasts(self, session: str | None, receive: Receive, send: Send) -> tuple[Receive, Send]:
        """A WebSocket outlives the request that opened it, and must not outlive its session."""
        closed = False

        async def close_once() -> None:
            nonlocal closed
            if not closed:
                closed = True
                await send({"type": "websocket.close", "code": 1008})

        async def guarded_receive() -> Message:
            message = await receive()
            if message["type"] == "websocket.receive" and not self._sessions.holds(session):
                await close_once()
                return {"type": "websocket.disconnect", "code": 1008}
            return message

        async def guarded_send(message: Message) -> None:
            if closed:
                return
            if self._sessions.holds(session):
                await send(message)
            else:
                await close_once()

        return guarded_receive, guarded_send

    async def _answer_page(
        self,
        send: Send,
        status: int,
        next_path: str = "/",
        problem: str = "",
        go_to: str = "",
        leaving: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        nonce = secrets.token_urlsafe(16)
        text = _page().render(
            asks=self._entrance.login is not None,
            next_path=next_path,
            problem=problem,
            go_to=go_to,
            leaving=leaving,
            login=LOGIN,
            logout=LOGOUT,
            nonce=nonce,
        )
        policy = f"default-src 'none'; style-src 'nonce-{nonce}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
        html = {"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": policy}
        await _answer(send, status, text, {**html, **(headers or {})})


class _Request:
    """What the guard looks at."""

    def __init__(self, scope: Scope, cookie: str) -> None:
        self._headers: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            self._headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        self.method = str(scope.get("method", "GET"))
        self.path = str(scope["path"])
        self._query = scope.get("query_string", b"").decode("latin-1")
        self.client = (scope.get("client") or ("unknown",))[0]
        hosts = self._headers.get("host", [])
        self.host = hosts[0].strip().lower() if len(hosts) == 1 else None
        self.origins = [origin.strip().lower() for origin in self._headers.get("origin", [])]
        self.fetched_from = self._header("sec-fetch-site")
        self.session = self._cookie(cookie)

    @property
    def is_navigation(self) -> bool:
        """Whether somebody follows a link: the answer is shown in a window of its own, and the page with the link sees nothing of it."""
        return (
            self.method in ("GET", "HEAD")
            and self._header("sec-fetch-mode") == "navigate"
            and self._header("sec-fetch-dest") == "document"
        )

    @property
    def wants_page(self) -> bool:
        return self.method == "GET" and "text/html" in self._header("accept") and self.path.rstrip("/") != _GRAPHQL

    @property
    def target(self) -> str:
        """Path and query."""
        return quote(self.path, safe="/:@!$&'()*+,;=~%") + (f"?{self._query}" if self._query else "")

    @property
    def accepts_html(self) -> bool:
        return "text/html" in self._header("accept")

    @property
    def content_type(self) -> str:
        return self._header("content-type").split(";")[0].strip()

    def query(self, name: str) -> str:
        """A value of the query, or nothing."""
        return parse_qs(self._query).get(name, [""])[0]

    def has_query(self, name: str) -> bool:
        return name in parse_qs(self._query, keep_blank_values=True)

    def _header(self, name: str) -> str:
        return ",".join(self._headers.get(name, [])).lower()

    def _cookie(self, name: str) -> str | None:
        for header in self._headers.get("cookie", []):
            for part in header.split(";"):
                try:
                    jar: SimpleCookie = SimpleCookie(part.strip())
                except CookieError:
                    continue
                if name in jar:
                    return jar[name].value
        return None


def _wrong_way_to_ask(request: _Request) -> tuple[int, str, dict[str, str]] | None:
    if request.method == "GET" and request.accepts_html and not request.has_query("query"):
        return None
    if request.method != "POST":
        return 405, "GraphQL is asked by POST.", {"Allow": "POST"}
    if request.content_type not in ("application/json", "application/graphql"):
        # Other types can be sent by a form of any page.
        return 415, "GraphQL is asked in application/json.", {}
    return None


def _without_default_port(scheme: str, host: str) -> str:
    return host.lower().removesuffix(f":{_DEFAULT_PORTS[scheme]}")


def _own_path(path: str) -> str:
    """A path of this page, or its start: whoever made the link must not choose where somebody goes after the login."""
    own = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() and path.isascii()
    return path if own and urlsplit(path).path not in (LOGIN, LOGOUT) else "/"


def _too_many(wait: int) -> str:
    return f"Too many wrong attempts. Wait {wait} seconds, then try again."


@cache
def _page() -> Template:
    return templates(Path(__file__).with_name("templates")).get_template("login.html.j2")


async def _form(receive: Receive) -> dict[str, str]:
    body = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return {}
        body += message.get("body", b"")
        if len(body) > _FORM_BYTES:
            return {}
        if not message.get("more_body", False):
            break
    return {name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}


async def _answer(send: Send, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
    body = text.encode()
    given = {
        "Content-Type": "text/plain; charset=utf-8",
        "Content-Length": str(len(body)),
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        # An address may hold a token; same-origin, because with no-referrer a browser hides from us that our own form asks.
        "Referrer-Policy": "same-origin",
        "X-Frame-Options": "DENY",
        **(headers or {}),
    }
    await send({"type": "http.response.start", "status": status, "headers": list(_encoded(given.items()))})
    await send({"type": "http.response.body", "body": body})


async def _close(receive: Receive, send: Send) -> None:
    """Refuses a WebSocket before it is one: the server answers 403."""
    await receive()
    await send({"type": "websocket.close", "code": 1008})


def _unframed(send: Send) -> Send:
    """Another page must not show this one in a frame, and let people press what they do not see."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            others = [(name, value) for name, value in message.get("headers", []) if name.lower() != b"x-frame-options"]
            message = {**message, "headers": [*others, (b"x-frame-options", b"SAMEORIGIN")]}
        await send(message)

    return sent


def _encoded(headers: Iterable[tuple[str, str]]) -> Iterable[tuple[bytes, bytes]]:
    return ((name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers)
