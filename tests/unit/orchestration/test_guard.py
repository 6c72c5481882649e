"""The guard before a small application, asked over loopback as pages, links, scripts and programs ask. Before Dagster's own application:
tests/integration/test_web_server.py."""

from __future__ import annotations

import hmac
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from churn_pipeline.core.errors import InputError
from churn_pipeline.orchestration.web import sessions as sessions_module
from churn_pipeline.orchestration.web.beside import Beside
from churn_pipeline.orchestration.web.guard import Address, Entrance, Guard, loopback_addresses
from churn_pipeline.orchestration.web.sessions import (
    ATTEMPTS_OF_ALL,
    ATTEMPTS_OF_ONE,
    ATTEMPTS_SECONDS,
    SESSION_SECONDS,
    Attempts,
    Login,
    OneTimeToken,
    Sessions,
)
from tests.support.web import Answer, Page, goes_to, served

USER, PASSWORD = "churn", "a password of the stack"
OUTSIDE = "https://dagster.example.com"
PAGE = {"Accept": "text/html,application/xhtml+xml"}
LINK = {"Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document", **PAGE}


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Inner:
    """What stands behind the guard: it notes what reaches it, and trusts everybody."""

    reached: list[str] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.reached.append(f"{scope['type']} {scope.get('method', '')} {scope['path']}")
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept", "subprotocol": "graphql-ws"})
            while (message := await receive())["type"] == "websocket.receive":
                self.reached.append(message["text"])
                await send({"type": "websocket.send", "text": f"heard {message['text']}"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"inside"})


@dataclass
class Guarded:
    page: Page
    inner: Inner
    clock: Clock
    token: OneTimeToken
    told: list[str]

    def log_in(self, password: str = PASSWORD, user: str = USER, **headers: str) -> Answer:
        return self.page.form("/login", {"user": user, "password": password}, **headers)

    def cookie(self) -> str:
        return self.log_in().cookie


@pytest.fixture
def guarded() -> Iterator[Guarded]:
    """Both entrances, and a name beside those of this machine."""
    inner, clock, token = Inner(), Clock(), OneTimeToken()
    told: list[str] = []

    def make(port: int) -> Guard:
        entrance = Entrance(token, Login(USER, PASSWORD), lambda: told.append(token.value))
        addresses = [*loopback_addresses(port), Address.parse(OUTSIDE)]
        return Guard(inner, addresses, entrance, "session", Sessions(clock), Attempts(clock))

    with served(make) as page:
        yield Guarded(page, inner, clock, token, told)


def test_without_a_session_nothing_reaches_the_application(guarded: Guarded) -> None:
    page = guarded.page
    for path in (
        "/",
        "/graphql",
        "/runs/1",
        "/login/..",
        "//graphql",
        "/GRAPHQL",
        "/static/js/main.js",
        "/download_debug/1",
    ):
        for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"):
            assert page.send(method, path).status == 401, (method, path)
    assert page.send("POST", "/report_asset_materialization/published", "{}").status == 401
    assert page.web_socket() == 403
    made_up = page.get("/", Cookie="session=made-up")
    assert made_up.status == 401
    assert guarded.inner.reached == []


def test_a_login_is_exchanged_for_a_cookie_that_no_script_reads_and_no_other_site_sends(guarded: Guarded) -> None:
    answer = guarded.log_in()
    assert (answer.status, answer.headers["location"]) == (303, "/")
    cookie, *attributes = answer.headers["set-cookie"].split("; ")
    assert re.fullmatch(r"session=[\w-]{43}", cookie)
    assert set(attributes) == {"Path=/", "HttpOnly", "SameSite=Strict", f"Max-Age={SESSION_SECONDS}"}
    assert guarded.page.get("/", Cookie=f"other=1; {cookie}").body == "inside"
    assert guarded.page.web_socket(Cookie=cookie) == 101
    # Behind a proxy that speaks https the cookie never travels without it.
    assert "Secure" in guarded.log_in(Host="dagster.example.com").headers["set-cookie"].split("; ")


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:{port}"]
)
def test_a_request_to_another_name_is_refused_whoever_sends_it(guarded: Guarded, host: str) -> None:
    """A browser whose name server says that evil.example is this machine sends cookies of evil.example, and its name."""
    cookie, named = guarded.cookie(), host.format(port=guarded.page.port)
    for answer in (
        guarded.page.get("/", Host=named, Cookie=cookie),
        guarded.page.ask("mutation { run }", cookie, Host=named),
        guarded.page.get("/health", Host=named),
        guarded.log_in(Host=named),
        guarded.page.get(f"/login?token={guarded.token.value}", Host=named),
    ):
        assert answer.status == 403
        assert "set-cookie" not in answer.headers
    assert guarded.page.web_socket(Host=named, Cookie=cookie) == 403
    assert guarded.inner.reached == []


