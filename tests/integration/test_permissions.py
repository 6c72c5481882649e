"""What other users of the machine can read of a home, tried as one of them."""

from __future__ import annotations

import grp
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from churn_pipeline.core.atomic import replace_bytes, swap_folders, temp_folders
from churn_pipeline.core.errors import InputError
from churn_pipeline.core.home import home_lock
from churn_pipeline.core.permissions import make_private
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.warehouse import connect
from churn_pipeline.delivery.publish import publish
from tests.conftest import TINY_BEFORE
from tests.support.homes import copy_of
from tests.support.second_user import SECOND_USER, as_second_user, reachable_folder, readable

# Some group of this machine that root is not in.
TEAM = next((group for group in grp.getgrall() if group.gr_gid not in {os.getgid(), *os.getgroups()}), None)
# What a home holds that is neither raw nor published: the folders that are its owner's alone.
PRIVATE = {"dagster", "dbt", "models", "outbox", "quality", "report"}


@pytest.fixture(scope="module")
def original(tiny_home: Settings) -> Iterator[Settings]:
    """A home that other users can get to, with raw tables in it that they may read."""
    with reachable_folder() as folder:
        settings = copy_of(tiny_home, folder / "home")
        settings.home.chmod(0o755)
        raw = settings.data / "raw"
        raw.mkdir()
        raw.chmod(0o775)
        (raw / "customers.csv").write_text("customer_id\n", encoding="utf-8")
        (raw / "customers.csv").chmod(0o664)
        yield settings


@pytest.fixture
def home(original: Settings) -> Iterator[Settings]:
    copied = copy_of(original, original.home.with_name("copy"))
    yield copied
    shutil.rmtree(copied.home)


def with_group(settings: Settings) -> Settings:
    if TEAM is None or os.geteuid():
        pytest.skip("only root can give a folder to a group that it is not in")
    return Settings(
        **settings.model_dump(include=settings.model_fields_set) | {"published_group": TEAM.gr_name},
    )


def opened(settings: Settings) -> None:
    """Makes of a home what versions before made of it: open to everybody."""
    for path in (settings.data, settings.mlflow_home, *settings.data.rglob("*"), *settings.mlflow_home.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def test_another_user_reads_the_raw_tables_and_nothing_else_of_a_home(original: Settings) -> None:
    assert readable(original.home) == {"data/raw", "data/raw/customers.csv"}
    assert stat.S_IMODE(original.data.stat().st_mode) == 0o711
    folders = {path.name: path for path in original.data.iterdir() if path.is_dir()} | {"mlflow": original.mlflow_home}
    assert {*folders} - {"raw", "published"} >= PRIVATE
    assert {name: stat.S_IMODE(folder.stat().st_mode) for name, folder in folders.items() if name != "raw"} == (
        dict.fromkeys({*folders} - {"raw"}, 0o700)
    )
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in original.data.iterdir() if path.is_file()} == (
        dict.fromkeys((".lock", "first_monday.json", "home.json", "warehouse.duckdb"), 0o600)
    )


def test_an_older_home_is_closed_by_whoever_writes_next_and_it_is_said_once(home: Settings) -> None:
    opened(home)
    (home.data / "raw").chmod(0o777)
    everything = {path.relative_to(home.home).as_posix() for path in home.home.rglob("*")}
    assert readable(home.home) == everything

    sentences: list[str] = []
    with home_lock(home, "a test", sentences.append):
        pass

    assert readable(home.home) == {"data", "data/raw", "data/raw/customers.csv"}
    assert [stat.S_IMODE(path.stat().st_mode) for path in (home.home, home.data, home.data / "raw")] == [
        0o755,
        0o755,
        0o777,
    ]
    assert len(sentences) == 2
    assert all(name in sentences[0] for name in (*PRIVATE, "mlflow", "warehouse.duckdb")), sentences
    assert "CHURN_PUBLISHED_GROUP" in sentences[1]
    with home_lock(home, "a test", sentences.append):
        pass
    assert len(sentences) == 2


def test_what_a_writer_makes_meanwhile_is_private_from_its_first_byte(home: Settings) -> None:
    before = os.umask(0o022)
    os.umask(before)
    with home_lock(home, "a test"), connect(home) as con:
        con.execute("create table scratch as select 1 as one")
        assert stat.S_IMODE(home.warehouse.with_name("warehouse.duckdb.wal").stat().st_mode) == 0o600
        con.execute("drop table scratch")
    assert os.umask(before) == before


