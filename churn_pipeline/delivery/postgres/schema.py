"""What schema ``churn`` has: the columns of the newest revision, and those that targets bring after it.

Alembic owns the fixed columns. What depends on ``TARGETS`` is added from that declaration once the newest revision is there, so that a new
target needs no revision. A column is never dropped: one whose target was taken out is null from then on. ``churn.target_columns`` remembers
which columns came this way; any other that the database has, and any that it lacks, is told by :func:`differences`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from churn_pipeline.core.model_kinds import KINDS
from churn_pipeline.core.targets import TARGETS
from churn_pipeline.delivery.postgres.connection import SCHEMA

if TYPE_CHECKING:
    import psycopg


def _columns(text: str) -> dict[str, str]:
    pairs = (column.split(maxsplit=1) for column in text.split(","))
    return {name: kind.strip() for name, kind in pairs}


_PREDICTIONS = _columns("""
    snapshot_date date, customer_id text, plan_tier text, industry text, mrr double precision, tenure_days bigint,
    is_early_stage boolean, csm_owner text, churn_probability_30d double precision, churn_probability_90d double precision,
    risk_tier text, previous_risk_tier text, probability_change double precision, is_flagged boolean, risk_score double precision,
    risk_score_tier text, risk_score_basis text, annual_revenue double precision, revenue_at_risk double precision,
    priority_rank bigint, churn_drivers jsonb, change_drivers jsonb, expansion_propensity double precision,
    expansion_readiness text, expansion_drivers jsonb, target_tier text, expected_arr_uplift double precision,
    is_expansion_candidate boolean, expansion_rank bigint, is_high_value_target boolean, play text, recommended_action text,
    is_holdout boolean, snoozed_until date, history_weeks bigint, model_changed boolean, policy_version text, scoring_mode text,
    churn_30d_model_version text, churn_90d_model_version text, expansion_model_version text, run_id text,
    scored_at timestamp without time zone
""")

_CALL_LIST = _columns("""
    lifecycle text, days_to_renewal bigint, money_band text, is_on_call_list boolean, call_rank bigint, call_reason text,
    is_in_holdout_draw boolean, resting_until date, expected_saved_revenue double precision, call_value double precision,
    churn_themes jsonb, change_parts jsonb, segment text, action_kind text, talking_points jsonb
