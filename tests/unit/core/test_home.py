"""A home of an older format is brought to the current one, whole or not at all, and one of a newer format is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from churn_pipeline.core import home, run_state
from churn_pipeline.core.errors import InputError, LockedError, RefusedError
from churn_pipeline.core.home import home_lock, open_home
from churn_pipeline.core.home_migrations import MIGRATIONS, Migration
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.warehouse import connect
from tests.support.homes import query
from tests.support.processes import churn

CURRENT = len(MIGRATIONS)
TABLES = ("model_quality", "saves", "holdout_lift", "prediction_outcomes")
ROWS = [("2026-06-01", "a"), ("2026-06-08", "b")]

# Takes the lock, and dies with kill -9 in the place that is asked for.
KILLED = """
import os, signal, sys
from pathlib import Path
from churn_pipeline.core import home, home_migrations
from churn_pipeline.core.home import home_lock
from churn_pipeline.core.settings import Settings

def dying(function):
    def wrapper(*arguments):
        if AFTER:
            function(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)
    return wrapper

name, AFTER = sys.argv[2], sys.argv[3] == "after"
if name == "_note":
    home._note = dying(home._note)
else:
    step = home_migrations.MIGRATIONS[0]
    changed = {part: dying(getattr(step, part)) if part == name else getattr(step, part) for part in ("warehouse", "files")}
    home.MIGRATIONS = (home_migrations.Migration(step.what, **changed),)
with home_lock(Settings(home=Path(sys.argv[1])), "a test"):
    print("opened")
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", lock_wait_seconds=0.5)


@pytest.fixture
def old(settings: Settings) -> Settings:
    """A home of format 0, as far as a warehouse and what monitoring published make one."""
    with connect(settings) as con:
        con.execute("create schema monitoring; create schema failures; create schema ledger")
        for table in ("monitoring.drift", *(f"monitoring.{name}" for name in TABLES), "failures.not_null"):
            day = "snapshot_date" if table.endswith("drift") else "monday"
            con.execute(f"create table {table} ({day} date, target varchar)")
            con.executemany(f"insert into {table} values (?, ?)", ROWS)
        con.execute("create table ledger.runs as select 'r' as run_id")
        settings.published.mkdir()
        con.execute(f"attach '{settings.monitoring_database}' as published")
        for name in ("drift", *TABLES):
            con.execute(f"create table published.{name} as from monitoring.{name}")
        con.execute("detach published")
    return settings


def note(settings: Settings) -> dict[str, object]:
    return json.loads(settings.home_note.read_text(encoding="utf-8"))


def is_new(settings: Settings) -> bool:
    """Whether every table has its rows under the new name, in the warehouse and in the published copy."""
    places = [(settings.warehouse, f"monitoring.{name}") for name in TABLES]
    places += [(settings.monitoring_database, name) for name in TABLES]
    return all(
        query(path, f"select assessed_on::varchar, target from {table} order by 1") == ROWS for path, table in places
    )


def test_a_new_home_has_the_current_format_when_its_first_writer_begins(settings: Settings) -> None:
    with home_lock(settings, "first"):
        assert note(settings)["format"] == CURRENT
    assert {"format", "written_by", "written_at"} == set(note(settings))


def test_an_old_home_has_the_current_format_when_its_writer_begins_and_every_row(old: Settings) -> None:
    messages: list[str] = []
    with home_lock(old, "first", messages.append):
        assert is_new(old)
        assert note(old)["format"] == CURRENT
    assert [message for message in messages if "format 1: the column monday" in message]
    assert query(old.warehouse, "from ledger.runs") == [("r",)]
    assert query(old.monitoring_database, "select count(*), max(snapshot_date)::varchar from drift") == [
        (2, "2026-06-08")
    ]
    messages.clear()
    with home_lock(old, "second", messages.append):
        pass
    assert messages == []


def test_a_run_that_began_before_the_upgrade_cannot_go_on_after_it(old: Settings) -> None:
    with connect(old) as con:
        con.execute("create schema control")
        run_state.claim(con, "scores", "a run of the older version")
    open_home(old, "first")
    with connect(old) as con, pytest.raises(RefusedError, match=r"is of no run.*Run the Monday again from the start"):
        run_state.assert_owner(con, "scores", "a run of the older version")


def test_mondays_that_an_older_version_scored_have_a_column_for_the_kinds_of_their_models(settings: Settings) -> None:
    with connect(settings) as con:
        con.execute(
            "create schema scoring; create table scoring.scored_mondays as select date '2026-06-01' as snapshot_date"
        )
    open_home(settings, "first")
    assert query(settings.warehouse, "select snapshot_date::varchar, model_kinds from scoring.scored_mondays") == [
        ("2026-06-01", None)
    ]


