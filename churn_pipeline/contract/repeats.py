"""Which keys of a landed table occur more than once, told by their hashes.

Hardly any do, so the first question is whether there is one at all. Hashes take 8 bytes where an id takes many, and two keys that share
one by chance are told apart afterwards, when the few candidates are compared as they are.
"""

from __future__ import annotations

from typing import Any

import duckdb

from churn_pipeline.contract.declaration import TableContract
from churn_pipeline.core.sql import quoted

# The temporary table of what was found: key_hash.
REPEATED = "repeated_keys"
# From so many rows on, hashes are sorted in memory: grouping 11 million of them takes DuckDB twice as long, and three times the memory.
_MANY = 1_000_000
# So many are sorted at once: half a gigabyte. What is more is sorted in parts, for each of which the keys are read again.
_AT_ONCE = 64_000_000
_BATCH = 1_000_000


def find_repeated(con: duckdb.DuckDBPyConnection, table: TableContract, among: str | None) -> bool:
    """Notes the hashes of keys that occur more than once, in the temporary table ``REPEATED``.

    Args:
        con: with the table landed.
        table: the table.
        among: only keys that occur in this relation are looked at; every key if None.

    Returns:
        Whether there is any.
    """
    landed, keys = f"landing.{table.name}", ", ".join(map(quoted, table.key))
    rows = _count(con, landed)
    if among is None and rows > _MANY:
        _sorted(con, landed, keys, rows)
    else:
        restricted = ""
        if among is not None:
            # A single key is compared as it is: by its smallest and largest value whole stretches of a table are passed over.
            wanted = keys if len(table.key) == 1 else f"hash({keys})"
            restricted = f"where {wanted} in (select {wanted} from {among})"
        con.execute(
            f"create or replace temp table {REPEATED} as "
            f"select hash({keys}) as key_hash from {landed} {restricted} group by 1 having count(*) > 1"
        )
    return bool(_count(con, REPEATED))


def _sorted(con: duckdb.DuckDBPyConnection, landed: str, keys: str, rows: int) -> None:
    import numpy as np
    import pyarrow as pa

    con.execute(f"create or replace temp table {REPEATED} (key_hash UBIGINT)")
    parts = -(-rows // _AT_ONCE)
    for part in range(parts):
        wanted = f"where hash({keys}) % {parts} = {part}" if parts > 1 else ""
        # Parts are of about the same size. Where many keys are one, theirs is larger.
        hashes: Any = np.empty(rows if parts == 1 else rows // parts * 21 // 20, dtype=np.uint64)
        count = 0
        for batch in con.sql(f"select hash({keys}) as key_hash from {landed} {wanted}").to_arrow_reader(_BATCH):
            values = batch.column(0).to_numpy()
            if count + len(values) > len(hashes):
                hashes = np.concatenate([hashes[:count], np.empty(rows // parts + len(values), dtype=np.uint64)])
            hashes[count : count + len(values)] = values
            count += len(values)
        hashes = hashes[:count]
        hashes.sort()
        repeated = np.unique(hashes[1:][hashes[1:] == hashes[:-1]])
        if len(repeated):
            con.register("repeated_hashes", pa.table({"key_hash": repeated}))
            con.execute(f"insert into {REPEATED} select key_hash from repeated_hashes")
            con.unregister("repeated_hashes")


def _count(con: duckdb.DuckDBPyConnection, relation: str) -> int:
    return int(con.execute(f"select count(*) from {relation}").fetchall()[0][0])
