"""The SQL that turns raw files into landed rows and into problems, built from the declaration.

Raw files are scanned twice, once for the good rows and once for the bad ones: the second scan reads only the columns
that rules are about, and it costs less than carrying every raw value through the first.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import duckdb

from churn_pipeline.contract import amounts, moments, repeats
from churn_pipeline.contract.currencies import rate_sql, read_rates
from churn_pipeline.contract.declaration import IS_UNKNOWN, KNOWN_CUSTOMER, Rule, TableContract
from churn_pipeline.contract.digests import facts_sql
from churn_pipeline.contract.files import (
    READING_VERSION,
    Family,
    Field,
    Layout,
    RawFile,
    file_name_sql,
    given_sql,
    known_field,
    reading,
    rewritten,
)
from churn_pipeline.contract.source import TableSource
from churn_pipeline.core.sql import literal, quoted

# Enough of a bad value to recognise it by; a stray blob must not bloat the warehouse.
VALUE_CHARACTERS = 200


def local_date(instant: str, timezone: str) -> str:
    """SQL for the local date of ``instant``, an expression for a UTC timestamp."""
    if timezone == "UTC":
        return f"{instant}::DATE"
    return f"timezone({literal(timezone)}, timezone('UTC', {instant}::TIMESTAMP))::DATE"


def macros(timezone: str, now: datetime, rates: Path | None = None) -> dict[str, str]:
    """The macros that the declaration's SQL may use, by name with parameters.

    A local time that a change to summer time skips is read as the instant at which the clock jumps forward over it; one
    that occurs twice as its later instant. Only local midnights are ever read, and both readings fall on the right
    date.
    """
    if timezone == "UTC":
        local_midnight = "day::TIMESTAMP"
    else:
        local_midnight = f"timezone('UTC', timezone({literal(timezone)}, day::TIMESTAMP))"
    instant = f"TIMESTAMP '{now.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}'"
    return {
        "local_date(ts)": local_date("ts", timezone),
        "local_midnight(day)": local_midnight,
        "this_instant()": instant,
        "this_day()": f"local_date({instant})",
        # Landing replaces these two: the first where somebody was forgotten, the second where no customers were exported.
        "is_kept_out(id)": "false",
        "has_customers()": "true",
        "usd(code)": rate_sql(read_rates(rates)),
    }


def definition(
    table: TableContract, timezone: str, source: TableSource | None = None, rates: Path | None = None
) -> str:
    """A hash of all that decides what a file's content lands as: declaration, mapping, reading, time zone, DuckDB's version."""
    usd = rate_sql(read_rates(rates)) if any("usd(" in column.sql for column in table.landed) else ""
    parts = (duckdb.__version__, _definition(table, timezone), repr(source), *filter(None, [usd]))
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()


@functools.lru_cache(maxsize=64)
def _definition(table: TableContract, timezone: str) -> str:
    anytime = datetime(2000, 1, 1, tzinfo=UTC)
    parts = [create_sql(table, "landed"), losers_sql(table)]
    # A new rate of a currency is no reason to read every table again.
    parts += [f"{name} {body}" for name, body in macros(timezone, anytime).items() if not name.startswith("usd(")]
    parts += [facts_sql(table, "landed"), READING_VERSION]
    styles = (*amounts.STYLES, *moments.FORMS, *moments.EPOCHS)
    parts += [str(moments.FORMS), *(sql for style in styles for sql in rewritten("x", Field("x", "text", style=style)))]
    for family in get_args(Family):
        fields = tuple(
            (column.name, known_field(column, Field(quoted(column.name), family))) for column in table.columns
        )
        groups: dict[Layout, list[RawFile]] = {
            Layout("parquet", 0, fields): [],
            Layout("csv", 1, fields): [],
            Layout("jsonl", 0, fields): [],
        }
        parts += [str(reading(column, layout)) for layout in groups for column in table.columns]
        parts += [layout.relation([]) for layout in groups]
    parts += [landed_sql(table, groups), problems_sql(table, groups, Path("/"))]
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()


def create_sql(table: TableContract, name: str) -> str:
    """The columns of a landed table, as a create statement has them.

    Ids that occur once are compressed by ZSTD: to look for a dictionary of 11 million of them took half of the time of their landing,
    and there is none.
    """
    columns = ", ".join(
        f"{quoted(column.name)} {column.type}{' using compression zstd' if (column.name,) == table.key else ''}"
        for column in table.landed
    )
    return f"{name} ({columns})"


def parsed_sql(table: TableContract, layout: Layout, files: list[RawFile]) -> str:
    """Every raw row of one layout: per column ``c`` its typed value, ``c?`` whether one was given, it as ``c:raw``.

    Rows of forgotten customers end here, before anything is read, counted or quarantined of them.
    """
    values, columns = [], []
    for column in table.columns:
        read = reading(column, layout)
        value, found = quoted(column.name), quoted(column.name + ":found")
        values += [f"{read.value} as {value}", f"{read.raw} as {found}"]
        # Asked after the value was read: most have been, and then it costs nothing.
        given = given_sql(column, layout, value, found)
        columns += [
            value,
            f"({given}) is not null as {quoted(column.name + '?')}",
            f"{'null' if column.pii else given} as {quoted(column.name + ':raw')}",
        ]
    rows = f'select {", ".join(values)}, "/file" from {layout.relation(files)}'
    return f'select * from (select {", ".join(columns)}, "/file" from ({rows})) where not is_kept_out(customer_id)'


def customers_sql(table: TableContract, groups: Mapping[Layout, list[RawFile]]) -> str:
    """The customer_id of every raw row, of forgotten customers too."""
    column = next(column for column in table.columns if column.name == "customer_id")
    return " union all ".join(
        f"select {reading(column, layout).value} as customer_id from {layout.relation(files)}"
        for layout, files in groups.items()
    )


def _judged_sql(table: TableContract, layout: Layout, files: list[RawFile], *, is_compared: bool = True) -> str:
    """The parsed rows beside whatever the rules compare them with.

    Args:
        is_compared: whether any rule that is asked compares them with something.
    """
    parsed = f"({parsed_sql(table, layout, files)}) as parsed"
    if not is_compared or all(rule.name != KNOWN_CUSTOMER for rule in table.rules):
        return f"select parsed.* from {parsed}"
    return (
        f"select parsed.*, known_customer_id from {parsed} "
        "left join (select customer_id as known_customer_id from landing.customers) as known "
        "on parsed.customer_id = known_customer_id"
    )


def _of_kind(table: TableContract, kind: str) -> list[Rule]:
    return [rule for rule in table.rules if rule.kind == kind]


def landed_sql(table: TableContract, groups: Mapping[Layout, list[RawFile]]) -> str:
    """The rows that break no row rule, bad cells blanked, as the landed table has them."""
    cells = []
    for column in table.columns:
        name = quoted(column.name)
        # A value that could not be read is null already.
        conditions = [
            f"({rule.condition})"
            for rule in _of_kind(table, "cell")
            if rule.columns[0] == column.name and not rule.name.startswith("readable")
        ]
        cells.append(f"case when {' or '.join(conditions)} then null else {name} end as {name}" if conditions else name)
        cells.append(quoted(f"{column.name}?"))
    # A customer who is known is looked up without a join where that is all there is to the rule: a join carries every column along.
    is_looked_up = any(rule.condition == IS_UNKNOWN for rule in table.rules)
    fine = [f"({rule.condition}) is not true" for rule in _of_kind(table, "row") if rule.condition != IS_UNKNOWN]
    if is_looked_up:
        fine.append("customer_id in (select customer_id from landing.customers)")
    kept = " and ".join(fine)
    landed = ", ".join(f"({column.sql})::{column.type} as {quoted(column.name)}" for column in table.landed)
    return " union all ".join(
        f"select {landed} from (select {', '.join(cells)} from "
        f"({_judged_sql(table, layout, files, is_compared=not is_looked_up)}) where {kept})"
        for layout, files in groups.items()
    )


def problems_sql(table: TableContract, groups: Mapping[Layout, list[RawFile]], raw: Path) -> str:
    """One row per bad row or cell: row_key, customer_id, file, kind, column_name, value, rule, and due, when time will heal it."""
    rules = table.rules
    broken = {rule: quoted(f"rule {position}") for position, rule in enumerate(rules)}
    judged = ", ".join(f"({rule.condition}) is true as {name}" for rule, name in broken.items())
    rows, cells = _of_kind(table, "row"), _of_kind(table, "cell")
    bad_row = " or ".join(broken[rule] for rule in rows)
    first_row_problem = "case " + " ".join(f"when {broken[rule]} then {_problem(rule)}" for rule in rows) + " end"
    cell_problems = ", ".join(f"case when {broken[rule]} then {_problem(rule)} end" for rule in cells)
    # Cells are only looked at where the row itself is fine: nobody will repair a cell of a row that cannot be used.
    return " union all ".join(
        "select row_key, customer_id, file, problem.* from ("
        f"select {row_key(table)} as row_key, customer_id, {file_name_sql(layout, files, raw)} as file, "
        f"unnest(case when {bad_row} then [{first_row_problem}] else [{cell_problems}] end) as problem "
        f"from (select *, {judged} from ({_judged_sql(table, layout, files)})) where {' or '.join(broken.values())}"
        ") where problem.rule is not null"
        for layout, files in groups.items()
    )


def _problem(rule: Rule) -> str:
    blamed = rule.columns[0]
    value = f"left({quoted(blamed + ':raw')}::VARCHAR, {VALUE_CHARACTERS})"
    return (
        f"{{'kind': {literal(rule.kind)}, 'column_name': {literal(blamed)}, 'value': {value}, "
        f"'rule': {literal(rule.name)}, 'due': {rule.until or 'null'}::TIMESTAMP}}"
    )


def row_key(table: TableContract) -> str:
    """SQL of a row's key as one text, the same from raw and from landed rows."""
    return "nullif(concat_ws('|', " + ", ".join(f"{quoted(column)}::VARCHAR" for column in table.key) + "), '')"


