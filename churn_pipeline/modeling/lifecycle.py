"""When a model is trained, whether it is used from then on, and which one is the model for a Monday."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, date, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import duckdb
import pandas as pd

from churn_pipeline.contract import fingerprint
from churn_pipeline.core import calendar
from churn_pipeline.core.errors import InputError, RefusedError, RegistryError, UnbuiltError
from churn_pipeline.core.model_kinds import FIRST_KIND, Kind, is_provisional
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.targets import TARGETS, Target, shorter_than, target_named
from churn_pipeline.features import frames
from churn_pipeline.features.catalogue import Catalogue, History, read_catalogue
from churn_pipeline.features.plan import code_version, needed_snapshots, read_beginning, unbuilt
from churn_pipeline.features.splits import Span, earliest_training_monday, twin_slices
from churn_pipeline.modeling import guard, ledger, registry
from churn_pipeline.modeling.aliases import CHAMPION
from churn_pipeline.modeling.device import ensure_there
from churn_pipeline.modeling.evaluate import Estimate
from churn_pipeline.modeling.fit import RecipeFacts, TrainingResult, fit, fit_kinds
from churn_pipeline.modeling.ladder import fit_base_rate, fit_of_shorter, read_belief
from churn_pipeline.modeling.ledger import DECISION, LedgerRow
from churn_pipeline.modeling.model import ScoringModel
from churn_pipeline.modeling.promote import GateDecision, decide
from churn_pipeline.modeling.reference import REFERENCE_FILE
from churn_pipeline.modeling.reference_week import reference_of
from churn_pipeline.modeling.store import DIGEST, REFERENCE_DIGEST, ModelStore, text_digest

# Keys among a ledger row's metrics: the kind of the model, what it would take to reach a better one, the recipe, and the device.
KIND, NEXT_RUNG, RECIPE, DEVICE = "kind", "next_rung", "recipe", "device"
# How long a promoted model goes on serving while newer ones are refused. Half a year: two seasons of 90 days later it tells of another book.
SERVES_WEEKS = 26
# Where the mean probability of a new model lies outside this range of the mean of the one that served, somebody should look.
LEVEL_JUMP = (0.67, 1.5)
# The modules that a model's bytes depend on.
_TRAINS = ("calibrate", "choose", "encode", "fit", "guard", "ladder", "linear", "model")


@dataclass(frozen=True)
class Trained:
    """What one training came to.

    Attributes:
        row: the row of the ledger that says which model it gave, or why it gave none that is used.
        result: what it found out.
        refused: the row and the result of the better kind that was tried first and refused; None where nothing was.
    """

    row: LedgerRow
    result: TrainingResult
    refused: tuple[LedgerRow, TrainingResult] | None = None


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

    Where the data support no model of their own, or it is refused, the newest promoted model goes on serving. A required target that
    has none gets the simplest kind instead, so that every Monday has a list.

    Args:
        con: the warehouse, with marts built up to ``training_monday``.
        settings: thresholds and where MLflow is.
        target: what is predicted.
        training_monday: T; nothing that was not known by then is used.
        run_id: the run that trains.
        who: on whose behalf, for the ledger.
        progress: called with a sentence as the work goes on.

    Raises:
        RefusedError: there is no new model, and none is needed: the one that serves goes on, or the target is not required.
        RegistryError: MLflow is gone, is read-only, or is not the one that holds the ledger's models.
        UnbuiltError: the marts do not hold all that it learns from.
        InputError: the device that it is to be trained on is not there.
    """
    ensure_there(settings.device)
    # The real time and not the run's clock, which may stand still: MLflow's own times are real ones.
    began = datetime.now(UTC)
    target = frames.settled(con, target, training_monday)
    for row in reversed(ledger.history(con, target.name)):
        if row.version is not None:
            registry.ensure_holds(target.name, row.version, settings.tracking_uri)
            break
    serving = _serving(con, target, training_monday)
    attempt = _attempt(con, settings, target, training_monday, _former_recipe(con, target, training_monday), progress)
    register = _Registrar(con, settings, training_monday, run_id, who, progress)
    refused = None
    if attempt.result is not None and attempt.verdict is not None:
        row = register(attempt.result, attempt.verdict, serving, began)
        if attempt.verdict.promoted or serving is not None or not target.required:
            return Trained(row, attempt.result)
        refused = (row, attempt.result)
    elif serving is not None or not target.required:
        raise RefusedError(attempt.why)
    began = datetime.now(UTC)
    lowest = _lowest(con, settings, target, training_monday, attempt.why, progress)
    return Trained(register(lowest, decide(lowest), None, began), lowest, refused)


