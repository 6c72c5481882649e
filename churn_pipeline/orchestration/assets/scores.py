"""Scoring: every active customer of every Monday of the run, with the model for that Monday."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from churn_pipeline.core import notices, run_ledger
from churn_pipeline.core.calendar import WEEK
from churn_pipeline.core.errors import ChurnError, InputError, RefusedError
from churn_pipeline.core.notices import Notice
from churn_pipeline.core.ranked_by import ranked_by
from churn_pipeline.core.targets import ROLES, TARGETS, target_of
from churn_pipeline.core.warehouse import connect
from churn_pipeline.modeling.aliases import CHAMPION
from churn_pipeline.orchestration.about import about
from churn_pipeline.orchestration.assets.landing import ACCEPTED_BY_TAG
from churn_pipeline.orchestration.home import (
    Home,
    expected_errors,
    failure_of,
    partition_mondays,
    root_run,
    table_metadata,
)
from churn_pipeline.orchestration.keys import LEVEL, ONE_RUN, RESCORES, RESCORING, SCORED_MONDAYS, SCORES, model_key

if TYPE_CHECKING:
    import duckdb

    from churn_pipeline.features.catalogue import Catalogue
    from churn_pipeline.modeling.ledger import LedgerRow
    from churn_pipeline.modeling.model import ScoringModel
    from churn_pipeline.modeling.store import ModelStore
    from churn_pipeline.scoring import store
    from churn_pipeline.scoring.level import Acceptance, Verdict
    from churn_pipeline.scoring.score import ScoredMonday


# Whoever starts a run, in the shell or in the UI, accepts by this tag of it, with a reason, that the level of a Monday is what it is.
ACCEPT_LEVEL_TAG = "churn/accept-level"


def scores(marts: list[dg.AssetKey], weekly: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    """The asset that scores."""
    deps = [*marts, *(model_key(name) for name in TARGETS)]

    @dg.multi_asset(
        specs=[
            dg.AssetSpec(
                SCORES,
                deps=deps,
                **about("scoring"),
                description="Calibrated probabilities and drivers, one row per active customer and target per Monday.",
                kinds={"xgboost", "duckdb"},
                partitions_def=weekly,
            ),
            dg.AssetSpec(
                SCORED_MONDAYS,
                deps=deps,
                **about("scoring"),
                description="The Mondays that this run scored, with the versions of their models.",
                kinds={"duckdb"},
                partitions_def=weekly,
            ),
        ],
        name="score",
        partitions_def=weekly,
        backfill_policy=ONE_RUN,
    )
    def score(context: dg.AssetExecutionContext, home: dg.ResourceParam[Home]) -> Iterator[dg.MaterializeResult]:
        from churn_pipeline.modeling import lifecycle
        from churn_pipeline.scoring import level, store

        models = home.models
        catalogue = _catalogue(home)
        rows, refused = [], []
        by_monday: dict[date, list[Notice]] = {}
        levels: dict[date, list[Notice]] = {}
        with expected_errors(), connect(home.settings) as con:
            acceptance = level_acceptance(context.run.tags)
            store.begin_run(con, root_run(context))
            requested = partition_mondays(context)
            unusable = _unusable(con, home, requested)
            for day in requested:
                try:
                    if day in unusable:
                        raise unusable[day]
                    mode = home.scoring_mode(day)
                    chosen = lifecycle.models_for(con, home.settings, day, replayed=mode == "as_of")
                    scored, stamp = _score(con, home, models, chosen, day, context.run.run_id, mode, catalogue)
                    verdicts = level.judge_monday(con, scored, day)
                    levels[day] = _level_notices(con, verdicts, stamp, acceptance)
                except ChurnError as error:
                    context.log.warning(f"{day} is refused: {error}")
                    refused.append(
                        run_ledger.RunRow(
                            context.run.run_id,
                            day,
                            home.scoring_mode(day),
                            "refused",
                            0,
                            str(error),
                            error.exit_code,
                            home.now(),
                        )
                    )
                    continue
                store.write(con, scored, stamp)
                level.write(con, day, verdicts, context.run.run_id)
                for sentence in (*scored.notices, *(notice.sentence for notice in levels[day])):
                    context.log.warning(sentence)
                line = ranked_by(
                    stamp.model_kinds,
                    {name: row.metrics.get(lifecycle.NEXT_RUNG) for name, row in chosen.items()},
                    is_money_known=_is_money_known(con, day),
                )
                by_monday[day] = [Notice("ranking", ROLES["risk"], line)] if line else []
                copied = models.notices_of(chosen.values())
                by_monday[day] += [Notice("model", target, sentence) for target, sentence in copied.items()]
                # They begin with the name of their target.
                by_monday[day] += [Notice("model", notice.split(":")[0], notice) for notice in scored.notices]
                risk = ROLES["risk"]
                rows.append(
                    (
                        day,
                        scored.customers,
                        f"{scored.adjusted_share:.2%}",
                        stamp.model_versions[risk],
                        stamp.model_kinds[risk],
                    )
                )
                context.log.info(f"{day}: {scored.customers:,} customers scored")
            notices.record(con, "score", by_monday, run_id=root_run(context))
            notices.record(con, LEVEL, levels, run_id=root_run(context))
            run_ledger.record(con, refused)
        for notice in models.notices:
            context.log.warning(notice)
        if not rows:
            raise failure_of(refused)
        yield dg.MaterializeResult(
            asset_key=SCORES,
            metadata={
                "dagster/row_count": sum(row[1] for row in rows),
                "Mondays": table_metadata(
                    ["Monday", "customers", "raised", f"{ROLES['risk']} version", f"{ROLES['risk']} kind"], rows
                ),
            },
        )
        yield dg.MaterializeResult(
            asset_key=SCORED_MONDAYS,
            metadata={
                "Mondays": len(rows),
                "refused": table_metadata(["Monday", "reason"], [(row.snapshot_date, row.reason) for row in refused]),
                "models not read from MLflow": dg.MetadataValue.json(models.notices),
            },
        )

    return score


def level_acceptance(tags: Mapping[str, str]) -> "Acceptance | None":
    """Whose word a run carries that a mean which looks impossible is right; None where it carries none.

    Raises:
        InputError: it gives no reason.
    """
    from churn_pipeline.scoring.level import Acceptance

    if ACCEPT_LEVEL_TAG not in tags:
        return None
    return Acceptance(tags[ACCEPT_LEVEL_TAG], tags.get(ACCEPTED_BY_TAG, "somebody in the Dagster UI"))


def _level_notices(
    con: "duckdb.DuckDBPyConnection",
    verdicts: "Sequence[Verdict]",
    stamp: "store.Stamp",
    acceptance: "Acceptance | None",
) -> list[Notice]:
    """What is to be said of the level of a Monday.

    Raises:
        RefusedError: a mean is impossible, and nobody has accepted it.
    """
    from churn_pipeline.scoring import level

    day, versions = stamp.snapshot_date, stamp.model_versions
    impossible = [verdict for verdict in verdicts if verdict.judgement == "impossible"]
    if acceptance is not None:
        for verdict in impossible:
            level.accept(
                con,
                day,
                verdict,
                versions[verdict.target],
                acceptance,
                run_id=stamp.run_id,
                now=stamp.scored_at,
            )
    words = {
        verdict.target: level.accepted(con, day, verdict.target, versions[verdict.target]) for verdict in impossible
    }
    if unaccepted := [verdict for verdict in impossible if words[verdict.target] is None]:
        raise RefusedError(level.refusal(unaccepted, day))
    told = []
    for verdict in verdicts:
        word = words.get(verdict.target)
        by_whom = f"; accepted by {word.who} ({word.reason})" if word else ""
        if verdict.sentence:
            told.append(Notice("level", verdict.target, f"{verdict.sentence}{by_whom}"))
    return told


class Rescore(dg.Config):
    """Which model scores the Mondays again."""

    model: str = Field(
        CHAMPION,
        description="champion for today's models, a version for that version of every target, or TARGET=VERSION, separated by commas.",
    )


def rescores(marts: list[dg.AssetKey], weekly: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    """The asset that scores past Mondays with a model of somebody's choice, beside what is there."""

    @dg.asset(
        key=RESCORES,
        deps=marts,
        **about(RESCORING),
        description="The Mondays of a re-scoring run with a model other than the one in force: what would this model have said?",
        kinds={"xgboost", "duckdb"},
        partitions_def=weekly,
        backfill_policy=ONE_RUN,
    )
    def rescore(
        context: dg.AssetExecutionContext, config: Rescore, home: dg.ResourceParam[Home]
    ) -> dg.MaterializeResult:
        from churn_pipeline.modeling import lifecycle
        from churn_pipeline.scoring import store

        models = home.models
        catalogue = _catalogue(home)
        rows, refused = [], []
        with expected_errors(), connect(home.settings) as con:
            chosen = lifecycle.models_named(con, home.settings, config.model)
            store.begin_run(con, root_run(context))
            requested = partition_mondays(context)
            unusable = _unusable(con, home, requested)
            for day in requested:
                try:
                    if day in unusable:
                        raise unusable[day]
                    scored, stamp = _score(
                        con, home, models, chosen, day, context.run.run_id, store.RESCORED, catalogue
                    )
                except ChurnError as error:
                    context.log.warning(f"{day} is refused: {error}")
                    refused.append(run_ledger.Refusal(day, str(error), error.exit_code))
                    continue
                store.write(con, scored, stamp)
                rows.append((day, scored.customers, day < stamp.labels_closed_by))
                context.log.info(f"{day}: {scored.customers:,} customers scored again")
            store.refuse(con, refused)
        for notice in models.notices:
            context.log.warning(notice)
        if not rows:
            raise failure_of(refused)
        return dg.MaterializeResult(
            metadata={
                "models": dg.MetadataValue.json({name: row.version for name, row in chosen.items()}),
                "Mondays": table_metadata(["Monday", "customers", "the model had seen labels from after it"], rows),
                "refused": table_metadata(["Monday", "reason"], [(row.snapshot_date, row.reason) for row in refused]),
            }
        )

    return rescore


