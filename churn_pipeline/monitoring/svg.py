"""Small drawings as SVG text, and as PNG: what the charts of monitoring are made of.

Loading a chart library costs more than all that is drawn with it on a Monday.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from html import escape

INK, MUTED, GRID = "#1d2630", "#56606c", "#dde2e7"
# Metrically alike, so that a text is as wide everywhere; the first one comes with the renderer.
_FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
# Pixels of a PNG for one of the drawing, for screens of today.
_SCALE = 1.5

type Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Scale:
    """From values to pixels along a line.

    Attributes:
        low: value at ``first``.
        high: value at ``last``.
        first: pixel.
        last: pixel.
    """

    low: float
    high: float
    first: float
    last: float

    def __call__(self, value: float) -> float:
        return self.first + (value - self.low) / ((self.high - self.low) or 1.0) * (self.last - self.first)


def drawing(width: float, height: float, parts: Iterable[str]) -> str:
    """A whole SVG. The same parts give the same text."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_n(width)}" height="{_n(height)}" '
        f'viewBox="0 0 {_n(width)} {_n(height)}" font-family="{_FONT}">\n'
        f'<rect width="100%" height="100%" fill="white"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def png(svg: str) -> bytes:
    """The drawing as an image."""
    import vl_convert

    return bytes(vl_convert.svg_to_png(svg, scale=_SCALE))


def text(
    x: float, y: float, words: str, *, size: float = 10, colour: str = INK, anchor: str = "start", turned: bool = False
) -> str:
    turn = f' transform="rotate(-90 {_n(x)} {_n(y)})"' if turned else ""
    return (
        f'<text x="{_n(x)}" y="{_n(y)}" font-size="{_n(size)}" fill="{colour}" text-anchor="{anchor}"{turn}>'
        f"{escape(words)}</text>"
    )


def line(points: Points, colour: str, *, width: float = 1, dash: str = "", opacity: float = 1) -> str:
    where = " ".join(f"{_n(x)},{_n(y)}" for x, y in points)
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<polyline points="{where}" fill="none" stroke="{colour}" stroke-width="{_n(width)}" stroke-opacity="{_n(opacity)}"{dashed}/>'


def area(points: Points, colour: str) -> str:
    return f'<polygon points="{" ".join(f"{_n(x)},{_n(y)}" for x, y in points)}" fill="{colour}"/>'


def bar(x: float, y: float, width: float, height: float, colour: str, *, opacity: float = 1) -> str:
    return f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(width)}" height="{_n(height)}" fill="{colour}" fill-opacity="{_n(opacity)}"/>'


def dot(x: float, y: float, colour: str) -> str:
    return f'<circle cx="{_n(x)}" cy="{_n(y)}" r="3.2" fill="{colour}"/>'


def diamond(x: float, y: float, colour: str) -> str:
    return area([(x, y - 5), (x + 5, y), (x, y + 5), (x - 5, y)], colour)


def square(x: float, y: float, colour: str) -> str:
    return f'<rect x="{_n(x - 3.2)}" y="{_n(y - 3.2)}" width="6.4" height="6.4" fill="white" stroke="{colour}" stroke-width="1.2"/>'


def round_steps(low: float, high: float, most: int = 6) -> list[float]:
    """Round values from ``low`` to ``high``, at most so many."""
    rough = (high - low) / max(1, most - 1) or 1.0
    size: float = 10 ** math.floor(math.log10(rough))
    step = next(size * times for times in (1, 2, 2.5, 5, 10) if size * times >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [step * place for place in range(first, math.floor(high / step + 1e-9) + 1)]


def day_steps(first: date, last: date, most: int = 5) -> list[tuple[date, str]]:
    """Mondays to write under an axis, the year where it is another than the one before."""
    weeks = (last - first).days // 7
    every = max(1, math.ceil((weeks + 1) / most))
    days = [date.fromordinal(first.toordinal() + 7 * week) for week in range(0, weeks + 1, every)]
    return [
        (day, f"{day.day} {day:%b}" + (f" {day.year}" if not place or day.year != days[place - 1].year else ""))
        for place, day in enumerate(days)
    ]


def grid(values: Iterable[float], along: Callable[[float], float], left: float, right: float) -> list[str]:
    """Lines across a panel, each with its value at the left."""
    parts = []
    for value in values:
        parts.append(line([(left, along(value)), (right, along(value))], GRID, width=0.8))
        parts.append(text(left - 5, along(value) + 3, f"{value:.4g}", size=9, colour=MUTED, anchor="end"))
    return parts


def _n(number: float) -> str:
    """A number as short as it can be: to a hundredth of a pixel."""
    return f"{number:.2f}".rstrip("0").rstrip(".")
