"""How much revenue is expected to leave, between what bounds, and how much stayed so far. Rows in, figures out.

Customers leave one by one: each has a probability, and whether they do is a throw of their own. Levels err together: a season, a price
rise or a model that is a little too calm moves all probabilities at once, and no number of customers averages that out. The
interval has both. How far levels err is read from past Mondays whose windows are closed, as one error in log-odds that all customers of
a Monday share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from math import sqrt
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from churn_pipeline.core.calendar import WEEK, monday_on_or_before

# Of the interval; the VP decides by it, and one week in five outside is what they are told.
COVERAGE = 0.80
# Throws of all customers. The ends of the interval then move by less than a twentieth of a standard deviation from seed to seed.
DRAWS = 1_000
# What is believed of the level before there is a past: a standard error of 0.2 in log-odds, which is about a fifth more or fewer
# departures, worth as much as four windows of past. A simulated company was told $69.5M where $83.1M were true: 0.2 in log-odds.
PRIOR_ERROR = 0.20
PRIOR_WINDOWS = 4
# Older than two years says little about the model that is in force now.
PAST_WEEKS = 104
# Random numbers behind each quantile of the shared error.
_PER_QUANTILE = 64
# Throws held at once: of 8 bytes, with two more arrays of that size, about 100 MB however many customers there are.
_CELLS = 4_000_000
# Money lands as whole cents, so that sums do not depend on their order.
_CENTS = 100

type Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Level:
    """How far the level of one past Monday was off.

    Attributes:
        snapshot_date: the Monday.
        error: log-odds that all customers lacked; above 0, more revenue left than was said.
        noise: variance that ``error`` has because customers leave one by one, if every probability is right.
    """

    snapshot_date: date
    error: float
    noise: float


@dataclass(frozen=True)
class LevelError:
    """How far the level of a Monday is expected to be off: ``scale`` times Student's t.

    Attributes:
        scale: in log-odds.
        degrees: of freedom: windows of the past, those of the prior among them.
        windows: of the past alone, that do not overlap.
    """

    scale: float
    degrees: float
    windows: int


@dataclass(frozen=True)
class Leaving:
    """Annual revenue of a group of customers, and how much of it is expected to leave, in USD.

    Attributes:
        customers: in the group.
        revenue: of all of them.
        expected: to leave, the sum of probability times revenue.
        low: lower end of the interval of ``COVERAGE``.
        high: its upper end.
    """

    customers: int
    revenue: float
    expected: float
    low: float
    high: float


@dataclass(frozen=True)
class Retention:
    """Revenue of a group of paying customers of a former Monday, and what has become of it.

    Attributes:
        customers: paying ones who were there then, without those who have left the book since.
        base_revenue: annual revenue of those in USD, as it was then.
        gross: share of it that is still paid, where nobody counts for more than they paid then.
        net: what the same customers pay now, growth and shrinkage counted, over what they paid then.
    """

    customers: int
    base_revenue: float
    gross: float
    net: float


def level_of(snapshot_date: date, probability: Floats, revenue: Floats, label: Floats) -> Level | None:
    """How far the level of a closed Monday was off, by the revenue that left: one Newton step of the shared error in log-odds.

    With r revenue and p probability, the revenue expected to leave rises by sum r p (1 - p) for each unit of a shared error, so the
    error is (left - expected) / sum r p (1 - p), and its variance by single departures sum r^2 p (1 - p) over the square of that.

    Args:
        snapshot_date: the Monday.
        probability: shape (customers,).
        revenue: of the same customers.
        label: 0 or 1, of the same customers.

    Returns:
        None where nobody pays, or nobody could have left.
    """
    chance = probability * (1 - probability)
    slope = float((revenue * chance).sum())
    if slope <= 0:
        return None
    return Level(
        snapshot_date,
        float((revenue * (label - probability)).sum()) / slope,
        float((revenue**2 * chance).sum()) / slope**2,
    )


def level_error(levels: Sequence[Level], horizon_weeks: int) -> LevelError:
    """How far levels err together, from Mondays of the past.

    The mean of error^2 - noise is the variance of the shared error (the moment estimator of a random effect: DerSimonian and Laird,
    1986, about a mean of 0, so that a model that always says too little widens the interval as well). It is averaged with the prior,
    each by the number of windows behind it; windows that overlap are about the same customers and count once. What a mean of so
    few squares leaves open is Student's t.

    Args:
        levels: of Mondays whose windows are closed.
        horizon_weeks: Mondays closer than that share a part of their window.
    """
    windows = 0
    newest: date | None = None
    for day in sorted(level.snapshot_date for level in levels):
        if newest is None or day - newest >= horizon_weeks * WEEK:
            windows, newest = windows + 1, day
    measured = max(0.0, float(np.mean([level.error**2 - level.noise for level in levels]))) if levels else 0.0
    degrees = PRIOR_WINDOWS + windows
    return LevelError(sqrt((PRIOR_WINDOWS * PRIOR_ERROR**2 + windows * measured) / degrees), degrees, windows)


def leaving(
    probability: Floats,
    revenue: Floats,
    groups: Mapping[Any, NDArray[np.intp]],
    error: LevelError,
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[Any, Leaving]:
    """Revenue that is expected to leave, by group, each with an interval of ``COVERAGE``.

    In each draw one shared error moves all probabilities, then every customer stays or leaves. All groups are read from the same draws.

    Args:
        probability: of leaving, shape (customers,).
        revenue: a year, of the same customers.
        groups: positions of customers by group.
        error: of the level.
        draws: how many.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    cents = np.rint(revenue * _CENTS)
    # Quantiles of the distribution, so that the shared part adds no noise of its own; in random order, because rows are draws.
    errors = np.sort(rng.standard_t(error.degrees, draws * _PER_QUANTILE))[_PER_QUANTILE // 2 :: _PER_QUANTILE]
    shared = np.exp(error.scale * rng.permutation(errors))
    p = np.clip(probability, 1e-12, 1 - 1e-12)
    odds = (p / (1 - p))[:, np.newaxis]
    totals = np.empty((len(groups), draws))
    # Whole cents of every group: their sums are exact in whatever order they are added.
    weights = np.zeros((len(groups), len(cents)))
    for row, members in enumerate(groups.values()):
        weights[row, members] = cents[members]
    step = max(1, _CELLS // max(1, len(cents)))
    for start in range(0, draws, step):
        moved = odds * shared[start : start + step]
        luck = rng.random(moved.shape, dtype=np.float32)
        np.divide(moved, 1 + moved, out=moved)
        np.less(luck, moved, out=moved, casting="unsafe")
        totals[:, start : start + step] = weights @ moved
    tail = (1 - COVERAGE) / 2
    low, high = np.quantile(totals, [tail, 1 - tail], axis=1) / _CENTS
    return {
        name: Leaving(
            customers=len(members),
            revenue=float(cents[members].sum()) / _CENTS,
            expected=float((cents[members] * probability[members]).sum()) / _CENTS,
            low=float(low[row]),
            high=float(high[row]),
        )
        for row, (name, members) in enumerate(groups.items())
    }


def retention(then: Floats, now: Floats) -> Retention | None:
    """Gross and net retention of revenue.

    Args:
        then: annual revenue of customers on a former Monday, without those who left the book since; who paid nothing is no part of it.
        now: what the same customers pay now, 0 where they have churned.

    Returns:
        None where nobody paid.
    """
    paying = then > 0
    base = float(then[paying].sum())
    if base <= 0:
        return None
    return Retention(
        customers=int(paying.sum()),
        base_revenue=base,
        gross=float(np.minimum(now, then)[paying].sum()) / base,
        net=float(now[paying].sum()) / base,
    )


def renewals(monday: date, frame: pd.DataFrame, days: int = 90) -> list[dict[str, Any]]:
    """The renewals of the next days by week: one row a week from that of the Monday on, also where nothing is due in it.

    Args:
        monday: S.
        frame: one row per customer: days_to_renewal (null without a contract), revenue, revenue_at_risk, is_on_call_list (null on a
            Monday without a list).
        days: how far ahead.

    Returns:
        renewal_week (its Monday), customers, revenue, revenue_at_risk, on_call_list (None without a list); nothing where no contract is
        known.
    """
    known = frame[frame["days_to_renewal"].notna()]
    if known.empty:
        return []
    ahead = known["days_to_renewal"].astype(int)
    due = known[(ahead >= 0) & (ahead < days)]
    week = due["days_to_renewal"].astype(int) // 7
    has_list = frame["is_on_call_list"].notna().any()
    rows = []
    for number in range((days - 1) // 7 + 1):
        part = due[week == number]
        rows.append(
            {
                "renewal_week": monday_on_or_before(monday + timedelta(days=7 * number)),
                "customers": len(part),
                "revenue": float(part["revenue"].fillna(0).sum()),
                "revenue_at_risk": float(part["revenue_at_risk"].fillna(0).sum()),
                "on_call_list": int(part["is_on_call_list"].fillna(False).astype(bool).sum()) if has_list else None,
            }
        )
    return rows


def coverage_sentence(covered: int, past: int) -> str:
    """How often the truth lay inside the interval, in words."""
    if not past:
        return f"No past Monday shows yet whether the truth lies in the {COVERAGE:.0%} interval; it takes a window that is closed."
    return (
        f"On {past:,} past {'Monday' if past == 1 else 'Mondays'} the truth lay in the {COVERAGE:.0%} interval {covered:,} "
        f"{'time' if covered == 1 else 'times'}, {covered / past:.0%}."
    )
