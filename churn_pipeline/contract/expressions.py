"""Expressions that a person writes for a column: what they may be, and the form in which they enter a statement.

An expression computes one value from the columns of one row of a file, and does nothing else. What it may be made of is listed here; the
rest is refused, so that a new function of DuckDB is refused until somebody has looked at it. Two things follow from the list: an
expression reads and writes nothing, and it gives the same value today and in a year, which landing relies on.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import duckdb

from churn_pipeline.core.json_text import json_text

# Long enough for a dozen branches of a case; DuckDB itself ends at a depth of 1,000.
MAX_CHARACTERS = 4000
# Far more than a person writes; DuckDB's parser takes seconds for thousands.
MAX_BRACKETS = 200


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Functions of a row's own values, the same whenever and wherever they run. Left out on purpose: what reads a file, a table, a setting,
# the clock or chance; aggregates, and the list functions that run one by its name; lambdas; what raises at will (`error`), and what
# fills memory at will (`repeat`, `range`). `age` with one argument reads the clock.
FUNCTIONS = _names(
    """
    + - * / // % ^ ** & | << >> ~ || ^@ ~~ !~~ ~~* !~~* ~~~ ->>
    abs add ceil ceiling divide even exp fdiv floor fmod greatest least ln log log10 log2 mod multiply pow power round round_even sign sqrt
    subtract trunc isnan isinf isfinite xor
    ascii char_length character_length chr concat concat_ws contains ends_with format if instr lcase left left_grapheme len length
    like_escape ilike_escape not_like_escape not_ilike_escape lower lpad ltrim md5 nfc_normalize nullif overlay position prefix
    regexp_extract regexp_full_match regexp_matches regexp_replace replace reverse right right_grapheme rpad rtrim sha256 split
    split_part starts_with str_split string_split strip_accents strlen strpos substr substring suffix translate trim ucase upper
    hex unhex to_hex from_hex url_decode
    date_add date_diff date_part date_sub date_trunc datediff datepart datesub datetrunc day dayname dayofmonth dayofweek dayofyear
    days_in_month epoch epoch_ms epoch_ns epoch_us hour isodow isoyear last_day make_date make_time make_timestamp make_timestamp_ms
    make_timestamptz microsecond millisecond minute month monthname quarter second strftime strptime timezone to_days to_hours
    to_microseconds to_milliseconds to_minutes to_months to_quarters to_seconds to_timestamp to_weeks to_years try_strptime week weekday
    weekofyear year
    array_contains array_extract array_has array_length array_position array_to_string cardinality element_at flatten list_contains
    list_element list_extract list_has list_position list_value map_contains map_extract map_extract_value struct_extract typeof
    json json_array_length json_contains json_exists json_extract json_extract_path json_extract_path_text json_extract_string json_type
    json_valid json_value
    """
)

# The names of types in a cast, as DuckDB's parser leaves them. A type of the user's own could be anything.
TYPES = _names(
    """
    bigint blob bool boolean char character date datetime dec decimal double float float4 float8 hugeint int int1 int2 int4 int8 integer
    interval json list long numeric real short signed smallint string text time timestamp timestamp_ms timestamp_ns timestamp_s
    timestamptz tinyint ubigint uhugeint uinteger usmallint utinyint varchar
    """
) | {"double precision", "time without time zone", "timestamp with time zone", "timestamp without time zone"}

_OPERATORS = _names(
    "OPERATOR_NOT OPERATOR_IS_NULL OPERATOR_IS_NOT_NULL OPERATOR_COALESCE OPERATOR_TRY COMPARE_IN COMPARE_NOT_IN ARRAY_EXTRACT "
    "ARRAY_SLICE STRUCT_EXTRACT"
)
# A bare name that is no column of the file is one of these functions to DuckDB, without a word.
_CLOCKS = _names("current_date current_time current_timestamp localtime localtimestamp")

# What each class of node is called to a person, of those that are refused.
_REFUSED = {
    "SUBQUERY": "a query of its own",
    "WINDOW": "a window function, which looks at other rows",
    "PARAMETER": "a parameter",
    "POSITIONAL_REFERENCE": "a column by number",
    "STAR": "all columns at once",
    "LAMBDA": "an arrow or a lambda; ->> takes a field out of JSON",
    "COLLATE": "a collation",
    "DEFAULT": "DEFAULT",
}


class ExpressionError(ValueError):
    """The text is no expression that may be used. Its message is a clause that says why."""


@dataclass(frozen=True)
class Expression:
    """An expression that may be used.

    Attributes:
        sql: the expression as DuckDB writes what it has understood, without comments; safe to stand in a statement between brackets.
        columns: the columns it is about, in their first order, as they were written. Of ``properties.plan`` it is ``properties``.
    """

    sql: str
    columns: tuple[str, ...]


def parse(text: str) -> Expression:
    """Reads one expression.

    Raises:
        ExpressionError: it is no single expression, or does what it may not do.
    """
    if len(text) > MAX_CHARACTERS:
        raise ExpressionError(f"it is longer than {MAX_CHARACTERS:,} characters")
    if sum(text.count(bracket) for bracket in "([{") > MAX_BRACKETS:
        raise ExpressionError(f"it has more than {MAX_BRACKETS} brackets")
    try:
        return _parsed(text)
    except RecursionError:
        raise ExpressionError("its brackets are nested too deep") from None


def _parsed(text: str) -> Expression:
    statement = _statement(f"select {text}")
    tree = statement["node"]
    if tree["type"] != "SELECT_NODE" or len(tree["select_list"]) != 1:
        raise ExpressionError("it is more than one expression")
    item = tree["select_list"][0]
    expected = _without_places(_statement("select 1"))
    expected["node"]["select_list"] = [_without_places(item)]
    if _without_places(statement) != expected:
        raise ExpressionError("it is a query, and only a single expression over the columns of the file may stand here")
    columns = dict.fromkeys(_columns(item))
    sql = _sql(statement)
    # What enters a statement is what was looked at, not what was typed.
    if _without_places(_statement(sql)) != expected:
        raise ExpressionError("DuckDB does not write it as it reads it; write it in a simpler way")
    return Expression(sql.removeprefix("SELECT "), tuple(columns))


def unknown_columns(expression: Expression, header: Iterable[str]) -> tuple[str, ...]:
    """Of the columns that an expression is about, those that a file does not have, in any case."""
    there = {name.strip().lower() for name in header}
    return tuple(name for name in expression.columns if name.strip().lower() not in there)


@cache
def _connection() -> duckdb.DuckDBPyConnection:
    """A parser of its own, which holds no table, sees no file and loads no extension."""
    con = duckdb.connect(config={"enable_external_access": False})
    con.execute("set lock_configuration = true")
    return con


def _statement(sql: str) -> dict[str, Any]:
    row = _connection().cursor().execute("select json_serialize_sql(?)", [sql]).fetchone()
    assert row is not None
    parsed: dict[str, Any] = json.loads(row[0])
    if parsed["error"]:
        raise ExpressionError(f"it cannot be read: {_first_line(str(parsed['error_message']))}")
    if len(parsed["statements"]) != 1:
        raise ExpressionError("it is more than one statement")
    statement: dict[str, Any] = parsed["statements"][0]
    return statement


def _first_line(message: str) -> str:
    return message.strip().splitlines()[0].rstrip(".")


def _sql(statement: dict[str, Any]) -> str:
    row = (
        _connection()
        .cursor()
        .execute("select json_deserialize_sql(?::JSON)", [json_text({"error": False, "statements": [statement]})])
        .fetchone()
    )
    assert row is not None
    return str(row[0])


def _without_places(node: Any) -> Any:
    """The tree without where each part stood in the text."""
    if isinstance(node, dict):
        return {key: _without_places(value) for key, value in node.items() if not key.startswith("query_location")}
    return [_without_places(value) for value in node] if isinstance(node, list) else node


def _columns(node: dict[str, Any], alias: str = "") -> Iterator[str]:
    """Every column of a tree of which each part is allowed."""
    kind = node["class"]
    if node["alias"] not in ("", alias):
        raise ExpressionError(f"the name '{node['alias']}' has no place in it")
    if kind == "COLUMN_REF":
        name = str(node["column_names"][0])
        if name.lower() in _CLOCKS:
            raise ExpressionError(f"{name} reads the clock, and a landing would differ from day to day")
        yield name
    elif kind == "CONSTANT":
        return
    elif kind == "FUNCTION":
        yield from _function(node)
    elif kind == "CAST":
        _check_type(node["type_expr"])
        yield from _columns(node["child"])
    elif kind == "CASE":
        for check in node["case_checks"]:
            yield from _columns(check["when_expr"])
            yield from _columns(check["then_expr"])
        yield from _columns(node["else_expr"])
    elif kind == "COMPARISON":
        yield from _columns(node["left"])
        yield from _columns(node["right"])
    elif kind == "BETWEEN":
        for part in ("input", "lower", "upper"):
            yield from _columns(node[part])
    elif kind == "CONJUNCTION" or (kind == "OPERATOR" and node["type"] in _OPERATORS):
        for child in node["children"]:
            yield from _columns(child)
    else:
        raise ExpressionError(
            f"it holds {_REFUSED.get(kind, 'what may not stand in it: ' + str(node['type']).lower())}"
        )


def _function(node: dict[str, Any]) -> Iterator[str]:
    name = str(node["function_name"])
    if len(node["qualified_name"]["path"]) != 1 or node["schema"] or node["catalog"]:
        raise ExpressionError(f"write {name}(...) without a name before it")
    if name.lower() not in FUNCTIONS:
        nearest = difflib.get_close_matches(name.lower(), FUNCTIONS, 1, 0.75)
        raise ExpressionError(
            f"the function {name} may not be used: only functions of the row's own values may"
            + (f"; did you mean {nearest[0]}?" if nearest else "")
        )
    if node["distinct"] or node["filter"] is not None or node["order_bys"]["orders"] or node["export_state"]:
        raise ExpressionError(f"{name} is used as an aggregate, which looks at other rows")
    for argument in node["arguments"]:
        yield from _columns(argument["expression"], argument["name"])


def _check_type(node: dict[str, Any]) -> None:
    if node["class"] != "TYPE":
        raise ExpressionError("it casts to what is no type")
    name = str(node["type_name"])
    if name.lower() not in TYPES or len(node["qualified_name"]["path"]) != 1:
        raise ExpressionError(f"the type {name} may not be used")
    for child in node["children"]:
        if child["class"] == "TYPE":
            _check_type(child)
        elif child["class"] != "CONSTANT":
            raise ExpressionError(f"the type {name} may not be used in this way")
