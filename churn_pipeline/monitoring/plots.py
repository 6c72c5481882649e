"""Pictures of drift."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from churn_pipeline.monitoring.drift import WATCH_RATIO, DriftReport

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS = {"act": "#b3261e", "watch": "#c8742b", "none": "#1b4f8a", "unknown": "#8a8a8a"}
_GUIDE = "#8a8a8a"
_TOP = 12


def drift(reports: Sequence[DriftReport]) -> Figure:
    """For each model the features that are farthest, in limits; bars that do not vote are pale.

    Args:
        reports: of one Monday; at least one.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 0.6 + 2.9 * len(reports)), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, report in zip(figure.subplots(len(reports), 1, squeeze=False)[:, 0], reports, strict=True):
        shown = [report.prediction, *sorted(report.features, key=lambda feature: -feature.ratio)[:_TOP]][::-1]
        bars = axes.barh(
            [f"{feature.label} ({feature.share:.0%})" if feature.share else feature.label for feature in shown],
            [min(feature.ratio, 5) for feature in shown],
            color=[_COLOURS[feature.verdict] for feature in shown],
        )
        for bar, feature in zip(bars, shown, strict=True):
            bar.set_alpha(1.0 if feature.votes else 0.35)
        axes.axvline(1, color=_GUIDE, linewidth=1)
        axes.axvline(WATCH_RATIO, color=_GUIDE, linewidth=1, linestyle=":")
        axes.set_xlim(0, max(1.2, *(min(feature.ratio, 5) for feature in shown)))
        axes.set_title(f"{report.target}: {report.verdict}, score {report.score:.2f}", loc="left", fontsize=10)
        axes.tick_params(labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)
    figure.supxlabel(
        "PSI in limits (5 and more shown as 5); share of |SHAP| in brackets; pale: ages by construction", fontsize=8
    )
    return figure
