"""Which tables and columns of a landing are broken, and the sentences that say so.

A table is judged as it is after landing, so that it does not matter in how many files it arrives; and each file that was read, so that a
broken part does not hide in a large whole.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import duckdb

from churn_pipeline.contract.declaration import (
    KNOWN_CUSTOMER,
    NOT_AFTER_NOW,
    UNIQUE_KEY,
    Column,
    Kind,
    Rule,
    TableContract,
)
from churn_pipeline.contract.dialects import csv_rows
from churn_pipeline.contract.files import Layout, RawFile, reading
from churn_pipeline.contract.limits import ColumnLimits, Limit
from churn_pipeline.contract.problems import Problem
from churn_pipeline.contract.statements import VALUE_CHARACTERS
from churn_pipeline.core.sql import literal

# As many bad values as are looked for in a file, words as are listed, and files as are named for one column.
_DISTINCT_VALUES = 10_000
_WORDS = 12
_FILES = 3
# Beyond this a line number helps nobody, and looking for it takes seconds.
_LINES = 2_000_000

SOURCES = "sources.yml"
REMEDIES: Mapping[Kind, str] = {
    Kind.DATE: f"set its format in {SOURCES}",
    Kind.INSTANT: f"set its format in {SOURCES}",
    Kind.MONEY: f"set its unit or decimal sign in {SOURCES}",
    Kind.SHARE: f"set its unit in {SOURCES}",
    Kind.HOURS: f"set its unit in {SOURCES}",
    Kind.COUNT: f"set its unit in {SOURCES}",
    Kind.FLAG: f"map its words in {SOURCES}",
}

Groups = Mapping[Layout, list[RawFile]]


@dataclass(frozen=True)
class _Scope:
    """What is judged at once: the table as it is after landing, or one of the files read (``name``)."""

    problems: str
    file: RawFile | None = None


def judge(
    con: duckdb.DuckDBPyConnection, table: TableContract, groups: Groups, rows: Limit, columns: ColumnLimits | None
) -> list[Problem]:
    """Looks at a table that has just been landed, its problems in ``problems`` and in the quarantine.

    Args:
        con: the landing's connection, in its transaction.
        table: the table.
        groups: the files read, by layout.
        rows: how many of its rows may be bad.
        columns: how many values of a column may be unusable; None: columns are not judged.

    Returns:
        What is over the limits; empty where nothing is.
    """
    whole = _Scope(f"(select * from landing.quarantine where source = {literal(table.name)})")
    problems: list[Problem] = []
    told: set[str] = set()
    if columns is not None:
        problems += _broken_columns(con, table, whole, groups, columns, told)
    problems += _too_many_rows(con, table, whole, groups, rows, told)
    layouts = {file: layout for layout, members in groups.items() for file in members}
    if len(layouts) == 1:
        # The table judged above may be larger, where the one file was added to others.
        (alone,) = layouts
        other = con.execute(
            "select count(*) from landing.files where source = ? and path <> ?", [table.name, alone.name]
        ).fetchall()[0][0]
        if not other:
            return problems
    for file, layout in _suspects(con, table, layouts, rows, columns).items():
        scope = _Scope(f"(select * from problems where file = {literal(file.name)})", file)
        only = {layout: [file]}
        told_of_file = set(told)
        if columns is not None:
            problems += _broken_columns(con, table, scope, only, columns, told_of_file)
        if not any(problem.table == table.name and not problem.column for problem in problems):
            problems += _too_many_rows(con, table, scope, only, rows, told_of_file)
    return problems


def without_customers(con: duckdb.DuckDBPyConnection, files: Sequence[tuple[RawFile, str]]) -> Problem:
    """The problem of a customers table of which nothing can be landed."""
    bad = con.execute("select count(*) from landing.quarantine where source = 'customers'").fetchall()[0][0]
    return Problem(
        "customers",
        f"none of its {bad:,} rows can be used" if bad else "it has no rows",
        "export every customer, past and present, one row each",
        file=files[0][0].name if len(files) == 1 else "",
    )


def with_spellings(con: duckdb.DuckDBPyConnection, problems: Sequence[Problem]) -> list[Problem]:
    """The problems, with those about unknown customers put together where their ids are only written in another way."""
    unknown = [problem for problem in problems if problem.column == "customer_id"]
    told: dict[str, Problem] = {}
    for problem in unknown:
        told[problem.table] = _spelling(con, problem)
    spelled = [problem for problem in told.values() if not problem.table]
    others = [told.get(problem.table, problem) if problem in unknown else problem for problem in problems]
    others = [problem for problem in others if problem.table or problem not in spelled]
    if not spelled:
        return list(dict.fromkeys(others))
    tables = ", ".join(f"{problem.value} in {problem.file}" for problem in spelled)
    ours = spelled[0].remedy
    merged = Problem(
        "",
        f"customer_id is written differently: {ours} in customers, {tables}",
        f"write it alike everywhere, for instance by an expression in {SOURCES}",
        count=sum(problem.count for problem in spelled),
    )
    return [merged, *dict.fromkeys(others)]


# The ways in which one id is written differently in two exports: SQL over the id. Tried in this order.
_NORMAL_FORMS = (
    "lower({id})",
    "ltrim({id}, '0')",
    r"regexp_replace({id}, '\.0+$', '')",
    r"ltrim(regexp_replace(regexp_replace({id}, '\.0+$', ''), '\D', '', 'g'), '0')",
    # Salesforce writes one id with 15 and with 18 letters.
    "case when len({id}) >= 15 then left({id}, 15) end",
)


def _spelling(con: duckdb.DuckDBPyConnection, problem: Problem) -> Problem:
    """The problem with both spellings side by side; without a table where most ids are those of customers, written differently."""
    unknown = (
        "(select distinct value as id from landing.quarantine "
        f"where source = {literal(problem.table)} and rule = {literal(KNOWN_CUSTOMER)} and value is not null)"
    )
    for form in _NORMAL_FORMS:
        total, matched, theirs, ours = con.execute(
            f"""
            select count(*), count(known.id), min(unknown.id order by unknown.id) filter (known.id is not null),
                min_by(known.id, unknown.id) filter (known.id is not null)
            from {unknown} as unknown
            left join (
                select {form.format(id="customer_id")} as normal, min(customer_id) as id from landing.customers group by 1
            ) as known on nullif({form.format(id="unknown.id")}, '') = known.normal
            """
        ).fetchall()[0]
        if matched and 2 * matched >= total:
            return Problem("", "", _shown(ours), file=problem.table, value=_shown(theirs), count=problem.count)
    sample = con.execute("select min(customer_id) from landing.customers").fetchall()[0][0]
    if sample is None:
        return problem
    return Problem(
        problem.table,
        f"{problem.what}, whose ids are written like {_shown(sample)}",
        problem.remedy,
        problem.file,
        problem.line,
        problem.column,
        problem.value,
        problem.count,
    )


def _shown(value: str) -> str:
    return "'" + "".join(letter for letter in value[:VALUE_CHARACTERS] if letter.isprintable()) + "'"


def _faults(table: TableContract) -> str:
    """SQL that is true for a problem that is somebody's fault, and not only a date that lies ahead."""
    waiting = [rule for rule in table.rules if not rule.is_fault]
    pairs = [f"(rule = {literal(rule.name)} and column_name = {literal(rule.columns[0])})" for rule in waiting]
    return f"not ({' or '.join(pairs)})" if pairs else "true"


