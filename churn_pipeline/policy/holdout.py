"""The draw of the hold-out: who is left out of the call list, so that chance says what calls are worth."""

from __future__ import annotations

from datetime import date

import duckdb

from churn_pipeline.core.warehouse import transaction

# Of the draw. Not the seed of training, which may change without drawing the experiment anew.
HOLDOUT_SEED = 7


def write_holdout(con: duckdb.DuckDBPyConnection, share: float, monday: date | None, seed: int = HOLDOUT_SEED) -> None:
    """Tells dbt whom to hold out, before it turns scores into candidates. A table and not a variable: see macros/features.

    A change holds from its Monday on. Who was on the list of an earlier one is a fact, which no later setting may rewrite.

    Args:
        con: the warehouse.
        share: of those who would be called and are not among the largest accounts, 0 to 1; 0 holds out nobody.
        monday: from which on, the Monday of today; None where a run is about the past, and then nothing changes.
        seed: of the draw; another one holds out others.
    """
    con.execute("create schema if not exists control")
    con.execute("create table if not exists control.holdout (effective_from date, share double, seed bigint)")
    if monday is None:
        return
    in_force = con.execute(
        "select share, seed from control.holdout where effective_from <= ? order by effective_from desc limit 1",
        [monday],
    ).fetchone()
    if in_force == (share, seed) or (in_force is None and share == 0):
        return
    with transaction(con):
        con.execute("delete from control.holdout where effective_from = ?", [monday])
        con.execute("insert into control.holdout values (?, ?, ?)", [monday, share, seed])
