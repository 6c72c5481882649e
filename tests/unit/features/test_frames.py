"""Which rows training sees: closed windows that are ripe; and who is left out where a setting leaves out whom somebody tried to keep."""

from __future__ import annotations

from datetime import date, timedelta
from functools import cache
from itertools import accumulate
from typing import Any

import duckdb
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import Environment, StrictUndefined

from churn_pipeline.core.calendar import WEEK, mondays
from churn_pipeline.core.settings import shipped
from churn_pipeline.core.targets import TARGETS, Target
from churn_pipeline.features.frames import (
    UNSEEN_DAYS,
    late_bookings,
    newest_due,
    recent_frame,
    sample_of,
    settled,
    settled_by,
    training_frame,
)
from churn_pipeline.features.splits import Span, refit_slices, twin_slices
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


@cache
def as_if_nobody_was_called() -> pd.DataFrame:
    return frame(warehouse())


def rows(training_rows: pd.DataFrame) -> set[tuple[date, str]]:
    return {
        (day.date(), customer)
        for day, customer in zip(training_rows["snapshot_date"], training_rows["customer_id"], strict=True)
    }


@settings(max_examples=30)
@given(touches=st.lists(TOUCH, max_size=6))
def test_training_has_everybody_and_by_the_setting_all_but_the_rows_with_an_intervention_in_their_window(
    touches: list[tuple[str, int, int]],
) -> None:
    con = warehouse(*touches)
    everybody = frame(con)
    assert everybody.equals(as_if_nobody_was_called())
    touched = {
        (day, customer)
        for day, customer in rows(everybody)
        for whose, at, late in touches
        if whose == customer
        and day <= CLOSED + timedelta(days=at) < day + timedelta(days=30)
        and CLOSED + timedelta(days=at + late) < TRAINING
    }
    assert rows(frame(con, drop_touched=True)) == rows(everybody) - touched


@settings(max_examples=20)
@given(touches=st.lists(TOUCH, max_size=4), later=st.lists(TOUCH, min_size=1, max_size=4))
def test_what_was_known_from_the_training_monday_on_changes_nothing(
    touches: list[tuple[str, int, int]], later: list[tuple[str, int, int]]
) -> None:
    unknown = [(who, at, max(late, (TRAINING - CLOSED).days - at)) for who, at, late in later]
    now, later_on = (frame(con, drop_touched=True) for con in (warehouse(*touches), warehouse(*touches, *unknown)))
    assert now.equals(later_on)


def test_a_snapshot_whose_label_is_not_closed_is_not_there_even_where_a_slice_asks_for_it() -> None:
    con = warehouse()
    later = [(CLOSED + n * WEEK, customer) for n in range(1, 6) for customer in CUSTOMERS]
    con.executemany(f"insert into marts.{TARGET.mart} values (?, ?)", later)
    first = CLOSED - 3 * WEEK
    asked_for_all = training_frame(con, TARGET, TRAINING, whole=[Span(first, TRAINING)], first=first)
    assert rows(asked_for_all) == {(CLOSED - n * WEEK, customer) for n in range(4) for customer in CUSTOMERS}


def opened(target: Target, *departures: tuple[str, int]) -> pd.DataFrame:
    """The open windows at TRAINING of customers who were there in all weeks, some of whom left so many days before TRAINING."""
    con = warehouse()
    con.execute("update landing.customers set churn_date = null")
    con.executemany(
        "update landing.customers set churn_date = ? where customer_id = ?",
        [(TRAINING - timedelta(days=days), customer) for customer, days in departures] or [(None, "nobody")],
    )
    con.execute(f"delete from marts.{TARGET.mart}")
    con.executemany(
        f"insert into marts.{TARGET.mart} values (?, ?)",
        [(TRAINING - n * WEEK, customer) for n in range(12) for customer in CUSTOMERS],
    )
    return recent_frame(con, target, TRAINING, first=TRAINING - 12 * WEEK)


def test_an_open_window_is_seen_up_to_the_days_of_which_bookings_may_still_come() -> None:
    for target in (TARGET, TARGET.settled(10)):
        recent = opened(target)
        assert len(recent)
        day = pd.to_datetime(recent["snapshot_date"])
        assert (day > pd.Timestamp(target.newest_closed(TRAINING))).all(), (
            "the others are closed, and training has them"
        )
        left_out = target.settle_days + UNSEEN_DAYS
        until = (pd.Timestamp(TRAINING) - day).dt.days - left_out
        assert (recent["seen_days"] == until.clip(upper=target.horizon_days)).all()
        assert (recent["seen_days"] > 0).all()


@settings(max_examples=25)
@given(days=st.lists(st.integers(-60, 60), min_size=3, max_size=3))
def test_an_open_window_has_the_departures_of_the_days_that_were_seen_and_no_others(days: list[int]) -> None:
    left = dict(zip(CUSTOMERS, days, strict=True))
    recent = opened(TARGET, *left.items())
    assert len(recent)
    for row in recent.itertuples():
        day = TRAINING - timedelta(days=left[row.customer_id])
        start = row.snapshot_date.date()
        # The rows of this mart go on after somebody has left, which those of a real one do not.
        if day >= start:
            assert row.label == int(day < start + timedelta(days=int(row.seen_days)))


