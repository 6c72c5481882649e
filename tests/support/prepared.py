"""Folders that take long to make, made once and shared: between the workers of one pytest, and between one pytest and the next.

They lie beside each other in a folder of this user's under the system's temporary folder, or in CHURN_TEST_CACHE. A folder is known by
what it was made from: the source of the package and of the dbt project, the lock file, the recipes, the environment. Whatever of this
changes, another generation of folders begins, and the old ones are removed when nobody uses them.

Nobody writes in a prepared folder. Whoever wants to takes a copy; where somebody did not, a warning says in which files, and the folder
is made again in another place.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path

from churn_pipeline.core.settings import REPOSITORY

# Enough to go back and forth between a branch and what it left from. One takes about 400 MB.
GENERATIONS_KEPT = 4
RECIPES = ("prepared.py", "companies.py", "truncation.py")
# Nothing in these is source; dbt and Python write in them.
WRITTEN_BY_TOOLS = {"__pycache__", "target", "logs", "dbt_packages"}
# The folders that this process has asked for, as they were made.
_USED: dict[Path, dict[str, list[int]]] = {}


def root() -> Path:
    """Where all generations lie."""
    chosen = os.environ.get("CHURN_TEST_CACHE")
    return Path(chosen) if chosen else Path(tempfile.gettempdir()) / f"churn-tests-{os.getuid()}"


def prepared(name: str, build: Callable[[Path], None]) -> Path:
    """The folder of that name, made by ``build`` if this generation has none that is whole.

    Args:
        name: what it is called; one name has one recipe.
        build: makes the content of the empty folder it is given. It may ask for other prepared folders.
    """
    generation = _generation()
    with _lock(generation / f"{name}.lock", fcntl.LOCK_EX):
        written = generation / f"{name}.json"
        folder, changed = _whole(generation, written)
        if changed:
            warnings.warn(f"a test wrote in the prepared {folder.name}: {', '.join(changed[:5])}", stacklevel=2)
            _USED.pop(folder, None)
        if folder is None or changed:
            # Never where a former one was: MLflow keeps the database of a path open as long as a process lives, and would go on with
            # the one that was removed.
            folder = next(path for n in count() if not (path := generation / f"{name}-{n}").exists())
            folder.mkdir()
            # In its own place: a home knows where it is.
            build(folder)
            _USED[folder] = _listing(folder)
            written.write_text(json.dumps({"folder": folder.name, "files": _USED[folder]}), encoding="utf-8")
    return folder


def written_in() -> dict[str, list[str]]:
    """The prepared folders that this process has asked for and that somebody has written in, each told once; and in which files."""
    written = {}
    for folder, files in list(_USED.items()):
        if changed := _differences(files, _listing(folder)):
            written[folder.name] = changed
            del _USED[folder]
    return written


def _whole(generation: Path, written: Path) -> tuple[Path | None, list[str]]:
    """The folder that was made last, or None; and which of its files are not as they were then."""
    if not written.exists():
        return None, []
    made = json.loads(written.read_text(encoding="utf-8"))
    folder, files = generation / made["folder"], made["files"]
    _USED[folder] = files
    return folder, _differences(files, _listing(folder))


def _differences(made: dict[str, list[int]], now: dict[str, list[int]]) -> list[str]:
    return sorted(name for name in {*made, *now} if made.get(name) != now.get(name))


def source_digest() -> str:
    """A digest of everything that decides what is in a prepared folder."""
    digest = hashlib.sha256()
    files = [REPOSITORY / "requirements.lock", *(Path(__file__).with_name(name) for name in RECIPES)]
    for tree in (REPOSITORY / "churn_pipeline", REPOSITORY / "dbt_project"):
        files += [path for path in tree.rglob("*") if path.is_file() and not WRITTEN_BY_TOOLS & {*path.parts}]
    for path in sorted(files):
        digest.update(f"{path}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    settings = {name: value for name, value in os.environ.items() if name.startswith("CHURN_")}
    settings.pop("CHURN_TEST_CACHE", None)
    digest.update(json.dumps([sys.version, sorted(settings.items())]).encode())
    return digest.hexdigest()[:16]


@cache
def _generation() -> Path:
    """This source's own folder, which stays as long as this process does."""
    home = root()
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if home.stat().st_uid != os.getuid():
        raise PermissionError(f"{home} belongs to somebody else; set CHURN_TEST_CACHE to a folder of your own")
    generation = home / source_digest()
    with _lock(home / "generations.lock", fcntl.LOCK_EX):
        generation.mkdir(exist_ok=True)
        os.utime(generation)
        # Open until this process ends: what somebody holds is not removed.
        fcntl.flock(os.open(_in_use(generation), os.O_CREAT | os.O_RDWR, 0o600), fcntl.LOCK_SH)
        _remove_old(home)
    return generation


def _in_use(generation: Path) -> Path:
    return generation.with_name(f"{generation.name}.in-use")


def _remove_old(home: Path, kept: int = GENERATIONS_KEPT) -> None:
    generations = sorted((path for path in home.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
    for generation in generations[: max(len(generations) - kept, 0)]:
        descriptor = os.open(_in_use(generation), os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(generation)
            _in_use(generation).unlink()
        except BlockingIOError:
            continue
        finally:
            os.close(descriptor)


def _listing(folder: Path) -> dict[str, list[int]]:
    """Size and time of every file, by which it is seen that somebody wrote in the folder."""
    return {
        str(path.relative_to(folder)): [path.stat().st_size, path.stat().st_mtime_ns]
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@contextmanager
def _lock(path: Path, kind: int) -> Iterator[None]:
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, kind)
        yield
    finally:
        os.close(descriptor)


def clear() -> None:
    """Removes every generation that nobody uses."""
    if root().is_dir():
        with _lock(root() / "generations.lock", fcntl.LOCK_EX):
            _remove_old(root(), kept=0)
