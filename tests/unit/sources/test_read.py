"""sources.yml: what it says is taken in as it is written, and everything that is wrong with it is told at once, with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from churn_pipeline.contract.problems import UnusableError
from churn_pipeline.contract.source import UNITS, ColumnSource
from churn_pipeline.core.errors import InputError
from churn_pipeline.core.settings import REPOSITORY, Settings
from churn_pipeline.sources import docs, read_sources, schema, sources_of

EXAMPLE = """\
customers:
  files: exports/customers_*.csv
  delimiter: semicolon
  encoding: windows-1252
  decimal: ","
  nulls: [n/a, "-"]
  columns:
    customer_id: account_id
    mrr: {column: amount, unit: cents}
    plan_tier: {column: plan, words: {Pro: growth, Basic: Starter, yes: free, 1: custom}}
    signup_date: {column: created, format: "%m/%d/%Y"}
    industry: {constant: software}
    churn_date: {expression: "case when status = 'canceled' then ended_at end"}
    upgrade_date: null
    seats: {unit: thousands}
usage_events: events/
"""


def _write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "sources.yml"
    path.write_text(text, encoding="utf-8")
    return path


def _problems(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(UnusableError) as refused:
        read_sources(_write(tmp_path, text))
    return [str(problem) for problem in refused.value.problems]


def test_what_is_written_is_taken_in_as_it_is_written(tmp_path: Path) -> None:
    sources = read_sources(_write(tmp_path, EXAMPLE.replace("    seats: {unit: thousands}\n", "")))
    customers = sources.tables["customers"]
    assert (customers.files, customers.delimiter, customers.encoding, customers.decimal, customers.nulls) == (
        "exports/customers_*.csv",
        ";",
        "windows-1252",
        ",",
        ("n/a", "-"),
    )
    assert customers.columns == {
        "customer_id": ColumnSource(column="account_id"),
        "mrr": ColumnSource(column="amount", unit="cents"),
        # A word is a word: YAML's own reading of yes and 1 is kept out.
        "plan_tier": ColumnSource(
            column="plan", words={"Pro": "growth", "Basic": "starter", "yes": "free", "1": "custom"}
        ),
        "signup_date": ColumnSource(column="created", format="%m/%d/%Y"),
        "industry": ColumnSource(constant="software"),
        "churn_date": ColumnSource(expression="CASE  WHEN ((status = 'canceled')) THEN (ended_at) ELSE NULL END"),
        "upgrade_date": ColumnSource(expression="NULL"),
    }
    assert sources.tables["usage_events"].files == "events/"
    assert not sources.remote


def test_a_column_of_the_contracts_own_name_may_have_a_unit_alone(tmp_path: Path) -> None:
    sources = read_sources(_write(tmp_path, "customers: {columns: {mrr: {unit: per_year}}}"))
    assert sources.tables["customers"].columns == {"mrr": ColumnSource(column="mrr", unit="per_year")}


def test_all_faults_are_told_at_once_in_the_order_of_their_lines(tmp_path: Path) -> None:
    problems = _problems(
        tmp_path,
        """\
custmers: x.csv
customers:
  fils: x.csv
  columns:
    custmer_id: account
    mrr: {column: amount, unit: percent}
    plan_tier: {column: plan, words: {Pro: grwoth}}
    signup_date: {column: created, expression: created}
    churn_date: {expression: (select 1)}
    churn_date: ended
