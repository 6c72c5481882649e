"""Files in an object store, brought as they are: what is there, which of it is new, and a whole copy or none.

By fsspec, whose packages for each store are imported where they are used. Nothing is ever written to a store that tables come from.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from churn_pipeline.core.atomic import commit_file, temp_path
from churn_pipeline.core.errors import InputError, SourceError
from churn_pipeline.sources.declared import Connection
from churn_pipeline.sources.hiding import Secrets

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_MAGIC = re.compile(r"[*?\[]")
# What a store says of an object when its content changes, the surest first.
_TAGS = ("ETag", "etag", "e_tag", "md5Hash", "content_md5", "generation")
_TIMES = ("LastModified", "last_modified", "updated", "mtime", "created")
_PACKAGES = {"s3": "'churn-pipeline[s3]'", "s3a": "'churn-pipeline[s3]'", "gs": "gcsfs", "gcs": "gcsfs"}
# A server that does not answer is given up after some twenty seconds; the default is to try for minutes.
_S3_CONFIG = {"connect_timeout": 10, "read_timeout": 60, "retries": {"max_attempts": 2}}
# By the name of an exception's class or of one that it descends from; the libraries share no base class.
_REFUSALS = frozenset(
    (
        "PermissionError",
        "NoCredentialsError",
        "PartialCredentialsError",
        "TokenRetrievalError",
        "ProfileNotFound",
        "DefaultCredentialsError",
        "RefreshError",
        "ClientAuthenticationError",
    )
)
_LIBRARIES = ("botocore", "aiobotocore", "aiohttp", "s3fs", "gcsfs", "google", "adlfs", "azure")


@dataclass(frozen=True)
class StoredObject:
    """An object of a store.

    Attributes:
        path: its whole name there.
        size: in bytes.
        stamp: differs when its content does.
    """

    path: str
    size: int
    stamp: str


class Store:
    """One address in an object store: a pattern, a folder or a single object."""

    def __init__(self, uri: str, connection: Connection | None, environment: Mapping[str, str]) -> None:
        """Opens it; nothing is asked of the store yet.

        Raises:
            InputError: a variable is not set, or the package for such a store is not installed.
        """
        self.uri = uri
        self._secrets = Secrets.of(connection, environment)
        self._files, self._path = self._filesystem(connection, environment)

    def _filesystem(
        self, connection: Connection | None, environment: Mapping[str, str]
    ) -> tuple[AbstractFileSystem, str]:
        import fsspec

        protocol = self.uri.partition("://")[0]
        options: dict[str, Any] = {}
        if connection is not None:
            endpoint, given = connection.expanded(environment)
            options = {name: _value(text) for name, text in given.items()}
            if endpoint:
                options["connection_string" if connection.kind == "azure" else "endpoint_url"] = endpoint
        if protocol in ("s3", "s3a"):
            options.setdefault("config_kwargs", _S3_CONFIG)
        try:
            kind = fsspec.get_filesystem_class(protocol)
        except ImportError:
            package = _PACKAGES.get(protocol, "adlfs")
            raise InputError(f"{self.uri} needs a package that is not installed: pip install {package}") from None
        with self._said_plainly():
            # What it was told of another table, or a minute ago, may have changed since.
            files = kind(skip_instance_cache=True, use_listings_cache=False, **options)
            return files, kind._strip_protocol(self.uri).rstrip("/")

    def objects(self) -> dict[str, StoredObject]:
        """What is there now, by the name that a copy gets: the path below the part of the address without a pattern.

        Names that begin with ``.`` or ``_`` or end in ``.tmp`` are somebody's work in progress, as in a folder of raw files.

        Raises:
            InputError: there is no such bucket or no such object, or the store does not let this user in.
            SourceError: the store is away.
        """
        with self._said_plainly():
            base, there = self._listed()
        objects = {
            path.removeprefix(base).lstrip("/"): StoredObject(path, int(info.get("size") or 0), _stamp(info))
            for path, info in there.items()
        }
        objects = {name: stored for name, stored in objects.items() if not _in_progress(name)}
        if not objects:
            raise InputError(f"{self.uri}: nothing lies there; a table is not emptied that way, so the copies are kept")
        for name in objects:
            if any(part in ("", ".", "..") or "\\" in part or "\0" in part for part in name.split("/")) or any(
                str(parent) in objects for parent in Path(name).parents
            ):
                raise InputError(f"{self.uri}: the object {name!r} cannot be a file here; choose a pattern without it")
        return objects

    def _listed(self) -> tuple[str, dict[str, Any]]:
        from fsspec.utils import glob_translate

        wildcard = _MAGIC.search(self._path)
        base = self._path[: wildcard.start()].rpartition("/")[0] if wildcard else self._path
        try:
            if wildcard and "/" not in self._path[wildcard.start() :]:
                # The folder alone, not all that lies below it.
                there = {info["name"]: info for info in self._files.ls(base, detail=True) if info["type"] == "file"}
            else:
                there = self._files.find(base, detail=True)
        except FileNotFoundError:
            bucket = base.partition("/")[0]
            if bucket and not self._files.exists(bucket):
                raise InputError(f"{self.uri}: there is no bucket {bucket}, or this user may not know of it") from None
            return base, {}
        if wildcard:
            pattern = re.compile(glob_translate(self._path))
            there = {path: info for path, info in there.items() if pattern.match(path)}
        elif list(there) == [base]:
            base = base.rpartition("/")[0]
        return base, there

    def copy(self, stored: StoredObject, target: Path) -> None:
        """Brings an object to a file, whole or not at all.

        Raises:
            InputError, SourceError: as for :meth:`objects`; also when less than the whole came.
        """
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = temp_path(target)
        try:
            with self._said_plainly():
                self._files.get_file(stored.path, str(temporary))
                came = temporary.stat().st_size
                if came != stored.size and came != self._files.info(stored.path)["size"]:
                    raise SourceError(
                        f"{self.uri}: {stored.path} came with {came:,} bytes and not with {stored.size:,}"
                    )
            commit_file(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)

    @contextmanager
    def _said_plainly(self) -> Iterator[None]:
        """Turns errors of a store's library into ours; the original is not chained, Dagster keeps causes with their text."""
        try:
            yield
            return
        except (InputError, SourceError):
            raise
        except Exception as error:
            names = {kind.__name__ for kind in type(error).__mro__}
            if not isinstance(error, OSError | TimeoutError) and type(error).__module__.split(".")[0] not in _LIBRARIES:
                if not isinstance(error, TypeError | ValueError):
                    raise
                names.add("InvalidOption")
            said = self._secrets.hidden(str(error)) or type(error).__name__
        if names & _REFUSALS:
            raise InputError(f"{self.uri}: the store does not let this user in: {said}") from None
        if names & {"FileNotFoundError"}:
            raise InputError(f"{self.uri}: {said}") from None
        if names & {"InvalidOption", "ParamValidationError"}:
            raise InputError(f"{self.uri}: the address or an option of the connection cannot be used: {said}") from None
        raise SourceError(f"{self.uri}: the store is away or failed on the way: {said}") from None


def _value(text: str) -> str | bool:
    return {"true": True, "false": False}.get(text.lower(), text)


def _stamp(info: Mapping[str, Any]) -> str:
    tags = [str(info[name]) for name in _TAGS if info.get(name)] or [
        str(info[name]) for name in _TIMES if info.get(name)
    ]
    return " ".join([str(info.get("size")), *tags[:1]])


def _in_progress(name: str) -> bool:
    parts = [part for part in name.split("/") if part not in (".", "..")]
    return any(part.startswith((".", "_")) for part in parts) or name.endswith(".tmp")
