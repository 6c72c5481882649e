"""Renders the page docs/sources.md from what the reader knows: ``python -m churn_pipeline.sources.docs > docs/sources.md``."""

from __future__ import annotations

import sys

from churn_pipeline.contract.declaration import Kind
from churn_pipeline.contract.expressions import FUNCTIONS, MAX_CHARACTERS
from churn_pipeline.contract.source import UNITS
from churn_pipeline.core.formatting import markdown_table
from churn_pipeline.sources import schema
from churn_pipeline.sources.declared import DATABASES, OBJECT_STORES
from churn_pipeline.sources.propose import presets

EXAMPLE = """\
customers:
  files: exports/customers_*.csv
  nulls: [n/a, "-"]
  columns:
    customer_id: account_id
    mrr: {column: amount, unit: cents}
    plan_tier: {column: plan, words: {Pro: growth, Basic: starter}}
    signup_date: {column: created, format: "%m/%d/%Y"}
    industry: {constant: software}
    churn_date: {expression: "case when status = 'canceled' then ended_at end"}
    upgrade_date: null

usage_events: events/

support_tickets:
  query: select id, org_id, created_at, urgency, solved_after, kind from tickets
  connection: helpdesk
  incremental_by: created_at
  columns: {ticket_id: id, customer_id: org_id, created_date: created_at, priority: urgency, topic: kind,
            resolution_time: {column: solved_after, unit: minutes}}

connections:
  helpdesk:
    kind: postgresql
    uri: postgresql://reader:${HELPDESK_PASSWORD}@db.example.com/helpdesk
"""

_HEAD = """\
# sources.yml

<!-- Generated from churn_pipeline/sources/schema.py by `python -m churn_pipeline.sources.docs`. Edit the declarations there. -->

`HOME/sources.yml` says where raw tables come from where they have not the names of [the contract](data-contract.md): which files, which
column or expression is which, in which format and unit, and what words mean. A table that it does not name is looked for under its own
name, and a column that it does not name has its own name in the files. CHURN_SOURCES names another file. A change of it lands the tables
concerned as a whole.

`churn init FOLDER` proposes one. `churn check` says what would come in by it.

"""

_SINCE = """\
Everything that is wrong with the file is told at once, with line and character, before anything is landed. Words are taken as they are
written: `1`, `yes` and `0012` are words. Anchors, tags and several documents are refused.

"""


def render() -> str:
    """The whole page as Markdown."""
    return (
        "\n\n".join(
            [
                (_HEAD + f"```yaml\n{EXAMPLE}```\n\n" + _SINCE).rstrip(),
                "## A table\n\n"
                "Its name, then these; `usage_events: events/` is short for `usage_events: {files: events/}`.\n\n"
                + _keys(schema.TABLE_KEYS),
                "## A column\n\n"
                "Its name in the contract, then the name of a column of the files, or these. At most one of `column`, `expression` and "
                "`constant`; with none of them it is the column of the contract's own name. `null` says that the files have no such "
                "column: it is empty in every row.\n\n" + _keys(schema.COLUMN_KEYS),
                _units(),
                _expressions(),
                _connections(),
                _presets(),
            ]
        )
        + "\n"
    )


def _keys(keys: object) -> str:
    assert hasattr(keys, "items")
    return markdown_table(["key", "what it is"], [(f"`{key}`", meaning) for key, meaning in keys.items()])


def _units() -> str:
    own = {Kind.MONEY: "US dollars, of a month where it is monthly revenue", Kind.HOURS: "hours", Kind.SHARE: "0 to 1"}
    rows = [
        (str(kind), own[kind], ", ".join(f"`{unit}` (x {UNITS[unit]:.6g})" for unit in units))
        for kind, units in schema.UNITS_OF.items()
    ]
    return "### Units\n\n" + markdown_table(["kind of column", "without a unit", "units"], rows)


def _expressions() -> str:
    functions = ", ".join(f"`{name}`" for name in sorted(FUNCTIONS) if name[0].isalpha())
    return (
        "### Expressions\n\n"
        "A single DuckDB expression over the columns of a row, by their names in the file (in double quotes where they hold blanks), of at "
        f"most {MAX_CHARACTERS:,} characters. It gives the same value whenever it runs, and reads and writes nothing: no query, no "
        "aggregate, no window, no lambda, no clock, no chance. Operators, `case`, `cast`, `try`, `coalesce`, `in`, `like`, `between` and "
        f"these functions may be used: {functions}. `->>` takes a field out of JSON. The columns of a CSV are text: `amount::double / 12`. "
        "What comes out is then read like a column of the file."
    )


def _connections() -> str:
    stores = ", ".join(f"`{scheme}://`" for scheme in OBJECT_STORES)
    return (
        "## Connections\n\n"
        f"Under `connections`, by a name of yours. Databases ({', '.join(DATABASES)}) answer a `query`; object stores are meant by an "
        f"address in `files` ({stores}), and need a connection only where the environment does not say how to reach them. A secret never "
        "stands in the file: `${NAME}` takes it from the environment, in connections alone. What is "
        "fetched, when, and what is said when it fails: [remote-sources.md](remote-sources.md).\n\n"
        + _keys(schema.CONNECTION_KEYS)
    )


def _presets() -> str:
    rows = [
        (f"`{name}`", f"`{export.source.table}`", export.document)
        for name, exports in presets().items()
        for export in exports
    ]
    return (
        "## churn init\n\n"
        "It looks at the CSV, Parquet and JSON lines files of a folder: files whose names differ only in numbers and dates belong "
        "together. Which is which it tells by names, by what the first rows hold and by ids that files share. It writes what it found, and "
        "beside a line what it doubts: `# 0.6: also possible: created_at`. What is wanted and was not found is a line that is not in "
        "force. A file that is there stays, unless `--force` is given. Nothing is landed.\n\n"
        "Exports of these products are recognised by their columns; `--preset NAME` says where they come from, and then most of the "
        "columns are enough.\n\n" + markdown_table(["preset", "table", "its columns are described in"], rows)
    )


if __name__ == "__main__":
    sys.stdout.write(render())
