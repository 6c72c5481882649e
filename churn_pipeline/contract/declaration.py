"""The raw data contract: every table, column, row rule and dated fact, declared once.

Landing applies what stands here, the quarantine names its rules by it, and ``docs/data-contract.md`` is rendered from
it. SQL in this module is DuckDB's; besides columns it may use macros that landing defines for the length of one
transaction:

- ``local_date(ts)``: the date on the wall clock of the pipeline's time zone at the UTC instant ``ts``;
- ``local_midnight(day)``: the UTC instant at which the local ``day`` begins;
- ``this_instant()`` and ``this_day()``: the moment of landing as a UTC timestamp, and its local date;
- ``usd(code)``: the US dollars that one unit of a currency is worth, null for one that the seed `currency_rates.csv` does not know;
- ``has_customers()``: whether the table `customers` has rows. Where it has none, `subscriptions` says who the customers are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType
from typing import Literal

from churn_pipeline.core.sql import literal, quoted


class Kind(StrEnum):
    """What a raw column holds, which decides how it is read and what it may contain."""

    TEXT = "text"
    CATEGORY = "category"
    DATE = "date"
    INSTANT = "instant"
    MONEY = "money"
    SHARE = "share"
    HOURS = "hours"
    COUNT = "count"
    FLAG = "flag"


# Smallest and largest value of each numeric kind. The upper bounds of money, hours and counts are far beyond anything
# real: they keep sums of cents and seconds inside a BIGINT, and reject a column that holds nanoseconds or an id by
# mistake.
RANGES: Mapping[Kind, tuple[int, int]] = MappingProxyType(
    {Kind.MONEY: (0, 10**12), Kind.SHARE: (0, 1), Kind.HOURS: (0, 10**6), Kind.COUNT: (0, 10**12)}
)

KIND_SENTENCES: Mapping[Kind, str] = MappingProxyType(
    {
        Kind.TEXT: "text; surrounding blanks are cut off",
        Kind.CATEGORY: "one of the listed words, in any case",
        Kind.DATE: "local date; a timestamp with a time of day is UTC, one with an offset is converted",
        Kind.INSTANT: "moment; naive is UTC, an offset is converted, a date alone is the local 00:00 of that day",
        Kind.MONEY: "US dollars, 0 or more; landed as whole cents",
        Kind.SHARE: "number from 0 to 1",
        Kind.HOURS: "hours, 0 or more; landed as whole seconds",
        Kind.COUNT: "whole number, 0 or more",
        Kind.FLAG: "true / false, t / f, yes / no, y / n, 1 / 0",
    }
)

# What a value of each kind is not, in a message about one that cannot be used.
_WANTED: Mapping[Kind, str] = MappingProxyType(
    {
        Kind.DATE: "is not YYYY-MM-DD",
        Kind.INSTANT: "is not YYYY-MM-DD HH:MM:SS",
        Kind.MONEY: "is not a number of dollars",
        Kind.SHARE: "is not a number",
        Kind.HOURS: "is not a number of hours",
        Kind.COUNT: "is not a number",
        Kind.FLAG: "is neither true nor false",
    }
)

READABLE: Mapping[Kind, str] = MappingProxyType(
    {
        Kind.DATE: "readable date",
        Kind.INSTANT: "readable date",
        Kind.MONEY: "readable number",
        Kind.SHARE: "readable number",
        Kind.HOURS: "readable number",
        Kind.COUNT: "readable number",
        Kind.FLAG: "readable flag",
    }
)


@dataclass(frozen=True)
class Column:
    """One column of a raw table.

    Attributes:
        name: lower-case name; files are matched without regard to case and surrounding blanks.
        required: the column has to exist in every file of the table.
        needed: a row without a usable value cannot be used and is quarantined; elsewhere the value may be null.
        pii: personal data: never copied into the quarantine, never part of a fact.
        future: what happens to a value after the moment of landing: it is fine, the cell is blanked until that moment
            has come, or the row waits in quarantine until then.
        scheduled: a date that may well lie ahead, such as the begin of a contract: a row that waits for it is no fault.
        unreadable: what a value that cannot be read costs where the row could do without it: the cell, or the row, because an
            unknown date would make it known too early.
        strict: a column whose errors move customers or revenue; fewer bad values of it are tolerated.
    """

    name: str
    kind: Kind
    meaning: str
    required: bool = True
    needed: bool = False
    pii: bool = False
    categories: tuple[str, ...] = ()
    future: Literal["fine", "cell", "row"] = "fine"
    scheduled: bool = False
    unreadable: Literal["cell", "row"] = "cell"
    strict: bool = False


@dataclass(frozen=True)
class Rule:
    """What a row or a cell must fulfil.

    Attributes:
        kind: ``row``: a row that breaks the rule is quarantined; ``cell``: the first of ``columns`` becomes null and
            the row stays.
        columns: the columns that the rule is about, the blamed one first.
        condition: SQL that is true for a row that breaks the rule; null counts as fulfilled.
        until: SQL of the UTC instant from which the rule will be fulfilled without any change of the data, if time
            alone heals it.
        wanted: what the value had to be, as the end of a sentence that begins with the value: ``is not YYYY-MM-DD``.
        is_fault: whether whoever breaks it is wrong; what only waits for a date that lies ahead is not.
    """

    name: str
    kind: Literal["row", "cell"]
    columns: tuple[str, ...]
    sentence: str
    condition: str
    until: str | None = None
    wanted: str = ""
    is_fault: bool = True


@dataclass(frozen=True)
class Landed:
    """One column of a landed table: its SQL type, and its expression over the raw columns with bad cells blanked.

    ``"column?"`` in it says whether the raw column had a value at all.

    Attributes:
        back: where the column is not the raw one as it is: a raw column, and SQL that gives its value from the landed
            row. By it the rules can be asked of what was landed, in the words and units in which they are declared.
    """

    name: str
    type: str
    sql: str
    back: tuple[str, str] | None = None


@dataclass(frozen=True)
class Fact:
    """A part of a landed row that becomes known on one day: SQL of that day, and of the values known from then on."""

    name: str
    day: str
    values: tuple[str, ...]
    condition: str = "true"


# Who the customers are: one of these tables has to be there. Every other table is optional.
BOOKS: tuple[str, ...] = ("customers", "subscriptions")

UNIQUE_KEY = "unique key"
KNOWN_CUSTOMER = "known customer"
# SQL that is true for a row of a customer whom nobody knows.
IS_UNKNOWN = "known_customer_id is null"
NOT_AFTER_NOW = "not after now"


@dataclass(frozen=True)
class TableContract:
    """One raw table: what it looks like, what it lands as, and which facts its rows consist of.

    Attributes:
        key: columns that identify a row, named alike in the raw and in the landed table.
        own_date: landed column with the row's own date or instant; the earlier one wins among rows with equal key and
            known_date.
        facts_from: relation that facts are read from; ``{rows}`` stands for the landed rows in question.
        without_it: what is not known where the table has no rows, as a clause; empty where nobody misses it.
        whole: always landed from all of its files, because one new row may change what the old ones mean.
        read_by_models: whether a dbt model reads it; what is only landed is kept for the analyst and for the day on which one does.
    """

    name: str
    meaning: str
    key: tuple[str, ...]
    own_date: str
    raw: tuple[Column, ...]
    landed: tuple[Landed, ...]
    facts: tuple[Fact, ...]
    without_it: str = ""
    extra_rules: tuple[Rule, ...] = ()
    facts_from: str = "{rows}"
    whole: bool = False
    read_by_models: bool = True

    @property
    def columns(self) -> tuple[Column, ...]:
        """The declared columns and ``loaded_at``, which any table may carry."""
        return (*self.raw, LOADED_AT)

    @cached_property
    def rules(self) -> tuple[Rule, ...]:
        """Every rule but `unique key`, in the order of blame: a row is quarantined under the first that it breaks."""
        rows: list[Rule] = []
        cells: list[Rule] = []
        for column in self.columns:
            rows += _needed(column)
            for rule in _readable(column):
                (rows if rule.kind == "row" else cells).append(rule)
            cells += _cell_rules(column)
        for column in self.columns:
            rows += _future(column, "row")
            cells += _future(column, "cell")
        rows += [rule for rule in self.extra_rules if rule.kind == "row"]
        cells += [rule for rule in self.extra_rules if rule.kind == "cell"]
        if self.name != "customers":
            unless = " where there is a table of them" if self.name == "subscriptions" else ""
            rows.append(
                Rule(
                    KNOWN_CUSTOMER,
                    "row",
                    ("customer_id",),
                    f"customer_id is one of the landed customers{unless}.",
                    IS_UNKNOWN + (" and has_customers()" if unless else ""),
                    wanted="is no customer_id of the table customers",
                )
            )
        return (*rows, *cells)

    @cached_property
    def restored(self) -> Mapping[str, str]:
        """By raw column, SQL of its value over a landed row; every column that is landed at all has one."""
        raw = {column.name for column in self.columns}
        back = dict(landed.back for landed in self.landed if landed.back)
        same = {
            landed.name: quoted(landed.name)
            for landed in self.landed
            if landed.name in raw and landed.name not in back and landed.sql == quoted(landed.name)
        }
        return MappingProxyType(same | back)

    @property
    def unique_key(self) -> Rule:
        """The one rule that looks at more than a single row; among equal keys one row wins and the others break it."""
        return Rule(
            UNIQUE_KEY,
            "row",
            self.key,
            f"{' and '.join(self.key)} {'occurs' if len(self.key) == 1 else 'occur together'} once. "
            "The row that was known first wins, then the one with the earliest own date, then the first by content.",
            "a row with the same key wins",
        )


LOADED_AT = Column(
    "loaded_at",
    Kind.INSTANT,
    "when the row arrived; it then counts as known only from that day on",
    required=False,
    future="row",
    unreadable="row",
)


def _moment(column: Column) -> tuple[str, str, str]:
    """The column's value, the present in the same unit, and the UTC instant at which the value becomes the present."""
    name = quoted(column.name)
    if column.kind is Kind.DATE:
        return name, "this_day()", f"local_midnight({name})"
    return name, "this_instant()", name


