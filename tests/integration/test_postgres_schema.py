"""The schema of PostgreSQL: Alembic's columns and those of targets, what differs from them, tiers as data, a database of an older version."""

from __future__ import annotations

import lzma
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest
from psycopg import sql

from churn_pipeline.core.errors import PostgresError
from churn_pipeline.core.settings import REPOSITORY, Settings
from churn_pipeline.core.targets import TARGETS
from churn_pipeline.delivery.postgres import publish as publishing
from churn_pipeline.delivery.postgres.forget import forget
from churn_pipeline.delivery.postgres.migrate import migrate
from churn_pipeline.delivery.postgres.schema import FIXED, columns_in, differences
from tests.conftest import TINY_BEFORE, TINY_MONDAY
from tests.support.postgres import Cluster, Database

FIRST = REPOSITORY / "tests" / "data" / "first_home" / "postgres_0001.sql.xz"
# What is the same in two databases that went different ways: nothing that an oid or the order of making tells.
CATALOGUE = (
    "select table_name, column_name, ordinal_position, data_type, is_nullable, column_default, is_identity "
    "from information_schema.columns where table_schema = 'churn'",
    "select table_name, view_definition from information_schema.views where table_schema = 'churn'",
    "select table_name, constraint_name, constraint_type from information_schema.table_constraints "
    "where table_schema = 'churn' and constraint_name not like '%_not_null'",
    "select tablename, indexname, indexdef from pg_indexes where schemaname = 'churn'",
    "select event_object_table, trigger_name, event_manipulation, action_timing from information_schema.triggers "
    "where trigger_schema = 'churn'",
    "select table_name, privilege_type from information_schema.role_table_grants where table_schema = 'churn' and grantee = 'churn_reader'",
    "select relname, objsubid, description from pg_description join pg_class on pg_class.oid = objoid "
    "where classoid = 'pg_class'::regclass and relnamespace = 'churn'::regnamespace",
)


@pytest.fixture
def home(tiny_home: Settings, tmp_path: Path) -> Settings:
    """The published databases of a real home, to be changed as one likes."""
    settings = tiny_home.model_copy(update={"home": tmp_path / "home"})
    settings.published.mkdir(parents=True)
    for file in (tiny_home.published_database, tiny_home.monitoring_database):
        shutil.copy(file, settings.published)
    return settings


@pytest.fixture
def fourth(monkeypatch: pytest.MonkeyPatch, home: Settings) -> Settings:
    """A home that publishes a fourth target."""
    monkeypatch.setitem(
        TARGETS,
        "churn_180d",
        replace(
            TARGETS["churn_90d"],
            name="churn_180d",
            horizon_days=180,
            required=False,
            question="leaves within the next 180 days",
            title="Churn within 180 days",
            probability_column="churn_probability_180d",
            version_column="churn_180d_model_version",
            kind_column="churn_180d_model_kind",
        ),
    )
    change(
        home,
        "alter table predictions add column if not exists churn_probability_180d double",
        "alter table predictions add column if not exists churn_180d_model_version varchar",
        "alter table predictions add column if not exists churn_180d_model_kind varchar",
        "update predictions set churn_probability_180d = churn_probability_90d / 3, churn_180d_model_version = '7', "
        "churn_180d_model_kind = 'mean'",
    )
    return home


def change(settings: Settings, *statements: str) -> None:
    with duckdb.connect(str(settings.published_database)) as con:
        for statement in ("drop view if exists drivers", *statements):
            con.execute(statement)


