"""What a person may write as an expression, and every way out of it that we could think of."""

from __future__ import annotations

from collections import defaultdict

import duckdb
import pytest

from churn_pipeline.contract.expressions import FUNCTIONS, MAX_CHARACTERS, ExpressionError, parse, unknown_columns

# Functions that DuckDB keeps as macros over functions that are allowed.
MACROS = {"array_to_string", "date_add", "days_in_month", "fdiv", "fmod", "if", "json", "nullif", "split_part"}


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("amount", ["amount"]),
        ("case when status = 'canceled' then ended_at end", ["status", "ended_at"]),
        ("replace(replace(amount, '$', ''), ',', '')::double * 100", ["amount"]),
        ("\"Customer ID\" || '-' || lower(region)", ["Customer ID", "region"]),
        ("strptime(created, '%d.%m.%Y')::date + interval 3 day", ["created"]),
        ("created at time zone 'America/New_York'", ["created"]),
        ("properties ->> '$.plan'", ["properties"]),
        ("properties.plan", ["properties"]),
        ("coalesce(nullif(trim(plan), ''), 'free')", ["plan"]),
        ("plan in ('a', 'b') and not (seats between 1 and 5) or plan ilike 'x%'", ["plan", "seats"]),
        ("try_cast(amount as decimal(10, 2))", ["amount"]),
        ("extract(year from created)", ["created"]),
        ("if(interval_unit = 'year', amount::double / 12, amount::double)", ["interval_unit", "amount"]),
        ("lpad(id, 8, '0') -- as in the events", ["id"]),
        ("null", []),
        ('"user"', ["user"]),
        ("'; drop table customers; --'", []),
    ],
)
def test_an_expression_over_the_columns_of_a_row_is_accepted(text: str, columns: list[str]) -> None:
    assert list(parse(text).columns) == columns


