"""What the assets share: the partition, the keys, the groups, and how Mondays are told apart in a run of many."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import dagster as dg
import duckdb

from churn_pipeline.contract import TABLES
from churn_pipeline.core import run_ledger
from churn_pipeline.core.errors import RefusedError
from churn_pipeline.core.settings import Settings
from churn_pipeline.delivery.channel import Channel
from churn_pipeline.orchestration import partitions
from churn_pipeline.orchestration.about import about
from churn_pipeline.orchestration.home import partition_mondays

# A backfill of many Mondays is one run: landing and the marts are built once for all of them, and DuckDB's one writer never
# meets another.
ONE_RUN = dg.BackfillPolicy.single_run()


def weekly(settings: Settings, first: date | None = None) -> dg.WeeklyPartitionsDefinition:
    """The one partition of the pipeline: Mondays. This Monday's exists from its first minute on, before anything of it is over,
    because a snapshot is the state *before* that Monday.

    Args:
        settings: the home.
        first: the oldest of them; :func:`partitions.first_offered` unless given.
    """
    first = first or partitions.first_offered(settings)
    return dg.WeeklyPartitionsDefinition(
        start_date=first.isoformat(), day_offset=1, end_offset=1, timezone=settings.timezone
    )


def accepted_mondays(context: dg.AssetExecutionContext, con: duckdb.DuckDBPyConnection) -> list[date]:
    """The Mondays of this run without those that it refused, oldest first.

    Of an asset that is materialized by itself the ledger knows no Monday, and none is left out.

    Args:
        context: of the asset.
        con: the warehouse.
    """
    refused = {row.snapshot_date for row in run_ledger.refusals(con, context.run.run_id)}
    return [day for day in partition_mondays(context) if day not in refused]


def require_a_list(context: dg.AssetExecutionContext, requested: Sequence[date], published: Collection[date]) -> None:
    """Fails what copies published Mondays when it is materialized by itself and has none. In a whole run ``published`` says so.

    Args:
        context: of the asset.
        requested: :func:`not_refused`.
        published: those of them that are published.

    Raises:
        RefusedError: none is, and nothing else in the run would say so.
    """
    selected = context.run.asset_selection
    if requested and not published and selected is not None and PUBLISHED not in selected:
        raise RefusedError(
            f"there is no published list of {requested[0] if len(requested) == 1 else f'{requested[0]} to {requested[-1]}'}; "
            "'churn run' or 'churn backfill' makes one"
        )


def monday_by_monday(
    context: dg.AssetExecutionContext,
    key: dg.AssetKey,
    done: Collection[date],
    metadata: Mapping[str, Any],
    rows: Mapping[date, int] | None = None,
) -> Iterator[dg.MaterializeResult]:
    """Materializes the Mondays that an asset has done and no other; the asset's output must not be required.

    A result stands for every Monday of the run. Where one of them was not done, the others are reported one by one, and there is no
    result. So are Mondays beyond those of the run.

    Args:
        context: of the asset.
        key: the asset.
        done: Mondays.
        metadata: the same for each of them.
        rows: customers of each.
    """
    requested = partition_mondays(context)
    whole = all(day in done for day in requested)
    for day in done:
        if not whole or day not in requested:
            context.log_event(
                dg.AssetMaterialization(
                    key, partition=day.isoformat(), metadata={**_row_count([day], rows), **metadata}
                )
            )
    if whole:
        yield dg.MaterializeResult(asset_key=key, metadata={**_row_count(requested, rows), **metadata})


def _row_count(days: Collection[date], rows: Mapping[date, int] | None) -> dict[str, int]:
    return {} if rows is None else {"dagster/row_count": sum(rows[day] for day in days)}


def raw_key(table: str) -> dg.AssetKey:
    return dg.AssetKey(["raw", table])


def landing_key(table: str) -> dg.AssetKey:
    return dg.AssetKey(["landing", table])


RAW = [
    dg.AssetSpec(
        raw_key(name),
        **about("raw"),
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
RESCORED_CANDIDATES = dg.AssetKey(["policy", "rescored_candidates"])
DRIFT = dg.AssetKey(["monitoring", "drift"])
MODEL_QUALITY = dg.AssetKey(["monitoring", "model_quality"])
OUTLOOK = dg.AssetKey(["monitoring", "revenue_outlook"])
JUDGEMENT = dg.AssetKey(["monitoring", "judgement"])
DIGEST = dg.AssetKey("slack_digest")
DATA_DOCS = dg.AssetKey("data_docs")
BRIEFS = dg.AssetKey("expansion_briefs")
# The executor takes what is ready by priority: this is done when nothing else is left.
LAST = {"dagster/priority": "-10"}
# After the channels too, which are told that the list is out: this may wait for somebody else's machine.
AFTER_EVERYTHING = {"dagster/priority": "-40"}
# What finds out notices, and is upstream of nothing: done as soon as it can be, so that a list is published with all of its notices.
BEFORE_PUBLICATION = {"dagster/priority": "10"}

# Who finds out what is told of the level of a Monday: the scores, and drift, which says it in other words where both speak.
LEVEL = "level"

PUBLISHED = dg.AssetKey("published")
REPLAY_REPORT = dg.AssetKey("replay_report")
RESCORED_COPY = dg.AssetKey("published_rescored")

# Groups of what a Monday run does not make.
RESCORING = "rescoring"
REPLAY = "replay"
# The tables of the policy, and what event types mean.
SEEDS = "policy_seeds"


def model_key(target: str) -> dg.AssetKey:
    return dg.AssetKey(["models", target])


def channel_key(channel: Channel) -> dg.AssetKey:
    return dg.AssetKey(channel.name)
