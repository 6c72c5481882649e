"""The dbt project as maintainers of dbt expect one: it parses on a bare clone, cannot be run into a home by hand, and keeps the rules of
dbt-project-evaluator, or says why not.

The package itself is downloaded by ``dbt deps``, which no test may need. Its rules are asked of the manifest here; the names are its own
(https://github.com/dbt-labs/dbt-project-evaluator). It was run on this project once, and came to the same.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from churn_pipeline.core.settings import REPOSITORY, Settings

PROJECT = REPOSITORY / "dbt_project"
NO_RAW_DATA = "what a run is to do and what models said, written by Python for this run: nothing to stage"
# By rule, what does not keep it, as the beginning of a name, and why.
EXCEPTIONS: dict[str, dict[str, str]] = {
    "fct_direct_join_to_source": {
        **dict.fromkeys(("control.", "scoring."), NO_RAW_DATA),
        "landing.interventions": "no feature: what was said to customers decides about whom to call, and not about their probability",
        "landing.settling": "one row per change of a number of days, which only the due dates of outcomes read",
    },
    "fct_source_fanout": {
        **dict.fromkeys(("control.", "scoring."), NO_RAW_DATA),
        "landing.interventions": "read for snoozes and for outcomes, of which each takes other columns",
    },
    "fct_multiple_sources_joined": {
        **dict.fromkeys(("int_", "mart_", "prediction"), f"one of them is {NO_RAW_DATA}"),
    },
    "fct_unused_sources": {"control.mondays_to_test": "the Mondays that tests look at; no model reads it"},
    "fct_too_many_joins": {
        "mart_customer_churn_features": "the mart is where all as-of models of a customer and a Monday meet",
        "mart_customer_expansion_features": "the same for the features of expansion",
        "prediction_candidates": "the policy is eleven seeds, each a table that operations edit",
        "prediction_outcomes": "macros count as joins here: labels are one definition for dbt and Python",
    },
    "fct_source_directories": {"": "one file says what comes from outside of dbt"},
    "fct_model_directories": {"stg_": "all of them are of one source, landing"},
    "fct_model_naming_conventions": {
        "mart_": "the prefix of the marts here",
        "prediction": "the published names, which do not change",
    },
    "fct_sources_without_freshness": {
        **dict.fromkeys(("control.", "scoring.approved_mondays"), "as old as the run that wrote it"),
        **dict.fromkeys(
            ("landing.lives", "landing.settling", "landing.plan_changes", "landing.contracts", "landing.interventions",
             "landing.gtm_opportunities", "landing.risk_signals", "landing.value_ledger"),
            "changes rarely or at the customer's pace: how late it may be is read from its own past (docs/data-quality.md)",
        ),
    },
    "fct_exposures_dependent_on_private_models": {"seed": "a seed has no access level; its columns are those of its YAML"},
    "fct_missing_primary_key_tests": {
        "mart_": "unique_within_snapshot and not_null_within_snapshot say so by Monday, so that one bad Monday stays out and not all",
        "prediction_candidates": "the same",
    },
}  # fmt: skip


def dbt(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """dbt as a person types it, in a project of one's own, with no variable of the pipeline's set but those given."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("CHURN_", "DBT_"))}
    command = [str(Path(sys.executable).with_name("dbt")), "--no-use-colors", *arguments, "--profiles-dir", "."]
    return subprocess.run(command, cwd=folder, env=bare | environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bare clone of the project, parsed."""
    folder = tmp_path_factory.mktemp("clone") / "dbt_project"
    shutil.copytree(PROJECT, folder, ignore=shutil.ignore_patterns("target", "logs"))
    parsed = dbt(folder, "parse")
    assert parsed.returncode == 0, parsed.stdout
    return folder


@pytest.fixture(scope="module")
def manifest(clone: Path) -> dict[str, Any]:
    return dict(json.loads((clone / "target" / "manifest.json").read_text(encoding="utf-8")))


@pytest.mark.long
def test_by_hand_dbt_builds_beside_a_home_and_cannot_write_into_one(
    clone: Path, scored_home: Settings, tmp_path: Path
) -> None:
    facts, dev = tmp_path / "facts.duckdb", tmp_path / "dev.duckdb"
    shutil.copy(scored_home.warehouse, facts)
    before = hashlib.sha256(facts.read_bytes()).hexdigest()
    files = {"CHURN_DEV_FACTS": str(facts), "CHURN_DEV_WAREHOUSE": str(dev)}
    # Without the tests that look at other models too.
    only = ("--indirect-selection", "cautious")
    built = dbt(clone, "build", *only, "--select", "stg_lives", "int_customer_snapshots", **files)
    assert built.returncode == 0, built.stdout
    with duckdb.connect(str(dev), read_only=True) as con:
        assert con.execute("select count(*) > 0 from intermediate.int_customer_snapshots").fetchall() == [(True,)]
    for statement in ("delete from facts.policy.predictions", "create table facts.policy.mine as select 1 as one"):
        refused = dbt(clone, "run-operation", "run_query", "--args", json.dumps({"sql": statement}), **files)
        assert refused.returncode != 0
        assert "read-only" in refused.stdout
    assert hashlib.sha256(facts.read_bytes()).hexdigest() == before
    named = dbt(clone, "run", "--target", "home", "--select", "stg_lives", **files)
    assert named.returncode != 0
    assert "CHURN_WAREHOUSE" in named.stdout, "a home is written to only by whoever says which"


def models(manifest: dict[str, Any], kind: str = "model") -> list[dict[str, Any]]:
    return [node for node in manifest["nodes"].values() if node["resource_type"] == kind]


def name(manifest: dict[str, Any], unique_id: str) -> str:
    source = manifest["sources"].get(unique_id)
    return f"{source['source_name']}.{source['name']}" if source else str(manifest["nodes"][unique_id]["name"])


def parents(node: dict[str, Any], kind: str = "") -> list[str]:
    return [parent for parent in dict.fromkeys(node["depends_on"]["nodes"]) if parent.startswith(kind)]


def violations(manifest: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What does not keep which rule."""
    tests: dict[str, set[str]] = {}
    for test in models(manifest, "test"):
        if test.get("attached_node"):
            tests.setdefault(test["attached_node"], set()).add(test["test_metadata"]["name"])
    used = {
        parent for node in manifest["nodes"].values() if node["resource_type"] == "model" for parent in parents(node)
    }
    children: dict[str, set[str]] = {}
    for node in models(manifest):
        for parent in parents(node):
            children.setdefault(parent, set()).add(node["name"])
        folder = node["path"].split("/")[0]
        sources = parents(node, "source.")
        if not parents(node):
            yield "fct_root_models", node["name"]
        if folder == "staging" and any(
            "stg_" in parent or "int_" in parent or "mart_" in parent for parent in parents(node, "model.")
        ):
            yield "fct_staging_dependent_on_staging", node["name"]
        if folder != "staging":
            yield from (("fct_direct_join_to_source", name(manifest, source)) for source in sources)
        if len(sources) > 1:
            yield "fct_multiple_sources_joined", node["name"]
        if len(parents(node)) >= 7:
            yield "fct_too_many_joins", node["name"]
        if re.search(
            r"(?i)\b(?:from|join)\s+[\"'`]?[a-z_]+[\"'`]?\.[\"'`]?[a-z_]+", without_comments(node["raw_code"])
        ):
            yield "fct_hard_coded_references", node["name"]
        if not node["description"]:
            yield "fct_undocumented_models", node["name"]
        if not {"one_row_per"} & tests.get(node["unique_id"], set()) and not {"unique", "not_null"} <= tests.get(
            node["unique_id"], set()
        ):
            yield "fct_missing_primary_key_tests", node["name"]
        if folder == "staging" and node["path"].count("/") < 2:
            yield "fct_model_directories", node["name"]
        if not node["name"].startswith(
            {"staging": "stg_", "intermediate": "int_"}.get(folder, ("fct_", "dim_", "rpt_"))
        ):
            yield "fct_model_naming_conventions", node["name"]
        if node["access"] == "public" and not node["config"]["contract"]["enforced"]:
            yield "fct_public_models_without_contract", node["name"]
    for source_id, source in manifest["sources"].items():
        source_name = f"{source['source_name']}.{source['name']}"
        if source_id not in used:
            yield "fct_unused_sources", source_name
        if len(children.get(source_id, ())) > 1:
            yield "fct_source_fanout", source_name
        if not source["description"] or not source["source_description"]:
            yield "fct_undocumented_source_tables", source_name
        if not (source["freshness"] or {}).get("warn_after", {}).get("count"):
            yield "fct_sources_without_freshness", source_name
        yield "fct_source_directories", source_name
    for exposure in manifest["exposures"].values():
        for parent in map(manifest["nodes"].__getitem__, exposure["depends_on"]["nodes"]):
            if parent.get("access") != "public":
                yield (
                    "fct_exposures_dependent_on_private_models",
                    parent["name"] if parent["resource_type"] == "model" else "seed",
                )
            if parent["resource_type"] == "model" and parent["config"]["materialized"] not in ("table", "incremental"):
                yield "fct_exposure_parents_materializations", parent["name"]


def without_comments(sql: str) -> str:
    return re.sub(r"(?s)\{#.*?#\}|--[^\n]*", "", sql)


def test_the_rules_of_dbt_project_evaluator_hold_or_it_is_said_why_not(manifest: dict[str, Any]) -> None:
    unexplained, needed = set(), set()
    for rule, what in violations(manifest):
        reasons = [beginning for beginning in EXCEPTIONS.get(rule, {}) if what.startswith(beginning)]
        needed |= {(rule, beginning) for beginning in reasons}
        if not reasons:
            unexplained.add((rule, what))
    assert unexplained == set()
    assert {(rule, beginning) for rule, reasons in EXCEPTIONS.items() for beginning in reasons} == needed, (
        "needless exceptions"
    )


def test_every_model_and_every_column_of_it_is_described_in_a_file_of_its_own(
    manifest: dict[str, Any], scored_home: Settings
) -> None:
    described = {node["name"]: set(node["columns"]) for node in models(manifest)}
    with duckdb.connect(str(scored_home.warehouse), read_only=True) as con:
        actual: dict[str, set[str]] = {}
        for table, column in con.execute("select table_name, column_name from duckdb_columns() where schema_name in "
                                         "('staging', 'intermediate', 'marts', 'policy', 'monitoring')").fetchall():  # fmt: skip
            actual.setdefault(table, set()).add(column)
    # The columns of the re-scores are those of predictions, and one more.
    assert described.pop("predictions_rescored") == {"is_in_sample"}
    assert {name: actual[name] - columns for name, columns in described.items() if name in actual} == {
        name: set() for name in described if name in actual
    }
    assert len([name for name in described if name in actual]) > 20
    for node in models(manifest):
        file = PROJECT / "models" / Path(node["path"]).with_suffix(".yml")
        (model,) = yaml.safe_load(file.read_text(encoding="utf-8"))["models"]
        assert model["name"] == node["name"]
        assert all(column["description"] for column in node["columns"].values()), node["name"]


def test_no_relation_is_written_by_hand_where_dbt_knows_it(manifest: dict[str, Any]) -> None:
    """In models, tests and macros: schemas are those of sources, models and seeds."""
    schemas = {source["schema"] for source in manifest["sources"].values()} | {
        node["schema"] for node in manifest["nodes"].values() if node["resource_type"] in ("model", "seed")
    }
    pattern = re.compile(rf"\b(?:{'|'.join(sorted(schemas))})\.[a-z_]+\b")
    files = [path for folder in ("models", "macros", "tests", "seeds") for path in (PROJECT / folder).rglob("*")]
    places = [
        f"{path.relative_to(PROJECT)}: {match[0]}"
        for path in files
        if path.suffix in (".sql", ".yml") and path.name != "_unit_tests.yml"
        for match in pattern.finditer(without_comments(path.read_text(encoding="utf-8")))
        # A column of a relation that has the name of its schema, as scoring.scores does not.
        if match[0].split(".")[1] in relations(manifest)
    ]
    assert places == []


def relations(manifest: dict[str, Any]) -> set[str]:
    return {source["identifier"] for source in manifest["sources"].values()} | {
        node["name"] for node in models(manifest) + models(manifest, "seed")
    }


def test_what_is_made_of_the_models_outside_of_dbt_is_an_exposure(manifest: dict[str, Any]) -> None:
    assert {exposure["name"] for exposure in manifest["exposures"].values()} == {
        "weekly_report",
        "slack_digest",
        "grafana_dashboards",
        "postgresql",
    }
    for exposure in manifest["exposures"].values():
        (page,) = re.findall(r"docs/\w+\.md", exposure["description"])
        assert (REPOSITORY / page).is_file()


def test_every_model_belongs_to_a_group_and_steps_on_the_way_are_private(manifest: dict[str, Any]) -> None:
    access = {node["name"]: node["access"] for node in models(manifest)}
    assert all(node["group"] for node in models(manifest))
    assert {name for name, level in access.items() if level == "public"} == {"predictions", "prediction_outcomes"}
    assert all(level == "private" for name, level in access.items() if name.startswith("int_"))


def test_a_test_looks_at_the_days_of_the_run_where_a_table_is_grown(manifest: dict[str, Any]) -> None:
    """A bad row of January stops no Monday of November."""
    grown = {node["unique_id"] for node in models(manifest) if node["config"]["materialized"] == "incremental"}
    assert len(grown) == 6
    unbounded = [
        test["name"]
        for test in models(manifest, "test")
        if test.get("attached_node") in grown and not test["config"]["where"]
    ]
    assert unbounded == []