def test_two_hosts_in_one_request_are_none(guarded: Guarded) -> None:
    cookie = guarded.cookie()
    answer = guarded.page.send("GET", "/", Host=guarded.page.host, HOST="evil.example", Cookie=cookie)
    assert answer.status in (400, 403)
    assert guarded.inner.reached == []


def test_the_names_of_this_machine_and_those_that_were_told_are_answered(guarded: Guarded) -> None:
    cookie, port = guarded.cookie(), guarded.page.port
    for host in (
        f"127.0.0.1:{port}",
        f"localhost:{port}",
        f"LOCALHOST:{port}",
        f"[::1]:{port}",
        "dagster.example.com",
        "dagster.example.com:443",
    ):
        assert guarded.page.get("/", Host=host, Cookie=cookie).status == 200, host


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1:1", "http://dagster.example.com", "http://localhost"]
)
def test_a_request_of_another_page_is_refused_though_it_carries_the_cookie(guarded: Guarded, origin: str) -> None:
    cookie = guarded.cookie()
    for answer in (
        guarded.page.get("/graphql?query=mutation{run}", Origin=origin, Cookie=cookie),
        guarded.page.ask("mutation { run }", cookie, Origin=origin),
        guarded.page.form("/logout", {}, Origin=origin, Cookie=cookie),
        guarded.log_in(Origin=origin),
    ):
        assert answer.status == 403
    assert guarded.page.web_socket(Origin=origin, Cookie=cookie) == 403
    assert guarded.inner.reached == []
    own = f"http://localhost:{guarded.page.port}"
    assert guarded.page.ask("mutation { run }", cookie, Origin=own).status == 200
    assert guarded.page.web_socket(Origin=own, Cookie=cookie) == 101


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_pictures_and_scripts_in_another_page_reach_nothing_and_links_do(guarded: Guarded, site: str) -> None:
    """They name no Origin. Another port of this machine is the same site to a browser, which sends the cookie along."""
    cookie, page = guarded.cookie(), guarded.page
    for mode, dest in (("no-cors", "image"), ("no-cors", "script"), ("cors", "empty"), ("navigate", "iframe")):
        fetched = {"Sec_Fetch_Site": site, "Sec_Fetch_Mode": mode, "Sec_Fetch_Dest": dest}
        assert page.get("/", Cookie=cookie, **fetched).status == 403, (mode, dest)
    # A form of another page, of a browser that names no Origin.
    assert (
        page.send(
            "POST",
            "/graphql",
            "{}",
            Cookie=cookie,
            Sec_Fetch_Site=site,
            Sec_Fetch_Mode="navigate",
            Sec_Fetch_Dest="document",
        ).status
        == 403
    )
    assert guarded.inner.reached == []
    assert page.get("/runs", Cookie=cookie, Sec_Fetch_Site=site, **LINK).body == "inside"


def test_graphql_is_asked_by_post_and_in_json_only(guarded: Guarded) -> None:
    """A link may carry a mutation, and a form of any page may carry text."""
    cookie, page = guarded.cookie(), guarded.page
    for path in ("/graphql?query=mutation{run}", "/graphql/?query=mutation{run}", "/graphql?query=", "/graphql"):
        assert page.get(path, Cookie=cookie).status == 405, path
    assert page.get("/graphql?query=mutation{run}", Cookie=cookie, **LINK).status == 405
    for content_type in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "text/plain; application/json",
        "",
    ):
        answer = page.send("POST", "/graphql?query=mutation{run}", "{}", Cookie=cookie, Content_Type=content_type)
        assert answer.status == 415, content_type
    assert guarded.inner.reached == []
    assert page.ask("{ version }", cookie).status == 200
    # The page to try queries in.
    assert page.get("/graphql", Cookie=cookie, **LINK).status == 200


def test_a_token_opens_once_and_the_next_one_is_told(guarded: Guarded) -> None:
    token = guarded.token.value
    first = guarded.page.get(f"/login?token={token}")
    assert (first.status, goes_to(first)) == (200, "/")
    assert guarded.page.get("/", Cookie=first.cookie).body == "inside"
    again = guarded.page.get(f"/login?token={token}")
    assert again.status == 401
    assert "set-cookie" not in again.headers
    assert guarded.told == [guarded.token.value]
    assert guarded.token.value != token
    # Whoever has a session uses none up.
    assert guarded.page.get(f"/login?token={guarded.token.value}", Cookie=first.cookie).status == 303
    assert guarded.page.send("HEAD", f"/login?token={guarded.token.value}").status == 405
    assert guarded.page.get(f"/login?token={guarded.token.value}").status == 200