def _needed(column: Column) -> list[Rule]:
    if not column.needed:
        return []
    usable = "given and a readable date" if column.kind in (Kind.DATE, Kind.INSTANT) else "given"
    condition = f"{quoted(column.name)} is null"
    if column.kind is Kind.CATEGORY:
        usable = f"one of {', '.join(column.categories)}"
        condition += f" or {quoted(column.name)} not in ({_literals(column.categories)})"
    wanted = _WANTED.get(column.kind, "") or f"is not {usable}"
    return [Rule("not missing", "row", (column.name,), f"{column.name} is {usable}.", condition, wanted=wanted)]


def _readable(column: Column) -> list[Rule]:
    kind = column.kind
    if kind not in READABLE or column.needed:
        return []
    noun = READABLE[kind].removeprefix("readable ")
    condition = f"{quoted(column.name + '?')} and {quoted(column.name)} is null"
    sentence = f"{column.name} can be read as a {noun}."
    return [Rule(READABLE[kind], column.unreadable, (column.name,), sentence, condition, wanted=_WANTED[kind])]


def _cell_rules(column: Column) -> list[Rule]:
    name, kind = quoted(column.name), column.kind
    rules = []
    if kind in RANGES:
        low, high = RANGES[kind]
        bounds = f"from {low} to {high}" if kind is Kind.SHARE else f"{low} or more (and at most {high:,})"
        whole = "a whole number, " if kind is Kind.COUNT else ""
        fraction = f" or {name} <> trunc({name})" if kind is Kind.COUNT else ""
        rules.append(
            Rule(
                "in range",
                "cell",
                (column.name,),
                f"{column.name} is {whole}{bounds}.",
                f"not ({name} between {low} and {high}){fraction}",
                wanted=f"is not {whole}{bounds}",
            )
        )
    if kind is Kind.CATEGORY and not column.needed:
        rules.append(
            Rule(
                "known category",
                "cell",
                (column.name,),
                f"{column.name} is one of {', '.join(column.categories)}.",
                f"{name} not in ({_literals(column.categories)})",
                wanted=f"is not one of {', '.join(column.categories)}",
            )
        )
    return rules


