"""The lower rungs: a model for every company, whatever little is known of it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from churn_pipeline.core.errors import InputError
from churn_pipeline.core.settings import Settings, shipped
from churn_pipeline.core.targets import TARGETS
from churn_pipeline.features.catalogue import Catalogue
from churn_pipeline.modeling.calibrate import logit
from churn_pipeline.modeling.fit import fit
from churn_pipeline.modeling.ladder import Belief, fit_base_rate, fit_of_shorter, read_belief
from churn_pipeline.modeling.model import ScoringModel
from churn_pipeline.modeling.promote import decide
from tests.support.homes import UNUSED
from tests.unit.modeling.frames import CATALOGUE, MONDAY, company, feature

SHORT, LONG = TARGETS["churn_30d"], TARGETS["churn_90d"]
SETTINGS = Settings(home=UNUSED, bootstrap_replicates=50)
BELIEF = Belief(0.05, 20)
TENURE = Catalogue(CATALOGUE.mart, (*CATALOGUE.features, feature("tenure_days")))
BOTH = frozenset(("tier_history", "mrr_history"))


def aged(frame: pd.DataFrame) -> pd.DataFrame:
    number = frame["customer_id"].str[1:].astype(int)
    return frame.assign(tenure_days=number % 400 + 7 * (frame["snapshot_date"] - frame["snapshot_date"].min()).dt.days)


FRAME = aged(company())
CASES = {
    "nobody yet": FRAME[:0],
    "one customer": FRAME[FRAME["customer_id"] == "c0001"],
    "one customer who left": FRAME[FRAME["customer_id"] == "c0001"].assign(label=1),
    "no departures": FRAME.assign(label=0),
    "all departed": FRAME.assign(label=1),
    "one industry": FRAME.assign(industry="saas"),
    "one plan": FRAME.assign(plan_tier="free"),
    "all columns empty": FRAME.assign(tenure_days=np.nan, plan_tier=None),
    "constant columns": FRAME.assign(tenure_days=30, plan_tier="growth"),
    "one week": FRAME[FRAME["snapshot_date"] == FRAME["snapshot_date"].min()],
}


@pytest.mark.parametrize("target", [SHORT, LONG], ids=lambda target: target.name)
@pytest.mark.parametrize("case", CASES)
def test_there_is_a_base_rate_for_every_company(case: str, target, tmp_path: Path) -> None:
    result = fit_base_rate(target, CASES[case], MONDAY, TENURE, SETTINGS, BOTH, BELIEF, "more departures")
    assert decide(result).promoted
    explanation = result.model.explain(FRAME[:50])
    assert ((explanation.probability > 0) & (explanation.probability < 1)).all()
    assert explanation.contributions.sum(axis=1) + explanation.bias == pytest.approx(logit(explanation.probability))
    result.model.save(tmp_path)
    assert np.array_equal(ScoringModel.load(tmp_path).probability(FRAME[:50]), explanation.probability)
    assert ScoringModel.load(tmp_path).kind == "base_rate"


def test_without_any_label_it_is_the_belief_at_every_horizon() -> None:
    short, long = (
        fit_base_rate(t, FRAME[:0], MONDAY, TENURE, SETTINGS, BOTH, BELIEF, "").model.probability(FRAME[:9])
        for t in (SHORT, LONG)
    )
    assert long == pytest.approx(0.05)
    assert short == pytest.approx(1 - 0.95 ** (1 / 3))


def test_with_many_labels_it_is_their_share() -> None:
    result = fit_base_rate(SHORT, FRAME, MONDAY, TENURE, SETTINGS, BOTH, BELIEF, "")
    learned = result.slices["refit_train"]
    ours = result.model.probability(FRAME[pd.to_datetime(FRAME["snapshot_date"]) <= pd.Timestamp(learned.last)])
    assert ours.mean() == pytest.approx(learned.positives / learned.rows, rel=0.1)


def test_plans_without_a_history_are_no_part_of_a_base_rate() -> None:
    result = fit_base_rate(SHORT, FRAME, MONDAY, TENURE, SETTINGS, frozenset(), BELIEF, "")
    assert result.model.catalogue.names == ["tenure_days"]


def test_the_longer_horizon_has_the_order_of_the_shorter_one_and_never_a_lower_probability() -> None:
    shorter = fit(SHORT, FRAME, MONDAY, TENURE, SETTINGS, BOTH)
    for closed in (FRAME[:0], FRAME[FRAME["snapshot_date"] <= pd.Timestamp(MONDAY - timedelta(weeks=20))]):
        result = fit_of_shorter(LONG, closed, MONDAY, shorter, BELIEF, "more departures")
        assert result.kind == "of_30d"
        assert decide(result).promoted
        ours, theirs = (model.probability(FRAME[:500]) for model in (result.model, shorter.model))
        assert np.array_equal(np.argsort(ours, kind="stable"), np.argsort(theirs, kind="stable"))
        assert (ours >= theirs).all()
        explanation = result.model.explain(FRAME[:50])
        assert explanation.contributions.sum(axis=1) + explanation.bias == pytest.approx(
            logit(explanation.probability), abs=1e-4
        )


def test_the_belief_is_the_shipped_one_and_a_wrong_one_is_refused() -> None:
    with duckdb.connect() as con:
        con.execute("create schema seeds")
        shipped_seed = shipped("dbt_project") / "seeds" / "model_priors.csv"
        con.execute(f"create table seeds.model_priors as from '{shipped_seed}'")
        assert read_belief(con, "churn") == BELIEF
        for wrong in ("5, 20", "null, 20", "0.05, 0", "0.05, null", "'nan'::double, 20"):
            con.execute("delete from seeds.model_priors")
            con.execute(f"insert into seeds.model_priors values ('churn', {wrong})")
            with pytest.raises(InputError, match=r"model_priors\.csv has to say of the event 'churn'"):
                read_belief(con, "churn")
        with pytest.raises(InputError, match="of the event 'other'"):
            read_belief(con, "other")
