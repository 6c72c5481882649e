{#
    What is published of the Mondays before those of this run: a model that reads its own table cannot name it as a reference. Nothing before the
    first Monday was written.
#}
{% macro former_predictions() -%}
    {%- set relation = adapter.get_relation(this.database, this.schema, 'predictions') if execute else none -%}
    {%- if relation -%}
        (
            select
                snapshot_date,
                customer_id,
                {{ probability_of('risk') }} as risk_probability
            from {{ relation }}
            where snapshot_date not in (select snapshot_date from {{ source('scoring', 'scored_mondays') }})
        )
    {%- else -%}
        (select null::date as snapshot_date, null::varchar as customer_id, null::double as risk_probability where false)
    {%- endif -%}
{%- endmacro %}
