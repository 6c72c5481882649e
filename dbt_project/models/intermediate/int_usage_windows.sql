with

snapshots as (

    select snapshot_date from {{ source('control', 'snapshots_to_build') }}

),

customer_days as (

    select * from {{ ref('int_customer_days') }}
    where event_date >= (select min(snapshots.snapshot_date) - 90 from snapshots)

),

-- A day can be seen by the 13 Mondays after it. Naming them turns a range join into an equality join. What a day weighs halves every two
-- weeks, from 64 on, in whole numbers: a sum of doubles would depend on the order of the rows.
weeks as (

    select
        unnest(range(13))::integer as number,
        unnest([64, 45, 32, 23, 16, 11, 8, 6, 4, 3, 2, 1, 1])::integer as weight

),

day_snapshots as (

    select
        customer_days.*,
        weeks.weight,
        customer_days.event_date + (8 - isodow(customer_days.event_date))::integer + 7 * weeks.number as snapshot_date
    from customer_days
    cross join weeks

),

aged as (

    select
        day_snapshots.*,
        day_snapshots.snapshot_date - day_snapshots.event_date as age,
        -- One bit a day. Distinct days are then the bits of a bit_or, five times faster than count(distinct).
        case
            when age <= 45 then 1::ubigint << age::integer
            else 0::ubigint
        end as recent_day_bit,
        case
            when age > 45 then 1::ubigint << (age - 45)::integer
            else 0::ubigint
        end as older_day_bit
    from day_snapshots
    where
        day_snapshots.snapshot_date in (select snapshots.snapshot_date from snapshots)
        and day_snapshots.known_date < day_snapshots.snapshot_date
        and day_snapshots.snapshot_date - day_snapshots.event_date <= 90

),

final as (

    select
        snapshot_date,
        customer_id,
        coalesce(sum(events) filter (where age <= 7), 0)::bigint as events_last_7d,
        coalesce(sum(events) filter (where age <= 14), 0)::bigint as events_last_14d,
        coalesce(sum(events) filter (where age > 7 and age <= 28), 0)::bigint as events_prior_21d,
        coalesce(sum(events) filter (where age <= 30), 0)::bigint as events_last_30d,
        coalesce(sum(events) filter (where age > 30 and age <= 60), 0)::bigint as events_prior_30d,
        sum(events)::bigint as events_last_90d,
        sum(events * age)::bigint as event_age_days_90d,
        bit_count(coalesce(bit_or(recent_day_bit) filter (where age <= 30), 0::ubigint))::bigint
            as active_days_last_30d,
        (bit_count(bit_or(recent_day_bit)) + bit_count(bit_or(older_day_bit)))::bigint as active_days_last_90d,
        coalesce(sum(retention_signals) filter (where age <= 30), 0)::bigint as retention_signals_last_30d,
        coalesce(sum(adoption_micros) filter (where age <= 30), 0)::bigint as adoption_micros_30d,
        coalesce(sum(adoption_scores) filter (where age <= 30), 0)::bigint as adoption_scores_30d,
        coalesce(sum(adoption_micros) filter (where age > 30), 0)::bigint as adoption_micros_31_90d,
        coalesce(sum(adoption_scores) filter (where age > 30), 0)::bigint as adoption_scores_31_90d,
        bit_count(coalesce(bit_or(event_type_bits) filter (where age <= 30), 0::ubigint)) as event_types_last_30d,
        coalesce(sum(premium_trials) filter (where age <= 30), 0)::bigint as premium_feature_trials_30d,
        coalesce(sum(limit_hits) filter (where age <= 30), 0)::bigint as feature_limit_hit_30d,
        sum(premium_trials)::bigint as premium_feature_trials_90d,
        sum(limit_hits)::bigint as feature_limit_hit_90d,
        sum(premium_trials * weight)::bigint as premium_feature_trial_weight,
        sum(limit_hits * weight)::bigint as feature_limit_hit_weight,
        min(age) filter (where premium_trials > 0) as days_since_premium_feature_trial,
        min(age) filter (where limit_hits > 0) as days_since_feature_limit_hit
    from aged
    group by snapshot_date, customer_id

)

select * from final
