"""The performance chart: what predictions were expected to be worth, what they turned out to be worth, what was promised.

Here: drawing, and the files of it in HOME/data/published. Not here: any figure; all of them come from `performance`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from datetime import date
from itertools import pairwise
from pathlib import Path

import pandas as pd

from churn_pipeline.core.atomic import replace_bytes
from churn_pipeline.core.calendar import WEEK
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.targets import TARGETS, in_reports
from churn_pipeline.monitoring import svg
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
_BAND, _TRUTH, _UNDER, _PROMISE = "#c5d8ec", "#0b5394", "#b5490b", "#6b7480"
# Marks with their words, in the order of the legend.
_LEGEND = {
    "band": "expected: 95 % of what chance does with so many customers",
    "expected": "expected",
    "promised": "promised at promotion",
    "realised": "realised",
    "under": "realised, under the promise by more than chance",
    "untouched": "realised, customers without an intervention",
}
_LEFT, _TOP, _PANEL, _HEIGHT, _GAP = 62, 80, 300, 190, 62


def chart(history: pd.DataFrame) -> str:
    """One column a target, one row a figure of `SHOWN`, over the Mondays of the predictions, as SVG.

    Args:
        history: as `outcomes.history` gives it; may be empty.

    Returns:
        Per panel the expected band, the realised figures over it (marked where they are too low to be chance, and hollow for the
        untouched where somebody was touched), and the promised figure as a line that steps where the model changed.
    """
    titles = {target.name: target.title for target in in_reports()}
    targets = [name for name in titles if name in set(history["target"])] or list(titles)[:1]
    history = history.assign(predicted_on=[pd.Timestamp(day).date() for day in history["predicted_on"]])
    days = sorted(history["predicted_on"])
    first, last = (days[0], days[-1]) if days else (date(2000, 1, 3), date(2000, 1, 3))
    waiting = _waiting(history, targets)
    parts: list[str] = []
    drawn: set[str] = set()
    for column, target in enumerate(targets):
        left = _LEFT + column * (_PANEL + _GAP)
        # A week on either side, so that no mark lies on an edge.
        along = svg.Scale((first - WEEK).toordinal(), (last + WEEK).toordinal(), left, left + _PANEL)
        parts.append(svg.text(left, _TOP - 10, titles[target], size=12))
        for row, (name, words) in enumerate(SHOWN.items()):
            top = _TOP + row * (_HEIGHT + 28)
            of_panel = history[(history["target"] == target) & (history["figure"] == name)]
            for what, part in _panel(of_panel, along, top):
                drawn.add(what)
                parts.append(part)
            if column == 0:
                parts.append(svg.text(16, top + _HEIGHT / 2, words, colour=svg.MUTED, anchor="middle", turned=True))
            if row == 0 and target in waiting:
                note = f"no truth yet: it takes {TARGETS[target].horizon_weeks} weeks"
                parts.append(svg.text(left + 9, top + _HEIGHT - 8, note, size=9, colour=svg.MUTED))
        end = _TOP + len(SHOWN) * (_HEIGHT + 28) - 28
        for day, label in svg.day_steps(first, last):
            x = along(day.toordinal())
            parts.append(svg.line([(x, end), (x, end + 4)], svg.MUTED, width=0.8))
            parts.append(svg.text(x, end + 15, label, size=9, colour=svg.MUTED, anchor="middle"))
        middle = left + _PANEL / 2
        parts.append(svg.text(middle, end + 31, "Monday of the prediction", colour=svg.MUTED, anchor="middle"))
    width = _LEFT + len(targets) * (_PANEL + _GAP) - _GAP + 20
    parts += _legend([what for what in _LEGEND if what in drawn], width)
    below = _TOP + len(SHOWN) * (_HEIGHT + 28) + 24
    lines = textwrap.wrap(f"The band is {ASSUMPTION}.", int(width / 5))
    parts += [svg.text(16, below + 12 * number, words, size=9, colour=svg.MUTED) for number, words in enumerate(lines)]
    return svg.drawing(width, below + 12 * len(lines) + 4, parts)


def write_chart(chart: str, image: bytes, settings: Settings) -> list[Path]:
    """Writes a `chart` and its PNG into HOME/data/published, each replaced in one step, and returns where they lie."""
    settings.published.mkdir(parents=True, exist_ok=True)
    written = []
    for form, data in (("png", image), ("svg", chart.encode())):
        path = settings.published / f"{NAME}.{form}"
        replace_bytes(path, data)
        written.append(path)
    return written


def _panel(history: pd.DataFrame, along: svg.Scale, top: float) -> Iterator[tuple[str, str]]:
    """The parts of one panel, each with what it is."""
    known = history[history["value"].notna()]
    whole = history[history["customers"] == "all"].drop_duplicates("predicted_on")
    promised = whole[whole["promised"].notna()]
    shown = pd.concat([known[name] for name in ("value", "low", "high")] + [promised["promised"]]).dropna()
    low, high = (float(shown.min()), float(shown.max())) if len(shown) else (0.0, 1.0)
    room = 0.08 * (high - low) or 0.05
    up = svg.Scale(low - room, high + room, top + _HEIGHT, top)
    for part in svg.grid(svg.round_steps(low - room, high + room), up, along.first, along.last):
        yield "", part
    yield "", svg.line([(along.first, top), (along.first, top + _HEIGHT), (along.last, top + _HEIGHT)], svg.MUTED)

    def points(rows: pd.DataFrame, name: str) -> list[tuple[float, float]]:
        ordered = rows.sort_values("predicted_on", kind="stable")
        return [
            (along(day.toordinal()), up(value))
            for day, value in zip(ordered["predicted_on"], ordered[name], strict=True)
        ]

    expected = known[known["basis"] == "expected"]
    banded = expected[expected["low"].notna() & expected["high"].notna()]
    if len(banded):
        highs, lows = points(banded, "high"), points(banded, "low")
        if len(highs) == 1:
            # One Monday alone has a band without a width.
            highs, lows = (
                [(highs[0][0] + dx, highs[0][1]) for dx in (-3, 3)],
                [(lows[0][0] + dx, lows[0][1]) for dx in (-3, 3)],
            )
        yield "band", svg.area([*highs, *reversed(lows)], _BAND)
    if len(expected):
        yield "expected", svg.line(points(expected, "value"), _TRUTH, width=0.8, opacity=0.5)
    if len(promised):
        steps = points(promised, "promised")
        corners = [(x, y) for before, (x, after) in pairwise(steps) for y in (before[1], after)]
        # The promise of the newest Monday holds until the next.
        end = (steps[-1][0] + along(7) - along(0), steps[-1][1])
        yield "promised", svg.line([steps[0], *corners, end], _PROMISE, width=1.2, dash="5 3")
    realised = known[known["basis"] == "realised"]
    all_ = realised[realised["customers"] == "all"]
    for x, y in points(all_, "value"):
        yield "realised", svg.dot(x, y, _TRUTH)
    for x, y in points(all_[all_["is_under"].astype(bool)], "value"):
        yield "under", svg.diamond(x, y, _UNDER)
    spared = realised[realised["customers"] == "untouched"].merge(
        all_[["predicted_on", "rows"]], on="predicted_on", suffixes=("", "_all")
    )
    for x, y in points(spared[spared["rows"] < spared["rows_all"]], "value"):
        yield "untouched", svg.square(x, y, _TRUTH)


def _legend(drawn: list[str], width: float) -> Iterator[str]:
    """The marks that the chart has, two beside each other."""
    columns = 2 if width > 500 else 1
    for place, what in enumerate(drawn):
        x, y = 16 + (place % columns) * (width - 16) / columns, 16 + (place // columns) * 15
        match what:
            case "band":
                yield svg.bar(x, y - 5, 18, 9, _BAND)
            case "expected":
                yield svg.line([(x, y), (x + 18, y)], _TRUTH, width=0.8, opacity=0.5)
            case "promised":
                yield svg.line([(x, y), (x + 18, y)], _PROMISE, width=1.2, dash="5 3")
            case "realised":
                yield svg.dot(x + 9, y, _TRUTH)
            case "under":
                yield svg.diamond(x + 9, y, _UNDER)
            case _:
                yield svg.square(x + 9, y, _TRUTH)
        yield svg.text(x + 24, y + 3.5, _LEGEND[what], size=9.5)


def _waiting(history: pd.DataFrame, targets: list[str]) -> list[str]:
    judged = set(history.loc[history["basis"] == "realised", "target"])
    return [name for name in targets if name not in judged and len(history)]
