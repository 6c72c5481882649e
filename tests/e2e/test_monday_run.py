"""The Monday run as the people it is for meet it: a table of whole weeks, the same answer twice, refusals that say why."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import dagster as dg
import duckdb
import psycopg
import pytest
from pydantic import SecretStr

from churn_pipeline.core.settings import Settings
from churn_pipeline.delivery.channels import CHANNELS
from churn_pipeline.orchestration.execute import run_mondays
from churn_pipeline.orchestration.keys import PUBLISHED, channel_key
from tests.conftest import MONDAY, TINY, TINY_BEFORE, TINY_MONDAY, Company
from tests.support.homes import PER_RUN, copy_of, differences, query
from tests.support.postgres import Database
from tests.support.truncation import without_usage

WEEK = timedelta(days=7)


def published(settings: Settings, sql: str) -> list[tuple]:
    return query(settings.published_database, sql)


@pytest.fixture
def copied_home(scored_home: Settings, tmp_path: Path) -> Settings:
    """A home of its own that has scored MONDAY already."""
    return copy_of(scored_home, tmp_path / "home")


def test_every_active_customer_is_scored_exactly_once(scored_home: Settings) -> None:
    active = query(
        scored_home.warehouse,
        f"""
        select customer_id from landing.customers
        where signup_date < date '{MONDAY}' and known_date < date '{MONDAY}'
          and coalesce(churn_date >= date '{MONDAY}', true) and coalesce(censor_date >= date '{MONDAY}', true)
        order by 1
        """,
    )
    scored = published(scored_home, f"select customer_id from predictions where snapshot_date = '{MONDAY}' order by 1")
    assert len(active) > 500
    assert scored == active


def test_contributions_and_bias_add_up_to_the_log_odds_of_the_probability(scored_home: Settings) -> None:
    worst, rows = query(
        scored_home.warehouse,
        """
        with summed as (
            select customer_id, target, probability,
                   bias + list_sum(list_transform(contributions, lambda c: c.contribution)) as log_odds
            from scoring.scores
        )
        select max(abs(1 / (1 + exp(-log_odds)) - probability)), count(*)
        from summed
        inner join policy.predictions using (customer_id)
        -- Who was raised has the probability of the shorter window.
        where target <> 'churn_90d' or churn_probability_90d > churn_probability_30d
        """,
    )[0]
    assert rows > 1_000
    assert worst < 1e-4


def test_the_driver_list_holds_the_five_largest_contributions_in_order(scored_home: Settings) -> None:
    wrong = query(
        scored_home.warehouse,
        """
        with expected as (
            select customer_id, list_reverse_sort(list_transform(contributions, lambda c: abs(c.contribution)))[:5] as amounts
            from scoring.scores where target = 'churn_90d'
        )
        select count(*) from expected inner join policy.predictions using (customer_id)
        where amounts <> list_transform(churn_drivers, lambda d: abs(d.contribution))
        """,
    )
    assert wrong == [(0,)]


def test_a_sentence_states_the_value_that_the_driver_holds(scored_home: Settings) -> None:
    total, wrong = published(
        scored_home,
        """
        select count(*), count(*) filter (where not contains(sentence, value) and value not in ('yes', 'no'))
        from drivers where target in ('churn_90d', 'expansion_90d')
        """,
    )[0]
    assert total > 5_000
    assert wrong == 0


def test_reasons_are_themes_of_the_risk_in_whole_sentences_with_what_each_did_since_last_monday(
    scored_home: Settings,
) -> None:
    total, reasons, without, elsewhere, unordered, unshared, unsaid, twice, changed, impossible = query(
        scored_home.warehouse,
        r"""
        with rows as (
            select *, list_transform(themes, lambda t: t.contribution) as amounts,
                list_transform(themes, lambda t: t.sentence) as sentences,
                list_sum(list_transform(change_themes, lambda c: c.points)) as change
            from scoring.scores
        )
        select count(*) filter (where target = 'churn_90d'), sum(len(themes)),
            count(*) filter (where target = 'churn_90d' and themes is null),
            count(*) filter (where target <> 'churn_90d' and (themes is not null or change_themes is not null)),
            count(*) filter (where amounts <> list_reverse_sort(amounts) or len(themes) > 3 or list_min(amounts) <= 0),
            count(*) filter (where list_sum(list_transform(themes, lambda t: t.share)) > 1 + 1e-9),
            count(*) filter (where regexp_matches(array_to_string(sentences, '; '), '[{}\\[\\]]|None|nan|unknown')),
            count(*) filter (where len(list_distinct(sentences)) < len(sentences)),
            count(*) filter (where change is not null),
            count(*) filter (where probability - change not between 0 and 1)
        from rows
        """,
    )[0]
    assert total > 1_000
    assert reasons > 2 * total
    assert changed > 0.9 * total
    assert (without, elsewhere, unordered, unshared, unsaid, twice, impossible) == (0, 0, 0, 0, 0, 0, 0)


def test_running_a_monday_again_gives_the_same_rows_and_leaves_the_others_alone(
    tiny_two_mondays: Settings, tmp_path: Path
) -> None:
    copied = copy_of(tiny_two_mondays, tmp_path / "home")
    with duckdb.connect(str(copied.warehouse)) as con:
        con.execute(
            "insert into landing.quarantine (source, row_key, kind, column_name, value, rule) "
            "select 'customers', 'k', 'cell', 'mrr', '-5', 'in range' from range(3)"
        )
    outcome = run_mondays(copied, TINY_MONDAY)
    assert outcome.exit_code == 0, outcome.reason
    comparison = differences(tiny_two_mondays.warehouse, copied.warehouse, "policy.predictions", without=PER_RUN)
    assert comparison["rows"] > 1_000
    assert (comparison["only_left"], comparison["only_right"]) == (0, 0)
    runs = "select snapshot_date, any_value(run_id), count(distinct run_id) from predictions group by 1 order by 1"
    (before, _), (before_again, again) = published(tiny_two_mondays, runs), published(copied, runs)
    assert before_again == before
    assert again == (TINY_MONDAY, outcome.run_id, 1)
    # Nothing new was landed, and what stands in quarantine is told of this Monday all the same; what else there was to say is said again.
    said = "select snapshot_date, kind, source, sentence from notices order by snapshot_date, position"
    ((day, _, _, sentence),) = set(published(copied, said)) - set(published(tiny_two_mondays, said))
    assert day == TINY_MONDAY and re.fullmatch(
        r"customers: 3 of [\d,]+ values of mrr are negative and are blank", sentence
    )
    assert set(published(tiny_two_mondays, said)) <= set(published(copied, said))


@pytest.mark.long
@pytest.mark.timeout(600)
def test_a_home_built_from_nothing_gives_the_same_rows_as_one_built_week_by_week(
    tiny_company: Company, tiny_two_mondays: Settings, home_at: Callable[..., Settings]
) -> None:
    # That one landed the files of its first Monday on it, and what was new a week later.
    fresh = home_at(tiny_company.raw, TINY_MONDAY, **TINY)
    assert run_mondays(fresh, TINY_BEFORE, TINY_MONDAY).exit_code == 0
    for relation in (
        "marts.mart_customer_churn_features",
        "marts.mart_customer_expansion_features",
        "policy.predictions",
    ):
        comparison = differences(tiny_two_mondays.warehouse, fresh.warehouse, relation, without=PER_RUN)
        assert comparison["rows"] > 1_000
        assert (comparison["only_left"], comparison["only_right"]) == (0, 0), relation


def test_the_change_since_last_monday_is_read_from_last_mondays_row(tiny_two_mondays: Settings) -> None:
    earlier, later = TINY_BEFORE, TINY_MONDAY
    rows = published(
        tiny_two_mondays,
        f"""
        select count(*), count(now.previous_risk_tier), bool_and(now.previous_risk_tier is not distinct from before.risk_tier),
               bool_and(now.probability_change is not distinct from now.churn_probability_90d - before.churn_probability_90d)
        from predictions as now left join predictions as before
            on before.customer_id = now.customer_id and before.snapshot_date = '{earlier}'
        where now.snapshot_date = '{later}'
        """,
    )[0]
    assert rows[0] > rows[1] > 0
    assert rows[2:] == (True, True)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_writing_a_monday_refreshes_what_changed_a_week_later(tiny_copy: Settings) -> None:
    assert published(tiny_copy, "select count(previous_risk_tier) from predictions") == [(0,)]
    outcome = run_mondays(tiny_copy, TINY_BEFORE - WEEK)
    assert outcome.exit_code == 0, outcome.reason
    (refreshed,) = published(
        tiny_copy, f"select count(previous_risk_tier) from predictions where snapshot_date = '{TINY_BEFORE}'"
    )[0]
    assert refreshed > 0
    file = tiny_copy.published / "predictions" / f"{TINY_BEFORE}.parquet"
    with duckdb.connect() as con:
        assert con.execute(f"select count(previous_risk_tier) from '{file}'").fetchone() == (refreshed,)


def test_nothing_that_a_home_keeps_of_its_models_is_a_pickle(scored_home: Settings) -> None:
    files = [path for path in scored_home.mlflow_home.rglob("*") if path.is_file()]
    assert any(path.suffix == ".ubj" for path in files)
    for path in files:
        assert path.suffix not in (".pkl", ".pickle", ".joblib", ".cloudpickle"), path
        # Protocols 2 to 5 begin with this byte and their number.
        assert path.read_bytes()[:2] not in [bytes((0x80, protocol)) for protocol in range(2, 6)], path


def test_the_parquet_file_of_a_monday_holds_the_rows_of_the_table(scored_home: Settings) -> None:
    file = scored_home.published / "predictions" / f"{MONDAY}.parquet"
    with duckdb.connect() as con:
        con.execute(f"attach '{scored_home.published_database}' as published (read_only)")
        assert con.execute(
            f"select count(*) from (from '{file}' except all from published.predictions)"
        ).fetchone() == (0,)
    assert not list(scored_home.published.rglob(".*"))


@pytest.mark.long
def test_a_monday_before_any_label_has_closed_has_a_list_by_base_rates_and_says_so(
    tiny_company: Company, home_at: Callable[..., Settings]
) -> None:
    settings = home_at(tiny_company.raw, tiny_company.until, **TINY)
    # Usage begins four weeks before.
    outcome = run_mondays(settings, date(2025, 5, 12))
    assert outcome.exit_code == 0, outcome.reason
    ((customers, least, most, called),) = query(
        settings.published_database,
        "select count(*), min(churn_probability_90d), max(churn_probability_90d), count(*) filter (where is_on_call_list) from predictions",
    )
    assert customers > 50
    assert 0 < least <= most < 0.5
    assert called > 0
    kinds = query(
        settings.warehouse, "select target, metrics ->> 'kind' from ledger.promotions where promoted order by 1"
    )
    assert dict(kinds)["churn_90d"] == "base_rate"


@pytest.mark.long
def test_in_a_range_the_bad_monday_stays_out_and_the_others_are_published(
    company: Company, copied_home: Settings, tmp_path: Path, database: Database
) -> None:
    # The feed dies after Monday's events, for two weeks: a week later the newest event is seven days old, two weeks later fourteen.
    gap_end = MONDAY + 2 * WEEK
    raw = without_usage(company.raw, tmp_path / "raw", MONDAY + timedelta(days=1), gap_end)
    settings = copied_home.model_copy(update={"raw": raw, "publish_url": SecretStr(database.url)})
    outcome = run_mondays(settings, MONDAY, MONDAY + 3 * WEEK)
    assert outcome.exit_code == 2
    (refused,) = [row for row in outcome.mondays if row.status == "refused"]
    assert outcome.reason == f"{gap_end}: {refused.reason}"
    assert "usage_events" in outcome.reason
    weeks = published(settings, "select distinct snapshot_date from predictions order by 1")
    assert weeks == [(MONDAY,), (MONDAY + WEEK,), (MONDAY + 3 * WEEK,)]
    # PostgreSQL and the report do not wait for a publication without a flaw.
    with psycopg.connect(database.url) as con:
        assert con.execute("select distinct snapshot_date from churn.predictions order by 1").fetchall() == weeks
    pages = {path.stem for path in (settings.published / "report").glob("2*.html")}
    assert {str(MONDAY + WEEK), str(MONDAY + 3 * WEEK)} <= pages
    assert str(gap_end) not in pages
    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        for key in (PUBLISHED, *map(channel_key, CHANNELS)):
            assert instance.get_materialized_partitions(key) == {str(day) for (day,) in weeks}, key
