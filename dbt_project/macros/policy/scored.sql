{#
    What this run scored, a row per customer, target and Monday: with the model in force, or again with another one. Policy and audit are
    the same for both.
#}
{% macro scores_of_run() -%}
    (
        select * exclude (bias, contributions) from {{ source('scoring', 'scores') }}
        where snapshot_date in {{ mondays_of_run(rescored=false) }}
        union all by name
        select * from {{ source('scoring', 'rescores') }}
        where snapshot_date in {{ mondays_of_run(rescored=true) }}
    )
{%- endmacro %}

{% macro mondays_of_run(rescored) -%}
    (
        select mondays.snapshot_date from {{ source('scoring', 'scored_mondays') }} as mondays
        where mondays.scoring_mode {{ '=' if rescored else '<>' }} 'rescored'
    )
{%- endmacro %}

{# Of these, what passed the audit. A Monday that was scored again is none of `predictions`, and the reverse. #}
{% macro approved_mondays(rescored=false) -%}
    (
        select approved.snapshot_date from {{ source('scoring', 'approved_mondays') }} as approved
        where approved.snapshot_date in {{ mondays_of_run(rescored) }}
    )
{%- endmacro %}
