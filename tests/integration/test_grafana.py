"""The dashboards: every query of them on a real PostgreSQL, as the login that may only read. Grafana itself is not here."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import combinations
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest
from psycopg import errors, sql

from churn_pipeline.core.settings import REPOSITORY, Settings
from churn_pipeline.core.targets import TARGETS, Target
from churn_pipeline.delivery.grafana import boards
from churn_pipeline.delivery.grafana.panels import SEVERITIES
from churn_pipeline.delivery.postgres import publish as publishing
from churn_pipeline.delivery.postgres.connection import READER
from churn_pipeline.delivery.postgres.migrate import migrate
from tests.conftest import TINY_BEFORE, TINY_MONDAY
from tests.support import grafana
from tests.support.homes import copy_of
from tests.support.postgres import Cluster, Database

BOARDS = grafana.boards()
PANELS = [(name, panel) for name, board in BOARDS.items() for panel in grafana.panels(board)]
VARIABLES = [(name, variable) for name, board in BOARDS.items() for variable in grafana.variables(board)]
UNTIL = datetime(TINY_MONDAY.year, TINY_MONDAY.month, TINY_MONDAY.day, 18, 30, tzinfo=UTC)
SINCE = UNTIL - timedelta(days=365)
NUMBERS = {"int2", "int4", "int8", "float4", "float8"}
TIMES = {"timestamp", "timestamptz", "date"}
# What the table panel of Grafana shows as it is; arrays and documents it would show as raw text or not at all.
SHOWN = NUMBERS | TIMES | {"text", "varchar", "bool"}
# Empty until the first windows close, 5 or 13 weeks after the first Monday, or until somebody was called or held out.
LATER = {
    "Stayed beyond expectation",
    "Saves: who stayed, and who was expected to",
    "Saves in dollars: what left, and what was expected to",
    "Hold-out lift: what calls are worth",
}
# Empty where nobody is concerned.
MAYBE = {"Who got worse since last Monday", "Whom to offer the next plan", "Whom to write to"}
HOSTILE = [
    "'; drop table churn.predictions; --",
    "' or 1 = 1 --",
    "'); delete from churn.customers; --",
    '"; drop table churn.predictions; --',
    "%",
    "_",
    "\\",
    "\\'; drop table churn.predictions; --",
    '\\"',
    "$1 %s %(x)s :name ?",
    "${tier} [[plan]] $owner ${customer:raw}",
    "/* */ -- #",
    "Zoë 株式会社 🚀 \u202e",
    "two\nlines",
    "x" * 10_000,
]


@dataclass(frozen=True)
class Answer:
    """Columns by name with PostgreSQL's name of their type, the rows, and how long it took."""

    columns: dict[str, str]
    rows: list[tuple[Any, ...]]
    milliseconds: float


@dataclass(frozen=True)
class Reader:
    """Grafana's side: a login that is a member of churn_reader and nothing else, and the values of the variables."""

    connection: psycopg.Connection[Any]
    boards: dict[str, dict[str, Any]] = field(default_factory=lambda: BOARDS)

    def ask(self, query: str) -> Answer:
        """Runs a query whose variables and macros are replaced."""
        begun = time.perf_counter()
        done = self.connection.execute(query.encode())
        rows = done.fetchall()
        types = self.connection.adapters.types
        columns = {}
        for column in done.description or ():
            assert column.name not in columns, f"two columns are called {column.name}"
            known = types.get(column.type_code)
            columns[column.name] = known.name if known else str(column.type_code)
        return Answer(columns, rows, (time.perf_counter() - begun) * 1000)

    def options(self, variable: dict[str, Any]) -> list[str]:
        """The values that a variable offers: its second column where it has one for the text and one for the value."""
        answer = self.ask(grafana.expand(variable["query"], SINCE, UNTIL))
        place = list(answer.columns).index("__value") if "__value" in answer.columns else 0
        return [row[place] for row in answer.rows]

    def values(self, board: str, **chosen: grafana.Value) -> dict[str, grafana.Value]:
        """What stands in the variables of a dashboard when it is opened, except for those that are chosen."""
        values: dict[str, grafana.Value] = {}
        for variable in grafana.variables(self.boards[board]):
            value = variable["current"]["value"]
            values[variable["name"]] = self.options(variable) if value == [grafana.ALL] else value
        return values | {name: value for name, value in chosen.items() if name in values}

    def panel(self, board: str, panel: dict[str, Any], backslash: bool = True, **chosen: grafana.Value) -> Answer:
        """What a panel shows: the answer of its query, after what Grafana does to it."""
        values = self.values(board, **chosen)

        def answer(name: str) -> Answer:
            query = grafana.interpolate(grafana.queries(panel)[name]["rawSql"], values, backslash)
            return self.ask(grafana.expand(query, SINCE, UNTIL))

        shown = answer("A")
        for options in grafana.transformations(panel, "configFromData"):
            config = answer(options["configRefId"])
            # Grafana takes colours and bounds of nothing as none.
            if config.rows:
                grafana.configured(options, list(config.columns), config.rows)
        if panel["type"] == "timeseries" and "metric" in shown.columns:
            names, rows = grafana.wide(shown.columns, shown.rows)
            kind = shown.columns["value"]
            return Answer({"time": shown.columns["time"]} | dict.fromkeys(names[1:], kind), rows, shown.milliseconds)
        for options in grafana.transformations(panel, "groupingToMatrix"):
            if shown.rows:
                names, rows = grafana.matrix(options, list(shown.columns), shown.rows)
                kinds = [shown.columns[options["rowField"]], *[shown.columns[options["valueField"]]] * (len(names) - 1)]
                shown = Answer(dict(zip(names, kinds, strict=True)), rows, shown.milliseconds)
        return shown

    def colours(self, board: str, title: str) -> tuple[dict[str, str], list[tuple[float, str]]]:
        """The colours of words and from values on, that the panel of that title takes from queries."""
        (panel,) = (panel for panel in grafana.panels(self.boards[board]) if panel["title"] == title)
        words: dict[str, str] = {}
        steps: list[tuple[float, str]] = []
        for options in grafana.transformations(panel, "configFromData"):
            config = self.ask(grafana.queries(panel)[options["configRefId"]]["rawSql"])
            more_words, more_steps = grafana.configured(options, list(config.columns), config.rows)
            words |= more_words
            steps += more_steps
        return words, steps

    def titled(self, board: str, title: str, **chosen: grafana.Value) -> Answer:
        """What the panel of that title gets."""
        (panel,) = (panel for panel in grafana.panels(self.boards[board]) if panel["title"] == title)
        return self.panel(board, panel, **chosen)


