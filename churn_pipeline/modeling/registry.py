"""Models in MLflow. Nothing else talks to it.

A version is written here and named in the ledger; aliases are for people who look at MLflow, and no code reads them.
"""

from __future__ import annotations

import logging
import re
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from churn_pipeline import __version__
from churn_pipeline.core.atomic import PRIVATE_FOLDER
from churn_pipeline.core.checkout import commit
from churn_pipeline.core.errors import RegistryError
from churn_pipeline.core.json_text import json_text
from churn_pipeline.core.settings import Settings
from churn_pipeline.modeling.card import model_card
from churn_pipeline.modeling.fit import TrainingResult
from churn_pipeline.modeling.package import Flavour, schema_of
from churn_pipeline.modeling.plots import write_plots
from churn_pipeline.modeling.promote import GateDecision

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput, Metric

    from mlflow import MlflowClient

EXPERIMENT = "churn-pipeline"
# What MLflow's tables hold of a description or a tag. SQLite keeps any length; PostgreSQL refuses the version.
_LONGEST_TEXT = 5000
_GOES_ON = "\n\n(goes on in model_card.md of the run)"
_CODE = "code"
# What MLflow calls the use that was made of a slice. Its page of a run shows the first.
_CONTEXTS = {"refit_train": "training", "test": "testing", "train": "training of the judged twin"}
# A server that is there says so in milliseconds. One that takes requests and stays silent costs this much each time somebody needs it,
# where MLflow's own patience is the longest upload, times its attempts.
_SILENCE_SECONDS = 5
# Where MLflow's tables hold the place of files.
_PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "storage_location"),
)


def register(
    result: TrainingResult,
    verdict: GateDecision,
    fingerprints: Mapping[str, str],
    tracking_uri: str,
    artifact_root: Path | None,
    tags: Mapping[str, str] | None = None,
    beside: Mapping[str, str] | None = None,
    *,
    began: datetime,
    who: str,
) -> str:
    """Logs a training and registers its model under the target's name, promoted or not.

    Args:
        result: of the training.
        verdict: of the gate, kept as tags of the version.
        fingerprints: of the data, by name.
        tracking_uri: SQLite file or server.
        artifact_root: where files go; None leaves it to the server.
        tags: further tags of the run.
        beside: texts to store with the version, by file name.
        began: when the training began, which is when its run does.
        who: on whose behalf.

    Returns:
        The version.

    Raises:
        RegistryError: MLflow cannot be written to.
    """
    from mlflow.entities import Param
    from mlflow.models import Model

    name = result.target.name
    with _quiet(), _reported(tracking_uri), tempfile.TemporaryDirectory() as scratch:
        client = _client(tracking_uri)
        folder = Path(scratch) / "model"
        plots = write_plots(result, Path(scratch) / "plots")
        result.model.save(folder)
        for name_beside, text in (beside or {}).items():
            (folder / name_beside).write_text(text, encoding="utf-8")
        experiment = _experiment(client, tracking_uri, artifact_root)
        source = _source()
        # Not through mlflow.start_run, which begins now, and notes paths of this machine and whatever repository they lie in.
        run_id = client.create_run(
            experiment,
            start_time=int(began.timestamp() * 1000),
            run_name=f"{name} {result.training_monday}",
            tags={
                "target": name,
                "training_monday": str(result.training_monday),
                **source,
                "mlflow.user": who,
                **(tags or {}),
            },
        ).info.run_id
        with _ended(client, run_id):
            params = {key: str(value) for key, value in _params(result, fingerprints).items()}
            client.log_batch(run_id, params=[Param(key, value) for key, value in params.items()])
            for plot in plots:
                client.log_artifact(run_id, str(plot), "plots")
            client.log_dict(run_id, _details(result, verdict, fingerprints), "training.json")
            model = client.create_logged_model(
                experiment, name=name, source_run_id=run_id, tags=source, params=params, model_type=result.kind
            )
            logged = Model.log(
                artifact_path=None,
                name=name,
                flavor=Flavour,
                run_id=run_id,
                model_id=model.model_id,
                model=result.model,
                folder=folder,
                # It would load and run the version here, and only warn if that failed.
                validate_serving_input=False,
            )
            datasets = _datasets(result, fingerprints)
            client.log_inputs(run_id, list(datasets.values()))
            client.log_batch(run_id, metrics=_metrics(result, run_id, model.model_id, datasets.get("test")))
            if not client.search_registered_models(f"name = '{name}'"):
                client.create_registered_model(
                    name, description=f"The probability that a customer {result.target.question}."
                )
            facts = {
                "verdict": "promoted" if verdict.promoted else "refused",
                "reason": _shortened(verdict.reason, " ..."),
                "numbers": json_text(verdict.numbers, sort_keys=True),
                "training_monday": str(result.training_monday),
                "kind": result.kind,
                "fingerprint": result.model.fingerprint,
            }
            version = str(
                client.create_model_version(
                    name, logged.model_uri, run_id, tags=facts, model_id=logged.model_id
                ).version
            )
            # By this MLflow's page of the model knows its version.
            versions = json_text([{"name": name, "version": version}])
            client.set_logged_model_tags(model.model_id, {"mlflow.modelVersions": versions})
            card = model_card(result, verdict, fingerprints, version)
            client.log_text(run_id, card, "model_card.md")
            client.update_model_version(name, version, description=_shortened(card, _GOES_ON))
    return version


