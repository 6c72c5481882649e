"""What a Monday leads to expect of revenue is kept, the truth is put beside it when it is known, and nothing is known before."""

from __future__ import annotations

from datetime import date

import duckdb
import pytest

from churn_pipeline.core.calendar import WEEK
from churn_pipeline.monitoring import outcomes, outlook
from tests.unit.monitoring.replayed import MONDAY, warehouse

YEAR_LATER = MONDAY + 52 * WEEK
ALL = ("all", "all")


def home() -> duckdb.DuckDBPyConnection:
    con = warehouse()
    for column in (
        "plan_tier varchar", "industry varchar", "csm_owner varchar", "expansion_propensity double", "expected_arr_uplift double",
        "days_to_renewal bigint", "is_on_call_list boolean",
    ):  # fmt: skip
        con.execute(f"alter table policy.predictions add column {column}")
    con.execute("alter table marts.mart_customer_churn_features add column is_todays_price boolean")
    con.execute("create schema monitoring")
    con.execute(
        "create table monitoring.prediction_outcomes (assessed_on date, predicted_on date, target varchar, customer_id varchar, probability double, label integer)"
    )
    outcomes.create_tables(con)
    return con


def predict(con: duckdb.DuckDBPyConnection, monday: date, *rows: tuple, **columns: object) -> None:
    """Customers of a Monday: name, 90-day probability, annual revenue, plan, owner."""
    for name, p90, revenue, plan, owner in rows:
        con.execute(
            """
            insert into policy.predictions by name select ?::date as snapshot_date, ? as customer_id, ?::double / 3 as churn_probability_30d,
                   ?::double as churn_probability_90d, ?::double as annual_revenue, ?::double * ? as revenue_at_risk, 1 as priority_rank,
                   ? as scoring_mode, ? as plan_tier, 'tech' as industry, ? as csm_owner, ?::double as expansion_propensity,
                   ?::double as expected_arr_uplift, ?::bigint as days_to_renewal
            """,
            [
                monday, name, p90, p90, revenue, revenue, p90, columns.get("mode", "live"), plan, owner, columns.get("propensity"),
                columns.get("uplift"), columns.get("renews"),
            ],
        )  # fmt: skip
        known = con.execute("select 1 from landing.customers where customer_id = ?", [name]).fetchone()
        if not known:
            con.execute("insert into landing.customers (customer_id) values (?)", [name])


def become(con: duckdb.DuckDBPyConnection, monday: date, target: str, weeks: int, *left: str) -> date:
    """The outcomes of a Monday's predictions, so many weeks later."""
    assessed_on = monday + weeks * WEEK
    con.execute(
        f"""
        insert into monitoring.prediction_outcomes
        select ?, snapshot_date, ?, customer_id, {target.replace("churn_", "churn_probability_")}, (customer_id in (select unnest(?::varchar[])))::integer
        from policy.predictions where snapshot_date = ?
        """,
        [assessed_on, target, list(left), monday],
    )
    return assessed_on


BOOK = (
    ("a", 0.5, 1000.0, "growth", "Ann"),
    ("b", 0.2, 3000.0, "growth", None),
    ("c", 0.9, None, None, "Ann"),
    ("d", 0.1, 0.0, "free", "Bo"),
)


def rows(con: duckdb.DuckDBPyConnection, table: str, monday: date, **where: object) -> dict[tuple[str, str], dict]:
    frame = con.execute(f"from monitoring.{table} where snapshot_date = ?", [monday]).df()
    for column, value in where.items():
        frame = frame[frame[column] == value]
    frame = frame.astype(object).where(frame.notna(), None)
    return {(row["dimension"], row["value"]): row for row in frame.to_dict("records")}


def test_a_forecast_is_of_everybody_and_of_each_plan_industry_and_owner() -> None:
    con = home()
    predict(con, MONDAY, *BOOK)
    (written,) = outlook.write(con, [MONDAY], "run")
    by_group = rows(con, "forecast", MONDAY, horizon_days=90)
    expected = {group: (row["customers"], row["revenue"], row["expected"]) for group, row in by_group.items()}
    assert expected == {
        ALL: (4, 4000, pytest.approx(1100)),
        ("plan_tier", "growth"): (2, 4000, pytest.approx(1100)),
        ("plan_tier", "free"): (1, 0, 0),
        ("plan_tier", "unknown"): (1, 0, 0),
        ("industry", "tech"): (4, 4000, pytest.approx(1100)),
        ("csm_owner", "Ann"): (2, 1000, pytest.approx(500)),
        ("csm_owner", "Bo"): (1, 0, 0),
        ("csm_owner", "unassigned"): (1, 3000, pytest.approx(600)),
    }
    whole = by_group[ALL]
    assert 0 <= whole["low"] < whole["expected"] < whole["high"] <= 4000
    assert (written.leaving.expected, written.past_mondays) == (pytest.approx(1100), 0)
    assert rows(con, "forecast", MONDAY, horizon_days=30)[ALL]["expected"] == pytest.approx(1100 / 3)


