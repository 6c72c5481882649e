"""MLflow is gone, is read-only, was replaced by an empty one, or holds damaged files."""

from __future__ import annotations

import shutil
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from churn_pipeline.core.calendar import WEEK
from churn_pipeline.core.settings import Settings
from churn_pipeline.orchestration.execute import prepare_home, run_mondays, train_monday
from tests.conftest import TINY_BEFORE, TINY_MONDAY
from tests.support.homes import at_noon_of, copy_of, query
from tests.support.processes import BIN, churn, environment, in_namespace


def trainings(settings: Settings) -> list[tuple]:
    return query(settings.warehouse, "select target, version, labels_closed_by from ledger.promotions order by seq")


def published(settings: Settings, week: object) -> list[tuple]:
    return query(
        settings.published_database,
        f"""
        select customer_id, churn_probability_30d, churn_probability_90d, churn_90d_model_version
        from predictions where snapshot_date = '{week}' order by 1
        """,
    )


def test_without_its_store_a_monday_is_scored_from_the_copies_and_says_so(tiny_copy: Settings) -> None:
    before = published(tiny_copy, TINY_BEFORE)
    shutil.rmtree(tiny_copy.mlflow_home)
    completed = churn(tiny_copy, "run", "--week", str(TINY_BEFORE))
    assert completed.returncode == 0, completed.stderr
    assert "churn_90d version 1 comes from the copy in" in completed.stderr
    assert "mlflow.db is not there" in completed.stderr
    assert published(tiny_copy, TINY_BEFORE) == before
    assert not tiny_copy.mlflow_database.exists(), "an empty store would be taken for the real one"


def test_on_a_training_monday_without_the_store_the_list_comes_out_and_the_training_is_reported_as_not_made(
    tiny_copy: Settings,
) -> None:
    shutil.move(tiny_copy.mlflow_home, tiny_copy.home / "elsewhere")
    before = trainings(tiny_copy)
    completed = churn(tiny_copy, "run", "--week", str(TINY_MONDAY))
    assert completed.returncode == 0, completed.stderr
    assert f"churn_90d could not be trained as of {TINY_MONDAY}: MLflow at sqlite" in completed.stderr
    assert trainings(tiny_copy) == before
    assert {row[3] for row in published(tiny_copy, TINY_MONDAY)} == {"1"}
    # It is back: the next run makes up for the training.
    tiny_copy.mlflow_home.rmdir()
    shutil.move(tiny_copy.home / "elsewhere", tiny_copy.mlflow_home)
    assert run_mondays(tiny_copy, TINY_MONDAY).exit_code == 0
    assert {row[2] for row in trainings(tiny_copy)} > {row[2] for row in before}


@pytest.mark.nightly
def test_without_the_store_a_past_monday_whose_training_is_missing_is_refused_and_the_others_of_the_range_come_out(
    tiny_copy: Settings, reference: Settings
) -> None:
    """Scored with the model before, it would keep another one than a replay with the store gives it, for good."""
    this_monday = TINY_MONDAY + WEEK
    later = at_noon_of(tiny_copy, this_monday)
    before, known = published(later, TINY_BEFORE), trainings(later)
    shutil.move(later.mlflow_home, later.home / "elsewhere")
    completed = churn(later, "backfill", "--from", str(TINY_BEFORE), "--to", str(this_monday))
    assert completed.returncode == 3, completed.stderr
    missing = f"its training as of {TINY_MONDAY} was not made"
    assert f"{TINY_MONDAY}: there is no model churn_30d for {TINY_MONDAY}: {missing}" in completed.stderr
    assert "churn_90d version 1 comes from the copy in" in completed.stderr
    assert trainings(later) == known
    assert published(later, TINY_BEFORE) == before
    assert published(later, TINY_MONDAY) == []
    assert {row[3] for row in published(later, this_monday)} == {"1"}
    runs = query(
        later.published_database,
        """
        select snapshot_date, scoring_mode, status, exit_code, reason from runs
        where run_id = (select arg_max(run_id, recorded_at) from runs) order by 1
        """,
    )
    assert [row[:4] for row in runs] == [
        (TINY_BEFORE, "as_of", "published", 0),
        (TINY_MONDAY, "as_of", "refused", 3),
        (this_monday, "live", "published", 0),
    ]
    assert missing in runs[1][4]
    # It is back: the refused Monday is run again, with its own model.
    later.mlflow_home.rmdir()
    shutil.move(later.home / "elsewhere", later.mlflow_home)
    assert run_mondays(later, TINY_MONDAY).exit_code == 0
    assert published(later, TINY_MONDAY) == published(reference, TINY_MONDAY)


