"""Day digests: what was known by when, in a form that can be compared.

Every landed row is split into facts by the day on which each part of it becomes known, and each day's facts are
condensed into a count and a sum of row hashes, which does not depend on their order. If all digests dated before S are
equal, everything known at S is equal.

The hash is DuckDB's own and may change with its version. The version is part of what a table's landing is compared by,
so that an upgrade costs one landing from scratch and a rebuild, never a wrong "unchanged".
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import date

import duckdb

from churn_pipeline.contract.declaration import TableContract
from churn_pipeline.core.sql import literal

FINGERPRINT_BYTES = 16


def facts_sql(table: TableContract, rows: str) -> str:
    """SQL of the digests of ``rows``, a relation like the landed table: fact_date, fact_rows BIGINT, digest HUGEINT."""
    source = table.facts_from.format(rows=rows)
    facts = " union all ".join(
        f"select {fact.day} as fact_date, hash({literal(fact.name)}, {', '.join(fact.values)}) as row_hash "
        f"from {source} where {fact.condition}"
        for fact in table.facts
    )
    return (
        "select fact_date, count(*) as fact_rows, sum(row_hash)::HUGEINT as digest "
        f"from ({facts}) where fact_date is not null group by fact_date"
    )


def replace_digests(con: duckdb.DuckDBPyConnection, table: TableContract) -> None:
    """Computes the table's digests anew from its landed rows."""
    con.execute("delete from landing.fact_digests where source = ?", [table.name])
    con.execute(
        f"insert into landing.fact_digests select {literal(table.name)}, * from ({facts_sql(table, 'landing.' + table.name)})"
    )


def adjust_digests(con: duckdb.DuckDBPyConnection, table: TableContract, added: str, removed: str | None) -> None:
    """Brings the table's digests up to date from the rows that came and went. Sums of integers allow that exactly.

    Args:
        con: in the landing's transaction.
        table: the table.
        added: the relation of the rows that came.
        removed: that of the rows that went; None: none did.
    """
    gone = f"select fact_date, -fact_rows, -digest from ({facts_sql(table, removed)}) union all" if removed else ""
    con.execute(
        f"""
        create or replace temp table digests_adjusted as
        select fact_date, sum(fact_rows)::BIGINT as fact_rows, sum(digest)::HUGEINT as digest
        from (
            select fact_date, fact_rows, digest from ({facts_sql(table, added)})
            union all
            {gone}
            select fact_date, fact_rows, digest from landing.fact_digests where source = {literal(table.name)}
        )
        group by fact_date
        having sum(fact_rows) > 0
        """
    )
    con.execute("delete from landing.fact_digests where source = ?", [table.name])
    con.execute(f"insert into landing.fact_digests select {literal(table.name)}, * from digests_adjusted")
    con.execute("drop table digests_adjusted")


def changed_from(con: duckdb.DuckDBPyConnection, before: str) -> dict[str, date]:
    """By table, the earliest day whose digest differs between now and the relation ``before``, vanished days included."""
    rows = con.execute(
        f"""
        select source, min(fact_date)
        from landing.fact_digests as now
        full join {before} as past using (source, fact_date)
        where now.fact_rows is distinct from past.fact_rows or now.digest is distinct from past.digest
        group by source
        """
    ).fetchall()
    return dict(rows)


def fingerprints(con: duckdb.DuckDBPyConnection, mondays: Iterable[date]) -> dict[date, str]:
    """The data fingerprint of each Monday: a hash over all digests dated before it, in one ordered pass.

    Args:
        con: a connection to the warehouse; reading suffices.
        mondays: in any order.

    Returns:
        Monday to 32 hex digits. Equal fingerprints mean that everything known at that Monday is equal.
    """
    days = con.execute(
        "select fact_date, source, fact_rows, digest::VARCHAR from landing.fact_digests order by fact_date, source"
    ).fetchall()
    running = hashlib.blake2b(digest_size=FINGERPRINT_BYTES)
    position = 0
    result = {}
    for monday in sorted(set(mondays)):
        while position < len(days) and days[position][0] < monday:
            running.update("|".join(map(str, days[position])).encode() + b"\n")
            position += 1
        result[monday] = running.copy().hexdigest()
    return result


def fingerprint(con: duckdb.DuckDBPyConnection, monday: date) -> str:
    """The data fingerprint of one Monday, see ``fingerprints``."""
    return fingerprints(con, [monday])[monday]
