"""Python's way in: what docs/python.md says, and the same numbers as the table."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from churn_pipeline import Home
from churn_pipeline.core.errors import HomeError, InputError, LockedError, RefusedError
from churn_pipeline.core.settings import REPOSITORY, Settings
from churn_pipeline.customers.briefs import audit
from churn_pipeline.customers.briefs.desk import Desk
from churn_pipeline.customers.briefs.model import WATERMARK, Audience, Part
from churn_pipeline.customers.entities import RiskSignals
from churn_pipeline.customers.errors import NotCandidateError, UnknownCustomerError
from churn_pipeline.customers.stores.published import Publication
from tests.conftest import TINY_BEFORE, TINY_MONDAY
from tests.support.chat_server import MODEL, ChatServer
from tests.support.homes import copy_of, query
from tests.unit.customers.test_customers_pure import INFRASTRUCTURE

PAGE = REPOSITORY / "docs" / "python.md"


@pytest.fixture(scope="module")
def settings(tiny_home: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return copy_of(tiny_home, tmp_path_factory.mktemp("python") / "home")


@pytest.fixture
def home(settings: Settings) -> Iterator[Home]:
    with Home(settings=settings) as opened:
        yield opened


def blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_the_first_block_of_the_page_is_five_lines_to_a_frame_a_360_and_a_model() -> None:
    lines = [line for line in blocks()[0].splitlines() if line]
    assert len(lines) == 5
    assert [line.split(" = ")[0] for line in lines[1:]] == ["home", "predictions", "profile", "model"]


def test_every_block_of_the_page_runs_one_after_the_other(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHURN_HOME", str(settings.home))
    names: dict[str, object] = {}
    assert len(blocks()) >= 6
    for block in blocks():
        exec(block, names)
    assert isinstance(names["predictions"], pd.DataFrame)
    assert type(names["profile"]).__name__ == "Customer360"
    assert type(names["model"]).__name__ == "ScoringModel"
    assert names["known"].snapshot_date == TINY_BEFORE


def test_the_frame_has_every_row_and_column_of_the_table(home: Home, settings: Settings) -> None:
    columns = [row[0] for row in query(settings.published_database, "describe predictions")]
    rows = query(
        settings.published_database,
        "select customer_id, churn_probability_90d, risk_score, mrr, is_holdout from predictions order by customer_id",
    )
    frame = home.predictions()
    assert list(frame.columns) == columns
    assert "is_in_holdout_draw" in frame.columns
    assert [
        tuple(row)
        for row in frame[["customer_id", "churn_probability_90d", "risk_score", "mrr", "is_holdout"]].to_numpy()
    ] == rows
    assert len(home.features()) == len(rows)
    assert home.snapshot_dates == (TINY_BEFORE,)


@pytest.mark.parametrize("target", [None, "churn_30d", "expansion_90d"])
def test_the_model_gives_the_published_probabilities_to_the_bit(home: Home, target: str | None) -> None:
    frame, features = home.predictions(), home.features()
    short = home.model("churn_30d").probability(features)
    if target is None:
        again, published = np.fmax(home.model().probability(features), short), frame.churn_probability_90d
    elif target == "churn_30d":
        again, published = short, frame.churn_probability_30d
    else:
        # Whoever is on the highest plan is asked about no higher one.
        there = frame.expansion_propensity.notna()
        assert 0 < there.sum() < len(there)
        again, published = home.model(target).probability(features[there]), frame.expansion_propensity[there]
    assert again.tolist() == published.tolist()


def test_a_model_whose_copy_is_damaged_another_one_or_gone_is_refused(settings: Settings, tmp_path: Path) -> None:
    own = Settings(**settings.model_dump(include=settings.model_fields_set) | {"home": tmp_path})
    shutil.copytree(settings.published, own.published)
    shutil.copytree(settings.models, own.models)
    (calibration,) = own.models.glob("churn_30d/*/calibration.json")
    calibration.write_text(calibration.read_text(encoding="utf-8").replace("1", "2"), encoding="utf-8")
    with Home(settings=own) as home:
        model = home.model()
        assert model.target.name == "churn_90d"
        with pytest.raises(RefusedError, match=r"churn_30d.*calibration\.json is damaged"):
            home.model("churn_30d")
        shutil.rmtree(own.models / "expansion_90d")
        with pytest.raises(RefusedError, match="expansion_90d"):
            home.model("expansion_90d")
        with pytest.raises(InputError, match="churn_7d"):
            home.model("churn_7d")
        # Whole, and not the one that served.
        shifted = replace(model.platt, intercept=model.platt.intercept + 0.1)
        replace(model, platt=shifted).save(next(own.models.glob("churn_90d/*")))
    with Home(settings=own) as home, pytest.raises(RefusedError, match="not the model that the ledger names"):
        home.model()


def test_a_customer_a_prediction_and_an_expansion_say_what_the_frame_says(home: Home) -> None:
    frame, features = home.predictions().set_index("customer_id"), home.features().set_index("customer_id")
    for customer_id in frame.index[:100]:
        row = frame.loc[customer_id]
        profile = home.customer(customer_id)
        assert profile.churn == home.prediction(customer_id)
        assert profile.expansion == home.expansion(customer_id)
        assert (profile.expansion is None) == (row.plan_tier == "custom")
        assert profile.churn.probability == row.churn_probability_90d
        assert profile.churn.risk_score == row.risk_score
        if profile.expansion is not None:
            assert profile.expansion.propensity == row.expansion_propensity
        assert profile.customer.is_active(profile.snapshot_date)
        assert profile.customer.tenure_days(profile.snapshot_date) == profile.tenure_days == row.tenure_days
        assert profile.events_last_30d == features.loc[customer_id].events_last_30d
        assert len(profile.churn.churn_drivers) == 5
    with pytest.raises(UnknownCustomerError, match="^no published week holds a customer 'nobody'"):
        home.prediction("nobody")


def test_a_monday_is_a_date_a_text_or_a_timestamp(home: Home) -> None:
    wanted = home.predictions()
    for monday in (TINY_BEFORE, str(TINY_BEFORE), datetime(2026, 6, 1, 8), pd.Timestamp("2026-06-01")):
        assert home.predictions(monday).equals(wanted)
    with pytest.raises(RefusedError, match="^2026-06-08 is not published; the table holds 1 Monday from"):
        home.predictions(TINY_MONDAY)
    with pytest.raises(InputError, match="a snapshot is always a Monday"):
        home.predictions("2026-06-02")


def test_the_risk_score_of_the_signals_of_a_row_is_the_one_of_the_row(home: Home) -> None:
    frame, features = home.predictions().set_index("customer_id"), home.features().set_index("customer_id")
    for customer_id in frame.index[:20]:
        week = features.loc[customer_id]
        gap, flags = week.known_compliance_gap_score, week.known_vendor_risk_flags
        if math.isnan(gap) or math.isnan(flags):
            continue
        risk = home.risk_score(
            RiskSignals(gap, int(flags)),
            events_last_7d=int(week.events_last_7d),
            events_prior_21d=int(week.events_prior_21d),
        )
        assert (risk.score, risk.basis) == (frame.loc[customer_id].risk_score, frame.loc[customer_id].risk_score_basis)
    assert home.risk_score(RiskSignals()).basis == "compliance_gap + vendor_flags"
    with pytest.raises(InputError, match="^usage decay compares events_last_7d with events_prior_21d, and only one"):
        home.risk_score(RiskSignals(), events_last_7d=3)


def test_what_if_asks_the_same_models_with_one_value_changed(home: Home) -> None:
    features = home.features()
    changed = features.assign(events_last_30d=features.events_last_30d + 25)
    short, long = (home.model(target).probability(changed) for target in ("churn_30d", "churn_90d"))
    for place in (0, 7):
        customer_id = features.customer_id[place]
        answer = home.what_if(customer_id, {"events_last_30d": int(changed.events_last_30d[place])})
        assert {score.target: score.after for score in answer.scores} == {
            "churn_30d": short[place],
            "churn_90d": max(short[place], long[place]),
        }
        assert answer.scores[0].before == home.prediction(customer_id).probability
    with pytest.raises(InputError, match="no model of this customer looks at 'shoe_size'"):
        home.what_if(features.customer_id[0], {"shoe_size": 43})


def test_a_brief_is_that_of_the_command_and_in_the_audit(home: Home) -> None:
    frame = home.predictions()
    candidates = frame[frame.is_expansion_candidate & (frame.expansion_readiness == "ready")]
    customer_id = candidates.customer_id.iloc[0]
    before = len(audit.entries(home.settings))
    brief = home.brief(customer_id, email=True)
    with Publication.open(home.settings) as publication:
        monday = publication.at()
        again = Desk(home.settings, monday).write(monday.profile(customer_id), Audience.SALES, True)
    assert (brief.parts, brief.result, brief.watermark) == (again.parts, again.result, WATERMARK)
    assert Part.EMAIL in brief.parts
    assert Part.EMAIL not in home.brief(customer_id, "csm", email=True).parts
    assert len(audit.entries(home.settings)) == before + 3
    with pytest.raises(NotCandidateError, match="there is no expansion brief of "):
        home.brief(frame[frame.expansion_readiness == "none"].customer_id.iloc[0])
    with pytest.raises(InputError, match="^a brief is for ae or csm, not 'vp'$"):
        home.brief(customer_id, "vp")


def test_the_budget_of_requests_is_that_of_all_briefs_of_a_home(settings: Settings) -> None:
    with ChatServer() as server:
        given = {"brief_url": server.url, "brief_model": MODEL, "brief_attempts": 0, "brief_budget": 1}
        with Home(settings=Settings(**settings.model_dump(include=settings.model_fields_set) | given)) as home:
            frame = home.predictions()
            candidates = frame[frame.is_expansion_candidate & (frame.expansion_readiness == "ready")]
            for customer_id in candidates.customer_id[:3]:
                assert home.brief(customer_id).parts
            assert len(server.asked) == 1
            assert home.brief(customer_id, template=True).provider == "template"


def test_a_question_is_answered_from_what_is_published_then(settings: Settings, tmp_path: Path) -> None:
    import duckdb

    own = Settings(**settings.model_dump(include=settings.model_fields_set) | {"home": tmp_path})
    own.published.mkdir(parents=True)
    shutil.copyfile(settings.published_database, own.published_database)
    with Home(settings=own) as home:
        frame = home.predictions()
        customer_id = frame.customer_id[0]
        was = home.prediction(customer_id).risk_score
        new = own.published / "new.duckdb"
        shutil.copyfile(own.published_database, new)
        with duckdb.connect(str(new)) as con:
            con.execute("update predictions set risk_score = 1 - risk_score / 2 where customer_id = ?", [customer_id])
        new.replace(own.published_database)
        assert home.prediction(customer_id).risk_score == 1 - was / 2 == home.predictions().risk_score[0]
        own.published_database.unlink()
        with pytest.raises(RefusedError, match="nothing has been published yet; start with 'churn run'"):
            home.predictions()


def test_as_of_holds_the_lock_as_long_as_its_block(settings: Settings) -> None:
    one, other = Home(settings=settings), Home(settings=settings.model_copy(update={"lock_wait_seconds": 0}))
    with one.as_of(TINY_BEFORE) as known:
        assert known.snapshot_date == TINY_BEFORE
        assert len(list(known.customers.active())) == len(one.predictions())
        with (
            pytest.raises(LockedError, match=r"is in use by process \d+ \(Python, as of 2026-06-01, since "),
            other.as_of(TINY_BEFORE),
        ):
            pass
        with pytest.raises(InputError, match="^another as_of of this home is open"), one.as_of(TINY_BEFORE):
            pass
    with other.as_of(str(TINY_BEFORE)) as known:
        assert known.usage.is_known
    with one.as_of(date(2026, 3, 2)) as known:
        assert known.snapshot_date == date(2026, 3, 2)
    one.close()


def test_as_of_refuses_what_is_no_monday_or_not_landed_and_makes_nothing(settings: Settings, tmp_path: Path) -> None:
    home = Home(settings=settings)
    for day, message in (
        ("2026-06-02", "a snapshot is always a Monday"),
        (date(2026, 6, 3), "a snapshot is always a Monday"),
        ("2026-06-15", "^2026-06-15 has not begun; the latest Monday is 2026-06-08$"),
    ):
        with pytest.raises(InputError, match=message), home.as_of(day):
            pass
    with (
        pytest.raises(RefusedError, match="^the raw data were landed for 2026-06-01 and not since"),
        home.as_of(TINY_MONDAY),
    ):
        pass
    with pytest.raises(RefusedError, match="nothing has been landed yet"), Home(tmp_path / "new").as_of("2026-06-01"):
        pass
    assert not (tmp_path / "new").exists()


def test_a_home_is_given_by_its_path_or_its_settings(settings: Settings, tmp_path: Path) -> None:
    assert Home(str(tmp_path)).settings.home == Home(tmp_path).settings.home == tmp_path.resolve()
    assert repr(Home(tmp_path)) == f"Home({str(tmp_path)!r})"
    with pytest.raises(InputError, match="by its path or by its settings, not by both"):
        Home(tmp_path, settings=settings)
    with pytest.raises(HomeError, match="CHURN_HOME: .* in its path"):
        Home(tmp_path / "what?")
    with pytest.raises(RefusedError, match="nothing has been published yet"):
        Home(tmp_path).predictions()


@pytest.mark.parametrize(
    ("statement", "loaded"),
    [("import churn_pipeline", {"churn_pipeline"}), ("from churn_pipeline import Home", None)],
)
def test_the_package_and_its_home_are_imported_without_anything_heavy(statement: str, loaded: set[str] | None) -> None:
    program = f"import sys\n{statement}\nprint(*sys.modules)"
    names = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    heavy = (set(INFRASTRUCTURE) | {"sklearn", "dagster", "dbt", "matplotlib", "great_expectations", "pydantic"}) - {
        "sqlite3"
    }
    assert not heavy & {name.split(".")[0] for name in names}
    if loaded is not None:
        assert {name for name in names if name.split(".")[0] == "churn_pipeline"} == loaded


def test_a_name_that_the_package_does_not_have_is_an_attribute_error() -> None:
    import churn_pipeline

    with pytest.raises(AttributeError, match="^module 'churn_pipeline' has no attribute 'House'$"):
        _ = churn_pipeline.House
