"""churn init: what it makes of a folder, and what it says of its doubts."""

from __future__ import annotations

import gzip
import random
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pytest

from churn_pipeline.contract.declaration import TABLES
from churn_pipeline.contract.source import ColumnSource
from churn_pipeline.core.errors import InputError
from churn_pipeline.core.settings import Settings
from churn_pipeline.sources import read_sources
from churn_pipeline.sources.initial import write_proposal
from churn_pipeline.sources.names import likeness, meaning, plain, synonyms
from churn_pipeline.sources.propose import presets
from churn_pipeline.sources.write import scalar

PLANS = ("Basic", "Pro", "Enterprise Plus", "Free trial", "Zebra")


def _csv(path: Path, header: str, rows: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *rows, ""]), encoding="utf-8")


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of exports with names that are not ours: customers in two files, events in a folder, tickets, and something else."""
    folder = tmp_path_factory.mktemp("exports")
    draw = random.Random(1)
    customers = []
    for number in range(60):
        signed = date(2024, 1, 1) + timedelta(days=number * 5)
        ended = f"{signed + timedelta(days=100):%m/%d/%Y}" if number % 4 == 0 else ""
        customers.append(
            f"A{number:04d},Firm {number},{PLANS[number % 5]},{signed:%m/%d/%Y},{draw.randint(50, 900)}.50,{ended},retail,sam,X{number * 7}"
        )
    header = "account_id,Account Name,plan,created,monthly_amount,cancelled_at,sector,owner,legacy_no"
    _csv(folder / "crm/accounts_2026-01.csv", header, customers[:30])
    _csv(folder / "crm/accounts_2026-02.csv", header, customers[30:])
    _csv(
        folder / "helpdesk.csv",
        "Number,Belongs to,Opened At,Urgency,Resolution minutes,Category",
        [
            f"{number},A{draw.randrange(60):04d},2025-03-{1 + number % 28:02d} 10:00:00,{('P1', 'P2', 'normal', 'Low')[number % 4]},"
            f"{number * 9},billing"
            for number in range(120)
        ],
    )
    for part in range(3):
        _csv(
            folder / f"event_log/part-{part}.csv",
            "happened_at,org,action",
            [f"{1_700_000_000 + number * 1000},A{draw.randrange(60):04d},login" for number in range(80)],
        )
    _csv(folder / "weather.csv", "station,rain", ["a,1", "b,2"])
    return folder


@pytest.fixture(scope="module")
def proposed(company: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The text that was written for the company."""
    home = tmp_path_factory.mktemp("home")
    return write_proposal(Settings(home=home), company).path.read_text(encoding="utf-8")


def _read(text: str, tmp_path: Path) -> dict[str, dict[str, ColumnSource]]:
    path = tmp_path / "sources.yml"
    path.write_text(text, encoding="utf-8")
    return {name: dict(source.columns) for name, source in read_sources(path).tables.items()}


def test_each_export_is_the_table_that_it_is(proposed: str, company: Path, tmp_path: Path) -> None:
    path = tmp_path / "sources.yml"
    path.write_text(proposed, encoding="utf-8")
    files = {name: source.files.removeprefix(f"{company}/") for name, source in read_sources(path).tables.items()}
    assert files == {
        "customers": "crm/",
        "usage_events": "event_log/",
        "support_tickets": "helpdesk.csv",
    }
    assert "#   weather.csv" in proposed


def test_columns_are_known_by_names_shapes_and_shared_ids(proposed: str, tmp_path: Path) -> None:
    tables = _read(proposed, tmp_path)
    customers = {name: source.column for name, source in tables["customers"].items()}
    assert customers == {
        "customer_id": "account_id",
        "company_name": "Account Name",
        "plan_tier": "plan",
        "signup_date": "created",
        "mrr": "monthly_amount",
        "churn_date": "cancelled_at",
        "industry": "sector",
        "csm_owner": "owner",
    }
    tickets = tables["support_tickets"]
    # No name says so: its values are the customers'.
    assert tickets["customer_id"].column == "Belongs to"
    assert tickets["resolution_time"] == ColumnSource(column="Resolution minutes", unit="minutes")
    assert tickets["priority"].words == {"P1": "critical", "P2": "high", "normal": "medium"}


def test_events_without_an_id_get_one_made_of_what_tells_them_apart(proposed: str, tmp_path: Path) -> None:
    event_id = _read(proposed, tmp_path)["usage_events"]["event_id"]
    assert event_id.expression == "md5(concat_ws('|', org, happened_at, \"action\"))"
    (line,) = [line for line in proposed.splitlines() if line.lstrip().startswith("event_id:")]
    assert "two equal events of one moment count once" in line


