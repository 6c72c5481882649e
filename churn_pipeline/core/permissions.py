"""Who on this machine may read what a home holds.

`HOME` itself and the raw tables are not ours to open or to close: somebody else may put files there. `HOME/data` can be passed through and
not listed, because raw and published tables lie behind it. What is private in it belongs to its owner alone, folder by folder.
`HOME/data/published` belongs to its owner alone as well, or to a Unix group beside them (CHURN_PUBLISHED_GROUP). That folder then hands
its group on to whatever is made in it (setgid), and :func:`churn_pipeline.core.atomic.commit_file` lets the group read what it puts there.
"""

from __future__ import annotations

import grp
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from churn_pipeline.core.atomic import PRIVATE_FOLDER, SHARED_FOLDER, share_tree
from churn_pipeline.core.errors import InputError
from churn_pipeline.core.operator import user

if TYPE_CHECKING:
    from churn_pipeline.core.settings import Settings

_PRIVATE_FILE = 0o600
# Whoever may use something behind it gets there; what else lies in it nobody sees.
_PASSAGE = 0o711

# What a run, Dagster and dbt make in HOME/data. Folders that are not named here are somebody else's.
_FOLDERS = ("briefs", "dagster", "dbt", "errors", "forgotten", "models", "outbox", "quality", "report", "sources")
_FILES = ("warehouse.duckdb*", ".warehouse.duckdb*", ".lock", "home.json", "first_monday.json")


@contextmanager
def private_files() -> Iterator[None]:
    """Whatever this process makes meanwhile is its owner's alone: DuckDB, MLflow and dbt make files with the mask that they find."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def make_data(settings: Settings) -> None:
    """Makes HOME/data, for all to pass through and nobody to list. One that is there stays as it is."""
    settings.home.mkdir(parents=True, exist_ok=True)
    try:
        settings.data.mkdir()
    except FileExistsError:
        return
    settings.data.chmod(_PASSAGE)


def make_private(settings: Settings, say: Callable[[str], None] | None = None) -> None:
    """Closes what is private in a home, as a home of an older version is not, and opens what is published to its group. Costs nothing where
    it is so already.

    Args:
        settings: the home.
        say: called with a sentence for what was changed, and for what could not be.

    Raises:
        InputError: CHURN_PUBLISHED_GROUP names no group, or one that this user is not in.
    """
    say = say or (lambda _: None)
    make_data(settings)
    closed, failed = [], []
    for path in _private_places(settings):
        try:
            if _narrow(path):
                closed.append(path.name)
        except OSError as error:
            failed.append(f"{path} ({error.strerror})")
    if closed:
        say(f"Other users of this machine could read {', '.join(closed)} in {settings.home}; only {user()} can now")
    if failed:
        say(f"Other users of this machine can read {', '.join(failed)}: 'chmod -R go-rwx' is up to whoever owns it")
    _settle_published(settings, say)


def _private_places(settings: Settings) -> Iterator[Path]:
    places = [settings.mlflow_home, *(settings.data / name for name in _FOLDERS)]
    places += [path for pattern in _FILES for path in sorted(settings.data.glob(pattern))]
    # Where somebody keeps raw tables in one of these, it is theirs.
    yield from (path for path in places if not settings.raw_dir.is_relative_to(path) and not path.is_symlink())


def _narrow(path: Path) -> bool:
    """Takes from everybody but the owner what they may do; returns whether they might do anything."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    if not mode & 0o077:
        return False
    path.chmod(PRIVATE_FOLDER if stat.S_ISDIR(mode) else _PRIVATE_FILE)
    return True


def _settle_published(settings: Settings, say: Callable[[str], None]) -> None:
    folder = settings.published
    is_new = not folder.exists()
    if is_new:
        folder.mkdir(mode=PRIVATE_FOLDER)
    if settings.published_group is None:
        was = folder.stat().st_mode
        # A set group id would be handed on to folders that are not for a group.
        if stat.S_IMODE(was) & (0o077 | stat.S_ISGID):
            _change(folder, lambda: folder.chmod(PRIVATE_FOLDER), say)
            say(f"{folder} is for {user()} alone now; CHURN_PUBLISHED_GROUP opens it to a group (docs/privacy.md)")
        return
    try:
        group = grp.getgrnam(settings.published_group).gr_gid
    except KeyError:
        raise InputError(f"CHURN_PUBLISHED_GROUP: this machine has no group '{settings.published_group}'") from None
    now = folder.stat()
    if (stat.S_IMODE(now.st_mode), now.st_gid) != (SHARED_FOLDER, group):
        _open_to(folder, group, settings.published_group)
        say(f"{folder} can be read by the group '{settings.published_group}' now, and by nobody else beside {user()}")
        _open_passage(settings, group, say)


def _change(folder: Path, change: Callable[[], None], say: Callable[[str], None]) -> None:
    try:
        change()
    except OSError as error:
        say(f"Who may read {folder} could not be changed ({error.strerror}): it is up to whoever owns it")


def _open_to(folder: Path, group: int, name: str) -> None:
    try:
        # The folder last: as long as it is not as it should be, the next run goes through it again.
        for path in sorted(folder.rglob("*"), key=lambda path: len(path.parts), reverse=True):
            if not path.is_symlink():
                os.chown(path, -1, group)
        os.chown(folder, -1, group)
        share_tree(folder)
    except PermissionError:
        raise InputError(
            f"CHURN_PUBLISHED_GROUP: {folder} could not be given to the group '{name}': {user()} has to own the folder and to be in the "
            f"group ('usermod -aG {name} {user()}', then log in again)"
        ) from None


def _open_passage(settings: Settings, group: int, say: Callable[[str], None]) -> None:
    """Lets the group through HOME/data, which is ours; the folders above it are not, so they are only looked at."""
    for folder in (settings.data, *settings.data.parents):
        now = folder.stat()
        passes = now.st_mode & (0o010 if now.st_gid == group else 0o001)
        if passes or _has_access_list(folder):
            continue
        if folder == settings.data:
            if now.st_gid == group:
                folder.chmod(stat.S_IMODE(now.st_mode) | 0o010)
                continue
            if not now.st_mode & 0o070:
                os.chown(folder, -1, group)
                folder.chmod(stat.S_IMODE(now.st_mode) | 0o010)
                continue
        say(
            f"{folder} lets nobody of the group '{settings.published_group}' through to {settings.published}: 'chmod o+x {folder}', or "
            f"'setfacl -m g:{settings.published_group}:x {folder}'"
        )


def _has_access_list(folder: Path) -> bool:
    """Whether somebody has said in more detail who may do what. The mode does not tell then."""
    try:
        return "system.posix_acl_access" in os.listxattr(folder)
    except (OSError, AttributeError):
        return False
