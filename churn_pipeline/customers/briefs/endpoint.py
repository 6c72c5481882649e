"""A writer behind an OpenAI-compatible address: Groq, Ollama, vLLM, or whatever speaks the same protocol.

What is asked for is a JSON object with a text for every part. Whatever comes instead (an error, silence, half an answer, another form, more
than was asked for) is a `WriterError`, and whoever called has the template. Nothing else is raised for the endpoint's sake, nothing takes longer
than it may, and the key stands in no error, no log and no object of the client: it is put into a request as that goes out.

Of the `openai` client only the request is used. Retries, time and size are bounded here, because its timeouts start anew with every byte and its
sizes have no bound; and every header is set here, because it reads a dozen variables (``OPENAI_*``) that were set for something else, and
tells every server about this machine. ``CHURN_BRIEF_*`` is all that counts.
"""

from __future__ import annotations

import json
import logging
import math
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from churn_pipeline.core.bounded import within
from churn_pipeline.core.errors import InputError
from churn_pipeline.core.formatting import clean
from churn_pipeline.core.json_text import json_text
from churn_pipeline.customers.briefs.model import Draft, Part, WriterRequest
from churn_pipeline.customers.errors import WriterError

if TYPE_CHECKING:
    import httpx2
    from openai import OpenAI
    from pydantic import SecretStr

    from churn_pipeline.core.settings import Settings

# Five parts of a few sentences are about 600 tokens; what is longer is no brief, and is cut off by the endpoint.
MAX_TOKENS = 1_500
# An answer of that many tokens has some 10 kB; in a stream each of them comes in an envelope of about 300 bytes.
MAX_BYTES = 1 << 20
# Between attempts, where the endpoint does not say how long to wait; and the longest that it may ask for.
_PAUSES = (0.5, 2.0, 5.0)
MAX_PAUSE = 15.0
# Whoever answers so may answer otherwise in a moment.
_PASSING = frozenset((408, 409, 425, 429))
# Whoever answers so answers every brief so: wrong key, no right, no such model or path.
_LASTING = frozenset((401, 402, 403, 404, 405, 407))
# Briefs in a row for which it was away. Then it is left alone, or every other brief of the run would wait for it too.
_AWAY_FOR_GOOD = 3
_FENCE = re.compile(r"\A```[a-zA-Z]*\s*\n(.*)\n\s*```\Z", re.DOTALL)


@dataclass(frozen=True)
class Exchange:
    """What was sent to an endpoint for one brief and what came back, for the audit. Both hold placeholders where a name would stand.

    Attributes:
        correlation_id: of the brief.
        provider: host of the endpoint.
        model: the model that was asked for.
        attempts: requests that were made; 0 where none was, because the budget is used up or the endpoint is left alone.
        seconds: that all of them took, with the pauses.
        sent: the messages, as JSON.
        received: the text of the answer; None where none came.
        tokens: that the endpoint says it counted, both ways; None where it says nothing.
        error: why there is no draft; None where there is one.
    """

    correlation_id: str
    provider: str
    model: str
    attempts: int
    seconds: float
    sent: str
    received: str | None
    tokens: int | None
    error: str | None


@dataclass(frozen=True)
class _Answer:
    """A response as it came."""

    status: int
    content_type: str
    retry_after: float | None
    body: bytes


