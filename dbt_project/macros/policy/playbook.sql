{#
    Three seeds of the policy are read from their first row on, and the first row whose conditions hold says what is so: `playbook` (what to do),
    `call_reasons` (why a customer is called) and `call_economics` (what a call may be worth). A condition is a column: empty holds for everybody,
    anything else for whoever has that value. A fact that is not known fulfils no condition but an empty one, and a row whose text names a fact
    that is not known does not hold either. Conditions are texts in the seeds, truths too (true, false): a unit test reads an empty cell of a seed as ''.
#}

{# The columns of each of these seeds that are conditions. Each is a fact of the same name in the candidates. #}
{% macro conditions_of(seed) -%}
    {{ {
        'playbook': 'is_on_call_list lifecycle risk_tier money_band theme segment',
        'call_reasons': 'lifecycle is_at_risk',
        'call_economics': 'risk_tier theme'
    }[seed] }}
{%- endmacro %}

{# A relation that lists, in a column of the same name, what a condition can say. #}
{% macro condition_values(condition) -%}
    {%- if condition in ('is_on_call_list', 'is_at_risk') -%}
        (select unnest([true, false]) as {{ condition }})
    {%- elif condition == 'lifecycle' -%}
        (select unnest(string_split('{{ lifecycles() }}', ' ')) as lifecycle)
    {%- elif condition == 'theme' -%}
        (select unnest(string_split('{{ themes() }}', ' ')) as theme union all select null)
    {%- elif condition == 'money_band' -%}
        (select money_band from {{ ref('money_bands') }} union all select null)
    {%- else -%}
        {{ {'segment': ref('segments'), 'risk_tier': ref('risk_tiers')}[condition] }}
    {%- endif -%}
{%- endmacro %}

{# Where a customer stands, in the order in which they are asked. #}
{% macro lifecycles() -%}
    onboarding renewal steady
{%- endmacro %}

{#
    One row per case that occurs in `cases` and that the seed knows something for. A case is a combination of the conditions' facts and, where
    texts may name facts, of `unknown_facts`, the names of those that are not known.
#}
{% macro first_rows(seed, cases, values, text=none) -%}
    {%- set keys = conditions_of(seed).split() + (['unknown_facts'] if text else []) -%}
    select
        {% for key in keys %}cases.{{ key }},
        {% endfor -%}
        min(rows_of_seed.position) as position
        {%- for value in values -%},
        arg_min(rows_of_seed.{{ value }}, rows_of_seed.position) as {{ value }}
        {%- endfor %}
    from (select distinct {{ keys | join(', ') }} from {{ cases }}) as cases
    inner join (
        select *{% if text %}, {{ facts_named_in('seed.' ~ text) }} as facts_named{% endif %} from {{ ref(seed) }} as seed
    ) as rows_of_seed
        on
            {% for condition in conditions_of(seed).split() -%}
                {% if not loop.first %}and {% endif -%}
                (
                    nullif(rows_of_seed.{{ condition }}, '') is null
                    or rows_of_seed.{{ condition }} = cases.{{ condition }}::varchar
                )
            {% endfor -%}
            {% if text -%}
                and not list_has_any(rows_of_seed.facts_named, cases.unknown_facts)
            {%- endif %}
    group by all
{%- endmacro %}

{# Joins them to the facts: a fact that is missing is one that only an empty condition holds for. #}
{% macro same_case(seed, one, other, text=none) -%}
    {%- for key in conditions_of(seed).split() + (['unknown_facts'] if text else []) -%}
        {%- if not loop.first %} and {% endif -%}
        {{ one }}.{{ key }} is not distinct from {{ other }}.{{ key }}
    {%- endfor -%}
{%- endmacro %}

{# Every combination of the values that the conditions can have, with all facts known, with none of them, and without each that a text names. #}
{% macro all_cases(seed, text=none) -%}
    {%- set conditions = conditions_of(seed).split() -%}
    (
        select
            {% for condition in conditions -%}
                {{ condition }}_values.{{ condition }}{% if not loop.last %}, {% endif %}
            {%- endfor -%}
            {% if text %}, facts.unknown_facts{% endif %}
        from
            {% for condition in conditions -%}
                {% if not loop.first %}cross join {% endif %}{{ condition_values(condition) }} as {{ condition }}_values
            {% endfor -%}
            {% if text -%}
                cross join (
                    select unnest([[]::varchar[], string_split('{{ fact_names() }}', ' ')]) as unknown_facts
                    union all
                    select [named.fact] as unknown_facts
                    from (select distinct unnest({{ facts_named_in('seed.' ~ text) }}) as fact from {{ ref(seed) }} as seed) as named
                ) as facts
            {%- endif %}
    )
{%- endmacro %}
