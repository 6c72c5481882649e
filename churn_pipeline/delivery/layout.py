"""What the published databases hold: which tables, from which query on the warehouse, with which words on every column.

The words are dbt's descriptions where a model has them, so that a column means the same wherever it is read. How the files are written,
and when, is `publish.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import duckdb

from churn_pipeline.core.settings import Settings
from churn_pipeline.core.sql import literal, quoted
from churn_pipeline.core.targets import target_of
from churn_pipeline.features.plan import MARTS

# The oldest DuckDB that can open what is published: tools carry whatever version was there when they were built.
STORAGE_VERSION = "v1.0.0"
# How many reasons a row of `predictions_flat` has.
REASONS = 3

_MONDAY = {"snapshot_date": "The Monday; everything was known before 00:00 of that day."}
_CUSTOMER = {"customer_id": "The customer, as in the raw data."}


@dataclass(frozen=True)
class PublishedTable:
    """A table of a published database.

    Attributes:
        name: of the table.
        query: on the warehouse. A table that is replaced by the Monday has a snapshot_date, and its query ``{mondays}`` in the place of
            a list of dates.
        by_monday: whether it is; otherwise all of it is replaced.
        comment: what a row is, where no dbt model says it.
        columns: what the columns are that no dbt model describes.
        models: dbt models that describe it and its columns, the surest first.
    """

    name: str
    query: str
    by_monday: bool = False
    comment: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    models: Sequence[str] = ()

    def rows_of(self, mondays: Collection[date]) -> str:
        """The query for these Mondays; where the table does not go by Mondays, the query."""
        days = ", ".join(map(literal, sorted(mondays))) or "null"
        return self.query.format(mondays=days) if self.by_monday else self.query


@dataclass(frozen=True)
class PublishedView:
    """A view of a published database.

    Attributes:
        name: of the view.
        query: on the tables of the same database.
        comment: what a row is.
        columns: what the columns are that no table of the database describes.
    """

    name: str
    query: str
    comment: str
    columns: Mapping[str, str]


_SMALL = (
    PublishedTable(
        "customers",
        "select customer_id, company_name, csm_owner from landing.customers order by customer_id",
        comment="One row per customer, active or not: names and owners as the source shows them today, for joining.",
        columns={
            **_CUSTOMER,
            "company_name": "Name of the company; personal data, in no model.",
            "csm_owner": "Customer success manager.",
        },
    ),
    PublishedTable(
        "runs",
        "select * from ledger.runs order by recorded_at, snapshot_date",
        comment="One row per run and Monday: published, refused or failed, and why.",
        columns={
            **_MONDAY,
            "run_id": "The run, as Dagster calls it.",
            "scoring_mode": "live: this Monday; as_of: a past one with the model for it.",
            "status": "published, refused or failed.",
            "customers": "Rows that were published; 0 when none were.",
            "reason": "Why it was refused or failed; of a published Monday that another run wrote: that it was caught up.",
            "exit_code": "What a command that asked for this Monday returned.",
            "recorded_at": "When this was noted, UTC.",
        },
    ),
    PublishedTable(
        "promotions",
        "select * from ledger.promotions order by seq",
        comment="The ledger of models, append-only. The model for S is the newest promoted row of its target with effective_from <= S and "
        "labels_closed_by <= S.",
        columns={
            "seq": "Position in the ledger.",
            "target": "What the model predicts.",
            "version": "Version in MLflow.",
            "promoted": "Whether it passed its gate.",
            "effective_from": "First Monday that it may serve.",
            "labels_closed_by": "The Monday by which all labels that it learned from were closed.",
            "reason": "Why it was promoted or not.",
            "who": "The run or the person that decided.",
            "metrics": "What was measured, as JSON.",
            "run_id": "The run that trained it.",
            "recorded_at": "When this was noted, UTC.",
        },
    ),
)
_POLICY = (
    PublishedTable(
        "policy_seeds",
        "select * from ledger.policy_seeds order by policy_version, seed",
        comment="The policy behind every policy_version that predictions carry: one row per version and seed.",
        columns={
            "policy_version": "Hash of the seeds.",
            "seed": "Name of the seed.",
            "content": "The seed, as CSV.",
            "first_used": "When a run first used it, UTC.",
        },
    ),
    PublishedTable(
        "risk_tiers",
        "from policy.risk_tiers order by policy_version, severity",
        comment="The risk tiers of each policy_version, one row a tier.",
        columns={
            "policy_version": "Hash of the seeds.",
            "risk_tier": "Name of the tier.",
            "severity": "Its place in the order, the gravest last.",
            "lower_bound": "Smallest 90-day probability that belongs to it.",
            "is_urgent": "Whether it counts as urgent in reports.",
        },
    ),
)
_NOTICES = PublishedTable(
    "notices",
    "select snapshot_date, position, kind, source, sentence from ledger.notices "
    "semi join policy.predictions using (snapshot_date) order by snapshot_date, position",
    comment="What a reader of a published Monday should know: one row per sentence.",
    columns={
        **_MONDAY,
        "position": "The order in which they are said, the most important first.",
        "kind": "What it is about, such as bad_data or feed.",
        "source": "The table or target that it is about.",
        "sentence": "What is to be known.",
    },
)
_PREDICTIONS = PublishedTable(
    "predictions",
    "select * from policy.predictions where snapshot_date in ({mondays}) order by snapshot_date, customer_id",
    by_monday=True,
    models=("predictions",),
)
# Columns of `customer_weeks` that no model saw.
OTHER_FACTS = {
    "latest_opportunity_date": "When the newest sales opportunity known at S was created; null without one.",
    "latest_opportunity_stage": "Its stage as far as it was a fact before S: closed_won, closed_lost, or open.",
    "last_contact_date": "Day of the last intervention or outreach known at S; null without one.",
    "last_contact_kind": "What kind of intervention it was, or the channel of the outreach.",
    "open_tickets_of_any_age": "Support tickets of whatever age that were open at S; null where no tickets are known of anybody. open_tickets, a feature, "
    "counts those of the 90 days before S.",
}


def published_tables(con: duckdb.DuckDBPyConnection) -> tuple[PublishedTable, ...]:
    """The tables of HOME/data/published/churn.duckdb.

    Args:
        con: the warehouse: which features there are is read from its marts.
    """
    return _PREDICTIONS, _customer_weeks(con), *_SMALL, *_POLICY, _NOTICES


def promotions_table() -> PublishedTable:
    """The ledger of models alone."""
    return next(table for table in _SMALL if table.name == "promotions")


def rescored_tables() -> tuple[PublishedTable, ...]:
    """The tables of HOME/data/published/rescored.duckdb."""
    rescored = PublishedTable(
        "predictions_rescored",
        "from policy.predictions_rescored order by snapshot_date, customer_id",
        models=("predictions_rescored", "predictions"),
    )
    return rescored, *_POLICY


def monitoring_tables(con: duckdb.DuckDBPyConnection) -> tuple[PublishedTable, ...]:
    """The tables of HOME/data/published/monitoring.duckdb: all that monitoring has.

    Args:
        con: the warehouse.
    """
    names = con.execute(
        "select table_name from duckdb_tables() where database_name = current_database() and schema_name = 'monitoring' order by 1"
    ).fetchall()
    return tuple(
        PublishedTable(name, f"from monitoring.{quoted(name)} order by all", models=(name,)) for (name,) in names
    )


def _customer_weeks(con: duckdb.DuckDBPyConnection) -> PublishedTable:
    """The features of a customer on a Monday, as the models saw them, and what else was known then.

    Of an opportunity only what was a fact before S: while it is open, its stage and its end are still edited.
    """
    first, *others = dict.fromkeys((target_of("risk").mart, *MARTS))
    taken = set(_columns(con, first))
    joins, more = [], []
    for mart in others:
        # What two marts both have is the same in both.
        repeated = [name for name in _columns(con, mart) if name in taken]
        taken |= set(_columns(con, mart))
        more.append(f"{quoted(mart)}.* exclude ({', '.join(map(quoted, repeated))}),")
        joins.append(f"left join marts.{quoted(mart)} using (snapshot_date, customer_id)")
    query = f"""
        with weeks as (
            select snapshot_date, customer_id from policy.predictions where snapshot_date in ({{mondays}})
        ),
        opportunities as (
            select
                snapshot_date,
                customer_id,
                max(struct_pack(
                    created_date := created_date,
                    opp_id := opp_id,
                    stage := case
                        when stage in ('closed_won', 'closed_lost') and close_date is not null and greatest(close_date, known_date) < snapshot_date then stage
                        else 'open'
                    end
                )) as latest
            from landing.gtm_opportunities
            inner join weeks using (customer_id)
            where created_date is not null and known_date < snapshot_date
            group by all
        ),
        contacts as (
            select snapshot_date, customer_id, max(struct_pack(contacted_on := contacted_on, kind := kind)) as latest
            from (
                select customer_id, at_date as contacted_on, kind, known_date from landing.interventions
                union all
                select customer_id, contacted_date, outreach_channel, known_date from landing.expansion_outreach_log
            )
            inner join weeks using (customer_id)
            where known_date < snapshot_date
            group by all
        ),
        tickets as (
            select
                snapshot_date,
                customer_id,
                count(*) filter (where not coalesce(resolved_date < snapshot_date, false)) as open_tickets
            from landing.support_tickets
            inner join weeks using (customer_id)
            where known_date < snapshot_date and created_date < snapshot_date
            group by all
        ),
        -- Without any ticket nobody has none: nothing is known.
        first_ticket as (
            select min(greatest(known_date, created_date)) as known_on from landing.support_tickets
        )
        select
            {quoted(first)}.*,
            {" ".join(more)}
            opportunities.latest.created_date as latest_opportunity_date,
            opportunities.latest.stage as latest_opportunity_stage,
            contacts.latest.contacted_on as last_contact_date,
            contacts.latest.kind as last_contact_kind,
            coalesce(tickets.open_tickets, if(snapshot_date > (select known_on from first_ticket), 0, null)) as open_tickets_of_any_age
        from marts.{quoted(first)}
        semi join weeks using (snapshot_date, customer_id)
        {" ".join(joins)}
        left join tickets using (snapshot_date, customer_id)
        left join opportunities using (snapshot_date, customer_id)
        left join contacts using (snapshot_date, customer_id)
        order by snapshot_date, customer_id
        """
    return PublishedTable(
        "customer_weeks",
        query,
        by_monday=True,
        comment="One row per customer per snapshot_date: the features that the models saw, and what else was known of the customer.",
        columns=OTHER_FACTS,
        models=(first, *others),
    )


def published_views(reader: duckdb.DuckDBPyConnection) -> tuple[PublishedView, ...]:
    """The views of HOME/data/published/churn.duckdb.

    Args:
        reader: that database, with its tables.
    """
    # Here: it comes with pandas, which no command needs that only reads.
    from churn_pipeline.scoring.drivers import TOP

    risk, expansion = target_of("risk").name, target_of("expansion").name
    lists = {risk: "churn_drivers", f"{risk}_change": "change_drivers", expansion: "expansion_drivers"}
    # By position, from one scan: of a view that unites three queries DuckDB 1.3 and 1.4 lose rows or never end, as 2.0 stores it for them.
    positions = ", ".join(f"({literal(target)}, {rank}::bigint)" for target in lists for rank in range(1, TOP + 1))
    driver = " ".join(f"when {literal(target)} then {column}[rank]" for target, column in lists.items())
    drivers = f"""
        select
            snapshot_date, customer_id, target, rank,
            driver.feature, driver.label, driver.value, driver.contribution, driver.sentence
        from (
            select snapshot_date, customer_id, target, rank, case target {driver} end as driver
            from predictions
            cross join (values {positions}) as positions (target, rank)
        )
        where driver is not null
        """
    flat = [
        f"predictions.{quoted(name)}"
        for name, sql_type in _columns(reader, "predictions", "main").items()
        if not sql_type.endswith("]") and not sql_type.startswith(("STRUCT", "MAP"))
    ]
    # Mondays from before reasons went by theme have drivers only.
    reasons = [
        f"coalesce(churn_themes[{n}].sentence, case when churn_themes is null then churn_drivers[{n}].sentence end) as reason_{n}"
        for n in range(1, REASONS + 1)
    ]
    # The key, then the name, then the rest.
    columns = [*flat[:2], "customers.company_name", *flat[2:], *reasons]
    return (
        PublishedView(
            "predictions_flat",
            f"select {', '.join(columns)} from predictions left join customers using (customer_id)",
            "predictions for spreadsheets and BI: the same rows with the name of the company and the first reasons, no nested column.",
            {
                f"reason_{n}": f"Reason {n} for the risk, a sentence; null where there are fewer."
                for n in range(1, REASONS + 1)
            },
        ),
        PublishedView(
            "drivers",
            drivers,
            "The lists of drivers of predictions, a row each.",
            {
                "target": "What the driver speaks of: the 90-day probability, its change since last Monday, or expansion.",
                "rank": "1 = the largest.",
                "feature": "Name of the feature.",
                "label": "What people call it.",
                "value": "Its value, as text.",
                "contribution": "What it adds to the log-odds.",
                "sentence": "The same in words.",
            },
        ),
    )


def described(settings: Settings, tables: Sequence[PublishedTable]) -> dict[tuple[str, str], str]:
    """What each table and column is, by table and column; the column of a table itself is empty.

    Args:
        settings: which says where the dbt project is.
        tables: of a published database.
    """
    said: dict[tuple[str, str], str] = {}
    for table in tables:
        for model in reversed(table.models):
            said |= {(table.name, column): text for column, text in _of_model(settings.dbt_project, model).items()}
        said |= {(table.name, column): text for column, text in table.columns.items()}
        if table.comment:
            said[table.name, ""] = table.comment
    return said


@cache
def _of_model(dbt_project: Path, model: str) -> dict[str, str]:
    """The descriptions of a dbt model by column, its own under the empty name; none where it has no YAML file of its name."""
    import yaml

    path = next((dbt_project / "models").glob(f"*/{model}.yml"), None)
    if path is None:
        return {}
    # The parser in C reads the catalogue of features in a tenth of the time.
    document: Any = yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    entry = next(entry for entry in document["models"] if entry["name"] == model)
    columns = {column["name"]: str(column.get("description", "")).strip() for column in entry.get("columns") or ()}
    return {"": str(entry.get("description", "")).strip()} | columns


def _columns(con: duckdb.DuckDBPyConnection, table: str, schema: str = "marts") -> dict[str, str]:
    """Names and types of a table's columns, in their order."""
    rows = con.execute(
        "select column_name, data_type from duckdb_columns() where database_name = current_database() and schema_name = ? "
        "and table_name = ? order by column_index",
        [schema, table],
    ).fetchall()
    return dict(rows)
