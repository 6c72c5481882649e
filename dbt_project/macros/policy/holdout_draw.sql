{# A home whose plan was written before there was a hold-out has no table of it. #}
{% macro ensure_holdout() -%}
    {%- set holdout = source('control', 'holdout') -%}
    {%- if target.name != 'dev' -%}
        create table if not exists {{ holdout }} (effective_from date, share double, seed bigint)
    {%- endif -%}
{%- endmacro %}

{#
    A number in [0, 1) for a customer and a quarter, the same on every Monday of it. Who draws less than the share is held out: so a
    larger share keeps those of a smaller one. Made of MD5, which is the same in every database and every version of it; the first
    8 of its hexadecimal digits put the share right to 2e-10.
#}
{% macro holdout_draw(customer_id, snapshot_date, seed) -%}
    ('0x' || left(md5(concat_ws(
        '|', {{ customer_id }}, year({{ snapshot_date }}) || 'Q' || quarter({{ snapshot_date }}), {{ seed }}
    )), 8))::ubigint / 4294967296.0::double
{%- endmacro %}
