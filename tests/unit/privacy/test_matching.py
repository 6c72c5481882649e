"""Customers in text: found however a format writes them, and nobody else taken for them."""

from __future__ import annotations

import html
import json

import pytest

from churn_pipeline.privacy.matching import ERASED, Traces, shared

HOSTILE = "x'\"; drop table c; -- %<b>&\n../C1"


@pytest.mark.parametrize("text", ["C1", "that was C1.", "C1, C2", "(C1)", "/customers/C1/", "id=C1&x", "C1\n"])
def test_an_id_that_stands_by_itself_is_found_and_erased(text: str) -> None:
    traces = Traces(["C1"])
    assert traces.in_text(text)
    assert "C1" not in traces.erase(text)


@pytest.mark.parametrize("text", ["C12", "AC1", "C1-b", "x-C1", "C1_2", "c1", "C2"])
def test_a_part_of_another_id_is_not_the_customer(text: str) -> None:
    assert not Traces(["C1"]).in_text(text)


@pytest.mark.parametrize("text", ["0.7", "7.5 %", "17", "2026-07-7", "12:7"])
def test_a_number_that_contains_a_numeric_id_stays_a_number(text: str) -> None:
    assert Traces(["7"]).erase(text) == text


@pytest.mark.parametrize(
    "write",
    [
        str,
        html.escape,
        lambda text: html.escape(text, quote=False),
        json.dumps,
        lambda text: json.dumps(text, ensure_ascii=False),
        lambda text: json.dumps({"a": json.dumps({"b": text})}),
        lambda text: '"' + text.replace('"', '""') + '"',
        lambda text: json.dumps(text).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"),
        lambda text: " ".join(text.split()),
    ],
)
@pytest.mark.parametrize("customer_id", [HOSTILE, "Größe & Söhne <7>", "a\tb", "=1+1"])
def test_an_id_with_anything_in_it_is_found_as_every_format_writes_it(write, customer_id: str) -> None:
    assert Traces([customer_id]).in_text(f"before {write(customer_id)} after")


def test_a_line_of_a_list_and_a_row_of_a_sample_go_as_a_whole_and_the_others_stay() -> None:
    def line(text: str) -> dict:
        return {"type": "rich_text_section", "elements": [{"type": "text", "text": text}]}

    document = {
        "list": [line("Acme · C1 · $4K"), line("Other · C2 · $3K")],
        "rows": [["2026-06-01", "C1", 1.5], ["2026-06-01", "C2", 0.2]],
        "index": [{"customer_id": "C1", "p": 2}, {"customer_id": "C2", "p": 3}],
        "note": "C1 and C2 failed",
    }
    assert Traces(["C1"]).erase_json(document) == {
        "list": [line("Other · C2 · $3K")],
        "rows": [["2026-06-01", "C2", 0.2]],
        "index": [{"customer_id": "C2", "p": 3}],
        "note": f"{ERASED} and C2 failed",
    }


def test_a_name_of_one_word_is_looked_for_by_itself_only_and_one_of_several_words_everywhere() -> None:
    traces = Traces(["C1"], ["Retail", "Blue Harbor Ltd"])
    assert traces.erase("Retail is an industry") == "Retail is an industry"
    assert traces.erase("Retail") == ERASED
    assert traces.erase("called Blue Harbor Ltd twice") == f"called {ERASED} twice"


def test_a_name_that_is_a_part_of_another_customers_gives_nobody_away() -> None:
    assert shared({"Acme", "Blue Harbor"}, {"ACME Mining", "Bluer Harbor"}) == {"Acme"}


@pytest.mark.parametrize(("customer_id", "telling"), [("C1", False), ("C0001", True), ("1234", False), ("12345", True), ("acme", False), ("acme-1", True)])  # fmt: skip
def test_an_id_that_looks_like_a_word_or_a_small_number_is_not_searched_everywhere(
    customer_id: str, telling: bool
) -> None:
    assert Traces([customer_id]).telling is telling
