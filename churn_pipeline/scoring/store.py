"""Where scores lie between Python and dbt: schema ``scoring`` of the warehouse.

Scores stay. Which Mondays were scored, refused and approved are notes of one run to itself (:mod:`churn_pipeline.core.run_state`), so whoever reads
them says which run asks, and another run is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from datetime import date, datetime

import duckdb

from churn_pipeline.core.run_ledger import Refusal
from churn_pipeline.core.run_state import assert_owner, claim
from churn_pipeline.features.verdicts import MondayCheck
from churn_pipeline.scoring.score import MAX_RAISED_SHARE, ScoredMonday

_DRIVERS = "struct(feature varchar, label varchar, value varchar, contribution double, sentence varchar)[]"

RESCORED = "rescored"


@dataclass(frozen=True)
class Stamp:
    """What applies to every row of a scored Monday.

    Attributes:
        scoring_mode: ``live``, ``as_of``, or ``rescored`` for another model than the one in force.
        churn_30d_model_version: like the other versions, that of the registered model.
        labels_closed_by: no model saw a label that closed after it.
    """

    snapshot_date: date
    scoring_mode: str
    churn_30d_model_version: str
    churn_90d_model_version: str
    expansion_model_version: str | None
    labels_closed_by: date
    run_id: str
    scored_at: datetime


def create_tables(con: duckdb.DuckDBPyConnection) -> None:
    """Creates schema ``scoring`` where absent."""
    con.execute("create schema if not exists scoring")
    for table in ("scores", "rescores"):
        con.execute(
            f"""
            create table if not exists scoring.{table} (
                snapshot_date date, customer_id varchar, churn_probability_30d double, churn_probability_90d double,
                expansion_propensity double, churn_drivers {_DRIVERS}, change_drivers {_DRIVERS}, expansion_drivers {_DRIVERS}
            )
            """
        )
    con.execute(
        """
        create table if not exists scoring.contributions (
            snapshot_date date, customer_id varchar, target varchar, bias double,
            contributions struct(feature varchar, contribution double)[]
        )
        """
    )
    con.execute("create table if not exists scoring.raised (snapshot_date date, share double)")


def begin_run(con: duckdb.DuckDBPyConnection, root_run_id: str) -> None:
    """Forgets which Mondays the former run scored and approved; their scores stay.

    Args:
        con: the warehouse.
        root_run_id: the run that scores now; of a re-execution the one that it goes on with.
    """
    create_tables(con)
    con.execute("begin")
    claim(con, "scores", root_run_id)
    con.execute(
        """
        create or replace table scoring.scored_mondays (
            snapshot_date date, scoring_mode varchar, churn_30d_model_version varchar,
            churn_90d_model_version varchar, expansion_model_version varchar, labels_closed_by date, run_id varchar,
            scored_at timestamp
        )
        """
    )
    con.execute("create or replace table scoring.approved_mondays (snapshot_date date)")
    con.execute(
        "create or replace table scoring.refused_mondays (snapshot_date date, reason varchar, exit_code integer)"
    )
    con.execute("commit")


def write(con: duckdb.DuckDBPyConnection, scored: ScoredMonday, stamp: Stamp) -> None:
    """Replaces exactly the scores of one Monday, in one transaction. Scores of another model go beside those in force, not over them."""
    con.register("new_scores", scored.scores)
    con.register("new_contributions", scored.contributions)
    rescored = stamp.scoring_mode == RESCORED
    con.execute("begin")
    for table in ("rescores",) if rescored else ("scores", "contributions", "raised"):
        con.execute(f"delete from scoring.{table} where snapshot_date = ?", [stamp.snapshot_date])
    if rescored:
        con.execute("insert into scoring.rescores by name from new_scores")
    else:
        con.execute("insert into scoring.scores by name from new_scores")
        con.execute("insert into scoring.contributions by name from new_contributions")
        con.execute("insert into scoring.raised values (?, ?)", [stamp.snapshot_date, scored.adjusted_share])
    con.execute("delete from scoring.scored_mondays where snapshot_date = ?", [stamp.snapshot_date])
    values = asdict(stamp)
    con.execute(
        f"insert into scoring.scored_mondays ({', '.join(values)}) values ({', '.join('?' for _ in values)})",
        list(values.values()),
    )
    con.execute("commit")
    con.unregister("new_scores")
    con.unregister("new_contributions")


def scored_mondays(con: duckdb.DuckDBPyConnection, root_run_id: str) -> list[date]:
    """The Mondays that this run scored, oldest first; refuses any other run."""
    assert_owner(con, "scores", root_run_id)
    return [day for (day,) in con.execute("select snapshot_date from scoring.scored_mondays order by 1").fetchall()]


def rescored(con: duckdb.DuckDBPyConnection) -> bool:
    """Whether this run scores Mondays again with another model than the one in force."""
    return con.execute("select count(*) > 0 from scoring.scored_mondays where scoring_mode = ?", [RESCORED]).fetchall()[
        0
    ][0]


def monotonicity_results(con: duckdb.DuckDBPyConnection) -> list[MondayCheck]:
    """Whether the 90-day probability had to be raised to the 30-day one for more customers than two good models would need."""
    rows = con.execute(
        "select snapshot_date, share from scoring.raised semi join scoring.scored_mondays using (snapshot_date) order by 1"
    ).fetchall()
    return [
        MondayCheck(
            day,
            "the_longer_window_is_rarely_raised",
            share <= MAX_RAISED_SHARE,
            f"the 90-day probability of {share:.1%} of customers was below their 30-day one; {MAX_RAISED_SHARE:.0%} allowed",
        )
        for day, share in rows
    ]


def approve(con: duckdb.DuckDBPyConnection, passed: Sequence[date]) -> None:
    """Names the scored Mondays whose candidates may replace what is there."""
    con.execute("begin")
    con.execute("delete from scoring.approved_mondays")
    if passed:
        con.executemany("insert into scoring.approved_mondays values (?)", [(day,) for day in passed])
    con.execute("commit")


def refuse(con: duckdb.DuckDBPyConnection, refused: Sequence[Refusal]) -> None:
    """Notes Mondays that are not scored again, for the end of the run to name."""
    con.execute("begin")
    for row in refused:
        con.execute("delete from scoring.refused_mondays where snapshot_date = ?", [row.snapshot_date])
        con.execute("insert into scoring.refused_mondays values (?, ?, ?)", astuple(row))
    con.execute("commit")


def refusals(con: duckdb.DuckDBPyConnection, root_run_id: str) -> list[Refusal]:
    """The Mondays that this run did not score again, oldest first; refuses any other run."""
    assert_owner(con, "scores", root_run_id)
    return [Refusal(*row) for row in con.execute("from scoring.refused_mondays order by snapshot_date").fetchall()]


def approved_mondays(
    con: duckdb.DuckDBPyConnection, root_run_id: str, table: str = "predictions"
) -> Mapping[date, int]:
    """The approved Mondays of this run with the number of their rows in ``predictions`` or ``predictions_rescored``; refuses any
    other run."""
    assert_owner(con, "scores", root_run_id)
    return dict(
        con.execute(
            f"""
            select snapshot_date, count(*) from policy.{table} semi join scoring.approved_mondays using (snapshot_date)
            group by 1 order by 1
            """
        ).fetchall()
    )
