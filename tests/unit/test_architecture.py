"""The house: which room may know which, as docs/architecture.md draws it."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from churn_pipeline.core.settings import REPOSITORY

PACKAGE = REPOSITORY / "churn_pipeline"

# Floor by floor, from the ground up. A room may use what lies below it, never what lies beside or above it.
FLOORS: tuple[frozenset[str], ...] = tuple(
    frozenset(floor.split())
    for floor in (
        "core",
        "contract simulate",
        "sources",
        "features",
        "modeling",
        "policy scoring",
        "quality",
        "monitoring",
        "delivery",
        "customers",
        "privacy",
        "api orchestration",
        "cli definitions",
    )
)
# The package itself stands on top: its one name, `Home`, is loaded when somebody asks for it.
FLOOR_OF = {room: number for number, floor in enumerate((*FLOORS, {"__init__"})) for room in floor}

# What changes a database. A table that a monitoring module writes begins with its own schema.
_WRITES = re.compile(
    r"\b(?:insert\s+into|delete\s+from|update|truncate(?:\s+table)?|merge\s+into|copy"
    r"|(?:create|alter|drop)\s+(?:or\s+replace\s+)?(?:table|view|schema|sequence)(?:\s+if\s+(?:not\s+)?exists)?)\s+([a-z_]+)",
    re.IGNORECASE,
)


def modules(*parts: str) -> list[Path]:
    return sorted(PACKAGE.joinpath(*parts).rglob("*.py"))


@cache
def imported(path: Path) -> tuple[tuple[int, str], ...]:
    """Every module that a file imports, at its top or within a function, with the line."""
    return tuple(_imports(path))


def _imports(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            assert node.module is not None
            yield node.lineno, node.module
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def arrows() -> dict[tuple[str, str], list[str]]:
    """Every pair of rooms of which the first imports the second, with the places."""
    places: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for path in modules():
        for line, name in imported(path):
            parts = name.split(".")
            if parts[0] == "churn_pipeline" and len(parts) > 1 and parts[1] in FLOOR_OF and parts[1] != room_of(path):
                places[room_of(path), parts[1]].append(f"{path.relative_to(REPOSITORY)}:{line}")
    return places


def test_every_module_lies_in_a_room() -> None:
    assert {room_of(path) for path in modules()} == FLOOR_OF.keys()


def test_no_room_imports_one_beside_or_above_it() -> None:
    upwards = {pair: places for pair, places in arrows().items() if FLOOR_OF[pair[1]] >= FLOOR_OF[pair[0]]}
    assert not upwards


@pytest.mark.parametrize(
    ("library", "homes"),
    [
        ("dagster", "orchestration"),
        ("dagster_dbt", "orchestration"),
        ("dagster_webserver", "orchestration/web"),
        ("uvicorn", "api orchestration/web"),
        ("fastapi", "api"),
        ("starlette", "api"),
        ("prometheus_client", "api"),
        ("dbt", "orchestration"),
        ("psycopg", "delivery/postgres"),
        ("fsspec", "sources"),
        ("mlflow", "modeling"),
        ("openai", "customers/briefs"),
        ("httpx2", "customers/briefs"),
    ],
)
def test_a_library_with_a_room_of_its_own_is_imported_nowhere_else(library: str, homes: str) -> None:
    elsewhere = [
        f"{path.relative_to(REPOSITORY)}:{line}"
        for path in modules()
        if not any(path.is_relative_to(PACKAGE / home) for home in homes.split())
        for line, name in imported(path)
        if name.split(".")[0] == library
    ]
    assert not elsewhere


def test_monitoring_writes_in_its_own_schema_only() -> None:
    written = {
        match[1].lower()
        for path in modules("monitoring")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        for match in _WRITES.finditer(node.value)
        # Prose says "update" too; a statement names a table of a schema.
        if re.match(r"\s*(?:\.|$)", node.value[match.end() :])
        or match[0].lower().startswith(("create", "drop", "alter"))
    }
    assert written == {"monitoring"}


# What has one home: how it looks where it is made by hand, and the files that may.
_ONE_HOME = {
    "a transaction": (
        r"""execute\(\s*["'](?:begin|commit|rollback)\b|\bcon\.(?:begin|commit|rollback)\(""",
        "core/warehouse.py",
    ),
    "JSON that is written": (r"\bjson\.dumps?\(", "core/json_text.py"),
    "money": (
        # A sign before a figure, in Python, in JavaScript and as charts write formats.
        r"""\$\{[^}]*:[,.]|["'`]\$["'`] *\+|\$["'`]\) \+|\$\{text\}|style: *["']currency|format=["']\$""",
        "core/formatting.py delivery/report/templates/usd.js.j2",
    ),
    "a Markdown table": (r"""---\||["']\| ["'] *\+|replace\(["']\|["']""", "core/formatting.py"),
    "a quoted text in SQL": (
        r"""replace\((?:"'", *"''"|chr\(39\))|\b(?:attach|date|timestamp) '\{""",
        "core/sql.py",
    ),
}


@pytest.mark.parametrize("what", _ONE_HOME)
def test_what_has_one_home_is_made_nowhere_else(what: str) -> None:
    pattern, homes = _ONE_HOME[what]
    places = [path for path in PACKAGE.rglob("*") if path.suffix in (".py", ".j2")]
    holding = {
        str(path.relative_to(PACKAGE)) for path in places if re.search(pattern, path.read_text(encoding="utf-8"))
    }
    assert holding == set(homes.split())
