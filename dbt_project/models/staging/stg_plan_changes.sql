with

source as (

    select * from {{ source('landing', 'plan_changes') }}

),

renamed as (

    select
        customer_id,
        effective_date,
        from_tier,
        to_tier,
        from_mrr_cents,
        to_mrr_cents,
        known_date,
        is_first,
        shows_tiers
    from source

)

select * from renamed
