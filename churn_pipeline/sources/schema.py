"""Every key that sources.yml knows, with what it means. The reader accepts these and docs/sources.md lists them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from churn_pipeline.contract.declaration import Kind

TABLE_KEYS: Mapping[str, str] = MappingProxyType(
    {
        "files": "A pattern of files (`exports/subs_*.csv`), a file or a folder of part files, below the raw directory or absolute; or an "
        "address in an object store (`s3://bucket/exports/*.parquet`). Without it: the table's own name, as without a sources.yml.",
        "columns": "Which column of the files is which, by the contract's names. A column that is not named here has the contract's own name "
        "in the files.",
        "nulls": "A word or a list of words that stand for no value, in any case. The empty one always does.",
        "delimiter": "Of CSV: one character, or `comma`, `semicolon`, `tab`, `pipe`. Without it: found out.",
        "encoding": "Of CSV: such as `utf-8`, `utf-16`, `windows-1252`. Without it: found out.",
        "decimal": "Of numbers written as text: `,` or `.`. Without it: found out.",
        "query": "SQL that a database answers with the table's rows, in place of files.",
        "connection": "The name of the connection for a query or an object store.",
        "incremental_by": "A column of the query's result: only rows with a greater value than those fetched before are fetched.",
    }
)

COLUMN_KEYS: Mapping[str, str] = MappingProxyType(
    {
        "column": "The column of the files. The short form `mrr: amount` says the same.",
        "expression": "One DuckDB expression over the columns of the files.",
        "constant": "The same value in every row, in the contract's own form.",
        "format": "Of dates: `epoch_seconds`, `epoch_milliseconds`, or a pattern such as `%m/%d/%Y`. Without it: found out.",
        "unit": "What a number is given in. Without it: the contract's own unit.",
        "words": "What a word of the files means in the contract's words, in any case.",
    }
)
# Of these, at most one may be given.
ORIGINS = ("column", "expression", "constant")

CONNECTION_KEYS: Mapping[str, str] = MappingProxyType(
    {
        "kind": "What is at the other end.",
        "uri": "Its address, with `${NAME}` for whatever is secret: the environment variable of that name.",
        "options": "Names and values for the driver, with `${NAME}` likewise.",
    }
)

# Only in the presets that come with the package.
PRESET_KEYS: Mapping[str, str] = MappingProxyType(
    {
        "recognised_by": "Columns that a file of this export has, all of them.",
        "document": "Where the product says which columns its export has.",
        "also_called": "By contract column, other names that its column has in other versions of the export; the first that is there counts.",
        "doubts": "By contract column, what the person should look at; written beside the line.",
    }
)

# By kind of column, the units that its numbers may be given in.
UNITS_OF: Mapping[Kind, tuple[str, ...]] = MappingProxyType(
    {
        Kind.MONEY: ("cents", "thousands", "per_quarter", "per_year"),
        Kind.HOURS: ("seconds", "minutes", "days"),
        Kind.SHARE: ("percent",),
    }
)
DATED = (Kind.DATE, Kind.INSTANT)
WORDED = (Kind.TEXT, Kind.CATEGORY, Kind.FLAG)
EPOCHS = ("epoch_seconds", "epoch_milliseconds")

DELIMITERS: Mapping[str, str] = MappingProxyType({"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|"})
