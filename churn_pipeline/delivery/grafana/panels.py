"""What a dashboard is made of, as Grafana's JSON: variables, panels, columns, colours."""

from __future__ import annotations

from collections.abc import Sequence
from inspect import cleandoc
from typing import Any

type Json = dict[str, Any]
# x, y, width and height on Grafana's grid of 24 columns.
type Place = tuple[int, int, int, int]
# A colour, and the value from which it holds; the first holds from nothing on.
type Steps = Sequence[tuple[str, float | None]]

SOURCE = {"type": "grafana-postgresql-datasource", "uid": "predictions"}
GREEN: Steps = (("green", None),)
BLUE: Steps = (("blue", None),)
# By severity, 1 first. No query and no colour names a tier, because tiers are rows of a table: a policy may have other ones next week.
SEVERITIES = ("green", "yellow", "orange", "red", "dark-red", "purple", "dark-purple")
# A line goes on over one Monday that is missing, and ends where two are.
_TWO_WEEKS = 14 * 24 * 3600 * 1000

NEWEST = "(select max(snapshot_date) from churn.predictions)"
OWNER = "coalesce(nullif(btrim(csm_owner), ''), 'unassigned')"
PLANS = "coalesce(plan_tier, 'unknown') = any (array[${plan:sqlstring}]::text[])"
# Grafana's newer versions write a backslash before a double quote, older ones do not: neither side has one when they are compared.
OWNERS = f"replace({OWNER}, '\"', '') = any (array[${{owner:sqlstring}}]::text[])"
TIERS = "coalesce(risk_tier, 'unknown') = any (array[${tier:sqlstring}]::text[])"
SEARCHED = (
    """position(lower(btrim(replace(${search:sqlstring}, '\\"', '"')))"""
    " in lower(concat_ws(' ', customer_id, company_name, csm_owner, industry))) > 0"
)


def board(uid: str, title: str, description: str, tag: str, variables: Sequence[Json], panels: Sequence[Json]) -> Json:
    """A dashboard. Its panels are numbered in their order."""
    return {
        "uid": uid,
        "title": title,
        "description": description,
        "tags": ["churn", tag],
        "schemaVersion": 41,
        "version": 1,
        "editable": False,
        # Mondays are dates; in another zone they would be drawn on Sundays.
        "timezone": "utc",
        "weekStart": "monday",
        "time": {"from": "now-1y", "to": "now"},
        "refresh": "",
        "graphTooltip": 1,
        "fiscalYearStartMonth": 0,
        "liveNow": False,
        "preload": False,
        "annotations": {"list": []},
        "links": [
            {
                "title": "Churn dashboards",
                "type": "dashboards",
                "tags": ["churn"],
                "asDropdown": True,
                "includeVars": False,
                "keepTime": True,
                "targetBlank": False,
                "icon": "external link",
                "tooltip": "",
            }
        ],
        "templating": {"list": list(variables)},
        "panels": [{"id": number, **panel} for number, panel in enumerate(panels, 1)],
    }


# --- variables -------------------------------------------------------------------------------------------------------


def choices(name: str, label: str, description: str, sql: str, *, chosen: str | None = None) -> Json:
    """A variable whose values a query gives: several of them, all at first; or one, where ``chosen`` says which at first."""
    several = chosen is None
    return {
        "name": name,
        "label": label,
        "description": description,
        "type": "query",
        "datasource": SOURCE,
        "query": cleandoc(sql),
        "refresh": 1,
        "sort": 0,
        "multi": several,
        "includeAll": several,
        "current": {"text": ["All"], "value": ["$__all"]} if several else {"text": chosen, "value": chosen},
        "options": [],
        "hide": 0,
    }


def field(name: str, label: str, description: str) -> Json:
    """A variable that people type."""
    return {
        "name": name,
        "label": label,
        "description": description,
        "type": "textbox",
        "query": "",
        "current": {"text": "", "value": ""},
        "options": [],
        "hide": 0,
    }


def plans_and_owners(relation: str) -> list[Json]:
    """The variables that choose customers by plan and by owner."""
    return [
        choices(
            "plan",
            "Plan",
            "Plan tier",
            f"select distinct coalesce(plan_tier, 'unknown') as plan from {relation} order by 1",
        ),
        choices(
            "owner",
            "Owner",
            "Customer success manager, as at each Monday",
            f"select __text, replace(__text, '\"', '') as __value\nfrom (select distinct {OWNER} as __text from {relation}) as owners\norder by 1",
        ),
    ]


# --- panels ----------------------------------------------------------------------------------------------------------


def stat(
    title: str,
    description: str,
    place: Place,
    sql: str,
    *,
    unit: str | None = None,
    decimals: int | None = None,
    steps: Steps = BLUE,
    mappings: Sequence[Json] = (),
) -> Json:
    """One number."""
    defaults = _given(unit=unit, decimals=decimals, color={"mode": "thresholds"}, thresholds=_thresholds(steps))
    if mappings:
        defaults["mappings"] = list(mappings)
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "value",
        "graphMode": "none",
        "justifyMode": "auto",
        "textMode": "value",
        "orientation": "auto",
    }
    return _panel("stat", title, description, place, defaults, [], options, [query(sql)])


