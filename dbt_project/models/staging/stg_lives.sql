with

source as (

    select * from {{ source('landing', 'lives') }}

),

renamed as (

    select
        customer_id,
        life,
        started_on,
        active_from,
        active_until,
        ended_on,
        end_kind,
        resumed_on,
        plans_from,
        plans_until,
        industry,
        plan_tier as current_plan_tier,
        mrr_cents as current_mrr_cents,
        upgrade_date
    from source

)

select * from renamed
