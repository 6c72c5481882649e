{# One row per prediction that has more than one outcome. #}
{% test an_outcome_is_given_once(model) %}
select
    predicted_on,
    target,
    customer_id,
    count(*) as outcomes
from {{ model }}
group by predicted_on, target, customer_id
having count(*) > 1
{% endtest %}
