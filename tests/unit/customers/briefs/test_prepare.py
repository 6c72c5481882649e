"""What the run of a Monday prepares: in a bounded time, and one customer's fault costs nobody else theirs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import date, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from churn_pipeline.customers.briefs.model import Audience, Brief, BriefKind, Draft, Part, Result, WriterRequest
from churn_pipeline.customers.briefs.prepare import BoundedWriter, prepare
from churn_pipeline.customers.errors import NotCandidateError, WriterError

MONDAY = date(2026, 11, 2)
REQUEST = WriterRequest(BriefKind.TACTICAL, (Part.WHY_NOW,), "", "", {}, "id")
DRAFT = Draft({Part.WHY_NOW: "Because."}, "loopback", "model")


class Scripted:
    """A writer that does what it is told to, one after the other."""

    provider = "loopback"

    def __init__(self, *answers: Callable[[], Draft]) -> None:
        self.answers = list(answers)
        self.asked = 0

    def write(self, request: WriterRequest) -> Draft:
        self.asked += 1
        return self.answers.pop(0)()


def fails() -> Draft:
    raise WriterError("it is away")


def hangs() -> Draft:
    threading.Event().wait(20)
    return DRAFT


def gives() -> Draft:
    return DRAFT


def brief(customer_id: str, audience: Audience, kind: BriefKind = BriefKind.TACTICAL) -> Brief:
    return Brief(
        *(MONDAY, customer_id, None, audience, kind, {Part.WHY_NOW: "Because."}, Result.PASSED, 1.0, (), "template"),
        *(None, None, f"{customer_id}-{audience}", datetime(2026, 11, 2, 8)),
    )


# A Monday whose profiles are no more than ids: what is in them is for whoever writes.
customers: Any = SimpleNamespace(profile=lambda customer_id: customer_id)


def test_a_writer_is_waited_for_no_longer_than_the_run_has_time_and_not_asked_after_that() -> None:
    scripted = Scripted(gives, hangs, gives)
    writer = BoundedWriter(scripted, seconds=0.3)
    assert (writer.provider, writer.write(REQUEST)) == ("loopback", DRAFT)
    begun = time.monotonic()
    for _ in range(3):
        with pytest.raises(
            WriterError, match=r"the 0\.3 seconds are over that all briefs of a run may wait for loopback"
        ):
            writer.write(REQUEST)
    assert time.monotonic() - begun < 5
    assert scripted.asked == 2


def test_why_a_writer_gave_nothing_is_told_in_its_own_words() -> None:
    with pytest.raises(WriterError, match="it is away"):
        BoundedWriter(Scripted(fails)).write(REQUEST)


def test_the_account_executive_gets_an_email_and_the_success_manager_none() -> None:
    orders: list[tuple[Any, Audience, bool]] = []

    def write(profile: Any, audience: Audience, email: bool) -> Brief:
        orders.append((profile, audience, email))
        return brief(profile, audience)

    prepared = prepare(customers, ["C1", "C2"], write, lambda _: None)
    assert orders == [
        ("C1", Audience.SALES, True),
        ("C1", Audience.SUCCESS, False),
        ("C2", Audience.SALES, True),
        ("C2", Audience.SUCCESS, False),
    ]
    assert {customer_id: len(briefs) for customer_id, briefs in prepared.briefs.items()} == {"C1": 2, "C2": 2}


def test_whoever_is_not_ready_gets_one_brief_that_says_so() -> None:
    prepared = prepare(customers, ["C1"], lambda who, to, _: brief(str(who), to, BriefKind.NOT_READY), lambda _: None)
    assert [row.audience for row in prepared.briefs["C1"]] == [Audience.SALES]


def test_a_brief_that_breaks_is_told_and_the_others_are_written() -> None:
    def write(profile: Any, audience: Audience, email: bool) -> Brief:
        if profile == "C2":
            raise KeyError("a fault of ours")
        if profile == "C3":
            raise NotCandidateError("too low")
        return brief(profile, audience)

    lines: list[str] = []
    prepared = prepare(customers, ["C1", "C2", "C3", "C4"], write, lines.append)
    assert list(prepared.briefs) == ["C1", "C4"]
    assert {who: type(error) for who, error in prepared.failed.items()} == {"C2": KeyError}
    assert prepared.without == {"C3": "too low"}
    assert lines[-1].startswith("briefs: 4 of 4 candidates after ")
