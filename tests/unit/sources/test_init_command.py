"""What churn init prints, and how it ends."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from churn_pipeline.cli.commands import app
from churn_pipeline.core.errors import InputError


def _exports(folder: Path) -> Path:
    folder.mkdir()
    (folder / "accounts.csv").write_text(
        "account_id,created_at,plan\n" + "".join(f"A{n},2024-01-{1 + n % 28:02d},Pro\n" for n in range(40))
    )
    (folder / "weather.csv").write_text("station,rain\na,1\n")
    return folder


def test_a_line_for_each_table_what_was_left_aside_and_the_next_command(tmp_path: Path) -> None:
    exports, home = _exports(tmp_path / "exports"), tmp_path / "home"
    result = CliRunner().invoke(app, ["init", str(exports), "--home", str(home)], catch_exceptions=False)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith("accounts.csv  is customers: ")
    assert "not found: " in lines[0]
    assert "churn_date" in lines[0]
    assert lines[1] == "no table: weather.csv"
    assert lines[-1] == f"Wrote {home / 'sources.yml'}. Read it, its remarks say what is a guess; then: churn check"
    # Nothing is asked, also where somebody could answer, and nothing else is written.
    assert [path.name for path in home.iterdir()] == ["sources.yml"]


def test_what_cannot_be_done_is_bad_input(tmp_path: Path) -> None:
    exports = _exports(tmp_path / "exports")
    (exports / "accounts.csv").unlink()
    with pytest.raises(InputError) as refused:
        CliRunner().invoke(app, ["init", str(exports), "--home", str(tmp_path)], catch_exceptions=False)
    assert refused.value.exit_code == 2


def test_a_value_of_an_export_is_not_printed(tmp_path: Path) -> None:
    exports = _exports(tmp_path / "exports")
    (exports / "broken.csv").write_text('name,age\n"Ada Lovelace,36\n"Grace,\x00')
    result = CliRunner().invoke(app, ["init", str(exports), "--home", str(tmp_path / "home")], catch_exceptions=False)
    assert "Ada" not in result.output
    assert "Ada" not in (tmp_path / "home" / "sources.yml").read_text()
