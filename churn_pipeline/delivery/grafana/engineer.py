"""The dashboard of the engineer: runs, data quality, drift and performance."""

from __future__ import annotations

from churn_pipeline.core.targets import TARGETS, target_of
from churn_pipeline.delivery.grafana.panels import (
    NEWEST,
    Json,
    Place,
    board,
    choices,
    column,
    line,
    series,
    share,
    stat,
    table,
    words,
)

# As monitoring writes them, and from good to bad.
VERDICTS = {"unknown": "text", "none": "green", "watch": "orange", "act": "red"}


def quality(title: str, description: str, place: Place, figure: str, unit: str | None = None) -> Json:
    """A figure of the chosen model over time."""
    return series(
        title,
        f"{description} By the Monday of the prediction: realised once its window is closed, expected from the probabilities alone, "
        "promised at promotion.",
        place,
        f"""select predicted_on::timestamp as "time", max(value) filter (where basis = 'realised') as "realised",
       max(low) filter (where basis = 'realised') as "realised, low", max(high) filter (where basis = 'realised') as "realised, high",
       max(value) filter (where basis = 'expected') as "expected", max(promised) as "promised"
from churn.model_quality
where $__timeFilter(predicted_on) and target = ${{target:sqlstring}} and figure = '{figure}' and plan_tier = 'all' and customers = 'all'
group by predicted_on
order by predicted_on""",
        [
            line("realised", "blue"),
            line("realised, low", "semi-dark-blue", dashed=True),
            line("realised, high", "semi-dark-blue", dashed=True),
            line("expected", "text"),
            line("promised", "orange", dashed=True),
        ],
        unit=unit,
    )