def test_the_truth_comes_on_the_monday_on_which_the_window_is_closed() -> None:
    con = home()
    predict(con, MONDAY, *BOOK)
    closes = become(con, MONDAY, "churn_90d", 13, "b", "c")
    predict(con, closes, *BOOK)
    predict(con, closes - WEEK, *BOOK)
    outlook.write(con, [MONDAY, closes - WEEK], "run")
    assert rows(con, "forecast", MONDAY, horizon_days=90)[ALL]["realised"] is None
    before = rows(con, "forecast", closes - WEEK, horizon_days=90)[ALL]
    assert (before["past_mondays"], before["past_covered"]) == (0, 0)
    outlook.write(con, [closes], "run")
    by_group = rows(con, "forecast", MONDAY, horizon_days=90)
    assert {group: row["realised"] for group, row in by_group.items()} == {
        ALL: 3000, ("plan_tier", "growth"): 3000, ("plan_tier", "free"): 0, ("plan_tier", "unknown"): 0, ("industry", "tech"): 3000,
        ("csm_owner", "Ann"): 0, ("csm_owner", "Bo"): 0, ("csm_owner", "unassigned"): 3000,
    }  # fmt: skip
    assert {row["assessed_on"].date() for row in by_group.values()} == {closes}
    slope = 1000 * 0.25 + 3000 * 0.16
    assert by_group[ALL]["level_error"] == pytest.approx((3000 - 1100) / slope)
    after = rows(con, "forecast", closes, horizon_days=90)[ALL]
    assert after["past_mondays"] == 1
    assert after["past_covered"] == int(by_group[ALL]["low"] <= 3000 <= by_group[ALL]["high"])
    # The other horizon has its own past.
    assert rows(con, "forecast", closes, horizon_days=30)[ALL]["past_mondays"] == 0


def test_a_level_that_was_far_off_widens_the_next_intervals_and_not_those_before_it_was_known() -> None:
    con = home()
    predict(con, MONDAY, *BOOK)
    predict(con, MONDAY + 12 * WEEK, *BOOK)
    closes = become(con, MONDAY, "churn_90d", 13, "a", "b")
    predict(con, closes, *BOOK)
    days = (MONDAY, MONDAY + 12 * WEEK, closes)
    outlook.write(con, days, "run")
    scales = [rows(con, "forecast", day, horizon_days=90)[ALL]["level_scale"] for day in days]
    assert scales[0] == scales[1] < scales[2]
    # Nor when it is said again, with the truth of a week later in the table.
    outlook.write(con, [days[1]], "run")
    again = rows(con, "forecast", days[1], horizon_days=90)[ALL]
    assert (again["level_scale"], again["past_mondays"]) == (scales[1], 0)


def test_what_is_said_of_a_monday_is_the_same_when_the_future_is_known_and_when_it_is_said_again() -> None:
    con = home()
    predict(con, MONDAY, *BOOK)
    outlook.write(con, [MONDAY], "run")
    told = {table: con.execute(f"from monitoring.{table} order by all").fetchall() for table in outlook.TABLES}
    closes = become(con, MONDAY, "churn_90d", 13, "b")
    predict(con, closes, *BOOK)
    con.execute("update landing.customers set churn_date = ? where customer_id = 'b'", [MONDAY + 3 * WEEK])
    outlook.write(con, [MONDAY], "run")
    assert told == {table: con.execute(f"from monitoring.{table} order by all").fetchall() for table in outlook.TABLES}


def test_where_revenue_is_todays_no_truth_is_put_beside_a_forecast() -> None:
    con = home()
    predict(con, MONDAY, *BOOK, mode="as_of")
    con.execute(
        "insert into marts.mart_customer_churn_features by name select ?::date as snapshot_date, 'a' as customer_id, true as is_todays_price",
        [MONDAY],
    )
    closes = become(con, MONDAY, "churn_90d", 13, "b")
    predict(con, closes, *BOOK)
    outlook.write(con, [MONDAY, closes], "run")
    assert rows(con, "forecast", MONDAY, horizon_days=90)[ALL]["realised"] is None
    # A list that was made on its own Monday was priced on it.
    con.execute("update policy.predictions set scoring_mode = 'live'")
    outlook.write(con, [closes], "run")
    assert rows(con, "forecast", MONDAY, horizon_days=90)[ALL]["realised"] == 3000


def test_the_mondays_after_the_oldest_that_was_written_are_made_again_and_those_that_have_none() -> None:
    con = home()
    days = [MONDAY + n * WEEK for n in range(4)]
    for day in days:
        predict(con, day, *BOOK)
    assert outlook.mondays_to_write(con, [days[3]]) == days
    outlook.write(con, days, "run")
    assert outlook.mondays_to_write(con, [days[2]]) == days[2:]
    assert outlook.mondays_to_write(con, [days[3] + WEEK]) == []
    assert outlook.mondays_to_write(con, []) == []