def losers_sql(table: TableContract) -> str:
    """The landed rows that lose their key to another row, with their rowid as ``id``, and whether they say the same as the winner.

    Rows that differ in nothing but the day of their arrival are one row that was delivered more than once. The candidates, whose hashes
    :func:`repeats.find_repeated` has noted, are compared as they are.
    """
    landed, keys = f"landing.{table.name}", ", ".join(map(quoted, table.key))
    order = ", ".join(
        f"{column} nulls last"
        for column in ("known_date", quoted(table.own_date), *(quoted(column.name) for column in table.landed))
    )
    content = ", ".join(quoted(column.name) for column in table.landed if column.name != "known_date")
    rivals = f"over (partition by {keys} order by {order})"
    return (
        f"select rowid as id, row({content}) is not distinct from first_value(row({content})) {rivals} as is_repeated, * "
        f"from {landed} where hash({keys}) in (select key_hash from {repeats.REPEATED}) "
        f"qualify row_number() {rivals} > 1"
    )


def loser_files_sql(table: TableContract, groups: Mapping[Layout, list[RawFile]], raw: Path, losers: str) -> str:
    """The files read now that hold a lost key: row_key, file."""
    rows = " union all ".join(
        f"select {row_key(table)} as row_key, {file_name_sql(layout, files, raw)} as file from ({parsed_sql(table, layout, files)})"
        for layout, files in groups.items()
    )
    return (
        "select row_key, string_agg(distinct file, ', ' order by file) as file "
        f"from ({rows}) where row_key in (select {row_key(table)} from {losers}) group by row_key"
    )
