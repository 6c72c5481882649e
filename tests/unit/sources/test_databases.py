"""What is computed of types and secrets without a server, and the way to databases that are no PostgreSQL, on DuckDB's own driver."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import adbc_driver_duckdb.dbapi
import pyarrow as pa
import pytest

from churn_pipeline.core.errors import InputError
from churn_pipeline.sources.databases import Column, Session, _plain_type, plain
from churn_pipeline.sources.declared import Connection
from churn_pipeline.sources.hiding import Secrets

NOTHING = Secrets(())


def table(arrays: list[pa.Array]) -> tuple[pa.RecordBatch, tuple[Column, ...]]:
    batch = pa.RecordBatch.from_arrays(arrays, names=[f"c{number}" for number in range(len(arrays))])
    return batch, tuple(Column(entry.name, "", _plain_type(entry.type)) for entry in batch.schema)


def test_types_that_the_contract_does_not_read_become_such_as_it_does() -> None:
    great = pa.array([Decimal("1.1234567891"), None], pa.decimal256(50, 10))
    words = pa.array(["a", "b"]).dictionary_encode()
    json = pa.array(['{"a":1}', None], pa.json_())
    batch = plain(*table([great, words, json]))
    assert [str(kind) for kind in batch.schema.types] == ["decimal128(38, 9)", "string", "string"]
    assert batch.to_pydict() == {
        "c0": [Decimal("1.123456789"), None],
        "c1": ["a", "b"],
        "c2": ['{"a":1}', None],
    }


def test_a_number_too_great_for_a_decimal_is_refused() -> None:
    with pytest.raises(InputError, match="column c0 holds a number"):
        plain(*table([pa.array([Decimal(10) ** 35], pa.decimal256(60, 20))]))


@pytest.fixture
def other() -> Any:
    """A session as for Snowflake: names in double quotes, parameters as question marks."""
    con = adbc_driver_duckdb.dbapi.connect(":memory:")
    with con.cursor() as cursor:
        cursor.execute(
            "create table e as select range as id, timestamp '2026-01-01' + to_days(range::int) as moment from range(10)"
        )
        cursor.execute("insert into e values (10, null)")
    yield Session(con, Connection("warehouse", "snowflake"), NOTHING)
    con.close()


def test_a_database_that_is_no_postgresql_is_asked_for_all_and_for_what_is_new(other: Session) -> None:
    columns = other.columns("select id, moment from e;".rstrip(";"))
    assert [(column.name, str(column.target)) for column in columns] == [("id", "int64"), ("moment", "timestamp[us]")]
    with other.batches("select id, moment from e", columns) as batches:
        assert sum(batch.num_rows for batch in batches) == 11
    with other.batches("select id, moment from e", columns, (columns[1], datetime(2026, 1, 9))) as batches:
        # With the newest value itself, and without one.
        assert sorted(row for batch in batches for row in batch.column("id").to_pylist()) == [8, 9, 10]


def test_a_stream_that_nobody_reads_to_the_end_is_closed(other: Session) -> None:
    columns = other.columns("select id from e")
    with other.batches("select id from e", columns) as batches:
        next(batches)
    with other.batches("select id from e", columns) as batches:
        assert sum(batch.num_rows for batch in batches) == 11


@pytest.mark.parametrize(
    ("uri", "environment", "text"),
    [
        ("${URL}", {"URL": "postgresql://jane:p%40ss@db/x"}, "cannot open postgresql://jane:p%40ss@db/x"),
        ("${URL}", {"URL": "postgresql://jane:p%40ss@db/x"}, 'password "p@ss" for user "jane"'),
        ("postgresql://jane:${PASSWORD}@db/x", {"PASSWORD": "sesame"}, "invalid port: sesame@db"),
        ("postgresql://db/x?user=jane&password=sesame", {}, "user jane, sesame"),
        ("snowflake://jane:a:b@account/db", {}, "a:b"),
    ],
)
def test_no_form_of_a_secret_is_left_in_a_message(uri: str, environment: dict[str, str], text: str) -> None:
    hidden = Secrets.of(Connection("crm", "postgresql", uri), environment).hidden(text)
    assert not any(part in hidden for part in ("jane", "p@ss", "p%40ss", "sesame", "a:b"))


def test_options_that_are_secret_by_their_name_are_hidden_and_ordinary_words_are_not() -> None:
    options = MappingProxyType({"user": "post", "password": "sesame", "region": "eu"})
    secrets = Secrets.of(Connection("crm", "postgresql", "", options), {"AWS_SECRET_ACCESS_KEY": "abc/def"})
    assert secrets.hidden("post at PostgreSQL in eu:\n sesame, abc/def") == "*** at PostgreSQL in eu: ***, ***"


def test_secrets_are_in_no_representation() -> None:
    assert "sesame" not in repr(Secrets.of(Connection("crm", "postgresql", "postgresql://x:sesame@y/z"), {}))
