"""The oracle is exact, and the company it belongs to is believable: risky enough, not separable, growing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from functools import cache

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from churn_pipeline.simulate import Shock, Simulation
from churn_pipeline.simulate import parameters as p
from churn_pipeline.simulate.calls import LONG_AGO, Calls
from churn_pipeline.simulate.company import KINDS
from churn_pipeline.simulate.dynamics import HIGHEST_TIER, Hazards
from churn_pipeline.simulate.latent import HealthHazards
from churn_pipeline.simulate.oracle import probabilities
from churn_pipeline.simulate.paths import Paths, draw_paths
from churn_pipeline.simulate.population import Population
from churn_pipeline.simulate.simulation import FAMILIES
from churn_pipeline.simulate.terms import parameters as t

UNTIL = date(2026, 11, 2)
Rings = Callable[[int], np.ndarray]


def lives_of(simulation: Simulation) -> Paths:
    return draw_paths(simulation, hazards_of(simulation))


def hazards_of(simulation: Simulation) -> Hazards:
    return KINDS[simulation.family].hazards(simulation)


def z_state(health: float, incident: bool) -> int:
    index = round((health + p.HEALTH_LIMIT) / (2 * p.HEALTH_LIMIT) * (p.HEALTH_POINTS - 1))
    return index + incident * p.HEALTH_POINTS


def copies(population: Population, who: int, count: int) -> Population:
    """One customer many times over, all in the first book."""
    fields = {
        name: [value[who]] * count if isinstance(value, list) else np.repeat(value[who : who + 1], count, axis=0)
        for name, value in vars(population).items()
    }
    return replace(population, **fields)


def by_hand(
    hazards: Hazards, who: int, week: int, state: int, readiness: int, since_call: int, horizon: int, rings: Rings
) -> tuple[float, float]:
    """Churn and upgrade probability within a horizon, backwards over the joint chain of the weeks since the last call, readiness and state.

    Another derivation than the oracle's: value functions instead of masses, a clock of every week since the last call instead of who was
    called since S, one dense matrix instead of two, one day count at a time, double precision.

    Args:
        rings: the probability of a call by the week after S and state, shape (states,); who may be called is decided here.
    """
    customer, chains = np.array([who]), hazards.chains
    joint = np.kron(chains.ready_move, chains.move)
    churned, upgraded = np.zeros((2, LONG_AGO + 1, chains.levels * chains.states))
    for step in reversed(range(-(-horizon // 7))):
        days = min(7, horizon - 7 * step)
        upgrade = chains.upgrade.ravel() * hazards.upgrade_factor(customer, week + step)[0]
        was_churned, was_upgraded = churned.copy(), upgraded.copy()
        for since in range(1, LONG_AGO + 1):
            shift = hazards.churn_shift(customer, week + step)[0]
            if since <= 13:
                shift += np.log(1 - hazards.calls.persuadability[who])
            churn = np.tile(1 - np.exp(-np.exp(chains.log_hazard + shift)), chains.levels)
            stay = (1 - churn) * (1 - chains.leave)
            call = np.tile(rings(step), chains.levels) * (since >= 13)
            later = min(since + 1, LONG_AGO)
            churned_later, upgraded_later = (
                call * (joint @ value[1]) + (1 - call) * (joint @ value[later]) for value in (was_churned, was_upgraded)
            )
            churned[since] = churn * sum(chains.churn_weekdays[:days]) + stay * churned_later
            upgraded[since] = stay * (upgrade * sum(chains.plan_weekdays[:days]) + (1 - upgrade) * upgraded_later)
    index = readiness * chains.states + state
    return churned[since_call, index], upgraded[since_call, index]


# Customers, one of whom pays nothing; states with readiness, from the worst on.
MANY_CALLS = Simulation(until=UNTIL, customers=300, weeks=30, seed=4, call_share=0.03)
MET = {
    "health": ((3, 60, 140), ((z_state(-2.5, True), 0), (z_state(-1.0, False), 4), (z_state(0.5, True), 2), (z_state(2.0, False), 3))),
    "terms": ((3, 78, 18), ((11, 0), (2, 2), (18, 1), (9, 2))),
}  # fmt: skip


# The last call was never, just long enough ago for another one, or goes on working for some or for most weeks of the horizon.
@pytest.mark.parametrize("since_call", [LONG_AGO, 13, 9, 1])
@pytest.mark.parametrize(
    ("family", "state", "readiness"), [(family, *start) for family, (_, starts) in MET.items() for start in starts]
)
def test_the_oracle_equals_a_backward_recursion_over_the_joint_chain(
    family: str, state: int, readiness: int, since_call: int
) -> None:
    simulation = replace(MANY_CALLS, family=family)
    drawn = hazards_of(simulation)
    calls = replace(drawn.calls, persuadability=np.full(simulation.customers, 0.6))
    hazards = replace(drawn, calls=calls)
    for who, week in zip(MET[family][0], (0, 11, simulation.total_weeks), strict=True):
        policies = {
            "usual": lambda _, who=who: hazards.call_probability(np.array([who]))[0],
            "none": lambda _: np.zeros(hazards.chains.states),
            "one": lambda step: np.full(hazards.chains.states, float(step == 0)),
        }
        where = (hazards, who, week, state, readiness, since_call)
        churn_30, _ = by_hand(*where, 30, policies["usual"])
        churn_90, upgrade_90 = by_hand(*where, 90, policies["usual"])
        without, with_one = (by_hand(*where, 90, policies[name])[0] for name in ("none", "one"))
        computed = probabilities(
            hazards, np.array([who]), week, *(np.array([x]) for x in (state, readiness, 1, since_call))
        )[0]
        assert computed == pytest.approx([churn_30, churn_90, upgrade_90, without, with_one], abs=1e-5)
        assert with_one <= without


@pytest.mark.parametrize("family", FAMILIES)
def test_the_recursion_by_hand_meets_customers_whom_the_team_calls_and_one_whom_it_never_does(family: str) -> None:
    reach = hazards_of(replace(MANY_CALLS, family=family)).calls.reach[list(MET[family][0])]
    assert sorted(reach > 0) == [False, True, True]


@pytest.mark.parametrize(
    ("health", "incident", "readiness", "who"), [(-2.0, True, 1, 5), (-0.75, False, 4, 200), (1.0, False, 3, 77)]
)
def test_many_lives_from_one_state_end_as_often_as_the_oracle_says(
    health: float, incident: bool, readiness: int, who: int
) -> None:
    simulation = Simulation(until=UNTIL, customers=40_000, weeks=1, seed=9)
    original = hazards_of(replace(simulation, customers=500)).population
    people = copies(original, who, simulation.customers)
    people = replace(people, entry_week=np.zeros(people.size, dtype=np.int64), tier=np.full(people.size, 2))
    state, first = z_state(health, incident), simulation.first_day
    team = Calls(reach=np.full(people.size, 0.5), persuadability=np.full(people.size, 0.7))
    # A team that reaches everybody at once calls nobody again within the quarter: one call, in the first week.
    happened = []
    for reach in (0.5, 0.0, np.inf):
        lives = draw_paths(
            simulation,
            HealthHazards(people, first, replace(team, reach=np.full(people.size, reach))),
            start=lambda _: (np.full(people.size, state), np.full(people.size, readiness)),
        )
        if reach == 0.5:
            upgrades = lives.changes[
                (lives.changes[:, 3] > lives.changes[:, 2]) & (lives.changes[:, 1] < first + 90), 0
            ]
            happened += [(lives.churn_day < first + 30).mean()]
            happened += [(lives.churn_day < first + 90).mean(), len(np.unique(upgrades)) / people.size]
        else:
            happened += [(lives.churn_day < first + 90).mean()]
    true = probabilities(
        HealthHazards(people, first, team), np.array([0]), 0, *(np.array([x]) for x in (state, readiness, 2, LONG_AGO))
    )[0]
    assert true[4] < true[1] < true[3], "a call helps, and the team calls some"
    error = np.sqrt(true * (1 - true) / people.size)
    assert np.abs(happened - true).max() < 0.01
    assert (np.abs(happened - true) < 4 * error).all(), (happened, true)


@pytest.mark.parametrize("family", FAMILIES)
def test_chains_are_chains(family: str) -> None:
    hazards = hazards_of(replace(MANY_CALLS, family=family))
    chains = hazards.chains
    for matrix in (
        chains.move,
        chains.ready_move,
        *(row[None, :] for row in (chains.entry, chains.book, chains.ready_start)),
    ):
        assert matrix.min() >= 0
        np.testing.assert_allclose(matrix.sum(axis=1), 1.0)
    np.testing.assert_allclose(chains.ready_start @ chains.ready_move, chains.ready_start, atol=1e-12)
    assert chains.standing @ chains.book == pytest.approx(0.0, abs=0.5)
    everybody = np.arange(hazards.population.size)
    factors = [hazards.upgrade_factor(everybody, week).max() for week in range(53)]
    assert chains.upgrade.max() * max(factors) < 1


def test_parameters_that_are_shares_add_up() -> None:
    for shares in (
        p.SIGNUP_WEEKDAYS, p.TIER_SHARES, p.INDUSTRY_SHARES, p.TERM_SHARES, p.CHURN_WEEKDAYS, p.PLAN_CHANGE_WEEKDAYS, p.USAGE_SHARES,
        p.USAGE_WEEKDAYS, p.TICKET_PRIORITIES, p.TICKET_TOPICS, p.INCIDENT_TICKET_PRIORITIES, p.INCIDENT_TICKET_TOPICS,
        t.GROWTH.weekdays, t.TIER_SHARES, t.INDUSTRY_SHARES, t.FIRST_TERM_SHARES, t.RENEWAL_SHARES, t.ACTIVITY_DROP_TO, t.CHURN_WEEKDAYS,
        t.PLAN_CHANGE_WEEKDAYS, *t.VISITS_BY_WEEKDAY, t.EVENT_SHARES, t.EVENT_SHARES_CONNECTED, t.TICKET_PRIORITIES, t.TICKET_TOPICS,
        t.PROBLEM_PRIORITIES, t.PROBLEM_TOPICS, t.TICKET_WEEKDAYS,
    ):  # fmt: skip
        assert sum(shares) == pytest.approx(1.0)


# Columns of the judged rows.
MONDAY, WHO, CHURNED_30, CHURNED_90, UPGRADED_90, P_30, P_90, P_UP, TIER = range(9)


@cache
def judged(seed: int, family: str) -> np.ndarray:
    """What came true and what the oracle had said, every third Monday whose 90 days are over, for 10,000 customers and 104 weeks."""
    simulation = Simulation(until=UNTIL, seed=seed, family=family)
    hazards = hazards_of(simulation)
    lives = draw_paths(simulation, hazards)
    ups = lives.changes[lives.changes[:, 3] > lives.changes[:, 2]]
    rows = []
    for week in range(p.RUN_IN_WEEKS, simulation.total_weeks - 12, 3):
        day = simulation.first_day + 7 * week
        who = np.flatnonzero(lives.state[week] >= 0)
        tier = lives.tier[week, who].astype(np.int64)
        forecasts = probabilities(hazards, who, week, *lives.at_monday(week, who))[:, :3]
        upgraded = np.isin(who, ups[(ups[:, 1] >= day) & (ups[:, 1] < day + 90), 0]) & (tier < HIGHEST_TIER)
        gone = lives.churn_day[who]
        rows.append(
            np.column_stack([np.full(len(who), day), who, gone < day + 30, gone < day + 90, upgraded, forecasts, tier])
        )
    return np.concatenate(rows)


@pytest.mark.parametrize(("family", "seed"), [("health", 7), ("health", 21), ("terms", 7)])
@pytest.mark.parametrize(("outcome", "forecast"), [(CHURNED_30, P_30), (CHURNED_90, P_90), (UPGRADED_90, P_UP)])
def test_the_oracles_mean_is_the_base_rate_within_sampling_error(
    family: str, seed: int, outcome: int, forecast: int
) -> None:
    rows = judged(seed, family)
    # Rows of one customer are dependent: the error of the mean comes from sums over customers.
    surprise = np.bincount(rows[:, WHO].astype(int), rows[:, outcome] - rows[:, forecast])
    standard_error = np.sqrt((surprise**2).sum())
    assert abs(surprise.sum()) < 3.5 * standard_error


@pytest.mark.parametrize("seed", [7, 21])
def test_churn_is_frequent_enough_to_learn_and_not_separable(seed: int) -> None:
    rows = judged(seed, FAMILIES[0])
    assert 0.03 < rows[:, CHURNED_30].mean() < 0.06
    assert 0.80 < roc_auc_score(rows[:, CHURNED_30], rows[:, P_30]) < 0.87
    assert 0.77 < roc_auc_score(rows[:, CHURNED_90], rows[:, P_90]) < 0.86


@pytest.mark.parametrize("seed", [7, 21])
def test_the_probabilities_fill_every_tier_and_every_step_of_readiness(seed: int) -> None:
    rows = judged(seed, FAMILIES[0])
    tiers = np.histogram(rows[:, P_90], [0, 0.25, 0.5, 0.75, 1])[0] / len(rows)
    assert tiers.min() > 0.003
    readiness = np.histogram(rows[rows[:, TIER] < HIGHEST_TIER, P_UP], [0, 0.15, 0.35, 1])[0] / len(rows)
    assert readiness.min() > 0.01
    assert (rows[:, P_90] >= rows[:, P_30]).all()
    assert (rows[rows[:, TIER] == HIGHEST_TIER, P_UP] == 0).all()


def test_among_rows_that_the_oracle_gives_ten_percent_ten_percent_churn() -> None:
    rows = np.concatenate([judged(7, FAMILIES[0]), judged(21, FAMILIES[0])])
    edges = np.quantile(rows[:, P_90], np.linspace(0, 1, 11)[1:-1])
    bins = np.digitize(rows[:, P_90], edges)
    for decile in range(10):
        part = rows[bins == decile]
        assert part[:, CHURNED_90].mean() == pytest.approx(part[:, P_90].mean(), abs=0.02)


def test_churn_falls_on_weekdays_as_often_as_declared() -> None:
    simulation = Simulation(until=UNTIL, seed=1)
    lives = lives_of(simulation)
    days = lives.churn_day[lives.churn_day < simulation.last_day]
    share = np.bincount((days - simulation.first_day) % 7, minlength=7) / len(days)
    np.testing.assert_allclose(share, p.CHURN_WEEKDAYS, atol=0.025)


def test_a_tier_shock_alters_no_churn_probability() -> None:
    simulation = Simulation(until=UNTIL, customers=800, weeks=20, seed=2)
    plain, shocked = (lives_of(s) for s in (simulation, replace(simulation, shocks=(Shock("tier", 8),))))
    assert (plain.churn_day == shocked.churn_day).all()
    assert (plain.state == shocked.state).all()
    assert not (plain.tier == shocked.tier).all()


def test_behaviour_in_the_week_of_an_upgrade_is_not_yet_that_of_a_customer_who_has_upgraded() -> None:
    simulation = Simulation(until=UNTIL, customers=2_000, weeks=40, seed=6)
    lives = lives_of(simulation)
    who, day, _, _ = lives.changes[lives.changes[:, 3] > lives.changes[:, 2]].T
    week = (day - simulation.first_day) // 7
    assert lives.shown_readiness[week, who].mean() > 2
    assert set(np.unique(lives.readiness[week + 1, who])) == {0}
