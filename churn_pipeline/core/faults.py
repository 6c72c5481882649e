"""What to say of an error that nobody wrote a sentence for, and where its details go.

A traceback helps nobody at a terminal, and the text of an error may quote a row or an address with its password. So a person is told in one
line what to do: of the faults of a machine (a full disk, a folder that may not be written) in words of ours, of any other by its kind. The
rest is written to a file that its owner alone can read.
"""

from __future__ import annotations

import errno
import os
import re
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from churn_pipeline.core.atomic import PRIVATE_FOLDER
from churn_pipeline.core.operator import user

# Beside them the same errors would fill a disk that is not watched.
_REPORTS_KEPT = 20
# Settings that hold a secret; see `Settings`, which need not be readable here: what is wrong may be a setting.
_SECRET_NAME = re.compile(
    r"CHURN_\w*(?:URL|URI|TOKEN|WEBHOOK|PASSWORD|SECRET|KEY)\w*|(?:AWS|AZURE|GOOGLE|GCS)_\w+", re.IGNORECASE
)
# Ctrl-C, also while Dagster runs a step.
_INTERRUPTIONS = {"KeyboardInterrupt", "DagsterExecutionInterruptedError"}
# A file that is open already, or the terminal: the operating system names neither.
_OUTPUT = "what was being written to"
_QUOTED_PATH = re.compile(r"""["'](/[^"'\n]+)["']""")

# What the operating system, DuckDB and SQLite say of the same fault, and what a person can do about it. The first that fits counts.
_FAULTS = (
    (
        r"No space left on device|database or disk is full|[Dd]isk quota exceeded",
        "{place} has no room left (No space left on device): make room and start the same command again. What was published before is "
        "whole",
    ),
    (
        r"Read-only file system|readonly database|database is read-only",
        "{place} is on a file system that is read-only: have it mounted to be written, or give another place",
    ),
    (
        r"Permission denied|Operation not permitted|unable to open database file",
        "{user} may not read or write {place}: run as the user who owns it, or give another place",
    ),
    (
        r"Not a directory|File exists",
        "{place} cannot be there, because a part of its path is no folder: give another place",
    ),
    (r"Is a directory", "{place} is a folder where a file is needed: give another place"),
    (r"No such file or directory", "{place} is not there: make it, or give another place"),
    (r"File name too long", "{place} is too long a path for this file system: give a shorter one"),
    (r"Too many levels of symbolic links", "{place} is a link that leads back to itself: mend it, or give another place"),
    (
        r"Too many open files",
        "this process may not open more files: raise the limit ('ulimit -n 4096') and start the same command again",
    ),
    (
        r"Out of Memory",
        "there is not enough memory within CHURN_MEMORY_LIMIT: raise it or lower CHURN_THREADS, and start the same command again",
    ),
    (
        r"Cannot allocate memory|MemoryError|bad_alloc",
        "there is not enough memory: close other programs, lower CHURN_MEMORY_LIMIT or CHURN_THREADS, and start the same command again",
    ),
    (
        r"Input/output error|disk I/O error|Stale file handle",
        "{place} could not be read or written (Input/output error): the disk or the network drive fails, so look after it first",
    ),
)  # fmt: skip
# A message of these kinds is about the machine; in any other the same words may be those of a user's data.
_OF_THE_MACHINE = re.compile(
    r"OSError|\w*Error \[Errno|PermissionError|FileExistsError|NotADirectoryError|BlockingIOError|MemoryError|IOException|IO Error|"
    r"OutOfMemoryException|Out of Memory Error|OperationalError|DatabaseError|TransactionException|FatalException|InternalException|"
    r"HTTPException|bad_alloc"
)


def in_words(kind: str, message: str, place: Path | str = "the disk") -> str | None:
    """A fault of the machine in one line, with what to do; None for any other error.

    Args:
        kind: name of the error's class.
        message: what it says of itself.
        place: what is to be named when it names no file.
    """
    if not (_OF_THE_MACHINE.search(kind) or _OF_THE_MACHINE.search(message)):
        return None
    for pattern, sentence in _FAULTS:
        if re.search(pattern, f"{kind}: {message}"):
            named = _QUOTED_PATH.search(message)
            return _one_line(sentence.format(place=named.group(1) if named else place, user=user()))
    return None


