"""The ledger of models: every attempt at one, and which is the model for a Monday.

It is only ever appended to. A promotion, a refusal and a rollback are one row each, so the model of any past Monday can be named again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any

import duckdb

from churn_pipeline.core.errors import RefusedError
from churn_pipeline.core.json_text import json_text
from churn_pipeline.core.sql import literal

_CREATE = """
create schema if not exists ledger;
create table if not exists ledger.promotions (
    seq bigint primary key,
    target varchar not null,
    version varchar,
    promoted boolean not null,
    effective_from date not null,
    labels_closed_by date not null,
    reason varchar not null,
    who varchar not null,
    metrics json not null,
    run_id varchar,
    recorded_at timestamp not null
);
"""
_COLUMNS = "seq, target, version, promoted, effective_from, labels_closed_by, reason, who, metrics, run_id, recorded_at"


# Key among the metrics of a row that a person wrote: what they did.
DECISION = "decision"
# Key among the metrics of a row by which monitoring asks for an extra training: what made it ask.
PROPOSAL = "proposal"


@dataclass(frozen=True)
class LedgerRow:
    """One decision about one model.

    Attributes:
        target: name of the target, and of the registered model.
        version: in the registry; None where training ended without a model.
        promoted: whether it is used from ``effective_from`` on.
        effective_from: the first Monday it may score.
        labels_closed_by: every label it saw was closed by then; it may score no Monday before.
        reason: the verdict in words.
        who: the person or the part of the pipeline that decided.
        metrics: the figures behind it; JSON values.
        run_id: of the run that decided.
        recorded_at: when, UTC; an aware time is converted.
        seq: position in the ledger, given by `append`.
    """

    target: str
    version: str | None
    promoted: bool
    effective_from: date
    labels_closed_by: date
    reason: str
    who: str
    recorded_at: datetime
    metrics: Mapping[str, Any] = field(default_factory=dict)
    run_id: str | None = None
    seq: int | None = None

    @property
    def is_decision(self) -> bool:
        """Whether a person put the version in force, by a rollback or a promotion, rather than its training."""
        return DECISION in self.metrics

    @property
    def is_proposal(self) -> bool:
        """Whether monitoring asks for an extra training as of ``labels_closed_by``; nothing was trained yet."""
        return PROPOSAL in self.metrics

    @property
    def is_training(self) -> bool:
        """Whether it is the word of a training about itself: a model, promoted or not, or that there could be none."""
        return not (self.is_decision or self.is_proposal)


def create(con: duckdb.DuckDBPyConnection) -> None:
    """Creates schema ``ledger`` and its table where absent."""
    con.execute(_CREATE)


def append(con: duckdb.DuckDBPyConnection, row: LedgerRow) -> LedgerRow:
    """Adds a row and returns it with its ``seq``.

    Raises:
        RefusedError: a promotion without a version, or one that would let a model score a Monday before its labels were closed.
    """
    if row.promoted and row.version is None:
        raise RefusedError(f"{row.target}: a model without a version cannot be promoted")
    if row.promoted and row.effective_from < row.labels_closed_by:
        raise RefusedError(
            f"{row.target} version {row.version} saw labels that closed by {row.labels_closed_by} and cannot score from "
            f"{row.effective_from} on"
        )
    create(con)
    known = con.execute("select coalesce(max(seq), 0) + 1 from ledger.promotions").fetchone()
    assert known is not None
    moment = row.recorded_at if row.recorded_at.tzinfo is None else row.recorded_at.astimezone(UTC).replace(tzinfo=None)
    numbered = replace(row, seq=int(known[0]), recorded_at=moment)
    con.execute(
        f"insert into ledger.promotions ({_COLUMNS}) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            numbered.seq,
            row.target,
            row.version,
            row.promoted,
            row.effective_from,
            row.labels_closed_by,
            row.reason,
            row.who,
            json_text(row.metrics, sort_keys=True, allow_undefined=False),
            row.run_id,
            moment,
        ],
    )
    return numbered


def model_for(con: duckdb.DuckDBPyConnection, target: str, monday: date) -> LedgerRow | None:
    """The model for a Monday: the newest promotion in force by then that saw no label closing later. None where there is none.

    Of those in force from the same Monday on, what a person decided stands, whether it was written before or after the training of that
    Monday; else the last one written.
    """
    promotions = _rows(
        con,
        "target = ? and promoted and effective_from <= ? and labels_closed_by <= ? "
        f"order by effective_from desc, (metrics ->> {literal(DECISION)}) is not null desc, seq desc limit 1",
        [target, monday, monday],
    )
    return promotions[0] if promotions else None


def attempts(con: duckdb.DuckDBPyConnection, target: str, training_monday: date) -> list[LedgerRow]:
    """What was decided about models trained at ``training_monday``, oldest first, refusals included."""
    return _rows(con, "target = ? and labels_closed_by = ? order by seq", [target, training_monday])


def history(con: duckdb.DuckDBPyConnection, target: str | None = None) -> list[LedgerRow]:
    """All rows, oldest first, of one target or of all."""
    return _rows(
        con, "true order by seq" if target is None else "target = ? order by seq", [] if target is None else [target]
    )


def _rows(con: duckdb.DuckDBPyConnection, condition: str, values: list[Any]) -> list[LedgerRow]:
    create(con)
    rows = con.execute(f"select {_COLUMNS} from ledger.promotions where {condition}", values).fetchall()
    return [
        LedgerRow(
            seq=seq,
            target=target,
            version=version,
            promoted=promoted,
            effective_from=effective_from,
            labels_closed_by=labels_closed_by,
            reason=reason,
            who=who,
            metrics=json.loads(metrics),
            run_id=run_id,
            recorded_at=recorded_at,
        )
        for (
            seq,
            target,
            version,
            promoted,
            effective_from,
            labels_closed_by,
            reason,
            who,
            metrics,
            run_id,
            recorded_at,
        ) in rows
    ]
