"""The dbt project as a home uses it: a copy in the home, with the home's own policy laid over it.

``HOME/data/dbt/HASH/project`` is made of the shipped project and of ``HOME/policy``, whose CSV files take the place of seeds of the same
name. HASH is of all that decides what dbt makes of it, so a copy never changes: an edit makes another one, whoever works on the former is
not disturbed, and what dbt parsed (``HASH/target``, ``HASH/manifest.json``) is good for as long as the copy is. The shipped project may lie
where nobody may write, and nothing parsed is shipped: a manifest names paths of the machine that made it.
"""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from churn_pipeline.core.atomic import exclusive_lock, temp_path
from churn_pipeline.core.errors import InputError

PROJECT, TARGET, MANIFEST, PARTIAL = "project", "target", "manifest.json", "partial_parse.msgpack"
# By their endings, and without what dbt leaves beside them when it is called by hand.
_SUFFIXES = (".sql", ".yml", ".csv")
_WRITTEN_BY_DBT = {"target", "logs", "dbt_packages"}
_SEEDS = "seeds"
# What dbt left in HOME/data/dbt before there were copies.
_FORMER: tuple[str, ...] = (
    "compiled",
    "run",
    "manifest.json",
    "partial_parse.msgpack",
    "perf_info.json",
    "run_results.json",
    "parse.lock",
)
_FORMER += ("semantic_manifest.json", "graph.gpickle", "graph_summary.json")
# A copy that nobody has asked for in that time belongs to no run.
_UNUSED_SECONDS = 14 * 24 * 3600
_DIGESTS: dict[tuple[tuple[str, int, int], ...], str] = {}


def copy_of(shipped: Path, policy: Path, copies: Path) -> Path:
    """The folder of the copy as the shipped project and the home's policy are now; it is made where it is not there.

    Args:
        shipped: the dbt project, which is only read.
        policy: folder of CSV files that take the place of seeds; need not be there.
        copies: folder of the copies.

    Raises:
        InputError: a table of the policy has no seed of its name; or the copy cannot be written.
    """
    files = dict(_files(shipped, policy))
    folder = copies / _digest(files)
    if (folder / PROJECT).is_dir():
        # It says that the copy is in use. Who may only read can use it all the same.
        with suppress(OSError):
            os.utime(folder)
        return folder
    try:
        copies.mkdir(mode=0o700, parents=True, exist_ok=True)
        with exclusive_lock(copies / "copy.lock"):
            # Read once, so that the copy is what it is named by, although somebody may be saving a file.
            contents = {within: path.read_bytes() for within, path in files.items()}
            folder = copies / _name(_hash(contents))
            if not (folder / PROJECT).is_dir():
                _write(contents, folder)
                _remove_unused(copies)
    except OSError as error:
        raise InputError(
            f"the dbt project cannot be copied to {folder}: {error.strerror or error}; give a home that can be written (--home, CHURN_HOME)"
        ) from error
    return folder


def seed_file(shipped: Path, policy: Path, seed: str) -> Path:
    """The CSV file of a seed: the home's own where it has one."""
    own = policy / f"{seed}.csv"
    return own if own.is_file() else shipped / _SEEDS / f"{seed}.csv"


def _files(shipped: Path, policy: Path) -> Iterator[tuple[Path, Path]]:
    """The files of a copy: path within the project, and where its content is."""
    for folder, below, names in os.walk(shipped):
        below[:] = sorted(set(below) - _WRITTEN_BY_DBT)
        for name in sorted(names):
            if name.endswith(_SUFFIXES):
                path = Path(folder, name)
                yield path.relative_to(shipped), path
    known = {path.stem for path in (shipped / _SEEDS).glob("*.csv")}
    for path in sorted(policy.glob("*.csv")):
        if path.stem not in known:
            raise InputError(
                f"{path} is no table of the policy; a file there is named after one: {', '.join(sorted(known))}"
            )
        yield Path(_SEEDS, path.name), path


def _digest(files: dict[Path, Path]) -> str:
    stats = [(path, path.stat()) for path in files.values()]
    key = tuple((str(path), stat.st_mtime_ns, stat.st_size) for path, stat in stats)
    if key not in _DIGESTS:
        _DIGESTS.clear()
        _DIGESTS[key] = _hash({within: path.read_bytes() for within, path in files.items()})
    return _name(_DIGESTS[key])


def _hash(contents: dict[Path, bytes]) -> str:
    digest = hashlib.sha256()
    for within, content in contents.items():
        digest.update(f"{within.as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _name(digest: str) -> str:
    # The folder is not among it: what dbt parses names it, and looks there only for files that are not where the project is.
    return hashlib.sha256("\0".join([digest, *_versions()]).encode()).hexdigest()[:16]


@functools.cache
def _versions() -> tuple[str, ...]:
    return version("dbt-core"), version("dbt-duckdb")


def _write(contents: dict[Path, bytes], folder: Path) -> None:
    """Writes a copy and gives it its name when it is whole. Permissions are not copied: dbt and its copies may be written here."""
    new = temp_path(folder)
    shutil.rmtree(new, ignore_errors=True)
    for within, content in contents.items():
        target = new / PROJECT / within
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    former = max(folder.parent.glob(f"*/{TARGET}/{PARTIAL}"), key=lambda path: path.stat().st_mtime, default=None)
    if former is not None:
        # dbt then parses what differs.
        (new / TARGET).mkdir()
        shutil.copy(former, new / TARGET)
    new.replace(folder)


def _remove_unused(copies: Path) -> None:
    for name in _FORMER:
        with suppress(OSError):
            path = copies / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    for path in copies.iterdir():
        if path.is_dir() and path.name != "logs" and time.time() - path.stat().st_mtime > _UNUSED_SECONDS:
            shutil.rmtree(path, ignore_errors=True)
