{#
    Tests of a weekly table. Each returns one row per Monday that fails and says how often, because that Monday, and only that one,
    then stays out of scores and publication.
#}

{% test unique_within_snapshot(model, columns) %}
select
    snapshot_date,
    count(*) as failures
from (
    select snapshot_date
    from {{ model }}
    group by snapshot_date, {{ columns | join(', ') }}
    having count(*) > 1
)
group by snapshot_date
{% endtest %}

{# `since_usage` are columns that are null before there were usage events. #}
{% test not_null_within_snapshot(model, columns, since_usage=[]) %}
select
    snapshot_date,
    count(*) as failures
from {{ model }}
where
    false
    {% for column in columns %}
        or {{ column }} is null
    {% endfor %}
    {% for column in since_usage %}
        or ({{ column }} is null and snapshot_date > (select min(known_date) from {{ ref('int_customer_days') }}))
    {% endfor %}
group by snapshot_date
{% endtest %}

{% test within_range(model, column, minimum=none, maximum=none) %}
select
    snapshot_date,
    count(*) as failures
from {{ model }}
where
    false
    {% if minimum is not none %}or {{ column }} < {{ minimum }}{% endif %}
    {% if maximum is not none %}or {{ column }} > {{ maximum }}{% endif %}
group by snapshot_date
{% endtest %}

{# `seed` lists what the column may say, in a column of the same name. It is no reference, or the test would be run with the seed too. #}
{% test accepted_within_snapshot(model, column, seed) %}
select
    snapshot_date,
    count(*) as failures
from {{ model }}
where {{ column }} not in (select {{ column }} from {{ loaded_seed(seed) }})
group by snapshot_date
{% endtest %}

{% test covers_active_customers(model) %}
with

expected as (

    select
        snapshots.snapshot_date,
        lives.customer_id
    from {{ ref('stg_lives') }} as lives
    inner join {{ source('control', 'mondays_to_test') }} as snapshots
        on lives.active_from < snapshots.snapshot_date
    where coalesce(lives.active_until >= snapshots.snapshot_date, true)

),

actual as (

    select
        snapshot_date,
        customer_id
    from {{ model }}

)

select
    coalesce(expected.snapshot_date, actual.snapshot_date) as snapshot_date,
    count(*) as failures
from expected
full outer join actual using (snapshot_date, customer_id)
where expected.customer_id is null or actual.customer_id is null
group by all
{% endtest %}

{% test covers_scored_customers(model) %}
with

scored as (

    -- A row for each target.
    select distinct
        snapshot_date,
        customer_id
    from {{ scores_of_run() }}

),

predicted as (

    select
        snapshot_date,
        customer_id
    from {{ model }}

)

select
    coalesce(scored.snapshot_date, predicted.snapshot_date) as snapshot_date,
    count(*) as failures
from scored
full outer join predicted using (snapshot_date, customer_id)
where scored.customer_id is null or predicted.customer_id is null
group by all
{% endtest %}

{# Who is on the list and who is not; ranks are 1, 2, 3 and so on. #}
{% test call_list_is_one(model) %}
select
    snapshot_date,
    count(*) as failures
from (
    select
        *,
        row_number() over (partition by snapshot_date, is_on_call_list order by call_rank) as place
    from {{ model }}
)
where
    is_on_call_list <> (action_kind = 'csm_call')
    or is_on_call_list <> (call_reason is not null)
    or is_on_call_list <> (call_rank is not null)
    or (is_on_call_list and call_rank <> place)
    or (is_on_call_list and (is_holdout or snoozed_until is not null or resting_until is not null))
group by snapshot_date
{% endtest %}