def test_without_interventions_training_sees_the_same_rows_in_the_same_order() -> None:
    con = warehouse()
    training_rows = frame(con)
    assert len(training_rows) == 12
    assert training_rows.equals(frame(con, drop_touched=True))


@pytest.mark.parametrize(("day", "dropped"), [(-1, 0), (0, 1), (29, 1), (30, 0)])
def test_an_intervention_counts_from_the_snapshot_to_the_day_before_the_window_ends(day: int, dropped: int) -> None:
    con = warehouse(("a", day, 0))
    newest = {customer for monday, customer in rows(frame(con, drop_touched=True)) if monday == CLOSED}
    assert len(newest) == 3 - dropped


LATE_DAYS = 20
# Of everybody who is there on a Monday one in ten leaves within 30 days, on every Monday.
LEAVE_EVERY = 10


def booked_late(booked_until: date) -> duckdb.DuckDBPyConnection:
    """200 customers a Monday for 12 Mondays up to the newest closed one; who left is known of those who did before a day."""
    con = warehouse()
    con.execute(f"delete from marts.{TARGET.mart}")
    con.execute("delete from landing.customers")
    con.execute(
        f"""
        insert into landing.customers
        select
            monday || '-' || number, if(number % {LEAVE_EVERY} = 0 and leaves < $booked_until, leaves, null), null
        from (
            select monday, number, $closed - 7 * monday::integer + (number * 29 // 199)::integer as leaves
            from range(12) as mondays (monday) cross join range(200) as customers (number)
        )
        """,
        {"closed": CLOSED, "booked_until": booked_until},
    )
    con.execute(
        f"""
        insert into marts.{TARGET.mart}
        select $closed - 7 * split_part(customer_id, '-', 1)::integer, customer_id from landing.customers
        """,
        {"closed": CLOSED},
    )
    return con


def rates(con: duckdb.DuckDBPyConnection, target: Target) -> list[float]:
    """Share of positive labels of each closed Monday, oldest first."""
    first = CLOSED - 11 * WEEK
    closed = training_frame(con, target, TRAINING, whole=[Span(first, CLOSED)], first=first)
    return closed.groupby("snapshot_date")["label"].mean().tolist()


def test_where_departures_are_booked_late_the_newest_weeks_look_healthy_unless_labels_ripen() -> None:
    con = booked_late(TRAINING - timedelta(days=LATE_DAYS))
    unripe = rates(con, settled(con, TARGET, TRAINING))
    assert len(unripe) == 12
    # Of the newest week hardly anybody is known to have left yet.
    assert unripe[-1] < 0.06
    assert unripe[:9] == [1 / LEAVE_EVERY] * 9
    say_booked(con, (date(1970, 1, 1), LATE_DAYS))
    ripe = settled(con, TARGET, TRAINING)
    assert rates(con, ripe) == [1 / LEAVE_EVERY] * 9
    # Calibration and test end where the labels that are ripe do.
    first = CLOSED - 80 * WEEK
    for last in (refit_slices(ripe, TRAINING, first).calibration.last, twin_slices(ripe, TRAINING, first).test.last):
        assert last == CLOSED - 3 * WEEK
        assert last + timedelta(days=TARGET.horizon_days + LATE_DAYS) <= TRAINING


def say_booked(con: duckdb.DuckDBPyConnection, *steps: tuple[date, int]) -> None:
    con.execute("create or replace table landing.settling (known_from date, days integer, basis varchar)")
    con.executemany("insert into landing.settling values (?, ?, 'booked')", steps)


@settings(max_examples=10)
@given(st.dictionaries(st.integers(0, 12), st.integers(1, 40), max_size=3))
def test_every_prediction_is_due_on_one_monday_and_that_is_the_first_on_which_it_is_ripe(known: dict[int, int]) -> None:
    con = duckdb.connect()
    con.execute("create schema landing; create schema policy")
    # What is known of late bookings never falls.
    days = accumulate(known[week] for week in sorted(known))
    steps = [(CLOSED + week * WEEK, so_far) for week, so_far in zip(sorted(known), days, strict=True)]
    say_booked(con, (date(1970, 1, 1), 0), *steps)
    predicted = [CLOSED + week * WEEK for week in range(14)]
    con.execute("create table policy.predictions as select unnest(?::date[]) as snapshot_date", [predicted])
    due_in_dbt = {
        (day, horizon): monday
        for day, horizon, monday in con.execute(f"select * from {macros().due_mondays()} as due").fetchall()
    }
    for target in (TARGET, TARGETS["churn_90d"]):
        ripe = settled_by(con, target)
        due = [
            next(monday for monday in mondays(day, day + 60 * WEEK) if ripe(day).is_closed(day, monday))
            for day in predicted
        ]
        assert len(set(due)) == len(due)
        assert [due_in_dbt[day, target.horizon_days] for day in predicted] == due
        assert [newest_due(con, target, monday) for monday in due] == predicted
        assert all(newest_due(con, target, monday - WEEK) < day for day, monday in zip(predicted, due, strict=True))


