{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='append_new_columns',
        pre_hook="{{ clear_window('snapshot_date', approved_mondays(rescored=true)) }}",
        post_hook="{{ refresh_changes('rescores') }}"
    )
}}

-- What another model than the one in force would have said. Kept apart, so that nothing that monitors or publishes meets it.
select
    candidates.*,
    candidates.snapshot_date < scored_mondays.labels_closed_by as is_in_sample
from {{ ref('prediction_candidates') }} as candidates
inner join {{ source('scoring', 'scored_mondays') }} as scored_mondays
    on candidates.snapshot_date = scored_mondays.snapshot_date
where candidates.snapshot_date in {{ approved_mondays(rescored=true) }}
