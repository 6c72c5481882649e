"""Publication: readers and the writer never meet, and whatever is interrupted leaves whole weeks behind."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path

import dagster as dg
import duckdb
import psycopg
import pytest
from pydantic import SecretStr

from churn_pipeline.cli import output
from churn_pipeline.contract.tolerated import tolerated
from churn_pipeline.core import run_ledger
from churn_pipeline.core.calendar import WEEK
from churn_pipeline.core.errors import ChurnError
from churn_pipeline.core.notices import KINDS, Notice, keep, record
from churn_pipeline.core.run_state import claim
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.warehouse import connect
from churn_pipeline.delivery import publish as publishing
from churn_pipeline.delivery.postgres.channel import POSTGRES
from churn_pipeline.delivery.postgres.publish import publish as publish_to_postgres
from churn_pipeline.delivery.report.channel import REPORT
from churn_pipeline.delivery.report.data import open_tickets
from churn_pipeline.delivery.report.write import page_of
from churn_pipeline.features.plan import MARTS
from churn_pipeline.orchestration.definitions import JOB, build_defs
from churn_pipeline.orchestration.failures import problems
from churn_pipeline.orchestration.keys import PUBLISHED, channel_key
from tests.conftest import MONDAY, TINY_BEFORE, TINY_MONDAY
from tests.support.homes import query
from tests.support.policy import POLICY_SEEDS, SHIPPED, rows_that_their_policy_does_not_give
from tests.support.postgres import Database

WEEKLY_REPORT, PUBLISHED_POSTGRES = channel_key(REPORT), channel_key(POSTGRES)

COPIED = (
    "policy.predictions",
    "landing.customers",
    "ledger.runs",
    "ledger.promotions",
    "ledger.policy_seeds",
    "policy.risk_tiers",
    "landing.gtm_opportunities",
    "landing.support_tickets",
    "landing.interventions",
    "landing.expansion_outreach_log",
    *(f"marts.{mart}" for mart in MARTS),
)

# The first query opens the file and reads next to nothing of it, so that the second one has to read it after publication.
FINGERPRINT = "select count(*), sum(hash(predictions)) from predictions"
READER = f"""
import sys, duckdb
con = duckdb.connect(sys.argv[1], read_only=True)
print(con.execute("select customer_id from predictions limit 1").fetchone(), flush=True)
sys.stdin.readline()
print(con.execute("{FINGERPRINT}").fetchall(), flush=True)
"""


@pytest.fixture
def settings(scored_home: Settings, tmp_path: Path) -> Settings:
    return scored_home.model_copy(update={"home": tmp_path})


@pytest.fixture
def warehouse(scored_home: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """A warehouse in memory, with what publication reads of a real one, so that a test may change it."""
    with duckdb.connect() as con:
        con.execute(f"attach '{scored_home.warehouse}' as scored (read_only)")
        for relation in COPIED:
            con.execute(f"create schema if not exists {relation.split('.')[0]}")
            # Of the marts what publication reads, not the years that models learn from.
            condition = f"where snapshot_date = '{MONDAY}'" if relation.startswith("marts.") else ""
            con.execute(f"create table {relation} as from scored.{relation} {condition}")
        con.execute("detach scored")
        yield con


def parquet(settings: Settings) -> Path:
    return settings.published / "predictions" / f"{MONDAY}.parquet"


def smallest_mrr(settings: Settings) -> tuple[float, float]:
    """In the database, and in the Monday's Parquet file."""
    ((table,),) = query(settings.published_database, "select min(mrr) from predictions")
    with duckdb.connect() as con:
        ((file,),) = con.execute(f"select min(mrr) from '{parquet(settings)}'").fetchall()
    return table, file


def leftovers(settings: Settings) -> list[str]:
    return sorted(path.name for path in settings.published.rglob("*") if path.name.startswith("."))


