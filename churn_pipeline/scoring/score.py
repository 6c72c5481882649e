"""One vectorised pass per target over everybody who is active on a Monday, and their reasons in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from churn_pipeline.core.targets import EXPLAINED, ROLES, TARGETS, shorter_than
from churn_pipeline.features.catalogue import Catalogue
from churn_pipeline.modeling.model import ScoringModel
from churn_pipeline.scoring.drivers import DRIVER_TYPE, change_drivers, top_drivers
from churn_pipeline.scoring.kept import Kept, row_digests
from churn_pipeline.scoring.themes import CHANGE_TYPE, THEME_TYPE, change_column, change_parts, reasons, standings_of

# Over this share of customers raised, two models of one event disagree about who is at risk soon, and one of them is wrong.
MAX_RAISED_SHARE = 0.02

# Customers whose reasons are in memory at once. More makes nothing faster.
ROWS_AT_ONCE = 50_000

SCORES = pa.schema(
    [
        ("snapshot_date", pa.date32()),
        ("customer_id", pa.string()),
        ("target", pa.string()),
        ("probability", pa.float64()),
        ("bias", pa.float64()),
        ("contributions", pa.list_(pa.struct([("feature", pa.string()), ("contribution", pa.float64())]))),
        ("drivers", DRIVER_TYPE),
        ("change_drivers", DRIVER_TYPE),
        ("themes", THEME_TYPE),
        ("change_themes", CHANGE_TYPE),
    ]
)


@dataclass(frozen=True)
class ScoredMonday:
    """The scores of one Monday. Reasons are made batch by batch while they are read, so that memory holds those of one batch.

    Attributes:
        probabilities: by target, as declared, those of the customers of its mart, ordered by customer_id.
        customers: active customers.
        adjusted: by target with a shorter horizon beside it, the share of customers whose probability was raised to that of a shorter one.
        notices: what a person should know, for example columns that were not there.
        batches: makes the scores, schema ``SCORES``, one row per target and customer of its mart, ordered by target (as declared) and
            customer_id. Bias and contributions add up to the log-odds of the calibrated probability before the raise. Only explained
            targets have drivers, and only the one of role risk has themes and what changed.
        explained: makes the digests of the rows that the contributions of role risk are of: customer_id, row_digest.
    """

    probabilities: Mapping[str, NDArray[np.float64]]
    customers: int
    adjusted: Mapping[str, float]
    notices: tuple[str, ...]
    batches: Callable[[], Iterator[pa.Table]]
    explained: Callable[[], pa.Table]

    @property
    def means(self) -> dict[str, float]:
        """By target the mean of its probabilities; without a target that nobody was scored for."""
        return {name: float(values.mean()) for name, values in self.probabilities.items() if len(values)}

    @property
    def adjusted_share(self) -> float:
        """The largest share of customers raised."""
        return max(self.adjusted.values(), default=0.0)


def score_monday(
    snapshot_date: date,
    models: Mapping[str, ScoringModel],
    frames: Mapping[str, pd.DataFrame],
    before: pd.DataFrame,
    today: Catalogue,
    kept: Kept | None = None,
) -> ScoredMonday:
    """Scores one Monday.

    Args:
        snapshot_date: the Monday.
        models: by target; all that are required, and of the others those there are.
        frames: by target, the mart's rows of the Monday, ordered by customer_id.
        before: the rows of the Monday before in the mart of the target of role risk, for what changed.
        today: the catalogue of that mart as it is now, for models that were stored without themes.
        kept: reads back contributions of the Monday before; without it all are computed.
    """
    targets = [target for target in TARGETS if target in models]
    calibrated = {target: models[target].probability(frames[target]) for target in targets}
    raised, adjusted = monotone(
        {
            target: pd.Series(calibrated[target], index=pd.Index(frames[target]["customer_id"]), dtype=np.float64)
            for target in targets
        }
    )
    probabilities = {target: raised[target].to_numpy() for target in targets}

    def batches() -> Iterator[pa.Table]:
        for target in targets:
            model, frame = models[target], frames[target]
            reasons_of = _Reasons(model, frame, before, today, kept) if target == ROLES["risk"] else None
            for start in range(0, len(frame), ROWS_AT_ONCE):
                rows = slice(start, start + ROWS_AT_ONCE)
                some, final = frame.iloc[rows], probabilities[target][rows]
                contributions, bias = model.contributions(some)
                columns = {
                    "snapshot_date": pa.repeat(pa.scalar(snapshot_date, pa.date32()), len(some)),
                    "customer_id": pa.array(some["customer_id"], pa.string()),
                    "target": pa.repeat(target, len(some)),
                    "probability": pa.array(final, pa.float64()),
                    "bias": pa.repeat(bias, len(some)),
                    "contributions": _contributions(model.catalogue.names, contributions),
                }
                if target in {ROLES[role] for role in EXPLAINED}:
                    columns["drivers"] = top_drivers(model.catalogue, some, contributions)
                if reasons_of is not None:
                    columns |= reasons_of.of(rows, contributions, bias, final - calibrated[target][rows])
                nothing = {field.name: pa.nulls(len(some), field.type) for field in SCORES if field.name not in columns}
                yield pa.table(columns | nothing).select(SCORES.names).cast(SCORES)

    def explained() -> pa.Table:
        model, frame = models[ROLES["risk"]], frames[ROLES["risk"]]
        customers = pa.array(frame["customer_id"], pa.string())
        return pa.table({"customer_id": customers, "row_digest": row_digests(model, frame)})

    notices = dict.fromkeys(notice for target in targets for notice in models[target].notices(frames[target]))
    return ScoredMonday(probabilities, len(frames[ROLES["risk"]]), adjusted, tuple(notices), batches, explained)


class _Reasons:
    """What is said of the customers of a Monday, some of them at a time: drivers, themes and what changed.

    Args:
        model: that scored them.
        frame: all of the Monday, ordered by customer_id: they are compared with each other.
        before: the Monday before.
        today: the catalogue as it is now.
        kept: contributions of the Monday before.
    """

    def __init__(
        self,
        model: ScoringModel,
        frame: pd.DataFrame,
        before: pd.DataFrame,
        today: Catalogue,
        kept: Kept | None,
    ) -> None:
        self._model, self._frame, self._before, self._kept = model, frame, before, kept
        self._catalogue = model.catalogue.with_themes(today)
        self._standing = standings_of(self._catalogue, frame)
        self._position_before = pd.Index(before["customer_id"]).get_indexer(pd.Index(frame["customer_id"]))

    def of(
        self, rows: slice, contributions: NDArray[np.float64], bias: float, raised: NDArray[np.float64]
    ) -> dict[str, pa.Array]:
        """The columns of some customers.

        Args:
            rows: which ones.
            contributions: of them, shape (rows, features), log-odds.
            bias: of the model.
            raised: by how much their probabilities were raised to those of a shorter horizon.
        """
        frame, position = self._frame.iloc[rows], self._position_before[rows]
        standing = {name: of_all.of(rows) for name, of_all in self._standing.items()}
        columns = {"themes": reasons(self._catalogue, frame, contributions, standing)}
        known = position >= 0
        before = self._before.iloc[position[known]]
        former = self._former(before)
        columns["change_drivers"] = change_drivers(self._model.catalogue, frame, before, contributions, former)
        parts = change_parts(self._catalogue, contributions[known], former, bias, raised[known])
        # Without a Monday before nothing is known of what changed.
        columns["change_themes"] = (
            change_column(parts, known) if len(self._before) else pa.nulls(len(frame), CHANGE_TYPE)
        )
        return columns

    def _former(self, before: pd.DataFrame) -> NDArray[np.float64]:
        """Contributions of the Monday before, by the model of today; those that are kept are not computed again."""
        if self._kept is None or before.empty:
            return self._model.contributions(before)[0]
        is_kept, contributions = self._kept(before["customer_id"], row_digests(self._model, before))
        former = np.empty((len(before), len(self._model.catalogue)))
        former[is_kept] = contributions
        if not is_kept.all():
            former[~is_kept] = self._model.contributions(before[~is_kept])[0]
        return former


def monotone(probabilities: Mapping[str, pd.Series]) -> tuple[dict[str, pd.Series], dict[str, float]]:
    """Raises probabilities of one event so that none falls with the horizon.

    Args:
        probabilities: by target, indexed by customer; targets that are not there raise nothing.

    Returns:
        By target the maximum of its probability and those of the shorter horizons, and by each target that has a shorter one beside it
        the share of its customers that were raised.
    """
    raised, shares = {}, {}
    for name, own in probabilities.items():
        shorter = [probabilities[other.name] for other in shorter_than(TARGETS[name]) if other.name in probabilities]
        highest = own
        for other in shorter:
            # Of a customer whom the other mart does not have nothing is known there.
            highest = pd.Series(np.fmax(highest, other.reindex(own.index)), index=own.index)
        raised[name] = highest
        if shorter:
            shares[name] = float(np.mean(highest > own)) if len(own) else 0.0
    return raised, shares


def _contributions(features: list[str], values: np.ndarray) -> pa.ListArray:
    rows, width = values.shape
    entries = pa.StructArray.from_arrays(
        [
            pa.DictionaryArray.from_arrays(
                np.tile(np.arange(width, dtype=np.int32), rows), features
            ).dictionary_decode(),
            pa.array(values.ravel(), pa.float64()),
        ],
        names=["feature", "contribution"],
    )
    return pa.ListArray.from_arrays(np.arange(0, rows * width + 1, width, dtype=np.int32), entries)
