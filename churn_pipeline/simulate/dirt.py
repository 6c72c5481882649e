"""Believable dirt: the clean tables as careless exports would deliver them.

Every kind of dirt hits rows of its own, well under 5 % of a table together, and at least one row of each kind in the
smallest company. Nothing here knows what the contract does about it, and the oracle stays that of the clean company.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from churn_pipeline.simulate import parameters as p
from churn_pipeline.simulate.arrow import CUSTOMER_DIGITS, MICROSECONDS, numbered, timestamps
from churn_pipeline.simulate.population import Bools, Ints
from churn_pipeline.simulate.simulation import Simulation

_DAY = 24 * 3600 * MICROSECONDS
_MINUTE = 60 * MICROSECONDS
# Seventy-three years on: what a wrong century in a date leads to, and certainly after any clock.
_FAR_FUTURE = 73 * 365 * _DAY

# A table in parts, made when it is called; and one that was kept, with its number of rows.
Parts = Callable[[], Iterator[pa.Table]]
Spooled = tuple[int, Parts]


def soil(
    simulation: Simulation,
    tables: Mapping[str, Parts],
    spool: Callable[[str, Iterator[pa.Table]], Spooled],
) -> Iterator[tuple[str, Iterator[pa.Table]]]:
    """The same tables with dirt, one after the other; each has to be read to its end before the next.

    usage_events and support_tickets get ``loaded_at``, risk_signals.recorded_at gets a time zone.

    Args:
        simulation: gives the seed and ``until``, before which every row was loaded.
        tables: clean, in parts.
        spool: keeps a long table until its rows are counted: which of them get dirty depends on how many there are.
    """
    rng = simulation.generator("dirt")
    end = simulation.last_day * _DAY
    # Interventions come last, so that the dirt of the others does not depend on whether anybody is called.
    soil_of: dict[str, Callable[[pa.Table], pa.Table]] = {
        "customers": lambda table: _customers(table, rng),
        "plan_changes": lambda table: _changes(table, "to_tier", rng),
        "subscriptions": lambda table: _changes(table, "plan_tier", rng),
        "support_tickets": lambda table: _support_tickets(table, end, rng),
        "gtm_opportunities": lambda table: _gtm_opportunities(table, rng),
        "risk_signals": lambda table: _risk_signals(table, rng),
        "interventions": lambda table: _interventions(table, rng),
    }
    order = ("customers", "plan_changes", "subscriptions", "usage_events", *list(soil_of)[3:])
    for name in order:
        if name == "usage_events":
            yield name, _usage_events(spool(name, tables[name]()), end, rng)
        elif name in tables:
            yield name, iter([soil_of[name](pa.concat_tables(tables[name]()))])
    yield from ((name, parts()) for name, parts in tables.items() if name not in order)


def _customers(table: pa.Table, rng: np.random.Generator) -> pa.Table:
    churned = np.flatnonzero(pc.is_valid(table["churn_date"]).to_numpy())
    negative, unknown, loud, twice = _disjoint(rng, table.num_rows, (0.002, 0.001, 0.004, 0.0005))
    table = _overwrite(table, "mrr", negative, pa.array(-table["mrr"].to_numpy()[negative] - 1.0))
    table = _overwrite(table, "plan_tier", unknown, _any_of(("platinum", "Legacy 2019"), len(unknown), rng))
    table = _overwrite(table, "plan_tier", loud, pc.utf8_upper(table["plan_tier"].take(pa.array(loud))))
    impossible = rng.choice(churned, min(len(churned), 1 + table.num_rows // 4_000), replace=False)
    before = (
        _microseconds(table["signup_date"].take(pa.array(impossible))) - rng.integers(1, 200, len(impossible)) * _DAY
    )
    table = _overwrite(table, "churn_date", impossible, timestamps(before))
    nameless = _overwrite(table.slice(0, 1), "customer_id", np.array([0]), pa.nulls(1, pa.string()))
    table = pa.concat_tables([table, table.take(pa.array(twice)), nameless])
    notes = _any_of(("", "call back", "see contract", "n/a"), table.num_rows, rng)
    return table.append_column("Internal Note (do not use)", notes)


def _changes(table: pa.Table, tier: str, rng: np.random.Generator) -> pa.Table:
    (loud,) = _disjoint(rng, table.num_rows, (0.01,))
    return _overwrite(table, tier, loud, pc.utf8_capitalize(table[tier].take(pa.array(loud))))


def _usage_events(clean: Spooled, end: int, rng: np.random.Generator) -> Iterator[pa.Table]:
    rows, parts = clean
    shares = (0.002, 0.001, 0.002, 0.005, 0.002, 0.0003, 0.0002, 0.001, 0.0001)
    same, changed, unknown, loud, out_of_range, no_key, no_customer, stranger, future = _disjoint(rng, rows, shares)
    later = rng.integers(1, 20, len(changed)) * _DAY
    another_type = _any_of(p.EVENT_TYPES, len(changed), rng)
    odd_types = _any_of(("SSO_Login", "dashboard_export", "Webhook_Fired", ""), len(unknown), rng)
    scores = pa.array(rng.choice(np.array([-1.0, -0.2, 1.7, 87.0]), len(out_of_range)))
    strangers = _strangers(len(stranger), rng)

    again: list[pa.Table] = []
    contradicting: list[pa.Table] = []
    begin = 0
    for part in parts():

        def here(chosen: Ints, first: int = begin, last: int = begin + part.num_rows) -> tuple[Ints, slice]:
            """Those of the chosen rows that are in this part, by their places in it, and which of the chosen they are."""
            places = slice(*np.searchsorted(chosen, [first, last]))
            return chosen[places] - first, places

        again.append(part.take(pa.array(here(same)[0])))
        contradicting.append(part.take(pa.array(here(changed)[0])))
        for column, chosen, values in (
            ("event_type", unknown, odd_types),
            ("feature_adoption_score", out_of_range, scores),
            ("event_id", no_key, pa.nulls(len(no_key), pa.string())),
            ("customer_id", no_customer, pa.nulls(len(no_customer), pa.string())),
            ("customer_id", stranger, strangers),
        ):
            local, places = here(chosen)
            part = _overwrite(part, column, local, values[places])
        local, _ = here(loud)
        part = _overwrite(part, "event_type", local, pc.utf8_title(part["event_type"].take(pa.array(local))))
        local, _ = here(future)
        far = timestamps(_microseconds(part["timestamp"].take(pa.array(local))) + _FAR_FUTURE)
        part = _overwrite(part, "timestamp", local, far)
        begin += part.num_rows
        yield part.append_column("loaded_at", _loaded_at(part["timestamp"], end, rng))

    repeated = pa.concat_tables(again).combine_chunks()
    yield repeated.append_column("loaded_at", _loaded_at(repeated["timestamp"], end, rng))
    odd = pa.concat_tables(contradicting).combine_chunks()
    odd = _replace(odd, "timestamp", timestamps(np.minimum(_microseconds(odd["timestamp"]) + later, end - 2 * _MINUTE)))
    odd = _replace(odd, "event_type", another_type)
    yield odd.append_column("loaded_at", _loaded_at(odd["timestamp"], end, rng))


def _support_tickets(table: pa.Table, end: int, rng: np.random.Generator) -> pa.Table:
    shares = (0.002, 0.004, 0.006, 0.003, 0.0005, 0.001, 0.0005)
    same, unknown, loud, negative, no_key, stranger, future = _disjoint(rng, table.num_rows, shares)
    repeated = table.take(pa.array(same))
    table = _overwrite(table, "priority", unknown, _any_of(("urgent", "P1", "tbd"), len(unknown), rng))
    table = _overwrite(table, "priority", loud, pc.utf8_upper(table["priority"].take(pa.array(loud))))
    table = _overwrite(table, "resolution_time", negative, pa.array(-1.0 - rng.integers(0, 48, len(negative))))
    table = _overwrite(table, "ticket_id", no_key, pa.nulls(len(no_key), pa.string()))
    table = _overwrite(table, "customer_id", stranger, _strangers(len(stranger), rng))
    far = timestamps(_microseconds(table["created_date"].take(pa.array(future))) + _FAR_FUTURE)
    table = pa.concat_tables([_overwrite(table, "created_date", future, far), repeated])
    opened = _microseconds(table["created_date"]) + rng.integers(6, 18, table.num_rows) * 60 * _MINUTE
    return table.append_column("loaded_at", _loaded_at(pa.chunked_array([timestamps(opened)]), end, rng))


def _gtm_opportunities(table: pa.Table, rng: np.random.Generator) -> pa.Table:
    unknown, negative, no_key, stranger = _disjoint(rng, table.num_rows, (0.005, 0.005, 0.002, 0.003))
    table = _overwrite(table, "stage", unknown, _any_of(("Negotiation", "verbal commit"), len(unknown), rng))
    table = _overwrite(table, "amount", negative, pa.array(-table["amount"].to_numpy()[negative]))
    table = _overwrite(table, "opp_id", no_key, pa.nulls(len(no_key), pa.string()))
    return _overwrite(table, "customer_id", stranger, _strangers(len(stranger), rng))


def _risk_signals(table: pa.Table, rng: np.random.Generator) -> pa.Table:
    out_of_range, no_customer, stranger = _disjoint(rng, table.num_rows, (0.003, 0.001, 0.001))
    table = _overwrite(
        table,
        "compliance_gap_score",
        out_of_range,
        pa.array(rng.choice(np.array([-0.5, 1.4, 55.0]), len(out_of_range))),
    )
    table = _overwrite(table, "customer_id", no_customer, pa.nulls(len(no_customer), pa.string()))
    table = _overwrite(table, "customer_id", stranger, _strangers(len(stranger), rng))
    # The same instants, told on another clock.
    local = pc.assume_timezone(table["recorded_at"], "UTC").cast(pa.timestamp("us", "America/New_York"))
    return _replace(table, "recorded_at", local)


def _interventions(table: pa.Table, rng: np.random.Generator) -> pa.Table:
    no_key, stranger = _disjoint(rng, table.num_rows, (0.002, 0.003))
    table = _overwrite(table, "intervention_id", no_key, pa.nulls(len(no_key), pa.string()))
    return _overwrite(table, "customer_id", stranger, _strangers(len(stranger), rng))


def _loaded_at(happened: pa.ChunkedArray, end: int, rng: np.random.Generator) -> pa.ChunkedArray:
    """Most rows arrive within the hour, 1.5 % days to weeks late, and all before ``end``.

    Rows that claim to be from the far future arrived just before it.
    """
    chunks = []
    for chunk in happened.chunks:
        delay = rng.integers(1, 60, len(chunk)) * _MINUTE
        late = rng.random(len(chunk)) < 0.015
        delay[late] = rng.integers(1, 30, int(late.sum())) * _DAY
        chunks.append(timestamps(np.minimum(chunk.cast(pa.int64()).to_numpy() + delay, end - _MINUTE)))
    return pa.chunked_array(chunks, pa.timestamp("us"))


def _disjoint(rng: np.random.Generator, rows: int, shares: Sequence[float]) -> list[Ints]:
    """Disjoint random row numbers, a share of all rows each, at least one while rows last."""
    sizes = [max(1, round(share * rows)) for share in shares]
    chosen = rng.choice(rows, min(rows, sum(sizes)), replace=False)
    return [np.sort(part) for part in np.split(chosen, np.cumsum(sizes)[:-1])]


def _overwrite(table: pa.Table, column: str, rows: Ints, values: Any) -> pa.Table:
    """The table with ``values`` in the distinct ``rows`` of a column."""
    order = np.argsort(rows)
    rows, ordered = rows[order], pc.take(values, pa.array(order)).cast(table[column].type)
    values = pa.concat_arrays(ordered.chunks) if isinstance(ordered, pa.ChunkedArray) and len(rows) else ordered
    # Chunk by chunk: a contiguous copy of ten million strings would be the peak of the whole simulation.
    chunks, begin = [], 0
    for chunk in table[column].chunks:
        first, last = np.searchsorted(rows, [begin, begin + len(chunk)])
        mask: Bools = np.zeros(len(chunk), dtype=np.bool_)
        mask[rows[first:last] - begin] = True
        if last > first:
            chunk = pc.replace_with_mask(chunk, pa.array(mask), values[first:last])
        chunks.append(chunk)
        begin += len(mask)
    return _replace(table, column, pa.chunked_array(chunks, table[column].type))


def _replace(table: pa.Table, column: str, values: Any) -> pa.Table:
    return table.set_column(table.column_names.index(column), column, values)


def _microseconds(moments: pa.ChunkedArray) -> Ints:
    """Dates or timestamps as microseconds since 1970-01-01."""
    return np.asarray(moments.cast(pa.timestamp("us")).cast(pa.int64()).to_numpy())


def _any_of(words: Sequence[str], count: int, rng: np.random.Generator) -> pa.Array:
    return pa.array(list(words), pa.string()).take(pa.array(rng.integers(0, len(words), count)))


def _strangers(count: int, rng: np.random.Generator) -> pa.Array:
    """Ids of nobody: the upper half of the number range, beyond MAX_CUSTOMERS."""
    limit = 10**CUSTOMER_DIGITS
    return numbered("C", rng.integers(limit // 2, limit, count), CUSTOMER_DIGITS)
