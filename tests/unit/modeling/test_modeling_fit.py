"""One training: the same bytes twice, contributions that add up, and a stated answer to everything odd."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from churn_pipeline.core.errors import InputError, RefusedError
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.targets import TARGETS
from churn_pipeline.modeling.calibrate import logit
from churn_pipeline.modeling.fit import TrainingResult, fit
from churn_pipeline.modeling.model import BOOSTER_FILE, ScoringModel
from churn_pipeline.modeling.promote import decide
from tests.unit.modeling.frames import CATALOGUE, MONDAY, company, leaving

TARGET = TARGETS["churn_30d"]
SETTINGS = Settings(home=Path("unused"), bootstrap_replicates=50)
BOTH = frozenset(("tier_history", "mrr_history"))


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return company()


@pytest.fixture(scope="module")
def result(frame: pd.DataFrame) -> TrainingResult:
    return fit(TARGET, frame, MONDAY, CATALOGUE, SETTINGS, BOTH)


def test_training_twice_gives_the_same_bytes(frame: pd.DataFrame, result: TrainingResult) -> None:
    shuffled = frame.sample(frac=1, random_state=3)
    again = fit(TARGET, shuffled, MONDAY, CATALOGUE, SETTINGS, BOTH)
    assert again.model.files() == result.model.files()
    assert again.twin.files() == result.twin.files()


def test_rows_whose_labels_had_not_closed_change_nothing(frame: pd.DataFrame, result: TrainingResult) -> None:
    unclosed = pd.to_datetime(frame["snapshot_date"]) + timedelta(days=30) > pd.Timestamp(MONDAY)
    assert unclosed.any()
    other = frame.copy()
    other.loc[unclosed, "label"] = 1 - other.loc[unclosed, "label"]
    assert fit(TARGET, other, MONDAY, CATALOGUE, SETTINGS, BOTH).model.files() == result.model.files()


def test_contributions_and_bias_add_up_to_the_log_odds(frame: pd.DataFrame, result: TrainingResult) -> None:
    explanation = result.model.explain(frame[:2000])
    assert (
        np.abs(explanation.contributions.sum(axis=1) + explanation.bias - logit(explanation.probability)).max() < 1e-4
    )


def test_the_probabilities_on_weeks_that_were_not_trained_on_mean_what_they_say(result: TrainingResult) -> None:
    """By the bounds that the oracle's test has for whole companies. The customers are drawn with known probabilities."""
    ours = result.twin.probability(result.test.frame)
    truth = leaving(result.test.frame["health"].to_numpy())
    assert 0.8 <= result.metrics["calibration_slope"].value <= 1.25
    assert result.metrics["ece"].value <= 0.02
    assert abs(ours.mean() - truth.mean()) <= 0.01


def test_probabilities_are_those_of_the_weeks_it_was_calibrated_on_and_not_of_those_the_trees_learned_from(
    frame: pd.DataFrame, result: TrainingResult
) -> None:
    """Half as many leave in the training weeks: trees alone, or calibrated on what they learned, would say half of the truth."""
    learned = pd.to_datetime(frame["snapshot_date"]) <= pd.Timestamp(result.slices["train"].last)
    spared = learned & (np.random.default_rng(7).random(len(frame)) < 0.5)
    fewer = SETTINGS.model_copy(update={"min_train_churners": 50})
    fitted = fit(TARGET, frame.assign(label=frame["label"].where(~spared, 0)), MONDAY, CATALOGUE, fewer, BOTH)
    truth = leaving(fitted.test.frame["health"].to_numpy()).mean()
    assert abs(fitted.test.probability.mean() / truth - 1) <= 0.15


def test_no_class_counts_for_more_than_the_other(result: TrainingResult) -> None:
    """Calibration would hide it from the probabilities, and not from the trees."""
    for model in (result.twin, result.model):
        objective = json.loads(model.booster.save_config())["learner"]["objective"]
        assert float(objective["reg_loss_param"]["scale_pos_weight"]) == 1


def test_a_customers_score_does_not_depend_on_who_is_scored_with_them(
    frame: pd.DataFrame, result: TrainingResult
) -> None:
    together = result.model.probability(frame[:50])
    alone = np.concatenate([result.model.probability(frame[n : n + 1]) for n in range(50)])
    assert np.array_equal(together, alone)


