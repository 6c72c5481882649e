"""One conversation with Slack: a message sent, the configuration tried out.

Every function returns what Slack said as a value. None raises for Slack's sake, none takes longer than it is told to, and none
lets the token or the webhook's address out: slack-sdk logs addresses, so its logger is cut off here, and what its exceptions
say is scrubbed.
"""

from __future__ import annotations

import http.client
import json
import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal
from urllib.error import URLError

from pydantic import SecretStr

from churn_pipeline.core.bounded import within

if TYPE_CHECKING:
    from slack_sdk.http_retry import RetryHandler

Way = Literal["bot", "webhook", "none"]
Outcome = Literal["delivered", "wait", "server_error", "unknown", "misconfigured", "rejected"]

SLACK_API = "https://slack.com/api/"
# After the first attempt. Slack asks for a second or so when it rate limits; three attempts outlive one hiccup, and the outbox
# outlives the rest.
_RETRIES = 2

# What Slack answers when the message itself is the problem: waiting would not help.
_REJECTED = frozenset(
    [
        "invalid_blocks",
        "invalid_blocks_format",
        "invalid_payload",
        "invalid_arguments",
        "invalid_charset",
        "invalid_json",
        "invalid_attachments",
        "json_not_object",
        "msg_too_long",
        "msg_blocks_too_long",
        "no_text",
        "missing_text_or_fallback_or_attachments",
        "too_many_attachments",
        "invalid_metadata_format",
        "invalid_metadata_schema",
        "metadata_too_large",
    ]
)
# "It's possible some aspect of the operation succeeded before the error was raised", says Slack's documentation of the first two.
_SERVER = frozenset(["internal_error", "fatal_error", "service_unavailable", "request_timeout", "rollup_error"])
_RATE_LIMITED = frozenset(["ratelimited", "rate_limited", "message_limit_exceeded"])
_ADVICE = {
    "invalid_auth": "Slack does not accept the bot token: check CHURN_SLACK_TOKEN (xoxb-...)",
    "not_authed": "Slack does not accept the bot token: check CHURN_SLACK_TOKEN (xoxb-...)",
    "token_revoked": "the bot token was revoked: install the app again and set CHURN_SLACK_TOKEN",
    "token_expired": "the bot token has expired: install the app again and set CHURN_SLACK_TOKEN",
    "account_inactive": "the bot's account is switched off: install the app again and set CHURN_SLACK_TOKEN",
    "missing_scope": "the app lacks a scope: add chat:write, install it again",
    "channel_not_found": "no such channel, or a private one that the app is not in: give its ID (C...) and invite the app",
    "not_in_channel": "the app is not in the channel: invite it, or add the scope chat:write.public",
    "is_archived": "the channel is archived: choose another one",
    "channel_is_archived": "the channel of the webhook is archived: create a webhook for another one",
    "no_service": "the webhook is disabled or removed: create a new one and set CHURN_SLACK_WEBHOOK",
    "no_team": "the workspace of the webhook is gone: create a new one and set CHURN_SLACK_WEBHOOK",
    "invalid_token": "Slack does not accept the webhook's address: check CHURN_SLACK_WEBHOOK",
    "action_prohibited": "an administrator restricts who may post there",
}
# The scopes without which something is left out, and what.
MENTIONS_SCOPE, PICTURES_SCOPE = "users:read.email", "files:write"
_LEFT_OUT = {
    MENTIONS_SCOPE: "owners whose names are e-mail addresses are named and not mentioned",
    PICTURES_SCOPE: "the digest has no picture",
}
# A member of the workspace, as a mention needs them.
_MEMBER = re.compile(r"[UW][A-Z0-9]{7,20}")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
# With one of these no message will get through, whatever its channel.
_EVERYWHERE = frozenset(
    [
        "invalid_auth",
        "not_authed",
        "token_revoked",
        "token_expired",
        "account_inactive",
        "missing_scope",
        "no_service",
        "no_team",
        "invalid_token",
    ]
)