""")

_KINDS = _columns("churn_30d_model_kind text, churn_90d_model_kind text, expansion_model_kind text")

# By table, the columns that the newest revision leaves. A test holds this to a database that Alembic has just made.
FIXED: dict[str, dict[str, str]] = {
    "predictions": _PREDICTIONS | _CALL_LIST | _KINDS,
    "customers": _columns("customer_id text, company_name text, csm_owner text"),
    "runs": _columns("""
        run_id text, snapshot_date date, scoring_mode text, status text, customers bigint, reason text, exit_code integer,
        recorded_at timestamp without time zone
    """),
    "promotions": _columns("""
        seq bigint, target text, version text, promoted boolean, effective_from date, labels_closed_by date, reason text, who text,
        metrics jsonb, run_id text, recorded_at timestamp without time zone
    """),
    "policy_seeds": _columns("policy_version text, seed text, content text, first_used timestamp without time zone"),
    "risk_tiers": _columns(
        "policy_version text, risk_tier text, severity integer, lower_bound double precision, is_urgent boolean"
    ),
    "drift": _columns("""
        snapshot_date date, target text, feature text, plan_tier text, rows bigint, votes boolean, verdict text,
        psi_reference double precision, limit_reference double precision, psi_week double precision, limit_week double precision,
        share double precision, share_now double precision, share_limit double precision, missing_share double precision,
        missing_share_reference double precision, out_of_range_share double precision, run_id text
    """),
    "drift_verdicts": _columns("""
        snapshot_date date, target text, model_version text, rows bigint, verdict text, score double precision, reasons text[],
        run_id text
    """),
    "judgements": _columns("snapshot_date date, drift text, drift_reasons text[], under jsonb, run_id text"),
    "model_quality": _columns("""
        assessed_on date, target text, predicted_on date, version text, plan_tier text, customers text, basis text, rows bigint,
        positives double precision, figure text, is_under boolean, value double precision, low double precision,
        high double precision, promised double precision, promised_low double precision, promised_high double precision, run_id text
    """),
    "saves": _columns("""
        assessed_on date, predicted_on date, touched bigint, expected_to_stay double precision, expected_low double precision,
        expected_high double precision, stayed bigint, left_the_book bigint, run_id text, revenue double precision,
        revenue_expected_to_leave double precision, revenue_expected_low double precision, revenue_expected_high double precision,
        revenue_left double precision
    """),
    "holdout_lift": _columns("""
        assessed_on date, predicted_on date, held_out bigint, held_out_churned bigint, others bigint, others_churned bigint,
        held_out_rate double precision, others_rate double precision, lift double precision, low double precision,
        high double precision, run_id text, quarters bigint, held_out_revenue double precision,
        held_out_revenue_churned double precision, others_revenue double precision, others_revenue_churned double precision,
        revenue_lift double precision, revenue_low double precision, revenue_high double precision
    """),
    "list_quality": _columns("""
        assessed_on date, predicted_on date, ranking text, basis text, calls bigint, customers double precision,
        customers_low double precision, customers_high double precision, revenue double precision, revenue_low double precision,
        revenue_high double precision, revenue_share double precision, revenue_share_low double precision,
        revenue_share_high double precision, all_customers bigint, all_revenue double precision, run_id text
    """),
    "money_calibration": _columns("""
        assessed_on date, predicted_on date, target text, customers bigint, expected_customers double precision, left_customers bigint,
        expected_revenue double precision, left_revenue double precision, ratio double precision, ratio_low double precision,
        ratio_high double precision, run_id text
    """),
    "forecast": _columns("""
        snapshot_date date, horizon_days bigint, dimension text, value text, customers bigint, revenue double precision,
        expected double precision, low double precision, high double precision, level_scale double precision, past_mondays bigint,
        past_covered bigint, assessed_on date, realised double precision, level_error double precision, level_noise double precision,
        run_id text
    """),
    "retention": _columns("""
        snapshot_date date, dimension text, value text, base_date date, customers bigint, base_revenue double precision,
        gross double precision, net double precision, is_todays_price boolean, horizon_days bigint, revenue double precision,
        expected_gross double precision, expected_gross_low double precision, expected_gross_high double precision,
        expected_net double precision, run_id text
    """),
    "renewals": _columns("""
        snapshot_date date, renewal_week date, customers bigint, revenue double precision, revenue_at_risk double precision,
        on_call_list bigint, run_id text
    """),
    "prediction_outcomes": _columns("""
        assessed_on date, predicted_on date, target text, customer_id text, plan_tier text, risk_tier text,
        probability double precision, label integer, touched boolean, is_holdout boolean, status text, model_version text,
        scoring_mode text, model_kind text
    """),
    "contents": _columns("table_name text, day date, rows bigint, digest text"),
    "publications": _columns("""
        seq bigint, publication uuid, published_at timestamp without time zone, database_user text, who text, published_by_run text,
        snapshot_date date, cause text, rows bigint, run_id text, scoring_mode text, policy_version text,
        churn_30d_model_version text, churn_90d_model_version text, expansion_model_version text
    """)
    | _KINDS,
    "target_columns": _columns("table_name text, column_name text, column_type text, target text"),
    "schema_version": _columns("version_num character varying(32)"),
}


VIEWS = (
    "at_risk",
    "call_list",
    "drivers",
    "expansion_candidates",
    "latest_predictions",
    "model_health",
    "prediction_tiers",
    "tier_history",
    "tiers",
)
# What publications make and own.
OURS = (*FIXED, *VIEWS, "refuse_change", "stamp_publication")


@dataclass(frozen=True)
class TargetColumn:
    """A column that a target brings.

    Attributes:
        table: of schema churn.
        name: of the column.
        kind: PostgreSQL's name of its type.
        target: whose it is.
        comment: what it holds, for people.
    """

    table: str
    name: str
    kind: str
    target: str
    comment: str


@dataclass(frozen=True)
class Difference:
    """A column that the database has otherwise than declared.

    Attributes:
        column: as table.column, with the schema.
        there: its type in the database; None where it is missing.
        declared: its type as declared; None where nobody declares it.
    """

    column: str
    there: str | None
    declared: str | None

    @property
    def prevents_copying(self) -> bool:
        """Whether a publication would fail on it or lose a value. A column that somebody added does neither."""
        return self.declared is not None

    def __str__(self) -> str:
        if self.there is None:
            return f"{self.column} is missing in PostgreSQL: a column of type {self.declared} is declared"
        if self.declared is None:
            return f"{self.column} is in PostgreSQL, and neither a revision nor a target declares it"
        return f"{self.column} is {self.there} in PostgreSQL, and declared as {self.declared}"


def target_columns() -> Iterator[TargetColumn]:
    """What every declared target has in schema churn: its probability, and wherever models are named, the version behind it and its kind."""
    for target in TARGETS.values():
        version = f"The version of the model behind {target.probability_column}."
        kind = f"What that model is: {', '.join(KINDS)}. Null where that was not kept."
        yield TargetColumn(
            "predictions",
            target.probability_column,
            "double precision",
            target.name,
            f"The calibrated probability that the customer {target.question}.",
        )
        for table in ("predictions", "publications"):
            yield TargetColumn(table, target.version_column, "text", target.name, version)
            yield TargetColumn(table, target.kind_column, "text", target.name, kind)


def add_target_columns(con: psycopg.Connection[Any]) -> list[str]:
    """Adds the columns of targets that the newest revision has not got, and remembers whose they are.

    Nothing is locked where nothing is missing: ``add column if not exists`` alone would keep readers waiting for a column that is there.

    Returns:
        The columns that were added, as table.column.
    """
    from psycopg import sql

    there = columns_in(con)
    comments = _comments_in(con)
    added = []
    for column in target_columns():
        table = sql.Identifier(SCHEMA, column.table)
        if column.name not in there.get(column.table, {}):
            con.execute(
                sql.SQL("alter table {} add column if not exists {} {}").format(
                    table, sql.Identifier(column.name), sql.SQL(column.kind)
                )
            )
            # What was copied before the column was there has values for it that only a new copy brings.
            con.execute(f"update {SCHEMA}.contents set digest = '' where table_name = %s", [column.table])
            added.append(f"{column.table}.{column.name}")
        con.execute(
            f"insert into {SCHEMA}.target_columns values (%s, %s, %s, %s) on conflict do nothing",
            [column.table, column.name, column.kind, column.target],
        )
        if comments.get((column.table, column.name)) != column.comment:
            con.execute(
                sql.SQL("comment on column {} is {}").format(
                    sql.Identifier(SCHEMA, column.table, column.name), sql.Literal(column.comment)
                )
            )
    return added


def declared(con: psycopg.Connection[Any]) -> dict[str, dict[str, str]]:
    """By table, the columns that the database should have, with their types: fixed ones, those of targets, and those of former targets."""
    expected = {table: dict(columns) for table, columns in FIXED.items()}
    for table, name, kind in con.execute(
        f"select table_name, column_name, column_type from {SCHEMA}.target_columns"
    ).fetchall():
        expected[table].setdefault(name, kind)
    for column in target_columns():
        expected[column.table][column.name] = column.kind
    return expected


def columns_in(con: psycopg.Connection[Any]) -> dict[str, dict[str, str]]:
    """By table, the columns that the database has, with their types, in the order of the table."""
    there: dict[str, dict[str, str]] = {}
    for table, name, kind in con.execute(
        """
        select relname::text, attname::text, format_type(atttypid, atttypmod)
        from pg_attribute
        inner join pg_class on pg_class.oid = attrelid
        where relnamespace = to_regnamespace(%s) and relkind in ('r', 'p') and attnum > 0 and not attisdropped
        order by relname, attnum
        """,
        [SCHEMA],
    ).fetchall():
        there.setdefault(table, {})[name] = kind
    return there


def differences(con: psycopg.Connection[Any]) -> list[Difference]:
    """How the tables of this project differ from what is declared; empty as it should be. Other tables of the schema are somebody else's."""
    there = columns_in(con)
    return [
        Difference(f"{SCHEMA}.{table}.{name}", there.get(table, {}).get(name), columns.get(name))
        for table, columns in declared(con).items()
        for name in {**columns, **there.get(table, {})}
        if there.get(table, {}).get(name) != columns.get(name)
    ]


