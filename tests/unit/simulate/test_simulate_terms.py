"""The family ``terms`` is another world: same format, same oracle, other hazards, other habits, other exports."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time
from pathlib import Path

import duckdb
import numpy as np
import pytest

from churn_pipeline.simulate import FAMILIES, Company, Simulation, simulate, write
from churn_pipeline.simulate.company import KINDS
from churn_pipeline.simulate.judge import read_books, verdict
from churn_pipeline.simulate.paths import draw_paths
from churn_pipeline.simulate.terms import LAST_MEASUREMENT
from churn_pipeline.simulate.terms import parameters as t
from tests.unit.contract.landing_helpers import put, quarantined
from tests.unit.simulate.simulated import BILLED, TERMS, UNTIL, database


def test_every_family_that_can_be_asked_for_can_be_made() -> None:
    assert set(KINDS) == set(FAMILIES)


def test_the_same_seed_gives_the_same_company_and_no_draw_of_the_other_family(terms: Company) -> None:
    again = simulate(TERMS)
    assert again.oracle.equals(terms.oracle)
    assert all(again.tables[name].equals(table) for name, table in terms.tables.items())
    streams = [replace(TERMS, family=family).generator("population").random(8).tolist() for family in FAMILIES]
    assert streams[0] != streams[1]


def test_it_exports_less_than_the_other_family_and_one_seed_in_four_a_billing_system(
    small: Company, terms: Company, billed: Company
) -> None:
    assert set(small.tables) - set(terms.tables) == {"risk_signals"}
    assert set(terms.tables) ^ set(billed.tables) == {"plan_changes", "subscriptions"}
    for name, table in terms.tables.items():
        missing = set(small.tables[name].column_names) - set(table.column_names)
        assert missing == set(t.ABSENT.get(name, ())), name
        assert set(table.column_names) <= set(small.tables[name].column_names)
    assert {seed % t.BILLING_EVERY == t.BILLING_REST for seed in LAST_MEASUREMENT} == {True, False}


@pytest.mark.parametrize("make", ["terms", "billed"])
def test_the_contract_accepts_it_without_a_bad_row(make: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    company = request.getfixturevalue(make)
    write(company, tmp_path)
    with duckdb.connect() as con:
        put(con, tmp_path / "raw", now=datetime.combine(UNTIL, time(12), UTC), max_bad_share=0.0)
        assert quarantined(con) == []
        active = con.execute(
            "select count(*) from landing.lives where active_from < $1 and coalesce(ended_on >= $1, true)", [UNTIL]
        ).fetchone()
    assert (
        active == database(company).execute("select count(*) from oracle where snapshot_date = ?", [UNTIL]).fetchone()
    )


def test_subscriptions_tell_the_same_lives_as_the_customers(billed: Company) -> None:
    con = database(billed)
    rows, wrong, changes = con.execute(
        """
        with lives as (
            select customer_id, min(started_at) as began, nullif(max(coalesce(ended_at, date '9999-01-01')), date '9999-01-01') as ended,
                max_by(plan_tier, started_at) as tier, max_by(mrr, started_at) as price, bool_or(end_reason = 'merged') as merged,
                count(*) as spells
            from subscriptions group by customer_id
        )
        select count(*), count(*) filter (
            began <> signup_date or ended is distinct from coalesce(churn_date, censor_date) or tier <> plan_tier or price <> mrr
            or coalesce(merged, false) <> (censor_date is not null)
        ), sum(spells) - count(*)
        from customers join lives using (customer_id)"""
    ).fetchone()
    assert (rows, wrong) == (BILLED.customers, 0)
    assert changes > 50
    gaps = con.execute(
        """select count(*) from (select ended_at, lead(started_at) over (partition by customer_id order by started_at) as next_start
           from subscriptions) where next_start is not null and next_start is distinct from ended_at"""
    ).fetchone()
    assert gaps == (0,)


def test_whoever_is_bound_leaves_when_the_term_ends_and_the_others_on_any_day(terms: Company) -> None:
    at_the_end, bound = (
        database(terms)
        .execute(
            """select count(*) filter (churn_date between end_date - 7 and end_date + 7), count(*)
               from customers join contracts using (customer_id)
               where churn_date between start_date and end_date + 1"""
        )
        .fetchone()
    )
    assert bound > 50
    assert at_the_end / bound > 0.5


def test_later_terms_have_another_length_than_the_first(terms: Company) -> None:
    lengths = (
        database(terms)
        .execute(
            """select distinct end_date - start_date + 1 as days, start_date - signup_date < 60 as is_first
               from contracts join customers using (customer_id) order by all"""
        )
        .fetchall()
    )
    assert {days for days, is_first in lengths if is_first} == set(t.FIRST_TERM_DAYS)
    assert {days for days, is_first in lengths if not is_first} >= set(t.RENEWAL_DAYS)


def test_use_is_rare_comes_in_visits_and_keeps_the_weekdays_of_the_industry(terms: Company) -> None:
    con = database(terms)
    weekly, in_visits = con.execute(
        """select count(*) / (select count(*) / 41 * 53 from oracle),
                  (select avg((events > 1)::int) from (select count(*) as events from usage_events group by customer_id, timestamp::date))
           from usage_events"""
    ).fetchone()
    assert 1 < weekly < 6
    assert in_visits > 0.4
    weekend = dict(
        con.execute(
            "select industry, avg((isodow(timestamp) > 5)::int) from usage_events join customers using (customer_id) group by industry"
        ).fetchall()
    )
    assert weekend["hospitality"] > 0.25
    assert weekend["education"] < 0.06


def test_summer_empties_the_schools_and_fills_the_hotels() -> None:
    company = simulate(Simulation(until=UNTIL, customers=1_200, weeks=40, seed=6, family="terms", call_share=0.0))
    share = dict(
        database(company)
        .execute(
            """select industry, count(*) filter (month(timestamp) in (7, 8)) / count(*) filter (month(timestamp) in (4, 5))
               from usage_events join customers using (customer_id) group by industry"""
        )
        .fetchall()
    )
    assert share["education"] < 0.4 < 1.1 < share["hospitality"]


def test_activity_mostly_stays_and_sometimes_falls_at_once() -> None:
    simulation = replace(TERMS, customers=2_000, call_share=0.0)
    lives = draw_paths(simulation, KINDS["terms"].hazards(simulation))
    before, after = lives.state[:-1].astype(int), lives.state[1:].astype(int)
    there = (before >= 0) & (after >= 0)
    steps = (after % t.ACTIVITY_LEVELS - before % t.ACTIVITY_LEVELS)[there]
    assert 0.85 < (steps == 0).mean() < 0.97
    assert 0.002 < (steps <= -3).mean() < 0.02


def test_the_judge_of_call_lists_reads_its_oracle(terms: Company, tmp_path: Path) -> None:
    write(terms, tmp_path)
    with duckdb.connect() as con:
        con.execute(
            f"""copy (
                select snapshot_date, customer_id, 12 * mrr as annual_revenue, p_churn_90d as churn_probability_90d,
                    row_number() over (order by p_churn_90d * mrr desc) as priority_rank
                from '{tmp_path}/oracle.parquet' join '{tmp_path}/raw/customers.parquet' using (customer_id)
                where snapshot_date = '{UNTIL}'
            ) to '{tmp_path}/2026-11-02.parquet'"""
        )
    (book,) = read_books([tmp_path / "2026-11-02.parquet"], tmp_path / "oracle.parquet")
    judged = verdict(book, 40)
    assert 0 < judged.chance < judged.revenue_at_risk <= judged.best


def test_calls_are_about_as_many_as_planned_and_some_stay_for_them() -> None:
    simulation = replace(TERMS, customers=4_000, weeks=60)
    called, alone = (
        draw_paths(request, KINDS["terms"].hazards(request))
        for request in (simulation, replace(simulation, call_share=0.0))
    )
    book = (called.state[13:-1] >= 0).sum()
    made = (called.calls[:, 1] >= simulation.first_day + 7 * 13).sum()
    assert 0.7 < made / book / simulation.call_share < 1.3
    assert (called.churn_day >= alone.churn_day).all()
    assert np.flatnonzero(called.churn_day > alone.churn_day).size > 10