def test_a_reader_that_was_there_before_keeps_the_old_rows_and_holds_up_nobody(
    warehouse: duckdb.DuckDBPyConnection, settings: Settings
) -> None:
    publishing.publish(warehouse, settings, [MONDAY])
    before = query(settings.published_database, FINGERPRINT)
    file = settings.published_database.stat().st_ino
    arguments = [sys.executable, "-c", READER, str(settings.published_database)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdin and reader.stdout
        assert reader.stdout.readline()
        warehouse.execute("update policy.predictions set mrr = mrr + 1000000")
        done = publishing.publish(warehouse, settings, [MONDAY])
        assert reader.poll() is None
        # The reader may have what it needs in memory; that its file was replaced, and not written over, is what protects it.
        assert settings.published_database.stat().st_ino != file
        reader.stdin.write("\n")
        reader.stdin.flush()
        assert reader.stdout.readline().strip() == str(before)
    assert reader.returncode == 0
    assert done.rows == dict(
        warehouse.execute("select snapshot_date, count(*) from policy.predictions group by 1").fetchall()
    )
    assert query(settings.published_database, FINGERPRINT) != before
    assert min(smallest_mrr(settings)) >= 1_000_000


def test_what_is_made_from_a_publication_waits_until_the_mondays_are_in_it(
    warehouse: duckdb.DuckDBPyConnection, settings: Settings
) -> None:
    never = MONDAY - WEEK
    with pytest.raises(ChurnError, match=f"written, and not published: {MONDAY}"):
        publishing.published_among(warehouse, settings, [never, MONDAY])
    publishing.publish(warehouse, settings, [MONDAY])
    assert publishing.published_among(warehouse, settings, [never, MONDAY]) == [MONDAY]
    warehouse.execute("update policy.predictions set run_id = 'another'")
    with pytest.raises(ChurnError, match="not published"):
        publishing.published_among(warehouse, settings, [MONDAY])
    assert publishing.published_among(warehouse, settings, [never]) == []


def test_behind_is_a_monday_that_another_run_wrote_or_whose_file_is_gone(
    warehouse: duckdb.DuckDBPyConnection, settings: Settings
) -> None:
    assert list(publishing.unpublished(warehouse, settings)) == [MONDAY]
    publishing.publish(warehouse, settings, [MONDAY])
    assert publishing.unpublished(warehouse, settings) == {}
    parquet(settings).unlink()
    assert list(publishing.unpublished(warehouse, settings)) == [MONDAY]
    publishing.publish(warehouse, settings, [MONDAY])
    warehouse.execute("update policy.predictions set run_id = 'another'")
    assert publishing.unpublished(warehouse, settings)[MONDAY].run_id == "another"
    warehouse.execute(
        "delete from policy.predictions where customer_id = (select min(customer_id) from policy.predictions)"
    )
    publishing.publish(warehouse, settings, [])
    assert list(publishing.unpublished(warehouse, settings)) == [MONDAY], "the file has a customer more"
    publishing.publish(warehouse, settings, [MONDAY])
    assert publishing.unpublished(warehouse, settings) == {}
    parquet(settings).write_bytes(parquet(settings).read_bytes()[:-100])
    assert list(publishing.unpublished(warehouse, settings)) == [MONDAY], "the file is damaged"


def test_a_tool_that_opened_the_published_database_to_write_hides_nothing_and_a_damaged_one_is_replaced(
    warehouse: duckdb.DuckDBPyConnection, settings: Settings
) -> None:
    publishing.publish(warehouse, settings, [MONDAY])
    writer = "import sys, duckdb; con = duckdb.connect(sys.argv[1]); print(flush=True); sys.stdin.readline()"
    with subprocess.Popen(
        [sys.executable, "-c", writer, str(settings.published_database)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as tool:
        assert tool.stdin is not None and tool.stdout is not None
        tool.stdout.readline()
        with pytest.raises(duckdb.IOException):
            duckdb.connect(str(settings.published_database), read_only=True)
        assert publishing.unpublished(warehouse, settings) == {}
        assert publishing.published_among(warehouse, settings, [MONDAY]) == [MONDAY]
        warehouse.execute("update policy.predictions set run_id = 'another'")
        assert list(publishing.unpublished(warehouse, settings)) == [MONDAY]
        tool.stdin.write("\n")
        tool.stdin.flush()
    settings.published_database.write_text("no database", encoding="utf-8")
    publishing.publish(warehouse, settings, [MONDAY])
    assert query(settings.published_database, "select distinct run_id from predictions") == [("another",)]


def test_the_newest_published_monday_is_known_by_the_names_of_the_files_whatever_lies_beside_them(
    settings: Settings,
) -> None:
    assert publishing.newest_published(settings) is None
    folder = settings.published / "predictions"
    folder.mkdir(parents=True)
    for name in ("2026-03-02", "2026-03-09", "2026-03-16 (copy)"):
        (folder / f"{name}.parquet").touch()
    assert publishing.newest_published(settings) == date(2026, 3, 9)


def test_killed_before_the_database_is_replaced_the_old_one_is_whole_and_the_next_run_mends_it(
    warehouse: duckdb.DuckDBPyConnection, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    publishing.publish(warehouse, settings, [MONDAY])
    old, _ = smallest_mrr(settings)
    warehouse.execute("update policy.predictions set mrr = mrr + 1000000")
    replace = publishing.commit_file

    def die_at_the_database(temporary: Path, final: Path) -> None:
        if final == settings.published_database:
            raise KeyboardInterrupt
        replace(temporary, final)

    with monkeypatch.context() as patch:
        patch.setattr(publishing, "commit_file", die_at_the_database)
        with pytest.raises(KeyboardInterrupt):
            publishing.publish(warehouse, settings, [MONDAY])
    # Parquet went first, so it is new already; the database is the old one, and what was half made has a name nobody reads.
    assert smallest_mrr(settings) == (old, old + 1_000_000)
    assert leftovers(settings)
    assert all(name.startswith(".") for name in leftovers(settings))

    publishing.publish(warehouse, settings, [MONDAY])
    assert smallest_mrr(settings) == (old + 1_000_000, old + 1_000_000)
    assert leftovers(settings) == []


def test_killed_before_the_database_is_written_the_old_one_is_whole(
    warehouse: duckdb.DuckDBPyConnection, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    publishing.publish(warehouse, settings, [MONDAY])
    old, _ = smallest_mrr(settings)
    warehouse.execute("update policy.predictions set mrr = mrr + 1000000")

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(publishing, "_refresh_database", die)
    with pytest.raises(KeyboardInterrupt):
        publishing.publish(warehouse, settings, [MONDAY])
    assert smallest_mrr(settings) == (old, old + 1_000_000)


def test_nothing_half_made_is_left_behind(
    scored_home: Settings, warehouse: duckdb.DuckDBPyConnection, settings: Settings
) -> None:
    publishing.publish(warehouse, settings, [MONDAY])
    assert leftovers(scored_home) == leftovers(settings) == []
    # A log beside the database would mean that part of it is in the log.
    assert not list(scored_home.published.glob("*.wal"))


def test_the_published_database_holds_what_the_contract_names_and_nothing_else(scored_home: Settings) -> None:
    tables = query(
        scored_home.published_database,
        "select table_schema, table_name, table_type from information_schema.tables order by 2",
    )
    assert tables == [
        ("main", "customer_weeks", "BASE TABLE"),
        ("main", "customers", "BASE TABLE"),
        ("main", "drivers", "VIEW"),
        ("main", "notices", "BASE TABLE"),
        ("main", "policy_seeds", "BASE TABLE"),
        ("main", "predictions", "BASE TABLE"),
        ("main", "predictions_flat", "VIEW"),
        ("main", "promotions", "BASE TABLE"),
        ("main", "risk_tiers", "BASE TABLE"),
        ("main", "runs", "BASE TABLE"),
    ]


def test_the_notices_are_those_of_published_mondays_and_say_what_the_quarantine_holds(scored_home: Settings) -> None:
    notices = query(scored_home.published_database, "select * from notices order by position")
    assert {day for day, *_ in notices} == {MONDAY}
    assert [position for _, position, *_ in notices] == list(range(1, len(notices) + 1))
    kinds = [KINDS.index(kind) for _, _, kind, *_ in notices]
    assert kinds == sorted(kinds)
    with duckdb.connect(str(scored_home.warehouse), read_only=True) as con:
        tolerated_now = [(notice.kind, notice.source, notice.sentence) for notice in tolerated(con)]
    assert tolerated_now == [tuple(rest) for _, _, *rest in notices if rest[0] == "bad_data"]
    assert {"customers", "usage_events"} <= {source for _, source, _ in tolerated_now}


def test_no_notice_of_a_company_with_dirt_names_a_customer(scored_home: Settings) -> None:
    named = query(
        scored_home.published_database,
        "select sentence, customer_id from notices, customers where contains(sentence, customer_id) or contains(sentence, company_name)",
    )
    assert named == []


def test_a_monday_that_is_not_published_has_no_notices_there(
    warehouse: duckdb.DuckDBPyConnection, settings: Settings
) -> None:
    for day in (MONDAY, MONDAY - WEEK):
        record(warehouse, "feeds", {day: [Notice("feed", "usage_events", f"of {day}")]}, run_id="run")
    keep(warehouse, [MONDAY, MONDAY - WEEK])
    publishing.publish(warehouse, settings, [MONDAY])
    assert query(settings.published_database, "select kind, source, sentence from notices") == [
        ("feed", "usage_events", f"of {MONDAY}")
    ]


def test_the_drivers_view_is_long_and_ranks_each_customers_drivers(scored_home: Settings) -> None:
    columns = [row[0] for row in query(scored_home.published_database, "describe drivers")]
    assert columns == [
        "snapshot_date", "customer_id", "target", "rank", "feature", "label", "value", "contribution", "sentence"
    ]  # fmt: skip
    rows = query(
        scored_home.published_database,
        """
        select target, min(rank), max(rank), count(*), sum(len(feature) > 0 and len(label) > 0 and len(sentence) > 0)
        from drivers group by 1 order by 1
        """,
    )
    assert {target for target, *_ in rows} >= {"churn_90d", "expansion_90d"}
    assert all((first, last, count) == (1, 5, good) for _, first, last, count, good in rows if last), rows
    listed = query(
        scored_home.published_database,
        "select sum(len(churn_drivers)) + coalesce(sum(len(change_drivers)), 0) + sum(len(expansion_drivers)) from predictions",
    )
    assert sum(row[3] for row in rows) == listed[0][0]


def test_the_tier_and_the_play_of_a_past_row_can_be_worked_out_from_the_policy_kept_with_it(
    scored_home: Settings, tmp_path: Path
) -> None:
    """All that compliance needs is in the published database: the row, its policy_version, and the seeds of that version."""
    with duckdb.connect(str(scored_home.published_database), read_only=True) as con:
        assert rows_that_their_policy_does_not_give(con, "predictions", "policy_seeds", tmp_path) == []
        versions = con.execute("select distinct policy_version from predictions").fetchall()
        assert con.execute("select distinct policy_version, seed from policy_seeds order by 2").fetchall() == [
            (*versions[0], seed) for seed in POLICY_SEEDS
        ]
        # Tiers are there as a table too, and it knows every tier that a row names.
        left_over, names = con.execute(
            """
            select
                count(*) filter (where risk_tiers.is_urgent is null),
                (select count(distinct risk_tier) from risk_tiers where policy_version = any_value(predictions.policy_version))
            from predictions left join risk_tiers using (policy_version, risk_tier)
            """
        ).fetchall()[0]
        assert (left_over, names) == (0, len(SHIPPED))


def materialize(
    settings: Settings,
    instance: dg.DagsterInstance,
    *keys: dg.AssetKey,
    run_id: str | None = None,
    monday: date = TINY_BEFORE,
) -> dg.ExecuteInProcessResult:
    """Assets of a Monday by themselves, as from the Dagster UI."""
    job = build_defs(settings).resolve_job_def(JOB)
    return job.execute_in_process(
        partition_key=str(monday),
        asset_selection=list(keys),
        instance=instance,
        raise_on_error=False,
        run_id=run_id,
    )


def test_the_report_materialized_alone_for_a_past_monday_writes_that_mondays_page(tiny_copy: Settings) -> None:
    """After a later run had other Mondays, of which it approved none."""
    with connect(tiny_copy) as con:
        con.execute("delete from scoring.approved_mondays")
    page = page_of(tiny_copy, TINY_BEFORE)
    page.unlink()
    with dg.DagsterInstance.ephemeral() as instance:
        assert materialize(tiny_copy, instance, WEEKLY_REPORT, PUBLISHED_POSTGRES).success
        for key in (WEEKLY_REPORT, PUBLISHED_POSTGRES):
            assert instance.get_materialized_partitions(key) == {str(TINY_BEFORE)}
    assert page.is_file()


def test_of_a_monday_that_a_run_refuses_the_older_list_is_neither_reported_nor_copied_again(
    tiny_copy: Settings, database: Database
) -> None:
    settings = tiny_copy.model_copy(update={"publish_url": SecretStr(database.url)})
    publish_to_postgres(database.url, settings)
    run_id = str(uuid.uuid4())
    page = page_of(settings, TINY_BEFORE)
    page.write_text("of the older list", encoding="utf-8")
    with connect(settings) as con:
        run_ledger.record(
            con, [run_ledger.RunRow(run_id, TINY_BEFORE, "as_of", "refused", 0, "stale", 2, datetime(2026, 6, 8))]
        )
    with dg.DagsterInstance.ephemeral() as instance:
        assert materialize(settings, instance, WEEKLY_REPORT, PUBLISHED_POSTGRES, run_id=run_id).success
        for key in (WEEKLY_REPORT, PUBLISHED_POSTGRES):
            assert instance.get_materialized_partitions(key) == set()
    assert page.read_text(encoding="utf-8") == "of the older list"
    with psycopg.connect(database.url) as con:
        assert con.execute("select snapshot_date, cause from churn.publications").fetchall() == [
            (TINY_BEFORE, "caught up")
        ]


def test_a_monday_that_was_caught_up_and_has_no_page_gets_it_with_the_next_report(tiny_copy: Settings) -> None:
    """As when the run that caught it up ended before its report."""
    with connect(tiny_copy) as con:
        con.execute(
            "update ledger.runs set reason = 'caught up: run x wrote it' where snapshot_date = ?", [TINY_BEFORE]
        )
    page_of(tiny_copy, TINY_BEFORE).unlink()
    with dg.DagsterInstance.ephemeral() as instance:
        assert not materialize(tiny_copy, instance, WEEKLY_REPORT, monday=TINY_MONDAY).success
        assert not page_of(tiny_copy, TINY_BEFORE).is_file()
    with connect(tiny_copy) as con:
        con.execute(
            "insert into policy.predictions by name select * replace (?::date as snapshot_date) from policy.predictions",
            [TINY_MONDAY],
        )
        publishing.publish(con, tiny_copy, [TINY_MONDAY])
    with dg.DagsterInstance.ephemeral() as instance:
        assert materialize(tiny_copy, instance, WEEKLY_REPORT, monday=TINY_MONDAY).success
        assert instance.get_materialized_partitions(WEEKLY_REPORT) == {str(TINY_BEFORE), str(TINY_MONDAY)}
    assert page_of(tiny_copy, TINY_BEFORE).is_file()


def test_what_copies_a_list_fails_by_itself_for_a_monday_that_has_none(tiny_copy: Settings, database: Database) -> None:
    settings = tiny_copy.model_copy(update={"publish_url": SecretStr(database.url)})
    for key in (WEEKLY_REPORT, PUBLISHED_POSTGRES):
        with dg.DagsterInstance.ephemeral() as instance:
            result = materialize(settings, instance, key, monday=TINY_MONDAY)
            assert instance.get_materialized_partitions(key) == set()
        (problem,) = problems(result.all_events)
        assert (problem.exit_code, problem.what) == (
            3,
            f"there is no published list of {TINY_MONDAY}; 'churn run' or 'churn backfill' makes one",
        )


@pytest.mark.long
def test_seeds_can_be_loaded_by_themselves_and_what_reads_the_landed_tables_only_after_the_plan_of_its_run(
    tiny_copy: Settings,
) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        assert materialize(tiny_copy, instance, *(dg.AssetKey(["seeds", name]) for name in POLICY_SEEDS)).success
        result = materialize(tiny_copy, instance, dg.AssetKey(["staging", "stg_contracts"]))
    (problem,) = problems(result.all_events)
    assert "Run the Monday again from the start" in problem.what


def test_where_publishing_failed_postgresql_is_red_and_not_told_that_there_is_nothing(tiny_copy: Settings) -> None:
    # Nobody answers there, and nobody is asked.
    settings = tiny_copy.model_copy(update={"publish_url": SecretStr("postgresql://nobody:x@127.0.0.1:1/nowhere")})
    settings.published_database.unlink()
    with dg.DagsterInstance.ephemeral() as instance:
        result = materialize(settings, instance, PUBLISHED_POSTGRES)
    (problem,) = problems(result.all_events)
    assert problem.what == f"written, and not published: {TINY_BEFORE}; 'churn run' publishes them"


def test_a_monday_whose_publication_failed_is_said_to_have_failed_until_it_is_published(
    tiny_copy: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def published_by_a_run_that_scored(
        instance: dg.DagsterInstance,
    ) -> tuple[dg.ExecuteInProcessResult, run_ledger.RunRow]:
        run_id = str(uuid.uuid4())
        with connect(tiny_copy) as con:
            claim(con, "scores", run_id)
        result = materialize(tiny_copy, instance, PUBLISHED, run_id=run_id)
        with connect(tiny_copy) as con:
            (word,) = run_ledger.of_run(con, run_id)
        return result, word

    folder = tiny_copy.published / "predictions"
    folder.rename(tiny_copy.home / "aside")
    folder.write_text("a file where a folder has to be", encoding="utf-8")
    with dg.DagsterInstance.ephemeral() as instance:
        result, word = published_by_a_run_that_scored(instance)
        assert not result.success
        assert instance.get_materialized_partitions(PUBLISHED) == set()
    assert (word.snapshot_date, word.status, word.customers, word.exit_code) == (TINY_BEFORE, "failed", 0, 1)
    assert str(folder) in word.reason
    (week,) = output.backfill_weeks(tiny_copy, [word])
    assert (week["status"], week["reason"]) == ("failed", word.reason)
    assert "customers" not in week

    # And where the ledger cannot be written either, what is told is why nothing was published.
    def full(con: duckdb.DuckDBPyConnection, rows: list[run_ledger.RunRow]) -> None:
        if any(row.status == "failed" for row in rows):
            raise duckdb.IOException("no space for the ledger")
        record(con, rows)

    record = run_ledger.record
    with monkeypatch.context() as patch, dg.DagsterInstance.ephemeral() as instance:
        patch.setattr(run_ledger, "record", full)
        (problem,) = problems(published_by_a_run_that_scored(instance)[0].all_events)
    assert str(folder) in problem.what

    folder.unlink()
    with dg.DagsterInstance.ephemeral() as instance:
        _, word = published_by_a_run_that_scored(instance)
        assert instance.get_materialized_partitions(PUBLISHED) == {str(TINY_BEFORE)}
    assert word.status == "published"
    assert [path.name for path in folder.rglob("*.parquet")] == [f"{TINY_BEFORE}.parquet"]


def add_a_monday_before(warehouse: duckdb.DuckDBPyConnection) -> date:
    """The same rows once more, a week earlier; in the predictions and in the marts that the facts of a customer come from."""
    before = MONDAY - WEEK
    for relation in ("policy.predictions", *(f"marts.{mart}" for mart in MARTS)):
        warehouse.execute(
            f"insert into {relation} by name select * replace (?::date as snapshot_date) from {relation}", [before]
        )
    return before


def test_only_what_changed_is_written_again(warehouse: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    before = add_a_monday_before(warehouse)
    publishing.publish(warehouse, settings, [before, MONDAY])
    untouched = settings.published / "predictions" / f"{before}.parquet"
    inode = untouched.stat().st_ino
    # Of both Mondays, and nobody says that the earlier one changed: what is published of it is not read again.
    warehouse.execute("update policy.predictions set mrr = -1")
    done = publishing.publish(warehouse, settings, [MONDAY])
    assert done.files == (parquet(settings),)
    assert untouched.stat().st_ino == inode
    smallest = "select snapshot_date, min(mrr) >= 0 from {} group by 1 order by 1"
    assert query(settings.published_database, smallest.format("predictions")) == [(before, True), (MONDAY, False)]
    # The Monday after one that was written has other changes since then.
    done = publishing.publish(warehouse, settings, [before])
    assert [path.stem for path in done.files] == [str(before), str(MONDAY)]
    assert query(settings.published_database, smallest.format("predictions")) == [(before, False), (MONDAY, False)]
    # A Monday that the warehouse no longer has goes.
    warehouse.execute("delete from policy.predictions where snapshot_date = ?", [before])
    publishing.publish(warehouse, settings, [MONDAY])
    for table in ("predictions", "customer_weeks"):
        assert query(settings.published_database, f"select distinct snapshot_date from {table}") == [(MONDAY,)]


def test_the_database_does_not_grow_however_often_a_monday_is_published_again(
    warehouse: duckdb.DuckDBPyConnection, settings: Settings
) -> None:
    sizes = []
    for _ in range(5):
        publishing.publish(warehouse, settings, [MONDAY])
        sizes.append(settings.published_database.stat().st_size)
    # The old and the new rows lie side by side until the file is closed; the room of the old ones is used by the next publication.
    assert max(sizes) < 3 * sizes[0]


def test_what_a_tool_wrote_into_the_published_database_is_gone_with_the_next_publication(
    warehouse: duckdb.DuckDBPyConnection, settings: Settings
) -> None:
    publishing.publish(warehouse, settings, [MONDAY])
    fingerprint = query(settings.published_database, FINGERPRINT)
    with duckdb.connect(str(settings.published_database)) as con:
        con.execute("create table scratch as select 1 as a")
        con.execute("update predictions set mrr = 0")
    # What it had written and not yet saved lies beside the file.
    log = settings.published_database.with_name("churn.duckdb.wal")
    log.write_bytes(b"of the former file")
    publishing.publish(warehouse, settings, [])
    assert query(settings.published_database, FINGERPRINT) == fingerprint
    assert query(settings.published_database, "select 1 from duckdb_tables() where table_name = 'scratch'") == []
    assert not log.exists()


def test_a_home_of_the_former_layout_is_read_and_the_next_publication_writes_the_new_and_removes_the_old(
    warehouse: duckdb.DuckDBPyConnection, settings: Settings
) -> None:
    before = add_a_monday_before(warehouse)
    publishing.publish(warehouse, settings, [before, MONDAY])
    folder = settings.published / "predictions"
    lost = MONDAY - 9 * WEEK
    for day in (lost, before, MONDAY):
        former = folder / f"snapshot_date={day}"
        former.mkdir()
        if day == lost:
            # Of a Monday that the warehouse has lost nothing but the file is left.
            (former / "predictions.parquet").write_bytes(parquet(settings).read_bytes())
        else:
            (folder / f"{day}.parquet").rename(former / "predictions.parquet")
    (folder / "snapshot_date=mine").mkdir()
    assert publishing.newest_published(settings) == MONDAY
    assert publishing.unpublished(warehouse, settings) == {}
    assert publishing.published_among(warehouse, settings, [MONDAY]) == [MONDAY]
    done = publishing.publish(warehouse, settings, [MONDAY])
    assert [path.stem for path in done.files] == [str(before), str(MONDAY)]
    assert sorted(path.name for path in folder.iterdir()) == [
        *(f"{day}.parquet" for day in (lost, before, MONDAY)),
        "snapshot_date=mine",
    ]


def test_files_of_fewer_columns_are_written_again_so_that_the_folder_is_one_table(
    warehouse: duckdb.DuckDBPyConnection, settings: Settings
) -> None:
    before = add_a_monday_before(warehouse)
    publishing.publish(warehouse, settings, [before, MONDAY])
    warehouse.execute("alter table policy.predictions add column brand_new integer")
    done = publishing.publish(warehouse, settings, [MONDAY])
    assert [path.stem for path in done.files] == [str(before), str(MONDAY)]
    assert query(
        settings.published_database, "select count(distinct snapshot_date), count(brand_new) from predictions"
    ) == [(2, 0)]


def test_every_column_of_the_published_database_says_what_it_is(scored_home: Settings) -> None:
    nameless = query(
        scored_home.published_database,
        """
        select table_name, column_name from duckdb_columns() where not internal and coalesce(comment, '') = ''
        union all select table_name, '' from duckdb_tables() where coalesce(comment, '') = ''
        union all select view_name, '' from duckdb_views() where not internal and coalesce(comment, '') = ''
        """,
    )
    assert nameless == []


def test_the_flat_table_has_the_rows_of_predictions_the_names_and_the_first_reasons_and_nothing_nested(
    scored_home: Settings,
) -> None:
    database = scored_home.published_database
    nested = "select column_name from duckdb_columns() where table_name = '{}' and regexp_matches(data_type, '\\[|STRUCT|MAP')"
    assert query(database, nested.format("predictions_flat")) == []
    left_out = {name for (name,) in query(database, nested.format("predictions"))}
    columns = [
        {name for (name,) in query(database, f"select column_name from duckdb_columns() where table_name = '{table}'")}
        for table in ("predictions", "predictions_flat")
    ]
    assert columns[1] - columns[0] == {"company_name", "reason_1", "reason_2", "reason_3"}
    assert columns[0] - columns[1] == left_out
    differing = query(
        database,
        """
        select count(*), count(flat.customer_id), count(*) filter (where
            (flat.company_name, flat.reason_1, flat.reason_3, flat.churn_probability_90d) is distinct from
            (customers.company_name, churn_themes[1].sentence, churn_themes[3].sentence, predictions.churn_probability_90d))
        from predictions left join predictions_flat as flat using (snapshot_date, customer_id) left join customers using (customer_id)
        """,
    )
    ((count,),) = query(database, "select count(*) from predictions")
    assert count > 1000
    assert differing == [(count, count, 0)]


def test_open_tickets_of_any_age_are_those_that_the_report_shows_and_null_where_no_ticket_is_known(
    warehouse: duckdb.DuckDBPyConnection, settings: Settings
) -> None:
    ((customer,),) = warehouse.execute("select min(customer_id) from policy.predictions").fetchall()
    warehouse.execute("delete from landing.support_tickets where customer_id = ?", [customer])
    day = timedelta(days=1)
    for created, known, resolved in (
        (MONDAY - 400 * day, MONDAY - 400 * day, None),
        (MONDAY - 20 * day, MONDAY - 20 * day, MONDAY),
        (MONDAY - 20 * day, MONDAY - 20 * day, MONDAY - day),
        # Neither there nor known yet.
        (MONDAY, MONDAY, None),
        (MONDAY - day, MONDAY, None),
    ):
        warehouse.execute(
            "insert into landing.support_tickets by name select ? as ticket_id, ? as customer_id, ? as created_date, ? as known_date, "
            "? as resolved_date",
            [str((created, known, resolved)), customer, created, known, resolved],
        )
    sql = "select customer_id, open_tickets_of_any_age from customer_weeks"
    publishing.publish(warehouse, settings, [MONDAY])
    published = dict(query(settings.published_database, sql))
    shown, nobodys = open_tickets(warehouse, MONDAY)
    counts = {who: tickets for who, tickets, _ in shown}
    assert published == {who: counts.get(who, nobodys) for who in published}
    assert published[customer] == 2
    assert 0 in published.values()
    warehouse.execute("delete from landing.support_tickets where known_date < ? and created_date < ?", [MONDAY, MONDAY])
    assert open_tickets(warehouse, MONDAY) == ([], None)
    publishing.publish(warehouse, settings, [MONDAY])
    assert {tickets for _, tickets in query(settings.published_database, sql)} == {None}


def test_a_publication_of_an_older_layout_is_made_anew_with_the_new_column_for_past_mondays_too(
    warehouse: duckdb.DuckDBPyConnection, settings: Settings
) -> None:
    publishing.publish(warehouse, settings, [MONDAY])
    whole = query(settings.published_database, "from customer_weeks order by customer_id")
    with duckdb.connect(str(settings.published_database)) as con:
        con.execute("alter table customer_weeks drop column open_tickets_of_any_age")
        con.execute("checkpoint")
    stat = settings.published_database.stat()
    # As if the version before had left it so.
    warehouse.execute("update control.published_copy set size = ?, mtime_ns = ?", [stat.st_size, stat.st_mtime_ns])
    publishing.publish(warehouse, settings, [])
    assert query(settings.published_database, "from customer_weeks order by customer_id") == whole


def test_customer_weeks_are_the_features_of_the_marts_and_what_was_known_before_the_monday(
    warehouse: duckdb.DuckDBPyConnection, settings: Settings
) -> None:
    ids = [
        customer
        for (customer,) in warehouse.execute("select customer_id from policy.predictions order by 1 limit 3").fetchall()
    ]
    eve, day_of = MONDAY - timedelta(days=1), MONDAY
    warehouse.execute("delete from landing.gtm_opportunities")
    warehouse.execute("delete from landing.interventions")
    warehouse.execute("delete from landing.expansion_outreach_log")
    for customer, stage, created, closes in (
        (ids[0], "closed_won", MONDAY - 5 * WEEK, eve),
        # Known only afterwards that it would be lost.
        (ids[1], "closed_lost", MONDAY - 5 * WEEK, day_of),
        (ids[1], "closed_won", MONDAY - 9 * WEEK, MONDAY - 7 * WEEK),
        # Not there yet.
        (ids[2], "proposal", day_of, MONDAY + WEEK),
    ):
        warehouse.execute(
            "insert into landing.gtm_opportunities by name select ? as opp_id, ? as customer_id, ? as stage, ? as created_date, "
            "? as close_date, ? as known_date",
            [f"{customer} {created}", customer, stage, created, closes, created],
        )
    warehouse.execute(
        "insert into landing.interventions by name select 'i' as intervention_id, ? as customer_id, ? as at_date, 'call' as kind, ? as known_date",
        [ids[0], eve - timedelta(days=1), eve],
    )
    for day in (eve, day_of):
        warehouse.execute(
            "insert into landing.expansion_outreach_log by name select ? as outreach_id, ? as customer_id, ? as contacted_date, "
            "'email' as outreach_channel, ? as known_date",
            [str(day), ids[1], day, day],
        )
    publishing.publish(warehouse, settings, [MONDAY])
    facts = query(
        settings.published_database,
        "select customer_id, latest_opportunity_date, latest_opportunity_stage, last_contact_date, last_contact_kind "
        f"from customer_weeks where customer_id <= '{ids[2]}' order by 1",
    )
    assert facts == [
        (ids[0], MONDAY - 5 * WEEK, "closed_won", eve - timedelta(days=1), "call"),
        (ids[1], MONDAY - 5 * WEEK, "open", eve, "email"),
        (ids[2], None, None, None, None),
    ]
    with duckdb.connect(str(settings.published_database), read_only=True) as con:
        published = {
            name: con.sql(f"select {name} from customer_weeks order by customer_id").fetchall()
            for name in ("open_tickets", "known_mrr", "has_open_expansion_opp")
        }
        columns = {name for name, *_ in con.execute("describe customer_weeks").fetchall()}
    rows = "from policy.predictions left join marts.{} as mart using (snapshot_date, customer_id) order by customer_id"
    for name, values in published.items():
        mart = MARTS[1] if name == "has_open_expansion_opp" else MARTS[0]
        assert warehouse.execute(f"select mart.{name} {rows.format(mart)}").fetchall() == values, name
    for mart in MARTS:
        assert {name for name, *_ in warehouse.execute(f"describe marts.{mart}").fetchall()} <= columns
