"""The tables that are published, the audit of publications, the views for dashboards."""

from typing import Any

from alembic import op

revision = "0001"
down_revision = None

_TABLES = """
create table churn.predictions (
    snapshot_date date not null,
    customer_id text not null,
    plan_tier text,
    industry text,
    mrr double precision,
    tenure_days bigint,
    is_early_stage boolean,
    csm_owner text,
    churn_probability_30d double precision,
    churn_probability_90d double precision,
    risk_tier text,
    previous_risk_tier text,
    probability_change double precision,
    is_flagged boolean,
    risk_score double precision,
    risk_score_tier text,
    risk_score_basis text,
    annual_revenue double precision,
    revenue_at_risk double precision,
    priority_rank bigint,
    churn_drivers jsonb,
    change_drivers jsonb,
    expansion_propensity double precision,
    expansion_readiness text,
    expansion_drivers jsonb,
    target_tier text,
    expected_arr_uplift double precision,
    is_expansion_candidate boolean,
    expansion_rank bigint,
    is_high_value_target boolean,
    play text,
    recommended_action text,
    is_holdout boolean,
    snoozed_until date,
    history_weeks bigint,
    model_changed boolean,
    policy_version text,
    scoring_mode text,
    churn_30d_model_version text,
    churn_90d_model_version text,
    expansion_model_version text,
    run_id text,
    scored_at timestamp,
    primary key (snapshot_date, customer_id)
);
create index predictions_by_customer on churn.predictions (customer_id, snapshot_date);
comment on table churn.predictions is
    'One row per customer per snapshot_date (a Monday): probability, reasons, money, what to do. The columns of HOME/data/published/churn.duckdb.';

create table churn.customers (customer_id text primary key, company_name text, csm_owner text);
comment on table churn.customers is 'Names and owners as the source shows them today, for joining.';

create table churn.runs (
    run_id text not null,
    snapshot_date date not null,
    scoring_mode text,
    status text,
    customers bigint,
    reason text,
    exit_code integer,
    recorded_at timestamp,
    primary key (run_id, snapshot_date)
);
comment on table churn.runs is 'What became of every Monday that a run was asked for: published or refused, and why.';

create table churn.promotions (
    seq bigint primary key,
    target text,
    version text,
    promoted boolean,
    effective_from date,
    labels_closed_by date,
    reason text,
    who text,
    metrics jsonb,
    run_id text,
    recorded_at timestamp
);
comment on table churn.promotions is
    'The ledger of models. The model for S is the newest promoted row with effective_from <= S and labels_closed_by <= S.';

create table churn.policy_seeds (
    policy_version text not null, seed text not null, content text, first_used timestamp, primary key (policy_version, seed)
);
comment on table churn.policy_seeds is 'The policy (CSV) behind every policy_version that predictions carry.';

create table churn.drift (
    snapshot_date date not null,
    target text,
    feature text,
    plan_tier text,
    rows bigint,
    votes boolean,
    verdict text,
    psi_reference double precision,
    limit_reference double precision,
    psi_week double precision,
    limit_week double precision,
    share double precision,
    share_now double precision,
    share_limit double precision,
    missing_share double precision,
    missing_share_reference double precision,
    out_of_range_share double precision,
    run_id text
);
create index drift_by_monday on churn.drift (snapshot_date, target);
comment on table churn.drift is
    'Per Monday, model, feature and plan tier: how far it is from the training weeks and from last week, and what is missing or out of range.';

create table churn.drift_verdicts (
    snapshot_date date not null,
    target text not null,
    model_version text,
    rows bigint,
    verdict text,
    score double precision,
    reasons text[],
    run_id text,
    primary key (snapshot_date, target)
);
comment on table churn.drift_verdicts is 'Per Monday and model: none, watch or act.';

create table churn.judgements (
    snapshot_date date primary key, drift text, drift_reasons text[], under jsonb, run_id text
);
comment on table churn.judgements is 'One judgement a Monday: drift, and the models that were under their promise, with why.';

create table churn.model_quality (
    monday date not null,
    target text,
    predicted_on date,
    version text,
    plan_tier text,
    customers text,
    basis text,
    rows bigint,
    positives double precision,
    figure text,
    is_under boolean,
    value double precision,
    low double precision,
    high double precision,
    promised double precision,
    promised_low double precision,
    promised_high double precision,
    run_id text
);
create index model_quality_by_monday on churn.model_quality (monday, target);
comment on table churn.model_quality is
    'What predictions were worth. basis realised: of those that fell due on monday; expected: of its own, by their probabilities. customers: all, or untouched by anybody.';

create table churn.saves (
    monday date not null,
    predicted_on date,
    touched bigint,
    expected_to_stay double precision,
    expected_low double precision,
    expected_high double precision,
    stayed bigint,
    left_the_book bigint,
    run_id text
);
create index saves_by_monday on churn.saves (monday);
comment on table churn.saves is
    'Customers at HIGH or above who were called and are still there 13 weeks later, beside how many the model expected. No proof: nobody drew lots.';

create table churn.holdout_lift (
    monday date not null,
    predicted_on date,
    held_out bigint,
    held_out_churned bigint,
    others bigint,
    others_churned bigint,
    held_out_rate double precision,
    others_rate double precision,
    lift double precision,
    low double precision,
    high double precision,
    run_id text
);
create index holdout_lift_by_monday on churn.holdout_lift (monday);
comment on table churn.holdout_lift is 'Churn of customers held out of the call list beside that of the others: what calls are worth.';

create table churn.prediction_outcomes (
    monday date not null,
    predicted_on date,
    target text,
    customer_id text,
    plan_tier text,
    risk_tier text,
    probability double precision,
    label integer,
    touched boolean,
    is_holdout boolean,
    status text,
    model_version text,
    scoring_mode text
);
create index prediction_outcomes_by_monday on churn.prediction_outcomes (monday, target);
create index prediction_outcomes_by_customer on churn.prediction_outcomes (customer_id);
comment on table churn.prediction_outcomes is 'One row per prediction whose window is closed: what was said, and what became of the customer.';

create table churn.contents (
    table_name text not null,
    day date not null,
    rows bigint not null,
    digest text not null,
    primary key (table_name, day)
);
comment on table churn.contents is
    'What a publication put into each table for each Monday. The next one compares, and brings along what was missed.';
"""

