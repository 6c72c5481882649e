"""Who asks: bearer tokens, as RFC 6750 has them."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()


class Tokens:
    """The tokens that are known. None is kept as it is written, and printing this shows none.

    Args:
        tokens: by the name of whoever holds them.
    """

    def __init__(self, tokens: Mapping[str, str]) -> None:
        self._digests = [(name, _digest(token.encode())) for name, token in tokens.items()]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def holder(self, authorization: Iterable[bytes]) -> str | None:
        """The name behind a request's Authorization headers; None where there is not exactly one, or its token is not known.

        The time that it takes does not depend on the token: digests of one length are compared, all of them, in constant time.
        """
        headers = list(authorization)
        scheme, _, token = headers[0].partition(b" ") if len(headers) == 1 else (b"", b"", b"")
        given = _digest(token.strip(b" "))
        holder = None
        for name, digest in self._digests:
            if hmac.compare_digest(digest, given):
                holder = name
        return holder if scheme.lower() == b"bearer" else None
