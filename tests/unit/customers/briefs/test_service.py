"""Who gets a brief, who writes it, and what becomes of a text that the guardrails reject."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from datetime import date

import duckdb
import pytest

from churn_pipeline.core.settings import REPOSITORY, Settings
from churn_pipeline.customers.briefs.model import (
    WATERMARK,
    Audience,
    Brief,
    BriefKind,
    Draft,
    Part,
    Result,
    WriterRequest,
)
from churn_pipeline.customers.briefs.service import Attempt, BriefPolicy, write_brief
from churn_pipeline.customers.errors import NotCandidateError, WriterError
from churn_pipeline.customers.profile import Customer360
from churn_pipeline.customers.stores.briefs import is_approachable
from tests.support import briefs as reading
from tests.unit.customers.briefs.profiles import NOW, POLICY, profile


class Stub:
    """A writer that gives what it was made with, and notes what it was asked."""

    provider = "llm.example"

    def __init__(self, parts: Mapping[Part, str] | None = None, error: str | None = None) -> None:
        self.parts, self.error = parts or {}, error
        self.requests: list[WriterRequest] = []

    def write(self, request: WriterRequest) -> Draft:
        self.requests.append(request)
        if self.error:
            raise WriterError(self.error)
        return Draft({**request.template, **self.parts}, self.provider, "model-1")


def brief_of(
    whole: Customer360 | None = None,
    audience: Audience = Audience.SALES,
    *,
    email: bool = True,
    writer: Stub | None = None,
    approachable: bool = True,
    policy: BriefPolicy = POLICY,
    attempts: list[Attempt] | None = None,
) -> Brief:
    return write_brief(
        whole or profile(),
        audience,
        email=email,
        writer=writer,
        policy=policy,
        may_be_approached=approachable,
        clock=lambda: NOW,
        new_id=lambda: "corr-1",
        note=None if attempts is None else attempts.append,
    )


def test_under_the_lowest_readiness_there_is_no_brief_and_the_refusal_names_both_numbers() -> None:
    writer = Stub()
    with pytest.raises(NotCandidateError, match=r"a propensity of 12 % lies under the 15 %"):
        brief_of(profile(propensity=0.12, readiness="none"), writer=writer)
    assert writer.requests == []


def test_a_propensity_that_rounds_to_the_threshold_does_not_read_like_it() -> None:
    with pytest.raises(NotCandidateError, match=r"a propensity of 14.9 % lies under the 15 %"):
        brief_of(profile(propensity=0.1499, readiness="none"))


def test_without_a_prediction_there_is_no_brief() -> None:
    with pytest.raises(NotCandidateError, match="no model predicts"):
        brief_of(profile(expansion=None))


def test_a_refusal_does_not_tell_who_is_snoozed_or_held_out() -> None:
    refusals = []
    for whole, approachable in ((profile(), False), (profile(is_candidate=False, churn=0.6), True)):
        with pytest.raises(NotCandidateError) as refused:
            brief_of(whole, approachable=approachable)
        refusals.append(str(refused.value))
    assert refusals[0] == refusals[1]
    assert "held" not in refusals[0]


def test_who_is_not_ready_gets_a_brief_that_says_what_would_make_them_ready_and_no_writer_is_asked() -> None:
    writer, attempts = Stub(), list[Attempt]()
    falling = replace(profile().expansion.expansion_drivers[3], contribution=-0.3)  # type: ignore[union-attr]
    drivers = (*profile().expansion.expansion_drivers[:2], falling)  # type: ignore[union-attr]
    brief = brief_of(profile(propensity=0.2, readiness="not_ready", drivers=drivers), writer=writer, attempts=attempts)
    assert brief.kind is BriefKind.NOT_READY
    assert writer.requests == []
    assert "is 20 %, and ready begins at 35 %" in brief.parts[Part.WHY_NOW]
    assert "What would make them ready: more use of the features that they have." in brief.parts[Part.NEXT_STEP]
    assert Part.EMAIL not in brief.parts
    assert [attempt.request for attempt in attempts] == [None]


def test_thresholds_are_those_of_the_policy() -> None:
    policy = replace(POLICY, ready=0.6)
    assert "ready begins at 60 %" in brief_of(profile(readiness="not_ready"), policy=policy).parts[Part.WHY_NOW]
    pressing = Stub({Part.NEXT_STEP: "Call [COMPANY] immediately and agree who decides."})
    assert brief_of(writer=pressing).parts[Part.NEXT_STEP] == "Call Bluebird Textiles Ltd and agree who decides."
    urgent = brief_of(writer=pressing, policy=replace(POLICY, urgency=0.42))
    assert urgent.parts[Part.NEXT_STEP] == "Call Bluebird Textiles Ltd immediately and agree who decides."


@pytest.mark.parametrize("email", [True, False])
def test_a_success_manager_never_gets_an_email(email: bool) -> None:
    brief = brief_of(audience=Audience.SUCCESS, email=email)
    assert brief.kind is BriefKind.NURTURE
    assert Part.EMAIL not in brief.parts


def test_an_account_executive_gets_an_email_only_on_request() -> None:
    assert Part.EMAIL in brief_of(email=True).parts
    assert Part.EMAIL not in brief_of(email=False).parts


def test_a_writers_text_is_shown_with_names_in_it_and_the_audit_has_it_without() -> None:
    attempts: list[Attempt] = []
    brief = brief_of(writer=Stub({Part.NEXT_STEP: "Ask [CSM], then call [COMPANY]."}), attempts=attempts)
    assert brief.parts[Part.NEXT_STEP] == "Ask Elena García, then call Bluebird Textiles Ltd."
    assert (brief.provider, brief.model, brief.result, brief.note) == ("llm.example", "model-1", Result.PASSED, None)
    (attempt,) = attempts
    assert attempt.draft is not None
    assert attempt.draft.parts[Part.NEXT_STEP] == "Ask [CSM], then call [COMPANY]."
    assert attempt.is_shown
    assert (attempt.correlation_id, brief.correlation_id) == ("corr-1", "corr-1")
    assert attempt.request is not None
    assert attempt.request.correlation_id == "corr-1"


def test_a_writer_that_fails_gives_way_to_the_template_which_says_so() -> None:
    attempts: list[Attempt] = []
    brief = brief_of(writer=Stub(error="it did not answer within 20 seconds"), attempts=attempts)
    assert brief.provider == "template"
    assert (
        brief.note == "Written by the template, because llm.example gave no text: it did not answer within 20 seconds"
    )
    assert [(attempt.provider, attempt.error, attempt.is_shown) for attempt in attempts] == [
        ("llm.example", "it did not answer within 20 seconds", False),
        ("template", None, True),
    ]


def test_a_rejected_text_is_not_shown_and_both_are_in_the_audit() -> None:
    attempts: list[Attempt] = []
    brief = brief_of(writer=Stub({Part.LEAD_WITH: "Offer them a discount of 20 %."}), attempts=attempts)
    assert brief.provider == "template"
    assert brief.parts == brief_of().parts
    assert all("discount" not in text for text in brief.parts.values())
    assert any("discount" in flag for flag in brief.flags)
    assert brief.note == "Written by the template, because the guardrails rejected the text of llm.example."
    assert [(attempt.verdict.result, attempt.is_shown) for attempt in attempts if attempt.verdict] == [
        (Result.REJECTED, False),
        (Result.PASSED, True),
    ]


def test_one_unfounded_word_costs_a_quarter_and_flags_and_a_second_one_rejects() -> None:
    flagged = brief_of(writer=Stub({Part.WHY_NOW: "Their login_rate speaks for a talk about the enterprise plan."}))
    assert (flagged.result, flagged.fact_confidence, flagged.provider) == (Result.FLAGGED, 0.75, "llm.example")
    rejected = brief_of(
        writer=Stub({Part.WHY_NOW: "Their login_rate and their seat_use speak for a talk about the plan."})
    )
    assert rejected.provider == "template"


def test_the_same_customer_gives_the_same_brief() -> None:
    assert brief_of() == brief_of()


@pytest.mark.parametrize("home", ["tiny_home", "scored_home"])
def test_the_template_passes_its_own_guardrails_for_every_candidate(home: str, request: pytest.FixtureRequest) -> None:
    settings: Settings = request.getfixturevalue(home)
    kinds = set()
    for candidate in reading.candidates(settings):
        for audience, email in itertools.product(Audience, (True, False)):
            brief = reading.brief_of(*candidate, audience, email=email)
            if brief is None:
                continue
            assert (brief.result, brief.fact_confidence, brief.flags) == (Result.PASSED, 1.0, ()), brief
            assert brief.watermark == WATERMARK
            assert (Part.EMAIL in brief.parts) == (email and brief.kind is BriefKind.TACTICAL)
            kinds.add(brief.kind)
    assert kinds == set(BriefKind)


def test_the_policy_of_a_monday_is_that_of_its_seeds(tiny_home: Settings) -> None:
    seeds = (REPOSITORY / "dbt_project" / "seeds" / "policy_parameters.csv").read_text(encoding="utf-8")
    numbers = {line.split(",")[0]: line.split(",")[1] for line in seeds.splitlines()[1:]}
    _, policy, approachable = next(reading.candidates(tiny_home))
    assert policy.not_ready == float(numbers["readiness_not_ready"])
    assert policy.ready == float(numbers["readiness_ready"])
    assert policy.urgency == float(numbers["play_expansion_threshold"])
    assert approachable is True


def test_nobody_approaches_whoever_is_snoozed_held_out_or_not_there() -> None:
    with duckdb.connect() as con:
        con.execute(
            "create table predictions as select * from (values ('a', null::date, false), ('b', date '2026-07-01', null), ('c', null, true)) "
            "as rows (customer_id, snoozed_until, is_holdout), (select date '2026-06-01' as snapshot_date)"
        )
        assert [is_approachable(con, date(2026, 6, 1), customer) for customer in "abcd"] == [True, False, False, False]
