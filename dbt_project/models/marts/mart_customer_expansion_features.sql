{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        pre_hook="{{ clear_window('snapshot_date', source('control', 'snapshots_to_build')) }}",
        post_hook="{{ record_window('snapshot_date', source('control', 'snapshots_to_build')) }}"
    )
}}

with

churn_features as (

    select * from {{ ref('mart_customer_churn_features') }}
    where snapshot_date in (select build.snapshot_date from {{ source('control', 'snapshots_to_build') }} as build)

),

plan_ladder as (

    select * from {{ ref('plan_ladder') }}

),

usage_windows as (

    select * from {{ ref('int_usage_windows') }}

),

tickets as (

    select * from {{ ref('int_tickets_as_of') }}

),

opportunities as (

    select * from {{ ref('int_opportunities_as_of') }}

),

plans as (

    select * from {{ ref('int_plan_as_of') }}

),

first_days as (

    select
        (select min(known_date) from {{ ref('int_customer_days') }}) as usage_day,
        (select min(known_date) from {{ ref('stg_support_tickets') }}) as ticket_day,
        (select min(known_date) from {{ ref('stg_gtm_opportunities') }}) as opportunity_day

),

-- What a customer without rows counts: 0, and nothing known where the source had no row at all before S.
beginnings as (

    select
        snapshots.snapshot_date,
        if(snapshots.snapshot_date > first_days.usage_day, 0, null) as no_usage,
        if(snapshots.snapshot_date > first_days.ticket_day, 0, null) as no_tickets,
        if(snapshots.snapshot_date > first_days.opportunity_day, 0, null) as no_opportunities
    from {{ source('control', 'snapshots_to_build') }} as snapshots
    cross join first_days

),

final as (

    select
        churn_features.snapshot_date,
        churn_features.customer_id,
        churn_features.industry,
        churn_features.plan_tier,
        churn_features.mrr,
        churn_features.tenure_days,
        churn_features.is_early_stage,
        churn_features.total_events,
        churn_features.events_last_7d,
        churn_features.events_last_30d,
        churn_features.usage_change_30d,
        churn_features.usage_vs_own_history,
        churn_features.active_days_last_30d,
        churn_features.event_types_last_30d,
        churn_features.avg_adoption_score,
        churn_features.adoption_change,
        churn_features.integration_connects_first_30d,
        churn_features.high_priority_tickets,
        churn_features.days_to_renewal,
        coalesce(usage_windows.premium_feature_trials_30d, beginnings.no_usage) as premium_feature_trials_30d,
        coalesce(usage_windows.premium_feature_trials_90d, beginnings.no_usage) as premium_feature_trials_90d,
        coalesce(usage_windows.feature_limit_hit_30d, beginnings.no_usage) as feature_limit_hit_30d,
        coalesce(usage_windows.feature_limit_hit_90d, beginnings.no_usage) as feature_limit_hit_90d,
        coalesce(usage_windows.premium_feature_trial_weight, beginnings.no_usage)
        / 64.0::double as premium_feature_trials_decayed,
        coalesce(usage_windows.feature_limit_hit_weight, beginnings.no_usage)
        / 64.0::double as feature_limit_hit_decayed,
        usage_windows.days_since_premium_feature_trial,
        usage_windows.days_since_feature_limit_hit,
        coalesce(tickets.feature_request_tickets_90d, beginnings.no_tickets) as feature_request_tickets_90d,
        coalesce(opportunities.has_open_expansion_opp, beginnings.no_opportunities <> 0) as has_open_expansion_opp,
        coalesce(opportunities.closed_amount_cents, beginnings.no_opportunities)
        / 100.0::double as expansion_opp_amount,
        opportunities.days_since_expansion_opp,
        churn_features.snapshot_date - plans.last_change_date as days_since_plan_change,
        case
            when plan_ladder.mrr_ceiling is null then 0.0::double
            else
                least(
                    greatest(
                        (churn_features.mrr - plan_ladder.mrr_floor)
                        / (plan_ladder.mrr_ceiling - plan_ladder.mrr_floor),
                        0
                    ),
                    1
                )
        end as mrr_tier_ceiling_pct
    from churn_features
    left join plan_ladder on churn_features.plan_tier = plan_ladder.plan_tier
    left join plans using (snapshot_date, customer_id)
    left join usage_windows using (snapshot_date, customer_id)
    left join tickets using (snapshot_date, customer_id)
    left join opportunities using (snapshot_date, customer_id)
    inner join beginnings on churn_features.snapshot_date = beginnings.snapshot_date
    -- The top of the ladder has nowhere to go; an unknown tier is not on it.
    where plan_ladder.next_tier is not null

)

select * from final
