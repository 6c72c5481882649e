with

source as (

    select * from {{ source('landing', 'support_tickets') }}

),

renamed as (

    select
        ticket_id,
        customer_id,
        created_date,
        known_date,
        resolved_date,
        resolution_seconds,
        priority in ('high', 'critical') as is_high_priority,
        priority = 'critical' as is_critical,
        lower(trim(topic)) as topic
    from source

)

select * from renamed
