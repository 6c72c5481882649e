"""Publication: what passed the audit, copied to where people and dashboards read."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from churn_pipeline.core import notices, run_ledger
from churn_pipeline.core.formatting import usd
from churn_pipeline.core.run_ledger import Refusal
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.warehouse import connect
from churn_pipeline.orchestration.about import about
from churn_pipeline.orchestration.home import (
    EXIT_CODE,
    Home,
    expected_errors,
    failure_of,
    partition_mondays,
    root_run,
    table_metadata,
)
from churn_pipeline.orchestration.keys import ONE_RUN, PUBLISHED, RESCORED_COPY, RESCORING, monday_by_monday

if TYPE_CHECKING:
    import duckdb

    from churn_pipeline.delivery.publish import WeekVersion


VERDICT = "every_monday_is_published"


def freshness(settings: Settings) -> dg.FreshnessPolicy:
    """A list by the deadline, every Monday. Dagster asks of an asset and not of a partition: a past Monday that is made again between a
    Monday's midnight and the deadline counts as well, while the sensor `publication_deadline` looks for the Monday itself."""
    deadline = settings.deadline
    return dg.FreshnessPolicy.cron(
        deadline_cron=f"{deadline.minute} {deadline.hour} * * 1",
        # Since Monday began; where the deadline is midnight, in the day before.
        lower_bound_delta=timedelta(hours=deadline.hour, minutes=deadline.minute) or timedelta(days=1),
        timezone=settings.timezone,
    )


def published(predictions: dg.AssetKey, weekly: dg.PartitionsDefinition, settings: Settings) -> dg.AssetsDefinition:
    """The asset that publishes, with the last word of a run: it is green only when every Monday asked for is published."""

    @dg.multi_asset(
        name="published",
        specs=[
            dg.AssetSpec(
                PUBLISHED,
                deps=[predictions],
                **about("delivery"),
                description="HOME/data/published: a Parquet file per Monday and churn.duckdb, whole weeks only, each replaced in one step. "
                "A Monday is materialized when it is published; one that was refused stays empty.",
                kinds={"parquet", "duckdb"},
                partitions_def=weekly,
                freshness_policy=freshness(settings),
                # See monday_by_monday.
                skippable=True,
            )
        ],
        check_specs=[
            dg.AssetCheckSpec(
                VERDICT,
                asset=PUBLISHED,
                blocking=True,
                description="Fails the run, naming the Mondays, when one of those asked for was refused.",
            )
        ],
        partitions_def=weekly,
        backfill_policy=ONE_RUN,
    )
    def publish_mondays(context: dg.AssetExecutionContext, home: dg.ResourceParam[Home]) -> Iterator[Any]:
        import duckdb

        from churn_pipeline.delivery.publish import publish, unpublished
        from churn_pipeline.scoring.store import approved_mondays

        run_id = context.run.run_id
        requested = partition_mondays(context)
        with expected_errors(), connect(home.settings) as con:
            approved = approved_mondays(con, root_run(context))
            run_ledger.carry_over(con, run_id, [context.run.parent_run_id, context.run.root_run_id])
            stale_weeks = {day: week for day, week in unpublished(con, home.settings).items() if day not in approved}
            refused_before = {row.snapshot_date for row in run_ledger.refusals(con, run_id)}
            # Recorded before the copy is made, so that the copy can say of itself which run it is from.
            run_rows = [
                run_ledger.RunRow(run_id, day, home.scoring_mode(day), "published", customers, "", 0, home.now())
                for day, customers in approved.items()
            ]
            run_rows += [
                run_ledger.RunRow(
                    run_id, day, week.scoring_mode, "published", week.customers, _caught_up(week), 0, home.now()
                )
                for day, week in stale_weeks.items()
                # What a run refuses it does not call published, even where a killed one had passed it.
                if day not in refused_before
            ]
            run_ledger.record(con, run_rows)
            notices.keep(con, [row.snapshot_date for row in run_rows])
            out = {row.snapshot_date: row.customers for row in run_rows}
            run_ledger.record(
                con,
                [
                    run_ledger.RunRow(
                        run_id, day, home.scoring_mode(day), "refused", 0, "nothing was scored for it", 1, home.now()
                    )
                    for day in requested
                    if day not in out and day not in refused_before
                ],
            )
            refused = run_ledger.refusals(con, run_id)
            try:
                done = publish(con, home.settings, [*approved, *stale_weeks])
                if missing := [str(day) for day, customers in out.items() if done.rows.get(day) != customers]:
                    raise dg.Failure(
                        description=f"the published copy does not hold what was written: {', '.join(missing)}"
                    )
            except BaseException as error:
                reason = str(error) or type(error).__name__
                failed = [replace(row, status="failed", customers=0, reason=reason, exit_code=1) for row in run_rows]
                try:
                    run_ledger.record(con, failed)
                except duckdb.Error as also:
                    # Where this is, the disk is full as well; what is to be told is why nothing was published.
                    context.log.error(f"the ledger still says published: {also}")
                raise
            tier_columns, tier_rows = tier_counts(con, list(out))
        for row in run_rows:
            if row.reason:
                context.log.info(f"{row.snapshot_date}: {row.reason}")
        metadata: dict[str, Any] = {
            "Mondays published": len(out),
            "Mondays in the table": done.weeks,
            "tiers": table_metadata(tier_columns, tier_rows),
            "database": dg.MetadataValue.path(home.settings.published_database),
            "files": dg.MetadataValue.json([str(path) for path in done.files]),
            "caught up": table_metadata(
                ["Monday", "why"], [(row.snapshot_date, row.reason) for row in run_rows if row.reason]
            ),
        }
        yield from monday_by_monday(context, PUBLISHED, out, metadata, out)
        yield dg.AssetCheckResult(
            asset_key=PUBLISHED,
            check_name=VERDICT,
            passed=not refused,
            severity=dg.AssetCheckSeverity.ERROR,
            description=run_ledger.format_refusals(refused) or None,
            metadata={
                "asked for": len(requested),
                **({EXIT_CODE: max(row.exit_code for row in refused)} if refused else {}),
                "refused": table_metadata(["Monday", "reason"], [(row.snapshot_date, row.reason) for row in refused]),
            },
        )

    return publish_mondays


