{# Tests of the policy: what a person who edits a seed can get wrong, said before anything is made of it. #}

{# One row per case that the playbook has no row for. #}
{% test playbook_knows_every_case(model) %}
select cases.*
from {{ playbook_cases() }} as cases
left join ({{ first_plays(playbook_cases()) }}) as plays on {{ same_case('cases', 'plays') }}
where plays.position is null
{% endtest %}

{# One row per row of the playbook that is never the first to hold. #}
{% test playbook_reaches_every_row(model) %}
select *
from {{ model }}
where position not in (select plays.position from ({{ first_plays(playbook_cases()) }}) as plays)
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
