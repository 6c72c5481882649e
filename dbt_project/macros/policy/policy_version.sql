{#
    The policy is what the seeds with the tag `policy` hold, as they lie in the warehouse when candidates are made of them: a file may have
    been edited since it was loaded. Its version is a hash of them, and they are kept by it, so that any row can be worked out again.
#}

{# Before the candidates are made, in their transaction: what the policy is, and, where it is new, its place in the ledger. #}
{% macro keep_policy() -%}
    {%- set ledger, in_force = policy_ledger(), policy_in_force() -%}
    create schema if not exists {{ ledger.without_identifier() }};
    create schema if not exists {{ in_force.without_identifier() }};
    create table if not exists {{ ledger }} (
        policy_version varchar, seed varchar, content varchar, first_used timestamp
    );
    create or replace table {{ in_force }} as
    with contents as ({% for seed in policy_seeds() %}
        {% if not loop.first %}union all {% endif %}select '{{ seed.identifier }}' as seed, {{ csv_of(seed) }} as content
    {%- endfor %}
    )
    select
        (
            select left(sha256(string_agg(seed || ' ' || sha256(content), chr(10) order by seed)), 12) from contents
        ) as policy_version,
        seed,
        content
    from contents;
    insert into {{ ledger }} by name
    select *, (select max(scored_at) from {{ source('scoring', 'scored_mondays') }}) as first_used
    from {{ in_force }}
    where policy_version not in (select policy_version from {{ ledger }})
{%- endmacro %}

{# The two tables that `keep_policy` writes. They are no models, because one of them is a ledger that nothing may make anew. #}
{% macro policy_ledger() -%}
    {%- do return(api.Relation.create(database=target.database, schema='ledger', identifier='policy_seeds')) -%}
{%- endmacro %}

{% macro policy_in_force() -%}
    {%- do return(api.Relation.create(database=target.database, schema='control', identifier='policy_in_force')) -%}
{%- endmacro %}

{# The version of the policy that `keep_policy` found. #}
{% macro policy_version() -%}
    {#- Not by `policy_in_force`: sqlfluff, which reads the models, knows no macro that returns a value. -#}
    {%- set in_force = api.Relation.create(database=target.database, schema='control', identifier='policy_in_force') -%}
    (select any_value(policy_version) from {{ in_force }})
{%- endmacro %}

{# The tables of the policy. dbt knows its seeds only when it executes. #}
{% macro policy_seeds() -%}
    {%- set tables = [] -%}
    {%- if execute -%}
        {%- for node in graph.nodes.values() | sort(attribute='name') -%}
            {%- if node.resource_type == 'seed' and 'policy' in node.tags -%}
                {%- do tables.append(api.Relation.create(node.database, node.schema, node.alias)) -%}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
    {%- do return(tables) -%}
{%- endmacro %}

{# A seed as it lies in the warehouse, without depending on it. #}
{% macro loaded_seed(name) -%}
    {%- if execute -%}
        {%- for node in graph.nodes.values() if node.resource_type == 'seed' and node.name == name -%}
            {%- do return(api.Relation.create(node.database, node.schema, node.alias)) -%}
        {%- endfor -%}
        {%- do exceptions.raise_compiler_error("there is no seed " ~ name) -%}
    {%- endif -%}
{%- endmacro %}

{# A table as CSV, the same for the same rows: ordered by all columns, values as DuckDB writes them, quoted only where they have to be, nothing
   for null. The seed can be loaded from it again. #}
{% macro csv_of(table) -%}
    {%- set columns = adapter.get_columns_in_relation(table) | map(attribute='name') | list -%}
    (
        select '{{ columns | join(",") }}' || chr(10) || coalesce(string_agg(
            {% for column in columns -%}
                {{ csv_cell(column) }} || {{ 'chr(10)' if loop.last else "','" }}
                {%- if not loop.last %} || {% endif %}
            {%- endfor %},
            '' order by {% for column in columns %}"{{ column }}" nulls first{% if not loop.last %}, {% endif %}{% endfor %}
        ), '')
        from {{ table }}
    )
{%- endmacro %}

{% macro csv_cell(column) -%}
    case
        when "{{ column }}" is null then ''
        when "{{ column }}"::varchar = '' or regexp_matches("{{ column }}"::varchar, '[",\r\n]')
            then '"' || replace("{{ column }}"::varchar, '"', '""') || '"'
        else "{{ column }}"::varchar
    end
{%- endmacro %}
