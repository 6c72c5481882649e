with

snapshots as (

    select snapshot_date from {{ source('control', 'snapshots_to_build') }}

),

opportunities as (

    select * from {{ ref('stg_gtm_opportunities') }}
    where opportunity_type = 'expansion'

),

known as (

    select
        snapshots.snapshot_date,
        opportunities.*,
        coalesce(opportunities.closed_date < snapshots.snapshot_date, false) as is_closed
    from opportunities
    inner join snapshots on opportunities.known_date < snapshots.snapshot_date

),

final as (

    select
        snapshot_date,
        customer_id,
        bool_or(not is_closed) as has_open_expansion_opp,
        -- An open opportunity's amount is edited until it closes, so today's value is not what S knew: only closed ones count.
        coalesce(sum(amount_cents) filter (where is_closed), 0)::bigint as closed_amount_cents
    from known
    group by snapshot_date, customer_id

)

select * from final
