"""One more target is one declaration: a Monday with it runs to publication, and half a year later it is judged."""

from __future__ import annotations

import base64
import gzip
import json
import re
import shutil
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import duckdb
import pytest

from churn_pipeline.core import dbt_targets
from churn_pipeline.core.calendar import WEEK
from churn_pipeline.core.errors import InputError
from churn_pipeline.core.settings import REPOSITORY, Settings
from churn_pipeline.core.targets import TARGETS
from churn_pipeline.delivery.report.write import page_of
from churn_pipeline.modeling.lifecycle import decide_by_hand
from churn_pipeline.orchestration.definitions import build_defs
from churn_pipeline.orchestration.execute import run_mondays, train_monday
from churn_pipeline.simulate import Simulation, simulate, write
from tests.conftest import TINY
from tests.support.homes import at_noon_of, query
from tests.unit.core.test_targets import CHURN_180D

# Two Mondays and a training from nothing: a minute of processor time.
pytestmark = pytest.mark.long

# The only training Monday of a grid of 104 weeks within the data: the run half a year later trains nothing, and nothing is compared.
MONDAY = date(2025, 10, 27)
DUE = MONDAY + CHURN_180D.horizon_weeks * WEEK
# Before MONDAY: three horizons of 26 weeks, the weeks of calibration and test, and some to train on.
WEEKS = 96
SMALL = TINY | {"training_cadence_weeks": 104, "history_weeks": WEEKS, "min_train_churners": 5, "min_test_churners": 2}


@pytest.fixture(scope="module")
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def settings(
    patch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory, home_at: Callable[..., Settings]
) -> Settings:
    """A home whose code declares ``churn_180d``, and which has run MONDAY and, half a year later, DUE."""
    out = tmp_path_factory.mktemp("half_a_year")
    write(
        simulate(
            Simulation(customers=300, weeks=WEEKS + CHURN_180D.horizon_weeks, until=DUE + WEEK, seed=5, call_share=0.0)
        ),
        out,
    )
    project = Path(shutil.copytree(REPOSITORY / "dbt_project", out / "dbt_project"))
    patch.setitem(TARGETS, CHURN_180D.name, CHURN_180D)
    patch.setattr(Settings, "dbt_source", project)
    dbt_targets.write(project)
    settings = home_at(out / "raw", DUE, **SMALL)
    trained, rows = train_monday(settings, MONDAY, "test")
    assert trained.exit_code == 0, trained.reason
    assert {row["target"]: row["version"] for row in rows} == dict.fromkeys(TARGETS, "1")
    with duckdb.connect(str(settings.warehouse)) as con:
        for row in rows:
            # Whether a model of so few customers beats a baseline is chance, and no matter here.
            if not row["promoted"]:
                decide_by_hand(
                    con,
                    at_noon_of(settings, MONDAY),
                    row["target"],
                    "1",
                    decision="promote",
                    reason="small",
                    who="test",
                )
    for monday in (MONDAY, DUE):
        outcome = run_mondays(settings, monday)
        assert outcome.exit_code == 0, outcome.reason
    return settings


def test_the_published_tables_have_its_columns_after_those_of_before(settings: Settings) -> None:
    parquet = settings.published / "predictions" / f"{MONDAY}.parquet"
    with duckdb.connect(str(settings.published_database), read_only=True) as con:
        # Not from the name of the folder, which would be one more column.
        for relation in ("predictions", f"read_parquet('{parquet}', hive_partitioning = false)"):
            columns = [name for (name, *_) in con.execute(f"describe from {relation}").fetchall()]
            assert columns[-3:] == ["churn_probability_180d", "churn_180d_model_version", "churn_180d_model_kind"]
            rows = con.execute(
                f"""
                select count(*), count(churn_probability_180d), count(*) filter (where churn_180d_model_version = '1' and churn_180d_model_kind is not null),
                       count(*) filter (where churn_probability_180d < churn_probability_90d)
                from {relation} where snapshot_date = ?
                """,
                [MONDAY],
            ).fetchone()
            assert rows is not None
            customers, given, versioned, less_probable = rows
            assert customers > 100
            assert (given, versioned, less_probable) == (customers, customers, 0)


def test_its_probability_is_its_contributions_or_that_of_a_shorter_window(settings: Settings) -> None:
    rows = query(
        settings.warehouse,
        f"""
        with own as (
            select customer_id, target, probability,
                   1 / (1 + exp(-(bias + list_sum(list_transform(contributions, lambda c: c.contribution))))) as own_probability
            from scoring.scores where snapshot_date = date '{MONDAY}' and target like 'churn%'
        ),
        highest as (
            select max(probability) filter (where target = 'churn_180d') as probability, max(own_probability) as highest
            from own group by customer_id
        )
        select count(*), count(*) filter (where abs(probability - highest) > 1e-6) from highest
        """,
    )
    assert rows[0][0] > 100
    assert rows[0][1] == 0


def test_half_a_year_later_its_predictions_are_judged(settings: Settings) -> None:
    outcomes = query(
        settings.warehouse,
        f"""
        select predicted_on, count(*), sum(label), count(model_version || model_kind)
        from monitoring.prediction_outcomes where target = 'churn_180d' and assessed_on = date '{DUE}' group by 1
        """,
    )
    assert [predicted_on for predicted_on, *_ in outcomes] == [MONDAY]
    (_, rows, left, versions), *_ = outcomes
    assert (
        rows
        == versions
        == query(
            settings.published_database, f"select count(*) from predictions where snapshot_date = date '{MONDAY}'"
        )[0][0]
    )
    assert left > 5
    with duckdb.connect(str(settings.warehouse), read_only=True) as con:
        customers = con.execute(
            """
            select count(*) from landing.customers inner join policy.predictions using (customer_id)
            where snapshot_date = $monday and churn_date >= $monday and churn_date < $monday + 180
            """,
            {"monday": MONDAY},
        ).fetchall()
    assert left == customers[0][0]
    judged = query(
        settings.warehouse,
        f"""
        select distinct basis, predicted_on from monitoring.model_quality
        where target = 'churn_180d' and assessed_on = date '{DUE}' and value is not null
        """,
    )
    assert sorted(judged) == [("expected", DUE), ("realised", MONDAY)]


def test_the_weekly_page_shows_it(settings: Settings) -> None:
    page = page_of(settings, DUE).read_text(encoding="utf-8")
    assert "<h3>Churn within 180 days: version 1" in page
    assert "one for 180 days after 26" in page
    assert '"Leaves within 180 days"' in page
    details = re.search(r'<script[^>]*id="packed-details"[^>]*>([^<]+)<', page)
    assert details is not None
    others = json.loads(gzip.decompress(base64.b64decode(details[1])))["others"]
    published = query(
        settings.published_database,
        f"""
        select round(10000 * churn_probability_180d)::integer from predictions
        where snapshot_date = date '{DUE}' order by call_rank nulls last, priority_rank
        """,
    )
    assert others[0] == [probability for (probability,) in published]


def test_a_declaration_that_nothing_can_follow_is_refused_when_definitions_load(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_defs(settings)
    monkeypatch.delitem(TARGETS, "churn_180d")
    with pytest.raises(InputError, match=r"generated/targets\.sql.*make generate"):
        build_defs(settings)
