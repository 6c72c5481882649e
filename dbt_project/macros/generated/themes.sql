{#
    Written by `make generate` from churn_pipeline/core/themes.py: edit that.
#}

{# The themes that a reason can be of. #}
{% macro themes() -%}
    adoption usage support contract lifecycle plan compliance
{%- endmacro %}
