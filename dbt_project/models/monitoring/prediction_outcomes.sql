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
            {{ target.version_column }} as model_version,
            {{ target.kind_column }} as model_kind
        from {{ ref('predictions') }}
        where {{ target.probability_column }} is not null
    {%- endcall %}

),

interventions as (

    select * from {{ source('landing', 'interventions') }}

),

lives as (

    select * from {{ ref('stg_lives') }}

),

due as (

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
        predictions.model_version,
        predictions.model_kind
    from mondays
    inner join {{ due_mondays() }} as closing on mondays.assessed_on = closing.assessed_on
    inner join predictions
        on closing.predicted_on = predictions.snapshot_date and closing.horizon_days = predictions.horizon_days

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

    {{ churn_labelled(
        'churn', 'snapshots.horizon_days', 'snapshots.assessed_on', ref('stg_customers'), ref('stg_lives')
    ) }}
    union all
    ({{ expansion_labelled(
        'expansion', 'snapshots.horizon_days', 'snapshots.assessed_on', ref('stg_customers'), ref('stg_lives'),
        ref('stg_plan_changes'), ref('plan_ladder')
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
            when coalesce(last_span.active_until >= labelled.assessed_on, true) then 'active'
            when last_span.end_kind = 'churn' then 'churned'
            else 'left'
        end as status,
        labelled.model_version,
        labelled.model_kind,
        labelled.scoring_mode
    from labelled
    -- The life that the prediction was about, or the one before it where corrected data say that it had ended: the last span of it that was
    -- known at the Monday.
    asof left join lives as span
        on labelled.customer_id = span.customer_id and labelled.snapshot_date > span.active_from
    left join lives as last_span
        on
            span.customer_id = last_span.customer_id
            and span.life = last_span.life
            and labelled.assessed_on > last_span.active_from
            and coalesce(last_span.resumed_on >= labelled.assessed_on, true)
    left join touches
        on
            labelled.assessed_on = touches.assessed_on
            and labelled.target = touches.target
            and labelled.customer_id = touches.customer_id

)

select * from final