def _unusable(table: TableContract) -> str:
    """SQL that is true for a problem that is about a value which was given. One that lies ahead can be used in its time."""
    others = f"({literal(UNIQUE_KEY)}, {literal(NOT_AFTER_NOW)})"
    return f"{_faults(table)} and value is not null and rule not in {others}"


def _suspects(
    con: duckdb.DuckDBPyConnection,
    table: TableContract,
    layouts: Mapping[RawFile, Layout],
    rows: Limit,
    columns: ColumnLimits | None,
) -> dict[RawFile, Layout]:
    """The files read that hold enough problems to be over a limit."""
    by_name = {file.name: file for file in layouts}
    suspects: set[str] = set()
    for name, count in con.execute(
        f"select file, count(*) from problems where kind = 'row' and {_faults(table)} and file is not null group by 1"
    ).fetchall():
        if count > rows.count:
            suspects.add(name)
    if columns is not None:
        of_table = {column.name: column for column in table.columns}
        for name, column, count in con.execute(
            f"select file, column_name, count(*) from problems where {_unusable(table)} and file is not null group by all"
        ).fetchall():
            if column in of_table and count >= columns.least_unusable(of_table[column]):
                suspects.add(name)
    # A repeated key may lie in several files, which are then named together.
    return {by_name[name]: layouts[by_name[name]] for name in sorted(suspects) if name in by_name}


