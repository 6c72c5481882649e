"""Risk tiers as the policy of each row has them, Mondays of monitoring as ``assessed_on``, columns of targets."""

import csv
import io
from typing import Any

from alembic import op

revision = "0002"
down_revision = "0001"

# PostgreSQL follows a renamed column in its views, whose own columns keep their names.
_RENAMED = """
alter table churn.model_quality rename column monday to assessed_on;
alter table churn.saves rename column monday to assessed_on;
alter table churn.holdout_lift rename column monday to assessed_on;
alter table churn.prediction_outcomes rename column monday to assessed_on;
alter index churn.model_quality_by_monday rename to model_quality_by_assessed_on;
alter index churn.saves_by_monday rename to saves_by_assessed_on;
alter index churn.holdout_lift_by_monday rename to holdout_lift_by_assessed_on;
alter index churn.prediction_outcomes_by_monday rename to prediction_outcomes_by_assessed_on;
comment on column churn.model_quality.assessed_on is 'The Monday that looked back; the predictions are of predicted_on.';
comment on column churn.saves.assessed_on is 'The Monday that looked back; the predictions are of predicted_on.';
comment on column churn.holdout_lift.assessed_on is 'The Monday that looked back; the predictions are of predicted_on.';
comment on column churn.prediction_outcomes.assessed_on is 'The Monday that looked back; the prediction is of predicted_on.';
comment on table churn.model_quality is
    'What predictions were worth. basis realised: of those that fell due on assessed_on; expected: of its own, by their probabilities. customers: all, or untouched by anybody.';
comment on table churn.saves is
    'Customers of urgent tiers who were called and are still there 13 weeks later, beside how many the model expected. No proof: nobody drew lots.';
"""

_TABLES = """
create table churn.risk_tiers (
    policy_version text not null,
    risk_tier text not null,
    severity integer not null,
    lower_bound double precision not null,
    is_urgent boolean not null,
    primary key (policy_version, risk_tier)
);
comment on table churn.risk_tiers is
    'The risk tiers of every policy that predictions carry. Join on (policy_version, risk_tier).';
comment on column churn.risk_tiers.severity is '1 = the least grave; the order of the tiers.';
comment on column churn.risk_tiers.lower_bound is 'Smallest 90-day probability that belongs to the tier.';
comment on column churn.risk_tiers.is_urgent is 'Whether its customers are called first.';

create table churn.target_columns (
    table_name text not null,
    column_name text not null,
    column_type text not null,
    target text not null,
    primary key (table_name, column_name)
);
comment on table churn.target_columns is
    'Columns that stand for a target. They stay when the target is taken out, and are null from then on.';
"""

