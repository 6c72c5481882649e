"""Which training is made next."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import pytest

from churn_pipeline.core.calendar import WEEK
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.targets import TARGETS, Target
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
    con.execute("create table landing.lives (active_from date, active_until date, end_kind varchar)")
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


def due(con: duckdb.DuckDBPyConnection, home: Path, target: Target = TARGET, monday: date = MONDAY) -> int | None:
    """How many weeks before MONDAY the training lies that is made for a Monday."""
    training = lifecycle.next_training(con, Settings(home=home), target, monday)
    return None if training is None else (MONDAY - training) // WEEK


def test_a_training_that_was_killed_before_anything_took_the_place_of_its_refused_model_is_made_again(
    con: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    note(con, 0, promoted=False)
    assert due(con, tmp_path) == 0
    note(con, 30)
    assert due(con, tmp_path) == 0
    note(con, 0)
    assert due(con, tmp_path) is None


@pytest.mark.parametrize("promoted", [True, False])
def test_the_newest_training_is_made_and_no_other_whatever_its_verdict(
    con: duckdb.DuckDBPyConnection, tmp_path: Path, promoted: bool
) -> None:
    note(con, 16)
    assert due(con, tmp_path) == 0
    note(con, 0, promoted=promoted)
    assert due(con, tmp_path) is None


def test_where_a_persons_version_is_in_force_the_newest_training_is_made_all_the_same(
    con: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    note(con, 14, by_hand=True)
    assert due(con, tmp_path) == 0


def test_what_a_person_decided_after_a_training_monday_settles_it(
    con: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    note(con, -1, by_hand=True)
    assert due(con, tmp_path, monday=MONDAY + WEEK) is None


def test_the_training_of_the_monday_that_a_person_decided_about_is_made_all_the_same(
    con: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    note(con, 0, by_hand=True)
    assert due(con, tmp_path) == 0
    note(con, 0)
    in_force = ledger.model_for(con, TARGET.name, MONDAY)
    assert in_force is not None and in_force.is_decision


def test_a_required_target_is_trained_from_the_first_monday_on_and_expansion_once_there_can_be_a_model(
    con: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    first = date(2024, 6, 10)
    for weeks in (0, 4, 28):
        assert lifecycle.next_training(con, Settings(home=tmp_path), TARGET, first + weeks * WEEK) is not None
    expansion = TARGETS["expansion_90d"]
    assert lifecycle.next_training(con, Settings(home=tmp_path), expansion, first + 24 * WEEK) is None
    assert lifecycle.next_training(con, Settings(home=tmp_path), expansion, first + 36 * WEEK) is not None


def test_the_marts_hold_the_history_of_the_trainings_that_are_due_and_of_no_other(
    con: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path)

    def needed() -> list[int]:
        return [(MONDAY - day) // WEEK for day in lifecycle.history_needed(con, settings, [MONDAY])]

    assert needed() == [0]
    for target in TARGETS.values():
        note(con, 0, target=target.name)
    assert needed() == []


def test_a_refused_training_leaves_the_newest_promoted_model_serving_for_half_a_year(
    con: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path)
    for target in TARGETS.values():
        note(con, 24, target=target.name)
        note(con, 0, target=target.name, promoted=False)
    assert {row.version for row in lifecycle.models_for(con, settings, MONDAY).values()} == {"24"}
    # What is not required is rather missing than old.
    later = lifecycle.models_for(con, settings, MONDAY + 3 * WEEK)
    assert set(later) == {name for name, target in TARGETS.items() if target.required}
