with

customers as (

    select * from {{ ref('stg_customers') }}

),

snapshots as (

    select snapshot_date from {{ source('control', 'snapshots_to_build') }}

),

active as (

    select
        snapshots.snapshot_date,
        customers.customer_id,
        customers.industry,
        customers.signup_date,
        snapshots.snapshot_date - customers.signup_date as tenure_days
    from customers
    inner join snapshots
        on
            customers.signup_date < snapshots.snapshot_date
            and customers.known_date < snapshots.snapshot_date
            and (customers.churn_date is null or customers.churn_date >= snapshots.snapshot_date)
            and (customers.censor_date is null or customers.censor_date >= snapshots.snapshot_date)

)

select * from active
