with

customer_snapshots as (

    select * from {{ ref('int_customer_snapshots') }}

),

tickets as (

    select * from {{ ref('stg_support_tickets') }}

),

known as (

    select
        customer_snapshots.snapshot_date,
        tickets.*,
        customer_snapshots.snapshot_date - tickets.created_date as age,
        coalesce(tickets.resolved_date < customer_snapshots.snapshot_date, false) as is_resolved,
        customer_snapshots.life = 1 or tickets.created_date >= customer_snapshots.started_on as is_of_this_life
    from tickets
    inner join customer_snapshots
        on
            tickets.customer_id = customer_snapshots.customer_id
            and tickets.known_date < customer_snapshots.snapshot_date

),

final as (

    select
        snapshot_date,
        customer_id,
        min(created_date) filter (where is_of_this_life) as first_ticket_date,
        count(*) filter (where age <= 30) as tickets_last_30d,
        count(*) filter (where age <= 90) as tickets_last_90d,
        count(*) filter (where age <= 90 and is_high_priority) as high_priority_tickets,
        count(*) filter (where age <= 90 and is_critical) as critical_tickets_90d,
        count(*) filter (where not is_resolved and age <= 90) as open_tickets,
        max(age) filter (where not is_resolved and age <= 90) as oldest_open_ticket_days,
        count(*) filter (where age <= 90 and topic = 'feature_request') as feature_request_tickets_90d,
        -- Whole seconds are summed and divided once, so that the mean has the same bits whatever the order of the rows.
        sum(resolution_seconds) filter (where is_resolved and is_of_this_life) / 3600.0::double
        / count(resolution_seconds) filter (where is_resolved and is_of_this_life) as avg_resolution_hours
    from known
    group by snapshot_date, customer_id

)

select * from final
