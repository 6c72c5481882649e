{# Tests of the policy: what a person who edits a seed can get wrong, said before anything is made of it. #}

{# One row per case that a seed of first rows has no row for. `text` is its column that may name facts. #}
{% test knows_every_case(model, seed, text=none) %}
select cases.*{% if text %} exclude (unknown_facts), cases.unknown_facts = [] as are_facts_known{% endif %}
from {{ all_cases(seed, text) }} as cases
left join ({{ first_rows(seed, all_cases(seed, text), [], text) }}) as first_rows
    on {{ same_case(seed, 'cases', 'first_rows', text) }}
where first_rows.position is null
{% endtest %}

{# One row per row of such a seed that is never the first to hold. #}
{% test reaches_every_row(model, seed, text=none) %}
select *
from {{ model }}
where position not in (select first_rows.position from ({{ first_rows(seed, all_cases(seed, text), [], text) }}) as first_rows)
{% endtest %}

{# One row per case of the playbook in which it asks for what must not be: the columns of `cases` that hold, and what must not hold then. #}
{% test playbook_never(model, when, must_not) %}
select
    cases.* exclude (unknown_facts),
    cases.unknown_facts = [] as are_facts_known,
    first_rows.position,
    first_rows.play,
    first_rows.action_kind,
    first_rows.recommended_action
from {{ all_cases('playbook', 'recommended_action') }} as cases
inner join (
    {{ first_rows(
        'playbook', all_cases('playbook', 'recommended_action'), ['play', 'action_kind', 'recommended_action'], 'recommended_action'
    ) }}
) as first_rows on {{ same_case('playbook', 'cases', 'first_rows', 'recommended_action') }}
where ({{ when }}) and ({{ must_not }})
{% endtest %}

{# One row per row of a seed whose text names a fact in braces that nobody knows. #}
{% test names_known_facts(model, column_name) %}
select *
from {{ model }}
where
    not list_has_all(string_split('{{ fact_names() }}', ' '), {{ facts_named_in(column_name) }})
    or regexp_replace(coalesce({{ column_name }}, ''), '\{\w+\}', '', 'g') similar to '.*[{}].*'
{% endtest %}

{# One row per row of a seed that is about a theme that nobody declared. #}
{% test is_a_theme(model, column_name) %}
select *
from {{ model }}
where {{ column_name }} not in (select unnest(string_split('{{ themes() }}', ' ')))
{% endtest %}

{# One row per parameter that is missing, or has a value that the policy cannot follow. #}
{% test parameters_can_be_followed(model) %}
select
    names.parameter,
    parameters.value
from (select unnest(string_split_regex('{{ policy_parameter_names() }}', '\s+')) as parameter) as names
left join {{ model }} as parameters on names.parameter = parameters.parameter
where
    parameters.value is null
    or (names.parameter = 'call_revenue_exponent' and parameters.value not in (0, 0.5, 1))
    or (names.parameter = 'call_order_by_value' and parameters.value not in (0, 1))
    or (names.parameter = 'call_capacity' and (parameters.value < 1 or parameters.value <> floor(parameters.value)))
{% endtest %}

{# One row where no band begins at 0. #}
{% test bands_begin_at_zero(model) %}
select 'no band begins at 0' as problem
from {{ model }}
having min(lower_bound) <> 0
{% endtest %}

{# One row per pair of answers that does not have exactly one segment. #}
{% test segments_divide_everybody(model) %}
with

answers (answer) as (values (true), (false))

select
    at_risk.answer as at_risk,
    ready_to_grow.answer as ready_to_grow,
    count(segments.segment) as segments
from answers as at_risk
cross join answers as ready_to_grow
left join {{ model }} as segments
    on at_risk.answer = segments.at_risk and ready_to_grow.answer = segments.ready_to_grow
group by all
having count(segments.segment) <> 1
{% endtest %}

{# One row per tier that is graver than another and begins lower, and one where no tier begins at 0, or none is urgent. #}
{% test tiers_rise_from_zero(model) %}
select
    risk_tier,
    'is graver than a tier that begins higher' as problem
from {{ model }}
qualify row_number() over (order by severity) <> row_number() over (order by lower_bound)
union all
select
    null as risk_tier,
    'no tier begins at 0, or none is urgent' as problem
from {{ model }}
having min(lower_bound) <> 0 or not bool_or(is_urgent)
{% endtest %}
