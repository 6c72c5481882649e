"""The ``churn`` command as a person or a script meets it: a process, its output and its exit code."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from datetime import date
from importlib.metadata import version
from pathlib import Path

import duckdb
import pytest

from churn_pipeline.cli.commands import app
from churn_pipeline.core.formatting import counted, folded
from churn_pipeline.core.settings import Settings
from churn_pipeline.delivery.digest_query import digest_from
from tests.conftest import MONDAY
from tests.support.homes import query

CHURN = str(Path(sys.executable).with_name("churn"))
COMMANDS = sorted(command.name or command.callback.__name__ for command in app.registered_commands)


def churn(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs the command with no setting but those given. Wide enough that no help text is cut."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CHURN_")}
    completed = subprocess.run(
        [CHURN, *map(str, arguments)],
        env={**inherited, "COLUMNS": "160", **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "Traceback" not in completed.stderr + completed.stdout
    return completed


def refused(completed: subprocess.CompletedProcess[str], exit_code: int, *words: object) -> None:
    assert completed.returncode == exit_code, completed.stderr
    assert completed.stdout == ""
    for word in words:
        assert str(word) in completed.stderr


def customers(settings: Settings, sql: str) -> list[tuple]:
    return query(settings.published_database, sql)


def test_every_command_is_known_by_the_help_of_the_whole() -> None:
    completed = churn("--help")
    assert completed.returncode == 0
    assert COMMANDS == [
        "backfill",
        "brief",
        "check",
        "customer",
        "forget",
        "init",
        "models",
        "policy",
        "predict",
        "promote",
        "publish",
        "replay-report",
        "rollback",
        "run",
        "serve",
        "show",
        "simulate",
        "train",
        "ui",
    ]
    for command in COMMANDS:
        assert command in completed.stdout
    for word in ("CHURN_HOME", "Exit codes", "2 bad input", "3 refused"):
        assert word in completed.stdout


def test_the_version_is_that_of_the_package() -> None:
    completed = churn("--version")
    assert (completed.returncode, completed.stdout, completed.stderr) == (0, f"churn {version('churn-pipeline')}\n", "")


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_says_what_it_does_and_what_each_option_is(command: str) -> None:
    completed = churn(command, "--help")
    assert completed.returncode == 0
    assert completed.stderr == ""
    described = {
        registered.name or registered.callback.__name__: registered.callback.__doc__
        for registered in app.registered_commands
    }
    first_sentence = described[command].split(".")[0]
    assert " ".join(first_sentence.split()) in " ".join(completed.stdout.split())
    options = [line for line in completed.stdout.splitlines() if line.strip(" │").startswith("--")]
    assert options
    assert all(len(line.strip(" │").split()) >= 3 for line in options), options


def test_the_clock_of_a_home_can_be_set_and_a_day_that_is_no_monday_is_refused_with_the_two_nearest(
    tmp_path: Path,
) -> None:
    for command in (("run",), ("train",), ("show",), ("customer", "C1")):
        completed = churn(*command, "--week", "2026-03-18", "--home", tmp_path, CHURN_NOW="2026-06-30")
        refused(completed, 2, "Wednesday", "2026-03-16", "2026-03-23")


def test_a_monday_that_has_not_begun_is_refused_with_the_latest(tmp_path: Path) -> None:
    refused(
        churn("run", "--week", "2026-07-06", "--home", tmp_path, CHURN_NOW="2026-06-30"), 2, "2026-07-06", "2026-06-29"
    )


def test_a_word_that_is_no_date_is_refused_with_how_to_write_one(tmp_path: Path) -> None:
    refused(churn("run", "--week", "yesterday", "--home", tmp_path), 2, "'yesterday'", "YYYY-MM-DD")


@pytest.mark.parametrize("exists", [True, False])
def test_without_raw_tables_a_run_says_where_they_belong_and_how_to_get_some(tmp_path: Path, exists: bool) -> None:
    raw = tmp_path / "data" / "raw"
    if exists:
        raw.mkdir(parents=True)
    refused(churn("run", "--home", tmp_path), 2, raw, f"churn simulate --out {tmp_path / 'data'}", "docs/your-data.md")


@pytest.mark.parametrize(
    ("variable", "value"),
    [("CHURN_TIMEZONE", "Mars/Olympus"), ("CHURN_MAX_BAD_SHARE", "lots"), ("CHURN_HISTORY_WEEKS", "3")],
)
def test_a_setting_that_makes_no_sense_is_refused_by_its_name(tmp_path: Path, variable: str, value: str) -> None:
    refused(churn("run", "--home", tmp_path, **{variable: value}), 2, variable)


def test_before_the_first_run_there_is_nothing_to_show_and_it_says_how_to_start(tmp_path: Path) -> None:
    for command in (("show",), ("models",), ("customer", "C1")):
        refused(churn(*command, "--home", tmp_path), 3, "churn run")


def test_the_call_list_starts_with_the_first_call(scored_home: Settings) -> None:
    completed = churn("show", "--home", scored_home.home, "--top", 3)
    assert completed.returncode == 0, completed.stderr
    names = customers(
        scored_home,
        "select company_name from predictions inner join customers using (customer_id) where is_on_call_list order by call_rank limit 4",
    )
    first, second, third, fourth = (completed.stdout.find(name) for (name,) in names)
    assert 0 < first < second < third
    assert fourth == -1
    assert str(MONDAY) in completed.stdout


def test_the_call_list_of_an_owner_has_only_theirs_in_the_order_of_the_whole(scored_home: Settings) -> None:
    ((owner,),) = customers(scored_home, "select min(csm_owner) from predictions where is_on_call_list")
    # As somebody writes it who is in a hurry.
    start = folded(owner)[:-1]
    completed = churn("show", "--home", scored_home.home, "--owner", start, "--top", 10_000, "--json")
    assert completed.returncode == 0, completed.stderr
    calls = json.loads(completed.stdout)["calls"]
    expected = customers(
        scored_home,
        f"select customer_id from predictions where is_on_call_list and csm_owner = '{owner}' order by call_rank",
    )
    assert [call["customer_id"] for call in calls] == [customer_id for (customer_id,) in expected]
    assert owner in churn("show", "--home", scored_home.home, "--owner", owner).stdout


def test_the_list_is_the_same_on_the_command_line_in_the_digest_and_in_the_files(scored_home: Settings) -> None:
    shown = json.loads(churn("show", "--home", scored_home.home, "--top", 10_000, "--json").stdout)["calls"]
    on_list = [call["customer_id"] for call in shown]
    expected = customers(scored_home, "select customer_id from predictions where is_on_call_list order by call_rank")
    assert on_list == [customer_id for (customer_id,) in expected] != []
    with duckdb.connect(str(scored_home.published_database), read_only=True) as con:
        digest = digest_from(con, MONDAY, top=10_000, per_owner=10_000)
    assert [line.customer_id for line in digest.calls] == on_list
    assert {line.customer_id for owner in digest.owners for line in owner.calls} == set(on_list)
    folder = scored_home.published / "call_lists" / str(MONDAY)
    for file, column in (("all", "customer_id"), ("all.hubspot", "Record ID"), ("all.salesforce", "WhatId")):
        with (folder / f"{file}.csv").open(encoding="utf-8", newline="") as rows:
            assert [row[column] for row in csv.DictReader(rows)] == on_list


def test_the_second_list_has_nobody_of_the_first(scored_home: Settings) -> None:
    completed = churn("show", "--home", scored_home.home, "--written", "--top", 10_000, "--json")
    listing = json.loads(completed.stdout)
    written_to = {call["customer_id"] for call in listing["calls"]}
    assert len(written_to) == listing["written_to"]
    called = customers(scored_home, "select customer_id from predictions where is_on_call_list")
    assert not written_to & {customer_id for (customer_id,) in called}


def test_an_owner_nobody_knows_is_refused_with_those_there_are(scored_home: Settings) -> None:
    owners = customers(scored_home, "select distinct csm_owner from predictions where csm_owner is not null")
    completed = churn("show", "--home", scored_home.home, "--owner", "Nobody")
    refused(completed, 2, "'Nobody'", *(owner for (owner,) in owners))


def test_a_monday_that_is_not_published_is_refused_with_those_that_are(scored_home: Settings) -> None:
    refused(churn("show", "--home", scored_home.home, "--week", "2026-03-09"), 3, "2026-03-09", MONDAY)


def test_the_models_are_listed_with_their_verdict(scored_home: Settings) -> None:
    completed = churn("models", "--home", scored_home.home)
    assert completed.returncode == 0, completed.stderr
    for target in ("churn_30d", "churn_90d", "expansion_90d"):
        assert target in completed.stdout
    rows = json.loads(churn("models", "--home", scored_home.home, "--json").stdout)
    assert [row["seq"] for row in rows] == sorted((row["seq"] for row in rows), reverse=True)
    assert all(row["metrics"]["model"] for row in rows if row["promoted"])


def test_a_customer_is_shown_with_probability_reasons_and_what_to_do(scored_home: Settings) -> None:
    row = customers(
        scored_home,
        """
        select customer_id, company_name, risk_tier, recommended_action, churn_themes[1].sentence, talking_points[1].ask
        from predictions inner join customers using (customer_id) where call_rank = 1
        """,
    )[0]
    completed = churn("customer", row[0], "--home", scored_home.home)
    assert completed.returncode == 0, completed.stderr
    page = " ".join(completed.stdout.split())
    for text in (*row, "On the call list: number 1"):
        assert " ".join(text.split()) in page
    profile = json.loads(churn("customer", row[0], "--home", scored_home.home, "--json").stdout)
    assert (profile["customer_id"], profile["call_rank"], profile["snapshot_date"]) == (row[0], 1, str(MONDAY))
    assert not {"is_holdout", "is_in_holdout_draw"} & set(profile)


def test_a_customers_page_says_what_they_did_lately_and_when_and_by_which_models_they_were_scored(
    scored_home: Settings,
) -> None:
    names = (
        "events_last_30d", "open_tickets", "latest_opportunity_date", "latest_opportunity_stage", "last_contact_date", "last_contact_kind",
        "renewal_date", "scored_at",
    )  # fmt: skip
    ((customer_id, *facts),) = customers(
        scored_home,
        """
        select customer_id, events_last_30d, open_tickets_of_any_age, latest_opportunity_date, latest_opportunity_stage, last_contact_date,
               last_contact_kind, renewal_date, scored_at
        from customer_weeks inner join predictions using (snapshot_date, customer_id)
        where latest_opportunity_date is not null and last_contact_date is not null and renewal_date is not null
        order by open_tickets_of_any_age desc, customer_id limit 1
        """,
    )
    profile = json.loads(churn("customer", customer_id, "--home", scored_home.home, "--json").stdout)
    assert [profile[name] for name in names] == [fact if isinstance(fact, int) else str(fact) for fact in facts]
    said = dict(zip(names, facts, strict=True))
    page = " ".join(churn("customer", customer_id, "--home", scored_home.home).stdout.split())
    for text in (
        f"{said['events_last_30d']} events in 30 days; {counted(said['open_tickets'], 'open ticket')}",
        f"latest opportunity {said['latest_opportunity_stage'].replace('_', ' ')}, from {said['latest_opportunity_date']:%-d %b %Y}",
        f"last contact {said['last_contact_date']:%-d %b %Y} ({said['last_contact_kind']})",
        f"Predicted {said['scored_at']:%-d %b %Y, %H:%M} UTC by churn_90d version 1 (",
    ):
        assert text in page


def test_a_page_of_what_an_older_version_published_says_what_is_not_known(
    scored_home: Settings, tmp_path: Path
) -> None:
    published = tmp_path / "data" / "published"
    published.mkdir(parents=True)
    shutil.copy(scored_home.published_database, published)
    with duckdb.connect(str(published / "churn.duckdb")) as con:
        con.execute("drop table customer_weeks")
        (customer_id,) = con.execute("select customer_id from predictions where call_rank = 1").fetchone()
    page = " ".join(churn("customer", customer_id, "--home", tmp_path).stdout.split())
    assert "Events in 30 days not known; open tickets not known; no sales opportunity known; no contact known" in page


def test_a_customer_is_found_by_the_name_of_the_company(scored_home: Settings) -> None:
    ((customer_id, name),) = customers(
        scored_home,
        """
        select any_value(customer_id), company_name from customers semi join predictions using (customer_id)
        where company_name not like '=%' group by company_name having count(*) = 1 order by company_name limit 1
        """,
    )
    completed = churn("customer", name.upper(), "--home", scored_home.home, "--json")
    assert completed.returncode == 0, completed.stderr
    assert json.loads(completed.stdout)["customer_id"] == customer_id


def test_a_customer_nobody_knows_is_refused_by_name(scored_home: Settings) -> None:
    refused(churn("customer", "C-none", "--home", scored_home.home), 2, "'C-none'")


def test_a_customer_is_answered_without_loading_what_a_run_needs(scored_home: Settings) -> None:
    """What an answer in under a second depends on, and, other than the time, is the same on a busy machine."""
    ((customer_id,),) = customers(scored_home, "select customer_id from predictions limit 1")
    code = (
        "import sys\nfrom churn_pipeline.cli.commands import app\n"
        "try:\n    app()\nexcept SystemExit as end:\n    assert not end.code\n"
        "print(*sorted(name for name in sys.modules if '.' not in name), file=sys.stderr)"
    )
    for command in (["customer", customer_id], ["show"], ["models"]):
        completed = subprocess.run(
            [sys.executable, "-c", code, *command, "--home", str(scored_home.home)],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        loaded = set(completed.stderr.split())
        assert "duckdb" in loaded
        heavy = {"dagster", "dbt", "mlflow", "numpy", "pandas", "pyarrow", "shap", "sklearn", "xgboost"}
        assert not heavy & loaded, command


def test_names_are_printed_as_they_are_whatever_they_look_like(scored_home: Settings, tmp_path: Path) -> None:
    published = tmp_path / "data" / "published"
    published.mkdir(parents=True)
    shutil.copy(scored_home.published_database, published)
    name, owner = "[bold]x[/bold] :heart: [/]", "[red]Ann[/red]"
    with duckdb.connect(str(published / "churn.duckdb")) as con:
        con.execute("update customers set company_name = ?", [name])
        con.execute("update predictions set csm_owner = ?, industry = ?", [owner, "[link=x]y"])
        (customer_id,) = con.execute("select customer_id from predictions where call_rank = 1").fetchone()
    shown = churn("show", "--home", tmp_path, "--owner", owner, "--top", 1)
    assert shown.returncode == 0, shown.stderr
    customer_shown = churn("customer", customer_id, "--home", tmp_path)
    assert customer_shown.returncode == 0, customer_shown.stderr
    for text in (shown.stdout, customer_shown.stdout):
        assert name in " ".join(text.split())
        assert owner in text
    assert "[link=x]y" in customer_shown.stdout


@pytest.mark.parametrize("family", [(), ("--family", "terms")], ids=["health", "terms"])
def test_a_simulated_company_is_written_with_its_oracle(family: tuple[str, ...], tmp_path: Path) -> None:
    completed = churn(
        "simulate", "--out", tmp_path, "--customers", 200, "--weeks", 20, "--until", "2026-03-16", *family
    )
    assert completed.returncode == 0, completed.stderr
    written = {Path(line) for line in completed.stdout.splitlines()}
    assert tmp_path / "oracle.parquet" in written
    names = {"customers.parquet", "usage_events.parquet", "plan_changes.parquet", "interventions.parquet"}
    assert {path.name for path in written} >= names
    assert all(path.is_file() for path in written)
    with duckdb.connect() as con:
        oracle = con.execute(f"from '{tmp_path}/oracle.parquet'")
        assert [column[0] for column in oracle.description] == [
            "snapshot_date", "customer_id", "p_churn_30d", "p_churn_90d", "p_expansion_90d",
            "p_churn_90d_without_calls", "p_churn_90d_with_one_call",
        ]  # fmt: skip
        latest = con.execute(f"select max(snapshot_date), count(*) from '{tmp_path}/oracle.parquet'").fetchone()
        assert latest[0] == date(2026, 3, 16)
        assert latest[1] > 0
        assert con.execute(f"select count(*) from '{tmp_path}/raw/customers.parquet'").fetchone() == (200,)
        # One says when its customers upgraded, the other does not.
        columns = con.execute(f"from '{tmp_path}/raw/customers.parquet'").description
        assert ("upgrade_date" in {column[0] for column in columns}) == (not family)


def test_a_company_of_a_make_that_there_is_none_of_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    refused(churn("simulate", "--out", tmp_path / "company", "--family", "bakery"), 2, "bakery", "health, terms")
    assert not (tmp_path / "company").exists()


@pytest.mark.parametrize(
    ("shock", "named"),
    [
        ("usage", "KIND@WEEKS"),
        ("usage@soon", "KIND@WEEKS"),
        ("meteor@3", "meteor"),
        ("usage@0", "not 0"),
        ("usage@99", "99"),
    ],
)
def test_a_shock_that_makes_no_sense_is_refused_and_nothing_is_written(tmp_path: Path, shock: str, named: str) -> None:
    out = tmp_path / "company"
    completed = churn("simulate", "--out", out, "--customers", 200, "--weeks", 20, "--shock", shock)
    refused(completed, 2, named)
    assert not out.exists()
