"""The one place where everything is wired. ``dagster dev -w workspace.yaml`` loads :func:`defs`."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from typing import Any

import dagster as dg

from churn_pipeline.core import calendar, dbt_targets
from churn_pipeline.core.errors import InputError
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.targets import TARGETS
from churn_pipeline.delivery.channels import CHANNELS
from churn_pipeline.features.plan import MARTS
from churn_pipeline.orchestration import keys, partitions
from churn_pipeline.orchestration.assets.briefs import briefs_asset
from churn_pipeline.orchestration.assets.channels import channel_asset
from churn_pipeline.orchestration.assets.data_docs import data_docs
from churn_pipeline.orchestration.assets.features import Translator, build_plan, dbt_stage, nodes_of
from churn_pipeline.orchestration.assets.landing import landing
from churn_pipeline.orchestration.assets.models import model_assets
from churn_pipeline.orchestration.assets.monitoring import digest_asset, drift_asset, judgement_asset
from churn_pipeline.orchestration.assets.outlook import outlook_asset
from churn_pipeline.orchestration.assets.performance import performance_asset
from churn_pipeline.orchestration.assets.publish import published, published_rescored
from churn_pipeline.orchestration.assets.replay import report_asset
from churn_pipeline.orchestration.assets.scores import rescores, scores
from churn_pipeline.orchestration.checks.edges import feeds_check, landing_quality_check
from churn_pipeline.orchestration.checks.mondays import (
    copied_check,
    features_check,
    monotonicity_check,
    predictions_check,
)
from churn_pipeline.orchestration.dbt import InProcessDbt
from churn_pipeline.orchestration.home import PARTITION_TAG, RANGE_END_TAG, NoValues, home_resource, mondays_of
from churn_pipeline.orchestration.instance import lacking
from churn_pipeline.orchestration.own_runs import HOME_TAG, names_this_home, run_tags
from churn_pipeline.orchestration.sensors import all_sensors

# The lock pins Dagster to one version, so what may change in the next one is read when the version is raised.
for _category in (dg.BetaWarning, dg.PreviewWarning):
    warnings.filterwarnings("ignore", category=_category)

JOB = "monday_run"
TRAINING_JOB = "training_run"
RESCORING_JOB = "rescoring_run"
SCHEDULE = "monday_8am"

# dbt runs three times a run: facts to features, then, after Python has scored, scores to candidates, and, after the audit, what
# passed into the predictions.
_FEATURES = ("seeds", "staging", "intermediate", "marts")
_CANDIDATES = "prediction_candidates"
_PREDICTIONS = "predictions"
_RESCORED = "predictions_rescored"
_OUTCOMES = "prediction_outcomes"


@dg.definitions
def defs() -> dg.Definitions:
    """What the Dagster code server loads; settings come from the environment."""
    settings = Settings()
    if partitions.is_code_server() and (sentence := lacking(os.environ.get("DAGSTER_HOME"), settings)):
        logging.getLogger("dagster.churn_pipeline").warning(sentence)
    return build_defs(settings, first=partitions.of_this_load(settings))


def build_defs(
    settings: Settings | None = None,
    *,
    first: date | None = None,
    loggers: Mapping[str, dg.LoggerDefinition] | None = None,
    **resources: Any,
) -> dg.Definitions:
    """Everything there is: assets, checks, job, schedule, resources.

    Args:
        settings: the home to work on; read from the environment unless given.
        first: the oldest Monday that can be asked for; CHURN_FIRST_MONDAY unless given.
        loggers: Dagster loggers beside the default one.
        **resources: Dagster resources that replace the wired ones, by name.
    """
    settings = settings or Settings()
    # Before dbt parses: of files that are not current it would say something else.
    dbt_targets.check(settings.dbt_source)
    dbt = InProcessDbt(settings)
    weekly = keys.weekly(settings, first or settings.first_monday)
    translator = Translator(without=[keys.RESCORES])
    # The same candidates, made of a re-scoring's scores: an asset of their own, or the Monday job would come after a re-scoring that most
    # homes never had, and the UI would warn of it in red.
    rescoring_translator = Translator(
        groups={_RESCORED: keys.RESCORING, _CANDIDATES: keys.RESCORING},
        keys={_CANDIDATES: keys.RESCORED_CANDIDATES},
        without=[keys.SCORES, keys.SCORED_MONDAYS],
    )
    dbt_keys = model_asset_keys(dbt.manifest, translator)
    check_marts(dbt.manifest, dbt_keys)
    marts = [dbt_keys[name] for name in MARTS]

    assets: list[Any] = [
        *keys.RAW,
        landing,
        build_plan(weekly),
        dbt_stage(
            "dbt_features",
            nodes_of(dbt.manifest, folders=_FEATURES),
            dbt.manifest,
            translator,
            weekly,
            goes_on_from="plan",
        ),
        *model_assets(dbt_keys, weekly),
        scores(marts, weekly),
        dbt_stage(
            "dbt_candidates",
            nodes_of(dbt.manifest, models=[_CANDIDATES]),
            dbt.manifest,
            translator,
            weekly,
            goes_on_from="scores",
        ),
        dbt_stage(
            "dbt_predictions",
            nodes_of(dbt.manifest, models=[_PREDICTIONS]),
            dbt.manifest,
            translator,
            weekly,
            goes_on_from="scores",
        ),
        published(dbt_keys[_PREDICTIONS], weekly, settings),
        rescores(marts, weekly),
        dbt_stage(
            "dbt_rescored_candidates",
            nodes_of(dbt.manifest, models=[_CANDIDATES]),
            dbt.manifest,
            rescoring_translator,
            weekly,
            goes_on_from="scores",
        ),
        dbt_stage(
            "dbt_rescored",
            nodes_of(dbt.manifest, models=[_RESCORED]),
            dbt.manifest,
            rescoring_translator,
            weekly,
            goes_on_from="scores",
        ),
        published_rescored(dbt_keys[_RESCORED], weekly),
        report_asset(dbt_keys[_PREDICTIONS], weekly),
        drift_asset(weekly),
        dbt_stage(
            "dbt_outcomes",
            nodes_of(dbt.manifest, models=[_OUTCOMES]),
            dbt.manifest,
            translator,
            weekly,
            goes_on_from="scores",
        ),
        performance_asset(dbt_keys[_OUTCOMES], weekly),
        outlook_asset(dbt_keys[_OUTCOMES], weekly),
        judgement_asset(weekly),
        *(channel_asset(channel, dbt_keys[_PREDICTIONS], weekly) for channel in CHANNELS),
        digest_asset(weekly),
        briefs_asset(weekly),
        data_docs(dbt_keys[_CANDIDATES]),
    ]
    checks = [
        landing_quality_check(),
        feeds_check(),
        features_check(dbt_keys[MARTS[0]], [dbt_keys[MARTS[1]]], weekly),
        monotonicity_check(weekly),
        predictions_check(dbt_keys[_CANDIDATES], weekly),
        predictions_check(keys.RESCORED_CANDIDATES, weekly),
        copied_check(dbt_keys[_PREDICTIONS], weekly),
    ]
    rescoring = dg.AssetSelection.groups(keys.RESCORING)
    tags = run_tags(settings)
    job = dg.define_asset_job(
        JOB,
        selection=dg.AssetSelection.all() - rescoring - dg.AssetSelection.groups(keys.REPLAY),
        description="Lands what is new, builds the features, trains when a training Monday is due, scores and publishes.",
        tags=tags,
    )
    training_job = dg.define_asset_job(
        TRAINING_JOB,
        # The plan is one asset of three tables, and no model reads the third: without its neighbours the job does not resolve.
        selection=dg.AssetSelection.assets(*(keys.model_key(name) for name in TARGETS))
        .upstream()
        .required_multi_asset_neighbors(),
        description="Lands what is new, builds the features and trains as of the training Monday, without scoring.",
        tags=tags,
    )
    rescoring_job = dg.define_asset_job(
        RESCORING_JOB,
        # Whoever has edited a seed and scores again wants to see what that does.
        selection=rescoring | dg.AssetSelection.groups(keys.SEEDS),
        description="Loads the policy seeds and scores past Mondays again with a model of your choice, into predictions_rescored. Touches "
        "nothing else.",
        tags=tags,
    )
    return dg.Definitions(
        assets=assets,
        asset_checks=checks,
        jobs=[job, training_job, rescoring_job],
        schedules=[monday_schedule(settings, job)],
        sensors=all_sensors(settings, job),
        resources={"home": home_resource(settings, dbt), "io_manager": NoValues(), **resources},
        # A run of the shell names this logger in its configuration, which is used again when the UI re-executes it.
        loggers={"progress": dg.LoggerDefinition(lambda _: logging.Logger("churn_progress")), **(loggers or {})},
        # One process: DuckDB lets one process write, and a step of its own would pay for every import again.
        executor=dg.in_process_executor,
    )


def check_marts(manifest: Mapping[str, Any], models: Collection[str]) -> None:
    """Refuses targets whose features nobody builds or describes.

    Args:
        manifest: the parsed dbt project.
        models: names of the dbt models.

    Raises:
        InputError: the mart of a target is not there, is not built by a run, or its YAML is no catalogue of features.
    """
    for target in TARGETS.values():
        if target.mart not in models:
            raise InputError(f"The mart '{target.mart}' of the target '{target.name}' is no model of the dbt project.")
        if target.mart not in MARTS:
            raise InputError(
                f"The mart '{target.mart}' of the target '{target.name}' is none of those that a run builds: {', '.join(MARTS)}."
            )
        # Whether each entry keeps the rules is said where the catalogue is read; reading all of them takes longer than everything else here.
        (mart,) = nodes_of(manifest, models=[target.mart])
        if not any(column["config"]["meta"].get("feature") for column in manifest["nodes"][mart]["columns"].values()):
            raise InputError(
                f"The mart '{target.mart}' of the target '{target.name}' has no catalogue of features, {target.mart}.yml beside it."
            )


def model_asset_keys(manifest: Mapping[str, Any], translator: Translator) -> dict[str, dg.AssetKey]:
    """Asset keys of the dbt models by name. They include the schema, so they are looked up; a key spelled by hand and wrong
    raises nothing and loses the edge."""
    return {
        props["name"]: translator.get_asset_spec(manifest, unique_id, None).key
        for unique_id, props in manifest["nodes"].items()
        if props["resource_type"] in ("model", "seed")
    }


def monday_schedule(settings: Settings, job: Any) -> dg.ScheduleDefinition:
    """Starts the run of a Monday, in the time zone that also says when a Monday begins."""

    @dg.schedule(
        job=job,
        name=SCHEDULE,
        cron_schedule=settings.schedule_cron,
        execution_timezone=settings.timezone,
        description="Every Monday at 8 AM, for that Monday (CHURN_SCHEDULE_CRON, CHURN_TIMEZONE), and for those that were missed since the "
        f"newest published one because the machine was off, of the last {calendar.CATCH_UP}.",
        # Whoever starts the daemon wants Mondays to be scored; it can be stopped in the UI.
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
    def tick(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest]:
        from churn_pipeline.delivery.publish import newest_published

        day = calendar.latest_monday(context.scheduled_execution_time, settings.timezone)
        recent = [day - weeks * calendar.WEEK for weeks in range(calendar.CATCH_UP, -1, -1)]
        # Dagster itself makes up for one tick only, the newest.
        missed = calendar.missed(day, newest_published(settings), asked_for(context.instance, settings, recent))
        return [monday_request(monday) for monday in (*missed, day)]

    return tick


def asked_for(instance: dg.DagsterInstance, settings: Settings, days: Sequence[date]) -> set[date]:
    """Which Mondays of this home the Monday job, or its assets up to publication, were started for, by whomever and whatever became of it.

    Args:
        instance: Dagster's record of runs, which can be read while a run holds the warehouse, and may be shared.
        settings: the home.
        days: consecutive Mondays; a range counts when it ends on one of them.
    """
    # One that a tick created and did not get to submit counts only once the tick, which is repeated, has submitted it.
    begun = [status for status in dg.DagsterRunStatus if status != dg.DagsterRunStatus.NOT_STARTED]
    names = [day.isoformat() for day in days]
    return {
        day
        for tag in (PARTITION_TAG, RANGE_END_TAG)
        for run in instance.get_runs(dg.RunsFilter(statuses=begun, tags={tag: names}))
        # The asset graph starts its runs in a job of Dagster's own, and they say their home with their first step.
        if (run.job_name == JOB and names_this_home(run, settings))
        or (
            keys.PUBLISHED in (run.asset_selection or ())
            and (names_this_home(run, settings) or HOME_TAG not in run.tags)
        )
        for day in mondays_of(run.tags)
    }


def monday_request(day: date) -> dg.RunRequest:
    """The run of one Monday. By its key a tick that is repeated after an interruption does not start it twice."""
    return dg.RunRequest(run_key=f"{JOB}:{day}", partition_key=day.isoformat())