@dataclass(frozen=True)
class SlackConfig:
    """How to reach Slack. With neither token nor webhook nothing is sent, and messages are recorded instead.

    Attributes:
        token: of a bot; preferred when both are given, because only a bot can reply in a thread.
        webhook: address of an incoming webhook; it posts to the channel that it was made for.
        channel: where a bot posts; an ID (C...) rather than a name, because names change.
        channels: another channel for some kinds, by the kind of an alert or ``digest``.
        owners: member IDs of owners who are mentioned.
        timeout_seconds: how long one request may stay silent.
        api: base of the Web API; GovSlack has its own.
    """

    token: SecretStr | None = None
    webhook: SecretStr | None = None
    channel: str | None = None
    channels: Mapping[str, str] = field(default_factory=dict)
    owners: Mapping[str, str] = field(default_factory=dict)
    timeout_seconds: int = 10
    api: str = SLACK_API

    @property
    def way(self) -> Way:
        if self.token is not None and self.token.get_secret_value().strip():
            return "bot"
        return "webhook" if self.webhook is not None and self.webhook.get_secret_value().strip() else "none"

    def channel_for(self, kind: str) -> str | None:
        """Where a message of a kind goes; a webhook has one channel and does not tell which."""
        return None if self.way == "webhook" else self.channels.get(kind) or self.channel


@dataclass(frozen=True)
class Answer:
    """What became of one attempt to send.

    Attributes:
        outcome: ``delivered``; ``wait`` (certainly not delivered, try later); ``server_error`` (Slack failed, most likely not
            delivered); ``unknown`` (no usable answer, it may have been delivered); ``misconfigured`` (not delivered until
            somebody acts); ``rejected`` (Slack dislikes this message).
        reason: for people, without secrets.
        channel_id: where a bot's message stands.
        ts: its timestamp, which names it in its channel.
        retry_after: seconds that Slack asks to wait.
        everywhere: whether the next message would fare no better.
    """

    outcome: Outcome
    reason: str = ""
    channel_id: str | None = None
    ts: str | None = None
    retry_after: float = 0
    everywhere: bool = False


def post(
    config: SlackConfig,
    *,
    channel: str | None,
    text: str,
    blocks: Sequence[Mapping[str, Any]],
    thread_ts: str | None = None,
    seconds: float = 30,
) -> Answer:
    """Sends one message.

    Rate limits (as long as Slack asks for less than ``seconds``), HTTP 500 and 503 and failures to connect are retried by
    slack-sdk's handlers. A connection that breaks or falls silent after the request was sent is not: Slack may have the message.

    Args:
        config: how; not ``none``.
        channel: required for a bot.
        text: fallback, escaped.
        blocks: Block Kit; empty for text alone.
        thread_ts: reply to this message of the channel.
        seconds: hard bound on everything.
    """
    if config.way == "bot":
        if not channel:
            return Answer("misconfigured", "CHURN_SLACK_TOKEN is set and no channel is: set CHURN_SLACK_CHANNEL")
        return _answered(config, seconds, lambda: _post_as_bot(config, channel, text, blocks, thread_ts, seconds))
    return _answered(config, seconds, lambda: _post_to_webhook(config, text, blocks, seconds))


def mentions(config: SlackConfig, owners: Iterable[str], seconds: float = 10) -> tuple[dict[str, str], str]:
    """Who of the owners can be mentioned: by the map of the settings, or, where an owner is an e-mail address, as Slack knows them.

    Args:
        config: how to reach Slack; without a token only the map counts.
        owners: as the data name them.
        seconds: hard bound on everything.

    Returns:
        Member IDs by owner, and why some could not be asked for; empty where all could. Nobody with an address is no such case.
    """
    wanted = list(dict.fromkeys(owners))
    known = {owner: config.owners[owner] for owner in wanted if owner in config.owners}
    addresses = [owner for owner in wanted if owner not in known and _EMAIL.fullmatch(owner.strip())]
    if config.way != "bot" or not addresses:
        return known, ""
    members: dict[str, str] = {}

    def look_up() -> Answer:
        from slack_sdk.errors import SlackApiError

        client = _web_client(config, seconds)
        for address in addresses:
            try:
                member = str(client.users_lookupByEmail(email=address.strip()).get("user", {}).get("id", ""))
            except SlackApiError as error:
                if _code(error) != "users_not_found":
                    raise
                continue
            if _MEMBER.fullmatch(member):
                members[address] = member
        return Answer("delivered")

    answer = _answered(config, seconds, look_up)
    # A thread that nobody waits for any more may go on adding.
    return known | dict(members), "" if answer.outcome == "delivered" else _lacking(MENTIONS_SCOPE, answer.reason)


