{# Schemas are named as written: a home's warehouse is its own and so is a developer's, so there is no prefix to keep them apart. #}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ (custom_schema_name or target.schema) | trim }}
{%- endmacro %}