@dataclass(frozen=True)
class _Attempt:
    """A model of the data's own, or why there is none.

    Attributes:
        result: None where there could be no model.
        verdict: of the gate on it.
        why: what a lower rung has to say about the one above it.
    """

    result: TrainingResult | None
    verdict: GateDecision | None
    why: str


def _attempt(
    con: duckdb.DuckDBPyConnection,
    settings: Settings,
    target: Target,
    training_monday: date,
    former: RecipeFacts | None,
    progress: Callable[[str], None],
) -> _Attempt:
    """Fits what the data support, or the order of a shorter horizon that stands on a higher rung."""
    rows = material(con, settings, target, training_monday)
    of_whom = f" of {rows.share:.1%} of the customers" if rows.share < 1 else ""
    progress(f"{target.name}: training as of {training_monday} on {len(rows.frame):,} rows{of_whom}")
    code = recipe_code(settings)
    try:
        result = fit(
            target,
            rows.frame,
            training_monday,
            rows.catalogue,
            settings,
            rows.histories,
            recent=rows.recent,
            code=code,
            former=former,
            share=rows.share,
        )
    except RefusedError as refusal:
        return _Attempt(None, None, str(refusal).removeprefix("no model: "))
    shorter = _shorter(con, settings, target, training_monday, progress) if result.next_rung is not None else None
    # A few labels of its own would contradict an order that many labels of the shorter horizon support.
    if shorter is not None and shorter.next_rung is None and result.next_rung is not None:
        belief = read_belief(con, target.event)
        result = fit_of_shorter(target, rows.frame, training_monday, shorter, belief, result.next_rung, code=code)
    result = replace(result, notices=(*rows.notices, *result.notices))
    verdict = decide(result)
    return _Attempt(result, verdict, verdict.reason.removeprefix("refused: "))


def _shorter(
    con: duckdb.DuckDBPyConnection,
    settings: Settings,
    target: Target,
    training_monday: date,
    progress: Callable[[str], None],
) -> TrainingResult | None:
    """The training of the next shorter horizon as of the same Monday, where it gave a model that is used."""
    others = shorter_than(target)
    if not others:
        return None
    other = frames.settled(con, others[-1], training_monday)
    attempt = _attempt(
        con, settings, other, training_monday, _former_recipe(con, other, training_monday), lambda _: None
    )
    if attempt.result is None or attempt.verdict is None or not attempt.verdict.promoted:
        return None
    progress(f"{target.name}: looked at {other.name}, which has {attempt.result.kind}")
    return None if is_provisional(attempt.result.kind) else attempt.result


def _lowest(
    con: duckdb.DuckDBPyConnection,
    settings: Settings,
    target: Target,
    training_monday: date,
    why: str,
    progress: Callable[[str], None],
) -> TrainingResult:
    """The simplest kind: the order of a shorter horizon where that has one, else a base rate."""
    rows = material(con, settings, target, training_monday)
    belief, code = read_belief(con, target.event), recipe_code(settings)
    if (shorter := _shorter(con, settings, target, training_monday, progress)) is not None:
        lowest = fit_of_shorter(target, rows.frame, training_monday, shorter, belief, why, code=code)
    else:
        lowest = fit_base_rate(
            target,
            rows.frame,
            training_monday,
            rows.catalogue,
            settings,
            rows.histories,
            belief,
            why,
            code=code,
            share=rows.share,
        )
    return replace(lowest, notices=(*rows.notices, *lowest.notices))