def test_a_wrong_login_is_refused_says_no_more_and_is_logged_without_what_was_typed(
    guarded: Guarded, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        wrong = [
            guarded.log_in("a guess"),
            guarded.log_in(user="somebody"),
            guarded.log_in("", ""),
            guarded.page.send("POST", "/login", "x" * 10_000),
        ]
        guarded.page.get("/login?token=secret-in-address")
        guarded.log_in()
    assert {answer.status for answer in wrong} == {401}
    assert all("set-cookie" not in answer.headers for answer in wrong)
    texts = {re.sub(r'nonce="[^"]*"', "", answer.body) for answer in wrong}
    assert len(texts) == 1
    assert "The name or the password is wrong." in texts.pop()
    logged = " ".join(record.getMessage() for record in caplog.records)
    assert "A wrong login from 127.0.0.1" in logged
    for secret in ("a guess", "somebody", "secret-in-address", PASSWORD, guarded.token.value):
        assert secret not in logged


def test_a_login_is_compared_whole_and_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[int, int]] = []
    original = hmac.compare_digest

    def compare(a: bytes, b: bytes) -> bool:
        compared.append((len(a), len(b)))
        return original(a, b)

    monkeypatch.setattr(sessions_module.hmac, "compare_digest", compare)
    login = Login(USER, PASSWORD)
    for user, password in ((USER, PASSWORD), ("x", PASSWORD), (USER, "y" * 5000), ("", "")):
        compared.clear()
        assert login.accepts(user, password) == ((user, password) == (USER, PASSWORD))
        # Both, always, and of one length whatever was given.
        assert compared == [(32, 32), (32, 32)]
    assert PASSWORD not in repr(login)


def test_whoever_guesses_has_to_wait_and_then_even_the_right_password_does(guarded: Guarded) -> None:
    for _ in range(ATTEMPTS_OF_ONE):
        assert guarded.log_in("a guess").status == 401
    refused = guarded.log_in()
    assert refused.status == 429
    assert 0 < int(refused.headers["retry-after"]) <= ATTEMPTS_SECONDS + 1
    # Tokens are guesses too.
    assert guarded.page.get(f"/login?token={guarded.token.value}").status == 429
    guarded.clock.now += ATTEMPTS_SECONDS + 1
    assert guarded.log_in().status == 303


def test_guesses_from_many_addresses_are_limited_together() -> None:
    clock = Clock()
    attempts = Attempts(clock)
    for number in range(ATTEMPTS_OF_ALL):
        assert attempts.seconds_to_wait(f"10.0.0.{number}") == 0
        attempts.note(f"10.0.0.{number}")
    assert attempts.seconds_to_wait("10.0.1.1") > 0
    clock.now += ATTEMPTS_SECONDS
    assert attempts.seconds_to_wait("10.0.1.1") == 0


def test_a_session_ends_with_its_time_and_by_the_logout_and_its_web_socket_with_it(guarded: Guarded) -> None:
    page, own = guarded.page, f"http://127.0.0.1:{guarded.page.port}"
    for ends in ("by its time", "by the logout"):
        cookie = guarded.cookie()
        with connect(
            f"ws://{page.host}/graphql", additional_headers={"Cookie": cookie}, subprotocols=["graphql-ws"], proxy=None
        ) as socket:
            socket.send("one")
            assert socket.recv(10) == "heard one"
            if ends == "by its time":
                guarded.clock.now += SESSION_SECONDS
            else:
                assert page.get("/logout", Cookie=cookie, **PAGE).status == 200
                assert page.form("/logout", {}, Cookie=cookie, Origin=own).status == 303
            socket.send("two")
            with pytest.raises(ConnectionClosed):
                socket.recv(10)
        # The application never learns what came too late.
        assert "two" not in guarded.inner.reached
        assert page.get("/", Cookie=cookie).status == 401
        assert page.web_socket(Cookie=cookie) == 403


