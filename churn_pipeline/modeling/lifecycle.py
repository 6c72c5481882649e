"""When a model is trained, whether it is used from then on, and which one is the model for a Monday."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Literal

import duckdb
import pandas as pd

from churn_pipeline.contract import fingerprint
from churn_pipeline.core import calendar
from churn_pipeline.core.errors import InputError, RefusedError, RegistryError, UnbuiltError
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.targets import TARGETS, Target, target_named
from churn_pipeline.features import frames
from churn_pipeline.features.catalogue import Catalogue, History, read_catalogue
from churn_pipeline.features.plan import code_version, needed_snapshots, read_beginning, unbuilt
from churn_pipeline.features.splits import Span, earliest_training_monday, refit_slices, twin_slices
from churn_pipeline.modeling import ledger, registry
from churn_pipeline.modeling.evaluate import Estimate
from churn_pipeline.modeling.fit import TrainingResult, fit, fit_registered
from churn_pipeline.modeling.ledger import DECISION, LedgerRow
from churn_pipeline.modeling.model import ScoringModel
from churn_pipeline.modeling.promote import GateDecision, decide
from churn_pipeline.modeling.reference import REFERENCE_FILE
from churn_pipeline.modeling.reference_week import reference_of
from churn_pipeline.modeling.store import DIGEST, REFERENCE_DIGEST, ModelStore, text_digest

CHAMPION = "champion"


@dataclass(frozen=True)
class Trained:
    """What one training came to: the row it wrote into the ledger, and what it found out."""

    row: LedgerRow
    result: TrainingResult


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
        RegistryError: MLflow is gone, is read-only, or is not the one that holds the ledger's models.
        UnbuiltError: the marts do not hold all that it learns from.
    """
    target = frames.settled(con, target)
    for row in reversed(ledger.history(con, target.name)):
        if row.version is not None:
            registry.ensure_holds(target.name, row.version, settings.tracking_uri)
            break
    material = _material(con, settings, target, training_monday)
    progress(f"{target.name}: training as of {training_monday} on {len(material.frame):,} rows")
    result = fit(target, material.frame, training_monday, material.catalogue, settings, material.histories)
    for notice in result.notices:
        progress(f"{target.name}: {notice}")

    models = ModelStore(settings)
    verdict = decide(result, _comparison_model(con, settings, target, training_monday, models, progress), settings)
    data = fingerprint(con, training_monday)
    spans = (result.slices["refit_train"], result.slices["refit_calibration"])
    try:
        reference = reference_of(
            con, result.model, [Span(span.first, span.last) for span in spans], result.importance
        ).to_json()
    except InputError as error:
        # A model without one scores as well; its drift is not judged.
        progress(f"{target.name}: no reference for drift: {error}")
        reference = None
    version = registry.register(
        result,
        verdict,
        {"data": data},
        settings.tracking_uri,
        # A tracking server keeps its artifacts where it was told to.
        None if settings.mlflow_tracking_uri else settings.mlflow_artifacts,
        tags={"run_id": run_id},
        temp_path={REFERENCE_FILE: reference} if reference is not None else {},
    )
    models.keep(target.name, version, result.model, reference)
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
            metrics=_figures(result, verdict)
            | {
                "data_fingerprint": data,
                "asked_of": _asked_of(settings),
                DIGEST: result.model.digest,
                **({REFERENCE_DIGEST: text_digest(reference)} if reference is not None else {}),
            },
            run_id=run_id,
            recorded_at=settings.clock(),
        ),
    )
    reigning = ledger.model_for(con, target.name, date.max)
    registry.set_aliases(
        target.name,
        {CHAMPION: reigning.version if reigning else None, "challenger": None if verdict.promoted else version},
        settings.tracking_uri,
    )
    progress(f"{target.name}: version {version}, {'promoted' if verdict.promoted else 'refused'}: {verdict.reason}")
    standing = ledger.model_for(con, target.name, training_monday)
    if standing is not None and standing.is_decision and standing.effective_from == training_monday:
        progress(
            f"{target.name}: version {standing.version} is in force from {training_monday} on nevertheless, because {standing.who} "
            f"decided so: {standing.reason}"
        )
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
            metrics={"data_fingerprint": fingerprint(con, training_monday), "asked_of": _asked_of(settings)},
            run_id=run_id,
            recorded_at=settings.clock(),
        ),
    )


def note_proposal(
    con: duckdb.DuckDBPyConnection, settings: Settings, monday: date, kind: str, reason: str, *, run_id: str
) -> None:
    """Asks in the ledger for a training of every target as of a Monday off the grid; the run of that Monday makes it."""
    for target in TARGETS:
        ledger.append(
            con,
            LedgerRow(
                target=target,
                version=None,
                promoted=False,
                effective_from=monday,
                labels_closed_by=monday,
                reason=f"extra training asked for: {reason}",
                who="monitoring",
                metrics={ledger.PROPOSAL: kind},
                run_id=run_id,
                recorded_at=settings.clock(),
            ),
        )


