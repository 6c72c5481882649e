"""What is different from the Monday before: who became urgent, who no longer is, who left, and where revenue at risk came from and went.

Figures are made once for everybody and once for each owner's customers, so that a page shows one or the other without computing any.
Whoever is held out or snoozed counts in the money and is in no list of names, nor in its number.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise
from typing import Any

import duckdb

from churn_pipeline.core.calendar import WEEK
from churn_pipeline.core.formatting import in_points, usd
from churn_pipeline.core.sql import literal
from churn_pipeline.core.targets import target_of
from churn_pipeline.delivery.call_list import PREDICTIONS, may_be_approached
from churn_pipeline.policy import tiers

# How many names of each list are shown, for everybody and for each owner.
NAMED = {"rose": 8, "fell": 4, "gone": 4, "movers": 10}
# The part of a change that comes from the models and not from the customer; see the dbt macro `refresh_changes`.
MODEL_AND_DATA = "model_and_data"
_REVENUE = "revenue"


@dataclass(frozen=True)
class Everybody:
    """Stands for all customers where figures are by owner: an owner may be called anything, and nobody is None."""


EVERYBODY = Everybody()
type Group = Everybody | str | None


@dataclass(frozen=True)
class Move:
    """One customer who moved.

    Attributes:
        risk_tier: now; None for one who left.
        previous_risk_tier: on the Monday before; None for a new customer.
        revenue: at risk, USD a year: now, and of one who left or fell on the Monday before.
        change: of it; None for one who was not there on one of the two Mondays. ``points`` likewise of the probability.
        was_called: whether they were on the list of the Monday before; None without a list.
        reason: why the revenue at risk moved; empty where nothing is known.
    """

    customer_id: str
    company_name: str | None
    csm_owner: str | None
    risk_tier: str | None
    previous_risk_tier: str | None
    revenue: float
    change: float | None
    points: float | None
    was_called: bool | None
    reason: str


@dataclass(frozen=True)
class Steps:
    """Revenue at risk from the Monday before to this one, in whole dollars a year that add up exactly.

    Attributes:
        before: on the Monday before.
        new: of customers who were not there then.
        gone: of customers who are no longer there, below 0.
        up: of customers whose revenue at risk rose, without what the models did.
        down: of those whose fell, below 0.
        model: what another model and corrected data did.
        now: on this Monday.
    """

    before: int
    new: int
    gone: int
    up: int
    down: int
    model: int
    now: int


@dataclass
class Moves:
    """What moved among some customers.

    Attributes:
        steps: of revenue at risk.
        rose: customers who became urgent and may be named, and their revenue at risk; `fell` those who no longer are, `gone` those who left,
            with what they had at risk on the Monday before.
        gone_called: of those who left, how many were on the list.
        tiers_before: customers and revenue at risk by tier on the Monday before, of the customers that are the owner's now and of those who left.
    """

    steps: Steps
    rose: tuple[int, float]
    fell: tuple[int, float]
    gone: tuple[int, float]
    gone_called: int
    tiers_before: Mapping[str, tuple[int, float]]


@dataclass(frozen=True)
class SinceLastWeek:
    """Two Mondays compared.

    Attributes:
        compared_with: the Monday before.
        had_list: it had a call list.
        rose: the first customers of each owner, and of everybody, who became urgent, by revenue at risk; `fell`, `gone` and `movers` likewise.
        rose_ids: all who became urgent and may be named; `fell_ids` those who no longer are.
        of: figures by owner, and of `EVERYBODY`.
    """

    compared_with: date
    had_list: bool
    rose: tuple[Move, ...]
    fell: tuple[Move, ...]
    gone: tuple[Move, ...]
    movers: tuple[Move, ...]
    rose_ids: frozenset[str]
    fell_ids: frozenset[str]
    of: Mapping[Group, Moves]


def read(published: duckdb.DuckDBPyConnection, monday: date) -> SinceLastWeek | None:
    """Compares a published Monday with the one before it.

    Args:
        published: the published database, read only.
        monday: S.

    Returns:
        None where the Monday before is not published.
    """
    before = monday - WEEK
    risk = target_of("risk").probability_column
    policies = tiers.of_mondays(published, "predictions", [monday, before])
    if before not in policies:
        return None
    cursor = published.execute(
        f"""
        with mondays as (from {PREDICTIONS} as predictions where snapshot_date in ($monday, $before)),
        now as (from mondays where snapshot_date = $monday),
        earlier as (from mondays where snapshot_date = $before)
        select coalesce(now.customer_id, earlier.customer_id) as customer_id, company_name,
               if(now.customer_id is null, earlier.csm_owner, now.csm_owner) as csm_owner,
               now.risk_tier, earlier.risk_tier as previous_risk_tier,
               now.revenue_at_risk as at_risk, earlier.revenue_at_risk as previous_at_risk, now.mrr, earlier.mrr as previous_mrr,
               earlier.is_on_call_list as was_called, {may_be_approached("now")} as may_be_named,
               now.{risk} as probability, earlier.{risk} as previous_probability, now.probability_change,
               list_filter(now.change_parts, lambda each: each.part = {literal(MODEL_AND_DATA)})[1].revenue as model
        from now full join earlier using (customer_id)
        left join customers on customers.customer_id = coalesce(now.customer_id, earlier.customer_id)
        order by 1
        """,
        {"monday": monday, "before": before},
    )
    names = [column for column, *_ in cursor.description or ()]
    rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    urgent, urgent_before = set(tiers.urgent(policies[monday])), set(tiers.urgent(policies[before]))
    has_money = any(row["at_risk"] is not None for row in rows)
    rose, fell, gone, movers = [], [], [], []
    for row in rows:
        is_urgent, was_urgent = row["risk_tier"] in urgent, row["previous_risk_tier"] in urgent_before
        if row["risk_tier"] is None:
            gone.append(row)
            continue
        if not row["may_be_named"]:
            continue
        if is_urgent and not was_urgent:
            rose.append(row)
        elif was_urgent and not is_urgent:
            fell.append(row)
        if row["previous_risk_tier"] is not None and _moved(row, has_money):
            movers.append(row)
    former = _before if has_money else lambda row: row["previous_probability"]
    named = {
        "rose": _first(rose, NAMED["rose"], _now if has_money else lambda row: row["probability"]),
        "fell": _first(fell, NAMED["fell"], former),
        "gone": _first(gone, NAMED["gone"], former),
        "movers": _first(movers, NAMED["movers"], lambda row: abs(_moved(row, has_money))),
    }
    _explain(published, monday, [row for of_list in named.values() for row in of_list])
    return SinceLastWeek(
        compared_with=before,
        had_list=any(row["was_called"] is not None for row in rows),
        rose=tuple(_move(row, _now(row)) for row in named["rose"]),
        # Who is past is named with what was at risk on the Monday before.
        fell=tuple(_move(row, _before(row)) for row in named["fell"]),
        gone=tuple(_move(row, _before(row)) for row in named["gone"]),
        movers=tuple(_move(row, _now(row)) for row in named["movers"]),
        rose_ids=frozenset(row["customer_id"] for row in rose),
        fell_ids=frozenset(row["customer_id"] for row in fell),
        of=_by_owner(rows, rose, fell, gone),
    )


def _now(row: Mapping[str, Any]) -> float:
    return row["at_risk"] or 0.0


def _before(row: Mapping[str, Any]) -> float:
    return row["previous_at_risk"] or 0.0


def _change(row: Mapping[str, Any]) -> float:
    return _now(row) - _before(row)


def _moved(row: Mapping[str, Any], has_money: bool) -> float:
    """By what somebody moved: dollars at risk, and where nobody's are known the probability."""
    return _change(row) if has_money else row["probability_change"] or 0.0


