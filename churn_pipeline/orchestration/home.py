"""The home as a Dagster resource: its settings, its lock for as long as the run lives, and failures that say what to do."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import dagster as dg

from churn_pipeline.core import calendar, run_ledger
from churn_pipeline.core.errors import ChurnError
from churn_pipeline.core.formatting import markdown_table
from churn_pipeline.core.home import home_lock
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.warehouse import connect
from churn_pipeline.orchestration.dbt import InProcessDbt
from churn_pipeline.orchestration.liveness import alive
from churn_pipeline.orchestration.own_runs import run_tags
from churn_pipeline.orchestration.records import kept_open

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from churn_pipeline.core.run_ledger import Refusal
    from churn_pipeline.modeling.store import ModelStore

EXIT_CODE = "exit_code"
# Dagster's own tags.
PARTITION_TAG = "dagster/partition"
RANGE_START_TAG, RANGE_END_TAG = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


@dataclass(frozen=True)
class Home:
    """What an asset needs to know about where it works."""

    settings: Settings
    dbt: InProcessDbt

    @cached_property
    def models(self) -> ModelStore:
        """The models of the run: whoever asks for one after another asset did gets the same, and MLflow is asked once."""
        from churn_pipeline.modeling.store import ModelStore

        return ModelStore(self.settings)

    def now(self) -> datetime:
        """The current instant as the warehouse stores it: UTC, naive."""
        return self.settings.clock().astimezone(UTC).replace(tzinfo=None)

    def scoring_mode(self, snapshot_date: date) -> str:
        """``live`` for the latest Monday, ``as_of`` for any before it."""
        latest = calendar.latest_monday(self.settings.clock(), self.settings.timezone)
        return "live" if snapshot_date == latest else "as_of"


class NoValues(dg.IOManager):
    """Takes the place of Dagster's default, which would pickle whatever an asset returns. Here assets write their own tables
    and return metadata; nothing executable is stored, so nothing executable is ever loaded."""

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        if obj is not None:
            raise TypeError(
                f"{context.step_key} returned a {type(obj).__name__}: an asset writes what it makes by itself and returns a "
                "MaterializeResult"
            )

    def load_input(self, context: dg.InputContext) -> Any:
        raise TypeError("An asset asks for a value of another one: name it in deps and read its table")


def home_resource(settings: Settings, dbt: InProcessDbt, lock: ExitStack | None = None) -> dg.ResourceDefinition:
    """The home, locked from the first step of a run to its last.

    Args:
        settings: the home.
        dbt: the dbt project on its warehouse.
        lock: takes the lock over, for whoever reads what the run made and lets nobody write before that.
    """

    @contextmanager
    def locked(context: dg.InitResourceContext) -> Iterator[Home]:
        run_id = context.run.run_id if context.run else "?"
        log = context.log.info if context.log else None
        if context.run and context.instance:
            # A run of the asset graph has no job that gives them to it, and one that is started again may come from before the home was moved.
            context.instance.add_run_tags(run_id, run_tags(settings))
        # The warehouse stays open for the run's whole life: a BI tool that opened it between two steps would make the next one fail
        # half-way, while here the run waits before it has done anything, and says for whom.
        with ExitStack() as own:
            stack = own if lock is None else lock
            if context.instance:
                own.enter_context(kept_open(context.instance))
            stack.enter_context(alive(settings, run_id))
            stack.enter_context(home_lock(settings, f"Dagster run {run_id}", log))
            stack.enter_context(connect(settings))
            yield Home(settings, dbt)

    return dg.ResourceDefinition(resource_fn=locked, description="Settings and lock of one home directory.")


@contextmanager
def expected_errors() -> Iterator[None]:
    """Turns an expected error into a Dagster failure that carries its message and exit code, and is not retried."""
    try:
        yield
    except ChurnError as error:
        raise dg.Failure(description=str(error), metadata={EXIT_CODE: error.exit_code}, allow_retries=False) from error


def failure_of(refused: Sequence[run_ledger.RunRow | Refusal]) -> dg.Failure:
    """The failure of a run that refused some Mondays: each with its reason, and the exit code of the worst."""
    return dg.Failure(
        description=run_ledger.format_refusals(refused),
        metadata={EXIT_CODE: max(row.exit_code for row in refused)},
        allow_retries=False,
    )


def partition_mondays(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> list[date]:
    """The Mondays of this run, oldest first; one in a weekly run, many in a backfill."""
    return sorted(date.fromisoformat(key) for key in context.partition_keys)


def root_run(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> str:
    """The id of the run that this one goes on with when it is a re-execution, of the run itself otherwise."""
    return context.run.root_run_id or context.run.run_id


def run_mondays(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext, settings: Settings) -> list[date]:
    """The Mondays of the run that an asset without partitions, or a check of one, belongs to; the latest one where the run has none.

    Dagster wants such a check to have no partitions either, so it is not told them, while the run is.
    """
    return mondays_of(context.run.tags) or [calendar.latest_monday(settings.clock(), settings.timezone)]


def mondays_of(tags: Mapping[str, str]) -> list[date]:
    """The Mondays that a run is for by its tags, oldest first: one, a range, or none."""
    if PARTITION_TAG in tags:
        return [date.fromisoformat(tags[PARTITION_TAG])]
    if RANGE_END_TAG in tags:
        first, last = (date.fromisoformat(tags[tag]) for tag in (RANGE_START_TAG, RANGE_END_TAG))
        return list(calendar.mondays(first, last + calendar.WEEK))
    return []


def table_metadata(columns: list[str], rows: list[tuple[Any, ...]]) -> dg.MarkdownMetadataValue:
    """A small table as Markdown, which the Dagster UI shows in place."""
    return dg.MetadataValue.md(markdown_table(columns, rows))


def picture(name: str, drawn: Figure | bytes) -> dg.MarkdownMetadataValue:
    """A plot inside the metadata, so that it is seen where the asset is looked at; the full size lies elsewhere.

    Args:
        name: what it shows.
        drawn: a figure, or a PNG.
    """
    if not isinstance(drawn, bytes):
        buffer = io.BytesIO()
        drawn.savefig(buffer, format="png", dpi=70, bbox_inches="tight")
        drawn = buffer.getvalue()
    return dg.MetadataValue.md(f"![{name}](data:image/png;base64,{base64.b64encode(drawn).decode()})")