# Columns are named one by one: a view made with * keeps the columns of its first day, and nobody notices. PostgreSQL takes new columns of a
# view at its end only, so those that came after revision 0002 stand there, in the order of the table.
_LATEST_PREDICTIONS = """
create or replace view churn.latest_predictions as
select p.snapshot_date, p.priority_rank, p.customer_id, c.company_name, p.csm_owner, p.plan_tier, p.industry, p.mrr, p.tenure_days,
       p.is_early_stage, p.churn_probability_30d, p.churn_probability_90d, p.risk_tier, p.previous_risk_tier, p.probability_change,
       p.is_flagged, p.risk_score, p.risk_score_tier, p.risk_score_basis, p.annual_revenue, p.revenue_at_risk,
       p.churn_drivers -> 0 ->> 'sentence' as first_reason, p.churn_drivers -> 1 ->> 'sentence' as second_reason,
       p.churn_drivers -> 2 ->> 'sentence' as third_reason,
       p.churn_drivers, p.change_drivers, p.expansion_propensity, p.expansion_readiness, p.expansion_drivers, p.target_tier,
       p.expected_arr_uplift, p.is_expansion_candidate, p.expansion_rank, p.is_high_value_target, p.play, p.recommended_action,
       p.is_holdout, p.snoozed_until, p.history_weeks, p.model_changed, p.policy_version, p.scoring_mode, p.churn_30d_model_version,
       p.churn_90d_model_version, p.expansion_model_version, p.run_id, p.scored_at,
       tier.severity, tier.is_urgent, tier.previous_severity, tier.previous_is_urgent{}
from churn.predictions as p
inner join churn.prediction_tiers as tier using (snapshot_date, customer_id)
left join churn.customers as c using (customer_id)
where p.snapshot_date = (select max(snapshot_date) from churn.predictions)
"""


