"""Whom the call list names, and whom it leaves out."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import duckdb
import pytest

from churn_pipeline.cli import output
from churn_pipeline.core.errors import ChurnError, InputError
from churn_pipeline.core.settings import Settings
from tests.support.policy import keep_shipped_policy

MONDAY = date(2026, 3, 16)
COLUMNS = """
    snapshot_date date, customer_id varchar, priority_rank bigint, is_holdout boolean, snoozed_until date, plan_tier varchar,
    csm_owner varchar, risk_tier varchar, previous_risk_tier varchar, churn_probability_30d double, churn_probability_90d double,
    probability_change double, mrr double, revenue_at_risk double, play varchar, recommended_action varchar,
    industry varchar, is_early_stage boolean, is_on_call_list boolean, call_rank bigint, call_reason varchar, days_to_renewal bigint,
    action_kind varchar, tenure_days bigint, history_weeks bigint, is_flagged boolean, is_expansion_candidate boolean, scoring_mode varchar,
    policy_version varchar, churn_30d_model_version varchar, churn_90d_model_version varchar, expansion_model_version varchar,
    churn_drivers struct(feature varchar, label varchar, value varchar, contribution double, sentence varchar)[]
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Six customers. The first five in the order of their names: a and d are called, b is snoozed, c held out, e is written to. f is an
    unnamed customer of nobody."""
    settings = Settings(home=tmp_path)
    settings.published.mkdir(parents=True)
    with duckdb.connect(str(settings.published_database)) as con:
        con.execute(f"create table predictions ({COLUMNS})")
        keep_shipped_policy(con, "p")
        con.execute("create table customers (customer_id varchar, company_name varchar)")
        for rank, (customer, name, owner, tier, place, held_out, until) in enumerate(
            [
                ("a", "Alpha Ltd", "Elena García", "CRITICAL", 1, False, None),
                ("b", "Béta  GmbH", "Elena García", "CRITICAL", None, False, date(2026, 3, 17)),
                ("c", "Alpine", "Elias", "HIGH", None, True, None),
                ("d", "Alpha Ltd", "Elias", "HIGH", 2, False, None),
                ("e", "Epsilon", "Bo", "HIGH", None, False, None),
                ("f", None, None, "LOW", None, False, None),
            ],
            start=1,
        ):
            con.execute("insert into customers values (?, ?)", [customer, name])
            con.execute(
                """
                insert into predictions by name
                select ? as snapshot_date, ? as customer_id, ? as priority_rank, ?::boolean as is_holdout, ?::date as snoozed_until,
                       ? as risk_tier, 0.8 as churn_probability_90d, ?::varchar as csm_owner, 'Rescue' as play, 'p' as policy_version,
                       100 as revenue_at_risk, ?::bigint as call_rank, call_rank is not null as is_on_call_list, 'renewal' as call_reason,
                       44 as days_to_renewal, 0.07 as probability_change, 'Call today.' as recommended_action,
                       if(call_rank is null, 'no_call', 'csm_call') as action_kind, 900 as tenure_days, 20 as history_weeks
                """,
                [MONDAY, customer, rank, held_out, until, tier, owner, place],
            )
    return settings


def called(settings: Settings, **chosen: str) -> list[tuple[str, int]]:
    return [
        (call["customer_id"], call["call_rank"])
        for call in output.call_list(settings, MONDAY, 9, chosen.pop("owner", None), **chosen)["calls"]
    ]


def test_the_list_is_the_call_list_in_its_order(settings: Settings) -> None:
    assert called(settings) == [("a", 1), ("d", 2)]
    listing = output.call_list(settings, MONDAY, 1)
    assert [call["customer_id"] for call in listing["calls"]] == ["a"]
    assert (listing["customers"], listing["on_call_list"], listing["snoozed"], listing["written_to"]) == (6, 2, 1, 1)


def test_the_second_list_has_those_who_are_written_to_and_nobody_who_is_to_be_left_alone(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    listing = output.call_list(settings, MONDAY, 9, written=True)
    assert [call["customer_id"] for call in listing["calls"]] == ["e"]
    output.print_call_list(listing)
    text = capsys.readouterr().out
    assert "whom to write to" in text and "Epsilon" in text and "why on the list" not in text


def test_revenue_that_nobody_knows_is_unknown_and_not_0(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    output.print_call_list(output.call_list(settings, MONDAY, 9) | {"has_money": False})
    text = capsys.readouterr().out
    assert "revenue unknown" in text and "at risk" not in text


def test_a_monday_from_before_there_were_call_lists_says_so(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    with duckdb.connect(str(settings.published_database)) as con:
        con.execute("alter table predictions drop column is_on_call_list")
    output.print_call_list(output.call_list(settings, MONDAY, 9))
    assert "This Monday is from before there were call lists" in capsys.readouterr().out


@pytest.mark.parametrize("owner", ["Elena García", "elena garcia", "ELENA", "elen", " Elena  G"])
def test_an_owner_is_found_by_how_the_name_begins_without_accents_and_case(settings: Settings, owner: str) -> None:
    assert called(settings, owner=owner) == [("a", 1)]


def test_an_owner_who_may_be_any_of_several_is_refused_with_them(settings: Settings) -> None:
    with pytest.raises(InputError, match="'eli' may be any of these owners: Elias, Eliza"):
        with duckdb.connect(str(settings.published_database)) as con:
            con.execute("update predictions set csm_owner = 'Eliza' where customer_id = 'f'")
        called(settings, owner="eli")
    # A whole name is no beginning of another one.
    with duckdb.connect(str(settings.published_database)) as con:
        con.execute("update predictions set csm_owner = 'Elias Brown' where customer_id = 'f'")
    assert called(settings, owner="elias") == [("d", 2)]
    with pytest.raises(
        InputError, match="no customer of 2026-03-16 belongs to 'Zoe'; owners are Bo, Elena García, Elias"
    ):
        called(settings, owner="Zoe")


def test_a_tier_chooses_its_customers_and_one_nobody_knows_is_refused_with_those_there_are(settings: Settings) -> None:
    assert called(settings, tier="high") == [("d", 2)]
    assert called(settings, tier="CRITICAL", owner="elias") == []
    with pytest.raises(InputError, match="no risk tier of 2026-03-16 is called 'grave'; tiers are CRITICAL, HIGH"):
        called(settings, tier="grave")


def test_a_line_says_why_somebody_is_called_the_main_reason_and_what_to_do_in_points(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    listing = output.call_list(settings, MONDAY, 9)
    listing["calls"][0]["reasons"] = ["Uses little of the product", "Second reason"]
    output.print_call_list(listing)
    text = capsys.readouterr().out
    for words in ("Renewal, 44 days", "Uses little of the product", "Call today.", "+7 points"):
        assert words in text
    assert "Second reason" not in text and "Rescue" not in text and "+7%" not in text


@pytest.mark.parametrize(
    ("days", "action", "why"),
    [
        (44, "Call today.", "Renewal, 44 days"),
        (44, "Call: the contract ends in 44 days (29 Apr 2026).", "Renewal"),
        (0, "Call today: the contract ends today (16 Mar 2026).", "Renewal"),
        (1, "Call this week.", "Renewal, tomorrow"),
    ],
)
def test_when_a_contract_ends_is_said_once_a_line(
    settings: Settings, capsys: pytest.CaptureFixture[str], days: int, action: str, why: str
) -> None:
    listing = output.call_list(settings, MONDAY, 1)
    listing["calls"][0] |= {"days_to_renewal": days, "recommended_action": action}
    output.print_call_list(listing)
    text = capsys.readouterr().out
    assert why in text and ("Renewal, " in text) == ("," in why)


def test_the_list_says_how_many_it_leaves_alone_and_names_nobody_as_held_out(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    listing = output.call_list(settings, MONDAY, 9)
    output.print_call_list(listing)
    text = capsys.readouterr().out
    assert "Left alone for now: 1 snoozed, 0 called not long ago" in text
    assert "On the call list: 2 customers; 1 more in an urgent tier to write to (--written)" in text
    assert "held out" not in text and "Alpine" not in text
    output.print_call_list(listing | {"snoozed": 0})
    assert "Left alone" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("wanted", "customer_id"), [("b", "b"), ("beta", "b"), ("BÉTA GMBH", "b"), ("epsilon", "e"), ("alpi", "c")]
)
def test_a_customer_is_found_by_id_or_by_how_the_name_begins(settings: Settings, wanted: str, customer_id: str) -> None:
    assert output.customer(settings, wanted, MONDAY)["customer_id"] == customer_id


def test_a_name_of_several_customers_is_refused_with_at_most_five_of_them(settings: Settings) -> None:
    with pytest.raises(
        InputError, match=r"'alpha' may be any of 2 customers: a \(Alpha Ltd\), d \(Alpha Ltd\); give more"
    ):
        output.customer(settings, "alpha", MONDAY)
    with duckdb.connect(str(settings.published_database)) as con:
        for number in range(9):
            con.execute("insert into customers values (?, 'Many')", [f"m{number}"])
            con.execute(
                "insert into predictions by name select ? as snapshot_date, ? as customer_id, 'p' as policy_version",
                [MONDAY, f"m{number}"],
            )
    with pytest.raises(InputError) as refused:
        output.customer(settings, "many", MONDAY)
    assert str(refused.value).count("(Many)") == 5 and "and 4 more" in str(refused.value)


def test_who_left_shares_no_name_with_who_is_there(settings: Settings) -> None:
    with duckdb.connect(str(settings.published_database)) as con:
        con.execute("update predictions set snapshot_date = date '2026-03-09' where customer_id = 'a'")
        keep_shipped_policy(con, "p")
    assert output.customer(settings, "alpha", MONDAY)["customer_id"] == "d"


def test_a_customer_whom_nobody_knows_by_id_or_name_is_refused(settings: Settings) -> None:
    for nobody in ("zeta", "", "  ", "lpha"):
        with pytest.raises(InputError, match="no published week holds a customer"):
            output.customer(settings, nobody, MONDAY)


def test_a_page_of_a_customer_tells_nobody_that_they_are_held_out(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    profile = output.customer(settings, "c", MONDAY)
    assert not {"is_holdout", "is_in_holdout_draw"} & set(profile)
    output.print_customer(profile | FACTS)
    assert "Not on the call list\n" in capsys.readouterr().out


def test_a_published_database_that_is_damaged_is_named_whatever_is_asked(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    settings.published.mkdir(parents=True)
    settings.published_database.write_bytes(b"garbage " * 9_999)
    for ask in (
        lambda: output.call_list(settings, None, 9, None),
        lambda: output.week_notices(settings, None),
        lambda: output.model_rows(settings),
        lambda: output.customer(settings, "a", None),
    ):
        with pytest.raises(ChurnError, match=f"^{settings.published_database} cannot be read: it is damaged"):
            ask()


def test_no_name_in_a_list_or_on_a_page_says_anything_to_a_terminal(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "\x1b[31mAcme\x1b]8;;http://evil.example\x07 [bold]\nMonday 2030-01-07 \u202eelpoep"
    profile = output.customer(settings, "c", MONDAY)
    action = {"recommended_action": "Call \x1b[2J now."}
    output.print_customer(
        profile
        | FACTS
        | action
        | {"company_name": name, "customer_id": "C1\x1b[2J", "csm_owner": name, "industry": name}
    )
    listing = output.call_list(settings, MONDAY, 9, None)
    listing["calls"][0] |= {"company_name": name, "customer_id": "C1\x1b[2J"}
    output.print_call_list(listing)
    printed = capsys.readouterr().out
    assert not {"\x1b", "\x07", "\u202e"} & set(printed)
    assert not [line for line in printed.splitlines() if line.startswith("Monday 2030")]


# What the page reads of columns that the table of these tests leaves empty or lacks.
FACTS = {
    "industry": "retail", "lifecycle": "steady", "segment": "Flight Risk", "churn_probability_30d": 0.4, "expansion_propensity": None,
    "expansion_drivers": None, "expansion_readiness": None, "expected_arr_uplift": None, "target_tier": None, "mrr": 10.0,
    "churn_drivers": [], "change_drivers": [], "scored_at": datetime(2026, 3, 16, 6, 0),
}  # fmt: skip


def test_a_page_says_the_renewal_the_place_on_the_list_the_themes_with_what_to_say_and_what_changed(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    themes = [
        {"theme": "usage", "label": "Usage", "contribution": 0.4, "share": 0.6, "sentence": "43 events a week, 18 now", "features": []},
        {"theme": "support", "label": "Support", "contribution": 0.2, "share": 0.4, "sentence": "11 tickets", "features": []},
    ]  # fmt: skip
    points = [{"theme": "usage", "ask": "What changed?", "offer": "A training.", "avoid": "Blame."}]
    parts = [
        {"part": "usage", "label": "Usage", "points": 0.0504, "revenue": 610.0},
        {"part": "support", "label": "Support", "points": 0.0204, "revenue": 250.0},
        {"part": "raise", "label": "Shorter window", "points": -0.0008, "revenue": -9.0},
        {"part": "revenue", "label": "Revenue", "points": 0.0, "revenue": 0.0},
    ]
    profile = output.customer(settings, "a", MONDAY) | FACTS
    output.print_customer(profile | {"churn_themes": themes, "talking_points": points, "change_parts": parts})
    text = capsys.readouterr().out
    for words in (
        "Steady; renews in 44 days (29 Apr 2026); segment Flight Risk",
        "Events in 30 days not known; open tickets not known; no sales opportunity known; no contact known",
        "Predicted 16 Mar 2026, 06:00 UTC by churn_90d version",
        "On the call list: number 1 (Renewal, 44 days)",
        "Rescue: Call today.",
        "Usage (60% of what raises it): 43 events a week, 18 now",
        "Ask    What changed?",
        "Avoid  Blame.",
        "Support (40% of what raises it): 11 tickets",
        "Since last Monday: +7.0 points, +$851 at risk",
        "+5.0 points     +$610  Usage",
        "+2.1 points     +$250  Support",
        "−0.1 points",
    ):
        assert words in text, words
    assert "risk score" not in text.lower() and "Revenue\n" not in text
    output.print_customer(profile | {"days_to_renewal": None, "churn_themes": []})
    text = capsys.readouterr().out
    assert "no contract on file" in text and f"{output.NO_REASON}." in text


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


RANKED_BY = "This list is ranked by how long customers have been with you [red]and what they pay[/red]."


def say_what_it_is_ranked_by(settings: Settings) -> None:
    with duckdb.connect(str(settings.published_database)) as con:
        con.execute("insert into notices values (?, 0, 'ranking', 'churn_90d', ?)", [MONDAY, RANKED_BY])


def test_what_the_list_is_ranked_by_is_the_first_line_above_it_and_said_once(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    say(settings, *(f"feed {number}" for number in range(9)))
    say_what_it_is_ranked_by(settings)
    title, line, *rest = [row for row in printed(settings, capsys).splitlines() if row]
    assert "whom to call first" in title
    assert line == RANKED_BY
    # It takes no line of what else there is to know.
    assert sum(row.startswith("! ") for row in rest) == output.NOTICES_SHOWN
    assert RANKED_BY not in "".join(rest)
    week = output.week_notices(settings, None)
    assert week["notices"][0]["kind"] == "ranking"


def test_what_a_run_prints_says_above_the_list_what_it_is_ranked_by_and_below_it_what_else_there_is(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    say(settings, "feed 1")
    say_what_it_is_ranked_by(settings)
    output.print_run(
        output.call_list(settings, MONDAY, 1) | {"models": [], "database": "d", "report": None, "holdout": None}
    )
    text = capsys.readouterr().out
    assert text.count(RANKED_BY) == 1
    assert text.index(RANKED_BY) < text.index("Alpha Ltd") < text.index("feed 1")


def test_the_kind_of_a_model_stands_beside_its_version_and_an_older_copy_has_none(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    with duckdb.connect(str(settings.published_database)) as con:
        con.execute("update predictions set churn_30d_model_version = '3', churn_90d_model_version = '4'")
    week = {"status": "published", "scoring_mode": "live", "reason": "", "snapshot_date": MONDAY}
    figures = output._figures_of(settings.published_database, "predictions", "true", [])
    output.print_weeks([week | figures[MONDAY]])
    assert "3 / 4" in capsys.readouterr().out
    assert "churn_90d_model_kind" not in output.call_list(settings, MONDAY, 1)
    with duckdb.connect(str(settings.published_database)) as con:
        for target, kind in (("churn_30d", "logistic"), ("churn_90d", "of_30d")):
            con.execute(f"alter table predictions add column {target}_model_kind varchar")
            con.execute(f"update predictions set {target}_model_kind = ?", [kind])
    figures = output._figures_of(settings.published_database, "predictions", "true", [])
    output.print_weeks([week | figures[MONDAY]])
    assert "3 logistic regression / 4 from the shorter horizon" in " ".join(capsys.readouterr().out.split())
    assert output.call_list(settings, MONDAY, 1)["churn_90d_model_kind"] == "of_30d"


def test_the_ledger_of_models_says_what_kind_each_is(capsys: pytest.CaptureFixture[str]) -> None:
    row = {
        "target": "churn_90d",
        "version": "4",
        "effective_from": MONDAY,
        "promoted": True,
        "reason": "r",
        "who": "w",
        "metrics": {"kind": "mean"},
    }
    output.print_models([row, row | {"version": "3", "metrics": {}}])
    newer, older = (line for line in capsys.readouterr().out.splitlines() if "churn_90d" in line)
    assert "mean of both" in newer
    assert older.split()[:3] == ["churn_90d", "3", str(MONDAY)]


def test_what_a_run_prints_has_the_notices_below_the_list_once(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    say(settings, HOSTILE)
    summary = output.call_list(settings, MONDAY, 1) | {
        "calls": [],
        "models": [],
        "database": "d",
        "report": None,
        "holdout": None,
    }
    output.print_run(summary)
    text = capsys.readouterr().out
    assert text.count(HOSTILE) == 1
    assert text.index("whom to call first") < text.index(HOSTILE) < text.index("Look next")
