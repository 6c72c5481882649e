{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        pre_hook="{{ clear_window('known_date', source('control', 'days_to_build')) }}",
        post_hook="{{ record_window('known_date', source('control', 'days_to_build')) }}"
    )
}}

with

window_days as (

    select known_date from {{ source('control', 'days_to_build') }}

),

usage_events as (

    select * from {{ ref('stg_usage_events') }}
    where known_date in (select window_days.known_date from window_days)

),

-- One bit per event type, so that distinct types over any span of days are a bit_or. Types that share a bit (1 in 64 a
-- pair) are counted once. Once a type and not once an event: it was two thirds of the time of this table.
event_types as (

    select
        event_type,
        1::ubigint << (md5_number_lower(event_type) % 64) as event_type_bit
    from {{ ref('stg_usage_events') }}
    where known_date in (select window_days.known_date from window_days)
    group by event_type

),

aggregated as (

    select
        usage_events.customer_id,
        usage_events.event_date,
        usage_events.known_date,
        count(*) as events,
        count(*) filter (where usage_events.meaning in ('retention_signal', 'integration')) as retention_signals,
        count(*) filter (where usage_events.meaning = 'integration') as integration_connects,
        count(*) filter (where usage_events.meaning = 'premium_trial') as premium_trials,
        count(*) filter (where usage_events.meaning = 'limit_hit') as limit_hits,
        -- Integers: a sum of doubles would depend on the order in which threads deliver rows.
        coalesce(sum(usage_events.adoption_micros), 0)::bigint as adoption_micros,
        count(usage_events.adoption_micros) as adoption_scores,
        bit_or(event_types.event_type_bit) as event_type_bits
    from usage_events
    left join event_types on usage_events.event_type = event_types.event_type
    group by usage_events.customer_id, usage_events.event_date, usage_events.known_date

)

select * from aggregated
