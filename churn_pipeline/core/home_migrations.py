"""What a home of an older format needs before this code works in it, one step a format.

A step is written by the change that alters the form of something that cannot be computed again, or in whose old form the new code cannot
go on. It speaks of tables as they were on the day it was written, in SQL of its own, and is not edited afterwards: a home that was left
alone for a year goes through all of them. What can be computed again is dropped rather than changed, and the next run makes it.
`core/home.py` applies the steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import duckdb

from churn_pipeline.core.atomic import commit_file, temp_path
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.sql import literal, quoted


@dataclass(frozen=True)
class Migration:
    """One step from a format to the next.

    Each part has to do nothing where there is nothing to do: a table may never have been made, and after a kill the step is applied to a
    home in which all or a part of it was done.

    Attributes:
        what: what it changes, for whoever watches.
        warehouse: changes tables, within a transaction of the warehouse.
        files: changes files beside it once that is committed, each replaced in one step; it may read the warehouse.
    """

    what: str
    warehouse: Callable[[duckdb.DuckDBPyConnection], None]
    files: Callable[[duckdb.DuckDBPyConnection, Settings], None] | None = None


def _rename_monday(con: duckdb.DuckDBPyConnection) -> None:
    # Of the schema `failures` too: dbt replaces those tables, and until then nobody should have to know both names.
    tables = con.execute(
        """
        select schema_name, table_name from duckdb_columns() inner join duckdb_tables() using (database_name, schema_name, table_name)
        where database_name = current_database() and schema_name in ('monitoring', 'failures') and column_name = 'monday'
        """
    ).fetchall()
    for schema, table in tables:
        con.execute(f"alter table {quoted(schema)}.{quoted(table)} rename column monday to assessed_on")


def _publish_monitoring_again(con: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    # The copy is made from the warehouse and not renamed in place: readers keep the file that they have open.
    final = settings.monitoring_database
    if not final.is_file():
        return
    temporary = temp_path(final)
    temporary.unlink(missing_ok=True)
    tables = con.execute(
        "select table_name from duckdb_tables() where database_name = current_database() and schema_name = 'monitoring'"
    ).fetchall()
    con.execute(f"attach {literal(str(temporary))} as published")
    try:
        for (table,) in tables:
            con.execute(f"create table published.{quoted(table)} as from monitoring.{quoted(table)} order by all")
    finally:
        con.execute("detach published")
    commit_file(temporary, final)


def _lengthen_scores(con: duckdb.DuckDBPyConnection) -> None:
    # Kept and not dropped: the reports of past Mondays are made again from the contributions when a customer is erased. What was scored again
    # has no contributions, and drivers were written of two targets only.
    columns = {
        (table, column)
        for table, column in con.execute(
            "select table_name, column_name from duckdb_columns() where database_name = current_database() and schema_name = 'scoring'"
        ).fetchall()
    }
    for table in ("scores", "rescores"):
        if (table, "churn_probability_30d") not in columns:
            continue
        explained = table == "scores"
        join = "left join scoring.contributions using (snapshot_date, customer_id, target)" if explained else ""
        con.execute(f"alter table scoring.{table} rename to wide")
        con.execute(
            f"""
            create table scoring.{table} as
            select snapshot_date, customer_id, target, probability,
                {"bias, contributions," if explained else ""} drivers, change_drivers
            from (
                select snapshot_date, customer_id, 'churn_30d' as target, churn_probability_30d as probability,
                    null as drivers, null as change_drivers
                from scoring.wide
                union all
                select snapshot_date, customer_id, 'churn_90d', churn_probability_90d, churn_drivers, change_drivers
                from scoring.wide
                union all
                select snapshot_date, customer_id, 'expansion_90d', expansion_propensity, expansion_drivers, null
                from scoring.wide
            ) {join}
            where probability is not null
            """
        )
        con.execute("drop table scoring.wide")
    con.execute("drop table if exists scoring.contributions")
    if ("raised", "share") in columns and ("raised", "target") not in columns:
        con.execute(
            "create or replace table scoring.raised as select snapshot_date, 'churn_90d' as target, share from scoring.raised"
        )


def _give_predictions_a_segment(con: duckdb.DuckDBPyConnection) -> None:
    # What `play` said until now is the quadrant. Past rows keep it in both columns: it is what was said then.
    columns = {
        (schema, table, column)
        for schema, table, column in con.execute(
            "select schema_name, table_name, column_name from duckdb_columns() where database_name = current_database()"
        ).fetchall()
    }
    for table in ("predictions", "predictions_rescored"):
        if ("policy", table, "play") in columns and ("policy", table, "segment") not in columns:
            con.execute(f"alter table policy.{table} add column segment varchar")
            con.execute(f"update policy.{table} set segment = play")
    # No past Monday is explained by theme: what was said of it was said feature by feature.
    theme = "struct(theme varchar, label varchar, contribution double, share double, sentence varchar, features varchar[])[]"
    for table in ("scores", "rescores"):
        if ("scoring", table, "drivers") in columns:
            con.execute(f"alter table scoring.{table} add column if not exists themes {theme}")
            con.execute(
                f"alter table scoring.{table} add column if not exists change_themes struct(part varchar, label varchar, points double)[]"
            )


def _give_scored_mondays_kinds(con: duckdb.DuckDBPyConnection) -> None:
    # Policy reads them from what the run that scored has left. Past Mondays keep none: nobody recorded what kind their models were.
    if con.execute(
        "select count(*) from duckdb_tables() where database_name = current_database() and schema_name = 'scoring' "
        "and table_name = 'scored_mondays'"
    ).fetchone() == (1,):
        con.execute("alter table scoring.scored_mondays add column if not exists model_kinds map(varchar, varchar)")


def _give_outreach_the_brief_that_led_to_it(con: duckdb.DuckDBPyConnection) -> None:
    # The next landing makes the table anew, with the column in its place; before that it compares with what was landed, column by column.
    con.execute("alter table if exists landing.expansion_outreach_log add column if not exists correlation_id varchar")


MIGRATIONS = (
    # Format 1
    Migration(
        "the column monday of monitoring's tables is called assessed_on", _rename_monday, _publish_monitoring_again
    ),
    # Format 2
    Migration("scores have a row for each target", _lengthen_scores),
    # Format 3
    Migration("predictions have a segment, and scores have themes", _give_predictions_a_segment),
    # Format 4
    Migration("scored Mondays have the kinds of their models", _give_scored_mondays_kinds),
    # Format 5
    Migration("outreach names the brief that led to it", _give_outreach_the_brief_that_led_to_it),
)
