"""Renders the declaration as a page for people: ``python -m churn_pipeline.contract.docs > docs/data-contract.md``."""

from __future__ import annotations

import sys

from churn_pipeline.contract.book import LIMITS, MEASURES
from churn_pipeline.contract.declaration import KIND_SENTENCES, LOADED_AT, TABLES, Column, Kind, TableContract
from churn_pipeline.core.formatting import markdown_table

_HEAD = """\
# Raw data contract

<!-- Generated from churn_pipeline/contract/declaration.py by `python -m churn_pipeline.contract.docs`. Edit the
declaration. -->

Each table is `NAME.parquet`, `NAME.csv` or a folder `NAME/` of such part files, at any depth; folders like
`dt=2024-01-31` are welcome and mean nothing. Names that start with `.` or `_` or end in `.tmp` are ignored. Column
names match in any case. Columns that are not listed are kept out. CSV is UTF-8, separated by commas, with a header,
and every line ends with a newline, the last one too: a file without it may still be being written, and is refused. An
empty or blank value is null. A missing required column and a file that cannot be read stop the run and leave what was
landed before. Only `customers` has to be there. What another table would say is unknown where it has no rows, and no
model learns from it; a run says so once, in the words that stand with each table here. A table may be added at any
time, with or without a past.

- A **row** that breaks a row rule cannot be used and goes to `landing.quarantine`, under the first rule that it breaks.
- A **cell** that breaks a cell rule becomes null; the row is used, and the quarantine remembers the old value.
- Too many bad rows in a table (over 5 % and over 20, unless set otherwise) stop the run.
- What is *not after now* by rule comes into use by itself on the first landing after its moment.
- Files that are unchanged are not read again; new part files are added to what is there. An id that is delivered again
is a repeated key, also
  when it brings news: rewrite the file instead.
"""


def render() -> str:
    """The whole page as Markdown."""
    kinds = markdown_table(
        ["kind", "what is read"], [(kind.value, sentence) for kind, sentence in KIND_SENTENCES.items()]
    )
    parts = [
        _HEAD,
        f"## Kinds of columns\n\n{kinds}\n",
        f"Every table may also carry `{LOADED_AT.name}` ({LOADED_AT.kind}): {LOADED_AT.meaning}.\n",
    ]
    parts += [_table(table) for table in TABLES.values()]
    parts.append(_book())
    return "\n".join(parts)


def _book() -> str:
    """What a landing is compared by with the former one; the limits are those of `book`."""
    low, high = f"{LIMITS.price[1]}/{LIMITS.price[0]}", f"{LIMITS.price[0]}/{LIMITS.price[1]}"
    rows = [
        (
            "active customers then, among those that the former landing knew",
            f"vanished from it, or active although they were not: over {LIMITS.change:.0%} of the former number, and over {LIMITS.customers}",
        ),
        (
            "annual revenue then, in total",
            f"over {LIMITS.change:.0%}, by over {LIMITS.customers} customers; a price that moves by {low} to {high} counts as the former one, "
            "and so does a price of zero of somebody who has left",
        ),
        (
            "annual revenue then, by plan",
            f"the same, by over {LIMITS.change:.0%} of its customers too, of plans with {LIMITS.plan} active customers and more",
        ),
        (
            f"departures in the {LIMITS.months} months before",
            f"month by month, in sum over {LIMITS.change:.0%} and over {LIMITS.customers}, or in one month over {LIMITS.change:.0%} and over "
            f"{LIMITS.month}; the newest {LIMITS.filling} may fill up late",
        ),
        ("rows of a table", "there were some, and its files have none"),
        ("values of a column", f"there were {LIMITS.values} or more, and there is none"),
        (
            "the unit of a column: median of mrr (by plan), "
            + ", ".join(f"{measure.table}.{measure.column}" for measure in MEASURES),
            f"moved by a factor of {LIMITS.unit} or more; from {LIMITS.values} positive values on",
        ),
    ]
    return (
        "## What two landings say of one Monday\n\n"
        "The newest published Monday is looked at before and after each landing that changes something. Where the two differ by more than "
        "this, the book has jumped and nothing is landed, unless somebody accepts it ([operations.md](operations.md#when-the-book-jumps)). "
        f"The {LIMITS.change:.0%} are `CHURN_MAX_BOOK_CHANGE`. Customers whom the former landing did not know are growth, however many. Where "
        "nothing was landed before, nothing is compared.\n\n"
        f"{markdown_table(['what', 'is a jump'], rows)}\n"
    )


def _table(table: TableContract) -> str:
    columns = markdown_table(
        ["column", "kind", "presence", "meaning"],
        [(f"`{column.name}`", column.kind, _presence(column), _meaning(column)) for column in table.raw],
    )
    rules = markdown_table(
        ["rule", "about", "broken by", "what is expected"],
        [
            (rule.name, ", ".join(f"`{name}`" for name in rule.columns), rule.kind, rule.sentence)
            for rule in (*table.rules, table.unique_key)
        ],
    )
    landed = ", ".join(f"`{column.name}` {column.type}" for column in table.landed)
    without_it = f" Without it, {table.without_it}." if table.without_it else ""
    return (
        f"## {table.name} ({'required' if table.required else 'optional'})\n\n{table.meaning} "
        f"Key: {', '.join(f'`{name}`' for name in table.key)}.{without_it}\n\n"
        f"{columns}\n\n"
        f"{rules}\n\n"
        f"Lands as `landing.{table.name}`: {landed}.\n"
    )


def _presence(column: Column) -> str:
    if column.needed and column.required:
        return "required, in every row"
    return "required, may be null" if column.required else "optional"


def _meaning(column: Column) -> str:
    meaning = column.meaning
    if column.kind is Kind.CATEGORY:
        meaning += f": {', '.join(column.categories)}"
    return meaning + (" (personal data: never in the quarantine, never a feature)" if column.pii else "")


if __name__ == "__main__":
    sys.stdout.write(render())