def _first(rows: Iterable[dict[str, Any]], most: int, by: Callable[[Mapping[str, Any]], float]) -> list[dict[str, Any]]:
    """The first of everybody and of every owner, the largest first."""
    ordered = sorted(rows, key=lambda row: (-by(row), row["customer_id"]))
    of_owner: dict[str | None, int] = defaultdict(int)
    shown = []
    for place, row in enumerate(ordered):
        of_owner[row["csm_owner"]] += 1
        if place < most or of_owner[row["csm_owner"]] <= most:
            shown.append(row)
    return shown


def _explain(published: duckdb.DuckDBPyConnection, monday: date, rows: Sequence[dict[str, Any]]) -> None:
    """Adds what changed to the customers that are named: of everybody these lists would be most of what is read."""
    lists = ("change_parts", "churn_themes", "change_drivers")
    named = published.execute(
        f"select customer_id, {', '.join(lists)} from {PREDICTIONS} as predictions "
        "where snapshot_date = $monday and customer_id in (select unnest($customers))",
        {"monday": monday, "customers": [row["customer_id"] for row in rows]},
    ).fetchall()
    by_customer = {customer: values for customer, *values in named}
    for row in rows:
        row |= dict(zip(lists, by_customer.get(row["customer_id"], (None, None, None)), strict=True))


