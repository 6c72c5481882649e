"""The published database of monitoring, where it is large: what did not change stays as it is, and the whole is what the warehouse has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from churn_pipeline.core.settings import Settings
from churn_pipeline.delivery import publish
from churn_pipeline.delivery.publish import publish_monitoring


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    """A warehouse with two tables of monitoring; one row has no Monday."""
    with duckdb.connect() as connection:
        connection.execute(
            """
            create schema monitoring;
            create table monitoring.drift as
            select date '2024-01-01' + 7 * week::integer as snapshot_date, target, week / 3.0 as score, [target] as reasons
            from range(20) as weeks(week), (values ('a'), ('b')) as targets(target);
            insert into monitoring.drift values (null, 'a', null, null);
            create table monitoring.lists as
            select date '2024-01-01' + 7 * week::integer as assessed_on, week as calls from range(20) as weeks(week);
            insert into monitoring.lists values (date '2024-06-03', 1), (date '2024-06-03', 1);
            """
        )
        yield connection


def content(con: duckdb.DuckDBPyConnection, schema: str) -> dict[str, tuple[list[object], list[tuple[object, ...]]]]:
    """By table its columns and rows."""
    tables = con.execute("select table_name from duckdb_tables() where schema_name = ?", [schema]).fetchall()
    return {
        name: (
            con.execute(f"describe {schema}.{name}").fetchall(),
            con.execute(f"from {schema}.{name} order by all").fetchall(),
        )
        for (name,) in tables
    }


def whole(con: duckdb.DuckDBPyConnection, settings: Settings) -> bool:
    with duckdb.connect(str(settings.monitoring_database), read_only=True) as reader:
        return content(reader, "main") == content(con, "monitoring")


@pytest.fixture
def made_anew(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Grows with every publication that makes the database anew."""
    times: list[None] = []
    create = publish._create

    def noted(*arguments: object) -> object:
        times.append(None)
        return create(*arguments)

    monkeypatch.setattr(publish, "_create", noted)
    return times


@pytest.mark.parametrize(
    "change",
    [
        "insert into monitoring.drift values (date '2024-06-03', 'a', 1, ['x']), (date '2024-06-03', 'a', 1, ['x'])",
        "delete from monitoring.drift where snapshot_date = date '2024-01-08'",
        "update monitoring.drift set score = 7 where snapshot_date = date '2024-01-15' and target = 'b'",
        # As many rows as before, and rows that are there twice, which a digest may cancel out.
        "update monitoring.lists set calls = 19 - calls",
        "update monitoring.lists set calls = 2 where assessed_on = date '2024-06-03'",
        "insert into monitoring.lists select lists.* from monitoring.lists, range(2)",
        "update monitoring.drift set reasons = ['other'] where snapshot_date is null",
        "insert into monitoring.drift select * from monitoring.drift where snapshot_date is null",
        "select 1",
    ],
)
def test_of_a_large_database_the_mondays_that_changed_are_written_and_the_whole_is_what_the_warehouse_has(
    con: duckdb.DuckDBPyConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made_anew: list[None], change: str
) -> None:
    monkeypatch.setattr(publish, "_SMALL_BYTES", 0)
    settings = Settings(home=tmp_path)
    publish_monitoring(con, settings)
    assert len(made_anew) == 1
    con.execute(change)
    publish_monitoring(con, settings)
    assert whole(con, settings)
    assert len(made_anew) == 1
    assert [path.name for path in settings.published.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    "change",
    [
        "alter table monitoring.drift add column more integer",
        "alter table monitoring.drift rename column score to points",
        "create table monitoring.other as select 1 as number",
        "drop table monitoring.lists",
        "drop table monitoring.lists; create table monitoring.lists (calls bigint)",
    ],
)
def test_a_database_of_other_columns_or_tables_is_made_anew(
    con: duckdb.DuckDBPyConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made_anew: list[None], change: str
) -> None:
    monkeypatch.setattr(publish, "_SMALL_BYTES", 0)
    settings = Settings(home=tmp_path)
    publish_monitoring(con, settings)
    con.execute(change)
    publish_monitoring(con, settings)
    assert whole(con, settings)
    assert len(made_anew) == 2


def test_a_database_that_is_damaged_is_made_anew(
    con: duckdb.DuckDBPyConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made_anew: list[None]
) -> None:
    monkeypatch.setattr(publish, "_SMALL_BYTES", 0)
    settings = Settings(home=tmp_path)
    publish_monitoring(con, settings)
    settings.monitoring_database.write_bytes(b"no database" * 1000)
    publish_monitoring(con, settings)
    assert whole(con, settings)
    assert len(made_anew) == 2
