with

source as (

    select * from {{ source('landing', 'gtm_opportunities') }}

),

renamed as (

    select
        opp_id,
        customer_id,
        opportunity_type,
        created_date,
        known_date,
        amount_cents,
        -- Stage and amount are facts only once the opportunity is closed; until then both may still be edited. A closed stage without a day
        -- is dated ahead, and its day comes once it is there: until then it is open, as it was for whoever looked earlier.
        case
            when stage in ('closed_won', 'closed_lost') and close_date is not null then greatest(close_date, known_date)
        end as closed_date
    from source
    -- Without created_date it is not known since when it exists: displayed, never a feature.
    where created_date is not null

)

select * from renamed
