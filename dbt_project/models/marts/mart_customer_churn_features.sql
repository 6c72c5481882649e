{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='fail',
        pre_hook="{{ clear_window('snapshot_date', source('control', 'snapshots_to_build')) }}",
        post_hook="{{ record_window('snapshot_date', source('control', 'snapshots_to_build')) }}"
    )
}}

with

customer_snapshots as (

    select * from {{ ref('int_customer_snapshots') }}

),

plans as (

    select * from {{ ref('int_plan_as_of') }}

),

usage_lifetime as (

    select * from {{ ref('int_usage_lifetime') }}

),

usage_windows as (

    select * from {{ ref('int_usage_windows') }}

),

tickets as (

    select * from {{ ref('int_tickets_as_of') }}

),

renewals as (

    select * from {{ ref('int_renewals_as_of') }}

),

risk_signals as (

    select * from {{ ref('int_risk_signals_as_of') }}

),

first_days as (

    select
        (select min(known_date) from {{ ref('int_customer_days') }}) as usage_day,
        (select min(known_date) from {{ ref('stg_support_tickets') }}) as ticket_day

),

-- What a customer without rows counts: 0, and nothing known where the source had no row at all before S.
beginnings as (

    select
        snapshots.snapshot_date,
        if(snapshots.snapshot_date > first_days.usage_day, 0, null) as no_usage,
        if(snapshots.snapshot_date > first_days.ticket_day, 0, null) as no_tickets
    from {{ source('control', 'snapshots_to_build') }} as snapshots
    cross join first_days

),

joined as (

    select
        customer_snapshots.snapshot_date,
        customer_snapshots.customer_id,
        customer_snapshots.industry,
        plans.plan_tier,
        plans.mrr_cents / 100.0::double as mrr,
        plans.known_plan_tier,
        plans.known_mrr_cents / 100.0::double as known_mrr,
        plans.is_todays_price,
        customer_snapshots.started_on,
        customer_snapshots.tenure_days,
        usage_lifetime.first_event_date,
        usage_lifetime.last_event_date,
        tickets.first_ticket_date,
        risk_signals.first_signal_date,
        tickets.avg_resolution_hours,
        renewals.renewal_date,
        renewals.contract_term_days,
        risk_signals.compliance_gap_micros,
        risk_signals.vendor_risk_flags,
        risk_signals.dated_compliance_gap_micros,
        risk_signals.dated_vendor_risk_flags,
        coalesce(usage_lifetime.total_events, beginnings.no_usage) as total_events,
        coalesce(usage_lifetime.retention_signal_count, beginnings.no_usage) as retention_signal_count,
        coalesce(usage_lifetime.integration_connects_first_30d, beginnings.no_usage) as integration_connects_first_30d,
        coalesce(usage_lifetime.adoption_micros, beginnings.no_usage) as adoption_micros,
        coalesce(usage_lifetime.adoption_scores, beginnings.no_usage) as adoption_scores,
        coalesce(usage_windows.events_last_7d, beginnings.no_usage) as events_last_7d,
        coalesce(usage_windows.events_last_14d, beginnings.no_usage) as events_last_14d,
        coalesce(usage_windows.events_prior_21d, beginnings.no_usage) as events_prior_21d,
        coalesce(usage_windows.events_last_30d, beginnings.no_usage) as events_last_30d,
        coalesce(usage_windows.events_prior_30d, beginnings.no_usage) as events_prior_30d,
        coalesce(usage_windows.events_last_90d, beginnings.no_usage) as events_last_90d,
        coalesce(usage_windows.event_age_days_90d, beginnings.no_usage) as event_age_days_90d,
        coalesce(usage_windows.active_days_last_30d, beginnings.no_usage) as active_days_last_30d,
        coalesce(usage_windows.active_days_last_90d, beginnings.no_usage) as active_days_last_90d,
        coalesce(usage_windows.retention_signals_last_30d, beginnings.no_usage) as retention_signals_last_30d,
        coalesce(usage_windows.event_types_last_30d, beginnings.no_usage)::bigint as event_types_last_30d,
        coalesce(usage_windows.adoption_micros_30d, beginnings.no_usage) as adoption_micros_30d,
        coalesce(usage_windows.adoption_scores_30d, beginnings.no_usage) as adoption_scores_30d,
        coalesce(usage_windows.adoption_micros_31_90d, beginnings.no_usage) as adoption_micros_31_90d,
        coalesce(usage_windows.adoption_scores_31_90d, beginnings.no_usage) as adoption_scores_31_90d,
        coalesce(tickets.tickets_last_30d, beginnings.no_tickets) as tickets_last_30d,
        coalesce(tickets.tickets_last_90d, beginnings.no_tickets) as tickets_last_90d,
        coalesce(tickets.high_priority_tickets, beginnings.no_tickets) as high_priority_tickets,
        coalesce(tickets.open_tickets, beginnings.no_tickets) as open_tickets,
        coalesce(tickets.critical_tickets_90d, beginnings.no_tickets) as critical_tickets_90d,
        tickets.oldest_open_ticket_days
    from customer_snapshots
    inner join beginnings using (snapshot_date)
    inner join plans using (snapshot_date, customer_id)
    left join usage_lifetime using (snapshot_date, customer_id)
    left join usage_windows using (snapshot_date, customer_id)
    left join tickets using (snapshot_date, customer_id)
    left join renewals using (snapshot_date, customer_id)
    left join risk_signals using (snapshot_date, customer_id)

),

