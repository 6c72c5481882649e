{{
    config(
        materialized='table',
        pre_hook=[
            "{{ ensure_holdout() }}",
            "{{ keep_policy() }}"
        ]
    )
}}

with

scored_mondays as (

    select * from {{ source('scoring', 'scored_mondays') }}

),

scores as (

    select * from {{ scores_of_run() }}

),

-- One row per customer, with the columns of every target; a customer without a score of a target has nulls there.
by_customer as (

    select
        snapshot_date,
        customer_id,
        {% call(target) for_each_target() -%}
            max(probability) filter (where target = '{{ target.name }}') as {{ target.probability_column }},
        {% endcall -%}
        any_value(themes[1].theme) filter (where target = '{{ target_of('risk') }}') as theme
    from scores
    group by snapshot_date, customer_id

),

-- What explains them is joined where it is said: every ranking on the way would carry these lists along, which took half of the time.
explained as (

    select
        snapshot_date,
        customer_id,
        any_value(drivers) filter (where target = '{{ target_of('risk') }}') as churn_drivers,
        any_value(change_drivers) filter (where target = '{{ target_of('risk') }}') as change_drivers,
        any_value(themes) filter (where target = '{{ target_of('risk') }}') as churn_themes,
        any_value(drivers) filter (where target = '{{ target_of('expansion') }}') as expansion_drivers
    from scores
    group by snapshot_date, customer_id

),

features as (

    select * from {{ ref('mart_customer_churn_features') }}

),

customers as (

    select * from {{ ref('stg_customers') }}

),

plan_ladder as (

    select * from {{ ref('plan_ladder') }}

),

risk_tiers as (

    select * from {{ ref('risk_tiers') }}

),

segments as (

    select * from {{ ref('segments') }}

),

money_bands as (

    select * from {{ ref('money_bands') }}

),

talking_points as (

    select * from {{ ref('talking_points') }}

),

policy as (

    {{ policy_constants() }}

),

holdout as (

    -- What holds from a Monday on; before the first row, and with a share of 0, nobody is held out.
    select
        effective_from,
        share,
        seed
    from {{ source('control', 'holdout') }}

),

snoozes as (

    -- Read from landing, because it is no feature: what was said to customers may not decide about their probability.
    select
        scored_mondays.snapshot_date,
        interventions.customer_id,
        max(interventions.snooze_until) as snoozed_until
    from scored_mondays
    inner join {{ source('landing', 'interventions') }} as interventions
        on
            scored_mondays.snapshot_date > interventions.known_date
            and scored_mondays.snapshot_date < interventions.snooze_until
    group by all

),

not_calls as (

    select kind from {{ ref('intervention_kinds') }}
    where not is_call

),

last_calls as (

    select
        scored_mondays.snapshot_date,
        interventions.customer_id,
        max(interventions.at_date) as called_on
    from scored_mondays
    cross join policy
    inner join {{ source('landing', 'interventions') }} as interventions
        on
            scored_mondays.snapshot_date > interventions.known_date
            and scored_mondays.snapshot_date < interventions.at_date + policy.call_rest_days::integer
            -- A kind that the seed does not know is a call.
            and coalesce(lower(trim(interventions.kind)) not in (select kind from not_calls), true)
    group by all

),

-- What the week of the call thought of the customer: as this run scores that week, or as it was published.
probabilities_at_calls as (

    select
        snapshot_date,
        customer_id,
        {{ probability_of('risk') }} as risk_probability
    from by_customer
    union all
    select
        snapshot_date,
        customer_id,
        risk_probability
    from {{ former_predictions() }}

),

calls as (

    select
        last_calls.snapshot_date,
        last_calls.customer_id,
        last_calls.called_on,
        probabilities_at_calls.risk_probability as probability_when_called
    from last_calls
    left join probabilities_at_calls
        on
            last_calls.customer_id = probabilities_at_calls.customer_id
            and date_trunc('week', last_calls.called_on) = probabilities_at_calls.snapshot_date

),

