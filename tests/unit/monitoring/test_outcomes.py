"""What became of predictions: by the rule of training, as far as it was known, and kept by Monday."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree

import dagster as dg
import duckdb
import pandas as pd
import pytest

from churn_pipeline.contract import land
from churn_pipeline.core.calendar import WEEK, mondays
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.targets import TARGETS
from churn_pipeline.features.frames import training_frame
from churn_pipeline.features.splits import Span
from churn_pipeline.modeling import ledger
from churn_pipeline.modeling.ledger import LedgerRow
from churn_pipeline.monitoring import outcomes
from churn_pipeline.monitoring.drawing import svg
from churn_pipeline.monitoring.performance import ASSUMPTION, Quality
from churn_pipeline.monitoring.performance_plots import SHOWN, chart
from churn_pipeline.orchestration.assets.features import Translator, dbt_stage, nodes_of
from churn_pipeline.orchestration.assets.outlook import outlook_asset
from churn_pipeline.orchestration.assets.performance import performance_asset
from churn_pipeline.orchestration.dbt import InProcessDbt
from churn_pipeline.orchestration.home import home_resource
from churn_pipeline.orchestration.keys import weekly
from churn_pipeline.policy.holdout import write_holdout
from tests.conftest import TINY_BEFORE, TINY_MONDAY
from tests.support.homes import query
from tests.support.truncation import truncate

# What monitoring keeps of the truth.
KEPT = (
    "prediction_outcomes", "model_quality", "saves", "holdout_lift", "list_quality", "money_calibration", "forecast", "retention",
    "renewals",
)  # fmt: skip
# The Mondays that are judged, and the oldest that was predicted.
JUDGED = [TINY_BEFORE - WEEK, TINY_BEFORE]
OLDEST = JUDGED[0] - 13 * WEEK
LADDER = ["free", "starter", "growth", "enterprise", "custom"]
DAY = timedelta(days=1)
# churn_date and censor_date of some who leave about the last Monday that is judged: on it, before it, before it and then on it.
LEAVING = [(TINY_BEFORE, None), (None, TINY_BEFORE - DAY), (TINY_BEFORE, TINY_BEFORE - DAY)]

# Past predictions of everybody who was active, which cost nothing: labels depend on the customer and the Monday alone.
PREDICTIONS = """
insert into policy.predictions by name
select snapshot_date, customer_id, plan_tier, industry, 12 * known_mrr as annual_revenue, known_mrr as mrr,
       row_number() over (partition by snapshot_date order by p * known_mrr desc, customer_id) as priority_rank,
       p as churn_probability_30d, p as churn_probability_90d,
       case when plan_tier <> 'custom' then p / 2 end as expansion_propensity,
       case when p >= 0.75 then 'CRITICAL' when p >= 0.5 then 'HIGH' when p >= 0.25 then 'MEDIUM' else 'LOW' end as risk_tier,
       '1' as churn_30d_model_version, '1' as churn_90d_model_version, '1' as expansion_model_version,
       'logistic' as churn_30d_model_kind, 'of_30d' as churn_90d_model_kind, null as expansion_model_kind,
       (select any_value(policy_version) from policy.predictions) as policy_version,
       'as_of' as scoring_mode, p >= 0.5 and customer_id like '%7' as is_holdout,
       -- The oldest Monday had no list yet.
       case when snapshot_date > $oldest then p >= 0.3 end as is_on_call_list,
       case when snapshot_date > $oldest and p >= 0.3 then row_number() over (
           partition by snapshot_date, p >= 0.3 order by p * known_mrr desc, customer_id
       ) end as call_rank,
       case when snapshot_date > $oldest then p >= 0.5 end as is_in_holdout_draw
