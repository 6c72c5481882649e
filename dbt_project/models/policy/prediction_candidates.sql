{{
    config(
        materialized='table',
        pre_hook=[
            "create table if not exists control.holdout (effective_from date, share double, seed bigint)",
            "{{ keep_policy() }}"
        ]
    )
}}

with

scored_mondays as (

    select * from {{ source('scoring', 'scored_mondays') }}

),

scores as (

    select * from {{ scores_of_run() }}

),

-- One row per customer, with the columns of every target; a customer without a score of a target has nulls there.
by_customer as (

    select
        snapshot_date,
        customer_id,
        {% call(target) for_each_target() -%}
            max(probability) filter (where target = '{{ target.name }}') as {{ target.probability_column }},
        {% endcall -%}
        any_value(drivers) filter (where target = '{{ target_of('risk') }}') as churn_drivers,
        any_value(change_drivers) filter (where target = '{{ target_of('risk') }}') as change_drivers,
        any_value(drivers) filter (where target = '{{ target_of('expansion') }}') as expansion_drivers
    from scores
    group by snapshot_date, customer_id

),

features as (

    select * from {{ ref('mart_customer_churn_features') }}

),

customers as (

    select * from {{ ref('stg_customers') }}

),

plan_ladder as (

    select * from {{ ref('plan_ladder') }}

),

risk_tiers as (

    select * from {{ ref('risk_tiers') }}

),

segments as (

    select * from {{ ref('segments') }}

),

policy as (

    {{ policy_constants() }}

),

holdout as (

    -- What holds from a Monday on; before the first row, and with a share of 0, nobody is held out.
    select
        effective_from,
        share,
        seed
    from {{ source('control', 'holdout') }}

),

snoozes as (

    -- Read from landing, because it is no feature: what was said to customers may not decide about their probability.
    select
        scored_mondays.snapshot_date,
        interventions.customer_id,
        max(interventions.snooze_until) as snoozed_until
    from scored_mondays
    inner join {{ source('landing', 'interventions') }} as interventions
        on
            scored_mondays.snapshot_date > interventions.known_date
            and scored_mondays.snapshot_date < interventions.snooze_until
    group by all

),

measured as (

    select
        by_customer.*,
        -- Policy asks by role; how the columns are called is the business of whoever reads them.
        by_customer.{{ probability_of('risk') }} as risk_probability,
        by_customer.{{ probability_of('flag') }} as flag_probability,
        by_customer.{{ probability_of('expansion') }} as expansion_probability,
        scored_mondays.* exclude (snapshot_date, labels_closed_by, model_versions),
        {% call(target) for_each_target() -%}
            scored_mondays.model_versions['{{ target.name }}'] as {{ target.version_column }},
        {% endcall -%}
        scored_mondays.model_versions['{{ target_of('expansion') }}'] is not null as is_growth_scored,
        features.known_plan_tier as plan_tier,
        features.industry,
        features.known_mrr as mrr,
        features.tenure_days,
        features.is_early_stage,
        features.history_weeks,
        features.known_compliance_gap_score,
        features.known_vendor_risk_flags,
        customers.csm_owner,
        snoozes.snoozed_until,
        plan_ladder.next_tier as target_tier,
        policy.months_per_year * features.known_mrr as annual_revenue,
        case
            -- Nothing is known of usage before there was any of it.
            when features.events_prior_21d is null then null
            when features.events_prior_21d = 0 then if(features.events_last_7d = 0, 1.0, 0.0)
            else 1 - least(1, 3.0::double * features.events_last_7d / features.events_prior_21d)
        end as usage_decay,
        -- Revenue that the step up would add, for certain; the propensity comes later.
        case
            when plan_ladder.entry_mrr is not null then policy.months_per_year * plan_ladder.entry_mrr
            when plan_ladder.uplift_multiplier is not null
                then policy.months_per_year * features.known_mrr * (plan_ladder.uplift_multiplier - 1)
        end as full_uplift
    from by_customer
    inner join scored_mondays on by_customer.snapshot_date = scored_mondays.snapshot_date
    inner join features
        on by_customer.snapshot_date = features.snapshot_date and by_customer.customer_id = features.customer_id
    inner join customers on by_customer.customer_id = customers.customer_id
    left join plan_ladder on features.known_plan_tier = plan_ladder.plan_tier
    left join snoozes
        on by_customer.snapshot_date = snoozes.snapshot_date and by_customer.customer_id = snoozes.customer_id
    cross join policy

),

