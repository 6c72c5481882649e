"""What the run of a Monday prepares: one customer's fault costs nobody else theirs."""

from __future__ import annotations

from datetime import date, datetime
from types import SimpleNamespace
from typing import Any

from churn_pipeline.customers.briefs.model import Audience, Brief, BriefKind, Part, Result
from churn_pipeline.customers.briefs.prepare import prepare
from churn_pipeline.customers.errors import NotCandidateError

MONDAY = date(2026, 11, 2)


def brief(customer_id: str, audience: Audience, kind: BriefKind = BriefKind.TACTICAL) -> Brief:
    return Brief(
        *(MONDAY, customer_id, None, audience, kind, {Part.WHY_NOW: "Because."}, Result.PASSED, 1.0, (), "template"),
        *(None, None, f"{customer_id}-{audience}", datetime(2026, 11, 2, 8)),
    )


# A Monday whose profiles are no more than ids: what is in them is for whoever writes.
customers: Any = SimpleNamespace(profile=lambda customer_id: customer_id)


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