def test_a_login_goes_on_to_where_somebody_wanted_to_go_and_never_to_another_site(guarded: Guarded) -> None:
    asked = guarded.page.get("/runs/1?tab=events&logs=%22x%22", **PAGE)
    assert asked.status == 401
    (where,) = re.findall(r'name="next" value="([^"]*)"', asked.body)
    assert where == "/runs/1?tab=events&amp;logs=%22x%22"
    for given, expected in (
        ("/runs/1?tab=events", "/runs/1?tab=events"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("/a\r\nSet-Cookie: x=y", "/"),
        ("/login?token=x", "/"),
        ("/logout", "/"),
    ):
        answer = guarded.page.form("/login", {"user": USER, "password": PASSWORD, "next": given})
        assert (answer.status, answer.headers["location"]) == (303, expected)


def test_a_link_from_another_site_is_asked_again_by_the_page_itself(guarded: Guarded) -> None:
    """The browser leaves out a strict cookie there, and whoever is logged in would be asked to log in."""
    stranger = guarded.page.get("/runs/1?tab=events", Sec_Fetch_Site="cross-site", **LINK)
    assert stranger.status == 200
    again = guarded.page.get(goes_to(stranger), Cookie=guarded.cookie(), Sec_Fetch_Site="same-origin", **LINK)
    assert (again.status, again.headers["location"]) == (303, "/runs/1?tab=events")
    assert "<form" in guarded.page.get(goes_to(stranger), Sec_Fetch_Site="same-origin", **LINK).body


def test_what_is_shown_cannot_be_framed_cached_or_made_to_run_a_script(guarded: Guarded) -> None:
    evil = "/<script>alert(1)</script>?x=%22%3E<script>"
    answer = guarded.page.get(evil.replace("<", "%3C").replace(">", "%3E"), **PAGE)
    assert "<script" not in answer.body
    assert answer.headers["content-security-policy"].startswith("default-src 'none';")
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["cache-control"] == "no-store"
    assert guarded.page.get("/", Cookie=guarded.cookie()).headers["x-frame-options"] == "SAMEORIGIN"


def test_health_says_whether_the_application_answers_and_nothing_else(guarded: Guarded) -> None:
    answer = guarded.page.get("/health")
    assert (answer.status, answer.body) == (200, "well")
    assert guarded.inner.reached == ["http GET /server_info"]


@pytest.mark.parametrize(
    "text",
    ["dagster.example.com", "ftp://a.example", "https://user:pw@a.example", "https://a.example/dagster", "https://"],
)
def test_what_is_no_address_of_a_page_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="no address of a page"):
        Address.parse(text)


def test_a_second_server_under_a_path_is_behind_the_same_guard_and_learns_no_cookie() -> None:
    seen: list[tuple[str, dict[str, str], str]] = []

    async def second(scope: Any, receive: Any, send: Any) -> None:
        body = (await receive()).get("body", b"").decode()
        given = {name.decode(): value.decode() for name, value in scope["headers"]}
        seen.append((f"{scope['method']} {scope['path']}?{scope['query_string'].decode()}", given, body))
        headers = [(b"content-type", b"text/html"), (b"set-cookie", b"own=1"), (b"x-frame-options", b"ALLOWALL")]
        await send({"type": "http.response.start", "status": 201, "headers": headers})
        await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
        await send({"type": "http.response.body", "body": b"second"})

    inner, login = Inner(), Entrance(login=Login(USER, PASSWORD))
    with (
        served(lambda _: second) as upstream,
        served(
            lambda port: Guard(
                Beside(inner, "/mlflow", f"http://{upstream.host}"), loopback_addresses(port), login, "session"
            )
        ) as page,
    ):
        assert page.get("/mlflow/").status == 401
        assert seen == []
        cookie = page.form("/login", {"user": USER, "password": PASSWORD}).cookie
        own = f"http://{page.host}"
        answer = page.send("POST", "/mlflow/api/a%20b?c=%2F", "{}", Cookie=cookie, Origin=own, Content_Type="text/json")
        assert (answer.status, len(answer.body), answer.body[-6:]) == (201, 100_006, "second")
        assert "set-cookie" not in answer.headers
        assert answer.headers["x-frame-options"] == "SAMEORIGIN"
        assert answer.headers["content-security-policy"] == "sandbox"
        ((asked, given, body),) = seen
        assert (asked, body, given["content-type"]) == ("POST /api/a b?c=%2F", "{}", "text/json")
        assert given["host"] == upstream.host
        assert not {"cookie", "origin"} & set(given)
        # Its own page runs its scripts.
        assert "content-security-policy" not in page.get("/mlflow/", Cookie=cookie).headers
        assert page.get("/mlflow", Cookie=cookie).headers["location"] == "/mlflow/"
        assert page.get("/mlflows", Cookie=cookie).body == "inside"
    with served(
        lambda port: Guard(Beside(inner, "/mlflow", "http://127.0.0.1:9"), loopback_addresses(port), login, "session")
    ) as page:
        cookie = page.form("/login", {"user": USER, "password": PASSWORD}).cookie
        assert page.get("/mlflow/", Cookie=cookie).status == 502
