"""Where scores lie between Python and dbt: schema ``scoring`` of the warehouse.

Scores stay. Which Mondays were scored, refused and approved are notes of one run to itself (:mod:`churn_pipeline.core.run_state`), so whoever reads
them says which run asks, and another run is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from datetime import date, datetime

import duckdb

from churn_pipeline.core.model_kinds import Kind
from churn_pipeline.core.run_ledger import Refusal
from churn_pipeline.core.run_state import assert_owner, claim
from churn_pipeline.core.targets import TARGETS, Target, shorter_than
from churn_pipeline.core.warehouse import transaction
from churn_pipeline.features.verdicts import MondayCheck
from churn_pipeline.scoring import kept
from churn_pipeline.scoring.score import MAX_RAISED_SHARE, ScoredMonday

_DRIVERS = "struct(feature varchar, label varchar, value varchar, contribution double, sentence varchar)[]"
_THEMES = (
    "struct(theme varchar, label varchar, contribution double, share double, sentence varchar, features varchar[])[]"
)
_CHANGE = "struct(part varchar, label varchar, points double)[]"

RESCORED = "rescored"


@dataclass(frozen=True)
class Stamp:
    """What applies to every row of a scored Monday.

    Attributes:
        scoring_mode: ``live``, ``as_of``, or ``rescored`` for another model than the one in force.
        model_versions: by target, the version of the registered model; without the targets that had no model.
        model_kinds: of the same targets, what kind of model that is.
        labels_closed_by: no model saw a label that closed after it.
    """

    snapshot_date: date
    scoring_mode: str
    model_versions: Mapping[str, str]
    model_kinds: Mapping[str, Kind]
    labels_closed_by: date
    run_id: str
    scored_at: datetime


# One row per customer, target and Monday. What was scored again is compared with nobody's contributions, so they are not kept of it.
_SCORE = "snapshot_date date, customer_id varchar, target varchar, probability double"
_EXPLANATION = "bias double, contributions struct(feature varchar, contribution double)[]"
_REASONS = f"drivers {_DRIVERS}, change_drivers {_DRIVERS}, themes {_THEMES}, change_themes {_CHANGE}"
_TABLES = {
    "scores": f"{_SCORE}, {_EXPLANATION}, {_REASONS}",
    "rescores": f"{_SCORE}, {_REASONS}",
    # Of each target with a shorter one beside it the share of customers whose probability was raised.
    "raised": "snapshot_date date, target varchar, share double",
}


def create_tables(con: duckdb.DuckDBPyConnection) -> None:
    """Creates schema ``scoring`` where absent."""
    con.execute("create schema if not exists scoring")
    for table, columns in _TABLES.items():
        con.execute(f"create table if not exists scoring.{table} ({columns})")
    con.execute(kept.TABLE)


def begin_run(con: duckdb.DuckDBPyConnection, root_run_id: str) -> None:
    """Forgets which Mondays the former run scored and approved; their scores stay.

    Args:
        con: the warehouse.
        root_run_id: the run that scores now; of a re-execution the one that it goes on with.
    """
    create_tables(con)
    with transaction(con):
        claim(con, "scores", root_run_id)
        con.execute(
            """
            create or replace table scoring.scored_mondays (
                snapshot_date date, scoring_mode varchar, model_versions map(varchar, varchar),
                model_kinds map(varchar, varchar), labels_closed_by date, run_id varchar, scored_at timestamp
            )
            """
        )
        con.execute("create or replace table scoring.approved_mondays (snapshot_date date)")
        con.execute(
            "create or replace table scoring.refused_mondays (snapshot_date date, reason varchar, exit_code integer)"
        )


def write(con: duckdb.DuckDBPyConnection, scored: ScoredMonday, stamp: Stamp) -> None:
    """Replaces exactly the scores of one Monday, in one transaction. Scores of another model go beside those in force, not over them."""
    with transaction(con):
        if stamp.scoring_mode == RESCORED:
            con.execute("delete from scoring.rescores where snapshot_date = ?", [stamp.snapshot_date])
            _insert(con, scored, "scoring.rescores by name select * exclude (bias, contributions)")
        else:
            for table in ("scores", "raised"):
                con.execute(f"delete from scoring.{table} where snapshot_date = ?", [stamp.snapshot_date])
            _insert(con, scored, "scoring.scores by name select *")
            kept.keep(con, stamp.snapshot_date, scored.explained())
            for target, share in scored.adjusted.items():
                con.execute("insert into scoring.raised values (?, ?, ?)", [stamp.snapshot_date, target, share])
        con.execute("delete from scoring.scored_mondays where snapshot_date = ?", [stamp.snapshot_date])
        values = {field.name: getattr(stamp, field.name) for field in fields(stamp)}
        for name in ("model_versions", "model_kinds"):
            # DuckDB takes a dict of two lists for a MAP, and any other for a STRUCT.
            values[name] = {"key": list(values[name]), "value": list(values[name].values())}
        con.execute(
            f"insert into scoring.scored_mondays ({', '.join(values)}) values ({', '.join('?' for _ in values)})",
            list(values.values()),
        )


def _insert(con: duckdb.DuckDBPyConnection, scored: ScoredMonday, into: str) -> None:
    for batch in scored.batches():
        con.register("new_scores", batch)
        con.execute(f"insert into {into} from new_scores")
        con.unregister("new_scores")


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
    """Whether a probability had to be raised to that of a shorter horizon for more customers than two good models would need."""
    shares: dict[date, dict[str, float]] = {}
    for day, target, share in con.execute(
        "from scoring.raised semi join scoring.scored_mondays using (snapshot_date) order by snapshot_date, target"
    ).fetchall():
        if target in TARGETS:
            shares.setdefault(day, {})[target] = share
    return [
        MondayCheck(
            day,
            "the_longer_window_is_rarely_raised",
            all(share <= MAX_RAISED_SHARE for share in of_day.values()),
            "; ".join(_raise(TARGETS[target], share) for target, share in of_day.items()),
        )
        for day, of_day in shares.items()
    ]


def _raise(target: Target, share: float) -> str:
    shorter = " or ".join(f"{other.horizon_days}-day" for other in shorter_than(target))
    return (
        f"the {target.horizon_days}-day probability of {share:.1%} of customers was below their {shorter} one; "
        f"{MAX_RAISED_SHARE:.0%} allowed"
    )


def approve(con: duckdb.DuckDBPyConnection, passed: Sequence[date]) -> None:
    """Names the scored Mondays whose candidates may replace what is there."""
    with transaction(con):
        con.execute("delete from scoring.approved_mondays")
        if passed:
            con.executemany("insert into scoring.approved_mondays values (?)", [(day,) for day in passed])


def refuse(con: duckdb.DuckDBPyConnection, refused: Sequence[Refusal]) -> None:
    """Notes Mondays that are not scored again, for the end of the run to name."""
    with transaction(con):
        for row in refused:
            con.execute("delete from scoring.refused_mondays where snapshot_date = ?", [row.snapshot_date])
            con.execute("insert into scoring.refused_mondays values (?, ?, ?)", astuple(row))


def refusals(con: duckdb.DuckDBPyConnection, root_run_id: str) -> list[Refusal]:
    """The Mondays that this run did not score again, oldest first; refuses any other run."""
    assert_owner(con, "scores", root_run_id)
    return [Refusal(*row) for row in con.execute("from scoring.refused_mondays order by snapshot_date").fetchall()]


def differences_of_approved(con: duckdb.DuckDBPyConnection, root_run_id: str) -> Mapping[date, str]:
    """Where ``predictions`` does not hold, of a Monday that this run approved, the audited candidates and nothing else; refuses any other run.

    What is refreshed after the copy, because it compares two Mondays, is not looked at.

    Args:
        con: the warehouse.
        root_run_id: of the run that scored.

    Returns:
        By Monday, what differs.
    """
    assert_owner(con, "scores", root_run_id)
    columns = ", ".join(
        ["snapshot_date", "customer_id", "risk_tier", "play", "call_rank", "policy_version", "run_id", "scored_at"]
    )
    columns += "".join(f", {target.probability_column}, {target.version_column}" for target in TARGETS.values())
    rows = con.execute(
        f"""
        with candidates as (
            select {columns} from policy.prediction_candidates semi join scoring.approved_mondays using (snapshot_date)
        ),
        written as (select {columns} from policy.predictions semi join scoring.approved_mondays using (snapshot_date)),
        lost as (select snapshot_date, count(*) as n from (from candidates except all from written) group by all),
        added as (select snapshot_date, count(*) as n from (from written except all from candidates) group by all)
        select snapshot_date, coalesce(lost.n, 0), coalesce(added.n, 0)
        from lost full join added using (snapshot_date) order by all
        """
    ).fetchall()
    return {
        day: f"{lost:,} audited rows are not there as they were audited, and {added:,} are there that were not audited"
        for day, lost, added in rows
    }


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
