{# Schemas are named as written: this warehouse is one home's own, so there is no developer prefix to keep apart. #}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ (custom_schema_name or target.schema) | trim }}
{%- endmacro %}