def sentence(error: BaseException, place: Path | str = "the disk") -> str | None:
    """A fault of the machine behind an error, or behind what it came from, in one line; None where there is none."""
    for cause in _chain(error):
        if isinstance(cause, OSError) and cause.errno is not None:
            path = cause.filename2 or cause.filename
            where = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else _OUTPUT
            words = in_words("OSError", os.strerror(cause.errno), where)
        else:
            words = in_words(type(cause).__name__, str(cause), place)
        if words is not None:
            return words
    return None


def tell(error: BaseException, doing: str, home: Path | None) -> str:
    """What to tell a person about an error that escaped: one line. Its traceback is written to a file, which is named.

    Args:
        error: what escaped.
        doing: the command, without its arguments.
        home: where the file goes; the temporary folder where that cannot be written, or is not known.
    """
    if type(error).__name__ in _INTERRUPTIONS:
        return "interrupted; nothing half-done counts, so the same command can be started again"
    details = "".join(traceback.format_exception(error))
    words = sentence(error, home or "the disk")
    if words is None:
        words = f"stopped by an error that it does not expect ({type(error).__name__})"
    return f"{words}. {write_details(details, doing, home)}"


def keep(error: BaseException, doing: str, home: Path | None) -> None:
    """Writes down an error that nobody is told of."""
    write_details("".join(traceback.format_exception(error)), doing, home)


def write_details(details: str, doing: str, home: Path | None) -> str:
    """Writes what is known of an error to a file that its owner alone can read, without secrets, and says in a sentence where it lies."""
    now = datetime.now(UTC)
    text = without_secrets(f"{now.isoformat(timespec='seconds')} {doing}, Python {sys.version.split()[0]}\n\n{details}")
    for folder in [*([home / "data" / "errors"] if home is not None else []), None]:
        try:
            path = _write(text, folder, now)
        except OSError as problem:
            reason = problem.strerror or type(problem).__name__
            continue
        return f"Details: {path} (they may quote rows)"
    return f"Details could not be kept: neither the home nor {tempfile.gettempdir()} can be written ({reason})"


def _write(text: str, folder: Path | None, now: datetime) -> Path:
    if folder is not None:
        if not folder.parent.parent.is_dir():
            # A mistyped home is not to come into being for the sake of its error.
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder.parent.parent))
        folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    # By the whole form of the name: in the temporary folder others have files of their own, and other homes theirs.
    kept = _REPORTS_KEPT if folder is not None else 10 * _REPORTS_KEPT
    for old in sorted((folder or Path(tempfile.gettempdir())).glob("churn-[0-9]*T[0-9]*-*.txt"))[: -kept + 1]:
        # What belongs to another user stays.
        with suppress(OSError):
            old.unlink()
    # Made by its owner, for its owner alone.
    descriptor, name = tempfile.mkstemp(prefix=f"churn-{now:%Y%m%dT%H%M%S}-", suffix=".txt", dir=folder)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
    return Path(name)


def without_secrets(text: str) -> str:
    """A text without the passwords, tokens and addresses that settings hold."""
    secrets = {form for name, value in os.environ.items() if _SECRET_NAME.fullmatch(name) for form in _forms(value)}
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def _forms(value: str) -> Iterator[str]:
    """A secret as it may be written: whole, each of NAME:SECRET pairs, and the password in it, plain and as an address has it."""
    secrets = [value, *(pair.partition(":")[2].strip() for pair in value.split(","))]
    # Whatever is no address has no password in it.
    with suppress(ValueError):
        secrets.append(urlsplit(value).password or "")
    for secret in secrets:
        # What is shorter stands in every text by chance.
        yield from (form for form in (secret, unquote(secret), quote(secret, safe="")) if len(form) > 4)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what it came from, the nearest first."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__  # type: ignore[assignment]


def _one_line(text: str) -> str:
    return " ".join(text.split())
