{#
    What became of a customer: the one definition of a label. dbt takes it for the outcomes of predictions, and Python
    (churn_pipeline/features/frames.py) reads this same file for training, so that a model is judged by what it was taught.

    Both macros give the rows of `relation`, which has snapshot_date and customer_id, with a column `label`. Customers who are no
    longer in `customers` have no label and no row. Whether a window is closed is for the caller to ask.

    `horizon` is a number of days and `as_of` the Monday by which the label is known; either may be a column of `snapshots`.

    `churn_of_the_book` says the same of everybody who was active on some Mondays, without a row for each of them to begin with.
#}

{#
    The life in which S lies, as the span in which it does (`here`), and the last span of that life that is known by `as_of` (`last`): its
    end is the end of the life. An end after which the life went on was a pause. Both are null where nobody was a customer at S.
#}
{% macro lives_of_snapshots(as_of, lives) -%}
    asof left join {{ lives }} as here
        on snapshots.customer_id = here.customer_id and snapshots.snapshot_date > here.active_from
    left join {{ lives }} as last
        on
            here.customer_id = last.customer_id
            and here.life = last.life
            and coalesce(here.active_until >= snapshots.snapshot_date, true)
            and last.active_from < {{ as_of }}
            and coalesce(last.resumed_on >= {{ as_of }}, true)
{%- endmacro %}

{#
    1 for a life that churned in [S, S + horizon), else 0: who leaves the book without churning first did not churn. Where an end is known
    only some days after its date, somebody who has ended by S and counts as active, because it could still be a pause, is a 1 too: they are
    gone by S + horizon.
#}
{% macro churn_labelled(relation, horizon, as_of, customers, lives) -%}
    select
        snapshots.*,
        coalesce(last.end_kind = 'churn' and last.ended_on < snapshots.snapshot_date + {{ horizon }}, false)::integer as label
    from {{ relation }} as snapshots
    inner join {{ customers }} as customers on snapshots.customer_id = customers.customer_id
    {{ lives_of_snapshots(as_of, lives) }}
{%- endmacro %}

{#
    One row for everybody active on each of `mondays`, a relation of snapshot_dates, with the label of `churn_labelled`. A test holds the two
    to each other. What is the same on every Monday is joined first: a year of a large book takes a tenth of the time.
#}
{% macro churn_of_the_book(mondays, horizon, as_of, customers, lives) -%}
    with spans as (

        select
            here.customer_id,
            here.active_from,
            coalesce(here.active_until, date '9999-12-31') as active_until,
            case when last.end_kind = 'churn' then last.ended_on end as churned_on
        from {{ lives }} as here
        inner join {{ customers }} as customers on here.customer_id = customers.customer_id
        inner join {{ lives }} as last
            on
                here.customer_id = last.customer_id
                and here.life = last.life
                and last.active_from < {{ as_of }}
                and coalesce(last.resumed_on >= {{ as_of }}, true)

    )

    select
        mondays.snapshot_date,
        spans.customer_id,
        coalesce(spans.churned_on < mondays.snapshot_date + {{ horizon }}, false)::integer as label
    from {{ mondays }} as mondays
    inner join spans on spans.active_from < mondays.snapshot_date and spans.active_until >= mondays.snapshot_date
{%- endmacro %}

{#
    1 for a move to a higher tier dated in [S, S + horizon), unless the customer churned or left the book first. The moves are those
    of the plan history, if any of it was known by `as_of`: what was loaded later was not known then. Else they are the upgrade
    dates, which hold one move a life; as today's tier is then the one after it, those who moved before S have no row.
#}
{% macro expansion_labelled(relation, horizon, as_of, customers, lives, plan_changes, plan_ladder) -%}
    with

    history as (

        select min(known_date) as began from {{ plan_changes }}
        where shows_tiers

    ),

    upgrades as (

        select
            changes.customer_id,
            changes.effective_date as upgraded,
            changes.known_date,
            true as is_history
        from {{ plan_changes }} as changes
        inner join {{ plan_ladder }} as tier_before on changes.from_tier = tier_before.plan_tier
        inner join {{ plan_ladder }} as tier_after on changes.to_tier = tier_after.plan_tier
        where tier_after.ladder_rank > tier_before.ladder_rank
        union all
        select distinct
            customer_id,
            upgrade_date as upgraded,
            upgrade_date as known_date,
            false as is_history
        from {{ lives }}
        where upgrade_date is not null

    )

    select
        snapshots.*,
        exists(
            select 1
            from upgrades
            where
                upgrades.customer_id = snapshots.customer_id
                and upgrades.upgraded >= snapshots.snapshot_date
                and upgrades.upgraded < snapshots.snapshot_date + {{ horizon }}
                and upgrades.upgraded < coalesce(last.ended_on, date '9999-12-31')
                and upgrades.known_date < {{ as_of }}
                and upgrades.is_history = coalesce(history.began < {{ as_of }}, false)
        )::integer as label
    from {{ relation }} as snapshots
    inner join {{ customers }} as customers on snapshots.customer_id = customers.customer_id
    {{ lives_of_snapshots(as_of, lives) }}
    cross join history
    where
        coalesce(history.began < {{ as_of }}, false)
        or coalesce(here.upgrade_date >= snapshots.snapshot_date, true)
{%- endmacro %}
