"""An OpenAI-compatible endpoint on loopback: a real HTTP server that speaks the protocol, and breaks it in whatever way it is told to.

``python -m tests.support.chat_server HOME [N]`` prints briefs of the first N candidates of a home, as an endpoint wrote them that does as it is told.
They are noted in the audit of that home.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

MODEL = "test-model"
KEY = "sk-test-0123456789-do-not-tell"

type Way = Callable[[BaseHTTPRequestHandler, dict[str, Any], threading.Event], None]


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> dict[str, Any]:
        return dict(json.loads(self.body))


@dataclass
class ChatServer:
    """Use as a context manager. ``ways`` meet the requests in order; after them every request gets `good`, of what ``text`` gives.

    Attributes:
        ways: how to answer, one a request.
        asked: requests as they came.
        text: of an ordinary answer, from the request.
        key: what it wants; None where it wants none.
        certificate: speaks TLS with this certificate and its key; None speaks plainly.
    """

    ways: deque[Way] = field(default_factory=deque)
    asked: list[Asked] = field(default_factory=list)
    text: Callable[[dict[str, Any]], str] = field(default=lambda document: every_part(document))
    key: str | None = None
    certificate: Path | None = None

    def __enter__(self) -> ChatServer:
        outer = self
        self._closing = threading.Event()
        self._lock = threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"] or 0))
                with outer._lock:
                    outer.asked.append(Asked(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                    way = outer.ways.popleft() if outer.ways else None
                self.close_connection = True
                # A client that has had enough goes.
                with suppress(BrokenPipeError, ConnectionResetError):
                    if outer.key is not None and self.headers.get("Authorization") != f"Bearer {outer.key}":
                        said = f"Incorrect API key provided: {self.headers.get('Authorization')}"
                        status(401, said)(self, {}, outer._closing)
                    elif not self.path.endswith("/chat/completions"):
                        status(404, "no such path")(self, {}, outer._closing)
                    else:
                        document = json.loads(body)
                        (way or good(outer.text(document)))(self, document, outer._closing)

            def do_GET(self) -> None:
                # As whoever follows a redirect comes back.
                self.do_POST()

            def handle(self) -> None:
                with suppress(ssl.SSLError, ConnectionError):
                    super().handle()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if self.certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate)
            # The handshake in the thread of the connection: a client that breaks it off is nobody's error.
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        scheme = "http" if self.certificate is None else "https"
        return f"{scheme}://127.0.0.1:{self._server.server_port}/v1"


def every_part(document: Mapping[str, Any]) -> str:
    """What a model that does as it is told answers to a request of the writer: a text for every part that is asked for, from the facts alone."""
    system, user = (message["content"] for message in document["messages"])
    facts = [line.removeprefix("- ") for line in user.splitlines() if line.startswith("- ")]
    ours = [fact for fact in facts if not fact.endswith("[internal]")]
    known = [fact.removesuffix(" [internal]") for fact in facts]
    plan = next(
        (match[1] for match in (re.search(r"next plan up is the (.+) plan", fact) for fact in ours) if match), "next"
    )
    risks = [fact for fact in known if "leave within" in fact or fact.startswith("Avoid: ")]
    deeds = [fact for fact in ours if fact.startswith("They ") and "days" in fact] or ours[:1]
    texts = {
        "why_now": " ".join(deeds),
        "lead_with": f"Begin with what [COMPANY] does today, and ask what the {plan} plan would make easier.",
        "settle_first": " ".join(risks[:2]) or "Ask [CSM] what is open.",
        "next_step": "Ask [CSM] what is open, then call [COMPANY] and agree who decides.",
        "email": f"I would like to hear how [COMPANY] works with us today. The {plan} plan may make some of it easier. "
        "Which day suits you for a call?",
    }
    return json.dumps({key: texts[key] for key in re.findall(r'^- "(\w+)":', system, re.MULTILINE)})


def completion(text: str | None, finish_reason: str | None = "stop", **message: Any) -> dict[str, Any]:
    """A completion as the protocol has it."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": MODEL,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text, **message},
                "finish_reason": finish_reason,
            }
        ],
        "usage": {"prompt_tokens": 300, "completion_tokens": 120, "total_tokens": 420},
    }


