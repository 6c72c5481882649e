"""Lives: the spans in which somebody is a customer, and the history of plans, from what was landed.

Where there are subscriptions, they alone say who is a customer. A subscription counts from the day it is known to the day it ends, and
``gap_days`` longer: until then nobody can tell a departure from a pause or from a renewal that is signed late. A life is made of
subscriptions that follow each other without a hole between those spans, so an end that became known stays one, whatever comes later.

Without subscriptions the rows of ``customers`` say it. Their ends are stated, and known on their date. Several rows of one customer that
follow each other are kept; where a row begins up to ``gap_days`` after the end of the one before, it goes on with the same life.

Every day here is a day D of which snapshots after it know: active at S means ``active_from < S`` and no ``active_until`` before S.
Nothing in a life depends on a fact that is known later than its own days, which is what the truncation test asks for.

An end may also be booked late: somebody left on the 1st and the system learns of it on the 20th. Until then nobody can tell that the
1st was not quiet. How long that takes is a setting, or is read from the rows that arrived after the end that they tell of; `settling` says
from which Monday on what was known of it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date
from typing import Literal

import duckdb

from churn_pipeline.contract import statements
from churn_pipeline.contract.declaration import CUSTOMERS, TIERS, Fact, Landed, TableContract
from churn_pipeline.contract.digests import replace_digests
from churn_pipeline.core.sql import literal, quoted
from churn_pipeline.core.warehouse import has_table

LIVES = TableContract(
    name="lives",
    meaning="One row per span of a customer's life. Lives have one, unless rows of `customers` go on with a life after a pause.",
    key=("customer_id", "active_from"),
    own_date="started_on",
    raw=(),
    landed=tuple(
        Landed(name, sql_type, quoted(name))
        for name, sql_type in (
            ("customer_id", "VARCHAR"),
            ("life", "BIGINT"),
            ("started_on", "DATE"),
            ("active_from", "DATE"),
            ("active_until", "DATE"),
            ("ended_on", "DATE"),
            ("end_kind", "VARCHAR"),
            ("resumed_on", "DATE"),
            ("plans_from", "DATE"),
            ("plans_until", "DATE"),
            ("industry", "VARCHAR"),
            ("plan_tier", "VARCHAR"),
            ("mrr_cents", "BIGINT"),
            ("upgrade_date", "DATE"),
        )
    ),
    facts=(
        Fact("life began", "active_from", ("customer_id", "life", "started_on")),
        Fact(
            "life ended",
            "greatest(active_until, active_from)",
            ("customer_id", "life", "ended_on", "end_kind"),
            "active_until is not null",
        ),
    ),
)
FORMER_CUSTOMERS = "former_customers"
PLAN_HISTORY = "plan_history"
SETTLING = "settling"
# Tables of schema landing that are made of others. All of them have a customer_id.
DERIVED = (LIVES.name, FORMER_CUSTOMERS, PLAN_HISTORY)
_CREATE_HISTORY = f"""
create table if not exists landing.{PLAN_HISTORY} (
    customer_id VARCHAR, effective_date DATE, from_tier VARCHAR, to_tier VARCHAR, from_mrr_cents BIGINT, to_mrr_cents BIGINT,
    known_date DATE, is_first BOOLEAN, shows_tiers BOOLEAN, shows_prices BOOLEAN
)
"""

_CREATE_SETTLING = f"create table if not exists landing.{SETTLING} (known_from DATE, days INTEGER, basis VARCHAR)"

_FAR = "DATE '9999-12-31'"
_BEGIN = date(1970, 1, 1)
# What the delay is read from: the ends of a year, which ended so many days ago that what is booked later than this is rare; and at least so
# many ends, because 95 % of fewer is their largest.
YEAR_DAYS = 365
RIPE_DAYS = 90
MIN_ENDS = 20
BOOKED_SHARE = 0.95
# A delay over a year leaves nothing to learn from, and is a past that was loaded at once.
MAX_DELAY_DAYS = 366
# Somebody who was a customer before, in the order in which it became known.
_ALL_CUSTOMERS = f"(from landing.customers union all by name from landing.{FORMER_CUSTOMERS})"
_BY_TIME = "partition by customer_id order by known_date, signup_date"

_LIVES_FROM_CUSTOMERS = f"""
with ordered as (
    select
        *,
        least(churn_date, censor_date) as ended_on,
        row_number() over by_time as number,
        lag(least(churn_date, censor_date)) over by_time as former_end,
        lead(signup_date) over by_time as next_signup
    from {_ALL_CUSTOMERS}
    window by_time as ({_BY_TIME})
),
numbered as (
    select *, sum(if(number = 1 or signup_date > former_end + {{gap}}, 1, 0)) over ({_BY_TIME}) as life from ordered
)
select
    customer_id,
    life,
    first_value(signup_date) over by_life as started_on,
    known_date as active_from,
    ended_on as active_until,
    ended_on,
    case
        when churn_date <= coalesce(censor_date, churn_date) then 'churn'
        when censor_date is not null then 'left'
    end as end_kind,
    lead(known_date) over by_life as resumed_on,
    if(number > 1, signup_date, null) as plans_from,
    next_signup as plans_until,
    industry,
    plan_tier,
    mrr_cents,
    upgrade_date
