"""A replay says of every week what would have been known then, wherever it begins and in whatever order."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from churn_pipeline.cli.output import rescored_weeks
from churn_pipeline.cli.run import decide_model, report_replay
from churn_pipeline.core.errors import InputError, RefusedError
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.targets import TARGETS
from churn_pipeline.core.warehouse import connect
from churn_pipeline.features import verdicts
from churn_pipeline.features.verdicts import MondayCheck
from churn_pipeline.orchestration.assets.features import Translator, dbt_stage, nodes_of
from churn_pipeline.orchestration.dbt import InProcessDbt
from churn_pipeline.orchestration.definitions import JOB, build_defs
from churn_pipeline.orchestration.execute import rescore_mondays, run_mondays, train_monday
from churn_pipeline.orchestration.failures import problems
from churn_pipeline.orchestration.home import home_resource
from churn_pipeline.orchestration.keys import RESCORED_COPY, weekly
from tests.conftest import TINY, TINY_BEFORE, TINY_MONDAY, Company
from tests.support.homes import PER_RUN, at_noon_of, copy_of, differences, query

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

WEEK = timedelta(days=7)
PREDICTIONS = dg.AssetKey(["policy", "predictions"])
NOON = datetime(2026, 6, 8, 12)
# Version numbers count registrations, so they say in which order models were made. Which model it was is compared by its training Monday.
VERSIONS = ("churn_30d_model_version", "churn_90d_model_version", "expansion_model_version")

# They compare with the list of the Monday before.
CHANGES = ("previous_risk_tier", "probability_change", "change_parts", "model_changed")


def replayed(home_at: Callable[..., Settings], company: Company, *ranges: tuple[date, date]) -> Settings:
    settings = home_at(company.raw, company.until, **TINY)
    for first, last in ranges:
        outcome = run_mondays(settings, first, last)
        assert outcome.exit_code == 0, outcome.reason
    return settings


def trained_on(settings: Settings) -> list[tuple]:
    """For each published Monday and target the training Monday of the model that scored it."""
    return query(
        settings.warehouse,
        """
        select distinct snapshot_date, made.target, made.labels_closed_by
        from (unpivot (select distinct snapshot_date, churn_30d_model_version as churn_30d, churn_90d_model_version as churn_90d,
                              expansion_model_version as expansion_90d from policy.predictions)
              on churn_30d, churn_90d, expansion_90d into name target value version) as used
        inner join ledger.promotions as made using (target, version) order by all
        """,
    )


def stored_gate_verdicts(settings: Settings) -> dict[tuple, tuple]:
    rows = query(
        settings.warehouse,
        "select target, labels_closed_by, promoted, reason, metrics->>'model_sha256' from ledger.promotions",
    )
    return {row[:2]: row[2:] for row in rows}


@pytest.mark.nightly
def test_overlapping_replays_in_any_order_give_the_same_rows_from_the_same_models(
    tiny_company: Company, home_at: Callable[..., Settings]
) -> None:
    early = (TINY_MONDAY - 6 * WEEK, TINY_MONDAY - 2 * WEEK)
    late = (TINY_MONDAY - 3 * WEEK, TINY_MONDAY)
    forwards = replayed(home_at, tiny_company, early, late)
    backwards = replayed(home_at, tiny_company, late, early)
    for relation in ("policy.predictions", "marts.mart_customer_churn_features"):
        comparison = differences(forwards.warehouse, backwards.warehouse, relation, without=(*PER_RUN, *VERSIONS))
        assert comparison["rows"] > 500
        assert (comparison["only_left"], comparison["only_right"]) == (0, 0), relation
    assert trained_on(forwards) == trained_on(backwards)
    ours, theirs = stored_gate_verdicts(forwards), stored_gate_verdicts(backwards)
    both = ours.keys() & theirs.keys()
    assert len(both) >= 6
    assert {key: ours[key] for key in both} == {key: theirs[key] for key in both}
    for home in (forwards, backwards):
        trained = query(home.warehouse, "select target, labels_closed_by, count(*) from ledger.promotions group by all")
        assert {count for *_, count in trained} == {1}, "a registered model was trained again"
    # What only one of them has are trainings that a refusal led to, or the other made because its first Monday needed them.
    assert {key[1] for key in both} >= {date(2026, 4, 13), date(2026, 5, 11), date(2026, 6, 8)}


def test_where_a_replay_begins_only_what_changed_since_the_week_before_is_unknown(
    replayed_home: Settings, home_at: Callable[..., Settings]
) -> None:
    # At the same hour and from the same files: an opportunity that is closed tomorrow has no day of closing yet.
    part = home_at(replayed_home.raw_dir, TINY_MONDAY, **TINY)
    assert run_mondays(part, TINY_MONDAY).exit_code == 0
    there = f"snapshot_date = '{TINY_MONDAY}'"
    same = differences(
        replayed_home.warehouse,
        part.warehouse,
        "policy.predictions",
        there,
        without=(*PER_RUN, *VERSIONS, *CHANGES),
    )
    assert same["rows"] > 200
    assert (same["only_left"], same["only_right"]) == (0, 0)
    changes = " and ".join(f"{column} is {{}} null" for column in CHANGES)
    for home, known in ((part, ""), (replayed_home, "not")):
        rows = query(
            home.warehouse,
            f"select count(*) filter (where {changes.format(*[known] * len(CHANGES))}), count(*) "
            f"from policy.predictions where {there}",
        )
        assert rows[0][0] > 0.9 * rows[0][1], home
    assert query(
        part.warehouse, f"select count(*) from policy.predictions where {there} and probability_change is not null"
    ) == [(0,)]


@pytest.fixture(scope="module")
def replayed_home(tiny_two_mondays: Settings) -> Settings:
    """A home that has scored TINY_BEFORE and TINY_MONDAY, with a training before each."""
    return tiny_two_mondays


def tables(database: Path) -> dict[str, str]:
    """A digest of every table, by name."""
    with duckdb.connect(str(database), read_only=True) as con:
        names = con.execute(
            "select schema_name || '.' || table_name from duckdb_tables() where not temporary"
        ).fetchall()
        return {
            name: str(con.execute(f"select count(*), bit_xor(hash(t::varchar)) from {name} as t").fetchone())
            for (name,) in names
        }


def files(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_scoring_again_with_another_model_goes_beside_and_touches_nothing_else(
    replayed_home: Settings, tmp_path: Path
) -> None:
    settings = copy_of(replayed_home, tmp_path / "home")
    before, published = tables(settings.warehouse), files(settings.published)
    outcome = rescore_mondays(settings, TINY_BEFORE, TINY_MONDAY, "churn_30d=2,churn_90d=1")
    assert outcome.exit_code == 0, outcome.reason
    after = tables(settings.warehouse)
    changed = {name for name in after if before.get(name) != after[name]}
    made = {"policy.predictions_rescored", "scoring.rescores"}
    # Notes of a run to itself, and the candidates made of them. Whoever goes on with another run is refused by the first of them.
    notes = {
        "control.notes",
        "scoring.scored_mondays",
        "scoring.approved_mondays",
        "policy.prediction_candidates",
    }
    # What a test of dbt found, which is nothing, is a table too.
    found = {"failures.predictions_rescored_one_row_per_customer_and_monday"}
    assert changed == made | notes | found
    assert {
        name: digest for name, digest in files(settings.published).items() if name != "rescored.duckdb"
    } == published
    rows = query(
        settings.rescored_database,
        """
        select snapshot_date, count(*) > 0, any_value(churn_30d_model_version), any_value(churn_90d_model_version),
               any_value(scoring_mode), bool_and(is_in_sample) from predictions_rescored group by 1 order by 1
        """,
    )
    assert rows == [(TINY_BEFORE, True, "2", "1", "rescored", True), (TINY_MONDAY, True, "2", "1", "rescored", False)]
    # The next run of the Monday gives the same rows as if nothing had happened.
    assert run_mondays(settings, TINY_MONDAY).exit_code == 0
    comparison = differences(replayed_home.warehouse, settings.warehouse, "policy.predictions", without=PER_RUN)
    assert (comparison["only_left"], comparison["only_right"]) == (0, 0)


def test_scoring_again_with_a_model_or_a_week_that_is_not_there_is_refused_by_name(replayed_home: Settings) -> None:
    unknown = rescore_mondays(replayed_home, TINY_MONDAY, TINY_MONDAY, "99")
    assert unknown.exit_code == 2
    assert "has no version 99; the ledger knows 1, 2" in unknown.reason
    unbuilt = rescore_mondays(replayed_home, TINY_MONDAY + WEEK, TINY_MONDAY + WEEK, "champion")
    assert unbuilt.exit_code == 3
    assert f"features of {TINY_MONDAY + WEEK} are missing or out of date; run 'churn backfill'" in unbuilt.reason


def test_after_scoring_again_the_predictions_cannot_be_made_of_what_was_scored_again(
    replayed_home: Settings, tmp_path: Path
) -> None:
    settings = copy_of(replayed_home, tmp_path / "home")
    assert rescore_mondays(settings, TINY_BEFORE, TINY_MONDAY, "churn_30d=2,churn_90d=1").exit_code == 0
    before = tables(settings.warehouse)
    with dg.DagsterInstance.ephemeral() as instance:
        result = (
            build_defs(settings)
            .resolve_job_def(JOB)
            .execute_in_process(
                partition_key=str(TINY_MONDAY), asset_selection=[PREDICTIONS], instance=instance, raise_on_error=False
            )
        )
    assert "Run the Monday again from the start" in str(problems(result.all_events))
    assert tables(settings.warehouse) == before


@pytest.mark.nightly
def test_the_sql_of_the_predictions_leaves_mondays_alone_that_were_scored_again(
    replayed_home: Settings, tmp_path: Path
) -> None:
    """As with the dbt command line, which asks nobody whose the candidates are."""
    settings = copy_of(replayed_home, tmp_path / "home")
    assert rescore_mondays(settings, TINY_BEFORE, TINY_MONDAY, "churn_30d=2,churn_90d=1").exit_code == 0
    before = tables(settings.warehouse)
    dbt = InProcessDbt(settings)
    stage = dbt_stage(
        "dbt_predictions", nodes_of(dbt.manifest, models=["predictions"]), dbt.manifest, Translator(), weekly(settings)
    )
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize(
            [stage], resources={"home": home_resource(settings, dbt)}, partition_key=str(TINY_MONDAY), instance=instance
        )
    assert result.success
    assert tables(settings.warehouse) == before


def test_scoring_again_judges_each_monday_by_itself_and_names_those_that_stay_out(
    replayed_home: Settings, tmp_path: Path
) -> None:
    settings = copy_of(replayed_home, tmp_path / "home")
    never_scored, bad = TINY_BEFORE - 2 * WEEK, TINY_BEFORE - WEEK
    with connect(settings) as con:
        verdicts.store(
            con, "features", [MondayCheck(bad, "usage_events_are_fresh", False, "it stopped")], run_id="r", now=NOON
        )
        # A late row of the last week changes what TINY_MONDAY would be built from.
        con.execute("update landing.fact_digests set digest = digest + 1 where fact_date = ?", [TINY_BEFORE])
    outcome = rescore_mondays(settings, never_scored, TINY_MONDAY, "champion")
    assert outcome.exit_code == 3
    assert outcome.reason == (
        f"{bad}: usage_events_are_fresh: it stopped; "
        f"{TINY_MONDAY}: the features of {TINY_MONDAY} are missing or out of date; run 'churn backfill' for it first"
    )
    weeks = rescored_weeks(settings, outcome.run_id, outcome.mondays)
    assert [(week["snapshot_date"], week["status"], "customers" in week) for week in weeks] == [
        (never_scored, "rescored", True),
        (bad, "refused", False),
        (TINY_BEFORE, "rescored", True),
        (TINY_MONDAY, "refused", False),
    ]
    assert [row.exit_code for row in outcome.mondays] == [2, 3]
    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        assert instance.get_materialized_partitions(RESCORED_COPY) == {str(never_scored), str(TINY_BEFORE)}


def test_a_monday_that_fails_its_audit_when_scored_again_keeps_its_published_verdict(
    replayed_home: Settings, tmp_path: Path
) -> None:
    settings = copy_of(replayed_home, tmp_path / "home")
    with connect(settings) as con:
        # Somebody new on TINY_MONDAY, whom the candidates then lack.
        con.execute(
            """
            delete from landing.customers where customer_id = (
                select min(customer_id) from policy.predictions where snapshot_date = ? and previous_risk_tier is null
            )
            """,
            [TINY_MONDAY],
        )
    before = tables(settings.warehouse)
    outcome = rescore_mondays(settings, TINY_BEFORE, TINY_MONDAY, "champion")
    assert (outcome.exit_code, [row.snapshot_date for row in outcome.mondays]) == (1, [TINY_MONDAY])
    assert "predictions_every_scored_customer_and_nobody_else: 1 rows fail" in outcome.reason
    after = tables(settings.warehouse)
    for name in ("control.monday_checks", "ledger.runs", "policy.predictions"):
        assert after[name] == before[name]
    rows = query(settings.rescored_database, "select distinct snapshot_date from predictions_rescored")
    assert rows == [(TINY_BEFORE,)]


def in_force(settings: Settings, week: date) -> tuple:
    return query(
        settings.published_database,
        f"select distinct churn_30d_model_version, churn_90d_model_version from predictions where snapshot_date = '{week}'",
    )[0]


def test_a_rollback_is_used_by_the_next_run_and_leaves_earlier_weeks_as_they_were(
    replayed_home: Settings, tmp_path: Path
) -> None:
    settings = copy_of(replayed_home, tmp_path / "home")
    version, other = in_force(settings, TINY_MONDAY)
    assert version == "2"
    earlier = query(
        settings.published_database, f"from predictions where snapshot_date = '{TINY_BEFORE}' order by customer_id"
    )
    row, notice = decide_model(settings, "churn_30d", None, decision="rollback", reason="too many alarms", who="ana")
    assert (row.version, row.effective_from, notice) == ("1", TINY_MONDAY, None)
    outcome = run_mondays(settings, TINY_MONDAY)
    assert outcome.exit_code == 0, outcome.reason
    assert in_force(settings, TINY_MONDAY) == ("1", other)
    assert earlier == query(
        settings.published_database, f"from predictions where snapshot_date = '{TINY_BEFORE}' order by customer_id"
    )
    ledger = query(
        settings.published_database,
        "select version, who, reason, metrics->>'decision', metrics->>'instead_of' from promotions where target = 'churn_30d' order by seq",
    )
    assert ledger[-1] == ("1", "ana", "too many alarms", "rollback", "2")
    # And forwards again.
    decide_model(settings, "churn_30d", "2", decision="promote", reason="it was the feed", who="ana")
    assert run_mondays(settings, TINY_MONDAY).exit_code == 0
    comparison = differences(replayed_home.warehouse, settings.warehouse, "policy.predictions", without=PER_RUN)
    assert (comparison["only_left"], comparison["only_right"]) == (0, 0)


@pytest.fixture(scope="module")
def two_models(tiny_home: Settings, tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, str]:
    """A home with a training before TINY_BEFORE and one before that, TINY_MONDAY's still to come; the version of the older 30-day one."""
    settings = copy_of(tiny_home, tmp_path_factory.mktemp("two") / "home")
    outcome = run_mondays(settings, TINY_MONDAY - 6 * WEEK)
    assert outcome.exit_code == 0, outcome.reason
    ((version,),) = query(
        settings.warehouse,
        f"select version from ledger.promotions where target = 'churn_30d' and labels_closed_by = '{TINY_MONDAY - 8 * WEEK}'",
    )
    return settings, version


