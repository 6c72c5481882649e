"""The picture below the digest: revenue at risk by tier, Monday by Monday. It shows totals and names nobody.

matplotlib is imported when something is drawn; only a bot may upload, and only then is anything drawn.
"""

from __future__ import annotations

import io

from churn_pipeline.core.formatting import clean, usd
from churn_pipeline.delivery.digest import Digest

# One Monday is a figure and no picture.
FEWEST_WEEKS = 2
# Of the gravest tier first, as the weekly report has them; every further tier is as grey as the last.
_COLOURS = ("#b3261e", "#d9772b", "#d9b02c", "#b6c0ca")
_INK, _LINES = "#1d2730", "#e3e7eb"
# What Slack shows without being asked to is about 360 points wide.
_INCHES, _DPI = (8.0, 3.6), 150
_BAR_DAYS = 5.2
_NAMED_WEEKS = 6


def draw(digest: Digest) -> bytes | None:
    """The picture as PNG; None where there are too few Mondays for one, or no revenue is known."""
    if len(digest.weeks) < FEWEST_WEEKS or not digest.has_money:
        return None
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

    figure = Figure(figsize=_INCHES, dpi=_DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    days = [float(day) for day in date2num([week.snapshot_date for week in digest.weeks])]  # type: ignore[no-untyped-call]
    names = [tier.risk_tier for tier in digest.tiers]
    names += sorted({name for week in digest.weeks for name in week.at_risk} - set(names))
    floor = [0.0] * len(days)
    for place, name in enumerate(names):
        heights = [week.at_risk.get(name, 0.0) for week in digest.weeks]
        colour = _COLOURS[min(place, len(_COLOURS) - 1)]
        # Text that a policy wrote is no formula: a dollar sign would begin one.
        axes.bar(days, heights, _BAR_DAYS, floor, color=colour, label=clean(name, 12).replace("$", r"\$"))
        floor = [below + height for below, height in zip(floor, heights, strict=True)]
    axes.annotate(
        usd(floor[-1]).replace("$", r"\$"),
        (days[-1], floor[-1]),
        xytext=(0, 4),
        textcoords="offset points",
        ha="center",
        fontsize=10,
        fontweight="bold",
        color=_INK,
    )
    axes.set_title("Revenue at risk by tier, USD a year", loc="left", fontsize=11, color=_INK)
    axes.set_ylim(0, 1.15 * max(*floor, 1.0))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda amount, _: usd(amount).replace("$", r"\$")))
    # Few bars are named each; between them lie days on which nothing was published.
    locator = FixedLocator(days) if len(days) <= _NAMED_WEEKS else AutoDateLocator(minticks=2, maxticks=8)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
    axes.grid(axis="y", color=_LINES, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=_INK, labelsize=9, length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_LINES)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=len(labels), frameon=False, fontsize=9)
    written = io.BytesIO()
    # Without a version of matplotlib in the file, the same figures give the same bytes.
    figure.savefig(written, format="png", metadata={"Software": None})
    return written.getvalue()
