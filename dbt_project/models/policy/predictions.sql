{{
    config(
        materialized='incremental',
        incremental_strategy='append',
        on_schema_change='append_new_columns',
        pre_hook="{{ clear_window('snapshot_date', approved_mondays()) }}",
        post_hook="{{ refresh_changes('scores') }}"
    )
}}

-- Candidates are written, then audited Monday by Monday, and only what passed replaces what was there.
select *
from {{ ref('prediction_candidates') }}
where snapshot_date in {{ approved_mondays() }}
