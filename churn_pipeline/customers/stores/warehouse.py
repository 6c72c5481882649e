"""Customers, their usage, risk signals and opportunities as of any Monday, from the landed facts in the warehouse.

Known is what is dated strictly before the Monday, by the rules of the feature marts (``dbt_project/models/intermediate``): of the plan and
the price of that day the history of plans says it, else what landings saw, else today's. Tests hold the two together.

Whoever reads here holds the home's lock (:meth:`churn_pipeline.customers.home.Home.as_of`): a run that lands meanwhile would change what
the second question is asked of.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property
from typing import Any

import duckdb

from churn_pipeline.contract.declaration import CLOSED_STAGES
from churn_pipeline.core.calendar import latest_monday
from churn_pipeline.core.errors import InputError, RefusedError
from churn_pipeline.core.warehouse import has_table
from churn_pipeline.customers.entities import (
    COMPLIANCE_GAP,
    VENDOR_FLAGS,
    Customer,
    Opportunity,
    RiskSignals,
    UsageEvent,
)
from churn_pipeline.customers.repositories import AsOf
from churn_pipeline.customers.values import EventType, FeatureAdoptionScore, Industry, Mrr, PlanTier, SalesStage

_MICROS = 1_000_000
_TABLES = (
    "state",
    "customers",
    "lives",
    "plan_history",
    "value_ledger",
    "usage_events",
    "risk_signals",
    "gtm_opportunities",
)

# $day is the Monday, {whose} a condition on customer_id. The newest span that had begun says whether somebody was there; its life has
# the plans from plans_from to plans_until. The rules of plan and price are those of int_plan_as_of.
_CUSTOMERS = """
with lives as (
    from landing.lives
    where active_from < $day and {whose}
    qualify row_number() over (partition by customer_id order by active_from desc, life desc) = 1
),
plan_changes as (
    select *, max(case when is_first then known_date end) over (partition by customer_id, beginning_number) as began_known
    from (
        select
            *,
            row_number() over in_order as change_number,
            count(case when is_first then 1 end) over in_order as beginning_number
        from landing.plan_history
        where {whose}
        window in_order as (
            partition by customer_id order by effective_date, known_date, to_mrr_cents nulls first, to_tier, from_tier
        )
    )
),
history as (
    select
        customer_id,
        coalesce(
            arg_max(to_tier, change_number) filter (where plan_changes.known_date < $day),
            arg_min(from_tier, change_number) filter (
                where plan_changes.known_date >= $day and (began_known is null or began_known < $day)
            )
        ) as plan_tier,
        coalesce(
            arg_max(to_mrr_cents, change_number) filter (where plan_changes.known_date < $day),
            arg_min(from_mrr_cents, change_number) filter (
                where plan_changes.known_date >= $day and (began_known is null or began_known < $day)
            )
        ) as mrr_cents
    from lives
    inner join plan_changes using (customer_id)
    where
        (lives.plans_from is null or lives.plans_from <= effective_date)
        and (lives.plans_until is null or lives.plans_until > effective_date)
    group by customer_id
),
seen as (
    select
        customer_id,
        coalesce(
            arg_max(to_tier, entry) filter (where known_date < $day), arg_min(from_tier, entry) filter (where known_date >= $day)
        ) as plan_tier,
        coalesce(
            arg_max(to_mrr_cents, entry) filter (where known_date < $day),
            arg_min(from_mrr_cents, entry) filter (where known_date >= $day)
        ) as mrr_cents
    from landing.value_ledger
    where {whose}
    group by customer_id
),
as_of as (
    select
        customer_id,
        lives.started_on,
        coalesce(history.plan_tier, seen.plan_tier, lives.plan_tier) as plan_tier,
        nullif(trim(lives.industry), '') as industry,
        coalesce(history.mrr_cents, seen.mrr_cents, lives.mrr_cents) as mrr_cents,
        -- An end is a fact from the day after the one on which it is known; a span of which none is known goes on.
        if(coalesce(lives.active_until < $day, false), lives.ended_on, null) as ended_on,
        lives.end_kind,
        customers.company_name,
        customers.csm_owner
    from lives
    left join history using (customer_id)
    left join seen using (customer_id)
    left join landing.customers using (customer_id)
)
from as_of
"""


@dataclass(frozen=True)
class _Store:
    """The warehouse at one Monday.

    Attributes:
        con: the warehouse.
        snapshot_date: the Monday.
    """

    con: duckdb.DuckDBPyConnection
    snapshot_date: date

    def _rows(self, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
        # All at once: whoever left half of them unread would keep the warehouse open beyond the lock.
        return self.con.execute(sql, {"day": self.snapshot_date, **parameters}).fetchall()


class WarehouseCustomers(_Store):
    """Implements :class:`churn_pipeline.customers.repositories.Customers`. Company names, owners and industries are today's; so are
    plan and price where no history says otherwise."""

    def by_id(self, customer_id: str) -> Customer | None:
        sql = _CUSTOMERS.format(whose="customer_id = $customer_id")
        rows = self._rows(sql, customer_id=customer_id)
        return _customer(*rows[0]) if rows else None

    def active(self) -> Iterator[Customer]:
        sql = f"{_CUSTOMERS.format(whose='true')} where ended_on is null order by customer_id"
        return (_customer(*row) for row in self._rows(sql))

    def sample(self, n: int, seed: int) -> Sequence[Customer]:
        if n < 0:
            raise InputError(f"a sample has 0 customers or more, not {n}")
        # MD5 is the same in every database and every version of it; a draw of DuckDB's own is not.
        sql = f"""
            {_CUSTOMERS.format(whose="true")} where ended_on is null
            order by md5(concat_ws('|', customer_id, $seed::bigint)), customer_id limit $n
        """
        return [_customer(*row) for row in self._rows(sql, seed=seed, n=n)]


class WarehouseUsage(_Store):
    """Implements :class:`churn_pipeline.customers.repositories.Usage`."""

    @cached_property
    def is_known(self) -> bool:
        return bool(self._rows("select 1 from landing.usage_events where known_date < $day limit 1"))

    def events(self, customer_id: str, since: datetime) -> Sequence[UsageEvent]:
        moment = since if since.tzinfo is None else since.astimezone(UTC).replace(tzinfo=None)
        sql = """
            select event_id, customer_id, event_at, nullif(trim(event_type), ''), adoption_micros from landing.usage_events
            where customer_id = $customer_id and known_date < $day and event_at >= $since
            order by event_at, event_id
        """
        return [
            UsageEvent(
                event_id,
                customer,
                event_at,
                None if event_type is None else EventType(event_type),
                None if adoption is None else FeatureAdoptionScore(adoption / _MICROS),
            )
            for event_id, customer, event_at, event_type, adoption in self._rows(
                sql, customer_id=customer_id, since=moment
            )
        ]

    def count(self, customer_id: str, days: int, until_days_ago: int = 0) -> int:
        if days < 0 or until_days_ago < 0:
            raise InputError(f"days are counted back, 0 or more, not {min(days, until_days_ago)}")
        sql = """
            select count(*) from landing.usage_events
            where
                customer_id = $customer_id and known_date < $day
                and event_date >= $day - $first::integer and event_date < $day - $last::integer
        """
        ((count,),) = self._rows(sql, customer_id=customer_id, first=days + until_days_ago, last=until_days_ago)
        return int(count)


class WarehouseSignals(_Store):
    """Implements :class:`churn_pipeline.customers.repositories.Signals`."""

    def of(self, customer_id: str) -> RiskSignals:
        # Each part's newest value on its own, by its own date and then by when it became known; of one day the graver.
        newest = "max_by({0}, (coalesce(recorded_date, known_date), known_date, {0})) filter (where {0} is not null)"
        sql = f"""
            select {newest.format("compliance_gap_micros")}, {newest.format("vendor_risk_flags")}
            from landing.risk_signals where customer_id = $customer_id and known_date < $day
        """
        ((gap, flags),) = self._rows(sql, customer_id=customer_id)
        missing = [name for name, value in ((COMPLIANCE_GAP, gap), (VENDOR_FLAGS, flags)) if value is None]
        return RiskSignals((gap or 0) / _MICROS, flags or 0, tuple(missing))


class WarehouseOpportunities(_Store):
    """Implements :class:`churn_pipeline.customers.repositories.Opportunities`."""

    def of(self, customer_id: str) -> Sequence[Opportunity]:
        sql = f"""
            with known as (
                select
                    *, coalesce({CLOSED_STAGES} and greatest(close_date, known_date) < $day, false) and close_date is not null as is_closed
                from landing.gtm_opportunities
                where customer_id = $customer_id and created_date is not null and known_date < $day
            )
            select
                opp_id, customer_id, if(is_closed, stage, null), if(is_closed, amount_cents, null), created_date,
                if(is_closed, close_date, null), opportunity_type
            from known
            order by created_date desc, opp_id desc
        """
        return [
            Opportunity(
                opp_id,
                customer,
                None if stage is None else SalesStage(stage),
                None if cents is None else cents / 100,
                created_date,
                close_date,
                opportunity_type,
            )
            for opp_id, customer, stage, cents, created_date, close_date, opportunity_type in self._rows(
                sql, customer_id=customer_id
            )
        ]


def as_of(con: duckdb.DuckDBPyConnection, snapshot_date: date, timezone: str) -> AsOf:
    """What was known at a Monday.

    Args:
        con: the warehouse, under the home's lock.
        snapshot_date: a Monday.
        timezone: the home's.

    Raises:
        RefusedError: nothing was landed, or the last landing lies before that Monday, so that what became known until then is not there.
    """
    landed_at = None
    if all(has_table(con, "landing", table) for table in _TABLES):
        ((landed_at,),) = con.execute("select max(evaluated_at) from landing.state").fetchall()
    if landed_at is None:
        raise RefusedError("nothing has been landed by this version yet; 'churn run' lands the raw data")
    landed = latest_monday(landed_at.replace(tzinfo=UTC), timezone)
    if snapshot_date > landed:
        raise RefusedError(
            f"the raw data were landed for {landed} and not since, so {snapshot_date} would lack what became known after it; "
            "'churn run' lands them"
        )
    return AsOf(
        snapshot_date,
        WarehouseCustomers(con, snapshot_date),
        WarehouseUsage(con, snapshot_date),
        WarehouseSignals(con, snapshot_date),
        WarehouseOpportunities(con, snapshot_date),
    )


def _customer(
    customer_id: str,
    started_on: date,
    plan_tier: str | None,
    industry: str | None,
    mrr_cents: int | None,
    ended_on: date | None,
    end_kind: str | None,
    company_name: str | None,
    csm_owner: str | None,
) -> Customer:
    has_churned = end_kind == "churn"
    return Customer(
        customer_id,
        started_on,
        plan_tier=None if plan_tier is None else PlanTier(plan_tier),
        industry=None if industry is None else Industry(industry),
        mrr=None if mrr_cents is None else Mrr(mrr_cents / 100),
        churn_date=ended_on if has_churned else None,
        company_name=company_name,
        csm_owner=csm_owner,
        censor_date=None if has_churned else ended_on,
    )
