"""Files that are no database, without a customer."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import duckdb
import pytest

from churn_pipeline.core import faults
from churn_pipeline.core.settings import Settings
from churn_pipeline.delivery.slack.blocks import digest_message, sample_digest
from churn_pipeline.privacy import files, places
from churn_pipeline.privacy.matching import Traces
from tests.support.policy import SHIPPED
from tests.support.slack_server import _refused

HOSTILE = "a'\"b,\n%../c"


def test_a_call_list_loses_the_customers_line_and_keeps_every_other_byte(tmp_path: Path) -> None:
    path = tmp_path / "ada.csv"
    text = io.StringIO()
    writer = csv.writer(text)
    rows = [["1", "C2", 'says "hello"\r\nand more'], ["2", HOSTILE, "secret"], ["3", "C3", "\x85 odd \u2028 breaks"]]
    writer.writerows([["rank", "customer_id", "why"], *rows])
    path.write_bytes(b"\xef\xbb\xbf" + text.getvalue().encode())
    expected = io.StringIO()
    csv.writer(expected).writerows([["rank", "customer_id", "why"], rows[0], rows[2]])
    assert files.csv_rows(path, Traces([HOSTILE]), False) == 1
    assert files.csv_rows(path, Traces([HOSTILE]), True) == 1
    assert path.read_bytes() == b"\xef\xbb\xbf" + expected.getvalue().encode()
    assert [entry.name for entry in tmp_path.iterdir()] == ["ada.csv"]


def test_an_id_that_was_guarded_against_spreadsheets_is_the_customers_too(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("customer_id,why\n'=1+1,x\nC2,y\n")
    assert files.csv_rows(path, Traces(["=1+1"]), True) == 1
    assert path.read_text() == "customer_id,why\nC2,y\n"


def test_a_parquet_file_loses_the_rows_and_keeps_the_others_in_their_order_and_types(tmp_path: Path) -> None:
    path = tmp_path / "p[1].parquet"
    with duckdb.connect() as con:
        con.execute(
            "copy (select * from (values (1, 'C1', [{'f': 'a', 'c': 0.1}]), (2, ?, []), (3, null, null), (4, 'C0', null)) "
            f"t(rank, customer_id, drivers)) to '{path}' (format parquet)",
            [HOSTILE],
        )
        before = con.execute(f"describe from read_parquet('{tmp_path}/p[[]1].parquet')").fetchall()
        assert files.parquet(path, Traces([HOSTILE]), True) == 1
        assert con.execute(f"describe from read_parquet('{tmp_path}/p[[]1].parquet')").fetchall() == before
        rows = con.execute(f"select rank, customer_id from read_parquet('{tmp_path}/p[[]1].parquet')").fetchall()
        assert rows == [(1, "C1"), (3, None), (4, "C0")]


@pytest.mark.parametrize("head", ["Record ID", "WhatId"])
def test_a_list_in_the_columns_of_a_crm_loses_the_customers_line_and_nobody_elses(tmp_path: Path, head: str) -> None:
    path = tmp_path / "all.crm.csv"
    # The id of one is the rank of another.
    path.write_text(f"{head},Churn call rank,Subject\n12,1,Call Ann\n13,12,Call Bo\n")
    assert files.csv_rows(path, Traces(["12"]), True) == 1
    assert path.read_text() == f"{head},Churn call rank,Subject\n13,12,Call Bo\n"


def test_a_digest_loses_every_line_of_a_customer_with_the_link_to_them(tmp_path: Path) -> None:
    digest = replace(
        sample_digest(date(2026, 11, 16), SHIPPED), report="https://churn.example.com/report/2026-11-16.html"
    )
    message = digest_message(digest, True, {"Sample Manager": "U012AB3CD"})
    path = tmp_path / "digest.json"
    path.write_text(
        json.dumps({"key": "digest/2026-11-16", "state": "sent", "text": message.text, "blocks": message.blocks})
    )
    before = path.read_text()
    # On the list, among the movers and in the gravest tier.
    assert before.count("customer=SAMPLE-1") == 3
    assert files.message(path, Traces(["SAMPLE-1"], ["Example & Sons"]), True)[0] == 1
    after = path.read_text()
    assert "SAMPLE-1" not in after and "Example & Sons" not in after
    assert "SAMPLE-2" in after and "Sample <Industries>" in after
    assert _refused(json.loads(after)) == ""


def test_a_message_without_its_last_line_is_still_one_that_slack_takes(tmp_path: Path) -> None:
    line = {"type": "rich_text_section", "elements": [{"type": "text", "text": "C0001 · $4K"}]}
    heading = {"type": "rich_text_section", "elements": [{"type": "text", "text": "Call first"}]}
    lines = {"type": "rich_text_list", "style": "bullet", "elements": [line]}
    path = tmp_path / "digest.json"
    entry = {
        "key": "digest/2026-06-01/owner/C0001",
        "text": "1 call",
        "blocks": [{"type": "rich_text", "elements": [heading, lines]}],
    }
    path.write_text(json.dumps(entry))
    assert files.message(path, Traces(["C0001"]), True)[0] == 1
    assert json.loads(path.read_text()) == entry | {"blocks": [{"type": "rich_text", "elements": [heading]}]}


@pytest.mark.parametrize("dry", [True, False])
def test_a_page_that_names_the_customer_is_removed_and_another_one_stays(tmp_path: Path, dry: bool) -> None:
    named, other = tmp_path / "week.html", tmp_path / "other.html"
    named.write_text("<td>Blue &amp; Sons</td>")
    other.write_text("<td>Bluer &amp; Sons</td>")
    for path in (named, other):
        files.page(path, Traces(["C1"], ["Blue & Sons"]), not dry)
    assert (named.exists(), other.exists()) == (dry, True)


def test_bytes_are_found_across_the_edges_of_what_is_read_at_once(tmp_path: Path) -> None:
    path = tmp_path / "blob"
    path.write_bytes(b"\0" * ((1 << 22) - 3) + b"C0000001" + b"\0" * 10)
    assert files.holds(path, Traces(["C0000001"]))
    assert not files.holds(path, Traces(["C0000002"]))


def test_the_details_of_an_error_are_among_what_an_erasure_looks_through_and_cleans(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    settings.data.mkdir()
    faults.keep(ValueError("could not convert ('C0000887', 'Ada')"), "churn run", settings.home)
    (path,) = places.other_files(settings)
    assert path.parent == settings.data / "errors"
    assert places.unknown_files(settings) == []
    look = places.handler(path)
    assert look is not None
    assert look(path, Traces(["C0000887"]), True) == 1
    text = path.read_text(encoding="utf-8")
    assert "C0000887" not in text and "(erased)" in text