measured as (

    select
        by_customer.*,
        -- Policy asks by role; how the columns are called is the business of whoever reads them.
        by_customer.{{ probability_of('risk') }} as risk_probability,
        by_customer.{{ probability_of('flag') }} as flag_probability,
        by_customer.{{ probability_of('expansion') }} as expansion_probability,
        scored_mondays.* exclude (snapshot_date, labels_closed_by, model_versions, model_kinds),
        {% call(target) for_each_target() -%}
            scored_mondays.model_versions['{{ target.name }}'] as {{ target.version_column }},
            scored_mondays.model_kinds['{{ target.name }}'] as {{ target.kind_column }},
        {% endcall -%}
        scored_mondays.model_kinds['{{ target_of('risk') }}'] as risk_kind,
        scored_mondays.model_versions['{{ target_of('expansion') }}'] is not null as is_growth_scored,
        features.known_plan_tier as plan_tier,
        features.industry,
        features.known_mrr as mrr,
        features.tenure_days,
        features.is_early_stage,
        features.history_weeks,
        features.known_compliance_gap_score,
        features.known_vendor_risk_flags,
        features.days_to_renewal,
        features.events_last_30d,
        features.usage_change_30d,
        features.avg_adoption_score,
        features.tickets_last_90d,
        features.critical_tickets_90d,
        features.oldest_open_ticket_days,
        features.days_since_last_event,
        customers.csm_owner,
        snoozes.snoozed_until,
        calls.called_on,
        calls.probability_when_called,
        case
            when features.tenure_days < policy.onboarding_days then 'onboarding'
            when
                features.contract_term_days >= policy.renewal_min_term_days
                and features.days_to_renewal
                <= least(policy.renewal_days, policy.renewal_term_share * features.contract_term_days)
                then 'renewal'
            else 'steady'
        end as lifecycle,
        plan_ladder.next_tier as target_tier,
        policy.months_per_year * features.known_mrr as annual_revenue,
        case
            -- Nothing is known of usage before there was any of it.
            when features.events_prior_21d is null then null
            when features.events_prior_21d = 0 then if(features.events_last_7d = 0, 1.0, 0.0)
            else 1 - least(1, 3.0::double * features.events_last_7d / features.events_prior_21d)
        end as usage_decay,
        -- Revenue that the step up would add, for certain; the propensity comes later.
        case
            when plan_ladder.entry_mrr is not null then policy.months_per_year * plan_ladder.entry_mrr
            when plan_ladder.uplift_multiplier is not null
                then policy.months_per_year * features.known_mrr * (plan_ladder.uplift_multiplier - 1)
        end as full_uplift
    from by_customer
    inner join scored_mondays on by_customer.snapshot_date = scored_mondays.snapshot_date
    inner join features
        on by_customer.snapshot_date = features.snapshot_date and by_customer.customer_id = features.customer_id
    inner join customers on by_customer.customer_id = customers.customer_id
    left join plan_ladder on features.known_plan_tier = plan_ladder.plan_tier
    left join snoozes
        on by_customer.snapshot_date = snoozes.snapshot_date and by_customer.customer_id = snoozes.customer_id
    left join calls
        on by_customer.snapshot_date = calls.snapshot_date and by_customer.customer_id = calls.customer_id
    cross join policy

),

