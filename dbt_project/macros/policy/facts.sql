{#
    The facts that texts of the policy may name in braces, as people write them. Null is a fact that is not known; a text that names one is not
    used. One more fact is one more entry here.
#}
{% macro fact_texts() -%}
    {%- do return({
        'plan': 'plan_tier',
        'paid_plan': 'if(annual_revenue > 0, plan_tier, null)',
        'next_plan': 'target_tier',
        'mrr': money_text('mrr'),
        'annual_revenue': money_text('annual_revenue'),
        'revenue_at_risk': money_text('revenue_at_risk'),
        'days_to_renewal': days_text('days_to_renewal'),
        'renewal_in': "case days_to_renewal when 0 then 'today' when 1 then 'tomorrow' else 'in ' || days_to_renewal || ' days' end",
        'renewal_date': "strftime(snapshot_date + days_to_renewal::integer, '%-d %b %Y')",
        'tenure_days': age_text('tenure_days'),
        'first_year': 'if(tenure_days < 365, ' ~ age_text('tenure_days') ~ ', null)',
        'events_last_30d': "format('{:,}', events_last_30d)",
        'events': "if(events_last_30d = 0, 'no', format('{:,}', events_last_30d)) || if(events_last_30d = 1, ' event', ' events')",
        'usage_change': percent_text('usage_change_30d'),
        'adoption': percent_text('avg_adoption_score'),
        'tickets': "nullif(tickets_last_90d, 0) || if(tickets_last_90d = 1, ' ticket', ' tickets')",
        'critical_tickets': 'nullif(critical_tickets_90d, 0)::varchar',
        'oldest_open_ticket_days': days_text('oldest_open_ticket_days'),
        'days_since_last_event': days_text('days_since_last_event')
    }) -%}
{%- endmacro %}

{% macro fact_names() -%}
    {{ fact_texts().keys() | join(' ') }}
{%- endmacro %}

{# The names in braces, each once. #}
{% macro facts_named_in(text) -%}
    list_distinct(regexp_extract_all(coalesce({{ text }}, ''), '\{(\w+)\}', 1))
{%- endmacro %}

{# A struct of all facts of a row. #}
{% macro facts_of_row() -%}
    struct_pack({% for name, expression in fact_texts().items() %}
        {{ name }} := {{ expression }}{% if not loop.last %},{% endif %}
    {%- endfor %}
    )
{%- endmacro %}

{# The names of those that are null. #}
{% macro unknown_facts(facts) -%}
    list_filter([{% for name in fact_texts() %}
        if({{ facts }}.{{ name }} is null, '{{ name }}', null){% if not loop.last %},{% endif %}
    {%- endfor %}
    ], lambda name: name is not null)
{%- endmacro %}

{# A text with its facts in place of their names. #}
{% macro with_facts(text, facts) -%}
    {%- set ns = namespace(expression=text) -%}
    {%- for name in fact_texts() -%}
        {%- set ns.expression = "replace(" ~ ns.expression ~ ", '{" ~ name ~ "}', coalesce(" ~ facts ~ "." ~ name ~ ", ''))" -%}
    {%- endfor -%}
    if(contains({{ text }}, '{'), {{ ns.expression }}, {{ text }})
{%- endmacro %}

{# $940, $45K, $1.24M: the style of `usd` in churn_pipeline/core/formatting.py. #}
{% macro money_text(amount) -%}
    case
        when {{ amount }} is null then null
        when {{ amount }} < 9999.5 then '$' || format('{:,}', floor({{ amount }} + 0.5)::bigint)
        when {{ amount }} < 999500 then '$' || floor({{ amount }} / 1000 + 0.5)::bigint || 'K'
        when {{ amount }} < 9995000 then '$' || printf('%.2f', floor({{ amount }} / 10000 + 0.5) / 100) || 'M'
        when {{ amount }} < 99950000 then '$' || printf('%.1f', floor({{ amount }} / 100000 + 0.5) / 10) || 'M'
        else '$' || format('{:,}', floor({{ amount }} / 1000000 + 0.5)::bigint) || 'M'
    end
{%- endmacro %}

{% macro days_text(days) -%}
    {{ days }} || if({{ days }} = 1, ' day', ' days')
{%- endmacro %}

{# 44 days, 7 months, 3 years: the style of the reasons, churn_pipeline/features/sentences.py. #}
{% macro age_text(days) -%}
    case
        when {{ days }} < 90 then {{ days_text(days) }}
        when {{ days }} < 731 then floor({{ days }} / 30.4375)::bigint || ' months'
        else floor({{ days }} / 365.25)::bigint || ' years'
    end
{%- endmacro %}

{% macro percent_text(share) -%}
    floor(100 * {{ share }} + 0.5)::bigint || ' %'
{%- endmacro %}
