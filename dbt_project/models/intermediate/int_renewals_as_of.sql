with

snapshots as (

    select snapshot_date from {{ source('control', 'snapshots_to_build') }}

),

contracts as (

    select * from {{ ref('stg_contracts') }}

),

next_ends as (

    select
        snapshots.snapshot_date,
        contracts.customer_id,
        -- Of the contracts that run at S, the one that ends first is the next decision; of several that end on that day, the longest.
        min(struct_pack(end_date := contracts.end_date, start_date := contracts.start_date)) as contract
    from contracts
    inner join snapshots
        on contracts.known_date < snapshots.snapshot_date and contracts.end_date >= snapshots.snapshot_date
    group by snapshots.snapshot_date, contracts.customer_id

),

final as (

    select
        snapshot_date,
        customer_id,
        contract.end_date as renewal_date,
        contract.end_date - contract.start_date as contract_term_days
    from next_ends

)

select * from final
