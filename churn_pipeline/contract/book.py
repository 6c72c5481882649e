"""A book that jumps: what two landings say of one and the same past Monday, and how much they may differ.

The past does not change by a third. Where the former landing and this one disagree about a Monday that both know all of, a column was
exported in another format or unit, a part of the data is missing, or two things were mixed up, whatever the single rows look like. So
before anything is written it is noted what was landed (`remember`), and before the landing is committed the two are compared
(`compare`, `jumps`). Who may accept a jump, and which pictures are kept, is in `book_ledger`.

Compared are customers that the former landing knew: others are growth, or an acquisition. Their revenue is counted at former prices, so a
rise of prices is none of a book's jumps. Nothing here is a customer's: a picture consists of counts, sums and medians.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import NamedTuple

import duckdb

from churn_pipeline.contract.declaration import LOADED_AT, NOT_AFTER_NOW, TABLES, Kind, TableContract
from churn_pipeline.core import run_ledger
from churn_pipeline.core.calendar import latest_monday
from churn_pipeline.core.formatting import counted, usd
from churn_pipeline.core.sql import literal, quoted


@dataclass(frozen=True)
class Limits:
    """From when on a difference is a jump.

    Attributes:
        change: share of the former number that a number may differ by (CHURN_MAX_BOOK_CHANGE).
        customers: so many customers, or departures in a year, never are a jump, whatever their share.
        month: the same of the departures of a single month.
        plan: a plan is judged by itself from so many active customers on; below, two or three upgrades are a fifth of it.
        values: a column is missed, and a median compared, from so many values on.
        unit: a median that moves by this factor is in another unit.
        price: a customer's price that moves by at most this factor counts as the former one.
        months: whole months before the Monday whose departures are compared ...
        filling: ... and how many of the newest of them may still fill up, because departures are entered late.
        events: days before the Monday whose usage events are looked at: there are too many to look at them all.
    """

    change: float = 0.2
    customers: int = 5
    month: int = 10
    plan: int = 30
    values: int = 20
    unit: int = 10
    price: tuple[int, int] = (3, 2)
    months: int = 12
    filling: int = 2
    events: int = 28


LIMITS = Limits()


class Measure(NamedTuple):
    """A column whose median tells its unit.

    Attributes:
        landed: its landed column, whole numbers of which ``units`` are one of the raw column's.
        known: SQL that is true for what was known before the Monday ``{day}``.
    """

    table: str
    column: str
    landed: str
    units: int
    known: str


# The price of customers is compared plan by plan, in `compare`.
MEASURES = (
    Measure("subscriptions", "mrr", "mrr_cents", 100, "known_date < {day}"),
    Measure("plan_changes", "from_mrr", "from_mrr_cents", 100, "known_date < {day}"),
    Measure("plan_changes", "to_mrr", "to_mrr_cents", 100, "known_date < {day}"),
    Measure(
        "usage_events",
        "feature_adoption_score",
        "adoption_micros",
        10**6,
        f"event_date >= {{day}} - {LIMITS.events} and event_date < {{day}}",
    ),
    Measure("support_tickets", "resolution_time", "resolution_seconds", 3600, "resolved_date < {day}"),
    # An opportunity without a date of its own has been there all along, as far as anybody can tell.
    Measure("gtm_opportunities", "amount", "amount_cents", 100, "(known_date >= {day}) is not true"),
    Measure("risk_signals", "compliance_gap_score", "compliance_gap_micros", 10**6, "known_date < {day}"),
)
_PRICE = "customers.mrr"
# Rows from which on it costs less to look at each column until there are enough values than to count them all in one pass.
_LARGE = 1_000_000


class Contents(NamedTuple):
    """What the landed tables hold, whatever the Monday.

    Attributes:
        rows: by table, those that are not ahead of the moment of landing.
        values: by ``table.column``, given values that are not ahead of it; of a large table at most `Limits.values`.
    """

    rows: Mapping[str, int]
    values: Mapping[str, int]


@dataclass(frozen=True)
class Picture:
    """What is landed, as of one Monday, in counts, sums and medians.

    Attributes:
        snapshot_date: the Monday.
        active: customers active then.
        plans: by plan (empty where it is not known): how many of them, and what they paid a month, in cents.
        departures: by month, ``2026-05``, in the year before that Monday.
        medians: of the positive values of a measure known before it, in the raw column's unit: by ``table.column``; of the price by
            ``customers.mrr`` and plan.
        rows, values: as in `Contents`.
    """

    snapshot_date: date
    active: int
    plans: Mapping[str, tuple[int, int]]
    departures: Mapping[str, int]
    medians: Mapping[str, float]
    rows: Mapping[str, int]
    values: Mapping[str, int]


@dataclass(frozen=True)
class Former:
    """What was landed before this landing began.

    Attributes:
        picture: as of the Monday that is compared.
        earlier: as of the Mondays of stored pictures that the book may go back to, by their entry.
    """

    picture: Picture
    earlier: Mapping[int, Picture]


class Part(NamedTuple):
    """The revenue of a plan, or of all of them, in two landings: active customers in the former one, cents a month in each, and customers
    whose part differs (None where that cannot be told)."""

    customers: int
    former: int
    present: int
    moved: int | None


class Revenue(NamedTuple):
    """Revenue in two landings, by plan (empty where it is not known) and in total."""

    plans: Mapping[str, Part]
    total: Part


class Moves(NamedTuple):
    """What became of the customers of the former landing.

    Attributes:
        former, present: active customers in each landing.
        vanished, returned: those that are active in the former one only, and in the present one only.
        how: the same in words.
        departed, departed_gone: customers who had left, and those of them that are not landed any more.
    """

    former: int
    present: int
    vanished: int
    returned: int
    how: str = ""
    departed: int = 0
    departed_gone: int = 0


@dataclass(frozen=True)
class Comparison:
    """Two landings, or what is kept of them, as of one Monday. Every pair is former, present.

    Attributes:
        moves: of the active customers.
        revenue: of all of them.
        revenue_of_stayers: of those that are active in both; None where that cannot be told.
        departures, medians, rows, values: as in `Picture`.
    """

    snapshot_date: date
    moves: Moves
    revenue: Revenue
    revenue_of_stayers: Revenue | None
    departures: Mapping[str, tuple[int, int]]
    medians: Mapping[str, tuple[float, float]]
    rows: Mapping[str, tuple[int, int]]
    values: Mapping[str, tuple[int, int]]


@dataclass(frozen=True)
class Jump:
    """One difference that is too large.

    Attributes:
        kind: what jumped, comparable between comparisons.
        table: the table to blame.
        what: the difference, as a clause that begins with what it is about.
    """

    kind: str
    table: str
    what: str


def compared_monday(con: duckdb.DuckDBPyConnection, now: datetime, timezone: str) -> date | None:
    """The Monday of which the former landing and one at ``now`` both have to say the same; None where no customer was landed before.

    It is the newest published one: what people have read. Without one it is the newest Monday of the former landing. Where the clock was
    set back it is the present one, because nothing after it is landed now.
    """
    if not _count(con, "landing.customers"):
        return None
    snapshot_date = run_ledger.newest_published_monday(con)
    if snapshot_date is None:
        row = con.execute("select max(evaluated_at) at time zone 'UTC' from landing.state").fetchone()
        if row is None or row[0] is None:
            return None
        snapshot_date = latest_monday(row[0], timezone)
    return min(snapshot_date, latest_monday(now, timezone))


def remember(con: duckdb.DuckDBPyConnection, snapshot_date: date, earlier: Mapping[int, date]) -> Former:
    """Notes what is landed, in ``temp.book_before`` and in pictures, before anything else is.

    Args:
        con: the warehouse, in the landing's transaction and with the contract's macros.
        snapshot_date: the Monday to compare.
        earlier: Mondays of stored pictures that the book may go back to, by their entry.
    """
    con.execute(f"create or replace temp table book_before as {_state_sql(snapshot_date)}")
    tables = contents(con)
    return Former(
        _picture(con, snapshot_date, tables, "book_before"),
        {entry: picture(con, day, tables) for entry, day in earlier.items()},
    )


def picture(con: duckdb.DuckDBPyConnection, snapshot_date: date, tables: Contents) -> Picture:
    """What is landed now, as of a Monday; ``tables`` is what `contents` says now."""
    con.execute(f"create or replace temp table book_state as {_state_sql(snapshot_date)}")
    try:
        return _picture(con, snapshot_date, tables, "book_state")
    finally:
        con.execute("drop table temp.book_state")


def compare(con: duckdb.DuckDBPyConnection, former: Picture, tables: Contents, limits: Limits = LIMITS) -> Comparison:
    """What is landed now beside what was remembered in ``temp.book_before``, among the customers of the latter."""
    snapshot_date = former.snapshot_date
    con.execute(f"create or replace temp table book_pair as {_pair_sql(snapshot_date, limits)}")
    try:
        present = _picture(con, snapshot_date, tables, "book_pair", known="book_before")
        everybody, stayers = _revenues(con)
        return Comparison(
            snapshot_date=snapshot_date,
            moves=_moves(con),
            revenue=everybody,
            revenue_of_stayers=stayers,
            departures=_side_by_side(former.departures, present.departures),
            medians=_in_both(former.medians, present.medians),
            rows=_side_by_side(former.rows, present.rows),
            values=_side_by_side(former.values, present.values),
        )
    finally:
        con.execute("drop table temp.book_pair")


def compare_pictures(former: Picture, present: Picture) -> Comparison:
    """Two pictures of one Monday, in which nobody can be told apart: what is added up is compared as a sum."""
    plans = {
        plan: Part(*former.plans.get(plan, (0, 0)), present.plans.get(plan, (0, 0))[1], None)
        for plan in former.plans.keys() | present.plans.keys()
    }
    return Comparison(
        snapshot_date=former.snapshot_date,
        moves=Moves(
            former.active,
            present.active,
            max(former.active - present.active, 0),
            max(present.active - former.active, 0),
        ),
        revenue=Revenue(plans, _total(plans.values(), None)),
        revenue_of_stayers=None,
        departures=_side_by_side(former.departures, present.departures),
        medians=_in_both(former.medians, present.medians),
        rows=_side_by_side(former.rows, present.rows),
        values=_side_by_side(former.values, present.values),
    )


def jumps(
    compared: Comparison,
    limits: Limits = LIMITS,
    changed: Collection[str] = ("customers",),
    unusable: Collection[str] = (),
) -> list[Jump]:
    """Every difference that is too large, without what follows from another one.

    Args:
        compared: two landings.
        limits: from when on a difference is a jump.
        changed: tables whose files are not those of the former landing, to know which one to blame.
        unusable: tables whose files have rows, so that they were not emptied, whatever became of those rows.
    """
    emptied = _emptied_tables(compared, unusable)
    if any(jump.table == "customers" for jump in emptied):
        # Rows of customers whom nobody knows are kept out of every other table.
        return [jump for jump in emptied if jump.table == "customers"]
    missed = _emptied_columns(compared, limits)
    if 2 * compared.moves.departed_gone > compared.moves.departed:
        # The dates are not lost, but whose they are.
        missed = [jump for jump in missed if jump.kind != "column:customers.churn_date"]
    units = _units(compared, limits)
    explained = {jump.kind.partition(":")[2] for jump in (*missed, *units)}
    active = _active(compared, limits)
    # Where only the subscriptions or the history of plans are new, they are what says otherwise.
    other = [name for name in ("subscriptions", "plan_changes") if name in changed and "customers" not in changed]
    priced_by = next(iter(other), "customers")
    told_by = "subscriptions" if "subscriptions" in other else "customers"
    revenue = [] if _PRICE in explained else _revenue(compared, limits, priced_by, bool(active))
    if "customers.plan_tier" in explained:
        revenue = [jump for jump in revenue if jump.kind != "plans"]
    # Who vanished, or came back, takes their departure along.
    departures = [] if active or "customers.churn_date" in explained else _departures(compared, limits)
    active, departures = ([replace(jump, table=told_by) for jump in jumps] for jumps in (active, departures))
    return [*emptied, *missed, *active, *units, *revenue, *departures]


# --- what is landed


def _state_sql(snapshot_date: date) -> str:
    """Every landed customer as of a Monday: status, plan and price then, and the price by which the unit is told."""
    day = literal(snapshot_date)
    order = "(effective_date, known_date, to_mrr_cents, to_tier, from_tier)"
    return f"""
    select *, plan_tier as unit_tier, case when status = 'active' then mrr_cents end as unit_cents
    from (
        select
            customer.customer_id,
            span.churn_date,
            case
                when span.begun is null then 'ahead'
                when span.begun.active_until < {day} then if(span.begun.end_kind = 'churn', 'departed', 'released')
                else 'active'
            end as status,
            coalesce(span.has_left, false) as has_left,
            coalesce(move.tier_after_last, move.tier_before_next, customer.plan_tier) as plan_tier,
            coalesce(move.mrr_after_last, move.mrr_before_next, customer.mrr_cents) as mrr_cents
        from landing.customers as customer
        left join (
            -- The newest span that had begun by then, and the newest departure of all.
            select
                customer_id,
                arg_max(
                    {{'active_until': active_until, 'end_kind': end_kind}}, active_from
                ) filter (coalesce(plans_from, started_on) < {day}) as begun,
                max(ended_on) filter (end_kind = 'churn' and resumed_on is null) as churn_date,
                arg_max(ended_on is not null, active_from) as has_left
            from landing.lives
            group by customer_id
        ) as span using (customer_id)
        left join (
            select
                customer_id,
                arg_max(to_tier, {order}) filter (effective_date < {day}) as tier_after_last,
                arg_min(from_tier, {order}) filter (effective_date >= {day}) as tier_before_next,
                arg_max(to_mrr_cents, {order}) filter (effective_date < {day}) as mrr_after_last,
                arg_min(from_mrr_cents, {order}) filter (effective_date >= {day}) as mrr_before_next
            from landing.plan_history
            group by customer_id
        ) as move using (customer_id)
    )
    """


def _pair_sql(snapshot_date: date, limits: Limits) -> str:
    """The remembered customers as they are now, at their former price where it moved by less than a price does."""
    up, down = limits.price
    # A cent more: half of an odd price is none.
    near = f"{down} * (present.mrr_cents - 1) <= {up} * past.mrr_cents and {up} * (present.mrr_cents + 1) >= {down} * past.mrr_cents"
    # Many systems set the price of those who left to zero.
    zeroed = "present.has_left and coalesce(present.mrr_cents, 0) = 0"
    return f"""
    select
        past.customer_id,
        present.churn_date,
        coalesce(present.status, 'gone') as status,
        present.plan_tier,
        case when past.mrr_cents > 0 and (({near}) or ({zeroed})) then past.mrr_cents else present.mrr_cents end as mrr_cents,
        past.plan_tier as unit_tier,
        case when past.status = 'active' then present.mrr_cents end as unit_cents,
        past.status = 'active' as was_active,
        past.status as former_status,
        past.plan_tier as former_tier,
        past.mrr_cents as former_cents
    from book_before as past
    left join ({_state_sql(snapshot_date)}) as present using (customer_id)
    """


def _picture(
    con: duckdb.DuckDBPyConnection, snapshot_date: date, tables: Contents, state: str, known: str | None = None
) -> Picture:
    """The picture of a relation of customers as of a Monday, and of the other tables.

    Args:
        con: the warehouse.
        snapshot_date: the Monday.
        tables: what the tables hold.
        state: rows like those of `_state_sql`.
        known: a relation of customers to whose facts the medians are restricted.
    """
    plans = con.execute(
        f"select coalesce(plan_tier, ''), count(*), coalesce(sum(mrr_cents), 0)::bigint from {state} "
        "where status = 'active' group by 1"
    ).fetchall()
    first = _months_before(snapshot_date, LIMITS.months)
    departures = con.execute(
        f"select strftime(churn_date, '%Y-%m'), count(*) from {state} "
        f"where churn_date >= {literal(first)} and churn_date < {literal(snapshot_date.replace(day=1))} group by 1"
    ).fetchall()
    return Picture(
        snapshot_date=snapshot_date,
        active=sum(count for _, count, _ in plans),
        plans={plan: (count, cents) for plan, count, cents in plans},
        departures=dict(departures),
        medians=_medians(con, snapshot_date, tables, state, known),
        rows=tables.rows,
        values=tables.values,
    )


def _medians(
    con: duckdb.DuckDBPyConnection, snapshot_date: date, tables: Contents, state: str, known: str | None
) -> dict[str, float]:
    theirs = f"and customer_id in (select customer_id from {known})" if known else ""
    prices = (
        f"select concat_ws(' ', {literal(_PRICE)}, unit_tier) as name, quantile_disc(unit_cents, 0.5) / 100 as median from {state} "
        f"where unit_cents > 0 group by unit_tier having count(*) >= {LIMITS.values}"
    )
    others = [
        f"select {literal(f'{measure.table}.{measure.column}')}, quantile_disc({measure.landed}, 0.5) / {measure.units} "
        f"from landing.{measure.table} where {measure.landed} > 0 and {measure.known.format(day=literal(snapshot_date))} {theirs} "
        f"having count(*) >= {LIMITS.values}"
        for measure in MEASURES
        if tables.rows[measure.table]
    ]
    return dict(con.execute(" union all ".join([prices, *others])).fetchall())


def contents(con: duckdb.DuckDBPyConnection) -> Contents:
    """What the landed tables hold now; of a table with 110 million events in a moment."""
    rows: dict[str, int] = {}
    values: dict[str, int] = {}
    for table in TABLES.values():
        landed_rows = _count(con, f"landing.{table.name}")
        if not landed_rows:
            rows[table.name] = 0
            continue
        present = f"from landing.{table.name} where (known_date > this_day()) is not true"
        given = {
            column: f"{quoted(landed)} is not null and {_not_ahead(table, column, landed)}"
            for column, landed in _watched(table).items()
        }
        if landed_rows > _LARGE:
            # One look for each column, which ends where there are enough.
            counts = [
                f"(select count(*) from (select 1 {present} and {condition} limit {LIMITS.values}))"
                for condition in given.values()
            ]
            ahead = f"(select count(*) from landing.{table.name} where known_date > this_day())"
            statement = f"select {', '.join([f'{landed_rows} - {ahead}', *counts])}"
        else:
            counts = [f"count(*) filter ({condition})" for condition in given.values()]
            statement = f"select {', '.join(['count(*)', *counts])} {present}"
        row = con.execute(statement).fetchone()
        assert row is not None
        rows[table.name] = int(row[0])
        values |= {f"{table.name}.{column}": int(count) for column, count in zip(given, row[1:], strict=True)}
    return Contents(rows, values)


def _watched(table: TableContract) -> dict[str, str]:
    """The landed column of each raw column that may be empty."""
    landed_of = {landed.back[0] if landed.back else landed.name: landed.name for landed in table.landed}
    return {
        column.name: landed_of[column.name]
        for column in table.columns
        if column.name in landed_of and not column.needed and column.name != LOADED_AT.name
    }


def _not_ahead(table: TableContract, column: str, landed: str) -> str:
    """SQL that is true for a value that is no future one: with an earlier clock those are blank."""
    if (table.name, column) == ("support_tickets", "resolution_time"):
        return "resolved_date <= this_day()"
    if any(rule.name == NOT_AFTER_NOW and rule.columns[0] == column for rule in table.rules):
        kind = next(declared.kind for declared in table.columns if declared.name == column)
        return f"{quoted(landed)} <= {'this_day()' if kind is Kind.DATE else 'this_instant()'}"
    return "true"


def _moves(con: duckdb.DuckDBPyConnection) -> Moves:
    became: dict[tuple[str, str], int] = {
        (former, present): count
        for former, present, count in con.execute(
            "select former_status, status, count(*) from book_pair group by all"
        ).fetchall()
    }
    vanished = {present: count for (former, present), count in became.items() if former == "active" != present}
    returned = {former: count for (former, present), count in became.items() if present == "active" != former}
    words = [
        *(f"{count:,} of them {_BECAME[status]}" for status, count in sorted(vanished.items(), key=_largest)),
        *(f"{count:,} {_WAS[status]}" for status, count in sorted(returned.items(), key=_largest)),
    ]
    if "gone" in vanished:
        new = "landing.customers where customer_id not in (select customer_id from book_before)"
        if count := _count(con, new):
            words.append(f"{counted(count, 'customer')} not seen before: were ids written in another way?")
    return Moves(
        former=sum(count for (former, _), count in became.items() if former == "active"),
        present=sum(count for (_, present), count in became.items() if present == "active"),
        vanished=sum(vanished.values()),
        returned=sum(returned.values()),
        how=", ".join(words),
        departed=sum(count for (former, _), count in became.items() if former == "departed"),
        departed_gone=became.get(("departed", "gone"), 0),
    )


_BECAME = {
    "gone": "are not landed any more",
    "departed": "have left before it by now",
    "released": "have left the book before it by now",
    "ahead": "sign up only after it by now",
}
_WAS = {
    "departed": "had left by then",
    "released": "had left the book by then",
    "ahead": "had not signed up by then",
}


def _largest(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]


def _revenues(con: duckdb.DuckDBPyConnection) -> tuple[Revenue, Revenue]:
    """Revenue of the remembered customers, and of those of them that are active in both landings."""
    stays = "was_active and status = 'active' as stays"
    parts = f"""
        select customer_id, {stays}, coalesce(former_tier, '') as plan, coalesce(former_cents, 0) as former, 0 as present, 1 as counted
        from book_pair where was_active
        union all
        select customer_id, {stays}, coalesce(plan_tier, ''), 0, coalesce(mrr_cents, 0), 0
        from book_pair where status = 'active'
    """
    sums = "sum(counted) as counted, sum(former) as former, sum(present) as present"
    figures = "sum(counted)::bigint, sum(former)::bigint, sum(present)::bigint, count(*) filter (former <> present)"
    by_plan = con.execute(
        f"select plan, stays, {figures} from (select plan, customer_id, stays, {sums} from ({parts}) group by all) group by all"
    ).fetchall()
    moved = dict(
        con.execute(
            "select stays, count(*) filter (former <> present) from "
            f"(select customer_id, stays, {sums} from ({parts}) group by all) group by all"
        ).fetchall()
    )
    stayers = {plan: Part(*numbers) for plan, is_stayer, *numbers in by_plan if is_stayer}
    everybody = dict(stayers)
    for plan, is_stayer, *numbers in by_plan:
        if not is_stayer:
            others = everybody.get(plan, Part(0, 0, 0, 0))
            everybody[plan] = Part(*(a + b for a, b in zip(others, numbers, strict=True)))
    return (
        Revenue(everybody, _total(everybody.values(), sum(moved.values()))),
        Revenue(stayers, _total(stayers.values(), moved.get(True, 0))),
    )


def _total(plans: Collection[Part], moved: int | None) -> Part:
    return Part(
        sum(plan.customers for plan in plans),
        sum(plan.former for plan in plans),
        sum(plan.present for plan in plans),
        moved,
    )


def _months_before(day: date, months: int) -> date:
    """The first day of the month that many months before the one of ``day``."""
    count = day.year * 12 + day.month - 1 - months
    return date(count // 12, count % 12 + 1, 1)


def _side_by_side(former: Mapping[str, int], present: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    return {name: (former.get(name, 0), present.get(name, 0)) for name in sorted(former.keys() | present.keys())}


def _in_both(former: Mapping[str, float], present: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    return {name: (former[name], present[name]) for name in sorted(former.keys() & present.keys())}


def _count(con: duckdb.DuckDBPyConnection, relation: str) -> int:
    row = con.execute(f"select count(*) from {relation}").fetchone()
    assert row is not None
    return int(row[0])


# --- what is too much


def _emptied_tables(compared: Comparison, unusable: Collection[str]) -> list[Jump]:
    return [
        Jump(f"table:{table}", table, f"no rows where the former landing had {rows:,}")
        for table, (rows, present) in compared.rows.items()
        if rows and not present and table not in unusable
    ]


def _emptied_columns(compared: Comparison, limits: Limits) -> list[Jump]:
    missed = []
    for name, (former, present) in compared.values.items():
        table, _, column = name.partition(".")
        if former >= limits.values and not present and compared.rows[table][1]:
            missed.append(
                Jump(
                    f"column:{name}",
                    table,
                    f"{column} has no value at all where the former landing had {former:,} or more",
                )
            )
    return missed


def _units(compared: Comparison, limits: Limits) -> list[Jump]:
    sentences: dict[str, list[str]] = {}
    for name, (former, present) in compared.medians.items():
        factor = present / former
        if 1 / limits.unit < factor < limits.unit:
            continue
        column, _, plan = name.partition(" ")
        whose = f" of {plan} customers" if plan else ""
        times = f"{factor:,.3g} times" if factor > 1 else f"a {1 / factor:,.3g}th of"
        sentences.setdefault(column, []).append(
            f"its median{whose} is {_figure(present)}, {times} the {_figure(former)} of the former landing"
        )
    return [
        Jump(
            f"unit:{name}",
            name.partition(".")[0],
            f"{name.partition('.')[2]} is in another unit: by what was known on {compared.snapshot_date} {', '.join(medians)}",
        )
        for name, medians in sentences.items()
    ]


def _figure(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def _too_far(former: float, present: float, limits: Limits) -> bool:
    """Whether a number differs by more than a share of the former one. Where that was nothing, there is nothing to compare with."""
    return former > 0 and abs(present - former) > limits.change * former


def _active(compared: Comparison, limits: Limits) -> list[Jump]:
    moves = compared.moves
    if not any(
        moved > limits.customers and moved > limits.change * moves.former for moved in (moves.vanished, moves.returned)
    ):
        return []
    former, present = _annual(compared.revenue.total.former), _annual(compared.revenue.total.present)
    return [
        Jump(
            "active",
            "customers",
            f"{counted(moves.present, 'active customer')} on {compared.snapshot_date} where the former landing had {moves.former:,}"
            + (f" ({moves.how})" if moves.how else "")
            + f", with an annual revenue of {present} where it had {former}",
        )
    ]


def _annual(monthly_cents: int) -> str:
    return usd(12 * monthly_cents / 100)


def _revenue(compared: Comparison, limits: Limits, table: str, explained: bool) -> list[Jump]:
    """Revenue in total, else by plan; where customers come or go in numbers, of those that stay."""
    revenue = compared.revenue_of_stayers if explained else compared.revenue
    if revenue is None:
        return []

    def jumped(part: Part) -> bool:
        enough = part.moved is None or part.moved > limits.customers
        return enough and _too_far(part.former, part.present, limits)

    def is_judged(plan: Part) -> bool:
        # A handful that moves to a cheaper plan brings a revenue that outweighs everybody's there.
        a_handful = plan.moved is not None and plan.moved <= limits.change * plan.customers
        return plan.customers >= limits.plan and not a_handful

    plans = {plan: part for plan, part in sorted(revenue.plans.items()) if is_judged(part) and jumped(part)}
    by_plan = ", ".join(
        f"{plan or 'no plan'} {_annual(part.present)} where it had {_annual(part.former)}"
        for plan, part in plans.items()
    )
    among = " among customers who are active in both" if explained else ""
    total = revenue.total
    if jumped(total):
        moved = f" ({counted(total.moved, 'customer')} changed)" if total.moved else ""
        return [
            Jump(
                "revenue",
                table,
                f"annual revenue of {_annual(total.present)} on {compared.snapshot_date} where the former landing had "
                f"{_annual(total.former)}{among}{moved}" + (f"; {by_plan}" if by_plan else ""),
            )
        ]
    if plans:
        return [
            Jump(
                "plans",
                table,
                f"annual revenue by plan on {compared.snapshot_date} is not that of the former landing{among}: {by_plan}",
            )
        ]
    return []


def _departures(compared: Comparison, limits: Limits) -> list[Jump]:
    newest = compared.snapshot_date.replace(day=1) - timedelta(days=1)
    still_filling = f"{_months_before(newest, limits.filling - 1):%Y-%m}"
    months = {
        month: (former, former if month >= still_filling and present > former else present)
        for month, (former, present) in compared.departures.items()
    }
    former_year = sum(former for former, _ in months.values())
    moved = sum(abs(present - former) for former, present in months.values())
    a_month_jumps = any(
        abs(present - former) > limits.month and abs(present - former) > limits.change * former
        for former, present in months.values()
    )
    the_year_jumps = moved > limits.customers and moved > limits.change * former_year
    # Where no departure was known at all there is nothing to compare with; who left is then no longer active.
    if not former_year or not (a_month_jumps or the_year_jumps):
        return []
    present_year = sum(present for _, present in compared.departures.values())
    worst = sorted(months, key=lambda month: (-abs(months[month][1] - months[month][0]), month))[:3]
    gone = compared.moves.departed_gone
    gone_too = (
        f" ({counted(gone, 'customer')} who had left {'is' if gone == 1 else 'are'} not landed any more)"
        if gone
        else ""
    )
    by_month = ", ".join(
        f"{months[month][1]:,} in {month} where it had {months[month][0]:,}" for month in sorted(worst)
    )
    return [
        Jump(
            "departures",
            "customers",
            f"{counted(present_year, 'departure')} in the {limits.months} months before {compared.snapshot_date:%Y-%m} where the former "
            f"landing had {sum(former for former, _ in compared.departures.values()):,}{gone_too}; most of the difference: {by_month}",
        )
    ]