def _future(column: Column, kind: Literal["row", "cell"]) -> list[Rule]:
    if column.future != kind:
        return []
    value, present, until = _moment(column)
    waiting = (
        "the row waits in quarantine until then"
        if kind == "row"
        else "the cell is blank until then and the row is used"
    )
    sentence = f"{column.name} is not after the moment of landing; {waiting}."
    is_fault = kind == "row" and not column.scheduled
    wanted = "lies after the moment of landing"
    return [Rule(NOT_AFTER_NOW, kind, (column.name,), sentence, f"{value} > {present}", until, wanted, is_fault)]


def _literals(words: tuple[str, ...]) -> str:
    return ", ".join(map(literal, words))


def _not_before(column: str, start: str) -> Rule:
    return Rule(
        f"not before {start}",
        "row",
        (column, start),
        f"{column} is not before {start}.",
        f"{quoted(column)} < {quoted(start)}",
        wanted=f"is before {start}",
    )


# Scores and money are landed as integers: a sum of doubles depends on the order in which threads add, a sum of integers
# does not. round() goes half away from zero.
def _cents(column: str) -> Landed:
    return Landed(f"{column}_cents", "BIGINT", f"round({column} * 100)", (column, f"{column}_cents / 100"))


def _same(column: str, sql_type: str = "VARCHAR") -> Landed:
    return Landed(column, sql_type, quoted(column))


