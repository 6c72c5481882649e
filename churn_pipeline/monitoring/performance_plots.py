"""The performance chart: what predictions were expected to be worth, what they turned out to be worth, what was promised.

Here: drawing, and the files of it in HOME/data/published. Not here: any figure; all of them come from `performance`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import Any

import pandas as pd

from churn_pipeline.core.atomic import replace_bytes
from churn_pipeline.core.calendar import WEEK
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.targets import TARGETS, in_reports
from churn_pipeline.monitoring.drawing import MUTED
from churn_pipeline.monitoring.performance import ASSUMPTION

NAME = "model_quality"
# Rows of panels, with what is better said in words than by the name in the table.
SHOWN = {
    "auc": "AUC",
    "brier_skill": "Brier skill",
    "precision_top_200": "precision, top 200",
}
# Blue and vermilion after Okabe and Ito (2008), darkened to a contrast of 4.5 on white, as in the replay report; what they tell
# apart differs in form too.
_BAND, _TRUTH, _FAINT, _UNDER, _PROMISE = "#c5d8ec", "#0b5394", "rgba(11, 83, 148, 0.5)", "#b5490b", "#6b7480"
_SOLID, _DASHED = [1, 0], [5, 3]
_LINE = "M-2.8,0H2.8"
# The words of the legend in its order, each with shape, fill, outline and dashes of its mark.
_MARKS: dict[str, tuple[str, str, str, list[int]]] = {
    "expected: 95 % of what chance does with so many customers": ("M-2.8,-1.4H2.8V1.4H-2.8Z", _BAND, _BAND, _SOLID),
    "expected": (_LINE, "transparent", _FAINT, _SOLID),
    "promised at promotion": (_LINE, "transparent", _PROMISE, _DASHED),
    "realised": ("circle", _TRUTH, _TRUTH, _SOLID),
    "realised, under the promise by more than chance": ("M0,-1.4L1.4,0L0,1.4L-1.4,0Z", _UNDER, _UNDER, _SOLID),
    "realised, customers without an intervention": ("square", "white", _TRUTH, _SOLID),
}
_BANDED, _EXPECTED, _PROMISED, _REALISED, _BELOW, _UNTOUCHED = _MARKS
_SIZE = 41
_LEGEND = {"columns": 2, "symbolSize": _SIZE, "symbolStrokeWidth": 1.2, "labelOffset": 14, "columnPadding": 30}
_WIDTH, _HEIGHT = 300, 190
# Dates at most under an axis.
_DATES = 5


def _only(*whats: str) -> dict[str, Any]:
    return {"filter": {"field": "what", "oneOf": list(whats)}}


def _alone(what: str) -> list[dict[str, Any]]:
    """Of a line the Mondays that have no neighbour, and so no length."""
    beside = [{"op": op, "field": "value", "as": op} for op in ("lag", "lead")]
    alone = "isValid(datum.value) && !isValid(datum.lag) && !isValid(datum.lead)"
    return [_only(what), {"window": beside, "sort": [{"field": "on"}]}, {"filter": alone}]


# Over each other from the lowest; all share the axes of their panel.
_LAYERS: list[dict[str, Any]] = [
    {"transform": [_only(_BANDED)], "mark": {"type": "area", "color": _BAND}, "encoding": {"y2": {"field": "high"}}},
    {
        "transform": _alone(_BANDED),
        "mark": {"type": "rule", "color": _BAND, "strokeWidth": 6},
        "encoding": {"y2": {"field": "high"}},
    },
    {"transform": [_only(_EXPECTED)], "mark": {"type": "line", "color": _FAINT, "strokeWidth": 0.8}},
    {"transform": _alone(_EXPECTED), "mark": {"type": "tick", "color": _FAINT, "thickness": 0.8, "size": 6}},
    {
        "transform": [_only(_PROMISED)],
        "mark": {"type": "rule", "color": _PROMISE, "strokeWidth": 1.2, "strokeDash": _DASHED},
        "encoding": {"x2": {"field": "until"}},
    },
]


def chart(history: pd.DataFrame) -> dict[str, Any]:
    """One column a target, one row a figure of `SHOWN`, over the Mondays of the predictions, as Vega-Lite.

    Args:
        history: as `outcomes.history` gives it; may be empty.

    Returns:
        Per panel the expected band, the realised figures over it (marked where they are too low to be chance, and hollow for the
        untouched where somebody was touched), and the promised figure as lines from where a model came to where it went. A
        Monday without a figure is a gap.
    """
    titles = {target.name: target.title for target in in_reports()}
    targets = [name for name in titles if name in set(history["target"])] or list(titles)[:1]
    history = history.assign(predicted_on=pd.to_datetime(history["predicted_on"]))
    days = history["predicted_on"]
    mondays = pd.date_range(days.min(), days.max(), freq=WEEK) if len(days) else pd.DatetimeIndex([])
    rows = {
        (figure, target): list(_rows(history[(history["target"] == target) & (history["figure"] == figure)], mondays))
        for figure in SHOWN
        for target in targets
    }
    drawn = {row["what"] for of_panel in rows.values() for row in of_panel if row["value"] is not None}
    marks = _points([what for what in _MARKS if what in drawn])
    top, bottom = next(iter(SHOWN)), next(reversed(SHOWN))
    panels = []
    for (figure, target), of_panel in rows.items():
        panel: dict[str, Any] = {
            "width": _WIDTH,
            "height": _HEIGHT,
            "data": {"values": of_panel},
            "encoding": {
                "x": _dates(mondays, shown=figure == bottom),
                "y": {
                    "field": "value",
                    "type": "quantitative",
                    "title": SHOWN[figure] if target == targets[0] else None,
                    "scale": {"zero": False, "nice": False, "padding": 14},
                    "axis": {"tickCount": 5, "format": ".4~g"},
                },
            },
            "layer": [*_LAYERS, marks],
        }
        if figure == top:
            panel["title"] = {"text": titles[target], "frame": "group"}
            if target in _waiting(history, targets):
                panel["layer"].append(_note(f"no truth yet: it takes {TARGETS[target].horizon_weeks} weeks"))
        panels.append(panel)
    return {
        "title": {
            "text": textwrap.wrap(f"The band is {ASSUMPTION}.", 70 * len(targets)),
            "orient": "bottom",
            "offset": 12,
            "color": MUTED,
            "fontSize": 10,
        },
        # Axes and titles lie in the spaces, so that all panels stand in line however wide a number is.
        "bounds": "flush",
        "spacing": {"row": 24, "column": 60},
        "columns": len(targets),
        "concat": panels,
    }


def write_chart(drawn: str, image: bytes, settings: Settings) -> list[Path]:
    """Writes a `chart` as SVG and as PNG into HOME/data/published, each replaced in one step, and returns where they lie."""
    settings.published.mkdir(parents=True, exist_ok=True)
    written = []
    for form, data in (("png", image), ("svg", drawn.encode())):
        path = settings.published / f"{NAME}.{form}"
        replace_bytes(path, data)
        written.append(path)
    return written


def _rows(history: pd.DataFrame, mondays: pd.DatetimeIndex) -> Iterator[dict[str, Any]]:
    """What is to be seen in one panel: each row says what it is, its Monday and its value, which may be missing."""
    estimated = history[history["basis"] == "expected"].drop_duplicates("predicted_on")
    expected = estimated.set_index("predicted_on").reindex(mondays)
    for what, lower in ((_BANDED, "low"), (_EXPECTED, "value")):
        for day, value, high in zip(mondays, expected[lower], expected["high"], strict=True):
            yield {"what": what, "on": _on(day), "value": _known(value), "high": _known(high)}
    whole = history[history["customers"] == "all"].drop_duplicates("predicted_on")
    promised = whole.set_index("predicted_on")["promised"].reindex(mondays)
    for _, of_model in promised.groupby((promised != promised.shift()).cumsum()):
        # It holds until the next Monday.
        start, end = of_model.index[0], of_model.index[-1] + WEEK
        yield {"what": _PROMISED, "on": _on(start), "until": _on(end), "value": _known(of_model.iloc[0])}
    realised = history[(history["basis"] == "realised") & history["value"].notna()]
    all_ = realised[realised["customers"] == "all"]
    is_under = all_["is_under"].astype(bool)
    spared = realised[realised["customers"] == "untouched"].merge(
        all_[["predicted_on", "rows"]], on="predicted_on", suffixes=("", "_all")
    )
    touched = spared[spared["rows"] < spared["rows_all"]]
    for what, points in ((_REALISED, all_[~is_under]), (_BELOW, all_[is_under]), (_UNTOUCHED, touched)):
        for day, value in zip(points["predicted_on"], points["value"], strict=True):
            yield {"what": what, "on": _on(day), "value": float(value)}


def _points(drawn: list[str]) -> dict[str, Any]:
    """The marks of the realised figures, and the legend of all that is ``drawn``."""
    channels: dict[str, Any] = {
        channel: {
            "field": "what",
            "type": "nominal",
            "title": None,
            "scale": {"domain": drawn, "range": [_MARKS[what][place] for what in drawn]},
            "legend": _LEGEND if drawn else None,
        }
        for place, channel in enumerate(("shape", "fill", "stroke", "strokeDash"))
    }
    return {
        "transform": [_only(_REALISED, _BELOW, _UNTOUCHED)],
        "mark": {"type": "point", "size": _SIZE, "strokeWidth": 1.2, "opacity": 1},
        "encoding": channels,
    }


def _dates(mondays: pd.DatetimeIndex, *, shown: bool) -> dict[str, Any]:
    """The axis of a panel: a week more on either side, so that no mark lies on an edge; written under the lowest panels."""
    ends = [_on(mondays[0] - WEEK), _on(mondays[-1] + WEEK)] if len(mondays) else []
    written = [_on(day) for day in mondays[:: ceil(len(mondays) / _DATES) or 1]]
    return {
        "field": "on",
        "type": "temporal",
        "title": "Monday of the prediction" if shown else None,
        # Not the clock of wherever this runs: there a Monday may still be a Sunday.
        "scale": {"type": "utc"} | ({"domain": ends} if ends else {}),
        "axis": {"values": written, "format": "%-d %b %Y", "labels": shown, "ticks": shown},
    }


def _note(words: str) -> dict[str, Any]:
    return {
        "data": {"values": [{}]},
        "mark": {"type": "text", "text": words, "align": "left", "color": MUTED, "fontSize": 10},
        "encoding": {"x": {"value": 9}, "y": {"value": _HEIGHT - 12}},
    }


def _on(day: pd.Timestamp) -> str:
    return f"{day:%Y-%m-%d}"


def _known(value: float) -> float | None:
    return None if value != value else float(value)


def _waiting(history: pd.DataFrame, targets: list[str]) -> list[str]:
    judged = set(history.loc[history["basis"] == "realised", "target"])
    return [name for name in targets if name not in judged and len(history)]
