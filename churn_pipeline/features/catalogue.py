"""The feature catalogue: what a model may look at, and how each of those values is put into words.

It is written once, in the YAML of the dbt mart that computes the features (``columns[*].config.meta``), and a copy travels with every model
version, so that a model of last year explains itself in last year's words.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from string import Formatter
from typing import Any, Literal, Self, get_args

from churn_pipeline.core.errors import InputError
from churn_pipeline.core.json_text import json_text
from churn_pipeline.core.themes import THEMES, Theme
from churn_pipeline.features.sentences import MONTH_BEFORE, PEERS, VALUE, Format, parse, problem_of, value_text

DType = Literal["numeric", "categorical", "boolean"]
Direction = Literal["increasing", "decreasing"]
Side = Literal["below", "above"]
History = Literal["tier_history", "mrr_history"]
# Columns of customers whose former values nobody keeps, unless there is a history of plans: what is written over them today is what every
# past snapshot shows.
Static = Literal["industry", "seats", "csm_owner", "plan_tier", "mrr"]

_REQUIRED = ("dtype", "label", "format", "theme", "raises", "lowers")
_OPTIONAL = ("direction", "cumulative", "pii", "requires", "made_of", "fact", "says", "also", "like", "worse")
_OF_FACTS = ("format", "fact")
# For what a sentence may be written: where a value stands among those of similar customers, or what it is. ``any`` is all of them but unknown.
_CASES: dict[DType, tuple[str, ...]] = {
    "numeric": ("below", "about", "above", "any", "unknown"),
    "boolean": ("yes", "no", "any", "unknown"),
    "categorical": ("any", "unknown"),
}


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
        made_of: the column of customers whose value it shows, or that it compares customers by. Where that column is written over when
            somebody leaves, the feature knows who left (`churn_pipeline.modeling.guard`).
        theme: what it is about. None in a version that was stored before there were themes.
        fact: what it tells of, one name or several between spaces; two features that share one are never told together. Its own name unless
            given.
        says: what is said of it when it is a reason, a template (:mod:`churn_pipeline.features.sentences`) by case: ``below``, ``about`` and
            ``above`` what similar customers have, ``yes`` or ``no``, ``any`` of them, or ``unknown``. A case without one leaves the word to
            another feature of the theme.
        also: the same for what is added to the sentence of another feature of the theme.
        like: another feature whose words it has instead of its own, because it tells of the same fact.
        worse: on which side of what similar customers have, or of no change, a value speaks for leaving. On the other side it is a reason only
            where the theme has no better one, and then the sentence says so.
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
    made_of: Static | None = None
    theme: Theme | None = None
    fact: str | None = None
    says: Mapping[str, str | None] | None = None
    also: Mapping[str, str | None] | None = None
    like: str | None = None
    worse: Side | None = None

    def text(self, value: Any) -> str:
        """A value as a person writes it; ``unknown`` for a null."""
        return "unknown" if value is None or value != value else value_text(self.format, value)

    def sentence(self, value: Any, contribution: float) -> str:
        """The contribution in words: its sign picks the sentence, its value fills it.

        A null has no number to state, so the label is named instead, with the direction spelled out.
        """
        if value is None or value != value:
            return f"{self.label}: unknown, which {'raises' if contribution > 0 else 'lowers'} the probability"
        return (self.raises if contribution > 0 else self.lowers).format(value=self.text(value))


@dataclass(frozen=True)
class Fact:
    """A column that no model looks at and that sentences may name.

    Attributes:
        name: column name.
        format: how its value is written.
        fact: as of a feature.
    """

    name: str
    format: Format
    fact: str | None = None


@dataclass(frozen=True)
class Catalogue:
    """The features of one mart, in the order of its YAML, which is the order of a model's columns.

    Attributes:
        mart: the dbt model.
        features: what a model may look at.
        facts: what its sentences may name besides.
    """

    mart: str
    features: tuple[Feature, ...]
    facts: tuple[Fact, ...] = ()

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

    @cached_property
    def tellable(self) -> dict[str, Feature | Fact]:
        """By column, what sentences may name."""
        columns: tuple[Feature | Fact, ...] = (*self.facts, *self.features)
        return {column.name: column for column in columns}

    def without(self, names: Collection[str]) -> Self:
        """The catalogue without some features; the sentences of the others may still name them."""
        dropped = tuple(Fact(f.name, f.format, f.fact) for f in self.features if f.name in names)
        return replace(
            self, features=tuple(f for f in self.features if f.name not in names), facts=(*self.facts, *dropped)
        )

    def with_themes(self, today: Catalogue) -> Catalogue:
        """The same features, each with a theme if anybody knows one.

        A version that was stored before there were themes has none; a feature of it is what today's catalogue knows by its name, in words and
        figures too. What nobody knows any more keeps no theme.

        Args:
            today: the catalogue of the same mart as it is now.
        """
        features = tuple(
            today[feature.name] if feature.theme is None and feature.name in today else feature for feature in self
        )
        own = {fact.name for fact in self.facts} | {feature.name for feature in features}
        return Catalogue(
            self.mart,
            features,
            (*self.facts, *(Fact(c.name, c.format, c.fact) for c in today.tellable.values() if c.name not in own)),
        )

    def requiring(self, histories: Iterable[History] = get_args(History)) -> list[str]:
        """The names of the features that need one of these histories."""
        wanted = set(histories)
        return [feature.name for feature in self.features if feature.requires in wanted]

    def trained(self, histories: Collection[History]) -> Self:
        """The features whose past is truly known: without a history of plans, today's tier of an upgraded customer *is* the label."""
        return self.without(self.requiring(set(get_args(History)) - set(histories)))

    def to_json(self) -> str:
        """As it travels with a model. A catalogue from before there were themes is written as it was read, so that its digest stays."""
        stored: dict[str, Any] = {"mart": self.mart, "features": [_entry(feature) for feature in self.features]}
        if self.facts:
            stored["facts"] = [asdict(fact) for fact in self.facts]
        return json_text(stored, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Self:
        stored = json.loads(text)
        return cls(
            stored["mart"],
            tuple(Feature(**entry) for entry in stored["features"]),
            tuple(Fact(**entry) for entry in stored.get("facts", ())),
        )


def _entry(feature: Feature) -> dict[str, Any]:
    entry = asdict(feature)
    for key in ("made_of", "theme", "fact", "says", "also", "like", "worse"):
        if entry[key] is None:
            del entry[key]
    return entry


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
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=loader) or {}
    except FileNotFoundError:
        raise InputError(f"{path}: the feature catalogue of {mart} is not there") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not valid YAML: {error}") from None
    model = next((entry for entry in document.get("models") or [] if entry.get("name") == mart), None)
    if model is None:
        raise InputError(f"{path}: declares no model named {mart}")
    features, facts = [], []
    for column in model.get("columns") or []:
        meta = {**(column.get("meta") or {}), **((column.get("config") or {}).get("meta") or {})}
        where = f"{path.name}, column {column['name']}"
        if meta.pop("feature", False):
            features.append(_feature(where, column["name"], meta))
        elif meta:
            facts.append(_fact(where, column["name"], meta))
    if not features:
        raise InputError(f"{path}: no column of {mart} says 'feature: true'")
    catalogue = Catalogue(mart, tuple(features), tuple(facts))
    for feature in catalogue:
        _check_sentences(f"{path.name}, column {feature.name}", feature, catalogue)
    return catalogue


