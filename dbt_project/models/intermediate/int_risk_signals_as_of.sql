with

snapshots as (

    select snapshot_date from {{ source('control', 'snapshots_to_build') }}

),

risk_signals as (

    select
        *,
        coalesce(recorded_date, known_date) as effective_date
    from {{ ref('stg_risk_signals') }}

),

known as (

    select
        snapshots.snapshot_date,
        risk_signals.*
    from risk_signals
    inner join snapshots on risk_signals.known_date < snapshots.snapshot_date

),

final as (

    select
        snapshot_date,
        customer_id,
        min(recorded_date) filter (where is_dated) as first_signal_date,
        -- Each part's newest value on its own: a reading that lacks one part does not blank what was known of it.
        arg_max(compliance_gap_micros, (effective_date, known_date, compliance_gap_micros)) as compliance_gap_micros,
        arg_max(vendor_risk_flags, (effective_date, known_date, vendor_risk_flags)) as vendor_risk_flags,
        arg_max(compliance_gap_micros, (effective_date, known_date, compliance_gap_micros))
            filter (where is_dated) as dated_compliance_gap_micros,
        arg_max(vendor_risk_flags, (effective_date, known_date, vendor_risk_flags))
            filter (where is_dated) as dated_vendor_risk_flags
    from known
    group by snapshot_date, customer_id

)

select * from final
