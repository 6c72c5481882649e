"""What the daemon watches between Mondays: runs that died, runs that ended, a deadline, an outbox."""

from typing import Any

import dagster as dg

from churn_pipeline.core.settings import Settings
from churn_pipeline.orchestration.home import PARTITION_TAG
from churn_pipeline.orchestration.liveness import GONE, close_dead_runs
from churn_pipeline.orchestration.own_runs import HOME_TAG

# A run that ended is told of within this many seconds of Dagster's own interval for run sensors.
_SECONDS = 30


def all_sensors(settings: Settings, job: Any) -> list[dg.SensorDefinition]:
    """Every sensor; they run as soon as the daemon does."""
    return [
        dead_runs(settings, job),
        failed_runs(settings, job),
        good_runs(settings, job),
        deadline(settings),
        outbox(settings),
    ]


def dead_runs(settings: Settings, job: Any) -> dg.SensorDefinition:
    """Closes runs whose process is gone, because the queue waits for every run that has not ended."""

    @dg.sensor(
        name="dead_runs",
        minimum_interval_seconds=_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Marks runs of this home as failed whose process was killed or went down with the machine, so that the queue goes on. "
        "Other code locations' runs are left alone.",
    )
    def close(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        from churn_pipeline.delivery import announce

        location = context.code_location_origin
        closed = close_dead_runs(context.instance, settings, location.location_name if location else None)
        for run in closed:
            # `failed_runs` sees only what the daemon launched; a run of the shell dies as well.
            monday = announce.notifiable_monday(settings, run.tags) if run.job_name == job.name else None
            if monday is not None:
                announce.announce_failure(settings, monday, run.run_id, [announce.Problem(1, "run", GONE)])
        gone = ", ".join(run.run_id for run in closed)
        return dg.SkipReason(f"closed {gone}" if closed else "every run that has begun has a process")

    return close


def failed_runs(settings: Settings, job: Any) -> dg.SensorDefinition:
    """Raises an alert for every failed run of this Monday that the daemon launched; a run of the shell says so itself."""

    @dg.run_failure_sensor(
        name="failed_runs",
        monitored_jobs=[job],
        minimum_interval_seconds=_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="An alert in Slack for a run of this Monday that failed or was killed; once per Monday and cause.",
    )
    def alert(context: dg.RunFailureSensorContext) -> dg.SkipReason:
        from churn_pipeline.delivery import announce
        from churn_pipeline.orchestration.failures import problems

        run = context.dagster_run
        monday = announce.notifiable_monday(settings, run.tags)
        if monday is None:
            return dg.SkipReason("nothing is said about this run")
        if _overtaken(context.instance, settings, run, dg.DagsterRunStatus.SUCCESS):
            return dg.SkipReason("a later run of this Monday ended well")
        events = [entry.dagster_event for entry in context.instance.all_logs(run.run_id) if entry.dagster_event]
        return dg.SkipReason(str(announce.announce_failure(settings, monday, run.run_id, problems(events))))

    return alert


def good_runs(settings: Settings, job: Any) -> dg.SensorDefinition:
    """Says that an alert is over."""

    @dg.run_status_sensor(
        name="good_runs",
        run_status=dg.DagsterRunStatus.SUCCESS,
        monitored_jobs=[job],
        minimum_interval_seconds=_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="A note in Slack, in the thread of an alert, when a run of that Monday has ended well.",
    )
    def clear(context: dg.RunStatusSensorContext) -> dg.SkipReason:
        from churn_pipeline.delivery import announce

        run = context.dagster_run
        monday = announce.notifiable_monday(settings, run.tags)
        if monday is None:
            return dg.SkipReason("nothing is said about this run")
        if _overtaken(context.instance, settings, run, dg.DagsterRunStatus.FAILURE):
            return dg.SkipReason("a later run of this Monday failed")
        return dg.SkipReason(str(announce.announce_success(settings, monday)))

    return clear


def deadline(settings: Settings) -> dg.SensorDefinition:
    """Raises an alert when this Monday is not published by the deadline."""

    @dg.sensor(
        name="publication_deadline",
        minimum_interval_seconds=300,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="An alert in Slack when this Monday's predictions are not published by the deadline (CHURN_DEADLINE).",
    )
    def watch(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        from churn_pipeline.delivery import announce

        delivery = announce.announce_deadline(settings)
        return dg.SkipReason(str(delivery) if delivery else "in time, or not due yet")

    return watch


def outbox(settings: Settings) -> dg.SensorDefinition:
    """Sends what waits, so that a message does not wait for the next run."""

    @dg.sensor(
        name="slack_outbox",
        minimum_interval_seconds=120,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Sends messages that Slack, or the receiver of the webhook, did not take when they were written.",
    )
    def flush(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        from churn_pipeline.delivery import announce
        from churn_pipeline.delivery.slack.notify import send_waiting
        from churn_pipeline.delivery.webhook import notify as webhook

        delivery = send_waiting(announce.outbox_of(settings), announce.slack_config(settings), seconds=30)
        handed = webhook.send_waiting(settings, seconds=20)
        told = f"; webhook: {len(handed.sent)} sent, {handed.waiting} waiting" if handed.sent or handed.waiting else ""
        return dg.SkipReason(f"{delivery}{told}")

    return flush


def _overtaken(
    instance: dg.DagsterInstance, settings: Settings, run: dg.DagsterRun, status: dg.DagsterRunStatus
) -> bool:
    """Whether the same Monday of this home was run again since, and ended so: the sensor may come long after the shell's own word."""
    this = instance.get_run_record_by_id(run.run_id)
    same = dg.RunsFilter(
        job_name=run.job_name,
        statuses=[status],
        tags={PARTITION_TAG: run.tags[PARTITION_TAG], HOME_TAG: str(settings.home)},
    )
    return this is not None and any(
        record.create_timestamp > this.create_timestamp for record in instance.get_run_records(same)
    )
