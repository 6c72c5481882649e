"""The dashboard of the vice president: revenue expected to leave and what left, revenue at risk and tiers over time, movements, renewals,
retention, and whether anybody was saved, in customers and dollars."""

from __future__ import annotations

from churn_pipeline.core.targets import TARGETS, Target, target_of
from churn_pipeline.delivery.grafana.panels import (
    NEWEST,
    OWNER,
    OWNERS,
    PLANS,
    Json,
    board,
    column,
    line,
    numbered,
    numbered_tiers,
    plans_and_owners,
    series,
    share,
    stat,
    table,
    tier_lines,
    usd,
)

MONEY = "At risk, USD a year"
# How far ahead renewals are looked at.
RENEWAL_DAYS = 90


def by_tier(value: str) -> str:
    """SQL of a figure by Monday and tier: one series a tier, zero where it is empty, and whoever has a tier that no policy knows."""
    return f"""with counted as (
    select snapshot_date, policy_version, risk_tier, severity, {value}
    from churn.prediction_tiers
    where $__timeFilter(snapshot_date)
      and {PLANS}
      and {OWNERS}
    group by snapshot_date, policy_version, risk_tier, severity
),
complete as (
    select snapshot_date, risk_tier, severity, value from counted
    union all
    select snapshot_date, tier.risk_tier, tier.severity, 0
    from (select distinct snapshot_date, policy_version from counted) as mondays
    inner join churn.risk_tiers as tier using (policy_version)
)
select snapshot_date::timestamp as "time", {numbered("severity", "risk_tier")} as metric, sum(value) as value
from complete
group by 1, 2
order by 1, 2"""


def expected_to_leave(target: Target, x: int) -> Json:
    """What Mondays led to expect of a horizon, and what left."""
    days = target.horizon_days
    return series(
        f"Revenue expected to leave in {days} days, and what left",
        f"By the Monday that expected it, USD a year, with an interval that should hold four of five Mondays; what left is there once the {days} days are over. Not filtered.",
        (x, 4, 12, 9),
        f"""
        select snapshot_date::timestamp as "time", expected as "expected", low as "expected, low", high as "expected, high", realised as "left"
        from churn.forecast
        where dimension = 'all' and horizon_days = {days} and $__timeFilter(snapshot_date)
        order by snapshot_date
        """,
        [
            line("left", "red"),
            line("expected", "blue"),
            line("expected, low", "text", dashed=True),
            line("expected, high", "text", dashed=True),
        ],
        unit="currencyUSD",
        smallest=0,
    )


