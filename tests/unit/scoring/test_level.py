"""Which mean probabilities a company can have."""

from __future__ import annotations

import time
from datetime import date, datetime, timedelta

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn_pipeline.core.calendar import WEEK
from churn_pipeline.core.errors import InputError
from churn_pipeline.core.targets import TARGETS
from churn_pipeline.features import frames
from churn_pipeline.scoring import level
from churn_pipeline.scoring.level import Acceptance, Rates, WeekRate, judge

TARGET = TARGETS["churn_90d"]
MONDAY = date(2026, 3, 16)
NEWEST = TARGET.newest_closed(MONDAY)


def rates(*weekly: float, customers: int = 2000, departures: int = 500) -> Rates:
    """Oldest first; the last is the newest closed Monday."""
    first = NEWEST - (len(weekly) - 1) * WEEK
    weeks = [WeekRate(first + n * WEEK, customers, round(rate * customers)) for n, rate in enumerate(weekly)]
    return Rates(TARGET, tuple(weeks), departures)


@pytest.mark.parametrize(
    ("mean", "judgement"),
    [
        (0.10, "ok"),
        (0.041, "ok"),
        (0.039, "notice"),
        (0.249, "ok"),
        (0.251, "notice"),
        # The range is 0.05 to 0.12, its intervals 0.041 to 0.135.
        (0.0090, "notice"),
        (0.0080, "impossible"),
        (0.66, "notice"),
        (0.69, "impossible"),
    ],
)
def test_the_newest_rate_says_what_is_remarkable_and_the_range_of_a_year_what_is_impossible(
    mean: float, judgement: str
) -> None:
    verdict = judge(mean, rates(0.05, 0.12, 0.10))
    assert verdict.judgement == judgement
    assert bool(verdict.sentence) == (judgement != "ok")
    assert (verdict.newest, verdict.lowest, verdict.highest) == (0.10, 0.05, 0.12)


def test_the_leak_that_was_measured_is_impossible() -> None:
    """mrr emptied for those who left: a mean of 0.0015 where 0.108 left."""
    verdict = judge(0.0015, rates(0.09, 0.13, 0.108))
    assert verdict.judgement == "impossible"
    assert "average 0.15%" in verdict.sentence and "less than 9% or more than 13%" in verdict.sentence


def test_with_fewer_than_30_departures_nothing_is_impossible() -> None:
    assert judge(0.001, rates(0.1, 0.1, departures=30)).judgement == "impossible"
    assert judge(0.001, rates(0.1, 0.1, departures=29)).judgement == "notice"


def test_what_chance_allows_in_a_small_book_is_neither_remarkable_nor_impossible() -> None:
    # Nobody of 60 left in the newest week; with a true rate of 5 % that happens every 20th time.
    assert judge(0.05, rates(0.05, 0.1, 0.0, customers=60)).judgement == "ok"
    assert judge(0.20, rates(0.05, 0.1, 0.0, customers=60)).judgement == "notice"
    assert judge(0.05, rates(0.05, 0.1, 0.0, customers=6000)).judgement == "notice"
    # The rate is 0.1, and its interval of 60 customers 0.047 to 0.2.
    assert judge(0.012, rates(0.1, 0.1, customers=60)).judgement == "notice"
    assert judge(0.012, rates(0.1, 0.1, customers=6000)).judgement == "impossible"


def test_weeks_in_which_the_company_was_just_beginning_do_not_stretch_the_range() -> None:
    whole = rates(0.10, 0.10)
    early = WeekRate(NEWEST - 20 * WEEK, 9, 0)
    assert judge(0.001, Rates(TARGET, (early, *whole.weeks), 500)).judgement == "impossible"


def test_before_any_monday_is_closed_nothing_is_judged() -> None:
    verdict = judge(0.5, Rates(TARGET, (), 0))
    assert (verdict.judgement, verdict.sentence) == ("unknown", "")