# The day is all that is kept of loaded_at, and a lower bound of it at that; it suffices to see that no row came after now.
LOADED_BY = ("loaded_at", "local_midnight(known_date)")


def _known(own_date: str) -> Landed:
    """greatest() skips nulls: without loaded_at the row counts from its own date."""
    return Landed("known_date", "DATE", f"greatest({own_date}, local_date(loaded_at))", LOADED_BY)


TIERS = ("free", "starter", "growth", "enterprise", "custom")
CUSTOMER_ID = Column("customer_id", Kind.TEXT, "the customer", needed=True)

CUSTOMERS = TableContract(
    name="customers",
    meaning="One row per customer, past and present.",
    key=("customer_id",),
    own_date="signup_date",
    raw=(
        CUSTOMER_ID,
        Column("industry", Kind.TEXT, "free text"),
        Column("plan_tier", Kind.CATEGORY, "today's plan", categories=TIERS),
        Column(
            "signup_date",
            Kind.DATE,
            "first day as a customer",
            needed=True,
            future="row",
            scheduled=True,
            strict=True,
        ),
        Column("mrr", Kind.MONEY, "today's monthly recurring revenue", strict=True),
        Column("churn_date", Kind.DATE, "the day they left; null while active", future="cell", strict=True),
        Column("upgrade_date", Kind.DATE, "the day they moved to a higher plan", False, future="cell", strict=True),
        Column(
            "censor_date", Kind.DATE, "the day they left the book without churning", False, future="cell", strict=True
        ),
        Column("seats", Kind.COUNT, "licensed users", required=False),
        Column("csm_owner", Kind.TEXT, "customer success manager, for display", required=False),
        Column("company_name", Kind.TEXT, "name, for display", required=False, pii=True),
    ),
    extra_rules=(
        _not_before("churn_date", "signup_date"),
        _not_before("upgrade_date", "signup_date"),
        _not_before("censor_date", "signup_date"),
    ),
    landed=(
        _same("customer_id"),
        _same("industry"),
        _same("plan_tier"),
        _same("signup_date", "DATE"),
        _cents("mrr"),
        _same("churn_date", "DATE"),
        _same("upgrade_date", "DATE"),
        _same("censor_date", "DATE"),
        _same("seats", "BIGINT"),
        _same("csm_owner"),
        _same("company_name"),
        _known("signup_date"),
    ),
    # Plan and price enter as they were before the first recorded change: a plan change of today, which also rewrites
    # the customer's row, then leaves the past alone. Where there are subscriptions, both come from there alone. Somebody who came
    # back has a row for each time; a change of plan belongs to the row in whose time it falls.
    facts_from="""(
        select
            customer.* exclude (plan_tier, mrr_cents, is_first, next_signup),
            case when not has_subscriptions then coalesce(change.from_tier, customer.plan_tier) end as initial_tier,
            case when not has_subscriptions then coalesce(change.from_mrr_cents, customer.mrr_cents) end as initial_mrr_cents
        from (
            select
                *,
                row_number() over by_time = 1 as is_first,
                lead(signup_date) over by_time as next_signup
            from (
                from {rows}
                union all by name
                from landing.former_customers where customer_id in (select customer_id from {rows})
            )
            window by_time as (partition by customer_id order by known_date, signup_date)
        ) as customer
        cross join (select count(*) > 0 as has_subscriptions from landing.subscriptions)
        left join landing.plan_history as change
            on customer.customer_id = change.customer_id
            and (customer.is_first or change.effective_date >= customer.signup_date)
            and (customer.next_signup is null or change.effective_date < customer.next_signup)
        qualify row_number() over (
            partition by customer.customer_id, customer.known_date, customer.signup_date
            order by change.effective_date, change.known_date, change.from_tier, change.to_tier
        ) = 1
    )""",
    facts=(
        Fact(
            "known",
            "known_date",
            ("customer_id", "industry", "signup_date", "seats", "initial_tier", "initial_mrr_cents"),
        ),
        Fact("churned", "greatest(churn_date, known_date)", ("customer_id", "churn_date"), "churn_date is not null"),
        Fact("left", "greatest(censor_date, known_date)", ("customer_id", "censor_date"), "censor_date is not null"),
        Fact(
            "upgraded",
            "greatest(upgrade_date, known_date)",
            ("customer_id", "upgrade_date"),
            "upgrade_date is not null",
        ),
    ),
    whole=True,
)

