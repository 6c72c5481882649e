"""The writer behind an address, against a real HTTP server on loopback that speaks the protocol and breaks it in every way."""

from __future__ import annotations

import json
import logging
import re
import socket
import subprocess
import threading
import time
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from churn_pipeline.core.errors import InputError
from churn_pipeline.core.settings import Settings
from churn_pipeline.customers.briefs import endpoint
from churn_pipeline.customers.briefs.endpoint import EndpointWriter, Exchange, writer_of
from churn_pipeline.customers.briefs.model import BriefKind, Part, WriterRequest
from churn_pipeline.customers.errors import WriterError
from tests.support import chat_server
from tests.support.chat_server import KEY, MODEL, ChatServer, Way, completion

PARTS = (Part.WHY_NOW, Part.NEXT_STEP)
TEXTS = {Part.WHY_NOW: "Usage of [COMPANY] grew.", Part.NEXT_STEP: "Call them."}
GOOD = json.dumps(TEXTS)
REQUEST = WriterRequest(
    kind=BriefKind.TACTICAL,
    parts=PARTS,
    instructions="Write a brief from the facts alone.",
    facts="- usage grew by 30 %\n- the company is [COMPANY]",
    template=TEXTS,
    correlation_id="b-1",
)


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer(text=lambda _: GOOD) as running:
        yield running


def writer(server: ChatServer, **settings: Any) -> EndpointWriter:
    return EndpointWriter(
        server.url, MODEL, **{"timeout": 5.0, "pauses": (0.01,), "max_pause": 0.5, "key": SecretStr(KEY)} | settings
    )


def refused(server: ChatServer, *ways: Way, **settings: Any) -> str:
    server.ways.extend(ways)
    with pytest.raises(WriterError) as problem:
        writer(server, **settings).write(REQUEST)
    assert KEY not in "".join(traceback.format_exception(problem.value)) + repr(problem.value)
    return str(problem.value)


def test_what_goes_out_is_the_request_and_nothing_of_this_machine_or_its_variables(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "OPENAI_BASE_URL": "http://127.0.0.1:9/v1",
        "OPENAI_API_KEY": "sk-of-somebody-else",
        "OPENAI_ADMIN_KEY": "sk-of-an-admin",
        "OPENAI_ORG_ID": "org-else",
        "OPENAI_PROJECT_ID": "proj-else",
        "OPENAI_CUSTOM_HEADERS": "X-Extra: else\nHost: else.example\nAuthorization: Bearer else",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "ALL_PROXY": "http://127.0.0.1:9",
    }.items():
        monkeypatch.setenv(name, value)
    draft = writer(server).write(REQUEST)
    assert (draft.parts, draft.provider, draft.model) == (TEXTS, "127.0.0.1", MODEL)
    (asked,) = server.asked
    assert asked.path == "/v1/chat/completions"
    assert asked.headers == {
        "host": server.url.split("/")[2],
        "user-agent": "churn-pipeline",
        "content-type": "application/json",
        "content-length": str(len(asked.body)),
        "accept": "application/json",
        "accept-encoding": "identity",
        "connection": "close",
        "authorization": f"Bearer {KEY}",
    }
    system, user = asked.document.pop("messages")
    assert asked.document | {"messages": None} == {
        "model": MODEL,
        "messages": None,
        "max_tokens": endpoint.MAX_TOKENS,
        "temperature": 0,
        "response_format": {"type": "json_object"},
        "stream": False,
    }
    assert system == {"role": "system", "content": REQUEST.instructions}
    assert user == {"role": "user", "content": REQUEST.facts}


def test_an_endpoint_that_wants_no_key_gets_none_whatever_the_variables_say(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-somebody-else")
    writer(server, key=None).write(REQUEST)
    assert "authorization" not in server.asked[0].headers


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        f"```json\n{GOOD}\n```",
        f"\n```\n{json.dumps(TEXTS, indent=2)}\n```\n",
        json.dumps({"next_step": " Call them. ", "why_now": TEXTS[Part.WHY_NOW]}),
    ],
)
def test_an_answer_may_stand_in_a_code_fence_and_in_another_order(server: ChatServer, text: str) -> None:
    server.ways.append(chat_server.good(text))
    assert writer(server).write(REQUEST).parts == TEXTS


