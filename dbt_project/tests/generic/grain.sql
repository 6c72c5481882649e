{#
    One row per key that several rows have, or that is not whole. The columns of `nullable` belong to the key too and may be empty. On a column
    it is the key by itself. One query instead of a test of uniqueness and one of nulls, because each test costs a run as much as a small model.
#}
{% test one_row_per(model, columns=[], nullable=[], column_name=none) %}
{%- set whole = columns or [column_name] %}
{%- set key = (whole + nullable) | join(', ') %}
select
    {{ key }},
    count(*) as occurrences
from {{ model }}
group by {{ key }}
having count(*) > 1{% for column in whole %} or {{ column }} is null{% endfor %}
{% endtest %}