judged as (

    select
        measured.*,
        churn_tier.risk_tier,
        measured.annual_revenue * measured.risk_probability as revenue_at_risk,
        policy.usage_decay_weight * coalesce(measured.usage_decay, 0)
        + policy.compliance_gap_weight * coalesce(measured.known_compliance_gap_score, 0)
        + policy.vendor_flags_weight
        * least(coalesce(measured.known_vendor_risk_flags, 0) / policy.vendor_flags_cap, 1) as risk_score,
        coalesce(
            nullif(
                concat_ws(
                    ' + ',
                    if(measured.usage_decay is not null, 'usage_decay', null),
                    if(measured.known_compliance_gap_score is not null, 'compliance_gap', null),
                    if(measured.known_vendor_risk_flags is not null, 'vendor_flags', null)
                ),
                ''
            ),
            'none'
        ) as risk_score_basis,
        case
            when not measured.is_growth_scored then null
            when measured.target_tier is null then 0
            else measured.full_uplift * measured.expansion_probability
        end as expected_arr_uplift,
        case
            when measured.expansion_probability is null then null
            when measured.expansion_probability >= policy.readiness_ready then 'ready'
            when measured.expansion_probability >= policy.readiness_not_ready then 'not_ready'
            else 'none'
        end as expansion_readiness,
        case
            when measured.is_growth_scored
                then coalesce(
                    measured.expansion_probability >= policy.candidate_propensity
                    and measured.risk_probability < policy.candidate_max_churn,
                    false
                )
        end as is_expansion_candidate,
        segments.segment,
        measured.flag_probability > policy.flag_threshold as is_flagged,
        -- Where nobody is known to pay anything, a list of who pays is no list: then everybody is asked for, and goes by probability alone.
        coalesce(max(measured.annual_revenue) over (partition by measured.snapshot_date), 0) > 0 as is_money_known,
        measured.risk_probability >= policy.at_risk_probability or not is_money_known as is_at_risk,
        -- Whoever was called rests, unless their tier rose since: then the call did not help, and somebody should know.
        case
            when measured.called_on is not null and not coalesce(churn_tier.severity > tier_when_called.severity, false)
                then measured.called_on + policy.call_rest_days::integer
        end as resting_until,
        coalesce(holdout.share > 0, false) as is_experiment,
        {{ holdout_draw('measured.customer_id', 'measured.snapshot_date', 'holdout.seed') }} < holdout.share as is_drawn
    from measured
    cross join policy
    asof left join holdout on measured.snapshot_date >= holdout.effective_from
    asof left join risk_tiers as churn_tier on measured.risk_probability >= churn_tier.lower_bound
    asof left join risk_tiers as tier_when_called on measured.probability_when_called >= tier_when_called.lower_bound
    left join segments
        on
            segments.at_risk = (measured.risk_probability >= policy.play_churn_threshold)
            and segments.ready_to_grow
            = coalesce(measured.expansion_probability >= policy.play_expansion_threshold, false)

),

-- Whom a call is for: a paying customer (anybody where no money is known) whom nobody asked to leave alone, likely enough to leave or about to decide.
worth_a_call as (

    select
        judged.*,
        money_bands.money_band,
        coalesce(
            (judged.annual_revenue > 0 or not judged.is_money_known)
            and judged.snoozed_until is null
            and judged.resting_until is null
            and (
                judged.lifecycle = 'renewal'
                -- A base rate says nearly the same of everybody: to be below the mean means little.
                or judged.risk_kind = 'base_rate'
                or judged.risk_probability >= least(
                    policy.call_floor,
                    -- As decimals: a sum of doubles would depend on their order.
                    avg(judged.risk_probability::decimal(18, 12))
                        filter (where judged.annual_revenue > 0 or not judged.is_money_known)
                        over (partition by judged.snapshot_date)
                )
            ),
            false
        ) as is_worth_a_call
    from judged
    cross join policy
    asof left join money_bands on judged.revenue_at_risk >= money_bands.lower_bound

),

economics as (

    {{ first_rows('call_economics', 'worth_a_call', ['save_rate', 'margin', 'months_kept', 'call_cost']) }}

),

