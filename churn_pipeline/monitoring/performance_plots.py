"""The performance chart: what predictions were expected to be worth, what they turned out to be worth, what was promised.

Here: drawing, and the files of it in HOME/data/published. Not here: any figure; all of them come from `performance`.
"""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from churn_pipeline.core.atomic import commit_file, temp_path
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.targets import TARGETS, in_reports
from churn_pipeline.monitoring.performance import ASSUMPTION

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAME = "model_quality"
# Rows of panels, with what is better said in words than by the name in the table.
SHOWN = {
    "auc": "AUC",
    "brier_skill": "Brier skill",
    "precision_top_200": "precision, top 200",
}
# Blue and vermilion after Okabe and Ito (2008), darkened to a contrast of 4.5 on white, as in the replay report; what they tell
# apart differs in form too.
_BAND, _TRUTH, _UNDER, _PROMISE, _INK, _MUTED, _GRID = (
    "#c5d8ec", "#0b5394", "#b5490b", "#6b7480", "#1d2630", "#56606c", "#dde2e7"
)  # fmt: skip
_STYLE: Any = {
    "font.size": 9,
    "text.color": _INK,
    "axes.labelcolor": _MUTED,
    "axes.labelsize": 8.5,
    "axes.titlesize": 9.5,
    "axes.edgecolor": _MUTED,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": _GRID,
    "xtick.color": _MUTED,
    "ytick.color": _MUTED,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "svg.fonttype": "none",
    # Without it ids are random, and the same figures would give another file every time.
    "svg.hashsalt": NAME,
}


def chart(history: pd.DataFrame) -> Figure:
    """One column a target, one row a figure of `SHOWN`, over the Mondays of the predictions.

    Args:
        history: as `outcomes.history` gives it; may be empty.

    Returns:
        Per panel the expected band, the realised figures over it (marked where they are too low to be chance, and hollow for the
        untouched where somebody was touched), and the promised figure as a line that steps where the model changed.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    titles = {target.name: target.title for target in in_reports()}
    targets = [name for name in titles if name in set(history["target"])] or list(titles)[:1]
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(1.2 + 3.6 * len(targets), 8.2), layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(len(SHOWN), len(targets), squeeze=False, sharex=True)
        handles: dict[str, Any] = {}
        for row, (name, words) in enumerate(SHOWN.items()):
            for column, target in enumerate(targets):
                axes = panels[row][column]
                panel_history = history[(history["target"] == target) & (history["figure"] == name)]
                handles |= _panel(axes, panel_history)
                if row == 0:
                    axes.set_title(titles[target], loc="left")
                if column == 0:
                    axes.set_ylabel(words)
                if row == len(SHOWN) - 1:
                    axes.set_xlabel("Monday of the prediction")
        for name in _waiting(history, targets):
            panels[0][targets.index(name)].annotate(
                f"no truth yet: it takes {TARGETS[name].horizon_weeks} weeks",
                (0.03, 0.04),
                xycoords="axes fraction",
                color=_MUTED,
                fontsize=8,
            )
        figure.legend(handles.values(), handles.keys(), loc="outside upper left", ncols=3, frameon=False, fontsize=8.5)
        figure.supxlabel(
            textwrap.fill(f"The band is {ASSUMPTION}.", 50 * len(targets)), fontsize=8, color=_MUTED, x=0.01, ha="left"
        )
    return figure


def write_chart(figure: Figure, settings: Settings) -> list[Path]:
    """Writes a `chart` as PNG and SVG into HOME/data/published, each replaced in one step, and returns where they lie."""
    import matplotlib

    settings.published.mkdir(parents=True, exist_ok=True)
    written = []
    for form, metadata in (("png", {"Software": None}), ("svg", {"Date": None, "Creator": None})):
        path = settings.published / f"{NAME}.{form}"
        temporary = temp_path(path)
        with matplotlib.rc_context(_STYLE):
            figure.savefig(temporary, format=form, dpi=130, metadata=metadata)
        commit_file(temporary, path)
        written.append(path)
    return written


def _panel(axes: Axes, history: pd.DataFrame) -> dict[str, Any]:
    """Draws one panel and returns what it drew, by the words of the legend."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    drawn: dict[str, Any] = {}
    known = history[history["value"].notna()]
    expected = known[known["basis"] == "expected"]
    if len(expected):
        days = expected["predicted_on"]
        drawn["expected: 95 % of what chance does with so many customers"] = axes.fill_between(
            days, expected["low"], expected["high"], color=_BAND, linewidth=0
        )
        (drawn["expected"],) = axes.plot(days, expected["value"], color=_TRUTH, linewidth=0.8, alpha=0.5)
    whole = history[history["customers"] == "all"].drop_duplicates("predicted_on")
    promised = whole[whole["promised"].notna()]
    if len(promised):
        (drawn["promised at promotion"],) = axes.step(
            promised["predicted_on"],
            promised["promised"],
            where="post",
            color=_PROMISE,
            linestyle="--",
            linewidth=1.2,
        )
    realised = known[known["basis"] == "realised"]
    all_ = realised[realised["customers"] == "all"]
    if len(all_):
        (drawn["realised"],) = axes.plot(all_["predicted_on"], all_["value"], "o", color=_TRUTH, markersize=4.5)
    under = all_[all_["is_under"]]
    if len(under):
        (drawn["realised, under the promise by more than chance"],) = axes.plot(
            under["predicted_on"], under["value"], "D", color=_UNDER, markersize=5.5
        )
    spared = realised[realised["customers"] == "untouched"].merge(
        all_[["predicted_on", "rows"]], on="predicted_on", suffixes=("", "_all")
    )
    spared = spared[spared["rows"] < spared["rows_all"]]
    if len(spared):
        (drawn["realised, customers without an intervention"],) = axes.plot(
            spared["predicted_on"],
            spared["value"],
            "s",
            color=_TRUTH,
            markerfacecolor="none",
            markersize=5,
        )
    locator = AutoDateLocator(minticks=2, maxticks=5)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    return drawn


def _waiting(history: pd.DataFrame, targets: list[str]) -> list[str]:
    judged = set(history.loc[history["basis"] == "realised", "target"])
    return [name for name in targets if name not in judged and len(history)]
