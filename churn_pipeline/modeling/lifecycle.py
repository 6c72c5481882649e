"""When a model is trained, whether it is used from then on, and which one is the model for a Monday."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any

import duckdb

from churn_pipeline import mondays
from churn_pipeline.contract import fingerprint
from churn_pipeline.errors import RefusedError
from churn_pipeline.features import frames
from churn_pipeline.modeling import ledger, registry
from churn_pipeline.modeling.catalogue import read_catalogue
from churn_pipeline.modeling.evaluate import Estimate
from churn_pipeline.modeling.fit import TrainingResult, fit
from churn_pipeline.modeling.ledger import LedgerRow
from churn_pipeline.modeling.model import ScoringModel
from churn_pipeline.modeling.promote import Verdict, decide
from churn_pipeline.modeling.slices import earliest_training_monday, refit_slices, twin_slices
from churn_pipeline.modeling.targets import TARGETS, Target
from churn_pipeline.settings import Settings


@dataclass(frozen=True)
class Trained:
    """What one training came to: the row it wrote into the ledger, and what it found out."""

    row: LedgerRow
    result: TrainingResult


@dataclass
class ModelCache:
    """Registered models, each loaded once a run."""

    settings: Settings
    _loaded: dict[tuple[str, str], ScoringModel] = field(default_factory=dict)

    def load(self, target: str, version: str) -> ScoringModel:
        if (target, version) not in self._loaded:
            self._loaded[target, version] = registry.load(
                target, version, self.settings.tracking_uri, threads=self.settings.threads
            )
        return self._loaded[target, version]


def train(
    con: duckdb.DuckDBPyConnection,
    settings: Settings,
    target: Target,
    training_monday: date,
    *,
    run_id: str,
    who: str,
    progress: Callable[[str], None],
) -> Trained:
    """Trains as of one training Monday, registers the version and writes the verdict into the ledger.

    Args:
        con: the warehouse, with marts built up to ``training_monday``.
        settings: thresholds and where MLflow is.
        target: what is predicted.
        training_monday: T; nothing that was not known by then is used.
        run_id: the run that trains.
        who: on whose behalf, for the ledger.
        progress: called with a sentence as the work goes on.

    Raises:
        RefusedError: there can be no model: too little time, or too few positive customers.
    """
    first = frames.first_snapshot(con, target)
    if first is None:
        raise RefusedError(f"no model: {target.name} has no snapshot to learn from")
    twin, refit = (slices(target, training_monday, first) for slices in (twin_slices, refit_slices))
    whole = [span for span in (twin.calibration, twin.test, refit.calibration) if span is not None]
    frame = frames.training_frame(con, target, training_monday, whole=whole, first=first)
    catalogue = read_catalogue(settings.dbt_project / "models" / "marts" / f"{target.mart}.yml")
    histories = frames.histories(con, training_monday, trust_static_plan=settings.trust_static_plan)
    progress(f"{target.name}: training as of {training_monday} on {len(frame):,} rows")
    result = fit(target, frame, training_monday, catalogue, settings, histories)
    for notice in result.notices:
        progress(f"{target.name}: {notice}")

    reigning = ledger.model_for(con, target.name, training_monday)
    champion = ModelCache(settings).load(target.name, reigning.version) if reigning and reigning.version else None
    verdict = decide(result, champion, settings)
    data = fingerprint(con, training_monday)
    version = registry.register(
        result,
        verdict,
        {"data": data},
        settings.tracking_uri,
        # A tracking server keeps its artifacts where it was told to.
        None if settings.mlflow_tracking_uri else settings.mlflow_home / "artifacts",
        tags={"run_id": run_id},
    )
    row = ledger.append(
        con,
        LedgerRow(
            target=target.name,
            version=version,
            promoted=verdict.promoted,
            effective_from=training_monday,
            labels_closed_by=training_monday,
            reason=verdict.reason,
            who=who,
            metrics=_figures(result, verdict) | {"data_fingerprint": data},
            run_id=run_id,
            recorded_at=settings.clock(),
        ),
    )
    reigning = ledger.model_for(con, target.name, date.max)
    registry.set_aliases(
        target.name,
        {"champion": reigning.version if reigning else None, "challenger": None if verdict.promoted else version},
        settings.tracking_uri,
    )
    progress(f"{target.name}: version {version}, {'promoted' if verdict.promoted else 'refused'}: {verdict.reason}")
    return Trained(row, result)


def note_refusal(
    con: duckdb.DuckDBPyConnection,
    settings: Settings,
    target: Target,
    training_monday: date,
    reason: str,
    *,
    run_id: str,
    who: str,
) -> LedgerRow:
    """Writes into the ledger that a training ended without a model."""
    return ledger.append(
        con,
        LedgerRow(
            target=target.name,
            version=None,
            promoted=False,
            effective_from=training_monday,
            labels_closed_by=training_monday,
            reason=reason,
            who=who,
            metrics={"data_fingerprint": fingerprint(con, training_monday)},
            run_id=run_id,
            recorded_at=settings.clock(),
        ),
    )


def settled(con: duckdb.DuckDBPyConnection, target: Target, training_monday: date) -> LedgerRow | None:
    """The last word on a training Monday, if it needs no further training.

    A registered version is reused, whatever became of it. That there could be no model holds for the data it was said of: more
    history makes it worth another look.
    """
    tried = ledger.attempts(con, target.name, training_monday)
    if not tried:
        return None
    last = tried[-1]
    if last.version is None and last.metrics.get("data_fingerprint") != fingerprint(con, training_monday):
        return None
    return last


def training_mondays(snapshots: list[date], settings: Settings) -> list[date]:
    """The training Mondays that some Mondays need, oldest first: for each the newest on the grid that is not after it."""
    return sorted({mondays.training_monday(day, settings.training_cadence_weeks) for day in snapshots})


def models_for(con: duckdb.DuckDBPyConnection, settings: Settings, snapshot_date: date) -> dict[str, str]:
    """The version of the model for a Monday, by target; a target that is not required is absent when there is none.

    Raises:
        RefusedError: there is none for a required target; the message says why, and from which Monday there could be one.
    """
    chosen = {}
    for target in TARGETS.values():
        row = ledger.model_for(con, target.name, snapshot_date)
        if row is not None and row.version is not None:
            chosen[target.name] = row.version
        elif target.required:
            raise RefusedError(_why_none(con, settings, target, snapshot_date))
    return chosen


def _why_none(con: duckdb.DuckDBPyConnection, settings: Settings, target: Target, snapshot_date: date) -> str:
    said = f"there is no model {target.name} for {snapshot_date}"
    training_monday = mondays.training_monday(snapshot_date, settings.training_cadence_weeks)
    first = frames.first_snapshot(con, target)
    if first is None:
        return f"{said}: there is no snapshot to learn from"
    earliest = earliest_training_monday(first, target, settings.training_cadence_weeks)
    if earliest > snapshot_date:
        return f"{said}: its labels need time to close; there could be one from {earliest}"
    tried = ledger.attempts(con, target.name, training_monday)
    if not tried:
        return f"{said}, and none was trained as of {training_monday}"
    return f"{said}: {tried[-1].reason}"


def _figures(result: TrainingResult, verdict: Verdict) -> dict[str, Any]:
    """What a model was judged by, as JSON values."""
    return {
        "model": _values(result.metrics),
        "baselines": {name: _values(found) for name, found in result.baselines.items()},
        "differences": {name: _values(found) for name, found in result.differences.items()},
        "gate": _plain(verdict.numbers),
        "business": _plain(asdict(result.business)),
        "notices": list(result.notices),
    }


def _values(estimates: Mapping[str, Estimate]) -> dict[str, Any]:
    return {name: _plain(asdict(found)) for name, found in estimates.items() if found.defined}


def _plain(value: Any) -> Any:
    """JSON knows no NaN, which is what a figure is where nobody was flagged, or too few resamples define it."""
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return None if value != value else value
