{#
    Loads a seed. Takes the place of dbt-duckdb's macro of the same name, which does not quote the path of the file: the project is copied
    to a home, and a home may lie in a folder with an apostrophe.
#}
{% macro duckdb__load_csv_rows(model, agate_table) %}
    {%- set file = adapter.get_seed_file_path(model) | replace("'", "''") -%}
    {%- set delimiter = config.get('delimiter', ',') -%}
    {%- set sql -%}
        copy {{ this.render() }} from '{{ file }}' (format csv, header true, delimiter '{{ delimiter }}')
    {%- endset -%}
    {% do adapter.add_query(sql, abridge_sql_log=True) %}
    {{ return(sql) }}
{% endmacro %}