def table(
    title: str,
    description: str,
    place: Place,
    sql: str,
    columns: Sequence[Json],
    *,
    configured: Sequence[tuple[Json, Json]] = (),
    transformations: Sequence[Json] = (),
) -> Json:
    """A table.

    Args:
        title: of the panel.
        description: what it shows.
        place: on the grid.
        sql: its query.
        columns: made by :func:`column`, one for every column of the query.
        configured: made by :func:`tier_colours` and :func:`tier_bounds`.
        transformations: what Grafana does to the rows.
    """
    defaults = {
        "thresholds": _thresholds(GREEN),
        "custom": {"align": "auto", "filterable": True, "cellOptions": {"type": "auto"}},
    }
    options = {"showHeader": True, "cellHeight": "sm"}
    queries = [query(sql), *(config for config, _ in configured)]
    steps = [*(step for _, step in configured), *transformations]
    return _panel("table", title, description, place, defaults, list(columns), options, queries, steps)


def series(
    title: str,
    description: str,
    place: Place,
    sql: str,
    overrides: Sequence[Json] = (),
    *,
    unit: str | None = None,
    smallest: int | None = None,
    bars: bool = False,
    fill: int | None = None,
    stacked: bool = False,
    lines_at_steps: bool = False,
    configured: Sequence[tuple[Json, Json]] = (),
) -> Json:
    """Numbers over time, as lines or bars."""
    drawn: Json = {
        "drawStyle": "bars" if bars else "line",
        "lineWidth": 0 if bars else 2,
        "fillOpacity": 60 if bars else fill or 0,
        "showPoints": "never" if bars else "auto" if fill else "always",
        "pointSize": 5,
        "spanNulls": _TWO_WEEKS,
    }
    if stacked:
        drawn["stacking"] = {"mode": "normal", "group": "A"}
    if lines_at_steps:
        drawn["thresholdsStyle"] = {"mode": "line"}
    defaults = _given(
        unit=unit, min=smallest, color={"mode": "palette-classic"}, thresholds=_thresholds(GREEN), custom=drawn
    )
    options = {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "none"},
    }
    queries = [query(sql, "time_series"), *(config for config, _ in configured)]
    steps = [step for _, step in configured]
    return _panel("timeseries", title, description, place, defaults, list(overrides), options, queries, steps)


def query(sql: str, shape: str = "table", name: str = "A") -> Json:
    """What a panel asks."""
    return {
        "refId": name,
        "datasource": SOURCE,
        "editorMode": "code",
        "format": shape,
        "rawQuery": True,
        "rawSql": cleandoc(sql),
    }


def _panel(
    kind: str,
    title: str,
    description: str,
    place: Place,
    defaults: Json,
    overrides: list[Json],
    options: Json,
    queries: list[Json],
    transformations: Sequence[Json] = (),
) -> Json:
    x, y, width, height = place
    panel = {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": SOURCE,
        "gridPos": {"h": height, "w": width, "x": x, "y": y},
        "fieldConfig": {"defaults": defaults, "overrides": overrides},
        "options": options,
        "targets": queries,
    }
    return panel | ({"transformations": list(transformations)} if transformations else {})


def numbered(severity: str, tier: str) -> str:
    """SQL of a tier's name behind its severity: so series stand in the order of severity, and a pattern finds them."""
    return f"coalesce({severity} || ' ' || {tier}, {tier}, 'unknown')"


# --- columns and colours ---------------------------------------------------------------------------------------------


def column(
    name: str,
    heading: str,
    *,
    width: int | None = None,
    unit: str | None = None,
    decimals: int | None = None,
    mappings: Sequence[Json] | None = None,
    coloured: bool = False,
    steps: Steps | None = None,
    properties: Sequence[tuple[str, Any]] = (),
) -> Json:
    """How a column of a table is headed and shown.

    Args:
        name: in the query.
        heading: for people.
        width: in pixels; as Grafana likes unless given.
        unit: Grafana's name of it.
        decimals: how many are shown.
        mappings: what stands for a value, in which colour.
        coloured: the text has the colour of its mapping or of its step.
        steps: colours by value.
        properties: anything else, by Grafana's name.
    """
    shown = _given(unit=unit, decimals=decimals, mappings=None if mappings is None else list(mappings))
    if coloured:
        shown["custom.cellOptions"] = {"type": "color-text"}
    if steps is not None:
        shown["thresholds"] = _thresholds(steps)
    shown |= dict(properties)
    if width is not None:
        shown["custom.width"] = width
    return _override("byName", name, {"displayName": heading} | shown)


def usd(name: str, heading: str, *, width: int | None = None) -> Json:
    """A column of money, without cents."""
    return column(name, heading, unit="currencyUSD", decimals=0, width=width)