def raw(
    body: bytes,
    status: int = 200,
    content_type: str | None = "application/json",
    headers: Mapping[str, str] | None = None,
    length: int | None = None,
) -> Way:
    """Answers with these bytes, whatever they are; ``length`` is what the header says of them."""

    def answer(handler: BaseHTTPRequestHandler, _: dict[str, Any], __: threading.Event) -> None:
        handler.send_response(status)
        if content_type is not None:
            handler.send_header("Content-Type", content_type)
        handler.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in (headers or {}).items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def document(content: Any, **rest: Any) -> Way:
    """Answers with a JSON document."""
    return raw(json.dumps(content).encode(), **rest)


def good(text: str) -> Way:
    """Answers with a completion of this text."""
    return document(completion(text))


def status(code: int, message: str = "no", headers: Mapping[str, str] | None = None) -> Way:
    """Refuses in the protocol's form."""
    return raw(json.dumps({"error": {"message": message, "type": "error"}}).encode(), code, headers=headers)


def slow(seconds: float, text: str = "{}") -> Way:
    """Answers well, after a while in which not a byte comes."""

    def answer(handler: BaseHTTPRequestHandler, asked: dict[str, Any], closing: threading.Event) -> None:
        closing.wait(seconds)
        good(text)(handler, asked, closing)

    return answer


def dripping(pause: float, head: bytes = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n") -> Way:
    """Sends a byte every ``pause`` seconds and never ends; without a ``head`` the status line itself drips."""

    def answer(handler: BaseHTTPRequestHandler, _: dict[str, Any], closing: threading.Event) -> None:
        handler.wfile.write(head)
        drops = b" " if head else b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 10_000
        number = 0
        while not closing.wait(pause):
            handler.wfile.write(drops[number % len(drops) :][:1])
            handler.wfile.flush()
            number += 1

    return answer


def endless(handler: BaseHTTPRequestHandler, _: dict[str, Any], closing: threading.Event) -> None:
    """Sends as much as is taken, as fast as it is taken."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
    while not closing.is_set():
        handler.wfile.write(b" " * 65_536)


def hang_up(handler: BaseHTTPRequestHandler, _: dict[str, Any], __: threading.Event) -> None:
    """Closes the connection without a word."""
    # Shut down, not closed: the handler's own files hold the socket open.
    handler.connection.shutdown(socket.SHUT_RDWR)


def streamed(text: str, finish_reason: str | None = "stop", pieces: int = 7) -> Way:
    """Streams although nobody asked for it, as server-sent events; without a ``finish_reason`` it breaks off in the middle."""

    def event(content: Any) -> bytes:
        return b"data: " + json.dumps(content).encode() + b"\n\n"

    size = max(1, -(-len(text) // pieces))
    chunks = [text[start : start + size] for start in range(0, len(text), size)]
    events = [
        event({"choices": [{"index": 0, "delta": {"content": chunk}, "finish_reason": None}]}) for chunk in chunks
    ]
    if finish_reason is not None:
        events.append(event({"choices": [{"index": 0, "delta": {}, "finish_reason": finish_reason}]}))
        events.append(event({"choices": [], "usage": {"total_tokens": 420}}) + b"data: [DONE]\n\n")
    return raw(b": begun\n\n" + b"".join(events), content_type="text/event-stream; charset=utf-8")


def main(home: str, count: str = "10") -> None:
    from churn_pipeline.cli.brief import print_brief
    from churn_pipeline.core.settings import Settings
    from churn_pipeline.customers.briefs.desk import Desk
    from churn_pipeline.customers.briefs.model import Audience
    from churn_pipeline.customers.errors import NotCandidateError
    from churn_pipeline.customers.lists import Filters
    from churn_pipeline.customers.stores.published import Publication

    with ChatServer() as server:
        settings = Settings(home=Path(home), brief_url=server.url, brief_model=MODEL)
        with Publication.open(settings, hold=False) as publication:
            monday = publication.at()
            desk = Desk(settings, monday)
            candidates = sorted(monday.rows(Filters(candidates=True)), key=lambda row: row.expansion_rank or 0)
            for row in candidates[: int(count)]:
                for audience in Audience:
                    with suppress(NotCandidateError):
                        print_brief(desk.write(monday.profile(row.customer_id), audience, audience is Audience.SALES))


if __name__ == "__main__":
    main(*sys.argv[1:])