def macros() -> Any:
    """dbt's macros about the Mondays of outcomes, as functions that give SQL."""
    folder = shipped("dbt_project") / "macros"
    source = "".join(
        (folder / name).read_text() for name in ("generated/targets.sql", "monitoring/outcome_mondays.sql")
    )
    environment = Environment(undefined=StrictUndefined)
    environment.globals["source"] = lambda schema, table: f"{schema}.{table}"
    environment.globals["ref"] = lambda model: f"policy.{model}"
    return environment.from_string(source).module


def test_late_bookings_are_said_only_where_they_make_labels_much_older() -> None:
    con = duckdb.connect()
    con.execute("create schema landing")
    assert late_bookings(con, TARGET, TRAINING) is None
    say_booked(con, (date(1970, 1, 1), 0), (TRAINING - WEEK, 28))
    assert late_bookings(con, TARGET, TRAINING) is None
    say_booked(con, (date(1970, 1, 1), 0), (TRAINING - WEEK, 45))
    assert late_bookings(con, TARGET, TRAINING - 2 * WEEK) is None
    sentence = late_bookings(con, TARGET, TRAINING)
    assert sentence is not None
    assert sentence.startswith("departures are booked up to 45 days after their date")
    assert f"the newest snapshot that can be learned from is {TRAINING - 11 * WEEK}" in sentence
    con.execute("update landing.settling set basis = 'gap'")
    assert late_bookings(con, TARGET, TRAINING) is None


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


def book(customers: int, weeks: int = 30) -> duckdb.DuckDBPyConnection:
    """So many customers, of whom every third left after half of the weeks."""
    con = warehouse()
    con.execute("delete from landing.customers")
    con.execute(f"delete from marts.{TARGET.mart}")
    con.execute(f"alter table marts.{TARGET.mart} add column visits integer default 1")
    con.execute(
        f"insert into landing.customers select 'c' || n, case when n % 3 = 0 then date '{CLOSED - weeks // 2 * WEEK}' end, null "
        f"from range({customers}) as r(n)"
    )
    con.execute(
        f"""
        insert into marts.{TARGET.mart}
        select date '{CLOSED}' - 7 * week::integer, customer_id, week
        from landing.customers cross join range({weeks}) as r(week)
        where coalesce(churn_date >= date '{CLOSED}' - 7 * week::integer, true)
        """
    )
    return con


def sample(con: duckdb.DuckDBPyConnection, most_rows: int, seed: int = 7) -> tuple[list[str], float] | None:
    return sample_of(con, TARGET, TRAINING, first=date(2025, 1, 6), most_rows=most_rows, seed=seed)


def learned(con: duckdb.DuckDBPyConnection, **options: Any) -> pd.DataFrame:
    return training_frame(con, TARGET, TRAINING, whole=(), first=date(2025, 1, 6), **options)


def test_a_sample_is_of_whole_customers_has_the_rows_that_were_asked_for_and_lies_in_every_larger_one() -> None:
    con = book(200)
    everybody = learned(con)
    assert sample(con, len(everybody)) is None
    smaller: set[str] = set()
    for most_rows in (100, 300, 700, len(everybody) - 1):
        customers, share = sample(con, most_rows) or ([], 0)
        assert smaller < set(customers)
        smaller = set(customers)
        assert share == pytest.approx(len(customers) / everybody["customer_id"].nunique())
        drawn = learned(con, customers=customers)
        assert most_rows - 8 < len(drawn) <= most_rows
        assert drawn.equals(everybody[everybody["customer_id"].isin(smaller)].reset_index(drop=True))


def test_a_sample_depends_on_the_seed_and_on_nothing_that_was_not_closed_at_the_training_monday() -> None:
    con = book(200)
    drawn = sample(con, 300)
    assert drawn is not None
    assert set(drawn[0]) != set((sample(con, 300, seed=8) or ([], 0))[0])
    con.execute("insert into landing.customers select 'new' || n, null, null from range(200) as r(n)")
    con.execute(f"insert into marts.{TARGET.mart} select date '{TRAINING}', customer_id, 1 from landing.customers")
    con.execute(f"create or replace table shuffled as from marts.{TARGET.mart} order by md5(customer_id || visits)")
    con.execute(f"create or replace table marts.{TARGET.mart} as from shuffled")
    assert sample(con, 300) == drawn


def test_of_the_mart_the_columns_that_are_wanted_are_read_and_the_rows_are_the_same() -> None:
    con = book(20)
    everything = learned(con)
    assert list(everything.columns) == ["snapshot_date", "customer_id", "visits", "label"]
    assert learned(con, columns=["visits", "no_such_column"]).equals(everything)
    assert learned(con, columns=[]).equals(everything.drop(columns="visits"))
