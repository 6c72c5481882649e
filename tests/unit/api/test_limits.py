"""How often somebody may ask."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from churn_pipeline.api import limits
from churn_pipeline.api.limits import Buckets

SECOND = 1_000_000_000


@dataclass
class Clock:
    now: int = 17

    def __call__(self) -> int:
        return self.now


@pytest.mark.parametrize("a_minute", [1, 7, 600, 999])
def test_a_bucket_holds_a_minute_and_then_gives_exactly_its_rate_however_often_it_is_asked(a_minute: int) -> None:
    clock = Clock()
    buckets = Buckets(a_minute, clock)
    start, granted = clock.now, 0
    # A step that divides nothing, for five minutes.
    while clock.now - start < 300 * SECOND:
        granted += buckets.take("ada").is_granted
        clock.now += 37_000_003
        if granted < a_minute:
            clock.now = start
    spent = clock.now - 37_000_003 - start
    assert granted == a_minute + spent * a_minute // (60 * SECOND)


def test_whoever_waits_as_long_as_told_is_let_in_and_nobody_before() -> None:
    clock = Clock()
    buckets = Buckets(7, clock)
    given = [buckets.take("ada") for _ in range(8)]
    assert [(grant.is_granted, grant.remaining) for grant in given] == [(True, n) for n in range(6, -1, -1)] + [
        (False, 0)
    ]
    assert given[-1].seconds == 9  # 60 / 7 seconds, rounded up
    clock.now += 60 * SECOND // 7 - 1
    assert not buckets.take("ada").is_granted
    clock.now += 2
    assert buckets.take("ada").is_granted


def test_one_name_takes_nothing_from_another_and_no_number_of_names_fills_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "_NAMES_KEPT", 50)
    buckets = Buckets(1, Clock())
    assert buckets.take("ada").is_granted
    assert not buckets.take("ada").is_granted
    assert all(buckets.take(f"address {n}").is_granted for n in range(500))
    assert len(buckets._full_at) == 50