def test_a_server_that_streams_unasked_is_read(server: ChatServer) -> None:
    server.ways.append(chat_server.streamed(GOOD))
    notes: list[Exchange] = []
    assert writer(server, note=notes.append).write(REQUEST).parts == TEXTS
    assert notes[0].tokens == 420


@pytest.mark.parametrize(
    ("way", "words"),
    [
        (chat_server.streamed(GOOD, finish_reason=None), "does not say that it is whole"),
        (chat_server.streamed(GOOD, finish_reason="length"), "cut off at 1,500 tokens"),
        (chat_server.raw(b"data: {broken\n\n", content_type="text/event-stream"), "broken JSON"),
        (chat_server.document(completion(GOOD, "length")), "cut off at 1,500 tokens"),
        (chat_server.document(completion(GOOD, "content_filter")), "refuses to write it"),
        (chat_server.document(completion(None, refusal="I cannot help with that.")), "refuses to write it"),
        (chat_server.document(completion(GOOD, "tool_calls")), "does not say that it is whole"),
        (chat_server.document(completion(None)), "empty message"),
        (chat_server.document(completion("  ")), "empty message"),
        (chat_server.document(completion(GOOD) | {"choices": []}), "without a choice"),
        (chat_server.document({"object": "list", "data": []}), "without a choice"),
        (chat_server.document({"choices": [{"finish_reason": "stop"}]}), "without a message"),
        (chat_server.document([1]), "another form"),
        (chat_server.raw(b'{"choices": [', 200), "broken JSON"),
        (chat_server.raw(b"<html>Log in</html>", content_type="text/html"), "answers with text/html, not with JSON"),
        (chat_server.raw(b"{}", content_type=None), "a form that it does not name"),
        (chat_server.raw(b"{}", headers={"Content-Encoding": "gzip"}), "a packed form"),
        (chat_server.good("Here is your brief: usage grew."), "no JSON object"),
        (chat_server.good('["why_now", "next_step"]'), "no JSON object"),
        (chat_server.good('{"why_now": "Usage grew."}'), "left out next_step"),
        (chat_server.good(json.dumps({**TEXTS, "email": "Dear"})), "parts that nobody asked for"),
        (chat_server.good(json.dumps({**TEXTS, "next_step": ["Call"]})), "no text for next_step"),
        (chat_server.good(json.dumps({**TEXTS, "next_step": " "})), "no text for next_step"),
        (chat_server.good('{"why_now": "a", "why_now": "b", "next_step": "c"}'), "no JSON object"),
        (chat_server.good("[" * 100_000), "no JSON object"),
        (chat_server.status(400, "model 'x' not found"), r"answers 400 \(model 'x' not found\)"),
        (chat_server.raw(GOOD.encode(), length=5_000), "broke off"),
        (chat_server.hang_up, "broke off"),
        (chat_server.endless, "more than 1,048,576 bytes"),
    ],
)
def test_what_is_no_whole_answer_is_refused_in_words(server: ChatServer, way: Way, words: str) -> None:
    assert re.search(words, refused(server, way, attempts=0))


@pytest.mark.parametrize(
    "way",
    [
        chat_server.slow(10),
        chat_server.dripping(0.01),
        chat_server.dripping(0.01, head=b""),
    ],
)
def test_a_request_ends_in_time_however_slowly_something_comes_and_is_not_repeated(
    server: ChatServer, way: Way
) -> None:
    writer(server).write(REQUEST)
    server.asked.clear()
    begun = time.monotonic()
    assert refused(server, way, timeout=0.3) == "it did not answer within 0.3 s"
    assert time.monotonic() - begun < 1.5
    assert len(server.asked) == 1
    # Whoever read for it has gone too.
    while any(thread.name == "bounded" for thread in threading.enumerate()):
        assert time.monotonic() - begun < 3
        time.sleep(0.02)


def test_all_requests_together_take_no_longer_than_a_run_has_and_one_that_was_cut_short_is_noted(
    server: ChatServer,
) -> None:
    notes: list[Exchange] = []
    bounded = writer(server, seconds=1.5, note=notes.append)
    bounded.write(REQUEST)
    server.ways.append(chat_server.dripping(0.01))
    begun = time.monotonic()
    for _ in range(2):
        with pytest.raises(WriterError, match=r"^the 1\.5 seconds are over that all briefs of a run may wait for it$"):
            bounded.write(REQUEST)
    assert time.monotonic() - begun < 4
    assert [note.attempts for note in notes] == [1, 1, 0]
    assert len(server.asked) == 2 and notes[1].sent


