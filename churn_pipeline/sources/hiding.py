"""Keeping what is secret out of messages: drivers repeat what they were given."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, unquote

from churn_pipeline.sources.declared import REFERENCE, Connection

_SECRET_NAME = re.compile(r"pass|secret|token|key|credential|account", re.IGNORECASE)
# Variables that the libraries of object stores read by themselves.
_STORE_VARIABLE = re.compile(r"(AWS|AZURE|GOOGLE|GCS)_")


@dataclass(frozen=True)
class Secrets:
    """What no message may hold: passwords, users, addresses with them, and whatever else an environment variable gave."""

    forms: tuple[str, ...] = field(repr=False)

    @classmethod
    def of(cls, connection: Connection | None, environment: Mapping[str, str]) -> Secrets:
        """The secrets of one connection.

        Raises:
            InputError: a variable that it names is not set.
        """
        values = {
            value for name, value in environment.items() if _STORE_VARIABLE.match(name) and _SECRET_NAME.search(name)
        }
        if connection is not None:
            uri, options = connection.expanded(environment)
            values.add(uri)
            for text in (connection.uri, *connection.options.values()):
                values |= {environment[name] for name in REFERENCE.findall(text)}
            values |= {value for name, value in options.items() if _SECRET_NAME.search(name) or name == "user"}
            for address in (uri, *options.values()):
                values |= set(_credentials(address))
        values |= {form for value in values for form in (unquote(value), quote(value, safe=""), quote(value))}
        # One or two characters stand in every message by chance.
        return cls(tuple(sorted((value for value in values if len(value) > 2), key=lambda form: (-len(form), form))))

    def hidden(self, text: str) -> str:
        """The text in one line, with each of them replaced."""
        for form in self.forms:
            # A user called post is not to be seen in every PostgreSQL.
            bounded = rf"(?<!\w){re.escape(form)}(?!\w)" if form.replace("_", "").isalnum() else re.escape(form)
            text = re.sub(bounded, "***", text)
        return " ".join(text.split())


def _credentials(address: str) -> Iterator[str]:
    """User and password of an address, together and each, and those among its options."""
    rest = address.partition("://")[2]
    # Up to the last @ where a password was written with a bare one, which is an error and gets into a message.
    for userinfo in {rest.partition("@")[0], rest.rpartition("@")[0]} if "@" in rest else ():
        yield userinfo
        yield from userinfo.split(":", 1)
    for name, value in parse_qsl(address.partition("?")[2]):
        if name == "user" or _SECRET_NAME.search(name):
            yield value
