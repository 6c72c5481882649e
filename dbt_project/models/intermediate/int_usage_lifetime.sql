with

customer_snapshots as (

    select * from {{ ref('int_customer_snapshots') }}

),

-- What was known before the first of these snapshots is one total: a run of one Monday has one row a customer, and not one a week.
span as (

    select
        min(snapshot_date) as first_snapshot,
        max(snapshot_date) as last_snapshot
    from customer_snapshots

),

-- A life has one row here, however many spans.
lives as (

    select distinct
        customer_id,
        life,
        started_on
    from {{ ref('stg_lives') }}

),

customer_days as (

    select * from {{ ref('int_customer_days') }}
    where known_date < (select span.last_snapshot from span)

),

-- A life counts from its beginning on; the first one has what was before as well. No snapshot of a life is after it, so nothing need be cut
-- off at its end.
-- Every day belongs to the first Monday that knows it. Totals per such week, then running totals: one pass for all snapshots,
-- where a range join would read a customer's whole past once for each.
weekly as (

    select
        customer_days.customer_id,
        lives.life,
        greatest(
            customer_days.known_date + (8 - isodow(customer_days.known_date))::integer,
            (select span.first_snapshot from span)
        ) as first_snapshot,
        sum(customer_days.events)::bigint as events,
        sum(customer_days.retention_signals)::bigint as retention_signals,
        (
            sum(customer_days.integration_connects) filter (
                where
                customer_days.event_date >= lives.started_on
                and customer_days.event_date < lives.started_on + 30
            )
        )::bigint as integration_connects_first_30d,
        sum(customer_days.adoption_micros)::bigint as adoption_micros,
        sum(customer_days.adoption_scores)::bigint as adoption_scores,
        min(customer_days.event_date) as first_event_date,
        max(customer_days.event_date) as last_event_date
    from customer_days
    inner join lives
        on
            customer_days.customer_id = lives.customer_id
            and (lives.life = 1 or customer_days.event_date >= lives.started_on)
    group by all

),

running as (

    select
        customer_id,
        life,
        first_snapshot,
        (sum(events) over so_far)::bigint as total_events,
        (sum(retention_signals) over so_far)::bigint as retention_signal_count,
        (sum(integration_connects_first_30d) over so_far)::bigint as integration_connects_first_30d,
        (sum(adoption_micros) over so_far)::bigint as adoption_micros,
        (sum(adoption_scores) over so_far)::bigint as adoption_scores,
        min(first_event_date) over so_far as first_event_date,
        max(last_event_date) over so_far as last_event_date
    from weekly
    window
        so_far as (
            partition by customer_id, life order by first_snapshot
            rows between unbounded preceding and current row
        )

),

final as (

    select
        customer_snapshots.snapshot_date,
        customer_snapshots.customer_id,
        running.* exclude (customer_id, life, first_snapshot)
    from customer_snapshots
    asof left join running
        on
            customer_snapshots.customer_id = running.customer_id
            and customer_snapshots.life = running.life
            and customer_snapshots.snapshot_date >= running.first_snapshot

)

select * from final