def test_retention_so_far_counts_who_stayed_by_what_they_pay() -> None:
    con = home()
    then = (
        ("stays", 0.1, 1000.0, "growth", "Ann"), ("grows", 0.1, 1000.0, "growth", "Ann"), ("shrinks", 0.1, 1000.0, "growth", "Bo"),
        ("churns", 0.1, 1000.0, "growth", "Bo"), ("merges", 0.1, 9000.0, "growth", "Bo"), ("free", 0.1, 0.0, "free", None),
    )  # fmt: skip
    predict(con, MONDAY, *then)
    con.execute("update landing.customers set churn_date = ? where customer_id = 'churns'", [MONDAY + WEEK])
    con.execute("update landing.customers set censor_date = ? where customer_id = 'merges'", [MONDAY + WEEK])
    predict(
        con, YEAR_LATER, ("stays", 0.2, 1000.0, "growth", "Ann"), ("grows", 0.1, 1600.0, "enterprise", "Ann"),
        ("shrinks", 0.1, 400.0, "starter", "Bo"), ("free", 0.1, 500.0, "starter", None), ("new", 0.1, 7000.0, "growth", "Cy"),
    )  # fmt: skip
    outlook.write(con, [MONDAY, YEAR_LATER], "run")
    first = rows(con, "retention", MONDAY)[ALL]
    assert (first["base_date"], first["gross"], first["net"]) == (None, None, None)
    by_group = rows(con, "retention", YEAR_LATER)
    whole = by_group[ALL]
    assert whole["base_date"].date() == MONDAY
    assert (whole["customers"], whole["base_revenue"]) == (4, 4000)
    assert whole["gross"] == pytest.approx((1000 + 1000 + 400) / 4000)
    assert whole["net"] == pytest.approx((1000 + 1600 + 400) / 4000)
    # A customer belongs to the group in which they were.
    growth = by_group["plan_tier", "growth"]
    assert (growth["customers"], growth["net"]) == (4, whole["net"])
    assert by_group["csm_owner", "Bo"]["gross"] == pytest.approx(400 / 2000)
    assert by_group["csm_owner", "Cy"]["gross"] is None
    # Ahead: 200 + 160 + 40 + 50 + 700 of 10,500.
    assert whole["revenue"] == 10_500
    assert whole["expected_gross"] == pytest.approx(1 - 1150 / 10_500)
    assert whole["expected_gross_low"] < whole["expected_gross"] < whole["expected_gross_high"] <= 1


def test_retention_reaches_back_a_year_or_to_the_oldest_monday() -> None:
    con = home()
    for weeks in (0, 4, 30):
        predict(con, MONDAY + weeks * WEEK, *BOOK)
    predict(con, YEAR_LATER + 4 * WEEK, *BOOK)
    outlook.write(con, [MONDAY + 30 * WEEK, YEAR_LATER + 4 * WEEK], "run")
    assert rows(con, "retention", MONDAY + 30 * WEEK)[ALL]["base_date"].date() == MONDAY
    assert rows(con, "retention", YEAR_LATER + 4 * WEEK)[ALL]["base_date"].date() == MONDAY + 4 * WEEK


def test_net_retention_is_expected_only_where_something_is_known_of_growth() -> None:
    con = home()
    predict(con, MONDAY, ("a", 0.5, 1000.0, "growth", "Ann"))
    predict(con, MONDAY + WEEK, ("a", 0.5, 1000.0, "growth", "Ann"), propensity=0.3, uplift=150.0)
    outlook.write(con, [MONDAY, MONDAY + WEEK], "run")
    assert rows(con, "retention", MONDAY)[ALL]["expected_net"] is None
    grown = rows(con, "retention", MONDAY + WEEK)[ALL]
    assert (grown["expected_gross"], grown["expected_net"]) == (pytest.approx(0.5), pytest.approx(0.65))


def test_with_todays_prices_nothing_is_said_of_the_retention_so_far() -> None:
    con = home()
    predict(con, MONDAY, *BOOK, mode="as_of")
    con.execute(
        "insert into marts.mart_customer_churn_features by name select ?::date as snapshot_date, 'a' as customer_id, true as is_todays_price",
        [MONDAY],
    )
    predict(con, MONDAY + WEEK, *BOOK)
    outlook.write(con, [MONDAY + WEEK], "run")
    row = rows(con, "retention", MONDAY + WEEK)[ALL]
    assert (row["is_todays_price"], row["gross"], row["net"]) == (True, None, None)
    assert row["expected_gross"] is not None


def test_renewals_are_kept_by_week_and_none_where_no_contract_is_known() -> None:
    con = home()
    predict(con, MONDAY, *BOOK, renews=8)
    predict(con, MONDAY + WEEK, *BOOK)
    outlook.write(con, [MONDAY, MONDAY + WEEK], "run")
    kept = con.execute(
        "select snapshot_date, renewal_week, customers, revenue, revenue_at_risk, on_call_list from monitoring.renewals order by 1, 2"
    ).fetchall()
    assert len(kept) == 13
    assert kept[:2] == [(MONDAY, MONDAY, 0, 0, 0, None), (MONDAY, MONDAY + WEEK, 4, 4000, pytest.approx(1100), None)]
