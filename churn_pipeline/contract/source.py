"""Where a table of the contract comes from: its files, and which column, expression, unit and word of theirs means what.

Everything here is a plain value. ``HOME/sources.yml`` is read into it elsewhere, and a table of which nothing is said has the names of
the contract.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


def _nothing() -> Mapping[str, str]:
    return MappingProxyType({})


@dataclass(frozen=True)
class ColumnSource:
    """What a contract column is made of. Exactly one of ``column``, ``expression`` and ``constant`` is given.

    Attributes:
        column: a column of the file, in any case.
        expression: one DuckDB expression over the file's columns, by their names; it reads nothing else and writes nothing.
        constant: the same value in every row.
        format: of a date or an instant: a ``strptime`` format, ``epoch_seconds`` or ``epoch_milliseconds``; empty: found out.
        unit: what a number is given in, a key of ``UNITS``; empty: the contract's own unit.
        words: what words of the file mean in the words of the contract, in any case.
    """

    column: str = ""
    expression: str = ""
    constant: str | None = None
    format: str = ""
    unit: str = ""
    words: Mapping[str, str] = field(default_factory=_nothing)


# By unit: the factor that leads to the unit of the contract (dollars, dollars a month, hours, a share from 0 to 1).
UNITS: Mapping[str, float] = MappingProxyType(
    {
        "cents": 0.01,
        "thousands": 1000.0,
        "per_quarter": 1 / 3,
        "per_year": 1 / 12,
        "seconds": 1 / 3600,
        "minutes": 1 / 60,
        "days": 24.0,
        "percent": 0.01,
    }
)


@dataclass(frozen=True)
class TableSource:
    """Where a table comes from.

    Attributes:
        table: its name in the contract.
        files: a pattern of files (``exports/subs_*.csv``) or a folder, below the raw directory or absolute; empty: the contract's own
            names.
        columns: by contract column; one that is not named has its own name in the file.
        nulls: words that stand for no value, besides the empty one.
        delimiter, encoding, decimal: of CSV; empty: found out.
    """

    table: str
    files: str = ""
    columns: Mapping[str, ColumnSource] = field(default_factory=lambda: MappingProxyType({}))
    nulls: tuple[str, ...] = ()
    delimiter: str = ""
    encoding: str = ""
    decimal: str = ""
