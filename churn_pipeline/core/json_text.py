"""JSON that is stored, printed or sent: always valid, and the same text for the same content."""

from __future__ import annotations

import json
import math
from datetime import date, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID


def json_text(
    value: Any,
    *,
    indent: int | None = None,
    compact: bool = False,
    sort_keys: bool = False,
    ascii_only: bool = True,
    allow_undefined: bool = True,
) -> str:
    """A value as JSON.

    Dates, times, spans, decimals, paths and UUIDs become text, numpy's numbers Python's. A number that is not defined (NaN, an infinity, NaT)
    becomes null: JSON has no word for it, and Python's own ``NaN`` is refused by other readers.

    Args:
        value: of plain values, lists and dicts.
        indent: blanks a level; None is one line.
        compact: without blanks between elements.
        sort_keys: so that the order in which a dict was filled does not show; wherever the text is hashed or compared.
        ascii_only: other characters as escapes; without it as they are.
        allow_undefined: False where the text is read back as figures that something is computed from.

    Raises:
        ValueError: a number is not defined and has to be.
        TypeError: something else than these.
    """
    separators = (",", ":") if compact else None

    def text(content: Any) -> str:
        return json.dumps(
            content,
            indent=indent,
            separators=separators,
            sort_keys=sort_keys,
            ensure_ascii=ascii_only,
            allow_nan=False,
            default=_plain,
        )

    try:
        return text(value)
    except ValueError:
        if not allow_undefined:
            raise
        # Only now, since looking at every number of a large page takes longer than writing it.
        return text(_defined(value))


def _plain(value: Any) -> Any:
    if isinstance(value, date | time | timedelta):
        # NaT, of pandas, is a date too.
        return str(value) if value == value else None
    if isinstance(value, Decimal | Path | UUID):
        return str(value)
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{type(value).__name__} is nothing that is written as JSON")


def _defined(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _defined(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_defined(item) for item in value]
    if not isinstance(value, str | bytes) and hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
