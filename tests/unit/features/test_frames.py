"""Which rows training sees: closed windows, and nobody whom somebody tried to keep."""

from __future__ import annotations

from datetime import date, timedelta

import duckdb
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn_pipeline.core.calendar import WEEK
from churn_pipeline.core.targets import TARGETS
from churn_pipeline.features.frames import training_frame
from churn_pipeline.features.splits import Span
from tests.support.lives import show_lives, show_plan_history

TARGET = TARGETS["churn_30d"]
TRAINING = date(2026, 3, 16)
CLOSED = TRAINING - 5 * WEEK
CUSTOMERS = ("a", "b", "c")
# An intervention: whose, on which day, and when it was loaded, in days from CLOSED.
TOUCH = st.tuples(st.sampled_from(CUSTOMERS), st.integers(-20, 50), st.integers(0, 30))


def warehouse(*touches: tuple[str, int, int]) -> duckdb.DuckDBPyConnection:
    con = duckdb.connect()
    for schema in ("landing", "marts", "control"):
        con.execute(f"create schema {schema}")
    con.execute("create table landing.customers (customer_id varchar, churn_date date, censor_date date)")
    show_lives(con)
    con.execute("create table landing.interventions (customer_id varchar, at_date date, known_date date)")
    con.execute("create table control.failed_mondays (snapshot_date date)")
    con.execute(f"create table marts.{TARGET.mart} (snapshot_date date, customer_id varchar)")
    for customer in CUSTOMERS:
        con.execute("insert into landing.customers values (?, ?, null)", [customer, CLOSED + timedelta(days=10)])
        con.executemany(
            f"insert into marts.{TARGET.mart} values (?, ?)", [(CLOSED - n * WEEK, customer) for n in range(4)]
        )
    for customer, day, late in touches:
        at = CLOSED + timedelta(days=day)
        con.execute("insert into landing.interventions values (?, ?, ?)", [customer, at, at + timedelta(days=late)])
    return con


def frame(con: duckdb.DuckDBPyConnection, **options: bool) -> pd.DataFrame:
    return training_frame(
        con, TARGET, TRAINING, whole=[Span(CLOSED - 3 * WEEK, CLOSED)], first=CLOSED - 3 * WEEK, **options
    )


def rows(training_rows: pd.DataFrame) -> set[tuple[date, str]]:
    return {
        (day.date(), customer)
        for day, customer in zip(training_rows["snapshot_date"], training_rows["customer_id"], strict=True)
    }


@settings(max_examples=30)
@given(touches=st.lists(TOUCH, max_size=6))
def test_training_leaves_out_exactly_the_rows_with_an_intervention_in_their_window(
    touches: list[tuple[str, int, int]],
) -> None:
    con = warehouse(*touches)
    everybody = frame(con, drop_touched=False)
    touched = {
        (day, customer)
        for day, customer in rows(everybody)
        for whose, at, late in touches
        if whose == customer
        and day <= CLOSED + timedelta(days=at) < day + timedelta(days=30)
        and CLOSED + timedelta(days=at + late) < TRAINING
    }
    assert rows(frame(con)) == rows(everybody) - touched


@settings(max_examples=20)
@given(touches=st.lists(TOUCH, max_size=4), later=st.lists(TOUCH, min_size=1, max_size=4))
def test_what_was_known_from_the_training_monday_on_changes_nothing(
    touches: list[tuple[str, int, int]], later: list[tuple[str, int, int]]
) -> None:
    unknown = [(who, at, max(late, (TRAINING - CLOSED).days - at)) for who, at, late in later]
    assert frame(warehouse(*touches, *unknown)).equals(frame(warehouse(*touches)))


def test_a_snapshot_whose_label_is_not_closed_is_not_there_even_where_a_slice_asks_for_it() -> None:
    con = warehouse()
    later = [(CLOSED + n * WEEK, customer) for n in range(1, 6) for customer in CUSTOMERS]
    con.executemany(f"insert into marts.{TARGET.mart} values (?, ?)", later)
    first = CLOSED - 3 * WEEK
    asked_for_all = training_frame(con, TARGET, TRAINING, whole=[Span(first, TRAINING)], first=first)
    assert rows(asked_for_all) == {(CLOSED - n * WEEK, customer) for n in range(4) for customer in CUSTOMERS}


