"""The asset graph: what it is made of, that nothing is missing in it, and when it runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster._core.code_pointer import CodePointer
from dagster._core.definitions.reconstruct import (
    initialize_repository_def_from_pointer,
    reconstruct_repository_def_from_pointer,
)

from churn_pipeline.contract import TABLES, value_ledger
from churn_pipeline.core.settings import REPOSITORY, Settings
from churn_pipeline.core.targets import TARGETS
from churn_pipeline.delivery.channels import CHANNELS
from churn_pipeline.orchestration.about import KEPT_IN, MADE_BY, OPERATIONS, code_version
from churn_pipeline.orchestration.assets.publish import freshness
from churn_pipeline.orchestration.dbt import InProcessDbt
from churn_pipeline.orchestration.definitions import (
    JOB,
    RESCORING_JOB,
    SCHEDULE,
    TRAINING_JOB,
    build_defs,
    monday_schedule,
)
from churn_pipeline.orchestration.home import NoValues
from churn_pipeline.orchestration.keys import (
    BRIEFS,
    DATA_DOCS,
    DIGEST,
    DRIFT,
    MONDAYS_TO_TEST,
    PUBLISHED,
    REPLAY,
    RESCORING,
    SCORES,
    SEEDS,
    SNAPSHOTS_TO_BUILD,
    channel_key,
    landing_key,
    model_key,
    raw_key,
    weekly,
)
from churn_pipeline.orchestration.own_runs import run_tags

SNAPSHOT = Path(__file__).with_name("graph.txt")
REGENERATE = "CHURN_WRITE_GRAPH=1 .venv/bin/pytest tests/integration/test_graph.py"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(home=tmp_path_factory.mktemp("graph"))


@pytest.fixture(scope="module")
def defs(settings: Settings) -> dg.Definitions:
    return build_defs(settings)


@pytest.fixture(scope="module")
def graph(defs: dg.Definitions) -> dg.AssetGraph:
    return defs.resolve_asset_graph()


@pytest.fixture(scope="module")
def dagster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("dagster"))) as instance:
        yield instance


def requests(settings: Settings, dagster: dg.DagsterInstance, at: datetime) -> list[dg.RunRequest]:
    """What the schedule asks for at a tick, oldest Monday first."""
    schedule = monday_schedule(settings, dg.define_asset_job(JOB))
    return schedule(dg.build_schedule_context(instance=dagster, scheduled_execution_time=at))


def lines(graph: dg.AssetGraph) -> Iterator[str]:
    for key in sorted(graph.get_all_asset_keys()):
        node = graph.get(key)
        parents = " ".join(sorted(parent.to_user_string() for parent in node.parent_keys))
        yield f"{key.to_user_string()} <- {parents or '-'} [{node.group_name}]"
    for check in sorted(graph.asset_check_keys):
        yield f"check {check.asset_key.to_user_string()}: {check.name}"


def ancestors(graph: dg.AssetGraph, key: dg.AssetKey, without: frozenset[str] = frozenset()) -> set[dg.AssetKey]:
    """Everything that a key is made from, not counting what is reached through a group of ``without`` alone."""
    reached: set[dg.AssetKey] = set()
    waiting = [key]
    while waiting:
        for parent in graph.get(waiting.pop()).parent_keys - reached:
            if graph.get(parent).group_name not in without:
                reached.add(parent)
                waiting.append(parent)
    return reached


def test_the_graph_is_the_one_that_was_looked_at(graph: dg.AssetGraph) -> None:
    text = "\n".join(lines(graph)) + "\n"
    if os.environ.get("CHURN_WRITE_GRAPH"):
        SNAPSHOT.write_text(text, encoding="utf-8")
    assert text == SNAPSHOT.read_text(encoding="utf-8"), f"if the change is meant: {REGENERATE}, and read the diff"


@pytest.mark.parametrize("table", TABLES)
def test_every_raw_table_reaches_publication_through_landing(graph: dg.AssetGraph, table: str) -> None:
    assert graph.get(landing_key(table)).parent_keys == {raw_key(table)}
    # The plan of what to build looks at every landed table, so it would hide a table that no model reads.
    by_value = ancestors(graph, PUBLISHED, without=frozenset({"control"}))
    assert {raw_key(table), landing_key(table)} <= ancestors(graph, PUBLISHED)
    assert (landing_key(table) in by_value) == TABLES[table].read_by_models


def test_what_finds_notices_is_done_before_what_lies_ready_beside_it(defs: dg.Definitions) -> None:
    """Publication waits for none of these checks: one that fails may not hold a list back. So they have to go first."""
    job = defs.resolve_job_def(JOB)
    priority = {node.name: int(node.tags.get("dagster/priority", 0)) for node in job.graph.nodes}
    finders = [name for name in priority if name.endswith(("landing_quality", "as_usual", "rarely_raised", "drift"))]
    assert len(finders) == 4
    assert min(priority[name] for name in finders) > max(priority[name] for name in priority.keys() - set(finders))


def test_every_asset_is_a_part_of_what_is_published(graph: dg.AssetGraph) -> None:
    # Which Mondays the data tests look at is read by the tests alone.
    groups = (RESCORING, REPLAY, "monitoring")
    others = {key for key in graph.get_all_asset_keys() if graph.get(key).group_name in groups}
    assert graph.get_all_asset_keys() - ancestors(graph, PUBLISHED) - others == {
        PUBLISHED,
        MONDAYS_TO_TEST,
        DIGEST,
        DATA_DOCS,
        BRIEFS,
        *(channel_key(channel) for channel in CHANNELS),
    }


def test_monitoring_is_read_by_nothing_that_decides_about_a_customer(graph: dg.AssetGraph) -> None:
    before = ancestors(graph, PUBLISHED)
    assert not [key for key in before if graph.get(key).group_name == "monitoring"]


def test_scoring_again_with_another_model_loads_the_policy_and_makes_nothing_else_that_a_monday_run_makes(
    defs: dg.Definitions, graph: dg.AssetGraph
) -> None:
    made = {name: defs.resolve_job_def(name).asset_layer.selected_asset_keys for name in (JOB, RESCORING_JOB)}
    seeds = {key for key in made[JOB] if graph.get(key).group_name == SEEDS}
    assert made[JOB] & made[RESCORING_JOB] == seeds


@pytest.mark.parametrize("name", [JOB, TRAINING_JOB])
def test_whoever_launches_a_job_in_the_ui_is_not_warned_of_assets_that_another_job_makes(
    defs: dg.Definitions, graph: dg.AssetGraph, name: str
) -> None:
    """The UI warns in red of every parent outside of the job that was never made; what somebody else makes is none."""
    made = defs.resolve_job_def(name).asset_layer.selected_asset_keys
    parents = {parent for key in made for parent in graph.get(key).parent_keys}
    assert (parents - made) & graph.materializable_asset_keys == set()


def test_every_dbt_model_is_an_asset_of_its_own(graph: dg.AssetGraph, settings: Settings) -> None:
    nodes = InProcessDbt(settings).manifest["nodes"].values()
    models = [node for node in nodes if node["resource_type"] in ("model", "seed")]
    keys = {dg.AssetKey([node["schema"], node["name"]]) for node in models}
    assert len(keys) == len(models) > 20
    assert keys <= graph.materializable_asset_keys
    files = {path.stem for path in (settings.dbt_project / "models").rglob("*.sql")}
    assert files == {node["name"] for node in models if node["resource_type"] == "model"}


def test_all_share_one_partition_but_landing_and_the_data_docs_which_are_made_once_a_run(
    graph: dg.AssetGraph, settings: Settings
) -> None:
    unpartitioned = {DATA_DOCS, *(landing_key(name) for name in (*TABLES, value_ledger.SOURCE))}
    for key in graph.materializable_asset_keys:
        node = graph.get(key)
        if key in unpartitioned:
            assert node.partitions_def is None, key
        else:
            assert node.partitions_def == weekly(settings, settings.first_monday), key
            assert node.backfill_policy == dg.BackfillPolicy.single_run(), key


def test_whatever_follows_landing_waits_for_the_plan_so_that_a_backfill_of_the_assets_is_not_cut_in_two(
    graph: dg.AssetGraph,
) -> None:
    landed = {landing_key(name) for name in (*TABLES, value_ledger.SOURCE)}
    after = graph.materializable_asset_keys - landed
    planned = {key for key in after if graph.get(key).parent_keys == landed and graph.get(key).group_name == "control"}
    assert SNAPSHOTS_TO_BUILD in planned
    assert len({graph.get(key).assets_def.op.name for key in planned}) == 1
    assert [key for key in after - planned if not planned & ancestors(graph, key)] == []


def test_a_run_keeps_the_mondays_that_its_code_server_offered_whatever_is_landed_meanwhile(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run's process loads the definitions again, with what the code server gave it."""
    monkeypatch.setenv("CHURN_HOME", str(settings.home))
    pointer = CodePointer.from_module("churn_pipeline.definitions", "defs", None)

    def first_of(repository: dg.RepositoryDefinition) -> str:
        return repository.get_job(JOB).partitions_def.get_first_partition_key()

    def landed(first: str) -> None:
        settings.data.mkdir(exist_ok=True)
        settings.first_monday_note.write_text(f'{{"first_monday": "{first}"}}', encoding="utf-8")

    landed("2024-01-08")
    of_code_server = initialize_repository_def_from_pointer(pointer)
    landed("2025-09-08")
    of_run = reconstruct_repository_def_from_pointer(pointer, of_code_server.repository_load_data)
    reloaded = initialize_repository_def_from_pointer(pointer)
    assert [first_of(each) for each in (of_code_server, of_run, reloaded)] == ["2024-01-08", "2024-01-08", "2025-09-08"]
    assert of_run.get_job(JOB).tags.items() >= run_tags(settings).items()