_AUDIT = """
create table churn.publications (
    seq bigint generated always as identity primary key,
    publication uuid not null,
    published_at timestamp not null default now(),
    database_user text not null default session_user,
    who text not null,
    published_by_run text,
    snapshot_date date not null,
    cause text not null,
    rows bigint not null,
    run_id text,
    scoring_mode text,
    policy_version text,
    churn_30d_model_version text,
    churn_90d_model_version text,
    expansion_model_version text
);
create index publications_by_monday on churn.publications (snapshot_date, seq);
comment on table churn.publications is
    'Who published which run, when: one row per Monday per publication. Append-only; it holds nothing about customers.';
comment on column churn.publications.publication is 'The same for all Mondays that were replaced in one transaction.';
comment on column churn.publications.database_user is 'Who was logged in to PostgreSQL; set by the server.';
comment on column churn.publications.who is 'User of the operating system where the publication ran.';
comment on column churn.publications.published_by_run is 'Dagster run that published; null when done by hand (churn publish).';
comment on column churn.publications.run_id is 'Dagster run that wrote the rows.';
comment on column churn.publications.cause is
    'asked for; caught up (PostgreSQL had missed it); week after (its change columns were refreshed).';

create function churn.stamp_publication() returns trigger language plpgsql set search_path = pg_catalog as $$
begin
    new.database_user := session_user;
    new.published_at := now() at time zone 'UTC';
    return new;
end $$;
create function churn.refuse_change() returns trigger language plpgsql set search_path = pg_catalog as $$
begin
    raise exception '%.% is append-only: % is refused', tg_table_schema, tg_table_name, tg_op
        using errcode = 'restrict_violation';
end $$;
create trigger stamp before insert on churn.publications for each row execute function churn.stamp_publication();
create trigger append_only before update or delete or truncate on churn.publications
    for each statement execute function churn.refuse_change();
-- Also for sessions that play back replication, which skip ordinary triggers.
alter table churn.publications enable always trigger append_only;
"""

