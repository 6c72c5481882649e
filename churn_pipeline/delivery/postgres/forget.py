"""Erases a customer from PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from churn_pipeline.delivery.postgres.connection import SCHEMA, connect
from churn_pipeline.delivery.postgres.rights import LOCK, take_lock

if TYPE_CHECKING:
    import psycopg

# The columns that name a Monday. ``monday`` is assessed_on in a schema that no publication has brought to revision 0002 yet.
_DAYS = ["snapshot_date", "assessed_on", "monday"]


def forget(url: str, customer_id: str) -> dict[str, int]:
    """Deletes a customer's rows from every table of schema ``churn`` that has a column customer_id, in one transaction.

    A publication brings back whatever is still published, so it is to be called once more after the home has forgotten the customer.
    The audit of publications is left alone, it holds nothing about customers. PostgreSQL frees the space of deleted rows with its next vacuum, and
    its backups and write-ahead log are its administrator's.

    Args:
        url: a postgresql:// URL.
        customer_id: as in the raw data.

    Returns:
        Rows deleted from each table, 0 included; nothing where the schema does not exist yet.

    Raises:
        PostgresError: PostgreSQL cannot be reached or refuses. Nothing is deleted then.
    """
    from psycopg import sql

    deleted: dict[str, int] = {}
    with connect(url) as con:
        # A publication under way holds this; what it has read may still have the customer.
        _keep_publications_away(con, url)
        tables = con.execute(
            """
            select pg_class.relname
            from pg_class
            inner join pg_attribute on attrelid = pg_class.oid and attname = 'customer_id' and not attisdropped
            where relnamespace = to_regnamespace(%s) and relkind in ('r', 'p')
            order by 1
            """,
            [SCHEMA],
        ).fetchall()
        for (table,) in tables:
            name = sql.Identifier(SCHEMA, table)
            days = [
                column
                for (column,) in con.execute(
                    """
                    select attname from pg_attribute
                    where attrelid = to_regclass(%s) and attname = any(%s) and not attisdropped
                    """,
                    [f"{SCHEMA}.{table}", _DAYS],
                ).fetchall()
            ]
            if not days:
                deleted[table] = con.execute(
                    sql.SQL("delete from {} where customer_id = %s").format(name), [customer_id]
                ).rowcount
                continue
            # The count of each Monday follows, so that the next publication finds the predictions as they are published, without the
            # customer, and does not write every Monday again. Outcomes are compared by value, and are.
            deleted[table] = (
                con.execute(
                    sql.SQL(
                        """
                        with gone as (delete from {name} where customer_id = %s returning {day} as day),
                        counted as (select day, count(*) as rows from gone group by day),
                        noted as (
                            update {contents} as contents set rows = contents.rows - counted.rows
                            from counted where contents.table_name = %s and contents.day = counted.day
                        )
                        select coalesce(sum(rows), 0)::bigint from counted
                        """
                    ).format(name=name, day=sql.Identifier(days[0]), contents=sql.Identifier(SCHEMA, "contents")),
                    [customer_id, table],
                ).fetchone()
                or (0,)
            )[0]
    return deleted


def _keep_publications_away(con: psycopg.Connection[Any], url: str) -> None:
    there = {
        name
        for (name,) in con.execute(
            "select relname::text from pg_class where relnamespace = to_regnamespace(%s) and relname = any(%s)",
            [SCHEMA, [LOCK, "contents"]],
        ).fetchall()
    }
    if LOCK in there:
        take_lock(con, url)
    elif there:
        # A database that no administrator has prepared for this version yet. Erasing does not wait for that; every publication of an
        # older version writes to this table.
        con.execute(f"lock table {SCHEMA}.contents in share row exclusive mode")
