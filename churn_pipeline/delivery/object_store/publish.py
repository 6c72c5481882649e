"""What lies in the store, and how it is replaced.

::

    PATH/manifest.json                                    which objects belong together; replaced last, in one step
    PATH/predictions/2026-11-02.5f0c8a1e9b7d4c32.parquet  named after its Monday and its content, never written over

An object never changes, so a manifest that was read stays true: what it named is there until the publication after the next one. Killed at
any moment, the former manifest is in force and whole. Objects of another name are nobody's business here and are left alone.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date
from pathlib import Path

from churn_pipeline.core.errors import InputError, SourceError, StoreError
from churn_pipeline.core.json_text import json_text
from churn_pipeline.core.settings import Settings
from churn_pipeline.sources.object_stores import Store

FORMAT = 1
MANIFEST = "manifest.json"
_OURS = re.compile(r"predictions/\d{4}-\d\d-\d\d\.[0-9a-f]{16}\.parquet")


@dataclass(frozen=True)
class Listed:
    """A Monday in the manifest.

    Attributes:
        snapshot_date: the Monday.
        object: where its file is, below the path.
        sha256: of the file.
        bytes: its size.
        rows: customers in it.
        run_id: the run that wrote the Monday.
        scoring_mode: live or as_of.
    """

    snapshot_date: date
    object: str
    sha256: str
    bytes: int
    rows: int
    run_id: str
    scoring_mode: str


@dataclass(frozen=True)
class Publication:
    """What a publication did.

    Attributes:
        uploaded: Mondays whose file was brought there.
        unknown: Mondays that are there and that this home has not; they were left alone.
        mondays: Mondays in the manifest.
        removed: objects that no manifest names any more.
    """

    uploaded: dict[date, int]
    unknown: tuple[date, ...]
    mondays: int
    removed: int


class Target(Store):
    """The place in a store that is published to. The libraries of the stores find credentials by themselves, as in AWS_* variables."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri, None, os.environ)

    def read(self, name: str) -> bytes:
        """The content of an object."""
        with self._said_plainly():
            return bytes(self._files.cat_file(self._at(name)))

    def exists(self, name: str) -> bool:
        with self._said_plainly():
            return bool(self._files.exists(self._at(name)))

    def write(self, name: str, content: bytes) -> None:
        """Puts an object there, whole or not at all."""
        with self._said_plainly():
            self._files.pipe_file(self._at(name), content)

    def upload(self, file: Path, name: str) -> None:
        """The same with the content of a file, however large."""
        with self._said_plainly():
            self._files.put_file(str(file), self._at(name))

    def remove(self, names: Collection[str]) -> None:
        if names:
            with self._said_plainly():
                self._files.rm([self._at(name) for name in names])

    def ours(self) -> set[str]:
        """The objects that are named as publications name them."""
        with self._said_plainly():
            try:
                there = self._files.find(self._at("predictions"))
            except FileNotFoundError:
                return set()
        names = {path.removeprefix(f"{self._path}/") for path in there}
        return {name for name in names if _OURS.fullmatch(name)}

    @contextmanager
    def _said_plainly(self) -> Iterator[None]:
        """As for a source; but what goes wrong here says nothing about the data, so it is no bad input."""
        try:
            with super()._said_plainly():
                yield
        except (InputError, SourceError) as error:
            raise StoreError(str(error)) from None

    def _at(self, name: str) -> str:
        return f"{self._path}/{name}"


def publish(settings: Settings, target: Target, progress: Callable[[str], None] | None = None) -> Publication:
    """Brings the store to what is published in the home.

    Args:
        settings: the home.
        target: where to.
        progress: called with a sentence for each Monday that is brought.

    Raises:
        StoreError: there is no such bucket, it does not let this user in, is away or failed on the way. The former manifest is in force
            then, and what it names is there.
    """
    say = progress or (lambda _: None)
    former = read_manifest(target)
    present = {listed.object for listed in former}
    entries = {listed.snapshot_date: listed for listed in former}
    uploaded: dict[date, int] = {}
    local: set[date] = set()
    for day, file in _published_files(settings):
        local.add(day)
        digest = _sha256(file)
        if day in entries and entries[day].sha256 == digest:
            continue
        entries[day] = _listed(day, digest, file)
        target.upload(file, entries[day].object)
        uploaded[day] = entries[day].rows
        say(f"{day}: {entries[day].rows:,} customers to {target.uri}")
    if uploaded or not former:
        _write_manifest(target, settings, entries.values())
    # What the former manifest names stays for whoever has just read it.
    superseded = target.ours() - present - {listed.object for listed in entries.values()}
    target.remove(superseded)
    return Publication(uploaded, tuple(sorted(entries.keys() - local)), len(entries), len(superseded))


