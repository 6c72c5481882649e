"""Files and folders that are replaced in one step or made by one process at a time, so that nobody ever reads half of one."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def temp_path(final: Path) -> Path:
    """Where to write what will take a file's place: in the same folder, hence on the same file system, which is what makes the
    replacement one step. A leading dot and no known ending keep it out of everybody's globs."""
    return final.parent / f".{final.name}.{os.getpid()}.tmp"


def commit_file(temporary: Path, final: Path) -> None:
    """Puts a written file in the place of another: onto the disk first, or a power cut could leave an empty one under the name."""
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(final)


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
    if final.exists():
        final.replace(old)
    new.replace(final)
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def exclusive_lock(lock: Path) -> Iterator[None]:
    """Waits until no other process is in here with the same file; its folder is made. The lock dies with its process."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
