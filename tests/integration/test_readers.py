"""What is published, read by the programs that people have: old DuckDBs, pandas, polars, pyarrow, ADBC, psql, a spreadsheet."""

from __future__ import annotations

import csv
import io
import os
import shutil
import subprocess
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from churn_pipeline.core.settings import Settings
from churn_pipeline.delivery.postgres.publish import publish as publish_to_postgres
from churn_pipeline.privacy import databases
from churn_pipeline.privacy.matching import Traces
from tests.conftest import TINY_BEFORE, TINY_MONDAY
from tests.support.duckdbs import VERSIONS, read_with
from tests.support.homes import query
from tests.support.postgres import Database

# One customer's probability is the same to the bit wherever it is read: text of a double is as long as it has to be.
PROBABILITY = (
    "select customer_id, churn_probability_90d from predictions where snapshot_date = date '{}' order by customer_id"
)


@pytest.fixture(scope="module")
def published(tiny_two_mondays: Settings) -> Path:
    return tiny_two_mondays.published


@pytest.fixture(scope="module")
def probabilities(published: Path) -> dict[str, float]:
    rows = dict(query(published / "churn.duckdb", PROBABILITY.format(TINY_MONDAY)))
    assert len(rows) > 300
    return rows


@pytest.mark.parametrize("version", VERSIONS)
def test_an_old_duckdb_reads_every_row_of_every_table_and_view(
    published: Path, probabilities: dict[str, float], version: str
) -> None:
    database = published / "churn.duckdb"
    names = [name for (name,) in query(database, "select table_name from information_schema.tables order by 1")]
    assert {"predictions", "predictions_flat", "customer_weeks", "drivers", "customers", "runs", "promotions"} <= {
        *names
    }
    # Everything is read, and not counted alone: of a view that unites three queries 1.4 counted rows that it did not give.
    everything = [f"from {name}" for name in names]
    read = read_with(version, database, *everything, PROBABILITY.format(TINY_MONDAY))
    for name, rows in zip(names, read, strict=False):
        assert len(rows) == query(database, f"select count(*) from {name}")[0][0], name
    assert {customer: float(p) for customer, p in read[-1]} == probabilities


@pytest.mark.parametrize("version", VERSIONS)
def test_an_old_duckdb_finds_the_words_on_the_columns(published: Path, version: str) -> None:
    words = "select comment from duckdb_columns() where table_name = 'predictions' and column_name = 'mrr'"
    assert read_with(version, published / "churn.duckdb", words) == [[["Monthly recurring revenue at S in USD."]]]


def test_an_old_duckdb_reads_the_monitoring_database_and_the_parquet_files(
    published: Path, probabilities: dict[str, float]
) -> None:
    database = published / "monitoring.duckdb"
    names = [name for (name,) in query(database, "select table_name from information_schema.tables order by 1")]
    read = read_with("1.4", database, *(f"from {name}" for name in names))
    assert [len(rows) for rows in read] == [query(database, f"select count(*) from {name}")[0][0] for name in names]
    for version in VERSIONS:
        files = f"read_parquet('{published}/predictions/*.parquet')"
        (rows,) = read_with(
            version, ":memory:", PROBABILITY.format(TINY_MONDAY).replace("from predictions", f"from {files}")
        )
        assert {customer: float(p) for customer, p in rows} == probabilities


def test_of_a_first_monday_duckdb_1_0_reads_all_but_lists_that_are_empty_everywhere_and_later_versions_read_all(
    scored_home: Settings,
) -> None:
    """DuckDB 2.0 writes a list that no row has in a way that 1.0 cannot read, whatever version it is told to write for; see published.md."""
    database = scored_home.published_database
    scalars = [
        name
        for name, kind in query(
            database, "select column_name, data_type from duckdb_columns() where table_name = 'predictions'"
        )
        if "[" not in kind
    ]
    ((count,),) = query(database, "select count(*) from predictions")
    read = read_with(
        "1.0", database, f"select {', '.join(scalars)} from predictions", "from predictions_flat", "from customer_weeks"
    )
    assert [len(rows) for rows in read] == [count] * 3
    assert len(read_with("1.4", database, "from predictions")[0]) == count


def test_pandas_polars_and_pyarrow_read_the_folder_and_agree(published: Path, probabilities: dict[str, float]) -> None:
    folder = published / "predictions"
    assert sorted(path.name for path in folder.iterdir()) == [f"{TINY_BEFORE}.parquet", f"{TINY_MONDAY}.parquet"]
    frames = {
        "pandas": pd.read_parquet(folder),
        "pyarrow": pq.read_table(folder).to_pandas(),
        "dataset": ds.dataset(folder).to_table().to_pandas(),
        "polars": pl.read_parquet(folder / "*.parquet").to_pandas(),
        "polars, lazily": pl.scan_parquet(folder).collect().to_pandas(),
    }
    for reader, frame in frames.items():
        newest = frame[pd.to_datetime(frame["snapshot_date"]) == pd.Timestamp(TINY_MONDAY)]
        assert dict(zip(newest["customer_id"], newest["churn_probability_90d"], strict=True)) == probabilities, reader
        assert len(frame) > len(newest), reader