def read_ranges(path: Path) -> dict[str, tuple[float | None, float | None]]:
    """Between which numbers the tests of a mart hold its columns (`within_range`), by column; None is no bound.

    Args:
        path: the mart's YAML file.
    """
    import yaml

    document = yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    ranges = {}
    for model in document["models"]:
        for test in model.get("data_tests") or ():
            arguments = test["within_range"]["arguments"] if "within_range" in test else None
            if arguments is not None:
                ranges[arguments["column"]] = arguments.get("minimum"), arguments.get("maximum")
    return ranges


def _fact(where: str, name: str, meta: dict[str, Any]) -> Fact:
    if unknown := sorted(set(meta) - {*_OF_FACTS}):
        raise InputError(
            f"{where}: unknown key {unknown[0]!r} in meta of a column that is no feature; known are {', '.join(_OF_FACTS)}"
        )
    if meta.get("format") not in get_args(Format):
        raise InputError(f"{where}: format {meta.get('format')!r} is none of {', '.join(get_args(Format))}")
    return Fact(name=name, **meta)


def facts_of(column: Feature | Fact) -> list[str]:
    """The names of what a column tells of."""
    return (column.fact or column.name).split()


def _check_sentences(where: str, feature: Feature, catalogue: Catalogue) -> None:
    """Every template can be filled: a slot that names nothing would leave a customer without a reason, and nobody would see why."""
    columns = catalogue.tellable
    if feature.like is not None:
        if feature.like not in catalogue or not catalogue[feature.like].says:
            raise InputError(f"{where}: like {feature.like!r} is no feature with sentences")
        if feature.says or feature.also or feature.worse or facts_of(feature) != facts_of(catalogue[feature.like]):
            raise InputError(f"{where}: what speaks like {feature.like} has its fact, and no sentences of its own")
    for key, templates in (("says", feature.says), ("also", feature.also)):
        for case, text in (templates or {}).items():
            if case not in _CASES[feature.dtype]:
                raise InputError(f"{where}: {key} has {case!r}, and may have {', '.join(_CASES[feature.dtype])}")
            if text is None:
                continue
            try:
                template = parse(text)
            except ValueError as error:
                raise InputError(f"{where}: {key}.{case} is no template: {error}") from None
            for slot in template.slots:
                column = columns.get(feature.name if slot.name in (VALUE, PEERS) else slot.name)
                if slot.name == MONTH_BEFORE or (slot.name == PEERS and case != "unknown" and not slot.spec):
                    continue
                if slot.name == PEERS or column is None or (slot.name == VALUE and case == "unknown"):
                    raise InputError(f"{where}: {key}.{case} names {{{slot.name}}}, which has no value there")
                if problem := problem_of(slot, column.name, column.format):
                    raise InputError(f"{where}: {key}.{case}: {problem}")


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
        ("made_of", (None, *get_args(Static))),
        ("worse", (None, *get_args(Side))),
        ("theme", tuple(THEMES)),
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
    for key in ("says", "also"):
        if not isinstance(meta.get(key, {}), dict):
            raise InputError(f"{where}: {key} is no table of sentences by case")
    if (meta["dtype"] == "categorical") != (meta["format"] == "category"):
        raise InputError(f"{where}: dtype categorical and format category go together")
    if meta["dtype"] == "categorical" and (meta.get("direction") or meta.get("worse")):
        raise InputError(f"{where}: a category has no direction")
    return Feature(name=name, **meta)
