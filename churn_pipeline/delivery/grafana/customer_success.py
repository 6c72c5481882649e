"""The dashboard of customer success managers: whom to call, why and what to do; whom to write to; renewals; who got worse; who is ready to
grow; and one customer. Whoever is held out is named to nobody here: they are on no list, and no column says so.
"""

from __future__ import annotations

from collections import Counter

from churn_pipeline.core.targets import TARGETS, Target, target_of
from churn_pipeline.delivery.grafana.panels import (
    OWNERS,
    PLANS,
    SEARCHED,
    TIERS,
    Json,
    board,
    choices,
    column,
    customer,
    field,
    gauge,
    plans_and_owners,
    points,
    series,
    share,
    stat,
    table,
    tier_bounds,
    tier_colours,
    usd,
)

CHOSEN = f"{PLANS} and {OWNERS} and {TIERS} and {SEARCHED}"
CUSTOMER = """replace(${customer:sqlstring}, '\\"', '"')"""
# Nobody approaches whoever is snoozed or held out; see may_be_approached in delivery/call_list.py.
APPROACHED = "snoozed_until is null and not coalesce(is_holdout, false)"
# What a day of renewal is called, and how far ahead one looks.
RENEWAL = "(snapshot_date + days_to_renewal::integer)"
RENEWAL_DAYS = 90
# Every tier of the newest policy, most severe first, and whatever else its rows have: nobody is out of reach of the filter.
_TIER_CHOICES = """
select tier
from (
    select risk_tier as tier, severity from churn.risk_tiers where policy_version in (select policy_version from churn.latest_predictions)
    union all
    select coalesce(risk_tier, 'unknown'), severity from churn.latest_predictions
) as tiers
group by tier
order by max(severity) desc nulls last, tier
"""


def leaves(target: Target) -> str:
    """The heading of a target's probability."""
    return f"Leaves in {target.horizon_days} days"


def label(target: Target) -> str:
    """A target's name in a legend that speaks of one customer."""
    if target.event == "churn":
        return f"{target.horizon_days} days"
    alike = Counter(other.event for other in TARGETS.values())[target.event]
    return target.event if alike == 1 else f"{target.event}, {target.horizon_days} days"