def engineer() -> Json:
    """The dashboard, for the targets that are declared."""
    verdicts = ", ".join(f"'{verdict}'" for verdict in VERDICTS)
    models = ", ".join(f"{target.version_column}, {target.kind_column}" for target in TARGETS.values())
    scores = ",\n       ".join(f"max(score) filter (where target = '{target}') as \"{target}\"" for target in TARGETS)
    return board(
        "churn-engineer",
        "Pipeline and models",
        "Runs, data quality, drift and performance.",
        "engineer",
        [
            choices(
                "target",
                "Model",
                "Whose drift, data quality and performance are shown",
                """
                select distinct target from churn.drift_verdicts
                union
                select distinct target from churn.promotions
                order by 1
                """,
                chosen=target_of("risk").name,
            )
        ],
        [
            stat(
                "Days since the newest Monday",
                "7 and more: this Monday's run has not published.",
                (0, 0, 4, 4),
                """
                select ((now() at time zone 'UTC')::date - max(snapshot_date))::double precision as days from churn.predictions
                """,
                unit="d",
                decimals=0,
                steps=(("green", None), ("orange", 7), ("red", 14)),
            ),
            stat(
                "Customers scored",
                "Rows of the newest Monday.",
                (4, 0, 4, 4),
                f"select count(*) as customers from churn.predictions where snapshot_date = {NEWEST}",
                unit="none",
            ),
            stat(
                "Mondays refused",
                "Mondays of the time range whose newest run refused to publish them.",
                (8, 0, 4, 4),
                """
                select count(*) filter (where status = 'refused') as refused
                from (select distinct on (snapshot_date) snapshot_date, status from churn.runs where $__timeFilter(snapshot_date) order by snapshot_date, recorded_at desc) as newest
                """,
                unit="none",
                steps=(("green", None), ("red", 1)),
            ),
            stat(
                "Drift on the newest Monday",
                "The verdict over all models, that of the worst. unknown: no reference, or a time of year without training weeks.",
                (12, 0, 4, 4),
                f"""
                select (array_position(array[{verdicts}], drift) - 1)::double precision as drift from churn.judgements order by snapshot_date desc limit 1
                """,
                steps=tuple((colour, index or None) for index, colour in enumerate(VERDICTS.values())),
                mappings=[
                    {
                        "type": "value",
                        "options": {
                            str(index): {"text": verdict, "color": colour, "index": index}
                            for index, (verdict, colour) in enumerate(VERDICTS.items())
                        },
                    }
                ],
            ),
            stat(
                "Models under their promise",
                "Models whose newest realised figures are worse than promised at promotion by more than chance.",
                (16, 0, 4, 4),
                """
                select count(*) filter (where is_under_promise) as models
                from (select distinct on (target) target, is_under_promise from churn.model_health where basis = 'realised' order by target, assessed_on desc, predicted_on desc) as newest
                """,
                unit="none",
                steps=(("green", None), ("red", 1)),
            ),
            stat(
                "Worst missing share against training",
                "Newest Monday, over all models and features: how much more often a value is missing than in the training weeks, in points.",
                (20, 0, 4, 4),
                """
                select coalesce(max(missing_share - missing_share_reference), 0) as excess
                from churn.drift
                where snapshot_date = (select max(snapshot_date) from churn.drift) and plan_tier = 'all'
                """,
                unit="percentunit",
                decimals=1,
                steps=(("green", None), ("orange", 0.03), ("red", 0.1)),
            ),
            table(
                "Runs",
                "What became of every Monday that a run was asked for, newest first; refused ones say why. Exit codes are those of the command line.",
                (0, 4, 14, 10),
                """
                select recorded_at, snapshot_date::text as snapshot_date, scoring_mode, status, customers, reason, exit_code, run_id
                from churn.runs
                where $__timeFilter(snapshot_date)
                order by recorded_at desc, snapshot_date desc
                limit 500
                """,
                [
                    column("recorded_at", "Recorded", unit="dateTimeAsIso", width=160),
                    column("snapshot_date", "Monday", width=110),
                    column("scoring_mode", "Mode", width=80),
                    column(
                        "status",
                        "Status",
                        mappings=words({"published": "green", "refused": "red", "failed": "red"}),
                        coloured=True,
                        width=100,
                    ),
                    column("customers", "Customers", width=100),
                    column("reason", "Why", width=360),
                    column("exit_code", "Exit", width=60),
                    column("run_id", "Run"),
                ],
            ),
            series(
                "Customers scored by Monday",
                "Published rows. A gap is a Monday that was not published; live and as_of are the two modes of scoring.",
                (14, 4, 10, 10),
                """
                select snapshot_date::timestamp as "time", count(*) filter (where scoring_mode = 'live') as "live", count(*) filter (where scoring_mode = 'as_of') as "as_of"
                from churn.predictions
                where $__timeFilter(snapshot_date)
                group by snapshot_date
                order by snapshot_date
                """,
                unit="none",
                smallest=0,
                bars=True,
                stacked=True,
            ),
            table(
                "Publications to PostgreSQL",
                "Who published which Monday, when and why. Append-only.",
                (0, 14, 24, 8),
                f"""
                select published_at, snapshot_date::text as snapshot_date, cause, rows, scoring_mode, policy_version, {models}, who, database_user, run_id
                from churn.publications
                where $__timeFilter(snapshot_date)
                order by seq desc
                limit 500
                """,
                [
                    column("published_at", "Published", unit="dateTimeAsIso", width=160),
                    column("snapshot_date", "Monday", width=110),
                    column("cause", "Cause"),
                    column("rows", "Rows"),
                    column("scoring_mode", "Mode"),
                    column("policy_version", "Policy"),
                    *(
                        column(name, label)
                        for target in TARGETS.values()
                        for name, label in (
                            (target.version_column, target.name),
                            (target.kind_column, f"{target.name}, kind"),
                        )
                    ),
                    column("who", "Who"),
                    column("database_user", "Login"),
                    column("run_id", "Run"),
                ],
            ),
            series(
                "Missing and impossible values by Monday",
                "Data quality as the chosen model saw it: the worst feature's share of missing values beyond training's, and the worst share outside the range of training.",
                (0, 22, 10, 10),
                """
                select snapshot_date::timestamp as "time", max(missing_share - missing_share_reference) as "missing beyond training", max(out_of_range_share) as "out of range"
                from churn.drift
                where $__timeFilter(snapshot_date) and target = ${target:sqlstring} and plan_tier = 'all'
                group by snapshot_date
                order by snapshot_date
                """,
                unit="percentunit",
            ),
            table(
                "Data quality by feature, newest Monday",
                "Features of the chosen model with missing or out-of-range values, the largest excess over training first.",
                (10, 22, 14, 10),
                """
                select feature, missing_share, missing_share_reference, missing_share - missing_share_reference as missing_excess, out_of_range_share, rows
                from churn.drift
                where snapshot_date = (select max(snapshot_date) from churn.drift) and target = ${target:sqlstring} and plan_tier = 'all'
                order by greatest(missing_share - missing_share_reference, out_of_range_share) desc nulls last, feature
                """,
                [
                    column("feature", "Feature"),
                    share("missing_share", "Missing"),
                    share("missing_share_reference", "Missing in training"),
                    share(
                        "missing_excess",
                        "Beyond training",
                        coloured=True,
                        steps=(("text", None), ("orange", 0.03), ("red", 0.1)),
                    ),
                    share("out_of_range_share", "Out of range"),
                    column("rows", "Customers"),
                ],
            ),
            series(
                "Drift score by model",
                "Points of all features that are beyond their limits: 0 is none, from the score of act on the pipeline proposes to retrain.",
                (0, 32, 10, 10),
                f"""
                select snapshot_date::timestamp as "time",
                       {scores}
                from churn.drift_verdicts
                where $__timeFilter(snapshot_date)
                group by snapshot_date
                order by snapshot_date
                """,
                smallest=0,
            ),
            table(
                "Drift by feature, newest Monday",
                "The chosen model, all plans together and each plan: how far from the training weeks and from last week (population stability index), beside its limit. Nearest to or furthest beyond a limit first.",
                (10, 32, 14, 10),
                """
                select feature, plan_tier, verdict, psi_reference, limit_reference, psi_week, limit_week, share_now, share, votes, rows
                from churn.drift
                where snapshot_date = (select max(snapshot_date) from churn.drift) and target = ${target:sqlstring}
                order by greatest(psi_reference / nullif(limit_reference, 0), psi_week / nullif(limit_week, 0)) desc nulls last, feature, plan_tier
                """,
                [
                    column("feature", "Feature"),
                    column("plan_tier", "Plan"),
                    column(
                        "verdict",
                        "Verdict",
                        mappings=words(VERDICTS),
                        coloured=True,
                    ),
                    column("psi_reference", "From training", decimals=3),
                    column("limit_reference", "Limit", decimals=3),
                    column("psi_week", "From last week", decimals=3),
                    column("limit_week", "Limit, week", decimals=3),
                    share("share_now", "Share of |SHAP|"),
                    share("share", "Share in training"),
                    column("votes", "Votes"),
                    column("rows", "Customers"),
                ],
            ),
            table(
                "Judgements",
                "One a Monday: drift over all models with why, and the models that were under their promise.",
                (0, 42, 24, 8),
                """
                select snapshot_date::text as snapshot_date, drift, array_to_string(drift_reasons, '; ') as drift_reasons, under::text as under, run_id
                from churn.judgements
                where $__timeFilter(snapshot_date)
                order by snapshot_date desc
                """,
                [
                    column("snapshot_date", "Monday", width=110),
                    column(
                        "drift",
                        "Drift",
                        mappings=words(VERDICTS),
                        coloured=True,
                        width=90,
                    ),
                    column("drift_reasons", "Why", width=700),
                    column("under", "Under their promise", width=260),
                    column("run_id", "Run"),
                ],
            ),
            quality("Ranking (AUC)", "How well the chosen model ranks. Judged.", (0, 50, 12, 9), "auc"),
            quality(
                "Brier skill",
                "How much better the probabilities of the chosen model are than the base rate; 0 is no better. Judged.",
                (12, 50, 12, 9),
                "brier_skill",
            ),
            quality(
                "Calibration error (ECE)",
                "Mean distance of probability and outcome of the chosen model. Shown, not judged: it is biased upwards the fewer rows there are.",
                (0, 59, 12, 9),
                "ece",
                unit="percentunit",
            ),
            quality(
                "Precision of the first 200",
                "Share of the first 200 of the chosen model to whom it happened. It follows the base rate, which has seasons.",
                (12, 59, 12, 9),
                "precision_top_200",
                unit="percentunit",
            ),
            table(
                "Model health",
                "Every model by Monday: predictions that fell due (realised) and this Monday's own (expected), beside what was promised.",
                (0, 68, 14, 10),
                """
                select assessed_on::text as assessed_on, target, basis, predicted_on::text as predicted_on, version, predictions, positives, auc, auc_promised, brier_skill, brier_skill_promised, ece, is_under_promise, drift
                from churn.model_health
                where $__timeFilter(assessed_on)
                order by assessed_on desc, target, basis
                limit 500
                """,
                [
                    column("assessed_on", "Monday"),
                    column("target", "Model"),
                    column("basis", "Basis"),
                    column("predicted_on", "Predicted on"),
                    column("version", "Version"),
                    column("predictions", "Predictions"),
                    column("positives", "Happened", decimals=0),
                    column("auc", "AUC", decimals=3),
                    column("auc_promised", "AUC promised", decimals=3),
                    column("brier_skill", "Brier skill", decimals=3),
                    column("brier_skill_promised", "Brier skill promised", decimals=3),
                    column("ece", "ECE", decimals=3),
                    column("is_under_promise", "Under promise"),
                    column(
                        "drift",
                        "Drift",
                        mappings=words(VERDICTS),
                        coloured=True,
                    ),
                ],
            ),
            table(
                "Promotions",
                "The ledger of models, newest first: what was promoted or not, from which Monday on, and why. Not filtered by time.",
                (14, 68, 10, 10),
                """
                select recorded_at, target, version, metrics ->> 'kind' as kind, promoted, effective_from::text as effective_from, labels_closed_by::text as labels_closed_by, reason, who
                from churn.promotions
                order by seq desc
                limit 200
                """,
                [
                    column("recorded_at", "Recorded", unit="dateTimeAsIso"),
                    column("target", "Model"),
                    column("version", "Version"),
                    column("kind", "Kind"),
                    column("promoted", "Promoted"),
                    column("effective_from", "From"),
                    column("labels_closed_by", "Labels closed by"),
                    column("reason", "Why", width=400),
                    column("who", "Who"),
                ],
            ),
        ],
    )
