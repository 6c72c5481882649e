"""Somebody edits the policy while it is used: whatever is written says of itself by which policy it was made."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from churn_pipeline.cli import output
from churn_pipeline.core.errors import RefusedError
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.warehouse import connect
from churn_pipeline.orchestration.dbt import InProcessDbt
from churn_pipeline.orchestration.definitions import JOB, build_defs
from churn_pipeline.orchestration.execute import rescore_mondays, run_mondays
from churn_pipeline.orchestration.keys import PUBLISHED, SCORED_MONDAYS, SCORES
from churn_pipeline.scoring.store import differences_of_approved
from tests.conftest import TINY_BEFORE
from tests.support.homes import query
from tests.support.policy import edit_seed, project_of_its_own, rows_that_their_policy_does_not_give

CUT_OFFS = f"""
select tiers.risk_tier, tiers.lower_bound from risk_tiers as tiers
where policy_version in (select policy_version from {{}} where snapshot_date = date '{TINY_BEFORE}') order by severity
"""


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    return project_of_its_own(monkeypatch, tmp_path)


class Editor:
    """Edits two seeds, each time in another way: their files, and then what the warehouse holds of them, as if somebody had loaded yet
    another edit by hand."""

    def __init__(self, settings: Settings, project: Path) -> None:
        self._settings, self._project = settings, project
        self.edits = 0

    def __call__(self) -> None:
        self.edits += 1
        files, tables = 0.2 + self.edits / 1_000, 0.3 + self.edits / 1_000
        edit_seed(self._project, "risk_tiers", lambda text: _with_cut_off(text, files))
        edit_seed(self._project, "playbook", lambda text: text.replace('"\n', '!"\n').replace('"Call', '"Please call'))
        with connect(self._settings) as con:
            con.execute(
                "update seeds.risk_tiers set lower_bound = ? where lower_bound > 0 and lower_bound < 0.5", [tables]
            )
            con.execute("update seeds.playbook set recommended_action = recommended_action || ?", [f" ({self.edits})"])

    def between_steps(self) -> Callable[[str], None]:
        """For a run's progress: a step begins with a line of its own, what it says itself is indented."""
        return lambda line: None if line.startswith(" ") or line.startswith("Slack") else self()


def _with_cut_off(text: str, lower_bound: float) -> str:
    return "".join(
        f"MEDIUM,2,{lower_bound:.3f},false\n" if line.startswith("MEDIUM,") else line for line in text.splitlines(True)
    )


def untrue(settings: Settings, table: str, folder: Path) -> list[tuple]:
    with connect(settings) as con:
        return rows_that_their_policy_does_not_give(con, table, "ledger.policy_seeds", folder)


def kept(settings: Settings) -> set[str]:
    return {version for (version,) in query(settings.warehouse, "select policy_version from ledger.policy_seeds")}


@pytest.mark.long
def test_a_seed_edited_between_every_two_steps_of_a_run_leaves_every_row_true(
    tiny_copy: Settings, project: Path, tmp_path: Path
) -> None:
    before, editor = kept(tiny_copy), Editor(tiny_copy, project)
    outcome = run_mondays(tiny_copy, TINY_BEFORE, progress=editor.between_steps())
    assert outcome.exit_code == 0, outcome.reason
    assert editor.edits > 10
    assert untrue(tiny_copy, "policy.predictions", tmp_path) == []
    (version,) = kept(tiny_copy) - before
    assert query(tiny_copy.published_database, "select distinct policy_version from predictions") == [(version,)]
    # What somebody loaded after the run had loaded the files, and before it made candidates, is what the rows are made by.
    (_, medium, *_) = query(tiny_copy.published_database, CUT_OFFS.format("predictions"))
    assert 0.3 < medium[1] < 0.4


@pytest.mark.long
def test_a_seed_edited_before_and_between_the_steps_of_a_re_execution_leaves_every_row_true(
    tiny_copy: Settings, project: Path, tmp_path: Path
) -> None:
    before, editor = kept(tiny_copy), Editor(tiny_copy, project)
    defs = build_defs(tiny_copy)
    job, graph = defs.resolve_job_def(JOB), defs.resolve_asset_graph()
    scores = dg.AssetSelection.assets(SCORES, SCORED_MONDAYS)
    # The run dies when it has scored; its re-execution goes on under the same root, from the candidates to publication.
    first = scores.upstream().required_multi_asset_neighbors().materializable()
    rest = (dg.AssetSelection.all() - first) & dg.AssetSelection.assets(PUBLISHED).upstream()
    run_id = "00000000-0000-4000-8000-000000000000"
    for selection in (
        first,
        rest & dg.AssetSelection.groups("policy") - _published(),
        rest & dg.AssetSelection.assets(PUBLISHED),
    ):
        editor()
        with dg.DagsterInstance.ephemeral() as instance:
            result = job.execute_in_process(
                partition_key=TINY_BEFORE.isoformat(),
                asset_selection=sorted(selection.resolve(graph)),
                instance=instance,
                run_id=run_id,
            )
            assert result.success
    assert untrue(tiny_copy, "policy.predictions", tmp_path) == []
    (version,) = kept(tiny_copy) - before
    assert query(tiny_copy.published_database, "select distinct policy_version from predictions") == [(version,)]


