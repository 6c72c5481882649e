"""`churn check`: what would come in from raw data, with nothing landed and no home needed."""

from __future__ import annotations

import csv
import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from churn_pipeline.cli.commands import app
from churn_pipeline.core.settings import Settings
from churn_pipeline.quality.intake import QUARANTINE_COLUMNS, look_at, percent, write_page
from tests.unit.contract.landing_helpers import NOW, company, row, write


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    folder.mkdir()
    customers: list[dict[str, Any]] = [row("customers", customer_id=f"C{n}") for n in range(40)]
    for customer in customers[:10]:
        customer["churn_date"] = "2024-03-05"
    customers[39]["mrr"] = "-1"
    return company(folder, customers=customers, usage_events=[row("usage_events"), row("usage_events", event_id="E2")])


@pytest.fixture
def settings(raw: Path, tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", raw=raw, now=NOW)


def test_it_says_what_would_come_in_and_touches_no_home(settings: Settings) -> None:
    intake = look_at(settings)
    assert intake.is_usable
    assert intake.book is not None
    assert (intake.book.customers, intake.book.active, intake.book.churned) == (40, 30, 10)
    tables = {table.name: table for table in intake.tables}
    assert (tables["usage_events"].rows, tables["usage_events"].customers) == (2, 1 / 40)
    mrr = next(column for column in tables["customers"].columns if column.name == "mrr")
    assert (mrr.unusable, mrr.filled) == (1, 39 / 40)
    assert not tables["contracts"].present
    assert not settings.home.exists()


def test_it_names_the_kinds_of_models_the_data_support_and_from_when_on(settings: Settings, raw: Path) -> None:
    young = look_at(settings).models
    assert all(model.best is None and model.small is None for model in young)
    assert "there were at most 10 departures to learn from, where 100 are needed" in young[0].words
    assert "for now a base rate" in young[0].words
    assert [model.target for model in young if "base rate" not in model.words] == ["expansion_90d"]
    start = date(2022, 1, 3)
    days = [start + timedelta(days=n) for n in range(400)]
    write(
        raw,
        "customers",
        [row("customers", customer_id=f"D{n}", signup_date="2021-01-01", churn_date=day) for n, day in enumerate(days)],
    )
    write(raw, "usage_events", [row("usage_events", customer_id="D399", timestamp="2022-01-04T00:00:00")])
    churn = look_at(settings).models[0]
    assert churn.best is not None and churn.small is not None
    # A departure a day: a hundred of them to learn from, or twenty, and closed labels of what it is judged by.
    assert timedelta(days=100 + 35) < churn.best - start < timedelta(days=100 + 3 * 35 + 28)
    assert timedelta(days=20 + 35) < churn.small - start < churn.best - start
    # Where departures are booked late, labels close later, and with them the first models come later.
    late = look_at(settings.model_copy(update={"booking_delay_days": 35})).models[0]
    assert late.best is not None and late.small is not None
    assert min(late.best - churn.best, late.small - churn.small) >= timedelta(days=35)
    assert f"from {churn.best} on the best of boosted trees and logistic regression" in churn.words


def test_what_a_run_would_refuse_is_refused_in_the_same_words_and_can_be_read(
    settings: Settings, raw: Path, tmp_path: Path
) -> None:
    write(raw, "customers", [row("customers", customer_id=f"C{n}", mrr="many") for n in range(40)])
    (raw / "support_tickets.csv").write_text("ticket_id\n")
    file = tmp_path / "put-aside.csv"
    result = CliRunner().invoke(
        app, ["check", str(raw), "--quarantine", str(file)], env={"CHURN_NOW": NOW.isoformat(), "COLUMNS": "200"}
    )
    assert result.exit_code == 2
    assert "mrr 'many' (customers.csv, line 2; 39 like it) is not a number of dollars" in result.stderr
    assert "support_tickets.csv: the columns are missing" in result.stderr
    with file.open(encoding="utf-8", newline="") as stream:
        header, *rows = csv.reader(stream)
    assert tuple(header) == QUARANTINE_COLUMNS
    assert len(rows) == 40


def test_json_holds_all_that_is_printed(settings: Settings, raw: Path) -> None:
    result = CliRunner().invoke(app, ["check", str(raw), "--json"], env={"CHURN_NOW": NOW.isoformat()})
    assert result.exit_code == 0
    values = json.loads(result.stdout)
    assert values["is_usable"]
    assert values["book"]["active"] == 30
    printed = CliRunner().invoke(app, ["check", str(raw)], env={"CHURN_NOW": NOW.isoformat(), "COLUMNS": "200"})
    assert "30 active of 40 customers" in printed.stdout
    assert "customers: 1 value of mrr cannot be used" in printed.stdout


def test_the_page_escapes_what_the_data_hold(settings: Settings, raw: Path, tmp_path: Path) -> None:
    write(raw, "support_tickets", [row("support_tickets", ticket_id=f"T{n}", priority="<script>") for n in range(30)])
    write_page(look_at(settings), page := tmp_path / "page.html")
    text = page.read_text(encoding="utf-8")
    assert "This would be refused" in text
    assert "<script>" not in text
    assert "&lt;script&gt;" in text


@pytest.mark.parametrize(
    ("share", "text"), [(None, ""), (0, "0%"), (0.001, "< 1%"), (0.5, "50%"), (0.999, "> 99%"), (1, "100%")]
)
def test_a_share_is_only_all_or_nothing_where_it_is(share: float | None, text: str) -> None:
    assert percent(share) == text


def test_sources_yml_is_read_as_a_run_reads_it(settings: Settings, raw: Path) -> None:
    (raw / "customers.csv").rename(raw / "accounts_2024.csv")
    settings.home.mkdir()
    sources = settings.home / "sources.yml"
    assert [problem.table for problem in look_at(settings).problems] == ["customers"]
    sources.write_text("customers: {files: accounts_*.csv}")
    assert look_at(settings).is_usable
    sources.write_text("customers: {file: accounts_*.csv}")
    assert "did you mean files?" in str(look_at(settings).problems[0])


def test_what_lies_elsewhere_is_asked_for_and_the_home_stays_as_it_is(settings: Settings) -> None:
    settings.home.mkdir()
    (settings.home / "sources.yml").write_text(
        "connections: {books: {kind: postgresql, uri: 'postgresql://a:${CHURN_TEST_NO_SUCH_WORD}@127.0.0.1/x'}}\n"
        "contracts: {query: select 1, connection: books}\n"
    )
    intake = look_at(settings)
    assert "CHURN_TEST_NO_SUCH_WORD" in str(intake.problems[0])
    assert [path.name for path in settings.home.iterdir()] == ["sources.yml"]
