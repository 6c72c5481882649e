"""What was wrong in the raw data and was tolerated, as sentences: one for each table and column.

The figures are those of the quarantine as it stands, whichever landing filled it: a landing that read nothing new tolerates what the
ones before it did. What waits for its date is no fault and is not told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import duckdb

from churn_pipeline.contract.declaration import (
    KNOWN_CUSTOMER,
    LOADED_AT,
    TABLES,
    UNIQUE_KEY,
    Column,
    Kind,
    Rule,
    TableContract,
)
from churn_pipeline.core.formatting import clean, counted
from churn_pipeline.core.notices import Notice
from churn_pipeline.core.sql import quoted

# Words of a source that a sentence quotes, and the characters of each.
_WORDS, _WORD = 3, 30
# The verbs with which the contract says what is wrong with a value.
_PLURAL = {"is": "are", "lies": "lie", "leads": "lead"}


@dataclass(frozen=True)
class _Bad:
    """Rows or cells of one column under one rule; ``negative`` tells sums, hours and counts below 0 from others out of range."""

    kind: Literal["row", "cell"]
    column: str
    rule: str
    negative: bool
    count: int


def tolerated(con: duckdb.DuckDBPyConnection) -> list[Notice]:
    """What is in the quarantine and is somebody's fault, the largest share of a table or column first.

    Args:
        con: the warehouse, after ``land``.
    """
    by_column: dict[tuple[str, Literal["row", "cell"], str], Counter[tuple[str, bool]]] = {}
    for source, kind, column, rule, negative, count in con.execute(
        """
        select source, kind, column_name, rule, rule = 'in range' and coalesce(try_cast(value as double) < 0, false) as negative, count(*)
        from landing.quarantine group by all order by source, kind, column_name, count(*) desc, rule, negative
        """
    ).fetchall():
        declared = _rule(TABLES.get(source), column, rule)
        if declared is None or declared.is_fault:
            by_rule = by_column.setdefault((source, kind, column), Counter())
            by_rule[rule, negative and not _is_share(source, column)] += count
    told = []
    for (source, kind, column), counts in by_column.items():
        bad = [_Bad(kind, column, rule, negative, part) for (rule, negative), part in counts.most_common()]
        count = counts.total()
        whole = _whole(con, source, kind, column, count)
        sentence = f"{source}: {_sentence(TABLES.get(source), bad, count, whole)}"
        if words := _words(con, source, column):
            sentence += f": {words}"
        told.append((-count / whole if whole else -1.0, source, kind, column, Notice("bad_data", source, sentence)))
    return [notice for *_, notice in sorted(told, key=lambda row: row[:-1])]


def _rule(table: TableContract | None, column: str, rule: str) -> Rule | None:
    """The declaration that a row or cell in quarantine broke; None where an older version had put it there."""
    rules = table.rules if table else ()
    return next((known for known in rules if known.name == rule and known.columns[0] == column), None)


def _whole(con: duckdb.DuckDBPyConnection, source: str, kind: str, column: str, bad: int) -> int | None:
    """The rows of a table, or the values that were given in a column; None where the landed table does not tell."""
    table = TABLES.get(source)
    if table is None:
        return None
    rows = f"landing.{table.name}"
    if table.own_date in table.key:
        # Rows without a date of their own are landed as the history of one row.
        keys = ", ".join(map(quoted, table.key))
        rows = f"(from {rows} qualify row_number() over (partition by {keys} order by known_date desc) = 1)"
    if kind == "row":
        set_aside = "(select count(*) from landing.quarantine where source = ? and kind = 'row')"
        return int(con.execute(f"select count(*) + {set_aside} from {rows}", [source]).fetchall()[0][0])
    landed = _landed_name(table, column)
    if landed is None:
        return None
    return bad + int(con.execute(f"select count({quoted(landed)}) from {rows}").fetchall()[0][0])


def _landed_name(table: TableContract, column: str) -> str | None:
    """The landed column that is null where the raw one is."""
    if column == LOADED_AT.name:
        return None
    back = {landed.back[0]: landed.name for landed in table.landed if landed.back}
    same = {landed.name: landed.name for landed in table.landed}
    return (same | back).get(column)


def _sentence(table: TableContract | None, bad: Sequence[_Bad], count: int, whole: int | None) -> str:
    kind, column = bad[0].kind, bad[0].column
    what = "row" if kind == "row" else "value"
    of = f"{count:,} of {counted(whole, what)}" if whole else counted(count, what)
    who = of if kind == "row" else f"{of} of {column}"
    fate = f"{'is' if count == 1 else 'are'} {'left out' if kind == 'row' else 'blank'}"
    if len(bad) == 1:
        return f"{who} {_fault(table, bad[0])} and {fate}"
    return f"{who} {fate}: {', '.join(f'{part.count:,} {_fault(table, part)}' for part in bad)}"


def _fault(table: TableContract | None, bad: _Bad) -> str:
    """What is wrong, as a clause that goes on from how many there are."""
    one = bad.count == 1
    have = "has" if one else "have"
    if bad.rule == UNIQUE_KEY:
        return f"{'repeats' if one else 'repeat'} the {bad.column.replace(', ', ' and ')} of another row"
    if bad.rule == KNOWN_CUSTOMER:
        return "names a customer who is not in customers" if one else "name customers who are not in customers"
    if bad.rule == "not missing":
        return f"{have} no usable {bad.column}"
    if bad.negative:
        return "is negative" if one else "are negative"
    rule = _rule(table, bad.column, bad.rule)
    if rule is None or not rule.wanted:
        return f"{'breaks' if one else 'break'} the rule '{bad.rule}'"
    if bad.kind == "row":
        return f"{have} a {bad.column} that {rule.wanted}"
    verb, _, rest = rule.wanted.partition(" ")
    return f"{verb if one else _PLURAL.get(verb, verb)} {rest}"


def _is_share(source: str, column: str) -> bool:
    declared = _column(TABLES.get(source), column)
    return declared is not None and declared.kind is Kind.SHARE


def _column(table: TableContract | None, name: str) -> Column | None:
    return next((column for column in table.columns if column.name == name), None) if table else None


def _words(con: duckdb.DuckDBPyConnection, source: str, column: str) -> str:
    """The unknown words of a column of categories that occur more than once, with how often: whoever mends them has to map them.

    A word that stands there once may be anything, such as the name of a customer whose row slipped by a column.
    """
    declared = _column(TABLES.get(source), column)
    if declared is None or declared.kind is not Kind.CATEGORY or declared.pii:
        return ""
    personal = ("customer_id", *(known.name for known in TABLES["customers"].raw if known.pii))
    theirs = " union all ".join(f"select {quoted(name)} from landing.customers" for name in personal)
    rows = con.execute(
        f"""
        select value, count(*) from landing.quarantine
        where source = ? and column_name = ? and value is not null and trim(value) <> ''
            and value not in (select theirs from ({theirs}) as personal(theirs) where theirs is not null)
        group by value having count(*) > 1 order by count(*) desc, value
        """,
        [source, column],
    ).fetchall()
    shown = [f"'{clean(word, _WORD)}' ({count:,})" for word, count in rows[:_WORDS]]
    if len(rows) > _WORDS:
        shown.append(f"and {counted(len(rows) - _WORDS, 'other word')}")
    return ", ".join(shown)
