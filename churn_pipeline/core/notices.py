"""What a person should know about a Monday, one sentence each: found along a run, and kept with the list that the run publishes.

Whoever finds something out writes it into ``control.notices`` for the Mondays of the run. When a Monday is published, what was found
on the way goes to ``ledger.notices`` in the place of what was there, so that a list and its notices are of one run, also where a later
run of the same Monday was refused. Terminal, digest and report read the published copy and show the first few.

A sentence holds no customer's id, no personal data and no line of raw data. It may quote a word of the source, so every surface has to
show it as text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Literal

import duckdb

from churn_pipeline.core.formatting import clean
from churn_pipeline.core.warehouse import has_table, transaction

Kind = Literal["ranking", "bad_data", "level", "feed", "expectation", "landing", "model", "training"]
# The most important first: what the list is ranked by, what is wrong with the facts, probabilities that are too high or too low for all, what
# looks wrong, what landing and the models have to say.
KINDS: tuple[Kind, ...] = ("ranking", "bad_data", "level", "feed", "expectation", "landing", "model", "training")
# A training is made once, so a second run of its Monday finds nothing out and has to say the same.
_OF_THE_MONDAY: Kind = "training"
# Longer sentences quote something; what they say stands at their beginning.
_CHARACTERS = 300


@dataclass(frozen=True)
class Notice:
    """One sentence about a Monday.

    Attributes:
        kind: what it is about.
        source: the table or the target that it concerns; several are joined by commas.
        sentence: for whoever reads the list; it names the source.
    """

    kind: Kind
    source: str
    sentence: str


def create_tables(con: duckdb.DuckDBPyConnection) -> None:
    """Creates what this module writes, where absent."""
    con.execute("create schema if not exists control")
    con.execute("create schema if not exists ledger")
    con.execute(
        """
        create table if not exists control.notices (
            snapshot_date date, found_by varchar, position integer, kind varchar, source varchar, sentence varchar, run_id varchar
        )
        """
    )
    con.execute(
        """
        create table if not exists ledger.notices (
            snapshot_date date, position integer, kind varchar, source varchar, sentence varchar, run_id varchar
        )
        """
    )


def begin(con: duckdb.DuckDBPyConnection, mondays: Collection[date], run_id: str) -> None:
    """Forgets what earlier runs found out about the Mondays of this one; what is kept of published lists stays.

    Args:
        con: the warehouse.
        mondays: what the run is for.
        run_id: of a re-execution the run that it goes on with, whose findings stay.
    """
    create_tables(con)
    con.execute(
        "delete from control.notices where snapshot_date in (select unnest(?::date[])) and run_id <> ? and kind <> ?",
        [list(mondays), run_id, _OF_THE_MONDAY],
    )


def record(
    con: duckdb.DuckDBPyConnection, found_by: str, notices: Mapping[date, Sequence[Notice]], *, run_id: str
) -> None:
    """Replaces what one part of a run has found out about some Mondays.

    Args:
        con: the warehouse.
        found_by: names the part of the run.
        notices: by Monday, the most important first; a Monday with none has none from now on.
        run_id: of a re-execution the run that it goes on with.
    """
    create_tables(con)
    rows = [
        (day, found_by, position, notice.kind, notice.source, clean(notice.sentence, _CHARACTERS), run_id)
        for day, of_day in notices.items()
        for position, notice in enumerate(dict.fromkeys(of_day), start=1)
    ]
    with transaction(con):
        con.execute(
            "delete from control.notices where found_by = ? and snapshot_date in (select unnest(?::date[]))",
            [found_by, list(notices)],
        )
        if rows:
            con.executemany("insert into control.notices values (?, ?, ?, ?, ?, ?, ?)", rows)


def keep(con: duckdb.DuckDBPyConnection, mondays: Collection[date]) -> None:
    """Puts what was found out about Mondays that are being published in the place of what was kept with their former lists."""
    create_tables(con)
    by_monday: dict[date, list[tuple[Notice, str]]] = {day: [] for day in mondays}
    for day, kind, source, sentence, run_id in con.execute(
        """
        select snapshot_date, kind, source, sentence, run_id from control.notices
        where snapshot_date in (select unnest(?::date[]))
        order by snapshot_date, list_position(?::varchar[], kind), found_by, position
        """,
        [list(mondays), list(KINDS)],
    ).fetchall():
        by_monday[day].append((Notice(kind, source, sentence), run_id))
    rows = [
        (day, position, notice.kind, notice.source, notice.sentence, run_id)
        for day, of_day in by_monday.items()
        for position, (notice, run_id) in enumerate(_merged(of_day), start=1)
    ]
    with transaction(con):
        con.execute("delete from ledger.notices where snapshot_date in (select unnest(?::date[]))", [list(mondays)])
        if rows:
            con.executemany("insert into ledger.notices values (?, ?, ?, ?, ?, ?)", rows)


def _merged(told: Sequence[tuple[Notice, str]]) -> list[tuple[Notice, str]]:
    """What is said of several sources in the same words, such as of three targets, is said once."""
    groups: dict[tuple[Kind, str], list[tuple[Notice, str]]] = {}
    for notice, run_id in told:
        rest = notice.sentence.removeprefix(f"{notice.source}: ")
        groups.setdefault((notice.kind, rest), []).append((notice, run_id))
    merged = []
    for (kind, rest), members in groups.items():
        notice, run_id = members[0]
        if len(members) > 1:
            source = ", ".join(dict.fromkeys(member.source for member, _ in members))
            notice = Notice(kind, source, f"{source}: {rest}")
        merged.append((notice, run_id))
    return merged


def published(con: duckdb.DuckDBPyConnection, snapshot_date: date) -> tuple[Notice, ...]:
    """The notices of a published Monday, the most important first; none in a copy of a version that had none.

    Args:
        con: the published database.
        snapshot_date: the Monday.
    """
    if not has_table(con, "main", "notices"):
        return ()
    rows = con.execute(
        "select kind, source, sentence from main.notices where snapshot_date = ? order by position", [snapshot_date]
    ).fetchall()
    return tuple(Notice(*row) for row in rows)


def first_line(notices: Sequence[Notice]) -> tuple[str | None, list[Notice]]:
    """The line that stands above a list before anything else, if there is one: by what it is ranked; and the other notices."""
    line = next((notice for notice in notices if notice.kind == "ranking"), None)
    return line.sentence if line else None, [notice for notice in notices if notice is not line]


def lines(notices: Sequence[Notice], most: int, snapshot_date: date) -> list[str]:
    """The sentences that a surface shows: all of them, or ``most - 1`` and where the others are.

    Every kind has a line before one has two: twenty columns with a few bad cells do not hide a feed that stopped.
    """
    if len(notices) <= most:
        return [notice.sentence for notice in notices]
    turn: Counter[Kind] = Counter()
    turns = []
    for place, notice in enumerate(notices):
        turns.append((turn[notice.kind], place))
        turn[notice.kind] += 1
    shown = sorted(place for _, place in sorted(turns)[: most - 1])
    hidden = len(notices) - len(shown)
    return [
        *(notices[place].sentence for place in shown),
        f"and {hidden:,} more: churn show --week {snapshot_date} --notices",
    ]