from numbered
window by_life as (partition by customer_id, life order by number)
"""

# A row of a subscription takes the place of the one before, also where an export leaves that one open.
_RUNNING = """
select *, least(ended_at, lead(known_date) over (
    partition by customer_id, subscription_id order by known_date, started_at
)) as ends
from landing.subscriptions
where not is_trial
"""

# Islands of spans that touch or overlap. A row that was loaded after its end was known never made anybody a customer.
_ISLANDS = f"""
    running as ({_RUNNING}),
    spans as (
        select *, ends + {{gap}} as known_until from running where ends is null or ends + {{gap}} > known_date
    ),
    marked as (
        select
            *,
            coalesce(
                known_date > max(coalesce(known_until, {_FAR})) over (by_time rows between unbounded preceding and 1 preceding), true
            ) as is_new
        from spans
        window by_time as (partition by customer_id order by known_date, started_at, subscription_id)
    ),
    islands as (
        select *, sum(is_new::integer) over (by_time rows unbounded preceding) as island
        from marked
        window by_time as (partition by customer_id order by known_date, started_at, subscription_id)
    )
"""

_LIVES_FROM_SUBSCRIPTIONS = f"""
with {_ISLANDS},
first_rows as (
    select *, first_value(known_date) over (
        partition by customer_id, island order by known_date
    ) as island_known
    from islands
),
lives as (
    select
        customer_id,
        island,
        island_known,
        min(started_at) filter (where known_date = island_known) as started_on,
        case when count(ends) = count(*) then max(ends) end as ended_on
    from first_rows
    group by customer_id, island, island_known
),
ends as (
    -- Where several subscriptions end on that day, a single merger says where the customer went.
    select
        lives.customer_id,
        lives.island,
        coalesce(bool_or(islands.end_reason = 'merged'), false) as is_merged
    from lives
    inner join islands
        on lives.customer_id = islands.customer_id and lives.island = islands.island and lives.ended_on = islands.ended_at
    group by all
),
customers as (
    from {_ALL_CUSTOMERS} qualify row_number() over ({_BY_TIME}) = 1
)
select
    customer_id,
    row_number() over (partition by customer_id order by island) as life,
    started_on,
    greatest(island_known, customers.known_date) as active_from,
    ended_on + {{gap}} as active_until,
    ended_on,
    case when ended_on is not null then if(coalesce(is_merged, false), 'left', 'churn') end as end_kind,
    null::DATE as resumed_on,
    null::DATE as plans_from,
    null::DATE as plans_until,
    customers.industry,
    null::VARCHAR as plan_tier,
    null::BIGINT as mrr_cents,
    customers.upgrade_date