def customer_success() -> Json:
    """The dashboard, for the targets that are declared."""
    risk, expansion = target_of("risk"), target_of("expansion")
    churn = sorted(
        (target for target in TARGETS.values() if target.event == "churn"), key=lambda target: target.horizon_days
    )
    in_legend = sorted(TARGETS.values(), key=lambda target: (target.event != "churn", -target.horizon_days))
    probabilities = ", ".join(target.probability_column for target in churn)
    lines = ", ".join(f'{target.probability_column} as "{label(target)}"' for target in in_legend)
    return board(
        "churn-customer-success",
        "Customer success: this Monday's list",
        "Whom to call, why and what to do; whom to write to; renewals; who got worse; who is ready to grow; and one customer over time.",
        "customer-success",
        [
            choices("tier", "Tier", "Risk tier on the newest Monday", _TIER_CHOICES),
            *plans_and_owners("churn.latest_predictions"),
            field(
                "search",
                "Search",
                "Part of a customer id, company, owner or industry; upper and lower case are the same",
            ),
            field(
                "customer",
                "Customer id",
                "Whose history the two panels at the bottom show; a click on a customer fills it in",
            ),
        ],
        [
            stat(
                "Monday of this list",
                "The newest published snapshot_date. Every table on this page is of that Monday, except the history at the bottom.",
                (0, 0, 4, 4),
                "select (extract(epoch from max(snapshot_date)) * 1000)::double precision as monday from churn.predictions",
                unit="time:YYYY-MM-DD",
            ),
            stat(
                "Age of this list",
                "Days since that Monday, in UTC. From 7 on the next list is missing, from 14 on two are.",
                (4, 0, 4, 4),
                """
                select ((now() at time zone 'UTC')::date - max(snapshot_date))::double precision as days from churn.predictions
                """,
                unit="d",
                decimals=0,
                steps=(("green", None), ("orange", 7), ("red", 14)),
            ),
            stat(
                "To call",
                "Customers of the filters who are on this week's call list.",
                (8, 0, 4, 4),
                f"""
                select count(*) as customers
                from churn.call_list
                where {CHOSEN}
                """,
                unit="none",
            ),
            stat(
                "Revenue at risk on the list",
                f"Sum of annual revenue x {risk.horizon_days}-day churn probability of those to call, USD a year.",
                (12, 0, 4, 4),
                f"""
                select coalesce(sum(revenue_at_risk), 0) as revenue_at_risk
                from churn.call_list
                where {CHOSEN}
                """,
                unit="currencyUSD",
                decimals=0,
            ),
            stat(
                "New in an urgent tier",
                "Customers of the filters who were in a tier that is not urgent the Monday before, whether they are called or not.",
                (16, 0, 4, 4),
                f"""
                select count(*) as customers
                from churn.latest_predictions
                where is_urgent and not previous_is_urgent
                  and {CHOSEN}
                """,
                unit="none",
                steps=(("green", None), ("orange", 1)),
            ),
            stat(
                "Ready to grow",
                "Expansion candidates of the filters: propensity high enough, churn probability low enough (both are policy).",
                (20, 0, 4, 4),
                f"""
                select count(*) as customers
                from churn.expansion_candidates
                where {CHOSEN}
                """,
                unit="none",
            ),
            table(
                "Whom to call",
                "The call list of the week, in its order: the same as in Slack, on the report, in the files and on the command line. Reasons are what raises the risk, the largest first. Click a customer for what to say, at the bottom of the page.",
                (0, 4, 24, 12),
                f"""
                select call_rank, customer_id, company_name, replace(call_reason, '_', ' ') as call_reason, days_to_renewal, risk_tier, {risk.probability_column},
                       100 * probability_change as points_changed, revenue_at_risk, csm_owner, first_reason, recommended_action, second_reason, third_reason,
                       plan_tier, mrr
                from churn.call_list
                where {CHOSEN}
                order by call_rank
                """,
                [
                    column("call_rank", "#", width=60),
                    customer(),
                    column("company_name", "Company", width=180),
                    column("call_reason", "Called because", width=120),
                    column("days_to_renewal", "Days to renewal", width=120),
                    column("risk_tier", "Tier", coloured=True, width=100),
                    gauge(risk.probability_column, leaves(risk), width=150),
                    points("points_changed", "Points since last Monday", width=130),
                    usd("revenue_at_risk", "At risk, USD a year", width=140),
                    column("csm_owner", "Owner", width=130),
                    column("first_reason", "Main reason", width=320),
                    column("recommended_action", "What to do", width=420),
                    column("second_reason", "Second reason", width=320),
                    column("third_reason", "Third reason", width=320),
                    column("plan_tier", "Plan", width=100),
                    usd("mrr", "MRR", width=90),
                ],
                configured=[tier_colours("risk_tier"), tier_bounds(risk.probability_column)],
            ),
            table(
                "Whom to write to",
                "In an urgent tier and not on the call list: an e-mail or a guide instead of a call. Without those who are to be left alone.",
                (0, 16, 12, 9),
                f"""
                select customer_id, company_name, risk_tier, {risk.probability_column}, revenue_at_risk, churn_themes -> 0 ->> 'sentence' as main_reason,
                       recommended_action, csm_owner
                from churn.latest_predictions
                where is_urgent and not is_on_call_list and action_kind = 'no_call' and resting_until is null and {APPROACHED}
                  and {CHOSEN}
                order by priority_rank
                """,
                [
                    customer(),
                    column("company_name", "Company", width=160),
                    column("risk_tier", "Tier", coloured=True, width=100),
                    gauge(risk.probability_column, leaves(risk), width=140),
                    usd("revenue_at_risk", "At risk, USD a year", width=140),
                    column("main_reason", "Main reason", width=300),
                    column("recommended_action", "What to do", width=300),
                    column("csm_owner", "Owner"),
                ],
                configured=[tier_colours("risk_tier"), tier_bounds(risk.probability_column)],
            ),
            table(
                f"Renewals in the next {RENEWAL_DAYS} days",
                "Contracts that end soon, the next first, with what they pay and what of it is at risk.",
                (12, 16, 12, 9),
                f"""
                select {RENEWAL}::text as renewal_date, days_to_renewal, customer_id, company_name, annual_revenue, revenue_at_risk, risk_tier,
                       {risk.probability_column}, is_on_call_list, csm_owner
                from churn.latest_predictions
                where days_to_renewal between 0 and {RENEWAL_DAYS}
                  and {CHOSEN}
                order by days_to_renewal, priority_rank
                """,
                [
                    column("renewal_date", "Renews on", width=110),
                    column("days_to_renewal", "Days", width=70),
                    customer(),
                    column("company_name", "Company", width=160),
                    usd("annual_revenue", "Annual revenue", width=130),
                    usd("revenue_at_risk", "At risk, USD a year", width=140),
                    column("risk_tier", "Tier", coloured=True, width=100),
                    gauge(risk.probability_column, leaves(risk), width=140),
                    column("is_on_call_list", "On the call list"),
                    column("csm_owner", "Owner"),
                ],
                configured=[tier_colours("risk_tier"), tier_bounds(risk.probability_column)],
            ),
            table(
                "Who got worse since last Monday",
                f"The 25 largest rises of the {risk.horizon_days}-day probability, of whom somebody may approach. New model: the model changed between the two Mondays, so part of the rise may be the model.",
                (0, 25, 12, 10),
                f"""
                select customer_id, company_name, previous_risk_tier, risk_tier, {risk.probability_column}, 100 * probability_change as points_changed, model_changed, csm_owner
                from churn.latest_predictions
                where probability_change > 0 and {APPROACHED}
                  and {CHOSEN}
                order by probability_change desc, customer_id
                limit 25
                """,
                [
                    customer(),
                    column("company_name", "Company", width=160),
                    column("previous_risk_tier", "Was", coloured=True, width=100),
                    column("risk_tier", "Is", coloured=True, width=100),
                    gauge(risk.probability_column, leaves(risk), width=140),
                    points("points_changed", "Points since last Monday"),
                    column("model_changed", "New model"),
                    column("csm_owner", "Owner"),
                ],
                configured=[tier_colours("previous_risk_tier", "risk_tier"), tier_bounds(risk.probability_column)],
            ),
            table(
                "Whom to offer the next plan",
                "Expansion candidates who are safe to upsell, largest expected uplift first, of whom somebody may approach.",
                (12, 25, 12, 10),
                f"""
                select expansion_rank, customer_id, company_name, plan_tier, target_tier, {expansion.probability_column}, expected_arr_uplift, is_high_value_target, risk_tier, csm_owner, first_reason, recommended_action
                from churn.expansion_candidates
                where {CHOSEN}
                order by expansion_rank
                """,
                [
                    column("expansion_rank", "#", width=60),
                    customer(),
                    column("company_name", "Company", width=160),
                    column("plan_tier", "Plan"),
                    column("target_tier", "Next plan"),
                    share(expansion.probability_column, f"Moves up in {expansion.horizon_days} days", 0),
                    usd("expected_arr_uplift", "Expected uplift, USD a year"),
                    column("is_high_value_target", "High value"),
                    column("risk_tier", "Risk", coloured=True, width=100),
                    column("csm_owner", "Owner"),
                    column("first_reason", "First reason", width=300),
                    column("recommended_action", "What to do", width=400),
                ],
                configured=[tier_colours("risk_tier")],
            ),
            table(
                "Every customer",
                "All customers of the filters, called or not. The first 2,000 by revenue at risk; search for others.",
                (0, 35, 24, 12),
                f"""
                select priority_rank, call_rank, customer_id, company_name, risk_tier, {probabilities}, revenue_at_risk, mrr, plan_tier, industry, csm_owner,
                       days_to_renewal, snoozed_until::text as snoozed_until, resting_until::text as resting_until, segment
                from churn.latest_predictions
                where {CHOSEN}
                order by priority_rank
                limit 2000
                """,
                [
                    column("priority_rank", "By money", width=90),
                    column("call_rank", "Call", width=60),
                    customer(),
                    column("company_name", "Company", width=180),
                    column("risk_tier", "Tier", coloured=True, width=100),
                    *(
                        gauge(target.probability_column, leaves(target), width=150)
                        if target is risk
                        else share(target.probability_column, leaves(target), 0)
                        for target in churn
                    ),
                    usd("revenue_at_risk", "At risk, USD a year"),
                    usd("mrr", "MRR"),
                    column("plan_tier", "Plan"),
                    column("industry", "Industry"),
                    column("csm_owner", "Owner"),
                    column("days_to_renewal", "Days to renewal"),
                    column("snoozed_until", "Snoozed until"),
                    column("resting_until", "Called, rests until"),
                    column("segment", "Segment"),
                ],
                configured=[tier_colours("risk_tier"), tier_bounds(risk.probability_column)],
            ),
            series(
                "Customer: probability over time",
                "The customer of the field Customer id, over the time range of the page. Lines are where a tier of the newest Monday begins.",
                (0, 47, 12, 10),
                f"""
                select snapshot_date::timestamp as "time", {lines}
                from churn.predictions
                where customer_id = {CUSTOMER} and $__timeFilter(snapshot_date)
                order by snapshot_date
                """,
                unit="percentunit",
                smallest=0,
                lines_at_steps=True,
                configured=[tier_bounds()],
            ),
            table(
                "Customer: what changed since last Monday",
                "Parts of the change of the probability, in percentage points, and of revenue at risk, in USD a year; both add up to the change.",
                (12, 47, 12, 10),
                f"""
                select part.value ->> 'label' as label, 100 * (part.value ->> 'points')::double precision as points_changed,
                       (part.value ->> 'revenue')::double precision as revenue
                from churn.latest_predictions as p
                cross join lateral jsonb_array_elements(p.change_parts) with ordinality as part (value, place)
                where customer_id = {CUSTOMER}
                order by abs((part.value ->> 'points')::double precision) desc, part.place
                """,
                [
                    column("label", "Part", width=240),
                    points("points_changed", "Points"),
                    usd("revenue", "Revenue at risk, USD a year"),
                ],
            ),
            table(
                "Customer: reasons, and what to say",
                "What raises the risk on the newest Monday, the largest first, with its share of all that raises it; and what to ask, to offer and to leave unsaid.",
                (0, 57, 24, 7),
                f"""
                select theme.place as place, theme.value ->> 'label' as label, (theme.value ->> 'share')::double precision as share,
                       theme.value ->> 'sentence' as sentence, point.value ->> 'ask' as ask, point.value ->> 'offer' as offer,
                       point.value ->> 'avoid' as avoid
                from churn.latest_predictions as p
                cross join lateral jsonb_array_elements(p.churn_themes) with ordinality as theme (value, place)
                left join lateral (
                    select said.value
                    from jsonb_array_elements(p.talking_points) as said (value)
                    where said.value ->> 'theme' = theme.value ->> 'theme'
                    limit 1
                ) as point on true
                where customer_id = {CUSTOMER}
                order by theme.place
                """,
                [
                    column("place", "#", width=50),
                    column("label", "Reason", width=130),
                    share("share", "Share", 0, width=80),
                    column("sentence", "What the data say", width=420),
                    column("ask", "Ask", width=360),
                    column("offer", "Offer", width=360),
                    column("avoid", "Avoid", width=360),
                ],
            ),
        ],
    )
