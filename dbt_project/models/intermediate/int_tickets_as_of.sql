with

snapshots as (

    select snapshot_date from {{ source('control', 'snapshots_to_build') }}

),

tickets as (

    select * from {{ ref('stg_support_tickets') }}

),

known as (

    select
        snapshots.snapshot_date,
        tickets.*,
        snapshots.snapshot_date - tickets.created_date as age,
        coalesce(tickets.resolved_date < snapshots.snapshot_date, false) as is_resolved
    from tickets
    inner join snapshots on tickets.known_date < snapshots.snapshot_date

),

final as (

    select
        snapshot_date,
        customer_id,
        min(created_date) as first_ticket_date,
        count(*) filter (where age <= 30) as tickets_last_30d,
        count(*) filter (where age <= 90) as tickets_last_90d,
        count(*) filter (where age <= 90 and is_high_priority) as high_priority_tickets,
        count(*) filter (where not is_resolved and age <= 90) as open_tickets,
        count(*) filter (where age <= 90 and topic = 'feature_request') as feature_request_tickets_90d,
        -- Whole seconds are summed and divided once, so that the mean has the same bits whatever the order of the rows.
        sum(resolution_seconds) filter (where is_resolved) / 3600.0::double
        / count(resolution_seconds) filter (where is_resolved) as avg_resolution_hours
    from known
    group by snapshot_date, customer_id

)

select * from final
