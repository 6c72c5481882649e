"""A home as a whole: one writer at a time, and whoever writes finds it in the format that this code knows.

``HOME/data/home.json`` says which format that is, and which version of the package made it so. A home without the file is of format 0,
or new. Whoever takes the lock brings the home to the current format first, so no writer has to think of it. Published copies
are read without the lock, in whatever format they are.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from churn_pipeline.core.atomic import replace_bytes
from churn_pipeline.core.errors import InputError, LockedError
from churn_pipeline.core.home_migrations import MIGRATIONS, Migration
from churn_pipeline.core.json_text import json_text
from churn_pipeline.core.permissions import make_data, make_private, private_files
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.spill import prepare_spill
from churn_pipeline.core.version import installed_version
from churn_pipeline.core.warehouse import connect, has_table, transaction

_POLL_SECONDS = 0.2


@contextmanager
def home_lock(settings: Settings, purpose: str, waiting: Callable[[str], None] | None = None) -> Iterator[None]:
    """Holds the home's lock: one writer at a time, whoever started it, on a home in the current format that is closed to other users.

    ``flock`` belongs to the open file, so it dies with its process, a kill -9 included; nothing has to be cleaned up.

    Args:
        settings: which home, and how long to wait.
        purpose: what the holder is doing, shown to whoever waits.
        waiting: called with a sentence when the lock is not free at once, for every step that brings the home to the current format, and for
            what other users could read and no longer can.

    Raises:
        InputError: a newer version of this package wrote the home, or nobody can tell what wrote it. Nothing was touched. Or the group of
            CHURN_PUBLISHED_GROUP cannot be used.
        LockedError: it was not free within ``lock_wait_seconds``; the message names the holder.
    """
    _format_of(settings)
    make_data(settings)
    deadline = time.monotonic() + settings.lock_wait_seconds
    with private_files(), settings.lock_file.open("a+", encoding="utf-8") as file:
        announced = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                holder = _holder(settings.lock_file)
                if time.monotonic() >= deadline:
                    raise LockedError(
                        f"{settings.home} is in use by {holder}; gave up after {settings.lock_wait_seconds:.0f} s"
                    ) from None
                if not announced and waiting is not None:
                    waiting(f"Waiting for {holder}, for {settings.lock_wait_seconds:.0f} s at most")
                announced = True
                time.sleep(_POLL_SECONDS)
        file.seek(0)
        file.truncate()
        since = datetime.now(UTC).isoformat(timespec="seconds")
        file.write(json_text({"pid": os.getpid(), "purpose": purpose, "since": since}))
        file.flush()
        make_private(settings, waiting)
        prepare_spill(settings)
        _bring_up_to_date(settings, waiting)
        yield


def _holder(lock_file: Path) -> str:
    try:
        note = json.loads(lock_file.read_text(encoding="utf-8"))
    except ValueError:
        # The holder has the lock and has not yet written who it is.
        return "another process"
    return f"process {note['pid']} ({note['purpose']}, since {note['since']})"


def open_home(settings: Settings, purpose: str, say: Callable[[str], None] | None = None) -> None:
    """Makes sure that a home is in the current format, for whoever goes on without the lock. Costs nothing where it is.

    Args:
        settings: which home.
        purpose: what the caller is about to do, shown to whoever waits meanwhile.
        say: as for :func:`home_lock`.

    Raises:
        InputError: a newer version of this package wrote the home, or nobody can tell what wrote it.
        LockedError: it has to be changed, and another process held it for too long.
    """
    if _format_of(settings) != len(MIGRATIONS):
        with home_lock(settings, purpose, say):
            pass


def _format_of(settings: Settings) -> int:
    """The format of a home; 0 without a note.

    Raises:
        InputError: it is newer than this code, or the note cannot be read.
    """
    path = settings.home_note
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
        number, writer = int(note["format"]), str(note["written_by"])
        if number < 0:
            raise ValueError(number)
    except FileNotFoundError:
        return 0
    except (ValueError, TypeError, KeyError):
        raise InputError(
            f"{path} cannot be read, so nobody can tell the format of this home: put it back from a backup of the same home"
        ) from None
    if number > len(MIGRATIONS):
        raise InputError(
            f"{settings.home} has format {number}, written by churn-pipeline {writer}, and this is version {installed_version()}, which knows formats "
            f"up to {len(MIGRATIONS)}: install the version that wrote it or a newer one, or give another --home"
        )
    return number


def _bring_up_to_date(settings: Settings, say: Callable[[str], None] | None) -> None:
    """Applies the migrations that a home has not had, each noted before the next begins."""
    present = _format_of(settings)
    if present == len(MIGRATIONS):
        return
    if settings.warehouse.exists():
        for number, migration in enumerate(MIGRATIONS[present:], present + 1):
            if say is not None:
                say(f"Bringing {settings.home} to format {number}: {migration.what}")
            _apply(settings, migration)
            _note(settings, number)
    else:
        # A new home: nothing has another form.
        _note(settings, len(MIGRATIONS))


def _apply(settings: Settings, migration: Migration) -> None:
    with connect(settings) as con:
        with transaction(con):
            migration.warehouse(con)
            if has_table(con, "control", "notes"):
                # What a run left for its later steps may have had another form. It is nobody's now, so a re-execution refuses to go on
                # from it.
                con.execute("delete from control.notes")
        if migration.files is not None:
            migration.files(con, settings)


def _note(settings: Settings, number: int) -> None:
    written_at = settings.clock().astimezone(UTC).isoformat(timespec="seconds")
    note = {"format": number, "written_by": installed_version(), "written_at": written_at}
    replace_bytes(settings.home_note, json_text(note, indent=1).encode() + b"\n")
