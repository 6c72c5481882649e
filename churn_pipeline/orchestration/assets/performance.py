"""Truth as it arrives: what the predictions that fell due were worth, beside what was promised and expected."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from churn_pipeline.core.warehouse import connect
from churn_pipeline.monitoring import outcomes
from churn_pipeline.monitoring.interventions import LIFT_METHOD, SAVES_NOTE
from churn_pipeline.monitoring.performance import ASSUMPTION, FIGURES, Quality
from churn_pipeline.monitoring.performance_plots import chart, write_chart
from churn_pipeline.orchestration.home import Home, expected_errors, partition_mondays, picture, table_metadata
from churn_pipeline.orchestration.keys import MODEL_QUALITY, ONE_RUN


def performance_asset(outcomes_key: dg.AssetKey, weekly: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    """The asset that judges what fell due."""

    @dg.asset(
        key=MODEL_QUALITY,
        deps=[outcomes_key],
        group_name="monitoring",
        description="Of the predictions made 5 and 13 weeks before: AUC, Brier, ECE, precision at the top 200 and at the flag, by plan "
        "tier, for all and for the untouched, beside what was promised; of this Monday's own, what to expect. Tables model_quality, "
        "saves and holdout_lift in schema monitoring, and the chart model_quality.png and .svg in HOME/data/published.",
        kinds={"duckdb"},
        partitions_def=weekly,
        backfill_policy=ONE_RUN,
    )
    def model_quality(context: dg.AssetExecutionContext, home: dg.ResourceParam[Home]) -> dg.MaterializeResult:
        with expected_errors(), connect(home.settings) as con:
            findings = []
            for day in outcomes.mondays_to_judge(con, partition_mondays(context)):
                of_monday = outcomes.find(con, day)
                findings.append(of_monday)
                for quality in of_monday.quality:
                    if quality.under and quality.plan_tier == "all" and quality.customers == "all":
                        context.log.warning(
                            f"{day}: {quality.target} of {quality.predicted_on} was under its promise: {', '.join(quality.under)}"
                        )
            outcomes.store(con, findings, context.run.run_id)
            history = outcomes.history(con)
        figure = chart(history)
        files = write_chart(figure, home.settings)
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": sum(len(of_monday.quality) * len(FIGURES) for of_monday in findings),
                "realised": _figures(findings, "realised"),
                "expected": _figures(findings[-1:], "expected"),
                "what expected means": ASSUMPTION,
                "chart": picture("model quality", figure),
                "files": dg.MetadataValue.json([str(path) for path in files]),
                "saves": _saves(findings),
                "what saves mean": SAVES_NOTE,
                "holdout": _lifts(findings),
                "how the lift is judged": LIFT_METHOD,
            }
        )

    return model_quality


def _figures(findings: Sequence[outcomes.Findings], basis: str) -> dg.MarkdownMetadataValue:
    """Figures of whole books; the untouched get a row of their own where somebody was touched."""
    rows: list[tuple[Any, ...]] = []
    for of_monday in findings:
        shown: set[tuple[str, int]] = set()
        for quality in of_monday.quality:
            if quality.plan_tier == "all" and quality.basis == basis and (quality.target, quality.rows) not in shown:
                shown.add((quality.target, quality.rows))
                figures = [_short(quality, name) for name in FIGURES]
                rows.append(
                    (of_monday.monday, quality.target, quality.predicted_on, quality.customers, quality.rows, *figures)
                )
    return table_metadata(
        ["Monday", "target", "predicted on", "customers", "n", *(f"{name} (promised)" for name in FIGURES)], rows
    )


def _saves(findings: Sequence[outcomes.Findings]) -> dg.MarkdownMetadataValue:
    return table_metadata(
        ["predicted on", "touched", "expected to stay", "95 %", "stayed", "left the book"],
        [
            (
                saves.predicted_on,
                saves.touched,
                f"{saves.expected_to_stay:.1f}",
                f"{saves.expected_low:.1f} to {saves.expected_high:.1f}",
                saves.stayed,
                saves.left_the_book,
            )
            for saves in (each.saves for each in findings)
            if saves is not None
        ],
    )


def _lifts(findings: Sequence[outcomes.Findings]) -> dg.MarkdownMetadataValue:
    return table_metadata(
        ["predicted on", "held out", "churned", "others", "churned", "lift", "95 %"],
        [
            (
                lift.predicted_on,
                lift.held_out,
                f"{lift.held_out_rate:.1%}",
                lift.others,
                f"{lift.others_rate:.1%}",
                f"{lift.lift:+.1%}",
                f"{lift.low:+.1%} to {lift.high:+.1%}",
            )
            for lift in (each.lift for each in findings)
            if lift is not None
        ],
    )


def _short(quality: Quality, name: str) -> str:
    figure, promised = quality.figures.get(name), quality.promised.get(name)
    if figure is None or not figure.defined:
        return ""
    text = f"{figure.value:.3f}" + (f" ({promised.value:.3f})" if promised is not None and promised.defined else "")
    return f"{text} under" if name in quality.under else text
