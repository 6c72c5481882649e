"""The home that the code of November 2026 left behind (tests/data/first_home) opens, and its next Monday is scored and published."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import tarfile
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pytest
from pydantic import SecretStr

from churn_pipeline.core.home_migrations import MIGRATIONS
from churn_pipeline.core.settings import REPOSITORY, Settings
from churn_pipeline.modeling.registry import EXPERIMENT
from churn_pipeline.orchestration.execute import Outcome, run_mondays
from churn_pipeline.privacy import erase, files
from tests.support.homes import copy_of, query
from tests.support.processes import churn

KEPT = REPOSITORY / "tests" / "data" / "first_home" / "home.tar.xz"
PUBLISHED = (date(2026, 6, 1), date(2026, 6, 8))
NEXT = date(2026, 6, 15)
FORGOTTEN = "C0000061"
# Tables of the warehouse that hold what cannot be computed again. A later format may add columns and rows to them.
LEDGERS = (
    "ledger.promotions",
    "ledger.runs",
    "ledger.erasures",
    "ledger.policy_seeds",
    "landing.undated_ledger",
    "control.forgotten",
    "control.holdout",
    "monitoring.drift",
    "monitoring.drift_verdicts",
    "monitoring.judgements",
)


class Opened(NamedTuple):
    """The home as it was, and the same home after its next Monday."""

    before: Settings
    after: Settings
    outcome: Outcome


@pytest.fixture(scope="module")
def first_home(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The kept home, not opened yet, with the settings that it was made with and the clock at its next Monday."""
    folder = tmp_path_factory.mktemp("first_home")
    with tarfile.open(KEPT) as archive:
        archive.extractall(folder, filter="data")
    return Settings(
        home=folder / "home",
        raw=folder / "raw",
        now=datetime(NEXT.year, NEXT.month, NEXT.day, 12, tzinfo=UTC),
        lock_wait_seconds=5,
        history_weeks=60,
        min_train_churners=20,
        min_test_churners=5,
        bootstrap_replicates=50,
        holdout_share=0.5,
        # As then, a Slack that is not there: nothing is sent, and what waits goes on waiting.
        slack_token=SecretStr("xoxb-nobody"),
        slack_channel="C0000CHURN",
        slack_api="http://127.0.0.1:9/api/",
    )


@pytest.fixture(scope="module")
def opened(first_home: Settings, tmp_path_factory: pytest.TempPathFactory) -> Opened:
    """The home before and after its next Monday."""
    after = copy_of(first_home, tmp_path_factory.mktemp("opened") / "home")
    return Opened(first_home, after, run_mondays(after, NEXT))


def digest(home: Path) -> str:
    """Of every file's name, content and time."""
    whole = hashlib.sha256()
    for path in sorted(home.rglob("*")):
        whole.update(f"{path.relative_to(home)} {path.stat().st_mtime_ns if path.is_file() else ''}".encode())
        if path.is_file():
            whole.update(path.read_bytes())
    return whole.hexdigest()


def lost(before: Path, after: Path, relation: str) -> list[tuple[Any, ...]]:
    """Rows of a relation that one database has and another one has not, in the columns that it had."""
    with duckdb.connect() as con:
        con.execute(f"attach '{before}' as b (read_only)")
        con.execute(f"attach '{after}' as a (read_only)")
        columns = ", ".join(f'"{name}"::varchar' for name, *_ in con.execute(f"describe b.{relation}").fetchall())
        return con.execute(
            f"select {columns} from b.{relation} except all select {columns} from a.{relation}"
        ).fetchall()


def lost_rows(before: Path, after: Path) -> list[tuple[Any, ...]]:
    """Rows of a Parquet file that another does not have, in the columns that the first has."""
    with duckdb.connect() as con:
        files = [f"read_parquet('{path}', hive_partitioning = false)" for path in (before, after)]
        columns = ", ".join(f'"{name}"::varchar' for name, *_ in con.execute(f"describe from {files[0]}").fetchall())
        return con.execute(f"select {columns} from {files[0]} except all select {columns} from {files[1]}").fetchall()


def messages(settings: Settings) -> dict[str, dict[str, Any]]:
    """What lies in the outbox, by the name of the file."""
    return {
        path.name: json.loads(path.read_text(encoding="utf-8"))
        for path in settings.outbox.glob("*.json")
        if not path.name.endswith(".blocks.json")
    }


@pytest.mark.long
def test_the_next_monday_is_published_and_the_home_has_the_current_format(opened: Opened) -> None:
    assert opened.outcome.exit_code == 0, opened.outcome.reason
    assert not opened.before.home_note.exists()
    assert json.loads(opened.after.home_note.read_text(encoding="utf-8"))["format"] == len(MIGRATIONS)
    rows = query(
        opened.after.published_database, "select snapshot_date, count(*) from predictions group by 1 order by 1"
    )
    assert [day for day, _ in rows] == [*PUBLISHED, NEXT]
    assert min(count for _, count in rows) > 300
    assert query(opened.after.published_database, f"select status from runs where snapshot_date = date '{NEXT}'") == [
        ("published",)
    ]


