"""The digest of a Monday, read from the published database alone, so that it never meets a run that is writing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import duckdb

from churn_pipeline.core import notices
from churn_pipeline.core.calendar import WEEK
from churn_pipeline.core.errors import RefusedError
from churn_pipeline.core.sql import literal
from churn_pipeline.core.targets import in_reports, predicted_in, target_of
from churn_pipeline.delivery.call_list import (
    CHOICE,
    CUSTOMERS,
    PREDICTIONS,
    customers_of,
    may_be_approached,
    reason_in_words,
)
from churn_pipeline.delivery.digest import (
    CustomerLine,
    Digest,
    ExpansionLine,
    Link,
    ModelHealth,
    MoverLine,
    OwnerList,
    TierCount,
    WeekMoney,
)
from churn_pipeline.policy import playbook, tiers
from churn_pipeline.policy.tiers import Tiers

# Mondays in the picture of revenue at risk: half a year, what is read at a glance.
WEEKS = 26
MOVERS = 5


def _lines_query() -> str:
    return f"""
    select call_rank, call_reason, customer_id, company_name, plan_tier, mrr, revenue_at_risk, {target_of("risk").probability_column},
           probability_change, risk_tier, previous_risk_tier, reasons, recommended_action, csm_owner
    from ({CUSTOMERS}) as customers
    """


def digest_from(
    con: duckdb.DuckDBPyConnection,
    snapshot_date: date,
    *,
    top: int = 10,
    per_owner: int = 15,
    reasons: int = CHOICE,
    notes: Sequence[str] = (),
    links: Sequence[Link] = (),
    report: str | None = None,
) -> Digest:
    """Reads what the digest says about a published Monday.

    Args:
        con: the published database, read only.
        snapshot_date: which Monday; it is compared with the one a week before, where that is published.
        top: customers to call first, customers that moved into the gravest tier, and (half of it) expansion candidates to name.
        per_owner: customers in each owner's list.
        reasons: sentences for each customer.
        notes: what monitoring has to add.
        links: where to look next.
        report: address of the Monday's page, where browsers reach it.

    Raises:
        RefusedError: nothing is published for that Monday.
    """
    before = snapshot_date - WEEK
    policies = tiers.of_mondays(con, "predictions", [snapshot_date, before])
    if snapshot_date not in policies:
        raise RefusedError(f"{snapshot_date} is not published, so there is nothing to say about it")
    compared_with = before if before in policies else None
    policy, former_policy = policies[snapshot_date], policies.get(before, policies[snapshot_date])
    parameters = customers_of(con, snapshot_date, reasons)
    labels = playbook.call_reasons(con, snapshot_date)
    tops = {"top_tier": policy[0].risk_tier, "former_top_tier": former_policy[0].risk_tier}
    moved = "where risk_tier = $top_tier and previous_risk_tier <> $former_top_tier"
    return Digest(
        snapshot_date=snapshot_date,
        compared_with=compared_with,
        tiers=_tiers(con, snapshot_date, compared_with, policy, former_policy),
        top_tier=tops["top_tier"],
        former_top_tier=tops["former_top_tier"],
        urgent_tiers=tuple(tiers.urgent(policy)),
        calls=_lines(con, labels, "where is_called order by call_rank limit $top", parameters | {"top": top}),
        **_lists(con, parameters),
        movers=_movers(con, parameters) if compared_with else (),
        into_top=_lines(
            con,
            labels,
            f"{moved} and {may_be_approached('customers')} order by priority_rank limit $top",
            parameters | tops | {"top": top},
        ),
        **_moves(con, snapshot_date, compared_with, tops),
        **_growth(con, snapshot_date, (top + 1) // 2),
        health=_health(con, snapshot_date),
        owners=_owners(con, labels, parameters | {"per_owner": per_owner}, tiers.urgent(policy)),
        notes=tuple(notes),
        links=tuple(links),
        notices=notices.published(con, snapshot_date),
        weeks=_weeks(con, snapshot_date),
        report=report,
    )


def _lines(
    con: duckdb.DuckDBPyConnection, labels: Mapping[str, str], rest: str, parameters: dict[str, Any]
) -> tuple[CustomerLine, ...]:
    return tuple(_line(row, labels) for row in con.execute(f"{_lines_query()} {rest}", parameters).fetchall())


def _line(row: Sequence[Any], labels: Mapping[str, str]) -> CustomerLine:
    values = list(row)
    values[1] = reason_in_words(values[1], labels)
    values[-3:-1] = [tuple(values[-3] or ()), values[-2] or ""]
    return CustomerLine(*values)


def _lists(con: duckdb.DuckDBPyConnection, parameters: dict[str, Any]) -> dict[str, Any]:
    """How many are called, how many are written to instead, and whether it is known what anybody pays."""
    called, written_to, has_money = con.execute(
        f"select count(*) filter (where is_called), count(*) filter (where is_written_to), count(revenue_at_risk) > 0 from ({CUSTOMERS})",
        parameters,
    ).fetchall()[0]
    return {"on_call_list": called, "written_to": written_to, "has_money": has_money}


def _movers(con: duckdb.DuckDBPyConnection, parameters: dict[str, Any]) -> tuple[MoverLine, ...]:
    """Whose revenue at risk changed most, either way, with the part that moved it furthest in that direction. Whoever is held out or
    snoozed is not named: nobody is to approach them."""
    rows = con.execute(
        f"""
        select customer_id, company_name, list_sum(list_transform(change_parts, lambda part: part.revenue)) as change, revenue_at_risk,
               change_parts
        from ({CUSTOMERS}) as customers
        where abs(change) >= 0.5 and {may_be_approached("customers")}
        order by abs(change) desc, customer_id limit $movers
        """,
        parameters | {"movers": MOVERS},
    ).fetchall()
    movers = []
    for customer_id, company_name, change, at_risk, parts in rows:
        largest = max(parts, key=lambda part: part["revenue"] * (1 if change > 0 else -1))
        movers.append(MoverLine(customer_id, company_name, change, at_risk, largest["label"], largest["revenue"]))
    return tuple(movers)


def _weeks(con: duckdb.DuckDBPyConnection, monday: date) -> tuple[WeekMoney, ...]:
    rows = con.execute(
        """
        select snapshot_date, risk_tier, coalesce(sum(revenue_at_risk order by customer_id), 0)
        from predictions where snapshot_date between ? and ? group by all order by all
        """,
        [monday - (WEEKS - 1) * WEEK, monday],
    ).fetchall()
    weeks: dict[date, dict[str, float]] = {}
    for day, tier, money in rows:
        weeks.setdefault(day, {})[tier] = float(money)
    return tuple(WeekMoney(day, at_risk) for day, at_risk in weeks.items())


def _tiers(
    con: duckdb.DuckDBPyConnection, monday: date, before: date | None, policy: Tiers, former_policy: Tiers
) -> tuple[TierCount, ...]:
    """Every tier of this Monday, and of the tiers that its policy no longer has those that had customers: so the changes add up."""
    # Summed in one order, so that the same week reads the same to the last digit.
    totals = {
        (day, tier): (customers, float(money))
        for day, tier, customers, money in con.execute(
            """
            select snapshot_date, risk_tier, count(*), coalesce(sum(revenue_at_risk order by customer_id), 0)
            from predictions where snapshot_date in (?, ?) group by all
            """,
            [monday, before],
        ).fetchall()
    }
    names = {tier.risk_tier for tier in policy} | {tier for _, tier in totals}
    rows = []
    for tier in (row.risk_tier for row in tiers.merged([policy, former_policy]) if row.risk_tier in names):
        customers, money = totals.get((monday, tier), (0, 0.0))
        if before is None:
            rows.append(TierCount(tier, customers, money, None, None))
        else:
            former, former_money = totals.get((before, tier), (0, 0.0))
            rows.append(TierCount(tier, customers, money, customers - former, money - former_money))
    return tuple(rows)


def _moves(
    con: duckdb.DuckDBPyConnection, monday: date, before: date | None, tops: Mapping[str, str]
) -> dict[str, Any]:
    """Who went into the gravest tier and out of it, each Monday's by its own policy, and whether the model or the policy had a part in it."""
    row = con.execute(
        f"""
        with earlier as (select * from predictions where snapshot_date = $before),
        now as (select * from predictions where snapshot_date = $monday)
        select count(*) filter (where now.risk_tier = $top_tier and now.previous_risk_tier <> $former_top_tier and {may_be_approached("now")}),
               count(*) filter (where earlier.risk_tier = $former_top_tier and now.risk_tier <> $top_tier),
               count(*) filter (where earlier.risk_tier = $former_top_tier and now.customer_id is null),
               coalesce(bool_or(now.model_changed), false),
               coalesce(bool_or(now.policy_version <> earlier.policy_version), false)
        from now full join earlier using (customer_id)
        """,
        {"monday": monday, "before": before, **tops},
    ).fetchall()[0]
    names = ("into_top_count", "left_top", "gone_top", "model_changed", "policy_changed")
    return dict(zip(names, row, strict=True))


