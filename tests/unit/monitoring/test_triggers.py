"""When an extra training is proposed, and when it is not."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn_pipeline.core.calendar import WEEK
from churn_pipeline.modeling.evaluate import Estimate
from churn_pipeline.monitoring.drift import Level
from churn_pipeline.monitoring.performance import Quality
from churn_pipeline.monitoring.triggers import HealthAssessment, Training, judge, propose
from churn_pipeline.scoring.level import Judgement, Verdict

START = date(2026, 1, 5)


def monday(number: int) -> date:
    return START + number * WEEK


def at(number: int, hour: int = 9) -> datetime:
    day = monday(number)
    return datetime(day.year, day.month, day.day, hour, tzinfo=UTC)


def trained(number: int, hour: int = 8) -> Training:
    return Training(monday(number), at(number, hour))


def history(drift: str = "", under: str = "", target: str = "churn_90d") -> list[HealthAssessment]:
    """One Monday a character: ``A`` for act, ``U`` for under the promise, anything else for neither."""
    length = max(len(drift), len(under))
    return [
        HealthAssessment(
            monday(number),
            "act" if drift.ljust(length, ".")[number] == "A" else "none",
            ("Events in the last 7 days against last week: PSI 0.270, limit 0.100",),
            {target: "auc 0.700 where 0.800 was promised"} if under.ljust(length, ".")[number] == "U" else {},
        )
        for number in range(length)
    ]


def test_nothing_is_proposed_when_nothing_is_wrong() -> None:
    assert propose([], [], []) is None
    assert propose(history("......"), [trained(0)], []) is None


def test_act_is_proposed_on_its_first_monday_with_the_reason() -> None:
    proposal = propose(history("....A"), [trained(2)], [])
    assert proposal is not None
    assert (proposal.monday, proposal.kind) == (monday(5), "drift")
    assert proposal.reason == ("drift says act: Events in the last 7 days against last week: PSI 0.270, limit 0.100")


def test_once_proposed_it_is_not_proposed_again_until_a_training_took_place() -> None:
    assert propose(history("....AA"), [trained(2)], [at(4)]) is None
    assert propose(history("....A......A"), [trained(2)], [at(4)]) is None
    assert propose(history("....A......A"), [trained(2), trained(8)], [at(4)]) is not None


def test_a_training_answers_the_disturbance_it_fell_into() -> None:
    assert propose(history("....AAAA"), [trained(2), trained(4, 20)], [at(4)]) is not None
    assert propose(history("....AAAA"), [trained(2), trained(5)], [at(4)]) is None
    assert propose(history("....AAAA.A"), [trained(2), trained(5)], [at(4)]) is not None


def test_after_a_training_of_the_same_monday_the_next_one_is_proposed() -> None:
    proposal = propose(history("....A"), [trained(4)], [])
    assert proposal is not None
    assert proposal.monday == monday(5)


def test_one_week_under_the_promise_is_not_enough_and_three_of_five_are() -> None:
    assert propose(history(under="....U"), [], []) is None
    assert propose(history(under="..U.U"), [], []) is None
    proposal = propose(history(under="U.U.U"), [], [])
    assert proposal is not None
    assert (proposal.monday, proposal.kind) == (monday(5), "quality")
    assert proposal.reason == (
        "churn_90d was under its promised quality on 3 of the last 5 Mondays; on the newest, "
        "auc 0.700 where 0.800 was promised"
    )


def test_weeks_outside_the_window_do_not_count_and_neither_does_a_target_that_recovered() -> None:
    assert propose(history(under="UU...U"), [], []) is None
    assert propose(history(under="UUU.."), [], []) is None


def test_weeks_of_different_targets_do_not_add_up() -> None:
    mixed = [*history(under="U.U"), *history(under="...U", target="churn_30d")[3:]]
    assert propose(mixed, [], []) is None


def test_quality_found_before_a_training_was_known_to_it() -> None:
    assert propose(history(under="UUUUU"), [trained(3)], []) is None
    assert propose(history(under="UUUUUUU"), [trained(3)], []) is not None


def test_how_many_of_how_many_weeks_is_a_setting_that_has_to_make_sense() -> None:
    assert propose(history(under="...UU"), [], [], needed=2, look_back=2) is not None
    for needed, look_back in ((0, 5), (6, 5)):
        with pytest.raises(ValueError, match="cannot be asked for"):
            propose(history("A"), [], [], needed=needed, look_back=look_back)


@given(
    st.text("A.", min_size=1, max_size=30),
    st.text("U.", min_size=1, max_size=30),
    st.sets(st.integers(0, 29), max_size=6),
)
def test_between_two_trainings_there_is_at_most_one_proposal(drift: str, under: str, trainings: set[int]) -> None:
    proposed: list[int] = []
    everything = history(drift, under)
    for now in range(len(everything)):
        past = [trained(number) for number in trainings if number <= now]
        if propose(everything[: now + 1], past, [at(number) for number in proposed]):
            proposed.append(now)
    for first, second in pairwise(proposed):
        assert any(first < number <= second for number in trainings)


def quality(
    basis: str = "realised",
    tier: str = "all",
    customers: str = "all",
    under: tuple[str, ...] = ("auc",),
    rows: int = 900,
    positives: int = 90,
) -> Quality:
    figures = {"auc": Estimate(0.7, 0.68, 0.72)}
    promised = {"auc": Estimate(0.8, 0.78, 0.82)}
    return Quality("churn_90d", START, "3", tier, customers, basis, rows, positives, figures, promised, under)


def test_only_what_happened_to_all_customers_counts_as_quality() -> None:
    others = [quality("expected"), quality(tier="free"), quality(customers="untouched", rows=700)]
    assert judge(START, [], others).under == {}
    assert judge(START, [], [*others, quality()]).under == {"churn_90d": "auc 0.700 where 0.800 was promised"}


def test_everybody_decides_about_a_model_that_learned_from_everybody() -> None:
    fine, spared = quality(under=()), quality(customers="untouched", rows=700, positives=60)
    assert judge(START, [], [fine, spared]).under == {}
    of_others = [("churn_90d", "2"), ("churn_30d", "3")]
    assert judge(START, [], [fine, spared], of_others).under == {}


def test_the_untouched_decide_about_a_model_that_learned_from_them_alone() -> None:
    alone = [("churn_90d", "3")]
    fine = quality(customers="untouched", under=(), rows=700, positives=60)
    assert judge(START, [], [quality(), fine], alone).under == {}
    assert set(judge(START, [], [quality(), fine]).under) == {"churn_90d"}
    nobody_called = quality(customers="untouched", under=(), rows=900)
    assert set(judge(START, [], [quality(), nobody_called], alone).under) == {"churn_90d"}
    hardly_any = quality(customers="untouched", under=(), rows=700, positives=3)
    assert set(judge(START, [], [quality(), hardly_any], alone).under) == {"churn_90d"}


def test_a_missing_monday_ends_a_disturbance() -> None:
    before, after = history("AA"), history("....A")[4:]
    assert propose([*before, *after], [trained(1, 20), trained(2)], []) is not None


@dataclass(frozen=True)
class Drift:
    target: str
    verdict: Level
    reasons: tuple[str, ...] = ()


def off(target: str, judgement: Judgement = "notice") -> Verdict:
    return Verdict(target, 0.3, 0.1, 0.08, 0.12, judgement, f"{target}: 30% where 10% left")


def test_where_drift_says_act_and_the_level_is_off_both_are_one_reason_and_the_first() -> None:
    drift = [Drift("churn_30d", "none"), Drift("churn_90d", "act", ("the prediction against last week",))]
    both, reason = judge(monday(1), drift, [], levels=[off("churn_30d"), off("churn_90d")]).drift_reasons
    assert both.startswith("drift and level say together") and "churn_30d" in both and "churn_90d" in both
    assert reason == "churn_90d: the prediction against last week"


@pytest.mark.parametrize(("verdict", "judgement"), [("watch", "notice"), ("act", "ok"), ("act", "impossible")])
def test_where_only_one_of_them_speaks_it_speaks_for_itself(verdict: Level, judgement: Judgement) -> None:
    """What is impossible and was accepted says so by itself."""
    drift = [Drift("churn_90d", verdict, ("why",))]
    assert judge(monday(1), drift, [], levels=[off("churn_90d", judgement)]).drift_reasons == ("churn_90d: why",)