@contextmanager
def reading(postgres: Cluster, prepare: Callable[[Database], None]) -> Iterator[tuple[Reader, Database]]:
    """A database that was prepared, and a reader of it."""
    database = postgres.fresh_database()
    prepare(database)
    login = f"{database.owner}_grafana"
    with psycopg.connect(database.admin_url, autocommit=True) as con:
        con.execute(
            sql.SQL("create role {} login password 'bi' in role {}").format(
                sql.Identifier(login), sql.Identifier(READER)
            )
        )
    with psycopg.connect(database.admin_url, user=login, password="bi", autocommit=True) as con:
        # A server whose zone is far from UTC, where a careless date is another day.
        con.execute("set time zone 'America/Los_Angeles'")
        yield Reader(con), database
    postgres.drop(database)


@pytest.fixture(scope="module")
def two_mondays(tiny_two_mondays: Settings, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home that has scored two Mondays."""
    return copy_of(tiny_two_mondays, tmp_path_factory.mktemp("grafana") / "home")


@pytest.fixture(scope="module")
def published(two_mondays: Settings, postgres: Cluster) -> Iterator[Reader]:
    """Two Mondays as they were published, and nothing else."""
    with reading(postgres, lambda database: void(publishing.publish(database.url, two_mondays))) as (reader, _):
        yield reader


@pytest.fixture(scope="module")
def later(two_mondays: Settings, postgres: Cluster) -> Iterator[tuple[Reader, Database]]:
    """The same with what comes only months later, and with customers whose names are not harmless."""

    def prepare(database: Database) -> None:
        publishing.publish(database.url, two_mondays)
        with psycopg.connect(database.url) as con:
            for statement in LATER_ROWS:
                con.execute(statement)

    with reading(postgres, prepare) as (reader, database):
        yield reader, database


@pytest.fixture(scope="module")
def empty(postgres: Cluster) -> Iterator[Reader]:
    """The schema on its first day."""

    with reading(postgres, lambda database: void(migrate(database.url))) as (reader, _):
        yield reader


def void(_: object) -> None:
    """For what returns something that nobody needs here."""


LATER_ROWS = [
    f"""insert into churn.saves values
        (date '{TINY_MONDAY}', date '{TINY_BEFORE}', 40, 31.5, 27.0, 36.0, 35, 2, 'r'),
        (date '{TINY_BEFORE}', date '{TINY_BEFORE}' - 7, 38, 30.5, 26.0, 35.0, 29, 1, 'r')""",
    f"""insert into churn.holdout_lift values
        (date '{TINY_MONDAY}', date '{TINY_BEFORE}', 50, 12, 300, 51, 0.24, 0.17, 0.07, -0.05, 0.19, 'r')""",
    f"""insert into churn.runs values
        ('refusing', date '{TINY_BEFORE}' - 7, 'as_of', 'refused', null, 'usage is stale', 2, timestamp '{TINY_BEFORE} 01:00')""",
    f"""insert into churn.model_quality
        select date '{TINY_MONDAY}', target, date '{TINY_BEFORE}', '1', 'all', 'all', 'realised', 800, 40, figure, true, 0.5, 0.4, 0.6, 0.8, 0.7, 0.9, 'r'
        from (values ('churn_30d'), ('churn_90d')) as t (target), (values ('auc'), ('brier_skill'), ('ece'), ('precision_top_200')) as f (figure)""",
    f"""update churn.drift set missing_share = missing_share_reference + 0.25, out_of_range_share = 0.125
        where snapshot_date = date '{TINY_MONDAY}' and plan_tier = 'all' and feature = (select min(feature) from churn.drift)""",
    # One customer who got worse, is to be called, is a candidate in another Monday's words, and is called awkwardly.
    f"""update churn.predictions set previous_risk_tier = 'LOW', risk_tier = 'CRITICAL', probability_change = 0.5, snoozed_until = null,
        is_holdout = false, csm_owner = 'Jo "the %" O''Neill \\ Sons'
        where snapshot_date = date '{TINY_MONDAY}' and priority_rank = 2""",
    f"""update churn.customers set company_name = '<b>100% "Größe" & Söhne</b>' where customer_id =
        (select customer_id from churn.predictions where snapshot_date = date '{TINY_MONDAY}' and priority_rank = 2)""",
    f"""update churn.predictions set is_expansion_candidate = true, expansion_rank = 1, snoozed_until = null, is_holdout = false
        where snapshot_date = date '{TINY_MONDAY}' and priority_rank = 3""",
    f"update churn.predictions set csm_owner = null where snapshot_date = date '{TINY_MONDAY}' and priority_rank = 4",
    "update churn.saves set revenue = 900000, revenue_expected_to_leave = 220000, revenue_expected_low = 90000, revenue_expected_high = 350000, "
    "revenue_left = 180000",
    # One who is written to, and one like them who is held out and would be on three lists.
    f"""update churn.predictions set risk_tier = 'CRITICAL', is_on_call_list = false, call_rank = null, action_kind = 'no_call',
        snoozed_until = null, resting_until = null, probability_change = 0.4, is_holdout = priority_rank = 6,
        is_expansion_candidate = priority_rank = 6, expansion_rank = 2
        where snapshot_date = date '{TINY_MONDAY}' and priority_rank in (5, 6)""",
]


def one(answer: Answer) -> Any:
    """The value of a stat."""
    ((value,),) = answer.rows
    return value


def column(answer: Answer, name: str) -> list[Any]:
    place = list(answer.columns).index(name)
    return [row[place] for row in answer.rows]


def named(panel: dict[str, Any]) -> set[str]:
    """The columns that the overrides and links of a panel speak of."""
    return {
        override["matcher"]["options"]
        for override in panel["fieldConfig"]["overrides"]
        if override["matcher"]["id"] == "byName"
    }


def fits(panel: dict[str, Any], answer: Answer) -> None:
    """The columns and types that a panel of this kind needs."""
    kind, columns = panel["type"], answer.columns
    if grafana.transformations(panel, "groupingToMatrix"):
        # Its columns come with its rows, headed as they are.
        assert named(panel) <= set(columns) or not answer.rows
        assert set(columns.values()) <= SHOWN
        return
    assert named(panel) <= set(columns), f"{panel['title']}: overrides name columns that the query has not"
    if kind == "timeseries":
        first, *others = columns
        assert first == "time"
        assert columns[first] in TIMES
        assert others or not answer.rows
        assert {columns[other] for other in others} <= NUMBERS
        times = [row[0] for row in answer.rows]
        # Grafana draws a line through the points in their order.
        assert times == sorted(set(times)), f"{panel['title']}: one row for each time, oldest first"
    elif kind == "stat":
        assert len(columns) == 1
        assert set(columns.values()) <= NUMBERS
        assert len(answer.rows) <= 1
    else:
        assert kind == "table"
        assert set(columns.values()) <= SHOWN, f"{panel['title']}: {columns}"
        assert named(panel) == set(columns), f"{panel['title']}: every column has a heading for people"


# --- the files -------------------------------------------------------------------------------------------------------


def somebody(reader: Reader) -> str:
    """The first on the call list who was a customer the Monday before too, so that every panel has something to say of them."""
    return str(
        column(
            reader.ask(
                "select customer_id from churn.latest_predictions where is_on_call_list and probability_change is not null "
                "order by call_rank limit 1"
            ),
            "customer_id",
        )[0]
    )


def test_there_is_a_dashboard_for_customer_success_for_the_vp_and_for_the_engineer() -> None:
    assert {name: board["uid"] for name, board in BOARDS.items()} == {
        "customer_success.json": "churn-customer-success",
        "engineer.json": "churn-engineer",
        "vp.json": "churn-vp",
    }
    for board in BOARDS.values():
        assert board["title"]
        assert board["description"]
        # Mondays are dates; in another zone they would be drawn on Sundays.
        assert board["timezone"] == "utc"
        assert board["schemaVersion"] >= 39
        # Of a file that many share: ids are given by the Grafana that loads it.
        assert "id" not in board


@pytest.mark.parametrize("name", BOARDS)
def test_panels_have_ids_of_their_own_and_do_not_overlap(name: str) -> None:
    panels = list(grafana.panels(BOARDS[name]))
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({panel["title"] for panel in panels}) == len(panels)
    for panel in panels:
        place = panel["gridPos"]
        assert min(place["x"], place["y"]) >= 0
        assert min(place["w"], place["h"]) > 0
        assert place["x"] + place["w"] <= 24
    for a, b in combinations((panel["gridPos"] for panel in panels), 2):
        apart = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        above = a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
        assert apart or above, (a, b)


@pytest.mark.parametrize(("name", "panel"), PANELS, ids=[f"{name}-{panel['title']}" for name, panel in PANELS])
def test_a_panel_says_what_it_shows_and_asks_the_provisioned_data_source(name: str, panel: dict[str, Any]) -> None:
    assert len(panel["title"]) > 3
    assert len(panel["description"]) > 10
    # A panel of text or HTML would be a way to show what customers typed as markup.
    assert panel["type"] in {"stat", "table", "timeseries"}
    queries = grafana.queries(panel)
    assert len(queries) == len(panel["targets"])
    for source in (panel["datasource"], *(query["datasource"] for query in queries.values())):
        assert source == {"type": "grafana-postgresql-datasource", "uid": "predictions"}
    assert queries["A"]["format"] == ("time_series" if panel["type"] == "timeseries" else "table")
    # What is not shown sets options of what is; an answer that nothing takes would be a second table.
    assert [options["configRefId"] for options in grafana.transformations(panel, "configFromData")] == list(queries)[1:]
    assert {step["id"] for step in panel.get("transformations", [])} <= {"configFromData", "groupingToMatrix"}
    for options in grafana.transformations(panel, "configFromData"):
        assert queries[options["configRefId"]]["format"] == "table"
        matcher = options["applyTo"]
        columns = {"byNames": lambda chosen: chosen["names"], "byName": lambda chosen: [chosen]}.get(matcher["id"])
        assert set(columns(matcher["options"])) <= named(panel) if columns else matcher["options"] == "number"
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert [step["value"] for step in steps[:1]] == [None]
    assert [step["value"] for step in steps[1:]] == sorted(step["value"] for step in steps[1:])
    for override in panel["fieldConfig"]["overrides"]:
        for prop in override["properties"]:
            if prop["id"] == "custom.cellOptions":
                assert prop["value"]["type"] in {"auto", "color-text", "gauge"}, "markup is not interpreted in these"


def test_every_variable_in_sql_is_quoted_as_a_string_and_every_macro_is_one_of_the_data_source() -> None:
    for name, panel in PANELS:
        variables = {variable["name"] for variable in grafana.variables(BOARDS[name])}
        query = " ".join(target["rawSql"] for target in panel["targets"])
        for match in grafana.VARIABLE.finditer(query):
            if match[1]:
                assert match[1] in {"__timeFilter", "__timeFrom", "__timeTo"}, (name, panel["title"], match[0])
            else:
                assert match[4] in variables, (name, panel["title"], match[0])
                assert match[6] == "sqlstring", (name, panel["title"], match[0])
            # Quotes around a quoted value would end the string that it stands in.
            assert query[match.start() - 1] != "'", (name, panel["title"], match[0])


def test_every_variable_that_is_offered_is_used_and_titles_hold_none() -> None:
    for name, board in BOARDS.items():
        queries = " ".join(target["rawSql"] for panel in grafana.panels(board) for target in panel["targets"])
        for variable in grafana.variables(board):
            assert f"${{{variable['name']}:sqlstring}}" in queries, (name, variable["name"])
            if variable["type"] == "query":
                assert variable["datasource"]["uid"] == "predictions"
                assert variable["query"]
            else:
                assert variable["type"] == "textbox"
        assert not any("$" in panel["title"] + panel["description"] for panel in grafana.panels(board))
    offered = {variable["name"]: variable for variable in grafana.variables(BOARDS["customer_success.json"])}
    assert {"tier", "plan", "owner", "search", "customer"} == set(offered)
    for name in ("tier", "plan", "owner"):
        assert offered[name]["multi"]
        assert offered[name]["includeAll"]


def test_a_click_on_a_customer_leads_to_that_customer_and_an_id_cannot_lead_elsewhere() -> None:
    places = 0
    for name, panel in PANELS:
        for override in panel["fieldConfig"]["overrides"]:
            for prop in override["properties"]:
                if prop["id"] == "links":
                    (link,) = prop["value"]
                    places += 1
                    assert link["url"].startswith("/d/churn-customer-success?"), name
                    assert override["matcher"]["options"] == "customer_id"
                    assert "var-customer=${__value.raw:percentencode}" in link["url"]
    assert places == 6


def test_the_series_of_models_are_those_of_the_pipeline() -> None:
    (panel,) = (panel for _, panel in PANELS if panel["title"] == "Drift score by model")
    assert all(f'as "{target}"' in panel["targets"][0]["rawSql"] for target in TARGETS)


@pytest.fixture
def fourth(monkeypatch: pytest.MonkeyPatch) -> Target:
    """One more target is declared."""
    target = dataclasses.replace(
        TARGETS["churn_90d"],
        name="churn_180d",
        horizon_days=180,
        required=False,
        question="leaves within the next 180 days",
        title="Churn within 180 days",
        probability_column="churn_probability_180d",
        version_column="churn_180d_model_version",
        kind_column="churn_180d_model_kind",
    )
    monkeypatch.setitem(TARGETS, target.name, target)
    return target


def generated() -> dict[str, dict[str, Any]]:
    return {file.name: json.loads(text) for file, text in boards().items()}


def test_the_committed_dashboards_are_those_that_the_declarations_make() -> None:
    stale = [file.name for file, text in boards().items() if file.read_text(encoding="utf-8") != text]
    assert not stale, "make generate writes them"
    assert {file.name for file in boards()} == set(BOARDS)


def test_no_dashboard_names_a_tier_or_a_play() -> None:
    with (REPOSITORY / "dbt_project" / "seeds" / "risk_tiers.csv").open(encoding="utf-8") as file:
        names = {row["risk_tier"] for row in csv.DictReader(file)}
    with (REPOSITORY / "dbt_project" / "seeds" / "playbook.csv").open(encoding="utf-8") as file:
        names |= {row["play"] for row in csv.DictReader(file)}
    assert len(names) >= 8
    for name, board in BOARDS.items():
        text = json.dumps(board)
        assert [word for word in sorted(names) if re.search(rf"\b{re.escape(word)}\b", text)] == [], name


def test_a_new_target_is_on_the_dashboards_once_they_are_generated(fourth: Target) -> None:
    made = generated()

    def of(board: str, title: str) -> dict[str, Any]:
        (panel,) = (panel for panel in grafana.panels(made[board]) if panel["title"] == title)
        return panel

    assert fourth.probability_column in named(of("customer_success.json", "Every customer"))
    history = of("customer_success.json", "Customer: probability over time")["targets"][0]["rawSql"]
    assert f'{fourth.probability_column} as "180 days"' in history
    assert {fourth.version_column, fourth.kind_column} <= named(of("engineer.json", "Publications to PostgreSQL"))
    assert f'as "{fourth.name}"' in of("engineer.json", "Drift score by model")["targets"][0]["rawSql"]
    assert made != BOARDS


# --- on a real server ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "variable"), VARIABLES, ids=[f"{name}-{variable['name']}" for name, variable in VARIABLES]
)
def test_a_variable_offers_something_to_choose(name: str, variable: dict[str, Any], published: Reader) -> None:
    if variable["type"] == "textbox":
        assert variable["query"] == variable["current"]["value"] == ""
        return
    choices = published.options(variable)
    assert choices
    assert len(set(choices)) == len(choices)
    assert all(isinstance(value, str) for value in choices)
    if not variable["multi"]:
        assert variable["current"]["value"] in choices


@pytest.mark.parametrize(("name", "panel"), PANELS, ids=[f"{name}-{panel['title']}" for name, panel in PANELS])
def test_a_panel_gets_its_columns_and_rows_from_two_published_mondays(
    name: str, panel: dict[str, Any], published: Reader
) -> None:
    answer = published.panel(name, panel, customer=somebody(published))
    fits(panel, answer)
    if panel["title"] not in LATER | MAYBE:
        assert answer.rows
        assert any(value is not None for row in answer.rows for value in row)


def test_every_panel_gets_rows_once_windows_have_closed_and_the_result_can_be_read(
    later: tuple[Reader, Database], capsys: pytest.CaptureFixture[str]
) -> None:
    reader, _ = later
    customer = somebody(reader)
    lines, bare = [], []
    for name, panel in PANELS:
        answer = reader.panel(name, panel, customer=customer)
        fits(panel, answer)
        if not answer.rows or all(value is None for row in answer.rows for value in row):
            bare.append(panel["title"])
        lines.append(
            f"{name:<22}{panel['title']:<46}{panel['type']:<11}{len(answer.rows):>5}{len(answer.columns):>5}{answer.milliseconds:>8.1f}"
        )
    with capsys.disabled():
        print(f"\n{'dashboard':<22}{'panel':<46}{'kind':<11}{'rows':>5}{'cols':>5}{'ms':>8}", *lines, sep="\n")
    assert not bare


def test_on_the_first_day_every_panel_is_empty_and_none_is_an_error(empty: Reader) -> None:
    for name, panel in PANELS:
        fits(panel, empty.panel(name, panel))


def test_hostile_text_in_any_field_is_text_and_changes_nothing(later: tuple[Reader, Database]) -> None:
    reader, database = later

    def state() -> list[tuple[Any, ...]]:
        with psycopg.connect(database.url) as con:
            tables = con.execute(
                "select relname::text from pg_class where relnamespace = 'churn'::regnamespace and relkind in ('r', 'v') order by 1"
            ).fetchall()
            counts = con.execute(
                "select count(*), md5(string_agg(p::text, '' order by p::text)) from churn.predictions as p"
            )
            return [*tables, *counts.fetchall()]

    before = state()
    everybody = len(reader.titled("customer_success.json", "Every customer").rows)
    searched = [
        panel
        for panel in grafana.panels(BOARDS["customer_success.json"])
        if "${search:sqlstring}" in panel["targets"][0]["rawSql"]
    ]
    assert len(searched) == 10
    for text in HOSTILE:
        for backslash in (True, False):
            for panel in searched:
                fits(panel, reader.panel("customer_success.json", panel, backslash, search=text))
        assert len(reader.titled("customer_success.json", "Every customer", search=text).rows) < everybody, text
    # The others come from the address of the page, where anybody can write anything as well.
    for name, panel in PANELS:
        for text in HOSTILE[:5]:
            everywhere = {key: [text] for key in ("tier", "plan", "owner")} | {"customer": text, "target": text}
            fits(panel, reader.panel(name, panel, **everywhere))
    assert state() == before


@pytest.mark.parametrize("text", ["$__timeFrom()", "$__timeFilter(1=1 or csm_owner)", "cost $us(2)"])
def test_what_looks_like_a_macro_is_refused_by_grafana_or_by_postgresql_and_never_run(
    text: str, later: tuple[Reader, Database]
) -> None:
    reader, _ = later
    # Grafana replaces macros in what people typed too; the quote that comes with it is followed by a number, which no SQL allows.
    with pytest.raises((grafana.MacroError, errors.SyntaxError)):
        reader.titled("customer_success.json", "Every customer", search=text)


def test_the_login_of_the_dashboards_cannot_write(later: tuple[Reader, Database]) -> None:
    reader, _ = later
    for statement in ("drop table churn.predictions", "delete from churn.customers", "create table churn.mine (a int)"):
        with pytest.raises(errors.InsufficientPrivilege):
            reader.connection.execute(statement)


# --- the right rows --------------------------------------------------------------------------------------------------


def test_filters_leave_exactly_the_customers_that_fit_them(later: tuple[Reader, Database]) -> None:
    reader, _ = later

    def listed(**chosen: grafana.Value) -> set[str]:
        return set(column(reader.titled("customer_success.json", "Every customer", **chosen), "customer_id"))

    everybody = reader.ask("select customer_id, plan_tier, csm_owner, risk_tier from churn.latest_predictions").rows
    assert listed() == {row[0] for row in everybody}
    plan, tier = everybody[0][1], "LOW"
    assert listed(plan=[plan]) == {row[0] for row in everybody if row[1] == plan}
    assert listed(tier=[tier, "HIGH"]) == {row[0] for row in everybody if row[3] in (tier, "HIGH")}
    assert listed(plan=[plan], tier=[tier]) == {row[0] for row in everybody if row[1] == plan and row[3] == tier}
    nobodys = {row[0] for row in everybody if not (row[2] or "").strip()}
    assert nobodys
    assert listed(owner=["unassigned"]) == nobodys
    assert listed(owner=[]) == set()


@pytest.mark.parametrize("backslash", [True, False])
def test_an_owner_and_a_company_with_quotes_are_found_whichever_way_grafana_writes_them(
    backslash: bool, later: tuple[Reader, Database]
) -> None:
    reader, _ = later
    (panel,) = (panel for _, panel in PANELS if panel["title"] == "Every customer")
    board = "customer_success.json"
    (awkward,) = reader.ask(
        f"select customer_id from churn.predictions where snapshot_date = date '{TINY_MONDAY}' and csm_owner like 'Jo %'"
    ).rows
    (owner,) = (
        value
        for variable in grafana.variables(BOARDS[board])
        if variable["name"] == "owner"
        for value in reader.options(variable)
        if value.startswith("Jo ")
    )
    answer = reader.panel(board, panel, backslash, owner=[owner])
    assert column(answer, "customer_id") == [awkward[0]]
    for text in ('"größe"', "100% ", " & söhne", "o'neill \\ sons", f"  {awkward[0].lower()} "):
        answer = reader.panel(board, panel, backslash, search=text)
        assert column(answer, "customer_id") == [awkward[0]], text


def test_the_call_list_is_the_view_in_its_order(published: Reader) -> None:
    call_list = published.titled("customer_success.json", "Whom to call")
    expected = published.ask("select customer_id from churn.call_list order by call_rank").rows
    assert expected
    assert column(call_list, "customer_id") == [row[0] for row in expected]
    assert one(published.titled("customer_success.json", "To call")) == len(expected)


def test_whoever_is_held_out_is_on_no_list_of_those_who_call_and_no_panel_of_theirs_says_so(
    later: tuple[Reader, Database],
) -> None:
    reader, _ = later
    written_to, held_out = (
        one(
            reader.ask(
                f"select customer_id from churn.predictions where snapshot_date = date '{TINY_MONDAY}' and priority_rank = {rank}"
            )
        )
        for rank in (5, 6)
    )
    board = "customer_success.json"
    assert written_to in column(reader.titled(board, "Whom to write to"), "customer_id")
    for title in ("Whom to call", "Whom to write to", "Who got worse since last Monday", "Whom to offer the next plan"):
        assert held_out not in column(reader.titled(board, title), "customer_id"), title
    # They are a customer like any other all the same.
    assert held_out in column(reader.titled(board, "Every customer"), "customer_id")
    for panel in grafana.panels(BOARDS[board]):
        shown = reader.panel(board, panel, customer=held_out).columns
        assert not {"is_holdout", "is_in_holdout_draw"} & set(shown), panel["title"]
        assert "held out" not in panel["title"] + panel["description"]


def test_the_renewals_of_both_boards_are_the_same_contracts(published: Reader) -> None:
    listed = published.titled("customer_success.json", "Renewals in the next 90 days")
    by_week = published.titled("vp.json", "Renewals in the next 90 days by week")
    assert listed.rows
    assert sum(column(by_week, "customers")) == len(listed.rows)
    assert sum(column(by_week, "annual_revenue")) == pytest.approx(sum(column(listed, "annual_revenue")))
    assert all(0 <= days <= 90 for days in column(listed, "days_to_renewal"))


def test_what_is_said_about_a_customer_is_what_their_row_holds(published: Reader) -> None:
    board = "customer_success.json"
    customer = somebody(published)
    themes, parts, change = published.ask(
        f"select churn_themes, change_parts, probability_change from churn.latest_predictions where customer_id = '{customer}'"
    ).rows[0]
    reasons = published.titled(board, "Customer: reasons, and what to say", customer=customer)
    assert column(reasons, "sentence") == [theme["sentence"] for theme in themes] != []
    assert all(column(reasons, "ask"))
    changed = published.titled(board, "Customer: what changed since last Monday", customer=customer)
    assert sum(column(changed, "points_changed")) == pytest.approx(100 * change)
    assert len(changed.rows) == len(parts)


def test_without_filters_the_vps_tiers_are_those_of_the_view(published: Reader) -> None:
    history = published.ask(
        "select snapshot_date, severity || ' ' || risk_tier as tier, customers, revenue_at_risk from churn.tier_history"
    ).rows
    assert len(history) == 8
    for title, place in (("Customers by tier", 2), ("Revenue at risk by tier", 3)):
        answer = published.titled("vp.json", title)
        assert len(answer.rows) == 2
        for monday, tier, *figures in history:
            (row,) = (row for row in answer.rows if row[0].date() == monday)
            assert row[list(answer.columns).index(tier)] == pytest.approx(figures[place - 2])
    now, before = (sum(row[3] for row in history if row[0] == monday) for monday in (TINY_MONDAY, TINY_BEFORE))
    assert one(published.titled("vp.json", "Revenue at risk")) == pytest.approx(now)
    assert one(published.titled("vp.json", "Change since the Monday before")) == pytest.approx(now - before)


def test_movements_and_comings_and_goings_add_up(published: Reader) -> None:
    moves = published.titled("vp.json", "Movements between tiers")
    lower, higher = published.ask(
        f"select sum(came_from_lower) as lower, sum(came_from_higher) as higher from churn.tier_history where snapshot_date = date '{TINY_MONDAY}'"
    ).rows[0]
    assert (column(moves, "worse")[-1], -column(moves, "better")[-1]) == (lower, higher)
    came = published.titled("vp.json", "Customers who came and went")
    ((monday, new, gone),) = came.rows
    before, now = (
        published.ask(f"select count(*) from churn.predictions where snapshot_date = date '{day}'").rows[0][0]
        for day in (TINY_BEFORE, TINY_MONDAY)
    )
    assert monday.date() == TINY_MONDAY
    assert now - before == new + gone
    matrix = published.titled("vp.json", "From where to where on the newest Monday")
    assert sum(sum(row[1:5]) for row in matrix.rows) == now


def test_a_series_holds_the_mondays_of_the_time_range_and_no_other(published: Reader) -> None:
    (panel,) = (panel for _, panel in PANELS if panel["title"] == "Customers scored by Monday")
    query = panel["targets"][0]["rawSql"]
    # From the evening of the first Monday on: the day counts as a whole, whatever the hour.
    evening = datetime(TINY_BEFORE.year, TINY_BEFORE.month, TINY_BEFORE.day, 23, tzinfo=UTC)
    for since, until, days in (
        (evening, evening + timedelta(days=6), [TINY_BEFORE]),
        (evening + timedelta(days=1), UNTIL, [TINY_MONDAY]),
        (SINCE, UNTIL, [TINY_BEFORE, TINY_MONDAY]),
    ):
        answer = published.ask(grafana.expand(query, since, until))
        assert [row[0].date() for row in answer.rows] == days


def test_a_tier_has_the_colour_of_its_severity_and_a_probability_that_of_its_tier(published: Reader) -> None:
    words, steps = published.colours("customer_success.json", "Whom to call")
    tiers = published.ask("select risk_tier, severity, lower_bound from churn.tiers order by severity").rows
    assert words == {tier: SEVERITIES[severity - 1] for tier, severity, _ in tiers}
    assert steps == [(bound, SEVERITIES[severity - 1]) for _, severity, bound in tiers]
    assert published.colours("customer_success.json", "Customer: probability over time") == ({}, steps)


def test_with_a_tier_renamed_and_one_added_every_panel_that_counts_tiers_still_counts_everybody(
    two_mondays: Settings, postgres: Cluster
) -> None:
    def prepare(database: Database) -> None:
        publishing.publish(database.url, two_mondays)
        with psycopg.connect(database.url) as con:
            con.execute("update churn.risk_tiers set risk_tier = 'GRAVE' where risk_tier = 'HIGH'")
            con.execute("update churn.risk_tiers set severity = 5 where risk_tier = 'CRITICAL'")
            con.execute(
                "insert into churn.risk_tiers select distinct policy_version, 'SEVERE', 4, 0.7, true from churn.risk_tiers"
            )
            con.execute("update churn.predictions set risk_tier = 'GRAVE' where risk_tier = 'HIGH'")
            con.execute("update churn.predictions set previous_risk_tier = 'GRAVE' where previous_risk_tier = 'HIGH'")
            con.execute("update churn.predictions set risk_tier = 'SEVERE' where priority_rank <= 7")

    with reading(postgres, prepare) as (reader, _):
        ((customers, money, urgent),) = reader.ask(
            "select count(*) as customers, sum(revenue_at_risk) as money, count(*) filter (where risk_tier in ('GRAVE', 'SEVERE', 'CRITICAL')) "
            "as urgent from churn.latest_predictions"
        ).rows
        names = ["time", "1 LOW", "2 MEDIUM", "3 GRAVE", "4 SEVERE", "5 CRITICAL"]
        by_tier = reader.titled("vp.json", "Customers by tier")
        assert list(by_tier.columns) == names
        assert sum(by_tier.rows[-1][1:]) == customers
        assert by_tier.rows[-1][4] == 7
        revenue = reader.titled("vp.json", "Revenue at risk by tier")
        assert list(revenue.columns) == names
        assert sum(revenue.rows[-1][1:]) == pytest.approx(money)
        moves = reader.titled("vp.json", "From where to where on the newest Monday")
        assert list(moves.columns)[1:] == [
            "Now LOW",
            "Now MEDIUM",
            "Now GRAVE",
            "Now SEVERE",
            "Now CRITICAL",
            "At risk, USD a year",
        ]
        assert sum(sum(row[1:6]) for row in moves.rows) == customers
        assert sum(row[6] for row in moves.rows) == pytest.approx(money)
        assert one(reader.titled("vp.json", "Customers in an urgent tier")) == urgent
        assert sum(column(reader.titled("vp.json", "By owner on the newest Monday"), "urgent")) == urgent
        (tiers,) = (
            variable for variable in grafana.variables(BOARDS["customer_success.json"]) if variable["name"] == "tier"
        )
        assert reader.options(tiers) == ["CRITICAL", "SEVERE", "GRAVE", "MEDIUM", "LOW"]
        assert len(reader.titled("customer_success.json", "Every customer").rows) == customers
        assert reader.colours("customer_success.json", "Every customer")[0]["SEVERE"] == SEVERITIES[3]


def test_the_queries_of_a_new_target_run_on_what_a_home_with_it_publishes(
    two_mondays: Settings, postgres: Cluster, fourth: Target, tmp_path: Path
) -> None:
    home = two_mondays.model_copy(update={"home": tmp_path / "home"})
    home.published.mkdir(parents=True)
    for file in (two_mondays.published_database, two_mondays.monitoring_database):
        shutil.copy(file, home.published)
    with duckdb.connect(str(home.published_database)) as con:
        con.execute("drop view if exists drivers")
        con.execute(f"alter table predictions add column if not exists {fourth.probability_column} double")
        con.execute(f"alter table predictions add column if not exists {fourth.version_column} varchar")
        con.execute(
            f"update predictions set {fourth.probability_column} = churn_probability_90d, {fourth.version_column} = '1'"
        )
    with reading(postgres, lambda database: void(publishing.publish(database.url, home))) as (reader, _):
        new = dataclasses.replace(reader, boards=generated())
        for name, board in new.boards.items():
            for panel in grafana.panels(board):
                fits(panel, new.panel(name, panel, customer="C1"))
        everybody = new.titled("customer_success.json", "Every customer")
        assert column(everybody, fourth.probability_column) == column(everybody, "churn_probability_90d")
        assert set(column(new.titled("engineer.json", "Publications to PostgreSQL"), fourth.version_column)) == {"1"}


def test_the_engineer_sees_a_refusal_a_broken_promise_and_a_feature_that_went_missing(
    later: tuple[Reader, Database],
) -> None:
    reader, _ = later
    board = "engineer.json"
    assert one(reader.titled(board, "Mondays refused")) == 1
    assert "usage is stale" in column(reader.titled(board, "Runs"), "reason")
    assert one(reader.titled(board, "Models under their promise")) == 2
    assert one(reader.titled(board, "Worst missing share against training")) == pytest.approx(0.25)
    quality = reader.titled(board, "Data quality by feature, newest Monday")
    assert column(quality, "missing_excess")[0] == pytest.approx(0.25)
    assert column(reader.titled(board, "Ranking (AUC)"), "realised") == [0.5, None]
