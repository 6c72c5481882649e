"""A Slack on loopback: a real HTTP server that speaks as much of the Web API and of incoming webhooks as the pipeline uses.

It keeps what it was sent, checks blocks by Slack's documented limits, and fails in the ways Slack fails: on order, one request
at a time.
"""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

TOKEN = "xoxb-0000-this-is-a-secret"
_UPLOADS = "/upload/v1/"
WEBHOOK_PATH = "/services/T0000/B0000/thisisasecretpath"
CHANNEL, CHANNEL_NAME = "C0000CHURN", "customer-success"


@dataclass(frozen=True)
class Fault:
    """How one request goes wrong.

    Attributes:
        status: of the answer; 0 for none: the connection is cut.
        body: of the answer.
        headers: of the answer.
        delay: seconds of silence before it.
        drip: seconds between two bytes of the body, for ever.
        stored: whether the message is posted all the same, as when the answer is lost on its way back.
    """

    status: int = 0
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0
    drip: float = 0
    stored: bool = False


def rate_limited(seconds: int) -> Fault:
    return Fault(429, json.dumps({"ok": False, "error": "ratelimited"}), {"Retry-After": str(seconds)})


def failing(error: str) -> Fault:
    return Fault(200, json.dumps({"ok": False, "error": error}))


class SlackServer:
    """Use as a context manager. ``faults`` meet the posting requests in order, ``upload_faults`` those that begin an upload; the others are
    never failed by them.

    Attributes:
        members: IDs by e-mail address, for whoever has the scope users:read.email.
        files: what was uploaded and shared: name, content, channel, thread_ts, title, alt_txt.
    """

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.faults: deque[Fault] = deque()
        self.upload_faults: deque[Fault] = deque()
        self.members: dict[str, str] = {}
        self.files: list[dict[str, Any]] = []
        self._begun: dict[str, dict[str, Any]] = {}
        self.scopes = {"chat:write"}
        self.after_storing: Callable[[dict[str, Any]], None] = lambda message: None
        self.before_storing: Callable[[dict[str, Any]], None] = lambda message: None
        self._lock = threading.Lock()
        self._closing = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                body = {name: values[0] for name, values in parse_qs(self.path.partition("?")[2]).items()}
                with server._lock:
                    server.requests.append((self.path, body))
                server._handle(self, body)

            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if self.path.startswith(_UPLOADS):
                    server._receive(self, content)
                    return
                raw = content.decode()
                if "json" in (self.headers.get("Content-Type") or ""):
                    body = json.loads(raw or "{}")
                else:
                    body = {name: values[0] for name, values in parse_qs(raw).items()}
                with server._lock:
                    server.requests.append((self.path, body))
                server._handle(self, body)

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            # Clients are killed in these tests, and their sockets with them.
            def handle_error(self, request: Any, client_address: Any) -> None:
                pass

        self._http = Quiet(("127.0.0.1", 0), Handler)

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}/api/"

    @property
    def webhook(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}{WEBHOOK_PATH}"

    def __enter__(self) -> SlackServer:
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._http.shutdown()
        self._http.server_close()

    def _handle(self, handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        hook = not handler.path.startswith("/api/")
        method = handler.path.removeprefix("/api/").split("?")[0]
        posting = hook or method == "chat.postMessage"
        waiting = self.faults if posting else self.upload_faults if method == "files.getUploadURLExternal" else ()
        with self._lock:
            fault = waiting.popleft() if isinstance(waiting, deque) and waiting else None
        if posting:
            self.before_storing(body)
        if fault is not None:
            if fault.stored:
                self._store(body)
            self._closing.wait(fault.delay)
            if fault.drip:
                handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
                while not self._closing.wait(fault.drip):
                    handler.wfile.write(b" ")
                    handler.wfile.flush()
            elif not fault.status:
                # Shut down, not closed: the handler's own files hold the socket open.
                handler.close_connection = True
                handler.connection.shutdown(socket.SHUT_RDWR)
            else:
                self._reply(handler, fault.status, fault.body, fault.headers)
            return
        if hook:
            known = handler.path == WEBHOOK_PATH
            error = _refused(body) if known else "no_service"
            if not error:
                self._store(body)
                self.after_storing(body)
            self._reply(handler, 200 if not error else 400 if known else 404, error or "ok")
            return
        answer = self._api(method, body, handler.headers.get("Authorization", ""))
        if posting and answer["ok"]:
            self.after_storing(body)
        self._reply(handler, 200, json.dumps(answer), {"X-OAuth-Scopes": ",".join(sorted(self.scopes))})

    def _api(self, method: str, body: dict[str, Any], authorization: str) -> dict[str, Any]:
        if authorization != f"Bearer {TOKEN}":
            return {"ok": False, "error": "invalid_auth"}
        match method:
            case "auth.test":
                return {"ok": True, "team": "Example", "user": "churn", "bot_id": "B1"}
            case "chat.postMessage":
                if body["channel"] not in (CHANNEL, CHANNEL_NAME, f"#{CHANNEL_NAME}"):
                    return {"ok": False, "error": "channel_not_found"}
                if error := _refused(body):
                    return {"ok": False, "error": error}
                return {"ok": True, "channel": CHANNEL, "ts": self._store(body)["ts"]}
            case "users.lookupByEmail":
                if "users:read.email" not in self.scopes:
                    return {"ok": False, "error": "missing_scope", "needed": "users:read.email"}
                member = self.members.get(body["email"])
                return {"ok": True, "user": {"id": member}} if member else {"ok": False, "error": "users_not_found"}
            case "files.getUploadURLExternal":
                if "files:write" not in self.scopes:
                    return {"ok": False, "error": "missing_scope", "needed": "files:write"}
                file_id = f"F{len(self._begun):08}"
                self._begun[file_id] = {
                    "name": body["filename"],
                    "length": int(body["length"]),
                    "alt_txt": body.get("alt_txt"),
                }
                return {
                    "ok": True,
                    "file_id": file_id,
                    "upload_url": f"{self.api.removesuffix('/api/')}{_UPLOADS}{file_id}",
                }
            case "files.completeUploadExternal":
                # Names are no IDs, and only what was sent whole can be shared.
                if body["channel_id"] != CHANNEL:
                    return {"ok": False, "error": "channel_not_found"}
                shared = json.loads(body["files"])
                for file in shared:
                    begun = self._begun[file["id"]]
                    if len(begun.get("content", b"")) != begun["length"]:
                        return {"ok": False, "error": "file_not_found"}
                    self.files.append(
                        {**begun, "title": file.get("title"), "channel": CHANNEL, "thread_ts": body.get("thread_ts")}
                    )
                return {"ok": True, "files": shared}
        return {"ok": False, "error": "unknown_method"}

    def _receive(self, handler: BaseHTTPRequestHandler, content: bytes) -> None:
        """What is sent to the address that was given for one file. Nobody says who they are here."""
        assert "Authorization" not in handler.headers
        self._begun[handler.path.removeprefix(_UPLOADS)]["content"] = content
        self._reply(handler, 200, f"OK - {len(content)}")

    def _store(self, body: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            message = {**body, "ts": f"{time.time():.6f}"}
            # Timestamps name messages in their channel: no two are equal.
            if self.messages and float(self.messages[-1]["ts"]) >= float(message["ts"]):
                message["ts"] = f"{float(self.messages[-1]['ts']) + 0.000001:.6f}"
            self.messages.append(message)
            return message

    def _reply(
        self, handler: BaseHTTPRequestHandler, status: int, body: str, headers: Mapping[str, str] | None = None
    ) -> None:
        payload = body.encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json; charset=utf-8" if body[:1] == "{" else "text/html")
        handler.send_header("Content-Length", str(len(payload)))
        for name, value in (headers or {}).items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(payload)


def _refused(body: Mapping[str, Any]) -> str:
    """Slack's word on a message that breaks its documented limits; empty when it is fine."""
    blocks = body.get("blocks") or []
    if not body.get("text") and not blocks:
        return "no_text"
    if len(body.get("text") or "") > 40_000:
        return "msg_too_long"
    if len(blocks) > 50 or not all(_valid(block) for block in blocks):
        return "invalid_blocks"
    # The strictest reading of an undocumented limit: the JSON, not the text.
    return "msg_blocks_too_long" if len(json.dumps(blocks, ensure_ascii=False)) > 13_200 else ""


def _valid(block: Mapping[str, Any]) -> bool:
    match block["type"]:
        case "header":
            return block["text"]["type"] == "plain_text" and 0 < len(block["text"]["text"]) <= 150
        case "section":
            fields = block.get("fields") or []
            texts = [block["text"]] if "text" in block else []
            return (
                bool(texts or fields)
                and all(0 < len(text["text"]) <= 3_000 for text in texts)
                and len(fields) <= 10
                and all(0 < len(text["text"]) <= 2_000 for text in fields)
            )
        case "context":
            return 0 < len(block["elements"]) <= 10 and all(0 < len(e["text"]) <= 3_000 for e in block["elements"])
        case "rich_text":
            return bool(block["elements"]) and all(_valid_rich(element) for element in block["elements"])
        case "divider":
            return True
    return False


def _valid_rich(element: Mapping[str, Any]) -> bool:
    match element["type"]:
        case "text":
            return bool(element["text"])
        case "link":
            return element["url"].startswith(("http://", "https://")) and len(element["url"]) <= 3_000
        case "emoji":
            return bool(element["name"])
        case "user":
            return re.fullmatch(r"[UW][A-Z0-9]{7,}", element["user_id"]) is not None
        case "rich_text_section" | "rich_text_preformatted" | "rich_text_quote":
            return bool(element["elements"]) and all(_valid_rich(inner) for inner in element["elements"])
        case "rich_text_list":
            return bool(element["elements"]) and all(
                inner["type"] == "rich_text_section" and _valid_rich(inner) for inner in element["elements"]
            )
    return False
