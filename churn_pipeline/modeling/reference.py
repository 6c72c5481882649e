"""What the training weeks of a model looked like: the reference that later Mondays are held against.

One reference belongs to one model version and is stored beside it as JSON. It holds, for every feature and for the
model's own prediction, the pooled training distribution in fixed buckets, and how far each training week lay from the
week before it and from the other training weeks. Those two series are what thresholds are made of: an undisturbed
company that grows and has seasons is not still, and how little still it is differs by feature. Measured on simulated
companies (benchmarks/drift.py), the PSI against the week before is 0.0001 for the plan tier, 0.01 for last week's
events and 4 for the mean usage of an industry, which takes seven values a week; one limit for all of them is either
deaf or never silent.

Here: binning, PSI, the reference and its file. Not here: verdicts, which are in `drift`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from functools import cached_property
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from churn_pipeline.core.calendar import WEEK
from churn_pipeline.core.errors import InputError
from churn_pipeline.core.json_text import json_text
from churn_pipeline.features.catalogue import Catalogue
from churn_pipeline.features.splits import Span

FORMAT_VERSION = 1
REFERENCE_FILE = "reference.json"
PREDICTION = "prediction"

# Deciles: ten bins show where a distribution moved, and a bin still holds 150 of 1,500 customers. With 20, sampling
# noise doubles.
BINS = 10
# An empty bucket has an infinite logarithm. One in a thousand keeps a bucket that empties or fills worth log(1000 x its
# share) a unit, while a bucket that holds one customer more or less stays under 0.001; at 0.0001 rare values of counts
# make up most of the PSI.
FLOOR = 0.001
# Windows reach back 90 days, so weeks closer than 13 share data and are no independent witnesses; and in the first 13
# weeks of a history the windows are still filling, which no later Monday will ever look like (PSI up to 7, where 0.02
# is usual).
WINDOW_WEEKS = 13
# Of a larger book that many rows a week are binned, always the same customers. 5,000 rows put 0.002 of sampling noise
# on a PSI of ten bins, a fifth of the smallest limit of `drift`.
MAX_ROWS = 5_000

type Counts = NDArray[np.int64]
type Floats = NDArray[np.float64]


def psi(now: Counts, before: Counts) -> Any:
    """Population stability index, sum of (p - q) ln(p / q) over the buckets, with each share at least ``FLOOR``.

    Symmetric, 0 when equal; it is the Jeffreys divergence of the two distributions (Kullback and Leibler, 1951). Both
    sides drawn from one distribution, it is about chi-squared with buckets - 1 degrees of freedom times (1/n + 1/m).

    Args:
        now: counts by bucket along the last axis.
        before: the same buckets; shapes broadcast.

    Returns:
        Shape of the counts without the last axis. NaN where one side has no row.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        p = np.maximum(now / now.sum(axis=-1, keepdims=True), FLOOR)
        q = np.maximum(before / before.sum(axis=-1, keepdims=True), FLOOR)
    return ((p - q) * np.log(p / q)).sum(axis=-1)


@dataclass(frozen=True)
class Buckets:
    """Where a value is counted: bucket 0 is missing, then the bins or categories, and the last is out of range.

    Attributes:
        edges: of a number: smallest training value, inner cut points (a bin includes its lower one), largest training
            value; empty for a category and for a number that was always missing.
        categories: of a category or a boolean, as text, sorted.
    """

    edges: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()

    @classmethod
    def learn(cls, values: pd.Series, *, numeric: bool) -> Self:
        """Deciles of the values, or the categories among them."""
        if not numeric:
            return cls(categories=tuple(sorted(map(str, values.dropna().unique()))))
        numbers = _numbers(values)
        known = numbers[np.isfinite(numbers)]
        if not len(known):
            return cls()
        # inverted_cdf takes values that exist, so that a bin of a count begins at a count.
        return cls(
            edges=tuple(np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1), method="inverted_cdf")).tolist())
        )

    @property
    def size(self) -> int:
        """Number of buckets, the two outer ones included."""
        return 2 + (len(self.categories) or max(len(self.edges) - 1, 1))

    def codes(self, values: pd.Series) -> NDArray[np.intp]:
        """The bucket of each value, shape (rows,)."""
        if self.categories:
            codes, uniques = pd.factorize(values)
            known = {category: code for code, category in enumerate(self.categories, start=1)}
            where = np.array([known.get(str(value), self.size - 1) for value in uniques] + [0], dtype=np.intp)
            return where[codes]
        numbers = _numbers(values)
        if not self.edges:
            return np.where(np.isnan(numbers), 0, self.size - 1).astype(np.intp)
        codes = 1 + np.searchsorted(np.array(self.edges[1:-1]), numbers, side="right")
        codes = np.where((numbers < self.edges[0]) | (numbers > self.edges[-1]), self.size - 1, codes)
        return np.where(np.isnan(numbers), 0, codes).astype(np.intp)

    def count(self, values: pd.Series) -> Counts:
        """Rows by bucket, shape (size,)."""
        return np.bincount(self.codes(values), minlength=self.size).astype(np.int64)


