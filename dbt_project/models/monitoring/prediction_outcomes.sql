{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='append_new_columns',
        pre_hook="{{ clear_window('assessed_on', outcome_mondays()) }}"
    )
}}

with

mondays as (

    -- A Monday that was refused judges nothing: what makes it unfit to score, such as a feed that stopped, also hides who left.
    select assessed_on from {{ outcome_mondays() }}

),

targets (target, event, horizon_days) as (

    values
    ('churn_30d', 'churn', 30),
    ('churn_90d', 'churn', 90),
    ('expansion_90d', 'expansion', 90)

),

predictions as (

    select * from {{ ref('predictions') }}

),

interventions as (

    select * from {{ source('landing', 'interventions') }}

),

customers as (

    select * from {{ ref('stg_customers') }}

),

due as (

    -- The first Monday by which every window has closed: 5 weeks after S for 30 days, 13 for 90.
    select
        mondays.assessed_on,
        targets.target,
        targets.event,
        targets.horizon_days,
        predictions.snapshot_date,
        predictions.customer_id,
        predictions.plan_tier,
        predictions.risk_tier,
        predictions.is_holdout,
        predictions.scoring_mode,
        case targets.target
            when 'churn_30d' then predictions.churn_probability_30d
            when 'churn_90d' then predictions.churn_probability_90d
            when 'expansion_90d' then predictions.expansion_propensity
        end as probability,
        case targets.target
            when 'churn_30d' then predictions.churn_30d_model_version
            when 'churn_90d' then predictions.churn_90d_model_version
            when 'expansion_90d' then predictions.expansion_model_version
        end as model_version
    from mondays
    cross join targets
    inner join predictions
        on predictions.snapshot_date = mondays.assessed_on - ((targets.horizon_days + 6) // 7 * 7)::integer

),

churn as (

    select * from due
    where event = 'churn'

),

expansion as (

    select * from due
    where event = 'expansion' and probability is not null

),

labelled as (

    {{ churn_labelled('churn', 'snapshots.horizon_days', ref('stg_customers')) }}
    union all
    ({{ expansion_labelled(
        'expansion', 'snapshots.horizon_days', 'snapshots.assessed_on', ref('stg_customers'), ref('stg_plan_changes'),
        ref('plan_ladder')
    ) }})

),

touches as (

    select distinct
        labelled.assessed_on,
        labelled.target,
        labelled.customer_id
    from labelled
    inner join interventions
        on
            labelled.customer_id = interventions.customer_id
            and labelled.snapshot_date <= interventions.at_date
            and labelled.snapshot_date + labelled.horizon_days > interventions.at_date
            and labelled.assessed_on > interventions.known_date

),

final as (

    select
        labelled.assessed_on,
        labelled.snapshot_date as predicted_on,
        labelled.target,
        labelled.customer_id,
        labelled.plan_tier,
        labelled.risk_tier,
        labelled.probability,
        labelled.label,
        touches.customer_id is not null as touched,
        coalesce(labelled.is_holdout, false) as is_holdout,
        case
            when least(customers.churn_date, customers.censor_date) >= labelled.assessed_on then 'active'
            when customers.churn_date <= coalesce(customers.censor_date, customers.churn_date) then 'churned'
            when customers.censor_date is not null then 'left'
            else 'active'
        end as status,
        labelled.model_version,
        labelled.scoring_mode
    from labelled
    inner join customers on labelled.customer_id = customers.customer_id
    left join touches
        on
            labelled.assessed_on = touches.assessed_on
            and labelled.target = touches.target
            and labelled.customer_id = touches.customer_id

)

select * from final