def test_every_asset_says_whose_it_is_where_it_is_kept_who_made_it_and_by_which_code(graph: dg.AssetGraph) -> None:
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.owners, key
        assert node.tags.keys() >= {MADE_BY, KEPT_IN}, key
        by = "source" if key.path[0] == "raw" else "dbt" if "dbt" in node.kinds else "python"
        assert node.tags[MADE_BY] == by, key
    assert [key for key in graph.materializable_asset_keys if graph.get(key).code_version is None] == []
    seeds = {key for key in graph.get_all_asset_keys() if graph.get(key).group_name == SEEDS}
    assert {tuple(graph.get(key).owners) for key in seeds} == {(OPERATIONS,)}
    # By what makes it: drift is not made by the code of the models.
    assert graph.get(DRIFT).code_version == code_version(("monitoring",)) != graph.get(SCORES).code_version


def test_the_code_version_of_an_asset_is_another_one_when_the_code_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("churn_pipeline.orchestration.about.PACKAGE", tmp_path)
    versions = []
    for text in ("1", "2", "2"):
        (tmp_path / "scoring").mkdir(exist_ok=True)
        (tmp_path / "scoring" / "score.py").write_text(text, encoding="utf-8")
        code_version.cache_clear()
        versions.append(code_version(("scoring",)))
    code_version.cache_clear()
    assert versions[0] != versions[1] == versions[2]