# By word: the months that a price is for, as a fraction.
INTERVALS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        "month": (1, 1),
        "monthly": (1, 1),
        "quarter": (3, 1),
        "quarterly": (3, 1),
        "half_year": (6, 1),
        "semiannual": (6, 1),
        "year": (12, 1),
        "yearly": (12, 1),
        "annual": (12, 1),
        "annually": (12, 1),
        "two_years": (24, 1),
        "three_years": (36, 1),
        "week": (12, 52),
        "weekly": (12, 52),
        "day": (12, 365),
        "daily": (12, 365),
    }
)


def _months() -> str:
    words = " ".join(f"when {literal(word)} then {months} / {of}" for word, (months, of) in INTERVALS.items())
    return f"case billing_interval {words} else 1 end"


SUBSCRIPTIONS = TableContract(
    name="subscriptions",
    meaning="One row per subscription, as billing systems export them; where the price of one changes, a row for each price is better.",
    key=("subscription_id", "started_at"),
    own_date="started_at",
    raw=(
        Column("subscription_id", Kind.TEXT, "the subscription", needed=True),
        CUSTOMER_ID,
        Column("plan_tier", Kind.CATEGORY, "its plan", categories=TIERS),
        Column("mrr", Kind.MONEY, "its price, of a month unless `billing_interval` says another time", strict=True),
        Column(
            "started_at",
            Kind.DATE,
            "first day, or first day at this price",
            needed=True,
            future="row",
            scheduled=True,
            strict=True,
        ),
        Column(
            "ended_at",
            Kind.DATE,
            "the day it ended; null while it runs, and a cancellation at the end of a period waits for that day",
            required=False,
            future="cell",
            strict=True,
        ),
        Column(
            "end_reason",
            Kind.TEXT,
            "free text; `merged`: the customer left the book without churning",
            required=False,
        ),
        Column("is_trial", Kind.FLAG, "a trial: it makes nobody a customer", required=False),
        Column("currency", Kind.TEXT, "code of the price's currency; US dollars without it", required=False),
        Column(
            "billing_interval",
            Kind.CATEGORY,
            "the time that the price is for; a month without it, and the price of an unknown one is not known",
            required=False,
            categories=tuple(INTERVALS),
        ),
    ),
    extra_rules=(
        _not_before("ended_at", "started_at"),
        Rule(
            "known currency",
            "cell",
            ("currency",),
            "currency is one that the seed currency_rates.csv knows; what a price in another one is worth is not known.",
            "usd(currency) is null and currency is not null",
            wanted="is no currency of the seed currency_rates.csv",
        ),
    ),
    landed=(
        _same("subscription_id"),
        _same("customer_id"),
        _same("plan_tier"),
        Landed(
            "mrr_cents",
            "BIGINT",
            # A price in a currency, or of a time, that nobody knows is no price.
            'case when (currency is not null or not "currency?") and (billing_interval is not null or not "billing_interval?") '
            f"then round(mrr * 100 * if(currency is null, 1, usd(currency)) / ({_months()})) end",
            ("mrr", "mrr_cents / 100"),
        ),
        _same("started_at", "DATE"),
        _same("ended_at", "DATE"),
        Landed("end_reason", "VARCHAR", "lower(end_reason)", ("end_reason", "end_reason")),
        Landed("is_trial", "BOOLEAN", "coalesce(is_trial, false)", ("is_trial", "is_trial")),
        _same("currency"),
        _same("billing_interval"),
        _known("started_at"),
    ),
    facts=(
        Fact(
            "began",
            "known_date",
            ("subscription_id", "customer_id", "plan_tier", "mrr_cents", "started_at", "is_trial"),
        ),
        Fact(
            "ended",
            "greatest(ended_at, known_date)",
            ("subscription_id", "started_at", "ended_at", "end_reason"),
            "ended_at is not null",
        ),
    ),
    whole=True,
)

