"""What the models would say of a customer if a value were another. It is arithmetic on the models in force, and says nothing of causes."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from churn_pipeline.contract.declaration import RANGES, Column, Kind
from churn_pipeline.core.errors import InputError, RefusedError
from churn_pipeline.core.formatting import MINUS
from churn_pipeline.core.targets import Target, target_of
from churn_pipeline.core.themes import OTHER, PARTS
from churn_pipeline.features.catalogue import Catalogue, Feature, facts_of
from churn_pipeline.features.sentences import Format
from churn_pipeline.policy.tiers import Tiers

if TYPE_CHECKING:
    import pandas as pd

    from churn_pipeline.modeling.model import ScoringModel

NO_CAUSE = "What the model says, not what would happen: no cause."

# What a value may be by how it is written; what the contract and the tests of the mart say of a column is narrower.
_BOUNDS: Mapping[Format, tuple[float, float]] = {
    "count": RANGES[Kind.COUNT],
    "days": RANGES[Kind.COUNT],
    "hours": RANGES[Kind.HOURS],
    "usd": RANGES[Kind.MONEY],
    # A share, or how many times as much as something else.
    "percent": (0, RANGES[Kind.COUNT][1]),
    "score": RANGES[Kind.SHARE],
    "points": (-RANGES[Kind.SHARE][1], RANGES[Kind.SHARE][1]),
}
# From here on a bound is no rule that anybody has to be told.
_ENDLESS = RANGES[Kind.HOURS][1]
_NUMBER = re.compile(
    rf"(?P<sign>[+{MINUS}-]?)(?P<usd>\$?)(?P<number>\d[\d,]*(?:\.\d*)?|\.\d+)\s*(?P<unit>%|points?|days?|hours?)?"
)
_UNITS: Mapping[str, tuple[Format, ...]] = {
    "%": ("percent", "points"),
    "point": ("points",),
    "day": ("days",),
    "hour": ("hours",),
}
_NULLS = ("null", "unknown", "")
_BOOLEANS = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}

type Value = float | bool | str | None
type Bounds = tuple[float | None, float | None]


@dataclass(frozen=True)
class Change:
    """A value that was changed.

    Attributes:
        before: as the models saw it; None where it was not known.
        before_text: the same as people write it; ``after_text`` likewise.
        note: what the models make of it, where that is not what one would think; None otherwise.
    """

    feature: str
    label: str
    before: Value
    after: Value
    before_text: str
    after_text: str
    note: str | None


@dataclass(frozen=True)
class PartOfChange:
    """What a theme does to a probability when values change.

    Attributes:
        part: a theme; ``other`` for features without one; ``raise`` for the raise to the probability of a shorter horizon.
        log_odds: change of its features' contributions; None of ``raise``, which is none.
        points: change of the probability, 0.07 is 7 percentage points. Those of all parts add up to the change, to 1e-4.
    """

    part: str
    label: str
    log_odds: float | None
    points: float


@dataclass(frozen=True)
class ChangedScore:
    """The probability of one target, before and after.

    Attributes:
        before: as published, after the raise to that of shorter horizons; ``after`` likewise.
        change: after less before.
        parts: by theme, the largest first.
    """

    target: str
    horizon_days: int
    model_version: str | None
    model_kind: str | None
    before: float
    after: float
    change: float
    parts: tuple[PartOfChange, ...]


@dataclass(frozen=True)
class WhatIf:
    """What the models say of a customer with other values.

    Attributes:
        changes: the values that were changed, and no others.
        scores: of the targets that were asked about, as reports order them.
        risk_tier: as published; None where the target that tiers go by was not asked about. ``new_risk_tier`` likewise.
        notices: what whoever reads this should know.
        note: `NO_CAUSE`.
    """

    snapshot_date: date
    customer_id: str
    changes: tuple[Change, ...]
    scores: tuple[ChangedScore, ...]
    risk_tier: str | None
    new_risk_tier: str | None
    notices: tuple[str, ...]
    note: str = NO_CAUSE


@dataclass(frozen=True)
class ValueRule:
    """What a value of a feature may be.

    Attributes:
        feature: of which.
        is_whole: it counts whole things.
        low: smallest number; ``high`` the largest.
        words: those there are, of a category that the contract lists; empty where any text may be one.
    """

    feature: Feature
    is_whole: bool = False
    low: float = -math.inf
    high: float = math.inf
    words: tuple[str, ...] = ()

    def value(self, given: object) -> Value:
        """The value that is meant.

        Args:
            given: text as a person writes it, such as ``35 %`` or ``yes``; or the value itself; ``null`` or None where it is not known.

        Raises:
            InputError: it is none; the message names it and the rule.
        """
        if given is None or (isinstance(given, str) and given.strip().lower() in _NULLS):
            return None
        match self.feature.dtype:
            case "categorical":
                value: Value = str(given).strip()
                if self.words and value not in self.words:
                    raise self._error(given)
            case "boolean":
                if isinstance(given, bool):
                    return given
                if str(given).strip().lower() not in _BOOLEANS:
                    raise self._error(given)
                value = _BOOLEANS[str(given).strip().lower()]
            case "numeric":
                number = _number(given, self.feature.format)
                if number is None or not self.low <= number <= self.high or (self.is_whole and number != int(number)):
                    raise self._error(given)
                value = int(number) if self.is_whole else number
        return value

    def in_words(self) -> str:
        """The rule as the end of a sentence that begins with the feature."""
        if self.words:
            return f"one of {', '.join(self.words)}, or null"
        if self.feature.dtype == "boolean":
            return "yes, no or null"
        if self.feature.dtype == "categorical":
            return "a word, or null"
        kind = "a whole number" if self.is_whole else "a number"
        bounds = f"from {self.low:g} to {self.high:g}" if self.high < _ENDLESS else f"of {self.low:g} or more"
        return f"{kind} {bounds}, or null"

    def _error(self, given: object) -> InputError:
        return InputError(f"{self.feature.name} is {self.in_words()}, not {given!r}")


def rule_of(feature: Feature, *, is_whole: bool, column: Column | None, bounds: Bounds) -> ValueRule:
    """What a value of a feature may be.

    Args:
        feature: as the model knows it.
        is_whole: its column of the mart holds whole numbers.
        column: the contract's column of that name; None where it has none.
        bounds: between which the tests of the mart hold the column.
    """
    if feature.dtype != "numeric":
        return ValueRule(feature, words=column.categories if column is not None else ())
    low, high = _BOUNDS.get(feature.format, (-math.inf, math.inf))
    ranges = [(low, high), RANGES.get(column.kind, (low, high)) if column is not None else (low, high)]
    return ValueRule(
        feature,
        is_whole,
        max(*(least for least, _ in ranges), low if bounds[0] is None else bounds[0]),
        min(*(most for _, most in ranges), high if bounds[1] is None else bounds[1]),
    )


def feature_named(name: str, catalogues: Iterable[Catalogue]) -> Feature:
    """The feature of that name among those that some models look at.

    Raises:
        InputError: none has it; the message names those that are close.
    """
    features = {feature.name: feature for catalogue in catalogues for feature in catalogue}
    if name in features:
        return features[name]
    labels = {feature.label.lower(): feature.name for feature in features.values()}
    close = [
        labels.get(word, word) for word in difflib.get_close_matches(name.lower(), [*features, *labels], 3, cutoff=0.5)
    ]
    hint = f"did you mean {' or '.join(dict.fromkeys(close))}?" if close else f"there are {', '.join(features)}"
    raise InputError(f"no model of this customer looks at '{name}'; {hint}")


def what_if(
    row: Mapping[str, Any],
    frame: pd.DataFrame,
    models: Mapping[Target, ScoringModel],
    changes: Mapping[str, Value],
    *,
    asked: Collection[Target],
    policy: Tiers,
    today: Mapping[str, Catalogue],
) -> WhatIf:
    """What the models say of a customer with other values.

    Args:
        row: of `predictions`.
        frame: the one row of features behind it.
        models: those behind the probabilities of the row; of a target also those of its shorter horizons.
        changes: value by feature; checked already.
        asked: the targets to answer for, in this order.
        policy: the tiers of the row's Monday, the gravest first.
        today: by mart, today's catalogue, for models from before there were themes; it may lack the marts of others.

    Raises:
        RefusedError: the models give another probability than the published one, so that what they say of other values is worth nothing.
    """
    before, after = frame, frame.assign(**{name: _column(value) for name, value in changes.items()})
    was, is_now = _explained(models, before), _explained(models, after)
    for target in models:
        published = row[target.probability_column]
        if was.raised[target] != published:
            raise RefusedError(
                f"{target.name} version {row[target.version_column]} gives {was.raised[target]!r} for the published features of {row['customer_id']} on "
                f"{row['snapshot_date']}, and the table says {published!r}: features or model are no longer those of that day, so nothing "
                f"is said of other values; 'churn run --week {row['snapshot_date']}' scores the Monday again"
            )
    scores = []
    for target in asked:
        old, new = was.raised[target], is_now.raised[target]
        scores.append(
            ChangedScore(
                target.name,
                target.horizon_days,
                row[target.version_column],
                row.get(target.kind_column),
                old,
                new,
                new - old,
                _parts(models[target], today, was, is_now, target),
            )
        )
    risk = target_of("risk")
    return WhatIf(
        snapshot_date=row["snapshot_date"],
        customer_id=row["customer_id"],
        changes=tuple(_change(name, value, frame, models) for name, value in changes.items()),
        scores=tuple(scores),
        risk_tier=row["risk_tier"] if risk in asked else None,
        new_risk_tier=_tier(policy, is_now.raised[risk]) if risk in asked else None,
        notices=tuple(_notices(changes, models, asked)),
    )


@dataclass(frozen=True)
class _Explained:
    """One row explained by several models: contributions, bias and probability before the raise, and the probability after it."""

    contributions: Mapping[Target, Any]
    bias: Mapping[Target, float]
    own: Mapping[Target, float]
    raised: Mapping[Target, float]


def _explained(models: Mapping[Target, ScoringModel], frame: pd.DataFrame) -> _Explained:
    import pandas as pd

    from churn_pipeline.scoring.score import monotone

    explained = {target: model.explain(frame) for target, model in models.items()}
    own = {target.name: pd.Series(explanation.probability) for target, explanation in explained.items()}
    raised, _ = monotone(own)
    return _Explained(
        {target: explanation.contributions for target, explanation in explained.items()},
        {target: explanation.bias for target, explanation in explained.items()},
        {target: float(own[target.name].iloc[0]) for target in models},
        {target: float(raised[target.name].iloc[0]) for target in models},
    )


def _parts(
    model: ScoringModel, today: Mapping[str, Catalogue], was: _Explained, is_now: _Explained, target: Target
) -> tuple[PartOfChange, ...]:
    import numpy as np

    from churn_pipeline.scoring.themes import change_parts, theme_sums

    themed = model.catalogue.with_themes(today[target.mart]) if target.mart in today else model.catalogue
    now, before = is_now.contributions[target], was.contributions[target]
    raised = (is_now.raised[target] - is_now.own[target]) - (was.raised[target] - was.own[target])
    log_odds = {theme or OTHER: float(moved[0]) for theme, moved in theme_sums(themed, now - before).items()}
    points = change_parts(themed, now, before, was.bias[target], np.array([raised]))
    parts = [
        PartOfChange(part, PARTS[part], log_odds.get(part), float(moved[0]))
        for part, moved in points.items()
        if moved[0] or log_odds.get(part)
    ]
    return tuple(sorted(parts, key=lambda part: -abs(part.points)))


def _change(name: str, value: Value, frame: pd.DataFrame, models: Mapping[Target, ScoringModel]) -> Change:
    feature = feature_named(name, (model.catalogue for model in models.values()))
    before = _plain(frame[name].iloc[0]) if name in frame.columns else None
    unseen = [
        target.name
        for target, model in models.items()
        if value is not None and name in model.encoder.categories and str(value) not in model.encoder.categories[name]
    ]
    note = None
    if unseen:
        known = sorted({word for model in models.values() for word in model.encoder.categories.get(name, ())})
        note = f"the training of {' and '.join(unseen)} never saw '{value}', so it is taken as unknown; known are {', '.join(known) or 'none'}"
    return Change(name, feature.label, before, value, feature.text(before), feature.text(value), note)


def _notices(
    changes: Mapping[str, Value], models: Mapping[Target, ScoringModel], asked: Collection[Target]
) -> Iterable[str]:
    for target in asked:
        if blind := [name for name in changes if name not in models[target].catalogue]:
            yield f"The model of {target.name} does not look at {', '.join(blind)}."
    features = {feature.name: feature for model in models.values() for feature in model.catalogue}
    for name in changes:
        kin = [
            other
            for other, feature in features.items()
            if other not in changes and _move_together(features[name], feature)
        ]
        if kin:
            yield f"Of what moves together only {name} was changed; {', '.join(kin)} {'stays as it is' if len(kin) == 1 else 'stay as they are'}."


def _move_together(feature: Feature, other: Feature) -> bool:
    """Whether two features tell of one fact, or show the same column of customers."""
    same_column = feature.made_of is not None and feature.made_of == other.made_of
    return same_column or bool(set(facts_of(feature)) & set(facts_of(other)))


def _tier(policy: Tiers, probability: float) -> str | None:
    return next((tier.risk_tier for tier in policy if probability >= tier.lower_bound), None)


def _number(given: object, form: Format) -> float | None:
    """The number that is meant; None where it is none, or has the unit of something else."""
    if isinstance(given, bool):
        return None
    if not isinstance(given, str):
        try:
            number = float(given)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            return None
        return number if math.isfinite(number) else None
    parts = _NUMBER.fullmatch(given.strip())
    unit = (parts["unit"] or "").removesuffix("s") if parts else ""
    if parts is None or (unit and form not in _UNITS[unit]) or (parts["usd"] and form != "usd"):
        return None
    number = float(parts["number"].replace(",", ""))
    # "35 %" is how a share is written, and "8 points" a difference of shares.
    number = number / 100 if unit in ("%", "point") else number
    return number if parts["sign"] in ("", "+") else -number


def _column(value: Value) -> Any:
    import pandas as pd

    return pd.Series([value], dtype=object)


def _plain(value: Any) -> Value:
    """A cell of a frame as a value of Python."""
    import pandas as pd

    if pd.isna(value):
        return None
    plain: Value = value.item() if hasattr(value, "item") else value
    return plain


def assignments(texts: Sequence[str]) -> dict[str, str]:
    """The texts ``FEATURE=VALUE`` as they were given, by feature.

    Raises:
        InputError: one has another form, or two are about one feature.
    """
    values: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise InputError(f"'{text}' is no change of a feature: write FEATURE=VALUE, such as events_last_30d=40")
        if name.strip() in values:
            raise InputError(f"{name.strip()} is given twice")
        values[name.strip()] = value.strip()
    return values
