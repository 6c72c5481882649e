"""The audit of briefs: a whole line for everything, whatever is killed or runs beside it, and nothing about whoever is forgotten."""

from __future__ import annotations

import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from churn_pipeline.contract import suppression
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.warehouse import connect
from churn_pipeline.customers.briefs import audit
from churn_pipeline.customers.briefs.endpoint import Exchange
from churn_pipeline.customers.briefs.guardrails import Verdict
from churn_pipeline.customers.briefs.model import Audience, BriefKind, Draft, Part, Result
from churn_pipeline.customers.briefs.service import Attempt
from churn_pipeline.customers.errors import UnknownCustomerError
from churn_pipeline.privacy import files
from churn_pipeline.privacy.matching import Traces

SENT = [{"role": "user", "content": "- the company is [COMPANY]"}]


def attempt(customer_id: str = "C-1", text: str = "Call [COMPANY].", **changes: Any) -> Attempt:
    parts = {Part.NEXT_STEP: text}
    values: dict[str, Any] = {
        "correlation_id": "b07",
        "snapshot_date": date(2026, 6, 1),
        "customer_id": customer_id,
        "audience": Audience.SALES,
        "kind": BriefKind.TACTICAL,
        "provider": "localhost",
        "model": "m",
        "at": datetime(2026, 6, 1, 8, 0, 1),
        "request": None,
        "draft": Draft(parts, "localhost", "m"),
        "verdict": Verdict(parts, Result.PASSED, 1.0, ()),
        "error": None,
        "is_shown": True,
    }
    return Attempt(**values | changes)


def exchange(received: str | None = '{"next_step": "Call [COMPANY]."}') -> Exchange:
    return Exchange("b07", "localhost", "m", 2, 1.25, json.dumps(SENT), received, 420, None)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "data").mkdir()
    return Settings(home=tmp_path)


def test_a_line_says_what_was_sent_what_came_back_and_what_became_of_it(settings: Settings) -> None:
    audit.append(settings, attempt(), exchange())
    (entry,) = audit.entries(settings)
    digest = entry.pop("text_sha256")
    assert entry == {
        "correlation_id": "b07",
        "at": "2026-06-01T08:00:01.000",
        "snapshot_date": "2026-06-01",
        "customer_id": "C-1",
        "audience": "ae",
        "kind": "tactical",
        "provider": "localhost",
        "model": "m",
        "attempts": 2,
        "seconds": 1.25,
        "tokens": 420,
        "is_shown": True,
        "result": "PASSED",
        "fact_confidence": 1.0,
        "flags": [],
        "error": None,
        "sent": SENT,
        "received": '{"next_step": "Call [COMPANY]."}',
        "text": {"next_step": "Call [COMPANY]."},
        "left_out": [],
    }
    audit.append(settings, attempt(text="Call [COMPANY] today."))
    audit.append(settings, attempt(correlation_id="b08"))
    _, other, same = audit.entries(settings)
    assert other["text_sha256"] != digest == same["text_sha256"]
    assert (other["attempts"], other["sent"], other["received"]) == (0, None, None)


def test_it_is_for_its_owner_alone(settings: Settings) -> None:
    audit.append(settings, attempt())
    assert stat.S_IMODE(audit.file_of(settings).stat().st_mode) == 0o600
    assert stat.S_IMODE(settings.briefs.stat().st_mode) == 0o700


def test_lines_of_writers_beside_each_other_are_whole_and_none_is_lost(settings: Settings) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: audit.append(settings, attempt(f"C-{n}", "x" * 5_000)), range(200)))
    assert {entry["customer_id"] for entry in audit.entries(settings)} == {f"C-{n}" for n in range(200)}
    assert audit.file_of(settings).read_bytes().count(b"\n") == 200


def test_half_a_line_of_a_killed_process_spoils_no_other(settings: Settings) -> None:
    audit.append(settings, attempt("C-1"))
    with audit.file_of(settings).open("a") as file:
        file.write('{"correlation_id": "b06", "customer_id": "C-7')
    audit.append(settings, attempt("C-2"))
    assert [entry["customer_id"] for entry in audit.entries(settings)] == ["C-1", "C-2"]


def test_a_line_for_which_there_is_no_room_leaves_nothing_behind(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit.append(settings, attempt())
    before = audit.file_of(settings).read_bytes()
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, content: write(descriptor, content[:100]))
    with pytest.raises(OSError, match="No space left"):
        audit.append(settings, attempt())
    assert audit.file_of(settings).read_bytes() == before


