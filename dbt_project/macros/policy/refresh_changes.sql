{#
    What changed since last Monday is read from the published row of S-7, for the Mondays just written and for those a week after
    them, whose predecessor is new. One rule for both, run in the transaction that wrote them.
#}
{% macro refresh_changes() -%}
    update {{ this }} set previous_risk_tier = null, probability_change = null, model_changed = null
    where snapshot_date in (select snapshot_date + 7 from scoring.approved_mondays);
    update {{ this }} as current_week
    set
        previous_risk_tier = last_week.risk_tier,
        probability_change = current_week.{{ probability_of('risk') }} - last_week.{{ probability_of('risk') }},
        model_changed = (
            current_week.{{ version_of('risk') }} <> last_week.{{ version_of('risk') }}
            or current_week.{{ version_of('flag') }} <> last_week.{{ version_of('flag') }}
        )
    from {{ this }} as last_week
    where
        last_week.customer_id = current_week.customer_id
        and last_week.snapshot_date = current_week.snapshot_date - 7
        and (
            current_week.snapshot_date in (select snapshot_date from scoring.approved_mondays)
            or last_week.snapshot_date in (select snapshot_date from scoring.approved_mondays)
        )
{%- endmacro %}
