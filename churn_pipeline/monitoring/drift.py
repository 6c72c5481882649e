"""Has what the model looks at changed, beyond what it changed while the model was trained?

Two questions about every feature and about the prediction, both answered in PSI over the reference's buckets:

- *against the reference*: how far is this Monday from the pooled training weeks? It sees what came slowly, and goes on
  seeing what came at once.
- *against last week*: how far is it from the Monday before? Hardly anything moves in a week, so a feed that broke
  stands out at once, when windows of 30 and 90 days still consist of good days for the most part.

**Limits** are made of the same two statistics on the model's own training weeks (`limit_of`): each week against the one
before, and each week against the rest that shares no data with it. A week's PSI is taken as log-normal around a level
that grows with the square of its distance from the others (for a steady trend PSI is quadratic in the shift, hence in
time), and the limit is the level at this Monday's distance plus ``SPREAD`` log-standard deviations, from quartiles.
That is what lets tenure or lifetime ratios age without an alarm. Seasons are no trend: where a training week at the
same time of a former year was far out, the limit is at least ``SEASON_MARGIN`` times that, so that Christmas is known
from the year before. Where no training week lies at this time of year, nobody knows what it is like, and the verdict is
watch at most.

**Verdict.** Forty features on 52 Mondays are 2,000 tests a year of each kind, so no feature decides alone. A feature
beyond its limit adds its share of |SHAP| times how many limits it is away (at most ``CAP``); ``ACT_SCORE`` is the sum
from which the Monday says act. Features that are cumulative by the catalogue, and shares of |SHAP| that changed, inform
and do not add to it: the first age by construction, and the second only repeat what feature and prediction already
said. The prediction has no share, being what the shares are of, and acts by itself.

Measured by ``benchmarks/drift.py``; the table is in its docstring.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from churn_pipeline.core.calendar import WEEK
from churn_pipeline.modeling.reference import (
    PREDICTION,
    Buckets,
    Counts,
    FeatureWeek,
    Floats,
    Profile,
    Reference,
    count_by,
    psi,
)

# unknown: too few customers or training weeks to judge by. It neither begins nor ends anything.
Level = Literal["unknown", "none", "watch", "act"]
_ORDER: dict[Level, int] = {"unknown": 0, "none": 1, "watch": 2, "act": 3}

# Log-standard deviations between the usual level and the limit. Lower, and the sum of shares beyond their limits nears
# ACT_SCORE on calm Mondays; higher, and a third of all usage events can vanish within the limits (see the table of
# benchmarks/drift.py).
SPREAD = 3.5
# Sampling alone makes a PSI of ten buckets a chi-squared of nine degrees of freedom, whose logarithm has a standard
# deviation of 0.49 and whose quartiles, over fifty weeks that share most of their customers, often look closer. With
# 0.35, in a book of 800 made of nothing but noise, one of 40 Mondays said act.
MIN_SPREAD = 0.45
# PSI that nobody has to act on, however still a feature was in training: 3 % of all customers going from one plan to
# the next is 0.006 and 1 % is 0.0006. A share of |SHAP| of a few hundred rows is known to half a percentage point.
FLOOR_WEEK = 0.002
FLOOR_REFERENCE = 0.01
FLOOR_SHARE = 0.02
# In five simulated companies Christmas had up to 2.0 times the PSI of the Christmas before, in features that matter.
SEASON_MARGIN = 2.5
SEASON_YEARS = 3
# What a feature may weigh at most, in limits. A plan tier that has moved 50 limits is no more broken than one that
# moved 20, and without a cap a column of 0.1 % of |SHAP| could propose a training.
CAP = 20.0
# The highest score of 364 undisturbed Mondays was 0.06, the lowest of 24 shocks on their first Monday 0.22.
ACT_SCORE = 0.10
# Where a feature is worth a look, in limits.
WATCH_RATIO = 0.6
# Training weeks behind a limit, and rows behind a PSI. With ten buckets, 200 rows put 0.05 of sampling noise on it.
MIN_WEEKS = 12
MIN_ROWS = 200
MIN_TIER_ROWS = 100

_FIRST_YEAR = (
    "this is watch and not act because no training week lies at this time of year: a season would look the same"
)


@dataclass(frozen=True)
class Measure:
    """A statistic and its limit.

    Attributes:
        value: 0 or more; NaN where it could not be taken.
        limit: over 0; NaN where the training weeks are too few for one.
    """

    value: float
    limit: float

    @property
    def ratio(self) -> float:
        """In limits; 0 where value or limit is unknown, which is no evidence."""
        return self.value / self.limit if self.value == self.value and self.limit == self.limit else 0.0


@dataclass(frozen=True)
class TierDrift:
    """One feature within one plan tier. It tells where to look, and decides nothing."""

    rows: int
    reference: Measure
    week: Measure
    verdict: Level


@dataclass(frozen=True)
class FeatureDrift:
    """One feature, or the prediction, on one Monday.

    Attributes:
        name: of the feature; ``prediction`` for the model's probability.
        label: how a person calls it.
        votes: whether it may decide about the Monday; a cumulative feature does not.
        share: of |SHAP| in training, 0 to 1.
        share_now: of |SHAP| this Monday; NaN where contributions were not given.
        reference: PSI against the pooled training weeks.
        week: PSI against the Monday before.
        moved: absolute change of the share of |SHAP|.
        missing_share: of rows without a value; ``missing_share_reference`` in training.
        out_of_range_share: of rows with a value that training never reached, or a category it never saw.
        verdict: act beyond a limit, watch near one or where the share of |SHAP| is beyond its own.
        tiers: by plan tier, where there are rows enough.
    """

    name: str
    label: str
    votes: bool
    share: float
    share_now: float
    reference: Measure
    week: Measure
    moved: Measure
    missing_share: float
    missing_share_reference: float
    out_of_range_share: float
    verdict: Level
    tiers: Mapping[str, TierDrift]

    @property
    def ratio(self) -> float:
        """How many limits it is away, by whichever of the two PSI says more."""
        return max(self.reference.ratio, self.week.ratio)

    @property
    def points(self) -> float:
        """What it adds to the score of the Monday."""
        return self.share * min(self.ratio, CAP) if self.votes and self.ratio >= 1 else 0.0


@dataclass(frozen=True)
class DriftReport:
    """Drift of one model's inputs and outputs on one Monday.

    Attributes:
        target: of the model.
        snapshot_date: the Monday.
        rows: customers.
        verdict: of the Monday.
        score: sum of `FeatureDrift.points`; act from ``ACT_SCORE`` on.
        reasons: sentences, the weightiest first; why nothing was judged, where nothing was.
        features: in the model's order.
        prediction: the same of the model's probability.
    """

    target: str
    snapshot_date: date
    rows: int
    verdict: Level
    score: float
    reasons: tuple[str, ...]
    features: tuple[FeatureDrift, ...]
    prediction: FeatureDrift

    def to_rows(self) -> list[dict[str, Any]]:
        """One row per feature and plan tier, ``all`` for all of them, the prediction included. NaN is None, and so is
        what a tier has not.
        """
        rows = []
        for feature in (*self.features, self.prediction):
            whole = TierDrift(self.rows, feature.reference, feature.week, feature.verdict)
            for tier, part in {"all": whole, **feature.tiers}.items():
                values = {
                    "psi_reference": part.reference.value,
                    "limit_reference": part.reference.limit,
                    "psi_week": part.week.value,
                    "limit_week": part.week.limit,
                }
                book = {
                    "share": feature.share,
                    "share_now": feature.share_now,
                    "share_limit": feature.moved.limit,
                    "missing_share": feature.missing_share,
                    "missing_share_reference": feature.missing_share_reference,
                    "out_of_range_share": feature.out_of_range_share,
                }
                values |= book if tier == "all" else dict.fromkeys(book, float("nan"))
                rows.append(
                    {
                        "snapshot_date": self.snapshot_date,
                        "target": self.target,
                        "feature": feature.name,
                        "plan_tier": tier,
                        "rows": part.rows,
                        "votes": feature.votes,
                        "verdict": part.verdict,
                        **{key: None if value != value else value for key, value in values.items()},
                    }
                )
        return rows


def assess(reference: Reference, now: FeatureWeek, before: FeatureWeek | None) -> DriftReport:
    """Judges one Monday for one model.

    Args:
        reference: of the model.
        now: the Monday, all active customers, with the model's probabilities and, where the change of shares of |SHAP|
            is wanted, shares.
        before: the Monday 7 days earlier, its probabilities computed by the *same* model, or a new model would look
            like a shift; None where there is no such Monday.
    """
    rows = len(now.frame)
    if before is not None and before.snapshot_date != now.snapshot_date - WEEK:
        before = None
    gauge = _Gauge(reference, now, before)
    features = tuple(gauge.measure(profile) for name, profile in reference.profiles.items() if name != PREDICTION)
    prediction = gauge.measure(reference.profiles[PREDICTION])
    score = sum(feature.points for feature in features)
    if not gauge.judged:
        return DriftReport(
            reference.target, now.snapshot_date, rows, "unknown", 0.0, (gauge.why_not,), features, prediction
        )
    acting = score >= ACT_SCORE or prediction.verdict == "act"
    watching = score > 0 or prediction.verdict == "watch"
    reasons = _reasons(features, prediction)
    if acting and not gauge.knows_season:
        acting, watching = False, True
        reasons = (_FIRST_YEAR, *reasons)
    return DriftReport(
        target=reference.target,
        snapshot_date=now.snapshot_date,
        rows=rows,
        verdict="act" if acting else "watch" if watching else "none",
        score=score,
        reasons=reasons,
        features=features,
        prediction=prediction,
    )


def worst(levels: Sequence[Level]) -> Level:
    """The verdict over several models: that of the one that is worst off; unknown of none."""
    return max(levels, key=_ORDER.__getitem__, default="unknown")


def limit_of(
    values: Sequence[float],
    weeks: Sequence[date],
    distance: Sequence[float] | None,
    monday: date,
    ahead: float,
    floor: float,
) -> float:
    """The largest value of a statistic that the training weeks make believable.

    The level is a + b d^2 by a resistant line (median of the nearest and of the farthest third; Tukey, 1977), because a
    Christmas among fifty weeks would bend a least-squares fit; the log-standard deviation is the interquartile range
    over 1.349.

    Args:
        values: of each training week; NaN where there is none.
        weeks: the training weeks.
        distance: of each, in weeks, from what it was compared with; None for a statistic that has none.
        monday: which Monday the limit is for.
        ahead: its own distance, in weeks.
        floor: the limit is at least this.

    Returns:
        NaN with fewer than ``MIN_WEEKS`` values.
    """
    value = np.asarray(values, dtype=np.float64)
    known = ~np.isnan(value)
    if known.sum() < MIN_WEEKS:
        return float("nan")
    y = np.maximum(value[known], 1e-6)
    x = np.zeros(len(y)) if distance is None else np.asarray(distance, dtype=np.float64)[known] ** 2
    slope = _slope(x, y)
    base = max(float(np.median(y - slope * x)), 0.2 * float(np.median(y)))
    logs = np.log(y / (base + slope * x))
    low, middle, high = np.quantile(logs, [0.25, 0.5, 0.75])
    spread = max(float(high - low) / 1.349, MIN_SPREAD)
    usual = (base + slope * ahead**2) * float(np.exp(middle + SPREAD * spread))
    season = [
        float(value[known][near].max())
        for near in _same_season([d for d, k in zip(weeks, known, strict=True) if k], monday)
    ]
    # What happens every year is a season, what happened once is not: of several years the quietest counts.
    return max(floor, usual, SEASON_MARGIN * min(season, default=0.0))


def _slope(x: Floats, y: Floats) -> float:
    order = np.argsort(x, kind="stable")
    third = len(x) // 3
    near, far = order[:third], order[-third:]
    run = float(np.median(x[far]) - np.median(x[near]))
    return max(0.0, float(np.median(y[far]) - np.median(y[near])) / run) if run > 0 else 0.0


def _same_season(weeks: Sequence[date], monday: date) -> list[NDArray[np.bool_]]:
    """For each former year the weeks within one of this time of year, as a mask; years that have fewer than two such
    weeks are left out.
    """
    days = np.array([(day - monday).days for day in weeks], dtype=np.int64)
    # 364 days are 52 Mondays; the week on either side takes the day or two a year that the calendar moves on by.
    years = (np.abs(days + 364 * year) <= 7 for year in range(1, SEASON_YEARS + 1))
    return [near for near in years if near.sum() >= 2]


class _Gauge:
    """Measures one Monday, feature by feature."""

    def __init__(self, reference: Reference, now: FeatureWeek, before: FeatureWeek | None) -> None:
        self._reference = reference
        self._now = now
        self._before = before
        self._ahead = abs((now.snapshot_date - reference.centre).days) / 7
        self._tiers = sorted(map(str, now.frame["plan_tier"].dropna().unique()))
        self._now_tier = self._tier_codes(now)
        self._before_tier = None if before is None else self._tier_codes(before)
        usable = [
            day for day, distance in zip(reference.weeks, reference.distance, strict=True) if distance == distance
        ]
        self.knows_season = bool(_same_season(usable, now.snapshot_date))
        weeks = len(usable)
        if len(now.frame) < MIN_ROWS:
            self.why_not = f"not judged: {len(now.frame)} customers, {MIN_ROWS} are needed"
        elif weeks < MIN_WEEKS:
            self.why_not = f"not judged: {weeks} training weeks to tell what is usual, {MIN_WEEKS} are needed"
        else:
            self.why_not = ""

    @property
    def judged(self) -> bool:
        return not self.why_not

    def measure(self, profile: Profile) -> FeatureDrift:
        now = self._counts(profile.buckets, self._now, self._now_tier, profile.name)
        before = (
            self._counts(profile.buckets, self._before, self._before_tier, profile.name)
            if self._before is not None and self._before_tier is not None and len(self._before.frame) >= MIN_ROWS
            else None
        )
        all_now = now.sum(axis=0)
        reference = Measure(
            float(psi(all_now, np.array(profile.counts))), self._limit(profile.rest, True, FLOOR_REFERENCE)
        )
        week = Measure(
            float("nan") if before is None else float(psi(all_now, before.sum(axis=0))),
            self._limit(profile.week, False, FLOOR_WEEK),
        )
        share_now = (self._now.shares or {}).get(profile.name, float("nan"))
        moved = Measure(abs(share_now - profile.share), self._limit(profile.moved, True, FLOOR_SHARE))
        ratio = max(reference.ratio, week.ratio) if self.judged else 0.0
        verdict: Level = "act" if ratio >= 1 else "none"
        if verdict == "none" and self.judged and (ratio >= WATCH_RATIO or moved.ratio >= 1):
            verdict = "watch"
        total = max(int(all_now.sum()), 1)
        return FeatureDrift(
            name=profile.name,
            label=profile.label,
            votes=not profile.cumulative,
            share=profile.share,
            share_now=share_now,
            reference=reference,
            week=week,
            moved=moved,
            missing_share=float(all_now[0] / total),
            missing_share_reference=profile.missing_share,
            out_of_range_share=float(all_now[-1] / total),
            verdict=verdict,
            tiers=self._by_tier(profile, now, before, reference.limit, week.limit),
        )

    def _by_tier(
        self, profile: Profile, now: Counts, before: Counts | None, limit_reference: float, limit_week: float
    ) -> dict[str, TierDrift]:
        """A tier has the limits of the whole book plus the noise of its fewer rows."""
        by_tier = {}
        for code, tier in enumerate(self._tiers):
            rows = int(now[code].sum())
            trained = np.array(profile.tier_counts.get(tier, (0,) * profile.buckets.size))
            if rows < MIN_TIER_ROWS or trained.sum() < MIN_TIER_ROWS:
                continue
            reference = Measure(
                float(psi(now[code], trained)), limit_reference + _noise(profile.buckets, rows, int(trained.sum()))
            )
            week = Measure(float("nan"), limit_week)
            if before is not None and (then := int(before[code].sum())) >= MIN_TIER_ROWS:
                week = Measure(float(psi(now[code], before[code])), limit_week + _noise(profile.buckets, rows, then))
            ratio = max(reference.ratio, week.ratio) if self.judged else 0.0
            by_tier[tier] = TierDrift(
                rows, reference, week, "act" if ratio >= 1 else "watch" if ratio >= WATCH_RATIO else "none"
            )
        return by_tier

    def _limit(self, values: Sequence[float], distant: bool, floor: float) -> float:
        reference = self._reference
        return limit_of(
            values,
            reference.weeks,
            reference.distance if distant else None,
            self._now.snapshot_date,
            self._ahead if distant else 0.0,
            floor,
        )

    def _tier_codes(self, week: FeatureWeek) -> NDArray[np.intp]:
        return pd.Index(self._tiers, dtype=object).get_indexer(pd.Index(week.frame["plan_tier"].astype(object)))

    def _counts(self, buckets: Buckets, week: FeatureWeek, tier: NDArray[np.intp], name: str) -> Counts:
        """Rows by plan tier and bucket, shape (tiers + 1, size); the last row is of customers without a tier, or of a
        tier gone since.
        """
        group = np.where(tier < 0, len(self._tiers), tier)
        return count_by(group, buckets.codes(week.values(name)), len(self._tiers) + 1, buckets.size)


def _noise(buckets: Buckets, rows: int, others: int) -> float:
    """What sampling alone stays under 999 times in 1,000: chi-squared (Wilson and Hilferty, 1931) times 1/n + 1/m."""
    free = max(buckets.size - 3, 1)
    chi = free * (1 - 2 / (9 * free) + 3.09 * np.sqrt(2 / (9 * free))) ** 3
    return float(chi * (1 / rows + 1 / others))


def _reasons(features: Sequence[FeatureDrift], prediction: FeatureDrift) -> tuple[str, ...]:
    reasons = [_sentence(prediction, "the prediction")] if prediction.verdict != "none" else []
    voting = sorted((feature for feature in features if feature.points > 0), key=lambda feature: -feature.points)
    reasons += [_sentence(feature, f"{feature.label} ({feature.share:.1%} of |SHAP|)") for feature in voting]
    return tuple(reasons)


def _sentence(feature: FeatureDrift, who: str) -> str:
    against, measure = (
        ("last week", feature.week)
        if feature.week.ratio >= feature.reference.ratio
        else ("the training weeks", feature.reference)
    )
    if measure.ratio < WATCH_RATIO:
        return f"{who}: its share of |SHAP| changed from {feature.share:.1%} to {feature.share_now:.1%}"
    return f"{who} against {against}: PSI {measure.value:.3f}, limit {measure.limit:.3f}"