def test_a_full_disk_is_told_with_the_file_that_has_no_room(settings: Settings) -> None:
    path = audit.file_of(settings)
    path.parent.mkdir(parents=True)
    path.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as full:
        audit.append(settings, attempt())
    assert full.value.filename == str(path)


def test_a_novel_is_noted_without_the_novel(settings: Settings) -> None:
    odd = "\ud800 ü \u2028 " + "x" * 100_000
    audit.append(settings, attempt(), exchange(odd))
    audit.append(settings, attempt(text=odd), exchange(odd))
    audit.append(settings, attempt(text="\ud800"), exchange("\ud800"))
    lines = audit.file_of(settings).read_bytes().splitlines()
    assert len(lines) == 3
    assert max(map(len, lines)) < audit.LINE_BYTES
    first, second, third = audit.entries(settings)
    assert (first["left_out"], first["received"], first["text"]) == (
        ["received"],
        None,
        {"next_step": "Call [COMPANY]."},
    )
    assert second["left_out"] == ["received", "sent", "text"]
    assert len(second["text_sha256"]) == 64
    assert third["left_out"] == []


def forgotten(settings: Settings, customer_id: str) -> None:
    with connect(settings) as con:
        register = suppression.begin(settings)
        suppression.add(settings, register, con, [customer_id], "asked", datetime(2026, 6, 2))


def test_of_whoever_is_forgotten_nothing_is_noted_and_nothing_would_be_sent(settings: Settings) -> None:
    audit.check(settings, "C-1")
    forgotten(settings, "C-1")
    for note in (lambda: audit.check(settings, "C-1"), lambda: audit.append(settings, attempt("C-1"))):
        with pytest.raises(UnknownCustomerError, match="no published week holds a customer 'C-1'"):
            note()
    audit.append(settings, attempt("C-2"))
    assert [entry["customer_id"] for entry in audit.entries(settings)] == ["C-2"]


@pytest.mark.parametrize("customer_id", ["C-1", "acme", 'O"Neil; \n<b>'])
def test_an_erasure_takes_out_the_lines_of_a_customer_and_no_other(settings: Settings, customer_id: str) -> None:
    for name in ("C-2", customer_id, "C-3"):
        audit.append(settings, attempt(name))
    audit.append(settings, attempt("C-4", text=f"As for {customer_id}, too."))
    with audit.file_of(settings).open("a") as file:
        file.write('{"customer_id": ' + json.dumps(customer_id))
    traces = Traces([customer_id])
    before = audit.file_of(settings).read_text().splitlines()
    count = files.json_lines(audit.file_of(settings), traces, False)
    assert audit.file_of(settings).read_text().splitlines() == before
    assert files.json_lines(audit.file_of(settings), traces, True) == count
    assert [entry["customer_id"] for entry in audit.entries(settings)] == ["C-2", "C-3", "C-4"]
    assert audit.file_of(settings).read_text().splitlines()[:2] == [before[0], before[2]]
    # An id that is an ordinary word names nobody in a text.
    assert json.dumps(customer_id)[1:-1] not in audit.file_of(settings).read_text() or not traces.telling
    assert stat.S_IMODE(audit.file_of(settings).stat().st_mode) == 0o600


def test_which_briefs_were_acted_upon_is_a_join_as_the_page_of_briefs_has_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).resolve().parents[4] / "docs" / "briefs.md").read_text(encoding="utf-8")
    query = page.split("```sql\n")[1].split("```")[0]
    settings.raw_dir.mkdir()
    (settings.raw_dir / "expansion_outreach_log.csv").write_text(
        "outreach_id,customer_id,contacted_date,outreach_channel,outcome,correlation_id\n"
        "1,C-1,2026-06-03,email,meeting,b07\n2,C-2,2026-06-04,call,won,\n"
    )
    for number, changes in enumerate(({}, {"is_shown": False}, {"correlation_id": "b08"})):
        audit.append(settings, attempt(f"C-{number + 1}", **changes))
    monkeypatch.chdir(settings.home)
    with duckdb.connect() as con:
        rows = con.execute(query).fetchall()
    assert rows == [("localhost", "m", "PASSED", 2, 1, 1)]