# Columns are named one by one: a view made with * keeps the columns of its first day, and nobody notices.
_VIEWS = """
create view churn.drivers as
select p.snapshot_date, p.customer_id, list.target, driver.rank,
       driver.item ->> 'feature' as feature, driver.item ->> 'label' as label, driver.item ->> 'value' as value,
       (driver.item ->> 'contribution')::double precision as contribution, driver.item ->> 'sentence' as sentence
from churn.predictions as p
cross join lateral (values
    ('churn_90d', p.churn_drivers), ('churn_90d_change', p.change_drivers), ('expansion_90d', p.expansion_drivers)
) as list (target, items)
cross join lateral jsonb_array_elements(list.items) with ordinality as driver (item, rank);
comment on view churn.drivers is
    'Reasons, one row each: the largest contributions (log-odds) of each prediction, rank 1 first. Name a snapshot_date or a customer_id.';
comment on column churn.drivers.target is
    'churn_90d; churn_90d_change: what changed since the Monday before; expansion_90d.';
comment on column churn.drivers.contribution is 'Above 0 raises the probability, below 0 lowers it.';

create view churn.latest_predictions as
select p.snapshot_date, p.priority_rank, p.customer_id, c.company_name, p.csm_owner, p.plan_tier, p.industry, p.mrr, p.tenure_days,
       p.is_early_stage, p.churn_probability_30d, p.churn_probability_90d, p.risk_tier, p.previous_risk_tier, p.probability_change,
       p.is_flagged, p.risk_score, p.risk_score_tier, p.risk_score_basis, p.annual_revenue, p.revenue_at_risk,
       p.churn_drivers -> 0 ->> 'sentence' as first_reason, p.churn_drivers -> 1 ->> 'sentence' as second_reason,
       p.churn_drivers -> 2 ->> 'sentence' as third_reason,
       p.churn_drivers, p.change_drivers, p.expansion_propensity, p.expansion_readiness, p.expansion_drivers, p.target_tier,
       p.expected_arr_uplift, p.is_expansion_candidate, p.expansion_rank, p.is_high_value_target, p.play, p.recommended_action,
       p.is_holdout, p.snoozed_until, p.history_weeks, p.model_changed, p.policy_version, p.scoring_mode, p.churn_30d_model_version,
       p.churn_90d_model_version, p.expansion_model_version, p.run_id, p.scored_at
from churn.predictions as p
left join churn.customers as c using (customer_id)
where p.snapshot_date = (select max(snapshot_date) from churn.predictions);
comment on view churn.latest_predictions is
    'Every active customer of the newest Monday, with the name of the company. Everybody, also those held out or snoozed.';
comment on column churn.latest_predictions.first_reason is 'The largest contribution as a sentence; it may speak for staying.';

create view churn.at_risk as
select p.snapshot_date, p.priority_rank, p.customer_id, c.company_name, p.csm_owner, p.plan_tier, p.industry, p.mrr, p.annual_revenue,
       p.revenue_at_risk, p.churn_probability_90d, p.churn_probability_30d, p.risk_tier, p.previous_risk_tier, p.probability_change,
       p.is_flagged, reasons.sentences[1] as first_reason, reasons.sentences[2] as second_reason, reasons.sentences[3] as third_reason,
       p.play, p.recommended_action
from churn.predictions as p
left join churn.customers as c using (customer_id)
left join lateral (
    select array_agg(driver.item ->> 'sentence' order by driver.rank) as sentences
    from jsonb_array_elements(p.churn_drivers) with ordinality as driver (item, rank)
    where (driver.item ->> 'contribution')::double precision > 0
) as reasons on true
where p.snapshot_date = (select max(snapshot_date) from churn.predictions)
  and p.risk_tier in ('HIGH', 'CRITICAL')
  and p.snoozed_until is null
  and not coalesce(p.is_holdout, false)
order by p.priority_rank;
comment on view churn.at_risk is
    'Whom to call: customers of the newest Monday at HIGH or CRITICAL, most revenue at risk first, without those who are snoozed or held out (a number missing in priority_rank is one of them, or a lower tier).';
comment on column churn.at_risk.priority_rank is '1 = call first; unique within the Monday.';
comment on column churn.at_risk.revenue_at_risk is 'USD a year: annual_revenue x churn_probability_90d.';
comment on column churn.at_risk.first_reason is 'What raises the risk most, as a sentence.';

create view churn.expansion_candidates as
select p.snapshot_date, p.expansion_rank, p.customer_id, c.company_name, p.csm_owner, p.plan_tier, p.target_tier, p.industry, p.mrr,
       p.expansion_propensity, p.expansion_readiness, p.expected_arr_uplift, p.is_high_value_target, p.churn_probability_90d, p.risk_tier,
       reasons.sentences[1] as first_reason, reasons.sentences[2] as second_reason, reasons.sentences[3] as third_reason,
       p.play, p.recommended_action
from churn.predictions as p
left join churn.customers as c using (customer_id)
left join lateral (
    select array_agg(driver.item ->> 'sentence' order by driver.rank) as sentences
    from jsonb_array_elements(p.expansion_drivers) with ordinality as driver (item, rank)
    where (driver.item ->> 'contribution')::double precision > 0
) as reasons on true
where p.snapshot_date = (select max(snapshot_date) from churn.predictions)
  and p.is_expansion_candidate
  and p.snoozed_until is null
  and not coalesce(p.is_holdout, false)
order by p.expansion_rank;
comment on view churn.expansion_candidates is
    'Whom to offer the next tier: candidates of the newest Monday who are safe to upsell, largest expected uplift first, without those who are snoozed or held out.';
comment on column churn.expansion_candidates.expected_arr_uplift is 'USD a year that the step up would add x propensity.';
comment on column churn.expansion_candidates.first_reason is 'What speaks most for it, as a sentence.';

create view churn.tier_history as
with tiers as (
    select * from (values ('LOW', 1), ('MEDIUM', 2), ('HIGH', 3), ('CRITICAL', 4)) as tier (risk_tier, severity)
),
mondays as (
    select snapshot_date, count(*) as customers from churn.predictions group by snapshot_date
),
moves as (
    select p.snapshot_date, p.risk_tier, p.annual_revenue, p.revenue_at_risk, now_at.severity, before_at.severity as severity_before
    from churn.predictions as p
    left join tiers as now_at on now_at.risk_tier = p.risk_tier
    left join tiers as before_at on before_at.risk_tier = p.previous_risk_tier
)
select mondays.snapshot_date, tiers.risk_tier, tiers.severity,
       count(moves.snapshot_date) as customers,
       count(moves.snapshot_date)::double precision / mondays.customers as share_of_customers,
       coalesce(sum(moves.annual_revenue), 0) as annual_revenue,
       coalesce(sum(moves.revenue_at_risk), 0) as revenue_at_risk,
       count(*) filter (where moves.severity > moves.severity_before) as came_from_lower,
       count(*) filter (where moves.severity < moves.severity_before) as came_from_higher
from mondays
cross join tiers
left join moves on moves.snapshot_date = mondays.snapshot_date and moves.risk_tier = tiers.risk_tier
group by mondays.snapshot_date, mondays.customers, tiers.risk_tier, tiers.severity
order by mondays.snapshot_date, tiers.severity;
comment on view churn.tier_history is
    'Customers and money by Monday and risk tier, four rows a Monday, also where a tier is empty. Everybody, also those held out or snoozed.';
comment on column churn.tier_history.came_from_lower is 'Customers whose risk rose into this tier since the Monday before.';
comment on column churn.tier_history.came_from_higher is 'Customers whose risk fell into this tier since the Monday before.';

create view churn.model_health as
select quality.monday, quality.target, quality.basis, quality.predicted_on, quality.version,
       max(quality.rows) as predictions, max(quality.positives) as positives,
       max(quality.value) filter (where quality.figure = 'auc') as auc,
       max(quality.promised) filter (where quality.figure = 'auc') as auc_promised,
       max(quality.value) filter (where quality.figure = 'brier') as brier,
       max(quality.promised) filter (where quality.figure = 'brier') as brier_promised,
       max(quality.value) filter (where quality.figure = 'brier_skill') as brier_skill,
       max(quality.promised) filter (where quality.figure = 'brier_skill') as brier_skill_promised,
       max(quality.value) filter (where quality.figure = 'ece') as ece,
       max(quality.promised) filter (where quality.figure = 'ece') as ece_promised,
       max(quality.value) filter (where quality.figure = 'precision_top_200') as precision_top_200,
       max(quality.promised) filter (where quality.figure = 'precision_top_200') as precision_top_200_promised,
       max(quality.value) filter (where quality.figure = 'precision_at_flag') as precision_at_flag,
       max(quality.promised) filter (where quality.figure = 'precision_at_flag') as precision_at_flag_promised,
       bool_or(quality.is_under) as is_under_promise,
       drift.verdict as drift, drift.score as drift_score, drift.reasons as drift_reasons
from churn.model_quality as quality
left join churn.drift_verdicts as drift on drift.snapshot_date = quality.monday and drift.target = quality.target
where quality.plan_tier = 'all' and quality.customers = 'all'
group by quality.monday, quality.target, quality.basis, quality.predicted_on, quality.version, drift.verdict, drift.score, drift.reasons
order by quality.monday, quality.target, quality.basis;
comment on view churn.model_health is
    'How good each model is, by Monday: basis realised is what the predictions that fell due were worth, expected is what this Monday''s own should be worth. Beside each figure what was promised at promotion, and the verdict on drift.';
comment on column churn.model_health.positives is 'Customers it happened to; for expected the sum of the probabilities.';
comment on column churn.model_health.is_under_promise is 'A judged figure is worse than promised by more than chance.';
"""


def upgrade() -> None:
    # psycopg itself, which reads neither : nor % in a statement without parameters as a placeholder.
    connection: Any = op.get_bind().connection.dbapi_connection
    for statements in (_TABLES, _AUDIT, _VIEWS):
        connection.execute(statements)