def points(name: str, heading: str, *, width: int | None = None) -> Json:
    """A column of changes of a probability, which its query gives in percentage points: 7 is from 20 % to 27 %."""
    return column(name, heading, decimals=1, width=width)


def share(name: str, heading: str, decimals: int = 1, **more: Any) -> Json:
    """A column of shares or probabilities, in percent."""
    return column(name, heading, unit="percentunit", decimals=decimals, **more)


def gauge(name: str, heading: str, *, width: int) -> Json:
    """A column of probabilities as bars, coloured by the bounds of the tiers: see :func:`tier_bounds`."""
    bar = [
        ("custom.cellOptions", {"type": "gauge", "mode": "basic"}),
        ("min", 0),
        ("max", 1),
        ("color", {"mode": "thresholds"}),
    ]
    return share(name, heading, 0, width=width, properties=bar)


def customer(width: int = 130) -> Json:
    """The column of customer ids: a click shows the customer at the bottom of the customer success dashboard."""
    link = {
        "title": "Everything about this customer",
        "url": "/d/churn-customer-success?${__url_time_range}&var-customer=${__value.raw:percentencode}"
        "&${tier:queryparam}&${plan:queryparam}&${owner:queryparam}&${search:queryparam}",
        "targetBlank": False,
    }
    return column("customer_id", "Customer", properties=[("links", [link])], width=width)


def line(name: str, colour: str, *, dashed: bool = False) -> Json:
    """The colour of a series."""
    return _override("byName", name, _line(colour, dashed))


def tier_lines() -> list[Json]:
    """The colours of series whose names begin with a severity."""
    return [_override("byRegexp", f"/^{severity} /", _line(colour)) for severity, colour in enumerate(SEVERITIES, 1)]


def _line(colour: str, dashed: bool = False) -> Json:
    fixed = {"color": {"mode": "fixed", "fixedColor": colour}}
    return fixed | ({"custom.lineStyle": {"fill": "dash", "dash": [6, 6]}} if dashed else {})


def words(colours: dict[str, str]) -> list[Json]:
    """The colours of words that a program writes, and no policy."""
    mapped = {word: {"color": colour, "index": index} for index, (word, colour) in enumerate(colours.items())}
    return [{"type": "value", "options": mapped}]


def numbered_tiers() -> list[Json]:
    """Shows ``3 NAME`` as NAME in the colour of severity 3."""
    return [
        {
            "type": "regex",
            "options": {
                "pattern": f"/^{severity} (.*)$/",
                "result": {"text": "$1", "color": colour, "index": severity - 1},
            },
        }
        for severity, colour in enumerate(SEVERITIES, 1)
    ]


def tier_colours(*columns: str) -> tuple[Json, Json]:
    """The query and the transformation that give columns with names of tiers the colours of their severity."""
    colours = ", ".join(f"'{colour}'" for colour in SEVERITIES)
    sql = f"select risk_tier, (array[{colours}])[severity] as color\nfrom churn.tiers\norder by severity"
    mappings = [
        {"fieldName": "risk_tier", "handlerKey": "mappings.value", "reducerId": "allValues"},
        {"fieldName": "color", "handlerKey": "mappings.color", "reducerId": "allValues"},
    ]
    return query(sql, name="tiers"), _configure(
        "tiers", {"id": "byNames", "options": {"mode": "include", "names": list(columns)}}, mappings
    )


def tier_bounds(column_name: str | None = None) -> tuple[Json, Json]:
    """The query and the transformation that colour a probability, or draw lines, where tiers begin; every number unless one is named."""
    bounds = ",\n       ".join(
        f"max(lower_bound) filter (where severity = {severity}) as bound_{severity}"
        for severity in range(1, len(SEVERITIES) + 1)
    )
    sql = (
        f"select {bounds}\nfrom churn.risk_tiers\n"
        f"where policy_version in (select policy_version from churn.predictions where snapshot_date = {NEWEST})"
    )
    mappings = [
        {
            "fieldName": f"bound_{severity}",
            "handlerKey": "threshold1",
            "handlerArguments": {"threshold": {"color": colour}},
        }
        for severity, colour in enumerate(SEVERITIES, 1)
    ]
    where = {"id": "byName", "options": column_name} if column_name else {"id": "byType", "options": "number"}
    return query(sql, name="bounds"), _configure("bounds", where, mappings)


def _configure(name: str, where: Json, mappings: list[Json]) -> Json:
    # Grafana's "Config from query results": the answer of one query sets options of columns of another, and is not shown itself.
    return {"id": "configFromData", "options": {"configRefId": name, "applyTo": where, "mappings": mappings}}


def _override(matcher: str, name: str, properties: Json) -> Json:
    return {
        "matcher": {"id": matcher, "options": name},
        "properties": [{"id": key, "value": value} for key, value in properties.items()],
    }


def _thresholds(steps: Steps) -> Json:
    return {"mode": "absolute", "steps": [{"color": colour, "value": value} for colour, value in steps]}


def _given(**options: Any) -> Json:
    return {name: value for name, value in options.items() if value is not None}
