"""A Monday whose mean probability is off: refused, accepted, or told in one sentence with drift."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import dagster as dg
import duckdb
import pytest

from churn_pipeline.core.settings import Settings
from churn_pipeline.core.targets import TARGETS, Target
from churn_pipeline.monitoring import drift
from churn_pipeline.monitoring.drift import DriftReport
from churn_pipeline.orchestration import keys
from churn_pipeline.orchestration.assets import monitoring
from churn_pipeline.orchestration.assets.landing import ACCEPTED_BY_TAG
from churn_pipeline.orchestration.assets.scores import ACCEPT_LEVEL_TAG, scores
from churn_pipeline.orchestration.home import Home
from churn_pipeline.scoring import level
from churn_pipeline.scoring.level import Rates, WeekRate
from tests.conftest import TINY_BEFORE
from tests.support.homes import query

CHURN = sorted(target.name for target in TARGETS.values() if target.event == "churn")


def in_a_year_left(monkeypatch: pytest.MonkeyPatch, share: float) -> None:
    """Makes the closed year one in which that share of every Monday's customers left."""

    def rates(_: duckdb.DuckDBPyConnection, target: Target, snapshot_date: date) -> Rates:
        return Rates(target, (WeekRate(target.newest_closed(snapshot_date), 1_000_000, round(1_000_000 * share)),), 500)

    monkeypatch.setattr(level, "closed_rates", rates)


def run(settings: Settings, *more: dg.AssetsDefinition, **tags: str) -> dg.ExecuteInProcessResult:
    weekly = keys.weekly(settings)
    return dg.materialize(
        [scores([], weekly), *more],
        partition_key=TINY_BEFORE.isoformat(),
        resources={"home": Home(settings, None)},  # type: ignore[arg-type]
        tags=tags,
        raise_on_error=False,
    )


def reason_of(result: dg.ExecuteInProcessResult) -> str:
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    return str(failure.step_failure_data.user_failure_data.description)  # type: ignore[union-attr]


def test_an_impossible_mean_keeps_the_monday_back_until_somebody_accepts_it_for_these_models(
    tiny_copy: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_a_year_left(monkeypatch, 0.99)
    scored = "select count(*), sum(hash(scores)), (select list(run_id order by target) from scoring.levels) from scoring.scores"
    before = query(tiny_copy.warehouse, scored)

    refused = run(tiny_copy)
    assert not refused.success
    reason = reason_of(refused)
    assert all(f"{target}: probabilities average " in reason for target in CHURN)
    assert f"churn run --week {TINY_BEFORE} --accept-level REASON" in reason
    of_run = "select status, exit_code from ledger.runs where run_id = '{}'"
    assert query(tiny_copy.warehouse, of_run.format(refused.run_id)) == [("refused", 3)]
    assert query(tiny_copy.warehouse, "select count(*) from scoring.scored_mondays") == [(0,)]
    assert query(tiny_copy.warehouse, scored) == before

    accepted = run(tiny_copy, **{ACCEPT_LEVEL_TAG: "half the book was sold", ACCEPTED_BY_TAG: "Ada"})
    assert accepted.success
    rows = "select target, reason, who, run_id from ledger.accepted_levels order by target"
    words = [(target, "half the book was sold", "Ada", accepted.run_id) for target in CHURN]
    assert query(tiny_copy.warehouse, rows) == words
    told = query(tiny_copy.warehouse, "select sentence from control.notices where kind = 'level' order by source")
    assert [sentence.split("; ")[-1] for (sentence,) in told] == ["accepted by Ada (half the book was sold)"] * 2

    assert run(tiny_copy).success
    assert query(tiny_copy.warehouse, rows) == words
    with duckdb.connect(str(tiny_copy.warehouse)) as con:
        con.execute("update ledger.accepted_levels set model_version = 'another' where target = 'churn_90d'")
    reason = reason_of(run(tiny_copy))
    assert "churn_90d: probabilities" in reason and "churn_30d: probabilities" not in reason


def test_where_drift_says_act_too_the_list_has_one_sentence_about_both(
    tiny_copy: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    means = dict(
        query(
            tiny_copy.warehouse,
            "select target, avg(probability) from scoring.scores where target like 'churn%' group by 1",
        )
    )
    in_a_year_left(monkeypatch, means["churn_90d"] / 3)
    at_ease = drift.assess

    def act(*arguments: Any) -> DriftReport:
        return replace(at_ease(*arguments), verdict="act", reasons=("Events in the last 7 days: PSI 0.3, limit 0.1",))

    notices = "select source, sentence from control.notices where kind = 'level' order by position"
    assert run(tiny_copy).success
    assert "churn_90d" in {source for source, _ in query(tiny_copy.warehouse, notices)}
    monkeypatch.setattr(drift, "assess", act)
    assert run(tiny_copy, monitoring.drift_asset(keys.weekly(tiny_copy))).success
    ((_, sentence),) = query(tiny_copy.warehouse, notices)
    assert (
        sentence.startswith("drift and level say together that the book changed: ") and "churn_90d averages" in sentence
    )
