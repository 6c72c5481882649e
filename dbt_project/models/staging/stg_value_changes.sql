with

source as (

    select * from {{ source('landing', 'value_ledger') }}

),

renamed as (

    select
        entry,
        customer_id,
        from_tier,
        to_tier,
        from_mrr_cents,
        to_mrr_cents,
        first_seen_monday,
        known_date
    from source

)

select * from renamed
