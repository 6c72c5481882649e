"""The call list: who is on it, in which order, why, and what is said of it. Reasons are themes."""

from typing import Any

from alembic import op

revision = "0003"
down_revision = "0002"

_COLUMNS = """
alter table churn.predictions
    add column lifecycle text,
    add column days_to_renewal bigint,
    add column money_band text,
    add column is_on_call_list boolean,
    add column call_rank bigint,
    add column call_reason text,
    add column is_in_holdout_draw boolean,
    add column resting_until date,
    add column expected_saved_revenue double precision,
    add column call_value double precision,
    add column churn_themes jsonb,
    add column change_parts jsonb,
    add column segment text,
    add column action_kind text,
    add column talking_points jsonb;
update churn.predictions set segment = play;
comment on column churn.predictions.lifecycle is 'onboarding, renewal or steady; the cut-offs are policy.';
comment on column churn.predictions.days_to_renewal is 'Days from the Monday to the end of the running contract that ends first.';
comment on column churn.predictions.money_band is 'Size of revenue_at_risk; the cut-offs are policy.';
comment on column churn.predictions.is_on_call_list is
    'Whether the team calls this customer this week. Null on Mondays before there was a list.';
comment on column churn.predictions.call_rank is '1 = call first; null off the call list.';
comment on column churn.predictions.call_reason is 'onboarding, renewal, at_risk or large_account; null off the call list.';
comment on column churn.predictions.is_in_holdout_draw is
    'Whether chance decided about the call; with is_holdout the two arms of the experiment. Not for those who call.';
comment on column churn.predictions.resting_until is 'Called not long ago: not called again before this day.';
comment on column churn.predictions.expected_saved_revenue is 'USD that a call is assumed to keep. Assumed, not measured.';
comment on column churn.predictions.call_value is
    'expected_saved_revenue x margin minus the cost of a call, USD. Assumed, not measured.';
comment on column churn.predictions.churn_themes is
    'What raises the 90-day churn probability, by theme, the largest first, a sentence each.';
comment on column churn.predictions.change_parts is
    'What probability_change (points) and the change of revenue_at_risk (revenue, USD) are made of; they add up.';
comment on column churn.predictions.segment is 'At risk or not, ready to grow or not. On Mondays before there was a call list play says the same.';
comment on column churn.predictions.action_kind is 'Who acts: csm_call for everybody on the call list and nobody else, ae_call, no_call or none.';
comment on column churn.predictions.talking_points is 'What to ask, to offer and to leave unsaid, by theme.';
"""