-- Peers are the active customers of the same industry at the same Monday. Half of what a customer's usage says is whether others
-- in their position did more: everybody is silent in August.
peers as (

    select
        customer_snapshots.snapshot_date,
        customer_snapshots.industry,
        count(*) as peer_customers,
        sum(usage_windows.events_last_7d) as peer_events_last_7d,
        sum(usage_windows.events_last_30d) as peer_events_last_30d,
        sum(usage_windows.events_last_90d) as peer_events_last_90d,
        sum(usage_lifetime.total_events) as peer_total_events,
        sum(usage_windows.adoption_micros_30d) as peer_adoption_micros_30d,
        sum(usage_windows.adoption_scores_30d) as peer_adoption_scores_30d
    from customer_snapshots
    left join usage_lifetime using (snapshot_date, customer_id)
    left join usage_windows using (snapshot_date, customer_id)
    group by customer_snapshots.snapshot_date, customer_snapshots.industry

),

-- Added up and joined, which takes a third of the time of a window over all columns.
with_peers as (

    select
        joined.*,
        peers.peer_customers,
        coalesce(peers.peer_events_last_7d, beginnings.no_usage) as peer_events_last_7d,
        coalesce(peers.peer_events_last_30d, beginnings.no_usage) as peer_events_last_30d,
        coalesce(peers.peer_events_last_90d, beginnings.no_usage) as peer_events_last_90d,
        coalesce(peers.peer_total_events, beginnings.no_usage) as peer_total_events,
        coalesce(peers.peer_adoption_micros_30d, beginnings.no_usage) as peer_adoption_micros_30d,
        coalesce(peers.peer_adoption_scores_30d, beginnings.no_usage) as peer_adoption_scores_30d
    from joined
    inner join peers
        on
            joined.snapshot_date = peers.snapshot_date
            and (joined.industry is not distinct from (peers.industry))
    inner join beginnings on joined.snapshot_date = beginnings.snapshot_date

),

-- Every quotient divides whole numbers once: sums of doubles would differ in their last bits from run to run.
final as (

    select
        snapshot_date,
        customer_id,
        industry,
        plan_tier,
        mrr,
        tenure_days,
        tenure_days < 90 as is_early_stage,
        total_events,
        retention_signal_count,
        events_last_7d,
        events_last_14d,
        events_prior_21d,
        events_last_30d,
        events_last_90d,
        coalesce(snapshot_date - last_event_date, if(total_events = 0, tenure_days, null)) as days_since_last_event,
        active_days_last_30d,
        active_days_last_90d,
        event_types_last_30d,
        retention_signals_last_30d,
        -- One is added on both sides, so that few events make a ratio near 1 and not a wild one.
        3.0::double * (events_last_7d + 1) / (events_prior_21d + 3) as usage_change_7d,
        (events_last_30d + 1)::double / (events_prior_30d + 1) as usage_change_30d,
        ((events_last_30d + 1) * tenure_days)::double / (30 * total_events + tenure_days) as usage_vs_own_history,
        ((events_last_30d + 1) * peer_customers)::double
        / (peer_events_last_30d + peer_customers) as usage_vs_peers_30d,
        ((events_last_90d + 1) * peer_customers)::double
        / (peer_events_last_90d + peer_customers) as usage_vs_peers_90d,
        ((total_events + 1) * peer_customers)::double
        / (peer_total_events + peer_customers) as lifetime_usage_vs_peers,
        peer_events_last_7d::double / peer_customers as peer_usage_7d,
        peer_events_last_30d::double / peer_customers as peer_usage_30d,
        event_age_days_90d::double / nullif(events_last_90d, 0) as mean_event_age_90d,
        adoption_micros_30d / 1e6::double / nullif(adoption_scores_30d, 0) as avg_adoption_score,
        adoption_micros / 1e6::double / nullif(adoption_scores, 0) as lifetime_adoption_score,
        adoption_micros_30d / 1e6::double / nullif(adoption_scores_30d, 0)
        - adoption_micros_31_90d / 1e6::double / nullif(adoption_scores_31_90d, 0) as adoption_change,
        adoption_micros_30d / 1e6::double / nullif(adoption_scores_30d, 0)
        - peer_adoption_micros_30d::double / 1e6::double / nullif(peer_adoption_scores_30d, 0) as adoption_vs_peers,
        integration_connects_first_30d,
        case
            when integration_connects_first_30d >= 3 then true
            when integration_connects_first_30d < 3 and tenure_days >= 30 then false
        end as activated_at_30d,
        tickets_last_30d,
        tickets_last_90d,
        high_priority_tickets,
        open_tickets,
        avg_resolution_hours,
        renewal_date - snapshot_date as days_to_renewal,
        dated_compliance_gap_micros / 1e6::double as compliance_gap_score,
        dated_vendor_risk_flags as vendor_risk_flags,
        compliance_gap_micros / 1e6::double as known_compliance_gap_score,
        vendor_risk_flags as known_vendor_risk_flags,
        known_plan_tier,
        known_mrr,
        is_todays_price,
        contract_term_days,
        renewal_date,
        critical_tickets_90d,
        oldest_open_ticket_days,
        events_prior_30d,
        case
            when coalesce(first_event_date, first_ticket_date, first_signal_date) is null then 0
            else
                (
                    snapshot_date
                    - greatest(started_on, least(first_event_date, first_ticket_date, first_signal_date))
                ) // 7
        end as history_weeks
    from with_peers

)

select * from final
