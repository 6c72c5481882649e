"""Mondays as a model sees them, read from the marts: what `reference` is made of and `drift` judges."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from itertools import batched

import duckdb
import numpy as np
import pandas as pd

from churn_pipeline.core.sql import literal
from churn_pipeline.features.frames import first_snapshot
from churn_pipeline.features.splits import Span
from churn_pipeline.modeling.model import ScoringModel
from churn_pipeline.modeling.reference import (
    FeatureWeek,
    Reference,
    build_reference,
    contribution_shares,
    counted_below,
    hash_of,
    training_mondays,
)

# Rows a week whose contributions are computed, and every how many training weeks. Contributions are most of what a reference costs;
# shares of |SHAP| of 500 and of 4,000 rows of one Monday differ by less than half a percentage point.
EXPLAINED = 400
EXPLAINED_EVERY = 4
# Weeks that are read and predicted together: a call costs as much as predicting thousands of rows. Memory grows with it.
AT_ONCE = 13


def week_of(model: ScoringModel, monday: date, frame: pd.DataFrame, *, explain: bool = True) -> FeatureWeek | None:
    """One Monday with a model's probabilities; None where the mart does not hold it.

    Args:
        model: whose view it is.
        monday: a snapshot_date.
        frame: the rows of that Monday in the mart of the model's target.
        explain: also the features' shares of |SHAP|.
    """
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
    read = _counted_frames(con, model, days)

    def weeks() -> Iterator[FeatureWeek]:
        for several in batched(days, AT_ONCE):
            frame = read(several)
            if not len(frame):
                continue
            probability = model.probability(frame)
            day_of_row = frame["snapshot_date"].to_numpy()
            starts = np.flatnonzero(np.append(True, day_of_row[1:] != day_of_row[:-1]))
            for first_row, end in zip(starts, np.append(starts[1:], len(frame)), strict=True):
                rows = frame.iloc[first_row:end]
                day = pd.Timestamp(day_of_row[first_row]).date()
                shares = _shares(model, rows) if day in explained else None
                yield FeatureWeek(day, rows, probability[first_row:end], shares, is_sample=True)

    return build_reference(model.target.name, model.training_monday, model.catalogue, weeks(), importance)


def _counted_frames(
    con: duckdb.DuckDBPyConnection, model: ScoringModel, days: Sequence[date]
) -> Callable[[Sequence[date]], pd.DataFrame]:
    """Reads of some Mondays the customers that a reference counts, and the columns that it looks at.

    A book of 50,000 has ten times the rows that are counted, and reading them all took most of the time and memory of a reference.
    """
    mart = f"marts.{model.target.mart}"
    sizes = con.execute(
        f"select snapshot_date, count(*) from {mart} where snapshot_date in (select unnest(?::date[])) group by all",
        [list(days)],
    ).fetchall()
    below = {day: counted_below(rows) for day, rows in sizes}
    columns = dict.fromkeys(["snapshot_date", "customer_id", "plan_tier", *model.catalogue.names])
    there = {row[0] for row in con.execute(f"describe {mart}").fetchall()}
    select = ", ".join(f'mart."{name}"' for name in columns if name in there)
    ids = pd.Series([], dtype=object)
    if any(limit is not None for limit in below.values()):
        ids = con.execute(f"select distinct customer_id from {mart}").df()["customer_id"]
    hashes = pd.DataFrame({"customer_id": ids.astype(object), "hash": hash_of(ids)})

    def read(mondays: Sequence[date]) -> pd.DataFrame:
        limits = {day: below[day] for day in mondays if day in below}
        wanted = " or ".join(
            f"(snapshot_date = {literal(day)}{'' if limit is None else f' and hash < {limit}::ubigint'})"
            for day, limit in limits.items()
        )
        is_sample = any(limit is not None for limit in limits.values())
        if is_sample:
            highest = max(2**64 - 1 if limit is None else limit for limit in limits.values())
            con.register("hashes", hashes[hashes["hash"] <= np.uint64(highest)])
        try:
            frame = con.execute(
                f"""
                select {select}
                from {mart} as mart {"inner join hashes using (customer_id)" if is_sample else ""}
                -- The span lets DuckDB pass over all other weeks; in the single Mondays it does not see one.
                where snapshot_date between {literal(min(mondays))} and {literal(max(mondays))} and ({wanted or "false"})
                """
            ).df()
        finally:
            if is_sample:
                con.unregister("hashes")
        # Here and not in SQL, which carries all columns along while it sorts.
        return frame.sort_values(["snapshot_date", "customer_id"], ignore_index=True)

    return read
