"""The gate: is a new model good enough to score customers, and no worse than the one that does?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import pandas as pd

from churn_pipeline.core.settings import Settings
from churn_pipeline.modeling.evaluate import Estimate, Resamples, evaluate_ranking
from churn_pipeline.modeling.fit import TestSlice, TrainingResult
from churn_pipeline.modeling.model import ScoringModel

# A weekly list is better served by the newer of two equal models, so only clear evidence against the challenger counts. At 90 % a
# challenger that is truly equal is refused once in twenty times; at 95 %, a worse one passes more often than it has to.
_LEVEL = 0.90


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


def decide(result: TrainingResult, champion: ScoringModel | None, settings: Settings) -> GateDecision:
    """Judges a training by its twin.

    Promoted if the Brier score is below that of the constant forecast of the base rate, and the average precision above both baselines,
    and, where there is a champion, unless the interval of the difference in average precision (challenger minus champion, 90 %, resampled
    by customer) lies wholly below 0. Champion and challenger are compared on snapshots whose labels closed after the champion's training
    Monday, because it may have learned the others by heart.

    Args:
        result: of the training.
        champion: the model that would score the Monday otherwise.
        settings: for the minimum count of positive customers, the resamples and their seed.
    """
    brier, constant = result.metrics["brier"].value, result.baselines["constant"]["brier"].value
    precision = result.metrics["average_precision"].value
    numbers: dict[str, float | int] = {
        "auc": result.metrics["auc"].value,
        "average_precision": precision,
        "brier": brier,
        "brier_constant": constant,
        "ece": result.metrics["ece"].value,
    }
    passed: list[str] = []
    failed: list[str] = []
    (passed if brier < constant else failed).append(
        f"Brier {brier:.5f} {'is below' if brier < constant else 'is not below'} {constant:.5f} of the constant forecast"
    )
    for name, words in (("rule", result.target.rule.text), ("logistic", "logistic regression")):
        theirs = result.baselines[name]["average_precision"].value
        numbers[f"average_precision_{name}"] = theirs
        (passed if precision > theirs else failed).append(
            f"average precision {precision:.4f} {'is above' if precision > theirs else 'is not above'} {theirs:.4f} of {words}"
        )
    if champion is None:
        passed.append("there is no earlier model to compare with")
    else:
        difference, rows, churners = _against(result, champion, settings)
        numbers |= {"compared_rows": rows, "compared_positive_customers": churners}
        trained = f"the model of {champion.training_monday}"
        if difference is None:
            passed.append(
                f"not compared with {trained}: {churners} positive customers closed after it, "
                f"{settings.min_test_churners} are needed"
            )
        else:
            numbers |= {
                "difference_to_champion": difference.value,
                "difference_to_champion_low": difference.low,
                "difference_to_champion_high": difference.high,
            }
            worse = difference.high < 0
            (failed if worse else passed).append(
                f"average precision differs from {trained} by {difference.value:+.4f} "
                f"({difference.low:+.4f} to {difference.high:+.4f}, 90 %), {'clearly worse' if worse else 'not clearly worse'}"
            )
    if failed:
        return GateDecision(False, "refused: " + "; ".join(failed), numbers)
    return GateDecision(True, "promoted: " + "; ".join(passed), numbers)


def _against(result: TrainingResult, champion: ScoringModel, settings: Settings) -> tuple[Estimate | None, int, int]:
    """The difference in average precision, or None where too few positive customers are left, with rows and positive customers."""
    closes = pd.to_datetime(result.test.frame["snapshot_date"]) + timedelta(days=result.target.closing_days)
    test: TestSlice = result.test.rows((closes > pd.Timestamp(champion.labels_closed_by)).to_numpy())
    churners = int(test.frame.loc[test.label == 1, "customer_id"].nunique())
    if churners < settings.min_test_churners:
        return None, len(test.label), churners
    week = test.frame["snapshot_date"].to_numpy()
    resamples = Resamples.draw(test.frame["customer_id"], settings.bootstrap_replicates, settings.seed)
    challenger = evaluate_ranking(test.label, test.probability, week, resamples)
    theirs = evaluate_ranking(test.label, champion.probability(test.frame), week, resamples)
    return challenger.minus(theirs, "average_precision", _LEVEL), len(test.label), churners