from lives
left join ends using (customer_id, island)
inner join customers using (customer_id)
where ended_on is null or ended_on + {{gap}} > greatest(island_known, customers.known_date)
"""


def _per_tier(expression: str) -> str:
    return ", ".join(expression.format(name=quoted(f"rows of {tier}"), tier=literal(tier)) for tier in TIERS)


# What a customer pays is the sum over the subscriptions that run, the plan is the highest of theirs; where none runs, the last of both
# stays. That a row ended and another began, with another plan or price, shows that history is kept in rows, and not written over.
_HISTORY_FROM_SUBSCRIPTIONS = f"""
with {_ISLANDS},
paying as (
    from islands where ends is null or ends > known_date
),
moves as (
    select customer_id, known_date as day, island, plan_tier, mrr_cents, 1 as rows, mrr_cents is not null as is_priced from paying
    union all
    select customer_id, ends, island, plan_tier, -mrr_cents, -1, mrr_cents is not null from paying where ends is not null
),
days as (
    select
        customer_id,
        day,
        max(island) as island,
        sum(rows) as rows,
        count(*) filter (where rows > 0) as began,
        count(*) filter (where rows < 0) as ended,
        coalesce(sum(mrr_cents), 0) as mrr_cents,
        coalesce(sum(rows) filter (where is_priced), 0) as priced,
        {_per_tier("coalesce(sum(rows) filter (where plan_tier = {tier}), 0) as {name}")}
    from moves
    group by customer_id, day
),
states as (
    select
        customer_id,
        day,
        max(island) over so_far as island,
        began,
        max(if(ended > 0, day, null)) over so_far as last_end,
        sum(rows) over so_far as rows,
        if(sum(priced) over so_far > 0, sum(mrr_cents) over so_far, null) as mrr_cents,
        case {" ".join(f"when sum({quoted(f'rows of {tier}')}) over so_far > 0 then {literal(tier)}" for tier in reversed(TIERS))} end
            as plan_tier
    from days
    window so_far as (partition by customer_id order by day)
),
changes as (
    select
        *,
        row_number() over by_time = 1 as is_first,
        lag(plan_tier ignore nulls) over by_time as from_tier,
        lag(mrr_cents ignore nulls) over by_time as from_mrr_cents
    from states
    where rows > 0
    window by_time as (partition by customer_id, island order by day)
)
select
    customer_id,
    day as effective_date,
    from_tier,
    coalesce(plan_tier, from_tier) as to_tier,
    from_mrr_cents::BIGINT as from_mrr_cents,
    coalesce(mrr_cents, from_mrr_cents)::BIGINT as to_mrr_cents,
    day as known_date,
    is_first,
    coalesce(from_tier <> plan_tier, false) and began > 0 and coalesce(last_end >= day - {{gap}}, false) as shows_tiers,
    coalesce(from_mrr_cents <> mrr_cents, false) and began > 0 and coalesce(last_end >= day - {{gap}}, false) as shows_prices
from changes
where
    is_first
    or coalesce(plan_tier, from_tier) is distinct from from_tier
    or coalesce(mrr_cents, from_mrr_cents) is distinct from from_mrr_cents
"""

_HISTORY_FROM_PLAN_CHANGES = """
select
    customer_id,
    effective_date,
    from_tier,
    to_tier,
    from_mrr_cents,
    to_mrr_cents,
    known_date,
    false as is_first,
    true as shows_tiers,
    coalesce(from_mrr_cents, to_mrr_cents) is not null as shows_prices