_VIEWS = """
create view churn.tiers as
select distinct on (tier.risk_tier) tier.risk_tier, tier.severity, tier.lower_bound, tier.is_urgent, tier.policy_version
from churn.risk_tiers as tier
left join (
    select policy_version, max(first_used) as first_used from churn.policy_seeds group by policy_version
) as policy using (policy_version)
order by tier.risk_tier, policy.first_used desc nulls last, tier.policy_version;
comment on view churn.tiers is 'Every risk tier by its name, as the newest policy that has it says.';

create view churn.prediction_tiers as
select p.snapshot_date, p.customer_id, p.plan_tier, p.csm_owner, p.annual_revenue, p.revenue_at_risk, p.policy_version,
       p.risk_tier, tier.severity, tier.is_urgent, p.previous_risk_tier,
       coalesce(previous.severity, renamed.severity) as previous_severity,
       coalesce(previous.is_urgent, renamed.is_urgent) as previous_is_urgent
from churn.predictions as p
left join churn.risk_tiers as tier on tier.policy_version = p.policy_version and tier.risk_tier = p.risk_tier
left join churn.risk_tiers as previous on previous.policy_version = p.policy_version and previous.risk_tier = p.previous_risk_tier
left join churn.tiers as renamed on renamed.risk_tier = p.previous_risk_tier;
comment on view churn.prediction_tiers is
    'One row per prediction: its risk tier and the one of the Monday before, with what the policy that made the row says of them.';
comment on column churn.prediction_tiers.severity is 'Null where churn.risk_tiers does not know the tier.';
comment on column churn.prediction_tiers.previous_severity is
    'On the scale of this row''s policy; a tier that it does not have any more as the newest policy that had it says.';

create or replace view churn.at_risk as
select p.snapshot_date, p.priority_rank, p.customer_id, c.company_name, p.csm_owner, p.plan_tier, p.industry, p.mrr, p.annual_revenue,
       p.revenue_at_risk, p.churn_probability_90d, p.churn_probability_30d, p.risk_tier, p.previous_risk_tier, p.probability_change,
       p.is_flagged, reasons.sentences[1] as first_reason, reasons.sentences[2] as second_reason, reasons.sentences[3] as third_reason,
       p.play, p.recommended_action, tier.severity
from churn.predictions as p
inner join churn.risk_tiers as tier on tier.policy_version = p.policy_version and tier.risk_tier = p.risk_tier and tier.is_urgent
left join churn.customers as c using (customer_id)
left join lateral (
    select array_agg(driver.item ->> 'sentence' order by driver.rank) as sentences
    from jsonb_array_elements(p.churn_drivers) with ordinality as driver (item, rank)
    where (driver.item ->> 'contribution')::double precision > 0
) as reasons on true
where p.snapshot_date = (select max(snapshot_date) from churn.predictions)
  and p.snoozed_until is null
  and not coalesce(p.is_holdout, false)
order by p.priority_rank;
comment on view churn.at_risk is
    'Whom to call: customers of the newest Monday in an urgent tier, most revenue at risk first, without those who are snoozed or held out (a number missing in priority_rank is one of them, or of a tier that is not urgent).';

create or replace view churn.tier_history as
with counted as (
    select snapshot_date, policy_version, risk_tier, severity, count(*) as customers,
           sum(annual_revenue) as annual_revenue, sum(revenue_at_risk) as revenue_at_risk,
           count(*) filter (where severity > previous_severity) as came_from_lower,
           count(*) filter (where severity < previous_severity) as came_from_higher
    from churn.prediction_tiers
    group by snapshot_date, policy_version, risk_tier, severity
),
mondays as (
    select distinct snapshot_date, policy_version from counted
),
complete as (
    select snapshot_date, risk_tier, severity, customers, annual_revenue, revenue_at_risk, came_from_lower, came_from_higher
    from counted
    union all
    select mondays.snapshot_date, tier.risk_tier, tier.severity, 0, 0, 0, 0, 0
    from mondays
    inner join churn.risk_tiers as tier using (policy_version)
)
select snapshot_date, risk_tier, severity,
       sum(customers)::bigint as customers,
       (sum(customers) / sum(sum(customers)) over (partition by snapshot_date))::double precision as share_of_customers,
       coalesce(sum(annual_revenue), 0) as annual_revenue,
       coalesce(sum(revenue_at_risk), 0) as revenue_at_risk,
       sum(came_from_lower)::bigint as came_from_lower,
       sum(came_from_higher)::bigint as came_from_higher
from complete
group by snapshot_date, risk_tier, severity
order by snapshot_date, severity;
comment on view churn.tier_history is
    'Customers and money by Monday and risk tier, one row for every tier of the policy of that Monday, also where it is empty. Everybody, also those held out or snoozed; severity is null for a tier that churn.risk_tiers does not know.';
"""

_MODEL_HEALTH = """
create or replace view churn.model_health as
select quality.assessed_on as monday, quality.target, quality.basis, quality.predicted_on, quality.version,
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
       drift.verdict as drift, drift.score as drift_score, drift.reasons as drift_reasons, quality.assessed_on
from churn.model_quality as quality
left join churn.drift_verdicts as drift on drift.snapshot_date = quality.assessed_on and drift.target = quality.target
where quality.plan_tier = 'all' and quality.customers = 'all'
group by quality.assessed_on, quality.target, quality.basis, quality.predicted_on, quality.version, drift.verdict, drift.score, drift.reasons
order by quality.assessed_on, quality.target, quality.basis;
comment on column churn.model_health.monday is 'The same as assessed_on; the name of this column before revision 0002.';
"""

# What revision 0001 called urgent, for policies whose seed does not say it.
_URGENT_BEFORE = ("HIGH", "CRITICAL")


def upgrade() -> None:
    # psycopg itself, which reads neither : nor % in a statement without parameters as a placeholder.
    connection: Any = op.get_bind().connection.dbapi_connection
    for statements in (_RENAMED, _TABLES, _VIEWS, _MODEL_HEALTH):
        connection.execute(statements)
    # Mondays that no home publishes any more keep their tiers: the seed of their policy is here.
    seeds = connection.execute("select policy_version, content from churn.policy_seeds where seed = 'risk_tiers'")
    for policy_version, content in seeds.fetchall():
        for tier in csv.DictReader(io.StringIO(content)):
            name, urgent = tier["risk_tier"], tier.get("is_urgent")
            connection.execute(
                "insert into churn.risk_tiers values (%s, %s, %s, %s, %s)",
                [
                    policy_version,
                    name,
                    int(tier["severity"]),
                    float(tier["lower_bound"]),
                    name in _URGENT_BEFORE if urgent is None else urgent.strip().lower() == "true",
                ],
            )
