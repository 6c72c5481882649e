{#
    The playbook is read from its first row on, and the first whose conditions hold says what to do. A condition is a column: empty holds for
    everybody, anything else for whoever has that value. One more condition is one more word and one more seed here, its column in the playbook, and the fact of
    the same name in the candidates.
#}

{# The columns of the playbook that are conditions. #}
{% macro playbook_conditions() -%}
    segment risk_tier
{%- endmacro %}

{# The seed that lists, in a column of the same name, what each of them can say. #}
{% macro condition_values(condition) -%}
    {{ {'segment': ref('segments'), 'risk_tier': ref('risk_tiers')}[condition] }}
{%- endmacro %}

{# One row per combination of facts that occurs in `cases` and that the playbook knows something for: which row, play and action. #}
{% macro first_plays(cases) -%}
    {%- set conditions = playbook_conditions().split() -%}
    select
        {% for condition in conditions %}cases.{{ condition }},
        {% endfor -%}
        min(playbook.position) as position,
        arg_min(playbook.play, playbook.position) as play,
        arg_min(playbook.recommended_action, playbook.position) as recommended_action
    from (select distinct {{ conditions | join(', ') }} from {{ cases }}) as cases
    inner join {{ ref('playbook') }} as playbook
        on
            {% for condition in conditions -%}
                {% if not loop.first %}and {% endif -%}
                (playbook.{{ condition }} is null or playbook.{{ condition }} = cases.{{ condition }})
            {% endfor %}
    group by all
{%- endmacro %}

{# Joins them to the facts: a fact that is missing is one that only an empty condition holds for. #}
{% macro same_case(one, other) -%}
    {%- for condition in playbook_conditions().split() -%}
        {%- if not loop.first %} and {% endif -%}
        {{ one }}.{{ condition }} is not distinct from {{ other }}.{{ condition }}
    {%- endfor -%}
{%- endmacro %}

{# Every combination of the values that the conditions can have. #}
{% macro playbook_cases() -%}
    {%- set conditions = playbook_conditions().split() -%}
    (
        select
            {% for condition in conditions -%}
                {{ condition }}_values.{{ condition }}{% if not loop.last %}, {% endif %}
            {% endfor %}
        from
            {% for condition in conditions -%}
                {% if not loop.first %}cross join {% endif %}{{ condition_values(condition) }} as {{ condition }}_values
            {% endfor %}
    )
{%- endmacro %}
