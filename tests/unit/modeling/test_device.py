"""A graphics card is used where it is asked for, and refused where there is none. None of this needs one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pandas as pd
import pytest
import xgboost as xgb

from churn_pipeline.core.errors import InputError, RefusedError
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.targets import TARGETS
from churn_pipeline.customers.stores.models import Models
from churn_pipeline.modeling import device, lifecycle
from churn_pipeline.modeling.fit import TrainingResult, fit
from churn_pipeline.modeling.ledger import LedgerRow
from churn_pipeline.modeling.model import ScoringModel
from churn_pipeline.modeling.store import DIGEST, ModelStore
from tests.support.homes import UNUSED
from tests.unit.modeling.frames import CATALOGUE, MONDAY, company

TARGET = TARGETS["churn_30d"]
SETTINGS = Settings(home=UNUSED, bootstrap_replicates=50)
BOTH = frozenset(("tier_history", "mrr_history"))


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """No card, whatever machine this is."""
    monkeypatch.setattr(device, "_cards", lambda: 0)
    monkeypatch.setattr(xgb, "build_info", lambda: {"USE_CUDA": True})


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return company()


@pytest.fixture(scope="module")
def result(frame: pd.DataFrame) -> TrainingResult:
    return fit(TARGET, frame, MONDAY, CATALOGUE, SETTINGS, BOTH)


def test_a_training_for_a_card_that_is_not_there_is_refused_before_anything_is_read(nowhere: None) -> None:
    with (
        duckdb.connect() as con,
        pytest.raises(InputError, match="CHURN_DEVICE is cuda, and there is no GPU") as refusal,
    ):
        lifecycle.train(
            con,
            SETTINGS.model_copy(update={"device": "cuda"}),
            TARGET,
            MONDAY,
            run_id="r",
            who="test",
            progress=pytest.fail,
        )
    assert refusal.value.exit_code == 2


def test_an_xgboost_without_cuda_is_said_and_the_processor_always_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xgb, "build_info", lambda: {"USE_CUDA": False})
    with pytest.raises(InputError, match="built without CUDA"):
        device.ensure_there("cuda")
    device.ensure_there("cpu")


def test_every_booster_is_trained_on_the_device_of_the_settings_one_after_the_other(
    frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[str] = []
    at_work, most_at_work = 0, 0
    train = xgb.train

    def noted(params: dict, *args: object, **more: object) -> xgb.Booster:
        nonlocal at_work, most_at_work
        given.append(params["device"])
        at_work += 1
        most_at_work = max(most_at_work, at_work)
        try:
            return train(params | {"device": "cpu"}, *args, **more)
        finally:
            at_work -= 1

    monkeypatch.setattr(xgb, "train", noted)
    made = fit(TARGET, frame, MONDAY, CATALOGUE, SETTINGS.model_copy(update={"device": "cuda", "threads": 4}), BOTH)
    assert set(given) == {"cuda"}
    # A card has memory for one.
    assert most_at_work == 1
    assert made.model.device == "cuda"
    assert json.loads(made.model.files()["metadata.json"])["device"] == "cuda"


def test_a_version_is_read_on_its_own_device_and_where_that_is_missing_it_does_not_score(
    result: TrainingResult, tmp_path: Path, nowhere: None
) -> None:
    model = replace(result.model, device="cuda")
    assert ScoringModel.from_files(model.files(), "test").device == "cuda"
    home = Settings(home=tmp_path)
    store = ModelStore(home)
    store.keep(TARGET.name, "1", model, None)
    row = LedgerRow(
        target=TARGET.name,
        version="1",
        promoted=True,
        effective_from=MONDAY,
        labels_closed_by=MONDAY,
        reason="test",
        who="test",
        recorded_at=home.clock(),
    )
    with pytest.raises(
        RefusedError, match="version 1 was trained on cuda, on which it scores too, and there is no GPU"
    ):
        store.load(row)


def test_what_if_reads_a_version_on_its_own_device_too(result: TrainingResult, tmp_path: Path, nowhere: None) -> None:
    model = replace(result.model, device="cuda")
    home = Settings(home=tmp_path)
    ModelStore(home).keep(TARGET.name, "1", model, None)
    with duckdb.connect() as con:
        con.execute("create table promotions (seq integer, target text, version text, metrics text)")
        con.execute("insert into promotions values (1, ?, '1', ?)", [TARGET.name, json.dumps({DIGEST: model.digest})])
        published = SimpleNamespace(settings=home, cursor=con.cursor)
        with pytest.raises(RefusedError, match="version 1 was trained on cuda"):
            Models(published).of({TARGET.version_column: "1"}, TARGET)


def test_a_version_that_says_no_device_is_one_of_the_processor(result: TrainingResult) -> None:
    """So are all that were trained before there was a choice, and their digests stay."""
    assert "device" not in json.loads(result.model.files()["metadata.json"])
    assert ScoringModel.from_files(result.model.files(), "test").device == "cpu"
