"""Mondays as a model sees them, read from the marts: what `reference` is made of and `drift` judges."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from itertools import batched

import duckdb
import numpy as np
import pandas as pd

from churn_pipeline.features.frames import first_snapshot, scoring_frame
from churn_pipeline.features.splits import Span
from churn_pipeline.modeling.model import ScoringModel
from churn_pipeline.modeling.reference import (
    FeatureWeek,
    Reference,
    build_reference,
    contribution_shares,
    training_mondays,
)

# Rows a week whose contributions are computed, and every how many training weeks. Contributions are most of what a reference costs;
# shares of |SHAP| of 500 and of 4,000 rows of one Monday differ by less than half a percentage point.
EXPLAINED = 400
EXPLAINED_EVERY = 4
# Weeks that are read and predicted together: a call costs as much as predicting thousands of rows. Memory grows with it.
AT_ONCE = 13


def week_of(
    con: duckdb.DuckDBPyConnection, model: ScoringModel, monday: date, *, explain: bool = True
) -> FeatureWeek | None:
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
    return FeatureWeek(monday, frame, model.probability(frame), _shares(model, frame) if explain else None)


def _shares(model: ScoringModel, frame: pd.DataFrame) -> dict[str, float]:
    some = frame.iloc[:: max(1, len(frame) // EXPLAINED)]
    return contribution_shares(model.catalogue.names, model.contributions(some)[0])


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

    explained = set(days[::EXPLAINED_EVERY])

    def weeks() -> Iterator[FeatureWeek]:
        for several in batched(days, AT_ONCE):
            frame = scoring_frame(con, model.target, *several)
            if not len(frame):
                continue
            probability = model.probability(frame)
            day_of_row = frame["snapshot_date"].to_numpy()
            starts = np.flatnonzero(np.append(True, day_of_row[1:] != day_of_row[:-1]))
            for first_row, end in zip(starts, np.append(starts[1:], len(frame)), strict=True):
                rows = frame.iloc[first_row:end].reset_index(drop=True)
                day = pd.Timestamp(day_of_row[first_row]).date()
                shares = _shares(model, rows) if day in explained else None
                yield FeatureWeek(day, rows, probability[first_row:end], shares)

    return build_reference(model.target.name, model.training_monday, model.catalogue, weeks(), importance)
