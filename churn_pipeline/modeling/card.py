"""The model card: what a stranger has to know before they trust a probability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from churn_pipeline.core.formatting import markdown_table
from churn_pipeline.modeling.evaluate import FLAG, TOP_PER_WEEK, Estimate
from churn_pipeline.modeling.fit import TrainingResult
from churn_pipeline.modeling.promote import GateDecision

_METRICS = {
    "auc": "AUC",
    "average_precision": "average precision",
    "precision_top_200": f"precision, first {TOP_PER_WEEK} of each week",
    "recall_top_200": f"recall, first {TOP_PER_WEEK} of each week",
    "lift_top_decile": "lift of the first tenth",
    "brier": "Brier score",
    "brier_skill": "Brier skill against the constant forecast",
    "ece": "expected calibration error",
    "calibration_slope": "calibration slope (1 is right)",
    "calibration_intercept": "calibration intercept (0 is right)",
    "precision_at_flag": f"precision at probability over {FLAG}",
    "recall_at_flag": f"recall at probability over {FLAG}",
    "flagged_share": f"share of customers over {FLAG}",
}
_SLICES = {
    "train": "training of the judged twin",
    "calibration": "its calibration",
    "test": "test",
    "refit_train": "training of this version",
    "refit_calibration": "its calibration",
}
_TOP_FEATURES = 10


def model_card(
    result: TrainingResult, verdict: GateDecision, fingerprints: Mapping[str, str], version: str | None = None
) -> str:
    """The card as Markdown.

    Args:
        result: of the training.
        verdict: of the gate.
        fingerprints: of the data it was trained on, by name.
        version: in the registry, once there is one.
    """
    name = f"{result.target.name}, version {version}" if version else result.target.name
    sections = [
        f"# {name}",
        f"The probability that a customer {result.target.question}, counted from 00:00 of a Monday, for every customer who is "
        f"active then. Trained for Monday {result.training_monday}: every label it saw was closed by that day. "
        f"{result.n_trees} boosted trees of depth {result.params['max_depth']} (XGBoost), calibrated by an affine map of the log-odds (Platt).",
        f"**{verdict.reason[:1].upper()}{verdict.reason[1:]}.**",
        _notices(result.notices),
        "## How it was judged",
        "By time, never at random: a twin was trained on older weeks, calibrated on later ones and tested on the newest closed ones, with "
        f"a gap of the {result.target.horizon_days}-day horizon between them. This version is the same recipe, with the same number of "
        "trees, on newer weeks, which leaves it no test of its own: the figures are the twin's. Intervals are 95 %, resampled by customer.",
        markdown_table(
            ["slice", "Mondays", "rows", "customers", "positive rows", "positive customers"],
            (
                [
                    words,
                    f"{fact.first} to {fact.last}",
                    f"{fact.rows:,}",
                    f"{fact.customers:,}",
                    f"{fact.positives:,}",
                    f"{fact.positive_customers:,}",
                ]
                for key, words in _SLICES.items()
                if (fact := result.slices[key])
            ),
        ),
        "## Figures",
        markdown_table(
            ["", "this model", "logistic regression", result.target.rule.text, "constant base rate"],
            (
                [
                    words,
                    _figure(result.metrics, key),
                    *(_figure(result.baselines[baseline], key) for baseline in ("logistic", "rule", "constant")),
                ]
                for key, words in _METRICS.items()
            ),
        ),
        f"Share of positives in the test slice: {result.metrics['base_rate'].value:.2%}. Difference to logistic regression: AUC "
        f"{_signed(result.differences['logistic']['auc'])}, average precision "
        f"{_signed(result.differences['logistic']['average_precision'])}; to the rule: AUC "
        f"{_signed(result.differences['rule']['auc'])}, average precision "
        f"{_signed(result.differences['rule']['average_precision'])}.",
        "## Business targets at the flag",
        markdown_table(
            ["wanted", "reached", ""],
            (
                [
                    f"{_METRICS[goal.metric]} >= {goal.wanted:.2f}",
                    f"{goal.reached:.3f}" if goal.reached == goal.reached else "nobody is flagged",
                    "met" if goal.met else "not met",
                ]
                for goal in result.business.targets
            ),
        ),
        f"The largest recall that any calibrated model of this AUC could reach at a probability over {FLAG} is "
        f"{result.business.recall_ceiling:.1%}; this model's own probabilities expect {result.business.expected_recall:.1%}. Where "
        "churn is hard to foresee, honest probabilities are seldom above the flag, and a list cut by capacity finds more.",
        "## What it looks at",
        markdown_table(
            ["feature", "mean absolute contribution (log-odds)"],
            (
                [result.model.catalogue[feature].label, f"{value:.3f}"]
                for feature, value in list(result.importance.items())[:_TOP_FEATURES]
            ),
        ),
        f"{len(result.model.catalogue)} features in all, none of them personal data.",
        "## What it must not be used for",
        "- as a reason: a contribution says what the model looked at, not what would happen if it were changed;\n"
        "- for customers of another company, or after a change of product, prices or tracking, before it was trained anew;\n"
        "- for decisions about persons: it describes companies as customers;\n"
        "- to judge an account manager, or to deny anybody service.",
        "## Where it comes from",
        markdown_table(
            ["", "SHA-256"],
            [
                *([f"data: {source}", f"`{value}`"] for source, value in sorted(fingerprints.items())),
                ["trees of this version", f"`{result.model.fingerprint}`"],
                ["trees of the judged twin", f"`{result.twin.fingerprint}`"],
            ],
        ),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _notices(notices: Sequence[str]) -> str:
    return "\n".join(["Note:", "", *(f"- {notice}" for notice in notices)]) if notices else ""


def _figure(estimates: Mapping[str, Estimate], metric: str) -> str:
    return str(estimates[metric]) if metric in estimates and estimates[metric].defined else ""


def _signed(difference: Estimate) -> str:
    return f"{difference.value:+.3f} ({difference.low:+.3f} to {difference.high:+.3f})"
