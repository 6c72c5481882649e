"""Text that others typed, made safe for a message; figures, made short enough to skim; tables."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

ELLIPSIS = "…"
MINUS = "−"
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
# Zero-width joiner and non-joiner belong to Persian and Indic words and to emoji; every other invisible format character
# (direction overrides above all, which make a name read backwards) only serves to deceive.
_JOINERS = "\u200c\u200d"


def clean(text: str | None, limit: int, empty: str = "unnamed") -> str:
    """One line of visible text, at most ``limit`` characters, never empty: Slack refuses a message with an empty element.

    Control characters and line breaks become spaces, invisible format characters vanish, halves of surrogate pairs, which
    no file or socket takes, become U+FFFD.

    Args:
        text: from anywhere.
        limit: at least 1; a longer text ends in an ellipsis.
        empty: stands in when nothing visible is left.
    """
    # Long before the limit is applied, so that a novel typed into a name field costs nothing.
    shown = " ".join("".join(_visible(character) for character in (text or "")[: 20 * limit + 1000]).split())
    if not shown.strip(_JOINERS + " "):
        return empty[:limit]
    return shown if len(shown) <= limit else shown[: limit - 1].rstrip() + ELLIPSIS


def printable(text: str) -> str:
    """The same lines without what a terminal would obey: control and invisible characters, as `clean` has it."""
    return "\n".join("".join(map(_visible, line)) for line in text.split("\n"))


def folded(text: str) -> str:
    """A name as people compare it: without accents, case and surplus blanks. ``Elena García`` and ``elena garcia`` are one."""
    plain = "".join(
        character for character in unicodedata.normalize("NFKD", text) if not unicodedata.combining(character)
    )
    return " ".join(plain.casefold().split())


def mrkdwn(text: str, limit: int) -> str:
    """Escapes the three characters that Slack reads as markup, in at most ``limit`` characters.

    ``<!channel>`` loses its power with its brackets. An entity is never cut in half, since ``&am`` would be shown as it stands.
    """
    pieces = [_ENTITIES.get(character, character) for character in text]
    if sum(map(len, pieces)) <= limit:
        return "".join(pieces)
    kept: list[str] = []
    room = limit - len(ELLIPSIS)
    for piece in pieces:
        room -= len(piece)
        if room < 0:
            break
        kept.append(piece)
    return "".join(kept) + ELLIPSIS


def usd(amount: float | None) -> str:
    """``$940``, ``$45K``, ``$1.24M``: the one style of money. Below ten thousand to the dollar, below a million in thousands, above
    in three figures; halves go away from zero. ``unknown`` without an amount.

    The script of the report has the same rule (`usd.js.j2`), and the same table of examples holds both to it.
    """
    if amount is None or amount != amount:
        return "unknown"
    size = abs(float(amount))
    # Each unit begins where the one below would round to a thousand of itself: 999,600 is $1.00M, not $1,000K.
    if size < 9_999.5:
        text = _figures(size, 0)
    elif size < 999_500:
        text = _figures(size / 1e3, 0) + "K"
    else:
        units, letter = (size / 1e6, "M") if size < 999_500_000 else (size / 1e9, "B")
        text = _figures(units, 2 if units < 9.995 else 1 if units < 99.95 else 0) + letter
    return f"{MINUS if amount < 0 and size >= 0.5 else ''}${text}"


def signed_usd(change: float) -> str:
    """`usd` with its sign; ``±$0`` is a change of nothing."""
    return f"±{usd(0)}" if abs(change) < 0.5 else usd(change) if change < 0 else f"+{usd(change)}"


def _figures(number: float, digits: int) -> str:
    # Python rounds halves to even and JavaScript up; this is the same in both.
    return f"{math.floor(number * 10**digits + 0.5) / 10**digits:,.{digits}f}"


def signed(count: int) -> str:
    return f"+{count:,}" if count > 0 else f"−{-count:,}" if count else "±0"


def points(change: float) -> str:
    """A change of probability in percentage points, ``+4``."""
    return signed(round(100 * change))


def in_points(change: float) -> str:
    """A change of probability as people say it: ``+7 points``, ``−1 point``. Not a percentage of anything."""
    return f"{points(change)} {'point' if abs(round(100 * change)) == 1 else 'points'}"


def in_tenths(changes: Sequence[float]) -> list[str]:
    """Parts of a change of probability in points with one decimal, ``+6.8``, which as they are printed add up to their printed sum.

    Rounded each by itself they would not: 0.4 three times over is 1.2, and rounded to whole numbers it is nothing. The parts that rounding
    moved most give or take the last tenth.
    """
    exact = [1_000 * change for change in changes]
    tenths = [math.floor(part + 0.5) for part in exact]
    missing = math.floor(sum(exact) + 0.5) - sum(tenths)
    step = 1 if missing > 0 else -1
    by_error = sorted(range(len(exact)), key=lambda place: (step * (tenths[place] - exact[place]), place))
    for place in by_error[: abs(missing)]:
        tenths[place] += step
    return [f"{'+' if part > 0 else MINUS if part < 0 else '±'}{abs(part) / 10:.1f}" for part in tenths]


def whole_sentences(text: str | None, limit: int) -> str:
    """The first sentences of a text, as many as fit into ``limit`` characters; where not even one does, as many of its words, and an ellipsis."""
    shown = clean(text, 20 * limit, "")
    if len(shown) <= limit:
        return shown
    ends = [match.end() for match in re.finditer(r"[.!?](?= )", shown[: limit + 1])]
    if ends:
        return shown[: ends[-1]]
    words = shown[: limit - 1].rpartition(" ")[0] or shown[: limit - 1]
    return words.rstrip(" ,;:") + ELLIPSIS


def counted(count: int, singular: str, plural: str | None = None) -> str:
    """``1 customer``, ``2 customers``."""
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table as GitHub's Markdown, without a line break at its end.

    Args:
        columns: the heads; may be empty strings.
        rows: of as many values each; see `markdown_cell`.
    """
    lines = [[markdown_cell(value) for value in row] for row in (columns, *rows)]
    head, *body = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([head, "|" + "---|" * len(columns), *body])


def markdown_cell(value: Any) -> str:
    """A value in one cell: nothing in it ends the cell or the row, or begins a tag. None is empty, a truth is yes or no."""
    match value:
        case None:
            text = ""
        case bool():
            text = "yes" if value else "no"
        case int():
            text = f"{value:,}"
        case _:
            text = str(value)
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def _visible(character: str) -> str:
    category = unicodedata.category(character)
    if category in ("Cc", "Zs", "Zl", "Zp"):
        return " "
    if category == "Cs":
        return "\ufffd"
    # Cn are no characters at all; some of them (U+FFFE, U+FFFF) are refused by strict JSON readers.
    return "" if category in ("Cf", "Cn") and character not in _JOINERS else character