@pytest.mark.long
def test_a_home_with_a_table_of_the_policy_of_its_own_is_scored_by_it_and_the_predictions_are_those_that_were_audited(
    tiny_copy: Settings, tmp_path: Path
) -> None:
    shipped = (tiny_copy.dbt_source / "seeds" / "risk_tiers.csv").read_text(encoding="utf-8")
    tiny_copy.policy.mkdir()
    (tiny_copy.policy / "risk_tiers.csv").write_text(_with_cut_off(shipped, 0.1), encoding="utf-8")
    outcome = run_mondays(tiny_copy, TINY_BEFORE)
    assert outcome.exit_code == 0, outcome.reason
    (_, medium, *_) = query(tiny_copy.published_database, CUT_OFFS.format("predictions"))
    assert medium == ("MEDIUM", 0.1)
    assert untrue(tiny_copy, "policy.predictions", tmp_path) == []
    assert (tiny_copy.dbt_source / "seeds" / "risk_tiers.csv").read_text(encoding="utf-8") == shipped

    # The check of the table that is published. Another run's notes it does not judge.
    with connect(tiny_copy) as con:
        assert differences_of_approved(con, outcome.run_id) == {}
        with pytest.raises(RefusedError, match="not of this one"):
            differences_of_approved(con, "another run")
        con.execute("delete from policy.predictions where call_rank = 1")
        con.execute("update policy.predictions set risk_tier = 'LOW' where call_rank in (2, 3)")
        con.execute("insert into policy.predictions select * from policy.predictions where call_rank = 4")
        assert differences_of_approved(con, outcome.run_id) == {
            TINY_BEFORE: "3 audited rows are not there as they were audited, and 3 are there that were not audited"
        }


