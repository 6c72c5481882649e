"""Drivers: the contributions that matter most, put into words.

Everything is made in columns. What is written is written once for each value that reads differently, and not once a customer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from churn_pipeline.features.catalogue import Catalogue
from churn_pipeline.scoring.columns import written_alike

TOP = 5

# Contributions are in log-odds of the calibrated probability.
DRIVER_TYPE = pa.list_(
    pa.struct(
        [
            ("feature", pa.string()),
            ("label", pa.string()),
            ("value", pa.string()),
            ("contribution", pa.float64()),
            ("sentence", pa.string()),
        ]
    )
)


def top_drivers(catalogue: Catalogue, frame: pd.DataFrame, contributions: NDArray[np.float64]) -> pa.ListArray:
    """The largest contributions of each row, by absolute value; ties keep the catalogue's order.

    Args:
        catalogue: the model's features, in the order of the columns of ``contributions``.
        frame: features as the mart holds them; a column that is missing reads as unknown.
        contributions: shape (rows, features), log-odds.

    Returns:
        Of ``DRIVER_TYPE``, for each row up to five drivers. Contributions of exactly 0 say nothing and are left out, except that the first
        always stays: a customer without a single reason would look like a mistake.
    """
    entries = _largest(contributions, keep_first=True)
    values, sentences = _Texts(len(entries.amount)), _Texts(len(entries.amount))
    for position, among in entries.by_feature():
        feature = catalogue.features[position]
        codes, examples = written_alike(feature, frame, entries.row[among])
        values.put(among, codes, [feature.text(example) for example in examples])
        # The sign picks the sentence.
        pairs, of_pair = np.unique(2 * codes + (entries.amount[among] > 0), return_inverse=True)
        sentences.put(
            among, of_pair, [feature.sentence(examples[pair // 2], 1 if pair % 2 else -1) for pair in pairs.tolist()]
        )
    return _column(catalogue, entries, values.array(), sentences.array())


def change_drivers(
    catalogue: Catalogue,
    now: pd.DataFrame,
    before: pd.DataFrame,
    contributions_now: NDArray[np.float64],
    contributions_before: NDArray[np.float64],
) -> pa.ListArray:
    """What moved each customer's probability since last Monday, both weeks explained by the same model.

    Args:
        catalogue: the model's features.
        now: features of this Monday, one row a customer.
        before: features of last Monday; customers that are not in it get no change drivers.
        contributions_now: shape (rows of now, features), log-odds.
        contributions_before: shape (rows of before, features), log-odds.

    Returns:
        Of ``DRIVER_TYPE``, for each row of ``now`` up to five drivers; ``contribution`` is the difference.
    """
    position_before = pd.Index(before["customer_id"]).get_indexer(pd.Index(now["customer_id"]))
    known = position_before >= 0
    difference = np.zeros_like(contributions_now)
    difference[known] = contributions_now[known] - contributions_before[position_before[known]]
    entries = _largest(difference, keep_first=False)
    values, former_values = _Texts(len(entries.amount)), _Texts(len(entries.amount))
    for position, among in entries.by_feature():
        feature, rows = catalogue.features[position], entries.row[among]
        for texts, frame, of in ((values, now, rows), (former_values, before, position_before[rows])):
            codes, examples = written_alike(feature, frame, of)
            texts.put(among, codes, [feature.text(example) for example in examples])
    value, former = values.array(), former_values.array()
    label = _decoded(entries.position, [feature.label for feature in catalogue])
    raised = pc.if_else(pa.array(entries.amount > 0), " raised the risk", " lowered the risk")
    # The same value says something else where another one moved: trees look at values together.
    sentence = pc.if_else(
        pc.not_equal(former, value),
        pc.binary_join_element_wise(label, ": from ", former, " to ", value, ", which", raised, ""),
        pc.binary_join_element_wise(
            label, ": ", value, " as the week before, which with what else changed", raised, ""
        ),
    )
    return _column(catalogue, entries, value, sentence)


@dataclass(frozen=True)
class _Entries:
    """The largest amounts of each row, row after row.

    Attributes:
        offsets: where the entries of each row begin, and the end of the last.
        row: of each entry.
        position: of its feature.
        amount: of it.
    """

    offsets: NDArray[np.int32]
    row: NDArray[np.intp]
    position: NDArray[np.intp]
    amount: NDArray[np.float64]

    def by_feature(self) -> Iterator[tuple[int, NDArray[np.intp]]]:
        """The features that have an entry, and which entries those are."""
        order = np.argsort(self.position, kind="stable")
        present, starts = np.unique(self.position[order], return_index=True)
        yield from zip(present.tolist(), np.split(order, starts[1:]), strict=False)


def _largest(amounts: NDArray[np.float64], *, keep_first: bool) -> _Entries:
    order = np.argsort(-np.abs(amounts), axis=1, kind="stable")[:, :TOP]
    top = np.take_along_axis(amounts, order, axis=1)
    kept = top != 0
    if keep_first:
        kept[:, :1] = True
    offsets = np.append(0, np.cumsum(kept.sum(axis=1))).astype(np.int32)
    return _Entries(offsets, np.nonzero(kept)[0], order[kept], top[kept])


class _Texts:
    """Texts of entries, each text kept once."""

    def __init__(self, entries: int) -> None:
        self._codes = np.zeros(entries, dtype=np.int32)
        self._texts: list[str] = []

    def put(self, entries: NDArray[np.intp], codes: NDArray[np.intp], texts: list[str]) -> None:
        """Gives some entries the texts that their codes number."""
        self._codes[entries] = len(self._texts) + codes
        self._texts += texts

    def array(self) -> pa.StringArray:
        return _decoded(self._codes, self._texts)


def _column(catalogue: Catalogue, entries: _Entries, value: pa.Array, sentence: pa.Array) -> pa.ListArray:
    arrays: list[Any] = [
        _decoded(entries.position, catalogue.names),
        _decoded(entries.position, [feature.label for feature in catalogue]),
        value,
        pa.array(entries.amount, pa.float64()),
        sentence,
    ]
    fields = list(DRIVER_TYPE.value_type)
    return pa.ListArray.from_arrays(pa.array(entries.offsets), pa.StructArray.from_arrays(arrays, fields=fields))


def _decoded(codes: NDArray[Any], texts: list[str]) -> pa.StringArray:
    return pa.DictionaryArray.from_arrays(
        pa.array(codes.astype(np.int32)), pa.array(texts, pa.string())
    ).dictionary_decode()
