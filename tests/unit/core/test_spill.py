"""What DuckDB cannot keep in memory goes where the settings say, and nothing of it is left by a killed process."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from churn_pipeline.core import faults
from churn_pipeline.core.errors import InputError
from churn_pipeline.core.home import home_lock
from churn_pipeline.core.settings import Settings, settings_of
from churn_pipeline.core.warehouse import connect, limits_of_dbt

# More than DuckDB may keep, in a process that dies as soon as some of it is in files.
KILLED = """
import os, signal, sys, threading, time
from pathlib import Path
from churn_pipeline.core.home import home_lock
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.warehouse import connect

settings = Settings(home=Path(sys.argv[1]), spill_dir=sys.argv[2] or None, memory_limit="128MiB", threads=1)

def die():
    while not any(file.stat().st_size for file in settings.spill.glob("duckdb_temp_*")):
        time.sleep(0.005)
    os.kill(os.getpid(), signal.SIGKILL)

with home_lock(settings, "a test"), connect(settings) as con:
    con.execute("create table rows as select md5(range::varchar) as word from range(3000000)")
    threading.Thread(target=die, daemon=True).start()
    con.execute("select count(*) from (select word, count(*) from rows group by word)").fetchall()
"""


@pytest.mark.parametrize("elsewhere", [False, True])
def test_what_a_killed_process_has_spilled_is_removed_by_whoever_writes_next(tmp_path: Path, elsewhere: bool) -> None:
    folder = tmp_path / "disk" if elsewhere else None
    settings = Settings(home=tmp_path / "home", spill_dir=folder)
    process = subprocess.run([sys.executable, "-c", KILLED, str(settings.home), str(folder or "")], check=False)
    assert process.returncode == -9
    assert any(settings.spill.glob("duckdb_temp_*"))
    assert settings.spill.is_relative_to(folder or settings.data)
    with home_lock(settings, "a test"):
        assert not any(settings.spill.glob("*"))


def test_a_folder_for_spilling_can_be_given_taken_away_and_shared_by_homes(tmp_path: Path) -> None:
    homes = [Settings(home=tmp_path / name, spill_dir=tmp_path / "disk") for name in ("a", "b")]
    for settings in homes:
        with home_lock(settings, "a test"), connect(settings) as con:
            assert con.execute("select current_setting('temp_directory')").fetchall() == [(str(settings.spill_link),)]
        assert settings.spill_link.resolve() == settings.spill
    assert homes[0].spill != homes[1].spill
    with home_lock(Settings(home=tmp_path / "a"), "a test"):
        assert not homes[0].spill_link.is_symlink()


@pytest.mark.parametrize("has_setting", [False, True])
def test_a_copy_of_a_home_removes_nothing_of_what_the_home_that_runs_has_spilled(
    tmp_path: Path, has_setting: bool
) -> None:
    settings = Settings(home=tmp_path / "a", spill_dir=tmp_path / "disk")
    with home_lock(settings, "a test"):
        spilled = settings.spill / "duckdb_temp_storage_DEFAULT-0.tmp"
        spilled.write_text("rows")
        shutil.copytree(settings.home, tmp_path / "b", symlinks=True)
        copied = Settings(home=tmp_path / "b", spill_dir=settings.spill_dir if has_setting else None)
        with home_lock(copied, "a test"):
            assert copied.spill_link.resolve() == copied.spill
        assert spilled.exists()


def test_a_folder_for_spilling_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    settings = Settings(home=tmp_path / "home", spill_dir=tmp_path / "file")
    with pytest.raises(InputError, match="CHURN_SPILL_DIR"), home_lock(settings, "a test"):
        pass


def test_every_connection_has_the_limits_of_the_settings_and_dbt_has_the_same(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, memory_limit="512MiB", threads=1)
    with connect(settings) as con:
        limits = con.execute("select current_setting('threads'), current_setting('memory_limit')").fetchall()
    assert limits == [(1, "512.0 MiB")]
    assert limits_of_dbt(settings) == {"CHURN_THREADS": "1", "CHURN_MEMORY_LIMIT": "512MiB"}


@pytest.mark.parametrize("limit", ["4", "many", "16MB", "-4GB"])
def test_a_limit_of_memory_that_cannot_be_used_is_refused_by_its_name(
    limit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHURN_MEMORY_LIMIT", limit)
    with pytest.raises(InputError, match="CHURN_MEMORY_LIMIT"):
        settings_of(home=tmp_path)


def test_memory_that_duckdb_may_not_take_asks_for_more_and_memory_that_is_not_there_for_less() -> None:
    limited = faults.in_words("OutOfMemoryException", "Out of Memory Error: could not allocate block of size 256.0 KiB")
    assert limited is not None
    assert "CHURN_MEMORY_LIMIT: raise it" in limited
    missing = faults.in_words("MemoryError", "MemoryError: Unable to allocate 3.1 GiB for an array")
    assert missing is not None
    assert "lower CHURN_MEMORY_LIMIT" in missing