@pytest.mark.parametrize(
    "way",
    [
        chat_server.status(500),
        chat_server.status(503),
        chat_server.status(429, headers={"Retry-After": "0"}),
        chat_server.hang_up,
        chat_server.raw(b"{", length=100),
    ],
)
def test_a_busy_or_failing_endpoint_is_asked_again_and_not_without_end(server: ChatServer, way: Way) -> None:
    server.ways.extend([way, way])
    notes: list[Exchange] = []
    assert writer(server, note=notes.append).write(REQUEST).parts == TEXTS
    assert (len(server.asked), notes[0].attempts, notes[0].error) == (3, 3, None)
    refused(server, way, way, way, attempts=2)
    assert len(server.asked) == 6


@pytest.mark.parametrize("as_date", [False, True])
def test_it_waits_for_as_long_as_it_is_asked_to_but_not_longer_than_its_bound(
    server: ChatServer, as_date: bool
) -> None:
    def asking(seconds: float) -> Way:
        then = format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)
        return chat_server.status(429, headers={"Retry-After": then if as_date else str(seconds)})

    server.ways.append(asking(2 if as_date else 0.4))
    begun = time.monotonic()
    writer(server, max_pause=3).write(REQUEST)
    assert time.monotonic() - begun > 0.4
    server.asked.clear()
    assert re.search(
        r"answers 429 \(no\) and asks to be left alone for (59|60) s", refused(server, asking(60), max_pause=3)
    )
    assert len(server.asked) == 1


def test_a_key_that_is_not_taken_is_told_without_it_and_not_tried_again_in_the_run(server: ChatServer) -> None:
    server.key = "sk-another"
    one = writer(server)
    for words in ("it answers 401", "it answers 401; it was not asked again in this run"):
        with pytest.raises(WriterError) as problem:
            one.write(REQUEST)
        assert str(problem.value) == words
    assert len(server.asked) == 1


def test_an_endpoint_that_is_away_for_three_briefs_is_left_alone_for_the_rest_of_the_run(server: ChatServer) -> None:
    one = writer(server, attempts=0)
    server.ways.extend([chat_server.status(500)] * 2)
    for _ in range(2):
        with pytest.raises(WriterError):
            one.write(REQUEST)
    # One that answers in between begins the count anew.
    one.write(REQUEST)
    server.ways.extend([chat_server.hang_up] * 3)
    for _ in range(6):
        with pytest.raises(WriterError):
            one.write(REQUEST)
    assert len(server.asked) == 6


def test_no_more_requests_are_made_in_a_run_than_its_budget_has(server: ChatServer) -> None:
    notes: list[Exchange] = []
    one = writer(server, budget=3, note=notes.append)
    server.ways.append(chat_server.status(500))
    one.write(REQUEST)
    one.write(REQUEST)
    with pytest.raises(WriterError, match=r"budget of 3 requests a run \(CHURN_BRIEF_BUDGET\) is used up"):
        one.write(REQUEST)
    assert len(server.asked) == 3
    assert [note.attempts for note in notes] == [2, 1, 0]


def test_a_redirect_is_not_followed_and_the_key_goes_nowhere_else(server: ChatServer) -> None:
    with ChatServer() as other:
        for code in (302, 307, 308):
            way = chat_server.raw(b"", code, headers={"Location": f"{other.url}/chat/completions"})
            assert f"answers {code}" in refused(server, way)
        assert other.asked == []


def test_a_port_where_nobody_is_ends_in_words() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(WriterError, match="it cannot be reached"):
        EndpointWriter(f"http://127.0.0.1:{port}/v1", MODEL, timeout=2, pauses=(0.01,)).write(REQUEST)


def test_the_certificate_of_an_endpoint_is_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = tmp_path / "both.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", *subject,
         "-keyout", certificate, "-out", tmp_path / "public.pem"],
        check=True,
        capture_output=True,
    )  # fmt: skip
    certificate.write_text(certificate.read_text() + (tmp_path / "public.pem").read_text())
    with ChatServer(text=lambda _: GOOD, certificate=certificate) as server:
        assert "it cannot be reached or broke off (ConnectError)" in refused(server, attempts=0)
        assert server.asked == []
        # A company's own authority, where the system knows it.
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "public.pem"))
        assert writer(server).write(REQUEST).parts == TEXTS


