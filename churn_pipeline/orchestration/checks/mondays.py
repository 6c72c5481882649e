"""One verdict per Monday, before scoring and before publication."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING

import dagster as dg

from churn_pipeline.core import notices, run_ledger
from churn_pipeline.core.notices import Notice
from churn_pipeline.core.run_ledger import Refusal
from churn_pipeline.core.run_state import assert_owner
from churn_pipeline.core.targets import target_of
from churn_pipeline.core.warehouse import connect
from churn_pipeline.orchestration.checks.edges import candidate_results
from churn_pipeline.orchestration.home import Home, expected_errors, partition_mondays, root_run, table_metadata
from churn_pipeline.orchestration.keys import BEFORE_PUBLICATION, SCORES

if TYPE_CHECKING:
    from churn_pipeline.features import verdicts


def features_check(
    mart: dg.AssetKey, others: Sequence[dg.AssetKey], weekly: dg.PartitionsDefinition
) -> dg.AssetChecksDefinition:
    """The check after the marts: a Monday that fails it is neither scored nor trained on."""

    @dg.asset_check(
        asset=mart,
        additional_deps=others,
        name="every_monday_is_usable",
        # Blocking makes what follows wait for it. Its failures are warnings, which stop nothing.
        blocking=True,
        description="One result per Monday, stored in control.monday_checks. A Monday that fails stays out, the others go on.",
        partitions_def=weekly,
    )
    def every_monday_is_usable(
        context: dg.AssetCheckExecutionContext, home: dg.ResourceParam[Home]
    ) -> dg.AssetCheckResult:
        from churn_pipeline.features import verdicts

        requested = partition_mondays(context)
        with expected_errors(), connect(home.settings) as con:
            assert_owner(con, "plan", root_run(context))
            fingerprints = dict(
                con.execute("select snapshot_date, fingerprint from control.mondays_to_test order by 1").fetchall()
            )
            tested = list(fingerprints)
            relations = {
                name: relation
                for model in ("mart_customer_churn_features", "mart_customer_expansion_features")
                for name, relation in home.dbt.failure_relations(model).items()
            }
            results = [
                *verdicts.test_results(con, tested, relations),
                *verdicts.freshness(con, tested, home.settings.freshness_days),
                *verdicts.has_customers(con, tested),
            ]
            verdicts.store(
                con, "features", results, run_id=context.run.run_id, now=home.now(), fingerprints=fingerprints
            )
            failed = verdicts.stored_failures(con, "features", requested)
        return _result(requested, failed, len(results))

    return every_monday_is_usable


def predictions_check(candidates: dg.AssetKey, weekly: dg.PartitionsDefinition) -> dg.AssetChecksDefinition:
    """The audit between writing and publishing: what fails never replaces what was there."""

    @dg.asset_check(
        asset=candidates,
        name="every_monday_is_publishable",
        # Blocking makes what follows wait for it. Its failures are warnings, which stop nothing.
        blocking=True,
        description="One result per Monday, stored in control.monday_checks unless the Monday is scored again with another model. Only "
        "Mondays that pass replace rows.",
        partitions_def=weekly,
    )
    def every_monday_is_publishable(
        context: dg.AssetCheckExecutionContext, home: dg.ResourceParam[Home]
    ) -> dg.AssetCheckResult:
        from churn_pipeline.features import verdicts
        from churn_pipeline.scoring.store import approve, refuse, rescored, scored_mondays

        with expected_errors(), connect(home.settings) as con:
            scored = scored_mondays(con, root_run(context))
            judged, samples = candidate_results(con, home, scored)
            results = [
                *verdicts.test_results(con, scored, home.dbt.failure_relations("prediction_candidates")),
                *judged,
            ]
            failed = verdicts.failures(results)
            approve(con, [day for day in scored if day not in failed])
            if rescored(con):
                # The stored verdict and the ledger are about what is published, which a Monday scored again was not asked to be.
                refuse(con, [Refusal(day, verdicts.reason(checks), 1) for day, checks in failed.items()])
            else:
                verdicts.store(con, "predictions", results, run_id=context.run.run_id, now=home.now())
                run_ledger.record(
                    con, [_refused(home, context.run.run_id, day, checks) for day, checks in failed.items()]
                )
        return _result(scored, failed, len(results), samples)

    return every_monday_is_publishable


def copied_check(predictions: dg.AssetKey, weekly: dg.PartitionsDefinition) -> dg.AssetChecksDefinition:
    """Whether what passed the audit is what stands in the table, before it is published."""

    @dg.asset_check(
        asset=predictions,
        name="what_was_audited_is_what_is_there",
        blocking=True,
        description="Each Monday that passed holds the audited candidates, every one and no other. A difference fails the run before anything "
        "is published.",
        partitions_def=weekly,
    )
    def what_was_audited_is_what_is_there(
        context: dg.AssetCheckExecutionContext, home: dg.ResourceParam[Home]
    ) -> dg.AssetCheckResult:
        from churn_pipeline.scoring.store import approved_mondays, differences_of_approved

        with expected_errors(), connect(home.settings) as con:
            approved = approved_mondays(con, root_run(context))
            differences = differences_of_approved(con, root_run(context))
        return dg.AssetCheckResult(
            passed=not differences,
            severity=dg.AssetCheckSeverity.ERROR,
            description="; ".join(f"{day}: {what}" for day, what in differences.items()) or None,
            metadata={
                "Mondays": len(approved),
                "rows": sum(approved.values()),
                "differences": table_metadata(["Monday", "what"], list(differences.items())),
            },
        )

    return what_was_audited_is_what_is_there


def monotonicity_check(weekly: dg.PartitionsDefinition) -> dg.AssetChecksDefinition:
    """Whether the models of one event agree. Raising keeps the table consistent, so a failure warns and stops nothing."""

    @dg.asset_check(
        asset=SCORES,
        name="the_longer_window_is_rarely_raised",
        description="The share of customers whose probability had to be raised to that of a shorter window; over 2 % fails.",
        op_tags=BEFORE_PUBLICATION,
        partitions_def=weekly,
    )
    def the_longer_window_is_rarely_raised(
        context: dg.AssetCheckExecutionContext, home: dg.ResourceParam[Home]
    ) -> dg.AssetCheckResult:
        from churn_pipeline.features import verdicts
        from churn_pipeline.scoring.store import monotonicity_results, scored_mondays

        with expected_errors(), connect(home.settings) as con:
            scored = scored_mondays(con, root_run(context))
            results = monotonicity_results(con)
            failed = verdicts.failures(results)
            verdicts.store(con, "scores", results, run_id=context.run.run_id, now=home.now())
            raised = {
                day: [Notice("model", target_of("risk").name, check.detail) for check in failed.get(day, ())]
                for day in scored
            }
            notices.record(con, "raised", raised, run_id=root_run(context))
        return _result(scored, failed, len(results))

    return the_longer_window_is_rarely_raised


def _refused(home: Home, run_id: str, day: date, checks: "Sequence[verdicts.MondayCheck]") -> run_ledger.RunRow:
    from churn_pipeline.features import verdicts

    return run_ledger.RunRow(run_id, day, home.scoring_mode(day), "refused", 0, verdicts.reason(checks), 1, home.now())


def _result(
    mondays: Sequence[date],
    failed: "dict[date, list[verdicts.MondayCheck]]",
    results: int,
    samples: Mapping[str, dg.MarkdownMetadataValue] | None = None,
) -> dg.AssetCheckResult:
    rows = [(day, check.check, check.detail) for day in mondays for check in failed.get(day, [])]
    return dg.AssetCheckResult(
        passed=not rows,
        # The Mondays named here stay out by themselves; an error would stop the good ones too.
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{len({row[0] for row in rows})} of {len(mondays)} Mondays fail" if rows else None,
        metadata={
            "results": results,
            "failed": table_metadata(["Monday", "check", "what"], rows),
            **(samples or {}),
        },
    )
