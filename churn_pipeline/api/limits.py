"""How often somebody may ask: a token bucket for each name."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

_NANOSECONDS = 1_000_000_000
MINUTE = 60
# Names come from outside where they are addresses; beyond so many the one that asked longest ago is taken as new.
_NAMES_KEPT = 10_000


@dataclass(frozen=True)
class Grant:
    """What a bucket answers.

    Attributes:
        is_granted: whether the request may be carried out.
        remaining: how many more may follow at once.
        seconds: until the next may be carried out, or, where some remain, until the bucket is full; whole seconds, rounded up.
    """

    is_granted: bool
    remaining: int
    seconds: int


class Buckets:
    """A bucket for each name. It holds a minute's requests, is full at first, and fills evenly.

    Kept is the moment at which a bucket will be full, in nanoseconds times the rate: whole numbers, so that no request is gained or lost by
    rounding however long it goes on.

    Args:
        a_minute: how many requests; 1 or more.
        clock: nanoseconds that never go back.
    """

    def __init__(self, a_minute: int, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self.a_minute = a_minute
        self._clock = clock
        self._request = MINUTE * _NANOSECONDS
        self._full_at: OrderedDict[str, int] = OrderedDict()

    def take(self, name: str) -> Grant:
        """Takes one request out of a bucket, where it holds one."""
        now = self._clock() * self.a_minute
        capacity = self._request * self.a_minute
        full_at = max(self._full_at.pop(name, now), now)
        if is_granted := full_at + self._request - now <= capacity:
            full_at += self._request
        self._full_at[name] = full_at
        if len(self._full_at) > _NAMES_KEPT:
            self._full_at.popitem(last=False)
        remaining = (capacity - (full_at - now)) // self._request
        wait = full_at - now if remaining else full_at + self._request - now - capacity
        return Grant(is_granted, remaining, -(-wait // (self.a_minute * _NANOSECONDS)))
