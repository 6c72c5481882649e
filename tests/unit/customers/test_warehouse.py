"""The warehouse as of any Monday says what the feature marts say, and nothing of what became known later."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from churn_pipeline.core.calendar import WEEK
from churn_pipeline.core.errors import InputError, RefusedError
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.warehouse import connect
from churn_pipeline.customers import use_cases
from churn_pipeline.customers.entities import COMPLIANCE_GAP, VENDOR_FLAGS, Customer
from churn_pipeline.customers.errors import ChurnedError, UnknownCustomerError
from churn_pipeline.customers.repositories import AsOf
from churn_pipeline.customers.risk_score import RiskWeights
from churn_pipeline.customers.stores.warehouse import as_of
from tests.conftest import MONDAY, TINY_BEFORE, TINY_MONDAY
from tests.unit.contract.landing_helpers import company, put, row

WEIGHTS = RiskWeights(0.50, 0.35, 0.15, 5)
# Who is asked one by one, where everybody would take long.
ASKED = 20

_MART = """
select
    customer_id, churn.tenure_days, churn.is_early_stage, churn.known_plan_tier, churn.known_mrr, churn.industry, churn.events_last_7d, churn.events_prior_21d,
    churn.events_last_30d, churn.known_compliance_gap_score, churn.known_vendor_risk_flags, growth.has_open_expansion_opp
