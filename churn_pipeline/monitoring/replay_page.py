"""The replay report as one self-contained HTML page, and its charts.

Here: wording, layout and drawing. Not here: any figure; all of them come from `replay`.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from churn_pipeline.core.atomic import replace_bytes
from churn_pipeline.core.formatting import usd
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.targets import in_reports, target_of
from churn_pipeline.core.templating import templates
from churn_pipeline.modeling.evaluate import TOP_PER_WEEK
from churn_pipeline.monitoring.replay import CALLERS, CALLERS_OF, RANKINGS, Caller, Ranking, ReplayReport, ReplayWeek

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TEMPLATES = Path(__file__).parent / "templates"
# Blue, vermilion, green and purple after Okabe and Ito (2008), darkened to a contrast of 4.5 on white; lines differ in dash and
# marker too. In the page each becomes a CSS variable of its name, so that the charts follow light and dark; no two may
# be equal.
_COLOURS = {
    "model": "#0b5394",
    "logistic": "#b5490b",
    "rule": "#0a7a5a",
    "chance": "#6b7480",
    "best": "#7a3b8f",
    "ink": "#1d2630",
    "muted": "#56606c",
    "grid": "#dde2e7",
    "called": "#7fa9d4",
    "all": "#dfe4e9",
}
_LINES: dict[Caller, dict[str, Any]] = {
    "model": {"linestyle": "-", "marker": "o", "linewidth": 2.0, "zorder": 5},
    "logistic": {"linestyle": "--", "marker": "s", "linewidth": 1.4, "zorder": 4},
    "rule": {"linestyle": "-.", "marker": "^", "linewidth": 1.4, "zorder": 3},
    "chance": {"linestyle": ":", "marker": ".", "linewidth": 1.4, "zorder": 2},
}
_LABELS: dict[Caller, str] = {
    "model": "the list",
    "logistic": "logistic regression",
    "rule": "the rule",
    "mrr": "revenue alone",
    "chance": "chance (expected)",
    "best": "the best possible",
}
# Who calls by revenue in the chart of money: the best possible is what could be had, and revenue alone is in the table.
_PAID: dict[Caller, str] = {"logistic": "s", "rule": "^", "chance": "D", "best": "P"}
_RANKED: dict[Ranking, str] = {"revenue": "Ranked by revenue at risk", "probability": "Ranked by probability"}


def render(report: ReplayReport) -> str:
    """The page: one HTML file with its charts in it, without scripts and without anything to load."""
    from markupsafe import Markup

    environment = templates(_TEMPLATES)
    environment.filters |= {
        "usd": _defined(usd),
        "percent": _defined(lambda share: f"{share:.0%}"),
        "finely": _defined(lambda share: f"{share:.1%}"),
        # A list that is cut inside a tie holds an expectation; any other a whole number.
        "count": _defined(lambda value: f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"),
        "tenth": _defined(lambda value: f"{value:,.1f}"),
        "signed": _defined(lambda value: f"{value:+,.1f}"),
        "ece": _defined(lambda value: f"{value:.3f}"),
        "times": _defined(lambda value: f"{value:.2f}"),
    }
    charts = {
        # Twice, because a picture that fits a desk is unreadable on a phone; CSS shows the one that fits.
        name: {form: Markup(_svg(draw, report, form, name)) for form in ("wide", "narrow")}
        for name, draw in _drawable(report).items()
    }
    return environment.get_template("replay.html.j2").render(
        report=report,
        charts=charts,
        colours=_COLOURS,
        callers=CALLERS,
        labels=_LABELS,
        rankings=RANKINGS,
        ranked=_RANKED,
        horizons=_horizons(),
        rule=target_of("risk").rule.text,
        default_calls=TOP_PER_WEEK,
        counts={state: sum(week.state == state for week in report.weeks) for state in ("judged", "open", "missing")},
        remarks=_remarks(report.weeks),
    )


def figures(report: ReplayReport) -> dict[str, Figure]:
    """The charts in their wide form, on white: ``churners``, ``revenue``, ``calibration``; no chart without figures."""
    import matplotlib

    with matplotlib.rc_context(_style()):
        return {name: draw(report, False) for name, draw in _drawable(report).items()}


def _drawable(report: ReplayReport) -> dict[str, Callable[[ReplayReport, bool], Figure]]:
    charts: dict[str, Callable[[ReplayReport, bool], Figure]] = {}
    if report.judged:
        charts |= {"churners": _churners, "revenue": _revenue}
    if any(report.calibration.values()):
        charts["calibration"] = _calibration
    return charts


def _churners(report: ReplayReport, narrow: bool) -> Figure:
    figure = _figure(narrow, (10.0, 3.9), (4.4, 6.4))
    panels = figure.subplots(*((2, 1) if narrow else (1, 2)), sharex=True, sharey=True)
    days = _days(report.weeks)
    for ranking, axes in zip(RANKINGS, panels, strict=True):
        for caller in CALLERS_OF["probability"]:
            lists = [week.held[ranking][caller] if week.held else None for week in report.weeks]
            counts = [called.churners if called else float("nan") for called in lists]
            axes.plot(days, counts, color=_COLOURS[caller], markersize=3.5, label=_LABELS[caller], **_LINES[caller])
        axes.set_title(_RANKED[ranking], loc="left")
        _calendar(axes, report.weeks)
    # Only now, because a limit that is set stops the shared axis from growing with the second panel.
    panels[0].set_ylim(bottom=0)
    for axes in panels if narrow else panels[:1]:
        axes.set_ylabel("left within 90 days, of the called")
    _legend(figure, panels[0], narrow)
    return figure


def _revenue(report: ReplayReport, narrow: bool) -> Figure:
    from matplotlib.ticker import FuncFormatter

    figure = _figure(narrow, (10.0, 3.7), (4.4, 3.9))
    axes = figure.subplots()
    days = _days(report.judged)
    churned = [week.churned_revenue or 0.0 for week in report.judged]
    axes.bar(days, churned, width=5.2, color=_COLOURS["all"], label="all who left")
    called: Caller = "model"
    axes.bar(days, _paid(report, called), width=5.2, color=_COLOURS["called"], label=_LABELS[called])
    for caller, marker in _PAID.items():
        # An edge in the colour of the page keeps a marker apart from the bar behind it.
        axes.plot(
            days,
            _paid(report, caller),
            linestyle="",
            marker=marker,
            markersize=6,
            color=_COLOURS[caller],
            markeredgecolor="white",
            markeredgewidth=0.9,
            label=_LABELS[caller],
            zorder=4,
        )
    axes.set_ylabel("annual revenue of those who left")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: usd(value)))
    axes.set_ylim(bottom=0)
    _calendar(axes, report.weeks)
    _legend(figure, axes, narrow)
    return figure


def _paid(report: ReplayReport, caller: Caller) -> list[float]:
    lists = [week.held["revenue"][caller] if week.held else None for week in report.judged]
    return [called.revenue if called else float("nan") for called in lists]


def _calibration(report: ReplayReport, narrow: bool) -> Figure:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    horizons = _horizons()
    shown = {target: report.calibration[target] for target in horizons if report.calibration[target]}
    figure = _figure(narrow, (10.0, 4.7), (4.4, 4.2 * len(shown)))
    panels = figure.subplots(*((len(shown), 1) if narrow else (1, len(shown))), squeeze=False).ravel()
    for (target, deciles), axes in zip(shown.items(), panels, strict=True):
        forecast = [decile.forecast for decile in deciles]
        observed = [decile.observed.value for decile in deciles]
        below = [max(0.0, decile.observed.value - decile.observed.low) for decile in deciles]
        above = [max(0.0, decile.observed.high - decile.observed.value) for decile in deciles]
        limit = 1.08 * max(*forecast, *(value + up for value, up in zip(observed, above, strict=True)), 1e-3)
        axes.plot([0, limit], [0, limit], color=_COLOURS["chance"], linewidth=1, linestyle="--", label="as forecast")
        axes.errorbar(
            forecast,
            observed,
            yerr=[below, above],
            fmt="o",
            color=_COLOURS["model"],
            elinewidth=1.2,
            markersize=4.5,
            label="a tenth, 95 % interval",
        )
        fewest, most = min(decile.rows for decile in deciles), max(decile.rows for decile in deciles)
        n = f"{fewest:,}" if fewest == most else f"{fewest:,} to {most:,}"
        axes.set_title(f"Within {horizons[target]}, n = {n} a point", loc="left")
        axes.set(xlabel="forecast probability", ylabel="share that left", xlim=(0, limit), ylim=(0, limit))
        axes.set_aspect("equal")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
            axis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.4g}%"))
    _legend(figure, panels[0], narrow)
    return figure


def _horizons() -> dict[str, str]:
    return {target.name: f"{target.horizon_days} days" for target in in_reports() if target.event == "churn"}


def _style() -> Any:
    return {
        "font.size": 9,
        "font.family": "sans-serif",
        "text.color": _COLOURS["ink"],
        "axes.labelcolor": _COLOURS["muted"],
        "axes.labelsize": 8.5,
        "axes.titlecolor": _COLOURS["ink"],
        "axes.titlesize": 9.5,
        "axes.edgecolor": _COLOURS["muted"],
        "axes.linewidth": 0.8,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "grid.color": _COLOURS["grid"],
        "grid.linewidth": 0.8,
        "xtick.color": _COLOURS["muted"],
        "ytick.color": _COLOURS["muted"],
        "xtick.labelsize": 8.5,
        "ytick.labelsize": 8.5,
        "svg.fonttype": "none",
        # Without it ids are random, and the same report would give another file every time.
        "svg.hashsalt": "replay",
    }


def _figure(narrow: bool, wide_size: tuple[float, float], narrow_size: tuple[float, float]) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=narrow_size if narrow else wide_size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _calendar(axes: Axes, weeks: Sequence[ReplayWeek]) -> None:
    """A time axis over the whole range, with a mark where a Monday has no figures."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    for state, marker in (("missing", "x"), ("open", "o")):
        days = _days([week for week in weeks if week.state == state])
        axes.plot(
            days,
            [0.03] * len(days),
            linestyle="",
            marker=marker,
            markersize=4,
            markerfacecolor="none",
            color=_COLOURS["muted"],
            transform=axes.get_xaxis_transform(),
        )
    first, *_, last = _days((*weeks, weeks[-1]))
    axes.set_xlim(first - 5, last + 5)
    locator = AutoDateLocator(minticks=2, maxticks=6)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]