valued as (

    select
        worth_a_call.*,
        worth_a_call.revenue_at_risk * economics.save_rate * economics.months_kept / policy.months_per_year
            as expected_saved_revenue,
        worth_a_call.revenue_at_risk * economics.save_rate * economics.months_kept / policy.months_per_year
        * economics.margin - economics.call_cost as call_value,
        -- Only powers that every machine computes alike.
        worth_a_call.risk_probability * case if(worth_a_call.is_money_known, policy.call_revenue_exponent, 0)
            when 1 then worth_a_call.annual_revenue
            when 0.5 then sqrt(worth_a_call.annual_revenue)
            when 0 then 1
        end as call_priority
    from worth_a_call
    cross join policy
    left join economics on {{ same_case('call_economics', 'worth_a_call', 'economics') }}

),

-- Who would be called if nobody were held out. Of them chance leaves out some, the largest accounts never.
drawn as (

    select
        valued.*,
        row_number() over (
            partition by valued.snapshot_date, valued.is_worth_a_call
            order by
                if(policy.call_order_by_value = 1, valued.call_value, valued.call_priority) desc,
                valued.risk_probability desc,
                valued.customer_id
        ) as place_without_holdout,
        valued.is_worth_a_call
        and valued.is_experiment
        and place_without_holdout <= policy.call_capacity
        and coalesce(valued.annual_revenue, 0) <= policy.holdout_max_annual_revenue as is_in_holdout_draw,
        is_in_holdout_draw and valued.is_drawn as is_holdout
    from valued
    cross join policy

),

listed as (

    select
        drawn.*,
        drawn.is_worth_a_call and not drawn.is_holdout as may_be_called,
        row_number() over (
            partition by drawn.snapshot_date, may_be_called
            order by drawn.place_without_holdout
        ) as place,
        may_be_called and place <= policy.call_capacity as is_on_call_list,
        if(is_on_call_list, place, null) as call_rank
    from drawn
    cross join policy

),

ranked as (

    select
        judged.*,
        score_tier.risk_tier as risk_score_tier,
        case
            when judged.is_growth_scored
                then coalesce(
                    (
                        judged.expected_arr_uplift > policy.high_value_uplift
                        and judged.expansion_probability >= policy.high_value_propensity
                    )
                    or (judged.plan_tier = 'free' and judged.expansion_probability >= policy.high_value_free_propensity),
                    false
                )
        end as is_high_value_target,
        row_number() over (
            partition by judged.snapshot_date
            order by coalesce(judged.revenue_at_risk, 0) desc, judged.risk_probability desc, judged.customer_id
        ) as priority_rank,
        case
            when judged.is_expansion_candidate
                then row_number() over (
                    partition by judged.snapshot_date, judged.is_expansion_candidate
                    order by
                        coalesce(judged.expected_arr_uplift, 0) desc,
                        judged.expansion_probability desc,
                        judged.customer_id
                )
        end as expansion_rank
    from listed as judged
    cross join policy
    asof left join risk_tiers as score_tier on judged.risk_score >= score_tier.lower_bound

),

with_texts as (

    select
        *,
        {{ facts_of_row() }} as facts
    from ranked

),

with_facts as (

    select
        *,
        {{ unknown_facts('with_texts.facts') }} as unknown_facts
    from with_texts

),

reasons as (

    {{ first_rows('call_reasons', 'with_facts', ['call_reason']) }}

),

plays as (

    {{ first_rows('playbook', 'with_facts', ['play', 'action_kind', 'recommended_action'], text='recommended_action') }}

),

-- What to say about each theme that raises the risk: the first of its texts whose facts are known.
themes_of_customers as (

    select
        with_facts.snapshot_date,
        with_facts.customer_id,
        with_facts.facts,
        with_facts.unknown_facts,
        unnest(explained.churn_themes).theme as theme,
        generate_subscripts(explained.churn_themes, 1) as rank
    from with_facts
    inner join explained using (snapshot_date, customer_id)

),

