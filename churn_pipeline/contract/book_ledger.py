"""What a book that jumps is forgiven by: somebody who accepts it, or a picture of the past that it goes back to.

Both tables cannot be computed again, and neither knows a customer. ``control.accepted_changes`` says who accepted which files and why: the same
files pass again without being asked. ``control.book_pictures`` has what each landing that changed something made of the book, so that a
change that was accepted by mistake can be undone by landing the right files.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

import duckdb

from churn_pipeline.contract import book
from churn_pipeline.contract.book import Contents, Former, Jump, Limits, Picture
from churn_pipeline.contract.problems import Problem
from churn_pipeline.core.calendar import latest_monday
from churn_pipeline.core.errors import InputError
from churn_pipeline.core.json_text import json_text

_TABLES = """
create schema if not exists control;
create table if not exists control.accepted_changes (
    files_digest varchar, detail varchar, reason varchar, who varchar, accepted_at timestamp, run_id varchar
);
create table if not exists control.book_pictures (
    entry bigint, snapshot_date date, landed_at timestamp, run_id varchar, files_digest varchar, jumped boolean, picture json
);
"""
_REMEDY = "mend the export, or run 'churn run --accept-change REASON' if it is true"
# Pictures that the book may go back to. Each costs a look at the landed tables before and after every landing that changes something.
_EARLIER = 5


@dataclass(frozen=True)
class Acceptance:
    """Somebody's word that a book that jumps is right.

    Attributes:
        reason: why; kept, so it may name nobody.
        who: on whose behalf.
    """

    reason: str
    who: str

    def __post_init__(self) -> None:
        if not self.reason.strip():
            raise InputError("--accept-change needs a reason: what made the book jump? It is kept")


def remember(con: duckdb.DuckDBPyConnection, now: datetime, timezone: str) -> Former | None:
    """Notes what the former landing says of the Monday that is compared, before anything is written; None where there was none."""
    con.execute(_TABLES)
    snapshot_date = book.compared_monday(con, now, timezone)
    if snapshot_date is None:
        return None
    # What an accepted jump went away from. Where none was, there is nothing to go back to.
    rows = con.execute(
        "select entry, snapshot_date from ("
        "select entry, snapshot_date, lead(jumped) over (order by entry) as jumped_next from control.book_pictures"
        ") where jumped_next and snapshot_date <= ? order by entry desc limit ?",
        [latest_monday(now, timezone), _EARLIER],
    ).fetchall()
    return book.remember(con, snapshot_date, dict(rows))


def judge(
    con: duckdb.DuckDBPyConnection,
    former: Former | None,
    *,
    limits: Limits,
    acceptance: Acceptance | None,
    changed: Collection[str],
    unusable: Collection[str],
    now: datetime,
    timezone: str,
    run_id: str,
) -> tuple[list[Problem], list[str]]:
    """Compares what is landed now with what was remembered, and keeps the new picture where it is good.

    Args:
        con: the warehouse, in the transaction of the landing, with all files noted.
        former: of `remember`.
        limits: from when on a difference is a jump.
        acceptance: whoever accepts what jumps now.
        changed, unusable: as `book.jumps` takes them.
        now: the moment of landing.
        timezone: IANA name that local dates refer to.
        run_id: of this landing.

    Returns:
        Jumps that nobody has accepted, and what is to be said of those that somebody has.
    """
    tables = book.contents(con)
    jumped = []
    if former is not None:
        jumped = book.jumps(book.compare(con, former.picture, tables, limits), limits, changed, unusable)
    notices = []
    if former is not None and jumped:
        forgiven = _accepted(con, jumped, acceptance, run_id) or _gone_back(con, former, tables, jumped, limits)
        if forgiven is None:
            return [Problem(jump.table, jump.what, _REMEDY) for jump in jumped], []
        notices.append(forgiven)
    elif acceptance is not None:
        notices.append("--accept-change: the book did not jump, so nothing was accepted")
    _keep(con, book.picture(con, latest_monday(now, timezone), tables), run_id, jumped=bool(jumped))
    return [], notices


def _accepted(
    con: duckdb.DuckDBPyConnection, jumped: Collection[Jump], acceptance: Acceptance | None, run_id: str
) -> str | None:
    """What is to be said where somebody accepts these files now, which is noted, or has done so before."""
    if acceptance is not None:
        reason = acceptance.reason.strip()
        con.execute(
            "insert into control.accepted_changes select ?, ?, ?, ?, this_instant(), ?",
            [files_digest(con), _told(jumped), reason, acceptance.who, run_id],
        )
        return f"accepted by {acceptance.who} ({reason}): {_told(jumped)}"
    row = con.execute(
        "select reason, who, accepted_at from control.accepted_changes where files_digest = ? order by accepted_at desc limit 1",
        [files_digest(con)],
    ).fetchone()
    if row is None:
        return None
    reason, who, accepted_at = row
    return f"{who} accepted these files on {accepted_at:%Y-%m-%d} ({reason}): {_told(jumped)}"


def _told(jumped: Collection[Jump]) -> str:
    return "; ".join(f"{jump.table}: {jump.what}" for jump in jumped)


def _keep(con: duckdb.DuckDBPyConnection, present: Picture, run_id: str, *, jumped: bool) -> None:
    con.execute(
        "insert into control.book_pictures "
        "select coalesce(max(entry), 0) + 1, ?, this_instant(), ?, ?, ?, ? from control.book_pictures",
        [
            present.snapshot_date,
            run_id,
            files_digest(con),
            jumped,
            json_text(asdict(present), compact=True, sort_keys=True),
        ],
    )


def files_digest(con: duckdb.DuckDBPyConnection) -> str:
    """What all landed files hold, whatever they are called."""
    row = con.execute(
        "select md5(coalesce(string_agg(source || ' ' || digest, '|' order by source, digest), '')) from landing.files"
    ).fetchone()
    assert row is not None
    return str(row[0])


def _gone_back(
    con: duckdb.DuckDBPyConnection, former: Former, tables: Contents, jumped: Collection[Jump], limits: Limits
) -> str | None:
    """What is to be said where the book has gone back to an earlier picture.

    It has, where it says of that picture's Monday what the picture says, and the former landing did not. What jumps only when customers are
    told apart, as when all get other ids, is no way back: pictures cannot tell them apart.
    """
    kinds = {jump.kind for jump in jumped}
    for entry, before in sorted(former.earlier.items(), reverse=True):
        row = con.execute("select picture, landed_at from control.book_pictures where entry = ?", [entry]).fetchone()
        assert row is not None
        stored, present = _read(row[0]), book.picture(con, before.snapshot_date, tables)
        went_away = {jump.kind for jump in book.jumps(book.compare_pictures(before, present), limits)}
        if kinds <= went_away and not book.jumps(book.compare_pictures(stored, present), limits):
            return f"the book is again what was landed on {row[1]:%Y-%m-%d}: {_told(jumped)}"
    return None


def _read(text: str) -> Picture:
    values: dict[str, Any] = json.loads(text)
    values["snapshot_date"] = date.fromisoformat(values["snapshot_date"])
    values["plans"] = {plan: (count, cents) for plan, (count, cents) in values["plans"].items()}
    return Picture(**values)