from landing.plan_changes
"""


# Every end with the day from which on it was known, and the first day on which a row came late: what ended before it was loaded at once with
# everything else. {ends} are ended_on and known_on, {late} the days on which rows arrived that came after their own day.
_DELAYS = f"""
with ends as (select ended_on, known_on from ({{ends}}) where ended_on is not null),
late as (select min(known_date) as since from ({{late}})),
mondays as (
    select unnest(generate_series(
        date_trunc('week', min(ended_on)) + interval '{RIPE_DAYS // 7 + 1} weeks',
        date_trunc('week', max(known_on)) + interval '{(RIPE_DAYS + YEAR_DAYS) // 7 + 2} weeks',
        interval '1 week'
    ))::DATE as monday
    from ends cross join late where ended_on >= late.since
),
estimates as (
    select
        mondays.monday,
        quantile_disc(ends.known_on - ends.ended_on, {BOOKED_SHARE}) as days
    from mondays
    inner join ends
        on
            ends.ended_on >= mondays.monday - {RIPE_DAYS + YEAR_DAYS}
            and ends.ended_on < mondays.monday - {RIPE_DAYS}
            and ends.known_on < mondays.monday
    cross join late
    where ends.ended_on >= late.since
    group by mondays.monday
    having count(*) >= {MIN_ENDS}
),
so_far as (
    -- It never falls, so that no prediction is due on two Mondays and no label that was waited for is closed before it.
    select monday, least(max(days) over (order by monday), {MAX_DELAY_DAYS}) as days from estimates
)
select min(monday), days from so_far where days > ? group by days order by days
"""
_ENDS_OF_CUSTOMERS = (
    "select churn_date as ended_on, greatest(churn_date, known_date) as known_on "
    f"from {_ALL_CUSTOMERS} where churn_date <= coalesce(censor_date, churn_date)"
)
_ENDS_OF_SUBSCRIPTIONS = "select ended_at as ended_on, greatest(ended_at, known_date) as known_on from landing.subscriptions where not is_trial"

type Basis = Literal["stated", "gap", "set", "booked"]


@dataclass(frozen=True)
class Step:
    """From a day on, how long after its date an end is known.

    Attributes:
        known_from: snapshots on and after it know it.
        days: of an end, or of anything that labels ask for.
        basis: ends are ``stated``, or could until then be a pause (``gap``), or a person said so (``set``), or departures were ``booked``
            that late so far.
    """

    known_from: date
    days: int
    basis: Basis


@dataclass(frozen=True)
class Settling:
    """How many days after its date an end is known, as it was known at a Monday: it never falls.

    Attributes:
        steps: oldest first.
    """

    steps: tuple[Step, ...] = ()

    def at(self, as_of: date) -> Step:
        """What was known at a Monday."""
        known = [step for step in self.steps if step.known_from <= as_of]
        return known[-1] if known else Step(_BEGIN, 0, "stated")


@dataclass(frozen=True)
class Returns:
    """Several rows of one customer in ``customers``.

    Attributes:
        customers: who has rows that follow each other.
        rows: their rows.
        lost: rows that overlap another one of the same customer and are in quarantine.
    """

    customers: int
    rows: int
    lost: int


def prepare(con: duckdb.DuckDBPyConnection) -> bool:
    """Creates the tables of this module, where absent; returns whether they were there."""
    there = has_table(con, "landing", LIVES.name)
    con.execute(f"create table if not exists {statements.create_sql(LIVES, f'landing.{LIVES.name}')}")
    con.execute(f"create table if not exists {statements.create_sql(CUSTOMERS, f'landing.{FORMER_CUSTOMERS}')}")
    con.execute(_CREATE_HISTORY)
    con.execute(_CREATE_SETTLING)
    return there


def definition(gap_days: int, booking_delay_days: int | None) -> str:
    """A hash of what decides how landed rows become lives, and when their ends are known."""
    parts = (
        duckdb.__version__,
        _LIVES_FROM_CUSTOMERS,
        _LIVES_FROM_SUBSCRIPTIONS,
        _HISTORY_FROM_SUBSCRIPTIONS,
        _HISTORY_FROM_PLAN_CHANGES,
        _DELAYS,
        _ENDS_OF_CUSTOMERS,
        _ENDS_OF_SUBSCRIPTIONS,
        str(gap_days),
        str(booking_delay_days),
    )
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=16).hexdigest()


def spare_returns(con: duckdb.DuckDBPyConnection) -> None:
    """Takes those rows of ``customers`` off the temporary table ``losers`` that follow another row of the same customer.

    The first row is the one that wins anyway. The next one is the first after it that begins on or after its end, and so on; a row that
    overlaps the one before it loses. Whether a row follows depends on days up to its own beginning only, so nothing that comes later
    changes it.
    """
    order = ", ".join(
        f"{column} nulls last"
        for column in ("known_date", CUSTOMERS.own_date, *(quoted(landed.name) for landed in CUSTOMERS.landed))
    )
    con.execute(
        f"""
        create or replace temp table candidates as
        select
            rowid as id, customer_id, signup_date, least(churn_date, censor_date) as ended_on,
            row_number() over (partition by customer_id order by {order}) as number
        from landing.customers where customer_id in (select customer_id from losers)
        """
    )
    con.execute("create or replace temp table following as from candidates where number = 1")
    while con.execute(
        """
        insert into following
        select candidates.* from candidates
        inner join (from following qualify row_number() over (partition by customer_id order by number desc) = 1) as newest
            on
                candidates.customer_id = newest.customer_id
                and candidates.number > newest.number
                and candidates.signup_date >= newest.ended_on
                and candidates.signup_date > newest.signup_date
        qualify row_number() over (partition by candidates.customer_id order by candidates.number) = 1
        returning 1
        """
    ).fetchall():
        pass
    con.execute("delete from losers where id in (select id from following)")
    # A row that was delivered more than once repeats its own copy, which need not be the customer's first row.
    content = [landed.name for landed in CUSTOMERS.landed if landed.name != "known_date"]
    con.execute(
        f"""
        update losers set is_repeated = true
        from (select customers.* from landing.customers inner join following on customers.rowid = following.id) as kept
        where
            losers.customer_id = kept.customer_id
            and row({", ".join(f"losers.{quoted(name)}" for name in content)})
                is not distinct from row({", ".join(f"kept.{quoted(name)}" for name in content)})
        """
    )
    con.execute("drop table candidates")
    con.execute("drop table following")


def set_former_apart(con: duckdb.DuckDBPyConnection) -> None:
    """Leaves the newest row of each customer in ``landing.customers``, which is today's, and sets the rows before it apart."""
    con.execute(f"create or replace table {statements.create_sql(CUSTOMERS, f'landing.{FORMER_CUSTOMERS}')}")
    former = (
        "from landing.customers qualify row_number() over "
        "(partition by customer_id order by known_date desc, signup_date desc) > 1"
    )
    con.execute(f"insert into landing.{FORMER_CUSTOMERS} select * {former}")
    if has_former(con):
        con.execute(f"delete from landing.customers where rowid in (select rowid {former})")


