"""Prepared folders: made once, by one process, from what the source says today."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import prepared as cache

COUNTS = """
import sys, time
from pathlib import Path
from tests.support.prepared import prepared

def build(folder):
    with open(sys.argv[1], "a") as log:
        log.write("made\\n")
    time.sleep(0.3)
    (folder / "whole").write_text("yes")

assert (prepared("counted", build) / "whole").read_text() == "yes"
"""


@pytest.fixture
def folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A cache of this test's own."""
    monkeypatch.setenv("CHURN_TEST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "_generation", cache._generation.__wrapped__)
    return tmp_path / "cache"


def test_processes_that_want_the_same_folder_at_once_make_it_once(folders: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    processes = [subprocess.Popen([sys.executable, "-c", COUNTS, str(log)]) for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert log.read_text() == "made\n"


def test_a_folder_in_which_somebody_wrote_or_whose_making_failed_is_made_again_elsewhere(folders: Path) -> None:
    made = []

    def build(folder: Path) -> None:
        made.append(folder)
        (folder / "file").write_text("as it was made")
        if len(made) == 1:
            raise RuntimeError("the first time it fails")

    with pytest.raises(RuntimeError):
        cache.prepared("folder", build)
    folder = cache.prepared("folder", build)
    assert cache.prepared("folder", build) == folder
    assert len(made) == 2
    assert cache.written_in() == {}
    (folder / "file").write_text("changed")
    assert cache.written_in() == {"folder-1": ["file"]}
    assert cache.written_in() == {}, "it is told once"
    with pytest.warns(UserWarning, match="wrote in the prepared folder-1: file"):
        again = cache.prepared("folder", build)
    assert (again / "file").read_text() == "as it was made"
    assert len({*made}) == len(made) == 3


def test_another_source_or_setting_begins_another_generation_and_old_ones_go_unless_somebody_uses_them(
    folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = cache.prepared("folder", lambda folder: None)
    digest = cache.source_digest()
    monkeypatch.setenv("CHURN_SEED", "8")
    assert cache.source_digest() != digest
    monkeypatch.setattr(cache, "RECIPES", ("prepared.py",))
    assert len({digest, cache.source_digest()}) == 2
    for number in range(cache.GENERATIONS_KEPT + 2):
        (folders / f"old{number}").mkdir()
    cache.prepared("folder", lambda folder: None)
    kept = {path.name for path in folders.iterdir() if path.is_dir()}
    assert digest in kept and used.is_dir()
    assert len(kept) == cache.GENERATIONS_KEPT + 1, "those kept, and the oldest, which this process holds"
