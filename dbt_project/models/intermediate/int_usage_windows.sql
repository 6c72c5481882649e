with

snapshots as (

    select snapshot_date from {{ source('control', 'snapshots_to_build') }}

),

customer_days as (

    select * from {{ ref('int_customer_days') }}
    where
        event_date >= (select min(snapshots.snapshot_date) - 90 from snapshots)
        and event_date < (select max(snapshots.snapshot_date) from snapshots)

),

dated as (

    select
        *,
        -- Its age at the first Monday after it: 1 for a Sunday, 7 for a Monday.
        (8 - isodow(event_date))::integer as first_age,
        known_date + (8 - isodow(known_date))::integer as first_snapshot
    from customer_days

),

-- A day can be seen by the 13 Mondays after it, so the days of one week are added up before 13 rows are made of each. Windows that do not
-- end with a week take its newest days: 30 days are four weeks and two days, 60 eight and four, 90 twelve and six.
weekly as (

    select
        customer_id,
        event_date + first_age as next_monday,
        first_snapshot,
        sum(events)::bigint as events,
        coalesce(sum(events) filter (where first_age <= 2), 0)::bigint as events_2d,
        coalesce(sum(events) filter (where first_age <= 4), 0)::bigint as events_4d,
        coalesce(sum(events) filter (where first_age <= 6), 0)::bigint as events_6d,
        sum(events * first_age)::bigint as event_ages,
        coalesce(sum(events * first_age) filter (where first_age <= 6), 0)::bigint as event_ages_6d,
        coalesce(sum(retention_signals), 0)::bigint as retention_signals,
        coalesce(sum(retention_signals) filter (where first_age <= 2), 0)::bigint as retention_signals_2d,
        coalesce(sum(adoption_micros), 0)::bigint as adoption_micros,
        coalesce(sum(adoption_micros) filter (where first_age <= 2), 0)::bigint as adoption_micros_2d,
        coalesce(sum(adoption_micros) filter (where first_age <= 6), 0)::bigint as adoption_micros_6d,
        coalesce(sum(adoption_scores), 0)::bigint as adoption_scores,
        coalesce(sum(adoption_scores) filter (where first_age <= 2), 0)::bigint as adoption_scores_2d,
        coalesce(sum(adoption_scores) filter (where first_age <= 6), 0)::bigint as adoption_scores_6d,
        bit_or(event_type_bits) as event_type_bits,
        coalesce(bit_or(event_type_bits) filter (where first_age <= 2), 0::ubigint) as event_type_bits_2d,
        -- One bit a day. Distinct days are then the bits of a bit_or, five times faster than count(distinct).
        bit_or(1::ubigint << (first_age - 1)) as day_bits,
        coalesce(sum(premium_trials), 0)::bigint as premium_trials,
        coalesce(sum(premium_trials) filter (where first_age <= 2), 0)::bigint as premium_trials_2d,
        coalesce(sum(premium_trials) filter (where first_age <= 6), 0)::bigint as premium_trials_6d,
        coalesce(sum(limit_hits), 0)::bigint as limit_hits,
        coalesce(sum(limit_hits) filter (where first_age <= 2), 0)::bigint as limit_hits_2d,
        coalesce(sum(limit_hits) filter (where first_age <= 6), 0)::bigint as limit_hits_6d,
        max(event_date) filter (where premium_trials > 0) as last_premium_trial,
        max(event_date) filter (where limit_hits > 0) as last_limit_hit
    from dated
    group by customer_id, next_monday, first_snapshot

),

-- What a week weighs halves every two weeks, from 64 on, in whole numbers: a sum of doubles would depend on the order of the rows.
weeks as (

    select
        unnest(range(13))::integer as number,
        unnest([64, 45, 32, 23, 16, 11, 8, 6, 4, 3, 2, 1, 1])::integer as weight

),

-- Naming the Mondays turns a range join into an equality join.
week_snapshots as (

    select
        weekly.*,
        weeks.number,
        weeks.weight,
        weekly.next_monday + 7 * weeks.number as snapshot_date
    from weekly
    cross join weeks

),

