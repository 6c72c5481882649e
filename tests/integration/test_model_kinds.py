"""A Monday whose churn models know nothing but how long somebody has been a customer: what rows, lists and readers are told."""

from __future__ import annotations

import re
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest

from churn_pipeline.cli import output
from churn_pipeline.core.model_kinds import KINDS
from churn_pipeline.core.ranked_by import ranked_by
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.targets import TARGETS, target_of
from churn_pipeline.delivery.digest_query import digest_from
from churn_pipeline.delivery.report.write import page_of
from churn_pipeline.delivery.slack.blocks import digest_message
from churn_pipeline.features.catalogue import read_catalogue
from churn_pipeline.modeling import store
from churn_pipeline.modeling.ledger import LedgerRow
from churn_pipeline.modeling.model import Explained, ScoringModel
from churn_pipeline.modeling.store import ModelStore
from churn_pipeline.orchestration.execute import Outcome, run_mondays
from tests.conftest import TINY_BEFORE
from tests.support.homes import copy_of, query

RUNG = "7 of 20 departures needed are known"
LINE = ranked_by({"churn_30d": "base_rate", "churn_90d": "base_rate"}, {"churn_90d": RUNG})
# Log-odds of a customer of eight months.
LEVEL = {"churn_30d": -3.0, "churn_90d": -2.0}


class KnowsTenureAlone:
    """Says that the younger leave the more; stands in for the model in force."""

    kind = "base_rate"

    def __init__(self, model: ScoringModel, settings: Settings) -> None:
        self._model = model
        features = read_catalogue(settings.dbt_project / "models" / "marts" / f"{model.target.mart}.yml")
        self.catalogue = features.without([name for name in features.names if name != "tenure_days"])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def contributions(self, frame: pd.DataFrame) -> tuple[np.ndarray, float]:
        tenure = frame["tenure_days"].to_numpy(dtype=np.float64)
        return 0.4 * (5.5 - np.log1p(tenure))[:, None], LEVEL[self.target.name]

    def probability(self, frame: pd.DataFrame) -> np.ndarray:
        contributions, bias = self.contributions(frame)
        return 1 / (1 + np.exp(-(bias + contributions.sum(axis=1))))

    def explain(self, frame: pd.DataFrame) -> Explained:
        return Explained(self.probability(frame), *self.contributions(frame), ())


class Store(ModelStore):
    def load(self, row: LedgerRow) -> Any:
        model = super().load(row)
        return KnowsTenureAlone(model, self.settings) if row.target in LEVEL else model


@pytest.fixture(scope="module")
def run(tiny_home: Settings, tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Outcome]:
    settings = copy_of(tiny_home, tmp_path_factory.mktemp("kinds") / "home")
    with duckdb.connect(str(settings.warehouse)) as con:
        con.execute(
            "update ledger.promotions set metrics = json_merge_patch(metrics, json_object('kind', 'base_rate', 'next_rung', ?)) "
            "where target in (select unnest(?::varchar[]))",
            [RUNG, list(LEVEL)],
        )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "ModelStore", Store)
        return settings, run_mondays(settings, TINY_BEFORE)


@pytest.fixture
def settings(run: tuple[Settings, Outcome]) -> Settings:
    return run[0]


def rows(settings: Settings, columns: str, where: str = "true") -> list[tuple]:
    return query(settings.published_database, f"select {columns} from predictions where {where} order by all")


def test_the_list_comes_out_and_every_row_says_what_its_models_are(run: tuple[Settings, Outcome]) -> None:
    settings, outcome = run
    assert outcome.exit_code == 0, outcome.reason
    columns = ", ".join(target.kind_column for target in TARGETS.values())
    ((flag, risk, expansion),) = rows(settings, f"distinct {columns}")
    assert (flag, risk) == ("base_rate", "base_rate")
    assert expansion in KINDS
    file = settings.published / "predictions" / f"{TINY_BEFORE}.parquet"
    assert duckdb.sql(f"select distinct {columns} from '{file}'").fetchall() == [(flag, risk, expansion)]


def test_it_is_a_notice_of_that_monday_and_the_first_one(settings: Settings) -> None:
    notices = query(
        settings.published_database, "select snapshot_date, kind, source, sentence from notices order by position"
    )
    assert notices[0] == (TINY_BEFORE, "ranking", target_of("risk").name, LINE)
    assert [kind for _, kind, *_ in notices].count("ranking") == 1


def test_no_paying_customer_is_too_unlikely_to_leave_for_a_call_and_money_ranks_them(settings: Settings) -> None:
    paying = rows(
        settings,
        "is_on_call_list, churn_probability_90d, revenue_at_risk, lifecycle",
        "annual_revenue > 0 and snoozed_until is null and resting_until is null and not is_holdout",
    )
    mean = sum(probability for _, probability, *_ in paying) / len(paying)
    least = min(revenue for called, _, revenue, _ in paying if called)
    assert all(called == (revenue >= least) for called, _, revenue, _ in paying)
    assert sum(called and probability < min(mean, 0.15) and where == "steady" for called, probability, _, where in paying) > 20  # fmt: skip


def test_what_is_said_of_a_customer_is_about_how_long_they_have_been_one_and_nothing_else(settings: Settings) -> None:
    told = rows(
        settings,
        "list_transform(churn_themes, lambda theme: theme.theme), list_transform(talking_points, lambda point: point.theme), "
        "list_transform(churn_themes, lambda theme: theme.sentence), lifecycle, recommended_action",
        "is_on_call_list",
    )
    assert len(told) > 100
    assert {tuple(themes) for themes, *_ in told} == {(), ("lifecycle",)}
    assert all(points == themes for themes, points, *_ in told)
    assert all(
        re.search(r"signed up|since signup|Customer for", sentence)
        for *_, sentences, _, _ in told
        for sentence in sentences
    )
    steady = {bool(themes): set() for themes, *_ in told}
    for themes, _, _, lifecycle, action in told:
        if lifecycle == "steady":
            steady[bool(themes)].add(action)
    # With nothing that raises the risk there is no main reason to go through; the call is to find out.
    assert all("the reasons that our data do not show" in action for action in steady[False])
    assert any("what they want to reach with the product this year" in action for action in steady[True])
    assert not [action for actions in steady.values() for action in actions if re.search("main reason|usage", action)]


def test_the_first_line_says_so_in_the_terminal_in_slack_and_on_the_report(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    output.print_run(output.run_summary(settings, TINY_BEFORE, 10))
    printed = capsys.readouterr().out
    assert [line.rstrip() for line in printed.splitlines() if line][1] == LINE
    # The kind stands once for each of the two models.
    assert printed.count("base rate") == 2
    with duckdb.connect(str(settings.published_database), read_only=True) as con:
        digest = digest_from(con, TINY_BEFORE)
    message = digest_message(digest, threaded=False)
    assert LINE in str(message.blocks[1])
    assert str(message.blocks).count(RUNG) == 1
    assert (digest.health[0].target, digest.health[0].kind) == ("churn_90d", "base_rate")
    page = page_of(settings, TINY_BEFORE).read_text(encoding="utf-8")
    assert page.count(str(LINE)) == 1
    assert page.index(str(LINE)) < page.index('id="calls"')
    assert page.count(", base rate, labels up to") == 2