def forget(settings: Settings, target: Target, customer_ids: Sequence[str]) -> int:
    """Takes customers out of every object, those that no manifest names any more among them; how many rows there were.

    Earlier versions of an object in a bucket with versioning, and copies that others made, are not reached.

    Raises:
        StoreError: as for :func:`publish`. The same call goes on where it ended.
    """
    there = target.ours()
    former = read_manifest(target)
    entries = {listed.object: listed for listed in former}
    rows = 0
    replaced = []
    for name in sorted(there):
        content, count = _without(target.read(name), customer_ids)
        rows += count
        if name in entries and count:
            listed = entries[name]
            digest = hashlib.sha256(content).hexdigest()
            replaced.append(
                Listed(
                    listed.snapshot_date,
                    _object(listed.snapshot_date, digest),
                    digest,
                    len(content),
                    listed.rows - count,
                    listed.run_id,
                    listed.scoring_mode,
                )
            )
            target.write(replaced[-1].object, content)
    if replaced:
        days = {listed.snapshot_date: listed for listed in (*former, *replaced)}
        _write_manifest(target, settings, days.values())
        former = list(days.values())
    # Also what the former manifest named: whoever reads with it has to read the manifest again.
    target.remove(target.ours() - {listed.object for listed in former})
    return rows


def read_manifest(target: Target) -> list[Listed]:
    """What the manifest of a place names; nothing where nothing was published.

    Raises:
        StoreError: it is none of ours, or of a newer version.
    """
    if not target.exists(MANIFEST):
        return []
    try:
        manifest = json.loads(target.read(MANIFEST))
        number = int(manifest["format"])
        if number <= FORMAT:
            return [
                Listed(**{**entry, "snapshot_date": date.fromisoformat(entry["snapshot_date"])})
                for entry in manifest["predictions"]
            ]
    except (ValueError, KeyError, TypeError):
        raise StoreError(
            f"{target.uri}/{MANIFEST} is no manifest of a publication: take it away, or set another CHURN_PUBLISH_PATH"
        ) from None
    raise StoreError(f"{target.uri}/{MANIFEST} has format {number}, and this version knows formats up to {FORMAT}")


def _write_manifest(target: Target, settings: Settings, entries: Iterable[Listed]) -> None:
    written_at = settings.clock().astimezone(UTC).isoformat(timespec="seconds")
    listed = [
        {**vars(entry), "snapshot_date": entry.snapshot_date.isoformat()}
        for entry in sorted(entries, key=lambda entry: entry.snapshot_date)
    ]
    content = {"format": FORMAT, "written_at": written_at, "predictions": listed}
    target.write(MANIFEST, json_text(content, indent=1).encode() + b"\n")


def _published_files(settings: Settings) -> list[tuple[date, Path]]:
    files = []
    for path in sorted((settings.published / "predictions").glob("*.parquet")):
        # A file that somebody copied by hand is no Monday.
        with suppress(ValueError):
            files.append((date.fromisoformat(path.stem), path))
    return files


def _listed(day: date, digest: str, file: Path) -> Listed:
    import duckdb

    with duckdb.connect() as con:
        row = con.execute(
            "select count(*), any_value(run_id), any_value(scoring_mode) from read_parquet(?)", [str(file)]
        ).fetchall()[0]
    return Listed(day, _object(day, digest), digest, file.stat().st_size, *row)


def _object(day: date, digest: str) -> str:
    return f"predictions/{day}.{digest[:16]}.parquet"


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _without(content: bytes, customer_ids: Sequence[str]) -> tuple[bytes, int]:
    """A Parquet file without some customers, and how many rows they had."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = pq.read_table(io.BytesIO(content))
    theirs = pc.is_in(table["customer_id"], value_set=pa.array(customer_ids, pa.string()))
    kept = table.filter(pc.invert(theirs))
    count = table.num_rows - kept.num_rows
    if not count:
        return content, 0
    out = io.BytesIO()
    pq.write_table(kept, out, compression="zstd")
    return out.getvalue(), count
