"""Which published tables go to PostgreSQL, and which type of DuckDB becomes which there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from churn_pipeline.core.errors import PostgresError
from churn_pipeline.core.sql import quoted
from churn_pipeline.delivery.postgres.connection import SCHEMA

if TYPE_CHECKING:
    import duckdb

PREDICTIONS = "predictions"


@dataclass(frozen=True)
class Table:
    """A published table.

    Attributes:
        name: the same in DuckDB and in PostgreSQL.
        database: which of the published databases it is in.
        day: the column by which it is replaced, Monday by Monday; None for a small one that is replaced whole.
        digest: an aggregate in DuckDB's SQL that differs when a Monday's rows do.
        version: the column that names a policy; of a small table only the rows of policies that the home has are replaced. Mondays that
            only PostgreSQL has, which are left alone, may need the others.
    """

    name: str
    database: Literal["published", "monitoring"]
    day: str | None = None
    digest: str = ""
    version: str | None = None

    @property
    def source(self) -> str:
        """What is copied, as DuckDB reads it."""
        return f"{self.database}.main.{quoted(self.name)}"


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
    Table("policy_seeds", "published", version="policy_version"),
    Table("risk_tiers", "published", version="policy_version"),
    Table("drift", "monitoring", "snapshot_date", _BY_VALUE),
    Table("drift_verdicts", "monitoring", "snapshot_date", _BY_VALUE),
    Table("judgements", "monitoring", "snapshot_date", _BY_VALUE),
    Table("model_quality", "monitoring", "assessed_on", _BY_VALUE),
    Table("saves", "monitoring", "assessed_on", _BY_VALUE),
    Table("holdout_lift", "monitoring", "assessed_on", _BY_VALUE),
    Table("list_quality", "monitoring", "assessed_on", _BY_VALUE),
    Table("money_calibration", "monitoring", "assessed_on", _BY_VALUE),
    Table("forecast", "monitoring", "snapshot_date", _BY_VALUE),
    Table("retention", "monitoring", "snapshot_date", _BY_VALUE),
    Table("renewals", "monitoring", "snapshot_date", _BY_VALUE),
    Table("prediction_outcomes", "monitoring", "assessed_on", _BY_VALUE),
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
class Column:
    """A column that is copied.

    Attributes:
        name: on both sides.
        kind: its type in PostgreSQL.
    """

    name: str
    kind: str


@dataclass(frozen=True)
class Columns:
    """The columns of a table that are copied.

    Attributes:
        copied: in the order of the copy.
        left_out: columns that are published and that nobody declared.
    """

    copied: tuple[Column, ...]
    left_out: tuple[str, ...]


def columns_of(table: Table, declared: dict[str, str], reader: duckdb.DuckDBPyConnection) -> Columns:
    """The declared columns that are published.

    One that is not published stays null: a home that was written by an older version may lack it.

    Args:
        table: the published table.
        declared: the columns of schema churn that it is copied into, with their types.
        reader: has the published databases.

    Raises:
        PostgresError: a column has a type on one side that cannot hold the other's values.
    """
    copied = []
    left_out = []
    for name, kind, *_ in reader.execute(f"describe {table.source}").fetchall():
        if name not in declared:
            left_out.append(f"{table.name}.{name}")
            continue
        if postgres_type(kind) != declared[name]:
            raise PostgresError(
                f"{SCHEMA}.{table.name}.{name} is {declared[name]} in PostgreSQL, and {kind} in what is published: it is not converted"
            )
        copied.append(Column(name, declared[name]))
    return Columns(tuple(copied), tuple(left_out))