def _caught_up(week: "WeekVersion") -> str:
    return f"caught up: run {week.run_id} wrote it, and it was not wholly published"


def published_rescored(rescored: dg.AssetKey, weekly: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    """The asset that publishes what another model would have said."""

    @dg.asset(
        key=RESCORED_COPY,
        deps=[rescored],
        **about(RESCORING),
        description="HOME/data/published/rescored.duckdb, table predictions_rescored. Nothing else of what is published is touched. Fails the "
        "run, naming the Mondays, when one of those asked for was refused; the others are there.",
        kinds={"duckdb"},
        partitions_def=weekly,
        backfill_policy=ONE_RUN,
    )
    def publish_rescored_mondays(
        context: dg.AssetExecutionContext, home: dg.ResourceParam[Home]
    ) -> dg.MaterializeResult:
        from churn_pipeline.delivery.publish import publish_rescored
        from churn_pipeline.scoring.store import approved_mondays, refusals

        with expected_errors(), connect(home.settings) as con:
            approved = approved_mondays(con, root_run(context), "predictions_rescored")
            refused = refusals(con, root_run(context))
            settled_mondays = {*approved, *(row.snapshot_date for row in refused)}
            refused += [
                Refusal(day, "nothing was scored for it", 1)
                for day in partition_mondays(context)
                if day not in settled_mondays
            ]
            publish_rescored(con, home.settings)
        metadata = {"database": dg.MetadataValue.path(home.settings.rescored_database)}
        if refused:
            # A result of the asset would stand for every Monday of the run.
            for day, customers in approved.items():
                context.log_event(
                    dg.AssetMaterialization(
                        RESCORED_COPY, partition=day.isoformat(), metadata={"dagster/row_count": customers, **metadata}
                    )
                )
            raise failure_of(refused)
        return dg.MaterializeResult(metadata={"dagster/row_count": sum(approved.values()), **metadata})

    return publish_rescored_mondays


def tier_counts(
    con: "duckdb.DuckDBPyConnection", mondays: Sequence[date]
) -> tuple[list[str], list[tuple[date | str | int, ...]]]:
    """Customers by risk tier and revenue at risk: the columns, and one row a Monday. The gravest tier comes first, and a tier that the policy
    of a Monday does not know has nobody there."""
    from churn_pipeline.policy import tiers

    policies = tiers.of_mondays(con, "policy.predictions", mondays)
    names = [tier.risk_tier for tier in tiers.merged(policy for _, policy in sorted(policies.items(), reverse=True))]
    customers: Counter[tuple[date, str]] = Counter()
    money: Counter[date] = Counter()
    rows = con.execute(
        """
        select snapshot_date, risk_tier, count(*), coalesce(sum(revenue_at_risk order by customer_id), 0)
        from policy.predictions where snapshot_date in (select unnest(?::date[])) group by all order by all
        """,
        [list(mondays)],
    ).fetchall()
    for snapshot_date, risk_tier, count, at_risk in rows:
        customers[snapshot_date, risk_tier] = count
        money[snapshot_date] += at_risk
    return ["Monday", *names, "revenue at risk"], [
        (day, *(customers[day, name] for name in names), usd(money[day])) for day in sorted(policies)
    ]
