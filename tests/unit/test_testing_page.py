"""docs/testing.md names tests that are there, and every invariant has some."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "testing.md").read_text(encoding="utf-8")


def test_every_file_and_test_that_the_page_names_is_there() -> None:
    files = set(re.findall(r"`((?:unit|integration|e2e|faults|stack)/[\w/]+\.py)`", PAGE))
    names = set(re.findall(r"`(test_\w+)`", PAGE))
    assert len(files) > 15 and len(names) > 40
    assert [name for name in files if not (TESTS / name).is_file()] == []
    defined = {
        name for path in TESTS.rglob("test_*.py") for name in re.findall(r"def (test_\w+)", path.read_text("utf-8"))
    }
    assert names - defined == set()


def test_every_invariant_has_a_test_that_runs_every_day() -> None:
    rows = {row[1]: row[2] for row in re.finditer(r"^\| (\d+) \| [^|]+ \| ([^|]+) \|", PAGE, re.MULTILINE)}
    assert sorted(map(int, rows)) == list(range(1, 14))
    assert all("`test_" in quick for quick in rows.values())