@pytest.mark.long
@pytest.mark.parametrize("table", LEDGERS)
def test_no_row_is_lost_that_cannot_be_computed_again(opened: Opened, table: str) -> None:
    assert query(opened.before.warehouse, f"select count(*) > 0 from {table}") == [(True,)]
    assert lost(opened.before.warehouse, opened.after.warehouse, table) == []


@pytest.mark.long
def test_the_figures_of_past_mondays_are_the_same_under_the_new_name_of_their_column(opened: Opened) -> None:
    figures = "select {} as day, * exclude ({}) from {} where {} <= date '2026-06-08' order by all"
    before = query(opened.before.warehouse, figures.format(*["monday"] * 2, "monitoring.model_quality", "monday"))
    assert len(before) == 120
    for database, table in (
        (opened.after.warehouse, "monitoring.model_quality"),
        (opened.after.monitoring_database, "model_quality"),
    ):
        assert query(database, figures.format(*["assessed_on"] * 2, table, "assessed_on")) == before


@pytest.mark.long
def test_scores_of_past_mondays_keep_their_probabilities_and_contributions_now_one_row_a_target(opened: Opened) -> None:
    wide = """
        select snapshot_date, customer_id, target, bias::varchar, contributions::varchar,
            case target when 'churn_30d' then churn_probability_30d else churn_probability_90d end,
            case target when 'churn_90d' then churn_drivers end, case target when 'churn_90d' then change_drivers end
        from scoring.scores inner join scoring.contributions using (snapshot_date, customer_id) order by 1, 2, 3
    """
    long = """
        select snapshot_date, customer_id, target, bias::varchar, contributions::varchar, probability, drivers, change_drivers
        from scoring.scores where snapshot_date <= date '2026-06-08' order by 1, 2, 3
    """
    before = query(opened.before.warehouse, wide)
    assert len(before) == 1396
    assert query(opened.after.warehouse, long) == before


@pytest.mark.long
def test_published_weeks_keep_their_predictions_to_the_bit(opened: Opened) -> None:
    # In the columns that they had; what came later is empty there, but for the segment.
    assert lost(opened.before.published_database, opened.after.published_database, "predictions") == []
    for day in PUBLISHED:
        for home in (opened.before, opened.after):
            count = f"select count(*) > 300 from predictions where snapshot_date = date '{day}'"
            assert query(home.published_database, count) == [(True,)]
        former = opened.before.published / "predictions" / f"snapshot_date={day}" / "predictions.parquet"
        assert former.is_file()
        assert lost_rows(former, opened.after.published / "predictions" / f"{day}.parquet") == []


@pytest.mark.long
def test_published_files_have_the_names_of_this_version_and_the_folders_of_the_former_one_are_gone(
    opened: Opened,
) -> None:
    folder = opened.after.published / "predictions"
    assert sorted(path.name for path in folder.iterdir()) == [f"{day}.parquet" for day in (*PUBLISHED, NEXT)]
    with duckdb.connect() as con:
        # Every file has the columns of the newest: whoever reads the folder meets one table.
        described = [con.execute(f"describe from '{path}'").fetchall() for path in sorted(folder.iterdir())]
        assert described[0] == described[-1]
        rows = con.execute(f"select snapshot_date, count(*) from '{folder}/*.parquet' group by 1 order by 1").fetchall()
    assert rows == query(
        opened.after.published_database, "select snapshot_date, count(*) from predictions group by 1 order by 1"
    )


@pytest.mark.long
def test_the_decision_by_hand_is_in_force_and_its_version_is_the_one_that_was_registered(opened: Opened) -> None:
    versions = "select distinct churn_30d_model_version, churn_90d_model_version from predictions where snapshot_date = date '{}'"
    assert query(opened.after.published_database, versions.format(NEXT)) == [("2", "3")]
    kept = {path.relative_to(opened.before.models): path.read_bytes() for path in opened.before.models.rglob("*.*")}
    assert len(kept) == 42
    assert {path: (opened.after.models / path).read_bytes() for path in kept} == kept
    kept = {
        path.relative_to(opened.before.mlflow_artifacts): path.read_bytes()
        for path in opened.before.mlflow_artifacts.rglob("*.ubj")
    }
    assert len(kept) == 6
    assert {path: (opened.after.mlflow_artifacts / path).read_bytes() for path in kept} == kept


@pytest.mark.long
def test_no_experiment_of_mlflow_points_out_of_the_home(opened: Opened) -> None:
    places = "select name, artifact_location from experiments order by name"
    for home, inside in ((opened.before, {False}), (opened.after, {True})):
        with closing(sqlite3.connect(home.mlflow_database)) as con:
            rows = con.execute(places).fetchall()
        assert [name for name, _ in rows] == ["Default", EXPERIMENT]
        assert {place.startswith(home.mlflow_artifacts.as_uri()) for _, place in rows} == inside, rows