def test_without_interventions_training_sees_the_same_rows_in_the_same_order() -> None:
    con = warehouse()
    training_rows = frame(con)
    assert len(training_rows) == 12
    assert training_rows.equals(frame(con, drop_touched=False))


@pytest.mark.parametrize(("day", "dropped"), [(-1, 0), (0, 1), (29, 1), (30, 0)])
def test_an_intervention_counts_from_the_snapshot_to_the_day_before_the_window_ends(day: int, dropped: int) -> None:
    con = warehouse(("a", day, 0))
    newest = {customer for monday, customer in rows(frame(con)) if monday == CLOSED}
    assert len(newest) == 3 - dropped


def grown(
    *, upgrade: date | None = None, change: tuple[date, date] | None = None, churn: date | None = None
) -> list[int]:
    """Expansion labels of one customer on the newest closed Monday and the one before; no row is no label.

    Args:
        upgrade: upgrade_date of the customer.
        change: day and loading of a move from starter to growth.
        churn: when the customer left.
    """
    target = TARGETS["expansion_90d"]
    closed = target.newest_closed(TRAINING)
    con = duckdb.connect()
    for schema in ("landing", "marts", "control", "seeds"):
        con.execute(f"create schema {schema}")
    con.execute(
        "create table seeds.plan_ladder as from (values ('starter', 2), ('growth', 3)) t(plan_tier, ladder_rank)"
    )
    con.execute(
        "create table landing.customers (customer_id varchar, churn_date date, censor_date date, upgrade_date date)"
    )
    con.execute("insert into landing.customers values ('a', ?, null, ?)", [churn, upgrade])
    show_lives(con)
    con.execute(
        "create table landing.plan_changes (customer_id varchar, effective_date date, from_tier varchar, to_tier varchar, known_date date)"
    )
    show_plan_history(con)
    if change is not None:
        con.execute("insert into landing.plan_changes values ('a', ?, 'starter', 'growth', ?)", change)
    con.execute("create table landing.interventions (customer_id varchar, at_date date, known_date date)")
    con.execute("create table control.failed_mondays (snapshot_date date)")
    con.execute(f"create table marts.{target.mart} (snapshot_date date, customer_id varchar)")
    con.executemany(f"insert into marts.{target.mart} values (?, 'a')", [(closed,), (closed - WEEK,)])
    training_rows = training_frame(con, target, TRAINING, whole=[Span(closed - WEEK, closed)], first=closed - WEEK)
    return [int(label) for label in training_rows["label"][::-1]]


NEWEST = TARGETS["expansion_90d"].newest_closed(TRAINING)
DAY = timedelta(days=1)
LATER, LONG_KNOWN = TRAINING, NEWEST


@pytest.mark.parametrize(
    ("facts", "labels"),
    [
        ({"upgrade": NEWEST}, [1, 1]),
        ({"upgrade": NEWEST - DAY}, [1]),
        ({"upgrade": NEWEST + timedelta(days=89)}, [1, 0]),
        ({"upgrade": NEWEST + timedelta(days=90)}, [0, 0]),
        ({"upgrade": NEWEST + 9 * DAY, "churn": NEWEST + 9 * DAY}, [0, 0]),
        ({"upgrade": NEWEST + 9 * DAY, "churn": NEWEST + 10 * DAY}, [1, 1]),
        ({"change": (NEWEST, LONG_KNOWN)}, [1, 1]),
        ({"change": (NEWEST - DAY, LONG_KNOWN)}, [0, 1]),
        # With any history known, upgrade_date is not looked at; with none known in time, it alone is.
        ({"change": (NEWEST - 30 * DAY, LONG_KNOWN), "upgrade": NEWEST + DAY}, [0, 0]),
        ({"change": (NEWEST + DAY, LATER), "upgrade": NEWEST - DAY}, [1]),
        ({"change": (NEWEST + DAY, LATER)}, [0, 0]),
    ],
)
def test_an_expansion_is_the_first_thing_that_happens_in_the_window_as_far_as_it_was_known(
    facts: dict, labels: list[int]
) -> None:
    assert grown(**facts) == labels
