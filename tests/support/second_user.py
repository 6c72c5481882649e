"""Another Unix user of the same machine, to try what they may read."""

from __future__ import annotations

import os
import shutil
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

# No user has this number, and the kernel does not ask for more.
SECOND_USER = 54321


@contextmanager
def reachable_folder() -> Iterator[Path]:
    """A folder that every user of the machine gets to; pytest's own are for its user alone."""
    folder = Path(tempfile.mkdtemp(prefix="churn-second-user-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def as_second_user(act: Callable[[], object], *groups: int) -> str:
    """Does something in a process of the second user; returns what came of it, as text. Where nobody may become another user, the test is
    skipped.

    Args:
        act: what to do.
        groups: numbers of the groups that the user is in, beside their own.
    """
    if os.geteuid():
        pytest.skip("only root can become a second user")
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        # Nothing of pytest may go on in here, whatever happens.
        try:
            os.setgroups(groups)
            os.setgid(SECOND_USER)
            os.setuid(SECOND_USER)
            text = str(act())
        except BaseException:
            text = traceback.format_exc()
        os.write(writer, text.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, encoding="utf-8") as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return text


def readable(folder: Path, *groups: int) -> set[str]:
    """What the second user can open or list of a folder, by trying each path: who may not list a folder can still guess what lies in it."""
    paths = sorted(folder.rglob("*"))

    def tried() -> str:
        opened = []
        for path in paths:
            try:
                os.close(os.open(path, os.O_RDONLY))
            except PermissionError:
                continue
            opened.append(path.relative_to(folder).as_posix())
        return "\n".join(opened)

    return set(as_second_user(tried, *groups).splitlines())
