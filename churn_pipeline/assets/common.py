"""What the assets share: the partition, the keys, the groups."""

from __future__ import annotations

import dagster as dg

from churn_pipeline.contract import TABLES
from churn_pipeline.settings import Settings

# A backfill of many Mondays is one run: landing and the marts are built once for all of them, and DuckDB's one writer never
# meets another.
ONE_RUN = dg.BackfillPolicy.single_run()


def weekly(settings: Settings) -> dg.WeeklyPartitionsDefinition:
    """The one partition of the pipeline: Mondays. This Monday's exists from its first minute on, before anything of it is over,
    because a snapshot is the state *before* that Monday."""
    return dg.WeeklyPartitionsDefinition(
        start_date=settings.first_monday.isoformat(), day_offset=1, end_offset=1, timezone=settings.timezone
    )


def raw_key(table: str) -> dg.AssetKey:
    return dg.AssetKey(["raw", table])


def landing_key(table: str) -> dg.AssetKey:
    return dg.AssetKey(["landing", table])


RAW = [
    dg.AssetSpec(
        raw_key(name),
        group_name="raw",
        description=f"{table.meaning} As the source exports it; see docs/data-contract.md.",
        kinds={"parquet"},
    )
    for name, table in TABLES.items()
]

SNAPSHOTS_TO_BUILD = dg.AssetKey(["control", "snapshots_to_build"])
DAYS_TO_BUILD = dg.AssetKey(["control", "days_to_build"])
MONDAYS_TO_TEST = dg.AssetKey(["control", "mondays_to_test"])
HOLDOUT = dg.AssetKey(["control", "holdout"])
SCORES = dg.AssetKey(["scoring", "scores"])
SCORED_MONDAYS = dg.AssetKey(["scoring", "scored_mondays"])
RESCORES = dg.AssetKey(["scoring", "rescores"])
DRIFT = dg.AssetKey(["monitoring", "drift"])
MODEL_QUALITY = dg.AssetKey(["monitoring", "model_quality"])
JUDGEMENT = dg.AssetKey(["monitoring", "judgement"])
DIGEST = dg.AssetKey("slack_digest")
DATA_DOCS = dg.AssetKey("data_docs")
WEEKLY_REPORT = dg.AssetKey("weekly_report")
# The executor takes what is ready by priority: this is done when nothing else is left.
LAST = {"dagster/priority": "-10"}
# After publication and monitoring, and before people are told to look.
BEFORE_LAST = {"dagster/priority": "-5"}

PUBLISHED = dg.AssetKey("published")
PUBLISHED_POSTGRES = dg.AssetKey("published_postgres")
REPLAY_REPORT = dg.AssetKey("replay_report")
RESCORED_COPY = dg.AssetKey("published_rescored")

# Groups of what a Monday run does not make.
RESCORING = "rescoring"
REPLAY = "replay"


def model_key(target: str) -> dg.AssetKey:
    return dg.AssetKey(["models", target])
