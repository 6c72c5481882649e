{#
    Written by `make generate` from churn_pipeline/core/targets.py: edit that.
#}

{# What the block of the call says, once for each target, in the order of the declaration: all of them, or those without a role. #}
{% macro for_each_target(separator='', without_role=false) -%}
    {%- for target in [
        {"name": "churn_30d", "event": "churn", "horizon_days": 30, "required": true, "role": "flag", "probability_column": "churn_probability_30d", "version_column": "churn_30d_model_version", "kind_column": "churn_30d_model_kind", "shorter": []},
        {"name": "churn_90d", "event": "churn", "horizon_days": 90, "required": true, "role": "risk", "probability_column": "churn_probability_90d", "version_column": "churn_90d_model_version", "kind_column": "churn_90d_model_kind", "shorter": ["churn_probability_30d"]},
        {"name": "expansion_90d", "event": "expansion", "horizon_days": 90, "required": false, "role": "expansion", "probability_column": "expansion_propensity", "version_column": "expansion_model_version", "kind_column": "expansion_model_kind", "shorter": []}
    ] if not (without_role and target.role) -%}
        {{ caller(target) }}{% if not loop.last %}{{ separator }}{% endif %}
    {%- endfor -%}
{%- endmacro %}

{# Of the target that has a role: its name and its columns of predictions. #}
{% macro target_of(role) -%}
    {{ {"risk": "churn_90d", "flag": "churn_30d", "expansion": "expansion_90d"}[role] }}
{%- endmacro %}

{% macro probability_of(role) -%}
    {{ {"risk": "churn_probability_90d", "flag": "churn_probability_30d", "expansion": "expansion_propensity"}[role] }}
{%- endmacro %}

{% macro version_of(role) -%}
    {{ {"risk": "churn_90d_model_version", "flag": "churn_30d_model_version", "expansion": "expansion_model_version"}[role] }}
{%- endmacro %}

{% macro kind_of(role) -%}
    {{ {"risk": "churn_90d_model_kind", "flag": "churn_30d_model_kind", "expansion": "expansion_model_kind"}[role] }}
{%- endmacro %}