def has_former(con: duckdb.DuckDBPyConnection) -> bool:
    """Whether somebody has several rows in ``customers`` that follow each other."""
    return bool(con.execute(f"select 1 from landing.{FORMER_CUSTOMERS} limit 1").fetchall())


def customers_from_subscriptions(con: duckdb.DuckDBPyConnection) -> None:
    """Makes ``landing.customers`` of the subscriptions, where no customers were exported.

    Whoever only tried is among them, so that what they did is kept for the day on which they sign. Ends are not: when one is known
    is a matter of lives.
    """
    con.execute("delete from landing.customers")
    con.execute(
        """
        insert into landing.customers by name
        select customer_id, min(started_at) as signup_date, min(known_date) as known_date
        from landing.subscriptions group by customer_id
        """
    )


def derive(
    con: duckdb.DuckDBPyConnection, gap_days: int, booking_delay_days: int | None = None, *, customers_exported: bool
) -> None:
    """Makes lives, the history of plans and what is known of booking anew from the landed rows, and their digests.

    Args:
        con: inside the landing's transaction, with every table landed.
        gap_days: how long a gap does not end a life.
        booking_delay_days: how many days after its date a departure is booked; None: as the rows show.
        customers_exported: ``landing.customers`` holds what was exported; else it is shown with what the subscriptions say.
    """
    by_subscriptions = has_subscriptions(con)
    lives, history = (
        (_LIVES_FROM_SUBSCRIPTIONS, _HISTORY_FROM_SUBSCRIPTIONS)
        if by_subscriptions
        else (_LIVES_FROM_CUSTOMERS, _HISTORY_FROM_PLAN_CHANGES)
    )
    con.execute(f"create or replace table {statements.create_sql(LIVES, f'landing.{LIVES.name}')}")
    con.execute(f"insert into landing.{LIVES.name} by name {lives.format(gap=int(gap_days))}")
    con.execute(f"drop table if exists landing.{PLAN_HISTORY}")
    con.execute(_CREATE_HISTORY)
    con.execute(f"insert into landing.{PLAN_HISTORY} by name {history.format(gap=int(gap_days))}")
    derive_settling(con, gap_days if by_subscriptions else 0, booking_delay_days, by_subscriptions=by_subscriptions)
    if by_subscriptions and not customers_exported:
        con.execute(
            f"""
            update landing.customers set plan_tier = newest.to_tier, mrr_cents = newest.to_mrr_cents
            from (
                from landing.{PLAN_HISTORY}
                qualify row_number() over (partition by customer_id order by effective_date desc) = 1
            ) as newest
            where customers.customer_id = newest.customer_id
            """
        )
    replace_digests(con, CUSTOMERS)
    replace_digests(con, LIVES)