def _catalogue(home: Home) -> "Catalogue":
    from churn_pipeline.features.catalogue import read_catalogue

    mart = target_of("risk").mart
    return read_catalogue(home.settings.dbt_project / "models" / "marts" / f"{mart}.yml")


def _unusable(con: "duckdb.DuckDBPyConnection", home: Home, mondays: Sequence[date]) -> dict[date, ChurnError]:
    """Why some Mondays cannot be scored by any model: they failed a check, or their features are not those of the landed data."""
    from churn_pipeline.features import verdicts
    from churn_pipeline.features.plan import code_version, unbuilt

    without_features: dict[date, ChurnError] = {
        day: RefusedError(f"the features of {day} are missing or out of date; run 'churn backfill' for it first")
        for day in unbuilt(con, mondays, code_version(home.settings.dbt_project))
    }
    failed = verdicts.stored_failures(con, "features", mondays)
    return without_features | {day: InputError(verdicts.reason(checks)) for day, checks in failed.items()}


def _is_money_known(con: "duckdb.DuckDBPyConnection", day: date) -> bool:
    """Whether anybody is known to pay: without that policy ranks by probability alone."""
    row = con.execute(
        f"select coalesce(max(known_mrr), 0) > 0 from marts.{target_of('risk').mart} where snapshot_date = ?", [day]
    ).fetchone()
    return row == (True,)


