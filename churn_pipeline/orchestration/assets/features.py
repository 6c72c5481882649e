"""The plan of what to build, and the dbt models up to the feature marts."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, DbtProject

from churn_pipeline.contract import TABLES, value_ledger
from churn_pipeline.contract.tolerated import tolerated
from churn_pipeline.core import notices
from churn_pipeline.core.run_state import Note, assert_owner, claim
from churn_pipeline.core.warehouse import connect
from churn_pipeline.orchestration.about import about, of_dbt, tags_of
from churn_pipeline.orchestration.assets.models import FORCE_TAG
from churn_pipeline.orchestration.home import Home, expected_errors, partition_mondays, root_run
from churn_pipeline.orchestration.keys import (
    DAYS_TO_BUILD,
    HOLDOUT,
    MONDAYS_TO_TEST,
    ONE_RUN,
    SEEDS,
    SNAPSHOTS_TO_BUILD,
    landing_key,
)


class Translator(DagsterDbtTranslator):
    """dbt nodes as assets, grouped by the folder they lie in; seeds and staging models come after the plan.

    A backfill of the asset graph starts a run with whatever has its parents at that moment. Without that edge it loaded the seeds while it
    landed, and when landing was done first, it made what needs no seed in one run and what needs one in another, which goes on from no
    plan of its own and is refused. With it, all that follows landing waits for the plan, and is one run with it.

    Args:
        groups: groups of nodes that do not go with their folder, by name.
        keys: asset keys of nodes that have another one than that of their relation, by name.
        without: what assets do not come after, although their SQL names it: a run uses one of two scores, and whoever uses the one has not
            always made the other.
    """

    def __init__(
        self,
        groups: Mapping[str, str] | None = None,
        keys: Mapping[str, dg.AssetKey] | None = None,
        without: Collection[dg.AssetKey] = (),
    ) -> None:
        # One asset of ours may write several of dbt's sources.
        super().__init__(
            settings=DagsterDbtTranslatorSettings(enable_asset_checks=True, enable_duplicate_source_asset_keys=True)
        )
        self._groups, self._keys, self._without = groups or {}, keys or {}, frozenset(without)
        self._specs: dict[str, dg.AssetSpec] = {}

    def get_asset_spec(self, manifest: Mapping[str, Any], unique_id: str, project: DbtProject | None) -> dg.AssetSpec:
        # Asked for some nodes five times, and of one manifest.
        if unique_id not in self._specs:
            spec = super().get_asset_spec(manifest, unique_id, project)
            props = self.get_resource_props(manifest, unique_id)
            first = props["resource_type"] == "seed" or (props["resource_type"], props["fqn"][1]) == (
                "model",
                "staging",
            )
            deps = [dep for dep in spec.deps if dep.asset_key not in self._without]
            self._specs[unique_id] = spec.replace_attributes(deps=[*deps, SNAPSHOTS_TO_BUILD] if first else deps)
        return self._specs[unique_id]

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        return self._keys.get(dbt_resource_props["name"]) or super().get_asset_key(dbt_resource_props)

    def get_owners(self, dbt_resource_props: Mapping[str, Any]) -> Sequence[str] | None:
        return super().get_owners(dbt_resource_props) or [of_dbt(self.get_group_name(dbt_resource_props)).owner]

    def get_tags(self, dbt_resource_props: Mapping[str, Any]) -> Mapping[str, str]:
        return {**super().get_tags(dbt_resource_props), **tags_of(of_dbt(self.get_group_name(dbt_resource_props)))}

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str:
        if dbt_resource_props["resource_type"] == "seed":
            return SEEDS
        if dbt_resource_props["name"] in self._groups:
            return self._groups[dbt_resource_props["name"]]
        return str(dbt_resource_props["fqn"][1])


def build_plan(weekly: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    """The asset that decides what this run has to build."""

    @dg.multi_asset(
        specs=[
            dg.AssetSpec(
                key,
                deps=[landing_key(name) for name in (*TABLES, value_ledger.SOURCE)],
                **about("control"),
                description=description,
                kinds={"duckdb"},
                partitions_def=weekly,
            )
            for key, description in (
                (SNAPSHOTS_TO_BUILD, "Snapshots whose features are missing or were built from other facts."),
                (DAYS_TO_BUILD, "Days whose usage aggregate is missing or was built from other facts."),
                (MONDAYS_TO_TEST, "Snapshots that this run's data tests look at."),
                (HOLDOUT, "Whom to leave out of the call list, to measure what calls are worth (CHURN_HOLDOUT_SHARE)."),
            )
        ],
        name="build_plan",
        partitions_def=weekly,
        backfill_policy=ONE_RUN,
    )
    def plan(context: dg.AssetExecutionContext, home: dg.ResourceParam[Home]) -> Iterator[dg.MaterializeResult]:
        from churn_pipeline.features.plan import code_version, write_plan
        from churn_pipeline.features.verdicts import create_tables
        from churn_pipeline.modeling import lifecycle
        from churn_pipeline.policy.holdout import write_holdout

        settings = home.settings
        with expected_errors(), connect(settings) as con:
            create_tables(con)
            claim(con, "plan", root_run(context))
            requested = partition_mondays(context)
            # Here and not with landing: a backfill of the asset graph lands in another run, which is for no Monday.
            notices.begin(con, requested, root_run(context))
            notices.record(con, "quarantine", dict.fromkeys(requested, tolerated(con)), run_id=root_run(context))
            live = [day for day in requested if home.scoring_mode(day) == "live"]
            write_holdout(con, settings.holdout_share, live[0] if live else None)
            build_plan = write_plan(
                con,
                requested,
                history_weeks=settings.history_weeks,
                code=code_version(settings.dbt_project),
                training=lifecycle.history_needed(con, settings, requested, forced=FORCE_TAG in context.run.tags),
            )
        if build_plan.code_changed:
            context.log.warning("The feature SQL changed since the marts were built: they are built from scratch.")
        context.log.info(
            f"{len(build_plan.snapshots)} snapshots and {build_plan.days} usage days to build, {build_plan.kept} snapshots kept"
        )
        span = f"{build_plan.snapshots[0]} to {build_plan.snapshots[-1]}" if build_plan.snapshots else "none"
        yield dg.MaterializeResult(
            asset_key=SNAPSHOTS_TO_BUILD,
            metadata={
                "snapshots": len(build_plan.snapshots),
                "kept": build_plan.kept,
                "range": span,
                "code_changed": build_plan.code_changed,
            },
        )
        yield dg.MaterializeResult(asset_key=DAYS_TO_BUILD, metadata={"days": build_plan.days})
        yield dg.MaterializeResult(asset_key=MONDAYS_TO_TEST)
        yield dg.MaterializeResult(asset_key=HOLDOUT, metadata={"share": settings.holdout_share})

    return plan


def nodes_of(manifest: Mapping[str, Any], *, folders: Collection[str] = (), models: Collection[str] = ()) -> list[str]:
    """Seeds and models of the dbt project, by their unique ids.

    Dagster's own ``dbt_assets`` has dbt choose, and dbt's machinery for that takes longer to import than all of these definitions take to load.

    Args:
        manifest: the parsed project.
        folders: those that lie in them, ``seeds`` for all seeds.
        models: those of these names.
    """
    chosen = []
    for unique_id, props in manifest["nodes"].items():
        kind = props["resource_type"]
        folder = "seeds" if kind == "seed" else props["fqn"][1]
        if kind in ("seed", "model") and (folder in folders or props["name"] in models):
            chosen.append(unique_id)
    return chosen


def dbt_stage(
    name: str,
    nodes: Sequence[str],
    manifest: Mapping[str, Any],
    translator: Translator,
    weekly: dg.PartitionsDefinition,
    *,
    goes_on_from: Note | None = None,
) -> dg.AssetsDefinition:
    """A part of the dbt project as assets, one a model. dbt runs in several parts because Python's work lies in between.

    Args:
        name: of the step.
        nodes: unique ids of its models and seeds.
        manifest: the parsed project.
        translator: makes assets of its nodes.
        weekly: the partitions.
        goes_on_from: the note that says on which Mondays the models work; it has to be this run's.
    """
    specs = [translator.get_asset_spec(manifest, node, None) for node in nodes]
    checks = {
        check.key: check
        for node, spec in zip(nodes, specs, strict=True)
        for child in manifest["child_map"][node]
        if child.startswith("test.")
        and (check := translator.get_asset_check_spec(spec, manifest, child, None)) is not None
    }

    @dg.multi_asset(
        name=name,
        specs=specs,
        check_specs=list(checks.values()),
        can_subset=True,
        partitions_def=weekly,
        backfill_policy=ONE_RUN,
        # A test of two models belongs to one of them.
        allow_arbitrary_check_specs=True,
    )
    def stage(context: dg.AssetExecutionContext, home: dg.ResourceParam[Home]) -> Iterator[Any]:
        # Seeds are the same whatever is planned, so they can be loaded by themselves.
        if goes_on_from is not None and any(key.path[0] != "seeds" for key in context.selected_asset_keys):
            with expected_errors(), connect(home.settings) as con:
                assert_owner(con, goes_on_from, root_run(context))
        yield from home.dbt.build(context, translator)

    return stage