from (
    select snapshot_date, customer_id, plan_tier, industry, known_mrr,
           ('0x' || md5(customer_id || snapshot_date)[:8])::ubigint / 4294967296.0::double as p
    from marts.mart_customer_churn_features
    where snapshot_date >= $oldest and snapshot_date < $first_published
)
"""


def write_interventions(raw: Path, predicted_on: date) -> dict[str, bool]:
    """Interventions at the edges of the 30-day window of a Monday: by customer, whether it counts as touched when that falls due."""
    customers = query_parquet(
        raw / "customers.parquet",
        f"""
        select customer_id from raw
        where churn_date is null and censor_date is null and signup_date < date '{predicted_on}' order by 1
        """,
    )
    last = predicted_on + timedelta(days=30)
    monday = predicted_on + 5 * WEEK
    noon = timedelta(hours=12)
    at = {
        "the day before": (predicted_on - DAY, predicted_on, False),
        "on the Monday": (predicted_on, predicted_on, True),
        "on the last day": (last - DAY, last, True),
        "on the day after": (last, last, False),
        "told on Sunday": (predicted_on + 3 * DAY, monday - DAY, True),
        "told too late": (predicted_on + 3 * DAY, monday, False),
    }
    chosen = dict(zip(at, (customer for (customer,) in customers), strict=False))
    rows = pd.DataFrame(
        {
            "intervention_id": list(at),
            "customer_id": list(chosen.values()),
            "at": [datetime.combine(day, datetime.min.time()) + noon for day, _, _ in at.values()],
            "kind": "call",
            "owner": None,
            "outcome": None,
            "snooze_until": None,
            "loaded_at": [datetime.combine(day, datetime.min.time()) for _, day, _ in at.values()],
        }
    ).astype({"owner": "str", "outcome": "str"})
    path = raw / "interventions.parquet"
    with duckdb.connect() as con:
        con.register("rows", rows)
        con.execute(
            """
            create table touches as
            select * replace (null::varchar as owner, null::varchar as outcome, null::date as snooze_until) from rows
            """
        )
        if path.is_file():
            # What the company's own team did before lies in no window that is judged.
            con.execute(f"insert into touches by name from read_parquet('{path}') where \"at\" < date '{OLDEST}'")
        con.execute(f"copy touches to '{path}' (format parquet)")
    return {chosen[name]: counts for name, (_, _, counts) in at.items()}


def query_parquet(path: Path, sql: str) -> list[tuple]:
    with duckdb.connect() as con:
        con.execute(f"create view raw as from read_parquet('{path}')")
        return con.execute(sql).fetchall()


def land_from(settings: Settings, raw: Path, now: datetime) -> None:
    with duckdb.connect(str(settings.warehouse)) as con:
        land(con, raw, now=now, timezone="UTC", run_id="test", max_bad_share=0.05, max_bad_rows=20)


def materialize(settings: Settings, days: Sequence[date]) -> dg.ExecuteInProcessResult:
    """Runs the two assets for Mondays that have been approved, as one run."""
    with duckdb.connect(str(settings.warehouse)) as con:
        con.execute("create or replace table scoring.approved_mondays (snapshot_date date)")
        con.executemany("insert into scoring.approved_mondays values (?)", [(day,) for day in days])
    dbt, partitions, translator = InProcessDbt(settings), weekly(settings), Translator()
    outcomes_key = dg.AssetKey(["monitoring", "prediction_outcomes"])
    stage = dbt_stage(
        "dbt_outcomes", nodes_of(dbt.manifest, models=["prediction_outcomes"]), dbt.manifest, translator, partitions
    )
    return dg.materialize(
        [stage, performance_asset(outcomes_key, partitions), outlook_asset(outcomes_key, partitions)],
        resources={"home": home_resource(settings, dbt)},
        instance=dg.DagsterInstance.ephemeral(),
        tags={
            "dagster/asset_partition_range_start": str(days[0]),
            "dagster/asset_partition_range_end": str(days[-1]),
        },
    )


def past(tiny_home: Settings, home: Path) -> Settings:
    """A home of its own, with predictions of 14 more Mondays."""
    shutil.copytree(tiny_home.data, home / "data", ignore=shutil.ignore_patterns("published", "dagster"))
    settings = Settings(**tiny_home.model_dump(include=tiny_home.model_fields_set) | {"home": home})
    with duckdb.connect(str(settings.warehouse)) as con:
        for column in ("is_on_call_list boolean", "call_rank bigint", "is_in_holdout_draw boolean"):
            con.execute(f"alter table policy.predictions add column if not exists {column}")
        con.execute(PREDICTIONS, {"oldest": OLDEST, "first_published": TINY_BEFORE})
    return settings


def hold_out(settings: Settings) -> None:
    """Says that somebody was held out from the oldest Monday on."""
    with duckdb.connect(str(settings.warehouse)) as con:
        write_holdout(con, 0.1, OLDEST)


@pytest.fixture(scope="module")
def raw(tiny_home: Settings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The raw data of the tiny company, with interventions."""
    folder = tmp_path_factory.mktemp("touched") / "raw"
    shutil.copytree(tiny_home.raw_dir, folder)
    with duckdb.connect() as con:
        con.execute(f"create table customers as from read_parquet('{folder / 'customers.parquet'}')")
        for number, leaves in enumerate(LEAVING):
            con.execute(
                f"""
                update customers set churn_date = ?::date, censor_date = ?::date where customer_id = (
                    select customer_id from customers
                    where churn_date is null and censor_date is null and signup_date < date '{OLDEST}'
                    order by customer_id desc limit 1 offset {number}
                )
                """,
                list(leaves),
            )
        con.execute(f"copy customers to '{folder / 'customers.parquet'}' (format parquet)")
    write_interventions(folder, TARGETS["churn_30d"].newest_closed(TINY_BEFORE))
    return folder