@dataclass(frozen=True)
class _Registrar:
    """Registers a trained model in MLflow, keeps a copy in the home, and writes the verdict into the ledger."""

    con: duckdb.DuckDBPyConnection
    settings: Settings
    training_monday: date
    run_id: str
    who: str
    progress: Callable[[str], None]

    def __call__(
        self, result: TrainingResult, verdict: GateDecision, serving: LedgerRow | None, began: datetime
    ) -> LedgerRow:
        con, settings, target, training_monday = self.con, self.settings, result.target, self.training_monday
        if late := frames.late_bookings(con, target, training_monday):
            result = replace(result, notices=(*result.notices, late))
        for notice in result.notices:
            self.progress(f"{target.name}: {notice}")
        models = ModelStore(settings)
        if serving is not None and (jump := _level_jump(con, models, result, serving)):
            result = replace(result, notices=(*result.notices, jump))
            self.progress(f"{target.name}: {jump}")
        data = fingerprint(con, training_monday)
        spans = [Span(fact.first, fact.last) for name, fact in result.slices.items() if name == "refit_train"]
        try:
            reference = reference_of(con, result.model, spans, result.importance).to_json()
        except InputError as error:
            # A model without one scores as well; its drift is not judged.
            self.progress(f"{target.name}: no reference for drift: {error}")
            reference = None
        version = registry.register(
            result,
            verdict,
            {"data": data},
            settings.tracking_uri,
            registry.artifacts_of(settings),
            tags={"run_id": self.run_id},
            beside={REFERENCE_FILE: reference} if reference is not None else {},
            began=began,
            who=self.who,
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
                who=self.who,
                metrics=_figures(result, verdict)
                | {
                    "data_fingerprint": data,
                    "asked_of": _asked_of(settings),
                    DEVICE: result.model.device,
                    DIGEST: result.model.digest,
                    **({REFERENCE_DIGEST: text_digest(reference)} if reference is not None else {}),
                },
                run_id=self.run_id,
                recorded_at=settings.clock(),
            ),
        )
        reigning = ledger.model_for(con, target.name, date.max)
        registry.set_aliases(
            target.name,
            {CHAMPION: reigning.version if reigning else None, "challenger": None if verdict.promoted else version},
            settings.tracking_uri,
        )
        self.progress(
            f"{target.name}: version {version}, {'promoted' if verdict.promoted else 'refused'}: {verdict.reason}"
        )
        standing = ledger.model_for(con, target.name, training_monday)
        if standing is not None and standing.is_decision and standing.effective_from == training_monday:
            self.progress(
                f"{target.name}: version {standing.version} is in force from {training_monday} on nevertheless, because {standing.who} "
                f"decided so: {standing.reason}"
            )
        return row


def _serving(con: duckdb.DuckDBPyConnection, target: Target, training_monday: date) -> LedgerRow | None:
    """The model that goes on serving if a training gives none: what a person put in force, or a promoted one that ranks customers by what
    they do and is not too old."""
    row = ledger.model_for(con, target.name, training_monday)
    if row is None or row.is_decision:
        return row
    young = training_monday - row.labels_closed_by <= SERVES_WEEKS * calendar.WEEK
    return row if young and not is_provisional(row.metrics.get(KIND, FIRST_KIND)) else None


def _former_recipe(con: duckdb.DuckDBPyConnection, target: Target, training_monday: date) -> RecipeFacts | None:
    """The recipe that served before: a training's, or that of the version which a person put in force. Older versions carry none."""
    row = ledger.model_for(con, target.name, training_monday - calendar.WEEK)
    recipe = row.metrics.get(RECIPE) if row is not None else None
    return RecipeFacts.from_json(recipe) if recipe else None


def _level_jump(
    con: duckdb.DuckDBPyConnection, models: ModelStore, result: TrainingResult, serving: LedgerRow
) -> str | None:
    """What to say where the new model sees another level of risk on its training Monday than the one that served."""
    rows = frames.scoring_frame(con, result.target, result.training_monday)
    if not len(rows) or serving.labels_closed_by == result.training_monday:
        return None
    try:
        before = float(models.load(serving).probability(rows).mean())
    except (RegistryError, InputError, RefusedError) as error:
        return f"the level was not compared with that of version {serving.version}: {error}"
    now = float(result.model.probability(rows).mean())
    low, high = LEVEL_JUMP
    if low <= now / before <= high:
        return None
    return (
        f"on {result.training_monday} it gives a mean probability of {now:.1%}, and version {serving.version}, which served so far, "
        f"{before:.1%}: look whether something happened to the book, or to a feed"
    )