@pytest.mark.nightly
def test_on_a_training_monday_a_decision_stands_whether_it_is_made_before_the_run_or_after_it(
    two_models: tuple[Settings, str], tmp_path: Path
) -> None:
    home, older = two_models
    before, after = (copy_of(home, tmp_path / name) for name in ("before", "after"))
    messages: list[str] = []
    assert run_mondays(after, TINY_MONDAY).exit_code == 0
    for settings in (before, after):
        decide_model(settings, "churn_30d", older, decision="rollback", reason="too many alarms", who="ana")
        assert run_mondays(settings, TINY_MONDAY, progress=messages.append).exit_code == 0
        assert in_force(settings, TINY_MONDAY)[0] == older
    assert f"version {older} is in force from {TINY_MONDAY} on nevertheless, because ana decided so" in "".join(
        messages
    )
    comparison = differences(before.warehouse, after.warehouse, "policy.predictions", without=PER_RUN)
    assert (comparison["only_left"], comparison["only_right"]) == (0, 0)
    # The training was made and judged against the same model.
    ours, theirs = stored_gate_verdicts(before), stored_gate_verdicts(after)
    assert ours == theirs
    assert ("churn_30d", TINY_MONDAY) in ours
    # It holds for the weeks after, and a replay of an earlier one knows nothing of it.
    next_week = at_noon_of(before, TINY_MONDAY + WEEK)
    assert run_mondays(next_week, TINY_BEFORE, TINY_MONDAY + WEEK).exit_code == 0
    assert [in_force(before, TINY_MONDAY + n * WEEK)[0] == older for n in (-1, 0, 1)] == [False, True, True]