def has_subscriptions(con: duckdb.DuckDBPyConnection) -> bool:
    """Whether subscriptions say who is a customer; a table without rows says nothing."""
    return bool(con.execute("select 1 from landing.subscriptions limit 1").fetchall())


def settling(con: duckdb.DuckDBPyConnection) -> Settling:
    """How many days after its day an end is known: until then no label that it falls into is closed.

    Args:
        con: the warehouse.
    """
    if not has_table(con, "landing", SETTLING):
        return Settling()
    rows = con.execute(f"select known_from, days, basis from landing.{SETTLING} order by known_from").fetchall()
    return Settling(tuple(Step(*row) for row in rows))


def derive_settling(
    con: duckdb.DuckDBPyConnection, gap_days: int, booking_delay_days: int | None, *, by_subscriptions: bool
) -> None:
    """Makes anew what `settling` reads.

    Args:
        con: with the landed customers, former customers and subscriptions.
        gap_days: how long a gap does not end a life; 0 where ends are stated.
        booking_delay_days: how many days after its date a departure is booked; None: as the rows show.
        by_subscriptions: whether subscriptions say who is a customer.
    """
    # A gap and a late booking run side by side: what is booked within the gap is known when the gap is over.
    steps = [(_BEGIN, gap_days, "gap" if gap_days else "stated")]
    if booking_delay_days is not None:
        if booking_delay_days > gap_days:
            steps = [(_BEGIN, booking_delay_days, "set")]
    else:
        table, own_date, ends = (
            ("landing.subscriptions", "started_at", _ENDS_OF_SUBSCRIPTIONS)
            if by_subscriptions
            else (_ALL_CUSTOMERS, "signup_date", _ENDS_OF_CUSTOMERS)
        )
        late = f"select known_date from {table} where known_date > {own_date}"
        # Most exports know of none, and are spared the windows of many years.
        if con.execute(f"select 1 from ({ends}) where known_on > ended_on + ? limit 1", [gap_days]).fetchall():
            rows = con.execute(_DELAYS.format(ends=ends, late=late), [gap_days]).fetchall()
            steps += [(known_from, days, "booked") for known_from, days in rows]
    con.execute(_CREATE_SETTLING)
    con.execute(f"delete from landing.{SETTLING}")
    con.executemany(f"insert into landing.{SETTLING} values (?, ?, ?)", steps)


def returns(con: duckdb.DuckDBPyConnection) -> Returns:
    """What became of several rows of one customer in ``customers``."""
    row = con.execute(
        f"""
        select
            count(distinct customer_id),
            count(*) + count(distinct customer_id),
            (select count(*) from landing.quarantine where source = 'customers' and rule = 'unique key')
        from landing.{FORMER_CUSTOMERS}
        """
    ).fetchone()
    assert row is not None
    return Returns(*row)


def without_subscription(con: duckdb.DuckDBPyConnection) -> int:
    """Customers whom no subscription ever made one."""
    row = con.execute(
        f"select count(*) from landing.customers where customer_id not in (select customer_id from landing.{LIVES.name})"
    ).fetchone()
    assert row is not None
    return int(row[0])