def test_the_risk_never_rises_with_a_feature_that_may_only_lower_it(
    frame: pd.DataFrame, result: TrainingResult
) -> None:
    row = pd.concat([frame[:1]] * 200, ignore_index=True).assign(health=np.linspace(-4, 4, 200))
    assert (np.diff(result.model.probability(row)) <= 1e-12).all()


def test_an_unseen_category_and_a_missing_column_are_missing_values_and_are_said(
    frame: pd.DataFrame, result: TrainingResult
) -> None:
    odd = frame[:10].assign(industry="never seen").drop(columns="days_since_last_event")
    blank = frame[:10].assign(industry=None, days_since_last_event=np.nan)
    explanation = result.model.explain(odd)
    assert np.array_equal(explanation.probability, result.model.probability(blank))
    assert any("days_since_last_event is not there" in notice for notice in explanation.notices)
    assert any("industry" in notice for notice in explanation.notices)


def test_an_all_null_feature_is_left_out_and_said(result: TrainingResult) -> None:
    assert "empty" not in result.model.catalogue
    assert any("empty" in notice for notice in result.notices)


def test_without_a_history_of_plans_tier_and_revenue_are_not_trained_on(frame: pd.DataFrame) -> None:
    fitted = fit(TARGET, frame, MONDAY, CATALOGUE, SETTINGS, frozenset())
    assert {"plan_tier", "mrr"}.isdisjoint(fitted.model.catalogue.names)
    assert any("CHURN_TRUST_STATIC_PLAN" in notice for notice in fitted.notices)


def test_revenue_that_was_zeroed_at_churn_is_taken_out_and_said(frame: pd.DataFrame) -> None:
    churners = frame.loc[frame["label"] == 1, "customer_id"].unique()[:250]
    zeroed = frame.assign(mrr=frame["mrr"].where(~frame["customer_id"].isin(churners), 0.0))
    fitted = fit(TARGET, zeroed, MONDAY, CATALOGUE, SETTINGS, BOTH)
    assert {"plan_tier", "mrr"}.isdisjoint(fitted.model.catalogue.names)
    assert any("zeroed" in notice for notice in fitted.notices)


def test_too_few_churners_is_no_model_said_plainly(frame: pd.DataFrame) -> None:
    few = frame.assign(label=frame["label"].where(frame["customer_id"] < "c0040", 0))
    with pytest.raises(RefusedError, match=r"distinct churned customers in the training slice, 100 are needed"):
        fit(TARGET, few, MONDAY, CATALOGUE, SETTINGS, BOTH)


def test_the_gate_refuses_a_model_that_knows_nothing(frame: pd.DataFrame, result: TrainingResult) -> None:
    assert decide(result, None, SETTINGS).promoted
    random = np.random.default_rng(5)
    noise = frame.assign(health=random.normal(size=len(frame)), label=(random.random(len(frame)) < 0.1).astype(int))
    try:
        verdict = decide(fit(TARGET, noise, MONDAY, CATALOGUE, SETTINGS, BOTH), None, SETTINGS)
    except RefusedError as refusal:
        assert "slope" in str(refusal)
    else:
        assert not verdict.promoted


def test_a_clearly_worse_challenger_is_refused_and_an_equal_one_is_not(
    frame: pd.DataFrame, result: TrainingResult
) -> None:
    earlier = fit(TARGET, frame, MONDAY - timedelta(weeks=6), CATALOGUE, SETTINGS, BOTH)
    assert decide(result, earlier.model, SETTINGS).promoted
    blind = frame.assign(health=np.where(frame["health"] < 0, -1.0, 1.0))
    worse = fit(TARGET, blind, MONDAY, CATALOGUE, SETTINGS, BOTH)
    object.__setattr__(worse.test, "frame", worse.test.frame.assign(health=result.test.frame["health"].to_numpy()))
    verdict = decide(worse, earlier.model, SETTINGS)
    assert not verdict.promoted
    assert "clearly worse" in verdict.reason


def test_a_damaged_file_is_refused_by_name(result: TrainingResult, tmp_path: Path) -> None:
    result.model.save(tmp_path)
    assert ScoringModel.load(tmp_path).files() == result.model.files()
    data = bytearray((tmp_path / BOOSTER_FILE).read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / BOOSTER_FILE).write_bytes(data)
    with pytest.raises(InputError, match=BOOSTER_FILE):
        ScoringModel.load(tmp_path)
