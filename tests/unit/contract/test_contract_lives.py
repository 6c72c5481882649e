"""Lives and the history of plans, from subscriptions and from customers who have several rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from churn_pipeline.contract import LandingReport, currencies, lives
from churn_pipeline.contract.declaration import TIERS
from churn_pipeline.core.errors import InputError
from tests.unit.contract.landing_helpers import company, everything, landed, put, quarantined, row, write

# Long after everything that happens here.
LATER = datetime(2026, 6, 1, tzinfo=UTC)


def sub(began: str, ended: str = "", **changes: Any) -> dict[str, Any]:
    """A subscription of C1."""
    given = {"started_at": began, "ended_at": ended, "end_reason": "", "plan_tier": "growth", "mrr": "100"}
    return row("subscriptions", **{"subscription_id": began, **given, **changes})


def spans(con: duckdb.DuckDBPyConnection) -> list[tuple[Any, ...]]:
    """Life, its beginning, from when it is known, its end, until when it counts, and what the end was."""
    return [
        tuple(str(value) if isinstance(value, date) else value for value in values)
        for values in landed(con, "lives", "life, started_on, active_from, ended_on, active_until, end_kind")
    ]


def of(con: duckdb.DuckDBPyConnection, raw: Path, *subscriptions: dict[str, Any], **options: Any) -> LandingReport:
    return put(con, company(raw, subscriptions=subscriptions), now=LATER, **options)


# The end of a life is known 30 days after it.
ONE_LIFE = (1, "2024-01-10", "2024-01-10", "2025-01-10", "2025-02-09", "churn")


@pytest.mark.parametrize(
    "subscriptions",
    [
        pytest.param([sub("2024-01-10", "2025-01-10")], id="one subscription"),
        pytest.param(
            [sub("2024-01-10", "2024-06-01"), sub("2024-06-01", "2025-01-10")], id="a price change on one day"
        ),
        pytest.param([sub("2024-01-10", "2024-06-01"), sub("2024-07-01", "2025-01-10")], id="a renewal 30 days late"),
        pytest.param(
            [sub("2024-01-10", "2025-01-10"), sub("2024-03-01", "2024-05-01")], id="an addition that ends first"
        ),
        pytest.param(
            [sub("2024-01-10", "2025-01-10"), sub("2023-11-01", "2024-01-10", is_trial="true")], id="a trial before it"
        ),
        pytest.param(
            [sub("2024-01-10", "2025-01-10"), sub("2025-01-20", "2025-05-01", is_trial="true")], id="a trial after it"
        ),
        pytest.param(
            [sub("2024-01-10", subscription_id="S"), sub("2024-06-01", "2025-01-10", subscription_id="S")],
            id="a row that its successor did not close",
        ),
        pytest.param(
            [sub("2024-01-10", "2025-01-10"), sub("2024-02-10", "2025-01-10", end_reason="cancelled")],
            id="two end at once",
        ),
    ],
)
def test_what_does_not_end_a_life(
    con: duckdb.DuckDBPyConnection, raw: Path, subscriptions: list[dict[str, Any]]
) -> None:
    of(con, raw, *subscriptions)
    assert spans(con) == [ONE_LIFE]


def test_who_comes_back_after_the_gap_has_a_second_life(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    of(con, raw, sub("2024-01-10", "2024-06-01"), sub("2024-07-02"))
    assert spans(con) == [
        (1, "2024-01-10", "2024-01-10", "2024-06-01", "2024-07-01", "churn"),
        (2, "2024-07-02", "2024-07-02", None, None, None),
    ]
    # With a longer gap it is one, and what was built from the day on which the end was known is built again.
    report = put(con, raw, now=LATER, life_gap_days=60)
    assert spans(con) == [(1, "2024-01-10", "2024-01-10", None, None, None)]
    assert report.changed_from == date(2024, 7, 1)


def test_whoever_only_tried_has_no_life(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    report = of(con, raw, sub("2024-01-10", "2024-02-01", is_trial="true"))
    assert spans(con) == []
    assert any("1 customer(s) have no subscription, or only trials" in notice for notice in report.notices)


def test_a_merger_leaves_the_book_without_churn(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    of(
        con,
        raw,
        sub("2024-01-10", "2024-03-01"),
        sub("2024-01-10", "2025-01-10", subscription_id="S", end_reason="Merged"),
    )
    assert spans(con) == [(*ONE_LIFE[:5], "left")]


def test_a_cancellation_at_the_end_of_a_period_waits_for_it(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(raw, subscriptions=[sub("2024-01-10", "2024-06-20")])
    put(con, raw)
    assert spans(con) == [(1, "2024-01-10", "2024-01-10", None, None, None)]
    put(con, raw, now=LATER)
    assert spans(con) == [(1, "2024-01-10", "2024-01-10", "2024-06-20", "2024-07-20", "churn")]


def test_an_end_that_was_known_stays_one_when_the_next_row_is_loaded_late(
    con: duckdb.DuckDBPyConnection, raw: Path
) -> None:
    """Until the row came, everybody knew that the customer had left."""
    of(con, raw, sub("2024-01-10", "2024-06-01"), sub("2024-06-10", loaded_at="2024-08-01"))
    assert spans(con) == [
        (1, "2024-01-10", "2024-01-10", "2024-06-01", "2024-07-01", "churn"),
        (2, "2024-06-10", "2024-08-01", None, None, None),
    ]


def changes(con: duckdb.DuckDBPyConnection) -> list[tuple[Any, ...]]:
    columns = (
        "known_date::varchar, from_tier, to_tier, from_mrr_cents, to_mrr_cents, is_first, shows_tiers, shows_prices"
    )
    return landed(con, "plan_history", columns)


def test_running_subscriptions_are_summed_and_the_plan_is_the_highest_of_them(
    con: duckdb.DuckDBPyConnection, raw: Path
) -> None:
    of(con, raw, sub("2024-01-10"), sub("2024-03-01", "2024-05-01", mrr="20", plan_tier="enterprise"))
    assert changes(con) == [
        ("2024-01-10", None, "growth", None, 10000, True, False, False),
        ("2024-03-01", "growth", "enterprise", 10000, 12000, False, False, False),
        ("2024-05-01", "enterprise", "growth", 12000, 10000, False, False, False),
    ]


def test_a_price_is_history_only_where_price_changes_make_new_rows(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    of(
        con,
        raw,
        sub("2024-01-10", "2024-06-01"),
        sub("2024-06-20", "2025-06-01", mrr="130"),
        sub("2025-06-01", mrr="130"),
    )
    assert changes(con) == [
        ("2024-01-10", None, "growth", None, 10000, True, False, False),
        # While nothing ran the last price stayed; a renewal at the same price shows nothing.
        ("2024-06-20", "growth", "growth", 10000, 13000, False, False, True),
    ]


def test_a_second_life_begins_with_its_plan_and_does_not_change_to_it(
    con: duckdb.DuckDBPyConnection, raw: Path
) -> None:
    of(con, raw, sub("2024-01-10", "2024-06-01"), sub("2025-01-01", plan_tier="enterprise", mrr="300"))
    assert changes(con) == [
        ("2024-01-10", None, "growth", None, 10000, True, False, False),
        ("2025-01-01", None, "enterprise", None, 30000, True, False, False),
    ]


def test_prices_of_any_time_and_currency_are_dollars_a_month(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    given = {
        "2024-01-01": ("1200", "USD", "year", 10000),
        "2024-01-02": ("300", "", "Quarterly", 10000),
        "2024-01-03": ("100", "eur", "", 10800),
        "2024-01-04": ("12", "USD", "week", 5200),
        "2024-01-05": ("100", "XXX", "month", None),
        "2024-01-06": ("100", "USD", "fortnight", None),
    }
    company(
        raw,
        subscriptions=[
            sub(day, mrr=price, currency=currency, billing_interval=time)
            for day, (price, currency, time, _) in given.items()
        ],
    )
    put(con, raw)
    assert dict(landed(con, "subscriptions", "started_at::varchar, mrr_cents")) == {
        day: cents for day, (*_, cents) in given.items()
    }
    assert quarantined(con, "kind, column_name, value, rule") == [
        ("cell", "billing_interval", "fortnight", "known category"),
        ("cell", "currency", "XXX", "known currency"),
    ]


def test_a_new_rate_lands_the_subscriptions_again_and_nothing_else(
    con: duckdb.DuckDBPyConnection, raw: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of(con, raw, sub("2024-01-10", currency="EUR"))
    rates = currencies.read_rates() | {"EUR": currencies.read_rates()["EUR"] * 2}
    monkeypatch.setattr("churn_pipeline.contract.statements.read_rates", lambda _: rates)
    report = put(con, raw, now=LATER)
    assert [name for name, table in report.tables.items() if not table.unchanged] == ["subscriptions"]
    assert landed(con, "subscriptions", "mrr_cents") == [(21600,)]


@pytest.mark.parametrize("line", ["EUR,zero", "EUR,0", ",1.08", "EUR,-1", "USD,2"])
def test_a_rate_that_is_none_is_refused_with_its_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "rates.csv"
    path.write_text(f"currency,usd\nUSD,1\n{line}\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"rates\.csv, line 3"):
        currencies.read_rates(path)


# --- customers and subscriptions


def test_without_customers_the_subscriptions_say_who_they_are(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    rows = [
        sub("2024-01-10", "2024-06-01"),
        sub("2024-07-15", mrr="70"),
        sub("2024-02-01", "2024-03-01", customer_id="C2"),
    ]
    company(
        raw,
        customers=[],
        subscriptions=rows,
        usage_events=[row("usage_events"), row("usage_events", event_id="E2", customer_id="C3")],
    )
    put(con, raw, now=LATER)
    assert landed(con, "customers", "customer_id, signup_date::varchar, plan_tier, mrr_cents, churn_date") == [
        ("C1", "2024-01-10", "growth", 7000, None),
        ("C2", "2024-02-01", "growth", 10000, None),
    ]
    assert landed(con, "usage_events", "event_id") == [("E1",)]
    assert quarantined(con, "source, row_key, rule") == [("usage_events", "E2", "known customer")]
    before = everything(con)
    assert all(table.unchanged for table in put(con, raw, now=LATER).tables.values())
    assert everything(con) == before


def test_a_customers_table_that_comes_takes_the_place_of_what_was_made_of_subscriptions(
    con: duckdb.DuckDBPyConnection, raw: Path, tmp_path: Path
) -> None:
    rows = [sub("2024-01-10"), sub("2024-02-01", customer_id="C2")]
    company(raw, customers=[], subscriptions=rows)
    put(con, raw, now=LATER)
    assert len(landed(con, "customers")) == 2
    write(raw, "customers", [row("customers")])
    put(con, raw, now=LATER)
    assert landed(con, "customers", "customer_id, industry") == [("C1", "Mining")]
    assert quarantined(con, "source, row_key, rule") == [("subscriptions", "2024-02-01|2024-02-01", "known customer")]
    with duckdb.connect() as fresh:
        put(fresh, raw, now=LATER)
        assert everything(fresh) == everything(con)


def test_where_there_are_subscriptions_a_churn_date_says_nothing(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    company(
        raw,
        customers=[row("customers", churn_date="2024-03-01", signup_date="2023-01-01")],
        subscriptions=[sub("2024-01-10")],
    )
    put(con, raw, now=LATER)
    assert spans(con) == [(1, "2024-01-10", "2024-01-10", None, None, None)]


# --- customers with several rows


def back(*times: tuple[str, str], **changes: Any) -> list[dict[str, Any]]:
    return [row("customers", signup_date=began, churn_date=ended, **changes) for began, ended in times]


def test_rows_of_a_customer_that_follow_each_other_are_lives(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    rows = back(("2024-01-10", "2024-06-01"), ("2024-06-20", "2024-09-01"), ("2025-01-01", ""))
    report = put(con, company(raw, customers=rows[::-1]), now=LATER)
    # A stated end is known on its date, and a pause of 19 days goes on with the same life.
    assert spans(con) == [
        (1, "2024-01-10", "2024-01-10", "2024-06-01", "2024-06-01", "churn"),
        (1, "2024-01-10", "2024-06-20", "2024-09-01", "2024-09-01", "churn"),
        (2, "2025-01-01", "2025-01-01", None, None, None),
    ]
    assert landed(con, "lives", "resumed_on::varchar") == [("2024-06-20",), (None,), (None,)]
    assert landed(con, "customers", "customer_id, signup_date::varchar") == [("C1", "2025-01-01")]
    assert quarantined(con) == []
    assert "1 customer(s) have several rows in customers that follow each other" in report.notices[0]
    assert "each of the 3 rows counts" in report.notices[0]


def test_a_row_that_overlaps_another_one_of_the_customer_loses_and_is_told(
    con: duckdb.DuckDBPyConnection, raw: Path
) -> None:
    rows = back(("2024-01-10", "2024-06-01"), ("2024-03-01", ""), ("2024-08-01", ""), ("2024-09-01", "2024-10-01"))
    report = put(con, company(raw, customers=rows), now=LATER)
    assert [span[1] for span in spans(con)] == ["2024-01-10", "2024-08-01"]
    assert quarantined(con, "source, row_key, rule") == [("customers", "C1", "unique key")] * 2
    assert "2 row(s) of customers overlap another row" in report.notices[1]


def test_a_return_changes_nothing_that_was_known_before_it(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    put(con, company(raw, customers=back(("2024-01-10", "2024-06-01"))), now=LATER)
    write(raw, "customers", back(("2024-01-10", "2024-06-01"), ("2025-01-01", "")))
    assert put(con, raw, now=LATER).changed_from == date(2025, 1, 1)


def test_a_change_of_plan_belongs_to_the_row_in_whose_time_it_falls(con: duckdb.DuckDBPyConnection, raw: Path) -> None:
    times = back(("2024-01-10", "2024-06-01"), ("2025-01-01", ""))
    company(raw, customers=times, plan_changes=[row("plan_changes", effective_date="2024-04-01")])
    put(con, raw, now=LATER)
    assert landed(con, "lives", "life, plans_from::varchar, plans_until::varchar") == [
        (1, None, "2025-01-01"),
        (2, "2025-01-01", None),
    ]
    # A change in the second life is none of the first one's: its facts stay.
    write(
        raw,
        "plan_changes",
        [row("plan_changes", effective_date="2024-04-01"), row("plan_changes", effective_date="2025-04-01")],
    )
    assert put(con, raw, now=LATER).changed_from == date(2025, 1, 1)


# --- no future, in plain Python from the words of the design


@dataclass(frozen=True)
class Row:
    """A subscription in days from an origin."""

    began: int
    ended: int | None
    plan: str
    price: int
    late: int
    is_trial: bool
    merged: bool

    @property
    def known(self) -> int:
        return self.began + self.late


ROWS_OF_A_CUSTOMER = st.lists(
    st.builds(
        lambda began, runs, plan, price, late, is_trial, merged: Row(
            began, None if runs is None else began + runs, plan, price, late, is_trial, merged
        ),
        st.integers(0, 300),
        st.one_of(st.none(), st.integers(0, 120)),
        st.sampled_from(["starter", "growth", "enterprise"]),
        st.integers(1, 5),
        st.sampled_from([0, 0, 0, 5, 60]),
        st.sampled_from([False, False, False, True]),
        st.sampled_from([False, False, True]),
    ),
    min_size=1,
    max_size=5,
)
ORIGIN = date(2024, 1, 1)
GAP = 30


def known_state(rows: list[Row], day: int) -> tuple[str, int | None] | None:
    """Plan and price of somebody who is a customer on a day as it is known then; None for who is not."""
    known = [row for row in rows if row.known < day and not row.is_trial]
    running = [row for row in known if row.ended is None or row.ended >= day]
    if running:
        return max((r.plan for r in running), key=TIERS.index), sum(r.price for r in running)
    # Nobody knows yet that it was the end.
    if any(row.ended + GAP >= day for row in known):
        return "", None
    return None


def truncated(rows: list[Row], day: int) -> list[Row]:
    return [
        replace(row, ended=row.ended if row.ended is not None and row.ended < day else None)
        for row in rows
        if row.known < day
    ]


def made(con: duckdb.DuckDBPyConnection, rows: list[Row]) -> None:
    """Lives of one customer who has these subscriptions."""
    day = ORIGIN.toordinal()
    con.execute("delete from landing.subscriptions")
    # A table without rows says nothing; the same customer always tried something first.
    rows = [Row(-100, -90, "starter", 1, 0, is_trial=True, merged=False), *rows]
    con.executemany(
        "insert into landing.subscriptions by name select ? as subscription_id, 'C1' as customer_id, ? as plan_tier, ? as mrr_cents, "
        "?::date as started_at, ?::date as ended_at, ? as end_reason, ? as is_trial, ?::date as known_date",
        [
            (
                str(number),
                row.plan,
                row.price,
                date.fromordinal(day + row.began),
                None if row.ended is None else date.fromordinal(day + row.ended),
                "merged" if row.merged and row.ended is not None else None,
                row.is_trial,
                date.fromordinal(day + row.known),
            )
            for number, row in enumerate(rows)
        ],
    )
    lives.derive(con, GAP, None, customers_exported=True)


def at(con: duckdb.DuckDBPyConnection, day: int) -> list[tuple[Any, ...]]:
    """Everything that lives and history say of a day: life, its beginning, plan and price."""
    return con.execute(
        """
        select life, started_on,
            (select arg_max(to_tier, known_date) from landing.plan_history where known_date < $day),
            (select arg_max(to_mrr_cents, known_date) from landing.plan_history where known_date < $day)
        from landing.lives where active_from < $day and coalesce(active_until >= $day, true)
        """,
        {"day": date.fromordinal(ORIGIN.toordinal() + day)},
    ).fetchall()


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """A warehouse with one customer, who has been known for ever."""
    with duckdb.connect(config={"threads": 1}) as con:
        put(
            con,
            company(tmp_path_factory.mktemp("book"), customers=[row("customers", signup_date="2023-01-01")]),
            now=LATER,
        )
        yield con


@given(rows=ROWS_OF_A_CUSTOMER, days=st.lists(st.integers(1, 480), min_size=3, max_size=3))
@hypothesis_settings(max_examples=15)
def test_what_is_known_of_a_life_on_a_day_does_not_depend_on_what_comes_later(
    book: duckdb.DuckDBPyConnection, rows: list[Row], days: list[int]
) -> None:
    made(book, rows)
    whole = {day: at(book, day) for day in days}
    for day in days:
        state = known_state(rows, day)
        assert len(whole[day]) == (state is not None)
        if state is not None and state[1] is not None:
            assert whole[day][0][2:] == state
        made(book, truncated(rows, day))
        assert at(book, day) == whole[day]
