"""The home's copy of the dbt project: what it is made of, and when another one is made."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

from churn_pipeline.core import dbt_project
from churn_pipeline.core.errors import InputError
from churn_pipeline.core.settings import REPOSITORY, Settings


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    """A small project, as it lies where nobody may write."""
    project = tmp_path / "shipped"
    for name, text in {
        "dbt_project.yml": "name: churn",
        "models/a.sql": "select 1",
        "seeds/risk_tiers.csv": "risk_tier\nLOW\n",
        "seeds/playbook.csv": "play\ncall\n",
        "target/manifest.json": "{}",
        "target/run/a.sql": "parsed elsewhere",
        "logs/dbt.log": "",
    }.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text, encoding="utf-8")
    for path in (*project.rglob("*"), project):
        path.chmod(0o555 if path.is_dir() else 0o444)
    return project


def listing(folder: Path) -> dict[str, tuple[str, int]]:
    return {
        path.relative_to(folder).as_posix(): (path.read_text(encoding="utf-8"), path.stat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    }


def project(shipped: Path, home: Path) -> Path:
    return dbt_project.copy_of(shipped, home / "policy", home / "data" / "dbt") / dbt_project.PROJECT


def test_the_project_is_copied_once_without_what_dbt_parsed_and_the_shipped_one_is_only_read(
    shipped: Path, tmp_path: Path
) -> None:
    before = listing(shipped)
    copied = project(shipped, tmp_path / "home")
    names = {path.relative_to(copied).as_posix() for path in copied.rglob("*") if path.is_file()}
    assert names == {"dbt_project.yml", "models/a.sql", "seeds/risk_tiers.csv", "seeds/playbook.csv"}
    assert all(os.access(path, os.W_OK) and path.stat().st_mode & 0o200 for path in (copied, *copied.rglob("*")))
    first = listing(copied)
    assert project(shipped, tmp_path / "home") == copied
    assert listing(copied) == first
    assert listing(shipped) == before


def test_tables_of_the_home_take_the_place_of_shipped_ones_and_an_edit_leaves_the_former_copy_as_it_was(
    shipped: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    without = project(shipped, home)
    (home / "policy").mkdir()
    (home / "policy" / "risk_tiers.csv").write_text("risk_tier\nHIGH\n", encoding="utf-8")
    (home / "policy" / "README.md").touch()
    own = project(shipped, home)
    assert own != without
    assert (own / "seeds" / "risk_tiers.csv").read_text(encoding="utf-8") == "risk_tier\nHIGH\n"
    assert (own / "seeds" / "playbook.csv").read_text(encoding="utf-8") == "play\ncall\n"
    assert (without / "seeds" / "risk_tiers.csv").read_text(encoding="utf-8") == "risk_tier\nLOW\n"
    assert dbt_project.seed_file(shipped, home / "policy", "risk_tiers") == home / "policy" / "risk_tiers.csv"
    assert dbt_project.seed_file(shipped, home / "policy", "playbook") == shipped / "seeds" / "playbook.csv"
    shutil.rmtree(home / "policy")
    assert project(shipped, home) == without


def test_a_table_of_the_home_that_no_seed_is_called_is_refused_naming_those_that_there_are(
    shipped: Path, tmp_path: Path
) -> None:
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy" / "risk_tier.csv").touch()
    with pytest.raises(InputError, match=r"risk_tier.csv is no table of the policy; .* playbook, risk_tiers"):
        project(shipped, tmp_path)


def test_a_home_that_was_moved_goes_on_with_its_copy_and_an_edited_one_with_what_dbt_had_parsed(
    shipped: Path, tmp_path: Path
) -> None:
    before = project(shipped, tmp_path / "before").parent
    (before / "target").mkdir()
    (before / "target" / "partial_parse.msgpack").write_text("parsed", encoding="utf-8")
    (tmp_path / "before").rename(tmp_path / "after")
    moved = project(shipped, tmp_path / "after").parent
    assert moved.name == before.name
    assert (moved / "target" / "partial_parse.msgpack").is_file()
    (tmp_path / "after" / "policy").mkdir()
    (tmp_path / "after" / "policy" / "playbook.csv").write_text("play\nmail\n", encoding="utf-8")
    edited = project(shipped, tmp_path / "after").parent
    assert edited != moved
    assert (edited / "target" / "partial_parse.msgpack").read_text(encoding="utf-8") == "parsed"
    assert not (edited / "manifest.json").exists()


def test_copies_that_nobody_asked_for_in_two_weeks_and_what_dbt_left_there_before_are_removed(
    shipped: Path, tmp_path: Path
) -> None:
    copies = tmp_path / "data" / "dbt"
    old, recent = project(shipped, tmp_path).parent, copies / "a_recent_one"
    recent.mkdir()
    (copies / "logs").mkdir()
    (copies / "manifest.json").touch()
    for path, days in ((old, 15), (copies / "logs", 15), (recent, 13)):
        os.utime(path, (time.time() - days * 86_400,) * 2)
    (tmp_path / "policy").mkdir()
    shutil.copy(shipped / "seeds" / "playbook.csv", tmp_path / "policy" / "risk_tiers.csv")
    new = project(shipped, tmp_path).parent
    assert {path.name for path in copies.iterdir()} == {new.name, recent.name, "logs", "copy.lock"}


def test_a_home_that_cannot_be_written_is_told_in_one_sentence(shipped: Path, tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(InputError, match="the dbt project cannot be copied to .* give a home that can be written"):
        project(shipped, tmp_path)


def test_the_settings_of_a_home_name_its_copy(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    assert settings.dbt_source == REPOSITORY / "dbt_project"
    assert settings.dbt_project.is_relative_to(tmp_path / "data" / "dbt")
    assert (settings.dbt_project / "models" / "policy" / "predictions.sql").is_file()