PLAN_CHANGES = TableContract(
    name="plan_changes",
    meaning="One row per move of a customer from one plan to another.",
    key=("customer_id", "effective_date", "from_tier", "to_tier"),
    own_date="effective_date",
    without_it="the plan and the price of the past are not known, so both are shown and no model learns from them",
    raw=(
        CUSTOMER_ID,
        Column("effective_date", Kind.DATE, "first day on the new plan", needed=True, future="row", scheduled=True),
        Column("from_tier", Kind.CATEGORY, "plan before", categories=TIERS),
        Column("to_tier", Kind.CATEGORY, "plan after", needed=True, categories=TIERS),
        Column("from_mrr", Kind.MONEY, "monthly revenue before", required=False),
        Column("to_mrr", Kind.MONEY, "monthly revenue after", required=False),
    ),
    landed=(
        _same("customer_id"),
        _same("effective_date", "DATE"),
        _same("from_tier"),
        _same("to_tier"),
        _cents("from_mrr"),
        _cents("to_mrr"),
        _known("effective_date"),
    ),
    facts=(
        Fact(
            "changed",
            "known_date",
            ("customer_id", "effective_date", "from_tier", "to_tier", "from_mrr_cents", "to_mrr_cents"),
        ),
    ),
)

USAGE_EVENTS = TableContract(
    name="usage_events",
    meaning="One row per thing a customer did in the product.",
    key=("event_id",),
    own_date="event_at",
    without_it="nothing is known of what customers do in the product, and nothing tells that the data have stopped coming in",
    raw=(
        Column("event_id", Kind.TEXT, "the event", needed=True),
        CUSTOMER_ID,
        Column("timestamp", Kind.INSTANT, "when it happened", needed=True, future="row", strict=True),
        Column("event_type", Kind.TEXT, "free text, given its meaning by the seed `event_types.csv`"),
        Column("feature_adoption_score", Kind.SHARE, "depth of use; landed as whole millionths"),
    ),
    landed=(
        _same("event_id"),
        _same("customer_id"),
        Landed("event_at", "TIMESTAMP", '"timestamp"', ("timestamp", "event_at")),
        Landed("event_date", "DATE", 'local_date("timestamp")'),
        Landed("event_type", "VARCHAR", "lower(event_type)", ("event_type", "event_type")),
        Landed(
            "adoption_micros",
            "BIGINT",
            "round(feature_adoption_score * 1000000)",
            ("feature_adoption_score", "adoption_micros / 1000000"),
        ),
        _known('local_date("timestamp")'),
    ),
    facts=(Fact("happened", "known_date", ("event_id", "customer_id", "event_at", "event_type", "adoption_micros")),),
)

RESOLVED_BY_NOW = "resolved by now"
RESOLVED_AT = "(created_date + to_seconds(try_cast(round(resolution_time * 3600) as BIGINT)))"

SUPPORT_TICKETS = TableContract(
    name="support_tickets",
    meaning="One row per support ticket.",
    key=("ticket_id",),
    own_date="created_at",
    without_it="nothing is known of open tickets and how long they take",
    raw=(
        Column("ticket_id", Kind.TEXT, "the ticket", needed=True),
        CUSTOMER_ID,
        Column("created_date", Kind.INSTANT, "when it was opened", needed=True, future="row"),
        Column("priority", Kind.CATEGORY, "urgency", categories=("low", "medium", "high", "critical")),
        Column("resolution_time", Kind.HOURS, "from opening to resolution; null while open"),
        Column("topic", Kind.TEXT, "free text"),
    ),
    extra_rules=(
        Rule(
            RESOLVED_BY_NOW,
            "cell",
            ("resolution_time", "created_date"),
            "created_date and resolution_time together are not after the moment of landing; the cell is blank until then.",
            f"resolution_time between 0 and {RANGES[Kind.HOURS][1]} and {RESOLVED_AT} > this_instant()",
            RESOLVED_AT,
            "leads to a resolution after the moment of landing",
        ),
    ),
    landed=(
        _same("ticket_id"),
        _same("customer_id"),
        Landed("created_at", "TIMESTAMP", "created_date", ("created_date", "created_at")),
        Landed("created_date", "DATE", "local_date(created_date)"),
        _same("priority"),
        Landed(
            "resolution_seconds",
            "BIGINT",
            "round(resolution_time * 3600)",
            ("resolution_time", "resolution_seconds / 3600"),
        ),
        Landed(
            "resolved_date",
            "DATE",
            f"local_date({RESOLVED_AT})",
        ),
        _same("topic"),
        _known("local_date(created_date)"),
    ),
    facts=(
        Fact("created", "known_date", ("ticket_id", "customer_id", "created_at", "priority", "topic")),
        Fact(
            "resolved",
            "greatest(resolved_date, known_date)",
            ("ticket_id", "resolution_seconds"),
            "resolved_date is not null",
        ),
    ),
)