@dataclass(frozen=True)
class Profile:
    """One feature, or the prediction, over the training weeks.

    Attributes:
        name: of the feature; ``PREDICTION`` for the model's probability.
        label: how a person calls it.
        cumulative: it ages by construction, so it informs and does not vote.
        share: of the model's mean absolute contributions, 0 to 1; 0 for the prediction, which has none.
        buckets: of its values.
        counts: rows by bucket, all training weeks together.
        tier_counts: the same by plan tier.
        week: PSI of each training week against the week before it; NaN where that is no training week, and while
            windows filled.
        rest: PSI of each training week against the training weeks more than ``WINDOW_WEEKS`` away; NaN where there are
            too few.
        moved: absolute difference of the feature's share of |SHAP| in each training week to its mean over those same
            others; NaN likewise, and where contributions were not given.
    """

    name: str
    label: str
    cumulative: bool
    share: float
    buckets: Buckets
    counts: tuple[int, ...]
    tier_counts: Mapping[str, tuple[int, ...]]
    week: tuple[float, ...]
    rest: tuple[float, ...]
    moved: tuple[float, ...]

    @property
    def missing_share(self) -> float:
        return self.counts[0] / max(sum(self.counts), 1)


@dataclass(frozen=True)
class FeatureWeek:
    """One Monday as a model sees it.

    Attributes:
        snapshot_date: the Monday.
        frame: rows of the mart, with customer_id, plan_tier and the features; a feature that is no column counts as
            missing.
        prediction: the model's calibrated probability of each row, shape (rows,).
        shares: of mean absolute contributions by feature, adding up to 1 (`contribution_shares`); None where they were
            not computed.
        is_sample: its rows are those of the customers that a large book is counted for, and not all of them.
    """

    snapshot_date: date
    frame: pd.DataFrame
    prediction: Floats
    shares: Mapping[str, float] | None = None
    is_sample: bool = False

    def values(self, name: str) -> pd.Series:
        if name == PREDICTION:
            return pd.Series(self.prediction, index=self.frame.index)
        if name not in self.frame.columns:
            return pd.Series(np.nan, index=self.frame.index)
        return self.frame[name]