def chain(con: duckdb.DuckDBPyConnection, settings: Settings, target: Target, until: date) -> list[date]:
    """Every training Monday of a target up to a Monday, oldest first, from the first at which there could be a model.

    That are those of the grid, and those that monitoring asked for in the ledger. Where it begins depends on the data alone, never on
    the Monday that somebody asked for first.
    """
    first = read_beginning(con).first_monday(until)
    if first is None:
        return []
    start = earliest_training_monday(first, frames.settled(con, target), settings.training_cadence_weeks)
    extra = {row.labels_closed_by for row in ledger.history(con, target.name) if row.is_proposal}
    return [
        day
        for day in calendar.mondays(start, until + calendar.WEEK)
        if day in extra or day == calendar.training_monday(day, settings.training_cadence_weeks)
    ]


def next_training(con: duckdb.DuckDBPyConnection, settings: Settings, target: Target, monday: date) -> date | None:
    """The training Monday to train next so that the model for a Monday is settled; None when it is.

    That is the newest one on the grid; where its model is refused, the one before it, and so on to a model that is in force. Each
    verdict depends on its training Monday alone, so the answer is the same whatever was trained before.

    Where a person's version is in force it is the oldest one: each is judged against that version until one takes its place, so they
    are made in their order.

    A registered version settles its training Monday. That there could be no model holds for the data it was said of: other facts
    make it worth another look.
    """
    by_monday: dict[date, list[LedgerRow]] = {}
    for row in ledger.history(con, target.name):
        by_monday.setdefault(row.labels_closed_by, []).append(row)
    reigning = ledger.model_for(con, target.name, monday)
    days = _open_chain(con, settings, target, monday)
    for day in days if reigning is not None and reigning.is_decision else days[::-1]:
        rows = [row for row in by_monday.get(day, []) if row.is_training]
        if not rows or (rows[-1].version is None and _may_be_otherwise(con, settings, rows[-1])):
            return day
    return None


def _open_chain(con: duckdb.DuckDBPyConnection, settings: Settings, target: Target, monday: date) -> list[date]:
    """The training Mondays that may still decide about the model for a Monday, oldest first: from that of the one in force on."""
    reigning = ledger.model_for(con, target.name, monday)
    return [day for day in chain(con, settings, target, monday) if reigning is None or day >= reigning.effective_from]


def _asked_of(settings: Settings) -> dict[str, Any]:
    """The settings that decide whether there can be a model."""
    return settings.model_dump(
        include={"train_on_touched", "trust_static_plan", "min_train_churners", "min_test_churners", "history_weeks"}
    )


def _may_be_otherwise(con: duckdb.DuckDBPyConnection, settings: Settings, refusal: LedgerRow) -> bool:
    said_of = (refusal.metrics.get("data_fingerprint"), refusal.metrics.get("asked_of"))
    return said_of != (fingerprint(con, refusal.labels_closed_by), _asked_of(settings))


def history_needed(
    con: duckdb.DuckDBPyConnection, settings: Settings, snapshots: Sequence[date], *, forced: bool = False
) -> list[date]:
    """Training Mondays whose history the marts have to hold for some Mondays to be scored: those that are still to be trained, all that
    refusals can lead back to, and the one before, whose model a new one is compared with.

    A refusal leads back to the model in force; where there is none, to where the data begin. Fewer, and a run could come to a training
    that it has no history for.

    Args:
        con: the warehouse, after landing.
        settings: the home.
        snapshots: the Mondays.
        forced: the training Monday of the newest of them is trained as well, whether or not it has a model.
    """
    cadence = settings.training_cadence_weeks
    due = {calendar.training_monday(max(snapshots), cadence)} if forced else set()
    for target in TARGETS.values():
        for day in snapshots:
            if next_training(con, settings, target, day) is not None:
                due |= set(_open_chain(con, settings, target, day))
    return sorted({*due, *(day - cadence * calendar.WEEK for day in due)})


