"""What is published, read only, as one state that stays what it is: answers that belong together come from one publication.

A publication takes the place of the one before it as a file under the same name (`delivery/publish.py`), and so does an erasure. Whoever has the
former file open keeps it, so a `Publication` never changes under its reader; whether there is a newer one is asked with `is_current`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import duckdb

from churn_pipeline.core.errors import ChurnError, LockedError, RefusedError
from churn_pipeline.core.formatting import counted, folded
from churn_pipeline.core.settings import Settings
from churn_pipeline.core.sql import literal
from churn_pipeline.core.targets import target_of
from churn_pipeline.core.warehouse import has_table
from churn_pipeline.customers.errors import ChurnedError, UnknownCustomerError
from churn_pipeline.customers.lists import EVERYBODY, Filters, ListRow, owner_meant, tier_meant
from churn_pipeline.customers.predictions import ChurnPrediction, ExpansionPrediction
from churn_pipeline.customers.profile import Customer360
from churn_pipeline.customers.stores.rows import churn_prediction, expansion_prediction, facts_of, profile_of
from churn_pipeline.delivery.call_list import (
    CHOICE,
    CUSTOMERS,
    PREDICTIONS,
    customers_of,
    main_reason,
    may_be_approached,
    reason_in_words,
)
from churn_pipeline.policy import playbook, tiers

if TYPE_CHECKING:
    import pyarrow as pa

# Columns of the experiment that says what calls are worth. Whoever knows that somebody is held out calls differently.
NOT_FOR_CALLERS = ("is_holdout", "is_in_holdout_draw")
# This Monday and those before it that a profile shows.
HISTORY = 12
# Ids that an error names: more are no help, and a list of names is nothing to print by accident.
CANDIDATES = 5
# A file that is replaced while it is opened is opened again.
_ATTEMPTS = 10

# Of everybody on a Monday; with `_THEIRS` of one customer.
_ROW = f"""
select predictions.*, customers.company_name
from {PREDICTIONS} as predictions left join customers using (customer_id)
where snapshot_date = $monday
"""
_WEEK = "from customer_weeks where snapshot_date = $monday"
_THEIRS = " and customer_id = $customer"

type Row = dict[str, Any]


class Publication:
    """One published state of a home. Usable from several threads at once.

    Attributes:
        settings: the home.
        identity: names this state among all others, in a few characters; the same for every process that opened it.
        snapshot_dates: the Mondays, oldest first.
    """

    def __init__(self, settings: Settings, con: duckdb.DuckDBPyConnection, identity: str, *, hold: bool) -> None:
        """Use `open`."""
        self.settings = settings
        self.identity = identity
        self._con = con
        with self.cursor() as cursor:
            days = cursor.execute("select distinct snapshot_date from predictions order by 1").fetchall()
        self.snapshot_dates: tuple[date, ...] = tuple(day for (day,) in days)
        self._newest = PublishedMonday(self, self.snapshot_dates[-1], hold=hold) if days else None

    @classmethod
    def open(cls, settings: Settings, *, hold: bool = True) -> Self:
        """The state that is published now.

        Args:
            settings: the home.
            hold: whether the newest Monday is read into memory, for many questions; without it every question reads the file, which is
                quicker for a few.

        Raises:
            RefusedError: nothing is published.
            LockedError: another program has the file open to write in it.
        """
        path = settings.published_database
        for _ in range(_ATTEMPTS):
            identity = _identity(path)
            if identity is None:
                raise RefusedError(f"{path} is not there: nothing has been published yet; start with 'churn run'")
            # Attached and not opened: a process opens each file once, and whoever opens it a second time gets the state of the first.
            con = duckdb.connect()
            try:
                con.execute(f"attach {literal(path)} as published (read_only)")
                if _identity(path) == identity:
                    con.execute(f"set threads = {settings.threads}")
                    return cls(settings, con, identity, hold=hold)
            except duckdb.Error as error:
                if _identity(path) == identity:
                    con.close()
                    if "lock" not in str(error).lower():
                        raise ChurnError(
                            f"{path} cannot be read: it is damaged, or no published database; the next 'churn run' makes it again"
                        ) from error
                    raise LockedError(
                        f"{path} is being written to by another program; close it there. DuckDB says: {error}"
                    ) from error
            con.close()
        raise ChurnError(
            f"{path} is replaced again and again, so that nobody can read it; try again when that has ended"
        )

    def is_current(self) -> bool:
        """Whether this is still what is published. It is not after the next publication, and at once not after an erasure."""
        return _identity(self.settings.published_database) == self.identity

    def at(self, snapshot_date: date | None = None) -> PublishedMonday:
        """One published Monday, the newest unless given.

        Raises:
            RefusedError: it is not published; the message says what is.
        """
        if self._newest is None:
            raise RefusedError("no Monday is published yet; start with 'churn run'")
        if snapshot_date is None or snapshot_date == self._newest.snapshot_date:
            return self._newest
        days = self.snapshot_dates
        if snapshot_date not in days:
            raise RefusedError(
                f"{snapshot_date} is not published; the table holds {counted(len(days), 'Monday')} from {days[0]} to {days[-1]}"
            )
        return PublishedMonday(self, snapshot_date, hold=False)

    @contextmanager
    def cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection of its own to the published tables, read only, for one thread."""
        with self._con.cursor() as cursor:
            cursor.execute("use published")
            yield cursor

    def close(self) -> None:
        """Lets go of the file and of what was read into memory. Nobody may be asking any more."""
        self._newest = None
        self._con.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @cached_property
    def names(self) -> tuple[tuple[str, str, str], ...]:
        """Everybody who was ever predicted and has a company name: id, name, and the name as people compare it; ordered by id."""
        with self.cursor() as cursor:
            rows = cursor.execute(
                """
                select customer_id, company_name from customers semi join predictions using (customer_id)
                where company_name is not null order by customer_id
                """
            ).fetchall()
        return tuple((customer_id, name, folded(name)) for customer_id, name in rows)

    @cached_property
    def has_weeks(self) -> bool:
        """Whether there is a table `customer_weeks`; an older version published none."""
        with self.cursor() as cursor:
            return has_table(cursor, "main", "customer_weeks")


