"""The figures of `benchmarks/models.py`: what a perfect, a too bold and a random forecast get."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.models import Training, company_of, figures, raised_share, refusal_tables, tables, with_truth
from churn_pipeline.core.model_kinds import JUDGED
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.targets import TARGETS
from churn_pipeline.features.catalogue import History
from churn_pipeline.modeling.calibrate import logit
from churn_pipeline.modeling.fit import fit, fit_kinds
from churn_pipeline.simulate.arrow import customer_ids
from tests.support.homes import UNUSED
from tests.unit.modeling.frames import CATALOGUE, MONDAY, company

MONDAYS = [date(2026, 3, 2), date(2026, 3, 9)]


def test_every_kind_is_the_one_that_the_training_would_have_registered() -> None:
    settings = Settings(home=UNUSED, bootstrap_replicates=50, min_train_churners=30, min_test_churners=10)
    frame, histories = company(customers=250), frozenset[History](("tier_history", "mrr_history"))
    result = fit(TARGETS["churn_30d"], frame, MONDAY, CATALOGUE, settings, histories)
    kinds = fit_kinds(result, frame, CATALOGUE, settings)
    assert set(kinds) == set(JUDGED)
    assert kinds[result.kind].files() == result.model.files()
    first, second, both = (logit(kinds[kind].probability(frame)) for kind in ("trees", "logistic", "mean"))
    assert np.corrcoef(first, second)[0, 1] < 0.99
    assert np.corrcoef(first + second, both)[0, 1] > 0.95
    lower = replace(result, next_rung="boosted trees need more")
    assert set(fit_kinds(lower, frame, CATALOGUE, settings)) == {result.kind}


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """1,500 customers on two Mondays, with a true probability each and what came of it."""
    rng = np.random.default_rng(3)
    truth = np.round(rng.beta(1, 9, 3_000), 6)
    return pd.DataFrame(
        {
            "snapshot_date": pd.to_datetime(np.repeat(MONDAYS, 1_500)),
            "customer_id": np.tile([f"C{number:07}" for number in range(1, 1_501)], 2),
            "label": (rng.random(3_000) < truth).astype(float),
            "truth": truth,
            "right": np.clip(truth, 1e-6, 1),
            "bold": np.minimum(2 * truth, 0.999),
            "random": rng.random(3_000) / 5,
        }
    )


def test_the_truth_itself_has_all_of_the_oracles_rank_and_level_and_no_excess(rows: pd.DataFrame) -> None:
    perfect = figures(rows, "right", 60)
    for name in ("auc_share", "ap_share", "true_level"):
        assert perfect[name].value == pytest.approx(1.0, abs=1e-4), name
        assert perfect[name].low == pytest.approx(perfect[name].high, abs=1e-3)
    assert perfect["excess_brier"].value == pytest.approx(0.0, abs=1e-9)
    assert perfect["level"].low < 1 < perfect["level"].high
    assert perfect["calibration_slope"].low < 1 < perfect["calibration_slope"].high


def test_a_forecast_that_doubles_every_risk_ranks_as_well_and_stands_at_twice_the_level(rows: pd.DataFrame) -> None:
    bold = figures(rows, "bold", 60)
    assert bold["auc_share"].value == pytest.approx(1.0, abs=1e-3)
    assert bold["true_level"].value == pytest.approx(2.0, abs=0.02)
    assert bold["level"].low > 1.5
    expected = np.mean((rows["bold"] - rows["truth"]) ** 2)
    assert bold["excess_brier"].value == pytest.approx(expected)


def test_a_random_forecast_has_no_share_of_the_oracle(rows: pd.DataFrame) -> None:
    random = figures(rows, "random", 60)
    assert random["auc_share"].low < 0 < random["auc_share"].high or abs(random["auc_share"].value) < 0.2


def test_without_an_oracle_the_same_figures_are_given_but_those_that_need_one(rows: pd.DataFrame) -> None:
    whole, blind = figures(rows, "bold", 60), figures(rows.drop(columns="truth"), "bold", 60)
    assert set(whole) - set(blind) == {"auc_share", "ap_share", "excess_brier", "true_level"}
    for name, estimate in blind.items():
        assert whole[name].value == pytest.approx(estimate.value), name


def test_whom_the_oracle_does_not_know_is_not_judged(rows: pd.DataFrame, tmp_path: Path) -> None:
    known = np.arange(100)
    pq.write_table(
        pa.table(
            {
                "snapshot_date": pa.array([MONDAYS[0]] * 100, pa.date32()),
                "customer_id": customer_ids(known),
                "p_churn_90d": known / 1_000,
            }
        ),
        tmp_path / "oracle.parquet",
    )
    judged = with_truth(rows.drop(columns="truth"), "churn_90d", tmp_path / "oracle.parquet")
    assert len(judged) == 100
    assert judged["truth"].tolist() == (known / 1_000).tolist()


def test_the_share_that_has_to_be_raised_counts_customers_and_mondays_of_both_horizons(rows: pd.DataFrame) -> None:
    shorter = rows.assign(serves=0.2).head(1_000)
    longer = rows.assign(serves=np.where(np.arange(3_000) < 250, 0.1, 0.3))
    assert raised_share(shorter, longer, "serves") == pytest.approx(0.25)
    assert raised_share(shorter.head(0), longer, "serves") is None


def test_a_company_is_a_family_and_seed_or_a_folder_with_its_monday(tmp_path: Path) -> None:
    options = Namespace(work=tmp_path, customers=60, weeks=10, until=date(2026, 3, 2))
    made = company_of("terms:2", options)
    assert (made.raw / "customers.parquet").is_file()
    assert made.oracle is not None and made.oracle.is_file()
    known = company_of(f"{made.raw}@2026-02-23", options)
    assert (known.raw, known.until, known.oracle) == (made.raw, date(2026, 2, 23), made.oracle)
    with pytest.raises(SystemExit, match="FOLDER@MONDAY"):
        company_of("bakery:2", options)


def test_the_tables_name_every_company_target_and_kind_and_count_refusals() -> None:
    estimate = {"value": 0.8, "low": 0.7, "high": 0.9}
    row = {
        "company": "terms 1", "target": "churn_90d", "kind": "serves", "rows": 900, "share_of_rows": 0.5, "departures": 70,
        "explain_ms": 0.05, "figures": {"auc": estimate}, "by_monday": {}, "raised": 0.003,
    }  # fmt: skip
    trainings = [
        Training("terms 1", "churn_90d", MONDAYS[0], "promoted", "trees", "promoted: ...", 4.0, 700.0),
        Training("terms 1", "churn_90d", MONDAYS[1], "refused", "trees", "refused: worse than the rule", 5.0, 710.0),
    ]
    text = "\n".join(tables([row], trainings))
    assert "| terms 1 | churn_90d | serves | 900 (50%) | 70 | 0.800 (0.700 to 0.900) |" in text
    assert "0.30%" in text
    counted = "\n".join(refusal_tables(trainings))
    assert "| all | churn_90d | 2 | 1 | 1 | 0 | trees 2 | 4.5 |" in counted
    assert "worse than the rule" in counted