_MONITORING = """
alter table churn.saves
    add column revenue double precision,
    add column revenue_expected_to_leave double precision,
    add column revenue_expected_low double precision,
    add column revenue_expected_high double precision,
    add column revenue_left double precision;
comment on table churn.saves is
    'Customers of the call list with an intervention in the window and what became of them 13 weeks later, in customers and USD, beside what the model expected. No proof: nobody drew lots.';
alter table churn.holdout_lift
    add column quarters bigint,
    add column held_out_revenue double precision,
    add column held_out_revenue_churned double precision,
    add column others_revenue double precision,
    add column others_revenue_churned double precision,
    add column revenue_lift double precision,
    add column revenue_low double precision,
    add column revenue_high double precision;
create table churn.list_quality (
    assessed_on date,
    predicted_on date,
    ranking text,
    basis text,
    calls bigint,
    customers double precision,
    customers_low double precision,
    customers_high double precision,
    revenue double precision,
    revenue_low double precision,
    revenue_high double precision,
    revenue_share double precision,
    revenue_share_low double precision,
    revenue_share_high double precision,
    all_customers bigint,
    all_revenue double precision,
    run_id text
);
create index list_quality_by_assessed_on on churn.list_quality (assessed_on);
comment on table churn.list_quality is 'What the call list caught of what left within 90 days, beside other lists of the same length. ranking: whose; basis: list, or rank for Mondays before there was one.';
create table churn.money_calibration (
    assessed_on date,
    predicted_on date,
    target text,
    customers bigint,
    expected_customers double precision,
    left_customers bigint,
    expected_revenue double precision,
    left_revenue double precision,
    ratio double precision,
    ratio_low double precision,
    ratio_high double precision,
    run_id text
);
create index money_calibration_by_assessed_on on churn.money_calibration (assessed_on);
comment on table churn.money_calibration is 'Revenue that the probabilities led to expect to leave, and revenue that left.';
create table churn.forecast (
    snapshot_date date,
    horizon_days bigint,
    dimension text,
    value text,
    customers bigint,
    revenue double precision,
    expected double precision,
    low double precision,
    high double precision,
    level_scale double precision,
    past_mondays bigint,
    past_covered bigint,
    assessed_on date,
    realised double precision,
    level_error double precision,
    level_noise double precision,
    run_id text
);
create index forecast_by_snapshot_date on churn.forecast (snapshot_date);
comment on table churn.forecast is 'Revenue expected to leave within horizon_days of the Monday, with an 80 % interval, and what left once the window has closed.';
create table churn.retention (
    snapshot_date date,
    dimension text,
    value text,
    base_date date,
    customers bigint,
    base_revenue double precision,
    gross double precision,
    net double precision,
    is_todays_price boolean,
    horizon_days bigint,
    revenue double precision,
    expected_gross double precision,
    expected_gross_low double precision,
    expected_gross_high double precision,
    expected_net double precision,
    run_id text
);
create index retention_by_snapshot_date on churn.retention (snapshot_date);
comment on table churn.retention is 'Gross and net revenue retention so far and expected, by plan, industry and owner.';
create table churn.renewals (
    snapshot_date date,
    renewal_week date,
    customers bigint,
    revenue double precision,
    revenue_at_risk double precision,
    on_call_list bigint,
    run_id text
);
create index renewals_by_snapshot_date on churn.renewals (snapshot_date);
comment on table churn.renewals is 'Contracts that end in the 90 days after the Monday, by week, with revenue and risk.';
"""

_VIEWS = """
create view churn.call_list as
select p.snapshot_date, p.call_rank, p.customer_id, c.company_name, p.csm_owner, p.plan_tier, p.industry, p.mrr, p.annual_revenue,
       p.revenue_at_risk, p.churn_probability_90d, p.churn_probability_30d, p.risk_tier, p.previous_risk_tier, p.probability_change,
       p.is_flagged, p.call_reason, p.lifecycle, p.days_to_renewal, p.money_band,
       p.churn_themes -> 0 ->> 'sentence' as first_reason, p.churn_themes -> 1 ->> 'sentence' as second_reason,
       p.churn_themes -> 2 ->> 'sentence' as third_reason,
       p.play, p.recommended_action, p.talking_points, p.expected_saved_revenue, p.call_value, p.priority_rank, tier.severity
from churn.predictions as p
left join churn.risk_tiers as tier on tier.policy_version = p.policy_version and tier.risk_tier = p.risk_tier
left join churn.customers as c using (customer_id)
where p.snapshot_date = (select max(snapshot_date) from churn.predictions)
  and p.is_on_call_list
order by p.call_rank;
comment on view churn.call_list is 'Whom to call: the call list of the newest Monday, in its order.';
comment on column churn.call_list.call_rank is '1 = call first; unique within the Monday.';
comment on column churn.call_list.revenue_at_risk is 'USD a year: annual_revenue x churn_probability_90d.';
comment on column churn.call_list.first_reason is 'What raises the risk most, as a sentence.';

comment on view churn.at_risk is
    'Customers of the newest Monday in an urgent tier, most revenue at risk first, without those who are snoozed or held out. Whom to call is churn.call_list.';
comment on column churn.at_risk.priority_rank is '1 = most revenue at risk; unique within the Monday.';
"""


def upgrade() -> None:
    # psycopg itself, which reads neither : nor % in a statement without parameters as a placeholder.
    connection: Any = op.get_bind().connection.dbapi_connection
    for statements in (_COLUMNS, _MONITORING, _VIEWS):
        connection.execute(statements)
    # What was copied before the columns were there is copied again where a home still publishes it.
    connection.execute(
        "update churn.contents set digest = '' where table_name in ('predictions', 'saves', 'holdout_lift')"
    )