def recipe_code(settings: Settings) -> str:
    """Hash of what trains: this package's modelling code, and the SQL of the features."""
    digest = sha256(code_version(settings.dbt_project).encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        if path.stem in _TRAINS:
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


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


def due_monday(con: duckdb.DuckDBPyConnection, settings: Settings, target: Target, monday: date) -> date | None:
    """The training Monday whose model a Monday waits for: the newest one on the grid, or off it where monitoring asked for one.

    None for a target that is not required, as long as time alone says that there can be no model. A required one always has one.
    """
    newest = calendar.training_monday(monday, settings.training_cadence_weeks)
    extra = [
        row.labels_closed_by
        for row in ledger.history(con, target.name)
        if row.is_proposal and newest < row.labels_closed_by <= monday
    ]
    due = max([newest, *extra])
    if target.required:
        return due
    first = read_beginning(con).first_monday(due)
    if first is None or earliest_training_monday(first, frames.settled(con, target, due)) > due:
        return None
    return due


def next_training(con: duckdb.DuckDBPyConnection, settings: Settings, target: Target, monday: date) -> date | None:
    """The training Monday to train so that the model for a Monday is settled; None when it is.

    It is `due_monday` alone. Where its model is refused the newest promoted one serves, so no refusal leads to another training, and
    the answer depends on the Monday and the ledger and on nothing that was trained before.

    A registered version settles its training Monday, and so does what a person put in force later. That there could be no model holds
    for the data it was said of: other facts make it worth another look.
    """
    due = due_monday(con, settings, target, monday)
    if due is None:
        return None
    reigning = ledger.model_for(con, target.name, monday)
    if reigning is not None and reigning.is_decision and reigning.effective_from > due:
        return None
    rows = [row for row in ledger.attempts(con, target.name, due) if row.is_training]
    if not rows or (rows[-1].version is None and _may_be_otherwise(con, settings, rows[-1])):
        return due
    # Killed between a refusal and the simplest kind that takes its place: a required target is never left without a model.
    if target.required and (reigning is None or not _still_serves(reigning, due)):
        return due
    return None


def _asked_of(settings: Settings) -> dict[str, Any]:
    """The settings that decide whether there can be a model."""
    return settings.model_dump(
        include={
            "train_on_touched",
            "trust_static_plan",
            "min_train_churners",
            "min_test_churners",
            "history_weeks",
            "booking_delay_days",
            "training_rows",
        }
    )


def _may_be_otherwise(con: duckdb.DuckDBPyConnection, settings: Settings, refusal: LedgerRow) -> bool:
    said_of = (refusal.metrics.get("data_fingerprint"), refusal.metrics.get("asked_of"))
    return said_of != (fingerprint(con, refusal.labels_closed_by), _asked_of(settings))


def history_needed(
    con: duckdb.DuckDBPyConnection, settings: Settings, snapshots: Sequence[date], *, forced: bool = False
) -> list[date]:
    """Training Mondays whose history the marts have to hold for some Mondays to be scored: those that are still to be trained.

    Args:
        con: the warehouse, after landing.
        settings: the home.
        snapshots: the Mondays.
        forced: the training Monday of the newest of them is trained as well, whether or not it has a model.
    """
    due = {calendar.training_monday(max(snapshots), settings.training_cadence_weeks)} if forced else set()
    for target in TARGETS.values():
        due |= {day for monday in snapshots if (day := next_training(con, settings, target, monday)) is not None}
    return sorted(due)


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
        if row is not None and not target.required and not _still_serves(row, snapshot_date):
            row = None
        if row is not None:
            chosen[target.name] = row
        elif target.required:
            raise RefusedError(_why_none(con, settings, target, snapshot_date))
    return chosen


def _still_serves(row: LedgerRow, monday: date) -> bool:
    return row.is_decision or monday - row.labels_closed_by <= SERVES_WEEKS * calendar.WEEK


@dataclass(frozen=True)
class Material:
    """What the models of one training Monday are made from, and what was taken out of it.

    Attributes:
        frame: snapshots with closed labels.
        catalogue: the features that may be used.
        histories: whether past tiers and revenue are known.
        recent: by Monday what had happened until then in windows that were still open: of the training Monday and of the twin's.
        notices: what was taken out.
        share: of all customers, those whose rows these are; below 1 in a large book.
    """

    frame: pd.DataFrame
    catalogue: Catalogue
    histories: frozenset[History]
    recent: Mapping[date, pd.DataFrame]
    notices: tuple[str, ...] = ()
    share: float = 1.0


def kinds_of(con: duckdb.DuckDBPyConnection, settings: Settings, result: TrainingResult) -> Mapping[Kind, ScoringModel]:
    """Every kind that a training chose between, on the weeks of the version that scores: what benchmarks compare."""
    rows = material(con, settings, result.target, result.training_monday)
    return fit_kinds(result, rows.frame, rows.catalogue, settings, rows.recent)


def material(con: duckdb.DuckDBPyConnection, settings: Settings, target: Target, training_monday: date) -> Material:
    """Reads from the marts what the models of a training Monday are made from.

    Raises:
        UnbuiltError: the marts do not hold all of it.
    """
    target = frames.settled(con, target, training_monday)
    in_mart = frames.first_snapshot(con, target)
    beginning = read_beginning(con)
    catalogue = read_catalogue(settings.dbt_project / "models" / "marts" / f"{target.mart}.yml")
    histories = frames.histories(con, training_monday, trust_static_plan=settings.trust_static_plan)
    if in_mart is None or beginning.first_monday(training_monday) is None:
        nothing = frames.training_frame(con, target, training_monday, whole=(), sampled=(), first=date.max)
        return Material(nothing, catalogue, histories, {})
    # Counted from the training Monday, not from what happens to be in the mart, so that a model is the same whenever it is made.
    needed = needed_snapshots([training_monday], settings.history_weeks, beginning)
    if missing := unbuilt(con, needed, code_version(settings.dbt_project)):
        raise UnbuiltError(
            f"{len(missing)} of the {len(needed)} Mondays from {needed[0]} on are not in the feature marts as they should be, the first is "
            f"{min(missing)}; the next run builds them"
        )
    first = max(in_mart, needed[0])
    catalogue, notices = guard.without_leaks(catalogue, guard.columns_that_leak(con, training_monday), histories)
    try:
        blocks = twin_slices(target, training_monday, first).blocks
    except RefusedError:
        blocks = ()
    starts = [span.first for span in blocks[:1]]
    customers, share = frames.sample_of(
        con, target, training_monday, first=first, most_rows=settings.training_rows, seed=settings.seed
    ) or (None, 1.0)
    columns = {*catalogue.trained(histories).names, *target.rule.columns}
    return Material(
        frames.training_frame(
            con,
            target,
            training_monday,
            whole=blocks[-1:],
            sampled=blocks[:-1],
            first=first,
            drop_touched=not settings.train_on_touched,
            columns=columns,
            customers=customers,
        ),
        catalogue,
        histories,
        {
            as_of: frames.recent_frame(con, target, as_of, first=first, columns=columns, customers=customers)
            for as_of in {training_monday, *starts}
        },
        notices,
        share,
    )


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
    tried = ledger.attempts(con, target.name, training_monday)
    if not tried:
        return f"{statement}, and none was trained as of {training_monday}"
    return f"{statement}: {tried[-1].reason}"


def _figures(result: TrainingResult, verdict: GateDecision) -> dict[str, Any]:
    """What a model is and was judged by, as JSON values."""
    judged = result.judged
    figures = {
        KIND: result.kind,
        NEXT_RUNG: result.next_rung,
        RECIPE: result.recipe.to_json(),
        "share": result.share,
        "gate": _plain(verdict.numbers),
        "notices": list(result.notices),
    }
    if judged is None:
        return figures
    return figures | {
        "model": _values(judged.metrics),
        "baselines": {name: _values(estimates) for name, estimates in judged.baselines.items()},
        "differences": {name: _values(estimates) for name, estimates in judged.differences.items()},
        "business": _plain(asdict(judged.business)),
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
