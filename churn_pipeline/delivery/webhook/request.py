"""One signed request, and what came of it."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from churn_pipeline.core.bounded import within
from churn_pipeline.delivery.slack.outbox import Handed

EVENT = "monday.published"
# Seconds for one attempt, pauses between attempts of one occasion.
_PATIENCE = 10.0
_PAUSES = (0.5, 2.0)
# Whoever answers so may answer otherwise in a moment.
_PASSING = frozenset((408, 425, 429))


class _Here(HTTPRedirectHandler):
    """A redirect is not followed: what is signed for one receiver is for no other."""

    def redirect_request(self, *_: object, **__: object) -> None:
        return None


def signature(secret: str, timestamp: int, body: bytes) -> str:
    """What the header ``Churn-Signature`` holds: HMAC-SHA256 over the timestamp, a dot and the body.

    Args:
        secret: known to both sides.
        timestamp: of the attempt, in UNIX seconds, as in the header ``Churn-Timestamp``: an old one is no new message.
        body: the bytes that are sent.
    """
    signed = f"{timestamp}.".encode() + body
    return f"v1={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"


def post(address: str, secret: str, body: bytes, delivery: str, seconds: float) -> Handed:
    """Posts a body, up to three times while the receiver is away or busy.

    Args:
        address: of the receiver; it may be a secret, and stands in no reason.
        secret: to sign with.
        body: JSON.
        delivery: names the message, the same at every attempt.
        seconds: hard bound on everything.
    """
    end = time.monotonic() + seconds
    handed = Handed(False, "there was no time to send it")
    for pause in (*_PAUSES, None):
        remaining = end - time.monotonic()
        if remaining <= 0:
            break
        handed, passing = _attempt(address, secret, body, delivery, min(_PATIENCE, remaining))
        if handed.taken or not passing or pause is None or pause + handed.retry_after >= end - time.monotonic():
            break
        time.sleep(max(pause, handed.retry_after))
    return handed


def _attempt(address: str, secret: str, body: bytes, delivery: str, seconds: float) -> tuple[Handed, bool]:
    """One attempt, and whether another one at once may do better."""
    timestamp = int(time.time())
    request = Request(
        address,
        data=body,
        method="POST",
        headers={
            "Content-Type": "application/json",
            "User-Agent": "churn-pipeline",
            "Churn-Event": EVENT,
            "Churn-Delivery": delivery,
            "Churn-Timestamp": str(timestamp),
            "Churn-Signature": signature(secret, timestamp, body),
        },
    )

    def send() -> int:
        with build_opener(_Here).open(request, timeout=seconds) as response:
            return int(response.status)

    try:
        status, headers = within(seconds, send), {}
    except HTTPError as error:
        status, headers = error.code, dict(error.headers.items())
        error.close()
    except (OSError, HTTPException) as error:
        # Its text may quote the address.
        kind = type(getattr(error, "reason", None) or error).__name__
        return Handed(
            False, f"the receiver of CHURN_PUBLISHED_WEBHOOK cannot be reached or does not answer ({kind})"
        ), True
    if 200 <= status < 300:
        return Handed(True), False
    reason = f"the receiver of CHURN_PUBLISHED_WEBHOOK answers {status}"
    return Handed(False, reason, _retry_after(headers)), status >= 500 or status in _PASSING


def _retry_after(headers: Mapping[str, str]) -> float:
    text = next((value for name, value in headers.items() if name.lower() == "retry-after"), "")
    # A day at most: who asks for longer is asked again all the same.
    return min(float(text), 86_400.0) if text.isdigit() else 0.0