-- What of its week each of the windows sees.
seen as (

    select
        snapshot_date,
        customer_id,
        number,
        weight,
        events,
        7 * number as weeks_age,
        if(number < 12, events, events_6d) as events_90d,
        if(number < 12, event_ages, event_ages_6d) as event_ages_90d,
        case
            when number < 4 then events
            when number = 4 then events_2d
            else 0
        end as events_30d,
        case
            when number = 4 then events - events_2d
            when number = 8 then events_4d
            when number between 5 and 7 then events
            else 0
        end as events_prior_30d,
        case
            when number < 4 then retention_signals
            when number = 4 then retention_signals_2d
            else 0
        end as retention_signals_30d,
        case
            when number < 4 then adoption_micros
            when number = 4 then adoption_micros_2d
            else 0
        end as adoption_micros_30d,
        case
            when number < 4 then adoption_scores
            when number = 4 then adoption_scores_2d
            else 0
        end as adoption_scores_30d,
        if(number < 12, adoption_micros, adoption_micros_6d) as adoption_micros_90d,
        if(number < 12, adoption_scores, adoption_scores_6d) as adoption_scores_90d,
        case
            when number < 4 then event_type_bits
            when number = 4 then event_type_bits_2d
            else 0::ubigint
        end as event_type_bits_30d,
        -- 13 weeks have more days than a number bits.
        if(number < 9, day_bits << (7 * number), 0::ubigint) as recent_day_bits,
        case
            when number < 9 then 0::ubigint
            when number < 12 then day_bits << (7 * (number - 9))
            else (day_bits & 63::ubigint) << 21
        end as older_day_bits,
        case
            when number < 4 then premium_trials
            when number = 4 then premium_trials_2d
            else 0
        end as premium_trials_30d,
        case
            when number < 4 then limit_hits
            when number = 4 then limit_hits_2d
            else 0
        end as limit_hits_30d,
        if(number < 12, premium_trials, premium_trials_6d) as premium_trials_90d,
        if(number < 12, limit_hits, limit_hits_6d) as limit_hits_90d,
        if(snapshot_date - last_premium_trial <= 90, last_premium_trial, null) as last_premium_trial,
        if(snapshot_date - last_limit_hit <= 90, last_limit_hit, null) as last_limit_hit
    from week_snapshots
    where
        snapshot_date in (select snapshots.snapshot_date from snapshots)
        and first_snapshot <= snapshot_date
        -- Of a week of which only the Monday has events, 90 days see nothing.
        and (number < 12 or events_6d > 0)

),

final as (

    select
        snapshot_date,
        customer_id,
        coalesce(sum(events) filter (where number = 0), 0)::bigint as events_last_7d,
        coalesce(sum(events) filter (where number <= 1), 0)::bigint as events_last_14d,
        coalesce(sum(events) filter (where number between 1 and 3), 0)::bigint as events_prior_21d,
        sum(events_30d)::bigint as events_last_30d,
        sum(events_prior_30d)::bigint as events_prior_30d,
        sum(events_90d)::bigint as events_last_90d,
        (sum(event_ages_90d) + sum(events_90d * weeks_age))::bigint as event_age_days_90d,
        bit_count(bit_or(recent_day_bits) & 1073741823::ubigint)::bigint as active_days_last_30d,
        (bit_count(bit_or(recent_day_bits)) + bit_count(bit_or(older_day_bits)))::bigint as active_days_last_90d,
        sum(retention_signals_30d)::bigint as retention_signals_last_30d,
        sum(adoption_micros_30d)::bigint as adoption_micros_30d,
        sum(adoption_scores_30d)::bigint as adoption_scores_30d,
        (sum(adoption_micros_90d) - sum(adoption_micros_30d))::bigint as adoption_micros_31_90d,
        (sum(adoption_scores_90d) - sum(adoption_scores_30d))::bigint as adoption_scores_31_90d,
        bit_count(bit_or(event_type_bits_30d)) as event_types_last_30d,
        sum(premium_trials_30d)::bigint as premium_feature_trials_30d,
        sum(limit_hits_30d)::bigint as feature_limit_hit_30d,
        sum(premium_trials_90d)::bigint as premium_feature_trials_90d,
        sum(limit_hits_90d)::bigint as feature_limit_hit_90d,
        sum(premium_trials_90d * weight)::bigint as premium_feature_trial_weight,
        sum(limit_hits_90d * weight)::bigint as feature_limit_hit_weight,
        snapshot_date - max(last_premium_trial) as days_since_premium_feature_trial,
        snapshot_date - max(last_limit_hit) as days_since_feature_limit_hit
    from seen
    group by snapshot_date, customer_id

)

select * from final
