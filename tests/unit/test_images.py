"""What `make pin-images` writes and what `make audit` makes of the locks. Registries and databases are asked by whoever calls them."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from churn_pipeline.core.settings import REPOSITORY

DIGEST = f"sha256:{'a1' * 32}"
ANSWERS = f'#!/bin/sh\ncase "$*" in *"imagetools inspect"*) echo {DIGEST};; *) exit 64;; esac\n'
SILENT = '#!/bin/sh\necho "ERROR: failed to do request: no such host" >&2\nexit 1\n'


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, REPOSITORY / "scripts" / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pin_images(root: Path, docker: str | None) -> subprocess.CompletedProcess[str]:
    """The script on a copy of the files, with a `docker` that says something else, or none."""
    for name in ("docker-compose.yml", "docker/Dockerfile", "mlflow/Dockerfile", "scripts/pin_images.py"):
        if not (root / name).exists():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, root / name)
    programs = root / "bin"
    programs.mkdir(exist_ok=True)
    (programs / "docker").unlink(missing_ok=True)
    if docker is not None:
        (programs / "docker").write_text(docker, encoding="utf-8")
        (programs / "docker").chmod(0o755)
    return subprocess.run(
        [sys.executable, str(root / "scripts/pin_images.py")],
        env={"PATH": os.pathsep.join([str(programs), "/bin"]) if docker else str(programs)},
        capture_output=True,
        text=True,
        check=False,
    )


def images(root: Path) -> list[str]:
    texts = [
        (root / name).read_text(encoding="utf-8")
        for name in ("docker-compose.yml", "docker/Dockerfile", "mlflow/Dockerfile")
    ]
    return [image for text in texts for image in re.findall(r"^(?:\s*image: |FROM )(\S+)", text, re.MULTILINE)]


def test_every_image_gets_the_digest_that_its_registry_says_and_keeps_its_tag(tmp_path: Path) -> None:
    before = images(REPOSITORY)
    done = pin_images(tmp_path, ANSWERS)
    assert done.returncode == 0, done.stderr
    bare = [image.split("@")[0] for image in before]
    expected = [image if image.startswith("churn-") else f"{image}@{DIGEST}" for image in bare]
    assert images(tmp_path) == expected
    assert {image.split(":")[0] for image in bare if not image.startswith("churn-")} == {
        "postgres",
        "grafana/grafana",
        "python",
    }
    # Another digest takes the place of the first.
    pin_images(tmp_path, ANSWERS.replace("a1", "b2"))
    assert images(tmp_path) == [image.replace("a1" * 32, "b2" * 32) for image in expected]


@pytest.mark.parametrize("docker", [SILENT, "#!/bin/sh\necho something\n", None])
def test_where_no_registry_answers_it_says_so_and_writes_nothing(docker: str | None, tmp_path: Path) -> None:
    done = pin_images(tmp_path, docker)
    assert done.returncode == 1
    assert "pin-images: no digest was written; images stay pinned by their tags" in done.stderr
    assert "Traceback" not in done.stderr
    assert images(tmp_path) == images(REPOSITORY)


def test_a_package_of_another_system_is_not_in_the_image() -> None:
    audit = script("audit")
    lock = (
        "click==8.3.0 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n    # via\n    #   dagster\n"
        "colorama==0.4.6 ; sys_platform == 'win32' \\\n    --hash=sha256:cc\n"
        "psycopg[binary]==3.2.9 ; python_full_version >= '3.12' \\\n    --hash=sha256:dd\n"
    )
    assert list(audit.in_the_image(lock)) == [
        "click==8.3.0 --hash=sha256:aa --hash=sha256:bb",
        "psycopg[binary]==3.2.9 --hash=sha256:dd",
    ]
    for path in audit.LOCKS.values():
        lines = list(audit.in_the_image((REPOSITORY / path).read_text(encoding="utf-8")))
        assert len(lines) > 50
        assert all(
            re.fullmatch(r"[\w.-]+(\[[\w,-]+\])?==[\w.+!]+( --hash=sha256:[0-9a-f]{64})+", line) for line in lines
        )


@pytest.mark.parametrize(
    ("dependencies", "code", "says"),
    [
        ([{"name": "a", "version": "1", "vulns": []}], 0, "no known vulnerability"),
        (
            [{"name": "a", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]}],
            1,
            "a 1: CVE-1, mended in 2",
        ),
        (
            [{"name": "a", "version": "1", "vulns": []}, {"name": "b", "skip_reason": "not found"}],
            2,
            "packages could not be looked up: b",
        ),
        (None, 2, "could not be looked up: pip-audit"),
    ],
)
def test_an_audit_that_looked_nothing_up_is_no_clean_one(
    dependencies: list[dict[str, Any]] | None,
    code: int,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The tool itself ends with 0 when no package was found in the database that it asked."""
    audit = script("audit")

    def run(tool: str, *command: str) -> str:
        if tool == audit.SBOM_TOOL:
            return "{}"
        if dependencies is None:
            raise audit.NotFoundOutError(f"{tool}: no such host")
        return json.dumps({"dependencies": dependencies})

    for name in audit.LOCKS.values():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, tmp_path / name)
    monkeypatch.setattr(audit, "REPOSITORY", tmp_path)
    monkeypatch.setattr(audit, "run", run)
    assert audit.main() == code
    assert says in capsys.readouterr().out
    assert (tmp_path / "build/sbom/churn-pipeline.cdx.json").exists()
