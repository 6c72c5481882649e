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

usage_events as (

    select * from {{ ref('stg_usage_events') }}

),

window_days as (

    select known_date from {{ source('control', 'days_to_build') }}

),

aggregated as (

    select
        customer_id,
        event_date,
        known_date,
        count(*) as events,
        count(*) filter (where meaning in ('retention_signal', 'integration')) as retention_signals,
        count(*) filter (where meaning = 'integration') as integration_connects,
        count(*) filter (where meaning = 'premium_trial') as premium_trials,
        count(*) filter (where meaning = 'limit_hit') as limit_hits,
        -- Integers: a sum of doubles would depend on the order in which threads deliver rows.
        coalesce(sum(adoption_micros), 0)::bigint as adoption_micros,
        count(adoption_micros) as adoption_scores,
        -- One bit per event type, so that distinct types over any span of days are a bit_or. Types that share a bit (1 in 64 a
        -- pair) are counted once.
        bit_or(1::ubigint << (md5_number_lower(event_type) % 64)) as event_type_bits
    from usage_events
    where known_date in (select window_days.known_date from window_days)
    group by customer_id, event_date, known_date

)

select * from aggregated
