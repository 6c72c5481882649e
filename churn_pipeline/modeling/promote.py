"""The gate: is a new model good enough to score customers?

A refusal is an exception. What is equal to what serves is used, because it is newer; and what is judged is judged against forecasts that
have seen the same weeks, never against a model that has seen more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from churn_pipeline.core.model_kinds import KINDS, is_provisional
from churn_pipeline.modeling.choose import Difference
from churn_pipeline.modeling.fit import Judgement, TrainingResult


@dataclass(frozen=True)
class GateDecision:
    """The decision, and everything it was based on.

    Attributes:
        promoted: whether the model is used.
        reason: one sentence for a person.
        numbers: the figures compared; JSON values, absent where not compared or not defined.
    """

    promoted: bool
    reason: str
    numbers: Mapping[str, float | int]


def decide(result: TrainingResult) -> GateDecision:
    """Judges a training by its twin.

    Refused where the twin is clearly worse than the constant forecast of the base rate (log loss over all test blocks, each shifted to
    its level), than the rule of thumb (average precision on the newest block), or than the recipe that serves so far, refitted on the
    same rows (log loss). Clearly means that the interval of the difference, 90 % for log loss and 95 % for average precision, lies
    wholly on the wrong side. A provisional kind is never refused: it is what serves where nothing else does.

    Args:
        result: of the training.
    """
    judged = result.judged
    if is_provisional(result.kind):
        # What is below it is no list at all.
        return GateDecision(
            True,
            f"promoted: {KINDS[result.kind].label}, the simplest kind there is for now: {result.next_rung}",
            _numbers(judged) if judged is not None else {},
        )
    assert judged is not None, "what is not provisional was judged"
    passed, failed = _verdicts(result, judged)
    what = KINDS[result.kind].label
    if len(judged.choice.loss) > 1:
        what += f", chosen by log loss ({_among(judged)})"
    if failed:
        return GateDecision(False, f"refused: {what}: {'; '.join(failed)}", _numbers(judged))
    return GateDecision(True, f"promoted: {what}; {'; '.join(passed)}", _numbers(judged))


def _verdicts(result: TrainingResult, judged: Judgement) -> tuple[list[str], list[str]]:
    passed: list[str] = []
    failed: list[str] = []

    def say(than: str, figure: str, *, better: bool, worse: bool) -> None:
        how = "clearly worse than" if worse else "clearly better than" if better else "not clearly different from"
        (failed if worse else passed).append(f"{how} {than} ({figure})")

    def say_loss(than: str, difference: Difference) -> None:
        figure = f"log loss {difference.value:+.4f}, {difference.low:+.4f} to {difference.high:+.4f}"
        say(than, figure, better=difference.high < 0, worse=difference.clearly_worse)

    say_loss("the constant forecast", judged.against_constant)
    rule = judged.differences["rule"]["average_precision"]
    if rule.defined:
        figure = f"average precision {rule.value:+.4f}, {rule.low:+.4f} to {rule.high:+.4f}"
        say(f"'{result.target.rule.text}'", figure, better=rule.low > 0, worse=rule.high < 0)
    if (former := judged.against_former) is not None:
        say_loss("the recipe that served so far, on the same rows", former)
    return passed, failed


def _among(judged: Judgement) -> str:
    """How the kind was chosen: every kind with its mean log loss, the best first."""
    ordered = sorted(judged.choice.loss.items(), key=lambda item: item[1])
    return ", ".join(f"{KINDS[kind].label} {loss:.4f}" for kind, loss in ordered)


def _numbers(judged: Judgement) -> dict[str, float | int]:
    numbers: dict[str, float | int] = {
        name: judged.metrics[name].value for name in ("auc", "average_precision", "brier", "ece")
    }
    numbers |= {f"log_loss_{kind}": loss for kind, loss in judged.choice.loss.items()}
    for name, difference in (("constant", judged.against_constant), ("former", judged.against_former)):
        if difference is not None:
            numbers |= {
                f"log_loss_minus_{name}": difference.value,
                f"log_loss_minus_{name}_low": difference.low,
                f"log_loss_minus_{name}_high": difference.high,
            }
    return {name: value for name, value in numbers.items() if value == value}
