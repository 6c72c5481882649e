"""Raw files that were cut off: refused by name, and what was published stays."""

from __future__ import annotations

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


@pytest.mark.parametrize(
    "where", ["in the middle of a row", "in the middle of the last value", "before the end of the line"]
)
def test_a_half_written_csv_is_refused_by_name_wherever_it_was_cut(where: str, exported: Settings) -> None:
    tickets = exported.raw_dir / "support_tickets.csv"
    lines = tickets.read_text(encoding="utf-8").splitlines()
    cut = lines[len(lines) // 2]
    tail = {
        "in the middle of a row": cut[: len(cut) // 2],
        "in the middle of the last value": cut[:-3],
        "before the end of the line": cut,
    }
    tickets.write_text("\n".join([*lines[: len(lines) // 2], tail[where]]), encoding="utf-8")
    refused(exported, "support_tickets.csv", "half-written")


def test_the_same_files_whole_are_taken(exported: Settings) -> None:
    completed = churn(exported, "run", "--week", str(TINY_MONDAY))
    assert completed.returncode == 0, completed.stderr
