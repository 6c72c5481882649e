with

source as (

    select * from {{ source('landing', 'contracts') }}

),

renamed as (

    select
        customer_id,
        start_date,
        end_date,
        auto_renew,
        known_date
    from source

)

select * from renamed
