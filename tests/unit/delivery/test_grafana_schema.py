"""The boards against Grafana's own types of the version that the stack runs: what Grafana does not know, it would not show.

No Grafana runs here. What it makes of a board that is well formed is not seen.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema
import pytest

from churn_pipeline.core.settings import REPOSITORY
from tests.support import grafana

SCHEMAS = json.loads((REPOSITORY / "tests" / "data" / "grafana-schema" / "schema.json").read_text(encoding="utf-8"))
VERSION = SCHEMAS.pop("version")
VALIDATORS = {name: jsonschema.Draft7Validator(schema) for name, schema in SCHEMAS.items()}
BOARDS = grafana.boards()
# Settings of a field that are not of one kind of panel.
STANDARD = SCHEMAS["dashboard"]["definitions"]["FieldConfig"]["properties"]


def errors(name: str, value: Any) -> Iterator[str]:
    for error in VALIDATORS[name].iter_errors(value):
        yield f"{name} {'/'.join(map(str, error.absolute_path))}: {error.message[:200]}"


def problems(board: Mapping[str, Any]) -> list[str]:
    """What Grafana's types do not allow: of the board, of the options of each panel, and of the settings of its fields."""
    found = list(errors("dashboard", board))
    for panel in grafana.panels(board):
        kind, fields = panel["type"], panel["fieldConfig"]
        found += errors(f"{kind}.options", panel["options"])
        custom = fields["defaults"].get("custom", {})
        overridden = [entry for override in fields["overrides"] for entry in override["properties"]]
        custom |= {
            entry["id"].removeprefix("custom."): entry["value"]
            for entry in overridden
            if entry["id"].startswith("custom.")
        }
        found += errors(f"{kind}.custom", custom) if custom else ()
        found += [
            f"{panel['title']}: nothing of a field is called {entry['id']}"
            for entry in overridden
            if not entry["id"].startswith("custom.") and entry["id"] not in STANDARD
        ]
    return found


@pytest.mark.parametrize("name", BOARDS)
def test_a_board_is_one_by_grafanas_own_types(name: str) -> None:
    assert problems(copy.deepcopy(BOARDS[name])) == []


def test_the_types_are_those_of_the_version_that_the_stack_runs() -> None:
    images = re.findall(
        r"image: grafana/grafana:([\d.]+)", (REPOSITORY / "docker-compose.yml").read_text(encoding="utf-8")
    )
    assert images == [VERSION], "run scripts/grafana-schema.sh"


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda board: board.update(schemaVersion="41"), "dashboard schemaVersion"),
        (lambda board: board.update(timezones=["utc"]), "dashboard : "),
        (lambda board: board["templating"]["list"][0].update(type="choice"), "dashboard templating/list/0"),
        (lambda board: panel_of(board, "timeseries")["options"]["legend"].pop("calcs"), "timeseries.options legend"),
        (lambda board: panel_of(board, "timeseries")["options"]["tooltip"].update(mode="many"), "timeseries.options tooltip/mode"),
        (lambda board: panel_of(board, "timeseries")["fieldConfig"]["defaults"]["custom"].update(drawStyle="bar"), "timeseries.custom drawStyle"),
        (lambda board: panel_of(board, "table")["options"].update(cellHeight="large"), "table.options cellHeight"),
        (lambda board: panel_of(board, "table")["fieldConfig"]["overrides"].append(
            {"matcher": {"id": "byName", "options": "x"}, "properties": [{"id": "custom.cellOptions", "value": {"type": "bar"}}]}), "table.custom cellOptions"),
        (lambda board: panel_of(board, "table")["fieldConfig"]["overrides"].append(
            {"matcher": {"id": "byName", "options": "x"}, "properties": [{"id": "units", "value": "percent"}]}), "nothing of a field is called units"),
        (lambda board: panel_of(board, "stat")["options"].update(graphMode="pie"), "stat.options graphMode"),
    ],
)  # fmt: skip
def test_what_grafana_does_not_know_is_found(damage: Any, said: str) -> None:
    board = copy.deepcopy(BOARDS["vp.json"])
    damage(board)
    assert any(said in problem for problem in problems(board))


def panel_of(board: Mapping[str, Any], kind: str) -> dict[str, Any]:
    return next(panel for panel in grafana.panels(board) if panel["type"] == kind)
