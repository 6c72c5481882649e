"""Pictures of one training, with the words of the feature catalogue."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from churn_pipeline.core.model_kinds import JUDGED, KINDS
from churn_pipeline.modeling.evaluate import FLAG
from churn_pipeline.modeling.fit import Judgement, TrainingResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MODEL, _OTHERS, _GUIDE = "#1b4f8a", ("#c8742b", "#6a9a3c"), "#8a8a8a"
# What a beeswarm can show: more points only overlap, and each costs a TreeSHAP evaluation.
_SWARM_ROWS = 2000
_TOP = 15


def write_plots(result: TrainingResult, directory: Path) -> list[Path]:
    """Draws all plots as PNG into ``directory``, which is created.

    Returns:
        Their paths: calibration, precision_recall, importance, shap_beeswarm; none for a kind that was not chosen among others.
    """
    if not has_plots(result):
        return []
    directory.mkdir(parents=True, exist_ok=True)
    draw: dict[str, Callable[[TrainingResult], Figure]] = {
        "calibration": calibration,
        "precision_recall": precision_recall,
        "importance": importance,
        "shap_beeswarm": beeswarm,
    }
    written = []
    for name, plot in draw.items():
        path = directory / f"{name}.png"
        # Without the metadata, two equal trainings give equal files whatever version of matplotlib signs them.
        # Tight, because shap leaves no room for labels longer than its own.
        plot(result).savefig(path, dpi=130, bbox_inches="tight", metadata={"Software": None})
        written.append(path)
    return written


def has_plots(result: TrainingResult) -> bool:
    """Whether there is anything to draw: a model that ranks, and test weeks."""
    return result.judged is not None and result.kind in JUDGED


def calibration(result: TrainingResult) -> Figure:
    """Forecast against what happened, in 15 bins of equal size, with the distribution of the forecasts below."""
    from matplotlib.ticker import PercentFormatter

    figure = _figure(6.4, 6.4)
    above, below = figure.subplots(2, 1, height_ratios=[4, 1], sharex=True)
    judged = _judgement(result)
    table = judged.calibration
    forecast = np.array([row["forecast"] for row in table])
    observed = np.array([row["observed"] for row in table])
    spread = np.abs(np.array([[row["low"], row["high"]] for row in table]).T - observed)
    limit = 1.08 * max(float(forecast.max()), max(row["high"] for row in table))
    above.plot([0, limit], [0, limit], color=_GUIDE, linewidth=1, linestyle="--", label="forecast = outcome")
    above.errorbar(
        forecast, observed, yerr=spread, fmt="o", color=_MODEL, ecolor=_MODEL, elinewidth=1, markersize=5,
        label="fifteenths of the customers, 95 % interval",
    )  # fmt: skip
    above.set(ylabel="share that it happened to", xlim=(0, limit), ylim=(0, limit))
    above.legend(frameon=False, loc="upper left")
    below.hist(judged.test.probability, bins=60, range=(0, limit), color=_MODEL)
    below.set(xlabel="forecast probability", ylabel="customers")
    for axes in (above, below):
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    above.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    _title(figure, result, f"Calibration: slope {judged.metrics['calibration_slope']}, ECE {judged.metrics['ece']}")
    return figure


def precision_recall(result: TrainingResult) -> Figure:
    """Precision against recall of the model, of the kinds that do not serve and of the rule, with the flag where anybody is flagged."""
    from matplotlib.ticker import PercentFormatter
    from sklearn.metrics import precision_recall_curve

    figure = _figure(6.8, 5.2)
    axes = figure.subplots()
    judged = _judgement(result)
    label = judged.test.label
    others = [kind for kind in JUDGED if kind in judged.baselines]
    for name, score, key, colour in (
        (f"this model ({KINDS[result.kind].label})", judged.test.probability, judged.metrics, _MODEL),
        *(
            (KINDS[kind].label, judged.test.baselines[kind], judged.baselines[kind], other)
            for kind, other in zip(others, _OTHERS, strict=False)
        ),
    ):
        precision, recall, _ = precision_recall_curve(label, score)
        # The first few customers of the list decide the left end alone: below 20 of them it is noise.
        keep = recall * label.sum() / np.maximum(precision, 1e-12) >= 20
        axes.plot(
            recall[keep], precision[keep], color=colour, label=f"{name}, average precision {key['average_precision']}"
        )
    flagged_by_rule = judged.test.baselines["rule"] > 0
    if flagged_by_rule.any():
        axes.plot(
            label[flagged_by_rule].sum() / label.sum(),
            label[flagged_by_rule].mean(),
            "s",
            color=_GUIDE,
            label=result.target.rule.text,
        )
    flagged = judged.test.probability > FLAG
    if flagged.any():
        axes.plot(
            label[flagged].sum() / label.sum(), label[flagged].mean(), "o", color=_MODEL,
            label=f"flag: probability over {FLAG:.0%}",
        )  # fmt: skip
    axes.axhline(label.mean(), color=_GUIDE, linewidth=1, linestyle="--", label=f"base rate {label.mean():.1%}")
    axes.set(xlabel="recall: share of the cases that are found", ylabel="precision: share of the found that are cases")
    axes.set(xlim=(0, 1), ylim=(0, None))
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.legend(frameon=False, loc="upper right")
    _title(figure, result, "Precision and recall")
    return figure


def importance(result: TrainingResult) -> Figure:
    """Mean absolute contribution of the leading features."""
    figure = _figure(7.2, 5.6)
    axes = figure.subplots()
    top = list(result.importance.items())[:_TOP][::-1]
    axes.barh([result.model.catalogue[name].label for name, _ in top], [value for _, value in top], color=_MODEL)
    axes.set(xlabel="mean absolute contribution to the log-odds")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    _title(figure, result, "What moves the probability")
    return figure


def beeswarm(result: TrainingResult) -> Figure:
    """Contributions of single customers, coloured by the feature's value (grey: missing, or a category)."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import shap

    test = _judgement(result).test.frame
    rows = test.iloc[:: max(1, -(-len(test) // _SWARM_ROWS))]
    values, bias = result.model.contributions(rows)
    catalogue = result.model.catalogue
    data = result.model.encoder.matrix(rows).astype(np.float64)
    data[:, [feature.dtype == "categorical" for feature in catalogue]] = np.nan
    explanation = shap.Explanation(
        values=values,
        base_values=np.full(len(rows), bias),
        data=data,
        feature_names=[feature.label for feature in catalogue],
    )
    figure = plt.figure()
    with warnings.catch_warnings():
        # shap takes quantiles of each feature's values for the colours, and a category has none.
        warnings.filterwarnings("ignore", "All-NaN slice", RuntimeWarning)
        shap.plots.beeswarm(
            explanation,
            max_display=min(_TOP, len(catalogue)),
            show=False,
            plot_size=(8.6, 6.4),
            group_remaining_features=False,
        )
    axes = figure.axes[0]
    axes.set_xlabel("contribution to the log-odds: right raises, left lowers the probability", fontsize=10)
    axes.tick_params(axis="both", labelsize=9)
    _title(figure, result, "Contributions, one point a customer")
    plt.close(figure)
    return figure


def _judgement(result: TrainingResult) -> Judgement:
    assert result.judged is not None, "only what was judged has plots"
    return result.judged


def _figure(width: float, height: float) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _title(figure: Figure, result: TrainingResult, text: str) -> None:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    test = result.slices["test"]
    figure.suptitle(
        f"{text}\n{result.target.name}, trained for {result.training_monday}, judged on {test.first} to {test.last}",
        fontsize=10,
        x=0.5,
    )