usage_events:
""",
    )
    assert [problem.partition(":")[0] for problem in problems] == [
        f"sources.yml, line {line}" for line in (1, 3, 5, 6, 7, 8, 9, 10, 11)
    ]
    for problem, part in zip(
        problems,
        [
            "'custmers' is no table; did you mean customers?",
            "'fils' is no key that is known here; did you mean files?",
            "'custmer_id' is no column of customers; did you mean customer_id?",
            "'percent' is no unit of mrr (money); known are cents, thousands, per_quarter, per_year",
            "'grwoth' is no word that plan_tier may have; did you mean growth?",
            "column and expression are given; keep one of them",
            "it holds a query of its own",
            "'churn_date' is there twice, first in line 9",
            "nothing is said here",
        ],
        strict=True,
    ):
        assert part in problem


def test_a_fault_names_the_character_of_its_line(tmp_path: Path) -> None:
    (problem,) = _problems(tmp_path, "customers:\n  columns:\n    mrr: {column: a, unit: hours}\n")
    assert problem.startswith("sources.yml, line 3: customers.mrr.unit (character 28): ")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "the file says nothing"),
        ("- customers", "names with values"),
        ("customers: [a]", "names with values"),
        ("customers: {files: [a, b]}", "a single word"),
        ("customers: {files: ../other/x.csv}", "'..' leads out of the raw directory"),
        ("customers: {columns: {mrr: [a, b]}}", "a list has no place here"),
        ("customers: {columns: {mrr: {}}}", "nothing is said here"),
        ("customers: {columns: {mrr: }}", "nothing is said here"),
        ("customers: {columns: {customer_id: null}}", "no row can be used without it"),
        ("customers: {columns: {customer_id: {constant: A}}}", "every row would have the same key"),
        ("customers: {columns: {plan_tier: {constant: Gold}}}", "'Gold' is not what plan_tier may be"),
        ("customers: {columns: {mrr: {constant: many}}}", "'many' is no number from 0"),
        ("customers: {columns: {mrr: {constant: -1}}}", "'-1' is no number from 0"),
        ("customers: {columns: {signup_date: {constant: 01/02/2024}}}", "'01/02/2024' is not what signup_date may be"),
        ("customers: {columns: {mrr: {constant: 1, unit: cents}}}", "a constant is written in the contract's own form"),
        ("customers: {columns: {mrr: {column: a, format: '%Y-%m-%d'}}}", "mrr is no date"),
        ("customers: {columns: {mrr: {column: a, words: {x: y}}}}", "mrr is a money and no word"),
        ("customers: {columns: {signup_date: {column: a, format: epoch_second}}}", "did you mean epoch_seconds?"),
        ("customers: {columns: {signup_date: {column: a, format: '%m/%d'}}}", "does not say year, month and day"),
        ("customers: {columns: {signup_date: {column: a, format: '%Y-%q'}}}", "does not say year, month and day"),
        ("customers: {columns: {signup_date: {column: a, unit: days}}}", "'days' is no unit of signup_date (date)"),
        ("customers: {columns: {plan_tier: {column: a, words: {Pro: growth, PRO: free}}}}", "means growth already"),
        ("customers: {delimiter: '::'}", "is no delimiter"),
        ("customers: {encoding: utf-99}", "'utf-99' is no encoding"),
        ("customers: {encoding: base64}", "'base64' is no encoding"),
        ("customers: {decimal: comma}", "'comma' is no decimal sign"),
        ("customers: {decimal: ',', delimiter: comma}", "is the delimiter too"),
        ("customers: {connection: a}", "there is no connection 'a'"),
        ("customers: {query: select 1}", "a query needs a connection"),
        ("customers: {files: 'ftp://x/y.csv'}", "no object store that is known"),
        ("customers: {files: 'https://user:word@x/y.csv'}", "a secret stands here"),
        ("customers: {files: '${HOME}/x.csv'}", "only connections may do so"),
        ("customers: {files: a.csv, incremental_by: at}", "incremental_by goes with a query"),
        ("customers: &a {files: x.csv}\nusage_events: *a", "anchors and aliases"),
        ("customers: !!python/object/apply:os.system [ls]", "the tag"),
        ("customers: {files: a.csv}\n---\nusage_events: {files: b.csv}", "a second document"),
        ("customers: {files: a.csv", "not valid YAML"),
        ("customers: {files: \x07}", "not valid YAML"),
        ("? [a, b]\n: c", "a key has to be a single word"),
        ("[" * 2000 + "]" * 2000, "nested too deep"),
        ("a" * 1_000_001, "longer than"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_reason(tmp_path: Path, text: str, part: str) -> None:
    assert part in "\n".join(_problems(tmp_path, text))


CONNECTED = """\
connections:
  billing:
    kind: postgresql
    uri: postgresql://reader:${BILLING_PASSWORD}@db.example.com/app
  lake: {kind: s3, options: {key: "${LAKE_KEY}", secret: "${LAKE_SECRET}", endpoint_url: http://127.0.0.1:9000}}
customers:
  query: select id, created from accounts;
  connection: billing
  incremental_by: updated_at
  columns: {customer_id: id}
usage_events: {files: "s3://bucket/events/*.parquet", connection: lake}
support_tickets: s3://bucket/tickets/
"""


def test_what_is_fetched_is_told_apart_from_what_lies_here(tmp_path: Path) -> None:
    sources = read_sources(_write(tmp_path, CONNECTED))
    customers, events, tickets = (sources.remote[name] for name in ("customers", "usage_events", "support_tickets"))
    assert (customers.kind, customers.connection_name, customers.query, customers.incremental_by) == (
        "postgresql",
        "billing",
        "select id, created from accounts",
        "updated_at",
    )
    assert (events.kind, events.connection_name, events.uri) == ("s3", "lake", "s3://bucket/events/*.parquet")
    assert (tickets.kind, tickets.connection_name, tickets.uri) == ("s3", "", "s3://bucket/tickets/")
    # What is said of the columns holds for what was fetched.
    assert sources.tables["customers"].columns == {"customer_id": ColumnSource(column="id")}
    assert {source.files for source in sources.tables.values()} == {""}


def test_secrets_come_from_the_environment_and_all_that_are_missing_are_named(tmp_path: Path) -> None:
    lake = read_sources(_write(tmp_path, CONNECTED)).connections["lake"]
    with pytest.raises(InputError, match="line 5: connection lake needs .* LAKE_KEY, LAKE_SECRET"):
        lake.expanded({})
    _, options = lake.expanded({"LAKE_KEY": "k", "LAKE_SECRET": "s${LAKE_KEY}"})
    # A value is no reference, whatever it looks like.
    assert options == {"key": "k", "secret": "s${LAKE_KEY}", "endpoint_url": "http://127.0.0.1:9000"}


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("connections: {a: {kind: postgresql, uri: 'postgresql://u:hunter2@h/d'}}", "hunter2"),
        ("connections: {a: {kind: snowflake, options: {password: hunter2}}}", "hunter2"),
        ("connections: {a: {kind: s3, options: {aws_secret_access_key: hunter2}}}", "hunter2"),
    ],
)
def test_a_secret_in_plain_words_is_refused_and_not_repeated(tmp_path: Path, text: str, secret: str) -> None:
    problems = "\n".join(_problems(tmp_path, text))
    assert "a secret stands here" in problems
    assert secret not in problems


def test_a_query_is_one_statement_on_a_database(tmp_path: Path) -> None:
    problems = _problems(
        tmp_path,
        CONNECTED.replace("from accounts;", "from accounts; drop table accounts").replace(
            "connection: billing", "connection: lake"
        ),
    )
    assert "without a semicolon" in problems[0]
    assert "lake is of kind s3, no database" in problems[1]


def test_the_units_that_may_be_named_are_those_that_reading_knows() -> None:
    assert {unit for units in schema.UNITS_OF.values() for unit in units} == UNITS.keys()


def test_a_home_without_the_file_has_the_contracts_own_names(tmp_path: Path) -> None:
    assert not sources_of(Settings(home=tmp_path)).tables


def test_the_file_of_a_home_is_its_own_unless_a_setting_names_another(tmp_path: Path) -> None:
    _write(tmp_path, "customers: {files: a.csv}")
    assert sources_of(Settings(home=tmp_path)).tables["customers"].files == "a.csv"
    other = tmp_path / "other.yml"
    with pytest.raises(InputError, match=r"there is no such file; CHURN_SOURCES names it"):
        sources_of(Settings(home=tmp_path, sources=other))
    other.write_text("customers: {files: b.csv}")
    assert sources_of(Settings(home=tmp_path, sources=other)).tables["customers"].files == "b.csv"


def test_a_file_in_another_encoding_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "sources.yml"
    path.write_bytes("customers: {files: kündig.csv}".encode("latin-1"))
    with pytest.raises(InputError, match=r"sources\.yml: the file is not in UTF-8"):
        read_sources(path)


def test_the_page_is_what_the_reader_knows(tmp_path: Path) -> None:
    page = (REPOSITORY / "docs/sources.md").read_text(encoding="utf-8")
    assert page == docs.render(), "run: python -m churn_pipeline.sources.docs > docs/sources.md"
    example = read_sources(_write(tmp_path, docs.EXAMPLE))
    assert example.tables.keys() == {"customers", "usage_events", "support_tickets"}
