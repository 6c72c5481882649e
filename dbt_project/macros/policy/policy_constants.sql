{# The parameters that models/policy reads, each a row of the seed policy_parameters. #}
{% macro policy_parameter_names() -%}
    flag_threshold usage_decay_weight compliance_gap_weight vendor_flags_weight vendor_flags_cap
    play_churn_threshold play_expansion_threshold readiness_not_ready readiness_ready candidate_propensity
    candidate_max_churn high_value_uplift high_value_propensity high_value_free_propensity months_per_year
    call_capacity call_floor call_revenue_exponent call_order_by_value call_rest_days at_risk_probability
    onboarding_days renewal_days renewal_term_share renewal_min_term_days holdout_max_annual_revenue
{%- endmacro %}

{# The seed policy_parameters as one row with a column per parameter. #}
{% macro policy_constants() -%}
    {%- set parameters = policy_parameter_names().split() -%}
    select
        {% for parameter in parameters -%}
            max(value) filter (where parameter = '{{ parameter }}') as {{ parameter }}{% if not loop.last %},{% endif %}
        {% endfor %}
    from {{ ref('policy_parameters') }}
{%- endmacro %}
