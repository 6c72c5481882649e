"""Which model is the model for a Monday, and what the figures mean."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from churn_pipeline.core.errors import RefusedError
from churn_pipeline.modeling import ledger
from churn_pipeline.modeling.evaluate import Resamples, evaluate_ranking, flag_recall_ceiling

START = date(2026, 1, 5)
WEEK = timedelta(weeks=1)


def row(
    version: str | None, week: int, promoted: bool = True, closed: int | None = None, by_hand: bool = False
) -> ledger.LedgerRow:
    return ledger.LedgerRow(
        target="churn_30d",
        version=version,
        promoted=promoted,
        effective_from=START + week * WEEK,
        labels_closed_by=START + (week if closed is None else closed) * WEEK,
        reason="test",
        who="test",
        recorded_at=datetime(2026, 1, 1, tzinfo=UTC),
        metrics={ledger.DECISION: "rollback"} if by_hand else {},
    )


@given(
    st.lists(st.tuples(st.integers(0, 20), st.booleans(), st.integers(0, 5), st.booleans()), max_size=12),
    st.integers(0, 25),
)
def test_the_model_for_a_monday_is_the_newest_promotion_in_force_that_saw_no_later_label(
    rows: list[tuple[int, bool, int, bool]], week: int
) -> None:
    con = duckdb.connect()
    expected: tuple[int, bool, int] | None = None
    for place, (from_week, promoted, older, by_hand) in enumerate(rows):
        ledger.append(con, row(str(place), from_week, promoted, from_week - older, by_hand))
        # From one Monday on, a person's word stands whether it came before the training's or after it.
        if promoted and from_week <= week and (expected is None or (from_week, by_hand, place) > expected):
            expected = (from_week, by_hand, place)
    promotion = ledger.model_for(con, "churn_30d", START + week * WEEK)
    assert (promotion.version if promotion else None) == (str(expected[2]) if expected else None)


def test_a_promotion_cannot_reach_back_before_its_labels_were_closed() -> None:
    with pytest.raises(RefusedError, match="cannot score"):
        ledger.append(duckdb.connect(), row("1", week=3, closed=4))


def test_a_refused_version_is_an_attempt_and_no_model() -> None:
    con = duckdb.connect()
    ledger.append(con, row("1", 0, promoted=False))
    assert ledger.model_for(con, "churn_30d", START) is None
    assert [attempt.version for attempt in ledger.attempts(con, "churn_30d", START)] == ["1"]


@given(st.integers(0, 2**31), st.integers(2, 12))
def test_resampled_figures_equal_those_of_the_rows_written_out(seed: int, levels: int) -> None:
    random = np.random.default_rng(seed)
    customers = random.integers(0, 30, 200)
    label = (random.random(200) < 0.3).astype(float)
    score = random.integers(0, levels, 200).astype(float)
    label[:2] = (0, 1)
    resamples = Resamples.draw(pd.Series(customers).astype(str), 5, seed % 1000)
    evaluation = evaluate_ranking(label, score, np.zeros(200), resamples)
    for replicate in range(6):
        weights = resamples.counts[replicate][resamples.customer]
        if not 0 < (label * weights).sum() < weights.sum():
            continue
        written = np.repeat(np.arange(200), weights)
        assert evaluation.replicates["auc"][replicate] == pytest.approx(roc_auc_score(label[written], score[written]))
        assert evaluation.replicates["average_precision"][replicate] == pytest.approx(
            average_precision_score(label[written], score[written])
        )


@given(st.floats(0.01, 0.3), st.floats(0.0, 1.0), st.integers(0, 1000))
def test_no_calibrated_model_reaches_more_recall_at_the_flag_than_its_auc_allows(
    rest: float, flagged_share: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    n = 4000
    probability = np.where(
        random.random(n) < flagged_share, random.uniform(0.7001, 1, n), random.uniform(0, 2 * rest, n)
    )
    base = probability.mean()
    # The population figures of a model whose probabilities are the truth: each row counts p positive and 1 - p negative.
    order = np.argsort(-probability)
    positive, negative = probability[order], 1 - probability[order]
    auc = float((np.cumsum(positive) * negative).sum() - (positive * negative).sum() / 2) / (
        positive.sum() * negative.sum()
    )
    recall = probability[probability > 0.7].sum() / probability.sum()
    assert recall <= flag_recall_ceiling(auc, float(base)) + 1e-9
