"""Publication to an object store, moto's S3 server on loopback: whole at any moment, no more than what changed, and nobody who was forgotten."""

from __future__ import annotations

import hashlib
import io
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from churn_pipeline.core.errors import StoreError
from churn_pipeline.core.settings import Settings
from churn_pipeline.delivery.channel import Order
from churn_pipeline.delivery.object_store import publish as publishing
from churn_pipeline.delivery.object_store.channel import OBJECT_STORE
from churn_pipeline.delivery.object_store.publish import MANIFEST, Target, publish
from churn_pipeline.privacy import erase
from tests.conftest import TINY_BEFORE, TINY_MONDAY
from tests.support import s3
from tests.support.homes import query


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with s3.server() as address:
        yield address


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> s3.Bucket:
    """A bucket that the libraries find by the environment, as on a machine of one's own."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    made = s3.bucket(endpoint, f"published-{secrets.token_hex(8)}")
    for name, value in {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": made.key,
        "AWS_SECRET_ACCESS_KEY": made.secret,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    return made


@pytest.fixture
def settings(tiny_two_mondays: Settings, bucket: s3.Bucket, tmp_path: Path) -> Settings:
    """Two published Mondays, as files alone, and where they are published to."""
    settings = tiny_two_mondays.model_copy(
        update={"home": tmp_path, "publish_path": f"s3://{bucket.name}/churn/weekly"}
    )
    folder = settings.published / "predictions"
    folder.mkdir(parents=True)
    for file in (tiny_two_mondays.published / "predictions").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return settings


def target(settings: Settings) -> Target:
    assert settings.publish_path is not None
    return Target(settings.publish_path)


def local(settings: Settings, day: object) -> Path:
    return settings.published / "predictions" / f"{day}.parquet"


def objects(bucket: s3.Bucket) -> dict[str, bytes]:
    """What lies in the bucket, by the name below the path."""
    bucket.files.invalidate_cache()
    paths = bucket.files.find(bucket.name)
    return {path.removeprefix(f"{bucket.name}/churn/weekly/"): bucket.files.cat_file(path) for path in paths}


def manifest(bucket: s3.Bucket) -> list[dict[str, object]]:
    entries: list[dict[str, object]] = json.loads(objects(bucket)[MANIFEST])["predictions"]
    return entries


def assert_whole(bucket: s3.Bucket) -> None:
    """What the manifest says of every object is true."""
    there = objects(bucket)
    for entry in manifest(bucket):
        content = there[str(entry["object"])]
        assert (len(content), hashlib.sha256(content).hexdigest()) == (entry["bytes"], entry["sha256"])
        table = pq.read_table(io.BytesIO(content))
        assert table.num_rows == entry["rows"]
        assert {str(day) for day in table["snapshot_date"].unique().to_pylist()} == {entry["snapshot_date"]}


def change(settings: Settings, day: object, what: str) -> None:
    """A Monday is published again with other rows."""
    with duckdb.connect() as con:
        con.execute(f"create table week as from '{local(settings, day)}'")
        con.execute(what)
        con.execute(f"copy week to '{local(settings, day)}' (format parquet)")


def test_every_monday_lies_there_as_it_is_published_and_a_reader_finds_it_by_the_manifest(
    settings: Settings, bucket: s3.Bucket
) -> None:
    orders: list[str] = []
    receipt = OBJECT_STORE.deliver(Order(settings, [TINY_MONDAY], "run", orders.append))
    assert receipt.facts["Mondays in the manifest"] == 2
    assert len(orders) == 2
    assert_whole(bucket)
    entries = manifest(bucket)
    assert [entry["snapshot_date"] for entry in entries] == [str(TINY_BEFORE), str(TINY_MONDAY)]
    assert set(objects(bucket)) == {MANIFEST, *(entry["object"] for entry in entries)}
    for entry in entries:
        assert objects(bucket)[str(entry["object"])] == local(settings, entry["snapshot_date"]).read_bytes()
        # The lines of docs/published.md.
        place = f"{settings.publish_path}/{entry['object']}"
        frame = pd.read_parquet(place, storage_options={"endpoint_url": bucket.endpoint})
        assert len(frame) == entry["rows"]


def test_only_what_changed_is_brought_and_what_a_reader_has_just_been_told_of_stays_until_the_publication_after(
    settings: Settings, bucket: s3.Bucket
) -> None:
    publish(settings, target(settings))
    first = {str(entry["snapshot_date"]): str(entry["object"]) for entry in manifest(bucket)}
    before = objects(bucket)
    assert publish(settings, target(settings)).uploaded == {}
    assert objects(bucket) == before

    change(settings, TINY_MONDAY, "update week set mrr = mrr + 1")
    assert [*publish(settings, target(settings)).uploaded] == [TINY_MONDAY]
    assert_whole(bucket)
    second = {str(entry["snapshot_date"]): str(entry["object"]) for entry in manifest(bucket)}
    assert second[str(TINY_BEFORE)] == first[str(TINY_BEFORE)]
    assert objects(bucket)[first[str(TINY_MONDAY)]] == before[first[str(TINY_MONDAY)]]

    change(settings, TINY_BEFORE, "update week set mrr = mrr + 1")
    assert publish(settings, target(settings)).removed == 1
    assert first[str(TINY_MONDAY)] not in objects(bucket)
    assert first[str(TINY_BEFORE)] in objects(bucket)


@pytest.mark.parametrize("moment", ["first object", "manifest", "removal"])
def test_killed_at_any_moment_the_manifest_in_force_is_whole_and_the_next_publication_mends_the_rest(
    settings: Settings, bucket: s3.Bucket, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    publish(settings, target(settings))
    in_force = objects(bucket)[MANIFEST]
    for day in (TINY_BEFORE, TINY_MONDAY):
        change(settings, day, "update week set mrr = mrr + 1")
    # An upload that nobody listed, as after an earlier kill.
    bucket.put(f"churn/weekly/predictions/{TINY_MONDAY}.{'0' * 16}.parquet", b"half")
    upload = Target.upload

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    def die_after_one(self: Target, file: Path, name: str) -> None:
        upload(self, file, name)
        die()

    name, replacement = {
        "first object": ("upload", die_after_one),
        "manifest": ("write", die),
        "removal": ("remove", die),
    }[moment]
    with monkeypatch.context() as patch:
        patch.setattr(Target, name, replacement)
        with pytest.raises(KeyboardInterrupt):
            publish(settings, target(settings))
    assert (objects(bucket)[MANIFEST] == in_force) == (moment != "removal")
    assert_whole(bucket)
    publish(settings, target(settings))
    change(settings, TINY_MONDAY, "update week set mrr = mrr + 1")
    publish(settings, target(settings))
    assert_whole(bucket)
    assert f"predictions/{TINY_MONDAY}.{'0' * 16}.parquet" not in objects(bucket)
    for entry in manifest(bucket):
        assert objects(bucket)[str(entry["object"])] == local(settings, entry["snapshot_date"]).read_bytes()


def test_an_erasure_leaves_the_customer_in_no_object_and_everybody_else_as_they_were(
    settings: Settings, bucket: s3.Bucket
) -> None:
    publish(settings, target(settings))
    # Of the former publication an object is left that no manifest names.
    change(settings, TINY_MONDAY, "update week set mrr = mrr + 1")
    publish(settings, target(settings))
    bucket.put("churn/weekly/notes.txt", b"of somebody else")
    before = {str(entry["snapshot_date"]): objects(bucket)[str(entry["object"])] for entry in manifest(bucket)}
    with duckdb.connect() as con:
        sql = f"select min(customer_id) from '{settings.published}/predictions/*.parquet'"
        ((customer,),) = con.execute(sql).fetchall()

    assert OBJECT_STORE.erase is not None
    # Three objects hold the customer: two of the manifest and the superseded one.
    assert OBJECT_STORE.erase(settings, [customer]) == 3
    assert_whole(bucket)
    left = objects(bucket)
    assert set(left) == {MANIFEST, "notes.txt", *(str(entry["object"]) for entry in manifest(bucket))}
    for name, content in left.items():
        if name.endswith(".parquet"):
            assert customer not in pq.read_table(io.BytesIO(content))["customer_id"].to_pylist()
    for entry in manifest(bucket):
        whole = pq.read_table(io.BytesIO(before[str(entry["snapshot_date"])])).to_pylist()
        rest = pq.read_table(io.BytesIO(left[str(entry["object"])])).to_pylist()
        assert rest == [row for row in whole if row["customer_id"] != customer]
        assert len(rest) == len(whole) - 1
    assert OBJECT_STORE.erase(settings, [customer]) == 0


def test_whoever_erases_is_told_what_a_bucket_with_versioning_keeps(tiny_home: Settings, bucket: s3.Bucket) -> None:
    settings = tiny_home.model_copy(update={"publish_path": f"s3://{bucket.name}/churn/weekly"})
    ((customer,),) = query(settings.published_database, "select min(customer_id) from predictions")
    notes = erase.preview(settings, customer).notes
    assert "the object store is asked when the customer is erased, and was not looked into" in notes
    assert any(note.startswith("a bucket with versioning keeps earlier versions") for note in notes)
    assert not any("versioning" in note for note in erase.preview(tiny_home, customer).notes)


def test_what_is_wrong_with_the_store_is_said_in_one_line_that_names_it(
    settings: Settings, bucket: s3.Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = settings.model_copy(update={"publish_path": f"s3://{bucket.name}-not/churn"})
    with pytest.raises(StoreError, match=rf"^s3://{bucket.name}-not/churn: [^\n]+$"):
        publish(nowhere, target(nowhere))
    bucket.put(f"churn/weekly/{MANIFEST}", b"{}")
    with pytest.raises(StoreError, match="is no manifest of a publication"):
        publish(settings, target(settings))
    bucket.put(f"churn/weekly/{MANIFEST}", json.dumps({"format": publishing.FORMAT + 1}).encode())
    with pytest.raises(StoreError, match="knows formats up to 1"):
        publish(settings, target(settings))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StoreError, match="the store is away") as error:
        publish(settings, target(settings))
    assert bucket.secret not in str(error.value)


@pytest.mark.parametrize(
    "path", ["s3://key:secret@bucket/churn", "/somewhere", "https://bucket/churn", "s3://", "s3://bucket/churn?x=1"]
)
def test_an_address_that_is_none_or_holds_a_login_is_refused_without_being_printed(path: str, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="write a bucket and a path, without a login") as error:
        Settings(home=tmp_path, publish_path=path)
    assert "secret" not in str(error.value)
