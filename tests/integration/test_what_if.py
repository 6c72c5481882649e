"""``churn predict``: what is published of a customer, and what the models of that Monday say with other values."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from churn_pipeline.core.errors import InputError, RefusedError
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.targets import target_of
from churn_pipeline.customers.stores.models import Models
from churn_pipeline.customers.stores.published import Publication, PublishedMonday
from churn_pipeline.customers.stores.rows import churn_targets
from churn_pipeline.features.frames import scoring_frame
from churn_pipeline.modeling.model import ScoringModel
from tests.conftest import MONDAY
from tests.support.homes import query
from tests.support.processes import churn

# More activity, no renewal ahead, another plan, and a share as people write it.
CHANGES = {"events_last_30d": "140", "days_to_renewal": "null", "plan_tier": "starter", "avg_adoption_score": "35 %"}
SET = {"events_last_30d": 140, "days_to_renewal": np.nan, "plan_tier": "starter", "avg_adoption_score": 0.35}


@pytest.fixture(scope="module")
def publication(scored_home: Settings) -> Iterator[Publication]:
    with Publication.open(scored_home) as opened:
        yield opened


@pytest.fixture(scope="module")
def monday(publication: Publication) -> PublishedMonday:
    return publication.at()


@pytest.fixture(scope="module")
def models(publication: Publication) -> Models:
    return Models(publication)


@pytest.fixture(scope="module")
def frame(scored_home: Settings) -> pd.DataFrame:
    """What scoring read from the mart of the risk model."""
    with duckdb.connect(str(scored_home.warehouse), read_only=True) as con:
        return scoring_frame(con, target_of("risk"), MONDAY)


@pytest.fixture
def copy(scored_home: Settings, tmp_path: Path) -> Settings:
    """A home with what is published and with the copies of the models, and nothing else."""
    copied = Settings(home=tmp_path)
    copied.published.mkdir(parents=True)
    shutil.copyfile(scored_home.published_database, copied.published_database)
    shutil.copytree(scored_home.models, copied.models)
    return copied


def test_with_the_same_value_nothing_changes_and_the_published_probability_comes_out_to_the_bit(
    monday: PublishedMonday, models: Models
) -> None:
    rows = monday.rows()
    for row in rows[:: len(rows) // 30]:
        same = monday.week(row.customer_id)["events_last_30d"]
        answer = models.what_if(monday, row.customer_id, {"events_last_30d": same})
        published = monday.churn(row.customer_id)
        assert [(score.before, score.after) for score in answer.scores] == [
            (score.probability, score.probability) for score in published.scores
        ]
        assert all(score.parts == () for score in answer.scores)
        assert answer.risk_tier == answer.new_risk_tier == published.risk_tier


def test_the_answer_is_what_scoring_everybody_with_these_values_gives_to_the_bit(
    scored_home: Settings, monday: PublishedMonday, models: Models, frame: pd.DataFrame
) -> None:
    changed = frame.assign(**SET)
    own = {
        target: ScoringModel.load(scored_home.models / target.name / "1").probability(changed)
        for target in churn_targets()
    }
    for position in range(0, len(frame), len(frame) // 20):
        answer = models.what_if(monday, frame["customer_id"][position], CHANGES)
        for score, target in zip(answer.scores, churn_targets(), strict=True):
            shorter = [other for other in own if other.horizon_days <= target.horizon_days]
            assert score.after == max(own[other][position] for other in shorter)
            assert sum(part.points for part in score.parts) == pytest.approx(score.change, abs=1e-4)


def test_expansion_and_a_feature_that_only_its_model_knows_are_asked_by_the_target(
    monday: PublishedMonday, models: Models
) -> None:
    growth = target_of("expansion")
    row = next(row for row in monday.rows() if row.propensity is not None)
    answer = models.what_if(monday, row.customer_id, {"premium_feature_trials_30d": 9}, growth)
    (score,) = answer.scores
    assert (score.target, score.before) == (growth.name, row.propensity)
    assert score.after != score.before
    assert (answer.risk_tier, answer.new_risk_tier) == (None, None)
    with pytest.raises(InputError, match="no model of this customer looks at 'premium_feature_trials_30d'"):
        models.what_if(monday, row.customer_id, {"premium_feature_trials_30d": 9})
    top = next(row for row in monday.rows() if row.propensity is None)
    with pytest.raises(RefusedError, match=f"no model predicts {growth.name} for '{top.customer_id}'"):
        models.what_if(monday, top.customer_id, {"premium_feature_trials_30d": 9}, growth)


@pytest.mark.parametrize(
    ("feature", "value", "rule"),
    [
        ("tenure_days", 0, "tenure_days is a whole number of 1 or more, or null, not 0"),
        ("compliance_gap_score", "2", "compliance_gap_score is a number from 0 to 1, or null, not '2'"),
        ("events_last_7d", "1.5", "events_last_7d is a whole number of 0 or more, or null, not '1.5'"),
    ],
    ids=["the mart's tests", "the contract", "the column's type"],
)
def test_a_value_is_held_to_what_the_mart_and_the_contract_say_of_its_column(
    monday: PublishedMonday, models: Models, feature: str, value: object, rule: str
) -> None:
    with pytest.raises(InputError) as refused:
        models.what_if(monday, monday.rows(size=1)[0].customer_id, {feature: value})
    assert str(refused.value) == rule


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("update customer_weeks set avg_adoption_score = 1 - avg_adoption_score", "are no longer those of that day"),
        ("delete from customer_weeks", "the features behind .* are not published; 'churn run --week 2026-03-16'"),
        ("drop table customer_weeks", "an older version published 2026-03-16 without the features behind it"),
        ("delete from promotions", "the ledger of models does not name churn_90d version 1"),
        (
            'update promotions set metrics = json_merge_patch(metrics, \'{"model_sha256": "0"}\')',
            "the copy of churn_90d version 1 cannot be used.*not the model that the ledger names",
        ),
    ],
    ids=["other features", "no features", "an older version", "no ledger", "another model"],
)
def test_where_features_and_models_do_not_go_together_nothing_is_said(
    copy: Settings, statement: str, problem: str
) -> None:
    with duckdb.connect(str(copy.published_database)) as con:
        con.execute(statement)
        con.execute("checkpoint")
    with Publication.open(copy, hold=False) as publication:
        monday = publication.at()
        with pytest.raises(RefusedError, match=problem):
            Models(publication).what_if(monday, monday.rows(size=1)[0].customer_id, {"events_last_30d": 5})


@pytest.mark.long
def test_the_command_prints_the_published_prediction_and_a_change_of_it(copy: Settings) -> None:
    ((customer_id, probability, action),) = query(
        copy.published_database,
        f"select customer_id, {target_of('risk').probability_column}, recommended_action from predictions where call_rank = 1",
    )
    printed = churn(copy, "predict", customer_id)
    assert printed.returncode == 0, printed.stderr
    page = " ".join(printed.stdout.split())
    for text in (f"{target_of('risk').title}: {probability:.1%}", action, "Largest contributions", "version 1 ("):
        assert text in page
    said = json.loads(churn(copy, "predict", customer_id, "--json").stdout)
    assert said["scores"][0]["probability"] == probability
    assert (len(said["churn_drivers"]), said["recommended_action"]) == (5, action)
    what_if = (
        "predict",
        customer_id,
        "--what-if",
        "events_last_30d=140",
        "--what-if",
        "industry=mining",
    )
    changed = churn(copy, *what_if)
    assert changed.returncode == 0, changed.stderr
    page = " ".join(changed.stdout.split())
    for text in (
        "What the model says, not what would happen: no cause.",
        "Events in the last 30 days (events_last_30d):",
        "never saw 'mining'",
        f"{target_of('risk').title}: {probability:.1%} →",
        "Of what moves together only events_last_30d was changed;",
    ):
        assert text in page
    answer = json.loads(churn(copy, *what_if, "--json").stdout)
    assert answer["scores"][0]["before"] == probability
    assert f"{answer['scores'][0]['after']:.1%}" in page
    refused = churn(copy, "predict", customer_id, "--what-if", "events_last_30d=-1")
    assert (refused.returncode, refused.stderr) == (
        2,
        "churn: events_last_30d is a whole number of 0 or more, or null, not '-1'\n",
    )
    assert churn(copy, "predict", "C-none").returncode == 2
    assert churn(copy, "predict", customer_id, "--target", "expansion_9d").returncode == 2