@pytest.fixture(scope="module")
def home(tiny_home: Settings, raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home that sees a week more than the Mondays that it has judged."""
    settings = past(tiny_home, tmp_path_factory.mktemp("judged"))
    hold_out(settings)
    land_from(settings, raw, tiny_home.clock())
    assert tiny_home.clock().date() == TINY_MONDAY
    assert materialize(settings, JUDGED).success
    return settings


@pytest.fixture
def con(home: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(str(home.warehouse)) as con:
        yield con


def judged(con: duckdb.DuckDBPyConnection, target: str, monday: date) -> dict[str, int]:
    return dict(
        con.execute(
            "select customer_id, label from monitoring.prediction_outcomes where target = ? and assessed_on = ?",
            [target, monday],
        ).fetchall()
    )


@pytest.mark.parametrize("monday", JUDGED)
@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_every_label_is_the_one_that_training_would_use(con: duckdb.DuckDBPyConnection, target, monday: date) -> None:
    predicted_on = target.newest_closed(monday)
    frame = training_frame(con, target, monday, whole=[Span(predicted_on, predicted_on)], first=predicted_on)
    frame = frame[frame["snapshot_date"] == pd.Timestamp(predicted_on)]
    labels = judged(con, target.name, monday)
    assert len(labels) > 300
    assert sum(labels.values()) > 5
    assert labels == dict(zip(frame["customer_id"], frame["label"], strict=True))


@pytest.mark.parametrize("monday", JUDGED)
def test_every_label_follows_from_the_raw_data(con: duckdb.DuckDBPyConnection, raw: Path, monday: date) -> None:
    """Worked out again in Python, from the words of the design."""
    gone = {
        customer: (churned, censored)
        for customer, churned, censored in query_parquet(
            raw / "customers.parquet", "select customer_id, churn_date::date, censor_date::date from raw"
        )
    }
    moves: dict[str, list[date]] = {}
    for customer, day, before, after in query_parquet(
        raw / "plan_changes.parquet", "select customer_id, effective_date::date, from_tier, to_tier from raw"
    ):
        if LADDER.index(after) > LADDER.index(before):
            moves.setdefault(customer, []).append(day)

    def churned(customer: str, start: date, days: int) -> bool:
        churn_date, _ = gone[customer]
        return churn_date is not None and start <= churn_date < start + timedelta(days=days)

    def grew(customer: str, start: date, days: int) -> bool:
        first_gone = min((day for day in gone[customer] if day), default=date.max)
        return any(start <= day < start + timedelta(days=days) and day < first_gone for day in moves.get(customer, []))

    for target in TARGETS.values():
        happened = churned if target.event == "churn" else grew
        start = target.newest_closed(monday)
        expected = {
            customer: int(happened(customer, start, target.horizon_days))
            for customer in judged(con, target.name, monday)
        }
        assert judged(con, target.name, monday) == expected
        assert sum(expected.values()) > 5


def test_every_prediction_of_5_and_13_weeks_before_is_judged_and_no_other(con: duckdb.DuckDBPyConnection) -> None:
    rows = con.execute(
        "select distinct target, assessed_on, predicted_on from monitoring.prediction_outcomes order by all"
    ).fetchall()
    assert rows == sorted((t.name, monday, t.newest_closed(monday)) for t in TARGETS.values() for monday in JUDGED)
    for target, column in (("churn_30d", "true"), ("expansion_90d", "expansion_propensity is not null")):
        predicted_on = TARGETS[target].newest_closed(TINY_BEFORE)
        assert con.execute(
            f"select count(*) from policy.predictions where snapshot_date = ? and {column}", [predicted_on]
        ).fetchone() == (len(judged(con, target, TINY_BEFORE)),)


def test_an_outcome_keeps_the_version_and_the_kind_of_the_model_that_predicted_it(
    con: duckdb.DuckDBPyConnection,
) -> None:
    rows = con.execute(
        "select distinct target, model_version, model_kind from monitoring.prediction_outcomes order by target"
    ).fetchall()
    # Of a Monday before kinds were kept there is none.
    assert rows == [("churn_30d", "1", "logistic"), ("churn_90d", "1", "of_30d"), ("expansion_90d", "1", None)]


def test_touched_is_who_had_an_intervention_in_the_window_that_was_known_in_time(
    con: duckdb.DuckDBPyConnection, raw: Path, tmp_path: Path
) -> None:
    shutil.copy(raw / "customers.parquet", tmp_path)
    expected = write_interventions(tmp_path, TARGETS["churn_30d"].newest_closed(TINY_BEFORE))
    is_touched = dict(
        con.execute(
            """
            select customer_id, touched from monitoring.prediction_outcomes
            where target = 'churn_30d' and assessed_on = ? and (touched or customer_id in (select unnest(?::varchar[])))
            """,
            [TINY_BEFORE, list(expected)],
        ).fetchall()
    )
    assert is_touched == expected


def test_the_status_is_that_of_the_monday(con: duckdb.DuckDBPyConnection) -> None:
    rows = con.execute(
        """
        select assessed_on, status, churn_date, censor_date
        from monitoring.prediction_outcomes inner join landing.customers using (customer_id)
        """
    ).fetchall()
    assert {status for _, status, _, _ in rows} == {"active", "churned", "left"}
    assert set(LEAVING) <= {(churned, censored) for *_, churned, censored in rows}
    for monday, status, churned, censored in rows:
        gone = min((day for day in (churned, censored) if day and day < monday), default=None)
        assert status == ("active" if gone is None else "churned" if gone == churned else "left")


def test_outcomes_and_their_figures_are_the_same_when_the_future_is_cut_off(
    tiny_home: Settings, home: Settings, raw: Path, tmp_path: Path
) -> None:
    dropped = truncate(raw, tmp_path / "raw", TINY_BEFORE)
    assert dropped["interventions"] == 1
    settings = past(tiny_home, tmp_path / "home")
    hold_out(settings)
    land_from(settings, tmp_path / "raw", datetime.fromisoformat(f"{TINY_BEFORE}T12:00:00+00:00"))
    assert materialize(settings, JUDGED).success
    for relation in KEPT:
        both = [
            query(
                each.warehouse,
                f"select columns(lambda c: c <> 'run_id')::varchar from monitoring.{relation} order by all",
            )
            for each in (home, settings)
        ]
        assert both[0] == both[1], relation
        assert both[0] or relation == "renewals", f"{relation}: nothing is compared"


def test_a_monday_that_is_run_again_replaces_itself_and_nothing_else(home: Settings, tmp_path: Path) -> None:
    shutil.copytree(home.data, tmp_path / "data")
    settings = home.model_copy(update={"home": tmp_path})

    def kept(without: str = "''") -> dict[str, list[tuple]]:
        return {
            name: query(
                settings.warehouse,
                f"select columns(lambda c: c not in ({without}))::varchar from monitoring.{name} order by all",
            )
            for name in KEPT
        }

    before, whole = kept("'run_id'"), kept()
    with duckdb.connect(str(settings.warehouse)) as con:
        con.execute("delete from monitoring.prediction_outcomes where assessed_on = ? and label = 1", [JUDGED[1]])
        con.execute("insert into monitoring.saves (assessed_on) values (?)", [JUDGED[1]])
    assert materialize(settings, JUDGED[1:]).success
    assert kept("'run_id'") == before
    other = {row for rows in whole.values() for row in rows if str(JUDGED[0]) in row}
    assert other <= {row for rows in kept().values() for row in rows}


def test_what_is_kept_of_a_monday_is_what_was_found(con: duckdb.DuckDBPyConnection) -> None:
    findings = outcomes.find(con, TINY_BEFORE)

    def rows(quality: Sequence[Quality]) -> dict[tuple, dict]:
        keys = ("target", "basis", "customers", "plan_tier", "figure")
        return {tuple(row[key] for key in keys): row for each in quality for row in each.to_rows()}

    kept = con.execute("from monitoring.model_quality where assessed_on = ?", [TINY_BEFORE]).df()
    assert set(kept["basis"]) == {"realised", "expected"}
    assert set(kept.loc[kept["basis"] == "expected", "predicted_on"]) == {pd.Timestamp(TINY_BEFORE)}
    assert set(kept.loc[kept["basis"] == "realised", "target"]) == set(TARGETS)
    assert rows(outcomes.quality_of(con, TINY_BEFORE)) == rows(findings.quality)
    for table, found in (("saves", findings.saves), ("holdout_lift", findings.lift)):
        (row,) = con.execute(f"from monitoring.{table} where assessed_on = ?", [TINY_BEFORE]).df().to_dict("records")
        assert found is not None
        for name, value in asdict(found).items():
            assert row[name] == (pd.Timestamp(value) if isinstance(value, date) else value), (table, name)
    kept_lists = con.execute("from monitoring.list_quality where assessed_on = ?", [TINY_BEFORE]).df()
    assert {each.ranking: each.revenue.value for each in findings.lists} == dict(
        zip(kept_lists["ranking"], kept_lists["revenue"], strict=True)
    )
    assert {each.target for each in findings.money} == {"churn_30d", "churn_90d"}


def test_a_monday_from_before_there_was_a_list_has_no_saves_and_no_trial(con: duckdb.DuckDBPyConnection) -> None:
    before = outcomes.find(con, JUDGED[0], capacity=25)
    assert (before.saves, before.lift) == (None, None)
    assert {(each.basis, each.calls) for each in before.lists} == {("priority_rank", 25)}
    after = outcomes.find(con, JUDGED[1], capacity=25)
    assert after.saves is not None and after.lift is not None
    assert {each.basis for each in after.lists} == {"call_list"}
    assert after.lists[0].calls == query_one(
        con, "select count(*) from policy.predictions where is_on_call_list and snapshot_date = ?", OLDEST + WEEK
    )


def test_saves_are_the_touched_of_the_list_and_their_money(con: duckdb.DuckDBPyConnection) -> None:
    found = outcomes.find(con, JUDGED[1]).saves
    assert found is not None
    touched, left, revenue = (
        con.execute(
            """
        select count(*), sum(12 * known_mrr) filter (where label = 1), sum(12 * known_mrr)
        from monitoring.prediction_outcomes inner join marts.mart_customer_churn_features as mart using (customer_id)
        where assessed_on = ? and target = 'churn_90d' and touched and probability >= 0.3 and mart.snapshot_date = predicted_on
        """,
            [JUDGED[1]],
        ).fetchone()
        or ()
    )
    assert (found.touched, found.revenue, found.revenue_left) == (
        touched,
        pytest.approx(revenue),
        pytest.approx(left or 0),
    )


def test_the_arms_of_the_hold_out_are_who_was_in_the_draw_from_their_first_monday(
    home: Settings, tmp_path: Path
) -> None:
    """Who is in neither arm is left out, whoever comes back is no second customer, and a Monday without a share is no trial."""
    shutil.copytree(home.data, tmp_path / "data")
    with duckdb.connect(str(tmp_path / "data" / "warehouse.duckdb")) as con:
        lift = outcomes.find(con, JUDGED[1]).lift
        drawn = con.execute(
            "select customer_id, is_holdout from policy.predictions where is_in_holdout_draw and snapshot_date = ?",
            [OLDEST + WEEK],
        ).fetchall()
        assert lift is not None and lift.predicted_on == OLDEST + WEEK
        assert 0 < lift.held_out <= sum(held_out for _, held_out in drawn)
        assert lift.held_out + lift.others <= len(drawn)
        # Everybody was in the draw a week before, on the other side: that is what counts, and they count once.
        con.execute(
            "update policy.predictions set is_in_holdout_draw = true, is_holdout = not is_holdout where snapshot_date = ?",
            [OLDEST],
        )
        con.execute(
            "delete from policy.predictions where snapshot_date = ? and customer_id not in (select unnest(?::varchar[]))",
            [OLDEST, [customer for customer, _ in drawn]],
        )
        swapped = outcomes.find(con, JUDGED[1]).lift
        assert swapped is not None
        assert (swapped.held_out, swapped.others) != (lift.held_out, lift.others)
        assert swapped.held_out + swapped.others <= len(drawn)
        assert swapped.held_out > swapped.others
        con.execute("update control.holdout set effective_from = ?", [OLDEST + WEEK])
        assert outcomes.find(con, JUDGED[1]).lift == lift
        con.execute("update control.holdout set share = 0")
        assert outcomes.find(con, JUDGED[1]).lift is None
        con.execute("drop table control.holdout")
        assert outcomes.find(con, JUDGED[1]).lift is None


def test_a_home_that_kept_saves_without_money_gets_the_columns_and_keeps_its_rows(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "old.duckdb")) as con:
        con.execute("create schema monitoring")
        con.execute("create table monitoring.saves (assessed_on date, touched bigint, run_id varchar)")
        con.execute("insert into monitoring.saves values ('2026-06-01', 4, 'old')")
        outcomes.create_tables(con)
        outcomes.create_tables(con)
        assert con.execute("select touched, run_id, revenue_left from monitoring.saves").fetchall() == [
            (4, "old", None)
        ]


def test_a_model_learned_from_the_untouched_alone_where_the_setting_said_so_and_before_it_could_be_said() -> None:
    with duckdb.connect() as con:
        asked = {"1": {"asked_of": {"train_on_touched": True}}, "2": {"asked_of": {"train_on_touched": False}}, "3": {}}
        for version, metrics in asked.items():
            ledger.append(
                con,
                LedgerRow(
                    target="churn_90d",
                    version=version,
                    promoted=True,
                    effective_from=OLDEST,
                    labels_closed_by=OLDEST,
                    reason="test",
                    who="test",
                    metrics=metrics,
                    recorded_at=datetime(2026, 1, 1, tzinfo=UTC),
                ),
            )
        figures = [
            Quality("churn_90d", OLDEST, version, "all", "all", "realised", 100, 10, {}, {}) for version in asked
        ]
        assert outcomes.trained_without_touched(con, figures) == {("churn_90d", "2"), ("churn_90d", "3")}


def query_one(con: duckdb.DuckDBPyConnection, sql: str, *parameters: object) -> object:
    ((value,),) = con.execute(sql, list(parameters)).fetchall()
    return value


def test_a_monday_before_which_nothing_was_predicted_has_nothing_to_say(con: duckdb.DuckDBPyConnection) -> None:
    findings = outcomes.find(con, OLDEST - WEEK)
    assert (findings.quality, findings.saves, findings.lift, findings.lists, findings.money) == ((), None, None, (), ())


def test_nothing_can_be_drawn_and_is_drawn_all_the_same_before_the_first_truth(con: duckdb.DuckDBPyConnection) -> None:
    history = outcomes.history(con)
    empty = svg(chart(history.iloc[:0]))
    assert all(words in empty for words in SHOWN.values())
    assert "no truth yet: it takes 13 weeks" in svg(chart(history[history["basis"] == "expected"]))


def test_the_chart_is_published_and_says_what_it_assumes(home: Settings) -> None:
    picture, drawing = (home.published / f"model_quality.{form}" for form in ("png", "svg"))
    assert picture.read_bytes().startswith(b"\x89PNG")
    lines = ElementTree.fromstring(drawing.read_text(encoding="utf-8")).itertext()
    assert ASSUMPTION in " ".join(" ".join(lines).split())
    assert not list(home.published.glob(".*"))


def test_who_is_held_out_stays_so_for_a_quarter_and_can_be_worked_out_again(
    tiny_home: Settings, tmp_path: Path
) -> None:
    """On 60 Mondays of everybody, in the SQL of the policy; the same numbers in Python."""
    share, seed = 0.2, 7
    macro = (tiny_home.dbt_project / "macros" / "policy" / "holdout_draw.sql").read_text(encoding="utf-8")
    from jinja2 import Environment

    draw = Environment().from_string(macro).module.holdout_draw("customer_id", "snapshot_date", str(seed))
    rows = query(
        tiny_home.warehouse, f"select customer_id, snapshot_date, {draw} from marts.mart_customer_churn_features"
    )
    answers_by_quarter: dict[tuple[str, str], set[bool]] = {}
    for customer, day, drawn in rows:
        quarter = f"{day.year}Q{(day.month + 2) // 3}"
        digest = hashlib.md5(f"{customer}|{quarter}|{seed}".encode()).hexdigest()
        assert drawn == int(digest[:8], 16) / 2**32
        answers_by_quarter.setdefault((customer, quarter), set()).add(drawn < share)
    assert all(len(answers) == 1 for answers in answers_by_quarter.values())
    quarters = [next(iter(answers)) for answers in answers_by_quarter.values()]
    # 3,000 draws put 0.007 of noise on the share.
    assert len(quarters) > 2_000
    assert sum(quarters) / len(quarters) == pytest.approx(share, abs=0.03)
    # Another quarter draws again: who was held out once is not held out for ever.
    by_customer: dict[str, set[bool]] = {}
    for (customer, _), answers in answers_by_quarter.items():
        by_customer.setdefault(customer, set()).update(answers)
    assert sum(len(answers) == 2 for answers in by_customer.values()) > 200


@pytest.mark.long
def test_candidates_hold_out_a_share_of_who_would_be_called_and_nobody_while_it_is_off(
    tiny_home: Settings, tmp_path: Path
) -> None:
    settings = past(tiny_home, tmp_path)
    dbt = InProcessDbt(settings)

    def candidates(share: float | None) -> dict[str, set[str]]:
        with duckdb.connect(str(settings.warehouse)) as con:
            con.execute("drop table if exists control.holdout")
            if share is not None:
                write_holdout(con, share, date(2020, 1, 6))
        dbt_candidates(dbt, settings)
        columns = ("is_on_call_list", "is_in_holdout_draw", "is_holdout", "annual_revenue > 100000")
        rows = query(settings.warehouse, f"select customer_id, {', '.join(columns)} from policy.prediction_candidates")
        return {
            name: {row[0] for row in rows if row[n]}
            for n, name in enumerate(("listed", "drawn", "held_out", "large"), 1)
        }

    usual = candidates(None)
    assert len(usual["listed"]) > 100
    assert not usual["drawn"] and not usual["held_out"]
    all_held_out = candidates(1.0)
    assert all_held_out["drawn"] == all_held_out["held_out"] == usual["listed"] - usual["large"]
    # The largest stay on the list, and others take the places that became free: in neither arm.
    assert usual["listed"] & all_held_out["listed"] == usual["listed"] & usual["large"]
    assert not all_held_out["listed"] & all_held_out["drawn"]
    some, more = candidates(0.2), candidates(0.5)
    assert some["drawn"] == more["drawn"] == all_held_out["drawn"]
    assert some["held_out"] < more["held_out"] < some["drawn"]
    assert 0.1 < len(some["held_out"]) / len(some["drawn"]) < 0.3


def dbt_candidates(dbt: InProcessDbt, settings: Settings) -> None:
    """Turns the scores that lie in the warehouse into candidates."""
    stage = dbt_stage(
        "dbt_candidates",
        nodes_of(dbt.manifest, models=["prediction_candidates"]),
        dbt.manifest,
        Translator(),
        weekly(settings),
    )
    result = dg.materialize(
        [stage],
        resources={"home": home_resource(settings, dbt)},
        instance=dg.DagsterInstance.ephemeral(),
        partition_key=str(TINY_BEFORE),
    )
    assert result.success


@pytest.mark.parametrize(
    ("known", "until", "snoozed"),
    [(-1, 1, True), (-1, 0, False), (0, 30, False), (-40, 30, True), (-40, -1, False)],
    ids=["one day more", "over on the Monday", "asked for on the Monday", "long ago", "long over"],
)
def test_a_snooze_lasts_until_its_day_and_counts_from_the_day_after_it_was_known(
    snoozing: Settings, known: int, until: int, snoozed: bool
) -> None:
    snoozes = query(
        snoozing.warehouse,
        f"select snoozed_until from policy.prediction_candidates where customer_id = '{_snoozed(snoozing)[known, until]}'",
    )
    assert snoozes == [(TINY_BEFORE + timedelta(days=until) if snoozed else None,)]


def test_the_latest_of_several_snoozes_counts_and_nobody_else_is_snoozed(snoozing: Settings) -> None:
    ids = _snoozed(snoozing)
    snoozed_customers = query(
        snoozing.warehouse, "select customer_id from policy.prediction_candidates where snoozed_until is not null"
    )
    assert {customer for (customer,) in snoozed_customers} == {ids[-1, 1], ids[-40, 30]}


CASES = [(-1, 1), (-1, 0), (0, 30), (-40, 30), (-40, -1)]


def _snoozed(settings: Settings) -> dict[tuple[int, int], str]:
    rows = query(settings.warehouse, "select distinct customer_id from scoring.scores order by 1 limit 5")
    return dict(zip(CASES, (customer for (customer,) in rows), strict=True))


@pytest.fixture(scope="module")
def snoozing(tiny_home: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Candidates of customers whom somebody asked to leave alone, each with a shorter snooze before."""
    settings = past(tiny_home, tmp_path_factory.mktemp("snoozing"))
    chosen = _snoozed(settings)
    with duckdb.connect(str(settings.warehouse)) as con:
        for (known, until), customer in chosen.items():
            for number, end in enumerate((until, min(until, -20))):
                day = TINY_BEFORE + timedelta(days=known)
                con.execute(
                    """
                    insert into landing.interventions by name
                    select ?::varchar as intervention_id, ?::varchar as customer_id, ?::date as at_date, ?::date as known_date,
                           ?::date as snooze_until
                    """,
                    [f"{customer}-{number}", customer, day, day, TINY_BEFORE + timedelta(days=end)],
                )
    dbt_candidates(InProcessDbt(settings), settings)
    return settings


def test_the_outcomes_know_every_target(con: duckdb.DuckDBPyConnection) -> None:
    assert {
        name for (name,) in con.execute("select distinct target from monitoring.prediction_outcomes").fetchall()
    } == set(TARGETS)
    assert list(mondays(JUDGED[0], JUDGED[1] + DAY)) == JUDGED