things_to_say as (

    select
        themes_of_customers.snapshot_date,
        themes_of_customers.customer_id,
        themes_of_customers.rank,
        struct_pack(
            theme := themes_of_customers.theme,
            ask := {{ with_facts('talking_points.ask', 'themes_of_customers.facts') }},
            offer := {{ with_facts('talking_points.offer', 'themes_of_customers.facts') }},
            avoid := {{ with_facts('talking_points.avoid', 'themes_of_customers.facts') }}
        ) as talking_point
    from themes_of_customers
    inner join talking_points
        on
            themes_of_customers.theme = talking_points.theme
            and not list_has_any(
                {{ facts_named_in("concat_ws(' ', talking_points.ask, talking_points.offer, talking_points.avoid)") }},
                themes_of_customers.unknown_facts
            )
    qualify
        row_number() over (
            partition by themes_of_customers.snapshot_date, themes_of_customers.customer_id, themes_of_customers.rank
            order by talking_points.position
        ) = 1

),

said as (

    select
        snapshot_date,
        customer_id,
        list(talking_point order by rank) as talking_points
    from things_to_say
    group by all

),

final as (

    select
        ranked.snapshot_date,
        ranked.customer_id,
        ranked.plan_tier,
        ranked.industry,
        ranked.mrr,
        ranked.tenure_days,
        ranked.is_early_stage,
        ranked.csm_owner,
        ranked.{{ probability_of('flag') }},
        ranked.{{ probability_of('risk') }},
        ranked.risk_tier,
        null::varchar as previous_risk_tier,
        null::double as probability_change,
        ranked.is_flagged,
        ranked.risk_score,
        ranked.risk_score_tier,
        ranked.risk_score_basis,
        ranked.annual_revenue,
        ranked.revenue_at_risk,
        ranked.priority_rank,
        ranked.lifecycle,
        ranked.days_to_renewal,
        ranked.money_band,
        ranked.is_on_call_list,
        ranked.call_rank,
        if(ranked.is_on_call_list, reasons.call_reason, null) as call_reason,
        ranked.is_in_holdout_draw,
        ranked.is_holdout,
        ranked.snoozed_until,
        ranked.resting_until,
        ranked.expected_saved_revenue,
        ranked.call_value,
        explained.churn_themes,
        explained.churn_drivers,
        explained.change_drivers,
        null::struct(part varchar, label varchar, points double, revenue double)[] as change_parts,
        ranked.{{ probability_of('expansion') }},
        ranked.expansion_readiness,
        explained.expansion_drivers,
        ranked.target_tier,
        ranked.expected_arr_uplift,
        ranked.is_expansion_candidate,
        ranked.expansion_rank,
        ranked.is_high_value_target,
        ranked.segment,
        plays.play,
        plays.action_kind,
        {{ with_facts('plays.recommended_action', 'ranked.facts') }} as recommended_action,
        coalesce(said.talking_points, []) as talking_points,
        ranked.history_weeks,
        null::boolean as model_changed,
        {{ policy_version() }} as policy_version,
        ranked.scoring_mode,
        ranked.{{ version_of('flag') }},
        ranked.{{ kind_of('flag') }},
        ranked.{{ version_of('risk') }},
        ranked.{{ kind_of('risk') }},
        ranked.{{ version_of('expansion') }},
        ranked.{{ kind_of('expansion') }},
        ranked.run_id,
        ranked.scored_at{% call(target) for_each_target(without_role=true) -%}
            ,
            ranked.{{ target.probability_column }},
            ranked.{{ target.version_column }},
            ranked.{{ target.kind_column }}
        {%- endcall %}
    from with_facts as ranked
    left join reasons on {{ same_case('call_reasons', 'ranked', 'reasons') }}
    left join plays on {{ same_case('playbook', 'ranked', 'plays', text='recommended_action') }}
    left join said on ranked.snapshot_date = said.snapshot_date and ranked.customer_id = said.customer_id
    inner join explained on ranked.snapshot_date = explained.snapshot_date and ranked.customer_id = explained.customer_id

)

select * from final