def test_a_home_that_never_got_to_monitoring_is_opened_too(settings: Settings) -> None:
    with connect(settings) as con:
        con.execute("create table t as select 1 as a")
    open_home(settings, "first")
    assert note(settings)["format"] == CURRENT


@pytest.mark.parametrize(
    ("place", "when"), [("warehouse", "after"), ("files", "before"), ("files", "after"), ("_note", "before")]
)
def test_killed_in_the_middle_of_a_migration_the_next_opening_goes_on(old: Settings, place: str, when: str) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, str(old.home), place, when], capture_output=True, text=True)
    assert (killed.returncode, killed.stdout) == (-9, ""), killed.stderr
    assert not old.home_note.exists()
    if place == "warehouse":
        assert query(old.warehouse, "select monday::varchar, target from monitoring.saves order by 1") == ROWS
    open_home(old, "the next one")
    assert note(old)["format"] == CURRENT
    assert is_new(old)


def test_a_migration_that_fails_leaves_everything_as_it_was(old: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(con: duckdb.DuckDBPyConnection) -> None:
        MIGRATIONS[0].warehouse(con)
        raise OSError("no space left on device")

    before = old.monitoring_database.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(home, "MIGRATIONS", (Migration("half", half, MIGRATIONS[0].files),))
        with pytest.raises(OSError, match="no space left"), home_lock(old, "first"):
            pass
    assert not old.home_note.exists()
    assert old.monitoring_database.read_bytes() == before
    assert query(old.warehouse, "select monday::varchar, target from monitoring.saves order by 1") == ROWS
    open_home(old, "the next one")
    assert is_new(old)


def test_formats_are_made_one_at_a_time_and_each_is_noted_before_the_next_begins(
    old: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, object]] = []

    def step(name: str) -> Migration:
        def apply(_: duckdb.DuckDBPyConnection) -> None:
            seen.append((name, note(old)["format"] if old.home_note.exists() else 0))
            if name == "third" and len(seen) == 3:
                raise RuntimeError("stopped")

        return Migration(name, apply)

    monkeypatch.setattr(home, "MIGRATIONS", tuple(map(step, ("first", "second", "third"))))
    with pytest.raises(RuntimeError, match="stopped"):
        open_home(old, "first")
    open_home(old, "second")
    assert seen == [("first", 0), ("second", 1), ("third", 2), ("third", 2)]
    assert note(old)["format"] == 3


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (json.dumps({"format": CURRENT + 1, "written_by": "99.0", "written_at": "2030-01-07"}), ["99.0", "install"]),
        ("{", ["cannot be read", "backup"]),
        ('{"format": "new", "written_by": "1"}', ["cannot be read", "backup"]),
        ('{"format": -1, "written_by": "1"}', ["cannot be read", "backup"]),
    ],
)
def test_a_home_that_this_version_does_not_know_is_refused_in_one_sentence_and_not_touched(
    settings: Settings, content: str, words: list[str]
) -> None:
    settings.data.mkdir(parents=True)
    settings.home_note.write_text(content)
    with pytest.raises(InputError) as refused, home_lock(settings, "a writer"):
        pass
    assert all(word in str(refused.value) for word in words)
    with pytest.raises(InputError):
        open_home(settings, "a reader")
    assert [path.name for path in settings.data.iterdir()] == ["home.json"]


@pytest.mark.parametrize(
    "command",
    [
        ("run", "--raw"),
        ("train",),
        ("rollback", "churn_90d", "--reason", "r"),
        ("forget", "C1", "--yes"),
        ("replay-report", "--from", "2026-06-01"),
        ("publish",),
    ],
)
def test_every_command_that_writes_refuses_a_home_of_a_newer_format(
    settings: Settings, command: tuple[str, ...]
) -> None:
    raw = settings.home / "raw"
    raw.mkdir(parents=True)
    (raw / "customers.csv").write_text("customer_id\n")
    settings.data.mkdir(parents=True)
    settings.home_note.write_text(json.dumps({"format": CURRENT + 1, "written_by": "99.0", "written_at": ""}))
    arguments = [*command, str(raw)] if command[-1] == "--raw" else command
    done = churn(settings, *arguments, CHURN_PUBLISH_URL="postgresql://nobody@127.0.0.1:9/none")
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert "99.0" in done.stderr
    assert sorted(path.name for path in settings.home.rglob("*")) == ["customers.csv", "data", "home.json", "raw"]


def test_a_home_in_the_current_format_is_opened_beside_whoever_holds_the_lock(settings: Settings) -> None:
    with home_lock(settings, "a long run"):
        open_home(settings, "churn publish")
        settings.home_note.unlink()
        with pytest.raises(LockedError, match="a long run"):
            open_home(settings, "churn publish")