@contextmanager
def _ended(client: MlflowClient, run_id: str) -> Iterator[None]:
    """Ends a run when the training has ended, as failed if it has."""
    status = "FAILED"
    try:
        yield
        status = "FINISHED"
    finally:
        client.set_terminated(run_id, status)


def _source() -> dict[str, str]:
    """What ran, as MLflow's tags: the command and the commit, and no path of this machine."""
    tags = {"mlflow.source.name": "churn", "mlflow.source.type": "LOCAL", "churn_pipeline": __version__}
    if (running := commit()) is not None:
        tags["mlflow.source.git.commit"] = running.hash
        tags["mlflow.source.git.dirty"] = str(running.is_changed).lower()
    return tags


def _datasets(result: TrainingResult, fingerprints: Mapping[str, str]) -> dict[str, DatasetInput]:
    """What was learned and judged from, by slice: what it is called, its columns, how many rows, and a digest that is equal where the data
    are. No rows, and no place where any lie."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    catalogue, target = result.model.catalogue, result.target
    schema = json_text({"mlflow_colspec": schema_of(catalogue).to_dict()})
    datasets = {}
    for name, context in _CONTEXTS.items():
        if (fact := result.slices.get(name)) is None:
            continue
        identity = [target.name, catalogue.mart, catalogue.names, name, fact.first, fact.last, fact.rows, fingerprints]
        dataset = Dataset(
            name=f"{catalogue.mart} {fact.first} to {fact.last}",
            # MLflow's column holds 36 characters.
            digest=sha256(json_text(identity, sort_keys=True).encode()).hexdigest()[:32],
            source_type="code",
            source=json_text({"tags": {"mart": catalogue.mart, "snapshot_dates": f"{fact.first} to {fact.last}"}}),
            schema=schema,
            profile=json_text(
                {
                    "num_rows": fact.rows,
                    "num_elements": fact.rows * (len(catalogue) + 1),
                    "customers": fact.customers,
                    "positives": fact.positives,
                }
            ),
        )
        datasets[name] = DatasetInput(dataset, [InputTag("mlflow.data.context", context)])
    return datasets


def artifacts_of(settings: Settings) -> Path | None:
    """Where the files of versions go: None where a tracking server was told where to keep them. A database that is named as the tracking
    store was told nothing, and MLflow would take the folder that a command is started in."""
    return None if settings.tracking_uri.startswith("http") else settings.mlflow_artifacts


def files(target: str, version: str, tracking_uri: str) -> dict[str, bytes]:
    """Reads the files of a registered version, as `ScoringModel.from_files` takes them. The code that lies with them is for MLflow.

    Raises:
        RegistryError: MLflow cannot be reached, or has no such version.
    """
    folder = _folder_beside(target, version, tracking_uri)
    if folder is not None:
        with suppress(OSError):
            return _contents(folder)

    import mlflow

    with _quiet(), _reported(tracking_uri), tempfile.TemporaryDirectory() as scratch:
        _client(tracking_uri, must_exist=True)
        return _contents(Path(mlflow.artifacts.download_artifacts(f"models:/{target}/{version}", dst_path=scratch)))


def _folder_beside(target: str, version: str, tracking_uri: str) -> Path | None:
    """Where the files of a version lie, when MLflow is a SQLite file on this machine that says so and they are there.

    MLflow takes more than a second to be imported and to look through its tables, on every Monday, to answer just that. Where anything is not as
    it usually is, it is asked all the same, and says what is wrong.
    """
    database = Path(tracking_uri.removeprefix("sqlite:///"))
    if not tracking_uri.startswith("sqlite:///") or not version.isdecimal():
        return None
    try:
        with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as con:
            places = con.execute(
                "select storage_location from model_versions where name = ? and version = ? and status = 'READY' "
                "and current_stage != 'Deleted_Internal'",
                [target, int(version)],
            ).fetchall()
    except sqlite3.Error:
        return None
    if len(places) != 1 or not str(places[0][0]).startswith("file:///"):
        return None
    folder = Path(unquote(urlsplit(places[0][0]).path))
    return folder if (folder / "MLmodel").is_file() else None


def _contents(folder: Path) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).parts[0] != _CODE
    }


def ensure_holds(target: str, version: str, tracking_uri: str) -> None:
    """Makes sure that MLflow is the one the ledger was written beside, before anything new is registered.

    An empty store in place of a lost one would count versions from 1 again, and the ledger's "version 3" would be another model.

    Raises:
        RegistryError: it is not there, or does not know the version.
    """
    with _quiet(), _reported(tracking_uri):
        _client(tracking_uri, must_exist=True).get_model_version(target, version)


def set_aliases(target: str, aliases: Mapping[str, str | None], tracking_uri: str) -> None:
    """Points the aliases ``champion`` and ``challenger`` at versions, as the ledger says; None removes one.

    Raises:
        RegistryError: MLflow cannot be written to.
    """
    with _quiet(), _reported(tracking_uri):
        client = _client(tracking_uri, must_exist=True)
        for alias, version in aliases.items():
            if version is None:
                client.delete_registered_model_alias(target, alias)
            else:
                client.set_registered_model_alias(target, alias, version)


def follow_home(database: Path, artifact_root: Path) -> bool:
    """Makes an MLflow database that was moved or restored with its home point at the files that came with it.

    MLflow keeps absolute paths. A copy of a home would read its models from the original, and write new ones into it.

    Args:
        database: MLflow's SQLite file in the home; nothing happens where there is none.
        artifact_root: where its files lie now.

    Returns:
        Whether anything was changed.
    """
    if not database.exists():
        return False
    now = artifact_root.resolve().as_uri()
    try:
        with closing(sqlite3.connect(database)) as con, con:
            row = con.execute("select artifact_location from experiments where name = ?", [EXPERIMENT]).fetchone()
            if row is None:
                return False
            before = con.total_changes
            if row[0] != now:
                for table, column in _PLACES:
                    con.execute(
                        f"update {table} set {column} = ? || substr({column}, ?) where substr({column}, 1, ?) = ?",
                        [now, len(row[0]) + 1, len(row[0]), row[0]],
                    )
            # The experiment that MLflow makes for itself lies where a command was once started. Where it has runs, they have files there.
            con.execute(
                "update experiments set artifact_location = ? where experiment_id = 0 and artifact_location != ? "
                "and not exists (select 1 from runs where experiment_id = 0)",
                [f"{now}/default", f"{now}/default"],
            )
            return con.total_changes > before
    except sqlite3.Error:
        # Damaged, locked or read-only: whoever needs MLflow next is told so by MLflow itself.
        return False


def shown(tracking_uri: str) -> str:
    """The address of MLflow without the password that it may hold."""
    return re.sub(r"(?<=//)[^/@]*@", "***@", tracking_uri)


def _client(tracking_uri: str, *, must_exist: bool = False) -> MlflowClient:
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    import mlflow

    if tracking_uri.startswith("sqlite:///"):
        database = Path(tracking_uri.removeprefix("sqlite:///"))
        # MLflow would make a new, empty one.
        if must_exist and not database.exists():
            raise FileNotFoundError(f"{database} is not there")
        database.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    elif tracking_uri.startswith("http"):
        # Any answer will do: a proxy in front of it may not know the page.
        http_request(  # type: ignore[no-untyped-call]
            get_default_host_creds(tracking_uri),  # type: ignore[no-untyped-call]
            "/health",
            "GET",
            max_retries=0,
            timeout=_SILENCE_SECONDS,
            raise_on_status=False,
        )
    # Global, because the flavours log through the fluent interface, which has no other way to be told.
    mlflow.set_tracking_uri(tracking_uri)
    mlflow.set_registry_uri(tracking_uri)
    return mlflow.MlflowClient()


def _experiment(client: MlflowClient, tracking_uri: str, artifact_root: Path | None) -> str:
    if experiment := client.get_experiment_by_name(EXPERIMENT):
        return experiment.experiment_id
    if artifact_root is None:
        return client.create_experiment(EXPERIMENT)
    artifact_root.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    created = client.create_experiment(EXPERIMENT, artifact_root.resolve().as_uri())
    if tracking_uri.startswith("sqlite:///"):
        # MLflow has just made its own experiment too, in whatever folder the command was started.
        follow_home(Path(tracking_uri.removeprefix("sqlite:///")), artifact_root)
    return created


def _params(result: TrainingResult, fingerprints: Mapping[str, str]) -> dict[str, Any]:
    twin = {"twin_sha256": result.judged.twin.fingerprint} if result.judged is not None else {}
    return {
        **result.recipe.params,
        "kind": result.kind,
        "recipe": result.recipe.hash,
        "trees": result.n_trees,
        "device": result.model.device,
        "share_of_customers": f"{result.share:.4f}",
        "horizon_days": result.target.horizon_days,
        "stagger_weeks": result.target.stagger_weeks,
        "features": len(result.model.catalogue),
        "model_sha256": result.model.fingerprint,
        **twin,
        **{f"data_{name}": value for name, value in fingerprints.items()},
        **{f"{name}_mondays": f"{fact.first} to {fact.last}" for name, fact in result.slices.items()},
        **{f"{name}_rows": fact.rows for name, fact in result.slices.items()},
        **{f"{name}_positives": fact.positives for name, fact in result.slices.items()},
    }


def _metrics(result: TrainingResult, run_id: str, model_id: str, test: DatasetInput | None) -> list[Metric]:
    """Every figure with its interval, in the groups that MLflow's pages show them in. What is not defined (precision when nobody is
    flagged) is left out: MLflow would store a 0."""
    from mlflow.entities import Metric

    judged = result.judged
    if judged is None:
        return []
    estimates = {
        **{f"model/{metric}": value for metric, value in judged.metrics.items()},
        **{
            f"baselines/{name}_{metric}": value
            for name, by_metric in judged.baselines.items()
            for metric, value in by_metric.items()
        },
        **{
            f"differences/minus_{name}_{metric}": value
            for name, by_metric in judged.differences.items()
            for metric, value in by_metric.items()
        },
    }
    figures = {
        "business/recall_ceiling_at_flag": judged.business.recall_ceiling,
        "business/expected_recall_at_flag": judged.business.expected_recall,
        **{f"choice/log_loss_{kind}": loss for kind, loss in judged.choice.loss.items()},
    }
    for metric, value in estimates.items():
        figures |= {metric: value.value, f"{metric}_low": value.low, f"{metric}_high": value.high}
    now = int(time.time() * 1000)
    return [
        Metric(
            metric,
            figure,
            now,
            0,
            model_id=model_id,
            dataset_name=test.dataset.name if test else None,
            dataset_digest=test.dataset.digest if test else None,
            run_id=run_id,
        )
        for metric, figure in figures.items()
        if figure == figure
    ]


def _details(result: TrainingResult, verdict: GateDecision, fingerprints: Mapping[str, str]) -> dict[str, Any]:
    judged = result.judged
    return {
        "verdict": {"promoted": verdict.promoted, "reason": verdict.reason, "numbers": dict(verdict.numbers)},
        "kind": result.kind,
        "next_rung": result.next_rung,
        "recipe": result.recipe.to_json(),
        "fingerprints": dict(fingerprints),
        "notices": list(result.notices),
        "calibration": judged.calibration if judged else [],
        "importance": dict(result.importance),
        "business_targets": [
            {
                "metric": g.metric,
                "wanted": g.wanted,
                "reached": g.reached if g.reached == g.reached else None,
                "met": g.met,
            }
            for g in (judged.business.targets if judged else ())
        ],
    }


def _shortened(text: str, ending: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - len(ending)] + ending


@contextmanager
def _reported(tracking_uri: str) -> Iterator[None]:
    """Turns whatever MLflow, its database or its server fails with into one error that says where and, in a line, why."""
    from mlflow.exceptions import MlflowException
    from requests.exceptions import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, RequestException, SQLAlchemyError, OSError) as error:
        # The first cause is the telling one: "attempt to write a readonly database", where MLflow speaks of an autoflush.
        first: BaseException = error
        while first.__cause__ is not None:
            first = first.__cause__
        why = next((line for line in str(first).splitlines() if line.strip()), type(first).__name__)
        raise RegistryError(f"MLflow at {shown(tracking_uri)}: {shown(why)}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps MLflow's and Alembic's notes off stderr: hundreds of lines about migrations on first use, none of them for a person, and
    the stack of every database error that MLflow also raises."""
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    raises_too = logging.getLogger("mlflow.store.db.utils")
    raises_too.disabled = True
    try:
        yield
    finally:
        raises_too.disabled = False
        logging.disable(before)
