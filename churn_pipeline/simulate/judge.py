r"""What a call list is worth: the revenue that its calls are expected to save, by the oracle of a simulated company.

A call in the week of ``S`` is worth the customer's annual revenue times what it takes off the true probability of
leaving within 90 days, against no call at all. A list is worth the sum over its customers, whatever else is known of
them; the best possible list of the same length has the customers whose calls are worth most. Nobody could draw it up,
because persuadability is hidden.

As a program it judges published Mondays and prints a table in Markdown::

    python -m churn_pipeline.simulate.judge --oracle data/oracle.parquet data/published/predictions/*.parquet
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from churn_pipeline.core.errors import ChurnError, InputError
from churn_pipeline.core.formatting import markdown_table, usd
from churn_pipeline.simulate.population import Bools, Floats, Ints

# What five managers make in a week, and the unit of every figure here.
CALLS_A_WEEK = 200


@dataclass(frozen=True)
class Book:
    """The paying customers of one Monday, as they were published, beside the truth; one entry per customer.

    Attributes:
        monday: the Monday.
        annual_revenue: USD.
        probability: of churn within 90 days, as published.
        priority: the order of the published ranking, 1 first.
        on_list: who is on the published call list; None where that Monday has none.
        call_value: USD that a call was published to be worth, -inf where nothing was; None where that Monday has none.
        true_risk: USD a year times the true probability of churn within 90 days, as the team usually calls.
        worth: USD that a call is expected to save.
    """

    monday: date
    annual_revenue: Floats
    probability: Floats
    priority: Ints
    on_list: Bools | None
    call_value: Floats | None
    true_risk: Floats
    worth: Floats


@dataclass(frozen=True)
class Verdict:
    """What equally long lists of one Monday are expected to save, in USD.

    Attributes:
        monday: the Monday.
        calls: how many customers each list has.
        has_list: whether ``published`` is a call list, and not the first of the ranking.
        best: the best possible list.
        true_revenue_at_risk: the first by revenue at risk, were every probability known: as far as a ranking by it can go.
        published: the published one; where there is none, the first of the ranking.
        revenue_at_risk: the first by priority_rank.
        call_value: the first by call_value; None where it was not published.
        revenue_alone: the largest.
        probability_alone: the most likely to leave.
        chance: the mean of all lists that could be drawn by lot.
    """

    monday: date
    calls: int
    has_list: bool
    best: float
    true_revenue_at_risk: float
    published: float
    revenue_at_risk: float
    call_value: float | None
    revenue_alone: float
    probability_alone: float
    chance: float


def worth_of_calls(annual_revenue: Floats, without_calls: Floats, with_one_call: Floats) -> Floats:
    """Revenue in USD that one call in the week of S is expected to save, by customer.

    Args:
        annual_revenue: USD.
        without_calls: true probability of churn within 90 days if nobody calls.
        with_one_call: the same with one call in the week of S and none later.
    """
    return annual_revenue * (without_calls - with_one_call)


def saved(worth: Floats, called: Ints | Bools) -> float:
    """Revenue in USD that a list is expected to save.

    Args:
        worth: of a call, by customer.
        called: places or a mask of those on the list.
    """
    return float(worth[called].sum())


def verdict(book: Book, calls: int) -> Verdict:
    """Judges the published list of a Monday against others of the same length.

    Args:
        book: the Monday.
        calls: length of the lists where there is no published one.

    Raises:
        InputError: nobody is on the list, or nobody pays.
    """
    if not len(book.worth):
        raise InputError(f"{book.monday}: no customer pays anything, so no call can save revenue")
    ranked = np.argsort(book.priority, kind="stable")
    called: Ints = ranked[:calls] if book.on_list is None else np.flatnonzero(book.on_list)
    count = len(called)
    if not count:
        raise InputError(f"{book.monday}: nobody is on the call list, so there is nothing to judge")

    def first(largest: Floats) -> float:
        return saved(book.worth, np.argsort(-largest, kind="stable")[:count])

    return Verdict(
        monday=book.monday,
        calls=count,
        has_list=book.on_list is not None,
        best=first(book.worth),
        true_revenue_at_risk=first(book.true_risk),
        published=saved(book.worth, called),
        revenue_at_risk=saved(book.worth, ranked[:count]),
        call_value=None if book.call_value is None else first(book.call_value),
        revenue_alone=first(book.annual_revenue),
        probability_alone=first(book.probability),
        chance=count * float(book.worth.mean()),
    )


def read_books(predictions: Sequence[Path], oracle: Path) -> Iterator[Book]:
    """The Mondays that were published and that the oracle knows, in order.

    Args:
        predictions: published predictions, one file a Monday or more.
        oracle: of the company, as ``churn simulate`` writes it.

    Raises:
        InputError: a file is not there or is not what it should be, or no customer is in both.
    """
    for path in (*predictions, oracle):
        if not path.is_file():
            raise InputError(f"{path} is no file")
    try:
        rows = _rows(predictions, oracle)
    except duckdb.Error as error:
        raise InputError(f"predictions or oracle cannot be read: {str(error).splitlines()[0]}") from error
    mondays = np.unique(rows["snapshot_date"])
    if not len(mondays):
        raise InputError(f"no paying customer is in the predictions and in {oracle} on the same Monday")
    for monday in mondays:
        part = {name: column[rows["snapshot_date"] == monday] for name, column in rows.items()}
        yield Book(
            monday=monday.astype("datetime64[D]").item(),
            annual_revenue=part["annual_revenue"],
            probability=part["probability"],
            priority=part["priority_rank"],
            on_list=part["on_list"].astype(np.bool_) if part["has_list"][0] else None,
            call_value=part["call_value"] if part["has_call_value"][0] else None,
            true_risk=part["annual_revenue"] * part["as_usual"],
            worth=worth_of_calls(part["annual_revenue"], part["without_calls"], part["with_one_call"]),
        )


def _rows(predictions: Sequence[Path], oracle: Path) -> dict[str, NDArray[Any]]:
    """Paying customers of all Mondays, ordered by Monday and customer, as columns."""
    with duckdb.connect() as con:
        # Files of an older version have fewer columns; the Monday stands in the file, whatever its folder is called.
        published = con.from_parquet([str(path) for path in predictions], union_by_name=True, hive_partitioning=False)
        truth = con.from_parquet(str(oracle))
        if not {"p_churn_90d_without_calls", "p_churn_90d_with_one_call"} <= {*truth.columns}:
            raise InputError(f"{oracle} does not say what a call does; write it again with churn simulate")
        listed, valued = (
            name if name in published.columns else f"null::{kind}"
            for name, kind in (("is_on_call_list", "boolean"), ("call_value", "double"))
        )
        # Ties go by customer_id: the order of the rows. Revenue that nobody knows can be no reason for a call.
        rows = con.execute(
            f"""select snapshot_date, annual_revenue, churn_probability_90d as probability, priority_rank,
                    coalesce({listed}, false) as on_list,
                    bool_or({listed} is not null) over (partition by snapshot_date) as has_list,
                    coalesce({valued}, '-infinity'::double) as call_value,
                    bool_or({valued} is not null) over (partition by snapshot_date) as has_call_value,
                    p_churn_90d as as_usual, p_churn_90d_without_calls as without_calls, p_churn_90d_with_one_call as with_one_call
                from published inner join truth using (snapshot_date, customer_id)
                where annual_revenue > 0 order by snapshot_date, customer_id"""
        ).fetchnumpy()
    return {name: np.asarray(column) for name, column in rows.items()}


def table(verdicts: Sequence[Verdict]) -> str:
    """The verdicts in Markdown: revenue saved per 200 calls, and beside it the share of what the best list saves."""
    columns: tuple[tuple[str, Callable[[Verdict], float | None]], ...] = (
        ("true revenue at risk", lambda verdict: verdict.true_revenue_at_risk),
        ("published list", lambda verdict: verdict.published),
        ("revenue at risk", lambda verdict: verdict.revenue_at_risk),
        ("call value", lambda verdict: verdict.call_value),
        ("revenue alone", lambda verdict: verdict.revenue_alone),
        ("probability alone", lambda verdict: verdict.probability_alone),
        ("chance", lambda verdict: verdict.chance),
    )

    def row(verdict: Verdict) -> Iterator[object]:
        unit = CALLS_A_WEEK / verdict.calls
        yield verdict.monday
        yield f"{verdict.calls:,}" if verdict.has_list else f"{verdict.calls:,} by priority_rank"
        yield usd(verdict.best * unit)
        for _, value in columns:
            amount = value(verdict)
            # Where no call saves anything, no list has a share of it.
            share = f" ({amount / verdict.best:.0%})" if amount is not None and verdict.best else ""
            yield None if amount is None else usd(amount * unit) + share

    heads = ["Monday", "calls", "best possible list", *(name for name, _ in columns)]
    return markdown_table(heads, [tuple(row(verdict)) for verdict in verdicts])


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints what published lists are worth; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m churn_pipeline.simulate.judge",
        description="Revenue that published call lists of a simulated company are expected to save, per 200 calls.",
    )
    parser.add_argument("predictions", nargs="+", type=Path, help="published predictions, one Parquet file a Monday")
    parser.add_argument("--oracle", required=True, type=Path, help="oracle.parquet of the same company")
    parser.add_argument(
        "--calls", type=int, default=CALLS_A_WEEK, help="length of the lists where a Monday has none (200)"
    )
    given = parser.parse_args(arguments)
    if given.calls < 1:
        parser.error("--calls is at least 1")
    try:
        verdicts = [verdict(book, given.calls) for book in read_books(given.predictions, given.oracle)]
    except ChurnError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    sys.stdout.write(f"{table(verdicts)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
