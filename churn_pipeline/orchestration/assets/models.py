"""Models: one asset a target, which trains whatever training Mondays the Mondays of a run depend on."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import dagster as dg

from churn_pipeline.core import notices
from churn_pipeline.core.calendar import training_monday
from churn_pipeline.core.errors import RefusedError, RegistryError, UnbuiltError
from churn_pipeline.core.model_kinds import KINDS
from churn_pipeline.core.notices import Notice
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.targets import TARGETS, Target
from churn_pipeline.core.warehouse import connect
from churn_pipeline.orchestration.about import about
from churn_pipeline.orchestration.home import (
    Home,
    expected_errors,
    partition_mondays,
    picture,
    root_run,
    table_metadata,
)
from churn_pipeline.orchestration.keys import ONE_RUN, model_key

if TYPE_CHECKING:
    import duckdb

    from churn_pipeline.modeling.fit import TrainingResult
    from churn_pipeline.modeling.ledger import LedgerRow


# The seed with what is believed before anything is known.
PRIORS = "model_priors"
# Run tag: train although the training Monday already has a model.
FORCE_TAG = "churn/train"
TRAINED = "every_due_training_was_made"


def model_assets(keys: Mapping[str, dg.AssetKey], weekly: dg.PartitionsDefinition) -> list[dg.AssetsDefinition]:
    """The model assets.

    Args:
        keys: asset keys of the dbt models and seeds, by name.
        weekly: the partition.
    """
    return [_model_asset(target, [keys[target.mart], keys[PRIORS]], weekly) for target in TARGETS.values()]


def _model_asset(target: Target, made_from: list[dg.AssetKey], weekly: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    key = model_key(target.name)

    @dg.asset(
        key=key,
        deps=made_from,
        **about("models"),
        description=f"The probability that a customer {target.question}. Trained on a fixed grid of Mondays, judged on weeks it "
        "never saw, registered in MLflow, and used from then on if it passes its gate.",
        kinds={"xgboost", "mlflow"},
        partitions_def=weekly,
        backfill_policy=ONE_RUN,
        check_specs=[
            dg.AssetCheckSpec(
                TRAINED,
                asset=key,
                description="Fails when a training that was due could not be made because MLflow is not there, or because the "
                "marts do not hold all that it learns from, judged. This Monday is scored with the model in force, past ones that need it are "
                "refused; the next run makes up for the training.",
            )
        ],
    )
    def model(context: dg.AssetExecutionContext, home: dg.ResourceParam[Home]) -> Iterator[Any]:
        from churn_pipeline.delivery import announce
        from churn_pipeline.modeling import ledger, lifecycle
        from churn_pipeline.modeling.registry import shown

        settings = home.settings
        forced = FORCE_TAG in context.run.tags
        rows: list[tuple[Any, ...]] = []
        seen: dict[str, Any] = {}
        unmade: list[str] = []
        to_tell: dict[str, dict[date, list[Notice]]] = {"unmade": {}, "trained": {}}
        with expected_errors(), connect(settings) as con:
            ledger.create(con)
            requested = partition_mondays(context)
            to_tell["unmade"] = {day: [] for day in requested}
            for monday in _due(con, settings, target, requested, forced):
                try:
                    made = _train(context, con, settings, target, monday)
                except (RegistryError, UnbuiltError) as error:
                    if forced:
                        raise
                    # The list of this Monday does not depend on a new model.
                    problem = f"could not be trained as of {monday}: {error}"
                    unmade.append(f"{target.name} {problem}")
                    context.log.warning(unmade[-1])
                    for day in requested:
                        if day >= monday:
                            to_tell["unmade"][day].append(Notice("model", target.name, f"{target.name}: {problem}"))
                    if isinstance(error, RegistryError):
                        # Neither can the others, and a server that is gone is not asked for each of them.
                        break
                    continue
                said_on = next(day for day in requested if day >= monday)
                for row, result in made:
                    rows.append((monday, row.version, row.metrics.get(lifecycle.KIND), row.promoted, row.reason))
                    to_tell["trained"].setdefault(said_on, []).extend(_notices_of(row, result))
                # Where the simplest kind took the place of a model that was refused, the refusal is the news.
                row, result = made[0]
                if (notified_monday := announce.notifiable_monday(settings, context.run.tags)) is not None:
                    delivery = announce.announce_training(
                        settings,
                        notified_monday,
                        target.name,
                        promoted=row.promoted,
                        reason=row.reason,
                        run_id=context.run.run_id,
                    )
                    if delivery.state != "nothing":
                        context.log.info(str(delivery))
                seen = _figures(result) if result else seen
            for part, of_mondays in to_tell.items():
                notices.record(con, f"{part} {target.name}", of_mondays, run_id=root_run(context))
            reigning = ledger.model_for(con, target.name, requested[-1])
        yield dg.MaterializeResult(
            metadata={
                "in force": dg.MetadataValue.text(
                    f"version {reigning.version}, from {reigning.effective_from}" if reigning else "none"
                ),
                "trained in this run": table_metadata(
                    ["training Monday", "version", "kind", "promoted", "reason"], rows
                ),
                "MLflow": dg.MetadataValue.text(shown(settings.tracking_uri)),
                **seen,
            }
        )
        yield dg.AssetCheckResult(
            asset_key=key,
            check_name=TRAINED,
            passed=not unmade,
            severity=dg.AssetCheckSeverity.ERROR,
            description="; ".join(unmade) or None,
        )

    return model


def _due(
    con: "duckdb.DuckDBPyConnection", settings: Settings, target: Target, requested: Sequence[date], forced: bool
) -> Iterator[date]:
    """The training Mondays to train, one after the other: two Mondays may wait for the same one."""
    from churn_pipeline.modeling import lifecycle

    if forced:
        yield training_monday(requested[-1], settings.training_cadence_weeks)
    last = None
    for day in requested:
        monday = lifecycle.next_training(con, settings, target, day)
        # What could not be made is left for the next run.
        if monday is not None and monday != last:
            yield monday
            last = monday


def _train(
    context: dg.AssetExecutionContext,
    con: "duckdb.DuckDBPyConnection",
    settings: Settings,
    target: Target,
    monday: date,
) -> "list[tuple[LedgerRow, TrainingResult | None]]":
    """What a training wrote into the ledger, in that order, with what it found out."""
    from churn_pipeline.modeling import lifecycle

    run_id, who = context.run.run_id, context.run.tags.get(FORCE_TAG, "schedule")
    try:
        trained = lifecycle.train(con, settings, target, monday, run_id=run_id, who=who, progress=context.log.info)
    except RefusedError as refusal:
        # No new model is an answer, not a failure: the one that serves goes on, or the target is not predicted.
        context.log.warning(f"{target.name} as of {monday}: {refusal}")
        return [(lifecycle.note_refusal(con, settings, target, monday, str(refusal), run_id=run_id, who=who), None)]
    return [*([trained.refused] if trained.refused else []), (trained.row, trained.result)]


def _notices_of(row: "LedgerRow", result: "TrainingResult | None") -> list[Notice]:
    """What a training has to say to whoever reads the list of its Monday."""
    sentences = list(result.notices) if result else []
    if not row.promoted:
        what = "the new model is not used" if result else "no new model was made"
        sentences.insert(0, f"{what} (training as of {row.labels_closed_by}): {row.reason.removeprefix('refused: ')}")
    return [Notice("training", row.target, f"{row.target}: {sentence}") for sentence in sentences]


def _figures(result: "TrainingResult") -> dict[str, Any]:
    from churn_pipeline.modeling import plots

    drawn = {"calibration": plots.calibration, "precision and recall": plots.precision_recall}
    metrics = result.judged.metrics if result.judged is not None else {}
    return {
        "kind": dg.MetadataValue.text(KINDS[result.kind].label),
        "figures": table_metadata(
            ["figure", "value and 95 % interval"], [(name, str(estimate)) for name, estimate in metrics.items()]
        ),
        "notices": dg.MetadataValue.json(list(result.notices)),
        **({name: picture(name, plot(result)) for name, plot in drawn.items()} if plots.has_plots(result) else {}),
    }