def upload(
    config: SlackConfig,
    *,
    channel_id: str,
    thread_ts: str,
    picture: bytes,
    name: str,
    title: str,
    seconds: float = 15,
) -> Answer:
    """Puts a picture into the thread of a message. Slack has no key by which an upload could be found again, so whoever calls tries once.

    Args:
        config: with a token.
        channel_id: an ID.
        thread_ts: the message.
        picture: PNG.
        name: of the file.
        title: shown with it, and read out to whoever cannot see it.
        seconds: hard bound on everything.
    """

    def put() -> Answer:
        from slack_sdk.errors import SlackRequestError

        try:
            _web_client(config, seconds).files_upload_v2(
                channel=channel_id,
                thread_ts=thread_ts,
                filename=name,
                content=picture,
                title=title,
                alt_txt=title,
            )
        except SlackRequestError:
            # Its message quotes the address that was given for this file alone.
            return Answer("unknown", "Slack did not take the file")
        return Answer("delivered")

    answer = _answered(config, seconds, put)
    return (
        answer if answer.outcome != "misconfigured" else replace(answer, reason=_lacking(PICTURES_SCOPE, answer.reason))
    )


def _lacking(scope: str, reason: str) -> str:
    return (
        f"{_LEFT_OUT[scope]}: the app lacks the scope {scope}"
        if "missing_scope" in reason
        else f"{_LEFT_OUT[scope]}: {reason}"
    )


def check(config: SlackConfig, seconds: float = 30) -> tuple[bool, tuple[str, ...]]:
    """Whether Slack accepts the configuration, as far as that can be told without posting, and what to know about it."""
    match config.way:
        case "none":
            return False, (
                "neither CHURN_SLACK_TOKEN nor CHURN_SLACK_WEBHOOK is set: messages go to the log and the outbox",
            )
        case "webhook":
            return True, ("a webhook: lists per owner are left out",)
    identity: dict[str, Any] = {}

    def ask() -> Answer:
        response = _web_client(config, seconds).auth_test()
        headers = {str(name).lower(): value for name, value in response.headers.items()}
        identity.update(
            team=response.get("team"), user=response.get("user"), scopes=str(headers.get("x-oauth-scopes", ""))
        )
        return Answer("delivered")

    answer = _answered(config, seconds, ask)
    if answer.outcome != "delivered":
        return False, (answer.reason,)
    notes = [f"bot {identity['user']} of workspace {identity['team']}"]
    scopes = {scope.strip() for scope in identity["scopes"].split(",")}
    notes += [f"without the scope {scope} {what}" for scope, what in _LEFT_OUT.items() if scope not in scopes]
    if "chat:write" not in scopes and any(scopes):
        return False, (*notes, _ADVICE["missing_scope"])
    return config.channel is not None, (*notes, *(() if config.channel else ("set CHURN_SLACK_CHANNEL",)))


def _post_as_bot(
    config: SlackConfig,
    channel: str,
    text: str,
    blocks: Sequence[Mapping[str, Any]],
    thread_ts: str | None,
    seconds: float,
) -> Answer:
    response = _web_client(config, seconds).chat_postMessage(
        channel=channel,
        text=text,
        blocks=[dict(block) for block in blocks] or None,
        thread_ts=thread_ts,
        # The fallback is plain: `*` and `_` in a name format nothing.
        mrkdwn=False,
        unfurl_links=False,
        unfurl_media=False,
    )
    return Answer("delivered", channel_id=response.get("channel"), ts=response.get("ts"))


def _post_to_webhook(config: SlackConfig, text: str, blocks: Sequence[Mapping[str, Any]], seconds: float) -> Answer:
    from slack_sdk.webhook import WebhookClient

    assert config.webhook is not None
    client = WebhookClient(
        config.webhook.get_secret_value().strip(),
        timeout=_timeout(config, seconds),
        logger=_silent_logger(),
        retry_handlers=_retry_handlers(seconds),
    )
    body: dict[str, Any] = {"text": text, "mrkdwn": False, "unfurl_links": False, "unfurl_media": False}
    response = client.send_dict(body | ({"blocks": [dict(block) for block in blocks]} if blocks else {}))
    reply = response.body.strip()
    if response.status_code == 200:
        if reply == "ok":
            return Answer("delivered")
        return Answer("misconfigured", "what answers at CHURN_SLACK_WEBHOOK is not a webhook of Slack")
    return _judged(reply, response.status_code, response.headers)


def _web_client(config: SlackConfig, seconds: float) -> Any:
    from slack_sdk import WebClient

    assert config.token is not None
    return WebClient(
        token=config.token.get_secret_value().strip(),
        base_url=config.api,
        timeout=_timeout(config, seconds),
        logger=_silent_logger(),
        retry_handlers=_retry_handlers(seconds),
    )


def _timeout(config: SlackConfig, seconds: float) -> int:
    return max(1, min(config.timeout_seconds, int(seconds)))


def _silent_logger() -> logging.Logger:
    """A logger outside the tree: slack-sdk writes a webhook's whole address to its own at DEBUG, and on retries at INFO."""
    return logging.Logger("slack_sdk", logging.CRITICAL + 1)


