"""Re-executing a run from its failure: it goes on with its own Mondays, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from churn_pipeline.core.settings import Settings
from churn_pipeline.core.warehouse import connect
from churn_pipeline.orchestration.execute import Outcome, run_mondays
from churn_pipeline.orchestration.failures import problems
from tests.conftest import TINY_BEFORE, TINY_MONDAY, Company
from tests.support.dagster import reexecute
from tests.support.homes import copy_of, query
from tests.support.truncation import with_a_feed_that_stood_still

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

WEEKS = "select snapshot_date, count(*), min(run_id), max(run_id) from {}predictions group by 1 order by 1"


def weeks(settings: Settings) -> tuple[list[tuple], list[tuple]]:
    """Who wrote how much of each Monday, in the warehouse and as published."""
    return query(settings.warehouse, WEEKS.format("policy.")), query(settings.published_database, WEEKS.format(""))


def run_that_dies_at_the_predictions(settings: Settings) -> Outcome:
    """Scores TINY_MONDAY and has it audited, while the predictions take no second row of a customer."""
    with connect(settings) as con:
        con.execute(f"delete from policy.predictions where snapshot_date = '{TINY_MONDAY}'")
        con.execute("create unique index one_monday_only on policy.predictions (customer_id)")
    outcome = run_mondays(settings, TINY_MONDAY)
    with connect(settings) as con:
        con.execute("drop index policy.one_monday_only")
    assert outcome.exit_code == 1
    assert "dbt: predictions (error)" in outcome.reason
    return outcome


def reexecuted(settings: Settings, run_id: str) -> tuple[bool, str, set[str]]:
    """Whether a re-execution from the failure ended well, what it said, and the steps that it did."""
    run, events = reexecute(settings, run_id)
    return run.is_success, str(problems(events)), {event.step_key for event in events if event.is_step_success}


def test_a_run_reexecuted_from_failure_finishes_its_mondays_and_after_another_run_it_touches_none(
    tiny_two_mondays: Settings, tmp_path: Path
) -> None:
    # Its models are there, so no run has to train.
    settings = copy_of(tiny_two_mondays, tmp_path / "home")
    died = run_that_dies_at_the_predictions(settings)
    other = run_mondays(settings, TINY_BEFORE)
    assert other.exit_code == 0, other.reason
    before = weeks(settings)
    success, messages, done = reexecuted(settings, died.run_id)
    assert not success
    assert f"what was scored last is of run {other.run_id} and not of this one" in messages
    assert "Run the Monday again from the start" in messages
    assert not done & {"dbt_predictions", "published", "dbt_outcomes"}
    assert weeks(settings) == before

    died = run_that_dies_at_the_predictions(settings)
    success, messages, done = reexecuted(settings, died.run_id)
    assert success, messages
    assert "score" not in done
    for rows in weeks(settings):
        assert [(day, first, last) for day, _, first, last in rows] == [
            (TINY_BEFORE, other.run_id, other.run_id),
            (TINY_MONDAY, died.run_id, died.run_id),
        ]


@pytest.mark.nightly
def test_a_run_reexecuted_from_the_features_after_another_run_neither_trains_nor_scores_on_those_of_the_other(
    tiny_copy: Settings,
) -> None:
    settings = tiny_copy
    mart = "marts.mart_customer_churn_features"
    with connect(settings) as con:
        # A column that no model fills, and that may not be empty.
        con.execute(f"alter table {mart} add column unknown integer default 1")
        con.execute(f"alter table {mart} alter column unknown set not null")
        con.execute(f"alter table {mart} alter column unknown drop default")
    died = run_mondays(settings, TINY_MONDAY)
    assert "dbt: mart_customer_churn_features (error)" in died.reason
    with connect(settings) as con:
        con.execute(f"alter table {mart} alter column unknown drop not null")
        con.execute(f"alter table {mart} drop column unknown")
    other = run_mondays(settings, TINY_BEFORE)
    assert other.exit_code == 0, other.reason
    models = query(settings.warehouse, "from ledger.promotions order by seq")
    before = weeks(settings)
    success, messages, done = reexecuted(settings, died.run_id)
    assert not success
    assert f"what is planned to be built is of run {other.run_id} and not of this one" in messages
    assert not done
    assert query(settings.warehouse, "from ledger.promotions order by seq") == models
    assert weeks(settings) == before


@pytest.mark.nightly
def test_what_a_run_refused_its_re_execution_refuses_too_and_names_the_same_reason(
    tiny_copy: Settings, tiny_company: Company, tmp_path: Path
) -> None:
    """Even where the Monday also lies unpublished from a run that was killed, and would be caught up."""
    bad = TINY_BEFORE
    raw = with_a_feed_that_stood_still(tiny_company.raw, tmp_path / "raw", bad)
    settings = Settings(**tiny_copy.model_dump(include=tiny_copy.model_fields_set) | {"raw": raw})
    # As if the run that wrote it had been killed before it published.
    (settings.published / "predictions" / f"{bad}.parquet").unlink()
    folder = settings.published / "predictions"
    folder.rename(tmp_path / "aside")
    folder.write_text("a file where a folder has to be", encoding="utf-8")
    died = run_mondays(settings, bad, TINY_MONDAY)
    first = {row.snapshot_date: row for row in died.mondays}
    assert (first[bad].status, first[bad].exit_code) == ("refused", 2)
    assert "usage_events" in first[bad].reason
    assert first[TINY_MONDAY].status == "failed"

    folder.unlink()
    (tmp_path / "aside").rename(folder)
    run, events_of_run = reexecute(settings, died.run_id)
    assert not run.is_success
    assert first[bad].reason in str(problems(events_of_run))
    words = query(
        settings.warehouse,
        f"select snapshot_date, status, reason, exit_code from ledger.runs where run_id = '{run.run_id}' order by 1",
    )
    assert words == [(bad, "refused", first[bad].reason, 2), (TINY_MONDAY, "published", "", 0)]
