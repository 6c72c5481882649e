"""What a replayed Monday was worth, worked out by hand, and nothing said before it is known."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from churn_pipeline.core.calendar import WEEK
from churn_pipeline.core.errors import InputError, RefusedError
from churn_pipeline.core.settings import Settings
from churn_pipeline.modeling.evaluate import Resamples
from churn_pipeline.monitoring import lists, replay
from churn_pipeline.monitoring.replay import Flag, Held, ReplayReport, replay_report
from tests.support.homes import UNUSED
from tests.unit.monitoring.replayed import LATEST, MONDAY, SIX, Customer, history, say, score, warehouse

SETTINGS = Settings(home=UNUSED, bootstrap_replicates=50, min_train_churners=5)


def report(
    con: duckdb.DuckDBPyConnection,
    first: date = MONDAY,
    last: date = MONDAY,
    *,
    latest: date = LATEST,
    capacity: int = 2,
) -> ReplayReport:
    return replay_report(con, SETTINGS, first, last, latest=latest, capacity=capacity)


@pytest.fixture
def con() -> duckdb.DuckDBPyConnection:
    con = warehouse()
    score(con, *SIX)
    return con


def test_each_caller_holds_what_was_counted_by_hand(con: duckdb.DuckDBPyConnection) -> None:
    (week,) = report(con).weeks
    assert week.state == "judged"
    assert (week.churners, week.churned_revenue) == (4, 1400.0)
    assert week.held is not None
    assert week.held["revenue"] == {
        "model": Held(1, 1000),
        "logistic": None,
        "rule": Held(1, 300),
        "mrr": Held(1, 1000),
        "chance": Held(pytest.approx(4 * 2 / 6), pytest.approx(1400 * 2 / 6)),
        "best": Held(2, 1300),
    }
    assert week.held["probability"] == {
        "model": Held(2, 1100),
        "logistic": None,
        # Two of three silent customers are called, two of whom leave.
        "rule": Held(pytest.approx(2 * 2 / 3), pytest.approx(400 * 2 / 3)),
        "chance": week.held["revenue"]["chance"],
    }


def test_precision_and_recall_at_the_flag_are_of_the_30_day_label(con: duckdb.DuckDBPyConnection) -> None:
    replayed = report(con)
    assert replayed.flag == replayed.weeks[0].flag == Flag(flagged=2, hits=2, churners=3)
    assert replayed.flag is not None
    assert (replayed.flag.precision, replayed.flag.recall) == (1.0, pytest.approx(2 / 3))


def test_what_is_not_defined_is_none_and_never_zero() -> None:
    con = warehouse()
    score(con, Customer("a", 0.1, 0.2, 100, None), Customer("b", 0.1, 0.3, 100, None))
    replayed = report(con)
    assert replayed.flag == Flag(0, 0, 0)
    assert (replayed.flag.precision, replayed.flag.recall) == (None, None)
    written = replayed.to_dict()
    assert written["weeks"][0]["flag"] == {"flagged": 0, "hits": 0, "churners": 0, "precision": None, "recall": None}
    assert written["totals"]["revenue"]["model"]["revenue_share"]["value"] is None
    json.dumps(written, allow_nan=False)


def test_leaving_the_book_is_not_churn(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("update landing.customers set censor_date = ? where customer_id = 'c'", [MONDAY + WEEK])
    assert report(con).weeks[0].churners == 4


def test_an_open_90_day_window_says_so_and_shows_what_closed_at_30_days(con: duckdb.DuckDBPyConnection) -> None:
    latest = MONDAY + 5 * WEEK
    (week,) = report(con, latest=latest).weeks
    assert week.state == "open"
    assert week.reason == f"the 90-day window is open until {MONDAY + timedelta(days=90)}"
    assert (week.held, week.churners, week.churned_revenue, week.calibration_90d) == (None, None, None, None)
    assert week.flag == Flag(2, 2, 3)
    assert week.calibration_30d is not None


def test_an_open_30_day_window_shows_no_figure_at_all(con: duckdb.DuckDBPyConnection) -> None:
    replayed = report(con, latest=MONDAY + 4 * WEEK)
    assert replayed.weeks[0].flag is replayed.flag is replayed.weeks[0].calibration_30d is None
    assert replayed.totals == {"revenue": {}, "probability": {}}
    assert replayed.headline() == (
        f"No Monday from {MONDAY} to {MONDAY} can be judged yet: the first 90-day window closes on 2026-06-14."
    )


def test_a_window_that_closes_after_the_landed_data_is_open(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("update landing.fact_digests set fact_date = ?", [MONDAY + timedelta(days=80)])
    replayed = report(con)
    assert replayed.known_until == MONDAY + 11 * WEEK
    assert replayed.weeks[0].state == "open"
    assert "The landed data ends" in replayed.notices[0]


def test_a_week_without_predictions_is_a_row_with_the_newest_reason(con: duckdb.DuckDBPyConnection) -> None:
    say(con, MONDAY + WEEK, "published", "", hour=1, run_id="old")
    say(con, MONDAY + WEEK, "refused", "usage_events_are_fresh: too old", hour=2, run_id="new")
    say(con, MONDAY + 2 * WEEK, "published", "", run_id="gone")
    replayed = report(con, last=MONDAY + 3 * WEEK)
    assert [(week.state, week.reason) for week in replayed.weeks] == [
        ("judged", ""),
        ("missing", "refused: usage_events_are_fresh: too old"),
        ("missing", "published by run gone, and not in the warehouse any more"),
        ("missing", "not scored"),
    ]
    assert [row["remark"] for row in replayed.rows()][1:] == [week.reason for week in replayed.weeks[1:]]
    assert replayed.rows()[1]["model_churners"] is None


def test_a_range_that_was_never_scored_is_a_report_and_not_an_error() -> None:
    con = duckdb.connect()
    con.execute("create schema landing")
    con.execute("create table landing.fact_digests as select 'usage_events' as source, date '2026-06-14' as fact_date")
    replayed = report(con)
    assert [week.reason for week in replayed.weeks] == ["not scored"]
    assert replayed.headline() == f"None of the Mondays from {MONDAY} to {MONDAY} has been scored."
    json.dumps(replayed.to_dict(), allow_nan=False)


def test_without_features_only_the_list_and_chance_are_judged() -> None:
    con = warehouse()
    score(con, *SIX, features=False)
    replayed = report(con)
    assert replayed.weeks[0].notes == (
        "no rule and no logistic regression: the features of this Monday are not in the warehouse any more",
    )
    assert set(replayed.totals["revenue"]) == {"model", "mrr", "chance", "best"}


def test_whoever_was_erased_is_not_judged_and_is_counted(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("delete from landing.customers where customer_id = 'b'")
    (week,) = report(con).weeks
    assert (week.customers, week.forgotten, week.churners) == (5, 1, 3)
    assert week.notes[0] == "1 customer no longer in the data and not judged"
    # The call that is free goes to the next on the list: c and a.
    assert week.held is not None
    assert week.held["revenue"]["model"] == Held(1, 100)


def test_a_list_longer_than_the_customers_holds_everybody(con: duckdb.DuckDBPyConnection) -> None:
    (week,) = report(con, capacity=200).weeks
    assert week.held is not None
    assert {who: called for who, called in week.held["revenue"].items() if called} == dict.fromkeys(
        ("model", "rule", "mrr", "chance", "best"), Held(4, 1400)
    )


def test_the_mean_and_the_advantage_are_over_the_same_mondays(con: duckdb.DuckDBPyConnection) -> None:
    # A week earlier there are no features, so the rule is compared on MONDAY alone. The list of that week calls b and
    # a, who both leave.
    unlikely = [replace(person, p90=0.01) if person.name in "cd" else person for person in SIX]
    score(con, *unlikely, monday=MONDAY - WEEK, features=False)
    totals = report(con, first=MONDAY - WEEK).totals["revenue"]
    assert (totals["model"].weeks, totals["model"].churners.value) == (2, 1.5)
    assert (totals["rule"].weeks, totals["rule"].churners.value) == (1, 1.0)
    assert totals["rule"].advantage is not None
    assert totals["rule"].advantage.value == 0.0
    assert totals["rule"].revenue_advantage is not None
    assert totals["rule"].revenue_advantage.value == 700.0


def test_deciles_hold_every_closed_row_once_and_their_own_means() -> None:
    con = warehouse()
    people = [Customer(f"c{n:02d}", n / 200, n / 50, 100, 5 if n >= 30 else None) for n in range(40)]
    score(con, *people)
    deciles = report(con).calibration["churn_90d"]
    assert [d.rows for d in deciles] == [4] * 10
    assert deciles[0].forecast == pytest.approx((0 + 1 + 2 + 3) / 4 / 50)
    # Customers 28 and 29 stay, 30 and 31 leave.
    assert [d.observed.value for d in deciles] == [0, 0, 0, 0, 0, 0, 0, 0.5, 1, 1]


def test_each_monday_has_deciles_of_its_own() -> None:
    con = warehouse(usage_until=LATEST + WEEK)
    people = [Customer(f"c{n:02d}", n / 200, n / 50, 100, 5 if n >= 30 else None) for n in range(40)]
    score(con, *people)
    # Those who leave are gone the week after.
    score(con, *people[:30], monday=MONDAY + WEEK)
    replayed = report(con, last=MONDAY + WEEK, latest=LATEST + WEEK)
    first, second = (week.deciles["churn_90d"] for week in replayed.weeks)
    assert [d.rows for d in first] == [4] * 10
    assert [d.rows for d in second] == [3] * 10
    assert [d.observed for d in first] == [0, 0, 0, 0, 0, 0, 0, 0.5, 1, 1]
    assert [d.observed for d in second] == [0] * 10
    assert first[0].forecast == pytest.approx((0 + 1 + 2 + 3) / 4 / 50)
    # The last tenth of the first: 0.72, 0.74, 0.76 and 0.78.
    assert first[9].chance == pytest.approx(np.sqrt(0.72 * 0.28 + 0.74 * 0.26 + 0.76 * 0.24 + 0.78 * 0.22) / 4)
    # 0.51 was forecast and nobody left; one standard deviation is 0.25.
    assert [d.beyond_chance for d in first] == [False] * 6 + [True] + [False] * 3
    assert replayed.to_dict()["weeks"][1]["deciles"]["churn_30d"][0]["rows"] == 3


def test_a_monday_has_deciles_once_its_window_has_closed(con: duckdb.DuckDBPyConnection) -> None:
    assert set(report(con).weeks[0].deciles) == {"churn_30d", "churn_90d"}
    assert set(report(con, latest=MONDAY + 5 * WEEK).weeks[0].deciles) == {"churn_30d"}
    assert report(con, latest=MONDAY + WEEK).weeks[0].deciles == {}


def test_true_probabilities_are_beyond_chance_on_one_decile_in_twenty() -> None:
    rng = np.random.default_rng(5)
    probability = rng.beta(2, 8, 5_000)
    marked = [
        decile.beyond_chance
        for _ in range(60)
        for decile in replay._monday_deciles(probability, rng.random(5_000) < probability)
    ]
    assert np.mean(marked) == pytest.approx(0.05, abs=0.03)


def test_true_probabilities_have_the_calibration_error_of_chance() -> None:
    rng = np.random.default_rng(3)
    probability = rng.beta(1, 8, 20_000)
    errors = [replay._calibration_error(probability, rng.random(20_000) < probability) for _ in range(40)]
    assert np.mean([e.ece for e in errors]) == pytest.approx(errors[0].floor, rel=0.1)


def test_logistic_regression_learns_what_was_closed_and_ranks_with_it(con: duckdb.DuckDBPyConnection) -> None:
    history(con)
    replayed = report(con)
    week = replayed.weeks[0]
    assert week.notes == ()
    assert week.held is not None
    # In the history the silent leave; c (30 days) and a (20 days) are the most silent of the six, and a leaves.
    assert week.held["probability"]["logistic"] == Held(1, 100)
    assert set(replayed.totals["revenue"]) == {"model", "logistic", "rule", "mrr", "chance", "best"}


def test_logistic_regression_knows_nothing_from_its_training_monday_on(con: duckdb.DuckDBPyConnection) -> None:
    history(con)
    _, before = replay._fit_logistic(con, SETTINGS, MONDAY)
    con.execute("update landing.customers set churn_date = null where churn_date >= ?", [MONDAY])
    con.execute("update landing.customers set churn_date = ? where churn_date is null", [MONDAY + timedelta(days=1)])
    # Labels need 13 weeks to close.
    con.execute("delete from marts.mart_customer_churn_features where snapshot_date > ?", [MONDAY - 13 * WEEK])
    _, after = replay._fit_logistic(con, SETTINGS, MONDAY)
    assert np.array_equal(before.coefficients, after.coefficients)
    con.execute("update landing.customers set churn_date = null where churn_date < ?", [MONDAY])
    with pytest.raises(RefusedError, match="distinct churned customers"):
        replay._fit_logistic(con, SETTINGS, MONDAY)


def test_logistic_regression_reaches_no_further_back_than_the_model(con: duckdb.DuckDBPyConnection) -> None:
    history(con, weeks=90)
    short = SETTINGS.model_copy(update={"history_weeks": 60})
    (_, whole), (_, cut) = replay._fit_logistic(con, SETTINGS, MONDAY), replay._fit_logistic(con, short, MONDAY)
    assert not np.array_equal(whole.coefficients, cut.coefficients)
    con.execute("delete from marts.mart_customer_churn_features where snapshot_date < ?", [MONDAY - 60 * WEEK])
    _, again = replay._fit_logistic(con, SETTINGS, MONDAY)
    assert np.array_equal(again.coefficients, cut.coefficients)


def test_the_mondays_of_one_training_monday_share_one_regression(con: duckdb.DuckDBPyConnection) -> None:
    history(con)
    score(con, *SIX, monday=MONDAY + 3 * WEEK)
    score(con, *SIX, monday=MONDAY + 4 * WEEK)
    baselines = replay._Baselines(con, SETTINGS)
    for day in (MONDAY, MONDAY + 3 * WEEK, MONDAY + 4 * WEEK):
        baselines.scores(day, pd.Series([c.name for c in SIX]), np.ones(len(SIX)))
    assert list(baselines.fitted) == [MONDAY, MONDAY + 4 * WEEK]


def test_without_a_history_of_revenue_the_report_says_so(con: duckdb.DuckDBPyConnection) -> None:
    assert not [notice for notice in report(con).notices if "history of revenue" in notice]
    con.execute("update landing.plan_changes set from_mrr_cents = null, to_mrr_cents = null")
    assert "no history of revenue" in report(con).notices[0]


def call(con: duckdb.DuckDBPyConnection, *names: str, monday: date = MONDAY) -> None:
    """Puts customers on the call list of a Monday, in this order."""
    con.execute("alter table policy.predictions add column if not exists is_on_call_list boolean")
    con.execute("alter table policy.predictions add column if not exists call_rank bigint")
    con.execute("update policy.predictions set is_on_call_list = false where snapshot_date = ?", [monday])
    for rank, name in enumerate(names, 1):
        con.execute(
            "update policy.predictions set is_on_call_list = true, call_rank = ? where snapshot_date = ? and customer_id = ?",
            [rank, monday, name],
        )


def test_the_list_that_was_worked_is_judged_and_the_others_get_as_many_calls(con: duckdb.DuckDBPyConnection) -> None:
    call(con, "d", "e", "a")
    replayed = report(con, capacity=5)
    (week,) = replayed.weeks
    assert (week.basis, week.calls) == ("call_list", 3)
    assert week.held is not None
    assert week.held["revenue"]["model"] == Held(2, 400)
    assert week.held["revenue"]["best"] == Held(3, 1400)
    assert week.held["revenue"]["mrr"] == Held(2, 1300)
    assert week.held["revenue"]["chance"] == Held(pytest.approx(4 * 3 / 6), pytest.approx(1400 * 3 / 6))
    assert replayed.notices == ()
    assert "the list's 3 calls held 2 customers" in replayed.headline()
    assert (
        "Of the revenue that left, the list held 29%; of as many calls the best possible would have held 100%, revenue alone 93%, "
        "probability alone 79%, chance 50%."
    ) in replayed.findings()
    # A list is cut where fewer calls are asked about, in the order in which it was called.
    (short,) = report(con, capacity=1).weeks
    assert short.held is not None and (short.calls, short.held["revenue"]["model"]) == (1, Held(1, 300))


def test_mondays_from_before_there_was_a_list_are_judged_by_priority_rank_and_the_report_says_so() -> None:
    con = warehouse(usage_until=LATEST + WEEK)
    score(con, *SIX)
    score(con, *SIX, monday=MONDAY + WEEK)
    call(con, "d", monday=MONDAY + WEEK)
    replayed = report(con, last=MONDAY + WEEK, latest=LATEST + WEEK)
    assert [(week.basis, week.calls) for week in replayed.weeks] == [("priority_rank", 2), ("call_list", 1)]
    assert replayed.notices == (
        "Judged by who came first by priority_rank, because there was no call list yet: 1 of 2 judged Mondays.",
    )
    assert "the list's 1 to 2 calls" in replayed.headline()
    assert [row["calls"] for row in replayed.rows()] == [2, 1]


def test_an_empty_list_is_judged_and_held_nobody(con: duckdb.DuckDBPyConnection) -> None:
    call(con)
    (week,) = report(con).weeks
    assert week.held is not None
    assert week.held["revenue"]["model"] == week.held["revenue"]["best"] == Held(0, 0)


def test_money_that_was_expected_to_leave_stands_beside_money_that_left(con: duckdb.DuckDBPyConnection) -> None:
    replayed = report(con)
    expected = 0.9 * 100 + 0.8 * 1000 + 0.5 * 1000 + 0.2 * 300 + 0.1 * 200
    money = replayed.money["churn_90d"]
    assert (money.weeks, money.expected, money.left) == (1, pytest.approx(expected), 1400)
    assert money.ratio.value == pytest.approx(1400 / expected)
    assert replayed.weeks[0].expected_revenue == pytest.approx(expected)
    assert replayed.money["churn_30d"].left == 1100
    (sentence,) = [each for each in replayed.findings() if each.startswith("Within 90 days")]
    assert "$1,470 a year was expected to leave a Monday, and $1,400 left: 0.95 times as much" in sentence
    assert set(report(con, latest=MONDAY + 5 * WEEK).money) == {"churn_30d"}


def test_looking_changes_nothing(tmp_path: Path) -> None:
    path = str(tmp_path / "warehouse.duckdb")
    con = warehouse(path)
    score(con, *SIX)
    history(con)
    con.close()
    with duckdb.connect(path, read_only=True) as reader:
        first, again = report(reader), report(reader)
    assert first.to_dict() == again.to_dict()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"first": MONDAY + timedelta(days=1)}, "Tuesday"),
        ({"first": MONDAY + WEEK}, "is empty"),
        ({"capacity": 0}, "capacity of 0"),
    ],
)
def test_a_range_that_makes_no_sense_is_refused(
    con: duckdb.DuckDBPyConnection, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        report(con, **arguments)  # type: ignore[arg-type]


def test_the_headline_is_the_means(con: duckdb.DuckDBPyConnection) -> None:
    history(con)
    assert report(con).headline() == (
        "On the one judged Monday the list's 2 calls held 1 customers who left within 90 days; logistic regression 1, "
        "the rule 'no activity for 14 days' 1, chance 1. The list's churners paid $1,000 of the $1,400 a year that left, 71%."
    )


@hypothesis_settings(max_examples=60)
@given(
    rows=st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.integers(0, 9)), min_size=1, max_size=25),
    capacity=st.integers(1, 12),
    seed=st.integers(0, 1000),
)
def test_a_resample_calls_exactly_its_capacity_and_shares_ties(
    rows: list[tuple[int, bool, int]], capacity: int, seed: int
) -> None:
    score, churned, revenue = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    resamples = Resamples.draw(pd.Series(range(len(rows))), 20, seed)
    values = np.stack([churned, churned * revenue], axis=1)
    churners, paid = lists.held(score, values, capacity, resamples)
    for replicate, weights in enumerate(resamples.counts):
        expected = np.zeros(2)
        room = float(capacity)
        for level in sorted(set(score), reverse=True):
            tied = score == level
            drawn = weights[tied].sum()
            if drawn:
                expected += (weights[tied, None] * values[tied]).sum(axis=0) * min(1.0, room / drawn)
                room -= min(room, drawn)
        assert (churners[replicate], paid[replicate]) == pytest.approx(tuple(expected))


customers = st.lists(
    st.builds(
        Customer,
        name=st.just(""),
        p30=st.floats(0.01, 0.95),
        p90=st.floats(0.01, 0.95),
        revenue=st.one_of(st.none(), st.integers(0, 10_000).map(float)),
        leaves=st.one_of(st.none(), st.integers(0, 200)),
        silent_days=st.one_of(st.none(), st.integers(0, 40)),
    ),
    min_size=1,
    max_size=12,
)


@hypothesis_settings(max_examples=25)
@given(people=customers, capacity=st.integers(1, 15), weeks_known=st.integers(1, 16), later=st.integers(0, 400))
def test_what_happened_after_the_last_known_monday_changes_nothing(
    people: list[Customer], capacity: int, weeks_known: int, later: int
) -> None:
    named = [replace(person, name=f"c{n}") for n, person in enumerate(people)]
    known = MONDAY + weeks_known * WEEK
    con = warehouse(usage_until=known)
    score(con, *named)
    before = report(con, latest=known, capacity=capacity)
    week = before.weeks[0]
    assert week.state == ("judged" if weeks_known >= 13 else "open")
    if week.held:
        assert week.churners is not None
        assert week.churned_revenue is not None
        chance = week.held["revenue"]["chance"]
        assert chance is not None
        assert chance.churners == pytest.approx(min(capacity, len(named)) * week.churners / len(named))
        for called in (called for ranking in week.held.values() for called in ranking.values() if called):
            assert -1e-9 <= called.churners <= min(capacity, week.churners) + 1e-9
            assert -1e-9 <= called.revenue <= week.churned_revenue + 1e-9

    con.execute(
        "update landing.customers set churn_date = ? where churn_date is null or churn_date >= ?",
        [known + timedelta(days=later), known],
    )
    assert report(con, latest=known, capacity=capacity).to_dict() == before.to_dict()
