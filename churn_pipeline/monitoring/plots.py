"""Drift as a picture: how far each feature is from its limits."""

from __future__ import annotations

from collections.abc import Sequence

from churn_pipeline.monitoring import svg
from churn_pipeline.monitoring.drift import WATCH_RATIO, DriftReport

_COLOURS = {"act": "#b3261e", "watch": "#c8742b", "none": "#1b4f8a", "unknown": "#8a8a8a"}
_GUIDE = "#8a8a8a"
_TOP = 12
# More limits than these are shown as so many.
_MOST = 5.0
_NAMES, _WIDTH, _BAR = 250, 660, 13


def drift(reports: Sequence[DriftReport]) -> str:
    """For each model the features that are farthest, in limits, as SVG; bars that do not vote are pale.

    Args:
        reports: of one Monday; at least one.
    """
    parts: list[str] = []
    top = 8.0
    for report in reports:
        shown = [report.prediction, *sorted(report.features, key=lambda feature: -feature.ratio)[:_TOP]]
        parts.append(
            svg.text(_NAMES, top + 12, f"{report.target}: {report.verdict}, score {report.score:.2f}", size=11)
        )
        top += 20
        most = max(1.2, *(min(feature.ratio, _MOST) for feature in shown))
        along, end = svg.Scale(0, most, _NAMES, _WIDTH - 15), top + _BAR * len(shown)
        for place, feature in enumerate(shown):
            name = f"{feature.label} ({feature.share:.0%})" if feature.share else feature.label
            y = top + _BAR * place
            parts.append(svg.text(_NAMES - 6, y + 9.5, name, size=8.5, anchor="end"))
            width = along(min(feature.ratio, _MOST)) - _NAMES
            opacity = 1 if feature.votes else 0.35
            parts.append(svg.bar(_NAMES, y + 1.5, width, _BAR - 3, _COLOURS[feature.verdict], opacity=opacity))
        parts.append(svg.line([(along(1), top), (along(1), end)], _GUIDE))
        parts.append(svg.line([(along(WATCH_RATIO), top), (along(WATCH_RATIO), end)], _GUIDE, dash="1 3"))
        parts.append(svg.line([(_NAMES, top), (_NAMES, end), (_WIDTH - 15, end)], svg.MUTED, width=0.8))
        parts += [
            svg.text(along(value), end + 11, f"{value:.4g}", size=8.5, colour=svg.MUTED, anchor="middle")
            for value in svg.round_steps(0, most)
        ]
        top = end + 24
    note = "PSI in limits (5 and more shown as 5); share of |SHAP| in brackets; pale: ages by construction"
    parts.append(svg.text(_WIDTH / 2, top + 6, note, size=9, colour=svg.MUTED, anchor="middle"))
    return svg.drawing(_WIDTH, top + 16, parts)
