{#
    The `where` of a test is a text, in which neither source nor ref can stand. So it names the Mondays or days of this run by a word, and the
    word becomes the table here. A test without one would look at all of the past, and a bad row of January would stop November.
#}
{% macro get_where_subquery(relation) -%}
    {%- set where = config.get('where') or '' -%}
    {%- set windows = {
        '__days_to_build__': ['control', 'days_to_build', 'known_date'],
        '__mondays_to_test__': ['control', 'mondays_to_test', 'snapshot_date'],
        '__scored_mondays__': ['scoring', 'scored_mondays', 'snapshot_date'],
        '__approved_mondays__': ['scoring', 'approved_mondays', 'snapshot_date'],
    } -%}
    {%- set rendered = namespace(where=where) -%}
    {%- for word, (schema, table, key) in windows.items() if word in where -%}
        {%- set rendered.where = rendered.where | replace(word, '(select ' ~ key ~ ' from ' ~ source(schema, table) ~ ')') -%}
    {%- endfor -%}
    {%- if where -%}
        (select * from {{ relation }} where {{ rendered.where }}) as dbt_subquery
    {%- else -%}
        {{ relation }}
    {%- endif -%}
{%- endmacro %}