def models_for(
    con: duckdb.DuckDBPyConnection, settings: Settings, snapshot_date: date, *, replayed: bool = False
) -> dict[str, LedgerRow]:
    """The model for a Monday, by target; a target that is not required is absent when there is none.

    Args:
        con: the warehouse.
        settings: the home.
        snapshot_date: the Monday.
        replayed: it is a past one. This Monday's list does not wait for a training that could not be made, and takes the model before.
            A past one would keep another model than the one for it, and no later run would come back to it.

    Raises:
        RefusedError: there is none for a required target, or, replayed, a training that decides about one is still to be made; the
            message says why, and from which Monday there could be one.
    """
    chosen = {}
    for target in TARGETS.values():
        row = ledger.model_for(con, target.name, snapshot_date)
        due = next_training(con, settings, target, snapshot_date) if replayed else None
        if due is not None and (row is None or row.effective_from < due):
            raise RefusedError(
                f"there is no model {target.name} for {snapshot_date}: its training as of {due} was not made. The check of "
                f"models/{target.name} says why; run this Monday again once it can be"
            )
        if row is not None:
            chosen[target.name] = row
        elif target.required:
            raise RefusedError(_why_none(con, settings, target, snapshot_date))
    return chosen


@dataclass(frozen=True)
class _Material:
    """What the models of one training Monday are made from."""

    frame: pd.DataFrame
    catalogue: Catalogue
    histories: frozenset[History]


def _material(con: duckdb.DuckDBPyConnection, settings: Settings, target: Target, training_monday: date) -> _Material:
    target = frames.settled(con, target)
    in_mart = frames.first_snapshot(con, target)
    if in_mart is None:
        raise RefusedError(f"no model: {target.name} has no snapshot to learn from")
    # Counted from the training Monday, not from what happens to be in the mart, so that a model is the same whenever it is made.
    # Whoever steps back over many refusals would come to where a fresh home's marts begin, and an old one's go on.
    needed = needed_snapshots([training_monday], settings.history_weeks, read_beginning(con))
    if missing := unbuilt(con, needed, code_version(settings.dbt_project)):
        raise UnbuiltError(
            f"{len(missing)} of the {len(needed)} Mondays from {needed[0]} on are not in the feature marts as they should be, the first is "
            f"{min(missing)}; the next run builds them"
        )
    first = max(in_mart, needed[0])
    twin, refit = (slices(target, training_monday, first) for slices in (twin_slices, refit_slices))
    whole = [span for span in (twin.calibration, twin.test, refit.calibration) if span is not None]
    return _Material(
        frames.training_frame(
            con, target, training_monday, whole=whole, first=first, drop_touched=not settings.train_on_touched
        ),
        read_catalogue(settings.dbt_project / "models" / "marts" / f"{target.mart}.yml"),
        frames.histories(con, training_monday, trust_static_plan=settings.trust_static_plan),
    )


def _comparison_model(
    con: duckdb.DuckDBPyConnection,
    settings: Settings,
    target: Target,
    training_monday: date,
    models: ModelStore,
    progress: Callable[[str], None],
) -> ScoringModel | None:
    """The model that a new one has to stand up to: what a person put in force before, else the one of the training Monday before.

    Not whatever is in force: that was promoted against the one before it, and so on, so every verdict would hang on all trainings
    since the data began, and on where somebody started. The former training's model is a function of the data. It is read from
    the registry or, where nobody needed it so far, fitted again to the same bits.
    """
    # What a person decides about this very Monday stands on it whatever the verdict, and is written before or after the training.
    reigning = ledger.model_for(con, target.name, training_monday - calendar.WEEK)
    if reigning is not None and reigning.is_decision:
        return models.load(reigning)
    # On the grid, also for an extra training: whether there was another extra one before it is an accident of one home.
    former = calendar.training_monday(training_monday - calendar.WEEK, settings.training_cadence_weeks)
    if former not in chain(con, settings, target, former):
        return None
    registered = [row for row in ledger.attempts(con, target.name, former) if row.version is not None]
    if registered:
        return models.load(registered[-1])
    try:
        made = _material(con, settings, target, former)
        progress(f"{target.name}: fitting the model of {former} to compare with")
        return fit_registered(target, made.frame, former, made.catalogue, settings, made.histories)
    except RefusedError:
        # There could be no model then, so there is nothing to compare with.
        return None


def models_named(con: duckdb.DuckDBPyConnection, settings: Settings, text: str) -> dict[str, LedgerRow]:
    """The models that a person names, by target.

    Args:
        con: the warehouse.
        settings: the home.
        text: ``champion`` for the models of the latest Monday; a version for that version of every target; or
            ``TARGET=VERSION``, separated by commas, with today's model for targets not named.

    Raises:
        InputError: a target or a version that there is none of.
        RefusedError: there is no model of today for a required target.
    """
    latest = calendar.latest_monday(settings.clock(), settings.timezone)
    if text != CHAMPION and "=" not in text:
        text = ",".join(f"{name}={text}" for name in TARGETS)
    wanted = {} if text == CHAMPION else dict(part.strip().split("=", 1) for part in text.split(",") if "=" in part)
    chosen = (
        {}
        if set(wanted) >= {name for name, target in TARGETS.items() if target.required}
        else models_for(con, settings, latest)
    )
    return chosen | {target_named(name).name: registered(con, name, version) for name, version in wanted.items()}


