"""The team's calls: whom they reach, what they do, and that a company without them is what it was before there were any."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, time
from functools import cache
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from churn_pipeline.simulate import Company, Shock, Simulation, simulate
from churn_pipeline.simulate import parameters as p
from churn_pipeline.simulate.calls import Calls
from churn_pipeline.simulate.company import KINDS
from churn_pipeline.simulate.latent import HEALTH_OF_STATE
from churn_pipeline.simulate.paths import NEVER, Paths, draw_paths
from churn_pipeline.simulate.population import Population
from tests.unit.contract.landing_helpers import landed, put, quarantined
from tests.unit.simulate.simulated import SMALL, UNTIL, database

LARGE = Simulation(until=UNTIL, customers=10_000, weeks=104, seed=2)

# Of the companies below, as they were made before anybody called: every value of every table but the names, of which some look like
# formulas only with dirt since.
BEFORE_THERE_WERE_CALLS = {
    "clean": {
        "customers": "308cabd3adf73ce4",
        "plan_changes": "2e40b0a403124fcf",
        "contracts": "fc399fd5baa52bf4",
        "support_tickets": "194daa3552c474c1",
        "gtm_opportunities": "a8c0441aed18fc5e",
        "risk_signals": "30d2f468ce6cb8b6",
        "usage_events": "39a852bd06b8a71b",
    },
    "dirty": {
        "customers": "ab5f2dcd723b06b3",
        "plan_changes": "ff29dcda67d14bf2",
        "contracts": "fc399fd5baa52bf4",
        "support_tickets": "ac30d2ac436c7b3e",
        "gtm_opportunities": "c7561798410ae783",
        "risk_signals": "0c7b172ce4947331",
        "usage_events": "17d4aa3610293f50",
    },
    "shocked": {
        "customers": "62c7f7e5f63942f2",
        "plan_changes": "e08796219c8821b4",
        "contracts": "fc399fd5baa52bf4",
        "support_tickets": "194daa3552c474c1",
        "gtm_opportunities": "a8c0441aed18fc5e",
        "risk_signals": "30d2f468ce6cb8b6",
        "usage_events": "054d76d38efc4691",
    },
}

# And with a team, as it was made before there was another family.
BEFORE_THERE_WAS_ANOTHER_FAMILY = {
    "customers": "7e0c319f1e5de836",
    "plan_changes": "2e40b0a403124fcf",
    "contracts": "fc399fd5baa52bf4",
    "support_tickets": "11e110c93b8a677a",
    "gtm_opportunities": "a8c0441aed18fc5e",
    "risk_signals": "30d2f468ce6cb8b6",
    "usage_events": "39a852bd06b8a71b",
    "interventions": "71d7581f368aed7c",
}


@cache
def lives(simulation: Simulation) -> tuple[Population, Calls, Paths]:
    hazards = KINDS[simulation.family].hazards(simulation)
    return hazards.population, hazards.calls, draw_paths(simulation, hazards)


def digest(table: pa.Table) -> str:
    known = hashlib.sha256()
    for name in table.column_names:
        known.update(f"{name} {table.schema.field(name).type} {table[name].to_pylist()!r}".encode())
    return known.hexdigest()[:16]


def digests(company: Company) -> dict[str, str]:
    tables = company.tables | {"customers": company.tables["customers"].drop_columns(["company_name"])}
    return {name: digest(table) for name, table in tables.items()}


def test_with_a_team_the_company_is_bit_for_bit_what_it_was_before_there_was_another_family() -> None:
    company = simulate(Simulation(until=UNTIL, customers=60, weeks=20, seed=3, call_share=0.03))
    assert digests(company) == BEFORE_THERE_WAS_ANOTHER_FAMILY


@pytest.mark.parametrize(
    ("kind", "changes"),
    [("clean", {}), ("dirty", {"dirty": True}), ("shocked", {"shocks": (Shock("tier", 4), Shock("feed", 3))})],
)
def test_without_a_team_the_company_is_bit_for_bit_what_it_was_before_there_were_calls(
    kind: str, changes: dict[str, object]
) -> None:
    company = simulate(Simulation(until=UNTIL, customers=60, weeks=20, seed=3, call_share=0.0, **changes))
    assert digests(company) == BEFORE_THERE_WERE_CALLS[kind]
    # Nobody would be called, so what is and what would be without calls is the same.
    assert company.oracle["p_churn_90d"].equals(company.oracle["p_churn_90d_without_calls"])


def test_everybody_lives_as_without_calls_except_that_some_stay_longer() -> None:
    population, _, called = lives(LARGE)
    alone = lives(replace(LARGE, call_share=0.0))[2]
    assert not len(alone.calls)
    assert (called.churn_day >= alone.churn_day).all()
    longer = np.flatnonzero(called.churn_day > alone.churn_day)
    assert len(longer) > 50
    assert np.isin(longer, called.calls[:, 0]).all()
    # While both are there, they are in the same state.
    both = (called.state >= 0) & (alone.state >= 0)
    assert (called.state == alone.state)[both].all()
    assert population.size == LARGE.customers


def test_of_the_called_who_would_have_left_within_the_quarter_a_tenth_to_a_quarter_stays() -> None:
    called, alone = lives(LARGE)[2], lives(replace(LARGE, call_share=0.0))[2]
    who, first = np.unique(called.calls[:, 0], return_index=True)
    day = called.calls[first, 1]
    whole = day < LARGE.last_day - 98
    who, day = who[whole], day[whole]
    would_leave = alone.churn_day[who] < day + 98
    stays = called.churn_day[who] >= day + 98
    assert would_leave.sum() > 500
    assert 0.10 < stays[would_leave].mean() < 0.25
    # Modest for the company: it keeps a few percent of those who left.
    kept = 1 - (called.churn_day < NEVER).sum() / (alone.churn_day < NEVER).sum()
    assert 0.01 < kept < 0.05


@pytest.mark.parametrize("share", [0.005, p.CALL_SHARE, 0.02])
def test_a_week_has_about_the_planned_calls_however_large_the_book(share: float) -> None:
    for customers in (1_500, 10_000):
        simulation = replace(LARGE, customers=customers, call_share=share)
        paths = lives(simulation)[2]
        book = (paths.state[p.RUN_IN_WEEKS : -1] >= 0).sum()
        made = (paths.calls[:, 1] >= simulation.first_day + 7 * p.RUN_IN_WEEKS).sum()
        assert 0.75 < made / book / share < 1.25


def test_the_team_calls_large_accounts_whose_use_fell_and_nobody_who_pays_nothing() -> None:
    population, _, paths = lives(LARGE)
    who, day = paths.calls.T
    mrr = population.mrr_by_tier[np.arange(population.size), population.tier]
    assert mrr[who].min() > 0
    assert mrr[who].mean() > 1.5 * mrr[mrr > 0].mean()
    health = HEALTH_OF_STATE[paths.state[(day - LARGE.first_day) // 7, who]]
    everybody = HEALTH_OF_STATE[paths.state[paths.state >= 0]]
    assert health.mean() < everybody.mean() - 0.5


def test_nobody_is_called_twice_in_a_quarter_nor_after_they_have_gone() -> None:
    _, _, paths = lives(LARGE)
    who, day = paths.calls.T
    assert (day < paths.gone_day[who]).all()
    week = (day - LARGE.first_day) // 7
    order = np.lexsort((week, who))
    again = np.diff(who[order]) == 0
    assert again.sum() > 100
    assert np.diff(week[order])[again].min() == 13
    # The clock that the oracle reads says the same.
    assert (paths.since_call[week + 1, who][paths.state[week + 1, who] >= 0] == 1).all()


def test_a_call_works_from_the_next_week_on_for_thirteen_weeks() -> None:
    """Somebody whom a call keeps for certain leaves in the week of the call or more than 13 weeks after it."""
    simulation = replace(LARGE, customers=4_000)
    hazards = KINDS[simulation.family].hazards(simulation)
    certain = replace(hazards.calls, persuadability=np.full(simulation.customers, 1 - 1e-12))
    paths = draw_paths(simulation, replace(hazards, calls=certain))
    last = dict(paths.calls.tolist())
    gone = [(who, paths.churn_day[who]) for who in last if paths.churn_day[who] < NEVER]
    weeks = np.array(
        [(int(day) - simulation.first_day) // 7 - (last[who] - simulation.first_day) // 7 for who, day in gone]
    )
    assert set(weeks) & set(range(1, 14)) == set()
    assert 0 in weeks and 14 in weeks


def test_a_call_is_made_in_office_hours_by_the_customers_own_manager_and_a_pause_is_noted_where_one_was_asked_for(
    small: Company,
) -> None:
    con = database(small)
    calls, odd, paused, asked = con.execute(
        """select count(*), count(*) filter (isodow("at") > 5 or hour("at") not between 9 and 16 or owner <> csm_owner),
                  count(snooze_until), count(*) filter (outcome = 'wants to be left alone for now')
           from interventions join customers using (customer_id)"""
    ).fetchone()
    assert calls > 100
    assert odd == 0
    assert 0 < paused == asked < 0.2 * calls
    assert con.execute('select min(snooze_until - "at"::date) >= 21 from interventions').fetchone()[0]


def test_nothing_that_is_written_down_of_a_call_tells_who_can_be_persuaded(small: Company) -> None:
    persuadability = lives(SMALL)[1].persuadability
    who = np.array([int(name[1:]) - 1 for name in small.tables["interventions"]["customer_id"].to_pylist()])
    for column in ("kind", "outcome"):
        words = np.array(small.tables["interventions"][column].to_pylist())
        for word in set(words):
            part = persuadability[who[words == word]]
            error = persuadability.std() / np.sqrt(len(part))
            assert abs(part.mean() - persuadability[who].mean()) < 3.5 * error


def test_every_call_lands_by_the_contract(small: Company, tmp_path: Path) -> None:
    for name in ("customers", "interventions"):
        pq.write_table(small.tables[name], tmp_path / f"{name}.parquet")
    with duckdb.connect() as con:
        put(con, tmp_path, now=datetime.combine(UNTIL, time(12), UTC))
        assert quarantined(con) == []
        kept = 'intervention_id, customer_id, "at", kind, owner, outcome, snooze_until'
        calls = database(small).execute(f"select {kept} from interventions order by all").fetchall()
        assert landed(con, "interventions", kept) == calls
