"""The pictures of the report as Vega-Lite, declared without data: the page hands each its rows by name.

Colours are the page's CSS variables, so that a chart follows light, dark and print without being drawn again. Every chart reads
one data set called ``rows``; the marks' fields are all there is to know about its columns. Shapes, dashes and words say what
colours say.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from churn_pipeline.core.atomic import replace_bytes
from churn_pipeline.core.json_text import json_text

if TYPE_CHECKING:
    import altair as alt

# Pixels a bar has where bars are rows.
STEP = 22
_FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'


def _var(name: str) -> str:
    return f"var(--{name})"


def kept(tiers: tuple[str, ...], days: int, folder: Path) -> dict[str, dict[str, Any]]:
    """`specifications`, made once and kept: making and validating them takes a second.

    A file is named after all that decides about what it says: this module, the library, and what was asked for.

    Args:
        tiers: as of `specifications`.
        days: likewise.
        folder: where to keep them.
    """
    from importlib.metadata import version

    made_of = [sha256(Path(__file__).read_bytes()).hexdigest(), version("altair"), tiers, days]
    file = folder / f"charts_{sha256(json_text(made_of).encode()).hexdigest()[:16]}.json"
    try:
        specified: dict[str, dict[str, Any]] = json.loads(file.read_bytes())
    except (OSError, ValueError):
        specified = specifications(tiers, days)
        folder.mkdir(parents=True, exist_ok=True)
        replace_bytes(file, json_text(specified).encode())
    return specified


@cache
def specifications(tiers: tuple[str, ...], days: int) -> dict[str, dict[str, Any]]:
    """All charts by name: ``steps``, ``tiers``, ``forecast``, ``renewals``, ``quality``, ``drift`` for the page, ``history``, ``waterfall``,
    ``usage`` for a customer.

    Args:
        tiers: names of the risk tiers, the gravest first; the page has a CSS variable ``--tier-1`` and so on for each.
        days: within which the risk is to leave.
    """
    import altair as alt

    return {
        "steps": _finished(
            _waterfall(
                alt,
                alt.Axis(labelExpr="usd(datum.value)", tickCount=4, labelOverlap="greedy", labelSeparation=8),
                "USD a year at risk",
                [alt.Tooltip("step:N"), alt.Tooltip("text:N", title="moved")],
            ),
            None,
        ),
        "tiers": _finished(_tiers(alt, tiers), 210),
        "forecast": _finished(_forecast(alt), 170),
        "renewals": _finished(_renewals(alt), 170),
        "quality": _finished(_quality(alt), 150),
        "drift": _finished(_drift(alt), None),
        "history": _finished(_history(alt), 150),
        "waterfall": _finished(
            _waterfall(
                alt,
                alt.Axis(format=".1~%", tickCount=5, labelOverlap="greedy", labelSeparation=8),
                f"probability to leave within {days} days",
                [alt.Tooltip("step:N"), alt.Tooltip("text:N", title="points")],
            ),
            None,
        ),
        "usage": _finished(_usage(alt), 120),
    }


def _tiers(alt: Any, tiers: Sequence[str]) -> alt.Chart:
    return (
        alt.Chart()
        .mark_bar(stroke=_var("page"), strokeWidth=0.5)
        .encode(
            x=_weeks(alt),
            y=alt.Y("at_risk:Q", title="USD a year at risk", axis=alt.Axis(labelExpr="usd(datum.value)", tickCount=4)),
            color=alt.Color(
                "tier:N",
                title=None,
                sort=list(tiers),
                scale=alt.Scale(
                    domain=list(tiers), range=[_var(f"tier-{number}") for number in range(1, len(tiers) + 1)]
                ),
                legend=alt.Legend(orient="top"),
            ),
            order=alt.Order("order:Q"),
            tooltip=[
                "week:O",
                "tier:N",
                alt.Tooltip("customers:Q", format=","),
                alt.Tooltip("money:N", title="at risk"),
            ],
        )
        # A function of the page's own script.
        .transform_calculate(money="usd(datum.at_risk)")
    )


def _quality(alt: Any) -> alt.LayerChart:
    base = alt.Chart().encode(x=_weeks(alt, "predicted on"))
    y = alt.Y("value:Q", title="AUC", scale=alt.Scale(zero=False), axis=alt.Axis(format=".2f", tickCount=4))
    basis = alt.Shape(
        "basis:N",
        title=None,
        scale=alt.Scale(domain=["realised", "expected"], range=["circle", "diamond"]),
        legend=alt.Legend(orient="top"),
    )
    tooltip = [
        "week:O",
        "basis:N",
        *(alt.Tooltip(f"{name}:Q", format=".3f") for name in ("value", "low", "high", "promised")),
    ]
    return alt.layer(
        base.mark_tick(thickness=2, color=_var("muted")).encode(y=alt.Y("promised:Q")),
        base.mark_rule(color=_var("accent"), opacity=0.6).encode(y=alt.Y("low:Q"), y2="high:Q"),
        base.mark_point(filled=True, size=50, color=_var("accent"), opacity=1).encode(
            y=y, shape=basis, tooltip=tooltip
        ),
    )


def _drift(alt: Any) -> alt.LayerChart:
    bars = (
        alt.Chart()
        .mark_bar(height=13)
        .encode(
            y=alt.Y("feature:N", title=None, sort=None, axis=alt.Axis(labelLimit=210, domain=False)),
            x=alt.X("limits:Q", title="distance, in limits", axis=alt.Axis(tickCount=5)),
            color=alt.Color(
                "verdict:N",
                title=None,
                scale=alt.Scale(
                    domain=["act", "watch", "none", "unknown"],
                    range=[_var("critical"), _var("high"), _var("accent"), _var("muted")],
                ),
                legend=None,
            ),
            tooltip=[
                "feature:N",
                "verdict:N",
                alt.Tooltip("limits:Q", format=".2f"),
                alt.Tooltip("share:Q", format=".1%"),
            ],
        )
    )
    limit = alt.Chart().mark_rule(color=_var("ink"), strokeDash=[4, 3]).encode(x=alt.datum(1))
    words = (
        alt.Chart()
        .mark_text(align="left", dx=4, color=_var("ink"))
        .encode(y=alt.Y("feature:N", sort=None), x=alt.X("limits:Q"), text="word:N")
    )
    return alt.layer(bars, limit, words)


def _forecast(alt: Any) -> alt.LayerChart:
    base = alt.Chart().encode(x=_weeks(alt, "expected on"))
    tooltip = [
        "week:O",
        *(
            alt.Tooltip(f"{name}:N", title=title)
            for name, title in (("said", "expected"), ("range", "80 %"), ("truth", "left"))
        ),
    ]
    return (
        alt.layer(
            base.mark_rule(color=_var("accent"), opacity=0.45, strokeWidth=6).encode(
                y=alt.Y("low:Q", title="USD a year", axis=alt.Axis(labelExpr="usd(datum.value)", tickCount=4)),
                y2="high:Q",
                tooltip=tooltip,
            ),
            base.mark_tick(thickness=2, size=22, color=_var("ink")).encode(y=alt.Y("expected:Q"), tooltip=tooltip),
            # Of no size and not taken out: an axis made of nothing at all is a warning in the console.
            base.mark_point(filled=True, shape="diamond", color=_var("critical"), opacity=1).encode(
                y=alt.Y("known:Q"),
                size=alt.condition("isValid(datum.realised)", alt.value(60), alt.value(0)),
                tooltip=tooltip,
            ),
        )
        .transform_calculate(known="isValid(datum.realised) ? datum.realised : datum.expected")
        .transform_calculate(said="usd(datum.expected)")
        .transform_calculate(range="usd(datum.low) + ' to ' + usd(datum.high)")
        .transform_calculate(truth="isValid(datum.realised) ? usd(datum.realised) : 'not yet'")
    )


def _renewals(alt: Any) -> alt.LayerChart:
    base = alt.Chart().encode(x=_weeks(alt, "week from"))
    tooltip = [
        "week:O",
        alt.Tooltip("customers:Q", format=","),
        alt.Tooltip("all:N", title="a year"),
        alt.Tooltip("part:N", title="at risk"),
    ]
    return (
        alt.layer(
            base.mark_bar(color=_var("low")).encode(
                y=alt.Y("revenue:Q", title="USD a year", axis=alt.Axis(labelExpr="usd(datum.value)", tickCount=4)),
                tooltip=tooltip,
            ),
            base.mark_bar(color=_var("critical")).encode(y=alt.Y("at_risk:Q"), tooltip=tooltip),
        )
        .transform_calculate(all="usd(datum.revenue)")
        .transform_calculate(part="usd(datum.at_risk)")
    )


def _history(alt: Any) -> alt.LayerChart:
    # Mondays without a probability stay in the data: they are places on the axis, and there the line is interrupted.
    base = alt.Chart().transform_filter("isValid(datum.week)").encode(x=_weeks(alt))
    y = alt.Y("probability:Q", title=None, axis=alt.Axis(format=".0%", tickCount=4))
    cutoff = alt.Chart().transform_filter("isValid(datum.cutoff)").encode(y=alt.Y("cutoff:Q"))
    return alt.layer(
        cutoff.mark_rule(color=_var("muted"), strokeDash=[2, 4]).encode(x=alt.value(0), x2=alt.value("width")),
        # What the line is: from here on the tier has this name.
        cutoff.mark_text(align="left", baseline="bottom", dx=3, dy=-2, color=_var("muted"), fontSize=11).encode(
            x=alt.value(0), text="tier:N"
        ),
        base.mark_line(color=_var("accent"), strokeWidth=2).encode(y=y),
        base.mark_point(filled=True, size=28, color=_var("accent"), opacity=1).encode(
            y=y, tooltip=["week:O", alt.Tooltip("probability:Q", format=".1%")]
        ),
    )


def _waterfall(alt: Any, axis: Any, title: str, tooltip: list[Any]) -> alt.LayerChart:
    # Where it begins and ends are marks and not bars: a bar has a length only where the axis begins at 0, and then nobody sees the steps.
    y = alt.Y("step:N", title=None, sort=None, axis=alt.Axis(labelLimit=230, domain=False))
    x = alt.X("start:Q", title=title, axis=axis, scale=alt.Scale(zero=False, padding=46))
    colour = alt.Color(
        "kind:N",
        title=None,
        scale=alt.Scale(domain=["raises", "lowers", "total"], range=[_var("critical"), _var("good"), _var("ink")]),
        legend=None,
    )
    base = alt.Chart()
    return alt.layer(
        # First, because the first layer has all steps and says in which order they stand.
        base.mark_text(align="left", dx=6, color=_var("ink")).encode(y=y, x=alt.X("right:Q"), text="text:N"),
        base.transform_filter("datum.kind != 'total'")
        .mark_bar(height=14)
        .encode(y=y, x=x, x2="end:Q", color=colour, tooltip=tooltip),
        base.transform_filter("datum.kind == 'total'")
        .mark_tick(thickness=4, size=18, color=_var("ink"))
        .encode(y=y, x=x, tooltip=tooltip),
    )


def _usage(alt: Any) -> alt.LayerChart:
    # Tickets lie along the upper edge, so that a week of trouble stands above what it did to usage.
    base = alt.Chart().encode(x=_weeks(alt))
    return alt.layer(
        base.mark_bar(color=_var("accent"), opacity=0.75).encode(
            y=alt.Y("events:Q", title="events a week", axis=alt.Axis(format="~s", tickCount=3, tickMinStep=1)),
            tooltip=["week:O", alt.Tooltip("events:Q", format=","), "tickets:Q"],
        ),
        base.transform_filter("datum.tickets > 0")
        .mark_point(filled=True, shape="triangle-up", color=_var("critical"), opacity=1)
        .encode(
            y=alt.value(6),
            size=alt.Size("tickets:Q", scale=alt.Scale(domain=[1, 6], range=[50, 200]), legend=None),
            tooltip=["week:O", "tickets:Q"],
        ),
    )


def _weeks(alt: Any, title: str | None = None) -> Any:
    # Dates as words: as instants they would move by a day in half of all time zones.
    return alt.X(
        "week:O", title=title, axis=alt.Axis(labelAngle=0, labelOverlap="greedy", labelSeparation=12, ticks=False)
    )


def _finished(chart: Any, height: int | None) -> dict[str, Any]:
    """A chart as JSON: named data, the width of its place, the page's colours and font. Without a height it has `STEP` a row."""
    spec: dict[str, Any] = (
        chart.properties(width="container", **({"height": height} if height else {}))
        .configure(background="transparent", font=_FONT, padding={"left": 2, "right": 8, "top": 4, "bottom": 2})
        # A Monday without a value is a place on the axis all the same.
        .configure_mark(invalid="break-paths-show-domains")
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=_var("muted"),
            titleColor=_var("muted"),
            gridColor=_var("line"),
            domainColor=_var("line"),
            tickColor=_var("line"),
            labelFontSize=12,
            labelPadding=6,
            titleFontSize=12,
            titleFontWeight="normal",
        )
        .configure_axisX(grid=False)
        .configure_legend(labelColor=_var("ink"), labelFontSize=12, symbolType="square", offset=4)
        .to_dict(validate=True)
    )
    # The address of a schema is nothing that a page without a network needs.
    spec.pop("$schema", None)
    spec["autosize"] = {"type": "fit-x", "contains": "padding"}
    # Altair gives every layer without data a data set of its own; here all read the chart's.
    for layer in spec.get("layer", ()):
        layer.pop("data", None)
    spec.pop("datasets", None)
    return spec | {"data": {"name": "rows"}}
