"""The model card: what a stranger has to know before they trust a probability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from churn_pipeline.core.formatting import markdown_table
from churn_pipeline.core.model_kinds import JUDGED, KINDS
from churn_pipeline.core.targets import Target, shorter_than
from churn_pipeline.modeling.evaluate import FLAG, TOP_PER_WEEK, Estimate
from churn_pipeline.modeling.fit import Judgement, TrainingResult
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
    "test": "test: the newest block",
    "refit_train": "training of this version",
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
        f"It is {_what_it_is(result)}.",
        f"**{verdict.reason[:1].upper()}{verdict.reason[1:]}.**",
        f"For a better kind of model: {result.next_rung}." if result.next_rung else "",
        _notices(result.notices),
        "## What it answers",
        f"Served by MLflow it takes rows of `{result.model.catalogue.mart}` and gives this probability, and what each feature "
        f"contributes to its log-odds, for every row.{_raise(result.target)}",
        *_judged(result),
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
                ["what this version learned", f"`{result.model.fingerprint}`"],
                *([["what the judged twin learned", f"`{result.judged.twin.fingerprint}`"]] if result.judged else []),
                ["recipe", f"`{result.recipe.hash}`"],
            ],
        ),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _raise(target: Target) -> str:
    shorter = " or ".join(f"`{other.probability_column}`" for other in shorter_than(target))
    if not shorter:
        return f" It is `{target.probability_column}` of the table of predictions."
    return (
        f" `{target.probability_column}` of the table of predictions is at least {shorter}, which another model gives: it is the "
        "larger of the two."
    )


def _what_it_is(result: TrainingResult) -> str:
    trees = f"{result.n_trees} boosted trees of depth {result.recipe.params.get('max_depth')} (XGBoost)"
    calibrated = "calibrated by an affine map of the log-odds (Platt) on customers that were not learned from"
    return {
        "trees": f"{trees}, {calibrated}",
        "logistic": f"a logistic regression of {len(result.model.catalogue)} features, {calibrated}",
        "mean": f"the mean of the log-odds of {trees} and of a logistic regression, {calibrated}",
    }.get(result.kind, KINDS[result.kind].meaning)


def _judged(result: TrainingResult) -> list[str]:
    """How it was judged and what came of it; where it was not, that."""
    slices = markdown_table(
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
            if (fact := result.slices.get(key))
        ),
    )
    judged = result.judged
    if judged is None:
        return [
            "## How it was judged",
            "It was not: there are no closed weeks yet that it could be tested on without having learned from them.",
            slices if result.slices else "",
        ]
    others = [name for name in (*JUDGED, "rule", "constant") if name in judged.baselines]
    words_of: dict[str, str] = {kind: KINDS[kind].label for kind in JUDGED}
    words_of |= {"rule": result.target.rule.text, "constant": "constant base rate"}
    differences = [
        f"to {words_of[name] if name != 'rule' else 'the rule'}: AUC {_signed(judged.differences[name]['auc'])}, average precision "
        f"{_signed(judged.differences[name]['average_precision'])}"
        for name in others
        if name in judged.differences
    ]
    return [
        "## How it was judged",
        "By time, never at random: a twin was trained on older weeks and tested on the newest closed ones, with a gap of the "
        f"{result.target.horizon_days}-day horizon between them. This version is the same recipe on newer weeks, which leaves it no test "
        "of its own: the figures are the twin's. Intervals are 95 %, resampled by customer.",
        slices,
        *_sample(result),
        *_choice(judged),
        "## Figures",
        markdown_table(
            ["", "this model", *(words_of[name] for name in others)],
            (
                [words, _figure(judged.metrics, key), *(_figure(judged.baselines[name], key) for name in others)]
                for key, words in _METRICS.items()
            ),
        ),
        f"Share of positives in the test slice: {judged.metrics['base_rate'].value:.2%}. Differences {'; '.join(differences)}.",
        "## Business targets at the flag",
        markdown_table(
            ["wanted", "reached", ""],
            (
                [
                    f"{_METRICS[goal.metric]} >= {goal.wanted:.2f}",
                    f"{goal.reached:.3f}" if goal.reached == goal.reached else "nobody is flagged",
                    "met" if goal.met else "not met",
                ]
                for goal in judged.business.targets
            ),
        ),
        f"The largest recall that any calibrated model of this AUC could reach at a probability over {FLAG} is "
        f"{judged.business.recall_ceiling:.1%}; this model's own probabilities expect {judged.business.expected_recall:.1%}. Where "
        "churn is hard to foresee, honest probabilities are seldom above the flag, and a list cut by capacity finds more.",
    ]


def _sample(result: TrainingResult) -> list[str]:
    if result.share == 1:
        return []
    return [
        f"It looked at {result.share:.1%} of the customers, all rows of each, drawn by the seed: more rows than that make a training "
        f"longer and a model hardly better. Figures of the {TOP_PER_WEEK} highest of a week are of as many as that is of the sample."
    ]


def _choice(judged: Judgement) -> list[str]:
    if len(judged.choice.loss) < 2:
        return []
    behind = judged.choice.behind
    return [
        "## Why this kind",
        f"The kinds were compared by log loss on {len(judged.blocks)} test blocks ({judged.blocks[0].first} to {judged.blocks[-1].last}), one "
        "row a customer and block, after each was shifted to the level of the block. Two that are within one standard error of each "
        "other are equal, and then their mean serves.",
        markdown_table(
            ["kind", "log loss", "behind the one that serves", "standard error"],
            (
                [
                    KINDS[kind].label,
                    f"{loss:.5f}",
                    f"{behind[kind].value:+.5f}" if kind in behind else "serves",
                    f"{behind[kind].standard_error:.5f}" if kind in behind else "",
                ]
                for kind, loss in sorted(judged.choice.loss.items(), key=lambda item: item[1])
            ),
        ),
    ]


def _notices(notices: Sequence[str]) -> str:
    return "\n".join(["Note:", "", *(f"- {notice}" for notice in notices)]) if notices else ""


def _figure(estimates: Mapping[str, Estimate], metric: str) -> str:
    return str(estimates[metric]) if metric in estimates and estimates[metric].defined else ""


def _signed(difference: Estimate) -> str:
    return f"{difference.value:+.3f} ({difference.low:+.3f} to {difference.high:+.3f})"
