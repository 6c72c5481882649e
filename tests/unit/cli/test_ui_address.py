"""Where the address that opens the Dagster UI is told: it holds a token."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest

from churn_pipeline.cli.commands import _tell_address

ADDRESS = "http://127.0.0.1:3000/login?token=abc"


@pytest.mark.parametrize("terminal", [True, False])
def test_the_address_is_printed_where_a_person_looks_and_stands_in_a_file_of_theirs_elsewhere(
    terminal: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "ui-address-3000"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    assert _tell_address(ADDRESS, tmp_path) == (None if terminal else file)
    printed = capsys.readouterr().out
    assert (ADDRESS in printed) == terminal
    assert file.exists() != terminal
    if not terminal:
        assert str(file) in printed
        assert file.read_text(encoding="utf-8").strip() == ADDRESS
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
