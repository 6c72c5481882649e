with

source as (

    select * from {{ source('landing', 'customers') }}

),

renamed as (

    select
        customer_id,
        industry,
        plan_tier as current_plan_tier,
        mrr_cents as current_mrr_cents,
        signup_date,
        churn_date,
        upgrade_date,
        censor_date,
        csm_owner,
        known_date
    from source

)

select * from renamed
