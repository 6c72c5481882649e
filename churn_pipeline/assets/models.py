"""Models: one asset a target, trained when the Mondays of a run need a training Monday that has none yet."""

import base64
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg

from churn_pipeline.assets.common import ONE_RUN, model_key
from churn_pipeline.errors import RefusedError
from churn_pipeline.modeling import ledger, lifecycle, plots
from churn_pipeline.modeling.targets import TARGETS, Target
from churn_pipeline.resources.home import Home, expected_errors, partition_mondays, table_metadata
from churn_pipeline.warehouse import connect

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PLOTS = {"calibration": plots.calibration, "precision and recall": plots.precision_recall}

# Run tag: train although the training Monday already has a model.
FORCE_TAG = "churn/train"


def model_assets(keys: Mapping[str, dg.AssetKey], weekly: dg.PartitionsDefinition) -> list[dg.AssetsDefinition]:
    """The model assets.

    Args:
        keys: asset keys of the dbt models, by name.
        weekly: the partition.
    """
    return [_model_asset(target, keys[target.mart], weekly) for target in TARGETS.values()]


def _model_asset(target: Target, mart: dg.AssetKey, weekly: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    @dg.asset(
        key=model_key(target.name),
        deps=[mart],
        group_name="models",
        description=f"The probability that a customer {target.question}. Trained on a fixed grid of Mondays, judged on weeks it "
        "never saw, registered in MLflow, and used from then on if it passes its gate.",
        kinds={"xgboost", "mlflow"},
        partitions_def=weekly,
        backfill_policy=ONE_RUN,
    )
    def model(context: dg.AssetExecutionContext, home: dg.ResourceParam[Home]) -> dg.MaterializeResult:
        settings = home.settings
        forced = FORCE_TAG in context.run.tags
        who = context.run.tags.get(FORCE_TAG, "schedule")
        rows: list[tuple[Any, ...]] = []
        seen: dict[str, Any] = {}
        with expected_errors(), connect(settings) as con:
            ledger.create(con)
            for monday in lifecycle.training_mondays(partition_mondays(context), settings):
                known = None if forced else lifecycle.settled(con, target, monday)
                if known:
                    rows.append((monday, known.version, known.promoted, "settled before", known.reason))
                    continue
                try:
                    trained = lifecycle.train(
                        con, settings, target, monday, run_id=context.run.run_id, who=who, progress=context.log.info
                    )
                except RefusedError as refusal:
                    # No model is an answer, not a failure: scoring refuses the Mondays that need one, with this reason.
                    context.log.warning(f"{target.name} as of {monday}: {refusal}")
                    lifecycle.note_refusal(
                        con, settings, target, monday, str(refusal), run_id=context.run.run_id, who=who
                    )
                    rows.append((monday, "", False, "no model", str(refusal)))
                    continue
                rows.append((monday, trained.row.version, trained.row.promoted, "trained", trained.row.reason))
                seen = _figures(trained)
        return dg.MaterializeResult(
            metadata={
                "models": table_metadata(["training Monday", "version", "promoted", "what", "reason"], rows),
                "MLflow": dg.MetadataValue.text(settings.tracking_uri),
                **seen,
            }
        )

    return model


def _figures(trained: lifecycle.Trained) -> dict[str, Any]:
    metrics = trained.result.metrics
    return {
        "figures": table_metadata(
            ["figure", "value and 95 % interval"], [(name, str(found)) for name, found in metrics.items()]
        ),
        "notices": dg.MetadataValue.json(list(trained.result.notices)),
        **{name: _picture(name, plot(trained.result)) for name, plot in _PLOTS.items()},
    }


def _picture(name: str, figure: "Figure") -> dg.MarkdownMetadataValue:
    """A plot inside the metadata, so that it is seen where the asset is looked at; the full size lies in MLflow."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=70, bbox_inches="tight")
    return dg.MetadataValue.md(f"![{name}](data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()})")
