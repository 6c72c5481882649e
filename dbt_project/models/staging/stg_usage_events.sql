with

source as (

    select * from {{ source('landing', 'usage_events') }}

),

event_types as (

    select
        lower(trim(event_type)) as event_type,
        lower(trim(meaning)) as meaning
    from {{ ref('event_types') }}

),

renamed as (

    select
        source.event_id,
        source.customer_id,
        source.event_type,
        source.event_date,
        source.known_date,
        source.adoption_micros,
        -- A type that the seed does not know is somebody doing something: it counts as activity and is reported.
        coalesce(event_types.meaning, 'activity') as meaning
    from source
    left join event_types on source.event_type = event_types.event_type

)

select * from renamed
