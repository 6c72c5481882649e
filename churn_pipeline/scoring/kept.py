"""What was explained once is read back: contributions of the Monday before, where model and row are still the same.

Contributions are most of what scoring costs, and of last Monday they were computed a week ago. They stay in the warehouse to the bit, so all there is
to know is whether they would be computed from the same: a digest of the model, of the library that explains it, and of the row as the model reads it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from hashlib import sha256
from importlib.metadata import version

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from churn_pipeline.core.targets import target_of
from churn_pipeline.modeling.model import ScoringModel

# Another one where contributions are computed in another way.
_FORMAT = 1

TABLE = """
create table if not exists scoring.explained_rows (
    snapshot_date date, customer_id varchar, row_digest ubigint, contributions_digest ubigint
)
"""

# Customers and the digests of their rows; gives which of them are kept, and the contributions of those, shape (kept, features).
type Kept = Callable[[pd.Series, NDArray[np.uint64]], tuple[NDArray[np.bool_], NDArray[np.float64]]]


def row_digests(model: ScoringModel, frame: pd.DataFrame) -> NDArray[np.uint64]:
    """By row what its contributions are computed from, as 64 bits.

    Args:
        model: that explains.
        frame: rows of the mart of its target.
    """
    explained_by = f"{_FORMAT} {model.digest} {model.device} {version('xgboost') if model.booster is not None else ''}"
    bits = model.encoder.matrix(frame).view(np.uint32)
    digests = np.full(len(frame), int.from_bytes(sha256(explained_by.encode()).digest()[:8], "little"), dtype=np.uint64)
    for column in range(bits.shape[1]):
        # A step of splitmix64 (Steele, Lea and Flood, 2014) for each value.
        digests = (digests ^ bits[:, column]) + np.uint64(0x9E3779B97F4A7C15)
        digests = (digests ^ (digests >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        digests = (digests ^ (digests >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        digests ^= digests >> np.uint64(31)
    return digests


def keep(con: duckdb.DuckDBPyConnection, monday: date, explained: pa.Table) -> None:
    """Notes what the contributions of a Monday are of, in the transaction that writes them.

    Args:
        con: the warehouse.
        monday: the Monday.
        explained: customer_id and row_digest.
    """
    con.execute("delete from scoring.explained_rows where snapshot_date = ?", [monday])
    con.register("new_rows", explained)
    con.execute(
        """
        insert into scoring.explained_rows
        select scores.snapshot_date, scores.customer_id, new_rows.row_digest, hash(scores.contributions)
        from scoring.scores inner join new_rows using (customer_id)
        where scores.snapshot_date = ? and scores.target = ?
        """,
        [monday, target_of("risk").name],
    )
    con.unregister("new_rows")


def kept_contributions(con: duckdb.DuckDBPyConnection, monday: date, features: int) -> Kept:
    """The contributions that are kept of a Monday, for the target of role risk.

    Args:
        con: the warehouse.
        monday: the Monday.
        features: of the model.
    """

    def read(customers: pd.Series, digests: NDArray[np.uint64]) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        is_kept = np.zeros(len(customers), dtype=np.bool_)
        wanted = {
            "place": np.arange(len(customers)),
            "customer_id": pa.array(customers, pa.string()),
            "row_digest": digests,
        }
        con.register("wanted", pa.table(wanted))
        rows = con.sql(
            """
            select wanted.place, list_transform(scores.contributions, lambda each: each.contribution) as contributions
            from wanted
            inner join scoring.explained_rows as explained
                on wanted.customer_id = explained.customer_id and wanted.row_digest = explained.row_digest
            inner join scoring.scores as scores
                on wanted.customer_id = scores.customer_id and explained.snapshot_date = scores.snapshot_date
                -- Whoever wrote other contributions since, and no digests.
                and explained.contributions_digest = hash(scores.contributions)
            where explained.snapshot_date = $monday and scores.snapshot_date = $monday and scores.target = $target
                -- What a batch does not need is not read.
                and scores.customer_id between $first and $last and len(scores.contributions) = $features
            order by wanted.place
            """,
            params={
                "monday": monday,
                "target": target_of("risk").name,
                "first": customers.min() if len(customers) else "",
                "last": customers.max() if len(customers) else "",
                "features": features,
            },
        ).to_arrow_table()
        con.unregister("wanted")
        is_kept[rows["place"].to_numpy()] = True
        values = rows["contributions"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        return is_kept, values.reshape(-1, features)

    return read