def registered(con: duckdb.DuckDBPyConnection, target: str, version: str) -> LedgerRow:
    """The ledger's row of the training that made a version.

    Raises:
        InputError: there is no such version; the message names those there are.
    """
    rows = [row for row in ledger.history(con, target_named(target).name) if row.version and row.is_training]
    for row in rows:
        if row.version == version:
            return row
    known = ", ".join(str(row.version) for row in rows) or "none"
    raise InputError(f"{target} has no version {version}; the ledger knows {known}")


def decide_by_hand(
    con: duckdb.DuckDBPyConnection,
    settings: Settings,
    target: str,
    version: str | None,
    *,
    decision: Literal["rollback", "promote"],
    reason: str,
    who: str,
) -> tuple[LedgerRow, str | None]:
    """Puts a version in force from the latest Monday on, by a row in the ledger; earlier Mondays keep their model.

    Args:
        con: the warehouse.
        settings: the home.
        target: name of the target.
        version: which; for a rollback None takes the one that was in force before.
        decision: what is done, for the ledger.
        reason: why, in the person's words.
        who: the person.

    Returns:
        The row that was appended, and what a person should know.

    Raises:
        InputError: no such target or version, or no reason.
        RefusedError: the version is in force already, or there is none to roll back to.
    """
    if not reason.strip():
        raise InputError("say why: the reason is kept in the ledger, beside every model that is decided about")
    latest = calendar.latest_monday(settings.clock(), settings.timezone)
    reigning = ledger.model_for(con, target_named(target).name, latest)
    if version is None:
        # By training Monday: two rollbacks in a row go back twice, and do not swing between two versions.
        before = [
            row
            for row in ledger.history(con, target)
            if row.promoted and reigning is not None and row.labels_closed_by < reigning.labels_closed_by
        ]
        if not before:
            raise RefusedError(f"{target} has no earlier model to roll back to; 'churn models' lists what there is")
        version = max(before, key=lambda row: row.labels_closed_by).version
    assert version is not None
    if reigning is not None and reigning.version == version:
        raise RefusedError(f"{target} version {version} is in force already, since {reigning.effective_from}")
    made = registered(con, target, version)
    # A version that cannot be loaded is found out here and not on Monday morning.
    ModelStore(settings).load(made)
    row = ledger.append(
        con,
        LedgerRow(
            target=target,
            version=version,
            promoted=True,
            effective_from=latest,
            labels_closed_by=made.labels_closed_by,
            reason=reason.strip(),
            who=who,
            metrics=dict(made.metrics)
            | {DECISION: decision, "instead_of": reigning.version if reigning is not None else None},
            recorded_at=settings.clock(),
        ),
    )
    try:
        registry.set_aliases(target, {CHAMPION: version}, settings.tracking_uri)
    except RegistryError as error:
        # The ledger decides; the alias is for people who look at MLflow, and the next training writes it again.
        return row, f"the alias {CHAMPION} in MLflow was not moved: {error}"
    return row, None


def _why_none(con: duckdb.DuckDBPyConnection, settings: Settings, target: Target, snapshot_date: date) -> str:
    statement = f"there is no model {target.name} for {snapshot_date}"
    training_monday = calendar.training_monday(snapshot_date, settings.training_cadence_weeks)
    first = read_beginning(con).first_monday(snapshot_date)
    if first is None:
        return f"{statement}: {_nothing_to_learn_from(snapshot_date)}"
    earliest = earliest_training_monday(first, frames.settled(con, target), settings.training_cadence_weeks)
    if earliest > snapshot_date:
        return f"{statement}: its labels need time to close; there could be one from {earliest}"
    tried = ledger.attempts(con, target.name, training_monday)
    if not tried:
        return f"{statement}, and none was trained as of {training_monday}"
    return f"{statement}: {tried[-1].reason}"


def _nothing_to_learn_from(monday: date) -> str:
    return f"at {monday} there is neither a usage event nor a departure to learn from"


def _figures(result: TrainingResult, verdict: GateDecision) -> dict[str, Any]:
    """What a model was judged by, as JSON values."""
    return {
        "model": _values(result.metrics),
        "baselines": {name: _values(estimates) for name, estimates in result.baselines.items()},
        "differences": {name: _values(estimates) for name, estimates in result.differences.items()},
        "gate": _plain(verdict.numbers),
        "business": _plain(asdict(result.business)),
        "notices": list(result.notices),
    }


def _values(estimates: Mapping[str, Estimate]) -> dict[str, Any]:
    return {name: _plain(asdict(estimate)) for name, estimate in estimates.items() if estimate.defined}


def _plain(value: Any) -> Any:
    """JSON knows no NaN, which is what a figure is where nobody was flagged, or too few resamples define it."""
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return None if value != value else value
