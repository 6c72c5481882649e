{#
    A window is the set of keys that this invocation rebuilds, written into schema `control` by the Dagster asset `build_plan`
    before dbt starts. It is a table and not a variable because any change of --vars makes dbt parse the whole project again.
#}

{# Removes what the window rebuilds. Runs in the transaction of the insert, so a kill leaves the former rows whole.
   delete+insert by key would leave behind rows that should vanish, which is why the whole window goes. #}
{% macro clear_window(key, window) -%}
    {%- if is_incremental() -%}
        delete from {{ this }} where {{ key }} in (select {{ key }} from {{ window }})
    {%- endif -%}
{%- endmacro %}

{# Notes what was built from which input, in the same transaction, so that the next plan can tell what is stale. What is built for
   development is in nobody's plan. #}
{% macro record_window(key, window) -%}
    {%- set built = source('control', 'built') -%}
    {%- if target.name != 'dev' -%}
        delete from {{ built }}
        where model = '{{ this.identifier }}' and key_date in (select {{ key }} from {{ window }});
        insert into {{ built }} (model, key_date, fingerprint)
        select '{{ this.identifier }}', {{ key }}, fingerprint from {{ window }}
    {%- endif -%}
{%- endmacro %}
