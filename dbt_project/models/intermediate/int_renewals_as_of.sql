with

snapshots as (

    select snapshot_date from {{ source('control', 'snapshots_to_build') }}

),

contracts as (

    select * from {{ ref('stg_contracts') }}

),

final as (

    select
        snapshots.snapshot_date,
        contracts.customer_id,
        -- Of the contracts that run at S, the one that ends first is the next decision.
        min(contracts.end_date) as renewal_date
    from contracts
    inner join snapshots
        on contracts.known_date < snapshots.snapshot_date and contracts.end_date >= snapshots.snapshot_date
    group by snapshots.snapshot_date, contracts.customer_id

)

select * from final