def show_new_columns(con: psycopg.Connection[Any]) -> None:
    """Brings the columns of targets and of later revisions into ``churn.latest_predictions``, where they are not there yet."""
    from psycopg import sql

    shown = {
        name
        for (name,) in con.execute(
            "select attname::text from pg_attribute where attrelid = to_regclass(%s) and attnum > 0",
            [f"{SCHEMA}.latest_predictions"],
        ).fetchall()
    }
    known = declared(con)["predictions"].keys() - _PREDICTIONS.keys()
    # In the order of the table: a later one is always behind an earlier one, as the view needs it.
    names = [name for name in columns_in(con)["predictions"] if name in known]
    if "severity" not in shown or not shown.issuperset(names):
        con.execute(
            sql.SQL(_LATEST_PREDICTIONS).format(
                sql.SQL("").join(sql.SQL(", p.{}").format(sql.Identifier(name)) for name in names)
            )
        )


def _comments_in(con: psycopg.Connection[Any]) -> dict[tuple[str, str], str]:
    return {
        (table, name): comment
        for table, name, comment in con.execute(
            """
            select relname::text, attname::text, description
            from pg_description
            inner join pg_class on pg_class.oid = objoid and classoid = 'pg_class'::regclass
            inner join pg_attribute on attrelid = pg_class.oid and attnum = objsubid
            where relnamespace = to_regnamespace(%s)
            """,
            [SCHEMA],
        ).fetchall()
    }
