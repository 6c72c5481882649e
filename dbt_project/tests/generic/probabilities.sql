{#
    Tests of the probabilities of every target. Each returns one row per Monday that fails and says how often, as those of
    within_snapshot.sql do.
#}

{# Of a required target every customer has one. #}
{% test probabilities_between_0_and_1(model, event) %}
select
    snapshot_date,
    count(*) as failures
from {{ model }}
where
    false
    {% call(target) for_each_target() -%}
        {% if target.event == event -%}
            or {{ target.probability_column }} < 0
            or {{ target.probability_column }} > 1
            {% if target.required %}or {{ target.probability_column }} is null{% endif %}
        {% endif %}
    {%- endcall %}
group by snapshot_date
{% endtest %}

{% test longer_windows_are_not_less_probable(model) %}
select
    snapshot_date,
    count(*) as failures
from {{ model }}
where
    false
    {% call(target) for_each_target() -%}
        {% for shorter in target.shorter %}or {{ target.probability_column }} < {{ shorter }}
        {% endfor %}
    {%- endcall %}
group by snapshot_date
{% endtest %}