def test_what_is_published_is_fresh_when_it_was_made_by_the_deadline_of_a_monday(tmp_path: Path) -> None:
    policy = freshness(Settings(home=tmp_path, deadline=time(9, 30), timezone="Europe/Berlin"))
    assert (policy.deadline_cron, policy.timezone) == ("30 9 * * 1", "Europe/Berlin")
    assert policy.lower_bound_delta == timedelta(hours=9, minutes=30)
    assert freshness(Settings(home=tmp_path, deadline=time(0))).lower_bound_delta == timedelta(days=1)


def test_the_published_copy_and_nothing_else_has_a_freshness_policy(graph: dg.AssetGraph) -> None:
    with_policy = [key for key in graph.get_all_asset_keys() if graph.get(key).freshness_policy_or_from_metadata]
    assert with_policy == [PUBLISHED]


def test_the_predictions_themselves_are_checked_before_they_are_published(graph: dg.AssetGraph) -> None:
    check = dg.AssetCheckKey(dg.AssetKey(["policy", "predictions"]), "what_was_audited_is_what_is_there")
    assert check in graph.asset_check_keys
    assert graph.get(check).blocking


def test_every_check_but_those_of_dbt_runs_for_the_mondays_of_its_run(defs: dg.Definitions) -> None:
    job = defs.resolve_job_def(JOB)
    assert job.partitions_def is not None
    in_job = {key.name for key in job.asset_layer.asset_graph.asset_check_keys}
    assert {"every_monday_is_usable", "every_monday_is_publishable", "every_monday_is_published"} <= in_job


