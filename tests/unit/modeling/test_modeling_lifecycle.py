"""Which training is made next."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import pytest

from churn_pipeline.core.calendar import WEEK
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.targets import TARGETS
from churn_pipeline.modeling import ledger, lifecycle

TARGET = TARGETS["churn_30d"]
# A training Monday of the grid, two years after the first event.
MONDAY = date(2026, 6, 8)


@pytest.fixture
def con() -> duckdb.DuckDBPyConnection:
    con = duckdb.connect()
    con.execute("create schema landing")
    con.execute("create table landing.fact_digests (source varchar, fact_date date, fact_rows bigint, digest hugeint)")
    con.execute("insert into landing.fact_digests values ('usage_events', '2024-06-03', 1, 1)")
    con.execute(
        "create table landing.lives (active_from date, active_until date, end_kind varchar, settle_days integer)"
    )
    return con


def note(
    con: duckdb.DuckDBPyConnection,
    weeks: int,
    *,
    promoted: bool = True,
    by_hand: bool = False,
    target: str = TARGET.name,
) -> None:
    """A training as of so many weeks before MONDAY, or the decision of a person in force from then on."""
    day = MONDAY - weeks * WEEK
    ledger.append(
        con,
        ledger.LedgerRow(
            target=target,
            version=str(weeks),
            promoted=promoted,
            effective_from=day,
            labels_closed_by=day,
            reason="test",
            who="test",
            recorded_at=datetime(2026, 1, 1, tzinfo=UTC),
            metrics={ledger.DECISION: "rollback"} if by_hand else {},
        ),
    )


def made(con: duckdb.DuckDBPyConnection, home: Path, *, promoted: bool) -> list[int]:
    """How many weeks before MONDAY the trainings lie that are made for it, in their order, at most five."""
    weeks_before: list[int] = []
    while len(weeks_before) < 5:
        due = lifecycle.next_training(con, Settings(home=home), TARGET, MONDAY)
        if due is None:
            break
        weeks_before.append((MONDAY - due) // WEEK)
        note(con, weeks_before[-1], promoted=promoted)
    return weeks_before


def test_the_newest_training_is_made_and_where_it_is_refused_the_ones_before_it(
    con: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    note(con, 16)
    assert made(con, tmp_path, promoted=False) == [0, 4, 8, 12]


def test_where_a_persons_version_is_in_force_trainings_are_made_in_their_order(
    con: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    """Each is judged against that version until one takes its place: made in another order, the verdicts would be others."""
    note(con, 14, by_hand=True)
    assert made(con, tmp_path, promoted=False) == [12, 8, 4, 0]


def test_once_a_training_took_the_place_of_a_persons_version_the_newest_one_is_enough(
    con: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    note(con, 14, by_hand=True)
    assert made(con, tmp_path, promoted=True) == [12, 0]


def test_the_training_of_the_monday_that_a_person_decided_about_is_made_all_the_same(
    con: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    note(con, 0, by_hand=True)
    assert made(con, tmp_path, promoted=True) == [0]
    in_force = ledger.model_for(con, TARGET.name, MONDAY)
    assert in_force is not None and in_force.is_decision


def test_the_marts_hold_history_for_all_trainings_that_refusals_can_lead_back_to(
    con: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path)

    def needed() -> list[int]:
        return [(MONDAY - day) // WEEK for day in lifecycle.history_needed(con, settings, [MONDAY])]

    # From the first that there could be a model at, and the one before it, whose model a new one is compared with.
    whole = lifecycle.chain(con, settings, TARGETS["expansion_90d"], MONDAY)
    assert len(whole) > 12
    assert needed()[-1] == 0
    assert needed()[0] >= (MONDAY - whole[0]) // WEEK + 4
    for target in TARGETS.values():
        note(con, 8, target=target.name)
    assert needed() == [12, 8, 4, 0]
    for target in TARGETS.values():
        note(con, 0, target=target.name)
    assert needed() == []
