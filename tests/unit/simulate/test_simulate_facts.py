"""The raw tables: the contract's types, and nothing that could not have been exported on the last day."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from churn_pipeline.simulate import FAMILIES, Company, Shock, Simulation, simulate, write
from churn_pipeline.simulate import parameters as p
from churn_pipeline.simulate.arrow import customer_ids
from churn_pipeline.simulate.company import KINDS
from churn_pipeline.simulate.paths import NEVER, Paths, draw_paths
from tests.unit.simulate.simulated import SHOCK_WEEKS, SMALL, UNTIL, database

FACT_DATES = {
    "usage_events": "timestamp",
    "support_tickets": "created_date",
    "gtm_opportunities": "created_date",
    "risk_signals": "recorded_at",
    "plan_changes": "effective_date",
    "subscriptions": "started_at",
    "contracts": "start_date",
    "interventions": "at",
}


def impossible_facts(company: Company) -> dict[str, int]:
    """Facts before signup, on or after the day of leaving, or on or after the end, by table."""
    con = database(company)
    return {
        table: con.execute(
            f"""select count(*) from "{table}" join customers using (customer_id)
                where "{day}" < signup_date or "{day}" >= coalesce(churn_date, censor_date, date '9999-01-01') or "{day}" >= ?""",
            [UNTIL],
        ).fetchone()[0]
        for table, day in FACT_DATES.items()
        if table in company.tables
    }


def test_every_table_of_the_contract_has_its_columns_in_the_contract_types(small: Company) -> None:
    text, day, instant, number = pa.string(), pa.date32(), pa.timestamp("us"), pa.float64()
    expected = {
        "customers": {
            "customer_id": text, "company_name": text, "industry": text, "plan_tier": text, "signup_date": day, "mrr": number,
            "seats": pa.int64(), "csm_owner": text, "churn_date": day, "censor_date": day, "upgrade_date": day,
        },
        "usage_events": {
            "event_id": text, "customer_id": text, "timestamp": instant, "event_type": text, "feature_adoption_score": number,
        },
        "support_tickets": {
            "ticket_id": text, "customer_id": text, "created_date": day, "priority": text, "resolution_time": number, "topic": text,
        },
        "gtm_opportunities": {
            "opp_id": text, "customer_id": text, "stage": text, "close_date": day, "amount": number, "sales_owner": text,
            "opportunity_type": text, "created_date": day,
        },
        "risk_signals": {
            "customer_id": text, "compliance_gap_score": number, "vendor_risk_flags": pa.int64(), "recorded_at": instant,
        },
        "plan_changes": {
            "customer_id": text, "effective_date": day, "from_tier": text, "to_tier": text, "from_mrr": number, "to_mrr": number,
        },
        "contracts": {"customer_id": text, "start_date": day, "end_date": day, "auto_renew": pa.bool_()},
        "interventions": {
            "intervention_id": text, "customer_id": text, "at": instant, "kind": text, "owner": text, "outcome": text, "snooze_until": day,
        },
    }  # fmt: skip
    types = {name: {field.name: field.type for field in table.schema} for name, table in small.tables.items()}
    assert types == expected


def test_no_fact_lies_before_signup_after_leaving_or_after_the_end(each: Company) -> None:
    assert set(impossible_facts(each).values()) == {0}


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(
    family=st.sampled_from(FAMILIES),
    customers=st.integers(1, 60),
    weeks=st.integers(1, 10),
    seed=st.integers(0, 10**9),
    dirty=st.booleans(),
    kinds=st.sets(st.sampled_from(["usage", "tier", "feed", "score"])),
)
def test_any_small_company_holds_together(
    family: str, customers: int, weeks: int, seed: int, dirty: bool, kinds: set[str]
) -> None:
    shocks = tuple(Shock(kind, 1) for kind in sorted(kinds))
    simulation = Simulation(
        until=UNTIL, customers=customers, weeks=weeks, seed=seed, shocks=shocks, dirty=dirty, family=family
    )
    company = simulate(simulation)
    assert set(impossible_facts(simulate(replace(simulation, dirty=False))).values()) == {0}
    probabilities = company.oracle.select(["p_churn_30d", "p_churn_90d", "p_expansion_90d"])
    for column in probabilities.columns:
        assert pc.min(column).as_py() is None or (pc.min(column).as_py() >= 0 and pc.max(column).as_py() <= 1)
    if not dirty:
        assert company.tables["customers"].num_rows == customers


def test_ids_are_unique(each: Company) -> None:
    keys = {
        "customers": "customer_id",
        "usage_events": "event_id",
        "support_tickets": "ticket_id",
        "interventions": "intervention_id",
    }
    for table, key in keys.items():
        assert pc.count_distinct(each.tables[table][key]).as_py() == each.tables[table].num_rows


def test_the_customers_table_has_as_many_rows_as_asked_for_and_the_book_grows(small: Company) -> None:
    assert small.tables["customers"].num_rows == SMALL.customers
    first, last = (
        database(small)
        .execute(
            "select count(*) filter (snapshot_date = ?), count(*) filter (snapshot_date = ?) from oracle",
            [UNTIL - timedelta(weeks=SMALL.weeks), UNTIL],
        )
        .fetchone()
    )
    assert 1.0 < last / first < 1.6


def test_the_oracle_has_exactly_the_active_customers_of_every_monday(each: Company) -> None:
    mismatches = (
        database(each)
        .execute(
            """
        with expected as (
            select snapshot_date, customer_id
            from (select unnest(generate_series($first::date, $until::date, interval 7 day))::date as snapshot_date)
            join customers on signup_date < snapshot_date
                and coalesce(churn_date, date '9999-01-01') >= snapshot_date
                and coalesce(censor_date, date '9999-01-01') >= snapshot_date
        )
        select count(*) from expected full join oracle using (snapshot_date, customer_id)
        where expected.customer_id is null or oracle.customer_id is null""",
            {"first": UNTIL - timedelta(weeks=SMALL.weeks), "until": UNTIL},
        )
        .fetchone()[0]
    )
    assert mismatches == 0
    assert each.oracle.schema.field("snapshot_date").type == pa.date32()


def test_plan_changes_lead_from_each_tier_to_the_next_and_end_at_todays_plan_and_price(small: Company) -> None:
    con = database(small)
    assert con.execute("select count(*) from plan_changes").fetchone()[0] > 50
    broken = con.execute(
        """
        with chain as (
            select *, lead(from_tier) over w as next_tier, lead(from_mrr) over w as next_mrr
            from plan_changes window w as (partition by customer_id order by effective_date)
        )
        select count(*) from chain join customers using (customer_id)
        where to_tier <> coalesce(next_tier, plan_tier) or to_mrr <> coalesce(next_mrr, mrr)"""
    ).fetchone()[0]
    assert broken == 0


def test_most_plan_changes_are_upgrades_and_prices_stay_on_the_ladder(small: Company) -> None:
    ladder = dict(zip(p.TIERS, p.MRR_RANGES, strict=True))
    rows = small.tables["plan_changes"].to_pylist()
    ups = [row for row in rows if p.TIERS.index(row["to_tier"]) > p.TIERS.index(row["from_tier"])]
    assert 0.8 < len(ups) / len(rows) < 1.0
    for row in small.tables["customers"].to_pylist():
        low, high = ladder[row["plan_tier"]]
        assert low <= row["mrr"] <= high


def test_contract_terms_follow_on_each_other_without_gap(each: Company) -> None:
    broken = (
        database(each)
        .execute(
            """select count(*) from (
            select end_date, lead(start_date) over (partition by customer_id order by start_date) as next_start from contracts
        ) where next_start <> end_date + 1"""
        )
        .fetchone()[0]
    )
    assert broken == 0


def test_a_resolution_is_known_only_before_the_end_and_before_the_customer_left(each: Company) -> None:
    broken, still_open = (
        database(each)
        .execute(
            """select count(*) filter (created_date + to_seconds(round(resolution_time * 3600)::bigint) >= coalesce(churn_date, censor_date, ?)),
                      count(*) filter (resolution_time is null)
               from support_tickets join customers using (customer_id)""",
            [UNTIL],
        )
        .fetchone()
    )
    assert broken == 0
    assert still_open > 0


def test_a_closed_opportunity_was_closed_before_the_end_and_an_open_one_has_a_planned_date(each: Company) -> None:
    rows = each.tables["gtm_opportunities"].to_pylist()
    closed = [row for row in rows if row["stage"].startswith("closed")]
    assert closed and len(closed) < len(rows)
    assert all(row["created_date"] < row["close_date"] < UNTIL for row in closed)
    assert all(row["close_date"] is not None for row in rows)


def test_new_customers_connect_most_of_their_integrations_in_their_first_month(small: Company) -> None:
    first_month, later = (
        database(small)
        .execute(
            """select avg(early), avg(late) from (
            select customer_id,
                count(event_id) filter (event_type = 'integration_connect' and timestamp < signup_date + 30) as early,
                count(event_id) filter (event_type = 'integration_connect' and timestamp >= signup_date + 30
                    and timestamp < signup_date + 60) as late
            from customers join usage_events using (customer_id) where signup_date between ? and ?
            group by customer_id)""",
            [UNTIL - timedelta(weeks=SMALL.weeks), UNTIL - timedelta(days=60)],
        )
        .fetchone()
    )
    assert first_month > 2.0 > 5 * later


def test_names_include_some_that_break_careless_escaping_and_only_with_dirt_some_that_look_like_formulas(
    small: Company, soiled: Company
) -> None:
    clean, dirty = (set(company.tables["customers"]["company_name"].to_pylist()) for company in (small, soiled))
    assert {"Smith & Sons", "<b>Bold</b> Analytics", 'The "Quoted" Company'} <= clean & dirty
    assert {name for name in clean if name.startswith(("=", "+", "-", "@"))} == set()
    assert {"=SUM Systems", "+1 Growth", "@home Retail"} <= dirty


def test_the_same_simulation_gives_equal_tables_and_another_seed_does_not(small: Company) -> None:
    again, other = simulate(SMALL), simulate(replace(SMALL, seed=SMALL.seed + 1))
    assert again.oracle.equals(small.oracle)
    assert all(again.tables[name].equals(table) for name, table in small.tables.items())
    assert not any(other.tables[name].equals(table) for name, table in small.tables.items())


CHANNELS = (
    ("usage_events", "timestamp", "event_id"),
    # An open ticket is resolved, an open deal decided, by whoever stays.
    ("support_tickets", "created_date", "ticket_id, resolution_time"),
    ("gtm_opportunities", "created_date", "opp_id, stage, close_date, amount, sales_owner"),
    ("risk_signals", "recorded_at", None),
)


@pytest.mark.parametrize(
    ("family", "channel", "day", "own"),
    # The other family assesses nobody.
    [("health", *channel) for channel in CHANNELS] + [("terms", *channel) for channel in CHANNELS[:-1]],
)
def test_behaviour_before_leaving_is_what_it_would_have_been_without_leaving(
    family: str, channel: str, day: str, own: str | None
) -> None:
    simulation = replace(SMALL, customers=400, weeks=26, family=family)
    kind = KINDS[simulation.family]
    hazards = kind.hazards(simulation)
    population, lives = hazards.population, draw_paths(simulation, hazards)
    never = np.full(population.size, NEVER)

    def facts(paths: Paths) -> pa.Table:
        return pa.concat_tables(kind.tables(simulation, hazards, paths, lambda _: None)[channel]())

    con = duckdb.connect()
    con.register("actual", facts(lives))
    con.register("counterfactual", facts(replace(lives, churn_day=never, censor_day=never)))
    con.register("gone", pa.table({"customer_id": customer_ids(np.arange(population.size)), "day": lives.gone_day}))
    columns = f"* exclude ({own})" if own else "*"
    actual = f"select {columns} from actual"
    before = f"""select {columns} from counterfactual where "{day}"::date - date '1970-01-01' <
                 (select gone.day from gone where gone.customer_id = counterfactual.customer_id)"""
    assert (lives.gone_day < simulation.last_day).sum() > 50
    differing = f"select count(*) from (({actual} except all {before}) union all ({before} except all {actual}))"
    assert con.execute(differing).fetchone()[0] == 0


def weekly(company: Company, measure: str) -> tuple[float, float]:
    """A measure of usage_events in the weeks of the shock and in as many before."""
    begin = UNTIL - timedelta(weeks=SHOCK_WEEKS)
    before = begin - timedelta(weeks=SHOCK_WEEKS)
    query = f"select {measure} from usage_events where timestamp >= ? and timestamp < ?"
    con = database(company)
    return tuple(con.execute(query, [a, b]).fetchone()[0] for a, b in ((begin, UNTIL), (before, begin)))


@pytest.mark.parametrize(
    ("kind", "measure", "low", "high"),
    [
        ("usage", "count(*) filter (event_type in ('monitoring_run', 'api_call'))", 0.4, 0.7),
        ("feed", "count(*)", 0.3, 0.6),
        ("feed", "count(*) filter (event_type in ('evidence_upload', 'report_view'))", 0.0, 0.0),
        ("score", "avg(feature_adoption_score)", 0.5, 0.8),
    ],
)
def test_a_shock_shows_from_its_monday_on_and_changes_nothing_before(
    shocked, small: Company, kind: str, measure: str, low: float, high: float
) -> None:
    company = shocked(kind)
    during, before = weekly(company, measure)
    assert low <= during / before <= high
    assert 0.85 < weekly(small, measure)[0] / weekly(small, measure)[1] < 1.15
    earlier = pc.less(small.tables["usage_events"]["timestamp"], UNTIL - timedelta(weeks=SHOCK_WEEKS))
    count = pc.sum(earlier).as_py()
    assert company.tables["usage_events"].slice(0, count).equals(small.tables["usage_events"].slice(0, count))
    others = set(small.tables) - {"usage_events"}
    assert all(company.tables[name].equals(small.tables[name]) for name in others)
    assert company.oracle.equals(small.oracle)


def test_a_tier_shock_moves_many_customers_one_tier_down_and_no_churn(shocked, small: Company) -> None:
    company = shocked("tier")
    begin = UNTIL - timedelta(weeks=SHOCK_WEEKS)
    moved = [row for row in company.tables["plan_changes"].to_pylist() if row["effective_date"] == begin]
    assert len(moved) > 0.1 * pc.sum(pc.equal(small.oracle["snapshot_date"], begin)).as_py()
    assert all(p.TIERS.index(row["to_tier"]) == p.TIERS.index(row["from_tier"]) - 1 for row in moved)
    for column in ("churn_date", "censor_date"):
        assert company.tables["customers"][column].equals(small.tables["customers"][column])
    assert company.tables["usage_events"].equals(small.tables["usage_events"])


def test_what_is_written_is_read_back_with_the_types_of_the_contract(small: Company, tmp_path: Path) -> None:
    files = write(small, tmp_path)
    assert sorted(file.relative_to(tmp_path).as_posix() for file in files) == sorted(
        ["oracle.parquet", *(f"raw/{name}.parquet" for name in small.tables)]
    )
    types = dict(
        duckdb.execute(
            f"select column_name, column_type from (describe from '{tmp_path}/raw/usage_events.parquet')"
        ).fetchall()
    )
    assert types == {
        "event_id": "VARCHAR",
        "customer_id": "VARCHAR",
        "timestamp": "TIMESTAMP",
        "event_type": "VARCHAR",
        "feature_adoption_score": "DOUBLE",
    }
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_write_that_fails_leaves_the_old_file_whole(
    small: Company, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(small, tmp_path)
    before = (tmp_path / "oracle.parquet").read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("pyarrow.parquet.ParquetWriter.write_table", full)
    with pytest.raises(OSError, match="disk full"):
        write(small, tmp_path)
    assert (tmp_path / "oracle.parquet").read_bytes() == before
    assert not list(tmp_path.rglob("*.tmp"))


def test_progress_is_told_in_sentences() -> None:
    sentences: list[str] = []
    simulate(Simulation(until=date(2026, 11, 2), customers=50, weeks=10), sentences.append)
    assert len(sentences) > 4
    assert any("usage events" in line for line in sentences) and any("probabilities" in line for line in sentences)
