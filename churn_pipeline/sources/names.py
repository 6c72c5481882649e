"""How things are called elsewhere: the synonyms and words of ``synonyms.yml``, and how alike two names are."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

from churn_pipeline.contract.declaration import Column, Kind

_SYNONYMS = Path(__file__).with_name("synonyms.yml")
# What a name scores: the contract's own, a synonym (less the later it stands), one with more words around it, one with a slip of the pen.
_OWN, _SYNONYM, _STEP, _LEAST_SYNONYM, _AROUND, _SLIP = 1.0, 0.92, 0.02, 0.66, 0.55, 0.5
# Words at the end of a name that say how a value is written, and nothing of what it is.
_WRITTEN = frozenset(
    {
        "utc",
        "gmt",
        "usd",
        "eur",
        "cents",
        "minutes",
        "min",
        "mins",
        "seconds",
        "sec",
        "hours",
        "days",
        "pct",
        "percent",
        "in",
        "at",
        "on",
    }
)


@dataclass(frozen=True)
class Synonyms:
    """The content of synonyms.yml, every name as its plain words."""

    tables: Mapping[str, tuple[str, ...]]
    any: Mapping[str, tuple[str, ...]]
    columns: Mapping[str, Mapping[str, tuple[str, ...]]]
    words: Mapping[str, tuple[str, ...]]


@cache
def synonyms() -> Synonyms:
    import yaml

    content = yaml.safe_load(_SYNONYMS.read_text(encoding="utf-8"))

    def plain_lists(lists: Mapping[str, list[str]]) -> Mapping[str, tuple[str, ...]]:
        return MappingProxyType({str(key): tuple(plain(str(name)) for name in names) for key, names in lists.items()})

    return Synonyms(
        plain_lists(content["tables"]),
        plain_lists(content["any"]),
        MappingProxyType({table: plain_lists(columns) for table, columns in content["columns"].items()}),
        plain_lists(content["words"]),
    )


def plain(name: str) -> str:
    """A name as words in lower case: ``accountId``, ``Account-ID`` and ``account_id`` are ``account id``."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return " ".join(re.findall(r"[^\W_]+", spaced.lower()))


def likeness(name: str, table: str, column: str) -> float:
    """How well a column of a file, by its name alone, fits a column of the contract: 0 (not at all) to 1."""
    given = plain(name)
    bare = " ".join(word for word in given.split() if word not in _WRITTEN) or given
    own = plain(column)
    if given == own:
        return _OWN
    known = synonyms()
    # A table's own synonyms come first, so that `id` of a customers file is the customer's.
    names = (*known.columns.get(table, {}).get(column, ()), *known.any.get(column, ()))
    best = _OWN - _STEP if bare == own else 0.0
    for position, synonym in enumerate(names):
        if synonym in (given, bare):
            best = max(best, max(_LEAST_SYNONYM, _SYNONYM - _STEP * position))
            break
    if best:
        return best
    words = set(given.split())
    # A word or two around a name of more than one word: `crm account id`. A single word is in too many names.
    if any(len(synonym.split()) > 1 and set(synonym.split()) <= words for synonym in (own, *names)):
        return _AROUND
    if any(
        len(synonym) > 5 and difflib.SequenceMatcher(None, synonym, bare).ratio() >= 0.88 for synonym in (own, *names)
    ):
        return _SLIP
    return 0.0


def table_likeness(pattern: str, table: str) -> float:
    """How well the name of a file or folder fits a table: 0 to 1."""
    words = plain(pattern.split(".")[0].replace("*", " ")).split()
    best = 0.0
    for position, synonym in enumerate((plain(table), *synonyms().tables.get(table, ()))):
        wanted = synonym.split()
        if any(words[start : start + len(wanted)] == wanted for start in range(len(words))):
            best = max(best, 1.0 - 0.03 * position)
    return best


def meaning(word: str, column: Column) -> tuple[str | None, bool]:
    """What a word of a file probably means as a category of a column, and whether that is a guess."""
    given = plain(word)
    categories = {plain(category): category for category in column.categories}
    if word.strip().lower() in column.categories:
        return word.strip().lower(), False
    if given in categories:
        return categories[given], False
    known = synonyms().words
    for category in column.categories:
        if given in known.get(category, ()):
            return category, True
    # The longest known word within it: `pro annual 2024` is pro.
    words = given.split()
    candidates = [
        (len(synonym), category)
        for category in column.categories
        for synonym in (plain(category), *known.get(category, ()))
        if any(words[start : start + len(synonym.split())] == synonym.split() for start in range(len(words)))
    ]
    return (max(candidates)[1], True) if candidates else (None, True)


def unit_of(name: str, kind: Kind) -> str:
    """The unit that the name of a column tells; empty where it tells none."""
    words = set(plain(name).split())
    told = {
        Kind.MONEY: {
            "cents": {"cents", "cent", "pennies"},
            "thousands": {"thousands", "k"},
            "per_year": {"arr", "acv", "annual", "yearly", "annually"},
            "per_quarter": {"quarterly", "quarter"},
        },
        Kind.HOURS: {
            "seconds": {"seconds", "sec", "secs"},
            "minutes": {"minutes", "min", "mins"},
            "days": {"days"},
        },
        Kind.SHARE: {"percent": {"percent", "pct", "percentage"}},
    }
    for unit, tellers in told.get(kind, {}).items():
        if words & tellers:
            return unit
    return ""