def _days(weeks: Sequence[ReplayWeek]) -> list[float]:
    """Positions on a time axis, in days."""
    from matplotlib.dates import date2num

    return [float(day) for day in date2num([week.snapshot_date for week in weeks])]  # type: ignore[no-untyped-call]


def _legend(figure: Figure, axes: Axes, narrow: bool) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper left", ncols=2 if narrow else len(labels), frameon=False, fontsize=8.5
    )


def _svg(draw: Callable[[ReplayReport, bool], Figure], report: ReplayReport, form: str, name: str) -> str:
    """A chart as an SVG element that takes its colours and its font from the page."""
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context(_style()):
        draw(report, form == "narrow").savefig(
            buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None}
        )
    svg = buffer.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r'<svg ([^>]*?)width="[^"]*"', r'<svg aria-hidden="true" focusable="false" \1', svg, count=1)
    svg = re.sub(r'(<svg [^>]*?)height="[^"]*"', r"\1", svg, count=1)
    # Ids are unique in one chart, and several charts share a page.
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{name}-{form}-\1"', svg)
    svg = re.sub(r'((?:xlink:href="|url\()#)', rf"\g<1>{name}-{form}-", svg)
    svg = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", svg)
    for colour, value in _COLOURS.items():
        svg = svg.replace(value, f"var(--{colour})")
    return svg.replace("stroke: #ffffff", "stroke: var(--page)")


def _defined(write: Callable[[Any], str]) -> Callable[[Any], str]:
    """A filter that writes a dash for what is not defined."""
    return lambda value: "\N{EN DASH}" if value is None or value != value else write(value)


def _remarks(weeks: Sequence[ReplayWeek]) -> list[tuple[str, str]]:
    """What there is to say about judged and open Mondays, each remark once: (which Mondays, the remark)."""
    days_by_note: dict[str, list[str]] = {}
    for week in weeks:
        for note in week.notes:
            days_by_note.setdefault(note, []).append(str(week.snapshot_date))
    return [
        (", ".join(days) if len(days) <= 3 else f"{len(days)} Mondays from {days[0]} to {days[-1]}", note)
        for note, days in days_by_note.items()
    ]


def write_replay_report(report: ReplayReport, settings: Settings, folder: Path | None = None) -> Path:
    """Writes the page of a replay report and returns where it lies.

    Args:
        report: what it says.
        settings: the home.
        folder: where to; ``HOME/data/published/replay`` unless given.
    """
    page = (folder or settings.published / "replay") / f"replay_{report.first}_{report.last}.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    replace_bytes(page, render(report).encode())
    return page