def _score(
    con: "duckdb.DuckDBPyConnection",
    home: Home,
    models: "ModelStore",
    chosen: "Mapping[str, LedgerRow]",
    day: date,
    run_id: str,
    scoring_mode: str,
    catalogue: "Catalogue",
) -> "tuple[ScoredMonday, store.Stamp]":
    from churn_pipeline.features.frames import scoring_frame
    from churn_pipeline.scoring import store
    from churn_pipeline.scoring.kept import kept_contributions
    from churn_pipeline.scoring.score import score_monday

    loaded: dict[str, ScoringModel] = {name: models.load(row) for name, row in chosen.items()}
    # Targets share marts.
    by_mart = {
        target.mart: scoring_frame(con, target, day)
        for target in {TARGETS[name].mart: TARGETS[name] for name in loaded}.values()
    }
    frames = {name: by_mart[TARGETS[name].mart] for name in loaded}
    before = scoring_frame(con, target_of("risk"), day - WEEK)
    features = len(loaded[target_of("risk").name].catalogue)
    kept = kept_contributions(con, day - WEEK, features)
    scored = score_monday(day, loaded, frames, before, catalogue, kept)
    stamp = store.Stamp(
        snapshot_date=day,
        scoring_mode=scoring_mode,
        model_versions={name: str(row.version) for name, row in chosen.items()},
        model_kinds={name: model.kind for name, model in loaded.items()},
        labels_closed_by=max(row.labels_closed_by for row in chosen.values()),
        run_id=run_id,
        scored_at=home.now(),
    )
    return scored, stamp
