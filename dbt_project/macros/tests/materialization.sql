{#
    A data test: its failing rows become a table, and their number is compared with what the test allows. Takes the place of dbt's own
    materialization, which looks the former table up and drops it first: with a hundred tests a run that took longer than asking them. DuckDB replaces a
    table in one step.
#}
{% materialization test, adapter='duckdb' %}
    {%- set failing = get_limit_subquery_sql(sql, config.get('limit')) -%}
    {%- set fail_calc = config.get('fail_calc') -%}
    {%- set stored = api.Relation.create(
        database=database, schema=schema, identifier=model['alias'], type='table'
    ) if should_store_failures() else none -%}
    {%- call statement('main', fetch_result=True, auto_begin=True) -%}
        {% if stored is not none %}
        create or replace table {{ stored }} as (
            {{ failing }}
        );
        {% endif %}
        {{ get_test_sql(
            'select * from ' ~ stored if stored is not none else failing,
            fail_calc,
            config.get('warn_if'),
            config.get('error_if'),
            limit=none
        ) }}
    {%- endcall -%}
    {%- do adapter.commit() -%}
    {{ return({'relations': [stored] if stored is not none else []}) }}
{% endmaterialization %}
