with

snapshots as (

    select snapshot_date from {{ source('control', 'snapshots_to_build') }}

),

-- The newest reading wins: by its own date, then by when it became known. One whole number, because arg_max over a struct takes
-- four times as long; both dates stay below 100,000 days for the next two centuries.
risk_signals as (

    select
        *,
        (coalesce(recorded_date, known_date) - date '1970-01-01') * 100000
        + (known_date - date '1970-01-01') as reading_order
    from {{ ref('stg_risk_signals') }}

),

-- Of two readings of one day the graver one counts.
ordered as (

    select
        *,
        reading_order * 10000000 + compliance_gap_micros as compliance_order,
        reading_order * 10000000 + least(vendor_risk_flags, 9999999) as vendor_order
    from risk_signals

),

known as (

    select
        snapshots.snapshot_date,
        ordered.*
    from ordered
    inner join snapshots on ordered.known_date < snapshots.snapshot_date

),

final as (

    select
        snapshot_date,
        customer_id,
        min(recorded_date) filter (where is_dated) as first_signal_date,
        -- Each part's newest value on its own: a reading that lacks one part does not blank what was known of it.
        arg_max(compliance_gap_micros, compliance_order) as compliance_gap_micros,
        arg_max(vendor_risk_flags, vendor_order) as vendor_risk_flags,
        arg_max(compliance_gap_micros, compliance_order) filter (where is_dated) as dated_compliance_gap_micros,
        arg_max(vendor_risk_flags, vendor_order) filter (where is_dated) as dated_vendor_risk_flags
    from known
    group by snapshot_date, customer_id

)

select * from final