@pytest.mark.long
def test_past_mondays_do_not_say_what_kind_their_models_were_and_the_next_one_does(opened: Opened) -> None:
    rows = query(
        opened.after.published_database,
        "select distinct snapshot_date, churn_30d_model_kind, churn_90d_model_kind from predictions order by 1",
    )
    assert rows[:-1] == [(day, None, None) for day in PUBLISHED]
    # Its models were stored before versions said what they are.
    assert rows[-1] == (NEXT, "trees", "trees")
    assert query(opened.after.published_database, "select count(*) from notices where kind = 'ranking'") == [(0,)]


@pytest.mark.long
def test_the_hold_out_goes_on_with_the_share_and_the_seed_that_the_home_had(opened: Opened) -> None:
    assert query(opened.after.warehouse, "select share, seed from control.holdout") == [(0.5, 7)]
    # On past Mondays who was in an urgent tier; from now on who would be called and is not among the largest accounts.
    rows = query(
        opened.after.published_database,
        f"""
        select customer_id, snapshot_date, is_holdout from predictions
        where if(snapshot_date < date '{NEXT}', risk_tier in ('HIGH', 'CRITICAL'), is_in_holdout_draw)
        """,
    )
    assert {day for _, day, _ in rows} >= {PUBLISHED[0], NEXT}
    for customer, _, is_holdout in rows:
        # All three Mondays lie in one quarter.
        draw = int(hashlib.md5(f"{customer}|2026Q2|7".encode(), usedforsecurity=False).hexdigest()[:8], 16) / 2**32
        assert is_holdout == (draw < 0.5)
    ((held_out,),) = query(opened.after.published_database, "select count(*) from predictions where is_holdout")
    assert held_out == sum(is_holdout for *_, is_holdout in rows) >= 2


@pytest.mark.long
def test_past_mondays_have_a_segment_and_no_list_and_the_next_one_has_a_list(opened: Opened) -> None:
    rows = query(
        opened.after.published_database,
        """
        select snapshot_date, bool_and(segment = play), count(is_on_call_list), count(churn_themes), count(*) filter (where is_on_call_list)
        from predictions group by 1 order by 1
        """,
    )
    assert [row[1:4] for row in rows if row[0] in PUBLISHED] == [(True, 0, 0)] * 2
    day, is_the_segment, listed, explained, calls = rows[-1]
    assert (day, is_the_segment) == (NEXT, False)
    assert listed == explained > 300
    assert calls > 20


@pytest.mark.long
def test_the_forgotten_customer_is_nowhere_although_the_raw_files_have_them(opened: Opened) -> None:
    found = erase.preview(opened.after, FORGOTTEN)
    assert found.raw_rows["customers"] == 1
    assert found.touched == ()
    for name in ("key", "list.json"):
        forgotten = Path("data", "forgotten", name)
        assert (opened.after.home / forgotten).read_bytes() == (opened.before.home / forgotten).read_bytes()
    for path in opened.after.published.rglob("*"):
        if path.suffix in (".html", ".csv", ".svg"):
            text = path.read_text(encoding="utf-8")
            assert FORGOTTEN not in "".join([text, *files.unpacked(text)]), path


@pytest.mark.long
def test_messages_that_waited_still_wait_unless_they_have_become_too_old_or_a_newer_list_is_out(opened: Opened) -> None:
    before, after = messages(opened.before), messages(opened.after)
    waiting = {name for name, message in before.items() if message["state"] == "pending"}
    assert len(waiting) == 14
    assert {name: (after[name]["text"], after[name]["blocks"]) for name in waiting} == {
        name: (before[name]["text"], before[name]["blocks"]) for name in waiting
    }
    dropped = {name for name in waiting if after[name]["state"] == "dropped"}
    assert {after[name]["state"] for name in waiting - dropped} == {"pending"}
    assert {name for name in waiting if name.startswith("model-refused-2026-06-08")} <= waiting - dropped
    assert all(after[name]["reason"].startswith("superseded") for name in dropped)


@pytest.mark.parametrize("command", [("show",), ("customer", "C0000328"), ("models",)])
def test_commands_that_read_understand_the_old_home_and_change_nothing(
    first_home: Settings, command: tuple[str, ...]
) -> None:
    before = digest(first_home.home)
    done = churn(first_home, *command, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    match command[0]:
        case "show":
            assert found["snapshot_date"] == "2026-06-08"
            # Before its next Monday it has no call list.
            assert found["calls"] == []
        case "customer":
            assert found["customer_id"] == "C0000328"
        case "models":
            assert {(row["target"], row["version"]) for row in found if row["promoted"]} >= {("churn_90d", "3")}
    assert digest(first_home.home) == before
