"""dbt inside the run's own process.

A dbt subprocess costs 2.6 s to start, needs the warehouse closed here, and outlives a run that is killed, still holding the
warehouse. In process it dies with the run. The price is that its results have to be handed to Dagster by hand, so this module
refuses to end quietly: a node that was selected and did not report is an error.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
import duckdb

from churn_pipeline.core.atomic import exclusive_lock, replace_bytes
from churn_pipeline.core.dbt_project import MANIFEST, PARTIAL, PROJECT, TARGET
from churn_pipeline.core.json_text import json_text
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.sql import quoted
from churn_pipeline.core.warehouse import connect, limits_of_dbt

if TYPE_CHECKING:
    from dagster_dbt import DagsterDbtTranslator

_SUCCESS = {"success", "pass", "warn"}
# What the seeds' tables were like when a copy of the project had loaded and tested them, beside it.
_SEEDS = "seeds.json"
# Failing rows of a test of the policy that are shown.
_ROWS_SHOWN = 3
_PARSED: dict[Path, Any] = {}
_MANIFESTS: dict[Path, Mapping[str, Any]] = {}


@dataclass(frozen=True)
class _Result:
    """What became of a node of the project.

    Attributes:
        failures: rows that speak against it, where it is a test.
    """

    unique_id: str
    status: str
    message: str = ""
    failures: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class PolicyFailure:
    """A test of the policy's seeds that failed, or a seed that could not be loaded.

    Attributes:
        test: its name, the sentence that should be true; of a seed that could not be loaded the seed's.
        count: rows that speak against it.
        rows: the first of them.
        message: dbt's.
    """

    test: str
    count: int
    rows: tuple[Mapping[str, Any], ...]
    message: str


class InProcessDbt:
    """The dbt project of this package on one home's warehouse."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @cached_property
    def _copy(self) -> Path:
        """The copy of the project, which stays the same for as long as this lives: an edit of the policy between two steps of a run is the
        next run's."""
        return self._settings.dbt_copy

    @cached_property
    def manifest(self) -> Mapping[str, Any]:
        """The parsed project as plain values, without dbt's own macros. Parsed once for each state of the project, by whoever needs it first."""
        if self._copy not in _MANIFESTS:
            path = self._copy / MANIFEST
            if not path.is_file():
                self._parse()
            _MANIFESTS.clear()
            _MANIFESTS[self._copy] = json.loads(path.read_bytes())
        return _MANIFESTS[self._copy]

    @property
    def _parsed(self) -> Any:
        """The parsed project as dbt itself wants it, once a process: parsing anew for each of a run's three parts would cost seconds, and dbt
        does so whenever an environment variable of the profile changes."""
        if self._copy not in _PARSED:
            parsed = self._read_parsed() or self._parse()
            _PARSED.clear()
            _PARSED[self._copy] = parsed
        return _PARSED[self._copy]

    def _read_parsed(self) -> Any:
        """What dbt itself keeps of a copy that was parsed before; None where it was not, or is damaged.

        dbt would look again whether every file is as it was, and parse all of them where the home has moved. A copy is named by all that is
        parsed, by its content, so of a home that has moved only the place of the seeds' files is another.
        """
        if not (self._copy / MANIFEST).is_file():
            return None
        from dbt.contracts.graph.manifest import Manifest
        from dbt.contracts.graph.nodes import SeedNode
        from dbt.parser.manifest import extended_mashumuro_decoder

        try:
            content = (self._copy / TARGET / PARTIAL).read_bytes()
            parsed: Any = Manifest.from_msgpack(content, decoder=extended_mashumuro_decoder)
        except Exception:  # Of half a file its reader raises whatever comes; parsing anew is always right.
            return None
        for node in parsed.nodes.values():
            if isinstance(node, SeedNode):
                node.root_path = str(self._copy / PROJECT)
        parsed.build_parent_and_child_maps()
        parsed.build_flat_graph()
        return parsed

    def _parse(self) -> Any:
        # dbt rewrites its files in place, and whoever read meanwhile would get two halves.
        with exclusive_lock(self._copy / "parse.lock"):
            is_new = not (self._copy / MANIFEST).is_file()
            parsed = self._invoke(["parse", "--write-json" if is_new else "--no-write-json"], manifest=None)
            if is_new:
                manifest = json.loads((self._copy / TARGET / MANIFEST).read_bytes())
                # Most of it, and nothing that a definition is made of.
                manifest["macros"] = {}
                replace_bytes(self._copy / MANIFEST, json_text(manifest).encode())
        return parsed

    def build(
        self, context: dg.AssetExecutionContext, translator: DagsterDbtTranslator
    ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        """Builds and tests the selected models, in dependency order, and reports each to Dagster.

        Raises:
            dagster.Failure: a model or test failed, was skipped, or did not report; the description names it with dbt's message.
        """
        from dagster_dbt.asset_utils import get_asset_check_key_for_test

        selected = [
            unique_id
            for unique_id, props in self.manifest["nodes"].items()
            if props["resource_type"] in ("model", "seed")
            and translator.get_asset_spec(self.manifest, unique_id, None).key in context.selected_asset_keys
        ]
        results = self._results_of(selected)
        missing_outputs = set(context.selected_asset_keys)
        missing_checks = set(context.selected_asset_check_keys)
        failures = []
        rows = self._row_counts(result.unique_id for result in results if result.status == "success")
        for result in results:
            unique_id, status = result.unique_id, result.status
            props = self.manifest["nodes"][unique_id]
            if status not in _SUCCESS:
                failures.append(f"{props['name']} ({status}): {result.message}{_where_to_look(props)}")
            if props["resource_type"] == "test":
                check = get_asset_check_key_for_test(self.manifest, translator, unique_id, project=None)
                if check is not None and check in missing_checks and status != "skipped":
                    missing_checks.discard(check)
                    yield dg.AssetCheckResult(
                        asset_key=check.asset_key,
                        check_name=check.name,
                        passed=status == "pass",
                        severity=dg.AssetCheckSeverity.WARN if status == "warn" else dg.AssetCheckSeverity.ERROR,
                        metadata={"failures": result.failures, "seconds": round(result.seconds, 3)},
                    )
            elif status in _SUCCESS:
                key = translator.get_asset_spec(self.manifest, unique_id, None).key
                missing_outputs.discard(key)
                yield dg.MaterializeResult(
                    asset_key=key,
                    metadata={
                        "seconds": round(result.seconds, 3),
                        "relation": props["relation_name"] or "",
                        **({"dagster/row_count": rows[unique_id]} if unique_id in rows else {}),
                    },
                )
        if failures:
            raise dg.Failure(description="dbt: " + "; ".join(failures))
        if missing_outputs or missing_checks:
            silent = [key.to_user_string() for key in missing_outputs] + [str(key) for key in missing_checks]
            raise dg.Failure(description=f"dbt ended well and did not report {', '.join(sorted(silent))}")

    def _results_of(self, selected: Sequence[str]) -> list[_Result]:
        """Builds and tests models and seeds.

        A Monday seldom finds another policy than the one before. Where the tables of the seeds are to the last value what this state of the project
        loaded and tested, they are loaded and tested no more: that is two thirds of all that dbt does in a run.

        Args:
            selected: unique ids.
        """
        nodes = self.manifest["nodes"]
        seeds = {unique_id for unique_id, props in nodes.items() if props["resource_type"] == "seed"}
        all_seeds = seeds.issubset(selected)
        results = []
        if all_seeds and self._loaded_seeds(seeds) == self._noted_seeds():
            results = [_Result(unique_id, "success") for unique_id in sorted(seeds)]
            results += [_Result(unique_id, "pass") for unique_id in sorted(self._tests_of(seeds))]
            selected = [unique_id for unique_id in selected if unique_id not in seeds]
            all_seeds = False
        if selected:
            names = [nodes[unique_id]["name"] for unique_id in selected]
            built = self._execute("build", "--select", *names, "--exclude-resource-types", "unit_test").results
            results += [
                _Result(
                    result.node.unique_id,
                    str(result.status),
                    str(result.message),
                    result.failures or 0,
                    result.execution_time,
                )
                for result in built
            ]
        good = {result.unique_id for result in results if result.status in ("success", "pass")}
        if all_seeds and good.issuperset(seeds | self._tests_of(seeds)):
            replace_bytes(self._copy / _SEEDS, json_text(self._loaded_seeds(seeds)).encode())
        return results

    def _tests_of(self, seeds: Collection[str]) -> set[str]:
        """The tests that look at seeds and at nothing else."""
        return {
            unique_id
            for unique_id, props in self.manifest["nodes"].items()
            if props["resource_type"] == "test"
            and props["depends_on"]["nodes"]
            and set(props["depends_on"]["nodes"]) <= set(seeds)
        }

    def _noted_seeds(self) -> Any:
        """What :meth:`_loaded_seeds` said when this state of the project had loaded and tested its seeds; None where it has not."""
        try:
            return json.loads((self._copy / _SEEDS).read_bytes())
        except (OSError, ValueError):
            return None

    def _loaded_seeds(self, seeds: Iterable[str]) -> dict[str, str]:
        """A digest of the columns and rows of each seed's table, by its unique id; those without a table are left out."""
        digests = {}
        with connect(self._settings) as con:
            for unique_id in sorted(seeds):
                props = self.manifest["nodes"][unique_id]
                try:
                    table = con.execute(f"from {quoted(props['schema'])}.{quoted(props['alias'])} order by all")
                except duckdb.CatalogException:
                    continue
                content = [[(name, str(kind)) for name, kind, *_ in table.description], table.fetchall()]
                digests[unique_id] = hashlib.sha256(repr(content).encode()).hexdigest()
        return digests

    def failure_relations(self, model: str) -> dict[str, str]:
        """Relation that holds a test's failing rows, by test name, for the tests of one model that judge single Mondays."""
        unique_id = f"model.churn.{model}"
        return {
            props["name"]: props["relation_name"]
            for props in self.manifest["nodes"].values()
            if props["resource_type"] == "test"
            and props.get("attached_node") == unique_id
            and props["config"].get("severity", "").lower() == "warn"
        }

    def _row_counts(self, unique_ids: Iterable[str]) -> dict[str, int]:
        """Rows of the tables among these nodes; a view has none of its own, and counting it would compute it."""
        counts = {}
        with connect(self._settings) as con:
            for unique_id in unique_ids:
                props = self.manifest["nodes"][unique_id]
                if props["config"].get("materialized") in ("table", "incremental", "seed"):
                    relation = f"{quoted(props['schema'])}.{quoted(props['alias'])}"
                    counts[unique_id] = int(con.execute(f"select count(*) from {relation}").fetchall()[0][0])
        return counts

    def unit_tests(self) -> dict[str, str]:
        """Runs dbt's unit tests on a warehouse that has been built; for each its message, empty where it passed."""
        results = self._execute("test", "--select", "test_type:unit")
        return {
            result.node.name: "" if str(result.status) == "pass" else str(result.message) for result in results.results
        }

    def policy_failures(self) -> list[PolicyFailure]:
        """Loads the seeds into the home's warehouse and runs their tests, which is all that a run asks of a policy before it applies it."""
        results = self._execute("build", "--select", "resource_type:seed", "--exclude-resource-types", "unit_test")
        failures = []
        with connect(self._settings) as con:
            for result in results.results:
                if str(result.status) in (*_SUCCESS, "skipped"):
                    continue
                props = self.manifest["nodes"][result.node.unique_id]
                rows: list[dict[str, Any]] = []
                if str(result.status) == "fail" and props.get("relation_name"):
                    cursor = con.execute(f"from {props['relation_name']} order by all limit {_ROWS_SHOWN}")
                    names = [column[0] for column in cursor.description]
                    rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
                failures.append(PolicyFailure(props["name"], result.failures or 0, tuple(rows), str(result.message)))
        return failures

    def _execute(self, *arguments: str) -> Any:
        """Has dbt do something with the parsed project, and returns the results.

        Results come back in memory: written down, with the whole manifest beside them, they took a fifth of dbt's time. Of relations it looks up
        those that it works on, and no other schema of the warehouse.
        """
        return self._invoke([*arguments, "--no-write-json", "--cache-selected-only"], manifest=self._parsed)

    def _invoke(self, arguments: list[str], manifest: Any) -> Any:
        from dbt.adapters.duckdb.connections import DuckDBConnectionManager
        from dbt.cli.main import dbtRunner

        settings = self._settings
        flags = ["--no-use-colors", "--log-level", "none", "--log-path", str(settings.dbt_target / "logs")]
        project = str(self._copy / PROJECT)
        places = ["--project-dir", project, "--profiles-dir", project, "--target-path", str(self._copy / TARGET)]
        places += ["--target", "home"]
        with _environment(CHURN_WAREHOUSE=str(settings.warehouse), **limits_of_dbt(settings)):
            try:
                outcome = dbtRunner(manifest=manifest).invoke([*flags, *arguments, *places])
            finally:
                # The profile keeps the warehouse open from one model to the next, which saves an open and a checkpoint each; after the
                # last one it has to be closed, or Python would meet dbt's handle.
                DuckDBConnectionManager.close_all_connections()  # type: ignore[no-untyped-call]
        if outcome.exception is not None:
            raise dg.Failure(description=f"dbt {arguments[0]}: {outcome.exception}") from outcome.exception
        return outcome.result


def _where_to_look(props: Mapping[str, Any]) -> str:
    nodes = props["depends_on"]["nodes"] if props["resource_type"] == "test" else []
    return "; 'churn policy' shows the rows" if nodes and all(node.startswith("seed.") for node in nodes) else ""


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
