"""Probabilities of one event never fall with the horizon, however many horizons there are."""

from __future__ import annotations

from functools import partial

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from churn_pipeline.core.calendar import WEEK
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.targets import TARGETS, target_of
from churn_pipeline.features.catalogue import read_catalogue
from churn_pipeline.features.frames import scoring_frame
from churn_pipeline.modeling.model import ScoringModel
from churn_pipeline.scoring import score
from churn_pipeline.scoring.kept import kept_contributions, row_digests
from churn_pipeline.scoring.score import monotone, score_monday
from tests.conftest import TINY_BEFORE, TINY_MONDAY
from tests.unit.core.test_targets import CHURN_180D

PROBABILITY = st.floats(0, 1)


@given(st.lists(st.tuples(PROBABILITY, PROBABILITY, PROBABILITY, PROBABILITY), min_size=1, max_size=20))
def test_each_probability_is_the_largest_of_its_own_and_of_the_shorter_horizons(rows: list[tuple[float, ...]]) -> None:
    names = ["churn_30d", "churn_90d", "churn_180d", "expansion_90d"]
    table = pd.DataFrame(rows, columns=names)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TARGETS, "churn_180d", CHURN_180D)
        raised, shares = monotone({name: table[name] for name in names})
    assert raised["churn_30d"].tolist() == table["churn_30d"].tolist()
    assert raised["expansion_90d"].tolist() == table["expansion_90d"].tolist()
    assert raised["churn_90d"].tolist() == [max(row[:2]) for row in rows]
    assert raised["churn_180d"].tolist() == [max(row[:3]) for row in rows]
    assert shares == {
        "churn_90d": np.mean([row[0] > row[1] for row in rows]),
        "churn_180d": np.mean([max(row[:2]) > row[2] for row in rows]),
    }


def test_a_horizon_without_a_model_raises_nothing() -> None:
    own = pd.Series([0.1, 0.2], index=["a", "b"])
    raised, shares = monotone({"churn_90d": own})
    assert raised["churn_90d"].tolist() == [0.1, 0.2]
    assert shares == {}


def test_a_customer_whom_the_shorter_horizon_does_not_know_keeps_the_probability() -> None:
    short, long = pd.Series([0.5], index=["b"]), pd.Series([0.1, 0.2], index=["a", "b"])
    raised, shares = monotone({"churn_30d": short, "churn_90d": long})
    assert raised["churn_90d"].to_dict() == {"a": 0.1, "b": 0.5}
    assert shares == {"churn_90d": 0.5}


def test_scored_in_batches_a_monday_is_to_the_bit_what_the_pipeline_wrote_at_once(
    tiny_two_mondays: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tiny_two_mondays
    with duckdb.connect(str(settings.warehouse), read_only=True) as con:
        written = con.sql(
            f"select * from scoring.scores where snapshot_date = date '{TINY_MONDAY}' order by target, customer_id"
        ).to_arrow_table()
        versions = con.execute(
            "select unnest(map_entries(model_versions), recursive := true) from scoring.scored_mondays"
        ).fetchall()
        models = {target: ScoringModel.load(settings.models / target / version) for target, version in versions}
        frames = {target: scoring_frame(con, TARGETS[target], TINY_MONDAY) for target in models}
        before = scoring_frame(con, target_of("risk"), TINY_MONDAY - WEEK)
    mart = target_of("risk").mart
    today = read_catalogue(settings.dbt_project / "models" / "marts" / f"{mart}.yml")
    monkeypatch.setattr(score, "ROWS_AT_ONCE", 100)
    batches = list(score_monday(TINY_MONDAY, models, frames, before, today).batches())
    assert len(batches) > len(models)
    again = pa.concat_tables(batches).sort_by([("target", "ascending"), ("customer_id", "ascending")])
    assert again.to_pylist() == written.select(again.column_names).to_pylist()


def test_contributions_of_last_monday_are_read_back_where_model_and_row_are_the_same_and_computed_where_not(
    tiny_home: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monday, risk = TINY_BEFORE, target_of("risk")
    with duckdb.connect(str(tiny_home.warehouse), read_only=True) as con:
        model, other = (ScoringModel.load(tiny_home.models / name / "1") for name in (risk.name, "churn_30d"))
        frame = scoring_frame(con, risk, monday)
        computed, _ = model.contributions(frame)
        read = kept_contributions(con, monday, len(model.catalogue))
        is_kept, contributions = read(frame["customer_id"], row_digests(model, frame))
        assert is_kept.all()
        assert contributions.tobytes() == computed.tobytes()
        # A row that is another one now, and another model.
        changed = frame.assign(total_events=frame["total_events"].where(frame.index != 3, 10**6))
        is_kept, contributions = read(changed["customer_id"], row_digests(model, changed))
        assert np.flatnonzero(~is_kept).tolist() == [3]
        assert contributions.tobytes() == np.delete(computed, 3, axis=0).tobytes()
        assert not read(frame["customer_id"], row_digests(other, frame))[0].any()
        # What is said of a Monday does not depend on whether they were read.
        mart = tiny_home.dbt_project / "models" / "marts" / f"{risk.mart}.yml"
        score_of = partial(
            score_monday, monday + WEEK, {risk.name: model}, {risk.name: frame}, changed, read_catalogue(mart)
        )
        explained: list[int] = []
        contributions_of = ScoringModel.contributions

        def counted(self: ScoringModel, rows: pd.DataFrame) -> tuple[np.ndarray, float]:
            explained.append(len(rows))
            return contributions_of(self, rows)

        monkeypatch.setattr(ScoringModel, "contributions", counted)
        assert pa.concat_tables(score_of(read).batches()).equals(pa.concat_tables(score_of().batches()))
        assert explained == [len(frame), 1, len(frame), len(frame)]


def test_contributions_that_were_written_without_a_digest_are_not_taken_for_those_that_had_one(
    tiny_copy: Settings,
) -> None:
    risk = target_of("risk")
    model = ScoringModel.load(tiny_copy.models / risk.name / "1")
    with duckdb.connect(str(tiny_copy.warehouse)) as con:
        frame = scoring_frame(con, risk, TINY_BEFORE)
        read = kept_contributions(con, TINY_BEFORE, len(model.catalogue))
        con.execute(
            "update scoring.scores set contributions = list_reverse(contributions) where customer_id = ?",
            [frame["customer_id"][5]],
        )
        assert np.flatnonzero(~read(frame["customer_id"], row_digests(model, frame))[0]).tolist() == [5]
