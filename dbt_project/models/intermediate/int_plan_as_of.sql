with

customer_snapshots as (

    select * from {{ ref('int_customer_snapshots') }}

),

customers as (

    select * from {{ ref('stg_customers') }}

),

plan_changes as (

    select
        *,
        row_number() over (
            partition by customer_id
            order by effective_date, known_date, to_mrr_cents nulls first, to_tier, from_tier
        ) as change_number
    from {{ ref('stg_plan_changes') }}

),

-- The last change known at S says where the customer is; without one, the first change still to come says where they were.
as_of as (

    select
        customer_snapshots.snapshot_date,
        customer_snapshots.customer_id,
        arg_max(plan_changes.to_tier, plan_changes.change_number)
            filter (where plan_changes.known_date < customer_snapshots.snapshot_date) as tier_after_last,
        arg_min(plan_changes.from_tier, plan_changes.change_number)
            filter (where plan_changes.known_date >= customer_snapshots.snapshot_date) as tier_before_next,
        arg_max(plan_changes.to_mrr_cents, plan_changes.change_number)
            filter (where plan_changes.known_date < customer_snapshots.snapshot_date) as mrr_after_last,
        arg_min(plan_changes.from_mrr_cents, plan_changes.change_number)
            filter (where plan_changes.known_date >= customer_snapshots.snapshot_date) as mrr_before_next,
        max(plan_changes.effective_date)
            filter (where plan_changes.known_date < customer_snapshots.snapshot_date) as last_change_date
    from customer_snapshots
    inner join plan_changes on customer_snapshots.customer_id = plan_changes.customer_id
    group by customer_snapshots.snapshot_date, customer_snapshots.customer_id

),

final as (

    select
        customer_snapshots.snapshot_date,
        customer_snapshots.customer_id,
        as_of.last_change_date,
        coalesce(as_of.tier_after_last, as_of.tier_before_next, customers.current_plan_tier) as plan_tier,
        coalesce(as_of.mrr_after_last, as_of.mrr_before_next, customers.current_mrr_cents) as mrr_cents
    from customer_snapshots
    inner join customers on customer_snapshots.customer_id = customers.customer_id
    left join as_of
        on
            customer_snapshots.snapshot_date = as_of.snapshot_date
            and customer_snapshots.customer_id = as_of.customer_id

)

select * from final
