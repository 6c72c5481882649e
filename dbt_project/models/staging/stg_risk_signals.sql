with

source as (

    select * from {{ source('landing', 'risk_signals') }}

),

renamed as (

    select
        customer_id,
        compliance_gap_micros,
        vendor_risk_flags,
        recorded_at,
        recorded_date,
        is_dated,
        known_date
    from source

)

select * from renamed