@pytest.mark.long
def test_the_code_location_loads_without_a_secret_or_a_setting(tmp_path: Path) -> None:
    """Dagster's own loading of workspace.yaml, in an environment that holds a PATH and where to write, and nothing else."""
    completed = subprocess.run(
        [
            str(Path(sys.executable).with_name("dagster")),
            "definitions",
            "validate",
            "-w",
            str(REPOSITORY / "workspace.yaml"),
        ],
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "CHURN_HOME": str(tmp_path),
            "PYTHONPATH": str(REPOSITORY),
        },
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert completed.returncode == 0, completed.stdout + completed.stderr
    assert "All code locations passed validation" in completed.stdout + completed.stderr


@pytest.mark.long
def test_dagsters_and_dgs_commands_find_the_code_location_by_the_project_file_alone(
    tmp_path: Path, settings: Settings
) -> None:
    """`dagster` reads the same table as `dg`, which is no dependency; where it is installed, it has to agree."""
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("CHURN_", "DAGSTER_"))}
    commands = [["dagster", "definitions", "validate"]]
    if shutil.which("dg", path=str(Path(sys.executable).parent)):
        commands.append(["dg", "check", "defs"])
    for program, *arguments in commands:
        completed = subprocess.run(
            [str(Path(sys.executable).with_name(program)), *arguments],
            cwd=tmp_path,
            env=inherited | {"CHURN_HOME": str(settings.home), "PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        said = completed.stdout + completed.stderr
        assert completed.returncode == 0, said
        assert "churn_pipeline" in said
        # Nobody named an instance, so this one is thrown away, and says what a home would miss in it.
        assert "lacks concurrency.runs.max_concurrent_runs: 1" in said


@pytest.mark.parametrize("name", [JOB, TRAINING_JOB])
def test_every_job_resolves_and_has_the_models_in_it(defs: dg.Definitions, name: str) -> None:
    selected = defs.resolve_job_def(name).asset_layer.selected_asset_keys
    assert {model_key(target) for target in TARGETS} <= selected
    assert (PUBLISHED in selected) == (name == JOB)


def test_the_schedule_ticks_on_monday_at_eight(defs: dg.Definitions) -> None:
    schedule = defs.resolve_schedule_def(SCHEDULE)
    assert (schedule.cron_schedule, schedule.execution_timezone, schedule.job_name) == ("0 8 * * 1", "UTC", JOB)


def test_the_schedule_is_on_as_soon_as_a_daemon_runs_and_the_pages_say_so(defs: dg.Definitions) -> None:
    assert defs.resolve_schedule_def(SCHEDULE).default_status == dg.DefaultScheduleStatus.RUNNING
    pages = [*(REPOSITORY / "docs").rglob("*.md"), REPOSITORY / "README.md"]
    told = [" ".join(page.read_text(encoding="utf-8").split()) for page in pages]
    assert not [text for text in told if re.search(r"(turn|switch) (it|the schedule) on", text)]
    assert sum("`monday_8am` and the sensors are on as soon as the daemon runs" in text for text in told) == 1


def test_cron_and_zone_of_the_schedule_are_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CHURN_SCHEDULE_CRON", "30 6 * * 1")
    monkeypatch.setenv("CHURN_TIMEZONE", "Pacific/Auckland")
    settings = Settings(home=tmp_path)
    schedule = monday_schedule(settings, dg.define_asset_job(JOB))
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("30 6 * * 1", "Pacific/Auckland")
    assert weekly(settings).timezone == "Pacific/Auckland"


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Pacific/Auckland"])
@pytest.mark.parametrize(
    "at",
    [
        datetime(2026, 3, 16, 0, 0),  # the first minute of the Monday
        datetime(2026, 3, 16, 8, 0),
        datetime(2026, 3, 17, 8, 0),  # a tick that came a day late
        datetime(2026, 3, 22, 23, 59),
    ],
)
def test_a_tick_asks_for_the_monday_of_its_own_time(
    tmp_path: Path, dagster: dg.DagsterInstance, zone: str, at: datetime
) -> None:
    settings = Settings(home=tmp_path, timezone=zone)
    instant = at.replace(tzinfo=ZoneInfo(zone)).astimezone(ZoneInfo("UTC"))
    (request,) = requests(settings, dagster, instant)
    assert request.partition_key == "2026-03-16"
    assert weekly(settings).get_partition_keys(current_time=instant)[-1] == "2026-03-16"


def test_a_monday_is_requested_under_one_key_whichever_tick_asks_and_the_next_one_under_another(
    tmp_path: Path, dagster: dg.DagsterInstance
) -> None:
    keys = [
        request.run_key
        for day in (16, 17, 23, 30)
        for request in requests(Settings(home=tmp_path), dagster, datetime(2026, 3, day, 8, tzinfo=ZoneInfo("UTC")))
    ]
    assert len(keys) == 4
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3


def test_a_tick_asks_first_for_the_mondays_that_were_missed_and_for_none_that_was_refused_or_is_under_way(
    tmp_path: Path, dagster: dg.DagsterInstance
) -> None:
    settings = Settings(home=tmp_path)
    weeks = settings.published / "predictions"
    weeks.mkdir(parents=True)
    (weeks / "2026-02-02.parquet").touch()
    job = dg.GraphDefinition(name=JOB).to_job()

    def asked() -> list[str | None]:
        at = datetime(2026, 3, 16, 8, tzinfo=ZoneInfo("UTC"))
        return [request.partition_key for request in requests(settings, dagster, at)]

    def run(status: dg.DagsterRunStatus, job: dg.JobDefinition = job, of: Settings = settings, **tags: str) -> None:
        days = {f"dagster/{name}": day for name, day in tags.items()}
        dagster.create_run_for_job(job, status=status, tags=run_tags(of) | days)

    assert asked() == ["2026-02-09", "2026-02-16", "2026-02-23", "2026-03-02", "2026-03-09", "2026-03-16"]
    # Neither a training nor what a tick was interrupted at is a run of the Monday.
    run(dg.DagsterRunStatus.SUCCESS, dg.GraphDefinition(name=TRAINING_JOB).to_job(), partition="2026-02-09")
    run(dg.DagsterRunStatus.NOT_STARTED, partition="2026-02-09")
    assert len(asked()) == 6
    # Nor is what the asset graph starts, unless it is to publish.
    graph = dg.GraphDefinition(name="__ASSET_JOB").to_job()
    run(dg.DagsterRunStatus.SUCCESS, graph, partition="2026-02-09")
    assert len(asked()) == 6
    # Nor is a run of another home that shares the instance.
    run(dg.DagsterRunStatus.FAILURE, of=Settings(home=tmp_path / "another"), partition="2026-02-16")
    assert len(asked()) == 6
    run(dg.DagsterRunStatus.FAILURE, partition="2026-02-16")
    run(dg.DagsterRunStatus.STARTED, partition="2026-03-09")
    assert asked() == ["2026-02-09", "2026-02-23", "2026-03-02", "2026-03-16"]
    run(dg.DagsterRunStatus.FAILURE, asset_partition_range_start="2026-02-16", asset_partition_range_end="2026-03-02")
    assert asked() == ["2026-02-09", "2026-03-16"]
    dagster.add_run(
        dg.DagsterRun(
            job_name=graph.name,
            status=dg.DagsterRunStatus.STARTED,
            asset_selection=frozenset({PUBLISHED}),
            tags={"dagster/partition": "2026-02-09"},
        )
    )
    assert asked() == ["2026-03-16"]


def test_a_value_that_an_asset_returns_is_refused_and_never_pickled(defs: dg.Definitions, tmp_path: Path) -> None:
    manager = defs.resources["io_manager"]
    assert isinstance(manager, NoValues)

    @dg.asset
    def a_frame() -> list[int]:
        return [1, 2, 3]

    @dg.asset(deps=[a_frame])
    def a_table() -> None:
        return None

    with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:
        good = dg.materialize([a_table], resources={"io_manager": manager}, instance=instance)
        bad = dg.materialize([a_frame], resources={"io_manager": manager}, instance=instance, raise_on_error=False)
    assert good.success
    assert not bad.success
    (failure,) = bad.get_step_failure_events()
    assert "returned a list" in str(failure.step_failure_data.error.to_string())
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.name == "a_frame"]


def test_an_asset_cannot_be_handed_the_value_of_another(defs: dg.Definitions) -> None:
    with pytest.raises(TypeError, match="name it in deps"):
        defs.resources["io_manager"].load_input(dg.build_input_context())


def test_a_run_hands_no_value_to_any_io_manager(scored_home: Settings) -> None:
    with dg.DagsterInstance.from_config(str(scored_home.dagster_home)) as instance:
        events = [
            entry.dagster_event.event_type_value
            for run in instance.get_runs()
            for entry in instance.all_logs(run.run_id)
            if entry.dagster_event is not None
        ]
    assert events.count("ASSET_MATERIALIZATION") > 30
    assert not {"HANDLED_OUTPUT", "LOADED_INPUT"} & set(events)