def _broken_columns(
    con: duckdb.DuckDBPyConnection,
    table: TableContract,
    scope: _Scope,
    groups: Groups,
    limits: ColumnLimits,
    told: set[str],
) -> list[Problem]:
    """The columns of a scope with too many unusable values; adds their names to ``told``."""
    counts = dict(
        con.execute(
            f"select column_name, count(*) from {scope.problems} where {_unusable(table)} group by all having count(*) >= ?",
            [limits.half_from],
        ).fetchall()
    )
    problems = []
    for column in table.columns:
        unusable = counts.get(column.name, 0)
        if not unusable or column.name in told:
            continue
        given = _given(con, table, scope, groups, column, unusable)
        if scope.file is not None and given < limits.least_given:
            continue
        if limits.is_broken(column, unusable, given):
            told.add(column.name)
            problems.append(_column_problem(con, table, scope, groups, column, unusable))
    return problems


def _given(
    con: duckdb.DuckDBPyConnection, table: TableContract, scope: _Scope, groups: Groups, column: Column, unusable: int
) -> int:
    """How many values of the column were given."""
    if scope.file is None:
        usable = table.restored.get(column.name)
        if usable is None:
            return unusable
        return int(con.execute(f"select count({usable}) from landing.{table.name}").fetchall()[0][0]) + unusable
    counted = " union all ".join(
        f"select count(*) filter ({reading(column, layout).given}) as given from {layout.relation(files)}"
        for layout, files in groups.items()
    )
    return int(con.execute(f"select sum(given) from ({counted})").fetchall()[0][0])


def _column_problem(
    con: duckdb.DuckDBPyConnection, table: TableContract, scope: _Scope, groups: Groups, column: Column, unusable: int
) -> Problem:
    blamed = f"{_unusable(table)} and column_name = {literal(column.name)}"
    rule_name = con.execute(
        f"select rule from {scope.problems} where {blamed} group by 1 order by count(*) desc, 1 limit 1"
    ).fetchall()[0][0]
    rule = next(rule for rule in table.rules if rule.name == rule_name and rule.columns[0] == column.name)
    of_rule = f"{blamed} and rule = {literal(rule_name)}"
    if column.categories:
        return _words_problem(con, table, scope, column, of_rule, unusable)
    rows = con.execute(
        f"select file, value from {scope.problems} where {of_rule} and file is not null "
        f"group by all order by file, value limit {_DISTINCT_VALUES}"
    ).fetchall()
    files = {file.name: (file, layout) for layout, members in groups.items() for file in members}
    name, value, line = "", None, None
    if rows:
        # Only what was just read can be looked into; where that holds none of the bad values, the first one known stands for them.
        name = next((name for name, _ in rows if name in files), rows[0][0])
        values = {value for file, value in rows if file == name}
        value = min(values)
        if name in files:
            file, layout = files[name]
            line, value = _first_line(file, layout, column, values) or (None, value)
    remedy = _remedy(column, rule)
    return Problem(table.name, rule.wanted, remedy, name, line, column.name, value, unusable)