def test_the_group_of_the_setting_reads_what_is_published_and_nothing_else(home: Settings) -> None:
    settings = with_group(home)
    assert TEAM is not None
    sentences: list[str] = []
    with home_lock(settings, "a test", sentences.append), connect(settings) as con:
        # What is there already, and what is put in its place, in folders that are new.
        shutil.rmtree(settings.published / "predictions")
        publish(con, settings, [TINY_BEFORE])
        new, old = temp_folders(settings.published / "call_lists" / "2026-01-05")
        (new / "of" / "one").mkdir(parents=True)
        (new / "of" / "one" / "elena.csv").write_text("a", encoding="utf-8")
        swap_folders(new, old, settings.published / "call_lists" / "2026-01-05")
    assert len(sentences) == 1 and f"the group '{TEAM.gr_name}'" in sentences[0]

    theirs = {path.relative_to(settings.home).as_posix() for path in settings.published.rglob("*")}
    raw = {"data/raw", "data/raw/customers.csv"}
    assert {Path(name).suffix for name in theirs} >= {".parquet", ".duckdb", ".html", ".csv", ".png"}
    assert "data/published/call_lists/2026-01-05/of/one/elena.csv" in theirs
    assert readable(settings.home, TEAM.gr_gid) == {*theirs, *raw, "data/published"}
    assert readable(settings.home) == raw
    assert stat.S_IMODE(settings.published.stat().st_mode) & 0o777 == 0o750

    def query() -> object:
        with duckdb.connect(str(settings.published_database), read_only=True) as con:
            return con.execute("select count(*) > 100 from predictions").fetchall()

    assert as_second_user(query, TEAM.gr_gid) == "[(True,)]"

    # Taken back, the folder is the owner's alone again.
    make_private(home)
    assert readable(settings.home, TEAM.gr_gid) == raw


def test_a_page_that_is_written_after_the_lock_is_for_the_group_too(home: Settings) -> None:
    settings = with_group(home)
    assert TEAM is not None
    make_private(settings)
    page = settings.published / "replay" / "page.html"
    # Of a user who lets nobody read what they make.
    before = os.umask(0o077)
    try:
        page.parent.mkdir()
        replace_bytes(page, b"<p>")
    finally:
        os.umask(before)
    assert page.relative_to(settings.home).as_posix() in readable(settings.home, TEAM.gr_gid)
    assert page.relative_to(settings.home).as_posix() not in readable(settings.home)


def test_a_data_folder_that_is_closed_lets_the_group_through_and_a_closed_home_is_said(home: Settings) -> None:
    settings = with_group(home)
    assert TEAM is not None
    settings.data.chmod(0o700)
    settings.home.chmod(0o700)
    sentences: list[str] = []
    make_private(settings, sentences.append)
    assert stat.S_IMODE(settings.data.stat().st_mode) == 0o710
    assert stat.S_IMODE(settings.home.stat().st_mode) == 0o700
    assert readable(settings.home, TEAM.gr_gid) == set()
    assert f"chmod o+x {settings.home}'" in sentences[-1]

    settings.home.chmod(0o711)
    assert "data/published/churn.duckdb" in readable(settings.home, TEAM.gr_gid)
    assert not any("warehouse" in name for name in readable(settings.home, TEAM.gr_gid))


def test_a_group_that_is_not_there_or_not_the_users_own_is_refused_in_one_line(home: Settings) -> None:
    nobody = Settings(**home.model_dump(include=home.model_fields_set) | {"published_group": "no-such-group"})
    with pytest.raises(InputError, match="CHURN_PUBLISHED_GROUP: this machine has no group 'no-such-group'"):
        make_private(nobody)

    settings = with_group(home)
    for path in (settings.home, *settings.home.rglob("*")):
        os.chown(path, SECOND_USER, SECOND_USER)

    def try_it() -> object:
        with pytest.raises(InputError) as refusal:
            make_private(settings)
        return refusal.value

    said = as_second_user(try_it)
    assert "could not be given to the group" in said and "usermod" in said and "\n" not in said
