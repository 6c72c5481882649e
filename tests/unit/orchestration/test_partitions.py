"""Which Mondays Dagster offers, and what the instance lacks that it is started with."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import pytest

from churn_pipeline.core.errors import InputError
from churn_pipeline.core.settings import REPOSITORY, Settings
from churn_pipeline.features.plan import Beginning
from churn_pipeline.orchestration import keys, partitions
from churn_pipeline.orchestration.instance import DAGSTER_YAML, lacking

MONDAY = date(2026, 11, 16)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(home=tmp_path, now=datetime(2026, 11, 18, 9, tzinfo=UTC))
    settings.data.mkdir()
    return settings


def landed(settings: Settings, first_event: str | None, first_departure: str | None = None) -> None:
    with duckdb.connect() as con:
        con.execute("create schema landing")
        con.execute(
            "create table landing.fact_digests as select 'usage_events' as source, ?::date as fact_date", [first_event]
        )
        con.execute(
            "create table landing.lives as select 'churn' as end_kind, ?::date as active_until, ?::date as active_from",
            [first_departure, first_departure],
        )
        partitions.note_first_monday(con, settings)


def test_the_ui_offers_mondays_from_the_first_one_that_the_landed_data_tell_of_and_before_a_landing_as_many_as_marts_keep(
    settings: Settings,
) -> None:
    assert partitions.first_offered(settings) == date(2023, 11, 20)
    landed(settings, "2026-09-02")
    assert partitions.first_offered(settings) == date(2026, 9, 7)
    offered = keys.weekly(settings).get_partition_keys(current_time=settings.clock())
    assert (offered[0], offered[-1], len(offered)) == ("2026-09-07", "2026-11-16", 11)
    landed(settings, "2026-09-02", "2025-03-05")
    assert partitions.first_offered(settings) == date(2025, 3, 10)
    landed(settings, "2001-01-01")
    assert partitions.first_offered(settings) == settings.first_monday
    landed(settings, None)
    assert partitions.first_offered(settings) == MONDAY


def test_the_setting_overrules_what_was_landed(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    landed(settings, "2026-09-02")
    monkeypatch.setenv("CHURN_FIRST_MONDAY", "2020-01-06")
    assert partitions.first_offered(Settings(home=settings.home)) == date(2020, 1, 6)
    monkeypatch.setenv("CHURN_FIRST_MONDAY", "2020-01-07")
    with pytest.raises(ValueError, match="2020-01-07 is a Tuesday; write the Monday before it, 2020-01-06"):
        Settings(home=settings.home)


def test_a_note_that_cannot_be_read_is_said(settings: Settings) -> None:
    settings.first_monday_note.write_text("[]", encoding="utf-8")
    with pytest.raises(InputError, match=r"first_monday\.json cannot be read"):
        partitions.first_offered(settings)


def test_something_is_told_of_from_the_monday_after_the_first_fact_whether_or_not_a_model_may_learn_from_it() -> None:
    beginning = Beginning(usage=date(2025, 2, 3), departure=date(2024, 5, 1))
    assert beginning.first_told(MONDAY) == date(2024, 5, 6)
    assert beginning.first_told(date(2024, 5, 1)) is None, "strictly before"
    assert Beginning(None, None).first_told(MONDAY) is None


@pytest.mark.parametrize(
    "content", [DAGSTER_YAML, (REPOSITORY / "docker" / "dagster.yaml").read_text(encoding="utf-8")]
)
def test_an_instance_of_churn_and_that_of_the_stack_lack_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "dagster.yaml").write_text(content, encoding="utf-8")
    assert lacking(str(tmp_path), Settings(home=tmp_path)) is None


def test_what_an_instance_lacks_is_said_with_its_consequence_and_with_what_to_do(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    sentence = lacking(None, settings)
    assert sentence is not None
    assert sentence.startswith(
        "an instance without a dagster.yaml lacks concurrency.runs.max_concurrent_runs: 1 (runs wait"
    )
    assert f"'churn ui --home {settings.home}'" in sentence and f"DAGSTER_HOME={settings.dagster_home}" in sentence
    (tmp_path / "dagster.yaml").write_text(DAGSTER_YAML.replace("max_concurrent_runs: 1", "max_concurrent_runs: 10"))
    sentence = lacking(str(tmp_path), settings)
    assert sentence is not None and sentence.count("(") == 1 and "max_concurrent_runs: 1 (" in sentence