judged as (

    select
        measured.*,
        churn_tier.risk_tier,
        measured.annual_revenue * measured.risk_probability as revenue_at_risk,
        policy.usage_decay_weight * coalesce(measured.usage_decay, 0)
        + policy.compliance_gap_weight * coalesce(measured.known_compliance_gap_score, 0)
        + policy.vendor_flags_weight
        * least(coalesce(measured.known_vendor_risk_flags, 0) / policy.vendor_flags_cap, 1) as risk_score,
        coalesce(
            nullif(
                concat_ws(
                    ' + ',
                    if(measured.usage_decay is not null, 'usage_decay', null),
                    if(measured.known_compliance_gap_score is not null, 'compliance_gap', null),
                    if(measured.known_vendor_risk_flags is not null, 'vendor_flags', null)
                ),
                ''
            ),
            'none'
        ) as risk_score_basis,
        case
            when not measured.is_growth_scored then null
            when measured.target_tier is null then 0
            else measured.full_uplift * measured.expansion_probability
        end as expected_arr_uplift,
        case
            when measured.expansion_probability is null then null
            when measured.expansion_probability >= policy.readiness_ready then 'ready'
            when measured.expansion_probability >= policy.readiness_not_ready then 'not_ready'
            else 'none'
        end as expansion_readiness,
        case
            when measured.is_growth_scored
                then coalesce(
                    measured.expansion_probability >= policy.candidate_propensity
                    and measured.risk_probability < policy.candidate_max_churn,
                    false
                )
        end as is_expansion_candidate,
        segments.segment,
        measured.flag_probability > policy.flag_threshold as is_flagged,
        churn_tier.is_urgent
        and coalesce(
            {{ holdout_draw('measured.customer_id', 'measured.snapshot_date', 'holdout.seed') }} < holdout.share, false
        ) as is_holdout
    from measured
    cross join policy
    asof left join holdout on measured.snapshot_date >= holdout.effective_from
    asof left join risk_tiers as churn_tier on measured.risk_probability >= churn_tier.lower_bound
    left join segments
        on
            segments.at_risk = (measured.risk_probability >= policy.play_churn_threshold)
            and segments.ready_to_grow
            = coalesce(measured.expansion_probability >= policy.play_expansion_threshold, false)

),

ranked as (

    select
        judged.*,
        score_tier.risk_tier as risk_score_tier,
        case
            when judged.is_growth_scored
                then coalesce(
                    (
                        judged.expected_arr_uplift > policy.high_value_uplift
                        and judged.expansion_probability >= policy.high_value_propensity
                    )
                    or (judged.plan_tier = 'free' and judged.expansion_probability >= policy.high_value_free_propensity),
                    false
                )
        end as is_high_value_target,
        row_number() over (
            partition by judged.snapshot_date
            order by coalesce(judged.revenue_at_risk, 0) desc, judged.risk_probability desc, judged.customer_id
        ) as priority_rank,
        case
            when judged.is_expansion_candidate
                then row_number() over (
                    partition by judged.snapshot_date, judged.is_expansion_candidate
                    order by
                        coalesce(judged.expected_arr_uplift, 0) desc,
                        judged.expansion_probability desc,
                        judged.customer_id
                )
        end as expansion_rank
    from judged
    cross join policy
    asof left join risk_tiers as score_tier on judged.risk_score >= score_tier.lower_bound

),

plays as (

    {{ first_plays('ranked') }}

),

final as (

    select
        ranked.snapshot_date,
        ranked.customer_id,
        ranked.plan_tier,
        ranked.industry,
        ranked.mrr,
        ranked.tenure_days,
        ranked.is_early_stage,
        ranked.csm_owner,
        ranked.{{ probability_of('flag') }},
        ranked.{{ probability_of('risk') }},
        ranked.risk_tier,
        null::varchar as previous_risk_tier,
        null::double as probability_change,
        ranked.is_flagged,
        ranked.risk_score,
        ranked.risk_score_tier,
        ranked.risk_score_basis,
        ranked.annual_revenue,
        ranked.revenue_at_risk,
        ranked.priority_rank,
        ranked.churn_drivers,
        ranked.change_drivers,
        ranked.{{ probability_of('expansion') }},
        ranked.expansion_readiness,
        ranked.expansion_drivers,
        ranked.target_tier,
        ranked.expected_arr_uplift,
        ranked.is_expansion_candidate,
        ranked.expansion_rank,
        ranked.is_high_value_target,
        plays.play,
        plays.recommended_action,
        coalesce(ranked.is_holdout, false) as is_holdout,
        ranked.snoozed_until,
        ranked.history_weeks,
        null::boolean as model_changed,
        {{ policy_version() }} as policy_version,
        ranked.scoring_mode,
        ranked.{{ version_of('flag') }},
        ranked.{{ version_of('risk') }},
        ranked.{{ version_of('expansion') }},
        ranked.run_id,
        ranked.scored_at{% call(target) for_each_target(without_role=true) -%}
            ,
            ranked.{{ target.probability_column }},
            ranked.{{ target.version_column }}
        {%- endcall %}
    from ranked
    left join plays on {{ same_case('ranked', 'plays') }}

)

select * from final
