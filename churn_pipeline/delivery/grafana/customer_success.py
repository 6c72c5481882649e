"""The dashboard of customer success managers: whom to call and why, who got worse, who is ready to grow, and one customer over time."""

from __future__ import annotations

from collections import Counter

from churn_pipeline.core.targets import TARGETS, Target, target_of
from churn_pipeline.delivery.grafana.panels import (
    NEWEST,
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
        "Whom to call and why, who got worse, who is ready to grow, and one customer over time.",
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
                "Customers of the filters in an urgent tier, without those who are snoozed or held out.",
                (8, 0, 4, 4),
                f"""
                select count(*) as customers
                from churn.at_risk
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
                from churn.at_risk
                where {CHOSEN}
                """,
                unit="currencyUSD",
                decimals=0,
            ),
            stat(
                "New in an urgent tier",
                "Customers who were in a tier that is not urgent the Monday before, snoozed and held out ones included.",
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
                "Most revenue at risk first. Reasons are what raises the risk, largest contribution first. A number missing in # is somebody of a tier that is not urgent, snoozed or held out. Click a customer for everything about them at the bottom of the page.",
                (0, 4, 24, 12),
                f"""
                select priority_rank, customer_id, company_name, risk_tier, {risk.probability_column}, probability_change, revenue_at_risk, mrr, plan_tier, csm_owner,
                       first_reason, second_reason, third_reason, play, recommended_action
                from churn.at_risk
                where {CHOSEN}
                order by priority_rank
                """,
                [
                    column("priority_rank", "#", width=60),
                    customer(),
                    column("company_name", "Company", width=180),
                    column("risk_tier", "Tier", coloured=True, width=100),
                    gauge(risk.probability_column, leaves(risk), width=150),
                    share("probability_change", "Since last Monday", width=130),
                    usd("revenue_at_risk", "At risk, USD a year", width=140),
                    usd("mrr", "MRR", width=90),
                    column("plan_tier", "Plan", width=100),
                    column("csm_owner", "Owner", width=130),
                    column("first_reason", "First reason", width=320),
                    column("second_reason", "Second reason", width=320),
                    column("third_reason", "Third reason", width=320),
                    column("play", "Play", width=140),
                    column("recommended_action", "What to do", width=420),
                ],
                configured=[tier_colours("risk_tier"), tier_bounds(risk.probability_column)],
            ),
            table(
                "Who got worse since last Monday",
                f"The 25 largest rises of the {risk.horizon_days}-day probability. New model: the model changed between the two Mondays, so part of the rise may be the model.",
                (0, 16, 12, 10),
                f"""
                select customer_id, company_name, previous_risk_tier, risk_tier, {risk.probability_column}, probability_change, model_changed, csm_owner
                from churn.latest_predictions
                where probability_change > 0
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
                    share("probability_change", "Since last Monday"),
                    column("model_changed", "New model"),
                    column("csm_owner", "Owner"),
                ],
                configured=[tier_colours("previous_risk_tier", "risk_tier"), tier_bounds(risk.probability_column)],
            ),
            table(
                "Whom to offer the next plan",
                "Expansion candidates who are safe to upsell, largest expected uplift first, without those who are snoozed or held out.",
                (12, 16, 12, 10),
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
                "All customers of the filters, also those not to be called: held out (for measuring what calls are worth) or snoozed until a date. The first 2,000 by rank; search for others.",
                (0, 26, 24, 12),
                f"""
                select priority_rank, customer_id, company_name, risk_tier, {probabilities}, revenue_at_risk, mrr, plan_tier, industry, csm_owner, risk_score,
                       snoozed_until::text as snoozed_until, is_holdout, play
                from churn.latest_predictions
                where {CHOSEN}
                order by priority_rank
                limit 2000
                """,
                [
                    column("priority_rank", "#", width=60),
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
                    column("risk_score", "Risk score (no probability)", decimals=2),
                    column("snoozed_until", "Snoozed until"),
                    column("is_holdout", "Held out"),
                    column("play", "Play"),
                ],
                configured=[tier_colours("risk_tier"), tier_bounds(risk.probability_column)],
            ),
            series(
                "Customer: probability over time",
                "The customer of the field Customer id, over the time range of the page. Lines are where a tier of the newest Monday begins.",
                (0, 38, 12, 10),
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
                "Customer: reasons on the newest Monday",
                "Largest contributions first, for each model; change: what moved the probability since the Monday before. A contribution is in log-odds: above 0 it raises the probability.",
                (12, 38, 12, 10),
                f"""
                select target, rank, sentence, label, value, contribution
                from churn.drivers
                where customer_id = {CUSTOMER}
                  and snapshot_date = {NEWEST}
                order by target, rank
                """,
                [
                    column("target", "Model", width=150),
                    column("rank", "#", width=50),
                    column("sentence", "Reason", width=420),
                    column("label", "Feature", width=180),
                    column("value", "Value", width=100),
                    column("contribution", "Contribution", decimals=2),
                ],
            ),
        ],
    )