class PublishedMonday:
    """What is published of one Monday. Made by :meth:`Publication.at`.

    Attributes:
        publication: to which it belongs.
        snapshot_date: the Monday.
    """

    def __init__(self, publication: Publication, snapshot_date: date, *, hold: bool) -> None:
        self.publication = publication
        self._snapshot_date = snapshot_date
        self._source: _Source = _held(publication, snapshot_date) if hold else _File(publication, snapshot_date)
        if hold:
            _ = self._listed, self._call_reasons

    @property
    def snapshot_date(self) -> date:
        return self._snapshot_date

    def customer_id(self, wanted: str) -> str:
        """The id that is meant: an id as it stands, else the only customer of that name.

        Args:
            wanted: the id; or the company's name, or how it begins, without regard to accents and case.

        Raises:
            UnknownCustomerError: nobody is meant, or several are; the message names up to five of them.
        """
        if self._source.row(wanted) is not None or self._span(wanted) is not None:
            return wanted
        start = folded(wanted)
        names = self.publication.names if start else ()
        alike = [(customer_id, name) for customer_id, name, plain in names if plain == start] or [
            (customer_id, name) for customer_id, name, plain in names if plain.startswith(start)
        ]
        if len(alike) > 1:
            # Whoever left shares no name with whoever is there.
            there = self._source.ids()
            alike = [row for row in alike if row[0] in there] or alike
        if len(alike) == 1:
            return alike[0][0]
        if not alike:
            raise UnknownCustomerError(
                f"no published week holds a customer '{wanted}', by id or by how a company's name begins"
            )
        shown = ", ".join(f"{customer_id} ({name})" for customer_id, name in alike[:CANDIDATES])
        more = f" and {len(alike) - CANDIDATES:,} more" if len(alike) > CANDIDATES else ""
        raise UnknownCustomerError(
            f"'{wanted}' may be any of {len(alike):,} customers: {shown}{more}; give more of the name, or the id"
        )

    def has_at_hand(self, customer_id: str) -> bool:
        """Whether this Monday is held in memory with the customer: what is asked about them then reads no file."""
        return isinstance(self._source, _Memory) and customer_id in self._source.ids()

    def row(self, customer_id: str) -> Row:
        """The row of `predictions`, all columns by name with ``company_name``, but for who is held out: whoever calls is not to know.

        Columns that the queries of the package name are there, with None, where an older version published none.

        Raises:
            UnknownCustomerError: no published Monday holds the customer.
            ChurnedError: they were not active on this one; the message says on which they were.
        """
        row = self._source.row(customer_id)
        if row is not None:
            return row
        span = self._span(customer_id)
        if span is None:
            raise UnknownCustomerError(f"no published week holds a customer '{customer_id}'")
        raise ChurnedError(
            f"'{customer_id}' was not active on {self.snapshot_date}; published from {span[0]} to {span[1]}"
        )

    def page(self, customer_id: str) -> Row:
        """Everything published about a customer, as `churn customer --json` prints it. Raises as `row`."""
        row = self.row(customer_id)
        return {
            **row,
            "call_reason_label": reason_in_words(row["call_reason"], self._call_reasons),
            "history": self._source.history(customer_id),
            **facts_of(row, self._source.week(customer_id)),
        }

    def week(self, customer_id: str) -> Row:
        """The row of `customer_weeks`: what the models saw, and what else was known. Empty where an older version published none. Raises as
        `row`."""
        self.row(customer_id)
        return self._source.week(customer_id)

    def churn(self, customer_id: str) -> ChurnPrediction:
        """What is predicted of a customer's staying. Raises as `row`."""
        return churn_prediction(self.row(customer_id))

    def expansion(self, customer_id: str) -> ExpansionPrediction | None:
        """What is predicted of a customer's growth; None where no model predicts it or they are on the highest plan. Raises as `row`."""
        return expansion_prediction(self.row(customer_id))

    def profile(self, customer_id: str) -> Customer360:
        """The whole profile. Raises as `row`."""
        return profile_of(self.row(customer_id), self._source.week(customer_id), self._source.history(customer_id))

    def rows(self, where: Filters = EVERYBODY, after: int = 0, size: int | None = None) -> list[ListRow]:
        """A page of the customers of the Monday, those with most money at risk first.

        Args:
            where: which are wanted.
            after: the ``priority_rank`` of the last row of the page before; 0 for the first page.
            size: how many at most; all of them unless given.

        Raises:
            InputError: nobody, or more than one, has an owner or a tier of that name; the message says which there are.
        """
        day = self.snapshot_date
        owner = None if where.owner is None else owner_meant(where.owner, self.owners, day)
        tier = None if where.tier is None else tier_meant(where.tier, self.tiers, day)
        page: list[ListRow] = []
        for row in self._listed:
            if size is not None and len(page) >= size:
                break
            if (
                row.priority_rank > after
                and (owner is None or row.csm_owner == owner)
                and (tier is None or row.risk_tier == tier)
                and (where.on_list is None or row.is_on_call_list == where.on_list)
                and (where.candidates is None or row.is_expansion_candidate == where.candidates)
            ):
                page.append(row)
        return page

    @cached_property
    def owners(self) -> tuple[str, ...]:
        """The customer success managers of the Monday, in alphabetical order."""
        return tuple(sorted({row.csm_owner for row in self._listed if row.csm_owner is not None}))

    @cached_property
    def tiers(self) -> tuple[str, ...]:
        """The risk tiers of the policy that made the Monday, the gravest first."""
        with self.publication.cursor() as cursor:
            policy = tiers.of_mondays(cursor, "predictions", [self.snapshot_date])[self.snapshot_date]
        return tuple(tier.risk_tier for tier in policy)

    @cached_property
    def _listed(self) -> tuple[ListRow, ...]:
        """Everybody, in the order of lists."""
        with self.publication.cursor() as cursor:
            rows = _rows(cursor, _list_query(), customers_of(cursor, self.snapshot_date, reasons=CHOICE))
        return tuple(_list_row(row) for row in rows)

    @cached_property
    def _call_reasons(self) -> Mapping[str, str]:
        with self.publication.cursor() as cursor:
            return playbook.call_reasons(cursor, self.snapshot_date)

    def _span(self, customer_id: str) -> tuple[date, date] | None:
        """The first and the last Monday that holds a customer; None where none does."""
        with self.publication.cursor() as cursor:
            ((first, last),) = cursor.execute(
                "select min(snapshot_date), max(snapshot_date) from predictions where customer_id = ?", [customer_id]
            ).fetchall()
        return None if first is None else (first, last)


