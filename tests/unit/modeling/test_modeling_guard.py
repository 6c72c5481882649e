"""What a company's export does to the columns of those who left, and whether the guard sees it and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import date
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from churn_pipeline.core.settings import REPOSITORY, Settings
from churn_pipeline.core.targets import TARGETS
from churn_pipeline.features.catalogue import Catalogue, History, read_catalogue
from churn_pipeline.modeling.fit import Recipe, fit
from churn_pipeline.modeling.guard import Leak, columns_that_leak, customers_at, leaks, without_leaks
from churn_pipeline.scoring.level import Judgement, Rates, WeekRate, judge
from tests.support.homes import UNUSED
from tests.unit.modeling.frames import CATALOGUE

TARGET = TARGETS["churn_30d"]
SETTINGS = Settings(home=UNUSED, bootstrap_replicates=50)
MONDAY = date(2026, 3, 16)
INDUSTRIES = ("saas", "retail", "health", "media")
BOTH: frozenset[History] = frozenset(("tier_history", "mrr_history"))
NONE: frozenset[History] = frozenset()


def company(
    customers: int = 1500,
    weeks: int = 104,
    yearly: float = 0.25,
    seed: int = 1,
    times: dict[tuple[str, str], float] | None = None,
) -> pd.DataFrame:
    """An honest company: who leaves when, and what is landed of it.

    Args:
        customers: who ever signed up, spread over the weeks.
        weeks: since the first.
        yearly: the rate at which customers leave.
        seed: of everything.
        times: by column and value, how many times that rate.
    """
    random = np.random.default_rng(seed)
    signup = pd.Timestamp(MONDAY) - pd.to_timedelta(random.integers(1, 7 * weeks, customers), unit="D")
    frame = pd.DataFrame(
        {
            "signup": signup,
            "industry": random.choice(INDUSTRIES, customers).astype(object),
            "seats": random.integers(1, 200, customers).astype(float),
            "csm_owner": random.choice(["Ada", "Ben", "Cleo"], customers).astype(object),
            "plan_tier": random.choice(["free", "starter", "growth"], customers, p=[0.2, 0.5, 0.3]).astype(object),
        }
    )
    frame["mrr"] = np.where(frame["plan_tier"] == "free", 0.0, random.uniform(100, 2000, customers))
    rate = np.full(customers, yearly)
    for (column, value), ratio in (times or {}).items():
        rate = np.where(frame[column] == value, yearly * ratio, rate)
    lived = pd.to_timedelta(np.ceil(365 * random.exponential(1 / rate)), unit="D")
    frame["ended"] = (signup + lived).where(signup + lived < pd.Timestamp(MONDAY))
    return frame.assign(plan_tier_dated=False, mrr_dated=False)


def young(seed: int = 2) -> pd.DataFrame:
    """A year old, with 300 customers, of whom 30 have left."""
    frame = company(customers=330, weeks=52, yearly=0.35, seed=seed)
    extra = frame.index[frame["ended"].notna()][30:]
    return frame.drop(extra).reset_index(drop=True)


def overwritten(frame: pd.DataFrame, column: str, value: Any, share: float = 1.0, stayed: bool = False) -> pd.DataFrame:
    """What is landed where a share of those who left (or of all who stayed) get another value of a column."""
    whose = frame.index[frame["ended"].isna() if stayed else frame["ended"].notna()]
    chosen = whose[np.random.default_rng(3).random(len(whose)) < share]
    changed = frame[column].astype(object)
    changed[chosen] = value
    return frame.assign(**{column: changed.astype(float) if column in ("mrr", "seats") else changed})


LEAKS = [
    ("mrr", None),
    ("mrr", 0.0),
    ("plan_tier", "free"),
    ("plan_tier", None),
    ("industry", "Former customer"),
    ("industry", None),
    ("industry", "n/a"),
    ("seats", None),
    ("seats", 0.0),
    ("csm_owner", None),
    ("csm_owner", "unassigned"),
]


@pytest.mark.parametrize("of_whom", [1.0, 0.5], ids=["all", "half"])
@pytest.mark.parametrize("make", [company, young])
@pytest.mark.parametrize(("column", "value"), LEAKS)
def test_what_is_written_over_when_a_customer_leaves_is_seen(
    column: str, value: Any, make: Callable[[], pd.DataFrame], of_whom: float
) -> None:
    found = leaks(overwritten(make(), column, value, of_whom), NONE, MONDAY)
    # Plan and price come from one record, and go together.
    assert set(found) == ({"mrr", "plan_tier"} if column in ("mrr", "plan_tier") else {column})


@pytest.mark.parametrize("make", [company, young])
@pytest.mark.parametrize("column", ["mrr", "plan_tier", "industry", "seats", "csm_owner"])
def test_what_is_filled_only_for_those_who_left_is_seen(column: str, make: Callable[[], pd.DataFrame]) -> None:
    found = leaks(overwritten(make(), column, None, stayed=True), NONE, MONDAY)
    assert column in found
    half = overwritten(overwritten(make(), column, None, stayed=True), column, None, share=0.5)
    assert column in leaks(half, NONE, MONDAY)


def test_a_price_that_only_those_who_left_have_is_seen_where_the_others_have_0() -> None:
    assert "mrr is not 0" in leaks(overwritten(company(), "mrr", 0.0, stayed=True), NONE, MONDAY)["mrr"]


@settings(max_examples=25)
@given(
    seed=st.integers(0, 10_000),
    size=st.sampled_from([60, 300, 1500]),
    weeks=st.sampled_from([30, 104, 300]),
    yearly=st.sampled_from([0.08, 0.25, 0.8]),
    ratio=st.sampled_from([1.0, 2.0, 3.0]),
)
def test_no_honest_industry_owner_or_plan_is_taken_for_one_that_was_written_at_the_end(
    seed: int, size: int, weeks: int, yearly: float, ratio: float
) -> None:
    """Three times the usual rate is a bad industry, a bad plan, a bad account manager."""
    times = {("industry", "retail"): ratio, ("plan_tier", "starter"): ratio, ("csm_owner", "Ada"): ratio}
    assert not leaks(company(size, weeks, yearly, seed, times), NONE, MONDAY)


def test_free_plans_that_are_left_more_often_are_signal_where_their_history_is_known_and_not_told_apart_without() -> (
    None
):
    frame = company(times={("plan_tier", "free"): 3.0})
    assert not leaks(frame, BOTH, MONDAY)
    without_history = leaks(frame, NONE, MONDAY)
    assert set(without_history) == {"mrr", "plan_tier"}


@pytest.mark.parametrize(("column", "value"), [("mrr", None), ("plan_tier", "free"), ("plan_tier", "cancelled")])
def test_where_a_history_is_recorded_what_it_has_no_row_of_is_still_looked_at(column: str, value: Any) -> None:
    """Nobody here is on the free plan to begin with. Of a fourth of the customers there is a dated row, which snapshots go by."""
    frame = company()
    frame["plan_tier"] = frame["plan_tier"].replace("free", "growth")
    dated = np.random.default_rng(4).random(len(frame)) < 0.25
    frame = frame.assign(plan_tier_dated=dated, mrr_dated=dated)
    assert not leaks(frame, BOTH, MONDAY)
    assert column in leaks(overwritten(frame, column, value), BOTH, MONDAY)
    everybody = overwritten(frame, column, value).assign(plan_tier_dated=True, mrr_dated=True)
    assert not leaks(everybody, BOTH, MONDAY)


def test_a_field_that_was_introduced_later_is_no_leak() -> None:
    """It is empty for everybody from before, and more of those have left."""
    frame = company(weeks=208)
    before = frame["signup"] < pd.Timestamp(MONDAY) - pd.Timedelta(weeks=104)
    late = frame.assign(seats=frame["seats"].where(~before), industry=frame["industry"].where(~before, None))
    empty = late["seats"].isna()
    assert empty[late["ended"].notna()].mean() > empty[late["ended"].isna()].mean() + 0.1
    assert not leaks(late, NONE, MONDAY)


def test_pilots_at_0_and_a_few_empty_cells_are_no_leak() -> None:
    frame = company()
    random = np.random.default_rng(5)
    paid = frame["plan_tier"] != "free"
    pilots = paid & (random.random(len(frame)) < np.where(frame["ended"].notna(), 0.05, 0.02))
    frame = frame.assign(
        mrr=frame["mrr"].mask(pilots, 0.0), industry=frame["industry"].mask(random.random(len(frame)) < 0.03, None)
    )
    assert not leaks(frame, NONE, MONDAY)


def test_nothing_is_said_where_nobody_left_or_all_did_or_there_is_nobody() -> None:
    frame = company(customers=200)
    assert not leaks(frame.assign(ended=pd.NaT), NONE, MONDAY)
    assert not leaks(frame.assign(ended=pd.Timestamp(MONDAY) - pd.Timedelta(days=1)), NONE, MONDAY)
    assert not leaks(frame[:0], NONE, MONDAY)


def test_a_finding_says_what_was_found_and_names_nobody() -> None:
    word = leaks(overwritten(company(), "industry", "Former customer"), NONE, MONDAY)["industry"]
    assert word.startswith("industry is 'Former customer' for 100.0% of ") and " and 0.0% of " in word
    owner = leaks(overwritten(company(), "csm_owner", "Ada Lovelace"), NONE, MONDAY)["csm_owner"]
    assert "Ada" not in owner
    assert leaks(overwritten(company(), "mrr", None), NONE, MONDAY)["mrr"].startswith("mrr is empty for 100.0% of ")


def test_what_is_made_of_a_column_that_leaks_is_taken_out_and_said_once() -> None:
    folder = REPOSITORY / "dbt_project" / "models" / "marts"
    churn = read_catalogue(folder / "mart_customer_churn_features.yml")
    growth = read_catalogue(folder / "mart_customer_expansion_features.yml")
    industry = (Leak("industry", "industry is empty"),)
    kept, (notice,) = without_leaks(churn, industry, BOTH)
    gone = set(churn.names) - set(kept.names)
    assert gone == {feature.name for feature in churn if feature.made_of == "industry"} >= {"industry", "peer_usage_7d"}
    assert all(name in notice for name in gone)
    plan = (Leak("mrr", "mrr is 0"), Leak("plan_tier", "mrr is 0"))
    kept, (notice,) = without_leaks(growth, plan, BOTH)
    assert set(growth.names) - set(kept.names) == {"mrr", "plan_tier", "mrr_tier_ceiling_pct"}
    assert notice.startswith("mrr is 0, so not trained on ")
    # Of what is not trained on anyway nothing is said.
    assert without_leaks(growth, plan, NONE) == (growth, ())
    assert without_leaks(churn, (Leak("seats", "seats are empty"),), BOTH) == (churn, ())


def landed() -> duckdb.DuckDBPyConnection:
    """Four hundred customers, of whom a hundred have left by MONDAY, and one leaves later. One has merged with another."""
    con = duckdb.connect()
    con.execute("create schema landing")
    con.execute(
        """
        create table landing.lives as
        select
            'c' || number as customer_id, 1 as life, date '2024-01-01' + (number % 300)::integer as started_on,
            date '2024-01-01' + (number % 300)::integer as active_from,
            case
                when number < 100 then date '2026-03-15' - (number * 3)::integer
                when number in (100, 101) then date '2026-03-16' - (number - 100)::integer
            end as active_until,
            if(number = 101, 'left', if(number <= 100, 'churn', null)) as end_kind,
            if(number < 100, null, 'saas') as industry, 'growth' as plan_tier, 10000 as mrr_cents
        from range(400) t(number)
        """
    )
    con.execute(
        "create table landing.customers as select customer_id, 5 as seats, 'Ada' as csm_owner from landing.lives"
    )
    con.execute(
        "create table landing.plan_history (customer_id varchar, effective_date date, from_tier varchar, to_tier varchar, "
        "from_mrr_cents bigint, to_mrr_cents bigint, known_date date, is_first boolean, shows_tiers boolean, shows_prices boolean)"
    )
    return con


def test_who_left_by_the_monday_is_compared_with_who_had_not() -> None:
    con = landed()
    frame = customers_at(con, MONDAY)
    # Whoever merged is neither, and whoever leaves on the Monday itself was still there.
    assert (len(frame), int(frame["ended"].notna().sum())) == (399, 100)
    (leak,) = columns_that_leak(con, MONDAY)
    assert leak.column == "industry" and leak.sentence.startswith("industry is empty for 100.0% of 100 customers")
    assert columns_that_leak(con, date(2024, 1, 1)) == ()


def test_what_becomes_known_later_changes_nothing() -> None:
    con = landed()
    before = customers_at(con, MONDAY)
    # As today's export shows it: two more have left, and one has another plan and price since.
    con.execute(
        "update landing.lives set active_until = '2026-03-20', end_kind = 'churn' where customer_id in ('c200', 'c201')"
    )
    con.execute("update landing.lives set plan_tier = 'free', mrr_cents = 0 where customer_id = 'c300'")
    con.execute(
        "insert into landing.plan_history values "
        "('c300', '2026-03-16', 'growth', 'free', 10000, 0, '2026-03-16', false, true, true)"
    )
    con.execute(
        "insert into landing.lives values ('new', 1, '2026-03-16', '2026-03-16', null, null, 'saas', 'free', 0)"
    )
    pd.testing.assert_frame_equal(customers_at(con, MONDAY), before)


def test_a_dated_row_says_what_snapshots_show_and_a_subscription_that_begins_with_0_does_not() -> None:
    con = landed()
    rows = [
        ("c1", "2025-01-06", None, "growth", None, 0, "2025-01-06", True, False, False),
        ("c2", "2025-01-06", None, "growth", None, 500, "2025-01-06", True, False, False),
        ("c3", "2025-01-06", "starter", "growth", None, None, "2025-01-06", False, True, False),
    ]
    con.executemany("insert into landing.plan_history values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
    frame = customers_at(con, MONDAY).set_index(
        con.execute("select customer_id from landing.lives where customer_id <> 'c101' order by 1").df()["customer_id"]
    )
    assert frame.loc[["c1", "c2", "c3", "c4"], "plan_tier_dated"].tolist() == [True, True, True, False]
    assert frame.loc[["c1", "c2", "c3", "c4"], "mrr_dated"].tolist() == [False, True, False, False]


def test_what_a_user_trusts_is_no_history() -> None:
    con = landed()
    con.execute(
        "update landing.lives set industry = 'saas', mrr_cents = if(active_until < '2026-03-16', null, mrr_cents)"
    )
    assert {leak.column for leak in columns_that_leak(con, MONDAY)} == {"mrr", "plan_tier"}


def test_fifty_thousand_customers_are_looked_at_in_no_time() -> None:
    frame = company(customers=50_000)
    start = time.process_time()
    leaks(frame, NONE, MONDAY)
    assert time.process_time() - start < 2


def snapshots(customers: pd.DataFrame, weeks: int) -> pd.DataFrame:
    """Every customer on every Monday on which they were there, with what the export of MONDAY shows of them, and whether they left within
    30 days. Whoever is about to leave is not well."""
    random = np.random.default_rng(6)
    rows = []
    for week in range(weeks):
        day = pd.Timestamp(MONDAY) - pd.Timedelta(weeks=week)
        there = customers[(customers["signup"] < day) & (customers["ended"].isna() | (customers["ended"] >= day))]
        days_left = (there["ended"] - day).dt.days
        rows.append(
            there[["industry", "plan_tier", "mrr"]].assign(
                snapshot_date=day,
                customer_id=[f"c{number:05d}" for number in there.index],
                health=random.normal(size=len(there)) - (days_left < 60),
                days_since_last_event=random.integers(1, 20, len(there)),
                label=(days_left < 30).astype(int),
            )
        )
    return pd.concat(rows, ignore_index=True)


def test_a_price_that_is_emptied_at_churn_is_taken_out_and_where_it_is_not_the_level_is_impossible() -> None:
    """Measured on a company: an AUC of 0.995, and a live mean of 0.0015 where 0.108 left."""
    customers = overwritten(company(1500, 60, yearly=0.7), "mrr", None)
    everything = snapshots(customers, 45)
    live = everything["snapshot_date"] == pd.Timestamp(MONDAY)
    closed = everything[everything["snapshot_date"] <= pd.Timestamp(TARGET.newest_closed(MONDAY))]
    by_week = closed.groupby("snapshot_date")["label"].agg(["size", "sum"])
    weeks = [WeekRate(day.date(), int(size), int(left)) for day, size, left in by_week.itertuples()]
    rates = Rates(TARGET, tuple(weeks), int(closed.loc[closed["label"] == 1, "customer_id"].nunique()))

    def trained(catalogue: Catalogue) -> tuple[float, Judgement]:
        quick = Recipe(eta=0.1, min_trees=40, max_trees=60)
        result = fit(TARGET, everything, MONDAY, catalogue, SETTINGS, BOTH, recipe=quick)
        assert result.judged is not None
        mean = float(result.model.probability(everything[live]).mean())
        return result.judged.metrics["auc"].value, judge(mean, rates).judgement

    auc, judgement = trained(CATALOGUE)
    assert auc > 0.99
    assert judgement == "impossible"
    found = tuple(Leak(column, sentence) for column, sentence in leaks(customers, NONE, MONDAY).items())
    kept, notices = without_leaks(CATALOGUE, found, BOTH)
    assert len(notices) == 1 and "not trained on" in notices[0]
    auc, judgement = trained(kept)
    assert auc < 0.85
    assert judgement == "ok"
