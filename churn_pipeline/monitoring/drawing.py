"""Vega-Lite specifications made into SVG and PNG, in the one style of monitoring's pictures.

The renderer carries its own fonts and reads no file and no address. Loading matplotlib costs more than all that a Monday draws.
"""

from __future__ import annotations

from typing import Any

INK, MUTED, GRID = "#1d2630", "#56606c", "#dde2e7"
_CONFIG: dict[str, Any] = {
    "background": "white",
    "padding": 8,
    # Metrically alike, so that a text is as wide everywhere; the first one comes with the renderer.
    "font": "Liberation Sans, Arial, Helvetica, sans-serif",
    "aria": False,
    # A missing value interrupts a line; it is never 0.
    "mark": {"invalid": "break-paths-filter-domains"},
    "view": {"stroke": None},
    "axis": {
        "labelColor": MUTED,
        "titleColor": MUTED,
        "gridColor": GRID,
        "domainColor": MUTED,
        "tickColor": MUTED,
        "labelFontSize": 10,
        "titleFontSize": 11,
        "titleFontWeight": "normal",
    },
    "axisX": {"grid": False},
    "axisY": {"ticks": False, "labelPadding": 5},
    "legend": {"labelColor": INK, "labelFontSize": 11, "labelLimit": 0, "orient": "top"},
    "title": {"color": INK, "fontSize": 12, "fontWeight": "normal", "anchor": "start"},
}


def svg(specification: dict[str, Any]) -> str:
    """The picture as SVG. The same specification gives the same text."""
    import vl_convert

    return str(vl_convert.vegalite_to_svg(specification, config=_CONFIG))


def png(drawn: str) -> bytes:
    """An `svg` as PNG, a pixel for each of the drawing."""
    import vl_convert

    return bytes(vl_convert.svg_to_png(drawn))