CLOSED_STAGES = "stage in ('closed_won', 'closed_lost')"

GTM_OPPORTUNITIES = TableContract(
    name="gtm_opportunities",
    meaning="One row per sales opportunity, as it stands today.",
    key=("opp_id",),
    own_date="created_date",
    without_it="nothing is known of what sales is talking about with whom",
    raw=(
        Column("opp_id", Kind.TEXT, "the opportunity", needed=True),
        CUSTOMER_ID,
        Column(
            "stage",
            Kind.CATEGORY,
            "where it stands",
            categories=("prospecting", "qualification", "proposal", "closed_won", "closed_lost"),
        ),
        Column("close_date", Kind.DATE, "expected, or actual once closed"),
        Column("amount", Kind.MONEY, "yearly value"),
        Column("sales_owner", Kind.TEXT, "account executive, for display"),
        Column("opportunity_type", Kind.CATEGORY, "expansion or not", False, categories=("expansion", "new_business")),
        Column(
            "created_date",
            Kind.DATE,
            "the day it was opened; without it the row is displayed and never a feature",
            required=False,
            future="row",
        ),
    ),
    extra_rules=(
        Rule(
            NOT_AFTER_NOW,
            "cell",
            ("close_date", "stage"),
            "close_date of a closed stage is not after the moment of landing; the cell is blank until then and the row "
            "is used.",
            f"{CLOSED_STAGES} and close_date > this_day()",
            "local_midnight(close_date)",
            "lies after the moment of landing",
            is_fault=False,
        ),
    ),
    landed=(
        _same("opp_id"),
        _same("customer_id"),
        _same("stage"),
        _same("close_date", "DATE"),
        _cents("amount"),
        _same("sales_owner"),
        _same("opportunity_type"),
        _same("created_date", "DATE"),
        Landed(
            "known_date",
            "DATE",
            "case when created_date is not null then greatest(created_date, local_date(loaded_at)) end",
            LOADED_BY,
        ),
    ),
    facts=(
        Fact(
            "created",
            "known_date",
            ("opp_id", "customer_id", "opportunity_type", "created_date"),
            "known_date is not null",
        ),
        Fact(
            "closed",
            "greatest(close_date, known_date)",
            ("opp_id", "stage", "close_date", "amount_cents"),
            f"known_date is not null and close_date is not null and {CLOSED_STAGES}",
        ),
    ),
)

RISK_SIGNALS = TableContract(
    name="risk_signals",
    meaning="One row per assessment of a customer.",
    key=("customer_id", "recorded_at"),
    own_date="recorded_at",
    without_it="nothing is known of compliance gaps and vendor flags, and the risk score is made without them",
    raw=(
        CUSTOMER_ID,
        Column("compliance_gap_score", Kind.SHARE, "0 = no gap; landed as whole millionths"),
        Column("vendor_risk_flags", Kind.COUNT, "open flags"),
        Column(
            "recorded_at",
            Kind.INSTANT,
            "when it was assessed; without it the row counts from the Monday of its first landing",
            required=False,
            future="row",
            unreadable="row",
        ),
    ),
    landed=(
        _same("customer_id"),
        Landed(
            "compliance_gap_micros",
            "BIGINT",
            "round(compliance_gap_score * 1000000)",
            ("compliance_gap_score", "compliance_gap_micros / 1000000"),
        ),
        _same("vendor_risk_flags", "BIGINT"),
        _same("recorded_at", "TIMESTAMP"),
        Landed("recorded_date", "DATE", "local_date(recorded_at)"),
        Landed("is_dated", "BOOLEAN", "recorded_at is not null"),
        _known("local_date(recorded_at)"),
    ),
    facts=(
        Fact(
            "recorded",
            "known_date",
            ("customer_id", "compliance_gap_micros", "vendor_risk_flags", "recorded_at", "is_dated"),
        ),
    ),
    whole=True,
)