def test_after_a_decision_of_an_earlier_monday_the_next_training_takes_its_turn(
    two_models: tuple[Settings, str], tmp_path: Path
) -> None:
    """It was made by the same recipe as the version that a person put in force, and has seen more."""
    home, older = two_models
    settings = copy_of(home, tmp_path / "home")
    earlier = at_noon_of(settings, TINY_BEFORE)
    decide_model(earlier, "churn_30d", older, decision="rollback", reason="too many alarms", who="ana")
    assert run_mondays(settings, TINY_MONDAY).exit_code == 0
    promoted, reason, *_ = stored_gate_verdicts(settings)["churn_30d", TINY_MONDAY]
    assert promoted and "the recipe that served so far" not in reason
    assert in_force(settings, TINY_MONDAY)[0] != older


def test_a_training_that_is_made_again_after_the_features_changed_learns_from_the_same_weeks(
    replayed_home: Settings, tmp_path: Path
) -> None:
    """Marts of another version are built from scratch, and for a Monday after the training's they would begin later."""
    settings = at_noon_of(copy_of(replayed_home, tmp_path / "home"), TINY_MONDAY + WEEK)
    with duckdb.connect(str(settings.warehouse)) as con:
        con.execute("update control.code set version = 'another'")
    outcome, rows = train_monday(settings, TINY_MONDAY + WEEK, "ana")
    assert outcome.exit_code == 0, outcome.reason
    expected = stored_gate_verdicts(replayed_home)
    assert len(rows) == len(TARGETS)
    for row in rows:
        assert (row["promoted"], row["reason"], row["metrics"]["model_sha256"]) == expected[row["target"], TINY_MONDAY]


