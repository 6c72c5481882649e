with

lives as (

    select * from {{ ref('stg_lives') }}

),

snapshots as (

    select snapshot_date from {{ source('control', 'snapshots_to_build') }}

),

active as (

    select
        snapshots.snapshot_date,
        lives.customer_id,
        lives.life,
        lives.started_on,
        lives.industry,
        lives.current_plan_tier,
        lives.current_mrr_cents,
        lives.plans_from,
        lives.plans_until,
        snapshots.snapshot_date - lives.started_on as tenure_days
    from lives
    inner join snapshots
        on
            lives.active_from < snapshots.snapshot_date
            and (lives.active_until is null or lives.active_until >= snapshots.snapshot_date)

)

select * from active
