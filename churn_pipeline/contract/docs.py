"""Renders the declaration as a page for people: ``python -m churn_pipeline.contract.docs > docs/data-contract.md``."""

from __future__ import annotations

import sys

from churn_pipeline.contract.book import LIMITS, MEASURES
from churn_pipeline.contract.declaration import BOOKS, KIND_SENTENCES, LOADED_AT, TABLES, Column, Kind, TableContract
from churn_pipeline.contract.files import DATE_NULLS, TEXT_NULLS
from churn_pipeline.contract.moments import FORMS
from churn_pipeline.core.formatting import markdown_table

_HEAD = """\
# Raw data contract

<!-- Generated from churn_pipeline/contract/declaration.py by `python -m churn_pipeline.contract.docs`. Edit the
declaration. -->

Each table is a file `NAME.parquet`, `NAME.csv` (`.tsv`) or `NAME.jsonl` (`.ndjson`), text also as `.gz` or `.zst`, or a
folder `NAME/` of such part files, at any depth; folders like `dt=2024-01-31` are welcome and mean nothing. Names that
start with `.` or `_` or end in `.tmp` are ignored. Column names match in any case. Columns that are not listed are kept
out. An empty or blank value is null. A missing required column and a file that cannot be read stop the run and leave
what was landed before. Files, columns, words and units of other names are mapped in `sources.yml`.

Only `customers` or `subscriptions` has to be there. What another table would say is unknown where it has no rows, and
no model learns from it; a run says so once, in the words that stand with each table here. A table may be added at any
time, with or without a past.

- A **row** that breaks a row rule cannot be used and goes to `landing.quarantine`, under the first rule that it breaks.
- A **cell** that breaks a cell rule becomes null; the row is used, and the quarantine remembers the old value.
- Too many bad rows in a table or in one of its files (over 5 % and over 20, unless set otherwise) stop the run.
- A **broken column** stops the run: of the values that it was given, over 5 % and over 20 cannot be used; of dates of
  customers and events and of `mrr` over 0.5 % and over 5; and of any column two or more and at least half. The table is
  judged as it would be after landing, and each file from 20 given values on. A date that only lies ahead is no fault.
- A refusal tells of everything that is wrong in all tables. What it would have put aside is in
  `landing.refused_quarantine` until a landing succeeds.
- What is *not after now* by rule comes into use by itself on the first landing after its moment.
- Files that are unchanged are not read again; new part files are added to what is there. An id that is delivered again
is a repeated key, also
  when it brings news: rewrite the file instead.
"""


_WRITTEN = """\
## How files may be written

What differs from the plain form, which is CSV in UTF-8 with commas, decimal points and ISO dates, is found out for each
file and said once in the notices of the run.

- **CSV**: commas, semicolons, tabs or `|` between values; double or single quotes around them, doubled inside, or
  with a backslash; Excel's first line `sep=;`; UTF-8 with or without a mark, UTF-16, and where it is neither,
  Windows-1252. A file that DuckDB's reader cannot take as it is, is copied into a private temporary folder while the
  landing lasts. An unclosed quote, too few or too many values in a row and damaged letters are told by file and line.
- **No end of the last line** is accepted where the last row has as many values as the header. A file that is still
  being written may look so: it is refused where a row is cut, where its size or time changed while it was read, and
  where its last value is shorter than all others though these are moments of one length or numbers with one number
  of decimals. A last value that was cut and looks like any other cannot be told from a whole one: write to a name
  that ends in `.tmp`, and rename.
- **JSON lines**: one object a line; what is nested is text.
- **Numbers**: `1,130.00`, `1.130,00`, `1 130,00`, `1'130`, with a currency before or behind, `(5.00)` and `5.00-` as
  negatives, `12 %` for shares. The decimal sign is told from all values of a column where some of them are not plain,
  and from the table's other files and columns where they leave it open. `1,130` alone is asked about, as
  is a column in more than one currency.
- **Dates and instants**: {forms}, each with or without a time (of 24 hours, or of 12 with AM and PM) and an
  offset; seconds and milliseconds since 1970, from 1990 to 2100. Years of two digits only where they fit every value. The
  form is the one that fits most values of a file. Where two fit, that of the table's other files or
  of the file's other dates is taken, and where these do not tell either, it is asked for. Dates that are all midnight in UTC
  are asked about where CHURN_TIMEZONE lies west of it.
- **Words for null**: {text_nulls} in every column; {other_nulls} too where a column is no text.
"""


def _written() -> str:
    forms = ", ".join(f"`{form.spoken}`" for form in FORMS.values())
    others = [word for word in DATE_NULLS if word not in TEXT_NULLS]
    words = {
        "text_nulls": ", ".join(f"`{word}`" for word in TEXT_NULLS),
        "other_nulls": ", ".join(f"`{word}`" for word in others),
    }
    return _WRITTEN.format(forms=forms, **words)


def render() -> str:
    """The whole page as Markdown."""
    kinds = markdown_table(
        ["kind", "what is read"], [(kind.value, sentence) for kind, sentence in KIND_SENTENCES.items()]
    )
    parts = [
        _HEAD,
        _written(),
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
        f"## {table.name} ({_place(table)})\n\n{table.meaning} "
        f"Key: {', '.join(f'`{name}`' for name in table.key)}.{without_it}\n\n"
        f"{columns}\n\n"
        f"{rules}\n\n"
        f"Lands as `landing.{table.name}`: {landed}.\n"
    )


def _place(table: TableContract) -> str:
    return f"one of {' and '.join(BOOKS)} is required" if table.name in BOOKS else "optional"


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