def test_a_decision_about_a_model_needs_a_reason_a_version_and_something_to_change(replayed_home: Settings) -> None:
    def decided(target: str, version: str | None, reason: str = "because") -> None:
        decide_model(replayed_home, target, version, decision="rollback", reason=reason, who="ana")

    with pytest.raises(InputError, match="say why"):
        decided("churn_30d", "1", " ")
    with pytest.raises(InputError, match="churn_30d has no version 7; the ledger knows 1, 2"):
        decided("churn_30d", "7")
    with pytest.raises(InputError, match="'churn' is no target"):
        decided("churn", "1")
    with pytest.raises(RefusedError, match="version 2 is in force already"):
        decided("churn_30d", "2")


def test_the_replay_report_judges_what_is_closed_and_names_what_is_not(replayed_home: Settings, tmp_path: Path) -> None:
    report, page = report_replay(replayed_home, TINY_BEFORE - WEEK, TINY_MONDAY, capacity=50, folder=tmp_path)
    assert [week.snapshot_date for week in report.weeks] == [TINY_BEFORE - WEEK, TINY_BEFORE, TINY_MONDAY]
    assert report.judged == ()
    assert "not scored" in report.rows()[0]["remark"]
    assert "open until" in report.rows()[1]["remark"]
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_every_target_has_a_ledger_and_a_copy_of_its_models(replayed_home: Settings) -> None:
    for target in TARGETS:
        versions = query(
            replayed_home.warehouse,
            f"select version from ledger.promotions where target = '{target}' and version is not null",
        )
        assert versions
        for (version,) in versions:
            assert (replayed_home.models / target / version / "checksums.json").is_file()
