"""What Grafana does to the SQL of a panel before PostgreSQL sees it, without Grafana.

Two steps, in this order, as in Grafana 12 (documentation of template variables and of the PostgreSQL query editor, and the
sources of both):

1. The browser puts the values of variables in, in one pass, so a value that looks like a variable stays text. Format ``sqlstring``
   puts single quotes around every value, doubles single quotes in it, and joins several with commas; newer versions also write
   ``\\"`` for a double quote, older ones do not. *All* stands for every option of the variable, in the order of its query.
2. The server replaces macros, ``$name(arguments)``: the arguments end at the first closing parenthesis and are split at commas. It
   does so in the whole text, values that people typed included; a name it does not know is an error, and the query is not sent.

Not imitated: formats other than ``sqlstring`` and variables without a format, whose quoting depends on the variable. The boards do
without them, and :func:`interpolate` refuses them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from churn_pipeline.core.settings import REPOSITORY

BOARDS = REPOSITORY / "dashboards" / "grafana" / "boards"
ALL = "$__all"

VARIABLE = re.compile(r"\$(\w+)|\[\[(\w+?)(?::(\w+))?\]\]|\$\{(\w+)(?:\.([^:^}]+))?(?::([^}]+))?\}")
_MACRO = re.compile(r"\$([_a-zA-Z0-9]+)\(([^)]*)\)")

type Value = str | Sequence[str]


class MacroError(Exception):
    """Grafana would show this in the panel and send nothing to PostgreSQL."""


def boards() -> dict[str, dict[str, Any]]:
    """Every dashboard by the name of its file."""
    return {file.name: json.loads(file.read_text(encoding="utf-8")) for file in sorted(Path(BOARDS).glob("*.json"))}


def panels(board: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Every panel, also those inside a collapsed row."""
    for panel in board["panels"]:
        yield panel
        yield from panel.get("panels", [])


def variables(board: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The template variables, in their order."""
    return list(board["templating"]["list"])


def sql_string(value: Value, backslash: bool = True) -> str:
    """Format ``sqlstring``.

    Args:
        value: of the variable; several of one that takes several.
        backslash: writes a double quote as newer versions do.
    """
    values = [value] if isinstance(value, str) else list(value)
    quoted = [text.replace("'", "''").replace('"', '\\"' if backslash else '"') for text in values]
    return ",".join(f"'{text}'" for text in quoted)


def interpolate(sql: str, values: Mapping[str, Value], backslash: bool = True) -> str:
    """Puts values in; ``$name`` that is no variable stays, it may be a macro.

    Raises:
        ValueError: a variable is used without ``sqlstring``.
    """

    def put(match: re.Match[str]) -> str:
        name = match[1] or match[2] or match[4]
        if name not in values:
            return match[0]
        if match[6] != "sqlstring":
            raise ValueError(f"{match[0]} is not written ${{{name}:sqlstring}}")
        return sql_string(values[name], backslash)

    return VARIABLE.sub(put, sql)


def expand(sql: str, since: datetime, until: datetime) -> str:
    """Replaces the macros of Grafana's PostgreSQL data source for a time range.

    Raises:
        MacroError: a macro that it does not have, in the SQL or in what somebody typed.
    """
    first, last = _rfc3339(since), _rfc3339(until)

    def replaced(match: re.Match[str]) -> str:
        name, arguments = match[1], [argument.strip(" ") for argument in match[2].split(",")]
        if name == "__time":
            return f'{arguments[0]} AS "time"'
        if name == "__timeFilter":
            return f"{arguments[0]} BETWEEN '{first}' AND '{last}'"
        if name == "__timeFrom":
            return f"'{first}'"
        if name == "__timeTo":
            return f"'{last}'"
        raise MacroError(f'unknown macro "{name}"')

    return _MACRO.sub(replaced, sql)


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
