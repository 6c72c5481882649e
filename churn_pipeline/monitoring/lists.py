"""What a call list of one Monday held of those who left afterwards, beside other lists of the same length.

Judged is the list that was worked: whoever had `is_on_call_list`, in the order of `call_rank`. A Monday from before there was a list is
judged by the first so many of `priority_rank`, and says so.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import date
from typing import Any, Literal

import duckdb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from churn_pipeline.modeling.evaluate import Estimate, Resamples, estimate

type Floats = NDArray[np.float64]
type Ranking = Literal["list", "best", "mrr", "probability", "chance"]
type Basis = Literal["call_list", "priority_rank"]

# The list; the customers who paid most of those who left, which only hindsight has; who pays most; who is likeliest to leave; anybody.
RANKINGS: tuple[Ranking, ...] = ("list", "best", "mrr", "probability", "chance")
BASIS_NOTE: dict[Basis, str] = {
    "call_list": "the list is who was on the call list",
    "priority_rank": "there was no call list yet: the list is the first by priority_rank",
}
_UNKNOWN = Estimate(float("nan"), float("nan"), float("nan"))
# Columns that rows of older Mondays lack, and tables that no run has written since.
_LATER = {
    "is_on_call_list": "boolean",
    "call_rank": "bigint",
    "is_in_holdout_draw": "boolean",
    "days_to_renewal": "bigint",
}


@dataclass(frozen=True)
class WorkedList:
    """The list of a Monday as an order of its customers.

    Attributes:
        score: the higher, the sooner; whoever is not on the list comes after it, by priority_rank. Shape (customers,).
        calls: how long the list is.
        basis: what it was taken from.
    """

    score: Floats
    calls: int
    basis: Basis


@dataclass(frozen=True)
class ListWorth:
    """What one ranking held, with 95 % intervals that resample customers and rank anew.

    Attributes:
        predicted_on: the Monday of the list.
        ranking: who calls.
        basis: what the list was taken from; of the other rankings, what gave them their length.
        calls: its length.
        customers: of the called, those who left within 90 days; fractional where a tie had to be cut, and for chance.
        revenue: their annual revenue in USD.
        revenue_share: of all annual revenue that left.
        all_customers: everybody who left.
        all_revenue: their annual revenue; None, as are all figures of revenue, where it is today's and not that of the Monday.
    """

    predicted_on: date
    ranking: Ranking
    basis: Basis
    calls: int
    customers: Estimate
    revenue: Estimate
    revenue_share: Estimate
    all_customers: int
    all_revenue: float | None


@dataclass(frozen=True)
class MoneyCalibration:
    """Whether the probabilities meant what they said where the money is.

    Attributes:
        predicted_on: the Monday of the probabilities.
        target: what they are of.
        customers: judged.
        expected_customers: the sum of the probabilities.
        left_customers: who left.
        expected_revenue: the sum of probability times annual revenue, in USD.
        left_revenue: annual revenue of those who left.
        ratio: left over expected revenue; 1 is right, above it more left than was said. 95 % interval that resamples customers.
    """

    predicted_on: date
    target: str
    customers: int
    expected_customers: float
    left_customers: int
    expected_revenue: float
    left_revenue: float
    ratio: Estimate


def to_row(figures: ListWorth | MoneyCalibration) -> dict[str, Any]:
    """One row, as a table wants it: an estimate takes three columns, and what is not defined is None."""
    row: dict[str, Any] = {}
    for entry in fields(figures):
        value = getattr(figures, entry.name)
        if isinstance(value, Estimate):
            row |= {entry.name: value.value, f"{entry.name}_low": value.low, f"{entry.name}_high": value.high}
        else:
            row[entry.name] = value
    return {name: None if value != value else value for name, value in row.items()}


def predictions(con: duckdb.DuckDBPyConnection) -> str:
    """``policy.predictions`` as SQL, with nulls for the columns that a home lacks which no run has written since they are there."""
    there = {name for (name, *_) in con.execute("describe policy.predictions").fetchall()}
    absent = [f"null::{kind} as {name}" for name, kind in _LATER.items() if name not in there]
    return f"(select {', '.join(['*', *absent])} from policy.predictions)"


def worked_list(frame: pd.DataFrame, capacity: int) -> WorkedList:
    """The list of a Monday.

    Args:
        frame: one row per customer: is_on_call_list and call_rank (null on a Monday without a list), priority_rank.
        capacity: how long the list of a Monday from before there was one is.
    """
    by_priority = frame["priority_rank"].to_numpy(dtype=np.float64)
    if frame["is_on_call_list"].isna().all():
        return WorkedList(-by_priority, min(len(frame), capacity), "priority_rank")
    on_list = frame["is_on_call_list"].fillna(False).to_numpy(dtype=bool)
    by_call = frame["call_rank"].to_numpy(dtype=np.float64, na_value=np.nan)
    return WorkedList(-np.where(on_list, by_call, len(frame) + by_priority), int(on_list.sum()), "call_list")


def list_worth(
    predicted_on: date, frame: pd.DataFrame, capacity: int, resamples: Resamples, *, is_priced: bool = True
) -> list[ListWorth]:
    """What the list of a Monday held, and what others of the same length would have.

    Args:
        predicted_on: the Monday.
        frame: one row per customer: is_on_call_list, call_rank, priority_rank, probability, label (0 or 1), revenue (a year; null where
            it is not known, which counts as 0).
        capacity: the length of the list of a Monday from before there was one.
        resamples: over the same rows.
        is_priced: whether the revenue is what customers paid on that Monday. Otherwise lists are judged by customers alone, and none is
            ranked by revenue.

    Returns:
        One for each of `RANKINGS`; nothing where the list is empty.
    """
    worked = worked_list(frame, capacity)
    if not worked.calls:
        return []
    label = frame["label"].to_numpy(dtype=np.float64)
    revenue = frame["revenue"].fillna(0).to_numpy(dtype=np.float64) if is_priced else np.zeros(len(frame))
    values = np.stack([label, label * revenue], axis=1)
    scores: dict[Ranking, Floats] = {
        "list": worked.score,
        "probability": frame["probability"].to_numpy(dtype=np.float64),
    }
    if is_priced:
        scores["mrr"] = revenue
    sums = resamples.sums({"rows": np.ones(len(frame)), "customers": label, "revenue": label * revenue})
    share = np.minimum(1.0, worked.calls / np.maximum(sums["rows"], 1))
    figures = {ranking: held(score, values, worked.calls, resamples) for ranking, score in scores.items()}
    figures["best"] = best(label, revenue, worked.calls, resamples)
    figures["chance"] = (share * sums["customers"], share * sums["revenue"])
    return [
        ListWorth(
            predicted_on=predicted_on,
            ranking=ranking,
            basis=worked.basis,
            calls=worked.calls,
            customers=estimate(figures[ranking][0]),
            revenue=estimate(figures[ranking][1]) if is_priced else _UNKNOWN,
            revenue_share=estimate(ratio(figures[ranking][1], sums["revenue"])),
            all_customers=int(label.sum()),
            all_revenue=float((label * revenue).sum()) if is_priced else None,
        )
        for ranking in RANKINGS
        if ranking in figures
    ]


def money_calibration(predicted_on: date, target: str, frame: pd.DataFrame, resamples: Resamples) -> MoneyCalibration:
    """Revenue that was expected to leave beside revenue that left.

    Args:
        predicted_on: the Monday.
        target: what was predicted.
        frame: one row per customer: probability, label (0 or 1), revenue (a year; null where it is not known, which counts as 0).
        resamples: over the same rows.
    """
    label, probability = (frame[name].to_numpy(dtype=np.float64) for name in ("label", "probability"))
    revenue = frame["revenue"].fillna(0).to_numpy(dtype=np.float64)
    sums = resamples.sums({"expected": probability * revenue, "left": label * revenue})
    return MoneyCalibration(
        predicted_on=predicted_on,
        target=target,
        customers=len(frame),
        expected_customers=float(probability.sum()),
        left_customers=int(label.sum()),
        expected_revenue=float((probability * revenue).sum()),
        left_revenue=float((label * revenue).sum()),
        ratio=estimate(ratio(sums["left"], sums["expected"])),
    )


def held(score: Floats, values: Floats, capacity: int, resamples: Resamples) -> tuple[Floats, Floats]:
    """Sums of both columns of ``values`` over the ``capacity`` highest scores, in each resample.

    A resample re-ranks: whoever was drawn twice takes two calls, and the list ends after ``capacity`` of them. A list
    that ends inside a tie calls the tied in equal parts, which is the expectation over a random order.
    """
    if not len(score) or capacity < 1:
        return np.zeros(len(resamples.counts)), np.zeros(len(resamples.counts))
    order = np.argsort(-score, kind="stable")
    falling = -score[order]
    reach = min(2 * capacity, len(order))
    # Every resample draws as many customers as there are, over all Mondays, so twice the capacity nearly always fills
    # the list; where it does not, look further down.
    while True:
        within = order[: np.searchsorted(falling, falling[reach - 1], side="right")]
        reach = min(2 * reach, len(order))
        if len(within) == len(order) or resamples.counts[:, resamples.customer[within]].sum(axis=1).min() >= capacity:
            break
    sorted_scores = falling[: len(within)]
    starts = np.searchsorted(sorted_scores, sorted_scores, side="left")
    ends = np.searchsorted(sorted_scores, sorted_scores, side="right")
    sums = []
    for weights in resamples.weights(within):
        running = np.zeros((len(weights), len(within) + 1))
        np.cumsum(weights, axis=1, out=running[:, 1:])
        above, through = running[:, starts], running[:, ends]
        tied = through - above
        share = np.divide(capacity - above, tied, out=np.zeros_like(tied), where=tied > 0).clip(0.0, 1.0)
        sums.append((weights * share) @ values[within])
    customers, revenue = np.concatenate(sums).T
    return customers, revenue


def best(label: Floats, revenue: Floats, capacity: int, resamples: Resamples) -> tuple[Floats, Floats]:
    """`held` of the list that only hindsight has: of those who left, the ones who paid most."""
    gone = np.flatnonzero(label)
    paid = revenue[gone]
    return held(paid, np.stack([np.ones(len(gone)), paid], axis=1), capacity, resamples.rows(gone))


def ratio(part: Floats, whole: Floats) -> Floats:
    """NaN where there is no whole."""
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
