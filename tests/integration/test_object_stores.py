"""Tables from an object store, moto's S3 server on loopback: new, changed and vanished objects, and words that help and tell no secret."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from churn_pipeline.core.errors import InputError, SourceError
from churn_pipeline.sources import object_stores
from churn_pipeline.sources.declared import Connection, RemoteSource, Sources
from churn_pipeline.sources.fetch import Fetched, FetchedTable, fetch
from tests.support import s3

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with s3.server() as address:
        yield address


@pytest.fixture
def bucket(endpoint: str) -> s3.Bucket:
    return s3.bucket(endpoint, f"exports-{secrets.token_hex(8)}")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data" / "sources"


@pytest.fixture
def environment(bucket: s3.Bucket, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    # What the machine or its user may have set.
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return {"STORE_KEY": bucket.key, "STORE_SECRET": bucket.secret}


def sources(uri: str, endpoint: str, options: dict[str, str] | None = None) -> Sources:
    options = options if options is not None else {"key": "${STORE_KEY}", "secret": "${STORE_SECRET}"}
    return Sources(
        remote=MappingProxyType({"usage_events": RemoteSource("usage_events", "s3", "store", uri=uri)}),
        connections=MappingProxyType({"store": Connection("store", "s3", endpoint, options)}),
    )


@pytest.fixture
def bring(bucket: s3.Bucket, folder: Path, environment: dict[str, str]) -> Callable[[str], FetchedTable]:
    def call(pattern: str) -> FetchedTable:
        what = sources(f"s3://{bucket.name}/{pattern}", bucket.endpoint)
        done: Fetched = fetch(what, folder, environment, print, now=NOW)
        return done.tables["usage_events"]

    return call


type Bring = Callable[[str], FetchedTable]


def files(folder: Path) -> dict[str, bytes]:
    """What landing would read."""
    table = folder / "usage_events"
    return {
        path.relative_to(table).as_posix(): path.read_bytes()
        for path in table.rglob("*")
        if path.is_file() and path.name[0] not in "._"
    }


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("exports", ["a.csv", "b.parquet", "dt=2026-01-01/a.csv", "dt=2026-01-02/we?ird [1].csv"]),
        ("exports/", ["a.csv", "b.parquet", "dt=2026-01-01/a.csv", "dt=2026-01-02/we?ird [1].csv"]),
        ("exports/*.csv", ["a.csv"]),
        ("exports/**/*.csv", ["a.csv", "dt=2026-01-01/a.csv", "dt=2026-01-02/we?ird [1].csv"]),
        ("exports/dt=*/a.csv", ["dt=2026-01-01/a.csv"]),
        ("exports/b.parquet", ["b.parquet"]),
    ],
)
def test_a_folder_a_pattern_and_an_object_are_copied_as_they_are(
    bring: Bring, bucket: s3.Bucket, folder: Path, pattern: str, expected: list[str]
) -> None:
    contents = {
        "a.csv": b"x\n1\n",
        "b.parquet": b"PAR1\0",
        "dt=2026-01-01/a.csv": b"x\n2\n",
        "dt=2026-01-02/we?ird [1].csv": b"x\n3\n",
    }
    for name, content in contents.items():
        bucket.put(f"exports/{name}", content)
    # Somebody's work in progress, and another folder's.
    for name in ("exports/_temporary/a.csv", "exports/.a.csv", "exports/c.csv.tmp", "exports2/d.csv"):
        bucket.put(name, b"no")
    assert bring(pattern) == FetchedTable("appended", files=len(expected))
    assert files(folder) == {name: contents[name] for name in expected}


def test_only_what_is_new_or_changed_is_fetched_and_what_is_gone_there_goes(
    bring: Bring, bucket: s3.Bucket, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("dt=1/a.csv", "dt=2/a.csv", "dt=3/a.csv"):
        bucket.put(f"exports/{name}", b"x\n1\n")
    bring("exports/")
    fetched: list[str] = []
    copy = object_stores.Store.copy
    monkeypatch.setattr(
        object_stores.Store,
        "copy",
        lambda store, stored, target: (fetched.append(stored.path), copy(store, stored, target)),
    )
    assert bring("exports/").how == "unchanged"
    # Of equal length.
    bucket.put("exports/dt=1/a.csv", b"x\n2\n")
    bucket.put("exports/dt=4/a.csv", b"x\n4\n")
    bucket.remove("exports/dt=2/a.csv")
    assert bring("exports/") == FetchedTable("appended", files=2, vanished=1)
    assert sorted(fetched) == [f"{bucket.name}/exports/dt={day}/a.csv" for day in (1, 4)]
    assert files(folder) == {"dt=1/a.csv": b"x\n2\n", "dt=3/a.csv": b"x\n1\n", "dt=4/a.csv": b"x\n4\n"}
    # No empty folder stays behind.
    assert sorted(path.name for path in (folder / "usage_events").iterdir() if path.is_dir()) == [
        "dt=1",
        "dt=3",
        "dt=4",
    ]


def test_a_copy_that_somebody_removed_is_fetched_again(bring: Bring, bucket: s3.Bucket, folder: Path) -> None:
    bucket.put("exports/a.csv", b"x\n1\n")
    bring("exports/")
    (folder / "usage_events" / "a.csv").unlink()
    assert bring("exports/").files == 1
    assert files(folder) == {"a.csv": b"x\n1\n"}


def test_a_kill_half_way_leaves_whole_files_and_the_rest_is_fetched_next(
    bring: Bring, bucket: s3.Bucket, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abc":
        bucket.put(f"exports/{name}.csv", name.encode() * 1000)
    commit = object_stores.commit_file

    def die_at_b(temporary: Path, final: Path) -> None:
        if final.name == "b.csv":
            raise KeyboardInterrupt
        commit(temporary, final)

    with monkeypatch.context() as patched:
        patched.setattr(object_stores, "commit_file", die_at_b)
        with pytest.raises(KeyboardInterrupt):
            bring("exports/")
    assert files(folder) == {"a.csv": b"a" * 1000}
    assert bring("exports/").files == 2
    assert files(folder) == {f"{name}.csv": name.encode() * 1000 for name in "abc"}


def test_another_address_replaces_what_the_former_one_gave(bring: Bring, bucket: s3.Bucket, folder: Path) -> None:
    bucket.put("old/a.csv", b"1")
    bucket.put("new/b.csv", b"2")
    bring("old/")
    bring("new/")
    assert files(folder) == {"b.csv": b"2"}


# --- words -----------------------------------------------------------------------------------------------------------


def refusal(what: Sources, folder: Path, environment: dict[str, str]) -> Exception:
    with pytest.raises((InputError, SourceError)) as caught:
        fetch(what, folder, environment, print, now=NOW)
    text = str(caught.value)
    assert text.startswith("usage_events: ") and "\n" not in text
    assert not any(secret in text for secret in environment.values())
    assert caught.value.__cause__ is None
    return caught.value


def test_a_bucket_that_does_not_exist_is_said(bucket: s3.Bucket, folder: Path, environment: dict[str, str]) -> None:
    for pattern in ("exports/*.csv", "exports/", ""):
        error = refusal(sources(f"s3://no-such-bucket/{pattern}", bucket.endpoint), folder, environment)
        assert "there is no bucket no-such-bucket" in str(error) and error.exit_code == 2  # type: ignore[attr-defined]


@pytest.mark.parametrize("pattern", ["exports/*.csv", "exports/**/*.csv", "exports/", "exports/a.csv"])
def test_where_nothing_lies_the_copies_are_kept(
    bring: Bring, bucket: s3.Bucket, folder: Path, environment: dict[str, str], pattern: str
) -> None:
    bucket.put("exports/a.csv", b"x\n1\n")
    bring(pattern)
    bucket.remove("exports/a.csv")
    bucket.put("elsewhere.csv", b"")
    error = refusal(sources(f"s3://{bucket.name}/{pattern}", bucket.endpoint), folder, environment)
    assert "nothing lies there" in str(error)
    assert files(folder) == {"a.csv": b"x\n1\n"}


def test_missing_credentials_are_said(bucket: s3.Bucket, folder: Path, environment: dict[str, str]) -> None:
    error = refusal(sources(f"s3://{bucket.name}/exports/", bucket.endpoint, {}), folder, environment)
    assert re.search("does not let this user in: Unable to locate credentials", str(error))
    assert error.exit_code == 2  # type: ignore[attr-defined]


def test_refused_credentials_are_said_without_them(
    bucket: s3.Bucket, folder: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import s3fs

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(f"The AWS Access Key Id {bucket.key} or {bucket.secret} does not exist in our records.")

    # moto lets everybody in.
    monkeypatch.setattr(s3fs.S3FileSystem, "find", refuse)
    error = refusal(sources(f"s3://{bucket.name}/exports/", bucket.endpoint), folder, environment)
    assert "does not let this user in: The AWS Access Key Id *** or *** does not exist" in str(error)
    assert error.exit_code == 2  # type: ignore[attr-defined]


def test_a_store_that_is_away_is_an_absence(
    folder: Path, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(object_stores._S3_CONFIG, "retries", {"max_attempts": 1})
    error = refusal(sources("s3://exports/a.csv", "http://127.0.0.1:1"), folder, environment)
    assert "the store is away or failed on the way" in str(error)
    assert error.exit_code == 1  # type: ignore[attr-defined]


def test_an_option_that_the_store_does_not_know_is_said(
    bucket: s3.Bucket, folder: Path, environment: dict[str, str]
) -> None:
    error = refusal(
        sources(f"s3://{bucket.name}/x/", bucket.endpoint, {"sekret": "${STORE_SECRET}"}), folder, environment
    )
    assert "the address or an option of the connection cannot be used" in str(error) and "sekret" in str(error)


@pytest.mark.parametrize(("scheme", "package"), [("gs", "gcsfs"), ("abfs", "adlfs")])
def test_a_package_that_is_not_installed_is_named(scheme: str, package: str, folder: Path) -> None:
    what = Sources(remote={"usage_events": RemoteSource("usage_events", "gcs", uri=f"{scheme}://bucket/x/")})
    assert str(refusal(what, folder, {})).endswith(f"is not installed: pip install {package}")


@pytest.mark.parametrize("name", ["../up.csv", "a/../../up.csv", "a\\b.csv"])
def test_an_object_whose_name_would_leave_the_folder_is_refused(
    bring: Bring,
    bucket: s3.Bucket,
    folder: Path,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    import s3fs

    # No client of ours puts such a name there.
    info = {"name": f"{bucket.name}/exports/{name}", "size": 1, "ETag": "1", "type": "file"}
    monkeypatch.setattr(s3fs.S3FileSystem, "find", lambda *_, **__: {info["name"]: info})
    error = refusal(sources(f"s3://{bucket.name}/exports/", bucket.endpoint), folder, environment)
    assert "cannot be a file here" in str(error)
    assert not list(folder.rglob("*.csv"))
