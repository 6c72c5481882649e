"""Monitoring: has what the models look at changed, what follows from it, and who is told.

It reads what was scored and writes only tables of its own. A Monday is judged in a replay as it would have been; proposals and
messages are for the Monday of today alone.
"""

from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING, Any

import dagster as dg

from churn_pipeline.core import calendar, notices
from churn_pipeline.core.errors import InputError
from churn_pipeline.core.notices import Notice
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.targets import TARGETS, Target
from churn_pipeline.core.warehouse import connect
from churn_pipeline.orchestration.about import about
from churn_pipeline.orchestration.home import Home, expected_errors, picture, root_run, table_metadata
from churn_pipeline.orchestration.keys import (
    BEFORE_PUBLICATION,
    DIGEST,
    DRIFT,
    JUDGEMENT,
    LAST,
    LEVEL,
    MODEL_QUALITY,
    ONE_RUN,
    OUTLOOK,
    PUBLISHED,
    SCORED_MONDAYS,
)

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

    from churn_pipeline.modeling.store import ModelStore
    from churn_pipeline.monitoring.drift import DriftReport
    from churn_pipeline.monitoring.triggers import HealthAssessment


NOT_DRIFTED = "no_model_has_drifted"


def drift_asset(weekly: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    """The asset that judges every scored Monday with the models that scored it."""

    @dg.asset(
        key=DRIFT,
        deps=[SCORED_MONDAYS],
        # Where the level of a Monday is off too, the list says both in one sentence.
        op_tags=BEFORE_PUBLICATION,
        **about("monitoring"),
        description="For each model: every feature and the prediction against its training weeks and against last week, and a verdict: "
        "none, watch or act. Tables monitoring.drift and monitoring.drift_verdicts.",
        kinds={"duckdb"},
        partitions_def=weekly,
        backfill_policy=ONE_RUN,
        check_specs=[
            dg.AssetCheckSpec(
                NOT_DRIFTED,
                asset=DRIFT,
                description="Warns when drift says act for one of the models.",
            )
        ],
    )
    def drift(context: dg.AssetExecutionContext, home: dg.ResourceParam[Home]) -> Iterator[Any]:
        from churn_pipeline.monitoring import store
        from churn_pipeline.monitoring.drawing import png, svg
        from churn_pipeline.monitoring.drift import worst
        from churn_pipeline.monitoring.plots import drift as drift_plot
        from churn_pipeline.monitoring.triggers import told_together
        from churn_pipeline.scoring import level
        from churn_pipeline.scoring.store import scored_mondays

        settings = home.settings
        rows: list[tuple[Any, ...]] = []
        newest: list[DriftReport] = []
        with expected_errors(), connect(settings) as con:
            for day in scored_mondays(con, root_run(context)):
                reports = _drift_of(con, settings, home.models, day, context.log.warning)
                store.write_drift(con, day, reports, context.run.run_id)
                newest = [report for _, report in reports]
                for version, report in reports:
                    reason = report.reasons[0] if report.reasons else ""
                    rows.append((day, report.target, version, report.verdict, f"{report.score:.3f}", reason))
                worst_of_day = worst([report.verdict for report in newest])
                if worst_of_day in ("watch", "act"):
                    context.log.info(f"{day}: drift says {worst_of_day}")
                if (both := told_together(newest, level.of_monday(con, day))) is not None:
                    models_named = ", ".join(report.target for report in newest)
                    notices.record(con, LEVEL, {day: [Notice("level", models_named, both)]}, run_id=root_run(context))
        acting = [row for row in rows if row[3] == "act"]
        yield dg.MaterializeResult(
            metadata={
                "verdicts": table_metadata(["Monday", "target", "version", "verdict", "score", "first reason"], rows),
                **({"newest Monday": picture("drift", png(svg(drift_plot(newest))))} if newest else {}),
            }
        )
        yield dg.AssetCheckResult(
            asset_key=DRIFT,
            check_name=NOT_DRIFTED,
            passed=not acting,
            severity=dg.AssetCheckSeverity.WARN,
            description="; ".join(f"{row[0]} {row[1]}: {row[5]}" for row in acting) or None,
        )

    return drift


def judgement_asset(weekly: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    """The asset that puts drift and truth into one judgement, and asks for an extra training when it is due."""

    @dg.asset(
        key=JUDGEMENT,
        # Not of the publication, which says nothing when one of many Mondays is refused.
        deps=[DRIFT, MODEL_QUALITY, OUTLOOK],
        **about("monitoring"),
        description="One judgement a Monday: drift, and models that were under their promise. On this Monday it may ask, in the ledger, "
        "for one extra training on the next. Publishes HOME/data/published/monitoring.duckdb.",
        kinds={"duckdb"},
        partitions_def=weekly,
        backfill_policy=ONE_RUN,
    )
    def judgement(context: dg.AssetExecutionContext, home: dg.ResourceParam[Home]) -> dg.MaterializeResult:
        from churn_pipeline.delivery import announce
        from churn_pipeline.delivery.publish import publish_monitoring
        from churn_pipeline.monitoring import store
        from churn_pipeline.monitoring.outcomes import quality_of, trained_without_touched
        from churn_pipeline.monitoring.triggers import judge
        from churn_pipeline.scoring import level
        from churn_pipeline.scoring.store import scored_mondays

        settings = home.settings
        rows = []
        asked_for = None
        with expected_errors(), connect(settings) as con:
            for day in scored_mondays(con, root_run(context)):
                quality = quality_of(con, day)
                assessment = judge(
                    day,
                    store.drift_verdicts(con, day),
                    quality,
                    trained_without_touched(con, quality),
                    level.of_monday(con, day),
                )
                store.write_judgement(con, assessment, context.run.run_id)
                rows.append(
                    (day, assessment.drift, "; ".join(f"{name}: {why}" for name, why in assessment.under.items()))
                )
                if home.scoring_mode(day) == "live":
                    asked_for = _propose(con, home, assessment, context.run.run_id)
            publish_monitoring(con, settings)
        monday = announce.notifiable_monday(settings, context.run.tags)
        if monday is not None and rows:
            delivery = announce.announce_drift(
                settings, monday, assessment.drift, assessment.drift_reasons, context.run.run_id
            )
            if delivery.state != "nothing":
                context.log.info(str(delivery))
        if asked_for:
            context.log.info(asked_for)
        return dg.MaterializeResult(
            metadata={
                "judgements": table_metadata(["Monday", "drift", "under the promise"], rows),
                "extra training": dg.MetadataValue.text(asked_for or "not asked for"),
                "database": dg.MetadataValue.path(settings.monitoring_database),
            }
        )

    return judgement


def digest_asset(weekly: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    """The asset that tells people in Slack what this Monday came to."""

    @dg.asset(
        key=DIGEST,
        # Not of the judgement: people get their list whatever becomes of monitoring. LAST lets it speak first.
        deps=[PUBLISHED],
        op_tags=LAST,
        **about("delivery"),
        description="The Monday digest in Slack, once a Monday, from what is published; nothing for a past Monday, a backfill or a run "
        "tagged churn/quiet. What could not be sent waits in HOME/data/outbox; without Slack it lies there for the Block Kit Builder.",
        kinds={"slack"},
        partitions_def=weekly,
        backfill_policy=ONE_RUN,
    )
    def slack_digest(context: dg.AssetExecutionContext, home: dg.ResourceParam[Home]) -> dg.MaterializeResult:
        import duckdb

        from churn_pipeline.delivery import announce
        from churn_pipeline.delivery.digest_query import digest_from

        settings = home.settings
        monday = announce.notifiable_monday(settings, context.run.tags)
        if monday is None:
            return dg.MaterializeResult(metadata={"Slack": dg.MetadataValue.text("nothing is said about this run")})
        with (
            expected_errors(),
            connect(settings) as con,
            duckdb.connect(str(settings.published_database), read_only=True) as published,
        ):
            told = {notice.sentence for notice in notices.published(published, monday)}
            notes = _notes(con, monday, told)
            digest = digest_from(
                published,
                monday,
                notes=notes,
                links=announce.run_links(settings, context.run.run_id),
                report=announce.report_address(settings, monday),
            )
        delivery = announce.announce_monday(settings, digest)
        (context.log.warning if delivery.problems else context.log.info)(str(delivery))
        return dg.MaterializeResult(metadata={"Slack": dg.MetadataValue.text(str(delivery))})

    return slack_digest


def _drift_of(
    con: "duckdb.DuckDBPyConnection", settings: Settings, models: "ModelStore", day: date, warn: Any
) -> "list[tuple[str, DriftReport]]":
    from churn_pipeline.features.frames import scoring_frame
    from churn_pipeline.modeling import lifecycle
    from churn_pipeline.modeling.reference_week import week_of
    from churn_pipeline.monitoring.drift import assess

    reports = []
    # Targets share marts.
    frames: dict[tuple[str, date], pd.DataFrame] = {}

    def frame_of(target: Target, monday: date) -> "pd.DataFrame":
        if (target.mart, monday) not in frames:
            frames[target.mart, monday] = scoring_frame(con, target, monday)
        return frames[target.mart, monday]

    for row in lifecycle.models_for(con, settings, day).values():
        model = models.load(row)
        now = week_of(model, day, frame_of(model.target, day))
        if now is None:
            continue
        try:
            reference = models.reference(row)
        except InputError as error:
            # The list is out; a lost reference is mended by the next training.
            warn(f"drift of {row.target} is not judged: {error}")
            continue
        last = day - calendar.WEEK
        before = week_of(model, last, frame_of(model.target, last), explain=False)
        reports.append((str(row.version), assess(reference, now, before)))
    return reports


def _propose(con: "duckdb.DuckDBPyConnection", home: Home, assessment: "HealthAssessment", run_id: str) -> str | None:
    """Writes a proposal into the ledger, for every target; says what was done, or None."""
    from churn_pipeline.modeling import ledger, lifecycle
    from churn_pipeline.monitoring import store
    from churn_pipeline.monitoring.triggers import Training, propose

    settings = home.settings
    history = [row for target in TARGETS for row in ledger.history(con, target)]
    proposal = propose(
        store.judgements(con, assessment.monday, settings.trigger_look_back),
        [Training(row.labels_closed_by, row.recorded_at) for row in history if row.is_training],
        [row.recorded_at for row in history if row.is_proposal],
        needed=settings.trigger_needed,
        look_back=settings.trigger_look_back,
    )
    if proposal is None:
        return None
    if proposal.monday == calendar.training_monday(proposal.monday, settings.training_cadence_weeks):
        return f"{proposal.reason}: the regular training of {proposal.monday} answers it"
    lifecycle.note_proposal(con, settings, proposal.monday, proposal.kind, proposal.reason, run_id=run_id)
    return f"an extra training as of {proposal.monday} is asked for: {proposal.reason}"


def _notes(con: "duckdb.DuckDBPyConnection", monday: date, told: set[str]) -> list[str]:
    """What monitoring has to add to the digest: nothing where all is as usual, and nothing that the notices of the list tell.

    Args:
        con: the warehouse.
        monday: the Monday.
        told: sentences of the notices.
    """
    from churn_pipeline.modeling import ledger
    from churn_pipeline.monitoring import store

    notes = []
    judged = store.judgements(con, monday, 1)
    if not judged:
        notes.append("Monitoring has not judged this Monday: see the run")
    for assessment in judged:
        if assessment.drift in ("watch", "act") and told.isdisjoint(assessment.drift_reasons[:1]):
            notes.append(
                f"Drift: {assessment.drift}. {assessment.drift_reasons[0] if assessment.drift_reasons else ''}".strip()
            )
        notes += [f"{target} is under its promise: {why}" for target, why in sorted(assessment.under.items())]
    notes += sorted(
        {
            f"An extra training as of {row.labels_closed_by} is asked for"
            for row in ledger.history(con)
            if row.is_proposal and row.labels_closed_by > monday
        }
    )
    return notes
