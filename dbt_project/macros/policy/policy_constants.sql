{# The seed policy_parameters as one row with a column per parameter. #}
{% macro policy_constants() -%}
    {%- set parameters = [
        'flag_threshold', 'usage_decay_weight', 'compliance_gap_weight', 'vendor_flags_weight', 'vendor_flags_cap',
        'play_churn_threshold', 'play_expansion_threshold', 'readiness_not_ready', 'readiness_ready',
        'candidate_propensity', 'candidate_max_churn', 'high_value_uplift', 'high_value_propensity',
        'high_value_free_propensity', 'months_per_year'
    ] -%}
    select
        {% for parameter in parameters -%}
            max(value) filter (where parameter = '{{ parameter }}') as {{ parameter }}{% if not loop.last %},{% endif %}
        {% endfor %}
    from {{ ref('policy_parameters') }}
{%- endmacro %}