def test_seeds_are_loaded_and_tested_where_a_file_or_a_table_is_another_and_not_where_all_is_as_it_was_tested(
    tiny_copy: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    execute = InProcessDbt._execute

    def noted(dbt: InProcessDbt, *arguments: str) -> object:
        calls.append(arguments[0])
        return execute(dbt, *arguments)

    monkeypatch.setattr(InProcessDbt, "_execute", noted)

    def load() -> set[str]:
        """The nodes that are not as they should be."""
        calls.clear()
        dbt = InProcessDbt(tiny_copy)
        seeds = [name for name, node in dbt.manifest["nodes"].items() if node["resource_type"] == "seed"]
        results = dbt._results_of(seeds)
        assert {result.unique_id for result in results} > set(seeds)
        return {result.unique_id for result in results if result.status not in ("success", "pass")}

    cut_off = "select lower_bound from seeds.risk_tiers where risk_tier = 'MEDIUM'"
    ((shipped,),) = query(tiny_copy.warehouse, cut_off)
    assert load() == set()
    assert calls == []

    # Somebody changed a table by hand.
    with connect(tiny_copy) as con:
        con.execute("update seeds.risk_tiers set lower_bound = 0.3 where risk_tier = 'MEDIUM'")
    assert load() == set()
    assert calls == ["build"]
    assert query(tiny_copy.warehouse, cut_off) == [(shipped,)]

    # A table of the home's own, which breaks a rule: it is loaded, and found to break it each time.
    text = (tiny_copy.dbt_source / "seeds" / "risk_tiers.csv").read_text(encoding="utf-8")
    tiny_copy.policy.mkdir()
    (tiny_copy.policy / "risk_tiers.csv").write_text(_with_cut_off(text, 1.5), encoding="utf-8")
    for _ in range(2):
        assert load() != set()
        assert calls == ["build"]
        assert query(tiny_copy.warehouse, cut_off) == [(1.5,)]

    # It is taken away, and the state that passed before is loaded, as the tables are not its own.
    (tiny_copy.policy / "risk_tiers.csv").unlink()
    assert load() == set()
    assert calls == ["build"]
    assert load() == set()
    assert calls == []


def _published() -> dg.AssetSelection:
    return dg.AssetSelection.assets(PUBLISHED)


@pytest.mark.long
def test_a_re_score_loads_the_seeds_and_one_edited_between_its_steps_leaves_every_row_true(
    tiny_copy: Settings, project: Path, tmp_path: Path
) -> None:
    published = query(
        tiny_copy.published_database, "select customer_id, risk_tier, play, policy_version from predictions order by 1"
    )
    edit_seed(project, "risk_tiers", lambda text: _with_cut_off(text, 0.1))
    outcome = rescore_mondays(tiny_copy, TINY_BEFORE, TINY_BEFORE, "champion")
    assert outcome.exit_code == 0, outcome.reason
    (_, medium, *_) = query(tiny_copy.rescored_database, CUT_OFFS.format("predictions_rescored"))
    assert medium == ("MEDIUM", 0.1)
    assert untrue(tiny_copy, "policy.predictions_rescored", tmp_path) == []

    editor = Editor(tiny_copy, project)
    outcome = rescore_mondays(tiny_copy, TINY_BEFORE, TINY_BEFORE, "champion", progress=editor.between_steps())
    assert outcome.exit_code == 0, outcome.reason
    assert editor.edits > 3
    assert untrue(tiny_copy, "policy.predictions_rescored", tmp_path) == []
    assert published == query(
        tiny_copy.published_database, "select customer_id, risk_tier, play, policy_version from predictions order by 1"
    )


@pytest.mark.long
def test_the_version_depends_on_what_the_tables_hold_and_not_on_how_the_files_are_written(
    tiny_copy: Settings, project: Path
) -> None:
    before = kept(tiny_copy)

    def rewritten(text: str) -> str:
        head, *rows = text.splitlines()
        return "\r\n".join([head, *reversed(rows), ""])

    for seed in ("risk_tiers", "segments", "playbook", "policy_parameters"):
        path = project / "seeds" / f"{seed}.csv"
        path.write_bytes(rewritten(path.read_text(encoding="utf-8")).encode())
    outcome = rescore_mondays(tiny_copy, TINY_BEFORE, TINY_BEFORE, "champion")
    assert outcome.exit_code == 0, outcome.reason
    assert kept(tiny_copy) == before


def test_all_mistakes_of_a_policy_are_told_at_once_by_a_command_that_needs_no_home(
    tmp_path: Path, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit_seed(project, "risk_tiers", lambda text: text.replace("LOW,1,0.00", "LOW,1,0.30"))
    edit_seed(project, "segments", lambda text: text.replace("Stable Base,false,false", "Stable Base,true,false"))
    edit_seed(project, "call_economics", lambda text: text.replace("4,,,", "4,LOW,,"))
    edit_seed(
        project,
        "playbook",
        lambda text: (
            # Before all others, for everybody on the list: neither a call, nor at once, nor for small accounts, nor onboarding.
            re.sub("22,true,.*", "0,true,,,,,,Check-in,no_call,Wait for the sponsor of {nobody}.", text)
            .replace("offer,ae_call", "offer,csm_call")
            .replace("31,false,,,", "31,false,steady,,")
            + "32,true,,,,,,Check-in,csm_call,Wait for the sponsor.\n"
            + "-1,true,,,,,,Check-in,no_call,Wait for the sponsor.\n"
        ),
    )
    edit_seed(
        project, "policy_parameters", lambda text: text.replace("call_revenue_exponent,1", "call_revenue_exponent,0.7")
    )
    edit_seed(project, "talking_points", lambda text: text.replace("support,1", "suport,1"))
    settings = Settings(home=tmp_path)
    settings.data.mkdir()
    failures = InProcessDbt(settings).policy_failures()
    assert {failure.test for failure in failures} == {
        "risk_tiers_rise_from_zero_and_one_is_urgent",
        "segments_every_customer_has_exactly_one",
        "call_economics_every_case_has_a_row",
        "playbook_every_case_has_a_row",
        "playbook_no_row_stands_behind_others_that_leave_it_nobody",
        "playbook_everybody_on_the_call_list_is_called",
        "playbook_nobody_off_the_call_list_is_called",
        "playbook_much_money_on_the_call_list_is_not_told_to_wait",
        "playbook_little_money_gets_no_executive_sponsor",
        "playbook_whoever_is_being_onboarded_gets_onboarding",
        "names_known_facts_playbook_recommended_action",
        "policy_parameters_are_all_there_and_can_be_followed",
        "is_a_theme_talking_points_theme",
    }
    output.print_policy(project / "seeds", failures)
    printed = " ".join(capsys.readouterr().out.split())
    for failure in failures:
        assert f"Not so: {failure.test.replace('_', ' ')} (" in printed
        assert failure.rows


@pytest.mark.long
def test_a_run_that_loads_a_policy_that_cannot_be_applied_ends_there(tiny_copy: Settings, project: Path) -> None:
    edit_seed(project, "risk_tiers", lambda text: text.replace("LOW,1,0.00", "LOW,1,0.30"))
    defs = build_defs(tiny_copy)
    with dg.DagsterInstance.ephemeral() as instance:
        result = defs.resolve_job_def(JOB).execute_in_process(
            partition_key=TINY_BEFORE.isoformat(),
            asset_selection=sorted(dg.AssetSelection.groups("policy_seeds").resolve(defs.resolve_asset_graph())),
            instance=instance,
            raise_on_error=False,
        )
    assert not result.success
    message = str([event.step_failure_data.error.message for event in result.all_events if event.is_step_failure])
    assert "risk_tiers_rise_from_zero" in message
    assert "'churn policy' shows the rows" in message
