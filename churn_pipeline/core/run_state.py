"""Whose notes lie in the warehouse: what a run plans to build, and what it has scored.

The steps of a run leave notes for those that follow: which snapshots to build and test; which Mondays were scored, refused and approved,
with the candidates made of them. There is one set of each, and the next run writes its own over it. So they are signed, and a step that
goes on from them asks first whether they are its own run's. Otherwise a run that is re-executed from its failure after another one, or a
table that is materialized by itself, would build, clear or publish the Mondays of that other run.
"""

from __future__ import annotations

from typing import Literal

import duckdb

from churn_pipeline.core.errors import RefusedError

type Note = Literal["plan", "scores"]


def claim(con: duckdb.DuckDBPyConnection, note: Note, root_run_id: str) -> None:
    """Says whose a note is, before or in the transaction that writes it.

    Args:
        con: the warehouse.
        note: which one.
        root_run_id: the run that writes it; of a re-execution the one that it goes on with.
    """
    _create_table(con)
    con.execute("delete from control.notes where note = ?", [note])
    con.execute("insert into control.notes values (?, ?)", [note, root_run_id])


def is_own(con: duckdb.DuckDBPyConnection, note: Note, root_run_id: str) -> bool:
    """Whether a note is this run's."""
    return _signed_by(con, note) == root_run_id


def assert_owner(con: duckdb.DuckDBPyConnection, note: Note, root_run_id: str) -> None:
    """Makes sure that a note is this run's, before anything is done because of it.

    Raises:
        RefusedError: another run has written its own since, or this one never wrote any.
    """
    owner = _signed_by(con, note)
    if owner != root_run_id:
        what = {"plan": "what is planned to be built", "scores": "what was scored last"}[note]
        raise RefusedError(
            f"{what} is of {f'run {owner}' if owner else 'no run'} and not of this one, so this step did nothing. "
            "Run the Monday again from the start: 'churn run', 'churn backfill', or the whole job in the UI"
        )


def _signed_by(con: duckdb.DuckDBPyConnection, note: Note) -> str | None:
    _create_table(con)
    row = con.execute("select root_run_id from control.notes where note = ?", [note]).fetchone()
    return row[0] if row else None


def _create_table(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("create schema if not exists control")
    con.execute("create table if not exists control.notes (note varchar, root_run_id varchar)")
