"""What a hold-out of a given share can show, and when: said before it starts, because afterwards it is an excuse.

Here: numbers of customers in, the smallest effect out, and the sentence about it. Not here: what a hold-out did show
(`monitoring.interventions`), and who is held out (`policy.holdout`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from math import sqrt
from statistics import NormalDist

import duckdb

from churn_pipeline.core.formatting import counted, markdown_table
from churn_pipeline.core.targets import target_of
from churn_pipeline.policy import parameters

# Two-sided 95 %, and the chance to see an effect that is there.
CONFIDENCE = 0.95
POWER = 0.80
QUARTER_WEEKS = 13
# How long a company may want to wait: two years are eight quarters.
QUARTERS = (1, 2, 4, 8)
# Of the customers of a Monday, how many were on no earlier Monday of its quarter. Between 0.1 and 0.2 on simulated companies whose
# called do not rest; where they do it is more, and then a share shows more. It is measured where there are Mondays to measure it on.
TURNOVER = 0.10
_SEARCH_STEPS = 60


@dataclass(frozen=True)
class Power:
    """What a hold-out shows once so many quarters are over and their customers' windows closed.

    Attributes:
        quarters: pooled.
        held_out: customers who were held out in them, each once a quarter.
        others: customers who could have been and were not.
        reduction: the smallest share of departures that calls must prevent so that the interval of the lift lies above 0 in 80 of 100
            such hold-outs; None where not even preventing all of them would do.
        weeks_until_known: from the first Monday of the hold-out, until the last of those windows has closed.
    """

    quarters: int
    held_out: float
    others: float
    reduction: float | None
    weeks_until_known: int


def smallest_reduction(held_out: float, others: float, probability: float) -> float | None:
    """The smallest share of departures that calls must prevent to be seen, 0 to 1.

    Two proportions that are compared with a two-sided test of 5 %: the difference d of the rates is seen with a power of 80 % where
    ``d = z(0.975) sqrt(p (1 - p) (1/h + 1/o)) + z(0.8) sqrt(p1 (1 - p1) / h + p2 (1 - p2) / o)``, p the mean of both rates weighted by
    the groups. That is formula 4.14 of Fleiss, Levin and Paik (2003), Statistical Methods for Rates and Proportions, 3rd ed., with
    groups of unequal size (section 4.4), solved for the rate of the called and without a correction for continuity. Strata are left
    out: they make an effect a little easier to see, so this is on the careful side.

    Args:
        held_out: customers who are held out, more than 0.
        others: customers who are not, more than 0.
        probability: mean rate of departure of the held out.

    Returns:
        None where not even the prevention of every departure would be seen.
    """
    if held_out <= 0 or others <= 0 or not 0 < probability < 1:
        return None
    normal = NormalDist()
    z_confidence, z_power = normal.inv_cdf((1 + CONFIDENCE) / 2), normal.inv_cdf(POWER)

    def seen(reduction: float) -> bool:
        called = probability * (1 - reduction)
        mean = (held_out * probability + others * called) / (held_out + others)
        alone = sqrt(probability * (1 - probability) / held_out + called * (1 - called) / others)
        return probability - called >= (
            z_confidence * sqrt(mean * (1 - mean) * (1 / held_out + 1 / others)) + z_power * alone
        )

    if not seen(1.0):
        return None
    low, high = 0.0, 1.0
    for _ in range(_SEARCH_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if seen(middle) else (middle, high)
    return high


def power_of(
    called: float,
    share: float,
    probability: float,
    *,
    largest: float = 0.0,
    weeks: int = QUARTER_WEEKS,
    quarters: Sequence[int] = QUARTERS,
    turnover: float = TURNOVER,
    closing_weeks: int | None = None,
) -> tuple[Power, ...]:
    """What a hold-out can show, for each number of quarters that are pooled.

    Args:
        called: customers who would be called on a Monday if nobody were held out.
        share: of them that is held out, 0 to 1.
        probability: the mean probability of those of them who can be held out.
        largest: share of them that is not, because their accounts are the largest, 0 to 1.
        weeks: Mondays of a quarter on which customers enter.
        quarters: how many are pooled.
        turnover: share of the customers of a Monday who were on no earlier one of the quarter.
        closing_weeks: until what became of a Monday's customers is known; of the target of role risk unless given.
    """
    closing = target_of("risk").closing_weeks if closing_weeks is None else closing_weeks
    a_quarter = called * (1 - largest) * (1 + turnover * max(0, weeks - 1))
    powers = []
    for number in quarters:
        held_out, others = number * a_quarter * share, number * a_quarter * (1 - share)
        powers.append(
            Power(
                quarters=number,
                held_out=held_out,
                others=others,
                reduction=smallest_reduction(held_out, others, probability),
                # Customers enter up to the last Monday of the last quarter.
                weeks_until_known=QUARTER_WEEKS * (number - 1) + max(0, weeks - 1) + closing,
            )
        )
    return tuple(powers)


def power_on(con: duckdb.DuckDBPyConnection, predictions: str, monday: date, share: float) -> tuple[Power, ...]:
    """What a share shows, or would show, with the list of a Monday, by its customers, their probabilities, and how many were new.

    Args:
        con: the warehouse, or what is published of it.
        predictions: the table with the rows of the Monday.
        monday: S; Mondays before it, of the same quarter, say how fast the list changes.
        share: of the hold-out, in force or only thought about.

    Returns:
        Nothing where the Monday has no list, or nobody on it who could be held out.
    """
    columns = {name for (name, *_) in con.execute(f"describe {predictions}").fetchall()}
    if not {"is_in_holdout_draw", "is_on_call_list"} <= columns:
        return ()
    most = parameters.of_monday(con, predictions, monday).get("holdout_max_annual_revenue")
    row = con.execute(
        f"""
        with rows as (
            select snapshot_date, customer_id, {target_of("risk").probability_column} as probability, is_in_holdout_draw,
                   is_on_call_list and coalesce(annual_revenue <= $most, true) as would_be_drawn,
                   bool_or(is_in_holdout_draw) over (partition by snapshot_date) as has_draw
            from {predictions}
            where snapshot_date <= $monday and snapshot_date >= date_trunc('quarter', $monday - interval 1 year)
        ),
        drawn as (
            -- Where nobody is to be held out, the list itself is who would be called.
            select snapshot_date, customer_id, probability,
                   row_number() over (
                       partition by customer_id, date_trunc('quarter', snapshot_date) order by snapshot_date
                   ) = 1 as is_new
            from rows where if(has_draw, is_in_holdout_draw, would_be_drawn)
        ),
        mondays as (
            -- On the first Monday of a quarter everybody is new.
            select snapshot_date, avg(is_new::integer) as new_share
            from drawn group by snapshot_date
            qualify row_number() over (partition by date_trunc('quarter', snapshot_date) order by snapshot_date) > 1
        )
        select
            (select count(*) from drawn where snapshot_date = $monday),
            (select avg(probability order by customer_id) from drawn where snapshot_date = $monday),
            (select avg(new_share order by snapshot_date) from mondays)
        """,
        {"monday": monday, "most": most},
    ).fetchone()
    assert row is not None
    customers, probability, turnover = row
    if not customers or not share:
        return ()
    return power_of(customers, share, float(probability), turnover=TURNOVER if turnover is None else float(turnover))


def power_sentence(powers: Sequence[Power], share: float, first: date | None = None) -> str:
    """What a hold-out can show and when, in words; empty without powers.

    Args:
        powers: of the same hold-out, the fewest quarters first.
        share: of it.
        first: the first Monday of the hold-out, from which on the dates count.
    """
    if not powers:
        return ""
    one = powers[0]
    text = (
        f"A hold-out of {share:.0%} leaves about {counted(round(one.held_out), 'customer')} uncalled in "
        f"{'a quarter' if one.quarters == 1 else f'{one.quarters} quarters'}, beside {round(one.others):,} who can be called."
    )
    shown = [power for power in powers if power.reduction is not None]
    if not shown:
        last = powers[-1]
        return f"{text} Not even after {counted(last.quarters, 'quarter')} would it show that calls prevent every departure: it is too small."
    first_shown, *later = shown
    parts = [
        f"{first_shown.reduction:.0%} of the departures after {counted(first_shown.quarters, 'quarter')} ({_when(first_shown, first)})"
    ]
    parts += [f"{power.reduction:.0%} after {power.quarters} ({_when(power, first)})" for power in later]
    return (
        f"{text} It shows an effect of the calls where they prevent at least {', '.join(parts)}; a smaller one is seen less often "
        f"than {POWER * 100:.0f} times in 100."
    )


def power_table(
    powers_by_share: Sequence[tuple[float, Sequence[Power]]],
) -> str:
    """The table of the documentation: a row a share, a column a number of quarters, as Markdown."""
    quarters = [power.quarters for power in powers_by_share[0][1]]
    return markdown_table(
        ["share", "held out a quarter", *(f"after {counted(number, 'quarter')}" for number in quarters)],
        [
            (
                f"{share:.0%}",
                round(powers[0].held_out / powers[0].quarters),
                *("nothing" if p.reduction is None else f"{p.reduction:.0%}" for p in powers),
            )
            for share, powers in powers_by_share
        ],
    )


def _when(power: Power, first: date | None) -> str:
    if first is None:
        return f"known {power.weeks_until_known} weeks after it began"
    return f"known on {first + timedelta(weeks=power.weeks_until_known)}"