def _growth(con: duckdb.DuckDBPyConnection, monday: date, top: int) -> dict[str, Any]:
    def facts(row: Sequence[Any]) -> list[Any]:
        return [*row[:-1], tuple(row[-1] or ())]

    counts = con.execute(
        f"""
        select count(*), count(*) filter (where expansion_readiness = 'ready'),
               coalesce(sum(expected_arr_uplift order by customer_id), 0)
        from predictions where snapshot_date = ? and is_expansion_candidate and {may_be_approached()}
        """,
        [monday],
    ).fetchall()[0]
    rows = con.execute(
        f"""
        select customer_id, company_name, plan_tier, target_tier, {target_of("expansion").probability_column}, coalesce(expected_arr_uplift, 0),
               predictions.csm_owner,
               list_transform(
                   list_filter(expansion_drivers, lambda driver: driver.contribution > 0)[:1], lambda driver: driver.sentence
               )
        from predictions left join customers using (customer_id)
        where snapshot_date = ? and is_expansion_candidate and {may_be_approached()}
        order by expansion_rank limit ?
        """,
        [monday, top],
    ).fetchall()
    return {
        "expansion": tuple(ExpansionLine(*facts(row)) for row in rows),
        "expansion_candidates": counts[0],
        "expansion_ready": counts[1],
        "expansion_uplift": float(counts[2]),
    }