class _AttemptError(Exception):
    """An attempt without an answer that can be used.

    Attributes:
        reason: in words, without the key and the address.
        again: whether another attempt may do better.
        lasting: whether every later request would end the same way.
        away: whether it was the endpoint that failed, and not its answer that is unfit.
        pause: seconds that it asks to be left alone for; None where it does not say.
    """

    def __init__(
        self,
        reason: str,
        *,
        again: bool = False,
        lasting: bool = False,
        away: bool = False,
        pause: float | None = None,
        received: str | None = None,
        tokens: int | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.again = again
        self.lasting = lasting
        self.away = away
        self.pause = pause
        self.received = received
        self.tokens = tokens


class EndpointWriter:
    """Writes briefs by a language model. One for a run, as the budget is; it may be used from several threads.

    Args:
        url: base address, such as ``http://localhost:11434/v1``.
        model: what to ask for.
        key: bearer token; None where the endpoint wants none.
        timeout: most seconds that one request may take, all in all.
        attempts: how often a request is repeated when the endpoint is busy, fails or cannot be reached.
        budget: most requests that this writer makes.
        note: called once a brief with what was sent and what came back, whether it can be used or not.
        pauses: seconds between attempts, the last one for all that follow.
        max_pause: longest pause that the endpoint may ask for.
        seconds: from now on, that all requests together may take; None for no bound.

    Raises:
        InputError: the client is not installed.
    """

    def __init__(
        self,
        url: str,
        model: str,
        key: SecretStr | None = None,
        *,
        timeout: float = 20.0,
        attempts: int = 2,
        budget: int = 100,
        note: Callable[[Exchange], None] | None = None,
        pauses: Sequence[float] = _PAUSES,
        max_pause: float = MAX_PAUSE,
        seconds: float | None = None,
    ) -> None:
        if find_spec("openai") is None:
            raise InputError(
                "CHURN_BRIEF_URL is set, and the client for it is not installed: pip install 'churn-pipeline[briefs]', or take "
                "the variable out to have briefs from the template"
            )
        self._url = url
        self._model = model
        self._key = key
        self._timeout = timeout
        self._attempts = attempts
        self._remaining = budget
        self._budget = budget
        self._note = note
        self._pauses = tuple(pauses)
        self._max_pause = max_pause
        self._seconds = seconds
        self._until = math.inf if seconds is None else time.monotonic() + seconds
        self._host = urlsplit(url).hostname or url
        self._lock = threading.Lock()
        self._away = 0
        self._given_up: str | None = None

    @property
    def provider(self) -> str:
        """Host of the address."""
        return self._host

    def write(self, request: WriterRequest) -> Draft:
        """The text of every part of the request.

        Raises:
            WriterError: the endpoint gave none that can be used; the message says why, for whoever reads the brief.
        """
        messages = [
            {"role": "system", "content": request.instructions},
            {"role": "user", "content": request.facts},
        ]
        begun = time.monotonic()
        made = 0
        received: str | None = None
        tokens: int | None = None
        failure: str | None = None

        def count() -> None:
            nonlocal made
            made += 1

        try:
            received, tokens = self._ask(messages, count)
            return Draft(_parts(received, request.parts), self._host, self._model)
        except _AttemptError as error:
            failure = error.reason
            received, tokens = error.received or received, error.tokens or tokens
        finally:
            if self._note is not None:
                sent = json_text(messages, ascii_only=False)
                seconds = round(time.monotonic() - begun, 3)
                self._note(
                    Exchange(
                        request.correlation_id, self._host, self._model, made, seconds, sent, received, tokens, failure
                    )
                )
        raise WriterError(failure)

    def _ask(self, messages: list[dict[str, str]], count: Callable[[], None]) -> tuple[str, int | None]:
        """The text of the answer, after as many attempts as it may take."""
        for attempt in range(self._attempts + 1):
            self._draw()
            count()
            try:
                text, tokens = _text_of(self._attempt(messages))
            except _AttemptError as error:
                if not error.again or attempt == self._attempts:
                    self._remember(error)
                    raise
                pause = self._pauses[min(attempt, len(self._pauses) - 1)] if error.pause is None else error.pause
                if pause > self._max_pause:
                    self._remember(error)
                    raise _AttemptError(f"{error.reason} and asks to be left alone for {pause:,.0f} s") from None
                time.sleep(min(pause, max(self._until - time.monotonic(), 0)))
            else:
                with self._lock:
                    self._away = 0
                return text, tokens
        raise AssertionError("the last attempt raises")

    def _draw(self) -> None:
        """Takes one request from the budget."""
        with self._lock:
            if time.monotonic() >= self._until:
                raise self._over()
            if self._given_up is not None:
                raise _AttemptError(f"{self._given_up}; it was not asked again in this run")
            if self._remaining < 1:
                raise _AttemptError(f"the budget of {self._budget:,} requests a run (CHURN_BRIEF_BUDGET) is used up")
            self._remaining -= 1

    def _over(self) -> _AttemptError:
        return _AttemptError(f"the {self._seconds:g} seconds are over that all briefs of a run may wait for it")

    def _remember(self, error: _AttemptError) -> None:
        with self._lock:
            self._away = self._away + 1 if error.away else 0
            if error.lasting or self._away >= _AWAY_FOR_GOOD:
                self._given_up = error.reason

    def _attempt(self, messages: list[dict[str, str]]) -> _Answer:
        """One request, within the time that it has."""
        # Before the time begins: the client takes a second to load.
        import openai  # noqa: F401

        client: list[OpenAI] = []

        def send() -> _Answer:
            with self._client() as opened:
                client.append(opened)
                return self._send(opened, messages)

        try:
            return within(min(self._timeout, max(self._until - time.monotonic(), 0.01)), send)
        except TimeoutError:
            # Its connection goes, or the thread would read on for as long as something drips.
            for opened in client:
                with suppress(Exception):
                    opened.close()
            if time.monotonic() >= self._until:
                raise self._over() from None
            raise _AttemptError(f"it did not answer within {self._timeout:g} s", away=True) from None

    def _send(self, client: OpenAI, messages: list[dict[str, str]]) -> _Answer:
        import httpx2
        import openai

        try:
            # The response as it came: what servers leave out or add is looked at here.
            response = client.post(
                "/chat/completions",
                cast_to=httpx2.Response,
                body={
                    "model": self._model,
                    "messages": messages,
                    "max_tokens": MAX_TOKENS,
                    "temperature": 0,
                    "response_format": {"type": "json_object"},
                    "stream": False,
                },
            )
            return _answer(response, response.content)
        except openai.APIStatusError as error:
            raise self._refused(_answer(error.response, error.response.content)) from None
        except openai.APITimeoutError:
            raise TimeoutError from None
        except (openai.OpenAIError, httpx2.HTTPError, OSError) as error:
            cause = error.__cause__ or error
            # What it says may quote the address or a header: its kind is enough.
            reason = f"it cannot be reached or broke off ({type(cause).__name__})"
            raise _AttemptError(reason, again=True, away=True) from None

    def _refused(self, answer: _Answer) -> _AttemptError:
        status = answer.status
        lasting = status in _LASTING
        again = status in _PASSING or status >= 500
        reason = f"it answers {status}"
        # Whoever does not know the key may quote it.
        if status not in (401, 403, 407) and (said := self._said(answer.body)):
            reason += f" ({said})"
        return _AttemptError(reason, again=again, lasting=lasting, away=again or lasting, pause=answer.retry_after)

    def _said(self, body: bytes) -> str:
        """What an endpoint says of its refusal, without the key; empty where it says nothing in the form of the protocol."""
        with suppress(ValueError):
            document = json.loads(body)
            error = document.get("error") if isinstance(document, dict) else None
            message = error.get("message") if isinstance(error, dict) else error
            if isinstance(message, str):
                key = self._key.get_secret_value() if self._key is not None else ""
                return clean(message.replace(key, "***") if key else message, 160)
        return ""

    def _client(self) -> OpenAI:
        """A client that goes nowhere but to the address, with no header but ours, and reads no more than it may."""
        import openai

        # It prints requests where OPENAI_LOG is set.
        for name in ("openai", "httpx2", "httpcore2"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        http = openai.DefaultHttpxClient(
            # No proxy, no .netrc and no certificates by variables that were set for something else; a redirect is no answer.
            trust_env=False,
            follow_redirects=False,
            # The system's certificates, with those that a company added.
            verify=ssl.create_default_context(),
            timeout=self._timeout,
            event_hooks={"request": [self._dress], "response": [_bound]},
        )
        # The key is not this one: it goes into the request by itself.
        return openai.OpenAI(api_key="none", base_url=self._url, max_retries=0, timeout=self._timeout, http_client=http)

    def _dress(self, request: httpx2.Request) -> None:
        """Sets every header of a request: none that tells of this machine, none that a variable brought in."""
        request.headers.clear()
        request.headers.update(
            {
                "Host": request.url.netloc.decode("ascii"),
                "User-Agent": "churn-pipeline",
                "Content-Type": "application/json",
                "Content-Length": str(len(request.content)),
                "Accept": "application/json",
                # Packed, a small answer can be a large one.
                "Accept-Encoding": "identity",
                "Connection": "close",
            }
        )
        if self._key is not None:
            request.headers["Authorization"] = f"Bearer {self._key.get_secret_value()}"


def writer_of(
    settings: Settings, note: Callable[[Exchange], None] | None = None, *, seconds: float | None = None
) -> EndpointWriter | None:
    """The endpoint that settings name, with a budget of its own; None where they name none.

    Args:
        settings: ``CHURN_BRIEF_*``.
        note: called once a brief with what was sent and what came back.
        seconds: from now on, that all requests together may take; None for no bound.

    Raises:
        InputError: there is one, and the client for it is not installed.
    """
    if settings.brief_url is None or settings.brief_model is None:
        return None
    return EndpointWriter(
        settings.brief_url,
        settings.brief_model,
        settings.brief_key,
        timeout=settings.brief_timeout_seconds,
        attempts=settings.brief_attempts,
        budget=settings.brief_budget,
        note=note,
        seconds=seconds,
    )


def _answer(response: httpx2.Response, body: bytes) -> _Answer:
    content_type = response.headers.get("content-type", "").split(";")[0].strip().lower()
    return _Answer(response.status_code, content_type, _retry_after(response.headers), body)


def _bound(response: httpx2.Response) -> None:
    """Has a response end at its largest size, and not be unpacked."""
    from httpx2 import SyncByteStream

    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise _AttemptError("it answers in a packed form that nobody asked for")
    stream = cast("SyncByteStream", response.stream)

    class Bounded(SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            size = 0
            for chunk in stream:
                size += len(chunk)
                if size > MAX_BYTES:
                    raise _AttemptError(f"it answers with more than {MAX_BYTES:,} bytes", away=True)
                yield chunk

        def close(self) -> None:
            stream.close()

    response.stream = Bounded()


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds for which a server asks to be left alone, as a number or as a time."""
    text = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text):
        return float(text)
    with suppress(ValueError):
        return _until(text)
    return None


def _until(text: str) -> float:
    moment = parsedate_to_datetime(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _text_of(answer: _Answer) -> tuple[str, int | None]:
    """The text of a completion, and how many tokens it took.

    Raises:
        _AttemptError: it is none, or one that was cut off or refused.
    """
    if answer.content_type == "text/event-stream":
        # Some servers stream whatever they are asked for.
        return _streamed(answer.body)
    if answer.content_type != "application/json":
        shown = clean(answer.content_type, 60, "a form that it does not name")
        raise _AttemptError(f"it answers with {shown}, not with JSON: is CHURN_BRIEF_URL its base address (…/v1)?")
    document = _json(answer.body)
    choices = document.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise _AttemptError("it answers without a choice")
    message = choices[0].get("message")
    if not isinstance(message, dict):
        raise _AttemptError("it answers without a message")
    tokens = _tokens(document)
    content = message.get("content")
    _check_end(choices[0].get("finish_reason"), message.get("refusal"), content, tokens)
    if not isinstance(content, str) or not content.strip():
        raise _AttemptError("it answers with an empty message", tokens=tokens)
    return content, tokens


def _streamed(body: bytes) -> tuple[str, int | None]:
    """The same of an answer that came in pieces, as server-sent events."""
    pieces: list[str] = []
    reason: object = None
    refusal: object = None
    tokens: int | None = None
    for event in re.split(r"\r\n\r\n|\n\n|\r\r", body.decode("utf-8", "replace")):
        data = "\n".join(
            line.removeprefix("data:").removeprefix(" ") for line in event.splitlines() if line.startswith("data:")
        )
        if not data or data.strip() == "[DONE]":
            continue
        document = _json(data.encode())
        tokens = _tokens(document) or tokens
        choices = document.get("choices")
        # The last event of some servers has the counts and no choice.
        if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
            continue
        delta = choices[0].get("delta")
        if isinstance(delta, dict):
            refusal = delta.get("refusal") or refusal
            if isinstance(delta.get("content"), str):
                pieces.append(delta["content"])
        reason = choices[0].get("finish_reason") or reason
    text = "".join(pieces)
    _check_end(reason, refusal, text, tokens)
    if not text.strip():
        raise _AttemptError("it answers with an empty message", tokens=tokens)
    return text, tokens


def _check_end(reason: object, refusal: object, content: object, tokens: int | None) -> None:
    """Refuses an answer that does not say that it is whole."""
    received = content if isinstance(content, str) else None
    if refusal or reason == "content_filter":
        raise _AttemptError("it refuses to write it", received=received, tokens=tokens)
    if reason == "length":
        raise _AttemptError(f"its answer was cut off at {MAX_TOKENS:,} tokens", received=received, tokens=tokens)
    if reason != "stop":
        raise _AttemptError("its answer does not say that it is whole", received=received, tokens=tokens)


def _json(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise _AttemptError("it answers with broken JSON", again=True, away=True) from None
    if not isinstance(document, dict):
        raise _AttemptError("it answers with JSON of another form")
    return document


def _tokens(document: dict[str, Any]) -> int | None:
    usage = document.get("usage")
    total = usage.get("total_tokens") if isinstance(usage, dict) else None
    return total if isinstance(total, int) and 0 <= total < 1 << 40 else None


def _parts(text: str, parts: Sequence[Part]) -> dict[Part, str]:
    """The text by part.

    Raises:
        _AttemptError: it is no JSON object, or has other parts than these.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) < len(pairs):
            raise ValueError("twice")
        return dict(pairs)

    stripped = text.strip()
    fenced = _FENCE.match(stripped)
    try:
        document = json.loads(fenced[1] if fenced else stripped, object_pairs_hook=once)
    except (ValueError, RecursionError):
        raise _AttemptError("its text is no JSON object", received=text) from None
    if not isinstance(document, dict):
        raise _AttemptError("its text is no JSON object", received=text)
    wanted = [part.value for part in parts]
    if missing := [name for name in wanted if name not in document]:
        raise _AttemptError(f"it left out {', '.join(missing)}", received=text)
    if len(document) > len(wanted):
        raise _AttemptError("it wrote parts that nobody asked for", received=text)
    if unfit := [name for name in wanted if not isinstance(document[name], str) or not document[name].strip()]:
        raise _AttemptError(f"it wrote no text for {', '.join(unfit)}", received=text)
    return {part: document[part.value].strip() for part in parts}
