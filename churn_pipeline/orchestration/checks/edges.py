"""The two edges, landing judged in SQL and the candidates by Great Expectations, and the weekly feeds."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import date
from typing import TYPE_CHECKING

import dagster as dg

from churn_pipeline.contract import TABLES
from churn_pipeline.core import notices
from churn_pipeline.core.warehouse import connect
from churn_pipeline.orchestration.home import Home, expected_errors, root_run, run_mondays, table_metadata
from churn_pipeline.orchestration.keys import BEFORE_PUBLICATION, landing_key

if TYPE_CHECKING:
    import duckdb

    from churn_pipeline.features.verdicts import MondayCheck
    from churn_pipeline.quality.results import FailingRows


def landing_quality_check() -> dg.AssetChecksDefinition:
    """One check per landed table: the contract, the former landing and former weeks. It warns; row rules were enforced by landing."""

    @dg.multi_asset_check(
        name="landing_quality",
        specs=[
            dg.AssetCheckSpec(
                "is_as_declared",
                asset=landing_key(name),
                description="Columns, rows, null shares, categories, ranges and keys, by expectations generated from the contract.",
            )
            for name in TABLES
        ],
        op_tags=BEFORE_PUBLICATION,
    )
    def landing_quality(
        context: dg.AssetCheckExecutionContext, home: dg.ResourceParam[Home]
    ) -> Iterator[dg.AssetCheckResult]:
        from churn_pipeline.quality import site
        from churn_pipeline.quality.landing import judge_landing, unmet

        mondays = run_mondays(context, home.settings)
        with expected_errors(), connect(home.settings) as con:
            judged = judge_landing(con, mondays, timezone=home.settings.timezone, run_id=context.run.run_id)
            notices.record(con, "landing_quality", unmet(judged, mondays), run_id=root_run(context))
        site.save(home.settings.quality, judged, now=home.now())
        by_table = {table_quality.table: table_quality for table_quality in judged}
        for name in TABLES:
            table_quality = by_table.get(name)
            failed = table_quality.judgement.failed if table_quality else []
            yield dg.AssetCheckResult(
                asset_key=landing_key(name),
                check_name="is_as_declared",
                passed=not failed,
                severity=dg.AssetCheckSeverity.WARN,
                description=" ".join(f"{verdict.expected.sentence} {verdict.observed}" for verdict in failed)
                or (None if table_quality else "optional, and nothing was ever landed"),
                metadata={
                    "expectations": len(table_quality.judgement.verdicts) if table_quality else 0,
                    "not met": table_metadata(
                        ["expected", "found"], [(verdict.expected.sentence, verdict.observed) for verdict in failed]
                    ),
                    **_samples(table_quality.failing if table_quality else ()),
                },
            )

    return landing_quality


def feeds_check() -> dg.AssetChecksDefinition:
    """Whether every feed came in as it usually does in the week before each Monday. It warns."""

    @dg.asset_check(
        asset=landing_key("usage_events"),
        additional_deps=[landing_key(name) for name in TABLES if name != "usage_events"],
        name="feeds_are_as_usual",
        description="Names a feed that stopped, halved, doubled, lost an event type or a day, or is later than it ever was.",
        op_tags=BEFORE_PUBLICATION,
    )
    def feeds_are_as_usual(context: dg.AssetCheckExecutionContext, home: dg.ResourceParam[Home]) -> dg.AssetCheckResult:
        from churn_pipeline.quality.feeds import find_changes, read_feeds, unusual

        settings = home.settings
        mondays = run_mondays(context, settings)
        with expected_errors(), connect(settings) as con:
            feeds = read_feeds(con, mondays, timezone=settings.timezone)
            findings = find_changes(feeds, mondays, freshness_days=settings.freshness_days)
            notices.record(con, "feeds", unusual(findings, mondays), run_id=root_run(context))
        return dg.AssetCheckResult(
            passed=not findings,
            severity=dg.AssetCheckSeverity.WARN,
            description="; ".join(finding.sentence for finding in findings[:5]) or None,
            metadata={
                "findings": table_metadata(
                    ["Monday", "source", "change", "what", "found", "usual"],
                    [
                        (
                            finding.snapshot_date,
                            finding.source,
                            finding.change,
                            finding.what,
                            round(finding.observed),
                            round(finding.usual),
                        )
                        for finding in findings
                    ],
                ),
                "rows of the week before": table_metadata(
                    ["Monday", *(feed.source for feed in feeds)],
                    [(day, *(feed.week(day, feed.days) for feed in feeds)) for day in mondays],
                ),
            },
        )

    return feeds_are_as_usual


def candidate_results(
    con: "duckdb.DuckDBPyConnection", home: Home, mondays: Sequence[date]
) -> "tuple[list[MondayCheck], dict[str, dg.MarkdownMetadataValue]]":
    """Judges the candidates for the blocking audit, and keeps the results for the Data Docs.

    Returns:
        One result per Monday and expectation, and samples of failing rows as metadata.
    """
    from churn_pipeline.quality import site
    from churn_pipeline.quality.candidates import judge_candidates
    from churn_pipeline.scoring.store import rescored

    judged = judge_candidates(con, mondays)
    # What another model than the one in force says of the past is not published, so it does not take the place of what was.
    if not rescored(con):
        # Pages about a list are not worth the list.
        with suppress(OSError):
            site.save(home.settings.quality, judged, now=home.now())
    results = [check for judgement in judged for check in judgement.checks()]
    return results, _samples([sample for judgement in judged for sample in judgement.failing()])


def _samples(failing: "Sequence[FailingRows]") -> dict[str, dg.MarkdownMetadataValue]:
    """A table per broken expectation; those of several Mondays stand in one."""
    tables: dict[str, list[FailingRows]] = {}
    for sample in failing:
        tables.setdefault(sample.rule, []).append(sample)
    return {
        f"failing rows: {rule}": table_metadata(
            list(samples[0].columns), [row for sample in samples for row in sample.rows]
        )
        for rule, samples in tables.items()
    }
