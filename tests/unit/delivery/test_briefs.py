"""Prepared briefs as files: a page that shows what others typed and runs none of it, replaced as a whole, without whoever is forgotten."""

from __future__ import annotations

import json
import re
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from churn_pipeline.core.settings import Settings
from churn_pipeline.delivery.briefs import store
from churn_pipeline.delivery.briefs.candidates import candidates

MONDAY, BEFORE = date(2026, 11, 2), date(2026, 10, 26)
AT = datetime(2026, 11, 2, 8, 3)
WATERMARK = "AI-generated. Requires human review."
SCRIPT = "</script><script>alert(1)</script>"
ODD_ID = 'C/../#%41&<i> 7"'


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(home=tmp_path / "home")
    settings.published.mkdir(parents=True)
    return settings


def brief(text: str = "Because.", **changes: Any) -> dict[str, Any]:
    return {
        "audience": "ae",
        "kind": "tactical",
        "parts": {"why_now": text, "email": text},
        "watermark": WATERMARK,
        "result": "FLAGGED",
        "fact_confidence": 0.75,
        "flags": [text],
        "provider": "template",
        "model": None,
        "note": text,
        "correlation_id": "0d4e",
        "written_at": AT,
    } | changes


def candidate(customer_id: str, name: str | None = None, *briefs: dict[str, Any]) -> dict[str, Any]:
    return {
        "customer_id": customer_id,
        "company_name": name,
        "csm_owner": name,
        "expansion_rank": 1,
        "plan_tier": "growth",
        "target_tier": "enterprise",
        "propensity": 0.41,
        "expected_arr_uplift": 38_000.0,
        "briefs": list(briefs) or [brief(), brief(audience="csm", kind="nurture", parts={"why_now": "Because."})],
    }


def test_nothing_that_others_typed_is_markup_on_the_page(settings: Settings) -> None:
    page = store.write(
        settings,
        MONDAY,
        AT,
        [candidate(ODD_ID, SCRIPT, brief(SCRIPT), brief(SCRIPT, note=None, provider=SCRIPT, model=SCRIPT))],
    )
    html = page.read_text(encoding="utf-8")
    assert html.count("<script>") == 1 and "alert(1)</script>" not in html
    assert html.count("&lt;/script&gt;&lt;script&gt;alert(1)") >= 6
    assert "http://" not in html and "https://" not in html and "src=" not in html


def test_every_brief_has_its_watermark_and_so_has_an_email_that_is_copied(settings: Settings) -> None:
    html = store.write(settings, MONDAY, AT, [candidate("C1"), candidate("C2")]).read_text(encoding="utf-8")
    sections = html.split('<section class="brief"')[1:]
    assert len(sections) == 4
    for section in sections:
        assert section.count(WATERMARK) == (2 if "E-mail draft" in section else 1)
    copied = re.findall(r'<div class="email" id="(.+?)"><p class="watermark">', html)
    assert copied == re.findall(r'data-copy="(.+?)"', html) and len(set(copied)) == 2


def test_a_customer_has_a_place_on_the_page_that_an_address_can_name(settings: Settings) -> None:
    html = store.write(settings, MONDAY, AT, [candidate(ODD_ID)]).read_text(encoding="utf-8")
    place = store.anchor(ODD_ID)
    assert re.fullmatch(r"customer=[\w.%-]+", place)
    assert f'id="{place}"' in html
    assert store.page_address(MONDAY) == "briefs/2026-11-02/index.html"
    assert (settings.published / "report" / store.page_address(MONDAY)).is_file()


def test_a_monday_that_is_prepared_again_replaces_its_briefs_and_no_others(settings: Settings) -> None:
    store.write(settings, BEFORE, AT, [candidate("C1")])
    store.write(settings, MONDAY, AT, [candidate("C1"), candidate("C2")])
    store.write(settings, MONDAY, AT, [candidate("C3")])
    assert store.customers_of(settings, MONDAY) == ["C3"]
    assert store.customers_of(settings, BEFORE) == ["C1"]
    assert store.mondays(settings) == [BEFORE, MONDAY]
    assert "C1" not in (settings.published / "report" / store.page_address(MONDAY)).read_text(encoding="utf-8")
    assert sorted(path.name for path in store.folder_of(settings, MONDAY).parent.iterdir()) == [
        str(BEFORE),
        str(MONDAY),
    ]


def test_whoever_is_forgotten_is_on_no_page_and_the_others_are(settings: Settings) -> None:
    store.write(settings, BEFORE, AT, [candidate("GONE")])
    store.write(settings, MONDAY, AT, [candidate("C1", "Acme"), candidate("GONE", "Gone Ltd")])
    document = store.folder_of(settings, MONDAY) / store.DOCUMENT
    whole = document.read_bytes()
    assert [store.forget(settings, day, {"GONE"}, change=False) for day in (BEFORE, MONDAY)] == [2, 2]
    assert document.read_bytes() == whole, "who only counts changes nothing"
    assert [store.forget(settings, day, {"GONE"}, change=True) for day in (BEFORE, MONDAY)] == [2, 2]
    assert store.mondays(settings) == [MONDAY], "a Monday of nobody else goes whole"
    for path in (document, document.with_name(store.PAGE)):
        text = path.read_text(encoding="utf-8")
        assert "GONE" not in text and "Gone Ltd" not in text and "Acme" in text
    assert json.loads(document.read_text(encoding="utf-8"))["prepared_at"] == "2026-11-02T08:03:00"
    assert store.forget(settings, MONDAY, {"GONE"}, change=True) == 0
    # Of what cannot be read nobody knows whom it names.
    document.write_text("{")
    assert store.forget(settings, MONDAY, {"GONE"}, change=True) == 1
    assert store.mondays(settings) == []


def test_a_document_of_another_format_is_nobodys(settings: Settings) -> None:
    store.write(settings, MONDAY, AT, [candidate("C1")])
    document = store.folder_of(settings, MONDAY) / store.DOCUMENT
    document.write_text(document.read_text().replace(f'"format": {store.FORMAT}', '"format": 99'))
    assert store.customers_of(settings, MONDAY) == []
    document.write_text("{")
    assert store.customers_of(settings, MONDAY) == []


def test_nobody_who_is_snoozed_or_held_out_gets_a_brief() -> None:
    with duckdb.connect() as con:
        con.execute(
            """
            create table predictions as
            select snapshot_date, 'C' || rank as customer_id, 'Ana' as csm_owner, rank as expansion_rank, 'growth' as plan_tier,
                   'enterprise' as target_tier, 0.5 as expansion_propensity, 100.0::decimal(18, 2) as expected_arr_uplift,
                   rank <> 5 as is_expansion_candidate, if(rank = 2, date '2027-01-01', null) as snoozed_until, rank = 3 as is_holdout
            from range(1, 9) as ranks (rank), (values (date '2026-11-02'), (date '2026-10-26')) as mondays (snapshot_date);
            create table customers as select 'C1' as customer_id, 'Acme' as company_name, 'Ben' as csm_owner;
            """
        )
        rows = candidates(con, MONDAY, 4)
    assert [row["customer_id"] for row in rows] == ["C1", "C4", "C6", "C7"]
    assert rows[0] == {
        "customer_id": "C1",
        "company_name": "Acme",
        "csm_owner": "Ana",
        "expansion_rank": 1,
        "plan_tier": "growth",
        "target_tier": "enterprise",
        "propensity": 0.5,
        "expected_arr_uplift": 100.0,
    }
