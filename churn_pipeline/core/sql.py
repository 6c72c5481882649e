"""Names and values written into SQL. A value goes in as a parameter wherever DuckDB takes one; the rest is written here."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path


def quoted(name: str) -> str:
    """``name`` as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str | Path | date) -> str:
    """A text, a path or a day as SQL."""
    if isinstance(value, datetime):
        raise TypeError("an instant is no day")
    text = "'" + str(value).replace("'", "''") + "'"
    return f"date {text}" if isinstance(value, date) else text
