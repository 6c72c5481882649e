"""Truth as it arrives: what the predictions that fell due were worth, beside what was promised and expected."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from churn_pipeline.core.formatting import signed_usd, usd
from churn_pipeline.core.warehouse import connect
from churn_pipeline.orchestration.about import about
from churn_pipeline.orchestration.home import Home, expected_errors, partition_mondays, picture, table_metadata
from churn_pipeline.orchestration.keys import MODEL_QUALITY, ONE_RUN

if TYPE_CHECKING:
    from churn_pipeline.monitoring import outcomes
    from churn_pipeline.monitoring.lists import ListWorth
    from churn_pipeline.monitoring.performance import Quality


def performance_asset(outcomes_key: dg.AssetKey, weekly: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    """The asset that judges what fell due."""

    @dg.asset(
        key=MODEL_QUALITY,
        deps=[outcomes_key],
        **about("monitoring"),
        description="Of the predictions made 5 and 13 weeks before: AUC, Brier, ECE, precision at the top 200 and at the flag, by plan "
        "tier, for all and for the untouched, beside what was promised; of this Monday's own, what to expect. What the call list held of "
        "those who left, saves and the hold-out, in customers and in dollars. Tables model_quality, list_quality, money_calibration, "
        "saves and holdout_lift in schema monitoring, and the chart model_quality.png and .svg in HOME/data/published.",
        kinds={"duckdb"},
        partitions_def=weekly,
        backfill_policy=ONE_RUN,
    )
    def model_quality(context: dg.AssetExecutionContext, home: dg.ResourceParam[Home]) -> dg.MaterializeResult:
        from churn_pipeline.monitoring import outcomes
        from churn_pipeline.monitoring.drawing import png, svg
        from churn_pipeline.monitoring.interventions import LIFT_METHOD, NO_LIST_NOTE, SAVES_NOTE
        from churn_pipeline.monitoring.performance import ASSUMPTION, FIGURES
        from churn_pipeline.monitoring.performance_plots import chart, write_chart

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
        drawn = svg(chart(history))
        image = png(drawn)
        files = write_chart(drawn, image, home.settings)
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": sum(len(of_monday.quality) * len(FIGURES) for of_monday in findings),
                "realised": _figures(findings, "realised"),
                "expected": _figures(findings[-1:], "expected"),
                "what expected means": ASSUMPTION,
                "chart": picture("model quality", image),
                "files": dg.MetadataValue.json([str(path) for path in files]),
                "lists": _lists(findings),
                "money": _money(findings),
                "saves": _saves(findings),
                "what saves mean": f"{SAVES_NOTE}. {NO_LIST_NOTE}",
                "holdout": _lifts(findings),
                "how the lift is judged": LIFT_METHOD,
            }
        )

    return model_quality


def _figures(findings: "Sequence[outcomes.Findings]", basis: str) -> dg.MarkdownMetadataValue:
    """Figures of whole books; the untouched get a row of their own where somebody was touched."""
    from churn_pipeline.monitoring.performance import FIGURES

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


def _lists(findings: "Sequence[outcomes.Findings]") -> dg.MarkdownMetadataValue:
    """What each list held; the others of the same length by their share of the revenue."""
    from churn_pipeline.monitoring.lists import BASIS_NOTE

    rows: list[tuple[Any, ...]] = []
    for of_monday in findings:
        by_ranking = {each.ranking: each for each in of_monday.lists}
        if worked := by_ranking.pop("list", None):
            rows.append(
                (
                    worked.predicted_on,
                    worked.calls,
                    f"{worked.customers.value:,.0f} of {worked.all_customers:,}",
                    usd(worked.revenue.value),
                    _share(worked),
                    "; ".join(f"{ranking} {_share(each)}" for ranking, each in by_ranking.items()),
                    BASIS_NOTE[worked.basis],
                )
            )
    return table_metadata(
        ["predicted on", "calls", "left and were on it", "their revenue", "of all that left", "others", "basis"], rows
    )


def _share(worth: "ListWorth") -> str:
    return f"{worth.revenue_share.value:.0%}" if worth.revenue_share.defined else "unknown"


def _money(findings: "Sequence[outcomes.Findings]") -> dg.MarkdownMetadataValue:
    return table_metadata(
        ["target", "predicted on", "revenue expected to leave", "revenue that left", "left over expected", "95 %"],
        [
            (
                money.target,
                money.predicted_on,
                usd(money.expected_revenue),
                usd(money.left_revenue),
                f"{money.ratio.value:.2f}",
                f"{money.ratio.low:.2f} to {money.ratio.high:.2f}",
            )
            for of_monday in findings
            for money in of_monday.money
            if money.ratio.defined
        ],
    )


def _saves(findings: "Sequence[outcomes.Findings]") -> dg.MarkdownMetadataValue:
    return table_metadata(
        [
            "predicted on",
            "touched",
            "expected to stay",
            "95 %",
            "stayed",
            "left the book",
            "revenue expected to leave",
            "95 % of it",
            "revenue that left",
        ],
        [
            (
                saves.predicted_on,
                saves.touched,
                f"{saves.expected_to_stay:.1f}",
                f"{saves.expected_low:.1f} to {saves.expected_high:.1f}",
                saves.stayed,
                saves.left_the_book,
                usd(saves.revenue_expected_to_leave),
                f"{usd(saves.revenue_expected_low)} to {usd(saves.revenue_expected_high)}",
                usd(saves.revenue_left),
            )
            for saves in (each.saves for each in findings)
            if saves is not None
        ],
    )


def _lifts(findings: "Sequence[outcomes.Findings]") -> dg.MarkdownMetadataValue:
    return table_metadata(
        ["up to", "quarters", "held out", "churned", "others", "churned", "lift", "95 %", "dollars a customer", "95 %"],
        [
            (
                lift.predicted_on,
                lift.quarters,
                lift.held_out,
                f"{lift.held_out_rate:.1%}",
                lift.others,
                f"{lift.others_rate:.1%}",
                # A difference of two rates is no percentage of anything.
                f"{100 * lift.lift:+.1f} points",
                f"{100 * lift.low:+.1f} to {100 * lift.high:+.1f}",
                signed_usd(lift.revenue_lift),
                f"{signed_usd(lift.revenue_low)} to {signed_usd(lift.revenue_high)}",
            )
            for lift in (each.lift for each in findings)
            if lift is not None
        ],
    )


def _short(quality: "Quality", name: str) -> str:
    figure, promised = quality.figures.get(name), quality.promised.get(name)
    if figure is None or not figure.defined:
        return ""
    text = f"{figure.value:.3f}" + (f" ({promised.value:.3f})" if promised is not None and promised.defined else "")
    return f"{text} under" if name in quality.under else text