def test_asked_to_train_without_the_store_it_fails_and_says_why(tiny_copy: Settings) -> None:
    shutil.rmtree(tiny_copy.mlflow_home)
    outcome, rows = train_monday(tiny_copy, TINY_MONDAY, "ana")
    assert outcome.exit_code == 1
    assert "mlflow.db is not there" in outcome.reason
    assert rows == []


def test_an_empty_store_in_place_of_the_lost_one_is_not_taken_for_it(tiny_copy: Settings, tmp_path: Path) -> None:
    """Its version 1 would be another model than the ledger's."""
    other = copy_of(tiny_copy, tmp_path / "other")
    shutil.rmtree(other.mlflow_home)
    other.mlflow_home.mkdir()
    subprocess.run(
        [str(BIN / "mlflow"), "db", "upgrade", f"sqlite:///{other.mlflow_database}"],
        env=environment(other),
        check=True,
        capture_output=True,
    )
    outcome, rows = train_monday(other, TINY_MONDAY, "ana")
    assert outcome.exit_code == 1
    assert "not found" in outcome.reason
    assert rows == []
    completed = churn(other, "run", "--week", str(TINY_BEFORE))
    assert completed.returncode == 0, completed.stderr
    assert "comes from the copy in" in completed.stderr


@pytest.fixture
def settled(tiny_copy: Settings, tiny_home: Settings) -> Settings:
    """A copy whose store points at its own files: it says so of itself once, and could not on a read-only mount."""
    prepare_home(tiny_copy)
    with closing(sqlite3.connect(tiny_copy.mlflow_database)) as con:
        (places,) = con.execute("select group_concat(storage_location) from model_versions").fetchone()
    assert str(tiny_copy.home) in places and str(tiny_home.home) not in places
    return tiny_copy


@pytest.mark.nightly
def test_a_read_only_store_is_read_as_ever_and_a_training_fails_clearly(settled: Settings) -> None:
    """A real read-only mount where that is allowed; root would write to files that are merely marked so."""
    before, known = published(settled, TINY_BEFORE), trainings(settled)
    logs = {name: settled.home / f"{name}.txt" for name in ("scored", "due", "asked")}
    script = f"""
        mount --bind {settled.mlflow_home} {settled.mlflow_home} && mount -o remount,ro,bind {settled.mlflow_home} || exit 77
        {BIN}/churn run --week {TINY_BEFORE} >/dev/null 2>{logs["scored"]}; echo "scored $?"
        {BIN}/churn run --week {TINY_MONDAY} >/dev/null 2>{logs["due"]}; echo "due $?"
        {BIN}/churn train --week {TINY_MONDAY} >/dev/null 2>{logs["asked"]}; echo "asked $?"
    """
    completed = in_namespace(script, settled)
    scored, due, by_hand = (path.read_text(encoding="utf-8") for path in logs.values())
    assert completed.stdout.split("\n") == ["scored 0", "due 0", "asked 1", ""], scored + due + by_hand
    # Its files are there and are the models that the ledger names, so the copies are not needed.
    assert "comes from the copy" not in scored + due
    assert published(settled, TINY_BEFORE) == before
    assert {row[3] for row in published(settled, TINY_MONDAY)} == {"1"}
    assert f"churn_90d could not be trained as of {TINY_MONDAY}: MLflow at sqlite" in due
    assert "MLflow at sqlite" in by_hand
    for text in (due, by_hand):
        assert "readonly" in text or "read-only" in text.lower()
        assert "Traceback" not in text
    assert trainings(settled) == known


