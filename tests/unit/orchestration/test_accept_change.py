"""How somebody's word that a book that jumps, or a level that looks impossible, is right gets from the shell, or from the UI, to the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pytest
from typer.testing import CliRunner

from churn_pipeline.cli.commands import app
from churn_pipeline.contract import Acceptance
from churn_pipeline.core.errors import InputError
from churn_pipeline.core.operator import user
from churn_pipeline.core.settings import Settings
from churn_pipeline.orchestration import execute
from churn_pipeline.orchestration.assets.landing import ACCEPT_TAG, ACCEPTED_BY_TAG, acceptance, landing
from churn_pipeline.orchestration.assets.scores import ACCEPT_LEVEL_TAG, level_acceptance
from churn_pipeline.orchestration.home import Home
from churn_pipeline.scoring import level
from tests.support.homes import query
from tests.unit.contract.landing_helpers import NOW, company, row, write


def book_of(customers: int) -> list[dict[str, Any]]:
    return [row("customers", customer_id=f"C{number}") for number in range(customers)]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "raw").mkdir()
    return Settings(home=tmp_path, raw=company(tmp_path / "raw", customers=book_of(40)), now=NOW)


def landed_by_a_run(settings: Settings, **tags: str) -> dg.ExecuteInProcessResult:
    return dg.materialize([landing], resources={"home": Home(settings, None)}, tags=tags, raise_on_error=False)  # type: ignore[arg-type]


def test_a_run_that_carries_a_reason_lands_a_book_that_jumps_and_one_without_does_not(settings: Settings) -> None:
    assert landed_by_a_run(settings).success
    write(settings.raw_dir, "customers", book_of(20))
    assert not landed_by_a_run(settings).success
    assert query(settings.warehouse, "select count(*) from landing.customers") == [(40,)]
    accepted = landed_by_a_run(settings, **{ACCEPT_TAG: "a part was sold"})
    assert accepted.success
    assert query(settings.warehouse, "select count(*) from landing.customers") == [(20,)]
    assert query(settings.warehouse, "select reason, who, run_id from control.accepted_changes") == [
        ("a part was sold", "somebody in the Dagster UI", accepted.run_id)
    ]


def test_the_setting_reaches_the_landing(settings: Settings) -> None:
    assert landed_by_a_run(settings).success
    write(settings.raw_dir, "customers", book_of(20))
    assert landed_by_a_run(settings.model_copy(update={"max_book_change": 0.5})).success
    with duckdb.connect(str(settings.warehouse), read_only=True) as con:
        assert con.execute("select count(*) from control.accepted_changes").fetchall() == [(0,)]


def test_a_run_of_the_ui_needs_a_reason_too() -> None:
    assert acceptance({}) is None
    assert acceptance({ACCEPT_TAG: "sold", ACCEPTED_BY_TAG: "Ada"}) == Acceptance("sold", "Ada")
    with pytest.raises(InputError, match="needs a reason"):
        acceptance({ACCEPT_TAG: ""})
    assert level_acceptance({}) is None
    assert level_acceptance({ACCEPT_LEVEL_TAG: "sold", ACCEPTED_BY_TAG: "Ada"}) == level.Acceptance("sold", "Ada")
    with pytest.raises(InputError, match="needs a reason"):
        level_acceptance({ACCEPT_LEVEL_TAG: " "})


@pytest.mark.parametrize(("option", "tag"), [("--accept-change", ACCEPT_TAG), ("--accept-level", ACCEPT_LEVEL_TAG)])
@pytest.mark.parametrize("command", [["run"], ["backfill", "--from", "2024-06-10"]])
def test_the_reason_given_in_the_shell_becomes_tags_of_the_run(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, command: list[str], option: str, tag: str
) -> None:
    tags: list[dict[str, str]] = []

    def remember_tags(*arguments: Any) -> None:
        tags.append(arguments[4])
        raise InputError("not run")

    monkeypatch.setattr(execute, "_execute", remember_tags)
    monkeypatch.setenv("CHURN_NOW", NOW.isoformat())
    options = ["--home", str(settings.home), "--raw", str(settings.raw_dir)]
    outcome = CliRunner().invoke(app, [*command, *options, option, "a part was sold"])
    assert str(outcome.exception) == "not run"
    assert tags == [{tag: "a part was sold", ACCEPTED_BY_TAG: user()}]
    outcome = CliRunner().invoke(app, [*command, *options, option, "  "])
    assert isinstance(outcome.exception, InputError)
    assert f"{option} needs a reason" in str(outcome.exception)
    assert len(tags) == 1


@pytest.mark.parametrize(
    ("option", "why"), [("--accept-change", "lands nothing"), ("--accept-level", "judges no level")]
)
def test_scoring_again_with_another_model_has_nothing_that_could_be_accepted(
    settings: Settings, option: str, why: str
) -> None:
    again = ["backfill", "--from", "2012-01-02", "--model", "champion"]
    outcome = CliRunner().invoke(app, [*again, option, "x", "--home", str(settings.home)])
    assert why in str(outcome.exception)
