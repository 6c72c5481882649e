"""The guard against columns that are written over when a customer leaves.

Of industry, seats, owner, plan tier and price many systems keep no history: an export shows today's value, and with it every past snapshot.
Where somebody who leaves loses the value, or gets a 0, the free plan or a word such as "former customer", a model that sees the column has
read the answer. It then ranks last year nearly perfectly, and gives everybody who is still a customer a probability of nearly nothing.

What is judged are the customers as they are landed, each once: those who had left by the training Monday against those who had not. Usage
differs because people leave, and is signal; it is not looked at here. Two questions are asked of every column:

- *Is a value that says nothing more common among those who left?* Empty, 0 and the free plan. Compared are customers who signed up in the same
  quarter, because a field that was introduced last year is empty for everybody from before, and more of those have left.
- *Is a value found only where somebody left?* Any word, and any value at all. An honest industry may be left three times as often as others;
  of those who were customers some weeks ago some are still there. Nobody is where the word is written at the end.

Where the history of a column is recorded, an honest difference is signal: a free plan may be left more often. Only the second question is asked
then, and only of customers for whom the history has no row, since for the others snapshots do not show today's value.

What this misses shows in the mean probability of the Monday (`churn_pipeline.scoring.level`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from churn_pipeline.contract.declaration import TIERS
from churn_pipeline.core.calendar import WEEK
from churn_pipeline.core.formatting import clean
from churn_pipeline.features import frames
from churn_pipeline.features.catalogue import Catalogue, History, Static

if TYPE_CHECKING:
    import duckdb

# What "markedly" means: both must hold.
# Five points: pilots and credit notes put an honest 0 on a few percent of paid customers, and a difference below five points
# moves an AUC by less than 0.025 even if it is all leak. Lower, and ordinary pilots cost the model its revenue; higher, and a
# system that zeroes a tenth of its departures goes unseen.
MIN_DIFFERENCE = 0.05
# One chance in a thousand per training, divided by the number of looks: some fifty trainings a year over three targets must not raise it by
# chance.
MAX_P_VALUE = 0.001
# How many times the usual rate an honest value may be left at. Industries and plans differ by two or three; a word that is written at the
# end is left by everybody. Lower, and the worst industry of a company costs the model all comparisons with peers; higher, and a word
# that some customers have all along goes unseen.
HONEST_RATIO = 5.0
# Departures with a word before it is looked at: with fewer no word could pass MAX_P_VALUE, and free text has thousands.
MIN_DEPARTURES = 8
# How far back the second question may look, in weeks. See `_Since`.
_WEEKS_BACK = tuple(range(4, 53, 4))

FREE = TIERS[0]
_NUMBERS: tuple[Static, ...] = ("seats", "mrr")
_HISTORY_OF: Mapping[Static, History] = {"plan_tier": "tier_history", "mrr": "mrr_history"}
# Both come from the record of billing: who empties one at the end seldom leaves the other as it was.
_TOGETHER: tuple[Static, ...] = ("mrr", "plan_tier")
# Names of people are not told.
_UNTOLD: tuple[Static, ...] = ("csm_owner",)

type Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Leak:
    """A column that tells who has left.

    Attributes:
        column: of customers.
        sentence: what was found, without a full stop.
    """

    column: Static
    sentence: str


def columns_that_leak(con: duckdb.DuckDBPyConnection, training_monday: date) -> tuple[Leak, ...]:
    """The columns that no model of a training Monday may learn from, judged from what was landed, as known at that Monday.

    Args:
        con: the warehouse, after landing.
        training_monday: who leaves from then on counts as a customer.
    """
    # What a user trusts is no history: the guard looks at it above all.
    recorded = frames.histories(con, training_monday, trust_static_plan=False)
    found = leaks(customers_at(con, training_monday), recorded, training_monday)
    return tuple(Leak(column, sentence) for column, sentence in found.items())


def without_leaks(
    catalogue: Catalogue, leaks: Collection[Leak], histories: Collection[History]
) -> tuple[Catalogue, tuple[str, ...]]:
    """The catalogue without the features that are made of columns that leak, and a sentence for each finding that costs one.

    Args:
        catalogue: of a mart.
        leaks: `columns_that_leak`.
        histories: known or trusted; what would not be trained on anyway is not told of.
    """
    trained = catalogue.trained(histories)
    by_sentence: dict[str, list[str]] = {}
    for leak in leaks:
        if names := [feature.name for feature in trained if feature.made_of == leak.column]:
            by_sentence.setdefault(leak.sentence, []).extend(names)
    notices = tuple(f"{sentence}, so not trained on {', '.join(names)}" for sentence, names in by_sentence.items())
    return catalogue.without([name for names in by_sentence.values() for name in names]), notices


def customers_at(con: duckdb.DuckDBPyConnection, training_monday: date) -> pd.DataFrame:
    """One row for each customer who was there before a Monday, with what snapshots show of them where no history says otherwise.

    Whoever left the book without churning is not in it: that is no departure that a model could read.

    Args:
        con: the warehouse, after landing.
        training_monday: the Monday. Plans and prices are as they were then, as far as changes since are known.

    Returns:
        ``signup`` and ``ended`` (null for a customer), the columns of ``Static``, and for plan and price whether a dated row before the
        Monday says it (``plan_tier_dated``, ``mrr_dated``).
    """
    return con.execute(
        """
        with spans as (
            from landing.lives where active_from < $training_monday
            qualify row_number() over (partition by customer_id order by active_from desc) = 1
        ),

        plans as (
            select
                customer_id,
                coalesce(bool_or(known_date < $training_monday and coalesce(to_tier, from_tier) is not null), false) as plan_tier_dated,
                -- A subscription that begins with 0 may have been written over when it ended.
                coalesce(bool_or(
                    known_date < $training_monday and coalesce(to_mrr_cents, from_mrr_cents) is not null
                    and not (is_first and coalesce(to_mrr_cents, 0) = 0)
                ), false) as mrr_dated,
                arg_min(from_tier, effective_date) filter (known_date >= $training_monday) as next_from_tier,
                arg_min(from_mrr_cents, effective_date) filter (known_date >= $training_monday) as next_from_mrr_cents,
                arg_max(to_mrr_cents, effective_date) filter (known_date < $training_monday) as last_mrr_cents
            from landing.plan_history
            group by customer_id
        )

        select
            coalesce(spans.started_on, spans.active_from) as signup,
            case when spans.active_until < $training_monday then spans.active_until end as ended,
            spans.industry,
            customers.seats,
            customers.csm_owner,
            coalesce(plans.next_from_tier, spans.plan_tier) as plan_tier,
            coalesce(plans.next_from_mrr_cents, spans.mrr_cents, plans.last_mrr_cents) / 100 as mrr,
            coalesce(plans.plan_tier_dated, false) as plan_tier_dated,
            coalesce(plans.mrr_dated, false) as mrr_dated
        from spans
        left join landing.customers using (customer_id)
        left join plans using (customer_id)
        where coalesce(spans.active_until >= $training_monday, true) or spans.end_kind = 'churn'
        order by customer_id
        """,
        {"training_monday": training_monday},
    ).df()


def leaks(customers: pd.DataFrame, recorded: Collection[History], training_monday: date) -> dict[Static, str]:
    """The columns whose values tell who has left, with what was found.

    The same for all targets: whoever has left does not grow either.

    Args:
        customers: as `customers_at` gives them.
        recorded: of which columns past values are truly known. What a user trusts is not among them.
        training_monday: for which they stand.
    """
    signup, ended = (pd.to_datetime(customers[name]) for name in ("signup", "ended"))
    departed = ended.notna().to_numpy()
    if not departed.any() or departed.all():
        return {}
    quarter = pd.factorize(signup.dt.year * 4 + signup.dt.quarter)[0]
    since = _Since.most_telling(signup, ended, training_monday)
    looks: list[tuple[Static, str, bool, Mask]] = [
        (column, what, alone, marked)
        for column in get_args(Static)
        if column in customers
        for what, alone, marked in _looks(customers, column, _HISTORY_OF.get(column) in recorded, since)
    ]
    highest_p = MAX_P_VALUE / max(1, len(looks))
    found: dict[Static, str] = {}
    for column, what, alone, marked in looks:
        if column in found:
            continue
        finding = (
            since.only_where_somebody_left(marked, highest_p)
            if alone
            else _more_common(marked, departed, quarter, highest_p)
        )
        if finding is not None:
            found[column] = f"{column} {what} {finding}"
    for column in _TOGETHER:
        if column in found:
            found |= {other: found[column] for other in _TOGETHER if other not in found}
            break
    return found


def _looks(
    customers: pd.DataFrame, column: Static, is_recorded: bool, since: _Since
) -> Iterator[tuple[str, bool, Mask]]:
    """What is looked at in one column: in words, whether only the second question is asked of it, and who has it."""
    value = customers[column]
    known = value.notna().to_numpy()
    shown = ~customers[f"{column}_dated"].to_numpy(dtype=bool) if is_recorded else np.ones(len(value), dtype=bool)
    yield "is empty", is_recorded, ~known & shown
    yield "has a value", True, known & shown
    if column in _NUMBERS:
        zero = (pd.to_numeric(value).fillna(1) <= 0).to_numpy()
        yield "is 0", is_recorded, zero & shown
        yield "is not 0", True, known & ~zero & shown
        return
    words = value.astype(object).where(known, None)
    if column == "plan_tier" and not is_recorded:
        yield f"is {FREE}", False, (words == FREE).to_numpy()
    # The commonest first, so that the sentence names what most of them have.
    for word, departures in words[since.left & shown].value_counts().items():
        if departures < MIN_DEPARTURES:
            break
        yield (
            "is one word" if column in _UNTOLD else f"is '{clean(str(word), 40)}'",
            True,
            (words == word).to_numpy() & shown,
        )


@dataclass(frozen=True)
class _Since:
    """Who was a customer in the weeks before the training Monday, and who of them has left.

    Over years even an honest word of a bad industry is left by everybody; over a few weeks nobody is left for any question. How far back
    tells most is a matter of how fast the book turns over: where the departures, all of one word, would be the least likely of an honest one.

    Attributes:
        weeks: how far back.
        left: were customers then, and have left.
        stayed: were customers then, and still are.
        honest: for each customer, how likely they would still be there if they left ``HONEST_RATIO`` times as fast as the whole book.
    """

    weeks: int
    left: Mask
    stayed: Mask
    honest: NDArray[np.float64]

    @classmethod
    def most_telling(cls, signup: pd.Series, ended: pd.Series, training_monday: date) -> _Since:
        def since(weeks: int) -> _Since:
            begin, end = (pd.Timestamp(day) for day in (training_monday - weeks * WEEK, training_monday))
            there = (ended.isna() | (ended >= begin)).to_numpy()
            joined = signup.where(signup > begin, begin)
            days_there = int(((ended.fillna(end) - joined).dt.days.to_numpy() + 1)[there].sum())
            rate = (there & ended.notna().to_numpy()).sum() / max(1, days_there)
            honest = np.exp(-HONEST_RATIO * rate * (end - joined).dt.days.to_numpy())
            return cls(weeks, there & ended.notna().to_numpy(), there & ended.isna().to_numpy(), honest)

        return max(map(since, _WEEKS_BACK), key=lambda choice: choice._weight)

    @property
    def _weight(self) -> float:
        return -float(np.log1p(-np.minimum(self.honest[self.left], 1 - 1e-9)).sum())

    def only_where_somebody_left(self, marked: Mask, highest_p: float) -> str | None:
        """The finding, where fewer of those who have the mark stayed than could be honest; None else."""
        left, stayed = int((marked & self.left).sum()), int((marked & self.stayed).sum())
        all_left, all_stayed = int(self.left.sum()), int(self.stayed.sum())
        if left < MIN_DEPARTURES or not all_stayed:
            return None
        share_left, share_stayed = left / all_left, stayed / all_stayed
        if share_left - share_stayed < MIN_DIFFERENCE:
            return None
        honest = float(self.honest[marked & (self.left | self.stayed)].mean())
        if stayed / (left + stayed) >= honest or _chance(stayed, left + stayed, honest) > highest_p:
            return None
        return (
            f"for {share_left:.1%} of {all_left:,} customers who left within {self.weeks} weeks and {share_stayed:.1%} of {all_stayed:,} who "
            "did not: it looks written when a customer leaves"
        )


def _more_common(marked: Mask, departed: Mask, quarter: NDArray[np.intp], highest_p: float) -> str | None:
    """The finding, where those who left have the mark markedly more often than those who signed up with them and stayed; None else.

    Mantel and Haenszel's difference of shares over quarters of signup (1959), with an exact bound on its chance.
    """
    size = int(quarter.max()) + 1
    n = np.bincount(quarter, minlength=size).astype(np.float64)
    n_left = np.bincount(quarter, weights=departed, minlength=size)
    n_marked = np.bincount(quarter, weights=marked, minlength=size)
    n_both = np.bincount(quarter, weights=marked & departed, minlength=size)
    # A quarter in which all left, or nobody, compares nobody with anybody.
    telling = (n_left > 0) & (n_left < n)
    if not telling.any():
        return None
    n, n_left, n_marked, n_both = n[telling], n_left[telling], n_marked[telling], n_both[telling]
    observed, expected = float(n_both.sum()), float((n_left * n_marked / n).sum())
    difference = (observed - expected) / float((n_left * (n - n_left) / n).sum())
    if difference < MIN_DIFFERENCE:
        return None
    # A sum of hypergeometric counts is one of independent draws, so the bound holds of both ways to count them.
    chance = min(
        _chance(observed, trials, expected / trials) for trials in (float(n_left.sum()), float(n_marked.sum()))
    )
    if chance > highest_p:
        return None
    share_left, share_stayed = float(marked[departed].mean()), float(marked[~departed].mean())
    return (
        f"for {share_left:.1%} of {int(departed.sum()):,} customers who left and {share_stayed:.1%} of {int((~departed).sum()):,} who did "
        "not: without a history that looks written over when a customer leaves"
    )


def _chance(count: float, trials: float, share: float) -> float:
    """At most how likely it is to count so far from what a share of the trials would give (Chernoff and Hoeffding's bound).

    It holds for any number of trials, where a normal approximation calls three of five significant.
    """
    observed = count / trials
    terms: Sequence[tuple[float, float]] = ((observed, share), (1 - observed, 1 - share))
    if any(part > 0 and expected <= 0 for part, expected in terms):
        return 0.0
    return float(np.exp(-trials * sum(part * np.log(part / expected) for part, expected in terms if part > 0)))
