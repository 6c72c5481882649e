{#
    The Mondays whose outcomes this run has to write, as a subquery: those that it published, and, where they are published, those on which
    the predictions that it wrote fall due, the weeks of each horizon later. So the outcomes do not depend on the order of replays.
#}
{% macro outcome_mondays() -%}
    (
        select distinct approved.snapshot_date + due.days as assessed_on
        from scoring.approved_mondays as approved
        cross join (
            values (0){% call(target) for_each_target() %}, ({{ (target.horizon_days + 6) // 7 * 7 }}){% endcall %}
        ) as due (days)
        where approved.snapshot_date + due.days in (select published.snapshot_date from policy.predictions as published)
    )
{%- endmacro %}
