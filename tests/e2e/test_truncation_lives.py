"""Invariant 1 where customers come back: features and labels of a company whose lives are made of subscriptions, or of several rows."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pandas as pd
import pytest

from churn_pipeline.contract import land
from churn_pipeline.core.calendar import WEEK
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.targets import TARGETS
from churn_pipeline.core.warehouse import connect
from churn_pipeline.features import frames, verdicts
from churn_pipeline.features.plan import MARTS, code_version, write_plan
from churn_pipeline.features.splits import Span
from churn_pipeline.orchestration.dbt import InProcessDbt
from tests.support.homes import differences
from tests.support.returning import END, write_returning
from tests.support.truncation import truncate

MONDAYS = (date(2025, 3, 3), date(2025, 9, 1))


def built(home: Path, raw: Path, now: date) -> Settings:
    """A home that has landed ``raw`` and built the features of every Monday up to the last one."""
    settings = Settings(home=home, raw=raw, now=datetime(now.year, now.month, now.day, tzinfo=UTC), history_weeks=100)
    settings.data.mkdir(parents=True)
    with connect(settings) as con:
        land(
            con,
            raw,
            now=settings.clock(),
            timezone="UTC",
            run_id="run",
            max_bad_share=0.2,
            max_bad_rows=0,
            life_gap_days=settings.life_gap_days,
        )
        verdicts.create_tables(con)
        write_plan(con, [now], history_weeks=settings.history_weeks, code=code_version(settings.dbt_project))
    dbt = InProcessDbt(settings)
    select = [f"+{mart}" for mart in MARTS]
    dbt._invoke(["build", "--select", *select, "--exclude-resource-types", "unit_test", "test"], manifest=dbt._parsed)
    return settings


def labels(settings: Settings, monday: date) -> dict[str, pd.DataFrame]:
    """What models of a Monday would be taught, by target."""
    made = {}
    with connect(settings) as con:
        for name, declared in TARGETS.items():
            target = frames.settled(con, declared, monday)
            newest = target.newest_closed(monday)
            whole = [Span(newest - 40 * WEEK, newest)]
            made[name] = frames.training_frame(con, target, monday, whole=whole, first=whole[0].first)
            made[f"{name}, so far"] = frames.recent_frame(con, target, monday, first=whole[0].first)
    return made


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("with_subscriptions", [True, False], ids=["subscriptions", "rows of customers"])
def test_nothing_of_a_life_changes_when_its_future_is_cut_off(tmp_path: Path, with_subscriptions: bool) -> None:
    raw = write_returning(tmp_path / "raw", with_subscriptions=with_subscriptions)
    full = built(tmp_path / "full", raw, END)
    with connect(full) as con:
        kinds = con.execute(
            "select count(*) filter (where life > 1), count(*) filter (where end_kind = 'left'), count(*) from landing.lives"
        ).fetchall()[0]
    assert min(kinds) > 20
    for monday in MONDAYS:
        cut = tmp_path / f"raw_{monday}"
        assert truncate(raw, cut, monday)["customers" if not with_subscriptions else "subscriptions"] > 20
        truncated = built(tmp_path / f"home_{monday}", cut, monday)
        for mart in MARTS:
            compared = differences(
                full.warehouse,
                truncated.warehouse,
                f"marts.{mart}",
                f"snapshot_date <= date '{monday}' and snapshot_date > date '{monday - 30 * WEEK}'",
            )
            assert compared["rows"] > 1000
            assert (compared["only_left"], compared["only_right"]) == (0, 0), (mart, compared)
        taught, taught_later = labels(truncated, monday), labels(full, monday)
        for name, frame in taught.items():
            later = taught_later[name]
            later = later[later["snapshot_date"] >= frame["snapshot_date"].min()].reset_index(drop=True)
            frame = frame[frame["snapshot_date"] >= later["snapshot_date"].min()].reset_index(drop=True)
            # Of the windows that are still open there are a few weeks, and of each customer one.
            is_open = "seen_days" in frame.columns
            assert len(frame) > (100 if is_open else 500)
            assert frame["label"].sum() > (0 if is_open else 5)
            pd.testing.assert_frame_equal(frame, later, check_exact=True)