def test_plans_are_translated_and_a_guess_says_so(proposed: str, tmp_path: Path) -> None:
    words = _read(proposed, tmp_path)["customers"]["plan_tier"].words
    assert words == {"Basic": "starter", "Pro": "growth", "Enterprise Plus": "enterprise", "Free trial": "free"}
    lines = [line.strip() for line in proposed.splitlines()]
    assert "Pro: growth  # a guess" in lines
    # A word that nobody knows is a question, and not in force.
    assert "# Zebra:  # one of free, starter, growth, enterprise, custom" in lines


def test_what_was_not_found_is_a_line_that_is_not_in_force(tmp_path: Path) -> None:
    folder, home = tmp_path / "exports", tmp_path / "home"
    _csv(folder / "clients.csv", "client_id,signed_up", [f"{n},2024-01-{1 + n % 28:02d}" for n in range(40)])
    text = write_proposal(Settings(home=home), folder).path.read_text(encoding="utf-8")
    wanted = [line for line in text.splitlines() if line.startswith("    # ")]
    required = {column.name for column in TABLES["customers"].raw if column.required and not column.needed}
    nothing = {
        line.split(":")[0].strip() for line in text.splitlines() if ": null" in line and not line.startswith("    #")
    }
    assert {line.split(":")[0].strip("# ") for line in wanted} | nothing == required
    assert any("churn_date" in line and "the day they left; null while active" in line for line in wanted)


def test_a_column_that_others_could_be_too_names_them(tmp_path: Path) -> None:
    folder, home = tmp_path / "exports", tmp_path / "home"
    _csv(
        folder / "accounts.csv",
        "account_id,created_at,start_date,cancelled_at,ended_at",
        [f"{n},2024-01-{1 + n % 28:02d},2024-02-{1 + n % 28:02d},," for n in range(40)],
    )
    text = write_proposal(Settings(home=home), folder).path.read_text(encoding="utf-8")
    (line,) = [line for line in text.splitlines() if line.lstrip().startswith("signup_date:")]
    assert line.startswith("    signup_date: created_at  # ")
    assert "also possible: start_date" in line


def test_the_customers_id_is_the_unique_column_that_the_others_share(tmp_path: Path) -> None:
    folder, home = tmp_path / "exports", tmp_path / "home"
    _csv(
        folder / "accounts.csv",
        "id,reference,created_at",
        [f"{n},REF-{n:05d},2024-01-{1 + n % 28:02d}" for n in range(50)],
    )
    _csv(
        folder / "events.csv",
        "event_id,account,timestamp,event_type",
        [f"e{n},REF-{n % 50:05d},2025-01-01 10:00:00,login" for n in range(100)],
    )
    path = write_proposal(Settings(home=home), folder).path
    tables = read_sources(path).tables
    assert tables["customers"].columns["customer_id"].column == "reference"
    assert tables["usage_events"].columns["customer_id"].column == "account"


def test_dates_that_could_be_read_in_two_ways_are_a_doubt(tmp_path: Path) -> None:
    folder, home = tmp_path / "exports", tmp_path / "home"
    _csv(folder / "accounts.csv", "account_id,created_at", [f"{n},0{1 + n % 9}/0{1 + n % 8}/2024" for n in range(40)])
    assert "month or day first?" in write_proposal(Settings(home=home), folder).path.read_text(encoding="utf-8")


def test_parquet_json_lines_and_packed_text_are_looked_at(tmp_path: Path) -> None:
    folder, home = tmp_path / "exports", tmp_path / "home"
    folder.mkdir()
    con = duckdb.connect()
    con.execute(
        "create table accounts as select 'A' || i as account_id, date '2024-01-01' + i::int as created_at from range(50) as t(i)"
    )
    con.execute(
        "create table events as select i as event_id, 'A' || i % 50 as account_id, 1700000000 + i as ts, 'x' as event from range(90) as t(i)"
    )
    con.execute(f"copy accounts to '{folder}/accounts.parquet'")
    con.execute(f"copy events to '{folder}/events.jsonl' (format json)")
    with gzip.open(folder / "tickets.csv.gz", "wt") as stream:
        stream.write("ticket_id,account_id,created_at\n" + "".join(f"{n},A{n % 50},2025-01-01\n" for n in range(60)))
    tables = read_sources(write_proposal(Settings(home=home), folder).path).tables
    assert {name: Path(source.files).name for name, source in tables.items()} == {
        "customers": "accounts.parquet",
        "usage_events": "events.jsonl",
        "support_tickets": "tickets.csv.gz",
    }


def test_a_folder_within_the_raw_directory_is_named_from_there(company: Path, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, raw=company)
    assert read_sources(write_proposal(settings, company).path).tables["customers"].files == "crm/"
    (tmp_path / "sources.yml").unlink()
    settings = Settings(home=tmp_path, raw=company.parent)
    assert read_sources(write_proposal(settings, company).path).tables["customers"].files == f"{company.name}/crm/"


