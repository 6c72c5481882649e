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

predictions as (

    -- One row per customer, Monday and target again. A target that was declared later, or had no model, predicted nothing.
    {% call(target) for_each_target(separator=' union all ') -%}
        select
            snapshot_date,
            customer_id,
            plan_tier,
            risk_tier,
            is_holdout,
            scoring_mode,
            '{{ target.name }}' as target,
            '{{ target.event }}' as event,
            {{ target.horizon_days }} as horizon_days,
            {{ target.probability_column }} as probability,
            {{ target.version_column }} as model_version
        from {{ ref('predictions') }}
        where {{ target.probability_column }} is not null
    {%- endcall %}

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
        predictions.target,
        predictions.event,
        predictions.horizon_days,
        predictions.snapshot_date,
        predictions.customer_id,
        predictions.plan_tier,
        predictions.risk_tier,
        predictions.is_holdout,
        predictions.scoring_mode,
        predictions.probability,
        predictions.model_version
    from mondays
    inner join predictions
        on predictions.snapshot_date = mondays.assessed_on - ((predictions.horizon_days + 6) // 7 * 7)::integer

),

churn as (

    select * from due
    where event = 'churn'

),

expansion as (

    select * from due
    where event = 'expansion'

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
