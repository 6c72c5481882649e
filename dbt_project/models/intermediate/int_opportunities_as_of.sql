with

customer_snapshots as (

    select * from {{ ref('int_customer_snapshots') }}

),

opportunities as (

    select * from {{ ref('stg_gtm_opportunities') }}
    where opportunity_type = 'expansion'

),

known as (

    select
        customer_snapshots.snapshot_date,
        opportunities.*,
        customer_snapshots.snapshot_date - opportunities.created_date as age,
        coalesce(opportunities.closed_date < customer_snapshots.snapshot_date, false) as is_closed,
        customer_snapshots.life = 1 or opportunities.created_date >= customer_snapshots.started_on as is_of_this_life
    from opportunities
    inner join customer_snapshots
        on
            opportunities.customer_id = customer_snapshots.customer_id
            and opportunities.known_date < customer_snapshots.snapshot_date

),

final as (

    select
        snapshot_date,
        customer_id,
        bool_or(not is_closed) as has_open_expansion_opp,
        min(age) filter (where is_of_this_life) as days_since_expansion_opp,
        -- An open opportunity's amount is edited until it closes, so today's value is not what S knew: only closed ones count.
        coalesce(sum(amount_cents) filter (where is_closed and is_of_this_life), 0)::bigint as closed_amount_cents
    from known
    group by snapshot_date, customer_id

)

select * from final