def test_a_file_that_is_there_is_kept_unless_it_is_to_be_replaced(company: Path, tmp_path: Path) -> None:
    path = tmp_path / "sources.yml"
    path.write_text("customers: {files: mine.csv}\n")
    with pytest.raises(InputError, match="is there already; --force replaces it"):
        write_proposal(Settings(home=tmp_path), company)
    assert path.read_text() == "customers: {files: mine.csv}\n"
    other = write_proposal(Settings(home=tmp_path), company, out=tmp_path / "other.yml").path
    assert path.read_text() == "customers: {files: mine.csv}\n"
    write_proposal(Settings(home=tmp_path), company, force=True)
    assert path.read_text() == other.read_text()


@pytest.mark.parametrize(
    ("files", "part"),
    [
        ({}, "holds no CSV, Parquet or JSON lines file"),
        ({"weather.csv": "station,rain\na,1\n"}, "no file there can be a table"),
        ({"accounts.csv": "account_id,created_at\n"}, "no file there can be a table"),
        ({"accounts.parquet": "no parquet"}, "accounts.parquet cannot be read"),
    ],
)
def test_a_folder_of_which_nothing_can_be_a_table_is_bad_input(
    tmp_path: Path, files: dict[str, str], part: str
) -> None:
    folder = tmp_path / "exports"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    with pytest.raises(InputError, match=part) as refused:
        write_proposal(Settings(home=tmp_path / "home"), folder)
    assert refused.value.exit_code == 2
    assert not (tmp_path / "home").exists()


def test_a_missing_folder_and_an_unknown_preset_are_bad_input(company: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such folder"):
        write_proposal(Settings(home=tmp_path), tmp_path / "nowhere")
    with pytest.raises(InputError, match="there is no preset 'strip'; there are amplitude, "):
        write_proposal(Settings(home=tmp_path), company, preset="strip")


@pytest.mark.parametrize("name", ["account_id", "Account ID", "accountId", "ACCOUNT-ID", " account  id "])
def test_a_name_is_its_words_in_any_spelling(name: str) -> None:
    assert plain(name) == "account id"


@pytest.mark.parametrize(
    ("name", "better", "worse"),
    [
        ("customer_id", "customer_id", "company_name"),
        ("Created (UTC)", "signup_date", "churn_date"),
        ("cancelled_at", "churn_date", "signup_date"),
        ("acount_name", "company_name", "industry"),
    ],
)
def test_a_name_is_likest_to_what_it_means(name: str, better: str, worse: str) -> None:
    assert likeness(name, "customers", better) > likeness(name, "customers", worse)


@pytest.mark.parametrize(
    ("word", "known"),
    [
        ("growth", ("growth", False)),
        ("PRO", ("growth", True)),
        ("pro-annual-2024", ("growth", True)),
        ("Zebra", (None, True)),
    ],
)
def test_a_word_means_what_it_contains(word: str, known: tuple[str | None, bool]) -> None:
    plan_tier = next(column for column in TABLES["customers"].raw if column.name == "plan_tier")
    assert meaning(word, plan_tier) == known


def test_every_synonym_is_of_a_table_and_a_column_that_exist() -> None:
    known = synonyms()
    columns = {table.name: {column.name for column in table.columns} for table in TABLES.values()}
    assert known.tables.keys() <= columns.keys()
    assert {
        (table, column) for table, names in known.columns.items() for column in names if column not in columns[table]
    } == set()
    categories = {word for table in TABLES.values() for column in table.columns for word in column.categories}
    assert known.words.keys() <= categories


def test_every_preset_speaks_of_columns_that_exist() -> None:
    for exports in presets().values():
        for export in exports:
            columns = {column.name for column in TABLES[export.source.table].columns}
            assert export.document
            assert export.doubts.keys() <= columns
            assert export.also_called.keys() <= export.source.columns.keys()


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "Customer ID",
        "null",
        "yes",
        "1",
        "0012",
        "a: b",
        "a #b",
        "- a",
        "{a}",
        "'a'",
        'a"b',
        "ä",
        "a\tb",
        "",
        "@x",
        "%x",
        "x\\y",
        "$insert_id",
    ],
)
def test_a_word_is_read_back_as_it_was_written(text: str, tmp_path: Path) -> None:
    path = tmp_path / "sources.yml"
    path.write_text(f"customers: {{columns: {{industry: {{constant: {scalar(text or 'x')}}}}}}}", encoding="utf-8")
    assert read_sources(path).tables["customers"].columns["industry"].constant == (text or "x")
