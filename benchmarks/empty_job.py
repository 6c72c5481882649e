"""The Monday job with every body empty, in this process: what Dagster and the imports cost before anything is done.

    python -m benchmarks.empty_job HOME MONDAY

It is the floor of `make bench` for orchestration: the same assets and checks in the same order, each of which says at once that it is done, on an
instance with the pipeline's own configuration, whose record stays open as in a run. HOME is made where it is not there.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg

from churn_pipeline.core.settings import Settings
from churn_pipeline.orchestration.definitions import JOB, defs
from churn_pipeline.orchestration.execute import prepare_home
from churn_pipeline.orchestration.records import kept_open


def emptied(definition: dg.AssetsDefinition, selected: set[Any], order: list[dg.AssetKey]) -> dg.AssetsDefinition:
    """The assets and checks of one step of the job with nothing in it; ``order`` has each asset after what it needs."""
    specs = sorted((spec for spec in definition.specs if spec.key in selected), key=lambda spec: order.index(spec.key))
    checks = [check for check in definition.check_specs if check.key in selected]

    def results() -> Iterator[dg.AssetCheckResult]:
        for check in checks:
            yield dg.AssetCheckResult(check_name=check.name, asset_key=check.asset_key, passed=True)

    if not specs:

        @dg.multi_asset_check(name=definition.node_def.name, specs=checks)
        def check_only() -> Iterator[dg.AssetCheckResult]:
            yield from results()

        return check_only

    @dg.multi_asset(name=definition.node_def.name, specs=specs, check_specs=checks)
    def nothing() -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        for spec in specs:
            yield dg.MaterializeResult(asset_key=spec.key)
        yield from results()

    return nothing


def main() -> int:
    home, monday = sys.argv[1:]
    settings = Settings(home=Path(home))
    prepare_home(settings)
    repository = defs().get_repository_def()
    layer = repository.get_job(JOB).asset_layer
    selected: set[Any] = {*layer.selected_asset_keys, *layer.asset_graph.asset_check_keys}
    order = list(layer.asset_graph.toposorted_asset_keys)
    steps = {id(step): step for step in repository.assets_defs_by_key.values() if step.is_executable}
    steps |= {id(step): step for step in repository.asset_checks_defs_by_key.values()}
    bodies = [
        emptied(step, selected, order)
        for step in steps.values()
        if any(spec.key in selected for spec in [*step.specs, *step.check_specs])
    ]
    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance, kept_open(instance):
        result = dg.materialize(bodies, instance=instance, partition_key=monday)
    return int(not result.success)


if __name__ == "__main__":
    sys.exit(main())
