"""Where a list goes on. A cursor names the publication, what the list was asked for, and the rank of its last customer: nobody's id."""

from __future__ import annotations

import binascii
import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass

from churn_pipeline.core.errors import InputError
from churn_pipeline.core.json_text import json_text

# Of the text that follows: what was cut off or mistyped is told from what was made here.
_CHECK_BYTES = 6
_SEPARATOR = "\x1f"
LONGEST = 200


class CursorError(InputError):
    """It is no cursor of ours, or one of another list."""


@dataclass(frozen=True)
class Cursor:
    """A place in a list.

    Attributes:
        publication: `Publication.identity` of the publication that the list is read from.
        asked_for: digest of the filters, from `digest_of`.
        rank: of the last customer that was listed; the list goes on behind it.
    """

    publication: str
    asked_for: str
    rank: int

    def text(self) -> str:
        """As it stands in an address."""
        content = _SEPARATOR.join((self.publication, self.asked_for, str(self.rank))).encode()
        return urlsafe_b64encode(_check(content) + content).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Reads what `text` wrote.

        Raises:
            CursorError: it did not.
        """
        try:
            content = urlsafe_b64decode(text + "=" * (-len(text) % 4))
            check, content = content[:_CHECK_BYTES], content[_CHECK_BYTES:]
            publication, asked_for, rank = content.decode().split(_SEPARATOR)
            cursor = cls(publication, asked_for, int(rank))
        except (binascii.Error, ValueError):
            raise CursorError(_NONE_OF_OURS) from None
        # What is written in another way, such as with other characters that decode to the same, is none of ours either.
        if check != _check(content) or cursor.text() != text:
            raise CursorError(_NONE_OF_OURS)
        return cursor


_NONE_OF_OURS = "The cursor cannot be read: pass `next` of a page as it stands, or leave it out to begin."


def digest_of(**filters: object) -> str:
    """Names what a list was asked for."""
    return hashlib.sha256(json_text(filters, sort_keys=True).encode()).hexdigest()[:12]


def _check(content: bytes) -> bytes:
    return hashlib.sha256(b"churn cursor 1" + content).digest()[:_CHECK_BYTES]
