"""Files and folders that are replaced in one step or made by one process at a time, so that nobody ever reads half of one."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# The folder of a home that others may read, and its mode where a group may: whatever is made in it gets its group. See core/permissions.py.
PUBLISHED = "published"
SHARED_FOLDER = 0o2750
_SHARED_FILE = 0o640
# Of everything else that a home keeps.
PRIVATE_FOLDER = 0o700


def temp_path(final: Path) -> Path:
    """Where to write what will take a file's place: in the same folder, hence on the same file system, which is what makes the
    replacement one step. A leading dot and no known ending keep it out of everybody's globs."""
    return final.parent / f".{final.name}.{os.getpid()}.tmp"


def commit_file(temporary: Path, final: Path) -> None:
    """Puts a written file in the place of another: onto the disk first, or a power cut could leave an empty one under the name."""
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    _share(temporary, final)
    temporary.replace(final)


def _share(temporary: Path, final: Path) -> None:
    """Lets the group of HOME/data/published, where that has one, read what is about to be put there, and get to it."""
    root = next((folder for folder in final.parents if folder.name == PUBLISHED), None)
    if root is None or stat.S_IMODE(root.stat().st_mode) != SHARED_FOLDER:
        return
    if temporary.is_dir():
        share_tree(temporary)
    else:
        temporary.chmod(_SHARED_FILE)
    # A folder made on the way has its group from the one above it, and its mode from the mask of this process.
    for folder in final.parents:
        if folder == root:
            break
        if stat.S_IMODE(folder.stat().st_mode) != SHARED_FOLDER:
            folder.chmod(SHARED_FOLDER)


def share_tree(folder: Path) -> None:
    """Lets the group of a folder read everything below it; the folder itself comes last."""
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            path = Path(parent) / name
            if not path.is_symlink():
                path.chmod(_SHARED_FILE)
        Path(parent).chmod(SHARED_FOLDER)


def replace_bytes(final: Path, content: bytes, *, mode: int = 0o666) -> None:
    """Writes a file whole or not at all.

    Args:
        final: the file.
        content: all of it.
        mode: permissions, from the first byte on; the process's mask is taken off.
    """
    temporary = temp_path(final)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        file.write(content)
    commit_file(temporary, final)


def temp_folders(final: Path) -> tuple[Path, Path]:
    """Where to build what will take a folder's place, and where the former one goes meanwhile; neither is there.

    What a killed process left of them is removed. The home's lock says that nobody else is at work.
    """
    new, old = (final.with_name(f".{final.name}.{state}") for state in ("new", "old"))
    for folder in (new, old):
        shutil.rmtree(folder, ignore_errors=True)
    return new, old


def swap_folders(new: Path, old: Path, final: Path) -> None:
    """Puts a folder in the place of another. A rename refuses to replace a folder that is not empty, so the names are swapped;
    whoever reads in between two of them reads again."""
    _share(new, final)
    if final.exists():
        final.replace(old)
    new.replace(final)
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def exclusive_lock(lock: Path) -> Iterator[None]:
    """Waits until no other process is in here with the same file; its folder is made, for its owner alone. The lock dies with its process."""
    lock.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    with lock.open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