@settings(max_examples=50)
@given(mean=st.floats(0, 1), departures=st.integers(0, 60), weekly=st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_what_is_impossible_is_remarkable_too_and_a_year_of_the_mean_itself_is_neither(
    mean: float, departures: int, weekly: list[float]
) -> None:
    verdict = judge(mean, rates(*weekly, departures=departures))
    if verdict.judgement == "impossible":
        assert judge(mean, rates(*weekly, departures=0)).judgement == "notice"
    assert judge(verdict.newest, rates(*weekly, departures=departures)).judgement == "ok"


def test_drift_and_level_are_one_sentence_that_fits_into_a_line_of_slack() -> None:
    verdicts = [judge(0.3178, rates(0.1234)), judge(0.3178, rates(0.1234))]
    told = level.together(verdicts)
    assert told is not None and "drift and level" in told and "averages 31.8% where 12.3% left" in told
    assert len(told) <= 240
    assert len(verdicts[0].sentence) <= 200
    assert level.together([judge(0.1, rates(0.1))]) is None


def landed(
    lives: list[tuple[str, int, date, date | None, date | None, str | None, date | None]],
) -> duckdb.DuckDBPyConnection:
    con = duckdb.connect()
    con.execute("create schema landing")
    con.execute("create table landing.fact_digests (source varchar, fact_date date, fact_rows bigint, digest hugeint)")
    con.execute(
        "create table landing.lives (customer_id varchar, life bigint, active_from date, active_until date, ended_on date, "
        "end_kind varchar, resumed_on date)"
    )
    if lives:
        con.executemany("insert into landing.lives values (?, ?, ?, ?, ?, ?, ?)", lives)
    con.execute("create table landing.customers as select distinct customer_id from landing.lives")
    return con


# Opening a database takes longer than a question to it.
EMPTY = landed([])
DAY = st.integers(0, 400).map(lambda number: MONDAY - timedelta(days=number))


@st.composite
def a_life(draw: st.DrawFn) -> list[tuple[date, date | None, date | None, str | None, date | None]]:
    """The spans of one life: one, or two with a pause."""
    days = sorted(draw(st.lists(DAY, min_size=4, max_size=4, unique=True)))
    kind = draw(st.sampled_from(["churn", "left", None]))
    last = (days[3], days[3], kind) if kind else (None, None, None)
    if draw(st.booleans()):
        return [(days[0], *last, None)]
    return [(days[0], days[1], days[1], "churn", days[2]), (days[2], *last, None)]


@settings(max_examples=30)
@given(book=st.lists(a_life(), max_size=8), weeks_known=st.integers(0, 30))
def test_the_rates_are_the_labels_counted(
    book: list[list[tuple[date, date | None, date | None, str | None, date | None]]], weeks_known: int
) -> None:
    con = EMPTY
    con.execute("delete from landing.lives")
    lives = [(f"c{number}", 1, *span) for number, spans in enumerate(book) for span in spans]
    if lives:
        con.executemany("insert into landing.lives values (?, ?, ?, ?, ?, ?, ?)", lives)
    con.execute("create or replace table landing.customers as select distinct customer_id from landing.lives")
    as_of, first = MONDAY - weeks_known * WEEK, MONDAY - 50 * WEEK
    weeks, departures = frames.departures_by_week(con, TARGET, first, as_of, as_of)
    snapshots = (
        f"(select day::date as snapshot_date, customer_id from generate_series(date '{first}', date '{as_of}', interval 7 day) t(day) "
        "inner join landing.lives on active_from < day and coalesce(active_until >= day, true))"
    )
    labels = con.execute(
        f"select snapshot_date, customer_id, label from ({frames.churn_labelled(snapshots, '$as_of')})",
        {"horizon": TARGET.horizon_days, "as_of": as_of},
    ).fetchall()
    by_week: dict[date, list[int]] = {}
    for day, _, label in labels:
        by_week.setdefault(day, []).append(label)
    assert weeks == [(day, len(of_week), sum(of_week)) for day, of_week in sorted(by_week.items())]
    assert departures == len({customer for _, customer, label in labels if label})


def test_the_closed_year_begins_with_the_data_and_ends_with_the_newest_closed_monday() -> None:
    con = landed(
        [
            ("c1", 1, date(2020, 1, 1), None, None, None, None),
            ("c2", 1, date(2020, 1, 1), NEWEST, NEWEST, "churn", None),
        ]
    )
    con.execute("insert into landing.fact_digests values ('usage_events', '2020-01-06', 1, 1)")
    whole = level.closed_rates(con, TARGET, MONDAY)
    assert [week.snapshot_date for week in whole.weeks] == [NEWEST - n * WEEK for n in range(51, -1, -1)]
    assert [week.departures for week in whole.weeks][-13:] == [1] * 13 and whole.departures == 1
    # What becomes known later changes nothing.
    con.execute(
        "update landing.lives set active_until = $1, ended_on = $1, end_kind = 'churn' where customer_id = 'c1'",
        [MONDAY],
    )
    assert level.closed_rates(con, TARGET, MONDAY) == whole
    con.execute("update landing.fact_digests set fact_date = $1", [NEWEST - 5 * WEEK])
    con.execute("update landing.lives set active_until = null, ended_on = null, end_kind = null")
    assert len(level.closed_rates(con, TARGET, MONDAY).weeks) == 5
    con.execute("update landing.fact_digests set fact_date = $1", [NEWEST])
    assert level.closed_rates(con, TARGET, MONDAY).weeks == ()


def test_a_year_of_fifty_thousand_customers_takes_a_moment() -> None:
    con = landed([])
    con.execute("insert into landing.fact_digests values ('usage_events', '2020-01-06', 1, 1)")
    con.execute(
        "insert into landing.lives select 'c' || number, 1, date '2022-01-01' + (number % 1500)::integer, ended, ended, "
        "if(ended is null, null, 'churn'), null from (select number, if(number % 3 = 0, date '2022-01-02' + (number % 1500 + "
        "number * 7 % 700)::integer, null) as ended from range(50000) t(number))"
    )
    con.execute("insert into landing.customers select customer_id from landing.lives")
    con.execute("set threads = 2")
    start = time.monotonic()
    assert len(level.closed_rates(con, TARGET, MONDAY).weeks) == 52
    assert time.monotonic() - start < 3


def test_an_acceptance_holds_for_one_monday_one_target_and_one_version() -> None:
    con = duckdb.connect()
    verdict = judge(0.001, rates(0.1, 0.1))
    level.accept(con, MONDAY, verdict, "7", Acceptance("sold ", "Ada"), run_id="r", now=datetime(2026, 3, 16))
    assert level.accepted(con, MONDAY, "churn_90d", "7") == Acceptance("sold", "Ada")
    assert level.accepted(con, MONDAY, "churn_90d", "8") is None
    assert level.accepted(con, MONDAY, "churn_30d", "7") is None
    assert level.accepted(con, MONDAY + WEEK, "churn_90d", "7") is None
    with pytest.raises(InputError, match="needs a reason"):
        Acceptance(" ", "Ada")


def test_verdicts_are_kept_by_monday() -> None:
    con = duckdb.connect()
    verdicts = [judge(0.1, Rates(TARGETS["churn_30d"], (), 0)), judge(0.001, rates(0.1, 0.1))]
    level.write(con, MONDAY, verdicts, "first")
    level.write(con, MONDAY, verdicts, "second")
    level.write(con, MONDAY + WEEK, verdicts[1:], "second")
    kept = level.of_monday(con, MONDAY)
    assert kept[1] == verdicts[1] and repr(kept[0]) == repr(verdicts[0])
    assert level.of_monday(con, MONDAY - WEEK) == []
