with

snapshots as (

    select snapshot_date from {{ source('control', 'snapshots_to_build') }}

),

-- What was known before the first of these snapshots is one row: a run of one Monday has one a customer.
span as (

    select
        min(snapshot_date) as first_snapshot,
        max(snapshot_date) as last_snapshot
    from snapshots

),

-- The newest reading wins: by its own date, then by when it became known. One whole number, because arg_max over a struct takes
-- four times as long; both dates stay below 100,000 days for the next two centuries.
risk_signals as (

    select
        *,
        greatest(
            known_date + (8 - isodow(known_date))::integer,
            (select span.first_snapshot from span)
        ) as first_snapshot,
        (coalesce(recorded_date, known_date) - date '1970-01-01') * 100000
        + (known_date - date '1970-01-01') as reading_order
    from {{ ref('stg_risk_signals') }}
    where known_date < (select span.last_snapshot from span)

),

-- Of two readings of one day the graver one counts. A reading that lacks a part has no place in the order of that part.
ordered as (

    select
        *,
        reading_order * 10000000 + compliance_gap_micros as compliance_order,
        case
            when vendor_risk_flags is not null then reading_order * 10000000 + least(vendor_risk_flags, 9999999)
        end as vendor_order
    from risk_signals

),

-- Each part's newest value on its own: a reading that lacks one part does not blank what was known of it.
news as (

    select
        customer_id,
        first_snapshot,
        min(recorded_date) filter (where is_dated) as first_signal_date,
        arg_max(compliance_gap_micros, compliance_order) as compliance_gap_micros,
        max(compliance_order) as compliance_order,
        arg_max(vendor_risk_flags, vendor_order) as vendor_risk_flags,
        max(vendor_order) as vendor_order,
        arg_max(compliance_gap_micros, compliance_order) filter (where is_dated) as dated_compliance_gap_micros,
        max(compliance_order) filter (where is_dated) as dated_compliance_order,
        arg_max(vendor_risk_flags, vendor_order) filter (where is_dated) as dated_vendor_risk_flags,
        max(vendor_order) filter (where is_dated) as dated_vendor_order
    from ordered
    group by customer_id, first_snapshot

),

-- What is known from a Monday on until there is something new.
known as (

    select
        customer_id,
        first_snapshot,
        lead(first_snapshot) over so_far as next_snapshot,
        min(first_signal_date) over so_far as first_signal_date,
        arg_max(compliance_gap_micros, compliance_order) over so_far as compliance_gap_micros,
        arg_max(vendor_risk_flags, vendor_order) over so_far as vendor_risk_flags,
        arg_max(dated_compliance_gap_micros, dated_compliance_order) over so_far as dated_compliance_gap_micros,
        arg_max(dated_vendor_risk_flags, dated_vendor_order) over so_far as dated_vendor_risk_flags
    from news
    window so_far as (partition by customer_id order by first_snapshot)

),

final as (

    select
        snapshots.snapshot_date,
        known.customer_id,
        known.first_signal_date,
        known.compliance_gap_micros,
        known.vendor_risk_flags,
        known.dated_compliance_gap_micros,
        known.dated_vendor_risk_flags
    from known
    inner join snapshots
        on
            known.first_snapshot <= snapshots.snapshot_date
            and coalesce(known.next_snapshot, date '9999-12-31') > snapshots.snapshot_date

)

select * from final