from marts.mart_customer_churn_features as churn
left join marts.mart_customer_expansion_features as growth using (snapshot_date, customer_id)
where churn.snapshot_date = ? order by customer_id
"""


@pytest.fixture(scope="module")
def warehouse(tiny_home: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    with connect(tiny_home) as con:
        yield con


@pytest.fixture(scope="module")
def large(scored_home: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """Months of facts lie in it that the Monday does not know."""
    with connect(scored_home) as con:
        yield con


def _rows(con: duckdb.DuckDBPyConnection, monday: date) -> dict[str, dict[str, Any]]:
    cursor = con.execute(_MART, [monday])
    names = [column[0] for column in cursor.description]
    return {row[0]: dict(zip(names, row, strict=True)) for row in cursor.fetchall()}


def _is_of(customer: Customer, row: dict[str, Any], monday: date) -> None:
    assert customer.is_active(monday)
    assert customer.tenure_days(monday) == row["tenure_days"]
    assert customer.is_early_stage(monday) == row["is_early_stage"]
    assert (customer.plan_tier, customer.mrr, customer.industry) == (
        row["known_plan_tier"],
        row["known_mrr"],
        row["industry"],
    )


def _facts_are_of(known: AsOf, customer_id: str, row: dict[str, Any]) -> None:
    assert known.usage.count(customer_id, 30) == row["events_last_30d"]
    # Whoever is on the highest plan is in no mart of growth.
    if row["has_open_expansion_opp"] is not None:
        of_growth = [o for o in known.opportunities.of(customer_id) if o.opportunity_type == "expansion"]
        assert any(opportunity.is_open for opportunity in of_growth) == row["has_open_expansion_opp"]


def _signals_are_of(known: AsOf, customer_id: str, row: dict[str, Any]) -> None:
    assert known.usage.count(customer_id, 7) == row["events_last_7d"]
    assert known.usage.count(customer_id, 21, until_days_ago=7) == row["events_prior_21d"]
    signals = known.signals.of(customer_id)
    assert signals.compliance_gap_score == (row["known_compliance_gap_score"] or 0)
    assert signals.vendor_risk_flags == (row["known_vendor_risk_flags"] or 0)
    assert (COMPLIANCE_GAP in signals.missing) == (row["known_compliance_gap_score"] is None)
    assert (VENDOR_FLAGS in signals.missing) == (row["known_vendor_risk_flags"] is None)


def test_every_active_customer_of_the_monday_is_as_in_the_marts(warehouse: duckdb.DuckDBPyConnection) -> None:
    known, rows = as_of(warehouse, TINY_BEFORE, "UTC"), _rows(warehouse, TINY_BEFORE)
    active = list(known.customers.active())
    assert [customer.customer_id for customer in active] == list(rows)
    assert len(rows) > 500
    assert {row["has_open_expansion_opp"] for row in rows.values()} >= {True, False}
    for customer in active:
        _is_of(customer, rows[customer.customer_id], TINY_BEFORE)
        _facts_are_of(known, customer.customer_id, rows[customer.customer_id])
    for customer in known.customers.sample(5 * ASKED, seed=0):
        _signals_are_of(known, customer.customer_id, rows[customer.customer_id])


@pytest.mark.parametrize("weeks_ago", [0, 1, 13, 60])
def test_it_is_as_in_the_marts_on_any_monday_though_later_facts_are_there(
    large: duckdb.DuckDBPyConnection, weeks_ago: int
) -> None:
    monday = MONDAY - weeks_ago * WEEK
    known, rows = as_of(large, monday, "UTC"), _rows(large, monday)
    active = list(known.customers.active())
    assert [customer.customer_id for customer in active] == list(rows)
    for customer in active:
        _is_of(customer, rows[customer.customer_id], monday)
    for customer in known.customers.sample(ASKED, seed=weeks_ago):
        assert known.customers.by_id(customer.customer_id) == customer
        _facts_are_of(known, customer.customer_id, rows[customer.customer_id])
        _signals_are_of(known, customer.customer_id, rows[customer.customer_id])


def test_some_of_them_had_another_plan_and_price_than_today(large: duckdb.DuckDBPyConnection) -> None:
    then = {c.customer_id: (c.plan_tier, c.mrr) for c in as_of(large, MONDAY - 60 * WEEK, "UTC").customers.active()}
    later = {c.customer_id: (c.plan_tier, c.mrr) for c in as_of(large, MONDAY, "UTC").customers.active()}
    both = then.keys() & later.keys()
    assert sum(then[customer][0] != later[customer][0] for customer in both) > 50


def _everything(con: duckdb.DuckDBPyConnection, monday: date) -> list[object]:
    """All that can be asked of a Monday, of some who are active and some who left."""
    known = as_of(con, monday, "UTC")
    ids = [row[0] for row in con.execute("select customer_id from landing.customers order by 1").fetchall()]
    active = list(known.customers.active())
    # The marts' truncation test is about everything that feeds a model; names and owners are today's on purpose.
    asked = [customer.customer_id for customer in known.customers.sample(ASKED, seed=1)]
    gone = [customer_id for customer_id in ids if customer_id not in {customer.customer_id for customer in active}]
    return [
        active,
        asked,
        [known.customers.by_id(customer_id) for customer_id in gone[:ASKED]],
        *(
            (
                known.usage.events(customer_id, datetime.combine(monday - timedelta(40), time())),
                known.signals.of(customer_id),
                known.opportunities.of(customer_id),
                use_cases.risk_score(known, customer_id, WEIGHTS),
            )
            for customer_id in asked
        ),
    ]


def test_what_is_dated_on_the_monday_or_later_changes_nothing(tiny_home: Settings, tiny_two_mondays: Settings) -> None:
    # The one warehouse ends at the Monday, the other goes on for a week.
    with connect(tiny_home) as early, connect(tiny_two_mondays) as late:
        for table in ("usage_events", "risk_signals", "lives"):
            (before,), (after,) = (
                con.execute(f"select count(*) from landing.{table}").fetchall()[0] for con in (early, late)
            )
            assert after > before
        assert _everything(early, TINY_BEFORE) == _everything(late, TINY_BEFORE)
        assert _everything(late, TINY_MONDAY) != _everything(late, TINY_BEFORE)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Callable[..., AsOf]]:
    """Lands tables in a warehouse of its own, on the Wednesday after TINY_MONDAY, and gives what was known at TINY_BEFORE."""
    with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as con:

        def make(now: datetime = datetime(2026, 6, 10, 12, tzinfo=UTC), **tables: list[dict[str, Any]]) -> AsOf:
            put(con, company(tmp_path / "raw", **{"customers": [customer()], **tables}), now=now)
            return as_of(con, TINY_BEFORE, "UTC")

        yield make


def customer(customer_id: str = "C1", **changes: Any) -> dict[str, Any]:
    return row("customers", customer_id=customer_id, signup_date="2025-01-10", **changes)


def test_a_fact_of_the_day_before_is_known_and_one_of_the_monday_is_not(own: Callable[..., AsOf]) -> None:
    def event(event_id: str, timestamp: str, **changes: Any) -> dict[str, Any]:
        return row("usage_events", event_id=event_id, timestamp=timestamp, **changes)

    def opportunity(opp_id: str, created: str, stage: str, closed: str = "", **changes: Any) -> dict[str, Any]:
        dates = {"created_date": created, "close_date": closed}
        return row("gtm_opportunities", opp_id=opp_id, stage=stage, **dates, **changes)

    known = own(
        usage_events=[
            event("E1", "2026-05-31T23:59:59"),
            event("E2", "2026-06-01T00:00:00"),
            event("E3", "2026-05-20T10:00:00", loaded_at="2026-06-01T00:00:00"),
        ],
        risk_signals=[
            row("risk_signals", compliance_gap_score="0.3", vendor_risk_flags="", recorded_at="2026-05-31T10:00:00"),
            row("risk_signals", compliance_gap_score="0.9", vendor_risk_flags="4", recorded_at="2026-06-01T00:00:00"),
        ],
        gtm_opportunities=[
            opportunity("won", "2026-03-01", "closed_won", "2026-05-31", amount="5000"),
            opportunity("won on the Monday", "2026-04-01", "closed_won", "2026-06-01"),
            opportunity("closed, nobody knows when", "2026-02-01", "closed_lost", opportunity_type=""),
            opportunity("expected to close before", "2026-01-01", "proposal", "2026-05-01"),
            opportunity("undated", "", "proposal"),
            opportunity("of the Monday", "2026-06-01", "proposal"),
        ],
    )
    (event_known,) = known.usage.events("C1", datetime(2026, 1, 1))
    assert (event_known.event_id, event_known.event_type, event_known.feature_adoption_score) == (
        "E1",
        "api_call",
        0.25,
    )
    assert known.usage.count("C1", 365) == 1
    signals = known.signals.of("C1")
    assert (signals.compliance_gap_score, signals.vendor_risk_flags, signals.missing) == (0.3, 0, (VENDOR_FLAGS,))
    opportunities = known.opportunities.of("C1")
    # While it was open, its stage, amount and end were still written over.
    assert [(o.opp_id, o.stage, o.amount, o.close_date, o.is_open) for o in opportunities] == [
        ("won on the Monday", None, None, None, True),
        ("won", "closed_won", 5000.0, date(2026, 5, 31), False),
        ("closed, nobody knows when", None, None, None, True),
        ("expected to close before", None, None, None, True),
    ]


def test_of_two_readings_of_one_day_the_graver_counts_and_a_late_one_only_once_it_is_known(
    own: Callable[..., AsOf],
) -> None:
    def reading(gap: str, flags: str, hour: int, **changes: Any) -> dict[str, Any]:
        day = {"recorded_at": f"2026-05-20T{hour:02}:00:00"}
        return row("risk_signals", compliance_gap_score=gap, vendor_risk_flags=flags, **day, **changes)

    signals = own(risk_signals=[reading("0.6", "1", 8), reading("0.2", "3", 9)]).signals.of("C1")
    assert (signals.compliance_gap_score, signals.vendor_risk_flags, signals.missing) == (0.6, 3, ())
    late = reading("0.1", "0", 10, loaded_at="2026-06-02T00:00:00")
    assert own(risk_signals=[reading("0.6", "1", 8), late]).signals.of("C1").compliance_gap_score == 0.6
    # What came later and is older does not take the place of a newer one.
    older = reading("0.1", "0", 10, loaded_at="2026-05-30T00:00:00") | {"recorded_at": "2026-05-10T00:00:00"}
    assert own(risk_signals=[reading("0.6", "1", 8), older]).signals.of("C1").compliance_gap_score == 0.6


def test_events_are_asked_for_since_a_moment_with_or_without_a_zone(own: Callable[..., AsOf]) -> None:
    events = [
        row("usage_events", event_id=f"E{hour}", timestamp=f"2026-05-30T{hour:02}:00:00", event_type="")
        for hour in range(4)
    ]
    usage = own(usage_events=events).usage
    for since in (
        datetime(2026, 5, 30, 2),
        datetime(2026, 5, 30, 2, tzinfo=UTC),
        datetime.fromisoformat("2026-05-30T04:00+02:00"),
    ):
        assert [event.event_id for event in usage.events("C1", since)] == ["E2", "E3"]
    assert usage.events("C1", datetime(2026, 5, 30))[0].event_type is None


def test_without_any_usage_nothing_is_known_and_the_score_says_so(own: Callable[..., AsOf]) -> None:
    known = own()
    assert not known.usage.is_known
    nothing = use_cases.risk_score(known, "C1", WEIGHTS)
    assert (nothing.score, nothing.basis, nothing.usage_decay) == (0, "none", None)
    event = row("usage_events", customer_id="C2", timestamp="2026-05-30T10:00:00")
    # Somebody's use is known, so the silence of others is one.
    silent = use_cases.risk_score(own(customers=[customer(), customer("C2")], usage_events=[event]), "C1", WEIGHTS)
    assert (silent.score, silent.basis, silent.usage_decay) == (0.5, "usage_decay", 1.0)


def test_who_left_who_came_back_and_who_is_still_to_come(own: Callable[..., AsOf]) -> None:
    known = own(
        customers=[
            customer(),
            customer("left", churn_date="2026-03-01"),
            customer("merged", censor_date="2026-03-01"),
            customer("leaves on the Monday", churn_date="2026-06-01"),
            customer("left the day before", churn_date="2026-05-31"),
            customer("back", plan_tier="starter", churn_date="2025-06-01"),
            customer("back", plan_tier="growth") | {"signup_date": "2026-05-01"},
            customer("to come") | {"signup_date": "2026-06-01"},
        ]
    )
    of = known.customers.by_id
    assert (of("left").churn_date, of("left").is_active(TINY_BEFORE)) == (date(2026, 3, 1), False)
    assert (of("merged").has_churned, of("merged").censor_date) == (False, date(2026, 3, 1))
    assert (of("leaves on the Monday").churn_date, of("left the day before").churn_date) == (None, date(2026, 5, 31))
    assert (of("back").signup_date, of("back").plan_tier, of("back").churn_date) == (date(2026, 5, 1), "growth", None)
    assert of("to come") is of("nobody") is None
    assert [customer.customer_id for customer in known.customers.active()] == ["C1", "back", "leaves on the Monday"]
    with pytest.raises(ChurnedError, match="^'left' was not active on 2026-06-01: they left on 2026-03-01$"):
        use_cases.risk_score(known, "left", WEIGHTS)
    with pytest.raises(UnknownCustomerError, match="^nobody with the id 'to come' was a customer before 2026-06-01$"):
        use_cases.risk_score(known, "to come", WEIGHTS)


def test_an_end_of_a_subscription_is_known_when_it_can_be_no_pause_any_more(own: Callable[..., AsOf]) -> None:
    def subscription(customer_id: str, ended: str) -> dict[str, Any]:
        days = {"started_at": "2025-01-10", "ended_at": ended}
        return row("subscriptions", subscription_id=customer_id, customer_id=customer_id, **days)

    known = own(
        customers=[customer(name) for name in ("long ago", "may be a pause", "trial")],
        subscriptions=[
            subscription("long ago", "2026-05-01"),
            subscription("may be a pause", "2026-05-02"),
            subscription("trial", "") | {"is_trial": "true"},
        ],
    )
    of = known.customers.by_id
    assert (of("long ago").churn_date, of("may be a pause").churn_date) == (date(2026, 5, 1), None)
    assert of("trial") is None


def test_a_past_monday_has_the_plan_and_price_of_its_time(own: Callable[..., AsOf]) -> None:
    def plan(known: AsOf) -> tuple[object, object]:
        found = known.customers.by_id("C1")
        return found.plan_tier, found.mrr

    def on(day: int, **changes: Any) -> AsOf:
        return own(datetime(2026, 5, day, 12, tzinfo=UTC), customers=[customer(**changes)])

    # What landings saw: it changed before the Monday and once more after it.
    put_before = {"plan_tier": "starter", "mrr": "100"}
    with pytest.raises(RefusedError, match="were landed for 2026-05-04 and not since"):
        on(4, **put_before)
    with pytest.raises(RefusedError, match="were landed for 2026-05-25 and not since"):
        on(27, plan_tier="growth", mrr="200")
    assert plan(own(customers=[customer(plan_tier="custom", mrr="900")])) == ("growth", 200.0)
    # A history says more than that.
    changes = [
        row(
            "plan_changes",
            effective_date="2026-05-10",
            from_tier="starter",
            to_tier="enterprise",
            from_mrr="110",
            to_mrr="330",
        ),
        row(
            "plan_changes",
            effective_date="2026-06-01",
            from_tier="enterprise",
            to_tier="custom",
            from_mrr="330",
            to_mrr="770",
        ),
    ]
    assert plan(own(customers=[customer(plan_tier="custom", mrr="900")], plan_changes=changes)) == ("enterprise", 330.0)


def test_a_sample_is_drawn_by_md5_the_same_every_time(warehouse: duckdb.DuckDBPyConnection) -> None:
    customers = as_of(warehouse, TINY_BEFORE, "UTC").customers
    ids = [customer.customer_id for customer in customers.active()]
    for seed in (0, 7, -3):
        drawn = [customer.customer_id for customer in customers.sample(40, seed)]
        assert drawn == sorted(ids, key=lambda name: hashlib.md5(f"{name}|{seed}".encode()).hexdigest())[:40]
        # A larger one begins with it.
        assert [customer.customer_id for customer in customers.sample(41, seed)][:40] == drawn
    assert customers.sample(40, 0) != customers.sample(40, 7)
    assert {customer.customer_id for customer in customers.sample(10_000, 0)} == set(ids)
    assert customers.sample(0, 0) == []
    with pytest.raises(InputError, match="^a sample has 0 customers or more, not -1$"):
        customers.sample(-1, 0)


def test_days_are_counted_back(warehouse: duckdb.DuckDBPyConnection) -> None:
    usage = as_of(warehouse, TINY_BEFORE, "UTC").usage
    with pytest.raises(InputError, match="^days are counted back, 0 or more, not -7$"):
        usage.count("C0000001", 7, -7)


def test_a_monday_after_the_last_landing_is_refused(warehouse: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(
        RefusedError, match="^the raw data were landed for 2026-06-01 and not since, so 2026-06-08 would"
    ):
        as_of(warehouse, TINY_MONDAY, "UTC")
    with duckdb.connect() as empty, pytest.raises(RefusedError, match="^nothing has been landed by this version yet"):
        as_of(empty, TINY_BEFORE, "UTC")
