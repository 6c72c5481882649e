"""What Grafana does to the SQL of a panel before PostgreSQL sees it, without Grafana.

Two steps, in this order, as in Grafana 12 (documentation of template variables and of the PostgreSQL query editor, and the
sources of both):

1. The browser puts the values of variables in, in one pass, so a value that looks like a variable stays text. Format ``sqlstring``
   puts single quotes around every value, doubles single quotes in it, and joins several with commas; newer versions also write
   ``\\"`` for a double quote, older ones do not. *All* stands for every option of the variable, in the order of its query.
2. The server replaces macros, ``$name(arguments)``: the arguments end at the first closing parenthesis and are split at commas. It
   does so in the whole text, values that people typed included; a name it does not know is an error, and the query is not sent.

What happens to the answers afterwards is imitated as far as the boards need it, see :func:`wide`, :func:`matrix` and :func:`configured`.

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


def queries(panel: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What a panel asks, by name: A is what it shows, others set options of it."""
    return {target["refId"]: target for target in panel["targets"]}


def transformations(panel: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
    """The options of the transformations of a kind, in their order."""
    return [step["options"] for step in panel.get("transformations", []) if step["id"] == kind]


def wide(columns: Mapping[str, str], rows: Sequence[tuple[Any, ...]]) -> tuple[list[str], list[tuple[Any, ...]]]:
    """What the server makes of time, metric and value: a column for every metric, in the order of their names, null where there is none."""
    assert list(columns) == ["time", "metric", "value"]
    metrics = sorted({row[1] for row in rows})
    cells = {(time, metric): value for time, metric, value in rows}
    assert len(cells) == len(rows), "one value for each time and metric"
    times = list(dict.fromkeys(row[0] for row in rows))
    return ["time", *metrics], [(time, *(cells.get((time, metric)) for metric in metrics)) for time in times]


def matrix(
    options: Mapping[str, str], columns: Sequence[str], rows: Sequence[tuple[Any, ...]]
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Transformation *Grouping to matrix*: rows and columns in the order in which they come first."""
    row, column, value = (list(columns).index(options[f"{part}Field"]) for part in ("row", "column", "value"))
    cells = {(line[row], line[column]): line[value] for line in rows}
    across = list(dict.fromkeys(line[column] for line in rows))
    return (
        [f"{options['rowField']}\\{options['columnField']}", *across],
        [
            (name, *(cells.get((name, heading), "") for heading in across))
            for name in dict.fromkeys(line[row] for line in rows)
        ],
    )


def configured(
    options: Mapping[str, Any], columns: Sequence[str], rows: Sequence[tuple[Any, ...]]
) -> tuple[dict[str, str], list[tuple[float, str]]]:
    """Transformation *Config from query results*: the colours of words, and the colours from values on, that an answer gives."""
    fields = {mapping["fieldName"]: mapping for mapping in options["mappings"]}
    assert set(fields) <= set(columns), f"the query gives {columns}"
    place = {mapping["handlerKey"]: list(columns).index(name) for name, mapping in fields.items()}
    if "mappings.value" in place:
        assert set(place) == {"mappings.value", "mappings.color"}
        return {line[place["mappings.value"]]: line[place["mappings.color"]] for line in rows}, []
    assert set(place) == {"threshold1"}
    (line,) = rows
    steps = [
        (line[list(columns).index(name)], mapping["handlerArguments"]["threshold"]["color"])
        for name, mapping in fields.items()
    ]
    return {}, [(value, colour) for value, colour in steps if value is not None]


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