def _health(con: duckdb.DuckDBPyConnection, monday: date) -> tuple[ModelHealth, ...]:
    """The models that scored this Monday, with the figures they were promoted on, as reports order the targets."""
    published = {name for (name, *_) in con.execute("describe predictions").fetchall()}
    targets = [target for target in in_reports() if target in predicted_in(published)]
    # What an older version published has no kinds.
    used = " union all ".join(
        f"select {place} as place, {literal(target.name)} as target, any_value({target.version_column}) as version, "
        f"any_value({target.kind_column if target.kind_column in published else 'null::varchar'}) as kind "
        "from predictions where snapshot_date = $monday"
        for place, target in enumerate(targets)
    )
    rows = con.execute(
        f"""
        select target, version, labels_closed_by,
               (metrics ->> '$.model.auc.value')::double, (metrics ->> '$.model.ece.value')::double,
               (metrics ->> '$.model.precision_top_200.value')::double, kind
        from ({used}) join promotions using (target, version)
        -- A rollback names the same version again; its figures are those of its promotion.
        where promoted
        qualify row_number() over (partition by target order by metrics ->> '$.model.auc.value' is null, seq desc) = 1
        order by place
        """,
        {"monday": monday},
    ).fetchall()
    return tuple(ModelHealth(*row) for row in rows)


def _owners(
    con: duckdb.DuckDBPyConnection, labels: Mapping[str, str], parameters: dict[str, Any], urgent: Sequence[str]
) -> tuple[OwnerList, ...]:
    """Every owner's list, the most money first, customers without an owner last; nothing where nobody has one."""
    totals = con.execute(
        f"""
        select csm_owner, count(*), count(*) filter (where risk_tier in (select unnest($urgent::varchar[]))),
               coalesce(sum(revenue_at_risk order by customer_id), 0), count(*) filter (where is_on_call_list)
        from {PREDICTIONS} as predictions where snapshot_date = $monday group by 1 order by csm_owner is null, 4 desc, 1
        """,
        {"monday": parameters["monday"], "urgent": list(urgent)},
    ).fetchall()
    if all(owner is None for owner, *_ in totals):
        return ()
    rows = con.execute(
        f"""
        {_lines_query()}
        where is_called
        qualify row_number() over (partition by csm_owner order by call_rank) <= $per_owner
        order by call_rank
        """,
        parameters,
    ).fetchall()
    calls: dict[str | None, list[CustomerLine]] = {}
    for line in (_line(row, labels) for row in rows):
        calls.setdefault(line.csm_owner, []).append(line)
    return tuple(
        OwnerList(owner, customers, urgent, float(money), tuple(calls.get(owner, ())), called)
        for owner, customers, urgent, money, called in totals
    )