def query(database: Database, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(database.url) as con:
        return con.execute(statement).fetchall()


def told(database: Database) -> list[str]:
    with psycopg.connect(database.url) as con:
        return [str(difference) for difference in differences(con)]


def execute(database: Database, *statements: str) -> None:
    with psycopg.connect(database.url) as con:
        for statement in statements:
            con.execute(statement)


# --- columns ---------------------------------------------------------------------------------------------------------


def test_the_declared_columns_are_those_that_alembic_makes(database: Database) -> None:
    assert migrate(database.url).added == ()
    with psycopg.connect(database.url) as con:
        made = columns_in(con)
    # The administrator's.
    assert made.pop("publication_lock") == {"is_the_row": "boolean"}
    assert made == FIXED
    assert told(database) == []


def test_a_fourth_target_brings_its_columns_to_every_table_that_has_columns_of_targets(
    fourth: Settings, database: Database
) -> None:
    publishing.publish(database.url, fourth)
    assert told(database) == []
    kind = "What that model is: base_rate, of_30d, logistic, trees, mean. Null where that was not kept."
    assert query(
        database,
        "select relname::text, attname::text, format_type(atttypid, atttypmod), col_description(attrelid, attnum) from pg_attribute "
        "join pg_class on attrelid = pg_class.oid where attname like '%180d%' and relkind = 'r' order by 1, 2",
    ) == [
        ("predictions", "churn_180d_model_kind", "text", kind),
        (
            "predictions",
            "churn_180d_model_version",
            "text",
            "The version of the model behind churn_probability_180d.",
        ),
        (
            "predictions",
            "churn_probability_180d",
            "double precision",
            "The calibrated probability that the customer leaves within the next 180 days.",
        ),
        ("publications", "churn_180d_model_kind", "text", kind),
        (
            "publications",
            "churn_180d_model_version",
            "text",
            "The version of the model behind churn_probability_180d.",
        ),
    ]
    assert query(
        database, "select distinct churn_180d_model_version, churn_180d_model_kind from churn.publications"
    ) == [("7", "mean")]
    with duckdb.connect(str(fourth.published_database), read_only=True) as con:
        ours = con.execute(
            "select customer_id, churn_probability_180d from predictions where snapshot_date = ?", [TINY_BEFORE]
        ).fetchall()
    theirs = query(database, "select customer_id, churn_probability_180d from churn.latest_predictions")
    assert sorted(ours) == sorted(theirs)
    assert migrate(database.url).added == ()


def test_columns_of_a_target_that_is_new_are_filled_for_mondays_that_were_there(
    home: Settings, database: Database, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    publishing.publish(database.url, home)
    assert publishing.publish(database.url, home).rows == {}
    request.getfixturevalue("fourth")
    assert list(publishing.publish(database.url, home).rows) == [TINY_BEFORE]
    assert query(database, "select count(*) from churn.predictions where churn_probability_180d is null") == [(0,)]
    assert publishing.publish(database.url, home).rows == {}


def test_a_target_that_was_taken_out_keeps_its_columns_which_are_null_from_then_on(
    fourth: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(
        fourth,
        f"insert into predictions by name select * replace (date '{TINY_MONDAY}' as snapshot_date, 'next' as run_id) from predictions",
    )
    publishing.publish(database.url, fourth)
    monkeypatch.delitem(TARGETS, "churn_180d")
    change(
        fourth,
        f"update predictions set run_id = 'again' where snapshot_date = date '{TINY_MONDAY}'",
        "alter table predictions drop column churn_probability_180d",
        "alter table predictions drop column churn_180d_model_version",
        "alter table predictions drop column churn_180d_model_kind",
    )
    done = publishing.publish(database.url, fourth)
    assert list(done.rows) == [TINY_MONDAY]
    assert done.notices == ()
    assert told(database) == []
    assert query(
        database,
        "select snapshot_date, count(churn_probability_180d) > 0 from churn.predictions group by 1 order by 1",
    ) == [(TINY_BEFORE, True), (TINY_MONDAY, False)]


def test_where_no_column_is_missing_a_reader_is_not_waited_for(database: Database) -> None:
    migrate(database.url)
    with psycopg.connect(database.url) as reader:
        # A dashboard in the middle of a long query.
        reader.execute("select count(*) from churn.predictions, churn.publications, churn.latest_predictions")
        assert migrate(database.url).added == ()


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        (
            "alter table churn.runs drop column reason",
            "churn.runs.reason is missing in PostgreSQL: a column of type text is declared",
        ),
        (
            "alter table churn.runs alter exit_code type bigint",
            "churn.runs.exit_code is bigint in PostgreSQL, and declared as integer",
        ),
        (
            "alter table churn.risk_tiers rename column is_urgent to urgent",
            "churn.risk_tiers.is_urgent is missing in PostgreSQL: a column of type boolean is declared",
        ),
    ],
)
def test_a_column_that_is_missing_or_has_another_type_is_named_and_nothing_is_published(
    statement: str, sentence: str, home: Settings, database: Database
) -> None:
    publishing.publish(database.url, home)
    execute(database, statement)
    assert sentence in told(database)
    before = query(database, "select count(*) from churn.publications")
    with pytest.raises(PostgresError) as error:
        publishing.publish(database.url, home, [TINY_BEFORE])
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)
    assert query(database, "select count(*) from churn.publications") == before


def test_a_column_that_nobody_declared_is_named_and_stops_nothing(home: Settings, database: Database) -> None:
    migrate(database.url)
    execute(database, "alter table churn.predictions add column mood text")
    done = publishing.publish(database.url, home)
    assert done.notices == (
        "churn.predictions.mood is in PostgreSQL, and neither a revision nor a target declares it.",
    )