@pytest.mark.parametrize("listening", [pytest.param(False, marks=pytest.mark.nightly), True])
def test_a_server_that_does_not_answer_is_given_up_after_seconds(tiny_copy: Settings, listening: bool) -> None:
    """One that is not there, and one that takes every connection and stays silent: five seconds each time a model is read, which is
    six times in a run, and not a minute."""
    before = published(tiny_copy, TINY_BEFORE)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if listening:
            server.listen(100)
        nobody = f"http://user:secret@127.0.0.1:{server.getsockname()[1]}"
        began = time.monotonic()
        completed = churn(tiny_copy, "run", "--week", str(TINY_BEFORE), CHURN_MLFLOW_TRACKING_URI=nobody)
        seconds = time.monotonic() - began
    assert completed.returncode == 0, completed.stderr
    for target in ("churn_30d", "churn_90d", "expansion_90d"):
        assert f"{target} version 1 comes from the copy in" in completed.stderr
    assert ("Read timed out" if listening else "Connection refused") in completed.stderr
    assert published(tiny_copy, TINY_BEFORE) == before
    assert "secret" not in completed.stderr + completed.stdout
    assert seconds < 90


@pytest.fixture
def damaged(tiny_copy: Settings) -> Iterator[Settings]:
    """A home in which a byte of the 90-day model's trees has changed, as MLflow holds them."""
    for trees in tiny_copy.mlflow_artifacts.rglob("model.ubj"):
        content = bytearray(trees.read_bytes())
        content[len(content) // 2] ^= 0x10
        trees.write_bytes(bytes(content))
    # Where the home has not run since it was copied, its store still points at the original.
    run_mondays(tiny_copy, TINY_BEFORE)
    yield tiny_copy


def test_a_damaged_model_is_never_scored_with(damaged: Settings, tiny_home: Settings) -> None:
    expected = published(tiny_home, TINY_BEFORE)
    completed = churn(damaged, "run", "--week", str(TINY_BEFORE))
    assert completed.returncode == 0, completed.stderr
    assert "model.ubj is damaged: its SHA-256 is not the one it was saved with" in completed.stderr
    assert published(damaged, TINY_BEFORE) == expected
    shutil.rmtree(damaged.models)
    completed = churn(damaged, "run", "--week", str(TINY_BEFORE))
    assert completed.returncode == 2
    assert "model.ubj is damaged" in completed.stderr
    assert "Traceback" not in completed.stderr
    assert published(damaged, TINY_BEFORE) == expected


@pytest.mark.nightly
def test_a_model_swapped_for_another_whole_one_is_found_out(tiny_copy: Settings) -> None:
    run_mondays(tiny_copy, TINY_MONDAY)
    first, second = (tiny_copy.models / "churn_90d" / version for version in ("1", "2"))
    shutil.rmtree(first)
    shutil.copytree(second, first)
    shutil.rmtree(tiny_copy.mlflow_home)
    completed = churn(tiny_copy, "run", "--week", str(TINY_BEFORE))
    assert completed.returncode == 2
    assert "not the model that the ledger names" in completed.stderr


def test_a_home_that_is_moved_takes_its_models_along_and_leaves_the_original_alone(
    tiny_copy: Settings, tmp_path: Path
) -> None:
    moved = copy_of(tiny_copy, tmp_path / "moved")
    untouched = {path: path.stat().st_mtime_ns for path in tiny_copy.mlflow_home.rglob("*")}
    # A training registers its versions where the home is now.
    outcome, rows = train_monday(moved, TINY_MONDAY, "ana")
    assert outcome.exit_code == 0, outcome.reason
    assert {row["labels_closed_by"] for row in rows} == {TINY_MONDAY}
    assert {path: path.stat().st_mtime_ns for path in tiny_copy.mlflow_home.rglob("*")} == untouched
    shutil.rmtree(tiny_copy.home)
    shutil.rmtree(moved.models)
    completed = churn(moved, "run", "--week", str(TINY_MONDAY))
    assert completed.returncode == 0, completed.stderr
    assert {row[3] for row in published(moved, TINY_MONDAY)} == {"2"}
    assert "comes from the copy" not in completed.stderr
