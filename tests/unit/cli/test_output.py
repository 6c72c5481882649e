"""Whom the call list names, and whom it leaves out."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import duckdb
import pytest

from churn_pipeline.cli import output
from churn_pipeline.core.settings import Settings
from tests.support.policy import keep_shipped_policy

MONDAY = date(2026, 3, 16)
COLUMNS = """
    snapshot_date date, customer_id varchar, priority_rank bigint, is_holdout boolean, snoozed_until date, plan_tier varchar,
    csm_owner varchar, risk_tier varchar, previous_risk_tier varchar, churn_probability_30d double, churn_probability_90d double,
    probability_change double, mrr double, revenue_at_risk double, play varchar, recommended_action varchar,
    is_early_stage boolean, history_weeks bigint, is_flagged boolean, is_expansion_candidate boolean, scoring_mode varchar,
    policy_version varchar, churn_30d_model_version varchar, churn_90d_model_version varchar, expansion_model_version varchar,
    churn_drivers struct(feature varchar, label varchar, value varchar, contribution double, sentence varchar)[]
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Five customers, in the order of their names; the second is snoozed, the third held out, the fifth from before there was either."""
    settings = Settings(home=tmp_path)
    settings.published.mkdir(parents=True)
    with duckdb.connect(str(settings.published_database)) as con:
        con.execute(f"create table predictions ({COLUMNS})")
        keep_shipped_policy(con, "p")
        con.execute("create table customers (customer_id varchar, company_name varchar)")
        for rank, (customer, held_out, until) in enumerate(
            [
                ("a", False, None),
                ("b", False, date(2026, 3, 17)),
                ("c", True, None),
                ("d", False, None),
                ("e", None, None),
            ],
            start=1,
        ):
            con.execute(
                """
                insert into predictions by name
                select ? as snapshot_date, ? as customer_id, ? as priority_rank, ?::boolean as is_holdout, ?::date as snoozed_until,
                       'CRITICAL' as risk_tier, 0.8 as churn_probability_90d, 'Ana' as csm_owner, 'Retention Priority' as play, 'p' as policy_version,
                       100 as revenue_at_risk
                """,
                [MONDAY, customer, rank, held_out, until],
            )
    return settings


@pytest.mark.parametrize("owner", [None, "Ana"])
def test_the_snoozed_and_the_held_out_are_not_called_and_the_others_keep_their_rank(
    settings: Settings, owner: str | None
) -> None:
    call_list = output.call_list(settings, MONDAY, 3, owner)
    assert [(call["customer_id"], call["priority_rank"]) for call in call_list["calls"]] == [
        ("a", 1),
        ("d", 4),
        ("e", 5),
    ]
    assert (call_list["customers"], call_list["snoozed"], call_list["held_out"]) == (5, 1, 1)


def test_the_list_says_how_many_it_leaves_out(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    call_list = output.call_list(settings, MONDAY, 3)
    for call in call_list["calls"]:
        call["reasons"] = []
    output.print_call_list(call_list)
    assert "Not in the list: 1 snoozed, 1 held out" in capsys.readouterr().out
    output.print_call_list(call_list | {"snoozed": 0, "held_out": 0})
    assert "Not in the list" not in capsys.readouterr().out


HOSTILE = "usage_events: event type '[red]<script>*_~`x`<!channel>[/red] :heart:' is new"


def say(settings: Settings, *sentences: str) -> None:
    with duckdb.connect(str(settings.published_database)) as con:
        con.execute(
            "create table notices (snapshot_date date, position integer, kind varchar, source varchar, sentence varchar)"
        )
        for position, sentence in enumerate(sentences, start=1):
            con.execute("insert into notices values (?, ?, 'feed', 'usage_events', ?)", [MONDAY, position, sentence])


def printed(settings: Settings, capsys: pytest.CaptureFixture[str]) -> str:
    output.print_call_list(output.call_list(settings, MONDAY, 1) | {"calls": []})
    return capsys.readouterr().out


def test_a_quiet_week_and_a_copy_of_an_older_version_say_nothing_of_notices(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    before = printed(settings, capsys)
    say(settings)
    assert printed(settings, capsys) == before
    assert "!" not in before and "notice" not in before
    assert output.call_list(settings, MONDAY, 1)["notices"] == []


def test_the_list_shows_the_first_notices_as_text_and_where_the_others_are(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    say(settings, HOSTILE, *(f"feed {number}" for number in range(9)))
    text = printed(settings, capsys)
    assert f"! {HOSTILE}\n" in text
    assert text.count("\n! ") == output.NOTICES_SHOWN
    assert "! feed 6\n" not in text
    assert "! and 3 more: churn show --week 2026-03-16 --notices\n" in text


def test_all_notices_are_there_for_programs_and_with_an_option_for_people(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    say(settings, HOSTILE, *(f"feed {number}" for number in range(9)))
    assert [row["sentence"] for row in output.call_list(settings, MONDAY, 1)["notices"]] == [
        HOSTILE,
        *(f"feed {number}" for number in range(9)),
    ]
    week = output.week_notices(settings, None)
    assert week["notices"][0] == {"kind": "feed", "source": "usage_events", "sentence": HOSTILE}
    output.print_notices(week)
    text = capsys.readouterr().out
    assert f"feed         {HOSTILE}\n" in text and "feed 8\n" in text


def test_what_a_run_prints_has_the_notices_below_the_list_once(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    say(settings, HOSTILE)
    summary = output.call_list(settings, MONDAY, 1) | {"calls": [], "models": [], "database": "d", "report": None}
    output.print_run(summary)
    text = capsys.readouterr().out
    assert text.count(HOSTILE) == 1
    assert text.index("whom to call first") < text.index(HOSTILE) < text.index("Look next")
