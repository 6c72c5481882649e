"""When monitoring proposes a training beyond the regular ones.

It only proposes, and one at a time. The evidence has to be newer than the newest training, because a training that has
seen it has already answered it: without that rule a shock that lasts for a quarter, or labels of an old model that go
on arriving for 13 weeks, would ask for a training every Monday.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol

from churn_pipeline.core.calendar import WEEK
from churn_pipeline.monitoring.drift import Level, worst
from churn_pipeline.monitoring.performance import MIN_POSITIVES, Quality
from churn_pipeline.scoring.level import Verdict, together

# Three weeks of five. Neighbouring weeks share most of their customers and label windows, so that chance that hits one
# hits two; three in five it rarely does, and a real loss is still proposed within a month.
NEEDED = 3
LOOK_BACK = 5


@dataclass(frozen=True)
class HealthAssessment:
    """What monitoring found on one Monday.

    Attributes:
        monday: on which it was found.
        drift: the verdict over all models.
        drift_reasons: why, the weightiest first.
        under: for each target whose due predictions were under the promised quality, the reason in words.
    """

    monday: date
    drift: Level
    drift_reasons: tuple[str, ...]
    under: dict[str, str]


@dataclass(frozen=True)
class Training:
    """A training that took place, whatever became of its model.

    Attributes:
        as_of: its training Monday: it knew what was known by then.
        at: when it ended.
    """

    as_of: date
    at: datetime


@dataclass(frozen=True)
class Proposal:
    """One extra training, proposed.

    Attributes:
        monday: as of which to train: the next one.
        kind: ``drift`` or ``quality``.
        reason: in words, for whoever decides.
    """

    monday: date
    kind: str
    reason: str


class DriftVerdict(Protocol):
    """Of one model: a `drift.DriftReport`, or what was kept of it."""

    @property
    def target(self) -> str: ...
    @property
    def verdict(self) -> Level: ...
    @property
    def reasons(self) -> tuple[str, ...]: ...


def judge(
    monday: date,
    drift: Sequence[DriftVerdict],
    quality: Iterable[Quality],
    trained_without_touched: Collection[tuple[str, str]] = (),
    levels: Sequence[Verdict] = (),
) -> HealthAssessment:
    """Puts what was found on a Monday into one judgement.

    Args:
        monday: the Monday.
        drift: reports of its models.
        quality: realised quality of the predictions that were due. Everybody decides whether a target is under its promise: the model
            learned from everybody, so its probabilities mean what happens under the usual calling.
        trained_without_touched: target and version of models that did not learn from customers who had an intervention. Their promise is of
            the others, so the others decide.
        levels: what the mean probabilities of the Monday came to. Where drift says act and they are off, that is said first, as one thing.
    """
    level = worst([report.verdict for report in drift])
    reasons = [f"{report.target}: {reason}" for report in drift if report.verdict == level for reason in report.reasons]
    if (both := told_together(drift, levels)) is not None:
        reasons.insert(0, both)
    by_target: dict[str, dict[str, Quality]] = {}
    for group in quality:
        if group.basis == "realised" and group.plan_tier == "all":
            by_target.setdefault(group.target, {})[group.customers] = group
    under = {}
    for target, groups in by_target.items():
        whole, spared = groups.get("all"), groups.get("untouched")
        if whole is None:
            continue
        # With few events among the untouched nothing can be said of them, and the whole has to do.
        telling = (
            (target, whole.version) in trained_without_touched
            and spared is not None
            and whole.rows > spared.rows
            and spared.positives >= MIN_POSITIVES
        )
        decisive = spared if spared is not None and telling else whole
        if decisive.under:
            under[target] = _under(decisive)
    return HealthAssessment(monday, level, tuple(reasons), under)


def told_together(drift: Sequence[DriftVerdict], levels: Sequence[Verdict]) -> str | None:
    """The one sentence of a Monday on which both drift says act and the level is off; None on any other.

    Args:
        drift: reports of the models.
        levels: verdicts on the mean probabilities.
    """
    return together(levels) if worst([report.verdict for report in drift]) == "act" else None


def propose(
    history: Iterable[HealthAssessment],
    trainings: Iterable[Training],
    proposed_at: Iterable[datetime],
    *,
    needed: int = NEEDED,
    look_back: int = LOOK_BACK,
) -> Proposal | None:
    """Whether the newest Monday of the history calls for an extra training.

    - *drift*: it says act, and the run of Mondays that say so did not begin before the newest training; so a shock is
      answered once.
    - *quality*: among the newest ``look_back`` Mondays, ``needed`` or more after the newest training found the same
      target under its promise, the newest Monday among them.
    - Nothing while an earlier proposal has had no training since.

    Args:
        history: judgements in any order; Mondays may be missing.
        trainings: all that took place.
        proposed_at: times of earlier proposals. A time equal to that of a training counts as before it.
        needed: K.
        look_back: N.

    Raises:
        ValueError: not 1 <= needed <= look_back.
    """
    if not 1 <= needed <= look_back:
        raise ValueError(f"{needed} of {look_back} weeks cannot be asked for")
    by_monday = {assessment.monday: assessment for assessment in history}
    done = list(trainings)
    if not by_monday:
        return None
    newest_training = max((training.at for training in done), default=None)
    newest_proposal = max(proposed_at, default=None)
    if newest_proposal is not None and (newest_training is None or newest_proposal > newest_training):
        return None
    known_until = max((training.as_of for training in done), default=date.min)
    monday = max(by_monday)
    now = by_monday[monday]
    # For the next Monday and not for this one, whose list is out: in force from this Monday on, the new model would change what a
    # repetition of this Monday gives.
    as_of = monday + WEEK
    if now.drift == "act":
        began = monday
        while (before := by_monday.get(began - WEEK)) is not None and before.drift in ("act", "unknown"):
            began -= WEEK
        if began >= known_until:
            since = f" since {began}" if began < monday else ""
            return Proposal(as_of, "drift", f"drift says act{since}: " + "; ".join(now.drift_reasons[:3]))
    recent = [by_monday[day] for number in range(look_back) if (day := monday - number * WEEK) in by_monday]
    for target, reason in sorted(now.under.items()):
        weeks = [
            assessment.monday for assessment in recent if target in assessment.under and assessment.monday > known_until
        ]
        if len(weeks) >= needed:
            return Proposal(
                as_of,
                "quality",
                f"{target} was under its promised quality on {len(weeks)} of the last {look_back} Mondays; "
                f"on the newest, {reason}",
            )
    return None


def _under(quality: Quality) -> str:
    return ", ".join(
        f"{name} {quality.figures[name].value:.3f} where {quality.promised[name].value:.3f} was promised"
        for name in quality.under
    )