@dataclass(frozen=True)
class Reference:
    """The training weeks of one model version.

    Attributes:
        target: what the model predicts.
        training_monday: T of the model.
        weeks: training Mondays, oldest first.
        distance: for each the weeks between it and the mean of the weeks that its ``rest`` was taken against; NaN where
            there is none.
        rows: for each the rows that were counted.
        profiles: by feature in the model's order, and last the prediction.
    """

    target: str
    training_monday: date
    weeks: tuple[date, ...]
    distance: tuple[float, ...]
    rows: tuple[int, ...]
    profiles: Mapping[str, Profile]

    @cached_property
    def centre(self) -> date:
        """The mean training Monday, weighted by rows: what the pooled distribution is as of."""
        days = np.array([(day - self.weeks[0]).days for day in self.weeks], dtype=np.float64)
        return self.weeks[0] + round(float(np.average(days, weights=self.rows)) / 7) * WEEK

    def to_json(self) -> str:
        """The same reference gives the same text. PSI values keep six digits; edges keep all of theirs."""

        def plain(profile: Profile) -> dict[str, Any]:
            return {
                **asdict(profile),
                **{name: [_rounded(value) for value in getattr(profile, name)] for name in ("week", "rest", "moved")},
                "share": _rounded(profile.share),
            }

        return json_text(
            {
                "format_version": FORMAT_VERSION,
                "target": self.target,
                "training_monday": str(self.training_monday),
                "weeks": [str(day) for day in self.weeks],
                "distance": [_rounded(value) for value in self.distance],
                "rows": list(self.rows),
                "profiles": [plain(profile) for profile in self.profiles.values()],
            },
            compact=True,
            allow_undefined=False,
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Reads what `to_json` wrote.

        Raises:
            InputError: the text is no reference, or of a format that this version of the package does not read.
        """
        try:
            stored = json.loads(text)
            format_version = stored["format_version"]
        except (ValueError, KeyError, TypeError):
            raise InputError(f"{REFERENCE_FILE} is damaged: it is no JSON with a format_version") from None
        if format_version != FORMAT_VERSION:
            raise InputError(
                f"{REFERENCE_FILE} has format {format_version}, and this version reads format {FORMAT_VERSION}"
            )
        profiles = [
            Profile(
                name=entry["name"],
                label=entry["label"],
                cumulative=entry["cumulative"],
                share=entry["share"],
                buckets=Buckets(tuple(entry["buckets"]["edges"]), tuple(entry["buckets"]["categories"])),
                counts=tuple(entry["counts"]),
                tier_counts={tier: tuple(counts) for tier, counts in entry["tier_counts"].items()},
                week=_floats(entry["week"]),
                rest=_floats(entry["rest"]),
                moved=_floats(entry["moved"]),
            )
            for entry in stored["profiles"]
        ]
        return cls(
            target=stored["target"],
            training_monday=date.fromisoformat(stored["training_monday"]),
            weeks=tuple(date.fromisoformat(day) for day in stored["weeks"]),
            distance=_floats(stored["distance"]),
            rows=tuple(stored["rows"]),
            profiles={profile.name: profile for profile in profiles},
        )


def build_reference(
    target: str,
    training_monday: date,
    catalogue: Catalogue,
    weeks: Iterable[FeatureWeek],
    importance: Mapping[str, float],
) -> Reference:
    """Summarises the training weeks of a model.

    Args:
        target: what the model predicts.
        training_monday: T of the model.
        catalogue: the model's own features (`ScoringModel.catalogue`).
        weeks: the Mondays of its training and calibration slices, in any order, each with *all* its active customers, or
            those of `counted_below`: a week that was thinned out for training carries a multiple of the sampling noise
            that the Mondays to be judged have. Read once, one at a time.
        importance: mean absolute contribution by feature (`TrainingResult.importance`); what is absent weighs nothing.

    Raises:
        InputError: there is no week, or a Monday comes twice.
    """
    names = [*catalogue.names, PREDICTION]
    numeric = {feature.name: feature.dtype == "numeric" for feature in catalogue} | {PREDICTION: True}
    columns: dict[str, list[pd.Series]] = {name: [] for name in names}
    days: list[date] = []
    tiers: list[pd.Series] = []
    shares: list[Mapping[str, float] | None] = []
    for week in weeks:
        kept = slice(None) if week.is_sample else _same_customers(week.frame["customer_id"])
        days.append(week.snapshot_date)
        tiers.append(week.values("plan_tier")[kept])
        shares.append(week.shares)
        for name in names:
            values = week.values(name)[kept]
            columns[name].append(pd.Series(_numbers(values)) if numeric[name] else values.astype(object))
    if not days:
        raise InputError(f"{target}: there is no training week to make a reference of")
    if len(set(days)) < len(days):
        raise InputError(f"{target}: the reference was given a Monday twice")
    order = np.argsort(np.array(days))
    ordered = [days[position] for position in order]
    rows = [len(tiers[position]) for position in order]
    of_row = np.repeat(np.arange(len(order)), rows)
    tier_code, tier_names = pd.factorize(
        pd.concat([tiers[position] for position in order], ignore_index=True), sort=True
    )

    index = np.array([(day - ordered[0]).days // 7 for day in ordered])
    filled = index - index[0] >= WINDOW_WEEKS
    apart = np.abs(index[:, None] - index[None, :]) > WINDOW_WEEKS
    # With fewer others than a window is long, they are one season of one year and say little about the spread between
    # seasons.
    has_rest = filled & (apart.sum(axis=1) >= WINDOW_WEEKS)
    weight = apart * np.array(rows)[None, :]
    with np.errstate(invalid="ignore"):
        distance = np.where(has_rest, np.abs(index - weight @ index / weight.sum(axis=1)), np.nan)
    follows = np.append(False, np.diff(index) == 1) & filled

    by_week = {
        name: np.array([(week_shares or {}).get(name, np.nan) for week_shares in (shares[p] for p in order)])
        for name in names
    }
    total = sum(importance.values()) or 1.0
    profiles = {}
    for name in names:
        pooled = pd.concat([columns[name][position] for position in order], ignore_index=True)
        columns[name].clear()
        buckets = Buckets.learn(pooled, numeric=numeric[name])
        codes = buckets.codes(pooled)
        counts = count_by(of_row, codes, len(order), buckets.size)
        by_tier = count_by(tier_code, codes, len(tier_names), buckets.size)
        share = by_week[name]
        profiles[name] = Profile(
            name=name,
            label=catalogue[name].label if name in catalogue else "Predicted probability",
            cumulative=name in catalogue and catalogue[name].cumulative,
            share=float(importance.get(name, 0.0) / total),
            buckets=buckets,
            counts=tuple(counts.sum(axis=0).tolist()),
            tier_counts={str(tier): tuple(by_tier[code].tolist()) for code, tier in enumerate(tier_names)},
            week=_floats(np.where(follows, psi(counts, np.roll(counts, 1, axis=0)), np.nan)),
            rest=_floats(np.where(has_rest, psi(counts, apart.astype(np.int64) @ counts), np.nan)),
            moved=_floats(np.where(has_rest, np.abs(share - _mean_of(apart, share)), np.nan)),
        )
    return Reference(
        target=target,
        training_monday=training_monday,
        weeks=tuple(ordered),
        distance=_floats(distance),
        rows=tuple(rows),
        profiles=profiles,
    )


def contribution_shares(names: Sequence[str], contributions: Floats) -> dict[str, float]:
    """Each feature's share of the mean absolute contribution.

    Args:
        names: features in the order of the columns.
        contributions: shape (rows, features), log-odds. A few hundred rows settle it: the shares of 500 and of 4,000
            rows of one Monday differ by less than half a percentage point.
    """
    mean = np.abs(contributions).mean(axis=0) if len(contributions) else np.zeros(len(names))
    return dict(zip(names, (mean / (mean.sum() or 1.0)).tolist(), strict=True))


def _same_customers(customer_id: pd.Series) -> NDArray[np.bool_]:
    """At most about ``MAX_ROWS`` rows, chosen by a hash of the customer, so that one week keeps the customers of the
    other.
    """
    below = counted_below(len(customer_id))
    if below is None:
        return np.ones(len(customer_id), dtype=bool)
    return np.asarray(hash_of(customer_id) < np.uint64(below))


def hash_of(customer_id: pd.Series) -> NDArray[np.uint64]:
    """The hash by which customers of a large book are chosen, shape (rows,)."""
    return pd.util.hash_array(customer_id.astype(object).to_numpy())


def counted_below(rows: int) -> int | None:
    """Below which hash a customer is counted in a week of so many rows; None where everybody is."""
    return None if rows <= MAX_ROWS else int(2**64 * (MAX_ROWS / rows))


def count_by(group: NDArray[np.intp], codes: NDArray[np.intp], groups: int, size: int) -> Counts:
    """Rows by group and bucket; a negative group is left out."""
    inside = group >= 0
    counts = np.bincount(group[inside] * size + codes[inside], minlength=groups * size)
    return counts.reshape(groups, size).astype(np.int64)


def _mean_of(apart: NDArray[np.bool_], values: Floats) -> Floats:
    known = apart & ~np.isnan(values)[None, :]
    count = known.sum(axis=1)
    return np.divide(known @ np.nan_to_num(values), count, out=np.full(len(values), np.nan), where=count > 0)


def _numbers(values: pd.Series) -> Floats:
    """As float64 with NaN for missing; DECIMAL columns arrive as objects, and nullable integers with pd.NA."""
    try:
        return values.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise InputError(f"feature {values.name} is declared numeric, and holds something else: {error}") from None


def _floats(values: Iterable[float | None] | Floats) -> tuple[float, ...]:
    return tuple(np.nan if value is None else float(value) for value in values)


def _rounded(value: float) -> float | None:
    """Six digits, and null for NaN, which JSON does not have."""
    return None if value != value else float(f"{value:.6g}")


def training_mondays(*spans: Span, first: date) -> list[date]:
    """The Mondays of a model's slices, oldest first: the weeks that `reference.build_reference` wants.

    Args:
        spans: training and calibration of the registered version (`slices.refit_slices`).
        first: the oldest snapshot there is.
    """
    mondays = {span.first + number * WEEK for span in spans for number in range((span.last - span.first).days // 7 + 1)}
    return sorted(day for day in mondays if day >= first)
