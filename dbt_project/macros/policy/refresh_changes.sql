{#
    What changed since last Monday is read from the published row of S-7, for the Mondays just written and for those a week after
    them, whose predecessor is new. One rule for both, run in the transaction that wrote them.

    The parts of a change add up to it. Those of themes, and of the raise to the shorter window's probability, lie with the scores of S: both
    weeks explained by the model of S. What they leave is the model, which was another one, and data of S-7 that were corrected since. Money
    follows the change of a product: each part of the probability's change counts with the mean of both revenues, and the change of revenue with
    the mean of both probabilities.
#}
{% macro refresh_changes(scores) -%}
    update {{ this }}
    set previous_risk_tier = null, probability_change = null, model_changed = null, change_parts = null
    where snapshot_date in (select snapshot_date + 7 from {{ source('scoring', 'approved_mondays') }});
    update {{ this }} as current_week
    set
        previous_risk_tier = last_week.risk_tier,
        probability_change = current_week.{{ probability_of('risk') }} - last_week.{{ probability_of('risk') }},
        model_changed = (
            current_week.{{ version_of('risk') }} <> last_week.{{ version_of('risk') }}
            or current_week.{{ version_of('flag') }} <> last_week.{{ version_of('flag') }}
        ),
        change_parts = list_concat(
            list_transform(explained.change_themes, lambda theme: struct_pack(
                part := theme.part,
                label := theme.label,
                points := theme.points,
                revenue := (current_week.annual_revenue + last_week.annual_revenue) / 2 * theme.points
            )),
            [
                struct_pack(
                    part := 'model_and_data',
                    label := 'Model and corrected data',
                    points := {{ unexplained_change() }},
                    revenue := (current_week.annual_revenue + last_week.annual_revenue) / 2 * {{ unexplained_change() }}
                ),
                struct_pack(
                    part := 'revenue',
                    label := 'Revenue',
                    points := 0.0::double,
                    revenue := (current_week.annual_revenue - last_week.annual_revenue)
                    * (current_week.{{ probability_of('risk') }} + last_week.{{ probability_of('risk') }}) / 2
                )
            ]
        )
    from {{ this }} as last_week
    left join {{ source('scoring', scores) }} as explained
        on
            last_week.customer_id = explained.customer_id
            and last_week.snapshot_date + 7 = explained.snapshot_date
            and explained.target = '{{ target_of('risk') }}'
    where
        last_week.customer_id = current_week.customer_id
        and last_week.snapshot_date = current_week.snapshot_date - 7
        and (
            current_week.snapshot_date in (select snapshot_date from {{ source('scoring', 'approved_mondays') }})
            or last_week.snapshot_date in (select snapshot_date from {{ source('scoring', 'approved_mondays') }})
        )
{%- endmacro %}

{% macro unexplained_change() -%}
    (
        current_week.{{ probability_of('risk') }} - last_week.{{ probability_of('risk') }}
        - coalesce(list_sum(list_transform(explained.change_themes, lambda theme: theme.points)), 0)
    )
{%- endmacro %}