def test_the_key_is_in_no_note_no_log_no_word_and_no_object(
    server: ChatServer,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_LOG", "debug")
    caplog.set_level(logging.DEBUG)
    notes: list[Exchange] = []
    one = writer(server, note=notes.append, attempts=0)
    quoting = chat_server.status(400, f"the header was Bearer {KEY}")
    server.ways.extend([chat_server.good(GOOD), quoting, chat_server.hang_up])
    one.write(REQUEST)
    told = []
    for _ in range(2):
        with pytest.raises(WriterError) as problem:
            one.write(REQUEST)
        told.append("".join(traceback.format_exception(problem.value)))
    assert "the header was Bearer ***" in told[0]
    captured = capfd.readouterr()
    written = [*map(repr, notes), *told, caplog.text, captured.out, captured.err, repr(one), repr(vars(one))]
    assert len(notes) == 3
    assert [text for text in written if KEY in text] == []
    assert all(asked.headers["authorization"] == f"Bearer {KEY}" for asked in server.asked)


def test_what_was_sent_and_what_came_back_is_noted_whether_it_can_be_used_or_not(server: ChatServer) -> None:
    notes: list[Exchange] = []
    one = writer(server, note=notes.append)
    one.write(REQUEST)
    server.ways.append(chat_server.good("no brief"))
    with pytest.raises(WriterError):
        one.write(REQUEST)
    used, unfit = notes
    assert (used.provider, used.model, used.attempts, used.tokens, used.error) == ("127.0.0.1", MODEL, 1, 420, None)
    assert (used.received, unfit.received) == (GOOD, "no brief")
    assert json.loads(used.sent) == server.asked[0].document["messages"]
    assert unfit.error == "its text is no JSON object"


def test_without_an_address_there_is_no_endpoint_and_without_the_client_it_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert writer_of(Settings(home=tmp_path)) is None
    settings = Settings(home=tmp_path, brief_url="http://localhost:11434/v1/", brief_model="llama3.1:8b")
    made = writer_of(settings)
    assert made is not None
    assert made.provider == "localhost"
    monkeypatch.setattr(endpoint, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"pip install 'churn-pipeline\[briefs\]'"):
        writer_of(settings)


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:11434/v1",
        "http://127.0.0.1:8000/v1",
        "http://[::1]:8000/v1",
        "http://10.2.3.4/v1",
        "http://ollama:11434/v1",
        "http://gpu.ml.internal:8000/v1",
        "https://api.groq.com/openai/v1",
    ],
)
def test_an_address_is_https_or_near(url: str, tmp_path: Path) -> None:
    assert Settings(home=tmp_path, brief_url=f" {url}/ ", brief_model="m").brief_url == url


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"brief_url": "http://api.groq.com/openai/v1", "brief_model": "m"}, "elsewhere write https"),
        ({"brief_url": "http://8.8.8.8/v1", "brief_model": "m"}, "elsewhere write https"),
        ({"brief_url": "https://me:sesame@host/v1", "brief_model": "m"}, "without a login"),
        ({"brief_url": "https://host/v1?key=sesame", "brief_model": "m"}, "without a login"),
        ({"brief_url": "ftp://host/v1", "brief_model": "m"}, "such as http://localhost"),
        ({"brief_url": "localhost:11434", "brief_model": "m"}, "such as http://localhost"),
        ({"brief_url": "https://host/v1"}, "CHURN_BRIEF_URL is set and CHURN_BRIEF_MODEL is not"),
        ({"brief_model": "m"}, "CHURN_BRIEF_MODEL is set and CHURN_BRIEF_URL is not"),
        ({"brief_key": "sesame\nX-Other: 1"}, "neither blanks nor line breaks"),
        ({"brief_key": "change-me"}, "still change-me"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_refused_without_its_value(
    settings: dict[str, str], words: str, tmp_path: Path
) -> None:
    with pytest.raises(ValidationError, match=words) as problem:
        Settings(home=tmp_path, **settings)
    assert "sesame" not in str(problem.value)