def _retry_handlers(seconds: float) -> list[RetryHandler]:
    from slack_sdk.http_retry import ConnectionErrorRetryHandler, RateLimitErrorRetryHandler
    from slack_sdk.http_retry.builtin_handlers import ServerErrorRetryHandler

    class PatientWithin(RateLimitErrorRetryHandler):
        """Waits as Slack asks, unless that is longer than anybody waits here; slack-sdk's own would sleep for an hour."""

        def _can_retry(self, *, response: Any = None, **rest: Any) -> bool:
            retry_after = _retry_after(response.headers) if response is not None else None
            return (
                super()._can_retry(response=response, **rest) and retry_after is not None and retry_after < seconds / 2
            )

    return [
        PatientWithin(max_retry_count=_RETRIES),
        ServerErrorRetryHandler(max_retry_count=_RETRIES),
        # URLError is a failure before the request was out. slack-sdk's default also repeats requests that were sent and whose
        # answer never came: the way to post twice.
        ConnectionErrorRetryHandler(max_retry_count=_RETRIES, error_types=[URLError]),
    ]


def _retry_after(headers: Mapping[str, Any]) -> float | None:
    for name, value in headers.items():
        if str(name).lower() == "retry-after":
            text = str(value[0] if isinstance(value, list) else value)
            return float(text) if text.isdigit() else None
    return None


def _answered(config: SlackConfig, seconds: float, call: Callable[[], Answer]) -> Answer:
    """Runs a request and turns whatever happens into an answer."""
    from slack_sdk.errors import SlackApiError, SlackRequestError

    try:
        answer = within(seconds, call)
    except SlackApiError as error:
        answer = _judged(_code(error), _status(error), getattr(error.response, "headers", None) or {})
    except URLError as error:
        answer = Answer("wait", f"no connection to Slack: {error.reason}", everywhere=True)
    except json.JSONDecodeError:
        answer = Answer("unknown", "Slack's answer could not be read")
    except (TimeoutError, ConnectionError, http.client.HTTPException) as error:
        if isinstance(error, http.client.InvalidURL):
            answer = Answer("misconfigured", "the address of Slack is no address", everywhere=True)
        else:
            answer = Answer("unknown", f"Slack did not answer ({type(error).__name__})", everywhere=True)
    except (SlackRequestError, ValueError):
        # Their messages quote the address or the header, which is the secret.
        answer = Answer("misconfigured", "the token or the address of the webhook is malformed", everywhere=True)
    except Exception as error:
        answer = Answer("unknown", _named(error), everywhere=True)
    return Answer(**{**vars(answer), "reason": _scrub(config, answer.reason)})


def _judged(code: str, status: int, headers: Mapping[str, Any]) -> Answer:
    """What an error of Slack means for the message."""
    if status == 429 or code in _RATE_LIMITED:
        wait = _retry_after(headers) or 60.0
        return Answer("wait", f"Slack asks to wait for {wait:.0f} s", retry_after=wait, everywhere=True)
    if status >= 500 or code in _SERVER:
        return Answer("server_error", f"Slack failed ({code if _is_code(code) else f'HTTP {status}'})", everywhere=True)
    if code in _REJECTED:
        return Answer("rejected", f"Slack does not take the message ({code})")
    if not _is_code(code):
        # A page of a proxy or a portal in the way; with 200 it may also be Slack's answer, damaged.
        return Answer("unknown" if status == 200 else "wait", f"no answer of Slack's (HTTP {status})", everywhere=True)
    return Answer("misconfigured", f"{_ADVICE.get(code, 'Slack refuses')} ({code})", everywhere=code in _EVERYWHERE)


def _code(error: Any) -> str:
    response = error.response
    data = response if isinstance(response, Mapping) else getattr(response, "data", None)
    return str(data.get("error", "")) if isinstance(data, Mapping) else ""


def _status(error: Any) -> int:
    return int(getattr(error.response, "status_code", 0) or 0)


def _is_code(text: str) -> bool:
    return 0 < len(text) <= 60 and text.isascii() and text.replace("_", "").isalnum()


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:300]


def _scrub(config: SlackConfig, text: str) -> str:
    """Takes the secrets out of a text, and of the webhook's address also its path, which is what is secret about it."""
    for secret in (config.token, config.webhook):
        value = secret.get_secret_value().strip() if secret is not None else ""
        # Not urlsplit: it raises on a malformed address, and quotes it.
        path = value.partition("://")[2].partition("/")[2]
        for part in (value, path if len(path) > 8 else ""):
            if part:
                text = text.replace(part, "(secret)")
    return text