def _remedy(column: Column, rule: Rule) -> str:
    if rule.name == KNOWN_CUSTOMER:
        return "export every customer, past and present, or leave the rows of others out"
    if len(rule.columns) > 1 and column.kind in (Kind.DATE, Kind.INSTANT):
        return "correct the dates, or what they are taken from"
    return REMEDIES.get(column.kind, "correct the export")


def _words_problem(
    con: duckdb.DuckDBPyConnection, table: TableContract, scope: _Scope, column: Column, of_rule: str, unusable: int
) -> Problem:
    words = con.execute(
        f"select value, count(*) from {scope.problems} where {of_rule} group by 1 order by 2 desc, 1"
    ).fetchall()
    listed = ", ".join(f"{_shown(word)} ({count:,})" for word, count in words[:_WORDS])
    more = f" and {len(words) - _WORDS:,} more" if len(words) > _WORDS else ""
    return Problem(
        table.name,
        f"{column.name} holds {unusable:,} values that the contract does not know: {listed}{more}",
        f"say under `words` of this column in {SOURCES} which of {', '.join(column.categories)} each is",
        file=scope.file.name if scope.file else "",
        count=unusable,
    )


def _too_many_rows(
    con: duckdb.DuckDBPyConnection,
    table: TableContract,
    scope: _Scope,
    groups: Groups,
    limit: Limit,
    told: Collection[str],
) -> list[Problem]:
    """Whether too many rows of a scope are bad for reasons that have not been told as a broken column."""
    counts = con.execute(
        f"select column_name, rule, count(*), min(row_key) from {scope.problems} where kind = 'row' and {_faults(table)} "
        "group by all order by count(*) desc, rule, column_name"
    ).fetchall()
    counts = [row for row in counts if row[0] not in told]
    bad = sum(count for _, _, count, _ in counts)
    if bad <= limit.count:
        return []
    rows = _rows(con, table, scope, groups)
    if not limit.exceeded(bad, rows):
        return []
    rules = "; ".join(
        f"'{rule}' on {column}: {count:,} row(s), such as {key or 'one without a key'}"
        for column, rule, count, key in counts[:3]
    )
    files = con.execute(
        f"select file, count(*) from {scope.problems} where kind = 'row' and {_faults(table)} and file is not null "
        f"group by file order by count(*) desc, file limit {_FILES}"
    ).fetchall()
    where = (
        f". File(s) with most: {', '.join(f'{name} ({count:,})' for name, count in files)}" if not scope.file else ""
    )
    return [
        Problem(
            table.name,
            f"{bad:,} of {rows:,} rows are bad, {bad / rows:.1%} where {limit.share:.1%} are tolerated. "
            f"Rules broken most: {rules}{where}",
            file=scope.file.name if scope.file else "",
            count=bad,
        )
    ]


def _rows(con: duckdb.DuckDBPyConnection, table: TableContract, scope: _Scope, groups: Groups) -> int:
    if scope.file is None:
        relations = [
            f"landing.{table.name}",
            f"landing.quarantine where source = {literal(table.name)} and kind = 'row'",
        ]
    else:
        relations = [layout.relation(files) for layout, files in groups.items()]
    return sum(int(con.execute(f"select count(*) from {relation}").fetchall()[0][0]) for relation in relations)


def _first_line(file: RawFile, layout: Layout, column: Column, values: Iterable[str]) -> tuple[int, str] | None:
    """The first line of a CSV file in which the column holds one of the values, and that value."""
    field = dict(layout.fields).get(column.name)
    position = layout.position(field.identifier) if field is not None else None
    if position is None:
        return None
    wanted = set(values)
    for line, cells in csv_rows(file.path, layout.dialect):
        if len(cells) > position and (value := cells[position].strip()[:VALUE_CHARACTERS]) in wanted:
            return line, value
        if line > _LINES:
            return None
    return None
