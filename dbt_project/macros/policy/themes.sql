{# The themes that a reason can be of. #}
{% macro themes() -%}
    adoption usage support contract lifecycle plan compliance
{%- endmacro %}
