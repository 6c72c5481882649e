"""Repeated keys of a large table are found by sorting their hashes, and a text is cleaned as trim() would: quicker, and never otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import duckdb
import pytest

from churn_pipeline.contract import TABLES, repeats
from churn_pipeline.contract.files import TEXT_NULLS, Field, _cleaned_sql
from tests.unit.contract.landing_helpers import company, everything, put, quarantined, row, write


def _events(*names: str, hour: int = 10) -> list[dict[str, str]]:
    return [row("usage_events", event_id=name, timestamp=f"2024-03-01T{hour}:00:00") for name in names]


@pytest.mark.parametrize("at_once", [2, 5, 1_000])
def test_sorting_finds_the_repeated_keys_that_grouping_finds(
    raw: Path, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    company(raw, usage_events=[*_events("A", "B", "C", "D", "B"), *_events("A", "D", "A", hour=9)])
    states = []
    for many in (1_000_000, 2):
        monkeypatch.setattr(repeats, "_MANY", many)
        monkeypatch.setattr(repeats, "_AT_ONCE", at_once)
        with duckdb.connect() as con:
            report = put(con, raw).tables["usage_events"]
            states.append((report.rows_repeated, report.bad_rows, everything(con)))
    assert states[0] == states[1]
    assert states[0][0] == 2 and states[0][1] == {"unique key": 2}


@pytest.mark.parametrize("many", [1_000_000, 2])
def test_without_a_repeated_key_nothing_is_compared_and_nothing_is_put_aside(
    raw: Path, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repeats, "_MANY", many)
    company(raw, usage_events=_events("A", "B", "C", "D"))
    with duckdb.connect() as con:
        assert put(con, raw).tables["usage_events"].rows_landed == 4
        assert quarantined(con) == []
        assert not repeats.find_repeated(con, TABLES["usage_events"], None)


def test_a_key_that_a_later_file_repeats_is_found_among_the_old_ones(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw)
    (raw / "usage_events.csv").unlink(missing_ok=True)
    write(raw, "usage_events", _events("A", "B", "C"), "usage_events/1.csv")
    put(con, raw)
    write(raw, "usage_events", _events("D", "B", hour=11), "usage_events/2.csv")
    report = put(con, raw).tables["usage_events"]
    assert (report.how, report.bad_rows, report.rows_total) == ("appended", {"unique key": 1}, 4)
    assert con.execute("select hour(event_at) from landing.usage_events where event_id = 'B'").fetchall() == [(10,)]


_BLANKS = (" ", "\u00a0", "\u1680", "\u2003", "\u202f", "\u205f", "\u3000", "\t", "\n", "\u200b", "")
_WORDS = ("C1", "customer with a blank", "Ünal", "NULL", "null", "N/A", "none", "", "\\N", "x" * 50)


@pytest.mark.parametrize("words", [(), TEXT_NULLS])
def test_a_text_is_cleaned_as_trim_and_the_words_for_nothing_have_it(
    con: duckdb.DuckDBPyConnection, words: Sequence[str]
) -> None:
    texts = [first + word + last for first in _BLANKS for word in _WORDS for last in _BLANKS]
    con.execute("create table texts as select unnest(?::varchar[]) as text", [[*texts, None]])
    cleaned = _cleaned_sql("text", Field("text", "text", nulls=tuple(words)), False)
    trimmed = con.execute("select text, trim(text) from texts").fetchall()
    expected = [None if text is None or text in ("", *words) else text for _, text in trimmed]
    assert [text for (text,) in con.execute(f"select {cleaned} from texts").fetchall()] == expected
