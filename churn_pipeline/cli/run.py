"""What commands do that is no run of a job: a decision about a model, a report about past Mondays."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import duckdb

from churn_pipeline.core.calendar import latest_monday
from churn_pipeline.core.home import home_lock
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.warehouse import connect

if TYPE_CHECKING:
    from churn_pipeline.modeling.ledger import LedgerRow
    from churn_pipeline.monitoring.replay import ReplayReport


def decide_model(
    settings: Settings,
    target: str,
    version: str | None,
    *,
    decision: Literal["rollback", "promote"],
    reason: str,
    who: str,
    waiting: Callable[[str], None] | None = None,
) -> tuple[LedgerRow, str | None]:
    """Puts a version of a model in force, for everybody to see; see :func:`churn_pipeline.modeling.lifecycle.decide_by_hand`."""
    from churn_pipeline.delivery.publish import publish_promotions
    from churn_pipeline.modeling import lifecycle

    with home_lock(settings, f"churn {decision}", waiting), connect(settings) as con:
        row, notice = lifecycle.decide_by_hand(
            con, settings, target, version, decision=decision, reason=reason, who=who
        )
        try:
            publish_promotions(con, settings)
        except (duckdb.Error, OSError) as error:
            # The decision stands in the warehouse, and the next run publishes it.
            problem = f"it is not in {settings.published_database} yet: {error}"
            notice = f"{notice}; {problem}" if notice else problem
    return row, notice


def report_replay(
    settings: Settings,
    first: date,
    last: date,
    *,
    capacity: int | None,
    folder: Path | None = None,
    waiting: Callable[[str], None] | None = None,
) -> tuple[ReplayReport, Path]:
    """Judges past Mondays with the truth known today; returns the report and where its page lies.

    Args:
        settings: the home.
        first: a Monday.
        last: the last Monday.
        capacity: calls a week; whole lists unless given.
        folder: where the page goes; ``HOME/data/published/replay`` unless given.
        waiting: called with a sentence when the home is in use.
    """
    from churn_pipeline.monitoring.replay import replay_report
    from churn_pipeline.monitoring.replay_page import write_replay_report

    latest = latest_monday(settings.clock(), settings.timezone)
    with home_lock(settings, "churn replay-report", waiting), connect(settings) as con:
        replay = replay_report(con, settings, first, last, latest=latest, capacity=capacity)
    return replay, write_replay_report(replay, settings, folder)
