"""Raw files that were cut off: refused by name, and what was published stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from churn_pipeline.core.settings import Settings
from tests.conftest import TINY_MONDAY
from tests.support.homes import query
from tests.support.processes import churn


@pytest.fixture
def exported(tiny_copy: Settings, tmp_path: Path) -> Settings:
    """The home with raw tables of its own: events as Parquet, tickets as CSV."""
    raw = tmp_path / "raw"
    raw.mkdir()
    for path in tiny_copy.raw_dir.glob("*.parquet"):
        (raw / path.name).write_bytes(path.read_bytes())
    with duckdb.connect() as con:
        con.execute(f"copy (from '{raw}/support_tickets.parquet') to '{raw}/support_tickets.csv' (header)")
    (raw / "support_tickets.parquet").unlink()
    return Settings(**tiny_copy.model_dump(include=tiny_copy.model_fields_set) | {"raw": raw})


def refused(settings: Settings, *words: str) -> None:
    before = query(settings.published_database, "from predictions order by all")
    completed = churn(settings, "run", "--week", str(TINY_MONDAY))
    assert completed.returncode == 2, completed.stderr
    for word in words:
        assert word in completed.stderr
    assert "Traceback" not in completed.stderr
    assert query(settings.published_database, "from predictions order by all") == before


def test_a_truncated_parquet_file_is_refused_by_name(exported: Settings) -> None:
    events = exported.raw_dir / "usage_events.parquet"
    events.write_bytes(events.read_bytes()[: events.stat().st_size // 2])
    refused(exported, "usage_events.parquet")


def cut_off(exported: Settings, end: Callable[[str], str]) -> None:
    """Leaves the first half of the tickets, and of the line after it what ``end`` makes of it, without an end of line."""
    tickets = exported.raw_dir / "support_tickets.csv"
    lines = tickets.read_text(encoding="utf-8").splitlines()
    half = len(lines) // 2
    tickets.write_text("\n".join([*lines[:half], end(lines[half])]), encoding="utf-8")


def test_a_csv_that_ends_in_the_middle_of_a_row_is_refused_by_name(exported: Settings) -> None:
    cut_off(exported, lambda line: line[: len(line) // 2])
    refused(exported, "support_tickets.csv")


def test_a_half_written_csv_that_ends_with_a_whole_row_is_said_to_have_lost_rows(exported: Settings) -> None:
    """Nothing in it tells it from what spreadsheets write, which is accepted; that half of the rows are gone does."""
    cut_off(exported, str)
    completed = churn(exported, "run", "--week", str(TINY_MONDAY))
    assert completed.returncode == 0, completed.stderr
    notices = query(exported.published_database, "select sentence from notices where source = 'support_tickets'")
    assert any("rows" in sentence for (sentence,) in notices), notices


def test_the_same_files_whole_are_taken(exported: Settings) -> None:
    completed = churn(exported, "check", str(exported.raw_dir))
    assert completed.returncode == 0, completed.stderr