class _Source(Protocol):
    """Where the rows of a Monday are read."""

    def ids(self) -> Collection[str]: ...

    def row(self, customer_id: str) -> Row | None: ...

    def week(self, customer_id: str) -> Row: ...

    def history(self, customer_id: str) -> list[Row]: ...


class _File:
    """Every question reads the file."""

    def __init__(self, publication: Publication, monday: date) -> None:
        self._publication = publication
        self._monday = monday

    def ids(self) -> Collection[str]:
        with self._publication.cursor() as cursor:
            rows = cursor.execute(
                "select customer_id from predictions where snapshot_date = ?", [self._monday]
            ).fetchall()
        return {customer_id for (customer_id,) in rows}

    def row(self, customer_id: str) -> Row | None:
        rows = self._ask(_ROW + _THEIRS, customer_id)
        return {name: value for name, value in rows[0].items() if name not in NOT_FOR_CALLERS} if rows else None

    def week(self, customer_id: str) -> Row:
        rows = self._ask(_WEEK + _THEIRS, customer_id) if self._publication.has_weeks else []
        return rows[0] if rows else {}

    def history(self, customer_id: str) -> list[Row]:
        rows = self._ask(_history_query(_THEIRS), customer_id)
        return rows[0]["history"] if rows else []

    def _ask(self, sql: str, customer_id: str) -> list[Row]:
        with self._publication.cursor() as cursor:
            return _rows(cursor, sql, {"monday": self._monday, "customer": customer_id})