def test_a_targets_column_of_another_type_is_refused_before_anything_is_written(
    fourth: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = TARGETS.pop("churn_180d")
    migrate(database.url)
    execute(database, "alter table churn.predictions add column churn_probability_180d real")
    monkeypatch.setitem(TARGETS, "churn_180d", target)
    with pytest.raises(
        PostgresError,
        match=r"churn.predictions.churn_probability_180d is real in PostgreSQL, and declared as double precision",
    ):
        publishing.publish(database.url, fourth)
    assert query(database, "select count(*) from churn.target_columns where target = 'churn_180d'") == [(0,)]


# --- tiers are data --------------------------------------------------------------------------------------------------


def sums(settings: Settings) -> tuple[int, float]:
    with duckdb.connect(str(settings.published_database), read_only=True) as con:
        return con.execute("select count(*), sum(revenue_at_risk) from predictions").fetchone()


def test_with_a_tier_renamed_and_one_added_the_views_still_sum_to_the_table(home: Settings, database: Database) -> None:
    change(
        home,
        "update risk_tiers set risk_tier = 'GRAVE' where risk_tier = 'HIGH'",
        "update risk_tiers set severity = 5, lower_bound = 0.9 where risk_tier = 'CRITICAL'",
        "insert into risk_tiers select distinct policy_version, 'SEVERE', 4, 0.75, true from risk_tiers",
        "update predictions set risk_tier = 'SEVERE' where priority_rank <= 20",
        "update predictions set risk_tier = 'GRAVE' where priority_rank between 21 and 60",
        "update predictions set risk_tier = 'LOW' where priority_rank > 60",
        "update predictions set previous_risk_tier = 'GRAVE' where priority_rank <= 5",
        # A name that this policy does not have any more: its severity is unknown, and nobody moved for certain.
        "update predictions set previous_risk_tier = 'HIGH' where priority_rank between 21 and 25",
        "update predictions set snoozed_until = null, is_holdout = false",
    )
    assert publishing.publish(database.url, home).notices == ()
    rows = query(
        database,
        "select risk_tier, severity, customers, revenue_at_risk, came_from_lower, share_of_customers from churn.tier_history order by severity",
    )
    assert [row[:2] for row in rows] == [("LOW", 1), ("MEDIUM", 2), ("GRAVE", 3), ("SEVERE", 4), ("CRITICAL", 5)]
    customers, money = sums(home)
    ((grave, severe),) = query(
        database,
        "select count(*) filter (where priority_rank between 21 and 60), count(*) filter (where priority_rank <= 20) from churn.predictions",
    )
    assert [row[2] for row in rows] == [customers - grave - severe, 0, grave, severe, 0]
    assert sum(row[3] for row in rows) == pytest.approx(money)
    assert [row[4] for row in rows] == [0, 0, 0, 5, 0]
    assert sum(row[5] for row in rows) == pytest.approx(1)
    assert query(database, "select severity, count(*) from churn.at_risk group by 1 order by 1") == [
        (3, grave),
        (4, severe),
    ]


def test_a_tier_that_its_policy_does_not_know_is_said_and_still_counted(home: Settings, database: Database) -> None:
    change(home, "update predictions set risk_tier = 'ODD' where priority_rank <= 3")
    done = publishing.publish(database.url, home)
    assert len(done.notices) == 1
    assert "churn.risk_tiers has no tier ODD of policy" in done.notices[0]
    assert "its 3 rows are not in churn.at_risk" in done.notices[0]
    customers, _ = sums(home)
    assert query(database, "select sum(customers)::bigint from churn.tier_history") == [(customers,)]
    assert query(database, "select customers, severity from churn.tier_history where risk_tier = 'ODD'") == [(3, None)]


def test_tiers_and_seeds_of_a_policy_that_this_home_does_not_have_stay(home: Settings, database: Database) -> None:
    publishing.publish(database.url, home)
    execute(
        database,
        "insert into churn.risk_tiers values ('elsewhere', 'LOW', 1, 0, false)",
        "insert into churn.policy_seeds values ('elsewhere', 'risk_tiers', 'a', timestamp '2020-01-01')",
    )
    change(home, "update risk_tiers set lower_bound = 0.3 where risk_tier = 'MEDIUM'")
    publishing.publish(database.url, home)
    assert query(database, "select count(*) from churn.risk_tiers where policy_version = 'elsewhere'") == [(1,)]
    assert query(database, "select count(*) from churn.policy_seeds where policy_version = 'elsewhere'") == [(1,)]
    assert query(database, "select distinct lower_bound from churn.risk_tiers where risk_tier = 'MEDIUM'") == [(0.3,)]


# --- a database of an older version ----------------------------------------------------------------------------------


@pytest.fixture
def first(postgres: Cluster) -> Iterator[Database]:
    """A database as revision 0001 left it, set up as the documentation then said: it belongs to the login, which may create roles."""
    database = postgres.fresh_database(prepared=False)
    with psycopg.connect(database.admin_url, autocommit=True) as con:
        # Whose default privileges the dump sets again, and who read it.
        for role in ("dashboards_1", "churn_reader"):
            if con.execute("select from pg_roles where rolname = %s", [role]).fetchone() is None:
                con.execute(sql.SQL("create role {} nologin").format(sql.Identifier(role)))
        if database.owner != "dashboards_1":
            con.execute(sql.SQL("grant dashboards_1 to {}").format(sql.Identifier(database.owner)))
    done = postgres.psql(database.url, "\\set ON_ERROR_STOP 1\n" + lzma.decompress(FIRST.read_bytes()).decode())
    assert done.returncode == 0, done.stderr
    yield database
    postgres.drop(database)


def test_a_database_of_revision_0001_is_brought_to_the_newest_and_is_then_as_a_fresh_one(
    first: Database, home: Settings, postgres: Cluster
) -> None:
    def old_mondays() -> list[tuple[Any, ...]]:
        return query(
            first,
            "select snapshot_date, count(*), sum(churn_probability_90d), count(churn_drivers) from churn.predictions "
            f"where snapshot_date <> date '{TINY_BEFORE}' group by 1 order by 1",
        )

    def tier_history() -> list[tuple[Any, ...]]:
        # Money to the cent: the order in which doubles are added is another one.
        return query(
            first,
            "select risk_tier, severity, customers, share_of_customers, annual_revenue, round(revenue_at_risk::numeric, 2), came_from_lower, "
            "came_from_higher from churn.tier_history where snapshot_date = date '2026-06-08' order by severity",
        )

    # Its newest Monday had nobody in an urgent tier.
    execute(
        first,
        "update churn.predictions set risk_tier = case when priority_rank <= 5 then 'CRITICAL' else 'HIGH' end "
        "where snapshot_date = date '2026-06-08' and priority_rank <= 12",
    )
    # A policy that the older version did not have; that of the old Monday is known from its seed alone.
    change(
        home, *(f"update {table} set policy_version = 'new'" for table in ("predictions", "risk_tiers", "policy_seeds"))
    )
    before = old_mondays()
    called = query(first, "select customer_id from churn.at_risk order by priority_rank")
    history = tier_history()
    candidates = query(first, "select * from churn.expansion_candidates")
    outcomes = query(first, "select monday, count(*) from churn.model_quality group by 1 order by 1")
    audit = query(first, "select seq, published_at, snapshot_date, run_id from churn.publications order by seq")
    assert before
    assert len(called) > 5
    assert outcomes

    # An administrator comes first, once: what the login owned and could do is not needed any more.
    with pytest.raises(
        PostgresError, match=r"may not lock churn.publication_lock.*churn publish --administrator \| psql -d"
    ):
        publishing.publish(first.url, home)
    said = postgres.prepare(first)
    assert f"NOTICE:  {first.owner} could do more than it needs; now it is nocreaterole" in said
    done = publishing.publish(first.url, home)
    assert (done.revision, done.notices) == ("0004", ())
    assert query(first, "select version_num from churn.schema_version") == [("0004",)]
    assert told(first) == []

    # The Monday that this home has is its own now; the other one is as it was, and the newest.
    assert old_mondays() == before
    assert done.unknown == (date(2026, 6, 8),)
    assert query(first, "select customer_id from churn.at_risk order by priority_rank") == called
    assert tier_history() == history
    assert query(first, "select * from churn.expansion_candidates") == candidates
    kept = {monday for monday, _ in query(first, "select assessed_on, count(*) from churn.model_quality group by 1")}
    assert kept >= {monday for monday, _ in outcomes}
    assert (
        query(first, "select seq, published_at, snapshot_date, run_id from churn.publications order by seq")[
            : len(audit)
        ]
        == audit
    )
    for view in ("drivers", "latest_predictions", "model_health", "prediction_tiers", "tiers"):
        assert query(first, f"select count(*) > 0 from churn.{view}") == [(True,)], view

    fresh = postgres.fresh_database()
    publishing.publish(fresh.url, home)
    for statement in CATALOGUE:
        assert sorted(query(first, statement), key=repr) == sorted(query(fresh, statement), key=repr), statement
    postgres.drop(fresh)


def test_a_customer_is_erased_from_a_database_that_was_not_migrated_yet(first: Database) -> None:
    ((customer,),) = query(first, "select min(customer_id) from churn.predictions")
    assert forget(first.url, customer)["predictions"] > 0
    assert set(forget(first.url, customer).values()) == {0}