def test_a_reader_of_the_folder_sees_nothing_of_a_file_that_is_being_written(published: Path, tmp_path: Path) -> None:
    folder = tmp_path / "predictions"
    folder.mkdir()
    for file in (published / "predictions").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / f".{TINY_MONDAY}.parquet.4711.tmp").write_bytes(b"half of it")
    assert (
        len(pd.read_parquet(folder)) == pq.read_table(folder).num_rows == pl.read_parquet(folder / "*.parquet").height
    )


def test_adbc_reads_the_database_as_arrow(published: Path, probabilities: dict[str, float]) -> None:
    import adbc_driver_duckdb.dbapi as adbc

    with adbc.connect(str(published / "churn.duckdb")) as con, con.cursor() as cursor:
        cursor.execute(PROBABILITY.format(TINY_MONDAY))
        table = cursor.fetch_arrow_table()
    assert dict(zip(*(column.to_pylist() for column in table.columns), strict=True)) == probabilities


def test_psql_and_adbc_read_the_same_from_postgresql(
    tiny_two_mondays: Settings, database: Database, probabilities: dict[str, float]
) -> None:
    import adbc_driver_postgresql.dbapi as adbc

    publish_to_postgres(database.url, tiny_two_mondays)
    sql = PROBABILITY.format(TINY_MONDAY).replace("predictions", "churn.predictions")
    printed = subprocess.run(
        ["psql", database.url, "--no-psqlrc", "--csv", "--tuples-only", "-c", sql],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "PGCONNECT_TIMEOUT": "10"},
    ).stdout
    assert {customer: float(p) for customer, p in csv.reader(io.StringIO(printed))} == probabilities
    with adbc.connect(database.url) as con, con.cursor() as cursor:
        cursor.execute(sql)
        table = cursor.fetch_arrow_table()
    assert dict(zip(*(column.to_pylist() for column in table.columns), strict=True)) == probabilities


def test_a_spreadsheet_takes_the_flat_table_and_gives_every_cell_back(published: Path, tmp_path: Path) -> None:
    newest = f"from predictions_flat where snapshot_date = date '{TINY_MONDAY}' order by priority_rank"
    with duckdb.connect(str(published / "churn.duckdb"), read_only=True) as con:
        frame = con.sql(newest).df()
    path = tmp_path / "predictions.xlsx"
    frame.to_excel(path, index=False, engine="openpyxl")
    back = pd.read_excel(path, engine="openpyxl", keep_default_na=False, na_values=[""], dtype={"run_id": str})
    assert [*back.columns] == [*frame.columns]
    for column in ("customer_id", "company_name", "csm_owner", "reason_1", "reason_2", "recommended_action"):
        assert [*back[column].fillna("")] == [*frame[column].fillna("")], column
    assert back["churn_probability_90d"].to_list() == pytest.approx(frame["churn_probability_90d"].to_list(), abs=1e-12)
    assert back["is_on_call_list"].to_list() == frame["is_on_call_list"].to_list()
    assert back["snapshot_date"].unique().tolist() == frame["snapshot_date"].unique().tolist()


def test_a_database_that_a_customer_was_erased_from_is_read_by_the_same_versions_and_keeps_its_words(
    published: Path, probabilities: dict[str, float], tmp_path: Path
) -> None:
    database = tmp_path / "churn.duckdb"
    shutil.copyfile(published / "churn.duckdb", database)
    customer = min(probabilities)
    taken = databases.rewrite(database, Traces([customer]))
    assert {name: count for name, count in taken.items() if count} == {
        "main.customer_weeks": 2,
        "main.customers": 1,
        "main.predictions": 2,
    }
    views = ("predictions", "customer_weeks", "predictions_flat", "drivers", "customers")
    theirs = [f"select count(*), count(*) filter (where customer_id = '{customer}') from {view}" for view in views]
    words = "select comment from duckdb_columns() where column_name = 'mrr' and table_name = 'predictions'"
    *counts, comments = read_with("1.0", database, *theirs, words)
    assert [rows[0][1] for rows in counts] == ["0"] * len(views)
    assert all(int(rows[0][0]) > 300 for rows in counts)
    assert comments == [["Monthly recurring revenue at S in USD."]]
