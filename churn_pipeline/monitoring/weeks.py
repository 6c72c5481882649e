"""Mondays as a model sees them, read from the marts: what `reference` is made of and `drift` judges."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date

import duckdb

from churn_pipeline.features.frames import first_snapshot, scoring_frame
from churn_pipeline.modeling.model import ScoringModel
from churn_pipeline.modeling.slices import Span
from churn_pipeline.monitoring.drift import training_mondays
from churn_pipeline.monitoring.reference import Reference, Week, build_reference, contribution_shares

# Rows a week whose contributions are computed, and every how many training weeks. Contributions are most of what a reference costs;
# shares of |SHAP| of 500 and of 4,000 rows of one Monday differ by less than half a percentage point.
EXPLAINED = 400
EXPLAINED_EVERY = 4


def week_of(con: duckdb.DuckDBPyConnection, model: ScoringModel, monday: date, *, explain: bool = True) -> Week | None:
    """One Monday with a model's probabilities; None where the mart does not hold it.

    Args:
        con: the warehouse.
        model: whose view it is.
        monday: a snapshot_date.
        explain: also the features' shares of |SHAP|.
    """
    frame = scoring_frame(con, model.target, monday)
    if not len(frame):
        return None
    shares = None
    if explain:
        some = frame.iloc[:: max(1, len(frame) // EXPLAINED)]
        shares = contribution_shares(model.catalogue.names, model.contributions(some)[0])
    return Week(monday, frame, model.probability(frame), shares)


def reference_of(
    con: duckdb.DuckDBPyConnection, model: ScoringModel, spans: Sequence[Span], importance: Mapping[str, float]
) -> Reference:
    """What the training weeks of a model looked like, with all their customers.

    Args:
        con: the warehouse, whose marts still hold those weeks.
        model: the registered one.
        spans: its training and calibration slices.
        importance: mean absolute contribution by feature.

    Raises:
        InputError: none of the weeks is there.
    """
    first = first_snapshot(con, model.target)
    days = training_mondays(*spans, first=first) if first is not None else []

    def weeks() -> Iterator[Week]:
        for number, day in enumerate(days):
            week = week_of(con, model, day, explain=number % EXPLAINED_EVERY == 0)
            if week is not None:
                yield week

    return build_reference(model.target.name, model.training_monday, model.catalogue, weeks(), importance)
