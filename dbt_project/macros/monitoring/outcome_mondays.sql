{#
    The Mondays whose outcomes this run has to write, as a subquery: those that it published, and, where they are published, those on which
    the predictions that it wrote fall due, the weeks of each horizon later. So the outcomes do not depend on the order of replays.
#}
{# The whole weeks, in days, after which the label of a window is closed: later by as much as an end is known later than its date. #}
{% macro weeks_to_close(horizon) -%}
    ((({{ horizon }} + (select coalesce(max(settle_days), 0) from {{ ref('stg_lives') }}) + 6) // 7) * 7)::integer
{%- endmacro %}

{% macro outcome_mondays() -%}
    (
        select distinct approved.snapshot_date + due.days as assessed_on
        from scoring.approved_mondays as approved
        cross join (
            select 0 as days
            {% call(target) for_each_target() -%}
                union all select {{ weeks_to_close(target.horizon_days) }}
            {% endcall %}
        ) as due
        where approved.snapshot_date + due.days in (select published.snapshot_date from policy.predictions as published)
    )
{%- endmacro %}
