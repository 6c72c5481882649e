"""Which published tables go to PostgreSQL, and how their types are written there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from churn_pipeline.core.errors import PostgresError
from churn_pipeline.core.sql import quoted

if TYPE_CHECKING:
    import duckdb
    import psycopg

from churn_pipeline.delivery.postgres.connection import SCHEMA

PREDICTIONS = "predictions"


@dataclass(frozen=True)
class Table:
    """A published table.

    Attributes:
        name: the same in DuckDB and in PostgreSQL.
        database: which of the published databases it is in.
        day: the column by which it is replaced, Monday by Monday; None for a small one that is replaced whole.
        digest: an aggregate in DuckDB's SQL that differs when a Monday's rows do.
        assessed_on: the column that this revision of the schema has for the published ``assessed_on``.
    """

    name: str
    database: Literal["published", "monitoring"]
    day: str | None = None
    digest: str = ""
    assessed_on: str | None = None

    @property
    def source(self) -> str:
        """What is copied, as DuckDB reads it: a relation with PostgreSQL's names of the columns."""
        relation = f"{self.database}.main.{quoted(self.name)}"
        return (
            f"(select * rename (assessed_on as {self.assessed_on}) from {relation})" if self.assessed_on else relation
        )


# Not of the values: a row of predictions is written once by a run, apart from its change columns, which are refreshed by the run that
# writes the Monday before. And a customer who is erased from both sides changes no digest, so that nothing is written again.
_BY_RUN = "concat_ws(' ', min(run_id), max(run_id), max(scored_at))"
# Of the values, and of the order of rows not at all.
_BY_VALUE = "sum(hash(source)::hugeint)::varchar"

TABLES = (
    Table(PREDICTIONS, "published", "snapshot_date", _BY_RUN),
    Table("customers", "published"),
    Table("runs", "published"),
    Table("promotions", "published"),
    Table("policy_seeds", "published"),
    Table("drift", "monitoring", "snapshot_date", _BY_VALUE),
    Table("drift_verdicts", "monitoring", "snapshot_date", _BY_VALUE),
    Table("judgements", "monitoring", "snapshot_date", _BY_VALUE),
    Table("model_quality", "monitoring", "monday", _BY_VALUE, assessed_on="monday"),
    Table("saves", "monitoring", "monday", _BY_VALUE, assessed_on="monday"),
    Table("holdout_lift", "monitoring", "monday", _BY_VALUE, assessed_on="monday"),
    Table("prediction_outcomes", "monitoring", "monday", _BY_VALUE, assessed_on="monday"),
)

# The one type in PostgreSQL that holds every value of the one in DuckDB. Nothing is converted: another pair is refused.
_TYPES = {
    "VARCHAR": "text",
    "DOUBLE": "double precision",
    "BIGINT": "bigint",
    "INTEGER": "integer",
    "BOOLEAN": "boolean",
    "DATE": "date",
    "TIMESTAMP": "timestamp without time zone",
    "JSON": "jsonb",
    "VARCHAR[]": "text[]",
}


def postgres_type(duckdb_type: str) -> str | None:
    """The type in PostgreSQL for one in DuckDB; None where there is none that loses nothing."""
    if duckdb_type.startswith("STRUCT(") and duckdb_type.endswith(")[]"):
        return "jsonb"
    if duckdb_type.startswith("DECIMAL("):
        return "numeric" + duckdb_type.removeprefix("DECIMAL").replace(" ", "")
    return _TYPES.get(duckdb_type)


@dataclass(frozen=True)
class Columns:
    """The columns that a table has on both sides.

    Attributes:
        types: DuckDB's type and PostgreSQL's, by name, in the order of the copy.
        left_out: columns that are published and that the schema does not know.
    """

    types: dict[str, tuple[str, str]]
    left_out: tuple[str, ...]


def columns_of(table: Table, reader: duckdb.DuckDBPyConnection, con: psycopg.Connection[Any]) -> Columns:
    """Compares a table's columns on both sides.

    A column that only PostgreSQL has stays null: a home that was written by an older version may lack it.

    Raises:
        PostgresError: a column has a type on one side that cannot hold the other's values.
    """
    there = {
        name: str(kind)
        for name, kind in con.execute(
            """
            select attname, format_type(atttypid, atttypmod) from pg_attribute
            where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped
            """,
            [f"{SCHEMA}.{table.name}"],
        ).fetchall()
    }
    types: dict[str, tuple[str, str]] = {}
    left_out = []
    for name, kind, *_ in reader.execute(f"describe from {table.source}").fetchall():
        if name not in there:
            left_out.append(f"{table.name}.{name}")
            continue
        if postgres_type(kind) != there[name]:
            raise PostgresError(
                f"{SCHEMA}.{table.name}.{name} is {there[name]} in PostgreSQL, and {kind} in what is published: it is not converted"
            )
        types[name] = (kind, there[name])
    return Columns(types, tuple(left_out))
