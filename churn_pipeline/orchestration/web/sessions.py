"""Who is let in: one-time tokens, a login, the sessions that follow, and how often somebody may be wrong."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

Clock = Callable[[], float]

# A working day, and the evening after it. Dagster's page asks all the time, so a session would never end by being idle.
SESSION_SECONDS = 12 * 60 * 60

# A person who mistypes gets in; whoever guesses gets 5 tries a minute from one address, and all together 30.
ATTEMPTS_SECONDS = 60
ATTEMPTS_OF_ONE = 5
ATTEMPTS_OF_ALL = 30


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


@dataclass(frozen=True)
class Login:
    """One name and one password. Neither is shown when this is printed."""

    user: str = field(repr=False)
    password: str = field(repr=False)

    def accepts(self, user: str, password: str) -> bool:
        """Whether both are right; takes equally long whatever is wrong, and however much of it."""
        right_user = hmac.compare_digest(_digest(user), _digest(self.user))
        right_password = hmac.compare_digest(_digest(password), _digest(self.password))
        return right_user and right_password


class OneTimeToken:
    """A token that opens once. When it has, there is a new one, for another browser."""

    def __init__(self) -> None:
        self._value = secrets.token_urlsafe(32)

    @property
    def value(self) -> str:
        return self._value

    def take(self, given: str) -> bool:
        """Whether this is the token; it is used up by that."""
        if not hmac.compare_digest(_digest(given), _digest(self._value)):
            return False
        self._value = secrets.token_urlsafe(32)
        return True


class Sessions:
    """Sessions of this process. What is kept of one cannot be sent back as its cookie."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._ends: dict[bytes, float] = {}

    def begin(self) -> str:
        """A new session; the value of its cookie."""
        now = self._clock()
        self._ends = {digest: end for digest, end in self._ends.items() if end > now}
        value = secrets.token_urlsafe(32)
        self._ends[_digest(value)] = now + SESSION_SECONDS
        return value

    def holds(self, value: str | None) -> bool:
        """Whether a cookie's value is of a session that goes on."""
        return value is not None and self._ends.get(_digest(value), 0.0) > self._clock()

    def end(self, value: str | None) -> None:
        """Ends a session, where it is one."""
        if value is not None:
            self._ends.pop(_digest(value), None)


class Attempts:
    """Wrong logins and tokens of the last minute, by where they came from."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._wrong: deque[tuple[float, str]] = deque()

    def seconds_to_wait(self, client: str) -> int:
        """How long this client has to wait before anything is looked at that it sends; 0 where it need not."""
        now = self._clock()
        while self._wrong and self._wrong[0][0] <= now - ATTEMPTS_SECONDS:
            self._wrong.popleft()
        own = [moment for moment, who in self._wrong if who == client]
        waits_for = []
        if len(own) >= ATTEMPTS_OF_ONE:
            waits_for.append(own[-ATTEMPTS_OF_ONE])
        if len(self._wrong) >= ATTEMPTS_OF_ALL:
            waits_for.append(self._wrong[-ATTEMPTS_OF_ALL][0])
        return int(max(waits_for) + ATTEMPTS_SECONDS - now) + 1 if waits_for else 0

    def note(self, client: str) -> None:
        """Counts a wrong one."""
        self._wrong.append((self._clock(), client))
