"""One training: the same bytes twice, contributions that add up, and a stated answer to everything odd."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from churn_pipeline.core.errors import InputError, RefusedError
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.targets import TARGETS
from churn_pipeline.modeling.calibrate import logit
from churn_pipeline.modeling.choose import Difference
from churn_pipeline.modeling.fit import RECIPE, TrainingResult, fit
from churn_pipeline.modeling.model import BOOSTER_FILE, ScoringModel
from churn_pipeline.modeling.promote import decide
from tests.support.homes import UNUSED
from tests.unit.modeling.frames import CATALOGUE, MONDAY, company, leaving

TARGET = TARGETS["churn_30d"]
SETTINGS = Settings(home=UNUSED, bootstrap_replicates=50)
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
    assert again.judged.twin.files() == result.judged.twin.files()


@pytest.mark.parametrize("threads", [1, 3, 8])
def test_training_on_any_number_of_threads_gives_the_same_bytes(
    frame: pd.DataFrame, result: TrainingResult, threads: int
) -> None:
    """Folds are trained side by side, and the last booster waits for the number of trees that they find."""
    again = fit(TARGET, frame, MONDAY, CATALOGUE, SETTINGS.model_copy(update={"threads": threads}), BOTH)
    assert again.model.files() == result.model.files()
    assert again.judged.twin.files() == result.judged.twin.files()


def test_a_fold_that_fails_ends_the_training_and_leaves_no_booster_waiting(
    frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise MemoryError("a fold")

    monkeypatch.setattr("churn_pipeline.modeling.fit._stopping", broken)
    with pytest.raises(MemoryError, match="a fold"):
        fit(TARGET, frame, MONDAY, CATALOGUE, SETTINGS, BOTH)


def test_of_a_sample_of_the_customers_the_list_is_as_much_shorter(frame: pd.DataFrame, result: TrainingResult) -> None:
    half = fit(TARGET, frame, MONDAY, CATALOGUE, SETTINGS, BOTH, share=0.5)
    assert half.model.files() == result.model.files()
    test = half.judged.test
    hits = called = 0.0
    for _, rows in test.frame.assign(label=test.label, p=test.probability).groupby("snapshot_date"):
        highest = rows.sort_values("p", ascending=False).head(100)
        hits, called = hits + highest["label"].sum(), called + len(highest)
    assert half.judged.metrics["precision_top_200"].value == pytest.approx(hits / called, abs=0.01)
    assert result.judged.metrics["precision_top_200"].value < half.judged.metrics["precision_top_200"].value


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
    assert result.judged is not None
    ours = result.judged.twin.probability(result.judged.test.frame)
    truth = leaving(result.judged.test.frame["health"].to_numpy())
    assert 0.8 <= result.judged.metrics["calibration_slope"].value <= 1.25
    assert result.judged.metrics["ece"].value <= 0.02
    assert abs(ours.mean() - truth.mean()) <= 0.01


def test_the_level_is_that_of_the_weeks_that_were_learned_from_and_not_of_those_that_judge(frame: pd.DataFrame) -> None:
    """Half as many leave in the training weeks: a season, as far as anybody can know by then."""
    spared = np.random.default_rng(7).random(len(frame)) < 0.5
    early = (pd.to_datetime(frame["snapshot_date"]) <= pd.Timestamp("2025-12-15")).to_numpy()
    fitted = fit(
        TARGET, frame.assign(label=frame["label"].where(~(spared & early), 0)), MONDAY, CATALOGUE, SETTINGS, BOTH
    )
    assert fitted.judged is not None
    learned = fitted.slices["train"]
    assert abs(fitted.judged.test.probability.mean() / (learned.positives / learned.rows) - 1) <= 0.15


def test_the_level_follows_what_happened_of_late_and_the_order_stays(
    frame: pd.DataFrame, result: TrainingResult
) -> None:
    """Windows that are still open, half over, in which two and a half times as many left as the probabilities say."""
    opened = frame[pd.to_datetime(frame["snapshot_date"]) > pd.Timestamp(MONDAY) - pd.Timedelta(days=30)]
    expected = result.model.probability(opened) / 2
    chance = np.random.default_rng(4).random(len(opened))

    def level(times: float) -> ScoringModel:
        recent = opened.assign(label=(chance < times * expected).astype(int), seen_days=15)
        return fit(TARGET, frame, MONDAY, CATALOGUE, SETTINGS, BOTH, recent={MONDAY: recent}).model

    steady, more = level(1.0), level(2.5)
    before, after = (model.probability(frame).mean() for model in (steady, more))
    assert 0.9 < before / result.model.probability(frame).mean() < 1.1
    assert 1.3 < after / before < 2.5
    assert more.platt.slope == steady.platt.slope
    assert more.files()[BOOSTER_FILE] == steady.files()[BOOSTER_FILE] if more.booster is not None else True


def test_probabilities_are_calibrated_on_customers_whom_the_model_did_not_see(frame: pd.DataFrame) -> None:
    """A number of their own lets trees tell the customers apart and learn by heart who leaves again and again. It says nothing of others."""
    number = frame["customer_id"].str[1:].astype(float)
    leaves = np.random.default_rng(2).random(600) < 0.1
    label = (leaves[number.astype(int)] & (np.random.default_rng(3).random(len(frame)) < 0.8)).astype(int)
    known = frame.assign(health=0.0, days_since_last_event=number * 7919 % 600, industry="saas", label=label)
    catalogue = CATALOGUE.without(["health", "industry", "empty", "plan_tier", "mrr"])
    recipe = replace(RECIPE, min_child_weight=0.1, max_depth=6)
    try:
        fitted = fit(
            TARGET,
            known,
            MONDAY,
            catalogue,
            SETTINGS.model_copy(update={"min_train_churners": 20}),
            BOTH,
            recipe=recipe,
        )
    except RefusedError as refusal:
        assert "slope" in str(refusal)
    else:
        assert fitted.model.probability(known).max() < 0.3


def test_no_class_counts_for_more_than_the_other(result: TrainingResult) -> None:
    """Calibration would hide it from the probabilities, and not from the trees."""
    for model in (result.judged.twin, result.model):
        assert model.booster is not None
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


def test_with_few_departures_a_logistic_regression_of_a_few_features_serves_and_says_what_is_missing(
    frame: pd.DataFrame,
) -> None:
    few = frame.assign(label=frame["label"].where(frame["customer_id"] < "c0150", 0))
    fitted = fit(TARGET, few, MONDAY, CATALOGUE, SETTINGS, BOTH)
    assert fitted.kind == "logistic"
    # Other features may be the strongest of another training; the recipe is the same.
    earlier = fit(TARGET, few, MONDAY - timedelta(weeks=4), CATALOGUE, SETTINGS, BOTH)
    assert set(fitted.recipe.features) > set(fitted.model.catalogue.names)
    assert not fitted.recipe.differs(earlier.recipe)
    assert fitted.next_rung is not None and "boosted trees need 100 departures" in fitted.next_rung
    positive = fitted.slices["refit_train"].positive_customers
    assert 20 <= positive < 100
    assert 1 <= len(fitted.model.catalogue) <= positive // 10
    assert "health" in fitted.model.catalogue
    explanation = fitted.model.explain(few[:2000])
    assert (
        np.abs(explanation.contributions.sum(axis=1) + explanation.bias - logit(explanation.probability)).max() < 1e-9
    )


def test_too_few_churners_is_no_model_said_plainly(frame: pd.DataFrame) -> None:
    few = frame.assign(label=frame["label"].where(frame["customer_id"] < "c0020", 0))
    with pytest.raises(RefusedError, match=r"churn_30d needs 20 departures in the training weeks \(there are"):
        fit(TARGET, few, MONDAY, CATALOGUE, SETTINGS, BOTH)


def test_the_gate_lets_a_model_pass_that_is_not_clearly_worse_than_knowing_nothing(
    frame: pd.DataFrame, result: TrainingResult
) -> None:
    assert decide(result).promoted
    assert result.judged is not None
    worse = replace(result.judged, against_constant=Difference(0.02, 0.01))
    assert not decide(replace(result, judged=worse)).promoted
    unsure = replace(result.judged, against_constant=Difference(0.02, 0.02))
    assert decide(replace(result, judged=unsure)).promoted


def test_another_recipe_is_compared_with_the_former_one_on_the_same_rows(
    frame: pd.DataFrame, result: TrainingResult
) -> None:
    same = fit(TARGET, frame, MONDAY, CATALOGUE, SETTINGS, BOTH, former=result.recipe)
    assert same.judged is not None and same.judged.against_former is None
    blind = CATALOGUE.without(["health"])
    worse = fit(
        TARGET, frame, MONDAY, blind, SETTINGS, BOTH, former=replace(result.recipe, features=("days_since_last_event",))
    )
    assert worse.judged is not None and worse.judged.against_former is not None
    # Without the feature that tells, in either: no difference to speak of.
    assert not worse.judged.against_former.clearly_worse
    clearly = replace(worse.judged, against_former=Difference(0.02, 0.01))
    verdict = decide(replace(worse, judged=clearly))
    assert not verdict.promoted
    assert "clearly worse than the recipe that served so far" in verdict.reason


def test_a_damaged_file_is_refused_by_name(result: TrainingResult, tmp_path: Path) -> None:
    result.model.save(tmp_path)
    assert ScoringModel.load(tmp_path).files() == result.model.files()
    data = bytearray((tmp_path / BOOSTER_FILE).read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / BOOSTER_FILE).write_bytes(data)
    with pytest.raises(InputError, match=BOOSTER_FILE):
        ScoringModel.load(tmp_path)
