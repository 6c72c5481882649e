"""What is said of errors that nobody wrote a sentence for, and what is kept of them."""

from __future__ import annotations

import errno
import re
import sqlite3
import stat
import tempfile
from pathlib import Path

import duckdb
import pytest

from churn_pipeline.core import faults
from churn_pipeline.core.settings import Settings


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/h/data/x"), "/h/data/x has no room left"),
        (OSError(errno.EROFS, "Read-only file system", "/h"), "/h is on a file system that is read-only"),
        (PermissionError(errno.EACCES, "Permission denied", "/h"), "may not read or write /h"),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "/dev/null/x"), "a part of its path is no folder"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "/h"), "too long a path"),
        (OSError(errno.EIO, "Input/output error"), "what was being written to could not be read or written"),
        (
            duckdb.IOException('IO Error: Could not write file "/srv/w.duckdb": No space left on device'),
            "/srv/w.duckdb has no room left",
        ),
        (sqlite3.OperationalError("database or disk is full"), "the home has no room left"),
        (
            sqlite3.OperationalError("attempt to write a readonly database"),
            "the home is on a file system that is read-only",
        ),
        (MemoryError(), "not enough memory"),
        (duckdb.OutOfMemoryException("Out of Memory Error: failed to allocate"), "not enough memory"),
    ],
)
def test_a_fault_of_the_machine_is_told_in_one_line_with_what_to_do(error: BaseException, words: str) -> None:
    for raised in (error, _caused_by(error)):
        sentence = faults.sentence(raised, "the home")
        assert sentence is not None
        assert words in sentence
        assert "\n" not in sentence


def _caused_by(error: BaseException) -> BaseException:
    outer = RuntimeError("autoflush")
    outer.__cause__ = error
    return outer


def test_the_same_words_in_the_data_are_no_fault_of_the_machine() -> None:
    assert faults.sentence(ValueError("the ticket says: No space left on device")) is None


def test_an_unknown_error_is_told_by_its_kind_and_kept_without_secrets_for_its_owner_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHURN_PUBLISH_URL", "postgresql://churn:s3cret%21pass@db/x")
    monkeypatch.setenv("CHURN_SLACK_TOKEN", "xoxb-12345")
    error = ValueError("row (Ada), postgresql://churn:s3cret%21pass@db/x, s3cret!pass, xoxb-12345")
    line = faults.tell(error, "churn run", tmp_path)
    assert "(ValueError)" in line and "Ada" not in line and "\n" not in line
    (path,) = (tmp_path / "data" / "errors").iterdir()
    assert str(path) in line
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    text = path.read_text(encoding="utf-8")
    assert "row (Ada)" in text
    assert not re.search("s3cret|xoxb-1", text)


def test_where_the_home_cannot_be_written_the_details_go_to_the_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for home in (Path("/dev/null/x"), tmp_path / "mistyped", None):
        line = faults.tell(ValueError("x"), "churn run", home)
        assert re.search(rf"Details: {re.escape(str(tmp_path))}/churn-\S+\.txt", line), line
    assert not (tmp_path / "mistyped").exists()
    monkeypatch.setattr(tempfile, "tempdir", "/dev/null/y")
    assert "Details could not be kept" in faults.tell(ValueError("x"), "churn run", None)


def test_the_newest_twenty_are_kept(tmp_path: Path) -> None:
    for _ in range(23):
        faults.keep(ValueError("x"), "churn run", tmp_path)
    assert len(list((tmp_path / "data" / "errors").iterdir())) == 20


@pytest.mark.parametrize("name", ["a?b", "a\\b", "a#b", "a%20b", "a\nb"])
def test_a_home_whose_path_a_program_below_reads_wrongly_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="rename the folder"):
        Settings(home=Path("/srv") / name)


def test_other_paths_are_taken(tmp_path: Path) -> None:
    for name in ("a b", "100% sure", "it's", 'a"b', "ü", "[x]", "a&b;c", "$x"):
        assert Settings(home=tmp_path / name).home == tmp_path / name
