"""What it takes to load the definitions: processor time, and nothing that is written beside the home."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from churn_pipeline.core.settings import REPOSITORY

# Half a second where `import dagster, dagster_dbt` takes 2.1 s. A share, because a busy machine is slower at both.
MOST_OF_THE_IMPORTS = 0.5 / 2.1
LOAD = """
import json, sys, time
import dagster, dagster_dbt
imported = time.process_time()
from churn_pipeline.definitions import defs
repository = defs().get_repository_def()
loaded = time.process_time()
print(json.dumps({
    "imports": imported, "beyond": loaded - imported, "jobs": len(repository.get_all_jobs()), "dbt": "dbt.cli.main" in sys.modules,
    "where": sys.modules["churn_pipeline"].__file__,
}))
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout in which nobody may write."""
    checkout = tmp_path_factory.mktemp("checkout")
    for name in ("churn_pipeline", "dbt_project"):
        shutil.copytree(REPOSITORY / name, checkout / name, ignore=shutil.ignore_patterns("target", "logs"))
    for path in (*checkout.rglob("*"), checkout):
        path.chmod(0o555 if path.is_dir() else 0o444)
    return checkout


def load(checkout: Path, home: Path) -> dict[str, object]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("CHURN_", "DAGSTER_"))}
    done = subprocess.run(
        [sys.executable, "-c", LOAD],
        cwd=home,
        env=inherited | {"PYTHONPATH": str(checkout), "CHURN_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        path.relative_to(folder).as_posix(): (path.stat().st_mtime_ns, path.stat().st_size)
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }


@pytest.mark.long
def test_definitions_load_from_a_checkout_nobody_may_write_in_parse_the_project_once_and_then_add_half_a_second_to_the_imports(
    checkout: Path, tmp_path: Path
) -> None:
    before = contents(checkout)
    first = load(checkout, tmp_path)
    assert Path(str(first["where"])).is_relative_to(checkout)
    assert (first["dbt"], first["jobs"]) == (True, 4)
    (manifest,) = tmp_path.glob("data/dbt/*/manifest.json")
    parsed = manifest.stat().st_mtime_ns
    again = [load(checkout, tmp_path) for _ in range(2)]
    assert [each["dbt"] for each in again] == [False, False]
    assert manifest.stat().st_mtime_ns == parsed
    assert contents(checkout) == before
    shares = [float(str(each["beyond"])) / float(str(each["imports"])) for each in again]
    print("beyond the imports:", [f"{each['beyond']:.2f} of {each['imports']:.2f} s" for each in (first, *again)])
    assert min(shares) <= MOST_OF_THE_IMPORTS, again
