{#
    On which Monday every prediction falls due, as a subquery of predicted_on, horizon_days and assessed_on: the first by which its window has
    closed, 5 weeks after it for 30 days and 13 for 90, later where what happens is known later. How much later is what was known of it at the
    Monday of the prediction, and it never falls: so each prediction is due once, and on one Monday those of one Monday.
#}
{% macro due_mondays() -%}
    (
        select
            published.snapshot_date as predicted_on,
            horizons.horizon_days,
            published.snapshot_date + (((horizons.horizon_days + settling.days + 6) // 7) * 7)::integer as assessed_on
        from (select distinct snapshot_date from {{ ref('predictions') }}) as published
        asof join {{ source('landing', 'settling') }} as settling on published.snapshot_date >= settling.known_from
        cross join (
            select distinct horizon_days from (
                {% call(target) for_each_target(separator=' union all ') -%}
                    select {{ target.horizon_days }} as horizon_days
                {%- endcall %}
            )
        ) as horizons
    )
{%- endmacro %}

{#
    The Mondays whose outcomes this run has to write, as a subquery: those that it published, and, where they are published, those on which
    the predictions that it wrote fall due. So the outcomes do not depend on the order of replays.
#}
{% macro outcome_mondays() -%}
    (
        select distinct mondays.assessed_on
        from (
            select snapshot_date as assessed_on from {{ source('scoring', 'approved_mondays') }}
            union all
            select due.assessed_on from {{ due_mondays() }} as due
            where due.predicted_on in (select approved.snapshot_date from {{ source('scoring', 'approved_mondays') }} as approved)
        ) as mondays
        where mondays.assessed_on in (select published.snapshot_date from {{ ref('predictions') }} as published)
    )
{%- endmacro %}