def vp() -> Json:
    """The dashboard, for the targets that are declared."""
    risk = target_of("risk")
    churn = sorted(
        (target for target in TARGETS.values() if target.event == "churn"), key=lambda target: target.horizon_days
    )
    # The shortest horizon and the one that the list is ranked by: as many as there is room for.
    outlooks = list(dict.fromkeys((churn[0], risk)))
    return board(
        "churn-vp",
        "Revenue at risk",
        "Revenue expected to leave and what left, revenue at risk and tiers over time, movements, renewals, retention, and whether anybody was saved.",
        "vp",
        plans_and_owners("churn.predictions"),
        [
            stat(
                "Revenue at risk",
                f"Newest Monday: sum of annual revenue x {risk.horizon_days}-day churn probability over every customer, USD a year.",
                (0, 0, 4, 4),
                f"""
                select coalesce(sum(revenue_at_risk), 0) as revenue_at_risk
                from churn.predictions
                where snapshot_date = {NEWEST}
                  and {PLANS}
                  and {OWNERS}
                """,
                unit="currencyUSD",
                decimals=0,
            ),
            stat(
                "Change since the Monday before",
                "Revenue at risk of the newest Monday minus that of 7 days earlier; empty where that Monday was not published. Customers who came or went are in it.",
                (4, 0, 4, 4),
                f"""
                select case when count(*) filter (where is_before) > 0
                            then coalesce(sum(revenue_at_risk) filter (where not is_before), 0) - coalesce(sum(revenue_at_risk) filter (where is_before), 0) end as change
                from (
                    select revenue_at_risk, snapshot_date < {NEWEST} as is_before
                    from churn.predictions
                    where snapshot_date in (select {NEWEST} - n from (values (0), (7)) as days (n))
                      and {PLANS}
                  and {OWNERS}
                ) as two_mondays
                """,
                unit="currencyUSD",
                decimals=0,
                steps=(("green", None), ("orange", 0.01)),
            ),
            stat(
                "Share of revenue at risk",
                "Revenue at risk divided by annual revenue, newest Monday. The scale of the thresholds is a suggestion: 10 and 20 %.",
                (8, 0, 4, 4),
                f"""
                select sum(revenue_at_risk) / nullif(sum(annual_revenue), 0) as share
                from churn.predictions
                where snapshot_date = {NEWEST}
                  and {PLANS}
                  and {OWNERS}
                """,
                unit="percentunit",
                decimals=1,
                steps=(("green", None), ("orange", 0.1), ("red", 0.2)),
            ),
            stat(
                "Customers in an urgent tier",
                "Newest Monday, whether they are called or not.",
                (12, 0, 4, 4),
                f"""
                select count(*) filter (where is_urgent) as customers
                from churn.prediction_tiers
                where snapshot_date = {NEWEST}
                  and {PLANS}
                  and {OWNERS}
                """,
                unit="none",
            ),
            stat(
                "Stayed beyond expectation",
                "Of the newest group of called customers whose 13 weeks are over: how many more stayed than the model expected. No proof that calls did it; hold-out lift is. Not filtered.",
                (16, 0, 4, 4),
                """
                select stayed - expected_to_stay as more_than_expected
                from churn.saves
                order by assessed_on desc, predicted_on desc
                limit 1
                """,
                unit="none",
                decimals=1,
                steps=(("orange", None), ("green", 0)),
            ),
            stat(
                "Expected uplift of candidates",
                "Newest Monday: what the next plan would add a year x propensity, over expansion candidates, USD.",
                (20, 0, 4, 4),
                f"""
                select coalesce(sum(expected_arr_uplift) filter (where is_expansion_candidate), 0) as uplift
                from churn.predictions
                where snapshot_date = {NEWEST}
                  and {PLANS}
                  and {OWNERS}
                """,
                unit="currencyUSD",
                decimals=0,
            ),
            *(expected_to_leave(target, 12 * place) for place, target in enumerate(outlooks)),
            series(
                "Revenue at risk by tier",
                "USD a year by Monday, stacked: the top line is the whole. Numbered by severity.",
                (0, 13, 12, 9),
                by_tier("coalesce(sum(revenue_at_risk), 0) as value"),
                tier_lines(),
                unit="currencyUSD",
                smallest=0,
                fill=30,
                stacked=True,
            ),
            series(
                "Customers by tier",
                "Every active customer by Monday, stacked: the top line is the book. Numbered by severity.",
                (12, 13, 12, 9),
                by_tier("count(*)::double precision as value"),
                tier_lines(),
                unit="none",
                smallest=0,
                fill=30,
                stacked=True,
            ),
            series(
                "Movements between tiers",
                "Customers whose tier rose or fell since the Monday before, and those of them who came into or out of an urgent tier. A Monday with a new model moves more.",
                (0, 22, 12, 9),
                f"""
                select snapshot_date::timestamp as "time",
                       count(*) filter (where severity > previous_severity) as "worse",
                       -count(*) filter (where severity < previous_severity) as "better",
                       count(*) filter (where is_urgent and not previous_is_urgent) as "into an urgent tier",
                       -count(*) filter (where not is_urgent and previous_is_urgent) as "out of an urgent tier"
                from churn.prediction_tiers
                where $__timeFilter(snapshot_date)
                  and {PLANS}
                  and {OWNERS}
                group by snapshot_date
                order by snapshot_date
                """,
                [
                    line("worse", "orange"),
                    line("better", "green"),
                    line("into an urgent tier", "red"),
                    line("out of an urgent tier", "dark-green"),
                ],
                unit="none",
                bars=True,
            ),
            table(
                "From where to where on the newest Monday",
                "Customers by the tier they had the Monday before (rows) and have now (columns). new: no prediction the Monday before.",
                (12, 22, 12, 9),
                f"""
                with moved as (
                    select case when previous_risk_tier is null then 'new' else {numbered("previous_severity", "previous_risk_tier")} end as was, previous_severity,
                           'Now ' || coalesce(risk_tier, 'unknown') as is_now, severity,
                           count(*)::double precision as customers, sum(revenue_at_risk) as revenue_at_risk
                    from churn.prediction_tiers
                    where snapshot_date = {NEWEST}
                      and {PLANS}
                      and {OWNERS}
                    group by 1, 2, 3, 4
                ),
                before as (
                    select was, max(previous_severity) as place from moved group by was
                ),
                after as (
                    select is_now, max(severity) as place
                    from (
                        select is_now, severity from moved
                        union all
                        select 'Now ' || risk_tier, severity
                        from churn.risk_tiers
                        where policy_version in (select policy_version from churn.predictions where snapshot_date = {NEWEST})
                    ) as tiers
                    group by is_now
                ),
                cells as (
                    select was, before.place as was_place, 0 as kind, is_now, after.place as now_place, coalesce(sum(moved.customers), 0) as value
                    from before
                    cross join after
                    left join moved using (was, is_now)
                    group by 1, 2, 3, 4, 5
                    union all
                    select was, max(previous_severity), 1, '{MONEY}', null, coalesce(sum(revenue_at_risk), 0)
                    from moved
                    group by was
                )
                select was, is_now, value
                from cells
                order by was_place nulls last, was, kind, now_place nulls last, is_now
                """,
                [
                    column("was\\is_now", "Was", mappings=numbered_tiers(), coloured=True, width=100),
                    usd(MONEY, MONEY),
                ],
                # One column for every tier there is now, headed by its name.
                transformations=[
                    {
                        "id": "groupingToMatrix",
                        "options": {"rowField": "was", "columnField": "is_now", "valueField": "value"},
                    }
                ],
            ),
            series(
                "Customers who came and went",
                "Customers with a prediction on this Monday and none 7 days before, and the reverse (below zero: they churned or left the book). Empty after a Monday that was not published. With an owner or plan chosen, also who changed to or from it.",
                (0, 31, 12, 9),
                f"""
                with book as (
                    select snapshot_date, customer_id from churn.predictions
                    where snapshot_date between $__timeFrom()::date - 7 and $__timeTo()::date
                      and {PLANS}
                      and {OWNERS}
                ),
                pairs as (
                    select coalesce(now_in.snapshot_date, was_in.snapshot_date + 7) as snapshot_date, now_in.customer_id is null as is_gone, was_in.customer_id is null as is_new
                    from book as now_in
                    full join book as was_in on was_in.customer_id = now_in.customer_id and was_in.snapshot_date = now_in.snapshot_date - 7
                )
                select snapshot_date::timestamp as "time", count(*) filter (where is_new) as "came", -count(*) filter (where is_gone) as "went"
                from pairs
                where $__timeFilter(snapshot_date)
                  and snapshot_date in (select snapshot_date from book)
                  and snapshot_date - 7 in (select snapshot_date from book)
                group by snapshot_date
                order by snapshot_date
                """,
                [line("came", "blue"), line("went", "red")],
                unit="none",
                bars=True,
            ),
            table(
                "By owner on the newest Monday",
                "Customers and money of each customer success manager, most revenue at risk first.",
                (12, 31, 12, 9),
                f"""
                select {OWNER} as owner, count(*) as customers,
                       count(*) filter (where is_urgent) as urgent, sum(annual_revenue) as annual_revenue,
                       sum(revenue_at_risk) as revenue_at_risk, sum(revenue_at_risk) / nullif(sum(annual_revenue), 0) as share
                from churn.prediction_tiers
                where snapshot_date = {NEWEST}
                  and {PLANS}
                  and {OWNERS}
                group by 1
                order by sum(revenue_at_risk) desc nulls last
                """,
                [
                    column("owner", "Owner"),
                    column("customers", "Customers"),
                    column("urgent", "In an urgent tier"),
                    usd("annual_revenue", "Annual revenue"),
                    usd("revenue_at_risk", "At risk, USD a year"),
                    share("share", "Share at risk"),
                ],
            ),
            series(
                "Saves: who stayed, and who was expected to",
                "By the Monday of the prediction: customers of urgent tiers who were called, how many of them were still there 13 weeks later, and how many the model expected (with its 95 % band). No proof: nobody drew lots. Not filtered.",
                (0, 40, 12, 9),
                """
                select predicted_on::timestamp as "time", max(touched) as "called", max(stayed) as "stayed", max(expected_to_stay) as "expected to stay",
                       max(expected_low) as "expected, low", max(expected_high) as "expected, high"
                from churn.saves
                where $__timeFilter(predicted_on)
                group by predicted_on
                order by predicted_on
                """,
                [
                    line("stayed", "green"),
                    line("called", "blue"),
                    line("expected to stay", "orange"),
                    line("expected, low", "text", dashed=True),
                    line("expected, high", "text", dashed=True),
                ],
                unit="none",
                smallest=0,
            ),
            series(
                "Hold-out lift: what calls are worth",
                "Churn rate of customers who were drawn to be held out of the call list minus that of the others, with its 95 % band; above 0 calls help. By the Monday of the prediction. Not filtered.",
                (12, 40, 12, 9),
                """
                select predicted_on::timestamp as "time", max(lift) as "lift", max(low) as "low", max(high) as "high"
                from churn.holdout_lift
                where $__timeFilter(predicted_on)
                group by predicted_on
                order by predicted_on
                """,
                [line("lift", "green"), line("low", "text", dashed=True), line("high", "text", dashed=True)],
                unit="percentunit",
            ),
            series(
                "Saves in dollars: what left, and what was expected to",
                "By the Monday of the list, annual revenue of called customers whose 13 weeks are over: all of it, what the model expected to leave (with its 95 % band), and what left. No proof: nobody drew lots. Not filtered.",
                (0, 49, 12, 9),
                """
                select predicted_on::timestamp as "time", max(revenue) as "called", max(revenue_expected_to_leave) as "expected to leave",
                       max(revenue_expected_low) as "expected, low", max(revenue_expected_high) as "expected, high", max(revenue_left) as "left"
                from churn.saves
                where $__timeFilter(predicted_on)
                group by predicted_on
                order by predicted_on
                """,
                [
                    line("called", "blue"),
                    line("expected to leave", "orange"),
                    line("expected, low", "text", dashed=True),
                    line("expected, high", "text", dashed=True),
                    line("left", "red"),
                ],
                unit="currencyUSD",
                smallest=0,
            ),
            table(
                f"Renewals in the next {RENEWAL_DAYS} days by week",
                "Contracts of the newest Monday by the week in which they end: what they pay a year, and what of it is at risk.",
                (12, 49, 12, 9),
                f"""
                select date_trunc('week', snapshot_date + days_to_renewal::integer)::date::text as week, count(*) as customers,
                       sum(annual_revenue) as annual_revenue, sum(revenue_at_risk) as revenue_at_risk,
                       sum(revenue_at_risk) / nullif(sum(annual_revenue), 0) as share, count(*) filter (where is_on_call_list) as on_call_list
                from churn.predictions
                where snapshot_date = {NEWEST}
                  and days_to_renewal between 0 and {RENEWAL_DAYS}
                  and {PLANS}
                  and {OWNERS}
                group by 1
                order by 1
                """,
                [
                    column("week", "Week of", width=110),
                    column("customers", "Contracts", width=100),
                    usd("annual_revenue", "Annual revenue"),
                    usd("revenue_at_risk", "At risk, USD a year"),
                    share("share", "Share at risk"),
                    column("on_call_list", "On the call list"),
                ],
            ),
            table(
                "Retention of revenue",
                "Gross and net retention since the base Monday, for everybody and by plan, industry and owner, and what is expected of the next days. Gross counts what left and shrank, net also what grew. Newest Monday. Not filtered.",
                (0, 58, 24, 10),
                """
                select dimension, value, base_date::text as base_date, customers, base_revenue, gross, net, horizon_days, expected_gross,
                       expected_gross_low, expected_gross_high, expected_net
                from churn.retention
                where snapshot_date = (select max(snapshot_date) from churn.retention)
                order by dimension <> 'all', dimension, base_revenue desc nulls last, value, horizon_days
                """,
                [
                    column("dimension", "By", width=110),
                    column("value", "Which", width=160),
                    column("base_date", "Since", width=110),
                    column("customers", "Customers", width=100),
                    usd("base_revenue", "Revenue then"),
                    share("gross", "Gross"),
                    share("net", "Net"),
                    column("horizon_days", "Next days", width=90),
                    share("expected_gross", "Gross, expected"),
                    share("expected_gross_low", "low"),
                    share("expected_gross_high", "high"),
                    share("expected_net", "Net, expected"),
                ],
            ),
        ],
    )
