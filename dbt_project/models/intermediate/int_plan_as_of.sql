with

customer_snapshots as (

    select * from {{ ref('int_customer_snapshots') }}

),

numbered_changes as (

    select
        *,
        row_number() over in_order as change_number,
        count(case when is_first then 1 end) over in_order as beginning_number
    from {{ ref('stg_plan_changes') }}
    window in_order as (
        partition by customer_id
        order by effective_date, known_date, to_mrr_cents nulls first, to_tier, from_tier
    )

),

-- What comes after a new beginning says nothing of what was before it.
plan_changes as (

    select
        *,
        max(case when is_first then known_date end) over (partition by customer_id, beginning_number) as began_known
    from numbered_changes

),

-- From when on a history of prices is kept. Whoever has no row in it then has not changed.
priced_since as (

    select min(known_date) as known_date
    from plan_changes
    where coalesce(from_mrr_cents, to_mrr_cents) is not null

),

value_changes as (

    select * from {{ ref('stg_value_changes') }}

),

-- The last change known at S says where the customer is; without one, the first change still to come says where they were.
as_of as (

    select
        customer_snapshots.snapshot_date,
        customer_snapshots.customer_id,
        arg_max(plan_changes.to_tier, plan_changes.change_number)
            filter (where plan_changes.known_date < customer_snapshots.snapshot_date) as tier_after_last,
        arg_min(plan_changes.from_tier, plan_changes.change_number)
            filter (
                where plan_changes.known_date >= customer_snapshots.snapshot_date
                and (plan_changes.began_known is null or plan_changes.began_known < customer_snapshots.snapshot_date)
            ) as tier_before_next,
        arg_max(plan_changes.to_mrr_cents, plan_changes.change_number)
            filter (where plan_changes.known_date < customer_snapshots.snapshot_date) as mrr_after_last,
        arg_min(plan_changes.from_mrr_cents, plan_changes.change_number)
            filter (
                where plan_changes.known_date >= customer_snapshots.snapshot_date
                and (plan_changes.began_known is null or plan_changes.began_known < customer_snapshots.snapshot_date)
            ) as mrr_before_next,
        -- What a life begins with is no change, and what happened in the one before is none of this one.
        max(plan_changes.effective_date)
            filter (
                where plan_changes.known_date < customer_snapshots.snapshot_date
                and not plan_changes.is_first
                and (customer_snapshots.life = 1 or plan_changes.effective_date >= customer_snapshots.started_on)
            ) as last_change_date
    from customer_snapshots
    inner join plan_changes
        on
            customer_snapshots.customer_id = plan_changes.customer_id
            and (customer_snapshots.plans_from is null or customer_snapshots.plans_from <= plan_changes.effective_date)
            and (customer_snapshots.plans_until is null or customer_snapshots.plans_until > plan_changes.effective_date)
    group by customer_snapshots.snapshot_date, customer_snapshots.customer_id

),

-- The same of what landings saw change. Of that no model learns, because it hangs on when somebody landed.
seen as (

    select
        customer_snapshots.snapshot_date,
        customer_snapshots.customer_id,
        coalesce(
            arg_max(value_changes.to_tier, value_changes.entry)
                filter (where value_changes.known_date < customer_snapshots.snapshot_date),
            arg_min(value_changes.from_tier, value_changes.entry)
                filter (where value_changes.known_date >= customer_snapshots.snapshot_date)
        ) as plan_tier,
        coalesce(
            arg_max(value_changes.to_mrr_cents, value_changes.entry)
                filter (where value_changes.known_date < customer_snapshots.snapshot_date),
            arg_min(value_changes.from_mrr_cents, value_changes.entry)
                filter (where value_changes.known_date >= customer_snapshots.snapshot_date)
        ) as mrr_cents
    from customer_snapshots
    inner join value_changes on customer_snapshots.customer_id = value_changes.customer_id
    group by customer_snapshots.snapshot_date, customer_snapshots.customer_id

),

final as (

    select
        customer_snapshots.snapshot_date,
        customer_snapshots.customer_id,
        as_of.last_change_date,
        coalesce(as_of.tier_after_last, as_of.tier_before_next, customer_snapshots.current_plan_tier) as plan_tier,
        coalesce(as_of.mrr_after_last, as_of.mrr_before_next, customer_snapshots.current_mrr_cents) as mrr_cents,
        coalesce(as_of.tier_after_last, as_of.tier_before_next, seen.plan_tier, customer_snapshots.current_plan_tier)
            as known_plan_tier,
        coalesce(as_of.mrr_after_last, as_of.mrr_before_next, seen.mrr_cents, customer_snapshots.current_mrr_cents)
            as known_mrr_cents,
        customer_snapshots.snapshot_date
        <= coalesce((select priced_since.known_date from priced_since), date '9999-12-31')
        and customer_snapshots.snapshot_date
        < coalesce((select min(value_changes.first_seen_monday) from value_changes), date '9999-12-31')
            as is_todays_price
    from customer_snapshots
    left join as_of
        on
            customer_snapshots.snapshot_date = as_of.snapshot_date
            and customer_snapshots.customer_id = as_of.customer_id
    left join seen
        on
            customer_snapshots.snapshot_date = seen.snapshot_date
            and customer_snapshots.customer_id = seen.customer_id

)

select * from final
