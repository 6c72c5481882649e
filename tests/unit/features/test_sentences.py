"""How values are written in sentences."""

from __future__ import annotations

from datetime import date

import duckdb
import pytest
from jinja2 import Environment

from churn_pipeline.core.formatting import usd
from churn_pipeline.core.settings import REPOSITORY
from churn_pipeline.features.sentences import Format, month_before, slot_text, value_text


@pytest.mark.parametrize(
    ("form", "spec", "value", "text"),
    [
        ("count", "ticket", 0, "no tickets"),
        ("count", "ticket", 1, "1 ticket"),
        ("count", "ticket", 1234, "1,234 tickets"),
        ("count", "sign of use|signs of use", 2, "2 signs of use"),
        ("count", "", 0, "none"),
        ("count", "", 3, "3"),
        # 30 days have 30 / 7 weeks.
        ("count", "event/week", 184, "43 events"),
        ("count", "event/week", 4, "under 1 event"),
        ("count", "/week", 77, "18"),
        ("count", "/week", 0, "none"),
        ("days", "", 44, "44 days"),
        ("days", "", 1, "1 day"),
        ("days", "ahead", 44, "in 44 days"),
        ("days", "ahead", 1, "tomorrow"),
        ("days", "ahead", 0, "today"),
        ("days", "age", 89, "89 days"),
        ("days", "age", 400, "13 months"),
        ("days", "age", 1200, "3 years"),
        ("hours", "", 31.25, "31.2 hours"),
        ("hours", "time", 0.4, "less than an hour"),
        ("hours", "time", 31.25, "31 hours"),
        ("hours", "time", 130, "5 days"),
        ("percent", "", 0.314, "31 %"),
        ("percent", "change", 0.69, "down 31 %"),
        ("percent", "change", 1.0, "unchanged"),
        ("percent", "apart", 1.2, "20 % above"),
        ("points", "", -0.32, "−32 points"),
        ("points", "", 0.01, "+1 point"),
        ("points", "", 0.001, "0 points"),
        ("points", "moved", -0.12, "fell by 12 points"),
        ("points", "moved", 0.001, "did not move"),
        ("points", "apart", 0.05, "5 points above"),
        ("usd", "", 3400, "$3,400"),
        ("date", "", date(2027, 1, 6), "6 Jan 2027"),
        ("category", "", "starter", "starter"),
    ],
)
def test_a_value_has_its_unit(form: Format, spec: str, value: object, text: str) -> None:
    assert slot_text(form, spec, "events_last_30d", value) == text


def test_a_score_is_written_as_versions_of_before_wrote_it() -> None:
    assert value_text("score", 0.314) == "0.31"


@pytest.mark.parametrize(
    ("monday", "words"),
    [
        # 3 September to 2 October, and 17 September to 16 October.
        (date(2026, 11, 2), "in September"),
        (date(2026, 11, 16), "the month before"),
        (date(2027, 1, 4), "in November"),
    ],
)
def test_the_month_before_has_its_name_where_most_of_the_days_lie_in_it(monday: date, words: str) -> None:
    assert month_before(monday) == words


@pytest.mark.parametrize(
    ("macro", "values", "write"),
    [
        (
            "age_text",
            [1, 2, 44, 89, 90, 400, 729, 730, 731, 1095, 1096, 3000],
            lambda v: slot_text("days", "age", "d", v),
        ),
        ("days_text", [0, 1, 44], lambda v: value_text("days", v)),
        ("percent_text", [0.0, 0.314, 1.2], lambda v: value_text("percent", v)),
        ("money_text", [0, 940, 9_999, 45_000, 999_600, 1_240_000, 31_000_000], usd),
    ],
)
def test_texts_of_the_policy_write_a_fact_as_reasons_do(macro: str, values: list[float], write) -> None:
    source = (REPOSITORY / "dbt_project" / "macros" / "policy" / "facts.sql").read_text(encoding="utf-8")
    macros = Environment(extensions=["jinja2.ext.do"]).from_string(source).module
    with duckdb.connect() as con:
        con.execute("create table facts as select unnest(?) as value", [values])
        rows = con.execute(f"select value, {getattr(macros, macro)('value')} from facts").fetchall()
    assert rows == [(value, write(value)) for value in values]
