"""Logistic regression whose parts add up, whose signs are declared, and which is the same on any machine's threads."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

from churn_pipeline.modeling.calibrate import sigmoid
from churn_pipeline.modeling.encode import Encoder
from churn_pipeline.modeling.linear import Linear, Prior, strongest
from tests.unit.modeling.frames import CATALOGUE, company, feature

FRAME = company(weeks=6)
ENCODER = Encoder.learn(FRAME, CATALOGUE.without(["empty"]))
MATRIX = ENCODER.matrix(FRAME)
LABEL = FRAME["label"].to_numpy(dtype=np.float64)


def test_it_is_the_maximum_of_the_penalised_likelihood() -> None:
    from sklearn.linear_model import LogisticRegression

    catalogue = CATALOGUE.without(["empty", "health", "plan_tier", "industry"])
    encoder = Encoder.learn(FRAME, catalogue)
    matrix = encoder.matrix(FRAME)
    ours = Linear.fit(encoder, matrix, LABEL)
    values = matrix.astype(np.float64)
    standard = (values - values.mean(axis=0)) / values.std(axis=0)
    theirs = LogisticRegression(C=1.0, solver="newton-cholesky", tol=1e-10).fit(standard, LABEL)
    assert ours.coefficients == pytest.approx(theirs.coef_[0], abs=1e-6)
    assert ours.intercept == pytest.approx(theirs.intercept_[0], abs=1e-6)


def test_a_weight_never_has_the_sign_that_its_feature_may_not_have() -> None:
    against = CATALOGUE.without(["empty", "health"])
    wrong = type(against)(against.mart, (feature("health", direction="increasing"), *against.features))
    encoder = Encoder.learn(FRAME, wrong)
    fitted = Linear.fit(encoder, encoder.matrix(FRAME), LABEL)
    rows = pd.concat([FRAME[:1]] * 50, ignore_index=True).assign(health=np.linspace(-4, 4, 50))
    assert (np.diff(fitted.log_odds(encoder, encoder.matrix(rows))) >= 0).all()
    right = Linear.fit(ENCODER, MATRIX, LABEL)
    assert (np.diff(right.log_odds(ENCODER, ENCODER.matrix(rows))) < 0).all()


def test_a_weight_that_would_change_its_sign_beside_another_feature_is_zero() -> None:
    """By itself the feature goes with leaving; beside the other one, which it goes along with, it would lower it."""
    random = np.random.default_rng(5)
    other = random.normal(size=4000)
    along = other + 0.3 * random.normal(size=4000)
    label = (random.random(4000) < sigmoid(2 * other - 1.5 * along - 2)).astype(float)
    catalogue = type(CATALOGUE)("mart", (feature("along", direction="increasing"), feature("other")))
    frame = pd.DataFrame({"along": along, "other": other})
    encoder = Encoder.learn(frame, catalogue)
    fitted = Linear.fit(encoder, encoder.matrix(frame), label)
    assert fitted.coefficients[0] == 0
    assert fitted.coefficients[1] > 0


def test_the_same_rows_give_the_same_bits_on_any_number_of_threads() -> None:
    random = np.random.default_rng(6)
    names = [f"f{number}" for number in range(60)]
    frame = pd.DataFrame(random.normal(size=(30_000, len(names))), columns=names)
    encoder = Encoder.learn(frame, type(CATALOGUE)("mart", tuple(map(feature, names))))
    label = (random.random(len(frame)) < sigmoid(frame["f0"] - 2)).astype(float)
    fitted = []
    for threads in (1, 2, 4):
        with threadpool_limits(limits=threads):
            fitted.append(Linear.fit(encoder, encoder.matrix(frame), label).to_json())
    assert fitted[0] == fitted[1] == fitted[2]


def test_contributions_of_an_average_customer_are_zero_and_all_add_up() -> None:
    fitted = Linear.fit(ENCODER, MATRIX, LABEL)
    parts, intercept = fitted.contributions(ENCODER, MATRIX)
    assert np.abs(parts.mean(axis=0)).max() < 1e-9
    assert parts.sum(axis=1) + intercept == pytest.approx(fitted.log_odds(ENCODER, MATRIX), abs=1e-9)
    alone = np.concatenate([fitted.log_odds(ENCODER, MATRIX[n : n + 1]) for n in range(20)])
    assert np.array_equal(alone, fitted.log_odds(ENCODER, MATRIX)[:20])


def test_json_keeps_every_bit() -> None:
    fitted = Linear.fit(ENCODER, MATRIX, LABEL)
    again = Linear.from_json(fitted.to_json())
    assert np.array_equal(fitted.log_odds(ENCODER, MATRIX), again.log_odds(ENCODER, MATRIX))


@pytest.mark.parametrize("rows", [0, 1, 2])
@pytest.mark.parametrize("label", [0.0, 1.0])
def test_with_next_to_no_rows_it_is_the_belief_it_began_with(rows: int, label: float) -> None:
    fitted = Linear.fit(ENCODER, MATRIX[:rows], np.full(rows, label), ridge=20.0, prior=Prior(0.05, 20))
    expected = (0.05 * 20 + rows * label) / (20 + rows)
    assert sigmoid(fitted.log_odds(ENCODER, MATRIX)).mean() == pytest.approx(expected, abs=0.02)


def test_a_feature_that_tells_nothing_is_not_among_the_strongest() -> None:
    assert strongest(ENCODER, MATRIX, LABEL, 1) == ["health"]
    random = np.random.default_rng(0).random(len(LABEL)) < 0.1
    assert len(strongest(ENCODER, MATRIX, random.astype(float), 5)) <= 4