@pytest.mark.parametrize(
    "text",
    [
        # More than an expression.
        "",
        "   ",
        "-- nothing",
        "a, b",
        "a; drop table customers",
        "a; select 1",
        "1) union select (2",
        "a) from read_csv('/etc/passwd') --",
        "a from customers",
        "a from 'secrets.csv'",
        "a from read_csv('/etc/passwd')",
        "distinct a",
        "a where true",
        "a group by all",
        "a having true",
        "a qualify true",
        "a order by 1",
        "a limit 1",
        "a using sample 1",
        "a union select 2",
        "a into t",
        "a as b",
        "a: b",
        "with x as (select 1) select * from x",
        # Queries within.
        "(select 1)",
        "(select content from read_text('/etc/passwd'))",
        "exists (select 1)",
        "a in (select 1)",
        "a = any (select 1)",
        "a = any ([1, 2])",
        "array(select 1)",
        "case when a then (from customers select 1) end",
        "coalesce(a, (table customers))",
        "lower((select 'x'))",
        "[(select 1)]",
        "{'x': (select 1)}",
        # Other rows.
        "sum(a)",
        "count(*)",
        "max(a)",
        "lower(a) filter (where b)",
        "lower(distinct a)",
        "lower(a order by b)",
        "row_number() over ()",
        "sum(a) over ()",
        "lag(a) over (order by b)",
        "list_aggregate([a], 'histogram')",
        "list_aggr([a], 'sum')",
        "unnest([1, 2])",
        "grouping(a)",
        # What reads or writes.
        "read_text('/etc/passwd')",
        "read_csv('/etc/passwd')",
        "read_blob('x')",
        "glob('*')",
        "query('select 1')",
        "query_table('customers')",
        "sniff_csv('x')",
        "getenv('HOME')",
        "current_setting('home_directory')",
        "getvariable('x')",
        "nextval('s')",
        "currval('s')",
        "setval('s', 1)",
        "setseed(0.5)",
        "write_log('x')",
        "pragma_version()",
        "duckdb_secrets()",
        "which_secret('x', 's3')",
        "json_execute_serialized_sql('x')",
        "json_serialize_plan('select 1')",
        "json_deserialize_sql('x')",
        "current_query()",
        "version()",
        "in_search_path('a', 'b')",
        "pg_get_viewdef(1)",
        "format_type(1, 2)",
        "txid_current()",
        # The clock and chance.
        "now()",
        "today()",
        "current_date",
        "CURRENT_TIMESTAMP",
        "localtime",
        "localtimestamp",
        "current_localtimestamp()",
        "get_current_timestamp()",
        "ago(interval 1 day)",
        "age(created)",
        "random()",
        "uuid()",
        "gen_random_uuid()",
        # What harms by itself.
        "error('stop')",
        "sleep_ms(1000)",
        "pg_sleep(1)",
        "repeat('x', 1000000000)",
        "range(1000000000)",
        "generate_series(1, 1000000000)",
        # Names that lead elsewhere.
        "other.lower(a)",
        "memory.main.lower(a)",
        "system.main.read_text('x')",
        "'/etc/passwd'.read_text()",
        "a.upper()",
        "is_kept_out(customer_id)",
        "local_date(a)",
        # What stands for something else.
        "?",
        "$1",
        "$name",
        "#1",
        "*",
        "customers.*",
        "columns('.*')",
        "columns(*)::varchar",
        "default",
        "list_transform(a, lambda x: x + 1)",
        "[x for x in a]",
        "reduce(a, lambda x, y: x + y)",
        "invoke(lambda x: x, a)",
        "a -> 'x'",
        "a collate nocase",
        "a::my_type",
        "a::memory.main.my_type",
        "a::enum('x', 'y')",
        "a::struct(x int)[]",
        "cast(a as my_type[])",
        "f'{a}'",
        "__internal_barrier(a)",
        "constant_or_null(1, a)",
        # What breaks readers.
        "'\x00'",
        "a'",
        '"a',
        "/* a",
        "(" * 3000 + "1" + ")" * 900,
        "(" * 900 + "1" + ")" * 900 + "+",
        "not " * 900 + "true",
        "a" * (MAX_CHARACTERS + 1),
    ],
)
def test_whatever_is_no_expression_over_the_columns_of_a_row_is_refused(text: str) -> None:
    with pytest.raises(ExpressionError):
        parse(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("(select 1)", "a query of its own"),
        ("sum(a) over ()", "looks at other rows"),
        ("current_date", "reads the clock"),
        ("lowr(a)", "did you mean lower"),
        ("a; select 1", "more than one statement"),
        ("a, b", "more than one expression"),
        ("a from t", "is a query"),
    ],
)
def test_a_refusal_says_why(text: str, reason: str) -> None:
    with pytest.raises(ExpressionError, match=reason):
        parse(text)


def test_what_enters_a_statement_is_what_was_understood() -> None:
    parsed = parse("amount -- ) from read_csv('/etc/passwd'")
    assert parsed.sql == "amount"
    nested = parse("coalesce(amount /* a */, '--', e'\\'); drop table t; --')").sql
    con = duckdb.connect()
    rows = con.execute(f"select ({nested}) as value from (select null as amount)").fetchall()
    assert rows == [("--",)]


def test_a_column_that_the_file_lacks_is_found_in_any_case() -> None:
    parsed = parse("coalesce(Amount, amout)")
    assert unknown_columns(parsed, (" amount ", "status")) == ("amout",)


def test_every_allowed_function_is_scalar_and_always_gives_the_same() -> None:
    found = defaultdict(set)
    for name, kind, stability in (
        duckdb.connect()
        .execute("select function_name, function_type, stability from duckdb_functions() where internal")
        .fetchall()
    ):
        found[name].add((kind, stability))
    assert {name for name in FUNCTIONS - MACROS if found[name] != {("scalar", "CONSISTENT")}} == set()
    assert {name for name in MACROS if found[name] != {("macro", None)}} == set()


def test_no_allowed_macro_hides_a_query() -> None:
    bodies = dict(
        duckdb.connect()
        .execute("select function_name, macro_definition from duckdb_functions() where function_type = 'macro'")
        .fetchall()
    )
    assert [name for name in MACROS if "select" in bodies[name].lower() or "current_" in bodies[name].lower()] == []
