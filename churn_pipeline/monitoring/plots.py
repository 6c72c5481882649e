"""Drift as a picture: how far each feature is from its limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from churn_pipeline.monitoring.drawing import INK, MUTED
from churn_pipeline.monitoring.drift import WATCH_RATIO, DriftReport

_COLOURS = {"act": "#b3261e", "watch": "#c8742b", "none": "#1b4f8a", "unknown": "#8a8a8a"}
_GUIDE = {"type": "rule", "color": "#8a8a8a"}
# A guide is drawn once, not once a bar.
_ONCE: dict[str, Any] = {"values": [{}]}
_TOP = 12
# More limits than these are shown as so many.
_MOST = 5.0
_NOTE = "PSI in limits (5 and more shown as 5); share of |SHAP| in brackets; pale: ages by construction"
_LAYERS: list[dict[str, Any]] = [
    {
        "mark": {"type": "bar", "height": 10},
        "encoding": {
            "x": {
                "field": "limits",
                "type": "quantitative",
                "title": None,
                # So that the limit does not lie on the edge where everything is far from it.
                "scale": {"domain": {"unionWith": [0, 1.2]}, "nice": False},
                "axis": {"tickCount": 5, "format": ".4~g"},
            },
            # Two features may be called alike, so that a bar goes by its place, which is cut off where it is written.
            "y": {
                "field": "place",
                "type": "nominal",
                "title": None,
                "sort": None,
                "axis": {
                    "labelExpr": "slice(datum.label, 3)",
                    "labelLimit": 0,
                    "labelColor": INK,
                    "grid": False,
                },
            },
            "color": {
                "field": "verdict",
                "type": "nominal",
                "scale": {"domain": list(_COLOURS), "range": list(_COLOURS.values())},
                "legend": None,
            },
            "opacity": {
                "field": "votes",
                "type": "nominal",
                "scale": {"domain": [True, False], "range": [1, 0.35]},
                "legend": None,
            },
        },
    },
    {"data": _ONCE, "mark": _GUIDE, "encoding": {"x": {"datum": 1}}},
    {"data": _ONCE, "mark": _GUIDE | {"strokeDash": [1, 3]}, "encoding": {"x": {"datum": WATCH_RATIO}}},
]


def drift(reports: Sequence[DriftReport]) -> dict[str, Any]:
    """For each model the features that are farthest, in limits, as Vega-Lite; bars that do not vote are pale.

    Args:
        reports: of one Monday; at least one.
    """
    return {
        "title": {"text": _NOTE, "orient": "bottom", "color": MUTED, "fontSize": 10, "offset": 12},
        "vconcat": [
            {
                "title": {
                    "text": f"{report.target}: {report.verdict}, score {report.score:.2f}",
                    "frame": "group",
                    "fontSize": 12,
                },
                "width": 400,
                "height": {"step": 14},
                "data": {"values": _bars(report)},
                "layer": _LAYERS,
            }
            for report in reports
        ],
    }


def _bars(report: DriftReport) -> list[dict[str, Any]]:
    shown = [report.prediction, *sorted(report.features, key=lambda feature: -feature.ratio)[:_TOP]]
    return [
        {
            "place": f"{place:02} {feature.label}" + (f" ({feature.share:.0%})" if feature.share else ""),
            "limits": min(feature.ratio, _MOST),
            "verdict": feature.verdict,
            "votes": feature.votes,
        }
        for place, feature in enumerate(shown)
    ]