class _Memory:
    """The rows of a Monday in memory: by column, so that they take little room and a row is made when it is asked for."""

    def __init__(self, rows: pa.Table, weeks: pa.Table | None, histories: pa.Table) -> None:
        self._rows = _Columns(rows.drop_columns([name for name in NOT_FOR_CALLERS if name in rows.column_names]))
        self._weeks = _Columns(weeks) if weeks is not None else None
        self._histories = _Columns(histories)

    def ids(self) -> Collection[str]:
        return self._rows.places

    def row(self, customer_id: str) -> Row | None:
        return self._rows.of(customer_id)

    def week(self, customer_id: str) -> Row:
        return (self._weeks.of(customer_id) if self._weeks is not None else None) or {}

    def history(self, customer_id: str) -> list[Row]:
        found = self._histories.of(customer_id)
        return found["history"] if found else []


class _Columns:
    """A table with a row a customer.

    Attributes:
        places: the number of the row, by customer.
    """

    def __init__(self, table: pa.Table) -> None:
        whole = table.combine_chunks()
        # A table without rows has no chunk.
        self._columns = {name: whole[name].chunk(0) for name in whole.column_names} if len(whole) else {}
        self.places: dict[str, int] = {customer: n for n, customer in enumerate(whole["customer_id"].to_pylist())}

    def of(self, customer_id: str) -> Row | None:
        place = self.places.get(customer_id)
        return None if place is None else {name: column[place].as_py() for name, column in self._columns.items()}


def _held(publication: Publication, monday: date) -> _Memory:
    with publication.cursor() as cursor:

        def table(sql: str) -> pa.Table:
            return cursor.sql(sql, params={"monday": monday}).to_arrow_table()

        there = " and customer_id in (select customer_id from predictions where snapshot_date = $monday)"
        return _Memory(
            table(_ROW),
            table(_WEEK) if publication.has_weeks else None,
            table(_history_query(there)),
        )


def _history_query(whose: str) -> str:
    risk = target_of("risk").probability_column
    past = f"{{'snapshot_date': snapshot_date, '{risk}': {risk}, 'risk_tier': risk_tier}}"
    return f"""
    select customer_id, list({past} order by snapshot_date desc)[:{HISTORY}] as history
    from predictions where snapshot_date <= $monday {whose} group by customer_id
    """


def _list_query() -> str:
    """What `ListRow` says of everybody, but for the reason, which is chosen among ``reasons``."""
    return f"""
    select priority_rank, customer_id, company_name, csm_owner, plan_tier, industry, mrr, annual_revenue, revenue_at_risk,
           {target_of("risk").probability_column} as probability, probability_change, risk_tier, previous_risk_tier, lifecycle, days_to_renewal,
           is_called as is_on_call_list, call_rank, call_reason, {target_of("expansion").probability_column} as propensity,
           expansion_readiness, coalesce(is_expansion_candidate, false) and {may_be_approached("everybody")} as is_expansion_candidate,
           if({may_be_approached("everybody")}, expansion_rank, null) as expansion_rank, play, recommended_action, reasons
    from ({CUSTOMERS}) as everybody order by priority_rank
    """


def _list_row(row: Row) -> ListRow:
    reasons = row.pop("reasons")
    return ListRow(**row, reason=main_reason(reasons or (), row["recommended_action"]))


def _rows(cursor: duckdb.DuckDBPyConnection, sql: str, parameters: Mapping[str, Any]) -> list[Row]:
    cursor.execute(sql, parameters)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _identity(path: Path) -> str | None:
    """What tells a file from the one that takes its place: a new one is another file, with a time of its own. None where there is none."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return sha256(f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ino}".encode()).hexdigest()[:16]
