"""The feature catalogue: what a model may look at, and how each of those values is put into words.

It is written once, in the YAML of the dbt mart that computes the features (``columns[*].config.meta``), and a copy travels with every model
version, so that a model of last year explains itself in last year's words.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from string import Formatter
from typing import Any, Literal, Self, get_args

from churn_pipeline.core.errors import InputError
from churn_pipeline.core.formatting import usd
from churn_pipeline.core.json_text import json_text

DType = Literal["numeric", "categorical", "boolean"]
Direction = Literal["increasing", "decreasing"]
History = Literal["tier_history", "mrr_history"]
Format = Literal["count", "days", "usd", "percent", "score", "hours", "category", "boolean"]

_REQUIRED = ("dtype", "label", "format", "raises", "lowers")
_OPTIONAL = ("direction", "cumulative", "pii", "requires")


@dataclass(frozen=True)
class Feature:
    """One column of a mart that a model may use.

    Attributes:
        name: column name.
        dtype: how it is encoded.
        label: how a person calls it.
        format: how its value is written.
        raises: sentence for a positive contribution, with ``{value}`` where the value goes.
        lowers: sentence for a negative one.
        direction: the probability may only rise (or only fall) with it; a monotone constraint, for numeric and boolean features.
        cumulative: it grows with a customer's age whatever they do, so drift against the training data means little.
        requires: the history without which its past values are today's values, and therefore not trained on.
    """

    name: str
    dtype: DType
    label: str
    format: Format
    raises: str
    lowers: str
    direction: Direction | None = None
    cumulative: bool = False
    requires: History | None = None

    def text(self, value: Any) -> str:
        """A value as a person writes it; ``unknown`` for a null. ``percent`` expects a share (0.25 is "25 %")."""
        if value is None or value != value:
            return "unknown"
        match self.format:
            case "category":
                return str(value)
            case "boolean":
                return "yes" if value else "no"
        number = float(value)
        match self.format:
            case "count":
                return f"{number:,.0f}" if number.is_integer() else f"{number:,.1f}"
            case "days":
                return f"{number:,.0f} day" if round(number) == 1 else f"{number:,.0f} days"
            case "hours":
                return f"{number:,.1f} hours"
            case "usd":
                return usd(number)
            case "percent":
                return f"{100 * number:,.0f} %"
        return f"{number:.2f}"

    def sentence(self, value: Any, contribution: float) -> str:
        """The contribution in words: its sign picks the sentence, its value fills it.

        A null has no number to state, so the label is named instead, with the direction spelled out.
        """
        if value is None or value != value:
            return f"{self.label}: unknown, which {'raises' if contribution > 0 else 'lowers'} the probability"
        return (self.raises if contribution > 0 else self.lowers).format(value=self.text(value))


@dataclass(frozen=True)
class Catalogue:
    """The features of one mart, in the order of its YAML, which is the order of a model's columns."""

    mart: str
    features: tuple[Feature, ...]

    def __iter__(self) -> Iterator[Feature]:
        return iter(self.features)

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, name: str) -> Feature:
        return self._by_name[name]

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    @cached_property
    def _by_name(self) -> dict[str, Feature]:
        return {feature.name: feature for feature in self.features}

    @property
    def names(self) -> list[str]:
        return [feature.name for feature in self.features]

    def without(self, names: Collection[str]) -> Self:
        return replace(self, features=tuple(f for f in self.features if f.name not in names))

    def requiring(self, histories: Iterable[History] = get_args(History)) -> list[str]:
        """The names of the features that need one of these histories."""
        wanted = set(histories)
        return [feature.name for feature in self.features if feature.requires in wanted]

    def trained(self, histories: Collection[History]) -> Self:
        """The features whose past is truly known: without a history of plans, today's tier of an upgraded customer *is* the label."""
        return self.without(self.requiring(set(get_args(History)) - set(histories)))

    def to_json(self) -> str:
        return json_text({"mart": self.mart, "features": [asdict(f) for f in self.features]}, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Self:
        stored = json.loads(text)
        return cls(stored["mart"], tuple(Feature(**entry) for entry in stored["features"]))


def read_catalogue(path: Path, mart: str | None = None) -> Catalogue:
    """Reads the catalogue from a mart's dbt YAML.

    A column is a feature when its ``meta`` says ``feature: true``. ``meta`` stands under ``config`` or directly under the column.

    Args:
        path: the YAML file.
        mart: name of the dbt model; the file's stem unless given.

    Raises:
        InputError: the file is missing or holds no such model, or an entry breaks a rule; the message names file, column and rule.
    """
    import yaml

    mart = mart or path.stem
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        raise InputError(f"{path}: the feature catalogue of {mart} is not there") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not valid YAML: {error}") from None
    model = next((entry for entry in document.get("models") or [] if entry.get("name") == mart), None)
    if model is None:
        raise InputError(f"{path}: declares no model named {mart}")
    features = []
    for column in model.get("columns") or []:
        meta = {**(column.get("meta") or {}), **((column.get("config") or {}).get("meta") or {})}
        if meta.pop("feature", False):
            features.append(_feature(f"{path.name}, column {column['name']}", column["name"], meta))
    if not features:
        raise InputError(f"{path}: no column of {mart} says 'feature: true'")
    return Catalogue(mart, tuple(features))


def _feature(where: str, name: str, meta: dict[str, Any]) -> Feature:
    """One checked entry. A misspelt key would otherwise lose a constraint, or the PII mark, without a word."""
    if meta.pop("pii", False):
        raise InputError(f"{where}: marked as personal data, and personal data is never a feature")
    if unknown := sorted(set(meta) - {*_REQUIRED, *_OPTIONAL}):
        raise InputError(
            f"{where}: unknown key {unknown[0]!r} in meta; known are {', '.join((*_REQUIRED, *_OPTIONAL))}"
        )
    if missing := [key for key in _REQUIRED if not meta.get(key)]:
        raise InputError(f"{where}: meta lacks {', '.join(missing)}")
    for key, allowed in (
        ("dtype", get_args(DType)),
        ("format", get_args(Format)),
        ("direction", (None, *get_args(Direction))),
        ("requires", (None, *get_args(History))),
    ):
        if meta.get(key) not in allowed:
            raise InputError(f"{where}: {key} {meta[key]!r} is none of {', '.join(str(a) for a in allowed if a)}")
    for key in ("raises", "lowers"):
        try:
            fields = {field for _, field, _, _ in Formatter().parse(meta[key]) if field is not None}
        except ValueError as error:
            raise InputError(f"{where}: {key} is no template: {error}") from None
        if not fields <= {"value"}:
            raise InputError(f"{where}: {key} may only name {{value}}")
    if (meta["dtype"] == "categorical") != (meta["format"] == "category"):
        raise InputError(f"{where}: dtype categorical and format category go together")
    if meta["dtype"] == "categorical" and meta.get("direction"):
        raise InputError(f"{where}: a category has no direction")
    return Feature(name=name, **meta)