CONTRACTS = TableContract(
    name="contracts",
    meaning="One row per contract term.",
    key=("customer_id", "start_date"),
    own_date="start_date",
    without_it="nobody knows whose contract ends when",
    raw=(
        CUSTOMER_ID,
        Column(
            "start_date",
            Kind.DATE,
            "first day; the contract is known from it on",
            needed=True,
            future="row",
            scheduled=True,
        ),
        Column("end_date", Kind.DATE, "last day; null = open-ended"),
        Column("auto_renew", Kind.FLAG, "renews unless cancelled", required=False),
    ),
    extra_rules=(_not_before("end_date", "start_date"),),
    landed=(
        _same("customer_id"),
        _same("start_date", "DATE"),
        _same("end_date", "DATE"),
        _same("auto_renew", "BOOLEAN"),
        _known("start_date"),
    ),
    facts=(Fact("signed", "known_date", ("customer_id", "start_date", "end_date", "auto_renew")),),
)

EXPANSION_OUTREACH_LOG = TableContract(
    name="expansion_outreach_log",
    meaning="One row per attempt to sell a customer more.",
    key=("outreach_id",),
    own_date="contacted_date",
    read_by_models=False,
    raw=(
        Column("outreach_id", Kind.TEXT, "the attempt", needed=True),
        CUSTOMER_ID,
        Column("contacted_date", Kind.DATE, "when", needed=True, future="row"),
        Column("outreach_channel", Kind.TEXT, "free text"),
        Column("outcome", Kind.TEXT, "free text"),
        Column("propensity_at_outreach", Kind.SHARE, "expansion propensity shown at the time", required=False),
        Column("correlation_id", Kind.TEXT, "the expansion brief that led to it (docs/briefs.md)", required=False),
    ),
    landed=(
        _same("outreach_id"),
        _same("customer_id"),
        _same("contacted_date", "DATE"),
        _same("outreach_channel"),
        _same("outcome"),
        _same("propensity_at_outreach", "DOUBLE"),
        _same("correlation_id"),
        _known("contacted_date"),
    ),
    # Without correlation_id: nothing that is computed reads it, so no Monday is built again because of it.
    facts=(
        Fact(
            "contacted",
            "known_date",
            ("outreach_id", "customer_id", "contacted_date", "outreach_channel", "outcome", "propensity_at_outreach"),
        ),
    ),
)

INTERVENTIONS = TableContract(
    name="interventions",
    meaning="One row per action taken to keep or grow a customer.",
    key=("intervention_id",),
    own_date="at",
    without_it="nobody knows who was called and who is to be left alone for a while",
    raw=(
        Column("intervention_id", Kind.TEXT, "the action", needed=True),
        CUSTOMER_ID,
        Column("at", Kind.INSTANT, "when", needed=True, future="row"),
        Column("kind", Kind.TEXT, "free text"),
        Column("owner", Kind.TEXT, "who acted, for display"),
        Column("outcome", Kind.TEXT, "free text"),
        Column("snooze_until", Kind.DATE, "leave the customer alone until then", required=False),
    ),
    landed=(
        _same("intervention_id"),
        _same("customer_id"),
        _same("at", "TIMESTAMP"),
        Landed("at_date", "DATE", 'local_date("at")'),
        _same("kind"),
        _same("owner"),
        _same("outcome"),
        _same("snooze_until", "DATE"),
        _known('local_date("at")'),
    ),
    facts=(Fact("acted", "known_date", ("intervention_id", "customer_id", '"at"', "kind", "outcome", "snooze_until")),),
)

# Customers come first: every other table is checked against them.
TABLES: Mapping[str, TableContract] = MappingProxyType(
    {
        table.name: table
        for table in (
            CUSTOMERS,
            SUBSCRIPTIONS,
            PLAN_CHANGES,
            USAGE_EVENTS,
            SUPPORT_TICKETS,
            GTM_OPPORTUNITIES,
            RISK_SIGNALS,
            CONTRACTS,
            EXPANSION_OUTREACH_LOG,
            INTERVENTIONS,
        )
    }
)
