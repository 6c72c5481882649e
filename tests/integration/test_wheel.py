"""The package as a wheel: everything it needs is in it, and it runs where there is no repository."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from datetime import date
from pathlib import Path

import pytest

from churn_pipeline.core.settings import REPOSITORY
from tests.support.homes import query

MONDAY = date(2026, 6, 8)
SOURCES = ("churn_pipeline", "dbt_project", "pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "workspace.yaml")
# What a run needs, and not what Python or dbt left behind in a checkout.
NEEDED = ("*.py", "*.j2", "*.sql", "*.yml", "*.csv")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy: a build leaves folders behind, and would take up those of an earlier one."""
    copy, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        if (source := REPOSITORY / name).is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__", "target", "logs"))
        else:
            shutil.copy(source, copy)
    # As dbt leaves them when it is called by hand. They name paths of the machine on which it was.
    for parsed in ("target/manifest.json", "target/run/churn/predictions.sql", "logs/dbt.csv"):
        (copy / "dbt_project" / parsed).parent.mkdir(parents=True, exist_ok=True)
        (copy / "dbt_project" / parsed).write_text(str(copy), encoding="utf-8")
    pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(out), str(copy))
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the wheel was installed into; what it depends on is there already."""
    folder = tmp_path_factory.mktemp("installed")
    pip("install", "--no-deps", "--no-index", "--no-compile", "--target", str(folder), str(wheel))
    return folder


def pip(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def run(installed: Path, folder: Path, *arguments: str, **more: str) -> str:
    """Runs Python outside the repository, with the installed package before any other."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("CHURN_", "DAGSTER_"))}
    environment = inherited | {"PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"} | more
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_everything_that_a_run_needs_is_in_the_wheel_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    package = {
        path.relative_to(REPOSITORY).as_posix()
        for pattern in NEEDED
        for path in (REPOSITORY / "churn_pipeline").rglob(pattern)
    }
    project = {
        f"churn_pipeline/{path.relative_to(REPOSITORY).as_posix()}"
        for pattern in NEEDED
        for path in (REPOSITORY / "dbt_project").rglob(pattern)
        if not {"target", "logs", "dbt_packages"} & set(path.relative_to(REPOSITORY).parts)
    }
    assert len(package) > 100
    assert len(project) > 50
    assert names == package | project | {"churn_pipeline/workspace.yaml"}


@pytest.mark.long
def test_a_monday_is_published_from_the_wheel_in_a_folder_that_becomes_the_home_and_the_package_stays_as_it_was(
    installed: Path, tmp_path: Path
) -> None:
    before = contents(installed)
    home = tmp_path / "a home"
    home.mkdir()
    churn = str(installed / "bin" / "churn")
    assert "forget" in run(installed, home, churn, "--help")
    where = run(installed, home, "-c", "import churn_pipeline; print(churn_pipeline.__file__)")
    assert Path(where.strip()).is_relative_to(installed)
    run(
        installed,
        home,
        churn,
        "simulate",
        "--out",
        "data",
        "--customers",
        "600",
        "--weeks",
        "62",
        "--until",
        str(MONDAY),
        # The company on which a training of this size succeeds.
        "--call-share",
        "0",
    )
    settings = {"NOW": f"{MONDAY}T12:00:00Z", "HISTORY_WEEKS": "60", "BOOTSTRAP_REPLICATES": "50"}
    settings |= {"MIN_TRAIN_CHURNERS": "20", "MIN_TEST_CHURNERS": "5"}
    run(installed, home, churn, "run", **{f"CHURN_{name}": value for name, value in settings.items()})
    rows = query(home / "data" / "published" / "churn.duckdb", "select distinct snapshot_date from predictions")
    assert rows == [(MONDAY,)]
    assert sorted(path.name for path in home.iterdir()) == ["data", "mlflow"]
    assert contents(installed) == before


def test_dagster_loads_the_definitions_of_the_wheel_by_its_own_workspace(installed: Path, tmp_path: Path) -> None:
    listed = run(
        installed,
        tmp_path,
        "-m",
        "dagster",
        "job",
        "list",
        "-w",
        str(installed / "churn_pipeline" / "workspace.yaml"),
        DAGSTER_HOME=str(tmp_path),
    )
    assert "Job: monday_run" in listed