def _move(row: Mapping[str, Any], revenue: float) -> Move:
    is_in_both = row["risk_tier"] is not None and row["previous_risk_tier"] is not None
    return Move(
        customer_id=row["customer_id"],
        company_name=row["company_name"],
        csm_owner=row["csm_owner"],
        risk_tier=row["risk_tier"],
        previous_risk_tier=row["previous_risk_tier"],
        revenue=revenue,
        change=_change(row) if is_in_both else None,
        points=row["probability_change"] if is_in_both else None,
        was_called=row["was_called"],
        reason=_reason(row) if is_in_both else "",
    )


def _reason(row: Mapping[str, Any]) -> str:
    """What moved the revenue at risk most in the direction in which it went: a theme in its own words where it is a reason to worry."""
    has_money = row["at_risk"] is not None and row["previous_at_risk"] is not None
    by = "revenue" if has_money else "points"
    sign = 1 if _moved(row, has_money) > 0 else -1
    parts = [part for part in row["change_parts"] or () if sign * (part[by] or 0.0) > 0]
    if not parts:
        drivers = (driver for driver in row["change_drivers"] or () if sign * driver["contribution"] > 0)
        return next((driver["sentence"] for driver in drivers), "")
    largest = max(parts, key=lambda part: abs(part[by]))
    if largest["part"] == _REVENUE:
        return f"Pays {usd(row['mrr'])} a month, last week {usd(row['previous_mrr'])}"
    moved = f"{largest['label']}: {in_points(largest['points'])}"
    sentences = {theme["theme"]: theme["sentence"] for theme in row["churn_themes"] or ()}
    sentence = sentences.get(largest["part"]) if sign > 0 else None
    return f"{moved}. {sentence}" if sentence else moved


@dataclass
class _Sums:
    """Sums over the rows of some customers."""

    before: float = 0.0
    new: float = 0.0
    gone: float = 0.0
    up: float = 0.0
    down: float = 0.0
    model: float = 0.0
    counts: dict[str, tuple[int, float]] = field(default_factory=lambda: defaultdict(lambda: (0, 0.0)))
    gone_called: int = 0
    tiers_before: dict[str, tuple[int, float]] = field(default_factory=dict)

    def add(self, row: Mapping[str, Any]) -> None:
        at_risk, previous = _now(row), _before(row)
        self.before += previous
        if (tier := row["previous_risk_tier"]) is not None:
            customers, money = self.tiers_before.get(tier, (0, 0.0))
            self.tiers_before[tier] = (customers + 1, money + previous)
        if row["previous_risk_tier"] is None:
            self.new += at_risk
        elif row["risk_tier"] is None:
            self.gone -= previous
        else:
            model = row["model"] or 0.0
            self.model += model
            rest = at_risk - previous - model
            if rest > 0:
                self.up += rest
            else:
                self.down += rest

    def count(self, name: str, revenue: float | None) -> None:
        customers, money = self.counts[name]
        self.counts[name] = (customers + 1, money + (revenue or 0.0))

    def steps(self) -> Steps:
        """Each step is the difference of two rounded running totals, so that whole dollars add up as cents do."""
        total = 0.0
        running = [0]
        for amount in (self.before, self.new, self.gone, self.up, self.down, self.model):
            total += amount
            running.append(round(total))
        before, new, gone, up, down, model = (later - earlier for earlier, later in pairwise(running))
        return Steps(before, new, gone, up, down, model, now=running[-1])


def _by_owner(
    rows: Sequence[Mapping[str, Any]],
    rose: Iterable[Mapping[str, Any]],
    fell: Iterable[Mapping[str, Any]],
    gone: Iterable[Mapping[str, Any]],
) -> dict[Group, Moves]:
    sums: dict[Group, _Sums] = defaultdict(_Sums)

    def groups(row: Mapping[str, Any]) -> tuple[_Sums, _Sums]:
        return sums[EVERYBODY], sums[row["csm_owner"]]

    for row in rows:
        for group in groups(row):
            group.add(row)
    for name, moved, revenue in (
        ("rose", rose, "at_risk"),
        ("fell", fell, "previous_at_risk"),
        ("gone", gone, "previous_at_risk"),
    ):
        for row in moved:
            for group in groups(row):
                group.count(name, row[revenue])
                group.gone_called += name == "gone" and bool(row["was_called"])
    return {
        owner: Moves(
            group.steps(),
            group.counts["rose"],
            group.counts["fell"],
            group.counts["gone"],
            group.gone_called,
            group.tiers_before,
        )
        for owner, group in sums.items()
    }
